//! Price-time priority matching over integer ticks and lots: pure, no clock, no randomness, no I/O.
//!
//! The caller names orders (`u64`), gives prices in ticks and sizes in lots, and gets back, in the order
//! in which they happened, the fills and the new total of every price level that changed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

/// Which half of the book an order belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Bid,
    Ask,
}

impl Side {
    pub const fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }
}

/// What happens to the part of an order that does not match at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// It rests in the book.
    GoodTillCancel,
    /// It is dropped.
    ImmediateOrCancel,
    /// The whole order is refused if any of it would match.
    PostOnly,
}

/// An order as submitted.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Chosen by the caller, unique among resting orders.
    pub id: u64,
    pub side: Side,
    /// Limit in ticks, above 0; `None` is a market order, which never rests.
    pub price: Option<i64>,
    /// Lots, above 0.
    pub size: i64,
    pub time_in_force: TimeInForce,
}

/// One maker met by one taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    pub maker: u64,
    pub taker: u64,
    /// Ticks: always the maker's price.
    pub price: i64,
    /// Lots.
    pub size: i64,
    /// Side of the taker's order.
    pub aggressor: Side,
}

/// The new total of one price level; `size` 0 means that the level is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub side: Side,
    /// Ticks.
    pub price: i64,
    /// Lots resting at this price now.
    pub size: i64,
}

/// What one call did. The caller clears and reuses it, so that a steady flow allocates nothing.
#[derive(Debug, Default)]
pub struct Outcome {
    pub fills: Vec<Fill>,
    /// One entry per level touched, in the order in which the levels were touched.
    pub changes: Vec<Change>,
}

impl Outcome {
    pub fn clear(&mut self) {
        self.fills.clear();
        self.changes.clear();
    }
}

/// Why an order was refused; the book is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Price or size is not above 0.
    NotPositive,
    /// An order of this id rests already.
    Duplicate,
    /// A post-only order would have matched.
    WouldMatch,
    /// The level's total would not fit 64 bits.
    Overflow,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPositive => "price and size must be above 0",
            Self::Duplicate => "an order with this id rests already",
            Self::WouldMatch => "post-only order would match at once",
            Self::Overflow => "level total would not fit 64 bits",
        })
    }
}

impl std::error::Error for Reject {}

/// Orders of one price, oldest first.
#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<(u64, i64)>,
    total: i64,
}

/// The resting orders of one instrument.
#[derive(Debug, Default)]
pub struct Matching {
    bids: BTreeMap<i64, Queue>,
    asks: BTreeMap<i64, Queue>,
    /// Where a resting order is. Only looked up, never walked: its order would not be deterministic.
    places: HashMap<u64, (Side, i64)>,
    /// Resting orders of each side.
    counts: [usize; 2],
}

impl Matching {
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches the order against the book and rests what is left, as its time in force says. Returns
    /// the lots that rest now. Fills and level changes are appended to `outcome`.
    pub fn submit(&mut self, order: Order, outcome: &mut Outcome) -> Result<i64, Reject> {
        if order.size <= 0 || order.price.is_some_and(|price| price <= 0) {
            return Err(Reject::NotPositive);
        }
        if self.places.contains_key(&order.id) {
            return Err(Reject::Duplicate);
        }
        let rests = order.time_in_force != TimeInForce::ImmediateOrCancel && order.price.is_some();
        if order.time_in_force == TimeInForce::PostOnly && self.would_match(order.side, order.price) {
            return Err(Reject::WouldMatch);
        }
        // Checked against the whole size, before anything matches, so that a refusal changes nothing.
        if let (true, Some(price)) = (rests, order.price)
            && self.total_at(order.side, price).checked_add(order.size).is_none()
        {
            return Err(Reject::Overflow);
        }
        let left = self.take(order, outcome);
        let (true, Some(price)) = (rests && left > 0, order.price) else {
            return Ok(0);
        };
        let queue = self.half_mut(order.side).entry(price).or_default();
        queue.orders.push_back((order.id, left));
        queue.total += left;
        outcome.changes.push(Change {
            side: order.side,
            price,
            size: queue.total,
        });
        self.places.insert(order.id, (order.side, price));
        self.counts[order.side as usize] += 1;
        Ok(left)
    }

