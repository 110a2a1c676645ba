//! The control socket of a part: `DIR/run/<part>.ctl`, one JSON line in, one JSON line out.
//!
//! `{"op":"status"}`, `{"op":"metrics"}`, `{"op":"configure",…}`, `{"op":"drain"}`. It runs on threads of
//! its own, so a part whose loop is busy still answers. Only this user is served: the socket has mode
//! 0600 and the peer's user is checked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Category, Failure};
use crate::part::{Counted, socket_path};

/// A request line may be this long; an instrument list of thousands fits.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Peers served at once; the next one waits in the listener's queue.
const MAX_PEERS: usize = 16;
/// A peer that sends or takes nothing for this long is cut.
const IDLE: Duration = Duration::from_secs(30);

/// Answers one request. `op` is its "op"; the whole object comes with it.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, op: &str, request: &Value) -> Result<Value, Failure>;
}

impl<F> Handler for F
where
    F: Fn(&str, &Value) -> Result<Value, Failure> + Send + Sync + 'static,
{
    fn handle(&self, op: &str, request: &Value) -> Result<Value, Failure> {
        self(op, request)
    }
}

/// A served control socket; dropping it takes the socket away.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    closing: Arc<AtomicBool>,
}

impl Server {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        let _ = UnixStream::connect(&self.path); // wakes the accepting thread
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves `DIR/run/<part>.ctl`. A socket nobody answers on is a leftover of a killed process and is
/// replaced; one that answers means that this part runs already.
pub fn serve(home: &Path, part: &str, handler: impl Handler) -> Result<Server, Failure> {
    let path = socket_path(home, &format!("{part}.ctl")).map_err(|error| unusable(home, part, &error))?;
    let listener = listen(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            Failure::new(
                Category::Conflict,
                "part_running",
                format!("{part} already runs in {}", home.display()),
                format!("stop it first: its control socket {} answers", path.display()),
            )
        } else {
            unusable(home, part, &error)
        }
    })?;
    let closing = Arc::new(AtomicBool::new(false));
    let server = Server {
        path,
        closing: closing.clone(),
    };
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || accept(&listener, &closing, Arc::new(handler)))
        .map_err(|error| unusable(home, part, &error))?;
    Ok(server)
}

fn unusable(home: &Path, part: &str, error: &io::Error) -> Failure {
    Failure::new(
        Category::Config,
        "control_socket",
        format!("no control socket for {part} in {}: {error}", home.display()),
        "the home must be a folder of this user on a local disk",
    )
}

/// Binds a unix socket that only this user can use, replacing a dead one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the process at the other end belongs to this user (or to root).
pub fn same_user(stream: &UnixStream) -> bool {
    // SAFETY: geteuid cannot fail and touches no memory of ours.
    let own = unsafe { libc::geteuid() };
    peer_user(stream).is_ok_and(|user| user == own || user == 0)
}

