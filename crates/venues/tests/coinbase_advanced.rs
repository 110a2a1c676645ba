//! Coinbase Advanced Trade through its real session.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::*;
use venues::Output;
use wire::{Side, cause, channel, flag, kind, status};

fn two() -> Driver {
    Driver::new(
        "coinbase-advanced",
        &[subscription(1, "BTC-USD", 2, 8), subscription(2, "ETH-USD", 2, 8)],
        only(true, true, true, 0),
    )
}

fn ids(out: &Output) -> Vec<u64> {
    of_kind(&out.records, kind::TRADE)
        .iter()
        .map(|trade| trade.id)
        .collect()
}

fn envelope(name: &str, number: u64, events: &str) -> String {
    format!(
        "{{\"channel\":\"{name}\",\"timestamp\":\"2026-04-07T14:30:00.000000Z\",\"sequence_num\":{number},\"events\":[{events}]}}"
    )
}

fn book(kind: &str, number: u64, levels: &[(&str, &str, &str)]) -> String {
    let rows: Vec<String> = levels
        .iter()
        .map(|(side, price, size)| {
            format!(
                "{{\"side\":\"{side}\",\"event_time\":\"2026-04-07T14:30:00.123456Z\",\"price_level\":\"{price}\",\
                 \"new_quantity\":\"{size}\"}}"
            )
        })
        .collect();
    let event = format!(
        "{{\"type\":\"{kind}\",\"product_id\":\"BTC-USD\",\"updates\":[{}]}}",
        rows.join(",")
    );
    envelope("l2_data", number, &event)
}

fn trades(kind: &str, number: u64, ids: &[u64]) -> String {
    let rows: Vec<String> = ids
        .iter()
        .map(|id| {
            format!(
                "{{\"trade_id\":\"{id}\",\"product_id\":\"BTC-USD\",\"price\":\"68900.50\",\"size\":\"0.00150000\",\
                 \"side\":\"BUY\",\"time\":\"2026-04-07T14:30:02.789012Z\"}}"
            )
        })
        .collect();
    envelope(
        "market_trades",
        number,
        &format!("{{\"type\":\"{kind}\",\"trades\":[{}]}}", rows.join(",")),
    )
}

fn heartbeat(number: u64) -> String {
    envelope(
        "heartbeats",
        number,
        "{\"current_time\":\"2026-04-07 14:30:10 +0000 UTC m=+1\",\"heartbeat_counter\":42}",
    )
}

