//! Writing, reading and finding places, in one process.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::time::{Duration, Instant};

use common::{Home, trade, trades};
use journal::{Error, From, Options, Position, Reader, Seek, Writer};
use wire::Record;

#[test]
fn records_come_back_in_place_and_in_order() {
    let home = Home::new();
    let mut writer = home.writer();
    let mut reader = home.reader();
    let appended = writer.append(&trades(1..=3)).unwrap();
    assert_eq!(appended.sequence, 1);
    writer.append(&trades(4..=4)).unwrap();
    writer.control(r#"{"type":"note"}"#).unwrap();
    assert_eq!(common::records(&mut reader), trades(1..=4));
    assert_eq!(reader.newest(), Position::new(1, 5));
    assert_eq!(reader.oldest(), Position::new(1, 1));
    assert!(reader.next().unwrap().is_none());
    assert!(reader.take_lost().is_empty());
}

#[test]
fn the_first_frame_says_epoch_and_table() {
    let home = Home::new();
    let mut writer = home.writer();
    let number = writer
        .registry()
        .add(&[common::instrument("BTC-USD.test")])
        .unwrap()[0];
    assert_eq!(number, u32::from(writer.venue()) << 20 | 1);
    drop(writer);
    let writer = home.writer();
    assert_eq!((writer.epoch(), writer.next_sequence()), (2, 1));
    let mut reader = home.reader();
    let first = common::controls(&mut reader);
    assert_eq!(first.len(), 2);
    assert_eq!(first[0]["type"], "epoch");
    assert_eq!(first[0]["previous_epoch"], 0);
    assert_eq!(first[1]["epoch"], 2);
    assert_eq!(first[1]["previous_epoch"], 1);
    assert_eq!(first[1]["last_sequence"], 0);
    assert_eq!(first[1]["instruments"][0]["name"], "BTC-USD.test");
}

#[test]
fn goes_on_where_the_last_writer_stopped() {
    let home = Home::new();
    let mut reader = None;
    for epoch in 1..=5u64 {
        let mut writer = home.writer();
        assert_eq!(u64::from(writer.epoch()), epoch);
        assert_eq!(writer.next_sequence(), (epoch - 1) * 10 + 1);
        writer.append(&trades((epoch - 1) * 10 + 1..=epoch * 10)).unwrap();
        // The same reader lives through all writers.
        let reader = reader.get_or_insert_with(|| home.reader());
        assert_eq!(common::records(reader), trades((epoch - 1) * 10 + 1..=epoch * 10));
        assert!(reader.take_lost().is_empty());
    }
}

#[test]
fn segments_rotate_and_nothing_is_lost() {
    let home = Home::new();
    let mut writer = home.small_writer();
    let mut reader = home.reader();
    let mut rotated = 0;
    for n in 1..=5000 {
        rotated += usize::from(writer.append(&[trade(n)]).unwrap().rotated);
    }
    assert!(rotated > 10, "{rotated}");
    assert_eq!(common::records(&mut reader), trades(1..=5000));
    assert!(reader.take_lost().is_empty());
}

#[test]
fn a_message_larger_than_a_frame_is_split_over_frames_and_segments() {
    let home = Home::new();
    let mut writer = home.small_writer();
    let all = trades(1..=3000);
    let appended = writer.append(&all).unwrap();
    assert!(appended.rotated);
    assert_eq!(appended.sequence, 1);
    assert_eq!(common::records(&mut home.reader()), all);
    assert_eq!(writer.next_sequence(), 3001);
}

#[test]
fn every_position_can_be_found() {
    let home = Home::new();
    let mut next = 1;
    for epoch in 1..=3 {
        let mut writer = home.small_writer();
        assert_eq!(writer.epoch(), epoch);
        for _ in 0..300 {
            writer.append(&trades(next..=next + 2)).unwrap();
            next += 3;
        }
    }
    let mut reader = home.reader();
    for sequence in 1..next {
        let epoch = (sequence as u32 - 1) / 900 + 1;
        let wanted = Position::new(epoch, sequence);
        assert_eq!(reader.seek(From::At(wanted)).unwrap(), Seek::At(wanted));
        let found = loop {
            let frame = reader.next().unwrap().expect("a frame with the record");
            if frame.header.next_sequence() > sequence {
                break *frame
                    .records()
                    .get((sequence - frame.header.sequence) as usize)
                    .unwrap();
            }
            assert_eq!(frame.header.count, 0);
        };
        assert_eq!(found, trade(sequence));
        assert!(reader.take_lost().is_empty());
    }
    // The end of an epoch is the beginning of the next.
    assert_eq!(
        reader.seek(From::At(Position::new(1, 901))).unwrap(),
        Seek::At(Position::new(2, 901))
    );
    assert_eq!(
        reader.seek(From::At(Position::new(3, next))).unwrap(),
        Seek::At(Position::new(3, next))
    );
    assert!(reader.next().unwrap().is_none());
    assert_eq!(
        reader.seek(From::Newest).unwrap(),
        Seek::At(Position::new(3, next))
    );
    assert!(reader.next().unwrap().is_none());
    assert_eq!(
        reader.seek(From::At(Position::default())).unwrap(),
        Seek::Lapped {
            wanted: Position::default(),
            oldest: Position::new(1, 1)
        }
    );
}

#[test]
fn times_and_snapshots_can_be_found() {
    let home = Home::new();
    let mut writer = home.small_writer();
    let instrument = 1 << 20 | 7;
    let mut snapshot = None;
    for n in 1..=4000 {
        writer.append(&[trade(n)]).unwrap();
        if n == 10 || n == 1500 {
            snapshot = Some(
                writer
                    .append(&[trade(0), Record::clear(instrument)])
                    .unwrap()
                    .sequence
                    + 1,
            );
        }
    }
    let mut reader = home.reader();
    let snapshot = Position::new(1, snapshot.unwrap());
    assert_eq!(
        reader.seek(From::Snapshot(instrument)).unwrap(),
        Seek::At(snapshot)
    );
    let frame = reader.next().unwrap().unwrap();
    assert_eq!(frame.header.sequence + 1, snapshot.sequence);
    assert_eq!(frame.records()[1].instrument, instrument);
    assert_eq!(
        reader.seek(From::Snapshot(99)).unwrap(),
        Seek::NoSnapshot {
            newest: writer_position(&writer)
        }
    );
    for n in [1u64, 2, 9, 1000, 3999, 4000] {
        reader.seek(From::Time(trade(n).ts_recv)).unwrap();
        let frame = reader.next().unwrap().unwrap();
        assert_eq!(frame.records()[0], trade(n));
    }
    reader.seek(From::Time(trade(4001).ts_recv)).unwrap();
    assert!(reader.next().unwrap().is_none());
}

fn writer_position(writer: &Writer) -> Position {
    Position::new(writer.epoch(), writer.next_sequence())
}

#[test]
fn a_second_writer_is_refused_with_the_first_ones_process() {
    let home = Home::new();
    let first = home.writer();
    for _ in 0..100 {
        match Writer::open(home.path(), "test", &Options::default()) {
            Err(Error::Held { pid, .. }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
    }
    drop(first);
    home.writer();
}

#[test]
fn a_reader_without_a_journal_is_told_what_there_is() {
    let home = Home::new();
    home.writer();
    let error = Reader::open(home.path(), "kraken").unwrap_err();
    assert!(
        matches!(&error, Error::NoJournal { have, .. } if have == &["test"]),
        "{error}"
    );
    assert!(Reader::open(home.path(), "../etc").is_err());
    assert!(Writer::open(home.path(), "a/b", &Options::default()).is_err());
}

#[test]
fn waiting_ends_with_the_append_and_with_the_timeout() {
    let home = Home::new();
    let mut writer = home.writer();
    let mut reader = home.reader();
    reader.seek(From::Newest).unwrap();
    let started = Instant::now();
    assert!(!reader.wait(Duration::from_millis(20)));
    assert!(started.elapsed() >= Duration::from_millis(20));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let there = reader.wait(Duration::from_secs(20));
            (there, common::records(&mut reader))
        });
        writer.append(&trades(1..=1)).unwrap();
        assert_eq!(waiting.join().unwrap(), (true, trades(1..=1)));
    });
}

