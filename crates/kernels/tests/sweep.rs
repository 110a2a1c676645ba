//! Sweeps beside a loop that takes one pair bar by bar, as a person would write it.
#![allow(clippy::unwrap_used)]

use kernels::sweep::{Average, Fault, Found, Rule, cross, cross_plain};
use proptest::prelude::*;

/// Equity of one pair, bar by bar, from whole numbers: sums are exact.
fn reference(close: &[i64], open: Option<&[i64]>, (fast, slow): (u32, u32), rule: Rule) -> Found {
    let (fast, slow) = (fast as usize, slow as usize);
    let start = fast.max(slow) - 1;
    let mut position = 0.0;
    let (mut grown, mut peak, mut fall) = (1.0f64, 1.0f64, 1.0f64);
    let (mut trades, mut held, mut returns) = (0, 0, Vec::new());
    for at in 0..close.len().saturating_sub(1) {
        let wanted = if at < start {
            0.0
        } else {
            let sum = |bars: usize| close[at + 1 - bars..=at].iter().sum::<i64>();
            match sum(fast) * slow as i64 > sum(slow) * fast as i64 {
                true => 1.0,
                false if rule.shorts => -1.0,
                false => 0.0,
            }
        };
        let (now, next) = (close[at] as f64, close[at + 1] as f64);
        let fill = open.map_or(now, |open| open[at + 1] as f64);
        let growth = if wanted == position {
            1.0 + position * (next / now - 1.0)
        } else {
            let cost = 1.0 - rule.cost * f64::abs(wanted - position);
            (1.0 + position * (fill / now - 1.0)) * cost * (1.0 + wanted * (next / fill - 1.0))
        };
        trades += u64::from(wanted != position && wanted != 0.0);
        held += u64::from(wanted != 0.0);
        position = wanted;
        grown *= growth;
        peak = peak.max(grown);
        fall = fall.min(grown / peak);
        returns.push(growth - 1.0);
    }
    let count = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / count;
    let spread = returns.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
    Found {
        total: grown - 1.0,
        drawdown: fall - 1.0,
        trades,
        mean,
        deviation: (spread / (count - 1.0)).sqrt(),
        exposure: held as f64 / count,
    }
}

fn floats(whole: &[i64]) -> Vec<f64> {
    whole.iter().map(|price| *price as f64 / 100.0).collect()
}

/// Prices in cents that walk, stand still at times, and never double at once.
fn walk() -> impl Strategy<Value = (Vec<i64>, Vec<i64>)> {
    prop::collection::vec((-4i64..=4, -3i64..=3, any::<bool>()), 2..700).prop_map(|steps| {
        let mut close = 10_000i64;
        let both = steps.into_iter().map(|(step, gap, still)| {
            let open = close + if still { 0 } else { gap * 7 };
            close = (close + if still { 0 } else { step * 29 }).clamp(5_000, 30_000);
            (close, open.max(1))
        });
        both.unzip()
    })
}

fn rules() -> impl Strategy<Value = Rule> {
    (any::<bool>(), prop_oneof![Just(0.0), 0.0..0.01]).prop_map(|(shorts, cost)| Rule {
        average: Average::Simple,
        shorts,
        cost,
    })
}

