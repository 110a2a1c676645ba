//! The bridge over real sockets: journals written by the test, WebSocket clients of another library.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod support;

use serde_json::json;
use support::{Browser, Home, start_bridge};

#[tokio::test(flavor = "multi_thread")]
async fn trades_reach_a_browser_as_documented() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    venue.trades(0, 3);
    let bridge = start_bridge(&home);
    let mut browser = Browser::connect(&home, &bridge, None).await;
    let hello = browser.next().await;
    assert_eq!(
        hello,
        json!({"type": "hello", "version": 1, "heartbeat_s": 1, "venues": {"sim-kraken":
            {"epoch": 1, "sequence": 3, "instruments": ["BTC-USD.sim-kraken", "ETH-USD.sim-kraken"]}}})
    );
    let answer = browser
        .subscribe(json!({"id": 1, "instruments": ["BTC-USD.sim-kraken"], "channels": ["trades"]}))
        .await;
    assert_eq!(
        answer,
        json!({"type": "subscribed", "id": 1, "instruments": ["BTC-USD.sim-kraken"],
               "channels": ["trades"], "from": {"sim-kraken": [1, 3]}})
    );
    let trade = venue.trade(0, "64231.5", "0.0114");
    venue.writer.append(&[trade]).unwrap();
    let other = venue.trade(1, "3100.1", "2");
    venue.writer.append(&[other]).unwrap();
    let second = venue.trade(0, "64231.6", "1.0000");
    venue.writer.append(&[second, second]).unwrap();
    assert_eq!(
        browser.next().await,
        json!({"prev": null, "id": 1, "type": "trades", "venue": "sim-kraken",
               "instrument": "BTC-USD.sim-kraken", "epoch": 1, "sequence": 4, "rows": [
                   {"sequence": 4, "ts_event": trade.ts_event.to_string(),
                    "ts_recv": trade.ts_recv.to_string(), "price": "64231.5", "size": "0.0114",
                    "aggressor": "buy", "id": trade.id.to_string()}]})
    );
    let message = browser.next().await;
    assert_eq!((&message["prev"], &message["sequence"]), (&json!(4), &json!(7)));
    assert_eq!(message["rows"].as_array().unwrap().len(), 2);
    assert_eq!(message["rows"][1]["size"], "1.0000");
    let beat = loop {
        let message = browser.next_any().await;
        if message["type"] == "heartbeat" {
            break message;
        }
    };
    assert_eq!(beat["venues"]["sim-kraken"]["sequence"], 7);
    assert_eq!(beat["venues"]["sim-kraken"]["state"], "live");
    assert_eq!(bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_journal_is_told_and_not_waited_for() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 3);
    let bridge = start_bridge(&home);
    let mut browser = Browser::connect(&home, &bridge, None).await;
    browser.next().await;
    let wish = |from: [u64; 2]| {
        json!({"op": "subscribe", "id": 1, "venues": ["sim-kraken"], "channels": ["trades"],
               "from": {"sim-kraken": from}})
    };
    browser.send(wish([7, 2])).await;
    let refused = browser.next().await;
    assert_eq!(
        (
            &refused["type"],
            &refused["code"],
            &refused["category"],
            &refused["id"]
        ),
        (
            &json!("error"),
            &json!("position_foreign"),
            &json!("conflict"),
            &json!(1)
        )
    );
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("is at 1:3, and 7:2"),
        "{refused}"
    );
    // One past the end of the same epoch is of another journal too.
    browser.send(wish([1, 4])).await;
    assert_eq!(browser.next().await["code"], "position_foreign");
    // The refused one has left nothing behind.
    let answer = browser.subscribe(wish([1, 2])).await;
    assert_eq!(answer["from"]["sim-kraken"], json!([1, 2]));
    assert_eq!(browser.next().await["sequence"], 3);
    assert_eq!(bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrument_that_has_no_record_yet_can_be_subscribed() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 3);
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let wish =
        json!({"op": "subscribe", "id": 1, "instruments": ["ETH-USD.sim-kraken"], "channels": ["trades"]});
    browser.send(wish.clone()).await;
    assert_eq!(browser.next().await["code"], "instrument_unknown");
    venue.numbers.extend(support::add_instruments(
        &mut venue.writer,
        "sim-kraken",
        &["ETH-USD"],
    ));
    let answer = browser.subscribe(wish).await;
    assert_eq!(answer["instruments"], json!(["ETH-USD.sim-kraken"]));
    venue.trades(1, 1);
    assert_eq!(browser.next().await["instrument"], "ETH-USD.sim-kraken");
    assert_eq!(bridge.stop(), 0);
}

