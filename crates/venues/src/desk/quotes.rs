//! Best bid and ask of one instrument, from the channel that tells them: never made from a book.

use kernels::book::Book;
use wire::{Decimal, Record, channel, flag};

use super::retry::Retry;
use crate::api::Output;
use crate::silence::Rhythm;

/// Best bid and ask of one instrument as its own channel tells them.
pub(crate) struct Quotes {
    pub on: bool,
    /// The last quote; before the first, the top of the book when it first was whole.
    pub(super) last: Option<(Decimal, Decimal)>,
    /// Time from which on it must speak: not before it was asked for, and joined.
    pub(super) expected_ns: i64,
    gap_open: bool,
    /// Since when another channel contradicts the last quote.
    pub(super) odd_since_ns: Option<i64>,
    /// The way back after the venue refused the channel.
    pub(super) retry: Retry,
    pub rhythm: Rhythm,
}

/// What shows that a silent quote channel has lost something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The channel follows the top of the book: the two must agree.
    Book,
    /// The channel speaks at each trade: no trade may be newer.
    Trades,
}

impl Quotes {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            last: None,
            expected_ns: 0,
            gap_open: false,
            odd_since_ns: None,
            retry: Retry::default(),
            rhythm: Rhythm::new(),
        }
    }

    /// Emits both sides, bid first.
    #[inline]
    pub fn push(&mut self, bid: Record, ask: Record, out: &mut Output) {
        self.last = Some((bid.price(), ask.price()));
        self.gap_open = false;
        self.odd_since_ns = None;
        self.retry.attempts = 0;
        self.rhythm.beat(ask.ts_recv);
        out.records.push(bid);
        out.records.push(ask.with(flag::LAST));
    }

    /// A message that may have been a quote is lost. Before the first one there is nothing to lose.
    pub fn lose(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.rhythm.last_ns() != 0 {
            self.open_gap(instrument, why, now_ns, out);
        }
    }

    /// Opens a gap unless one is open.
    pub(super) fn open_gap(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.on && !self.gap_open {
            self.gap_open = true;
            let gap = Record::gap_open(instrument, channel::QUOTES, why, -1);
            out.records.push(gap.at(0, now_ns));
        }
    }

    /// Does the top of the book differ from what the channel said last? A channel that has not spoken is taken to
    /// have said what the book was at first: while nothing changes it need not speak.
    pub(super) fn contradicted(&mut self, book: &Book) -> bool {
        let top = book.best_bid().zip(book.best_ask());
        if self.last.is_none() {
            self.last = top.map(|(bid, ask)| (bid.0, ask.0));
        }
        let differs = |best: Option<(Decimal, Decimal, i64)>, said: Decimal| {
            best.is_some_and(|(price, _, _)| price.value_cmp(said).is_ne())
        };
        self.last
            .is_some_and(|(bid, ask)| differs(book.best_bid(), bid) || differs(book.best_ask(), ask))
    }

    /// Has another channel contradicted this one long enough?
    pub(super) fn stalled(&mut self, odd: bool, now_ns: i64) -> bool {
        if !odd {
            self.odd_since_ns = None;
            return false;
        }
        let since_ns = *self.odd_since_ns.get_or_insert(now_ns);
        now_ns - since_ns > self.rhythm.mute_after_ns() && self.rhythm.last_ns() < since_ns
    }
}
