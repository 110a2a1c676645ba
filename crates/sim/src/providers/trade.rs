//! Rows of the made-up world: trades with what the consolidated feed says of them, and quotes.

use super::asset::OFF_EXCHANGE;
use super::calendar::SECOND_NS;

/// How long after a trade it is corrected or cancelled.
pub const AMENDED_AFTER_NS: i64 = 8 * SECOND_NS;

/// What the consolidated feed says of a trade beside its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Fewer than 100 shares: "I". Does not count in bars.
    pub odd_lot: bool,
    /// Outside regular hours: "T" (Form T). Counts.
    pub extended: bool,
    /// Reported late, out of sequence: "Z", which may set a high or a low but never an open or a close, and
    /// so comes between two others of its moment here; in extended hours "U", which does not count in bars.
    pub late: bool,
    /// Average of a day's prices: "W". Does not count in bars.
    pub average: bool,
    /// Intermarket sweep: "F". Counts.
    pub sweep: bool,
}

/// What became of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    #[default]
    Valid,
    /// Taken back [`AMENDED_AFTER_NS`] later. Does not count any more.
    Cancelled,
    /// Replaced by the next row [`AMENDED_AFTER_NS`] later. Does not count any more.
    Incorrect,
    /// What replaces the row before it; seen only from then on.
    Correction,
}

/// One trade. Times are UTC ns, prices and sizes mantissas at the asset's scales, as printed on that day
/// (before a split not yet divided by it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Unique in its asset, ascending in the order of the rows, with holes.
    pub number: u64,
    /// Printed by the consolidated feed: ascending, sometimes the same for several. The row's time.
    pub ts: i64,
    /// Made at the exchange, less than a millisecond before; of a late one seconds before.
    pub ts_made: i64,
    pub price: i64,
    pub size: i64,
    /// Letter of one of [`EXCHANGES`]; a space for crypto.
    pub exchange: char,
    pub conditions: Conditions,
    pub mark: Mark,
    pub is_buy: bool,
    /// The best bid and ask when it was made, in lots of their own.
    pub bid: i64,
    pub bid_size: i64,
    pub ask: i64,
    pub ask_size: i64,
}

impl Trade {
    /// Whether bars are made of it, prices and volume alike.
    pub fn counts(&self) -> bool {
        let Conditions {
            odd_lot,
            extended,
            late,
            average,
            ..
        } = self.conditions;
        let is_final = matches!(self.mark, Mark::Valid | Mark::Correction);
        is_final && !(odd_lot || average || late && extended)
    }

    /// Its id where ids are text: digits, with letters off the exchanges.
    pub fn text_id(&self) -> String {
        if self.exchange == OFF_EXCHANGE {
            format!("D{:X}", self.number)
        } else {
            self.number.to_string()
        }
    }

    /// What is known of it at a moment; `None` when there is nothing yet.
    pub fn seen_at(mut self, now_ns: i64) -> Option<Self> {
        let is_amended = self.ts + AMENDED_AFTER_NS <= now_ns;
        match self.mark {
            _ if self.ts > now_ns => return None,
            Mark::Correction if !is_amended => return None,
            Mark::Cancelled | Mark::Incorrect if !is_amended => self.mark = Mark::Valid,
            _ => {}
        }
        Some(self)
    }
}

/// The best bid and ask of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub number: u64,
    pub ts: i64,
    pub bid: i64,
    pub bid_size: i64,
    pub ask: i64,
    pub ask_size: i64,
    pub bid_exchange: char,
    pub ask_exchange: char,
}
