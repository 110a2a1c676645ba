//! A backtest, event by event: rows in, fills out. Pure: no clock, no randomness, no I/O, and no float where a
//! price, a size or an amount is kept. The rules are in docs/engine.md.
//!
//! [`Engine::run`] takes a whole series and [`Engine::step`] one row of it: the same code, so the same result.

mod account;
mod cost;
mod fault;
mod fill;
mod instrument;
mod matching;
pub mod money;
mod order;
mod row;
mod trip;

use account::{Account, SHARE_ONE};
pub use cost::{Cost, CostText, FEE_DIGITS, GapFill, LimitFill};
pub use fault::Fault;
pub use fill::{Fill, Payment};
pub use instrument::Instrument;
pub use order::{Kind, Order, Reason, Request, Side, State, TimeInForce};
pub use row::{Row, Rows};
pub use trip::Trip;
use trip::Trips;

/// Of an order that the next row meets, whichever that is.
const ANY: i64 = i64::MIN;
/// Digits of a rate of funding.
const FUNDING_ONE: f64 = 1e12;
const FUNDING_DIVISOR: i128 = 10i128.pow(12 + money::DIGITS - FEE_DIGITS);

/// What a position pays at a time: `rate` × what it is worth, the long side to the short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Funding {
    /// ns. Counts for what is held after the rows that end then.
    pub ts: i64,
    pub instrument: u32,
    pub rate: f64,
}

/// An account with its orders, and all that happened to it.
#[derive(Clone, Debug)]
pub struct Engine {
    instruments: Vec<Instrument>,
    cost: Cost,
    account: Account,
    /// End of the newest row.
    now: i64,
    orders: Vec<Order>,
    /// Of each instrument its open orders, oldest first.
    open: Vec<Vec<u32>>,
    /// Of each instrument the share that was wanted last.
    target: Vec<f64>,
    /// Instruments whose target changed since the time last moved on, in that order.
    wishes: Vec<u32>,
    wished: Vec<bool>,
    /// Of each wish what `Order::after` its order will have.
    after: Vec<i64>,
    /// Funding that is not due yet, by time; what lies before `funded` is paid.
    funding: Vec<Funding>,
    funded: usize,
    fills: Vec<Fill>,
    payments: Vec<Payment>,
    trips: Trips,
    equity: Vec<f64>,
}

impl Engine {
    /// `cash` is an amount ([`money::parse`]).
    pub fn new(cash: i128, instruments: Vec<Instrument>, cost: Cost) -> Result<Self, Fault> {
        if instruments.is_empty() {
            return Fault::refused("an engine needs one instrument or more");
        }
        let count = instruments.len();
        Ok(Self {
            account: Account::new(cash, &instruments),
            instruments,
            cost,
            now: i64::MIN,
            orders: Vec::new(),
            open: vec![Vec::new(); count],
            target: vec![f64::NAN; count],
            wishes: Vec::new(),
            wished: vec![false; count],
            after: vec![ANY; count],
            funding: Vec::new(),
            funded: 0,
            fills: Vec::new(),
            payments: Vec::new(),
            trips: Trips::new(count),
            equity: Vec::new(),
        })
    }

    /// Takes a series. Nothing of it is taken where a row or a target is refused.
    pub fn run(&mut self, rows: &Rows<'_>) -> Result<(), Fault> {
        rows.check(self.now, self.instruments.len())?;
        for (at, share) in rows.target.iter().enumerate() {
            if !share.is_nan()
                && let Some(why) = self.wrong_share(rows.instrument[at] as usize, *share)
            {
                return Fault::refused(format!("row {at} {why}"));
            }
        }
        self.equity.reserve(rows.len());
        for (row, share) in rows.iter() {
            self.advance(&row)?;
            self.wish(row.instrument as usize, share, ANY);
        }
        Ok(())
    }

    /// Takes one row; the fills of it.
    pub fn step(&mut self, row: &Row) -> Result<&[Fill], Fault> {
        if let Some(why) = row.wrong(self.now, self.instruments.len()) {
            return Fault::refused(format!("row {} {why}", self.equity.len()));
        }
        let before = self.fills.len();
        self.advance(row)?;
        Ok(&self.fills[before..])
    }

    #[inline(always)]
    fn advance(&mut self, row: &Row) -> Result<(), Fault> {
        let at = row.instrument as usize;
        if !self.wishes.is_empty() && (row.end > self.now || self.wished[at]) {
            self.settle()?;
        }
        if self.funded < self.funding.len() {
            self.pay_before(row.end)?;
        }
        self.now = row.end;
        if !self.open[at].is_empty() {
            self.meet(row)?;
        }
        self.account.mark(at, row.close)?;
        self.equity.push(self.account.equity_float());
        Ok(())
    }

