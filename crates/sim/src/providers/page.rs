//! Pages of rows, whatever the provider: where one ends and the next begins.

use super::calendar::MINUTE_NS;
use super::fault::{Faults, Kind};
use super::world::{PER_MINUTE, Quote, Trade};
use crate::log::wall_ns;
use std::collections::HashMap;

/// Some rows, and the first that is not among them.
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next: Option<T>,
    /// Sum of what the rows cost.
    pub cost: u64,
}

/// The next rows, as long as what they cost is below `limit`.
pub fn page<T: Copy>(
    rows: impl Iterator<Item = T>,
    limit: u64,
    cost: impl Fn(&T) -> u64,
    faults: &mut Faults,
) -> Page<T> {
    let mut page = Page {
        rows: Vec::new(),
        next: None,
        cost: 0,
    };
    for row in rows {
        if page.cost >= limit {
            page.next = Some(row);
            break;
        }
        page.cost += cost(&row);
        page.rows.push(row);
    }
    if page.rows.len() > 1 && faults.hit(Kind::Short).is_some() {
        let kept = page.rows.len() / 2;
        page.next = Some(page.rows[kept]);
        page.rows.truncate(kept);
    }
    page
}

/// Rows that have a number.
pub trait Numbered: Copy {
    fn number(&self) -> u64;
}

impl Numbered for Trade {
    fn number(&self) -> u64 {
        self.number
    }
}

impl Numbered for Quote {
    fn number(&self) -> u64 {
        self.number
    }
}

/// A span cut to what lies from the row of that number on, in the order asked for.
pub fn resume((from, to): (i64, i64), number: Option<u64>, descending: bool) -> (i64, i64) {
    let Some(number) = number else {
        return (from, to);
    };
    let minute = (number / PER_MINUTE) as i64 * MINUTE_NS;
    if descending {
        (from, to.min(minute + MINUTE_NS))
    } else {
        (from.max(minute), to)
    }
}

/// Rows of a resumed span, without those before that number, in the order asked for.
pub fn ordered<T: Numbered + 'static>(
    rows: impl DoubleEndedIterator<Item = T> + 'static,
    number: Option<u64>,
    descending: bool,
) -> Box<dyn Iterator<Item = T>> {
    if descending {
        Box::new(
            rows.rev()
                .skip_while(move |row| number.is_some_and(|number| row.number() > number)),
        )
    } else {
        Box::new(rows.skip_while(move |row| number.is_some_and(|number| row.number() < number)))
    }
}

/// Requests of each key in the minute that runs.
#[derive(Debug, Default)]
pub struct Meter {
    minute: i64,
    counts: HashMap<String, u64>,
}

impl Meter {
    /// Counts a request; what is left of `limit` after it, or `None` where it is one too many.
    pub fn take(&mut self, key: &str, limit: u64) -> Option<u64> {
        let minute = wall_ns().div_euclid(MINUTE_NS);
        if minute != self.minute || self.counts.len() > 10_000 {
            self.minute = minute;
            self.counts.clear();
        }
        let count = self.counts.entry(key.to_owned()).or_default();
        *count += 1;
        limit.checked_sub(*count)
    }

    /// Unix seconds at which the counts begin anew.
    pub fn reset_s(&self) -> i64 {
        (self.minute + 1) * 60
    }
}
