//! What the bridge knows of one venue, and which messages its records become.
//!
//! Pure: records and times in, batches out; no clock, no thread, no socket. Books, quotes and bars are kept for everyone; a message is
//! written once for all clients, and only when somebody wants it.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use wire::{Record, channel, flag, kind, status};

use super::batch::{Batch, Place, channel_bit};
use super::instrument::{Instrument, Quote};
use super::interest::{Instruments, Interest};
use super::json;
use super::message::{self, LAPPED, LOST};
use super::view::View;

/// Low bits of an instrument's number: its place inside its venue.
pub const NUMBER_MASK: u32 = (1 << 20) - 1;

/// State of one venue.
#[derive(Debug)]
pub struct Venue {
    index: usize,
    name: String,
    /// How the label of an instrument begins, and the label of the venue itself.
    venue_label: Vec<u8>,
    whole_label: Vec<u8>,
    /// By number inside the venue; place 0 stays empty.
    instruments: Vec<Option<Box<Instrument>>>,
    by_name: HashMap<String, u32>,
    names: BTreeMap<u32, String>,
    /// Reads history for a client that resumes: books, quotes and bars are left out.
    exact_only: bool,
    /// Subscriptions of every instrument, those to come included.
    wanted_all: [usize; 5],
    views_all: BTreeMap<u16, usize>,
    status: BTreeMap<u8, Record>,
    touched: Vec<u32>,
    /// The last record taken in.
    place: Place,
    last_ts_recv: i64,
    /// Messages of the venue taken in so far.
    messages: u64,
    records: u64,
}

/// Numbers of the channels in `wanted`.
fn slots(channels: u8) -> impl Iterator<Item = usize> {
    (0..5).filter(move |bit| channels >> bit & 1 == 1)
}

impl Venue {
    pub fn new(index: usize, name: &str) -> Self {
        let mut venue_label = b"\"venue\":".to_vec();
        json::string(&mut venue_label, name);
        venue_label.extend_from_slice(b",\"instrument\":");
        let whole_label = [&venue_label[..], b"null,"].concat();
        Self {
            index,
            name: name.to_owned(),
            venue_label,
            whole_label,
            instruments: Vec::new(),
            by_name: HashMap::new(),
            names: BTreeMap::new(),
            exact_only: false,
            wanted_all: [0; 5],
            views_all: BTreeMap::new(),
            status: BTreeMap::new(),
            touched: Vec::new(),
            place: (0, 0),
            last_ts_recv: 0,
            messages: 0,
            records: 0,
        }
    }

    /// The same instruments without state, to write the exact messages of the past.
    pub fn historian(&self, interest: &Interest) -> Self {
        let mut historian = Self::new(self.index, &self.name);
        historian.exact_only = true;
        for (&number, name) in &self.names {
            historian.add_instrument(number, name);
        }
        historian.join(&Interest {
            channels: interest.channels & (channel_bit::TRADES | channel_bit::STATUS),
            ..interest.clone()
        });
        historian
    }

    fn instrument(&self, number: u32) -> Option<&Instrument> {
        self.instruments.get(number as usize)?.as_deref()
    }

    fn instruments(&self) -> impl Iterator<Item = (u32, &Instrument)> {
        (0..)
            .zip(&self.instruments)
            .filter_map(|(number, one)| Some((number, one.as_deref()?)))
    }

    /// Those of an interest, to be changed.
    fn chosen<'a>(&'a mut self, chosen: &'a Instruments) -> impl Iterator<Item = &'a mut Instrument> {
        (0..)
            .zip(&mut self.instruments)
            .filter(|(number, _)| chosen.has(*number))
            .filter_map(|(_, one)| one.as_deref_mut())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Epoch and sequence of the last record taken in.
    pub fn position(&self) -> Place {
        self.place
    }

    /// Goes to a place without records: a new epoch, records left out, or the start of a log.
    pub fn move_to(&mut self, place: Place) {
        if place > self.place {
            self.place = place;
        }
    }

    /// Whether records are missing before the one at `place`.
    pub fn is_hole(&self, place: Place) -> bool {
        self.place != (0, 0) && place.1 > self.place.1 + 1
    }

    /// Venue messages and records taken in since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.messages, self.records)
    }

