//! Retention, the bound, a full disk, packing, and syncs that fail.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Home, Random, instrument, options, records, trade, trades};
use journal::{Error, From, Hooks, Loss, Options, Position, Pressure, Reader, Seek, Writer};

const SEGMENT: u64 = 16 << 10;

fn bounded(segments: u64) -> Options {
    Options {
        max_bytes: segments * SEGMENT,
        durable: false,
        pack: false,
        ..options(SEGMENT)
    }
}

fn set_offset(home: &Path, sequence: u64) {
    let dir = home.join("run/offsets");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("test.tmp"), format!("{{\"sequence\": {sequence}}}")).unwrap();
    std::fs::rename(dir.join("test.tmp"), dir.join("test.json")).unwrap();
}

/// Waits for something another thread does; fails when it never comes.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn disk_bytes(dir: &Path) -> u64 {
    let segments = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let counted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".seg") || name.ends_with(".zst") || name.starts_with("spare-")
    };
    segments
        .filter(counted)
        .map(|path| path.metadata().map_or(0, |m| m.len()))
        .sum()
}

/// Every record up to the end, or what a reader that fell behind is told.
fn read_lapped(reader: &mut Reader) -> (Vec<wire::Record>, usize) {
    let (mut seen, mut lapped) = (Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(frame)) => seen.extend_from_slice(frame.records()),
            Ok(None) => return (seen, lapped),
            Err(Error::Lapped { .. }) => lapped += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn without_a_recorder_the_oldest_go_when_the_bound_is_reached() {
    let home = Home::in_memory();
    let mut writer = Writer::open(home.path(), "test", &bounded(8)).unwrap();
    for n in 1..=5000 {
        writer.append(&[trade(n)]).unwrap();
        // One more may be seen: the keeper deletes one and makes one while we count.
        assert!(disk_bytes(&home.journal()) <= 9 * SEGMENT);
        assert_eq!(writer.pressure(), None);
    }
    let mut reader = home.reader();
    let oldest = reader.oldest();
    assert!(oldest.sequence > 3000, "{oldest}");
    assert_eq!(records(&mut reader), trades(oldest.sequence..=5000));
    let wanted = Position::new(1, 1);
    assert_eq!(
        reader.seek(From::At(wanted)).unwrap(),
        Seek::Lapped { wanted, oldest }
    );
    assert_eq!(records(&mut reader), trades(oldest.sequence..=5000));
}

#[test]
fn a_reader_that_falls_behind_is_told_once_and_goes_on() {
    let home = Home::in_memory();
    let mut writer = Writer::open(home.path(), "test", &bounded(8)).unwrap();
    writer.append(&[trade(1)]).unwrap();
    let mut reader = home.reader();
    assert_eq!(records(&mut reader), [trade(1)]);
    for n in 2..=5000 {
        writer.append(&[trade(n)]).unwrap();
    }
    // What it has mapped stays readable although the file is gone.
    let (seen, lapped) = read_lapped(&mut reader);
    assert_eq!(lapped, 1);
    let lost = reader.take_lost();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].loss, Loss::Overrun);
    let jump = seen
        .windows(2)
        .position(|pair| pair[1].id != pair[0].id + 1)
        .unwrap();
    assert_eq!((lost[0].from, lost[0].to), (seen[jump].id + 1, seen[jump + 1].id));
    assert_eq!(seen.last(), Some(&trade(5000)));
    assert!(reader.take_lost().is_empty());
}

#[test]
fn nothing_above_the_stores_offset_is_deleted() {
    let home = Home::in_memory();
    set_offset(home.path(), 0);
    let mut writer = Writer::open(home.path(), "test", &bounded(24)).unwrap();
    let mut random = Random(99);
    let mut offset = 0;
    for n in 1..=8000 {
        writer.append(&[trade(n)]).unwrap();
        if random.below(300) == 0 {
            // The store comes along, never far behind.
            offset += random.below(n - offset + 1);
            set_offset(home.path(), offset);
        }
        if n % 50 == 0 {
            let oldest = home.reader().oldest().sequence;
            assert!(
                oldest <= offset + 1,
                "{oldest} is the oldest, the store has {offset}"
            );
        }
    }
    assert!(home.reader().oldest().sequence > 1, "nothing was ever deleted");
}

