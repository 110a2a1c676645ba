//! Subscribers: who may, what they asked for, and the threads that serve them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal::{From, Instrument, Position, Reader, Registry, Seek, Venue};
use serde_json::{Value, json};
use wire::frame::{self, Decoder, kind};

use super::Options;
use super::client::{Address, Client, Event};
use super::filter::{Filter, Forward};
use super::protocol::{self, Start, Subscribe, VERSION, VenueEntry};
use crate::control::same_user;
use crate::failure::{Category, Failure, nearest};
use crate::log::Log;
use crate::part::Counted;
use crate::ticket::same_secret;

/// A peer must have subscribed within this.
const SUBSCRIBES_WITHIN: Duration = Duration::from_secs(10);
/// Frames are collected up to about this many bytes for one write.
const WRITE_BYTES: usize = 256 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(1);
/// New venues are looked for this often.
const LOOK: Duration = Duration::from_millis(500);
/// Instruments in one control frame; more follow in further frames, which have a bound of 1 MiB.
const TABLE_ROWS: usize = 1000;
/// Bytes a peer may have sent before its subscription is complete.
const SUBSCRIPTION_BYTES_MAX: usize = 256 * 1024;
/// An upstream relay that does not answer within this is left out.
const UPSTREAM_ANSWERS: Duration = Duration::from_secs(3);

/// A listening socket.
#[derive(Debug)]
pub enum Door {
    Local(UnixListener),
    Remote(TcpListener),
}

/// A subscriber's socket.
#[derive(Debug)]
enum Stream {
    Local(UnixStream),
    Remote(TcpStream),
}

impl Stream {
    fn fd(&self) -> RawFd {
        match self {
            Self::Local(stream) => stream.as_raw_fd(),
            Self::Remote(stream) => stream.as_raw_fd(),
        }
    }

