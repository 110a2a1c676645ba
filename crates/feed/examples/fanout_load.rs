//! Load for relay and bridge: how fast a record reaches a subscriber, and how many messages a second the
//! bridge delivers.
//!
//! ```text
//! fanout_load relay  --rate 10000 --seconds 5 --subscribers 1
//! fanout_load bridge --rate 20000 --seconds 5 --clients 1000 --instruments 1
//! fanout_load listen --port 8000 --clients 1000
//! ```
//!
//! Each part runs in a process of its own. Prints one line of JSON.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a measurement that cannot go on stops

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use feed::relay::client::{Address, Client, Event, Subscribe};
use feed::{control, ticket};
use journal::{From, Instrument, Options, Reader, Writer};
use serde_json::{Value, json};
use wire::frame::kind;
use wire::{Decimal, Record, Side, flag};

const VENUE: &str = "sim-load";

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

struct Part(Child);

impl Part {
    fn start(home: &Path, part: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["part", part, "--home", home.to_str().unwrap(), "--supervised"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while control::ask(
            &home.join(format!("run/{part}.ctl")),
            &json!({"op": "status"}),
            Duration::from_secs(1),
        )
        .is_err()
            || !home.join(format!("run/{part}.sock")).exists()
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        Self(child)
    }

    /// Processor time used so far, seconds, and resident memory, MiB.
    fn used(&self) -> (f64, f64) {
        let id = self.0.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields: Vec<f64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        let seconds = (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / 100.0;
        (seconds, fields.get(21).unwrap_or(&0.0) * 4096.0 / 1_048_576.0)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.0.stdin.take()); // its supervisor is gone
        let _ = self.0.wait();
    }
}

fn journal(home: &Path, instruments: usize) -> (Writer, Vec<u32>) {
    let options = Options {
        durable: false,
        max_bytes: 1 << 30,
        ..Options::default()
    };
    let mut writer = Writer::open(home, VENUE, &options).unwrap();
    let wanted: Vec<Instrument> = (0..instruments)
        .map(|i| Instrument {
            number: 0,
            name: format!("C{i}-USD.{VENUE}"),
            symbol: format!("C{i}/USD"),
            base: format!("C{i}"),
            quote: "USD".into(),
            tick: Decimal::new(1, 1),
            lot: Decimal::new(1, 4),
            price_scale: 1,
            size_scale: 4,
            status: "online".into(),
        })
        .collect();
    let numbers = writer.registry().add(&wanted).unwrap();
    (writer, numbers)
}

/// Appends trades at a rate for a while; how many.
fn write(mut writer: Writer, numbers: &[u32], rate: u64, seconds: f64) -> (Writer, u64) {
    let begin = Instant::now();
    let mut written = 0;
    while begin.elapsed().as_secs_f64() < seconds {
        let due = (begin.elapsed().as_secs_f64() * rate as f64) as u64;
        if written >= due {
            std::thread::sleep(Duration::from_secs_f64((1.0 / rate as f64).min(0.001)));
            continue;
        }
        while written < due {
            let now = now_ns();
            let i = written as usize % numbers.len();
            let trade = Record::trade(
                numbers[i],
                Side::Buy,
                Decimal::new(642_315, 1),
                Decimal::new(114, 4),
                written,
            )
            .at(now, now)
            .with(flag::LAST);
            writer.append(&[trade]).unwrap();
            written += 1;
        }
    }
    (writer, written)
}

fn quantiles(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let at =
        |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1)));
    json!({"count": values.len(), "p50_us": at(0.5).map(|ns| ns / 1000), "p99_us": at(0.99).map(|ns| ns / 1000),
           "p999_us": at(0.999).map(|ns| ns / 1000)})
}

