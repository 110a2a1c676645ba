//! The public part of REST. Pairs are named in any of Kraken's spellings, answers keyed as Kraken keys them.

use super::INTERVALS;
use crate::http::{Request, Response};
use crate::market::{Instrument, Market, fill_until};
use crate::number::{push_fixed, push_int, push_time, push_uint};
use crate::protocols::{SECOND_NS, quoted};
use crate::spec::Spec;
use kernels::matching::Side;

pub(super) fn answer(market: &Market, request: &Request) -> Response {
    match request.path.trim_end_matches('/') {
        "/0/public/Time" => {
            let mut text = String::new();
            let seconds = market.clock().div_euclid(SECOND_NS);
            push_rfc1123(&mut text, seconds);
            ok(format!("{{\"unixtime\":{seconds},\"rfc1123\":\"{text}\"}}"))
        }
        "/0/public/SystemStatus" => {
            let mut text = String::new();
            push_time(&mut text, market.clock(), 0);
            ok(format!("{{\"status\":\"online\",\"timestamp\":\"{text}\"}}"))
        }
        "/0/public/Assets" => ok(rest_assets(market)),
        "/0/public/AssetPairs" => with_pairs(market, request, true, |i, _| rest_pair(i)),
        "/0/public/Ticker" => with_pairs(market, request, true, |i, _| ticker_object(i, false)),
        "/0/public/Depth" => {
            let Some(count) = request.number("count", 1, 100, 500) else {
                return invalid();
            };
            with_pairs(market, request, false, |i, _| rest_depth(i, count as usize))
        }
        "/0/public/Trades" => {
            let Some(count) = request.number("count", 1, 1000, 1000) else {
                return invalid();
            };
            let since = request.param("since").map(|s| s.parse::<i64>());
            if matches!(since, Some(Err(_))) {
                return invalid();
            }
            let since = since.and_then(Result::ok);
            with_last(market, request, |i| rest_trades(i, since, count as usize))
        }
        "/0/public/OHLC" => {
            let minutes = request
                .number("interval", 1, 1, 21_600)
                .filter(|m| INTERVALS.contains(m));
            let since = request.number("since", 0, 0, i64::MAX / SECOND_NS);
            let (Some(minutes), Some(since)) = (minutes, since) else {
                return invalid();
            };
            let now = market.clock();
            with_last(market, request, |i| rest_bars(i, minutes, since, now))
        }
        "/0/public/Spread" => with_last(market, request, |i| {
            let mut rows = String::from("[[");
            push_int(&mut rows, i.book_ts.div_euclid(SECOND_NS));
            for side in [Side::Bid, Side::Ask] {
                rows.push_str(",\"");
                i.spec
                    .push_price_wide(&mut rows, i.ladder.best(side).map_or(0, |(p, _)| p), 5);
                rows.push('"');
            }
            rows.push_str("]]");
            (rows, i.book_ts.div_euclid(SECOND_NS).to_string())
        }),
        path if path.starts_with("/0/private/") => error("EAPI:Invalid key"),
        _ => Response::json(404, "{\"error\":[\"EGeneral:Unknown method\"]}"),
    }
}

fn ok(result: String) -> Response {
    Response::ok(format!("{{\"error\":[],\"result\":{result}}}"))
}

fn error(why: &str) -> Response {
    Response::ok(format!("{{\"error\":[{}]}}", quoted(why)))
}

fn invalid() -> Response {
    error("EGeneral:Invalid arguments")
}

fn rest_asset(base: &str) -> String {
    match base {
        "BTC" => "XXBT".to_owned(),
        "ETH" => "XETH".to_owned(),
        "USD" => "ZUSD".to_owned(),
        other => other.to_owned(),
    }
}

/// Kraken's older spelling, used in `altname` and `wsname`.
fn alt_asset(base: &str) -> &str {
    if base == "BTC" { "XBT" } else { base }
}

/// The instrument that any of Kraken's spellings means.
fn find_pair(market: &Market, pair: &str) -> Option<usize> {
    let pair = pair.to_ascii_uppercase();
    market.instruments.iter().position(|i| {
        let spec = &i.spec;
        let alt = alt_asset(&spec.base);
        pair == spec.rest_symbol
            || pair == spec.symbol
            || pair == format!("{}{}", spec.base, spec.quote)
            || pair == format!("{alt}{}", spec.quote)
            || pair == format!("{alt}/{}", spec.quote)
    })
}

