//! Coinbase Exchange through its real session.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use support::*;
use venues::{Action, Output};
use wire::{Side, cause, channel, flag, kind, status};

const BTC: &str = "BTC-USD";

fn btc() -> Driver {
    let mut driver = Driver::new(
        "coinbase",
        &[subscription(1, BTC, 2, 8), subscription(2, "ETH-USD", 2, 8)],
        only(true, true, true, 0),
    );
    driver.message(snapshot(&[("100.00", "1")], &[("101.00", "2")]));
    driver
}

fn a_match(kind: &str, id: u64) -> String {
    format!(
        "{{\"type\":\"{kind}\",\"trade_id\":{id},\"maker_order_id\":\"a\",\"taker_order_id\":\"b\",\"side\":\"sell\",\
         \"size\":\"0.00513192\",\"price\":\"9314.78\",\"product_id\":\"{BTC}\",\"sequence\":{},\
         \"time\":\"2020-01-31T20:03:41.158814Z\"}}",
        id * 10
    )
}

fn heartbeat(last: u64) -> String {
    format!(
        "{{\"type\":\"heartbeat\",\"sequence\":90,\"last_trade_id\":{last},\"product_id\":\"{BTC}\",\
         \"time\":\"2014-11-07T08:19:28.464459Z\"}}"
    )
}

fn rows(levels: &[(&str, &str)]) -> String {
    let rows: Vec<String> = levels.iter().map(|(p, s)| format!("[\"{p}\",\"{s}\"]")).collect();
    format!("[{}]", rows.join(","))
}

