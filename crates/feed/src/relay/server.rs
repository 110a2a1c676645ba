//! The relay's doors and its subscribers: who is let in, who is there, what was done, and the end of it all.
//! What a subscriber is told is in `talk`, what it is brought in `pump`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::{Value, json};

use super::Options;
use super::client::Address;
use super::peer::{Peer, Stream, lock};
use super::tls::{self, Unshaken};
use crate::clock::wall_ns;
use crate::control::same_user;
use crate::failure::{Category, Failure};
use crate::log::Log;
use crate::part::Counted;

/// TLS handshakes at once; who comes beyond them is dropped. They are no subscribers yet.
const HANDSHAKES_MAX: usize = 64;

/// A listening socket.
#[derive(Debug)]
pub enum Door {
    Local(UnixListener),
    Remote(TcpListener),
    Safe(TcpListener, Arc<ServerConfig>),
}

/// The relay's state: who is served, and what was done.
#[derive(Debug)]
pub struct Server {
    pub(super) home: PathBuf,
    /// Serve this venue alone.
    pub(super) only: Option<String>,
    pub(super) upstreams: Vec<Address>,
    pub(super) token: Option<String>,
    subscribers_max: usize,
    pub(super) stall: Duration,
    pub(super) log: Log,
    since_ns: i64,
    next_id: AtomicU64,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    pub(super) closing: AtomicBool,
    threads: Arc<AtomicUsize>,
    handshakes: Arc<AtomicUsize>,
    handshakes_failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) cut: AtomicU64,
    /// Of peers that have gone.
    past_bytes: AtomicU64,
    past_frames: AtomicU64,
    past_skipped: AtomicU64,
}

impl Server {
    pub fn new(options: &Options, token: Option<String>, log: Log) -> Self {
        Self {
            home: options.home.clone(),
            only: None,
            upstreams: options.upstreams(),
            token,
            subscribers_max: options.subscribers_max,
            stall: Duration::from_secs(options.stall_s),
            log,
            since_ns: wall_ns(),
            next_id: AtomicU64::new(1),
            peers: Mutex::default(),
            closing: AtomicBool::new(false),
            threads: Arc::default(),
            handshakes: Arc::default(),
            handshakes_failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            past_bytes: AtomicU64::new(0),
            past_frames: AtomicU64::new(0),
            past_skipped: AtomicU64::new(0),
        }
    }

    /// The same, for one venue alone.
    pub fn only(self, venue: &str) -> Self {
        Self {
            only: Some(venue.to_owned()),
            ..self
        }
    }

    /// Accepts on a thread of its own until the server closes.
    pub fn listen(self: Arc<Self>, door: Door) -> io::Result<()> {
        std::thread::Builder::new()
            .name("relay-door".into())
            .spawn(move || self.accept(&door))?;
        Ok(())
    }

