//! Best bid and ask of one instrument, from the channel that tells them: never made from a book.

use wire::{Decimal, Record, channel, flag};

use crate::api::Output;
use crate::silence::Rhythm;

/// Best bid and ask of one instrument as its own channel tells them.
pub(crate) struct Quotes {
    pub on: bool,
    pub(super) last: Option<(Decimal, Decimal)>,
    gap_open: bool,
    /// Since when another channel contradicts the last quote.
    pub(super) odd_since_ns: Option<i64>,
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
            gap_open: false,
            odd_since_ns: None,
            rhythm: Rhythm::new(),
        }
    }

    /// Emits both sides, bid first.
    #[inline]
    pub fn push(&mut self, bid: Record, ask: Record, out: &mut Output) {
        self.last = Some((bid.price(), ask.price()));
        self.gap_open = false;
        self.odd_since_ns = None;
        self.rhythm.beat(ask.ts_recv);
        out.records.push(bid);
        out.records.push(ask.with(flag::LAST));
    }

    /// Opens a gap unless one is open.
    pub fn lose(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.on && self.last.is_some() && !self.gap_open {
            self.gap_open = true;
            let gap = Record::gap_open(instrument, channel::QUOTES, why, -1);
            out.records.push(gap.at(0, now_ns));
        }
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
