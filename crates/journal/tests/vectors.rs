//! The files byte for byte, against `vectors/journal`, which was computed with nothing of ours.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use common::{Home, options};
use journal::{From, Options, Reader, Seek, Writer};
use serde_json::Value;
use wire::Record;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/journal/files.json")).unwrap()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_segment_and_its_head() {
    let vectors = vectors();
    let expect = &vectors["segment"];
    let home = Home::new();
    let options = Options {
        durable: false,
        ..options(16 << 10)
    };
    let mut writer = Writer::open(home.path(), "golden", &options).unwrap();
    let records: Vec<Record> = expect["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| Record::read(&hex(text)).unwrap())
        .collect();
    writer.append(&records).unwrap();
    writer.control(expect["control"].as_str().unwrap()).unwrap();
    let dir = home.path().join("journal/golden");
    let bytes = std::fs::read(dir.join(expect["file"].as_str().unwrap())).unwrap();
    let data = hex(&expect["data"]);
    assert_eq!(bytes.len(), 16 << 10);
    assert_eq!(bytes[..data.len()], data);
    assert!(bytes[data.len()..].iter().all(|byte| *byte == 0));

    let head = std::fs::read(dir.join("head")).unwrap();
    let words = &vectors["head"];
    let at = |word: &str| words[word].as_u64().unwrap() as usize;
    let u32_at = |word: &str| u32::from_le_bytes(head[at(word)..at(word) + 4].try_into().unwrap());
    let u64_at = |word: &str| u64::from_le_bytes(head[at(word)..at(word) + 8].try_into().unwrap());
    assert_eq!(head.len(), at("bytes"));
    assert_eq!(head[..8], hex(&words["magic"]));
    assert_eq!(
        (u32_at("version"), u32_at("epoch"), u32_at("pid")),
        (1, 1, std::process::id())
    );
    assert_eq!(
        (u64_at("committed"), u64_at("next_sequence")),
        (data.len() as u64, 3)
    );
    assert_eq!(
        (u32_at("sleepers"), u64_at("durable"), u32_at("pressure")),
        (0, 0, 0)
    );

    let mut reader = Reader::open(home.path(), "golden").unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        seen.extend_from_slice(frame.bytes);
    }
    assert_eq!(seen, data, "readers see the file's own bytes");
    let clear = records[1].instrument;
    assert!(
        matches!(reader.seek(From::Snapshot(clear)).unwrap(), Seek::At(position) if position.sequence == 2)
    );
}
