//! What may go wrong between a venue and a session, on all four venues: odd numbers, broken texts, lost,
//! repeated, swapped and cut messages. Holes must be named exactly, and nothing may panic.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use proptest::prelude::*;
use support::*;
use venues::{Output, Subscription};
use wire::{Decimal, Record, channel, flag, kind};

const PROTOCOLS: [&str; 4] = ["kraken", "coinbase", "coinbase-advanced", "binance"];

fn symbol(protocol: &str) -> &'static str {
    match protocol {
        "kraken" => "BTC/USD",
        "binance" => "BTCUSD",
        _ => "BTC-USD",
    }
}

fn subscriptions(protocol: &str) -> Vec<Subscription> {
    vec![subscription(1, symbol(protocol), 1, 8)]
}

fn driver(protocol: &str) -> Driver {
    let mut driver = Driver::new(protocol, &subscriptions(protocol), only(true, true, true, 10));
    driver.take();
    driver
}

/// A trade message as the venue prints it. `number` is the message's own number, where it has one.
fn trade(protocol: &str, id: u64, price: &str, size: &str, number: u64) -> String {
    match protocol {
        "kraken" => format!(
            "{{\"channel\":\"trade\",\"type\":\"update\",\"data\":[{{\"symbol\":\"BTC/USD\",\"side\":\"buy\",\"price\":{price},\
             \"qty\":{size},\"ord_type\":\"limit\",\"trade_id\":{id},\"timestamp\":\"2023-10-06T17:35:55.440295Z\"}}]}}"
        ),
        "coinbase" => format!(
            "{{\"type\":\"match\",\"trade_id\":{id},\"side\":\"sell\",\"size\":{size},\"price\":{price},\
             \"product_id\":\"BTC-USD\",\"sequence\":{number},\"time\":\"2020-01-31T20:03:41.158814Z\"}}"
        ),
        "coinbase-advanced" => format!(
            "{{\"channel\":\"market_trades\",\"timestamp\":\"2026-04-07T14:30:02.789012Z\",\"sequence_num\":{number},\
             \"events\":[{{\"type\":\"update\",\"trades\":[{{\"trade_id\":\"{id}\",\"product_id\":\"BTC-USD\",\"price\":{price},\
             \"size\":{size},\"side\":\"SELL\",\"time\":\"2026-04-07T14:30:02.789012Z\"}}]}}]}}"
        ),
        _ => format!(
            "{{\"stream\":\"btcusd@trade\",\"data\":{{\"e\":\"trade\",\"E\":1672515782136,\"s\":\"BTCUSD\",\"t\":{id},\
             \"p\":{price},\"q\":{size},\"T\":1672515782136,\"m\":false,\"M\":true}}}}"
        ),
    }
}

fn plain(protocol: &str, id: u64) -> String {
    // the message number follows the id, so a lost trade is a lost message
    trade(protocol, id, "\"100.5\"", "\"0.25\"", id)
}

/// One message of every kind a session reads.
fn samples(protocol: &str) -> Vec<String> {
    let texts: &[&str] = match protocol {
        "kraken" => &[
            r#"{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","connection_id":6447481662169813000}]}"#,
            r#"{"method":"subscribe","result":{"channel":"book","depth":10,"symbol":"BTC/USD"},"success":true,"req_id":1}"#,
            r#"{"error":"Currency pair not supported BTC/USD","method":"subscribe","req_id":1,"success":false,"symbol":"BTC/USD"}"#,
            r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":1.0,"bid_qty":2.5,"ask":2.0,"ask_qty":3.2}]}"#,
            r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":0}]}"#,
            r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":1.0,"qty":2.0}],"asks":[],"checksum":7}]}"#,
            r#"{"method":"pong","req_id":42,"time_in":"2023-09-25T09:05:00.123456Z"}"#,
            r#"{"channel":"heartbeat"}"#,
        ],
        "coinbase" => &[
            r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
            r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["1.0","2"]],"asks":[["2.0","2"]]}"#,
            r#"{"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27.265Z","changes":[["buy","1.5","2"]]}"#,
            r#"{"type":"ticker","sequence":3,"product_id":"BTC-USD","best_bid":"1","best_bid_size":"2","best_ask":"3","best_ask_size":"4"}"#,
            r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#,
            r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}"#,
        ],
        "coinbase-advanced" => &[
            r#"{"channel":"l2_data","timestamp":"2026-04-07T14:30:00.000000Z","sequence_num":1,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-04-07T14:30:00.123456Z","price_level":"1","new_quantity":"2"}]}]}"#,
            r#"{"channel":"ticker","timestamp":"2026-04-07T14:30:00.000000Z","sequence_num":2,"events":[{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","best_bid":"1","best_bid_quantity":"2","best_ask":"3","best_ask_quantity":"4"}]}]}"#,
            r#"{"channel":"heartbeats","timestamp":"2026-04-07T14:30:00.000000Z","sequence_num":3,"events":[{"current_time":"x","heartbeat_counter":"42"}]}"#,
            r#"{"type":"error","message":"authentication failure"}"#,
        ],
        _ => &[
            r#"{"stream":"btcusd@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSD","U":1,"u":2,"b":[["1","2"]],"a":[["3","4"]]}}"#,
            r#"{"stream":"btcusd@bookTicker","data":{"u":4,"s":"BTCUSD","b":"1","B":"2","a":"3","A":"4"}}"#,
            r#"{"result":null,"id":1}"#,
            r#"{"code":2,"msg":"Invalid request","id":1}"#,
            r#"{"e":"serverShutdown","E":1770123456789}"#,
        ],
    };
    let mut all: Vec<String> = texts.iter().map(ToString::to_string).collect();
    all.push(plain(protocol, 9));
    all
}

