//! Sockets: one port per venue for WebSocket and REST, one for control.

use crate::http::{self, Bad, Incoming, Request, Response};
use crate::hub::{Line, Out, QUEUE_MESSAGES};
use crate::log;
use crate::pipe::Pipe;
use crate::spec::Protocol;
use crate::world::{World, failure};
use futures_util::{SinkExt, StreamExt};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Largest message a client may send.
const CLIENT_MESSAGE_BYTES: usize = 1024 * 1024;
/// Binance pings this often and waits this long for the answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(60);
/// And ends every connection after this long.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// For the client to answer a close frame.
const CLOSE_TIME: Duration = Duration::from_secs(2);

pub type Shared = Arc<Mutex<World>>;

/// The lock of the world. Nothing panics while holding it in a way that would leave half a change behind.
pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one venue until the task is dropped.
pub async fn serve_venue(listener: TcpListener, world: Shared, venue: usize) {
    loop {
        let Some(stream) = accept(&listener).await else {
            continue;
        };
        if lock(&world).venues[venue].hub.faults.is_refusing() {
            // Without this the refusal would look like an orderly close.
            let _ = stream.set_zero_linger();
            continue;
        }
        let world = world.clone();
        tokio::spawn(async move { serve_client(stream, world, venue).await });
    }
}

pub async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it small messages wait for each other; a socket that refuses is only slower.
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            // Out of descriptors, most likely: others will close some.
            log::warn(&format!("cannot accept a connection: {error}"), &[]);
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_client(stream: TcpStream, world: Shared, venue: usize) {
    let line = lock(&world).venues[venue].hub.line();
    let mut pipe = Pipe::new(stream, line.clone());
    let mut buffer = Vec::new();
    let upgrade = tokio::select! {
        upgrade = serve_rest(&mut pipe, &mut buffer, &world, venue) => upgrade,
        () = line.kill.notified() => None,
    };
    if let Some(request) = upgrade {
        serve_websocket(pipe, buffer, line, world, venue, &request).await;
    }
}

/// Answers requests until one asks for a WebSocket, which is returned, or there are no more.
async fn serve_rest(
    pipe: &mut Pipe,
    buffer: &mut Vec<u8>,
    world: &Shared,
    venue: usize,
) -> Option<Box<Request>> {
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
        let response = lock(world).get(venue, &request);
        if !matches!(http::write(pipe, Some(&request), &response).await, Ok(true)) {
            return None;
        }
    }
}

pub async fn refuse(pipe: &mut Pipe, Bad(status, why): Bad) {
    // The client is told why if it still listens; either way the connection ends.
    let _ = http::write(pipe, None, &failure(status, why)).await;
}

async fn serve_websocket(
    pipe: Pipe,
    leftover: Vec<u8>,
    line: Arc<Line>,
    world: Shared,
    venue: usize,
    request: &Request,
) {
    let socket = tokio::select! {
        socket = upgrade(pipe, leftover, request) => socket,
        () = line.kill.notified() => None,
    };
    let Some(socket) = socket else {
        return;
    };
    let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
    let (id, protocol) = {
        let mut world = lock(&world);
        let id = world.open(venue, request, |hub| hub.open(sender, line.clone()));
        (id, world.venues[venue].market.protocol)
    };
    let session = Session {
        socket,
        queue,
        line: line.clone(),
        world: world.clone(),
        venue,
        id,
        protocol,
    };
    tokio::select! {
        () = session.run() => {}
        () = line.kill.notified() => {}
    }
    lock(&world).close(venue, id);
}

/// Answers a WebSocket handshake; `None` when it is not one, or the client is gone.
pub async fn upgrade(mut pipe: Pipe, leftover: Vec<u8>, request: &Request) -> Option<WebSocketStream<Pipe>> {
    let Some(key) = request.header("sec-websocket-key") else {
        refuse(
            &mut pipe,
            Bad(400, "a WebSocket handshake needs Sec-WebSocket-Key"),
        )
        .await;
        return None;
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    pipe.write_all(answer.as_bytes()).await.ok()?;
    pipe.flush().await.ok()?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_MESSAGE_BYTES))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES));
    Some(WebSocketStream::from_partially_read(pipe, leftover, Role::Server, Some(config)).await)
}

