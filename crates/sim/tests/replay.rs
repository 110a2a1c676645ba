//! Recordings played to a client. The real ones are read from the folder that `TIDEMILL_DATA` names, or the one
//! beside the repository; where it is absent their tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::{Client, get};
use serde_json::{Value, json};
use sim::{Options, Protocol, Simulator};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn recorded(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("TIDEMILL_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = data.join("recorded/ws").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED: no recording at {}; set TIDEMILL_DATA to the folder that has it",
        path.display()
    );
    None
}

async fn replay(file: &Path, protocol: Protocol, speed: f64) -> Simulator {
    let options = Options {
        venues: vec![protocol],
        replay: Some(file.to_owned()),
        speed,
        ..Options::default()
    };
    sim::start(options).await.unwrap()
}

/// Everything until the recording is done and nothing more comes.
async fn rest(sim: &Simulator, client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        match client.text_within(Duration::from_millis(500)).await {
            Ok(Some(text)) => texts.push(text),
            Ok(None) => return texts,
            Err(_) if sim.status()["done"] == true => return texts,
            Err(_) => {}
        }
    }
}

fn is_listed(listing: &Value, symbol: &str) -> bool {
    listing.as_array().is_some_and(|all| {
        all.iter()
            .any(|p| p["product_id"] == symbol || p["symbol"] == symbol)
    })
}

#[tokio::test]
async fn kraken_orderbook_arrives_whole() {
    let Some(file) = recorded("kraken-v2/orderbook-v2.json") else {
        return;
    };
    let sim = replay(&file, Protocol::Kraken, 0.0).await;
    let venue = sim.venue("kraken").unwrap().clone();
    let pairs = get(&venue.rest_url, "/0/public/AssetPairs").await;
    let pair = &pairs["result"]["XXBTZUSD"];
    assert_eq!(
        (pair["pair_decimals"].as_u64(), pair["lot_decimals"].as_u64()),
        (Some(1), Some(8))
    );
    let mut client = Client::connect(&venue.url).await;
    assert_eq!(client.json().await["channel"], "status");
    assert_eq!(sim.status()["begun"], false);
    client.send(r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10},"req_id":4}"#).await;
    let ack = client.json().await;
    assert_eq!(
        (&ack["success"], &ack["req_id"], &ack["result"]["depth"]),
        (&json!(true), &json!(4), &json!(10))
    );
    let texts = rest(&sim, &mut client).await;
    assert_eq!(texts.len(), 510);
    let first: Value = serde_json::from_str(&texts[0]).unwrap();
    assert_eq!(
        (&first["type"], &first["data"][0]["checksum"]),
        (&json!("snapshot"), &json!(2_785_033_588u64))
    );
    let status = sim.status();
    assert_eq!(
        (&status["replayed"], &status["done"]),
        (&json!(510), &json!(true))
    );
    client.send(r#"{"method":"ping"}"#).await;
    assert_eq!(client.json().await["method"], "pong", "the connection stays open");
}

#[tokio::test]
async fn cryptofeed_coinbase_keeps_its_numbers() {
    let Some(file) = recorded("cryptofeed/COINBASE.jsonl.zst") else {
        return;
    };
    let sim = replay(&file, Protocol::CoinbaseAdvanced, 0.0).await;
    let venue = sim.venue("coinbase-advanced").unwrap().clone();
    let listing = get(&venue.rest_url, "/api/v3/brokerage/market/products").await;
    assert!(is_listed(&listing["products"], "BTC-USD"));
    assert_eq!(
        listing["products"].as_array().unwrap().len(),
        920,
        "the recorded listing itself"
    );
    let mut client = Client::connect(&venue.url).await;
    for channel in ["market_trades", "level2"] {
        let subscribe = json!({"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":channel});
        client.send(&subscribe.to_string()).await;
    }
    let texts = rest(&sim, &mut client).await;
    assert_eq!(texts.len(), 1_030);
    for (n, text) in texts.iter().enumerate() {
        let message: Value = serde_json::from_str(text).unwrap();
        assert_eq!(message["sequence_num"], n);
    }
}

