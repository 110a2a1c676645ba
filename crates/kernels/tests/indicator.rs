//! Laws that every indicator of the registry keeps, and windows against the plain way to count them.
#![allow(clippy::unwrap_used)]

use kernels::indicator::{Bar, Columns, Instance, Kind, Memory, Param, all, find};
use proptest::prelude::*;

const MINUTE_NS: i64 = 60_000_000_000;

/// A small generator, so that a case is one seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A walk as markets make it: flat at times, now and then without volume.
fn walk(seed: u64, len: usize) -> Vec<Bar> {
    let mut dice = Dice(seed | 1);
    let mut price = 20.0 + 200.0 * dice.roll();
    let bars = (0..len).map(|at| {
        let still = dice.roll() < 0.1;
        let open = price;
        if !still {
            price *= 1.0 + 0.02 * (dice.roll() - 0.5);
        }
        let (top, bottom) = (open.max(price), open.min(price));
        let reach = if still { 0.0 } else { 0.01 * price };
        Bar {
            start_ns: 1_700_000_000_000_000_000 + at as i64 * 7 * MINUTE_NS,
            open,
            high: top + reach * dice.roll(),
            low: bottom - reach * dice.roll(),
            close: price,
            volume: if dice.roll() < 0.05 {
                0.0
            } else {
                10.0 * dice.roll()
            },
        }
    });
    bars.collect()
}

fn wild() -> impl Strategy<Value = Vec<Bar>> {
    let value = prop_oneof![
        4 => -1e3..1e3,
        1 => Just(0.0),
        1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
    ];
    let bar = (any::<i64>(), prop::array::uniform5(value)).prop_map(|(start_ns, values)| {
        let [open, high, low, close, volume] = values;
        Bar {
            start_ns,
            open,
            high,
            low,
            close,
            volume,
        }
    });
    prop::collection::vec(bar, 0..80)
}

/// One of each, with parameters that the dice choose: usually short ones.
fn each(seed: u64, longest: f64) -> Vec<Instance> {
    let mut dice = Dice(seed | 1);
    let chosen = all().iter().map(|entry| {
        let mut choose = |param: &'static Param| {
            let high = match param.kind {
                Kind::Int => param.high.min(longest),
                Kind::Float => param.high.min(5.0),
            };
            let value = param.low + (high - param.low) * dice.roll();
            let value = if param.kind == Kind::Int {
                value.round()
            } else {
                value
            };
            (param.name, value)
        };
        let given: Vec<_> = entry.spec.params.iter().map(&mut choose).collect();
        entry.with(given).unwrap()
    });
    chosen.collect()
}

fn again(instance: &Instance) -> Instance {
    let spec = instance.spec;
    let given = spec
        .params
        .iter()
        .zip(instance.params())
        .map(|(param, value)| (param.name, *value));
    find(spec.name).unwrap().with(given).unwrap()
}

fn stream(instance: &mut Instance, bars: &[Bar]) -> Vec<Vec<f64>> {
    let mut columns = vec![Vec::new(); instance.spec.outputs.len()];
    let mut out = vec![0.0; columns.len()];
    for bar in bars {
        instance.update(bar, &mut out);
        columns
            .iter_mut()
            .zip(&out)
            .for_each(|(column, value)| column.push(*value));
    }
    columns
}