    /// Takes the order out of the book; returns the lots that were left of it, `None` if it does not rest.
    pub fn cancel(&mut self, id: u64, outcome: &mut Outcome) -> Option<i64> {
        let (side, price) = self.places.remove(&id)?;
        self.counts[side as usize] -= 1;
        let half = self.half_mut(side);
        let queue = half.get_mut(&price)?;
        let at = queue.orders.iter().position(|(order, _)| *order == id)?;
        let (_, size) = queue.orders.remove(at)?;
        queue.total -= size;
        let total = queue.total;
        if queue.orders.is_empty() {
            half.remove(&price);
        }
        outcome.changes.push(Change {
            side,
            price,
            size: total,
        });
        Some(size)
    }

    /// Best resting price and its total.
    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        let entry = match side {
            Side::Bid => self.bids.last_key_value(),
            Side::Ask => self.asks.first_key_value(),
        };
        entry.map(|(price, queue)| (*price, queue.total))
    }

    /// Price furthest from the touch, and its total.
    pub fn worst(&self, side: Side) -> Option<(i64, i64)> {
        let entry = match side {
            Side::Bid => self.bids.first_key_value(),
            Side::Ask => self.asks.last_key_value(),
        };
        entry.map(|(price, queue)| (*price, queue.total))
    }

    /// Oldest order at a price.
    pub fn first_at(&self, side: Side, price: i64) -> Option<u64> {
        self.half(side).get(&price)?.orders.front().map(|(id, _)| *id)
    }

    /// Lots resting at a price.
    pub fn total_at(&self, side: Side, price: i64) -> i64 {
        self.half(side).get(&price).map_or(0, |queue| queue.total)
    }

    /// Levels of one side, best first: (ticks, lots).
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (forward, backward) = match side {
            Side::Ask => (Some(self.asks.iter()), None),
            Side::Bid => (None, Some(self.bids.iter().rev())),
        };
        let forward = forward.into_iter().flatten();
        let backward = backward.into_iter().flatten();
        forward
            .chain(backward)
            .map(|(price, queue)| (*price, queue.total))
    }

    /// Side, price and lots left of a resting order.
    pub fn resting(&self, id: u64) -> Option<(Side, i64, i64)> {
        let (side, price) = *self.places.get(&id)?;
        let queue = self.half(side).get(&price)?;
        let (_, size) = queue.orders.iter().find(|(order, _)| *order == id)?;
        Some((side, price, *size))
    }

    /// Whether an order rests, without looking for its size.
    pub fn rests(&self, id: u64) -> bool {
        self.places.contains_key(&id)
    }

    pub fn level_count(&self, side: Side) -> usize {
        self.half(side).len()
    }

    /// Orders resting on one side.
    pub fn order_count(&self, side: Side) -> usize {
        self.counts[side as usize]
    }

    fn half(&self, side: Side) -> &BTreeMap<i64, Queue> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut BTreeMap<i64, Queue> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    fn would_match(&self, side: Side, limit: Option<i64>) -> bool {
        self.best(side.opposite())
            .is_some_and(|(price, _)| reaches(side, limit, price))
    }

    /// Matches until the order is filled or nothing reachable is left; returns what is left of it.
    fn take(&mut self, order: Order, outcome: &mut Outcome) -> i64 {
        let mut left = order.size;
        let other = order.side.opposite();
        while left > 0 {
            let entry = match other {
                Side::Bid => self.bids.last_entry(),
                Side::Ask => self.asks.first_entry(),
            };
            let Some(mut entry) = entry.filter(|e| reaches(order.side, order.price, *e.key())) else {
                break;
            };
            let price = *entry.key();
            let queue = entry.get_mut();
            while let Some((maker, rest)) = queue.orders.front_mut() {
                let size = left.min(*rest);
                outcome.fills.push(Fill {
                    maker: *maker,
                    taker: order.id,
                    price,
                    size,
                    aggressor: order.side,
                });
                *rest -= size;
                left -= size;
                queue.total -= size;
                if *rest > 0 {
                    break; // the taker is filled: size was the smaller of the two
                }
                self.places.remove(maker);
                self.counts[other as usize] -= 1;
                queue.orders.pop_front();
                if left == 0 {
                    break;
                }
            }
            outcome.changes.push(Change {
                side: other,
                price,
                size: queue.total,
            });
            if queue.orders.is_empty() {
                entry.remove();
            }
        }
        left
    }
}

