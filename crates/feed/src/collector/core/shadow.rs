//! A second connection that delivers an instrument before it speaks for it: what it has is kept aside until the
//! first one ends, so that replacing a connection makes no hole.

use std::collections::VecDeque;

use kernels::book::Book;
use wire::{Record, cause, channel, flag, kind};

use super::Wanted;
use super::instrument::Instrument;
use super::out::Out;
use super::stream::{timeless, venue_id};

/// Trades, and quotes, held back per instrument while a second connection is ahead of the first.
const PENDING: usize = 10_000;

/// What a second connection delivered for an instrument while the first still speaks for it.
#[derive(Debug)]
pub(super) struct Shadow {
    pub connection: u64,
    pub book: Book,
    pub filling: bool,
    pub whole: bool,
    pub book_ts_event: i64,
    pub book_own_time: bool,
    pub book_id: Option<u64>,
    pub trades: bool,
    /// Quotes newer than those of the first connection.
    pub quotes: VecDeque<Record>,
    /// The first connection delivered what this one had before: nothing lies between the two.
    pub quotes_meet: bool,
    /// The venue gives nothing of the instrument to it.
    pub refused: bool,
    /// Trades ahead of the journal, by id: the first connection is expected to deliver those between.
    pub pending: Vec<Record>,
}

impl Shadow {
    pub fn new(connection: u64) -> Self {
        Self {
            connection,
            book: Book::new(),
            filling: false,
            whole: false,
            book_ts_event: 0,
            book_own_time: false,
            book_id: None,
            trades: false,
            quotes: VecDeque::new(),
            quotes_meet: false,
            refused: false,
            pending: Vec::new(),
        }
    }
}

impl Instrument {
    /// A record of the connection that does not speak yet. Returns whether it was written.
    pub fn shadowed(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        let Some(shadow) = &mut self.shadow else {
            return false;
        };
        match record.kind {
            kind::TRADE => {
                shadow.trades = true;
                if !self.numbered {
                    return self.accept(record, now, out); // whichever connection has it first
                }
                let Some(id) = venue_id(record) else {
                    return false; // cannot be told from what the first connection delivers
                };
                let next = self.trades.id.map_or(id, |last| last.saturating_add(1));
                if id <= next {
                    let written = self.accept(record, now, out);
                    self.release(now, out);
                    return written;
                }
                let at = shadow.pending.partition_point(|held| held.id < id);
                if shadow.pending.len() < PENDING && shadow.pending.get(at).is_none_or(|held| held.id != id) {
                    shadow.pending.insert(at, *record);
                }
                false
            }
            kind::LEVEL | kind::CLEAR => {
                if record.kind == kind::CLEAR {
                    shadow.filling = true;
                    shadow.whole = false;
                }
                shadow.book.apply(record);
                shadow.book_id = venue_id(record).or(shadow.book_id);
                if !timeless(record) || shadow.book_ts_event == 0 {
                    shadow.book_ts_event = record.ts_event;
                    shadow.book_own_time = record.has(flag::NO_VENUE_TIME);
                }
                false
            }
            kind::QUOTE => {
                shadow.quotes.push_back(*record);
                while shadow
                    .quotes
                    .front()
                    .is_some_and(|held| !self.quotes.behind(held))
                {
                    shadow.quotes.pop_front();
                    shadow.quotes_meet = true;
                }
                if shadow.quotes.len() > PENDING {
                    shadow.quotes.pop_front();
                    shadow.quotes_meet = false;
                }
                false
            }
            _ => false,
        }
    }

    /// The second connection speaks from now on. `lost` is why the first one ended, `None` when it was
    /// replaced on purpose.
    pub fn take_over(&mut self, lost: Option<u8>, wanted: Wanted, now: i64, out: &mut Out) {
        let Some(mut shadow) = self.shadow.take() else {
            return;
        };
        self.own(shadow.connection);
        for held in std::mem::take(&mut shadow.pending) {
            self.accept(&held, now, out);
        }
        if let Some(cause) = lost.filter(|_| !shadow.trades && self.trades.active) {
            self.open_gap(channel::TRADES, cause, -1, now, out);
        }
        let known = shadow.quotes.len();
        shadow.quotes.retain(|quote| self.quotes.behind(quote));
        let meet = shadow.quotes_meet || shadow.quotes.len() < known;
        if let Some(cause) = lost.filter(|_| !meet && self.quotes.active) {
            self.open_gap(channel::QUOTES, cause, -1, now, out);
        }
        for quote in &shadow.quotes {
            self.quote(quote, now, out);
        }
        if shadow.refused {
            self.refuse(now, out);
            return;
        }
        if !wanted.book {
            return;
        }
        if shadow.whole {
            self.book = shadow.book;
            self.book_stream.active = true;
            self.book_stream.ts_event = shadow.book_ts_event;
            self.book_stream.own_time = shadow.book_own_time;
            self.book_stream.id = shadow.book_id;
            self.snapshot(now, out);
            self.made_whole(now, out);
        } else if self.book_stream.active {
            self.open_gap(channel::BOOK, lost.unwrap_or(cause::DISCONNECT), -1, now, out);
        }
    }
}