/// Follows the official rule over what is played; how many diffs were applied.
async fn follow_binance(sim: &Simulator, streams: &[&str]) -> Vec<(String, usize)> {
    let venue = sim.venue("binance").unwrap().clone();
    let names: Vec<String> = streams
        .iter()
        .map(|s| format!("{}@depth@100ms", s.to_ascii_lowercase()))
        .collect();
    let mut client = Client::connect(&format!("{}/stream?streams={}", venue.url, names.join("/"))).await;
    let mut ids = std::collections::BTreeMap::new();
    for symbol in streams {
        let depth = get(
            &venue.rest_url,
            &format!("/api/v3/depth?symbol={symbol}&limit=1000"),
        )
        .await;
        ids.insert((*symbol).to_owned(), (depth["lastUpdateId"].as_u64().unwrap(), 0));
    }
    for text in rest(sim, &mut client).await {
        let message: Value = serde_json::from_str(&text).unwrap();
        let event = &message["data"];
        let Some((id, applied)) = ids.get_mut(event["s"].as_str().unwrap()) else {
            panic!("not asked for: {text}")
        };
        let (from, to) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        if to <= *id {
            continue;
        }
        assert!(from <= *id + 1, "hole before {from} after {id}");
        assert!(*applied == 0 || from == *id + 1);
        *id = to;
        *applied += 1;
    }
    ids.into_iter()
        .map(|(symbol, (_, applied))| (symbol, applied))
        .collect()
}

#[tokio::test]
async fn hftbacktest_snapshot_fits_the_stream() {
    let Some(file) = recorded("hftbacktest/spot/btcusdt_20240808.gz") else {
        return;
    };
    let sim = replay(&file, Protocol::Binance, 0.0).await;
    let info = get(&sim.venue("binance").unwrap().rest_url, "/api/v3/exchangeInfo").await;
    let filters = &info["symbols"][0]["filters"];
    // The listing's step was 0.00001; the finest size that was quoted is what a recording can tell.
    assert_eq!(
        (&filters[0]["tickSize"], &filters[1]["stepSize"]),
        (&json!("0.01000000"), &json!("0.00000100"))
    );
    let applied = follow_binance(&sim, &["BTCUSDT"]).await;
    assert!(applied[0].1 > 1_000, "{applied:?}");
    // A snapshot taken now is as new as the stream.
    let rest_url = &sim.venue("binance").unwrap().rest_url;
    let depth = get(rest_url, "/api/v3/depth?symbol=BTCUSDT&limit=5000").await;
    assert!(depth["lastUpdateId"].as_u64().unwrap() > 50_093_239_218);
    let price = |side: &str| depth[side][0][0].as_str().unwrap().parse::<f64>().unwrap();
    assert!(price("bids") < price("asks"));
}

#[tokio::test]
async fn cryptofeed_binance_has_a_snapshot_for_each_symbol() {
    let Some(file) = recorded("cryptofeed/BINANCE.jsonl.zst") else {
        return;
    };
    let sim = replay(&file, Protocol::Binance, 0.0).await;
    let info = get(&sim.venue("binance").unwrap().rest_url, "/api/v3/exchangeInfo").await;
    assert!(
        is_listed(&info["symbols"], "NKNUSDT"),
        "the recorded listing itself"
    );
    for (symbol, applied) in follow_binance(&sim, &["NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"]).await {
        assert!(applied > 0, "nothing applied for {symbol}");
    }
}

fn raw_file(lines: &[Value]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    file.write_all(&zstd::encode_all(text.as_bytes(), 3).unwrap())
        .unwrap();
    file
}

fn coinbase_match(id: u64) -> String {
    json!({"type":"match","trade_id":id,"product_id":"BTC-USD","price":"100.25","size":"0.5","side":"buy",
           "sequence":id,"time":"2026-01-01T00:00:00.000000Z"})
    .to_string()
}

