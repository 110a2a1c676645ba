//! WebSocket v1, the older protocol that many clients still speak: arrays in place of objects, Bitcoin as XBT,
//! prices with at least five decimals and sizes with eight, always as text.
//! <https://docs.kraken.com/api/docs/websocket-v1/book>

use super::INTERVALS;
use super::book::{DEPTHS, Depth, Levels};
use super::rest::{ticker_object, ws_name};
use crate::hub::{Channel, Class};
use crate::market::{Instrument, Ladder, Step};
use crate::number::{push_fixed, push_uint};
use crate::protocols::{Context, SECOND_NS, add, quoted, remove};
use kernels::matching::Side;
use serde_json::Value;
use std::collections::HashMap;

const PRICE_PLACES: u8 = 5;
const SIZE_PLACES: u8 = 8;

#[derive(Default)]
struct Topics {
    trades: Vec<u64>,
    ticker: Vec<u64>,
    spread: Vec<u64>,
    depths: [Depth; 5],
    /// Client and position in [`INTERVALS`].
    bars: Vec<(u64, usize)>,
    /// A trade happened since the bars were sent.
    bars_due: bool,
}

/// One thing of one instrument that a client may take.
#[derive(Clone, Copy)]
enum Topic {
    Trades,
    Ticker,
    Spread,
    /// Position in [`DEPTHS`].
    Book(usize),
    /// Position in [`INTERVALS`].
    Bars(usize),
}

impl Topic {
    /// What a `subscription` object names.
    fn of(subscription: &Value) -> Result<Self, &'static str> {
        let number = |name: &str, default: u64| subscription.get(name).map_or(Some(default), Value::as_u64);
        match subscription.get("name").and_then(Value::as_str) {
            Some("trade") => Ok(Self::Trades),
            Some("ticker") => Ok(Self::Ticker),
            Some("spread") => Ok(Self::Spread),
            Some("book") => number("depth", 10)
                .and_then(|depth| DEPTHS.iter().position(|known| *known as u64 == depth))
                .map(Self::Book)
                .ok_or("Subscription depth not supported"),
            Some("ohlc") => number("interval", 1)
                .and_then(|minutes| INTERVALS.iter().position(|known| *known as u64 == minutes))
                .map(Self::Bars)
                .ok_or("Subscription ohlc interval not supported"),
            Some("ownTrades" | "openOrders") => Err("EGeneral:Permission denied"),
            _ => Err("Subscription name invalid"),
        }
    }

    fn channel_name(self) -> String {
        match self {
            Self::Trades => "trade".to_owned(),
            Self::Ticker => "ticker".to_owned(),
            Self::Spread => "spread".to_owned(),
            Self::Book(at) => format!("book-{}", DEPTHS[at]),
            Self::Bars(at) => format!("ohlc-{}", INTERVALS[at]),
        }
    }
}

/// Clients of the older protocol; whether each has subscribed to anything.
pub(super) struct V1 {
    clients: HashMap<u64, bool>,
    topics: Vec<Topics>,
    changes: [Levels; 2],
}

impl V1 {
    pub(super) fn new(instruments: usize) -> Self {
        Self {
            clients: HashMap::new(),
            topics: (0..instruments).map(|_| Topics::default()).collect(),
            changes: Default::default(),
        }
    }

    /// Whether this connection speaks the older protocol.
    pub(super) fn serves(&self, id: u64) -> bool {
        self.clients.contains_key(&id)
    }

    pub(super) fn open(&mut self, context: &mut Context<'_>, id: u64) {
        self.clients.insert(id, false);
        let text = format!(
            "{{\"connectionID\":{},\"event\":\"systemStatus\",\"status\":\"online\",\"version\":\"1.9.6\"}}",
            super::connection_id(id)
        );
        context.hub.text(id, Class::CONTROL, text);
    }

    pub(super) fn close(&mut self, id: u64) {
        if self.clients.remove(&id).is_none() {
            return;
        }
        for topics in &mut self.topics {
            for list in [&mut topics.trades, &mut topics.ticker, &mut topics.spread] {
                remove(list, &id);
            }
            topics.bars.retain(|(client, _)| *client != id);
            for depth in &mut topics.depths {
                remove(&mut depth.clients, &id);
            }
        }
    }

