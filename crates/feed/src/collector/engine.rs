//! Everything between a session's output and the journal, for all connections of a venue: one of these per
//! process. It holds the only writer; nothing waits inside.

use journal::{Instrument, Writer};
use serde_json::json;
use tokio_tungstenite::tungstenite::Bytes;
use venues::{Output, Quarantine};
use wire::{flag, kind};

use super::core::Core;
use super::keep::Keeper;
use super::metric::{Histogram, Rate};
use super::state::State;
use crate::clock::Clock;
use crate::failure::{Category, Failure};
use crate::log::Log;

const S: i64 = 1_000_000_000;
/// Latencies are of the last one to two minutes.
const WINDOW_NS: i64 = 60 * S;

/// Counts since the process began, and latencies.
#[derive(Debug)]
pub struct Figures {
    pub messages: u64,
    pub bytes: u64,
    pub quarantined: u64,
    /// Connections that ended without being asked to.
    pub reconnects: u64,
    /// Connections replaced on purpose before their end.
    pub rotations: u64,
    /// Receive time of the newest message, 0 before the first.
    pub last_message_ns: i64,
    /// The same on the monotonic clock: how long it is ago must not depend on the wall's steps.
    pub heard: i64,
    /// `ts_recv` − `ts_event` of messages with a venue time.
    pub lag: Histogram,
    /// From the venue's frame read to its records visible in the journal.
    pub append: Histogram,
    pub rate: Rate,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            quarantined: 0,
            reconnects: 0,
            rotations: 0,
            last_message_ns: 0,
            heard: 0,
            lag: Histogram::new(WINDOW_NS),
            append: Histogram::new(WINDOW_NS),
            rate: Rate::default(),
        }
    }
}

#[derive(Debug)]
pub struct Engine {
    pub clock: Clock,
    pub core: Core,
    pub figures: Figures,
    pub keeper: Keeper,
    writer: Writer,
    log: Log,
    /// Why this process must end.
    pub fatal: Option<Failure>,
}

impl Engine {
    /// Reads back from the journal what the core must know, and marks what the time without a collector
    /// cost.
    pub fn start(writer: Writer, mut core: Core, keeper: Keeper, log: Log) -> Result<Self, Failure> {
        let replayed = writer.replay_tail(|frame| match frame.header.kind {
            wire::frame::kind::RECORDS => core.recover(frame.header.sequence, frame.records()),
            wire::frame::kind::CONTROL => {
                if let Some(state) = frame.control().and_then(State::parse) {
                    core.recover_state(&state);
                }
            }
            _ => {}
        });
        replayed.map_err(|error| journal_failure(&error))?;
        let mut engine = Self {
            clock: Clock::new(),
            core,
            figures: Figures::default(),
            keeper,
            writer,
            log,
            fatal: None,
        };
        let now = engine.clock.now();
        engine.core.begin(now);
        engine.commit(now);
        engine.fatal.take().map_or(Ok(engine), Err)
    }

    pub fn epoch(&self) -> u32 {
        self.writer.epoch()
    }

    pub fn next_sequence(&self) -> u64 {
        self.writer.next_sequence()
    }

    pub fn durable(&self) -> u64 {
        self.writer.durable()
    }

    /// Numbers for instruments, on disk when this returns.
    pub fn register(&mut self, instruments: &[Instrument]) -> Result<Vec<u32>, Failure> {
        self.writer
            .registry()
            .add(instruments)
            .map_err(|error| journal_failure(&error))
    }

    /// What a session made of one message of a connection.
    #[inline]
    pub fn message(&mut self, connection: u64, out: &mut Output, ts_recv: i64, data: &Bytes) {
        self.figures.messages += 1;
        self.figures.bytes += data.len() as u64;
        self.figures.last_message_ns = ts_recv;
        let timed = out.records.iter().find(|record| {
            matches!(record.kind, kind::TRADE | kind::QUOTE | kind::LEVEL)
                && record.flags & (flag::SNAPSHOT | flag::NO_VENUE_TIME) == 0
        });
        if let Some(record) = timed {
            self.figures.lag.add(ts_recv - record.ts_event);
        }
        self.put_aside(connection, out, ts_recv, data);
        self.core.records(connection, &out.records, ts_recv);
        self.commit(ts_recv);
    }

