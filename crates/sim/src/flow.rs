//! Order flow from a seed: a price path per asset with changing regimes, and per instrument a stream of
//! orders around it — mostly quotes coming and going, and bursts of takers.

use crate::random::{Random, stream};
use crate::spec::Spec;
use kernels::matching::{Matching, Order, Outcome, Side, TimeInForce};

/// The path moves on this grid, so that its value at a time does not depend on who asks, or how often.
const GRID_NS: i64 = 100_000_000;
const SQRT_GRID_S: f64 = 0.316_227_766_016_837_94;
/// The path is drawn back to where it began with this half-life in mind: it never leaves sane prices.
const REVERSION_PER_GRID: f64 = 0.1 / 21_600.0;

#[derive(Clone, Copy, Debug)]
struct Regime {
    /// Multiple of the asset's volatility.
    volatility: f64,
    /// Drift per second, in deviations.
    drift: f64,
}

const REGIMES: [(f64, Regime); 6] = [
    (
        0.30,
        Regime {
            volatility: 0.5,
            drift: 0.0,
        },
    ),
    (
        0.62,
        Regime {
            volatility: 1.0,
            drift: 0.0,
        },
    ),
    (
        0.76,
        Regime {
            volatility: 1.2,
            drift: 0.25,
        },
    ),
    (
        0.90,
        Regime {
            volatility: 1.2,
            drift: -0.25,
        },
    ),
    (
        0.97,
        Regime {
            volatility: 2.2,
            drift: 0.0,
        },
    ),
    (
        1.00,
        Regime {
            volatility: 3.0,
            drift: 0.0,
        },
    ),
];

/// Where one asset's price is, relative to where it began: shared by all venues that list it.
#[derive(Clone, Debug)]
pub struct Path {
    random: Random,
    volatility: f64,
    /// 1 at the beginning of a home's life.
    pub level: f64,
    regime: Regime,
    regime_left: u32,
    /// Time of the last grid point taken.
    at_ns: i64,
}

impl Path {
    pub fn new(seed: u64, asset: &str, volatility: f64, level: f64, start_ns: i64) -> Self {
        let random = Random::new(stream(seed, asset));
        Self {
            random,
            volatility,
            level,
            regime: REGIMES[1].1,
            regime_left: 0,
            at_ns: start_ns,
        }
    }

    /// Level at a time; times must not go back.
    pub fn level_at(&mut self, ns: i64) -> f64 {
        // After a long pause (a suspended machine) the path takes one hour of it: nobody saw the rest.
        self.at_ns = self.at_ns.max(ns - 3_600_000_000_000);
        while self.at_ns + GRID_NS <= ns {
            self.at_ns += GRID_NS;
            self.advance();
        }
        self.level
    }

    /// Shifts the grid after the clock was set forward.
    pub fn shift(&mut self, ns: i64) {
        self.at_ns += ns;
    }

    fn advance(&mut self) {
        if self.regime_left == 0 {
            let draw = self.random.unit();
            self.regime = REGIMES
                .iter()
                .find(|(until, _)| draw < *until)
                .map_or(REGIMES[1].1, |(_, r)| *r);
            self.regime_left = 200 + self.random.below(1_600) as u32;
        }
        self.regime_left -= 1;
        let deviation = self.volatility * self.regime.volatility;
        let step = deviation * (SQRT_GRID_S * self.random.normal() + 0.1 * self.regime.drift);
        self.level *= 1.0 + step;
        self.level += (1.0 - self.level) * REVERSION_PER_GRID;
        self.level = self.level.clamp(0.55, 1.8);
    }
}

/// How an instrument's book looks, in ticks and lots.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    half_spread: f64,
    /// Scale of the distance of quotes from the price.
    width: f64,
    base_lots: i64,
    max_lots: i64,
    step_lots: i64,
}

/// Orders kept on each side.
const ORDERS_PER_SIDE: usize = 130;
/// Below this many levels a side is only added to.
const MIN_LEVELS: usize = 32;

impl Shape {
    pub fn of(spec: &Spec) -> Self {
        let ticks = spec.start_ticks as f64;
        let width = (ticks * spec.volatility.min(1e-4) * 3.0).max(16.0);
        let half_spread = (width * 0.03).max(0.6);
        Self {
            half_spread,
            width,
            base_lots: spec.base_lots,
            max_lots: spec.max_lots,
            step_lots: spec.step_lots,
        }
    }
}

/// One instrument's stream of orders.
#[derive(Clone, Debug)]
pub struct Flow {
    random: Random,
    shape: Shape,
    next_order: u64,
    /// Orders believed to rest; those filled meanwhile are dropped when they are drawn.
    live: [Vec<u64>; 2],
    burst_left: u32,
    burst_side: Side,
}

