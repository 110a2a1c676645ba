//! A client's Kraken book, kept from the literal text of the numbers.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub struct Level<'a> {
    #[serde(borrow)]
    pub price: &'a RawValue,
    #[serde(borrow)]
    pub qty: &'a RawValue,
}

#[derive(Deserialize)]
pub struct Book<'a> {
    pub symbol: String,
    #[serde(borrow)]
    pub bids: Vec<Level<'a>>,
    #[serde(borrow)]
    pub asks: Vec<Level<'a>>,
    pub checksum: u32,
}

#[derive(Deserialize)]
pub struct Message<'a> {
    pub channel: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(borrow)]
    pub data: Option<Vec<Book<'a>>>,
}

/// Literal digits without point and leading zeros.
pub fn digits(literal: &str) -> String {
    literal.replace('.', "").trim_start_matches('0').to_owned()
}

/// A client's book: text of price and quantity, in the order of the price's value.
#[derive(Default)]
pub struct Kept {
    pub bids: BTreeMap<u128, (String, String)>,
    pub asks: BTreeMap<u128, (String, String)>,
    pub depth: usize,
}

impl Kept {
    pub fn apply(&mut self, book: &Book<'_>, is_snapshot: bool) {
        if is_snapshot {
            self.bids.clear();
            self.asks.clear();
        }
        for (levels, side) in [(&book.bids, &mut self.bids), (&book.asks, &mut self.asks)] {
            for level in levels {
                let (price, qty) = (level.price.get(), level.qty.get());
                let key = digits(price).parse().unwrap();
                if digits(qty).is_empty() {
                    side.remove(&key);
                } else {
                    side.insert(key, (price.to_owned(), qty.to_owned()));
                }
            }
        }
        while self.bids.len() > self.depth {
            self.bids.pop_first();
        }
        while self.asks.len() > self.depth {
            self.asks.pop_last();
        }
    }

    pub fn checksum(&self) -> u32 {
        let mut text = String::new();
        for (price, qty) in self
            .asks
            .values()
            .take(10)
            .chain(self.bids.values().rev().take(10))
        {
            text.push_str(&digits(price));
            text.push_str(&digits(qty));
        }
        crc32fast::hash(text.as_bytes())
    }
}
