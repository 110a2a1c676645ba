//! Alpaca and Polygon through their real sessions: logins, subscriptions, the documented messages, refusals, and
//! whatever bytes may come.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use proptest::prelude::*;
use support::*;
use venues::{Action, Channels, Listing, Output, Subscription, by_name};
use wire::{Record, Side, cause, channel, flag, kind, status};

fn listed(protocol: &str, symbol: &str) -> Listing {
    by_name(protocol).unwrap().listed(symbol).unwrap()
}

fn driver(protocol: &str, symbols: &[&str]) -> Driver {
    let subscriptions: Vec<Subscription> = symbols
        .iter()
        .zip(1..)
        .map(|(symbol, instrument)| Subscription {
            instrument,
            listing: listed(protocol, symbol),
        })
        .collect();
    let channels = Channels {
        book: false,
        ..Channels::default()
    };
    let mut session = by_name(protocol).unwrap().session(&subscriptions, channels);
    session.login(&["key1".to_owned(), "hush".to_owned()]);
    let mut driver = Driver {
        session,
        out: Output::default(),
        now: START,
    };
    driver.session.open(START, &mut driver.out);
    driver
}

/// Logged in and subscribed.
fn alpaca(symbols: &[&str]) -> Driver {
    let mut driver = driver("alpaca", symbols);
    driver
        .message(r#"[{"T":"success","msg":"connected"}]"#)
        .message(r#"[{"T":"success","msg":"authenticated"}]"#);
    let names: Vec<String> = symbols
        .iter()
        .map(|symbol| listed("alpaca", symbol).symbol)
        .collect();
    let list = serde_json::json!(names);
    driver.message(format!(
        r#"[{{"T":"subscription","trades":{list},"quotes":{list},"bars":[]}}]"#
    ));
    driver.take();
    driver
}

fn polygon(symbols: &[&str]) -> Driver {
    let mut driver = driver("polygon", symbols);
    driver
        .message(r#"[{"ev":"status","status":"connected","message":"Connected Successfully"}]"#)
        .message(r#"[{"ev":"status","status":"auth_success","message":"authenticated"}]"#)
        .message(r#"[{"ev":"status","status":"success","message":"subscribed to: T.AAPL"}]"#);
    driver.take();
    driver
}

/// The text of the details from `at` on, up to the next record of another kind.
fn text(records: &[Record], at: usize) -> String {
    let details = records[at..]
        .iter()
        .take_while(|record| record.kind == kind::DETAIL);
    let bytes: Vec<u8> = details
        .flat_map(|record| [record.price as u64, record.size as u64, record.id])
        .flat_map(u64::to_le_bytes)
        .collect();
    String::from_utf8(bytes)
        .unwrap()
        .trim_end_matches('\0')
        .to_owned()
}

fn kinds(records: &[Record]) -> Vec<u8> {
    records.iter().map(|record| record.kind).collect()
}

fn ns(text: &str) -> i64 {
    // seconds of 2021-02-22T15:51:44Z, from which the samples are told
    let seconds = 1_614_009_104 * S;
    seconds + text.parse::<i64>().unwrap()
}

#[test]
fn alpaca_is_told_the_key_after_its_greeting_and_what_to_send_after_the_login() {
    let mut driver = driver("alpaca", &["AAPL", "BRK.B"]);
    assert_eq!(driver.session.path(), "/v2/iex");
    assert!(driver.sends().is_empty());
    driver.message(r#"[{"T":"success","msg":"connected"}]"#);
    assert_eq!(
        driver.sends(),
        [r#"{"action":"auth","key":"key1","secret":"hush"}"#]
    );
    driver.take();
    driver.message(r#"[{"T":"success","msg":"authenticated"}]"#);
    assert_eq!(
        driver.sends(),
        [
            r#"{"action":"subscribe","quotes":["AAPL","BRK.B"],"trades":["AAPL","BRK.B"]}"#,
            r#"{"action":"subscribe","statuses":["AAPL","BRK.B"]}"#
        ]
    );
    assert!(!driver.session.ready());
    driver.message(
        r#"[{"T":"subscription","trades":["AAPL","BRK.B"],"quotes":["AAPL","BRK.B"],"bars":[],"updatedBars":[],"dailyBars":[],"statuses":[],"lulds":[],"corrections":["AAPL","BRK.B"],"cancelErrors":["AAPL","BRK.B"]}]"#,
    );
    assert!(driver.session.ready());
    let coins = driver_path("alpaca", "BTC-USD");
    assert_eq!(coins, ("BTC/USD".to_owned(), "/v1beta3/crypto/us".to_owned()));
    assert_eq!(driver_path("alpaca-sip", "AAPL").1, "/v2/sip");
    assert_eq!(driver_path("polygon", "BTC-USD").1, "/crypto");
    assert_eq!(driver_path("polygon", "AAPL").1, "/stocks");
}

fn driver_path(protocol: &str, symbol: &str) -> (String, String) {
    (
        listed(protocol, symbol).symbol,
        driver(protocol, &[symbol]).session.path(),
    )
}

#[test]
fn alpaca_trades_and_quotes_as_documented() {
    let mut driver = alpaca(&["AAPL", "AMD"]);
    driver.message(
        r#"[{"T":"t","S":"AAPL","i":96921,"x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"},{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]"#,
    );
    let records = driver.take().records;
    assert_eq!(
        kinds(&records),
        [kind::TRADE, kind::DETAIL, kind::QUOTE, kind::QUOTE]
    );
    let trade = records[0];
    assert_eq!(
        (
            trade.instrument,
            trade.price().to_string(),
            trade.size().to_string()
        ),
        (1, "126.55".into(), "1".into())
    );
    assert_eq!((trade.ts_event, trade.side()), (ns("208000000"), Side::None));
    assert!(trade.has(flag::IRREGULAR) && !trade.has(flag::HAS_ID)); // an odd lot
    assert_eq!(text(&records, 1), "D|@ I|96921|C");
    assert_eq!(
        (records[1].ts_event, records[1].ts_recv),
        (trade.ts_event, trade.ts_recv)
    );
    assert_eq!(records[2].price().to_string(), "87.66");
    assert_eq!(
        (records[3].side(), records[3].size().to_string()),
        (Side::Sell, "4".into())
    );
    assert_eq!(records[3].ts_event, ns("1335689322"));
    let last: Vec<bool> = records.iter().map(|record| record.has(flag::LAST)).collect();
    assert_eq!(last, [false, false, false, true]);
}

#[test]
fn alpaca_crypto_has_sides_and_numbers() {
    let mut driver = alpaca(&["BTC-USD"]);
    driver.message(
        r#"[{"T":"t","S":"BTC/USD","p":34876.81,"s":0.00021,"t":"2021-02-22T15:51:44.208Z","i":0,"tks":"B"},{"T":"q","S":"BTC/USD","bp":0,"bs":0,"ap":34880.5,"as":0.5,"t":"2021-02-22T15:51:44.208Z"}]"#,
    );
    let records = driver.take().records;
    assert_eq!(kinds(&records), [kind::TRADE, kind::QUOTE, kind::QUOTE]);
    assert!(records[0].has(flag::HAS_ID) && !records[0].has(flag::IRREGULAR));
    assert_eq!((records[0].side(), records[0].id), (Side::Buy, 0));
    assert!(records[1].size().is_zero());
}

#[test]
fn polygon_trades_and_quotes_as_documented() {
    let mut driver = polygon(&["AAPL", "MSFT"]);
    driver.message(
        r#"[{"ev":"T","sym":"AAPL","i":"5096","x":10,"p":161.87,"s":300,"c":[14,41],"t":1651684192462,"q":4009402,"z":3,"trfi":3,"trft":1651684192460}]"#,
    );
    driver.message(
        r#"[{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]"#,
    );
    let records = driver.take().records;
    assert_eq!(
        kinds(&records),
        [kind::TRADE, kind::DETAIL, kind::QUOTE, kind::QUOTE]
    );
    assert_eq!(text(&records, 1), "10|14 41|5096|3");
    assert_eq!(records[0].ts_event, 1_651_684_192_462_000_000);
    assert!(!records[0].has(flag::IRREGULAR) && !records[0].has(flag::HAS_ID));
    assert!(records[1].has(flag::LAST) && records[3].has(flag::LAST));
    assert_eq!(
        (records[2].price().to_string(), records[3].price().to_string()),
        ("114.125".into(), "114.128".into())
    );
    // an odd lot is 37; a name longer than a detail goes on in the next one
    driver.message(
        r#"[{"ev":"T","sym":"AAPL","i":"D9f0c1a2b3c4d5e6f70819","x":4,"p":1,"s":5,"c":[12,37],"t":1651684192463,"q":4009403,"z":3}]"#,
    );
    let records = driver.take().records;
    assert_eq!(kinds(&records), [kind::TRADE, kind::DETAIL, kind::DETAIL]);
    assert!(records[0].has(flag::IRREGULAR));
    assert_eq!(text(&records, 1), "4|12 37|D9f0c1a2b3c4d5e6f70819|3");
    let mut coins = polygon(&["BTC-USD"]);
    coins.message(
        r#"[{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"i":"14272084","x":3,"r":1610462007576},{"ev":"XQ","pair":"BTC-USD","lp":0,"ls":0,"bp":33052.79,"bs":0.48,"ap":33073.19,"as":0.601,"t":1610462411115,"x":1,"r":1610462411128}]"#,
    );
    let records = coins.take().records;
    assert_eq!(
        kinds(&records),
        [kind::TRADE, kind::DETAIL, kind::QUOTE, kind::QUOTE]
    );
    assert_eq!(records[0].side(), Side::Buy);
    assert!(!records[0].has(flag::IRREGULAR)); // 2 is an average price of stocks alone
}

#[test]
fn alpaca_in_message_pack_is_answered_in_message_pack() {
    let said = |out: &Output| -> Vec<Vec<u8>> {
        let bytes = |action: &Action| match action {
            Action::SendBytes(bytes) => Some(bytes.clone()),
            _ => None,
        };
        out.actions.iter().filter_map(bytes).collect()
    };
    let mut driver = driver("alpaca", &["AAPL"]);
    assert_eq!(
        driver.session.headers(),
        [("Content-Type", "application/msgpack")]
    );
    driver.message(b"\x91\x82\xA1T\xA7success\xA3msg\xA9connected");
    let login = b"\x83\xA6action\xA4auth\xA3key\xA4key1\xA6secret\xA4hush".to_vec();
    assert_eq!(said(&driver.take()), [login]);
    driver.message(b"\x91\x82\xA1T\xA7success\xA3msg\xADauthenticated");
    let out = driver.take();
    assert_eq!(said(&out).len(), 2);
    assert!(said(&out)[0].ends_with(b"\xA6trades\xDC\x00\x01\xA4AAPL"));
    assert_eq!(said(&out)[1][0], 0x82);
    driver.message(b"\x91\x83\xA1T\xACsubscription\xA6trades\x91\xA4AAPL\xA6quotes\x91\xA4AAPL");
    assert!(driver.session.ready());
    // as deep and as long as it likes to claim
    for hostile in [
        &[0x91; 10_000][..],
        b"\xDD\xFF\xFF\xFF\xFF",
        b"\x91\xDF\xFF\xFF\xFF\xFF",
    ] {
        driver.take();
        driver.message(hostile);
        assert_eq!(driver.out.quarantined.len(), 1);
    }
}

#[test]
fn alpaca_tells_of_halts_where_the_plan_has_them() {
    let mut driver = alpaca(&["AAPL", "GME"]);
    let status = |symbol: &str, code: &str, tape: &str| {
        format!(
            r#"[{{"T":"s","S":"{symbol}","sc":"{code}","sm":"m","rc":"T12","rm":"r","t":"2021-02-22T19:15:00Z","z":"{tape}"}}]"#
        )
    };
    for (symbol, code, tape, expect) in [
        ("AAPL", "H", "C", Some((1, status::HALTED))),
        ("AAPL", "Q", "C", None), // quotes before trades
        ("AAPL", "T", "C", Some((1, status::RESUMED))),
        ("AAPL", "P", "C", Some((1, status::HALTED))),
        ("GME", "2", "A", Some((2, status::HALTED))),
        ("GME", "5", "A", None),
        ("GME", "H", "A", None),
        ("GME", "3", "A", Some((2, status::RESUMED))),
    ] {
        driver.message(status(symbol, code, tape));
        let out = driver.take();
        let told: Vec<(u32, u64)> = out.records.iter().map(|r| (r.instrument, r.id)).collect();
        assert_eq!(told, expect.into_iter().collect::<Vec<_>>(), "{symbol} {code}");
        assert!(gaps(&out.records, channel::TRADES).is_empty(), "a halt is no gap");
    }
    // a plan that has none of it loses nothing else
    driver.message(r#"[{"T":"error","code":409,"msg":"insufficient subscription"}]"#);
    let out = driver.take();
    assert!(
        matches!(&out.actions[..], [Action::Note { .. }]),
        "{:?}",
        out.actions
    );
    assert!(out.records.is_empty());
}

#[test]
fn what_is_sent_twice_counts_once_and_ids_that_fall_are_no_hole() {
    let trade = |id: u32, exchange: &str| {
        format!(
            r#"[{{"T":"t","S":"AAPL","i":{id},"x":"{exchange}","p":126.55,"s":100,"t":"2021-02-22T15:51:44.208Z","c":["@"],"z":"C"}}]"#
        )
    };
    let mut driver = alpaca(&["AAPL"]);
    for (id, exchange) in [(9, "D"), (9, "D"), (3, "D"), (9, "V"), (3, "D"), (5_000, "D")] {
        driver.message(trade(id, exchange));
    }
    let out = driver.take();
    assert_eq!(of_kind(&out.records, kind::TRADE).len(), 4);
    assert!(gaps(&out.records, channel::TRADES).is_empty() && out.actions.is_empty());
}

#[test]
fn corrections_and_cancels_are_kept() {
    let mut driver = alpaca(&["EEM", "GOOGL"]);
    driver.message(
        r#"[{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":[" ","7"],"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":[" ","7"],"z":"B","t":"2021-02-22T15:51:44Z"},{"T":"x","S":"GOOGL","i":465,"x":"D","p":120.5,"s":100,"a":"C","z":"C","t":"2021-02-22T15:51:44Z"}]"#,
    );
    let out = driver.take();
    let amends: Vec<usize> = (0..out.records.len())
        .filter(|&at| out.records[at].kind == kind::AMEND)
        .collect();
    assert_eq!(amends.len(), 2);
    assert_eq!(
        text(&out.records, amends[0] + 1),
        "M|7|52983525033527|B|52983525034326|7|39.1809|440000"
    );
    assert_eq!(text(&out.records, amends[1] + 1), "D||465|C|||120.5|0");
    assert!(out.records[amends[1]].size().is_zero());
    assert_eq!(out.actions.len(), 1); // noted once
}

#[test]
fn unknown_messages_are_passed_over() {
    let mut driver = alpaca(&["AAPL"]);
    driver.message(
        r#"[{"T":"b","S":"AAPL","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"},{"T":"s","S":"AAPL","sc":"E","sm":"Short Sale Restriction","rc":"","rm":"","t":"2021-02-22T19:15:00Z","z":"B"},{"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":"2021-02-22T19:15:00Z","z":"C"},{"T":"zz","S":"AAPL"}]"#,
    );
    driver.message(r#"[]"#);
    let out = driver.take();
    assert!(out.records.is_empty() && out.quarantined.is_empty());
    let mut driver = polygon(&["AAPL"]);
    driver.message(
        r#"[{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000},{"ev":"LULD","T":"AAPL","h":1,"l":2,"i":[17],"z":3,"t":1610144640000,"q":1}]"#,
    );
    let out = driver.take();
    assert!(out.records.is_empty() && out.quarantined.is_empty());
    driver.message(r#"[{"ev":"T","sym":"ZZZ","i":"1","x":10,"p":1,"s":3,"c":[],"t":1,"q":1,"z":3}]"#);
    let out = driver.take();
    assert!(out.records.is_empty());
    assert!(matches!(&out.actions[..], [Action::Note { .. }]));
}

#[test]
fn a_message_that_cannot_be_read_is_a_gap_of_what_it_names() {
    let mut driver = alpaca(&["AAPL", "AMD"]);
    driver.message(
        r#"[{"T":"t","S":"AAPL","i":1,"x":"D","p":1.5,"s":1,"t":"2021-02-22T15:51:44Z","c":["@"],"z":"C"},{"T":"t","S":"AAPL","i":2,"x":"D","p":"NaN","s":1,"t":"2021-02-22T15:51:44Z","c":["@"],"z":"C"}]"#,
    );
    let out = driver.take();
    assert_eq!(out.quarantined.len(), 1);
    assert_eq!(out.quarantined[0].instrument, Some(1));
    assert_eq!(gaps(&out.records, channel::TRADES), [(cause::MALFORMED, -1)]);
    assert_eq!(gaps(&out.records, channel::QUOTES), [(cause::MALFORMED, -1)]);
    // cut in the middle, nobody knows what else it held
    driver.message(r#"[{"T":"t","S":"AAPL","i":1,"x":"#);
    let out = driver.take();
    assert_eq!(gaps(&out.records, channel::TRADES).len(), 2);
    // a price of zero is no trade
    driver.message(
        r#"[{"T":"t","S":"AMD","i":1,"x":"D","p":0,"s":1,"t":"2021-02-22T15:51:44Z","c":["@"],"z":"C"}]"#,
    );
    assert_eq!(driver.take().quarantined.len(), 1);
}

fn refused(out: &Output) -> (bool, i64) {
    let found = out.actions.iter().find_map(|action| match action {
        Action::Refused { key, wait_ns, .. } => Some((*key, *wait_ns / S)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn refusals_end_the_connection_and_say_how_long() {
    let error = |code: u16| format!(r#"[{{"T":"error","code":{code},"msg":"no key1 hush"}}]"#);
    for (code, key, wait) in [(402, true, 60), (408, true, 60), (409, true, 60), (406, false, 5)] {
        let mut driver = driver("alpaca", &["AAPL"]);
        driver.message(r#"[{"T":"success","msg":"connected"}]"#);
        driver.take();
        driver.message(error(code)).message(error(code));
        let out = driver.take();
        assert_eq!(refused(&out), (key, wait), "{code}");
        assert_eq!(out.actions.len(), 1, "once");
        let said = format!("{:?}", out.actions);
        assert!(!said.contains("key1") && !said.contains("hush"), "{said}");
    }
    for (code, why) in [
        (401, cause::LIMIT),
        (403, cause::LIMIT),
        (404, cause::LIMIT),
        (407, cause::OVERLOAD),
    ] {
        let mut driver = alpaca(&["AAPL"]);
        driver.message(error(code));
        let out = driver.take();
        assert!(
            matches!(out.actions[..], [Action::Reconnect { cause, .. }] if cause == why),
            "{code}"
        );
    }
    for (status, key, wait) in [
        ("auth_failed", true, 60),
        ("not_authorized", true, 60),
        ("max_connections", false, 60),
    ] {
        let mut driver = polygon(&["AAPL"]);
        driver.message(format!(
            r#"[{{"ev":"status","status":"{status}","message":"no key1"}}]"#
        ));
        let out = driver.take();
        assert_eq!(refused(&out), (key, wait), "{status}");
        assert!(!format!("{:?}", out.actions).contains("key1"));
    }
    let mut silent = driver("polygon", &["AAPL"]);
    silent.wait(16 * S);
    assert!(matches!(
        silent.take().actions[..],
        [Action::Reconnect {
            cause: cause::STALL,
            ..
        }]
    ));
}

#[test]
fn symbols_beyond_the_plan_are_closed_and_the_others_stay() {
    let symbols: Vec<String> = (0..40).map(|n| format!("S{n}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let mut driver = driver("alpaca", &symbols);
    driver
        .message(r#"[{"T":"success","msg":"connected"}]"#)
        .message(r#"[{"T":"success","msg":"authenticated"}]"#);
    assert_eq!(driver.sends().len(), 4); // the login, two batches and halts
    driver.take();
    let first = serde_json::json!(&symbols[..30]);
    driver
        .message(format!(
            r#"[{{"T":"subscription","trades":{first},"quotes":{first}}}]"#
        ))
        .message(r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#);
    let out = driver.take();
    let closed = of_kind(&out.records, kind::STATUS);
    assert_eq!(closed.len(), 10);
    assert!(closed.iter().all(|record| record.id == status::CLOSED));
    assert_eq!(closed[0].instrument, 31);
}

#[test]
fn names_are_stocks_or_pairs() {
    for protocol in ["alpaca", "alpaca-sip", "polygon"] {
        let venue = by_name(protocol).unwrap();
        for good in ["AAPL", "BRK.B", "F", "BTC-USD"] {
            assert!(venue.listed(good).is_some(), "{protocol} {good}");
        }
        for bad in [
            "", "aapl", "1X", "A B", "-USD", "BTC-", "A*", "BRK.", "A.BCDE", "BTC-U-S",
        ] {
            assert!(venue.listed(bad).is_none(), "{protocol} {bad}");
        }
        assert_ne!(
            venue.lane(&listed(protocol, "AAPL")),
            venue.lane(&listed(protocol, "BTC-USD"))
        );
    }
}

const SAMPLES: [&str; 6] = [
    r#"[{"T":"t","S":"AAPL","i":96921,"x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}]"#,
    r#"[{"T":"c","S":"AAPL","x":"M","oi":5,"op":39.1582,"os":44,"oc":[" ","7"],"ci":6,"cp":39.1809,"cs":4,"cc":[" "],"z":"B","t":"2021-02-22T15:51:44Z"}]"#,
    r#"[{"T":"subscription","trades":["AAPL"],"quotes":["AAPL"]},{"T":"error","code":405,"msg":"x"}]"#,
    r#"[{"ev":"T","sym":"AAPL","i":"5096","x":10,"p":161.87,"s":300,"c":[14,41],"t":1651684192462,"q":4009402,"z":3}]"#,
    r#"[{"ev":"Q","sym":"AAPL","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"c":0,"i":[604],"t":1536036818784,"q":50385480,"z":3}]"#,
    r#"[{"ev":"status","status":"error","message":"invalid subscription: T.AAPL"}]"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing panics, and what is not read whole gives no data.
    #[test]
    fn any_bytes_are_read_or_quarantined(
        sample in 0..SAMPLES.len(),
        at in any::<prop::sample::Index>(),
        put in prop::collection::vec(any::<u8>(), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = SAMPLES[sample].as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + 1).min(bytes.len()), put);
        for mut driver in [alpaca(&["AAPL"]), polygon(&["AAPL"])] {
            for text in [&bytes[..], &bytes[..at.min(bytes.len())], &noise[..]] {
                driver.message(text);
                let out = driver.take();
                if !out.quarantined.is_empty() {
                    prop_assert_eq!(out.quarantined.len(), 1);
                    prop_assert!(out.records.iter().all(|record| record.kind == kind::GAP));
                }
            }
            driver.wait(S);
        }
    }
}
