//! The lookup port: history and symbols, a line in and lines out, without I/O.

use super::text;
use crate::providers::bar::{Bar, Bars, Interval, Unit};
use crate::providers::calendar::{DAY_NS, SECOND_NS, offset_ns};
use crate::providers::world::{ASSETS, Asset, BEGIN_NS, Mark, Trade, World, days};

/// Rows of one reply at most, as a request without a limit would have all there ever was.
const ROWS_MAX: usize = 1_000_000;
pub const SYNTAX_ERROR: &str = "!SYNTAX_ERROR!";
pub const END: &str = "!ENDMSG!,";
const PARAMETERS: &str = "Invalid number of parameters.";

/// What comes back of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Stands before every line, if the request has one.
    pub id: String,
    /// Rows, or what stands behind `E,`.
    pub rows: Result<Vec<String>, String>,
    /// LH or LS, which newer protocols put before rows.
    pub label: &'static str,
}

impl Answer {
    /// The lines, without their ends.
    pub fn lines(self, labelled: bool) -> Vec<String> {
        let id = if self.id.is_empty() {
            String::new()
        } else {
            format!("{},", self.id)
        };
        let mut lines = match self.rows {
            Err(why) if why == SYNTAX_ERROR => return vec![SYNTAX_ERROR.to_owned()],
            Err(why) => vec![format!("{id}E,{why},,")],
            Ok(rows) if rows.is_empty() => vec![format!("{id}E,!NO_DATA!,,")],
            Ok(rows) => {
                let label = if labelled {
                    format!("{},", self.label)
                } else {
                    String::new()
                };
                rows.into_iter().map(|row| format!("{id}{label}{row}")).collect()
            }
        };
        lines.push(format!("{id}{END}"));
        lines
    }
}

/// The answer to one request as it is known at `now`.
pub fn answer(world: World, now: i64, line: &str) -> Answer {
    let fields: Vec<&str> = line.split(',').collect();
    let at = |place: usize| fields.get(place).copied().unwrap_or_default();
    // Where the id stands, and how many fields there are at least.
    let (place, least) = match fields[0] {
        "HTX" | "HWX" | "HMX" | "HDX" => (4, 5),
        "HTD" => (7, 8),
        "HTT" => (8, 9),
        "HIX" => (5, 6),
        "HID" => (8, 9),
        "HIT" => (9, 10),
        "HDT" => (6, 7),
        "SBF" => (5, 3),
        "SLM" | "SST" | "STC" => (1, 1),
        _ => return failed("", SYNTAX_ERROR),
    };
    let id = at(place);
    if fields.len() < least {
        return failed("", PARAMETERS);
    }
    let rows = match fields[0] {
        "SBF" => symbols(at(1), at(2)),
        "SLM" => markets(),
        "SST" => types(),
        "STC" => ["1,REGULAR,Normal trade", "135,ODDLOT,Odd lot trade"]
            .map(str::to_owned)
            .to_vec(),
        _ => match Asset::find_spelled(at(1)) {
            None => return failed(id, "Invalid symbol."),
            Some(asset) => match history(world, asset, now, &fields, place) {
                Some(rows) => rows,
                None => return failed(id, PARAMETERS),
            },
        },
    };
    Answer {
        id: id.to_owned(),
        rows: Ok(rows),
        label: if fields[0].starts_with('H') { "LH" } else { "LS" },
    }
}

fn failed(id: &str, why: &str) -> Answer {
    Answer {
        id: id.to_owned(),
        rows: Err(why.to_owned()),
        label: "",
    }
}

impl Asset {
    pub(super) fn find_spelled(name: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| text::symbol(asset) == name)
    }
}

/// Which of the rows of a span are wanted.
struct Wanted {
    from: i64,
    /// The last moment, inclusive.
    to: i64,
    /// The newest so many.
    count: usize,
    /// Eastern times of the day between which they lie, ns since midnight, both inclusive.
    clock: Option<(i64, i64)>,
    oldest_first: bool,
}

