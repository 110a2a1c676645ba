//! Crossing averages over one series for many pairs of windows at once.
//!
//! What a bar does to equity depends on the positions before and after its beginning alone, and of those there are
//! few: for three bars in a row, sixteen courses. What each course does is computed once (`course`) and shared by
//! all pairs; a pair is then four bits and a look-up for three bars, eight pairs to a register where the processor
//! has AVX-512 (`wide`), one after another elsewhere (`lane`), with the same results to the bit. Positions are
//! bits: sixty-three bars, and the one before them, are one word.
//!
//! Bars are taken in blocks that stay in the cache; threads share out pairs, so a pair's result does not depend on
//! how many there are.

mod average;
mod course;
mod lane;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::fmt;
use std::thread;

use average::{Averages, Sums};
use course::{BARS, Block, Prices};
use lane::{LANES, Lanes};

pub use average::Average;

/// The longest window.
pub const WINDOW_MAX: u32 = 1_000_000;

/// What is done when averages cross.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub average: Average,
    /// Short while the fast average is not above the slow one, instead of flat.
    pub shorts: bool,
    /// Lost at each change of position, by what is bought or sold: fee and slippage, 0.001 is a thousandth.
    pub cost: f64,
}

/// What came of one pair. Returns are of bars 1 to n - 1, flat ones included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Growth over all bars: 0.1 is 10 %.
    pub total: f64,
    /// The deepest fall of equity at closes below its highest so far, the start included: -0.1 is 10 %; 0 without.
    pub drawdown: f64,
    /// Positions that were opened.
    pub trades: u64,
    /// Mean of the returns; NaN without any.
    pub mean: f64,
    /// Their standard deviation, n - 2 in the denominator; NaN of fewer than two.
    pub deviation: f64,
    /// Share of the returns with a position.
    pub exposure: f64,
}

/// Why nothing was swept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Length {
        open: usize,
        close: usize,
    },
    Price {
        column: &'static str,
        at: usize,
        value: f64,
    },
    Window(u32),
    Cost(f64),
    Ruin(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Length { open, close } => write!(f, "{open} opens and {close} closes"),
            Fault::Price { column, at, value } => {
                write!(
                    f,
                    "{column}[{at}] is {value}: prices are finite and above 0, leave other bars out"
                )
            }
            Fault::Window(bars) => write!(f, "a window of {bars} bars, not 1 to {WINDOW_MAX}"),
            Fault::Cost(cost) => write!(f, "a cost of {cost}, not 0 to 0.4 of what is traded"),
            Fault::Ruin(at) => {
                write!(
                    f,
                    "bar {at} doubles the price: a short position would lose more than there is"
                )
            }
        }
    }
}

impl std::error::Error for Fault {}

/// What each pair of windows, fast and slow, would have brought, in their order.
///
/// At the close of each bar from the first that has both averages on, a pair is long where its fast average is above
/// its slow one, and otherwise flat, or short. A change is done at `open` of the next bar, or, without opens, at the
/// very close. The last close changes nothing: no bar follows. A position is as large as equity, a short one again at every close
/// and at every fill, without costs. It runs on `threads` threads, and never on more than there is work for.
pub fn cross(
    close: &[f64],
    open: Option<&[f64]>,
    pairs: &[(u32, u32)],
    rule: Rule,
    threads: usize,
) -> Result<Vec<Found>, Fault> {
    check(close, open, pairs, rule)?;
    let longest = pairs.iter().map(|&(fast, slow)| fast.max(slow)).max();
    let sums = Sums::of(close, longest.unwrap_or(1));
    let prices = Prices { close, open };
    let groups = pairs.len().div_ceil(LANES);
    let share = groups.div_ceil(threads.max(1)).max(1) * LANES;
    let mut found = vec![Vec::new(); pairs.len().div_ceil(share)];
    let work = |pairs: &[(u32, u32)]| swept(&prices, &sums, pairs, rule);
    match &mut found[..] {
        [] => {}
        [only] => *only = work(pairs),
        several => thread::scope(|scope| {
            for (place, pairs) in several.iter_mut().zip(pairs.chunks(share)) {
                scope.spawn(move || *place = work(pairs));
            }
        }),
    }
    Ok(found.concat())
}

