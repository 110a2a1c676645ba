//! Aroon.

use super::part::{Fold, Window};
use super::*;

/// Highest and lowest with the bar they were at; of equal ones the newest counts.
#[derive(Clone, Copy)]
struct Peaks {
    high: (f64, u64),
    low: (f64, u64),
}

impl Fold for Peaks {
    const NONE: Self = Self {
        high: (f64::NEG_INFINITY, 0),
        low: (f64::INFINITY, 0),
    };

    #[inline(always)]
    fn join(older: Self, newer: Self) -> Self {
        Self {
            high: if newer.high.0 >= older.high.0 {
                newer.high
            } else {
                older.high
            },
            low: if newer.low.0 <= older.low.0 {
                newer.low
            } else {
                older.low
            },
        }
    }
}

#[derive(Clone)]
pub struct Aroon {
    peaks: Window<Peaks>,
    at: u64,
    bars: u64,
}

impl Indicator for Aroon {
    const SPEC: Spec = Spec {
        name: "aroon",
        title: "Aroon",
        description: "How lately the highest high (up) and the lowest low (down) were: 100 at this bar, 0 a period ago.",
        source: "Tushar Chande, Stocks & Commodities 13:9, 1995",
        params: &[Param::period(14)],
        outputs: &[Output::own("up"), Output::own("down")],
        inputs: Inputs::RANGE,
    };
    type Out = [f64; 2];

    fn new(args: &Args) -> Self {
        Self {
            peaks: Window::new(args.bars(0) + 1),
            at: 0,
            bars: args.bars(0) as u64,
        }
    }

    #[inline(always)]
    fn update(&mut self, bar: &Bar) -> [f64; 2] {
        let at = self.at;
        self.at += 1;
        let found = self.peaks.whole(Peaks {
            high: (bar.high, at),
            low: (bar.low, at),
        });
        match found {
            Some(found) => [found.high.1, found.low.1].map(|peak| {
                let left = self.bars - (at - peak);
                100.0 * left as f64 / self.bars as f64
            }),
            None => [f64::NAN; 2],
        }
    }

    fn first(&self, _: usize) -> usize {
        self.bars as usize
    }

    fn memory(&self) -> Memory {
        Memory::Window(self.peaks.bars())
    }
}
