//! What every session keeps of an instrument: the last trade id, the last quote, the book; and the rules
//! all venues share for holes, invalid books and repeated trades.

use kernels::book::Book;
use wire::{Decimal, Record, Side, cause, channel, flag, status};

use crate::api::{Action, Channels, Listing, Output, Subscription};
use crate::json::Bad;
use crate::pace::Paced;
use crate::silence::Rhythm;

const S: i64 = 1_000_000_000;

/// A trade the venue names and we have not seen is lost after so long: the two may come by different ways.
const LATE_NS: i64 = 3 * S;
/// A trade channel whose ids stay behind for so many messages in a row has a new numbering.
const BEHIND_MAX: u32 = 100;
/// A book asked for and not sent after so long is asked for again.
const SNAPSHOT_NS: i64 = 20 * S;
/// A book that stood so long has recovered: the next failure is its first again.
const RECOVERED_NS: i64 = 60 * S;
/// After a message that was one too many nothing goes out for so long.
const TOO_MANY_NS: i64 = 2 * S;
/// Longest pause between two attempts to get a book.
const RETRY_MAX_NS: i64 = 30 * S;

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
    fn new(on: bool) -> Self {
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
    fn push(&mut self, record: Record, out: &mut Output) {
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
    fn confirm(&mut self, instrument: u32, now_ns: i64, out: &mut Output) -> bool {
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

/// Best bid and ask of one instrument as its own channel tells them.
pub(crate) struct Quotes {
    pub on: bool,
    last: Option<(Decimal, Decimal)>,
    gap_open: bool,
    /// Since when another channel contradicts the last quote.
    odd_since_ns: Option<i64>,
    pub rhythm: Rhythm,
}

/// What shows that a silent quote channel has lost something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The channel follows the top of the book: the two must agree.
    Book,
    /// The channel speaks at each trade: no trade may be newer.
    Trades,
}

impl Quotes {
    fn new(on: bool) -> Self {
        Self {
            on,
            last: None,
            gap_open: false,
            odd_since_ns: None,
            rhythm: Rhythm::new(),
        }
    }

    /// Emits both sides, bid first.
    #[inline]
    pub fn push(&mut self, bid: Record, ask: Record, out: &mut Output) {
        self.last = Some((bid.price(), ask.price()));
        self.gap_open = false;
        self.odd_since_ns = None;
        self.rhythm.beat(ask.ts_recv);
        out.records.push(bid);
        out.records.push(ask.with(flag::LAST));
    }

    /// Opens a gap unless one is open.
    pub fn lose(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.on && self.last.is_some() && !self.gap_open {
            self.gap_open = true;
            let gap = Record::gap_open(instrument, channel::QUOTES, why, -1);
            out.records.push(gap.at(0, now_ns));
        }
    }

    /// Has another channel contradicted this one long enough?
    fn stalled(&mut self, odd: bool, now_ns: i64) -> bool {
        if !odd {
            self.odd_since_ns = None;
            return false;
        }
        let since_ns = *self.odd_since_ns.get_or_insert(now_ns);
        now_ns - since_ns > self.rhythm.mute_after_ns() && self.rhythm.last_ns() < since_ns
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not subscribed, or refused by the venue.
    Off,
    /// No snapshot yet on this connection.
    Waiting,
    Valid,
    /// Spoilt: nothing is emitted until the next snapshot.
    Invalid,
}

/// The book of one instrument and its way back after a failure.
pub(crate) struct Ladder {
    pub book: Book,
    pub phase: Phase,
    /// A snapshot was asked for only to see whether a mute channel lost something.
    probing: bool,
    gap_open: bool,
    /// When the snapshot awaited was asked for, 0 when none is.
    asked_ns: i64,
    /// When to ask next.
    retry_ns: i64,
    attempts: u32,
    valid_since_ns: i64,
    pub rhythm: Rhythm,
}

impl Ladder {
    fn new(on: bool) -> Self {
        Self {
            book: Book::new(),
            phase: if on { Phase::Waiting } else { Phase::Off },
            probing: false,
            gap_open: false,
            asked_ns: 0,
            retry_ns: 0,
            attempts: 0,
            valid_since_ns: 0,
            rhythm: Rhythm::new(),
        }
    }

    pub fn valid(&self) -> bool {
        self.phase == Phase::Valid
    }

    /// A snapshot was asked for just now.
    pub fn asked(&mut self, now_ns: i64) {
        self.asked_ns = now_ns.max(1);
    }

    /// The question came back without a snapshot: ask again after a pause.
    pub fn refused(&mut self, now_ns: i64) {
        self.asked_ns = 0;
        self.attempts += 1;
        self.retry_ns = now_ns + self.pause_ns();
    }

    fn pause_ns(&self) -> i64 {
        match self.attempts {
            0 | 1 => 0,
            attempts => (S << (attempts - 2).min(6)).min(RETRY_MAX_NS),
        }
    }

    /// The book is spoilt: says so once, empties it, and plans the next snapshot.
    pub fn invalidate(&mut self, instrument: u32, why: u8, missing: i64, now_ns: i64, out: &mut Output) {
        match self.phase {
            Phase::Off => return,
            Phase::Valid => {
                if now_ns - self.valid_since_ns > RECOVERED_NS {
                    self.attempts = 0;
                }
                if !self.gap_open {
                    let gap = Record::gap_open(instrument, channel::BOOK, why, missing);
                    out.records.push(gap.at(0, now_ns));
                    self.gap_open = true;
                }
                let invalid = Record::status(instrument, channel::BOOK, status::BOOK_INVALID);
                out.records.push(invalid.at(now_ns, now_ns));
                self.phase = Phase::Invalid;
            }
            Phase::Waiting | Phase::Invalid => {}
        }
        self.book = Book::new();
        self.probing = false;
        self.refused(now_ns);
    }

    /// A snapshot came and is wrong in itself.
    pub fn reject(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        if self.phase == Phase::Waiting && !self.gap_open {
            // the first one of a connection: from here on there is a hole of the venue's making
            let gap = Record::gap_open(instrument, channel::BOOK, why, -1);
            out.records.push(gap.at(0, now_ns));
            let invalid = Record::status(instrument, channel::BOOK, status::BOOK_INVALID);
            out.records.push(invalid.at(now_ns, now_ns));
            self.gap_open = true;
            self.phase = Phase::Invalid;
        }
        self.invalidate(instrument, why, -1, now_ns, out);
    }

    /// A message that may have been this book's could not be read.
    pub fn unreadable(&mut self, instrument: u32, now_ns: i64, out: &mut Output) {
        self.unreadable_because(instrument, cause::MALFORMED, now_ns, out);
    }

    /// A message that may have been this book's was lost. One that is not valid waits for its snapshot
    /// anyway, which may itself be what was lost: it is asked for again.
    pub fn unreadable_because(&mut self, instrument: u32, why: u8, now_ns: i64, out: &mut Output) {
        match self.phase {
            Phase::Valid => self.invalidate(instrument, why, -1, now_ns, out),
            Phase::Waiting | Phase::Invalid if self.asked_ns != 0 => self.refused(now_ns),
            _ => {}
        }
    }

    /// Asks for the snapshot no sooner than `ns`.
    pub fn ask_at(&mut self, ns: i64) {
        self.retry_ns = ns;
    }

    /// Is this a valid book whose silence is being looked into?
    pub fn probing(&self) -> bool {
        self.phase == Phase::Valid && self.probing
    }

    /// The silence was looked into, and the market is quiet.
    pub fn quiet(&mut self, now_ns: i64) {
        self.probing = false;
        self.asked_ns = 0;
        self.rhythm.excuse(now_ns);
    }

    /// Should a snapshot be asked for now?
    fn due(&mut self, instrument: u32, now_ns: i64, out: &mut Output) -> bool {
        if self.asked_ns != 0 {
            if now_ns - self.asked_ns > SNAPSHOT_NS {
                if self.phase == Phase::Valid {
                    // asked because it was mute, and mute it is
                    self.invalidate(instrument, cause::STALL, -1, now_ns, out);
                } else {
                    self.refused(now_ns);
                }
            }
            return false;
        }
        match self.phase {
            Phase::Invalid | Phase::Waiting => now_ns >= self.retry_ns,
            Phase::Valid if self.rhythm.mute(now_ns, 0) => {
                self.rhythm.excuse(now_ns);
                self.probing = true;
                true
            }
            Phase::Valid | Phase::Off => false,
        }
    }

    /// As [`Ladder::snapshot`], on venues whose only proof of a broken book is that it is crossed.
    pub fn snapshot_unless_crossed(
        &mut self,
        instrument: u32,
        levels: &[Record],
        ts_event: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) {
        let best = |side: Side| {
            levels
                .iter()
                .filter(move |level| level.side() == side && level.size > 0)
        };
        let bid = best(Side::Buy)
            .map(Record::price)
            .max_by(|one, other| one.value_cmp(*other));
        let ask = best(Side::Sell)
            .map(Record::price)
            .min_by(|one, other| one.value_cmp(*other));
        if let (Some(bid), Some(ask)) = (bid, ask)
            && bid.value_cmp(ask).is_ge()
        {
            self.reject(instrument, cause::CHECKSUM, now_ns, out);
        } else {
            self.snapshot(instrument, levels, ts_event, now_ns, out);
        }
    }

    /// A whole book came. `levels` are its level records without flags of snapshots. `id` is the venue's
    /// update id, where it has one.
    pub fn snapshot(
        &mut self,
        instrument: u32,
        levels: &[Record],
        ts_event: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) {
        let mut book = Book::new();
        for level in levels {
            book.set(level.side(), level.price(), level.size(), level.ts_event);
        }
        self.asked_ns = 0;
        self.rhythm.excuse(now_ns);
        if self.phase == Phase::Valid && self.probing {
            self.probing = false;
            if book.same_levels(&self.book) {
                return; // the market was quiet; nothing was lost and nothing is new
            }
            self.invalidate(instrument, cause::STALL, -1, now_ns, out);
        }
        self.book = book;
        let (time, timeless) = match ts_event {
            Some(ts) => (ts, 0),
            None => (now_ns, flag::NO_VENUE_TIME),
        };
        let clear = Record::clear(instrument).at(time, now_ns);
        out.records.push(clear.with(flag::SNAPSHOT | timeless));
        out.records
            .extend(levels.iter().map(|level| level.with(flag::SNAPSHOT)));
        last(out);
        if self.phase != Phase::Valid {
            let valid = Record::status(instrument, channel::BOOK, status::BOOK_VALID);
            out.records.push(valid.at(now_ns, now_ns));
            self.phase = Phase::Valid;
            self.valid_since_ns = now_ns;
        }
        self.gap_open = false;
    }
}

/// Marks the newest record as the last of the venue's message.
#[inline]
pub(crate) fn last(out: &mut Output) {
    if let Some(record) = out.records.last_mut() {
        record.flags |= flag::LAST;
    }
}

/// One instrument of a session.
pub(crate) struct Market {
    pub instrument: u32,
    pub listing: Listing,
    /// The venue refused it.
    pub closed: bool,
    pub trades: Trades,
    pub quotes: Quotes,
    pub ladder: Ladder,
}

/// What a quiet channel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A new snapshot of the book: subscribe again, or fetch it.
    Book,
    /// The trade channel is mute although there were trades: subscribe again.
    Trades,
    /// The same for quotes.
    Quotes,
    /// No trade for long: ask the venue's REST interface for its newest one.
    LastTrade,
}

/// A trade read from a message that may yet turn out to be malformed.
pub(crate) type Parsed = (usize, Record);

/// All instruments of a session and its line to the venue.
pub(crate) struct Desk {
    pub markets: Vec<Market>,
    symbols: Symbols,
    pub channels: Channels,
    pub sends: Paced<String>,
    pub gets: Paced<(u64, String)>,
    requests: u64,
    /// Last message of the venue, of any kind.
    pub heard_ns: i64,
    /// Last time something was sent only to hear an answer.
    pinged_ns: i64,
    /// The venue has said that we send too much: until then it is obeyed.
    limited_until_ns: i64,
    silence_ns: i64,
    dead: bool,
    stranger: bool,
    needs: Vec<(usize, Need)>,
}

impl Desk {
    /// `sends` and `gets` as (burst, per second). A second subscription to one symbol is closed at
    /// [`Desk::open`]: the venue's messages could not tell the two apart.
    pub fn new(
        subscriptions: &[Subscription],
        channels: Channels,
        sends: (u32, u32),
        gets: (u32, u32),
        silence_ns: i64,
    ) -> Self {
        let mut symbols = Symbols::new(subscriptions.len());
        let markets = subscriptions
            .iter()
            .enumerate()
            .map(|(index, subscription)| {
                let fresh = symbols.insert(subscription.listing.symbol.as_bytes(), index);
                Market {
                    instrument: subscription.instrument,
                    listing: subscription.listing.clone(),
                    closed: !fresh,
                    trades: Trades::new(channels.trades),
                    quotes: Quotes::new(channels.quotes),
                    ladder: Ladder::new(channels.book),
                }
            })
            .collect();
        Self {
            markets,
            symbols,
            channels,
            sends: Paced::new(sends.0, sends.1),
            gets: Paced::new(gets.0, gets.1),
            requests: 0,
            heard_ns: 0,
            pinged_ns: 0,
            limited_until_ns: 0,
            silence_ns,
            dead: false,
            stranger: false,
            needs: Vec::new(),
        }
    }

    /// Index of the instrument the venue calls so.
    #[inline]
    pub fn find(&self, symbol: &[u8]) -> Option<usize> {
        self.symbols.find(symbol)
    }

    /// The socket is open. Closes instruments that cannot be told from another.
    pub fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.heard_ns = now_ns;
        self.pinged_ns = now_ns;
        for index in 0..self.markets.len() {
            if self.markets[index].closed {
                let symbol = &self.markets[index].listing.symbol;
                let text = format!("'{symbol}' is already collected under another name on this connection");
                self.close(index, text, now_ns, out);
            }
        }
    }

    /// Indices of the instruments that are collected.
    pub fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.markets.len()).filter(|&index| !self.markets[index].closed)
    }

    /// The venue will not give this instrument: said once, by status and note.
    pub fn close(&mut self, index: usize, text: String, now_ns: i64, out: &mut Output) {
        let market = &mut self.markets[index];
        if market.closed && market.ladder.phase == Phase::Off && !market.trades.on && !market.quotes.on {
            return;
        }
        market.closed = true;
        market.trades.on = false;
        market.quotes.on = false;
        market.ladder.phase = Phase::Off;
        let closed = Record::status(market.instrument, channel::ALL, status::CLOSED);
        out.records.push(closed.at(now_ns, now_ns));
        out.actions.push(Action::Note {
            instrument: market.instrument,
            text,
        });
    }

    /// Data for a symbol nobody asked for: noted once.
    #[cold]
    pub fn stranger(&mut self, symbol: &[u8], out: &mut Output) {
        if !self.stranger {
            self.stranger = true;
            out.actions.push(Action::Note {
                instrument: 0,
                text: format!(
                    "data for '{}', which is not subscribed here, is ignored",
                    String::from_utf8_lossy(symbol)
                ),
            });
        }
    }

    /// Emits the trades of one message in the order of their ids.
    #[inline]
    pub fn trades(&mut self, parsed: &mut [Parsed], now_ns: i64, out: &mut Output) {
        let ordered = parsed
            .windows(2)
            .all(|pair| pair[0].0 != pair[1].0 || pair[0].1.id < pair[1].1.id);
        if !ordered {
            parsed.sort_by_key(|(index, record)| (*index, record.id));
        }
        let mark = out.records.len();
        for &(index, record) in parsed.iter() {
            let trades = &mut self.markets[index].trades;
            if trades.on {
                trades.rhythm.beat(now_ns);
                trades.push(record, out);
            }
        }
        if out.records.len() > mark {
            last(out);
        }
    }

    /// Emits the only trade of a message.
    #[inline]
    pub fn trade(&mut self, index: usize, record: Record, out: &mut Output) {
        let trades = &mut self.markets[index].trades;
        if trades.on {
            trades.rhythm.beat(record.ts_recv);
            trades.push(record.with(flag::LAST), out);
        }
    }

    /// Puts the levels of a message into the book and emits them, with the removal of what fell below
    /// `depth`. The venue never says that it forgets those levels, so the removals are ours: they carry
    /// [`flag::NO_VENUE_TIME`]. Nothing is emitted when `whole` finds the book wrong: then it is spoilt.
    #[inline]
    pub fn levels(
        &mut self,
        index: usize,
        levels: &[Record],
        depth: usize,
        now_ns: i64,
        out: &mut Output,
        whole: impl FnOnce(&Book, &Listing) -> bool,
    ) {
        let market = &mut self.markets[index];
        let ladder = &mut market.ladder;
        ladder.rhythm.beat(now_ns);
        if ladder.phase != Phase::Valid {
            return;
        }
        for level in levels {
            ladder
                .book
                .set(level.side(), level.price(), level.size(), level.ts_event);
        }
        let mark = out.records.len();
        out.records.extend_from_slice(levels);
        let instrument = market.instrument;
        ladder.book.truncate_with(depth, |side, price| {
            let gone = Record::level(instrument, side, price, Decimal::ZERO);
            out.records
                .push(gone.at(now_ns, now_ns).with(flag::NO_VENUE_TIME));
        });
        if whole(&ladder.book, &market.listing) {
            if out.records.len() > mark {
                last(out);
            }
        } else {
            out.records.truncate(mark);
            ladder.invalidate(instrument, cause::CHECKSUM, -1, now_ns, out);
        }
    }

    /// The venue refused a message as one too many: nothing goes out for a while. True for the first refusal
    /// within it, when whatever may have been refused is to be asked for again: once, not once for each.
    pub fn too_many(&mut self, now_ns: i64) -> bool {
        let first = now_ns >= self.limited_until_ns;
        self.limited_until_ns = now_ns + TOO_MANY_NS;
        self.sends.hold_until(self.limited_until_ns);
        first
    }

    /// A request to the REST interface.
    pub fn get(&mut self, weight: u32, path: String) -> u64 {
        self.requests += 1;
        self.gets.push(weight, (self.requests, path));
        self.requests
    }

    /// Hands out what may be sent now.
    #[inline]
    pub fn flush(&mut self, now_ns: i64, out: &mut Output) {
        if self.sends.is_empty() && self.gets.is_empty() {
            return;
        }
        while let Some(text) = self.sends.take(now_ns) {
            out.actions.push(Action::Send(text));
        }
        while let Some((request, path)) = self.gets.take(now_ns) {
            out.actions.push(Action::Get { request, path });
        }
    }

    /// Is it time to provoke an answer, because nothing came for `idle_ns`?
    pub fn ping_due(&mut self, idle_ns: i64, now_ns: i64) -> bool {
        let due = now_ns - self.heard_ns.max(self.pinged_ns) >= idle_ns;
        if due {
            self.pinged_ns = now_ns;
        }
        due
    }

    /// Raises [`Action::Reconnect`], once, when the transport is dead; says whether it is.
    pub fn transport_dead(&mut self, now_ns: i64, out: &mut Output) -> bool {
        let silent_ns = now_ns - self.heard_ns;
        if silent_ns > self.silence_ns && !self.dead {
            self.dead = true;
            out.actions.push(Action::Reconnect {
                cause: cause::STALL,
                reason: format!("no message for {:.1} s", silent_ns as f64 / 1e9),
            });
        }
        self.dead
    }

    /// What quiet channels need now, while the connection itself is alive. Gaps that are certain are opened
    /// here; the caller does what is needed and hands the list back with [`Desk::done`].
    pub fn needs(&mut self, evidence: Evidence, now_ns: i64, out: &mut Output) -> Vec<(usize, Need)> {
        let mut needs = std::mem::take(&mut self.needs);
        for (index, market) in self.markets.iter_mut().enumerate() {
            if market.closed {
                continue;
            }
            let instrument = market.instrument;
            if market.ladder.due(instrument, now_ns, out) {
                market.ladder.asked(now_ns);
                needs.push((index, Need::Book));
            }
            let (trades, quotes) = (&mut market.trades, &mut market.quotes);
            if trades.on {
                if trades.confirm(instrument, now_ns, out) {
                    trades.rhythm.excuse(now_ns);
                    needs.push((index, Need::Trades));
                } else if trades.last.is_some() && !trades.checking && trades.rhythm.mute(now_ns, LATE_NS) {
                    trades.rhythm.excuse(now_ns);
                    trades.checking = true;
                    needs.push((index, Need::LastTrade));
                }
            }
            if let (true, Some((bid, ask))) = (quotes.on, quotes.last) {
                let odd = match evidence {
                    Evidence::Book => {
                        let book = &market.ladder.book;
                        market.ladder.phase == Phase::Valid
                            && (differs(book.best_bid(), bid) || differs(book.best_ask(), ask))
                    }
                    Evidence::Trades => trades.on && trades.rhythm.last_ns() > quotes.rhythm.last_ns() + S,
                };
                if quotes.stalled(odd, now_ns) {
                    quotes.odd_since_ns = None;
                    quotes.rhythm.excuse(now_ns);
                    quotes.lose(instrument, cause::STALL, now_ns, out);
                    needs.push((index, Need::Quotes));
                }
            }
        }
        needs
    }

    /// Takes the list of [`Desk::needs`] back, to use its room again.
    pub fn done(&mut self, mut needs: Vec<(usize, Need)>) {
        needs.clear();
        self.needs = needs;
    }
}

