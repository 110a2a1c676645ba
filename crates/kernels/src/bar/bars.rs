//! Bars of a whole venue: every instrument, several intervals, closed by arrival time.

use std::collections::HashMap;

use wire::{Record, flag, kind};

use super::builder::{Ids, Phase, Series, Trade, is_counted};
use super::{Bar, BarError, Closed, Interval, Pushed};

/// A closed bar and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    pub instrument: u32,
    /// Index into the intervals that [`Bars`] was made with.
    pub interval: usize,
    pub closed: Closed,
    /// Arrival time that closed it, nanoseconds.
    pub ts_recv: i64,
    /// Sequence of the record that closed it: bars are a pure function of the records up to there.
    pub sequence: u64,
}

/// Bars of every instrument of a venue in several intervals, from its records in order.
///
/// What is emitted depends on the records alone, not on how they are cut into batches: a bar closes
/// at the first record (of any kind with a time) whose arrival time has passed its end by [`GRACE_NS`], and comes
/// again, with a higher revision, that long after the first trade that was late for it.
#[derive(Clone, Debug)]
pub struct Bars {
    intervals: Vec<Interval>,
    instruments: HashMap<u32, Instrument>,
    watermark: i64,
    deadline: i64,
    floors: Vec<i64>,
}

#[derive(Clone, Debug, Default)]
struct Instrument {
    ids: Ids,
    series: Vec<Series>,
}

impl Bars {
    pub fn new(intervals: &[Interval]) -> Self {
        Self {
            intervals: intervals.to_vec(),
            instruments: HashMap::new(),
            watermark: i64::MIN,
            deadline: i64::MAX,
            floors: vec![i64::MIN; intervals.len()],
        }
    }

    /// Newest arrival time seen, nanoseconds; `i64::MIN` before the first record.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Takes in one record of any kind; bars that it closes go to `out`. A trade is counted in each
    /// interval alike: the answer is the worst of them, and an error leaves it out of all.
    pub fn push(
        &mut self,
        record: &Record,
        sequence: u64,
        out: &mut Vec<Emitted>,
    ) -> Result<Pushed, BarError> {
        // Where other kinds have their arrival time, a detail has the venue's own bytes.
        if (kind::TRADE..=kind::GAP).contains(&record.kind) && record.ts_recv > self.watermark {
            self.watermark = record.ts_recv;
            if self.watermark >= self.deadline {
                self.advance(sequence, out);
            }
        }
        if !is_counted(record) {
            return Ok(Pushed::LeftOut);
        }
        self.add(record, &Trade::of(record, sequence))
    }

    /// Takes in a trade, in any order, without closing anything: how the state is rebuilt from stored trades.
    pub fn count(&mut self, record: &Record, sequence: u64) -> Result<Pushed, BarError> {
        let trade = Trade::of(record, sequence);
        let pushed = match is_counted(record) {
            true => self.add(record, &trade)?,
            false => Pushed::LeftOut,
        };
        // What was fetched later has no place in the order of arrival.
        if !record.has(flag::BACKFILLED) {
            self.watermark = self.watermark.max(record.ts_recv);
            if !matches!(pushed, Pushed::Double | Pushed::LeftOut)
                && let Some(instrument) = self.instruments.get_mut(&record.instrument)
            {
                for series in &mut instrument.series {
                    series.note_late(&trade, record.ts_recv);
                }
            }
        }
        Ok(pushed)
    }

    fn add(&mut self, record: &Record, trade: &Trade) -> Result<Pushed, BarError> {
        let instrument = self
            .instruments
            .entry(record.instrument)
            .or_insert_with(|| Instrument {
                ids: Ids::default(),
                series: (self.intervals.iter().zip(&self.floors))
                    .map(|(&interval, &floor_ns)| Series {
                        floor_ns,
                        ..Series::new(interval)
                    })
                    .collect(),
            });
        if let Some(id) = trade.id
            && !instrument.ids.insert(id)
        {
            for series in &mut instrument.series {
                series.renumber(trade, id);
                self.deadline = self.deadline.min(series.deadline);
            }
            return Ok(Pushed::Double);
        }
        // A longer bar's scale may be finer, and refuse what a shorter one takes: one interval with the trade
        // and one without it would contradict each other.
        if let Some(error) = (instrument.series.iter()).find_map(|series| series.check(trade).err()) {
            if let Some(id) = trade.id {
                instrument.ids.remove(id);
            }
            return Err(error);
        }
        let mut worst = Pushed::Counted;
        for series in &mut instrument.series {
            match series.push(trade, self.watermark.max(record.ts_recv))? {
                Pushed::Forgotten => worst = Pushed::Forgotten,
                Pushed::Late if worst != Pushed::Forgotten => worst = Pushed::Late,
                _ => {}
            }
            self.deadline = self.deadline.min(series.deadline);
        }
        Ok(worst)
    }

