//! The stocks and coins of the made-up world, and where and when each is traded.

use super::calendar::{DAY_NS, local_day, session, utc_ns};
use crate::number::days_of;

/// What kind of thing is traded, which decides when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// From 04:00 to 20:00 in New York on days of the exchange's calendar.
    Stock,
    /// Always; a day is one of UTC.
    Crypto,
    /// Alpaca's test symbol: a stock that trades always.
    Test,
}

/// One thing that is traded.
#[derive(Debug)]
pub struct Asset {
    /// `AAPL`, `BTC/USD`.
    pub symbol: &'static str,
    pub name: &'static str,
    pub class: Class,
    /// ISO 10383 code of the primary exchange.
    pub primary: &'static str,
    /// A (NYSE), B (regional) or C (Nasdaq).
    pub tape: char,
    /// Decimals of the mantissas of prices and sizes.
    pub price_scale: u8,
    pub size_scale: u8,
    /// Smallest step of a quoted price, mantissa.
    pub tick: i64,
    /// Price around which the path moves, mantissa; after all splits.
    pub anchor: i64,
    /// Relative deviation of the price in a day.
    pub volatility: f64,
    /// Trades in a minute of ordinary trading.
    pub activity: f64,
    /// Days (since 1970-01-01) from which one share is this many.
    splits: &'static [(i64, u32, u32, i64)],
    /// Paid a share in February, May, August and November, ten-thousandths of a dollar; 0 = never.
    pub dividend: i64,
}

const fn stock(
    symbol: &'static str,
    name: &'static str,
    (primary, tape): (&'static str, char),
    anchor: i64,
    activity: f64,
) -> Asset {
    Asset {
        symbol,
        name,
        class: Class::Stock,
        primary,
        tape,
        price_scale: 4,
        size_scale: 0,
        // Below a dollar prices move in hundredths of a cent.
        tick: if anchor < 10_000 { 1 } else { 100 },
        anchor,
        volatility: 0.014,
        activity,
        splits: &[],
        dividend: 0,
    }
}

const fn crypto(symbol: &'static str, name: &'static str, tick: i64, anchor: i64, activity: f64) -> Asset {
    Asset {
        class: Class::Crypto,
        price_scale: 8,
        size_scale: 8,
        tick,
        volatility: 0.03,
        ..stock(symbol, name, ("", ' '), anchor, activity)
    }
}

const NASDAQ: (&str, char) = ("XNAS", 'C');
const NYSE: (&str, char) = ("XNYS", 'A');
const ARCA: (&str, char) = ("ARCX", 'B');

/// Everything there is, in the order of its symbols.
pub static ASSETS: [Asset; 12] = [
    Asset {
        splits: &[(2020, 8, 31, 4), (2014, 6, 9, 7)],
        dividend: 2_400,
        ..stock("AAPL", "Apple Inc.", NASDAQ, 1_900_000, 6.0)
    },
    stock("BRK.B", "Berkshire Hathaway Inc. Class B", NYSE, 4_300_000, 2.0),
    crypto("BTC/USD", "Bitcoin", 1_000_000, 6_400_000_000_000, 3.0),
    // A stock below a dollar, with four decimals: it exists nowhere.
    stock("DIME", "Dime Mountain Mining Corp", ("XASE", 'B'), 4_300, 1.0),
    crypto("DOGE/USD", "Dogecoin", 1_000, 16_000_000, 2.0),
    crypto("ETH/USD", "Ethereum", 1_000_000, 330_000_000_000, 2.0),
    stock("F", "Ford Motor Company", NYSE, 120_000, 4.0),
    Asset {
        class: Class::Test,
        ..stock(
            "FAKEPACA",
            "Test symbol, always open",
            ("XTST", 'N'),
            1_330_000,
            30.0,
        )
    },
    Asset {
        dividend: 6_800,
        ..stock("JPM", "JPMorgan Chase & Co.", NYSE, 2_000_000, 4.0)
    },
    Asset {
        dividend: 7_500,
        ..stock("MSFT", "Microsoft Corporation", NASDAQ, 4_100_000, 4.0)
    },
    Asset {
        dividend: 17_000,
        ..stock("SPY", "SPDR S&P 500 ETF Trust", ARCA, 5_200_000, 8.0)
    },
    Asset {
        splits: &[(2022, 8, 25, 3), (2020, 8, 31, 5)],
        ..stock("TSLA", "Tesla, Inc.", NASDAQ, 2_400_000, 6.0)
    },
];

/// Where stocks trade: Alpaca's letter, Polygon's number, name, ISO 10383 code.
pub const EXCHANGES: [(char, u8, &str, &str); 6] = [
    ('N', 10, "New York Stock Exchange", "XNYS"),
    ('P', 11, "NYSE Arca, Inc.", "ARCX"),
    ('Q', 12, "Nasdaq", "XNAS"),
    ('V', 15, "Investors Exchange", "IEXG"),
    ('Z', 19, "Cboe BZX", "BATS"),
    (OFF_EXCHANGE, 4, "FINRA Alternative Display Facility", "XADF"),
];
/// Trades that dealers report instead of an exchange: between bid and ask, with parts of a cent.
pub const OFF_EXCHANGE: char = 'D';

impl Asset {
    pub fn find(symbol: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.symbol == symbol)
    }

    pub fn index(&self) -> usize {
        ASSETS
            .iter()
            .position(|asset| asset.symbol == self.symbol)
            .unwrap_or(0)
    }

    /// The day (since 1970-01-01) a moment belongs to: New York's for stocks, UTC's otherwise.
    pub fn day(&self, ns: i64) -> i64 {
        match self.class {
            Class::Crypto => ns.div_euclid(DAY_NS),
            Class::Stock | Class::Test => local_day(ns),
        }
    }

    /// The first moment of a day.
    pub fn midnight(&self, day: i64) -> i64 {
        match self.class {
            Class::Crypto => day * DAY_NS,
            Class::Stock | Class::Test => utc_ns(day, 0),
        }
    }

    /// The span of a day in which there are trades.
    pub fn open_span(&self, day: i64) -> Option<(i64, i64)> {
        match self.class {
            Class::Stock => session(day).map(|s| (s.pre, s.end)),
            Class::Crypto | Class::Test => Some((self.midnight(day), self.midnight(day + 1))),
        }
    }

    /// Days (since 1970-01-01) and ratios of its splits, newest first.
    pub fn splits(&self) -> impl Iterator<Item = (i64, i64)> {
        self.splits
            .iter()
            .map(|(year, month, date, ratio)| (days_of(*year, *month, *date), *ratio))
    }

    /// How many of today's shares one share of that day is.
    pub fn factor(&self, day: i64) -> i64 {
        self.splits()
            .filter(|(from, _)| day < *from)
            .map(|(_, ratio)| ratio)
            .product()
    }
}
