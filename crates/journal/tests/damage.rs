//! Torn tails, flipped bits, and what a crash leaves between the steps of a rotation.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use common::{Home, Random, Seen, frames, options, records, trade, trades};
use journal::{From, Loss, Options, Position, Reader, Writer};
use wire::frame::HEADER_BYTES;

/// Opening without waiting for disks: these tests open thousands of times.
fn quick(segment_bytes: u64) -> Options {
    Options {
        durable: false,
        pack: false,
        ..options(segment_bytes)
    }
}

fn open(home: &Home, segment_bytes: u64) -> Writer {
    Writer::open(home.path(), "test", &quick(segment_bytes)).unwrap()
}

/// Frames of different sizes; gives the sequence after them.
fn fill(writer: &mut Writer, appends: u64) -> u64 {
    let mut random = Random(7);
    for _ in 0..appends {
        let next = writer.next_sequence();
        writer.append(&trades(next..=next + random.below(5))).unwrap();
    }
    writer.next_sequence()
}

/// Offsets of the frames in a segment that was never damaged.
fn offsets(path: &Path) -> Vec<(usize, usize)> {
    let bytes = std::fs::read(path).unwrap();
    let mut offsets = Vec::new();
    let mut at = 0;
    while let Ok(frame) = wire::frame::decode(&bytes[at..]) {
        offsets.push((at, at + frame.header.frame_bytes()));
        at += frame.header.frame_bytes();
    }
    offsets
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(bytes, at)
        .unwrap();
}

#[test]
fn a_tail_torn_at_any_byte_costs_only_the_torn_frame() {
    let home = Home::in_memory();
    let mut writer = open(&home, 64 << 10);
    let next = fill(&mut writer, 120);
    drop(writer);
    let path = home.segments().pop().unwrap();
    let offsets = offsets(&path);
    let whole = std::fs::read(&path).unwrap();
    let end = offsets.last().unwrap().1;
    assert!(end > 4096 + 2000);
    let mut random = Random(3);
    for cut in end - 4096..end {
        // What was behind the cut is zeros, or anything at all.
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        if cut % 2 == 1 {
            torn[cut..]
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8);
        }
        std::fs::write(&path, &torn).unwrap();
        // A cut through zeros changes nothing.
        let kept = offsets
            .iter()
            .take_while(|(from, to)| torn[*from..*to] == whole[*from..*to])
            .count();
        let frame = wire::frame::decode(&whole[offsets[kept - 1].0..]).unwrap();
        let mut writer = open(&home, 64 << 10);
        assert_eq!(
            writer.next_sequence(),
            frame.header.next_sequence(),
            "cut at {cut} of {end}"
        );
        writer.append(&trades(writer.next_sequence()..=next)).unwrap();
        drop(writer);
        let mut reader = home.reader();
        assert_eq!(records(&mut reader), trades(1..=next), "cut at {cut} of {end}");
        assert!(reader.take_lost().is_empty());
    }
}

#[test]
fn a_file_cut_short_is_made_whole_again() {
    let home = Home::in_memory();
    let mut writer = open(&home, 64 << 10);
    fill(&mut writer, 100);
    drop(writer);
    let path = home.segments().pop().unwrap();
    let offsets = offsets(&path);
    let whole = std::fs::read(&path).unwrap();
    let end = offsets.last().unwrap().1;
    for cut in (0..end).rev().step_by(61) {
        let home = home.copy();
        let path = home.segments().pop().unwrap();
        std::fs::write(&path, &whole[..cut]).unwrap();
        let is_kept = |to: usize| to <= cut || whole[cut..to].iter().all(|byte| *byte == 0);
        let kept = offsets.iter().take_while(|(_, to)| is_kept(*to)).count();
        let next = kept.checked_sub(1).map_or(1, |last| {
            wire::frame::decode(&whole[offsets[last].0..])
                .unwrap()
                .header
                .next_sequence()
        });
        let mut writer = open(&home, 64 << 10);
        assert_eq!(writer.next_sequence(), next, "cut at {cut} of {end}");
        writer.append(&trades(next..=next + 500)).unwrap();
        let mut reader = home.reader();
        assert_eq!(
            records(&mut reader),
            trades(1..=next + 500),
            "cut at {cut} of {end}"
        );
    }
}