fn batch(instance: &mut Instance, bars: &[Bar]) -> Vec<Vec<f64>> {
    let take = |field: fn(&Bar) -> f64| -> Vec<f64> { bars.iter().map(field).collect() };
    let start: Vec<i64> = bars.iter().map(|bar| bar.start_ns).collect();
    let (open, high, low) = (take(|bar| bar.open), take(|bar| bar.high), take(|bar| bar.low));
    let (close, volume) = (take(|bar| bar.close), take(|bar| bar.volume));
    let columns = Columns {
        start_ns: &start,
        open: &open,
        high: &high,
        low: &low,
        close: &close,
        volume: &volume,
    };
    let mut found = vec![vec![0.0; bars.len()]; instance.spec.outputs.len()];
    let mut out: Vec<&mut [f64]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    instance.batch(&columns, &mut out).unwrap();
    found
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn equal(name: &str, a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<(), TestCaseError> {
    for (output, (a, b)) in a.iter().zip(b).enumerate() {
        prop_assert_eq!(a.len(), b.len());
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            prop_assert!(same(*a, *b), "{name} output {output} bar {at}: {a} and {b}");
        }
    }
    Ok(())
}

/// Equal to nine digits of the largest value of the output.
fn close(name: &str, a: &[f64], b: &[f64]) -> Result<(), TestCaseError> {
    let size = a.iter().chain(b).map(|value| value.abs()).fold(0.0, f64::max);
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        prop_assert!(
            (a - b).abs() <= 1e-9 * size,
            "{name} bar {at}: {a} and {b}, of {size}"
        );
    }
    Ok(())
}