    fn advance(&mut self, sequence: u64, out: &mut Vec<Emitted>) {
        let from = out.len();
        self.deadline = i64::MAX;
        let watermark = self.watermark;
        for (&number, instrument) in &mut self.instruments {
            for (interval, series) in instrument.series.iter_mut().enumerate() {
                series.advance(watermark, |closed| {
                    out.push(Emitted {
                        instrument: number,
                        interval,
                        closed,
                        ts_recv: watermark,
                        sequence,
                    });
                });
                self.deadline = self.deadline.min(series.deadline);
            }
        }
        // A map has no order of its own; the same records must give the same rows in the same order.
        out[from..].sort_by_key(|e| (e.interval, e.closed.bar.start_ns, e.instrument));
    }

    /// Tells that `stored` is already known to the outside as this revision, closed by the record with this
    /// sequence. Where the state differs from it, the bar will come again with the next revision, when it
    /// would have come without a restart.
    pub fn settle(&mut self, instrument: u32, interval: usize, stored: &Bar, revision: u32, sequence: u64) {
        let watermark = self.watermark;
        let Some(series) = self
            .instruments
            .get_mut(&instrument)
            .and_then(|instrument| instrument.series.get_mut(interval))
        else {
            return;
        };
        if let Ok(at) = series.find(stored.start_ns) {
            let part = &mut series.parts[at];
            if part.bar.start_ns != stored.start_ns || (part.phase != Phase::Open && part.revision > revision)
            {
                return;
            }
            part.revision = revision;
            if part.bar.same_values(stored) {
                part.phase = Phase::Closed;
                if let Ok(at) = series.pending.binary_search(&stored.start_ns) {
                    series.pending.remove(at);
                }
            } else {
                part.phase = Phase::Dirty(part.differs_since(sequence).unwrap_or(watermark));
                series.await_close(at);
            }
            self.deadline = self.deadline.min(series.deadline);
        }
    }

    /// Nothing before these times is, or will be, known here: one time per interval.
    pub fn begin(&mut self, floors_ns: &[i64]) {
        for (floor, &at) in self.floors.iter_mut().zip(floors_ns) {
            *floor = at;
        }
        for instrument in self.instruments.values_mut() {
            for (series, &floor) in instrument.series.iter_mut().zip(&self.floors) {
                series.floor_ns = series.floor_ns.max(floor);
            }
        }
    }

    /// Forgets closed bars that end at or before this time.
    pub fn forget(&mut self, before_ns: i64) {
        for floor in &mut self.floors {
            *floor = before_ns.max(*floor);
        }
        for instrument in self.instruments.values_mut() {
            for series in &mut instrument.series {
                series.forget(before_ns);
            }
        }
    }

    /// Bars not closed yet: instrument, index of the interval, end, bar. In no order.
    pub fn open(&self) -> impl Iterator<Item = (u32, usize, i64, &Bar)> {
        self.instruments.iter().flat_map(|(&number, instrument)| {
            instrument
                .series
                .iter()
                .enumerate()
                .flat_map(move |(at, series)| {
                    series
                        .pending
                        .iter()
                        .filter_map(|&start_ns| series.find(start_ns).ok().map(|at| &series.parts[at]))
                        .map(move |part| (number, at, part.end_ns, &part.bar))
                })
        })
    }

    /// Every bar of one series that is not forgotten, oldest first: end, revision, bar.
    pub fn series(&self, instrument: u32, interval: usize) -> impl Iterator<Item = (i64, u32, &Bar)> {
        self.instruments
            .get(&instrument)
            .and_then(|instrument| instrument.series.get(interval))
            .into_iter()
            .flat_map(|series| series.parts.iter())
            .map(|part| (part.end_ns, part.revision, &part.bar))
    }
}
