//! Order book of one instrument: levels by price, fed by records.

use std::collections::BTreeMap;

use wire::{Decimal, Record, Side, channel, flag, kind, status};

/// One price of one side, packed: a venue's book has up to some ten thousand of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    /// Mantissa as printed when the level was last set; `1.10` and `1.1` are the same level.
    price: i64,
    /// Mantissa.
    size: i64,
    /// Venue time of the last change, nanoseconds.
    ts_event: i64,
    price_scale: u8,
    size_scale: u8,
}

impl Level {
    fn price(&self) -> Decimal {
        Decimal::new(self.price, self.price_scale)
    }

    fn size(&self) -> Decimal {
        Decimal::new(self.size, self.size_scale)
    }
}

/// A book and whether it may be shown.
///
/// Levels are absolute: a record sets a price, size 0 removes it. The book is [`valid`](Book::valid)
/// only after a whole snapshot, until a gap or a status says otherwise, and never while it is crossed.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Keyed by price at [`Decimal::MAX_SCALE`], so that equal prices meet whatever their digits.
    bids: BTreeMap<i128, Level>,
    asks: BTreeMap<i128, Level>,
    /// A snapshot was begun and nothing has spoilt the book since.
    sound: bool,
    /// The venue's message in progress has ended: between its records a book is neither old nor new.
    settled: bool,
}

impl Book {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one record of this book's instrument (or of the whole venue). Trades, quotes and unknown
    /// kinds change nothing.
    pub fn apply(&mut self, record: &Record) {
        match record.kind {
            kind::LEVEL => {
                self.set(record.side(), record.price(), record.size(), record.ts_event);
                self.settled = record.has(flag::LAST);
            }
            kind::CLEAR => {
                self.clear();
                self.sound = true;
                self.settled = record.has(flag::LAST);
            }
            kind::GAP if record.side() == Side::Buy && concerns_book(record) => self.sound = false,
            kind::STATUS if concerns_book(record) => match record.id {
                status::STALE | status::RECONNECTING | status::CLOSED | status::BOOK_INVALID => {
                    self.sound = false;
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Sets a level to an absolute size; size 0 removes it, and removing what is not there is normal.
    /// A side of none is ignored.
    #[inline]
    pub fn set(&mut self, side: Side, price: Decimal, size: Decimal, ts_event: i64) {
        let levels = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
            Side::None => return,
        };
        if size.is_zero() {
            levels.remove(&key(price));
        } else {
            levels.insert(
                key(price),
                Level {
                    price: price.mantissa,
                    size: size.mantissa,
                    ts_event,
                    price_scale: price.scale,
                    size_scale: size.scale,
                },
            );
        }
    }

    /// Empties the book. Whether it is valid does not change: an empty market is a valid book.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Bids, best (highest) first: price, size, venue time of the last change in nanoseconds.
    pub fn bids(&self) -> impl DoubleEndedIterator<Item = (Decimal, Decimal, i64)> + '_ {
        self.bids.values().rev().map(tuple)
    }

    /// Asks, best (lowest) first.
    pub fn asks(&self) -> impl DoubleEndedIterator<Item = (Decimal, Decimal, i64)> + '_ {
        self.asks.values().map(tuple)
    }

    pub fn best_bid(&self) -> Option<(Decimal, Decimal, i64)> {
        self.bids.last_key_value().map(|(_, level)| tuple(level))
    }

    pub fn best_ask(&self) -> Option<(Decimal, Decimal, i64)> {
        self.asks.first_key_value().map(|(_, level)| tuple(level))
    }

    /// Size at a price, if the level is there.
    pub fn size_at(&self, side: Side, price: Decimal) -> Option<Decimal> {
        let levels = match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
            Side::None => return None,
        };
        levels.get(&key(price)).map(Level::size)
    }

    /// Keeps the best `depth` levels of each side and calls `removed` for each one that goes.
    pub fn truncate_with(&mut self, depth: usize, mut removed: impl FnMut(Side, Decimal)) {
        while self.bids.len() > depth {
            if let Some((_, level)) = self.bids.pop_first() {
                removed(Side::Buy, level.price());
            }
        }
        while self.asks.len() > depth {
            if let Some((_, level)) = self.asks.pop_last() {
                removed(Side::Sell, level.price());
            }
        }
    }

    /// Keeps the best `depth` levels of each side.
    pub fn truncate(&mut self, depth: usize) {
        self.truncate_with(depth, |_, _| {});
    }

    /// The best bid is at or above the best ask: no such market exists, so something was lost.
    pub fn crossed(&self) -> bool {
        match (self.bids.last_key_value(), self.asks.first_key_value()) {
            (Some((bid, _)), Some((ask, _))) => bid >= ask,
            _ => false,
        }
    }

    /// May this book be shown as the venue's? A whole snapshot was applied, no gap or status has spoilt it
    /// since, the venue's last message is complete, and bids are below asks.
    pub fn valid(&self) -> bool {
        self.sound && self.settled && !self.crossed()
    }

    /// Number of levels of both sides.
    pub fn len(&self) -> usize {
        self.bids.len() + self.asks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// The same levels at the same sizes, by value: printed digits and times do not matter.
    pub fn same_levels(&self, other: &Book) -> bool {
        same(&self.bids, &other.bids) && same(&self.asks, &other.asks)
    }
}

fn same(one: &BTreeMap<i128, Level>, other: &BTreeMap<i128, Level>) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((price, level), (other_price, other_level))| {
                price == other_price && level.size().value_cmp(other_level.size()).is_eq()
            })
}

