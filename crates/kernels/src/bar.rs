//! Bars: open, high, low, close and volume over an interval, exact in integers.
//!
//! A bar covers `[start, end)` by `ts_event`; an interval without trades has no bar. Open and close
//! are the first and last trade by (`ts_event`, `sequence`), so any permutation, doubling (same trade
//! id) or lateness of the same trades ends in the same bars. Sums are i128, prices i64; what does not
//! fit is an error, never a wrap.
//!
//! - [`BarBuilder`]: one series, streaming. [`Bars`]: all instruments and several intervals at once.
//! - [`batch`]: the same bars from a whole set of trades. [`resample`]: the same from sorted arrays.
//! - [`merge`]: bars into longer bars; associative, so 1s → 1h equals 1s → 1m → 1h.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;

use wire::{Record, flag, kind};

/// A bar is closed when arrival time has passed its end by this much, nanoseconds.
pub const GRACE_NS: i64 = 2_000_000_000;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Monday 5 January 1970, 00:00 UTC: weeks are counted from here.
const MONDAY: i64 = 4 * DAY;

const POWERS: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// How long a bar lasts: `<n><unit>` with unit s, m, h, d, w or mo, all UTC. Weeks start on Monday
/// 00:00, months follow the calendar (3mo are quarters), everything else counts from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Multiples of `length_ns` from `anchor_ns`.
    Fixed { length_ns: i64, anchor_ns: i64 },
    /// This many calendar months, counted from January of year 0.
    Months(u32),
}

/// Text that is not an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalError {
    pub text: String,
}

impl fmt::Display for IntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an interval; write a number and a unit (s, m, h, d, w, mo), such as 1m",
            self.text
        )
    }
}

impl std::error::Error for IntervalError {}

impl Interval {
    /// A fixed length counted from the epoch; lengths below 1 ns read as 1 ns.
    pub const fn from_ns(length_ns: i64) -> Self {
        let length_ns = if length_ns < 1 { 1 } else { length_ns };
        Self::Fixed {
            length_ns,
            anchor_ns: 0,
        }
    }

    /// Start of the interval that holds `ts`. At the ends of the range of i64 it saturates.
    pub fn start(self, ts: i64) -> i64 {
        match self {
            Self::Fixed { length_ns, anchor_ns } => {
                let from_anchor = i128::from(ts) - i128::from(anchor_ns);
                let length = i128::from(length_ns);
                clamp(from_anchor.div_euclid(length) * length + i128::from(anchor_ns))
            }
            Self::Months(months) => {
                let (year, month) = civil_month(ts.div_euclid(DAY));
                let index = (year * 12 + month).div_euclid(i64::from(months)) * i64::from(months);
                month_start(index)
            }
        }
    }

    /// First nanosecond after the interval that starts at `start`.
    pub fn end(self, start: i64) -> i64 {
        match self {
            Self::Fixed { length_ns, .. } => start.saturating_add(length_ns),
            Self::Months(months) => {
                let (year, month) = civil_month(start.div_euclid(DAY));
                month_start(year * 12 + month + i64::from(months))
            }
        }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let error = || IntervalError {
            text: text.chars().take(40).collect(),
        };
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u32 = text[..digits].parse().map_err(|_| error())?;
        let (unit_ns, anchor_ns) = match &text[digits..] {
            "s" => (SECOND, 0),
            "m" => (60 * SECOND, 0),
            "h" => (3_600 * SECOND, 0),
            "d" => (DAY, 0),
            "w" => (7 * DAY, MONDAY),
            "mo" if (1..=1_200).contains(&count) => return Ok(Self::Months(count)),
            _ => return Err(error()),
        };
        match unit_ns.checked_mul(i64::from(count)) {
            Some(length_ns) if count > 0 => Ok(Self::Fixed { length_ns, anchor_ns }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Months(months) => write!(f, "{months}mo"),
            Self::Fixed { length_ns, anchor_ns } if anchor_ns != 0 => write!(f, "{}w", length_ns / (7 * DAY)),
            Self::Fixed { length_ns, .. } => {
                for (unit, ns) in [
                    ("d", DAY),
                    ("h", 3_600 * SECOND),
                    ("m", 60 * SECOND),
                    ("s", SECOND),
                ] {
                    if length_ns % ns == 0 {
                        return write!(f, "{}{unit}", length_ns / ns);
                    }
                }
                write!(f, "{length_ns}ns")
            }
        }
    }
}

fn clamp(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Year and month (0 to 11) of a day counted from 1 January 1970 (Gregorian, proleptic).
fn civil_month(day: i64) -> (i64, i64) {
    // Years run from March so that the leap day comes last: 146,097 days are 400 years exactly.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month)
}

/// First nanosecond of a month counted from January of year 0.
fn month_start(index: i64) -> i64 {
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12));
    let from_march = (month + 10) % 12;
    let year = year - i64::from(month < 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2).div_euclid(5);
    let day = era * 146_097 + of_era - 719_468;
    clamp(i128::from(day) * i128::from(DAY))
}