impl Wanted {
    fn admits(&self, ts: i64) -> bool {
        let of_day = (ts + offset_ns(ts)).rem_euclid(DAY_NS);
        (self.from..=self.to).contains(&ts) && self.clock.is_none_or(|(a, b)| (a..=b).contains(&of_day))
    }

    /// The last `count` of what days give, each day oldest first; days come newest first.
    fn take<T>(&self, by_day: impl Iterator<Item = Vec<T>>) -> Vec<T> {
        let mut rows = Vec::new();
        for day in by_day {
            rows.extend(day.into_iter().rev().take(self.count - rows.len()));
            if rows.len() == self.count {
                break;
            }
        }
        if self.oldest_first {
            rows.reverse();
        }
        rows
    }
}

/// `id` is the place of the request's id among the fields. `None` for what cannot be read.
fn history(world: World, asset: &'static Asset, now: i64, fields: &[&str], id: usize) -> Option<Vec<String>> {
    let command = fields[0];
    // Ticks, daily bars and the like have no interval; the fields behind it are the same.
    let is_bars = command.starts_with("HI");
    let rest = &fields[if is_bars { 3 } else { 2 }..];
    let (count, filter, direction, from, to);
    match command.as_bytes()[2] {
        b'X' => {
            (count, filter, direction) = (rest[0], None, rest[1]);
            (from, to) = (BEGIN_NS, now);
        }
        b'D' => {
            (count, filter, direction) = (rest[1], Some((rest[2], rest[3])), rest[4]);
            let wanted: usize = rest[0].parse().ok().filter(|days| (1..=32_767).contains(days))?;
            let first = days(asset, BEGIN_NS, now + 1).rev().take(wanted).last()?;
            (from, to) = (asset.midnight(first), now);
        }
        _ if command == "HDT" => {
            (count, filter, direction) = (rest[2], None, rest[3]);
            from = asset.midnight(text::parse_date(rest[0])?);
            to = asset.midnight(text::parse_date(rest[1])? + 1) - 1;
        }
        _ => {
            (count, filter, direction) = (rest[2], Some((rest[3], rest[4])), rest[5]);
            from = if rest[0].is_empty() {
                BEGIN_NS
            } else {
                text::parse_moment(rest[0])?
            };
            to = if rest[1].is_empty() {
                now
            } else {
                text::parse_moment(rest[1])?
            };
        }
    }
    let clock = match filter {
        None | Some(("", "")) => None,
        Some((begin, end)) => Some((text::parse_clock(begin)?, text::parse_clock(end)?)),
    };
    let wanted = Wanted {
        from,
        to: to.min(now),
        count: if count.is_empty() {
            ROWS_MAX
        } else {
            count.parse::<usize>().ok()?.min(ROWS_MAX)
        },
        clock,
        oldest_first: direction == "1",
    };
    let begun = days(asset, wanted.from, wanted.to.saturating_add(1)).rev();
    Some(match command.as_bytes()[1] {
        b'T' => wanted.take(begun.map(|day| ticks(world, asset, day, now, &wanted))),
        b'I' => {
            let length: i64 = fields[2]
                .parse()
                .ok()
                .filter(|length| (1..=86_400).contains(length))?;
            let unit = fields
                .get(id + 2)
                .and_then(|unit| unit.chars().next())
                .unwrap_or('s');
            let label = fields.get(id + 3) == Some(&"1");
            let making = Making {
                world,
                asset,
                now,
                length,
                unit,
                label,
            };
            wanted.take(begun.map(|day| making.bars(day, &wanted)))
        }
        unit => {
            let unit = match unit {
                b'W' => Unit::Week(1),
                b'M' => Unit::Month,
                _ => Unit::Day,
            };
            let bars = Bars {
                world,
                asset,
                interval: Interval { count: 1, unit },
                adjusted: false,
                only: None,
                now,
            };
            let all = bars.starting(wanted.from, wanted.to.saturating_add(1)).rev();
            wanted.take(all.map(|bar| vec![whole(asset, &bar)]))
        }
    })
}

