//! What an indicator says of itself.

/// Description of one indicator; the whole registry is made of these.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// Who published it, and when.
    pub source: &'static str,
    pub params: &'static [Param],
    pub outputs: &'static [Output],
    pub inputs: Inputs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Float,
}

/// A parameter and its range, both ends included.
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub default: f64,
    pub low: f64,
    pub high: f64,
}

/// A series longer than this is not smoothed by anyone; it bounds the memory of one instance.
const BARS_MAX: f64 = 100_000.0;

impl Param {
    pub(super) const fn period(default: usize) -> Self {
        Self::bars("period", default)
    }

    /// A number of bars, one at least.
    pub(super) const fn bars(name: &'static str, default: usize) -> Self {
        Self::bars_from(name, default, 1)
    }

    pub(super) const fn bars_from(name: &'static str, default: usize, low: usize) -> Self {
        Self {
            name,
            kind: Kind::Int,
            default: default as f64,
            low: low as f64,
            high: BARS_MAX,
        }
    }

    pub(super) const fn factor(name: &'static str, default: f64, low: f64, high: f64) -> Self {
        Self {
            name,
            kind: Kind::Float,
            default,
            low,
            high,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    Line,
    Histogram,
    /// One edge of an area; a band has two of them.
    Band,
    /// A point at each bar.
    Marks,
}

impl Draw {
    pub fn name(self) -> &'static str {
        match self {
            Draw::Line => "line",
            Draw::Histogram => "histogram",
            Draw::Band => "band",
            Draw::Marks => "marks",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Over the bars, on their scale.
    Price,
    /// Below the bars, on a scale of its own.
    Own,
    /// With the volume.
    Volume,
}

impl Pane {
    pub fn name(self) -> &'static str {
        match self {
            Pane::Price => "price",
            Pane::Own => "own",
            Pane::Volume => "volume",
        }
    }
}

#[derive(Debug)]
pub struct Output {
    pub name: &'static str,
    pub draw: Draw,
    pub pane: Pane,
    /// By how many bars it is drawn later (+) or earlier (−): a parameter's name and the sign. Values are never
    /// moved, so that none is seen before it is known.
    pub shift: Option<(&'static str, i32)>,
}

impl Output {
    pub(super) const fn new(name: &'static str, draw: Draw, pane: Pane) -> Self {
        Self {
            name,
            draw,
            pane,
            shift: None,
        }
    }

    pub(super) const fn price(name: &'static str) -> Self {
        Self::new(name, Draw::Line, Pane::Price)
    }

    pub(super) const fn band(name: &'static str) -> Self {
        Self::new(name, Draw::Band, Pane::Price)
    }

    /// Drawn as many bars later (1) or earlier (−1) as the parameter `shift` says.
    pub(super) const fn shifted(name: &'static str, draw: Draw, sign: i32) -> Self {
        Self {
            name,
            draw,
            pane: Pane::Price,
            shift: Some(("shift", sign)),
        }
    }

    pub(super) const fn own(name: &'static str) -> Self {
        Self::new(name, Draw::Line, Pane::Own)
    }
}

/// Which fields of a bar are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs(u8);

impl Inputs {
    pub const HIGH: Self = Self(2);
    pub const LOW: Self = Self(4);
    pub const CLOSE: Self = Self(8);
    pub const VOLUME: Self = Self(16);
    pub const START: Self = Self(32);
    pub const OPEN: Self = Self(1);
    pub const RANGE: Self = Self::HIGH.and(Self::LOW);
    pub const PRICES: Self = Self::RANGE.and(Self::CLOSE);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn names(self) -> Vec<&'static str> {
        [
            ("start", Self::START),
            ("open", Self::OPEN),
            ("high", Self::HIGH),
            ("low", Self::LOW),
            ("close", Self::CLOSE),
            ("volume", Self::VOLUME),
        ]
        .into_iter()
        .filter(|(_, one)| self.has(*one))
        .map(|(name, _)| name)
        .collect()
    }
}

/// How far back a value reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Over the last so many bars, and no further.
    Window(usize),
    /// Over all bars, but what came before so many weighs less than 1e-12.
    Fading(usize),
    /// Over all bars: one that starts later never has to agree.
    Whole,
}

impl Memory {
    /// The number of bars whose last one has the same value in a fresh instance as in one that saw all history.
    pub fn warm_up(self) -> Option<usize> {
        match self {
            Memory::Window(bars) | Memory::Fading(bars) => Some(bars),
            Memory::Whole => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Memory::Window(_) => "window",
            Memory::Fading(_) => "fading",
            Memory::Whole => "whole",
        }
    }

    /// Of two parts that are both needed.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Memory::Window(a), Memory::Window(b)) => Memory::Window(a.max(b)),
            (Memory::Whole, _) | (_, Memory::Whole) => Memory::Whole,
            (a, b) => Memory::Fading(a.warm_up().max(b.warm_up()).unwrap_or(0)),
        }
    }

    /// Of a window of so many values that are themselves made so.
    pub(super) fn over(self, bars: usize) -> Self {
        match self {
            Memory::Window(inner) => Memory::Window(inner + bars - 1),
            Memory::Fading(inner) => Memory::Fading(inner + bars - 1),
            Memory::Whole => Memory::Whole,
        }
    }
}

/// Parameters in the spec's order, each in its range.
pub struct Args(pub(super) Vec<f64>);

impl Args {
    pub(super) fn bars(&self, at: usize) -> usize {
        self.0[at] as usize
    }

    pub(super) fn factor(&self, at: usize) -> f64 {
        self.0[at]
    }
}
