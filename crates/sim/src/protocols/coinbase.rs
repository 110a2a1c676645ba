//! Coinbase Exchange: the public WebSocket feed and public REST.
//! <https://docs.cdp.coinbase.com/exchange/websocket-feed/overview>

use super::{Context, Feed, SECOND_NS, add, quoted, remove};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class};
use crate::market::{Instrument, Market, Minute, Step, Trade};
use crate::number::{parse_time, push_int, push_time, push_uint};
use crate::random::mix;
use kernels::matching::{Change, Side};
use serde_json::Value;
use std::collections::HashMap;

/// A connection that has not subscribed by then is closed.
const SUBSCRIBE_WITHIN_NS: i64 = 5 * SECOND_NS;
/// `level2_batch` gathers changes for this long.
const BATCH_NS: i64 = 50_000_000;
const BATCH_TICKS: i64 = BATCH_NS / super::TIMER_NS;
const STATUS_EVERY_NS: i64 = 5 * SECOND_NS;
const GRANULARITIES: [i64; 6] = [60, 300, 900, 3_600, 21_600, 86_400];

/// Channels with products, in the order in which an acknowledgement lists them.
const CHANNELS: [&str; 6] = [
    "matches",
    "level2_batch",
    "level2",
    "heartbeat",
    "ticker",
    "ticker_batch",
];
const MATCHES: usize = 0;
const LEVEL2_BATCH: usize = 1;
const LEVEL2: usize = 2;
const HEARTBEAT: usize = 3;
const TICKER: usize = 4;
const TICKER_BATCH: usize = 5;

struct Client {
    opened_ns: i64,
    subscribed: bool,
    status: bool,
}

#[derive(Default)]
struct Topics {
    clients: [Vec<u64>; 6],
    ticker_due: bool,
}

pub struct Coinbase {
    clients: HashMap<u64, Client>,
    topics: Vec<Topics>,
    changes: Vec<Change>,
}

impl Coinbase {
    pub fn new(instruments: usize) -> Self {
        let topics = (0..instruments).map(|_| Topics::default()).collect();
        Self {
            clients: HashMap::new(),
            topics,
            changes: Vec::new(),
        }
    }