    pub(super) fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str) {
        let value = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        let request_id = value
            .get("reqid")
            .and_then(Value::as_u64)
            .map_or_else(String::new, |n| format!(",\"reqid\":{n}"));
        let begins = match value.get("event").and_then(Value::as_str) {
            Some("ping") => {
                let text = format!("{{\"event\":\"pong\"{request_id}}}");
                return context.hub.text(id, Class::CONTROL, text);
            }
            Some("subscribe") => true,
            Some("unsubscribe") => false,
            _ => {
                let text =
                    format!("{{\"errorMessage\":\"Malformed request\",\"event\":\"error\"{request_id}}}");
                return context.hub.text(id, Class::CONTROL, text);
            }
        };
        let subscription = value.get("subscription").unwrap_or(&Value::Null);
        let pairs = value.get("pair").and_then(Value::as_array);
        for pair in pairs
            .into_iter()
            .flatten()
            .map(|pair| pair.as_str().unwrap_or_default())
        {
            let found = (context.market.instruments.iter())
                .position(|i| ws_name(&i.spec) == pair)
                .ok_or("Currency pair not supported");
            let done = found.and_then(|index| {
                let topic = Topic::of(subscription)?;
                self.change(&context.market.instruments[index], index, topic, id, begins)?;
                Ok((index, topic))
            });
            let pair = quoted(pair);
            match done {
                Ok((index, topic)) => {
                    let name = topic.channel_name();
                    let status = if begins { "subscribed" } else { "unsubscribed" };
                    let ack = format!(
                        "{{\"channelID\":{},\"channelName\":\"{name}\",\"event\":\"subscriptionStatus\",\"pair\":{pair}{request_id},\
                         \"status\":\"{status}\",\"subscription\":{subscription}}}",
                        channel_id(topic, index),
                    );
                    context.hub.text(id, Class::CONTROL, ack);
                    if begins {
                        self.clients.insert(id, true);
                        self.greet(context, id, index, topic);
                    }
                }
                Err(why) => {
                    let text = format!(
                        "{{\"errorMessage\":\"{why}\",\"event\":\"subscriptionStatus\",\"pair\":{pair}{request_id},\
                         \"status\":\"error\",\"subscription\":{subscription}}}"
                    );
                    context.hub.text(id, Class::CONTROL, text);
                }
            }
        }
    }

    /// Puts a client on a list, or takes it off.
    fn change(
        &mut self,
        instrument: &Instrument,
        index: usize,
        topic: Topic,
        id: u64,
        begins: bool,
    ) -> Result<(), &'static str> {
        let topics = &mut self.topics[index];
        let toggle = |list: &mut Vec<u64>| {
            if begins { add(list, id) } else { remove(list, &id) }
        };
        let changed = match topic {
            Topic::Trades => toggle(&mut topics.trades),
            Topic::Ticker => toggle(&mut topics.ticker),
            Topic::Spread => toggle(&mut topics.spread),
            Topic::Bars(at) if begins => add(&mut topics.bars, (id, at)),
            Topic::Bars(at) => remove(&mut topics.bars, &(id, at)),
            Topic::Book(_) if begins => {
                let is_new = !topics.depths.iter().any(|depth| depth.clients.contains(&id));
                if let (Topic::Book(at), true) = (topic, is_new) {
                    topics.depths[at].join(instrument, DEPTHS[at], id);
                }
                is_new
            }
            Topic::Book(at) => remove(&mut topics.depths[at].clients, &id),
        };
        if changed {
            Ok(())
        } else if begins {
            Err("Already subscribed")
        } else {
            Err("Subscription Not Found")
        }
    }

    /// What a new subscriber gets at once.
    fn greet(&self, context: &mut Context<'_>, id: u64, index: usize, topic: Topic) {
        let instrument = &context.market.instruments[index];
        let (channel, payload) = match topic {
            Topic::Trades => return,
            Topic::Ticker => (Channel::Quotes, ticker_object(instrument, true)),
            Topic::Spread => (Channel::Quotes, spread(instrument)),
            Topic::Book(at) => (Channel::Book, snapshot(instrument, DEPTHS[at])),
            Topic::Bars(at) => match bar(instrument, INTERVALS[at], context.market.clock()) {
                Some(bar) => (Channel::Bars, bar),
                None => return,
            },
        };
        let text = enveloped(instrument, index, topic, &payload);
        context.hub.text(id, Class::of(channel, index), text);
    }

    pub(super) fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step, has_changes: bool) {
        if self.clients.is_empty() {
            return;
        }
        let topics = &mut self.topics[index];
        let instrument = &context.market.instruments[index];
        let mut send = |clients: &[u64], channel: Channel, topic: Topic, payload: &dyn Fn() -> String| {
            if !clients.is_empty() {
                let text = enveloped(instrument, index, topic, &payload());
                context.hub.fan(clients, Class::of(channel, index), text);
            }
        };
        if step.trades > 0 {
            topics.bars_due = true;
            send(&topics.trades, Channel::Trades, Topic::Trades, &|| {
                trades(instrument, step.trades)
            });
            send(&topics.ticker, Channel::Quotes, Topic::Ticker, &|| {
                ticker_object(instrument, true)
            });
        }
        if step.touch_changed {
            send(&topics.spread, Channel::Quotes, Topic::Spread, &|| {
                spread(instrument)
            });
        }
        if !has_changes {
            return;
        }
        for (at, depth) in topics.depths.iter_mut().enumerate() {
            if depth.clients.is_empty() {
                continue;
            }
            depth.advance(instrument, DEPTHS[at], &mut self.changes);
            if self.changes.iter().any(|levels| !levels.is_empty()) {
                send(&depth.clients, Channel::Book, Topic::Book(at), &|| {
                    update(instrument, &self.changes, step.ts)
                });
            }
        }
    }

    pub(super) fn timer(&mut self, context: &mut Context<'_>) {
        let now = context.market.now_ns;
        if now % (SECOND_NS / 10) == 0 {
            for (id, _) in self.clients.iter().filter(|(_, subscribed)| **subscribed) {
                if context.hub.is_idle(*id, SECOND_NS) {
                    context
                        .hub
                        .text(*id, Class::HEARTBEAT, "{\"event\":\"heartbeat\"}");
                }
            }
        }
        if now % SECOND_NS != 0 {
            return;
        }
        let clock = context.market.clock();
        for (index, topics) in self.topics.iter_mut().enumerate() {
            if !std::mem::take(&mut topics.bars_due) {
                continue;
            }
            let instrument = &context.market.instruments[index];
            for (id, at) in &topics.bars {
                if let Some(bar) = bar(instrument, INTERVALS[*at], clock) {
                    let text = enveloped(instrument, index, Topic::Bars(*at), &bar);
                    context.hub.text(*id, Class::of(Channel::Bars, index), text);
                }
            }
        }
    }
}

