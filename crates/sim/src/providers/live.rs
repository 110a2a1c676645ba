//! What happens on a stream in a span of time: the same trades that history has, as they were seen then.

use super::bar::{Bar, Bars, Interval, Unit};
use super::calendar::{MINUTE_NS, SECOND_NS};
use super::world::{AMENDED_AFTER_NS, Asset, Mark, Quote, Trade, World};

/// A minute's bar is told again this long after its end where a trade of it was amended.
pub const UPDATE_AFTER_NS: i64 = 30 * SECOND_NS;

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Trade(Trade),
    Quote(Quote),
    /// The trade does not count any more.
    Cancel(Trade),
    /// The first is replaced by the second.
    Correct(Trade, Trade),
    Second(Bar),
    Minute(Bar),
    /// The minute's bar once more, because it changed.
    Update(Bar),
    /// The running bar of the day.
    Day(Bar),
}

/// Which events are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub trades: bool,
    pub quotes: bool,
    pub seconds: bool,
    pub minutes: bool,
    /// Trades of one exchange only, and bars of them.
    pub only: Option<char>,
}

/// What is printed after `from` up to and including `to`, in the order of its time.
pub fn events(world: World, asset: &'static Asset, from: i64, to: i64, wanted: Wanted) -> Vec<(i64, Event)> {
    let (from, to) = (from + 1, to + 1);
    let mut events = Vec::new();
    let ever = i64::MAX / 2;
    let is_wanted = |trade: &Trade| wanted.only.is_none_or(|only| only == trade.exchange);
    if wanted.trades {
        for trade in world.trades(asset, from, to, ever) {
            if trade.mark != Mark::Correction && is_wanted(&trade) {
                events.push((
                    trade.ts,
                    Event::Trade(Trade {
                        mark: Mark::Valid,
                        ..trade
                    }),
                ));
            }
        }
        let mut wrong = None;
        for trade in world.trades(asset, from - AMENDED_AFTER_NS, to - AMENDED_AFTER_NS, ever) {
            let at = trade.ts + AMENDED_AFTER_NS;
            if !is_wanted(&trade) {
                continue;
            }
            match (trade.mark, wrong.take()) {
                (Mark::Incorrect, _) => wrong = Some(trade),
                (Mark::Cancelled, _) => events.push((at, Event::Cancel(trade))),
                (Mark::Correction, Some(wrong)) => events.push((at, Event::Correct(wrong, trade))),
                _ => {}
            }
        }
    }
    if wanted.quotes {
        events.extend(
            world
                .quotes(asset, from, to, ever)
                .map(|quote| (quote.ts, Event::Quote(quote))),
        );
    }
    let bar = |unit, count, start: i64, now| {
        let interval = Interval { count, unit };
        let bars = Bars {
            world,
            asset,
            interval,
            adjusted: false,
            only: wanted.only,
            now,
        };
        bars.starting(start, start + 1).next()
    };
    if wanted.seconds {
        for end in ends(from, to, SECOND_NS) {
            events
                .extend(bar(Unit::Second, 1, end - SECOND_NS, end - 1).map(|bar| (end, Event::Second(bar))));
        }
    }
    if wanted.minutes {
        for end in ends(from, to, MINUTE_NS) {
            if let Some(minute) = bar(Unit::Minute, 1, end - MINUTE_NS, end - 1) {
                let midnight = asset.midnight(asset.day(end - 1));
                events.push((end, Event::Minute(minute)));
                events.extend(bar(Unit::Day, 1, midnight, end - 1).map(|day| (end, Event::Day(day))));
            }
        }
        for end in ends(from - UPDATE_AFTER_NS, to - UPDATE_AFTER_NS, MINUTE_NS) {
            let (start, at) = (end - MINUTE_NS, end + UPDATE_AFTER_NS);
            let then = bar(Unit::Minute, 1, start, at);
            if then != bar(Unit::Minute, 1, start, end - 1) {
                events.extend(then.map(|bar| (at, Event::Update(bar))));
            }
        }
    }
    events.sort_by_key(|(ts, _)| *ts);
    events
}

/// Ends of windows that fall into a span.
fn ends(from: i64, to: i64, length: i64) -> impl Iterator<Item = i64> {
    let first = from + (-from).rem_euclid(length);
    (first..to).step_by(length as usize)
}

#[cfg(test)]
mod tests {
    use super::super::calendar::{DAY_NS, HOUR_NS};
    use super::*;
    use crate::number::days_of;

    #[test]
    fn a_stream_tells_in_pieces_what_it_tells_at_once_and_history_knows() {
        let world = World {
            seed: 7,
            density: 5.0,
        };
        let asset = Asset::find("SPY").unwrap();
        let from = days_of(2024, 7, 2) * DAY_NS + 14 * HOUR_NS;
        let to = from + 40 * MINUTE_NS;
        let wanted = Wanted {
            trades: true,
            quotes: true,
            seconds: true,
            minutes: true,
            only: None,
        };
        let whole = events(world, asset, from, to, wanted);
        let mut pieces = Vec::new();
        let mut at = from;
        while at < to {
            let next = (at + 7_700_000_000).min(to);
            pieces.extend(events(world, asset, at, next, wanted));
            at = next;
        }
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        let count = |wanted: fn(&Event) -> bool| whole.iter().filter(|(_, event)| wanted(event)).count();
        assert_eq!(count(|e| matches!(e, Event::Minute(_))), 40);
        assert!(count(|e| matches!(e, Event::Update(_))) > 0);
        assert!(count(|e| matches!(e, Event::Cancel(_))) > 0);
        assert!(count(|e| matches!(e, Event::Correct(..))) > 0);
        let told = count(|e| matches!(e, Event::Trade(_)));
        let known = world.trades(asset, from + 1, to + 1, i64::MAX / 2);
        assert_eq!(told, known.filter(|t| t.mark != Mark::Correction).count());
    }
}
