//! One series in the making: trades in any order, doubled or late, to the bars they make.

use std::collections::{BTreeMap, VecDeque};

use wire::{Record, flag, kind};

use super::{Bar, BarError, GRACE_NS, Interval, power};

/// What became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in a bar that is not closed yet.
    Counted,
    /// It is in a bar that was closed: the bar comes again with a higher revision.
    Late,
    /// This trade id was counted before.
    Double,
    /// Bars are not made of it: no trade, or one whose conditions say so ([`flag::IRREGULAR`]).
    LeftOut,
    /// Its bar was forgotten ([`BarBuilder::forget`]): the caller rebuilds it from what is stored.
    Forgotten,
}

/// A trade id, its place in the order, and its price at the bar's scale.
#[derive(Clone, Copy, Debug)]
struct Tie {
    sequence: u64,
    id: Option<u64>,
    price: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closed,
    /// Changed after it was closed; when that was noticed, in arrival time.
    Dirty(i64),
}

/// A bar in the making. The trades of its first and last instant are kept apart, because a double
/// that arrives late may move a trade forward in the order among its equals.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) bar: Bar,
    pub(super) end_ns: i64,
    first_ns: i64,
    first: Vec<Tie>,
    last_ns: i64,
    last: Vec<Tie>,
    pub(super) revision: u32,
    pub(super) phase: Phase,
    /// Of stored trades, sequence and arrival of those that came after the bar's first close: what is stored of
    /// the bar tells which of them it has.
    late: Vec<(u64, i64)>,
}

impl Part {
    /// Arrival of the first trade that is not in the bar which the record with this sequence closed.
    pub(super) fn differs_since(&self, closed_by: u64) -> Option<i64> {
        self.late
            .iter()
            .filter(|(sequence, _)| *sequence >= closed_by)
            .map(|(_, ts_recv)| *ts_recv)
            .min()
    }

    fn settle_ends(&mut self) {
        // Both lists hold at least the trade that made the part.
        if let Some(tie) = self.first.iter().min_by_key(|tie| tie.sequence) {
            self.bar.open = tie.price;
        }
        if let Some(tie) = self.last.iter().max_by_key(|tie| tie.sequence) {
            self.bar.close = tie.price;
        }
    }

    fn deadline(&self) -> i64 {
        match self.phase {
            Phase::Open => self.end_ns.saturating_add(GRACE_NS),
            Phase::Closed => i64::MAX,
            Phase::Dirty(since) => since.saturating_add(GRACE_NS),
        }
    }

    /// The bar with this trade in all but its ends, and the trade's price at the bar's scale.
    fn with(&self, trade: &Trade) -> Result<(Bar, i64), BarError> {
        let price_scale = self.bar.price_scale.max(trade.price_scale);
        let size_scale = self.bar.size_scale.max(trade.size_scale);
        let price = trade
            .price
            .checked_mul(power(price_scale, trade.price_scale)?)
            .ok_or(BarError::Price)?;
        let size = i128::from(trade.size) * i128::from(power(size_scale, trade.size_scale)?);
        let mut bar = self.bar;
        if (price_scale, size_scale) != (bar.price_scale, bar.size_scale) {
            bar.rescale(price_scale, size_scale)?;
        }
        bar.volume = bar.volume.checked_add(size).ok_or(BarError::Volume)?;
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.trades += 1;
        bar.ts_known = bar.ts_known.max(trade.ts_known);
        Ok((bar, price))
    }

    fn add(&mut self, trade: &Trade) -> Result<(), BarError> {
        let (bar, price) = self.with(trade)?;
        let finer = power(bar.price_scale, self.bar.price_scale)?;
        if finer > 1 {
            for tie in self.first.iter_mut().chain(&mut self.last) {
                tie.price *= finer; // fits: these prices lie between low and high, which did
            }
        }
        self.bar = bar;
        let tie = Tie {
            sequence: trade.sequence,
            id: trade.id,
            price,
        };
        if trade.ts_event <= self.first_ns {
            if trade.ts_event < self.first_ns {
                self.first_ns = trade.ts_event;
                self.first.clear();
            }
            self.first.push(tie);
        }
        if trade.ts_event >= self.last_ns {
            if trade.ts_event > self.last_ns {
                self.last_ns = trade.ts_event;
                self.last.clear();
            }
            self.last.push(tie);
        }
        self.settle_ends();
        Ok(())
    }

    /// A double of a trade in this bar: the earlier of its sequences counts.
    fn renumber(&mut self, id: u64, sequence: u64) {
        for tie in self.first.iter_mut().chain(&mut self.last) {
            if tie.id == Some(id) {
                tie.sequence = tie.sequence.min(sequence);
            }
        }
        self.settle_ends();
    }
}

/// Are bars made of this record?
pub(super) fn is_counted(record: &Record) -> bool {
    record.kind == kind::TRADE && !record.has(flag::IRREGULAR)
}

