//! The engine of backtests, example by example, with figures worked out by hand.
#![allow(clippy::unwrap_used)]

use kernels::engine::money::{DIGITS, parse, text};
use kernels::engine::{
    Cost, CostText, Engine, Fault, Fill, Funding, Instrument, Kind, Reason, Request, Row, Rows, Side, State,
    TimeInForce,
};

const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 1440 * MINUTE;

/// Prices in cents, sizes in whole pieces.
fn stock(name: &str) -> Instrument {
    Instrument::new(name, 2, 0, 1, 1, true).unwrap()
}

fn free() -> CostText<'static> {
    CostText::default()
}

/// One instrument and 1,000 in cash.
fn engine(costs: CostText<'_>) -> Engine {
    Engine::new(
        parse("1000", DIGITS).unwrap(),
        vec![stock("A")],
        costs.read().unwrap(),
    )
    .unwrap()
}

fn bar(minute: i64, [open, high, low, close]: [i64; 4]) -> Row {
    Row {
        end: minute * MINUTE,
        instrument: 0,
        open,
        high,
        low,
        close,
    }
}

fn flat(minute: i64, price: i64) -> Row {
    bar(minute, [price; 4])
}

fn limit(side: Side, size: i64, limit: i64) -> Request {
    Request {
        kind: Kind::Limit,
        limit,
        ..Request::market(0, side, size)
    }
}

fn stop(side: Side, size: i64, stop: i64) -> Request {
    Request {
        kind: Kind::Stop,
        stop,
        ..Request::market(0, side, size)
    }
}

/// (price, size, maker) of each fill of a row.
fn got(fills: &[Fill]) -> Vec<(i64, i64, bool)> {
    fills
        .iter()
        .map(|one| (one.price, one.size * one.side.sign(), one.maker))
        .collect()
}

fn step(engine: &mut Engine, row: Row) -> Vec<(i64, i64, bool)> {
    got(engine.step(&row).unwrap())
}

fn cash(engine: &Engine) -> String {
    text(engine.cash())
}

fn equity(engine: &Engine) -> String {
    text(engine.equity().unwrap())
}

#[test]
fn a_target_buys_at_the_next_open_and_sells_again_with_all_costs() {
    let costs = CostText {
        taker: "0.001",
        spread_bps: "10",
        slippage_ticks: 1,
        ..free()
    };
    let mut engine = engine(costs);
    step(&mut engine, flat(1, 10_000));
    engine.target(0, 1.0).unwrap(); // 1,000 ÷ 100.00 = 10
    // 101.00 + 5 basis points (0.0505) + one tick of 0.01, up to the next tick: 101.07.
    assert_eq!(
        step(&mut engine, bar(2, [10_100, 10_250, 10_050, 10_200])),
        [(10_107, 10, false)]
    );
    // 1,000 − 10 × 101.07 − 0.1 % of 1,010.70.
    assert_eq!(cash(&engine), "-11.7107");
    assert_eq!(equity(&engine), "1008.2893");
    engine.target(0, 0.0).unwrap();
    // 103.00 − 0.0515 − 0.01, down to 102.93.
    assert_eq!(step(&mut engine, flat(3, 10_300)), [(10_293, -10, false)]);
    assert_eq!(cash(&engine), "1016.56");
    assert_eq!(engine.equity_curve(), [1000.0, 1008.2893, 1016.56]);
    let [trip] = engine.trips() else {
        panic!("{:?}", engine.trips())
    };
    assert_eq!(
        (trip.opened, trip.closed, trip.size),
        (2 * MINUTE, 3 * MINUTE, 10)
    );
    assert_eq!(text(trip.net()), "16.56");
    assert_eq!(trip.fees, 2_040_000_000); // 1.0107 + 1.0293
}

