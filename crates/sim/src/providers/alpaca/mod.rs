//! Alpaca's market data: REST at `/v2`, `/v1beta3` and `/v1beta1`, and the streams of the same; of its trading
//! side only what tells what there is to trade and when. Documented at <https://docs.alpaca.markets>.

mod reference;
mod rest;
mod stream;

use super::fault::Kind;
use super::page::Meter;
use super::web::{Scene, Service};
use super::world::{ASSETS, Asset, Class, Trade};
use crate::http::{Request, Response};
use serde_json::{Map, Value, json};

/// Requests a minute of the free plan and of a paid one.
const FREE_PER_MINUTE: u64 = 200;
const PAID_PER_MINUTE: u64 = 10_000;

#[derive(Default)]
pub struct Alpaca {
    meter: Meter,
    streams: stream::Streams,
}

/// Whether a key is of the free plan: it begins with `free`, or the fault `free` says so.
fn is_free(scene: &mut Scene<'_>, key: &str) -> bool {
    key.starts_with("free") || scene.faults.hit(Kind::Free).is_some()
}

/// Whether key and secret are some: a key that begins with `bad` is none.
fn is_valid(key: &str, secret: &str) -> bool {
    !key.is_empty() && !secret.is_empty() && !key.starts_with("bad")
}

impl Service for Alpaca {
    fn get(&mut self, scene: &mut Scene<'_>, request: &Request) -> Response {
        let key = request.header("apca-api-key-id").unwrap_or("");
        let secret = request.header("apca-api-secret-key").unwrap_or("");
        // Crypto's past is for everybody.
        let is_public = request.path.starts_with("/v1beta3/crypto/") && key.is_empty();
        if !is_public && !is_valid(key, secret) {
            return self.refusal(401);
        }
        let is_free = is_free(scene, key) || is_public;
        let limit = if is_free { FREE_PER_MINUTE } else { PAID_PER_MINUTE };
        let left = self.meter.take(key, limit);
        let response = match left {
            None => self.refusal(429),
            Some(_) => rest::answer(scene, request, is_free),
        };
        response
            .with("x-ratelimit-limit", limit)
            .with("x-ratelimit-remaining", left.unwrap_or(0))
            .with("x-ratelimit-reset", self.meter.reset_s())
    }

    fn refusal(&self, status: u16) -> Response {
        failure(
            status,
            match status {
                401 => "unauthorized.",
                405 => "method not allowed",
                429 => "too many requests.",
                504 => "gateway timeout",
                _ => "internal server error occurred",
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

fn failure(status: u16, message: &str) -> Response {
    Response::json(status, json!({ "message": message }).to_string())
}

fn find(symbol: &str, is_crypto: bool) -> Option<&'static Asset> {
    ASSETS
        .iter()
        .find(|asset| asset.symbol == symbol && (asset.class == Class::Crypto) == is_crypto)
}

/// Letters of a trade's conditions, the sale's kind first.
fn conditions(asset: &Asset, trade: &Trade) -> Vec<&'static str> {
    let is = &trade.conditions;
    let all = [
        (true, if asset.tape == 'C' { "@" } else { " " }),
        (is.sweep, "F"),
        (is.extended && !is.late, "T"),
        (is.extended && is.late, "U"),
        (!is.extended && is.late, "Z"),
        (is.average, if asset.tape == 'C' { "W" } else { "B" }),
        (is.odd_lot, "I"),
    ];
    all.into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, letter)| letter)
        .collect()
}
