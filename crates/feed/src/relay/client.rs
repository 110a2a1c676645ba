//! A subscriber of a wire socket: relay or collector, on this machine or another.
//!
//! Blocking, on one socket, with a poll for waiting: whoever wants to sleep on it gives it a thread.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use serde_json::Value;
use wire::frame::{self, kind};
use wire::{Frame, FrameError};

use super::protocol::{self, Hello, VERSION, VenueEntry};
pub use super::protocol::{Lapped, Start, Subscribe};
use super::tls::{self, Now};
use crate::failure::{Category, Failure};

const READ_BYTES: usize = 256 * 1024;

/// Where a wire socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Path of a unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear.
    Tcp(String),
    /// `tls:host:port`.
    Tls {
        host: String,
        port: u16,
        /// A PEM file of certificates to trust besides the system's.
        ca: Option<PathBuf>,
    },
}

impl Address {
    /// The same, trusting the certificates in this file too. Only TLS has any.
    pub fn trusting(self, file: Option<&Path>) -> Self {
        match self {
            Self::Tls { host, port, ca } => Self::Tls {
                host,
                port,
                ca: file.map(Path::to_path_buf).or(ca),
            },
            other => other,
        }
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    /// `tls:host:port` is TCP under TLS, a text with a slash a path, `host:port` TCP.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("tls:") {
            let place = rest.trim_start_matches("//");
            return match place.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) if !host.is_empty() && !host.contains('/') => Ok(Self::Tls {
                    host: host.to_owned(),
                    port,
                    ca: None,
                }),
                _ => Err(format!("'{text}' is not tls:host:port")),
            };
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.contains('/') {
            return Ok(Self::Unix(path.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(format!(
                "'{text}' is neither the path of a socket (/run/relay.sock) nor tls:host:port nor host:port"
            )),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
            Self::Tls { host, port, .. } => write!(f, "tls:{host}:{port}"),
        }
    }
}

/// Where a part takes its records from: `journal` (of its home, in place) or `relay:ADDRESS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOption {
    Journal,
    Relay(Address),
}

impl std::str::FromStr for SourceOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "journal" => Ok(Self::Journal),
            Some(("relay", address)) => address.parse().map(Self::Relay),
            _ => Err(format!("'{text}' is neither journal nor relay:ADDRESS")),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TcpStream, Box<ClientConnection>),
}

impl Stream {
    fn fd(&self) -> RawFd {
        match self {
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tcp(stream) | Self::Tls(stream, _) => stream.as_raw_fd(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream, connection) => {
                connection.writer().write_all(bytes)?;
                while connection.wants_write() {
                    connection.write_tls(stream)?;
                }
                Ok(())
            }
        }
    }

    /// Reads what is there, without waiting.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if let Self::Tls(stream, connection) = self {
            loop {
                match connection.reader().read(room) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                }
                if connection.read_tls(&mut Now(stream))? == 0 {
                    return Ok(0);
                }
                connection.process_new_packets().map_err(io::Error::other)?;
            }
        }
        // SAFETY: the pointer and length are those of a slice that lives through the call.
        let read = unsafe {
            libc::recv(
                self.fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(read).map_err(|_| io::Error::last_os_error())
    }
}

/// What a subscription brings.
#[derive(Debug)]
pub enum Event<'a> {
    /// Records, a heartbeat, a skip, or a control message of the log itself.
    Frame(Frame<'a>),
    /// What lies between the two positions is lost; the frames go on at `oldest`.
    Lapped(Lapped),
}

/// Bytes read, aligned so that records can be used in place.
#[derive(Debug, Default)]
struct Buffer {
    words: Vec<u64>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        // SAFETY: u64 has no padding and u8 needs no alignment; the length is the vector's own.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.words.len() * 8) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, the borrow is exclusive, and any bytes are a valid u64.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<u8>(), self.words.len() * 8) }
    }

    /// Room for at least `wanted` bytes from the start of what was not used yet.
    fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let free = (self.words.len() * 8).saturating_sub(self.end);
        if self.start + wanted > self.words.len() * 8 || free < READ_BYTES / 4 {
            let (start, end) = (self.start, self.end);
            self.bytes_mut().copy_within(start..end, 0);
            (self.start, self.end) = (0, end - start);
            let needed = wanted.max(self.end + READ_BYTES).div_ceil(8);
            if needed > self.words.len() {
                self.words.resize(needed, 0);
            }
        }
        let end = self.end;
        &mut self.bytes_mut()[end..]
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    address: Address,
    token: Option<String>,
    hello: Hello,
    buffer: Buffer,
}