#[test]
fn a_short_earns_when_the_price_falls_and_turns_long_in_one_order() {
    let mut engine = engine(CostText {
        taker: "0.001",
        ..free()
    });
    step(&mut engine, flat(1, 10_000));
    engine.target(0, -0.5).unwrap();
    assert_eq!(step(&mut engine, flat(2, 10_000)), [(10_000, -5, false)]);
    assert_eq!(cash(&engine), "1499.5");
    step(&mut engine, flat(3, 9_000));
    assert_eq!(equity(&engine), "1049.5"); // 1,499.5 − 5 × 90
    engine.target(0, 0.5).unwrap(); // 524.75 ÷ 90 = 5.83: 5 held instead of −5
    assert_eq!(step(&mut engine, flat(4, 9_000)), [(9_000, 10, false)]);
    assert_eq!(cash(&engine), "598.6"); // 1,499.5 − 900 − 0.9
    let trips = engine.trips();
    assert_eq!(trips.len(), 2);
    assert_eq!((trips[0].side, trips[0].closed), (Side::Sell, 4 * MINUTE));
    assert_eq!(text(trips[0].net()), "49.05"); // 50 − 0.5 − half of 0.9
    assert_eq!((trips[1].side, trips[1].closed), (Side::Buy, 0));
}

#[test]
fn a_target_counts_to_nine_decimals_and_only_when_it_changes() {
    let mut engine = engine(free());
    step(&mut engine, flat(1, 1_000));
    engine.target(0, 0.29).unwrap(); // as a float a little less than 0.29, which would be 28 pieces
    assert_eq!(step(&mut engine, flat(2, 1_000)), [(1_000, 29, false)]);
    engine.target(0, 0.29).unwrap();
    engine.target(0, f64::NAN).unwrap();
    assert_eq!(step(&mut engine, flat(3, 2_000)), []);
    assert_eq!(engine.orders().len(), 1);
    for wrong in [1.01, -1.01, f64::INFINITY] {
        assert!(engine.target(0, wrong).is_err());
    }
}

#[test]
fn a_limit_rests_at_its_price_and_takes_a_better_open() {
    let costs = CostText {
        taker: "0.002",
        maker: "0.001",
        spread_bps: "20",
        ..free()
    };
    let mut engine = engine(costs);
    step(&mut engine, flat(1, 10_000));
    engine.submit(limit(Side::Buy, 1, 9_900)).unwrap();
    engine.submit(limit(Side::Buy, 2, 9_800)).unwrap();
    engine.submit(limit(Side::Sell, 3, 10_300)).unwrap();
    assert_eq!(step(&mut engine, bar(2, [10_000, 10_100, 9_950, 10_000])), []);
    // Down to 99.00 to the cent: touched. No spread is paid, and the maker's fee.
    assert_eq!(
        step(&mut engine, bar(3, [10_000, 10_000, 9_900, 9_950])),
        [(9_900, 1, true)]
    );
    assert_eq!(cash(&engine), "900.901");
    // It opens below the other one's limit: at the open, which is better.
    assert_eq!(
        step(&mut engine, bar(4, [9_700, 9_750, 9_700, 9_750])),
        [(9_700, 2, true)]
    );
    assert_eq!(
        step(&mut engine, bar(5, [10_400, 10_400, 10_350, 10_400])),
        [(10_400, -3, true)]
    );
}

#[test]
fn a_limit_that_others_would_fill_at_once_takes_and_pays_for_it_but_not_beyond_its_price() {
    let costs = CostText {
        taker: "0.002",
        maker: "0.001",
        spread_bps: "20",
        ..free()
    };
    let mut engine = engine(costs);
    step(&mut engine, flat(1, 10_000));
    engine.submit(limit(Side::Buy, 1, 10_100)).unwrap();
    engine.submit(limit(Side::Buy, 1, 10_005)).unwrap();
    // 100.00 and half of 20 basis points: 100.10; the second one never pays more than 100.05.
    assert_eq!(
        step(&mut engine, flat(2, 10_000)),
        [(10_010, 1, false), (10_005, 1, false)]
    );
    assert_eq!(engine.fills()[0].fee, 200_200_000);
}

#[test]
fn a_limit_is_a_taker_only_where_it_was_sent_beyond_the_market() {
    let mut engine = engine(CostText {
        taker: "0.002",
        spread_bps: "20",
        ..free()
    });
    step(&mut engine, flat(1, 10_000));
    engine.submit(limit(Side::Buy, 1, 9_900)).unwrap(); // rests before the market jumps to it
    engine.submit(limit(Side::Buy, 1, 10_100)).unwrap(); // would be filled at once
    assert_eq!(
        step(&mut engine, flat(2, 9_800)),
        [(9_800, 1, true), (9_810, 1, false)]
    );
    engine.submit(limit(Side::Buy, 1, 9_900)).unwrap(); // beyond the market, which leaves: then it rests
    assert_eq!(
        step(&mut engine, bar(3, [10_000, 10_000, 9_850, 9_900])),
        [(9_900, 1, true)]
    );
}

