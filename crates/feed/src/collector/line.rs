//! One connection from its first byte to its end, and the slot that keeps a set of instruments connected:
//! reconnects with backoff, replaces a connection before the venue ends it, follows a changed set.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use venues::{Action, Channels, Limits, Output, Protocol, Session, Subscription};
use wire::cause;

use super::backoff::{Backoff, Budget, Random};
use super::engine::Engine;
use super::gate::Gate;
use crate::failure::{Category, Failure};
use crate::http::{Bounds, Network, Url};
use crate::log::Log;
use crate::ws;

const S: i64 = 1_000_000_000;
const TICK: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(15);
/// A venue that takes none of our messages for so long is gone.
const SEND: Duration = Duration::from_secs(5);
const CLOSE: Duration = Duration::from_millis(500);
const GET: Bounds = Bounds {
    bytes: 64 << 20,
    time: Duration::from_secs(20),
};
/// REST requests under way at once.
const GETS: usize = 2;
/// After a message over the limit, at most one connect a minute: the next one may be as large.
const OVERSIZE_NS: i64 = 60 * S;
/// A second connection without a trade of some instrument counts as ready after so long.
const AGED_NS: i64 = 20 * S;
/// A second connection that is not ready by then takes over as it is.
const SWITCH_NS: i64 = 60 * S;

/// What all connections of a venue share.
pub struct Shared {
    pub engine: RefCell<Engine>,
    pub protocol: &'static dyn Protocol,
    pub limits: Limits,
    pub channels: Channels,
    pub network: Network,
    pub ws_url: Url,
    pub rest_url: Url,
    pub log: Log,
    /// Replace connections after so long; 0 is before the venue's own end.
    rotate_ns: i64,
    gate: RefCell<Gate>,
    gets: Semaphore,
    budget: RefCell<Budget>,
    random: RefCell<Random>,
    /// No connect before this, monotonic: a venue that refused said so.
    not_before: Cell<i64>,
    pub draining: Cell<bool>,
    /// Why the last connection failed; cleared when one is live.
    pub trouble: RefCell<Option<Failure>>,
    /// The engine has a reason to end the process.
    pub fatal: Notify,
    announced: Cell<bool>,
}

impl Shared {
    #[allow(clippy::too_many_arguments)] // each is a part of its own, named at the one call
    pub fn new(
        engine: Engine,
        protocol: &'static dyn Protocol,
        channels: Channels,
        network: Network,
        ws_url: Url,
        rest_url: Url,
        log: Log,
        rotate_ns: i64,
        seed: u64,
    ) -> Self {
        let limits = protocol.limits();
        let (connects, window_s) = limits.connects_per_window;
        Self {
            engine: RefCell::new(engine),
            protocol,
            limits,
            channels,
            network,
            ws_url,
            rest_url,
            log,
            rotate_ns,
            gate: RefCell::default(),
            gets: Semaphore::new(GETS),
            budget: RefCell::new(Budget::new(connects, window_s)),
            random: RefCell::new(Random::new(seed)),
            not_before: Cell::new(0),
            draining: Cell::new(false),
            trouble: RefCell::new(None),
            fatal: Notify::new(),
            announced: Cell::new(false),
        }
    }

    pub fn mono(&self) -> i64 {
        self.engine.borrow().clock.mono()
    }

    pub fn random(&self) -> u64 {
        self.random.borrow_mut().draw()
    }

    /// Calls `f` with the engine and the time, then tells the process if that must end it.
    fn with<T>(&self, f: impl FnOnce(&mut Engine, i64) -> T) -> T {
        let mut engine = self.engine.borrow_mut();
        let now = engine.clock.now();
        let result = f(&mut engine, now);
        if engine.fatal.is_some() {
            self.fatal.notify_one();
        }
        result
    }

    /// GETs a path of the venue's REST interface, never before the venue allows it.
    pub async fn get(&self, path: &str) -> Result<(u16, Bytes), Failure> {
        let _turn = self.turn().await;
        self.ask(path).await
    }