/// One bar. Values are mantissas: price = mantissa × 10^−price_scale, volume × 10^−size_scale, at the
/// finest scale among the bar's own trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bar {
    /// First nanosecond of the interval.
    pub start_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub price_scale: u8,
    /// Sum of the sizes.
    pub volume: i128,
    pub size_scale: u8,
    /// Number of trades.
    pub trades: u64,
    /// Earliest time a strategy may use this bar: its interval's end, or its last trade's if later.
    pub ts_known: i64,
}

impl Bar {
    /// Equal in every value, whatever the scales and times.
    pub fn same_values(&self, other: &Bar) -> bool {
        let (mut a, mut b) = (*self, *other);
        let price_scale = a.price_scale.max(b.price_scale);
        let size_scale = a.size_scale.max(b.size_scale);
        a.rescale(price_scale, size_scale).is_ok()
            && b.rescale(price_scale, size_scale).is_ok()
            && (a.start_ns, a.open, a.high, a.low, a.close, a.volume, a.trades)
                == (b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.trades)
    }

    /// The same values at finer scales; unchanged on error.
    fn rescale(&mut self, price_scale: u8, size_scale: u8) -> Result<(), BarError> {
        let prices = power(price_scale, self.price_scale)?;
        let sizes = power(size_scale, self.size_scale)?;
        let price = |value: i64| value.checked_mul(prices).ok_or(BarError::Price);
        let (open, high) = (price(self.open)?, price(self.high)?);
        let (low, close) = (price(self.low)?, price(self.close)?);
        self.volume = self
            .volume
            .checked_mul(i128::from(sizes))
            .ok_or(BarError::Volume)?;
        (self.open, self.high, self.low, self.close) = (open, high, low, close);
        (self.price_scale, self.size_scale) = (price_scale, size_scale);
        Ok(())
    }

    /// Takes in a later bar of the same longer interval; unchanged on error.
    fn absorb(&mut self, later: &Bar) -> Result<(), BarError> {
        let mut later = *later;
        let price_scale = self.price_scale.max(later.price_scale);
        let size_scale = self.size_scale.max(later.size_scale);
        later.rescale(price_scale, size_scale)?;
        let mut merged = *self;
        merged.rescale(price_scale, size_scale)?;
        merged.volume = merged.volume.checked_add(later.volume).ok_or(BarError::Volume)?;
        merged.high = merged.high.max(later.high);
        merged.low = merged.low.min(later.low);
        merged.close = later.close;
        merged.trades += later.trades;
        merged.ts_known = merged.ts_known.max(later.ts_known);
        *self = merged;
        Ok(())
    }
}

/// Why a trade or bar cannot be taken in. Nothing has changed when it is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// A price does not fit 64 bits at the finest scale of its bar.
    Price,
    /// A volume does not fit 128 bits.
    Volume,
    /// A scale above 18, which only corrupt bytes have.
    Scale,
    /// Bars to merge are not in ascending order.
    Order,
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Price => "a price does not fit 64 bits at the finest scale of its bar",
            Self::Volume => "a volume does not fit 128 bits",
            Self::Scale => "a scale is above 18",
            Self::Order => "bars to merge must ascend by start",
        })
    }
}

impl std::error::Error for BarError {}

/// 10^(fine − coarse).
fn power(fine: u8, coarse: u8) -> Result<i64, BarError> {
    if fine > 18 {
        return Err(BarError::Scale);
    }
    POWERS
        .get(usize::from(fine.checked_sub(coarse).ok_or(BarError::Scale)?))
        .copied()
        .ok_or(BarError::Scale)
}

/// What became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in a bar that is not closed yet.
    Counted,
    /// It is in a bar that was closed: the bar comes again with a higher revision.
    Late,
    /// This trade id was counted before.
    Double,
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
enum Phase {
    Open,
    Closed,
    /// Changed after it was closed; when that was noticed, in arrival time.
    Dirty(i64),
}

/// A bar in the making. The trades of its first and last instant are kept apart, because a double
/// that arrives late may move a trade forward in the order among its equals.
#[derive(Clone, Debug)]
struct Part {
    bar: Bar,
    end_ns: i64,
    first_ns: i64,
    first: Vec<Tie>,
    last_ns: i64,
    last: Vec<Tie>,
    revision: u32,
    phase: Phase,
}

