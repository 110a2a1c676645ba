//! Made-up US stocks and crypto, as a pure function of seed, asset and time.
//!
//! Nothing is stored: each minute of each asset has a random number generator of its own, so any moment of the
//! past is made on demand, costs what its trades cost, and is the same each time. Trades come in the order in
//! which a consolidated feed would print them; bars are made of exactly those that count ([`Trade::counts`]).

use super::calendar::{DAY_NS, MINUTE_NS, SECOND_NS, Session, local_day, session, utc_ns};
use crate::number::days_of;
use crate::random::{Random, mix, stream};

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
    anchor: i64,
    /// Relative deviation of the price in a day.
    volatility: f64,
    /// Trades in a minute of ordinary trading.
    activity: f64,
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

/// The first moment of all, 2005-01-01 UTC.
pub const BEGIN_NS: i64 = 12_784 * DAY_NS;

/// Trades of one minute have numbers below this.
pub const PER_MINUTE: u64 = 4_096;
/// How long after a trade it is corrected or cancelled.
pub const AMENDED_AFTER_NS: i64 = 8 * SECOND_NS;
/// From a trade at the exchange to its print on the consolidated feed, at most.
const LAG_NS: i64 = 900_000;
/// From a quote to the trade that hits it.
const QUOTE_LEAD_NS: i64 = 50_000;

/// What the consolidated feed says of a trade beside its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Fewer than 100 shares: "I". Does not count in bars.
    pub odd_lot: bool,
    /// Outside regular hours: "T" (Form T). Counts.
    pub extended: bool,
    /// Reported late, out of sequence: "Z", which may set a high or a low but never an open or a close, and
    /// so comes between two others of its moment here; in extended hours "U", which does not count in bars.
    pub late: bool,
    /// Average of a day's prices: "W". Does not count in bars.
    pub average: bool,
    /// Intermarket sweep: "F". Counts.
    pub sweep: bool,
}

/// What became of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    #[default]
    Valid,
    /// Taken back [`AMENDED_AFTER_NS`] later. Does not count any more.
    Cancelled,
    /// Replaced by the next row [`AMENDED_AFTER_NS`] later. Does not count any more.
    Incorrect,
    /// What replaces the row before it; seen only from then on.
    Correction,
}

/// One trade. Times are UTC ns, prices and sizes mantissas at the asset's scales, as printed on that day
/// (before a split not yet divided by it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Unique in its asset, ascending in the order of the rows, with holes.
    pub number: u64,
    /// Printed by the consolidated feed: ascending, sometimes the same for several. The row's time.
    pub ts: i64,
    /// Made at the exchange, less than a millisecond before; of a late one seconds before.
    pub ts_made: i64,
    pub price: i64,
    pub size: i64,
    /// Letter of one of [`EXCHANGES`]; a space for crypto.
    pub exchange: char,
    pub conditions: Conditions,
    pub mark: Mark,
    pub is_buy: bool,
    /// The best bid and ask when it was made, in lots of their own.
    pub bid: i64,
    pub bid_size: i64,
    pub ask: i64,
    pub ask_size: i64,
}

impl Trade {
    /// Whether bars are made of it, prices and volume alike.
    pub fn counts(&self) -> bool {
        let Conditions {
            odd_lot,
            extended,
            late,
            average,
            ..
        } = self.conditions;
        let is_final = matches!(self.mark, Mark::Valid | Mark::Correction);
        is_final && !(odd_lot || average || late && extended)
    }

    /// Its id where ids are text: digits, with letters off the exchanges.
    pub fn text_id(&self) -> String {
        if self.exchange == OFF_EXCHANGE {
            format!("D{:X}", self.number)
        } else {
            self.number.to_string()
        }
    }

    /// What is known of it at a moment; `None` when there is nothing yet.
    fn seen_at(mut self, now_ns: i64) -> Option<Self> {
        let is_amended = self.ts + AMENDED_AFTER_NS <= now_ns;
        match self.mark {
            _ if self.ts > now_ns => return None,
            Mark::Correction if !is_amended => return None,
            Mark::Cancelled | Mark::Incorrect if !is_amended => self.mark = Mark::Valid,
            _ => {}
        }
        Some(self)
    }
}

