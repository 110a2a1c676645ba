//! Bars, trades and quotes of several symbols, page by page: a token names the symbol and row that come next.

use super::{Scene, conditions, failure, find, reference};
use crate::http::{Request, Response};
use crate::providers::bar::{Bar, Bars, Interval, Unit};
use crate::providers::calendar::MINUTE_NS;
use crate::providers::fault::Kind;
use crate::providers::page::{Numbered, ordered, page, resume};
use crate::providers::text::{from_hex, number, parse_date, parse_moment, time, to_hex};
use crate::providers::world::{Asset, Class, Mark, Quote, Trade};
use serde_json::json;
use std::collections::BTreeSet;

/// The free plan has nothing of the consolidated feed that is younger.
const FREE_DELAY_NS: i64 = 15 * MINUTE_NS;
const ROWS_MAX: u64 = 10_000;

pub fn answer(scene: &mut Scene<'_>, request: &Request, is_free: bool) -> Response {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let asked = |is_crypto| Asked::of(scene.now, request, is_crypto, is_free);
    let wanted = match parts.as_slice() {
        ["v2", "stocks", "bars"] => asked(false).and_then(|asked| asked.bars(scene)),
        ["v1beta3", "crypto", "us", "bars"] => asked(true).and_then(|asked| asked.bars(scene)),
        ["v2", "stocks", "trades"] => asked(false).and_then(|asked| asked.trades(scene)),
        ["v1beta3", "crypto", "us", "trades"] => asked(true).and_then(|asked| asked.trades(scene)),
        ["v2", "stocks", "quotes"] => asked(false).and_then(|asked| asked.quotes(scene)),
        ["v1beta3", "crypto", "us", "quotes"] => asked(true).and_then(|asked| asked.quotes(scene)),
        _ => reference::answer(scene, request, &parts),
    };
    wanted.unwrap_or_else(|refused| refused)
}

/// A limit from 1 to `high`.
pub fn limit(request: &Request, default: u64, high: u64) -> Result<u64, Response> {
    match request.param("limit") {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=high).contains(limit))
            .ok_or_else(|| failure(422, &format!("invalid limit: {text}; it is from 1 to {high}"))),
    }
}

/// A moment, or the midnight of a day in UTC, or its end.
pub fn moment(request: &Request, name: &str, default: i64) -> Result<i64, Response> {
    let Some(text) = request.param(name) else {
        return Ok(default);
    };
    let is_end = name == "end";
    let day = |day: i64| (day + i64::from(is_end)) * 24 * 60 * MINUTE_NS - i64::from(is_end);
    parse_date(text)
        .map(day)
        .or_else(|| parse_moment(text))
        .ok_or_else(|| {
            failure(
                422,
                &format!("invalid {name}: {text}; it is RFC 3339 or YYYY-MM-DD"),
            )
        })
}

pub fn is_descending(request: &Request) -> Result<bool, Response> {
    match request.param("sort") {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(other) => Err(failure(422, &format!("invalid sort: {other}"))),
    }
}

/// What is asked of bars, trades and quotes alike.
struct Asked<'a> {
    request: &'a Request,
    is_crypto: bool,
    /// In the order in which they are answered.
    symbols: BTreeSet<&'a str>,
    from: i64,
    /// Exclusive.
    to: i64,
    limit: u64,
    descending: bool,
    /// The trades of one exchange.
    only: Option<char>,
    token: Option<Token>,
}

/// Where a page begins, and the row before it.
struct Token {
    symbol: String,
    at: i64,
    last: i64,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let text = from_hex(text)?;
        let mut parts = text.split('|');
        let (symbol, at, last) = (
            parts.next()?.to_owned(),
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        );
        Some(Self { symbol, at, last })
    }
}

impl<'a> Asked<'a> {
    fn of(now: i64, request: &'a Request, is_crypto: bool, is_free: bool) -> Result<Self, Response> {
        let symbols = request.param("symbols").unwrap_or("");
        let symbols: BTreeSet<&str> = symbols
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .collect();
        if symbols.is_empty() {
            return Err(failure(422, "symbols is required"));
        }
        let is_symbol = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || ".-/".contains(c);
        if let Some(bad) = symbols
            .iter()
            .find(|s| !s.chars().all(is_symbol) || s.contains('/') != is_crypto)
        {
            return Err(failure(400, &format!("invalid symbol: {bad}")));
        }
        let feed = request
            .param("feed")
            .unwrap_or(if is_free && !is_crypto { "iex" } else { "sip" });
        let only = match feed {
            "iex" if !is_crypto => Some('V'),
            "sip" => None,
            other => return Err(failure(422, &format!("invalid feed: {other}; have sip and iex"))),
        };
        let day = 24 * 60 * MINUTE_NS;
        let recent = now - FREE_DELAY_NS;
        let is_late = is_free && !is_crypto && only.is_none();
        let from = moment(request, "start", now.div_euclid(day) * day)?;
        let end = moment(request, "end", if is_late { recent } else { now })?;
        if from > end {
            return Err(failure(422, "end should not be before start"));
        }
        if is_late && end > recent {
            return Err(failure(
                403,
                "subscription does not permit querying recent SIP data",
            ));
        }
        let token = match request.param("page_token") {
            None => None,
            Some(text) => Some(Token::read(text).ok_or_else(|| failure(422, "invalid page_token"))?),
        };
        Ok(Self {
            request,
            is_crypto,
            symbols,
            from,
            to: end + 1,
            limit: limit(request, 1_000, ROWS_MAX)?,
            descending: is_descending(request)?,
            only,
            token,
        })
    }

