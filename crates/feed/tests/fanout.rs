//! Venue and outbox without sockets: whatever the client's pace, what is exact is exact, what is merged ends
//! in the same state, and every message says what it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on fails

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use feed::bridge::batch::channel_bit;
use feed::bridge::interest::{Instruments, Interest};
use feed::bridge::outbox::{Outbox, Part, Subscription};
use feed::bridge::venue::Venue;
use kernels::book::Book;
use proptest::prelude::*;
use serde_json::Value;
use wire::{Decimal, Record, Side, cause, channel, flag, status};

const VENUE: &str = "sim-kraken";

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Cuts a server's byte stream into messages.
fn messages(bytes: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (length, header) = match bytes[at + 1] {
            126 => (u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]) as usize, 4),
            127 => {
                let mut long = [0; 8];
                long.copy_from_slice(&bytes[at + 2..at + 10]);
                (u64::from_be_bytes(long) as usize, 10)
            }
            short => (short as usize, 2),
        };
        let payload = &bytes[at + header..at + header + length];
        if bytes[at] == 0x81 {
            values.push(serde_json::from_slice(payload).unwrap());
        } else {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            values.push(serde_json::json!({"type": "close", "code": code}));
        }
        at += header + length;
    }
    values
}

/// The levels a client shows, from the messages it got.
#[derive(Default)]
struct Shown {
    valid: bool,
    bids: Vec<(Decimal, String)>,
    asks: Vec<(Decimal, String)>,
}

impl Shown {
    fn take(&mut self, message: &Value) {
        if message["kind"] == "snapshot" {
            self.valid = message["valid"].as_bool().unwrap();
            self.bids.clear();
            self.asks.clear();
        } else {
            assert!(self.valid, "a delta onto a book that is not valid: {message}");
        }
        for (name, is_bid) in [("bids", true), ("asks", false)] {
            let levels = if is_bid { &mut self.bids } else { &mut self.asks };
            for level in message[name].as_array().unwrap() {
                let (price, size) = (level[0].as_str().unwrap(), level[1].as_str().unwrap());
                let price = decimal(price);
                let found = levels
                    .iter()
                    .position(|(known, _)| known.value_cmp(price).is_eq());
                match (size, found) {
                    ("0", Some(at)) => drop(levels.remove(at)),
                    // Merging may name a level that came and went.
                    ("0", None) => {}
                    (_, Some(at)) => levels[at] = (price, size.to_owned()),
                    (_, None) => levels.push((price, size.to_owned())),
                }
            }
            levels.sort_by(|one, other| one.0.value_cmp(other.0));
            if is_bid {
                levels.reverse();
            }
        }
    }

    fn text(&self) -> (bool, Vec<String>, Vec<String>) {
        let side = |levels: &[(Decimal, String)]| {
            levels
                .iter()
                .map(|(price, size)| format!("{}x{size}", price.normal()))
                .collect()
        };
        (self.valid, side(&self.bids), side(&self.asks))
    }
}

/// What a client of this depth ought to show.
fn expected(book: &Book, depth: usize) -> (bool, Vec<String>, Vec<String>) {
    if !book.valid() {
        return (false, Vec::new(), Vec::new());
    }
    let text = |(price, size, _): (Decimal, Decimal, i64)| format!("{}x{size}", price.normal());
    (
        true,
        book.bids().take(depth).map(text).collect(),
        book.asks().take(depth).map(text).collect(),
    )
}

fn interest(channels: u8, depth: u16) -> Interest {
    Interest {
        instruments: Instruments::All,
        channels,
        depth,
    }
}

struct Rig {
    venue: Venue,
    sequence: u64,
    outbox: Outbox,
    oracle: BTreeMap<u32, Book>,
    trades: Vec<u64>,
    ts: i64,
}

