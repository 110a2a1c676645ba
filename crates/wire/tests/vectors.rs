//! The golden vectors of `vectors/wire`, which Python and TypeScript read too.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

use serde_json::Value;
use wire::{Decimal, DecimalError, FrameError, Record, frame};

fn load(name: &str) -> Vec<Value> {
    let path = format!("{}/../../vectors/wire/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn wide<T: std::str::FromStr>(value: &Value) -> T
where
    T::Err: std::fmt::Debug,
{
    value.as_str().unwrap().parse().unwrap()
}

fn record(vector: &Value) -> Record {
    let expect = &vector["expect"];
    let narrow = |name: &str| expect[name].as_u64().unwrap();
    Record {
        kind: narrow("kind") as u8,
        flags: narrow("flags") as u8,
        price_scale: narrow("price_scale") as u8,
        size_scale: narrow("size_scale") as u8,
        instrument: narrow("instrument") as u32,
        ts_event: wide(&expect["ts_event"]),
        ts_recv: wide(&expect["ts_recv"]),
        price: wide(&expect["price"]),
        size: wide(&expect["size"]),
        id: wide(&expect["id"]),
    }
}

#[test]
fn records() {
    for vector in load("records.json") {
        let bytes = bytes(&vector["hex"]);
        let found = Record::read(&bytes).unwrap();
        assert_eq!(found, record(&vector), "{}", vector["description"]);
        assert_eq!(Record::as_bytes(&[found]), bytes);
        if let Some(price) = vector["price"].as_str() {
            assert_eq!(found.price().to_string(), price);
            assert_eq!(found.size().to_string(), vector["size"].as_str().unwrap());
        }
    }
}

#[test]
fn frames() {
    let records: Vec<Record> = load("records.json").iter().map(record).collect();
    for vector in load("frames.json") {
        let what = &vector["description"];
        let bytes = bytes(&vector["hex"]);
        if let Some(error) = vector["error"].as_str() {
            let found = match frame::decode(&bytes).expect_err(&what.to_string()) {
                FrameError::Short { .. } => "short",
                FrameError::Magic { .. } => "magic",
                FrameError::Version { .. } => "version",
                FrameError::Length { .. } => "length",
                FrameError::Checksum { .. } => "checksum",
            };
            assert_eq!(found, error, "{what}");
            continue;
        }
        let expect = &vector["expect"];
        let found = frame::decode(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        let header = found.header;
        assert_eq!(u64::from(header.kind), expect["type"].as_u64().unwrap(), "{what}");
        assert_eq!(
            u64::from(header.venue),
            expect["venue"].as_u64().unwrap(),
            "{what}"
        );
        assert_eq!(
            u64::from(header.length),
            expect["length"].as_u64().unwrap(),
            "{what}"
        );
        assert_eq!(
            u64::from(header.count),
            expect["count"].as_u64().unwrap(),
            "{what}"
        );
        assert_eq!(
            u64::from(header.epoch),
            expect["epoch"].as_u64().unwrap(),
            "{what}"
        );
        assert_eq!(header.sequence, wide::<u64>(&expect["sequence"]), "{what}");
        if let Some(indices) = expect["records"].as_array() {
            for (i, index) in indices.iter().enumerate() {
                assert_eq!(
                    found.record(i),
                    Some(records[index.as_u64().unwrap() as usize]),
                    "{what}"
                );
            }
        }
        assert_eq!(found.control(), expect["control"].as_str(), "{what}");
        let mut again = Vec::new();
        let payload = found.payload();
        frame::encode(
            &mut again,
            header.kind,
            header.venue,
            header.epoch,
            header.sequence,
            header.count,
            payload,
        );
        assert_eq!(again, bytes, "{what}: encoding gives other bytes");
    }
}

#[test]
fn decimals() {
    for vector in load("decimals.json") {
        let text = vector["text"].as_str().unwrap();
        let expect = match vector["error"].as_str() {
            Some("syntax") => Err(DecimalError::Syntax),
            Some(_) => Err(DecimalError::Range),
            None => Ok(Decimal::new(
                wide(&vector["mantissa"]),
                vector["scale"].as_u64().unwrap() as u8,
            )),
        };
        assert_eq!(Decimal::parse(text.as_bytes()), expect, "{text:?}");
    }
}
