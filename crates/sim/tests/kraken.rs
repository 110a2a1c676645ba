//! A client of Kraken's protocol against a started simulator. Books are kept from the literal text of the numbers
//! and checksums computed by the venue's written rule.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::book::{Kept, Message, digits};
use common::{Client, PATIENCE, get, simulator};
use serde_json::{Value, json};
use sim::Protocol;
use std::time::Duration;

#[test]
fn the_rule_reproduces_the_official_example() {
    // Kraken's guide to the v2 book checksum.
    let asks = "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660 \
                45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827";
    let bids = "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586 \
                45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238";
    let mut kept = Kept {
        depth: 10,
        ..Kept::default()
    };
    for (text, side) in [(asks, &mut kept.asks), (bids, &mut kept.bids)] {
        for (price, qty) in text.split_whitespace().map(|l| l.split_once('/').unwrap()) {
            side.insert(digits(price).parse().unwrap(), (price.to_owned(), qty.to_owned()));
        }
    }
    assert_eq!(kept.checksum(), 3_310_070_434);
}

#[tokio::test]
async fn books_of_every_depth_reproduce_their_checksums() {
    let sim = simulator(Protocol::Kraken, 3_000.0).await;
    let url = &sim.venue("kraken").unwrap().url;
    for (depth, symbol) in [
        (10, "BTC/USD"),
        (25, "MOTE/USD"),
        (100, "HEAP/USD"),
        (1000, "ETH/USD"),
    ] {
        let mut client = Client::connect(url).await;
        let subscribe = json!({"method":"subscribe","params":{"channel":"book","symbol":[symbol],"depth":depth},"req_id":7});
        client.send(&subscribe.to_string()).await;
        assert_eq!(client.json().await["channel"], "status");
        let ack = client.json().await;
        assert_eq!(ack["success"], true, "{ack}");
        assert_eq!(ack["req_id"], 7);
        assert_eq!(ack["result"]["depth"], depth);
        let mut kept = Kept {
            depth,
            ..Kept::default()
        };
        let mut updates = 0;
        while updates < 400 {
            let text = client.text().await.unwrap();
            let message: Message<'_> = serde_json::from_str(&text).unwrap();
            if message.channel != "book" {
                continue;
            }
            let is_snapshot = message.kind.as_deref() == Some("snapshot");
            assert_eq!(is_snapshot, updates == 0);
            let data = message.data.unwrap();
            assert_eq!(data[0].symbol, symbol);
            kept.apply(&data[0], is_snapshot);
            assert_eq!(
                kept.checksum(),
                data[0].checksum,
                "{symbol} after {updates} updates: {text}"
            );
            assert!(kept.bids.len() >= depth.min(20) && kept.asks.len() >= depth.min(20));
            assert!(
                kept.bids.last_key_value().unwrap().0 < kept.asks.first_key_value().unwrap().0,
                "crossed"
            );
            updates += 1;
        }
    }
}

#[tokio::test]
async fn literals_have_the_precision_of_the_listing() {
    let sim = simulator(Protocol::Kraken, 500.0).await;
    let venue = sim.venue("kraken").unwrap();
    let pairs = get(&venue.rest_url, "/0/public/AssetPairs").await;
    let mote = &pairs["result"]["MOTEUSD"];
    assert_eq!(
        (mote["pair_decimals"].as_i64(), mote["tick_size"].as_str()),
        (Some(10), Some("0.0000000001"))
    );
    let mut client = Client::connect(&venue.url).await;
    client
        .send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["MOTE/USD"]}}"#)
        .await;
    loop {
        let text = client.text().await.unwrap();
        let Ok(Message { data: Some(data), .. }) = serde_json::from_str::<Message<'_>>(&text) else {
            continue;
        };
        for level in data[0].bids.iter().chain(&data[0].asks) {
            assert_eq!(level.price.get().split_once('.').unwrap().1.len(), 10);
            assert_eq!(level.qty.get().split_once('.').unwrap().1.len(), 5);
        }
        break;
    }
}

