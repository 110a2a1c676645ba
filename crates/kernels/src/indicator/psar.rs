//! Parabolic stop and reverse.

use super::*;

#[derive(Clone)]
pub struct Psar {
    step: f64,
    most: f64,
    before: Option<Bar>,
    state: Option<State>,
}

#[derive(Clone)]
struct State {
    rising: bool,
    /// For the next bar.
    stop: f64,
    /// The furthest that the price went since the last turn.
    extreme: f64,
    share: f64,
}

impl Indicator for Psar {
    const SPEC: Spec = Spec {
        name: "psar",
        title: "Parabolic SAR",
        description: "A stop that comes nearer by a growing share of the way to the furthest price, and changes sides when it is met.",
        source: "J. Welles Wilder, New Concepts in Technical Trading Systems, 1978",
        params: &[
            Param::factor("step", 0.02, 0.0, 1.0),
            Param::factor("most", 0.2, 0.0, 1.0),
        ],
        outputs: &[Output::new("psar", Draw::Marks, Pane::Price)],
        inputs: Inputs::RANGE,
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        let most = args.factor(1);
        Self {
            step: args.factor(0).min(most),
            most,
            before: None,
            state: None,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let Some(before) = self.before.replace(*bar) else {
            return [f64::NAN];
        };
        let begun = self.state.is_some();
        let state = self.state.get_or_insert_with(|| begin(&before, bar, self.step));
        // It never begins within the last two bars; of the second bar there is no one before.
        let (low, high) = match begun {
            true => (before.low.min(bar.low), before.high.max(bar.high)),
            false => (bar.low, bar.high),
        };
        let outside = |stop: f64, rising: bool| if rising { stop.min(low) } else { stop.max(high) };
        let met = match state.rising {
            true => bar.low <= state.stop,
            false => bar.high >= state.stop,
        };
        if met {
            state.rising = !state.rising;
            state.stop = outside(state.extreme, state.rising);
            state.extreme = if state.rising { bar.high } else { bar.low };
            state.share = self.step;
        }
        let shown = state.stop;
        let further = match state.rising {
            true => bar.high > state.extreme,
            false => bar.low < state.extreme,
        };
        if further {
            state.extreme = if state.rising { bar.high } else { bar.low };
            state.share = (state.share + self.step).min(self.most);
        }
        state.stop += state.share * (state.extreme - state.stop);
        state.stop = outside(state.stop, state.rising);
        [shown]
    }

    fn first(&self, _: usize) -> usize {
        1
    }

    /// Which side it is on may rest on the very first bar.
    fn memory(&self) -> Memory {
        Memory::Whole
    }
}

/// Down if the second bar went further down than up.
fn begin(before: &Bar, bar: &Bar, step: f64) -> State {
    let (down, up) = (before.low - bar.low, bar.high - before.high);
    let rising = !(down > 0.0 && down > up);
    State {
        rising,
        stop: if rising { before.low } else { before.high },
        extreme: if rising { bar.high } else { bar.low },
        share: step,
    }
}
