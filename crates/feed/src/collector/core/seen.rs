//! Which trades the journal has, where a venue's ids name trades but do not count them: the newest ones, by what
//! they say. Enough to tell a repeat by a second connection, or after a restart; a hole they cannot show.

use std::collections::{HashSet, VecDeque};

use wire::{Record, channel, flag};

use super::instrument::Instrument;
use super::out::Out;
use super::stream::venue_id;

/// Trades remembered per instrument. Connections to one venue are apart by much less.
const KEPT: usize = 1_024;

/// Clocks of a venue and of ours may differ by so much.
const CLOCKS_NS: i64 = 60_000_000_000;

/// Id, time and price: an id alone may come again on another day, or at another exchange.
type Key = (u64, i64, i64);

#[derive(Debug, Default)]
pub(super) struct Seen {
    order: VecDeque<Key>,
    known: HashSet<Key>,
}

impl Seen {
    /// Takes a trade in. False: it came before. One without an id is always new.
    pub fn insert(&mut self, record: &Record) -> bool {
        let Some(id) = venue_id(record) else {
            return true;
        };
        let key = (id, record.ts_event, record.price);
        if !self.known.insert(key) {
            return false;
        }
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key);
        true
    }
}

impl Instrument {
    /// Whether a trade whose id does not count it is none that the journal has.
    pub fn is_new(&mut self, record: &Record, now: i64, out: &mut Out) -> bool {
        if record.has(flag::SNAPSHOT) {
            // What the venue calls its newest trade is no news itself. If it is ours, or from well before we began to
            // listen without hearing any since, nothing was missed.
            let id = venue_id(record);
            if id.is_some() && id == self.trades.id && record.ts_event == self.trades.ts_event {
                self.end_gap(channel::TRADES, record, 0, now, out);
            } else if self.trades.own_time && record.ts_event + CLOCKS_NS < self.trades.ts_event {
                let here = Record::clear(record.instrument).at(now, now);
                self.end_gap(channel::TRADES, &here.with(flag::NO_VENUE_TIME), 0, now, out);
            }
            return false;
        }
        let new = self.seen.insert(record);
        out.counts.duplicates += u64::from(!new);
        new
    }
}

#[cfg(test)]
mod tests {
    use wire::{Decimal, Side};

    use super::*;

    fn trade(id: u64, ts: i64) -> Record {
        Record::trade(1, Side::Buy, Decimal::new(10, 1), Decimal::new(1, 0), id).at(ts, ts)
    }

    #[test]
    fn each_trade_once_and_no_more_than_the_newest() {
        let mut seen = Seen::default();
        assert!(seen.insert(&trade(7, 1)) && !seen.insert(&trade(7, 1)));
        assert!(seen.insert(&trade(7, 2)), "the same id at another time");
        for id in 0..2 * KEPT as u64 {
            seen.insert(&trade(id, 5));
        }
        assert_eq!((seen.order.len(), seen.known.len()), (KEPT, KEPT));
        assert!(seen.insert(&trade(7, 1)), "forgotten");
        let nameless = Record {
            flags: 0,
            ..trade(0, 9)
        };
        assert!(seen.insert(&nameless) && seen.insert(&nameless));
    }
}
