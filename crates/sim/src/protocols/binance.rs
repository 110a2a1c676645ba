//! Binance spot: market data streams and the public part of REST.
//! <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>

use super::kraken::{fill_until, push_percent};
use super::{Context, Feed, add, quoted};
use crate::http::{Request, Response};
use crate::hub::{Channel, Class};
use crate::market::{Instrument, Market, Minute, Step, Trade};
use crate::number::{push_fixed, push_int, push_uint};
use kernels::matching::{Change, Side};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const SECOND_NS: i64 = 1_000_000_000;
const MILLI_NS: i64 = 1_000_000;
/// Ticks of the timer between two diffs of `@depth@100ms`.
const FAST_TICKS: i64 = 10;
/// And of `@depth`.
const SLOW_TICKS: i64 = 100;
/// Client messages per second (pings, pongs and requests) beyond which the connection is ended.
const MESSAGES_PER_S: usize = 5;
const STREAMS_MAX: usize = 1_024;
const WEIGHT_PER_MINUTE: i64 = 6_000;

/// (name, minutes; seconds for `1s`).
const INTERVALS: [(&str, i64); 16] = [
    ("1s", 0),
    ("1m", 1),
    ("3m", 3),
    ("5m", 5),
    ("15m", 15),
    ("30m", 30),
    ("1h", 60),
    ("2h", 120),
    ("4h", 240),
    ("6h", 360),
    ("8h", 480),
    ("12h", 720),
    ("1d", 1_440),
    ("3d", 4_320),
    ("1w", 10_080),
    ("1M", 43_200),
];

/// One kind of stream of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Trade,
    AggTrade,
    /// Diffs each 100 ms, or each second.
    Diff {
        fast: bool,
    },
    /// The best levels each 100 ms, or each second.
    Partial {
        levels: usize,
        fast: bool,
    },
    BookTicker,
    /// Position in [`INTERVALS`].
    Kline(usize),
    MiniTicker,
    Ticker,
    AvgPrice,
}

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
    /// Request weight used in the minute that began then.
    weight: i64,
    weight_minute: i64,
}