    /// One page: the rows of each symbol after the other, as long as the limit lets them in. `rows` gives those
    /// of a symbol from a place on, `place` the place of a row, `line` its text.
    fn page<T: Copy>(
        &self,
        scene: &mut Scene<'_>,
        what: &str,
        rows: impl Fn(&Scene<'_>, &'static Asset, Option<i64>) -> Box<dyn Iterator<Item = T>>,
        place: impl Fn(&T) -> i64,
        line: impl Fn(&Asset, &T) -> String,
    ) -> Response {
        let (mut left, mut parts, mut next) = (self.limit, Vec::new(), None);
        let mut last: Option<(&str, i64)> = None;
        let begin = self.token.as_ref().map_or("", |token| token.symbol.as_str());
        for symbol in self.symbols.iter().filter(|symbol| **symbol >= begin) {
            let Some(asset) = find(symbol, self.is_crypto) else {
                continue;
            };
            let token = self.token.as_ref().filter(|token| token.symbol == *symbol);
            let at = token.map(|token| match scene.faults.hit(Kind::Overlap) {
                // The row before may be another symbol's: then there is nothing to repeat.
                Some(_) if token.last >= 0 => token.last,
                _ => token.at,
            });
            let found = rows(scene, asset, at);
            let page = page(found, left, |_| 1, scene.faults);
            if !page.rows.is_empty() {
                let lines: Vec<String> = page.rows.iter().map(|row| line(asset, row)).collect();
                parts.push(format!("{}:[{}]", json!(symbol), lines.join(",")));
            }
            left -= page.cost.min(left);
            last = page.rows.last().map(|row| (*symbol, place(row))).or(last);
            if let Some(row) = page.next {
                let before = last.filter(|(of, _)| of == symbol).map_or(-1, |(_, at)| at);
                next = Some(to_hex(&format!("{symbol}|{}|{before}", place(&row))));
                break;
            }
        }
        Response::ok(format!(
            "{{\"{what}\":{{{}}},\"next_page_token\":{}}}",
            parts.join(","),
            json!(next)
        ))
    }

    fn bars(&self, scene: &mut Scene<'_>) -> Result<Response, Response> {
        let text = self.request.param("timeframe").unwrap_or("");
        let interval = timeframe(text).ok_or_else(|| failure(422, &format!("invalid timeframe: {text}")))?;
        let adjusted = match self.request.param("adjustment").unwrap_or("raw") {
            "raw" | "dividend" => false,
            "split" | "all" => true,
            other => return Err(failure(422, &format!("invalid adjustment: {other}"))),
        };
        let (from, to, only, descending) = (self.from, self.to, self.only, self.descending);
        let rows = move |scene: &Scene<'_>, asset, at: Option<i64>| -> Box<dyn Iterator<Item = Bar>> {
            let bars = Bars {
                world: scene.world,
                asset,
                interval,
                adjusted,
                only,
                now: scene.now,
            };
            match at {
                Some(at) if descending => Box::new(bars.starting(from, at + 1).rev()),
                None if descending => Box::new(bars.starting(from, to).rev()),
                at => Box::new(bars.starting(at.unwrap_or(from), to)),
            }
        };
        Ok(self.page(scene, "bars", rows, |bar| bar.start, bar))
    }

    fn trades(&self, scene: &mut Scene<'_>) -> Result<Response, Response> {
        let only = self.only;
        let rows = self.numbered(move |scene, asset, (from, to)| {
            let trades = scene.world.trades(asset, from, to, scene.now);
            trades.filter(move |trade| only.is_none_or(|only| only == trade.exchange))
        });
        Ok(self.page(scene, "trades", rows, |trade| trade.number as i64, trade))
    }

    fn quotes(&self, scene: &mut Scene<'_>) -> Result<Response, Response> {
        let rows = self.numbered(|scene, asset, (from, to)| scene.world.quotes(asset, from, to, scene.now));
        Ok(self.page(scene, "quotes", rows, |quote| quote.number as i64, quote))
    }

    /// Rows that have a number, from that of the token on.
    fn numbered<T: Numbered + 'static, I: DoubleEndedIterator<Item = T> + 'static>(
        &self,
        rows: impl Fn(&Scene<'_>, &'static Asset, (i64, i64)) -> I,
    ) -> impl Fn(&Scene<'_>, &'static Asset, Option<i64>) -> Box<dyn Iterator<Item = T>> {
        let (span, descending) = ((self.from, self.to), self.descending);
        move |scene, asset, at| {
            let number = at.map(|at| at as u64);
            ordered(
                rows(scene, asset, resume(span, number, descending)),
                number,
                descending,
            )
        }
    }
}

