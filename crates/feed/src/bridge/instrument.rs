//! What the bridge knows of one instrument: book, quote, bars and statuses, and who wants which of them.

use std::collections::BTreeMap;

use kernels::book::Book;
use wire::{Decimal, Record, Side, flag, kind};

use super::bars::Bars;
use super::batch::{Batch, BookKind, Place};
use super::message;
use super::view::View;

/// Best bid and ask.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quote {
    pub bid: Option<(Decimal, Decimal)>,
    pub ask: Option<(Decimal, Decimal)>,
    pub place: Place,
    pub ts_event: i64,
    pub ts_recv: i64,
}

#[derive(Debug, Default)]
pub(super) struct Instrument {
    /// `"venue":…,"instrument":…,` as it stands in every message.
    pub label: Vec<u8>,
    pub book: Book,
    /// A message of the book has begun and its last record has not come.
    pub book_in_message: bool,
    /// Place and times of the last whole book message.
    pub book_place: Place,
    pub book_ts: (i64, i64),
    /// Whole book messages since the views were last compared; what was spoilt counts too.
    pub book_changes: u32,
    /// A gap or a status has spoilt the book since the views were last compared. Clients of the book were told, and show it
    /// again only from a snapshot on, even if it is whole by now.
    pub spoilt: bool,
    pub views: Vec<View>,
    pub quote: Quote,
    pub half_quote: Quote,
    pub quote_changes: u32,
    pub has_quote: bool,
    pub bars: Bars,
    /// Newest status by channel.
    pub status: BTreeMap<u8, Record>,
    pub wanted: [usize; 5],
    /// Is in the list of instruments to look at when the batch ends.
    pub touched: bool,
}

impl Instrument {
    pub fn touch(&mut self, number: u32, touched: &mut Vec<u32>) {
        if !self.touched {
            self.touched = true;
            touched.push(number);
        }
    }

    pub fn add_view(&mut self, depth: u16) {
        if let Some(view) = self.views.iter_mut().find(|view| view.depth == depth) {
            view.subscriptions += 1;
            return;
        }
        let mut view = View::new(depth, 1);
        // In the middle of a message the book is neither old nor new: the view comes when it ends.
        if !self.book_in_message && self.book_changes == 0 && self.book.valid() {
            view.valid = true;
            view.fill(&self.book);
        }
        self.views.push(view);
    }

    /// Whether the quote is whole with this record. A best-bid-offer update is a bid, then an ask.
    pub fn take_quote(&mut self, at: Place, record: &Record) -> bool {
        let side = (record.size != 0).then(|| (record.price(), record.size()));
        match record.side() {
            Side::Buy => {
                self.half_quote = Quote {
                    bid: side,
                    ..Quote::default()
                };
                false
            }
            Side::Sell => {
                self.quote = Quote {
                    bid: self.half_quote.bid,
                    ask: side,
                    place: at,
                    ts_event: record.ts_event,
                    ts_recv: record.ts_recv,
                };
                self.has_quote = true;
                self.quote_changes += 1;
                true
            }
            Side::None => false,
        }
    }

    /// Whether the book may look different after this record.
    pub fn take_book(&mut self, at: Place, record: &Record) -> bool {
        let was_valid = self.book.valid();
        self.book.apply(record);
        match record.kind {
            kind::LEVEL | kind::CLEAR => {
                self.book_in_message = !record.has(flag::LAST);
                if self.book_in_message {
                    return false;
                }
            }
            _ => {
                self.spoilt |= !self.book.valid();
                if self.book.valid() == was_valid && !self.book_in_message {
                    return false;
                }
                if self.book_in_message {
                    // A message that will not end counts as ended: what it left is not valid.
                    self.book_in_message = self.book.valid();
                }
            }
        }
        self.book_place = at;
        self.book_ts = (record.ts_event, record.ts_recv);
        self.book_changes += 1;
        true
    }

    /// Adds what became of the book since the last call, for each depth that is shown.
    pub fn end_book(&mut self, batch: &mut Batch, number: u32) {
        if self.book_in_message || self.book_changes == 0 {
            return;
        }
        let conflated = std::mem::take(&mut self.book_changes) - 1;
        let spoilt = std::mem::take(&mut self.spoilt);
        let is_valid = self.book.valid();
        let at = (self.book_place, self.book_ts);
        for view in &mut self.views {
            let was_valid = std::mem::replace(&mut view.valid, is_valid);
            if is_valid && was_valid && !spoilt {
                let changes = view.follow(&self.book);
                if !changes.is_empty() {
                    let what = (view.depth, BookKind::Delta);
                    message::add_book(batch, number, &self.label, what, at, changes, conflated);
                }
                continue;
            }
            if !is_valid && !was_valid {
                continue;
            }
            if is_valid {
                view.fill(&self.book);
            } else {
                view.empty();
            }
            add_view(batch, number, &self.label, view, at, conflated);
        }
    }

    /// Adds the whole book as subscriptions of this depth have it.
    pub fn add_snapshot(&self, batch: &mut Batch, number: u32, depth: u16, at: Place) {
        if let Some(view) = self.views.iter().find(|view| view.depth == depth) {
            add_view(batch, number, &self.label, view, (at, self.book_ts), 0);
        }
    }
}

fn add_view(
    batch: &mut Batch,
    number: u32,
    label: &[u8],
    view: &View,
    at: (Place, (i64, i64)),
    conflated: u32,
) {
    let kind = BookKind::Snapshot { valid: view.valid };
    message::add_book(
        batch,
        number,
        label,
        (view.depth, kind),
        at,
        view.levels(),
        conflated,
    );
}