#[test]
fn at_the_bound_live_delivery_goes_on_and_heals() {
    let home = Home::in_memory();
    set_offset(home.path(), 10);
    let mut writer = Writer::open(home.path(), "test", &bounded(8)).unwrap();
    let mut live = home.reader();
    let mut behind = home.reader();
    let mut next = 1;
    while writer.pressure().is_none() || next < 6000 {
        writer.append(&[trade(next)]).unwrap();
        assert_eq!(records(&mut live), [trade(next)], "live delivery goes on");
        next += 1;
        assert!(next < 100_000);
    }
    assert_eq!(writer.pressure(), Some(Pressure::Bound));
    assert!(writer.trouble().unwrap().contains("the bound of the journal"));
    assert!(disk_bytes(&home.journal()) <= 8 * SEGMENT);
    assert!(live.take_lost().is_empty());
    // What the store has not taken is still there; the hole lies behind it, and is told exactly.
    assert!(behind.oldest().sequence <= 11);
    let (seen, lapped) = read_lapped(&mut behind);
    let lost = behind.take_lost();
    assert_eq!((lapped, lost.len(), lost[0].loss), (1, 1, Loss::Overrun));
    let expect = [trades(1..=lost[0].from - 1), trades(lost[0].to..=next - 1)].concat();
    assert_eq!(seen, expect);
    // A restart in this state changes nothing.
    drop(writer);
    let mut writer = Writer::open(home.path(), "test", &bounded(8)).unwrap();
    until("the pressure is seen again", || {
        writer.pressure() == Some(Pressure::Bound)
    });
    for _ in 0..1000 {
        writer.append(&[trade(next)]).unwrap();
        assert_eq!(records(&mut live), [trade(next)]);
        next += 1;
    }
    // The store catches up: without a restart, new segments are made again.
    set_offset(home.path(), next - 1);
    until("it heals", || writer.pressure().is_none());
    for _ in 0..2000 {
        writer.append(&[trade(next)]).unwrap();
        set_offset(home.path(), next);
        assert_eq!(records(&mut live), [trade(next)]);
        next += 1;
    }
    assert!(live.take_lost().is_empty());
}

#[test]
fn a_slow_reader_under_pressure_never_sees_torn_records() {
    let home = Home::in_memory();
    set_offset(home.path(), 1);
    let mut writer = Writer::open(home.path(), "test", &bounded(4)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reader = home.reader();
            let (mut last, mut count, mut lost_count) = (0, 0u64, 0);
            let mut random = Random(4);
            loop {
                let ended = done.load(Ordering::Acquire);
                loop {
                    match reader.next() {
                        Ok(None) => break,
                        Err(Error::Lapped { .. }) => continue,
                        Err(error) => panic!("{error}"),
                        Ok(Some(frame)) => {
                            let records = frame.records().to_vec();
                            // These segments are 4,000 times smaller than real ones: a reader that is paused at the wrong
                            // moment can hold a frame for a whole segment, which is when it must ask.
                            if !reader.intact() {
                                lost_count += records.len() as u64;
                                continue;
                            }
                            for record in records {
                                assert_eq!(record, trade(record.id));
                                assert!(record.id > last, "{} after {last}", record.id);
                                last = record.id;
                                count += 1;
                            }
                        }
                    }
                    if random.below(200) == 0 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                }
                for lost in reader.take_lost() {
                    lost_count += lost.to - lost.from;
                }
                if ended {
                    return (last, count, lost_count);
                }
            }
        });
        let mut next = 1;
        for i in 0..30_000u64 {
            let last = next + i % 7;
            writer.append(&trades(next..=last)).unwrap();
            next = last + 1;
        }
        done.store(true, Ordering::Release);
        let (last, count, lost) = reading.join().unwrap();
        assert_eq!(last, next - 1);
        assert_eq!(count + lost, next - 1, "every record is read or known to be lost");
        assert!(writer.pressure().is_some());
    });
}

