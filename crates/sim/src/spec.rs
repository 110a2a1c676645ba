//! The instruments that each simulated venue lists, with the tick and lot sizes of its model.
//!
//! Two of the five do not exist anywhere: MOTE costs about 1e-8 (ten decimals), HEAP trades in sizes up to
//! 1e12. They are here because prices and sizes of that kind break clients.

use crate::number::{push_fixed, push_trimmed};
use wire::Decimal;

/// The protocol a simulated venue speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Kraken,
    Coinbase,
    Binance,
    CoinbaseAdvanced,
}

impl Protocol {
    /// In the order of their ports above `--port-base`.
    pub const ALL: [Self; 4] = [
        Self::Kraken,
        Self::Coinbase,
        Self::Binance,
        Self::CoinbaseAdvanced,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kraken => "kraken",
            Self::Coinbase => "coinbase",
            Self::Binance => "binance",
            Self::CoinbaseAdvanced => "coinbase-advanced",
        }
    }

    /// Name of the simulated venue: never that of the real one, so that made-up prices cannot enter its data.
    pub fn venue(self) -> String {
        format!("sim-{}", self.name())
    }

    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("sim-").unwrap_or(name);
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// What the venue appends to its WebSocket address.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Kraken => "/v2",
            _ => "",
        }
    }

    /// Resolution of the times that the venue prints, ns. The simulator's events fall on it, so that a
    /// printed time is the whole truth.
    pub const fn resolution_ns(self) -> i64 {
        match self {
            Self::Binance => 1_000_000,
            _ => 1_000,
        }
    }
}

/// One instrument of one venue.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `BTC-USD`.
    pub name: String,
    /// `BTC-USD.sim-kraken`.
    pub id: String,
    pub base: String,
    pub quote: String,
    /// The venue's own spelling on its WebSocket.
    pub symbol: String,
    /// The venue's own spelling as key of its REST answers.
    pub rest_symbol: String,
    /// Smallest price step; `price = ticks × tick`.
    pub tick: Decimal,
    /// Smallest size step; `size = lots × lot`.
    pub lot: Decimal,
    /// Decimals that the venue prints of a price and of a size.
    pub price_places: u8,
    pub size_places: u8,
    /// Price at the start of a home's life, ticks.
    pub start_ticks: i64,
    /// Typical and largest order, lots.
    pub base_lots: i64,
    pub max_lots: i64,
    /// Orders are multiples of this many lots.
    pub step_lots: i64,
    /// Share of its venue's messages.
    pub weight: f64,
    /// Deviation of the price path per square root of a second, relative.
    pub volatility: f64,
}

impl Spec {
    /// Appends a price with the venue's usual decimals.
    pub fn push_price(&self, out: &mut String, ticks: i64) {
        push_fixed(
            out,
            i128::from(ticks) * i128::from(self.tick.mantissa),
            self.tick.scale,
            self.price_places,
        );
    }

    /// Appends a price with at least `places` decimals.
    pub fn push_price_wide(&self, out: &mut String, ticks: i64, places: u8) {
        let places = places.max(self.price_places);
        push_fixed(
            out,
            i128::from(ticks) * i128::from(self.tick.mantissa),
            self.tick.scale,
            places,
        );
    }

    /// Appends a price without trailing zeros.
    pub fn push_price_trimmed(&self, out: &mut String, ticks: i64) {
        push_trimmed(
            out,
            i128::from(ticks) * i128::from(self.tick.mantissa),
            self.tick.scale,
        );
    }

    /// Appends a size (or a sum of sizes) with the venue's usual decimals.
    pub fn push_size(&self, out: &mut String, lots: impl Into<i128>) {
        push_fixed(
            out,
            lots.into() * i128::from(self.lot.mantissa),
            self.lot.scale,
            self.size_places,
        );
    }

    /// Appends a size without trailing zeros.
    pub fn push_size_trimmed(&self, out: &mut String, lots: impl Into<i128>) {
        push_trimmed(out, lots.into() * i128::from(self.lot.mantissa), self.lot.scale);
    }

    /// Appends a sum of price × size (ticks × lots) with `places` decimals.
    pub fn push_notional(&self, out: &mut String, ticks_lots: i128, places: u8) {
        let unit = i128::from(self.tick.mantissa) * i128::from(self.lot.mantissa);
        push_fixed(out, ticks_lots * unit, self.tick.scale + self.lot.scale, places);
    }

    /// Appends the volume-weighted price with three decimals more than the tick; 0 without volume.
    pub fn push_vwap(&self, out: &mut String, ticks_lots: i128, lots: i128) {
        let mantissa = if lots == 0 {
            0
        } else {
            ticks_lots * i128::from(self.tick.mantissa) * 1000 / lots
        };
        push_fixed(out, mantissa, self.tick.scale + 3, self.tick.scale + 3);
    }

    pub fn price_text(&self, ticks: i64) -> String {
        let mut out = String::with_capacity(24);
        self.push_price(&mut out, ticks);
        out
    }

    pub fn size_text(&self, lots: i64) -> String {
        let mut out = String::with_capacity(24);
        self.push_size(&mut out, lots);
        out
    }
}

/// (base, price in 10^−12, volatility, weight): the same on every venue.
const ASSETS: [(&str, i128, f64, f64); 5] = [
    ("BTC", 64_231_500_000_000_000, 3e-5, 0.35),
    ("ETH", 1_919_410_000_000_000, 4e-5, 0.25),
    ("SOL", 148_370_000_000_000, 5e-5, 0.20),
    ("MOTE", 18_300, 1e-3, 0.10),
    ("HEAP", 1_234_500, 2e-4, 0.10),
];

/// (tick, tick scale, lot scale, price decimals, size decimals) per asset; the lot is 10^−scale.
type Steps = (u8, u8, u8, u8);

