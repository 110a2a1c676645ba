//! Aggregates, trades and quotes, page by page: `next_url` carries all that the next page needs but the key.

use super::{Scene, asset, conditions, exchange, failure, reference, request_id, tape};
use crate::http::{Request, Response};
use crate::providers::bar::{Bar, Bars, Interval, Unit};
use crate::providers::calendar::DAY_NS;
use crate::providers::fault::Kind;
use crate::providers::page::{Numbered, ordered, page, resume};
use crate::providers::text::{from_hex, number, parse_date, parse_moment, to_hex};
use crate::providers::world::{Asset, Class, Mark, OFF_EXCHANGE, Quote, Trade};
use serde_json::json;

/// What the free plan has of the past.
const FREE_PAST_NS: i64 = 2 * 365 * DAY_NS;
const MILLI_NS: i64 = 1_000_000;

pub fn answer(scene: &mut Scene<'_>, request: &Request, is_free: bool) -> Response {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let wanted = match parts.as_slice() {
        ["v2", "aggs", "ticker", of, "range", count, span, from, to] => {
            let ask = Aggregates {
                of,
                count,
                span,
                from,
                to,
                is_free,
            };
            ask.answer(scene, request)
        }
        ["v3", "trades", of] => ticks(
            scene,
            request,
            of,
            is_free,
            |scene, asset, (from, to)| Box::new(scene.world.trades(asset, from, to, scene.now)),
            trade,
        ),
        ["v3", "quotes", of] => ticks(
            scene,
            request,
            of,
            is_free,
            |scene, asset, (from, to)| Box::new(scene.world.quotes(asset, from, to, scene.now)),
            quote,
        ),
        ["v3", "reference", rest @ ..] => reference::answer(scene, request, rest),
        ["v1", "marketstatus", "now"] => Ok(reference::market_status(scene.now)),
        _ => Err(not_found(request)),
    };
    wanted.unwrap_or_else(|refused| refused)
}

pub fn not_found(request: &Request) -> Response {
    let body =
        json!({"status": "NOT_FOUND", "request_id": request_id(&request.path), "message": "Data not found."});
    Response::json(404, body.to_string())
}

fn not_entitled(request: &Request) -> Response {
    let body = json!({
        "status": "NOT_AUTHORIZED",
        "request_id": request_id(&request.path),
        "message": "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing",
    });
    Response::json(403, body.to_string())
}

/// Where the next page is; the fault `foreign-next` names a host that nobody has.
pub fn next_url(scene: &mut Scene<'_>, request: &Request, cursor: &str) -> String {
    let host = match scene.faults.hit(Kind::ForeignNext) {
        Some(_) => "https://next-page.invalid".to_owned(),
        None => scene.base.to_owned(),
    };
    format!("{host}{}?cursor={}", request.path, to_hex(cursor))
}

/// A parameter of the first page, which later ones take from the cursor.
pub struct Asked<'a> {
    request: &'a Request,
    cursor: Option<Vec<(String, String)>>,
}

impl<'a> Asked<'a> {
    pub fn of(request: &'a Request) -> Result<Self, Response> {
        let cursor = match request.param("cursor") {
            None => None,
            Some(hex) => {
                let text = from_hex(hex).ok_or_else(|| failure(400, "invalid cursor"))?;
                let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
                Some(
                    pairs
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                )
            }
        };
        Ok(Self { request, cursor })
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        match &self.cursor {
            None => self.request.param(name),
            Some(pairs) => pairs
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, value)| value.as_str()),
        }
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.param(name)?.parse().ok()
    }

    /// A limit from 1 to `high`.
    pub fn limit(&self, default: u64, high: u64) -> Result<u64, Response> {
        match self.param("limit") {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=high).contains(limit))
                .ok_or_else(|| failure(400, &format!("limit must be from 1 to {high}"))),
        }
    }

    pub fn is_descending(&self, name: &str, default: bool) -> Result<bool, Response> {
        match self.param(name) {
            None => Ok(default),
            Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(failure(400, &format!("{name} must be asc or desc"))),
        }
    }

    /// The cursor of a page that begins at that row, after that one.
    pub fn cursor(&self, names: &[&str], at: impl ToString, last: impl ToString) -> String {
        let kept = names
            .iter()
            .filter_map(|name| Some(format!("{name}={}&", self.param(name)?)));
        format!(
            "{}at={}&last={}",
            kept.collect::<String>(),
            at.to_string(),
            last.to_string()
        )
    }
}