/// What a bar needs to know of a trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trade {
    ts_event: i64,
    ts_known: i64,
    sequence: u64,
    pub(super) id: Option<u64>,
    pub(super) price: i64,
    size: i64,
    price_scale: u8,
    size_scale: u8,
}

impl Trade {
    pub(super) fn of(record: &Record, sequence: u64) -> Self {
        let backfilled = record.has(flag::BACKFILLED);
        Self {
            ts_event: record.ts_event,
            ts_known: if backfilled {
                record.ts_event
            } else {
                record.ts_recv
            },
            sequence,
            id: record.has(flag::HAS_ID).then_some(record.id),
            price: record.price,
            size: record.size,
            price_scale: record.price_scale,
            size_scale: record.size_scale,
        }
    }
}

/// Trade ids seen, as ranges: the ids of a venue are dense, so a day of them is a few ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    /// First id of a range to its last.
    ranges: BTreeMap<u64, u64>,
}

impl Ids {
    /// Ranges kept; beyond it the lowest ids go, which are the oldest.
    const MAX: usize = 65_536;

    /// False when it was in already.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        let below = self.ranges.range(..=id).next_back().map(|(&a, &b)| (a, b));
        if below.is_some_and(|(_, last)| last >= id) {
            return false;
        }
        let start = match below {
            Some((first, last)) if last + 1 == id => first,
            _ => id,
        };
        let last = match id.checked_add(1).and_then(|next| self.ranges.remove(&next)) {
            Some(last) => last,
            None => id,
        };
        self.ranges.insert(start, last);
        if self.ranges.len() > Self::MAX {
            self.ranges.pop_first();
        }
        true
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some((first, last)) = self.ranges.range(..=id).next_back().map(|(&a, &b)| (a, b)) else {
            return;
        };
        if last < id {
            return;
        }
        self.ranges.remove(&first);
        if first < id {
            self.ranges.insert(first, id - 1);
        }
        if id < last {
            self.ranges.insert(id + 1, last);
        }
    }
}

/// A bar that was closed, or closed again after a late trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub bar: Bar,
    /// First nanosecond after the interval.
    pub end_ns: i64,
    /// 0 the first time, one more each time a late trade changed it.
    pub revision: u32,
}

/// Bars of one instrument and one interval, from trades in any order.
#[derive(Clone, Debug)]
pub struct BarBuilder {
    series: Series,
    ids: Ids,
}

impl BarBuilder {
    /// Bars of a fixed length counted from the epoch, nanoseconds.
    pub fn new(interval_ns: i64) -> Self {
        Self::with_interval(Interval::from_ns(interval_ns))
    }

    pub fn with_interval(interval: Interval) -> Self {
        Self {
            series: Series::new(interval),
            ids: Ids::default(),
        }
    }

    /// Takes in one trade with its sequence. Records of another kind are not looked at.
    pub fn push(&mut self, record: &Record, sequence: u64) -> Result<Pushed, BarError> {
        if !is_counted(record) {
            return Ok(Pushed::LeftOut);
        }
        let trade = Trade::of(record, sequence);
        if let Some(id) = trade.id
            && !self.ids.insert(id)
        {
            self.series.renumber(&trade, id);
            return Ok(Pushed::Double);
        }
        let pushed = self.series.push(&trade, record.ts_recv);
        if pushed.is_err()
            && let Some(id) = trade.id
        {
            self.ids.remove(id);
        }
        pushed
    }

    /// Closes what arrival time has passed by [`GRACE_NS`], oldest first, into `out`.
    pub fn advance(&mut self, watermark_ns: i64, out: &mut Vec<Closed>) {
        self.series.advance(watermark_ns, |closed| out.push(closed));
    }

    /// Bars not closed yet, oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Bar> {
        self.series
            .parts
            .iter()
            .filter(|part| part.phase == Phase::Open)
            .map(|part| &part.bar)
    }

    /// Every bar that is not forgotten, closed or not, oldest first.
    pub fn bars(&self) -> impl DoubleEndedIterator<Item = &Bar> {
        self.series.parts.iter().map(|part| &part.bar)
    }

    /// Forgets closed bars that end at or before this time. A trade for one of them is
    /// [`Pushed::Forgotten`] from now on.
    pub fn forget(&mut self, before_ns: i64) {
        self.series.forget(before_ns);
    }
}

/// A [`BarBuilder`] without the memory of ids, which several intervals share.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) interval: Interval,
    /// Ascending by start; the newest, which nearly every trade falls into, is at the back.
    pub(super) parts: VecDeque<Part>,
    /// Starts of the parts that are not closed, ascending: one or two of what may be thousands.
    pub(super) pending: Vec<i64>,
    /// Bars that end at or before this time are forgotten.
    pub(super) floor_ns: i64,
    /// The earliest arrival time at which something is to be closed.
    pub(super) deadline: i64,
}

impl Series {
    pub(super) fn new(interval: Interval) -> Self {
        Self {
            interval,
            parts: VecDeque::new(),
            pending: Vec::new(),
            floor_ns: i64::MIN,
            deadline: i64::MAX,
        }
    }

