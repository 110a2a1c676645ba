//! What the journal's tests share.
#![allow(dead_code)] // each test file uses some of it
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use journal::{Instrument, Options, Reader, Writer};
use wire::{Decimal, Record, Side};

/// A home that goes with the test.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// In memory where there is such a place: for tests that open a journal thousands of times.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        Self {
            dir: tempfile::tempdir_in(memory)
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
        }
    }

    /// The same files once more.
    pub fn copy(&self) -> Self {
        let copy = Self::in_memory();
        copy_dir(self.path(), copy.path());
        copy
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn journal(&self) -> PathBuf {
        self.path().join("journal/test")
    }

    pub fn writer(&self) -> Writer {
        self.writer_with(1 << 20)
    }

    /// Segments of the least size, to see many rotations.
    pub fn small_writer(&self) -> Writer {
        self.writer_with(16 << 10)
    }

    pub fn writer_with(&self, segment_bytes: u64) -> Writer {
        Writer::open(self.path(), "test", &options(segment_bytes)).unwrap()
    }

    pub fn reader(&self) -> Reader {
        Reader::open(self.path(), "test").unwrap()
    }

    /// Paths of the segments, in log order.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.journal())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "seg"))
            .collect();
        paths.sort();
        paths
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Numbers that look random and are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A frame as a reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub header: wire::Header,
    pub records: Vec<Record>,
}

/// All frames up to the end.
pub fn frames(reader: &mut Reader) -> Vec<Seen> {
    let mut frames = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        frames.push(Seen {
            header: frame.header,
            records: frame.records().to_vec(),
        });
    }
    frames
}

pub fn options(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        max_bytes: 1 << 30,
        ..Options::default()
    }
}

/// A record that tells its number in every field.
pub fn trade(n: u64) -> Record {
    let mut record = Record::trade(
        1 << 20 | 1,
        Side::Buy,
        Decimal::new(n as i64 * 3, 2),
        Decimal::new(n as i64 + 7, 8),
        n,
    );
    record.ts_event = 1_700_000_000_000_000_000 + n as i64 * 1000;
    record.ts_recv = record.ts_event + 500;
    record
}

pub fn trades(range: RangeInclusive<u64>) -> Vec<Record> {
    range.map(trade).collect()
}

/// All records up to the end.
pub fn records(reader: &mut Reader) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        records.extend_from_slice(frame.records());
    }
    records
}

pub fn controls(reader: &mut Reader) -> Vec<serde_json::Value> {
    let mut controls = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        if let Some(text) = frame.control() {
            controls.push(serde_json::from_str(text).unwrap());
        }
    }
    controls
}

pub fn instrument(name: &str) -> Instrument {
    Instrument {
        number: 0,
        name: name.to_string(),
        symbol: name.split('.').next().unwrap().replace('-', "/"),
        base: "BTC".into(),
        quote: "USD".into(),
        tick: Decimal::new(1, 1),
        lot: Decimal::new(1, 8),
        price_scale: 1,
        size_scale: 8,
        status: "online".into(),
    }
}
