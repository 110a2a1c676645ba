//! DTN IQFeed, Level 1 of IQConnect, protocol 6.2: lines over TCP. <https://www.iqfeed.net/dev>
//!
//! A message tells of the whole instrument each time; its "Message Contents" say what of it is new: C, E or O a
//! trade, a or b a quote. `TickID` names a trade and does not count them, so it proves what is repeated, never
//! what is missing; only where the newest trade of a summary is the newest we have, nothing was missed.
//! Numbers are kept digit for digit; times are Eastern wall time.
//!
//! A trade's text is a detail after it: `market center|conditions|||basis`, conditions with spaces between, the
//! basis C (qualified), E (extended hours) or O (other). A correction is an amendment (kind 8): the trade that was
//! put in, or at size 0 the one that was taken out; its text ends in I or D in place of the basis.

use wire::{Decimal, Record, Side, cause, channel, flag, kind, status};

use crate::api::{
    Action, Channels, Endpoints, Habits, Limits, Listing, Output, Pace, Protocol, Session, Subscription,
    VenueError,
};
use crate::desk::Desk;
use crate::eastern;
use crate::field::{self, timed};
use crate::json::{Bad, whole};

const NAME: &str = "iqfeed";
const S: i64 = 1_000_000_000;
/// Longest line worth accepting: a list of all watched symbols has some kilobytes.
const LINE_BYTES: usize = 64 << 10;
/// IQConnect answers a question within a moment, connected to DTN or not.
const SILENCE_NS: i64 = 10 * S;
/// It is asked something after so long without a word.
const PING_NS: i64 = 2 * S;
/// With the servers' clock each second: without it for so long nothing flows, whatever IQConnect answers.
const DRY_NS: i64 = 10 * S;
/// A symbol's longest spelling: an option's.
const SYMBOL_BYTES: usize = 32;
/// Most fields of an update that are looked at.
const FIELDS: usize = 48;

/// What is asked for. `Symbol` is always first.
const WANTED: [&str; 17] = [
    "Most Recent Trade",
    "Most Recent Trade Size",
    "Most Recent Trade Date",
    "Most Recent Trade Time",
    "Most Recent Trade Market Center",
    "Most Recent Trade Conditions",
    "Most Recent Trade Aggressor",
    "Most Recent Trade Day Code",
    "TickID",
    "Total Volume",
    "Bid",
    "Bid Size",
    "Bid Time",
    "Ask",
    "Ask Size",
    "Ask Time",
    "Message Contents",
];
const ASK_FIELDS: &str = "S,REQUEST CURRENT UPDATE FIELDNAMES";

/// IQFeed by way of IQConnect on this machine.
pub struct IqFeed;

impl Protocol for IqFeed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "tcp://127.0.0.1:5009",
            rest: "",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: LINE_BYTES,
            // the account has a limit, the connection none
            symbols_per_connection: 10_000,
            messages: Pace {
                burst: 1_000,
                per_s: 1_000,
            },
            requests: Pace { burst: 1, per_s: 1 },
            connects_per_window: (120, 60),
            silence_ns: SILENCE_NS,
            life_ns: 0,
        }
    }

    fn listing_request(&self) -> String {
        String::new()
    }

    fn listings(&self, _body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        Err(VenueError::refused(NAME, "there is none"))
    }

    /// Scales and steps are those of US shares, as IQFeed prints them. Every record carries the digits that
    /// were printed, more or less of them.
    fn listed(&self, symbol: &str) -> Option<Listing> {
        is_symbol(symbol).then(|| Listing {
            symbol: symbol.into(),
            rest_symbol: symbol.into(),
            base: symbol.into(),
            quote: "USD".into(),
            tick: Decimal::new(1, 4),
            lot: Decimal::new(1, 0),
            price_scale: 4,
            size_scale: 0,
            status: "online".into(),
        })
    }

    #[allow(clippy::needless_update)] // only what is unusual is named, however much else there may be
    fn habits(&self) -> Habits {
        Habits {
            numbered: false,
            ..Habits::default()
        }
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        Box::new(Connection {
            desk: Desk::new(instruments, channels, SILENCE_NS),
            columns: None,
            away: false,
            fed_ns: 0,
            ticking: false,
            odd: false,
        })
    }
}

