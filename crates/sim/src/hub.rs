//! Connections of one venue, and the way of every message to them: the one place where faults interfere.

use crate::faults::{Faults, Kind, Verdict};
use futures_util::task::AtomicWaker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Messages waiting for one client. One that does not read is cut off when they are this many or [`QUEUE_BYTES`] long: a venue never
/// waits for a client, and never drops a message silently.
pub const QUEUE_MESSAGES: usize = 16_384;
/// Bytes of them: the largest message of the fault `oversize`, and some more.
const QUEUE_BYTES: usize = 320 * 1024 * 1024;

/// What a message is about, for faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Trades,
    Book,
    Quotes,
    Bars,
    Heartbeat,
    /// Answers and notices.
    Control,
}

/// What a message is about: its channel, and its instrument where it has just one.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub channel: Channel,
    pub instrument: Option<usize>,
}

impl Class {
    pub const fn of(channel: Channel, instrument: usize) -> Self {
        Self {
            channel,
            instrument: Some(instrument),
        }
    }

    pub const CONTROL: Self = Self {
        channel: Channel::Control,
        instrument: None,
    };
    pub const HEARTBEAT: Self = Self {
        channel: Channel::Heartbeat,
        instrument: None,
    };
}

/// For the task that serves a connection.
#[derive(Debug)]
pub enum Out {
    Text(Utf8Bytes),
    /// WebSocket close with a code and a reason.
    Close(u16, String),
    /// Drop the socket without a word.
    Cut,
}

impl Out {
    /// Length of its text.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Close(..) | Self::Cut => 0,
        }
    }
}

/// State shared with a socket, whether it serves a WebSocket or REST.
#[derive(Debug, Default)]
pub struct Line {
    /// Neither reads nor writes any more, but stays open until it is killed.
    frozen: AtomicBool,
    /// Neither reads nor writes for a while.
    silent: AtomicBool,
    /// Bytes per second it writes at most; 0 = no limit.
    pub drip: AtomicU64,
    /// Bytes of text in the connection's queue.
    pub waiting_bytes: AtomicUsize,
    /// Who waits for the end of a silence, to read and to write.
    pub reader: AtomicWaker,
    pub writer: AtomicWaker,
    /// Ends the connection at once, whatever it is doing.
    pub kill: Notify,
}

impl Line {
    /// Whether a fault keeps the socket from reading and writing.
    pub fn is_held(&self) -> bool {
        self.frozen.load(Ordering::Relaxed) || self.silent.load(Ordering::Relaxed)
    }

