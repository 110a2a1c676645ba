//! One connection: its socket, its outbox, and what it asks for.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use super::Bridge;
use super::hub::{History, Progress};
use super::op;
use super::outbox::{Outbox, SnapshotRequest};
use super::shard::Item;
use super::websocket::{Decoder, Message, Violation, close};
use crate::clock::wall_ns;
use crate::ticket::Pass;

/// A connection that has not proved who it is within this is closed.
const AUTHORIZES_WITHIN: Duration = Duration::from_secs(5);
/// A client whose socket takes nothing for this long, while something waits, is cut.
const STALL: Duration = Duration::from_secs(30);
/// Time for the last words of a connection.
const FAREWELL: Duration = Duration::from_secs(3);
/// Operations that may come at once, and each second after that.
const OPS_BURST: f64 = 100.0;
const OPS_PER_S: f64 = 20.0;
/// Waiting for a source that has not delivered history yet.
const HISTORY_WAITS: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            Self::Unix(stream) => stream.writable().await,
        }
    }
}

/// What the delivering threads and the connection's own task share.
#[derive(Debug)]
struct Shared {
    outbox: Outbox,
    /// Since when the socket takes nothing; its task waits for it to take again.
    blocked: Option<Instant>,
    /// The socket is broken: nothing can be written any more.
    broken: bool,
    /// Who the client is, once it has proved it.
    pass: Option<Pass>,
    /// Snapshots to ask for, which needs the venue's lock.
    requests: Vec<SnapshotRequest>,
}

#[derive(Debug)]
pub struct Client {
    pub id: u64,
    bridge: Arc<Bridge>,
    pub stream: Stream,
    shared: Mutex<Shared>,
    /// Calls the connection's task: the socket is full, snapshots are needed, or the stream has ended.
    call: Notify,
}

