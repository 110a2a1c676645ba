//! What is traded: the scales, steps and rules of one instrument.

use super::fault::Fault;
use super::money::DIGITS;

/// Prices and sizes are integers: the price 1.25 at scale 2 is 125.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    pub name: String,
    pub price_scale: u8,
    pub size_scale: u8,
    /// Step of prices, at `price_scale`.
    pub tick: i64,
    /// Step of sizes, at `size_scale`.
    pub lot: i64,
    /// Whether it can be sold without being held.
    pub shorts: bool,
    /// What price × size is multiplied by to be an amount.
    pub(crate) unit: i64,
}

impl Instrument {
    pub fn new(
        name: &str,
        price_scale: u8,
        size_scale: u8,
        tick: i64,
        lot: i64,
        shorts: bool,
    ) -> Result<Self, Fault> {
        let digits = u32::from(price_scale) + u32::from(size_scale);
        if digits > DIGITS {
            return Fault::refused(format!(
                "{name} has prices of {price_scale} and sizes of {size_scale} decimal digits, {digits} \
                 together, but amounts have {DIGITS}: give it smaller scales"
            ));
        }
        if tick <= 0 || lot <= 0 {
            return Fault::refused(format!("tick {tick} and lot {lot} of {name} must be above 0"));
        }
        Ok(Self {
            name: name.to_owned(),
            price_scale,
            size_scale,
            tick,
            lot,
            shorts,
            unit: 10i64.pow(DIGITS - digits),
        })
    }
}
