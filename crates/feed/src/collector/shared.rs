//! What all connections of a venue share: the engine, the budget of connects, and the turn at the REST interface,
//! which is never asked before the venue allows it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Bytes;
use venues::{Channels, Habits, Limits, Protocol};

use super::backoff::{Budget, Random};
use super::credential::Secrets;
use super::engine::Engine;
use super::gate::Gate;
use super::pace::Bucket;
use crate::failure::{Category, Failure};
use crate::http::{Bounds, Network, Url};
use crate::log::Log;

const GET: Bounds = Bounds {
    bytes: 64 << 20,
    time: Duration::from_secs(20),
};
/// While an urgent request waits for its turn, others look again after so long.
const BEHIND: Duration = Duration::from_millis(100);
/// REST requests under way at once.
pub(super) const GETS: usize = 2;

/// What all connections of a venue share.
pub struct Shared {
    pub engine: RefCell<Engine>,
    pub protocol: &'static dyn Protocol,
    pub limits: Limits,
    pub habits: Habits,
    pub(super) secrets: Secrets,
    pub channels: Channels,
    pub network: Network,
    pub ws_url: Url,
    pub rest_url: Url,
    pub log: Log,
    /// Replace connections after so long; 0 is before the venue's own end.
    pub(super) rotate_ns: i64,
    gate: RefCell<Gate>,
    gets: Semaphore,
    /// What the REST interface bears.
    requests: RefCell<Bucket>,
    /// Urgent requests that wait for their turn.
    urgent: Cell<usize>,
    /// What the venue bears of messages.
    pub(super) messages: RefCell<Bucket>,
    pub(super) budget: RefCell<Budget>,
    random: RefCell<Random>,
    /// No connect before this, monotonic: a venue that refused said so.
    pub(super) not_before: Cell<i64>,
    pub draining: Cell<bool>,
    /// Why the last connection failed; cleared when one is live.
    pub trouble: RefCell<Option<Failure>>,
    /// The engine has a reason to end the process.
    pub fatal: Notify,
    pub(super) announced: Cell<bool>,
}

impl Shared {
    #[allow(clippy::too_many_arguments)] // each is a part of its own, named at the one call
    pub fn new(
        engine: Engine,
        protocol: &'static dyn Protocol,
        secrets: Secrets,
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
            habits: protocol.habits(),
            secrets,
            channels,
            network,
            ws_url,
            rest_url,
            log,
            rotate_ns,
            gate: RefCell::default(),
            gets: Semaphore::new(GETS),
            requests: RefCell::new(Bucket::new(limits.requests)),
            urgent: Cell::new(0),
            messages: RefCell::new(Bucket::new(limits.messages)),
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
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Engine, i64) -> T) -> T {
        let mut engine = self.engine.borrow_mut();
        let now = engine.clock.now();
        let result = f(&mut engine, now);
        if engine.fatal.is_some() {
            self.fatal.notify_one();
        }
        result
    }

    /// GETs a path of the venue's REST interface, never before the venue allows it.
    pub async fn get(&self, weight: u32, path: &str) -> Result<(u16, Bytes), Failure> {
        let _turn = self.turn(weight, true).await;
        self.ask(path).await
    }

    /// Waits until the venue's REST interface may be asked for something of this weight; what this gives is kept
    /// until the answer is there. Nobody keeps it while waiting, so what is urgent comes first.
    pub(super) async fn turn(&self, weight: u32, urgent: bool) -> Option<SemaphorePermit<'_>> {
        struct Waiting<'a>(&'a Cell<usize>);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let _waiting = urgent.then(|| {
            self.urgent.set(self.urgent.get() + 1);
            Waiting(&self.urgent)
        });
        loop {
            let permit = self.gets.acquire().await.ok(); // never closed, so there always is one
            let now = self.mono();
            let wait = match self.gate.borrow().wait(now) {
                0 if !urgent && self.urgent.get() > 0 => BEHIND,
                0 => match self.requests.borrow_mut().take(weight, now) {
                    Ok(()) => return permit,
                    Err(wait) => Duration::from_nanos(wait as u64),
                },
                wait => Duration::from_nanos(wait as u64),
            };
            drop(permit);
            sleep(wait).await;
        }
    }

    /// The request itself. It is not given up on the way: its answer may ask for a pause.
    pub(super) async fn ask(&self, path: &str) -> Result<(u16, Bytes), Failure> {
        let url = self.rest_url.join(path);
        match self.network.get(&url, GET).await {
            Ok(answer) => {
                self.answered(answer.status, answer.retry_after);
                if answer.status == 200 {
                    let mut engine = self.engine.borrow_mut();
                    let now = engine.clock.now();
                    engine.keeper.answer(now, path, &answer.body);
                } else {
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

    /// The REST interface answered with this status and asked for this pause.
    pub(super) fn answered(&self, status: u16, retry_after: Option<Duration>) {
        self.gate.borrow_mut().answered(status, retry_after, self.mono());
    }
}
