//! One connection from its first byte to its end: what its session says and asks for. Whether there is to be
//! another one is not its affair.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Bytes;
use venues::{Action, Output, Session, Subscription};
use wire::cause;

use super::arrival::{Arrival, WHOLE_NS};
use super::pulse::Pulse;
use super::shared::Shared;
use super::slot::Set;
use super::socket::{Broken, Said, Socket};

const S: i64 = 1_000_000_000;
const TICK: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(15);
/// A venue that takes none of our messages for so long is gone.
const SEND: Duration = Duration::from_secs(5);
/// In place of a message that must not be kept.
static NOTHING: Bytes = Bytes::new();

/// What the slot sees of a connection.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Since when it delivers, monotonic; 0 before.
    pub live: Cell<i64>,
    /// The venue has announced its end.
    pub ending: Cell<bool>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub cause: u8,
    pub reason: String,
    pub retry_after: Option<Duration>,
    pub oversize: bool,
    /// The venue does not take the key.
    pub key: bool,
    /// It was asked to.
    pub wanted: bool,
}

impl Ended {
    pub fn lost(cause: u8, reason: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
            retry_after: None,
            oversize: false,
            key: false,
            wanted: false,
        }
    }

    fn wanted() -> Self {
        Self {
            wanted: true,
            ..Self::lost(cause::DISCONNECT, "asked to")
        }
    }
}

/// Runs one connection. Whatever happens, the core hears of its end.
pub(super) async fn run(
    shared: Rc<Shared>,
    number: u64,
    subscriptions: Set,
    view: Rc<View>,
    closing: Rc<Notify>,
) -> Ended {
    // A panic in a session must not leave the core believing in a connection that is gone.
    struct Guard<'a>(&'a Shared, u64, Cell<u8>);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            let closed = self.0.draining.get();
            self.0.with(|engine, now| {
                engine.core.ended(self.1, self.2.get(), closed, now);
                engine.commit(now);
            });
        }
    }
    let guard = Guard(&shared, number, Cell::new(cause::MALFORMED));
    let ended = tokio::select! {
        ended = deliver(&shared, number, &subscriptions, &view) => ended,
        () = closing.notified() => Ended::wanted(),
    };
    guard.2.set(ended.cause);
    ended
}

async fn deliver(shared: &Rc<Shared>, number: u64, subscriptions: &[Subscription], view: &View) -> Ended {
    loop {
        let wait = match shared.not_before.get() - shared.mono() {
            wait if wait > 0 => wait,
            _ => match shared.budget.borrow_mut().take(shared.mono()) {
                Ok(()) => break,
                Err(wait) => wait,
            },
        };
        sleep(Duration::from_nanos(wait as u64)).await;
    }
    let mut session = shared.protocol.session(subscriptions, shared.channels);
    session.login(shared.secrets.values());
    let url = shared.ws_url.join(&session.path());
    let largest = shared.limits.max_message_bytes;
    let socket = match Socket::open(&shared.network, &url, session.headers(), largest, CONNECT).await {
        Ok(socket) => socket,
        Err(refused) => {
            let retry_after = refused.retry_after;
            return Ended {
                retry_after,
                ..Ended::lost(cause::DISCONNECT, refused.error.message)
            };
        }
    };
    let numbers: Vec<u32> = subscriptions.iter().map(|s| s.instrument).collect();
    let pulse = shared.with(|engine, now| {
        engine.core.open(number, &numbers);
        Pulse::new(engine.clock.mono(), now)
    });
    let (answers, answered) = mpsc::channel(64);
    let mut talk = Talk {
        shared,
        number,
        session,
        pulse,
        socket,
        answers,
        sends: VecDeque::new(),
        pinged: 0,
        out: Output::default(),
        view,
    };
    talk.run(answered).await
}

/// An answer to [`Action::Get`].
type Answer = (u64, u16, Bytes);

/// Answers a session's request to the REST interface. A request whose connection has ended before its turn
/// came is not made: a venue that refuses both would otherwise get those of all connections since.
async fn fetch(
    shared: Rc<Shared>,
    request: u64,
    (weight, urgent): (u32, bool),
    path: String,
    answers: mpsc::Sender<Answer>,
) {
    let _turn = tokio::select! {
        () = answers.closed() => return,
        turn = shared.turn(weight, urgent) => turn,
    };
    let (status, body) = shared.ask(&path).await.unwrap_or_else(|failure| {
        shared.log.warn(
            "REST request failed",
            json!({"path": path, "error": failure.message}),
        );
        (0, Bytes::new())
    });
    // The connection may have ended meanwhile; then nobody waits for this.
    let _ = answers.send((request, status, body)).await;
}

/// An open connection.
struct Talk<'a> {
    shared: &'a Rc<Shared>,
    number: u64,
    session: Box<dyn Session>,
    pulse: Pulse,
    socket: Socket,
    answers: mpsc::Sender<Answer>,
    /// Messages to the venue that wait for their turn.
    sends: VecDeque<Said>,
    /// When a silence was last asked into, session time.
    pinged: i64,
    out: Output,
    view: &'a View,
}

