//! One-minute bars of the time before the simulator began, so that a first chart is not empty.
//!
//! A walk taken backwards from the starting price: the same (seed, instrument) always gives the same bars,
//! and more minutes only add older ones.

use crate::random::{Random, stream};
use crate::spec::{Protocol, Spec, instruments};

/// One minute of made-up trading. Prices are mantissas at the instrument's price scale, volume at its size
/// scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Begin of the minute, ns since the epoch.
    pub start_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i64,
    pub trades: u64,
}

/// Bars of one instrument with the scales of their numbers.
#[derive(Clone, Debug)]
pub struct History {
    /// `BTC-USD.sim-kraken`.
    pub instrument: String,
    pub price_scale: u8,
    pub size_scale: u8,
    /// Oldest first, one per minute, without holes.
    pub bars: Vec<Bar>,
}

pub const MINUTE_NS: i64 = 60_000_000_000;
/// Most minutes that are made up at once: 19 years.
const MINUTES_MAX: usize = 10_000_000;

/// The `minutes` whole minutes before `end_ns` of an instrument named as in the registry
/// (`BTC-USD.sim-kraken`); the last close is the simulator's starting price. An unknown name gets an error
/// that lists the known ones.
pub fn history(seed: u64, instrument: &str, minutes: usize, end_ns: i64) -> Result<History, String> {
    let all: Vec<Spec> = Protocol::ALL.into_iter().flat_map(instruments).collect();
    let Some(spec) = all.iter().find(|spec| spec.id == instrument) else {
        let known: Vec<&str> = all.iter().map(|spec| spec.id.as_str()).collect();
        return Err(format!(
            "no simulated instrument named '{instrument}'; have: {}",
            known.join(", ")
        ));
    };
    if minutes > MINUTES_MAX {
        return Err(format!(
            "{minutes} minutes asked for; at most {MINUTES_MAX} are made up"
        ));
    }
    Ok(History {
        instrument: spec.id.clone(),
        price_scale: spec.tick.scale,
        size_scale: spec.lot.scale,
        bars: backward(seed, spec, minutes, end_ns),
    })
}

/// See [`history`].
pub(crate) fn backward(seed: u64, spec: &Spec, minutes: usize, end_ns: i64) -> Vec<Bar> {
    let mut random = Random::new(stream(seed, &format!("history {}", spec.id)));
    let end = end_ns.div_euclid(MINUTE_NS) * MINUTE_NS;
    let anchor = spec.start_ticks as f64;
    let floor = (spec.start_ticks / 3).max(1);
    let per_minute = spec.volatility * 7.75; // √60
    let mut close = spec.start_ticks;
    let mut activity = 1.0f64;
    let mut turbulence = 1.0f64;
    let mut bars = Vec::with_capacity(minutes);
    for n in 0..minutes {
        if n % 37 == 0 {
            turbulence = 0.5 + 2.0 * random.unit() * random.unit();
            activity = 0.3 + 1.6 * random.unit();
        }
        let deviation = (close as f64 * per_minute * turbulence).max(0.4);
        let back = (anchor - close as f64) * 0.0002;
        let open = (close + nearest(deviation * random.normal() + back)).max(floor);
        let reach = deviation * 0.8;
        let high = open.max(close) + (reach * random.unit() * random.unit()) as i64;
        let low = (open.min(close) - (reach * random.unit() * random.unit()) as i64).max(1);
        let trades = 1 + random.below((40.0 * activity * turbulence) as u64 + 2);
        let volume = (trades as f64 * spec.base_lots as f64 * (0.3 + 0.9 * random.unit())) as i64;
        bars.push(Bar {
            start_ns: end.saturating_sub((n as i64 + 1) * MINUTE_NS),
            open,
            high,
            low,
            close,
            volume: (volume / spec.step_lots).max(1) * spec.step_lots,
            trades,
        });
        // The next older bar closes within a tick or two of this one's open.
        close = (open + random.below(3) as i64 - 1).max(floor);
    }
    bars.reverse();
    bars
}

fn nearest(x: f64) -> i64 {
    if x < 0.0 {
        (x - 0.5) as i64
    } else {
        (x + 0.5) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_786_309_548_000_000_000;

    #[test]
    fn ends_at_the_starting_price_without_holes() {
        for spec in Protocol::ALL.into_iter().flat_map(instruments) {
            let bars = history(5, &spec.id, 3_000, END).unwrap().bars;
            assert_eq!(bars.len(), 3_000);
            assert_eq!(bars[2_999].close, spec.start_ticks);
            assert_eq!(bars[2_999].start_ns, END / MINUTE_NS * MINUTE_NS - MINUTE_NS);
            for pair in bars.windows(2) {
                assert_eq!(pair[0].start_ns + MINUTE_NS, pair[1].start_ns);
            }
            for bar in &bars {
                assert!(
                    bar.low > 0 && bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close)
                );
                assert!(bar.volume > 0 && bar.trades > 0);
            }
        }
    }

    #[test]
    fn more_minutes_only_add_older_ones() {
        let short = history(5, "ETH-USD.sim-coinbase", 100, END).unwrap().bars;
        let long = history(5, "ETH-USD.sim-coinbase", 1_000, END).unwrap().bars;
        assert_eq!(long[900..], short);
        assert_ne!(long, history(6, "ETH-USD.sim-coinbase", 1_000, END).unwrap().bars);
    }

    #[test]
    fn a_month_of_everything_is_quick() {
        let begun = std::time::Instant::now();
        let mut trades = 0;
        for protocol in [Protocol::Kraken, Protocol::Coinbase, Protocol::Binance] {
            for spec in instruments(protocol) {
                let bars = history(5, &spec.id, 30 * 1_440, END).unwrap().bars;
                trades += bars.iter().map(|b| b.trades).sum::<u64>();
            }
        }
        assert!(trades > 0);
        // Half a second is the aim of an optimised build on an idle machine; this only catches another order of magnitude.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        println!("30 days of 15 instruments in {:?}", begun.elapsed());
    }

    #[test]
    fn unknown_instruments_are_named_in_the_error() {
        let error = history(5, "FTT-USD.ftx", 1, END).unwrap_err();
        assert!(
            error.contains("'FTT-USD.ftx'") && error.contains("BTC-USDT.sim-binance"),
            "{error}"
        );
    }
}