    fn accept(self: &Arc<Self>, door: &Door) {
        while !self.closing.load(Relaxed) {
            let came = match door {
                Door::Local(listener) => listener
                    .accept()
                    .map(|(stream, _)| self.admit(Stream::Local(stream))),
                Door::Remote(listener) => listener.accept().map(|(stream, _)| {
                    let _ = stream.set_nodelay(true); // slower without, not wrong
                    self.admit(Stream::Remote(stream));
                }),
                Door::Safe(listener, config) => listener.accept().map(|(stream, _)| {
                    let _ = stream.set_nodelay(true);
                    self.shake(stream, config.clone());
                }),
            };
            match came {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.log
                        .warn("accept failed", json!({ "error": error.to_string() }));
                    std::thread::sleep(Duration::from_millis(50)); // out of descriptors: some will close
                }
            }
        }
    }

    /// Lets a peer in once its handshake is done, on a thread of its own: one that hangs holds up nobody.
    fn shake(self: &Arc<Self>, stream: TcpStream, config: Arc<ServerConfig>) {
        let shaking = Counted::one_of(&self.handshakes);
        if self.handshakes.load(Relaxed) > HANDSHAKES_MAX {
            return self.unshaken(&format!("over {HANDSHAKES_MAX} at once"));
        }
        let server = self.clone();
        let spawned = self.spawn("relay-shake", move || {
            let found = tls::accept(&stream, config);
            drop(shaking);
            match found {
                Ok(connection) => {
                    let stream = Stream::Safe(stream, Box::new(Mutex::new(connection)));
                    if let Some(serving) = server.enter(stream) {
                        serving.talk();
                    }
                }
                Err(Unshaken::Silent) => {
                    server.unshaken("nothing came");
                    // It reads clear text, if anything.
                    Peer::new(0, Stream::Remote(stream), Duration::ZERO).refuse(&Failure::new(
                        Category::Usage,
                        "tls_required",
                        "this port speaks TLS",
                        "connect to tls:host:port",
                    ));
                }
                Err(Unshaken::Failed(error)) => server.unshaken(&error.to_string()),
            }
        });
        if let Err(error) = spawned {
            self.unshaken(&error.to_string());
        }
    }

    /// Counts, and tells now and then: whoever can connect must not fill the log.
    fn unshaken(&self, why: &str) {
        let failed = self.handshakes_failed.fetch_add(1, Relaxed) + 1;
        if failed.is_power_of_two() {
            self.log.warn(
                "a TLS handshake failed",
                json!({ "error": why, "failed_so_far": failed }),
            );
        }
    }

    fn admit(self: &Arc<Self>, stream: Stream) {
        let Some(serving) = self.enter(stream) else {
            return;
        };
        if let Err(error) = self.spawn("relay-peer", move || serving.talk()) {
            self.log.error(
                "no thread for a subscriber",
                json!({ "error": error.to_string() }),
            );
        }
    }

    /// Takes a peer among the subscribers; `None` where it is refused.
    fn enter(self: &Arc<Self>, stream: Stream) -> Option<Serving> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let is_stranger = matches!(&stream, Stream::Local(local) if !same_user(local));
        let peer = Arc::new(Peer::new(id, stream, self.stall));
        if is_stranger {
            self.refused.fetch_add(1, Relaxed);
            self.log
                .warn("refused a peer of another user", json!({ "peer": peer.id }));
            peer.close();
            return None;
        }
        {
            let mut peers = lock(&self.peers);
            if peers.len() >= self.subscribers_max {
                drop(peers);
                self.refused.fetch_add(1, Relaxed);
                peer.refuse(&Failure::new(
                    Category::RateLimit,
                    "subscribers_full",
                    format!(
                        "this relay already serves its {} subscribers",
                        self.subscribers_max
                    ),
                    "close others, or start it with a larger --subscribers-max",
                ));
                return None;
            }
            peers.insert(peer.id, peer.clone());
        }
        Some(Serving {
            server: self.clone(),
            peer,
        })
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let counted = Counted::one_of(&self.threads);
        std::thread::Builder::new()
            .name(name.into())
            .stack_size(512 * 1024)
            .spawn(move || {
                let _counted = counted;
                work();
            })
            .map(drop)
    }

    fn forget(&self, peer: &Peer) {
        if lock(&self.peers).remove(&peer.id).is_some() {
            self.past_bytes.fetch_add(peer.bytes.load(Relaxed), Relaxed);
            self.past_frames.fetch_add(peer.frames.load(Relaxed), Relaxed);
            self.past_skipped.fetch_add(peer.skipped.load(Relaxed), Relaxed);
        }
    }

    // --- status --------------------------------------------------------------------------------------

    pub fn status(&self, listen: Option<&str>) -> Value {
        let peers = lock(&self.peers);
        let subscribers: Vec<Value> = peers
            .values()
            .map(|peer| {
                json!({
                    "peer": peer.id,
                    "remote": peer.is_remote(),
                    "frames": peer.frames.load(Relaxed),
                    "skipped": peer.skipped.load(Relaxed),
                    "bytes": peer.bytes.load(Relaxed),
                    "positions": *lock(&peer.positions),
                })
            })
            .collect();
        drop(peers);
        json!({
            "part": "relay",
            "pid": std::process::id(),
            "state": if self.closing.load(Relaxed) { "draining" } else { "live" },
            "since_ns": self.since_ns,
            "version": env!("CARGO_PKG_VERSION"),
            "listen": listen,
            "subscribers": subscribers,
            "metrics": self.numbers(),
        })
    }

    fn numbers(&self) -> BTreeMap<&'static str, u64> {
        let peers = lock(&self.peers);
        let sum = |past: &AtomicU64, of: fn(&Peer) -> &AtomicU64| {
            past.load(Relaxed) + peers.values().map(|peer| of(peer).load(Relaxed)).sum::<u64>()
        };
        BTreeMap::from([
            ("subscribers", peers.len() as u64),
            ("threads", self.threads.load(Relaxed) as u64),
            ("frames", sum(&self.past_frames, |peer| &peer.frames)),
            ("skipped", sum(&self.past_skipped, |peer| &peer.skipped)),
            ("bytes", sum(&self.past_bytes, |peer| &peer.bytes)),
            ("cut", self.cut.load(Relaxed)),
            ("refused", self.refused.load(Relaxed)),
            ("handshakes_failed", self.handshakes_failed.load(Relaxed)),
        ])
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.numbers() {
            let (full, kind) = match name {
                "subscribers" | "threads" => (format!("tidemill_relay_{name}"), "gauge"),
                _ => (format!("tidemill_relay_{name}_total"), "counter"),
            };
            text.push_str(&format!("# TYPE {full} {kind}\n{full} {value}\n"));
        }
        text
    }

    /// Lets every subscriber have what is in the journals, for as long as `limit`, and closes it.
    pub fn close(&self, limit: Duration) {
        self.closing.store(true, Relaxed);
        let deadline = Instant::now() + limit;
        loop {
            let peers = lock(&self.peers);
            let is_over = Instant::now() >= deadline;
            for peer in peers
                .values()
                .filter(|peer| is_over || peer.pumps.load(Acquire) == 0)
            {
                peer.close();
            }
            if peers.is_empty() || is_over {
                return;
            }
            drop(peers);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A subscriber while a thread talks to it; dropping it, a panic included, ends the subscriber.
struct Serving {
    server: Arc<Server>,
    peer: Arc<Peer>,
}

impl Serving {
    /// Serves it until it goes.
    fn talk(&self) {
        let Self { server, peer } = self;
        if let Err(failure) = server.talk(peer) {
            server.refused.fetch_add(1, Relaxed);
            server.log.warn(
                "refused a subscriber",
                json!({ "peer": peer.id, "error": failure.to_json() }),
            );
            peer.refuse(&failure);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.peer.close();
        self.server.forget(&self.peer);
    }
}
