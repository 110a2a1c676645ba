use std::collections::BTreeSet;

use kernels::book::Book;
use proptest::prelude::*;
use wire::Decimal;

use super::*;
use crate::collector::state::State;

const BTC: u32 = 1 << 20 | 1;
const ETH: u32 = 1 << 20 | 2;
const ALL: Wanted = Wanted {
    trades: true,
    quotes: true,
    book: true,
};
const TRADES: Wanted = Wanted {
    trades: true,
    quotes: false,
    book: false,
};

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn trade(instrument: u32, id: u64) -> Record {
    Record::trade(instrument, Side::Buy, dec("100.5"), dec("0.25"), id)
        .at(1_000 + id as i64, 2_000 + id as i64)
        .with(flag::LAST)
}

impl Core {
    /// Does this connection speak for anything?
    fn speaks(&self, connection: u64) -> bool {
        self.known().any(|i| i.owner == Some(connection))
    }

    /// The book as the journal's reader has it, and whether it may be shown.
    fn book(&self, number: u32) -> Option<(&Book, bool)> {
        self.instruments
            .get(slot(number))?
            .as_deref()
            .map(|i| (&i.book, i.book_valid))
    }
}

/// A journal that holds everything, and the core that writes it.
struct Bench {
    core: Core,
    journal: Vec<Record>,
    states: Vec<(usize, State)>,
    now: i64,
}

impl Bench {
    fn new(wanted: Wanted) -> Self {
        let mut core = Core::new(1, wanted);
        core.want(&[BTC, ETH]);
        Self {
            core,
            journal: Vec::new(),
            states: Vec::new(),
            now: 1_000_000,
        }
    }

    fn take(&mut self) -> Vec<Record> {
        let fresh = self.core.output().to_vec();
        self.journal.extend_from_slice(&fresh);
        self.core.clear();
        if self.core.take_unsaved() {
            self.save();
        }
        assert_eq!(self.core.next_sequence(), self.journal.len() as u64 + 1);
        self.now += 10;
        fresh
    }

    fn open(&mut self, numbers: &[u32]) -> u64 {
        let connection = self.core.number_connection();
        self.core.open(connection, numbers);
        connection
    }

    fn feed(&mut self, connection: u64, records: &[Record]) -> Vec<Record> {
        self.core.records(connection, records, self.now);
        self.take()
    }

    fn end(&mut self, connection: u64, cause: u8) -> Vec<Record> {
        self.core.ended(connection, cause, false, self.now);
        self.take()
    }

    /// kill -9 and a new process, which reads the journal from its newest state frame on.
    fn crash(&mut self) {
        let wanted = self.core.wanted;
        let mut core = Core::new(self.journal.len() as u64 + 1, wanted);
        let from = match self.states.last() {
            Some((at, state)) => {
                core.recover_state(state);
                *at
            }
            None => 0,
        };
        core.recover(from as u64 + 1, &self.journal[from..]);
        core.want(&[BTC, ETH]);
        self.core = core;
        self.core.begin(self.now);
        self.take();
    }

    fn save(&mut self) {
        for state in self.core.state() {
            let state = State::parse(&state.to_json()).unwrap();
            self.states.push((self.journal.len(), state));
        }
    }
}

fn kinds(records: &[Record]) -> Vec<(u8, u64)> {
    records
        .iter()
        .filter(|r| r.kind != kind::STATUS || r.price_scale == channel::BOOK)
        .map(|r| {
            if r.kind == kind::GAP {
                (r.kind, u64::from(r.flags & flag::SIDE))
            } else {
                (r.kind, r.id)
            }
        })
        .collect()
}

/// Ids that the gap records say are missing, and those the journal has; checks the ledger on the way.
fn ledger(journal: &[Record], instrument: u32) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut covered, mut present) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Option<(u64, Record)> = None;
    for (record, sequence) in journal
        .iter()
        .zip(1u64..)
        .filter(|(r, _)| r.instrument == instrument)
    {
        match record.kind {
            kind::TRADE => {
                assert!(open.is_none(), "a trade inside an open gap");
                assert!(
                    present.last().is_none_or(|&last| last < record.id),
                    "trade ids must grow"
                );
                assert_eq!(record.flags & flag::SNAPSHOT, 0);
                present.insert(record.id);
            }
            kind::GAP if record.price_scale == channel::TRADES => match record.side() {
                Side::Buy => {
                    assert!(open.is_none(), "a second opening for one hole");
                    assert_eq!(record.id, 0);
                    assert_eq!(record.price, present.last().map_or(-1, |&id| id as i64));
                    open = Some((sequence, *record));
                }
                _ => {
                    let (opened, opening) = open.take().expect("an end without an opening");
                    assert_eq!((record.id, record.size_scale), (opened, opening.size_scale));
                    if opening.price >= 0 {
                        let hole: Vec<u64> = (opening.price as u64 + 1..record.price as u64).collect();
                        assert_eq!(record.size, hole.len() as i64);
                        if opening.size >= 0 {
                            assert_eq!(record.size, opening.size);
                        }
                        covered.extend(hole);
                    } else {
                        assert_eq!(record.size, -1);
                    }
                }
            },
            _ => {}
        }
    }
    (covered, present)
}

