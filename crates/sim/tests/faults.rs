//! Every fault against a client that is connected.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::book::{Kept, Message};
use common::{Client, PATIENCE, fault, get, http, simulator};
use serde_json::{Value, json};
use sim::{Protocol, Simulator};
use std::time::{Duration, Instant};

const TRADES: &str = r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}"#;
const BOOK: &str = r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}"#;

async fn kraken(requests: &[&str]) -> (Simulator, Client) {
    let sim = simulator(Protocol::Kraken, 1_000.0).await;
    let mut client = Client::connect(&sim.venue("kraken").unwrap().url).await;
    for request in requests {
        client.send(request).await;
        client.find(|m| m["success"] == true).await;
    }
    (sim, client)
}

fn ids(message: &Value) -> Vec<u64> {
    message["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["trade_id"].as_u64().unwrap())
        .collect()
}

async fn trade(client: &mut Client) -> Vec<u64> {
    ids(&client.find(|m| m["channel"] == "trade").await)
}

#[tokio::test]
async fn mute_silences_one_stream_while_heartbeats_go_on() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    let before = *trade(&mut client).await.last().unwrap();
    let answer = fault(
        &sim,
        json!({"venue":"sim-kraken","fault":"mute","channel":"trades","instrument":"BTC-USD","seconds":1.6}),
    );
    assert_eq!(answer["did"], "started");
    // What was sent before the fault may still arrive; then only heartbeats do.
    let heartbeat = client.find(|m| m["channel"] == "heartbeat").await;
    assert_eq!(heartbeat, json!({"channel":"heartbeat"}));
    let after = trade(&mut client).await[0];
    assert!(after > before + 1, "the muted trades are missing");
}

#[tokio::test]
async fn silent_stops_everything_and_then_goes_on() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    trade(&mut client).await;
    fault(&sim, json!({"fault":"silent","seconds":1.5}));
    while client.text_within(Duration::from_millis(300)).await.is_ok() {} // what was on its way
    let begun = Instant::now();
    client.send(r#"{"method":"ping"}"#).await;
    assert!(
        client.text_within(Duration::from_millis(700)).await.is_err(),
        "not silent"
    );
    trade(&mut client).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn half_open_keeps_the_socket_and_drops_it_at_the_end() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    trade(&mut client).await;
    let begun = Instant::now();
    fault(&sim, json!({"fault":"half_open","seconds":1.0}));
    while let Ok(message) = client.text_within(PATIENCE).await {
        if message.is_none() {
            break;
        }
    }
    assert!(
        (0.9..3.0).contains(&begun.elapsed().as_secs_f64()),
        "{:?}",
        begun.elapsed()
    );
    // the fault is over: a new connection works
    let mut again = Client::connect(&sim.venue("kraken").unwrap().url).await;
    assert_eq!(again.json().await["channel"], "status");
}

#[tokio::test]
async fn rest_is_silent_and_half_open_too() {
    let sim = simulator(Protocol::Kraken, 10.0).await;
    let base = &sim.venue("kraken").unwrap().rest_url;
    for (name, answered) in [("silent", true), ("half_open", false)] {
        fault(&sim, json!({"fault":name,"seconds":1.0}));
        let begun = Instant::now();
        let answer = http("GET", base, "/0/public/Time", "").await;
        assert_eq!(answer.is_ok(), answered, "{name}");
        let waited = begun.elapsed().as_secs_f64();
        assert!((0.9..5.0).contains(&waited), "{name}: {waited} s");
        get(base, "/0/public/Time").await;
    }
}

#[tokio::test]
async fn a_mute_stream_leaves_no_hole_in_numbers_that_count_messages() {
    let sim = simulator(Protocol::CoinbaseAdvanced, 600.0).await;
    let mut client = Client::connect(&sim.venue("coinbase-advanced").unwrap().url).await;
    for channel in ["heartbeats", "level2"] {
        client
            .send(&json!({"type":"subscribe","product_ids":["BTC-USD"],"channel":channel}).to_string())
            .await;
    }
    client.find(|m| m["events"][0]["type"] == "update").await;
    fault(&sim, json!({"fault":"mute","channel":"book","seconds":3.5}));
    // This may be the first of the three heartbeats that come while the book is mute.
    let mut next = client.json().await["sequence_num"].as_u64().unwrap();
    let (mut in_a_row, mut silence) = (0, 0);
    while silence < 2 || in_a_row > 0 {
        let message = client.json().await;
        next += 1;
        assert_eq!(message["sequence_num"], next, "{message}");
        in_a_row = if message["channel"] == "heartbeats" {
            in_a_row + 1
        } else {
            0
        };
        silence = silence.max(in_a_row);
    }
}