struct Aggregates<'a> {
    of: &'a str,
    count: &'a str,
    span: &'a str,
    from: &'a str,
    to: &'a str,
    is_free: bool,
}

impl Aggregates<'_> {
    fn answer(&self, scene: &mut Scene<'_>, request: &Request) -> Result<Response, Response> {
        let asked = Asked::of(request)?;
        let count: i64 = self
            .count
            .parse()
            .ok()
            .filter(|n| (1..=10_000).contains(n))
            .ok_or_else(|| {
                failure(
                    400,
                    &format!(
                        "The parameter 'multiplier' must be a positive number, got '{}'",
                        self.count
                    ),
                )
            })?;
        let (interval, base) = self.interval(count)?;
        let descending = asked.is_descending("sort", false)?;
        let limit = asked.limit(5_000, 50_000)?;
        let adjusted = asked.param("adjusted") != Some("false");
        let Some(asset) = asset(self.of) else {
            return Ok(Response::ok(self.body(adjusted, &[], 0, "", None, request)));
        };
        let bound = |name: &str, text: &str, is_end: bool| {
            moment(asset, text, is_end).ok_or_else(|| {
                failure(
                    400,
                    &format!("Could not parse the time stamp of '{name}': '{text}'"),
                )
            })
        };
        let (mut from, mut to) = (bound("from", self.from, false)?, bound("to", self.to, true)?);
        if from >= to {
            return Err(failure(
                400,
                "The parameter 'to' cannot be a time that occurs before 'from'",
            ));
        }
        if self.is_free && from < scene.now - FREE_PAST_NS {
            return Err(not_entitled(request));
        }
        if let Some(at) = asked.number("at").map(|at| at as i64) {
            let last = asked.number("last").map(|last| last as i64);
            let at = last
                .filter(|_| scene.faults.hit(Kind::Overlap).is_some())
                .unwrap_or(at);
            if descending {
                to = at + 1;
            } else {
                from = at;
            }
        }
        let world = scene.world;
        let bars = Bars {
            world,
            asset,
            interval,
            adjusted,
            only: None,
            now: scene.now,
        };
        let rows: Box<dyn Iterator<Item = Bar>> = if descending {
            Box::new(bars.starting(from, to).rev())
        } else {
            Box::new(bars.starting(from, to))
        };
        let most = (interval.count / base).max(1) as u64;
        let page = page(rows, limit, |bar| bar.trades.min(most), scene.faults);
        let next = page.next.zip(page.rows.last()).map(|(next, last)| {
            let cursor = asked.cursor(&["sort", "limit", "adjusted"], next.start, last.start);
            next_url(scene, request, &cursor)
        });
        let rows: Vec<String> = page.rows.iter().map(|bar| aggregate(asset, bar)).collect();
        let status = if self.is_free { "DELAYED" } else { "OK" };
        Ok(Response::ok(
            self.body(adjusted, &rows, page.cost, status, next, request),
        ))
    }

    /// The interval, and how many of its units one base aggregate has: hours are made of minutes.
    fn interval(&self, count: i64) -> Result<(Interval, i64), Response> {
        let (count, unit, base) = match self.span {
            "second" => (count, Unit::Second, 1),
            "minute" => (count, Unit::Minute, 1),
            "hour" => (count * 60, Unit::Minute, 1),
            "day" => (count, Unit::Day, 1),
            "week" => (count, Unit::Week(0), 1),
            "month" => (count, Unit::Month, 1),
            "quarter" => (count * 3, Unit::Month, 1),
            "year" => (count * 12, Unit::Month, 1),
            other => {
                return Err(failure(
                    400,
                    &format!("The parameter 'timespan' is not one: '{other}'"),
                ));
            }
        };
        Ok((Interval { count, unit }, base))
    }

    fn body(
        &self,
        adjusted: bool,
        rows: &[String],
        scanned: u64,
        status: &str,
        next: Option<String>,
        request: &Request,
    ) -> String {
        let mut body = format!(
            "{{\"ticker\":{},\"queryCount\":{scanned},\"resultsCount\":{},\"adjusted\":{adjusted}",
            json!(self.of),
            rows.len()
        );
        if !rows.is_empty() {
            body.push_str(&format!(",\"results\":[{}]", rows.join(",")));
        }
        let status = if status.is_empty() { "OK" } else { status };
        body.push_str(&format!(
            ",\"status\":\"{status}\",\"request_id\":\"{}\",\"count\":{}",
            request_id(&request.path),
            rows.len()
        ));
        if let Some(next) = next {
            body.push_str(&format!(",\"next_url\":{}", json!(next)));
        }
        body + "}"
    }
}

