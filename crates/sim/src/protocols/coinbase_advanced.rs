//! Coinbase Advanced Trade: the market data WebSocket and the public part of REST.
//! <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels>

use super::{Context, Feed, SECOND_NS, quoted};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class, Hub};
use crate::market::{Instrument, Market, Minute, Step};
use crate::number::{
    parse_time, push_fixed, push_int, push_percent, push_time, push_time_bare, push_time_trimmed, push_uint,
};
use kernels::matching::Side;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const SUBSCRIBE_WITHIN_NS: i64 = 5 * SECOND_NS;
/// A connection on which nothing was sent for this long is closed.
const IDLE_NS: i64 = 90 * SECOND_NS;
/// `market_trades` and `ticker` gather for this long.
const BATCH_TICKS: i64 = 25;
const SNAPSHOT_TRADES: usize = 100;
const CANDLE_NS: i64 = 300 * SECOND_NS;
const SNAPSHOT_CANDLES: i64 = 100;
/// Names a client may subscribe to; the messages of `level2` come as `l2_data`.
const CHANNELS: [&str; 7] = [
    "heartbeats",
    "level2",
    "market_trades",
    "ticker",
    "ticker_batch",
    "candles",
    "status",
];

#[derive(Default)]
struct Client {
    opened_ns: i64,
    /// Number of the next message, over all channels.
    next: u64,
    /// Channel → products (empty for channels without any).
    channels: BTreeMap<&'static str, BTreeSet<usize>>,
    heartbeats: u64,
}

impl Client {
    fn takes(&self, channel: &str, index: usize) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|products| products.contains(&index))
    }
}

#[derive(Default)]
struct Topics {
    /// Id of the first trade not yet sent.
    trades_from: u64,
    ticker_due: bool,
    candle_due: bool,
}

pub struct CoinbaseAdvanced {
    clients: HashMap<u64, Client>,
    topics: Vec<Topics>,
}

impl CoinbaseAdvanced {
    pub fn new(instruments: usize) -> Self {
        Self {
            clients: HashMap::new(),
            topics: (0..instruments).map(|_| Topics::default()).collect(),
        }
    }

    /// Sends one message in the venue's envelope, with this connection's own number; none of a mute stream, whose
    /// messages would leave a hole.
    fn send(&mut self, hub: &mut Hub, id: u64, class: Class, channel: &str, now: i64, events: &str) {
        if hub.faults.is_mute(class) {
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let mut text = String::with_capacity(events.len() + 128);
        text.push_str("{\"channel\":\"");
        text.push_str(channel);
        text.push_str("\",\"timestamp\":\"");
        push_time(&mut text, now, 9);
        text.push_str("\",\"sequence_num\":");
        push_uint(&mut text, client.next);
        text.push_str(",\"events\":[");
        text.push_str(events);
        text.push_str("]}");
        client.next += 1;
        hub.text(id, class, text);
    }

    /// Sends to everybody who takes this channel of this product.
    fn fan(
        &mut self,
        context: &mut Context<'_>,
        class: Class,
        takes: &str,
        channel: &str,
        index: usize,
        events: &str,
    ) {
        let now = context.market.clock();
        for id in self.takers(takes, index) {
            self.send(context.hub, id, class, channel, now, events);
        }
    }

    fn takers(&self, channel: &str, index: usize) -> Vec<u64> {
        let mut ids: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, c)| c.takes(channel, index))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    fn subscribe(&mut self, context: &mut Context<'_>, id: u64, value: &Value) {
        let (channel, products) = match wanted(value, context.market) {
            Ok(wanted) => wanted,
            Err(why) => return error(context.hub, id, &why),
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let held = client.channels.entry(channel).or_default();
        let begun: Vec<usize> = products.into_iter().filter(|index| held.insert(*index)).collect();
        let now = context.market.clock();
        for index in begun {
            let instrument = &context.market.instruments[index];
            let (class, name, events) = match channel {
                "level2" => (Channel::Book, "l2_data", book_snapshot(instrument)),
                "market_trades" => {
                    let from = instrument.trades.len().saturating_sub(SNAPSHOT_TRADES);
                    (
                        Channel::Trades,
                        "market_trades",
                        trades_event("snapshot", instrument, from),
                    )
                }
                "ticker" | "ticker_batch" => (Channel::Quotes, channel, ticker_event("snapshot", instrument)),
                "candles" => {
                    let from = now - (SNAPSHOT_CANDLES - 1) * CANDLE_NS;
                    (
                        Channel::Bars,
                        "candles",
                        candles_event("snapshot", instrument, from, now),
                    )
                }
                _ => continue,
            };
            self.send(context.hub, id, Class::of(class, index), name, now, &events);
        }
        if channel == "status" {
            let events = status_event(context.market);
            self.send(context.hub, id, Class::CONTROL, "status", now, &events);
        }
        self.acknowledge(context, id);
    }

    fn unsubscribe(&mut self, context: &mut Context<'_>, id: u64, value: &Value) {
        let (channel, products) = match wanted(value, context.market) {
            Ok(wanted) => wanted,
            Err(why) => return error(context.hub, id, &why),
        };
        let names_products = value.get("product_ids").is_some_and(Value::is_array);
        if let Some(client) = self.clients.get_mut(&id) {
            let is_empty = client.channels.get_mut(channel).is_none_or(|held| {
                products.iter().for_each(|index| {
                    held.remove(index);
                });
                held.is_empty()
            });
            if is_empty || !names_products {
                client.channels.remove(channel);
            }
        }
        self.acknowledge(context, id);
    }

    /// Lists everything that the client takes now.
    fn acknowledge(&mut self, context: &mut Context<'_>, id: u64) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let entries: Vec<String> = client
            .channels
            .iter()
            .map(|(channel, products)| {
                let products: Vec<String> = if products.is_empty() {
                    vec![quoted(channel)]
                } else {
                    products
                        .iter()
                        .map(|i| quoted(&context.market.instruments[*i].spec.symbol))
                        .collect()
                };
                format!("\"{channel}\":[{}]", products.join(","))
            })
            .collect();
        let events = format!("{{\"subscriptions\":{{{}}}}}", entries.join(","));
        let now = context.market.clock();
        self.send(context.hub, id, Class::CONTROL, "subscriptions", now, &events);
    }
}

impl Feed for CoinbaseAdvanced {
    fn open(&mut self, context: &mut Context<'_>, id: u64, _request: &Request) {
        self.clients.insert(
            id,
            Client {
                opened_ns: context.market.now_ns,
                ..Client::default()
            },
        );
    }

