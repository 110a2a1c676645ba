//! Clients of Polygon and Alpaca against a started simulator: pages, faults, streams.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

mod common;

use common::{Answer, Client, http_with};
use serde_json::{Value, json};
use sim::{Options, Provider, Simulator};

/// Wednesday 2026-07-15 15:00:30 UTC, in the middle of a session.
const NOW_NS: i64 = 1_784_127_630_000_000_000;
const POLYGON_KEY: &str = "authorization: Bearer secret\r\n";
const ALPACA_KEY: &str = "apca-api-key-id: PK1\r\napca-api-secret-key: secret\r\n";

async fn simulator(provider: Provider, speed: f64) -> Simulator {
    sim::start(Options {
        venues: Vec::new(),
        providers: vec![provider],
        start: Some(NOW_NS),
        speed,
        seed: 7,
        ..Options::default()
    })
    .await
    .unwrap()
}

fn address(sim: &Simulator, name: &str) -> String {
    let providers = sim.addresses()["providers"].as_object().unwrap().clone();
    providers.values().next().unwrap()[name]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn ask(sim: &Simulator, target: &str, headers: &str) -> Answer {
    http_with("GET", &address(sim, "rest"), target, "", headers)
        .await
        .unwrap()
}

fn fault(sim: &Simulator, body: Value) {
    let (status, answer) = sim.fault(&body);
    assert_eq!(status, 200, "{answer}");
}

/// All rows of all pages, and how many pages there were.
async fn polygon_rows(sim: &Simulator, target: &str) -> (Vec<Value>, usize) {
    let base = address(sim, "rest");
    let (mut rows, mut target, mut pages) = (Vec::new(), target.to_owned(), 0);
    loop {
        let answer = ask(sim, &target, POLYGON_KEY).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        let page = answer.json();
        rows.extend(page["results"].as_array().cloned().unwrap_or_default());
        pages += 1;
        assert!(pages < 500, "pages without end");
        match page["next_url"].as_str() {
            None => return (rows, pages),
            Some(next) => target = next.strip_prefix(&base).unwrap().to_owned(),
        }
    }
}

/// Rows of each symbol over all pages.
async fn alpaca_rows(sim: &Simulator, target: &str, what: &str) -> (Vec<(String, Value)>, usize) {
    let (mut rows, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = ask(sim, &format!("{target}{token}"), ALPACA_KEY).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        let page = answer.json();
        for (symbol, of) in page[what].as_object().unwrap() {
            rows.extend(
                of.as_array()
                    .unwrap()
                    .iter()
                    .map(|row| (symbol.clone(), row.clone())),
            );
        }
        pages += 1;
        assert!(pages < 500, "pages without end");
        match page["next_page_token"].as_str() {
            None => return (rows, pages),
            Some(next) => token = format!("&page_token={next}"),
        }
    }
}

#[tokio::test]
async fn polygon_pages_give_each_row_once_in_any_size_and_order() {
    let sim = simulator(Provider::Polygon, 1.0).await;
    for path in [
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-07-13/2026-07-14?sort=asc",
        "/v2/aggs/ticker/AAPL/range/5/minute/2026-07-13/2026-07-14?sort=asc",
        "/v2/aggs/ticker/X:BTCUSD/range/1/hour/2026-07-11/2026-07-13?sort=asc",
        "/v2/aggs/ticker/TSLA/range/1/week/2020-06-01/2022-12-31?sort=asc&adjusted=false",
        "/v3/trades/MSFT?timestamp=2026-07-14&order=asc",
        "/v3/quotes/DIME?timestamp=2026-07-14&order=asc",
        "/v3/reference/tickers?market=stocks",
        "/v3/reference/dividends?ticker=AAPL&order=asc",
    ] {
        let most = if path.contains("reference") { 1_000 } else { 50_000 };
        let (whole, pages) = polygon_rows(&sim, &format!("{path}&limit={most}")).await;
        assert!(pages == 1 && whole.len() > 5, "{path}: {}", whole.len());
        let limit = (whole.len() / 7).max(2);
        let (split, pages) = polygon_rows(&sim, &format!("{path}&limit={limit}")).await;
        assert!(pages > 3, "{path}");
        assert_eq!(whole, split, "{path}");
        let turned = path.replace("asc", "desc");
        if turned != path {
            let (mut back, _) = polygon_rows(&sim, &format!("{turned}&limit={limit}")).await;
            back.reverse();
            assert_eq!(whole, back, "{turned}");
        }
        fault(&sim, json!({"fault": "short"}));
        let (short, more) = polygon_rows(&sim, &format!("{path}&limit={limit}")).await;
        sim_clear(&sim).await;
        assert!(more > pages, "{path}");
        assert_eq!(whole, short, "{path}");
        fault(&sim, json!({"fault": "overlap"}));
        let (mut doubled, pages) = polygon_rows(&sim, &format!("{path}&limit={limit}")).await;
        sim_clear(&sim).await;
        assert_eq!(doubled.len(), whole.len() + pages - 1, "{path}");
        doubled.dedup();
        assert_eq!(whole, doubled, "{path}");
    }
}

async fn sim_clear(sim: &Simulator) {
    let answer = http_with("DELETE", &sim.control, "/faults", "", "")
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
}

/// Whether a trade counts in bars, by a client's own table of Polygon's numbers.
fn counts(trade: &Value) -> bool {
    let none = Vec::new();
    let conditions = trade["conditions"].as_array().unwrap_or(&none);
    let correction = trade["correction"].as_u64().unwrap_or(0);
    !conditions
        .iter()
        .any(|c| [2, 13, 37].contains(&c.as_u64().unwrap()))
        && ![8, 12].contains(&correction)
}

#[tokio::test]
async fn polygon_bars_are_those_of_its_trades() {
    let sim = simulator(Provider::Polygon, 1.0).await;
    let (trades, _) = polygon_rows(&sim, "/v3/trades/AAPL?timestamp=2026-07-14&order=asc&limit=50000").await;
    let (bars, _) = polygon_rows(
        &sim,
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-07-14/2026-07-14?limit=50000",
    )
    .await;
    assert!(bars.len() > 400 && trades.len() > 1_500);
    let regular = trades.iter().filter(|trade| counts(trade));
    let mut made: Vec<(i64, Vec<&Value>)> = Vec::new();
    for trade in regular {
        let minute = trade["sip_timestamp"].as_i64().unwrap() / 60_000_000_000 * 60_000;
        match made.last_mut() {
            Some((last, of)) if *last == minute => of.push(trade),
            _ => made.push((minute, vec![trade])),
        }
    }
    assert_eq!(made.len(), bars.len());
    for ((minute, of), bar) in made.iter().zip(&bars) {
        let prices: Vec<f64> = of.iter().map(|t| t["price"].as_f64().unwrap()).collect();
        let volume: u64 = of.iter().map(|t| t["size"].as_u64().unwrap()).sum();
        assert_eq!(bar["t"].as_i64(), Some(*minute));
        assert_eq!(bar["n"].as_u64(), Some(of.len() as u64));
        assert_eq!(bar["v"].as_u64(), Some(volume));
        assert_eq!(bar["o"].as_f64(), prices.first().copied());
        assert_eq!(bar["c"].as_f64(), prices.last().copied());
        assert_eq!(bar["h"].as_f64(), prices.iter().copied().reduce(f64::max));
        assert_eq!(bar["l"].as_f64(), prices.iter().copied().reduce(f64::min));
    }
    // The fields of the vendor's own example, but for those that only some trades have.
    let printed = trades
        .iter()
        .find(|t| t["exchange"] == 4 && t["conditions"] == json!([12, 37]))
        .unwrap();
    let names: Vec<&str> = printed.as_object().unwrap().keys().map(String::as_str).collect();
    let expect = [
        "conditions",
        "exchange",
        "id",
        "participant_timestamp",
        "price",
        "sequence_number",
        "sip_timestamp",
        "size",
        "tape",
        "trf_id",
        "trf_timestamp",
    ];
    assert_eq!(names, expect);
    assert!(
        printed["id"].as_str().unwrap().starts_with('D'),
        "an id that is no number"
    );
}

#[tokio::test]
async fn polygon_says_no_in_its_own_words() {
    let sim = simulator(Provider::Polygon, 1.0).await;
    let day = "/v2/aggs/ticker/AAPL/range/1/day/2026-07-13/2026-07-14";
    for (target, headers, status, error) in [
        (day.to_owned(), "", 401, "API Key was not provided"),
        (
            day.to_owned(),
            "authorization: Bearer bad\r\n",
            401,
            "Unknown API Key",
        ),
        (format!("{day}?apiKey=secret"), "", 200, ""),
        (format!("{day}?limit=0"), POLYGON_KEY, 400, "limit"),
        (
            "/v2/aggs/ticker/AAPL/range/1/moon/1/2".to_owned(),
            POLYGON_KEY,
            400,
            "timespan",
        ),
        (
            "/v2/aggs/ticker/AAPL/range/1/day/2020-01-01/2020-02-01".to_owned(),
            "authorization: Bearer free1\r\n",
            403,
            "",
        ),
    ] {
        let answer = ask(&sim, &target, headers).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert!(
            answer.json()["error"].as_str().unwrap_or("").contains(error),
            "{}",
            answer.body
        );
    }
    let empty = ask(
        &sim,
        "/v2/aggs/ticker/AAPL/range/1/day/2026-07-11/2026-07-12",
        POLYGON_KEY,
    )
    .await
    .json();
    assert_eq!((empty.get("results"), &empty["resultsCount"]), (None, &json!(0)));
    // The free plan: five requests a minute. They may fall on either side of a minute's end.
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(ask(&sim, day, "authorization: Bearer free2\r\n").await.status);
    }
    assert!(
        statuses[..5].iter().all(|s| *s == 200) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn faults_break_what_they_say() {
    let sim = simulator(Provider::Polygon, 1.0).await;
    let target = "/v3/trades/AAPL?timestamp=2026-07-14&order=asc&limit=10";
    fault(
        &sim,
        json!({"venue": "polygon", "fault": "throttle", "count": 2, "retry_after_s": 3}),
    );
    let answer = ask(&sim, target, POLYGON_KEY).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("3")));
    assert!(answer.body.contains("exceeded the maximum requests per minute"));
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 429);
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 200);
    fault(
        &sim,
        json!({"venue": "sim-polygon", "fault": "error", "status": 502}),
    );
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 502);
    fault(&sim, json!({"fault": "foreign-next"}));
    let next = ask(&sim, target, POLYGON_KEY).await.json()["next_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        next.starts_with("https://next-page.invalid/v3/trades/AAPL?cursor="),
        "{next}"
    );
    fault(&sim, json!({"fault": "cut"}));
    let base = address(&sim, "rest");
    let cut = http_with("GET", &base, target, "", POLYGON_KEY).await;
    assert!(cut.is_err() || serde_json::from_str::<Value>(&cut.unwrap().body).is_err());
    fault(&sim, json!({"fault": "slow", "delay_ms": 300, "count": 1}));
    let begun = std::time::Instant::now();
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 200);
    assert!(begun.elapsed().as_millis() >= 300);
    fault(&sim, json!({"fault": "expired"}));
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 401);
    sim_clear(&sim).await;
    assert_eq!(ask(&sim, target, POLYGON_KEY).await.status, 200);
    for (body, why) in [
        (json!({"fault": "nonsense"}), "throttle"),
        (json!({"fault": "bad_checksum"}), "no fault named"),
        (json!({"fault": "throttle", "count": -1}), "count must be"),
        (json!({"venue": "sim-kraken", "fault": "cut"}), "sim-polygon"),
    ] {
        let (status, answer) = sim.fault(&body);
        assert!(
            status >= 400 && answer["error"].as_str().unwrap().contains(why),
            "{answer}"
        );
    }
    let listed = common::get(&sim.control, "/faults").await;
    assert_eq!(listed["providers"]["active"]["sim-polygon"], json!([]));
    assert!(listed["providers"]["kinds"].as_array().unwrap().len() >= 9);
    assert!(
        sim.status()["providers"]["sim-polygon"]["requests"]
            .as_u64()
            .unwrap()
            > 8
    );
}

