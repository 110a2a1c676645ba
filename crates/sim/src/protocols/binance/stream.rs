//! Names of streams, and what they mean: one kind of stream of one symbol.

use crate::hub::Channel;
use crate::market::Market;
use crate::number::{civil, days_of};
use crate::protocols::SECOND_NS;

/// (name, minutes; seconds for `1s`, about as many for `1M`).
pub(super) const INTERVALS: [(&str, i64); 16] = [
    ("1s", 0),
    ("1m", 1),
    ("3m", 3),
    ("5m", 5),
    ("15m", 15),
    ("30m", 30),
    ("1h", 60),
    ("2h", 120),
    ("4h", 240),
    ("6h", 360),
    ("8h", 480),
    ("12h", 720),
    ("1d", 1_440),
    ("3d", 4_320),
    ("1w", 10_080),
    ("1M", 43_200),
];

pub(super) const DAY_NS: i64 = 86_400 * SECOND_NS;
/// The first Monday of the epoch.
const MONDAY_NS: i64 = 4 * DAY_NS;

/// One kind of stream of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Trade,
    AggTrade,
    /// Diffs each 100 ms, or each second.
    Diff {
        fast: bool,
    },
    /// The best levels each 100 ms, or each second.
    Partial {
        levels: usize,
        fast: bool,
    },
    BookTicker,
    /// Position in [`INTERVALS`].
    Kline(usize),
    MiniTicker,
    Ticker,
    AvgPrice,
}

pub(super) fn channel_of(kind: Kind) -> Channel {
    match kind {
        Kind::Trade | Kind::AggTrade => Channel::Trades,
        Kind::Diff { .. } | Kind::Partial { .. } => Channel::Book,
        Kind::Kline(_) => Channel::Bars,
        Kind::BookTicker | Kind::MiniTicker | Kind::Ticker | Kind::AvgPrice => Channel::Quotes,
    }
}

/// What a stream name means. Symbols are in lower case here; other spellings mean nothing.
pub(super) fn stream(market: &Market, name: &str) -> Option<(usize, Kind)> {
    let (symbol, rest) = name.split_once('@')?;
    let index = market
        .instruments
        .iter()
        .position(|i| i.spec.symbol.to_ascii_lowercase() == symbol)?;
    let (topic, speed) = rest.split_once('@').unwrap_or((rest, ""));
    let fast = match speed {
        "" | "1000ms" => false,
        "100ms" => true,
        _ => return None,
    };
    let kind = match topic {
        "trade" => Kind::Trade,
        "aggTrade" => Kind::AggTrade,
        "bookTicker" => Kind::BookTicker,
        "miniTicker" => Kind::MiniTicker,
        "ticker" => Kind::Ticker,
        "avgPrice" => Kind::AvgPrice,
        "depth" => Kind::Diff { fast },
        "depth5" => Kind::Partial { levels: 5, fast },
        "depth10" => Kind::Partial { levels: 10, fast },
        "depth20" => Kind::Partial { levels: 20, fast },
        _ => {
            let interval = topic.strip_prefix("kline_")?;
            Kind::Kline(INTERVALS.iter().position(|(name, _)| *name == interval)?)
        }
    };
    Some((index, kind))
}

pub(super) fn interval_ns(at: usize) -> i64 {
    match INTERVALS[at].1 {
        0 => SECOND_NS,
        minutes => minutes * 60 * SECOND_NS,
    }
}

/// Where the bar begins that a time falls into: weeks on Mondays, months on their first.
pub(super) fn bar_start(at: usize, ns: i64) -> i64 {
    match INTERVALS[at].0 {
        "1M" => {
            let (year, month, _) = civil(ns.div_euclid(DAY_NS));
            days_of(year, month, 1) * DAY_NS
        }
        "1w" => ns - (ns - MONDAY_NS).rem_euclid(interval_ns(at)),
        _ => ns - ns.rem_euclid(interval_ns(at)),
    }
}

/// Where the bar after one begins.
pub(super) fn bar_end(at: usize, start_ns: i64) -> i64 {
    match INTERVALS[at].0 {
        // No month is longer, and no two are shorter.
        "1M" => bar_start(at, start_ns.saturating_add(31 * DAY_NS)),
        _ => start_ns.saturating_add(interval_ns(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse_time;

    #[test]
    fn weeks_begin_on_mondays_and_months_on_their_first() {
        for (name, time, start, end) in [
            (
                "1w",
                "2026-11-29T16:30:00Z",
                "2026-11-23T00:00:00Z",
                "2026-11-30T00:00:00Z",
            ),
            (
                "1w",
                "2026-11-30T00:00:00Z",
                "2026-11-30T00:00:00Z",
                "2026-12-07T00:00:00Z",
            ),
            (
                "1M",
                "2026-11-29T16:30:00Z",
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
            ),
            (
                "1M",
                "2028-02-29T23:59:59Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "1M",
                "2026-12-31T00:00:00Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "1d",
                "2026-11-29T16:30:00Z",
                "2026-11-29T00:00:00Z",
                "2026-11-30T00:00:00Z",
            ),
        ] {
            let at = INTERVALS.iter().position(|(n, _)| *n == name).unwrap();
            let ns = |text| parse_time(text).unwrap();
            assert_eq!(bar_start(at, ns(time)), ns(start), "{name} of {time}");
            assert_eq!(bar_end(at, ns(start)), ns(end), "{name} of {time}");
        }
    }
}
