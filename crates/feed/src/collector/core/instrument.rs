//! One instrument: its trades, quotes and book as the journal has them, and which connection speaks for it.
//! It decides what is written; when, and for which connection, is the core's affair.

use kernels::book::Book;
use wire::{Record, Side, cause, channel, flag, kind, status};

use super::out::Out;
use super::seen::Seen;
use super::shadow::Shadow;
use super::stream::{Gap, Stream, id_or_none, next_id, venue_id};

/// So many trades in a row with ids we have and times later than all we have: the venue numbers anew.
const RENUMBERED: usize = 10;

/// An instrument whose fields the core's own files share.
#[derive(Debug)]
pub(super) struct Instrument {
    pub number: u32,
    pub wanted: bool,
    /// Trade ids rise by one.
    pub numbered: bool,
    /// The connection that speaks for it.
    pub owner: Option<u64>,
    /// The venue gives nothing of it to that connection.
    pub refused: bool,
    /// Trading in it has stopped, as readers were last told.
    pub halted: bool,
    /// When that was said last.
    pub halted_ns: i64,
    pub trades: Stream,
    pub quotes: Stream,
    pub book_stream: Stream,
    pub book: Book,
    /// What readers were last told.
    pub book_valid: bool,
    /// A snapshot has begun in the message at hand.
    pub filling: bool,
    pub deltas: usize,
    /// Trades whose ids went back although their times went on.
    pub renumbered: Vec<Record>,
    /// The newest trades, where their ids do not tell what is repeated.
    pub seen: Seen,
    pub shadow: Option<Box<Shadow>>,
}