impl Part {
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

    fn add(&mut self, trade: &Trade) -> Result<(), BarError> {
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
        let finer = power(price_scale, self.bar.price_scale)?;
        if finer > 1 {
            for tie in self.first.iter_mut().chain(&mut self.last) {
                tie.price *= finer; // fits: these prices lie between low and high, which did
            }
        }
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.trades += 1;
        bar.ts_known = bar.ts_known.max(trade.ts_known);
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

/// What a bar needs to know of a trade.
#[derive(Clone, Copy, Debug)]
struct Trade {
    ts_event: i64,
    ts_known: i64,
    sequence: u64,
    id: Option<u64>,
    price: i64,
    size: i64,
    price_scale: u8,
    size_scale: u8,
}

impl Trade {
    fn of(record: &Record, sequence: u64) -> Self {
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
struct Ids {
    /// First id of a range to its last.
    ranges: BTreeMap<u64, u64>,
}

impl Ids {
    /// Ranges kept; beyond it the lowest ids go, which are the oldest.
    const MAX: usize = 65_536;

    /// False when it was in already.
    fn insert(&mut self, id: u64) -> bool {
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

    fn remove(&mut self, id: u64) {
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
        if record.kind != kind::TRADE {
            return Ok(Pushed::Double);
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
struct Series {
    interval: Interval,
    /// Ascending by start; the newest, which nearly every trade falls into, is at the back.
    parts: VecDeque<Part>,
    /// Starts of the parts that are not closed, ascending: one or two of what may be thousands.
    pending: Vec<i64>,
    /// Bars that end at or before this time are forgotten.
    floor_ns: i64,
    /// The earliest arrival time at which something is to be closed.
    deadline: i64,
}

impl Series {
    fn new(interval: Interval) -> Self {
        Self {
            interval,
            parts: VecDeque::new(),
            pending: Vec::new(),
            floor_ns: i64::MIN,
            deadline: i64::MAX,
        }
    }

    /// Index of the part that holds `ts`, or where it would be inserted.
    fn find(&self, ts: i64) -> Result<usize, usize> {
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

    fn push(&mut self, trade: &Trade, ts_recv: i64) -> Result<Pushed, BarError> {
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

    /// Notes that the part at this index is to be closed.
    fn await_close(&mut self, at: usize) {
        let part = &self.parts[at];
        self.deadline = self.deadline.min(part.deadline());
        if let Err(to) = self.pending.binary_search(&part.bar.start_ns) {
            self.pending.insert(to, part.bar.start_ns);
        }
    }

    fn renumber(&mut self, trade: &Trade, id: u64) {
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

    fn advance(&mut self, watermark_ns: i64, mut emit: impl FnMut(Closed)) {
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

    fn forget(&mut self, before_ns: i64) {
        self.floor_ns = self.floor_ns.max(before_ns);
        while let Some(oldest) = self.parts.front()
            && oldest.end_ns <= before_ns
            && oldest.phase == Phase::Closed
        {
            self.parts.pop_front();
        }
    }
}

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
        if record.kind != kind::TRADE {
            return Ok(Pushed::Counted);
        }
        self.count(record, sequence)
    }

    /// Takes in a trade without closing anything: how the state is rebuilt from stored trades.
    pub fn count(&mut self, record: &Record, sequence: u64) -> Result<Pushed, BarError> {
        let trade = Trade::of(record, sequence);
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
                series.renumber(&trade, id);
                self.deadline = self.deadline.min(series.deadline);
            }
            return Ok(Pushed::Double);
        }
        let mut worst = Pushed::Counted;
        for at in 0..instrument.series.len() {
            match instrument.series[at].push(&trade, self.watermark.max(record.ts_recv)) {
                Ok(Pushed::Forgotten) => worst = Pushed::Forgotten,
                Ok(Pushed::Late) if worst != Pushed::Forgotten => worst = Pushed::Late,
                Ok(_) => {}
                // The intervals share prices, and a longer bar's scale is at least as fine: only the
                // longer ones can refuse what a shorter one took. Such a trade stays where it fits.
                Err(error) if at == 0 => {
                    if let Some(id) = trade.id {
                        instrument.ids.remove(id);
                    }
                    return Err(error);
                }
                Err(error) => {
                    self.deadline = self.deadline.min(instrument.series[0].deadline);
                    return Err(error);
                }
            }
            self.deadline = self.deadline.min(instrument.series[at].deadline);
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

    /// Tells that `stored` is already known to the outside as this revision. Where the state differs
    /// from it, the bar will come again with the next revision.
    pub fn settle(&mut self, instrument: u32, interval: usize, stored: &Bar, revision: u32) {
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
                part.phase = Phase::Dirty(watermark);
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

/// The bars of a whole set of trades of one instrument, in any order, ascending by start. Records of
/// other kinds are left out.
pub fn batch<'a>(
    interval: Interval,
    trades: impl IntoIterator<Item = (&'a Record, u64)>,
) -> Result<Vec<Bar>, BarError> {
    let mut builder = BarBuilder::with_interval(interval);
    for (record, sequence) in trades {
        builder.push(record, sequence)?;
    }
    Ok(builder.bars().copied().collect())
}

/// Bars of a longer interval from bars that ascend by start and do not overlap.
pub fn merge(interval: Interval, bars: &[Bar]) -> Result<Vec<Bar>, BarError> {
    let mut merged: Vec<Bar> = Vec::new();
    let mut end_ns = i64::MIN;
    let mut previous = i64::MIN;
    for bar in bars {
        if bar.start_ns < previous {
            return Err(BarError::Order);
        }
        previous = bar.start_ns;
        match merged.last_mut() {
            Some(open) if bar.start_ns < end_ns => open.absorb(bar)?,
            _ => {
                let start_ns = interval.start(bar.start_ns);
                end_ns = interval.end(start_ns);
                merged.push(Bar {
                    start_ns,
                    ts_known: bar.ts_known.max(end_ns),
                    ..*bar
                });
            }
        }
    }
    Ok(merged)
}

/// Bars from arrays of trades that ascend by (`ts_event`, `sequence`), doubles already out, all at
/// the same scales; the arrays have one length. `ts_known` of a bar is its end.
pub fn resample(
    interval: Interval,
    ts_event: &[i64],
    price: &[i64],
    size: &[i64],
    (price_scale, size_scale): (u8, u8),
) -> Result<Vec<Bar>, BarError> {
    let rows = ts_event.len().min(price.len()).min(size.len());
    let (ts_event, price, size) = (&ts_event[..rows], &price[..rows], &size[..rows]);
    let mut bars = Vec::new();
    let mut at = 0;
    while at < rows {
        let start_ns = interval.start(ts_event[at]);
        let end_ns = interval.end(start_ns);
        let to = at + run_length(&ts_event[at..], end_ns);
        if ts_event[to - 1] < ts_event[at] || (to < rows && ts_event[to] < end_ns) {
            return Err(BarError::Order);
        }
        let (high, low, volume) = extremes(&price[at..to], &size[at..to]);
        bars.push(Bar {
            start_ns,
            open: price[at],
            high,
            low,
            close: price[to - 1],
            price_scale,
            volume,
            size_scale,
            trades: (to - at) as u64,
            ts_known: end_ns,
        });
        at = to;
    }
    Ok(bars)
}

/// How many leading values lie below `end`; at least 1. Doubles its step, then halves: a bar of n
/// trades costs log n looks instead of n divisions.
fn run_length(ascending: &[i64], end: i64) -> usize {
    let mut step = 1;
    let mut low = 0; // ascending[low] < end
    while low + step < ascending.len() && ascending[low + step] < end {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(ascending.len());
    low + 1 + ascending[low + 1..high].partition_point(|&ts| ts < end)
}

#[inline(always)]
fn extremes_of(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    let (mut high, mut low) = (i64::MIN, i64::MAX);
    for &value in price {
        high = high.max(value);
        low = low.min(value);
    }
    let mut volume = 0i128;
    // Halves summed apart fit 64 bits for a block of this length, and vectorise.
    for block in size.chunks(1 << 20) {
        let (mut upper, mut lower) = (0i64, 0i64);
        for &value in block {
            upper += value >> 32;
            lower += value & 0xFFFF_FFFF;
        }
        volume += (i128::from(upper) << 32) + i128::from(lower);
    }
    (high, low, volume)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn extremes_avx2(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    extremes_of(price, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn extremes_avx512(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    extremes_of(price, size)
}

/// Highest and lowest price and the sum of sizes, by the widest instructions this machine has.
fn extremes(price: &[i64], size: &[i64]) -> (i64, i64, i128) {
    #[cfg(target_arch = "x86_64")]
    {
        if price.len() >= 16 && std::arch::is_x86_feature_detected!("avx512dq") {
            // SAFETY: processors with AVX-512 DQ that Linux reports have F, VL and BW as well; checked.
            if std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                return unsafe { extremes_avx512(price, size) };
            }
        }
        if price.len() >= 8 && std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { extremes_avx2(price, size) };
        }
    }
    extremes_of(price, size)
}