impl Rig {
    fn new(depth: u16, queue_bytes_max: usize) -> Self {
        let mut venue = Venue::new(0, VENUE);
        venue.add_instrument(1 << 20 | 1, "BTC-USD.sim-kraken");
        venue.add_instrument(1 << 20 | 2, "ETH-USD.sim-kraken");
        let mut outbox = Outbox::new(7, queue_bytes_max);
        let all = interest(channel_bit::ALL, depth);
        venue.join(&all);
        outbox.subscribe(Subscription {
            id: 1,
            parts: vec![Part::new(0, VENUE.into(), all, (0, 0))],
        });
        Self {
            venue,
            sequence: 0,
            outbox,
            oracle: BTreeMap::from([(1, Book::new()), (2, Book::new())]),
            trades: Vec::new(),
            ts: 1_763_640_000_000_000_000,
        }
    }

    /// Frames that the bridge sees in one look.
    fn look(&mut self, frames: &[Vec<Record>]) {
        let mut batch = self.venue.begin(Instant::now());
        for records in frames {
            self.ts += 1_000_000;
            let records: Vec<Record> = records.iter().map(|record| record.at(self.ts, self.ts)).collect();
            self.venue.take(&mut batch, 1, self.sequence + 1, &records);
            for record in &records {
                self.sequence += 1;
                if record.kind == wire::kind::TRADE {
                    self.trades.push(self.sequence);
                }
                for (number, book) in &mut self.oracle {
                    if record.instrument == 0 || record.instrument & 0xFFFFF == *number {
                        book.apply(record);
                    }
                }
            }
        }
        self.venue.end(&mut batch, self.ts);
        self.outbox.accept(&batch.finish());
    }

    /// The socket takes up to this many bytes.
    fn write(&mut self, bytes: &mut Vec<u8>, limit: usize) {
        let mut left = limit;
        loop {
            let n = self.outbox.pending().len().min(left);
            bytes.extend_from_slice(&self.outbox.pending()[..n]);
            self.outbox.wrote(n);
            left -= n;
            if !self.outbox.pending().is_empty() {
                return;
            }
            for request in self.outbox.refill() {
                let mut batch = self
                    .venue
                    .snapshot(
                        request.instrument,
                        self.outbox.depth(1, 0).unwrap(),
                        Instant::now(),
                    )
                    .unwrap();
                batch.target = Some(feed::bridge::batch::Target {
                    client: 7,
                    subscription: request.subscription,
                });
                self.outbox.accept(&batch.finish());
            }
            if self.outbox.pending().is_empty() {
                return;
            }
        }
    }
}

fn level(instrument: u32, side: Side, price: i64, size: i64) -> Record {
    Record::level(
        1 << 20 | instrument,
        side,
        Decimal::new(price, 1),
        Decimal::new(size, 2),
    )
}

/// Messages of a venue: each becomes one frame or several.
#[derive(Clone, Debug)]
enum Act {
    Trades(u32, usize),
    Quote(u32, i64),
    Levels(u32, Vec<(bool, i64, i64)>),
    Snapshot(u32, Vec<(bool, i64, i64)>),
    Invalid(u32),
    Valid(u32),
    Reconnect,
}

fn act() -> impl Strategy<Value = Act> {
    let levels = || {
        proptest::collection::vec(
            (any::<bool>(), 0i64..25, prop_oneof![3 => 1i64..500, 2 => Just(0)]),
            1..6,
        )
    };
    let instrument = || 1u32..3;
    prop_oneof![
        4 => (instrument(), 1usize..4).prop_map(|(i, n)| Act::Trades(i, n)),
        4 => (instrument(), 0i64..100).prop_map(|(i, p)| Act::Quote(i, p)),
        12 => (instrument(), levels()).prop_map(|(i, l)| Act::Levels(i, l)),
        2 => (instrument(), levels()).prop_map(|(i, l)| Act::Snapshot(i, l)),
        1 => instrument().prop_map(Act::Invalid),
        1 => instrument().prop_map(Act::Valid),
        1 => Just(Act::Reconnect),
    ]
}

