//! Pairs on their way through the blocks, eight side by side; taken one after another here.

use super::course::{Block, COURSES, growth, larger, smaller};
use super::{Found, Pair};

/// Pairs side by side.
pub const LANES: usize = 8;

/// What eight pairs have so far.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Lanes {
    /// Equity, which begins with 1, and its highest so far.
    pub grown: [f64; LANES],
    pub peak: [f64; LANES],
    /// The lowest equity by its highest before it.
    pub fall: [f64; LANES],
    /// Sums of the returns and of their squares.
    pub sum: [f64; LANES],
    pub square: [f64; LANES],
}

/// Takes eight pairs through a block: bit 0 of a word is the position before it, bits 1 to 63 those of its bars.
pub fn advance(lanes: &mut Lanes, words: &[u64; LANES], block: &Block) {
    for (at, word) in words.iter().enumerate() {
        advance_one(lanes, at, *word, block);
    }
}

/// Takes one of them.
pub fn advance_one(lanes: &mut Lanes, at: usize, word: u64, block: &Block) {
    let mut one = lanes.one(at);
    let mut rest = word;
    for step in &block.steps {
        let course = rest as usize & (COURSES - 1);
        rest >>= 3;
        one.take(
            [
                step.growth[course],
                step.high[course],
                step.low[course],
                step.fall[course],
            ],
            step.sum[course],
            step.square[course],
        );
    }
    lanes.put(at, one);
}

/// Takes a pair through the block in which it first has both averages, at bar `start`: from flat to long or short.
/// The positions that were opened, and the bars with one.
pub fn begin(lanes: &mut Lanes, at: usize, bits: u64, start: usize, block: &Block) -> (u64, u64) {
    let mut one = lanes.one(at);
    let (mut trades, mut held) = (0, 0);
    let mut before = None;
    for bar in start..block.bars {
        let long = bits >> bar & 1 == 1;
        let [gap, rest, whole] = block.ratios[bar];
        let grown = match before {
            None => block.entered() * growth(long, rest, block.shorts()),
            Some(same) if same == long => growth(long, whole, block.shorts()),
            Some(other) => block.changed(other, gap, long, rest),
        };
        trades += u64::from(before != Some(long));
        held += 1;
        before = Some(long);
        let back = grown - 1.0;
        one.take([grown, grown, grown, 1.0], back, back * back);
    }
    lanes.put(at, one);
    (trades, held)
}

/// One pair's numbers out of eight.
struct One {
    grown: f64,
    peak: f64,
    fall: f64,
    sum: f64,
    square: f64,
}

impl One {
    #[inline(always)]
    fn take(&mut self, [growth, high, low, fall]: [f64; 4], sum: f64, square: f64) {
        let lowest = self.grown * low;
        // Seldom true, and spares a division.
        if lowest < self.fall * self.peak {
            self.fall = smaller(lowest / self.peak, self.fall);
        }
        self.fall = smaller(fall, self.fall);
        self.peak = larger(self.grown * high, self.peak);
        self.grown *= growth;
        self.sum += sum;
        self.square += square;
    }
}

impl Lanes {
    pub const NEW: Self = Self {
        grown: [1.0; LANES],
        peak: [1.0; LANES],
        fall: [1.0; LANES],
        sum: [0.0; LANES],
        square: [0.0; LANES],
    };

    fn one(&self, at: usize) -> One {
        One {
            grown: self.grown[at],
            peak: self.peak[at],
            fall: self.fall[at],
            sum: self.sum[at],
            square: self.square[at],
        }
    }

    fn put(&mut self, at: usize, one: One) {
        self.grown[at] = one.grown;
        self.peak[at] = one.peak;
        self.fall[at] = one.fall;
        self.sum[at] = one.sum;
        self.square[at] = one.square;
    }

    /// What came of the pair in place `at`, over so many returns.
    pub(super) fn found(&self, at: usize, pair: &Pair, returns: usize) -> Found {
        let count = returns as f64;
        let (sum, square) = (self.sum[at], self.square[at]);
        let mean = sum / count;
        let spread = square - sum * mean;
        // What is left where all returns are equal is rounding.
        let spread = if spread > square * 1e-13 { spread } else { 0.0 };
        Found {
            total: self.grown[at] - 1.0,
            drawdown: self.fall[at] - 1.0,
            trades: pair.trades,
            mean,
            deviation: if returns < 2 {
                f64::NAN
            } else {
                (spread / (count - 1.0)).sqrt()
            },
            exposure: pair.held as f64 / count,
        }
    }
}