    /// Index of the part that holds `ts`, or where it would be inserted.
    pub(super) fn find(&self, ts: i64) -> Result<usize, usize> {
        match self.parts.back() {
            None => Err(0),
            Some(newest) if ts >= newest.end_ns => Err(self.parts.len()),
            Some(newest) if ts >= newest.bar.start_ns => Ok(self.parts.len() - 1),
            Some(_) => {
                let at = self.parts.partition_point(|part| part.end_ns <= ts);
                match self.parts.get(at) {
                    Some(part) if part.bar.start_ns <= ts => Ok(at),
                    _ => Err(at),
                }
            }
        }
    }

    /// Whether [`Self::push`] will take the trade in.
    pub(super) fn check(&self, trade: &Trade) -> Result<(), BarError> {
        match self.find(trade.ts_event) {
            Ok(at) => self.parts[at].with(trade).map(|_| ()),
            Err(_) if trade.price_scale > 18 || trade.size_scale > 18 => Err(BarError::Scale),
            Err(_) => Ok(()),
        }
    }

    pub(super) fn push(&mut self, trade: &Trade, ts_recv: i64) -> Result<Pushed, BarError> {
        let at = match self.find(trade.ts_event) {
            Ok(at) => {
                self.parts[at].add(trade)?;
                at
            }
            Err(at) => {
                let start_ns = self.interval.start(trade.ts_event);
                let end_ns = self.interval.end(start_ns);
                if end_ns <= self.floor_ns {
                    return Ok(Pushed::Forgotten);
                }
                if trade.price_scale > 18 || trade.size_scale > 18 {
                    return Err(BarError::Scale);
                }
                let tie = Tie {
                    sequence: trade.sequence,
                    id: trade.id,
                    price: trade.price,
                };
                let part = Part {
                    bar: Bar {
                        start_ns,
                        open: trade.price,
                        high: trade.price,
                        low: trade.price,
                        close: trade.price,
                        price_scale: trade.price_scale,
                        volume: i128::from(trade.size),
                        size_scale: trade.size_scale,
                        trades: 1,
                        ts_known: end_ns.max(trade.ts_known),
                    },
                    end_ns,
                    first_ns: trade.ts_event,
                    first: vec![tie],
                    last_ns: trade.ts_event,
                    last: vec![tie],
                    revision: 0,
                    phase: Phase::Open,
                    late: Vec::new(),
                };
                self.parts.insert(at, part);
                self.await_close(at);
                at
            }
        };
        let part = &mut self.parts[at];
        let late = part.phase != Phase::Open;
        if part.phase == Phase::Closed {
            part.phase = Phase::Dirty(ts_recv);
            self.await_close(at);
        }
        Ok(if late { Pushed::Late } else { Pushed::Counted })
    }

    /// Remembers a stored trade that came after its bar's first close.
    pub(super) fn note_late(&mut self, trade: &Trade, ts_recv: i64) {
        if let Ok(at) = self.find(trade.ts_event) {
            let part = &mut self.parts[at];
            if ts_recv >= part.end_ns.saturating_add(GRACE_NS) {
                part.late.push((trade.sequence, ts_recv));
            }
        }
    }

    /// Notes that the part at this index is to be closed.
    pub(super) fn await_close(&mut self, at: usize) {
        let part = &self.parts[at];
        self.deadline = self.deadline.min(part.deadline());
        if let Err(to) = self.pending.binary_search(&part.bar.start_ns) {
            self.pending.insert(to, part.bar.start_ns);
        }
    }

    pub(super) fn renumber(&mut self, trade: &Trade, id: u64) {
        if let Ok(at) = self.find(trade.ts_event) {
            let part = &mut self.parts[at];
            let before = part.bar;
            part.renumber(id, trade.sequence);
            if part.phase == Phase::Closed && part.bar != before {
                part.phase = Phase::Dirty(trade.ts_known);
                self.await_close(at);
            }
        }
    }

    pub(super) fn advance(&mut self, watermark_ns: i64, mut emit: impl FnMut(Closed)) {
        if watermark_ns < self.deadline {
            return;
        }
        self.deadline = i64::MAX;
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|&start_ns| {
            let Ok(at) = self.find(start_ns) else {
                return false; // a pending part is never forgotten, so this does not come to pass
            };
            let part = &mut self.parts[at];
            if part.deadline() > watermark_ns {
                self.deadline = self.deadline.min(part.deadline());
                return true;
            }
            if part.phase != Phase::Open {
                part.revision += 1;
            }
            part.phase = Phase::Closed;
            emit(Closed {
                bar: part.bar,
                end_ns: part.end_ns,
                revision: part.revision,
            });
            false
        });
        self.pending = pending;
    }

    pub(super) fn forget(&mut self, before_ns: i64) {
        self.floor_ns = self.floor_ns.max(before_ns);
        while let Some(oldest) = self.parts.front()
            && oldest.end_ns <= before_ns
            && oldest.phase == Phase::Closed
        {
            self.parts.pop_front();
        }
    }
}