/// The recording, message by message: nothing lost, nothing changed, and the books it leads to.
#[test]
fn the_recording_digit_for_digit() {
    let Some(file) = recorded("ws/cryptofeed/COINBASE.jsonl.zst") else {
        return;
    };
    let text = String::from_utf8(zstd::decode_all(&file[..]).unwrap()).unwrap();
    let mut driver = two();
    driver.take();
    let mut messages = 0;
    // (product, side, price text, size text) and (product, id, price, size, aggressor) as the venue printed them
    let mut levels: Vec<(u32, Side, String, String)> = Vec::new();
    let mut expected_trades: Vec<(u32, u64, String, String, Side)> = Vec::new();
    let mut expected_quotes: Vec<(u32, [String; 4])> = Vec::new();
    let mut books: BTreeMap<(u32, bool), BTreeMap<u64, String>> = BTreeMap::new();
    let text_of = |value: &Value| value.as_str().unwrap().to_string();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["t"] != "recv" {
            continue;
        }
        messages += 1;
        let raw = line["data"].as_str().unwrap();
        driver.message(raw);
        let value: Value = serde_json::from_str(raw).unwrap();
        for event in value["events"].as_array().unwrap() {
            let number = |row: &Value| if row["product_id"] == "BTC-USD" { 1 } else { 2 };
            for update in event["updates"].as_array().into_iter().flatten() {
                let product = number(event);
                let bid = update["side"] == "bid";
                let (price, size) = (text_of(&update["price_level"]), text_of(&update["new_quantity"]));
                let cents = price.parse::<f64>().unwrap() * 100.0;
                let side = books.entry((product, bid)).or_default();
                if size.parse::<f64>().unwrap() == 0.0 {
                    side.remove(&(cents.round() as u64));
                } else {
                    side.insert(cents.round() as u64, size.clone());
                }
                levels.push((product, if bid { Side::Buy } else { Side::Sell }, price, size));
            }
            let mut rows: Vec<_> = event["trades"].as_array().into_iter().flatten().collect();
            rows.sort_by_key(|row| text_of(&row["trade_id"]).parse::<u64>().unwrap());
            for row in rows {
                let side = if row["side"] == "BUY" {
                    Side::Sell
                } else {
                    Side::Buy
                };
                let id = text_of(&row["trade_id"]).parse().unwrap();
                expected_trades.push((
                    number(row),
                    id,
                    text_of(&row["price"]),
                    text_of(&row["size"]),
                    side,
                ));
            }
            for row in event["tickers"].as_array().into_iter().flatten() {
                let field = |name: &str| text_of(&row[name]);
                expected_quotes.push((
                    number(row),
                    [
                        field("best_bid"),
                        field("best_bid_quantity"),
                        field("best_ask"),
                        field("best_ask_quantity"),
                    ],
                ));
            }
        }
    }
    let out = driver.take();
    assert_eq!(messages, 1030);
    assert_eq!(out.quarantined, []);
    assert_eq!(of_kind(&out.records, kind::GAP), []);
    assert!(
        !out.actions
            .iter()
            .any(|action| matches!(action, venues::Action::Reconnect { .. }))
    );
    let got: Vec<_> = of_kind(&out.records, kind::LEVEL)
        .iter()
        .map(|r| {
            (
                r.instrument,
                r.side(),
                r.price().to_string(),
                r.size().to_string(),
            )
        })
        .collect();
    assert_eq!(got.len(), 74_193);
    assert!(got == levels, "levels differ");
    let got: Vec<_> = of_kind(&out.records, kind::TRADE)
        .iter()
        .map(|r| {
            (
                r.instrument,
                r.id,
                r.price().to_string(),
                r.size().to_string(),
                r.side(),
            )
        })
        .collect();
    assert_eq!(got.len(), 279);
    assert_eq!(got, expected_trades);
    let got: Vec<_> = of_kind(&out.records, kind::QUOTE)
        .chunks(2)
        .map(|q| {
            let text = [q[0].price(), q[0].size(), q[1].price(), q[1].size()].map(|d| d.to_string());
            (q[0].instrument, text)
        })
        .collect();
    assert_eq!(got, expected_quotes);
    for instrument in [1, 2] {
        let book = rebuild(&out.records, instrument);
        assert!(book.valid());
        let ours = |levels: Vec<(wire::Decimal, wire::Decimal, i64)>| -> BTreeMap<u64, String> {
            levels
                .into_iter()
                .map(|(p, s, _)| (p.rescale(2).unwrap().mantissa as u64, s.to_string()))
                .collect()
        };
        assert!(ours(book.bids().collect()) == books[&(instrument, true)]);
        assert!(ours(book.asks().collect()) == books[&(instrument, false)]);
    }
    let statuses = book_statuses(&out.records);
    assert_eq!(statuses, [status::BOOK_VALID, status::BOOK_VALID]);
}

#[test]
fn subscribes_each_channel_after_the_heartbeats() {
    let mut driver = two();
    driver.wait(S);
    let channels: Vec<Value> = driver
        .sends()
        .iter()
        .map(|send| serde_json::from_str::<Value>(send).unwrap()["channel"].clone())
        .collect();
    assert_eq!(channels, ["heartbeats", "market_trades", "ticker", "level2"]);
}

#[test]
fn snapshots_come_newest_first_and_leave_oldest_first() {
    let mut driver = two();
    driver.take();
    driver
        .message(trades("snapshot", 0, &[7, 6, 5]))
        .message(trades("update", 1, &[8]));
    assert_eq!(ids(&driver.out), [5, 6, 7, 8]);
    let snapshot: Vec<bool> = driver
        .out
        .records
        .iter()
        .map(|record| record.has(flag::SNAPSHOT))
        .collect();
    assert_eq!(snapshot, [true, true, true, false]);
    assert!(
        driver
            .out
            .records
            .iter()
            .all(|record| record.side() == Side::Sell),
        "the maker bought"
    );
}

#[test]
fn a_jump_of_the_sequence_spoils_all_books_and_names_trades_exactly() {
    let mut driver = two();
    driver.message(book(
        "snapshot",
        0,
        &[("bid", "68900.00", "1.5"), ("offer", "68901.00", "0.5")],
    ));
    driver.message(trades("update", 1, &[7])).take();
    driver.message(heartbeat(3));
    let out = driver.take();
    assert_eq!(gaps(&out.records, channel::BOOK), [(cause::SEQUENCE_HOLE, -1)]);
    assert_eq!(
        gaps(&out.records, channel::TRADES),
        [],
        "whether a trade was lost the next id tells"
    );
    driver.message(trades("update", 4, &[9]));
    assert_eq!(
        gaps(&driver.out.records, channel::TRADES),
        [(cause::SEQUENCE_HOLE, 1)]
    );
    driver.wait(S);
    assert!(
        driver
            .sends()
            .iter()
            .any(|send| send.contains("unsubscribe") && send.contains("level2"))
    );
    driver.take();
    driver.message(book("update", 5, &[("bid", "68900.00", "9")]));
    assert_eq!(driver.out.records, [], "not before its snapshot");
    driver.message(book(
        "snapshot",
        6,
        &[("bid", "68900.00", "1.5"), ("offer", "68901.00", "0.5")],
    ));
    assert!(rebuild(&driver.out.records, 1).valid());
}

