//! What the tests of relay and bridge share: a home with journals that the test writes, the parts running in
//! threads of this process, and a WebSocket client.
#![allow(dead_code)] // each test file uses its own part of this
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use feed::bridge;
use feed::relay::client::SourceOption;
use feed::{control, relay, ticket};
use futures_util::{SinkExt, StreamExt};
use journal::{Instrument, Options, Writer};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::{Decimal, Record, Side, flag};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A platform folder with journals.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens a venue for writing, with these instruments (such as `BTC-USD`); numbers as in the registry.
    pub fn venue(&self, name: &str, symbols: &[&str]) -> Venue {
        self.venue_with(name, symbols, 1 << 20, 0)
    }

    pub fn venue_with(&self, name: &str, symbols: &[&str], segment_bytes: u64, max_bytes: u64) -> Venue {
        let options = Options {
            segment_bytes,
            max_bytes,
            durable: false,
            ..Options::default()
        };
        let mut writer = Writer::open(self.path(), name, &options).unwrap();
        let numbers = add_instruments(&mut writer, name, symbols);
        Venue {
            name: name.to_owned(),
            writer,
            numbers,
            next_id: 1,
        }
    }
}

pub fn add_instruments(writer: &mut Writer, venue: &str, symbols: &[&str]) -> Vec<u32> {
    let wanted: Vec<Instrument> = symbols
        .iter()
        .map(|symbol| {
            let (base, quote) = symbol.split_once('-').unwrap();
            Instrument {
                number: 0,
                name: format!("{symbol}.{venue}"),
                symbol: symbol.replace('-', "/"),
                base: base.into(),
                quote: quote.into(),
                tick: "0.1".parse().unwrap(),
                lot: "0.0001".parse().unwrap(),
                price_scale: 1,
                size_scale: 4,
                status: "online".into(),
            }
        })
        .collect();
    writer.registry().add(&wanted).unwrap()
}

/// A journal being written.
pub struct Venue {
    pub name: String,
    pub writer: Writer,
    /// Instrument numbers in the order they were named.
    pub numbers: Vec<u32>,
    next_id: u64,
}

pub fn now_ns() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as i64
}

pub fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

impl Venue {
    /// A trade of the i-th instrument with the next id.
    pub fn trade(&mut self, i: usize, price: &str, size: &str) -> Record {
        self.next_id += 1;
        let now = now_ns();
        Record::trade(
            self.numbers[i],
            Side::Buy,
            decimal(price),
            decimal(size),
            self.next_id - 1,
        )
        .at(now, now)
        .with(flag::LAST)
    }

    /// A best bid and ask of the i-th instrument.
    pub fn quote(&self, i: usize, bid: &str, ask: &str) -> [Record; 2] {
        let now = now_ns();
        let of = |side, price: &str| {
            Record::quote(self.numbers[i], side, decimal(price), decimal("1.5")).at(now, now)
        };
        [of(Side::Buy, bid), of(Side::Sell, ask).with(flag::LAST)]
    }

    pub fn level(&self, i: usize, side: Side, price: &str, size: &str) -> Record {
        let now = now_ns();
        Record::level(self.numbers[i], side, decimal(price), decimal(size)).at(now, now)
    }

    /// Appends n trades of the i-th instrument, one frame each.
    pub fn trades(&mut self, i: usize, n: u64) {
        for _ in 0..n {
            let trade = self.trade(i, "64231.5", "0.0100");
            self.writer.append(&[trade]).unwrap();
        }
    }

    /// Epoch and sequence of the last record written.
    pub fn position(&self) -> (u32, u64) {
        (self.writer.epoch(), self.writer.next_sequence() - 1)
    }
}

/// A part running in a thread; stopped and joined when dropped.
pub struct Running {
    pub control: PathBuf,
    thread: Option<std::thread::JoinHandle<i32>>,
}

impl Running {
    fn start(home: &Path, part: &str, run: impl FnOnce() -> i32 + Send + 'static) -> Self {
        let running = Self {
            control: home.join(format!("run/{part}.ctl")),
            thread: Some(std::thread::spawn(run)),
        };
        let deadline = Instant::now() + PATIENCE;
        let data = home.join(format!("run/{part}.sock"));
        while control::ask(&running.control, &json!({"op": "status"}), PATIENCE).is_err() || !data.exists() {
            assert!(Instant::now() < deadline, "{part} did not start");
            std::thread::sleep(Duration::from_millis(2));
        }
        running
    }

    pub fn status(&self) -> Value {
        control::ask(&self.control, &json!({"op": "status"}), PATIENCE).unwrap()
    }