#[test]
fn the_durable_watermark_follows() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.append(&trades(1..=1000)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while writer.durable() < 1000 {
        assert!(Instant::now() < deadline, "durable stays at {}", writer.durable());
        std::thread::yield_now();
    }
    assert_eq!(home.reader().durable(), 1000);
}

#[test]
fn only_this_user_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let mut writer = home.small_writer();
    writer.append(&trades(1..=3000)).unwrap();
    drop(writer); // and with it the thread that packs and deletes
    for entry in std::fs::read_dir(home.path().join("journal/test")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.path()
        );
    }
}

#[test]
fn a_long_instrument_table_is_split_and_at_last_cut() {
    let home = Home::in_memory();
    let table: Vec<_> = (0..7000)
        .map(|n| common::instrument(&format!("COIN{n}-USD.test")))
        .collect();
    let mut writer = home.writer_with(8 << 20);
    assert_eq!(writer.registry().add(&table).unwrap().len(), 7000);
    drop(writer);
    // A second epoch in the same segment has all of it, in several frames.
    drop(home.writer_with(8 << 20));
    let controls = common::controls(&mut home.reader());
    let names: usize = controls
        .iter()
        .map(|c| c["instruments"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(
        (names, &controls[1]["type"], &controls[2]["type"]),
        (7000, &"epoch".into(), &"instruments".into())
    );
    assert!(controls[1].get("instruments_left_out").is_none());
    // A small segment has what fits a quarter of it, and the records still fit behind.
    let small = Home::in_memory();
    let mut writer = small.small_writer();
    writer.registry().add(&table[..500]).unwrap();
    writer.append(&trades(1..=2000)).unwrap();
    let mut reader = small.reader();
    let mut seen = Vec::new();
    let mut counted = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        seen.extend_from_slice(frame.records());
        if let Some(text) = frame.control() {
            let control: serde_json::Value = serde_json::from_str(text).unwrap();
            let named = control["instruments"].as_array().unwrap().len() as u64;
            counted.push(named + control["instruments_left_out"].as_u64().unwrap_or(0));
        }
    }
    assert_eq!(seen, trades(1..=2000));
    assert!(
        counted.len() > 5 && counted[1..].iter().all(|count| *count == 500),
        "{counted:?}"
    );
}