impl Flow {
    pub fn new(seed: u64, spec: &Spec, next_order: u64) -> Self {
        Self {
            random: Random::new(stream(seed, &spec.id)),
            shape: Shape::of(spec),
            next_order,
            live: [Vec::new(), Vec::new()],
            burst_left: 0,
            burst_side: Side::Bid,
        }
    }

    pub fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Fills an empty book around a price (ticks).
    pub fn fill(&mut self, price: f64, book: &mut Matching, out: &mut Outcome) {
        for _ in 0..ORDERS_PER_SIDE {
            self.add(Side::Bid, price, book, out);
            self.add(Side::Ask, price, book, out);
        }
    }

    /// Nanoseconds until the next action, `mean` on average: bursty, and shorter inside a burst of takers.
    pub fn gap_ns(&mut self, mean: f64) -> i64 {
        let u = self.random.unit();
        let v = self.random.unit();
        let factor = if self.burst_left > 0 {
            0.1 * v
        } else if u < 0.35 {
            0.15 * v
        } else {
            // 1.58 on average, so that bursts and pauses together come to about `mean`
            0.17 + 2.82 * v
        };
        ((mean * factor) as i64).max(1_000)
    }

    /// One action of somebody: quotes, cancels or takes. `price` is where the asset is, in ticks.
    pub fn act(&mut self, price: f64, book: &mut Matching, out: &mut Outcome) {
        let margin = self.shape.half_spread;
        if self.burst_left > 0 {
            self.burst_left -= 1;
            return self.take(self.burst_side, None, price, book, out);
        }
        // Quotes on the wrong side of the price do not live long.
        let stale_ask = book
            .best(Side::Ask)
            .is_some_and(|(ask, _)| (ask as f64) < price - margin);
        let stale_bid = book
            .best(Side::Bid)
            .is_some_and(|(bid, _)| (bid as f64) > price + margin);
        if (stale_ask || stale_bid) && self.random.chance(0.55) {
            let side = if stale_ask { Side::Bid } else { Side::Ask };
            return self.take(side, Some(price as i64), price, book, out);
        }
        if self.random.chance(0.10) {
            let side = self.side();
            if self.random.chance(0.12) {
                self.burst_left = 2 + self.random.below(7) as u32;
                self.burst_side = side;
            }
            return self.take(side, None, price, book, out);
        }
        let mut side = self.side();
        // A side that was just swept is refilled first.
        if book.level_count(side.opposite()) < MIN_LEVELS {
            side = side.opposite();
        }
        let crowding = book.order_count(side) as f64 / ORDERS_PER_SIDE as f64;
        let thin = book.level_count(side) < MIN_LEVELS && crowding < 2.0;
        if thin || self.random.unit() > crowding - 0.5 {
            self.add(side, price, book, out);
        } else {
            self.withdraw(side, book, out);
        }
    }

    fn side(&mut self) -> Side {
        if self.random.next() & 1 == 0 {
            Side::Bid
        } else {
            Side::Ask
        }
    }

    /// A passive order at a random distance, most of them near the price.
    fn add(&mut self, side: Side, price: f64, book: &mut Matching, out: &mut Outcome) {
        let u = self.random.unit();
        let distance = self.shape.half_spread + self.shape.width * (1.5 * u + 4.0 * u * u * u);
        let wanted = match side {
            Side::Bid => price - distance,
            Side::Ask => price + distance + 1.0, // the bid is rounded down: both sides stand equally far
        };
        let mut ticks = (wanted as i64).max(1);
        if let Some((other, _)) = book.best(side.opposite()) {
            ticks = match side {
                Side::Bid => ticks.min(other - 1),
                Side::Ask => ticks.max(other + 1),
            };
        }
        let size = self.size();
        let order = Order {
            id: self.next_order,
            side,
            price: Some(ticks),
            size,
            time_in_force: TimeInForce::PostOnly,
        };
        // A refusal (a price of 0, a full level) is a quote that nobody made.
        if book.submit(order, out).is_ok() {
            let live = &mut self.live[side as usize];
            live.push(order.id);
            if live.len() > 4 * ORDERS_PER_SIDE {
                live.retain(|id| book.rests(*id));
            }
        }
        self.next_order += 1;
    }

    /// Cancels the quote furthest away, or any.
    fn withdraw(&mut self, side: Side, book: &mut Matching, out: &mut Outcome) {
        if self.random.chance(0.35)
            && let Some(id) = book.worst(side).and_then(|(price, _)| book.first_at(side, price))
        {
            book.cancel(id, out); // its entry in `live` goes when it is drawn
            return;
        }
        let live = &mut self.live[side as usize];
        while !live.is_empty() {
            let at = self.random.below(live.len() as u64) as usize;
            let id = live.swap_remove(at);
            if book.cancel(id, out).is_some() {
                return;
            }
        }
    }

