//! Pairs on their way through the blocks, eight side by side; taken one after another here.

use super::course::{BARS, Block, COURSES, growth, smaller};
use super::{Found, Pair};

/// Pairs side by side.
pub const LANES: usize = 8;

/// What eight pairs have so far.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Lanes {
    /// Equity, which begins with 1, its highest so far, and 1 divided by that.
    pub grown: [f64; LANES],
    pub peak: [f64; LANES],
    pub inverse: [f64; LANES],
    /// The lowest equity by its highest before it.
    pub fall: [f64; LANES],
    /// Sums of the returns and of their squares.
    pub sum: [f64; LANES],
    pub square: [f64; LANES],
    /// Whether the signal was on at the bar before: 0 or 1.
    pub above: [u64; LANES],
    /// Positions that were opened, and bars with one.
    pub trades: [u64; LANES],
    pub held: [u64; LANES],
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

/// Takes pairs that may be short through a block in which some of them begin. Until then they are flat, which is a
/// third kind of position, of which courses know nothing.
pub(super) fn settle(lanes: &mut Lanes, signals: &[u64; LANES], pairs: &[Pair], first: usize, block: &Block) {
    for (at, (signal, pair)) in signals.iter().zip(pairs).enumerate() {
        if pair.start < first {
            let word = lanes.word(at, *signal, block);
            advance_one(lanes, at, word, block);
        } else if pair.start < first + BARS {
            begin(lanes, at, *signal, pair.start - first, block);
        }
    }
}

/// Takes a pair through the block in which it first has both averages, at bar `start`: from flat to long or short.
fn begin(lanes: &mut Lanes, at: usize, signal: u64, start: usize, block: &Block) {
    let mut one = lanes.one(at);
    let mut before = None;
    for (bar, [gap, rest, whole]) in block.ratios[..block.bars].iter().copied().enumerate().skip(start) {
        let long = signal >> bar & 1 == 1;
        let grown = match before {
            None => block.entered() * growth(long, rest, block.shorts()),
            Some(same) if same == long => growth(long, whole, block.shorts()),
            Some(other) => block.changed(other, gap, long, rest),
        };
        lanes.trades[at] += u64::from(before != Some(long));
        lanes.held[at] += 1;
        before = Some(long);
        let back = grown - 1.0;
        one.take([grown, grown, grown, 1.0], back, back * back);
    }
    lanes.above[at] = signal >> (BARS - 1) & 1;
    lanes.put(at, one);
}

/// One pair's numbers out of eight.
struct One {
    grown: f64,
    peak: f64,
    inverse: f64,
    fall: f64,
    sum: f64,
    square: f64,
}

impl One {
    #[inline(always)]
    fn take(&mut self, [growth, high, low, fall]: [f64; 4], sum: f64, square: f64) {
        self.fall = smaller(self.grown * low * self.inverse, self.fall);
        self.fall = smaller(fall, self.fall);
        let highest = self.grown * high;
        // Seldom true, and spares a division.
        if highest > self.peak {
            self.peak = highest;
            self.inverse = 1.0 / highest;
        }
        self.grown *= growth;
        self.sum += sum;
        self.square += square;
    }
}

impl Lanes {
    pub const NEW: Self = Self {
        grown: [1.0; LANES],
        peak: [1.0; LANES],
        inverse: [1.0; LANES],
        fall: [1.0; LANES],
        sum: [0.0; LANES],
        square: [0.0; LANES],
        above: [0; LANES],
        trades: [0; LANES],
        held: [0; LANES],
    };

    /// The word of each pair for a block, and its counts.
    #[inline(always)]
    pub fn words(&mut self, signals: &[u64; LANES], block: &Block) -> [u64; LANES] {
        std::array::from_fn(|at| self.word(at, signals[at], block))
    }

    #[inline(always)]
    fn word(&mut self, at: usize, signal: u64, block: &Block) -> u64 {
        let word = signal << 1 | self.above[at];
        self.above[at] = word >> BARS;
        let (opened, held) = match block.shorts() {
            true => (word ^ word << 1, u64::MAX),
            false => (word & !(word << 1), word),
        };
        self.trades[at] += u64::from((opened & block.counted).count_ones());
        self.held[at] += u64::from((held & block.counted).count_ones());
        word
    }

    fn one(&self, at: usize) -> One {
        One {
            grown: self.grown[at],
            peak: self.peak[at],
            inverse: self.inverse[at],
            fall: self.fall[at],
            sum: self.sum[at],
            square: self.square[at],
        }
    }

    fn put(&mut self, at: usize, one: One) {
        self.grown[at] = one.grown;
        self.peak[at] = one.peak;
        self.inverse[at] = one.inverse;
        self.fall[at] = one.fall;
        self.sum[at] = one.sum;
        self.square[at] = one.square;
    }

    /// What came of the pair in place `at`, over so many returns.
    pub fn found(&self, at: usize, returns: usize) -> Found {
        let count = returns as f64;
        let (sum, square) = (self.sum[at], self.square[at]);
        let mean = sum / count;
        let spread = square - sum * mean;
        // What is left where all returns are equal is rounding.
        let spread = if spread > square * 1e-13 { spread } else { 0.0 };
        Found {
            total: self.grown[at] - 1.0,
            drawdown: self.fall[at] - 1.0,
            trades: self.trades[at],
            mean,
            deviation: if returns < 2 {
                f64::NAN
            } else {
                (spread / (count - 1.0)).sqrt()
            },
            exposure: self.held[at] as f64 / count,
        }
    }
}