#[tokio::test]
async fn alpaca_pages_run_over_symbols_and_times() {
    let sim = simulator(Provider::Alpaca, 1.0).await;
    for (path, what) in [
        (
            "/v2/stocks/bars?symbols=MSFT,AAPL,NONE&timeframe=1Min&start=2026-07-13&end=2026-07-14",
            "bars",
        ),
        (
            "/v2/stocks/bars?symbols=AAPL,F&timeframe=1Day&start=2020-08-20&end=2020-09-10&adjustment=split",
            "bars",
        ),
        (
            "/v2/stocks/trades?symbols=DIME,F&start=2026-07-14&end=2026-07-14&feed=iex",
            "trades",
        ),
        (
            "/v2/stocks/quotes?symbols=DIME,BRK.B&start=2026-07-14&end=2026-07-14",
            "quotes",
        ),
        (
            "/v1beta3/crypto/us/trades?symbols=BTC/USD,DOGE%2FUSD&start=2026-07-12T00:00:00Z&end=2026-07-12T04:00:00-00:00",
            "trades",
        ),
        (
            "/v1beta3/crypto/us/bars?symbols=ETH/USD&timeframe=6Hour&start=2026-07-10&end=2026-07-12",
            "bars",
        ),
    ] {
        let (whole, pages) = alpaca_rows(&sim, &format!("{path}&limit=10000"), what).await;
        assert!(pages == 1 && whole.len() > 5, "{path}: {pages} {}", whole.len());
        assert!(
            whole.is_sorted_by(|(a, x), (b, y)| (a, x["t"].as_str()) <= (b, y["t"].as_str())),
            "{path}"
        );
        let limit = (whole.len() / 7).max(2);
        let (split, pages) = alpaca_rows(&sim, &format!("{path}&limit={limit}"), what).await;
        assert!(pages > 3, "{path}");
        assert_eq!(whole, split, "{path}");
        fault(&sim, json!({"fault": "short"}));
        let (short, _) = alpaca_rows(&sim, &format!("{path}&limit={limit}"), what).await;
        sim_clear(&sim).await;
        assert_eq!(whole, short, "{path}");
        fault(&sim, json!({"fault": "overlap"}));
        let (mut doubled, _) = alpaca_rows(&sim, &format!("{path}&limit={limit}"), what).await;
        sim_clear(&sim).await;
        assert!(doubled.len() > whole.len(), "{path}");
        doubled.dedup();
        assert_eq!(whole, doubled, "{path}");
    }
    let answer = ask(
        &sim,
        "/v2/stocks/trades?symbols=AAPL&start=2026-07-14T13:30:00Z&limit=1",
        ALPACA_KEY,
    )
    .await;
    assert_eq!(answer.header("x-ratelimit-limit"), Some("10000"));
    let trade = &answer.json()["trades"]["AAPL"][0];
    let names: Vec<&str> = trade.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["c", "i", "p", "s", "t", "x", "z"]);
    assert!(trade["c"][0] == "@" && trade["z"] == "C");
}