#[test]
fn a_disconnect_is_a_gap_until_the_snapshot_reaches_back() {
    let mut bench = Bench::new(TRADES);
    let first = bench.open(&[BTC]);
    bench.feed(first, &[trade(BTC, 99), trade(BTC, 100)]);
    let lost = bench.end(first, cause::DISCONNECT);
    assert_eq!(kinds(&lost)[0], (kind::GAP, 1));
    let opening = lost[0];
    assert_eq!((opening.ts_event, opening.price, opening.size), (1_100, 100, -1));
    let sequence = bench.journal.iter().position(|r| r.kind == kind::GAP).unwrap() as u64 + 1;

    let second = bench.open(&[BTC]);
    let snapshot: Vec<Record> = (98..=102).map(|id| trade(BTC, id).with(flag::SNAPSHOT)).collect();
    let back = bench.feed(second, &snapshot);
    assert_eq!(
        kinds(&back),
        [(kind::GAP, 2), (kind::TRADE, 101), (kind::TRADE, 102)]
    );
    let end = back[1];
    assert_eq!(
        (end.id, end.size, end.price, end.ts_event),
        (sequence, 0, 100, 1_100)
    );
    assert_eq!(bench.core.counts().duplicates, 3);
}

#[test]
fn what_the_snapshot_does_not_reach_stays_missing() {
    let mut bench = Bench::new(TRADES);
    let first = bench.open(&[BTC]);
    bench.feed(first, &[trade(BTC, 100)]);
    bench.end(first, cause::STALL);
    let second = bench.open(&[BTC]);
    let back = bench.feed(second, &[trade(BTC, 131).with(flag::SNAPSHOT), trade(BTC, 132)]);
    let end = back.iter().find(|r| r.kind == kind::GAP).unwrap();
    assert_eq!((end.size, end.size_scale, end.price), (30, cause::STALL, 131));
    assert_eq!(bench.core.counts().missing, 30);
}

#[test]
fn a_hole_inside_a_connection_is_named_whether_or_not_the_session_saw_it() {
    for told in [false, true] {
        let mut bench = Bench::new(TRADES);
        let line = bench.open(&[BTC]);
        bench.feed(line, &[trade(BTC, 1)]);
        let hole = Record::gap_open(BTC, channel::TRADES, cause::SEQUENCE_HOLE, 3);
        let fed = if told {
            vec![hole, trade(BTC, 5)]
        } else {
            vec![trade(BTC, 5)]
        };
        let out = bench.feed(line, &fed);
        assert_eq!(kinds(&out), [(kind::GAP, 1), (kind::GAP, 2), (kind::TRADE, 5)]);
        assert_eq!(
            (out[0].size, out[0].price, out[1].size, out[1].price),
            (3, 1, 3, 5)
        );
        assert_eq!(out[1].id, 4 - 1); // LIVE, trade, opening
    }
}

#[test]
fn a_venue_that_counts_from_one_again_is_believed_after_ten_trades() {
    let mut bench = Bench::new(TRADES);
    let line = bench.open(&[BTC]);
    bench.feed(line, &[trade(BTC, 5_000)]);
    let anew = |id: u64| trade(BTC, id).at(50_000 + id as i64, 50_000);
    for id in 1..10 {
        assert!(bench.feed(line, &[anew(id)]).is_empty());
    }
    let out = bench.feed(line, &[anew(10)]);
    let expected: Vec<(u8, u64)> = [(kind::GAP, 1), (kind::GAP, 2)]
        .into_iter()
        .chain((1..=10).map(|id| (kind::TRADE, id)))
        .collect();
    assert_eq!(kinds(&out), expected);
    assert_eq!(
        (out[0].price, out[0].size, out[1].price, out[1].size),
        (5_000, -1, 1, -1)
    );
    assert_eq!(bench.core.counts().duplicates, 0);
    assert_eq!(kinds(&bench.feed(line, &[anew(11)])), [(kind::TRADE, 11)]);
}

#[test]
fn the_last_flag_survives_when_the_last_record_is_dropped() {
    let mut bench = Bench::new(TRADES);
    let line = bench.open(&[BTC]);
    bench.feed(line, &[trade(BTC, 5)]);
    let unflagged = Record {
        flags: trade(BTC, 6).flags & !flag::LAST,
        ..trade(BTC, 6)
    };
    let out = bench.feed(line, &[unflagged, trade(BTC, 5)]);
    assert_eq!(kinds(&out), [(kind::TRADE, 6)]);
    assert!(out[0].has(flag::LAST));
}

#[test]
fn a_detail_goes_with_the_record_before_it() {
    let mut bench = Bench::new(TRADES);
    let line = bench.open(&[BTC]);
    let detail = Record {
        instrument: BTC,
        ..Record::new(kind::DETAIL)
    };
    let out = bench.feed(line, &[trade(BTC, 5), detail, trade(BTC, 5), detail]);
    assert_eq!(kinds(&out), [(kind::TRADE, 5), (kind::DETAIL, 0)]);
}

