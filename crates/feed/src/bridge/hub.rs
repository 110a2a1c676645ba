//! One venue of the bridge: a thread that reads its log, and what it knows, shared under a lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use journal::Position;
use serde_json::json;
use wire::frame::kind;

use super::batch::{Batch, Place, Target};
use super::interest::Interest;
use super::outbox::SnapshotRequest;
use super::shard::Shards;
use super::source::{Named, Source, Start, Step, Tail};
use super::venue::Venue;
use crate::clock::wall_ns;
use crate::failure::{Category, Failure};
use crate::log::Log;

/// Text formed before clients are served; a larger backlog goes in several batches, each with its quotes
/// and books merged.
const BATCH_BYTES: usize = 128 * 1024;
/// Records taken in before clients are served.
const BATCH_RECORDS: u64 = 8192;
/// How long the thread sleeps at most; it looks then whether it is to end.
const SLEEP: Duration = Duration::from_millis(200);
/// While clients have enough before them, reading rests this long at a time.
const PAUSE: Duration = Duration::from_micros(500);
/// History read under the venue's lock at most, so that the hand-over to live misses nothing.
const HANDOVER_RECORDS: u64 = 512;

/// A venue that said nothing for this long is shown as stale.
pub const SILENCE_NS: i64 = 30_000_000_000;

/// A venue and its reader.
#[derive(Debug)]
pub struct Hub {
    pub index: usize,
    pub name: Arc<str>,
    source: Source,
    venue: Mutex<Venue>,
    /// The first look is over: what came before the start is in, as far as it can be read.
    pub ready: AtomicBool,
    shards: Arc<Shards>,
    /// Messages per second, as bits of an f64.
    rate: AtomicU64,
}

impl Hub {
    /// Opens the venue's log and starts its thread.
    pub fn start(
        index: usize,
        name: &str,
        source: &Source,
        shards: &Arc<Shards>,
        closing: &Arc<AtomicBool>,
        log: &Log,
    ) -> Result<Arc<Self>, Failure> {
        let mut tail = source.open(name, Start::Books)?;
        let mut venue = Venue::new(index, name);
        learn(&mut venue, tail.instruments());
        let hub = Arc::new(Self {
            index,
            name: name.into(),
            source: source.clone(),
            venue: Mutex::new(venue),
            ready: AtomicBool::new(false),
            shards: shards.clone(),
            rate: AtomicU64::new(0),
        });
        let (reading, closing, log) = (hub.clone(), closing.clone(), log.clone());
        std::thread::Builder::new()
            .name(format!("venue-{name}"))
            .spawn(move || reading.read(tail, &closing, &log))
            .map_err(|error| {
                Failure::new(
                    crate::failure::Category::Resource,
                    "threads_full",
                    format!("no thread for the venue {name}: {error}"),
                    "",
                )
            })?;
        Ok(hub)
    }

    /// The venue's state. Whoever holds this may lock a client's outbox; never the other way round.
    pub fn lock(&self) -> MutexGuard<'_, Venue> {
        self.venue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an instrument. One that no record has named yet is looked for in the registry.
    pub fn find(&self, name: &str) -> Option<u32> {
        let known = self.lock().find(name);
        known.or_else(|| {
            // A registry that cannot be read now can be when the client asks again.
            let instruments = self.source.instruments(&self.name).ok()?;
            let mut venue = self.lock();
            learn(&mut venue, instruments);
            venue.find(name)
        })
    }

    pub fn messages_per_s(&self) -> f64 {
        f64::from_bits(self.rate.load(Relaxed))
    }

    pub fn set_messages_per_s(&self, rate: f64) {
        self.rate.store(rate.to_bits(), Relaxed);
    }

    // --- the reader's thread -------------------------------------------------------------------------