fn differs(best: Option<(Decimal, Decimal, i64)>, quoted: Decimal) -> bool {
    best.is_some_and(|(price, _, _)| price.value_cmp(quoted).is_ne())
}

/// Spot prices are above zero.
#[inline]
pub(crate) fn price(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa > 0 {
        Ok(value)
    } else {
        Err(Bad::Field("price"))
    }
}

/// Size of a level: zero removes it.
#[inline]
pub(crate) fn size(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa >= 0 {
        Ok(value)
    } else {
        Err(Bad::Field("size"))
    }
}

/// Size of a trade.
#[inline]
pub(crate) fn traded(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa > 0 {
        Ok(value)
    } else {
        Err(Bad::Field("size"))
    }
}

/// One side of a quote; a side without orders is printed as price 0 and size 0.
#[inline]
pub(crate) fn quote(instrument: u32, side: Side, at: Decimal, amount: Decimal) -> Result<Record, Bad> {
    let amount = size(amount)?;
    let at = if amount.is_zero() && at.is_zero() {
        at
    } else {
        price(at)?
    };
    Ok(Record::quote(instrument, side, at, amount))
}

/// Sets both times; without a venue time the record says so.
#[inline]
pub(crate) fn timed(record: Record, ts_event: Option<i64>, ts_recv: i64) -> Record {
    match ts_event {
        Some(ts_event) => record.at(ts_event, ts_recv),
        None => record.at(ts_recv, ts_recv).with(flag::NO_VENUE_TIME),
    }
}

