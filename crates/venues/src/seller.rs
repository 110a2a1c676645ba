//! What is the same at every seller of market data: what it bears, and how a symbol becomes an instrument. None
//! has a table of instruments that would be worth its reading: names are taken as they are spelled.

use wire::Decimal;

use crate::api::{Habits, Limits, Listing, Pace};

const S: i64 = 1_000_000_000;

pub(crate) const LIMITS: Limits = Limits {
    max_message_bytes: 16 << 20,
    symbols_per_connection: 100_000,
    messages: Pace { burst: 5, per_s: 5 },
    requests: Pace { burst: 1, per_s: 1 },
    connects_per_window: (15, 60),
    silence_ns: 40 * S,
    life_ns: 0,
};

pub(crate) const HABITS: Habits = Habits {
    numbered: false,
    sole: true,
    ping_ns: 10 * S,
};

/// `AAPL`, `BRK.B`.
pub(crate) fn is_stock(symbol: &str) -> bool {
    let (root, class) = symbol.split_once('.').unwrap_or((symbol, "A"));
    (1..=10).contains(&root.len())
        && root.starts_with(|c: char| c.is_ascii_uppercase())
        && root.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        && (1..=3).contains(&class.len())
        && class.chars().all(|c| c.is_ascii_uppercase())
}

pub(crate) fn is_coin(name: &str) -> bool {
    (1..=12).contains(&name.len()) && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// A share of a dollar or more; trades print the digits they have, which may be more.
pub(crate) fn stock(symbol: &str) -> Listing {
    Listing {
        symbol: symbol.into(),
        rest_symbol: symbol.into(),
        base: symbol.into(),
        quote: "USD".into(),
        tick: Decimal::new(1, 2),
        lot: Decimal::new(1, 0),
        price_scale: 2,
        size_scale: 0,
        status: "online".into(),
    }
}

/// A coin in the finest steps in which sellers print one; trades print the digits they have, which may be more
/// than the scales say.
pub(crate) fn coin(symbol: String, base: &str, quote: &str) -> Listing {
    Listing {
        rest_symbol: symbol.clone(),
        symbol,
        base: base.into(),
        quote: quote.into(),
        tick: Decimal::new(1, 8),
        lot: Decimal::new(1, 9),
        price_scale: 2,
        size_scale: 0,
        status: "online".into(),
    }
}
