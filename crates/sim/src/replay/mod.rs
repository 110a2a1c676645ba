//! Replay: a venue that plays a recording, word for word, to a client that connects and subscribes.
//!
//! What is played is what the venue sent. Only answers to requests are made here, because they must name the
//! client's own request: Kraken's acknowledgements, status and pongs, Binance's `{"result":null}`. On Binance and
//! Kraken a client gets the streams that it subscribed to; Coinbase numbers all messages of a connection, so there
//! a client gets everything. Playing begins [`SETTLE`] after the newest subscription. A recorded reconnect cuts the
//! client and waits for it to come back; a client that leaves by itself finds the recording where it left it.

mod infer;
mod recording;

use crate::http::{self, Incoming, Request, Response};
use crate::hub::Line;
use crate::log;
use crate::market::Market;
use crate::number::push_time;
use crate::pipe::Pipe;
use crate::protocols::{Context, Feed, feed, quoted};
use crate::server::{accept, refuse, upgrade};
use crate::spec::Protocol;
use crate::truth::Truth;
use crate::world::failure;
use futures_util::{SinkExt, StreamExt};
use infer::{About, Seen};
use recording::{Item, Message as Recorded, Rest};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use wire::Decimal;

/// Clients subscribe in several messages: playing waits until there was none for this long.
const SETTLE: Duration = Duration::from_millis(300);
/// How long playing waits at a REST snapshot for the client to ask for it.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(20);
/// Diffs kept for books whose snapshot is still to come.
const EARLY_MAX: usize = 10_000;
/// Read ahead of the client.
const AHEAD: usize = 1_024;

/// What one pass over the file found.
struct Survey {
    messages: u64,
    seen: Seen,
    rest: Vec<Rest>,
    /// Number of the last message of each connection.
    last_of: HashMap<u64, u64>,
}

fn survey(path: &Path, protocol: Protocol) -> Result<Survey, String> {
    let mut survey = Survey {
        messages: 0,
        seen: Seen::new(),
        rest: Vec::new(),
        last_of: HashMap::new(),
    };
    for item in recording::open(path)? {
        match item? {
            Item::Message(message) => {
                survey.messages += 1;
                survey.last_of.insert(message.connection, survey.messages);
                infer::note(protocol, &message.text, &mut survey.seen);
            }
            Item::Rest(rest) => survey.rest.push(rest),
        }
    }
    if survey.messages == 0 {
        return Err(format!("recording {} holds no message", path.display()));
    }
    // A depth snapshot without a symbol is of the only instrument, or of nobody knows which.
    let only = (survey.seen.len() == 1)
        .then(|| survey.seen.keys().next().cloned())
        .flatten();
    for rest in &mut survey.rest {
        if rest.symbol.is_none() && rest.path.ends_with("/depth") {
            rest.symbol.clone_from(&only);
        }
        if let (Some(symbol), true) = (&rest.symbol, rest.path.ends_with("/depth")) {
            infer::depth_scales(&rest.body, symbol, &mut survey.seen);
        }
    }
    Ok(survey)
}

/// A Binance book as far as it was played: a later snapshot must not be older than the stream.
struct Book {
    update: u64,
    /// Price in 10^−18 → (price, size) as printed.
    sides: [BTreeMap<i128, (String, String)>; 2],
}

