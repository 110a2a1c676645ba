//! What the log costs: `cargo bench -p journal` (`-- append`, `-- read`, … for one of them).
//!
//! Times of one append, throughput of writing and of reading in place, and how long a record takes to a
//! reader in another process, which sleeps or spins. Figures are medians and 99th percentiles of single
//! events; a reading of the clock is part of each.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark may just stop

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal::{From, Options, Reader, Writer};
use wire::{Decimal, Record, Side};

const READER: &str = "TIDEMILL_BENCH_READER";

fn main() {
    if let Ok(home) = std::env::var(READER) {
        return follow(Path::new(&home));
    }
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|c| name.starts_with(c.as_str()));
    if wanted("append") {
        append(false);
        append(true);
        batches();
    }
    if wanted("read") {
        read();
    }
    if wanted("wake") {
        deliver("a reader that sleeps", Duration::ZERO, 10_000);
    }
    if wanted("spin") {
        deliver("a reader that spins", Duration::from_millis(1), 10_000);
        deliver("a reader that spins", Duration::from_millis(1), 100_000);
    }
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        // TIDEMILL_BENCH_DIR chooses the disk.
        let dir = std::env::var("TIDEMILL_BENCH_DIR")
            .unwrap_or_else(|_| std::env::temp_dir().display().to_string());
        Self(tempfile::tempdir_in(dir).expect("a folder to measure in"))
    }

    fn writer(&self, durable: bool) -> Writer {
        let options = Options {
            durable,
            pack: false,
            max_bytes: 4 << 30,
            ..Options::default()
        };
        Writer::open(self.0.path(), "bench", &options).expect("a journal")
    }
}

fn trade(n: u64, ts: i64) -> Record {
    Record::trade(
        1 << 20 | 1,
        Side::Buy,
        Decimal::new(6_423_150, 2),
        Decimal::new(11_400, 6),
        n,
    )
    .at(ts, ts)
}

fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    since.as_nanos() as i64
}

fn quantiles(times: &mut [u64]) -> (u64, u64, u64) {
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize];
    (at(0.5), at(0.99), at(0.999))
}

/// Messages of one record, as fast as they go.
fn append(durable: bool) {
    const MESSAGES: u64 = 3_000_000;
    let home = Home::new();
    let mut writer = home.writer(durable);
    let mut times = Vec::with_capacity(MESSAGES as usize);
    let started = Instant::now();
    for n in 0..MESSAGES {
        let before = Instant::now();
        writer.append(&[trade(n, n as i64)]).expect("an append");
        times.push(before.elapsed().as_nanos() as u64);
    }
    let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
    let (p50, p99, p999) = quantiles(&mut times);
    let kind = if durable {
        "synced in the background"
    } else {
        "not synced"
    };
    println!("append, 1 record, {kind}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, {rate:.0} msg/s");
}

/// Messages of 100 records.
fn batches() {
    const MESSAGES: u64 = 100_000;
    let home = Home::new();
    let mut writer = home.writer(false);
    let batch: Vec<Record> = (0..100).map(|n| trade(n, n as i64)).collect();
    let started = Instant::now();
    for _ in 0..MESSAGES {
        writer.append(&batch).expect("an append");
    }
    let rate = (MESSAGES * 100) as f64 / started.elapsed().as_secs_f64();
    println!("append, 100 records: {rate:.0} records/s");
}

/// Everything there is, in place, every checksum verified.
fn read() {
    for (size, messages) in [(1u64, 2_000_000u64), (10, 400_000), (100, 40_000)] {
        let home = Home::new();
        let mut writer = home.writer(false);
        let batch: Vec<Record> = (0..size).map(|n| trade(n, n as i64)).collect();
        for _ in 0..messages {
            writer.append(&batch).expect("an append");
        }
        let mut best = f64::MAX;
        for _ in 0..5 {
            let mut reader = Reader::open(home.0.path(), "bench").expect("a reader");
            let started = Instant::now();
            let (mut count, mut sum) = (0u64, 0i64);
            while let Some(frame) = reader.next().expect("a frame") {
                for record in frame.records() {
                    sum = sum.wrapping_add(record.price);
                }
                count += u64::from(frame.header.count);
            }
            assert_eq!(
                (count, sum),
                (messages * size, (messages * size) as i64 * 6_423_150)
            );
            best = best.min(started.elapsed().as_secs_f64());
        }
        let rate = (messages * size) as f64 / best;
        println!(
            "read, {size} records a frame: {rate:.0} records/s, {:.0} frames/s",
            rate / size as f64
        );
    }
}

/// One record at a time to a reader in another process.
fn deliver(what: &str, spin: Duration, messages_per_s: u64) {
    let seconds = 3;
    let home = Home::new();
    let mut writer = home.writer(true);
    let child = Command::new(std::env::current_exe().expect("this program"))
        .env(READER, home.0.path())
        .env("SPIN_NS", spin.as_nanos().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    std::thread::sleep(Duration::from_millis(200)); // until it waits; nothing is lost if it does not yet
    let interval = Duration::from_nanos(1_000_000_000 / messages_per_s);
    let mut due = Instant::now();
    for n in 0..messages_per_s * seconds {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        due += interval;
        writer.append(&[trade(n, now_ns())]).expect("an append");
    }
    writer.append(&[trade(u64::MAX, 0)]).expect("an append");
    let output = child.wait_with_output().expect("the reader's answer");
    print!(
        "{what}, {messages_per_s} msg/s: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// The reader: latencies of all records until the last.
fn follow(home: &Path) {
    let spin = std::env::var("SPIN_NS")
        .ok()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0);
    let mut reader = Reader::open(home, "bench").expect("a reader");
    reader.seek(From::Oldest).expect("a place");
    reader.set_spin(Duration::from_nanos(spin));
    let mut times = Vec::new();
    loop {
        reader.wait(Duration::from_secs(1));
        while let Some(frame) = reader.next().expect("a frame") {
            for record in frame.records() {
                if record.id == u64::MAX {
                    let (p50, p99, p999) = quantiles(&mut times);
                    println!("p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns over {}", times.len());
                    return;
                }
                times.push((now_ns() - record.ts_recv).max(0) as u64);
            }
        }
    }
}
