//! The pipeline between the sessions of a venue and its journal: drops repeated trades, keeps the gap
//! ledger, knows which connection speaks for which instrument, writes books so that a reader can join late.
//!
//! Pure: events and times in, records out ([`Core::output`]); no socket, no clock, no file. Everything it must
//! know after a restart it reads back from the journal (`recovery`).
//!
//! Where trade ids grow by one per instrument, ids alone decide what is repeated and what is missing, across
//! connections and restarts. A trade that comes after a later one was recorded is dropped and counted: its id is
//! inside a gap, where a backfill finds it. Where ids only name trades ([`Core::unnumbered`]), a trade that was
//! seen is a repeat, and nothing else is known.

mod instrument;
mod out;
mod recovery;
mod seen;
mod shadow;
mod stream;

use wire::{Record, Side, cause, channel, flag, kind, status};

use self::instrument::Instrument;
pub use self::out::Counts;
use self::out::Out;
use self::shadow::Shadow;

/// A book gets a fresh snapshot when the deltas since the last one outnumber its levels, and never more
/// often than after so many deltas.
const SNAPSHOT_DELTAS: usize = 1_000;
/// Books of up to so many levels get a fresh snapshot at each segment start.
const SMALL_BOOK: usize = 2_000;

/// Which channels are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub trades: bool,
    pub quotes: bool,
    pub book: bool,
}

#[derive(Debug)]
struct Line {
    connection: u64,
    live: bool,
    /// The venue says that it has nothing fresh to give.
    stale: bool,
    instruments: Vec<u32>,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    wanted: Wanted,
    /// By the low 20 bits of the number, which count from 1 in each venue.
    instruments: Vec<Option<Box<Instrument>>>,
    lines: Vec<Line>,
    out: Out,
    /// The highest connection number ever given.
    connection: u64,
    /// Trade ids rise by one.
    numbered: bool,
    /// Trading at the venue has stopped, as readers were last told.
    halted: bool,
    /// Instruments whose book the message at hand touched.
    touched: Vec<u32>,
    /// A channel is watched from now on of which the journal has no record yet.
    unsaved: bool,
}

fn slot(number: u32) -> usize {
    (number & 0xF_FFFF) as usize
}

/// The instrument of this number. Not a method, so that what is written out can be borrowed beside it.
fn pick(instruments: &mut [Option<Box<Instrument>>], number: u32) -> Option<&mut Instrument> {
    instruments.get_mut(slot(number))?.as_deref_mut()
}

impl Core {
    /// `next_sequence` is what the journal gives the next record.
    pub fn new(next_sequence: u64, wanted: Wanted) -> Self {
        Self {
            wanted,
            instruments: Vec::new(),
            lines: Vec::new(),
            out: Out {
                records: Vec::new(),
                next: next_sequence,
                counts: Counts::default(),
            },
            connection: 0,
            numbered: true,
            halted: false,
            touched: Vec::new(),
            unsaved: false,
        }
    }

    /// For a venue whose trade ids are mere names: no hole is read from them, and only a trade that was seen is a
    /// repetition. Before anything else.
    pub fn unnumbered(mut self) -> Self {
        self.numbered = false;
        self
    }

    /// Records to append now, in order.
    pub fn output(&self) -> &[Record] {
        &self.out.records
    }

    /// The output was appended.
    pub fn clear(&mut self) {
        self.out.records.clear();
    }

    pub fn next_sequence(&self) -> u64 {
        self.out.next
    }

    pub fn counts(&self) -> Counts {
        self.out.counts
    }

    /// Whether [`Core::state`] has something since the last call that no record tells: until it is written, a
    /// restart would not know of a hole.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// A number for a new connection: they grow over restarts too.
    pub fn number_connection(&mut self) -> u64 {
        self.connection += 1;
        self.connection
    }

