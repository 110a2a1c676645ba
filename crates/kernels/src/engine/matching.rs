//! Orders against a row: which are filled, when and at which price.

use super::cost::{GapFill, LimitFill};
use super::fault::Fault;
use super::fill::Fill;
use super::money::{product, sign};
use super::order::{Kind, Reason, Side, State, TimeInForce};
use super::row::Row;
use super::{Engine, Order};

const DAY_NS: i64 = 86_400_000_000_000;

impl Engine {
    /// Leads the open orders of the row's instrument along its prices.
    #[inline(never)]
    pub(super) fn meet(&mut self, row: &Row) -> Result<(), Fault> {
        let at = row.instrument as usize;
        // Taken out so that orders can be changed while the list is walked; given back below.
        let mut open = std::mem::take(&mut self.open[at]);
        self.meet_open(&open, row)?;
        if self.within_reach(&open, row) {
            self.meet_path(&open, row)?;
        }
        open.retain(|number| self.orders[*number as usize].state == State::Open);
        self.open[at] = open;
        Ok(())
    }

    /// The open: market orders, what the price has jumped over, and the end of orders whose time is up.
    fn meet_open(&mut self, open: &[u32], row: &Row) -> Result<(), Fault> {
        let price = row.open;
        for &number in open {
            let order = &self.orders[number as usize];
            let request = order.request;
            if !order.meets(row.end) {
                continue; // an order ahead of it took it along, or it is not its turn yet
            }
            if request.time_in_force == TimeInForce::Day
                && order.ts.div_euclid(DAY_NS) < (row.end - 1).div_euclid(DAY_NS)
            {
                self.close(number, State::Expired, Reason::Day);
                continue;
            }
            match request.kind {
                Kind::Market => self.take(open, number, price, false, row)?,
                _ if self.jumped(order, price) => {
                    let at_level = self.cost.gap_fill == GapFill::Level && !order.takes;
                    let price = if at_level { order.level() } else { price };
                    self.reach(open, number, price, row)?;
                }
                _ => {}
            }
            let order = &mut self.orders[number as usize];
            order.takes = false; // what is left of it rests
            if request.time_in_force == TimeInForce::Ioc && order.state == State::Open {
                self.close(number, State::Cancelled, Reason::Ioc);
            }
        }
        Ok(())
    }

    /// Whether anything that is still open could happen inside the row.
    fn within_reach(&self, open: &[u32], row: &Row) -> bool {
        open.iter().any(|number| {
            let order = &self.orders[*number as usize];
            let farthest = if order.waits_below() { row.low } else { row.high };
            order.meets(row.end) && order.reached_by(farthest)
        })
    }

    /// From the open to the close, order after order where the price comes by it.
    fn meet_path(&mut self, open: &[u32], row: &Row) -> Result<(), Fault> {
        let path = row.path();
        for leg in path.windows(2) {
            let (mut from, to) = (leg[0], leg[1]);
            if from == to {
                continue;
            }
            let falls = to < from;
            while let Some(number) = self.next_on(open, row.end, falls, from, to) {
                from = self.orders[number as usize].level();
                self.reach(open, number, from, row)?;
            }
        }
        Ok(())
    }

    /// The order that a price on its way comes by first, the oldest of those at one level. There may be more at
    /// `to` when the price has arrived there.
    fn next_on(&self, open: &[u32], end: i64, falls: bool, from: i64, to: i64) -> Option<u32> {
        let mut next: Option<(i64, u32)> = None;
        for &number in open {
            let order = &self.orders[number as usize];
            if !order.meets(end) || order.waits_below() != falls {
                continue;
            }
            let level = order.level();
            let (distance, beyond) = match falls {
                true => (from - level, level - to),
                false => (level - from, to - level),
            };
            let strict = !order.armed() && self.cost.limit_fill == LimitFill::Through;
            let on_way = distance >= 0 && (beyond > 0 || (beyond == 0 && !strict));
            if on_way && next.is_none_or(|(least, _)| distance < least) {
                next = Some((distance, number));
            }
        }
        next.map(|(_, number)| number)
    }

    /// Whether the open lies beyond the order's level, or at it.
    fn jumped(&self, order: &Order, price: i64) -> bool {
        // A price at which others trade is enough for a stop, and for a limit that takes what is there.
        let strict = !order.armed() && !order.takes && self.cost.limit_fill == LimitFill::Through;
        order.reached_by(price) && !(strict && price == order.level())
    }

    /// The price is at the order's level, or was found beyond it.
    fn reach(&mut self, open: &[u32], number: u32, price: i64, row: &Row) -> Result<(), Fault> {
        let order = &mut self.orders[number as usize];
        if !order.armed() {
            let maker = !order.takes;
            return self.take(open, number, price, maker, row);
        }
        order.triggered = true;
        if order.request.kind == Kind::Stop {
            return self.take(open, number, price, false, row);
        }
        // From now on it is a limit order: one that others would fill at once, or one that rests.
        let limit = order.request.limit;
        let crosses = match order.request.side {
            Side::Buy => price <= limit,
            Side::Sell => price >= limit,
        };
        if crosses {
            self.take(open, number, price, false, row)
        } else {
            Ok(())
        }
    }

    /// Fills an order where the last trade was at `base`.
    fn take(&mut self, open: &[u32], number: u32, base: i64, maker: bool, row: &Row) -> Result<(), Fault> {
        let request = self.orders[number as usize].request;
        let at = request.instrument as usize;
        let instrument = &self.instruments[at];
        let (before, side) = (self.account.holdings[at].position, request.side.sign());
        let mut size = request.size;
        if request.reduce_only {
            size = if sign(before) == -side {
                size.min(before.abs())
            } else {
                0
            };
        }
        if size == 0 {
            self.close(number, State::Cancelled, Reason::ReduceOnly);
            return Ok(());
        }
        if request.side == Side::Sell && !instrument.shorts && before < size {
            self.close(number, State::Cancelled, Reason::Short);
            return Ok(());
        }
        let price = match (maker, request.kind) {
            (true, _) => base,
            (false, Kind::Market | Kind::Stop) => self.cost.worse(base, request.side, instrument.tick)?,
            (false, _) => {
                let worse = self.cost.worse(base, request.side, instrument.tick)?;
                match request.side {
                    Side::Buy => worse.min(request.limit),
                    Side::Sell => worse.max(request.limit),
                }
            }
        };
        let one = i128::from(price) * i128::from(instrument.unit);
        let notional =
            product(price, size, instrument.unit).ok_or(Fault::Overflow("what a fill is worth"))?;
        let fill = Fill {
            ts: row.end,
            instrument: request.instrument,
            order: number,
            side: request.side,
            price,
            size,
            fee: self.cost.fee(notional, maker)?,
            maker,
        };
        self.account.fill(&fill, notional)?;
        self.trips.fill(&fill, before, one)?;
        self.fills.push(fill);
        self.orders[number as usize].filled = size;
        self.close(number, State::Filled, Reason::None);
        let after = self.account.holdings[at].position;
        if sign(before) == -side && sign(after) != sign(before) {
            // The position is closed: other orders that were there to reduce it have nothing left to do.
            for &other in open {
                let order = &self.orders[other as usize];
                let exit = order.request.reduce_only && order.request.side == request.side;
                if exit && order.state == State::Open {
                    self.close(other, State::Cancelled, Reason::ReduceOnly);
                }
            }
        }
        Ok(())
    }
}