#[tokio::test]
async fn cut_ends_connections_at_once() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    let answer = fault(&sim, json!({"fault":"cut"}));
    assert_eq!(answer["connections"], 1);
    while client.text().await.is_some() {}
    assert_eq!(sim.status()["venues"]["sim-kraken"]["opened"], 1);
}

#[tokio::test]
async fn drop_loses_exactly_so_many() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    let mut last = *trade(&mut client).await.last().unwrap();
    fault(&sim, json!({"fault":"drop","channel":"trades","count":3}));
    let mut holes = 0;
    for _ in 0..60 {
        let ids = trade(&mut client).await;
        holes += usize::from(ids[0] != last + 1);
        last = *ids.last().unwrap();
    }
    assert_eq!(holes, 1, "three messages in a row make one hole");
    let active = http("GET", &sim.control, "/faults", "").await.unwrap().json();
    assert_eq!(active["active"]["sim-kraken"], json!([]));
}

#[tokio::test]
async fn duplicate_and_reorder_are_what_they_say() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    trade(&mut client).await;
    fault(&sim, json!({"fault":"duplicate","channel":"trades"}));
    let mut seen = Vec::new();
    for _ in 0..30 {
        seen.push(trade(&mut client).await);
    }
    assert_eq!(seen.windows(2).filter(|w| w[0] == w[1]).count(), 1);
    fault(&sim, json!({"fault":"reorder","channel":"trades"}));
    let mut firsts = Vec::new();
    for _ in 0..30 {
        firsts.push(trade(&mut client).await[0]);
    }
    assert_eq!(firsts.windows(2).filter(|w| w[0] > w[1]).count(), 1, "{firsts:?}");
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 30);
}

/// How many of the next updates do not fit the book that is kept of them.
async fn mismatches(client: &mut Client, kept: &mut Kept, updates: usize) -> usize {
    let (mut seen, mut wrong) = (0, 0);
    while seen < updates {
        let text = client.text().await.unwrap();
        if !text.starts_with("{\"channel\":\"book\"") {
            continue;
        }
        let message: Message<'_> = serde_json::from_str(&text).unwrap();
        let data = message.data.unwrap();
        kept.apply(&data[0], message.kind.as_deref() == Some("snapshot"));
        wrong += usize::from(kept.checksum() != data[0].checksum);
        seen += 1;
    }
    wrong
}

#[tokio::test]
async fn bad_checksums_are_wrong_once_and_elsewhere_refused() {
    let (sim, mut client) = kraken(&[BOOK]).await;
    let mut kept = Kept {
        depth: 10,
        ..Kept::default()
    };
    assert_eq!(mismatches(&mut client, &mut kept, 20).await, 0);
    fault(&sim, json!({"fault":"bad_checksum","count":2}));
    assert_eq!(mismatches(&mut client, &mut kept, 60).await, 2);
    let other = simulator(Protocol::Binance, 10.0).await;
    let (status, answer) = other.fault(&json!({"fault":"bad_checksum"}));
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("no checksums"));
}

#[tokio::test]
async fn a_stale_snapshot_does_not_fit_the_updates() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    fault(&sim, json!({"fault":"stale_snapshot","seconds":60}));
    for _ in 0..20 {
        trade(&mut client).await;
    }
    client.send(BOOK).await;
    let mut kept = Kept {
        depth: 10,
        ..Kept::default()
    };
    assert!(mismatches(&mut client, &mut kept, 40).await > 20);
}

#[tokio::test]
async fn broken_messages_take_the_place_of_true_ones() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    for style in ["syntax", "nan", "infinity", "empty", "nesting"] {
        fault(&sim, json!({"fault":"malformed","style":style}));
        loop {
            let text = client.text().await.unwrap();
            if serde_json::from_str::<Value>(&text).is_err() {
                break;
            }
        }
    }
    fault(&sim, json!({"fault":"truncated"}));
    loop {
        let text = client.text().await.unwrap();
        if serde_json::from_str::<Value>(&text).is_err() {
            assert!(text.starts_with("{\"channel\""), "{text}");
            break;
        }
    }
    for (style, literal) in [
        ("exponent", "1e400"),
        ("negative_zero", "-0"),
        ("type", "true"),
        ("bom", "\u{feff}"),
    ] {
        fault(&sim, json!({"fault":"malformed","style":style}));
        while !client.text().await.unwrap().contains(literal) {}
    }
}