fn check(close: &[f64], open: Option<&[f64]>, pairs: &[(u32, u32)], rule: Rule) -> Result<(), Fault> {
    for (column, values) in [("close", Some(close)), ("open", open)] {
        let bad = |value: &f64| !(value.is_finite() && *value > 0.0);
        if let Some(at) = values.and_then(|values| values.iter().position(bad)) {
            let value = values.map_or(f64::NAN, |values| values[at]);
            return Err(Fault::Price { column, at, value });
        }
    }
    if let Some(open) = open.filter(|open| open.len() != close.len()) {
        let (open, close) = (open.len(), close.len());
        return Err(Fault::Length { open, close });
    }
    let windows = pairs.iter().flat_map(|&(fast, slow)| [fast, slow]);
    if let Some(bars) = windows.into_iter().find(|bars| !(1..=WINDOW_MAX).contains(bars)) {
        return Err(Fault::Window(bars));
    }
    if !(0.0..=0.4).contains(&rule.cost) {
        return Err(Fault::Cost(rule.cost));
    }
    if rule.shorts {
        let prices = Prices { close, open };
        if let Some(at) = (1..close.len()).find(|&at| prices.ruins(at)) {
            return Err(Fault::Ruin(at));
        }
    }
    Ok(())
}

/// One thread's share.
fn swept(prices: &Prices, sums: &Sums, pairs: &[(u32, u32)], rule: Rule) -> Vec<Found> {
    #[cfg(target_arch = "x86_64")]
    if wide::is_there() {
        // SAFETY: the processor has what `wide` is compiled for.
        return unsafe { wide::swept(prices, sums, pairs, rule) };
    }
    sweep(prices, sums, pairs, rule, average::above, lane::advance)
}

/// One pair on its way.
struct Pair {
    /// Places of its averages.
    fast: usize,
    slow: usize,
    /// The first bar with both averages.
    start: usize,
    /// Whether it was above at the bar before: the lowest bit of the next word.
    above: u64,
    trades: u64,
    held: u64,
}

/// Takes all pairs over all bars. `above` says which of 64 numbers are above those of another, as bits; `advance` takes
/// eight pairs through a block.
#[inline(always)]
fn sweep(
    prices: &Prices,
    sums: &Sums,
    pairs: &[(u32, u32)],
    rule: Rule,
    above: impl Fn(&[f64; 64], &[f64; 64]) -> u64,
    advance: impl Fn(&mut Lanes, &[u64; LANES], &Block),
) -> Vec<Found> {
    let mut averages = Averages::new(rule.average, pairs);
    let mut states: Vec<Pair> = pairs
        .iter()
        .map(|&(fast, slow)| Pair {
            fast: averages.place(fast),
            slow: averages.place(slow),
            start: fast.max(slow) as usize - 1,
            above: 0,
            trades: 0,
            held: 0,
        })
        .collect();
    let mut lanes = vec![Lanes::NEW; pairs.len().div_ceil(LANES)];
    let mut block = Block::new(rule);
    let steps = prices.close.len().saturating_sub(1);
    for first in (0..steps).step_by(BARS) {
        averages.fill(sums, prices.close, first);
        block.fill(prices, first);
        // Bits 1 and on that stand for a step: those behind the end stand for none.
        let counted = (u64::MAX >> (BARS - BARS.min(steps - first))) & !1;
        for (states, lanes) in states.chunks_mut(LANES).zip(&mut lanes) {
            let mut words = [0; LANES];
            let mut settled = true;
            for (at, (pair, word)) in states.iter_mut().zip(&mut words).enumerate() {
                if pair.start >= first + BARS {
                    settled &= !rule.shorts;
                    continue;
                }
                let mut bits = above(averages.of(pair.fast), averages.of(pair.slow));
                if pair.start >= first {
                    bits &= u64::MAX << (pair.start - first);
                    if rule.shorts {
                        // Flat until now is a third kind of position, of which tables know nothing.
                        let (trades, held) = lane::begin(lanes, at, bits, pair.start - first, &block);
                        (pair.trades, pair.held) = (trades, held);
                        pair.above = bits >> (BARS - 1) & 1;
                        settled = false;
                        continue;
                    }
                }
                *word = bits << 1 | pair.above;
                pair.above = *word >> BARS;
                let opened = if rule.shorts {
                    *word ^ *word << 1
                } else {
                    *word & !(*word << 1)
                };
                pair.trades += u64::from((opened & counted).count_ones());
                let held = if rule.shorts { counted } else { *word & counted };
                pair.held += u64::from(held.count_ones());
            }
            if settled {
                advance(lanes, &words, &block);
            } else {
                let begun = states.iter().enumerate().filter(|(_, pair)| pair.start < first);
                for (at, _) in begun {
                    lane::advance_one(lanes, at, words[at], &block);
                }
            }
        }
    }
    states
        .iter()
        .enumerate()
        .map(|(at, pair)| lanes[at / LANES].found(at % LANES, pair, steps))
        .collect()
}