    /// Gaps open now, of wanted instruments.
    pub fn open_gaps(&self) -> usize {
        self.known()
            .filter(|i| i.wanted)
            .map(|i| i.streams().iter().filter(|s| s.1.gap.is_some()).count())
            .sum()
    }

    /// A venue says on an open connection that it has nothing fresh to give.
    pub fn stale(&self) -> bool {
        self.lines.iter().any(|line| line.stale)
    }

    /// Wanted instruments of which the venue gives nothing.
    pub fn refused(&self) -> impl Iterator<Item = u32> {
        self.known().filter(|i| i.wanted && i.refused).map(|i| i.number)
    }

    fn known(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().flatten().map(Box::as_ref)
    }

    fn entry(&mut self, number: u32) -> &mut Instrument {
        let at = slot(number);
        if at >= self.instruments.len() {
            self.instruments.resize_with(at + 1, || None);
        }
        let numbered = self.numbered;
        self.instruments[at].get_or_insert_with(|| {
            Box::new(Instrument {
                numbered,
                ..Instrument::new(number)
            })
        })
    }

    fn find(&mut self, number: u32) -> Option<&mut Instrument> {
        pick(&mut self.instruments, number)
    }

    // ---- connections

    /// Which instruments are collected from now on.
    pub fn want(&mut self, numbers: &[u32]) {
        for instrument in self.instruments.iter_mut().flatten() {
            instrument.wanted = false;
        }
        for &number in numbers {
            self.entry(number).wanted = true;
        }
    }

    /// The first connection is being made.
    pub fn connecting(&mut self, connection: u64, now: i64) {
        self.out.push(venue_status(status::CONNECTING, connection, now));
    }

    /// A connection is open for these instruments. It speaks at once for those that no other speaks for;
    /// of the others it keeps a shadow until [`Core::switch`], or until the other ends.
    pub fn open(&mut self, connection: u64, numbers: &[u32]) {
        for &number in numbers {
            let instrument = self.entry(number);
            if instrument.owner.is_none() {
                instrument.own(connection);
            } else {
                instrument.shadow = Some(Box::new(Shadow::new(connection)));
            }
        }
        self.lines.push(Line {
            connection,
            live: false,
            stale: false,
            instruments: numbers.to_vec(),
        });
    }

    /// Could this second connection replace the first without a hole? `aged` accepts instruments that had
    /// no trade yet on the new connection.
    pub fn ready(&self, connection: u64, aged: bool) -> bool {
        let mut live = false;
        for line in self.lines.iter().filter(|line| line.connection == connection) {
            live = line.live;
        }
        live && self
            .known()
            .filter_map(|i| i.shadow.as_deref().map(|s| (s, i.book_stream.active)))
            .filter(|(s, _)| s.connection == connection)
            .all(|(s, has_book)| {
                s.refused
                    || (s.whole || !self.wanted.book || (aged && !has_book))
                        && (s.trades || !self.wanted.trades || aged)
                        && s.pending.is_empty()
            })
    }

    /// The connection speaks for all its instruments from now on. What it is not ready for becomes a gap.
    pub fn switch(&mut self, connection: u64, now: i64) {
        let mut taken = Vec::new();
        for instrument in self.instruments.iter_mut().flatten() {
            if instrument
                .shadow
                .as_ref()
                .is_some_and(|s| s.connection == connection)
            {
                instrument.take_over(None, self.wanted, now, &mut self.out);
                taken.push(instrument.number);
            }
        }
        self.tell(status::LIVE, connection, &taken, now);
    }

