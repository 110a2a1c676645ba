//! The messages of the other channels: trade, ticker, ohlc, instrument.

use crate::market::{Instrument, Market};
use crate::number::{push_int, push_percent, push_time, push_uint};
use crate::protocols::SECOND_NS;
use kernels::matching::Side;

pub(super) fn trades_message(kind: &str, instrument: &Instrument, from: usize) -> String {
    let mut text = format!("{{\"channel\":\"trade\",\"type\":\"{kind}\",\"data\":[");
    for (n, trade) in instrument.trades.range(from..).enumerate() {
        text.push_str(if n == 0 {
            "{\"symbol\":\""
        } else {
            ",{\"symbol\":\""
        });
        text.push_str(&instrument.spec.symbol);
        text.push_str(if trade.aggressor == Side::Bid {
            "\",\"side\":\"buy\",\"price\":"
        } else {
            "\",\"side\":\"sell\",\"price\":"
        });
        instrument.spec.push_price(&mut text, trade.price);
        text.push_str(",\"qty\":");
        instrument.spec.push_size(&mut text, trade.size);
        text.push_str(if trade.is_market() {
            ",\"ord_type\":\"market\",\"trade_id\":"
        } else {
            ",\"ord_type\":\"limit\",\"trade_id\":"
        });
        push_uint(&mut text, trade.id);
        text.push_str(",\"timestamp\":\"");
        push_time(&mut text, trade.ts, 6);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
}

pub(super) fn ticker_message(kind: &str, instrument: &Instrument, ts: i64) -> String {
    let spec = &instrument.spec;
    let (bid, ask) = instrument.touch();
    let day = instrument.day();
    let last = instrument.last_price();
    let mut text = format!(
        "{{\"channel\":\"ticker\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"{}\"",
        spec.symbol
    );
    for (name, price) in [(",\"bid\":", bid), (",\"ask\":", ask)] {
        let (price, size) = price.unwrap_or((0, 0));
        text.push_str(name);
        spec.push_price(&mut text, price);
        text.push_str(if name == ",\"bid\":" {
            ",\"bid_qty\":"
        } else {
            ",\"ask_qty\":"
        });
        spec.push_size(&mut text, size);
    }
    text.push_str(",\"last\":");
    spec.push_price(&mut text, last);
    text.push_str(",\"volume\":");
    spec.push_size(&mut text, day.volume);
    text.push_str(",\"vwap\":");
    spec.push_vwap(&mut text, day.notional, day.volume);
    text.push_str(",\"low\":");
    spec.push_price(&mut text, day.low);
    text.push_str(",\"high\":");
    spec.push_price(&mut text, day.high);
    text.push_str(",\"change\":");
    spec.push_price(&mut text, last - day.open);
    text.push_str(",\"change_pct\":");
    push_percent(&mut text, last - day.open, day.open, 2);
    text.push_str(",\"timestamp\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}]}");
    text
}

pub(super) fn bars_message(
    kind: &str,
    instrument: &Instrument,
    minutes: i64,
    count: i64,
    now: i64,
) -> String {
    let spec = &instrument.spec;
    let interval_ns = minutes * 60 * SECOND_NS;
    let from = now - (count - 1) * interval_ns;
    let bars = if kind == "update" && minutes == 1 {
        instrument.running_minute().copied().into_iter().collect()
    } else {
        instrument.bars(interval_ns, from, now + 1, false)
    };
    let mut text = format!("{{\"channel\":\"ohlc\",\"type\":\"{kind}\",\"timestamp\":\"");
    push_time(&mut text, now, 9);
    text.push_str("\",\"data\":[");
    for (n, bar) in bars.iter().enumerate() {
        text.push_str(if n == 0 {
            "{\"symbol\":\""
        } else {
            ",{\"symbol\":\""
        });
        text.push_str(&spec.symbol);
        for (name, price) in [
            ("\",\"open\":", bar.open),
            (",\"high\":", bar.high),
            (",\"low\":", bar.low),
            (",\"close\":", bar.close),
        ] {
            text.push_str(name);
            spec.push_price(&mut text, price);
        }
        text.push_str(",\"trades\":");
        push_uint(&mut text, bar.trades);
        text.push_str(",\"volume\":");
        spec.push_size(&mut text, bar.volume);
        text.push_str(",\"vwap\":");
        spec.push_vwap(&mut text, bar.notional, bar.volume);
        text.push_str(",\"interval_begin\":\"");
        push_time(&mut text, bar.start_ns, 9);
        text.push_str("\",\"interval\":");
        push_int(&mut text, minutes);
        text.push_str(",\"timestamp\":\"");
        push_time(&mut text, bar.start_ns + interval_ns, 6);
        text.push_str("\"}");
    }
    text.push_str("]}");
    text
}

pub(super) fn instruments_message(market: &Market) -> String {
    let mut assets = vec![asset_entry("USD", 4, 2)];
    assets.extend(
        market
            .instruments
            .iter()
            .map(|i| asset_entry(&i.spec.base, 10, 5)),
    );
    let pairs: Vec<String> = market
        .instruments
        .iter()
        .map(|i| {
            let spec = &i.spec;
            let (tick, lot) = (spec.price_text(1), spec.size_text(1));
            format!(
                "{{\"symbol\":\"{}\",\"base\":\"{}\",\"quote\":\"{}\",\"status\":\"online\",\"qty_precision\":{},\
                 \"qty_increment\":{lot},\"qty_min\":{},\"price_precision\":{},\"price_increment\":{tick},\
                 \"tick_size\":{tick},\"cost_precision\":5,\"cost_min\":0.50,\"marginable\":false,\"has_index\":false}}",
                spec.symbol,
                spec.base,
                spec.quote,
                spec.size_places,
                spec.size_text((spec.base_lots / 100).max(1)),
                spec.price_places
            )
        })
        .collect();
    format!(
        "{{\"channel\":\"instrument\",\"type\":\"snapshot\",\"data\":{{\"assets\":[{}],\"pairs\":[{}]}}}}",
        assets.join(","),
        pairs.join(",")
    )
}

fn asset_entry(name: &str, precision: u8, shown: u8) -> String {
    format!(
        "{{\"id\":\"{name}\",\"status\":\"enabled\",\"precision\":{precision},\"precision_display\":{shown},\
         \"borrowable\":false,\"collateral_value\":0.0}}"
    )
}
