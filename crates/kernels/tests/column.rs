//! Columns give the bars that rows give, however time is cut, exact to the last bit.
#![allow(clippy::unwrap_used)]

use kernels::bar::{
    Bar, BarError, Columns, Cut, Every, Fresh, Interval, Made, Spans, merge_by, reduce, reduce_all,
    reduce_shared, sums, sums_shared,
};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const INTERVALS: [&str; 9] = ["1s", "5s", "7s", "1m", "1h", "1d", "1w", "1mo", "3mo"];

fn interval(text: &str) -> Interval {
    text.parse().unwrap()
}

#[derive(Clone, Debug, Default)]
struct Table {
    ts: Vec<i64>,
    open: Vec<i64>,
    high: Vec<i64>,
    low: Vec<i64>,
    close: Vec<i64>,
    volume: Vec<i64>,
    trades: Vec<i64>,
}

impl Table {
    fn columns(&self) -> Columns<'_> {
        Columns {
            ts: &self.ts,
            open: &self.open,
            high: &self.high,
            low: &self.low,
            close: &self.close,
            volume: &self.volume,
            volume_high: None,
            trades: Some(&self.trades),
        }
    }

    fn bars(&self) -> Vec<Bar> {
        (0..self.ts.len())
            .map(|i| Bar {
                start_ns: self.ts[i],
                open: self.open[i],
                high: self.high[i],
                low: self.low[i],
                close: self.close[i],
                price_scale: 2,
                volume: self.volume[i].into(),
                size_scale: 3,
                trades: self.trades[i] as u64,
                ts_known: self.ts[i] + SECOND,
            })
            .collect()
    }
}

/// One-second bars with holes of every size; volumes up to the whole of 64 bits, of either sign.
fn tables() -> impl Strategy<Value = Table> {
    let step = prop_oneof![8 => Just(1i64), 2 => 1i64..90, 1 => 1i64..400_000];
    let volume = prop_oneof![20 => 0i64..1_000_000, 1 => any::<i64>()];
    let row = (
        step,
        -1_000i64..1_000,
        0i64..50,
        0i64..50,
        0i64..50,
        volume,
        0i64..1_000,
    );
    (any::<u16>(), prop::collection::vec(row, 0..400)).prop_map(|(from, rows)| {
        let mut table = Table::default();
        let mut ts = i64::from(from) * 40_000 - 1_000_000_000;
        for (step, open, up, down, close, volume, trades) in rows {
            ts += step;
            table.ts.push(ts * SECOND);
            table.open.push(open);
            table.high.push(open + up);
            table.low.push(open - down);
            table.close.push((open - down + close).min(open + up));
            table.volume.push(volume);
            table.trades.push(trades);
        }
        table
    })
}

fn made_by(cut: &mut impl Cut, rows: &Columns<'_>) -> Result<Made, BarError> {
    let mut made = Made::default();
    reduce(cut, rows, &mut made)?;
    Ok(made)
}

fn shown(made: &Made) -> Vec<(i64, i64, i64, i64, i64, i128, u64)> {
    (0..made.start.len())
        .map(|i| {
            let trades = made.trades[i] as u64;
            (
                made.start[i],
                made.open[i],
                made.high[i],
                made.low[i],
                made.close[i],
                made.volume_at(i),
                trades,
            )
        })
        .collect()
}

