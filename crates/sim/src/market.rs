//! What one simulated venue knows about its instruments: engine, published book, trades, bars.

use crate::flow::{Flow, Path};
use crate::history::{MINUTE_NS, backward};
use crate::spec::{Protocol, Spec, instruments};
use crate::state::Saved;
use crate::truth::Truth;
use kernels::matching::{Change, Matching, Outcome, Side};
use std::collections::VecDeque;

/// Trades kept for REST history, per instrument.
const TRADES_KEPT: usize = 50_000;
/// Minutes kept of the simulator's own trading, per instrument: a week.
const MINUTES_KEPT: usize = 10_080;
/// How far back the made-up history of bars goes: 60 days.
const HISTORY_MINUTES: i64 = 86_400;

/// One execution as published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// +1 per instrument.
    pub id: u64,
    /// Number of the (taker order, price) it belongs to, +1 per instrument.
    pub aggregate: u64,
    /// Venue time, ns, on the venue's printed resolution.
    pub ts: i64,
    /// Ticks.
    pub price: i64,
    /// Lots.
    pub size: i64,
    pub aggressor: Side,
    pub maker: u64,
    pub taker: u64,
}

impl Trade {
    /// Whether the taker's order was a market order, as far as the venue tells.
    pub fn is_market(&self) -> bool {
        self.taker.is_multiple_of(3)
    }
}

/// Levels of one instrument as the venue has published them. Best last: most changes are near the end.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
}

impl Ladder {
    pub fn set(&mut self, change: Change) {
        let (levels, at) = match change.side {
            Side::Bid => {
                let at = self.bids.binary_search_by(|(price, _)| price.cmp(&change.price));
                (&mut self.bids, at)
            }
            Side::Ask => {
                let at = self.asks.binary_search_by(|(price, _)| change.price.cmp(price));
                (&mut self.asks, at)
            }
        };
        match (at, change.size) {
            (Ok(at), 0) => {
                levels.remove(at);
            }
            (Ok(at), size) => levels[at].1 = size,
            (Err(_), 0) => {}
            (Err(at), size) => levels.insert(at, (change.price, size)),
        }
    }

    /// Levels best first: (ticks, lots).
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = (i64, i64)> + '_ {
        match side {
            Side::Bid => self.bids.iter(),
            Side::Ask => self.asks.iter(),
        }
        .rev()
        .copied()
    }

    pub fn best(&self, side: Side) -> Option<(i64, i64)> {
        self.levels(side).next()
    }
}

/// A published book at one moment, for snapshots.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub ladder: Ladder,
    pub update: u64,
    pub ts: i64,
}

/// One minute of trading, in ticks and lots.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Minute {
    pub start_ns: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub volume: i128,
    /// Sum of ticks × lots.
    pub notional: i128,
    /// The part of volume and notional whose taker bought.
    pub buy_volume: i128,
    pub buy_notional: i128,
    pub trades: u64,
    /// 0 where ids are not known (before the simulator began).
    pub first_id: u64,
    pub last_id: u64,
}

impl Minute {
    /// A bar of one trade.
    pub fn of(start_ns: i64, trade: &Trade) -> Self {
        let mut bar = Self::begin(start_ns, trade);
        bar.add(trade);
        bar
    }

    fn begin(start_ns: i64, trade: &Trade) -> Self {
        let price = trade.price;
        Self {
            start_ns,
            open: price,
            high: price,
            low: price,
            close: price,
            first_id: trade.id,
            ..Self::default()
        }
    }

    fn add(&mut self, trade: &Trade) {
        let (volume, notional) = (
            i128::from(trade.size),
            i128::from(trade.size) * i128::from(trade.price),
        );
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume += volume;
        self.notional += notional;
        if trade.aggressor == Side::Bid {
            self.buy_volume += volume;
            self.buy_notional += notional;
        }
        self.trades += 1;
        self.last_id = trade.id;
    }