    fn close(&mut self, id: u64) {
        self.clients.remove(&id);
    }

    fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str) {
        let value = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        match value.get("type").and_then(Value::as_str) {
            Some("subscribe") => self.subscribe(context, id, &value),
            Some("unsubscribe") => self.unsubscribe(context, id, &value),
            _ => error(context.hub, id, "failure to parse message"),
        }
    }

    fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step) {
        let topics = &mut self.topics[index];
        topics.ticker_due |= step.touch_changed || step.trades > 0;
        topics.candle_due |= step.trades > 0;
        let instrument = &context.market.instruments[index];
        if topics.trades_from == 0 {
            // What was before the first action is in snapshots only.
            topics.trades_from = instrument.next_trade - step.trades as u64;
        }
        if instrument.outcome.changes.is_empty() {
            return;
        }
        context.market.publish_step(index, step.ts, context.truth);
        if self.takers("level2", index).is_empty() {
            return;
        }
        let instrument = &context.market.instruments[index];
        let mut events = String::with_capacity(256);
        events.push_str("{\"type\":\"update\",\"product_id\":\"");
        events.push_str(&instrument.spec.symbol);
        events.push_str("\",\"updates\":[");
        for (n, change) in instrument.outcome.changes.iter().enumerate() {
            if n > 0 {
                events.push(',');
            }
            push_update(
                &mut events,
                instrument,
                change.side,
                change.price,
                change.size,
                step.ts,
            );
        }
        events.push_str("]}");
        self.fan(
            context,
            Class::of(Channel::Book, index),
            "level2",
            "l2_data",
            index,
            &events,
        );
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        let now = context.market.now_ns;
        let tick = now / super::TIMER_NS;
        for index in 0..self.topics.len() {
            if tick % BATCH_TICKS != index as i64 * 5 % BATCH_TICKS {
                continue;
            }
            let instrument = &context.market.instruments[index];
            let topics = &mut self.topics[index];
            let from = instrument.trade_at(topics.trades_from);
            if topics.trades_from == 0 {
                continue;
            }
            topics.trades_from = instrument.next_trade;
            if from < instrument.trades.len() {
                let events = trades_event("update", instrument, from);
                context.market.published.trades += 1;
                self.fan(
                    context,
                    Class::of(Channel::Trades, index),
                    "market_trades",
                    "market_trades",
                    index,
                    &events,
                );
            }
            if std::mem::take(&mut self.topics[index].ticker_due) {
                let events = ticker_event("update", &context.market.instruments[index]);
                context.market.published.quotes += 1;
                self.fan(
                    context,
                    Class::of(Channel::Quotes, index),
                    "ticker",
                    "ticker",
                    index,
                    &events,
                );
                if now % (5 * SECOND_NS) < SECOND_NS / 4 {
                    self.fan(
                        context,
                        Class::of(Channel::Quotes, index),
                        "ticker_batch",
                        "ticker_batch",
                        index,
                        &events,
                    );
                }
            }
        }
        if now % SECOND_NS != 0 {
            return;
        }
        let clock = context.market.clock();
        for index in 0..self.topics.len() {
            if std::mem::take(&mut self.topics[index].candle_due) && !self.takers("candles", index).is_empty()
            {
                let from = clock - clock.rem_euclid(CANDLE_NS);
                let events = candles_event("update", &context.market.instruments[index], from, clock);
                self.fan(
                    context,
                    Class::of(Channel::Bars, index),
                    "candles",
                    "candles",
                    index,
                    &events,
                );
            }
        }
        let mut ids: Vec<u64> = self.clients.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            let late = client.channels.is_empty() && now - client.opened_ns >= SUBSCRIBE_WITHIN_NS;
            let idle = context.hub.is_idle(id, IDLE_NS);
            if late || idle {
                context.hub.shut(
                    id,
                    1008,
                    if late {
                        "no subscription within 5 seconds"
                    } else {
                        "idle"
                    },
                );
            } else if client.channels.contains_key("heartbeats") {
                client.heartbeats += 1;
                let mut events = String::from("{\"current_time\":\"");
                push_time_bare(&mut events, clock, 9, ' ');
                events.push_str(&format!(
                    " +0000 UTC m=+{}.000000000\",\"heartbeat_counter\":{}}}",
                    client.heartbeats, client.heartbeats
                ));
                self.send(context.hub, id, Class::HEARTBEAT, "heartbeats", clock, &events);
            }
        }
    }

    fn get(&mut self, context: &mut Context<'_>, request: &Request) -> Response {
        let market = &*context.market;
        let path = request.path.trim_end_matches('/');
        if let Some(older) = path.strip_prefix("/v2/") {
            return rest_older(market, older);
        }
        // A client told this server's bare address as its REST base leaves the venue's own base path out.
        let path = path.strip_prefix("/api/v3/brokerage").unwrap_or(path);
        let path = path.strip_prefix("/market").unwrap_or(path);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let find = |product: &str| find(market, product).map(|index| &market.instruments[index]);
        match parts.as_slice() {
            ["time"] => {
                let now = market.clock();
                let mut iso = String::new();
                push_time(&mut iso, now, 0);
                Response::ok(format!(
                    "{{\"iso\":\"{iso}\",\"epochSeconds\":\"{}\",\"epochMillis\":\"{}\"}}",
                    now / SECOND_NS,
                    now / 1_000_000
                ))
            }
            ["products"] => {
                let products: Vec<String> = market.instruments.iter().map(product).collect();
                Response::ok(format!(
                    "{{\"products\":[{}],\"num_products\":{}}}",
                    products.join(","),
                    products.len()
                ))
            }
            ["best_bid_ask"] => {
                let books: Vec<String> = market
                    .instruments
                    .iter()
                    .map(|i| pricebook(i, 1, market.clock()))
                    .collect();
                Response::ok(format!("{{\"pricebooks\":[{}]}}", books.join(",")))
            }
            ["product_book"] => match request.param("product_id").and_then(find) {
                Some(instrument) => rest_book(instrument, request, market.clock()),
                None => missing(),
            },
            ["products", id] => find(id).map_or_else(missing, |i| Response::ok(product(i))),
            ["products", id, "ticker"] => find(id).map_or_else(missing, |i| rest_ticker(i, request)),
            ["products", id, "candles"] => {
                find(id).map_or_else(missing, |i| rest_candles(i, request, market.clock()))
            }
            _ => missing(),
        }
    }
}