fn relay(options: &HashMap<String, u64>) -> Value {
    let (rate, seconds, count) = (options["rate"], options["seconds"] as f64, options["subscribers"]);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (writer, numbers) = journal(home, 1);
    let part = Part::start(home, "relay");
    let ended = Arc::new(AtomicBool::new(false));
    let subscribers: Vec<_> = (0..count)
        .map(|_| {
            let mut client = Client::connect(
                &Address::Unix(home.join("run/relay.sock")),
                None,
                Duration::from_secs(5),
            )
            .unwrap();
            client.subscribe(&Subscribe::default()).unwrap();
            let ended = ended.clone();
            std::thread::spawn(move || {
                let mut delays = Vec::new();
                while !ended.load(Relaxed) {
                    if let Ok(Some(Event::Frame(found))) = client.next(Some(Duration::from_millis(100)))
                        && found.header.kind == kind::RECORDS
                    {
                        let now = now_ns();
                        delays.extend(found.records().iter().map(|record| now - record.ts_recv));
                    }
                }
                delays
            })
        })
        .collect();
    // One more reads the journal in place, for comparison.
    let (place, in_place_ended) = (home.to_owned(), ended.clone());
    let in_place = std::thread::spawn(move || {
        let mut reader = Reader::open(&place, VENUE).unwrap();
        reader.seek(From::Newest).unwrap();
        let mut delays = Vec::new();
        while !in_place_ended.load(Relaxed) {
            while let Ok(Some(found)) = reader.next() {
                let now = now_ns();
                delays.extend(found.records().iter().map(|record| now - record.ts_recv));
            }
            reader.wait(Duration::from_millis(100));
        }
        delays
    });
    std::thread::sleep(Duration::from_millis(300));
    let (before, _) = part.used();
    let (_writer, written) = write(writer, &numbers, rate, seconds);
    std::thread::sleep(Duration::from_millis(300));
    let (after, rss) = part.used();
    ended.store(true, Relaxed);
    let delays: Vec<Vec<i64>> = subscribers.into_iter().map(|one| one.join().unwrap()).collect();
    let whole = delays.iter().all(|one| one.len() as u64 == written);
    json!({"part": "relay", "rate": rate, "subscribers": count, "written": written, "all_complete": whole,
           "relay": quantiles(delays.concat()), "journal_in_place": quantiles(in_place.join().unwrap()),
           "relay_cpu_s": after - before, "relay_cpu_ns_per_delivery": (after - before) * 1e9 / (written * count) as f64,
           "relay_rss_mib": rss})
}

/// Reads up to the end of these words, and no further.
fn hear(stream: &mut TcpStream, words: &[u8]) {
    let mut seen = Vec::new();
    let mut byte = [0; 1];
    while !seen.ends_with(words) {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

fn open(port: u64, token: &str, wish: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
    write!(
        stream,
        "GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    hear(&mut stream, b"\r\n\r\n"); // some servers lose what comes before they have answered
    let text = wish.to_string();
    assert!(text.len() < 126);
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).unwrap();
    hear(&mut stream, b"\"subscribed\"}"); // "type" is the last field
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Cuts a server's bytes into frames; only their lengths are looked at, and of some the time of a trade.
#[derive(Default)]
struct Counter {
    /// Bytes of the frame in progress that have not come.
    left: usize,
    head: Vec<u8>,
    frames: u64,
}

impl Counter {
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                continue;
            }
            if self.head.is_empty() && bytes.len() >= 4 {
                let (length, header) = match bytes[1] {
                    126 => (u16::from_be_bytes([bytes[2], bytes[3]]) as usize, 4),
                    127 => (0, 0),
                    short => (short as usize, 2),
                };
                if header > 0 {
                    self.frames += 1;
                    if bytes.len() >= header + length {
                        each(&bytes[header..header + length]);
                        bytes = &bytes[header + length..];
                    } else {
                        self.left = length - (bytes.len() - header);
                        bytes = &[];
                    }
                    continue;
                }
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let (length, header) = match self.head.as_slice() {
                [_, 126, a, b] => (u16::from_be_bytes([*a, *b]) as usize, 4),
                [_, 127, rest @ ..] if rest.len() == 8 => {
                    (u64::from_be_bytes(rest.try_into().unwrap()) as usize, 10)
                }
                [_, short] if *short < 126 => (*short as usize, 2),
                _ => (0, 0),
            };
            if header > 0 {
                self.frames += 1;
                self.left = length;
                self.head.clear();
            }
        }
    }
}

/// What a crowd of clients has heard.
struct Heard {
    frames: u64,
    /// From a record's arrival time to its client, ns; the newest message of a read stands for it.
    delays: Vec<i64>,
    /// When the first and the last frame came.
    span: Option<(Instant, Instant)>,
    /// Clients the server has closed.
    closed: usize,
}

impl Heard {
    fn deliveries_per_s(&self) -> u64 {
        let seconds = self
            .span
            .map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
        if seconds > 0.0 {
            (self.frames as f64 / seconds) as u64
        } else {
            0
        }
    }
}

/// Clients that listen, in one thread.
struct Crowd {
    ended: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    reading: std::thread::JoinHandle<Heard>,
}

impl Crowd {
    fn gather(port: u64, token: &str, count: usize) -> Self {
        let wish = json!({"op": "subscribe", "id": 1, "venues": [VENUE], "channels": ["trades"]});
        let streams: Vec<TcpStream> = (0..count).map(|_| open(port, token, &wish)).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicU64::new(0));
        let (reading_ended, counted) = (ended.clone(), received.clone());
        let reading = std::thread::spawn(move || listen(streams, &reading_ended, &counted));
        Self {
            ended,
            received,
            reading,
        }
    }

    fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    fn leave(self) -> Heard {
        self.ended.store(true, Relaxed);
        self.reading.join().unwrap()
    }
}

