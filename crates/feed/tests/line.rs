//! A collector over plain TCP against a peer that speaks IQConnect's Level 1: split anywhere, cut, mute, without
//! its own source, without measure. What it journals is what was told, each trade once, each hole named.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking, its helpers too

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use journal::Reader;
use serde_json::{Value, json};
use wire::{Record, Side, cause, channel, flag, kind, status};

const LIMIT: Duration = Duration::from_secs(40);
const ARGS: &str = "TIDEMILL_TEST_PART";
const NAMES: &str = "S,CURRENT UPDATE FIELDNAMES,Symbol,Most Recent Trade,Most Recent Trade Size,\
                     Most Recent Trade Date,Most Recent Trade Time,Most Recent Trade Market Center,\
                     Most Recent Trade Conditions,Most Recent Trade Aggressor,TickID,Bid,Ask,Message Contents";

/// Not a test: the body of the child process that the test below starts.
#[test]
fn part() {
    if let Ok(args) = std::env::var(ARGS) {
        let args: Vec<String> = serde_json::from_str(&args).unwrap();
        std::process::exit(feed::cli::run(args));
    }
}

/// A collector process; killed when dropped.
struct Collector {
    child: Child,
    home: PathBuf,
}

impl Collector {
    fn start(home: &Path, url: &str) -> Self {
        let args = [
            "collector",
            "iqfeed",
            "--home",
            home.to_str().unwrap(),
            "--url",
            url,
            "--instruments",
            "AAPL",
        ];
        let log = std::fs::File::create(home.join("collector.log")).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["part", "--exact", "--nocapture", "--test-threads=1"])
            .env(ARGS, json!(args).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            home: home.to_owned(),
        }
    }

    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let control = self.home.join("run/collector-iqfeed.ctl");
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = feed::control::ask(&control, &json!({"op": "status"}), Duration::from_secs(5));
            let status = status.unwrap_or(Value::Null);
            if wanted(&status) {
                return status;
            }
            let log = std::fs::read_to_string(self.home.join("collector.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "not {what} in time: {status}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn drain(mut self) {
        // SAFETY: kill touches no memory; the pid is that of our child, which has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peer's side of one connection.
struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Peer {
    /// Takes a connection in as IQConnect does, up to its first summary, in which `newest` is the newest trade.
    fn accept(listener: &TcpListener, newest: u64) -> Self {
        let deadline = Instant::now() + LIMIT;
        listener.set_nonblocking(true).unwrap();
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) => {
                    assert!(Instant::now() < deadline, "nobody connects");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut peer = Self { stream, lines };
        peer.say("S,KEY,0\r\nS,SERVER CONNECTED\r\n");
        peer.expect("S,SET PROTOCOL,6.2");
        peer.say("S,CURRENT PROTOCOL,6.2,\r\n");
        peer.expect("S,SELECT UPDATE FIELDS,");
        peer.say(&format!("{NAMES}\r\n"));
        peer.expect("wAAPL");
        peer.say(&summary(newest));
        peer
    }

    /// Reads until a line that begins so.
    fn expect(&mut self, begin: &str) {
        let mut line = String::new();
        while !line.starts_with(begin) {
            line.clear();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "ended before {begin}"
            );
        }
        assert!(line.ends_with("\r\n"), "{line:?}");
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Byte by byte, each on its own way.
    fn dribble(&mut self, text: &str) {
        for byte in text.as_bytes() {
            self.stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

fn line(kind: char, contents: &str, id: u64) -> String {
    format!(
        "{kind},AAPL,183.{id:04},13,11/14/2025,09:30:00.{id:06},11,01,1,{id},183.35,183.37,{contents},\r\n"
    )
}

fn trade(id: u64) -> String {
    line('Q', "Cv", id)
}

fn summary(id: u64) -> String {
    line('P', "Cbav", id)
}

fn records(home: &Path) -> Vec<Record> {
    let mut reader = Reader::open(home, "iqfeed").unwrap();
    let mut records = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        records.extend_from_slice(frame.records());
    }
    records
}

/// Gaps of trades: cause, how many were missing at the end (−2: it is open), in order.
fn gaps(records: &[Record]) -> Vec<(u8, i64)> {
    let mut found = Vec::new();
    for record in records
        .iter()
        .filter(|r| r.kind == kind::GAP && r.price_scale == channel::TRADES)
    {
        match record.side() {
            Side::Buy => found.push((record.size_scale, -2)),
            _ => found.last_mut().unwrap().1 = record.size,
        }
    }
    found
}

#[test]
fn lines_over_tcp_with_everything_that_goes_wrong() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let collector = Collector::start(home.path(), &url);
    let trades =
        |n: u64| move |status: &Value| status["records"].as_u64().is_some_and(|records| records >= n);

    // split at every byte; a summary of a trade from before is no trade of ours
    let mut peer = Peer::accept(&listener, 1);
    peer.dribble(&(trade(2) + &trade(3)));
    collector.until("live with two trades", |s| s["state"] == "live" && trades(6)(s));

    // without DTN: stale, and afterwards the newest trade proves that nothing was missed
    peer.say("S,SERVER DISCONNECTED\r\n");
    let status = collector.until("stale", |s| s["state"] == "stale");
    assert_eq!(status["error"]["code"], "venue_stale", "{status}");
    peer.say("S,SERVER CONNECTED\r\n");
    peer.expect("fAAPL");
    peer.say(&summary(3));
    let open = |n: u64| move |s: &Value| s["gaps_open"] == n;
    collector.until("whole again", |s| s["state"] == "live" && open(0)(s));
    peer.say(&trade(4));

    // cut: what came between is a hole, and nobody can say of how many
    collector.until("four", |s| s["gaps_open"] == 0 && s["lag_p50_ns"].is_number());
    std::thread::sleep(Duration::from_millis(200));
    drop(peer);
    let mut peer = Peer::accept(&listener, 6);
    collector.until("open", |s| s["state"] == "live" && open(1)(s));
    peer.say(&trade(7));
    peer.say(&trade(7)); // IQConnect repeats itself
    collector.until("closed", open(0));

    // mute: it neither asks nor answers
    let mut next = Peer::accept(&listener, 7);
    drop(peer);
    collector.until("over the stall", |s| s["state"] == "live" && open(0)(s));
    next.say(&trade(8));

    // a line without an end is given up at the bound, and so is who sends it
    let status = collector.until("eight", |s| s["quarantined"] == 0 && open(0)(s));
    assert_eq!(status["reconnects"], 2, "{status}");
    std::thread::sleep(Duration::from_millis(200));
    let long = "x".repeat(70 << 10);
    let _ = next.stream.write_all(long.as_bytes());
    let status = collector.until("given up", |s| s["reconnects"] == 3);
    let said = status["error"]["message"].as_str().unwrap();
    assert!(said.contains("over this venue's limit of 65536"), "{said}");
    collector.drain();

    let records = records(home.path());
    let of = |wanted: u8| records.iter().filter(move |r| r.kind == wanted);
    assert_eq!(of(kind::TRADE).map(|r| r.id).collect::<Vec<_>>(), [2, 3, 4, 7, 8]);
    assert_eq!(of(kind::DETAIL).count(), 5, "each has its own");
    assert!(of(kind::TRADE).all(|r| r.price().to_string() == format!("183.{:04}", r.id)));
    assert!(of(kind::TRADE).all(|r| !r.has(flag::IRREGULAR)));
    assert_eq!(
        gaps(&records),
        [
            (cause::DISCONNECT, 0),
            (cause::DISCONNECT, -1),
            (cause::STALL, 0),
            (cause::LIMIT, -2)
        ]
    );
    let told: Vec<u64> = of(kind::STATUS).map(|r| r.id).collect();
    let (live, stale, again) = (status::LIVE, status::STALE, status::RECONNECTING);
    assert_eq!(
        told,
        [
            status::CONNECTING,
            live,
            stale,
            live,
            again,
            live,
            stale,
            again,
            live,
            again
        ]
    );
}

/// Nobody listens: said, and tried again until somebody does.
#[test]
fn a_port_that_is_refused_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let collector = Collector::start(home.path(), &format!("tcp://{address}"));
    let status = collector.until("refused twice", |s| s["attempt"].as_u64().is_some_and(|n| n >= 2));
    assert_eq!(
        (&status["state"], &status["error"]["code"]),
        (&"reconnecting".into(), &"venue_connection".into())
    );
    let listener = TcpListener::bind(address).unwrap();
    let mut peer = Peer::accept(&listener, 1);
    peer.say(&trade(2));
    collector.until("live", |s| s["state"] == "live");
    collector.drain();
}
