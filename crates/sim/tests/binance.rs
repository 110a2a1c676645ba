//! A client of Binance's protocol against a started simulator: the book is kept by the venue's written rule.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::{Client, get, http, simulator};
use serde_json::{Value, json};
use sim::Protocol;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn the_official_book_rule_holds_and_ids_have_no_hole() {
    let sim = simulator(Protocol::Binance, 1_500.0).await;
    let venue = sim.venue("binance").unwrap().clone();
    for symbol in ["BTCUSDT", "HEAPUSDT"] {
        let lower = symbol.to_ascii_lowercase();
        let mut client = Client::connect(&format!("{}/stream?streams={lower}@depth@100ms", venue.url)).await;
        let first = client.json().await;
        assert_eq!(first["stream"], format!("{lower}@depth@100ms"));
        let mut buffer = vec![first["data"].clone()];
        let snapshot = get(
            &venue.rest_url,
            &format!("/api/v3/depth?symbol={symbol}&limit=5000"),
        )
        .await;
        let mut id = snapshot["lastUpdateId"].as_u64().unwrap();
        assert!(
            id >= buffer[0]["U"].as_u64().unwrap(),
            "snapshot older than the stream"
        );
        let mut book: [BTreeMap<String, String>; 2] = Default::default();
        let mut set = |side: usize, levels: &Value| {
            for level in levels.as_array().unwrap() {
                let (price, size) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                assert_eq!(price.split_once('.').unwrap().1.len(), 8);
                // Fixed decimals, so that padded text sorts as the number does.
                let key = format!("{price:>24}");
                if size == "0.00000000" {
                    book[side].remove(&key);
                } else {
                    book[side].insert(key, size.to_owned());
                }
            }
            book.clone()
        };
        set(0, &snapshot["bids"]);
        set(1, &snapshot["asks"]);
        let mut applied = 0;
        let mut kept = None;
        while applied < 25 {
            let event = if buffer.is_empty() {
                client.json().await["data"].clone()
            } else {
                buffer.remove(0)
            };
            let (from, to) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
            if to <= id {
                continue;
            }
            if applied == 0 {
                assert!(from <= id + 1 && id < to, "{from}..{to} after {id}");
            } else {
                assert_eq!(from, id + 1);
            }
            set(0, &event["b"]);
            let both = set(1, &event["a"]);
            assert!(
                both[0].last_key_value().unwrap().0 < both[1].first_key_value().unwrap().0,
                "crossed"
            );
            kept = Some(both);
            id = to;
            applied += 1;
        }
        assert!(kept.unwrap().iter().all(|side| side.len() >= 20));
    }
}

#[tokio::test]
async fn slow_diffs_sum_up_fast_ones() {
    let sim = simulator(Protocol::Binance, 800.0).await;
    let url = &sim.venue("binance").unwrap().url;
    let mut client =
        Client::connect(&format!("{url}/stream?streams=btcusdt@depth@100ms/btcusdt@depth")).await;
    let mut last_slow: Option<u64> = None;
    let mut fast = Vec::new();
    let mut slow = 0;
    while slow < 3 {
        let message = client.json().await;
        let (from, to) = (
            message["data"]["U"].as_u64().unwrap(),
            message["data"]["u"].as_u64().unwrap(),
        );
        if message["stream"] == "btcusdt@depth" {
            if let Some(last) = last_slow {
                assert_eq!(from, last + 1);
                assert!(
                    fast.iter().any(|(f, _)| *f == from),
                    "begins where a fast one begins"
                );
            }
            assert!(fast.iter().any(|(_, t)| *t == to), "ends where a fast one ends");
            last_slow = Some(to);
            slow += 1;
        } else {
            fast.push((from, to));
        }
    }
}

