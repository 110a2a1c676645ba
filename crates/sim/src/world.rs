//! All venues on one clock: takes what is due in the order of its time, and nothing depends on when it is asked.

use crate::faults::{ACTIVE_MAX, Body, Kind, Request as Fault, catalogue};
use crate::flow::Path;
use crate::http::{Request, Response};
use crate::hub::Hub;
use crate::market::{Frozen, Market};
use crate::options::Options;
use crate::protocols::{Context, Feed, TIMER_NS, feed};
use crate::spec::{Protocol, instruments};
use crate::state::{Reserved, Saved, VERSION, save_market};
use crate::truth::Truth;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One simulated venue.
pub struct Venue {
    pub market: Market,
    pub hub: Hub,
    pub feed: Box<dyn Feed>,
    reserved: Vec<Reserved>,
    /// When the connections that `half_open` or `end` holds are dropped.
    ends_at: Option<Instant>,
    /// Connections that were told of their end; those made since then stay.
    told: Vec<u64>,
    /// REST requests answered.
    pub requests: u64,
}

/// Runs one call of the feed with the venue's other parts at hand.
macro_rules! feed {
    ($world:expr, $venue:expr, |$feed:ident, $context:ident| $call:expr) => {{
        let venue = &mut $world.venues[$venue];
        let mut context = Context {
            market: &mut venue.market,
            hub: &mut venue.hub,
            truth: &mut $world.truth,
        };
        let ($feed, $context) = (&mut venue.feed, &mut context);
        $call
    }};
}

/// Everything that is simulated.
pub struct World {
    pub venues: Vec<Venue>,
    paths: Vec<(String, Path)>,
    pub truth: Truth,
    /// (venue time, venue, instrument) of the next actions.
    due: BinaryHeap<Reverse<(i64, usize, usize)>>,
    timer_ns: i64,
    pub now_ns: i64,
    saved: Saved,
    state: Option<PathBuf>,
    seed: u64,
    rate: f64,
    actions: u64,
}

impl World {
    /// The venues of `options` as they are at `start_ns`.
    pub fn new(
        options: &Options,
        start_ns: i64,
        truth: Truth,
        state: Option<PathBuf>,
    ) -> Result<Self, String> {
        let mut saved = match &state {
            Some(path) => Saved::load(path)?,
            None => Saved::default(),
        };
        // Times go on where the earlier life ended, even if it ran ahead of the clock.
        let start_ns = start_ns.max(saved.saved_ns + TIMER_NS);
        let rate = options.rate / options.venues.len().max(1) as f64;
        let life_seed = crate::random::mix(options.seed.wrapping_add(saved.life));
        let paths = instruments(Protocol::Kraken)
            .iter()
            .map(|s| {
                (
                    s.base.clone(),
                    Path::new(life_seed, &s.base, s.volatility, saved.level(&s.base), start_ns),
                )
            })
            .collect();
        let venues: Vec<Venue> = options
            .venues
            .iter()
            .map(|protocol| {
                let market = Market::new(*protocol, options.seed, rate, start_ns, &saved);
                let feed = feed(*protocol, market.instruments.len());
                let reserved = vec![Reserved::UNBOUNDED; market.instruments.len()];
                Venue {
                    market,
                    hub: Hub::default(),
                    feed,
                    reserved,
                    ends_at: None,
                    told: Vec::new(),
                    requests: 0,
                }
            })
            .collect();
        let mut due = BinaryHeap::new();
        for (v, venue) in venues.iter().enumerate() {
            for i in 0..venue.market.instruments.len() {
                // Staggered, so that not everything happens in the first microsecond.
                due.push(Reverse((
                    start_ns + 1_000_000 * (1 + i as i64) + 1_000 * v as i64,
                    v,
                    i,
                )));
            }
        }
        saved.life += 1;
        saved.born_ns.get_or_insert(start_ns);
        let mut world = Self {
            venues,
            paths,
            truth,
            due,
            timer_ns: (start_ns / TIMER_NS + 1) * TIMER_NS,
            now_ns: start_ns,
            saved,
            state,
            seed: options.seed,
            rate: options.rate,
            actions: 0,
        };
        for venue in &world.venues {
            venue.market.log_beginning(&mut world.truth, &world.saved);
        }
        world
            .save(false)
            .map_err(|error| format!("cannot write the simulator's state: {error}"))?;
        Ok(world)
    }