#[test]
fn a_full_disk_is_survived() {
    // A file system of 400 KiB; only root may make one.
    let home = Home::new();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs"])
        .arg(home.path())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        skip::because("a file system cannot be mounted here (needs root)");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount")
                .arg("-l")
                .arg(&self.0)
                .status();
        }
    }
    let unmount = Unmount(home.path().to_path_buf());
    let mut options = bounded(1000);
    options.durable = true;
    set_offset(home.path(), 1);
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    let mut live = home.reader();
    let mut next = 1;
    while writer.pressure().is_none() || next < 8000 {
        writer.append(&[trade(next)]).unwrap();
        assert_eq!(records(&mut live), [trade(next)]);
        next += 1;
        assert!(next < 100_000);
    }
    assert_eq!(writer.pressure(), Some(Pressure::DiskFull));
    // Something else fills what little is left; then there is room again.
    std::fs::write(home.path().join("other"), vec![1; 1 << 20]).unwrap_err();
    for _ in 0..2000 {
        writer.append(&[trade(next)]).unwrap();
        next += 1;
    }
    std::fs::remove_file(home.path().join("other")).unwrap();
    set_offset(home.path(), next - 1);
    let freed = Instant::now();
    until("it heals", || writer.pressure().is_none());
    assert!(freed.elapsed() < Duration::from_secs(5));
    let (seen, lapped) = read_lapped(&mut live);
    assert_eq!((seen.last(), lapped), (Some(&trade(next - 1)), 1));
    let lost = live.take_lost();
    assert_eq!((lost.len(), lost[0].loss), (1, Loss::Overrun));
    assert_eq!(seen[0], trade(lost[0].to));
    drop((live, writer, unmount));
}

#[test]
fn a_disk_that_cannot_hold_a_segment_is_refused_in_words() {
    let home = Home::new();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=48k,mode=700", "tmpfs"])
        .arg(home.path())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        skip::because("a file system cannot be mounted here (needs root)");
        return;
    }
    let result = Writer::open(
        home.path(),
        "test",
        &Options {
            segment_bytes: 64 << 10,
            ..bounded(1000)
        },
    );
    let _ = std::process::Command::new("umount")
        .arg("-l")
        .arg(home.path())
        .status();
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::NoSpace { .. } | Error::Io { .. }),
        "{error}"
    );
}

#[test]
fn old_segments_go_after_their_time() {
    let home = Home::in_memory();
    let mut writer = Writer::open(
        home.path(),
        "test",
        &Options {
            keep_ns: 1_000_000_000,
            ..bounded(1000)
        },
    )
    .unwrap();
    // The records' times are years ago.
    for n in 1..=2000 {
        writer.append(&[trade(n)]).unwrap();
    }
    until("old segments go", || home.segments().len() <= 3);
    let oldest = home.reader().oldest();
    assert!(oldest.sequence > 1200, "{oldest} {:?}", home.segments());
    // With a recorder that has stored little, they stay.
    let home = Home::in_memory();
    set_offset(home.path(), 100);
    let options = Options {
        keep_ns: 1_000_000_000,
        ..bounded(1000)
    };
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    for n in 1..=2000 {
        writer.append(&[trade(n)]).unwrap();
    }
    drop(writer);
    assert_eq!(home.reader().oldest().sequence, 1);
}

/// Files of the journal with this extension, in log order.
fn files(home: &Home, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(home.journal())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    paths.sort();
    paths
}

/// A journal of 150,000 records whose older segments, of several blocks each, are packed.
fn packed_home() -> (Home, Writer) {
    let home = Home::in_memory();
    let packing = Options {
        durable: false,
        ..options(1 << 20)
    };
    let mut writer = Writer::open(home.path(), "test", &packing).unwrap();
    for n in 0..600 {
        writer.append(&trades(n * 250 + 1..=n * 250 + 250)).unwrap();
    }
    until("two segments are packed", || {
        files(&home, "zst").len() >= 2 && files(&home, "seg").len() <= 5
    });
    (home, writer)
}

#[test]
fn a_flipped_bit_in_a_packed_segment_costs_at_most_a_block() {
    let (home, writer) = packed_home();
    drop(writer);
    let path = &files(&home, "zst")[1];
    let whole = std::fs::read(path).unwrap();
    let mut random = Random(11);
    // Both headers, both tables, and anywhere.
    let edges = (0..300).chain(whole.len() - 300..whole.len());
    let places: Vec<usize> = edges
        .step_by(3)
        .chain((0..60).map(|_| random.below(whole.len() as u64) as usize))
        .collect();
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(path, &bytes).unwrap();
        let mut reader = home.reader();
        let seen = records(&mut reader);
        let lost = reader.take_lost();
        let missing: u64 = lost.iter().map(|lost| lost.to - lost.from).sum();
        assert_eq!(seen.len() as u64 + missing, 150_000, "byte {at}");
        assert!(lost.len() <= 1 && missing <= 8_000, "byte {at}: {lost:?}");
        let is_lost = |n: &u64| lost.iter().any(|lost| (lost.from..lost.to).contains(n));
        assert!(
            seen.iter()
                .map(|record| record.id)
                .eq((1..=150_000).filter(|n| !is_lost(n))),
            "byte {at}"
        );
    }
}

