//! The bridge: the frames of all venues as JSON over WebSocket, for browsers.
//!
//! A thread per venue reads the log, keeps books, quotes and bars, and writes each message once; clients
//! share that text and add only a few bytes of their own. Trades, statuses and gaps are exact, or the client
//! is told where it stands and cut; quotes, books and bars may be merged, and each message says how many it
//! stands for. docs/stream.md is the protocol.

mod bars;
pub mod batch;
mod client;
pub mod handshake;
mod hub;
mod instrument;
pub mod interest;
mod json;
mod message;
mod op;
pub mod outbox;
mod revoked;
mod shard;
mod source;
mod stats;
pub mod venue;
mod view;
mod websocket;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};

use self::client::{Client, Stream};
use self::handshake::{Keeper, Policy, Refusal};
use self::hub::{Hub, SILENCE_NS};
use self::outbox::Subscription;
use self::revoked::Revoked;
use self::shard::{Item, Shards};
use self::source::Source;
use self::stats::Stats;
use self::websocket::close;
use crate::clock::wall_ns;
use crate::control;
use crate::failure::{Category, Failure};
use crate::log::{self, Log};
use crate::part::{Stop, socket_path};
use crate::relay::client::SourceOption;
use crate::ticket;

/// A request head must have come within this.
const ASKS_WITHIN: Duration = Duration::from_secs(10);
/// New venues are looked for this often.
const LOOK: Duration = Duration::from_secs(1);
/// At a relay that takes a connection.
const LOOK_AT_RELAY: Duration = Duration::from_secs(5);
/// The start waits this long for the past of the venues to be read; then it goes on without.
const PAST_WITHIN: Duration = Duration::from_secs(10);
/// Bars are shown this often at most.
const TICK: Duration = Duration::from_millis(100);
const HEARTBEAT_TICKS: u32 = 10;
/// Connections that are still asking; more wait in the listeners' queues.
const ASKING_MAX: usize = 256;

/// `tidemill bridge`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder of the platform.
    #[arg(long, env = "TIDEMILL_HOME")]
    pub home: PathBuf,
    /// Where the records come from: `journal` (this home, in place) or `relay:ADDRESS` (a relay's socket,
    /// tls:host:port or host:port).
    #[arg(long, default_value = "journal")]
    pub source: SourceOption,
    /// File (mode 0600) with the token of a relay over TCP.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file of certificates to trust, besides the system's, where a relay is read over TLS.
    #[arg(long, value_name = "FILE", env = "TIDEMILL_RELAY_CA")]
    pub tls_ca: Option<PathBuf>,
    /// Loopback port; 0 takes a free one, which the status names.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Clients at once.
    #[arg(long, default_value_t = 4096)]
    pub connections_max: usize,
    /// Bytes that may wait for one client before it is cut.
    #[arg(long, default_value_t = outbox::QUEUE_BYTES_MAX)]
    pub queue_bytes_max: usize,
    /// End when standard input ends: the supervisor is gone.
    #[arg(long)]
    pub supervised: bool,
}

/// Everything the connections share.
#[derive(Debug)]
pub struct Bridge {
    pub log: Log,
    pub keeper: Keeper,
    policy: Policy,
    pub stats: Stats,
    pub shards: Arc<Shards>,
    pub queue_bytes_max: usize,
    connections_max: usize,
    hubs: RwLock<Vec<Arc<Hub>>>,
    /// Venues whose past is still being read.
    starting: Mutex<Vec<Arc<Hub>>>,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    next_client: AtomicU64,
    asking: AtomicUsize,
    revoked: Revoked,
    closing: Arc<AtomicBool>,
    since_ns: i64,
}

impl Bridge {
    /// The venues served now. A venue's index never changes.
    pub fn hubs(&self) -> Vec<Arc<Hub>> {
        self.hubs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn hub(&self, index: usize) -> Option<Arc<Hub>> {
        self.hubs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(index)
            .cloned()
    }

    /// Ends every stream of a session, now, and lets it in no more; how many were ended.
    fn revoke(&self, subject: &str) -> usize {
        self.revoked.add(subject);
        let clients = self.clients();
        let ended = clients.iter().filter(|client| client.is(subject));
        ended
            .map(|client| client.with(|outbox| outbox.cut("signed_out", close::UNAUTHORIZED)))
            .count()
    }

    pub fn is_revoked(&self, subject: &str) -> bool {
        self.revoked.has(subject)
    }

    fn clients(&self) -> Vec<Arc<Client>> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.values().cloned().collect()
    }