/// The rows of a day: what was taken back or replaced is gone.
fn ticks(world: World, asset: &'static Asset, day: i64, now: i64, wanted: &Wanted) -> Vec<String> {
    let mut volume = 0;
    let rows = world.trades(asset, asset.midnight(day), asset.midnight(day + 1), now);
    rows.filter(|trade| matches!(trade.mark, Mark::Valid | Mark::Correction))
        .filter_map(|trade| {
            volume += trade.size;
            wanted.admits(trade.ts).then(|| tick(asset, &trade, volume))
        })
        .collect()
}

/// Time, price, size, volume of the day, bid, ask, id, basis, place, conditions, aggressor, day of the month.
fn tick(asset: &Asset, trade: &Trade, volume: i64) -> String {
    let time = text::stamp(trade.ts, 6);
    let date: u32 = time[8..10].parse().unwrap_or_default();
    format!(
        "{time},{},{},{},{},{},{},{},{},{},{},{date}",
        text::price(asset, trade.price),
        text::size(asset, trade.size),
        text::size(asset, volume),
        text::price(asset, trade.bid),
        text::price(asset, trade.ask),
        trade.number,
        text::basis(trade),
        text::center(trade.exchange),
        text::conditions(trade),
        text::aggressor(trade),
    )
}

/// A bar of whole days: date, high, low, open, close, volume, open interest.
fn whole(asset: &Asset, bar: &Bar) -> String {
    format!(
        "{},{},{},{},{},{},0,",
        text::date(asset.day(bar.start)),
        text::price(asset, bar.high),
        text::price(asset, bar.low),
        text::price(asset, bar.open),
        text::price(asset, bar.close),
        text::size(asset, bar.volume),
    )
}

/// Bars within a day.
struct Making {
    world: World,
    asset: &'static Asset,
    now: i64,
    /// Seconds, trades or shares.
    length: i64,
    unit: char,
    /// Whether a bar bears the time of its begin instead of its end.
    label: bool,
}

impl Making {
    /// Label, high, low, open, close, volume of the day, volume, trades.
    fn bars(&self, day: i64, wanted: &Wanted) -> Vec<String> {
        let mut volume = 0;
        let (from, to) = (self.asset.midnight(day), self.asset.midnight(day + 1));
        let made: Vec<Bar> = if self.unit == 's' {
            let interval = Interval {
                count: self.length,
                unit: Unit::Second,
            };
            let bars = Bars {
                world: self.world,
                asset: self.asset,
                interval,
                adjusted: false,
                only: None,
                now: self.now,
            };
            bars.starting(from, to).collect()
        } else {
            self.counted(from, to)
        };
        made.into_iter()
            .filter_map(|bar| {
                volume += bar.volume;
                let label = if self.label { bar.start } else { bar.end };
                wanted
                    .admits(label)
                    .then(|| interval(self.asset, &bar, label, volume))
            })
            .collect()
    }

    /// Bars of so many trades, or of so much volume.
    fn counted(&self, from: i64, to: i64) -> Vec<Bar> {
        let mut made: Vec<Bar> = Vec::new();
        let trades = self
            .world
            .trades(self.asset, from, to, self.now)
            .filter(Trade::counts);
        for trade in trades {
            let one = Bar {
                start: trade.ts / SECOND_NS * SECOND_NS,
                end: trade.ts / SECOND_NS * SECOND_NS,
                open: trade.price,
                high: trade.price,
                low: trade.price,
                close: trade.price,
                volume: trade.size,
                trades: 1,
                turnover: 0,
            };
            match made.last_mut() {
                Some(bar) if !self.is_full(bar) => {
                    bar.end = one.end;
                    bar.high = bar.high.max(one.high);
                    bar.low = bar.low.min(one.low);
                    bar.close = one.close;
                    bar.volume += one.volume;
                    bar.trades += 1;
                }
                _ => made.push(one),
            }
        }
        made
    }