    /// Takes a later bar into this one.
    pub fn merge(&mut self, later: &Self) {
        if later.trades == 0 {
            return;
        }
        if self.trades == 0 {
            *self = Self {
                start_ns: self.start_ns,
                ..*later
            };
            return;
        }
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.notional += later.notional;
        self.buy_volume += later.buy_volume;
        self.buy_notional += later.buy_notional;
        self.trades += later.trades;
        self.last_id = later.last_id;
    }
}

/// What one action of the flow did, as published.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Venue time, ns.
    pub ts: i64,
    /// The last so many of [`Instrument::trades`] are new.
    pub trades: usize,
    /// Whether best bid or ask changed in the engine.
    pub touch_changed: bool,
}

/// Best price (ticks) and lots of one side, if it has any.
pub type Quote = Option<(i64, i64)>;

/// One instrument of one venue.
pub struct Instrument {
    pub spec: Spec,
    pub engine: Matching,
    flow: Flow,
    /// Book as published; behind the engine where the venue batches.
    pub ladder: Ladder,
    /// Served instead of the true book while the fault `stale_snapshot` lasts.
    pub frozen: Option<Frozen>,
    /// Level changes of the last action.
    pub outcome: Outcome,
    /// Prices changed since the last batch.
    pending: Vec<(Side, i64)>,
    pub trades: VecDeque<Trade>,
    pub next_trade: u64,
    pub next_aggregate: u64,
    /// The engine's number of the last level change.
    pub update: u64,
    /// The same as of the last published batch.
    pub published_update: u64,
    /// The venue's number of the last event of any kind.
    pub sequence: u64,
    /// Venue time of the last event, and of the published book.
    pub last_ts: i64,
    pub book_ts: i64,
    minutes: VecDeque<Minute>,
    day_before: Minute,
    seed: u64,
    born_ns: i64,
    mean_gap_ns: f64,
}

impl Instrument {
    /// Best bid and ask of the engine: (ticks, lots).
    pub fn touch(&self) -> (Quote, Quote) {
        (self.engine.best(Side::Bid), self.engine.best(Side::Ask))
    }

    /// The book for a snapshot, its update id and its time.
    pub fn snapshot(&self) -> (&Ladder, u64, i64) {
        match &self.frozen {
            Some(frozen) => (&frozen.ladder, frozen.update, frozen.ts),
            None => (&self.ladder, self.published_update, self.book_ts),
        }
    }

    pub fn last_trade(&self) -> Option<&Trade> {
        self.trades.back()
    }

    /// Price of the last trade, or where a first one would be.
    pub fn last_price(&self) -> i64 {
        self.trades.back().map_or_else(
            || self.touch().0.map_or(self.spec.start_ticks, |(p, _)| p),
            |t| t.price,
        )
    }

    /// Position in [`Self::trades`] of the first trade with an id of at least `id`.
    pub fn trade_at(&self, id: u64) -> usize {
        self.trades.partition_point(|t| t.id < id)
    }

    pub fn next_order(&self) -> u64 {
        self.flow.next_order()
    }

    /// Trading of the last 24 hours, the running minute included.
    pub fn day(&self) -> Minute {
        let mut day = self.day_before;
        if let Some(running) = self.minutes.back().filter(|m| m.start_ns >= day.start_ns) {
            day.merge(running);
        }
        day
    }

    /// The bar that is running, if there was a trade in it.
    pub fn running_minute(&self) -> Option<&Minute> {
        self.minutes.back()
    }

    /// The newest minutes of the simulator's own trading.
    pub fn live_minutes(&self, count: usize) -> Vec<Minute> {
        self.minutes
            .range(self.minutes.len().saturating_sub(count)..)
            .copied()
            .collect()
    }