fn records(act: &Act) -> Vec<Record> {
    let number = |i: u32| 1 << 20 | i;
    // Bids below 100.0, asks from there on: never crossed.
    let of = |i: u32, levels: &[(bool, i64, i64)], flags: u8| -> Vec<Record> {
        levels
            .iter()
            .map(|&(is_bid, step, size)| match is_bid {
                true => level(i, Side::Buy, 999 - step, size).with(flags),
                false => level(i, Side::Sell, 1000 + step, size).with(flags),
            })
            .collect()
    };
    let mut records = match act {
        Act::Trades(i, n) => {
            vec![
                Record::trade(
                    number(*i),
                    Side::Sell,
                    Decimal::new(1000, 1),
                    Decimal::new(5, 2),
                    9
                );
                *n
            ]
        }
        Act::Quote(i, price) => vec![
            Record::quote(number(*i), Side::Buy, Decimal::new(*price, 1), Decimal::new(1, 0)),
            Record::quote(
                number(*i),
                Side::Sell,
                Decimal::new(*price + 1, 1),
                Decimal::new(1, 0),
            ),
        ],
        Act::Levels(i, levels) => of(*i, levels, 0),
        Act::Snapshot(i, levels) => {
            let mut all = vec![Record::clear(number(*i)).with(flag::SNAPSHOT)];
            all.extend(of(*i, levels, flag::SNAPSHOT));
            all
        }
        Act::Invalid(i) => vec![
            Record::gap_open(number(*i), channel::BOOK, cause::CHECKSUM, -1),
            Record::status(number(*i), channel::BOOK, status::BOOK_INVALID),
        ],
        Act::Valid(i) => vec![Record::status(number(*i), channel::BOOK, status::BOOK_VALID)],
        Act::Reconnect => vec![Record::status(0, channel::ALL, status::RECONNECTING)],
    };
    let last = records.len() - 1;
    records[last].flags |= flag::LAST;
    records
}

/// Reads what a client got, and checks what must hold for any message.
fn check(values: &[Value], depth: usize) -> (BTreeMap<String, Shown>, Vec<u64>, u64) {
    let mut books: BTreeMap<String, Shown> = BTreeMap::new();
    let (mut trades, mut conflated) = (Vec::new(), 0);
    let mut chain: Option<u64> = None;
    for value in values {
        assert_eq!(
            value["prev"].as_u64(),
            chain,
            "the chain of prev is whole: {value}"
        );
        let sequence = value["sequence"].as_u64().unwrap();
        assert!(
            chain.is_none_or(|before| before <= sequence),
            "order of the log: {value}"
        );
        chain = Some(sequence);
        conflated += value["conflated"].as_u64().unwrap_or(0);
        match value["type"].as_str().unwrap() {
            "trades" => {
                trades.extend(
                    value["rows"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|row| row["sequence"].as_u64().unwrap()),
                );
            }
            "book" => {
                let name = value["instrument"].as_str().unwrap().to_owned();
                let shown = books.entry(name).or_default();
                shown.take(value);
                assert!(shown.bids.len() <= depth && shown.asks.len() <= depth, "{value}");
            }
            _ => {}
        }
    }
    (books, trades, conflated)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The client takes bytes in fits and starts, down to nothing for long.
    #[test]
    fn any_pace_ends_in_the_venues_book_and_misses_no_trade(
        looks in proptest::collection::vec(
            (proptest::collection::vec((act(), 1usize..4), 1..6), 0usize..3000), 1..120),
        depth in prop_oneof![Just(1u16), Just(3), Just(10), Just(200)],
    ) {
        let mut rig = Rig::new(depth, 1 << 24);
        let mut bytes = Vec::new();
        // The test's buffer is tiny beside the real one: fill it first, so that what follows must wait.
        let filler: Vec<Vec<Record>> = (0..40).map(|_| records(&Act::Trades(1, 20))).collect();
        rig.look(&filler);
        for (acts, room) in &looks {
            let mut frames = Vec::new();
            for (act, pieces) in acts {
                let all = records(act);
                let size = all.len().div_ceil(*pieces);
                frames.extend(all.chunks(size).map(<[Record]>::to_vec));
            }
            rig.look(&frames);
            rig.write(&mut bytes, *room);
        }
        rig.write(&mut bytes, usize::MAX);
        let values = messages(&bytes);
        let (books, trades, _) = check(&values, depth as usize);
        prop_assert!(trades == rig.trades, "every trade, once, in order");
        for (number, name) in [(1, "BTC-USD.sim-kraken"), (2, "ETH-USD.sim-kraken")] {
            let shown = books.get(name).map(Shown::text).unwrap_or_default();
            prop_assert_eq!(shown, expected(&rig.oracle[&number], depth as usize), "{}", name);
        }
    }

    /// A client that keeps up sees the venue's book after every look, and nothing is merged when each
    /// look is one message of the venue.
    #[test]
    fn a_client_that_keeps_up_is_exact_after_every_message(
        acts in proptest::collection::vec(act(), 1..80),
        depth in prop_oneof![Just(1u16), Just(4), Just(50)],
    ) {
        let mut rig = Rig::new(depth, 1 << 20);
        let mut bytes = Vec::new();
        for act in &acts {
            rig.look(&[records(act)]);
            rig.write(&mut bytes, usize::MAX);
            let values = messages(&bytes);
            let (books, _, conflated) = check(&values, depth as usize);
            prop_assert_eq!(conflated, 0);
            for (number, name) in [(1, "BTC-USD.sim-kraken"), (2, "ETH-USD.sim-kraken")] {
                let shown = books.get(name).map(Shown::text).unwrap_or_default();
                prop_assert_eq!(shown, expected(&rig.oracle[&number], depth as usize), "{} after {:?}", name, act);
            }
        }
    }
}

