//! The command as a process would run it: files, the control socket, signals, a second life.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers are tests too

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn start(home: &Path, truth: &Path) -> (JoinHandle<i32>, Value) {
    let args = [
        "--home",
        home.to_str().unwrap(),
        "--venues",
        "kraken,binance",
        "--rate",
        "400",
        "--truth",
        truth.to_str().unwrap(),
    ];
    let args = args.map(str::to_owned).to_vec();
    let running = std::thread::spawn(move || sim::run(args, sim::in_run));
    let file = home.join("run/sim.json");
    let begun = Instant::now();
    while !file.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(20) && !running.is_finished(),
            "did not start"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    (running, read(&file))
}

fn ask(home: &Path, line: &str) -> Value {
    let mut stream = UnixStream::connect(home.join("run/sim.ctl")).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn ids(truth: &Path, instrument: &str) -> Vec<u64> {
    let text = fs::read_to_string(truth).unwrap();
    assert!(text.ends_with('\n'), "flushed whole lines");
    let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines
        .filter(|l| l["kind"] == "trade" && l["instrument"] == instrument)
        .map(|l| l["id"].as_u64().unwrap())
        .collect()
}

/// One test, because signals go to the whole process.
#[test]
fn lives_ends_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let truth = home.join("truth.jsonl");

    let (running, addresses) = start(home, &truth);
    assert_eq!(addresses["pid"], std::process::id());
    assert_eq!(addresses["venues"]["sim-kraken"]["protocol"], "kraken");
    assert!(
        addresses["venues"]["sim-kraken"]["url"]
            .as_str()
            .unwrap()
            .ends_with("/v2")
    );
    assert!(
        addresses["control"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    let status = ask(home, r#"{"op":"status"}"#);
    assert_eq!(
        (&status["part"], &status["state"]),
        (&json!("sim"), &json!("live"))
    );
    // The home is taken.
    let second = sim::run(
        vec!["--home".to_owned(), home.to_str().unwrap().to_owned()],
        sim::in_run,
    );
    assert_eq!(second, 1);
    while ask(home, r#"{"op":"status"}"#)["metrics"]["actions"]
        .as_u64()
        .unwrap()
        < 200
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &std::process::id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(running.join().unwrap(), 0);
    assert!(!home.join("run/sim.json").exists() && !home.join("run/sim.ctl").exists());
    let state = read(&home.join("sim/state.json"));
    assert_eq!((&state["clean"], &state["life"]), (&json!(true), &json!(1)));
    let first = ids(&truth, "BTC-USD.sim-kraken");

    let (running, _) = start(home, &truth);
    while ask(home, r#"{"op":"status"}"#)["metrics"]["actions"]
        .as_u64()
        .unwrap()
        < 200
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(home, r#"{"op":"drain"}"#)["draining"], true);
    assert_eq!(running.join().unwrap(), 0);
    let both = ids(&truth, "BTC-USD.sim-kraken");
    assert!(
        both.windows(2).all(|w| w[0] + 1 == w[1]),
        "a clean end leaves no hole and repeats nothing"
    );
    assert!(both.len() > first.len());

    assert_eq!(sim::run(vec!["--nonsense".to_owned()], sim::in_run), 2);
    assert_eq!(sim::run(vec!["--help".to_owned()], sim::in_run), 0);
    let bad = [
        "--home",
        home.to_str().unwrap(),
        "--venues",
        "kraken",
        "--speed",
        "0",
    ]
    .map(str::to_owned);
    assert_eq!(sim::run(bad.to_vec(), sim::in_run), 1);
}
