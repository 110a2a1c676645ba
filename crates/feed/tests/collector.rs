//! The collector as a process of its own, against simulated venues: what it journals is what the venue did,
//! and what it misses it names.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking, its helpers too

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use journal::{Reader, Registry};
use kernels::book::Book;
use serde_json::{Value, json};
use wire::{Record, Side, cause, channel, flag, kind, status};

const LIMIT: Duration = Duration::from_secs(30);
const PROTOCOLS: [&str; 4] = ["kraken", "coinbase", "coinbase-advanced", "binance"];
const ARGS: &str = "TIDEMILL_TEST_PART";

/// Not a test: the body of the child processes that the tests below start.
#[test]
fn part() {
    if let Ok(args) = std::env::var(ARGS) {
        let args: Vec<String> = serde_json::from_str(&args).unwrap();
        std::process::exit(feed::cli::run(args));
    }
}

/// A collector process; killed when dropped.
struct Collector {
    child: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Collector {
    fn start(home: &Path, protocol: &str, venue: &Venue, extra: &[&str]) -> Self {
        let name = format!("sim-{protocol}");
        let mut args: Vec<String> = ["collector", protocol, "--name", &name, "--home"]
            .map(String::from)
            .to_vec();
        args.push(home.to_str().unwrap().into());
        args.extend(["--url", &venue.url, "--rest-url", &venue.rest_url].map(String::from));
        args.extend(extra.iter().map(|&a| a.to_owned()));
        let log = home.join("collector.log");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["part", "--exact", "--nocapture", "--test-threads=1"])
            .env(ARGS, serde_json::to_string(&args).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&log)
                    .unwrap(),
            )
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            child,
            control: home.join(format!("run/collector-{name}.ctl")),
            log,
        }
    }

    fn ask(&self, request: Value) -> Option<Value> {
        feed::control::ask(&self.control, &request, Duration::from_secs(10)).ok()
    }

    fn status(&self) -> Value {
        self.ask(json!({"op": "status"})).unwrap_or(Value::Null)
    }

    /// Waits until the status satisfies `wanted`.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "not {what} in time: {status}\n{}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn live(&self) -> Value {
        self.until("live", |status| status["state"] == "live")
    }

    /// Waits for so many more messages.
    fn messages(&self, more: u64) {
        let now = self.status()["messages"].as_u64().unwrap_or(0);
        self.until("so many messages", |status| {
            status["messages"].as_u64().is_some_and(|n| n >= now + more)
        });
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill touches no memory; the pid is that of our child, which has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for the end; the exit code.
    fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the collector does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn drain(self) {
        self.signal(libc::SIGTERM);
        let log = self.log.clone();
        assert_eq!(self.end(), Some(0), "{}", std::fs::read_to_string(log).unwrap());
    }

    fn kill(self) {
        self.signal(libc::SIGKILL);
        assert_eq!(self.end(), None);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Venue {
    url: String,
    rest_url: String,
}

/// A simulator with one venue, its truth, and a home for the collector.
struct Sim {
    runtime: tokio::runtime::Runtime,
    simulator: sim::Simulator,
    name: String,
    protocol: &'static str,
    home: tempfile::TempDir,
}

impl Sim {
    fn start(protocol: &'static str, rate: f64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = sim::Options {
            venues: vec![sim::Protocol::by_name(protocol).unwrap()],
            rate,
            truth: Some(home.path().join("truth.jsonl")),
            ..sim::Options::default()
        };
        let simulator = runtime.block_on(sim::start(options)).unwrap();
        Self {
            runtime,
            simulator,
            name: format!("sim-{protocol}"),
            protocol,
            home,
        }
    }

    fn venue(&self) -> Venue {
        let address = self.simulator.venue(self.protocol).unwrap();
        Venue {
            url: address.url.clone(),
            rest_url: address.rest_url.clone(),
        }
    }

    fn collector(&self, extra: &[&str]) -> Collector {
        Collector::start(self.home.path(), self.protocol, &self.venue(), extra)
    }

    fn fault(&self, fault: Value) {
        let _inside = self.runtime.enter();
        let mut body = fault;
        body["venue"] = json!(self.name);
        let (status, answer) = self.simulator.fault(&body);
        assert!(status < 300, "{answer}");
    }

    /// Trades of the truth log by instrument and id.
    fn truth(&self) -> BTreeMap<String, BTreeMap<u64, Value>> {
        self.simulator.flush().unwrap();
        let mut trades: BTreeMap<String, BTreeMap<u64, Value>> = BTreeMap::new();
        for line in std::fs::read_to_string(self.home.path().join("truth.jsonl"))
            .unwrap()
            .lines()
        {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["kind"] == "trade" {
                let name = line["instrument"].as_str().unwrap().to_owned();
                trades
                    .entry(name)
                    .or_default()
                    .insert(line["id"].as_u64().unwrap(), line);
            }
        }
        trades
    }

    fn journal(&self) -> Journal {
        Journal::read(self.home.path(), &self.name)
    }
}

/// Everything in a journal.
struct Journal {
    records: Vec<(u64, Record)>,
    names: BTreeMap<u32, String>,
}

impl Journal {
    fn read(home: &Path, venue: &str) -> Self {
        let names = Registry::open(home, venue)
            .unwrap()
            .instruments()
            .map(|i| (i.number, i.name.clone()))
            .collect();
        let mut reader = Reader::open(home, venue).unwrap();
        let mut records = Vec::new();
        while let Some(frame) = reader.next().unwrap() {
            records.extend((frame.header.sequence..).zip(frame.records().iter().copied()));
        }
        assert!(
            records.iter().map(|r| r.0).eq(1..=records.len() as u64),
            "sequences are dense from 1"
        );
        assert!(
            records
                .windows(2)
                .all(|pair| pair[0].1.ts_recv <= pair[1].1.ts_recv),
            "ts_recv runs back"
        );
        Self { records, names }
    }

    fn of(&self, kind: u8) -> impl Iterator<Item = &Record> {
        self.records.iter().map(|r| &r.1).filter(move |r| r.kind == kind)
    }

    fn statuses(&self) -> Vec<u64> {
        self.of(kind::STATUS)
            .filter(|r| r.instrument == 0)
            .map(|r| r.id)
            .collect()
    }

    /// Compares with the truth: every trade as the venue printed it, and each one that is not here inside a
    /// gap. Returns how many are missing.
    fn check_trades(&self, truth: &BTreeMap<String, BTreeMap<u64, Value>>) -> usize {
        let mut missing_all = 0;
        for (&number, name) in &self.names {
            let Some(true_trades) = truth.get(name) else {
                continue;
            };
            let mut present = BTreeSet::new();
            let mut covered = BTreeSet::new();
            let mut open: Option<(u64, Record)> = None;
            for (sequence, record) in self.records.iter().filter(|(_, r)| r.instrument == number) {
                match record.kind {
                    kind::TRADE => {
                        let real = &true_trades[&record.id];
                        assert_eq!(
                            record.price().to_string(),
                            real["price"].as_str().unwrap(),
                            "{name} {}",
                            record.id
                        );
                        assert_eq!(record.size().to_string(), real["size"].as_str().unwrap());
                        let side = if record.side() == Side::Buy { "buy" } else { "sell" };
                        assert_eq!(side, real["aggressor"].as_str().unwrap());
                        assert_eq!(record.ts_event, real["ts"].as_i64().unwrap());
                        assert!(
                            present.last().is_none_or(|&last| last < record.id),
                            "{name}: {} again",
                            record.id
                        );
                        assert!(open.is_none(), "{name}: a trade inside an open gap");
                        present.insert(record.id);
                    }
                    kind::GAP if record.price_scale == channel::TRADES => {
                        if record.side() == Side::Buy {
                            assert!(
                                open.replace((*sequence, *record)).is_none(),
                                "{name}: two openings"
                            );
                        } else {
                            let (opened, opening) = open.take().unwrap();
                            assert_eq!(record.id, opened);
                            if opening.price >= 0 {
                                covered.extend(opening.price as u64 + 1..record.price as u64);
                            }
                        }
                    }
                    _ => {}
                }
            }
            let (Some(&first), Some(&last)) = (present.first(), present.last()) else {
                continue;
            };
            let missing: BTreeSet<u64> = true_trades
                .range(first..=last)
                .map(|t| *t.0)
                .filter(|id| !present.contains(id))
                .collect();
            assert_eq!(missing, covered, "{name}: the gaps are not what is missing");
            missing_all += missing.len();
        }
        assert!(self.of(kind::TRADE).count() > 0, "no trades at all");
        missing_all
    }

    /// Replays each book from the beginning: whenever it claims to be valid it is not crossed.
    fn check_books(&self) -> usize {
        let mut books: BTreeMap<u32, Book> = BTreeMap::new();
        let mut valid = 0;
        for (_, record) in &self.records {
            for (_, book) in books
                .iter_mut()
                .filter(|(n, _)| record.instrument == **n || record.instrument == 0)
            {
                book.apply(record);
            }
            if record.kind == kind::CLEAR && !books.contains_key(&record.instrument) {
                books.entry(record.instrument).or_default().apply(record);
            }
            valid += books.values().filter(|book| book.valid()).count();
        }
        valid
    }
}

fn instruments(protocol: &str) -> &'static str {
    if protocol == "binance" {
        "BTC-USDT,ETH-USDT"
    } else {
        "BTC-USD,ETH-USD"
    }
}