/// The older interface that general clients ask for currencies and rates.
fn rest_older(market: &Market, path: &str) -> Response {
    match path {
        "time" => {
            let mut iso = String::new();
            push_time(&mut iso, market.clock(), 0);
            Response::ok(format!(
                "{{\"data\":{{\"iso\":\"{iso}\",\"epoch\":{}}}}}",
                market.clock() / SECOND_NS
            ))
        }
        "currencies" => {
            Response::ok("{\"data\":[{\"id\":\"USD\",\"name\":\"US Dollar\",\"min_size\":\"0.01\"}]}")
        }
        "currencies/crypto" => {
            let entries: Vec<String> = market
                .instruments
                .iter()
                .enumerate()
                .map(|(n, i)| {
                    format!(
                        "{{\"asset_id\":\"00000000-0000-4000-a000-{n:012}\",\"code\":\"{base}\",\"name\":\"{base}\",\
                         \"color\":\"#0433FF\",\"sort_index\":{n},\"exponent\":{},\"type\":\"crypto\",\
                         \"address_regex\":\"\"}}",
                        i.spec.lot.scale,
                        base = i.spec.base,
                    )
                })
                .collect();
            Response::ok(format!("{{\"data\":[{}]}}", entries.join(",")))
        }
        "exchange-rates" => {
            // One US dollar in each currency: a ratio of integers, printed with sixteen decimals.
            let rates: Vec<String> = market
                .instruments
                .iter()
                .map(|i| {
                    let price = i128::from(i.last_price().max(1)) * i128::from(i.spec.tick.mantissa);
                    let mut rate = String::new();
                    push_fixed(
                        &mut rate,
                        10i128.pow(16 + u32::from(i.spec.tick.scale)) / price,
                        16,
                        16,
                    );
                    format!("\"{}\":\"{rate}\"", i.spec.base)
                })
                .collect();
            Response::ok(format!(
                "{{\"data\":{{\"currency\":\"USD\",\"rates\":{{\"USD\":\"1.0\",{}}}}}}}",
                rates.join(",")
            ))
        }
        _ => missing(),
    }
}

