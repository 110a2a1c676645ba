//! Kraken spot. WebSocket v2 at `/v2`: who takes what, and when something is sent to them. Requests are in [`call`], the
//! book in [`book`], other messages in [`message`]. WebSocket v1, everywhere else, is in [`v1`]; REST in [`rest`].
//! <https://docs.kraken.com/api/docs/websocket-v2/book>

mod book;
mod call;
mod message;
mod rest;
mod v1;

use super::{Context, Feed, SECOND_NS, add, quoted, remove};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class};
use crate::market::Step;
use book::{DEPTHS, Depth, Levels, book_snapshot, book_update, checksum_of};
use call::{Call, symbols};
use message::{bars_message, instruments_message, ticker_message, trades_message};
use serde_json::Value;
use std::collections::HashMap;
use v1::V1;

const INTERVALS: [i64; 9] = [1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600];
/// Client messages per second above which the venue answers with an error.
const MESSAGES_PER_S: u32 = 100;

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
    changes: [Levels; 2],
    older: V1,
}

impl Kraken {
    pub fn new(instruments: usize) -> Self {
        let topics = (0..instruments).map(|_| Topics::default()).collect();
        Self {
            clients: HashMap::new(),
            topics,
            changes: Default::default(),
            older: V1::new(instruments),
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
                topics.depths[at].join(instrument, DEPTHS[at], id);
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
        if channel == "instrument" {
            let held = self
                .clients
                .get_mut(&id)
                .is_some_and(|client| std::mem::take(&mut client.instruments));
            let text = if held {
                call.success("{\"channel\":\"instrument\"}", now)
            } else {
                call.error("Subscription Not Found", None, now)
            };
            return context.hub.text(id, Class::CONTROL, text);
        }
        let Some(symbols) = symbols(call.params) else {
            let text = call.error("Symbol(s) not found", None, now);
            return context.hub.text(id, Class::CONTROL, text);
        };
        for symbol in symbols {
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
            depth.advance(instrument, limit, &mut self.changes);
            if self.changes.iter().all(Vec::is_empty) {
                continue;
            }
            let checksum = *checksum.get_or_insert_with(|| checksum_of(&instrument.ladder));
            let text = book_update(instrument, &self.changes, checksum, ts);
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

/// Larger than 2^53, as the venue's are.
fn connection_id(id: u64) -> u64 {
    crate::random::mix(id) | 1 << 62
}

impl Feed for Kraken {
    fn open(&mut self, context: &mut Context<'_>, id: u64, request: &Request) {
        if request.path.trim_end_matches('/') != "/v2" {
            return self.older.open(context, id);
        }
        self.clients.insert(
            id,
            Client {
                subscribed: false,
                instruments: false,
                window_ns: 0,
                messages: 0,
            },
        );
        let connection = connection_id(id);
        let text = format!(
            "{{\"channel\":\"status\",\"type\":\"update\",\"data\":[{{\"version\":\"2.0.10\",\"system\":\"online\",\
             \"api_version\":\"v2\",\"connection_id\":{connection}}}]}}"
        );
        context.hub.text(id, Class::CONTROL, text);
    }

    fn close(&mut self, id: u64) {
        self.older.close(id);
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
        if self.older.serves(id) {
            return self.older.message(context, id, text);
        }
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
        self.older.step(context, index, step, has_changes);
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        self.older.timer(context);
        let now = context.market.now_ns;
        if now % (SECOND_NS / 10) == 0 {
            for (id, client) in &self.clients {
                if client.subscribed && context.hub.is_idle(*id, SECOND_NS) {
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
        rest::answer(context.market, request)
    }
}