/// Whether an order of `side` with this limit may trade at `price`.
fn reaches(side: Side, limit: Option<i64>, price: i64) -> bool {
    match (side, limit) {
        (_, None) => true,
        (Side::Bid, Some(limit)) => price <= limit,
        (Side::Ask, Some(limit)) => price >= limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(id: u64, side: Side, price: i64, size: i64) -> Order {
        Order {
            id,
            side,
            price: Some(price),
            size,
            time_in_force: TimeInForce::GoodTillCancel,
        }
    }

    #[test]
    fn earlier_order_at_a_price_fills_first_and_better_price_before_it() {
        let mut book = Matching::new();
        let mut out = Outcome::default();
        for (id, price, size) in [(1, 101, 5), (2, 100, 3), (3, 100, 4)] {
            book.submit(limit(id, Side::Ask, price, size), &mut out).unwrap();
        }
        out.clear();
        let rest = book.submit(limit(9, Side::Bid, 101, 9), &mut out).unwrap();
        assert_eq!(rest, 0);
        let fills: Vec<_> = out.fills.iter().map(|f| (f.maker, f.price, f.size)).collect();
        assert_eq!(fills, [(2, 100, 3), (3, 100, 4), (1, 101, 2)]);
        assert_eq!(
            out.changes,
            [
                Change {
                    side: Side::Ask,
                    price: 100,
                    size: 0
                },
                Change {
                    side: Side::Ask,
                    price: 101,
                    size: 3
                }
            ]
        );
    }

    #[test]
    fn what_is_left_rests_and_is_announced_after_the_fills() {
        let mut book = Matching::new();
        let mut out = Outcome::default();
        book.submit(limit(1, Side::Ask, 100, 3), &mut out).unwrap();
        out.clear();
        assert_eq!(book.submit(limit(2, Side::Bid, 100, 10), &mut out), Ok(7));
        assert_eq!(book.best(Side::Bid), Some((100, 7)));
        assert_eq!(book.best(Side::Ask), None);
        assert_eq!(
            out.changes.last(),
            Some(&Change {
                side: Side::Bid,
                price: 100,
                size: 7
            })
        );
    }

    #[test]
    fn refusals_change_nothing() {
        let mut book = Matching::new();
        let mut out = Outcome::default();
        book.submit(limit(1, Side::Ask, 100, i64::MAX - 1), &mut out)
            .unwrap();
        out.clear();
        let refused = [
            (limit(1, Side::Bid, 90, 1), Reject::Duplicate),
            (limit(2, Side::Bid, 0, 1), Reject::NotPositive),
            (limit(2, Side::Bid, 90, 0), Reject::NotPositive),
            (limit(2, Side::Ask, 100, 2), Reject::Overflow),
            (
                Order {
                    time_in_force: TimeInForce::PostOnly,
                    ..limit(2, Side::Bid, 100, 1)
                },
                Reject::WouldMatch,
            ),
        ];
        for (order, why) in refused {
            assert_eq!(book.submit(order, &mut out), Err(why));
        }
        assert!(out.fills.is_empty() && out.changes.is_empty());
        assert_eq!((book.order_count(Side::Bid), book.order_count(Side::Ask)), (0, 1));
    }

    #[test]
    fn immediate_or_cancel_and_market_orders_never_rest() {
        let mut book = Matching::new();
        let mut out = Outcome::default();
        book.submit(limit(1, Side::Bid, 50, 2), &mut out).unwrap();
        let market = Order {
            id: 2,
            side: Side::Ask,
            price: None,
            size: 5,
            time_in_force: TimeInForce::GoodTillCancel,
        };
        assert_eq!(book.submit(market, &mut out), Ok(0));
        assert_eq!((book.order_count(Side::Bid), book.level_count(Side::Bid)), (0, 0));
        assert_eq!(book.cancel(2, &mut out), None);
    }

    #[derive(Clone, Debug)]
    enum Action {
        Submit(Side, Option<i64>, i64, TimeInForce),
        Cancel(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        let side = prop_oneof![Just(Side::Bid), Just(Side::Ask)];
        let tif = prop_oneof![
            4 => Just(TimeInForce::GoodTillCancel),
            1 => Just(TimeInForce::ImmediateOrCancel),
            1 => Just(TimeInForce::PostOnly)
        ];
        prop_oneof![
            4 => (side, prop::option::weighted(0.9, 90i64..110), 1i64..50, tif)
                .prop_map(|(side, price, size, tif)| Action::Submit(side, price, size, tif)),
            1 => any::<prop::sample::Index>().prop_map(|i| Action::Cancel(i.index(1 << 16))),
        ]
    }

    /// The obvious way to do it: one list of orders, searched whole each time.
    #[derive(Default)]
    struct Naive {
        orders: Vec<(u64, Side, i64, i64)>,
    }

    impl Naive {
        fn take(&mut self, order: Order) -> (Vec<(u64, i64, i64)>, i64) {
            let mut left = order.size;
            let mut fills = Vec::new();
            while left > 0 {
                let candidates = self.orders.iter().enumerate().filter(|(_, (_, side, price, _))| {
                    *side != order.side && reaches(order.side, order.price, *price)
                });
                // min_by_key keeps the first of equals: the oldest, because the list is in time order
                let best = match order.side {
                    Side::Bid => candidates.min_by_key(|(_, o)| o.2).map(|(i, _)| i),
                    Side::Ask => candidates.min_by_key(|(_, o)| -o.2).map(|(i, _)| i),
                };
                let Some(i) = best else { break };
                let size = left.min(self.orders[i].3);
                fills.push((self.orders[i].0, self.orders[i].2, size));
                left -= size;
                self.orders[i].3 -= size;
                if self.orders[i].3 == 0 {
                    self.orders.remove(i);
                }
            }
            (fills, left)
        }

        fn total(&self, side: Side, price: i64) -> i64 {
            self.orders
                .iter()
                .filter(|o| o.1 == side && o.2 == price)
                .map(|o| o.3)
                .sum()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_book(actions in prop::collection::vec(action(), 1..200)) {
            let mut book = Matching::new();
            let mut naive = Naive::default();
            let mut out = Outcome::default();
            let mut mirror: BTreeMap<(Side, i64), i64> = BTreeMap::new();
            let (mut submitted, mut filled, mut cancelled, mut dropped) = (0i64, 0i64, 0i64, 0i64);
            for (n, action) in actions.iter().enumerate() {
                let id = n as u64 + 1;
                out.clear();
                match action {
                    Action::Submit(side, price, size, tif) => {
                        let order = Order { id, side: *side, price: *price, size: *size, time_in_force: *tif };
                        let crosses = naive.orders.iter().any(|o| o.1 != *side && reaches(*side, *price, o.2));
                        let result = book.submit(order, &mut out);
                        if *tif == TimeInForce::PostOnly && crosses {
                            prop_assert_eq!(result, Err(Reject::WouldMatch));
                            continue;
                        }
                        submitted += size;
                        let (fills, left) = naive.take(order);
                        let got: Vec<_> = out.fills.iter().map(|f| (f.maker, f.price, f.size)).collect();
                        prop_assert_eq!(got, fills); // same makers, in the same order: time priority
                        let rests = *tif != TimeInForce::ImmediateOrCancel && price.is_some();
                        prop_assert_eq!(result, Ok(if rests { left } else { 0 }));
                        filled += 2 * (size - left);
                        match (rests, price) {
                            (true, Some(price)) if left > 0 => naive.orders.push((id, *side, *price, left)),
                            _ => dropped += left,
                        }
                    }
                    Action::Cancel(at) => {
                        let victim = naive.orders.get(at % naive.orders.len().max(1)).map_or(u64::MAX, |o| o.0);
                        let size = book.cancel(victim, &mut out);
                        let place = naive.orders.iter().position(|o| o.0 == victim);
                        prop_assert_eq!(size, place.map(|i| naive.orders[i].3));
                        if let Some(i) = place {
                            cancelled += naive.orders.remove(i).3;
                        }
                    }
                }
                for change in &out.changes {
                    prop_assert_eq!(change.size, naive.total(change.side, change.price));
                    if change.size == 0 {
                        mirror.remove(&(change.side, change.price));
                    } else {
                        mirror.insert((change.side, change.price), change.size);
                    }
                }
                for side in [Side::Bid, Side::Ask] {
                    prop_assert_eq!(book.order_count(side), naive.orders.iter().filter(|o| o.1 == side).count());
                }
                // never crossed, never locked
                if let (Some((bid, _)), Some((ask, _))) = (book.best(Side::Bid), book.best(Side::Ask)) {
                    prop_assert!(bid < ask);
                }
                // a book kept from the changes alone is the engine's book
                for side in [Side::Bid, Side::Ask] {
                    let levels: Vec<_> = book.levels(side).collect();
                    let mut kept: Vec<_> = mirror.iter().filter(|((s, _), _)| *s == side)
                        .map(|((_, price), size)| (*price, *size)).collect();
                    if side == Side::Bid {
                        kept.reverse();
                    }
                    prop_assert_eq!(levels, kept);
                }
                // volume is conserved
                let resting: i64 = mirror.values().sum();
                let taken_from_submitted: i64 = submitted - dropped - cancelled - filled;
                prop_assert_eq!(taken_from_submitted, resting);
            }
        }
    }
}