    /// Venue time at which something happens next.
    pub fn next_due_ns(&self) -> i64 {
        self.due
            .peek()
            .map_or(self.timer_ns, |Reverse((ns, ..))| self.timer_ns.min(*ns))
    }

    /// Lets everything happen that is due until `until_ns`, at most `limit` events. Returns whether it is all
    /// done. An error is a file that cannot be written.
    pub fn advance(&mut self, until_ns: i64, limit: usize) -> io::Result<bool> {
        for _ in 0..limit {
            let action = self.due.peek().map(|Reverse(action)| *action);
            match action {
                Some((ns, venue, instrument)) if ns < self.timer_ns => {
                    if ns > until_ns {
                        return Ok(true);
                    }
                    self.due.pop();
                    self.now_ns = ns;
                    self.act(venue, instrument)?;
                }
                _ => {
                    if self.timer_ns > until_ns {
                        return Ok(true);
                    }
                    self.now_ns = self.timer_ns;
                    self.timer_ns += TIMER_NS;
                    self.timer();
                }
            }
        }
        Ok(false)
    }

    fn act(&mut self, v: usize, i: usize) -> io::Result<()> {
        let venue = &mut self.venues[v];
        venue.market.now_ns = self.now_ns;
        venue.hub.now_ns = self.now_ns;
        let base = &venue.market.instruments[i].spec.base;
        let Some((_, path)) = self.paths.iter_mut().find(|(b, _)| b == base) else {
            return Ok(());
        };
        let (step, due) = venue.market.act(i, path, &mut self.truth);
        self.due.push(Reverse((due, v, i)));
        self.actions += 1;
        feed!(self, v, |feed, context| feed.step(context, i, step));
        let venue = &self.venues[v];
        if venue.reserved[i].is_low(&venue.market.instruments[i]) {
            self.save(false)?;
        }
        Ok(())
    }

    fn timer(&mut self) {
        for v in 0..self.venues.len() {
            let venue = &mut self.venues[v];
            venue.market.now_ns = self.now_ns;
            venue.hub.now_ns = self.now_ns;
            feed!(self, v, |feed, context| feed.timer(context));
        }
    }

    /// Sets the clock forward without letting anything happen: after the machine slept.
    pub fn shift(&mut self, ns: i64) {
        self.now_ns += ns;
        self.timer_ns = (self.now_ns / TIMER_NS + 1) * TIMER_NS;
        self.due = self
            .due
            .drain()
            .map(|Reverse((at, v, i))| Reverse((at + ns, v, i)))
            .collect();
        self.paths.iter_mut().for_each(|(_, path)| path.shift(ns));
        self.venues.iter_mut().for_each(|venue| venue.market.shift(ns));
    }

    /// Writes the state: exactly (`clean`, at the end) or with ids reserved ahead. Where it cannot be written,
    /// what was reserved before still holds.
    pub fn save(&mut self, clean: bool) -> io::Result<()> {
        let Some(path) = &self.state else { return Ok(()) };
        for (base, state) in &self.paths {
            self.saved.levels.insert(base.clone(), state.level);
        }
        let mut reserved = Vec::with_capacity(self.venues.len());
        for venue in &self.venues {
            reserved.push(save_market(&mut self.saved, &venue.market, clean));
        }
        self.saved.saved_ns = self.now_ns;
        // Said here, as a home may have providers alone and no venue at all.
        self.saved.version = VERSION;
        self.saved.clean = clean;
        self.saved.store(path)?;
        for (venue, reserved) in self.venues.iter_mut().zip(reserved) {
            venue.reserved = reserved;
        }
        Ok(())
    }

    pub fn open(&mut self, v: usize, request: &Request, connect: impl FnOnce(&mut Hub) -> u64) -> u64 {
        let id = connect(&mut self.venues[v].hub);
        feed!(self, v, |feed, context| feed.open(context, id, request));
        id
    }

    pub fn close(&mut self, v: usize, id: u64) {
        self.venues[v].hub.close(id);
        self.venues[v].feed.close(id);
    }

    pub fn message(&mut self, v: usize, id: u64, text: &str) {
        feed!(self, v, |feed, context| feed.message(context, id, text));
    }

    pub fn control_frame(&mut self, v: usize, id: u64) {
        feed!(self, v, |feed, context| feed.control(context, id));
    }

