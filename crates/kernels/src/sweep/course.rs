//! What every possible course of positions does to equity, three bars at a time.

use super::Rule;

/// Bars in a block: with the position before them, one word of bits.
pub const BARS: usize = 63;
/// Bars in a step.
const STRIDE: usize = 3;
pub const STEPS: usize = BARS / STRIDE;
/// Courses of a step: above or not before it, and at each of its bars.
pub const COURSES: usize = 1 << (STRIDE + 1);

#[derive(Clone, Copy)]
pub struct Prices<'a> {
    pub close: &'a [f64],
    /// Where changes are done at the next open.
    pub open: Option<&'a [f64]>,
}

impl Prices<'_> {
    /// How the price of a change at bar `at` is to its close, the next close to that price, and to this close.
    #[inline(always)]
    fn ratios(&self, at: usize) -> [f64; 3] {
        let (close, next) = (self.close[at], self.close[at + 1]);
        match self.open {
            Some(open) => [open[at + 1] / close, next / open[at + 1], next / close],
            None => [1.0, next / close, next / close],
        }
    }

    /// Whether a short position may lose everything in bar `at`.
    pub fn ruins(&self, at: usize) -> bool {
        self.ratios(at - 1).iter().any(|ratio| *ratio >= 2.0)
    }
}

/// The growth of equity by a ratio of prices, long or not.
#[inline(always)]
pub fn growth(long: bool, ratio: f64, shorts: bool) -> f64 {
    match (long, shorts) {
        (true, _) => ratio,
        (false, true) => 2.0 - ratio,
        (false, false) => 1.0,
    }
}

/// What three bars do to equity, by the course of positions: bit 0 is the one before, bits 1 to 3 those taken at the
/// bars' closes.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Step {
    /// By how much equity grows over them.
    pub growth: [f64; COURSES],
    /// The highest and the lowest that it is on the way, by what it was before.
    pub high: [f64; COURSES],
    pub low: [f64; COURSES],
    /// The lowest by one before it among the three: their own drawdown.
    pub fall: [f64; COURSES],
    /// Sums of the returns and of their squares.
    pub sum: [f64; COURSES],
    pub square: [f64; COURSES],
}

/// The bars of a block.
pub struct Block {
    rule: Rule,
    pub steps: [Step; STEPS],
    /// The lowest `fall` of any course of each step: most steps cannot be the deepest of anyone, which is seen at once.
    pub deepest: [f64; STEPS],
    /// `Prices::ratios` of each bar, ones behind the end.
    pub ratios: [[f64; 3]; BARS],
    /// Bars before the end.
    pub bars: usize,
    /// Bits 1 and on of a word that stand for one of them.
    pub counted: u64,
}

impl Block {
    pub fn new(rule: Rule) -> Self {
        const STEP: Step = Step {
            growth: [1.0; COURSES],
            high: [1.0; COURSES],
            low: [1.0; COURSES],
            fall: [1.0; COURSES],
            sum: [0.0; COURSES],
            square: [0.0; COURSES],
        };
        Self {
            rule,
            steps: [STEP; STEPS],
            deepest: [1.0; STEPS],
            ratios: [[1.0; 3]; BARS],
            bars: 0,
            counted: 0,
        }
    }

    /// Equity's growth in the bar after one with these ratios, from one position to another: what is held meets the
    /// gap to the fill, the change costs, and the new one meets the rest.
    #[inline(always)]
    fn bar(&self, ratios: [f64; 3]) -> [f64; 4] {
        let shorts = self.rule.shorts;
        let [gap, rest, whole] = ratios;
        [
            growth(false, whole, shorts),
            self.changed(true, gap, false, rest),
            self.changed(false, gap, true, rest),
            growth(true, whole, shorts),
        ]
    }

    #[inline(always)]
    pub fn changed(&self, from: bool, gap: f64, to: bool, rest: f64) -> f64 {
        let Rule { shorts, cost, .. } = self.rule;
        // From one side to the other, twice as much is traded.
        let kept = if shorts { 1.0 - 2.0 * cost } else { 1.0 - cost };
        growth(from, gap, shorts) * kept * growth(to, rest, shorts)
    }

    /// Takes the bars from `first` on. Behind the end every course does nothing.
    #[inline(always)]
    pub fn fill(&mut self, prices: &Prices, first: usize) {
        self.bars = BARS.min(prices.close.len() - 1 - first);
        self.counted = (u64::MAX >> (BARS - self.bars)) & !1;
        let mut bars = [[1.0; 4]; BARS];
        self.ratios = [[1.0; 3]; BARS];
        for at in 0..self.bars {
            self.ratios[at] = prices.ratios(first + at);
            bars[at] = self.bar(self.ratios[at]);
        }
        for (at, (step, deepest)) in self.steps.iter_mut().zip(&mut self.deepest).enumerate() {
            step.fill(&bars[at * STRIDE..][..STRIDE]);
            *deepest = step.fall.iter().copied().fold(1.0, smaller);
        }
    }

    /// The costs of a first position.
    pub fn entered(&self) -> f64 {
        1.0 - self.rule.cost
    }

    pub fn shorts(&self) -> bool {
        self.rule.shorts
    }
}

impl Step {
    #[inline(always)]
    fn fill(&mut self, bars: &[[f64; 4]]) {
        for course in 0..COURSES {
            let (one, two, three) = (
                bars[0][course & 3],
                bars[1][course >> 1 & 3],
                bars[2][course >> 2 & 3],
            );
            let (second, third) = (one * two, one * two * three);
            self.growth[course] = third;
            self.high[course] = larger(one, larger(second, third));
            self.low[course] = smaller(one, smaller(second, third));
            self.fall[course] = smaller(two, smaller(three, two * three));
            let returns = [one - 1.0, two - 1.0, three - 1.0];
            self.sum[course] = returns[0] + returns[1] + returns[2];
            self.square[course] = returns[0] * returns[0] + returns[1] * returns[1] + returns[2] * returns[2];
        }
    }
}

/// As `f64::max` and `f64::min` of numbers, in one instruction.
#[inline(always)]
pub fn larger(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

#[inline(always)]
pub fn smaller(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}