#[derive(Deserialize)]
struct Depth<'a> {
    #[serde(rename = "lastUpdateId")]
    update: u64,
    #[serde(borrow)]
    bids: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    asks: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Book {
    fn new(body: &str) -> Option<Self> {
        let depth: Depth<'_> = serde_json::from_str(body).ok()?;
        let mut book = Self {
            update: depth.update,
            sides: Default::default(),
        };
        for (side, levels) in [depth.bids, depth.asks].into_iter().enumerate() {
            for (price, size) in levels {
                book.set(side, &price, &size);
            }
        }
        Some(book)
    }

    fn set(&mut self, side: usize, price: &str, size: &str) {
        let Ok(value) = Decimal::parse(price.as_bytes()) else {
            return;
        };
        let key = i128::from(value.mantissa) * 10i128.pow(18 - u32::from(value.scale));
        if Decimal::parse(size.as_bytes()).is_ok_and(Decimal::is_zero) {
            self.sides[side].remove(&key);
        } else {
            self.sides[side].insert(key, (price.to_owned(), size.to_owned()));
        }
    }

    /// Applies a diff, unless the book is newer.
    fn apply(&mut self, event: &infer::BinanceEvent<'_>) {
        let Some(update) = event.last_update.filter(|u| *u > self.update) else {
            return;
        };
        for (side, levels) in event.levels().iter().enumerate() {
            for (price, size) in levels {
                self.set(side, price, size);
            }
        }
        self.update = update;
    }

    fn body(&self, limit: usize) -> String {
        let mut text = format!("{{\"lastUpdateId\":{},\"bids\":[", self.update);
        push_levels(&mut text, self.sides[0].values().rev().take(limit));
        text.push_str("],\"asks\":[");
        push_levels(&mut text, self.sides[1].values().take(limit));
        text.push_str("]}");
        text
    }
}

fn push_levels<'a>(text: &mut String, levels: impl Iterator<Item = &'a (String, String)>) {
    for (price, size) in levels {
        text.push_str(if text.ends_with(']') { ",[\"" } else { "[\"" });
        text.push_str(price);
        text.push_str("\",\"");
        text.push_str(size);
        text.push_str("\"]");
    }
}

/// Shared by the connections of a replay.
struct Stage {
    market: Market,
    feed: Box<dyn Feed>,
    rest: Vec<Rest>,
    books: BTreeMap<String, Book>,
    /// Diffs played before there was a book to apply them to: (symbol, payload).
    early: VecDeque<(String, String)>,
    /// Symbols whose depth was asked for.
    asked: BTreeSet<String>,
    replayed: u64,
    sent: u64,
    begun: bool,
    done: bool,
    failed: Option<String>,
    connections: u64,
}

/// A replay of one recording.
pub struct Replay {
    stage: Mutex<Stage>,
    /// A client asked for a snapshot.
    asked: Notify,
    /// The recording, read by a thread; taken by the connection that plays.
    player: tokio::sync::Mutex<Player>,
    protocol: Protocol,
    file: PathBuf,
    messages: u64,
    speed: f64,
}

struct Player {
    items: mpsc::Receiver<Result<Item, String>>,
    /// Read from the file but not yet due.
    pending: Option<Item>,
    number: u64,
    connection: Option<u64>,
    /// Connections that have been played.
    played: HashSet<u64>,
    last_of: HashMap<u64, u64>,
    /// When the first message was played, and its recorded time.
    origin: Option<(Instant, i64)>,
}

