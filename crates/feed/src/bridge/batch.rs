//! What one look into a venue's journal became: messages written once, shared by all clients.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use wire::{Decimal, Side};

/// Channels as bits, so that a filter is one operation.
pub mod channel_bit {
    pub const TRADES: u8 = 1;
    pub const QUOTES: u8 = 2;
    pub const BOOK: u8 = 4;
    pub const BARS: u8 = 8;
    pub const STATUS: u8 = 16;
    pub const ALL: u8 = 31;
}

/// Names of the channels in subscriptions, with their bits.
pub const CHANNELS: [(&str, u8); 5] = [
    ("trades", channel_bit::TRADES),
    ("quotes", channel_bit::QUOTES),
    ("book", channel_bit::BOOK),
    ("bars:1s", channel_bit::BARS),
    ("status", channel_bit::STATUS),
];

/// How a message behaves when its client is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Kept, or the client is cut: trades, status, gaps.
    Exact,
    /// Only the newest is kept.
    Quote,
    /// Only the newest of each start is kept.
    Bar { start_ns: i64 },
    /// Merged. Seen by subscriptions of this depth.
    Book { depth: u16, kind: BookKind },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookKind {
    /// Replaces the book; with `valid` false there is nothing that may be shown.
    Snapshot { valid: bool },
    /// Sets levels absolutely.
    Delta,
}

/// One level of a book message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub side: Side,
    pub price: Decimal,
    /// Zero removes the level.
    pub size: Decimal,
}

/// (epoch, sequence): where something stands in a venue's log.
pub type Place = (u32, u64);

/// One message. Its text, from `"type"` on, is written; a client adds its own beginning.
#[derive(Clone, Debug)]
pub struct Message {
    /// Epoch and sequence of its last record, or of the last record its state includes.
    pub place: Place,
    /// The instrument's number inside its venue; 0 is the whole venue.
    pub instrument: u32,
    /// Subscriptions with any of these channels see it.
    pub channels: u8,
    pub class: Class,
    /// Venue messages merged into this one beyond the first.
    pub conflated: u32,
    pub ts_event: i64,
    pub ts_recv: i64,
    text: Range<u32>,
    changes: Range<u32>,
    /// Of a book message: bytes of its venue and instrument fields.
    label_bytes: u16,
}

/// How the text of a book message begins; venue and instrument follow.
pub const BOOK_BEGINS: &[u8] = b"\"type\":\"book\",";

/// The only subscription that is to see a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub client: u64,
    pub subscription: u64,
}

/// Messages of one venue, in the order of its log.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of the venue in this bridge.
    pub venue: usize,
    /// The last record this batch covers, messages or not.
    pub through: Place,
    /// When its first frame was read.
    pub seen: Instant,
    pub target: Option<Target>,
    pub messages: Vec<Message>,
    text: Vec<u8>,
    changes: Vec<Change>,
}

impl Batch {
    pub fn new(venue: usize, seen: Instant) -> Self {
        Self {
            venue,
            through: (0, 0),
            seen,
            target: None,
            messages: Vec::new(),
            text: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The shared text of a message: everything after the client's own beginning, closing brace included.
    pub fn text(&self, message: &Message) -> &[u8] {
        &self.text[message.text.start as usize..message.text.end as usize]
    }

    /// The levels of a book message.
    pub fn changes(&self, message: &Message) -> &[Change] {
        &self.changes[message.changes.start as usize..message.changes.end as usize]
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of text so far.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Adds a message whose text `write` appends.
    pub fn add(&mut self, mut message: Message, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len() as u32;
        write(&mut self.text);
        message.text = start..self.text.len() as u32;
        self.messages.push(message);
    }

    /// `"venue":…,"instrument":…,` of a book message.
    pub fn label(&self, message: &Message) -> &[u8] {
        &self.text(message)[BOOK_BEGINS.len()..][..usize::from(message.label_bytes)]
    }

    /// Adds a book message: its levels are kept as numbers too, for clients that merge them.
    pub fn add_book(
        &mut self,
        mut message: Message,
        label: &[u8],
        changes: impl IntoIterator<Item = Change>,
        write: impl FnOnce(&mut Vec<u8>, &[Change]),
    ) {
        let first = self.changes.len();
        self.changes.extend(changes);
        message.label_bytes = label.len() as u16; // names have at most a few hundred bytes
        message.changes = first as u32..self.changes.len() as u32;
        let changes = std::mem::take(&mut self.changes);
        self.add(message, |out| write(out, &changes[first..]));
        self.changes = changes;
    }

    /// Conflated messages are made at the end; they belong where their records are.
    pub fn finish(mut self) -> Arc<Self> {
        self.messages.sort_by_key(|message| message.place);
        Arc::new(self)
    }
}

impl Message {
    pub fn new(place: Place, instrument: u32, channels: u8, class: Class) -> Self {
        Self {
            place,
            instrument,
            channels,
            class,
            conflated: 0,
            ts_event: 0,
            ts_recv: 0,
            text: 0..0,
            changes: 0..0,
            label_bytes: 0,
        }
    }
}