    fn is_full(&self, bar: &Bar) -> bool {
        let reached = if self.unit == 't' {
            bar.trades as i64
        } else {
            bar.volume
        };
        reached >= self.length
    }
}

fn interval(asset: &Asset, bar: &Bar, label: i64, volume: i64) -> String {
    format!(
        "{},{},{},{},{},{},{},{},",
        text::stamp(label, 0),
        text::price(asset, bar.high),
        text::price(asset, bar.low),
        text::price(asset, bar.open),
        text::price(asset, bar.close),
        text::size(asset, volume),
        text::size(asset, bar.volume),
        bar.trades,
    )
}

/// Symbol, market, kind, description of what is spelled or described so.
fn symbols(field: &str, wanted: &str) -> Vec<String> {
    let wanted = wanted.to_uppercase();
    ASSETS
        .iter()
        .filter(|asset| {
            let there = if field == "d" {
                asset.name.to_uppercase()
            } else {
                text::symbol(asset)
            };
            there.contains(&wanted)
        })
        .map(|asset| {
            let (kind, market) = text::kind(asset);
            format!("{},{market},{kind},{},", text::symbol(asset), asset.name)
        })
        .collect()
}

fn markets() -> Vec<String> {
    [
        "5,NASDAQ,Nasdaq,5,NASDAQ,",
        "7,NYSE,New York Stock Exchange,7,NYSE,",
        "74,FXCM,Forex Capital,74,FXCM,",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn types() -> Vec<String> {
    [
        "1,EQUITY,Equity,",
        "6,INDEX,Index,",
        "8,FUTURE,Future,",
        "16,FOREX,Foreign Monetary Exchange,",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::days_of;
    use crate::providers::calendar::HOUR_NS;

    const WORLD: World = World {
        seed: 7,
        density: 1.0,
    };
    const NOW: i64 = 1_760_000_000_000_000_000;

    fn rows(line: &str) -> Vec<String> {
        answer(WORLD, NOW, line).rows.unwrap()
    }

    #[test]
    fn every_valid_trade_of_a_day_is_a_tick_once() {
        let asset = Asset::find("AAPL").unwrap();
        let day = days_of(2024, 7, 2);
        let (from, to) = (asset.midnight(day), asset.midnight(day + 1));
        let there: Vec<Trade> = WORLD.trades(asset, from, to, NOW).collect();
        let got = rows("HTT,AAPL,20240702 000000,20240702 235959,,,,1,R1,500");
        let valid: Vec<&Trade> = there
            .iter()
            .filter(|t| !matches!(t.mark, Mark::Cancelled | Mark::Incorrect))
            .collect();
        assert_eq!(got.len(), valid.len());
        for (row, trade) in got.iter().zip(&valid) {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!(fields.len(), 12, "{row}");
            assert_eq!(fields[1], text::price(asset, trade.price));
            assert_eq!(fields[6], trade.number.to_string());
            assert_eq!(fields[7] != "O", trade.counts());
        }
        // The day's volume is the sum.
        let volume: i64 = valid.iter().map(|trade| trade.size).sum();
        assert_eq!(got.last().unwrap().split(',').nth(3).unwrap(), volume.to_string());
    }

    #[test]
    fn directions_counts_and_filters() {
        let all = rows("HTT,AAPL,20240702 093000,20240702 160000,,,,1,R,500");
        let mut newest = rows("HTT,AAPL,20240702 093000,20240702 160000,10,,,0,R,500");
        newest.reverse();
        assert_eq!(newest, all[all.len() - 10..]);
        assert_eq!(rows("HTT,AAPL,20240702,20240703,,093000,160000,1,R,500"), all);
        let bars = rows("HIT,AAPL,60,20240702 093000,20240702 155900,,,,1,R,500,s,1");
        assert!(bars[0].starts_with("2024-07-02 09:30:00,"), "{}", bars[0]);
        let ends = rows("HIT,AAPL,60,20240702 093100,20240702 160000,,,,1,R,500,s,0");
        assert!(ends[0].starts_with("2024-07-02 09:31:00,"), "{}", ends[0]);
        assert_eq!(bars.len(), ends.len());
        assert_eq!(
            bars[0].split_once(',').unwrap().1,
            ends[0].split_once(',').unwrap().1
        );
        assert_eq!(rows("HDX,AAPL,5,1,R,100").len(), 5);
        assert_eq!(
            rows("HDT,AAPL,20240701,20240705,,1,R,100").len(),
            4,
            "the fourth of July is none"
        );
        assert!(rows("HDT,AAPL,20240702,20240702,,1,R,100")[0].starts_with("2024-07-02,"));
        assert_eq!(rows("HTX,SPY,100,0,R,100").len(), 100);
        assert_eq!(rows("HID,SPY,60,2,7,093000,160000,1,R,100,s,1").len(), 7);
        assert_eq!(rows("HIX,SPY,3600,3,1,R,100,s,1").len(), 3);
        let tens = rows("HIT,AAPL,10,20240702 093000,20240702 160000,,,,1,R,500,t,1");
        assert!(
            tens[..tens.len() - 1]
                .iter()
                .all(|bar| bar.split(',').nth(7) == Some("10"))
        );
        assert!(rows("HWX,SPY,2,1,R,100").len() == 2 && rows("HMX,SPY,2,1,R,100").len() == 2);
    }

    #[test]
    fn lines_as_the_protocol_has_them() {
        let labelled = answer(WORLD, NOW, "HDX,AAPL,1,1,R8,100").lines(true);
        assert!(labelled[0].starts_with("R8,LH,20"), "{labelled:?}");
        assert_eq!(labelled[1], "R8,!ENDMSG!,");
        assert!(answer(WORLD, NOW, "HDX,AAPL,1,1,R8,100").lines(false)[0].starts_with("R8,20"));
        let empty = answer(WORLD, NOW, "HTT,AAPL,20240706 000000,20240706 235959,,,,1,R1,500");
        assert_eq!(empty.lines(true), ["R1,E,!NO_DATA!,,", "R1,!ENDMSG!,"]);
        let none = answer(WORLD, NOW, "HDX,NONE,1,1,R1,100");
        assert_eq!(none.lines(true), ["R1,E,Invalid symbol.,,", "R1,!ENDMSG!,"]);
        assert_eq!(answer(WORLD, NOW, "HELLO").lines(true), ["!SYNTAX_ERROR!"]);
        assert_eq!(
            answer(WORLD, NOW, "HDX,AAPL").lines(true)[0],
            "E,Invalid number of parameters.,,"
        );
        let found = answer(WORLD, NOW, "SBF,d,apple,,,Q").lines(true);
        assert_eq!(found, ["Q,LS,AAPL,5,1,Apple Inc.,", "Q,!ENDMSG!,"]);
    }

    #[test]
    fn times_are_those_of_new_york() {
        assert_eq!(
            text::parse_moment("20240702 093000"),
            Some(1_719_927_000 * SECOND_NS)
        );
        assert_eq!(
            text::stamp(1_719_927_000 * SECOND_NS, 6),
            "2024-07-02 09:30:00.000000"
        );
        assert_eq!(text::compact(1_719_927_000 * SECOND_NS), "20240702 09:30:00");
        assert_eq!(
            text::month_day(1_719_927_000 * SECOND_NS + 4 * HOUR_NS),
            "Jul 02 01:30PM"
        );
        assert_eq!(text::parse_date("20240230"), None);
        assert_eq!(text::parse_clock("246000"), None);
    }
}