impl Replay {
    /// Surveys the recording and starts to read it. Blocks while it surveys.
    pub fn open(path: &Path, protocol: Protocol, speed: f64) -> Result<Arc<Self>, String> {
        let survey = survey(path, protocol)?;
        let specs = infer::specs(protocol, &survey.seen);
        let count = specs.len();
        let market = Market::empty(protocol, specs, log::wall_ns());
        let items = merged(path, survey.rest.clone())?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || {
                for item in items {
                    if sender.blocking_send(item).is_err() {
                        return; // the replay is over
                    }
                }
            })
            .map_err(|error| format!("cannot start a thread for the recording: {error}"))?;
        Ok(Arc::new(Self {
            stage: Mutex::new(Stage {
                feed: feed(protocol, count),
                market,
                rest: survey.rest,
                books: BTreeMap::new(),
                early: VecDeque::new(),
                asked: BTreeSet::new(),
                replayed: 0,
                sent: 0,
                begun: false,
                done: false,
                failed: None,
                connections: 0,
            }),
            asked: Notify::new(),
            player: tokio::sync::Mutex::new(Player {
                items: receiver,
                pending: None,
                number: 0,
                connection: None,
                played: HashSet::new(),
                last_of: survey.last_of,
                origin: None,
            }),
            protocol,
            file: path.to_owned(),
            messages: survey.messages,
            speed,
        }))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, sent: bool) {
        let mut stage = self.stage();
        stage.replayed += 1;
        stage.sent += u64::from(sent);
    }

    /// Answer of `GET /status`.
    pub fn status(&self) -> Value {
        let stage = self.stage();
        json!({
            "replay": self.file.display().to_string(),
            "venue": stage.market.venue,
            "instruments": stage.market.instruments.iter().map(|i| &i.spec.id).collect::<Vec<_>>(),
            "messages": self.messages,
            "replayed": stage.replayed,
            "sent": stage.sent,
            "begun": stage.begun,
            "done": stage.done,
            "error": stage.failed,
            "connections": stage.connections,
        })
    }

    /// A REST request: the book as far as played, what was recorded, or the listing that the recording implies.
    fn get(&self, request: &Request) -> Response {
        let mut stage = self.stage();
        let stage = &mut *stage;
        stage.market.now_ns = log::wall_ns();
        let symbol = request.param("symbol");
        if request.path.ends_with("/depth")
            && let Some(symbol) = symbol
        {
            let limit = request
                .number("limit", 1, 100, i64::MAX)
                .unwrap_or(100)
                .min(5_000) as usize;
            let body = stage.books.get(symbol).map(|book| book.body(limit)).or_else(|| {
                // Before its place in the recording the first snapshot is the newest there is.
                let rest = &stage.rest;
                rest.iter()
                    .find(|r| r.path.ends_with("/depth") && r.symbol.as_deref() == Some(symbol))
                    .map(|r| r.body.clone())
            });
            if let Some(body) = body {
                stage.asked.insert(symbol.to_owned());
                self.asked.notify_one();
                return Response::ok(body);
            }
        }
        let recorded = stage.rest.iter().find(|r| {
            r.path == request.path
                && !r.path.ends_with("/depth")
                && (r.symbol.is_none() || r.symbol.as_deref() == symbol)
        });
        if let Some(recorded) = recorded {
            return Response::ok(recorded.body.clone());
        }
        let mut hub = crate::hub::Hub::default();
        let mut truth = Truth::none();
        let mut context = Context {
            market: &mut stage.market,
            hub: &mut hub,
            truth: &mut truth,
        };
        stage.feed.get(&mut context, request)
    }
}

/// The messages in their order, with the REST answers at their times between them.
fn merged(path: &Path, mut rest: Vec<Rest>) -> Result<recording::Items, String> {
    rest.sort_by_key(|r| r.ts_ns);
    let mut rest = rest.into_iter().peekable();
    let mut messages = recording::open(path)?
        .filter(|item| !matches!(item, Ok(Item::Rest(_))))
        .peekable();
    Ok(Box::new(std::iter::from_fn(move || {
        let next_ns = match messages.peek() {
            Some(Ok(Item::Message(message))) => message.ts_ns,
            _ => i64::MAX,
        };
        match rest.next_if(|r| r.ts_ns <= next_ns) {
            Some(rest) => Some(Ok(Item::Rest(rest))),
            None => messages.next(),
        }
    })))
}

