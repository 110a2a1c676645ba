//! Streams at `/v2/{sip,iex,test}`, `/v1beta3/crypto/us` and `/v1beta1/news`; JSON or MessagePack. One connection
//! per endpoint: a second one is refused.

use super::rest::{bar_fields, quote_fields, trade_fields};
use super::{Scene, conditions, is_free, is_valid};
use crate::http::Request;
use crate::hub::{Channel, Class};
use crate::providers::fault::Kind;
use crate::providers::live::{Event, Wanted, events};
use crate::providers::text::time;
use crate::providers::web::send_arrays;
use crate::providers::world::{AMENDED_AFTER_NS, ASSETS, Asset, Class as AssetClass};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For a client to say its key.
const AUTH_TIME: Duration = Duration::from_secs(10);
/// Symbols of trades, and of quotes, in the free plan.
const FREE_SYMBOLS: usize = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Sip,
    Iex,
    Test,
    Crypto,
    News,
}

impl Feed {
    fn of(path: &str) -> Option<Self> {
        Some(match path.trim_matches('/') {
            "v2/sip" | "v2/delayed_sip" => Self::Sip,
            "v2/iex" => Self::Iex,
            "v2/test" => Self::Test,
            "v1beta3/crypto/us" => Self::Crypto,
            "v1beta1/news" => Self::News,
            _ => return None,
        })
    }

    /// What can be subscribed to, in the order in which it is listed.
    fn channels(self) -> &'static [&'static str] {
        match self {
            Self::Crypto => &[
                "trades",
                "quotes",
                "orderbooks",
                "bars",
                "updatedBars",
                "dailyBars",
            ],
            Self::News => &["news"],
            _ => &[
                "trades",
                "quotes",
                "bars",
                "updatedBars",
                "dailyBars",
                "statuses",
                "lulds",
                "corrections",
                "cancelErrors",
            ],
        }
    }

    fn has(self, asset: &Asset) -> bool {
        match self {
            Self::Crypto => asset.class == AssetClass::Crypto,
            Self::Test => asset.class == AssetClass::Test,
            Self::Sip | Self::Iex => asset.class == AssetClass::Stock,
            Self::News => false,
        }
    }
}

struct Client {
    feed: Feed,
    is_known: bool,
    is_free: bool,
    opened: Instant,
    /// Symbols of each channel, or `*`.
    wanted: BTreeMap<&'static str, Vec<String>>,
}

impl Client {
    fn wants(&self, channel: &str, symbol: &str) -> bool {
        let all = self.wanted.get(channel);
        all.is_some_and(|symbols| symbols.iter().any(|s| s == symbol || s == "*"))
    }

    /// The whole state, as the answer to every change.
    fn state(&self) -> String {
        let lists = self.feed.channels().iter().map(|channel| {
            let symbols = self.wanted.get(channel).map_or(&[][..], Vec::as_slice);
            format!(",\"{channel}\":{}", json!(symbols))
        });
        format!("[{{\"T\":\"subscription\"{}}}]", lists.collect::<String>())
    }
}

#[derive(Default)]
pub struct Streams(BTreeMap<u64, Client>);

fn success(scene: &mut Scene<'_>, id: u64, message: &str) {
    scene.hub.text(
        id,
        Class::CONTROL,
        format!("[{{\"T\":\"success\",\"msg\":\"{message}\"}}]"),
    );
}

fn error(scene: &mut Scene<'_>, id: u64, code: u16) {
    let message = match code {
        401 => "not authenticated",
        402 => "auth failed",
        403 => "already authenticated",
        404 => "auth timeout",
        405 => "symbol limit exceeded",
        406 => "connection limit exceeded",
        409 => "insufficient subscription",
        410 => "invalid subscribe action for this feed",
        _ => "invalid syntax",
    };
    scene.hub.text(
        id,
        Class::CONTROL,
        format!("[{{\"T\":\"error\",\"code\":{code},\"msg\":\"{message}\"}}]"),
    );
}

