//! The best levels of one instrument, as subscriptions of one depth have them, and what changes in them.

use kernels::book::Book;
use wire::{Decimal, Side};

use super::batch::Change;

/// The best levels of one instrument, as subscriptions of this depth have them.
#[derive(Debug)]
pub(super) struct View {
    pub depth: u16,
    pub subscriptions: usize,
    pub valid: bool,
    pub bids: Vec<(Decimal, Decimal)>,
    pub asks: Vec<(Decimal, Decimal)>,
}

impl View {
    pub fn new(depth: u16, subscriptions: usize) -> Self {
        Self {
            depth,
            subscriptions,
            valid: false,
            bids: Vec::new(),
            asks: Vec::new(),
        }
    }

    /// Shows the levels of the book as it is now.
    pub fn fill(&mut self, book: &Book) {
        let depth = usize::from(self.depth);
        self.bids.clear();
        self.bids
            .extend(book.bids().take(depth).map(|(price, size, _)| (price, size)));
        self.asks.clear();
        self.asks
            .extend(book.asks().take(depth).map(|(price, size, _)| (price, size)));
    }

    /// Shows nothing any more.
    pub fn empty(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// All its levels, best first within each side.
    pub fn levels(&self) -> Vec<Change> {
        let level = |side: Side| move |&(price, size): &(Decimal, Decimal)| Change { side, price, size };
        let (bids, asks) = (self.bids.iter(), self.asks.iter());
        bids.map(level(Side::Buy))
            .chain(asks.map(level(Side::Sell)))
            .collect()
    }

    /// What takes its levels to those of the book now, best first within each side, and makes it so.
    pub fn follow(&mut self, book: &Book) -> Vec<Change> {
        let depth = usize::from(self.depth);
        let mut changes = Vec::new();
        difference(&mut self.bids, book.bids().take(depth), Side::Buy, &mut changes);
        difference(&mut self.asks, book.asks().take(depth), Side::Sell, &mut changes);
        changes
    }
}

/// Both lists are best first. Appends what turns `old` into `new` and makes it so.
fn difference(
    old: &mut Vec<(Decimal, Decimal)>,
    new: impl Iterator<Item = (Decimal, Decimal, i64)>,
    side: Side,
    changes: &mut Vec<Change>,
) {
    let before = changes.len();
    let is_better = |one: Decimal, other: Decimal| match side {
        Side::Buy => one.value_cmp(other).is_gt(),
        _ => one.value_cmp(other).is_lt(),
    };
    let remove = |price: Decimal| Change {
        side,
        price,
        size: Decimal::ZERO,
    };
    let mut at = 0;
    let mut levels = Vec::new();
    for (price, size, _) in new {
        while let Some(&(gone, _)) = old.get(at).filter(|(old_price, _)| is_better(*old_price, price)) {
            changes.push(remove(gone));
            at += 1;
        }
        match old.get(at) {
            Some((old_price, old_size)) if old_price.value_cmp(price).is_eq() => {
                if *old_size != size {
                    changes.push(Change { side, price, size });
                }
                at += 1;
            }
            _ => changes.push(Change { side, price, size }),
        }
        levels.push((price, size));
    }
    changes.extend(old[at..].iter().map(|(price, _)| remove(*price)));
    if changes.len() > before {
        *old = levels;
    }
}