/// Products quoted in USDC are those quoted in USD, and come under that name.
fn find(market: &Market, product: &str) -> Option<usize> {
    let alias = product.strip_suffix("-USDC").map(|base| format!("{base}-USD"));
    market.find(alias.as_deref().unwrap_or(product))
}

/// Channel and products of a (un)subscribe message.
fn wanted(value: &Value, market: &Market) -> Result<(&'static str, Vec<usize>), String> {
    let name = value.get("channel").and_then(Value::as_str).unwrap_or_default();
    if name == "user" || name == "futures_balance_summary" {
        return Err("authentication failure".to_owned());
    }
    let channel = CHANNELS
        .into_iter()
        .find(|c| *c == name)
        .ok_or_else(|| format!("channel '{name}' is not supported"))?;
    let mut products = Vec::new();
    for product in value
        .get("product_ids")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let product = product.as_str().unwrap_or_default();
        products.push(find(market, product).ok_or_else(|| format!("product '{product}' is not supported"))?);
    }
    if channel == "heartbeats" || channel == "status" {
        products.clear();
    }
    Ok((channel, products))
}

/// Errors have no envelope and no number.
fn error(hub: &mut Hub, id: u64, why: &str) {
    hub.text(
        id,
        Class::CONTROL,
        format!("{{\"type\":\"error\",\"message\":{}}}", quoted(why)),
    );
}

fn missing() -> Response {
    Response::json(
        404,
        "{\"error\":\"NOT_FOUND\",\"error_details\":\"not found\",\"message\":\"not found\"}",
    )
}

fn invalid(why: &str) -> Response {
    Response::json(
        400,
        format!(
            "{{\"error\":\"INVALID_ARGUMENT\",\"error_details\":{0},\"message\":{0}}}",
            quoted(why)
        ),
    )
}

fn push_update(text: &mut String, instrument: &Instrument, side: Side, price: i64, size: i64, ts: i64) {
    text.push_str(if side == Side::Bid {
        "{\"side\":\"bid\""
    } else {
        "{\"side\":\"offer\""
    });
    text.push_str(",\"event_time\":\"");
    push_time_trimmed(text, ts);
    text.push_str("\",\"price_level\":\"");
    instrument.spec.push_price_trimmed(text, price);
    text.push_str("\",\"new_quantity\":\"");
    instrument.spec.push_size_trimmed(text, size);
    text.push_str("\"}");
}