#[test]
fn a_gap_may_be_filled_at_the_level_as_nautilus_does() {
    let gap = |gap_fill, request: Request, open| {
        let mut engine = engine(CostText { gap_fill, ..free() });
        step(&mut engine, flat(1, 10_000));
        engine.submit(request).unwrap();
        step(&mut engine, flat(2, open))
    };
    // As NautilusTrader 1.221 fills them, but for a stop that was sent beyond the market, which it rejects.
    assert_eq!(
        gap("level", limit(Side::Buy, 1, 9_900), 9_700),
        [(9_900, 1, true)]
    );
    assert_eq!(
        gap("level", stop(Side::Buy, 1, 10_200), 10_500),
        [(10_200, 1, false)]
    );
    assert_eq!(
        gap("level", stop(Side::Buy, 1, 9_900), 10_500),
        [(10_500, 1, false)]
    );
    assert_eq!(gap("open", limit(Side::Buy, 1, 9_900), 9_700), [(9_700, 1, true)]);
    assert_eq!(
        gap("open", stop(Side::Buy, 1, 10_200), 10_500),
        [(10_500, 1, false)]
    );
}

#[test]
fn through_wants_a_price_beyond_the_limit() {
    let mut engine = engine(CostText {
        limit_fill: "through",
        ..free()
    });
    step(&mut engine, flat(1, 10_000));
    engine.submit(limit(Side::Buy, 1, 9_900)).unwrap();
    engine.submit(limit(Side::Sell, 1, 10_100)).unwrap();
    assert_eq!(step(&mut engine, bar(2, [10_000, 10_100, 9_900, 10_000])), []);
    assert_eq!(step(&mut engine, bar(3, [9_900, 9_950, 9_900, 9_900])), []);
    assert_eq!(
        step(&mut engine, bar(4, [10_000, 10_101, 9_899, 10_000])),
        [(9_900, 1, true), (10_100, -1, true)]
    );
}

#[test]
fn a_stop_fills_at_its_price_or_at_an_open_beyond_it_and_pays_the_spread() {
    let costs = CostText {
        spread_bps: "20",
        ..free()
    };
    let mut engine = engine(costs);
    step(&mut engine, flat(1, 10_000));
    engine.submit(stop(Side::Buy, 1, 10_200)).unwrap();
    engine.submit(stop(Side::Sell, 1, 9_800)).unwrap();
    assert_eq!(step(&mut engine, bar(2, [10_000, 10_199, 9_801, 10_000])), []);
    // 102.00 + 0.102, up.
    assert_eq!(
        step(&mut engine, bar(3, [10_000, 10_250, 9_900, 10_200])),
        [(10_211, 1, false)]
    );
    // It opens at 95.00, below the stop at 98.00: 95.00 − 0.095, down.
    assert_eq!(
        step(&mut engine, bar(4, [9_500, 9_600, 9_400, 9_500])),
        [(9_490, -1, false)]
    );
}

#[test]
fn a_stop_limit_is_a_limit_once_its_stop_is_reached() {
    let mut engine = engine(free());
    let both = |stop, limit| Request {
        kind: Kind::StopLimit,
        stop,
        limit,
        ..Request::market(0, Side::Buy, 1)
    };
    step(&mut engine, flat(1, 10_000));
    // Its limit lies above the stop: filled where it is triggered.
    engine.submit(both(10_100, 10_150)).unwrap();
    assert_eq!(
        step(&mut engine, bar(2, [10_000, 10_120, 9_990, 10_100])),
        [(10_100, 1, false)]
    );
    // Triggered on the way up, filled on the way down of the same bar.
    engine.submit(both(10_200, 10_120)).unwrap();
    assert_eq!(
        step(&mut engine, bar(3, [10_190, 10_220, 10_100, 10_150])),
        [(10_120, 1, true)]
    );
    // It opens beyond the stop and the limit: it rests, and is filled a bar later.
    engine.submit(both(10_200, 10_250)).unwrap();
    assert_eq!(step(&mut engine, bar(4, [10_300, 10_400, 10_280, 10_300])), []);
    assert_eq!(
        step(&mut engine, bar(5, [10_300, 10_300, 10_200, 10_300])),
        [(10_250, 1, true)]
    );
}