/// Capitals, digits and the marks of futures, options and preferred shares: nothing that breaks out of a line.
fn is_symbol(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'@' | b'#');
    text.len() <= SYMBOL_BYTES
        && text.as_bytes().first().is_some_and(|&byte| first(byte))
        && text
            .bytes()
            .all(|byte| first(byte) || matches!(byte, b'.' | b'+' | b'_' | b'=' | b'-'))
}

/// Places of what is looked at in an update; 0, where the kind of the line stands, is nowhere.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    price: usize,
    size: usize,
    date: usize,
    time: usize,
    center: usize,
    conditions: usize,
    aggressor: usize,
    tick: usize,
    bid: usize,
    bid_size: usize,
    bid_time: usize,
    ask: usize,
    ask_size: usize,
    ask_time: usize,
    contents: usize,
}

impl Columns {
    /// From the names of all fields, `Symbol` first. The name of one that has to be there and is not.
    fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<Self, &'static str> {
        let mut found = Self::default();
        for (name, place) in names.zip(1..FIELDS) {
            let at = match name {
                b"Most Recent Trade" => &mut found.price,
                b"Most Recent Trade Size" => &mut found.size,
                b"Most Recent Trade Date" => &mut found.date,
                b"Most Recent Trade Time" => &mut found.time,
                b"Most Recent Trade Market Center" => &mut found.center,
                b"Most Recent Trade Conditions" => &mut found.conditions,
                b"Most Recent Trade Aggressor" => &mut found.aggressor,
                b"TickID" => &mut found.tick,
                b"Bid" => &mut found.bid,
                b"Bid Size" => &mut found.bid_size,
                b"Bid Time" => &mut found.bid_time,
                b"Ask" => &mut found.ask,
                b"Ask Size" => &mut found.ask_size,
                b"Ask Time" => &mut found.ask_time,
                b"Message Contents" => &mut found.contents,
                _ => continue,
            };
            *at = place;
        }
        let needed = [
            (found.price, "Most Recent Trade"),
            (found.size, "Most Recent Trade Size"),
            (found.date, "Most Recent Trade Date"),
            (found.time, "Most Recent Trade Time"),
            (found.bid, "Bid"),
            (found.ask, "Ask"),
            (found.contents, "Message Contents"),
        ];
        match needed.into_iter().find(|(place, _)| *place == 0) {
            Some((_, name)) => Err(name),
            None => Ok(found),
        }
    }
}

/// The fields of a line, by commas.
struct Fields<'a> {
    all: [&'a [u8]; FIELDS],
    count: usize,
}

impl<'a> Fields<'a> {
    fn of(line: &'a [u8]) -> Self {
        let mut fields = Self {
            all: [b""; FIELDS],
            count: 0,
        };
        for field in line.split(|byte| *byte == b',').take(FIELDS) {
            fields.all[fields.count] = field;
            fields.count += 1;
        }
        fields
    }

    /// Empty where the line is shorter, or nothing stands there.
    fn at(&self, place: usize) -> &'a [u8] {
        if place == 0 { b"" } else { self.all[place] }
    }
}

/// One connection.
struct Connection {
    desk: Desk,
    /// Known once IQConnect has said them; before that nothing is watched.
    columns: Option<Columns>,
    /// IQConnect is cut off from DTN.
    away: bool,
    /// Last word that came from DTN: an update, or the servers' clock.
    fed_ns: i64,
    /// The servers' clock has been heard on this connection.
    ticking: bool,
    /// A line of an unknown kind was noted.
    odd: bool,
}