/// Serves the venue of a replay until the task is dropped.
pub async fn serve(listener: TcpListener, replay: Arc<Replay>) {
    loop {
        let Some(stream) = accept(&listener).await else {
            continue;
        };
        let replay = replay.clone();
        tokio::spawn(async move {
            let mut pipe = Pipe::new(stream, Arc::new(Line::default()));
            let mut buffer = Vec::new();
            loop {
                let request = match http::read(&mut pipe, &mut buffer).await {
                    Incoming::Request(request) => request,
                    Incoming::Gone => return,
                    Incoming::Bad(bad) => return refuse(&mut pipe, bad).await,
                };
                if request.is_websocket() {
                    if let Some(socket) = upgrade(pipe, buffer, &request).await {
                        replay.stage().connections += 1;
                        let connection = Connection::new(replay.clone(), socket, &request);
                        connection.run().await;
                        replay.stage().connections -= 1;
                    }
                    return;
                }
                let response = replay.get(&request);
                if !matches!(http::write(&mut pipe, Some(&request), &response).await, Ok(true)) {
                    return;
                }
            }
        });
    }
}

/// Answer of the control port of a replay.
pub fn control(replay: &Replay, request: &Request) -> Response {
    match (request.method.as_str(), request.path.trim_end_matches('/')) {
        ("GET", "/status") => Response::ok(replay.status().to_string()),
        (_, "/faults") => failure(
            409,
            "a replay plays what was recorded; faults are for simulated venues",
        ),
        (_, path) => failure(404, &format!("nothing at '{path}'; have: /status")),
    }
}

/// One client of a replay.
struct Connection {
    replay: Arc<Replay>,
    socket: WebSocketStream<Pipe>,
    /// (channel, symbol) that the client takes; on Coinbase everything goes out anyway.
    takes: HashSet<(String, String)>,
    /// Binance: stream names as the client spells them.
    streams: Vec<String>,
    combined: bool,
    /// When the newest subscription came.
    subscribed: Option<Instant>,
}

/// Channel and symbol of a stream of Binance: `btcusdt@kline_1m`.
fn meaning(stream: &str) -> (String, String) {
    let mut parts = stream.split('@');
    let symbol = parts.next().unwrap_or_default().to_ascii_uppercase();
    let topic = parts.next().unwrap_or_default();
    let channel = topic.split('_').next().unwrap_or_default();
    (channel.to_owned(), symbol)
}

/// What a connection does next.
enum Next {
    Go,
    Stop,
}

impl Connection {
    fn new(replay: Arc<Replay>, socket: WebSocketStream<Pipe>, request: &Request) -> Self {
        let combined = request.path.trim_end_matches('/') == "/stream";
        let mut connection = Self {
            replay,
            socket,
            takes: HashSet::new(),
            streams: Vec::new(),
            combined,
            subscribed: None,
        };
        if connection.replay.protocol == Protocol::Binance {
            let names = if combined {
                request.param("streams").unwrap_or_default()
            } else {
                request.path.strip_prefix("/ws/").unwrap_or_default()
            };
            for name in names.split('/').filter(|name| name.contains('@')) {
                connection.take_stream(name);
            }
        }
        connection
    }

    fn take_stream(&mut self, name: &str) {
        self.takes.insert(meaning(name));
        self.streams.push(name.to_owned());
        self.subscribed = Some(Instant::now());
    }

    /// Another stream may bring the same messages: `depth` and `depth@100ms`.
    fn leave_stream(&mut self, name: &str) {
        self.streams.retain(|taken| taken != name);
        self.takes = self.streams.iter().map(|taken| meaning(taken)).collect();
    }

    async fn run(mut self) {
        if self.replay.protocol == Protocol::Kraken
            && self
                .send(
                    "{\"channel\":\"status\",\"type\":\"update\",\"data\":[{\"version\":\"2.0.10\",\"system\":\"online\",\
                     \"api_version\":\"v2\",\"connection_id\":9007199254740993}]}"
                        .to_owned(),
                )
                .await
                .is_err()
        {
            return;
        }
        let replay = self.replay.clone();
        // Wait for a subscription, then for the turn to play: one client at a time does.
        let mut player = loop {
            let quiet = self.subscribed.map(|at| SETTLE.saturating_sub(at.elapsed()));
            tokio::select! {
                message = self.socket.next() => {
                    if matches!(self.receive(message).await, Next::Stop) {
                        return;
                    }
                }
                () = tokio::time::sleep(quiet.unwrap_or_default()), if quiet.is_some() => {
                    if let Ok(player) = replay.player.try_lock() {
                        break player;
                    }
                    self.subscribed = Some(Instant::now()); // somebody else plays: look again later
                }
            }
        };
        replay.stage().begun = true;
        let finished = self.play(&mut player).await;
        drop(player);
        if finished {
            self.idle().await;
        }
    }