#[test]
fn ids_that_are_mere_names_tell_of_no_hole_but_of_what_was_seen() {
    let mut bench = Bench::new(TRADES);
    bench.core = Core::new(1, TRADES).unnumbered();
    bench.core.want(&[BTC, ETH]);
    let line = bench.open(&[BTC]);
    let out = bench.feed(
        line,
        &[trade(BTC, 9), trade(BTC, 3), trade(BTC, 3), trade(BTC, 5_000)],
    );
    assert_eq!(
        kinds(&out),
        [(kind::TRADE, 9), (kind::TRADE, 3), (kind::TRADE, 5_000)]
    );
    let out = bench.end(line, cause::DISCONNECT);
    assert_eq!(kinds(&out), [(kind::GAP, 1)]);
    let line = bench.open(&[BTC]);
    let out = bench.feed(line, &[trade(BTC, 4)]);
    assert_eq!(kinds(&out), [(kind::GAP, 2), (kind::TRADE, 4)]);
    assert_eq!(out.iter().find(|r| r.kind == kind::GAP).unwrap().size, -1);
}

#[test]
fn a_quiet_instrument_has_holes_too() {
    let mut bench = Bench::new(TRADES);
    let line = bench.open(&[BTC, ETH]);
    bench.feed(line, &[trade(BTC, 5)]);
    let lost = bench.end(line, cause::DISCONNECT);
    let quiet = lost
        .iter()
        .find(|r| r.instrument == ETH && r.kind == kind::GAP)
        .unwrap();
    assert_eq!((quiet.price, quiet.has(flag::NO_VENUE_TIME)), (-1, true));
    assert_eq!(bench.core.open_gaps(), 2);
    // a failed attempt does not open them again
    assert!(bench.end(77, cause::DISCONNECT).is_empty());
}

#[test]
fn statuses_name_the_venue_or_the_instruments() {
    let mut bench = Bench::new(TRADES);
    let (one, two) = (bench.open(&[BTC]), bench.open(&[ETH]));
    let out = bench.feed(one, &[]);
    assert_eq!(
        (out.len(), out[0].instrument, out[0].id, out[0].price),
        (1, BTC, status::LIVE, one as i64)
    );
    bench.feed(two, &[]);
    let out = bench.end(two, cause::STALL);
    let codes: Vec<(u32, u64)> = out
        .iter()
        .filter(|r| r.kind == kind::STATUS)
        .map(|r| (r.instrument, r.id))
        .collect();
    assert_eq!(codes, [(ETH, status::STALE), (ETH, status::RECONNECTING)]);
    bench.core.want(&[BTC]);
    let out = bench.end(one, cause::DISCONNECT);
    assert_eq!(
        out.last().map(|r| (r.instrument, r.id)),
        Some((0, status::RECONNECTING))
    );
}

#[test]
fn a_drained_collector_leaves_its_gaps_open_and_a_new_one_does_not_open_them_again() {
    let mut bench = Bench::new(TRADES);
    let line = bench.open(&[BTC, ETH]);
    bench.feed(line, &[trade(BTC, 5), trade(ETH, 8)]);
    bench.core.ended(line, cause::DISCONNECT, true, bench.now);
    let out = bench.take();
    assert_eq!(out.iter().filter(|r| r.kind == kind::GAP).count(), 2);
    assert_eq!(
        out.last().map(|r| (r.instrument, r.id)),
        Some((0, status::CLOSED))
    );
    let before = bench.journal.len();
    bench.crash();
    assert_eq!(bench.journal.len(), before);
    let line = bench.open(&[BTC, ETH]);
    let out = bench.feed(line, &[trade(BTC, 7)]);
    assert!(
        out.iter()
            .any(|r| r.kind == kind::GAP && r.size == 1 && r.side() == Side::Sell)
    );
}

fn clear(instrument: u32) -> Record {
    Record::clear(instrument).at(50, 60).with(flag::SNAPSHOT)
}

fn level(instrument: u32, side: Side, price: &str, size: &str) -> Record {
    Record::level(instrument, side, dec(price), dec(size)).at(50, 60)
}

fn snapshot(instrument: u32) -> Vec<Record> {
    vec![
        clear(instrument),
        level(instrument, Side::Buy, "99.5", "1").with(flag::SNAPSHOT),
        level(instrument, Side::Sell, "100.5", "2").with(flag::SNAPSHOT | flag::LAST),
    ]
}

#[test]
fn a_book_is_valid_from_its_whole_snapshot_to_the_next_hole() {
    let mut bench = Bench::new(ALL);
    let line = bench.open(&[BTC]);
    let out = bench.feed(line, &snapshot(BTC));
    assert_eq!(
        out.last().map(|r| (r.kind, r.id)),
        Some((kind::STATUS, status::BOOK_VALID))
    );
    // the session finds a wrong checksum: gap and status come in this order, once
    let hole = Record::gap_open(BTC, channel::BOOK, cause::CHECKSUM, -1);
    let out = bench.feed(
        line,
        &[
            hole,
            Record::status(BTC, channel::BOOK, status::BOOK_INVALID),
            hole,
        ],
    );
    assert_eq!(
        kinds(&out),
        [(kind::GAP, 1), (kind::STATUS, status::BOOK_INVALID)]
    );
    let mut again = snapshot(BTC);
    again.push(Record::status(BTC, channel::BOOK, status::BOOK_VALID));
    let out = bench.feed(line, &again);
    let tail: Vec<(u8, u64)> = kinds(&out)[3..].to_vec();
    assert_eq!(tail, [(kind::GAP, 2), (kind::STATUS, status::BOOK_VALID)]);
    assert_eq!(out[3].size_scale, cause::CHECKSUM);
    let out = bench.end(line, cause::DISCONNECT);
    let book: Vec<(u8, u64)> = kinds(&out).into_iter().filter(|k| k.0 == kind::STATUS).collect();
    assert_eq!(book, [(kind::STATUS, status::BOOK_INVALID)]);
}