impl Instrument {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            wanted: false,
            numbered: true,
            owner: None,
            refused: false,
            halted: false,
            halted_ns: 0,
            trades: Stream::default(),
            quotes: Stream::default(),
            book_stream: Stream::default(),
            book: Book::new(),
            book_valid: false,
            filling: false,
            deltas: 0,
            renumbered: Vec::new(),
            seen: Seen::default(),
            shadow: None,
        }
    }

    pub fn streams(&self) -> [(u8, &Stream); 3] {
        [
            (channel::TRADES, &self.trades),
            (channel::QUOTES, &self.quotes),
            (channel::BOOK, &self.book_stream),
        ]
    }

    pub fn stream(&mut self, channel: u8) -> Option<&mut Stream> {
        match channel {
            channel::TRADES => Some(&mut self.trades),
            channel::QUOTES => Some(&mut self.quotes),
            channel::BOOK => Some(&mut self.book_stream),
            _ => None,
        }
    }

    pub fn own(&mut self, connection: u64) {
        self.owner = Some(connection);
        self.refused = false;
        self.filling = false;
        self.deltas = 0;
    }

    /// Opens a gap where none is open, and takes the book's validity with it.
    pub fn open_gap(&mut self, channel: u8, cause: u8, missing: i64, now: i64, out: &mut Out) {
        let number = self.number;
        let Some(stream) = self.stream(channel) else {
            return;
        };
        if stream.gap.is_none() {
            if !stream.active {
                stream.active = true;
                stream.own_time = true;
                stream.ts_event = now;
            }
            let mut record = Record::gap_open(number, channel, cause, missing).at(stream.ts_event, now);
            record.price = id_or_none(stream.id);
            if stream.own_time {
                record.flags |= flag::NO_VENUE_TIME;
            }
            let sequence = out.push(record);
            out.counts.gaps += 1;
            stream.gap = Some(Gap { sequence, cause });
        }
        if channel == channel::BOOK && std::mem::take(&mut self.book_valid) {
            let connection = self.owner.unwrap_or(0) as i64;
            let record = Record {
                price: connection,
                ..Record::status(number, channel, status::BOOK_INVALID)
            };
            out.push(record.at(now, now).with(flag::NO_VENUE_TIME));
        }
    }

    /// The venue gives nothing of it: what it delivered has a hole from here on.
    pub fn refuse(&mut self, now: i64, out: &mut Out) {
        self.refused = true;
        self.open_all(cause::LIMIT, now, out);
        let connection = self.owner.unwrap_or(0) as i64;
        let record = Record {
            price: connection,
            ..Record::status(self.number, channel::ALL, status::CLOSED)
        };
        out.push(record.at(now, now).with(flag::NO_VENUE_TIME));
    }

    /// Opens a gap in every channel that delivered.
    pub fn open_all(&mut self, cause: u8, now: i64, out: &mut Out) {
        for channel in [channel::TRADES, channel::QUOTES, channel::BOOK] {
            if self.stream(channel).is_some_and(|stream| stream.active) {
                self.open_gap(channel, cause, -1, now, out);
            }
        }
    }

    /// A trade of the connection that speaks. Returns whether it was written.
    pub fn trade(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        if let Some(shadow) = &mut self.shadow
            && let Some(id) = venue_id(record)
        {
            // What this connection missed the second one may have: in order, before a hole is declared.
            let ahead = shadow.pending.partition_point(|held| held.id < id);
            for held in shadow.pending.drain(..ahead).collect::<Vec<_>>() {
                self.accept(&held, now, out);
            }
        }
        let written = self.accept(record, now, out);
        self.release(now, out);
        written
    }

    /// The end of a halt may be told while nobody listens: a trade after its beginning says it too. Where trades are
    /// numbered the venue's table of instruments says who is traded.
    pub fn trades_again(&self, trade: &Record) -> bool {
        self.halted && !self.numbered && !trade.has(flag::IRREGULAR) && trade.ts_event > self.halted_ns
    }

    /// Writes a trade unless the journal has it, with the gap records it calls for.
    pub fn accept(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        let id = venue_id(record).filter(|_| self.numbered);
        let mut missing = -1;
        if !self.numbered && !self.is_new(record, now, out) {
            return false;
        }
        if let (Some(id), Some(last)) = (id, self.trades.id) {
            if id <= last {
                if record.ts_event > self.trades.ts_event && !self.trades.own_time {
                    return self.went_back(record, now, out);
                }
                out.counts.duplicates += 1;
                if id == last {
                    // The venue's newest trade is our newest: nothing was missed.
                    self.end_gap(channel::TRADES, record, 0, now, out);
                }
                return false;
            }
            self.renumbered.clear();
            missing = i64::try_from(id - last - 1).unwrap_or(-1);
            if missing != 0 {
                self.open_gap(channel::TRADES, cause::SEQUENCE_HOLE, missing, now, out);
            }
        }
        self.end_gap(channel::TRADES, record, missing, now, out);
        self.trades.good(record);
        out.push(Record {
            flags: record.flags & !flag::SNAPSHOT,
            ts_recv: now, // one that was held back is older than what was written meanwhile
            ..*record
        });
        true
    }

    /// A trade with an old id and a new time. One is a trade that came late; many in a row are a venue
    /// that began to count again, as a venue may after a reset: from then on its new ids count, and what
    /// was missed between is unknown.
    fn went_back(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        if self.renumbered.last().is_some_and(|held| held.id >= record.id) {
            self.renumbered.clear();
        }
        self.renumbered.push(*record);
        if self.renumbered.len() < RENUMBERED {
            out.counts.duplicates += 1;
            return false;
        }
        out.counts.duplicates -= RENUMBERED as u64 - 1;
        let held = std::mem::take(&mut self.renumbered);
        self.open_gap(channel::TRADES, cause::SEQUENCE_HOLE, -1, now, out);
        self.trades.id = None;
        for trade in held {
            self.accept(&trade, now, out);
        }
        true
    }

    /// Trades of the second connection that have become the next ones.
    pub fn release(&mut self, now: i64, out: &mut Out) {
        let Some(shadow) = &mut self.shadow else { return };
        let next = next_id(self.trades.id);
        if shadow.pending.first().is_none_or(|held| held.id > next) {
            return;
        }
        let pending = std::mem::take(&mut shadow.pending);
        let mut rest = pending.into_iter().peekable();
        while let Some(held) = rest.next_if(|held| held.id <= next_id(self.trades.id)) {
            self.accept(&held, now, out);
        }
        if let Some(shadow) = &mut self.shadow {
            shadow.pending = rest.collect();
        }
    }

    pub fn quote(&mut self, record: &Record, now: i64, out: &mut Out) {
        self.end_gap(channel::QUOTES, record, -1, now, out);
        self.quotes.good(record);
        out.push(Record {
            ts_recv: now,
            ..*record
        });
    }

    pub fn level(&mut self, record: &Record, out: &mut Out) {
        if record.kind == kind::CLEAR {
            self.filling = true;
            self.deltas = 0;
        } else if !self.filling {
            self.deltas += 1;
        }
        self.book.apply(record);
        self.book_stream.good(record);
        out.push(*record);
    }

    /// The first good record after a gap (`missing`: of those between).
    pub fn end_gap(&mut self, channel: u8, first: &Record, missing: i64, now: i64, out: &mut Out) {
        let number = self.number;
        let Some(stream) = self.stream(channel) else {
            return;
        };
        if let Some(gap) = stream.gap.take() {
            let mut record =
                Record::gap_end(number, channel, gap.cause, missing, gap.sequence).at(first.ts_event, now);
            record.price = id_or_none(venue_id(first));
            record.flags |= first.flags & flag::NO_VENUE_TIME;
            out.push(record);
            out.counts.missing += missing.max(0) as u64;
        }
    }

    /// The book is whole again, or for the first time.
    pub fn made_whole(&mut self, now: i64, out: &mut Out) {
        self.filling = false;
        let mut last = Record::clear(self.number).at(self.book_stream.ts_event, now);
        if let Some(id) = self.book_stream.id {
            last.id = id;
            last.flags |= flag::HAS_ID;
        }
        if self.book_stream.own_time {
            last.flags |= flag::NO_VENUE_TIME;
        }
        self.end_gap(channel::BOOK, &last, -1, now, out);
        if !self.book_valid {
            self.book_valid = true;
            let connection = self.owner.unwrap_or(0) as i64;
            let record = Record {
                price: connection,
                ..Record::status(self.number, channel::BOOK, status::BOOK_VALID)
            };
            out.push(record.at(now, now).with(flag::NO_VENUE_TIME));
        }
    }

    pub fn showable(&self) -> bool {
        self.book_valid && !self.filling && !self.book.crossed()
    }

    /// Writes the whole book: for readers that join late, whose others' book it must not change, and
    /// when another connection begins to speak.
    pub fn snapshot(&mut self, now: i64, out: &mut Out) {
        self.deltas = 0;
        out.counts.snapshots += 1;
        let mut flags = flag::SNAPSHOT;
        if self.book_stream.own_time {
            flags |= flag::NO_VENUE_TIME;
        }
        if self.book_stream.id.is_some() {
            flags |= flag::HAS_ID;
        }
        let stamp = |record: Record| Record {
            flags: record.flags | flags,
            id: self.book_stream.id.unwrap_or(0),
            ts_event: self.book_stream.ts_event,
            ts_recv: now,
            ..record
        };
        out.push(stamp(Record::clear(self.number)));
        for (side, levels) in [
            (Side::Buy, &mut self.book.bids() as &mut dyn Iterator<Item = _>),
            (Side::Sell, &mut self.book.asks()),
        ] {
            for (price, size, _) in levels {
                out.push(stamp(Record::level(self.number, side, price, size)));
            }
        }
        if let Some(last) = out.records.last_mut() {
            last.flags |= flag::LAST;
        }
    }
}
