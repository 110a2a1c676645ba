//! IQFeed through its real session: what is asked, what is told, and whatever else may come.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use proptest::prelude::*;
use support::*;
use venues::{Action, Channels, Output};
use wire::{Record, Side, cause, channel, flag, kind, status};

const NAMES: &str = "S,CURRENT UPDATE FIELDNAMES,Symbol,Most Recent Trade,Most Recent Trade Size,Most Recent Trade Date,\
                     Most Recent Trade Time,Most Recent Trade Market Center,Most Recent Trade Conditions,\
                     Most Recent Trade Aggressor,TickID,Bid,Bid Size,Bid Time,Ask,Ask Size,Ask Time,Message Contents";

fn opened(channels: Channels) -> Driver {
    let instruments = [subscription(1, "AAPL", 4, 0), subscription(2, "@ES#", 2, 0)];
    Driver::new("iqfeed", &instruments, channels)
}

/// A connection that knows its fields and watches.
fn watching() -> Driver {
    let mut driver = opened(only(true, true, false, 0));
    driver.message(NAMES);
    driver.take();
    driver
}

fn update(contents: &str, id: u64) -> String {
    format!(
        "Q,AAPL,183.3600,13,11/14/2023,17:13:20.000001,11,01,1,{id},183.3500,100,17:13:19.5,183.3700,200,17:13:19.75,{contents},"
    )
}

fn reconnects(out: &Output) -> Vec<u8> {
    out.actions
        .iter()
        .filter_map(|action| match action {
            Action::Reconnect { cause, .. } => Some(*cause),
            _ => None,
        })
        .collect()
}

#[test]
fn the_protocol_comes_first_and_watches_after_the_names_of_the_fields() {
    let mut driver = opened(only(true, true, true, 0));
    let sends: Vec<String> = driver.sends().iter().map(ToString::to_string).collect();
    assert_eq!(sends[0], "S,SET PROTOCOL,6.2");
    assert!(sends[3].starts_with("S,SELECT UPDATE FIELDS,Symbol,Most Recent Trade,Most Recent Trade Size,"));
    assert_eq!(sends.len(), 4);
    driver.take();
    for line in [
        "S,CURRENT PROTOCOL,6.2,",
        "S,KEY,0",
        "S,SERVER CONNECTED",
        "S,CUST,real_time,",
    ] {
        driver.message(line);
    }
    assert_eq!(driver.sends(), [""; 0]);
    driver.message(NAMES);
    assert_eq!(driver.sends(), ["wAAPL", "w@ES#"]);
    driver.take();
    driver.message(NAMES);
    assert_eq!(driver.sends(), [""; 0], "watched already");
    let mut trades = opened(only(true, false, false, 0));
    trades.take();
    trades.message(NAMES);
    assert_eq!(trades.sends(), ["tAAPL", "t@ES#"]);
}

#[test]
fn a_field_that_is_not_given_ends_the_connection() {
    let mut driver = opened(only(true, true, false, 0));
    driver.message(NAMES.replace("Most Recent Trade Date,", ""));
    assert_eq!(reconnects(&driver.out), [cause::MALFORMED]);
    let mut driver = opened(only(true, true, false, 0));
    driver.message("S,CURRENT PROTOCOL,5.2,");
    assert!(
        driver
            .out
            .actions
            .iter()
            .any(|action| matches!(action, Action::Note { text, .. } if text.contains("5.2")))
    );
}

#[test]
fn a_quote_has_the_time_of_the_side_that_changed() {
    let mut driver = watching();
    driver.message(update("b", 7));
    driver.message(update("ba", 7));
    driver.message(update("a", 7));
    // the clock of the driver says 17:13:20 in New York
    let times: Vec<i64> = driver
        .out
        .records
        .iter()
        .map(|quote| START - quote.ts_event)
        .collect();
    let (half, quarter) = (S / 2, S / 4);
    assert_eq!(times, [half, half, quarter, quarter, quarter, quarter]);
    let [bid, ask] = driver.out.records[..2] else {
        panic!()
    };
    assert_eq!(
        (bid.side(), bid.price().to_string(), bid.size().to_string()),
        (Side::Buy, "183.3500".into(), "100".into())
    );
    assert!(ask.has(flag::LAST) && !bid.has(flag::LAST));
}