#[tokio::test]
async fn trades_begin_with_fifty_and_go_on_without_a_hole() {
    let sim = simulator(Protocol::Kraken, 1_000.0).await;
    let venue = sim.venue("kraken").unwrap().clone();
    let mut client = Client::connect(&venue.url).await;
    let subscribe = r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":true},"req_id":1}"#;
    client.send(subscribe).await;
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    while ids.len() < 200 {
        let message = client.find(|m| m["channel"] == "trade").await;
        let is_snapshot = message["type"] == "snapshot";
        let data = message["data"].as_array().unwrap();
        assert_eq!(is_snapshot, ids.is_empty());
        assert!(!is_snapshot || data.len() == 50);
        ids.extend(data.iter().map(|t| t["trade_id"].as_u64().unwrap()));
        rows.extend(data.clone());
    }
    assert!(ids.windows(2).all(|w| w[0] + 1 == w[1]), "{ids:?}");
    assert!(rows.iter().all(|t| t["side"] == "buy" || t["side"] == "sell"));
    // REST tells the same story: page through it by `last`.
    let mut since = String::from("0");
    let mut paged = Vec::new();
    loop {
        let page = get(
            &venue.rest_url,
            &format!("/0/public/Trades?pair=XBTUSD&since={since}&count=37"),
        )
        .await;
        let trades = page["result"]["XXBTZUSD"].as_array().unwrap().clone();
        let last = page["result"]["last"].as_str().unwrap().to_owned();
        paged.extend(trades);
        if last == since || paged.last().is_some_and(|t| t[6].as_u64() >= ids.last().copied()) {
            break;
        }
        since = last;
    }
    let paged_ids: Vec<u64> = paged.iter().map(|t| t[6].as_u64().unwrap()).collect();
    assert!(paged_ids.windows(2).all(|w| w[0] + 1 == w[1]));
    for row in &rows {
        let at = paged_ids
            .iter()
            .position(|id| row["trade_id"] == *id)
            .expect("REST lacks a trade");
        assert_eq!(paged[at][3], if row["side"] == "buy" { "b" } else { "s" });
    }
}

