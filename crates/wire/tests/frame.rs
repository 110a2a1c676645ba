//! Frames: every split decodes alike, every broken byte is seen, one bad frame costs one frame.

#![allow(clippy::unwrap_used)] // a test fails by panicking, helpers included

use proptest::prelude::*;
use wire::frame::{self, Decoder, FrameError, HEADER_BYTES, MAX_RECORDS};
use wire::{Decimal, Record, Side};

fn records(from: u64, n: usize) -> Vec<Record> {
    (0..n as u64)
        .map(|i| {
            Record::trade(
                1 << 20 | 1,
                Side::Buy,
                Decimal::new(100 + i as i64, 2),
                Decimal::new(5, 1),
                from + i,
            )
            .at(7, 8)
        })
        .collect()
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_records(&mut out, 1, 3, 1, &records(1, 3));
    frame::encode(
        &mut out,
        frame::kind::CONTROL,
        1,
        3,
        4,
        0,
        br#"{"type":"hello"}x"#,
    );
    frame::encode(&mut out, frame::kind::HEARTBEAT, 1, 3, 4, 0, &[]);
    frame::encode(&mut out, frame::kind::SKIP, 1, 3, 4, 10, &[]);
    frame::encode(&mut out, 200, 1, 3, 14, 0, b"from the future");
    frame::encode_records(&mut out, 1, 3, 14, &records(14, 1));
    out
}

/// Type, sequence, count, records and text of a frame.
type Seen = (u8, u64, u32, Vec<Record>, Option<String>);

fn summary(decoder: &mut Decoder) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(f) = decoder.next_frame().unwrap() {
        let text = f.control().map(str::to_owned);
        seen.push((
            f.header.kind,
            f.header.sequence,
            f.header.count,
            f.records().to_vec(),
            text,
        ));
    }
    seen
}

#[test]
fn every_split_decodes_alike() {
    let bytes = stream();
    let mut whole = Decoder::new();
    whole.push(&bytes);
    let expected = summary(&mut whole);
    assert_eq!(expected.len(), 6);
    assert_eq!(expected[0].3, records(1, 3));
    assert_eq!(expected[1].4.as_deref(), Some(r#"{"type":"hello"}x"#));
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::new();
        decoder.push(&bytes[..cut]);
        let mut seen = summary(&mut decoder);
        decoder.push(&bytes[cut..]);
        seen.extend(summary(&mut decoder));
        assert_eq!(seen, expected, "cut at byte {cut}");
        assert_eq!(decoder.pending(), 0);
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    let mut bytes = Vec::new();
    frame::encode_records(&mut bytes, 1, 1, 1, &records(1, 2));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(frame::decode(&bad).is_err(), "bit {bit} was not noticed");
    }
}

#[test]
fn a_bad_frame_costs_that_frame() {
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for i in 0..5u64 {
        starts.push(bytes.len());
        frame::encode_records(&mut bytes, 1, 1, i + 1, &records(i + 1, 1));
    }
    bytes[starts[1] + HEADER_BYTES + 3] ^= 0x40;
    assert!(matches!(
        frame::decode(&bytes[starts[1]..]),
        Err(FrameError::Checksum { .. })
    ));
    assert_eq!(frame::find(&bytes, starts[1]), Some(starts[2]));
    assert_eq!(frame::find(&bytes, starts[4] + 8), None);
}

#[test]
fn refuses_foreign_versions_and_lengths() {
    let mut bytes = Vec::new();
    frame::encode_records(&mut bytes, 1, 1, 1, &records(1, 1));
    let mut other = bytes.clone();
    other[4] = 2;
    assert_eq!(
        frame::decode(&other).unwrap_err(),
        FrameError::Version { found: 2 }
    );
    let mut long = bytes.clone();
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        frame::decode(&long).unwrap_err(),
        FrameError::Length { found: u32::MAX }
    );
    assert_eq!(
        frame::decode(&bytes[..31]).unwrap_err(),
        FrameError::Short { needed: 32 }
    );
    assert_eq!(
        frame::decode(&bytes[..40]).unwrap_err(),
        FrameError::Short { needed: 80 }
    );
    assert_eq!(
        frame::decode(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap_err(),
        FrameError::Magic { found: 0x2054_4547 }
    );
}

#[test]
fn the_largest_frame_fits_and_one_more_does_not() {
    let many = records(1, MAX_RECORDS);
    let mut bytes = Vec::new();
    frame::encode_records(&mut bytes, 1, 1, 1, &many);
    assert_eq!(frame::decode(&bytes).unwrap().header.count as usize, MAX_RECORDS);
    let more = records(1, MAX_RECORDS + 1);
    assert!(
        std::panic::catch_unwind(move || frame::encode_records(&mut Vec::new(), 1, 1, 1, &more)).is_err()
    );
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = frame::decode(&bytes);
        let _ = frame::find(&bytes, 0);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let _ = decoder.next_frame();
    }
}
