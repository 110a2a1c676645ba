//! Laws that the engine of backtests keeps whatever the rows and orders are.
#![allow(clippy::unwrap_used)]

use kernels::engine::money::ONE;
use kernels::engine::{
    Cost, CostText, Engine, Fill, Funding, Instrument, Kind, Order, Reason, Request, Row, Rows, Side, State,
    TimeInForce,
};
use proptest::prelude::*;

const COUNT: usize = 3;
const FEE_UNIT: i128 = 1_000_000_000;

/// A small generator, so that a case is one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as i64 % bound
    }

    fn one_in(&mut self, bound: i64) -> bool {
        self.below(bound) == 0
    }
}

/// What is done after a row.
#[derive(Clone, Debug)]
enum Act {
    Target(u32, f64),
    Submit(Request),
    Cancel(u32),
}

/// Instruments of different scales and steps; the second cannot be sold short.
fn instruments() -> Vec<Instrument> {
    [
        ("A", 2, 0, 1, 1, true),
        ("B", 0, 3, 5, 10, false),
        ("C", 6, 8, 1, 1, true),
    ]
    .map(|(name, price, size, tick, lot, shorts)| {
        Instrument::new(name, price, size, tick, lot, shorts).unwrap()
    })
    .to_vec()
}

fn costs(dice: &mut Dice) -> Cost {
    let pick = |dice: &mut Dice, of: [&'static str; 3]| of[dice.below(3) as usize];
    CostText {
        taker: pick(dice, ["0", "0.001", "0.00075"]),
        maker: pick(dice, ["0", "0.0002", "-0.0001"]),
        spread_bps: pick(dice, ["0", "1.5", "30"]),
        slippage_bps: pick(dice, ["0", "2", "7.25"]),
        slippage_ticks: dice.below(3),
        leverage: pick(dice, ["1", "2.5", "1"]),
        limit_fill: pick(dice, ["touch", "through", "touch"]),
        gap_fill: "open",
    }
    .read()
    .unwrap()
}

/// Rows that wander and jump, several of one time.
fn rows(dice: &mut Dice, len: usize) -> Vec<Row> {
    let mut close = [1_000i64, 400, 5_000];
    let mut end = 86_000_000_000_000;
    (0..len)
        .map(|_| {
            let at = dice.below(COUNT as i64) as usize;
            if !dice.one_in(3) {
                end += 20_000_000_000 * (1 + dice.below(5));
            }
            let mut next = |from: i64, reach: i64| (from + dice.below(2 * reach + 1) - reach).max(1);
            let open = next(close[at], 20);
            let last = next(open, 40);
            let (high, low) = (
                open.max(last) + next(10, 9),
                (open.min(last) - next(10, 9)).max(1),
            );
            close[at] = last;
            Row {
                end,
                instrument: at as u32,
                open,
                high,
                low,
                close: last,
            }
        })
        .collect()
}

fn request(dice: &mut Dice, near: i64) -> Request {
    let instrument = dice.below(COUNT as i64) as u32;
    let (tick, lot) = if instrument == 1 { (5, 10) } else { (1, 1) };
    let kind = [Kind::Market, Kind::Limit, Kind::Stop, Kind::StopLimit][dice.below(4) as usize];
    let mut price = |needed: bool| match needed {
        true => ((near + dice.below(121) - 60) / tick * tick).max(tick),
        false => 0,
    };
    let limit = price(matches!(kind, Kind::Limit | Kind::StopLimit));
    let stop = price(matches!(kind, Kind::Stop | Kind::StopLimit));
    let time = match dice.below(6) {
        0 if stop == 0 => TimeInForce::Ioc,
        1 => TimeInForce::Day,
        _ => TimeInForce::Gtc,
    };
    Request {
        instrument,
        side: if dice.one_in(2) { Side::Buy } else { Side::Sell },
        kind,
        size: lot * (1 + dice.below(30)),
        limit,
        stop,
        time_in_force: time,
        reduce_only: dice.one_in(4),
    }
}

fn acts(dice: &mut Dice, row: &Row) -> Vec<Act> {
    let count = dice.below(3);
    (0..count)
        .map(|_| match dice.below(4) {
            0 => Act::Target(
                row.instrument,
                if row.instrument == 1 {
                    0.25
                } else {
                    dice.below(5) as f64 / 4.0 - 0.5
                },
            ),
            1 => Act::Cancel(dice.below(40) as u32),
            _ => {
                let mut request = request(dice, row.close);
                request.instrument = if dice.one_in(3) {
                    request.instrument
                } else {
                    row.instrument
                };
                Act::Submit(request)
            }
        })
        .collect()
}

fn act(engine: &mut Engine, act: &Act) {
    match act {
        Act::Target(instrument, share) => engine.target(*instrument, *share).unwrap(),
        Act::Submit(request) => drop(engine.submit(*request).unwrap()),
        Act::Cancel(number) => drop(engine.cancel(*number)),
    }
}

struct Case {
    cost: Cost,
    rows: Vec<Row>,
    acts: Vec<Vec<Act>>,
    funding: Vec<Funding>,
}

fn case(seed: u64, len: usize) -> Case {
    let mut dice = Dice(seed | 1);
    let cost = costs(&mut dice);
    let rows = rows(&mut dice, len);
    let acts = rows.iter().map(|row| acts(&mut dice, row)).collect();
    let due = |row: &Row| Funding {
        ts: row.end,
        instrument: row.instrument,
        rate: dice.below(21) as f64 / 1e4 - 1e-3,
    };
    let funding = rows.iter().step_by(7).map(due).collect();
    Case {
        cost,
        rows,
        acts,
        funding,
    }
}

const CASH: i128 = 1_000 * ONE;

fn fresh(cost: &Cost) -> Engine {
    Engine::new(CASH, instruments(), cost.clone()).unwrap()
}

/// Everything that an engine found out.
fn outcome(engine: &Engine) -> (Vec<Fill>, Vec<Order>, Vec<u64>, i128, String) {
    let curve = engine.equity_curve().iter().map(|one| one.to_bits()).collect();
    let rest = format!("{:?} {:?}", engine.trips(), engine.payments());
    (
        engine.fills().to_vec(),
        engine.orders().to_vec(),
        curve,
        engine.cash(),
        rest,
    )
}

struct Columns {
    end: Vec<i64>,
    instrument: Vec<u32>,
    prices: [Vec<i64>; 4],
    target: Vec<f64>,
}

impl Columns {
    fn of(rows: &[Row], target: &[f64]) -> Self {
        let column = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        Self {
            end: column(|row| row.end),
            instrument: rows.iter().map(|row| row.instrument).collect(),
            prices: [
                column(|row| row.open),
                column(|row| row.high),
                column(|row| row.low),
                column(|row| row.close),
            ],
            target: target.to_vec(),
        }
    }

    fn part(&self, from: usize, to: usize) -> Rows<'_> {
        let [open, high, low, close] = self.prices.each_ref().map(|one| &one[from..to]);
        let (end, instrument) = (&self.end[from..to], &self.instrument[from..to]);
        Rows {
            end,
            instrument,
            open,
            high,
            low,
            close,
            target: &self.target[from..to],
        }
    }
}