    /// Minutes with trades from `from_ns` (its whole minute) to before `to_ns`, oldest first: made-up
    /// history, then what the simulator traded.
    pub fn minutes(&self, from_ns: i64, to_ns: i64) -> Vec<Minute> {
        let from = from_ns.div_euclid(MINUTE_NS) * MINUTE_NS;
        let mut found = Vec::new();
        let past = ((self.born_ns - from).div_euclid(MINUTE_NS) + 1).clamp(0, HISTORY_MINUTES);
        if past > 0 {
            for bar in backward(self.seed, &self.spec, past as usize, self.born_ns) {
                if bar.start_ns >= from && bar.start_ns < to_ns {
                    let volume = i128::from(bar.volume);
                    let typical = i128::from(bar.high + bar.low + bar.close) / 3;
                    found.push(Minute {
                        start_ns: bar.start_ns,
                        open: bar.open,
                        high: bar.high,
                        low: bar.low,
                        close: bar.close,
                        volume,
                        notional: volume * typical,
                        buy_volume: volume / 2,
                        buy_notional: volume / 2 * typical,
                        trades: bar.trades,
                        first_id: 0,
                        last_id: 0,
                    });
                }
            }
        }
        found.extend(
            self.minutes
                .iter()
                .filter(|m| m.start_ns >= from && m.start_ns < to_ns),
        );
        found
    }

    /// Bars of `interval_ns` that begin in [from, to), oldest first. Empty ones are left out, or
    /// (`fill`) flat at the close before.
    pub fn bars(&self, interval_ns: i64, from_ns: i64, to_ns: i64, fill: bool) -> Vec<Minute> {
        let from = from_ns.div_euclid(interval_ns) * interval_ns;
        let mut bars: Vec<Minute> = Vec::new();
        for minute in self.minutes(from, to_ns.saturating_add(interval_ns)) {
            let start_ns = minute.start_ns.div_euclid(interval_ns) * interval_ns;
            if start_ns >= to_ns {
                break;
            }
            match bars.last_mut() {
                Some(bar) if bar.start_ns == start_ns => bar.merge(&minute),
                _ => {
                    if fill {
                        fill_until(&mut bars, start_ns - interval_ns, |start_ns| {
                            start_ns + interval_ns
                        });
                    }
                    bars.push(Minute { start_ns, ..minute });
                }
            }
        }
        bars
    }

    /// One action of the flow at a venue time, around `level` times the starting price.
    fn act(&mut self, ts: i64, level: f64, resolution_ns: i64, distinct: bool) -> Step {
        let touch = self.touch();
        self.outcome.clear();
        self.flow.act(
            self.spec.start_ticks as f64 * level,
            &mut self.engine,
            &mut self.outcome,
        );
        self.update += self.outcome.changes.len() as u64;
        self.sequence += 1 + self.outcome.fills.len() as u64;
        let mut ts = ts;
        let mut before: Option<(u64, i64)> = None;
        for n in 0..self.outcome.fills.len() {
            let fill = self.outcome.fills[n];
            if distinct && n > 0 {
                ts += resolution_ns; // this venue pages its history by time: no two trades share one
            }
            if before != Some((fill.taker, fill.price)) {
                self.next_aggregate += 1;
            }
            before = Some((fill.taker, fill.price));
            let trade = Trade {
                id: self.next_trade,
                aggregate: self.next_aggregate - 1,
                ts,
                price: fill.price,
                size: fill.size,
                aggressor: fill.aggressor,
                maker: fill.maker,
                taker: fill.taker,
            };
            self.next_trade += 1;
            self.count(&trade);
            if self.trades.len() == TRADES_KEPT {
                self.trades.pop_front();
            }
            self.trades.push_back(trade);
        }
        self.last_ts = ts;
        Step {
            ts,
            trades: self.outcome.fills.len(),
            touch_changed: touch != self.touch(),
        }
    }

    /// Trading of the 24 hours before a minute.
    fn day_until(&self, minute_ns: i64) -> Minute {
        let mut sum = Minute {
            start_ns: minute_ns,
            ..Minute::default()
        };
        self.minutes(minute_ns - 1_440 * MINUTE_NS, minute_ns)
            .iter()
            .for_each(|minute| sum.merge(minute));
        sum
    }