fn upstream(address: &Address, code: &'static str, found: impl std::fmt::Display) -> Failure {
    Failure::new(
        Category::Upstream,
        code,
        format!("{address}: {found}"),
        "is `tidemill relay` running there?",
    )
}

/// A relay under TLS waits for its client to speak first, and says so to those who wait long enough.
fn silent(address: &Address) -> Failure {
    let hint = match address {
        Address::Tcp(place) => format!("a relay with --tls-cert is read as tls:{place}"),
        _ => "is `tidemill relay` running there?".into(),
    };
    Failure::new(
        Category::Upstream,
        "relay_silent",
        format!("{address}: no hello came"),
        hint,
    )
}

/// Connects to the first of these places that answers.
fn dial(places: io::Result<impl Iterator<Item = SocketAddr>>, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in places? {
        match TcpStream::connect_timeout(&place, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Client {
    /// Connects and reads the hello. `token` is for TCP; it is sent with the subscription.
    pub fn connect(address: &Address, token: Option<&str>, limit: Duration) -> Result<Self, Failure> {
        let unreachable = |error: io::Error| upstream(address, "relay_unreachable", error);
        let stream = match address {
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).map_err(unreachable)?),
            Address::Tcp(text) => Stream::Tcp(dial(text.to_socket_addrs(), limit).map_err(unreachable)?),
            Address::Tls { host, port, ca } => {
                let place = (host.trim_matches(['[', ']']), *port);
                let stream = dial(place.to_socket_addrs(), limit).map_err(unreachable)?;
                let connection = tls::connect(&stream, host, ca.as_deref(), limit)?;
                Stream::Tls(stream, Box::new(connection))
            }
        };
        let mut client = Self {
            stream,
            address: address.clone(),
            token: token.map(str::to_owned),
            hello: Hello::default(),
            buffer: Buffer::default(),
        };
        client.await_hello(limit)?;
        Ok(client)
    }

    fn await_hello(&mut self, limit: Duration) -> Result<(), Failure> {
        self.hello.version = 0;
        let deadline = Instant::now() + limit;
        while self.hello.version == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(silent(&self.address));
            }
            if self.next(Some(left))?.is_some() {
                return Err(upstream(
                    &self.address,
                    "relay_strange",
                    "frames before the hello",
                ));
            }
        }
        Ok(())
    }

    /// What the server has: as of the hello, with venues and instruments that came later.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What the server has, also where it tells that only to those who hold the token. Where it does, the
    /// connection is used up.
    pub fn look(&mut self) -> Result<&Hello, Failure> {
        if self.hello.token {
            self.subscribe(&Subscribe {
                kinds: vec![0], // no record is of this kind
                ..Subscribe::default()
            })?;
        }
        Ok(&self.hello)
    }

    /// Sends the one subscription of this connection. Where the server wants a token, it is added, and the
    /// full hello awaited.
    pub fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), Failure> {
        let mut subscribe = subscribe.clone();
        let is_locked = self.hello.token;
        if is_locked && subscribe.token.is_none() {
            subscribe.token.clone_from(&self.token);
        }
        let mut out = Vec::new();
        protocol::control(&mut out, 0, (0, 0), &serde_json::json!(subscribe));
        self.stream
            .write_all(&out)
            .map_err(|error| upstream(&self.address, "relay_closed", error))?;
        if is_locked {
            self.await_hello(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// The next event; waits at most `limit` for it, not at all with `None`.
    #[allow(clippy::should_implement_trait)] // the event borrows the client
    pub fn next(&mut self, limit: Option<Duration>) -> Result<Option<Event<'_>>, Failure> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let (start, end) = (self.buffer.start, self.buffer.end);
            let header = match frame::decode(&self.buffer.bytes()[start..end]) {
                Ok(found) => found.header,
                Err(FrameError::Short { needed }) => {
                    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                    if self.read(needed)? {
                        continue;
                    }
                    match left {
                        Some(left) if !left.is_zero() => {
                            self.wait(left);
                            continue;
                        }
                        _ => return Ok(None),
                    }
                }
                Err(error) => return Err(upstream(&self.address, "relay_garbage", error)),
            };
            self.buffer.start += header.frame_bytes();
            if header.kind == kind::CONTROL {
                let had_hello = self.hello.version != 0;
                match self.take_control(start)? {
                    Taken::Lapped(lapped) => return Ok(Some(Event::Lapped(lapped))),
                    Taken::Ours if had_hello => continue,
                    Taken::Ours if self.hello.version != 0 => return Ok(None), // the hello itself
                    Taken::Ours => continue,
                    Taken::Log => {}
                }
            }
            let bytes = &self.buffer.bytes()[start..start + header.frame_bytes()];
            return Ok(Some(Event::Frame(Frame { header, bytes })));
        }
    }

    /// Waits until something can be read, at most `limit`.
    pub fn wait(&mut self, limit: Duration) {
        let mut poll = libc::pollfd {
            fd: self.stream.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = limit.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        // SAFETY: one pollfd, valid for the call. Whatever the result, the caller reads and sees.
        unsafe { libc::poll(&raw mut poll, 1, millis) };
    }

    /// Reads what is there; false when nothing is.
    fn read(&mut self, needed: usize) -> Result<bool, Failure> {
        let room = self.buffer.room(needed);
        match self.stream.read(room) {
            Ok(0) => Err(upstream(
                &self.address,
                "relay_closed",
                "the connection was closed",
            )),
            Ok(read) => {
                self.buffer.end += read;
                Ok(true)
            }
            Err(error) if tls::is_later(&error) => Ok(false),
            Err(error) => Err(upstream(&self.address, "relay_closed", error)),
        }
    }

    /// Acts on a control message of the socket protocol; those of the log are the caller's, as is news of
    /// instruments, which concerns whoever reads behind the caller too.
    fn take_control(&mut self, start: usize) -> Result<Taken, Failure> {
        let strange = |address: &Address, what: &str| upstream(address, "relay_strange", what);
        let bytes = &self.buffer.bytes()[start..self.buffer.start];
        let value: Option<Value> = frame::decode(bytes)
            .ok()
            .and_then(|found| found.control())
            .and_then(|text| serde_json::from_str(text).ok());
        let Some(value) = value else {
            return Err(strange(&self.address, "a control message that is not JSON"));
        };
        match value.get("type").and_then(Value::as_str).unwrap_or_default() {
            "hello" => {
                let version = value.get("version").and_then(Value::as_u64).unwrap_or_default();
                if version != u64::from(VERSION) {
                    return Err(strange(
                        &self.address,
                        &format!("it speaks version {version}, this program {VERSION}"),
                    ));
                }
                self.hello = serde_json::from_value(value).map_err(|error| {
                    strange(&self.address, &format!("a hello that does not read: {error}"))
                })?;
                Ok(Taken::Ours)
            }
            "venue" => {
                if let Ok(entry) = serde_json::from_value::<VenueEntry>(value) {
                    self.hello.venues.retain(|venue| venue.venue != entry.venue);
                    self.hello.venues.push(entry);
                }
                Ok(Taken::Ours)
            }
            "lapped" => serde_json::from_value(value)
                .map(Taken::Lapped)
                .map_err(|error| strange(&self.address, &format!("a lapped that does not read: {error}"))),
            "error" => Err(protocol::failure(&value)),
            _ => {
                let number = match value.get("venue").and_then(Value::as_u64) {
                    Some(number) => number,
                    None => u64::from(u16::from_le_bytes([bytes[6], bytes[7]])),
                };
                if let Some(table) = value.get("instruments").and_then(Value::as_array) {
                    for venue in self
                        .hello
                        .venues
                        .iter_mut()
                        .filter(|one| u64::from(one.venue) == number)
                    {
                        for instrument in table {
                            // A later server may say more of an instrument than we read; then it stays unknown.
                            if let Ok(one) = serde_json::from_value::<journal::Instrument>(instrument.clone())
                            {
                                venue.instruments.retain(|known| known.number != one.number);
                                venue.instruments.push(one);
                            }
                        }
                    }
                }
                Ok(Taken::Log)
            }
        }
    }
}

enum Taken {
    Ours,
    Log,
    Lapped(Lapped),
}