/// What is wanted after each row.
fn targets(seed: u64, rows: &[Row]) -> Vec<f64> {
    let mut dice = Dice(seed.rotate_left(17) | 1);
    let share = |row: &Row| match dice.below(4) {
        0 => f64::NAN,
        _ if row.instrument == 1 => dice.below(3) as f64 / 3.0,
        _ => dice.below(7) as f64 / 3.0 - 1.0,
    };
    rows.iter().map(share).collect()
}

/// The amount at 18 digits of one unit of price × one of size.
const UNITS: [i128; COUNT] = [10i128.pow(16), 10i128.pow(15), 10i128.pow(4)];

/// The exchange as a walk from price to price, one at a time, where each order sees each of them: what the engine
/// must do for orders that cost nothing.
fn walked(
    open: &mut Vec<(u32, Request)>,
    fresh: &[u32],
    row: &Row,
    position: &mut i64,
) -> Vec<(u32, i64, i64)> {
    let mut fills = Vec::new();
    let [a, b, c, d] = match row.high - row.open < row.open - row.low {
        true => [row.open, row.high, row.low, row.close],
        false => [row.open, row.low, row.high, row.close],
    };
    let mut prices = vec![a];
    for (from, to) in [(a, b), (b, c), (c, d)] {
        let way = (to - from).signum();
        let mut price = from;
        while price != to {
            price += way;
            prices.push(price);
        }
    }
    for (at, &price) in prices.iter().enumerate() {
        let mut place = 0;
        while place < open.len() {
            let (number, request) = open[place];
            let buys = request.side == Side::Buy;
            let stopped = request.stop > 0
                && if buys {
                    price >= request.stop
                } else {
                    price <= request.stop
                };
            if stopped {
                open[place].1.stop = 0; // what is left of it is a market or a limit order
            }
            let waits = request.stop > 0 && !stopped;
            let limit = request.limit;
            let fits = limit == 0 || if buys { price <= limit } else { price >= limit };
            let sign = request.side.sign();
            if waits || !fits {
                if request.time_in_force == TimeInForce::Ioc && at == 0 && fresh.contains(&number) {
                    open.remove(place);
                } else {
                    place += 1;
                }
                continue;
            }
            open.remove(place);
            let room = if position.signum() == -sign {
                position.abs()
            } else {
                0
            };
            let size = if request.reduce_only {
                request.size.min(room)
            } else {
                request.size
            };
            if size == 0 {
                continue;
            }
            let before = *position;
            *position += sign * size;
            fills.push((number, price, sign * size));
            if before.signum() == -sign && position.signum() != before.signum() {
                open.retain(|(_, other)| !(other.reduce_only && other.side == request.side));
                place = 0; // orders ahead may have gone; those that stay do not fit here
            }
        }
    }
    fills
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_series_at_once_in_parts_and_row_by_row_is_the_same(seed: u64, len in 1usize..120, cut in 0usize..120) {
        let Case { cost, rows, funding, .. } = case(seed, len);
        let target = targets(seed, &rows);
        let columns = Columns::of(&rows, &target);
        let (mut whole, mut parts, mut steps) = (fresh(&cost), fresh(&cost), fresh(&cost));
        for engine in [&mut whole, &mut parts, &mut steps] {
            engine.fund(&funding).unwrap();
        }
        whole.run(&columns.part(0, len)).unwrap();
        let cut = cut.min(len);
        parts.run(&columns.part(0, cut)).unwrap();
        parts.run(&columns.part(cut, len)).unwrap();
        for (row, share) in rows.iter().zip(&target) {
            steps.step(row).unwrap();
            steps.target(row.instrument, *share).unwrap();
        }
        prop_assert_eq!(outcome(&whole), outcome(&parts));
        prop_assert_eq!(outcome(&whole), outcome(&steps));
    }

    #[test]
    fn what_comes_later_changes_nothing_before(seed: u64, len in 2usize..120, other: u64) {
        let Case { cost, rows, .. } = case(seed, len);
        let target = targets(seed, &rows);
        let first = len / 2;
        let mut changed = rows.clone();
        // Another end of the story, after the same beginning.
        for (row, mut twist) in changed[first..].iter_mut().zip(case(other, len).rows) {
            twist.end = row.end;
            *row = twist;
        }
        let share = |row: &Row, share: f64| if row.instrument == 1 { share.max(0.0) } else { share };
        let twisted: Vec<f64> = changed.iter().zip(&target).map(|(row, one)| share(row, -*one)).collect();
        let twisted = [&target[..first], &twisted[first..]].concat();
        let run = |rows: &[Row], target: &[f64]| {
            let mut engine = fresh(&cost);
            engine.run(&Columns::of(rows, target).part(0, rows.len())).unwrap();
            engine
        };
        let (short, long) = (run(&rows[..first], &target[..first]), run(&changed, &twisted));
        prop_assert_eq!(short.equity_curve(), &long.equity_curve()[..first]);
        prop_assert_eq!(short.fills(), &long.fills()[..short.fills().len()]);
        prop_assert!(long.fills()[short.fills().len()..].iter().all(|fill| fill.ts >= rows[first].end));
    }

    #[test]
    fn cash_equity_and_positions_add_up_after_every_row(seed: u64, len in 1usize..150) {
        let Case { cost, rows, acts, funding } = case(seed, len);
        let mut engine = fresh(&cost);
        engine.fund(&funding).unwrap();
        let (mut cash, mut position, mut close) = (CASH, [0i64; COUNT], [0i64; COUNT]);
        let mut payments = 0;
        for (row, acts) in rows.iter().zip(&acts) {
            let fills = engine.step(row).unwrap().to_vec();
            for fill in fills {
                let at = fill.instrument as usize;
                prop_assert_eq!(fill.instrument, row.instrument);
                cash -= i128::from(fill.side.sign()) * i128::from(fill.price) * i128::from(fill.size) * UNITS[at];
                cash -= i128::from(fill.fee) * FEE_UNIT;
                let before = position[at];
                position[at] += fill.side.sign() * fill.size;
                let order = &engine.orders()[fill.order as usize];
                if order.request.reduce_only {
                    prop_assert!(position[at].abs() < before.abs() && position[at].signum() != -before.signum());
                }
            }
            for paid in &engine.payments()[payments..] {
                cash -= i128::from(paid.amount) * FEE_UNIT;
            }
            payments = engine.payments().len();
            close[row.instrument as usize] = row.close;
            let worth: i128 = (0..COUNT).map(|at| i128::from(position[at]) * i128::from(close[at]) * UNITS[at]).sum();
            prop_assert_eq!(engine.cash(), cash);
            prop_assert_eq!(engine.equity().unwrap(), cash + worth);
            let shown = *engine.equity_curve().last().unwrap();
            prop_assert_eq!(shown, (cash + worth) as f64 / 1e18);
            for (at, held) in position.iter().enumerate() {
                prop_assert_eq!(engine.position(at as u32).unwrap(), *held);
            }
            prop_assert!(position[1] >= 0); // the one that cannot be sold short
            for one in acts {
                act(&mut engine, one);
            }
        }
        // Trips tell the same story: closed ones and what the open ones paid in.
        let net: i128 = engine.trips().iter().map(|trip| trip.net()).sum();
        let units = |trip: &kernels::engine::Trip| trip.entered - trip.left;
        for (at, held) in position.iter().enumerate() {
            let open = engine.trips().iter().filter(|trip| trip.instrument as usize == at && trip.closed == 0);
            prop_assert_eq!(open.map(|trip| units(trip) * i128::from(trip.side.sign())).sum::<i128>(), i128::from(*held));
        }
        prop_assert_eq!(CASH + net, engine.cash());
    }

    #[test]
    fn fills_come_after_their_orders_at_prices_that_were_there(seed: u64, len in 1usize..150) {
        let Case { cost, rows, acts, .. } = case(seed, len);
        let mut engine = fresh(&cost);
        let instruments = instruments();
        let mut sent: Vec<usize> = Vec::new();
        for (at, (row, acts)) in rows.iter().zip(&acts).enumerate() {
            let fills = engine.step(row).unwrap().to_vec();
            sent.resize(engine.orders().len(), at); // wishes that were settled as the time moved on
            let tick = instruments[row.instrument as usize].tick;
            for fill in fills {
                let order = &engine.orders()[fill.order as usize];
                let settled = order.ts < row.end || order.request.kind == Kind::Market;
                prop_assert!(sent[fill.order as usize] < at || settled);
                prop_assert_eq!((order.state, order.filled), (State::Filled, fill.size));
                let (low, high) = match fill.maker {
                    true => (row.low, row.high),
                    false => (cost.worse(row.low, Side::Sell, tick).unwrap(), cost.worse(row.high, Side::Buy, tick).unwrap()),
                };
                prop_assert!((low..=high).contains(&fill.price), "{fill:?} {row:?}");
                let sign = fill.side.sign();
                if order.request.limit > 0 {
                    prop_assert!((order.request.limit - fill.price) * sign >= 0);
                }
                if order.request.kind == Kind::Stop {
                    prop_assert!((fill.price - order.request.stop) * sign >= 0);
                }
                if !fill.maker && order.request.limit == 0 {
                    prop_assert_eq!(fill.price % tick, 0);
                }
            }
            for one in acts {
                act(&mut engine, one);
            }
            sent.resize(engine.orders().len(), at);
        }
        for order in engine.orders() {
            prop_assert_eq!(order.state == State::Open, order.done == 0);
            prop_assert_eq!(order.state == State::Filled, order.filled > 0);
            prop_assert_eq!(matches!(order.state, State::Open | State::Filled), order.reason == Reason::None);
        }
    }

    #[test]
    fn the_numbers_of_instruments_do_not_matter(seed: u64, len in 1usize..120, turn in 1usize..COUNT) {
        let Case { cost, rows, .. } = case(seed, len);
        let target = targets(seed, &rows);
        let moved = |at: u32| ((at as usize + turn) % COUNT) as u32;
        let mut others = instruments();
        others.rotate_right(turn);
        let renamed: Vec<Row> = rows.iter().map(|row| Row { instrument: moved(row.instrument), ..*row }).collect();
        let mut one = fresh(&cost);
        let mut other = Engine::new(CASH, others, cost).unwrap();
        one.run(&Columns::of(&rows, &target).part(0, len)).unwrap();
        other.run(&Columns::of(&renamed, &target).part(0, len)).unwrap();
        let fills: Vec<Fill> = one.fills().iter().map(|fill| Fill { instrument: moved(fill.instrument), ..*fill }).collect();
        prop_assert_eq!(&fills[..], other.fills());
        prop_assert_eq!(one.equity_curve(), other.equity_curve());
        prop_assert_eq!(one.cash(), other.cash());
    }

    #[test]
    fn the_order_of_instruments_in_a_time_does_not_matter(seed: u64, times in 1usize..60) {
        // Small shares, so that nothing is refused for want of equity.
        let mut dice = Dice(seed | 1);
        let cost = costs(&mut dice);
        let (mut forward, mut backward) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        let (mut a, mut b) = (500i64, 700i64);
        for time in 1..=times as i64 {
            (a, b) = ((a + dice.below(21) - 10).max(50), (b + dice.below(21) - 10).max(50));
            let flat = |instrument, price| Row { end: time * 60, instrument, open: price, high: price, low: price, close: price };
            let both = [(flat(0, a), dice.below(5) as f64 / 20.0), (flat(2, b), dice.below(5) as f64 / 20.0)];
            for ((rows, target), pairs) in [(&mut forward, [both[0], both[1]]), (&mut backward, [both[1], both[0]])] {
                rows.extend(pairs.map(|pair| pair.0));
                target.extend(pairs.map(|pair| pair.1));
            }
        }
        let run = |(rows, target): &(Vec<Row>, Vec<f64>)| {
            let mut engine = fresh(&cost);
            engine.run(&Columns::of(rows, target).part(0, rows.len())).unwrap();
            let last: Vec<f64> = engine.equity_curve().iter().skip(1).step_by(2).copied().collect();
            (engine.cash(), engine.position(0).unwrap(), engine.position(2).unwrap(), last)
        };
        prop_assert_eq!(run(&forward), run(&backward));
    }

    #[test]
    fn orders_are_filled_as_by_an_exchange_that_walks_from_price_to_price(seed: u64, len in 1usize..40) {
        let mut dice = Dice(seed | 1);
        let only = vec![Instrument::new("A", 2, 0, 1, 1, true).unwrap()];
        let cost = CostText { leverage: "1000", ..CostText::default() }.read().unwrap();
        let mut engine = Engine::new(1_000_000 * ONE, only, cost).unwrap();
        let (mut open, mut position, mut new) = (Vec::new(), 0, Vec::new());
        for mut row in rows(&mut dice, len) {
            row.instrument = 0;
            let fills = engine.step(&row).unwrap().iter().map(|one| (one.order, one.price, one.size * one.side.sign()));
            let fills: Vec<_> = fills.collect();
            let was = (position, open.clone());
        prop_assert_eq!(&fills, &walked(&mut open, &new, &row, &mut position), "{:?} {:?}", row, was);
            let numbers: Vec<u32> = open.iter().map(|one| one.0).collect();
            prop_assert_eq!(&engine.open_orders(), &numbers);
            new.clear();
            for _ in 0..dice.below(4) {
                let mut one = Request { instrument: 0, ..request(&mut dice, row.close) };
                if one.time_in_force == TimeInForce::Day {
                    one.time_in_force = TimeInForce::Gtc;
                }
                let number = engine.submit(one).unwrap();
                prop_assert_eq!(engine.orders()[number as usize].state, State::Open);
                open.push((number, one));
                new.push(number);
            }
        }
    }
}
