//! One channel of one instrument as the journal has it: where it stands, and the gap that is open in it.

use wire::{Record, flag, kind};

/// One channel of one instrument, as the journal has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// It delivers, or did: a disconnect makes a hole in it.
    pub active: bool,
    /// Venue time of the last good record.
    pub ts_event: i64,
    /// `ts_event` is our own time.
    pub own_time: bool,
    /// The venue's id of the last good record.
    pub id: Option<u64>,
    pub gap: Option<Gap>,
}

/// An open gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Of its opening record.
    pub sequence: u64,
    pub cause: u8,
}

impl Stream {
    /// A good record came.
    pub fn good(&mut self, record: &Record) {
        let known = self.active && !self.own_time;
        self.active = true;
        self.id = venue_id(record).or(self.id);
        if known && timeless(record) {
            return; // the venue's own last time says more
        }
        self.ts_event = record.ts_event;
        self.own_time = record.has(flag::NO_VENUE_TIME);
    }

    /// Is this record newer than the last good one?
    pub fn behind(&self, record: &Record) -> bool {
        match (self.id, venue_id(record)) {
            (Some(last), Some(id)) => id > last,
            _ => record.ts_event > self.ts_event,
        }
    }
}

/// A removal that the session added, of a level that left the depth the venue sends.
pub(super) fn timeless(record: &Record) -> bool {
    record.kind == kind::LEVEL && record.size == 0 && record.has(flag::NO_VENUE_TIME)
}

pub(super) fn venue_id(record: &Record) -> Option<u64> {
    record.has(flag::HAS_ID).then_some(record.id)
}

/// The id that comes after this one; any, where there is none.
pub(super) fn next_id(last: Option<u64>) -> u64 {
    last.map_or(0, |id| id.saturating_add(1)) // whatever a venue prints
}

pub(super) fn id_or_none(id: Option<u64>) -> i64 {
    id.and_then(|id| i64::try_from(id).ok()).unwrap_or(-1)
}