    fn count(&mut self, trade: &Trade) {
        let start_ns = trade.ts.div_euclid(MINUTE_NS) * MINUTE_NS;
        // A skewed clock may run back: what it says then is counted to the running minute.
        if self.minutes.back().is_none_or(|m| m.start_ns < start_ns) {
            if self.minutes.len() == MINUTES_KEPT {
                self.minutes.pop_front();
            }
            let day = self.minutes(start_ns - 1_440 * MINUTE_NS, start_ns);
            let mut sum = Minute {
                start_ns,
                ..Minute::default()
            };
            day.iter().for_each(|minute| sum.merge(minute));
            self.day_before = sum;
            self.minutes.push_back(Minute::begin(start_ns, trade));
        }
        if let Some(minute) = self.minutes.back_mut() {
            minute.add(trade);
        }
    }
}

fn flat(start_ns: i64, price: i64) -> Minute {
    Minute {
        start_ns,
        open: price,
        high: price,
        low: price,
        close: price,
        ..Minute::default()
    }
}

/// Appends flat bars up to and including the one that begins at `until_ns`; `next` says where the next one begins.
pub fn fill_until(bars: &mut Vec<Minute>, until_ns: i64, next: impl Fn(i64) -> i64) {
    while let Some(last) = bars.last().filter(|b| b.start_ns < until_ns) {
        bars.push(flat(next(last.start_ns), last.close));
    }
}

/// One venue's instruments and clock.
pub struct Market {
    pub protocol: Protocol,
    /// `sim-kraken`.
    pub venue: String,
    pub instruments: Vec<Instrument>,
    /// Venue time now, without the skew of a fault, ns.
    pub now_ns: i64,
    /// Added to every time the venue prints (fault `clock_skew`).
    pub skew_ns: i64,
    /// What a client that takes trades, books and quotes of everything would have got by now.
    pub published: Published,
}

/// Messages published per channel, whether or not anybody listened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    pub trades: u64,
    pub books: u64,
    pub quotes: u64,
}

impl Market {
    /// A venue as it is at `start_ns`: books full, and a few trades already made, unless `saved` says where an
    /// earlier life ended. `rate` is messages per second over trades, books and quotes.
    pub fn new(protocol: Protocol, seed: u64, rate: f64, start_ns: i64, saved: &Saved) -> Self {
        let venue = protocol.venue();
        let specs = instruments(protocol);
        let total: f64 = specs.iter().map(|s| s.weight).sum();
        let instruments = specs
            .into_iter()
            .map(|spec| {
                let pace = actions_per_second(protocol, rate * spec.weight / total);
                instrument(protocol, seed, spec, 1e9 / pace, start_ns, saved)
            })
            .collect();
        Self {
            protocol,
            venue,
            instruments,
            now_ns: start_ns,
            skew_ns: 0,
            published: Published::default(),
        }
    }

    /// A venue in which nothing ever happens: it only answers for its listing.
    pub fn empty(protocol: Protocol, specs: Vec<Spec>, now_ns: i64) -> Self {
        let saved = Saved::default();
        Self {
            protocol,
            venue: protocol.venue(),
            instruments: specs
                .into_iter()
                .map(|spec| new_instrument(0, spec, 1e9, now_ns, &saved))
                .collect(),
            now_ns,
            skew_ns: 0,
            published: Published::default(),
        }
    }

    /// Venue time as the venue prints it.
    pub fn clock(&self) -> i64 {
        self.now_ns + self.skew_ns
    }

    pub fn find(&self, symbol: &str) -> Option<usize> {
        self.instruments.iter().position(|i| i.spec.symbol == symbol)
    }

