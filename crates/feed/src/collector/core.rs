//! The pipeline between the sessions of a venue and its journal: drops repeated trades, keeps the gap
//! ledger, knows which connection speaks for which instrument, writes books so that a reader can join late.
//!
//! Pure: events and times in, records out ([`Core::output`]). Everything it must know after a restart it
//! reads back from the journal ([`Core::recover`], [`Core::recover_state`]).
//!
//! Trade ids grow by one per instrument at every venue of `crates/venues`, so ids alone decide what is
//! repeated and what is missing, across connections and restarts. A trade that comes after a later one was
//! recorded is dropped and counted: its id is inside a gap, where a backfill finds it.

use kernels::book::Book;
use wire::{Record, Side, cause, channel, flag, kind, status};

use super::state::{self, State};

/// A book gets a fresh snapshot when the deltas since the last one outnumber its levels, and never more
/// often than after so many deltas.
const SNAPSHOT_DELTAS: usize = 1_000;
/// Books of up to so many levels get a fresh snapshot at each segment start.
const SMALL_BOOK: usize = 2_000;
/// So many trades in a row with ids we have and times later than all we have: the venue numbers anew.
const RENUMBERED: usize = 10;
/// Trades held back per instrument while a second connection is ahead of the first.
const PENDING_TRADES: usize = 10_000;

/// What happened to the input, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records written.
    pub records: u64,
    /// Trades that were in the journal already.
    pub duplicates: u64,
    /// Gaps opened.
    pub gaps: u64,
    /// Records known to be missing, over all ended gaps.
    pub missing: u64,
    /// Snapshots written for readers, not sent by the venue.
    pub snapshots: u64,
}

/// Which channels are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub trades: bool,
    pub quotes: bool,
    pub book: bool,
}

/// One channel of one instrument, as the journal has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// It delivers, or did: a disconnect makes a hole in it.
    pub active: bool,
    /// Venue time of the last good record.
    pub ts_event: i64,
    /// `ts_event` is our own time.
    pub own_time: bool,
    /// The venue's id of the last good record.
    pub id: Option<u64>,
    pub gap: Option<Gap>,
}

/// An open gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Of its opening record.
    pub sequence: u64,
    pub cause: u8,
}

/// What a second connection delivered for an instrument while the first still speaks for it.
#[derive(Debug)]
struct Shadow {
    connection: u64,
    book: Book,
    filling: bool,
    whole: bool,
    book_ts_event: i64,
    book_own_time: bool,
    book_id: Option<u64>,
    trades: bool,
    quotes: bool,
    /// Trades ahead of the journal, by id: the first connection is expected to deliver those between.
    pending: Vec<Record>,
}

#[derive(Debug)]
struct Instrument {
    number: u32,
    wanted: bool,
    /// The connection that speaks for it.
    owner: Option<u64>,
    trades: Stream,
    quotes: Stream,
    book_stream: Stream,
    book: Book,
    /// What readers were last told.
    book_valid: bool,
    /// A snapshot has begun in the message at hand.
    filling: bool,
    deltas: usize,
    /// Trades whose ids went back although their times went on.
    renumbered: Vec<Record>,
    shadow: Option<Box<Shadow>>,
}

/// Records to append, and the sequence the next one will get.
#[derive(Debug)]
struct Out {
    records: Vec<Record>,
    next: u64,
    counts: Counts,
}

impl Out {
    /// Adds a record and returns its sequence.
    fn push(&mut self, record: Record) -> u64 {
        self.records.push(record);
        self.counts.records += 1;
        self.next += 1;
        self.next - 1
    }
}

#[derive(Debug)]
struct Line {
    connection: u64,
    live: bool,
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
    /// Instruments whose book the message at hand touched.
    touched: Vec<u32>,
    /// A channel is watched from now on of which the journal has no record yet.
    unsaved: bool,
}

