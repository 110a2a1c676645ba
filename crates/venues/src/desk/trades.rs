//! Trades of one instrument: what is repeated, what is missing, and whether the channel has gone mute. Ids rise
//! by one at every venue, so they alone decide; nothing here looks at a book or a clock.

use wire::{Record, cause, channel, flag};

use crate::api::{Action, Output};
use crate::silence::Rhythm;

/// A trade the venue names and we have not seen is lost after so long: the two may come by different ways.
pub(super) const LATE_NS: i64 = 3_000_000_000;
/// A trade channel whose ids stay behind for so many messages in a row has a new numbering.
const BEHIND_MAX: u32 = 100;

/// Trades of one instrument.
pub(crate) struct Trades {
    pub on: bool,
    /// Newest id emitted (or known to the venue when numbering began).
    pub last: Option<u64>,
    /// Venue time of that trade.
    pub last_ts: i64,
    /// A gap was opened and no trade came since.
    gap_open: bool,
    /// A message of this channel could not be read: it may have been the missing trade.
    pub malformed: bool,
    /// The venue named this id at this time, and it has not come.
    suspect: Option<(u64, i64)>,
    /// Trades in a row whose ids are not newer.
    behind: u32,
    pub rhythm: Rhythm,
    /// A cross-check is under way.
    pub checking: bool,
}

impl Trades {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            last: None,
            last_ts: 0,
            gap_open: false,
            malformed: false,
            suspect: None,
            behind: 0,
            rhythm: Rhythm::new(),
            checking: false,
        }
    }

    /// Emits a trade, a gap before it when ids are missing, and nothing when it is not newer.
    #[inline]
    pub(super) fn push(&mut self, record: Record, out: &mut Output) {
        if let Some(last) = self.last {
            if record.id <= last {
                // a snapshot repeats by design
                self.behind += u32::from(!record.has(flag::SNAPSHOT));
                if self.behind == BEHIND_MAX && !record.has(flag::SNAPSHOT) {
                    out.actions.push(Action::Reconnect {
                        cause: cause::SEQUENCE_HOLE,
                        reason: format!("trade ids went back from {last} to {} and stay there", record.id),
                    });
                }
                return;
            }
            let missing = record.id - last - 1;
            if missing > 0 && !self.gap_open {
                let why = if self.malformed {
                    cause::MALFORMED
                } else {
                    cause::SEQUENCE_HOLE
                };
                let missing = i64::try_from(missing).unwrap_or(i64::MAX);
                let gap = Record::gap_open(record.instrument, channel::TRADES, why, missing);
                out.records.push(gap.at(0, record.ts_recv));
            }
        }
        self.last = Some(record.id);
        self.last_ts = record.ts_event;
        self.gap_open = false;
        self.malformed = false;
        self.behind = 0;
        out.records.push(record);
    }

    /// The venue says, beside the channel itself, that its newest trade is `id`.
    pub fn named(&mut self, id: u64, now_ns: i64) {
        if self.on && self.last.is_some_and(|last| id > last) && self.suspect.is_none() {
            self.suspect = Some((id, now_ns));
        }
    }

    /// A trade named long enough ago that has not come: opens a gap and says whether the channel is mute
    /// since then, which only a new subscription mends.
    pub(super) fn confirm(&mut self, instrument: u32, now_ns: i64, out: &mut Output) -> bool {
        let Some((id, since_ns)) = self.suspect else {
            return false;
        };
        let last = self.last.unwrap_or(id);
        if last >= id {
            self.suspect = None;
            return false;
        }
        if now_ns - since_ns < LATE_NS {
            return false;
        }
        self.suspect = None;
        let mute = self.rhythm.last_ns() < since_ns;
        if !self.gap_open {
            self.gap_open = true;
            let gap = if mute {
                // still growing, so how many are missing only the next trade can tell
                Record::gap_open(instrument, channel::TRADES, cause::STALL, -1)
            } else {
                let missing = i64::try_from(id - last).unwrap_or(i64::MAX);
                Record::gap_open(instrument, channel::TRADES, cause::SEQUENCE_HOLE, missing)
            };
            out.records.push(gap.at(0, now_ns));
        }
        mute
    }
}