impl Talk<'_> {
    async fn run(&mut self, mut answered: mpsc::Receiver<Answer>) -> Ended {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let opened = self.aside(&Bytes::new(), |session, now, out| session.open(now, out));
        let mut arrival = Arrival::new(self.socket.received(), opened);
        if let Some(ended) = self.act().await {
            return ended;
        }
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    let now = self.pulse.turn(self.shared.mono());
                    let coming = arrival.coming(self.socket.received(), now);
                    let silent = arrival.silent(now);
                    if self.shared.limits.silence_ns > 0 && silent > self.shared.limits.silence_ns {
                        return Ended::lost(cause::STALL, format!("nothing came for {} s", silent / S));
                    }
                    if let Some(ended) = self.ping(silent, now).await {
                        return ended;
                    }
                    match coming {
                        None => {
                            self.aside(&Bytes::new(), |session, now, out| session.tick(now, out));
                        }
                        Some(since) if since > WHOLE_NS => {
                            let reason = format!("a message is not whole after {} s", since / S);
                            return Ended::lost(cause::STALL, reason);
                        }
                        Some(_) => {}
                    }
                }
                Some((request, status, body)) = answered.recv() => {
                    self.aside(&body, |session, now, out| {
                        session.response(request, status, &body, now, out);
                    });
                }
                message = self.socket.next() => {
                    let now = self.pulse.turn(self.shared.mono());
                    arrival.whole(self.socket.received(), now);
                    match message {
                        Ok(Some(data)) => self.message(data),
                        Ok(None) => {
                            if self.shared.habits.ping_ns > 0 && self.view.live.get() != 0 {
                                let mut engine = self.shared.engine.borrow_mut();
                                engine.figures.heard = engine.clock.mono();
                            }
                            continue;
                        }
                        Err(broken) => return self.broken(broken),
                    }
                }
            }
            if let Some(ended) = self.act().await {
                return ended;
            }
        }
    }

    /// Lets the session do what is no message of the venue, and takes what it made of `data`; its time.
    fn aside(&mut self, data: &Bytes, act: impl FnOnce(&mut dyn Session, i64, &mut Output)) -> i64 {
        self.shared.with(|engine, now| {
            let session_now = self.pulse.turn(engine.clock.mono());
            act(self.session.as_mut(), session_now, &mut self.out);
            self.pulse.stamp(&mut self.out.records, now);
            engine.aside(self.number, &mut self.out, now, data);
            session_now
        })
    }

    #[inline]
    fn message(&mut self, data: Bytes) {
        let mut engine = self.shared.engine.borrow_mut();
        let begun = engine.clock.mono();
        let now = engine.clock.now();
        if !self.shared.secrets.within(&data) {
            engine.keeper.raw(now, self.number, &data);
        }
        self.session.message(&data, self.pulse.turn(begun), &mut self.out);
        self.pulse.stamp(&mut self.out.records, now);
        let ready = self.session.ready();
        let kept = if self.shared.secrets.within(&data) {
            &NOTHING
        } else {
            &data
        };
        if !ready {
            engine.aside(self.number, &mut self.out, now, kept);
            return;
        }
        engine.message(self.number, &mut self.out, now, kept);
        engine.figures.heard = begun;
        let took = engine.clock.mono() - begun;
        engine.figures.append.add(took);
        if engine.fatal.is_some() {
            self.shared.fatal.notify_one();
        }
        if self.view.live.get() == 0 {
            self.view.live.set(begun.max(1));
            self.shared.trouble.replace(None);
        }
    }

    fn broken(&self, broken: Broken) -> Ended {
        match broken {
            Broken::Ended(text) => Ended::lost(cause::DISCONNECT, text),
            Broken::Oversize(bytes) => {
                let limit = self.shared.limits.max_message_bytes;
                let reason = format!("a message of {bytes} bytes is over this venue's limit of {limit}");
                Ended {
                    oversize: true,
                    ..Ended::lost(cause::LIMIT, reason)
                }
            }
            Broken::Utf8(text) => {
                // the protocol ends the connection over it, and the message itself is not handed out
                self.shared.with(|engine, now| {
                    let reason = format!("not UTF-8: {text}");
                    engine.quarantine(self.number, reason, None, now, &Bytes::new());
                });
                Ended::lost(cause::MALFORMED, format!("the venue broke the protocol: {text}"))
            }
            Broken::Protocol(text) => {
                Ended::lost(cause::MALFORMED, format!("the venue broke the protocol: {text}"))
            }
        }
    }

    /// Does what the session asked for.
    async fn act(&mut self) -> Option<Ended> {
        if self.out.actions.is_empty() && self.sends.is_empty() {
            self.out.clear();
            return None;
        }
        let actions = std::mem::take(&mut self.out.actions);
        self.out.clear();
        for action in actions {
            match action {
                Action::Send(text) => self.sends.push_back(Said::Text(text)),
                Action::SendBytes(bytes) => self.sends.push_back(Said::Bytes(bytes)),
                Action::Get {
                    request,
                    weight,
                    urgent,
                    path,
                } => {
                    let answers = self.answers.clone();
                    let fetching = fetch(self.shared.clone(), request, (weight, urgent), path, answers);
                    tokio::task::spawn_local(fetching);
                }
                // An announced end leaves time to make the next connection first.
                Action::Reconnect {
                    cause: cause::DISCONNECT,
                    reason,
                } => {
                    if !self.view.ending.replace(true) {
                        self.shared.log.info(&reason, json!({"connection": self.number}));
                    }
                }
                Action::Reconnect { cause, reason } => return Some(Ended::lost(cause, reason)),
                Action::Refused { reason, wait_ns, key } => {
                    return Some(Ended {
                        retry_after: Some(Duration::from_nanos(wait_ns.max(0) as u64)),
                        key,
                        ..Ended::lost(cause::LIMIT, reason)
                    });
                }
                Action::Note { instrument, text } => {
                    self.shared.log.info(
                        &text,
                        json!({"connection": self.number, "instrument": instrument}),
                    );
                }
            }
        }
        self.send().await
    }

    /// Asks into a silence, where the venue may be silent for long.
    async fn ping(&mut self, silent: i64, now: i64) -> Option<Ended> {
        let every = self.shared.habits.ping_ns;
        if every == 0 || silent < every || now - self.pinged < every {
            return None;
        }
        self.pinged = now;
        match timeout(SEND, self.socket.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(self.broken(error)),
            Err(_) => Some(Ended::lost(cause::STALL, "the venue takes no messages")),
        }
    }

    /// Sends what may be sent now; the rest waits for the next turn of the loop.
    async fn send(&mut self) -> Option<Ended> {
        while !self.sends.is_empty()
            && self
                .shared
                .messages
                .borrow_mut()
                .take(1, self.shared.mono())
                .is_ok()
            && let Some(said) = self.sends.pop_front()
        {
            match timeout(SEND, self.socket.send(said)).await {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => return Some(self.broken(broken)),
                Err(_) => return Some(Ended::lost(cause::STALL, "the venue takes no messages")),
            }
        }
        None
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        self.socket.goodbye();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use journal::{Options, Writer};

    use super::super::core::{Core, Wanted};
    use super::super::engine::Engine;
    use super::super::keep::Keeper;
    use super::*;
    use crate::http::{Network, Proxies, Url};
    use crate::log::Log;

    /// A venue that cannot be reached.
    fn venue(home: &std::path::Path) -> Rc<Shared> {
        let wanted = Wanted {
            trades: true,
            quotes: true,
            book: true,
        };
        let log = Log::new("test");
        let writer = Writer::open(home, "binance", &Options::default()).unwrap();
        let core = Core::new(writer.next_sequence(), wanted);
        let keeper = Keeper::start(home, "binance", None, log.clone()).unwrap();
        Rc::new(Shared::new(
            Engine::start(writer, core, keeper, log.clone()).unwrap(),
            &venues::binance::Binance,
            Default::default(),
            venues::Channels::default(),
            Network::new(Proxies::default()),
            Url::parse("ws://127.0.0.1:9").unwrap(),
            Url::parse("http://127.0.0.1:9").unwrap(),
            log,
            0,
            1,
        ))
    }

    /// However often it connects anew, and whoever asks: one bucket for all, and what is urgent comes first.
    #[tokio::test]
    async fn requests_of_all_connections_share_what_the_venue_bears() {
        let home = tempfile::tempdir().unwrap();
        let shared = venue(home.path());
        for _ in 0..4 {
            assert!(shared.turn(300, true).now_or_never().is_some());
        }
        assert!(shared.turn(25, false).now_or_never().is_none(), "1200 are spent");
        assert!(shared.turn(25, true).now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_is_urgent_is_asked_before_what_is_not() {
        let home = tempfile::tempdir().unwrap();
        let shared = venue(home.path());
        shared.answered(429, Some(Duration::from_millis(300)));
        let order = std::cell::RefCell::new(Vec::new());
        let ask = async |urgent| {
            let turn = shared.turn(1, urgent).await;
            order.borrow_mut().push(urgent);
            drop(turn);
        };
        tokio::join!(ask(false), ask(true), ask(false), ask(true));
        assert_eq!(*order.borrow(), [true, true, false, false]);
    }

    #[tokio::test]
    async fn a_request_ends_with_the_connection_that_wanted_it() {
        let home = tempfile::tempdir().unwrap();
        let shared = venue(home.path());
        shared.answered(429, Some(Duration::from_secs(3_600)));
        let (answers, answered) = mpsc::channel(1);
        let path = "/api/v3/depth?symbol=BTCUSDT&limit=5000".to_owned();
        let fetching = fetch(shared.clone(), 1, (250, true), path, answers);
        tokio::pin!(fetching);
        assert!(
            timeout(Duration::from_millis(50), &mut fetching).await.is_err(),
            "it waits for its turn"
        );
        drop(answered);
        timeout(Duration::from_secs(10), fetching)
            .await
            .expect("nobody waits for its answer any more");
    }
}