    /// Waits until the venue's REST interface may be asked; what this gives is kept until the answer is there.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.gets.acquire().await.ok(); // never closed, so there always is one
        loop {
            let wait = self.gate.borrow().wait(self.mono());
            if wait == 0 {
                return permit;
            }
            sleep(Duration::from_nanos(wait as u64)).await;
        }
    }

    /// The request itself. It is not given up on the way: its answer may ask for a pause.
    async fn ask(&self, path: &str) -> Result<(u16, Bytes), Failure> {
        let url = self.rest_url.join(path);
        match self.network.get(&url, GET).await {
            Ok(answer) => {
                self.gate
                    .borrow_mut()
                    .answered(answer.status, answer.retry_after, self.mono());
                if answer.status != 200 {
                    self.log.warn(
                        "the venue's REST interface refused",
                        json!({"status": answer.status, "path": path,
                               "retry_after_s": answer.retry_after.map(|wait| wait.as_secs_f64())}),
                    );
                }
                Ok((answer.status, answer.body))
            }
            Err(error) => Err(Failure::new(
                Category::Upstream,
                "rest_failed",
                error.message,
                "it is tried again",
            )),
        }
    }
}

/// What the slot sees of a connection.
#[derive(Debug, Default)]
struct View {
    /// Since when it delivers, monotonic; 0 before.
    live: Cell<i64>,
    /// The venue has announced its end.
    ending: Cell<bool>,
}

/// How a connection ended.
#[derive(Debug)]
struct Ended {
    cause: u8,
    reason: String,
    retry_after: Option<Duration>,
    oversize: bool,
    /// It was asked to.
    wanted: bool,
}

impl Ended {
    fn lost(cause: u8, reason: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
            retry_after: None,
            oversize: false,
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
async fn connection(
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
    let session = shared.protocol.session(subscriptions, shared.channels);
    let url = shared.ws_url.join(&session.path());
    let socket = match ws::open(&shared.network, &url, shared.limits.max_message_bytes, CONNECT).await {
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
    shared.with(|engine, _| engine.core.open(number, &numbers));
    let (answers, answered) = mpsc::channel(64);
    let mut talk = Talk {
        shared,
        number,
        session,
        socket,
        answers,
        out: Output::default(),
        view,
    };
    talk.run(answered).await
}

/// An answer to [`Action::Get`].
type Answer = (u64, u16, Bytes);

/// Answers a session's request to the REST interface. A request whose connection has ended before its turn
/// came is not made: a venue that refuses both would otherwise get those of all connections since.
async fn fetch(shared: Rc<Shared>, request: u64, path: String, answers: mpsc::Sender<Answer>) {
    let _turn = tokio::select! {
        () = answers.closed() => return,
        turn = shared.turn() => turn,
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
    socket: ws::Socket,
    answers: mpsc::Sender<Answer>,
    out: Output,
    view: &'a View,
}

impl Talk<'_> {
    async fn run(&mut self, mut answered: mpsc::Receiver<Answer>) -> Ended {
        let mut heard = self.shared.mono();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.shared.with(|engine, now| {
            self.session.open(now, &mut self.out);
            engine.aside(self.number, &mut self.out, now, &Bytes::new());
        });
        if let Some(ended) = self.act().await {
            return ended;
        }
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    let silent = self.shared.mono() - heard;
                    if self.shared.limits.silence_ns > 0 && silent > self.shared.limits.silence_ns {
                        return Ended::lost(cause::STALL, format!("no frame for {} s", silent / S));
                    }
                    self.shared.with(|engine, now| {
                        self.session.tick(now, &mut self.out);
                        engine.aside(self.number, &mut self.out, now, &Bytes::new());
                    });
                }
                Some((request, status, body)) = answered.recv() => {
                    self.shared.with(|engine, now| {
                        self.session.response(request, status, &body, now, &mut self.out);
                        engine.aside(self.number, &mut self.out, now, &body);
                    });
                }
                message = self.socket.next() => {
                    heard = self.shared.mono();
                    match message {
                        Some(Ok(Message::Text(text))) => self.message(text.into()),
                        Some(Ok(Message::Binary(data))) => self.message(data),
                        Some(Ok(Message::Close(frame))) => {
                            let text = frame.map_or_else(String::new, |f| format!(": {} {}", f.code, f.reason));
                            return Ended::lost(cause::DISCONNECT, format!("closed by the venue{text}"));
                        }
                        Some(Ok(_)) => continue, // pings are answered by the library
                        Some(Err(error)) => return self.broken(&error),
                        None => return Ended::lost(cause::DISCONNECT, "the venue hung up"),
                    }
                }
            }
            if let Some(ended) = self.act().await {
                return ended;
            }
        }
    }

