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

use average::{Averages, Row, Sums};
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
    shared(close, open, pairs, rule, threads, swept)
}

/// The same without any register wider than every processor has: what others are tested against.
pub fn cross_plain(
    close: &[f64],
    open: Option<&[f64]>,
    pairs: &[(u32, u32)],
    rule: Rule,
) -> Result<Vec<Found>, Fault> {
    shared(close, open, pairs, rule, 1, plain)
}

/// One thread's share of the pairs.
type Share = fn(&Prices, &Sums, &[(u32, u32)], Rule) -> Vec<Found>;

fn shared(
    close: &[f64],
    open: Option<&[f64]>,
    pairs: &[(u32, u32)],
    rule: Rule,
    threads: usize,
    work: Share,
) -> Result<Vec<Found>, Fault> {
    check(close, open, pairs, rule)?;
    let longest = pairs.iter().map(|&(fast, slow)| fast.max(slow)).max();
    let sums = Sums::of(close, longest.unwrap_or(1));
    let prices = Prices { close, open };
    let groups = pairs.len().div_ceil(LANES);
    let share = groups.div_ceil(threads.max(1)).max(1) * LANES;
    let mut found = vec![Vec::new(); pairs.len().div_ceil(share)];
    match &mut found[..] {
        [] => {}
        [only] => *only = work(&prices, &sums, pairs, rule),
        several => thread::scope(|scope| {
            for (place, pairs) in several.iter_mut().zip(pairs.chunks(share)) {
                let (prices, sums) = (&prices, &sums);
                scope.spawn(move || *place = work(prices, sums, pairs, rule));
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

fn swept(prices: &Prices, sums: &Sums, pairs: &[(u32, u32)], rule: Rule) -> Vec<Found> {
    #[cfg(target_arch = "x86_64")]
    if wide::is_there() {
        // SAFETY: the processor has what `wide` is compiled for.
        return unsafe { wide::swept(prices, sums, pairs, rule) };
    }
    plain(prices, sums, pairs, rule)
}

fn plain(prices: &Prices, sums: &Sums, pairs: &[(u32, u32)], rule: Rule) -> Vec<Found> {
    sweep(prices, sums, pairs, rule, average::above, lane::advance)
}

/// Where a pair's averages are, and from when on it has both.
struct Pair {
    fast: usize,
    slow: usize,
    /// The first bar with both averages.
    start: usize,
}

/// Takes all pairs over all bars. `above` says which of 64 numbers are above those of another, as bits; `advance` takes
/// eight pairs through a block.
#[inline(always)]
fn sweep(
    prices: &Prices,
    sums: &Sums,
    pairs: &[(u32, u32)],
    rule: Rule,
    above: impl Fn(&Row, &Row, &mut [u8; 8]),
    advance: impl Fn(&mut Lanes, &[u64; LANES], &Block),
) -> Vec<Found> {
    let mut averages = Averages::new(rule.average, pairs);
    let mut states: Vec<Pair> = pairs
        .iter()
        .map(|&(fast, slow)| Pair {
            fast: averages.place(fast),
            slow: averages.place(slow),
            start: fast.max(slow) as usize - 1,
        })
        .collect();
    // Pairs that fill up the last eight never begin.
    let never = || Pair {
        fast: 0,
        slow: 0,
        start: usize::MAX,
    };
    states.resize_with(pairs.len().next_multiple_of(LANES), never);
    let settled = pairs
        .iter()
        .map(|&(fast, slow)| fast.max(slow) as usize)
        .max()
        .unwrap_or(0);
    let mut lanes = vec![Lanes::NEW; states.len() / LANES];
    let mut signals = vec![[[0; 8]; LANES]; lanes.len()];
    let mut block = Block::new(rule);
    let steps = prices.close.len().saturating_sub(1);
    for first in (0..steps).step_by(BARS) {
        averages.fill(sums, prices.close, first);
        block.fill(prices, first);
        // All signals before any equity: what is written in bytes is read as words when it has long arrived.
        for (signals, states) in signals.iter_mut().zip(states.chunks_exact(LANES)) {
            for (signal, pair) in signals.iter_mut().zip(states) {
                above(averages.of(pair.fast), averages.of(pair.slow), signal);
            }
        }
        let groups = lanes.iter_mut().zip(&signals).zip(states.chunks_exact(LANES));
        for ((lanes, signals), states) in groups {
            let mut signals = signals.map(u64::from_le_bytes);
            if first < settled {
                for (signal, pair) in signals.iter_mut().zip(states) {
                    // No position before there are both averages.
                    let missing = pair.start.saturating_sub(first);
                    *signal &= u64::MAX
                        .checked_shl(u32::try_from(missing).unwrap_or(u32::MAX))
                        .unwrap_or(0);
                }
                if rule.shorts {
                    lane::settle(lanes, &signals, states, first, &block);
                    continue;
                }
            }
            let words = lanes.words(&signals, &block);
            advance(lanes, &words, &block);
        }
    }
    (0..pairs.len())
        .map(|at| lanes[at / LANES].found(at % LANES, steps))
        .collect()
}