#[test]
fn inside_a_bar_the_nearer_of_high_and_low_comes_first() {
    let exits = |row: Row| {
        let mut engine = engine(free());
        step(&mut engine, flat(1, 10_000));
        engine.submit(Request::market(0, Side::Buy, 1)).unwrap();
        let only = |request| Request {
            reduce_only: true,
            ..request
        };
        engine.submit(only(limit(Side::Sell, 1, 10_100))).unwrap();
        engine.submit(only(stop(Side::Sell, 1, 9_900))).unwrap();
        let fills = step(&mut engine, row);
        assert_eq!(engine.position(0).unwrap(), 0);
        let left = engine.orders().iter().filter(|one| one.state == State::Cancelled);
        assert_eq!(
            left.map(|one| one.reason).collect::<Vec<_>>(),
            [Reason::ReduceOnly]
        );
        fills[1]
    };
    assert_eq!(exits(bar(2, [10_000, 10_150, 9_800, 10_000])), (10_100, -1, true));
    assert_eq!(exits(bar(2, [10_000, 10_200, 9_850, 10_000])), (9_900, -1, false));
    // As near: the low.
    assert_eq!(exits(bar(2, [10_000, 10_150, 9_850, 10_000])), (9_900, -1, false));
}

#[test]
fn a_target_is_filled_by_the_next_trade_of_the_same_time() {
    let mut engine = engine(free());
    step(&mut engine, flat(1, 10_000));
    engine.target(0, 1.0).unwrap();
    assert_eq!(step(&mut engine, flat(1, 10_010)), [(10_010, 10, false)]);
}

#[test]
fn every_order_at_the_high_is_met() {
    let mut engine = engine(free());
    step(&mut engine, flat(1, 10_000));
    for size in 1..=3 {
        engine.submit(limit(Side::Sell, size, 10_100)).unwrap();
    }
    engine.submit(stop(Side::Buy, 4, 10_100)).unwrap();
    let fills = step(&mut engine, bar(2, [10_000, 10_100, 9_990, 10_050]));
    assert_eq!(
        fills,
        [
            (10_100, -1, true),
            (10_100, -2, true),
            (10_100, -3, true),
            (10_100, 4, false)
        ]
    );
}

#[test]
fn an_ioc_order_is_filled_at_the_next_open_or_not_at_all() {
    let mut engine = engine(free());
    let now = |price| Request {
        time_in_force: TimeInForce::Ioc,
        ..limit(Side::Buy, 1, price)
    };
    step(&mut engine, flat(1, 10_000));
    let (good, late) = (
        engine.submit(now(10_000)).unwrap(),
        engine.submit(now(9_900)).unwrap(),
    );
    assert_eq!(
        step(&mut engine, bar(2, [9_950, 9_950, 9_800, 9_900])),
        [(9_950, 1, false)]
    );
    assert_eq!(engine.orders()[good as usize].state, State::Filled);
    let late = &engine.orders()[late as usize];
    assert_eq!((late.state, late.reason), (State::Cancelled, Reason::Ioc));
    let never = Request {
        time_in_force: TimeInForce::Ioc,
        ..stop(Side::Buy, 1, 1)
    };
    assert!(matches!(engine.submit(never), Err(Fault::Refused(_))));
}

#[test]
fn an_ioc_order_takes_and_pays_for_it_however_the_open_comes_to_its_limit() {
    let mut engine = engine(CostText {
        taker: "0.01",
        maker: "0.001",
        limit_fill: "through",
        ..free()
    });
    let now = |price| Request {
        time_in_force: TimeInForce::Ioc,
        ..limit(Side::Buy, 1, price)
    };
    step(&mut engine, flat(1, 10_000));
    // Below the close when it is sent; the open falls to it, and it is no order that has rested.
    engine.submit(now(9_900)).unwrap();
    engine.submit(limit(Side::Buy, 1, 9_800)).unwrap();
    assert_eq!(
        step(&mut engine, bar(2, [9_900, 9_900, 9_700, 9_900])),
        [(9_900, 1, false), (9_800, 1, true)]
    );
    let fees: Vec<i64> = engine.fills().iter().map(|fill| fill.fee).collect();
    assert_eq!(fees, [990_000_000, 98_000_000]);
}