#[test]
fn what_a_venue_does_is_what_the_journal_has() {
    for protocol in PROTOCOLS {
        let sim = Sim::start(protocol, 2_000.0);
        let collector = sim.collector(&["--instruments", instruments(protocol), "--keep-raw"]);
        collector.live();
        collector.messages(400);
        let status = collector.status();
        assert_eq!(status["gaps"], 0, "{protocol}: {status}");
        assert_eq!(status["error"], Value::Null);
        collector.until("a rate", |s| s["messages_per_s"].as_f64() > Some(0.0));
        assert!(status["lag_p50_ns"].as_i64().unwrap() > 0);
        let text = collector.ask(json!({"op": "metrics"})).unwrap();
        assert!(
            text["text"]
                .as_str()
                .unwrap()
                .contains(&format!("tidemill_collector_live{{venue=\"sim-{protocol}\"}} 1"))
        );
        collector.drain();
        let journal = sim.journal();
        assert_eq!(journal.check_trades(&sim.truth()), 0, "{protocol}");
        assert!(journal.check_books() > 0);
        let statuses = journal.statuses();
        assert_eq!(
            statuses,
            [status::CONNECTING, status::LIVE, status::CLOSED],
            "{protocol}"
        );
        assert!(journal.of(kind::TRADE).all(|r| !r.has(flag::SNAPSHOT)));
        // what was kept raw is what was counted
        let raw = sim.home.path().join(format!("raw/sim-{protocol}"));
        let file = std::fs::read_dir(raw)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "zst"));
        let text = zstd::decode_all(&std::fs::read(file.unwrap()).unwrap()[..]).unwrap();
        assert!(text.iter().filter(|b| **b == b'\n').count() >= 400);
    }
}