/// A number per channel and instrument; clients go by the names at the end of a message.
fn channel_id(topic: Topic, index: usize) -> usize {
    let kind = match topic {
        Topic::Trades => 0,
        Topic::Ticker => 1,
        Topic::Spread => 2,
        Topic::Book(at) => 3 + at,
        Topic::Bars(at) => 8 + at,
    };
    336 + 32 * index + kind
}

/// `[channel, payload, name, pair]`; the payload of a book that changed on both sides is two objects.
fn enveloped(instrument: &Instrument, index: usize, topic: Topic, payload: &str) -> String {
    format!(
        "[{},{payload},\"{}\",\"{}\"]",
        channel_id(topic, index),
        topic.channel_name(),
        ws_name(&instrument.spec)
    )
}

fn push_price(text: &mut String, instrument: &Instrument, ticks: i64) {
    instrument.spec.push_price_wide(text, ticks, PRICE_PLACES);
}

fn push_size(text: &mut String, instrument: &Instrument, lots: impl Into<i128>) {
    let spec = &instrument.spec;
    push_fixed(
        text,
        lots.into() * i128::from(spec.lot.mantissa),
        spec.lot.scale,
        SIZE_PLACES.max(spec.size_places),
    );
}

/// Seconds with six decimals.
fn push_stamp(text: &mut String, ns: i64) {
    push_fixed(text, i128::from(ns), 9, 6);
}

fn push_levels(
    text: &mut String,
    instrument: &Instrument,
    levels: impl Iterator<Item = (i64, i64)>,
    ts: i64,
) {
    for (n, (price, size)) in levels.enumerate() {
        text.push_str(if n == 0 { "[\"" } else { ",[\"" });
        push_price(text, instrument, price);
        text.push_str("\",\"");
        push_size(text, instrument, size);
        text.push_str("\",\"");
        push_stamp(text, ts);
        text.push_str("\"]");
    }
}