#[test]
fn an_order_is_not_met_by_a_row_that_had_begun_before_it() {
    let run = |after: Option<i64>| {
        let mut engine = Engine::new(
            parse("100000", DIGITS).unwrap(),
            vec![stock("A"), stock("B")],
            CostText {
                leverage: "10",
                ..free()
            }
            .read()
            .unwrap(),
        )
        .unwrap();
        let b = |minute, prices| Row {
            instrument: 1,
            ..bar(minute, prices)
        };
        // Bars of B have two minutes, those of A one: at minute 3 the bar of B runs until minute 4.
        step(&mut engine, b(2, [5_000; 4]));
        step(&mut engine, flat(3, 10_000));
        let market = Request::market(1, Side::Buy, 1);
        let orders = [
            market,
            Request {
                instrument: 1,
                ..limit(Side::Buy, 2, 4_990)
            },
            Request {
                instrument: 1,
                ..stop(Side::Buy, 3, 5_050)
            },
            Request {
                instrument: 1,
                reduce_only: true,
                ..limit(Side::Sell, 1, 5_060)
            },
        ];
        for order in orders {
            match after {
                Some(after) => engine.submit_after(order, after).unwrap(),
                None => engine.submit(order).unwrap(),
            };
        }
        engine.target_after(0, 0.5, 3 * MINUTE).unwrap();
        let running = step(&mut engine, b(4, [5_000, 5_100, 4_900, 5_040]));
        assert_eq!(step(&mut engine, flat(4, 10_000)), [(10_000, 500, false)]);
        let next = step(&mut engine, b(6, [5_045, 5_070, 4_980, 5_000]));
        (running, next)
    };
    // What nobody holds back is met at an open that was a minute before.
    assert_eq!(run(None).0[0], (5_000, 1, false));
    let (running, next) = run(Some(4 * MINUTE));
    assert_eq!(running, []);
    assert_eq!(
        next,
        [
            (5_045, 1, false),
            (5_050, 3, false),
            (5_060, -1, true),
            (4_990, 2, true)
        ]
    );
}

#[test]
fn an_order_of_a_day_ends_with_it() {
    let mut engine = engine(free());
    let today = |price| Request {
        time_in_force: TimeInForce::Day,
        ..limit(Side::Buy, 1, price)
    };
    let hour = |hour: i64, low| Row {
        end: hour * 60 * MINUTE,
        ..bar(0, [10_000, 10_000, low, 10_000])
    };
    step(&mut engine, hour(12, 10_000));
    engine.submit(today(9_900)).unwrap();
    engine.submit(today(9_800)).unwrap();
    assert_eq!(step(&mut engine, hour(24, 9_900)), [(9_900, 1, true)]); // the last hour of the day
    engine.submit(today(9_700)).unwrap(); // sent at midnight: the next day's
    assert_eq!(step(&mut engine, hour(25, 9_700)), [(9_700, 1, true)]);
    let gone = &engine.orders()[1];
    assert_eq!(
        (gone.state, gone.reason, gone.done),
        (State::Expired, Reason::Day, DAY + 60 * MINUTE)
    );
    assert!(engine.open_orders().is_empty());
}

#[test]
fn an_order_taken_back_is_not_filled() {
    let mut engine = engine(free());
    step(&mut engine, flat(1, 10_000));
    let order = engine.submit(limit(Side::Buy, 10, 9_900)).unwrap();
    assert_eq!(engine.open_orders(), [order]);
    assert!(engine.cancel(order));
    assert!(!engine.cancel(order));
    assert!(!engine.cancel(99));
    assert_eq!(step(&mut engine, flat(2, 9_900)), []);
    // What it would have held is free again.
    assert_eq!(engine.submit(limit(Side::Buy, 10, 9_900)).unwrap(), 1);
    assert_eq!(engine.orders()[1].state, State::Open);
}