#[tokio::test]
async fn our_own_files_replay_their_reconnects() {
    let line = |ms: i64, connection: u64, id: u64| json!({"ts": ms * 1_000_000, "connection": connection, "data": coinbase_match(id)});
    let file = raw_file(&[
        line(0, 1, 1),
        line(10, 1, 2),
        line(20, 2, 3),
        line(30, 3, 4),
        line(40, 2, 5),
    ]);
    let sim = replay(file.path(), Protocol::Coinbase, 0.0).await;
    let url = sim.venue("coinbase").unwrap().url.clone();
    let subscribe = r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#;
    let mut client = Client::connect(&url).await;
    client.send(subscribe).await;
    assert_eq!(client.json().await["trade_id"], 1);
    assert_eq!(client.json().await["trade_id"], 2);
    assert_eq!(client.text().await, None, "the recorded connection ended here");
    let mut client = Client::connect(&url).await;
    client.send(subscribe).await;
    // Connections 2 and 3 ran side by side: that is no reconnect.
    for id in [3, 4, 5] {
        assert_eq!(client.json().await["trade_id"], id);
    }
    assert_eq!(sim.status()["replayed"], 5);
}

#[tokio::test]
async fn speed_paces_and_raw_streams_are_wrapped_for_combined_clients() {
    let trade = |n: i64| {
        json!({"e":"trade","E":n,"s":"BTCUSDT","t":n,"p":"64231.50000000","q":"0.01000000","T":n,"m":true,"M":true}).to_string()
    };
    let lines: Vec<Value> = (0..5)
        .map(|n| json!({"ts": n * 400_000_000, "connection": 1, "data": trade(n)}))
        .collect();
    let file = raw_file(&lines);
    let sim = replay(file.path(), Protocol::Binance, 2.0).await;
    let url = sim.venue("binance").unwrap().url.clone();
    let mut client = Client::connect(&format!("{url}/stream?streams=btcusdt@trade")).await;
    let first = client.json().await;
    assert_eq!(
        (&first["stream"], &first["data"]["t"]),
        (&json!("btcusdt@trade"), &json!(0))
    );
    let begun = Instant::now();
    for n in 1..5 {
        assert_eq!(client.json().await["data"]["t"], n);
    }
    let took = begun.elapsed().as_secs_f64();
    assert!(
        (0.6..1.6).contains(&took),
        "1.6 s of recording at twice the pace took {took}"
    );
}

#[tokio::test]
async fn a_stream_that_a_client_left_is_not_played_to_it() {
    let trade = |symbol: &str, n: i64| {
        json!({"e":"trade","E":n,"s":symbol,"t":n,"p":"64231.5","q":"0.01","T":n,"m":true,"M":true})
            .to_string()
    };
    let lines: Vec<Value> = (0..20)
        .map(|n| json!({"ts": n * 100_000_000, "connection": 1, "data": trade(["BTCUSDT", "ETHUSDT"][n as usize % 2], n)}))
        .collect();
    let file = raw_file(&lines);
    let sim = replay(file.path(), Protocol::Binance, 1.0).await;
    let url = sim.venue("binance").unwrap().url.clone();
    let mut client = Client::connect(&format!("{url}/ws/btcusdt@trade/ethusdt@trade")).await;
    client.find(|m| m["s"] == "ETHUSDT").await;
    client
        .send(r#"{"method":"UNSUBSCRIBE","params":["ethusdt@trade"],"id":7}"#)
        .await;
    client.find(|m| m["id"] == 7).await;
    let texts = rest(&sim, &mut client).await;
    assert!(
        texts.len() > 3 && texts.iter().all(|text| text.contains("BTCUSDT")),
        "{texts:?}"
    );
}

#[tokio::test]
async fn what_is_no_recording_is_refused() {
    let file = raw_file(&[]);
    let options = |file: &Path| Options {
        venues: vec![Protocol::Kraken],
        replay: Some(file.to_owned()),
        ..Options::default()
    };
    let why = |result: Result<Simulator, String>| result.err().unwrap();
    assert!(why(sim::start(options(file.path())).await).contains("no recording"));
    assert!(why(sim::start(options(Path::new("/nowhere/at.all"))).await).contains("/nowhere/at.all"));
    let mut text = tempfile::NamedTempFile::new().unwrap();
    text.write_all(b"{\"ts\":1,\"connection\":1,\"data\":\"{}\"}\nbroken\n")
        .unwrap();
    assert!(why(sim::start(options(text.path())).await).contains("line 2"));
    let two = Options {
        replay: Some(file.path().to_owned()),
        ..Options::default()
    };
    assert!(why(sim::start(two).await).contains("one venue"));
}