    /// A taker: up to a limit, or as a market order of about the size at the touch.
    fn take(&mut self, side: Side, limit: Option<i64>, price: f64, book: &mut Matching, out: &mut Outcome) {
        let Some((best, size_there)) = book.best(side.opposite()) else {
            return self.add(side.opposite(), price, book, out);
        };
        // Whales rest; a taker of that size would empty the book.
        let small = self.size().min(self.shape.base_lots * 4);
        let deep = size_there < self.shape.base_lots * 16 && self.random.chance(0.2);
        let size = if deep { size_there + small } else { small };
        // A fat finger stops a few levels away, as venues make it.
        let guard = (self.shape.width * 2.0) as i64 + 1;
        let limit = limit.unwrap_or(match side {
            Side::Bid => best + guard,
            Side::Ask => (best - guard).max(1),
        });
        let order = Order {
            id: self.next_order,
            side,
            price: Some(limit.max(1)),
            size,
            time_in_force: TimeInForce::ImmediateOrCancel,
        };
        self.next_order += 1;
        if book.submit(order, out).is_err() || out.fills.is_empty() {
            self.add(side, price, book, out);
        }
    }

    /// Lots: many small, few large, some round.
    fn size(&mut self) -> i64 {
        let step = self.shape.step_lots;
        let size = if self.random.below(400) == 0 {
            let half = self.shape.max_lots / 2;
            half + self.random.below(half as u64 + 1) as i64
        } else {
            let halvings = self.random.below(7);
            let top = (self.shape.base_lots >> halvings).max(1) as u64 * 4;
            let size = 1 + self.random.below(top) as i64;
            if self.random.below(4) == 0 {
                round(size)
            } else {
                size
            }
        };
        (size / step * step).max(step)
    }
}

/// One significant digit.
fn round(size: i64) -> i64 {
    let mut unit = 1;
    while size / unit >= 10 {
        unit *= 10;
    }
    size / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Protocol, instruments};

    #[test]
    fn path_is_the_same_however_often_it_is_asked() {
        let mut often = Path::new(3, "BTC", 3e-5, 1.0, 0);
        let mut seldom = often.clone();
        for ms in 0..600_000 {
            often.level_at(ms * 1_000_000);
        }
        assert_eq!(often.level_at(600_000_000_000), seldom.level_at(600_000_000_000));
        assert!((often.level - 1.0).abs() < 0.02);
    }

    #[test]
    fn books_stay_deep_uncrossed_and_tradable() {
        for protocol in Protocol::ALL {
            for spec in instruments(protocol) {
                let mut flow = Flow::new(11, &spec, 1);
                let mut path = Path::new(11, &spec.base, spec.volatility, 1.0, 0);
                let mut book = Matching::new();
                let mut out = Outcome::default();
                let start = spec.start_ticks as f64;
                flow.fill(start, &mut book, &mut out);
                let (mut now, mut fills, mut idle, mut actions) = (0i64, 0usize, 0usize, 0usize);
                let mut shallow = 0;
                while actions < 30_000 {
                    now += flow.gap_ns(30e6);
                    out.clear();
                    flow.act(start * path.level_at(now), &mut book, &mut out);
                    fills += out.fills.len();
                    idle += usize::from(out.changes.is_empty());
                    actions += 1;
                    let depth = book.level_count(Side::Bid).min(book.level_count(Side::Ask));
                    shallow += usize::from(depth < 25);
                }
                let id = &spec.id;
                println!(
                    "{id}: shallow {shallow}, levels {} {}, fills {fills}, idle {idle}",
                    book.level_count(Side::Bid),
                    book.level_count(Side::Ask)
                );
                assert!(
                    shallow < 300,
                    "{id}: {shallow} of {actions} moments with less than 25 levels"
                );
                assert!(idle * 100 < actions, "{id}: {idle} actions did nothing");
                let per_action = fills as f64 / actions as f64;
                assert!(
                    (0.1..1.5).contains(&per_action),
                    "{id}: {per_action} fills per action"
                );
                let mean_gap = now as f64 / actions as f64;
                assert!((15e6..36e6).contains(&mean_gap), "{id}: mean gap {mean_gap}");
                let orders = book.order_count(Side::Bid) + book.order_count(Side::Ask);
                assert!(orders < 600, "{id}: {orders} orders");
            }
        }
    }
}