#[test]
fn orders_beyond_the_account_are_refused_and_say_why() {
    let mut engine = Engine::new(
        parse("1000", DIGITS).unwrap(),
        vec![
            Instrument::new("A", 2, 0, 5, 10, false).unwrap(),
            Instrument::new("B", 2, 0, 1, 1, true).unwrap(),
        ],
        CostText {
            leverage: "2",
            ..free()
        }
        .read()
        .unwrap(),
    )
    .unwrap();
    let why = |engine: &mut Engine, request: Request| {
        let number = engine.submit(request).unwrap();
        engine.orders()[number as usize].reason
    };
    assert_eq!(
        why(&mut engine, Request::market(0, Side::Buy, 10)),
        Reason::NoPrice
    );
    step(&mut engine, flat(1, 1_000));
    step(
        &mut engine,
        Row {
            instrument: 1,
            ..flat(1, 10_000)
        },
    );
    let of = |instrument, request| Request {
        instrument,
        ..request
    };
    assert_eq!(why(&mut engine, Request::market(0, Side::Buy, 15)), Reason::Lot);
    assert_eq!(why(&mut engine, limit(Side::Buy, 10, 901)), Reason::Tick);
    assert_eq!(why(&mut engine, stop(Side::Buy, 10, 1_101)), Reason::Tick);
    assert_eq!(
        why(&mut engine, Request::market(0, Side::Sell, 10)),
        Reason::Short
    );
    // 2,000 may be held: 1,500 of A, 500 of B whichever way, and not a piece more.
    assert_eq!(why(&mut engine, Request::market(0, Side::Buy, 150)), Reason::None);
    assert_eq!(
        why(&mut engine, of(1, limit(Side::Sell, 5, 11_000))),
        Reason::None
    );
    assert_eq!(why(&mut engine, of(1, limit(Side::Buy, 5, 9_000))), Reason::None);
    assert_eq!(
        why(&mut engine, of(1, Request::market(1, Side::Buy, 1))),
        Reason::Leverage
    );
    // Bought and not yet filled is enough to sell, once.
    assert_eq!(why(&mut engine, stop(Side::Sell, 150, 500)), Reason::None);
    assert_eq!(why(&mut engine, stop(Side::Sell, 10, 500)), Reason::Short);
    assert!(engine.submit(Request::market(2, Side::Buy, 1)).is_err());
    assert!(engine.submit(Request::market(0, Side::Buy, 0)).is_err());
    assert!(
        engine
            .submit(Request {
                limit: 5,
                ..Request::market(0, Side::Buy, 10)
            })
            .is_err()
    );
    assert!(
        engine
            .submit(Request {
                limit: 0,
                ..limit(Side::Buy, 10, 5)
            })
            .is_err()
    );
}

#[test]
fn what_is_sold_pays_for_what_is_bought_at_the_same_time() {
    let mut engine = Engine::new(
        parse("1000", DIGITS).unwrap(),
        vec![stock("A"), stock("B")],
        free().read().unwrap(),
    )
    .unwrap();
    let both = |engine: &mut Engine, minute, targets: [f64; 2]| {
        for (instrument, share) in [0, 1].into_iter().zip(targets) {
            engine
                .step(&Row {
                    instrument,
                    ..flat(minute, 10_000)
                })
                .unwrap();
            engine.target(instrument, share).unwrap();
        }
    };
    both(&mut engine, 1, [0.0, 1.0]);
    both(&mut engine, 2, [1.0, 0.0]); // A is wanted first, but nothing is left for it until B goes
    both(&mut engine, 3, [1.0, 0.0]);
    assert!(engine.orders().iter().all(|one| one.state == State::Filled));
    assert_eq!(
        (engine.position(0).unwrap(), engine.position(1).unwrap()),
        (10, 0)
    );
}