/// Literals that are no number, or an odd one.
const LITERALS: [&str; 66] = [
    "",
    "NaN",
    "nan",
    "-NaN",
    "Infinity",
    "-Infinity",
    "inf",
    "null",
    "true",
    "false",
    "-0",
    "-0.0",
    "-0e5",
    "+1",
    "1e400",
    "-1e400",
    "1e-400",
    "1e5",
    "1E+5",
    "1.5e-3",
    "1e",
    "e5",
    "1e+",
    "1e1.5",
    "0x10",
    "0b1",
    "0o7",
    "1_000",
    "1,5",
    "1.2.3",
    ".5",
    "5.",
    ".",
    "-",
    "--1",
    "1-",
    "00",
    "01",
    "007.5",
    "0.0",
    "0",
    "0e0",
    "0.00000000",
    "-1",
    "-0.5",
    " 1",
    "1 ",
    "１",
    "٣",
    "1a",
    "a1",
    "$1",
    "9223372036854775807",
    "9223372036854775808",
    "92233720368547758.07",
    "1000000000000.00000000",
    "0.0000000000000000001",
    "0.000000000000000001",
    "1e18",
    "1e19",
    "123456789012345678901234567890",
    "0.1e1",
    "1e-18",
    "1E-19",
    "100e-2",
    "1.10",
];

fn trades(out: &Output) -> Vec<Record> {
    of_kind(&out.records, kind::TRADE)
}

#[test]
fn every_literal_has_the_verdict_of_wire() {
    for protocol in PROTOCOLS {
        for literal in LITERALS {
            // spot: a price or a traded size must be above zero
            let verdict = Decimal::parse(literal.as_bytes())
                .ok()
                .filter(|value| value.mantissa > 0);
            // a bare literal may carry space around it: that is JSON's, not the number's
            let bare_verdict = Decimal::parse(literal.trim().as_bytes())
                .ok()
                .filter(|value| value.mantissa > 0);
            for (text, verdict) in [
                (literal.to_string(), bare_verdict),
                (format!("\"{literal}\""), verdict),
            ] {
                for (price, size) in [(text.as_str(), "\"1\""), ("\"1\"", text.as_str())] {
                    let mut driver = driver(protocol);
                    driver.message(trade(protocol, 5, price, size, 5));
                    let out = driver.take();
                    let found = trades(&out).first().map(|trade| {
                        if size == "\"1\"" {
                            trade.price()
                        } else {
                            trade.size()
                        }
                    });
                    assert_eq!(found, verdict, "{protocol}: {price} {size}");
                    assert_eq!(
                        out.quarantined.len(),
                        usize::from(verdict.is_none()),
                        "{protocol}: {price} {size}"
                    );
                }
            }
        }
    }
}

