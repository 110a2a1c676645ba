//! The public part of REST, and what each request weighs.

use super::MILLI_NS;
use super::message::{aggregate_fields, average, bars_of, push_average, push_pair, push_stamp, push_touch};
use super::stream::{INTERVALS, bar_end, bar_start, interval_ns};
use crate::http::{Request, Response};
use crate::market::{Instrument, Market, fill_until};
use crate::number::{push_percent, push_uint};
use crate::protocols::{SECOND_NS, quoted};
use kernels::matching::Side;

const WEIGHT_PER_MINUTE: i64 = 6_000;
/// Refusals in a minute after which a client that does not back off is banned, and for how long.
const REFUSALS: u32 = 10;
const BAN_NS: i64 = 120 * SECOND_NS;
/// The private side, which is refused.
const SIGNED: [&str; 7] = [
    "/api/v3/account",
    "/api/v3/allOrders",
    "/api/v3/myTrades",
    "/api/v3/openOrders",
    "/api/v3/order",
    "/api/v3/order/test",
    "/api/v3/userDataStream",
];

/// Request weight used in a minute of venue time, over all clients: they share this machine's address.
#[derive(Default)]
pub(super) struct Meter {
    used: i64,
    minute: i64,
    refused: u32,
    /// When the ban ends; 0 without one.
    banned_until_ns: i64,
}

impl Meter {
    /// Answers a request, or refuses it for its weight.
    pub(super) fn answer(&mut self, market: &Market, request: &Request) -> Response {
        if market.now_ns < self.banned_until_ns {
            return self.ban(market);
        }
        let minute = market.now_ns / (60 * SECOND_NS);
        if minute != self.minute {
            *self = Self {
                minute,
                ..Self::default()
            };
        }
        let path = request.path.trim_end_matches('/');
        self.used += weight(path, request);
        if self.used > WEIGHT_PER_MINUTE {
            self.refused += 1;
            if self.refused > REFUSALS {
                self.banned_until_ns = market.now_ns + BAN_NS;
                return self.ban(market);
            }
            let retry_after_s = 60 - (market.now_ns / SECOND_NS) % 60;
            return fail(
                429,
                -1003,
                "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.",
            )
            .with("retry-after", retry_after_s);
        }
        answer(market, path, request)
            .with("x-mbx-used-weight", self.used)
            .with("x-mbx-used-weight-1m", self.used)
    }

    fn ban(&self, market: &Market) -> Response {
        let until_ms = self.banned_until_ns / MILLI_NS;
        let left_s = (self.banned_until_ns - market.now_ns) / SECOND_NS + 1;
        let why = format!(
            "Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams for live updates \
             to avoid bans."
        );
        fail(418, -1003, &why).with("retry-after", left_s)
    }
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

fn answer(market: &Market, path: &str, request: &Request) -> Response {
    let now = market.clock();
    match path {
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
        // Clients with a key ask what they pay before they list anything.
        "/sapi/v1/asset/tradeFee" if request.header("x-mbx-apikey").is_some() => {
            with_symbols(market, request, |i| {
                format!(
                    "{{\"symbol\":\"{}\",\"makerCommission\":\"0.001\",\"takerCommission\":\"0.001\"}}",
                    i.spec.symbol
                )
            })
        }
        path if path.starts_with("/sapi/") || SIGNED.contains(&path) => {
            fail(401, -2015, "Invalid API-key, IP, or permissions for action.")
        }
        _ => Response::json(404, "{\"code\":-1,\"msg\":\"Not Found\"}"),
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
    spec.push_size(&mut largest, i128::from(spec.max_lots) * 10);
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
        trades.partition_point(|t| t.ts.div_euclid(MILLI_NS) <= end)
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
    let end_ns = if end >= 0 { (end * MILLI_NS).min(now) } else { now };
    let from_ns = if start >= 0 {
        start * MILLI_NS
    } else {
        end_ns - (limit - 1) * interval_ns(at)
    };
    // A bar belongs to the window by its open time.
    let begun_ns = bar_start(at, from_ns);
    let first = if start >= 0 && begun_ns < from_ns {
        bar_end(at, begun_ns)
    } else {
        begun_ns
    };
    let mut bars = bars_of(instrument, at, first, end_ns + 1);
    fill_until(&mut bars, bar_start(at, end_ns), |start_ns| bar_end(at, start_ns));
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
        push_stamp(&mut text, bar_end(at, bar.start_ns) - MILLI_NS, false);
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