    /// Wants to hold this share of the equity in an instrument, from −leverage to leverage: at the time of the
    /// newest row, with all its closes known. A market order for the difference goes out when the time moves
    /// on. NaN and the share that was wanted before change nothing.
    pub fn target(&mut self, instrument: u32, share: f64) -> Result<(), Fault> {
        self.target_after(instrument, share, ANY)
    }

    /// The same by an order that is not met by rows which end at or before `after` (ns).
    pub fn target_after(&mut self, instrument: u32, share: f64, after: i64) -> Result<(), Fault> {
        let at = self.known(instrument)?;
        if let Some(why) = self.wrong_share(at, share).filter(|_| !share.is_nan()) {
            return Fault::refused(why);
        }
        self.wish(at, share, after);
        Ok(())
    }

    fn wrong_share(&self, at: usize, share: f64) -> Option<String> {
        let name = &self.instruments[at].name;
        let most = self.cost.leverage();
        if share.abs() > most {
            Some(format!(
                "wants {share} of the equity in {name}, but leverage is {most}"
            ))
        } else if share < 0.0 && !self.instruments[at].shorts {
            Some(format!(
                "wants {share} of the equity in {name}, which cannot be sold short"
            ))
        } else {
            None
        }
    }

    #[inline(always)]
    fn wish(&mut self, at: usize, share: f64, after: i64) {
        if share.is_nan() || share == self.target[at] {
            return;
        }
        self.target[at] = share;
        self.after[at] = after;
        if !self.wished[at] {
            self.wished[at] = true;
            self.wishes.push(at as u32);
        }
    }

    /// Sends the orders of the wishes, those that leave a position first so that they make room for the others.
    #[inline(never)]
    fn settle(&mut self) -> Result<(), Fault> {
        let mut wishes = std::mem::take(&mut self.wishes);
        let mut later: Vec<Request> = Vec::new();
        for &instrument in &wishes {
            let at = instrument as usize;
            let holding = &self.account.holdings[at];
            if holding.close == 0 {
                self.wishes.push(instrument); // it waits for a price to be sized by
                continue;
            }
            self.wished[at] = false;
            let share = (self.target[at] * SHARE_ONE as f64).round_ties_even() as i64;
            let wanted = i128::from(self.account.wanted(at, share, self.instruments[at].lot)?);
            let held = i128::from(holding.position) + holding.market;
            let size =
                i64::try_from((wanted - held).abs()).map_err(|_| Fault::Overflow("the size of an order"))?;
            if size == 0 {
                continue;
            }
            let side = if wanted > held { Side::Buy } else { Side::Sell };
            let request = Request::market(instrument, side, size);
            if wanted.abs() <= held.abs() {
                self.send(request, self.after[at])?;
            } else {
                later.push(request);
            }
        }
        for request in later {
            self.send(request, self.after[request.instrument as usize])?;
        }
        if self.wishes.is_empty() {
            wishes.clear(); // keeps its memory for the next ones
            self.wishes = wishes;
        }
        Ok(())
    }

    /// Sends an order; its number. It can be filled from the next row of its instrument on. One that is refused
    /// has a number too, and says why.
    pub fn submit(&mut self, request: Request) -> Result<u32, Fault> {
        self.submit_after(request, ANY)
    }

    /// The same, but rows that end at or before `after` (ns) do not meet it. Whoever decides by a bar of another
    /// instrument says so of the row that has begun by then: its open is in the past.
    pub fn submit_after(&mut self, request: Request, after: i64) -> Result<u32, Fault> {
        self.known(request.instrument)?;
        if let Some(why) = request.wrong() {
            return Fault::refused(why);
        }
        self.send(request, after)
    }

    fn send(&mut self, request: Request, after: i64) -> Result<u32, Fault> {
        let at = request.instrument as usize;
        let number =
            u32::try_from(self.orders.len()).map_err(|_| Fault::Overflow("the number of an order"))?;
        let mut order = Order::new(request, self.now, after);
        order.reason = self.objection(&request)?;
        if order.reason == Reason::None {
            let holding = &mut self.account.holdings[at];
            holding.count(&request, 1);
            order.takes = order.reached_by(holding.close) || request.time_in_force == TimeInForce::Ioc;
            self.open[at].push(number);
        } else {
            order.state = State::Refused;
            order.done = self.now;
        }
        self.orders.push(order);
        Ok(number)
    }