#[test]
fn zero_removes_a_level_and_nothing_below_zero_is_a_size() {
    let cases = [
        ("0", true),
        ("0.00000000", true),
        ("0e3", true),
        ("-0", false),
        ("-1", false),
        ("1", true),
    ];
    for (size, good) in cases {
        let kraken = format!(
            "{{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{{\"symbol\":\"BTC/USD\",\"bids\":[{{\"price\":1.0,\"qty\":{size}}}],\
             \"asks\":[],\"checksum\":0}}]}}"
        );
        let coinbase = format!(
            "{{\"type\":\"l2update\",\"product_id\":\"BTC-USD\",\"time\":\"2019-08-14T20:42:27.265Z\",\"changes\":[[\"buy\",\"1\",\"{size}\"]]}}"
        );
        let advanced = format!(
            "{{\"channel\":\"l2_data\",\"sequence_num\":0,\"events\":[{{\"type\":\"update\",\"product_id\":\"BTC-USD\",\
             \"updates\":[{{\"side\":\"bid\",\"price_level\":\"1\",\"new_quantity\":\"{size}\"}}]}}]}}"
        );
        let binance = format!(
            "{{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSD\",\"U\":1,\"u\":2,\"b\":[[\"1\",\"{size}\"]],\"a\":[]}}"
        );
        for (protocol, text) in PROTOCOLS.into_iter().zip([kraken, coinbase, advanced, binance]) {
            let mut driver = driver(protocol);
            driver.message(&text);
            assert_eq!(driver.out.quarantined.is_empty(), good, "{protocol} {size}");
        }
    }
}

#[test]
fn broken_texts_are_quarantined_and_the_session_goes_on() {
    for protocol in PROTOCOLS {
        let good = plain(protocol, 5);
        let bom = [b"\xef\xbb\xbf", good.as_bytes()].concat();
        let mut latin = good.clone().into_bytes();
        let at = latin.iter().position(|byte| *byte == b'U').unwrap();
        latin[at] = 0xff;
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        let deep_object = format!("{{\"x\":{}", "{\"a\":".repeat(100_000));
        let two = format!("{good}{good}");
        let mut texts: Vec<Vec<u8>> = vec![
            bom,
            latin,
            deep.into_bytes(),
            deep_object.into_bytes(),
            two.into_bytes(),
            b"".to_vec(),
            b"\0".to_vec(),
            b"null".to_vec(),
            b"[]".to_vec(),
            b"7".to_vec(),
            b"\"text\"".to_vec(),
            b"{\"type\":7,}".to_vec(),
        ];
        for cut in 1..good.len() {
            texts.push(good.as_bytes()[..cut].to_vec());
        }
        for text in texts {
            let mut driver = driver(protocol);
            driver.message(&text);
            let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
            assert_eq!(driver.out.quarantined.len(), 1, "{protocol}: {shown}");
            assert_eq!(trades(&driver.out), [], "{protocol}: {shown}");
            driver.message(plain(protocol, 5));
            assert_eq!(trades(&driver.out).len(), 1, "{protocol}: after {shown}");
        }
    }
}

#[test]
fn unknown_fields_and_types_are_ignored() {
    for protocol in PROTOCOLS {
        let text = plain(protocol, 5);
        let with_field = text.replacen(
            '{',
            "{\"zz\":[1,{\"a\":null,\"b\":[true,-1.5e3,\"\\u00e9\\\"\"]}],",
            1,
        );
        let mut driver = driver(protocol);
        driver.message(&with_field);
        assert_eq!(trades(&driver.out).len(), 1, "{protocol}");
        driver.take();
        for text in [
            r#"{"channel":"candles2","type":"update","sequence_num":6,"data":{"odd":1},"events":[{"type":"new"}]}"#,
            r#"{"type":"rfq_matches","product_id":"X","sequence_num":7,"channel":"novel","events":7}"#,
            r#"{"e":"novel","s":"BTCUSD","data":[1]}"#,
            "{}",
        ] {
            driver.message(text);
            let noted = driver
                .out
                .quarantined
                .iter()
                .map(|q| q.reason.as_str())
                .collect::<Vec<_>>();
            // Coinbase Exchange promises a type, Advanced a number, in every message
            assert!(
                noted
                    .iter()
                    .all(|reason| reason.contains("`type`") || reason.contains("`sequence_num`")),
                "{noted:?}"
            );
            assert_eq!(driver.out.records, [], "{protocol} {text}");
        }
    }
}

#[test]
fn a_symbol_may_be_printed_with_escapes() {
    let mut driver = driver("kraken");
    driver.message(plain("kraken", 5).replace("BTC/USD", "BTC\\/USD"));
    assert_eq!(trades(&driver.out).len(), 1);
}

/// What happens to one message on its way.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Drop,
    Repeat,
    Swap,
    Cut(u8),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::Drop),
        1 => Just(Fault::Repeat),
        1 => Just(Fault::Swap),
        1 => (1u8..90).prop_map(Fault::Cut),
    ]
}