#[tokio::test]
async fn alpaca_says_no_in_its_own_words() {
    let sim = simulator(Provider::Alpaca, 1.0).await;
    let free = "apca-api-key-id: free1\r\napca-api-secret-key: x\r\n";
    let bars = "/v2/stocks/bars?symbols=AAPL&timeframe=1Min";
    for (target, headers, status, message) in [
        (bars.to_owned(), "", 401, "unauthorized"),
        (
            "/v2/stocks/bars?timeframe=1Min".to_owned(),
            ALPACA_KEY,
            422,
            "symbols",
        ),
        (
            "/v2/stocks/bars?symbols=AAPL&timeframe=7Day".to_owned(),
            ALPACA_KEY,
            422,
            "timeframe",
        ),
        (
            format!("{bars}&feed=sip&end=2026-07-15T15:00:00Z"),
            free,
            403,
            "does not permit querying recent SIP data",
        ),
        (format!("{bars}&feed=sip&end=2026-07-15T14:00:00Z"), free, 200, ""),
        (
            format!("{bars}&feed=sip&end=2026-07-15T15:00:00Z"),
            ALPACA_KEY,
            200,
            "",
        ),
        (
            "/v2/assets/NONE".to_owned(),
            ALPACA_KEY,
            404,
            "asset not found for NONE",
        ),
        (
            "/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Min".to_owned(),
            "",
            200,
            "",
        ),
    ] {
        let answer = ask(&sim, &target, headers).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert!(
            answer.json()["message"].as_str().unwrap_or("").contains(message),
            "{}",
            answer.body
        );
    }
    let clock = ask(&sim, "/v2/clock", ALPACA_KEY).await.json();
    assert_eq!(clock["is_open"], true);
    assert_eq!(clock["next_close"], "2026-07-15T16:00:00-04:00");
    assert_eq!(clock["next_open"], "2026-07-16T09:30:00-04:00");
    let calendar = ask(&sim, "/v2/calendar?start=2026-07-02&end=2026-07-06", ALPACA_KEY)
        .await
        .json();
    let days: Vec<&str> = calendar
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["date"].as_str().unwrap())
        .collect();
    assert_eq!(
        days,
        ["2026-07-02", "2026-07-06"],
        "the fourth is a Saturday, kept on Friday"
    );
    let news = ask(&sim, "/v1beta1/news?symbols=AAPL,TSLA&limit=3", ALPACA_KEY)
        .await
        .json();
    assert_eq!(news["news"].as_array().unwrap().len(), 3);
    assert!(news["next_page_token"].is_string());
}