fn tuple(level: &Level) -> (Decimal, Decimal, i64) {
    (level.price(), level.size(), level.ts_event)
}

fn concerns_book(record: &Record) -> bool {
    matches!(record.price_scale, channel::ALL | channel::BOOK)
}

/// The price at scale 18: any i64 mantissa fits, and equal prices have one key. A scale above 18 can only
/// come from corrupt bytes; it orders wrongly and does not fail.
#[inline]
fn key(price: Decimal) -> i128 {
    const POWERS: [i64; 19] = {
        let mut powers = [1i64; 19];
        let mut i = 1;
        while i < 19 {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    let places = Decimal::MAX_SCALE - price.scale.min(Decimal::MAX_SCALE);
    i128::from(price.mantissa) * i128::from(POWERS[places as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn level(side: Side, price: &str, size: &str) -> Record {
        Record::level(7, side, decimal(price), decimal(size))
    }

    #[test]
    fn equal_prices_are_one_level_whatever_their_digits() {
        let mut book = Book::new();
        book.apply(&level(Side::Buy, "1.10", "5"));
        book.apply(&level(Side::Buy, "1.1", "7.0"));
        assert_eq!(book.len(), 1);
        assert_eq!(book.bids().next().unwrap().1, decimal("7.0"));
        book.apply(&level(Side::Buy, "1.100", "0.000"));
        assert!(book.is_empty());
    }

    #[test]
    fn sides_come_best_first() {
        let mut book = Book::new();
        for price in ["9.5", "10", "9.75"] {
            book.apply(&level(Side::Buy, price, "1"));
        }
        for price in ["11", "10.5", "10.25"] {
            book.apply(&level(Side::Sell, price, "1"));
        }
        let bids: Vec<_> = book.bids().map(|level| level.0.to_string()).collect();
        let asks: Vec<_> = book.asks().map(|level| level.0.to_string()).collect();
        assert_eq!(bids, ["10", "9.75", "9.5"]);
        assert_eq!(asks, ["10.25", "10.5", "11"]);
        assert_eq!(book.best_bid().unwrap().0, decimal("10"));
        assert_eq!(book.best_ask().unwrap().0, decimal("10.25"));
    }

    #[test]
    fn truncation_drops_the_worst_and_names_them() {
        let mut book = Book::new();
        for price in ["1", "2", "3"] {
            book.apply(&level(Side::Buy, price, "1"));
            book.apply(&level(Side::Sell, &format!("1{price}"), "1"));
        }
        let mut gone = Vec::new();
        book.truncate_with(2, |side, price| gone.push((side, price.to_string())));
        assert_eq!(gone, [(Side::Buy, "1".into()), (Side::Sell, "13".into())]);
        assert_eq!(book.len(), 4);
    }

    #[test]
    fn valid_only_after_a_whole_snapshot_and_until_spoilt() {
        let mut book = Book::new();
        book.apply(&level(Side::Buy, "1", "1").with(flag::LAST));
        assert!(!book.valid(), "deltas without a snapshot");
        book.apply(&Record::clear(7).with(flag::SNAPSHOT));
        book.apply(&level(Side::Buy, "1", "1").with(flag::SNAPSHOT));
        assert!(!book.valid(), "snapshot not complete");
        book.apply(&level(Side::Sell, "2", "1").with(flag::SNAPSHOT | flag::LAST));
        assert!(book.valid());
        book.apply(&level(Side::Buy, "2", "1").with(flag::LAST));
        assert!(book.crossed() && !book.valid(), "locked is crossed");
        book.apply(&level(Side::Buy, "2", "0").with(flag::LAST));
        assert!(book.valid());
        book.apply(&Record::gap_open(7, channel::TRADES, wire::cause::STALL, -1));
        assert!(book.valid(), "another channel's gap");
        book.apply(&Record::gap_open(7, channel::BOOK, wire::cause::CHECKSUM, -1));
        assert!(!book.valid());
        book.apply(&Record::clear(7).with(flag::SNAPSHOT | flag::LAST));
        assert!(book.valid(), "an empty snapshot is a whole one");
        book.apply(&Record::status(0, channel::ALL, status::RECONNECTING));
        assert!(!book.valid());
    }

    #[test]
    fn prices_order_by_value_across_scales_and_signs() {
        let mut book = Book::new();
        for price in ["-37.63", "0.000000000000000001", "9223372036854775807", "-1"] {
            book.apply(&level(Side::Buy, price, "1"));
        }
        let prices: Vec<_> = book.bids().map(|level| level.0.to_string()).collect();
        assert_eq!(
            prices,
            ["9223372036854775807", "0.000000000000000001", "-1", "-37.63"]
        );
    }

    #[test]
    fn corrupt_records_do_not_fail() {
        let mut book = Book::new();
        let mut record = level(Side::Buy, "1", "1");
        record.price_scale = 255;
        record.size_scale = 255;
        book.apply(&record);
        record.flags |= flag::SIDE;
        book.apply(&record);
        assert!(book.len() <= 1);
    }
}
