//! Power cuts and crashes at system calls. Needs root and a loop device, or `strace`; without, says so, and fails in CI.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Home, Random, options, records, trade, trades};
use journal::{Options, Writer};

const HOME: &str = "TIDEMILL_TEST_HOME";

/// Not a test: the writer that is to die. It says what is durable, or, where asked, everything it has appended.
#[test]
fn child() {
    let Ok(home) = std::env::var(HOME) else { return };
    let rounds: u64 = std::env::var("ROUNDS").map_or(u64::MAX, |n| n.parse().unwrap());
    let options = Options {
        max_bytes: 16 << 20,
        ..options(128 << 10)
    };
    let mut writer = Writer::open(Path::new(&home), "test", &options).unwrap();
    let mut out = std::io::stdout();
    let mut random = Random(u64::from(std::process::id()));
    let mut said = 0;
    let mut round = 0;
    while round < rounds {
        for _ in 0..1 + random.below(20) {
            let next = writer.next_sequence();
            writer.append(&trades(next..=next + random.below(6))).unwrap();
        }
        let durable = writer.durable();
        if durable != said {
            said = durable;
            // With what is appended first, so that a reader of the line knows it for less than it is.
            writeln!(out, "#{} {durable}", writer.next_sequence() - 1).unwrap();
            round += 1;
        }
    }
}

fn start(home: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The newest (appended, durable) in what a child has said.
fn said(line: &str) -> Option<(u64, u64)> {
    let (appended, durable) = line.strip_prefix('#')?.split_once(' ')?;
    Some((appended.parse().ok()?, durable.trim_end().parse().ok()?))
}

fn run(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// An ext4 of its own that can be cut off from its disk.
struct Disk {
    home: Home,
}

impl Disk {
    fn new() -> Option<Self> {
        let home = Home::new();
        let image = home.path().join("image");
        std::fs::create_dir(home.path().join("mount")).unwrap();
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let disk = Self { home };
        let made = run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        (made && disk.mount()).then_some(disk)
    }

    fn path(&self) -> std::path::PathBuf {
        self.home.path().join("mount")
    }

    fn mount(&self) -> bool {
        let image = self.home.path().join("image");
        run(
            "mount",
            &[
                "-o",
                "loop",
                image.to_str().unwrap(),
                self.path().to_str().unwrap(),
            ],
        )
    }

    /// Throws away everything that was not synced, the file system's own log included.
    fn cut(&self) {
        const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587D;
        const NO_LOG_FLUSH: u32 = 2;
        let dir = File::open(self.path()).unwrap();
        // SAFETY: the descriptor is open and the flag lives through the call.
        let result = unsafe { libc::ioctl(dir.as_raw_fd(), EXT4_IOC_SHUTDOWN, &NO_LOG_FLUSH) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_durable() {
    let Some(disk) = Disk::new() else {
        skip::because("an ext4 cannot be made and mounted here (needs root and a loop device)");
        return;
    };
    let mut random = Random(0xBEEF);
    let (mut cuts, mut taken, mut holes) = (0, 0, Vec::<(u64, u64)>::new());
    let deadline = Instant::now() + Duration::from_secs(6);
    while cuts < 6 && Instant::now() < deadline {
        let mut child = start(&disk.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        let wanted = 3 + random.below(12);
        let mut heard = 0;
        while heard < wanted {
            let line = lines.next().expect("the writer goes on until the cut").unwrap();
            if let Some(now) = said(&line) {
                last = Some(now);
                heard += 1;
            }
        }
        disk.cut();
        // Its next sync fails, and that ends it.
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "a failed sync ends the process");
        // What it said before it noticed counts too.
        last = lines
            .map_while(Result::ok)
            .filter_map(|line| said(&line))
            .last()
            .or(last);
        let (appended, durable) = last.unwrap();
        assert!(run("umount", &[disk.path().to_str().unwrap()]));
        assert!(disk.mount());
        cuts += 1;

        let mut writer = Writer::open(&disk.path(), "test", &options(128 << 10)).unwrap();
        let kept = writer.next_sequence() - 1;
        assert!(
            kept >= durable,
            "cut {cuts}: {durable} was durable, {kept} is there"
        );
        taken += appended.saturating_sub(kept);
        writer.append(&[trade(kept + 1)]).unwrap();
        let mut reader = journal::Reader::open(&disk.path(), "test").unwrap();
        let oldest = reader.oldest().sequence;
        let seen = records(&mut reader);
        // Behind the watermark the disk wrote what it liked: that may leave a hole, which is told. Holes of
        // earlier cuts stay where they are.
        for lost in reader.take_lost() {
            if !holes.contains(&(lost.from, lost.to)) {
                assert!(
                    lost.from > durable,
                    "cut {cuts}: {durable} was durable, lost is {lost:?}"
                );
                holes.push((lost.from, lost.to));
            }
        }
        let is_lost = |id: &u64| holes.iter().any(|(from, to)| (from..to).contains(&id));
        assert!(
            seen.iter()
                .map(|record| record.id)
                .eq((oldest..=kept + 1).filter(|id| !is_lost(id)))
        );
        drop((writer, reader));
    }
    eprintln!("{cuts} cuts took {taken} records that were not durable yet, and none that were");
}

#[test]
fn a_crash_at_any_system_call_leaves_a_journal_that_opens() {
    if !run("strace", &["-o", "/dev/null", "true"]) {
        skip::because("strace cannot be used here");
        return;
    }
    // Calls of the loader and the test harness come first: openat begins to matter later.
    let calls: [(&str, &[u32]); 7] = [
        ("rename", &[1, 2, 3, 4, 6, 9, 14]),
        ("fallocate", &[1, 2, 3, 4, 6]),
        ("fdatasync", &[1, 2, 3, 4, 7, 12, 20]),
        ("fsync", &[1, 2, 3, 4, 5, 8]),
        ("unlink", &[1, 2, 3, 5, 8]),
        ("pwrite64", &[1, 2, 3, 6, 10]),
        ("openat", &[20, 24, 28, 32, 36, 40, 45, 50, 60]),
    ];
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut crashes = 0;
    for (call, whens) in calls {
        for when in whens {
            if Instant::now() > deadline {
                eprintln!("{crashes} crashes within the time of a test; the later ones were left out");
                return;
            }
            let home = Home::in_memory();
            let binary = start(home.path());
            let output = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"])
                .args(["-e", &format!("trace={call}")])
                .args(["-e", &format!("inject={call}:signal=KILL:when={when}")])
                .arg(binary.get_program())
                .args(binary.get_args())
                .env(HOME, home.path())
                .env("ROUNDS", "30")
                .stderr(Stdio::null())
                .output()
                .unwrap();
            crashes += usize::from(!output.status.success());
            let text = String::from_utf8_lossy(&output.stdout);
            let appended = text
                .lines()
                .filter_map(said)
                .next_back()
                .map_or(0, |(appended, _)| appended);
            let mut writer = home.writer_with(128 << 10);
            let next = writer.next_sequence();
            assert!(
                next > appended,
                "{call} {when}: {appended} were acknowledged, the next is {next}"
            );
            writer.append(&trades(next..=next + 2000)).unwrap();
            let mut reader = home.reader();
            let oldest = reader.oldest().sequence;
            assert_eq!(
                records(&mut reader),
                trades(oldest..=next + 2000),
                "{call} {when}"
            );
            assert!(reader.take_lost().is_empty(), "{call} {when}");
        }
    }
    eprintln!("{crashes} crashes");
    assert!(crashes > 10, "only {crashes} of the crashes happened");
}
