//! What the bridge knows of one venue, and how its records become messages.
//!
//! Pure: records and times in, batches out. Books, quotes and bars are kept for everyone; a message is
//! written once for all clients, and only when somebody wants it.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use kernels::book::Book;
use wire::{Decimal, Record, Side, cause, channel, flag, kind, status};

use super::bars::{self, Bars};
use super::batch::{BOOK_BEGINS, Batch, BookKind, Change, Class, Message, Place, channel_bit};
use super::json;

/// Low bits of an instrument's number: its place inside its venue.
pub const NUMBER_MASK: u32 = (1 << 20) - 1;

/// What a subscription wants of one venue.
#[derive(Clone, Debug)]
pub struct Interest {
    pub instruments: Instruments,
    /// Bits of [`channel_bit`].
    pub channels: u8,
    /// Levels of each side that a book shows.
    pub depth: u16,
}

/// Which instruments of a venue, by their numbers inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruments {
    /// Those to come as well.
    All,
    Some(Vec<u64>),
}

impl Instruments {
    pub fn some(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut words = Vec::new();
        for number in numbers {
            let at = number as usize / 64;
            if words.len() <= at {
                words.resize(at + 1, 0);
            }
            words[at] |= 1 << (number % 64);
        }
        Self::Some(words)
    }

    /// 0 is the whole venue, and concerns everyone.
    #[inline]
    pub fn has(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => {
                number == 0
                    || words
                        .get(number as usize / 64)
                        .is_some_and(|word| word >> (number % 64) & 1 == 1)
            }
        }
    }
}

/// The best levels of one instrument, as subscriptions of this depth have them.
#[derive(Debug)]
struct View {
    depth: u16,
    subscriptions: usize,
    valid: bool,
    bids: Vec<(Decimal, Decimal)>,
    asks: Vec<(Decimal, Decimal)>,
}

/// Best bid and ask.
#[derive(Clone, Copy, Debug, Default)]
struct Quote {
    bid: Option<(Decimal, Decimal)>,
    ask: Option<(Decimal, Decimal)>,
    place: Place,
    ts_event: i64,
    ts_recv: i64,
}

#[derive(Debug, Default)]
struct Instrument {
    /// `"venue":…,"instrument":…,` as it stands in every message.
    label: Vec<u8>,
    book: Book,
    /// A message of the book has begun and its last record has not come.
    book_in_message: bool,
    /// Place and times of the last whole book message.
    book_place: Place,
    book_ts: (i64, i64),
    /// Whole book messages since the views were last compared; what was spoilt counts too.
    book_changes: u32,
    views: Vec<View>,
    quote: Quote,
    half_quote: Quote,
    quote_changes: u32,
    has_quote: bool,
    bars: Bars,
    /// Newest status by channel.
    status: BTreeMap<u8, Record>,
    wanted: [usize; 5],
    /// Is in the list of instruments to look at when the batch ends.
    touched: bool,
}