#[tokio::test]
async fn answers_have_the_venues_shape() {
    let sim = simulator(Protocol::Kraken, 50.0).await;
    let mut client = Client::connect(&sim.venue("sim-kraken").unwrap().url).await;
    let status = client.json().await;
    assert_eq!(status["data"][0]["system"], "online");
    assert!(status["data"][0]["connection_id"].as_u64().unwrap() > 1 << 53);
    client.send(r#"{"method":"ping","req_id":42}"#).await;
    let pong = client.find(|m| m["method"] == "pong").await;
    assert_eq!(pong["req_id"], 42);
    assert!(pong["time_in"].as_str().unwrap().ends_with('Z'));
    client.send(r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD","NO/PE","ETH/USD"]},"req_id":3}"#).await;
    let answers = [client.json().await, client.json().await, client.json().await];
    assert_eq!(
        answers[0]["result"],
        json!({"channel":"trade","symbol":"BTC/USD","snapshot":false})
    );
    assert_eq!(answers[1]["error"], "Currency pair not supported NO/PE");
    assert_eq!(
        (
            &answers[1]["success"],
            &answers[1]["symbol"],
            &answers[1]["req_id"]
        ),
        (&json!(false), &json!("NO/PE"), &json!(3))
    );
    assert_eq!(answers[2]["result"]["symbol"], "ETH/USD");
    client
        .send(r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#)
        .await;
    assert_eq!(
        client.find(|m| m["method"] == "subscribe").await["error"],
        "Already subscribed"
    );
    client
        .send(r#"{"method":"unsubscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#)
        .await;
    assert_eq!(
        client.find(|m| m["method"] == "unsubscribe").await["success"],
        true
    );
    client
        .send(r#"{"method":"unsubscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#)
        .await;
    assert_eq!(
        client.find(|m| m["method"] == "unsubscribe").await["success"],
        false
    );
    for nonsense in [
        "not json",
        "[1]",
        r#"{"method":"fly"}"#,
        r#"{"method":"subscribe","params":{"channel":"weather"}}"#,
    ] {
        client.send(nonsense).await;
        assert_eq!(
            client.find(|m| m.get("error").is_some()).await["success"],
            false,
            "{nonsense}"
        );
    }
}

#[tokio::test]
async fn an_idle_subscription_gets_a_heartbeat_each_second_and_an_idle_connection_none() {
    let sim = simulator(Protocol::Kraken, 0.1).await;
    let url = &sim.venue("kraken").unwrap().url;
    let mut idle = Client::connect(url).await;
    assert_eq!(idle.json().await["channel"], "status");
    let mut client = Client::connect(url).await;
    client
        .send(r#"{"method":"subscribe","params":{"channel":"trade","symbol":["HEAP/USD"]}}"#)
        .await;
    let begun = std::time::Instant::now();
    for _ in 0..2 {
        client.find(|m| m["channel"] == "heartbeat").await;
    }
    assert!(
        (1.8..3.5).contains(&begun.elapsed().as_secs_f64()),
        "{:?}",
        begun.elapsed()
    );
    assert!(idle.text_within(Duration::from_millis(10)).await.is_err());
}

#[tokio::test]
async fn ticker_bars_and_instruments_arrive() {
    let sim = simulator(Protocol::Kraken, 800.0).await;
    let mut client = Client::connect(&sim.venue("kraken").unwrap().url).await;
    client.send(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"],"event_trigger":"bbo"}}"#).await;
    client
        .send(r#"{"method":"subscribe","params":{"channel":"ohlc","symbol":["BTC/USD"],"interval":1}}"#)
        .await;
    client
        .send(r#"{"method":"subscribe","params":{"channel":"instrument"}}"#)
        .await;
    let listing = client.find(|m| m["channel"] == "instrument").await;
    assert_eq!(listing["data"]["pairs"].as_array().unwrap().len(), 5);
    let mut client2 = Client::connect(&sim.venue("kraken").unwrap().url).await;
    client2
        .send(r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"]}}"#)
        .await;
    for client in [&mut client, &mut client2] {
        let ticker = client
            .find(|m| m["channel"] == "ticker" && m["type"] == "update")
            .await;
        let ticker = &ticker["data"][0];
        assert!(ticker["bid"].as_f64() < ticker["ask"].as_f64());
        assert!(ticker["low"].as_f64() <= ticker["high"].as_f64() && ticker["volume"].as_f64() > Some(0.0));
    }
    let bar = client
        .find(|m| m["channel"] == "ohlc" && m["type"] == "update")
        .await;
    assert_eq!(bar["data"][0]["interval"], 1);
    assert!(bar["data"][0]["trades"].as_u64() > Some(0));
}

#[tokio::test]
async fn rest_serves_what_clients_ask() {
    let sim = simulator(Protocol::Kraken, 200.0).await;
    let base = &sim.venue("kraken").unwrap().rest_url;
    let time = get(base, "/0/public/Time").await;
    assert!(time["result"]["unixtime"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(
        get(base, "/0/public/SystemStatus").await["result"]["status"],
        "online"
    );
    // python-kraken-sdk asks with the slash and looks the answer up by it
    let pairs = get(base, "/0/public/AssetPairs?pair=BTC%2FUSD,MOTE/USD").await;
    assert_eq!(pairs["result"]["BTC/USD"]["wsname"], "XBT/USD");
    assert_eq!(pairs["result"]["MOTE/USD"]["lot_decimals"], 5);
    for name in ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD", "BTCUSD"] {
        let depth = get(base, &format!("/0/public/Depth?pair={name}&count=25")).await;
        let sides = depth["result"].as_object().unwrap().values().next().unwrap();
        assert_eq!(sides["asks"].as_array().unwrap().len(), 25, "{name}");
    }
    let bars = get(base, "/0/public/OHLC?pair=XBTUSD&interval=5").await;
    let rows = bars["result"]["XXBTZUSD"].as_array().unwrap();
    assert_eq!(rows.len(), 720);
    assert!(
        rows.windows(2)
            .all(|w| w[0][0].as_i64().unwrap() + 300 == w[1][0].as_i64().unwrap())
    );
    let ticker = get(base, "/0/public/Ticker").await;
    assert_eq!(ticker["result"].as_object().unwrap().len(), 5);
    let error = |v: Value| v["error"][0].as_str().unwrap().to_owned();
    assert_eq!(
        error(get(base, "/0/public/Ticker?pair=NOPE").await),
        "EQuery:Unknown asset pair"
    );
    assert_eq!(
        error(get(base, "/0/public/OHLC?pair=XBTUSD&interval=7").await),
        "EGeneral:Invalid arguments"
    );
    assert!(PATIENCE > Duration::ZERO);
}

#[tokio::test]
async fn instruments_are_unsubscribed_like_everything_else() {
    let sim = simulator(Protocol::Kraken, 50.0).await;
    let mut client = Client::connect(&sim.venue("kraken").unwrap().url).await;
    let call = |method: &str, params: Value, id: u64| {
        json!({"method":method,"params":params,"req_id":id}).to_string()
    };
    client
        .send(&call("subscribe", json!({"channel":"instrument"}), 1))
        .await;
    client
        .send(&call("unsubscribe", json!({"channel":"instrument"}), 2))
        .await;
    client
        .send(&call("unsubscribe", json!({"channel":"instrument"}), 3))
        .await;
    client
        .send(&call("unsubscribe", json!({"channel":"trade"}), 4))
        .await;
    for (id, success) in [(1, true), (2, true), (3, false), (4, false)] {
        let answer = loop {
            let message = client.json().await;
            if message.get("req_id").is_some() {
                break message;
            }
        };
        assert_eq!(
            (&answer["req_id"], &answer["success"]),
            (&json!(id), &json!(success)),
            "{answer}"
        );
    }
}

/// A book of the older protocol: printed price and size by the number that the price's digits make.
#[derive(Default)]
struct Older {
    sides: [std::collections::BTreeMap<u128, (String, String)>; 2],
}

impl Older {
    /// Sets the levels under any of these names.
    fn apply(&mut self, payload: &Value) {
        for (side, names) in [["a", "as"], ["b", "bs"]].into_iter().enumerate() {
            for level in names
                .iter()
                .filter_map(|name| payload[*name].as_array())
                .flatten()
            {
                let text = |at: usize| level[at].as_str().unwrap().to_owned();
                let key = digits(&text(0)).parse().unwrap();
                if text(1).parse::<f64>().unwrap() == 0.0 {
                    self.sides[side].remove(&key);
                } else {
                    self.sides[side].insert(key, (text(0), text(1)));
                }
            }
        }
        while self.sides[0].len() > 10 {
            self.sides[0].pop_last();
        }
        while self.sides[1].len() > 10 {
            self.sides[1].pop_first();
        }
    }

    fn checksum(&self) -> u32 {
        let (asks, bids) = (self.sides[0].values(), self.sides[1].values().rev());
        let text: String = asks
            .chain(bids)
            .flat_map(|(price, size)| [digits(price), digits(size)])
            .collect();
        crc32fast::hash(text.as_bytes())
    }
}

#[tokio::test]
async fn the_older_protocol_has_books_that_reproduce_their_checksums() {
    let sim = simulator(Protocol::Kraken, 3_000.0).await;
    let url = sim.venue("kraken").unwrap().url.replace("/v2", "");
    for pair in ["XBT/USD", "MOTE/USD", "HEAP/USD"] {
        let mut client = Client::connect(&url).await;
        assert_eq!(client.json().await["event"], "systemStatus");
        let ask = |name: &str| {
            json!({"event":"subscribe","reqid":5,"pair":[pair, "BTC/USD"],"subscription":{"name":name}})
                .to_string()
        };
        client.send(&ask("book")).await;
        client.send(&ask("trade")).await;
        let mut book = Older::default();
        let (mut updates, mut both, mut trades, mut answers) = (0, 0, 0, Vec::new());
        while updates < 300 || trades == 0 {
            let message = client.json().await;
            let Some(parts) = message.as_array() else {
                answers.push((message["status"].clone(), message["errorMessage"].clone()));
                assert_eq!(message["reqid"], 5);
                continue;
            };
            let [_, payloads @ .., name, of] = parts.as_slice() else {
                panic!("{message}")
            };
            assert_eq!(of, pair);
            if name == "trade" {
                trades += 1;
                assert_eq!(payloads[0][0].as_array().unwrap().len(), 6, "{message}");
                continue;
            }
            assert_eq!(name, "book-10");
            payloads.iter().for_each(|payload| book.apply(payload));
            updates += 1;
            both += usize::from(payloads.len() == 2);
            match payloads.last().unwrap()["c"].as_str() {
                Some(checksum) => assert_eq!(checksum.parse(), Ok(book.checksum()), "{message}"),
                None => assert_eq!(updates, 1, "only the snapshot has no checksum: {message}"),
            }
        }
        assert!(both < updates);
        let subscribed = (json!("subscribed"), Value::Null);
        let refused = (json!("error"), json!("Currency pair not supported"));
        assert_eq!(
            answers,
            [subscribed.clone(), refused.clone(), subscribed, refused]
        );
    }
}
