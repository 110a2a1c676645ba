//! Trades of one instrument: what is repeated, what is missing, and whether the channel has gone mute. Ids rise
//! by one at every venue, so they alone decide; nothing here looks at a book or a clock.

use wire::{Record, cause, channel, flag};

use super::retry::Retry;
use crate::api::{Action, Output};
use crate::silence::Rhythm;

/// A trade the venue names and we have not seen is lost after so long: the two may come by different ways.
pub(super) const LATE_NS: i64 = 3_000_000_000;
/// A trade channel whose ids stay behind for so many messages in a row has a new numbering.
const BEHIND_MAX: u32 = 100;

/// Trades of one instrument.
pub(crate) struct Trades {
    pub on: bool,
    /// Newest id emitted.
    pub last: Option<u64>,
    /// Before the first trade: the newest id when the venue was first asked for it.
    before: Option<u64>,
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
    /// The way back after the venue refused the channel.
    pub(super) retry: Retry,
    pub rhythm: Rhythm,
    /// A cross-check is under way.
    pub checking: bool,
}

impl Trades {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            last: None,
            before: None,
            last_ts: 0,
            gap_open: false,
            malformed: false,
            suspect: None,
            behind: 0,
            retry: Retry::default(),
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
        self.retry.attempts = 0;
        out.records.push(record);
    }

    /// The venue says, beside the channel itself, that its newest trade is `id`. Where the channel has not
    /// spoken yet, the first word is what later ones are compared with: a quiet market names the same id.
    pub fn named(&mut self, id: u64, now_ns: i64) {
        let known = self.last.unwrap_or_else(|| *self.before.get_or_insert(id));
        if self.on && id > known && self.suspect.is_none() {
            self.suspect = Some((id, now_ns));
        }
    }

    /// A trade named long enough ago that has not come: opens a gap and says whether the channel is mute
    /// since then, which only a new subscription mends.
    pub(super) fn confirm(&mut self, instrument: u32, now_ns: i64, out: &mut Output) -> bool {
        let Some((id, since_ns)) = self.suspect else {
            return false;
        };
        let last = self.last.or(self.before).unwrap_or(id);
        if last >= id {
            self.suspect = None;
            return false;
        }
        if now_ns - since_ns < LATE_NS {
            return false;
        }
        self.suspect = None;
        let mute = self.rhythm.last_ns() < since_ns;
        if mute {
            // still growing, so how many are missing only the next trade can tell
            self.open_gap(instrument, cause::STALL, -1, now_ns, out);
        } else {
            let missing = i64::try_from(id - last).unwrap_or(i64::MAX);
            self.open_gap(instrument, cause::SEQUENCE_HOLE, missing, now_ns, out);
        }
        mute
    }

    /// Opens a gap unless one is open.
    pub(super) fn open_gap(&mut self, instrument: u32, why: u8, missing: i64, now_ns: i64, out: &mut Output) {
        if self.on && !self.gap_open {
            self.gap_open = true;
            let gap = Record::gap_open(instrument, channel::TRADES, why, missing);
            out.records.push(gap.at(0, now_ns));
        }
    }
}
