//! The newest ticks of one instrument, as many as are kept, and whether an answer from them alone is exact.

use std::collections::VecDeque;

use wire::Record;

/// A record and its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub epoch: u32,
    pub sequence: u64,
    pub record: Record,
}

impl Row {
    /// What answers are sorted by.
    fn key(&self) -> (i64, u32, u64) {
        (self.record.ts_event, self.epoch, self.sequence)
    }
}

/// The last rows that arrived, at most `capacity`.
#[derive(Clone, Debug)]
pub struct Recent {
    capacity: usize,
    /// As they arrived.
    rows: VecDeque<Row>,
    /// Greatest `ts_event` of the rows that were let go of.
    let_go: Option<i64>,
}

impl Recent {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            rows: VecDeque::new(),
            let_go: None,
        }
    }

    pub fn push(&mut self, row: Row) {
        if self.rows.len() == self.capacity {
            let gone = self.rows.pop_front().map(|row| row.record.ts_event);
            self.let_go = self.let_go.max(gone);
        }
        self.rows.push_back(row);
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.let_go = None;
    }

    /// Rows with `start` <= ts_event < `end`, ascending: the oldest `limit` where `start` is given, else the
    /// newest. `before` is the greatest `ts_event` of the rows that came before the first one here, `None` where
    /// there are none. The answer is `None` where such a row, or one let go of, may belong to it.
    pub fn select(
        &self,
        start: Option<i64>,
        end: Option<i64>,
        limit: usize,
        before: Option<i64>,
    ) -> Option<Vec<Row>> {
        let floor = self.let_go.max(before);
        let mut found: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| start.is_none_or(|start| row.record.ts_event >= start))
            .filter(|row| end.is_none_or(|end| row.record.ts_event < end))
            .copied()
            .collect();
        found.sort_unstable_by_key(Row::key);
        if start.is_some() {
            found.truncate(limit);
        } else {
            found.drain(..found.len().saturating_sub(limit));
        }
        let is_exact = match (floor, start) {
            (None, _) => true,
            (Some(floor), Some(start)) => floor < start,
            // Rows that are not here arrived earlier: of equal times they come first.
            (Some(floor), None) => {
                found.len() == limit && found.first().is_some_and(|row| row.record.ts_event >= floor)
            }
        };
        is_exact.then_some(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(sequence: u64, ts_event: i64) -> Row {
        Row {
            epoch: 1,
            sequence,
            record: Record {
                ts_event,
                ..Record::new(wire::kind::TRADE)
            },
        }
    }

    proptest! {
        /// An answer is that of all rows, or none.
        #[test]
        fn an_answer_is_exact_or_none(
            times in prop::collection::vec(0i64..40, 0..60),
            capacity in 1usize..30,
            skipped in 0usize..20,
            start in prop::option::of(0i64..40),
            end in prop::option::of(0i64..40),
            limit in 1usize..40,
        ) {
            let all: Vec<Row> = times.iter().enumerate().map(|(i, ts)| row(i as u64 + 1, *ts)).collect();
            let skipped = skipped.min(all.len());
            let mut recent = Recent::new(capacity);
            all[skipped..].iter().for_each(|one| recent.push(*one));
            let before = all[..skipped].iter().map(|one| one.record.ts_event).max();
            let mut whole: Vec<Row> = all
                .into_iter()
                .filter(|one| start.is_none_or(|start| one.record.ts_event >= start))
                .filter(|one| end.is_none_or(|end| one.record.ts_event < end))
                .collect();
            whole.sort_by_key(Row::key);
            let cut = if start.is_some() {
                whole[..limit.min(whole.len())].to_vec()
            } else {
                whole[whole.len().saturating_sub(limit)..].to_vec()
            };
            match recent.select(start, end, limit, before) {
                Some(found) => prop_assert_eq!(found, cut),
                None => prop_assert!(skipped > 0 || times.len() > capacity),
            }
        }
    }

    #[test]
    fn the_newest_are_answered_once_there_are_enough() {
        let mut recent = Recent::new(4);
        (1..=9).for_each(|i| recent.push(row(i, i as i64)));
        assert!(recent.select(None, None, 5, None).is_none());
        let found = recent.select(None, None, 4, Some(2)).unwrap();
        assert_eq!(
            found.iter().map(|one| one.sequence).collect::<Vec<_>>(),
            [6, 7, 8, 9]
        );
        assert!(
            recent.select(None, None, 4, Some(7)).is_none(),
            "one of before may be newer"
        );
        assert_eq!(recent.select(Some(6), None, 2, Some(2)).unwrap().len(), 2);
        assert!(recent.select(Some(5), None, 2, None).is_none());
    }
}
