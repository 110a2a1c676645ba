//! Keeps one set of instruments connected: reconnects with backoff, replaces a connection before the venue ends it,
//! follows a changed set. It never sees a message.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use venues::Subscription;
use wire::cause;

use super::backoff::Backoff;
use super::connection::{self, Ended, View};
use super::shared::Shared;
use crate::failure::{Category, Failure};

const S: i64 = 1_000_000_000;
const TICK: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_millis(500);
/// After a message over the limit, at most one connect a minute: the next one may be as large.
const OVERSIZE_NS: i64 = 60 * S;
/// A second connection without a trade of some instrument counts as ready after so long.
const AGED_NS: i64 = 20 * S;
/// A second connection that is not ready by then takes over as it is.
const SWITCH_NS: i64 = 60 * S;

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
        let task = tokio::task::spawn_local(connection::run(
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
pub async fn keep_connected(shared: Rc<Shared>, view: Rc<SlotView>, mut wanted: watch::Receiver<Set>) {
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

/// See [`keep_connected`].
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
        } else if (changed && live == 0)
            || (self.shared.habits.sole && (changed || (self.rotate_at != 0 && now >= self.rotate_at)))
        {
            // it never delivered, or a second one beside it cannot be: begin again with the new set
            first.closing.notify_one();
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
        let (category, code, hint) = if ended.key {
            (
                Category::Auth,
                "venue_key",
                "give it another key and start the collector again",
            )
        } else {
            (
                Category::Upstream,
                "venue_connection",
                "the collector goes on trying",
            )
        };
        *self.shared.trouble.borrow_mut() = Some(Failure::new(category, code, ended.reason.clone(), hint));
        delay
    }
}