/// A trade as an update tells it.
struct Trade {
    record: Record,
    detail: Vec<u8>,
}

/// What an update tells.
struct Update {
    index: usize,
    trade: Option<Trade>,
    quote: Option<(Record, Record)>,
}

impl Session for Connection {
    fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.desk.open(now_ns, out);
        self.fed_ns = now_ns;
        self.desk.sends.extend([
            "S,SET PROTOCOL,6.2".into(),
            "S,SET CLIENT NAME,tidemill-collector".into(),
            "S,TIMESTAMPSON".into(),
            format!("S,SELECT UPDATE FIELDS,Symbol,{}", WANTED.join(",")),
        ]);
        self.desk.flush(now_ns, out);
    }

    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.desk.heard_ns = ts_recv;
        match text {
            [b'Q', b',', ..] => self.update(text, false, ts_recv, out),
            [b'P', b',', ..] => self.update(text, true, ts_recv, out),
            [b'T', b',', ..] => {
                self.ticking = true;
                self.fed_ns = ts_recv;
            }
            [b'C', b',', ..] => self.correction(text, ts_recv, out),
            [b'n', b',', symbol @ ..] => self.missing(symbol, ts_recv, out),
            [b'S', b',', rest @ ..] => self.system(rest, ts_recv, out),
            [b'E', b',', rest @ ..] => note(out, 0, format!("IQConnect answered: {}", shown(rest))),
            [b'F' | b'R' | b'N', b',', ..] => {} // fundamentals, regional quotes, news
            _ if !self.odd => {
                self.odd = true;
                note(
                    out,
                    0,
                    format!("a line of an unknown kind is ignored: {}", shown(text)),
                );
            }
            _ => {}
        }
        self.desk.flush(ts_recv, out);
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if self.desk.transport_dead(now_ns, out) {
            return;
        }
        if self.ticking && !self.away && now_ns - self.fed_ns > DRY_NS {
            self.fed_ns = now_ns;
            out.actions.push(Action::Reconnect {
                cause: cause::STALL,
                reason: format!(
                    "IQConnect answers, and nothing came from DTN for {} s",
                    DRY_NS / S
                ),
            });
        }
        if self.desk.ping_due(PING_NS, now_ns) {
            self.desk.sends.push(ASK_FIELDS.into());
        }
        self.desk.flush(now_ns, out);
    }
}

impl Connection {
    /// Watches an instrument: its trades alone, or its quotes too.
    fn watch(&mut self, index: usize) {
        let how = if self.desk.channels.quotes { 'w' } else { 't' };
        let symbol = &self.desk.markets[index].listing.symbol;
        self.desk.sends.push(format!("{how}{symbol}"));
    }

    // ---- what IQConnect says of itself

    fn system(&mut self, rest: &[u8], now_ns: i64, out: &mut Output) {
        let mut fields = rest.split(|byte| *byte == b',');
        match fields.next().unwrap_or_default() {
            b"CURRENT UPDATE FIELDNAMES" => self.learn(fields, out),
            b"SERVER CONNECTED" => self.back(now_ns, out),
            b"SERVER DISCONNECTED" => self.lost("IQConnect has lost DTN", now_ns, out),
            b"SERVER RECONNECT FAILED" => self.lost("IQConnect cannot reach DTN", now_ns, out),
            b"SYMBOL LIMIT REACHED" => {
                let symbol = fields.next().unwrap_or_default();
                if let Some(index) = self.desk.find(symbol) {
                    let text = format!(
                        "the account may watch no more symbols: '{}' is left out until the next connection",
                        shown(symbol)
                    );
                    self.desk.close(index, text, now_ns, out);
                }
            }
            b"WATCHES" => self.compare(&fields.collect::<Vec<_>>(), out),
            b"CURRENT PROTOCOL" => {
                let version = fields.next().unwrap_or_default();
                if !matches!(version, b"6.2" | b"6.1") {
                    note(
                        out,
                        0,
                        format!("IQConnect speaks protocol {}, not 6.2", shown(version)),
                    );
                }
            }
            _ => {} // KEY, IP, CUST, STATS and whatever comes with later versions
        }
    }

