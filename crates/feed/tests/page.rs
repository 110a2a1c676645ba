//! docs/wire.md is enough to write a client: its example bytes are the golden ones, and its client runs.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Home, start_relay};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/wire.md")).unwrap()
}

/// The text between a fence that begins with this and the next one.
fn block<'a>(page: &'a str, fence: &str, begins: &str) -> &'a str {
    let start = page.find(&format!("{fence}\n{begins}")).unwrap() + fence.len() + 1;
    &page[start..start + page[start..].find("```").unwrap()]
}

#[test]
fn the_dump_is_the_golden_frame() {
    let page = page();
    let bytes: Vec<u8> = block(&page, "```", "0000  54")
        .lines()
        .flat_map(|line| {
            line[6..54]
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    let golden = std::fs::read_to_string(repository().join("vectors/wire/frames.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(golden[0]["hex"], hex);
    assert!(wire::frame::decode(&bytes).is_ok());
}

#[test]
fn the_client_reads_what_was_written() {
    let page = page();
    let code = block(&page, "```python", "import json");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if Command::new(&python).arg("--version").output().is_err() {
        skip::because(format_args!("there is no {python}"));
        return;
    }
    let home = Home::new();
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    venue.trades(0, 2);
    let quote = venue.quote(1, "3100.1", "3100.2");
    venue.writer.append(&quote).unwrap();
    drop(venue); // a new epoch begins below
    let mut venue = home.venue("sim-kraken", &["BTC-USD", "ETH-USD"]);
    venue.trades(1, 1);
    let relay = start_relay(&home);
    let script = home.path().join("client.py");
    std::fs::write(&script, code).unwrap();
    let mut child = Command::new(python)
        .arg(&script)
        .arg(home.path().join("run/relay.sock"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().map(|line| line.unwrap());
    assert_eq!(next().as_deref(), Some("1 BTC-USD.sim-kraken buy 64231.5 0.0100"));
    assert_eq!(next().as_deref(), Some("2 BTC-USD.sim-kraken buy 64231.5 0.0100"));
    assert_eq!(next().as_deref(), Some("5 ETH-USD.sim-kraken buy 64231.5 0.0100"));
    venue.trades(0, 1);
    assert_eq!(next().as_deref(), Some("6 BTC-USD.sim-kraken buy 64231.5 0.0100"));
    // What comes after the hello has a name too.
    let numbers = support::add_instruments(&mut venue.writer, "sim-kraken", &["SOL-USD"]);
    venue.numbers.extend(numbers);
    venue.trades(2, 1);
    assert_eq!(next().as_deref(), Some("7 SOL-USD.sim-kraken buy 64231.5 0.0100"));
    home.venue("sim-coinbase", &["BTC-USD"]).trades(0, 1);
    assert_eq!(
        next().as_deref(),
        Some("1 BTC-USD.sim-coinbase buy 64231.5 0.0100")
    );
    drop(relay); // the client sees the end and ends
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