    pub fn instrument_names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    pub fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn name_of(&self, number: u32) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    pub fn knows(&self, number: u32) -> bool {
        let number = number & NUMBER_MASK;
        number == 0 || self.instrument(number).is_some()
    }

    /// Adds an instrument of the registry; one already known stays as it is.
    pub fn add_instrument(&mut self, number: u32, name: &str) {
        let number = number & NUMBER_MASK;
        if self.knows(number) {
            return;
        }
        let mut label = self.venue_label.clone();
        json::string(&mut label, name);
        label.push(b',');
        let mut instrument = Box::new(Instrument {
            label,
            ..Instrument::default()
        });
        for (&depth, &subscriptions) in &self.views_all {
            instrument.views.push(View::new(depth, subscriptions));
        }
        self.by_name.insert(name.to_owned(), number);
        self.names.insert(number, name.to_owned());
        let at = number as usize;
        if self.instruments.len() <= at {
            self.instruments.resize_with(at + 1, || None);
        }
        self.instruments[at] = Some(instrument);
    }

    /// `live`, `stale`, `reconnecting`, …: what the venue last said, or `stale` when it has said nothing
    /// for `silence_ns`.
    pub fn state(&self, now_ns: i64, silence_ns: i64) -> &'static str {
        match self.status.get(&channel::ALL).map(|record| record.id) {
            Some(status::CONNECTING) => "connecting",
            Some(status::RECONNECTING) => "reconnecting",
            Some(status::CLOSED) => "closed",
            Some(status::STALE) => "stale",
            _ if now_ns.saturating_sub(self.last_ts_recv) > silence_ns => "stale",
            _ => "live",
        }
    }

    // --- subscriptions -------------------------------------------------------------------------------

    /// Counts a subscription in, so that its messages are written from now on.
    pub fn join(&mut self, interest: &Interest) {
        self.count(interest, |count| *count += 1);
        if interest.channels & channel_bit::BOOK == 0 {
            return;
        }
        if interest.instruments == Instruments::All {
            *self.views_all.entry(interest.depth).or_default() += 1;
        }
        for instrument in self.chosen(&interest.instruments) {
            instrument.add_view(interest.depth);
        }
    }

    /// Counts a subscription out.
    pub fn leave(&mut self, interest: &Interest) {
        self.count(interest, |count| *count -= 1);
        if interest.channels & channel_bit::BOOK == 0 {
            return;
        }
        if interest.instruments == Instruments::All
            && let Some(count) = self.views_all.get_mut(&interest.depth)
        {
            *count -= 1;
            if *count == 0 {
                self.views_all.remove(&interest.depth);
            }
        }
        for instrument in self.chosen(&interest.instruments) {
            for view in instrument
                .views
                .iter_mut()
                .filter(|view| view.depth == interest.depth)
            {
                view.subscriptions -= 1;
            }
            instrument.views.retain(|view| view.subscriptions > 0);
        }
    }

    fn count(&mut self, interest: &Interest, change: impl Fn(&mut usize)) {
        for slot in slots(interest.channels) {
            match &interest.instruments {
                Instruments::All => change(&mut self.wanted_all[slot]),
                Instruments::Some(_) => {
                    for instrument in self.chosen(&interest.instruments) {
                        change(&mut instrument.wanted[slot]);
                    }
                }
            }
        }
    }

    /// What a new subscription is shown first: the state as of the last record taken in. With `had_statuses`
    /// they are left out, because those after its position came exactly.
    pub fn current(&self, interest: &Interest, had_statuses: bool, seen: Instant) -> Batch {
        let mut batch = self.begin(seen);
        batch.through = self.place;
        let has = |bit: u8| interest.channels & bit != 0;
        if has(channel_bit::STATUS) && !had_statuses {
            for record in self.status.values() {
                message::add_status(&mut batch, 0, &self.whole_label, record, self.place);
            }
        }
        for (number, instrument) in self.instruments() {
            if !interest.instruments.has(number) {
                continue;
            }
            if has(channel_bit::STATUS) && !had_statuses {
                for record in instrument.status.values() {
                    message::add_status(&mut batch, number, &instrument.label, record, self.place);
                }
            }
            if has(channel_bit::QUOTES) && instrument.has_quote {
                let at = Quote {
                    place: self.place,
                    ..instrument.quote
                };
                message::add_quote(&mut batch, number, &instrument.label, &at, 0);
            }
            if has(channel_bit::BOOK) {
                instrument.add_snapshot(&mut batch, number, interest.depth, self.place);
            }
            if has(channel_bit::BARS) {
                for bar in instrument.bars.open() {
                    message::add_bar(&mut batch, number, &instrument.label, self.place, bar, None);
                }
            }
        }
        batch
    }

    /// The book of one instrument as of now, for a client that has lost count.
    pub fn snapshot(&self, number: u32, depth: u16, seen: Instant) -> Option<Batch> {
        let instrument = self.instrument(number)?;
        let mut batch = self.begin(seen);
        batch.through = self.place;
        instrument.add_snapshot(&mut batch, number, depth, self.place);
        Some(batch)
    }

    // --- records -------------------------------------------------------------------------------------

    /// A batch for what comes next.
    pub fn begin(&self, seen: Instant) -> Batch {
        Batch::new(self.index, seen)
    }

    /// Takes in the records of a frame of `epoch`, the first of them numbered `sequence`, and adds the
    /// exact messages.
    pub fn take(&mut self, batch: &mut Batch, epoch: u32, sequence: u64, records: &[Record]) {
        let mut trades_from = 0;
        for (i, record) in records.iter().enumerate() {
            let at = (epoch, sequence + i as u64);
            let is_same_run = record.kind == kind::TRADE
                && records[trades_from].kind == kind::TRADE
                && records[trades_from].instrument == record.instrument;
            if !is_same_run {
                self.add_trades(
                    batch,
                    (epoch, sequence + trades_from as u64),
                    &records[trades_from..i],
                );
                trades_from = i;
            }
            self.records += 1;
            self.messages += u64::from(record.has(flag::LAST));
            self.last_ts_recv = record.ts_recv;
            self.place = at;
            self.apply(batch, at, record);
        }
        self.add_trades(
            batch,
            (epoch, sequence + trades_from as u64),
            &records[trades_from..],
        );
        batch.through = self.place;
    }

    fn apply(&mut self, batch: &mut Batch, at: Place, record: &Record) {
        let number = record.instrument & NUMBER_MASK;
        match record.kind {
            kind::STATUS | kind::GAP if number == 0 => {
                for at_number in 1..self.instruments.len() {
                    if let Some(instrument) = &mut self.instruments[at_number]
                        && instrument.take_book(at, record)
                    {
                        instrument.touch(at_number as u32, &mut self.touched);
                    }
                }
                if record.kind == kind::STATUS {
                    self.status.insert(record.price_scale, *record);
                    message::add_status(batch, 0, &self.whole_label, record, at);
                } else {
                    message::add_gap(batch, 0, &self.whole_label, record, at);
                }
                return;
            }
            _ => {}
        }
        let Some(Some(instrument)) = self.instruments.get_mut(number as usize) else {
            return; // not in the registry: the caller reloads it before it hands records over
        };
        let is_touched = match record.kind {
            _ if self.exact_only => false,
            kind::TRADE => {
                instrument.bars.trade(record, at.1);
                true
            }
            kind::QUOTE => instrument.take_quote(at, record),
            kind::LEVEL | kind::CLEAR => instrument.take_book(at, record),
            kind::STATUS => {
                instrument.status.insert(record.price_scale, *record);
                instrument.take_book(at, record)
            }
            kind::GAP => instrument.take_book(at, record),
            _ => false,
        };
        if is_touched {
            instrument.touch(number, &mut self.touched);
        }
        let Some(instrument) = self.instrument(number) else {
            return;
        };
        match record.kind {
            kind::STATUS => message::add_status(batch, number, &instrument.label, record, at),
            kind::GAP => message::add_gap(batch, number, &instrument.label, record, at),
            _ => {}
        }
    }

    /// The log has a hole before the record at `to`: what it held is not known, so no book is known either.
    pub fn lose(&mut self, batch: &mut Batch, to: Place, ts_ns: i64) {
        let from = self.place.1 + 1;
        let last = (to.0, to.1.saturating_sub(1));
        let (opening, end) = hole(LOST, from, to.1, ts_ns);
        for number in 1..self.instruments.len() {
            let Some(instrument) = &mut self.instruments[number] else {
                continue;
            };
            instrument.half_quote = Quote::default();
            instrument.book_in_message = false;
            instrument.book.apply(&opening);
            instrument.spoilt = true;
            instrument.book_changes += 1;
            instrument.book_place = last;
            instrument.touch(number as u32, &mut self.touched);
        }
        self.place = last;
        batch.through = last;
        message::add_gap(batch, 0, &self.whole_label, &opening, last);
        message::add_gap(batch, 0, &self.whole_label, &end, last);
    }

    /// Adds what changed since the last call: quotes, books, and bars that are due at `now_ns`.
    pub fn end(&mut self, batch: &mut Batch, now_ns: i64) {
        let mut touched = std::mem::take(&mut self.touched);
        for number in touched.drain(..) {
            let Some(mut instrument) = self.instruments[number as usize].take() else {
                continue;
            };
            instrument.touched = false;
            let wants = |slot: usize| instrument.wanted[slot] + self.wanted_all[slot] > 0;
            let (quotes, bars_wanted) = (wants(1), wants(3));
            let merged = std::mem::take(&mut instrument.quote_changes);
            if merged > 0 && quotes {
                message::add_quote(batch, number, &instrument.label, &instrument.quote, merged - 1);
            }
            instrument.end_book(batch, number);
            self.show_bars(batch, number, &mut instrument, bars_wanted, now_ns);
            self.instruments[number as usize] = Some(instrument);
        }
        self.touched = touched;
        batch.through = self.place;
    }

    /// Adds the bars of every instrument that are due at `now_ns`.
    pub fn tick(&mut self, batch: &mut Batch, now_ns: i64) {
        let mut instruments = std::mem::take(&mut self.instruments);
        for (number, instrument) in (0..).zip(&mut instruments) {
            let Some(instrument) = instrument else { continue };
            let is_wanted = instrument.wanted[3] + self.wanted_all[3] > 0;
            self.show_bars(batch, number, instrument, is_wanted, now_ns);
        }
        self.instruments = instruments;
        batch.through = self.place;
    }

    fn show_bars(
        &self,
        batch: &mut Batch,
        number: u32,
        instrument: &mut Instrument,
        is_wanted: bool,
        now_ns: i64,
    ) {
        let mut bars = std::mem::take(&mut instrument.bars);
        bars.show(now_ns, is_wanted, |bar, revision| {
            message::add_bar(batch, number, &instrument.label, self.place, bar, revision);
        });
        instrument.bars = bars;
    }

    fn add_trades(&self, batch: &mut Batch, first: Place, trades: &[Record]) {
        let Some(newest) = trades.last().filter(|record| record.kind == kind::TRADE) else {
            return;
        };
        let number = newest.instrument & NUMBER_MASK;
        let Some(instrument) = self.instrument(number) else {
            return;
        };
        if instrument.wanted[0] + self.wanted_all[0] == 0 {
            return;
        }
        message::add_trades(batch, number, &instrument.label, first, trades);
    }

    /// Adds what a client that resumes from before the oldest record is told first: from where to where
    /// nothing is known any more.
    pub fn lapse(&mut self, batch: &mut Batch, wanted: u64, oldest: Place, ts_ns: i64) {
        let last = (oldest.0, oldest.1.saturating_sub(1));
        let (opening, end) = hole(LAPPED, wanted, oldest.1, ts_ns);
        self.place = last;
        batch.through = last;
        message::add_gap(batch, 0, &self.whole_label, &opening, last);
        message::add_gap(batch, 0, &self.whole_label, &end, last);
    }
}

/// The two edges of a hole in the log itself, before the record `to`.
fn hole(cause: u8, from: u64, to: u64, ts_ns: i64) -> (Record, Record) {
    let missing = i64::try_from(to.saturating_sub(from)).unwrap_or(-1);
    let mut opening = Record::gap_open(0, channel::ALL, cause, missing).at(ts_ns, ts_ns);
    opening.id = from; // no record opened it: the first missing sequence names it
    let end = Record::gap_end(0, channel::ALL, cause, missing, from).at(ts_ns, ts_ns);
    (opening, end)
}