/// Ids that the gaps of a record stream cover: between the last trade before an opening and the first after.
fn covered(records: &[Record]) -> Vec<u64> {
    let mut ids = Vec::new();
    let (mut last, mut open) = (None, None);
    for record in records {
        match record.kind {
            kind::GAP if record.price_scale == channel::TRADES => {
                assert!(open.is_none(), "a second opening without a trade between");
                open = Some((last, record.size));
            }
            kind::TRADE => {
                if let Some((Some(before), missing)) = open.take() {
                    let hole: Vec<u64> = (before + 1..record.id).collect();
                    assert_eq!(missing, hole.len() as i64);
                    ids.extend(hole);
                }
                last = Some(record.id);
            }
            _ => {}
        }
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2500, .. ProptestConfig::default() })]

    /// 2,500 × 4 streams: trades missing from the records are exactly those the gaps name; none comes twice.
    #[test]
    fn trade_gaps_are_exact(faults in proptest::collection::vec(fault(), 3..40)) {
        for protocol in PROTOCOLS {
            let mut driver = driver(protocol);
            driver.message(plain(protocol, 100));
            let mut held: Option<String> = None;
            let last = 101 + faults.len() as u64;
            for (fault, id) in faults.iter().zip(101..) {
                let text = plain(protocol, id);
                match *fault {
                    Fault::None => { driver.message(&text); }
                    Fault::Drop => {}
                    Fault::Repeat => { driver.message(&text).message(&text); }
                    Fault::Swap if held.is_none() => { held = Some(text); continue; }
                    Fault::Swap => { driver.message(&text); }
                    Fault::Cut(share) => { driver.message(&text[..text.len() * usize::from(share) / 100]); }
                }
                if let Some(late) = held.take() {
                    driver.message(late);
                }
            }
            driver.message(plain(protocol, last));
            let out = driver.take();
            let got: Vec<u64> = trades(&out).iter().map(|trade| trade.id).collect();
            prop_assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "{protocol}: {got:?}");
            let missing: Vec<u64> = (100..=last).filter(|id| !got.contains(id)).collect();
            prop_assert_eq!(covered(&out.records), missing, "{}", protocol);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, .. ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for protocol in PROTOCOLS {
            let mut driver = driver(protocol);
            driver.message(&bytes).wait(S / 5);
            driver.respond(1, 200, &bytes).respond(2, 429, &bytes);
            let _ = venues::by_name(protocol).unwrap().listings(&bytes);
        }
    }

    #[test]
    fn mutated_messages_do_not_panic(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        for protocol in PROTOCOLS {
            let all = samples(protocol);
            let mut text = all[which.index(all.len())].clone().into_bytes();
            for (at, byte, how) in &edits {
                let at = at.index(text.len().max(1));
                match how {
                    0 if !text.is_empty() => text[at] = *byte,
                    1 => text.insert(at.min(text.len()), *byte),
                    2 if !text.is_empty() => { text.remove(at); }
                    _ => text.insert(at.min(text.len()), b"{}[]\",:0-.e\\"[usize::from(byte % 12)]),
                }
            }
            let mut driver = driver(protocol);
            for sample in &all {
                driver.message(sample);
            }
            driver.message(&text).wait(S / 2);
            for sample in &all {
                driver.message(sample);
            }
            driver.wait(30 * S);
            // whatever came: what readers would show is not crossed, and every record is of a known instrument
            let out = driver.take();
            prop_assert!(out.records.iter().all(|record| record.instrument <= 1));
            prop_assert!(out.records.iter().all(|record| !record.has(flag::BACKFILLED)));
        }
    }
}

