//! The book of one instrument and its way back after a failure. It is emitted only while it is proven right:
//! how that is proven is the venue's own affair.

use kernels::book::Book;
use wire::{Record, Side, cause, channel, flag, status};

use super::last;
use super::retry::Retry;
use crate::api::Output;
use crate::silence::Rhythm;

const S: i64 = 1_000_000_000;
/// A book asked for and not sent after so long is asked for again.
const SNAPSHOT_NS: i64 = 20 * S;
/// A book that stood so long has recovered: the next failure is its first again.
const RECOVERED_NS: i64 = 60 * S;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not subscribed, or refused by the venue.
    Off,
    /// No snapshot yet on this connection.
    Waiting,
    Valid,
    /// Spoilt: nothing is emitted until the next snapshot.
    Invalid,
}

/// The book of one instrument and its way back after a failure.
pub(crate) struct Ladder {
    pub book: Book,
    pub phase: Phase,
    /// A snapshot was asked for only to see whether a mute channel lost something.
    probing: bool,
    /// The book is right, but a new snapshot is wanted: what this one covers runs out.
    pub short: bool,
    gap_open: bool,
    /// When the snapshot awaited was asked for, 0 when none is, or its answer is certain to come.
    asked_ns: i64,
    retry: Retry,
    valid_since_ns: i64,
    pub rhythm: Rhythm,
}

impl Ladder {
    pub(super) fn new(on: bool) -> Self {
        Self {
            book: Book::new(),
            phase: if on { Phase::Waiting } else { Phase::Off },
            probing: false,
            short: false,
            gap_open: false,
            asked_ns: 0,
            retry: Retry::default(),
            valid_since_ns: 0,
            rhythm: Rhythm::new(),
        }
    }

    pub fn valid(&self) -> bool {
        self.phase == Phase::Valid
    }

    /// A snapshot was asked for just now, on a channel that may leave the question without an answer.
    pub fn asked(&mut self, now_ns: i64) {
        self.asked_ns = now_ns.max(1);
    }

    /// The question came back without a snapshot: ask again after a pause.
    pub fn refused(&mut self, now_ns: i64) {
        self.asked_ns = 0;
        self.retry.failed(now_ns);
    }

    /// The book is spoilt: says so once, empties it, and plans the next snapshot.
    pub fn invalidate(&mut self, instrument: u32, why: u8, missing: i64, now_ns: i64, out: &mut Output) {
        match self.phase {
            Phase::Off => return,
            Phase::Valid => {
                if now_ns - self.valid_since_ns > RECOVERED_NS {
                    self.retry.attempts = 0;
                }
                if !self.gap_open {
                    let gap = Record::gap_open(instrument, channel::BOOK, why, missing);
                    out.records.push(gap.at(0, now_ns));
                    self.gap_open = true;
                }
                let invalid = Record::status(instrument, channel::BOOK, status::BOOK_INVALID);
                out.records.push(invalid.at(now_ns, now_ns));
                self.phase = Phase::Invalid;
            }
            Phase::Waiting | Phase::Invalid => {}
        }
        self.book = Book::new();
        self.probing = false;
        self.short = false;
        self.refused(now_ns);
    }

    /// A snapshot came and is wrong in itself.
    pub fn reject(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.phase == Phase::Waiting && !self.gap_open {
            // the first one of a connection: from here on there is a hole of the venue's making
            let gap = Record::gap_open(instrument, channel::BOOK, why, -1);
            out.records.push(gap.at(0, now_ns));
            let invalid = Record::status(instrument, channel::BOOK, status::BOOK_INVALID);
            out.records.push(invalid.at(now_ns, now_ns));
            self.gap_open = true;
            self.phase = Phase::Invalid;
        }
        self.invalidate(instrument, why, -1, now_ns, out);
    }

    /// A message that may have been this book's could not be read.
    pub fn unreadable(&mut self, instrument: u32, now_ns: i64, out: &mut Output) {
        self.unreadable_because(instrument, cause::MALFORMED, now_ns, out);
    }

