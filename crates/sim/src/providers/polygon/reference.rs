//! What there is to ask for: tickers, splits, dividends, and whether the market is open.

use super::rest::{Asked, next_url, not_found};
use super::{Scene, assets, request_id, ticker};
use crate::http::{Request, Response};
use crate::number::{civil, days_of};
use crate::providers::calendar::{local_day, session, weekday};
use crate::providers::fault::Kind;
use crate::providers::page::page;
use crate::providers::text::{date, encoded, local_time, number};
use crate::providers::world::{Asset, BEGIN_NS, Class};
use serde_json::{Value, json};

pub fn answer(scene: &mut Scene<'_>, request: &Request, parts: &[&str]) -> Result<Response, Response> {
    match parts {
        ["tickers"] => {
            let active = request.param("active") != Some("false");
            let rows = assets()
                .filter(|_| active)
                .map(about)
                .filter(|row| is_wanted(request, row));
            listed(scene, request, rows.collect())
        }
        ["tickers", of] => {
            let found = assets().map(about).find(|row| row["ticker"] == *of);
            let found = found.ok_or_else(|| not_found(request))?;
            let body = json!({"request_id": request_id(of), "results": found, "status": "OK"});
            Ok(Response::ok(body.to_string()))
        }
        ["splits"] => {
            let rows = facts(request, "execution_date", splits(scene.now));
            listed(scene, request, rows)
        }
        ["dividends"] => {
            let rows = facts(request, "ex_dividend_date", dividends(scene.now));
            listed(scene, request, rows)
        }
        _ => Err(not_found(request)),
    }
}

fn about(asset: &'static Asset) -> Value {
    match asset.class {
        Class::Crypto => {
            let (base, quote) = asset.symbol.split_once('/').unwrap_or((asset.symbol, ""));
            json!({
                "ticker": ticker(asset), "name": format!("{} - United States dollar", asset.name), "market": "crypto",
                "locale": "global", "active": true, "currency_symbol": quote, "currency_name": "United States dollar",
                "base_currency_symbol": base, "base_currency_name": asset.name,
                "last_updated_utc": "2026-01-02T00:00:00Z",
            })
        }
        Class::Stock | Class::Test => json!({
            "ticker": ticker(asset), "name": asset.name, "market": "stocks", "locale": "us",
            "primary_exchange": asset.primary, "type": if asset.symbol == "SPY" { "ETF" } else { "CS" },
            "active": true, "currency_name": "usd", "last_updated_utc": "2026-01-02T00:00:00Z",
        }),
    }
}

fn is_wanted(request: &Request, row: &Value) -> bool {
    let is = |name: &str| request.param(name).is_none_or(|wanted| row[name] == wanted);
    let text = |name: &str| row[name].as_str().unwrap_or("").to_lowercase();
    is("ticker")
        && is("market")
        && is("type")
        && request.param("search").is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            text("ticker").contains(&wanted) || text("name").contains(&wanted)
        })
}

/// One page of rows that are all known.
fn listed(scene: &mut Scene<'_>, request: &Request, rows: Vec<Value>) -> Result<Response, Response> {
    let asked = Asked::of(request)?;
    let limit = asked.limit(100, 1_000)?;
    let overlaps = asked.param("at").is_some() && scene.faults.hit(Kind::Overlap).is_some();
    let at = asked.number(if overlaps { "last" } else { "at" }).unwrap_or(0);
    let page = page(at..rows.len() as u64, limit, |_| 1, scene.faults);
    let results: Vec<&Value> = page.rows.iter().map(|index| &rows[*index as usize]).collect();
    let mut body = json!({
        "results": results, "status": "OK", "request_id": request_id(&request.path), "count": results.len(),
    });
    if let Some((next, last)) = page.next.zip(page.rows.last()) {
        // Later pages filter again: their cursor is read by `param`, what is asked by the query beside it.
        let mut url = next_url(scene, request, &asked.cursor(&["limit"], next, last));
        for (name, value) in request
            .query
            .iter()
            .filter(|(name, _)| !["cursor", "limit", "apiKey"].contains(&name.as_str()))
        {
            url.push_str(&format!("&{name}={}", encoded(value)));
        }
        body["next_url"] = json!(url);
    }
    Ok(Response::ok(body.to_string()))
}