    fn read(&self, mut tail: Box<dyn Tail>, closing: &AtomicBool, log: &Log) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.follow(tail.as_mut(), closing) {
                Ok(()) => return,
                Err(failure) => log.error(
                    "reading a venue failed; it is opened again",
                    json!({ "venue": &*self.name, "error": failure.to_json() }),
                ),
            }
            // Its past may never be read; the venues behind it do not wait for that.
            self.ready.store(true, Relaxed);
            loop {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(5));
                if closing.load(Relaxed) {
                    return;
                }
                let (epoch, sequence) = self.lock().position();
                match self
                    .source
                    .open(&self.name, Start::At(Position::new(epoch, sequence + 1)))
                {
                    Ok(opened) => {
                        tail = opened;
                        pause = Duration::from_millis(100);
                        break;
                    }
                    Err(failure) => {
                        log.debug(
                            "the venue cannot be opened yet",
                            json!({ "error": failure.to_json() }),
                        );
                    }
                }
            }
        }
    }

    /// Reads until told to end.
    fn follow(&self, tail: &mut dyn Tail, closing: &AtomicBool) -> Result<(), Failure> {
        while !closing.load(Relaxed) {
            if self.look(tail)? {
                self.shards.serve();
                while self.shards.is_full() && !closing.load(Relaxed) {
                    std::thread::sleep(PAUSE);
                }
            } else {
                self.ready.store(true, Relaxed);
                tail.wait(SLEEP);
            }
        }
        Ok(())
    }

    /// Takes in what is there, up to a bound, and queues it for the clients; false when nothing was.
    fn look(&self, tail: &mut dyn Tail) -> Result<bool, Failure> {
        let mut locked: Option<(MutexGuard<'_, Venue>, Batch)> = None;
        let mut records = 0;
        let result = loop {
            let step = match tail.next() {
                Ok(Step::Nothing) => break Ok(()),
                Ok(step) => step,
                Err(failure) => break Err(failure),
            };
            let (venue, batch) = locked.get_or_insert_with(|| {
                let venue = self.lock();
                let batch = venue.begin(Instant::now());
                (venue, batch)
            });
            match step {
                Step::Nothing => break Ok(()),
                Step::Lapped(oldest) => venue.lose(batch, (oldest.epoch, oldest.sequence), wall_ns()),
                Step::Frame(found) => {
                    let header = found.header;
                    match header.kind {
                        kind::RECORDS => {
                            if venue.is_hole((header.epoch, header.sequence)) {
                                venue.lose(batch, (header.epoch, header.sequence), wall_ns());
                            }
                            if found
                                .records()
                                .iter()
                                .all(|record| venue.knows(record.instrument))
                            {
                                venue.take(batch, header.epoch, header.sequence, found.records());
                            } else {
                                let copy = found.records().to_vec(); // the registry is asked through the tail
                                learn(venue, tail.instruments());
                                venue.take(batch, header.epoch, header.sequence, &copy);
                            }
                            records += u64::from(header.count);
                        }
                        kind::SKIP | kind::CONTROL => venue.move_to(before(&header)),
                        _ => {}
                    }
                }
            }
            if records >= BATCH_RECORDS || batch.text_bytes() >= BATCH_BYTES {
                break Ok(());
            }
        };
        let Some((mut venue, mut batch)) = locked else {
            if !self.ready.load(Relaxed)
                && let Some(newest) = tail.newest()
            {
                let mut venue = self.lock();
                if venue.position() == (0, 0) {
                    venue.move_to((newest.epoch, newest.sequence.saturating_sub(1)));
                }
            }
            return result.map(|()| false);
        };
        venue.end(&mut batch, wall_ns());
        self.shards.publish(batch);
        result.map(|()| true)
    }

    /// Bars that are due though no record came.
    pub fn tick(&self) {
        let mut venue = self.lock();
        let mut batch = venue.begin(Instant::now());
        venue.tick(&mut batch, wall_ns());
        if !batch.is_empty() {
            self.shards.publish(batch);
        }
    }

    /// Queues a book snapshot for one client that lost count.
    pub fn send_snapshot(&self, client: u64, depth: u16, request: SnapshotRequest) {
        let venue = self.lock();
        if let Some(mut batch) = venue.snapshot(request.instrument, depth, Instant::now()) {
            batch.target = Some(Target {
                client,
                subscription: request.subscription,
            });
            self.shards.publish(batch);
        }
    }

    /// Reads what a client missed, from the record after `from` on. What the log has not reached is no place in it:
    /// whoever waited for it there would wait in silence.
    pub fn history(
        self: &Arc<Self>,
        subscription: u64,
        interest: &Interest,
        from: Place,
    ) -> Result<History, Failure> {
        let next = (from.0, from.1.saturating_add(1));
        let start = Start::At(Position::new(next.0, next.1));
        let tail = self.source.open(&self.name, start)?;
        if let Some(newest) = tail.newest()
            && next > (newest.epoch, newest.sequence)
        {
            return Err(Failure::new(
                Category::Conflict,
                "position_foreign",
                format!(
                    "the journal of {} is at {}:{}, and {}:{} is in no past of it",
                    self.name,
                    newest.epoch,
                    newest.sequence.saturating_sub(1),
                    from.0,
                    from.1
                ),
                "the position is of another journal, of a home made anew perhaps: subscribe without \"from\"",
            ));
        }
        let mut historian = self.lock().historian(interest);
        historian.move_to(from);
        Ok(History {
            subscription,
            hub: self.clone(),
            interest: interest.clone(),
            tail,
            historian,
            has_hole: false,
            next,
        })
    }
}

/// What came of a step through history.
#[derive(Debug)]
pub enum Progress {
    /// Messages, and there is more.
    More(Batch),
    /// The source has not delivered yet.
    Waiting,
}

