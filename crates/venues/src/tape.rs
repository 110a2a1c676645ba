//! What sessions of sellers of market data share: a login first, arrays of messages, and trades that have names
//! instead of numbers. Nothing in such a stream shows that a message is missing; what is known is when it could
//! not be heard, and that much is a gap.
//!
//! A trade's text is a detail after it: `exchange|conditions|id|tape`, conditions with spaces between.

use std::collections::HashMap;
use std::ops::Range;

use wire::{Record, cause, channel, flag, status};

use crate::api::{Action, Channels, Output, Quarantine, Subscription};
use crate::field::salvage;
use crate::json::Bad;

const S: i64 = 1_000_000_000;
/// A login, and the first answer to a subscription, come within this.
const LOGIN_NS: i64 = 15 * S;
/// What is wrong with a key stays wrong for a while.
pub(crate) const REFUSED_NS: i64 = 60 * S;
/// Trades of one instrument that are remembered, to know one that is sent twice.
const RECENT: usize = 128;

/// One instrument of a session.
pub(crate) struct Market {
    pub instrument: u32,
    pub symbol: String,
    /// The seller refused it.
    pub closed: bool,
    recent: Recent,
}

/// Marks of the newest trades, in a ring.
struct Recent {
    marks: Box<[u64; RECENT]>,
    next: usize,
}

impl Recent {
    /// False when it is there already.
    fn add(&mut self, mark: u64) -> bool {
        if self.marks.contains(&mark) {
            return false;
        }
        self.marks[self.next] = mark;
        self.next = (self.next + 1) % RECENT;
        true
    }
}

/// FNV-1a, of which 0 is no value: an empty place of the ring.
fn mark(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for byte in part.iter().chain(b"|") {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash.max(1)
}

/// A trade, a quote or an amendment read from a message that may yet turn out to be malformed.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Trade {
        index: usize,
        record: Record,
        /// Of its text in [`Tape::texts`].
        text: Range<usize>,
        /// The same for the same trade, 0 where nothing names it.
        mark: u64,
    },
    Quote {
        index: usize,
        bid: Record,
        ask: Record,
    },
    Amend {
        record: Record,
        text: Range<usize>,
    },
    /// Trading in an instrument stops, or goes on; why, in the seller's words.
    Trading {
        index: usize,
        on: bool,
        ts_event: i64,
        ts_recv: i64,
        why: String,
    },
}

/// All instruments of a session, and how far its login is.
pub(crate) struct Tape {
    pub markets: Vec<Market>,
    names: HashMap<Box<[u8]>, usize>,
    pub channels: Channels,
    /// What was read of the message at hand.
    pub read: Vec<Read>,
    pub texts: Vec<u8>,
    pub ready: bool,
    secrets: Vec<String>,
    opened_ns: i64,
    given_up: bool,
    stranger: bool,
    amended: bool,
}

impl Tape {
    pub fn new(subscriptions: &[Subscription], channels: Channels) -> Self {
        let mut names = HashMap::new();
        let markets = subscriptions
            .iter()
            .enumerate()
            .map(|(index, subscription)| {
                let symbol = subscription.listing.symbol.clone();
                let before = names.insert(symbol.as_bytes().into(), index);
                Market {
                    instrument: subscription.instrument,
                    closed: before.is_some(),
                    symbol,
                    recent: Recent {
                        marks: Box::new([0; RECENT]),
                        next: 0,
                    },
                }
            })
            .collect();
        Self {
            markets,
            names,
            channels,
            read: Vec::new(),
            texts: Vec::new(),
            ready: false,
            secrets: Vec::new(),
            opened_ns: 0,
            given_up: false,
            stranger: false,
            amended: false,
        }
    }

    pub fn login(&mut self, secrets: &[String]) {
        self.secrets = secrets.to_vec();
    }

    /// One of the secrets; empty where there is none.
    pub fn secret(&self, at: usize) -> &str {
        self.secrets.get(at).map_or("", String::as_str)
    }

    pub fn open(&mut self, now_ns: i64) {
        self.opened_ns = now_ns;
    }

    /// Indices of the instruments that are collected.
    pub fn live(&self) -> Vec<usize> {
        (0..self.markets.len())
            .filter(|&index| !self.markets[index].closed)
            .collect()
    }

    /// Index of the instrument that is called so; data of any other is noted once.
    pub fn find(&mut self, symbol: &[u8], out: &mut Output) -> Option<usize> {
        let found = self.names.get(symbol).copied();
        if found.is_none() && !self.stranger {
            self.stranger = true;
            let symbol = String::from_utf8_lossy(symbol);
            let text = format!("data for '{symbol}', which is not subscribed here, is ignored");
            out.actions.push(Action::Note { instrument: 0, text });
        }
        found
    }

    pub fn known(&self, symbol: &[u8]) -> Option<usize> {
        self.names.get(symbol).copied()
    }

    pub fn clear(&mut self) {
        self.read.clear();
        self.texts.clear();
    }

    /// Keeps `exchange|conditions|id|tape` of a trade, empty fields at its end left out.
    pub fn text(&mut self, fields: &[&[u8]]) -> Range<usize> {
        let start = self.texts.len();
        let given = fields.iter().rposition(|field| !field.is_empty());
        for (at, field) in fields.iter().enumerate().take(given.map_or(0, |last| last + 1)) {
            if at > 0 {
                self.texts.push(b'|');
            }
            // the two bytes that would be read as an end
            let plain = field.iter().filter(|byte| !matches!(byte, b'|' | 0));
            self.texts.extend(plain);
        }
        start..self.texts.len()
    }