fn snapshot(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> String {
    format!(
        "{{\"type\":\"snapshot\",\"product_id\":\"{BTC}\",\"asks\":{},\"bids\":{},\"time\":\"2019-08-14T20:42:27.000Z\"}}",
        rows(asks),
        rows(bids)
    )
}

fn update(changes: &[(&str, &str, &str)]) -> String {
    let rows: Vec<String> = changes
        .iter()
        .map(|(side, p, s)| format!("[\"{side}\",\"{p}\",\"{s}\"]"))
        .collect();
    format!(
        "{{\"type\":\"l2update\",\"product_id\":\"{BTC}\",\"changes\":[{}],\"time\":\"2019-08-14T20:42:27.265Z\"}}",
        rows.join(",")
    )
}

fn ids(out: &Output) -> Vec<u64> {
    of_kind(&out.records, kind::TRADE)
        .iter()
        .map(|trade| trade.id)
        .collect()
}

#[test]
fn subscribes_at_once_in_one_message() {
    let driver = btc();
    let sends = driver.sends();
    assert_eq!(sends.len(), 1);
    let value: serde_json::Value = serde_json::from_str(sends[0]).unwrap();
    assert_eq!(value["product_ids"], serde_json::json!([BTC, "ETH-USD"]));
    assert_eq!(
        value["channels"],
        serde_json::json!(["heartbeat", "matches", "ticker", "level2_batch"])
    );
}

#[test]
fn the_maker_sold_so_the_aggressor_bought() {
    let mut driver = btc();
    driver.take();
    driver.message(a_match("match", 5));
    let trade = driver.out.records[0];
    assert_eq!(trade.side(), Side::Buy);
    assert_eq!(
        (trade.price().to_string(), trade.size().to_string()),
        ("9314.78".into(), "0.00513192".into())
    );
    assert_eq!(trade.ts_event, 1_580_501_021_158_814_000);
    assert!(trade.has(flag::LAST | flag::HAS_ID) && !trade.has(flag::SNAPSHOT));
}

#[test]
fn the_last_match_of_a_subscription_is_a_snapshot() {
    let mut driver = btc();
    driver.take();
    driver
        .message(a_match("last_match", 5))
        .message(a_match("match", 6))
        .message(a_match("match", 9));
    assert_eq!(ids(&driver.out), [5, 6, 9]);
    assert!(driver.out.records[0].has(flag::SNAPSHOT));
    assert_eq!(
        gaps(&driver.out.records, channel::TRADES),
        [(cause::SEQUENCE_HOLE, 2)]
    );
}

#[test]
fn updates_before_the_snapshot_are_ignored() {
    let mut driver = Driver::new(
        "coinbase",
        &[subscription(1, BTC, 2, 8)],
        only(true, true, true, 0),
    );
    driver.message(update(&[("buy", "100.00", "1")]));
    assert_eq!(driver.out.records, []);
    driver.message(snapshot(&[("100.00", "1")], &[("101.00", "2")]));
    driver.message(update(&[
        ("buy", "100.0", "0.00000000"),
        ("buy", "99", "0.162567"),
    ]));
    let book = rebuild(&driver.out.records, 1);
    assert!(book.valid());
    assert_eq!(
        sides(&book),
        (
            vec![("99".into(), "0.162567".into())],
            vec![("101".into(), "2".into())]
        )
    );
    let clear = driver.out.records[0];
    assert!(
        clear.kind == kind::CLEAR && clear.has(flag::SNAPSHOT) && clear.ts_event == 1_565_815_347_000_000_000
    );
    assert_eq!(book_statuses(&driver.out.records), [status::BOOK_VALID]);
}

#[test]
fn a_crossed_book_is_never_shown() {
    let mut driver = btc();
    driver.take();
    driver.message(update(&[("buy", "101.00", "1")]));
    let out = driver.take();
    assert_eq!(gaps(&out.records, channel::BOOK), [(cause::CHECKSUM, -1)]);
    assert_eq!(of_kind(&out.records, kind::LEVEL), []);
    driver.wait(S / 5);
    let sends = driver.sends();
    assert!(
        sends[0].contains("unsubscribe")
            && sends[0].contains("level2_batch")
            && !sends[0].contains("ETH-USD")
    );
    assert!(sends[1].contains("\"subscribe\""));
    driver.take();
    driver.message(snapshot(&[("102.00", "1")], &[("101.00", "2")]));
    assert_eq!(driver.out.records, [], "crossed in itself: still invalid");
    driver.message(snapshot(&[("100.00", "1")], &[("101.00", "2")]));
    assert!(rebuild(&driver.out.records, 1).valid());
}

#[test]
fn a_heartbeat_that_names_a_missing_trade_opens_the_gap() {
    let mut driver = btc();
    driver.message(a_match("match", 5)).take();
    // the next trade comes by another way than the heartbeat: a moment's lead is no loss
    driver
        .message(heartbeat(6))
        .wait(S)
        .message(a_match("match", 6))
        .message(heartbeat(6))
        .wait(3 * S);
    assert_eq!(gaps(&driver.out.records, channel::TRADES), []);
    driver.message(heartbeat(9)).message(a_match("match", 7));
    for _ in 0..4 {
        driver.wait(S).message(heartbeat(9));
    }
    assert_eq!(
        gaps(&driver.out.records, channel::TRADES),
        [(cause::SEQUENCE_HOLE, 2)]
    );
    driver.take();
    driver.message(a_match("match", 10));
    assert_eq!(
        gaps(&driver.out.records, channel::TRADES),
        [],
        "one gap for one hole"
    );
    assert_eq!(ids(&driver.out), [10]);
}

#[test]
fn a_mute_match_channel_is_joined_again() {
    let mut driver = btc();
    driver.message(a_match("match", 5)).take();
    for id in 6..12 {
        driver.message(heartbeat(id)).wait(S);
    }
    assert_eq!(gaps(&driver.out.records, channel::TRADES), [(cause::STALL, -1)]);
    assert!(
        driver
            .sends()
            .iter()
            .any(|send| send.contains("\"subscribe\"") && send.contains("matches"))
    );
    driver.take();
    driver
        .message(a_match("last_match", 11))
        .message(a_match("match", 12));
    assert_eq!(ids(&driver.out), [11, 12]);
    assert_eq!(gaps(&driver.out.records, channel::TRADES), []);
}

#[test]
fn a_quiet_market_raises_no_alarm() {
    let mut driver = btc();
    driver.message(a_match("match", 5)).take();
    for minute in 0..30 {
        for _ in 0..60 {
            driver.message(heartbeat(5)).wait(S);
        }
        if driver.sends().iter().any(|send| send.contains("level2_batch")) {
            driver.message(snapshot(&[("100", "1.0")], &[("101", "2")]));
        }
        let out = driver.take();
        assert_eq!(out.records, [], "minute {minute}");
        assert!(
            !out.actions
                .iter()
                .any(|action| matches!(action, Action::Reconnect { .. }))
        );
    }
}

#[test]
fn a_ticker_mute_from_the_first_moment_shows_by_the_trades() {
    let mut driver = btc();
    for id in 5..100 {
        driver
            .message(a_match("match", id))
            .message(heartbeat(id))
            .wait(S);
    }
    assert_eq!(gaps(&driver.out.records, channel::QUOTES), [(cause::STALL, -1)]);
    assert!(
        driver
            .sends()
            .iter()
            .any(|send| send.contains("\"subscribe\"") && send.contains("ticker"))
    );
}

#[test]
fn a_bad_product_is_closed_and_the_others_ask_again() {
    let mut driver = Driver::new(
        "coinbase",
        &[subscription(1, BTC, 2, 8), subscription(2, "GIBBERISH-USD", 2, 8)],
        only(true, true, true, 0),
    );
    driver.take();
    let error =
        r#"{"type":"error","message":"Failed to subscribe","reason":"GIBBERISH-USD is not a valid product"}"#;
    driver.message(error).message(error).wait(S);
    assert_eq!(driver.out.records.len(), 1);
    assert_eq!(
        (driver.out.records[0].instrument, driver.out.records[0].id),
        (2, status::CLOSED)
    );
    let sends = driver.sends();
    assert_eq!(sends.len(), 1);
    assert!(sends[0].contains(BTC) && !sends[0].contains("GIBBERISH"));
}

#[test]
fn quotes_come_from_the_ticker_and_never_go_back() {
    let mut driver = btc();
    driver.take();
    let ticker = |sequence: u64, bid: &str| {
        format!(
            "{{\"type\":\"ticker\",\"sequence\":{sequence},\"product_id\":\"ETH-USD\",\"price\":\"1285.22\",\
             \"best_bid\":\"{bid}\",\"best_bid_size\":\"0.46688654\",\"best_ask\":\"1285.27\",\"best_ask_size\":\"1.56637040\",\
             \"side\":\"buy\",\"time\":\"2022-10-19T23:28:22.061769Z\",\"trade_id\":370843401,\"last_size\":\"11.4396987\"}}"
        )
    };
    driver
        .message(ticker(7, "1285.04"))
        .message(ticker(6, "1285.03"))
        .message(ticker(8, "0"));
    assert_eq!(driver.out.quarantined.len(), 1, "a price of 0 with a size");
    let quotes = of_kind(&driver.out.records, kind::QUOTE);
    assert_eq!(quotes.len(), 2);
    assert_eq!(
        (quotes[0].side(), quotes[0].price().to_string()),
        (Side::Buy, "1285.04".into())
    );
    assert_eq!(
        (quotes[1].side(), quotes[1].size().to_string()),
        (Side::Sell, "1.56637040".into())
    );
    assert!(!quotes[0].has(flag::LAST) && quotes[1].has(flag::LAST));
    assert_eq!(quotes[0].instrument, 2);
}

#[test]
fn a_broken_book_message_spoils_its_book_and_an_unknown_one_all() {
    let mut driver = btc();
    driver.take();
    let text = update(&[("buy", "99", "1")]);
    driver.message(&text[..text.len() - 1]);
    assert_eq!(gaps(&driver.out.records, channel::BOOK), [(cause::MALFORMED, -1)]);
    assert_eq!(driver.out.quarantined[0].instrument, Some(1));
    driver.wait(S / 5).take();
    driver
        .message(snapshot(&[("100.00", "1")], &[("101.00", "2")]))
        .take();
    driver.message(b"\xff\xfe");
    assert_eq!(gaps(&driver.out.records, channel::BOOK), [(cause::MALFORMED, -1)]);
}

#[test]
fn the_instrument_table() {
    let body = br#"[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001",
        "display_name":"BTC-USD","min_market_funds":"1","post_only":false,"status":"online","trading_disabled":false},{"id":7}]"#;
    let listings = venues::by_name("coinbase").unwrap().listings(body).unwrap();
    assert_eq!(listings.len(), 1);
    assert_eq!((listings[0].price_scale, listings[0].size_scale), (2, 8));
    assert_eq!(
        (listings[0].base.as_str(), listings[0].quote.as_str()),
        ("BTC", "USD")
    );
    let refused = venues::by_name("coinbase")
        .unwrap()
        .listings(br#"{"message":"Public rate limit exceeded"}"#);
    assert!(refused.unwrap_err().to_string().contains("rate limit"));
}