    /// The connection ended, or failed before it opened. Its instruments go to the second connection where
    /// there is one; the others get their gaps. `closed`: not to be made again.
    pub fn ended(&mut self, connection: u64, cause: u8, closed: bool, now: i64) {
        self.lines.retain(|line| line.connection != connection);
        let mut lost: Vec<u32> = Vec::new();
        let mut taken: Vec<(u64, u32)> = Vec::new();
        for instrument in self.instruments.iter_mut().flatten() {
            if instrument
                .shadow
                .as_ref()
                .is_some_and(|s| s.connection == connection)
            {
                instrument.shadow = None;
            }
            if instrument.owner == Some(connection) {
                if let Some(shadow) = &instrument.shadow {
                    taken.push((shadow.connection, instrument.number));
                } else {
                    lost.push(instrument.number);
                }
            }
        }
        if cause == cause::STALL {
            self.tell(status::STALE, connection, &lost, now);
        }
        for &number in &lost {
            let out = &mut self.out;
            if let Some(instrument) = pick(&mut self.instruments, number) {
                instrument.owner = None;
                instrument.open_all(cause, now, out);
            }
        }
        let (wanted, dropped): (Vec<u32>, Vec<u32>) = lost
            .iter()
            .partition(|&&number| !closed && self.find(number).is_some_and(|i| i.wanted));
        self.tell(status::CLOSED, connection, &dropped, now);
        self.tell(status::RECONNECTING, connection, &wanted, now);
        for &(_, number) in &taken {
            let (wanted, out) = (self.wanted, &mut self.out);
            if let Some(instrument) = pick(&mut self.instruments, number) {
                instrument.take_over(Some(cause), wanted, now, out);
            }
        }
        if let Some(&(successor, _)) = taken.first() {
            let numbers: Vec<u32> = taken.iter().filter(|t| t.0 == successor).map(|t| t.1).collect();
            self.tell(status::LIVE, successor, &numbers, now);
        }
    }

    /// A status for these instruments: one record where they are all that are wanted.
    fn tell(&mut self, code: u64, connection: u64, numbers: &[u32], now: i64) {
        if numbers.is_empty() {
            return;
        }
        let wanted = self.known().filter(|i| i.wanted).count();
        let covered = self
            .known()
            .filter(|i| i.wanted && numbers.contains(&i.number))
            .count();
        let record = venue_status(code, connection, now);
        if wanted == covered {
            self.out.push(record);
        } else {
            for &number in numbers {
                self.out.push(Record {
                    instrument: number,
                    ..record
                });
            }
        }
    }

    /// The receive clock made a step of so many nanoseconds.
    pub fn clock_step(&mut self, step_ns: i64, now: i64) {
        let mut record = venue_status(status::CLOCK_STEP, 0, now);
        record.size = step_ns;
        self.out.push(record);
    }

    // ---- data

    /// What a session made of one message (or answer, or tick).
    pub fn records(&mut self, connection: u64, records: &[Record], now: i64) {
        let Some(line) = self.lines.iter_mut().find(|line| line.connection == connection) else {
            return; // the connection was given up; what it still had is not part of the story
        };
        if !line.live {
            line.live = true;
            let numbers = line.instruments.clone();
            self.went_live(connection, &numbers, now);
        }
        let mut start = self.out.records.len(); // of the venue's message at hand
        let mut dropped = false; // the record before
        for record in records {
            let kept = match record.kind {
                kind::GAP => {
                    if record.side() == Side::Buy {
                        self.session_gap(connection, record, now);
                    }
                    false
                }
                kind::DETAIL => {
                    if !dropped {
                        self.out.push(*record);
                    }
                    !dropped
                }
                kind::STATUS => self.session_status(connection, record, now),
                _ => self.data(connection, record, now),
            };
            dropped = !kept;
            if record.has(flag::LAST) {
                if !kept && let Some(last) = self.out.records[start..].iter_mut().rev().find(|r| is_data(r)) {
                    last.flags |= flag::LAST;
                }
                start = self.out.records.len();
            }
        }
        self.settle(now);
    }