/// Sequences that a browser resuming from `from` gets, until `last`.
async fn resumed(browser: &mut Browser, id: u64, from: (u32, u64), last: u64) -> Vec<u64> {
    browser
        .subscribe(json!({"id": id, "venues": ["sim-kraken"], "channels": ["trades"],
                          "from": {"sim-kraken": [from.0, from.1]}}))
        .await;
    browser.trades_until(last, &mut None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_gives_exactly_the_rest_wherever_the_cut_was() {
    let home = Home::new();
    let mut venue = home.venue_with("sim-kraken", &["BTC-USD", "ETH-USD"], 64 << 10, 0);
    let mut trades = Vec::new(); // (epoch, sequence)
    let write = |venue: &mut support::Venue, trades: &mut Vec<(u32, u64)>, looks: usize| {
        for look in 0..looks {
            let mut records = Vec::new();
            for i in 0..look % 3 {
                records.push(venue.trade(i, "1.5", "2"));
            }
            records.extend(venue.quote(0, "1.4", "1.5"));
            records.push(venue.trade(1, "3", "4"));
            let first = venue.writer.append(&records).unwrap().sequence;
            for (at, record) in (first..).zip(&records) {
                if record.kind == wire::kind::TRADE {
                    trades.push((venue.writer.epoch(), at));
                }
            }
        }
    };
    write(&mut venue, &mut trades, 700);
    drop(venue);
    let mut venue = home.venue_with("sim-kraken", &["BTC-USD", "ETH-USD"], 64 << 10, 0);
    assert_eq!(venue.writer.epoch(), 2);
    write(&mut venue, &mut trades, 300);
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let newest = trades.last().unwrap().1;
    let mut at = 1;
    for id in 1..=25 {
        // Positions in the middle of frames, on trades and between them.
        at = at * 7_919 % newest;
        let epoch = if trades
            .iter()
            .any(|(epoch, sequence)| *epoch == 2 && *sequence <= at)
        {
            2
        } else {
            1
        };
        let expect: Vec<u64> = trades.iter().map(|(_, s)| *s).filter(|s| *s > at).collect();
        assert!(
            resumed(&mut browser, id, (epoch, at), newest).await == expect,
            "from {epoch}:{at}"
        );
        browser.send(json!({"op": "unsubscribe", "id": id})).await;
        assert_eq!(browser.next().await["type"], "unsubscribed");
    }

    // While the venue goes on: history and live join without a seam.
    let before = trades.len();
    let writing = std::thread::spawn(move || {
        for _ in 0..200 {
            write(&mut venue, &mut trades, 6);
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        (venue, trades)
    });
    browser
        .subscribe(json!({"id": 99, "venues": ["sim-kraken"], "channels": ["trades", "quotes", "book", "bars:1s", "status"],
                          "from": {"sim-kraken": [1, 0]}}))
        .await;
    let (_venue, trades) = writing.join().unwrap();
    let last = trades.last().unwrap().1;
    let sequences = browser.trades_until(last, &mut None).await;
    assert!(trades.len() > before);
    assert!(sequences.iter().eq(trades.iter().map(|(_, s)| s)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_gone_becomes_an_explicit_gap() {
    let home = Home::new();
    let mut venue = home.venue_with("sim-kraken", &["BTC-USD"], 16 << 10, 64 << 10);
    venue.trades(0, 5_000);
    drop(venue); // and with it the thread that deletes
    let oldest = journal::Reader::open(home.path(), "sim-kraken").unwrap().oldest();
    assert!(oldest.sequence > 1, "nothing was deleted");
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let answer = browser
        .subscribe(
            json!({"id": 1, "instruments": ["BTC-USD.sim-kraken"], "channels": ["trades"],
                          "from": {"sim-kraken": [1, 2]}}),
        )
        .await;
    assert_eq!(answer["from"]["sim-kraken"], json!([1, oldest.sequence - 1]));
    let open = browser.next().await;
    let end = browser.next().await;
    assert_eq!(
        (&open["type"], &open["edge"], &open["cause"]),
        (&json!("gap"), &json!("open"), &json!("lapped"))
    );
    assert_eq!(open["gap"], json!([1, 3]));
    assert_eq!(open["missing"].as_u64().unwrap(), oldest.sequence - 3);
    assert_eq!(
        (&end["edge"], &end["sequence"]),
        (&json!("end"), &json!(oldest.sequence - 1))
    );
    let mut chain = end["sequence"].as_u64();
    let sequences = browser.trades_until(5_000, &mut chain).await;
    assert!(sequences.iter().copied().eq(oldest.sequence..=5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_within_what_is_gone_is_told_as_it_is_now() {
    let home = Home::new();
    let mut venue = home.venue_with("sim-kraken", &["BTC-USD"], 16 << 10, 64 << 10);
    let now = support::now_ns();
    let halted = wire::Record::status(venue.numbers[0], wire::channel::ALL, wire::status::HALTED)
        .at(now, now)
        .with(wire::flag::LAST);
    venue.writer.append(&[halted]).unwrap();
    let bridge = start_bridge(&home);
    venue.trades(0, 5_000);
    drop(venue); // and with it the thread that deletes
    bridge.wait_for("the bridge to be there", |status| {
        status["venues"]["sim-kraken"]["sequence"] == 5_001
    });
    let mut browser = Browser::open(&home, &bridge).await;
    browser
        .subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["status"], "from": {"sim-kraken": [1, 0]}}))
        .await;
    assert_eq!(browser.next().await["cause"], "lapped");
    assert_eq!(browser.next().await["edge"], "end");
    let status = browser.next().await;
    assert_eq!(
        (&status["type"], &status["code"], &status["instrument"]),
        (&json!("status"), &json!("halted"), &json!("BTC-USD.sim-kraken"))
    );
    assert_eq!(bridge.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_with_its_position_and_the_others_lose_nothing() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let bridge = start_bridge(&home);
    let mut fast = Browser::open(&home, &bridge).await;
    let mut slow = Browser::connect(&home, &bridge, Some(4096)).await;
    slow.next().await;
    for browser in [&mut fast, &mut slow] {
        browser
            .subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["trades"]}))
            .await;
    }
    let total = 40_000;
    // The venue goes at the pace of the fast client, however busy this machine is.
    let (mut sequences, mut chain) = (Vec::new(), None);
    for _ in 0..total / 2_000 {
        for _ in 0..100 {
            let records: Vec<_> = (0..20).map(|_| venue.trade(0, "64231.5", "0.01")).collect();
            venue.writer.append(&records).unwrap();
        }
        sequences.extend(fast.trades_until(venue.position().1, &mut chain).await);
    }
    assert!(sequences.iter().copied().eq(2..=1 + total));
    bridge.wait_for("the cut", |status| status["metrics"]["cut"] == 1);
    let (values, code) = slow.rest().await;
    assert_eq!(code, 4008);
    let cut = values.last().unwrap();
    assert_eq!((&cut["type"], &cut["reason"]), (&json!("cut"), &json!("slow")));
    let got = values
        .iter()
        .flat_map(|value| value["rows"].as_array().cloned().unwrap_or_default())
        .map(|row| row["sequence"].as_u64().unwrap())
        .collect::<Vec<_>>();
    let position = cut["positions"]["sim-kraken"][1].as_u64().unwrap();
    assert!(got.iter().copied().eq(2..=position), "not exact up to {position}");
    assert!(position < total);
    // It comes back and gets the exact rest.
    let mut again = Browser::open(&home, &bridge).await;
    let rest = resumed(&mut again, 1, (1, position), 1 + total).await;
    assert!(rest.iter().copied().eq(position + 1..=1 + total));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_quotes_that_does_not_read_is_spared_and_sees_the_present() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    venue.trades(0, 1);
    let bridge = start_bridge(&home);
    let mut slow = Browser::connect(&home, &bridge, Some(4096)).await;
    slow.next().await;
    slow.subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["quotes"]}))
        .await;
    for i in 0..30_000u64 {
        let quote = venue.quote((i % 2) as usize, &format!("{i}.5"), "99999.5");
        venue.writer.append(&quote).unwrap();
        if i % 200 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1)); // many looks, not one
        }
    }
    let last = venue.position().1;
    bridge.wait_for("all quotes", |status| {
        status["venues"]["sim-kraken"]["sequence"] == last
    });
    let (mut chain, mut conflated, mut count) = (None, 0, 0);
    loop {
        let quote = slow.next().await;
        assert_eq!(quote["type"], "quotes");
        assert_eq!(quote["prev"].as_u64(), chain);
        chain = quote["sequence"].as_u64();
        conflated += quote["conflated"].as_u64().unwrap();
        count += 1;
        if chain == Some(last) {
            assert_eq!(quote["bid"][0], "29999.5");
            break;
        }
    }
    assert_eq!(conflated + count, 30_000, "every quote was sent or is counted");
    assert!(conflated > 0);
    let status = bridge.status();
    assert_eq!(status["metrics"]["cut"], 0);
    assert_eq!(status["metrics"]["conflated"].as_u64().unwrap(), conflated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_client_sees_the_book_of_the_newest_snapshot_and_a_drain_names_positions() {
    use wire::{Record, Side, flag};
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    let now = support::now_ns();
    let mut snapshot = vec![Record::clear(venue.numbers[0]).with(flag::SNAPSHOT).at(now, now)];
    for i in 0..30 {
        snapshot.push(
            venue
                .level(0, Side::Buy, &format!("{}.5", 100 - i), "1")
                .with(flag::SNAPSHOT),
        );
        snapshot.push(
            venue
                .level(0, Side::Sell, &format!("{}.5", 101 + i), "1")
                .with(flag::SNAPSHOT),
        );
    }
    snapshot.last_mut().unwrap().flags |= flag::LAST;
    venue.writer.append(&snapshot).unwrap();
    let gone = venue.level(0, Side::Buy, "100.5", "0").with(flag::LAST);
    venue.writer.append(&[gone]).unwrap();
    let quote = venue.quote(0, "99.5", "101.5");
    venue.writer.append(&quote).unwrap();

    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let answer = browser
        .subscribe(json!({"id": 3, "instruments": ["BTC-USD.sim-kraken"], "channels": ["book", "quotes"], "depth": 2}))
        .await;
    assert_eq!(answer["depth"], 2);
    let mut first = [browser.next().await, browser.next().await];
    first.sort_by_key(|message| message["type"].to_string());
    assert_eq!(first[0]["bids"], json!([["99.5", "1"], ["98.5", "1"]]));
    assert_eq!(first[0]["asks"], json!([["101.5", "1"], ["102.5", "1"]]));
    assert_eq!(first[1]["bid"], json!(["99.5", "1.5"]));
    assert!(first.iter().all(|message| message["sequence"] == 64));
    let back = venue.level(0, Side::Buy, "100.25", "3").with(flag::LAST);
    venue.writer.append(&[back]).unwrap();
    let delta = browser.next().await;
    assert_eq!(delta["bids"], json!([["100.25", "3"], ["98.5", "0"]]));
    assert_eq!(delta["sequence"], 65);

    assert_eq!(bridge.stop(), 0);
    let (values, code) = browser.rest().await;
    assert_eq!(code, 1012);
    let cut = values.last().unwrap();
    assert_eq!(
        cut,
        &json!({"type": "cut", "reason": "drain", "positions": {"sim-kraken": [1, 65]},
                "subscriptions": {"3": {"sim-kraken": [1, 65]}}})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn venues_and_instruments_that_come_later_are_picked_up() {
    let home = Home::new();
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    browser
        .send(json!({"op": "subscribe", "id": 1, "venues": ["sim-kraken"], "channels": ["trades"]}))
        .await;
    let refused = browser.next().await;
    assert_eq!(
        (&refused["code"], &refused["id"]),
        (&json!("venue_unknown"), &json!(1))
    );
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    bridge.wait_for("the venue", |status| !status["venues"]["sim-kraken"].is_null());
    browser
        .subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["trades"]}))
        .await;
    venue.trades(0, 1);
    assert_eq!(browser.next().await["instrument"], "BTC-USD.sim-kraken");
    let number = support::add_instruments(&mut venue.writer, "sim-kraken", &["SOL-USD"]);
    venue.numbers.extend(number);
    venue.trades(1, 1);
    assert_eq!(browser.next().await["instrument"], "SOL-USD.sim-kraken");
    // And the writer that restarts, with its next epoch.
    drop(venue);
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let message = browser.next().await;
    assert_eq!(
        (&message["epoch"], &message["sequence"], &message["prev"]),
        (&json!(2), &json!(3), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_make_no_sense_are_answered_and_floods_are_cut() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    venue.trades(0, 1);
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let book = json!(["book"]);
    let table = [
        (json!([1]), "operation_not_json"),
        (json!({"op": "fly"}), "operation_malformed"),
        (json!({"id": 4}), "operation_malformed"),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": book, "speed": 9}),
            "operation_malformed",
        ),
        (
            json!({"op": "subscribe", "id": -1, "venues": ["sim-kraken"], "channels": book}),
            "operation_malformed",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": book, "depth": 1.5}),
            "operation_malformed",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": book, "depth": 0}),
            "depth_out_of_range",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": book, "depth": 501}),
            "depth_out_of_range",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": []}),
            "channels_missing",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": ["candles"]}),
            "channel_unknown",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": ["bars:1m"]}),
            "interval_unknown",
        ),
        (
            json!({"op": "subscribe", "id": 4, "channels": book}),
            "subscription_empty",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-krakn"], "channels": book}),
            "venue_unknown",
        ),
        (
            json!({"op": "subscribe", "id": 4, "instruments": ["BTC-USD"], "channels": book}),
            "instrument_unknown",
        ),
        (
            json!({"op": "subscribe", "id": 4, "instruments": ["BTC-USX.sim-kraken"], "channels": book}),
            "instrument_unknown",
        ),
        (
            json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": book, "from": {"kraken": [1, 1]}}),
            "position_stray",
        ),
        (json!({"op": "unsubscribe", "id": 4}), "subscription_unknown"),
    ];
    for (wish, code) in table {
        browser.send(wish.clone()).await;
        let answer = browser.next().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{wish} gave {answer}"
        );
        for field in ["category", "message", "hint", "retryable", "docs", "request_id"] {
            assert!(answer.get(field).is_some(), "{answer}");
        }
    }
    browser
        .subscribe(json!({"id": 4, "instruments": ["BTC-USD.sim-kraken"], "channels": book}))
        .await;
    browser
        .send(json!({"op": "subscribe", "id": 4, "venues": ["sim-kraken"], "channels": ["trades"]}))
        .await;
    while browser.next().await["code"] != "subscription_taken" {}
    browser.send(json!({"op": "ping", "id": 77})).await;
    assert_eq!(browser.next().await, json!({"type": "pong", "id": 77}));
    for _ in 0..200 {
        if browser
            .send_raw(tokio_tungstenite::tungstenite::Message::text(r#"{"op":"ping"}"#))
            .await
            .is_err()
        {
            break;
        }
    }
    let (values, code) = browser.rest().await;
    assert_eq!(code, 4009);
    assert_eq!(values.last().unwrap()["code"], "operations_flood");

    let mut browser = Browser::open(&home, &bridge).await;
    browser
        .send_raw(tokio_tungstenite::tungstenite::Message::text("x".repeat(70_000)))
        .await
        .unwrap();
    assert_eq!(browser.rest().await.1, 1009);
    let mut browser = Browser::open(&home, &bridge).await;
    browser
        .send_raw(tokio_tungstenite::tungstenite::Message::binary(vec![1]))
        .await
        .unwrap();
    assert_eq!(browser.rest().await.1, 1003);
    bridge.wait_for("everyone to be counted out", |status| {
        status["metrics"]["clients"] == 0
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_of_one_second_grow_and_close() {
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD"]);
    let old = venue
        .trade(0, "1.0", "1")
        .at(support::now_ns() - 5_000_000_000, support::now_ns());
    venue.writer.append(&[old]).unwrap();
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    browser
        .subscribe(json!({"id": 1, "venues": ["sim-kraken"], "channels": ["bars:1s"]}))
        .await;
    let start = support::now_ns() / 1_000_000_000 * 1_000_000_000;
    let trades = [("10.5", "0.25"), ("10.0", "1"), ("11.0", "2.5")]
        .map(|(price, size)| venue.trade(0, price, size).at(start + 1, support::now_ns()));
    venue.writer.append(&trades).unwrap();
    let mut bar = browser.next().await;
    assert_eq!(
        (&bar["type"], &bar["interval"], &bar["closed"]),
        (&json!("bars"), &json!("1s"), &json!(false))
    );
    while bar["closed"] == false {
        bar = browser.next().await;
    }
    assert_eq!(bar["start"], start.to_string());
    for (name, value) in [
        ("open", "10.5"),
        ("high", "11.0"),
        ("low", "10.0"),
        ("close", "11.0"),
        ("volume", "3.75"),
    ] {
        assert_eq!(bar[name], value, "{bar}");
    }
    assert_eq!((&bar["trades"], &bar["revision"]), (&json!(3), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_a_whole_venue_do_not_cut_the_client_that_asks_for_them() {
    use wire::{Record, Side, flag};
    let home = Home::new();
    let symbols: Vec<String> = (0..60).map(|i| format!("C{i}-USD")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut venue = home.venue_with("sim-kraken", &symbols, 16 << 20, 0);
    let now = support::now_ns();
    for i in 0..symbols.len() {
        let mut snapshot = vec![Record::clear(venue.numbers[i]).with(flag::SNAPSHOT).at(now, now)];
        for step in 0..500 {
            let (bid, ask) = (format!("{}.25", 5_000 - step), format!("{}.75", 5_000 + step));
            snapshot.push(venue.level(i, Side::Buy, &bid, "1.23456789").with(flag::SNAPSHOT));
            snapshot.push(
                venue
                    .level(i, Side::Sell, &ask, "1.23456789")
                    .with(flag::SNAPSHOT),
            );
        }
        snapshot.last_mut().unwrap().flags |= flag::LAST;
        venue.writer.append(&snapshot).unwrap();
    }
    let bridge = start_bridge(&home);
    let mut browser = Browser::open(&home, &bridge).await;
    let wish = json!({"id": 1, "venues": ["sim-kraken"], "channels": ["book"], "depth": 500});
    browser.subscribe(wish).await;
    let mut bytes = 0;
    for _ in 0..symbols.len() {
        let book = browser.next().await;
        assert_eq!(
            (&book["kind"], &book["valid"]),
            (&json!("snapshot"), &json!(true))
        );
        assert_eq!(
            book["bids"].as_array().unwrap().len() + book["asks"].as_array().unwrap().len(),
            1000
        );
        bytes += book.to_string().len();
    }
    assert!(bytes > 1 << 20, "more than may wait for a client: {bytes}");
}
