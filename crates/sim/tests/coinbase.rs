//! A client of Coinbase Exchange's protocol against a started simulator.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::{Client, http, http_with, simulator};
use serde_json::{Value, json};
use sim::Protocol;
use std::collections::BTreeMap;

fn subscribe(products: &[&str], channels: &[&str]) -> String {
    json!({"type":"subscribe","product_ids":products,"channels":channels}).to_string()
}

#[tokio::test]
async fn matches_are_dense_and_heartbeats_know_the_last_of_them() {
    let sim = simulator(Protocol::Coinbase, 800.0).await;
    let mut client = Client::connect(&sim.venue("coinbase").unwrap().url).await;
    client
        .send(&subscribe(&["BTC-USD"], &["matches", "heartbeat"]))
        .await;
    let ack = client.json().await;
    assert_eq!(ack["type"], "subscriptions");
    assert_eq!(
        ack["channels"][0],
        json!({"name":"matches","product_ids":["BTC-USD"],"account_ids":null})
    );
    let first = client.json().await;
    assert_eq!(first["type"], "last_match");
    let mut last = first["trade_id"].as_u64().unwrap();
    let mut sequence = first["sequence"].as_u64().unwrap();
    let (mut matches, mut heartbeats) = (0, 0);
    while matches < 100 || heartbeats < 2 {
        let message = client.json().await;
        assert_eq!(message["product_id"], "BTC-USD");
        match message["type"].as_str().unwrap() {
            "match" => {
                assert_eq!(message["trade_id"], last + 1);
                assert!(message["sequence"].as_u64().unwrap() > sequence);
                assert_eq!(message["maker_order_id"].as_str().unwrap().len(), 36);
                last += 1;
                sequence = message["sequence"].as_u64().unwrap();
                matches += 1;
            }
            "heartbeat" => {
                assert_eq!(message["last_trade_id"], last);
                assert!(message["sequence"].as_u64().unwrap() >= sequence);
                heartbeats += 1;
            }
            other => panic!("unexpected {other}"),
        }
    }
}

#[tokio::test]
async fn books_from_batches_equal_those_of_rest_and_makers_were_at_the_touch() {
    let sim = simulator(Protocol::Coinbase, 500.0).await;
    let venue = sim.venue("coinbase").unwrap().clone();
    let mut client = Client::connect(&venue.url).await;
    client
        .send(&subscribe(&["ETH-USD"], &["level2_batch", "matches"]))
        .await;
    let mut book: [BTreeMap<u64, f64>; 2] = Default::default();
    let cents = |text: &Value| (text.as_str().unwrap().parse::<f64>().unwrap() * 100.0).round() as u64;
    let (mut updates, mut times) = (0, Vec::new());
    let (mut bids_hit, mut asks_hit) = (0, 0);
    while updates < 60 {
        let message = client.json().await;
        match message["type"].as_str().unwrap() {
            "snapshot" => {
                for (side, name) in ["bids", "asks"].iter().enumerate() {
                    for level in message[name].as_array().unwrap() {
                        book[side].insert(cents(&level[0]), level[1].as_str().unwrap().parse().unwrap());
                    }
                }
                assert!(book[0].len() >= 25 && book[1].len() >= 25);
            }
            "l2update" => {
                for change in message["changes"].as_array().unwrap() {
                    let side = usize::from(change[0] == "sell");
                    let size: f64 = change[2].as_str().unwrap().parse().unwrap();
                    assert_eq!(change[2].as_str().unwrap().split_once('.').unwrap().1.len(), 8);
                    if size == 0.0 {
                        book[side].remove(&cents(&change[1]));
                    } else {
                        book[side].insert(cents(&change[1]), size);
                    }
                }
                assert!(
                    book[0].last_key_value().unwrap().0 < book[1].first_key_value().unwrap().0,
                    "crossed"
                );
                times.push(message["time"].as_str().unwrap().to_owned());
                updates += 1;
            }
            // A maker's buy order was among the bids: its price is below the asks that are left.
            "match" if message["side"] == "buy" => bids_hit += 1,
            "match" => asks_hit += 1,
            _ => {}
        }
    }
    assert!(times.windows(2).all(|w| w[0] < w[1]));
    assert!(bids_hit > 0 && asks_hit > 0);
    let rest = get_with_agent(&venue.rest_url, "/products/ETH-USD/book?level=2").await;
    assert!(rest["bids"].as_array().unwrap().len() >= 25);
}

