//! A fill: what was traded, at which price, and what it cost.

use super::order::Side;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// End of the row that filled it, ns.
    pub ts: i64,
    pub instrument: u32,
    pub order: u32,
    pub side: Side,
    /// At the instrument's scales.
    pub price: i64,
    pub size: i64,
    /// At [`super::cost::FEE_DIGITS`]; below 0 for a rebate.
    pub fee: i64,
    pub maker: bool,
}

/// What a position paid to keep, or was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// When it was due, ns.
    pub ts: i64,
    pub instrument: u32,
    /// What was paid at [`super::cost::FEE_DIGITS`]; below 0 where it was received.
    pub amount: i64,
}