#[test]
fn repeated_messages_are_dropped_whole() {
    let mut driver = two();
    driver.message(book(
        "snapshot",
        0,
        &[("bid", "68900.00", "1.5"), ("offer", "68901.00", "0.5")],
    ));
    driver.message(book("update", 1, &[("bid", "68899.00", "1")]));
    driver.take();
    driver
        .message(book("update", 1, &[("bid", "68899.00", "1")]))
        .message(heartbeat(0));
    assert_eq!(driver.out.records, []);
    driver.message(heartbeat(2));
    assert_eq!(driver.out.records, []);
}

#[test]
fn a_broken_message_costs_its_channel_when_it_still_tells_and_no_more() {
    let mut driver = two();
    driver
        .message(book(
            "snapshot",
            0,
            &[("bid", "68900.00", "1.5"), ("offer", "68901.00", "0.5")],
        ))
        .take();
    let text = trades("update", 1, &[7]);
    driver.message(&text[..text.len() - 2]).message(heartbeat(2));
    assert_eq!(
        driver.out.records,
        [],
        "the number and the channel were there: no book is spoilt"
    );
    driver.message(trades("update", 3, &[8])).take();
    let text = book("update", 4, &[("bid", "NaN", "1")]);
    driver.message(text);
    assert_eq!(gaps(&driver.out.records, channel::BOOK), [(cause::MALFORMED, -1)]);
    driver.take();
    driver
        .message(book(
            "snapshot",
            5,
            &[("bid", "68900.00", "1.5"), ("offer", "68901.00", "0.5")],
        ))
        .take();
    driver.message("{\"channel\":").message(heartbeat(7));
    assert_eq!(gaps(&driver.out.records, channel::BOOK), [(cause::MALFORMED, -1)]);
}

#[test]
fn an_alias_is_collected_under_the_name_that_messages_print() {
    let body = br#"{"products":[
        {"product_id":"BTC-USD","base_increment":"0.00000001","quote_increment":"0.01","price_increment":"0.01","status":"online",
         "product_type":"SPOT","quote_currency_id":"USD","base_currency_id":"BTC","alias":"","alias_to":["BTC-USDC"]},
        {"product_id":"BTC-USDC","base_increment":"0.00000001","quote_increment":"0.01","price_increment":"0.01","status":"online",
         "product_type":"SPOT","quote_currency_id":"USDC","base_currency_id":"BTC","alias":"BTC-USD","alias_to":[]},
        {"product_id":"BIT-31JUL","base_increment":"1","quote_increment":"5","status":"","product_type":"FUTURE",
         "quote_currency_id":"USD","base_currency_id":""}]}"#;
    let protocol = venues::by_name("coinbase-advanced").unwrap();
    let listings = protocol.listings(body).unwrap();
    assert_eq!(listings.len(), 2);
    let usdc = listings[1].clone();
    assert_eq!(
        (
            usdc.symbol.as_str(),
            usdc.rest_symbol.as_str(),
            usdc.quote.as_str()
        ),
        ("BTC-USD", "BTC-USDC", "USDC")
    );
    // both at once: their messages cannot be told apart, so the second is closed, and says why
    let both: Vec<_> = listings
        .into_iter()
        .zip(1..)
        .map(|(listing, instrument)| venues::Subscription { instrument, listing })
        .collect();
    let driver = Driver::new("coinbase-advanced", &both, only(true, false, false, 0));
    assert_eq!(
        (driver.out.records[0].instrument, driver.out.records[0].id),
        (2, status::CLOSED)
    );
    // alone it has the data
    let mut driver = Driver::new("coinbase-advanced", &both[1..], only(true, false, false, 0));
    driver.message(trades("update", 0, &[1]));
    assert_eq!(driver.out.records[0].instrument, 2);
}

#[test]
fn the_recorded_instrument_table() {
    let protocol = venues::by_name("coinbase-advanced").unwrap();
    let Some(file) = recorded("ws/cryptofeed/COINBASE.jsonl.zst") else {
        return;
    };
    let text = zstd::decode_all(&file[..]).unwrap();
    let line = text.split(|byte| *byte == b'\n').nth(1).unwrap();
    let value: Value = serde_json::from_slice(line).unwrap();
    let listings = protocol
        .listings(value["data"].as_str().unwrap().as_bytes())
        .unwrap();
    let btc = listings
        .iter()
        .find(|listing| listing.rest_symbol == "BTC-USD")
        .unwrap();
    assert_eq!(
        (btc.symbol.as_str(), btc.price_scale, btc.size_scale),
        ("BTC-USD", 2, 8)
    );
    let Some(body) = recorded("messages/coinbase/http_product.json") else {
        return;
    };
    let body = format!("{{\"products\":[{}]}}", String::from_utf8(body).unwrap());
    assert_eq!(protocol.listings(body.as_bytes()).unwrap().len(), 1);
}

