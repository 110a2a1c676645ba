//! The payloads of the streams.

use super::MILLI_NS;
use super::stream::{DAY_NS, INTERVALS, bar_end, bar_start, interval_ns};
use crate::market::{Instrument, Minute, Trade, fill_until};
use crate::number::{push_fixed, push_int, push_percent, push_uint};
use crate::protocols::SECOND_NS;
use kernels::matching::{Change, Side};

/// Appends a time in milliseconds or microseconds.
pub(super) fn push_stamp(text: &mut String, ns: i64, micros: bool) {
    push_int(text, ns.div_euclid(if micros { 1_000 } else { MILLI_NS }));
}

pub(super) fn trade_message(instrument: &Instrument, at: usize, micros: bool) -> String {
    let trade = &instrument.trades[at];
    let mut text = String::with_capacity(192);
    text.push_str("{\"e\":\"trade\",\"E\":");
    push_stamp(&mut text, trade.ts, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",\"t\":");
    push_uint(&mut text, trade.id);
    push_execution(&mut text, instrument, trade.price, trade.size.into());
    text.push_str(",\"T\":");
    push_stamp(&mut text, trade.ts, micros);
    push_maker(&mut text, trade);
    text.push('}');
    text
}

fn push_execution(text: &mut String, instrument: &Instrument, price: i64, size: i128) {
    text.push_str(",\"p\":\"");
    instrument.spec.push_price(text, price);
    text.push_str("\",\"q\":\"");
    instrument.spec.push_size(text, size);
    text.push('"');
}

/// Appends whether the buyer was the maker, so the seller the aggressor.
fn push_maker(text: &mut String, trade: &Trade) {
    text.push_str(if trade.aggressor == Side::Ask {
        ",\"m\":true,\"M\":true"
    } else {
        ",\"m\":false,\"M\":true"
    });
}

/// The trades up to position `at` that belong to the same taker and price.
pub(super) fn aggregate_fields(instrument: &Instrument, at: usize, micros: bool) -> String {
    let last = &instrument.trades[at];
    let mut first = at;
    while first > 0 && instrument.trades[first - 1].aggregate == last.aggregate {
        first -= 1;
    }
    let size: i128 = instrument
        .trades
        .range(first..=at)
        .map(|t| i128::from(t.size))
        .sum();
    let mut text = String::from("\"a\":");
    push_uint(&mut text, last.aggregate);
    push_execution(&mut text, instrument, last.price, size);
    text.push_str(",\"f\":");
    push_uint(&mut text, instrument.trades[first].id);
    text.push_str(",\"l\":");
    push_uint(&mut text, last.id);
    text.push_str(",\"T\":");
    push_stamp(&mut text, last.ts, micros);
    push_maker(&mut text, last);
    text
}

pub(super) fn aggregate_message(instrument: &Instrument, at: usize, micros: bool) -> String {
    let mut text = String::from("{\"e\":\"aggTrade\",\"E\":");
    push_stamp(&mut text, instrument.trades[at].ts, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",");
    text.push_str(&aggregate_fields(instrument, at, micros));
    text.push('}');
    text
}

pub(super) fn push_pair(text: &mut String, instrument: &Instrument, price: i64, size: i64) {
    text.push_str(if text.ends_with(']') { ",[\"" } else { "[\"" });
    instrument.spec.push_price(text, price);
    text.push_str("\",\"");
    instrument.spec.push_size(text, size);
    text.push_str("\"]");
}

pub(super) fn diff(instrument: &Instrument, from: u64, changes: &[Change], ts: i64, micros: bool) -> String {
    let mut text = String::with_capacity(128 + 48 * changes.len());
    text.push_str("{\"e\":\"depthUpdate\",\"E\":");
    push_stamp(&mut text, ts, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",\"U\":");
    push_uint(&mut text, from);
    text.push_str(",\"u\":");
    push_uint(&mut text, instrument.published_update);
    for (side, name) in [(Side::Bid, ",\"b\":["), (Side::Ask, "],\"a\":[")] {
        text.push_str(name);
        for change in changes.iter().filter(|c| c.side == side) {
            push_pair(&mut text, instrument, change.price, change.size);
        }
    }
    text.push_str("]}");
    text
}