    /// What a session said at a tick, or to an answer of the REST interface (`data`).
    pub fn aside(&mut self, connection: u64, out: &mut Output, now: i64, data: &Bytes) {
        self.put_aside(connection, out, now, data);
        if !out.records.is_empty() {
            self.core.records(connection, &out.records, now);
            self.commit(now);
        }
    }

    #[inline]
    fn put_aside(&mut self, connection: u64, out: &mut Output, now: i64, data: &Bytes) {
        for Quarantine { reason, instrument } in out.quarantined.drain(..) {
            self.quarantine(connection, reason, instrument, now, data);
        }
    }

    /// A message could not be understood.
    #[cold]
    pub fn quarantine(
        &mut self,
        connection: u64,
        reason: String,
        instrument: Option<u32>,
        now: i64,
        data: &Bytes,
    ) {
        self.figures.quarantined += 1;
        if self.figures.quarantined.is_power_of_two() {
            self.log.warn(
                "message not understood; kept in quarantine",
                json!({"reason": reason, "connection": connection, "quarantined": self.figures.quarantined}),
            );
        }
        self.keeper.quarantine(now, connection, reason, instrument, data);
    }

    /// Appends what the core has put out.
    #[inline]
    pub fn commit(&mut self, now: i64) {
        if self.append() {
            self.save();
            self.core.segment(now);
            if self.append() {
                self.save(); // the snapshots filled that segment too
            }
        } else if self.core.take_unsaved() {
            self.save();
        }
    }

    /// Returns whether a new segment was begun.
    #[inline]
    fn append(&mut self) -> bool {
        if self.core.output().is_empty() || self.fatal.is_some() {
            return false;
        }
        match self.writer.append(self.core.output()) {
            Ok(appended) => {
                let expected = self.core.next_sequence() - self.core.output().len() as u64;
                if appended.sequence != expected {
                    self.fatal = Some(Failure::new(
                        Category::Internal,
                        "sequence_mismatch",
                        format!(
                            "the journal gave sequence {}, expected {expected}",
                            appended.sequence
                        ),
                        "this is a bug: please report it",
                    ));
                }
                self.core.clear();
                appended.rotated
            }
            Err(error) => {
                self.fatal = Some(journal_failure(&error));
                false
            }
        }
    }

    /// Writes what a restart must know.
    pub fn save(&mut self) {
        self.core.take_unsaved();
        for state in self.core.state() {
            if let Err(error) = self.writer.control(&state.to_json()) {
                self.fatal.get_or_insert(journal_failure(&error));
                return;
            }
        }
    }

    /// About once a second: the clock against the wall, rates, windows.
    pub fn second(&mut self) {
        let step = self.clock.compare();
        let now = self.clock.now();
        if let Some(step) = step {
            self.log.warn("clock step", json!({"step_ns": step}));
            self.core.clock_step(step, now);
            self.commit(now);
        }
        let mono = self.clock.mono();
        self.figures.rate.sample(mono, self.figures.messages);
        self.figures.lag.turn(mono);
        self.figures.append.turn(mono);
    }

    /// Everything on disk: the end. What follows is not written any more.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.save();
        let synced = self.writer.sync().map_err(|error| journal_failure(&error));
        self.fatal.clone().map_or(synced, Err)
    }

    /// Why the journal is short of room, if it is: it goes on, and what was not stored yet may be lost.
    pub fn trouble(&self) -> Option<String> {
        self.writer.trouble()
    }
}