    #[inline]
    fn message(&mut self, data: Bytes) {
        let mut engine = self.shared.engine.borrow_mut();
        let begun = engine.clock.mono();
        let now = engine.clock.now();
        engine.keeper.raw(now, self.number, &data);
        self.session.message(&data, now, &mut self.out);
        engine.message(self.number, &mut self.out, now, &data);
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

    fn broken(&self, error: &WsError) -> Ended {
        match ws::oversize(error) {
            Some(bytes) => {
                let limit = self.shared.limits.max_message_bytes;
                let reason = format!("a message of {bytes} bytes is over this venue's limit of {limit}");
                Ended {
                    oversize: true,
                    ..Ended::lost(cause::LIMIT, reason)
                }
            }
            None if matches!(
                error,
                WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
            ) =>
            {
                Ended::lost(cause::DISCONNECT, "the connection broke off")
            }
            None if matches!(error, WsError::Utf8(_) | WsError::Protocol(_)) => {
                Ended::lost(cause::MALFORMED, format!("the venue broke the protocol: {error}"))
            }
            None => Ended::lost(cause::DISCONNECT, error.to_string()),
        }
    }

    /// Does what the session asked for.
    async fn act(&mut self) -> Option<Ended> {
        if self.out.actions.is_empty() {
            self.out.clear();
            return None;
        }
        let actions = std::mem::take(&mut self.out.actions);
        self.out.clear();
        for action in actions {
            match action {
                Action::Send(text) => match timeout(SEND, self.socket.send(Message::text(text))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(self.broken(&error)),
                    Err(_) => return Some(Ended::lost(cause::STALL, "the venue takes no messages")),
                },
                Action::Get { request, path } => {
                    let fetching = fetch(self.shared.clone(), request, path, self.answers.clone());
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
                Action::Note { instrument, text } => {
                    self.shared.log.info(
                        &text,
                        json!({"connection": self.number, "instrument": instrument}),
                    );
                }
            }
        }
        None
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        // A polite goodbye if the socket takes it at once; the process does not wait for it here.
        use futures_util::FutureExt;
        let _ = self.socket.close(None).now_or_never();
    }
}

/// The instruments of a slot.
pub type Set = Rc<[Subscription]>;

/// What the process sees of a slot.
#[derive(Debug, Default)]
pub struct SlotView {
    /// Since when its connection delivers, monotonic; 0 when it does not.
    pub live: Cell<i64>,
    /// Something has been live.
    pub was_live: Cell<bool>,
    pub attempt: Cell<u32>,
    /// When the next attempt is made, monotonic; 0 when none is planned.
    pub next_try: Cell<i64>,
    pub instruments: Cell<usize>,
}

/// A connection of a slot.
struct Active {
    number: u64,
    set: Set,
    task: JoinHandle<Ended>,
    view: Rc<View>,
    closing: Rc<Notify>,
    begun: i64,
}

impl Active {
    fn start(shared: &Rc<Shared>, set: &Set) -> Self {
        let first = !shared.announced.replace(true);
        let number = shared.with(|engine, now| {
            let number = engine.core.number_connection();
            if first {
                engine.core.connecting(number, now);
                engine.commit(now);
            }
            number
        });
        let (view, closing) = (Rc::<View>::default(), Rc::<Notify>::default());
        let task = tokio::task::spawn_local(connection(
            shared.clone(),
            number,
            set.clone(),
            view.clone(),
            closing.clone(),
        ));
        Self {
            number,
            set: set.clone(),
            task,
            view,
            closing,
            begun: shared.mono(),
        }
    }
}

/// Waits for the end of a connection; for ever when there is none.
async fn end_of(active: &mut Option<Active>) -> Ended {
    match active {
        Some(active) => match (&mut active.task).await {
            Ok(ended) => ended,
            Err(error) => Ended::lost(cause::MALFORMED, format!("the session failed: {error}")),
        },
        None => std::future::pending().await,
    }
}

/// Keeps a set of instruments connected until the sender of the set is gone.
pub async fn slot(shared: Rc<Shared>, view: Rc<SlotView>, mut wanted: watch::Receiver<Set>) {
    let mut slot = Slot {
        backoff: Backoff::default(),
        next_try: 0,
        second_try: 0,
        rotate_at: 0,
        first: None,
        second: None,
        shared,
        view,
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let set = wanted.borrow_and_update().clone();
        slot.step(&set);
        tokio::select! {
            ended = end_of(&mut slot.first) => slot.first_ended(&ended),
            ended = end_of(&mut slot.second) => slot.second_ended(&ended),
            changed = wanted.changed() => if changed.is_err() { break },
            _ = ticks.tick() => {}
        }
    }
    for active in [slot.first.take(), slot.second.take()].into_iter().flatten() {
        active.closing.notify_one();
        let _ = timeout(CLOSE, active.task).await;
    }
}

struct Slot {
    shared: Rc<Shared>,
    view: Rc<SlotView>,
    backoff: Backoff,
    /// Monotonic; also of the second connection.
    next_try: i64,
    second_try: i64,
    /// When to replace the first connection, monotonic; 0 is never.
    rotate_at: i64,
    first: Option<Active>,
    /// Makes before the first breaks.
    second: Option<Active>,
}

impl Slot {
    /// Brings the connections nearer to what is wanted.
    fn step(&mut self, set: &Set) {
        let now = self.shared.mono();
        let live = self.first.as_ref().map_or(0, |first| first.view.live.get());
        if live != 0 {
            self.backoff.live(live);
            self.view.was_live.set(true);
        }
        self.view.live.set(live);
        self.view.instruments.set(set.len());
        self.view
            .attempt
            .set(if live == 0 { self.backoff.attempt() } else { 0 });
        if set.is_empty() {
            for active in [self.first.take(), self.second.take()].into_iter().flatten() {
                active.closing.notify_one();
            }
            self.view.next_try.set(0);
            return;
        }
        let Some(first) = &self.first else {
            self.view.next_try.set(self.next_try);
            if now >= self.next_try && !self.shared.draining.get() {
                self.view.next_try.set(0);
                self.begin(set);
            }
            return;
        };
        let same = |active: &Active| Rc::ptr_eq(&active.set, set) || active.set == *set;
        let changed = !same(first);
        if let Some(second) = &self.second {
            if !same(second) {
                second.closing.notify_one(); // the set changed again; its end begins the next one
                return;
            }
            let age = now - second.begun;
            let ready = self
                .shared
                .engine
                .borrow()
                .core
                .ready(second.number, age > AGED_NS);
            if ready || (second.view.live.get() != 0 && age > SWITCH_NS) {
                self.switch();
            }
        } else if changed && live == 0 {
            first.closing.notify_one(); // it never delivered: begin again with the new set
            self.next_try = now;
        } else if (changed || first.view.ending.get() || (self.rotate_at != 0 && now >= self.rotate_at))
            && now >= self.second_try
            && !self.shared.draining.get()
        {
            self.shared.log.info(
                if changed {
                    "instruments changed: second connection"
                } else {
                    "planned rotation: second connection"
                },
                json!({"instruments": set.len()}),
            );
            self.second = Some(Active::start(&self.shared, set));
        }
    }

    fn begin(&mut self, set: &Set) {
        self.first = Some(Active::start(&self.shared, set));
        self.plan_rotation();
    }

    /// Before the venue ends the connection, with time enough to try again: after 23 of 24 hours, and not
    /// all connections at once.
    fn plan_rotation(&mut self) {
        let life = self.shared.limits.life_ns;
        self.rotate_at = if self.shared.rotate_ns > 0 {
            self.shared.mono() + self.shared.rotate_ns
        } else if life > 0 {
            let jitter = (self.shared.random() % (life as u64 / 48).max(1)) as i64;
            self.shared.mono() + life - life / 24 - jitter
        } else {
            0
        };
    }

    /// The second connection becomes the first.
    fn switch(&mut self) {
        let Some(second) = self.second.take() else { return };
        self.shared.with(|engine, now| {
            engine.core.switch(second.number, now);
            engine.commit(now);
            engine.figures.rotations += 1;
        });
        self.shared.log.info(
            "second connection took over",
            json!({"connection": second.number}),
        );
        if let Some(first) = self.first.replace(second) {
            first.closing.notify_one();
        }
        self.plan_rotation();
    }

    fn first_ended(&mut self, ended: &Ended) {
        let lost = self.first.take();
        let now = self.shared.mono();
        if let Some(lost) = &lost
            && lost.view.live.get() != 0
        {
            self.backoff.live(lost.view.live.get());
        }
        if ended.wanted {
            return;
        }
        let delay = self.note_failure(ended, now, lost.is_some_and(|lost| lost.view.live.get() != 0));
        self.next_try = now + delay;
        if let Some(second) = self.second.take() {
            self.first = Some(second); // the core has let it take over already
            self.plan_rotation();
        }
    }

    fn second_ended(&mut self, ended: &Ended) {
        self.second = None;
        if !ended.wanted {
            let now = self.shared.mono();
            self.second_try = now + self.note_failure(ended, now, false);
        }
    }

    /// Logs a failure and says how long to wait before the next attempt.
    fn note_failure(&mut self, ended: &Ended, now: i64, was_live: bool) -> i64 {
        let mut delay = self.backoff.failed(now, self.shared.random());
        if ended.oversize {
            delay = delay.max(OVERSIZE_NS);
        }
        if let Some(wait) = ended.retry_after {
            let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX / 2);
            delay = delay.max(wait);
            self.shared
                .not_before
                .set(self.shared.not_before.get().max(now.saturating_add(wait)));
        }
        if was_live {
            self.shared.engine.borrow_mut().figures.reconnects += 1;
        }
        self.shared.log.warn(
            if was_live {
                "connection lost"
            } else {
                "no connection"
            },
            json!({"reason": ended.reason, "cause": ended.cause, "attempt": self.backoff.attempt(),
                   "next_try_s": delay as f64 / 1e9}),
        );
        *self.shared.trouble.borrow_mut() = Some(Failure::new(
            Category::Upstream,
            "venue_connection",
            ended.reason.clone(),
            "the collector goes on trying",
        ));
        delay
    }
}

#[cfg(test)]
mod tests {
    use journal::{Options, Writer};