/// Answers with one entry per pair asked for. A name with a slash comes back as it was asked, others under
/// Kraken's own key.
fn with_pairs(
    market: &Market,
    request: &Request,
    all: bool,
    mut entry: impl FnMut(&Instrument, &Market) -> String,
) -> Response {
    let mut entries = Vec::new();
    match request.param("pair") {
        Some(pairs) => {
            for pair in pairs.split(',') {
                let Some(index) = find_pair(market, pair) else {
                    return error("EQuery:Unknown asset pair");
                };
                let instrument = &market.instruments[index];
                let key = if pair.contains('/') {
                    pair
                } else {
                    &instrument.spec.rest_symbol
                };
                entries.push(format!("{}:{}", quoted(key), entry(instrument, market)));
            }
        }
        None if all => {
            for instrument in &market.instruments {
                entries.push(format!(
                    "{}:{}",
                    quoted(&instrument.spec.rest_symbol),
                    entry(instrument, market)
                ));
            }
        }
        None => return invalid(),
    }
    ok(format!("{{{}}}", entries.join(",")))
}

/// Answers with the rows of one pair and `last`.
fn with_last(
    market: &Market,
    request: &Request,
    rows: impl FnOnce(&Instrument) -> (String, String),
) -> Response {
    let Some(pair) = request.param("pair") else {
        return invalid();
    };
    let Some(index) = find_pair(market, pair) else {
        return error("EQuery:Unknown asset pair");
    };
    let instrument = &market.instruments[index];
    let key = if pair.contains('/') {
        pair
    } else {
        &instrument.spec.rest_symbol
    };
    let (rows, last) = rows(instrument);
    ok(format!("{{{}:{rows},\"last\":{last}}}", quoted(key)))
}

fn rest_assets(market: &Market) -> String {
    let mut entries = vec![(String::from("ZUSD"), "USD", 4, 2)];
    entries.extend(
        market
            .instruments
            .iter()
            .map(|i| (rest_asset(&i.spec.base), alt_asset(&i.spec.base), 10, 5)),
    );
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, alt, decimals, shown)| {
            format!(
                "\"{key}\":{{\"aclass\":\"currency\",\"altname\":\"{alt}\",\"decimals\":{decimals},\
                 \"display_decimals\":{shown},\"status\":\"enabled\"}}"
            )
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn rest_pair(instrument: &Instrument) -> String {
    let spec = &instrument.spec;
    let alt = alt_asset(&spec.base);
    format!(
        "{{\"altname\":\"{alt}{quote}\",\"wsname\":\"{alt}/{quote}\",\"aclass_base\":\"currency\",\"base\":\"{base}\",\
         \"aclass_quote\":\"currency\",\"quote\":\"{rest_quote}\",\"lot\":\"unit\",\"cost_decimals\":5,\
         \"pair_decimals\":{price},\"lot_decimals\":{size},\"lot_multiplier\":1,\"leverage_buy\":[],\"leverage_sell\":[],\
         \"fees\":[[0,0.4],[10000,0.35],[50000,0.24]],\"fees_maker\":[[0,0.25],[10000,0.2],[50000,0.14]],\
         \"fee_volume_currency\":\"ZUSD\",\"margin_call\":80,\"margin_stop\":40,\"ordermin\":\"{minimum}\",\
         \"costmin\":\"0.5\",\"tick_size\":\"{tick}\",\"status\":\"online\"}}",
        quote = spec.quote,
        base = rest_asset(&spec.base),
        rest_quote = rest_asset(&spec.quote),
        price = spec.price_places,
        size = spec.size_places,
        minimum = spec.size_text((spec.base_lots / 100).max(1)),
        tick = spec.price_text(1),
    )
}

/// The older WebSocket protocol's name of a pair.
pub(super) fn ws_name(spec: &Spec) -> String {
    format!("{}/{}", alt_asset(&spec.base), spec.quote)
}

/// A ticker as REST prints it, or as the older WebSocket protocol does (`stream`).
pub(super) fn ticker_object(instrument: &Instrument, stream: bool) -> String {
    let spec = &instrument.spec;
    let price = |ticks: i64| {
        let mut text = String::new();
        spec.push_price_wide(&mut text, ticks, 5);
        text
    };
    let size = |lots: i128| {
        let mut text = String::new();
        spec.push_size(&mut text, lots);
        text
    };
    let (bid, ask) = instrument.touch();
    let (bid, ask) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    let day = instrument.day();
    let last = instrument.last_trade();
    let mut vwap = String::new();
    spec.push_vwap(&mut vwap, day.notional, day.volume);
    let (volume, low, high) = (size(day.volume), price(day.low), price(day.high));
    // Lots in whole units of the base: a number there, text here. The stream has today's and yesterday's open.
    let whole = |lots: i64| {
        let whole = lots / 10i64.pow(u32::from(spec.lot.scale));
        if stream {
            whole.to_string()
        } else {
            format!("\"{whole}\"")
        }
    };
    let open = price(day.open);
    let open = if stream {
        format!("[\"{open}\",\"{open}\"]")
    } else {
        format!("\"{open}\"")
    };
    format!(
        "{{\"a\":[\"{}\",{},\"{}\"],\"b\":[\"{}\",{},\"{}\"],\"c\":[\"{}\",\"{}\"],\"v\":[\"{volume}\",\"{volume}\"],\
         \"p\":[\"{vwap}\",\"{vwap}\"],\"t\":[{trades},{trades}],\"l\":[\"{low}\",\"{low}\"],\"h\":[\"{high}\",\"{high}\"],\
         \"o\":{open}}}",
        price(ask.0),
        whole(ask.1),
        size(ask.1.into()),
        price(bid.0),
        whole(bid.1),
        size(bid.1.into()),
        price(instrument.last_price()),
        size(last.map_or(0, |t| t.size).into()),
        trades = day.trades,
    )
}

fn rest_depth(instrument: &Instrument, count: usize) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::from("{");
    for (side, name) in [(Side::Ask, "\"asks\":["), (Side::Bid, "],\"bids\":[")] {
        text.push_str(name);
        for (n, (price, size)) in ladder.levels(side).take(count).enumerate() {
            text.push_str(if n == 0 { "[\"" } else { ",[\"" });
            instrument.spec.push_price_wide(&mut text, price, 5);
            text.push_str("\",\"");
            instrument.spec.push_size(&mut text, size);
            text.push_str("\",");
            push_int(&mut text, ts.div_euclid(SECOND_NS));
            text.push(']');
        }
    }
    text.push_str("]}");
    text
}