    pub fn get(&mut self, v: usize, request: &Request) -> Response {
        self.venues[v].requests += 1;
        if let Some((status, retry_after_s)) = self.venues[v].hub.faults.refusal() {
            return refusal(self.venues[v].market.protocol, status).with("retry-after", retry_after_s);
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD" | "POST") {
            return Response::json(405, "{\"message\":\"method not allowed\"}");
        }
        feed!(self, v, |feed, context| feed.get(context, request))
    }

    /// Ends faults whose time is over. Called every few milliseconds of real time.
    pub fn expire(&mut self, now: Instant) {
        for venue in &mut self.venues {
            if !venue.hub.faults.is_idle() {
                venue.hub.expire(now);
                venue.settle();
            }
            if venue.ends_at.is_some_and(|at| now >= at) {
                venue.ends_at = None;
                venue.hub.cut();
            }
        }
    }

    /// `POST /faults`.
    pub fn start_fault(&mut self, body: &[u8]) -> Response {
        let body: Body = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => {
                return failure(
                    400,
                    &format!("the body is not a JSON object {{\"venue\",\"fault\",…}}: {error}"),
                );
            }
        };
        let names: Vec<&str> = self.venues.iter().map(|v| v.market.venue.as_str()).collect();
        let wanted = body.venue.as_deref();
        let Some(v) = wanted.map_or_else(
            || (self.venues.len() == 1).then_some(0),
            |wanted| {
                self.venues
                    .iter()
                    .position(|v| v.market.venue == wanted || v.market.protocol.name() == wanted)
            },
        ) else {
            return failure(
                404,
                &format!(
                    "no venue named '{}'; have: {}",
                    wanted.unwrap_or(""),
                    names.join(", ")
                ),
            );
        };
        let market = &self.venues[v].market;
        let request = Fault::check(&body, |name| {
            let found = market
                .instruments
                .iter()
                .position(|i| i.spec.name == name || i.spec.id == name || i.spec.symbol == name);
            found.ok_or_else(|| {
                let known: Vec<&str> = market.instruments.iter().map(|i| i.spec.name.as_str()).collect();
                format!(
                    "no instrument named '{name}' at {}; have: {}",
                    market.venue,
                    known.join(", ")
                )
            })
        });
        match request {
            Err(why) => failure(400, &why),
            Ok(request) if request.kind == Kind::BadChecksum && market.protocol != Protocol::Kraken => {
                failure(
                    400,
                    &format!("{} sends no checksums; only sim-kraken does", market.venue),
                )
            }
            Ok(_) if self.venues[v].hub.faults.is_full() => failure(
                409,
                &format!(
                    "{ACTIVE_MAX} faults go on at {} already; wait, or end them all with DELETE /faults",
                    market.venue
                ),
            ),
            Ok(request) => {
                let mut answer = self.apply(v, request);
                answer["venue"] = json!(self.venues[v].market.venue);
                answer["fault"] = json!(body.fault);
                Response::ok(answer.to_string())
            }
        }
    }

    fn apply(&mut self, v: usize, request: Fault) -> Value {
        let now = Instant::now();
        let venue = &mut self.venues[v];
        let connections = venue.hub.len();
        let duration = request.duration();
        let seconds = request.seconds;
        venue.hub.faults.started += 1;
        let mut answer = json!({"connections": connections});
        match request.kind {
            Kind::Cut => {
                venue.hub.cut();
                answer["did"] = json!(format!("cut {connections} connections"));
                return answer;
            }
            Kind::Oversize => {
                let bytes = request.amount as usize;
                let frame = bytes.saturating_sub(OVERSIZE_HEAD.len() + OVERSIZE_TAIL.len());
                let text = format!("{OVERSIZE_HEAD}{}{OVERSIZE_TAIL}", "x".repeat(frame));
                let text = tokio_tungstenite::tungstenite::Utf8Bytes::from(text);
                for id in venue.hub.ids() {
                    venue.hub.text(id, crate::hub::Class::CONTROL, text.clone());
                }
                answer["did"] = json!(format!("sent {} bytes to {connections} connections", text.len()));
                return answer;
            }
            Kind::End => {
                feed!(self, v, |feed, context| feed.announce_end(context));
                let venue = &mut self.venues[v];
                venue.told = venue.hub.ids();
                if duration.is_zero() {
                    venue.close_told();
                } else {
                    venue.hub.faults.start(request, now);
                }
                answer["did"] = json!(format!(
                    "ends {connections} connections in {} s",
                    duration.as_secs_f64()
                ));
                return answer;
            }
            Kind::HalfOpen => venue.ends_at = Some(now + duration),
            _ => {}
        }
        let kind = request.kind;
        let count = request.count;
        let id = venue.hub.faults.start(request, now);
        venue.settle();
        answer["id"] = json!(id);
        answer["seconds"] = json!(seconds);
        answer["count"] = json!(count.filter(|c| *c < 1_000_000));
        answer["did"] = json!(match kind {
            Kind::HalfOpen => format!("froze {connections} connections; they are dropped at the end"),
            Kind::Refuse => "new connections are reset".to_owned(),
            Kind::StaleSnapshot => "snapshots show the book as it is now".to_owned(),
            _ => "started".to_owned(),
        });
        answer
    }

    /// `DELETE /faults`.
    pub fn clear_faults(&mut self) -> Response {
        let mut cleared = 0;
        for venue in &mut self.venues {
            let (count, held) = venue.hub.faults.clear();
            cleared += count;
            for (id, text) in held {
                venue.hub.text(id, crate::hub::Class::CONTROL, text);
            }
            if venue.ends_at.take().is_some() {
                venue.hub.cut();
            }
            venue.settle();
        }
        Response::ok(json!({"cleared": cleared}).to_string())
    }

    /// `GET /faults`.
    pub fn list_faults(&self) -> Response {
        let now = Instant::now();
        let active: serde_json::Map<String, Value> = self
            .venues
            .iter()
            .map(|v| (v.market.venue.clone(), json!(v.hub.faults.list(now))))
            .collect();
        Response::ok(json!({"kinds": catalogue(), "active": active}).to_string())
    }

    /// Counters of `GET /status`.
    pub fn status(&self) -> Value {
        let venues: serde_json::Map<String, Value> = self
            .venues
            .iter()
            .map(|v| {
                let published = v.market.published;
                let about = json!({
                    "protocol": v.market.protocol.name(),
                    "instruments": v.market.instruments.iter().map(|i| &i.spec.id).collect::<Vec<_>>(),
                    "connections": v.hub.len(),
                    "opened": v.hub.opened,
                    "sent": v.hub.sent,
                    "sent_bytes": v.hub.sent_bytes,
                    "slow_clients_cut": v.hub.slow,
                    "requests": v.requests,
                    "faults": v.hub.faults.started,
                    "published": {"trades": published.trades, "books": published.books, "quotes": published.quotes},
                });
                (v.market.venue.clone(), about)
            })
            .collect();
        json!({
            "seed": self.seed,
            "rate": self.rate,
            "now_ns": self.now_ns,
            "life": self.saved.life,
            "actions": self.actions,
            "truth_lines": self.truth.lines(),
            "venues": venues,
        })
    }
}