fn book_snapshot(instrument: &Instrument) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::with_capacity(32_768);
    text.push_str("{\"type\":\"snapshot\",\"product_id\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",\"updates\":[");
    for side in [Side::Bid, Side::Ask] {
        for (price, size) in ladder.levels(side) {
            if text.ends_with('}') {
                text.push(',');
            }
            push_update(&mut text, instrument, side, price, size, ts);
        }
    }
    text.push_str("]}");
    text
}

/// Trades from a position on, newest first.
fn trades_event(kind: &str, instrument: &Instrument, from: usize) -> String {
    let mut text = format!("{{\"type\":\"{kind}\",\"trades\":[");
    for trade in instrument.trades.range(from..).rev() {
        if text.ends_with('}') {
            text.push(',');
        }
        text.push_str("{\"product_id\":\"");
        text.push_str(&instrument.spec.symbol);
        text.push_str("\",\"trade_id\":\"");
        push_uint(&mut text, trade.id);
        text.push_str("\",\"price\":\"");
        instrument.spec.push_price_trimmed(&mut text, trade.price);
        text.push_str("\",\"size\":\"");
        instrument.spec.push_size_trimmed(&mut text, trade.size);
        text.push_str("\",\"time\":\"");
        push_time_trimmed(&mut text, trade.ts);
        // The maker's side.
        text.push_str(if trade.aggressor == Side::Bid {
            "\",\"side\":\"SELL\"}"
        } else {
            "\",\"side\":\"BUY\"}"
        });
    }
    text.push_str("]}");
    text
}

fn ticker_event(kind: &str, instrument: &Instrument) -> String {
    let spec = &instrument.spec;
    let day = instrument.day();
    let last = instrument.last_price();
    let (bid, ask) = instrument.touch();
    let (bid, ask) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    let mut text = format!(
        "{{\"type\":\"{kind}\",\"tickers\":[{{\"type\":\"ticker\",\"product_id\":\"{}\",\"price\":\"",
        spec.symbol
    );
    spec.push_price_trimmed(&mut text, last);
    text.push_str("\",\"volume_24_h\":\"");
    spec.push_size_trimmed(&mut text, day.volume);
    for (name, ticks) in [
        ("\",\"low_24_h\":\"", day.low),
        ("\",\"high_24_h\":\"", day.high),
        ("\",\"low_52_w\":\"", (day.low / 2).max(1)),
        ("\",\"high_52_w\":\"", day.high * 2),
    ] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    text.push_str("\",\"price_percent_chg_24_h\":\"");
    push_percent(&mut text, last - day.open, day.open, 14);
    for (name, ticks) in [("\",\"best_bid\":\"", bid.0), ("\",\"best_ask\":\"", ask.0)] {
        text.push_str(name);
        spec.push_price_trimmed(&mut text, ticks);
    }
    for (name, lots) in [
        ("\",\"best_bid_quantity\":\"", bid.1),
        ("\",\"best_ask_quantity\":\"", ask.1),
    ] {
        text.push_str(name);
        spec.push_size_trimmed(&mut text, lots);
    }
    text.push_str("\"}]}");
    text
}

fn push_bar(text: &mut String, instrument: &Instrument, bar: &Minute) {
    text.push_str("{\"start\":\"");
    push_int(text, bar.start_ns / SECOND_NS);
    for (name, ticks) in [
        ("\",\"high\":\"", bar.high),
        ("\",\"low\":\"", bar.low),
        ("\",\"open\":\"", bar.open),
        ("\",\"close\":\"", bar.close),
    ] {
        text.push_str(name);
        instrument.spec.push_price_trimmed(text, ticks);
    }
    text.push_str("\",\"volume\":\"");
    instrument.spec.push_size_trimmed(text, bar.volume);
}

