//! What was some bars ago.

/// The value of `n` bars ago; None until there is one.
#[derive(Clone)]
pub struct Lag {
    slots: Box<[f64]>,
    at: usize,
    full: bool,
}

impl Lag {
    pub fn new(bars: usize) -> Self {
        Self {
            slots: vec![0.0; bars].into(),
            at: 0,
            full: false,
        }
    }

    #[inline(always)]
    pub fn push(&mut self, value: f64) -> Option<f64> {
        let slot = &mut self.slots[self.at];
        let before = std::mem::replace(slot, value);
        let found = self.full.then_some(before);
        self.at += 1;
        if self.at == self.slots.len() {
            (self.at, self.full) = (0, true);
        }
        found
    }

    /// `push` of each value, into `before`: NaN where there is none.
    #[inline(always)]
    pub fn run(&mut self, values: &[f64], before: &mut [f64]) {
        let (bars, len) = (self.slots.len(), values.len());
        let early = bars.min(len);
        for (value, before) in values[..early].iter().zip(&mut before[..early]) {
            *before = self.push(*value).unwrap_or(f64::NAN);
        }
        if len <= bars {
            return;
        }
        before[bars..len].copy_from_slice(&values[..len - bars]);
        // The newest, each in the place where pushing one after the other would have put it.
        self.at = (self.at + len - bars) % bars;
        let (first, second) = values[len - bars..].split_at(bars - self.at);
        self.slots[self.at..].copy_from_slice(first);
        self.slots[..self.at].copy_from_slice(second);
    }

    /// The last `n`, in no order; zeros until there are so many.
    pub fn held(&self) -> &[f64] {
        &self.slots
    }

    pub fn bars(&self) -> usize {
        self.slots.len()
    }
}