/// A bound of a range: a day, or milliseconds. An end is exclusive here: after the whole day, or the moment.
fn moment(asset: &Asset, text: &str, is_end: bool) -> Option<i64> {
    if let Some(day) = parse_date(text) {
        return Some(asset.midnight(day + i64::from(is_end)));
    }
    let ms: i64 = text
        .parse()
        .ok()
        .filter(|ms| (0..4_000_000_000_000).contains(ms))?;
    Some(ms * MILLI_NS + i64::from(is_end))
}

/// One row of aggregates.
pub fn aggregate(asset: &Asset, bar: &Bar) -> String {
    format!(
        "{{\"v\":{},\"vw\":{},\"o\":{},\"c\":{},\"h\":{},\"l\":{},\"t\":{},\"n\":{}}}",
        asset.size(bar.volume),
        vwap(asset, bar),
        asset.price(bar.open),
        asset.price(bar.close),
        asset.price(bar.high),
        asset.price(bar.low),
        bar.start / MILLI_NS,
        bar.trades
    )
}

/// The volume-weighted price, cut to two decimals more than prices of stocks have.
pub fn vwap(asset: &Asset, bar: &Bar) -> String {
    let more = if asset.class == Class::Crypto { 0 } else { 2 };
    number(bar.vwap(u32::from(more)), asset.price_scale + more)
}

type Rows<T> = Box<dyn DoubleEndedIterator<Item = T>>;

/// `/v3/trades` and `/v3/quotes`.
fn ticks<T: Numbered + 'static>(
    scene: &mut Scene<'_>,
    request: &Request,
    of: &str,
    is_free: bool,
    rows: impl Fn(&Scene<'_>, &'static Asset, (i64, i64)) -> Rows<T>,
    line: impl Fn(&Asset, &T) -> String,
) -> Result<Response, Response> {
    const KEPT: [&str; 8] = [
        "timestamp",
        "timestamp.gte",
        "timestamp.gt",
        "timestamp.lte",
        "timestamp.lt",
        "order",
        "limit",
        "sort",
    ];
    let asked = Asked::of(request)?;
    let limit = asked.limit(1_000, 50_000)?;
    let descending = asked.is_descending("order", true)?;
    let (mut lines, mut next) = (Vec::new(), None);
    if let Some(asset) = asset(of) {
        let span = span(asset, &asked)?;
        if is_free {
            return Err(not_entitled(request));
        }
        let overlaps = asked.param("at").is_some() && scene.faults.hit(Kind::Overlap).is_some();
        let at = asked.number(if overlaps { "last" } else { "at" });
        let found = rows(scene, asset, resume(span, at, descending));
        let page = page(ordered(found, at, descending), limit, |_| 1, scene.faults);
        next = page.next.zip(page.rows.last()).map(|(next, last)| {
            let cursor = asked.cursor(&KEPT, next.number(), last.number());
            next_url(scene, request, &cursor)
        });
        lines = page.rows.iter().map(|row| line(asset, row)).collect();
    }
    let mut body = format!(
        "{{\"results\":[{}],\"status\":\"OK\",\"request_id\":\"{}\"",
        lines.join(","),
        request_id(&request.path)
    );
    if let Some(next) = next {
        body.push_str(&format!(",\"next_url\":{}", json!(next)));
    }
    Ok(Response::ok(body + "}"))
}