/// The instruments of one venue, in the order of its listing.
pub fn instruments(protocol: Protocol) -> Vec<Spec> {
    ASSETS
        .iter()
        .map(|(base, pico, volatility, weight)| spec(protocol, base, *pico, *volatility, *weight))
        .collect()
}

fn spec(protocol: Protocol, base: &str, pico: i128, volatility: f64, weight: f64) -> Spec {
    let quote = if protocol == Protocol::Binance {
        "USDT"
    } else {
        "USD"
    };
    let (tick_scale, lot_scale, price_places, size_places) = steps(protocol, base);
    let (symbol, rest_symbol) = spellings(protocol, base, quote);
    // On Binance the smallest tick is 1e-8, where 1e-8 itself would leave no room for a book: a thousand ticks do.
    let pico = if protocol == Protocol::Binance && base == "MOTE" {
        pico * 476
    } else {
        pico
    };
    let pico = if protocol == Protocol::Binance && base == "HEAP" {
        pico * 10
    } else {
        pico
    };
    let start_ticks = (pico / 10i128.pow(u32::from(12 - tick_scale))) as i64;
    let unit = 10i64.pow(u32::from(lot_scale));
    // Sizes in ten-thousandths of the base asset: about 2,000 of the quote currency, HEAP apart.
    let (base_size, max_size): (i64, i64) = match base {
        "BTC" => (400, 120_000),
        "ETH" => (12_000, 4_000_000),
        "SOL" => (150_000, 60_000_000),
        "MOTE" => (400_000_000_000, 9_000_000_000_000),
        _ => (20_000_000_000_000, 10_000_000_000_000_000),
    };
    let lots = |size: i64| ((i128::from(size) * i128::from(unit) / 10_000).max(1)) as i64;
    Spec {
        name: format!("{base}-{quote}"),
        id: format!("{base}-{quote}.{}", protocol.venue()),
        base: base.to_owned(),
        quote: quote.to_owned(),
        symbol,
        rest_symbol,
        tick: Decimal::new(1, tick_scale),
        lot: Decimal::new(1, lot_scale),
        price_places,
        size_places,
        start_ticks,
        base_lots: lots(base_size),
        max_lots: lots(max_size),
        // Whole tokens: 1e12 of them with a fraction would have more digits than clients that compute in doubles
        // can check a Kraken checksum with.
        step_lots: if base == "HEAP" { unit } else { 1 },
        weight,
        volatility,
    }
}

fn steps(protocol: Protocol, base: &str) -> Steps {
    match (protocol, base) {
        (Protocol::Kraken, "BTC") => (1, 8, 1, 8),
        (Protocol::Kraken, "ETH" | "SOL") => (2, 8, 2, 8),
        (Protocol::Kraken, _) => (10, 5, 10, 5),
        (Protocol::Coinbase | Protocol::CoinbaseAdvanced, "BTC" | "ETH" | "SOL") => (2, 8, 2, 8),
        (Protocol::Coinbase | Protocol::CoinbaseAdvanced, "MOTE") => (10, 1, 10, 1),
        (Protocol::Coinbase | Protocol::CoinbaseAdvanced, _) => (10, 0, 10, 0),
        (Protocol::Binance, "BTC") => (2, 5, 8, 8),
        (Protocol::Binance, "ETH") => (2, 4, 8, 8),
        (Protocol::Binance, "SOL") => (2, 3, 8, 8),
        (Protocol::Binance, _) => (8, 0, 8, 8),
    }
}

/// The venue's spellings on its WebSocket and as key of its REST answers.
pub(crate) fn spellings(protocol: Protocol, base: &str, quote: &str) -> (String, String) {
    match protocol {
        Protocol::Kraken => {
            // Old assets carry their class letter in REST keys; Bitcoin is XBT there.
            let rest = match base {
                "BTC" => format!("XXBTZ{quote}"),
                "ETH" => format!("XETHZ{quote}"),
                other => format!("{other}{quote}"),
            };
            (format!("{base}/{quote}"), rest)
        }
        Protocol::Coinbase | Protocol::CoinbaseAdvanced => {
            let id = format!("{base}-{quote}");
            (id.clone(), id)
        }
        Protocol::Binance => {
            let id = format!("{base}{quote}");
            (id.clone(), id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_and_sizes_are_those_of_the_venue() {
        let kraken = instruments(Protocol::Kraken);
        assert_eq!(kraken[0].price_text(kraken[0].start_ticks), "64231.5");
        assert_eq!(kraken[0].size_text(114_000), "0.00114000");
        assert_eq!(kraken[3].price_text(kraken[3].start_ticks), "0.0000000183");
        assert_eq!(kraken[4].size_text(kraken[4].max_lots), "1000000000000.00000");
        let binance = instruments(Protocol::Binance);
        assert_eq!(binance[0].price_text(binance[0].start_ticks), "64231.50000000");
        assert_eq!(binance[3].price_text(binance[3].start_ticks), "0.00000871");
        assert_eq!(
            binance[4].size_text(binance[4].max_lots),
            "1000000000000.00000000"
        );
        let coinbase = instruments(Protocol::Coinbase);
        assert_eq!(coinbase[4].size_text(coinbase[4].max_lots), "1000000000000");
    }

    #[test]
    fn every_book_has_room_below_its_price() {
        for protocol in Protocol::ALL {
            for spec in instruments(protocol) {
                assert!(
                    spec.start_ticks >= 180,
                    "{} starts at {} ticks",
                    spec.id,
                    spec.start_ticks
                );
                assert!(
                    spec.base_lots >= 100,
                    "{} trades {} lots",
                    spec.id,
                    spec.base_lots
                );
            }
        }
    }
}
