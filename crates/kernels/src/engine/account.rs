//! Cash, positions and what they are worth, exact.

use super::fault::Fault;
use super::fill::Fill;
use super::instrument::Instrument;
use super::money::{float, part, product, sign};
use super::order::{Kind, Request};

/// A fee at 9 digits as an amount at 18.
pub(crate) const FEE_UNIT: i128 = 10i128.pow(super::money::DIGITS - super::cost::FEE_DIGITS);

/// One instrument's part of the account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holding {
    pub position: i64,
    /// Last close; 0 before the first row.
    pub close: i64,
    unit: i64,
    /// Signed sizes of market orders on their way: they will be filled, so they count as held.
    pub market: i128,
    /// Sizes of other open orders that may add to the position; those that only reduce it do not count.
    buys: i128,
    sells: i128,
}

impl Holding {
    /// The most that may be held, long or short, once open orders are filled.
    fn reach(&self) -> i128 {
        let base = i128::from(self.position) + self.market;
        (base + self.buys).abs().max((base - self.sells).abs())
    }

    /// What is left to sell without going short.
    pub fn spare(&self) -> i128 {
        i128::from(self.position) + self.market - self.sells
    }

    /// Counts an order that was sent, or with −1 one that left.
    pub fn count(&mut self, request: &Request, times: i128) {
        let size = times * i128::from(request.size);
        match (request.kind, request.reduce_only) {
            (_, true) => {}
            (Kind::Market, _) => self.market += size * i128::from(request.side.sign()),
            _ if request.side.sign() > 0 => self.buys += size,
            _ => self.sells += size,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub cash: i128,
    /// What the positions are worth at the last closes.
    value: i128,
    pub holdings: Vec<Holding>,
    /// Equity as a float, so that a row that changes nothing costs nothing.
    shown: f64,
}

impl Account {
    pub fn new(cash: i128, instruments: &[Instrument]) -> Self {
        let holding = |one: &Instrument| Holding {
            unit: one.unit,
            ..Holding::default()
        };
        Self {
            cash,
            value: 0,
            holdings: instruments.iter().map(holding).collect(),
            shown: float(cash),
        }
    }

    pub fn equity(&self) -> Result<i128, Fault> {
        self.cash.checked_add(self.value).ok_or(Fault::Overflow("equity"))
    }

    pub const fn equity_float(&self) -> f64 {
        self.shown
    }

    /// The instrument closed at this price.
    #[inline]
    pub fn mark(&mut self, at: usize, close: i64) -> Result<(), Fault> {
        let holding = &mut self.holdings[at];
        let moved = close - holding.close; // both above 0, or 0 before the first row
        holding.close = close;
        if holding.position != 0 {
            let more = product(moved, holding.position, holding.unit);
            self.value = more
                .and_then(|more| self.value.checked_add(more))
                .ok_or(Fault::Overflow("the value of a position"))?;
            self.shown = float(self.equity()?);
        }
        Ok(())
    }

    /// Pays or takes in what a fill traded, and its fee. The amount traded is the caller's, to be checked once.
    pub fn fill(&mut self, fill: &Fill, notional: i128) -> Result<(), Fault> {
        const CASH: Fault = Fault::Overflow("cash");
        let side = fill.side.sign();
        let holding = &mut self.holdings[fill.instrument as usize];
        let fee = i128::from(fill.fee) * FEE_UNIT;
        self.cash = self.cash.checked_sub(i128::from(side) * notional).ok_or(CASH)?;
        self.cash = self.cash.checked_sub(fee).ok_or(CASH)?;
        let position = holding.position.checked_add(side * fill.size);
        holding.position = position.ok_or(Fault::Overflow("a position"))?;
        let worth = product(holding.close, side * fill.size, holding.unit);
        self.value = worth
            .and_then(|worth| self.value.checked_add(worth))
            .ok_or(Fault::Overflow("the value of a position"))?;
        self.shown = float(self.equity()?);
        Ok(())
    }

    /// Pays this much, at the digits of fees.
    pub fn pay(&mut self, amount: i64) -> Result<(), Fault> {
        let left = self.cash.checked_sub(i128::from(amount) * FEE_UNIT);
        self.cash = left.ok_or(Fault::Overflow("cash"))?;
        self.shown = float(self.equity()?);
        Ok(())
    }

    /// What the position is worth at the last close.
    pub fn worth(&self, at: usize) -> Result<i128, Fault> {
        let holding = &self.holdings[at];
        product(holding.close, holding.position, holding.unit)
            .ok_or(Fault::Overflow("the value of a position"))
    }

    /// Whether an order may be sent: what could be held of all instruments once open orders are filled stays
    /// within `leverage` (at 9 digits) × equity, or the order makes that no more than it is.
    pub fn allows(&self, request: &Request, leverage: i128) -> Result<bool, Fault> {
        const GROSS: Fault = Fault::Overflow("what would be held");
        let at = request.instrument as usize;
        let mut then = self.holdings[at];
        then.count(request, 1);
        if request.reduce_only || then.reach() <= self.holdings[at].reach() {
            return Ok(true);
        }
        let mut gross: i128 = 0;
        for (other, holding) in self.holdings.iter().enumerate() {
            let reach = if other == at {
                then.reach()
            } else {
                holding.reach()
            };
            let unit = i128::from(holding.close) * i128::from(holding.unit);
            let worth = reach.checked_mul(unit).ok_or(GROSS)?;
            gross = gross.checked_add(worth).ok_or(GROSS)?;
        }
        let most = part(self.equity()?, leverage, SHARE_ONE).ok_or(GROSS)?;
        Ok(gross <= most)
    }

    /// How much to hold for `share` (at 9 digits) of the equity: whole lots, toward nothing; nothing where the
    /// equity is gone.
    pub fn wanted(&self, at: usize, share: i64, lot: i64) -> Result<i64, Fault> {
        let equity = self.equity()?;
        if equity <= 0 {
            return Ok(0);
        }
        let holding = &self.holdings[at];
        let too_large = Fault::Overflow("the size of an order");
        let Some(price) = product(holding.close, lot, holding.unit) else {
            return Ok(0); // one lot is worth more than an amount can be
        };
        // equity × share ÷ (10^9 × price), in two steps that each round down as the whole would.
        let lots = part(equity, i128::from(share.abs()), price).map(|lots| lots / SHARE_ONE);
        let size = lots.and_then(|lots| lots.checked_mul(i128::from(lot)));
        let size = size.and_then(|size| i64::try_from(size).ok()).ok_or(too_large)?;
        Ok(size * sign(share))
    }
}

/// A share of 1.
pub(crate) const SHARE_ONE: i128 = 10i128.pow(super::cost::SHARE_DIGITS);