impl Client {
    pub fn new(id: u64, bridge: Arc<Bridge>, stream: Stream) -> Arc<Self> {
        let outbox = Outbox::new(id, bridge.queue_bytes_max);
        Arc::new(Self {
            id,
            bridge,
            stream,
            shared: Mutex::new(Shared {
                outbox,
                blocked: None,
                broken: false,
                pass: None,
                requests: Vec::new(),
            }),
            call: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the outbox to `work`, then writes what it can.
    pub fn with<T>(&self, work: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut shared = self.lock();
        let result = work(&mut shared.outbox);
        self.flush(&mut shared);
        result
    }

    /// Takes in what happened and writes it in as few calls as the socket allows.
    pub fn deliver(&self, items: &[Item]) {
        let mut shared = self.lock();
        if shared.broken {
            return;
        }
        for item in items {
            match item {
                Item::Batch(batch) => shared.outbox.accept(batch),
                Item::Heartbeat(text) => shared.outbox.beat(text),
            }
        }
        if shared.blocked.is_none() {
            self.flush(&mut shared);
        } else if shared.outbox.ended().is_some() {
            self.call.notify_one();
        }
    }

    fn flush(&self, shared: &mut Shared) {
        let stats = &self.bridge.stats;
        loop {
            while !shared.outbox.pending().is_empty() && !shared.broken {
                match self.stream.try_write(shared.outbox.pending()) {
                    Ok(bytes) => {
                        stats.writes.fetch_add(1, Relaxed);
                        stats.bytes.fetch_add(bytes as u64, Relaxed);
                        shared.outbox.wrote(bytes);
                        shared.blocked = None;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        shared.blocked.get_or_insert_with(Instant::now);
                        self.call.notify_one();
                        self.count(shared);
                        return;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        shared.broken = true;
                        self.call.notify_one();
                    }
                }
            }
            if let Some(seen) = shared.outbox.oldest_seen.take() {
                stats.latency.record(seen.elapsed());
            }
            let requests = shared.outbox.refill();
            if !requests.is_empty() {
                shared.requests.extend(requests);
                self.call.notify_one();
            }
            if shared.outbox.pending().is_empty() || shared.broken {
                break;
            }
        }
        self.count(shared);
        if shared.outbox.ended().is_some() {
            self.call.notify_one();
        }
    }

    fn count(&self, shared: &mut Shared) {
        let traffic = std::mem::take(&mut shared.outbox.traffic);
        self.bridge.stats.messages.fetch_add(traffic.messages, Relaxed);
        self.bridge.stats.conflated.fetch_add(traffic.conflated, Relaxed);
    }

    // --- the connection's task -----------------------------------------------------------------------

    /// Serves the connection until one side ends it. `early` came behind the handshake.
    pub async fn serve(self: Arc<Self>, pass: Option<Pass>, early: Vec<u8>) {
        let mut decoder = Decoder::new();
        decoder.push(&early);
        let mut conversation = Conversation {
            client: self.clone(),
            is_authorized: false,
            histories: Vec::new(),
            ops_left: OPS_BURST,
            ops_at: Instant::now(),
        };
        if let Some(pass) = pass {
            conversation.authorize(pass);
        }
        let opened = Instant::now();
        let mut ended: Option<Instant> = None;
        let mut waits_for_history = false;
        conversation.hear(&mut decoder);
        loop {
            let (blocked, is_over) = self.look_after(&mut ended);
            if is_over {
                break;
            }
            let has_history = ended.is_none() && blocked.is_none() && !conversation.histories.is_empty();
            tokio::select! {
                biased;
                readable = self.stream.readable(), if ended.is_none() => {
                    if readable.is_err() || !self.read(&mut decoder, &mut conversation) {
                        break;
                    }
                }
                _ = self.stream.writable(), if blocked.is_some() => {
                    self.with(|_| ());
                }
                () = self.call.notified() => {}
                () = tokio::time::sleep(HISTORY_WAITS), if has_history && waits_for_history => {
                    waits_for_history = false;
                }
                () = std::future::ready(()), if has_history && !waits_for_history => {
                    waits_for_history = conversation.read_history();
                    tokio::task::yield_now().await;
                }
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            if !conversation.is_authorized && opened.elapsed() > AUTHORIZES_WITHIN && ended.is_none() {
                self.with(|outbox| {
                    outbox.say(&op::unauthorized("no ticket came within 5 s"));
                    outbox.close(close::UNAUTHORIZED, "no ticket came");
                });
            }
        }
        conversation.leave();
    }

    /// Asks for snapshots that are due, cuts a stalled socket, and says whether all is said.
    fn look_after(&self, ended: &mut Option<Instant>) -> (Option<Instant>, bool) {
        let mut shared = self.lock();
        let requests = std::mem::take(&mut shared.requests);
        if shared.blocked.is_some_and(|since| since.elapsed() > STALL) && shared.outbox.ended().is_none() {
            shared.outbox.cut("stalled", close::SLOW);
        }
        let now_s = wall_ns().unsigned_abs() / 1_000_000_000;
        if shared.pass.as_ref().is_some_and(|pass| pass.until_s <= now_s) {
            shared.outbox.cut("signed_out", close::UNAUTHORIZED);
            self.flush(&mut shared);
        }
        if let Some(code) = shared.outbox.ended()
            && ended.is_none()
        {
            *ended = Some(Instant::now());
            if code == close::SLOW {
                self.bridge.stats.cut.fetch_add(1, Relaxed);
                self.bridge.log.warn(
                    "cut a client that took too little",
                    serde_json::json!({ "client": self.id, "positions": shared.outbox.positions() }),
                );
            }
        }
        let is_over = shared.broken
            || ended.is_some_and(|at| shared.outbox.pending().is_empty() || at.elapsed() > FAREWELL);
        let blocked = shared.blocked;
        let depths: Vec<(SnapshotRequest, Option<u16>)> = requests
            .into_iter()
            .map(|request| (request, shared.outbox.depth(request.subscription, request.venue)))
            .collect();
        drop(shared);
        for (request, depth) in depths {
            if let (Some(hub), Some(depth)) = (self.bridge.hub(request.venue), depth) {
                hub.send_snapshot(self.id, depth, request);
                self.bridge.shards.serve();
            }
        }
        (blocked, is_over)
    }

    /// Reads what is there; false when the connection is over.
    fn read(&self, decoder: &mut Decoder, conversation: &mut Conversation) -> bool {
        let mut buffer = [0u8; 16 * 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(bytes) => {
                decoder.push(&buffer[..bytes]);
                conversation.hear(decoder);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// Whether this client was let in as `subject`.
    pub fn is(&self, subject: &str) -> bool {
        self.lock()
            .pass
            .as_ref()
            .is_some_and(|pass| pass.subject == subject)
    }

    pub fn bridge(&self) -> &Arc<Bridge> {
        &self.bridge
    }
}

/// What a client says, and where it stands with us.
#[derive(Debug)]
pub struct Conversation {
    pub client: Arc<Client>,
    pub is_authorized: bool,
    pub histories: Vec<History>,
    ops_left: f64,
    ops_at: Instant,
}

impl Conversation {
    /// The client is known: from here on it may subscribe.
    pub fn authorize(&mut self, pass: Pass) {
        if !std::mem::replace(&mut self.is_authorized, true) {
            let subject = pass.subject.clone();
            self.client.lock().pass = Some(pass);
            if self.client.bridge.is_revoked(&subject) {
                // It ended while it came in: whoever ended it did not see it here yet.
                self.client
                    .with(|outbox| outbox.cut("signed_out", close::UNAUTHORIZED));
                return;
            }
            let hello = self.client.bridge.hello();
            self.client.with(|outbox| outbox.say(&hello));
            // Only now: a stranger is told nothing, heartbeats neither.
            self.client.bridge.shards.add(self.client.clone());
        }
    }

    fn hear(&mut self, decoder: &mut Decoder) {
        loop {
            if self.client.lock().outbox.ended().is_some() {
                return;
            }
            match decoder.next_message() {
                Ok(None) => return,
                Ok(Some(message)) => self.answer(message),
                Err(Violation { code, reason }) => {
                    self.client.bridge.stats.refused.fetch_add(1, Relaxed);
                    self.client.with(|outbox| outbox.close(code, reason));
                    return;
                }
            }
        }
    }

    fn answer(&mut self, message: Message) {
        let now = Instant::now();
        let earned = now.duration_since(self.ops_at).as_secs_f64() * OPS_PER_S;
        self.ops_left = (self.ops_left + earned).min(OPS_BURST);
        self.ops_at = now;
        if self.ops_left < 1.0 {
            self.client.bridge.stats.refused.fetch_add(1, Relaxed);
            self.client.with(|outbox| {
                outbox.say(&op::flood(OPS_PER_S));
                outbox.close(close::FLOOD, "too many operations");
            });
            return;
        }
        self.ops_left -= 1.0;
        match message {
            Message::Text(text) => op::perform(self, &text),
            Message::Ping(payload) => self.client.with(|outbox| outbox.pong(&payload)),
            Message::Pong => {}
            Message::Close(code) => {
                let code = code.unwrap_or(close::NORMAL);
                let code = if (1000..5000).contains(&code) {
                    code
                } else {
                    close::PROTOCOL
                };
                self.client.with(|outbox| outbox.close(code, ""));
            }
        }
    }

    /// Reads some history into the outbox; true when its source must be waited for.
    fn read_history(&mut self) -> bool {
        if !self.client.lock().outbox.has_room() {
            self.client.with(|_| ());
            return false;
        }
        // In turn, so that a long history does not keep a short one waiting.
        self.histories.rotate_left(1);
        let Some(history) = self.histories.last_mut() else {
            return false;
        };
        let (id, venue) = (history.subscription, history.hub.index);
        let client = self.client.clone();
        let step = history.step(|batch, place, current| {
            client.with(|outbox| {
                outbox.put_history(id, venue, &batch);
                outbox.go_live(id, venue, place, &current.finish());
            });
        });
        match step {
            Ok(Some(Progress::More(batch))) => {
                self.client.with(|outbox| outbox.put_history(id, venue, &batch));
                false
            }
            Ok(Some(Progress::Waiting)) => true,
            Ok(None) => {
                self.histories.pop();
                false
            }
            Err(failure) => {
                self.histories.pop();
                self.client.with(|outbox| {
                    outbox.say(&op::error(&failure, Some(id)));
                    outbox.cut("history", close::RESTART);
                });
                false
            }
        }
    }

    /// Counts the client's subscriptions out.
    fn leave(&mut self) {
        let client = self.client.clone();
        client.bridge.shards.remove(&client);
        let subscriptions = std::mem::take(&mut client.lock().outbox.subscriptions);
        for subscription in subscriptions {
            self.client.bridge.left(&subscription);
        }
    }
}