/// What a NaN in it would make of a bar: none of the inputs in `mask` is known.
fn holed(bar: &Bar, mask: u8) -> Bar {
    let hole = |bit: u8, value: f64| if mask & bit != 0 { f64::NAN } else { value };
    Bar {
        start_ns: bar.start_ns,
        open: hole(1, bar.open),
        high: hole(2, bar.high),
        low: hole(4, bar.low),
        close: hole(8, bar.close),
        volume: hole(16, bar.volume),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streaming_is_batch_is_both_in_turn(seed: u64, len in 0usize..300, part in 0.0..1.0, holes in prop::collection::vec(0u8..32, 0..20)) {
        let mut bars = walk(seed, len);
        let mut dice = Dice(seed | 1);
        for mask in holes.into_iter().filter(|_| len > 0) {
            let at = (dice.roll() * len as f64) as usize;
            bars[at] = holed(&bars[at], mask);
        }
        let cut = (len as f64 * part) as usize;
        for mut one in each(seed, 40.0) {
            let streamed = stream(&mut again(&one), &bars);
            equal(one.spec.name, &streamed, &batch(&mut again(&one), &bars))?;
            let mut mixed = stream(&mut one, &bars[..cut]);
            for (column, rest) in mixed.iter_mut().zip(batch(&mut one, &bars[cut..])) {
                column.extend(rest);
            }
            equal(one.spec.name, &streamed, &mixed)?;
        }
    }

    #[test]
    fn a_bar_with_a_hole_gives_nan_and_changes_nothing(seed: u64, len in 1usize..200, mask in 1u8..32, infinite: bool) {
        let bars = walk(seed, len);
        for one in each(seed, 20.0) {
            let used = one.spec.inputs.names();
            let hurt = ["open", "high", "low", "close", "volume"].iter().enumerate().any(|(bit, name)| mask & 1 << bit != 0 && used.contains(name));
            let whole = stream(&mut again(&one), &bars);
            let holes: Vec<Bar> = bars.iter().flat_map(|bar| {
                let mut hole = holed(bar, mask);
                if infinite && mask & 8 != 0 {
                    hole.close = f64::INFINITY;
                }
                [hole, *bar]
            }).collect();
            if !hurt {
                continue;
            }
            for (column, whole) in stream(&mut again(&one), &holes).iter().zip(&whole) {
                prop_assert!(column.iter().step_by(2).all(|value| value.is_nan()), "{}", one.spec.name);
                for (value, expected) in column.iter().skip(1).step_by(2).zip(whole) {
                    prop_assert!(same(*value, *expected), "{}: {value} and {expected}", one.spec.name);
                }
            }
        }
    }

    #[test]
    fn the_first_value_is_where_it_is_said(seed: u64) {
        for one in each(seed, 25.0) {
            let columns = batch(&mut again(&one), &walk(seed, 200));
            for (output, column) in columns.iter().enumerate() {
                let first = column.iter().position(|value| !value.is_nan());
                prop_assert_eq!(first, Some(one.first(output)), "{} {}", one.spec.name, one.spec.outputs[output].name);
                prop_assert!(column[one.first(output)..].iter().all(|value| value.is_finite()), "{}", one.spec.name);
            }
        }
    }

    #[test]
    fn one_that_saw_the_warm_up_alone_agrees_with_one_that_saw_all(seed: u64) {
        for one in each(seed, 12.0) {
            let Some(warm_up) = one.memory().warm_up() else { continue };
            let mut bars = walk(seed, 300 + warm_up);
            if let Memory::Window(_) = one.memory() {
                // What is out of the window leaves no trace, whatever its size.
                let storm = (200.0 + 50.0 * Dice(seed | 1).roll()) as usize;
                for bar in &mut bars[storm - 5..=storm] {
                    for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
                        *price *= 1e13;
                    }
                }
                bars.splice(..0, walk(seed, 100));
                let storm_end = 100 + storm + 1;
                let (all, fresh) = (batch(&mut again(&one), &bars), batch(&mut again(&one), &bars[storm_end..]));
                for (all, fresh) in all.iter().zip(&fresh) {
                    close(one.spec.name, &all[storm_end + warm_up - 1..], &fresh[warm_up - 1..])?;
                }
                continue;
            }
            // An RSI of one bar keeps its value while the price stands still, however old that value is.
            bars[251].close = bars[250].close * 1.001;
            bars[251].high = bars[251].high.max(bars[251].close);
            bars[251].low = bars[251].low.min(bars[251].close);
            let (all, fresh) = (batch(&mut again(&one), &bars), batch(&mut again(&one), &bars[250..]));
            for (all, fresh) in all.iter().zip(&fresh) {
                close(one.spec.name, &all[250 + warm_up - 1..], &fresh[warm_up - 1..])?;
            }
        }
    }

    #[test]
    fn no_finite_bar_and_no_allowed_parameter_panics(bars in wild(), seed: u64) {
        for (long, short) in each(seed, f64::INFINITY).iter_mut().zip(&mut each(seed, 6.0)) {
            equal(long.spec.name, &stream(&mut again(long), &bars), &batch(long, &bars))?;
            equal(short.spec.name, &stream(&mut again(short), &bars), &batch(short, &bars))?;
        }
    }

    /// To the bit, by powers of two: a price in cents has the same RSI and an ATR in cents.
    #[test]
    fn prices_and_volumes_may_be_in_any_unit(seed: u64, power in -20i32..20) {
        let unit = f64::powi(2.0, power);
        let bars = walk(seed, 150);
        let (mut priced, mut sized) = (bars.clone(), bars.clone());
        for (priced, sized) in priced.iter_mut().zip(&mut sized) {
            for price in [&mut priced.open, &mut priced.high, &mut priced.low, &mut priced.close] {
                *price *= unit;
            }
            sized.volume *= unit;
        }
        for one in each(seed, 15.0) {
            let name = one.spec.name;
            let as_it_is = batch(&mut again(&one), &bars);
            let times = |columns: &[Vec<f64>], factor: &dyn Fn(&str) -> f64| -> Vec<Vec<f64>> {
                let outputs = one.spec.outputs.iter().zip(columns);
                outputs.map(|(output, column)| column.iter().map(|value| value * factor(output.name)).collect()).collect()
            };
            let price_factor = |output: &str| if is_price(name, output) { unit } else { 1.0 };
            equal(name, &times(&as_it_is, &price_factor), &batch(&mut again(&one), &priced))?;
            let size_factor = |_: &str| if ["obv", "ad"].contains(&name) { unit } else { 1.0 };
            equal(name, &times(&as_it_is, &size_factor), &batch(&mut again(&one), &sized))?;
        }
    }

    #[test]
    fn a_window_is_what_counting_it_anew_gives(seed: u64, n in 2usize..30) {
        let bars = walk(seed, 150);
        let one = |name: &str| -> Vec<Vec<f64>> {
            batch(&mut find(name).unwrap().with([("period", n as f64)]).unwrap(), &bars)
        };
        let plain = |from: usize, count: &dyn Fn(&[Bar]) -> f64| -> Vec<f64> {
            bars.windows(from).map(count).collect()
        };
        let mean = |w: &[Bar], field: fn(&Bar) -> f64| w.iter().map(field).sum::<f64>() / w.len() as f64;
        let last = |w: &[Bar]| w[w.len() - 1];
        let typical = |bar: &Bar| (bar.high + bar.low + bar.close) / 3.0;
        let high = |w: &[Bar]| w.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
        let low = |w: &[Bar]| w.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
        let variance = |w: &[Bar]| {
            let m = mean(w, |bar| bar.close);
            w.iter().map(|bar| (bar.close - m).powi(2)).sum::<f64>() / w.len() as f64
        };
        let zip = |w: &[Bar], f: &dyn Fn(f64, f64) -> f64| (1..).zip(w).map(|(i, bar)| f(f64::from(i), bar.close)).sum::<f64>();
        close("sma", &one("sma")[0][n - 1..], &plain(n, &|w| mean(w, |bar| bar.close)))?;
        close("wma", &one("wma")[0][n - 1..], &plain(n, &|w| zip(w, &|i, x| i * x) / zip(w, &|i, _| i)))?;
        close("standard_deviation", &one("standard_deviation")[0][n - 1..], &plain(n, &|w| variance(w).sqrt()))?;
        close("bollinger", &one("bollinger")[2][n - 1..], &plain(n, &|w| mean(w, |bar| bar.close) - 2.0 * variance(w).sqrt()))?;
        let middle = (n as f64 + 1.0) / 2.0;
        close("slope", &one("slope")[0][n - 1..], &plain(n, &|w| zip(w, &|i, x| (i - middle) * x) / zip(w, &|i, _| (i - middle).powi(2))))?;
        close("donchian", &one("donchian")[0][n - 1..], &plain(n, &high))?;
        close("donchian", &one("donchian")[2][n - 1..], &plain(n, &low))?;
        close("williams_r", &one("williams_r")[0][n - 1..], &plain(n, &|w| if high(w) == low(w) { 0.0 } else { -100.0 * (high(w) - last(w).close) / (high(w) - low(w)) }))?;
        close("aroon", &one("aroon")[0][n..], &plain(n + 1, &|w| {
            let peak = (0..w.len()).filter(|at| w[*at].high == high(w)).max().unwrap();
            100.0 * peak as f64 / n as f64
        }))?;
        close("cci", &one("cci")[0][n - 1..], &plain(n, &|w| {
            let m = mean(w, typical);
            let away = w.iter().map(|bar| (typical(bar) - m).abs()).sum::<f64>() / n as f64;
            if away == 0.0 { 0.0 } else { (typical(&last(w)) - m) / (0.015 * away) }
        }))?;
        let volume = |w: &[Bar]| w.iter().map(|bar| bar.volume).sum::<f64>();
        close("rolling_vwap", &one("rolling_vwap")[0][n - 1..], &plain(n, &|w| match volume(w) {
            0.0 => typical(&last(w)),
            all => w.iter().map(|bar| typical(bar) * bar.volume).sum::<f64>() / all,
        }))?;
    }
}