#[test]
fn recorded_single_messages() {
    let mut book_then = two();
    for (file, trades, quotes, levels) in [
        ("ws_heartbeats", 0, 0, 0),
        ("ws_subscriptions", 0, 0, 0),
        ("ws_candles", 0, 0, 0),
        ("ws_market_trades", 2, 0, 0),
        ("ws_ticker", 0, 2, 0),
        ("ws_l2_data_snapshot", 0, 0, 6),
    ] {
        let Some(text) = recorded(&format!("messages/coinbase/{file}.json")) else {
            return;
        };
        let mut driver = two();
        driver.take();
        driver.message(&text);
        let out = driver.take();
        assert_eq!(out.quarantined, [], "{file}");
        let count = |wanted| of_kind(&out.records, wanted).len();
        assert_eq!(
            (count(kind::TRADE), count(kind::QUOTE), count(kind::LEVEL)),
            (trades, quotes, levels),
            "{file}"
        );
        if file == "ws_l2_data_snapshot" {
            book_then.message(&text).take();
        }
    }
    let Some(text) = recorded("messages/coinbase/ws_l2_data_update.json") else {
        return;
    };
    book_then.message(&text);
    assert_eq!(of_kind(&book_then.out.records, kind::LEVEL).len(), 2);
    let records = &book_then.out.records;
    assert_eq!(records[0].price().to_string(), "68900.00");
    assert_eq!(
        (records[1].side(), records[1].size, records[1].size_scale),
        (Side::Sell, 0, 8)
    );
}

#[test]
fn a_mute_channel_shows_by_asking_for_the_last_trade() {
    let mut driver = two();
    driver.message(trades("update", 0, &[7])).take();
    let mut number = 0;
    let mut asked = false;
    for _ in 0..700 {
        number += 1;
        driver.message(heartbeat(number)).wait(S / 10);
        let gets = driver.gets();
        // the other product, which never spoke, is asked for too
        let of_btc = gets.iter().find(|get| get.1.contains("BTC-USD"));
        if let (Some(&(request, path)), false) = (of_btc, asked) {
            assert_eq!(path, "/market/products/BTC-USD/ticker?limit=1");
            asked = true;
            driver.respond(
                request,
                200,
                r#"{"trades":[{"trade_id":"9","product_id":"BTC-USD"}],"best_bid":"1"}"#,
            );
        }
    }
    assert_eq!(gaps(&driver.out.records, channel::TRADES), [(cause::STALL, -1)]);
}

#[test]
fn repeated_snapshots_are_no_reason_to_leave() {
    let mut driver = two();
    let all: Vec<u64> = (1..=100).rev().collect();
    for number in 0..5 {
        driver.message(trades("snapshot", number, &all));
    }
    assert!(
        !driver
            .out
            .actions
            .iter()
            .any(|action| matches!(action, venues::Action::Reconnect { .. }))
    );
    assert_eq!(ids(&driver.out).len(), 100);
}

#[test]
fn trade_ids_that_go_back_for_good_are_left() {
    let mut driver = two();
    driver.message(trades("update", 0, &[1_000_000])).take();
    for number in 1..150 {
        driver.message(trades("update", number, &[number]));
    }
    let left = |action: &&venues::Action| {
        matches!(
            action,
            venues::Action::Reconnect {
                cause: cause::SEQUENCE_HOLE,
                ..
            }
        )
    };
    assert_eq!(driver.out.actions.iter().filter(left).count(), 1);
    assert_eq!(driver.out.records, []);
}

/// The answer does not say which subscription was one too many, and a channel that never spoke is not missed:
/// all are asked for again, after a rest, and once however many were refused.
#[test]
fn a_refused_subscription_is_asked_for_again_once_the_venue_has_had_its_rest() {
    let mut driver = two();
    let first: Vec<String> = driver.sends().iter().map(ToString::to_string).collect();
    driver.take();
    for _ in 0..3 {
        driver.message(r#"{"type":"error","message":"rate limit exceeded"}"#);
    }
    driver.wait(S);
    assert_eq!(driver.sends(), Vec::<&str>::new(), "the venue asked for quiet");
    driver.message(heartbeat(0)).wait(3 * S);
    assert_eq!(driver.sends(), first);
}