    fn shutdown(&self) {
        // A peer that has gone already needs no goodbye.
        let _ = match self {
            Self::Local(stream) => stream.shutdown(Shutdown::Both),
            Self::Remote(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Why a subscriber's stream ended.
#[derive(Debug)]
enum End {
    /// It went away, or was closed.
    Gone,
    /// We are ending, and it has everything of this venue.
    Drained,
    /// Its socket took nothing for the bound time.
    Stalled,
}

/// One subscriber, shared by the threads that serve it.
#[derive(Debug)]
struct Peer {
    id: u64,
    stream: Stream,
    /// Held while whole frames are written, so that those of two venues do not mix.
    writing: Mutex<()>,
    stall: Duration,
    closed: AtomicBool,
    bytes: AtomicU64,
    frames: AtomicU64,
    skipped: AtomicU64,
    /// Venue name to the next record for it: for status, and for the log when it is cut.
    positions: Mutex<BTreeMap<String, (u32, u64)>>,
    /// Threads that bring it a venue each.
    pumps: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked holding it left a whole value: all writes to it are single assignments.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    /// Writes whole frames. Blocks while the socket is full, up to the stall bound without progress.
    fn write(&self, bytes: &[u8]) -> Result<(), End> {
        let _turn = lock(&self.writing);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.closed.load(Relaxed) {
                return Err(End::Gone);
            }
            // SAFETY: pointer and length are those of a live slice.
            let sent = unsafe {
                libc::send(
                    self.stream.fd(),
                    rest.as_ptr().cast(),
                    rest.len(),
                    libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                )
            };
            if sent >= 0 {
                rest = &rest[sent as usize..];
                self.bytes.fetch_add(sent as u64, Relaxed);
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    if !poll(self.stream.fd(), libc::POLLOUT, self.stall) {
                        return Err(End::Stalled);
                    }
                }
                _ => return Err(End::Gone),
            }
        }
        Ok(())
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.stream.shutdown();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// A last message, then the end.
    fn refuse(&self, failure: &Failure) {
        let mut out = Vec::new();
        protocol::control(&mut out, 0, (0, 0), &protocol::error(failure));
        let _ = self.write(&out); // it may have gone
        self.close();
    }

    fn note(&self, venue: &str, position: (u32, u64)) {
        let mut positions = lock(&self.positions);
        match positions.get_mut(venue) {
            Some(place) => *place = position,
            None => {
                positions.insert(venue.to_owned(), position);
            }
        }
    }
}

/// True when the descriptor is ready (or broken) within `limit`.
fn poll(fd: RawFd, events: libc::c_short, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut one = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let millis = left.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        // SAFETY: one pollfd, valid for the call.
        let ready = unsafe { libc::poll(&raw mut one, 1, millis) };
        if ready > 0 {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}

/// The relay's state: who is served, and what was done.
#[derive(Debug)]
pub struct Server {
    home: PathBuf,
    /// Serve this venue alone.
    only: Option<String>,
    upstreams: Vec<Address>,
    token: Option<String>,
    subscribers_max: usize,
    stall: Duration,
    log: Log,
    since_ns: i64,
    next_id: AtomicU64,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    closing: AtomicBool,
    threads: Arc<AtomicUsize>,
    refused: AtomicU64,
    cut: AtomicU64,
    /// Of peers that have gone.
    past_bytes: AtomicU64,
    past_frames: AtomicU64,
    past_skipped: AtomicU64,
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i64)
}

impl Server {
    pub fn new(options: &Options, token: Option<String>, log: Log) -> Self {
        Self {
            home: options.home.clone(),
            only: None,
            upstreams: options.from.clone(),
            token,
            subscribers_max: options.subscribers_max,
            stall: Duration::from_secs(options.stall_s),
            log,
            since_ns: now_ns(),
            next_id: AtomicU64::new(1),
            peers: Mutex::default(),
            closing: AtomicBool::new(false),
            threads: Arc::default(),
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
            let stream = match door {
                Door::Local(listener) => listener.accept().map(|(stream, _)| Stream::Local(stream)),
                Door::Remote(listener) => listener.accept().map(|(stream, _)| {
                    let _ = stream.set_nodelay(true); // slower without, not wrong
                    Stream::Remote(stream)
                }),
            };
            match stream {
                Ok(stream) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.log
                        .warn("accept failed", json!({ "error": error.to_string() }));
                    std::thread::sleep(Duration::from_millis(50)); // out of descriptors: some will close
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: Stream) {
        let peer = Arc::new(Peer {
            id: self.next_id.fetch_add(1, Relaxed),
            stream,
            writing: Mutex::default(),
            stall: self.stall,
            closed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            positions: Mutex::default(),
            pumps: AtomicUsize::new(0),
        });
        if let Stream::Local(stream) = &peer.stream
            && !same_user(stream)
        {
            self.refused.fetch_add(1, Relaxed);
            self.log
                .warn("refused a peer of another user", json!({ "peer": peer.id }));
            peer.close();
            return;
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
                return;
            }
            peers.insert(peer.id, peer.clone());
        }
        let serving = Serving {
            server: self.clone(),
            peer,
        };
        let spawned = self.spawn("relay-peer", move || {
            let Serving { server, peer } = &serving;
            if let Err(failure) = server.talk(peer) {
                server.refused.fetch_add(1, Relaxed);
                server.log.warn(
                    "refused a subscriber",
                    json!({ "peer": peer.id, "error": failure.to_json() }),
                );
                peer.refuse(&failure);
            }
        });
        if let Err(error) = spawned {
            self.log.error(
                "no thread for a subscriber",
                json!({ "error": error.to_string() }),
            );
        }
    }

    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
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

    // --- the conversation ----------------------------------------------------------------------------

    /// Hello, subscription, then serving until the peer goes. An error is told to the peer.
    fn talk(self: &Arc<Self>, peer: &Arc<Peer>) -> Result<(), Failure> {
        let needs_token = matches!(peer.stream, Stream::Remote(_));
        // A stranger is not told what there is, and makes us ask nobody for it.
        let mut offers = if needs_token { Vec::new() } else { self.offers() };
        if self.greet(peer, needs_token, &offers).is_err() {
            return Ok(());
        }
        let mut decoder = Decoder::new();
        let Some(subscribe) = self.await_subscription(peer, &mut decoder)? else {
            return Ok(());
        };
        if needs_token {
            let given = subscribe.token.as_deref().unwrap_or_default();
            if !self
                .token
                .as_deref()
                .is_some_and(|token| same_secret(token, given))
            {
                std::thread::sleep(Duration::from_millis(200)); // guessing is slow
                return Err(Failure::new(
                    Category::Auth,
                    "token_refused",
                    "the subscription holds no valid token",
                    "send the token of this relay's --token-file as \"token\"",
                ));
            }
            offers = self.offers();
            if self.greet(peer, false, &offers).is_err() {
                return Ok(());
            }
        }
        let subscription = Subscription::new(&subscribe, &offers)?;
        let mut served = HashSet::new();
        for offer in offers {
            self.serve_venue(peer, &subscription, offer, &mut served, false)?;
        }
        self.attend(peer, &subscription, decoder, served)
    }

    fn greet(&self, peer: &Peer, needs_token: bool, offers: &[Offer]) -> Result<(), End> {
        let mut out = Vec::new();
        let heads: Vec<VenueEntry> = offers
            .iter()
            .map(|offer| VenueEntry {
                instruments: offer.entry.instruments.iter().take(TABLE_ROWS).cloned().collect(),
                ..offer.entry.clone()
            })
            .collect();
        protocol::control(&mut out, 0, (0, 0), &protocol::hello(needs_token, &heads));
        for offer in offers {
            let rest: Vec<&Instrument> = offer.entry.instruments.iter().skip(TABLE_ROWS).collect();
            for rows in rest.chunks(TABLE_ROWS) {
                let message = protocol::instruments(offer.entry.venue, rows);
                protocol::control(&mut out, offer.entry.venue, (0, 0), &message);
            }
        }
        peer.write(&out)
    }

    /// The subscription; `None` when the peer went without one.
    fn await_subscription(&self, peer: &Peer, decoder: &mut Decoder) -> Result<Option<Subscribe>, Failure> {
        let deadline = Instant::now() + SUBSCRIBES_WITHIN;
        let mut received = 0;
        loop {
            while let Some(found) = decoder.next_frame().map_err(|error| garbage(&error))? {
                let Some(text) = found.control() else {
                    if found.header.kind == kind::CONTROL {
                        return Err(bad_subscription("its text is not UTF-8"));
                    }
                    continue; // a type of a later version
                };
                let value: Value =
                    serde_json::from_str(text).map_err(|error| bad_subscription(&error.to_string()))?;
                if value.get("type").and_then(Value::as_str) != Some("subscribe") {
                    continue; // unknown control types are ignored
                }
                let subscribe: Subscribe =
                    serde_json::from_value(value).map_err(|error| bad_subscription(&error.to_string()))?;
                if subscribe.version != VERSION {
                    return Err(Failure::new(
                        Category::Usage,
                        "version_refused",
                        format!(
                            "version {} was asked for; this relay speaks {VERSION}",
                            subscribe.version
                        ),
                        "use a client of this version",
                    ));
                }
                return Ok(Some(subscribe));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closing.load(Relaxed) {
                return Ok(None);
            }
            if left.is_zero() {
                return Err(Failure::new(
                    Category::Timeout,
                    "subscription_missing",
                    format!("no subscription came within {} s", SUBSCRIBES_WITHIN.as_secs()),
                    "send a control frame {\"type\":\"subscribe\", …} after the hello",
                ));
            }
            match receive(peer, decoder, left.min(LOOK)) {
                Received::Bytes(bytes) => received += bytes,
                Received::Nothing => {}
                Received::End => return Ok(None),
            }
            if received > SUBSCRIPTION_BYTES_MAX {
                return Err(Failure::new(
                    Category::Resource,
                    "subscription_long",
                    format!("over {SUBSCRIPTION_BYTES_MAX} bytes came without a subscription"),
                    "",
                ));
            }
        }
    }

    /// While others write: reads what the peer sends, and looks for venues that appear. Whoever ends the
    /// peer ends this.
    fn attend(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        subscription: &Subscription,
        mut decoder: Decoder,
        mut served: HashSet<String>,
    ) -> Result<(), Failure> {
        let mut looked = Instant::now();
        while !peer.is_closed() {
            // What came behind the subscription is looked at first.
            while let Some(found) = decoder.next_frame().map_err(|error| garbage(&error))? {
                let is_second = found.control().is_some_and(|text| {
                    serde_json::from_str::<Value>(text)
                        .is_ok_and(|value| value.get("type").is_some_and(|kind| kind == "subscribe"))
                });
                if is_second {
                    return Err(Failure::new(
                        Category::Conflict,
                        "subscribed_already",
                        "a connection has one subscription",
                        "open another connection",
                    ));
                }
            }
            if let Received::End = receive(peer, &mut decoder, LOOK) {
                return Ok(());
            }
            if looked.elapsed() >= LOOK && !self.closing.load(Relaxed) {
                looked = Instant::now();
                let fresh = self
                    .local_venues()
                    .filter(|venue| !served.contains(&venue.name) && subscription.wants(&venue.name));
                for offer in fresh
                    .filter_map(|venue| self.local_offer(venue))
                    .collect::<Vec<_>>()
                {
                    self.serve_venue(peer, subscription, offer, &mut served, true)?;
                }
            }
        }
        Ok(())
    }

    // --- venues --------------------------------------------------------------------------------------

    fn local_venues(&self) -> impl Iterator<Item = Venue> {
        // A registry that cannot be read now can be at the next look; what is served goes on.
        Registry::venues(&self.home)
            .unwrap_or_default()
            .into_iter()
            .filter(|venue| self.only.as_ref().is_none_or(|only| *only == venue.name))
    }

    /// `None` for a venue that nothing was written of yet.
    fn local_offer(&self, venue: Venue) -> Option<Offer> {
        let reader = Reader::open(&self.home, &venue.name).ok()?;
        let registry = Registry::open(&self.home, &venue.name).ok()?;
        let place = |position: Position| (position.epoch, position.sequence);
        Some(Offer {
            entry: VenueEntry {
                venue: venue.number,
                name: venue.name,
                oldest: place(reader.oldest()),
                newest: place(reader.newest()),
                instruments: registry.instruments().cloned().collect(),
            },
            upstream: None,
        })
    }

    /// Venues of this home, then those of the upstream relays whose name and number are free here.
    fn offers(&self) -> Vec<Offer> {
        let mut offers: Vec<Offer> = self
            .local_venues()
            .filter_map(|venue| self.local_offer(venue))
            .collect();
        for address in &self.upstreams {
            let found = Client::connect(address, self.token.as_deref(), UPSTREAM_ANSWERS)
                .and_then(|mut client| client.look().map(|hello| hello.venues.clone()));
            let entries = match found {
                Ok(entries) => entries,
                Err(failure) => {
                    self.log.warn(
                        "an upstream relay is left out",
                        json!({ "address": address.to_string(), "error": failure.to_json() }),
                    );
                    continue;
                }
            };
            for entry in entries {
                let taken = offers
                    .iter()
                    .any(|offer| offer.entry.venue == entry.venue || offer.entry.name == entry.name);
                if taken {
                    self.log.warn(
                        "a venue of an upstream relay is left out: its name or number is taken here",
                        json!({ "address": address.to_string(), "venue": entry.name, "number": entry.venue }),
                    );
                } else {
                    offers.push(Offer {
                        entry,
                        upstream: Some(address.clone()),
                    });
                }
            }
        }
        offers
    }

    /// Starts a thread that serves this venue, if it is wanted and not served yet.
    fn serve_venue(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        subscription: &Subscription,
        offer: Offer,
        served: &mut HashSet<String>,
        is_new: bool,
    ) -> Result<(), Failure> {
        if served.contains(&offer.entry.name) || !subscription.wants(&offer.entry.name) {
            return Ok(());
        }
        served.insert(offer.entry.name.clone());
        if is_new {
            let mut out = Vec::new();
            protocol::control(
                &mut out,
                offer.entry.venue,
                (0, 0),
                &protocol::venue(&offer.entry),
            );
            if peer.write(&out).is_err() {
                return Ok(());
            }
        }
        let start = match &subscription.from {
            // It began after the subscription: nothing of it is to be missed.
            _ if is_new => Start::Oldest,
            Start::At(places) if !places.contains_key(&offer.entry.name) => Start::Live,
            start => start.clone(),
        };
        let filter = subscription.filter(&offer.entry);
        let server = self.clone();
        let pumping = Pumping::of(peer);
        let name = offer.entry.name.clone();
        self.spawn("relay-venue", move || {
            let result = match &offer.upstream {
                None => server.pump(&pumping, &offer.entry, filter, &start),
                Some(address) => server.pass_on(&pumping, address, &offer.entry, filter, &start),
            };
            match result {
                Ok(End::Drained) => return,
                Ok(End::Gone) => {}
                Ok(End::Stalled) => {
                    server.cut.fetch_add(1, Relaxed);
                    server.log.warn(
                        "cut a subscriber that took nothing",
                        json!({
                            "peer": pumping.id,
                            "stall_s": server.stall.as_secs(),
                            "positions": *lock(&pumping.positions),
                        }),
                    );
                }
                Err(failure) => {
                    server.log.error(
                        "a venue cannot be served",
                        json!({ "peer": pumping.id, "venue": name, "error": failure.to_json() }),
                    );
                    pumping.refuse(&failure);
                }
            }
            pumping.close();
        })
        .map_err(|error| {
            Failure::new(
                Category::Resource,
                "threads_full",
                format!("no thread for a venue: {error}"),
                "",
            )
        })
    }

    /// Passes one venue's frames to one subscriber, from the files, for as long as it stays.
    fn pump(
        &self,
        peer: &Peer,
        entry: &VenueEntry,
        mut filter: Filter,
        start: &Start,
    ) -> Result<End, Failure> {
        let mut reader = Reader::open(&self.home, &entry.name).map_err(|error| unreadable(&error))?;
        let mut known: HashSet<u32> = entry.instruments.iter().map(|one| one.number).collect();
        let mut out = Vec::with_capacity(WRITE_BYTES + 64 * 1024);
        let mut forward = Forward::default();
        if let Seek::Lapped { wanted, oldest } =
            begin(&mut reader, entry, &mut filter, start).map_err(|error| unreadable(&error))?
        {
            let place = (oldest.epoch, oldest.sequence);
            protocol::control(
                &mut out,
                entry.venue,
                place,
                &protocol::lapped(&entry.name, wanted, oldest),
            );
        }
        let mut heartbeat = Instant::now(); // the first one at once: it tells where the subscriber is
        loop {
            if peer.is_closed() {
                return Ok(End::Gone);
            }
            // Looked at before the journal: what was written by then is passed on.
            let is_ending = self.closing.load(Relaxed);
            let (mut frames, mut skipped) = (0, 0);
            let is_caught_up = loop {
                if out.len() >= WRITE_BYTES {
                    break false;
                }
                match reader.next() {
                    Ok(Some(found)) => {
                        if found
                            .records()
                            .iter()
                            .any(|record| record.instrument != 0 && !known.contains(&record.instrument))
                        {
                            forward.flush(&mut out); // control frames name the place they stand at
                            self.introduce(&mut out, entry, &mut known, &found);
                        }
                        if forward.push(&mut out, &filter, &found) {
                            frames += 1;
                        } else {
                            skipped += 1;
                            if skipped >= 65_536 {
                                break false; // look up now and then while much is left out
                            }
                        }
                    }
                    Ok(None) => break true,
                    Err(journal::Error::Lapped { wanted, oldest }) => {
                        forward.flush(&mut out);
                        let place = (oldest.epoch, oldest.sequence);
                        let message = protocol::lapped(&entry.name, wanted, oldest);
                        protocol::control(&mut out, entry.venue, place, &message);
                    }
                    Err(error) => return Err(unreadable(&error)),
                }
            };
            peer.frames.fetch_add(frames, Relaxed);
            peer.skipped.fetch_add(skipped, Relaxed);
            let now = Instant::now();
            if now >= heartbeat || (is_ending && is_caught_up) {
                heartbeat = now + HEARTBEAT;
                forward.flush(&mut out);
                let newest = reader.newest();
                frame::encode(
                    &mut out,
                    kind::HEARTBEAT,
                    entry.venue,
                    newest.epoch,
                    newest.sequence,
                    0,
                    &[],
                );
            }
            if !out.is_empty() {
                if let Err(end) = peer.write(&out) {
                    return Ok(end);
                }
                out.clear();
                if let Some(position) = forward.position {
                    peer.note(&entry.name, position);
                }
            }
            if is_caught_up {
                if is_ending {
                    return Ok(End::Drained);
                }
                let left = heartbeat.saturating_duration_since(Instant::now());
                reader.wait(left.min(Duration::from_millis(250)));
            }
        }
    }

    /// Tells of instruments that a frame names and the hello did not.
    fn introduce(
        &self,
        out: &mut Vec<u8>,
        entry: &VenueEntry,
        known: &mut HashSet<u32>,
        found: &wire::Frame<'_>,
    ) {
        if let Ok(registry) = Registry::open(&self.home, &entry.name) {
            let fresh: Vec<&Instrument> = registry
                .instruments()
                .filter(|one| !known.contains(&one.number))
                .collect();
            for rows in fresh.chunks(TABLE_ROWS) {
                protocol::control(
                    out,
                    entry.venue,
                    (found.header.epoch, found.header.sequence),
                    &protocol::instruments(entry.venue, rows),
                );
            }
            known.extend(fresh.iter().map(|one| one.number));
        }
        // A number that no registry has is asked for once: the records are passed on all the same.
        known.extend(found.records().iter().map(|record| record.instrument));
    }

    /// Passes on one venue of an upstream relay. Filtering and places are the upstream's work; the bytes
    /// are the same.
    fn pass_on(
        &self,
        peer: &Peer,
        address: &Address,
        entry: &VenueEntry,
        filter: Filter,
        start: &Start,
    ) -> Result<End, Failure> {
        let mut client = Client::connect(address, self.token.as_deref(), UPSTREAM_ANSWERS)?;
        let chosen = filter.instruments.as_ref().map(|chosen| {
            entry
                .instruments
                .iter()
                .filter(|one| chosen.contains_key(&one.number))
                .map(|one| one.name.clone())
                .collect()
        });
        let kinds = filter.kinds.map_or(Vec::new(), |bits| {
            (0..=255u8)
                .filter(|kind| bits[usize::from(kind / 64)] >> (kind % 64) & 1 == 1)
                .collect()
        });
        client.subscribe(&Subscribe {
            venues: vec![entry.name.clone()],
            instruments: chosen.unwrap_or_default(),
            kinds,
            from: start.clone(),
            ..Subscribe::default()
        })?;
        let mut out = Vec::new();
        loop {
            if peer.is_closed() {
                return Ok(End::Gone);
            }
            let is_ending = self.closing.load(Relaxed);
            loop {
                match client.next(None)? {
                    Some(Event::Frame(found)) => {
                        out.extend_from_slice(found.bytes);
                        let counter = match found.header.kind {
                            kind::RECORDS => &peer.frames,
                            kind::SKIP => &peer.skipped,
                            _ => continue, // what is not of the log may name no place in it
                        };
                        counter.fetch_add(1, Relaxed);
                        peer.note(&entry.name, (found.header.epoch, found.header.next_sequence()));
                    }
                    Some(Event::Lapped(lapped)) => {
                        let at = |place: (u32, u64)| Position::new(place.0, place.1);
                        let message = protocol::lapped(&lapped.venue, at(lapped.wanted), at(lapped.oldest));
                        protocol::control(&mut out, entry.venue, lapped.oldest, &message);
                    }
                    None => break,
                }
                if out.len() >= WRITE_BYTES {
                    break;
                }
            }
            if out.is_empty() {
                if is_ending {
                    return Ok(End::Drained);
                }
                client.wait(Duration::from_millis(250));
                continue;
            }
            if let Err(end) = peer.write(&out) {
                return Ok(end);
            }
            out.clear();
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
                    "remote": matches!(peer.stream, Stream::Remote(_)),
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

impl Drop for Serving {
    fn drop(&mut self) {
        self.peer.close();
        self.server.forget(&self.peer);
    }
}

/// A subscriber while a thread brings it a venue.
struct Pumping(Arc<Peer>);

impl Pumping {
    fn of(peer: &Arc<Peer>) -> Self {
        peer.pumps.fetch_add(1, AcqRel);
        Self(peer.clone())
    }
}

impl std::ops::Deref for Pumping {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Drop for Pumping {
    fn drop(&mut self) {
        self.0.pumps.fetch_sub(1, AcqRel);
    }
}

enum Received {
    Bytes(usize),
    Nothing,
    End,
}

/// Reads what the peer sent, waiting at most `limit`.
fn receive(peer: &Peer, decoder: &mut Decoder, limit: Duration) -> Received {
    if !poll(peer.stream.fd(), libc::POLLIN, limit) {
        return Received::Nothing;
    }
    let mut buffer = [0u8; 16 * 1024];
    // SAFETY: the buffer is valid for writes of its length.
    let read = unsafe {
        libc::recv(
            peer.stream.fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    };
    match read {
        0 => Received::End,
        read if read > 0 => {
            decoder.push(&buffer[..read as usize]);
            Received::Bytes(read as usize)
        }
        _ => match io::Error::last_os_error().kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Received::Nothing,
            _ => Received::End,
        },
    }
}

/// A venue that can be had here.
#[derive(Debug)]
struct Offer {
    entry: VenueEntry,
    /// The relay it comes from; `None`: this home's journal.
    upstream: Option<Address>,
}

/// What a subscriber asked for, checked against what there is.
#[derive(Debug)]
struct Subscription {
    venues: HashSet<String>,
    /// By name. They narrow the venue they belong to.
    instruments: HashSet<String>,
    /// Venues that a named instrument belongs to.
    narrowed: HashSet<String>,
    kinds: Option<[u64; 4]>,
    from: Start,
}

impl Subscription {
    fn new(subscribe: &Subscribe, offers: &[Offer]) -> Result<Self, Failure> {
        let venue_names = || offers.iter().map(|offer| offer.entry.name.as_str());
        let positions = match &subscribe.from {
            Start::At(places) => places.keys().collect(),
            _ => Vec::new(),
        };
        for name in subscribe.venues.iter().chain(positions) {
            if !venue_names().any(|known| known == name) {
                return Err(unknown("venue", name, venue_names()));
            }
        }
        let mut narrowed = HashSet::new();
        for name in &subscribe.instruments {
            let owner = offers
                .iter()
                .find(|offer| offer.entry.instruments.iter().any(|one| one.name == *name));
            match owner {
                Some(offer) => {
                    narrowed.insert(offer.entry.name.clone());
                }
                None => {
                    let names = offers
                        .iter()
                        .flat_map(|offer| &offer.entry.instruments)
                        .map(|one| one.name.as_str());
                    return Err(unknown("instrument", name, names));
                }
            }
        }
        Ok(Self {
            venues: subscribe.venues.iter().cloned().collect(),
            instruments: subscribe.instruments.iter().cloned().collect(),
            narrowed,
            kinds: Filter::kinds(&subscribe.kinds),
            from: subscribe.from.clone(),
        })
    }

    fn wants(&self, venue: &str) -> bool {
        (self.venues.is_empty() && self.instruments.is_empty())
            || self.venues.contains(venue)
            || self.narrowed.contains(venue)
    }

    fn filter(&self, entry: &VenueEntry) -> Filter {
        let chosen = self.narrowed.contains(&entry.name).then(|| {
            entry
                .instruments
                .iter()
                .filter(|one| self.instruments.contains(&one.name))
                .map(|one| (one.number, 0))
                .collect()
        });
        Filter {
            instruments: chosen,
            kinds: self.kinds,
            ..Filter::default()
        }
    }
}

/// Puts the reader, and for "snapshot" each instrument's own beginning, where the subscription starts.
fn begin(
    reader: &mut Reader,
    entry: &VenueEntry,
    filter: &mut Filter,
    start: &Start,
) -> Result<Seek, journal::Error> {
    match start {
        Start::Live => reader.seek(From::Newest),
        Start::Oldest => reader.seek(From::Oldest),
        Start::At(places) => match places.get(&entry.name) {
            Some((epoch, sequence)) => reader.seek(From::At(Position::new(*epoch, *sequence))),
            None => reader.seek(From::Newest),
        },
        Start::Snapshot => {
            let newest = reader.newest();
            let mut first = newest;
            let mut begins = HashMap::new();
            for instrument in &entry.instruments {
                if filter
                    .instruments
                    .as_ref()
                    .is_some_and(|chosen| !chosen.contains_key(&instrument.number))
                {
                    continue;
                }
                let position = match reader.seek(From::Snapshot(instrument.number))? {
                    Seek::At(position) => position,
                    _ => newest,
                };
                first = first.min(position);
                begins.insert(instrument.number, position.sequence);
            }
            filter.from = first.sequence;
            match &mut filter.instruments {
                Some(chosen) => *chosen = begins,
                None => {
                    filter.late = begins
                        .into_iter()
                        .filter(|(_, from)| *from > first.sequence)
                        .collect()
                }
            }
            reader.seek(From::At(first))
        }
    }
}

fn unknown<'a>(what: &'static str, name: &str, names: impl IntoIterator<Item = &'a str>) -> Failure {
    let close = nearest(name, names);
    Failure::new(
        Category::NotFound,
        if what == "venue" {
            "venue_unknown"
        } else {
            "instrument_unknown"
        },
        format!("no {what} named '{}'", name.chars().take(80).collect::<String>()),
        if close.is_empty() {
            format!("there is no {what} yet")
        } else {
            format!("nearest: {}", close.join(", "))
        },
    )
}

fn garbage(error: &wire::FrameError) -> Failure {
    Failure::new(
        Category::Usage,
        "frame_malformed",
        format!("what came is not a frame: {error}"),
        "docs/wire.md describes the bytes",
    )
}

fn bad_subscription(found: &str) -> Failure {
    Failure::new(
        Category::Usage,
        "subscription_malformed",
        format!("the subscription does not read: {found}"),
        "docs/wire.md has an example",
    )
}

fn unreadable(error: &journal::Error) -> Failure {
    Failure::new(Category::Internal, "journal_unreadable", error.to_string(), "")
}