    pub fn ask(&self, op: &str) -> Value {
        control::ask(&self.control, &json!({ "op": op }), PATIENCE).unwrap()
    }

    /// Waits until the status fulfils a condition.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if condition(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "waited for {what}; last status {status}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Drains it; its exit code.
    pub fn stop(mut self) -> i32 {
        let _ = control::ask(&self.control, &json!({"op": "drain"}), PATIENCE);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = control::ask(&self.control, &json!({"op": "drain"}), PATIENCE);
            let _ = thread.join();
        }
    }
}

pub fn bridge_options(home: &Home) -> bridge::Options {
    bridge::Options {
        home: home.path().to_owned(),
        source: SourceOption::Journal,
        token_file: None,
        tls_ca: None,
        port: 0,
        connections_max: 4096,
        queue_bytes_max: 1 << 20,
        supervised: false,
    }
}

pub fn start_bridge(home: &Home) -> Running {
    start_bridge_with(bridge_options(home))
}

pub fn start_bridge_with(options: bridge::Options) -> Running {
    let home = options.home.clone();
    Running::start(&home, "bridge", move || bridge::run(options))
}

pub fn relay_options(home: &Home) -> relay::Options {
    relay::Options {
        home: home.path().to_owned(),
        source: SourceOption::Journal,
        listen: None,
        tls_cert: None,
        tls_key: None,
        tls_ca: None,
        insecure: false,
        token_file: None,
        from: Vec::new(),
        subscribers_max: 64,
        stall_s: 10,
        supervised: false,
    }
}

pub fn start_relay(home: &Home) -> Running {
    start_relay_with(relay_options(home))
}

pub fn start_relay_with(options: relay::Options) -> Running {
    let home = options.home.clone();
    Running::start(&home, "relay", move || relay::run(options))
}

/// A browser, as far as the bridge can tell.
pub struct Browser {
    socket: WebSocketStream<TcpStream>,
}

impl Browser {
    /// Connects with the owner's token; the hello is read.
    pub async fn open(home: &Home, bridge: &Running) -> Self {
        let mut browser = Self::connect(home, bridge, None).await;
        let hello = browser.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        browser
    }

    /// Connects with the owner's token and, if given, a small receive buffer.
    pub async fn connect(home: &Home, bridge: &Running, receive_bytes: Option<u32>) -> Self {
        let port = bridge.status()["port"].as_u64().unwrap() as u16;
        let mut request = format!("ws://127.0.0.1:{port}/stream")
            .into_client_request()
            .unwrap();
        let token = ticket::token(home.path()).unwrap();
        request.headers_mut().insert(
            "Authorization",
            HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
        );
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Self { socket }
    }

    /// Connects with these headers and nothing else.
    pub async fn with_headers<const N: usize>(port: u16, headers: [(&'static str, String); N]) -> Self {
        let mut request = format!("ws://127.0.0.1:{port}/stream")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Self { socket }
    }

    pub async fn send(&mut self, value: Value) {
        self.socket.send(Message::text(value.to_string())).await.unwrap();
    }

    pub async fn send_raw(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    /// The next message; heartbeats are left out.
    pub async fn next(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.next_any().await;
            if value["type"] != "heartbeat" {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "only heartbeats came; the last: {value}"
            );
        }
    }

    pub async fn next_any(&mut self) -> Value {
        match self.next_message().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    pub async fn next_message(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.socket.next())
            .await
            .expect("nothing came")
    }

    /// Subscribes; the answer.
    pub async fn subscribe(&mut self, mut wish: Value) -> Value {
        wish["op"] = "subscribe".into();
        self.send(wish).await;
        let answer = self.next().await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer
    }

    /// Reads to the end: the messages before the close frame, and its code.
    pub async fn rest(&mut self) -> (Vec<Value>, u16) {
        let mut values = Vec::new();
        loop {
            match self.next_message().await {
                Some(Ok(Message::Text(text))) => values.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return (values, frame.map_or(1005, |frame| CloseCode::into(frame.code)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (values, 1006),
            }
        }
    }

    /// Sequences of trades until the one given, checking the chain of `prev` on the way.
    pub async fn trades_until(&mut self, last: u64, chain: &mut Option<u64>) -> Vec<u64> {
        let mut sequences = Vec::new();
        while sequences.last() != Some(&last) {
            let message = self.next().await;
            assert_eq!(message["prev"].as_u64(), *chain, "{message}");
            *chain = message["sequence"].as_u64();
            for row in message["rows"].as_array().into_iter().flatten() {
                sequences.push(row["sequence"].as_u64().unwrap());
            }
        }
        sequences
    }
}