    fn subscribe(&mut self, context: &mut Context<'_>, id: u64, value: &Value) {
        let wanted = match wanted(value, context.market, false) {
            Ok(wanted) => wanted,
            Err(why) => return context.hub.text(id, Class::CONTROL, failed(&why)),
        };
        let mut begun = Vec::new();
        for (channel, products) in &wanted {
            if channel == "status" {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.status = true;
                    client.subscribed = true;
                }
                continue;
            }
            let Some(at) = CHANNELS.iter().position(|c| c == channel) else {
                continue;
            };
            if at == LEVEL2 && value.get("signature").is_none() {
                let why = "level2, level3, and full channels now require authentication. \
                           https://docs.cdp.coinbase.com/exchange/docs/websocket-auth";
                return context.hub.text(id, Class::CONTROL, failed(why));
            }
            for index in products {
                if add(&mut self.topics[*index].clients[at], id) {
                    begun.push((at, *index));
                }
            }
            if let Some(client) = self.clients.get_mut(&id) {
                client.subscribed = true;
            }
        }
        self.acknowledge(context, id);
        for (channel, index) in begun {
            let instrument = &context.market.instruments[index];
            match channel {
                MATCHES => {
                    if let Some(trade) = instrument.last_trade() {
                        let text = match_message("last_match", instrument, trade, instrument.sequence);
                        context.hub.text(id, Class::of(Channel::Trades, index), text);
                    }
                }
                LEVEL2 | LEVEL2_BATCH => {
                    context
                        .hub
                        .text(id, Class::of(Channel::Book, index), snapshot_message(instrument));
                }
                TICKER | TICKER_BATCH => {
                    if let Some(text) = ticker_message(instrument) {
                        context.hub.text(id, Class::of(Channel::Quotes, index), text);
                    }
                }
                _ => {}
            }
        }
        if self.clients.get(&id).is_some_and(|c| c.status) && wanted.iter().any(|(c, _)| c == "status") {
            context
                .hub
                .text(id, Class::CONTROL, status_message(context.market));
        }
    }

    fn unsubscribe(&mut self, context: &mut Context<'_>, id: u64, value: &Value) {
        let wanted = match wanted(value, context.market, true) {
            Ok(wanted) => wanted,
            Err(why) => return context.hub.text(id, Class::CONTROL, failed(&why)),
        };
        for (channel, products) in &wanted {
            if channel == "status"
                && let Some(client) = self.clients.get_mut(&id)
            {
                client.status = false;
            }
            let Some(at) = CHANNELS.iter().position(|c| c == channel) else {
                continue;
            };
            for index in products {
                remove(&mut self.topics[*index].clients[at], &id);
            }
        }
        self.acknowledge(context, id);
    }

    /// Lists everything that the client takes now.
    fn acknowledge(&self, context: &mut Context<'_>, id: u64) {
        let mut entries = Vec::new();
        for (at, channel) in CHANNELS.iter().enumerate() {
            let products: Vec<String> = self
                .topics
                .iter()
                .zip(&context.market.instruments)
                .filter(|(topics, _)| topics.clients[at].contains(&id))
                .map(|(_, i)| quoted(&i.spec.symbol))
                .collect();
            if !products.is_empty() {
                entries.push(format!(
                    "{{\"name\":\"{channel}\",\"product_ids\":[{}],\"account_ids\":null}}",
                    products.join(",")
                ));
            }
        }
        if self.clients.get(&id).is_some_and(|c| c.status) {
            entries.push("{\"name\":\"status\",\"product_ids\":[],\"account_ids\":null}".to_owned());
        }
        let text = format!(
            "{{\"type\":\"subscriptions\",\"channels\":[{}]}}",
            entries.join(",")
        );
        context.hub.text(id, Class::CONTROL, text);
    }

    fn publish_level2(&mut self, context: &mut Context<'_>, index: usize) {
        let ts = context.market.clock();
        let ts = ts - ts.rem_euclid(1_000);
        context
            .market
            .publish_batch(index, ts, true, &mut self.changes, context.truth);
        let topics = &self.topics[index];
        let listeners = topics.clients[LEVEL2_BATCH].len() + topics.clients[LEVEL2].len();
        if self.changes.is_empty() || listeners == 0 {
            return;
        }
        let spec = &context.market.instruments[index].spec;
        let mut text = String::with_capacity(128 + 48 * self.changes.len());
        text.push_str("{\"type\":\"l2update\",\"product_id\":\"");
        text.push_str(&spec.symbol);
        text.push_str("\",\"changes\":[");
        for (n, change) in self.changes.iter().enumerate() {
            text.push_str(if n == 0 { "[\"" } else { ",[\"" });
            text.push_str(if change.side == Side::Bid {
                "buy\",\""
            } else {
                "sell\",\""
            });
            spec.push_price(&mut text, change.price);
            text.push_str("\",\"");
            spec.push_size(&mut text, change.size);
            text.push_str("\"]");
        }
        text.push_str("],\"time\":\"");
        push_time(&mut text, ts, 6);
        text.push_str("\"}");
        let ids: Vec<u64> = topics.clients[LEVEL2_BATCH]
            .iter()
            .chain(&topics.clients[LEVEL2])
            .copied()
            .collect();
        context.hub.fan(&ids, Class::of(Channel::Book, index), text);
    }
}

impl Feed for Coinbase {
    fn open(&mut self, context: &mut Context<'_>, id: u64, _request: &Request) {
        self.clients.insert(
            id,
            Client {
                opened_ns: context.market.now_ns,
                subscribed: false,
                status: false,
            },
        );
    }

    fn close(&mut self, id: u64) {
        self.clients.remove(&id);
        for topics in &mut self.topics {
            for clients in &mut topics.clients {
                remove(clients, &id);
            }
        }
    }

    fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str) {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            let text = "{\"type\":\"error\",\"message\":\"Malformed JSON\"}";
            return context.hub.text(id, Class::CONTROL, text);
        };
        match value.get("type").and_then(Value::as_str) {
            Some("subscribe") => self.subscribe(context, id, &value),
            Some("unsubscribe") => self.unsubscribe(context, id, &value),
            other => {
                let why = format!(
                    "Type {} is not supported",
                    quoted(other.unwrap_or("")).replace('"', "'")
                );
                let text = format!(
                    "{{\"type\":\"error\",\"message\":\"Failed to parse\",\"reason\":{}}}",
                    quoted(&why)
                );
                context.hub.text(id, Class::CONTROL, text);
            }
        }
    }

    fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step) {
        context.market.defer_step(index);
        if step.trades == 0 {
            return;
        }
        context.market.published.trades += step.trades as u64;
        context.market.published.quotes += 1;
        let topics = &mut self.topics[index];
        topics.ticker_due = true;
        let instrument = &context.market.instruments[index];
        if !topics.clients[MATCHES].is_empty() {
            let from = instrument.trades.len() - step.trades;
            for (n, trade) in instrument.trades.range(from..).enumerate() {
                let sequence = instrument.sequence - step.trades as u64 + 1 + n as u64;
                let text = match_message("match", instrument, trade, sequence);
                context
                    .hub
                    .fan(&topics.clients[MATCHES], Class::of(Channel::Trades, index), text);
            }
        }
        if !topics.clients[TICKER].is_empty()
            && let Some(text) = ticker_message(instrument)
        {
            context
                .hub
                .fan(&topics.clients[TICKER], Class::of(Channel::Quotes, index), text);
        }
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        let now = context.market.now_ns;
        let tick = now / super::TIMER_NS;
        for index in 0..self.topics.len() {
            if tick % BATCH_TICKS == index as i64 % BATCH_TICKS {
                self.publish_level2(context, index);
            }
        }
        if now % SECOND_NS != 0 {
            return;
        }
        for (index, topics) in self.topics.iter_mut().enumerate() {
            if !topics.clients[HEARTBEAT].is_empty() {
                let instrument = &context.market.instruments[index];
                let text = heartbeat_message(instrument, context.market.clock());
                context.hub.fan(
                    &topics.clients[HEARTBEAT],
                    Class::of(Channel::Heartbeat, index),
                    text,
                );
            }
            if now % STATUS_EVERY_NS == 0 && std::mem::take(&mut topics.ticker_due) {
                let text = ticker_message(&context.market.instruments[index]);
                if let (Some(text), false) = (text, topics.clients[TICKER_BATCH].is_empty()) {
                    context.hub.fan(
                        &topics.clients[TICKER_BATCH],
                        Class::of(Channel::Quotes, index),
                        text,
                    );
                }
            }
        }
        for (id, client) in &self.clients {
            if !client.subscribed && now - client.opened_ns >= SUBSCRIBE_WITHIN_NS {
                context.hub.shut(*id, 1008, "no subscription within 5 seconds");
            }
            if client.status && now % STATUS_EVERY_NS == 0 {
                context
                    .hub
                    .text(*id, Class::CONTROL, status_message(context.market));
            }
        }
    }

    fn get(&mut self, context: &mut Context<'_>, request: &Request) -> Response {
        if request.header("user-agent").is_none() {
            return message(400, "User-Agent header is required.");
        }
        let market = &*context.market;
        let path: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
        let find = |product: &str| market.find(product).map(|index| &market.instruments[index]);
        match path.as_slice() {
            ["time"] => {
                let now = market.clock();
                let mut iso = String::new();
                push_time(&mut iso, now, 6);
                Response::ok(format!(
                    "{{\"iso\":\"{iso}\",\"epoch\":{}.{:03}}}",
                    now.div_euclid(SECOND_NS),
                    now.rem_euclid(SECOND_NS) / 1_000_000
                ))
            }
            ["products"] => {
                let products: Vec<String> = market.instruments.iter().map(product).collect();
                Response::ok(format!("[{}]", products.join(",")))
            }
            ["currencies"] => Response::ok(currencies(market)),
            ["products", id, rest @ ..] => match (find(id), rest) {
                (None, _) => message(404, "NotFound"),
                (Some(instrument), []) => Response::ok(product(instrument)),
                (Some(instrument), ["book"]) => rest_book(instrument, request, market.clock()),
                (Some(instrument), ["ticker"]) => rest_ticker(instrument),
                (Some(instrument), ["trades"]) => rest_trades(instrument, request),
                (Some(instrument), ["candles"]) => rest_candles(instrument, request, market.clock()),
                (Some(instrument), ["stats"]) => rest_stats(instrument),
                _ => message(404, "NotFound"),
            },
            _ => message(404, "NotFound"),
        }
    }
}

