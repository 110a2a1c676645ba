//! A client of Coinbase Advanced Trade's protocol against a started simulator.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::{Client, get, http, simulator};
use serde_json::{Value, json};
use sim::Protocol;
use std::collections::BTreeMap;

fn subscribe(channel: &str, products: &[&str]) -> String {
    json!({"type":"subscribe","product_ids":products,"channel":channel}).to_string()
}

#[tokio::test]
async fn one_number_counts_all_channels_and_books_stay_whole() {
    let sim = simulator(Protocol::CoinbaseAdvanced, 600.0).await;
    let mut client = Client::connect(&sim.venue("coinbase-advanced").unwrap().url).await;
    for channel in [
        "heartbeats",
        "level2",
        "market_trades",
        "ticker",
        "candles",
        "status",
    ] {
        client.send(&subscribe(channel, &["BTC-USD", "MOTE-USD"])).await;
    }
    let mut next = 0;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut books: BTreeMap<String, [BTreeMap<u64, String>; 2]> = BTreeMap::new();
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs_f64() < 2.5 {
        let message = client.json().await;
        assert_eq!(message["sequence_num"], next, "{message}");
        next += 1;
        let channel = message["channel"].as_str().unwrap();
        *seen.entry(channel.to_owned()).or_default() += 1;
        for event in message["events"].as_array().unwrap() {
            match channel {
                "l2_data" => {
                    let book = books
                        .entry(event["product_id"].as_str().unwrap().to_owned())
                        .or_default();
                    for update in event["updates"].as_array().unwrap() {
                        let side = match update["side"].as_str().unwrap() {
                            "bid" => 0,
                            "offer" => 1,
                            other => panic!("side {other}"),
                        };
                        let price: f64 = update["price_level"].as_str().unwrap().parse().unwrap();
                        let key = (price * 1e10).round() as u64;
                        let size = update["new_quantity"].as_str().unwrap();
                        if size == "0" {
                            book[side].remove(&key);
                        } else {
                            book[side].insert(key, size.to_owned());
                        }
                    }
                    assert!(book[0].len() >= 20 && book[1].len() >= 20);
                    assert!(book[0].last_key_value().unwrap().0 < book[1].first_key_value().unwrap().0);
                }
                "market_trades" => {
                    let trades = event["trades"].as_array().unwrap();
                    let product = trades[0]["product_id"].as_str().unwrap().to_owned();
                    let mut ids: Vec<u64> = trades
                        .iter()
                        .map(|t| t["trade_id"].as_str().unwrap().parse().unwrap())
                        .collect();
                    ids.reverse(); // the newest comes first
                    assert!(ids.windows(2).all(|w| w[0] + 1 == w[1]));
                    if event["type"] == "update" {
                        // The first batch may repeat trades of the snapshot.
                        assert!(ids[0] <= newest[&product] + 1, "hole in {product}");
                    }
                    newest.insert(product, *ids.last().unwrap());
                }
                _ => {}
            }
        }
    }
    for (channel, least) in [
        ("l2_data", 100),
        ("market_trades", 8),
        ("heartbeats", 2),
        ("ticker", 8),
        ("candles", 3),
        ("status", 1),
        ("subscriptions", 6),
    ] {
        assert!(
            seen.get(channel).is_some_and(|n| *n >= least),
            "{channel}: {seen:?}"
        );
    }
    assert!(seen["market_trades"] <= 2 + 2 * 11, "{seen:?}"); // four a second and product, and a snapshot each
}

#[tokio::test]
async fn usdc_is_usd_and_errors_have_no_number() {
    let sim = simulator(Protocol::CoinbaseAdvanced, 50.0).await;
    let mut client = Client::connect(&sim.venue("sim-coinbase-advanced").unwrap().url).await;
    client.send(&subscribe("market_trades", &["ETH-USDC"])).await;
    let snapshot = client.json().await;
    assert_eq!(snapshot["events"][0]["trades"][0]["product_id"], "ETH-USD");
    let ack = client.json().await;
    assert_eq!(
        ack["events"][0]["subscriptions"],
        json!({"market_trades":["ETH-USD"]})
    );
    client.send(&subscribe("user", &["ETH-USD"])).await;
    let error = client.find(|m| m["type"] == "error").await;
    assert_eq!(error, json!({"type":"error","message":"authentication failure"}));
    client.send(&subscribe("weather", &["ETH-USD"])).await;
    assert_eq!(
        client.find(|m| m["type"] == "error").await["message"],
        "channel 'weather' is not supported"
    );
    client
        .send(r#"{"type":"unsubscribe","channel":"market_trades"}"#)
        .await;
    let ack = client.find(|m| m["channel"] == "subscriptions").await;
    assert_eq!(ack["events"][0]["subscriptions"], json!({}));
}

#[tokio::test]
async fn rest_serves_products_books_trades_and_bars() {
    let sim = simulator(Protocol::CoinbaseAdvanced, 100.0).await;
    let base = &sim.venue("coinbase-advanced").unwrap().rest_url;
    for prefix in ["/api/v3/brokerage/market", "/api/v3/brokerage"] {
        let products = get(base, &format!("{prefix}/products")).await;
        assert_eq!(products["products"][0]["product_id"], "BTC-USD");
        assert_eq!(products["products"][0]["price_increment"], "0.01");
        assert_eq!(
            get(base, &format!("{prefix}/products/BTC-USDC")).await["alias_to"],
            json!(["BTC-USDC"])
        );
    }
    for older in ["currencies", "currencies/crypto", "exchange-rates", "time"] {
        assert!(get(base, &format!("/v2/{older}")).await.get("data").is_some());
    }
    let market = "/api/v3/brokerage/market";
    let book = get(base, &format!("{market}/product_book?product_id=BTC-USD&limit=5")).await;
    assert_eq!(book["pricebook"]["asks"].as_array().unwrap().len(), 5);
    let (bid, ask): (Value, Value) = (
        book["pricebook"]["bids"][0]["price"].clone(),
        book["pricebook"]["asks"][0]["price"].clone(),
    );
    assert!(bid.as_str().unwrap().parse::<f64>().unwrap() < ask.as_str().unwrap().parse::<f64>().unwrap());
    let trades = get(base, &format!("{market}/products/BTC-USD/ticker?limit=20")).await;
    assert_eq!(trades["trades"].as_array().unwrap().len(), 20);
    let now = sim.status()["now_ns"].as_i64().unwrap() / 1_000_000_000;
    let target = format!(
        "{market}/products/BTC-USD/candles?granularity=ONE_MINUTE&start={}&end={now}",
        now - 300 * 60
    );
    let candles = get(base, &target).await;
    assert!(candles["candles"].as_array().unwrap().len() >= 299);
    let refused = http(
        "GET",
        base,
        &format!("{market}/products/BTC-USD/candles?granularity=X"),
        "",
    )
    .await
    .unwrap();
    assert_eq!(refused.status, 400);
    assert_eq!(
        http("GET", base, &format!("{market}/products/NO-PE"), "")
            .await
            .unwrap()
            .status,
        404
    );
}
