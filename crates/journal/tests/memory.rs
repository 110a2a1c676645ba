//! What readers of old records hold in memory. Alone in its file, and one test after the other, because the
//! measure is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{Home, options, trades};
use journal::{Options, Reader, Writer};

const READERS: u64 = 24;
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_reader_in_a_packed_segment_holds_one_block_of_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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

#[test]
fn a_reader_that_catches_up_holds_little_of_its_segment() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::in_memory();
    let options = Options {
        durable: false,
        ..options(32 << 20)
    };
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    for n in 0..600 {
        writer.append(&trades(n * 1000 + 1..=n * 1000 + 1000)).unwrap();
    }
    drop(writer);
    let mut reader = home.reader();
    let before = file_bytes();
    let (mut most, mut records) = (0, 0);
    while let Some(frame) = reader.next().unwrap() {
        records += u64::from(frame.header.count);
        most = most.max(file_bytes().saturating_sub(before));
    }
    assert_eq!(records, 600_000);
    assert!(most < 4 << 20, "{most} bytes of a segment of 28 MB are held");
}

/// Memory of this process that is no file's.
fn anonymous_bytes() -> u64 {
    status("RssAnon:")
}

/// Memory of this process that mapped files take up, those of `Home::in_memory` too.
fn file_bytes() -> u64 {
    status("RssFile:") + status("RssShmem:")
}

fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