/// What a (un)subscribe message asks for: channel names with their instruments.
fn wanted(value: &Value, market: &Market, all_by_default: bool) -> Result<Vec<(String, Vec<usize>)>, String> {
    let everything = || (0..market.instruments.len()).collect::<Vec<_>>();
    let products = |value: Option<&Value>| -> Result<Option<Vec<usize>>, String> {
        let Some(Value::Array(products)) = value else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for product in products {
            let name = product.as_str().unwrap_or_default();
            found.push(
                market
                    .find(name)
                    .ok_or_else(|| format!("{name} is not a valid product"))?,
            );
        }
        Ok(Some(found))
    };
    let common = products(value.get("product_ids"))?;
    let Some(Value::Array(channels)) = value.get("channels") else {
        return Err("channels is required".to_owned());
    };
    let mut wanted = Vec::new();
    for channel in channels {
        let (name, own) = match channel {
            Value::String(name) => (name.as_str(), None),
            other => {
                let name = other.get("name").and_then(Value::as_str).unwrap_or_default();
                (name, products(other.get("product_ids"))?)
            }
        };
        if name != "status" && !CHANNELS.contains(&name) {
            if matches!(
                name,
                "full" | "level3" | "user" | "auctionfeed" | "rfq_matches" | "balance"
            ) {
                return Err(format!("{name} requires authentication"));
            }
            return Err(format!("{name} is not a valid channel"));
        }
        let chosen = own
            .or_else(|| common.clone())
            .or_else(|| all_by_default.then(everything));
        match chosen {
            Some(chosen) => wanted.push((name.to_owned(), chosen)),
            None if name == "status" => wanted.push((name.to_owned(), Vec::new())),
            None => return Err(format!("product_ids is required for channel {name}")),
        }
    }
    Ok(wanted)
}

fn failed(why: &str) -> String {
    format!(
        "{{\"type\":\"error\",\"message\":\"Failed to subscribe\",\"reason\":{}}}",
        quoted(why)
    )
}

fn message(status: u16, text: &str) -> Response {
    Response::json(status, format!("{{\"message\":{}}}", quoted(text)))
}

/// An order's id as the venue prints it.
fn push_order_id(text: &mut String, instrument: &Instrument, order: u64) {
    let high = mix(order ^ instrument.spec.start_ticks as u64);
    let low = mix(high);
    text.push_str(&format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 48 & 0xFFF,
        low & 0xFFFF_FFFF_FFFF
    ));
}

fn match_message(kind: &str, instrument: &Instrument, trade: &Trade, sequence: u64) -> String {
    let spec = &instrument.spec;
    let mut text = String::with_capacity(320);
    text.push_str("{\"type\":\"");
    text.push_str(kind);
    text.push_str("\",\"trade_id\":");
    push_uint(&mut text, trade.id);
    text.push_str(",\"maker_order_id\":\"");
    push_order_id(&mut text, instrument, trade.maker);
    text.push_str("\",\"taker_order_id\":\"");
    push_order_id(&mut text, instrument, trade.taker);
    // The side of the maker's order: the aggressor's is the other one.
    text.push_str(if trade.aggressor == Side::Bid {
        "\",\"side\":\"sell\""
    } else {
        "\",\"side\":\"buy\""
    });
    text.push_str(",\"size\":\"");
    spec.push_size_trimmed(&mut text, trade.size);
    text.push_str("\",\"price\":\"");
    spec.push_price_trimmed(&mut text, trade.price);
    text.push_str("\",\"product_id\":\"");
    text.push_str(&spec.symbol);
    text.push_str("\",\"sequence\":");
    push_uint(&mut text, sequence);
    text.push_str(",\"time\":\"");
    push_time(&mut text, trade.ts, 6);
    text.push_str("\"}");
    text
}