/// Outputs that are in the unit of the price: those over the bars, and distances between prices.
fn is_price(name: &str, output: &str) -> bool {
    let spec = find(name).unwrap().spec;
    let over_bars = spec
        .outputs
        .iter()
        .any(|one| one.name == output && one.pane.name() == "price");
    over_bars
        || [
            "macd",
            "momentum",
            "slope",
            "true_range",
            "atr",
            "standard_deviation",
        ]
        .contains(&name)
}

#[test]
fn squares_do_not_cancel_far_from_zero() {
    let bars: Vec<Bar> = (0..1_000_000)
        .map(|at| {
            let close = 1e8 + if at % 2 == 0 { 0.5 } else { -0.5 };
            Bar {
                start_ns: 0,
                open: close,
                high: close,
                low: close,
                close,
                volume: 1.0,
            }
        })
        .collect();
    let found = batch(&mut find("standard_deviation").unwrap().with([]).unwrap(), &bars);
    assert!(found[0][19..].iter().all(|value| (value - 0.5).abs() < 1e-12));
}

#[test]
fn equal_prices_have_no_deviation_and_their_own_average() {
    let bar = Bar {
        start_ns: 0,
        open: 0.1,
        high: 0.1,
        low: 0.1,
        close: 0.1,
        volume: 1.0,
    };
    for (name, expected) in [
        ("standard_deviation", 0.0),
        ("wma", 0.1),
        ("ema", 0.1),
        ("slope", 0.0),
        ("rsi", 0.0),
        ("cci", 0.0),
    ] {
        let found = batch(&mut find(name).unwrap().with([]).unwrap(), &[bar; 100]);
        assert!(
            (found[0][99] - expected).abs() < 1e-15,
            "{name}: {}",
            found[0][99]
        );
    }
}

