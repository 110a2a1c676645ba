//! What trading costs: fees, spread, slippage, and how much may be borrowed.

use super::fault::Fault;
use super::money::{parse, part_up};
use super::order::Side;

/// Fees are kept at this many decimal digits, rounded against us.
pub const FEE_DIGITS: u32 = 9;

/// Digits of a fee's rate, of basis points, and of shares and leverage.
const RATE_DIGITS: u32 = 12;
const BPS_DIGITS: u32 = 9;
pub(crate) const SHARE_DIGITS: u32 = 9;

const FEE_DIVISOR: i128 = 10i128.pow(RATE_DIGITS + super::money::DIGITS - FEE_DIGITS);
/// Half of the spread, ten thousand points, and the digits of a point.
const REACH_DIVISOR: i128 = 2 * 10_000 * 10i128.pow(BPS_DIGITS);

/// When a resting limit order is taken to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitFill {
    /// When its price is traded.
    Touch,
    /// When a price beyond it is traded.
    Through,
}

/// Where an order is filled whose price an open has jumped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapFill {
    /// At the open: better for a limit, worse for a stop.
    Open,
    /// At its own price, which was not traded; as NautilusTrader does with bars.
    Level,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Fractions of what is traded, at 12 digits.
    taker: i128,
    maker: i128,
    /// Spread + 2 × slippage in basis points, at 9 digits.
    reach: i128,
    slippage_ticks: i64,
    /// Most that may be held, by equity, at 9 digits.
    pub(crate) leverage: i128,
    pub limit_fill: LimitFill,
    pub gap_fill: GapFill,
}

/// Settings as text, as a person writes them.
#[derive(Clone, Debug)]
pub struct CostText<'a> {
    pub taker: &'a str,
    pub maker: &'a str,
    pub spread_bps: &'a str,
    pub slippage_bps: &'a str,
    pub slippage_ticks: i64,
    pub leverage: &'a str,
    pub limit_fill: &'a str,
    pub gap_fill: &'a str,
}

impl Default for CostText<'_> {
    fn default() -> Self {
        Self {
            taker: "0",
            maker: "0",
            spread_bps: "0",
            slippage_bps: "0",
            slippage_ticks: 0,
            leverage: "1",
            limit_fill: "touch",
            gap_fill: "open",
        }
    }
}

impl CostText<'_> {
    pub fn read(&self) -> Result<Cost, Fault> {
        let number = |what: &str, text: &str, digits: u32, low: i128, high: i128| {
            let value = parse(text, digits);
            let one = 10i128.pow(digits);
            value.filter(|value| (low * one..=high * one).contains(value)).ok_or_else(|| {
                Fault::Refused(format!(
                    "{what} is a decimal number of at most {digits} digits from {low} to {high}, not '{text}'"
                ))
            })
        };
        let spread = number("spread_bps", self.spread_bps, BPS_DIGITS, 0, 10_000)?;
        let slippage = number("slippage_bps", self.slippage_bps, BPS_DIGITS, 0, 10_000)?;
        let leverage = number("leverage", self.leverage, SHARE_DIGITS, 0, 1000)?;
        if leverage == 0 {
            return Fault::refused("leverage is above 0, not '0'");
        }
        if self.slippage_ticks < 0 {
            return Fault::refused(format!(
                "slippage_ticks is 0 or more, not {}",
                self.slippage_ticks
            ));
        }
        Ok(Cost {
            taker: number("taker", self.taker, RATE_DIGITS, -1, 1)?,
            maker: number("maker", self.maker, RATE_DIGITS, -1, 1)?,
            reach: spread + 2 * slippage,
            slippage_ticks: self.slippage_ticks,
            leverage,
            limit_fill: match self.limit_fill {
                "touch" => LimitFill::Touch,
                "through" => LimitFill::Through,
                other => return Fault::refused(format!("limit_fill is touch or through, not '{other}'")),
            },
            gap_fill: match self.gap_fill {
                "open" => GapFill::Open,
                "level" => GapFill::Level,
                other => return Fault::refused(format!("gap_fill is open or level, not '{other}'")),
            },
        })
    }
}