#[test]
fn a_snapshot_in_several_frames_is_shown_after_its_last_record() {
    let mut rig = Rig::new(10, 1 << 20);
    let mut bytes = Vec::new();
    let snapshot = records(&Act::Snapshot(
        1,
        vec![(true, 1, 5), (false, 1, 5), (false, 2, 5)],
    ));
    for record in &snapshot[..3] {
        rig.look(&[vec![*record]]);
        rig.write(&mut bytes, usize::MAX);
        assert!(bytes.is_empty(), "half a book was shown");
    }
    // Whoever joins now sees no half book either.
    let late = rig
        .venue
        .current(&interest(channel_bit::BOOK, 10), false, Instant::now());
    assert!(
        late.messages
            .iter()
            .all(|message| late.changes(message).is_empty())
    );
    rig.look(&[snapshot[3..].to_vec()]);
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    assert_eq!(values.len(), 1);
    assert_eq!(values[0]["kind"], "snapshot");
    assert_eq!(values[0]["bids"], serde_json::json!([["99.8", "0.05"]]));
    assert_eq!(
        values[0]["asks"],
        serde_json::json!([["100.1", "0.05"], ["100.2", "0.05"]])
    );
}

#[test]
fn a_book_that_was_spoilt_and_made_whole_in_one_look_begins_with_a_snapshot() {
    let whole = records(&Act::Snapshot(1, vec![(true, 1, 5), (false, 1, 5)]));
    let spoilers = [Act::Invalid(1), Act::Reconnect];
    for (spoiler, is_within_a_message) in spoilers.iter().flat_map(|one| [(one, false), (one, true)]) {
        let mut rig = Rig::new(10, 1 << 20);
        let mut bytes = Vec::new();
        rig.look(std::slice::from_ref(&whole));
        rig.write(&mut bytes, usize::MAX);
        bytes.clear();
        // The same levels again: a comparison would find nothing to say.
        let mut frames = vec![records(spoiler), whole.clone(), records(&Act::Valid(1))];
        if is_within_a_message {
            frames.insert(0, vec![level(1, Side::Buy, 998, 7)]);
        }
        rig.look(&frames);
        rig.write(&mut bytes, usize::MAX);
        let values = messages(&bytes);
        let books: Vec<&Value> = values.iter().filter(|value| value["type"] == "book").collect();
        assert_eq!(books.len(), 1, "{spoiler:?}");
        assert_eq!(
            (
                &books[0]["kind"],
                &books[0]["valid"],
                &books[0]["bids"],
                &books[0]["conflated"]
            ),
            (
                &"snapshot".into(),
                &true.into(),
                &serde_json::json!([["99.8", "0.05"]]),
                &1.into()
            ),
            "{spoiler:?}"
        );
        // What comes after it follows as usual.
        bytes.clear();
        rig.look(&[records(&Act::Levels(1, vec![(true, 1, 6)]))]);
        rig.write(&mut bytes, usize::MAX);
        assert_eq!(messages(&bytes)[0]["kind"], "delta");
    }
}