const OVERSIZE_HEAD: &str = "{\"channel\":\"oversize\",\"type\":\"oversize\",\"padding\":\"";
const OVERSIZE_TAIL: &str = "\"}";

impl Venue {
    /// Brings sockets, clock and snapshots in line with the faults that are going on.
    fn settle(&mut self) {
        self.hub.settle();
        self.market.skew_ns = self.hub.faults.skew_ms() * 1_000_000;
        for (index, instrument) in self.market.instruments.iter_mut().enumerate() {
            if !self.hub.faults.is_stale(index) {
                instrument.frozen = None;
            } else if instrument.frozen.is_none() {
                instrument.frozen = Some(Frozen {
                    ladder: instrument.ladder.clone(),
                    update: instrument.published_update,
                    ts: instrument.book_ts,
                });
            }
        }
        if self.hub.faults.take_ended() {
            self.close_told();
        }
    }

    fn close_told(&mut self) {
        for id in std::mem::take(&mut self.told) {
            self.hub.shut(id, 1001, "connection lifetime is over");
        }
    }
}

fn refusal(protocol: Protocol, status: u16) -> Response {
    let body = match protocol {
        Protocol::Kraken => "{\"error\":[\"EAPI:Rate limit exceeded\"]}",
        Protocol::Coinbase => "{\"message\":\"Public rate limit exceeded\"}",
        Protocol::CoinbaseAdvanced => "{\"error\":\"rate_limit_exceeded\",\"message\":\"Too many requests\"}",
        Protocol::Binance if status == 418 => {
            "{\"code\":-1003,\"msg\":\"Way too much request weight used; IP banned. Please use WebSocket Streams for live updates to avoid bans.\"}"
        }
        Protocol::Binance => {
            "{\"code\":-1003,\"msg\":\"Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.\"}"
        }
    };
    Response::json(status, body)
}