impl Streams {
    pub fn open(&mut self, scene: &mut Scene<'_>, id: u64, request: &Request) {
        let Some(feed) = Feed::of(&request.path) else {
            error(scene, id, 400);
            return scene.hub.shut(id, 1008, "no such stream");
        };
        let client = Client {
            feed,
            is_known: false,
            is_free: false,
            opened: Instant::now(),
            wanted: BTreeMap::new(),
        };
        self.0.insert(id, client);
        success(scene, id, "connected");
        let header = |name| request.header(name).map(str::to_owned);
        if let (Some(key), Some(secret)) = (header("apca-api-key-id"), header("apca-api-secret-key")) {
            self.auth(scene, id, &key, &secret);
        }
    }

    pub fn close(&mut self, id: u64) {
        self.0.remove(&id);
    }

    fn drop(&mut self, scene: &mut Scene<'_>, id: u64, code: u16) {
        error(scene, id, code);
        scene.hub.shut(id, 1008, "");
        self.0.remove(&id);
    }

    pub fn message(&mut self, scene: &mut Scene<'_>, id: u64, text: &str) {
        let Some(client) = self.0.get(&id) else { return };
        let Ok(Value::Object(message)) = serde_json::from_str::<Value>(text) else {
            return error(scene, id, 400);
        };
        let field = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or("");
        match field("action") {
            "auth" if client.is_known => error(scene, id, 403),
            "auth" => self.auth(scene, id, field("key"), field("secret")),
            "subscribe" | "unsubscribe" if !client.is_known => error(scene, id, 401),
            "subscribe" => self.change(scene, id, &message, true),
            "unsubscribe" => self.change(scene, id, &message, false),
            _ => error(scene, id, 400),
        }
    }

    fn auth(&mut self, scene: &mut Scene<'_>, id: u64, key: &str, secret: &str) {
        if !is_valid(key, secret) || scene.faults.hit(Kind::Expired).is_some() {
            return self.drop(scene, id, 402);
        }
        let is_free = is_free(scene, key);
        let Some(feed) = self.0.get(&id).map(|client| client.feed) else {
            return;
        };
        if is_free && feed == Feed::Sip {
            return self.drop(scene, id, 409);
        }
        if self
            .0
            .iter()
            .any(|(other, client)| *other != id && client.is_known && client.feed == feed)
        {
            return self.drop(scene, id, 406);
        }
        if let Some(client) = self.0.get_mut(&id) {
            (client.is_known, client.is_free) = (true, is_free);
        }
        success(scene, id, "authenticated");
    }

    /// Adds to the subscriptions or takes from them, and tells the whole state.
    fn change(&mut self, scene: &mut Scene<'_>, id: u64, message: &Map<String, Value>, adds: bool) {
        let Some(client) = self.0.get_mut(&id) else { return };
        let channels = client.feed.channels();
        if message
            .keys()
            .any(|key| key != "action" && !channels.contains(&key.as_str()))
        {
            return error(scene, id, 410);
        }
        let mut wanted = client.wanted.clone();
        for channel in channels {
            let Some(list) = message.get(*channel) else {
                continue;
            };
            let Some(list) = list.as_array() else {
                return error(scene, id, 400);
            };
            let symbols: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            if symbols.len() < list.len() {
                return error(scene, id, 400);
            }
            // Corrections and cancels come with trades, and go with them.
            let with: &[&'static str] = match *channel {
                "trades" if client.feed != Feed::Crypto => &["trades", "corrections", "cancelErrors"],
                _ => std::slice::from_ref(channel),
            };
            for channel in with {
                let kept = wanted.entry(channel).or_default();
                kept.retain(|symbol| !symbols.contains(&symbol.as_str()));
                if adds {
                    kept.extend(symbols.iter().map(|symbol| (*symbol).to_owned()));
                }
            }
        }
        let is_over = |channel| {
            wanted
                .get(channel)
                .is_some_and(|all: &Vec<String>| all.len() > FREE_SYMBOLS)
        };
        if client.is_free && (is_over("trades") || is_over("quotes")) {
            return error(scene, id, 405);
        }
        client.wanted = wanted;
        let state = client.state();
        scene.hub.text(id, Class::CONTROL, state);
    }