fn slot(number: u32) -> usize {
    (number & 0xF_FFFF) as usize
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
            touched: Vec::new(),
            unsaved: false,
        }
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

    fn known(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().flatten().map(Box::as_ref)
    }

    fn entry(&mut self, number: u32) -> &mut Instrument {
        let at = slot(number);
        if at >= self.instruments.len() {
            self.instruments.resize_with(at + 1, || None);
        }
        self.instruments[at].get_or_insert_with(|| Box::new(Instrument::new(number)))
    }

    fn find(&mut self, number: u32) -> Option<&mut Instrument> {
        self.instruments.get_mut(slot(number))?.as_deref_mut()
    }

    // ---- recovery

    /// Takes in records that are in the journal already, oldest first.
    pub fn recover(&mut self, first_sequence: u64, records: &[Record]) {
        for (record, sequence) in records.iter().zip(first_sequence..) {
            match record.kind {
                kind::STATUS => {
                    self.connection = self.connection.max(record.price.max(0) as u64);
                    if record.instrument != 0
                        && matches!(record.id, status::BOOK_INVALID | status::BOOK_VALID)
                    {
                        self.entry(record.instrument).book_valid = record.id == status::BOOK_VALID;
                    }
                }
                kind::TRADE | kind::QUOTE | kind::LEVEL | kind::CLEAR if record.instrument != 0 => {
                    let instrument = self.entry(record.instrument);
                    let stream = match record.kind {
                        kind::TRADE => &mut instrument.trades,
                        kind::QUOTE => &mut instrument.quotes,
                        _ => &mut instrument.book_stream,
                    };
                    stream.good(record);
                }
                kind::GAP if record.instrument != 0 => {
                    let instrument = self.entry(record.instrument);
                    let Some(stream) = instrument.stream(record.price_scale) else {
                        continue;
                    };
                    stream.active = true;
                    match record.side() {
                        Side::Buy => {
                            if stream.ts_event == 0 {
                                stream.ts_event = record.ts_event;
                                stream.own_time = record.has(flag::NO_VENUE_TIME);
                                stream.id = u64::try_from(record.price).ok();
                            }
                            stream.gap = Some(Gap {
                                sequence,
                                cause: record.size_scale,
                            });
                        }
                        _ => stream.gap = None,
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes in a state control frame of the journal.
    pub fn recover_state(&mut self, state: &State) {
        self.connection = self.connection.max(state.connection);
        for known in &state.instruments {
            let instrument = self.entry(known.instrument);
            instrument.book_valid = known.book_valid;
            for (stream, saved) in [
                (&mut instrument.trades, &known.trades),
                (&mut instrument.quotes, &known.quotes),
                (&mut instrument.book_stream, &known.book),
            ] {
                if let Some(saved) = saved {
                    stream.active = true;
                    stream.ts_event = saved.ts_event;
                    stream.own_time = saved.own_time;
                    stream.id = saved.id;
                    stream.gap = saved.gap.map(|gap| Gap {
                        sequence: gap.sequence,
                        cause: gap.cause,
                    });
                }
            }
        }
    }

    /// What a restart must know, for control frames: each part stands alone.
    pub fn state(&self) -> Vec<State> {
        let save = |stream: &Stream| {
            stream.active.then(|| state::Stream {
                ts_event: stream.ts_event,
                own_time: stream.own_time,
                id: stream.id,
                gap: stream.gap.map(|gap| state::Gap {
                    sequence: gap.sequence,
                    cause: gap.cause,
                }),
            })
        };
        let instruments: Vec<state::Instrument> = self
            .known()
            .filter(|i| i.streams().iter().any(|s| s.1.active))
            .map(|i| state::Instrument {
                instrument: i.number,
                book_valid: i.book_valid,
                trades: save(&i.trades),
                quotes: save(&i.quotes),
                book: save(&i.book_stream),
            })
            .collect();
        State::parts(self.connection, &instruments)
    }

    /// After recovery: whatever ran before ended without a word where no gap is open yet.
    pub fn begin(&mut self, now: i64) {
        for instrument in self.instruments.iter_mut().flatten() {
            instrument.open_all(cause::DISCONNECT, now, &mut self.out);
        }
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
            instruments: numbers.to_vec(),
        });
    }

    /// Does this connection speak for anything?
    pub fn speaks(&self, connection: u64) -> bool {
        self.known().any(|i| i.owner == Some(connection))
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
            .filter_map(|i| i.shadow.as_deref())
            .filter(|s| s.connection == connection)
            .all(|s| {
                (s.whole || !self.wanted.book)
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
            if let Some(instrument) = self
                .instruments
                .get_mut(slot(number))
                .and_then(Option::as_deref_mut)
            {
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
            if let Some(instrument) = self
                .instruments
                .get_mut(slot(number))
                .and_then(Option::as_deref_mut)
            {
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
        let Some(instrument) = self
            .instruments
            .get_mut(slot(record.instrument))
            .and_then(Option::as_deref_mut)
        else {
            return false; // the session was given no such number
        };
        if instrument.owner == Some(connection) {
            match record.kind {
                kind::TRADE => instrument.trade(record, now, out),
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
            let Some(instrument) = self
                .instruments
                .get_mut(slot(number))
                .and_then(Option::as_deref_mut)
            else {
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
            out.push(stamped);
            return true;
        }
        let Some(instrument) = self
            .instruments
            .get_mut(slot(record.instrument))
            .and_then(Option::as_deref_mut)
        else {
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
                    _ => {}
                }
            }
            false
        }
    }

    /// The message is through: snapshots in it are whole, and books that drifted far from their last
    /// snapshot get a fresh one.
    fn settle(&mut self, now: i64) {
        let out = &mut self.out;
        for number in self.touched.drain(..) {
            let Some(instrument) = self
                .instruments
                .get_mut(slot(number))
                .and_then(Option::as_deref_mut)
            else {
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

    /// The book as the journal's reader has it, and whether it may be shown: for tests and status.
    pub fn book(&self, number: u32) -> Option<(&Book, bool)> {
        self.instruments
            .get(slot(number))?
            .as_deref()
            .map(|i| (&i.book, i.book_valid))
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

fn venue_id(record: &Record) -> Option<u64> {
    record.has(flag::HAS_ID).then_some(record.id)
}

/// The id that comes after this one; any, where there is none.
fn next_id(last: Option<u64>) -> u64 {
    last.map_or(0, |id| id.saturating_add(1)) // whatever a venue prints
}

fn id_or_none(id: Option<u64>) -> i64 {
    id.and_then(|id| i64::try_from(id).ok()).unwrap_or(-1)
}

impl Stream {
    /// A good record came.
    fn good(&mut self, record: &Record) {
        let known = self.active && !self.own_time;
        self.active = true;
        self.id = venue_id(record).or(self.id);
        if known && timeless(record) {
            return; // the venue's own last time says more
        }
        self.ts_event = record.ts_event;
        self.own_time = record.has(flag::NO_VENUE_TIME);
    }
}

/// A removal that the session added, of a level that left the depth the venue sends.
fn timeless(record: &Record) -> bool {
    record.kind == kind::LEVEL && record.size == 0 && record.has(flag::NO_VENUE_TIME)
}

impl Shadow {
    fn new(connection: u64) -> Self {
        Self {
            connection,
            book: Book::new(),
            filling: false,
            whole: false,
            book_ts_event: 0,
            book_own_time: false,
            book_id: None,
            trades: false,
            quotes: false,
            pending: Vec::new(),
        }
    }
}

impl Instrument {
    fn new(number: u32) -> Self {
        Self {
            number,
            wanted: false,
            owner: None,
            trades: Stream::default(),
            quotes: Stream::default(),
            book_stream: Stream::default(),
            book: Book::new(),
            book_valid: false,
            filling: false,
            deltas: 0,
            renumbered: Vec::new(),
            shadow: None,
        }
    }

    fn streams(&self) -> [(u8, &Stream); 3] {
        [
            (channel::TRADES, &self.trades),
            (channel::QUOTES, &self.quotes),
            (channel::BOOK, &self.book_stream),
        ]
    }

    fn stream(&mut self, channel: u8) -> Option<&mut Stream> {
        match channel {
            channel::TRADES => Some(&mut self.trades),
            channel::QUOTES => Some(&mut self.quotes),
            channel::BOOK => Some(&mut self.book_stream),
            _ => None,
        }
    }

    fn own(&mut self, connection: u64) {
        self.owner = Some(connection);
        self.filling = false;
        self.deltas = 0;
    }

    /// Opens a gap where none is open, and takes the book's validity with it.
    fn open_gap(&mut self, channel: u8, cause: u8, missing: i64, now: i64, out: &mut Out) {
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

    /// Opens a gap in every channel that delivered.
    fn open_all(&mut self, cause: u8, now: i64, out: &mut Out) {
        for channel in [channel::TRADES, channel::QUOTES, channel::BOOK] {
            if self.stream(channel).is_some_and(|stream| stream.active) {
                self.open_gap(channel, cause, -1, now, out);
            }
        }
    }

    /// A trade of the connection that speaks. Returns whether it was written.
    fn trade(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
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

    /// Writes a trade unless the journal has it, with the gap records it calls for.
    fn accept(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        let id = venue_id(record);
        let mut missing = -1;
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
    fn release(&mut self, now: i64, out: &mut Out) {
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

    fn quote(&mut self, record: &Record, now: i64, out: &mut Out) {
        self.end_gap(channel::QUOTES, record, -1, now, out);
        self.quotes.good(record);
        out.push(*record);
    }

    fn level(&mut self, record: &Record, out: &mut Out) {
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
    fn end_gap(&mut self, channel: u8, first: &Record, missing: i64, now: i64, out: &mut Out) {
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
    fn made_whole(&mut self, now: i64, out: &mut Out) {
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

    fn showable(&self) -> bool {
        self.book_valid && !self.filling && !self.book.crossed()
    }

    /// Writes the whole book: for readers that join late, whose others' book it must not change, and
    /// when another connection begins to speak.
    fn snapshot(&mut self, now: i64, out: &mut Out) {
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

    // ---- the second connection

    /// A record of the connection that does not speak yet. Returns whether it was written.
    fn shadowed(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        let Some(shadow) = &mut self.shadow else {
            return false;
        };
        match record.kind {
            kind::TRADE => {
                shadow.trades = true;
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
                if shadow.pending.len() < PENDING_TRADES
                    && shadow.pending.get(at).is_none_or(|held| held.id != id)
                {
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
                shadow.quotes = true;
                false
            }
            _ => false,
        }
    }

    /// The second connection speaks from now on. `lost` is why the first one ended, `None` when it was
    /// replaced on purpose.
    fn take_over(&mut self, lost: Option<u8>, wanted: Wanted, now: i64, out: &mut Out) {
        let Some(mut shadow) = self.shadow.take() else {
            return;
        };
        self.own(shadow.connection);
        for held in std::mem::take(&mut shadow.pending) {
            self.accept(&held, now, out);
        }
        if let Some(cause) = lost {
            if !shadow.trades && self.trades.active {
                self.open_gap(channel::TRADES, cause, -1, now, out);
            }
            if !shadow.quotes && self.quotes.active {
                self.open_gap(channel::QUOTES, cause, -1, now, out);
            }
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

#[cfg(test)]
#[path = "core_test.rs"]
mod tests;
