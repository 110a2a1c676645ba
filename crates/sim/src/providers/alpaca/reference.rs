//! News, assets, and when the market is open.

use super::rest::{is_descending, limit, moment};
use super::{Scene, failure};
use crate::http::{Request, Response};
use crate::providers::calendar::{HOUR_NS, MINUTE_NS, Session, local_day, offset_ns, session};
use crate::providers::fault::Kind;
use crate::providers::page::page;
use crate::providers::text::{date, from_hex, local_time, number, parse_date, time, to_hex};
use crate::providers::world::{ASSETS, Asset, BEGIN_NS, Class};
use serde_json::{Value, json};

pub fn answer(scene: &mut Scene<'_>, request: &Request, parts: &[&str]) -> Result<Response, Response> {
    match parts {
        ["v1beta1", "news"] => news(scene, request),
        ["v2", "clock"] => Ok(clock(scene.now)),
        ["v2", "calendar"] => calendar(scene.now, request),
        ["v2", "assets"] => {
            let is_wanted = |row: &Value| {
                request
                    .param("asset_class")
                    .is_none_or(|class| row["class"] == class)
                    && request
                        .param("status")
                        .is_none_or(|status| row["status"] == status)
            };
            let rows: Vec<Value> = ASSETS.iter().map(about).filter(is_wanted).collect();
            Ok(Response::ok(Value::from(rows).to_string()))
        }
        // A crypto pair's slash may come as itself.
        ["v2", "assets", symbol @ ..] => {
            let symbol = symbol.join("/");
            let same = |asset: &&Asset| asset.symbol == symbol || asset.symbol.replace('/', "") == symbol;
            match ASSETS.iter().find(same) {
                Some(asset) => Ok(Response::ok(about(asset).to_string())),
                None => {
                    let body =
                        json!({"code": 40_410_000, "message": format!("asset not found for {symbol}")});
                    Err(Response::json(404, body.to_string()))
                }
            }
        }
        _ => Err(failure(404, "endpoint not found.")),
    }
}

fn about(asset: &Asset) -> Value {
    let index = asset.index();
    let exchange = match asset.primary {
        "XNAS" => "NASDAQ",
        "XNYS" => "NYSE",
        "ARCX" => "ARCA",
        "XASE" => "AMEX",
        _ => "OTC",
    };
    let mut about = json!({
        "id": format!("00000000-0000-4000-8000-{index:012}"), "class": "us_equity", "exchange": exchange,
        "symbol": asset.symbol, "name": asset.name, "status": "active", "tradable": true, "marginable": true,
        "shortable": true, "easy_to_borrow": true, "fractionable": true, "attributes": [],
    });
    if asset.class == Class::Crypto {
        about["class"] = json!("crypto");
        about["exchange"] = json!("CRYPTO");
        about["min_order_size"] = json!("0.00001");
        about["min_trade_increment"] = json!("0.000000001");
        about["price_increment"] = json!(number(asset.tick, asset.price_scale));
    }
    about
}

/// Each session says something of each stock at noon, in New York: made up from its day.
fn news(scene: &mut Scene<'_>, request: &Request) -> Result<Response, Response> {
    let limit = limit(request, 10, 50)?;
    let descending = request.param("sort").is_none() || is_descending(request)?;
    let from = moment(request, "start", scene.now - 30 * 24 * HOUR_NS)?.max(BEGIN_NS);
    let to = moment(request, "end", scene.now)?.min(scene.now);
    let wanted: Vec<&str> = request
        .param("symbols")
        .map_or(Vec::new(), |text| text.split(',').collect());
    let is_asked =
        |asset: &&Asset| asset.class == Class::Stock && (wanted.is_empty() || wanted.contains(&asset.symbol));
    let stocks: Vec<&Asset> = ASSETS.iter().filter(is_asked).collect();
    let days = (local_day(from)..local_day(to.max(from)) + 1).filter_map(session);
    let all = days.flat_map(|s| {
        stocks.iter().map(move |asset| {
            (
                s.open + 150 * MINUTE_NS + asset.index() as i64 * MINUTE_NS,
                s.day,
                *asset,
            )
        })
    });
    let mut items: Vec<(i64, i64, &Asset)> = all.filter(|(at, ..)| (from..=to).contains(at)).collect();
    if descending {
        items.reverse();
    }
    let place = match request.param("page_token") {
        None => 0,
        Some(text) => {
            let at: Option<u64> = from_hex(text).and_then(|text| text.parse().ok());
            let at = at.ok_or_else(|| failure(422, "invalid page_token"))?;
            let overlaps = at > 0 && scene.faults.hit(Kind::Overlap).is_some();
            at - u64::from(overlaps)
        }
    };
    let page = page(place..items.len() as u64, limit, |_| 1, scene.faults);
    let rows: Vec<Value> = page
        .rows
        .iter()
        .map(|index| item(items[*index as usize], request))
        .collect();
    let next = page.next.map(|at| to_hex(&at.to_string()));
    Ok(Response::ok(
        json!({"news": rows, "next_page_token": next}).to_string(),
    ))
}

fn item((at, day, asset): (i64, i64, &Asset), request: &Request) -> Value {
    let id = day * 100 + asset.index() as i64;
    let is_full = request.param("include_content") == Some("true");
    let text = format!("{} traded as made up on {}.", asset.name, date(day));
    json!({
        "id": id, "headline": format!("{} at noon of {}", asset.symbol, date(day)), "summary": text,
        "author": "Tidemill simulator", "created_at": time(at), "updated_at": time(at), "images": [],
        "url": format!("https://news.invalid/{id}"), "symbols": [asset.symbol], "source": "simulator",
        "content": if is_full { format!("<p>{text}</p>") } else { String::new() },
    })
}

fn clock(now: i64) -> Response {
    let upcoming = |pick: fn(&Session) -> i64| {
        let days = (local_day(now)..).filter_map(session);
        days.map(|session| pick(&session))
            .find(|at| *at > now)
            .unwrap_or(now)
    };
    let body = json!({
        "timestamp": local_time(now),
        "is_open": session(local_day(now)).is_some_and(|session| session.is_regular(now)),
        "next_open": local_time(upcoming(|session| session.open)),
        "next_close": local_time(upcoming(|session| session.close)),
    });
    Response::ok(body.to_string())
}

/// Sessions from `start` to `end`; by default of the year from today on.
fn calendar(now: i64, request: &Request) -> Result<Response, Response> {
    let bound = |name: &str, default: i64| match request.param(name) {
        None => Ok(default),
        Some(text) => {
            let text = text.get(..10).unwrap_or(text);
            parse_date(text).ok_or_else(|| failure(422, &format!("invalid {name}: {text}")))
        }
    };
    let from = bound("start", local_day(now))?;
    let to = bound("end", from + 365)?.min(from + 40_000);
    let show = |ns: i64, separator: &str| {
        let minute = (ns + offset_ns(ns)).div_euclid(MINUTE_NS).rem_euclid(24 * 60);
        format!("{:02}{separator}{:02}", minute / 60, minute % 60)
    };
    let rows = (from..to + 1).filter_map(session).map(|session| {
        json!({
            "date": date(session.day), "open": show(session.open, ":"), "close": show(session.close, ":"),
            "session_open": show(session.pre, ""), "session_close": show(session.end, ""),
        })
    });
    Ok(Response::ok(Value::Array(rows.collect()).to_string()))
}
