//! The book channel: snapshots, differences at a depth, checksum.

use crate::market::{Instrument, Ladder};
use crate::number::{push_int, push_time, push_uint};
use crate::spec::Spec;
use kernels::matching::Side;

pub(super) const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1000];

/// (ticks, lots), best first.
pub(super) type Levels = Vec<(i64, i64)>;

/// Subscribers of one depth of one book, and the levels they hold.
#[derive(Default)]
pub(super) struct Depth {
    pub(super) clients: Vec<u64>,
    /// Bids and asks.
    held: [Levels; 2],
    now: Levels,
}

impl Depth {
    /// Takes in a client that gets a snapshot of `limit` levels now.
    pub(super) fn join(&mut self, instrument: &Instrument, limit: usize, id: u64) {
        if self.clients.is_empty() {
            for (side, held) in [Side::Bid, Side::Ask].into_iter().zip(&mut self.held) {
                held.clear();
                held.extend(instrument.ladder.levels(side).take(limit));
            }
        }
        self.clients.push(id);
    }

    /// Moves on to the book as it is published now; `changes` becomes what is different, bids and asks.
    pub(super) fn advance(&mut self, instrument: &Instrument, limit: usize, changes: &mut [Levels; 2]) {
        for (at, side) in [Side::Bid, Side::Ask].into_iter().enumerate() {
            self.now.clear();
            self.now.extend(instrument.ladder.levels(side).take(limit));
            changes[at].clear();
            difference(instrument, side, &self.held[at], &self.now, &mut changes[at]);
            std::mem::swap(&mut self.held[at], &mut self.now);
        }
    }
}

/// What turns the levels `held` into `now`: gone levels with quantity 0, new and changed ones as they are. A
/// level pushed out of the depth by better ones is not mentioned.
fn difference(
    instrument: &Instrument,
    side: Side,
    held: &[(i64, i64)],
    now: &[(i64, i64)],
    changes: &mut Levels,
) {
    let better = |a: i64, b: i64| if side == Side::Bid { a > b } else { a < b };
    let (mut i, mut j) = (0, 0);
    while i < held.len() || j < now.len() {
        match (held.get(i), now.get(j)) {
            (Some(old), Some(new)) if old.0 == new.0 => {
                if old.1 != new.1 {
                    changes.push(*new);
                }
                i += 1;
                j += 1;
            }
            (Some(old), new) if new.is_none_or(|new| better(old.0, new.0)) => {
                let pushed_out = new.is_none() && instrument.engine.total_at(side, old.0) > 0;
                if !pushed_out {
                    changes.push((old.0, 0));
                }
                i += 1;
            }
            (_, Some(new)) => {
                changes.push(*new);
                j += 1;
            }
            (_, None) => break,
        }
    }
}

pub(super) fn book_update(
    instrument: &Instrument,
    [bids, asks]: &[Levels; 2],
    checksum: u32,
    ts: i64,
) -> String {
    let mut text = String::with_capacity(256);
    text.push_str("{\"channel\":\"book\",\"type\":\"update\",\"data\":[{\"symbol\":\"");
    text.push_str(&instrument.spec.symbol);
    for (levels, name) in [(bids, "\",\"bids\":["), (asks, "],\"asks\":[")] {
        text.push_str(name);
        for (price, size) in levels {
            push_level(&mut text, &instrument.spec, *price, *size);
        }
    }
    text.push_str("],\"checksum\":");
    push_uint(&mut text, u64::from(checksum));
    text.push_str(",\"timestamp\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}]}");
    text
}

fn push_level(text: &mut String, spec: &Spec, price: i64, size: i64) {
    if text.ends_with('}') {
        text.push(',');
    }
    text.push_str("{\"price\":");
    spec.push_price(text, price);
    text.push_str(",\"qty\":");
    spec.push_size(text, size);
    text.push('}');
}

/// CRC-32 over the ten best levels, asks first: prices and quantities as their printed digits without the point
/// and without leading zeros, which is what ticks and lots are.
pub(super) fn checksum_of(ladder: &Ladder) -> u32 {
    let mut text = String::with_capacity(512);
    for side in [Side::Ask, Side::Bid] {
        for (price, size) in ladder.levels(side).take(10) {
            push_int(&mut text, price);
            push_int(&mut text, size);
        }
    }
    crc32fast::hash(text.as_bytes())
}

pub(super) fn book_snapshot(instrument: &Instrument, depth: usize) -> String {
    let (ladder, _, ts) = instrument.snapshot();
    let mut text = String::with_capacity(depth * 100);
    text.push_str("{\"channel\":\"book\",\"type\":\"snapshot\",\"data\":[{\"symbol\":\"");
    text.push_str(&instrument.spec.symbol);
    for (side, name) in [(Side::Bid, "\",\"bids\":["), (Side::Ask, "],\"asks\":[")] {
        text.push_str(name);
        for (price, size) in ladder.levels(side).take(depth) {
            push_level(&mut text, &instrument.spec, price, size);
        }
    }
    text.push_str("],\"checksum\":");
    push_uint(&mut text, u64::from(checksum_of(ladder)));
    text.push_str(",\"timestamp\":\"");
    push_time(&mut text, ts, 6);
    text.push_str("\"}]}");
    text
}
