//! Kraken spot: WebSocket v2 and the public part of REST.
//! <https://docs.kraken.com/api/docs/websocket-v2/book>

use super::{Context, Feed, add, quoted, remove};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class};
use crate::market::{Instrument, Ladder, Market, Minute, Step};
use crate::number::{push_fixed, push_int, push_time, push_uint};
use crate::spec::Spec;
use kernels::matching::Side;
use serde_json::Value;
use std::collections::HashMap;

const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1000];
const INTERVALS: [i64; 9] = [1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600];
const SECOND_NS: i64 = 1_000_000_000;
/// Client messages per second above which the venue answers with an error.
const MESSAGES_PER_S: u32 = 100;

/// Subscribers of one depth of one book, and the levels they hold.
#[derive(Default)]
struct Depth {
    clients: Vec<u64>,
    /// Best first.
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
}

#[derive(Default)]
struct Topics {
    trades: Vec<u64>,
    /// Ticker on every trade, and on every change of best bid or offer.
    ticker: Vec<u64>,
    touch: Vec<u64>,
    depths: [Depth; 5],
    bars: Vec<(u64, usize)>,
    /// A trade happened since the bars were sent.
    bars_due: bool,
}

struct Client {
    subscribed: bool,
    instruments: bool,
    window_ns: i64,
    messages: u32,
}

pub struct Kraken {
    clients: HashMap<u64, Client>,
    topics: Vec<Topics>,
    scratch: Vec<(i64, i64)>,
}

impl Kraken {
    pub fn new(instruments: usize) -> Self {
        let topics = (0..instruments).map(|_| Topics::default()).collect();
        Self {
            clients: HashMap::new(),
            topics,
            scratch: Vec::new(),
        }
    }

    fn subscribe(&mut self, context: &mut Context<'_>, id: u64, call: &Call<'_>) {
        let params = call.params;
        let channel = params.get("channel").and_then(Value::as_str).unwrap_or_default();
        if channel == "instrument" {
            return self.subscribe_instruments(context, id, call);
        }
        if !matches!(channel, "trade" | "ticker" | "book" | "ohlc") {
            return context.hub.text(
                id,
                Class::CONTROL,
                call.error("Channel not supported", None, context.market.clock()),
            );
        }
        let Some(symbols) = symbols(params) else {
            let text = call.error("Symbol(s) not found", None, context.market.clock());
            return context.hub.text(id, Class::CONTROL, text);
        };
        for symbol in &symbols {
            let result = self.subscribe_one(context, id, call, channel, symbol);
            if let Err(why) = result {
                let text = call.error(&why, Some(symbol), context.market.clock());
                context.hub.text(id, Class::CONTROL, text);
            }
        }
    }

    fn subscribe_one(
        &mut self,
        context: &mut Context<'_>,
        id: u64,
        call: &Call<'_>,
        channel: &str,
        symbol: &str,
    ) -> Result<(), String> {
        let now = context.market.clock();
        let params = call.params;
        let index = context
            .market
            .find(symbol)
            .ok_or_else(|| format!("Currency pair not supported {symbol}"))?;
        let topics = &mut self.topics[index];
        let instrument = &context.market.instruments[index];
        let snapshot = params
            .get("snapshot")
            .and_then(Value::as_bool)
            .unwrap_or(channel != "trade");
        let mut result = format!("{{\"channel\":\"{channel}\",\"symbol\":{}", quoted(symbol));
        let already = || Err("Already subscribed".to_owned());
        let first = match channel {
            "trade" => {
                if !add(&mut topics.trades, id) {
                    return already();
                }
                let from = instrument.trades.len().saturating_sub(50);
                (Channel::Trades, trades_message("snapshot", instrument, from))
            }
            "ticker" => {
                let trigger = params
                    .get("event_trigger")
                    .and_then(Value::as_str)
                    .unwrap_or("trades");
                if topics.ticker.contains(&id) || topics.touch.contains(&id) {
                    return already();
                }
                match trigger {
                    "trades" => topics.ticker.push(id),
                    "bbo" => topics.touch.push(id),
                    _ => return Err("Event trigger not supported".to_owned()),
                }
                result.push_str(&format!(",\"event_trigger\":\"{trigger}\""));
                (Channel::Quotes, ticker_message("snapshot", instrument, now))
            }
            "book" => {
                let depth = params.get("depth").map_or(Some(10), Value::as_u64);
                let at = depth
                    .and_then(|d| DEPTHS.iter().position(|known| *known as u64 == d))
                    .ok_or("Subscription depth not supported")?;
                if topics.depths.iter().any(|d| d.clients.contains(&id)) {
                    return already();
                }
                let depth = &mut topics.depths[at];
                if depth.clients.is_empty() {
                    depth.bids = top(&instrument.ladder, Side::Bid, DEPTHS[at]);
                    depth.asks = top(&instrument.ladder, Side::Ask, DEPTHS[at]);
                }
                depth.clients.push(id);
                result.push_str(&format!(",\"depth\":{}", DEPTHS[at]));
                (Channel::Book, book_snapshot(instrument, DEPTHS[at]))
            }
            _ => {
                let minutes = params.get("interval").map_or(Some(1), Value::as_i64);
                let at = minutes
                    .and_then(|m| INTERVALS.iter().position(|known| *known == m))
                    .ok_or("Interval not supported")?;
                if !add(&mut topics.bars, (id, at)) {
                    return already();
                }
                result.push_str(&format!(",\"interval\":{}", INTERVALS[at]));
                (
                    Channel::Bars,
                    bars_message("snapshot", instrument, INTERVALS[at], 10, now),
                )
            }
        };
        result.push_str(&format!(",\"snapshot\":{snapshot}}}"));
        context.hub.text(id, Class::CONTROL, call.success(&result, now));
        if snapshot {
            context.hub.text(id, Class::of(first.0, index), first.1);
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.subscribed = true;
        }
        Ok(())
    }