#[test]
fn a_removal_without_a_venue_time_does_not_hide_the_last_one() {
    let mut bench = Bench::new(ALL);
    let line = bench.open(&[BTC]);
    bench.feed(line, &snapshot(BTC));
    let removal = level(BTC, Side::Buy, "99.5", "0")
        .at(9_999, 9_999)
        .with(flag::NO_VENUE_TIME | flag::LAST);
    bench.feed(line, &[level(BTC, Side::Buy, "99.6", "1").at(70, 80), removal]);
    let out = bench.end(line, cause::DISCONNECT);
    let gap = out
        .iter()
        .find(|r| r.kind == kind::GAP && r.price_scale == channel::BOOK)
        .unwrap();
    assert_eq!((gap.ts_event, gap.has(flag::NO_VENUE_TIME)), (70, false));
}

#[test]
fn a_fresh_snapshot_comes_when_deltas_outweigh_the_book_and_equals_it() {
    let mut bench = Bench::new(ALL);
    let line = bench.open(&[BTC]);
    bench.feed(line, &snapshot(BTC));
    let mut fresh = Vec::new();
    for n in 0..SNAPSHOT_DELTAS {
        let price = format!("9{}.{}", n % 9, n % 7);
        let out = bench.feed(line, &[level(BTC, Side::Buy, &price, "3").with(flag::LAST)]);
        fresh.extend(out.into_iter().skip(1));
    }
    assert_eq!(bench.core.counts().snapshots, 1);
    assert_eq!((fresh[0].kind, fresh[0].has(flag::SNAPSHOT)), (kind::CLEAR, true));
    assert!(fresh.last().unwrap().has(flag::LAST | flag::SNAPSHOT));
    let mut late = Book::new();
    fresh.iter().for_each(|record| late.apply(record));
    let (book, valid) = bench.core.book(BTC).unwrap();
    assert!(valid && late.valid() && late.same_levels(book));
    // and at a segment's start
    bench.core.segment(bench.now);
    let out = bench.take();
    assert_eq!(out.len(), late.len() + 1);
}

#[test]
fn a_planned_rotation_leaves_no_gap() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &snapshot(BTC));
    bench.feed(first, &[trade(BTC, 10)]);
    let second = bench.open(&[BTC]);
    assert!(!bench.core.speaks(second) && !bench.core.ready(second, true));
    // the second one is ahead: 12 waits for 11
    assert!(bench.feed(second, &[trade(BTC, 12)]).is_empty());
    assert!(bench.feed(second, &snapshot(BTC)).is_empty());
    assert!(!bench.core.ready(second, true));
    assert_eq!(
        kinds(&bench.feed(first, &[trade(BTC, 11)])),
        [(kind::TRADE, 11), (kind::TRADE, 12)]
    );
    assert!(bench.core.ready(second, false));
    // the book moves on the second connection first
    bench.feed(second, &[level(BTC, Side::Buy, "99.6", "5").with(flag::LAST)]);
    bench.core.switch(second, bench.now);
    bench.core.ended(first, cause::DISCONNECT, false, bench.now);
    let out = bench.take();
    assert!(out.iter().all(|r| r.kind != kind::GAP), "{out:?}");
    assert_eq!(out.iter().filter(|r| r.kind == kind::LEVEL).count(), 3);
    assert_eq!(
        out.last().map(|r| (r.id, r.price)),
        Some((status::LIVE, second as i64))
    );
    assert!(bench.feed(first, &[trade(BTC, 13)]).is_empty());
    assert_eq!(kinds(&bench.feed(second, &[trade(BTC, 13)])), [(kind::TRADE, 13)]);
}

#[test]
fn a_second_connection_with_a_spoilt_book_is_not_ready() {
    for spoil in [
        Record::status(BTC, channel::BOOK, status::BOOK_INVALID),
        Record::gap_open(BTC, channel::BOOK, cause::CHECKSUM, -1),
    ] {
        let mut bench = Bench::new(ALL);
        let first = bench.open(&[BTC]);
        bench.feed(first, &snapshot(BTC));
        let second = bench.open(&[BTC]);
        bench.feed(second, &snapshot(BTC));
        assert!(bench.core.ready(second, true));
        bench.feed(second, &[spoil]);
        assert!(!bench.core.ready(second, true));
        bench.core.switch(second, bench.now); // it must all the same
        let out = bench.take();
        assert_eq!(
            kinds(&out),
            [(kind::GAP, 1), (kind::STATUS, status::BOOK_INVALID)]
        );
    }
}

fn quote(instrument: u32, ts: i64) -> [Record; 2] {
    let side = |side, price| Record::quote(instrument, side, dec(price), dec("1")).at(ts, 0);
    [
        side(Side::Buy, "99.5"),
        side(Side::Sell, "100.5").with(flag::LAST),
    ]
}

fn quoted(records: &[Record]) -> Vec<i64> {
    let bids = records
        .iter()
        .filter(|r| r.kind == kind::QUOTE && r.side() == Side::Buy);
    bids.map(|r| r.ts_event).collect()
}