#[tokio::test]
async fn a_polygon_stream_tells_what_history_has_and_evicts_the_older() {
    let sim = simulator(Provider::Polygon, 60.0).await;
    let url = format!("{}/stocks", address(&sim, "stream"));
    let mut client = Client::connect(&url).await;
    assert_eq!(
        client.text().await.unwrap(),
        r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#
    );
    client.send(r#"{"action":"subscribe","params":"T.AAPL"}"#).await;
    assert_eq!(client.json().await[0]["status"], "not_authorized");
    client.send(r#"{"action":"auth","params":"secret"}"#).await;
    assert_eq!(client.json().await[0]["status"], "auth_success");
    client
        .send(r#"{"action":"subscribe","params":"T.AAPL,AM.AAPL"}"#)
        .await;
    assert_eq!(client.json().await[0]["message"], "subscribed to: T.AAPL");
    assert_eq!(client.json().await[0]["message"], "subscribed to: AM.AAPL");
    let (mut trades, mut bars) = (Vec::new(), Vec::new());
    while trades.len() < 40 || bars.is_empty() {
        for message in client.json().await.as_array().unwrap() {
            match message["ev"].as_str() {
                Some("T") => trades.push(message.clone()),
                Some("AM") => bars.push(message.clone()),
                other => panic!("{other:?}"),
            }
        }
    }
    let first = trades[0]["t"].as_i64().unwrap() * 1_000_000;
    let (history, _) = polygon_rows(
        &sim,
        &format!("/v3/trades/AAPL?timestamp.gte={first}&order=asc&limit=50000"),
    )
    .await;
    let known: Vec<&Value> = history.iter().map(|trade| &trade["id"]).collect();
    for trade in &trades {
        assert!(known.contains(&&trade["i"]), "{trade}");
    }
    let minute = bars[0]["s"].as_i64().unwrap();
    let (rows, _) = polygon_rows(
        &sim,
        &format!("/v2/aggs/ticker/AAPL/range/1/minute/{minute}/{minute}"),
    )
    .await;
    assert_eq!(rows[0]["t"], bars[0]["s"]);
    assert_eq!(bars[0]["e"].as_i64(), Some(minute + 60_000));

    let mut newer = Client::connect(&url).await;
    newer.json().await;
    newer.send(r#"{"action":"auth","params":"secret"}"#).await;
    assert_eq!(newer.json().await[0]["status"], "auth_success");
    let evicted = client.find(|message| message[0]["ev"] == "status").await;
    assert_eq!(evicted[0]["status"], "max_connections");
    while let Ok(Some(_)) = client.text_within(common::PATIENCE).await {}
    newer.send(r#"{"action":"auth","params":"bad"}"#).await;
    assert_eq!(newer.json().await[0]["status"], "auth_failed");
}

#[tokio::test]
async fn an_alpaca_stream_keeps_its_promises() {
    let sim = simulator(Provider::Alpaca, 120.0).await;
    let stream = address(&sim, "stream");
    let mut client = Client::connect(&format!("{stream}/v2/sip")).await;
    assert_eq!(
        client.text().await.unwrap(),
        r#"[{"T":"success","msg":"connected"}]"#
    );
    client.send(r#"{"action":"subscribe","trades":["SPY"]}"#).await;
    assert_eq!(
        client.text().await.unwrap(),
        r#"[{"T":"error","code":401,"msg":"not authenticated"}]"#
    );
    client.send(r#"{"action":"auth","key":"PK","secret":"x"}"#).await;
    assert_eq!(
        client.text().await.unwrap(),
        r#"[{"T":"success","msg":"authenticated"}]"#
    );
    client.send(r#"{"action":"auth","key":"PK","secret":"x"}"#).await;
    assert_eq!(client.json().await[0]["code"], 403);
    client.send("nonsense").await;
    assert_eq!(client.json().await[0]["code"], 400);
    client
        .send(r#"{"action":"subscribe","orderbooks":["SPY"]}"#)
        .await;
    assert_eq!(client.json().await[0]["code"], 410);

    let mut second = Client::connect(&format!("{stream}/v2/sip")).await;
    second.json().await;
    second.send(r#"{"action":"auth","key":"PK","secret":"x"}"#).await;
    assert_eq!(
        second.text().await.unwrap(),
        r#"[{"T":"error","code":406,"msg":"connection limit exceeded"}]"#
    );

    client
        .send(r#"{"action":"subscribe","trades":["SPY","TSLA"],"bars":["*"],"updatedBars":["SPY"]}"#)
        .await;
    assert_eq!(
        client.text().await.unwrap(),
        r#"[{"T":"subscription","trades":["SPY","TSLA"],"quotes":[],"bars":["*"],"updatedBars":["SPY"],"dailyBars":[],"statuses":[],"lulds":[],"corrections":["SPY","TSLA"],"cancelErrors":["SPY","TSLA"]}]"#
    );
    let mut told = Vec::new();
    let seen = |told: &[Value], kind: &str| told.iter().any(|message| message["T"] == kind);
    while !(seen(&told, "t") && seen(&told, "b") && (seen(&told, "c") || seen(&told, "x"))) {
        told.extend(client.json().await.as_array().unwrap().iter().cloned());
        assert!(told.len() < 20_000, "no amendment");
    }
    // What an amendment takes back was told before it, where the stream ran already.
    let amended = told
        .iter()
        .find(|message| message["T"] == "c" || message["T"] == "x")
        .unwrap();
    let id = if amended["T"] == "c" {
        &amended["oi"]
    } else {
        &amended["i"]
    };
    assert!(told.iter().any(|m| m["T"] == "t" && &m["i"] == id) || told.len() < 400);
    client
        .send(r#"{"action":"unsubscribe","trades":["TSLA"],"bars":["*"]}"#)
        .await;
    let state = client.find(|message| message[0]["T"] == "subscription").await;
    assert_eq!(
        (&state[0]["trades"], &state[0]["corrections"], &state[0]["bars"]),
        (&json!(["SPY"]), &json!(["SPY"]), &json!([]))
    );
}

#[tokio::test]
async fn an_alpaca_stream_speaks_messagepack_and_takes_keys_at_the_upgrade() {
    let sim = simulator(Provider::Alpaca, 60.0).await;
    let headers = [
        ("content-type", "application/msgpack"),
        ("apca-api-key-id", "PK"),
        ("apca-api-secret-key", "x"),
    ];
    let url = format!("{}/v2/test", address(&sim, "stream"));
    let mut client = Client::connect_with(&url, &headers).await;
    assert_eq!(
        client.binary().await,
        b"\x91\x82\xA1T\xA7success\xA3msg\xA9connected"
    );
    assert_eq!(
        client.binary().await,
        b"\x91\x82\xA1T\xA7success\xA3msg\xADauthenticated"
    );
    let mut subscribe = b"\x82\xA6action\xA9subscribe\xA6trades\x91\xA8FAKEPACA".to_vec();
    client.send_binary(std::mem::take(&mut subscribe)).await;
    let state = client.binary().await;
    assert!(state.windows(12).any(|w| w == b"subscription"));
    let trade = client.binary().await;
    // A timestamp of 64 bits: fixext 8 of type −1.
    assert!(trade.windows(4).any(|w| w == b"\xA1t\xD7\xFF"), "{trade:x?}");
    assert!(trade.windows(11).any(|w| w == b"\xA1S\xA8FAKEPACA"), "{trade:x?}");
}
