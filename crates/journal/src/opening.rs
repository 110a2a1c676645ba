//! The control frames at the start of an epoch and of a segment.

use serde::Serialize;

use crate::{Instrument, Position, Registry};

/// Bytes of an opening frame besides its table, at most: names are bounded.
const OPENING_BYTES: usize = 512;
/// Bytes of a further table besides its instruments, at most.
const TABLE_BYTES: usize = 64;

/// The first frame of an epoch (type `epoch`) and of a segment (type `segment`, or `epoch` where both begin).
#[derive(Serialize)]
struct Opening<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    version: u32,
    venue: u16,
    name: &'a str,
    protocol: &'a str,
    epoch: u32,
    sequence: u64,
    /// The epoch before this one, and its last sequence: whoever has read further has records that a
    /// power cut took from the journal.
    previous_epoch: u32,
    last_sequence: u64,
    segment: Place,
    instruments: Vec<&'a Instrument>,
    #[serde(skip_serializing_if = "is_zero")]
    instruments_left_out: usize,
}

#[derive(Serialize)]
struct Place {
    base: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Table<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    instruments: Vec<&'a Instrument>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn text(value: &impl Serialize) -> String {
    // Structs of numbers and strings always have a text.
    serde_json::to_string(value).unwrap_or_default()
}

/// What begins.
pub(crate) struct Start<'a> {
    /// `epoch` or `segment`.
    pub kind: &'a str,
    pub epoch: u32,
    pub sequence: u64,
    /// The epoch before this one and its last sequence.
    pub previous: Position,
    /// Of the segment.
    pub base: u64,
    pub capacity: u64,
    pub payload_bytes_max: usize,
}

/// The texts of the control frames. The table goes on in further frames when it is long, and never takes
/// more than a quarter of a segment: the registry has all of it.
pub(crate) fn texts(start: &Start<'_>, registry: &Registry) -> Vec<String> {
    let mut budget = (start.capacity / 4) as usize - OPENING_BYTES;
    let mut tables = vec![Vec::new()];
    let mut room = start.payload_bytes_max - OPENING_BYTES;
    let mut left_out = 0;
    for instrument in registry.instruments() {
        let bytes = text(instrument).len() + 1;
        if bytes + TABLE_BYTES > budget.min(start.payload_bytes_max) {
            left_out += 1;
            continue;
        }
        if bytes > room {
            tables.push(Vec::new());
            room = start.payload_bytes_max - TABLE_BYTES;
            budget -= TABLE_BYTES;
        }
        room -= bytes;
        budget -= bytes;
        if let Some(table) = tables.last_mut() {
            table.push(instrument);
        }
    }
    let mut tables = tables.into_iter();
    let opening = Opening {
        kind: start.kind,
        version: 1,
        venue: registry.venue().number,
        name: &registry.venue().name,
        protocol: &registry.venue().protocol,
        epoch: start.epoch,
        sequence: start.sequence,
        previous_epoch: start.previous.epoch,
        last_sequence: start.previous.sequence,
        segment: Place {
            base: start.base,
            bytes: start.capacity,
        },
        instruments: tables.next().unwrap_or_default(),
        instruments_left_out: left_out,
    };
    let further = tables.map(|instruments| {
        text(&Table {
            kind: "instruments",
            instruments,
        })
    });
    std::iter::once(text(&opening)).chain(further).collect()
}