pub(super) fn partial(instrument: &Instrument, levels: usize) -> String {
    let mut text = String::from("{\"lastUpdateId\":");
    push_uint(&mut text, instrument.published_update);
    for (side, name) in [(Side::Bid, ",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (price, size) in instrument.ladder.levels(side).take(levels) {
            push_pair(&mut text, instrument, price, size);
        }
    }
    text.push_str("]}");
    text
}

pub(super) fn touch_message(instrument: &Instrument) -> String {
    let mut text = String::from("{\"u\":");
    push_uint(&mut text, instrument.update);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    push_touch(
        &mut text,
        instrument,
        ["\",\"b\":\"", "\",\"B\":\"", "\",\"a\":\"", "\",\"A\":\""],
    );
    text.push_str("\"}");
    text
}

pub(super) fn push_touch(text: &mut String, instrument: &Instrument, names: [&str; 4]) {
    let (bid, ask) = instrument.touch();
    for (name, size_name, (price, size)) in [
        (names[0], names[1], bid.unwrap_or((0, 0))),
        (names[2], names[3], ask.unwrap_or((0, 0))),
    ] {
        text.push_str(name);
        instrument.spec.push_price(text, price);
        text.push_str(size_name);
        instrument.spec.push_size(text, size);
    }
}

/// Bars of an interval that begin in [from, to), flat ones where nothing traded.
pub(super) fn bars_of(instrument: &Instrument, at: usize, from: i64, to: i64) -> Vec<Minute> {
    match INTERVALS[at].0 {
        // Seconds are made of the trades that are still kept.
        "1s" => {
            let begin = instrument.trades.partition_point(|t| t.ts < from);
            let trades = instrument.trades.range(begin..);
            let seconds = trades.map(|trade| Minute::of(bar_start(at, trade.ts), trade));
            join(at, seconds.take_while(|second| second.start_ns < to))
        }
        // Neither begins where a count of days from the epoch does.
        "1w" | "1M" => {
            let (from, to) = (bar_start(at, from), bar_end(at, bar_start(at, to - 1)));
            join(at, instrument.bars(DAY_NS, from, to, true).into_iter())
        }
        _ => instrument.bars(interval_ns(at), from, to, true),
    }
}

/// Bars made of shorter ones, flat ones where there was none.
fn join(at: usize, parts: impl Iterator<Item = Minute>) -> Vec<Minute> {
    let mut bars: Vec<Minute> = Vec::new();
    for part in parts {
        let start_ns = bar_start(at, part.start_ns);
        fill_until(&mut bars, bar_start(at, start_ns - 1), |start_ns| {
            bar_end(at, start_ns)
        });
        match bars.last_mut() {
            Some(last) if last.start_ns == start_ns => last.merge(&part),
            _ => bars.push(Minute { start_ns, ..part }),
        }
    }
    bars
}

pub(super) fn kline_message(
    instrument: &Instrument,
    at: usize,
    now: i64,
    closed: bool,
    micros: bool,
) -> String {
    let spec = &instrument.spec;
    let running_ns = bar_start(at, now);
    let start_ns = if closed {
        bar_start(at, running_ns - 1)
    } else {
        running_ns
    };
    let end_ns = bar_end(at, start_ns);
    let price = instrument.last_price();
    let flat = Minute {
        start_ns,
        open: price,
        high: price,
        low: price,
        close: price,
        ..Minute::default()
    };
    let bar = bars_of(instrument, at, start_ns, end_ns).pop().unwrap_or(flat);
    let mut text = String::from("{\"e\":\"kline\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(&format!(",\"s\":\"{}\",\"k\":{{\"t\":", spec.symbol));
    push_stamp(&mut text, bar.start_ns, micros);
    text.push_str(",\"T\":");
    push_stamp(&mut text, end_ns - if micros { 1_000 } else { MILLI_NS }, micros);
    text.push_str(&format!(
        ",\"s\":\"{}\",\"i\":\"{}\",\"f\":",
        spec.symbol, INTERVALS[at].0
    ));
    push_int(&mut text, if bar.trades == 0 { -1 } else { bar.first_id as i64 });
    text.push_str(",\"L\":");
    push_int(&mut text, if bar.trades == 0 { -1 } else { bar.last_id as i64 });
    for (name, ticks) in [
        (",\"o\":\"", bar.open),
        ("\",\"c\":\"", bar.close),
        ("\",\"h\":\"", bar.high),
        ("\",\"l\":\"", bar.low),
    ] {
        text.push_str(name);
        spec.push_price(&mut text, ticks);
    }
    text.push_str("\",\"v\":\"");
    spec.push_size(&mut text, bar.volume);
    text.push_str("\",\"n\":");
    push_uint(&mut text, bar.trades);
    text.push_str(if closed {
        ",\"x\":true,\"q\":\""
    } else {
        ",\"x\":false,\"q\":\""
    });
    spec.push_notional(&mut text, bar.notional, 8);
    text.push_str("\",\"V\":\"");
    spec.push_size(&mut text, bar.buy_volume);
    text.push_str("\",\"Q\":\"");
    spec.push_notional(&mut text, bar.buy_notional, 8);
    text.push_str("\",\"B\":\"0\"}}");
    text
}