/// The best bid and ask of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub number: u64,
    pub ts: i64,
    pub bid: i64,
    pub bid_size: i64,
    pub ask: i64,
    pub ask_size: i64,
    pub bid_exchange: char,
    pub ask_exchange: char,
}

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

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub seed: u64,
    /// Trades as a multiple of the usual number.
    pub density: f64,
}

impl World {
    /// Trades printed from `from` up to, not including, `to`, as they are known at `now`.
    pub fn trades(
        self,
        asset: &'static Asset,
        from: i64,
        to: i64,
        now: i64,
    ) -> impl DoubleEndedIterator<Item = Trade> {
        let to = to.min(now.saturating_add(1));
        minutes(asset, from, to)
            .flat_map(move |minute| self.minute(asset, minute))
            .filter(move |trade| (from..to).contains(&trade.ts))
            .filter_map(move |trade| trade.seen_at(now))
    }

    /// Changes of the best bid and ask in the same span.
    pub fn quotes(
        self,
        asset: &'static Asset,
        from: i64,
        to: i64,
        now: i64,
    ) -> impl DoubleEndedIterator<Item = Quote> {
        let to = to.min(now.saturating_add(1));
        minutes(asset, from, to)
            .flat_map(move |minute| quotes_of(&self.minute(asset, minute)))
            .filter(move |quote| (from..to).contains(&quote.ts))
    }