#[test]
fn funding_is_paid_by_the_long_side_for_what_is_held_at_its_time() {
    let mut engine = engine(free());
    let at = |minute: i64, rate| Funding {
        ts: minute * MINUTE,
        instrument: 0,
        rate,
    };
    engine
        .fund(&[at(2, 0.001), at(3, 0.001), at(4, -0.0005)])
        .unwrap();
    step(&mut engine, flat(1, 10_000));
    engine.target(0, 1.0).unwrap();
    step(&mut engine, flat(2, 10_000)); // holds 10 at its end, and pays before the next row
    step(&mut engine, flat(3, 11_000));
    assert_eq!(cash(&engine), "-1");
    step(&mut engine, flat(4, 11_000));
    assert_eq!(cash(&engine), "-2.1");
    step(&mut engine, flat(5, 11_000));
    assert_eq!(cash(&engine), "-1.55");
    assert_eq!(
        engine.payments().iter().map(|one| one.amount).sum::<i64>(),
        1_550_000_000
    );
    assert_eq!(engine.trips()[0].funding, 1_550_000_000);
    assert!(engine.fund(&[at(3, 0.0)]).is_err());
    assert!(engine.fund(&[at(9, f64::NAN)]).is_err());
}

#[test]
fn where_the_equity_is_gone_nothing_more_is_bought() {
    let mut engine = engine(free());
    step(&mut engine, flat(1, 10_000));
    engine.target(0, -1.0).unwrap();
    step(&mut engine, flat(2, 10_000));
    step(&mut engine, flat(3, 30_000));
    assert_eq!(equity(&engine), "-1000");
    let number = engine.submit(Request::market(0, Side::Sell, 1)).unwrap();
    assert_eq!(engine.orders()[number as usize].reason, Reason::Leverage);
    engine.target(0, 1.0).unwrap(); // nothing can be held, so what is held goes
    assert_eq!(step(&mut engine, flat(4, 30_000)), [(30_000, 10, false)]);
    assert_eq!(engine.position(0).unwrap(), 0);
}

#[test]
fn rows_that_cannot_be_are_refused_and_nothing_is_taken() {
    let good = [flat(1, 100), bar(2, [100, 120, 90, 110]), flat(3, 110)];
    let run = |change: fn(&mut Vec<Row>, &mut Vec<f64>)| {
        let (mut rows, mut target) = (good.to_vec(), vec![1.0, f64::NAN, 0.0]);
        change(&mut rows, &mut target);
        let column = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        let instrument: Vec<u32> = rows.iter().map(|row| row.instrument).collect();
        let mut engine = engine(free());
        let result = engine.run(&Rows {
            end: &column(|row| row.end),
            instrument: &instrument,
            open: &column(|row| row.open),
            high: &column(|row| row.high),
            low: &column(|row| row.low),
            close: &column(|row| row.close),
            target: &target,
        });
        assert_eq!(
            engine.equity_curve().len(),
            if result.is_ok() { rows.len() } else { 0 }
        );
        result.map_err(|fault| fault.to_string())
    };
    assert_eq!(run(|_, _| {}), Ok(()));
    let refused = |change, words: &str| {
        let why: String = run(change).unwrap_err();
        assert!(why.contains(words), "{why}");
    };
    refused(|rows, _| rows[1].end = 0, "row 1 ends at 0, before");
    refused(|rows, _| rows[1].instrument = 1, "row 1 is of instrument 1");
    refused(
        |rows, _| rows[1].low = 125,
        "row 1 has a low of 125 above its high of 120",
    );
    refused(|rows, _| rows[2].low = 0, "row 2 has a price of 0");
    refused(|rows, _| rows[1].open = 121, "row 1 opens at 121");
    refused(|_, target| target[1] = f64::INFINITY, "row 1 wants inf");
    refused(|_, target| target[2] = -1.5, "row 2 wants -1.5");
    refused(|_, target| target.truncate(2), "target has 2 rows");
}

#[test]
fn amounts_beyond_128_bits_are_an_error() {
    let cost: Cost = CostText {
        leverage: "1000",
        ..free()
    }
    .read()
    .unwrap();
    let mut engine = Engine::new(
        parse("1", DIGITS).unwrap(),
        vec![Instrument::new("A", 0, 0, 1, 1, true).unwrap()],
        cost,
    )
    .unwrap();
    step(&mut engine, flat(1, i64::MAX));
    let huge = Request::market(0, Side::Buy, i64::MAX);
    assert!(matches!(engine.submit(huge), Err(Fault::Overflow(_))));
    assert!(Instrument::new("A", 10, 9, 1, 1, true).is_err());
    assert!(Instrument::new("A", 2, 2, 0, 1, true).is_err());
}