#[test]
fn levels_enter_and_leave_the_depth() {
    let mut rig = Rig::new(2, 1 << 20);
    let mut bytes = Vec::new();
    rig.look(&[records(&Act::Snapshot(
        1,
        vec![(true, 1, 5), (true, 2, 5), (true, 3, 5)],
    ))]);
    rig.write(&mut bytes, usize::MAX);
    bytes.clear();
    rig.look(&[records(&Act::Levels(1, vec![(true, 0, 7)]))]);
    rig.look(&[records(&Act::Levels(1, vec![(true, 0, 0)]))]);
    rig.look(&[records(&Act::Levels(1, vec![(true, 9, 9)]))]);
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    assert_eq!(
        values[0]["bids"],
        serde_json::json!([["99.9", "0.07"], ["99.7", "0"]])
    );
    assert_eq!(
        values[1]["bids"],
        serde_json::json!([["99.9", "0"], ["99.7", "0.05"]])
    );
    assert_eq!(values.len(), 2, "a level below the depth is no news");
}

#[test]
fn what_is_merged_is_counted_and_what_is_exact_cuts() {
    let mut rig = Rig::new(5, 200_000);
    rig.look(&[records(&Act::Snapshot(1, vec![(true, 1, 5), (false, 1, 5)]))]);
    rig.look(&(0..40).map(|_| records(&Act::Trades(1, 20))).collect::<Vec<_>>());
    assert!(rig.outbox.pending().len() >= 64 * 1024, "the buffer is full");
    for step in 0..100 {
        rig.look(&[records(&Act::Quote(1, step)), records(&Act::Quote(2, step))]);
        rig.look(&[records(&Act::Levels(1, vec![(true, step % 4, step + 1)]))]);
    }
    let mut bytes = Vec::new();
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    let quotes: Vec<&Value> = values.iter().filter(|value| value["type"] == "quotes").collect();
    assert_eq!(quotes.len(), 2);
    assert!(
        quotes
            .iter()
            .all(|quote| quote["conflated"] == 99 && quote["bid"][0] == "9.9")
    );
    let book = values.iter().rfind(|value| value["type"] == "book").unwrap();
    assert_eq!(
        (&book["conflated"], &book["kind"]),
        (&Value::from(99), &Value::from("delta"))
    );

    // Now it takes nothing: trades wait up to the bound, then it is told where it stands.
    let before = rig.sequence;
    let mut looks = 0;
    while rig.outbox.ended().is_none() {
        rig.look(&(0..40).map(|_| records(&Act::Trades(1, 20))).collect::<Vec<_>>());
        looks += 1;
        assert!(looks < 10, "never cut");
    }
    bytes.clear();
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    let [.., cut, close] = values.as_slice() else {
        panic!("no farewell")
    };
    assert_eq!(
        (&cut["type"], &cut["reason"]),
        (&Value::from("cut"), &Value::from("slow"))
    );
    assert_eq!(close["code"], 4008);
    let sent = values[..values.len() - 2]
        .iter()
        .flat_map(|value| value["rows"].as_array().cloned().unwrap_or_default())
        .filter_map(|row| row["sequence"].as_u64())
        .next_back();
    let position = cut["positions"][VENUE][1].as_u64().unwrap();
    assert_eq!(
        Some(position),
        sent,
        "nothing between the last trade sent and the position"
    );
    assert!(position > before && position < rig.sequence);
}

const SECOND: i64 = 1_000_000_000;

/// A trade without an id, so that it is no double of another.
fn trade_at(ns: i64) -> Record {
    let mut trade = records(&Act::Trades(1, 1))[0].at(ns, ns);
    trade.flags &= !flag::HAS_ID;
    trade
}

/// A venue with one instrument and a client of these channels, whose first second of trading has gone by.
fn bars_rig(queue_bytes_max: usize) -> (Venue, Outbox, u64) {
    let mut venue = Venue::new(0, VENUE);
    venue.add_instrument(1 << 20 | 1, "BTC-USD.sim-kraken");
    let mut batch = venue.begin(Instant::now());
    venue.take(&mut batch, 1, 1, &[trade_at(0), trade_at(SECOND)]);
    venue.end(&mut batch, SECOND);
    let wanted = interest(channel_bit::BARS | channel_bit::TRADES, 1);
    venue.join(&wanted);
    let mut outbox = Outbox::new(7, queue_bytes_max);
    outbox.subscribe(Subscription {
        id: 1,
        parts: vec![Part::new(0, VENUE.into(), wanted, venue.position())],
    });
    (venue, outbox, 2)
}