/// A05, A07, A09: cut, lost, doubled and swapped messages.
#[test]
fn faults_cost_no_more_than_the_gaps_say() {
    for protocol in PROTOCOLS {
        let sim = Sim::start(protocol, 2_000.0);
        let collector = sim.collector(&["--instruments", instruments(protocol)]);
        collector.live();
        collector.messages(100);
        for fault in [
            json!({"fault": "drop", "channel": "trades", "count": 5}),
            json!({"fault": "duplicate", "channel": "trades", "count": 5}),
            json!({"fault": "reorder", "channel": "trades", "count": 5}),
            json!({"fault": "drop", "channel": "book", "count": 3}),
            json!({"fault": "malformed", "channel": "trades", "count": 2}),
        ] {
            sim.fault(fault);
            collector.messages(150);
        }
        for _ in 0..3 {
            let before = collector.status()["reconnects"].as_u64().unwrap();
            sim.fault(json!({"fault": "cut"}));
            collector.until("reconnected", |s| {
                s["reconnects"].as_u64() > Some(before) && s["state"] == "live"
            });
            collector.messages(100);
        }
        let status = collector.status();
        assert!(status["gaps"].as_u64().unwrap() >= 6, "{status}");
        collector.drain();
        let causes: BTreeSet<u8> = sim.journal().of(kind::GAP).map(|r| r.size_scale).collect();
        assert!(
            causes.contains(&cause::DISCONNECT) && causes.contains(&cause::SEQUENCE_HOLE),
            "{causes:?}"
        );
        let missing = sim.journal().check_trades(&sim.truth());
        assert!(missing >= 5, "{protocol}: {missing} missing");
        assert!(sim.journal().check_books() > 0);
    }
}