#[cfg(target_os = "linux")]
fn peer_user(stream: &UnixStream) -> io::Result<libc::uid_t> {
    use std::os::fd::AsRawFd;
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are to a ucred and its exact size, and the descriptor is open.
    let code = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if code == 0 {
        Ok(credentials.uid)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
fn peer_user(stream: &UnixStream) -> io::Result<libc::uid_t> {
    use std::os::fd::AsRawFd;
    let (mut user, mut group) = (0, 0);
    // SAFETY: both pointers are valid for writes and the descriptor is open.
    let code = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
    if code == 0 {
        Ok(user)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn accept(listener: &UnixListener, closing: &Arc<AtomicBool>, handler: Arc<dyn Handler>) {
    let peers = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if closing.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else {
            std::thread::sleep(Duration::from_millis(50)); // out of descriptors: wait for some to close
            continue;
        };
        while peers.load(Ordering::Acquire) >= MAX_PEERS {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (counted, handler) = (Counted::one_of(&peers), handler.clone());
        // A peer for which there is no thread now is hung up on.
        let _ = std::thread::Builder::new()
            .name("control-peer".into())
            .spawn(move || {
                let _counted = counted;
                if same_user(&stream) {
                    let _ = talk(stream, handler.as_ref()); // a peer that went away needs no answer
                }
            });
    }
}

fn talk(stream: UnixStream, handler: &dyn Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n");
        let answer = if whole || (read as u64) < MAX_LINE_BYTES {
            respond(handler, &line)
        } else {
            error_answer(&Failure::new(
                Category::Resource,
                "request_too_long",
                format!("a request line has at most {MAX_LINE_BYTES} bytes"),
                "",
            ))
        };
        let mut text = answer.to_string();
        text.push('\n');
        writer.write_all(text.as_bytes())?;
        if !whole {
            return Ok(());
        }
    }
}

fn respond(handler: &dyn Handler, line: &[u8]) -> Value {
    let request: Value = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            return error_answer(&Failure::new(
                Category::Usage,
                "request_not_json",
                format!("a request is one line of JSON; this one is not: {error}"),
                r#"for example {"op":"status"}"#,
            ));
        }
    };
    let Some(op) = request.get("op").and_then(Value::as_str) else {
        return error_answer(&Failure::new(
            Category::Usage,
            "op_missing",
            "the request names no \"op\"",
            "have: status, metrics, configure, drain",
        ));
    };
    match handler.handle(op, &request) {
        Ok(answer) => answer,
        Err(failure) => error_answer(&failure),
    }
}

fn error_answer(failure: &Failure) -> Value {
    json!({ "error": failure.to_json() })
}

/// What a handler answers to an op it does not have.
pub fn unknown_op(op: &str, have: &[&str]) -> Failure {
    Failure::new(
        Category::Usage,
        "op_unknown",
        format!("no op named '{}'", op.chars().take(40).collect::<String>()),
        format!("have: {}", have.join(", ")),
    )
}

/// Asks a part: one line out, one line in. For tests and for parts that ask each other.
pub fn ask(path: &Path, request: &Value, limit: Duration) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(op: &str, request: &Value) -> Result<Value, Failure> {
        match op {
            "status" => Ok(json!({ "part": "test", "asked": request })),
            _ => Err(unknown_op(op, &["status"])),
        }
    }

    #[test]
    fn one_line_in_one_line_out() {
        let home = tempfile::tempdir().unwrap();
        let server = serve(home.path(), "test", echo).unwrap();
        let mode = std::fs::metadata(server.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let answer = ask(server.path(), &json!({"op": "status", "x": 1}), IDLE).unwrap();
        assert_eq!(answer["asked"]["x"], 1);
        let answer = ask(server.path(), &json!({"op": "fly"}), IDLE).unwrap();
        assert_eq!(answer["error"]["code"], "op_unknown");
        assert_eq!(answer["error"]["category"], "usage");
    }

    #[test]
    fn two_requests_on_one_connection_and_garbage_between_connections() {
        let home = tempfile::tempdir().unwrap();
        let server = serve(home.path(), "test", echo).unwrap();
        let mut stream = UnixStream::connect(server.path()).unwrap();
        stream
            .write_all(b"{\"op\":\"status\"}\n\xff\xfe{{{\n{}\n")
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(next()["part"], "test");
        assert_eq!(next()["error"]["code"], "request_not_json");
        assert_eq!(next()["error"]["code"], "op_missing");
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/test.ctl");
        private(&path);
        drop(UnixListener::bind(&path).unwrap()); // as kill -9 leaves it
        let server = serve(home.path(), "test", echo).unwrap();
        let refused = serve(home.path(), "test", echo).unwrap_err();
        assert_eq!((refused.code, refused.category.exit_code()), ("part_running", 6));
        let path = server.path().to_owned();
        drop(server);
        assert!(!path.exists());
    }

    fn private(path: &Path) {
        crate::part::private_folder(path.parent().unwrap()).unwrap();
    }
}