    /// Plays until the recording ends (true) or the connection does (false).
    async fn play(&mut self, player: &mut Player) -> bool {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await;
        let mut unflushed = 0;
        loop {
            if player.pending.is_none() {
                let next = match player.items.try_recv() {
                    Ok(item) => Some(item),
                    Err(_) => {
                        if unflushed > 0 && self.socket.flush().await.is_err() {
                            return false;
                        }
                        unflushed = 0;
                        player.items.recv().await
                    }
                };
                match next {
                    Some(Ok(item)) => player.pending = Some(item),
                    Some(Err(why)) => {
                        log::error(&why, &[]);
                        self.replay.stage().failed = Some(why);
                    }
                    None => {
                        let flushed = self.socket.flush().await.is_ok();
                        self.replay.stage().done = true;
                        return flushed;
                    }
                }
                continue;
            }
            let wait = player.wait(self.replay.speed);
            if !wait.is_zero() || unflushed >= 256 {
                if self.socket.flush().await.is_err() {
                    return false;
                }
                unflushed = 0;
            }
            tokio::select! {
                biased;
                message = self.socket.next() => {
                    if matches!(self.receive(message).await, Next::Stop) {
                        return false;
                    }
                    continue;
                }
                _ = ping.tick(), if self.replay.protocol == Protocol::Binance => {
                    if self.socket.send(Message::Ping(Bytes::from_static(b"replay"))).await.is_err() {
                        return false;
                    }
                    continue;
                }
                () = sleep_or_go(wait) => {}
            }
            match player.pending.take() {
                Some(Item::Rest(rest)) => {
                    let flushed = self.socket.flush().await.is_ok();
                    if !flushed || matches!(self.pass_snapshot(rest).await, Next::Stop) {
                        return false;
                    }
                }
                Some(Item::Message(message)) => {
                    if player.reconnects(&message) {
                        player.pending = Some(Item::Message(message));
                        // What came before the recorded end arrives; whether it does is the client's affair.
                        let _ = self.socket.flush().await;
                        return false;
                    }
                    player.number += 1;
                    let outgoing = self.outgoing(&message);
                    self.replay.count(outgoing.is_some());
                    if let Some(text) = outgoing {
                        unflushed += 1;
                        if self.socket.feed(Message::text(text)).await.is_err() {
                            return false;
                        }
                    }
                }
                None => {}
            }
        }
    }

    /// At the place of a REST snapshot the stream waits until the client has it, if it wants it at all.
    async fn pass_snapshot(&mut self, rest: Rest) -> Next {
        let (true, Some(symbol)) = (rest.path.ends_with("/depth"), rest.symbol.clone()) else {
            return Next::Go;
        };
        let replay = self.replay.clone();
        if let Some(mut book) = Book::new(&rest.body) {
            let mut stage = replay.stage();
            // A snapshot lies before the end of the diffs that came ahead of it.
            for (_, payload) in stage.early.iter().filter(|(early, _)| *early == symbol) {
                if let Some(message) = infer::binance(payload) {
                    book.apply(&message.event);
                }
            }
            stage.early.retain(|(early, _)| *early != symbol);
            stage.books.insert(symbol.clone(), book);
        }
        if !self.takes.contains(&("depth".to_owned(), symbol.clone())) {
            return Next::Go;
        }
        let until = tokio::time::sleep(SNAPSHOT_WAIT);
        tokio::pin!(until);
        while !replay.stage().asked.contains(&symbol) {
            tokio::select! {
                () = replay.asked.notified() => {}
                () = &mut until => {
                    log::warn("no client asked for the depth snapshot; going on", &[("symbol", symbol.clone().into())]);
                    return Next::Go;
                }
                message = self.socket.next() => {
                    if matches!(self.receive(message).await, Next::Stop) {
                        return Next::Stop;
                    }
                }
            }
        }
        Next::Go
    }