    /// Takes over what the faults that are going on mean for a socket.
    fn settle(&self, faults: &Faults) {
        let silent = faults.is_on(Kind::Silent);
        if faults.is_on(Kind::HalfOpen) {
            self.frozen.store(true, Ordering::Relaxed);
        }
        self.drip.store(faults.drip().unwrap_or(0), Ordering::Relaxed);
        if self.silent.swap(silent, Ordering::Relaxed) && !silent {
            self.reader.wake();
            self.writer.wake();
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    queue: mpsc::Sender<Out>,
    pub line: Arc<Line>,
    /// Venue time of the last message, ns.
    pub last_sent_ns: i64,
    pub sent: u64,
}

/// All connections of one venue.
#[derive(Debug, Default)]
pub struct Hub {
    connections: HashMap<u64, Connection>,
    /// Of every open socket, those of REST included.
    lines: Vec<Weak<Line>>,
    next: u64,
    pub faults: Faults,
    pub now_ns: i64,
    pub sent: u64,
    pub sent_bytes: u64,
    pub opened: u64,
    /// Clients cut off because they did not read.
    pub slow: u64,
}

impl Hub {
    /// State of a socket that was just accepted.
    pub fn line(&mut self) -> Arc<Line> {
        let line = Arc::new(Line::default());
        line.settle(&self.faults);
        self.lines.retain(|line| line.strong_count() > 0);
        self.lines.push(Arc::downgrade(&line));
        line
    }

    /// Brings every socket in line with the faults that are going on.
    pub fn settle(&self) {
        self.lines().for_each(|line| line.settle(&self.faults));
    }

    /// Drops every socket without a word.
    pub fn cut(&self) {
        for connection in self.connections.values() {
            let _ = connection.queue.try_send(Out::Cut); // if the queue is full, the kill below does it
        }
        self.lines().for_each(|line| line.kill.notify_one());
    }

    fn lines(&self) -> impl Iterator<Item = Arc<Line>> + '_ {
        self.lines.iter().filter_map(Weak::upgrade)
    }

    pub fn open(&mut self, queue: mpsc::Sender<Out>, line: Arc<Line>) -> u64 {
        self.next += 1;
        self.opened += 1;
        self.connections.insert(
            self.next,
            Connection {
                queue,
                line,
                last_sent_ns: self.now_ns,
                sent: 0,
            },
        );
        self.next
    }

    pub fn close(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// Whether nothing was sent on this connection for so long, in venue time.
    pub fn is_idle(&self, id: u64, ns: i64) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|c| self.now_ns - c.last_sent_ns >= ns)
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.connections.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Sends one message to one connection.
    pub fn text(&mut self, id: u64, class: Class, text: impl Into<Utf8Bytes>) {
        self.deliver(id, class, text.into());
    }

    /// Sends the same message to several connections.
    pub fn fan(&mut self, ids: &[u64], class: Class, text: String) {
        let text = Utf8Bytes::from(text);
        for id in ids {
            self.deliver(*id, class, text.clone());
        }
    }

    /// Asks the connection's task to close it, after what was sent before.
    pub fn shut(&mut self, id: u64, code: u16, reason: &str) {
        self.push(id, Out::Close(code, reason.to_owned()));
    }

    fn deliver(&mut self, id: u64, class: Class, text: Utf8Bytes) {
        if self.faults.is_idle() {
            return self.send(id, text);
        }
        if self.faults.is_mute(class) {
            return;
        }
        match self.faults.judge(id, class, text, Instant::now()) {
            Verdict::Pass(text) => self.send(id, text),
            Verdict::Drop => {}
            Verdict::Twice(text) => {
                self.send(id, text.clone());
                self.send(id, text);
            }
            Verdict::Both(first, second) => {
                self.send(id, first);
                self.send(id, second);
            }
        }
    }

    fn send(&mut self, id: u64, text: Utf8Bytes) {
        let now_ns = self.now_ns;
        let bytes = text.len() as u64;
        if self.push(id, Out::Text(text)) {
            self.sent += 1;
            self.sent_bytes += bytes;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.sent += 1;
                connection.last_sent_ns = now_ns;
            }
        }
    }

    fn push(&mut self, id: u64, out: Out) -> bool {
        let Some(connection) = self.connections.get(&id) else {
            return false;
        };
        if matches!(out, Out::Text(_)) && connection.line.is_held() {
            return true; // the venue sends it, but it never gets out
        }
        let bytes = out.bytes();
        let waiting = connection.line.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if waiting.saturating_add(bytes) > QUEUE_BYTES {
            Err(mpsc::error::TrySendError::Full(out))
        } else {
            connection.queue.try_send(out)
        };
        match sent {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.slow += 1;
                connection.line.kill.notify_one();
                self.connections.remove(&id);
                false
            }
        }
    }

    /// Sends what a fault held back for too long, and ends the faults whose time is over.
    pub fn expire(&mut self, now: Instant) {
        for (id, text) in self.faults.expire(now) {
            self.send(id, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Request;

    #[test]
    fn a_client_that_does_not_read_is_cut_off_by_messages_and_by_bytes() {
        for (text, fits) in [("x".to_owned(), QUEUE_MESSAGES), ("x".repeat(1 << 24), 20)] {
            let text = Utf8Bytes::from(text);
            let mut hub = Hub::default();
            let (sender, _queue) = mpsc::channel(QUEUE_MESSAGES);
            let id = hub.open(sender, Arc::new(Line::default()));
            for _ in 0..fits {
                hub.text(id, Class::CONTROL, text.clone());
            }
            assert_eq!((hub.sent, hub.slow, hub.len()), (fits as u64, 0, 1));
            hub.text(id, Class::CONTROL, text);
            assert_eq!((hub.sent, hub.slow, hub.len()), (fits as u64, 1, 0));
        }
    }

    #[test]
    fn a_held_client_is_not_cut_off_for_what_it_cannot_read() {
        for fault in ["half_open", "silent"] {
            let body = serde_json::from_value(serde_json::json!({"fault": fault})).unwrap();
            let request = Request::check(&body, |name| Err(name.to_owned())).unwrap();
            let mut hub = Hub::default();
            let (sender, mut queue) = mpsc::channel(1);
            let line = hub.line();
            let id = hub.open(sender, line.clone());
            hub.faults.start(request, Instant::now());
            hub.settle();
            for _ in 0..10 {
                hub.text(id, Class::CONTROL, "x");
            }
            assert_eq!((hub.slow, hub.len(), line.is_held()), (0, 1, true), "{fault}");
            assert!(queue.try_recv().is_err(), "{fault}");
        }
    }
}