    /// A message that may have been this book's was lost. One that is not valid waits for its snapshot
    /// anyway, which may itself be what was lost: it is asked for again.
    pub fn unreadable_because(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        match self.phase {
            Phase::Valid => self.invalidate(instrument, why, -1, now_ns, out),
            Phase::Waiting | Phase::Invalid if self.asked_ns != 0 => self.refused(now_ns),
            _ => {}
        }
    }

    /// Asks for the snapshot no sooner than `ns`.
    pub fn ask_at(&mut self, ns: i64) {
        self.retry.at_ns = ns;
    }

    /// Is this a valid book whose silence is being looked into?
    pub fn probing(&self) -> bool {
        self.phase == Phase::Valid && self.probing
    }

    /// The silence was looked into, and the market is quiet.
    pub fn quiet(&mut self, now_ns: i64) {
        self.probing = false;
        self.asked_ns = 0;
        self.rhythm.excuse(now_ns);
    }

    /// Should a snapshot be asked for now?
    pub(super) fn due(&mut self, instrument: u32, now_ns: i64, out: &mut Output) -> bool {
        if self.asked_ns != 0 {
            if now_ns - self.asked_ns > SNAPSHOT_NS {
                if self.phase == Phase::Valid {
                    // asked because it was mute, and mute it is
                    self.invalidate(instrument, cause::STALL, -1, now_ns, out);
                } else {
                    self.refused(now_ns);
                }
            }
            return false;
        }
        match self.phase {
            Phase::Invalid | Phase::Waiting => now_ns >= self.retry.at_ns,
            Phase::Valid if self.short => now_ns >= self.retry.at_ns,
            Phase::Valid if self.rhythm.mute(now_ns, 0) => {
                self.rhythm.excuse(now_ns);
                self.probing = true;
                true
            }
            Phase::Valid | Phase::Off => false,
        }
    }

    /// As [`Ladder::snapshot`], on venues whose only proof of a broken book is that it is crossed.
    pub fn snapshot_unless_crossed(
        &mut self,
        instrument: u32,
        levels: &[Record],
        ts_event: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) {
        if self.phase == Phase::Off {
            return;
        }
        let best = |side: Side| {
            levels
                .iter()
                .filter(move |level| level.side() == side && level.size > 0)
        };
        let bid = best(Side::Buy)
            .map(Record::price)
            .max_by(|one, other| one.value_cmp(*other));
        let ask = best(Side::Sell)
            .map(Record::price)
            .min_by(|one, other| one.value_cmp(*other));
        if let (Some(bid), Some(ask)) = (bid, ask)
            && bid.value_cmp(ask).is_ge()
        {
            self.reject(instrument, cause::CHECKSUM, now_ns, out);
        } else {
            self.snapshot(instrument, levels, ts_event, now_ns, out);
        }
    }

    /// A whole book came. `levels` are its level records without flags of snapshots. `id` is the venue's
    /// update id, where it has one.
    pub fn snapshot(
        &mut self,
        instrument: u32,
        levels: &[Record],
        ts_event: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) {
        let mut book = Book::new();
        for level in levels {
            book.set(level.side(), level.price(), level.size(), level.ts_event);
        }
        self.asked_ns = 0;
        self.rhythm.excuse(now_ns);
        let probing = std::mem::take(&mut self.probing);
        if self.phase == Phase::Valid && probing && !std::mem::take(&mut self.short) {
            if book.same_levels(&self.book) {
                return; // the market was quiet; nothing was lost and nothing is new
            }
            self.invalidate(instrument, cause::STALL, -1, now_ns, out);
        }
        self.book = book;
        let (time, timeless) = match ts_event {
            Some(ts) => (ts, 0),
            None => (now_ns, flag::NO_VENUE_TIME),
        };
        let clear = Record::clear(instrument).at(time, now_ns);
        out.records.push(clear.with(flag::SNAPSHOT | timeless));
        out.records
            .extend(levels.iter().map(|level| level.with(flag::SNAPSHOT)));
        last(out);
        if self.phase != Phase::Valid {
            let valid = Record::status(instrument, channel::BOOK, status::BOOK_VALID);
            out.records.push(valid.at(now_ns, now_ns));
            self.phase = Phase::Valid;
            self.valid_since_ns = now_ns;
        }
        self.short = false;
        self.gap_open = false;
    }
}
