//! Binance spot: who takes which stream, what a client may send, and when something is sent to it. Names of
//! streams are in [`stream`], payloads in [`message`], REST in [`rest`].
//! <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>

mod message;
mod rest;
mod stream;

use super::{Context, Feed, SECOND_NS, add, quoted};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class};
use crate::market::{Instrument, Market, Step};
use kernels::matching::Change;
use message::{
    aggregate_message, average_message, diff, kline_message, mini_ticker, partial, push_stamp, ticker,
    touch_message, trade_message,
};
use rest::Meter;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use stream::{INTERVALS, Kind, bar_start, channel_of, stream};

const MILLI_NS: i64 = 1_000_000;
/// Ticks of the timer between two diffs of `@depth@100ms`.
const FAST_TICKS: i64 = 10;
/// And of `@depth`.
const SLOW_TICKS: i64 = 100;
/// Client messages per second (pings, pongs and requests) beyond which the connection is ended.
const MESSAGES_PER_S: usize = 5;
const STREAMS_MAX: usize = 1_024;

struct Client {
    /// Stream names as the client spells them, in the order of subscription.
    streams: Vec<String>,
    combined: bool,
    micros: bool,
    /// Venue times of the newest client messages.
    recent: Vec<i64>,
}

/// Who takes one stream.
struct Listener {
    id: u64,
    name: String,
}

#[derive(Default)]
struct Topics {
    listeners: BTreeMap<Kind, Vec<Listener>>,
    /// Last update id sent in the diffs each second, and the changes since.
    slow_from: u64,
    slow: Vec<Change>,
    /// A trade happened since the bars, and since the tickers were sent.
    kline_due: bool,
    ticker_due: bool,
}

pub struct Binance {
    clients: HashMap<u64, Client>,
    topics: Vec<Topics>,
    /// Takers of `!miniTicker@arr`.
    all_mini: Vec<Listener>,
    changes: Vec<Change>,
    meter: Meter,
}

impl Binance {
    pub fn new(instruments: usize) -> Self {
        let topics = (0..instruments).map(|_| Topics::default()).collect();
        Self {
            clients: HashMap::new(),
            topics,
            all_mini: Vec::new(),
            changes: Vec::new(),
            meter: Meter::default(),
        }
    }

    /// A name that means nothing is taken and stays silent, as on the venue.
    fn subscribe(&mut self, market: &Market, id: u64, name: &str) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if !add(&mut client.streams, name.to_owned()) {
            return;
        }
        let listener = Listener {
            id,
            name: name.to_owned(),
        };
        if name == "!miniTicker@arr" {
            self.all_mini.push(listener);
        } else if let Some((index, kind)) = stream(market, name) {
            if kind == (Kind::Diff { fast: false }) && !self.topics[index].listeners.contains_key(&kind) {
                self.topics[index].slow.clear();
                self.topics[index].slow_from = market.instruments[index].published_update;
            }
            self.topics[index]
                .listeners
                .entry(kind)
                .or_default()
                .push(listener);
        }
    }

    fn unsubscribe(&mut self, market: &Market, id: u64, name: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.streams.retain(|s| s != name);
        }
        self.all_mini.retain(|l| l.id != id || l.name != name);
        if let Some((index, kind)) = stream(market, name)
            && let Some(listeners) = self.topics[index].listeners.get_mut(&kind)
        {
            listeners.retain(|l| l.id != id || l.name != name);
            if listeners.is_empty() {
                self.topics[index].listeners.remove(&kind);
            }
        }
    }

    /// Sends one payload to everybody who takes the stream. `make` prints it with times in microseconds or not.
    fn publish(
        &self,
        context: &mut Context<'_>,
        index: usize,
        kind: Kind,
        make: impl Fn(&Instrument, bool) -> String,
    ) {
        let Some(listeners) = self.topics[index].listeners.get(&kind) else {
            return;
        };
        let class = Class::of(channel_of(kind), index);
        self.publish_to(context, listeners, class, |market, micros| {
            make(&market.instruments[index], micros)
        });
    }

    fn publish_to(
        &self,
        context: &mut Context<'_>,
        listeners: &[Listener],
        class: Class,
        make: impl Fn(&Market, bool) -> String,
    ) {
        let mut made: [Option<String>; 2] = [None, None];
        for listener in listeners {
            let Some(client) = self.clients.get(&listener.id) else {
                continue;
            };
            let payload =
                made[usize::from(client.micros)].get_or_insert_with(|| make(context.market, client.micros));
            let text = if client.combined {
                format!("{{\"stream\":\"{}\",\"data\":{payload}}}", listener.name)
            } else {
                payload.clone()
            };
            context.hub.text(listener.id, class, text);
        }
    }

    fn publish_depth(&mut self, context: &mut Context<'_>, index: usize, tick: i64) {
        let now = context.market.clock();
        let ts = now - now.rem_euclid(MILLI_NS);
        let from = context.market.instruments[index].published_update + 1;
        let mut changes = std::mem::take(&mut self.changes);
        context
            .market
            .publish_batch(index, ts, false, &mut changes, context.truth);
        if !changes.is_empty() {
            self.publish(context, index, Kind::Diff { fast: true }, |i, micros| {
                diff(i, from, &changes, ts, micros)
            });
            for levels in [5, 10, 20] {
                self.publish(context, index, Kind::Partial { levels, fast: true }, |i, _| {
                    partial(i, levels)
                });
            }
        }
        let topics = &mut self.topics[index];
        if topics.listeners.contains_key(&Kind::Diff { fast: false }) {
            for change in &changes {
                topics
                    .slow
                    .retain(|c| (c.side, c.price) != (change.side, change.price));
                topics.slow.push(*change);
            }
        }
        if tick % SLOW_TICKS == index as i64 * 2 % FAST_TICKS {
            let slow = std::mem::take(&mut self.topics[index].slow);
            let from = self.topics[index].slow_from + 1;
            self.topics[index].slow_from = context.market.instruments[index].published_update;
            if !slow.is_empty() {
                self.publish(context, index, Kind::Diff { fast: false }, |i, micros| {
                    diff(i, from, &slow, ts, micros)
                });
            }
            for levels in [5, 10, 20] {
                self.publish(context, index, Kind::Partial { levels, fast: false }, |i, _| {
                    partial(i, levels)
                });
            }
        }
        self.changes = changes;
    }

    /// Counts a client message; false when the client has sent too many.
    fn count(&mut self, context: &mut Context<'_>, id: u64) -> bool {
        let now = context.market.now_ns;
        let Some(client) = self.clients.get_mut(&id) else {
            return false;
        };
        client.recent.retain(|at| now - at < SECOND_NS);
        client.recent.push(now);
        if client.recent.len() > MESSAGES_PER_S {
            context.hub.shut(id, 1008, "Too many requests");
            return false;
        }
        true
    }
}

