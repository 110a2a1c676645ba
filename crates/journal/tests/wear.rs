//! What a slow venue costs the disk: a journal that is synced a hundred times a second must not write more
//! than it has to. Alone in its file, because the count is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{Home, trade};
use journal::{Hooks, Options, Writer};

/// The page that is written, the one after it, and room for the index.
const BYTES_A_SYNC: u64 = 12 << 10;

#[test]
fn a_sync_of_few_records_writes_few_pages() {
    let home = Home::new();
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = syncs.clone();
    let options = Options {
        hooks: Hooks {
            sync: Arc::new(move |file| {
                counted.fetch_add(1, Ordering::Relaxed);
                file.sync_data()
            }),
            ..Hooks::default()
        },
        ..Options::default()
    };
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    let mut at = 0;
    let mut append = |times: u64| {
        for _ in 0..times {
            at += 1;
            writer.append(&[trade(at)]).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // The segment, its spares and the first pages are made ready once.
    append(30);
    let (bytes, before) = (written(), syncs.load(Ordering::Relaxed));
    append(150);
    let (bytes, syncs) = (written() - bytes, syncs.load(Ordering::Relaxed) - before);
    assert!(syncs >= 5, "only {syncs} syncs");
    assert!(
        bytes <= syncs * BYTES_A_SYNC + (256 << 10),
        "{bytes} bytes in {syncs} syncs of 150 records"
    );
}

/// Bytes this process has caused to be written to disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("write_bytes:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
