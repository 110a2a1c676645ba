//! Bars are the same whatever the order, doubling and cutting of their trades.
#![allow(clippy::unwrap_used)]

use kernels::bar::{Bar, BarBuilder, BarError, Bars, GRACE_NS, Interval, Pushed, batch, merge, resample};
use proptest::prelude::*;
use wire::{Decimal, Record, Side};

const SECOND: i64 = 1_000_000_000;

const INSTRUMENT: u32 = 1 << 20 | 1;

fn interval(text: &str) -> Interval {
    text.parse().unwrap()
}

fn trade(id: u64, ts: i64, price: (i64, u8), size: (i64, u8)) -> Record {
    let (price, size) = (Decimal::new(price.0, price.1), Decimal::new(size.0, size.1));
    Record::trade(INSTRUMENT, Side::Buy, price, size, id).at(ts, ts + 1_000)
}

/// A day's worth of instants on a coarse grid, so that equal times are common.
fn trades() -> impl Strategy<Value = Vec<Record>> {
    let one = (0i64..400, 1i64..10_000, 0u8..4, 0i64..1_000_000, 0u8..9);
    prop::collection::vec(one, 1..120).prop_map(|rows| {
        let mut rows = rows;
        rows.sort_by_key(|row| row.0);
        rows.into_iter()
            .enumerate()
            .map(|(i, (ts, price, ps, size, ss))| {
                trade(i as u64, ts * SECOND / 4 * 37, (price, ps), (size, ss))
            })
            .collect()
    })
}

/// The obvious way: sort, group, reduce.
fn oracle(interval: Interval, trades: &[(Record, u64)]) -> Vec<Bar> {
    let mut unique: Vec<(Record, u64)> = Vec::new();
    for (record, sequence) in trades {
        match unique.iter_mut().find(|(other, _)| other.id == record.id) {
            Some((_, first)) => *first = (*first).min(*sequence),
            None => unique.push((*record, *sequence)),
        }
    }
    unique.sort_by_key(|(record, sequence)| (record.ts_event, *sequence));
    let mut bars = Vec::new();
    while let Some((record, _)) = unique.first() {
        let start = interval.start(record.ts_event);
        let end = interval.end(start);
        let n = unique.iter().filter(|(r, _)| r.ts_event < end).count();
        let group: Vec<Record> = unique.drain(..n).map(|(r, _)| r).collect();
        let ps = group.iter().map(|r| r.price_scale).max().unwrap();
        let ss = group.iter().map(|r| r.size_scale).max().unwrap();
        let prices: Vec<i64> = group
            .iter()
            .map(|r| r.price().rescale(ps).unwrap().mantissa)
            .collect();
        bars.push(Bar {
            start_ns: start,
            open: prices[0],
            high: *prices.iter().max().unwrap(),
            low: *prices.iter().min().unwrap(),
            close: *prices.last().unwrap(),
            price_scale: ps,
            volume: group
                .iter()
                .map(|r| i128::from(r.size().rescale(ss).unwrap().mantissa))
                .sum(),
            size_scale: ss,
            trades: n as u64,
            ts_known: group.iter().map(|r| r.ts_recv).max().unwrap().max(end),
        });
    }
    bars
}

