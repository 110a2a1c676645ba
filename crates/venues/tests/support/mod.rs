//! What the tests of all venues share.
#![allow(dead_code)] // each test file uses its part

use std::path::PathBuf;

use kernels::book::Book;
use venues::{Action, Channels, Listing, Output, Session, Subscription};
use wire::{Decimal, Record, channel, flag, kind};

pub const S: i64 = 1_000_000_000;
pub const START: i64 = 1_700_000_000 * S;

/// A recorded file, or `None` (which is said, and fails in CI) where the recordings are not there.
pub fn recorded(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("TIDEMILL_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let file = root.join("recorded").join(path);
    match std::fs::read(&file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            skip::because(format_args!("{}: {error} (set TIDEMILL_DATA)", file.display()));
            None
        }
    }
}

pub fn subscription(instrument: u32, symbol: &str, price_scale: u8, size_scale: u8) -> Subscription {
    Subscription {
        instrument,
        listing: Listing {
            symbol: symbol.into(),
            rest_symbol: symbol.replace('/', ""),
            base: "BASE".into(),
            quote: "QUOTE".into(),
            tick: Decimal::new(1, price_scale),
            lot: Decimal::new(1, size_scale),
            price_scale,
            size_scale,
            status: "online".into(),
        },
    }
}

/// A session, its clock and what it gave.
pub struct Driver {
    pub session: Box<dyn Session>,
    pub out: Output,
    pub now: i64,
}

impl Driver {
    pub fn new(protocol: &str, instruments: &[Subscription], channels: Channels) -> Self {
        let mut driver = Self::opened_at(START - S, protocol, instruments, channels);
        driver.now = START;
        driver
    }

    pub fn opened_at(now: i64, protocol: &str, instruments: &[Subscription], channels: Channels) -> Self {
        let mut driver = Self {
            session: venues::by_name(protocol).unwrap().session(instruments, channels),
            out: Output::default(),
            now,
        };
        driver.session.open(now, &mut driver.out);
        driver
    }

    /// Sends one message; what it gave is appended to `out`.
    pub fn message(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.session.message(text.as_ref(), self.now, &mut self.out);
        self.now += 1_000_000;
        self
    }

    pub fn respond(&mut self, request: u64, status: u16, body: impl AsRef<[u8]>) -> &mut Self {
        self.session
            .response(request, status, body.as_ref(), self.now, &mut self.out);
        self
    }

    /// Lets time pass in steps of 100 ms.
    pub fn wait(&mut self, ns: i64) -> &mut Self {
        let end = self.now + ns;
        while self.now < end {
            self.now += S / 10;
            self.session.tick(self.now, &mut self.out);
        }
        self
    }

    pub fn take(&mut self) -> Output {
        std::mem::take(&mut self.out)
    }

    pub fn sends(&self) -> Vec<&str> {
        sends(&self.out)
    }

    pub fn gets(&self) -> Vec<(u64, &str)> {
        self.out
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Get { request, path, .. } => Some((*request, path.as_str())),
                _ => None,
            })
            .collect()
    }
}

pub fn sends(out: &Output) -> Vec<&str> {
    out.actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// Gap openings of a channel: (cause, missing).
pub fn gaps(records: &[Record], on: u8) -> Vec<(u8, i64)> {
    records
        .iter()
        .filter(|record| record.kind == kind::GAP && record.price_scale == on)
        .map(|record| (record.size_scale, record.size))
        .collect()
}

pub fn book_statuses(records: &[Record]) -> Vec<u64> {
    records
        .iter()
        .filter(|record| record.kind == kind::STATUS && record.price_scale == channel::BOOK)
        .map(|record| record.id)
        .collect()
}

pub fn of_kind(records: &[Record], wanted: u8) -> Vec<Record> {
    records
        .iter()
        .filter(|record| record.kind == wanted)
        .copied()
        .collect()
}

/// Level records that the venue printed, without the removals the session adds.
pub fn printed_levels(records: &[Record]) -> impl Iterator<Item = &Record> {
    records
        .iter()
        .filter(|record| record.kind == kind::LEVEL)
        .filter(|record| !(record.has(flag::NO_VENUE_TIME) && record.size == 0))
}

/// Price and size.
pub type Row = (String, String);

/// Both sides of a book as text, best first.
pub fn sides(book: &Book) -> (Vec<Row>, Vec<Row>) {
    let text =
        |(price, size, _): (Decimal, Decimal, i64)| (price.normal().to_string(), size.normal().to_string());
    (book.bids().map(text).collect(), book.asks().map(text).collect())
}

/// A book rebuilt from records alone, as a reader of the journal would.
pub fn rebuild(records: &[Record], instrument: u32) -> Book {
    let mut book = Book::new();
    for record in records.iter().filter(|record| record.instrument == instrument) {
        book.apply(record);
    }
    book
}

pub fn only(trades: bool, quotes: bool, book: bool, depth: u16) -> Channels {
    Channels {
        trades,
        quotes,
        book,
        depth,
    }
}