    /// The path's price at the begin of a minute, in ticks: noise of ten wavelengths from a quarter of an
    /// hour to years, each as strong as a random walk would be over its length.
    fn level(asset: &Asset, key: u64, minute: i64) -> f64 {
        let mut sum = 0.0;
        let mut period = 15;
        for octave in 0..10u64 {
            let lattice = minute.div_euclid(period);
            let along = minute.rem_euclid(period) as f64 / period as f64;
            let knot = |at: i64| {
                let bits = mix(key ^ mix((octave << 48) ^ at as u64));
                (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            };
            let noise = knot(lattice) * (1.0 - along) + knot(lattice + 1) * along;
            sum += noise * asset.volatility * (period as f64 / 1_440.0).sqrt();
            period *= 4;
        }
        // Never below zero, however deep the sum goes.
        let factor = if sum >= 0.0 { 1.0 + sum } else { 1.0 / (1.0 - sum) };
        asset.anchor as f64 / asset.tick as f64 * factor
    }

    /// All rows of a minute, at the end of all time.
    fn minute(self, asset: &'static Asset, minute: Minute) -> Vec<Trade> {
        let Minute {
            index: minute,
            day,
            extended,
        } = minute;
        let begin = minute * MINUTE_NS;
        let key = stream(self.seed, asset.symbol);
        let mut random = Random::new(key ^ mix(minute as u64));
        let busy = if extended { 0.1 } else { 1.0 } * (0.4 + 1.2 * random.unit());
        let mean = (asset.activity * self.density * busy).min(PER_MINUTE as f64 / 2.0);
        let count = mean as usize + usize::from(random.chance(mean.fract()));
        if count == 0 {
            return Vec::new();
        }
        let mut times: Vec<i64> = (0..count)
            .map(|_| 1_000_000 + random.below((MINUTE_NS - 2_000_000) as u64) as i64)
            .collect();
        times.sort_unstable();
        let path = Path {
            asset,
            begin,
            from: Self::level(asset, key, minute),
            to: Self::level(asset, key, minute + 1),
            factor: asset.factor(day),
            extended,
        };
        let mut rows: Vec<Trade> = Vec::with_capacity(count + 2);
        for at in times {
            // A sweep: several prints at one moment.
            let ts = match rows.last() {
                Some(last) if random.chance(0.04) => last.ts,
                _ => begin + at,
            };
            path.print(&mut random, ts, &mut rows);
        }
        for (index, row) in rows.iter_mut().enumerate() {
            row.number = minute as u64 * PER_MINUTE + index as u64;
        }
        rows
    }
}

/// The price within a minute.
struct Path {
    asset: &'static Asset,
    begin: i64,
    /// Ticks at its begin and end.
    from: f64,
    to: f64,
    factor: i64,
    extended: bool,
}

impl Path {
    /// Adds a trade, and its correction where it needs one.
    fn print(&self, random: &mut Random, ts: i64, rows: &mut Vec<Trade>) {
        let asset = self.asset;
        let along = (ts - self.begin) as f64 / MINUTE_NS as f64;
        let middle = self.from + (self.to - self.from) * along;
        let wiggle = (middle * asset.volatility / 200.0).max(0.7) * random.normal();
        let bid_ticks = ((middle + wiggle) as i64).max(1);
        let unit = asset.tick * self.factor;
        let (bid, ask) = (bid_ticks * unit, (bid_ticks + 1 + random.below(2) as i64) * unit);
        let is_stock = asset.class != Class::Crypto;
        let exchange = if is_stock {
            EXCHANGES[random.below(EXCHANGES.len() as u64) as usize].0
        } else {
            ' '
        };
        let is_buy = random.chance(0.5);
        let mut trade = Trade {
            number: 0,
            ts,
            ts_made: ts - LAG_NS / 3 - random.below(LAG_NS as u64 / 2) as i64,
            price: match exchange {
                OFF_EXCHANGE => (bid + ask) / 2,
                _ if is_buy => ask,
                _ => bid,
            },
            size: self.size(random),
            exchange,
            conditions: Conditions::default(),
            mark: Mark::Valid,
            is_buy,
            bid,
            bid_size: self.size(random),
            ask,
            ask_size: self.size(random),
        };
        if is_stock {
            trade.conditions = Conditions {
                odd_lot: trade.size < 100,
                extended: self.extended,
                late: random.chance(0.02),
                average: random.chance(0.01),
                sweep: random.chance(0.2),
            };
            let Conditions { late, average, .. } = trade.conditions;
            if late && !self.extended {
                let around = Conditions {
                    late: false,
                    average: false,
                    odd_lot: false,
                    ..trade.conditions
                };
                let around = Trade {
                    size: 100,
                    conditions: around,
                    ..trade
                };
                rows.push(around);
                rows.push(Trade {
                    conditions: Conditions {
                        average: false,
                        ..trade.conditions
                    },
                    ..self.late(trade, random)
                });
                rows.push(around);
                return;
            }
            if late || average {
                trade = self.late(trade, random);
            }
            let fate = random.unit();
            if fate < 0.01 && !trade.conditions.odd_lot && !late && !average {
                let right = trade;
                trade.price += (trade.price / 20 / unit).max(5) * unit;
                trade.mark = Mark::Cancelled;
                if fate < 0.005 {
                    trade.mark = Mark::Incorrect;
                    rows.push(trade);
                    trade = Trade {
                        mark: Mark::Correction,
                        ..right
                    };
                }
            }
        }
        rows.push(trade);
    }

    /// The trade as one that is some seconds old, at a price that shows in a bar which takes it.
    fn late(&self, mut trade: Trade, random: &mut Random) -> Trade {
        let unit = self.asset.tick * self.factor;
        let off = (trade.price / 100 / unit).max(3) * unit;
        trade.ts_made -= 5 * SECOND_NS + random.below(20_000_000_000) as i64;
        trade.price = if trade.is_buy {
            trade.price + off
        } else {
            (trade.price - off).max(unit)
        };
        trade
    }

