//! Money flow index.

use super::part::{Sum, Window, ratio};
use super::*;

#[derive(Clone)]
pub struct Mfi {
    flow: Window<Sum<2>>,
    before: f64,
}

impl Indicator for Mfi {
    const SPEC: Spec = Spec {
        name: "mfi",
        title: "Money flow index",
        description: "Turnover at rising typical prices in percent of that at rising and falling ones.",
        source: "Gene Quong and Avrum Soudack, Stocks & Commodities 7:3, 1989",
        params: &[Param::period(14)],
        outputs: &[Output::own("mfi")],
        inputs: Inputs::PRICES.and(Inputs::VOLUME),
    };
    type Out = [f64; 1];

    fn new(args: &Args) -> Self {
        Self {
            flow: Window::new(args.bars(0)),
            before: f64::NAN,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 1] {
        let typical = bar.typical();
        let before = std::mem::replace(&mut self.before, typical);
        if before.is_nan() {
            return [f64::NAN];
        }
        let value = typical * bar.volume;
        let flow = self.flow.whole(Sum([
            if typical > before { value } else { 0.0 },
            if typical < before { value } else { 0.0 },
        ]));
        match flow {
            Some(Sum([up, down])) => [100.0 * ratio(up, up + down)],
            None => [f64::NAN],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.flow.bars()
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.flow.bars() + 1)
    }
}
