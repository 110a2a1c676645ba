//! What every session keeps of its instruments, and its line to the venue: the rules all venues share for
//! holes, invalid books, repeated trades and silence. It knows no venue's messages.

mod ladder;
mod quotes;
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
use crate::pace::Paced;

const S: i64 = 1_000_000_000;
/// After a message that was one too many nothing goes out for so long.
const TOO_MANY_NS: i64 = 2 * S;
/// A request that was refused is not asked again within this time; how long the venue wants peace is kept by
/// the process, which sees Retry-After.
const REFUSED_NS: i64 = S;

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
    /// Requests for an instrument's newest trade that are under way.
    checks: Vec<(u64, usize)>,
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
            self.levels(index, levels, usize::MAX, now_ns, out, |book, _| !book.crossed());
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
        let request = self.get(weight, path);
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
        self.pause(status, now_ns);
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

    /// The REST interface asks for a pause with this status, or does not.
    fn pause(&mut self, status: u16, now_ns: i64) {
        if matches!(status, 418 | 429) {
            self.gets.hold_until(now_ns + REFUSED_NS);
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
