//! One subscriber: its socket and what was sent through it. It knows bytes and whole frames, never venues.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use wire::frame::Decoder;

use super::protocol;
use super::tls::{Now, is_later};
use crate::failure::Failure;

/// A subscriber's socket.
#[derive(Debug)]
pub(super) enum Stream {
    Local(UnixStream),
    Remote(TcpStream),
    /// TCP under TLS. What it seals is drawn out by whoever holds the turn to write, and by nobody else.
    Safe(TcpStream, Box<Mutex<ServerConnection>>),
}

impl Stream {
    fn fd(&self) -> RawFd {
        match self {
            Self::Local(stream) => stream.as_raw_fd(),
            Self::Remote(stream) | Self::Safe(stream, _) => stream.as_raw_fd(),
        }
    }

    fn shutdown(&self) {
        // A peer that has gone already needs no goodbye.
        let _ = match self {
            Self::Local(stream) => stream.shutdown(Shutdown::Both),
            Self::Remote(stream) | Self::Safe(stream, _) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// Why a subscriber's stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// It went away, or was closed.
    Gone,
    /// We are ending, and it has everything of this venue.
    Drained,
    /// Its socket took nothing for the bound time.
    Stalled,
}

/// One subscriber, shared by the threads that serve it.
#[derive(Debug)]
pub(super) struct Peer {
    pub id: u64,
    stream: Stream,
    /// Held while whole frames are written, so that those of two venues do not mix.
    writing: Mutex<()>,
    stall: Duration,
    closed: AtomicBool,
    pub bytes: AtomicU64,
    pub frames: AtomicU64,
    pub skipped: AtomicU64,
    /// Venue name to the next record for it: for status, and for the log when it is cut.
    pub positions: Mutex<BTreeMap<String, (u32, u64)>>,
    /// Threads that bring it a venue each.
    pub pumps: AtomicUsize,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked holding it left a whole value: all writes to it are single assignments.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    /// `stall` is how long its socket may take nothing.
    pub fn new(id: u64, stream: Stream, stall: Duration) -> Self {
        Self {
            id,
            stream,
            writing: Mutex::default(),
            stall,
            closed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            positions: Mutex::default(),
            pumps: AtomicUsize::new(0),
        }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.stream, Stream::Remote(_) | Stream::Safe(..))
    }

    /// Writes whole frames. Blocks while the socket is full, up to the stall bound without progress.
    pub fn write(&self, bytes: &[u8]) -> Result<(), End> {
        let _turn = lock(&self.writing);
        match &self.stream {
            Stream::Safe(_, connection) => self.send(&sealed(connection, bytes).ok_or(End::Gone)?),
            Stream::Local(_) | Stream::Remote(_) => self.send(bytes),
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), End> {
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

    pub fn close(&self) {
        self.closed.store(true, Relaxed);
        self.stream.shutdown();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// A last message, then the end.
    pub fn refuse(&self, failure: &Failure) {
        let mut out = Vec::new();
        protocol::control(&mut out, 0, (0, 0), &protocol::error(failure));
        let _ = self.write(&out); // it may have gone
        self.close();
    }

    pub fn note(&self, venue: &str, position: (u32, u64)) {
        let mut positions = lock(&self.positions);
        match positions.get_mut(venue) {
            Some(place) => *place = position,
            None => {
                positions.insert(venue.to_owned(), position);
            }
        }
    }

    /// Reads what it sent, waiting at most `limit`.
    pub fn receive(&self, decoder: &mut Decoder, limit: Duration) -> Received {
        if let Stream::Safe(stream, connection) = &self.stream {
            return receive_safe(stream, connection, decoder, limit);
        }
        if !poll(self.stream.fd(), libc::POLLIN, limit) {
            return Received::Nothing;
        }
        let mut buffer = [0u8; 16 * 1024];
        // SAFETY: the buffer is valid for writes of its length.
        let read = unsafe {
            libc::recv(
                self.stream.fd(),
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
}

/// What a look at a peer's socket brought.
pub(super) enum Received {
    Bytes(usize),
    Nothing,
    End,
}

/// Bytes as TLS sends them; `None` once the connection is broken.
fn sealed(connection: &Mutex<ServerConnection>, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut connection = lock(connection);
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 256 + 256);
    connection.writer().write_all(bytes).ok()?;
    while connection.wants_write() {
        connection.write_tls(&mut out).ok()?;
    }
    Some(out)
}

/// As [`Peer::receive`]. The connection is locked for no longer than it takes to look.
fn receive_safe(
    stream: &TcpStream,
    connection: &Mutex<ServerConnection>,
    decoder: &mut Decoder,
    limit: Duration,
) -> Received {
    let deadline = Instant::now() + limit;
    let mut buffer = [0u8; 16 * 1024];
    loop {
        // What came with the bytes before is there already, and no poll would tell of it.
        match lock(connection).reader().read(&mut buffer) {
            Ok(0) => return Received::End,
            Ok(read) => {
                decoder.push(&buffer[..read]);
                return Received::Bytes(read);
            }
            Err(error) if is_later(&error) => {}
            Err(_) => return Received::End,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if !poll(stream.as_raw_fd(), libc::POLLIN, left) {
            return Received::Nothing;
        }
        let mut connection = lock(connection);
        match connection.read_tls(&mut Now(stream)) {
            Ok(0) => return Received::End,
            Ok(_) if connection.process_new_packets().is_ok() => {}
            Err(error) if is_later(&error) => {}
            _ => return Received::End,
        }
    }
}

/// True when the descriptor is ready (or broken) within `limit`.
pub(super) fn poll(fd: RawFd, events: libc::c_short, limit: Duration) -> bool {
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

/// A subscriber while a thread brings it a venue.
pub(super) struct Pumping(Arc<Peer>);

impl Pumping {
    pub fn of(peer: &Arc<Peer>) -> Self {
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
        if std::thread::panicking() {
            self.0.close(); // it would otherwise wait for a venue that nobody brings it any more
        }
        self.0.pumps.fetch_sub(1, AcqRel);
    }
}