    /// What the client gets of a recorded message, if anything.
    fn outgoing(&self, message: &Recorded) -> Option<String> {
        match self.replay.protocol {
            Protocol::Coinbase | Protocol::CoinbaseAdvanced => Some(message.text.clone()),
            Protocol::Kraken => {
                if !message.text.starts_with('{') || message.text.contains("\"event\":") {
                    return Some(message.text.clone()); // the older protocol: played as it is
                }
                let about = infer::kraken(&message.text, None)?;
                match about.channel.as_str() {
                    "status" => None,
                    "heartbeat" => Some(message.text.clone()),
                    _ => self.wants(&about).then(|| message.text.clone()),
                }
            }
            Protocol::Binance => {
                let parsed = infer::binance(&message.text)?;
                self.follow(&parsed);
                if !self.wants(&parsed.about) {
                    return None;
                }
                Some(match (self.combined, &parsed.stream) {
                    (true, Some(_)) => message.text.clone(),
                    (false, _) => parsed.payload.to_owned(),
                    (true, None) => {
                        let name = self.stream_name(&parsed.about);
                        format!("{{\"stream\":{},\"data\":{}}}", quoted(&name), parsed.payload)
                    }
                })
            }
        }
    }

    fn wants(&self, about: &About) -> bool {
        self.takes
            .contains(&(about.channel.clone(), about.symbol.clone()))
            || self.takes.contains(&(about.channel.clone(), String::new()))
    }

    /// Keeps the book of a diff, so that a later snapshot fits the stream.
    fn follow(&self, message: &infer::BinanceMessage<'_>) {
        if message.about.channel != "depth" {
            return;
        }
        let mut stage = self.replay.stage();
        let symbol = &message.about.symbol;
        match stage.books.get_mut(symbol) {
            Some(book) => book.apply(&message.event),
            None => {
                if stage.early.len() == EARLY_MAX {
                    stage.early.pop_front();
                }
                stage
                    .early
                    .push_back((symbol.clone(), message.payload.to_owned()));
            }
        }
    }

    /// The client's own name for the stream of a message that was recorded without one.
    fn stream_name(&self, about: &About) -> String {
        let prefix = format!("{}@{}", about.symbol.to_ascii_lowercase(), about.channel);
        self.streams
            .iter()
            .find(|name| name.starts_with(&prefix))
            .cloned()
            .unwrap_or(prefix)
    }