impl Binance {
    pub fn new(instruments: usize) -> Self {
        let topics = (0..instruments).map(|_| Topics::default()).collect();
        Self {
            clients: HashMap::new(),
            topics,
            all_mini: Vec::new(),
            changes: Vec::new(),
            weight: 0,
            weight_minute: 0,
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
                let closed = context.market.now_ns % interval_ns(at) == 0;
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
        let market = &*context.market;
        let now = market.clock();
        let minute = market.now_ns / (60 * SECOND_NS);
        if minute != self.weight_minute {
            self.weight_minute = minute;
            self.weight = 0;
        }
        let path = request.path.trim_end_matches('/');
        self.weight += weight(path, request);
        if self.weight > WEIGHT_PER_MINUTE {
            let retry_after_s = 60 - (market.now_ns / SECOND_NS) % 60;
            return fail(
                429,
                -1003,
                "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.",
            )
            .with("retry-after", retry_after_s);
        }
        let response = match path {
            "/api/v3/ping" => Response::ok("{}"),
            "/api/v3/time" => Response::ok(format!("{{\"serverTime\":{}}}", now / MILLI_NS)),
            "/api/v3/exchangeInfo" => exchange_info(market, request, now),
            "/api/v3/depth" => with_symbol(market, request, |i| rest_depth(i, request)),
            "/api/v3/trades" => with_symbol(market, request, |i| rest_trades(i, request, false)),
            "/api/v3/historicalTrades" => with_symbol(market, request, |i| rest_trades(i, request, true)),
            "/api/v3/aggTrades" => with_symbol(market, request, |i| rest_aggregates(i, request)),
            "/api/v3/klines" | "/api/v3/uiKlines" => {
                with_symbol(market, request, |i| rest_klines(i, request, now))
            }
            "/api/v3/avgPrice" => with_symbol(market, request, |i| {
                let mut price = String::new();
                i.spec.push_price(&mut price, average(i, now));
                Response::ok(format!(
                    "{{\"mins\":5,\"price\":\"{price}\",\"closeTime\":{}}}",
                    now / MILLI_NS
                ))
            }),
            "/api/v3/ticker/24hr" | "/api/v3/ticker" | "/api/v3/ticker/tradingDay" => {
                with_symbols(market, request, |i| ticker_24h(i, now))
            }
            "/api/v3/ticker/price" => with_symbols(market, request, |i| {
                format!(
                    "{{\"symbol\":\"{}\",\"price\":\"{}\"}}",
                    i.spec.symbol,
                    i.spec.price_text(i.last_price())
                )
            }),
            "/api/v3/ticker/bookTicker" => with_symbols(market, request, rest_touch),
            _ => Response::json(404, "{\"code\":-1,\"msg\":\"Not Found\"}"),
        };
        response
            .with("x-mbx-used-weight", self.weight)
            .with("x-mbx-used-weight-1m", self.weight)
    }
}

fn channel_of(kind: Kind) -> Channel {
    match kind {
        Kind::Trade | Kind::AggTrade => Channel::Trades,
        Kind::Diff { .. } | Kind::Partial { .. } => Channel::Book,
        Kind::Kline(_) => Channel::Bars,
        Kind::BookTicker | Kind::MiniTicker | Kind::Ticker | Kind::AvgPrice => Channel::Quotes,
    }
}

/// What a stream name means. Symbols are in lower case here; other spellings mean nothing.
fn stream(market: &Market, name: &str) -> Option<(usize, Kind)> {
    let (symbol, rest) = name.split_once('@')?;
    let index = market
        .instruments
        .iter()
        .position(|i| i.spec.symbol.to_ascii_lowercase() == symbol)?;
    let (topic, speed) = rest.split_once('@').unwrap_or((rest, ""));
    let fast = match speed {
        "" | "1000ms" => false,
        "100ms" => true,
        _ => return None,
    };
    let kind = match topic {
        "trade" => Kind::Trade,
        "aggTrade" => Kind::AggTrade,
        "bookTicker" => Kind::BookTicker,
        "miniTicker" => Kind::MiniTicker,
        "ticker" => Kind::Ticker,
        "avgPrice" => Kind::AvgPrice,
        "depth" => Kind::Diff { fast },
        "depth5" => Kind::Partial { levels: 5, fast },
        "depth10" => Kind::Partial { levels: 10, fast },
        "depth20" => Kind::Partial { levels: 20, fast },
        _ => {
            let interval = topic.strip_prefix("kline_")?;
            Kind::Kline(INTERVALS.iter().position(|(name, _)| *name == interval)?)
        }
    };
    Some((index, kind))
}

/// Appends a time in milliseconds or microseconds.
fn push_stamp(text: &mut String, ns: i64, micros: bool) {
    push_int(text, ns.div_euclid(if micros { 1_000 } else { MILLI_NS }));
}

fn trade_message(instrument: &Instrument, at: usize, micros: bool) -> String {
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
fn aggregate_fields(instrument: &Instrument, at: usize, micros: bool) -> String {
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

fn aggregate_message(instrument: &Instrument, at: usize, micros: bool) -> String {
    let mut text = String::from("{\"e\":\"aggTrade\",\"E\":");
    push_stamp(&mut text, instrument.trades[at].ts, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    text.push_str("\",");
    text.push_str(&aggregate_fields(instrument, at, micros));
    text.push('}');
    text
}

fn push_pair(text: &mut String, instrument: &Instrument, price: i64, size: i64) {
    text.push_str(if text.ends_with(']') { ",[\"" } else { "[\"" });
    instrument.spec.push_price(text, price);
    text.push_str("\",\"");
    instrument.spec.push_size(text, size);
    text.push_str("\"]");
}

fn diff(instrument: &Instrument, from: u64, changes: &[Change], ts: i64, micros: bool) -> String {
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

fn partial(instrument: &Instrument, levels: usize) -> String {
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

fn touch_message(instrument: &Instrument) -> String {
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

fn push_touch(text: &mut String, instrument: &Instrument, names: [&str; 4]) {
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

fn interval_ns(at: usize) -> i64 {
    match INTERVALS[at].1 {
        0 => SECOND_NS,
        minutes => minutes * 60 * SECOND_NS,
    }
}

/// Bars of an interval that begin in [from, to), flat ones where nothing traded.
fn bars_of(instrument: &Instrument, at: usize, from: i64, to: i64) -> Vec<Minute> {
    let interval = interval_ns(at);
    if INTERVALS[at].1 > 0 {
        return instrument.bars(interval, from, to, true);
    }
    // Seconds are made of the trades that are still kept.
    let mut bars: Vec<Minute> = Vec::new();
    let begin = instrument.trades.partition_point(|t| t.ts < from);
    for trade in instrument.trades.range(begin..) {
        let start_ns = trade.ts.div_euclid(interval) * interval;
        if start_ns >= to {
            break;
        }
        fill_until(&mut bars, start_ns - interval, interval);
        let bar = Minute::of(start_ns, trade);
        match bars.last_mut() {
            Some(last) if last.start_ns == start_ns => last.merge(&bar),
            _ => bars.push(bar),
        }
    }
    bars
}

fn kline_message(instrument: &Instrument, at: usize, now: i64, closed: bool, micros: bool) -> String {
    let spec = &instrument.spec;
    let interval = interval_ns(at);
    let start_ns = if closed {
        now - now.rem_euclid(interval) - interval
    } else {
        now - now.rem_euclid(interval)
    };
    let price = instrument.last_price();
    let flat = Minute {
        start_ns,
        open: price,
        high: price,
        low: price,
        close: price,
        ..Minute::default()
    };
    let bar = bars_of(instrument, at, start_ns, start_ns + interval)
        .pop()
        .unwrap_or(flat);
    let mut text = String::from("{\"e\":\"kline\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(&format!(",\"s\":\"{}\",\"k\":{{\"t\":", spec.symbol));
    push_stamp(&mut text, bar.start_ns, micros);
    text.push_str(",\"T\":");
    push_stamp(
        &mut text,
        bar.start_ns + interval - if micros { 1_000 } else { MILLI_NS },
        micros,
    );
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

fn mini_ticker(instrument: &Instrument, now: i64, micros: bool) -> String {
    let mut text = String::from("{\"e\":\"24hrMiniTicker\",\"E\":");
    push_stamp(&mut text, now, micros);
    text.push_str(",\"s\":\"");
    text.push_str(&instrument.spec.symbol);
    push_day(&mut text, instrument, &instrument.day());
    text.push('}');
    text
}

fn ticker(instrument: &Instrument, now: i64, micros: bool) -> String {
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

fn push_average(text: &mut String, instrument: &Instrument, bar: &Minute) {
    let mantissa = if bar.volume == 0 {
        0
    } else {
        bar.notional * i128::from(instrument.spec.tick.mantissa) * 1_000_000 / bar.volume
    };
    push_fixed(text, mantissa, instrument.spec.tick.scale + 6, 8);
}

/// Mean price of the last five minutes, ticks.
fn average(instrument: &Instrument, now: i64) -> i64 {
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

fn average_message(instrument: &Instrument, now: i64, micros: bool) -> String {
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

fn weight(path: &str, request: &Request) -> i64 {
    match path {
        "/api/v3/depth" => match request.number("limit", 1, 100, 5_000).unwrap_or(100) {
            ..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        "/api/v3/trades" | "/api/v3/historicalTrades" => 25,
        "/api/v3/exchangeInfo" => 20,
        "/api/v3/aggTrades" => 4,
        "/api/v3/klines" | "/api/v3/uiKlines" | "/api/v3/avgPrice" => 2,
        "/api/v3/ticker/24hr" if request.param("symbol").is_none() => 80,
        path if path.starts_with("/api/v3/ticker") => 4,
        _ => 1,
    }
}

fn fail(status: u16, code: i32, why: &str) -> Response {
    Response::json(status, format!("{{\"code\":{code},\"msg\":{}}}", quoted(why)))
}

fn bad_parameter(name: &str) -> Response {
    fail(
        400,
        -1100,
        &format!("Illegal characters found in parameter '{name}'; legal range is documented."),
    )
}

fn with_symbol(market: &Market, request: &Request, answer: impl FnOnce(&Instrument) -> Response) -> Response {
    let Some(symbol) = request.param("symbol") else {
        return fail(
            400,
            -1102,
            "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
        );
    };
    match market.find(symbol) {
        Some(index) => answer(&market.instruments[index]),
        None => fail(400, -1121, "Invalid symbol."),
    }
}

/// One object for `symbol`, a list for `symbols` or for neither.
fn with_symbols(market: &Market, request: &Request, entry: impl Fn(&Instrument) -> String) -> Response {
    if request.param("symbol").is_some() {
        return with_symbol(market, request, |i| Response::ok(entry(i)));
    }
    match chosen(market, request) {
        Err(response) => response,
        Ok(instruments) => {
            let entries: Vec<String> = instruments.into_iter().map(entry).collect();
            Response::ok(format!("[{}]", entries.join(",")))
        }
    }
}

/// The instruments of `symbols=["A","B"]`, or all.
fn chosen<'a>(market: &'a Market, request: &Request) -> Result<Vec<&'a Instrument>, Response> {
    let Some(symbols) = request.param("symbols") else {
        return Ok(market.instruments.iter().collect());
    };
    let Ok(symbols) = serde_json::from_str::<Vec<String>>(symbols) else {
        return Err(bad_parameter("symbols"));
    };
    symbols
        .iter()
        .map(|s| {
            market
                .find(s)
                .map(|i| &market.instruments[i])
                .ok_or_else(|| fail(400, -1121, "Invalid symbol."))
        })
        .collect()
}

fn exchange_info(market: &Market, request: &Request, now: i64) -> Response {
    let instruments = if let Some(symbol) = request.param("symbol") {
        match market.find(symbol) {
            Some(index) => vec![&market.instruments[index]],
            None => return fail(400, -1121, "Invalid symbol."),
        }
    } else {
        match chosen(market, request) {
            Ok(instruments) => instruments,
            Err(response) => return response,
        }
    };
    let symbols: Vec<String> = instruments.into_iter().map(symbol_info).collect();
    Response::ok(format!(
        "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[\
         {{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":6000}},\
         {{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,\"limit\":61000}}],\
         \"exchangeFilters\":[],\"symbols\":[{}],\"sors\":[]}}",
        now / MILLI_NS,
        symbols.join(",")
    ))
}

fn symbol_info(instrument: &Instrument) -> String {
    let spec = &instrument.spec;
    let (tick, lot) = (spec.price_text(1), spec.size_text(1));
    let mut largest = String::new();
    spec.push_size(&mut largest, i128::from(spec.max_lots) * 100);
    format!(
        "{{\"symbol\":\"{}\",\"status\":\"TRADING\",\"baseAsset\":\"{}\",\"baseAssetPrecision\":8,\"quoteAsset\":\"{}\",\
         \"quotePrecision\":8,\"quoteAssetPrecision\":8,\"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,\
         \"orderTypes\":[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\"],\"icebergAllowed\":true,\"ocoAllowed\":true,\
         \"otoAllowed\":true,\"quoteOrderQtyMarketAllowed\":true,\"allowTrailingStop\":false,\
         \"cancelReplaceAllowed\":true,\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":[\
         {{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"1000000.00000000\",\"tickSize\":\"{tick}\"}},\
         {{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{lot}\",\"maxQty\":\"{largest}\",\"stepSize\":\"{lot}\"}},\
         {{\"filterType\":\"ICEBERG_PARTS\",\"limit\":10}},\
         {{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"0.00000000\",\"maxQty\":\"{largest}\",\"stepSize\":\"0.00000000\"}},\
         {{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\",\"applyMinToMarket\":true,\
         \"maxNotional\":\"9000000.00000000\",\"applyMaxToMarket\":false,\"avgPriceMins\":5}},\
         {{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200}}],\"permissions\":[],\"permissionSets\":[[\"SPOT\"]],\
         \"defaultSelfTradePreventionMode\":\"EXPIRE_MAKER\",\"allowedSelfTradePreventionModes\":[\"EXPIRE_MAKER\"]}}",
        spec.symbol, spec.base, spec.quote
    )
}

fn rest_depth(instrument: &Instrument, request: &Request) -> Response {
    let Some(limit) = request.number("limit", 1, 100, i64::MAX) else {
        return bad_parameter("limit");
    };
    let (ladder, update, _) = instrument.snapshot();
    let mut text = String::with_capacity(16_384);
    text.push_str("{\"lastUpdateId\":");
    push_uint(&mut text, update);
    for (side, name) in [(Side::Bid, ",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (price, size) in ladder.levels(side).take(limit.min(5_000) as usize) {
            push_pair(&mut text, instrument, price, size);
        }
    }
    text.push_str("]}");
    Response::ok(text)
}

fn rest_trades(instrument: &Instrument, request: &Request, historical: bool) -> Response {
    let limit = request.number("limit", 1, 500, 1_000);
    let from_id = request.number("fromId", 0, -1, i64::MAX);
    let (Some(limit), Some(from_id)) = (limit, from_id) else {
        return bad_parameter("limit");
    };
    let limit = limit as usize;
    let from = if historical && from_id >= 0 {
        instrument.trade_at(from_id as u64)
    } else {
        instrument.trades.len().saturating_sub(limit)
    };
    let spec = &instrument.spec;
    let mut text = String::from("[");
    for trade in instrument.trades.range(from..).take(limit) {
        text.push_str(if text.len() == 1 { "{\"id\":" } else { ",{\"id\":" });
        push_uint(&mut text, trade.id);
        text.push_str(",\"price\":\"");
        spec.push_price(&mut text, trade.price);
        text.push_str("\",\"qty\":\"");
        spec.push_size(&mut text, trade.size);
        text.push_str("\",\"quoteQty\":\"");
        spec.push_notional(&mut text, i128::from(trade.price) * i128::from(trade.size), 8);
        text.push_str("\",\"time\":");
        push_stamp(&mut text, trade.ts, false);
        text.push_str(if trade.aggressor == Side::Ask {
            ",\"isBuyerMaker\":true"
        } else {
            ",\"isBuyerMaker\":false"
        });
        text.push_str(",\"isBestMatch\":true}");
    }
    text.push(']');
    Response::ok(text)
}

fn rest_aggregates(instrument: &Instrument, request: &Request) -> Response {
    let (Some(limit), Some(from_id), Some(start), Some(end)) = (
        request.number("limit", 1, 500, 1_000),
        request.number("fromId", 0, -1, i64::MAX),
        request.number("startTime", 0, -1, i64::MAX / MILLI_NS),
        request.number("endTime", 0, -1, i64::MAX / MILLI_NS),
    ) else {
        return bad_parameter("limit");
    };
    let trades = &instrument.trades;
    let end_at = if end >= 0 {
        trades.partition_point(|t| t.ts < (end + 1) * MILLI_NS)
    } else {
        trades.len()
    };
    let begin = if from_id >= 0 {
        Some(trades.partition_point(|t| t.aggregate < from_id as u64))
    } else if start >= 0 {
        Some(trades.partition_point(|t| t.ts < start * MILLI_NS))
    } else {
        None
    };
    // Positions of the last trade of each aggregate.
    let is_last = |at: &usize| {
        trades
            .get(at + 1)
            .is_none_or(|next| next.aggregate != trades[*at].aggregate)
    };
    let limit = limit as usize;
    let mut chosen: Vec<usize> = match begin {
        Some(begin) => (begin..end_at).filter(is_last).take(limit).collect(),
        None => (0..end_at).rev().filter(is_last).take(limit).collect(),
    };
    chosen.sort_unstable();
    let rows: Vec<String> = chosen
        .into_iter()
        .map(|at| format!("{{{}}}", aggregate_fields(instrument, at, false)))
        .collect();
    Response::ok(format!("[{}]", rows.join(",")))
}

fn rest_klines(instrument: &Instrument, request: &Request, now: i64) -> Response {
    let interval = request
        .param("interval")
        .and_then(|name| INTERVALS.iter().position(|(n, _)| *n == name));
    let Some(at) = interval else {
        return fail(400, -1120, "Invalid interval.");
    };
    let (Some(limit), Some(start), Some(end)) = (
        request.number("limit", 1, 500, 1_000),
        request.number("startTime", 0, -1, i64::MAX / MILLI_NS),
        request.number("endTime", 0, -1, i64::MAX / MILLI_NS),
    ) else {
        return bad_parameter("limit");
    };
    let interval = interval_ns(at);
    let end_ns = if end >= 0 { (end * MILLI_NS).min(now) } else { now };
    let from_ns = if start >= 0 {
        start * MILLI_NS
    } else {
        end_ns - (limit - 1) * interval
    };
    // A bar belongs to the window by its open time.
    let first = if start >= 0 {
        from_ns + (interval - from_ns.rem_euclid(interval)) % interval
    } else {
        from_ns
    };
    let mut bars = bars_of(instrument, at, first, end_ns + 1);
    fill_until(&mut bars, end_ns.div_euclid(interval) * interval, interval);
    let spec = &instrument.spec;
    let mut text = String::from("[");
    for bar in bars.iter().take(limit as usize) {
        text.push_str(if text.len() == 1 { "[" } else { ",[" });
        push_stamp(&mut text, bar.start_ns, false);
        for ticks in [bar.open, bar.high, bar.low, bar.close] {
            text.push_str(",\"");
            spec.push_price(&mut text, ticks);
            text.push('"');
        }
        text.push_str(",\"");
        spec.push_size(&mut text, bar.volume);
        text.push_str("\",");
        push_stamp(&mut text, bar.start_ns + interval - MILLI_NS, false);
        text.push_str(",\"");
        spec.push_notional(&mut text, bar.notional, 8);
        text.push_str("\",");
        push_uint(&mut text, bar.trades);
        text.push_str(",\"");
        spec.push_size(&mut text, bar.buy_volume);
        text.push_str("\",\"");
        spec.push_notional(&mut text, bar.buy_notional, 8);
        text.push_str("\",\"0\"]");
    }
    text.push(']');
    Response::ok(text)
}

fn ticker_24h(instrument: &Instrument, now: i64) -> String {
    let spec = &instrument.spec;
    let day = instrument.day();
    let last = instrument.last_price();
    let mut text = format!("{{\"symbol\":\"{}\",\"priceChange\":\"", spec.symbol);
    spec.push_price(&mut text, last - day.open);
    text.push_str("\",\"priceChangePercent\":\"");
    push_percent(&mut text, last - day.open, day.open, 3);
    text.push_str("\",\"weightedAvgPrice\":\"");
    push_average(&mut text, instrument, &day);
    for (name, ticks) in [
        ("\",\"prevClosePrice\":\"", day.open),
        ("\",\"lastPrice\":\"", last),
        ("\",\"openPrice\":\"", day.open),
        ("\",\"highPrice\":\"", day.high),
        ("\",\"lowPrice\":\"", day.low),
    ] {
        text.push_str(name);
        spec.push_price(&mut text, ticks);
    }
    text.push_str("\",\"lastQty\":\"");
    spec.push_size(&mut text, instrument.last_trade().map_or(0, |t| t.size));
    push_touch(
        &mut text,
        instrument,
        [
            "\",\"bidPrice\":\"",
            "\",\"bidQty\":\"",
            "\",\"askPrice\":\"",
            "\",\"askQty\":\"",
        ],
    );
    text.push_str("\",\"volume\":\"");
    spec.push_size(&mut text, day.volume);
    text.push_str("\",\"quoteVolume\":\"");
    spec.push_notional(&mut text, day.notional, 8);
    text.push_str(&format!(
        "\",\"openTime\":{},\"closeTime\":{},\"firstId\":{},\"lastId\":{},\"count\":{}}}",
        (now - 86_400 * SECOND_NS) / MILLI_NS,
        now / MILLI_NS,
        day.first_id,
        day.last_id,
        day.trades
    ));
    text
}

fn rest_touch(instrument: &Instrument) -> String {
    let mut text = format!("{{\"symbol\":\"{}", instrument.spec.symbol);
    push_touch(
        &mut text,
        instrument,
        [
            "\",\"bidPrice\":\"",
            "\",\"bidQty\":\"",
            "\",\"askPrice\":\"",
            "\",\"askQty\":\"",
        ],
    );
    text.push_str("\"}");
    text
}
