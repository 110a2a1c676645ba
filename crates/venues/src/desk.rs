//! What every session keeps of its instruments, and its line to the venue: the rules all venues share for
//! holes, invalid books, repeated trades and silence. It knows no venue's messages.

mod ladder;
mod quotes;
mod retry;
mod symbols;
mod trades;

use kernels::book::Book;
use wire::{Decimal, Record, cause, channel, flag, status};

use self::ladder::Ladder;
pub(crate) use self::ladder::Phase;
pub(crate) use self::quotes::Evidence;
use self::quotes::Quotes;
use self::symbols::Symbols;
use self::trades::{LATE_NS, Trades};
use crate::api::{Action, Channels, Listing, Output, Quarantine, Subscription};
use crate::json::Bad;

const S: i64 = 1_000_000_000;
/// After a message that was one too many nothing goes out for so long.
const TOO_MANY_NS: i64 = 2 * S;

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

/// The instruments that need this.
pub(crate) fn needing(needs: &[(usize, Need)], wanted: Need) -> Vec<usize> {
    needs
        .iter()
        .filter(|need| need.1 == wanted)
        .map(|need| need.0)
        .collect()
}

/// Channels that a message which cannot be read may have been of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub trades: bool,
    pub quotes: bool,
    pub book: bool,
}

/// A trade read from a message that may yet turn out to be malformed.
pub(crate) type Parsed = (usize, Record);

/// All instruments of a session and its line to the venue.
pub(crate) struct Desk {
    pub markets: Vec<Market>,
    symbols: Symbols,
    pub channels: Channels,
    /// What is to be sent, and to be asked of the REST interface, at the next [`Desk::flush`].
    pub sends: Vec<String>,
    gets: Vec<Action>,
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
    /// Requests for an instrument's newest trade that are under way.
    checks: Vec<(u64, usize)>,
}

