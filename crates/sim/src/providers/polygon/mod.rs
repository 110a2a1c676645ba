//! Polygon.io, since October 2025 Massive: REST at `/v1` to `/v3`, WebSocket at `/stocks` and `/crypto`.
//! Documented at <https://massive.com/docs>.

mod reference;
mod rest;
mod stream;

use super::fault::Kind;
use super::page::Meter;
use super::web::{Scene, Service};
use super::world::{ASSETS, Asset, Class, EXCHANGES, Trade};
use crate::http::{Request, Response};
use crate::random::stream as hash;
use serde_json::{Map, Value, json};

/// Requests a minute of the free plan.
const FREE_PER_MINUTE: u64 = 5;

#[derive(Default)]
pub struct Polygon {
    meter: Meter,
    streams: stream::Streams,
}

/// Whether a key is of the free plan: it begins with `free`, or the fault `free` says so.
fn is_free(scene: &mut Scene<'_>, key: &str) -> bool {
    key.starts_with("free") || scene.faults.hit(Kind::Free).is_some()
}

/// Whether a key is one: those that begin with `bad` are not.
fn is_valid(key: &str) -> bool {
    !key.is_empty() && !key.starts_with("bad")
}

impl Service for Polygon {
    fn get(&mut self, scene: &mut Scene<'_>, request: &Request) -> Response {
        let bearer = request
            .header("authorization")
            .and_then(|text| text.strip_prefix("Bearer "));
        let Some(key) = bearer.or_else(|| request.param("apiKey")) else {
            return failure(401, "API Key was not provided");
        };
        if !is_valid(key) {
            return failure(401, "Unknown API Key");
        }
        let is_free = is_free(scene, key);
        if is_free && self.meter.take(key, FREE_PER_MINUTE).is_none() {
            return self.refusal(429);
        }
        rest::answer(scene, request, is_free)
    }

    fn refusal(&self, status: u16) -> Response {
        failure(
            status,
            match status {
                401 => "Unknown API Key",
                405 => "method not allowed",
                429 => {
                    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. https://massive.com/pricing"
                }
                _ => "internal error",
            },
        )
    }

    fn open(&mut self, scene: &mut Scene<'_>, id: u64, request: &Request) {
        self.streams.open(scene, id, request);
    }

    fn message(&mut self, scene: &mut Scene<'_>, id: u64, text: &str) {
        self.streams.message(scene, id, text);
    }

    fn close(&mut self, id: u64) {
        self.streams.close(id);
    }

    fn pump(&mut self, scene: &mut Scene<'_>, from: i64) {
        self.streams.pump(scene, from);
    }

    fn addresses(&self, rest: &str, stream: &str) -> Map<String, Value> {
        [("rest", rest), ("stream", stream)]
            .map(|(name, url)| (name.to_owned(), url.into()))
            .into_iter()
            .collect()
    }
}

/// A number that belongs to a request: the same for the same one, so that runs can be compared.
fn request_id(text: &str) -> String {
    format!("{:016x}{:016x}", hash(1, text), hash(2, text))
}

fn failure(status: u16, error: &str) -> Response {
    let body = json!({"status": "ERROR", "request_id": request_id(error), "error": error});
    Response::json(status, body.to_string())
}

/// `AAPL`, `X:BTCUSD`.
fn ticker(asset: &Asset) -> String {
    match asset.class {
        Class::Crypto => format!("X:{}", asset.symbol.replace('/', "")),
        Class::Stock | Class::Test => asset.symbol.to_owned(),
    }
}

/// The asset of a ticker; Alpaca's test symbol is unknown here.
fn asset(of: &str) -> Option<&'static Asset> {
    assets().find(|asset| ticker(asset) == of)
}

fn assets() -> impl Iterator<Item = &'static Asset> {
    ASSETS.iter().filter(|asset| asset.class != Class::Test)
}

/// Number of an exchange; crypto trades at 1.
fn exchange(letter: char) -> u8 {
    EXCHANGES
        .iter()
        .find(|exchange| exchange.0 == letter)
        .map_or(1, |exchange| exchange.1)
}

fn tape(asset: &Asset) -> u8 {
    match asset.tape {
        'A' => 1,
        'B' => 2,
        _ => 3,
    }
}

/// Numbers of a trade's conditions, ascending; of crypto the side that came to the other.
fn conditions(asset: &Asset, trade: &Trade) -> Vec<u8> {
    if asset.class == Class::Crypto {
        return vec![if trade.is_buy { 2 } else { 1 }];
    }
    let is = &trade.conditions;
    let all = [
        (is.average, 2),
        (is.extended && !is.late, 12),
        (is.extended && is.late, 13),
        (is.sweep, 14),
        (!is.extended && is.late, 33),
        (is.odd_lot, 37),
    ];
    all.into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, number)| number)
        .collect()
}