#[test]
fn a_flipped_bit_costs_at_most_the_frame_it_hit() {
    let home = Home::in_memory();
    let mut writer = open(&home, 16 << 10);
    let next = fill(&mut writer, 700);
    drop(writer);
    let segments = home.segments();
    assert!(segments.len() >= 5);
    let whole = frames(&mut home.reader());
    let mut random = Random(11);
    let mut hit = 0;
    for _ in 0..600 {
        let path = &segments[random.below(segments.len() as u64) as usize];
        let bytes = std::fs::read(path).unwrap();
        let bit = random.below(bytes.len() as u64 * 8);
        let (byte, bit) = (bit / 8, bit % 8);
        overwrite(path, byte, &[bytes[byte as usize] ^ 1 << bit]);
        let mut reader = home.reader();
        let mut seen = frames(&mut reader);
        // A marker, so that a hole at the very end shows too.
        let lost = reader.take_lost();
        let missing: Vec<&Seen> = whole.iter().filter(|frame| !seen.contains(frame)).collect();
        assert!(
            missing.len() <= 1,
            "bit {bit} of byte {byte} in {path:?} cost {missing:?}"
        );
        seen.retain(|frame| !whole.contains(frame));
        assert!(seen.is_empty(), "made up: {seen:?}");
        if let Some(missing) = missing.first()
            && missing.header.count > 0
            && missing.header.next_sequence() < next
        {
            hit += 1;
            assert_eq!(lost.len(), 1);
            assert_eq!(
                (lost[0].from, lost[0].to, lost[0].loss),
                (
                    missing.header.sequence,
                    missing.header.next_sequence(),
                    Loss::Corrupt
                )
            );
        } else {
            assert!(lost.is_empty(), "{lost:?}");
        }
        // Places can be found although the index or a header is damaged.
        let sequence = random.below(next - 1) + 1;
        reader.seek(From::At(Position::new(1, sequence))).unwrap();
        let found = frames(&mut reader);
        let wanted: Vec<_> = whole
            .iter()
            .filter(|frame| frame.header.next_sequence() > sequence && Some(frame) != missing.first())
            .filter(|frame| frame.header.count > 0)
            .cloned()
            .collect();
        let found: Vec<_> = found.into_iter().filter(|frame| frame.header.count > 0).collect();
        assert_eq!(found, wanted);
        overwrite(path, byte, &[bytes[byte as usize]]);
    }
    assert!(hit > 100, "only {hit} of the flips hit a frame of records");
}

#[test]
fn damage_in_the_open_segment_does_not_hide_what_follows() {
    let home = Home::in_memory();
    let mut writer = open(&home, 64 << 10);
    fill(&mut writer, 150);
    drop(writer);
    let path = home.segments().pop().unwrap();
    let whole = frames(&mut home.reader());
    let offsets = offsets(&path);
    let mut random = Random(5);
    for _ in 0..150 {
        let copy = home.copy();
        let path = copy.segments().pop().unwrap();
        let hit = random.below(offsets.len() as u64) as usize;
        let (from, to) = offsets[hit];
        let byte = from as u64 + random.below((to - from) as u64);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[byte as usize] ^= 1 << random.below(8);
        std::fs::write(&path, &bytes).unwrap();
        let mut writer = open(&copy, 64 << 10);
        let last = hit + 1 == offsets.len();
        let next = if last {
            whole[hit].header.sequence
        } else {
            whole[whole.len() - 1].header.next_sequence()
        };
        assert_eq!(writer.next_sequence(), next);
        writer.append(&[trade(next)]).unwrap();
        let mut reader = copy.reader();
        let seen = frames(&mut reader);
        for (i, frame) in whole.iter().enumerate() {
            assert_eq!(seen.contains(frame), i != hit, "frame {i}, damaged {hit}");
        }
        let lost = reader.take_lost();
        if last || whole[hit].header.count == 0 {
            assert!(lost.is_empty());
        } else {
            assert_eq!(lost.len(), 1);
            assert_eq!(
                (lost[0].from, lost[0].to),
                (whole[hit].header.sequence, whole[hit].header.next_sequence())
            );
        }
    }
}

/// Sets committed position and next sequence in the head, as a crash would have left them.
fn set_head(home: &Home, committed: u64, next_sequence: u64) {
    let head = home.journal().join("head");
    overwrite(&head, 64, &committed.to_le_bytes());
    overwrite(&head, 72, &next_sequence.to_le_bytes());
}

#[test]
fn verify_counts_what_is_there_and_what_is_not() {
    let home = Home::in_memory();
    let mut writer = open(&home, 16 << 10);
    let next = fill(&mut writer, 700);
    let report = journal::verify(home.path(), "test").unwrap();
    assert!(report.is_whole());
    assert_eq!(
        (report.records, report.segments),
        (next - 1, home.segments().len())
    );
    assert_eq!(
        (report.oldest, report.newest),
        (Some(Position::new(1, 1)), Some(Position::new(1, next)))
    );
    assert_eq!(report.frames, frames(&mut home.reader()).len() as u64);
    let path = &home.segments()[1];
    let (from, to) = offsets(path)[7];
    overwrite(path, from as u64 + 40, b"damage");
    let report = journal::verify(home.path(), "test").unwrap();
    assert_eq!((report.bad_frames, report.bad_bytes), (1, (to - from) as u64));
    assert_eq!(report.holes.len(), 1);
    assert_eq!(
        report.records,
        next - 1 - (report.holes[0].to - report.holes[0].from)
    );
    // A head of a program to come is not replaced.
    drop(writer);
    overwrite(&home.journal().join("head"), 8, &[2]);
    assert!(Writer::open(home.path(), "test", &quick(16 << 10)).is_err());
}