    fn subscribe_instruments(&mut self, context: &mut Context<'_>, id: u64, call: &Call<'_>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let now = context.market.clock();
        if client.instruments {
            return context
                .hub
                .text(id, Class::CONTROL, call.error("Already subscribed", None, now));
        }
        client.instruments = true;
        client.subscribed = true;
        let ack = call.success("{\"channel\":\"instrument\",\"snapshot\":true}", now);
        context.hub.text(id, Class::CONTROL, ack);
        context
            .hub
            .text(id, Class::CONTROL, instruments_message(context.market));
    }

    fn unsubscribe(&mut self, context: &mut Context<'_>, id: u64, call: &Call<'_>) {
        let now = context.market.clock();
        let channel = call
            .params
            .get("channel")
            .and_then(Value::as_str)
            .unwrap_or_default();
        for symbol in symbols(call.params).unwrap_or_default() {
            let removed = context.market.find(&symbol).is_some_and(|index| {
                let topics = &mut self.topics[index];
                match channel {
                    "trade" => remove(&mut topics.trades, &id),
                    "ticker" => remove(&mut topics.ticker, &id) | remove(&mut topics.touch, &id),
                    "book" => topics.depths.iter_mut().any(|d| remove(&mut d.clients, &id)),
                    "ohlc" => {
                        let before = topics.bars.len();
                        topics.bars.retain(|(client, _)| *client != id);
                        topics.bars.len() < before
                    }
                    _ => false,
                }
            });
            let text = if removed {
                call.success(
                    &format!("{{\"channel\":\"{channel}\",\"symbol\":{}}}", quoted(&symbol)),
                    now,
                )
            } else {
                call.error("Subscription Not Found", Some(&symbol), now)
            };
            context.hub.text(id, Class::CONTROL, text);
        }
    }