fn told(bars: &[Bar]) -> Vec<(i64, i64, i64, i64, i64, i128, u64)> {
    bars.iter()
        .map(|b| (b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.trades))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn columns_give_the_bars_of_rows(table in tables()) {
        let bars = table.bars();
        for text in INTERVALS {
            let by_rows: Vec<Bar> = merge_by(&mut Every::new(interval(text)), &bars).unwrap()
                .into_iter().map(|(_, bar)| bar).collect();
            let made = made_by(&mut Every::new(interval(text)), &table.columns()).unwrap();
            prop_assert_eq!(shown(&made), told(&by_rows), "{}", text);
            for at in 0..made.start.len() {
                prop_assert!(made.low[at] <= made.open[at].min(made.close[at]));
                prop_assert!(made.high[at] >= made.open[at].max(made.close[at]));
            }
            let volume: i128 = table.volume.iter().map(|&v| i128::from(v)).sum();
            prop_assert_eq!((0..made.start.len()).map(|at| made.volume_at(at)).sum::<i128>(), volume);
            prop_assert_eq!(made.trades.iter().sum::<i64>(), table.trades.iter().sum::<i64>());
        }
    }

    #[test]
    fn all_at_once_is_each_alone(table in tables(), shuffle in Just(INTERVALS.to_vec()).prop_shuffle()) {
        let intervals: Vec<Interval> = shuffle.iter().map(|text| interval(text)).collect();
        let all = reduce_all(&intervals, &table.columns(), 1, &Fresh).unwrap();
        prop_assert_eq!(all.len(), intervals.len());
        for (interval, one) in intervals.iter().zip(&all) {
            let alone = made_by(&mut Every::new(*interval), &table.columns()).unwrap();
            prop_assert_eq!(shown(one), shown(&alone), "{}", interval);
        }
    }

    #[test]
    fn many_threads_give_what_one_gives(table in tables(), threads in 2usize..9, back: bool, at: prop::sample::Index) {
        let mut table = table;
        if back && !table.ts.is_empty() {
            let at = at.index(table.ts.len());
            table.ts[at] -= 1_000 * SECOND; // no table any more, seen or not
        }
        let rows = table.columns();
        for text in INTERVALS {
            let alone = made_by(&mut Every::new(interval(text)), &rows);
            let shared = reduce_shared(&Every::new(interval(text)), &rows, threads, &Fresh);
            if !back {
                prop_assert_eq!(&shared, &alone, "{}", text);
            }
            let sum = |threads| sums_shared(&Every::new(interval(text)), rows.ts, rows.open, rows.volume, threads);
            if !back {
                prop_assert_eq!(sum(threads), sums(&mut Every::new(interval(text)), rows.ts, rows.open, rows.volume));
            }
        }
        let ends: Vec<i64> = rows.ts.iter().step_by(7).map(|ts| ts + 3 * SECOND / 2).collect();
        let starts: Vec<i64> = ends.iter().map(|end| end - SECOND).collect();
        if let Ok(spans) = Spans::new(&starts, &ends) {
            let shared = reduce_shared(&spans, &rows, threads, &Fresh);
            if !back {
                prop_assert_eq!(shared, made_by(&mut spans.clone(), &rows));
            }
        }
    }

    #[test]
    fn spans_give_what_lies_in_them(
        table in tables(),
        edges in prop::collection::vec((0i64..3_000, 1i64..200_000), 0..60),
    ) {
        let mut at = table.ts.first().map_or(0, |ts| ts / SECOND) - 1_000;
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for (pause, length) in edges {
            starts.push((at + pause) * SECOND);
            at += pause + length;
            ends.push(at * SECOND);
        }
        let mut expected = Vec::new();
        for (&start, &end) in starts.iter().zip(&ends) {
            let rows: Vec<usize> = (0..table.ts.len()).filter(|&i| start <= table.ts[i] && table.ts[i] < end).collect();
            if let (Some(&first), Some(&last)) = (rows.first(), rows.last()) {
                expected.push((
                    start,
                    table.open[first],
                    rows.iter().map(|&i| table.high[i]).max().unwrap(),
                    rows.iter().map(|&i| table.low[i]).min().unwrap(),
                    table.close[last],
                    rows.iter().map(|&i| i128::from(table.volume[i])).sum::<i128>(),
                    rows.iter().map(|&i| table.trades[i] as u64).sum::<u64>(),
                ));
            }
        }
        let made = made_by(&mut Spans::new(&starts, &ends).unwrap(), &table.columns()).unwrap();
        prop_assert_eq!(shown(&made), expected.clone());
        let rows = merge_by(&mut Spans::new(&starts, &ends).unwrap(), table.bars()).unwrap();
        let rows: Vec<Bar> = rows.into_iter().map(|(_, bar)| bar).collect();
        prop_assert_eq!(told(&rows), expected);
    }

    #[test]
    fn sums_are_exact(
        rows in prop::collection::vec((0i64..90_000, any::<i32>(), any::<i64>(), 0u32..64), 0..3_000),
    ) {
        let mut ts = 0;
        let (mut times, mut prices, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for (step, price, size, shift) in rows {
            ts += step * SECOND / 7;
            times.push(ts);
            prices.push(i64::from(price) >> (shift / 2));
            sizes.push(size >> shift);
        }
        let found = sums(&mut Every::new(interval("1d")), &times, &prices, &sizes).unwrap();
        let mut expected: std::collections::BTreeMap<i64, (u64, i128, i128)> = Default::default();
        for ((&ts, &price), &size) in times.iter().zip(&prices).zip(&sizes) {
            let day = expected.entry(interval("1d").start(ts)).or_default();
            day.0 += 1;
            day.1 += i128::from(size);
            day.2 += i128::from(price) * i128::from(size);
        }
        let found: Vec<_> = found.iter().map(|one| (one.start_ns, (one.rows, one.size, one.value))).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let two = [0, SECOND];
    let price = [1, 1];
    let sizes = [i64::MAX; 2];
    let rows = Columns::of_trades(&two, &price, &sizes);
    let made = made_by(&mut Every::new(interval("1m")), &rows).unwrap();
    assert_eq!(made.volume_at(0), 2 * i128::from(i64::MAX));
    let upper = [i64::MAX; 2];
    let wide = Columns {
        volume_high: Some(&upper),
        ..rows
    };
    assert_eq!(
        made_by(&mut Every::new(interval("1m")), &wide),
        Err(BarError::Volume)
    );
    let many = Columns {
        trades: Some(&sizes),
        ..rows
    };
    assert_eq!(
        made_by(&mut Every::new(interval("1m")), &many),
        Err(BarError::Trades)
    );
    let large = [i64::MIN; 3];
    let three = [0, 1, 2];
    assert_eq!(
        sums(&mut Every::new(interval("1d")), &three, &large, &large),
        Err(BarError::Volume)
    );
}

#[test]
fn what_is_no_table_or_no_span_is_an_error() {
    let (two, one) = ([0, SECOND], [1]);
    let short = Columns::of_trades(&two, &one, &two);
    assert_eq!(
        made_by(&mut Every::new(interval("1m")), &short),
        Err(BarError::Length)
    );
    let back = [60 * SECOND, 0];
    let rows = Columns::of_trades(&back, &two, &two);
    assert_eq!(
        made_by(&mut Every::new(interval("1m")), &rows),
        Err(BarError::Order)
    );
    for (starts, ends) in [
        (&[0, 5][..], &[6, 9][..]),
        (&[5], &[5]),
        (&[0, 1], &[1]),
        (&[9, 0], &[10, 1]),
    ] {
        assert_eq!(Spans::new(starts, ends).map(|_| ()), Err(BarError::Spans));
    }
}

#[test]
fn volumes_widen_only_where_they_must() {
    let ts: Vec<i64> = (0..4).map(|i| i * 30 * SECOND).collect();
    let price = [1; 4];
    let made = made_by(
        &mut Every::new(interval("1m")),
        &Columns::of_trades(&ts, &price, &[1, 2, 3, 4]),
    )
    .unwrap();
    assert_eq!((made.volume.as_slice(), &made.volume_high), (&[3, 7][..], &None));
    let wide = made_by(
        &mut Every::new(interval("1m")),
        &Columns::of_trades(&ts, &price, &[-1, -2, i64::MAX, 4]),
    )
    .unwrap();
    assert_eq!(wide.volume_high, Some(vec![-1, 0]));
    assert_eq!(
        (wide.volume_at(0), wide.volume_at(1)),
        (-3, i128::from(i64::MAX) + 4)
    );
    let again = made_by(&mut Every::new(interval("1h")), &wide.columns()).unwrap();
    assert_eq!(again.volume_at(0), i128::from(i64::MAX) + 1);
}

#[test]
fn times_at_the_ends_of_the_range_have_bars() {
    let ts = [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1];
    let one = [1; 4];
    for text in INTERVALS {
        let made = made_by(
            &mut Every::new(interval(text)),
            &Columns::of_trades(&ts, &one, &one),
        )
        .unwrap();
        assert_eq!(made.trades.iter().sum::<i64>(), 4, "{text}");
    }
}