#[test]
fn a_bar_that_closes_without_a_new_record_reaches_a_new_subscription() {
    let (mut venue, mut outbox, sequence) = bars_rig(1 << 20);
    let mut batch = venue.begin(Instant::now());
    venue.tick(&mut batch, 4 * SECOND);
    outbox.accept(&batch.finish());
    let values = messages(outbox.pending());
    assert_eq!(values.len(), 1, "{values:?}");
    assert_eq!(
        (&values[0]["type"], &values[0]["closed"], &values[0]["sequence"]),
        (&"bars".into(), &true.into(), &sequence.into())
    );
}

#[test]
fn bars_that_wait_are_bounded_and_the_newest_come() {
    let (mut venue, mut outbox, mut sequence) = bars_rig(1 << 20);
    for second in 1..100 {
        let at = second * SECOND;
        let mut batch = venue.begin(Instant::now());
        // The first look fills the buffer: what follows waits.
        let trades = vec![trade_at(at); if second == 1 { 1000 } else { 1 }];
        venue.take(&mut batch, 1, sequence + 1, &trades);
        sequence += trades.len() as u64;
        venue.end(&mut batch, at);
        outbox.accept(&batch.finish());
    }
    assert_eq!(outbox.ended(), None);
    let mut bytes = Vec::new();
    while !outbox.pending().is_empty() {
        bytes.extend_from_slice(outbox.pending());
        outbox.wrote(outbox.pending().len());
        outbox.refill();
    }
    let values = messages(&bytes);
    check(&values, 1);
    let mut starts: Vec<i64> = values
        .iter()
        .filter(|value| value["type"] == "bars")
        .map(|value| value["start"].as_str().unwrap().parse::<i64>().unwrap() / SECOND)
        .collect();
    starts.sort_unstable(); // they come by the records that changed them
    assert_eq!(starts, (84..100).collect::<Vec<_>>());
    assert!(outbox.traffic.conflated > 80, "what was left out is counted");
}

#[test]
fn a_client_that_catches_up_gets_a_sign_of_life_instead_of_a_heartbeat() {
    let mut outbox = Outbox::new(7, 1 << 20);
    let mut part = Part::new(0, VENUE.into(), interest(channel_bit::ALL, 1), (1, 5));
    part.catching = true;
    outbox.subscribe(Subscription {
        id: 3,
        parts: vec![part],
    });
    outbox.beat(&"{\"type\":\"heartbeat\"}".into());
    assert_eq!(
        messages(outbox.pending()),
        [serde_json::json!({"type": "catching", "id": 3})]
    );
}

#[test]
fn a_cut_names_the_position_of_each_subscription() {
    let mut outbox = Outbox::new(7, 1 << 20);
    for (id, from) in [(1, (1, 5)), (2, (1, 9))] {
        outbox.subscribe(Subscription {
            id,
            parts: vec![Part::new(0, VENUE.into(), interest(channel_bit::TRADES, 1), from)],
        });
    }
    outbox.cut("slow", 4008);
    assert_eq!(
        messages(outbox.pending())[0],
        serde_json::json!({"type": "cut", "reason": "slow", "positions": {VENUE: [1, 5]},
            "subscriptions": {"1": {VENUE: [1, 5]}, "2": {VENUE: [1, 9]}}})
    );
}