    fn publish_book(&mut self, context: &mut Context<'_>, index: usize, ts: i64) {
        let instrument = &context.market.instruments[index];
        let mut checksum = None;
        for (depth, limit) in self.topics[index].depths.iter_mut().zip(DEPTHS) {
            if depth.clients.is_empty() {
                continue;
            }
            let mut text = String::with_capacity(256);
            text.push_str("{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"");
            text.push_str(&instrument.spec.symbol);
            let mut changed = false;
            for (side, held, name) in [
                (Side::Bid, &mut depth.bids, "\",\"bids\":["),
                (Side::Ask, &mut depth.asks, "],\"asks\":["),
            ] {
                text.push_str(name);
                self.scratch.clear();
                self.scratch.extend(instrument.ladder.levels(side).take(limit));
                changed |= push_difference(&mut text, instrument, side, held, &self.scratch);
                std::mem::swap(held, &mut self.scratch);
            }
            if !changed {
                continue;
            }
            text.push_str("],\"checksum\":");
            let checksum = *checksum.get_or_insert_with(|| checksum_of(&instrument.ladder));
            push_uint(&mut text, u64::from(checksum));
            text.push_str(",\"timestamp\":\"");
            push_time(&mut text, ts, 6);
            text.push_str("\"}]}");
            context
                .hub
                .fan(&depth.clients, Class::of(Channel::Book, index), text);
        }
    }

    fn publish_bars(&mut self, context: &mut Context<'_>, index: usize) {
        let now = context.market.clock();
        let instrument = &context.market.instruments[index];
        let topics = &mut self.topics[index];
        topics.bars_due = false;
        for (at, minutes) in INTERVALS.into_iter().enumerate() {
            let clients: Vec<u64> = topics
                .bars
                .iter()
                .filter(|(_, i)| *i == at)
                .map(|(id, _)| *id)
                .collect();
            if !clients.is_empty() {
                let text = bars_message("update", instrument, minutes, 1, now);
                context.hub.fan(&clients, Class::of(Channel::Bars, index), text);
            }
        }
    }
}

impl Feed for Kraken {
    fn open(&mut self, context: &mut Context<'_>, id: u64, _request: &Request) {
        self.clients.insert(
            id,
            Client {
                subscribed: false,
                instruments: false,
                window_ns: 0,
                messages: 0,
            },
        );
        // Larger than 2^53, as the venue's are.
        let connection = crate::random::mix(id) | 1 << 62;
        let text = format!(
            "{{\"channel\":\"status\",\"type\":\"update\",\"data\":[{{\"version\":\"2.0.10\",\"system\":\"online\",\
             \"api_version\":\"v2\",\"connection_id\":{connection}}}]}}"
        );
        context.hub.text(id, Class::CONTROL, text);
    }

    fn close(&mut self, id: u64) {
        self.clients.remove(&id);
        for topics in &mut self.topics {
            remove(&mut topics.trades, &id);
            remove(&mut topics.ticker, &id);
            remove(&mut topics.touch, &id);
            topics.bars.retain(|(client, _)| *client != id);
            for depth in &mut topics.depths {
                remove(&mut depth.clients, &id);
            }
        }
    }

    fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str) {
        let now = context.market.clock();
        let parsed = serde_json::from_str::<Value>(text).ok();
        let Some(value) = parsed.as_ref().filter(|v| v.is_object()) else {
            let error = Call {
                method: None,
                params: &Value::Null,
                req_id: None,
                now,
            };
            return context
                .hub
                .text(id, Class::CONTROL, error.error("Malformed request", None, now));
        };
        let call = Call {
            method: value.get("method").and_then(Value::as_str),
            params: value.get("params").unwrap_or(&Value::Null),
            req_id: value.get("req_id").and_then(Value::as_u64),
            now,
        };
        if let Some(client) = self.clients.get_mut(&id) {
            if now - client.window_ns > SECOND_NS {
                client.window_ns = now;
                client.messages = 0;
            }
            client.messages += 1;
            if client.messages > MESSAGES_PER_S {
                return context
                    .hub
                    .text(id, Class::CONTROL, call.error("Exceeded msg rate", None, now));
            }
        }
        match call.method {
            Some("ping") => {
                let mut text = String::from("{\"method\":\"pong\"");
                call.push_times(&mut text, now);
                text.push('}');
                context.hub.text(id, Class::CONTROL, text);
            }
            Some("subscribe") => self.subscribe(context, id, &call),
            Some("unsubscribe") => self.unsubscribe(context, id, &call),
            Some(
                "add_order"
                | "amend_order"
                | "cancel_order"
                | "cancel_all"
                | "batch_add"
                | "batch_cancel"
                | "edit_order"
                | "cancel_all_orders_after",
            ) => context.hub.text(
                id,
                Class::CONTROL,
                call.error("EGeneral:Permission denied", None, now),
            ),
            _ => context
                .hub
                .text(id, Class::CONTROL, call.error("Method not supported", None, now)),
        }
    }

    fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step) {
        let has_changes = !context.market.instruments[index].outcome.changes.is_empty();
        if has_changes {
            context.market.publish_step(index, step.ts, context.truth);
        }
        let topics = &mut self.topics[index];
        let instrument = &context.market.instruments[index];
        if step.trades > 0 {
            context.market.published.trades += 1;
            if !topics.trades.is_empty() {
                let text = trades_message("update", instrument, instrument.trades.len() - step.trades);
                context
                    .hub
                    .fan(&topics.trades, Class::of(Channel::Trades, index), text);
            }
            if !topics.ticker.is_empty() {
                let text = ticker_message("update", instrument, step.ts);
                context
                    .hub
                    .fan(&topics.ticker, Class::of(Channel::Quotes, index), text);
            }
            topics.bars_due = true;
        }
        if step.touch_changed {
            context.market.published.quotes += 1;
            if !topics.touch.is_empty() {
                let text = ticker_message("update", instrument, step.ts);
                context
                    .hub
                    .fan(&topics.touch, Class::of(Channel::Quotes, index), text);
            }
        }
        if has_changes {
            self.publish_book(context, index, step.ts);
        }
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        let now = context.market.now_ns;
        if now % (SECOND_NS / 10) == 0 {
            for (id, client) in &self.clients {
                let idle = context
                    .hub
                    .get(*id)
                    .is_some_and(|c| now - c.last_sent_ns >= SECOND_NS);
                if client.subscribed && idle {
                    context
                        .hub
                        .text(*id, Class::HEARTBEAT, "{\"channel\":\"heartbeat\"}");
                }
            }
        }
        if now % SECOND_NS == 0 {
            for index in 0..self.topics.len() {
                if self.topics[index].bars_due && !self.topics[index].bars.is_empty() {
                    self.publish_bars(context, index);
                }
            }
        }
    }

    fn get(&mut self, context: &mut Context<'_>, request: &Request) -> Response {
        let market = &mut *context.market;
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
            "/0/public/Ticker" => with_pairs(market, request, true, |i, _| rest_ticker(i)),
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
}

/// A client's request, for its answer.
struct Call<'a> {
    method: Option<&'a str>,
    params: &'a Value,
    req_id: Option<u64>,
    now: i64,
}

impl Call<'_> {
    fn success(&self, result: &str, now: i64) -> String {
        let method = self.method.unwrap_or_default();
        let mut text = format!("{{\"method\":\"{method}\",\"result\":{result},\"success\":true");
        self.push_times(&mut text, now);
        text.push('}');
        text
    }

    fn error(&self, why: &str, symbol: Option<&str>, now: i64) -> String {
        let mut text = format!("{{\"error\":{}", quoted(why));
        if let Some(method) = self.method {
            text.push_str(&format!(",\"method\":{}", quoted(method)));
        }
        text.push_str(",\"success\":false");
        if let Some(symbol) = symbol {
            text.push_str(&format!(",\"symbol\":{}", quoted(symbol)));
        }
        self.push_times(&mut text, now);
        text.push('}');
        text
    }

    fn push_times(&self, text: &mut String, now: i64) {
        if let Some(req_id) = self.req_id {
            text.push_str(&format!(",\"req_id\":{req_id}"));
        }
        text.push_str(",\"time_in\":\"");
        push_time(text, self.now, 6);
        text.push_str("\",\"time_out\":\"");
        push_time(text, now, 6);
        text.push('"');
    }
}

fn symbols(params: &Value) -> Option<Vec<String>> {
    match params.get("symbol")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|s| s.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn top(ladder: &Ladder, side: Side, depth: usize) -> Vec<(i64, i64)> {
    ladder.levels(side).take(depth).collect()
}

fn push_level(text: &mut String, spec: &Spec, price: i64, size: i64) {
    if text.ends_with('}') {
        text.push(',');
    }
    text.push_str("{\"price\":");
    spec.push_price(text, price);
    text.push_str(",\"qty\":");
    spec.push_size(text, size);
    text.push('}');
}

/// Appends what turns the levels `held` (best first) into `now`: gone levels with quantity 0, new and changed
/// ones as they are. A level pushed out of the depth by better ones is not mentioned. Whether there was any.
fn push_difference(
    text: &mut String,
    instrument: &Instrument,
    side: Side,
    held: &[(i64, i64)],
    now: &[(i64, i64)],
) -> bool {
    let better = |a: i64, b: i64| if side == Side::Bid { a > b } else { a < b };
    let spec = &instrument.spec;
    let begin = text.len();
    let (mut i, mut j) = (0, 0);
    while i < held.len() || j < now.len() {
        match (held.get(i), now.get(j)) {
            (Some(old), Some(new)) if old.0 == new.0 => {
                if old.1 != new.1 {
                    push_level(text, spec, new.0, new.1);
                }
                i += 1;
                j += 1;
            }
            (Some(old), new) if new.is_none_or(|new| better(old.0, new.0)) => {
                let pushed_out = new.is_none() && instrument.engine.total_at(side, old.0) > 0;
                if !pushed_out {
                    push_level(text, spec, old.0, 0);
                }
                i += 1;
            }
            (_, Some(new)) => {
                push_level(text, spec, new.0, new.1);
                j += 1;
            }
            (_, None) => break,
        }
    }
    text.len() > begin
}

/// CRC-32 over the ten best levels, asks first: prices and quantities as their printed digits without the point
/// and without leading zeros, which is what ticks and lots are.
fn checksum_of(ladder: &Ladder) -> u32 {
    let mut text = String::with_capacity(512);
    for side in [Side::Ask, Side::Bid] {
        for (price, size) in ladder.levels(side).take(10) {
            push_int(&mut text, price);
            push_int(&mut text, size);
        }
    }
    crc32fast::hash(text.as_bytes())
}

fn book_snapshot(instrument: &Instrument, depth: usize) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::with_capacity(depth * 100);
    text.push_str("{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{\"symbol\":\"");
    text.push_str(&instrument.spec.symbol);
    for (side, name) in [(Side::Bid, "\",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (price, size) in ladder.levels(side).take(depth) {
            push_level(&mut text, &instrument.spec, price, size);
        }
    }
    text.push_str("],\"checksum\":");
    push_uint(&mut text, u64::from(checksum_of(ladder)));
    text.push_str(",\"timestamp\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}]}");
    text
}