/// State of one venue.
#[derive(Debug)]
pub struct Venue {
    index: usize,
    name: String,
    venue_label: Vec<u8>,
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
        Self {
            index,
            name: name.to_owned(),
            venue_label,
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

    /// What a new subscription is shown first: the state as of the last record taken in. With `resumed`,
    /// the statuses are left out, because those after its position came exactly.
    pub fn current(&self, interest: &Interest, resumed: bool, seen: Instant) -> Batch {
        let mut batch = self.begin(seen);
        batch.through = self.place;
        let has = |bit: u8| interest.channels & bit != 0;
        if has(channel_bit::STATUS) && !resumed {
            for record in self.status.values() {
                self.add_status(&mut batch, None, record, self.place);
            }
        }
        for (number, instrument) in self.instruments() {
            if !interest.instruments.has(number) {
                continue;
            }
            if has(channel_bit::STATUS) && !resumed {
                for record in instrument.status.values() {
                    self.add_status(&mut batch, Some((number, instrument)), record, self.place);
                }
            }
            if has(channel_bit::QUOTES) && instrument.has_quote {
                let at = Quote {
                    place: self.place,
                    ..instrument.quote
                };
                add_quote(&mut batch, number, instrument, &at, 0);
            }
            if has(channel_bit::BOOK) {
                self.add_snapshot(&mut batch, number, instrument, interest.depth);
            }
            if has(channel_bit::BARS) {
                for bar in instrument.bars.open() {
                    add_bar(&mut batch, number, instrument, self.place, bar, None);
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
        self.add_snapshot(&mut batch, number, instrument, depth);
        Some(batch)
    }

    fn add_snapshot(&self, batch: &mut Batch, number: u32, instrument: &Instrument, depth: u16) {
        let Some(view) = instrument.views.iter().find(|view| view.depth == depth) else {
            return;
        };
        add_view(batch, number, instrument, view, self.place, instrument.book_ts);
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
                    self.add_status(batch, None, record, at);
                } else {
                    self.add_gap(batch, None, record, at);
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
            kind::STATUS => self.add_status(batch, Some((number, instrument)), record, at),
            kind::GAP => self.add_gap(batch, Some((number, instrument)), record, at),
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
            instrument.book_changes += 1;
            instrument.book_place = last;
            instrument.touch(number as u32, &mut self.touched);
        }
        self.place = last;
        batch.through = last;
        self.add_gap(batch, None, &opening, last);
        self.add_gap(batch, None, &end, last);
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
                add_quote(batch, number, &instrument, &instrument.quote, merged - 1);
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
        bars.show(now_ns, |bar, revision| {
            if is_wanted {
                add_bar(batch, number, instrument, self.place, bar, revision);
            }
        });
        instrument.bars = bars;
    }

    // --- messages ------------------------------------------------------------------------------------

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
        add_trades(batch, number, &instrument.label, first, trades);
    }

    fn label(&self, instrument: Option<(u32, &Instrument)>, out: &mut Vec<u8>) {
        match instrument {
            Some((_, instrument)) => out.extend_from_slice(&instrument.label),
            None => {
                out.extend_from_slice(&self.venue_label);
                out.extend_from_slice(b"null,");
            }
        }
    }

    fn add_status(
        &self,
        batch: &mut Batch,
        instrument: Option<(u32, &Instrument)>,
        record: &Record,
        at: Place,
    ) {
        let number = instrument.map_or(0, |(number, _)| number);
        let channels = channel_bit::STATUS
            | match record.id {
                status::BOOK_INVALID | status::BOOK_VALID => channel_bit::BOOK,
                _ => 0,
            };
        let mut message = Message::new(at, number, channels, Class::Exact);
        (message.ts_event, message.ts_recv) = (record.ts_event, record.ts_recv);
        batch.add(message, |out| {
            out.extend_from_slice(b"\"type\":\"status\",");
            self.label(instrument, out);
            place(out, at);
            out.extend_from_slice(b",\"channel\":\"");
            out.extend_from_slice(channel_name(record.price_scale).as_bytes());
            out.extend_from_slice(b"\",\"code\":\"");
            out.extend_from_slice(status_name(record.id).as_bytes());
            out.push(b'"');
            if record.id == status::CLOCK_STEP {
                out.extend_from_slice(b",\"step_ns\":");
                json::quoted(out, record.size);
            }
            out.extend_from_slice(b",\"ts_recv\":");
            json::quoted(out, record.ts_recv);
            out.push(b'}');
        });
    }

    fn add_gap(&self, batch: &mut Batch, instrument: Option<(u32, &Instrument)>, record: &Record, at: Place) {
        let number = instrument.map_or(0, |(number, _)| number);
        let channels = channel_bit::STATUS
            | match record.price_scale {
                channel::TRADES => channel_bit::TRADES | channel_bit::BARS,
                channel::QUOTES => channel_bit::QUOTES,
                channel::BOOK => channel_bit::BOOK,
                _ => channel_bit::ALL,
            };
        let is_end = record.side() == Side::Sell;
        let opening = if is_end || record.id > 0 { record.id } else { at.1 };
        let mut message = Message::new(at, number, channels, Class::Exact);
        (message.ts_event, message.ts_recv) = (record.ts_event, record.ts_recv);
        batch.add(message, |out| {
            out.extend_from_slice(b"\"type\":\"gap\",");
            self.label(instrument, out);
            place(out, at);
            out.extend_from_slice(b",\"channel\":\"");
            out.extend_from_slice(channel_name(record.price_scale).as_bytes());
            out.extend_from_slice(if is_end {
                b"\",\"edge\":\"end\",\"cause\":\""
            } else {
                b"\",\"edge\":\"open\",\"cause\":\""
            });
            out.extend_from_slice(cause_name(record.size_scale).as_bytes());
            out.extend_from_slice(b"\",\"ts_event\":");
            json::quoted(out, record.ts_event);
            out.extend_from_slice(b",\"missing\":");
            json::signed(out, record.size);
            out.extend_from_slice(b",\"gap\":[");
            json::integer(out, u64::from(at.0));
            out.push(b',');
            json::integer(out, opening);
            out.extend_from_slice(b"]}");
        });
    }

    /// Adds what a client that resumes from before the oldest record is told first: from where to where
    /// nothing is known any more.
    pub fn lapse(&mut self, batch: &mut Batch, wanted: u64, oldest: Place, ts_ns: i64) {
        let last = (oldest.0, oldest.1.saturating_sub(1));
        let (opening, end) = hole(LAPPED, wanted, oldest.1, ts_ns);
        self.place = last;
        batch.through = last;
        self.add_gap(batch, None, &opening, last);
        self.add_gap(batch, None, &end, last);
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

/// Causes that only the bridge knows of, beside those of the wire.
const LAPPED: u8 = 250;
const LOST: u8 = 251;

impl View {
    fn new(depth: u16, subscriptions: usize) -> Self {
        Self {
            depth,
            subscriptions,
            valid: false,
            bids: Vec::new(),
            asks: Vec::new(),
        }
    }

    fn fill(&mut self, book: &Book) {
        let depth = usize::from(self.depth);
        self.bids.clear();
        self.bids
            .extend(book.bids().take(depth).map(|(price, size, _)| (price, size)));
        self.asks.clear();
        self.asks
            .extend(book.asks().take(depth).map(|(price, size, _)| (price, size)));
    }
}

impl Instrument {
    fn touch(&mut self, number: u32, touched: &mut Vec<u32>) {
        if !self.touched {
            self.touched = true;
            touched.push(number);
        }
    }

    fn add_view(&mut self, depth: u16) {
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
    fn take_quote(&mut self, at: Place, record: &Record) -> bool {
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
    fn take_book(&mut self, at: Place, record: &Record) -> bool {
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

    fn end_book(&mut self, batch: &mut Batch, number: u32) {
        if self.book_in_message || self.book_changes == 0 {
            return;
        }
        let conflated = std::mem::take(&mut self.book_changes) - 1;
        let is_valid = self.book.valid();
        let mut views = std::mem::take(&mut self.views);
        for view in &mut views {
            if is_valid && view.valid {
                self.add_delta(batch, number, view, conflated);
                continue;
            }
            if !is_valid && !view.valid {
                continue;
            }
            view.valid = is_valid;
            if is_valid {
                view.fill(&self.book);
            } else {
                view.bids.clear();
                view.asks.clear();
            }
            add_view(batch, number, self, view, self.book_place, self.book_ts);
        }
        self.views = views;
    }

    /// What takes the levels of `view` to those of the book now, and makes it so.
    fn add_delta(&self, batch: &mut Batch, number: u32, view: &mut View, conflated: u32) {
        let depth = usize::from(view.depth);
        let mut changes = Vec::new();
        difference(
            &mut view.bids,
            self.book.bids().take(depth),
            Side::Buy,
            &mut changes,
        );
        difference(
            &mut view.asks,
            self.book.asks().take(depth),
            Side::Sell,
            &mut changes,
        );
        if changes.is_empty() {
            return;
        }
        let (at, kind) = (self.book_place, BookKind::Delta);
        let mut message = self.book_message(number, view.depth, at, self.book_ts, kind);
        message.conflated = conflated;
        batch.add_book(message, &self.label, changes, |out, changes| {
            book_text(out, &self.label, at, kind, changes.iter(), self.book_ts);
        });
    }

    fn book_message(&self, number: u32, depth: u16, at: Place, ts: (i64, i64), kind: BookKind) -> Message {
        let mut message = Message::new(at, number, channel_bit::BOOK, Class::Book { depth, kind });
        (message.ts_event, message.ts_recv) = ts;
        message
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

fn add_view(batch: &mut Batch, number: u32, instrument: &Instrument, view: &View, at: Place, ts: (i64, i64)) {
    let kind = BookKind::Snapshot { valid: view.valid };
    let message = instrument.book_message(number, view.depth, at, ts, kind);
    let level = |side: Side| move |&(price, size): &(Decimal, Decimal)| Change { side, price, size };
    let changes: Vec<Change> = view
        .bids
        .iter()
        .map(level(Side::Buy))
        .chain(view.asks.iter().map(level(Side::Sell)))
        .collect();
    batch.add_book(message, &instrument.label, changes, |out, changes| {
        book_text(out, &instrument.label, at, kind, changes.iter(), ts);
    });
}

/// Appends the text of a book message; `changes` are best first within each side.
pub fn book_text<'a>(
    out: &mut Vec<u8>,
    label: &[u8],
    at: Place,
    kind: BookKind,
    changes: impl Iterator<Item = &'a Change> + Clone,
    (ts_event, ts_recv): (i64, i64),
) {
    out.extend_from_slice(BOOK_BEGINS);
    out.extend_from_slice(label);
    place(out, at);
    out.extend_from_slice(match kind {
        BookKind::Delta => b",\"kind\":\"delta\",\"bids\":[".as_slice(),
        BookKind::Snapshot { valid: true } => b",\"kind\":\"snapshot\",\"valid\":true,\"bids\":[",
        BookKind::Snapshot { valid: false } => b",\"kind\":\"snapshot\",\"valid\":false,\"bids\":[",
    });
    let side_levels = |out: &mut Vec<u8>, side: Side| {
        let mut is_first = true;
        for change in changes.clone().filter(|change| change.side == side) {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            if change.size.is_zero() {
                out.push(b'[');
                json::decimal(out, change.price);
                out.extend_from_slice(b",\"0\"]");
            } else {
                json::level(out, change.price, change.size);
            }
        }
    };
    side_levels(out, Side::Buy);
    out.extend_from_slice(b"],\"asks\":[");
    side_levels(out, Side::Sell);
    out.extend_from_slice(b"],\"ts_event\":");
    json::quoted(out, ts_event);
    out.extend_from_slice(b",\"ts_recv\":");
    json::quoted(out, ts_recv);
    out.push(b'}');
}

fn add_quote(batch: &mut Batch, number: u32, instrument: &Instrument, quote: &Quote, conflated: u32) {
    let mut message = Message::new(quote.place, number, channel_bit::QUOTES, Class::Quote);
    message.conflated = conflated;
    (message.ts_event, message.ts_recv) = (quote.ts_event, quote.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"quotes\",");
        out.extend_from_slice(&instrument.label);
        place(out, quote.place);
        for (name, side) in [(&b",\"bid\":"[..], quote.bid), (b",\"ask\":", quote.ask)] {
            out.extend_from_slice(name);
            match side {
                Some((price, size)) => json::level(out, price, size),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b",\"ts_event\":");
        json::quoted(out, quote.ts_event);
        out.extend_from_slice(b",\"ts_recv\":");
        json::quoted(out, quote.ts_recv);
        out.push(b'}');
    });
}

fn add_bar(
    batch: &mut Batch,
    number: u32,
    instrument: &Instrument,
    at: Place,
    bar: &kernels::bar::Bar,
    revision: Option<u32>,
) {
    let class = Class::Bar {
        start_ns: bar.start_ns,
    };
    let message = Message::new(at, number, channel_bit::BARS, class);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"bars\",");
        out.extend_from_slice(&instrument.label);
        place(out, at);
        out.push(b',');
        bars::write(out, bar, revision);
        out.push(b'}');
    });
}

/// Adds a run of trades of one instrument.
fn add_trades(batch: &mut Batch, number: u32, label: &[u8], first: Place, trades: &[Record]) {
    let Some(newest) = trades.last() else { return };
    let at = (first.0, first.1 + trades.len() as u64 - 1);
    let mut message = Message::new(at, number, channel_bit::TRADES, Class::Exact);
    (message.ts_event, message.ts_recv) = (newest.ts_event, newest.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"trades\",");
        out.extend_from_slice(label);
        place(out, at);
        out.extend_from_slice(b",\"rows\":[");
        for (i, trade) in trades.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"sequence\":");
            json::integer(out, first.1 + i as u64);
            out.extend_from_slice(b",\"ts_event\":");
            json::quoted(out, trade.ts_event);
            out.extend_from_slice(b",\"ts_recv\":");
            json::quoted(out, trade.ts_recv);
            out.extend_from_slice(b",\"price\":");
            json::decimal(out, trade.price());
            out.extend_from_slice(b",\"size\":");
            json::decimal(out, trade.size());
            out.extend_from_slice(match trade.side() {
                Side::Buy => b",\"aggressor\":\"buy\",\"id\":".as_slice(),
                Side::Sell => b",\"aggressor\":\"sell\",\"id\":",
                Side::None => b",\"aggressor\":\"none\",\"id\":",
            });
            if trade.has(flag::HAS_ID) {
                out.push(b'"');
                json::integer(out, trade.id);
                out.extend_from_slice(b"\"}");
            } else {
                out.extend_from_slice(b"null}");
            }
        }
        out.extend_from_slice(b"]}");
    });
}

