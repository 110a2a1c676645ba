//! Bars of any interval, of exactly those trades that count, so that a client can compare them with ticks.

use super::calendar::{HOUR_NS, MINUTE_NS, SECOND_NS, weekday};
use super::world::{AMENDED_AFTER_NS, Asset, BEGIN_NS, Trade, World, days};
use crate::number::{civil, days_of};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    /// Begins on this weekday, 0 = Sunday.
    Week(i64),
    Month,
}

/// So many of a unit. Windows shorter than a day begin at midnight where the asset trades and never reach over
/// the next one; longer ones begin at a midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub count: i64,
    pub unit: Unit,
}

impl Interval {
    /// Length of a window within a day, ns; `None` for whole days.
    pub fn within_day(self) -> Option<i64> {
        Some(match self.unit {
            Unit::Second => self.count * SECOND_NS,
            Unit::Minute => self.count * MINUTE_NS,
            Unit::Hour => self.count * HOUR_NS,
            Unit::Day | Unit::Week(_) | Unit::Month => return None,
        })
    }

    /// First day of the window of a day, and of the next window.
    fn of_day(self, day: i64) -> (i64, i64) {
        match self.unit {
            Unit::Week(begin) => {
                let week = day - (weekday(day) - begin).rem_euclid(7);
                // Weeks are counted from the first one that begins in 1970.
                let number = week.div_euclid(7).rem_euclid(self.count);
                (week - 7 * number, week + 7 * (self.count - number))
            }
            Unit::Month => {
                let (year, month, _) = civil(day);
                let index = year * 12 + i64::from(month) - 1;
                let first = index - index.rem_euclid(self.count);
                let day_of = |index: i64| days_of(index.div_euclid(12), index.rem_euclid(12) as u32 + 1, 1);
                (day_of(first), day_of(first + self.count))
            }
            _ => {
                let first = day - day.rem_euclid(self.count);
                (first, first + self.count)
            }
        }
    }

    /// Begin and end of the window that a moment is in.
    pub fn window(self, asset: &Asset, ns: i64) -> (i64, i64) {
        let day = asset.day(ns);
        match self.within_day() {
            Some(length) => {
                let (midnight, next) = (asset.midnight(day), asset.midnight(day + 1));
                let start = midnight + (ns - midnight) / length * length;
                (start, (start + length).min(next))
            }
            None => {
                let (first, next) = self.of_day(day);
                (asset.midnight(first), asset.midnight(next))
            }
        }
    }
}

/// Open, high, low, close and volume of a window that has trades; mantissas at the asset's scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    pub start: i64,
    pub end: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i64,
    pub trades: u64,
    /// Sum of price × size: the volume-weighted price is this by the volume.
    pub turnover: i128,
}

impl Bar {
    fn of(trade: &Trade, (start, end): (i64, i64)) -> Self {
        Self {
            start,
            end,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: trade.size,
            trades: 1,
            turnover: i128::from(trade.price) * i128::from(trade.size),
        }
    }

    /// Takes in what came after it.
    fn extend(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.trades += later.trades;
        self.turnover += later.turnover;
    }

    /// The same in shares of after all splits.
    fn adjusted(mut self, factor: i64) -> Self {
        for price in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            *price /= factor; // exact: prices before a split are multiples
        }
        self.volume *= factor;
        self
    }

    /// The volume-weighted price as a mantissa with `more` decimals more than the asset's.
    pub fn vwap(&self, more: u32) -> i128 {
        self.turnover * 10i128.pow(more) / i128::from(self.volume.max(1))
    }
}

/// Which bars of an asset.
#[derive(Clone, Copy, Debug)]
pub struct Bars {
    pub world: World,
    pub asset: &'static Asset,
    pub interval: Interval,
    /// Divided by the splits that came later.
    pub adjusted: bool,
    /// Of the trades of one exchange only.
    pub only: Option<char>,
    /// As it is known at this moment; trades after it do not exist yet.
    pub now: i64,
}