#[test]
fn a_sleeper_gets_a_new_snapshot_instead_of_every_level_since() {
    let mut rig = Rig::new(2, 1 << 20);
    let mut bytes = Vec::new();
    rig.look(&[records(&Act::Snapshot(1, vec![(true, 1, 5), (false, 1, 5)]))]);
    rig.write(&mut bytes, usize::MAX);
    rig.look(&(0..40).map(|_| records(&Act::Trades(1, 20))).collect::<Vec<_>>());
    // The price wanders over hundreds of levels.
    for step in 0..400 {
        let price = 2000 + step * 2;
        let mut moved = vec![
            Record::clear(1 << 20 | 1).with(flag::SNAPSHOT),
            level(1, Side::Buy, price, 3).with(flag::SNAPSHOT),
            level(1, Side::Sell, price + 1, 4).with(flag::SNAPSHOT | flag::LAST),
        ];
        if step % 2 == 0 {
            moved[2] = level(1, Side::Sell, price + 1, 5).with(flag::SNAPSHOT | flag::LAST);
        }
        rig.look(&[moved]);
    }
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    let (books, ..) = check(&values, 2);
    assert_eq!(books["BTC-USD.sim-kraken"].text(), expected(&rig.oracle[&1], 2));
    let last = values.iter().rfind(|value| value["type"] == "book").unwrap();
    assert_eq!(last["kind"], "snapshot");
    assert!(last["conflated"].as_u64().unwrap() >= 390, "{last}");
}

#[test]
fn two_depths_and_a_channel_filter_share_one_batch() {
    let mut venue = Venue::new(0, VENUE);
    venue.add_instrument(1 << 20 | 1, "BTC-USD.sim-kraken");
    let mut boxes = Vec::new();
    for (client, channels, depth) in [
        (1, channel_bit::BOOK, 1),
        (2, channel_bit::BOOK, 3),
        (3, channel_bit::TRADES, 1),
    ] {
        let wanted = interest(channels, depth);
        venue.join(&wanted);
        let mut outbox = Outbox::new(client, 1 << 20);
        outbox.subscribe(Subscription {
            id: 5,
            parts: vec![Part::new(0, VENUE.into(), wanted, (0, 0))],
        });
        boxes.push(outbox);
    }
    let mut batch = venue.begin(Instant::now());
    let mut all = records(&Act::Snapshot(
        1,
        vec![(true, 1, 5), (true, 2, 5), (true, 3, 5), (true, 4, 5)],
    ));
    all.extend(records(&Act::Trades(1, 1)));
    venue.take(&mut batch, 1, 1, &all);
    venue.end(&mut batch, 0);
    let batch: Arc<_> = batch.finish();
    let found: Vec<Vec<Value>> = boxes
        .iter_mut()
        .map(|outbox| {
            outbox.accept(&batch);
            messages(outbox.pending())
        })
        .collect();
    assert_eq!(found[0][0]["bids"].as_array().unwrap().len(), 1);
    assert_eq!(found[1][0]["bids"].as_array().unwrap().len(), 3);
    assert_eq!(found[2][0]["type"], "trades");
    assert!(found.iter().all(|values| values.len() == 1));
}

#[test]
fn a_hole_in_the_log_is_told_and_leaves_no_book_valid() {
    let mut rig = Rig::new(2, 1 << 20);
    let mut bytes = Vec::new();
    rig.look(&[records(&Act::Snapshot(1, vec![(true, 1, 5), (false, 1, 5)]))]);
    rig.write(&mut bytes, usize::MAX);
    bytes.clear();
    assert!(rig.venue.is_hole((1, 10)) && !rig.venue.is_hole((1, 4)));
    let mut batch = rig.venue.begin(Instant::now());
    rig.venue.lose(&mut batch, (1, 10), 5);
    rig.venue.end(&mut batch, 0);
    rig.outbox.accept(&batch.finish());
    rig.write(&mut bytes, usize::MAX);
    let values = messages(&bytes);
    assert_eq!(values[0]["type"], "gap");
    assert_eq!(
        (
            &values[0]["cause"],
            &values[0]["edge"],
            &values[0]["missing"],
            &values[0]["gap"]
        ),
        (
            &"overrun".into(),
            &"open".into(),
            &6.into(),
            &serde_json::json!([1, 4])
        )
    );
    assert_eq!(values[1]["edge"], "end");
    assert_eq!(values[0]["instrument"], Value::Null);
    assert_eq!(
        (&values[2]["type"], &values[2]["valid"]),
        (&"book".into(), &false.into())
    );
    assert_eq!(rig.venue.position(), (1, 9));
}