/// Symbols of a session: open addressing, at most half full.
struct Symbols {
    /// Index + 1 of the symbol, 0 is free.
    slots: Vec<u32>,
    names: Vec<Box<[u8]>>,
    indices: Vec<usize>,
}

impl Symbols {
    fn new(count: usize) -> Self {
        Self {
            slots: vec![0; (count.max(4) * 2).next_power_of_two()],
            names: Vec::new(),
            indices: Vec::new(),
        }
    }

    #[inline]
    fn slot(&self, name: &[u8]) -> usize {
        // symbols are short and differ at either end
        let mut hash = name.len() as u64;
        for chunk in name.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        hash as usize & (self.slots.len() - 1)
    }

    /// False when the name is there already.
    fn insert(&mut self, name: &[u8], index: usize) -> bool {
        let mut slot = self.slot(name);
        while self.slots[slot] != 0 {
            if &*self.names[self.slots[slot] as usize - 1] == name {
                return false;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.names.push(name.into());
        self.indices.push(index);
        self.slots[slot] = self.names.len() as u32;
        true
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<usize> {
        let mut slot = self.slot(name);
        loop {
            match self.slots[slot] {
                0 => return None,
                entry if &*self.names[entry as usize - 1] == name => {
                    return Some(self.indices[entry as usize - 1]);
                }
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }
}

/// The values of `"key":"…"` in a text that may be anything: what a broken message still tells.
pub(crate) fn salvage<'a>(text: &'a [u8], key: &str) -> impl Iterator<Item = &'a [u8]> {
    let pattern: Vec<u8> = format!("\"{key}\"").into_bytes();
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.windows(pattern.len()).position(|window| window == pattern)?;
            rest = &rest[at + pattern.len()..];
            let start = rest
                .iter()
                .position(|byte| !matches!(byte, b' ' | b':' | b'\n' | b'\t' | b'\r'))?;
            if let Some(value) = rest[start..].strip_prefix(b"\"")
                && let Some(end) = value.iter().position(|byte| *byte == b'"')
            {
                return Some(&value[..end]);
            }
        }
    })
}

/// The value of `"key":123` in a text that may be anything.
pub(crate) fn salvage_number(text: &[u8], key: &str) -> Option<u64> {
    let pattern = format!("\"{key}\":");
    let at = text
        .windows(pattern.len())
        .position(|window| window == pattern.as_bytes())?;
    let rest = &text[at + pattern.len()..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    crate::json::whole(&rest[..end])
}