impl Bars {
    /// Bars whose windows begin from `from` up to, not including, `to`; windows without trades have none.
    /// Each bar is that of its whole window, wherever the span ends.
    pub fn starting(self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = Bar> {
        let to = to.min(self.now.saturating_add(1));
        let windows: Vec<(i64, i64)> = if self.interval.within_day().is_some() {
            days(self.asset, from, to).map(|day| (day, day + 1)).collect()
        } else {
            // Every day, closed ones too: a week may begin on one.
            let all = self.asset.day(from.max(BEGIN_NS))..self.asset.day(to.max(BEGIN_NS) - 1) + 1;
            let mut windows: Vec<(i64, i64)> = all.map(|day| self.interval.of_day(day)).collect();
            windows.dedup();
            windows
        };
        windows
            .into_iter()
            .flat_map(move |(first, next)| match self.interval.within_day() {
                Some(_) => self.of_trades(first, from, to),
                None => self.of_days(first, next).into_iter().collect(),
            })
            .filter(move |bar| (from..to).contains(&bar.start))
    }

    /// The trades of a span that count.
    fn counted(&self, from: i64, to: i64) -> impl Iterator<Item = Trade> {
        let only = self.only;
        self.world
            .trades(self.asset, from, to, self.now)
            .filter(move |trade| trade.counts() && only.is_none_or(|only| only == trade.exchange))
    }

    /// The bars of one day whose windows begin in a span.
    fn of_trades(&self, day: i64, from: i64, to: i64) -> Vec<Bar> {
        let mut bars: Vec<Bar> = Vec::new();
        let (midnight, next) = (self.asset.midnight(day), self.asset.midnight(day + 1));
        let end = if to < next {
            self.interval.window(self.asset, to - 1).1
        } else {
            next
        };
        let factor = if self.adjusted { self.asset.factor(day) } else { 1 };
        for trade in self.counted(midnight.max(from), end) {
            match bars.last_mut() {
                Some(bar) if trade.ts < bar.end => bar.extend(&Bar::of(&trade, (bar.start, bar.end))),
                _ => bars.push(Bar::of(&trade, self.interval.window(self.asset, trade.ts))),
            }
        }
        bars.into_iter().map(|bar| bar.adjusted(factor)).collect()
    }

    /// One bar of whole days.
    fn of_days(&self, first: i64, next: i64) -> Option<Bar> {
        let mut whole: Option<Bar> = None;
        for day in (first..next).filter(|day| self.asset.open_span(*day).is_some()) {
            if self.asset.midnight(day) > self.now {
                break;
            }
            let Some(bar) = self.day(day) else { continue };
            let bar = bar.adjusted(if self.adjusted { self.asset.factor(day) } else { 1 });
            match &mut whole {
                Some(whole) => whole.extend(&bar),
                None => whole = Some(bar),
            }
        }
        let span = (self.asset.midnight(first), self.asset.midnight(next));
        whole.map(|bar| Bar {
            start: span.0,
            end: span.1,
            ..bar
        })
    }

    /// The bar of one day, as printed. Those of days that are over are kept: years of them are asked for often.
    fn day(&self, day: i64) -> Option<Bar> {
        type Key = (u64, u64, usize, Option<char>, i64);
        static KEPT: LazyLock<Mutex<HashMap<Key, Option<Bar>>>> = LazyLock::new(Mutex::default);
        const KEPT_MAX: usize = 200_000;
        let key = (
            self.world.seed,
            self.world.density.to_bits(),
            self.asset.index(),
            self.only,
            day,
        );
        let is_over = self.now >= self.asset.midnight(day + 1) + AMENDED_AFTER_NS;
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if is_over && let Some(bar) = kept().get(&key) {
            return *bar;
        }
        let span = (self.asset.midnight(day), self.asset.midnight(day + 1));
        let bar = self
            .counted(span.0, span.1)
            .map(|trade| Bar::of(&trade, span))
            .reduce(|mut bar, later| {
                bar.extend(&later);
                bar
            });
        if is_over {
            let mut kept = kept();
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            kept.insert(key, bar);
        }
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::DAY_NS;
    use super::super::world::ASSETS;
    use super::*;
    use proptest::prelude::*;

    const LATER: i64 = i64::MAX / 2;

    fn bars(symbol: &str, count: i64, unit: Unit) -> Bars {
        Bars {
            world: World {
                seed: 7,
                density: 1.0,
            },
            asset: Asset::find(symbol).unwrap(),
            interval: Interval { count, unit },
            adjusted: false,
            only: None,
            now: LATER,
        }
    }

    fn at(year: i64, month: u32, date: u32) -> i64 {
        days_of(year, month, date) * DAY_NS
    }

    #[test]
    fn a_day_is_the_sum_of_its_minutes_and_of_its_trades() {
        let (from, to) = (at(2024, 3, 4), at(2024, 3, 9));
        let minutes: Vec<Bar> = bars("AAPL", 1, Unit::Minute).starting(from, to).collect();
        let all: Vec<Bar> = bars("AAPL", 1, Unit::Day).starting(from, to).collect();
        assert_eq!(all.len(), 5);
        for day in all {
            let within = minutes.iter().filter(|m| (day.start..day.end).contains(&m.start));
            let sum = within.copied().reduce(|mut a, b| {
                a.extend(&b);
                a
            });
            assert_eq!(
                sum.map(|sum| Bar {
                    start: day.start,
                    end: day.end,
                    ..sum
                }),
                Some(day)
            );
            assert_eq!(day.start.rem_euclid(DAY_NS), 5 * HOUR_NS, "midnight in New York");
        }
    }

    #[test]
    fn windows_follow_the_calendar() {
        let starts = |symbol, count, unit, from, to| -> Vec<i64> {
            bars(symbol, count, unit)
                .starting(from, to)
                .map(|bar| bar.start)
                .collect()
        };
        let weeks = starts("AAPL", 1, Unit::Week(0), at(2024, 3, 1), at(2024, 3, 31));
        // The week of 10 March begins an hour later in UTC terms: clocks went forward that night.
        let expect = [(3, 5), (10, 5), (17, 4), (24, 4)];
        assert_eq!(
            weeks,
            expect.map(|(date, hour)| at(2024, 3, date) + hour * HOUR_NS)
        );
        let months = starts("BTC/USD", 3, Unit::Month, at(2023, 1, 1), at(2024, 1, 1));
        assert_eq!(months, [1, 4, 7, 10].map(|month| at(2023, month, 1)));
        let hours = starts("SPY", 4, Unit::Hour, at(2024, 7, 2), at(2024, 7, 3));
        let sunday = at(2024, 3, 24) + 4 * HOUR_NS;
        assert_eq!(
            starts("AAPL", 1, Unit::Week(0), sunday, sunday + HOUR_NS),
            [sunday]
        );
        assert_eq!(hours, [8, 12, 16, 20].map(|hour| at(2024, 7, 2) + hour * HOUR_NS));
    }

    #[test]
    fn splits_are_divided_out_exactly() {
        let (from, to) = (at(2020, 8, 27), at(2020, 9, 2));
        let printed: Vec<Bar> = bars("TSLA", 1, Unit::Day).starting(from, to).collect();
        let adjusted = Bars {
            adjusted: true,
            ..bars("TSLA", 1, Unit::Day)
        };
        let adjusted: Vec<Bar> = adjusted.starting(from, to).collect();
        for (p, a) in printed.iter().zip(&adjusted) {
            let factor = if p.start < at(2020, 8, 31) { 15 } else { 3 };
            assert_eq!((p.open, p.volume), (a.open * factor, a.volume / factor));
            assert_eq!(p.turnover, a.turnover);
        }
    }

    #[test]
    fn a_running_bar_grows_and_a_late_correction_changes_a_closed_one() {
        let spy = bars("SPY", 1, Unit::Minute);
        let (from, to) = (at(2024, 7, 2) + 14 * HOUR_NS, at(2024, 7, 2) + 20 * HOUR_NS);
        let mut changed = 0;
        for last in spy.starting(from, to) {
            let then = |now| Bars { now, ..spy }.starting(last.start, last.start + 1).next();
            assert!(then(last.start + 30 * SECOND_NS).is_none_or(|bar| bar.trades <= last.trades));
            assert_eq!(then(last.end + 30 * SECOND_NS), Some(last));
            changed += usize::from(then(last.end - 1) != Some(last));
        }
        assert!((1..60).contains(&changed), "{changed}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_split_of_a_span_gives_the_same_bars_once(
            index in 0..ASSETS.len(),
            count in 1i64..50,
            unit in prop::sample::select(vec![
                Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week(1), Unit::Month,
            ]),
            begin in 1_700_000_000i64..1_710_000_000,
            parts in prop::collection::vec(1i64..20_000_000_000_000, 1..6),
        ) {
            let count = if unit == Unit::Hour { count % 23 + 1 } else { count };
            let bars = Bars { interval: Interval { count, unit }, ..bars(ASSETS[index].symbol, 1, Unit::Day) };
            let from = begin * SECOND_NS;
            let to = from + parts.iter().sum::<i64>();
            let whole: Vec<Bar> = bars.starting(from, to).collect();
            let (mut pieces, mut at) = (Vec::new(), from);
            for part in parts {
                pieces.extend(bars.starting(at, at + part));
                at += part;
            }
            prop_assert_eq!(&whole, &pieces);
            let mut back: Vec<Bar> = bars.starting(from, to).rev().collect();
            back.reverse();
            prop_assert_eq!(whole, back);
        }
    }
}