/// The span that the filters of `timestamp` leave: each a day, a moment or nanoseconds.
fn span(asset: &Asset, asked: &Asked<'_>) -> Result<(i64, i64), Response> {
    let (mut from, mut to) = (0, i64::MAX / 2);
    for name in [
        "timestamp",
        "timestamp.gte",
        "timestamp.gt",
        "timestamp.lte",
        "timestamp.lt",
    ] {
        let Some(text) = asked.param(name) else { continue };
        let parsed = match parse_date(text) {
            Some(day) => Some((asset.midnight(day), asset.midnight(day + 1))),
            None => {
                let ns = text.parse().ok().or_else(|| parse_moment(text));
                ns.filter(|ns: &i64| (0..i64::MAX / 2).contains(ns))
                    .map(|ns| (ns, ns + 1))
            }
        };
        let Some((begin, end)) = parsed else {
            return Err(failure(
                400,
                &format!("Could not parse the time stamp of '{name}': '{text}'"),
            ));
        };
        match name {
            "timestamp.gte" => from = from.max(begin),
            "timestamp.gt" => from = from.max(end),
            "timestamp.lte" => to = to.min(end),
            "timestamp.lt" => to = to.min(begin),
            _ => (from, to) = (from.max(begin), to.min(end)),
        }
    }
    Ok((from, to))
}

/// How the consolidated tapes number what became of a trade: 1 original time and corrected data, 8 cancelled,
/// 12 the data that was wrong.
fn correction(mark: Mark) -> u8 {
    match mark {
        Mark::Valid => 0,
        Mark::Correction => 1,
        Mark::Cancelled => 8,
        Mark::Incorrect => 12,
    }
}

fn trade(asset: &Asset, trade: &Trade) -> String {
    let mut line = String::from("{");
    let conditions = conditions(asset, trade);
    if !conditions.is_empty() {
        line.push_str(&format!("\"conditions\":{},", json!(conditions)));
    }
    if trade.mark != Mark::Valid {
        line.push_str(&format!("\"correction\":{},", correction(trade.mark)));
    }
    line.push_str(&format!(
        "\"exchange\":{},\"id\":\"{}\",\"participant_timestamp\":{},\"price\":{}",
        exchange(trade.exchange),
        trade.text_id(),
        if asset.class == Class::Crypto {
            trade.ts
        } else {
            trade.ts_made
        },
        asset.price(trade.price)
    ));
    if asset.class == Class::Crypto {
        line.push_str(&format!(",\"size\":{}}}", asset.size(trade.size)));
        return line;
    }
    line.push_str(&format!(
        ",\"sequence_number\":{},\"sip_timestamp\":{},\"size\":{},\"tape\":{}",
        sequence(asset, trade.ts, trade.number),
        trade.ts,
        asset.size(trade.size),
        tape(asset)
    ));
    if trade.exchange == OFF_EXCHANGE {
        line.push_str(&format!(
            ",\"trf_id\":202,\"trf_timestamp\":{}",
            (trade.ts_made + trade.ts) / 2
        ));
    }
    line + "}"
}

fn quote(asset: &Asset, quote: &Quote) -> String {
    let sides = format!(
        "\"ask_price\":{},\"ask_size\":{},\"bid_price\":{},\"bid_size\":{}",
        asset.price(quote.ask),
        asset.size(quote.ask_size),
        asset.price(quote.bid),
        asset.size(quote.bid_size)
    );
    if asset.class == Class::Crypto {
        return format!(
            "{{{sides},\"ask_exchange\":1,\"bid_exchange\":1,\"participant_timestamp\":{}}}",
            quote.ts
        );
    }
    format!(
        "{{\"ask_exchange\":{},\"bid_exchange\":{},{sides},\"participant_timestamp\":{},\"sequence_number\":{},\"sip_timestamp\":{},\"tape\":{}}}",
        exchange(quote.ask_exchange),
        exchange(quote.bid_exchange),
        quote.ts - 100_000,
        sequence(asset, quote.ts, quote.number),
        quote.ts,
        tape(asset)
    )
}

/// Ascending within a day of a ticker, with holes.
pub fn sequence(asset: &Asset, ts: i64, number: u64) -> u64 {
    let minute = asset.midnight(asset.day(ts)).div_euclid(60_000_000_000) as u64;
    number - minute * crate::providers::world::PER_MINUTE
}