    use super::super::core::{Core, Wanted};
    use super::super::keep::Keeper;
    use super::*;
    use crate::http::Proxies;

    /// A venue that cannot be reached, whose REST interface has asked for a pause of an hour.
    fn refused(home: &std::path::Path) -> Rc<Shared> {
        let wanted = Wanted {
            trades: true,
            quotes: true,
            book: true,
        };
        let log = Log::new("test");
        let writer = Writer::open(home, "binance", &Options::default()).unwrap();
        let core = Core::new(writer.next_sequence(), wanted);
        let keeper = Keeper::start(home, "binance", None, log.clone()).unwrap();
        let shared = Shared::new(
            Engine::start(writer, core, keeper, log.clone()).unwrap(),
            &venues::binance::Binance,
            Channels::default(),
            Network::new(Proxies::default()),
            Url::parse("ws://127.0.0.1:9").unwrap(),
            Url::parse("http://127.0.0.1:9").unwrap(),
            log,
            0,
            1,
        );
        let pause = Some(Duration::from_secs(3_600));
        shared.gate.borrow_mut().answered(429, pause, shared.mono());
        Rc::new(shared)
    }

    #[tokio::test]
    async fn a_request_ends_with_the_connection_that_wanted_it() {
        let home = tempfile::tempdir().unwrap();
        let shared = refused(home.path());
        let (answers, answered) = mpsc::channel(1);
        let path = "/api/v3/depth?symbol=BTCUSDT&limit=5000".to_owned();
        let fetching = fetch(shared.clone(), 1, path, answers);
        tokio::pin!(fetching);
        assert!(
            timeout(Duration::from_millis(50), &mut fetching).await.is_err(),
            "it waits for its turn"
        );
        drop(answered);
        timeout(Duration::from_secs(10), fetching)
            .await
            .expect("nobody waits for its answer any more");
        assert_eq!(shared.gets.available_permits(), GETS);
    }
}