#[test]
fn a_rotation_may_stop_after_any_step() {
    let home = Home::in_memory();
    let mut writer = open(&home, 16 << 10);
    let mut next = 1;
    // Up to the first frame behind a rotation: the last segment holds control frames and one record.
    let mut rotations = 0;
    while rotations < 3 {
        rotations += usize::from(writer.append(&[trade(next)]).unwrap().rotated);
        next += 1;
    }
    drop(writer);
    let segments = home.segments();
    let (sealed, newest) = (&segments[2], &segments[3]);
    let footer = 16 * 1024 - 64;
    let name = newest.file_name().unwrap();
    let opening_end = offsets(newest)[0].1;
    let data_end = offsets(sealed).last().unwrap().1 as u64;

    type Step<'a> = (&'a str, u64, Box<dyn Fn(&Home) + 'a>);
    let at_sealed = 2 * 16 * 1024 + data_end;
    let steps: Vec<Step<'_>> = vec![
        (
            "nothing done yet",
            next - 1,
            Box::new(|home| {
                std::fs::remove_file(home.journal().join(name)).unwrap();
                overwrite(&home.segments()[2], footer, &[0; 64]);
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "space taken",
            next - 1,
            Box::new(|home| {
                std::fs::rename(home.journal().join(name), home.journal().join("spare-99.tmp")).unwrap();
                overwrite(&home.segments()[2], footer, &[0; 64]);
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "sealed",
            next - 1,
            Box::new(|home| {
                std::fs::rename(home.journal().join(name), home.journal().join("spare-99.tmp")).unwrap();
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "named, not committed",
            next - 1,
            Box::new(|home| {
                overwrite(&home.journal().join(name), opening_end as u64, &[0; 200]);
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "named, its bytes lost",
            next - 1,
            Box::new(|home| {
                overwrite(&home.journal().join(name), 0, &[0; 16 * 1024]);
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "named, seal lost",
            next,
            Box::new(|home| {
                overwrite(&home.segments()[2], footer, &[0; 64]);
            }),
        ),
        (
            "named, only the commit missing",
            next,
            Box::new(|home| {
                set_head(home, at_sealed, next - 1);
            }),
        ),
        (
            "head lost",
            next,
            Box::new(|home| {
                std::fs::remove_file(home.journal().join("head")).unwrap();
            }),
        ),
        (
            "head torn",
            next,
            Box::new(|home| {
                std::fs::write(home.journal().join("head"), [0; 100]).unwrap();
            }),
        ),
        (
            "indexes lost",
            next,
            Box::new(|home| {
                for segment in home.segments() {
                    let _ = std::fs::remove_file(segment.with_extension("idx"));
                }
            }),
        ),
        (
            "head ahead of the files",
            next - 1,
            Box::new(|home| {
                overwrite(&home.journal().join(name), opening_end as u64, &[0; 200]);
            }),
        ),
    ];
    for (step, expect, make) in steps {
        let home = home.copy();
        make(&home);
        let mut writer = open(&home, 16 << 10);
        assert_eq!((writer.next_sequence(), writer.epoch()), (expect, 2), "{step}");
        writer.append(&trades(expect..=expect + 400)).unwrap();
        let mut reader = home.reader();
        assert_eq!(records(&mut reader), trades(1..=expect + 400), "{step}");
        assert!(reader.take_lost().is_empty(), "{step}");
        drop(writer);
        let mut writer = open(&home, 16 << 10);
        assert_eq!(writer.epoch(), 3, "{step}");
        writer.append(&trades(expect + 401..=expect + 500)).unwrap();
        assert_eq!(
            records(&mut reader),
            trades(expect + 401..=expect + 500),
            "{step}"
        );
        assert_eq!(records(&mut home.reader()), trades(1..=expect + 500), "{step}");
    }
}

#[test]
fn a_reader_that_was_ahead_learns_what_a_power_cut_took() {
    let home = Home::in_memory();
    let mut writer = open(&home, 64 << 10);
    for n in 1..=100 {
        writer.append(&[trade(n)]).unwrap();
    }
    let mut reader = home.reader();
    assert_eq!(records(&mut reader).len(), 100);
    drop(writer);
    // The last 30 frames never reached the disk.
    let path = home.segments().pop().unwrap();
    let offsets = offsets(&path);
    let from = offsets[offsets.len() - 30].0;
    overwrite(&path, from as u64, &vec![0; 30 * (HEADER_BYTES + 48)]);
    let mut writer = open(&home, 64 << 10);
    assert_eq!(writer.next_sequence(), 71);
    writer.append(&[trade(71)]).unwrap();
    let mut seen = Vec::new();
    let mut controls = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        seen.extend_from_slice(frame.records());
        controls.extend(
            frame
                .control()
                .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()),
        );
    }
    assert_eq!(seen, [trade(71)]);
    assert_eq!(controls[0]["epoch"], 2);
    assert_eq!(
        (&controls[0]["previous_epoch"], &controls[0]["last_sequence"]),
        (&1.into(), &70.into())
    );
    assert!(reader.take_lost().is_empty());
    // One that comes back with its position gets the same.
    let mut late = Reader::open(home.path(), "test").unwrap();
    late.seek(From::At(Position::new(1, 101))).unwrap();
    assert_eq!(records(&mut late), [trade(71)]);
}

#[test]
fn a_reader_that_came_between_crash_and_new_writer_gets_what_is_written_over_the_damage() {
    for records_after in [1, 5, 25, 30, 60, 1000] {
        let home = Home::in_memory();
        let mut writer = open(&home, 64 << 10);
        for n in 1..=100 {
            writer.append(&[trade(n)]).unwrap();
        }
        drop(writer);
        let path = home.segments().pop().unwrap();
        let offsets = offsets(&path);
        let from = offsets[offsets.len() - 30].0;
        overwrite(&path, from as u64, &vec![0; 30 * (HEADER_BYTES + 48)]);
        // Both look at the damaged end before anybody has put it right; one wants what comes after it.
        let mut reader = home.reader();
        assert_eq!(records(&mut reader), trades(1..=70));
        let mut late = home.reader();
        late.seek(From::At(Position::new(1, 101))).unwrap();
        assert!(!late.wait(Duration::ZERO) && late.next().unwrap().is_none());
        let mut writer = open(&home, 64 << 10);
        for n in 71..=70 + records_after {
            writer.append(&[trade(n)]).unwrap();
        }
        for reader in [&mut reader, &mut late] {
            assert!(reader.wait(Duration::ZERO));
            assert_eq!(records(reader), trades(71..=70 + records_after));
            assert!(reader.take_lost().is_empty(), "{records_after}");
        }
    }
}

#[test]
fn a_reader_sleeps_before_a_damaged_end() {
    let home = Home::in_memory();
    let mut writer = open(&home, 64 << 10);
    fill(&mut writer, 10);
    drop(writer);
    let path = home.segments().pop().unwrap();
    let (from, _) = *offsets(&path).last().unwrap();
    overwrite(&path, from as u64, &[0; HEADER_BYTES]);
    let mut reader = home.reader();
    records(&mut reader);
    assert!(
        !reader.wait(Duration::from_millis(20)),
        "nothing is there to be read"
    );
}

#[test]
fn a_reader_outlives_a_head_that_is_made_anew() {
    let home = Home::new();
    let mut writer = home.writer();
    writer.append(&trades(1..=10)).unwrap();
    let mut reader = home.reader();
    assert_eq!(records(&mut reader), trades(1..=10));
    drop(writer);
    std::fs::remove_file(home.journal().join("head")).unwrap();
    let mut writer = home.writer();
    assert_eq!((writer.epoch(), writer.next_sequence()), (2, 11));
    writer.append(&trades(11..=20)).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 10 {
        assert!(
            reader.wait(std::time::Duration::from_secs(10)),
            "the new head was not found"
        );
        seen.extend(records(&mut reader));
    }
    assert_eq!(seen, trades(11..=20));
}

/// Nothing can be read, and the committed position lies elsewhere: that is no reason to keep a core busy.
#[test]
fn a_reader_whose_files_are_gone_sleeps_until_there_are_new_ones() {
    let home = Home::new();
    let mut writer = open(&home, 16 << 10);
    fill(&mut writer, 10);
    drop(writer);
    for path in home.segments() {
        std::fs::remove_file(path).unwrap();
    }
    let mut reader = home.reader();
    assert!(reader.next().unwrap().is_none());
    let naps = || {
        let head = std::fs::read(home.journal().join("head")).unwrap();
        u32::from_le_bytes(head[132..136].try_into().unwrap())
    };
    let before = naps();
    assert!(!reader.wait(Duration::from_millis(300)));
    let naps = naps() - before;
    assert!(
        naps < 50,
        "looked {naps} times within 300 ms at a log that did not change"
    );
    let mut writer = open(&home, 16 << 10);
    writer.append(&trades(1..=1)).unwrap();
    assert!(reader.wait(Duration::from_secs(10)));
    assert_eq!(records(&mut reader), trades(1..=1));
}