/// A failure of the journal in the platform's shape.
pub fn journal_failure(error: &journal::Error) -> Failure {
    use journal::Error;
    let (category, code, hint) = match error {
        Error::Held { .. } => (
            Category::Conflict,
            "journal_held",
            "one collector per venue and home",
        ),
        Error::Fenced { .. } => (Category::Conflict, "journal_fenced", ""),
        Error::NoSpace { .. } => (
            Category::Resource,
            "disk_full",
            "free disk space; the journal goes on by itself",
        ),
        Error::Home { .. } => (Category::Config, "home_unfit", "use a folder on a local disk"),
        Error::Name { .. } => (Category::Usage, "name_unfit", ""),
        Error::Io { .. } => (
            Category::Config,
            "journal_io",
            "see that this user may write the home",
        ),
        _ => (Category::Internal, "journal", ""),
    };
    Failure::new(category, code, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use journal::Options;
    use wire::{Record, Side};

    use super::super::core::Wanted;
    use super::*;

    const ALL: Wanted = Wanted {
        trades: true,
        quotes: false,
        book: true,
    };

    /// An engine on the journal of `home`, as the process starts one, with two instruments.
    fn start(home: &Path, segment_bytes: u64) -> (Engine, Vec<u32>) {
        let options = Options {
            segment_bytes,
            durable: false,
            ..Options::default()
        };
        let writer = Writer::open(home, "kraken", &options).unwrap();
        let core = Core::new(writer.next_sequence(), ALL);
        let log = Log::new("test");
        let keeper = Keeper::start(home, "kraken", None, log.clone()).unwrap();
        let mut engine = Engine::start(writer, core, keeper, log).unwrap();
        let instrument = |plain: &str| Instrument {
            number: 0,
            name: format!("{plain}.kraken"),
            symbol: plain.into(),
            base: plain.into(),
            quote: "USD".into(),
            tick: "0.1".parse().unwrap(),
            lot: "0.1".parse().unwrap(),
            price_scale: 1,
            size_scale: 1,
            status: "online".into(),
        };
        let numbers = engine
            .register(&[instrument("BTC-USD"), instrument("ETH-USD")])
            .unwrap();
        engine.core.want(&numbers);
        (engine, numbers)
    }

    fn connect(engine: &mut Engine, numbers: &[u32]) -> u64 {
        let connection = engine.core.number_connection();
        engine.core.open(connection, numbers);
        connection
    }

    fn message(engine: &mut Engine, connection: u64, records: Vec<Record>) {
        let mut out = Output {
            records,
            ..Output::default()
        };
        let now = engine.clock.now();
        engine.message(connection, &mut out, now, &Bytes::new());
        assert_eq!(engine.fatal, None);
    }

    fn trade(instrument: u32, id: u64) -> Record {
        Record::trade(
            instrument,
            Side::Buy,
            "1.5".parse().unwrap(),
            "2".parse().unwrap(),
            id,
        )
        .at(1_000, 2_000)
        .with(flag::LAST)
    }

    /// A snapshot of a book with so many levels.
    fn book(instrument: u32, levels: i64) -> Vec<Record> {
        let level = |n| {
            let price = wire::Decimal::new(1_000_000 - n, 1);
            Record::level(instrument, Side::Buy, price, wire::Decimal::new(1, 0))
        };
        let mut records = vec![Record::clear(instrument)];
        records.extend((0..levels).map(level));
        for record in &mut records {
            *record = record.at(1_000, 2_000).with(flag::SNAPSHOT);
        }
        if let Some(last) = records.last_mut() {
            last.flags |= flag::LAST;
        }
        records
    }

    /// An instrument that had no trade yet has no record either; that its trades were watched must not be
    /// forgotten, or the time until the restart is a hole that nobody names.
    #[test]
    fn a_kill_opens_a_gap_for_an_instrument_without_a_trade_yet() {
        let home = tempfile::tempdir().unwrap();
        let (mut engine, numbers) = start(home.path(), 1 << 20);
        let connection = connect(&mut engine, &numbers);
        message(&mut engine, connection, vec![trade(numbers[0], 1)]);
        drop(engine); // nothing of a kill -9 is more than this: no state is written at the end
        let (engine, _) = start(home.path(), 1 << 20);
        assert_eq!(engine.core.open_gaps(), 2, "one for the trades of each");
    }

    /// Books may fill several segments at the start of one; what a restart must know is in the last two.
    #[test]
    fn what_a_restart_must_know_is_never_more_than_two_segments_back() {
        let home = tempfile::tempdir().unwrap();
        let (mut engine, numbers) = start(home.path(), 64 << 10);
        let connection = connect(&mut engine, &numbers);
        message(&mut engine, connection, vec![trade(numbers[0], 7)]);
        for _ in 0..4 {
            for &number in &numbers {
                message(&mut engine, connection, book(number, 1_900));
            }
        }
        drop(engine);
        let (engine, _) = start(home.path(), 64 << 10);
        assert_eq!(engine.core.open_gaps(), 4, "trades and book of each");
    }
}