/// B01: kill -9, again and again.
#[test]
fn a_killed_collector_goes_on_where_it_was() {
    let sim = Sim::start("kraken", 1_500.0);
    for round in 1..=4u64 {
        let collector = sim.collector(&["--instruments", "BTC-USD,ETH-USD"]);
        let status = collector.live();
        assert_eq!(status["epoch"], round);
        collector.messages(100);
        collector.kill();
    }
    let collector = sim.collector(&["--instruments", "BTC-USD,ETH-USD"]);
    collector.live();
    collector.messages(100);
    collector.drain();
    sim.journal().check_trades(&sim.truth());
}

/// A set that changes costs the instruments that stay nothing, and an empty one idles.
#[test]
fn a_changed_set_leaves_the_others_alone() {
    let sim = Sim::start("kraken", 1_500.0);
    let collector = sim.collector(&["--instruments", "BTC-USD"]);
    collector.live();
    let answer = collector
        .ask(json!({"op": "configure", "instruments": ["BTC-USD", "ETH-USD.sim-kraken", "ETH-USX"]}))
        .unwrap();
    assert_eq!(
        answer["instruments"],
        json!(["BTC-USD.sim-kraken", "ETH-USD.sim-kraken"])
    );
    assert!(
        answer["unknown"][0]["message"]
            .as_str()
            .unwrap()
            .contains("nearest: ETH-USD"),
        "{answer}"
    );
    collector.until("rotated", |s| s["metrics"]["rotations_total"] == 1);
    collector.messages(200);
    let status = collector.status();
    assert_eq!(
        (&status["gaps"], &status["reconnects"]),
        (&json!(0), &json!(0)),
        "{status}"
    );

    collector
        .ask(json!({"op": "configure", "instruments": []}))
        .unwrap();
    collector.until("idle", |s| s["state"] == "idle");
    collector
        .ask(json!({"op": "configure", "instruments": ["ETH-USD"]}))
        .unwrap();
    collector.live();
    collector.messages(100);
    collector.drain();
    let journal = sim.journal();
    journal.check_trades(&sim.truth());
    let eth = journal
        .names
        .iter()
        .find(|(_, name)| name.starts_with("ETH"))
        .unwrap();
    assert!(journal.of(kind::TRADE).any(|r| r.instrument == *eth.0));
}

/// A06: the venue announces the end of the connection; the next one is there before.
#[test]
fn an_announced_end_leaves_no_gap() {
    let sim = Sim::start("binance", 500.0);
    let collector = sim.collector(&["--instruments", "BTC-USDT"]);
    collector.live();
    collector.messages(50);
    sim.fault(json!({"fault": "end", "seconds": 20}));
    collector.until("rotated", |s| s["metrics"]["rotations_total"] == 1);
    collector.messages(100);
    let status = collector.status();
    assert_eq!(
        (&status["gaps"], &status["reconnects"]),
        (&json!(0), &json!(0)),
        "{status}"
    );
    collector.drain();
    assert_eq!(sim.journal().check_trades(&sim.truth()), 0);
}

/// A06: planned rotations, one after the other.
#[test]
fn planned_rotations_leave_no_gap() {
    for protocol in PROTOCOLS {
        let sim = Sim::start(protocol, 2_000.0);
        let collector = sim.collector(&["--instruments", instruments(protocol), "--rotate-s", "1"]);
        let status = collector.until("rotated", |s| s["metrics"]["rotations_total"].as_u64() >= Some(3));
        assert_eq!(
            (&status["gaps"], &status["reconnects"]),
            (&json!(0), &json!(0)),
            "{protocol}: {status}"
        );
        collector.drain();
        let journal = sim.journal();
        assert_eq!(journal.check_trades(&sim.truth()), 0);
        assert!(journal.check_books() > 0);
    }
}