/// Messages of a recorded Kraken book lost, repeated, swapped and cut: readers never see a wrong book as valid.
#[test]
fn a_damaged_recording_never_shows_a_wrong_book() {
    let Some(file) = recorded("ws/kraken-v2/orderbook-v2.json") else {
        return;
    };
    let file: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&file).unwrap();
    let mut messages = vec![file["init"].to_string()];
    messages.extend(
        file["updates"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string),
    );
    // the true book after each message
    let mut whole = driver("kraken");
    let truth: Vec<_> = messages
        .iter()
        .map(|message| {
            whole.message(message);
            sides(&rebuild(&whole.out.records, 1))
        })
        .collect();
    let mut found = 0;
    for seed in 0..120usize {
        let at = 1 + (seed * 37) % (messages.len() - 3);
        let mut driver = driver("kraken");
        let mut order: Vec<(usize, String)> = messages.iter().cloned().enumerate().collect();
        match seed % 4 {
            0 => drop(order.remove(at)),
            1 => order.insert(at, order[at].clone()),
            2 => order.swap(at, at + 1),
            _ => {
                let cut = order[at].1.len() * (10 + seed % 80) / 100;
                order[at].1.truncate(cut);
            }
        }
        let end = (at + 30).min(order.len());
        for (index, message) in &order[..end] {
            driver.message(message);
            let book = rebuild(&driver.out.records, 1);
            if book.valid() {
                let shown = sides(&book);
                // a cut or lost message is noticed at the next one; until then the book is the one before
                let right = truth[*index] == shown
                    || index.checked_sub(1).is_some_and(|before| truth[before] == shown);
                assert!(right, "seed {seed}: message {index}");
            } else {
                found += 1;
                let gap = gaps(&driver.out.records, channel::BOOK);
                assert_eq!(gap.len(), 1, "one gap for one loss");
                break;
            }
        }
    }
    assert!(found >= 60, "losses found: {found}");
}

/// The messages that have a quick way, as the venues print them.
const HOT: [(&str, &str); 6] = [
    (
        "binance",
        r#"{"stream":"btcusd@trade","data":{"e":"trade","E":1723161255343123,"s":"BTCUSD","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342456,"m":true,"M":true}}"#,
    ),
    (
        "binance",
        r#"{"stream":"btcusd@bookTicker","data":{"u":50093239212,"s":"BTCUSD","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#,
    ),
    (
        "kraken",
        r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":105944.2,"qty":0.00027625,"ord_type":"limit","trade_id":10218208,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#,
    ),
    (
        "kraken",
        r#"{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":105944.20,"bid_qty":2.5,"ask":105944.30,"ask_qty":3.2,"last":105899.40,"volume":163.28908096,"vwap":105904.39279,"low":104711.00,"high":106613.10,"change":-250.00,"change_pct":0.24,"timestamp":"2022-12-25T09:30:59.123456Z"}]}"#,
    ),
    (
        "coinbase",
        r#"{"type":"match","trade_id":82047307,"maker_order_id":"0f358725-2134-435e-be11-753912a326e0","taker_order_id":"252b7002-87a3-425c-ac73-f5b9e23f3caf","side":"sell","size":"0.00513192","price":"9314.78","product_id":"BTC-USD","sequence":12038915443,"time":"2020-01-31T20:03:41.158814Z"}"#,
    ),
    (
        "coinbase-advanced",
        r#"{"channel":"market_trades","client_id":"","timestamp":"2026-08-09T21:05:48.251397169Z","sequence_num":9,"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1068572091","price":"65083.67","size":"0.01034361","time":"2026-08-09T21:05:48.167634Z","side":"SELL"}]}]}"#,
    ),
];

/// The quick way and the general one agree: a space before the message is no part of the print, so it forces the
/// general one, and means nothing.
fn both_ways(protocol: &str, text: &[u8]) {
    let mut quick = driver(protocol);
    quick.message(text);
    let mut general = driver(protocol);
    general.message([b" ", text].concat());
    let shown = String::from_utf8_lossy(text);
    assert_eq!(quick.out.records, general.out.records, "{shown}");
    assert_eq!(
        quick.out.quarantined.len(),
        general.out.quarantined.len(),
        "{shown}"
    );
}

#[test]
fn hot_messages_read_the_same_both_ways() {
    for (protocol, text) in HOT {
        both_ways(protocol, text.as_bytes());
        let mut driver = driver(protocol);
        driver.message(text);
        assert!(!driver.out.records.is_empty(), "{text}");
        for literal in LITERALS {
            for field in [
                "61837.63000000",
                "0.02000000",
                "105944.2,",
                "0.00027625",
                "9314.78",
                "0.00513192",
                "65083.67",
                "105904.39279",
            ] {
                let with = text.replace(field.trim_end_matches(','), literal);
                both_ways(protocol, with.as_bytes());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, .. ProptestConfig::default() })]

    #[test]
    fn hot_messages_with_errors_read_the_same_both_ways(
        which in 0usize..6,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..5), 1..4),
    ) {
        let (protocol, text) = HOT[which];
        let mut text = text.as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, b'0' + byte % 10),
                2 => { text.remove(at); }
                3 => text[at] = b"0123456789.-\",}{[]: e\\"[usize::from(byte % 22)],
                _ => text.truncate(at.max(1)),
            }
            if text.is_empty() {
                break;
            }
        }
        both_ways(protocol, &text);
    }
}