#[test]
fn wilder_by_hand() {
    let closes = [10.0, 11.0, 10.5, 12.0, 11.0];
    let bars = closes.map(|close| Bar {
        start_ns: 0,
        open: close,
        high: close + 1.0,
        low: close - 1.0,
        close,
        volume: 1.0,
    });
    let rsi = batch(&mut find("rsi").unwrap().with([("period", 2.0)]).unwrap(), &bars);
    // Rises 1, 0: mean 0.5; falls 0, 0.5: 0.25. Then (0.5 + 1.5)/2 = 1 and 0.125, then 0.5 and (0.125 + 1)/2.
    let expected = [100.0 * 0.5 / 0.75, 100.0 / 1.125, 100.0 * 0.5 / (0.5 + 0.5625)];
    assert!(
        rsi[0][2..]
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-12),
        "{rsi:?}"
    );
    let atr = batch(&mut find("atr").unwrap().with([("period", 2.0)]).unwrap(), &bars);
    // True ranges 2, 2, 2.5, 2: the mean of the first two, then Wilder's.
    assert_eq!(atr[0][2..], [2.0, 2.25, 2.125]);
}

#[test]
fn what_was_asked_wrongly_is_said() {
    let refuse = |name: &str, given: &[(&str, f64)]| match find(name)
        .and_then(|entry| entry.with(given.iter().copied()))
    {
        Err(fault) => fault.to_string(),
        Ok(_) => panic!("{name} took {given:?}"),
    };
    assert_eq!(refuse("smma", &[]), "no indicator is named 'smma'");
    assert_eq!(
        refuse("sma", &[("length", 3.0)]),
        "sma has no parameter 'length'; it has: period"
    );
    assert_eq!(
        refuse("obv", &[("period", 3.0)]),
        "obv has no parameter 'period'; it has: none"
    );
    assert_eq!(
        refuse("sma", &[("period", 0.0)]),
        "period of sma is a whole number from 1 to 100000, not 0"
    );
    assert_eq!(
        refuse("sma", &[("period", 2.5)]),
        "period of sma is a whole number from 1 to 100000, not 2.5"
    );
    assert_eq!(
        refuse("psar", &[("step", f64::NAN)]),
        "step of psar is a number from 0 to 1, not NaN"
    );
}

#[test]
fn names_are_taken_once_and_each_has_a_source() {
    let mut names: Vec<_> = all().iter().map(|entry| entry.spec.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().len());
    for entry in all() {
        let spec = entry.spec;
        assert!(
            !spec.title.is_empty() && !spec.source.is_empty() && spec.description.ends_with('.'),
            "{}",
            spec.name
        );
        for param in spec.params {
            assert!(
                (param.low..=param.high).contains(&param.default),
                "{} {}",
                spec.name,
                param.name
            );
        }
    }
}
