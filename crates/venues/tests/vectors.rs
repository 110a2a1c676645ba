//! Golden vectors: messages in the documented formats and the records they become.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::*;
use wire::{Record, Side, cause, channel, flag, kind, status};

/// When the message under test arrives; what goes before it is earlier.
const RECV: i64 = START;

fn name(table: &[(u64, &'static str)], value: u64) -> &'static str {
    table
        .iter()
        .find(|row| row.0 == value)
        .map_or("unknown", |row| row.1)
}

fn channel_name(value: u8) -> &'static str {
    let table = [
        (channel::ALL, "all"),
        (channel::TRADES, "trades"),
        (channel::QUOTES, "quotes"),
        (channel::BOOK, "book"),
    ];
    name(&table.map(|row| (u64::from(row.0), row.1)), value.into())
}

fn describe(record: &Record) -> Value {
    let mut flags: Vec<&str> = [
        (flag::HAS_ID, "id"),
        (flag::IRREGULAR, "irregular"),
        (flag::LAST, "last"),
        (flag::NO_VENUE_TIME, "no_venue_time"),
        (flag::SNAPSHOT, "snapshot"),
    ]
    .into_iter()
    .filter(|row| record.has(row.0))
    .map(|row| row.1)
    .collect();
    flags.sort_unstable();
    let mut value = json!({
        "instrument": record.instrument, "flags": flags,
        "ts_event": record.ts_event.to_string(), "ts_recv": record.ts_recv.to_string(),
    });
    let mut set = |key: &str, to: Value| value[key] = to;
    match record.kind {
        kind::TRADE | kind::QUOTE | kind::LEVEL | kind::AMEND => {
            let kinds = [
                (kind::TRADE, "trade"),
                (kind::QUOTE, "quote"),
                (kind::LEVEL, "level"),
                (kind::AMEND, "amend"),
            ];
            set(
                "kind",
                name(&kinds.map(|row| (row.0.into(), row.1)), record.kind.into()).into(),
            );
            let sides = [(Side::None, "none"), (Side::Buy, "buy"), (Side::Sell, "sell")];
            set(
                "side",
                name(&sides.map(|row| (row.0 as u64, row.1)), record.side() as u64).into(),
            );
            set("price", record.price().to_string().into());
            set("size", record.size().to_string().into());
            if record.has(flag::HAS_ID) {
                set("id", record.id.to_string().into());
            }
        }
        kind::CLEAR => set("kind", "clear".into()),
        kind::DETAIL => {
            let bytes = [record.price as u64, record.size as u64, record.id].map(u64::to_le_bytes);
            let text = String::from_utf8(bytes.concat()).unwrap();
            set("kind", "detail".into());
            set("text", text.trim_end_matches('\0').into());
        }
        kind::STATUS => {
            set("kind", "status".into());
            set("channel", channel_name(record.price_scale).into());
            let codes = [
                (status::LIVE, "live"),
                (status::STALE, "stale"),
                (status::CLOSED, "closed"),
                (status::BOOK_INVALID, "book_invalid"),
                (status::BOOK_VALID, "book_valid"),
                (status::HALTED, "halted"),
                (status::RESUMED, "resumed"),
            ];
            set("code", name(&codes, record.id).into());
        }
        _ => {
            assert_eq!(record.kind, kind::GAP);
            assert_eq!(record.side(), Side::Buy, "sessions only open gaps");
            set("kind", "gap".into());
            set("channel", channel_name(record.price_scale).into());
            let causes = [
                (cause::DISCONNECT, "disconnect"),
                (cause::STALL, "stall"),
                (cause::SEQUENCE_HOLE, "sequence_hole"),
                (cause::CHECKSUM, "checksum"),
                (cause::MALFORMED, "malformed"),
            ];
            set(
                "cause",
                name(&causes.map(|row| (row.0.into(), row.1)), record.size_scale.into()).into(),
            );
            set("missing", record.size.to_string().into());
        }
    }
    value
}

/// A message as it came: text, or hex where it is not text.
fn bytes(value: &Value, hex: bool) -> Vec<u8> {
    let text = value.as_str().unwrap();
    if !hex {
        return text.into();
    }
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn messages_become_their_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/venues");
    let mut count = 0;
    for protocol in venues::VENUES.iter().map(|venue| venue.name()) {
        let folder = root.join(protocol);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{}", folder.display());
        for file in files {
            let vector: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let instruments: Vec<_> = vector["instruments"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| {
                    let scale = |key: &str| row[key].as_u64().unwrap() as u8;
                    subscription(
                        row["instrument"].as_u64().unwrap() as u32,
                        row["symbol"].as_str().unwrap(),
                        scale("price_scale"),
                        scale("size_scale"),
                    )
                })
                .collect();
            let depth = vector["depth"].as_u64().unwrap_or(0) as u16;
            let mut driver = Driver::opened_at(
                RECV - 10 * S,
                protocol,
                &instruments,
                only(true, true, true, depth),
            );
            if let Some(body) = vector["rest"].as_str() {
                driver.wait(2 * S);
                let request = driver.gets()[0].0;
                driver.respond(request, 200, body);
            }
            driver.now = RECV - S;
            let befores = ["before", "before_hex"].map(|name| vector[name].as_array());
            for before in befores.into_iter().flatten().flatten() {
                driver.message(bytes(before, vector["before_hex"].is_array()));
            }
            driver.take();
            driver.now = RECV;
            match &vector["message_hex"] {
                Value::Null => driver.message(bytes(&vector["message"], false)),
                hex => driver.message(bytes(hex, true)),
            };
            let out = driver.take();
            let got: Vec<Value> = out.records.iter().map(describe).collect();
            let mut expect = vector["expect"]["records"].clone();
            for record in expect.as_array_mut().unwrap() {
                record["flags"]
                    .as_array_mut()
                    .unwrap()
                    .sort_by_key(ToString::to_string);
            }
            assert_eq!(Value::from(got), expect, "{}", file.display());
            assert_eq!(
                out.quarantined.len() == 1,
                vector["expect"]["quarantined"].as_bool().unwrap(),
                "{}",
                file.display()
            );
            count += 1;
        }
    }
    assert!(count >= 40, "{count} vectors");
}