const INTERVALS: [&str; 6] = ["1s", "1m", "7m", "1h", "1w", "1mo"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_order_and_doubling_gives_the_oracles_bars(
        records in trades(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        shuffle in any::<u64>(),
    ) {
        let mut rows: Vec<(Record, u64)> = records.iter().copied().zip(1..).collect();
        let next = rows.len() as u64 + 1;
        for (i, pick) in picks.iter().enumerate() {
            let (record, _) = rows[pick.index(records.len())];
            rows.push((record, next + i as u64)); // the venue sent it again
        }
        let mut state = shuffle | 1;
        for i in (1..rows.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            rows.swap(i, (state >> 33) as usize % (i + 1));
        }
        for text in INTERVALS {
            let got = batch(interval(text), rows.iter().map(|(r, s)| (r, *s))).unwrap();
            prop_assert_eq!(&got, &oracle(interval(text), &rows), "{}", text);
        }
    }

    #[test]
    fn streaming_closes_what_batch_builds_and_late_trades_revise(
        records in trades(),
        late in prop::collection::vec(0i64..20, 120),
    ) {
        // Each trade arrives up to 20 s after it happened, in the order of arrival.
        let mut arrived: Vec<Record> = records
            .iter()
            .zip(&late)
            .map(|(record, delay)| record.at(record.ts_event, record.ts_event + delay * SECOND))
            .collect();
        arrived.sort_by_key(|record| record.ts_recv);
        let intervals: Vec<Interval> = INTERVALS.iter().map(|text| interval(text)).collect();
        let mut bars = Bars::new(&intervals);
        let mut out = Vec::new();
        for (record, sequence) in arrived.iter().zip(1u64..) {
            bars.push(record, sequence, &mut out).unwrap();
        }
        let mut end = Record::new(wire::kind::STATUS);
        end.ts_recv = i64::MAX / 2; // a century later everything is closed
        bars.push(&end, arrived.len() as u64 + 1, &mut out).unwrap();
        prop_assert_eq!(bars.open().count(), 0);
        let rows: Vec<(Record, u64)> = arrived.iter().copied().zip(1..).collect();
        for (at, &interval) in intervals.iter().enumerate() {
            let mut newest: std::collections::BTreeMap<i64, (u32, Bar)> = Default::default();
            for emitted in out.iter().filter(|e| e.interval == at) {
                let bar = emitted.closed.bar;
                prop_assert!(emitted.ts_recv >= emitted.closed.end_ns + GRACE_NS);
                match newest.insert(bar.start_ns, (emitted.closed.revision, bar)) {
                    None => prop_assert_eq!(emitted.closed.revision, 0),
                    Some((revision, before)) => {
                        prop_assert_eq!(emitted.closed.revision, revision + 1);
                        prop_assert!(before.trades < bar.trades);
                    }
                }
            }
            let newest: Vec<Bar> = newest.into_values().map(|(_, bar)| bar).collect();
            prop_assert_eq!(newest, oracle(interval, &rows));
        }
    }

    #[test]
    fn emitted_bars_do_not_depend_on_a_restart(
        records in trades(),
        late in prop::collection::vec((any::<bool>(), 0i64..12), 120),
        cut in any::<prop::sample::Index>(),
    ) {
        // Half of them arrive minutes late and close together, in the order of arrival.
        let late_ns = |record: &Record, quarters: i64| {
            (record.ts_event / (240 * SECOND) + 1) * 240 * SECOND + quarters * SECOND / 4
        };
        let mut records: Vec<Record> = (records.iter().zip(&late))
            .map(|(record, &(is_late, quarters))| match is_late {
                true => record.at(record.ts_event, late_ns(record, quarters)),
                false => *record,
            })
            .collect();
        records.sort_by_key(|record| record.ts_recv);
        let intervals = [interval("1s"), interval("1m"), interval("1h")];
        let run = |from: &mut Bars, rows: &[(Record, u64)], out: &mut Vec<_>| {
            for (record, sequence) in rows {
                from.push(record, *sequence, out).unwrap();
            }
        };
        let rows: Vec<(Record, u64)> = records.iter().copied().zip(1..).collect();
        let mut whole = Vec::new();
        run(&mut Bars::new(&intervals), &rows, &mut whole);

        let cut = cut.index(rows.len());
        let mut parts = Vec::new();
        run(&mut Bars::new(&intervals), &rows[..cut], &mut parts);
        let mut again = Bars::new(&intervals);
        // The store gives them back in the venue's order.
        let mut stored = rows[..cut].to_vec();
        stored.sort_by_key(|(record, _)| record.ts_event);
        for (record, sequence) in &stored {
            again.count(record, *sequence).unwrap();
        }
        for e in &parts {
            again.settle(e.instrument, e.interval, &e.closed.bar, e.closed.revision, e.sequence);
        }
        run(&mut again, &rows[cut..], &mut parts);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn an_interval_begins_where_exact_division_says(
        ts in prop_oneof![any::<i64>(), i64::MIN..i64::MIN + 1_000_000, i64::MAX - 1_000_000..i64::MAX],
        text in prop::sample::select(vec!["1s", "7m", "1h", "1d", "1w", "5w"]),
    ) {
        let found = interval(text);
        let Interval::Fixed { length_ns, anchor_ns } = found else {
            unreachable!("{text} has a fixed length");
        };
        let (length, anchor) = (i128::from(length_ns), i128::from(anchor_ns));
        let start = (i128::from(ts) - anchor).div_euclid(length) * length + anchor;
        prop_assert_eq!(i128::from(found.start(ts)), start.max(i128::from(i64::MIN)));
    }

    #[test]
    fn merging_is_associative(records in trades()) {
        let rows: Vec<(Record, u64)> = records.iter().copied().zip(1..).collect();
        let seconds = oracle(interval("1s"), &rows);
        let hours = merge(interval("1h"), &seconds).unwrap();
        let minutes = merge(interval("1m"), &seconds).unwrap();
        prop_assert_eq!(&hours, &merge(interval("1h"), &minutes).unwrap());
        prop_assert_eq!(&hours, &oracle(interval("1h"), &rows));
        for bar in &hours {
            prop_assert!(bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close));
        }
    }

    #[test]
    fn arrays_give_the_same_bars(mut ts in prop::collection::vec(-5_000i64..5_000, 0..300), seed in any::<i64>()) {
        ts.sort_unstable();
        let ts: Vec<i64> = ts.into_iter().map(|t| t * SECOND / 7).collect();
        let price: Vec<i64> = (0..ts.len() as i64).map(|i| (i * 7_919 + seed) % 1_000 - 500).collect();
        let size: Vec<i64> = (0..ts.len() as i64).map(|i| i.wrapping_mul(seed) >> (i % 60)).collect();
        let records: Vec<(Record, u64)> = (0..ts.len())
            .map(|i| {
                let mut record = trade(i as u64, ts[i], (price[i], 2), (size[i], 3));
                record.ts_recv = ts[i];
                (record, i as u64)
            })
            .collect();
        for text in INTERVALS {
            let bars = resample(interval(text), &ts, &price, &size, (2, 3)).unwrap();
            prop_assert_eq!(bars, oracle(interval(text), &records));
        }
    }

    #[test]
    fn months_and_weeks_hold_their_instants(ts in -100_000i64 * 86_400..100_000 * 86_400) {
        let ts = ts * SECOND;
        for text in ["1mo", "3mo", "12mo", "1w", "2w", "1d"] {
            let interval = interval(text);
            let start = interval.start(ts);
            let end = interval.end(start);
            prop_assert!(start <= ts && ts < end, "{}", text);
            prop_assert_eq!(interval.start(end), end);
            prop_assert_eq!(interval.start(end - 1), start);
        }
    }
}

#[test]
fn interval_text() {
    for text in [
        "1s", "5s", "1m", "15m", "1h", "4h", "1d", "1w", "2w", "1mo", "3mo",
    ] {
        assert_eq!(interval(text).to_string(), text);
    }
    assert_eq!(interval("60s"), interval("1m"));
    assert_ne!(interval("7d"), interval("1w"));
    for text in [
        "",
        "m",
        "0m",
        "-1m",
        "1",
        "1y",
        "1M",
        "1.5m",
        "99999999999s",
        "0mo",
        "1 m",
        "é",
    ] {
        assert!(text.parse::<Interval>().is_err(), "{text}");
    }
}

#[test]
fn calendar() {
    // 2024-02-29T12:00Z, a leap day and a Thursday
    let ts = 1_709_208_000 * SECOND;
    assert_eq!(interval("1mo").start(ts), 1_706_745_600 * SECOND); // 2024-02-01
    assert_eq!(
        interval("1mo").end(1_706_745_600 * SECOND),
        1_709_251_200 * SECOND
    ); // 2024-03-01
    assert_eq!(interval("3mo").start(ts), 1_704_067_200 * SECOND); // 2024-01-01
    assert_eq!(interval("1w").start(ts), 1_708_905_600 * SECOND); // Monday 2024-02-26
    assert_eq!(interval("1d").start(-1), -86_400 * SECOND);
}

#[test]
fn a_bar_closes_two_seconds_after_its_end_and_a_late_trade_revises_it() {
    let mut builder = BarBuilder::new(SECOND);
    let mut out = Vec::new();
    builder.push(&trade(1, 100 * SECOND, (5, 0), (1, 0)), 1).unwrap();
    builder.advance(101 * SECOND + GRACE_NS - 1, &mut out);
    assert!(out.is_empty());
    assert_eq!(builder.open().count(), 1);
    builder.advance(101 * SECOND + GRACE_NS, &mut out);
    assert_eq!((out.len(), out[0].revision), (1, 0));
    let mut late = trade(2, 100 * SECOND + 5, (7, 0), (1, 0));
    late.ts_recv = 110 * SECOND;
    assert_eq!(builder.push(&late, 2).unwrap(), Pushed::Late);
    assert_eq!(builder.push(&late, 3).unwrap(), Pushed::Double);
    builder.advance(110 * SECOND + GRACE_NS, &mut out);
    assert_eq!((out.len(), out[1].revision, out[1].bar.trades), (2, 1, 2));
    builder.forget(101 * SECOND);
    assert_eq!(
        builder.push(&trade(4, 100 * SECOND, (1, 0), (1, 0)), 4).unwrap(),
        Pushed::Forgotten
    );
    assert_eq!(builder.bars().count(), 0);
}

#[test]
fn extremes_are_exact_and_overflow_is_an_error() {
    let tiny = trade(1, 0, (1, 10), (i64::MAX, 0));
    let more = trade(2, 0, (2, 10), (i64::MAX, 0));
    let bars = batch(interval("1s"), [(&tiny, 1), (&more, 2)]).unwrap();
    assert_eq!(bars[0].volume, 2 * i128::from(i64::MAX));
    let huge = trade(3, 0, (i64::MAX, 0), (1, 0));
    let mut builder = BarBuilder::new(SECOND);
    builder.push(&tiny, 1).unwrap();
    let before: Vec<Bar> = builder.bars().copied().collect();
    assert_eq!(builder.push(&huge, 2), Err(BarError::Price));
    assert_eq!(before, builder.bars().copied().collect::<Vec<_>>());
    let corrupt = trade(4, 0, (1, 200), (1, 0));
    assert_eq!(builder.push(&corrupt, 3), Err(BarError::Scale));
    let empty: Vec<Bar> = batch(interval("1s"), []).unwrap();
    assert!(empty.is_empty());
}

#[test]
fn a_trade_that_one_interval_refuses_is_in_none() {
    let mut bars = Bars::new(&[interval("1s"), interval("1m")]);
    let mut out = Vec::new();
    let large = trade(1, 0, (i64::MAX / 10, 0), (1, 0));
    assert_eq!(bars.push(&large, 1, &mut out), Ok(Pushed::Counted));
    // It has a second of its own; in its minute the large price does not fit at two decimals.
    let fine = trade(2, 5_000_000_000, (101, 2), (1, 0));
    assert_eq!(bars.push(&fine, 2, &mut out), Err(BarError::Price));
    let count = |bars: &Bars, interval| {
        bars.series(INSTRUMENT, interval)
            .map(|(.., bar)| bar.trades)
            .sum::<u64>()
    };
    assert_eq!((count(&bars, 0), count(&bars, 1)), (1, 1));
    let coarse = trade(2, 5_000_000_000, (1, 0), (1, 0));
    assert_eq!(
        bars.push(&coarse, 3, &mut out),
        Ok(Pushed::Counted),
        "the id was not spent"
    );
    assert_eq!((count(&bars, 0), count(&bars, 1)), (2, 2));
}

#[test]
fn merged_counts_that_do_not_fit_are_an_error() {
    let bars = batch(interval("1s"), [(&trade(1, 0, (1, 0), (1, 0)), 1)]).unwrap();
    let (mut one, mut other) = (bars[0], bars[0]);
    one.trades = u64::MAX;
    other.start_ns = 1_000_000_000;
    assert_eq!(merge(interval("1m"), [one, other]), Err(BarError::Trades));
}

#[test]
fn a_trade_whose_conditions_say_so_is_in_no_bar() {
    let mut bars = Bars::new(&[interval("1s")]);
    let mut builder = BarBuilder::new(SECOND);
    let mut out = Vec::new();
    let regular = trade(1, 0, (100, 2), (1, 0));
    let odd = trade(2, 1, (999, 2), (1_000, 0)).with(wire::flag::IRREGULAR);
    for (record, sequence) in [(&odd, 1), (&regular, 2), (&odd, 3)] {
        let expected = if record == &odd {
            Pushed::LeftOut
        } else {
            Pushed::Counted
        };
        assert_eq!(bars.push(record, sequence, &mut out), Ok(expected));
        assert_eq!(builder.push(record, sequence), Ok(expected));
    }
    let alone = batch(interval("1s"), [(&regular, 2)]).unwrap();
    assert_eq!(
        bars.series(INSTRUMENT, 0)
            .map(|(.., bar)| *bar)
            .collect::<Vec<_>>(),
        alone
    );
    assert_eq!(builder.bars().copied().collect::<Vec<_>>(), alone);
    assert_eq!(batch(interval("1s"), [(&odd, 1), (&regular, 2)]).unwrap(), alone);
    // It tells the time all the same, and a restart leaves it out as well.
    let late = odd.at(1, 10 * SECOND);
    assert_eq!(bars.push(&late, 4, &mut out), Ok(Pushed::LeftOut));
    assert_eq!(out.len(), 1);
    let mut again = Bars::new(&[interval("1s")]);
    for (record, sequence) in [(&odd, 1), (&regular, 2), (&late, 4)] {
        again.count(record, sequence).unwrap();
    }
    again.settle(INSTRUMENT, 0, &out[0].closed.bar, 0, out[0].sequence);
    assert_eq!((again.open().count(), again.watermark()), (0, 10 * SECOND));
}