    pub fn pump(&mut self, scene: &mut Scene<'_>, from: i64) {
        let slow = |(id, client): (&u64, &Client)| {
            (!client.is_known && client.opened.elapsed() >= AUTH_TIME).then_some(*id)
        };
        let late: Vec<u64> = self.0.iter().filter_map(slow).collect();
        for id in late {
            self.drop(scene, id, 404);
        }
        for (id, client) in &self.0 {
            let mut all = Vec::new();
            for asset in ASSETS.iter().filter(|asset| client.feed.has(asset)) {
                let any =
                    |channels: &[&str]| channels.iter().any(|channel| client.wants(channel, asset.symbol));
                let wanted = Wanted {
                    trades: any(&["trades", "corrections", "cancelErrors"]),
                    quotes: any(&["quotes", "orderbooks"]),
                    seconds: false,
                    minutes: any(&["bars", "updatedBars", "dailyBars"]),
                    only: (client.feed == Feed::Iex).then_some('V'),
                };
                let found = events(scene.world, asset, from, scene.now, wanted);
                all.extend(found.into_iter().map(|(ts, event)| (ts, asset, event)));
            }
            all.sort_by_key(|(ts, ..)| *ts);
            let texts = all
                .iter()
                .flat_map(|(_, asset, event)| client.texts(asset, event));
            send_arrays(scene.hub, *id, texts.collect());
        }
    }
}

impl Client {
    /// The messages of an event that this client wants.
    fn texts(&self, asset: &'static Asset, event: &Event) -> Vec<(Class, String)> {
        let told = |wanted: &str, kind: &str, channel: Channel, fields: &dyn Fn() -> String| {
            self.wants(wanted, asset.symbol).then(|| {
                let text = format!("{{\"T\":\"{kind}\",\"S\":\"{}\",{}}}", asset.symbol, fields());
                (Class::of(channel, asset.index()), text)
            })
        };
        let one = match event {
            Event::Trade(trade) => told("trades", "t", Channel::Trades, &|| trade_fields(asset, trade)),
            Event::Quote(quote) => {
                let book = || {
                    format!(
                        "\"t\":\"{}\",\"b\":[{{\"p\":{},\"s\":{}}}],\"a\":[{{\"p\":{},\"s\":{}}}],\"r\":true",
                        time(quote.ts),
                        asset.price(quote.bid),
                        asset.size(quote.bid_size),
                        asset.price(quote.ask),
                        asset.size(quote.ask_size)
                    )
                };
                let both = [
                    told("quotes", "q", Channel::Quotes, &|| quote_fields(asset, quote)),
                    told("orderbooks", "o", Channel::Book, &book),
                ];
                return both.into_iter().flatten().collect();
            }
            Event::Minute(bar) => told("bars", "b", Channel::Bars, &|| bar_fields(asset, bar)),
            Event::Update(bar) => told("updatedBars", "u", Channel::Bars, &|| bar_fields(asset, bar)),
            Event::Day(bar) => told("dailyBars", "d", Channel::Bars, &|| bar_fields(asset, bar)),
            Event::Cancel(trade) => told("cancelErrors", "x", Channel::Trades, &|| {
                format!(
                    "\"i\":{},\"x\":\"{}\",\"p\":{},\"s\":{},\"a\":\"C\",\"z\":\"{}\",\"t\":\"{}\"",
                    trade.number,
                    trade.exchange,
                    asset.price(trade.price),
                    asset.size(trade.size),
                    asset.tape,
                    time(trade.ts + AMENDED_AFTER_NS)
                )
            }),
            Event::Correct(wrong, right) => told("corrections", "c", Channel::Trades, &|| {
                format!(
                    "\"x\":\"{}\",\"oi\":{},\"op\":{},\"os\":{},\"oc\":{},\"ci\":{},\"cp\":{},\"cs\":{},\"cc\":{},\"z\":\"{}\",\"t\":\"{}\"",
                    right.exchange,
                    wrong.number,
                    asset.price(wrong.price),
                    asset.size(wrong.size),
                    json!(conditions(asset, wrong)),
                    right.number,
                    asset.price(right.price),
                    asset.size(right.size),
                    json!(conditions(asset, right)),
                    asset.tape,
                    time(right.ts + AMENDED_AFTER_NS)
                )
            }),
            Event::Second(_) => None,
        };
        one.into_iter().collect()
    }
}