fn push_day(text: &mut String, instrument: &Instrument, day: &Minute) {
    for (name, ticks) in [
        ("\",\"c\":\"", instrument.last_price()),
        ("\",\"o\":\"", day.open),
        ("\",\"h\":\"", day.high),
        ("\",\"l\":\"", day.low),
    ] {
        text.push_str(name);
        instrument.spec.push_price(text, ticks);
    }
    text.push_str("\",\"v\":\"");
    instrument.spec.push_size(text, day.volume);
    text.push_str("\",\"q\":\"");
    instrument.spec.push_notional(text, day.notional, 8);
    text.push('"');
}

pub(super) fn mini_ticker(instrument: &Instrument, now: i64, micros: bool) -> String {
    let mut text = String::from("{\"e\":\"24hrMiniTicker\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    push_day(&mut text, instrument, &instrument.day());
    text.push('}');
    text
}

pub(super) fn ticker(instrument: &Instrument, now: i64, micros: bool) -> String {
    let spec = &instrument.spec;
    let day = instrument.day();
    let last = instrument.last_price();
    let mut text = String::from("{\"e\":\"24hrTicker\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&spec.symbol);
    text.push_str("\",\"p\":\"");
    spec.push_price(&mut text, last - day.open);
    text.push_str("\",\"P\":\"");
    push_percent(&mut text, last - day.open, day.open, 3);
    text.push_str("\",\"w\":\"");
    push_average(&mut text, instrument, &day);
    text.push_str("\",\"x\":\"");
    spec.push_price(&mut text, day.open);
    push_day(&mut text, instrument, &day);
    text.push_str(",\"Q\":\"");
    spec.push_size(&mut text, instrument.last_trade().map_or(0, |t| t.size));
    push_touch(
        &mut text,
        instrument,
        ["\",\"b\":\"", "\",\"B\":\"", "\",\"a\":\"", "\",\"A\":\""],
    );
    text.push_str("\",\"O\":");
    push_stamp(&mut text, now - 86_400 * SECOND_NS, micros);
    text.push_str(",\"C\":");
    push_stamp(&mut text, now, micros);
    text.push_str(&format!(
        ",\"F\":{},\"L\":{},\"n\":{}}}",
        day.first_id, day.last_id, day.trades
    ));
    text
}

pub(super) fn push_average(text: &mut String, instrument: &Instrument, bar: &Minute) {
    let mantissa = if bar.volume == 0 {
        0
    } else {
        bar.notional * i128::from(instrument.spec.tick.mantissa) * 1_000_000 / bar.volume
    };
    push_fixed(text, mantissa, instrument.spec.tick.scale + 6, 8);
}

/// Mean price of the last five minutes, ticks.
pub(super) fn average(instrument: &Instrument, now: i64) -> i64 {
    let mut sum = Minute::default();
    instrument
        .minutes(now - 300 * SECOND_NS, now + 1)
        .iter()
        .for_each(|m| sum.merge(m));
    if sum.volume == 0 {
        instrument.last_price()
    } else {
        (sum.notional / sum.volume) as i64
    }
}

pub(super) fn average_message(instrument: &Instrument, now: i64, micros: bool) -> String {
    let mut text = String::from("{\"e\":\"avgPrice\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(&format!(
        ",\"s\":\"{}\",\"i\":\"5m\",\"w\":\"",
        instrument.spec.symbol
    ));
    instrument.spec.push_price(&mut text, average(instrument, now));
    text.push_str("\",\"T\":");
    push_stamp(&mut text, instrument.last_trade().map_or(0, |t| t.ts), micros);
    text.push('}');
    text
}
