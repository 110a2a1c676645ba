//! The seam between a venue and the process that holds its socket: sans-I/O, so that production,
//! simulator and replay run the same code. A [`Protocol`] knows a venue; a [`Session`] is the state of
//! one connection: bytes and times in, records and actions out.

use std::fmt;

use wire::{DETAIL_TEXT_BYTES, Decimal, Record, flag};

/// What is known of a venue before any connection.
pub trait Protocol: Send + Sync {
    /// Name of the protocol and of its file: "kraken", "coinbase", "coinbase-advanced", "binance".
    fn name(&self) -> &'static str;

    /// Where the real venue answers.
    fn endpoints(&self) -> Endpoints;

    /// What the venue bears, and how long it may be silent.
    fn limits(&self) -> Limits;

    /// Path and query, on the REST base, of the whole instrument table.
    fn listing_request(&self) -> String;

    /// The instrument table from the body of [`Protocol::listing_request`]. One odd row does not cost
    /// the others: rows that cannot be traded by these channels are left out.
    fn listings(&self, body: &[u8]) -> Result<Vec<Listing>, VenueError>;

    /// An instrument of a venue without a table ([`Protocol::listing_request`] is empty then): whatever is
    /// spelled as it may be.
    fn listed(&self, _symbol: &str) -> Option<Listing> {
        None
    }

    /// In what it differs from most venues.
    fn habits(&self) -> Habits {
        Habits::default()
    }

    /// What its login needs, in the order of [`Session::login`]: of each secret the environment variables that
    /// may hold it, the first that is set wins.
    fn credentials(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// Instruments of different lanes never share a connection: they are told at different addresses.
    fn lane(&self, _listing: &Listing) -> u8 {
        0
    }

    /// State of a fresh connection. Nothing survives from one connection to the next.
    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session>;
}

/// Base addresses, without a trailing slash. The collector lets both be overridden. The scheme of the stream's
/// says how it is carried: `ws://` and `wss://`, or `tcp://` for lines, each a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub ws: &'static str,
    pub rest: &'static str,
}

/// What a venue bears on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message worth accepting, bytes.
    pub max_message_bytes: usize,
    pub symbols_per_connection: usize,
    /// Messages to the venue, over all connections.
    pub messages: Pace,
    /// Requests to its REST interface, by weight, over all connections.
    pub requests: Pace,
    /// Connection attempts allowed in a window: how many, in how many seconds.
    pub connects_per_window: (u32, u32),
    /// Without any message for so long the transport is dead, nanoseconds.
    pub silence_ns: i64,
    /// The venue ends a connection after so long; replace it before, nanoseconds. 0 is never.
    pub life_ns: i64,
}

/// In what a venue may differ from most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Trade ids rise by one per instrument, so that they tell what is missing and what is repeated.
    pub numbered: bool,
    /// A second connection of a lane is refused, or ends the first: it cannot be made before that.
    pub sole: bool,
    /// The venue may be quiet for hours: after so long without a byte the collector pings it, and the pong
    /// counts as a word of it, nanoseconds. 0 is never.
    pub ping_ns: i64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            numbered: true,
            sole: false,
            ping_ns: 0,
        }
    }
}

/// How much may go out: so much at once after a rest, and so much is regained in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub burst: u32,
    pub per_s: u32,
}

/// One row of the venue's instrument table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The venue's spelling in its WebSocket messages.
    pub symbol: String,
    /// The venue's spelling in its REST paths.
    pub rest_symbol: String,
    pub base: String,
    pub quote: String,
    /// Smallest step of a price.
    pub tick: Decimal,
    /// Smallest step of a size.
    pub lot: Decimal,
    /// Decimal places of a price.
    pub price_scale: u8,
    /// Decimal places of a size.
    pub size_scale: u8,
    /// The venue's own word: "online", "TRADING", …
    pub status: String,
}

impl Listing {
    /// Can it be traded, even if not by every kind of order?
    pub fn trading(&self) -> bool {
        matches!(self.status.as_str(), "online" | "limit_only" | "TRADING")
    }
}

/// An instrument to collect: our number for it and how the venue calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub instrument: u32,
    pub listing: Listing,
}

/// What to collect of each instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    pub trades: bool,
    pub quotes: bool,
    pub book: bool,
    /// Levels per side of the book; 0 is the venue's default. Rounded up to what the venue offers.
    pub depth: u16,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            trades: true,
            quotes: true,
            book: true,
            depth: 0,
        }
    }
}

