//! Streams: `T`, `Q`, `A` and `AM` of stocks; `XT`, `XQ`, `XAS` and `XA` of crypto. One connection per cluster:
//! a newer one evicts the older.

use super::rest::{sequence, vwap};
use super::{Scene, assets, conditions, exchange, is_free, is_valid, tape};
use crate::http::Request;
use crate::hub::{Channel, Class};
use crate::providers::bar::{Bar, Bars, Interval, Unit};
use crate::providers::calendar::SECOND_NS;
use crate::providers::fault::Kind;
use crate::providers::live::{Event, Wanted, events};
use crate::providers::web::send_arrays;
use crate::providers::world::{Asset, Class as AssetClass, OFF_EXCHANGE, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For a client to say its key.
const AUTH_TIME: Duration = Duration::from_secs(10);
const MILLI_NS: i64 = 1_000_000;

struct Client {
    /// Stocks or crypto.
    is_crypto: bool,
    is_known: bool,
    opened: Instant,
    /// Channel and symbol, or `*`: `("T", "AAPL")`.
    topics: Vec<(String, String)>,
}

impl Client {
    fn wants(&self, channel: &str, symbol: &str) -> bool {
        self.topics
            .iter()
            .any(|(c, s)| c == channel && (s == symbol || s == "*"))
    }
}

#[derive(Default)]
pub struct Streams(BTreeMap<u64, Client>);

fn say(scene: &mut Scene<'_>, id: u64, status: &str, message: &str) {
    let text = format!(
        "[{{\"ev\":\"status\",\"status\":\"{status}\",\"message\":{}}}]",
        json!(message)
    );
    scene.hub.text(id, Class::CONTROL, text);
}

impl Streams {
    pub fn open(&mut self, scene: &mut Scene<'_>, id: u64, request: &Request) {
        let is_crypto = match request.path.trim_matches('/') {
            "stocks" => false,
            "crypto" => true,
            _ => {
                return scene
                    .hub
                    .shut(id, 1008, "no such cluster; have: /stocks, /crypto");
            }
        };
        let client = Client {
            is_crypto,
            is_known: false,
            opened: Instant::now(),
            topics: Vec::new(),
        };
        self.0.insert(id, client);
        say(scene, id, "connected", "Connected Successfully");
    }

    pub fn close(&mut self, id: u64) {
        self.0.remove(&id);
    }

    pub fn message(&mut self, scene: &mut Scene<'_>, id: u64, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let params = message["params"].as_str().unwrap_or("").to_owned();
        let Some(client) = self.0.get_mut(&id) else { return };
        match message["action"].as_str() {
            Some("auth") => self.auth(scene, id, &params),
            Some("subscribe" | "unsubscribe") if !client.is_known => {
                say(scene, id, "not_authorized", "You must authenticate first");
            }
            Some("subscribe") => {
                for param in params.split(',').map(str::trim).filter(|param| !param.is_empty()) {
                    let names: &[&str] = if client.is_crypto {
                        &["XT", "XQ", "XA", "XAS"]
                    } else {
                        &["T", "Q", "A", "AM"]
                    };
                    let topic = param
                        .split_once('.')
                        .filter(|(channel, _)| names.contains(channel));
                    let Some((channel, symbol)) = topic else {
                        say(scene, id, "error", &format!("invalid subscription: {param}"));
                        continue;
                    };
                    let topic = (channel.to_owned(), symbol.to_owned());
                    // A subscription that is there already gets no answer.
                    if !client.topics.contains(&topic) {
                        client.topics.push(topic);
                        say(scene, id, "success", &format!("subscribed to: {param}"));
                    }
                }
            }
            Some("unsubscribe") => {
                for param in params.split(',').map(str::trim) {
                    let before = client.topics.len();
                    client
                        .topics
                        .retain(|(channel, symbol)| format!("{channel}.{symbol}") != param);
                    if client.topics.len() < before {
                        say(scene, id, "success", &format!("unsubscribed to: {param}"));
                    }
                }
            }
            _ => say(scene, id, "error", "invalid message"),
        }
    }

    fn auth(&mut self, scene: &mut Scene<'_>, id: u64, key: &str) {
        if !is_valid(key) || scene.faults.hit(Kind::Expired).is_some() {
            say(scene, id, "auth_failed", "authentication failed");
            return scene.hub.shut(id, 1008, "authentication failed");
        }
        if is_free(scene, key) {
            say(
                scene,
                id,
                "not_authorized",
                "You don't have access real-time data",
            );
            return scene.hub.shut(id, 1008, "not authorized");
        }
        let Some(cluster) = self.0.get(&id).map(|client| client.is_crypto) else {
            return;
        };
        let same = |(other, client): (&u64, &Client)| {
            (*other != id && client.is_known && client.is_crypto == cluster).then_some(*other)
        };
        let older: Vec<u64> = self.0.iter().filter_map(same).collect();
        for older in older {
            say(
                scene,
                older,
                "max_connections",
                "Maximum number of websocket connections exceeded. You have reached the connection limit for your account.",
            );
            scene.hub.shut(older, 1008, "max_connections");
            self.0.remove(&older);
        }
        if let Some(client) = self.0.get_mut(&id) {
            client.is_known = true;
        }
        say(scene, id, "auth_success", "authenticated");
    }

    pub fn pump(&mut self, scene: &mut Scene<'_>, from: i64) {
        let slow = |(id, client): (&u64, &Client)| {
            (!client.is_known && client.opened.elapsed() >= AUTH_TIME).then_some(*id)
        };
        let late: Vec<u64> = self.0.iter().filter_map(slow).collect();
        for id in late {
            say(scene, id, "auth_timeout", "authentication timed out");
            scene.hub.shut(id, 1008, "auth_timeout");
            self.0.remove(&id);
        }
        let (world, now) = (scene.world, scene.now);
        let mut all = Vec::new();
        for asset in assets() {
            let names = names(asset);
            let any = |n: usize| {
                self.0
                    .values()
                    .any(|client| client.wants(names.channels[n], &names.symbol))
            };
            let wanted = Wanted {
                trades: any(0),
                quotes: any(1),
                seconds: any(2),
                minutes: any(3),
                only: None,
            };
            all.extend(
                events(world, asset, from, now, wanted)
                    .into_iter()
                    .map(|(ts, event)| (ts, asset, event)),
            );
        }
        all.sort_by_key(|(ts, ..)| *ts);
        for (id, client) in &self.0 {
            let texts = all
                .iter()
                .filter_map(|(_, asset, event)| client.text(world, asset, event));
            send_arrays(scene.hub, *id, texts.collect());
        }
    }
}

/// Symbol and channels of an asset on streams: trades, quotes, seconds, minutes.
struct Names {
    symbol: String,
    channels: [&'static str; 4],
}

fn names(asset: &Asset) -> Names {
    match asset.class {
        AssetClass::Crypto => Names {
            symbol: asset.symbol.replace('/', "-"),
            channels: ["XT", "XQ", "XAS", "XA"],
        },
        AssetClass::Stock | AssetClass::Test => Names {
            symbol: asset.symbol.to_owned(),
            channels: ["T", "Q", "A", "AM"],
        },
    }
}

impl Client {
    /// The message of an event that this client wants.
    fn text(&self, world: World, asset: &'static Asset, event: &Event) -> Option<(Class, String)> {
        let Names { symbol, channels } = names(asset);
        let index = asset.index();
        let is_crypto = asset.class == AssetClass::Crypto;
        let head = |n: usize| {
            let name = if is_crypto { "pair" } else { "sym" };
            let is_wanted = self.is_crypto == is_crypto && self.wants(channels[n], &symbol);
            is_wanted.then(|| format!("{{\"ev\":\"{}\",\"{name}\":\"{symbol}\"", channels[n]))
        };
        match event {
            Event::Trade(trade) => {
                let mut text = head(0)?;
                text.push_str(&format!(
                    ",\"i\":\"{}\",\"x\":{},\"p\":{},\"s\":{}",
                    trade.text_id(),
                    exchange(trade.exchange),
                    asset.price(trade.price),
                    asset.size(trade.size)
                ));
                let conditions = conditions(asset, trade);
                if !conditions.is_empty() {
                    text.push_str(&format!(",\"c\":{}", json!(conditions)));
                }
                text.push_str(&format!(",\"t\":{}", trade.ts / MILLI_NS));
                if is_crypto {
                    text.push_str(&format!(",\"r\":{}}}", trade.ts / MILLI_NS));
                } else {
                    text.push_str(&format!(
                        ",\"q\":{},\"z\":{}",
                        sequence(asset, trade.ts, trade.number),
                        tape(asset)
                    ));
                    if trade.exchange == OFF_EXCHANGE {
                        text.push_str(&format!(",\"trfi\":202,\"trft\":{}", trade.ts_made / MILLI_NS));
                    }
                    text.push('}');
                }
                Some((Class::of(Channel::Trades, index), text))
            }
            Event::Quote(quote) => {
                let head = head(1)?;
                let text = if is_crypto {
                    format!(
                        "{head},\"bp\":{},\"bs\":{},\"ap\":{},\"as\":{},\"t\":{},\"x\":1,\"r\":{}}}",
                        asset.price(quote.bid),
                        asset.size(quote.bid_size),
                        asset.price(quote.ask),
                        asset.size(quote.ask_size),
                        quote.ts / MILLI_NS,
                        quote.ts / MILLI_NS
                    )
                } else {
                    format!(
                        "{head},\"bx\":{},\"bp\":{},\"bs\":{},\"ax\":{},\"ap\":{},\"as\":{},\"c\":0,\"t\":{},\"q\":{},\"z\":{}}}",
                        exchange(quote.bid_exchange),
                        asset.price(quote.bid),
                        asset.size(quote.bid_size),
                        exchange(quote.ask_exchange),
                        asset.price(quote.ask),
                        asset.size(quote.ask_size),
                        quote.ts / MILLI_NS,
                        sequence(asset, quote.ts, quote.number),
                        tape(asset)
                    )
                };
                Some((Class::of(Channel::Quotes, index), text))
            }
            Event::Second(bar) => Some((
                Class::of(Channel::Bars, index),
                bar_text(world, asset, bar, &head(2)?),
            )),
            Event::Minute(bar) => Some((
                Class::of(Channel::Bars, index),
                bar_text(world, asset, bar, &head(3)?),
            )),
            // Neither amendments nor late bars are told on these streams.
            Event::Cancel(_) | Event::Correct(..) | Event::Update(_) | Event::Day(_) => None,
        }
    }
}

fn bar_text(world: World, asset: &'static Asset, bar: &Bar, head: &str) -> String {
    let prices = format!(
        "\"vw\":{},\"o\":{},\"c\":{},\"h\":{},\"l\":{}",
        vwap(asset, bar),
        asset.price(bar.open),
        asset.price(bar.close),
        asset.price(bar.high),
        asset.price(bar.low)
    );
    let (start, end) = (bar.start / MILLI_NS, bar.end / MILLI_NS);
    let volume = asset.size(bar.volume);
    let average = asset.size(bar.volume / (bar.trades as i64).max(1));
    if asset.class == AssetClass::Crypto {
        return format!("{head},\"v\":{volume},{prices},\"z\":{average},\"s\":{start},\"e\":{end}}}");
    }
    let midnight = asset.midnight(asset.day(bar.start));
    let interval = Interval {
        count: 1,
        unit: Unit::Day,
    };
    let bars = Bars {
        world,
        asset,
        interval,
        adjusted: false,
        only: None,
        now: bar.end - 1,
    };
    let day = bars
        .starting(midnight, midnight + SECOND_NS)
        .next()
        .unwrap_or(*bar);
    format!(
        "{head},\"v\":{volume},\"av\":{},\"op\":{},{prices},\"a\":{},\"z\":{average},\"s\":{start},\"e\":{end}}}",
        asset.size(day.volume),
        asset.price(day.open),
        vwap(asset, &day)
    )
}