#[test]
fn quotes_that_only_the_second_connection_had_are_not_lost() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &quote(BTC, 10));
    let second = bench.open(&[BTC]);
    for ts in [10, 20, 30] {
        assert_eq!(bench.feed(second, &quote(BTC, ts)), [], "the first one speaks");
    }
    bench.feed(first, &quote(BTC, 20));
    let out = bench.end(first, cause::STALL);
    assert_eq!(quoted(&out), [30]);
    assert!(
        !out.iter()
            .any(|r| r.kind == kind::GAP && r.price_scale == channel::QUOTES)
    );
}

#[test]
fn quotes_between_two_connections_that_do_not_meet_are_a_gap() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &quote(BTC, 10));
    let second = bench.open(&[BTC]);
    bench.feed(second, &quote(BTC, 30));
    let out = bench.end(first, cause::STALL);
    let story: Vec<u8> = out
        .iter()
        .filter(|r| r.kind == kind::QUOTE || r.price_scale == channel::QUOTES)
        .map(|r| r.kind)
        .collect();
    assert_eq!(story, [kind::GAP, kind::GAP, kind::QUOTE, kind::QUOTE]);
    assert_eq!(quoted(&out), [30]);
}

#[test]
fn a_planned_rotation_takes_the_newest_quotes_along() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &quote(BTC, 10));
    let second = bench.open(&[BTC]);
    bench.feed(second, &quote(BTC, 20));
    bench.core.switch(second, bench.now);
    let out = bench.take();
    assert_eq!(quoted(&out), [20]);
    assert!(
        !out.iter()
            .any(|r| r.kind == kind::GAP && r.price_scale == channel::QUOTES)
    );
}

#[test]
fn what_the_venue_refuses_is_a_gap_and_its_book_is_not_written_again() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC, ETH]);
    bench.feed(first, &[trade(BTC, 1)]);
    bench.feed(first, &snapshot(BTC));
    let refusal = Record::status(BTC, channel::ALL, status::CLOSED);
    let out = bench.feed(first, &[refusal]);
    let gaps: Vec<(u8, u8)> = out
        .iter()
        .filter(|r| r.kind == kind::GAP)
        .map(|r| (r.price_scale, r.size_scale))
        .collect();
    assert_eq!(
        gaps,
        [(channel::TRADES, cause::LIMIT), (channel::BOOK, cause::LIMIT)]
    );
    assert_eq!(
        out.last().map(|r| (r.instrument, r.id)),
        Some((BTC, status::CLOSED))
    );
    bench.core.segment(bench.now);
    assert_eq!(bench.take(), []);
    assert_eq!(bench.core.refused().collect::<Vec<_>>(), [BTC]);
    // another connection may have it
    bench.end(first, cause::DISCONNECT);
    bench.open(&[BTC, ETH]);
    assert_eq!(bench.core.refused().count(), 0);
}

#[test]
fn trading_is_told_when_it_stops_and_goes_on_over_connections_and_restarts() {
    let halted = |number| Record::status(number, channel::ALL, status::HALTED);
    let resumed = |number| Record::status(number, channel::ALL, status::RESUMED);
    let told = |records: Vec<Record>| -> Vec<(u32, u64)> {
        let about = records
            .iter()
            .filter(|r| matches!(r.id, status::HALTED | status::RESUMED) && r.kind == kind::STATUS);
        about.map(|r| (r.instrument, r.id)).collect()
    };
    for saved in [false, true] {
        let mut bench = Bench::new(ALL);
        let first = bench.open(&[BTC]);
        assert_eq!(told(bench.feed(first, &[resumed(0)])), [], "nothing had stopped");
        assert_eq!(told(bench.feed(first, &[halted(0)])), [(0, status::HALTED)]);
        bench.core.trading(ETH, false, bench.now);
        assert_eq!(told(bench.take()), [(ETH, status::HALTED)]);
        if saved {
            bench.save();
        }
        bench.end(first, cause::DISCONNECT);
        bench.crash();
        let second = bench.open(&[BTC]);
        assert_eq!(told(bench.feed(second, &[halted(0)])), [], "no news");
        assert_eq!(told(bench.feed(second, &[resumed(0)])), [(0, status::RESUMED)]);
        bench.core.trading(ETH, true, bench.now);
        assert_eq!(told(bench.take()), [(ETH, status::RESUMED)]);
    }
}

#[test]
fn a_halt_of_one_instrument_is_told_once_and_ends_with_a_trade_at_the_latest() {
    let mut bench = unnumbered();
    let first = bench.open(&[BTC]);
    bench.feed(first, &[trade(BTC, 10)]);
    let told = |records: Vec<Record>| -> Vec<u64> {
        let codes = records.iter().filter(|r| r.kind == kind::STATUS).map(|r| r.id);
        codes
            .filter(|id| matches!(*id, status::HALTED | status::RESUMED))
            .collect()
    };
    let halted = Record::status(BTC, channel::ALL, status::HALTED);
    assert_eq!(told(bench.feed(first, &[halted])), [status::HALTED]);
    assert_eq!(told(bench.feed(first, &[halted])), [0u64; 0], "no news");
    // one that happened before it
    let mut late = trade(BTC, 11);
    late.ts_event = bench.now - 1_000_000_000;
    assert_eq!(told(bench.feed(first, &[late])), [0u64; 0]);
    let mut next = trade(BTC, 12);
    next.ts_event = bench.now + 1_000_000_000;
    assert_eq!(told(bench.feed(first, &[next])), [status::RESUMED]);
}