/// Rows after `since` (ns, exclusive; without it the newest), and the time of the last one.
fn rest_trades(instrument: &Instrument, since: Option<i64>, count: usize) -> (String, String) {
    let from = match since {
        Some(since) => instrument.trades.partition_point(|t| t.ts <= since),
        None => instrument.trades.len().saturating_sub(count),
    };
    let mut last = since.unwrap_or(0);
    let mut text = String::from("[");
    for (n, trade) in instrument.trades.range(from..).take(count).enumerate() {
        text.push_str(if n == 0 { "[\"" } else { ",[\"" });
        instrument.spec.push_price_wide(&mut text, trade.price, 5);
        text.push_str("\",\"");
        instrument.spec.push_size(&mut text, trade.size);
        text.push_str("\",");
        push_fixed(&mut text, i128::from(trade.ts), 9, 7);
        text.push_str(if trade.aggressor == Side::Bid {
            ",\"b\""
        } else {
            ",\"s\""
        });
        text.push_str(if trade.is_market() {
            ",\"m\",\"\","
        } else {
            ",\"l\",\"\","
        });
        push_uint(&mut text, trade.id);
        text.push(']');
        last = trade.ts;
    }
    text.push(']');
    (text, format!("\"{last}\""))
}

/// The newest 720 bars that begin after `since` (s); the last one is still running.
fn rest_bars(instrument: &Instrument, minutes: i64, since: i64, now: i64) -> (String, String) {
    let spec = &instrument.spec;
    let interval_ns = minutes * 60 * SECOND_NS;
    let running = now.div_euclid(interval_ns) * interval_ns;
    let oldest = running - 719 * interval_ns;
    let mut bars = instrument.bars(interval_ns, oldest, running + 1, true);
    fill_until(&mut bars, running, |start_ns| start_ns + interval_ns);
    let mut text = String::from("[");
    for bar in bars.iter().filter(|b| b.start_ns > since * SECOND_NS) {
        text.push_str(if text.len() == 1 { "[" } else { ",[" });
        push_int(&mut text, bar.start_ns / SECOND_NS);
        for price in [bar.open, bar.high, bar.low, bar.close] {
            text.push_str(",\"");
            spec.push_price(&mut text, price);
            text.push('"');
        }
        text.push_str(",\"");
        spec.push_vwap(&mut text, bar.notional, bar.volume);
        text.push_str("\",\"");
        spec.push_size(&mut text, bar.volume);
        text.push_str("\",");
        push_uint(&mut text, bar.trades);
        text.push(']');
    }
    text.push(']');
    (text, ((running - interval_ns) / SECOND_NS).to_string())
}

fn push_rfc1123(out: &mut String, seconds: i64) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds.div_euclid(86_400);
    let (year, month, day) = crate::number::civil(days);
    let rest = seconds.rem_euclid(86_400);
    out.push_str(&format!(
        "{}, {day:2} {} {:02} {:02}:{:02}:{:02} +0000",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        year % 100,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    ));
}