#[test]
fn a_packed_segment_that_cannot_be_read_hides_no_other() {
    for hit in [0, 1] {
        let (home, writer) = packed_home();
        drop(writer);
        let packed = files(&home, "zst");
        let first =
            |path: &PathBuf| -> u64 { path.file_name().unwrap().to_str().unwrap()[..20].parse().unwrap() };
        let segments: Vec<u64> = packed.iter().chain(&files(&home, "seg")).map(first).collect();
        let (from, to) = (segments[hit], segments[hit + 1]);
        std::fs::write(&packed[hit], b"not a packed segment").unwrap();
        let mut reader = home.reader();
        for wanted in [1, from, from + 300, to - 1, to, to + 300, 150_000] {
            let begin = if (from..to).contains(&wanted) { to } else { wanted };
            let found = reader.seek(From::At(Position::new(1, wanted))).unwrap();
            assert_eq!(found, Seek::At(Position::new(1, begin)));
            let (seen, _) = read_lapped(&mut reader);
            let ids = seen.iter().map(|record| record.id).filter(|id| *id >= begin);
            assert!(
                ids.eq((begin..=150_000).filter(|id| !(from..to).contains(id))),
                "{wanted}"
            );
            let told: u64 = reader.take_lost().iter().map(|lost| lost.to - lost.from).sum();
            assert_eq!(told, to - wanted.clamp(from, to), "{wanted}");
        }
        reader.seek(From::Time(trade(to + 1000).ts_recv)).unwrap();
        assert_eq!(read_lapped(&mut reader).0.last(), Some(&trade(150_000)));
        reader.seek(From::Time(trade(from + 1000).ts_recv)).unwrap();
        assert_eq!(read_lapped(&mut reader).0.last(), Some(&trade(150_000)));
        assert!(matches!(
            reader.seek(From::Snapshot(7)).unwrap(),
            Seek::NoSnapshot { .. }
        ));
    }
}

#[test]
fn segments_may_become_smaller() {
    let home = Home::in_memory();
    let mut writer = home.writer();
    writer.append(&trades(1..=20_000)).unwrap();
    drop(writer);
    // Large frames, begun when the old segment has little room left, go on in small ones.
    let mut writer = home.small_writer();
    writer.append(&trades(20_001..=40_000)).unwrap();
    let mut reader = home.reader();
    assert_eq!(records(&mut reader), trades(1..=40_000));
    drop(writer);
    let home = Home::in_memory();
    let mut writer = home.writer();
    writer.append(&trades(1..=21_000)).unwrap();
    drop(writer);
    let mut writer = home.small_writer();
    let text = format!("{:?}", "x".repeat(60_000));
    let error = writer.control(&text).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    writer.append(&trades(21_001..=21_002)).unwrap();
    assert_eq!(records(&mut home.reader()), trades(1..=21_002));
}