fn snapshot_message(instrument: &Instrument) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::with_capacity(16_384);
    text.push_str("{\"type\":\"snapshot\",\"product_id\":\"");
    text.push_str(&instrument.spec.symbol);
    for (side, name) in [(Side::Ask, "\",\"asks\":["), (Side::Bid, "],\"bids\":[")] {
        text.push_str(name);
        for (n, (price, size)) in ladder.levels(side).enumerate() {
            text.push_str(if n == 0 { "[\"" } else { ",[\"" });
            instrument.spec.push_price(&mut text, price);
            text.push_str("\",\"");
            instrument.spec.push_size(&mut text, size);
            text.push_str("\"]");
        }
    }
    text.push_str("],\"time\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}");
    text
}

fn ticker_message(instrument: &Instrument) -> Option<String> {
    let trade = instrument.last_trade()?;
    let spec = &instrument.spec;
    let day = instrument.day();
    let (bid, ask) = instrument.touch();
    let (bid, ask) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    let mut text = String::with_capacity(512);
    text.push_str("{\"type\":\"ticker\",\"sequence\":");
    push_uint(&mut text, instrument.sequence);
    text.push_str(",\"product_id\":\"");
    text.push_str(&spec.symbol);
    for (name, ticks) in [("\",\"price\":\"", trade.price), ("\",\"open_24h\":\"", day.open)] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    text.push_str("\",\"volume_24h\":\"");
    spec.push_size_trimmed(&mut text, day.volume);
    for (name, ticks) in [("\",\"low_24h\":\"", day.low), ("\",\"high_24h\":\"", day.high)] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    text.push_str("\",\"volume_30d\":\"");
    spec.push_size_trimmed(&mut text, day.volume * 30);
    for (prices, sizes, (price, size)) in [
        ("\",\"best_bid\":\"", "\",\"best_bid_size\":\"", bid),
        ("\",\"best_ask\":\"", "\",\"best_ask_size\":\"", ask),
    ] {
        text.push_str(prices);
        spec.push_price_trimmed(&mut text, price);
        text.push_str(sizes);
        spec.push_size(&mut text, size);
    }
    // Unlike a match, a ticker names the taker's side.
    text.push_str(if trade.aggressor == Side::Bid {
        "\",\"side\":\"buy\""
    } else {
        "\",\"side\":\"sell\""
    });
    text.push_str(",\"time\":\"");
    push_time(&mut text, trade.ts, 6);
    text.push_str("\",\"trade_id\":");
    push_uint(&mut text, trade.id);
    text.push_str(",\"last_size\":\"");
    spec.push_size_trimmed(&mut text, trade.size);
    text.push_str("\"}");
    Some(text)
}

fn heartbeat_message(instrument: &Instrument, now: i64) -> String {
    let mut text = String::from("{\"type\":\"heartbeat\",\"last_trade_id\":");
    push_uint(&mut text, instrument.last_trade().map_or(0, |t| t.id));
    text.push_str(",\"product_id\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",\"sequence\":");
    push_uint(&mut text, instrument.sequence);
    text.push_str(",\"time\":\"");
    push_time(&mut text, now, 6);
    text.push_str("\"}");
    text
}

fn status_message(market: &Market) -> String {
    let products: Vec<String> = market.instruments.iter().map(product).collect();
    format!(
        "{{\"type\":\"status\",\"products\":[{}],\"currencies\":{}}}",
        products.join(","),
        currencies(market)
    )
}