fn candles_event(kind: &str, instrument: &Instrument, from: i64, now: i64) -> String {
    let mut text = format!("{{\"type\":\"{kind}\",\"candles\":[");
    for bar in instrument.bars(CANDLE_NS, from, now + 1, false) {
        if text.ends_with('}') {
            text.push(',');
        }
        push_bar(&mut text, instrument, &bar);
        text.push_str("\",\"product_id\":\"");
        text.push_str(&instrument.spec.symbol);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
}

fn status_event(market: &Market) -> String {
    let products: Vec<String> = market
        .instruments
        .iter()
        .map(|i| {
            let (tick, lot) = steps(i);
            format!(
                "{{\"product_type\":\"SPOT\",\"id\":\"{id}\",\"base_currency\":\"{}\",\"quote_currency\":\"{}\",\
                 \"base_increment\":\"{lot}\",\"quote_increment\":\"{tick}\",\"display_name\":\"{id}\",\
                 \"status\":\"online\",\"status_message\":\"\",\"min_market_funds\":\"1\"}}",
                i.spec.base,
                i.spec.quote,
                id = i.spec.symbol
            )
        })
        .collect();
    format!("{{\"type\":\"snapshot\",\"products\":[{}]}}", products.join(","))
}

fn steps(instrument: &Instrument) -> (String, String) {
    let (mut tick, mut lot) = (String::new(), String::new());
    instrument.spec.push_price_trimmed(&mut tick, 1);
    instrument.spec.push_size_trimmed(&mut lot, 1);
    (tick, lot)
}

fn product(instrument: &Instrument) -> String {
    let spec = &instrument.spec;
    let (tick, lot) = steps(instrument);
    let day = instrument.day();
    let mut price = String::new();
    spec.push_price_trimmed(&mut price, instrument.last_price());
    let mut change = String::new();
    push_percent(&mut change, instrument.last_price() - day.open, day.open, 14);
    let mut volume = String::new();
    spec.push_size_trimmed(&mut volume, day.volume);
    let mut largest = String::new();
    spec.push_size_trimmed(&mut largest, i128::from(spec.max_lots) * 1_000);
    format!(
        "{{\"product_id\":\"{id}\",\"price\":\"{price}\",\"price_percentage_change_24h\":\"{change}\",\
         \"volume_24h\":\"{volume}\",\"volume_percentage_change_24h\":\"0\",\"base_increment\":\"{lot}\",\
         \"quote_increment\":\"{tick}\",\"quote_min_size\":\"1\",\"quote_max_size\":\"150000000\",\
         \"base_min_size\":\"{lot}\",\"base_max_size\":\"{largest}\",\"base_name\":\"{base}\",\"quote_name\":\"US Dollar\",\
         \"watched\":false,\"is_disabled\":false,\"new\":false,\"status\":\"online\",\"cancel_only\":false,\
         \"limit_only\":false,\"post_only\":false,\"trading_disabled\":false,\"auction_mode\":false,\
         \"product_type\":\"SPOT\",\"quote_currency_id\":\"{quote}\",\"base_currency_id\":\"{base}\",\
         \"fcm_trading_session_details\":null,\"mid_market_price\":\"\",\"alias\":\"\",\"alias_to\":[\"{base}-USDC\"],\
         \"base_display_symbol\":\"{base}\",\"quote_display_symbol\":\"{quote}\",\"view_only\":false,\
         \"price_increment\":\"{tick}\",\"display_name\":\"{id}\",\"product_venue\":\"CBE\"}}",
        id = spec.symbol,
        base = spec.base,
        quote = spec.quote,
    )
}

fn pricebook(instrument: &Instrument, limit: usize, now: i64) -> String {
    let (ladder, ..) = instrument.snapshot();
    let mut text = format!("{{\"product_id\":\"{}\"", instrument.spec.symbol);
    for (side, name) in [(Side::Bid, ",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (n, (price, size)) in ladder.levels(side).take(limit).enumerate() {
            text.push_str(if n == 0 { "{\"price\":\"" } else { ",{\"price\":\"" });
            instrument.spec.push_price_trimmed(&mut text, price);
            text.push_str("\",\"size\":\"");
            instrument.spec.push_size_trimmed(&mut text, size);
            text.push_str("\"}");
        }
    }
    text.push_str("],\"time\":\"");
    push_time(&mut text, now, 6);
    text.push_str("\"}");
    text
}

fn rest_book(instrument: &Instrument, request: &Request, now: i64) -> Response {
    let Some(limit) = request.number("limit", 1, 1_000_000, 1_000_000) else {
        return invalid("limit is not valid");
    };
    let spec = &instrument.spec;
    let (ladder, ..) = instrument.snapshot();
    let bid = ladder.best(Side::Bid).map_or(0, |(p, _)| p);
    let ask = ladder.best(Side::Ask).map_or(0, |(p, _)| p);
    let mut text = format!("{{\"pricebook\":{}", pricebook(instrument, limit as usize, now));
    text.push_str(",\"last\":\"");
    spec.push_price_trimmed(&mut text, instrument.last_price());
    text.push_str("\",\"mid_market\":\"");
    // Twice the middle at one decimal more is the middle.
    push_fixed(
        &mut text,
        i128::from(bid + ask) * i128::from(spec.tick.mantissa) * 5,
        spec.tick.scale + 1,
        spec.tick.scale + 1,
    );
    text.push_str("\",\"spread_bps\":\"");
    push_percent(&mut text, (ask - bid) * 100, bid, 6);
    text.push_str("\",\"spread_absolute\":\"");
    spec.push_price_trimmed(&mut text, ask - bid);
    text.push_str("\"}");
    Response::ok(text)
}

/// Newest first, of a time range if one is given.
fn rest_ticker(instrument: &Instrument, request: &Request) -> Response {
    let spec = &instrument.spec;
    let Some(limit) = request.number("limit", 1, 100, 1_000) else {
        return invalid("limit is not valid");
    };
    let time = |name: &str, default: i64| request.param(name).map_or(Some(default), parse_time);
    let (Some(start), Some(end)) = (time("start", i64::MIN), time("end", i64::MAX)) else {
        return invalid("start and end must be unix seconds");
    };
    let from = instrument.trades.partition_point(|t| t.ts < start);
    let to = instrument.trades.partition_point(|t| t.ts <= end).max(from);
    let from = from.max(to.saturating_sub(limit as usize));
    let mut text = String::from("{\"trades\":[");
    for trade in instrument.trades.range(from..to).rev() {
        if text.ends_with('}') {
            text.push(',');
        }
        text.push_str("{\"trade_id\":\"");
        push_uint(&mut text, trade.id);
        text.push_str("\",\"product_id\":\"");
        text.push_str(&spec.symbol);
        text.push_str("\",\"price\":\"");
        spec.push_price_trimmed(&mut text, trade.price);
        text.push_str("\",\"size\":\"");
        spec.push_size_trimmed(&mut text, trade.size);
        text.push_str("\",\"time\":\"");
        push_time_trimmed(&mut text, trade.ts);
        text.push_str(if trade.aggressor == Side::Bid {
            "\",\"side\":\"SELL\""
        } else {
            "\",\"side\":\"BUY\""
        });
        text.push_str(",\"bid\":\"\",\"ask\":\"\",\"exchange\":\"coinbase\"}");
    }
    let (bid, ask) = instrument.touch();
    text.push_str("],\"best_bid\":\"");
    spec.push_price_trimmed(&mut text, bid.map_or(0, |(p, _)| p));
    text.push_str("\",\"best_ask\":\"");
    spec.push_price_trimmed(&mut text, ask.map_or(0, |(p, _)| p));
    text.push_str("\"}");
    Response::ok(text)
}

/// Newest first.
fn rest_candles(instrument: &Instrument, request: &Request, now: i64) -> Response {
    let minutes = match request.param("granularity") {
        Some("ONE_MINUTE") => 1,
        Some("FIVE_MINUTE") => 5,
        Some("FIFTEEN_MINUTE") => 15,
        Some("THIRTY_MINUTE") => 30,
        Some("ONE_HOUR") => 60,
        Some("TWO_HOUR") => 120,
        Some("FOUR_HOUR") => 240,
        Some("SIX_HOUR") => 360,
        Some("ONE_DAY") => 1_440,
        _ => return invalid("granularity is not valid"),
    };
    let interval_ns = minutes * 60 * SECOND_NS;
    let time = |name: &str, default: i64| request.param(name).map_or(Some(default), parse_time);
    let (Some(end), Some(limit)) = (time("end", now), request.number("limit", 1, 350, 350)) else {
        return invalid("end must be unix seconds, limit from 1 to 350");
    };
    let Some(start) = time("start", end - 349 * interval_ns) else {
        return invalid("start must be unix seconds");
    };
    if start > end || (end - start) / interval_ns > 350 {
        return invalid("number of candles requested should be less than 350");
    }
    let bars = instrument.bars(interval_ns, start, end.min(now) + 1, false);
    let mut text = String::from("{\"candles\":[");
    for bar in bars.iter().rev().take(limit as usize) {
        if text.ends_with('}') {
            text.push(',');
        }
        push_bar(&mut text, instrument, bar);
        text.push_str("\"}");
    }
    text.push_str("]}");
    Response::ok(text)
}