/// The arrival time inside a trade's text.
fn ts_recv(text: &[u8]) -> Option<i64> {
    let place = text.windows(11).position(|window| window == b"\"ts_recv\":\"")?;
    let digits = text.get(place + 11..place + 30)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn listen(mut streams: Vec<TcpStream>, ended: &AtomicBool, received: &AtomicU64) -> Heard {
    // SAFETY: takes nothing, makes a descriptor.
    let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(0)) };
    for (at, stream) in streams.iter().enumerate() {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: at as u64,
        };
        // SAFETY: both descriptors are open, the event lives through the call.
        unsafe {
            libc::epoll_ctl(
                epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                &raw mut event,
            )
        };
    }
    let mut ready = vec![libc::epoll_event { events: 0, u64: 0 }; 256];
    let mut counters: Vec<Counter> = streams.iter().map(|_| Counter::default()).collect();
    let mut buffer = vec![0u8; 256 * 1024];
    let mut heard = Heard {
        frames: 0,
        delays: Vec::new(),
        span: None,
        closed: 0,
    };
    while !ended.load(Relaxed) {
        // SAFETY: the array lives through the call and has as many places as it is told.
        let count =
            unsafe { libc::epoll_wait(epoll.as_raw_fd(), ready.as_mut_ptr(), ready.len() as i32, 100) };
        for event in &ready[..count.max(0) as usize] {
            let at = event.u64 as usize;
            let Ok(read) = streams[at].read(&mut buffer) else {
                continue;
            };
            if read == 0 {
                heard.closed += 1;
                let mut none = libc::epoll_event { events: 0, u64: 0 };
                // SAFETY: as above.
                unsafe {
                    libc::epoll_ctl(
                        epoll.as_raw_fd(),
                        libc::EPOLL_CTL_DEL,
                        streams[at].as_raw_fd(),
                        &raw mut none,
                    )
                };
                continue;
            }
            let (mut newest, before) = (None, counters[at].frames);
            counters[at].push(&buffer[..read], |payload| newest = ts_recv(payload).or(newest));
            let frames = counters[at].frames - before;
            heard.frames += frames;
            received.fetch_add(frames, Relaxed);
            if let Some(ts) = newest {
                heard.delays.push(now_ns() - ts);
            }
            let now = Instant::now();
            heard.span = Some((heard.span.map_or(now, |(first, _)| first), now));
        }
    }
    heard
}

/// The crowd of [`bridge`] at another server, which answers their first words with `{"type":"subscribed"}`.
fn listen_to(options: &HashMap<String, u64>) -> Value {
    let crowd = Crowd::gather(options["port"], "none", options["clients"] as usize);
    println!("ready");
    std::io::stdin().lock().lines().next();
    let heard = crowd.leave();
    json!({"frames": heard.frames, "closed": heard.closed, "deliveries_per_s": heard.deliveries_per_s(),
           "record_to_client": quantiles(heard.delays)})
}

fn bridge(options: &HashMap<String, u64>) -> Value {
    let (rate, seconds) = (options["rate"], options["seconds"] as f64);
    let count = options["clients"] as usize;
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (writer, numbers) = journal(home, options["instruments"] as usize);
    let part = Part::start(home, "bridge");
    let status = || {
        control::ask(
            &home.join("run/bridge.ctl"),
            &json!({"op": "status"}),
            Duration::from_secs(10),
        )
        .unwrap()
    };
    let port = status()["port"].as_u64().unwrap();
    let crowd = Crowd::gather(port, &ticket::token(home).unwrap(), count);
    let (cpu_before, rss_before) = part.used();
    let (_writer, written) = write(writer, &numbers, rate, seconds);
    let wanted = written * count as u64;
    let deadline = Instant::now() + Duration::from_secs(10);
    while crowd.received() < wanted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (cpu_after, rss_after) = part.used();
    let metrics = status()["metrics"].clone();
    let heard = crowd.leave();
    let delivered = metrics["messages"].as_u64().unwrap_or(0);
    json!({"part": "bridge", "rate": rate, "clients": count, "written": written, "delivered": delivered,
           "deliveries_per_s": heard.deliveries_per_s(), "closed": heard.closed,
           "record_to_client": quantiles(heard.delays),
           "messages_per_write": delivered as f64 / metrics["writes"].as_f64().unwrap_or(1.0),
           "bridge_cpu_s": cpu_after - cpu_before, "bridge_cpu_ns_per_delivery": (cpu_after - cpu_before) * 1e9 / delivered as f64,
           "rss_mib": [rss_before, rss_after], "metrics": metrics})
}

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    if what == "part" {
        std::process::exit(feed::cli::run(args.collect()));
    }
    let mut options = HashMap::from(
        [
            ("rate", 10_000),
            ("seconds", 5),
            ("subscribers", 1),
            ("clients", 1000),
            ("instruments", 1),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        options.insert(name.trim_start_matches('-').to_owned(), value.parse().unwrap());
    }
    println!(
        "{}",
        match what.as_str() {
            "relay" => relay(&options),
            "bridge" => bridge(&options),
            "listen" => listen_to(&options),
            _ => panic!("relay, bridge or listen"),
        }
    );
}