async fn get_with_agent(base: &str, target: &str) -> Value {
    let answer = http_with("GET", base, target, "", "user-agent: test\r\n")
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn times_that_no_clock_shows_are_refused() {
    let sim = simulator(Protocol::Coinbase, 50.0).await;
    let base = &sim.venue("coinbase").unwrap().rest_url;
    for start in ["9999-12-31T00:00:00Z", "-9223372036", "2026-01-01T00:00:00-05:00"] {
        let target = format!("/products/BTC-USD/candles?granularity=60&start={start}&end=9223372036");
        let refused = http_with("GET", base, &target, "", "user-agent: test\r\n")
            .await
            .unwrap();
        assert_eq!(refused.status, 400, "{start}: {}", refused.body);
    }
}

#[tokio::test]
async fn the_makers_side_is_opposite_to_the_truth_logs_aggressor() {
    let dir = tempfile::tempdir().unwrap();
    let truth = dir.path().join("truth.jsonl");
    let sim = sim::start(sim::Options {
        venues: vec![Protocol::Coinbase],
        rate: 500.0,
        truth: Some(truth.clone()),
        ..sim::Options::default()
    })
    .await
    .unwrap();
    let mut client = Client::connect(&sim.venue("coinbase").unwrap().url).await;
    client.send(&subscribe(&["SOL-USD"], &["matches"])).await;
    let mut matches = Vec::new();
    while matches.len() < 30 {
        matches.push(client.find(|m| m["type"] == "match").await);
    }
    sim.flush().unwrap();
    let text = std::fs::read_to_string(&truth).unwrap();
    let truth: BTreeMap<u64, Value> = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|v| v["kind"] == "trade" && v["instrument"] == "SOL-USD.sim-coinbase")
        .map(|v| (v["id"].as_u64().unwrap(), v))
        .collect();
    for m in matches {
        let t = &truth[&m["trade_id"].as_u64().unwrap()];
        assert_eq!((&m["price"], &m["size"]), (&t["price"], &t["size"]));
        assert_eq!(t["aggressor"], if m["side"] == "buy" { "sell" } else { "buy" });
    }
}

#[tokio::test]
async fn refusals_have_the_venues_shape() {
    let sim = simulator(Protocol::Coinbase, 50.0).await;
    let mut client = Client::connect(&sim.venue("coinbase").unwrap().url).await;
    client.send(&subscribe(&["GIBBERISH-USD"], &["matches"])).await;
    assert_eq!(
        client.json().await,
        json!({"type":"error","message":"Failed to subscribe","reason":"GIBBERISH-USD is not a valid product"})
    );
    client.send(&subscribe(&["BTC-USD"], &["level2"])).await;
    assert!(
        client.json().await["reason"]
            .as_str()
            .unwrap()
            .contains("require authentication")
    );
    client.send(&subscribe(&["BTC-USD"], &["weather"])).await;
    assert_eq!(client.json().await["reason"], "weather is not a valid channel");
    client.send("nonsense").await;
    assert_eq!(client.json().await["type"], "error");
    client
        .send(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches",{"name":"ticker","product_ids":["ETH-USD"]}]}"#)
        .await;
    let ack = client.find(|m| m["type"] == "subscriptions").await;
    assert_eq!(ack["channels"].as_array().unwrap().len(), 2);
    assert_eq!(ack["channels"][1]["product_ids"], json!(["ETH-USD"]));
    let ticker = client.find(|m| m["type"] == "ticker").await;
    assert!(ticker["best_bid"].as_str().unwrap().parse::<f64>().unwrap() > 0.0);
    client
        .send(r#"{"type":"unsubscribe","channels":["matches","ticker"]}"#)
        .await;
    assert_eq!(
        client.find(|m| m["type"] == "subscriptions").await["channels"],
        json!([])
    );
}

#[tokio::test]
async fn a_client_that_does_not_subscribe_is_closed_after_five_seconds() {
    let sim = simulator(Protocol::Coinbase, 50.0).await;
    let mut client = Client::connect(&sim.venue("coinbase").unwrap().url).await;
    let begun = std::time::Instant::now();
    assert_eq!(client.text().await, None);
    assert!(
        (4.5..7.5).contains(&begun.elapsed().as_secs_f64()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn rest_pages_backwards_by_id_and_serves_bars() {
    let sim = simulator(Protocol::Coinbase, 300.0).await;
    let base = &sim.venue("coinbase").unwrap().rest_url;
    let refused = http("GET", base, "/products", "").await.unwrap();
    assert_eq!(
        (refused.status, refused.json()["message"].as_str()),
        (400, Some("User-Agent header is required."))
    );
    let products = get_with_agent(base, "/products").await;
    assert_eq!(products[0]["quote_increment"], "0.01");
    assert_eq!(products[3]["quote_increment"], "0.0000000001");
    assert_eq!(get_with_agent(base, "/products/BTC-USD").await["id"], "BTC-USD");
    let mut after = String::new();
    let mut ids: Vec<u64> = Vec::new();
    loop {
        let target = format!("/products/BTC-USD/trades?limit=17{after}");
        let page = http_with("GET", base, &target, "", "user-agent: test\r\n")
            .await
            .unwrap();
        let rows = page.json();
        let rows = rows.as_array().unwrap();
        if rows.is_empty() {
            break;
        }
        ids.extend(rows.iter().map(|r| r["trade_id"].as_u64().unwrap()));
        let oldest = page.header("cb-after").unwrap();
        assert_eq!(oldest.parse::<u64>().unwrap(), *ids.last().unwrap());
        after = format!("&after={oldest}");
    }
    assert!(
        ids.len() >= 50 && ids.windows(2).all(|w| w[0] == w[1] + 1),
        "{ids:?}"
    );
    let bars = get_with_agent(base, "/products/BTC-USD/candles?granularity=60").await;
    let bars = bars.as_array().unwrap();
    assert!(bars.len() >= 298);
    for bar in bars {
        let n = |at: usize| bar[at].as_f64().unwrap();
        assert!(n(1) <= n(3).min(n(4)) && n(2) >= n(3).max(n(4)), "{bar}");
    }
    let missing = http_with("GET", base, "/products/NO-PE/trades", "", "user-agent: t\r\n")
        .await
        .unwrap();
    assert_eq!(
        (missing.status, missing.json()),
        (404, json!({"message":"NotFound"}))
    );
}