#[test]
fn an_empty_side_has_size_0() {
    let mut driver = watching();
    driver.message("Q,AAPL,,,,,,,,,,,,0,0,,ba,");
    let sides: Vec<(i64, i64)> = driver
        .out
        .records
        .iter()
        .map(|quote| (quote.price, quote.size))
        .collect();
    assert_eq!(sides, [(0, 0), (0, 0)]);
}

#[test]
fn every_digit_is_kept() {
    let mut driver = watching();
    driver.message(update("C", 1).replace("183.3600,13,", "64012.12345678,0.00012300,"));
    let trade = driver.out.records[0];
    assert_eq!(trade.price().to_string(), "64012.12345678");
    assert_eq!(trade.size().to_string(), "0.00012300");
    driver.take();
    driver.message(update("C", 2).replace("183.3600", "-37.63")); // oil, in April 2020
    assert_eq!(driver.out.records[0].price().to_string(), "-37.63");
    driver.take();
    driver.message(update("C", 3).replace("183.3600", "1.1234567890123456789"));
    assert_eq!(
        gaps(&driver.out.records, channel::TRADES),
        [(cause::MALFORMED, -1)],
        "never rounded"
    );
    assert_eq!(driver.out.quarantined.len(), 1);
}

#[test]
fn without_dtn_it_is_stale_and_afterwards_asks_what_is() {
    let mut driver = watching();
    driver
        .message("S,SERVER DISCONNECTED")
        .message("S,SERVER RECONNECT FAILED");
    let statuses: Vec<u64> = of_kind(&driver.out.records, kind::STATUS)
        .iter()
        .map(|r| r.id)
        .collect();
    assert_eq!(statuses, [status::STALE], "said once");
    assert_eq!(gaps(&driver.out.records, channel::ALL), [(cause::DISCONNECT, -1)]);
    driver.take();
    // IQConnect answers questions all the while, which is no stall
    for _ in 0..30 {
        driver.wait(S).message(NAMES);
    }
    assert_eq!(reconnects(&driver.take()), [0u8; 0]);
    driver.message("S,SERVER CONNECTED");
    assert_eq!(driver.out.records[0].id, status::LIVE);
    assert_eq!(driver.sends(), ["S,REQUEST WATCHES", "fAAPL", "f@ES#"]);
    driver.take();
    driver.message("S,WATCHES,AAPL");
    assert_eq!(driver.sends(), ["w@ES#"], "forgotten meanwhile");
    driver.take();
    driver.message(update("Cbav", 7).replace("Q,", "P,"));
    assert!(driver.out.records[0].has(flag::SNAPSHOT | flag::HAS_ID));
}

#[test]
fn silence() {
    let mut driver = watching();
    driver.message("T,20231114 17:13:20");
    driver.wait(3 * S);
    assert_eq!(
        driver.sends(),
        ["S,REQUEST CURRENT UPDATE FIELDNAMES"],
        "asked into it"
    );
    driver.wait(8 * S);
    assert_eq!(
        reconnects(&driver.take()),
        [cause::STALL],
        "IQConnect does not answer"
    );
    // it answers, and nothing comes from DTN
    let mut driver = watching();
    driver.message("T,20231114 17:13:20");
    let mut ends = Vec::new();
    for _ in 0..12 {
        driver.wait(S).message(NAMES);
        ends.extend(reconnects(&driver.take()));
    }
    assert_eq!(ends, [cause::STALL]);
    // the servers' clock alone is life: nothing happens at night
    let mut driver = watching();
    for _ in 0..100 {
        driver.wait(S).message("T,20231114 17:13:20");
    }
    assert_eq!((reconnects(&driver.out).len(), driver.sends().len()), (0, 0));
}