#[tokio::test]
async fn oversize_sends_sixty_four_mebibytes() {
    let (sim, mut client) = kraken(&[]).await;
    fault(&sim, json!({"fault":"oversize"}));
    loop {
        let text = client.text().await.unwrap();
        if text.len() > 1_000_000 {
            assert_eq!(text.len(), 64 << 20);
            break;
        }
    }
}

#[tokio::test]
async fn rest_is_refused_with_retry_after() {
    let sim = simulator(Protocol::Binance, 10.0).await;
    let base = sim.venue("binance").unwrap().rest_url.clone();
    fault(&sim, json!({"fault":"rest_429","count":2,"retry_after_s":7}));
    for _ in 0..2 {
        let refused = http("GET", &base, "/api/v3/ping", "").await.unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("7")));
        assert_eq!(refused.json()["code"], -1003);
    }
    assert_eq!(http("GET", &base, "/api/v3/ping", "").await.unwrap().status, 200);
    fault(&sim, json!({"fault":"rest_418","seconds":60,"retry_after_s":300}));
    let refused = http("GET", &base, "/api/v3/ping", "").await.unwrap();
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (418, Some("300"))
    );
    let cleared = http("DELETE", &sim.control, "/faults", "").await.unwrap().json();
    assert!(cleared["cleared"].as_u64().unwrap() >= 1);
    assert_eq!(http("GET", &base, "/api/v3/ping", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn refuse_resets_new_connections_and_keeps_old_ones() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    let venue = sim.venue("kraken").unwrap().clone();
    fault(&sim, json!({"fault":"refuse","seconds":1.0}));
    assert!(Client::try_connect(&venue.url).await.is_err());
    assert!(http("GET", &venue.rest_url, "/0/public/Time", "").await.is_err());
    trade(&mut client).await;
    let begun = Instant::now();
    while Client::try_connect(&venue.url).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn stale_snapshots_are_older_than_the_stream() {
    let sim = simulator(Protocol::Binance, 1_000.0).await;
    let venue = sim.venue("binance").unwrap().clone();
    fault(
        &sim,
        json!({"fault":"stale_snapshot","instrument":"BTC-USDT","seconds":60}),
    );
    let mut client = Client::connect(&format!("{}/stream?streams=btcusdt@depth@100ms", venue.url)).await;
    let first = client.json().await;
    client.json().await;
    let target = "/api/v3/depth?symbol=BTCUSDT&limit=1000";
    let stale = get(&venue.rest_url, target).await["lastUpdateId"]
        .as_u64()
        .unwrap();
    assert!(stale < first["data"]["U"].as_u64().unwrap());
    http("DELETE", &sim.control, "/faults", "").await.unwrap();
    assert!(
        get(&venue.rest_url, target).await["lastUpdateId"]
            .as_u64()
            .unwrap()
            > stale
    );
}

#[tokio::test]
async fn skewed_clocks_print_other_times() {
    let (sim, mut client) = kraken(&[TRADES]).await;
    let day = |m: &Value| m["data"][0]["timestamp"].as_str().unwrap()[..10].to_owned();
    let today = day(&client.find(|m| m["channel"] == "trade").await);
    let skew = json!({"fault":"clock_skew","offset_ms":86_400_000,"seconds":1});
    fault(&sim, skew);
    while day(&client.find(|m| m["channel"] == "trade").await) == today {}
    // It comes back to the true time afterwards.
    while day(&client.find(|m| m["channel"] == "trade").await) != today {}
}

#[tokio::test]
async fn slow_drip_limits_the_pace() {
    let (sim, mut client) = kraken(&[BOOK]).await;
    client.find(|m| m["channel"] == "book").await;
    fault(
        &sim,
        json!({"fault":"slow_drip","bytes_per_s":2_000,"seconds":60}),
    );
    tokio::time::sleep(Duration::from_millis(200)).await; // what is on its way already
    while client.text_within(Duration::from_millis(1)).await.is_ok() {}
    let begun = Instant::now();
    let mut bytes = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        if let Ok(Some(text)) = client.text_within(Duration::from_millis(500)).await {
            bytes += text.len();
        }
    }
    assert!((1_000..9_000).contains(&bytes), "{bytes} bytes in two seconds");
}

#[tokio::test]
async fn the_end_of_a_day_is_announced_where_the_venue_does_it() {
    let sim = simulator(Protocol::Binance, 100.0).await;
    let url = sim.venue("binance").unwrap().url.clone();
    let mut client = Client::connect(&format!("{url}/stream?streams=btcusdt@trade")).await;
    let begun = Instant::now();
    fault(&sim, json!({"fault":"end","seconds":0.5}));
    let notice = client.find(|m| m["stream"] == "!serverShutdown").await;
    assert_eq!(notice["data"]["e"], "serverShutdown");
    while client.text().await.is_some() {}
    assert!((0.4..3.0).contains(&begun.elapsed().as_secs_f64()));
    let (sim, mut client) = kraken(&[TRADES]).await;
    fault(&sim, json!({"fault":"end","seconds":0}));
    while client.text().await.is_some() {}
}

#[tokio::test]
async fn the_control_port_explains_itself() {
    let sim = sim::start(sim::Options::default()).await.unwrap();
    let post = async |body: &str| http("POST", &sim.control, "/faults", body).await.unwrap();
    for (body, status, part) in [
        ("nonsense", 400, "not a JSON object"),
        (
            r#"{"fault":"mute"}"#,
            404,
            "have: sim-kraken, sim-coinbase, sim-binance",
        ),
        (r#"{"venue":"ftx","fault":"mute"}"#, 404, "no venue named 'ftx'"),
        (
            r#"{"venue":"sim-kraken","fault":"mute","instrument":"X"}"#,
            400,
            "have: BTC-USD",
        ),
        (
            r#"{"venue":"sim-kraken","fault":"mute","seconds":1e9}"#,
            400,
            "from 0.01 to 3600",
        ),
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(
            answer.json()["error"].as_str().unwrap().contains(part),
            "{}",
            answer.body
        );
    }
    let accepted =
        post(r#"{"venue":"sim-kraken","fault":"mute","instrument":"BTC-USD.sim-kraken","channel":"book"}"#)
            .await;
    assert_eq!(
        (accepted.status, accepted.json()["venue"].as_str()),
        (200, Some("sim-kraken"))
    );
    let listed = get(&sim.control, "/faults").await;
    assert_eq!(listed["kinds"].as_array().unwrap().len(), 18);
    assert_eq!(listed["active"]["sim-kraken"][0]["fault"], "mute");
    assert_eq!(
        http("PUT", &sim.control, "/faults", "").await.unwrap().status,
        405
    );
    assert_eq!(
        http("GET", &sim.control, "/nothing", "").await.unwrap().status,
        404
    );
    let mut accepted = 0;
    let full = loop {
        let answer = post(r#"{"venue":"sim-coinbase","fault":"mute","seconds":3600}"#).await;
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
    };
    assert_eq!((accepted, full.status), (64, 409), "{}", full.body);
    assert!(full.body.contains("DELETE /faults"), "{}", full.body);
    let browser = common::http_with("GET", &sim.control, "/status", "", "origin: http://evil\r\n")
        .await
        .unwrap();
    assert_eq!(browser.status, 403);
    let status = get(&sim.control, "/status").await;
    assert_eq!(status["venues"].as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn a_dropped_message_shows_in_every_protocols_own_numbers() {
    let sim = sim::start(sim::Options {
        venues: Protocol::ALL.to_vec(),
        rate: 2_000.0,
        ..sim::Options::default()
    });
    let sim = sim.await.unwrap();
    let url = |venue: &str| sim.venue(venue).unwrap().url.clone();
    // (venue, path, subscription, channel, numbers of a message: first and last)
    type Numbers = fn(&Value) -> Option<(u64, u64)>;
    let binance: Numbers = |m| Some((m["U"].as_u64()?, m["u"].as_u64()?));
    let coinbase: Numbers = |m| {
        (m["type"] == "match")
            .then(|| m["trade_id"].as_u64())?
            .map(|id| (id, id))
    };
    let advanced: Numbers = |m| m["sequence_num"].as_u64().map(|n| (n, n));
    let cases = [
        ("binance", "/ws/btcusdt@depth@100ms", None, "book", binance),
        (
            "coinbase",
            "",
            Some(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches"]}"#),
            "trades",
            coinbase,
        ),
        (
            "coinbase-advanced",
            "",
            Some(r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}"#),
            "book",
            advanced,
        ),
    ];
    for (venue, path, subscription, channel, numbers) in cases {
        let mut client = Client::connect(&format!("{}{path}", url(venue))).await;
        if let Some(text) = subscription {
            client.send(text).await;
        }
        let (mut last, mut holes, mut seen) = (None, 0, 0);
        while seen < 200 && (holes == 0 || seen < 12) {
            let Some((from, to)) = numbers(&client.json().await) else {
                continue;
            };
            if let Some(last) = last {
                assert!(from > last);
                holes += usize::from(from > last + 1);
            }
            last = Some(to);
            seen += 1;
            if seen == 3 {
                assert_eq!(holes, 0);
                fault(
                    &sim,
                    json!({"venue":venue,"fault":"drop","channel":channel,"count":1}),
                );
            }
        }
        assert_eq!(holes, 1, "{venue}");
    }
}