/// The venue's own socket: from the first record to the last, byte for byte, for a quick reader and a slow
/// one, and neither holds the collector up.
#[test]
fn the_venues_socket_serves_what_the_journal_has() {
    use feed::relay::client::{Address, Client, Event};
    use feed::relay::protocol::{Start, Subscribe};

    let sim = Sim::start("kraken", 2_000.0);
    let collector = sim.collector(&["--instruments", "BTC-USD,ETH-USD"]);
    collector.live();
    let socket = sim.home.path().join("run/sim-kraken.sock");
    let listen = |pause: Duration| {
        let socket = socket.clone();
        std::thread::spawn(move || {
            let mut client = Client::connect(&Address::Unix(socket), None, LIMIT).unwrap();
            let names: Vec<String> = client.hello().venues.iter().map(|v| v.name.clone()).collect();
            assert_eq!(names, ["sim-kraken"]);
            let subscribe = Subscribe {
                from: Start::Oldest,
                ..Subscribe::default()
            };
            client.subscribe(&subscribe).unwrap();
            let mut records = Vec::new();
            // ends with the collector
            while let Ok(event) = client.next(Some(LIMIT)) {
                if let Some(Event::Frame(frame)) = event {
                    assert_ne!(frame.header.kind, wire::frame::kind::SKIP);
                    records.extend((frame.header.sequence..).zip(frame.records().iter().copied()));
                    std::thread::sleep(pause);
                }
            }
            records
        })
    };
    let (quick, slow) = (listen(Duration::ZERO), listen(Duration::from_micros(200)));
    collector.messages(2_000);
    collector.drain();
    let journal = sim.journal();
    assert_eq!(quick.join().unwrap(), journal.records);
    let slow = slow.join().unwrap(); // cut by the end of the process: a prefix without a hole
    assert!(slow.len() > 100 && journal.records.starts_with(&slow));
}

/// The REST interface is away: a first start waits for it, a later one goes on with the kept table.
#[test]
fn a_restart_needs_no_instrument_table() {
    let sim = Sim::start("kraken", 200.0);
    let mut nowhere = sim.venue();
    nowhere.rest_url = "http://127.0.0.1:9".into();
    let collector = Collector::start(
        sim.home.path(),
        "kraken",
        &nowhere,
        &["--instruments", "BTC-USD", "--supervised"],
    );
    let status = collector.until("in trouble", |s| s["error"]["code"] != Value::Null);
    assert_eq!(
        (&status["state"], &status["error"]["category"]),
        (&json!("starting"), &json!("upstream"))
    );
    collector.drain();
    let collector = sim.collector(&["--instruments", "BTC-USD"]);
    collector.live();
    collector.drain();
    let collector = Collector::start(sim.home.path(), "kraken", &nowhere, &["--instruments", "BTC-USD"]);
    collector.live();
    collector.messages(20);
    collector.drain();
    sim.journal().check_trades(&sim.truth());
}

#[test]
fn ends_with_its_supervisor_and_refuses_a_second_one() {
    let sim = Sim::start("kraken", 200.0);
    let mut collector = sim.collector(&["--instruments", "BTC-USD", "--supervised"]);
    collector.live();
    let second = sim.collector(&["--instruments", "BTC-USD"]);
    assert_eq!(second.end(), Some(6)); // conflict: the journal is held
    drop(
        collector
            .child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(b"x")),
    );
    assert_eq!(collector.end(), Some(0));
    assert_eq!(sim.journal().statuses().last(), Some(&status::CLOSED));
    let nobody = sim.collector(&["--instruments", "BTC-USB"]);
    assert_eq!(nobody.end(), Some(5)); // none of the names is known
    let wrong = Collector::start(
        sim.home.path(),
        "kraken",
        &Venue {
            url: "ftp://x".into(),
            rest_url: "http://127.0.0.1:9".into(),
        },
        &[],
    );
    assert_eq!(wrong.end(), Some(2));
}

/// A02, A14, A18: silence is found, an oversized message does not loop, a refusing venue is not stormed.
#[test]
fn a_silent_venue_is_left_for_a_new_connection() {
    let sim = Sim::start("kraken", 200.0);
    let collector = sim.collector(&["--instruments", "BTC-USD"]);
    collector.live();
    sim.fault(json!({"fault": "silent", "seconds": 8}));
    let begun = Instant::now();
    collector.until("reconnected", |s| s["reconnects"].as_u64() > Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10));
    collector.live();
    collector.messages(20);
    collector.drain();
    let journal = sim.journal();
    assert!(journal.statuses().contains(&status::STALE));
    journal.check_trades(&sim.truth());
}