    /// The first word of a connection: it delivers.
    fn went_live(&mut self, connection: u64, numbers: &[u32], now: i64) {
        let wanted = self.wanted;
        let (mut spoken, mut activated) = (Vec::new(), false);
        for &number in numbers {
            let Some(instrument) = self.find(number) else {
                continue;
            };
            if instrument.owner != Some(connection) {
                continue;
            }
            spoken.push(number);
            if wanted.trades && !instrument.trades.active {
                // A quiet instrument has no trade yet; a hole from here on is still a hole.
                instrument.trades.active = true;
                instrument.trades.own_time = true;
                instrument.trades.ts_event = now;
                activated = true;
            }
        }
        self.unsaved |= activated;
        self.tell(status::LIVE, connection, &spoken, now);
    }

    /// One trade, quote, clear or level. Returns whether it was written.
    fn data(&mut self, connection: u64, record: &Record, now: i64) -> bool {
        let out = &mut self.out;
        let Some(instrument) = pick(&mut self.instruments, record.instrument) else {
            return false; // the session was given no such number
        };
        if instrument.owner == Some(connection) {
            match record.kind {
                kind::TRADE => {
                    let written = instrument.trade(record, now, out);
                    if instrument.trades_again(record) {
                        self.trading(record.instrument, true, now);
                    }
                    written
                }
                kind::QUOTE => {
                    instrument.quote(record, now, out);
                    true
                }
                kind::LEVEL | kind::CLEAR => {
                    if self.touched.last() != Some(&record.instrument)
                        && !self.touched.contains(&record.instrument)
                    {
                        self.touched.push(record.instrument);
                    }
                    instrument.level(record, out);
                    true
                }
                _ => {
                    out.push(*record);
                    true
                }
            }
        } else if instrument
            .shadow
            .as_ref()
            .is_some_and(|s| s.connection == connection)
        {
            if matches!(record.kind, kind::LEVEL | kind::CLEAR) && !self.touched.contains(&record.instrument)
            {
                self.touched.push(record.instrument);
            }
            instrument.shadowed(record, now, out)
        } else {
            false
        }
    }

    /// A hole the session found.
    fn session_gap(&mut self, connection: u64, record: &Record, now: i64) {
        let numbers = if record.instrument == 0 {
            self.lines
                .iter()
                .find(|l| l.connection == connection)
                .map(|l| l.instruments.clone())
                .unwrap_or_default()
        } else {
            vec![record.instrument]
        };
        let out = &mut self.out;
        for number in numbers {
            let Some(instrument) = pick(&mut self.instruments, number) else {
                continue;
            };
            if instrument.owner == Some(connection) {
                let channels: &[u8] = match record.price_scale {
                    channel::ALL => &[channel::TRADES, channel::QUOTES, channel::BOOK],
                    channel::TRADES => &[channel::TRADES],
                    channel::QUOTES => &[channel::QUOTES],
                    channel::BOOK => &[channel::BOOK],
                    _ => &[],
                };
                for &channel in channels {
                    // A book that never was whole, or quotes the venue never sent, have no hole.
                    if record.price_scale != channel::ALL
                        || instrument.stream(channel).is_some_and(|s| s.active)
                    {
                        instrument.open_gap(channel, record.size_scale, record.size, now, out);
                    }
                }
            } else if let Some(shadow) = instrument.shadow.as_mut().filter(|s| s.connection == connection)
                && matches!(record.price_scale, channel::ALL | channel::BOOK)
            {
                shadow.whole = false;
            }
        }
    }