    fn size(&self, random: &mut Random) -> i64 {
        if self.asset.class == Class::Crypto {
            // About a thousand dollars' worth, to eight decimals.
            let around = 1_000.0 * 1e16 / (self.asset.anchor as f64);
            1 + (around * (0.02 + 2.0 * random.unit() * random.unit())) as i64
        } else if random.chance(0.3) {
            1 + random.below(99) as i64
        } else {
            100 * (1 + random.below(3) as i64 * random.below(3) as i64)
        }
    }
}

/// One quote before each moment with trades.
fn quotes_of(rows: &[Trade]) -> Vec<Quote> {
    let mut quotes: Vec<Quote> = Vec::with_capacity(rows.len());
    for row in rows {
        let ts = row.ts - QUOTE_LEAD_NS;
        if quotes.last().is_some_and(|last| last.ts == ts) {
            continue;
        }
        let place = |n: u64| EXCHANGES[(mix(row.number ^ n) % 5) as usize].0;
        quotes.push(Quote {
            number: row.number,
            ts,
            bid: row.bid,
            bid_size: row.bid_size,
            ask: row.ask,
            ask_size: row.ask_size,
            bid_exchange: place(1 << 60),
            ask_exchange: place(1 << 61),
        });
    }
    quotes
}

/// Days with trades that a span touches.
pub fn days(asset: &'static Asset, from: i64, to: i64) -> impl DoubleEndedIterator<Item = i64> {
    let from = from.max(BEGIN_NS);
    let end = if from < to {
        asset.day(to - 1) + 1
    } else {
        i64::MIN
    };
    (asset.day(from)..end).filter(move |day| asset.open_span(*day).is_some())
}

/// A minute in which there may be trades.
#[derive(Clone, Copy, Debug)]
struct Minute {
    /// Since the epoch.
    index: i64,
    /// The day it belongs to.
    day: i64,
    /// Of a stock's day, but not of its regular hours.
    extended: bool,
}

/// Those that a span touches.
fn minutes(asset: &'static Asset, from: i64, to: i64) -> impl DoubleEndedIterator<Item = Minute> {
    days(asset, from, to).flat_map(move |day| {
        let (open, end) = asset.open_span(day).unwrap_or_default();
        let first = from.max(BEGIN_NS).max(open).div_euclid(MINUTE_NS);
        let last = to.min(end).saturating_sub(1).div_euclid(MINUTE_NS);
        let session: Option<Session> = session(day).filter(|_| asset.class == Class::Stock);
        (first..last + 1).map(move |index| Minute {
            index,
            day,
            extended: session.is_some_and(|session| !session.is_regular(index * MINUTE_NS)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORLD: World = World {
        seed: 7,
        density: 1.0,
    };
    const LATER: i64 = i64::MAX / 2;

    fn day_of(symbol: &str, year: i64, month: u32, date: u32) -> Vec<Trade> {
        let asset = Asset::find(symbol).unwrap();
        let day = days_of(year, month, date);
        WORLD
            .trades(asset, asset.midnight(day), asset.midnight(day + 1), LATER)
            .collect()
    }

    #[test]
    fn a_day_has_its_session_and_every_kind_of_trade() {
        let rows = day_of("AAPL", 2024, 7, 2);
        let session = session(days_of(2024, 7, 2)).unwrap();
        assert!((1_500..4_000).contains(&rows.len()), "{}", rows.len());
        assert!(rows.iter().all(|t| (session.pre..session.end).contains(&t.ts)));
        assert!(
            rows.iter()
                .all(|t| t.conditions.extended != session.is_regular(t.ts))
        );
        assert!(rows.is_sorted_by(|a, b| a.ts <= b.ts && a.number < b.number));
        assert!(rows.windows(2).any(|w| w[0].ts == w[1].ts), "some share a moment");
        assert!(
            rows.iter()
                .all(|t| t.ts_made < t.ts && t.price > 0 && t.size > 0 && t.bid < t.ask)
        );
        for kind in [
            |t: &Trade| t.conditions.odd_lot,
            |t: &Trade| t.conditions.late && t.counts(),
            |t: &Trade| t.conditions.late && !t.counts(),
            |t: &Trade| t.conditions.average,
            |t: &Trade| t.conditions.sweep,
            |t: &Trade| t.mark == Mark::Cancelled,
            |t: &Trade| t.mark == Mark::Incorrect,
            |t: &Trade| t.price % 100 != 0,
        ] {
            assert!(rows.iter().any(kind));
        }
        for pair in rows.windows(2) {
            assert_eq!(pair[0].mark == Mark::Incorrect, pair[1].mark == Mark::Correction);
        }
        for three in rows.windows(3) {
            let late = three[1].conditions.late && !three[1].conditions.extended;
            assert!(
                !late || three.iter().all(|t| t.ts == three[1].ts),
                "neither first nor last"
            );
        }
        assert!(day_of("AAPL", 2024, 7, 4).is_empty() && day_of("AAPL", 2024, 7, 6).is_empty());
        assert_eq!(day_of("AAPL", 2024, 7, 2), rows);
        assert_eq!(
            day_of("BTC/USD", 2024, 7, 6)
                .iter()
                .filter(|t| !t.counts())
                .count(),
            0
        );
    }

    #[test]
    fn a_split_divides_the_price_and_nothing_else_does() {
        let mean = |rows: Vec<Trade>| rows.iter().map(|t| t.price).sum::<i64>() / rows.len() as i64;
        let (before, after) = (
            mean(day_of("AAPL", 2020, 8, 28)),
            mean(day_of("AAPL", 2020, 8, 31)),
        );
        assert!((3 * after..5 * after).contains(&before), "{before} {after}");
        let moved = mean(day_of("MSFT", 2020, 8, 28)) as f64 / mean(day_of("MSFT", 2020, 8, 31)) as f64;
        assert!((0.8..1.25).contains(&moved), "{moved}");
    }

    #[test]
    fn an_amended_trade_is_first_seen_as_it_was() {
        let asset = Asset::find("SPY").unwrap();
        let rows = day_of("SPY", 2024, 7, 2);
        let wrong = rows.iter().position(|t| t.mark == Mark::Incorrect).unwrap();
        let (wrong, right) = (rows[wrong], rows[wrong + 1]);
        let at = |now| {
            WORLD
                .trades(asset, wrong.ts, wrong.ts + 1, now)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(wrong.ts - 1), []);
        let first = at(wrong.ts + AMENDED_AFTER_NS - 1);
        assert!(
            first.contains(&Trade {
                mark: Mark::Valid,
                ..wrong
            }) && !first.contains(&right)
        );
        let then = at(wrong.ts + AMENDED_AFTER_NS);
        assert!(then.contains(&wrong) && then.contains(&right));
    }

    #[test]
    fn a_year_of_everything_is_quick() {
        let begun = std::time::Instant::now();
        let (from, to) = (days_of(2023, 1, 1) * DAY_NS, days_of(2024, 1, 1) * DAY_NS);
        let rows: usize = ["AAPL", "BTC/USD", "DIME"]
            .iter()
            .map(|symbol| {
                WORLD
                    .trades(Asset::find(symbol).unwrap(), from, to, LATER)
                    .count()
            })
            .sum();
        println!("{rows} trades in {:?}", begun.elapsed());
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_split_of_a_span_gives_the_same_rows_once(
            index in 0..ASSETS.len(),
            begin in 1_700_000_000i64..1_710_000_000,
            parts in prop::collection::vec(1i64..20_000_000_000_000, 1..6),
        ) {
            let asset = &ASSETS[index];
            let from = begin * SECOND_NS;
            let to = from + parts.iter().sum::<i64>();
            let whole: Vec<Trade> = WORLD.trades(asset, from, to, LATER).collect();
            let (mut pieces, mut at) = (Vec::new(), from);
            for part in parts {
                pieces.extend(WORLD.trades(asset, at, at + part, LATER));
                at += part;
            }
            prop_assert_eq!(&whole, &pieces);
            let mut back: Vec<Trade> = WORLD.trades(asset, from, to, LATER).rev().collect();
            back.reverse();
            prop_assert_eq!(whole, back);
        }
    }
}