#[test]
fn packed_segments_read_like_the_others() {
    let home = Home::in_memory();
    let packing = Options {
        pack: true,
        ..bounded(1000)
    };
    let mut writer = Writer::open(home.path(), "test", &packing).unwrap();
    let snapshot = writer
        .append(&[trade(0), wire::Record::clear(77)])
        .unwrap()
        .sequence
        + 1;
    // A reader in a segment that is packed under it.
    let mut early = home.reader();
    assert_eq!(records(&mut early).len(), 2);
    for n in 3..=4000 {
        writer.append(&[trade(n)]).unwrap();
    }
    until("all but the newest are packed", || {
        home.segments().len() <= 5 && files(&home, "zst").len() > 10
    });
    assert_eq!(records(&mut early), trades(3..=4000));
    let mut reader = home.reader();
    assert_eq!(records(&mut reader)[2..], trades(3..=4000));
    for sequence in [1, 2, 3, 500, 1999, 4000] {
        let wanted = Position::new(1, sequence);
        assert_eq!(reader.seek(From::At(wanted)).unwrap(), Seek::At(wanted));
        let found = records(&mut reader);
        assert_eq!(found.last(), Some(&trade(4000)));
        assert!(found.len() as u64 > 4000 - sequence);
    }
    assert_eq!(
        reader.seek(From::Snapshot(77)).unwrap(),
        Seek::At(Position::new(1, snapshot))
    );
    reader.seek(From::Time(trade(1000).ts_recv)).unwrap();
    assert_eq!(records(&mut reader), trades(1000..=4000));
    // And after a restart, with what a crash between packing and deleting leaves.
    drop(writer);
    let raw = &files(&home, "seg")[0];
    std::fs::write(raw.with_extension("zst"), b"half").unwrap();
    assert_eq!(records(&mut home.reader())[2..], trades(3..=4000));
    let mut writer = Writer::open(home.path(), "test", &packing).unwrap();
    writer.append(&[trade(4001)]).unwrap();
    assert_eq!(records(&mut home.reader())[2..], trades(3..=4001));
    // Damage to a packed segment costs a block, not the file, and the hole is told.
    let path = &files(&home, "zst")[2];
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 16;
    std::fs::write(path, bytes).unwrap();
    let mut reader = home.reader();
    let seen = records(&mut reader);
    let lost = reader.take_lost();
    assert_eq!(lost.len(), 1);
    assert_eq!(seen.len() as u64 + lost[0].to - lost[0].from, 4001);
}

#[test]
fn a_failed_sync_ends_the_writer_and_is_never_tried_again() {
    let home = Home::new();
    let fail = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let said = Arc::new(Mutex::new(Vec::new()));
    let hooks = Hooks {
        sync: Arc::new({
            let (fail, calls) = (fail.clone(), calls.clone());
            move |file| {
                if fail.load(Ordering::SeqCst) {
                    calls.fetch_add(1, Ordering::SeqCst);
                    return Err(std::io::Error::from_raw_os_error(5));
                }
                file.sync_data()
            }
        }),
        failed: Arc::new({
            let said = said.clone();
            move |message| said.lock().unwrap().push(message.to_string())
        }),
    };
    let options = Options {
        hooks,
        ..options(1 << 20)
    };
    let mut writer = Writer::open(home.path(), "test", &options).unwrap();
    writer.append(&trades(1..=10)).unwrap();
    until("the first records are durable", || writer.durable() == 10);
    fail.store(true, Ordering::SeqCst);
    writer.append(&trades(11..=20)).unwrap();
    until("the failure is told", || !said.lock().unwrap().is_empty());
    until("the writer refuses", || {
        matches!(writer.append(&trades(21..=21)), Err(Error::Stopped { .. }))
    });
    fail.store(false, Ordering::SeqCst);
    assert!(matches!(
        writer.append(&trades(21..=21)),
        Err(Error::Stopped { .. })
    ));
    assert!(matches!(writer.sync(), Err(Error::Stopped { .. })));
    assert_eq!(writer.durable(), 10, "the watermark stays");
    drop(writer);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("after sequence 10") && said[0].contains("must never be tried again"),
        "{}",
        said[0]
    );
    // Start is recovery.
    let writer = home.writer();
    assert!(writer.next_sequence() >= 11);
}

#[test]
fn the_watermark_keeps_up() {
    let home = Home::new();
    let mut writer = home.writer_with(1 << 20);
    // The times at which each record was written and became durable, sampled.
    let mut lags = Vec::new();
    let mut pending: Vec<(u64, Instant)> = Vec::new();
    let started = Instant::now();
    let mut next = 1;
    while started.elapsed() < Duration::from_millis(1500) {
        writer.append(&trades(next..=next)).unwrap();
        pending.push((next, Instant::now()));
        next += 1;
        let durable = writer.durable();
        pending.retain(|(sequence, at)| {
            if *sequence <= durable {
                lags.push(at.elapsed());
            }
            *sequence > durable
        });
        std::thread::sleep(Duration::from_micros(50));
    }
    lags.sort();
    let p99 = lags[lags.len() * 99 / 100];
    eprintln!(
        "durable lag p50 {:?} p99 {p99:?} over {}",
        lags[lags.len() / 2],
        lags.len()
    );
    // The goal is 25 ms on a disk that is not shared; a machine that runs other tests gets more.
    assert!(p99 < Duration::from_millis(500));
}