fn currencies(market: &Market) -> String {
    let mut entries = vec![currency("USD", "0.01")];
    entries.extend(
        market
            .instruments
            .iter()
            .map(|i| currency(&i.spec.base, &i.spec.size_text(1))),
    );
    format!("[{}]", entries.join(","))
}

fn currency(id: &str, precision: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"name\":\"{id}\",\"min_size\":\"{precision}\",\"status\":\"online\",\"message\":\"\",\
         \"max_precision\":\"{precision}\",\"convertible_to\":[],\"details\":{{}}}}"
    )
}

fn product(instrument: &Instrument) -> String {
    let spec = &instrument.spec;
    let mut tick = String::new();
    spec.push_price_trimmed(&mut tick, 1);
    let mut lot = String::new();
    spec.push_size_trimmed(&mut lot, 1);
    format!(
        "{{\"id\":\"{id}\",\"base_currency\":\"{base}\",\"quote_currency\":\"{quote}\",\"quote_increment\":\"{tick}\",\
         \"base_increment\":\"{lot}\",\"display_name\":\"{base}/{quote}\",\"min_market_funds\":\"1\",\
         \"margin_enabled\":false,\"post_only\":false,\"limit_only\":false,\"cancel_only\":false,\"status\":\"online\",\
         \"status_message\":\"\",\"trading_disabled\":false,\"fx_stablecoin\":false,\
         \"max_slippage_percentage\":\"0.02000000\",\"auction_mode\":false,\"high_bid_limit_percentage\":\"\"}}",
        id = spec.symbol,
        base = spec.base,
        quote = spec.quote,
    )
}

fn rest_book(instrument: &Instrument, request: &Request, now: i64) -> Response {
    let level = request.param("level").unwrap_or("1");
    let depth = match level {
        "1" => 1,
        "2" => usize::MAX,
        "3" => return message(401, "Unauthorized."),
        _ => return message(400, "Invalid level"),
    };
    let (ladder, ..) = instrument.snapshot();
    let mut text = String::new();
    for (side, name) in [(Side::Bid, "{\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (n, (price, size)) in ladder.levels(side).take(depth).enumerate() {
            text.push_str(if n == 0 { "[\"" } else { ",[\"" });
            instrument.spec.push_price_trimmed(&mut text, price);
            text.push_str("\",\"");
            instrument.spec.push_size_trimmed(&mut text, size);
            text.push_str("\",1]");
        }
    }
    text.push_str("],\"sequence\":");
    push_uint(&mut text, instrument.sequence);
    text.push_str(",\"auction_mode\":false,\"auction\":null,\"time\":\"");
    push_time(&mut text, now, 6);
    text.push_str("\"}");
    Response::ok(text)
}

fn rest_ticker(instrument: &Instrument) -> Response {
    let spec = &instrument.spec;
    let Some(trade) = instrument.last_trade() else {
        return message(404, "NotFound");
    };
    let (bid, ask) = instrument.touch();
    let mut text = String::new();
    for (name, ticks) in [
        ("{\"ask\":\"", ask.map_or(0, |(p, _)| p)),
        ("\",\"bid\":\"", bid.map_or(0, |(p, _)| p)),
        ("\",\"price\":\"", trade.price),
    ] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    text.push_str("\",\"volume\":\"");
    spec.push_size_trimmed(&mut text, instrument.day().volume);
    text.push_str("\",\"trade_id\":");
    push_uint(&mut text, trade.id);
    text.push_str(",\"size\":\"");
    spec.push_size_trimmed(&mut text, trade.size);
    text.push_str("\",\"time\":\"");
    push_time(&mut text, trade.ts, 6);
    text.push_str("\"}");
    Response::ok(text)
}