/// State of one connection. Times are nanoseconds since the epoch when it opened, never run back, and run
/// only while the process does: whoever drives a session gives its records the receive clock's own time.
pub trait Session: Send {
    /// Appended to the WebSocket base: nothing, or "/stream?streams=…".
    fn path(&self) -> String {
        String::new()
    }

    /// Fields of the request that opens the stream, beside those that every such request has.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The secrets of [`Protocol::credentials`], before [`Session::open`]. What the session says of itself must
    /// never hold them.
    fn login(&mut self, _secrets: &[String]) {}

    /// Does it deliver? A venue that wants a login first does not before it has taken it.
    fn ready(&self) -> bool {
        true
    }

    /// The socket is open: what to subscribe.
    fn open(&mut self, now_ns: i64, out: &mut Output);

    /// One message of the venue.
    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output);

    /// The answer to [`Action::Get`]. Status 0: there was none. When the venue asks for a pause (429, 418)
    /// the process keeps it, for all connections alike: it alone sees Retry-After. A session that never asks
    /// leaves it out.
    fn response(&mut self, _request: u64, _status: u16, _body: &[u8], _now_ns: i64, _out: &mut Output) {}

    /// Called about every 100 ms: pings, deadlines, silence. Not while a message is on its way that has not
    /// come whole: all that seems to be missing may be waiting behind it.
    fn tick(&mut self, now_ns: i64, out: &mut Output);
}

/// What a session answers. Reused between calls; the caller clears it.
#[derive(Debug, Default)]
pub struct Output {
    /// In order. [`wire::flag::LAST`] closes each message of the venue.
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    /// At most one per message; the caller keeps the raw bytes.
    pub quarantined: Vec<Quarantine>,
}

impl Output {
    pub fn clear(&mut self) {
        self.records.clear();
        self.actions.clear();
        self.quarantined.clear();
    }

    /// The text of a record, in as many details as it takes.
    pub(crate) fn details(&mut self, of: &Record, text: &[u8]) {
        for piece in text.chunks(DETAIL_TEXT_BYTES) {
            let mut bytes = [0; DETAIL_TEXT_BYTES];
            bytes[..piece.len()].copy_from_slice(piece);
            let detail = Record::detail(of.instrument, bytes).at(of.ts_event, of.ts_recv);
            self.records.push(detail.with(of.flags & flag::NO_VENUE_TIME));
        }
    }
}

/// What a session wants done. The process paces it: it alone knows what its other connections send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A text message to the venue.
    Send(String),
    /// A binary one.
    SendBytes(Vec<u8>),
    /// GET `path` on the REST base; the answer goes to [`Session::response`] with `request`. What is `urgent`
    /// goes before what only looks into a silence.
    Get {
        request: u64,
        weight: u32,
        urgent: bool,
        path: String,
    },
    /// This connection is of no more use; `cause` as in [`wire::cause`].
    Reconnect { cause: u8, reason: String },
    /// The venue will not have us: not before `wait_ns` is it tried again, whatever it does meanwhile.
    Refused {
        reason: String,
        wait_ns: i64,
        /// It is the key that is wrong, or what it pays for: nothing but another one mends that.
        key: bool,
    },
    /// For the log: something an operator wants to know. `instrument` 0 is the whole connection.
    Note { instrument: u32, text: String },
}

/// A message that could not be understood. None of its records were emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub reason: String,
    /// Where the message still told it.
    pub instrument: Option<u32>,
}

/// Why an answer of a venue's REST interface is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VenueError {
    /// The venue answered with an error of its own.
    Refused { venue: &'static str, text: String },
    /// The body is not what the venue documents.
    Malformed { venue: &'static str, text: String },
}

impl VenueError {
    pub(crate) fn refused(venue: &'static str, text: impl Into<String>) -> Self {
        Self::Refused {
            venue,
            text: text.into(),
        }
    }

    pub(crate) fn malformed(venue: &'static str, error: &serde_json::Error) -> Self {
        Self::Malformed {
            venue,
            text: error.to_string(),
        }
    }
}

impl fmt::Display for VenueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { venue, text } => write!(f, "{venue} refused the instrument table: {text}"),
            Self::Malformed { venue, text } => {
                write!(f, "{venue} sent an instrument table that cannot be read: {text}")
            }
        }
    }
}

impl std::error::Error for VenueError {}
