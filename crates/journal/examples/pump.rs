//! The two ends of a journal as processes, for measuring them together.
//!
//! ```text
//! pump write HOME COUNT BATCH RATE     COUNT records in messages of BATCH, RATE records a second; 0: as fast as it goes
//! pump read HOME COUNT SPIN_US         reads until it has COUNT records, spinning for so long before it sleeps
//! ```
//!
//! Each says `ready`, the writer begins when it hears a line, and both end with a line of JSON: wall-clock
//! nanoseconds of begin and end, processor seconds in between, and of a reader at a rate the quantiles, in
//! microseconds, of the time from the stamp before a record's append to its arrival.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot go on stops

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use journal::{From, Options, Reader, Writer};
use wire::{Decimal, Record, Side};

const VENUE: &str = "bench";

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_nanos() as i64
}

/// Processor time of this process, seconds.
fn cpu_s() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the struct is ours and lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn trade(id: u64, ts: i64) -> Record {
    let (price, size) = (Decimal::new(6_423_150, 2), Decimal::new(11_400, 6));
    Record::trade(1 << 20 | 1, Side::Buy, price, size, id).at(ts, ts)
}

fn write(home: &Path, count: u64, batch: u64, rate: u64) {
    let options = Options {
        pack: false,
        max_bytes: 8 << 30,
        ..Options::default()
    };
    let mut writer = Writer::open(home, VENUE, &options).expect("a journal");
    // SAFETY: takes and changes nothing but this thread's timer slack; sleeps end when they are due.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize) };
    println!("ready");
    std::io::stdin().lock().lines().next();
    let mut records: Vec<Record> = (0..batch).map(|id| trade(id, 0)).collect();
    let (began, cpu, start) = (now_ns(), cpu_s(), Instant::now());
    let sleeps = rate > 0 && rate / batch <= 20_000;
    let mut written = 0;
    while written < count {
        if rate > 0 {
            let due = start + Duration::from_secs_f64(written as f64 / rate as f64);
            while let Some(left) = due
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                if sleeps {
                    std::thread::sleep(left);
                } else {
                    std::hint::spin_loop();
                }
            }
            let now = now_ns();
            records.iter_mut().for_each(|record| record.ts_recv = now);
        }
        let n = batch.min(count - written);
        writer.append(&records[..n as usize]).expect("an append");
        written += n;
    }
    println!(
        "{{\"began\": {began}, \"ended\": {}, \"cpu_s\": {:.6}}}",
        now_ns(),
        cpu_s() - cpu
    );
    // The journal stays as it is until everybody has read it.
    std::io::stdin().lock().lines().next();
}

fn read(home: &Path, count: u64, spin: Duration) {
    let mut reader = Reader::open(home, VENUE).expect("a journal");
    reader.seek(From::Oldest).expect("a place");
    reader.set_spin(spin);
    let mut delays: Vec<i64> = Vec::with_capacity(count.min(1 << 20) as usize);
    println!("ready");
    let (mut seen, mut sum, mut cpu, mut began) = (0u64, 0i64, cpu_s(), now_ns());
    while seen < count {
        reader.wait(Duration::from_secs(1));
        while let Some(frame) = reader.next().expect("a frame") {
            if seen == 0 {
                (cpu, began) = (cpu_s(), now_ns());
            }
            let records = frame.records();
            sum += records.iter().map(|record| record.price).sum::<i64>();
            seen += records.len() as u64;
            if records.first().is_some_and(|record| record.ts_recv != 0) {
                let now = now_ns();
                delays.extend(records.iter().map(|record| now - record.ts_recv));
            }
        }
    }
    assert_eq!(sum, seen as i64 * 6_423_150);
    let (ended, cpu) = (now_ns(), cpu_s() - cpu);
    delays.sort_unstable();
    let at = |share: f64| match delays.len() {
        0 => 0.0,
        n => delays[((n - 1) as f64 * share) as usize] as f64 / 1e3,
    };
    println!(
        "{{\"began\": {began}, \"ended\": {ended}, \"cpu_s\": {cpu:.6}, \"p50\": {:.3}, \"p99\": {:.3}}}",
        at(0.5),
        at(0.99)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| {
        arguments
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("argument {} is a number; see the head of this file", at + 1))
    };
    let home = arguments.get(1).expect("a home");
    match arguments[0].as_str() {
        "write" => write(Path::new(home), number(2), number(3), number(4)),
        "read" => read(Path::new(home), number(2), Duration::from_micros(number(3))),
        other => panic!("write or read, not {other}"),
    }
}