fn rest_stats(instrument: &Instrument) -> Response {
    let spec = &instrument.spec;
    let day = instrument.day();
    let mut text = String::new();
    for (name, ticks) in [
        ("{\"open\":\"", day.open),
        ("\",\"high\":\"", day.high),
        ("\",\"low\":\"", day.low),
        ("\",\"last\":\"", instrument.last_price()),
    ] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    text.push_str("\",\"volume\":\"");
    spec.push_size_trimmed(&mut text, day.volume);
    text.push_str("\",\"volume_30day\":\"");
    spec.push_size_trimmed(&mut text, day.volume * 30);
    text.push_str("\"}");
    Response::ok(text)
}

/// Newest first; `after=N` has only ids below N, `before=N` only ids above N.
fn rest_trades(instrument: &Instrument, request: &Request) -> Response {
    let (limit, before, after) = (
        request.number("limit", 1, 1_000, 1_000),
        request.number("before", 0, 0, i64::MAX),
        request.number("after", 0, i64::MAX, i64::MAX),
    );
    let (Some(limit), Some(before), Some(after)) = (limit, before, after) else {
        return message(400, "Invalid pagination parameters");
    };
    let to = instrument.trade_at(after as u64);
    let from = if before > 0 {
        instrument.trade_at(before as u64 + 1)
    } else {
        0
    };
    let from = from.max(to.saturating_sub(limit as usize)).min(to);
    let mut text = String::from("[");
    for trade in instrument.trades.range(from..to).rev() {
        text.push_str(if text.len() == 1 {
            "{\"trade_id\":"
        } else {
            ",{\"trade_id\":"
        });
        push_uint(&mut text, trade.id);
        text.push_str(if trade.aggressor == Side::Bid {
            ",\"side\":\"sell\""
        } else {
            ",\"side\":\"buy\""
        });
        text.push_str(",\"size\":\"");
        instrument.spec.push_size(&mut text, trade.size);
        text.push_str("\",\"price\":\"");
        instrument.spec.push_price(&mut text, trade.price);
        text.push_str("\",\"time\":\"");
        push_time(&mut text, trade.ts, 6);
        text.push_str("\"}");
    }
    text.push(']');
    let mut response = Response::ok(text);
    if from < to {
        let id = |at: usize| instrument.trades.get(at).map_or(0, |t| t.id);
        response = response.with("cb-before", id(to - 1)).with("cb-after", id(from));
    }
    response
}

/// Rows `[time, low, high, open, close, volume]`, newest first, without empty ones.
fn rest_candles(instrument: &Instrument, request: &Request, now: i64) -> Response {
    let granularity = request
        .number("granularity", 1, 60, 86_400)
        .filter(|g| GRANULARITIES.contains(g));
    let Some(granularity) = granularity else {
        return message(400, "Unsupported granularity");
    };
    let interval_ns = granularity * SECOND_NS;
    // With only one of the two given, the venue ignores both.
    let (from, to) = match (request.param("start"), request.param("end")) {
        (Some(start), Some(end)) => match (parse_time(start), parse_time(end)) {
            (Some(start), Some(end)) if start <= end => (start, end),
            (Some(_), Some(_)) => return message(400, "start must be before end"),
            _ => return message(400, "Invalid start or end"),
        },
        _ => (now - 299 * interval_ns, now),
    };
    if (to - from) / interval_ns > 300 {
        return message(
            400,
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300",
        );
    }
    let bars = instrument.bars(interval_ns, from, to.min(now) + 1, false);
    let mut text = String::from("[");
    for bar in bars.iter().rev() {
        push_candle(&mut text, instrument, bar);
    }
    text.push(']');
    Response::ok(text)
}

fn push_candle(text: &mut String, instrument: &Instrument, bar: &Minute) {
    text.push_str(if text.len() == 1 { "[" } else { ",[" });
    push_int(text, bar.start_ns / SECOND_NS);
    for ticks in [bar.low, bar.high, bar.open, bar.close] {
        text.push(',');
        instrument.spec.push_price_trimmed(text, ticks);
    }
    text.push(',');
    instrument.spec.push_size_trimmed(text, bar.volume);
    text.push(']');
}
