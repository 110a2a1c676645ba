//! The book channel: snapshots, differences at a depth, checksum.

use crate::market::{Instrument, Ladder};
use crate::number::{push_int, push_time, push_uint};
use crate::spec::Spec;
use kernels::matching::Side;

pub(super) fn top(ladder: &Ladder, side: Side, depth: usize) -> Vec<(i64, i64)> {
    ladder.levels(side).take(depth).collect()
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

/// Appends what turns the levels `held` (best first) into `now`: gone levels with quantity 0, new and changed
/// ones as they are. A level pushed out of the depth by better ones is not mentioned. Whether there was any.
pub(super) fn push_difference(
    text: &mut String,
    instrument: &Instrument,
    side: Side,
    held: &[(i64, i64)],
    now: &[(i64, i64)],
) -> bool {
    let better = |a: i64, b: i64| if side == Side::Bid { a > b } else { a < b };
    let spec = &instrument.spec;
    let begin = text.len();
    let (mut i, mut j) = (0, 0);
    while i < held.len() || j < now.len() {
        match (held.get(i), now.get(j)) {
            (Some(old), Some(new)) if old.0 == new.0 => {
                if old.1 != new.1 {
                    push_level(text, spec, new.0, new.1);
                }
                i += 1;
                j += 1;
            }
            (Some(old), new) if new.is_none_or(|new| better(old.0, new.0)) => {
                let pushed_out = new.is_none() && instrument.engine.total_at(side, old.0) > 0;
                if !pushed_out {
                    push_level(text, spec, old.0, 0);
                }
                i += 1;
            }
            (_, Some(new)) => {
                push_level(text, spec, new.0, new.1);
                j += 1;
            }
            (_, None) => break,
        }
    }
    text.len() > begin
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