    /// A status of the session. Returns whether it was written.
    fn session_status(&mut self, connection: u64, record: &Record, now: i64) -> bool {
        let out = &mut self.out;
        let stamped = Record {
            ts_recv: now,
            price: connection as i64,
            ..*record
        };
        if record.instrument == 0 {
            return match record.id {
                status::HALTED | status::RESUMED => self.trading(0, record.id == status::RESUMED, now),
                status::STALE | status::LIVE => {
                    self.freshness(connection, record.id == status::STALE, stamped)
                }
                _ => {
                    out.push(stamped);
                    true
                }
            };
        }
        let Some(instrument) = pick(&mut self.instruments, record.instrument) else {
            return false;
        };
        if instrument.owner == Some(connection) {
            match record.id {
                status::BOOK_INVALID => {
                    let told = instrument.book_valid;
                    instrument.book_valid = false;
                    if told {
                        out.push(stamped);
                    }
                    told
                }
                status::BOOK_VALID => {
                    let told = instrument.book_valid;
                    instrument.made_whole(now, out);
                    !told
                }
                status::CLOSED => {
                    instrument.refuse(now, out);
                    true
                }
                status::HALTED | status::RESUMED => {
                    self.trading(record.instrument, record.id == status::RESUMED, now)
                }
                _ => {
                    out.push(stamped);
                    true
                }
            }
        } else {
            if let Some(shadow) = instrument.shadow.as_mut().filter(|s| s.connection == connection) {
                match record.id {
                    status::BOOK_INVALID => shadow.whole = false,
                    status::BOOK_VALID => shadow.whole = true,
                    status::CLOSED => shadow.refused = true,
                    _ => {}
                }
            }
            false
        }
    }

    /// The venue lost its own source, or has it again: told for the instruments that the connection speaks for,
    /// where it is news. Returns whether it was written.
    fn freshness(&mut self, connection: u64, stale: bool, record: Record) -> bool {
        let Some(line) = self.lines.iter_mut().find(|line| line.connection == connection) else {
            return false;
        };
        if std::mem::replace(&mut line.stale, stale) == stale {
            return false;
        }
        let mut numbers = line.instruments.clone();
        numbers.retain(|&number| self.find(number).is_some_and(|i| i.owner == Some(connection)));
        self.tell(record.id, connection, &numbers, record.ts_recv);
        !numbers.is_empty()
    }

    /// Whether an instrument (0: the whole venue) is traded. Told where it is news, whoever says it: a
    /// connection knows nothing of what the one before it said. Returns whether it was written.
    pub fn trading(&mut self, number: u32, on: bool, now: i64) -> bool {
        let halted = match number {
            0 => &mut self.halted,
            _ => {
                let instrument = self.entry(number);
                instrument.halted_ns = now;
                &mut instrument.halted
            }
        };
        if std::mem::replace(halted, !on) != on {
            return false;
        }
        let code = if on { status::RESUMED } else { status::HALTED };
        self.out.push(Record {
            instrument: number,
            ..venue_status(code, 0, now)
        });
        true
    }

    /// The message is through: snapshots in it are whole, and books that drifted far from their last
    /// snapshot get a fresh one.
    fn settle(&mut self, now: i64) {
        let out = &mut self.out;
        for number in self.touched.drain(..) {
            let Some(instrument) = pick(&mut self.instruments, number) else {
                continue;
            };
            if let Some(shadow) = instrument.shadow.as_mut()
                && std::mem::take(&mut shadow.filling)
            {
                shadow.whole = true;
            }
            if instrument.filling {
                instrument.made_whole(now, out);
            } else if instrument.deltas >= instrument.book.len().max(SNAPSHOT_DELTAS) && instrument.showable()
            {
                instrument.snapshot(now, out);
            }
        }
    }

    /// A segment has begun: small books are written whole, so that a reader need not look further back.
    pub fn segment(&mut self, now: i64) {
        for instrument in self.instruments.iter_mut().flatten() {
            if instrument.owner.is_some() && instrument.book.len() <= SMALL_BOOK && instrument.showable() {
                instrument.snapshot(now, &mut self.out);
            }
        }
    }
}

fn is_data(record: &Record) -> bool {
    !matches!(record.kind, kind::GAP | kind::STATUS)
}

fn venue_status(code: u64, connection: u64, now: i64) -> Record {
    Record {
        price: connection as i64,
        ..Record::status(0, channel::ALL, code)
    }
    .at(now, now)
    .with(flag::NO_VENUE_TIME)
}

#[cfg(test)]
#[path = "core_test.rs"]
mod tests;