fn trades_message(kind: &str, instrument: &Instrument, from: usize) -> String {
    let mut text = format!("{{\"channel\":\"trade\",\"type\":\"{kind}\",\"data\":[");
    for (n, trade) in instrument.trades.range(from..).enumerate() {
        text.push_str(if n == 0 {
            "{\"symbol\":\""
        } else {
            ",{\"symbol\":\""
        });
        text.push_str(&instrument.spec.symbol);
        text.push_str(if trade.aggressor == Side::Bid {
            "\",\"side\":\"buy\",\"price\":"
        } else {
            "\",\"side\":\"sell\",\"price\":"
        });
        instrument.spec.push_price(&mut text, trade.price);
        text.push_str(",\"qty\":");
        instrument.spec.push_size(&mut text, trade.size);
        text.push_str(if trade.is_market() {
            ",\"ord_type\":\"market\",\"trade_id\":"
        } else {
            ",\"ord_type\":\"limit\",\"trade_id\":"
        });
        push_uint(&mut text, trade.id);
        text.push_str(",\"timestamp\":\"");
        push_time(&mut text, trade.ts, 6);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
}

fn ticker_message(kind: &str, instrument: &Instrument, ts: i64) -> String {
    let spec = &instrument.spec;
    let (bid, ask) = instrument.touch();
    let day = instrument.day();
    let last = instrument.last_price();
    let mut text = format!(
        "{{\"channel\":\"ticker\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"{}\"",
        spec.symbol
    );
    for (name, price) in [(",\"bid\":", bid), (",\"ask\":", ask)] {
        let (price, size) = price.unwrap_or((0, 0));
        text.push_str(name);
        spec.push_price(&mut text, price);
        text.push_str(if name == ",\"bid\":" {
            ",\"bid_qty\":"
        } else {
            ",\"ask_qty\":"
        });
        spec.push_size(&mut text, size);
    }
    text.push_str(",\"last\":");
    spec.push_price(&mut text, last);
    text.push_str(",\"volume\":");
    spec.push_size(&mut text, day.volume);
    text.push_str(",\"vwap\":");
    spec.push_vwap(&mut text, day.notional, day.volume);
    text.push_str(",\"low\":");
    spec.push_price(&mut text, day.low);
    text.push_str(",\"high\":");
    spec.push_price(&mut text, day.high);
    text.push_str(",\"change\":");
    spec.push_price(&mut text, last - day.open);
    text.push_str(",\"change_pct\":");
    push_percent(&mut text, last - day.open, day.open, 2);
    text.push_str(",\"timestamp\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}]}");
    text
}

/// Appends `100 × part / whole` with `places` decimals.
pub(super) fn push_percent(text: &mut String, part: i64, whole: i64, places: u8) {
    let scaled = i128::from(part) * 100 * 10i128.pow(u32::from(places));
    push_fixed(text, scaled / i128::from(whole.max(1)), places, places);
}

fn bars_message(kind: &str, instrument: &Instrument, minutes: i64, count: i64, now: i64) -> String {
    let spec = &instrument.spec;
    let interval_ns = minutes * 60 * SECOND_NS;
    let from = now - (count - 1) * interval_ns;
    let bars = if kind == "update" && minutes == 1 {
        instrument.running_minute().copied().into_iter().collect()
    } else {
        instrument.bars(interval_ns, from, now + 1, false)
    };
    let mut text = format!("{{\"channel\":\"ohlc\",\"type\":\"{kind}\",\"timestamp\":\"");
    push_time(&mut text, now, 9);
    text.push_str("\",\"data\":[");
    for (n, bar) in bars.iter().enumerate() {
        text.push_str(if n == 0 {
            "{\"symbol\":\""
        } else {
            ",{\"symbol\":\""
        });
        text.push_str(&spec.symbol);
        for (name, price) in [
            ("\",\"open\":", bar.open),
            (",\"high\":", bar.high),
            (",\"low\":", bar.low),
            (",\"close\":", bar.close),
        ] {
            text.push_str(name);
            spec.push_price(&mut text, price);
        }
        text.push_str(",\"trades\":");
        push_uint(&mut text, bar.trades);
        text.push_str(",\"volume\":");
        spec.push_size(&mut text, bar.volume);
        text.push_str(",\"vwap\":");
        spec.push_vwap(&mut text, bar.notional, bar.volume);
        text.push_str(",\"interval_begin\":\"");
        push_time(&mut text, bar.start_ns, 9);
        text.push_str("\",\"interval\":");
        push_int(&mut text, minutes);
        text.push_str(",\"timestamp\":\"");
        push_time(&mut text, bar.start_ns + interval_ns, 6);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
}

fn instruments_message(market: &Market) -> String {
    let mut assets = vec![asset_entry("USD", 4, 2)];
    assets.extend(
        market
            .instruments
            .iter()
            .map(|i| asset_entry(&i.spec.base, 10, 5)),
    );
    let pairs: Vec<String> = market
        .instruments
        .iter()
        .map(|i| {
            let spec = &i.spec;
            let (tick, lot) = (spec.price_text(1), spec.size_text(1));
            format!(
                "{{\"symbol\":\"{}\",\"base\":\"{}\",\"quote\":\"{}\",\"status\":\"online\",\"qty_precision\":{},\
                 \"qty_increment\":{lot},\"qty_min\":{},\"price_precision\":{},\"price_increment\":{tick},\
                 \"tick_size\":{tick},\"cost_precision\":5,\"cost_min\":0.50,\"marginable\":false,\"has_index\":false}}",
                spec.symbol,
                spec.base,
                spec.quote,
                spec.size_places,
                spec.size_text((spec.base_lots / 100).max(1)),
                spec.price_places
            )
        })
        .collect();
    format!(
        "{{\"channel\":\"instrument\",\"type\":\"snapshot\",\"data\":{{\"assets\":[{}],\"pairs\":[{}]}}}}",
        assets.join(","),
        pairs.join(",")
    )
}

fn asset_entry(name: &str, precision: u8, shown: u8) -> String {
    format!(
        "{{\"id\":\"{name}\",\"status\":\"enabled\",\"precision\":{precision},\"precision_display\":{shown},\
         \"borrowable\":false,\"collateral_value\":0.0}}"
    )
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

fn rest_ticker(instrument: &Instrument) -> String {
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
    format!(
        "{{\"a\":[\"{}\",\"1\",\"{}\"],\"b\":[\"{}\",\"1\",\"{}\"],\"c\":[\"{}\",\"{}\"],\"v\":[\"{volume}\",\"{volume}\"],\
         \"p\":[\"{vwap}\",\"{vwap}\"],\"t\":[{trades},{trades}],\"l\":[\"{low}\",\"{low}\"],\"h\":[\"{high}\",\"{high}\"],\
         \"o\":\"{}\"}}",
        price(ask.0),
        size(ask.1.into()),
        price(bid.0),
        size(bid.1.into()),
        price(instrument.last_price()),
        size(last.map_or(0, |t| t.size).into()),
        price(day.open),
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
    fill_until(&mut bars, running, interval_ns);
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

/// Appends flat bars up to and including the one that begins at `until_ns`.
pub(super) fn fill_until(bars: &mut Vec<Minute>, until_ns: i64, interval_ns: i64) {
    while let Some(last) = bars.last().filter(|b| b.start_ns < until_ns) {
        let close = last.close;
        let start_ns = last.start_ns + interval_ns;
        bars.push(Minute {
            start_ns,
            open: close,
            high: close,
            low: close,
            close,
            ..Minute::default()
        });
    }
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
