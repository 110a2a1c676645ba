//! What every part does alike: stop when told, live no longer than its supervisor, find its sockets.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// A unix socket's path may have 108 bytes on Linux and 104 elsewhere; some are kept for the final zero
/// and a suffix.
const SOCKET_PATH_BYTES: usize = 100;

/// Ends the process in order: SIGTERM, SIGINT, `drain` on the control socket, or the supervisor's end.
///
/// Made first of all, inside the runtime: from then on the signals are ours, also in a process whose
/// Python interpreter would otherwise keep them for a main thread that never comes back to it.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
    asked: Arc<Notify>,
}

/// Asks for the end from any thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Notify>);

impl Stopper {
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

impl Stop {
    /// Must be called within a tokio runtime. With `supervised`, end of file on stdin stops the part: that
    /// is how it learns that its supervisor died.
    pub fn new(supervised: bool) -> io::Result<Self> {
        let stop = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            asked: Arc::new(Notify::new()),
        };
        if supervised {
            let stopper = stop.stopper();
            std::thread::Builder::new()
                .name("supervised".into())
                .spawn(move || {
                    let mut buffer = [0; 256];
                    let mut stdin = io::stdin().lock();
                    loop {
                        match stdin.read(&mut buffer) {
                            Ok(0) => break,
                            Ok(_) => {}
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            Err(_) => break,
                        }
                    }
                    stopper.stop();
                })?;
        }
        Ok(stop)
    }

    pub fn stopper(&self) -> Stopper {
        Stopper(self.asked.clone())
    }

    /// Waits for the first reason to end; says which.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = self.asked.notified() => "drain",
        }
    }
}

/// One of several, counted in while it lives: a panic counts it out too.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub fn one_of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Makes a folder that only this user can enter.
pub fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Where the socket `name` (`relay.sock`, `collector-kraken.ctl`) of this home is: `DIR/run/<name>`, or,
/// where that is too long for a unix socket, a short folder of this user which `DIR/run/sockets.json` names.
pub fn socket_path(home: &Path, name: &str) -> io::Result<PathBuf> {
    let run = home.join("run");
    private_folder(&run)?;
    let path = run.join(name);
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES {
        return Ok(path);
    }
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    // SAFETY: geteuid cannot fail and touches no memory of ours.
    let user = unsafe { libc::geteuid() };
    let canonical = run.canonicalize()?;
    let digest = wire::crc32c(0, canonical.as_os_str().as_bytes());
    let folder = base.join(format!("tidemill-{user}-{digest:08x}"));
    private_folder(&folder)?;
    let facts = std::fs::symlink_metadata(&folder)?;
    if !facts.is_dir() || facts.uid() != user || facts.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is not a private folder of this user; remove it",
                folder.display()
            ),
        ));
    }
    let short = folder.join(name);
    remember(&run, name, short.as_os_str())?;
    Ok(short)
}

/// Writes `name` → `path` into `sockets.json`, keeping what other parts wrote there. What stands there already is not
/// written again: whoever looks for a part asks each second, and must find it on a disk that is full or read-only too.
fn remember(run: &Path, name: &str, path: &OsStr) -> io::Result<()> {
    let file = run.join("sockets.json");
    let read = || -> serde_json::Map<String, serde_json::Value> {
        std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    };
    let path: serde_json::Value = path.to_string_lossy().into();
    if read().get(name) == Some(&path) {
        return Ok(());
    }
    let lock = std::fs::File::create(run.join("sockets.lock"))?;
    lock.lock()?;
    let mut table = read();
    table.insert(name.into(), path);
    write_whole(&file, serde_json::Value::Object(table).to_string().as_bytes())
}

/// Replaces a file so that a reader sees the old or the new one, never half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_home_gets_a_short_socket_that_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            socket_path(folder.path(), "relay.sock").unwrap(),
            folder.path().join("run/relay.sock")
        );
        let deep = folder.path().join("x".repeat(120));
        let one = socket_path(&deep, "relay.sock").unwrap();
        let two = socket_path(&deep, "kraken.sock").unwrap();
        assert!(one.as_os_str().len() <= SOCKET_PATH_BYTES);
        let table: serde_json::Value =
            serde_json::from_slice(&std::fs::read(deep.join("run/sockets.json")).unwrap()).unwrap();
        assert_eq!(table["relay.sock"], one.to_str().unwrap());
        assert_eq!(table["kraken.sock"], two.to_str().unwrap());
        // Where nothing can be written any more, those that are known are found, and no others.
        std::fs::remove_file(deep.join("run/sockets.lock")).unwrap();
        std::fs::create_dir(deep.join("run/sockets.lock")).unwrap();
        assert_eq!(socket_path(&deep, "relay.sock").unwrap(), one);
        assert!(socket_path(&deep, "bridge.sock").is_err());
        std::fs::remove_dir_all(one.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn stops_when_asked_even_before_it_waits() {
        let mut stop = Stop::new(false).unwrap();
        stop.stopper().stop();
        assert_eq!(stop.wait().await, "drain");
    }
}