    fn objection(&self, request: &Request) -> Result<Reason, Fault> {
        let at = request.instrument as usize;
        let instrument = &self.instruments[at];
        if self.account.holdings[at].close == 0 {
            return Ok(Reason::NoPrice);
        }
        if request.size % instrument.lot != 0 {
            return Ok(Reason::Lot);
        }
        if request.limit % instrument.tick != 0 || request.stop % instrument.tick != 0 {
            return Ok(Reason::Tick);
        }
        let sells = request.side == Side::Sell && !request.reduce_only;
        if sells && !instrument.shorts && self.account.holdings[at].spare() < i128::from(request.size) {
            return Ok(Reason::Short);
        }
        match self.account.allows(request, self.cost.leverage)? {
            true => Ok(Reason::None),
            false => Ok(Reason::Leverage),
        }
    }

    /// Takes an order back; false where it is open no more.
    pub fn cancel(&mut self, number: u32) -> bool {
        let open = self.orders.get(number as usize).map(|order| order.state) == Some(State::Open);
        if open {
            self.close(number, State::Cancelled, Reason::Asked);
            let at = self.orders[number as usize].request.instrument as usize;
            self.open[at].retain(|one| *one != number);
        }
        open
    }

    /// The order is open no more. The caller takes it from the list of open ones.
    fn close(&mut self, number: u32, state: State, reason: Reason) {
        let order = &mut self.orders[number as usize];
        order.state = state;
        order.reason = reason;
        order.done = self.now;
        let request = order.request;
        self.account.holdings[request.instrument as usize].count(&request, -1);
    }

    /// Adds payments that will fall due, by time; not before the newest row.
    pub fn fund(&mut self, funding: &[Funding]) -> Result<(), Fault> {
        let mut before = self.funding.last().map_or(self.now, |last| last.ts.max(self.now));
        for (at, one) in funding.iter().enumerate() {
            self.known(one.instrument)?;
            if !(-1.0..=1.0).contains(&one.rate) {
                return Fault::refused(format!(
                    "funding {at} has a rate of {}, not from -1 to 1",
                    one.rate
                ));
            }
            if one.ts < before {
                return Fault::refused(format!(
                    "funding {at} is due at {}, before {before}: sort it by time, and give it before its rows",
                    one.ts
                ));
            }
            before = one.ts;
        }
        self.funding.extend_from_slice(funding);
        Ok(())
    }

    #[inline(never)]
    fn pay_before(&mut self, end: i64) -> Result<(), Fault> {
        while let Some(due) = self.funding.get(self.funded).filter(|due| due.ts < end).copied() {
            self.funded += 1;
            let at = due.instrument as usize;
            let rate = (due.rate * FUNDING_ONE).round_ties_even() as i128;
            let paid = money::part_up(self.account.worth(at)?, rate, FUNDING_DIVISOR);
            let amount = paid
                .and_then(|paid| i64::try_from(paid).ok())
                .ok_or(Fault::Overflow("funding"))?;
            if self.account.holdings[at].position != 0 {
                self.account.pay(amount)?;
                self.trips.pay(at, amount);
                self.payments.push(Payment {
                    ts: due.ts,
                    instrument: due.instrument,
                    amount,
                });
            }
        }
        Ok(())
    }

    fn known(&self, instrument: u32) -> Result<usize, Fault> {
        let at = instrument as usize;
        if at >= self.instruments.len() {
            return Fault::refused(format!(
                "there is no instrument {at}; there are {}, counted from 0",
                self.instruments.len()
            ));
        }
        Ok(at)
    }

    /// Size that is held, below 0 for short.
    pub fn position(&self, instrument: u32) -> Result<i64, Fault> {
        Ok(self.account.holdings[self.known(instrument)?].position)
    }

    /// Cash and what the positions are worth at the last closes.
    pub fn equity(&self) -> Result<i128, Fault> {
        self.account.equity()
    }

    /// The same, next to it.
    pub fn equity_float(&self) -> f64 {
        self.account.equity_float()
    }

    pub fn cash(&self) -> i128 {
        self.account.cash
    }

    /// All orders by number.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Numbers of the open orders, ascending.
    pub fn open_orders(&self) -> Vec<u32> {
        let mut open: Vec<u32> = self.open.iter().flatten().copied().collect();
        open.sort_unstable();
        open
    }

    pub fn fills(&self) -> &[Fill] {
        &self.fills
    }

    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// Positions from flat to flat, in the order in which they were opened.
    pub fn trips(&self) -> &[Trip] {
        &self.trips.all
    }

    /// Equity after each row.
    pub fn equity_curve(&self) -> &[f64] {
        &self.equity
    }

    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }
}