/// Rows of the tickers and days that are asked for, newest first unless `order=asc`.
fn facts(request: &Request, day: &str, mut rows: Vec<Value>) -> Vec<Value> {
    let of = |row: &Value, name: &str| row[name].as_str().unwrap_or("").to_owned();
    rows.retain(|row| {
        let at = of(row, day);
        let param = |suffix: &str| request.param(&format!("{day}{suffix}")).map(str::to_owned);
        request
            .param("ticker")
            .is_none_or(|wanted| of(row, "ticker") == wanted)
            && param("").is_none_or(|wanted| at == wanted)
            && param(".gte").is_none_or(|wanted| at >= wanted)
            && param(".gt").is_none_or(|wanted| at > wanted)
            && param(".lte").is_none_or(|wanted| at <= wanted)
            && param(".lt").is_none_or(|wanted| at < wanted)
    });
    rows.sort_by_key(|row| (of(row, day), of(row, "ticker")));
    if request.param("order") != Some("asc") {
        rows.reverse();
    }
    rows
}

fn splits(now: i64) -> Vec<Value> {
    let all = assets().flat_map(|asset| asset.splits().map(move |(day, ratio)| (asset, day, ratio)));
    all.filter(|(_, day, _)| *day <= local_day(now))
        .map(|(asset, day, ratio)| {
            json!({
                "id": request_id(&format!("{} {day}", asset.symbol)), "execution_date": date(day),
                "split_from": 1, "split_to": ratio, "ticker": asset.symbol,
            })
        })
        .collect()
}

/// On the second Friday of February, May, August and November that has a session, in dollars of that day.
fn dividends(now: i64) -> Vec<Value> {
    let (first, last) = (civil(local_day(BEGIN_NS)).0, civil(local_day(now)).0);
    let mut rows = Vec::new();
    for (year, month) in (first..=last).flat_map(|year| [2, 5, 8, 11].map(|month| (year, month))) {
        let begin = days_of(year, month, 1);
        let friday = begin + (5 - weekday(begin)).rem_euclid(7) + 7;
        let ex = (friday..).find(|day| session(*day).is_some()).unwrap_or(friday);
        if ex > local_day(now) {
            continue;
        }
        for asset in assets().filter(|asset| asset.dividend > 0) {
            let amount = number(asset.dividend * asset.factor(ex), 4);
            rows.push(json!({
                "id": request_id(&format!("{} dividend {ex}", asset.symbol)),
                "cash_amount": amount.parse::<f64>().unwrap_or(0.0), "currency": "USD",
                "declaration_date": date(ex - 14), "dividend_type": "CD", "ex_dividend_date": date(ex),
                "frequency": 4, "pay_date": date(ex + 7), "record_date": date(ex), "ticker": asset.symbol,
            }));
        }
    }
    rows
}

pub fn market_status(now: i64) -> Response {
    let session = session(local_day(now)).filter(|s| (s.pre..s.end).contains(&now));
    let (early, regular, late) = session.map_or((false, false, false), |s| {
        (now < s.open, s.is_regular(now), now >= s.close)
    });
    let exchange = if regular {
        "open"
    } else if early || late {
        "extended-hours"
    } else {
        "closed"
    };
    let body = json!({
        "afterHours": late, "currencies": {"crypto": "open", "fx": "open"}, "earlyHours": early,
        "exchanges": {"nasdaq": exchange, "nyse": exchange, "otc": exchange}, "market": exchange,
        "serverTime": local_time(now),
    });
    Response::ok(body.to_string())
}