/// What one subscription missed of one venue, read from the log at its client's pace.
pub struct History {
    pub subscription: u64,
    pub hub: Arc<Hub>,
    interest: Interest,
    tail: Box<dyn Tail>,
    historian: Venue,
    /// Records were missing on the way, and statuses perhaps among them.
    has_hole: bool,
    /// The next record to be read.
    next: Place,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("venue", &self.hub.name)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl History {
    /// The last position not sent: where it was asked to begin, or what is left of that.
    pub fn from(&self) -> Place {
        let begins = match self.tail.lapped() {
            Some(oldest) => (oldest.epoch, oldest.sequence),
            None => self.next,
        };
        (begins.0, begins.1.saturating_sub(1))
    }

    /// Reads on. When the live position is reached, `arrive` is called under the venue's lock with the last
    /// messages, that position, and the state as of there; then this history is over and `None` comes.
    pub fn step(&mut self, arrive: impl FnOnce(Batch, Place, Batch)) -> Result<Option<Progress>, Failure> {
        let hub = self.hub.clone();
        let mut live = hub.lock().position();
        let mut locked = None;
        if live.1.saturating_sub(self.next.1) <= HANDOVER_RECORDS {
            let venue = hub.lock();
            live = venue.position();
            locked = Some(venue);
        }
        let mut batch = self.historian.begin(Instant::now());
        let read_any = self.read_to(live, &mut batch)?;
        match locked {
            Some(mut venue) if self.next > live => {
                venue.join(&self.interest);
                let current = venue.current(&self.interest, !self.has_hole, Instant::now());
                arrive(batch, live, current);
                Ok(None)
            }
            _ if read_any => Ok(Some(Progress::More(batch))),
            _ if self.next > live => Ok(Some(Progress::More(batch))), // arrived: the next step hands over
            _ => Ok(Some(Progress::Waiting)),
        }
    }

    /// Reads frames up to `live` into a batch, up to a bound; false when nothing came.
    fn read_to(&mut self, live: Place, batch: &mut Batch) -> Result<bool, Failure> {
        let mut read_any = false;
        let mut looked = 0;
        while self.next <= live && batch.text_bytes() < BATCH_BYTES / 4 && looked < 8 * BATCH_RECORDS {
            let found = match self.tail.next()? {
                Step::Nothing => break,
                Step::Lapped(oldest) => {
                    let oldest = (oldest.epoch, oldest.sequence);
                    self.historian.lapse(batch, self.next.1, oldest, wall_ns());
                    self.has_hole = true;
                    self.next = oldest;
                    read_any = true;
                    continue;
                }
                Step::Frame(found) => found,
            };
            let header = found.header;
            match header.kind {
                kind::RECORDS => {
                    let mut sequence = header.sequence;
                    let mut had = 0;
                    if header.epoch == self.next.0 && sequence < self.next.1 {
                        // A frame is given whole; what stands before the record wanted was had already.
                        had = (self.next.1 - sequence).min(u64::from(header.count));
                        sequence += had;
                    }
                    if sequence > self.next.1 {
                        self.historian.lose(batch, (header.epoch, sequence), wall_ns());
                        self.has_hole = true;
                    }
                    let records = &found.records()[had as usize..];
                    if records
                        .iter()
                        .all(|record| self.historian.knows(record.instrument))
                    {
                        self.historian.take(batch, header.epoch, sequence, records);
                    } else {
                        let copy = records.to_vec(); // the registry is asked through the tail
                        learn(&mut self.historian, self.tail.instruments());
                        self.historian.take(batch, header.epoch, sequence, &copy);
                    }
                }
                kind::SKIP | kind::CONTROL => self.historian.move_to(before(&header)),
                _ => continue,
            }
            // A control message that is not of the log names no place in it.
            self.next = self.next.max((header.epoch, header.next_sequence()));
            read_any = true;
            looked += u64::from(header.count.max(1));
        }
        Ok(read_any)
    }
}

/// The place before the one a frame leads to.
fn before(header: &wire::Header) -> Place {
    (header.epoch, header.next_sequence().saturating_sub(1))
}

/// Adds what the registry has.
fn learn(venue: &mut Venue, instruments: Vec<Named>) {
    for (number, name) in instruments {
        venue.add_instrument(number, &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Category;

    struct Broken;

    impl Tail for Broken {
        fn instruments(&mut self) -> Vec<Named> {
            Vec::new()
        }

        fn newest(&self) -> Option<Position> {
            None
        }

        fn next(&mut self) -> Result<Step<'_>, Failure> {
            Err(Failure::new(
                Category::Internal,
                "journal_unreadable",
                "damaged",
                "",
            ))
        }

        fn wait(&mut self, _limit: Duration) {}
    }

    #[test]
    fn a_venue_that_cannot_be_read_keeps_no_other_waiting() {
        let home = tempfile::tempdir().unwrap();
        let closing = Arc::new(AtomicBool::new(false));
        let hub = Arc::new(Hub {
            index: 0,
            name: "kraken".into(),
            source: Source::Journal {
                home: home.path().to_owned(),
            },
            venue: Mutex::new(Venue::new(0, "kraken")),
            ready: AtomicBool::new(false),
            shards: Shards::start(1, &closing).unwrap(),
            rate: AtomicU64::new(0),
        });
        let (reading, ending) = (hub.clone(), closing.clone());
        let thread = std::thread::spawn(move || reading.read(Box::new(Broken), &ending, &Log::new("test")));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !hub.ready.load(Relaxed) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        closing.store(true, Relaxed);
        thread.join().unwrap();
        assert!(hub.ready.load(Relaxed));
    }
}