impl Feed for Binance {
    fn open(&mut self, context: &mut Context<'_>, id: u64, request: &Request) {
        let combined = request.path.trim_end_matches('/') == "/stream";
        let micros = request
            .param("timeUnit")
            .is_some_and(|u| u.eq_ignore_ascii_case("microsecond"));
        self.clients.insert(
            id,
            Client {
                streams: Vec::new(),
                combined,
                micros,
                recent: Vec::new(),
            },
        );
        let names = if combined {
            request.param("streams").unwrap_or_default().to_owned()
        } else {
            request.path.strip_prefix("/ws/").unwrap_or_default().to_owned()
        };
        for name in names.split('/').filter(|name| !name.is_empty()).take(STREAMS_MAX) {
            self.subscribe(context.market, id, name);
        }
    }

    fn close(&mut self, id: u64) {
        self.clients.remove(&id);
        self.all_mini.retain(|l| l.id != id);
        for topics in &mut self.topics {
            topics.listeners.retain(|_, listeners| {
                listeners.retain(|l| l.id != id);
                !listeners.is_empty()
            });
        }
    }

    fn control(&mut self, context: &mut Context<'_>, id: u64) {
        self.count(context, id);
    }

    fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str) {
        if !self.count(context, id) {
            return;
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            let error = format!(
                "{{\"code\":3,\"msg\":{}}}",
                quoted("Invalid JSON: expected value at line 1 column 1")
            );
            return context.hub.text(id, Class::CONTROL, error);
        };
        let request_id = value.get("id").cloned().unwrap_or(Value::Null);
        let fail =
            |code: u32, why: &str| format!("{{\"code\":{code},\"msg\":{},\"id\":{request_id}}}", quoted(why));
        let done = format!("{{\"result\":null,\"id\":{request_id}}}");
        let params = value.get("params").and_then(Value::as_array);
        let names: Option<Vec<&str>> = params.and_then(|p| p.iter().map(Value::as_str).collect());
        let answer = match value.get("method").and_then(Value::as_str) {
            Some("SUBSCRIBE") => match names {
                None => fail(2, "Invalid request: missing field `params`"),
                Some(names) => {
                    let held = self.clients.get(&id).map_or(0, |c| c.streams.len());
                    if held + names.len() > STREAMS_MAX {
                        fail(2, "Invalid request: too many streams")
                    } else {
                        for name in names {
                            self.subscribe(context.market, id, name);
                        }
                        done
                    }
                }
            },
            Some("UNSUBSCRIBE") => match names {
                None => fail(2, "Invalid request: missing field `params`"),
                Some(names) => {
                    for name in names {
                        self.unsubscribe(context.market, id, name);
                    }
                    done
                }
            },
            Some("LIST_SUBSCRIPTIONS") => {
                let streams = self
                    .clients
                    .get(&id)
                    .map(|c| c.streams.clone())
                    .unwrap_or_default();
                format!("{{\"result\":{},\"id\":{request_id}}}", Value::from(streams))
            }
            Some("SET_PROPERTY") => match params.map(Vec::as_slice) {
                Some([Value::String(name), Value::Bool(on)]) if name == "combined" => {
                    if let Some(client) = self.clients.get_mut(&id) {
                        client.combined = *on;
                    }
                    done
                }
                Some([Value::String(name), _]) if name == "combined" => {
                    fail(1, "Invalid value type: expected Boolean")
                }
                _ => fail(0, "Unknown property"),
            },
            Some("GET_PROPERTY") => {
                let combined = self.clients.get(&id).is_some_and(|c| c.combined);
                format!("{{\"result\":{combined},\"id\":{request_id}}}")
            }
            Some(other) => fail(
                2,
                &format!(
                    "Invalid request: unknown variant {other}, expected one of SUBSCRIBE, UNSUBSCRIBE, \
                     LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"
                ),
            ),
            None => fail(2, "Invalid request: missing field `method`"),
        };
        context.hub.text(id, Class::CONTROL, answer);
    }

    fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step) {
        context.market.defer_step(index);
        if step.trades > 0 {
            context.market.published.trades += step.trades as u64;
            let topics = &mut self.topics[index];
            topics.kline_due = true;
            topics.ticker_due = true;
            let has_trades = topics.listeners.contains_key(&Kind::Trade);
            let has_aggregates = topics.listeners.contains_key(&Kind::AggTrade);
            let from = context.market.instruments[index].trades.len() - step.trades;
            for at in from..from + step.trades {
                if has_trades {
                    self.publish(context, index, Kind::Trade, |i, micros| {
                        trade_message(i, at, micros)
                    });
                }
                let trades = &context.market.instruments[index].trades;
                let ends = trades
                    .get(at + 1)
                    .is_none_or(|next| next.aggregate != trades[at].aggregate);
                if has_aggregates && ends {
                    self.publish(context, index, Kind::AggTrade, |i, micros| {
                        aggregate_message(i, at, micros)
                    });
                }
            }
        }
        if step.touch_changed {
            context.market.published.quotes += 1;
            self.publish(context, index, Kind::BookTicker, |i, _| touch_message(i));
        }
    }

    fn timer(&mut self, context: &mut Context<'_>) {
        let tick = context.market.now_ns / super::TIMER_NS;
        for index in 0..self.topics.len() {
            // Symbols take turns, so that not all diffs come in the same millisecond.
            if tick % FAST_TICKS == index as i64 * 2 % FAST_TICKS {
                self.publish_depth(context, index, tick);
            }
        }
        if tick % SLOW_TICKS != 0 {
            return;
        }
        let now = context.market.clock();
        for index in 0..self.topics.len() {
            // Running bars come each two seconds, seconds and bars that end at their end.
            let running = tick % (2 * SLOW_TICKS) == 0 && std::mem::take(&mut self.topics[index].kline_due);
            for at in 0..INTERVALS.len() {
                let closed = bar_start(at, context.market.now_ns) == context.market.now_ns;
                if (closed || running) && self.topics[index].listeners.contains_key(&Kind::Kline(at)) {
                    self.publish(context, index, Kind::Kline(at), |i, micros| {
                        kline_message(i, at, now, closed, micros)
                    });
                }
            }
            if std::mem::take(&mut self.topics[index].ticker_due) {
                self.publish(context, index, Kind::MiniTicker, |i, micros| {
                    mini_ticker(i, now, micros)
                });
                self.publish(context, index, Kind::Ticker, |i, micros| ticker(i, now, micros));
                self.publish(context, index, Kind::AvgPrice, |i, micros| {
                    average_message(i, now, micros)
                });
            }
        }
        if !self.all_mini.is_empty() {
            let class = Class {
                channel: Channel::Quotes,
                instrument: None,
            };
            self.publish_to(context, &self.all_mini, class, |market, micros| {
                let all: Vec<String> = market
                    .instruments
                    .iter()
                    .map(|i| mini_ticker(i, now, micros))
                    .collect();
                format!("[{}]", all.join(","))
            });
        }
    }

    fn announce_end(&mut self, context: &mut Context<'_>) {
        let now = context.market.clock();
        for (id, client) in &self.clients {
            let mut payload = String::from("{\"e\":\"serverShutdown\",\"E\":");
            push_stamp(&mut payload, now, client.micros);
            payload.push('}');
            let text = if client.combined {
                format!("{{\"stream\":\"!serverShutdown\",\"data\":{payload}}}")
            } else {
                payload
            };
            context.hub.text(*id, Class::CONTROL, text);
        }
    }

    fn get(&mut self, context: &mut Context<'_>, request: &Request) -> Response {
        self.meter.answer(context.market, request)
    }
}
