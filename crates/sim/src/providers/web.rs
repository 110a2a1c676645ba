//! A provider's one port for REST and WebSocket: sockets, faults and the stream's clock.

use super::fault::{self, Faults, Kind};
use super::msgpack;
use super::world::World;
use super::{Clock, Control, Opened, Provider, Setting};
use crate::faults::{Body, Request as StreamFault};
use crate::http::{self, Incoming, Request, Response};
use crate::hub::{Class, Hub, Line, Out, QUEUE_MESSAGES};
use crate::pipe::Pipe;
use crate::server::{accept, refuse, upgrade};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// How often a stream looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// For the client to answer a close frame.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// Faults of the venues' catalogue that a provider's sockets can have too.
const OF_STREAMS: [&str; 10] = [
    "mute",
    "silent",
    "half_open",
    "drop",
    "duplicate",
    "reorder",
    "malformed",
    "truncated",
    "refuse",
    "slow_drip",
];

/// What a service works on while it is called.
pub struct Scene<'a> {
    pub world: World,
    /// ns UTC; what comes later has not happened yet.
    pub now: i64,
    pub hub: &'a mut Hub,
    pub faults: &'a mut Faults,
    /// `http://127.0.0.1:PORT`.
    pub base: &'a str,
}

/// One provider's side of its protocol.
pub trait Service: Send {
    /// Answers a request.
    fn get(&mut self, scene: &mut Scene<'_>, request: &Request) -> Response;
    /// The provider's own words for a status.
    fn refusal(&self, status: u16) -> Response;
    /// A client's socket is open.
    fn open(&mut self, scene: &mut Scene<'_>, id: u64, request: &Request);
    /// The client sent text.
    fn message(&mut self, scene: &mut Scene<'_>, id: u64, text: &str);
    /// The socket is gone.
    fn close(&mut self, id: u64);
    /// Tells what happened after `from` up to now.
    fn pump(&mut self, scene: &mut Scene<'_>, from: i64);
    /// What `run/sim.json` says of it at that address.
    fn addresses(&self, rest: &str, stream: &str) -> Map<String, Value>;
}

struct Desk {
    service: Box<dyn Service>,
    world: World,
    clock: Clock,
    base: String,
    hub: Hub,
    faults: Faults,
    requests: u64,
    /// Told up to here.
    told_ns: i64,
    /// When frozen sockets are dropped.
    ends_at: Option<Instant>,
}

type Shared = Arc<Mutex<Desk>>;

fn lock(desk: &Shared) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the port and serves it.
pub async fn open(provider: Provider, setting: Setting, service: Box<dyn Service>) -> Result<Opened, String> {
    let (listener, port) = crate::bind(setting.port_base, provider.port()).await?;
    let base = format!("http://127.0.0.1:{port}");
    let addresses = service.addresses(&base, &format!("ws://127.0.0.1:{port}"));
    let desk = Arc::new(Mutex::new(Desk {
        service,
        world: setting.world,
        clock: setting.clock,
        base,
        hub: Hub::default(),
        faults: Faults::default(),
        requests: 0,
        told_ns: setting.clock.now_ns(),
        ends_at: None,
    }));
    let tasks = vec![
        tokio::spawn(serve(listener, desk.clone())),
        tokio::spawn(pump(desk.clone())),
    ];
    Ok(Opened {
        addresses,
        control: Arc::new(Lever(desk)),
        tasks,
    })
}

/// Calls the service with its surroundings.
macro_rules! service {
    ($desk:expr, |$service:ident, $scene:ident| $call:expr) => {{
        let desk = &mut *$desk;
        let now = desk.clock.now_ns();
        desk.hub.now_ns = now;
        let $scene = &mut Scene {
            world: desk.world,
            now,
            hub: &mut desk.hub,
            faults: &mut desk.faults,
            base: &desk.base,
        };
        let $service = &mut desk.service;
        $call
    }};
}

/// An answer, and what becomes of it on its way.
struct Answer {
    response: Response,
    delay: Option<Duration>,
    is_cut: bool,
}

impl Desk {
    fn answer(&mut self, request: &Request) -> Answer {
        self.requests += 1;
        let response = if let Some(status) = self.faults.hit(Kind::Error) {
            self.service.refusal(status as u16)
        } else if let Some(retry_after_s) = self.faults.hit(Kind::Throttle) {
            self.service.refusal(429).with("retry-after", retry_after_s)
        } else if self.faults.hit(Kind::Expired).is_some() {
            self.service.refusal(401)
        } else if request.method != "GET" {
            self.service.refusal(405)
        } else {
            service!(self, |service, scene| service.get(scene, request))
        };
        Answer {
            is_cut: response.status == 200 && self.faults.hit(Kind::Cut).is_some(),
            delay: self
                .faults
                .hit(Kind::Slow)
                .map(|ms| Duration::from_secs_f64(ms / 1e3)),
            response,
        }
    }

    fn pump(&mut self) {
        let now = Instant::now();
        if !self.hub.faults.is_idle() {
            self.hub.expire(now);
            self.hub.settle();
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            self.ends_at = None;
            self.hub.cut();
        }
        let from = self.told_ns;
        self.told_ns = self.clock.now_ns().max(from);
        if self.hub.len() > 0 && from < self.told_ns {
            let to = self.told_ns;
            service!(self, |service, scene| {
                scene.now = to;
                service.pump(scene, from);
            });
        }
    }

    fn fault(&mut self, body: &Value) -> Result<Value, String> {
        let name = body["fault"].as_str().unwrap_or("");
        let mut answer = json!({"fault": name, "venue": body["venue"], "did": "started"});
        if !fault::is_known(name) {
            if !OF_STREAMS.contains(&name) {
                let (own, stream) = (fault::names(), OF_STREAMS.join(", "));
                return Err(format!(
                    "no fault named '{name}'; have: {own}; of sockets: {stream}"
                ));
            }
            let body: Body = serde_json::from_value(body.clone()).map_err(|error| error.to_string())?;
            let find = |symbol: &str| {
                let plain = symbol
                    .split_once(".sim-")
                    .map_or(symbol, |(plain, _)| plain)
                    .replace('-', "/");
                super::world::Asset::find(&plain)
                    .map(|asset| asset.index())
                    .ok_or_else(|| format!("no instrument named '{symbol}'; have AAPL, BTC/USD and others"))
            };
            let request = StreamFault::check(&body, find)?;
            if self.hub.faults.is_full() {
                return Err("too many faults go on already; end them all with DELETE /faults".to_owned());
            }
            if name == "half_open" {
                self.ends_at = Some(Instant::now() + request.duration());
            }
            self.hub.faults.start(request, Instant::now());
            self.hub.settle();
        } else if self.faults.start(name, body, Instant::now())? == Kind::Cut {
            answer["did"] = json!(format!("cut {} connections", self.hub.len()));
            self.hub.cut();
        }
        Ok(answer)
    }
}

/// The control port's hand on a desk.
struct Lever(Shared);

impl Control for Lever {
    fn fault(&self, body: &Value) -> (u16, Value) {
        match lock(&self.0).fault(body) {
            Ok(answer) => (200, answer),
            Err(why) => (400, json!({ "error": why })),
        }
    }

    fn faults(&self) -> Value {
        let desk = lock(&self.0);
        let mut all = desk.faults.list();
        if let (Some(all), Value::Array(more)) =
            (all.as_array_mut(), json!(desk.hub.faults.list(Instant::now())))
        {
            all.extend(more);
        }
        all
    }

    fn clear(&self) -> usize {
        let mut desk = lock(&self.0);
        let (count, held) = desk.hub.faults.clear();
        for (id, text) in held {
            desk.hub.text(id, Class::CONTROL, text);
        }
        if desk.ends_at.take().is_some() {
            desk.hub.cut();
        }
        desk.hub.settle();
        count + desk.faults.clear()
    }

    fn status(&self) -> Value {
        let desk = lock(&self.0);
        json!({
            "now_ns": desk.clock.now_ns(),
            "connections": desk.hub.len(),
            "opened": desk.hub.opened,
            "sent": desk.hub.sent,
            "sent_bytes": desk.hub.sent_bytes,
            "slow_clients_cut": desk.hub.slow,
            "requests": desk.requests,
        })
    }
}

async fn pump(desk: Shared) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        lock(&desk).pump();
    }
}

async fn serve(listener: TcpListener, desk: Shared) {
    loop {
        let Some(stream) = accept(&listener).await else {
            continue;
        };
        if lock(&desk).hub.faults.is_refusing() {
            // Without this the refusal would look like an orderly close.
            let _ = stream.set_zero_linger();
            continue;
        }
        let desk = desk.clone();
        tokio::spawn(async move { serve_client(stream, desk).await });
    }
}

async fn serve_client(stream: TcpStream, desk: Shared) {
    let line = lock(&desk).hub.line();
    let mut pipe = Pipe::new(stream, line.clone());
    let mut buffer = Vec::new();
    let request = tokio::select! {
        request = serve_rest(&mut pipe, &mut buffer, &desk) => request,
        () = line.kill.notified() => None,
    };
    let Some(request) = request else { return };
    let socket = tokio::select! {
        socket = upgrade(pipe, buffer, &request) => socket,
        () = line.kill.notified() => None,
    };
    let Some(socket) = socket else { return };
    let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
    let id = {
        let mut desk = lock(&desk);
        let id = desk.hub.open(sender, line.clone());
        service!(desk, |service, scene| service.open(scene, id, &request));
        id
    };
    let is_binary = request
        .header("content-type")
        .is_some_and(|kind| kind.contains("msgpack"));
    let session = Session {
        socket,
        queue,
        line: line.clone(),
        desk: desk.clone(),
        id,
        is_binary,
    };
    tokio::select! {
        () = session.run() => {}
        () = line.kill.notified() => {}
    }
    let mut desk = lock(&desk);
    desk.hub.close(id);
    desk.service.close(id);
}

/// Answers requests until one asks for a WebSocket, which is returned, or there are no more.
async fn serve_rest(pipe: &mut Pipe, buffer: &mut Vec<u8>, desk: &Shared) -> Option<Box<Request>> {
    loop {
        let request = match http::read(pipe, buffer).await {
            Incoming::Request(request) => request,
            Incoming::Gone => return None,
            Incoming::Bad(bad) => {
                refuse(pipe, bad).await;
                return None;
            }
        };
        if request.is_websocket() {
            return Some(request);
        }
        let Answer {
            response,
            delay,
            is_cut,
        } = lock(desk).answer(&request);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if is_cut {
            let (text, _) = http::render(Some(&request), &response);
            let half = text.len() - response.body.len() / 2 - 1;
            // The client hears no more either way.
            let _ = pipe.write_all(&text.as_bytes()[..half]).await;
            let _ = pipe.flush().await;
            tokio::time::sleep(Duration::from_millis(50)).await; // a reset overtakes what was not read yet
            pipe.reset();
            return None;
        }
        if !matches!(http::write(pipe, Some(&request), &response).await, Ok(true)) {
            return None;
        }
    }
}

struct Session {
    socket: WebSocketStream<Pipe>,
    queue: mpsc::Receiver<Out>,
    line: Arc<Line>,
    desk: Shared,
    id: u64,
    /// Speaks MessagePack, both ways.
    is_binary: bool,
}

impl Session {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(256);
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut batch, 256) => {
                    if count == 0 || !self.send(&mut batch).await {
                        return;
                    }
                }
                message = self.socket.next() => {
                    let text = match message {
                        Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                        Some(Ok(Message::Binary(bytes))) if self.is_binary => {
                            msgpack::to_json(&bytes).map_or_else(String::new, |value| value.to_string())
                        }
                        Some(Ok(Message::Binary(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(_) | Message::Frame(_))) => {
                            // The answer to a close is queued by the library; sending it is courtesy.
                            let _ = self.socket.flush().await;
                            return;
                        }
                        Some(Err(_)) | None => return,
                    };
                    let mut desk = lock(&self.desk);
                    service!(desk, |service, scene| service.message(scene, self.id, &text));
                }
            }
        }
    }

    /// Sends what has gathered with one write; false when the connection is over.
    async fn send(&mut self, batch: &mut Vec<Out>) -> bool {
        for out in batch.drain(..) {
            self.line.waiting_bytes.fetch_sub(out.bytes(), Ordering::Relaxed);
            match out {
                Out::Text(text) => {
                    let message = if self.is_binary {
                        Message::Binary(Bytes::from(msgpack::from_json(text.as_str())))
                    } else {
                        Message::Text(text)
                    };
                    if self.socket.feed(message).await.is_err() {
                        return false;
                    }
                }
                Out::Close(code, reason) => {
                    let frame = CloseFrame {
                        code: code.into(),
                        reason: reason.into(),
                    };
                    // Whatever goes wrong here, the connection ends.
                    let _ = tokio::time::timeout(CLOSE_TIME, async {
                        self.socket.close(Some(frame)).await?;
                        while let Some(Ok(_)) = self.socket.next().await {}
                        Ok::<(), tokio_tungstenite::tungstenite::Error>(())
                    })
                    .await;
                    return false;
                }
                Out::Cut => {
                    self.socket.get_ref().reset();
                    return false;
                }
            }
        }
        self.socket.flush().await.is_ok()
    }
}

/// Sends messages as arrays: what follows each other on one channel of one instrument goes together.
pub fn send_arrays(hub: &mut Hub, id: u64, messages: Vec<(Class, String)>) {
    let mut open: Option<(Class, String)> = None;
    for (class, text) in messages {
        match &mut open {
            Some((last, frame)) if last.channel == class.channel && last.instrument == class.instrument => {
                frame.push(',');
                frame.push_str(&text);
            }
            _ => {
                if let Some((class, frame)) = open.take() {
                    hub.text(id, class, frame + "]");
                }
                open = Some((class, format!("[{text}")));
            }
        }
    }
    if let Some((class, frame)) = open {
        hub.text(id, class, frame + "]");
    }
}