impl Cost {
    /// What is paid for a trade of this amount, at [`FEE_DIGITS`]; below 0 for a rebate.
    pub fn fee(&self, notional: i128, maker: bool) -> Result<i64, Fault> {
        let rate = if maker { self.maker } else { self.taker };
        if rate == 0 {
            return Ok(0);
        }
        part_up(notional, rate, FEE_DIVISOR)
            .and_then(|fee| i64::try_from(fee).ok())
            .ok_or(Fault::Overflow("a fee"))
    }

    /// The price that a market or stop order gets where the last trade was at `base`: half the spread and the
    /// slippage worse, then to the next tick against us, and never below one tick.
    pub fn worse(&self, base: i64, side: Side, tick: i64) -> Result<i64, Fault> {
        let (base, tick) = (i128::from(base), i128::from(tick));
        let away = part_up(base, self.reach, REACH_DIVISOR).unwrap_or(i128::MAX >> 1);
        let away = away + i128::from(self.slippage_ticks) * tick;
        let price = match side {
            Side::Buy => -(-(base + away)).div_euclid(tick) * tick,
            Side::Sell => ((base - away).div_euclid(tick) * tick).max(tick),
        };
        i64::try_from(price).map_err(|_| Fault::Overflow("a price"))
    }

    /// Leverage as a float, for messages and for targets.
    pub fn leverage(&self) -> f64 {
        self.leverage as f64 / 10f64.powi(SHARE_DIGITS as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::money::ONE;

    #[test]
    fn a_taker_pays_half_the_spread_and_the_slippage_rounded_against_it() {
        let cost = CostText {
            spread_bps: "10",
            slippage_bps: "2.5",
            slippage_ticks: 1,
            ..Default::default()
        };
        let cost = cost.read().unwrap();
        // 7.5 basis points of 100.00 are 7.5 cents; with a tick of 5 cents and one more tick of slippage.
        assert_eq!(cost.worse(10_000, Side::Buy, 5).unwrap(), 10_015);
        assert_eq!(cost.worse(10_000, Side::Sell, 5).unwrap(), 9_985);
        assert_eq!(cost.worse(10_001, Side::Buy, 1).unwrap(), 10_010);
        assert_eq!(cost.worse(3, Side::Sell, 5).unwrap(), 5);
        assert!(cost.worse(i64::MAX, Side::Buy, 1).is_err());
        let free = CostText::default().read().unwrap();
        assert_eq!(free.worse(10_000, Side::Buy, 5).unwrap(), 10_000);
    }

    #[test]
    fn a_fee_is_rounded_against_us_and_a_rebate_too() {
        let cost = CostText {
            taker: "0.001",
            maker: "-0.0001",
            ..Default::default()
        };
        let cost = cost.read().unwrap();
        assert_eq!(cost.fee(1234 * ONE, false).unwrap(), 1_234_000_000);
        assert_eq!(cost.fee(1, false).unwrap(), 1);
        assert_eq!(cost.fee(1234 * ONE, true).unwrap(), -123_400_000);
        assert_eq!(cost.fee(1, true).unwrap(), 0);
        assert!(cost.fee(i128::MAX, false).is_err());
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let plain = CostText::default;
        for wrong in [
            CostText {
                taker: "1e-3",
                ..plain()
            },
            CostText {
                maker: "2",
                ..plain()
            },
            CostText {
                spread_bps: "-1",
                ..plain()
            },
            CostText {
                slippage_bps: "0.1234567891",
                ..plain()
            },
            CostText {
                slippage_ticks: -1,
                ..plain()
            },
            CostText {
                leverage: "0",
                ..plain()
            },
            CostText {
                limit_fill: "maybe",
                ..plain()
            },
        ] {
            assert!(wrong.read().is_err(), "{wrong:?}");
        }
    }
}