    /// Counts out the parts of a subscription that were live.
    pub fn left(&self, subscription: &Subscription) {
        for part in subscription.parts.iter().filter(|part| !part.catching) {
            if let Some(hub) = self.hub(part.venue) {
                hub.lock().leave(&part.interest);
            }
        }
    }

    fn hello(&self) -> String {
        let venues: BTreeMap<String, Value> = self
            .hubs()
            .iter()
            .map(|hub| {
                let venue = hub.lock();
                let (epoch, sequence) = venue.position();
                let instruments: Vec<&str> = venue.instrument_names().collect();
                let entry = json!({"epoch": epoch, "sequence": sequence, "instruments": instruments});
                (hub.name.to_string(), entry)
            })
            .collect();
        json!({"type": "hello", "version": 1, "venues": venues, "heartbeat_s": 1}).to_string()
    }

    /// Starts reading what has appeared since the last look. One venue that cannot be read keeps no other
    /// from being read; the first failure is returned.
    fn look_for_venues(&self, source: &Source) -> Result<(), Failure> {
        let mut result = Ok(());
        let hubs = self.hubs();
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        for name in source.venues()? {
            if hubs.iter().chain(starting.iter()).any(|hub| *hub.name == name) {
                continue;
            }
            let index = hubs.len() + starting.len();
            match Hub::start(index, &name, source, &self.shards, &self.closing, &self.log) {
                Ok(hub) => starting.push(hub),
                Err(failure) if failure.category == Category::NotFound => {} // nothing was written yet
                Err(failure) => result = result.and(Err(failure)),
            }
        }
        result
    }

    /// Serves the venues whose past is read, in the order of their indices; true when none is left.
    fn promote(&self) -> bool {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        while starting
            .first()
            .is_some_and(|hub| hub.ready.load(Ordering::Relaxed))
        {
            let hub = starting.remove(0);
            self.log.info("venue", json!({ "venue": &*hub.name }));
            self.hubs
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push(hub);
        }
        starting.is_empty()
    }

    /// The thread that looks for venues, shows bars that are due and beats.
    fn tick(&self, source: &Source) {
        let mut looked = Instant::now();
        let look = match source {
            Source::Journal { .. } => LOOK,
            Source::Relay { .. } => LOOK_AT_RELAY,
        };
        let mut complained = false;
        let mut counts: Vec<(u64, Instant)> = Vec::new();
        let mut ticks = 0;
        let mut next = Instant::now();
        while !self.closing.load(Ordering::Acquire) {
            next += TICK;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            self.promote();
            let hubs = self.hubs();
            for hub in &hubs {
                hub.tick();
            }
            ticks += 1;
            if ticks % HEARTBEAT_TICKS == 0 {
                let now = Instant::now();
                for (at, hub) in hubs.iter().enumerate() {
                    let (messages, _) = hub.lock().counts();
                    match counts.get_mut(at) {
                        Some((before, since)) => {
                            let seconds = now.duration_since(*since).as_secs_f64();
                            hub.set_messages_per_s((messages - *before) as f64 / seconds);
                            (*before, *since) = (messages, now);
                        }
                        None => counts.push((messages, now)),
                    }
                }
                self.beat(&hubs);
            }
            self.shards.serve();
            if looked.elapsed() >= look {
                looked = Instant::now();
                match self.look_for_venues(source) {
                    Ok(()) => complained = false,
                    Err(failure) if !complained => {
                        complained = true;
                        self.log.warn(
                            "venues cannot be looked for",
                            json!({ "error": failure.to_json() }),
                        );
                    }
                    Err(_) => {} // said already
                }
            }
        }
    }