/// What a scripted venue does with a WebSocket.
#[derive(Clone, Debug)]
enum Act {
    /// Answers 429 with this Retry-After, seconds.
    Refuse(&'static str),
    /// Accepts and sends a message of so many bytes.
    Huge(usize),
    /// Accepts and sends one message of so many bytes, a tenth of it a second, and then as `Serve`.
    Slow(usize),
    /// Accepts and sends a text that is not UTF-8.
    Garbled,
    /// Accepts and sends this, and then as `Serve`.
    Say(&'static str),
    /// Accepts, says hello and heartbeats, for ever.
    Serve,
}

/// A venue on one port that speaks just enough Kraken: refusals first, then as told.
struct Script {
    venue: Venue,
    /// When and what was asked for: "rest" or "ws".
    asked: std::sync::Arc<std::sync::Mutex<Vec<(Instant, &'static str)>>>,
    _runtime: tokio::runtime::Runtime,
}

const PAIRS: &str = r#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1","status":"online"}}}"#;

impl Script {
    fn start(rest_refusals: &'static [&'static str], acts: &'static [Act]) -> Self {
        use futures_util::SinkExt;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio_tungstenite::tungstenite::Message;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let asked: std::sync::Arc<std::sync::Mutex<Vec<(Instant, &'static str)>>> = Default::default();
        let notes = asked.clone();
        runtime.spawn(async move {
            let (mut refusals, mut acts) = (rest_refusals.iter(), acts.iter().cycle());
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0u8; 4096];
                let size = stream.peek(&mut head).await.unwrap();
                let upgrade = String::from_utf8_lossy(&head[..size])
                    .to_lowercase()
                    .contains("upgrade: websocket");
                notes
                    .lock()
                    .unwrap()
                    .push((Instant::now(), if upgrade { "ws" } else { "rest" }));
                let refusal = |after: &str| {
                    format!(
                        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"
                    )
                };
                if !upgrade {
                    let _ = stream.read(&mut head).await.unwrap();
                    let answer = match refusals.next() {
                        Some(after) => refusal(after),
                        None => format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{PAIRS}",
                            PAIRS.len()
                        ),
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    continue;
                }
                let act = acts.next().unwrap().clone();
                tokio::spawn(async move {
                    if let Act::Refuse(after) = act {
                        let _ = stream.read(&mut head).await;
                        let _ = stream.write_all(refusal(after).as_bytes()).await;
                        return;
                    }
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    match act {
                        Act::Huge(bytes) => {
                            let _ = socket.send(Message::text("x".repeat(bytes))).await;
                        }
                        Act::Slow(bytes) => {
                            let raw = socket.get_mut();
                            raw.write_all(&[0x81, 127]).await.unwrap();
                            raw.write_all(&(bytes as u64).to_be_bytes()).await.unwrap();
                            for _ in 0..10 {
                                let _ = raw.write_all(&vec![b' '; bytes / 10]).await;
                                tokio::time::sleep(Duration::from_secs(1)).await;
                            }
                        }
                        Act::Garbled => {
                            let _ = socket.get_mut().write_all(&[0x81, 2, b'{', 0xff]).await;
                        }
                        Act::Say(text) => {
                            let _ = socket.send(Message::text(text)).await;
                        }
                        Act::Refuse(_) | Act::Serve => {}
                    }
                    while socket
                        .send(Message::text(r#"{"channel":"heartbeat"}"#))
                        .await
                        .is_ok()
                    {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                });
            }
        });
        let venue = Venue {
            url: format!("ws://{address}"),
            rest_url: format!("http://{address}"),
        };
        Self {
            venue,
            asked,
            _runtime: runtime,
        }
    }

    fn times(&self, what: &str) -> Vec<Instant> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|a| a.1 == what)
            .map(|a| a.0)
            .collect()
    }
}

/// A17: neither REST nor WebSocket is asked before the time that a 429 named.
#[test]
fn a_venue_that_says_when_is_left_alone_until_then() {
    let script = Script::start(
        &["1.2", "0.7"],
        &[Act::Refuse("1.5"), Act::Refuse("0.5"), Act::Serve],
    );
    let home = tempfile::tempdir().unwrap();
    let collector = Collector::start(
        home.path(),
        "kraken",
        &script.venue,
        &["--instruments", "BTC-USD"],
    );
    collector.live();
    let (rest, ws) = (script.times("rest"), script.times("ws"));
    for (asked, pauses) in [(rest, [1.2, 0.7]), (ws, [1.5, 0.5])] {
        assert_eq!(asked.len(), 3);
        for (pair, pause) in asked.windows(2).zip(pauses) {
            assert!(
                pair[1] - pair[0] >= Duration::from_secs_f64(pause),
                "asked after {:?}",
                pair[1] - pair[0]
            );
        }
    }
    collector.drain();
}

/// A14: a message over the limit is a gap with that cause, and not a loop of reconnects.
#[test]
fn an_oversized_message_does_not_loop() {
    let script = Script::start(&[], &[Act::Huge(17 << 20)]);
    let home = tempfile::tempdir().unwrap();
    let collector = Collector::start(
        home.path(),
        "kraken",
        &script.venue,
        &["--instruments", "BTC-USD"],
    );
    let status = collector.until("in trouble", |s| s["error"]["code"] == "venue_connection");
    assert!(
        status["error"]["message"]
            .as_str()
            .unwrap()
            .contains("over this venue's limit"),
        "{status}"
    );
    let wait_ns = status["next_try_ns"].as_i64().unwrap() - feed::clock::wall_ns();
    assert!(wait_ns > 50_000_000_000, "{wait_ns}");
    assert_eq!(script.times("ws").len(), 1);
    collector.drain();
}

/// A large snapshot over a slow line takes longer than a venue may be silent; it is no silence.
#[test]
fn a_message_that_takes_its_time_arrives() {
    let script = Script::start(&[], &[Act::Slow(1_000_000)]);
    let home = tempfile::tempdir().unwrap();
    let collector = Collector::start(
        home.path(),
        "kraken",
        &script.venue,
        &["--instruments", "BTC-USD"],
    );
    let status = collector.until("delivering", |s| s["messages"].as_u64() > Some(1));
    assert_eq!(
        (&status["reconnects"], &status["attempt"]),
        (&json!(0), &json!(0)),
        "{status}"
    );
    assert_eq!(script.times("ws").len(), 1);
    collector.drain();
}

#[test]
fn a_text_that_is_none_is_counted() {
    let script = Script::start(&[], &[Act::Garbled, Act::Serve]);
    let home = tempfile::tempdir().unwrap();
    let collector = Collector::start(
        home.path(),
        "kraken",
        &script.venue,
        &["--instruments", "BTC-USD"],
    );
    let status = collector.live();
    assert_eq!(status["quarantined"], 1, "{status}");
    collector.drain();
}

/// What the venue refuses for good shows: a part that is live would say that all is well.
#[test]
fn an_instrument_that_the_venue_refuses_is_named() {
    let script = Script::start(
        &[],
        &[Act::Say(
            r#"{"method":"subscribe","success":false,"error":"Currency pair not supported BTC/USD","symbol":"BTC/USD","req_id":1}"#,
        )],
    );
    let home = tempfile::tempdir().unwrap();
    let collector = Collector::start(
        home.path(),
        "kraken",
        &script.venue,
        &["--instruments", "BTC-USD"],
    );
    let status = collector.until("refused", |s| s["state"] == "failed");
    assert_eq!(status["error"]["code"], "instrument_refused");
    assert!(status["gaps_open"].as_u64() >= Some(1), "{status}");
    assert!(
        status["error"]["message"]
            .as_str()
            .unwrap()
            .contains("BTC-USD.sim-kraken"),
        "{status}"
    );
    collector.drain();
}

/// A18: a venue that resets every connection is tried with growing pauses, and found again.
#[test]
fn a_refusing_venue_is_found_again() {
    let sim = Sim::start("kraken", 200.0);
    let collector = sim.collector(&["--instruments", "BTC-USD"]);
    collector.live();
    sim.fault(json!({"fault": "refuse", "seconds": 4}));
    sim.fault(json!({"fault": "cut"}));
    let status = collector.until("trying", |s| s["attempt"].as_u64() >= Some(2));
    assert_eq!(status["state"], "reconnecting");
    assert!(status["gaps_open"].as_u64() >= Some(1), "{status}");
    collector.live();
    collector.messages(50);
    assert_eq!(collector.status()["error"], Value::Null);
    collector.drain();
    sim.journal().check_trades(&sim.truth());
}
