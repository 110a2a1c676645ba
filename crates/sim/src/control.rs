//! The part's control socket, `DIR/run/sim.ctl`: one JSON line in, one out, as every part of the platform has it.

use crate::log;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Longest request line, and time for the next one.
const LINE_BYTES: u64 = 1 << 20;
const IDLE: Duration = Duration::from_secs(60);

/// Opens the socket for this user alone, in place of one that an earlier process left.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket to its owner (and root) until the task is dropped; `drain` is notified when a client asks
/// for the end.
pub async fn serve(
    listener: UnixListener,
    status: impl Fn() -> Value + Clone + Send + Sync + 'static,
    drain: Arc<Notify>,
) {
    let since_ns = log::wall_ns();
    let owner = owner(&listener);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let peer = stream.peer_cred().ok().map(|peer| peer.uid());
                if peer.is_none() || (peer != owner && peer != Some(0)) {
                    continue;
                }
                let (status, drain) = (status.clone(), drain.clone());
                tokio::spawn(async move {
                    // A client that goes away in the middle has what it wanted.
                    let _ = serve_client(stream, &status, since_ns, &drain).await;
                });
            }
            Err(error) => {
                log::warn(&format!("cannot accept on the control socket: {error}"), &[]);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The user whose socket this is: this process's own.
fn owner(listener: &UnixListener) -> Option<u32> {
    let address = listener.local_addr().ok()?;
    Some(fs::metadata(address.as_pathname()?).ok()?.uid())
}

async fn serve_client(
    mut stream: UnixStream,
    status: &(impl Fn() -> Value + Sync),
    since_ns: i64,
    drain: &Notify,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let Ok(read) = timeout(IDLE, (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)).await
        else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_BYTES;
        let answer = if is_whole {
            answer(&line, status, since_ns, drain)
        } else {
            json!({"error": format!("a request has at most {LINE_BYTES} bytes")})
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
        if !is_whole {
            return Ok(()); // where the next request begins is unknown
        }
    }
}

fn answer(line: &[u8], status: &impl Fn() -> Value, since_ns: i64, drain: &Notify) -> Value {
    let request: Value = serde_json::from_slice(line).unwrap_or(Value::Null);
    match request.get("op").and_then(Value::as_str) {
        Some("status") => {
            let sim = status();
            let names = ["actions", "truth_lines", "messages", "replayed", "sent"];
            let metrics: serde_json::Map<String, Value> = names
                .into_iter()
                .filter(|name| sim[*name].is_number())
                .map(|name| (name.to_owned(), sim[name].clone()))
                .collect();
            json!({
                "part": "sim",
                "pid": std::process::id(),
                "state": "live",
                "since_ns": since_ns,
                "version": env!("CARGO_PKG_VERSION"),
                "metrics": metrics,
                "sim": sim,
            })
        }
        Some("metrics") => json!({"text": metrics(&status())}),
        Some("drain") => {
            drain.notify_one();
            json!({"draining": true})
        }
        other => {
            let asked = other.unwrap_or("nothing");
            json!({"error": {
                "code": "op_unknown",
                "category": "usage",
                "message": format!("no op named '{asked}'"),
                "hint": "have: status, metrics, drain",
                "retryable": false,
                "docs": "docs/errors.md#usage",
                "request_id": null,
            }})
        }
    }
}

/// Numbers of each venue: name in the status, name and kind as a metric, what it is.
const METRICS: [(&str, &str, &str, &str); 5] = [
    ("connections", "connections", "gauge", "Open WebSockets."),
    ("sent", "sent_total", "counter", "Messages sent."),
    (
        "sent_bytes",
        "sent_bytes_total",
        "counter",
        "Bytes of messages sent.",
    ),
    ("requests", "requests_total", "counter", "REST requests answered."),
    (
        "slow_clients_cut",
        "slow_clients_cut_total",
        "counter",
        "Clients cut because they took too little.",
    ),
];

/// The counters in Prometheus' text format: one family after the other.
fn metrics(sim: &Value) -> String {
    let venues = || sim["venues"].as_object().into_iter().flatten();
    let mut text = String::new();
    for (key, name, kind, help) in METRICS {
        text.push_str(&head(name, kind, help));
        for (venue, about) in venues() {
            if let Some(value) = about[key].as_u64() {
                text.push_str(&format!("tidemill_sim_{name}{{venue=\"{venue}\"}} {value}\n"));
            }
        }
    }
    text.push_str(&head(
        "published_total",
        "counter",
        "Events published, by channel.",
    ));
    for (venue, about) in venues() {
        for (channel, count) in about["published"].as_object().into_iter().flatten() {
            text.push_str(&format!(
                "tidemill_sim_published_total{{venue=\"{venue}\",channel=\"{channel}\"}} {count}\n"
            ));
        }
    }
    text
}

fn head(name: &str, kind: &str, help: &str) -> String {
    format!("# HELP tidemill_sim_{name} {help}\n# TYPE tidemill_sim_{name} {kind}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_line_in_one_line_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sim.ctl");
        fs::write(&path, "left behind").unwrap();
        let drain = Arc::new(Notify::new());
        let status =
            || json!({"actions": 3, "venues": {"sim-kraken": {"sent": 5, "published": {"trades": 2}}}});
        let serving = tokio::spawn(serve(bind(&path).unwrap(), status, drain.clone()));
        let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
        let mut ask = async |line: &str| -> Value {
            stream.write_all(line.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            serde_json::from_str(&answer).unwrap()
        };
        let answer = ask("{\"op\":\"status\"}\n").await;
        assert_eq!(
            (&answer["part"], &answer["metrics"]["actions"]),
            (&json!("sim"), &json!(3))
        );
        let text = ask("{\"op\":\"metrics\"}\n").await["text"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            text.contains("tidemill_sim_published_total{venue=\"sim-kraken\",channel=\"trades\"} 2"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE tidemill_sim_sent_total counter\ntidemill_sim_sent_total{"),
            "{text}"
        );
        assert!(!text.contains("null"), "{text}");
        let refused = ask("nonsense\n").await;
        assert_eq!(refused["error"]["code"], "op_unknown");
        assert!(refused["error"]["hint"].as_str().unwrap().contains("status"));
        ask("{\"op\":\"drain\"}\n").await;
        drain.notified().await;
        let long = "x".repeat(LINE_BYTES as usize);
        let refused = ask(long.as_str()).await;
        assert!(
            refused["error"].as_str().unwrap().contains("at most"),
            "{refused}"
        );
        serving.abort();
    }
}