/// The control port's way of saying no.
pub fn failure(status: u16, message: &str) -> Response {
    Response::json(status, json!({"error": message}).to_string())
}

/// How long the state may lag behind what was published.
pub const SAVE_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RESERVE;

    const START: i64 = 1_786_309_548_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    fn options(venues: Vec<Protocol>, rate: f64) -> Options {
        Options {
            venues,
            rate,
            seed: 4,
            ..Options::default()
        }
    }

    fn run(world: &mut World, seconds: i64) {
        let until = world.now_ns + seconds * SECOND;
        while !world.advance(until, 1_000).unwrap() {}
    }

    #[test]
    fn pace_is_the_asked_rate() {
        for protocol in Protocol::ALL {
            for rate in [30.0, 1_600.0] {
                let options = options(vec![protocol], rate);
                let mut world = World::new(&options, START, Truth::none(), None).unwrap();
                run(&mut world, 60);
                let published = world.venues[0].market.published;
                let seen = (published.trades + published.books + published.quotes) as f64 / 60.0;
                let status = world.status();
                assert!(
                    (rate * 0.75..rate * 1.25).contains(&seen),
                    "{protocol:?}: asked {rate}, saw {seen}: {status}"
                );
            }
        }
    }

    fn truth_of(options: &Options, seconds: i64, chunk_ns: i64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let mut world = World::new(options, START, Truth::open(&path).unwrap(), None).unwrap();
        let mut now = START;
        while now < START + seconds * SECOND {
            now += chunk_ns;
            while !world.advance(now, 100).unwrap() {}
        }
        world.truth.flush().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_truth_however_the_clock_ticks() {
        let options = options(Protocol::ALL.to_vec(), 1_000.0);
        let fine = truth_of(&options, 5, 1_000_000);
        let coarse = truth_of(&options, 5, SECOND);
        assert!(fine.lines().count() > 5_000);
        assert_eq!(fine, coarse);
        let other = truth_of(&Options { seed: 5, ..options }, 5, SECOND);
        assert_ne!(fine, other);
    }

    #[test]
    fn ids_and_prices_go_on_after_a_clean_end_and_after_a_kill() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state.json");
        let options = options(vec![Protocol::Kraken, Protocol::Binance], 400.0);
        let mut start = START;
        let mut before: Option<Vec<(u64, u64, i64, u64)>> = None;
        for clean in [true, false, true] {
            let mut world = World::new(&options, start, Truth::none(), Some(state.clone())).unwrap();
            let look = |world: &World| -> Vec<(u64, u64, i64, u64)> {
                let all = world.venues.iter().flat_map(|v| &v.market.instruments);
                all.map(|i| (i.next_trade, i.update, i.touch().0.unwrap().0, i.sequence))
                    .collect()
            };
            if let Some(before) = &before {
                for (old, new) in before.iter().zip(look(&world)) {
                    assert!(
                        new.0 >= old.0 && new.1 >= old.1 && new.3 >= old.3,
                        "{old:?} {new:?}"
                    );
                    let jump = (new.2 - old.2).abs() as f64 / old.2 as f64;
                    assert!(jump < 0.1, "price jumped from {} to {}", old.2, new.2);
                }
            }
            run(&mut world, 20);
            if clean {
                world.save(true).unwrap();
            } // else: killed, and the file is the one of the start
            before = Some(look(&world));
            start += 30 * SECOND;
        }
    }

    #[test]
    fn a_damaged_state_goes_on_from_the_one_before_it_and_repeats_no_id() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state.json");
        let options = options(vec![Protocol::Kraken, Protocol::Binance], 400.0);
        let ids = |world: &World| -> Vec<[u64; 5]> {
            let all = world.venues.iter().flat_map(|v| &v.market.instruments);
            all.map(|i| {
                [
                    i.next_trade,
                    i.next_aggregate,
                    i.update,
                    i.sequence,
                    i.next_order(),
                ]
            })
            .collect()
        };
        let mut start = START;
        let mut claimed: Option<Vec<[u64; 5]>> = None;
        // None is a file that is gone: the kill came between two renames.
        for damage in [Some(""), Some("{\"version\":1,"), None, Some(""), Some("\0\0")] {
            let mut world = World::new(&options, start, Truth::none(), Some(state.clone())).unwrap();
            for (claimed, next) in claimed.iter().flatten().zip(ids(&world)) {
                let fresh = claimed.iter().zip(next).all(|(claimed, next)| next >= *claimed);
                assert!(fresh, "{claimed:?} {next:?}");
            }
            if claimed.is_none() {
                run(&mut world, 5);
                world.save(false).unwrap(); // the first state of a home has none before it
            }
            // All that the newest state claims may have been used when it is lost.
            let claims = ids(&world).into_iter().map(|all| all.map(|id| id + RESERVE));
            claimed = Some(claims.collect());
            match damage {
                Some(text) => std::fs::write(&state, text).unwrap(),
                None => std::fs::remove_file(&state).unwrap(),
            }
            start += 30 * SECOND;
        }
    }

    #[test]
    fn a_state_that_nothing_stands_in_for_is_new_when_empty_and_refused_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state.json");
        std::fs::write(&state, "").unwrap();
        assert_eq!(Saved::load(&state).unwrap().life, 0);
        std::fs::write(&state, "{").unwrap();
        let why = Saved::load(&state).unwrap_err();
        assert!(
            why.contains("not a simulator state") && why.contains("another --home"),
            "{why}"
        );
    }

    #[test]
    fn a_reserve_that_runs_low_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state.json");
        let options = options(vec![Protocol::Binance], 100_000.0);
        let mut world = World::new(&options, START, Truth::none(), Some(state.clone())).unwrap();
        run(&mut world, 4);
        let saved = Saved::load(&state).unwrap();
        for i in &world.venues[0].market.instruments {
            let entry = &saved.instruments[&i.spec.id];
            assert!(
                entry.update > i.update && entry.next_trade > i.next_trade,
                "{}",
                i.spec.id
            );
        }
    }

    #[test]
    fn the_truth_rebuilds_the_books() {
        let options = options(Protocol::ALL.to_vec(), 1_000.0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("truth");
        let mut world = World::new(&options, START, Truth::open(&path).unwrap(), None).unwrap();
        run(&mut world, 7);
        world.truth.flush().unwrap();
        type Side = std::collections::BTreeMap<String, String>;
        let mut books: std::collections::BTreeMap<(String, String), Side> = Default::default();
        let mut trades: std::collections::BTreeMap<String, u64> = Default::default();
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let instrument = line["instrument"].as_str().unwrap().to_owned();
            let text = |v: &Value| v.as_str().unwrap().to_owned();
            match line["kind"].as_str().unwrap() {
                "reset" => {
                    for side in ["bid", "ask"] {
                        let levels = line[format!("{side}s")].as_array().unwrap();
                        let levels = levels.iter().map(|l| (text(&l[0]), text(&l[1]))).collect();
                        books.insert((instrument.clone(), side.to_owned()), levels);
                    }
                }
                "level" => {
                    let book = books.get_mut(&(instrument, text(&line["side"]))).unwrap();
                    if text(&line["size"]).parse::<f64>().unwrap() == 0.0 {
                        book.remove(&text(&line["price"]));
                    } else {
                        book.insert(text(&line["price"]), text(&line["size"]));
                    }
                }
                _ => {
                    let id = line["id"].as_u64().unwrap();
                    if let Some(last) = trades.insert(instrument, id) {
                        assert_eq!(id, last + 1);
                    }
                }
            }
        }
        for venue in &world.venues {
            for i in &venue.market.instruments {
                for (side, name) in [
                    (kernels::matching::Side::Bid, "bid"),
                    (kernels::matching::Side::Ask, "ask"),
                ] {
                    let kept = &books[&(i.spec.id.clone(), name.to_owned())];
                    assert_eq!(kept.len(), i.ladder.levels(side).len());
                    for (price, size) in i.ladder.levels(side) {
                        let (mut p, mut s) = (String::new(), String::new());
                        crate::truth::push_level_price(&mut p, venue.market.protocol, &i.spec, price);
                        crate::truth::push_level_size(&mut s, venue.market.protocol, &i.spec, size);
                        assert_eq!(kept[&p], s);
                    }
                }
                assert_eq!(trades[&i.spec.id] + 1, i.next_trade);
            }
        }
    }
}