#[tokio::test]
async fn trades_aggregates_and_rest_agree() {
    let sim = simulator(Protocol::Binance, 1_500.0).await;
    let venue = sim.venue("binance").unwrap().clone();
    // ccxt connects to a path without a stream and subscribes then
    let mut client = Client::connect(&format!("{}/ws/0", venue.url)).await;
    client.send(r#"{"method":"SUBSCRIBE","params":["ethusdt@trade","ethusdt@aggTrade","ethusdt@bookTicker"],"id":1}"#).await;
    assert_eq!(
        client.find(|m| m.get("id").is_some()).await,
        json!({"result":null,"id":1})
    );
    let (mut trades, mut aggregates, mut quotes) = (Vec::new(), Vec::new(), 0);
    while trades.len() < 150 || quotes < 20 {
        let message = client.json().await;
        match message["e"].as_str() {
            Some("trade") => trades.push(message),
            Some("aggTrade") => aggregates.push(message),
            _ => {
                assert!(message["u"].as_u64().is_some() && message.get("E").is_none());
                quotes += 1;
            }
        }
    }
    let ids: Vec<u64> = trades.iter().map(|t| t["t"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|w| w[0] + 1 == w[1]));
    assert!(
        aggregates
            .windows(2)
            .all(|w| w[0]["a"].as_u64().unwrap() + 1 == w[1]["a"].as_u64().unwrap())
    );
    assert!(
        aggregates
            .windows(2)
            .all(|w| w[0]["l"].as_u64().unwrap() + 1 == w[1]["f"].as_u64().unwrap())
    );
    let target = format!(
        "/api/v3/historicalTrades?symbol=ETHUSDT&fromId={}&limit=100",
        ids[0]
    );
    let rest = get(&venue.rest_url, &target).await;
    for (row, trade) in rest.as_array().unwrap().iter().zip(&trades) {
        assert_eq!(
            (&row["id"], &row["price"], &row["qty"]),
            (&trade["t"], &trade["p"], &trade["q"])
        );
        assert_eq!((&row["time"], &row["isBuyerMaker"]), (&trade["T"], &trade["m"]));
    }
    let first = aggregates[0]["a"].as_u64().unwrap();
    let rest = get(
        &venue.rest_url,
        &format!("/api/v3/aggTrades?symbol=ETHUSDT&fromId={first}&limit=20"),
    )
    .await;
    for (row, aggregate) in rest.as_array().unwrap().iter().zip(&aggregates) {
        for key in ["a", "p", "q", "f", "l", "T", "m"] {
            assert_eq!(row[key], aggregate[key], "{key}");
        }
    }
}

#[tokio::test]
async fn requests_are_answered_as_documented() {
    let sim = simulator(Protocol::Binance, 50.0).await;
    let url = sim.venue("sim-binance").unwrap().url.clone();
    let mut client = Client::connect(&format!("{url}/ws")).await;
    client
        .send(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","nosuchsymbol@trade"],"id":"a-1"}"#)
        .await;
    assert_eq!(client.json().await, json!({"result":null,"id":"a-1"}));
    client.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#).await;
    let listed = client.find(|m| m["id"] == 3).await;
    assert_eq!(listed["result"], json!(["btcusdt@trade", "nosuchsymbol@trade"]));
    client
        .send(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#)
        .await;
    assert_eq!(client.find(|m| m["id"] == 5).await["result"], Value::Null);
    assert_eq!(
        client.find(|m| m.get("stream").is_some()).await["stream"],
        "btcusdt@trade"
    );
    tokio::time::sleep(Duration::from_millis(1_050)).await; // the allowance of messages is per second
    client
        .send(r#"{"method":"SET_PROPERTY","params":["combined","yes"],"id":6}"#)
        .await;
    assert_eq!(client.find(|m| m["id"] == 6).await["code"], 1);
    client
        .send(r#"{"method":"SET_PROPERTY","params":["colour",1],"id":7}"#)
        .await;
    assert_eq!(client.find(|m| m["id"] == 7).await["code"], 0);
    client.send(r#"{"method":"FLY","id":8}"#).await;
    assert_eq!(client.find(|m| m["id"] == 8).await["code"], 2);
    client.send("no json").await;
    assert_eq!(client.find(|m| m.get("code").is_some()).await["code"], 3);
}

#[tokio::test]
async fn microseconds_are_printed_where_asked() {
    let sim = simulator(Protocol::Binance, 500.0).await;
    let url = &sim.venue("binance").unwrap().url;
    let mut client = Client::connect(&format!(
        "{url}/stream?streams=btcusdt@trade&timeUnit=MICROSECOND"
    ))
    .await;
    let message = client.json().await;
    assert!(message["data"]["T"].as_i64().unwrap() > 1_000_000_000_000_000);
}

#[tokio::test]
async fn more_than_five_messages_a_second_end_the_connection() {
    let sim = simulator(Protocol::Binance, 10.0).await;
    let mut client = Client::connect(&format!("{}/ws", sim.venue("binance").unwrap().url)).await;
    for _ in 0..6 {
        client.ping().await;
    }
    assert_eq!(client.text().await, None);
}

#[tokio::test]
async fn bars_close_and_rest_has_them() {
    let sim = simulator(Protocol::Binance, 500.0).await;
    let venue = sim.venue("binance").unwrap().clone();
    let mut client = Client::connect(&format!(
        "{}/stream?streams=btcusdt@kline_1s/btcusdt@kline_1m",
        venue.url
    ))
    .await;
    let second = client.find(|m| m["stream"] == "btcusdt@kline_1s").await;
    assert_eq!(
        (&second["data"]["k"]["x"], &second["data"]["k"]["i"]),
        (&json!(true), &json!("1s"))
    );
    let minute = client.find(|m| m["stream"] == "btcusdt@kline_1m").await;
    let k = &minute["data"]["k"];
    assert_eq!(k["T"].as_i64().unwrap() - k["t"].as_i64().unwrap(), 59_999);
    let rows = get(
        &venue.rest_url,
        "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000",
    )
    .await;
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 1_000);
    assert!(
        rows.windows(2)
            .all(|w| w[0][6].as_i64().unwrap() + 1 == w[1][0].as_i64().unwrap())
    );
    let from = rows[10][0].as_i64().unwrap();
    let page = get(
        &venue.rest_url,
        &format!("/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={from}&limit=5"),
    )
    .await;
    assert_eq!(page.as_array().unwrap()[..], rows[10..15]);
}

#[tokio::test]
async fn times_at_the_end_of_the_range_are_answered() {
    let sim = simulator(Protocol::Binance, 50.0).await;
    let base = &sim.venue("binance").unwrap().rest_url;
    let last = i64::MAX / 1_000_000;
    let after = get(
        base,
        &format!("/api/v3/klines?symbol=BTCUSDT&interval=1M&startTime={last}"),
    )
    .await;
    assert_eq!(after, json!([]));
    let until = get(
        base,
        &format!("/api/v3/aggTrades?symbol=BTCUSDT&startTime=0&endTime={last}"),
    )
    .await;
    assert!(!until.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn rest_lists_and_refuses_as_the_venue_does() {
    let sim = simulator(Protocol::Binance, 50.0).await;
    let base = &sim.venue("binance").unwrap().rest_url;
    assert_eq!(get(base, "/api/v3/ping").await, json!({}));
    let info = get(base, "/api/v3/exchangeInfo").await;
    assert_eq!(info["symbols"].as_array().unwrap().len(), 5);
    assert_eq!(info["symbols"][3]["filters"][0]["tickSize"], "0.00000001");
    let one = get(base, "/api/v3/exchangeInfo?symbols=%5B%22ETHUSDT%22%5D").await;
    assert_eq!(one["symbols"][0]["symbol"], "ETHUSDT");
    for target in ["ticker/price", "ticker/bookTicker", "ticker/24hr"] {
        assert_eq!(
            get(base, &format!("/api/v3/{target}"))
                .await
                .as_array()
                .unwrap()
                .len(),
            5
        );
        assert_eq!(
            get(base, &format!("/api/v3/{target}?symbol=SOLUSDT")).await["symbol"],
            "SOLUSDT"
        );
    }
    assert_eq!(
        get(base, "/api/v3/trades?symbol=BTCUSDT&limit=10")
            .await
            .as_array()
            .unwrap()
            .len(),
        10
    );
    for (target, code) in [
        ("depth?symbol=NOPE", -1121),
        ("depth", -1102),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("trades?symbol=BTCUSDT&limit=x", -1100),
    ] {
        let refused = http("GET", base, &format!("/api/v3/{target}"), "").await.unwrap();
        assert_eq!(
            (refused.status, refused.json()["code"].as_i64()),
            (400, Some(code)),
            "{target}"
        );
    }
    let fees = common::http_with(
        "GET",
        base,
        "/sapi/v1/asset/tradeFee",
        "",
        "x-mbx-apikey: any\r\n",
    )
    .await
    .unwrap();
    assert_eq!(fees.json()[0]["makerCommission"], "0.001", "{}", fees.body);
    for target in ["/sapi/v1/asset/tradeFee", "/api/v3/account"] {
        let refused = http("GET", base, target, "").await.unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!(-2015)));
    }
    let heavy = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
    let weight = http("GET", base, heavy, "")
        .await
        .unwrap()
        .header("x-mbx-used-weight-1m")
        .unwrap()
        .to_owned();
    assert!(weight.parse::<i64>().unwrap() >= 250);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(http("GET", base, heavy, "").await.unwrap().status);
    }
    assert!(
        statuses.contains(&429) || statuses.iter().all(|s| *s == 200),
        "{statuses:?}"
    ); // a minute may end between
}

#[tokio::test]
async fn a_client_that_does_not_back_off_is_banned() {
    let sim = simulator(Protocol::Binance, 50.0).await;
    let base = &sim.venue("binance").unwrap().rest_url;
    let heavy = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
    let mut statuses = Vec::new();
    // Of two minutes at the most, one is long enough for all of these.
    while statuses.last() != Some(&418) && statuses.len() < 100 {
        statuses.push(http("GET", base, heavy, "").await.unwrap().status);
    }
    assert!(statuses.ends_with(&[429, 429, 429, 418]), "{statuses:?}");
    let banned = http("GET", base, "/api/v3/ping", "").await.unwrap();
    let left: u64 = banned.header("retry-after").unwrap().parse().unwrap();
    assert_eq!((banned.status, &banned.json()["code"]), (418, &json!(-1003)));
    assert!((100..=121).contains(&left), "{left}");
}

#[tokio::test]
async fn weeks_and_months_are_those_of_the_calendar() {
    let sim = simulator(Protocol::Binance, 50.0).await;
    let base = &sim.venue("binance").unwrap().rest_url;
    const DAY_MS: i64 = 86_400_000;
    for (interval, shortest, longest) in [("1w", 7, 7), ("1M", 28, 31)] {
        let target = format!("/api/v3/klines?symbol=BTCUSDT&interval={interval}");
        let rows = get(base, &target).await;
        let rows = rows.as_array().unwrap();
        assert!(rows.len() > 1, "{rows:?}");
        for row in rows {
            let (from, last) = (row[0].as_i64().unwrap(), row[6].as_i64().unwrap());
            let days = (last + 1 - from) / DAY_MS;
            assert!((shortest..=longest).contains(&days), "{row}");
            if interval == "1w" {
                assert_eq!((from / DAY_MS + 3) % 7, 0, "{row} is of a Monday"); // the epoch is a Thursday
            }
        }
        let follow = |w: &[Value]| w[0][6].as_i64().unwrap() + 1 == w[1][0].as_i64().unwrap();
        assert!(rows.windows(2).all(follow), "{rows:?}");
        let days = get(base, "/api/v3/klines?symbol=BTCUSDT&interval=1d").await;
        let trades = |rows: &[Value], from: i64| -> i64 {
            let rows = rows.iter().filter(|row| row[0].as_i64().unwrap() >= from);
            rows.map(|row| row[8].as_i64().unwrap()).sum()
        };
        let from = rows[0][0].as_i64().unwrap();
        let (long, short) = (trades(rows, from), trades(days.as_array().unwrap(), from));
        assert!(
            (long..long + 1_000).contains(&short),
            "{interval}: {long} {short}"
        ); // trading goes on between
    }
}