struct Session {
    socket: WebSocketStream<Pipe>,
    queue: mpsc::Receiver<Out>,
    line: Arc<Line>,
    world: Shared,
    venue: usize,
    id: u64,
    protocol: Protocol,
}

impl Session {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(256);
        let begun = Instant::now();
        let mut pinged: Option<Instant> = None;
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await; // the first tick is at once
        loop {
            tokio::select! {
                count = self.queue.recv_many(&mut batch, 256) => {
                    if count == 0 || !self.send(&mut batch).await {
                        return;
                    }
                }
                message = self.socket.next() => {
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            lock(&self.world).message(self.venue, self.id, text.as_str());
                        }
                        Some(Ok(Message::Binary(bytes))) => {
                            let text = String::from_utf8_lossy(&bytes);
                            lock(&self.world).message(self.venue, self.id, &text);
                        }
                        Some(Ok(Message::Ping(_))) => lock(&self.world).control_frame(self.venue, self.id),
                        Some(Ok(Message::Pong(_))) => {
                            pinged = None;
                            lock(&self.world).control_frame(self.venue, self.id);
                        }
                        Some(Ok(Message::Close(_) | Message::Frame(_))) => {
                            // The answer to a close is queued by the library; sending it is courtesy.
                            let _ = self.socket.flush().await;
                            return;
                        }
                        Some(Err(_)) | None => return,
                    }
                }
                _ = ping.tick(), if self.protocol == Protocol::Binance => {
                    if pinged.is_some_and(|at| at.elapsed() >= PONG_WITHIN) || begun.elapsed() >= LIFE {
                        return self.close(1008, "no pong within a minute, or 24 hours over").await;
                    }
                    pinged.get_or_insert_with(Instant::now);
                    let payload = begun.elapsed().as_millis().to_string();
                    if self.socket.send(Message::Ping(Bytes::from(payload))).await.is_err() {
                        return;
                    }
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
                    if self.socket.feed(Message::Text(text)).await.is_err() {
                        return false;
                    }
                }
                Out::Close(code, reason) => {
                    self.close(code, &reason).await;
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

    async fn close(&mut self, code: u16, reason: &str) {
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
    }
}

/// Serves the control port until the task is dropped; `answer` makes the answers.
pub async fn serve_control(
    listener: TcpListener,
    answer: impl Fn(&Request) -> Response + Clone + Send + 'static,
) {
    loop {
        let Some(stream) = accept(&listener).await else {
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut pipe = Pipe::new(stream, Arc::new(Line::default()));
            let mut buffer = Vec::new();
            loop {
                let request = match http::read(&mut pipe, &mut buffer).await {
                    Incoming::Request(request) => request,
                    Incoming::Gone => return,
                    Incoming::Bad(bad) => return refuse(&mut pipe, bad).await,
                };
                // A page in a browser must not reach this port: it could break a demonstration, and has no
                // business here.
                let response = match request.header("origin") {
                    Some(_) => failure(403, "the control port does not serve browsers"),
                    None => answer(&request),
                };
                if !matches!(http::write(&mut pipe, Some(&request), &response).await, Ok(true)) {
                    return;
                }
            }
        });
    }
}

/// Answer of the control port of simulated venues.
pub fn control(world: &Shared, request: &Request) -> Response {
    let mut world = lock(world);
    match (request.method.as_str(), request.path.trim_end_matches('/')) {
        ("POST", "/faults") => world.start_fault(&request.body),
        ("GET", "/faults") => world.list_faults(),
        ("DELETE", "/faults") => world.clear_faults(),
        ("GET", "/status") => Response::ok(world.status().to_string()),
        (_, "/faults") => failure(405, "faults takes GET, POST and DELETE"),
        (_, "/status") => failure(405, "status takes GET"),
        (_, path) => failure(404, &format!("nothing at '{path}'; have: /status, /faults")),
    }
}