#[test]
fn a_writer_that_was_replaced_may_not_go_on() {
    let home = Home::new();
    let mut first = home.writer();
    first.append(&[trade(1)]).unwrap();
    // Somebody deletes the lock file, and a second writer comes.
    std::fs::remove_file(home.journal().join("lock")).unwrap();
    let second = home.writer();
    assert_eq!(second.epoch(), 2);
    match first.append(&[trade(2)]) {
        Err(Error::Fenced {
            ours: 1, found: 2, ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_registry_grows_and_never_gives_a_number_twice() {
    use journal::registry::{self, Registry};
    let home = Home::new();
    assert_eq!(
        registry::register(home.path(), "sim-kraken", "kraken")
            .unwrap()
            .number,
        1
    );
    let mut writer = home.writer();
    assert_eq!(writer.venue(), 2);
    let venues = registry::venues(home.path()).unwrap();
    assert_eq!(
        (venues[0].protocol.as_str(), venues[1].name.as_str()),
        ("kraken", "test")
    );
    let names = ["BTC-USD.test", "ETH-USD.test", "BTC-USD.test"].map(instrument);
    let numbers = writer.registry().add(&names).unwrap();
    assert_eq!(numbers, [2 << 20 | 1, 2 << 20 | 2, 2 << 20 | 1]);
    assert!(writer.registry().add(&[instrument("BTC-USD.other")]).is_err());
    // A new version keeps its number.
    let mut halted = instrument("ETH-USD.test");
    halted.status = "halted".into();
    assert_eq!(writer.registry().add(&[halted]).unwrap(), [2 << 20 | 2]);
    let read = Registry::open(home.path(), "test").unwrap();
    assert_eq!(read.find("ETH-USD.test").unwrap().status, "halted");
    assert_eq!(read.instruments().len(), 2);
    drop(writer);
    // A torn last line was never used; its number is not given again.
    let path = home.path().join("registry/test.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3);
    text.push_str(r#"{"number":2097156,"name":"XRP-USD.test","sym"#);
    std::fs::write(&path, &text).unwrap();
    let mut writer = home.writer();
    assert_eq!(
        writer.registry().add(&[instrument("SOL-USD.test")]).unwrap(),
        [2 << 20 | 5]
    );
    let mut read = Registry::open(home.path(), "test").unwrap();
    assert_eq!(read.instruments().len(), 3);
    writer.registry().add(&[instrument("ADA-USD.test")]).unwrap();
    assert!(read.find("ADA-USD.test").is_none());
    read.refresh().unwrap();
    assert_eq!(read.find("ADA-USD.test").unwrap().number, 2 << 20 | 6);
    // Only the writer adds.
    assert!(read.add(&[instrument("DOT-USD.test")]).is_err());
}

#[test]
fn a_segment_half_taken_for_reuse_is_a_hole_and_nothing_more() {
    use std::os::unix::fs::FileExt;
    let home = Home::in_memory();
    let mut writer = Writer::open(home.path(), "test", &bounded(1000)).unwrap();
    for n in 1..=1000 {
        writer.append(&[trade(n)]).unwrap();
    }
    drop(writer);
    let segments = home.segments();
    let first_of = |path: &Path| {
        path.file_name().unwrap().to_str().unwrap()[..20]
            .parse::<u64>()
            .unwrap()
    };
    let (from, to) = (first_of(&segments[2]), first_of(&segments[3]));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&segments[2])
        .unwrap();
    file.write_all_at(b"TDMLGONE\xff\xff\xff\xff\xff\xff\xff\xff", 16)
        .unwrap();
    for restarted in [false, true] {
        if restarted {
            drop(Writer::open(home.path(), "test", &bounded(1000)).unwrap());
        }
        let mut reader = home.reader();
        let (seen, lapped) = read_lapped(&mut reader);
        assert_eq!(seen, [trades(1..=from - 1), trades(to..=1000)].concat());
        let lost = reader.take_lost();
        assert_eq!((lapped, lost.len()), (1, 1));
        assert_eq!(
            (lost[0].from, lost[0].to, lost[0].loss),
            (from, to, Loss::Overrun)
        );
    }
}