#[test]
fn what_iqfeed_does_not_give_is_closed_once() {
    let mut driver = watching();
    driver
        .message("n,AAPL")
        .message("n,AAPL")
        .message("S,SYMBOL LIMIT REACHED,@ES#")
        .message("n,NONE");
    let closed: Vec<u32> = of_kind(&driver.out.records, kind::STATUS)
        .iter()
        .filter(|record| record.id == status::CLOSED)
        .map(|record| record.instrument)
        .collect();
    assert_eq!(closed, [1, 2]);
    driver.take();
    driver.message(update("Cba", 9));
    assert_eq!(driver.out.records, []);
}

#[test]
fn symbols() {
    let protocol = venues::by_name("iqfeed").unwrap();
    for symbol in [
        "AAPL",
        "BRK.B",
        "@ES#",
        "@ESZ25",
        "SPX.XO",
        "EURUSD.FXCM",
        "AAPL2519L250",
        "BTCUSD",
        "F",
    ] {
        assert_eq!(protocol.listed(symbol).unwrap().symbol, symbol);
    }
    for none in [
        "",
        "aapl",
        "A,B",
        "A\r\nS,DISCONNECT",
        "ÄPFEL",
        ".A",
        &"A".repeat(33),
    ] {
        assert!(protocol.listed(none).is_none(), "{none:?}");
    }
}

/// Text of the details behind a record.
fn text(records: &[Record]) -> String {
    let bytes: Vec<u8> = records
        .iter()
        .flat_map(|one| Record::as_bytes(std::slice::from_ref(one))[24..].to_vec())
        .collect();
    String::from_utf8(bytes)
        .unwrap()
        .trim_end_matches('\0')
        .to_owned()
}

proptest! {
    /// Arbitrary bytes after any beginning of a line never panic, and a message counts whole or not at all.
    #[test]
    fn whatever_comes(
        head in prop_oneof![
            Just("Q,AAPL,"), Just("P,AAPL,"), Just("C,AAPL,I,"), Just("S,"), Just("S,CURRENT UPDATE FIELDNAMES,"),
            Just("n,"), Just("T,"), Just("E,"), Just("")
        ],
        tail in proptest::collection::vec(prop_oneof![Just(b','), any::<u8>()], 0..200),
    ) {
        let mut driver = watching();
        driver.message([head.as_bytes(), &tail].concat());
        if !driver.out.quarantined.is_empty() {
            prop_assert!(driver.out.records.iter().all(|record| record.kind == kind::GAP));
        }
    }

    /// A good update that was damaged in one place either says something else or is quarantined; it never panics.
    #[test]
    fn one_damaged_byte(at in 0usize..140, byte: u8) {
        let mut line = update("Cba", 101_123).into_bytes();
        let at = at % line.len();
        line[at] = byte;
        let mut driver = watching();
        driver.message(&line);
        let trades = of_kind(&driver.out.records, kind::TRADE);
        prop_assert!(trades.len() <= 1);
        prop_assert!(driver.out.quarantined.len() <= 1);
    }

    /// Whatever IQFeed calls conditions and market center stands in the details, to the letter.
    #[test]
    fn details_hold_every_letter(conditions in "[0-9A-F]{0,90}", center in "[0-9]{0,5}") {
        let mut driver = watching();
        driver.message(update("E", 5).replace(",11,01,", &format!(",{center},{conditions},")));
        prop_assert_eq!(driver.out.records[0].kind, kind::TRADE);
        let details = &driver.out.records[1..];
        prop_assert!(details.iter().all(|detail| detail.kind == kind::DETAIL && detail.instrument == 1));
        prop_assert!(details.last().unwrap().has(flag::LAST));
        let codes: Vec<&[u8]> = conditions.as_bytes().chunks(2).collect();
        let codes = String::from_utf8(codes.join(&b' ')).unwrap();
        prop_assert_eq!(text(details), format!("{center}|{codes}|||E"));
    }
}