fn snapshot(instrument: &Instrument, depth: usize) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::with_capacity(depth * 100);
    for (side, name) in [(Side::Ask, "{\"as\":["), (Side::Bid, "],\"bs\":[")] {
        text.push_str(name);
        push_levels(&mut text, instrument, ladder.levels(side).take(depth), ts);
    }
    text.push_str("]}");
    text
}

/// One object for each side that changed, asks first; the last one has the checksum.
fn update(instrument: &Instrument, [bids, asks]: &[Levels; 2], ts: i64) -> String {
    let mut text = String::with_capacity(256);
    for (levels, name) in [(asks, "{\"a\":["), (bids, "{\"b\":[")] {
        if levels.is_empty() {
            continue;
        }
        text.push_str(if text.is_empty() { "" } else { "]}," });
        text.push_str(name);
        push_levels(&mut text, instrument, levels.iter().copied(), ts);
    }
    text.push_str("],\"c\":\"");
    push_uint(&mut text, u64::from(checksum_of(instrument, &instrument.ladder)));
    text.push_str("\"}");
    text
}

/// As in v2, over the digits as they are printed here.
fn checksum_of(instrument: &Instrument, ladder: &Ladder) -> u32 {
    let mut digits = String::with_capacity(512);
    let mut printed = String::with_capacity(32);
    let mut push = |printed: &str| {
        let mut leading = true;
        for digit in printed.chars().filter(char::is_ascii_digit) {
            leading &= digit == '0';
            if !leading {
                digits.push(digit);
            }
        }
    };
    for side in [Side::Ask, Side::Bid] {
        for (price, size) in ladder.levels(side).take(10) {
            printed.clear();
            push_price(&mut printed, instrument, price);
            push(&printed);
            printed.clear();
            push_size(&mut printed, instrument, size);
            push(&printed);
        }
    }
    crc32fast::hash(digits.as_bytes())
}

/// The newest `count` trades.
fn trades(instrument: &Instrument, count: usize) -> String {
    let mut text = String::from("[");
    for trade in instrument.trades.range(instrument.trades.len() - count..) {
        text.push_str(if text.len() == 1 { "[\"" } else { ",[\"" });
        push_price(&mut text, instrument, trade.price);
        text.push_str("\",\"");
        push_size(&mut text, instrument, trade.size);
        text.push_str("\",\"");
        push_stamp(&mut text, trade.ts);
        text.push_str(if trade.aggressor == Side::Bid {
            "\",\"b\",\""
        } else {
            "\",\"s\",\""
        });
        text.push_str(if trade.is_market() {
            "m\",\"\"]"
        } else {
            "l\",\"\"]"
        });
    }
    text.push(']');
    text
}

fn spread(instrument: &Instrument) -> String {
    let (bid, ask) = instrument.touch();
    let (bid, ask) = (bid.unwrap_or((0, 0)), ask.unwrap_or((0, 0)));
    let mut text = String::from("[\"");
    push_price(&mut text, instrument, bid.0);
    text.push_str("\",\"");
    push_price(&mut text, instrument, ask.0);
    text.push_str("\",\"");
    push_stamp(&mut text, instrument.last_ts);
    for (_, size) in [bid, ask] {
        text.push_str("\",\"");
        push_size(&mut text, instrument, size);
    }
    text.push_str("\"]");
    text
}

/// The bar that is running; `None` before its first trade.
fn bar(instrument: &Instrument, minutes: i64, now: i64) -> Option<String> {
    let interval_ns = minutes * 60 * SECOND_NS;
    let bar = instrument.bars(interval_ns, now, now + 1, false).pop()?;
    let mut text = String::from("[\"");
    push_stamp(&mut text, instrument.last_trade().map_or(bar.start_ns, |t| t.ts));
    text.push_str("\",\"");
    push_stamp(&mut text, bar.start_ns + interval_ns);
    for price in [bar.open, bar.high, bar.low, bar.close] {
        text.push_str("\",\"");
        push_price(&mut text, instrument, price);
    }
    text.push_str("\",\"");
    instrument.spec.push_vwap(&mut text, bar.notional, bar.volume);
    text.push_str("\",\"");
    push_size(&mut text, instrument, bar.volume);
    text.push_str("\",");
    push_uint(&mut text, bar.trades);
    text.push(']');
    Some(text)
}