/// `[1-59]Min|T`, `[1-23]Hour|H`, `1Day|D`, `1Week|W`, `[1,2,3,4,6,12]Month|M`.
fn timeframe(text: &str) -> Option<Interval> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(at);
    let count: i64 = count.parse().ok()?;
    let (unit, is_allowed) = match unit {
        "Min" | "T" => (Unit::Minute, (1..=59).contains(&count)),
        "Hour" | "H" => (Unit::Hour, (1..=23).contains(&count)),
        "Day" | "D" => (Unit::Day, count == 1),
        "Week" | "W" => (Unit::Week(1), count == 1),
        "Month" | "M" => (Unit::Month, [1, 2, 3, 4, 6, 12].contains(&count)),
        _ => return None,
    };
    is_allowed.then_some(Interval { count, unit })
}

/// Prices and volume of a bar as they stand in both REST and streams.
pub fn bar_fields(asset: &Asset, bar: &Bar) -> String {
    let more = if asset.class == Class::Crypto { 0 } else { 2 };
    format!(
        "\"o\":{},\"h\":{},\"l\":{},\"c\":{},\"v\":{},\"n\":{},\"vw\":{},\"t\":\"{}\"",
        asset.price(bar.open),
        asset.price(bar.high),
        asset.price(bar.low),
        asset.price(bar.close),
        asset.size(bar.volume),
        bar.trades,
        number(bar.vwap(u32::from(more)), asset.price_scale + more),
        time(bar.start)
    )
}

/// The same of a trade, without what became of it.
pub fn trade_fields(asset: &Asset, trade: &Trade) -> String {
    let common = format!(
        "\"t\":\"{}\",\"p\":{},\"s\":{},\"i\":{}",
        time(trade.ts),
        asset.price(trade.price),
        asset.size(trade.size),
        trade.number
    );
    if asset.class == Class::Crypto {
        return format!("{common},\"tks\":\"{}\"", if trade.is_buy { "B" } else { "S" });
    }
    format!(
        "{common},\"x\":\"{}\",\"c\":{},\"z\":\"{}\"",
        trade.exchange,
        json!(conditions(asset, trade)),
        asset.tape
    )
}

/// The same of a quote.
pub fn quote_fields(asset: &Asset, quote: &Quote) -> String {
    let common = format!(
        "\"t\":\"{}\",\"bp\":{},\"bs\":{},\"ap\":{},\"as\":{}",
        time(quote.ts),
        asset.price(quote.bid),
        asset.size(quote.bid_size),
        asset.price(quote.ask),
        asset.size(quote.ask_size)
    );
    if asset.class == Class::Crypto {
        return common;
    }
    format!(
        "{common},\"bx\":\"{}\",\"ax\":\"{}\",\"c\":[\"R\"],\"z\":\"{}\"",
        quote.bid_exchange, quote.ask_exchange, asset.tape
    )
}

fn bar(asset: &Asset, bar: &Bar) -> String {
    format!("{{{}}}", bar_fields(asset, bar))
}

fn trade(asset: &Asset, trade: &Trade) -> String {
    let update = match trade.mark {
        Mark::Valid => "",
        Mark::Cancelled => ",\"u\":\"canceled\"",
        Mark::Incorrect => ",\"u\":\"incorrect\"",
        Mark::Correction => ",\"u\":\"corrected\"",
    };
    format!("{{{}{update}}}", trade_fields(asset, trade))
}

fn quote(asset: &Asset, quote: &Quote) -> String {
    format!("{{{}}}", quote_fields(asset, quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeframes_are_those_of_the_documentation() {
        let minutes = |count| {
            Some(Interval {
                count,
                unit: Unit::Minute,
            })
        };
        assert_eq!((timeframe("1Min"), timeframe("59T")), (minutes(1), minutes(59)));
        assert_eq!(
            timeframe("12Month"),
            Some(Interval {
                count: 12,
                unit: Unit::Month
            })
        );
        for bad in [
            "", "Min", "0Min", "60Min", "24Hour", "2Day", "2W", "5M", "1min", "-1Min", "1Minute",
        ] {
            assert_eq!(timeframe(bad), None, "{bad}");
        }
    }
}
