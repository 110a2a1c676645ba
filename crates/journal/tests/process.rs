//! Writers and readers in processes of their own: this test binary starts itself again as the other one.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Home, Random, options, trade, trades};
use journal::{Error, From, Options, Position, Reader, Seek, Writer};

const ROLE: &str = "TIDEMILL_TEST_ROLE";
const HOME: &str = "TIDEMILL_TEST_HOME";

fn start(role: &str, home: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(HOME, home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: what the started process does.
#[test]
fn child() {
    let (Ok(role), Ok(home)) = (std::env::var(ROLE), std::env::var(HOME)) else {
        return;
    };
    let home = Path::new(&home);
    match role.as_str() {
        "write" => write_until_killed(home),
        "read" => read_all(home, Duration::ZERO),
        "spin" => read_all(home, Duration::from_micros(50)),
        "open" => {
            let error = Writer::open(home, "test", &Options::default()).unwrap_err();
            assert!(matches!(error, Error::Held { .. }));
            say(&format!("{error}"));
        }
        other => panic!("no role {other}"),
    }
}

/// Past the test harness, which has its own say on stdout.
fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n#{text}").unwrap();
    out.flush().unwrap();
}

/// What the child said.
fn heard(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_prefix('#')).collect()
}

/// Appends as fast as it can, and says after every few appends how far it has come.
fn write_until_killed(home: &Path) {
    let mut writer = Writer::open(home, "test", &options(256 << 10)).unwrap();
    let mut random = Random(u64::from(std::process::id()));
    let mut out = std::io::stdout();
    loop {
        for _ in 0..20 {
            let next = writer.next_sequence();
            writer.append(&trades(next..=next + random.below(8))).unwrap();
        }
        out.write_all(format!("#{}\n", writer.next_sequence() - 1).as_bytes())
            .unwrap();
    }
}

/// Reads 200,000 records from the oldest on; every one must be there, in order and whole.
fn read_all(home: &Path, spin: Duration) {
    let mut reader = Reader::open(home, "test").unwrap();
    reader.set_spin(spin);
    let mut next = 1;
    let deadline = Instant::now() + Duration::from_secs(60);
    while next <= 200_000 {
        assert!(Instant::now() < deadline, "stays at {next}");
        reader.wait(Duration::from_millis(500));
        while let Some(frame) = reader.next().unwrap() {
            for record in frame.records() {
                assert_eq!(*record, trade(next));
                next += 1;
            }
        }
        assert!(reader.take_lost().is_empty());
    }
    say(&format!("{next}"));
}

#[test]
fn readers_in_other_processes_see_every_record_while_segments_rotate() {
    let home = Home::new();
    let mut writer = home.writer_with(128 << 10);
    let readers = [
        start("read", home.path()),
        start("spin", home.path()),
        start("read", home.path()),
    ];
    let mut random = Random(1);
    let mut next = 1;
    let mut rotated = 0;
    while next <= 200_000 {
        let last = (next + random.below(20)).min(200_000);
        rotated += usize::from(writer.append(&trades(next..=last)).unwrap().rotated);
        next = last + 1;
        if random.below(2000) == 0 {
            // Lets the readers come to the end and fall asleep.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    assert!(rotated > 50);
    for reader in readers {
        assert_eq!(heard(reader), "200001");
    }
}

#[test]
fn a_killed_writer_loses_nothing_it_has_acknowledged() {
    let home = Home::new();
    // One reader lives through it all.
    drop(home.writer_with(256 << 10));
    let mut reader = home.reader();
    let mut read = 0;
    let mut random = Random(0x5EED);
    for round in 1..=20 {
        let mut child = start("write", home.path());
        let mut out = child.stdout.take().unwrap();
        let mut said = vec![0; 1 << 10];
        // Until it has acknowledged something; then it is killed at any moment.
        let mut text = Vec::new();
        while !text.contains(&b'#') {
            let n = out.read(&mut said).unwrap();
            assert!(
                n > 0,
                "round {round}: the writer ended: {}",
                String::from_utf8_lossy(&text)
            );
            text.extend_from_slice(&said[..n]);
        }
        let until = Instant::now() + Duration::from_micros(random.below(80_000));
        while Instant::now() < until {
            let n = out.read(&mut said).unwrap();
            text.extend_from_slice(&said[..n]);
        }
        child.kill().unwrap();
        out.read_to_end(&mut text).unwrap();
        child.wait().unwrap();
        let text = String::from_utf8(text).unwrap();
        // The last line may be cut; the one before it is whole.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let acknowledged: u64 = whole
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .next_back()
            .map_or(0, |n| n.parse().unwrap());

        let mut epochs = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            for record in frame.records() {
                read += 1;
                assert_eq!(*record, trade(read), "round {round}");
            }
            epochs.push(frame.header.epoch);
        }
        assert!(reader.take_lost().is_empty());
        assert!(
            read >= acknowledged,
            "round {round}: acknowledged {acknowledged}, found {read}"
        );
        assert!(
            epochs.is_sorted() && epochs.last() == Some(&(round + 1)),
            "round {round}: {epochs:?}"
        );
    }
    // The next writer goes on densely, and a fresh reader sees the same log.
    let mut writer = home.writer_with(256 << 10);
    assert_eq!(writer.epoch(), 22);
    assert!(writer.next_sequence() > read);
    writer
        .append(&trades(writer.next_sequence()..=writer.next_sequence()))
        .unwrap();
    let mut fresh = home.reader();
    let mut next = 1;
    while let Some(frame) = fresh.next().unwrap() {
        assert_eq!(frame.header.sequence, next);
        for record in frame.records() {
            assert_eq!(*record, trade(next));
            next += 1;
        }
    }
    assert_eq!(next, writer.next_sequence());
    assert_eq!(
        fresh.seek(From::Newest).unwrap(),
        Seek::At(Position::new(22, writer.next_sequence()))
    );
}

#[test]
fn a_second_writer_in_another_process_is_told_who_has_it() {
    let home = Home::new();
    let _writer = home.writer();
    let said = heard(start("open", home.path()));
    assert!(
        said.contains(&format!("process {}", std::process::id())),
        "{said}"
    );
}