    /// Trades made before the simulator began belong to its truth too: snapshots and REST show them. Those of an
    /// `earlier` life are in the file already, if the file is the same.
    pub fn log_beginning(&self, truth: &mut Truth, earlier: &Saved) {
        for instrument in &self.instruments {
            let known = truth.is_continued() && earlier.instruments.contains_key(&instrument.spec.id);
            if !known {
                for trade in &instrument.trades {
                    truth.trade(self, instrument, trade);
                }
            }
            truth.reset(self, instrument);
        }
    }

    /// One action on one instrument. Returns what happened and when the next one is due.
    pub fn act(&mut self, index: usize, path: &mut Path, truth: &mut Truth) -> (Step, i64) {
        let resolution = self.protocol.resolution_ns();
        let (now, skew) = (self.now_ns, self.skew_ns);
        let distinct = self.protocol == Protocol::Kraken;
        let instrument = &mut self.instruments[index];
        let mut ts = (now + skew).div_euclid(resolution) * resolution;
        // Far behind the last one only because of a skewed clock: then there is nothing to keep apart.
        if distinct && (0..1_000_000_000).contains(&(instrument.last_ts - ts)) {
            ts = instrument.last_ts + resolution;
        }
        let step = instrument.act(ts, path.level_at(now), resolution, distinct);
        let due = now.max(step.ts - skew) + instrument.flow.gap_ns(instrument.mean_gap_ns);
        let instrument = &self.instruments[index];
        for trade in instrument.trades.range(instrument.trades.len() - step.trades..) {
            truth.trade(self, instrument, trade);
        }
        (step, due)
    }

    /// Publishes the level changes of the last action at once (venues that do not batch).
    pub fn publish_step(&mut self, index: usize, ts: i64, truth: &mut Truth) {
        let instrument = &mut self.instruments[index];
        for change in &instrument.outcome.changes {
            instrument.ladder.set(*change);
        }
        instrument.published_update += 1;
        instrument.book_ts = ts;
        self.published.books += 1;
        let instrument = &self.instruments[index];
        for change in &instrument.outcome.changes {
            truth.level(self, instrument, *change);
        }
    }

    /// Remembers the level changes of the last action for the next batch.
    pub fn defer_step(&mut self, index: usize) {
        let instrument = &mut self.instruments[index];
        for change in &instrument.outcome.changes {
            if !instrument.pending.contains(&(change.side, change.price)) {
                instrument.pending.push((change.side, change.price));
            }
        }
    }

    /// Publishes the batch: the levels changed since the last one, as they are now, into `changes`. The
    /// update id is the engine's, or (`count`) a number of batches.
    pub fn publish_batch(
        &mut self,
        index: usize,
        ts: i64,
        count: bool,
        changes: &mut Vec<Change>,
        truth: &mut Truth,
    ) {
        changes.clear();
        let instrument = &mut self.instruments[index];
        if instrument.pending.is_empty() {
            return;
        }
        for (side, price) in instrument.pending.drain(..) {
            let change = Change {
                side,
                price,
                size: instrument.engine.total_at(side, price),
            };
            instrument.ladder.set(change);
            changes.push(change);
        }
        instrument.published_update = if count {
            instrument.published_update + 1
        } else {
            instrument.update
        };
        instrument.book_ts = ts;
        self.published.books += 1;
        let instrument = &self.instruments[index];
        for change in changes.iter() {
            truth.level(self, instrument, *change);
        }
    }

    /// Shifts pending times after the clock was set forward.
    pub fn shift(&mut self, ns: i64) {
        self.now_ns += ns;
    }
}