    async fn send(&mut self, text: String) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.socket.send(Message::text(text)).await
    }

    /// After the end of the recording the connection stays, and answers.
    async fn idle(&mut self) {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await;
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    if matches!(self.receive(message).await, Next::Stop) {
                        return;
                    }
                }
                _ = ping.tick(), if self.replay.protocol == Protocol::Binance => {
                    if self.socket.send(Message::Ping(Bytes::from_static(b"replay"))).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn receive(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Next {
        let answers = match message {
            Some(Ok(Message::Text(text))) => self.answer(text.as_str()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => Vec::new(),
            Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => return Next::Stop,
        };
        for answer in answers {
            if self.send(answer).await.is_err() {
                return Next::Stop;
            }
        }
        Next::Go
    }

    fn answer(&mut self, text: &str) -> Vec<String> {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Vec::new();
        };
        match self.replay.protocol {
            Protocol::Kraken => self.answer_kraken(&value),
            Protocol::Binance => {
                let id = value.get("id").cloned().unwrap_or(Value::Null);
                let names = value
                    .get("params")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                for name in names.filter_map(Value::as_str) {
                    match value.get("method").and_then(Value::as_str) {
                        Some("SUBSCRIBE") => self.take_stream(name),
                        Some("UNSUBSCRIBE") => self.leave_stream(name),
                        _ => {}
                    }
                }
                vec![format!("{{\"result\":null,\"id\":{id}}}")]
            }
            Protocol::Coinbase | Protocol::CoinbaseAdvanced => {
                if value.get("type").and_then(Value::as_str) == Some("subscribe") {
                    self.subscribed = Some(Instant::now());
                }
                Vec::new()
            }
        }
    }

    fn answer_kraken(&mut self, value: &Value) -> Vec<String> {
        if value.get("event").and_then(Value::as_str) == Some("subscribe") {
            self.subscribed = Some(Instant::now()); // the older protocol
            return Vec::new();
        }
        let method = value.get("method").and_then(Value::as_str).unwrap_or_default();
        let mut times = String::new();
        if let Some(id) = value.get("req_id") {
            times.push_str(&format!(",\"req_id\":{id}"));
        }
        for name in [",\"time_in\":\"", "\",\"time_out\":\""] {
            times.push_str(name);
            push_time(&mut times, log::wall_ns(), 6);
        }
        times.push('"');
        if method == "ping" {
            return vec![format!("{{\"method\":\"pong\"{times}}}")];
        }
        let takes = match method {
            "subscribe" => true,
            "unsubscribe" => false,
            _ => return Vec::new(),
        };
        if takes {
            self.subscribed = Some(Instant::now());
        }
        let params = value.get("params").cloned().unwrap_or(Value::Null);
        let channel = params.get("channel").and_then(Value::as_str).unwrap_or_default();
        let symbols: Vec<String> = match params.get("symbol") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many
                .iter()
                .filter_map(|s| s.as_str().map(str::to_owned))
                .collect(),
            _ => vec![String::new()],
        };
        symbols
            .into_iter()
            .map(|symbol| {
                let mut result = json!({"channel": channel});
                for name in ["depth", "interval", "snapshot"] {
                    if let Some(given) = params.get(name) {
                        result[name] = given.clone();
                    }
                }
                if !symbol.is_empty() {
                    result["symbol"] = symbol.clone().into();
                }
                let taken = (channel.to_owned(), symbol);
                if takes {
                    self.takes.insert(taken);
                } else {
                    self.takes.remove(&taken);
                }
                format!("{{\"method\":\"{method}\",\"result\":{result},\"success\":true{times}}}")
            })
            .collect()
    }
}

impl Player {
    /// How long until the pending item is due.
    fn wait(&mut self, speed: f64) -> Duration {
        if speed == 0.0 {
            return Duration::ZERO;
        }
        let ts_ns = match &self.pending {
            Some(Item::Message(message)) => message.ts_ns,
            Some(Item::Rest(rest)) => rest.ts_ns,
            None => return Duration::ZERO,
        };
        let now = Instant::now();
        let (begun, first_ns) = *self.origin.get_or_insert((now, ts_ns));
        let due = Duration::from_nanos((ts_ns.saturating_sub(first_ns).max(0) as f64 / speed) as u64);
        due.saturating_sub(now - begun)
    }

    /// Whether this message came on a new connection after the one before had ended.
    fn reconnects(&mut self, message: &Recorded) -> bool {
        let is_new = self.played.insert(message.connection);
        let before = self.connection.replace(message.connection);
        let Some(before) = before.filter(|b| is_new && *b != message.connection) else {
            return false;
        };
        // Connections side by side (a planned change, or symbols shared out) are played as one.
        let ended = self.last_of.get(&before).is_some_and(|last| *last <= self.number);
        if ended {
            self.origin = None; // the time until the client is back does not count
        }
        ended
    }
}

async fn sleep_or_go(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}
