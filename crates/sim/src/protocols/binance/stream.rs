//! Names of streams, and what they mean: one kind of stream of one symbol.

use crate::hub::Channel;
use crate::market::Market;
use crate::protocols::SECOND_NS;

/// (name, minutes; seconds for `1s`).
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