/// How often the flow must act so that about `rate` messages per second come of it. The shares were measured;
/// the test `pace_is_the_asked_rate` in `world.rs` holds them to it.
fn actions_per_second(protocol: Protocol, rate: f64) -> f64 {
    let messages = |actions: f64| {
        // The fewer the actions, the further the price moves between two, and the more of them trade.
        let seldom = 1.0 / (1.0 + actions / 5.0);
        let trades = actions * (0.35 + 0.5 * seldom);
        let takers = actions * (0.17 + 0.14 * seldom);
        let touches = actions * (0.24 + 0.15 * seldom);
        let batched = |per_second: f64, of: f64| per_second * of / (per_second + of);
        match protocol {
            Protocol::Kraken => actions + takers + touches,
            Protocol::Coinbase => trades + takers + batched(20.0, actions),
            Protocol::Binance => trades + touches + batched(10.0, actions),
            Protocol::CoinbaseAdvanced => actions + batched(4.0, takers) + batched(4.0, touches),
        }
    };
    let (mut low, mut high) = (1e-3, 1e6);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if messages(middle) < rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

fn instrument(
    protocol: Protocol,
    seed: u64,
    spec: Spec,
    mean_gap_ns: f64,
    start_ns: i64,
    saved: &Saved,
) -> Instrument {
    let resolution = protocol.resolution_ns();
    let before = saved.instruments.get(&spec.id);
    let mut instrument = new_instrument(seed, spec, mean_gap_ns, start_ns, saved);
    let level = saved.level(&instrument.spec.base);
    instrument.last_ts = before.map_or(0, |b| b.last_ts);
    let mut warm = Outcome::default();
    instrument.flow.fill(
        instrument.spec.start_ticks as f64 * level,
        &mut instrument.engine,
        &mut warm,
    );
    instrument.update += warm.changes.len() as u64;
    match before {
        Some(before) => {
            instrument.trades.extend(before.trades.iter().copied());
            instrument.minutes.extend(before.minutes.iter().copied());
            let minute = start_ns.div_euclid(MINUTE_NS) * MINUTE_NS;
            instrument.day_before = instrument.day_until(minute);
        }
        None => {
            // A venue that has never traded has nothing to show at a subscription: sixty trades or more, in the
            // minute before the start.
            let mut ts = (start_ns - 55_000_000_000).div_euclid(resolution) * resolution;
            let pace = 50_000_000_000 / 1_000 / resolution * resolution;
            let distinct = protocol == Protocol::Kraken;
            for _ in 0..1_000 {
                ts = (ts + pace).max(instrument.last_ts + resolution);
                instrument.act(ts, level, resolution, distinct);
            }
        }
    }
    for side in [Side::Bid, Side::Ask] {
        for (price, size) in instrument.engine.levels(side) {
            instrument.ladder.set(Change { side, price, size });
        }
    }
    instrument.published_update = instrument.update;
    let start = start_ns.div_euclid(resolution) * resolution;
    instrument.last_ts = instrument.last_ts.max(start);
    instrument.book_ts = start;
    instrument
}

/// An instrument whose book is still empty, with the ids it goes on from.
fn new_instrument(seed: u64, spec: Spec, mean_gap_ns: f64, start_ns: i64, saved: &Saved) -> Instrument {
    let before = saved.instruments.get(&spec.id);
    // Another life of the same home takes another stretch of the random sequence.
    let life_seed = crate::random::mix(seed.wrapping_add(saved.life));
    let first_ids = crate::random::stream(seed, &format!("ids {}", spec.id)) % 900_000_000 + 100_000_000;
    Instrument {
        engine: Matching::new(),
        flow: Flow::new(life_seed, &spec, before.map_or(1, |b| b.next_order)),
        ladder: Ladder::default(),
        frozen: None,
        outcome: Outcome::default(),
        pending: Vec::new(),
        trades: VecDeque::new(),
        next_trade: before.map_or(first_ids, |b| b.next_trade),
        next_aggregate: before.map_or(first_ids / 3, |b| b.next_aggregate),
        update: before.map_or(first_ids * 17, |b| b.update),
        published_update: 0,
        sequence: before.map_or(first_ids * 5, |b| b.sequence),
        last_ts: 0,
        book_ts: 0,
        minutes: VecDeque::new(),
        day_before: Minute::default(),
        seed,
        born_ns: saved.born_ns.unwrap_or(start_ns),
        mean_gap_ns,
        spec,
    }
}