    /// Which fields an update has, and where. Only then it can be read, so only then symbols are watched.
    fn learn<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>, out: &mut Output) {
        match Columns::of(names) {
            Ok(columns) => {
                if self.columns.replace(columns).is_none() {
                    for index in self.desk.live().collect::<Vec<_>>() {
                        self.watch(index);
                    }
                }
            }
            Err(name) => {
                self.columns = None;
                out.actions.push(Action::Reconnect {
                    cause: cause::MALFORMED,
                    reason: format!("IQConnect does not give the field '{name}'"),
                });
            }
        }
    }

    /// Nothing fresh comes from here on: stale, and a hole in everything.
    fn lost(&mut self, text: &str, now_ns: i64, out: &mut Output) {
        note(out, 0, text.into());
        if std::mem::replace(&mut self.away, true) {
            return;
        }
        let stale = Record::status(0, channel::ALL, status::STALE);
        out.records.push(stale.at(now_ns, now_ns));
        let gap = Record::gap_open(0, channel::ALL, cause::DISCONNECT, -1);
        out.records.push(gap.at(0, now_ns));
    }

    /// DTN is there again. What every instrument is now is asked for: where its newest trade is the one we had,
    /// nothing was missed.
    fn back(&mut self, now_ns: i64, out: &mut Output) {
        self.fed_ns = now_ns;
        if !std::mem::replace(&mut self.away, false) {
            return;
        }
        note(out, 0, "IQConnect has DTN again".into());
        let live = Record::status(0, channel::ALL, status::LIVE);
        out.records.push(live.at(now_ns, now_ns));
        self.desk.sends.push("S,REQUEST WATCHES".into());
        for index in self.desk.live().collect::<Vec<_>>() {
            let symbol = &self.desk.markets[index].listing.symbol;
            self.desk.sends.push(format!("f{symbol}"));
        }
    }

    /// Watches again what IQConnect has forgotten to watch.
    fn compare(&mut self, watched: &[&[u8]], out: &mut Output) {
        for index in self.desk.live().collect::<Vec<_>>() {
            let market = &self.desk.markets[index];
            if !watched.contains(&market.listing.symbol.as_bytes()) {
                let text = format!(
                    "'{}' is watched no more: it is asked for again",
                    market.listing.symbol
                );
                note(out, market.instrument, text);
                self.watch(index);
            }
        }
    }

    fn missing(&mut self, symbol: &[u8], now_ns: i64, out: &mut Output) {
        let symbol = symbol.split(|byte| *byte == b',').next().unwrap_or_default();
        match self.desk.find(symbol) {
            Some(index) => {
                let text = format!("IQFeed has no symbol '{}'", shown(symbol));
                self.desk.close(index, text, now_ns, out);
            }
            None => self.desk.stranger(symbol, out),
        }
    }

    // ---- what happens at the market

    /// `Q`, an update, or `P`, a summary: what an instrument is, without anything having happened.
    fn update(&mut self, text: &[u8], summary: bool, ts_recv: i64, out: &mut Output) {
        self.fed_ns = ts_recv;
        let Some(columns) = self.columns else {
            return; // of a watch that this connection did not ask for
        };
        let fields = Fields::of(text);
        let Some(index) = self.desk.find(fields.at(1)) else {
            return self.desk.stranger(fields.at(1), out);
        };
        match self.read(&columns, &fields, index, summary, ts_recv) {
            Ok(update) => self.tell(update, out),
            Err(bad) => self.unread(bad, fields.at(columns.contents), index, ts_recv, out),
        }
    }

    fn read(
        &self,
        columns: &Columns,
        fields: &Fields,
        index: usize,
        summary: bool,
        ts_recv: i64,
    ) -> Result<Update, Bad> {
        let contents = fields.at(columns.contents);
        if fields.count <= columns.contents {
            return Err(Bad::Missing("Message Contents"));
        }
        let has = |letter: &u8| contents.contains(letter);
        let basis = b"CEO".iter().copied().find(|letter| has(letter));
        let market = &self.desk.markets[index];
        let mut update = Update {
            index,
            trade: None,
            quote: None,
        };
        if summary {
            // A symbol may never have traded.
            if !fields.at(columns.price).is_empty() && !fields.at(columns.tick).is_empty() {
                let mut trade = self.trade(columns, fields, market.instrument, b'O', ts_recv)?;
                trade.record.flags |= flag::SNAPSHOT;
                update.trade = Some(trade);
            }
        } else if let Some(basis) = basis {
            update.trade = Some(self.trade(columns, fields, market.instrument, basis, ts_recv)?);
        }
        let (bid, ask) = (has(&b'b'), has(&b'a'));
        if summary || bid || ask {
            let time = |is_new: bool, place: usize| {
                eastern::clock(fields.at(place))
                    .filter(|_| is_new && !summary)
                    .and_then(|within| eastern::utc_ns_of_today(within, ts_recv))
            };
            let ts_event = time(bid, columns.bid_time).max(time(ask, columns.ask_time));
            let side = |side, price, size| -> Result<Record, Bad> {
                let (at, amount) = (
                    number(fields.at(price), "quote")?,
                    number(fields.at(size), "size")?,
                );
                // A side without an offer is printed empty, or as 0.
                let amount = if at.is_zero() {
                    Decimal::ZERO
                } else {
                    field::size(amount)?
                };
                Ok(timed(
                    Record::quote(market.instrument, side, at, amount),
                    ts_event,
                    ts_recv,
                ))
            };
            update.quote = Some((
                side(Side::Buy, columns.bid, columns.bid_size)?,
                side(Side::Sell, columns.ask, columns.ask_size)?,
            ));
        }
        Ok(update)
    }

    fn trade(
        &self,
        columns: &Columns,
        fields: &Fields,
        instrument: u32,
        basis: u8,
        ts_recv: i64,
    ) -> Result<Trade, Bad> {
        let price = field::number(Some(fields.at(columns.price)), "Most Recent Trade")?;
        let size = field::size(number(fields.at(columns.size), "Most Recent Trade Size")?)?;
        let ts_event = moment(fields.at(columns.date), fields.at(columns.time), ts_recv)?;
        let aggressor = match fields.at(columns.aggressor) {
            b"1" => Side::Buy,
            b"2" => Side::Sell,
            _ => Side::None, // neither, or unknown
        };
        let id = whole(fields.at(columns.tick));
        let mut record =
            Record::trade(instrument, aggressor, price, size, id.unwrap_or(0)).at(ts_event, ts_recv);
        if id.is_none() {
            record.flags &= !flag::HAS_ID;
        }
        if basis == b'O' {
            record.flags |= flag::IRREGULAR;
        }
        let detail = detail(fields.at(columns.center), fields.at(columns.conditions), basis);
        Ok(Trade { record, detail })
    }

    fn tell(&mut self, update: Update, out: &mut Output) {
        let trades_on = self.desk.markets[update.index].trades.on;
        if let Some(trade) = update.trade.filter(|_| trades_on) {
            out.records.push(trade.record);
            if !trade.record.has(flag::SNAPSHOT) {
                out.details(&trade.record, &trade.detail);
            }
            if let Some(newest) = out.records.last_mut().filter(|_| update.quote.is_none()) {
                newest.flags |= flag::LAST;
            }
        }
        if let Some((bid, ask)) = update.quote {
            self.desk.quote(update.index, bid, ask, out);
        }
    }

    /// An update that cannot be read: what it may have been is a hole.
    #[cold]
    fn unread(&mut self, bad: Bad, contents: &[u8], index: usize, now_ns: i64, out: &mut Output) {
        self.desk.quarantine(bad, Some(index), out);
        let market = &self.desk.markets[index];
        let may_be = |letters: &[u8]| contents.is_empty() || contents.iter().any(|one| letters.contains(one));
        for (is_on, letters, on) in [
            (market.trades.on, b"CEO".as_slice(), channel::TRADES),
            (market.quotes.on, b"ab", channel::QUOTES),
        ] {
            if is_on && may_be(letters) {
                let gap = Record::gap_open(market.instrument, on, cause::MALFORMED, -1);
                out.records.push(gap.at(0, now_ns));
            }
        }
    }

    /// A trade that was put in or taken out afterwards. Nothing that was recorded is changed, and no trade is
    /// made of it: it does not tell whether it counts. Who fetches that day's history has it as it stands.
    fn correction(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.fed_ns = ts_recv;
        let fields = Fields::of(text);
        let Some(index) = self.desk.find(fields.at(1)) else {
            return self.desk.stranger(fields.at(1), out);
        };
        let market = &self.desk.markets[index];
        if market.closed || !market.trades.on {
            return;
        }
        match amendment(&fields, market.instrument, ts_recv) {
            Ok((record, detail)) => {
                out.records.push(record);
                out.details(&record, &detail);
                if let Some(newest) = out.records.last_mut() {
                    newest.flags |= flag::LAST;
                }
                note(
                    out,
                    record.instrument,
                    format!("a trade was corrected afterwards: {}", shown(text)),
                );
            }
            Err(bad) => self.desk.quarantine(bad, Some(index), out),
        }
    }
}