fn near(found: f64, wanted: f64, about: f64) -> bool {
    (found.is_nan() && wanted.is_nan()) || (found - wanted).abs() <= 1e-9 * wanted.abs().max(about)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_sweep_is_the_loop_for_every_pair(
        (close, open) in walk(),
        pairs in prop::collection::vec((1u32..90, 1u32..90), 0..30),
        rule in rules(),
        at_open in any::<bool>(),
        threads in 1usize..5,
    ) {
        let opens = at_open.then_some(&open[..]);
        let given = opens.map(floats);
        let found = cross(&floats(&close), given.as_deref(), &pairs, rule, threads).unwrap();
        prop_assert_eq!(found.len(), pairs.len());
        for (pair, found) in pairs.iter().zip(&found) {
            let wanted = reference(&close, opens, *pair, rule);
            prop_assert_eq!(found.trades, wanted.trades, "{:?}", pair);
            prop_assert_eq!(found.exposure, wanted.exposure);
            // Returns are of the size of a hundredth.
            prop_assert!(near(found.total, wanted.total, 1.0), "{:?} {:?} {:?}", pair, found, wanted);
            prop_assert!(near(found.drawdown, wanted.drawdown, 1.0), "{:?} {:?} {:?}", pair, found, wanted);
            prop_assert!(near(found.mean, wanted.mean, 1e-2), "{:?} {:?} {:?}", pair, found, wanted);
            prop_assert!(near(found.deviation, wanted.deviation, 1e-2), "{:?} {:?} {:?}", pair, found, wanted);
        }
    }

    #[test]
    fn registers_and_threads_change_no_bit(
        (close, open) in walk(),
        pairs in prop::collection::vec((1u32..200, 1u32..200), 0..40),
        rule in rules(),
        exponential in any::<bool>(),
        at_open in any::<bool>(),
        threads in 1usize..9,
    ) {
        let rule = Rule { average: if exponential { Average::Exponential } else { Average::Simple }, ..rule };
        let (close, open) = (floats(&close), floats(&open));
        let open = at_open.then_some(&open[..]);
        let bits = |found: Vec<Found>| -> Vec<[u64; 6]> {
            let of = |one: Found| [one.total.to_bits(), one.drawdown.to_bits(), one.trades, one.mean.to_bits(),
                one.deviation.to_bits(), one.exposure.to_bits()];
            found.into_iter().map(of).collect()
        };
        let plain = bits(cross_plain(&close, open, &pairs, rule).unwrap());
        prop_assert_eq!(&plain, &bits(cross(&close, open, &pairs, rule, 1).unwrap()));
        prop_assert_eq!(&plain, &bits(cross(&close, open, &pairs, rule, threads).unwrap()));
    }
}

const LONG: Rule = Rule {
    average: Average::Simple,
    shorts: false,
    cost: 0.001,
};

#[test]
fn a_market_that_stands_still_crosses_nothing() {
    // 0.1 has no end in binary, and seventh parts neither: sums of floats would differ by their rounding.
    for price in [0.1, 100.37, 1.0 / 7.0, 12_345.678_9, 1e-9 / 7.0] {
        let close = vec![price; 1_000];
        for average in [Average::Simple] {
            let rule = Rule { average, ..LONG };
            for found in cross(&close, None, &[(3, 7), (7, 3), (10, 70), (1, 200)], rule, 1).unwrap() {
                assert_eq!(
                    (found.total, found.trades, found.deviation),
                    (0.0, 0, 0.0),
                    "{price}"
                );
            }
        }
    }
}

#[test]
fn too_few_bars_have_no_returns() {
    for close in [&[][..], &[1.0]] {
        let found = cross(close, None, &[(1, 2)], LONG, 2).unwrap();
        assert_eq!((found[0].total, found[0].trades), (0.0, 0));
        assert!(found[0].mean.is_nan() && found[0].deviation.is_nan());
    }
    let found = cross(&[1.0, 2.0], None, &[(1, 5)], LONG, 2).unwrap();
    assert!(found[0].mean == 0.0 && found[0].deviation.is_nan());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let close = [1.0, f64::NAN, 2.0];
    let price = cross(&close, None, &[(1, 2)], LONG, 1).unwrap_err();
    assert!(price.to_string().starts_with("close[1] is NaN"), "{price}");
    assert!(matches!(
        cross(&[1.0], Some(&[0.0]), &[], LONG, 1),
        Err(Fault::Price { column: "open", .. })
    ));
    assert!(matches!(
        cross(&[1.0], Some(&[]), &[], LONG, 1),
        Err(Fault::Length { open: 0, close: 1 })
    ));
    assert_eq!(cross(&[1.0], None, &[(0, 1)], LONG, 1), Err(Fault::Window(0)));
    assert!(matches!(
        cross(
            &[1.0],
            None,
            &[],
            Rule {
                cost: f64::NAN,
                ..LONG
            },
            1
        ),
        Err(Fault::Cost(_))
    ));
    let short = Rule { shorts: true, ..LONG };
    assert_eq!(
        cross(&[1.0, 1.5, 3.0], None, &[(1, 2)], short, 1),
        Err(Fault::Ruin(2))
    );
    assert!(cross(&[1.0, 1.5, 2.9], None, &[(1, 2)], short, 1).is_ok());
}
