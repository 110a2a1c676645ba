//! What readers of old records hold in memory. Alone in its file, because the measure is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::time::{Duration, Instant};

use common::{Home, options, trades};
use journal::{Options, Reader, Writer};

const READERS: u64 = 24;

#[test]
fn a_reader_in_a_packed_segment_holds_one_block_of_it() {
    let home = Home::in_memory();
    let options = Options {
        durable: false,
        ..options(4 << 20)
    };
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    for n in 0..600 {
        writer.append(&trades(n * 1000 + 1..=n * 1000 + 1000)).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while home.segments().len() > 5 {
        assert!(Instant::now() < deadline, "the old segments are not packed");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(writer);
    let before = anonymous_bytes();
    let readers: Vec<Reader> = (0..READERS)
        .map(|_| {
            let mut reader = home.reader();
            for _ in 0..10 {
                assert!(reader.next().unwrap().is_some());
            }
            reader
        })
        .collect();
    let held = anonymous_bytes().saturating_sub(before) / READERS;
    drop(readers);
    assert!(
        held < 1 << 20,
        "{held} bytes for each reader of a segment of 4 MiB"
    );
}

/// Memory of this process that is no file's.
fn anonymous_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