#[test]
fn a_first_connection_that_dies_early_hands_over_what_the_second_has() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &snapshot(BTC));
    bench.feed(first, &[trade(BTC, 10)]);
    let second = bench.open(&[BTC, ETH]);
    bench.feed(second, &[trade(BTC, 10), trade(ETH, 4)]);
    let out = bench.end(first, cause::DISCONNECT);
    let gaps: Vec<u8> = out
        .iter()
        .filter(|r| r.kind == kind::GAP)
        .map(|r| r.price_scale)
        .collect();
    assert_eq!(gaps, [channel::BOOK]); // its book was not whole yet; its trades were in contact
    assert_eq!(kinds(&bench.feed(second, &[trade(BTC, 11)])), [(kind::TRADE, 11)]);
    let out = bench.feed(second, &snapshot(BTC));
    assert!(out.iter().any(|r| r.kind == kind::GAP && r.side() == Side::Sell));
}

#[test]
fn a_reader_of_any_suffix_that_begins_with_a_snapshot_has_the_same_book() {
    let mut bench = Bench::new(ALL);
    let first = bench.open(&[BTC]);
    bench.feed(first, &snapshot(BTC));
    for n in 0..3_000u32 {
        let price = format!("{}.{}", 80 + n % 19, n % 10);
        let size = if n % 3 == 0 { "0" } else { "1.25" };
        bench.feed(first, &[level(BTC, Side::Buy, &price, size).with(flag::LAST)]);
    }
    let starts: Vec<usize> = (0..bench.journal.len())
        .filter(|&i| bench.journal[i].kind == kind::CLEAR)
        .collect();
    assert!(starts.len() >= 3);
    for start in starts {
        let mut reader = Book::new();
        bench.journal[start..]
            .iter()
            .for_each(|record| reader.apply(record));
        assert!(reader.valid() && reader.same_levels(bench.core.book(BTC).unwrap().0));
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The venue trades so many times; the first connection loses those in the mask.
    Trade {
        count: u8,
        lost: u8,
    },
    /// The venue repeats its last trades.
    Repeat(u8),
    /// Two trades come in the wrong order.
    Swap,
    Disconnect {
        unseen: u8,
        snapshot: u8,
    },
    Crash {
        unseen: u8,
        snapshot: u8,
    },
    /// A second connection comes, both deliver with the second ahead by some, then the first goes.
    Rotate {
        snapshot: u8,
        ahead: u8,
        planned: bool,
        lost: u8,
    },
    Save,
    /// The session says that something was lost, and cannot know what.
    Malformed {
        unseen: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..6, any::<u8>(), any::<bool>())
            .prop_map(|(count, lost, lossy)| Step::Trade { count, lost: if lossy { lost } else { 0 } }),
        2 => (1u8..9).prop_map(Step::Repeat),
        1 => Just(Step::Swap),
        2 => (0u8..9, 0u8..9).prop_map(|(unseen, snapshot)| Step::Disconnect { unseen, snapshot }),
        2 => (0u8..9, 0u8..9).prop_map(|(unseen, snapshot)| Step::Crash { unseen, snapshot }),
        2 => (0u8..9, 0u8..6, any::<bool>(), any::<u8>())
            .prop_map(|(snapshot, ahead, planned, lost)| Step::Rotate { snapshot, ahead, planned, lost }),
        1 => Just(Step::Save),
        1 => (0u8..3).prop_map(|unseen| Step::Malformed { unseen }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is lost, repeated, swapped, cut, killed or rotated: the ids that are missing from the
    /// journal are exactly those its gap records cover.
    #[test]
    fn gaps_are_exact(steps in proptest::collection::vec(step(), 1..40)) {
        let mut bench = Bench::new(TRADES);
        let mut newest = 100u64; // the venue's last trade id
        let mut line = bench.open(&[BTC]);
        bench.feed(line, &[trade(BTC, newest)]);
        for step in steps {
            match step {
                Step::Trade { count, lost } => {
                    for n in 0..count {
                        newest += 1;
                        if lost >> n & 1 == 0 {
                            bench.feed(line, &[trade(BTC, newest)]);
                        }
                    }
                }
                Step::Repeat(count) => {
                    let again: Vec<Record> =
                        (newest.saturating_sub(u64::from(count)).max(1)..=newest).map(|id| trade(BTC, id)).collect();
                    bench.feed(line, &again);
                }
                Step::Swap => {
                    newest += 2;
                    bench.feed(line, &[trade(BTC, newest), trade(BTC, newest - 1)]);
                }
                Step::Disconnect { unseen, snapshot } => {
                    bench.end(line, cause::DISCONNECT);
                    newest += u64::from(unseen);
                    line = bench.open(&[BTC]);
                    let back: Vec<Record> =
                        (newest - u64::from(snapshot)..newest).map(|id| trade(BTC, id + 1).with(flag::SNAPSHOT)).collect();
                    bench.feed(line, &back);
                }
                Step::Crash { unseen, snapshot } => {
                    bench.crash();
                    newest += u64::from(unseen);
                    line = bench.open(&[BTC]);
                    let back: Vec<Record> =
                        (newest - u64::from(snapshot)..newest).map(|id| trade(BTC, id + 1).with(flag::SNAPSHOT)).collect();
                    bench.feed(line, &back);
                }
                Step::Rotate { snapshot, ahead, planned, lost } => {
                    let second = bench.open(&[BTC]);
                    let gaps = bench.core.counts().gaps;
                    let back: Vec<Record> =
                        (newest - u64::from(snapshot)..newest).map(|id| trade(BTC, id + 1).with(flag::SNAPSHOT)).collect();
                    bench.feed(second, &back);
                    let whole = bench.core.find(BTC).unwrap().trades.id == Some(newest);
                    for n in 1..=u64::from(ahead) {
                        bench.feed(second, &[trade(BTC, newest + n)]);
                    }
                    for n in 1..=u64::from(ahead) {
                        // the first may miss some: the second has them
                        if lost >> n & 1 == 0 {
                            bench.feed(line, &[trade(BTC, newest + n)]);
                        }
                    }
                    newest += u64::from(ahead);
                    if planned && bench.core.ready(second, true) {
                        bench.core.switch(second, bench.now);
                        bench.end(line, cause::DISCONNECT);
                        if whole {
                            prop_assert_eq!(gaps, bench.core.counts().gaps, "a planned rotation made a gap");
                        }
                    } else {
                        bench.end(line, cause::DISCONNECT);
                    }
                    line = second;
                }
                Step::Save => bench.save(),
                Step::Malformed { unseen } => {
                    newest += u64::from(unseen);
                    bench.feed(line, &[Record::gap_open(0, channel::ALL, cause::MALFORMED, -1)]);
                }
            }
        }
        newest += 1;
        bench.feed(line, &[trade(BTC, newest)]);
        let (covered, present) = ledger(&bench.journal, BTC);
        prop_assert!(covered.is_disjoint(&present));
        let all: BTreeSet<u64> = (*present.first().unwrap()..=newest).collect();
        let missing: BTreeSet<u64> = all.difference(&present).copied().collect();
        prop_assert_eq!(missing, covered);
        prop_assert_eq!(bench.core.open_gaps(), 0);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A book told to be valid is the venue's book, through holes, resyncs, rotations and crashes.
    #[test]
    fn a_valid_book_is_the_venues_book(
        steps in proptest::collection::vec((0u8..12, 1i64..40, 0i64..4), 1..200),
    ) {
        let mut bench = Bench::new(ALL);
        let mut truth = Book::new();
        let whole = |truth: &Book| {
            let mut records = vec![clear(BTC)];
            for (side, levels) in [(Side::Buy, truth.bids().collect::<Vec<_>>()), (Side::Sell, truth.asks().collect())] {
                records.extend(levels.into_iter().map(|(price, size, _)| {
                    Record::level(BTC, side, price, size).at(50, 60).with(flag::SNAPSHOT)
                }));
            }
            records.last_mut().unwrap().flags |= flag::LAST;
            records
        };
        let mut line = bench.open(&[BTC]);
        bench.feed(line, &whole(&truth));
        let mut second: Option<u64> = None;
        let mut sound = true; // the first connection's session follows the venue
        for (what, price, size) in steps {
            match what {
                0..=6 => {
                    let (side, price) = if price % 2 == 0 { (Side::Buy, 1_000 - price) } else { (Side::Sell, 1_000 + price) };
                    let delta = Record::level(BTC, side, Decimal::new(price, 1), Decimal::new(size, 2))
                        .at(70, 80)
                        .with(flag::LAST);
                    truth.apply(&delta);
                    if sound {
                        bench.feed(line, &[delta]);
                    }
                    if let Some(second) = second {
                        bench.feed(second, &[delta]);
                    }
                }
                7 => {
                    bench.feed(line, &[Record::gap_open(BTC, channel::BOOK, cause::CHECKSUM, -1)]);
                    sound = false;
                }
                8 => {
                    bench.feed(line, &whole(&truth));
                    sound = true;
                }
                9 => {
                    bench.end(line, cause::DISCONNECT);
                    line = second.take().unwrap_or_else(|| bench.open(&[BTC]));
                    sound = bench.core.find(BTC).unwrap().book_valid;
                }
                10 => {
                    let fresh = bench.open(&[BTC]);
                    bench.feed(fresh, &whole(&truth));
                    if let Some(old) = second.replace(fresh) {
                        bench.end(old, cause::DISCONNECT);
                    }
                }
                _ => {
                    bench.crash();
                    second = None;
                    line = bench.open(&[BTC]);
                    sound = false;
                }
            }
            let mut reader = Book::new();
            bench.journal.iter().filter(|r| r.instrument == BTC || r.instrument == 0).for_each(|r| reader.apply(r));
            let (book, valid) = bench.core.book(BTC).unwrap();
            if valid {
                prop_assert!(book.same_levels(&truth));
            }
            prop_assert_eq!(reader.valid(), valid);
            if reader.valid() {
                prop_assert!(reader.same_levels(&truth));
            }
        }
    }
}

/// A venue whose ids only name trades.
fn unnumbered() -> Bench {
    let mut bench = Bench::new(TRADES);
    bench.core = Core::new(1, TRADES).unnumbered();
    bench.core.want(&[BTC, ETH]);
    bench
}

fn ids(records: &[Record]) -> Vec<u64> {
    let trades = records.iter().filter(|record| record.kind == kind::TRADE);
    trades.map(|record| record.id).collect()
}

fn trade_gaps(records: &[Record]) -> Vec<(bool, i64)> {
    let gaps = records.iter().filter(|record| record.kind == kind::GAP);
    gaps.map(|record| (record.side() == Side::Buy, record.size))
        .collect()
}

#[test]
fn ids_that_only_name_trades_show_no_hole_and_every_repetition() {
    let mut bench = unnumbered();
    let line = bench.open(&[BTC]);
    let out = bench.feed(
        line,
        &[trade(BTC, 900), trade(BTC, 5), trade(BTC, 900), trade(BTC, 7_000)],
    );
    assert_eq!((ids(&out), trade_gaps(&out)), (vec![900, 5, 7_000], vec![]));
    assert_eq!(bench.core.counts().duplicates, 1);
    // a second connection: whichever has it first
    let second = bench.open(&[BTC]);
    assert_eq!(ids(&bench.feed(second, &[trade(BTC, 5), trade(BTC, 44)])), [44]);
    assert_eq!(ids(&bench.feed(line, &[trade(BTC, 44), trade(BTC, 3)])), [3]);
    bench.core.switch(second, bench.now);
    bench.take();
    assert_eq!(ids(&bench.feed(second, &[trade(BTC, 3), trade(BTC, 6)])), [6]);
}

#[test]
fn a_gap_ends_without_loss_where_the_newest_trade_is_ours() {
    let mut bench = unnumbered();
    let line = bench.open(&[BTC]);
    bench.feed(line, &[trade(BTC, 900), trade(BTC, 5)]);
    bench.end(line, cause::DISCONNECT);
    let line = bench.open(&[BTC]);
    let other = bench.feed(line, &[trade(BTC, 900).with(flag::SNAPSHOT)]);
    assert_eq!(
        (ids(&other), trade_gaps(&other)),
        (vec![], vec![]),
        "an older one proves nothing"
    );
    let ours = bench.feed(line, &[trade(BTC, 5).with(flag::SNAPSHOT)]);
    assert_eq!((ids(&ours), trade_gaps(&ours)), (vec![], vec![(false, 0)]));
    bench.end(line, cause::DISCONNECT);
    let line = bench.open(&[BTC]);
    let missed = bench.feed(line, &[trade(BTC, 44).with(flag::SNAPSHOT), trade(BTC, 45)]);
    assert_eq!((ids(&missed), trade_gaps(&missed)), (vec![45], vec![(false, -1)]));
}

#[test]
fn a_quiet_instrument_has_no_hole_where_its_newest_trade_is_older_than_we_are() {
    let mut bench = unnumbered();
    bench.now = 1_000_000_000_000;
    let begun = bench.now;
    let newest = |ts| trade(BTC, 7).at(ts, ts).with(flag::SNAPSHOT);
    let line = bench.open(&[BTC]);
    bench.feed(line, &[]);
    assert_eq!(trade_gaps(&bench.end(line, cause::DISCONNECT)), [(true, -1)]);
    let line = bench.open(&[BTC]);
    let near = bench.feed(line, &[newest(begun - 59_000_000_000)]);
    assert_eq!(trade_gaps(&near), [], "their clock may be behind ours");
    let far = bench.feed(line, &[newest(begun - 61_000_000_000)]);
    assert_eq!((ids(&far), trade_gaps(&far)), (vec![], vec![(false, 0)]));
}

#[test]
fn a_restart_knows_the_trades_that_only_have_names() {
    let mut bench = unnumbered();
    let line = bench.open(&[BTC]);
    bench.feed(line, &[trade(BTC, 900), trade(BTC, 5)]);
    let mut core = Core::new(bench.journal.len() as u64 + 1, TRADES).unnumbered();
    core.recover(1, &bench.journal);
    core.want(&[BTC]);
    bench.core = core;
    let line = bench.open(&[BTC]);
    assert_eq!(ids(&bench.feed(line, &[trade(BTC, 900), trade(BTC, 6)])), [6]);
}

#[test]
fn a_venue_that_lost_its_source_is_stale_until_it_says_otherwise() {
    let mut bench = unnumbered();
    let line = bench.open(&[BTC, ETH]);
    bench.feed(line, &[trade(BTC, 1)]);
    let say = |code| Record::status(0, channel::ALL, code);
    let lost = [
        say(status::STALE),
        Record::gap_open(0, channel::ALL, cause::DISCONNECT, -1),
    ];
    let out = bench.feed(line, &lost);
    assert!(bench.core.stale());
    assert_eq!(
        out.iter()
            .filter(|r| r.kind == kind::STATUS)
            .map(|r| r.id)
            .collect::<Vec<_>>(),
        [status::STALE]
    );
    assert_eq!(trade_gaps(&out), [(true, -1), (true, -1)]);
    assert_eq!(bench.feed(line, &lost), [], "said");
    let out = bench.feed(line, &[say(status::LIVE)]);
    assert_eq!(out.iter().map(|r| r.id).collect::<Vec<_>>(), [status::LIVE]);
    assert!(!bench.core.stale());
    bench.feed(line, &lost);
    bench.end(line, cause::DISCONNECT);
    assert!(!bench.core.stale(), "that connection is gone");
}