impl Desk {
    /// A second subscription to one symbol is closed at [`Desk::open`]: the venue's messages could not tell the
    /// two apart.
    pub fn new(subscriptions: &[Subscription], channels: Channels, silence_ns: i64) -> Self {
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
            sends: Vec::new(),
            gets: Vec::new(),
            requests: 0,
            heard_ns: 0,
            pinged_ns: 0,
            limited_until_ns: 0,
            silence_ns,
            dead: false,
            stranger: false,
            needs: Vec::new(),
            checks: Vec::new(),
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
            self.markets[index].trades.rhythm.expect(now_ns);
            self.markets[index].quotes.expected_ns = now_ns + LATE_NS;
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

    /// The venue's spelling of these instruments.
    pub fn symbols(&self, indices: &[usize]) -> Vec<&str> {
        indices
            .iter()
            .map(|&index| self.markets[index].listing.symbol.as_str())
            .collect()
    }

    /// The books of these instruments were asked for just now, on a channel that may leave it unanswered.
    pub fn asked(&mut self, indices: &[usize], now_ns: i64) {
        for &index in indices {
            self.markets[index].ladder.asked(now_ns);
        }
    }

    /// The venue will never give this instrument: said once, by status and note.
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

    /// The venue does not give a channel of an instrument now: a gap, and it is asked for again.
    #[cold]
    pub fn refused(&mut self, index: usize, on: u8, now_ns: i64, out: &mut Output) {
        let market = &mut self.markets[index];
        let instrument = market.instrument;
        match on {
            channel::TRADES => {
                let trades = &mut market.trades;
                trades.open_gap(instrument, cause::LIMIT, -1, now_ns, out);
                trades.retry.failed(now_ns);
            }
            channel::QUOTES => {
                let quotes = &mut market.quotes;
                quotes.open_gap(instrument, cause::LIMIT, now_ns, out);
                quotes.retry.failed(now_ns);
            }
            _ => market.ladder.reject(instrument, cause::LIMIT, now_ns, out),
        }
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

    /// Emits a quote.
    #[inline]
    pub fn quote(&mut self, index: usize, bid: Record, ask: Record, out: &mut Output) {
        let quotes = &mut self.markets[index].quotes;
        if quotes.on {
            quotes.push(bid, ask, out);
        }
    }

    /// Puts the levels of a message into the book and emits them, with the removal of what fell below
    /// `depth`. The venue never says that it forgets those levels, so the removals are ours: they carry
    /// [`flag::NO_VENUE_TIME`]. Nothing is emitted when `wrong` names a cause: then the book is spoilt.
    #[inline]
    pub fn levels(
        &mut self,
        index: usize,
        levels: &[Record],
        depth: usize,
        now_ns: i64,
        out: &mut Output,
        wrong: impl FnOnce(&Book, &Listing) -> Option<u8>,
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
        if let Some(why) = wrong(&ladder.book, &market.listing) {
            out.records.truncate(mark);
            ladder.invalidate(instrument, why, -1, now_ns, out);
        } else if out.records.len() > mark {
            last(out);
        }
    }

    /// Takes in the levels of a message, as [`Desk::levels`], at a venue whose only proof of a broken book is
    /// that it is crossed; `snapshot` replaces the book.
    pub fn uncrossed(
        &mut self,
        index: usize,
        snapshot: bool,
        levels: &[Record],
        ts_event: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) {
        if snapshot {
            let market = &mut self.markets[index];
            market
                .ladder
                .snapshot_unless_crossed(market.instrument, levels, ts_event, now_ns, out);
        } else {
            self.levels(index, levels, usize::MAX, now_ns, out, |book, _| crossed(book));
        }
    }

    /// A message could not be read; `named` is the instrument it still names.
    #[cold]
    pub fn quarantine(&self, bad: Bad, named: Option<usize>, out: &mut Output) {
        out.quarantined.push(Quarantine {
            reason: bad.to_string(),
            instrument: named.map(|index| self.markets[index].instrument),
        });
    }

    /// A message of which nobody knows the content may have been `what` of these instruments.
    #[cold]
    pub fn lose(&mut self, indices: &[usize], what: Lost, now_ns: i64, out: &mut Output) {
        for &index in indices {
            let market = &mut self.markets[index];
            if what.trades {
                market.trades.malformed = true; // the next id tells what is missing, exactly
            }
            if what.quotes {
                market
                    .quotes
                    .lose(market.instrument, cause::MALFORMED, now_ns, out);
            }
            if what.book {
                market.ladder.unreadable(market.instrument, now_ns, out);
            }
        }
    }

    /// Asks the REST interface for an instrument's newest trade.
    pub fn check(&mut self, index: usize, weight: u32, path: String) {
        let request = self.get(weight, false, path);
        self.checks.push((request, index));
    }

    /// Takes in an answer of the REST interface. `newest` reads the id of the newest trade from it; false:
    /// the request was no [`Desk::check`].
    pub fn checked(
        &mut self,
        request: u64,
        status: u16,
        body: &[u8],
        now_ns: i64,
        newest: impl FnOnce(&[u8]) -> Option<u64>,
    ) -> bool {
        let Some(at) = self.checks.iter().position(|check| check.0 == request) else {
            return false;
        };
        let (_, index) = self.checks.swap_remove(at);
        let trades = &mut self.markets[index].trades;
        trades.checking = false;
        if status == 200
            && let Some(id) = newest(body)
        {
            trades.named(id, now_ns);
        }
        true
    }

    /// The venue refused a message as one too many: nothing goes out for a while. True for the first refusal
    /// within it, when whatever may have been refused is to be asked for again: once, not once for each.
    pub fn too_many(&mut self, now_ns: i64) -> bool {
        let first = now_ns >= self.limited_until_ns;
        self.limited_until_ns = now_ns + TOO_MANY_NS;
        first
    }

    /// A request to the REST interface.
    pub fn get(&mut self, weight: u32, urgent: bool, path: String) -> u64 {
        self.requests += 1;
        self.gets.push(Action::Get {
            request: self.requests,
            weight,
            urgent,
            path,
        });
        self.requests
    }

    /// Hands out what may be sent now.
    #[inline]
    pub fn flush(&mut self, now_ns: i64, out: &mut Output) {
        out.actions.append(&mut self.gets);
        if now_ns >= self.limited_until_ns {
            out.actions.extend(self.sends.drain(..).map(Action::Send));
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
                needs.push((index, Need::Book));
            }
            let (trades, quotes) = (&mut market.trades, &mut market.quotes);
            if trades.on {
                if trades.confirm(instrument, now_ns, out) || trades.retry.due(now_ns) {
                    trades.rhythm.excuse(now_ns);
                    needs.push((index, Need::Trades));
                } else if !trades.checking && trades.rhythm.mute(now_ns, LATE_NS) {
                    trades.rhythm.excuse(now_ns);
                    trades.checking = true;
                    needs.push((index, Need::LastTrade));
                }
            }
            if quotes.on {
                let odd = match evidence {
                    Evidence::Book => market.ladder.valid() && quotes.contradicted(&market.ladder.book),
                    Evidence::Trades => {
                        let since_ns = quotes.rhythm.last_ns().max(quotes.expected_ns);
                        trades.on && trades.rhythm.last_ns() > since_ns + S
                    }
                };
                if quotes.stalled(odd, now_ns) {
                    quotes.odd_since_ns = None;
                    quotes.rhythm.excuse(now_ns);
                    quotes.open_gap(instrument, cause::STALL, now_ns, out);
                    needs.push((index, Need::Quotes));
                } else if quotes.retry.due(now_ns) {
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

/// What a crossed book is wrong for.
pub(crate) fn crossed(book: &Book) -> Option<u8> {
    book.crossed().then_some(cause::CHECKSUM)
}