/// `C,AAPL,I,03/30/2021,19:59:14.503633,183.3600,13,101123,8801,17` as a record and its text.
fn amendment(fields: &Fields, instrument: u32, ts_recv: i64) -> Result<(Record, Vec<u8>), Bad> {
    if fields.count < 10 {
        return Err(Bad::Missing("market center"));
    }
    let price = field::number(Some(fields.at(5)), "price")?;
    let size = field::size(field::number(Some(fields.at(6)), "size")?)?;
    let (size, letter) = match fields.at(2) {
        b"I" => (size, b'I'),
        b"D" => (Decimal::new(0, size.scale), b'D'),
        _ => return Err(Bad::Field("correction")),
    };
    let id = whole(fields.at(7)).ok_or(Bad::Field("TickID"))?;
    let ts_event = moment(fields.at(3), fields.at(4), ts_recv)?;
    let record = Record {
        kind: kind::AMEND,
        ..Record::trade(instrument, Side::None, price, size, id).at(ts_event, ts_recv)
    };
    Ok((record, detail(fields.at(9), fields.at(8), letter)))
}

/// What more is known of a trade, as the module says.
fn detail(center: &[u8], conditions: &[u8], basis: u8) -> Vec<u8> {
    let codes: Vec<&[u8]> = conditions.chunks(2).collect();
    [center, b"|", &codes.join(&b" "[..]), b"|||", &[basis]].concat()
}

/// A number; empty is 0.
fn number(text: &[u8], name: &'static str) -> Result<Decimal, Bad> {
    if text.is_empty() {
        Ok(Decimal::ZERO)
    } else {
        field::number(Some(text), name)
    }
}

/// `04/17/2018` and `17:51:22.123456`, Eastern, as UTC nanoseconds.
fn moment(date: &[u8], time: &[u8], now_ns: i64) -> Result<i64, Bad> {
    let day = eastern::slashed(date).ok_or(Bad::Time)?;
    let within = eastern::clock(time).ok_or(Bad::Time)?;
    eastern::utc_ns(day, within, now_ns).ok_or(Bad::Time)
}

fn note(out: &mut Output, instrument: u32, text: String) {
    out.actions.push(Action::Note { instrument, text });
}

/// As much of a line as a log should hold.
fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(120)];
    String::from_utf8_lossy(text).replace(|c: char| c.is_control(), " ")
}