/// Appends `"epoch":…,"sequence":…`.
fn place(out: &mut Vec<u8>, at: Place) {
    out.extend_from_slice(b"\"epoch\":");
    json::integer(out, u64::from(at.0));
    out.extend_from_slice(b",\"sequence\":");
    json::integer(out, at.1);
}

fn channel_name(channel: u8) -> &'static str {
    match channel {
        channel::TRADES => "trades",
        channel::QUOTES => "quotes",
        channel::BOOK => "book",
        _ => "all",
    }
}

fn status_name(code: u64) -> &'static str {
    match code {
        status::CONNECTING => "connecting",
        status::LIVE => "live",
        status::STALE => "stale",
        status::RECONNECTING => "reconnecting",
        status::CLOSED => "closed",
        status::BOOK_INVALID => "invalid",
        status::BOOK_VALID => "valid",
        status::CLOCK_STEP => "clock_step",
        status::HALTED => "halted",
        status::RESUMED => "resumed",
        _ => "unknown",
    }
}

fn cause_name(cause: u8) -> &'static str {
    match cause {
        cause::DISCONNECT => "disconnect",
        cause::STALL => "stall",
        cause::SEQUENCE_HOLE => "hole",
        cause::CHECKSUM => "checksum",
        cause::OVERLOAD => "overload",
        cause::LIMIT => "limit",
        cause::MALFORMED => "malformed",
        LAPPED => "lapped",
        LOST => "overrun",
        _ => "unknown",
    }
}