    /// Queues a heartbeat behind everything up to the positions it names.
    fn beat(&self, hubs: &[Arc<Hub>]) {
        let now = wall_ns();
        let venues: BTreeMap<&str, Value> = hubs
            .iter()
            .map(|hub| {
                let (position, state) = {
                    let venue = hub.lock();
                    (venue.position(), venue.state(now, SILENCE_NS))
                };
                let rate = (hub.messages_per_s() * 10.0).round() / 10.0;
                let entry = json!({
                    "epoch": position.0,
                    "sequence": position.1,
                    "state": state,
                    "messages_per_s": rate,
                });
                (&*hub.name, entry)
            })
            .collect();
        let text = json!({"type": "heartbeat", "ts": now.to_string(), "venues": venues}).to_string();
        self.shards.queue(&Item::Heartbeat(text.into()));
    }

    // --- connections ---------------------------------------------------------------------------------

    /// From the first byte of a connection to its last.
    async fn welcome(self: Arc<Self>, stream: Stream) {
        self.asking.fetch_add(1, Ordering::AcqRel);
        let asked = tokio::time::timeout(ASKS_WITHIN, self.read_head(&stream)).await;
        self.asking.fetch_sub(1, Ordering::AcqRel);
        let decision = match asked {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => return, // it went away
            Err(_) => Err(Refusal::timeout()),
        };
        let (upgrade, early) = match decision {
            Ok(found) => found,
            Err(refusal) => {
                self.stats.refused.fetch_add(1, Ordering::Relaxed);
                // It may have gone; there is nobody else to tell.
                let _ = write_all(&stream, &refusal.response()).await;
                finish(&stream).await;
                return;
            }
        };
        if write_all(&stream, &upgrade.response()).await.is_err() {
            return;
        }
        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
        bound_send_buffer(&stream);
        let client = Client::new(
            self.next_client.fetch_add(1, Ordering::Relaxed),
            self.clone(),
            stream,
        );
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(client.id, client.clone());
        let pass = upgrade.pass.filter(|pass| !self.is_revoked(&pass.subject));
        client.clone().serve(pass, early).await;
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&client.id);
        finish(&client.stream).await;
    }

    /// The decision on a request, with the bytes that came behind it.
    #[allow(clippy::type_complexity)]
    async fn read_head(
        &self,
        stream: &Stream,
    ) -> std::io::Result<Result<(handshake::Upgrade, Vec<u8>), Refusal>> {
        let mut head = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut buffer) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => head.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let now_s = wall_ns().unsigned_abs() / 1_000_000_000;
            if let Some((decision, length)) = handshake::decide(&head, &self.policy, &self.keeper, now_s) {
                let count = self.clients.lock().unwrap_or_else(PoisonError::into_inner).len();
                if decision.is_ok() && count >= self.connections_max {
                    return Ok(Err(Refusal::crowded(self.connections_max)));
                }
                return Ok(decision.map(|upgrade| (upgrade, head.split_off(length))));
            }
        }
    }

    // --- status --------------------------------------------------------------------------------------

    fn status(&self, port: u16) -> Value {
        let now = wall_ns();
        let hubs = self.hubs();
        let venues: BTreeMap<String, Value> = hubs
            .iter()
            .map(|hub| {
                let venue = hub.lock();
                let (epoch, sequence) = venue.position();
                let entry = json!({
                    "epoch": epoch,
                    "sequence": sequence,
                    "state": venue.state(now, SILENCE_NS),
                    "messages_per_s": hub.messages_per_s(),
                });
                (hub.name.to_string(), entry)
            })
            .collect();
        json!({
            "part": "bridge",
            "pid": std::process::id(),
            "state": if self.closing.load(Ordering::Acquire) { "draining" } else { "live" },
            "since_ns": self.since_ns,
            "version": env!("CARGO_PKG_VERSION"),
            "port": port,
            "venues": venues,
            "metrics": self.numbers(),
        })
    }

    fn numbers(&self) -> BTreeMap<&'static str, Value> {
        let clients = self.clients();
        let subscriptions: usize = clients
            .iter()
            .map(|client| client.with(|outbox| outbox.subscriptions.len()))
            .sum();
        let count = |counter: &AtomicU64| Value::from(counter.load(Ordering::Relaxed));
        let mut numbers = BTreeMap::from([
            ("clients", clients.len().into()),
            ("subscriptions", subscriptions.into()),
            ("accepted", count(&self.stats.accepted)),
            ("messages", count(&self.stats.messages)),
            ("conflated", count(&self.stats.conflated)),
            ("writes", count(&self.stats.writes)),
            ("bytes", count(&self.stats.bytes)),
            ("cut", count(&self.stats.cut)),
            ("refused", count(&self.stats.refused)),
        ]);
        if let Some([p50, p99]) = self.stats.latency.quantiles([0.5, 0.99]) {
            numbers.insert("written_p50_ns", p50.into());
            numbers.insert("written_p99_ns", p99.into());
        }
        numbers
    }

    /// Prometheus text.
    fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.numbers() {
            let (full, kind) = match name {
                "clients" | "subscriptions" | "written_p50_ns" | "written_p99_ns" => {
                    (format!("tidemill_bridge_{name}"), "gauge")
                }
                _ => (format!("tidemill_bridge_{name}_total"), "counter"),
            };
            text.push_str(&format!("# TYPE {full} {kind}\n{full} {value}\n"));
        }
        text
    }

    /// Tells every client where to resume, and waits until they have it or a bound has passed.
    async fn drain(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let clients = self.clients();
        for client in &clients {
            client.with(|outbox| outbox.cut("drain", close::RESTART));
        }
        drop(clients);
        while Instant::now() < deadline {
            if self
                .clients
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn write_all(stream: &Stream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends our half and reads what still comes, so that a reset does not overtake our last words.
async fn finish(stream: &Stream) {
    use std::os::fd::AsRawFd;
    let fd = match stream {
        Stream::Tcp(stream) => stream.as_raw_fd(),
        Stream::Unix(stream) => stream.as_raw_fd(),
    };
    // SAFETY: the descriptor is open as long as the stream is borrowed; an error means it is over already.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
    let mut buffer = [0u8; 4096];
    let rest = async {
        let mut left = 1 << 20; // a peer that never stops is not listened to for ever
        while left > 0 && stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(bytes) => left -= bytes.min(left),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
}

/// What lies in the kernel's buffer can be neither merged nor dropped: it is kept small, so that a client
/// that wakes up sees the present soon.
fn bound_send_buffer(stream: &Stream) {
    use std::os::fd::AsRawFd;
    let fd = match stream {
        Stream::Tcp(stream) => {
            let _ = stream.set_nodelay(true); // we write whole batches; waiting gains nothing
            stream.as_raw_fd()
        }
        Stream::Unix(stream) => stream.as_raw_fd(),
    };
    let bytes: libc::c_int = 128 * 1024;
    // SAFETY: the option is an int and its size is given; without it the buffer is larger, nothing worse.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

/// Thousands of clients need thousands of descriptors; the soft limit is often 1024.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live rlimit. If it fails, the old limit stands.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Runs the bridge until it is told to stop; returns the exit code.
pub fn run(options: Options) -> i32 {
    let log = Log::new("bridge");
    let code = match serve(&options, &log) {
        Ok(reason) => {
            log.info("stopped", json!({ "reason": reason }));
            0
        }
        Err(failure) => {
            log.error(&failure.to_string(), json!({ "error": failure.to_json() }));
            failure.category.exit_code()
        }
    };
    log::flush(Duration::from_secs(1));
    code
}

fn unstartable(error: &std::io::Error) -> Failure {
    Failure::new(
        Category::Config,
        "bridge_unstartable",
        format!("the bridge cannot start: {error}"),
        "the home must be a folder of this user on a local disk",
    )
}

fn serve(options: &Options, log: &Log) -> Result<&'static str, Failure> {
    raise_descriptor_limit();
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .enable_all()
        .build()
        .map_err(|error| unstartable(&error))?;
    runtime.block_on(serve_inside(options, log, cores))
}

async fn serve_inside(options: &Options, log: &Log, cores: usize) -> Result<&'static str, Failure> {
    let mut stop = Stop::new(options.supervised).map_err(|error| unstartable(&error))?;
    let home = &options.home;
    let source = match &options.source {
        SourceOption::Journal => Source::Journal { home: home.clone() },
        SourceOption::Relay(address) => Source::Relay {
            address: address.clone().trusting(options.tls_ca.as_deref()),
            token: match &options.token_file {
                Some(path) => Some(ticket::token_file(path, false)?),
                None => None,
            },
        },
    };
    crate::part::private_folder(home).map_err(|error| unstartable(&error))?;
    let closing = Arc::new(AtomicBool::new(false));
    let bridge = Arc::new(Bridge {
        log: log.clone(),
        keeper: Keeper {
            key: ticket::key(home)?,
            token: ticket::token(home)?,
        },
        policy: Policy::from_environment(),
        stats: Stats::default(),
        shards: Shards::start(cores, &closing).map_err(|error| unstartable(&error))?,
        queue_bytes_max: options.queue_bytes_max,
        connections_max: options.connections_max,
        hubs: RwLock::default(),
        starting: Mutex::default(),
        clients: Mutex::default(),
        next_client: AtomicU64::new(1),
        asking: AtomicUsize::new(0),
        revoked: Revoked::read(home)?,
        closing: closing.clone(),
        since_ns: wall_ns(),
    });

    let listener = TcpListener::bind(("127.0.0.1", options.port))
        .await
        .map_err(|error| {
            Failure::new(
                Category::Config,
                "address_unusable",
                format!("--port {}: {error}", options.port),
                "name a free port, or 0 for any",
            )
        })?;
    let port = listener.local_addr().map_err(|error| unstartable(&error))?.port();
    let stopper = stop.stopper();
    let answering = bridge.clone();
    // First of all, because it finds out whether a bridge runs here already.
    let _control = control::serve(home, "bridge", move |op: &str, request: &Value| match op {
        "status" => Ok(answering.status(port)),
        "metrics" => Ok(json!({ "text": answering.metrics() })),
        "drain" => {
            stopper.stop();
            Ok(json!({ "part": "bridge", "state": "draining" }))
        }
        "revoke" => match request.get("subject").and_then(Value::as_str) {
            Some(subject) => Ok(json!({ "ended": answering.revoke(subject) })),
            None => Err(Failure::new(
                Category::Usage,
                "subject_missing",
                "revoke names no \"subject\"",
                "the subject of the session's cookie",
            )),
        },
        other => Err(control::unknown_op(
            other,
            &["status", "metrics", "drain", "revoke"],
        )),
    })?;
    let path = socket_path(home, "bridge.sock").map_err(|error| unstartable(&error))?;
    let local = control::listen(&path)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        })
        .map_err(|error| unstartable(&error))?;

    let (looking, first) = (bridge.clone(), source.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let result = looking.look_for_venues(&first);
        let deadline = Instant::now() + PAST_WITHIN;
        while !looking.promote() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        result
    })
    .await;
    if let Ok(Err(failure)) = looked {
        log.warn("venues cannot be read yet", json!({ "error": failure.to_json() }));
    }
    let ticking = bridge.clone();
    std::thread::Builder::new()
        .name("bridge-tick".into())
        .spawn(move || ticking.tick(&source))
        .map_err(|error| unstartable(&error))?;
    log.info(
        "started",
        json!({ "port": port, "socket": path.display().to_string(), "home": home.display().to_string() }),
    );

    let reason = loop {
        let has_room = bridge.asking.load(Ordering::Acquire) < ASKING_MAX;
        tokio::select! {
            reason = stop.wait() => break reason,
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(bridge.clone().welcome(Stream::Tcp(stream)))),
                Err(error) => pause(log, &error).await,
            },
            accepted = local.accept(), if has_room => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(bridge.clone().welcome(Stream::Unix(stream)))),
                Err(error) => pause(log, &error).await,
            },
            () = tokio::time::sleep(Duration::from_millis(20)), if !has_room => {}
        }
    };
    drop((listener, local));
    let _ = std::fs::remove_file(&path);
    bridge.drain(Duration::from_secs(5)).await;
    closing.store(true, Ordering::Release);
    Ok(reason)
}

async fn pause(log: &Log, error: &std::io::Error) {
    log.warn("accept failed", json!({ "error": error.to_string() }));
    tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: some will close
}