    /// What names a trade: of its exchange, and where the seller numbers them, its number.
    pub fn trade(&mut self, index: usize, record: Record, text: Range<usize>, name: &[&[u8]]) {
        let named = name.iter().any(|part| !part.is_empty());
        self.read.push(Read::Trade {
            index,
            record,
            text,
            mark: if named { mark(name) } else { 0 },
        });
    }

    /// Emits what was read of a message, which is whole.
    pub fn take(&mut self, out: &mut Output) {
        let start = out.records.len();
        for one in self.read.drain(..) {
            match one {
                Read::Trade {
                    index,
                    record,
                    text,
                    mark,
                } => {
                    let market = &mut self.markets[index];
                    if market.closed || !self.channels.trades || (mark != 0 && !market.recent.add(mark)) {
                        continue;
                    }
                    out.records.push(record);
                    out.details(&record, &self.texts[text]);
                }
                Read::Quote { index, bid, ask } => {
                    if self.channels.quotes && !self.markets[index].closed {
                        out.records.push(bid);
                        out.records.push(ask);
                    }
                }
                Read::Trading {
                    index,
                    on,
                    ts_event,
                    ts_recv,
                    why,
                } => {
                    let market = &self.markets[index];
                    if market.closed {
                        continue;
                    }
                    let (instrument, symbol) = (market.instrument, &market.symbol);
                    let (code, word) = if on {
                        (status::RESUMED, "goes on")
                    } else {
                        (status::HALTED, "is halted")
                    };
                    out.records
                        .push(Record::status(instrument, channel::ALL, code).at(ts_event, ts_recv));
                    let text = format!("trading in {symbol} {word}: {why}");
                    out.actions.push(Action::Note { instrument, text });
                }
                Read::Amend { record, text } => {
                    if !self.channels.trades {
                        continue;
                    }
                    out.records.push(record);
                    out.details(&record, &self.texts[text]);
                    if !std::mem::replace(&mut self.amended, true) {
                        out.actions.push(Action::Note {
                            instrument: record.instrument,
                            text: "trades are cancelled or corrected; the journal keeps each amendment, bars stay \
                                   as they were"
                                .into(),
                        });
                    }
                }
            }
        }
        if out.records.len() > start
            && let Some(last) = out.records.last_mut()
        {
            last.flags |= flag::LAST;
        }
    }

    /// A message cannot be read, and nothing that comes later tells what it was: a gap in all that it may have
    /// been. `key` is the field that names an instrument in it.
    #[cold]
    pub fn quarantine(&mut self, bad: Bad, text: &[u8], key: &str, now_ns: i64, out: &mut Output) {
        let mut named: Vec<usize> = salvage(text, key)
            .filter_map(|symbol| self.names.get(symbol).copied())
            .collect();
        named.sort_unstable();
        named.dedup();
        out.quarantined.push(Quarantine {
            reason: bad.to_string(),
            instrument: named.first().map(|&index| self.markets[index].instrument),
        });
        // cut anywhere, it may have held more than it still names
        let whole = text.last() == Some(&b']');
        let lost = if named.is_empty() || !whole {
            self.live()
        } else {
            named
        };
        if self.ready {
            for index in lost {
                self.lose(index, cause::MALFORMED, now_ns, out);
            }
        }
    }

    fn lose(&self, index: usize, why: u8, now_ns: i64, out: &mut Output) {
        let instrument = self.markets[index].instrument;
        for (on, channel) in [
            (self.channels.trades, channel::TRADES),
            (self.channels.quotes, channel::QUOTES),
        ] {
            if on {
                out.records
                    .push(Record::gap_open(instrument, channel, why, -1).at(0, now_ns));
            }
        }
    }

    /// The seller will not give this instrument: said once, by status and note.
    pub fn close(&mut self, index: usize, text: String, now_ns: i64, out: &mut Output) {
        let text = self.hidden(text);
        let market = &mut self.markets[index];
        if std::mem::replace(&mut market.closed, true) {
            return;
        }
        let instrument = market.instrument;
        out.records
            .push(Record::status(instrument, channel::ALL, status::CLOSED).at(now_ns, now_ns));
        out.actions.push(Action::Note { instrument, text });
    }

    /// The seller's own words, for the log.
    pub fn note(&self, text: String, out: &mut Output) {
        let text = self.hidden(text);
        out.actions.push(Action::Note { instrument: 0, text });
    }

    /// Gives the connection up.
    pub fn reconnect(&mut self, cause: u8, reason: String, out: &mut Output) {
        if !std::mem::replace(&mut self.given_up, true) {
            let reason = self.hidden(reason);
            out.actions.push(Action::Reconnect { cause, reason });
        }
    }

    /// The same, for longer.
    pub fn refused(&mut self, reason: String, wait_ns: i64, key: bool, out: &mut Output) {
        if !std::mem::replace(&mut self.given_up, true) {
            let reason = self.hidden(reason);
            out.actions.push(Action::Refused { reason, wait_ns, key });
        }
    }

    /// A text of the seller without our secrets, should it repeat them.
    fn hidden(&self, text: String) -> String {
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text, |text, secret| text.replace(secret.as_str(), "…"))
    }

    /// Gives a login up that nobody answers.
    pub fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if !self.ready && now_ns - self.opened_ns > LOGIN_NS {
            let reason = format!("no answer to the login within {} s", LOGIN_NS / S);
            self.reconnect(cause::STALL, reason, out);
        }
    }
}
