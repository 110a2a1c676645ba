//! Alpaca: US stocks of one exchange (IEX) or of all (SIP), and crypto.
//! <https://docs.alpaca.markets/docs/real-time-stock-pricing-data>
//!
//! Every message is an array, in MessagePack where the venue gives it as it is asked to (half the bytes), else in JSON. A login comes first; one connection per address and account is let in. Trade ids
//! are unique in their exchange and day and do not count, so a stream does not tell what is missing in it:
//! gaps are the times without a connection. Corrections and cancels come with the trades.

use std::borrow::Cow;

use wire::{Decimal, Record, Side, cause, flag, kind};

use crate::api::{
    Action, Channels, Endpoints, Habits, Limits, Listing, Output, Protocol, Session, Subscription, VenueError,
};
use crate::condition::irregular;
use crate::field::{number, price, quote, size, timed};
use crate::json::{Bad, Json, rfc3339_ns, whole};
use crate::msgpack;
use crate::seller::{HABITS, LIMITS, coin, is_coin, is_stock, stock};
use crate::tape::{REFUSED_NS, Read, Tape};

const S: i64 = 1_000_000_000;
/// Symbols in one message: what the free plan takes of each channel, so that a larger wish is refused in part.
const BATCH: usize = 30;
/// An earlier connection of ours may take so long to be forgotten.
const TAKEN_NS: i64 = 5 * S;

/// US stocks from one exchange, which is free, and crypto.
pub static IEX: Alpaca = Alpaca {
    name: "alpaca",
    stocks: "/v2/iex",
};
/// US stocks from all exchanges, for those who pay, and crypto.
pub static SIP: Alpaca = Alpaca {
    name: "alpaca-sip",
    stocks: "/v2/sip",
};
const CRYPTO: &str = "/v1beta3/crypto/us";

/// Alpaca with one of its feeds of stocks.
pub struct Alpaca {
    name: &'static str,
    stocks: &'static str,
}

impl Protocol for Alpaca {
    fn name(&self) -> &'static str {
        self.name
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://stream.data.alpaca.markets",
            rest: "https://data.alpaca.markets",
        }
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn habits(&self) -> Habits {
        HABITS
    }

    fn credentials(&self) -> &'static [&'static [&'static str]] {
        &[&["ALPACA_API_KEY"], &["ALPACA_API_SECRET"]]
    }

    fn listing_request(&self) -> String {
        String::new()
    }

    fn listings(&self, _body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        Ok(Vec::new())
    }

    fn listed(&self, symbol: &str) -> Option<Listing> {
        match symbol.split_once(['-', '/']) {
            Some((base, quote)) if is_coin(base) && is_coin(quote) => {
                Some(coin(format!("{base}/{quote}"), base, quote))
            }
            None if is_stock(symbol) => Some(stock(symbol)),
            _ => None,
        }
    }

    fn lane(&self, listing: &Listing) -> u8 {
        u8::from(is_crypto(listing))
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        let crypto = instruments.first().is_some_and(|first| is_crypto(&first.listing));
        Box::new(Connection {
            tape: Tape::new(instruments, channels),
            path: if crypto { CRYPTO } else { self.stocks },
            crypto,
            asked: Vec::new(),
            binary: false,
            json: Vec::new(),
        })
    }
}

fn is_crypto(listing: &Listing) -> bool {
    listing.symbol.contains('/')
}

/// One connection.
struct Connection {
    tape: Tape,
    path: &'static str,
    crypto: bool,
    /// Subscriptions not yet answered, in order; an empty one is that of halts.
    asked: Vec<Vec<usize>>,
    /// The venue speaks MessagePack, and is answered so.
    binary: bool,
    /// The text of the message at hand, where it came in MessagePack.
    json: Vec<u8>,
}

impl Session for Connection {
    fn path(&self) -> String {
        self.path.into()
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("Content-Type", "application/msgpack")]
    }

    fn login(&mut self, secrets: &[String]) {
        self.tape.login(secrets);
    }

    fn ready(&self) -> bool {
        self.tape.ready
    }

    fn open(&mut self, now_ns: i64, _out: &mut Output) {
        self.tape.open(now_ns); // the venue speaks first
    }

    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.tape.clear();
        self.binary = msgpack::is_array(text);
        if !self.binary {
            self.take(Ok(()), text, ts_recv, out);
            return;
        }
        let mut json = std::mem::take(&mut self.json); // its room is used again
        json.clear();
        let whole = msgpack::to_json(text, &mut json);
        self.take(whole, &json, ts_recv, out);
        self.json = json;
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        self.tape.tick(now_ns, out);
    }
}

/// The fields of one message, whatever it is: what they mean depends on its `T`, which need not come first.
#[derive(Default)]
struct Fields<'a> {
    kind: &'a [u8],
    symbol: Cow<'a, [u8]>,
    text: Cow<'a, [u8]>,
    code: Option<u64>,
    time: Option<i64>,
    tape: &'a [u8],
    exchange: &'a [u8],
    id: &'a [u8],
    price: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    conditions: Conditions<'a>,
    taker: &'a [u8],
    bid: (Option<&'a [u8]>, Option<&'a [u8]>),
    ask: (Option<&'a [u8]>, Option<&'a [u8]>),
    old_id: &'a [u8],
    old_conditions: Conditions<'a>,
    new_id: &'a [u8],
    new_price: Option<&'a [u8]>,
    new_size: Option<&'a [u8]>,
    new_conditions: Conditions<'a>,
    /// Of a halt: the state, what it is called, and why.
    state: &'a [u8],
    state_text: Cow<'a, [u8]>,
    reason: Cow<'a, [u8]>,
    reason_text: Cow<'a, [u8]>,
    trades: Option<Json<'a>>,
    quotes: Option<Json<'a>>,
}

/// Codes of a sale with spaces between.
#[derive(Default)]
struct Conditions<'a> {
    codes: Vec<&'a [u8]>,
}

impl Conditions<'_> {
    fn joined(&self) -> Vec<u8> {
        self.codes.join(&b' ')
    }

    fn irregular(&self, tape: &[u8]) -> bool {
        let tape = if tape.is_empty() { b"C" } else { tape };
        self.codes.iter().any(|code| irregular(code, tape))
    }
}

/// A list of codes. In quotes it may be one code alone; only those of trades mean something here.
fn conditions<'a>(json: &mut Json<'a>) -> Result<Conditions<'a>, Bad> {
    let mut found = Conditions::default();
    if json.next_byte() != Some(b'[') {
        json.skip()?;
        return Ok(found);
    }
    json.array()?;
    while json.element()? {
        let code = json.raw_string()?;
        // a blank is the regular sale of tapes A and B
        if !code.iter().all(|byte| *byte == b' ') {
            found.codes.push(code);
        }
    }
    Ok(found)
}

impl<'a> Fields<'a> {
    fn read(json: &mut Json<'a>) -> Result<Self, Bad> {
        let mut found = Self::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"T" => found.kind = json.raw_string()?,
                b"S" => found.symbol = json.string()?,
                b"t" => found.time = Some(rfc3339_ns(json.raw_string()?).ok_or(Bad::Time)?),
                b"z" => found.tape = json.raw_string()?,
                b"x" => found.exchange = json.raw_string()?,
                b"i" => found.id = json.checked_scalar()?,
                b"p" => found.price = Some(json.checked_scalar()?),
                b"s" => found.size = Some(json.checked_scalar()?),
                b"c" => found.conditions = conditions(json)?,
                b"tks" => found.taker = json.raw_string()?,
                b"bp" => found.bid.0 = Some(json.checked_scalar()?),
                b"bs" => found.bid.1 = Some(json.checked_scalar()?),
                b"ap" => found.ask.0 = Some(json.checked_scalar()?),
                b"as" => found.ask.1 = Some(json.checked_scalar()?),
                b"oi" => found.old_id = json.checked_scalar()?,
                b"oc" => found.old_conditions = conditions(json)?,
                b"ci" => found.new_id = json.checked_scalar()?,
                b"cp" => found.new_price = Some(json.checked_scalar()?),
                b"cs" => found.new_size = Some(json.checked_scalar()?),
                b"cc" => found.new_conditions = conditions(json)?,
                b"sc" => found.state = json.raw_string()?,
                b"sm" => found.state_text = json.string()?,
                b"rc" => found.reason = json.string()?,
                b"rm" => found.reason_text = json.string()?,
                b"msg" => found.text = json.string()?,
                b"code" => found.code = whole(json.checked_scalar()?),
                b"trades" => found.trades = Some(json.passed()?),
                b"quotes" => found.quotes = Some(json.passed()?),
                _ => json.skip()?,
            }
        }
        Ok(found)
    }
}

impl Connection {
    /// Takes in the JSON text of a message, if it is `whole`.
    fn take(&mut self, whole: Result<(), Bad>, text: &[u8], ts_recv: i64, out: &mut Output) {
        match whole.and_then(|()| self.read(text, ts_recv, out)) {
            Ok(()) => self.tape.take(out),
            Err(bad) => self.tape.quarantine(bad, text, "S", ts_recv, out),
        }
    }

    fn say(&self, message: &serde_json::Value, out: &mut Output) {
        out.actions.push(if self.binary {
            Action::SendBytes(msgpack::from_json(message))
        } else {
            Action::Send(message.to_string())
        });
    }

    fn read(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let mut json = Json::checked(text)?;
        let mut control = Vec::new();
        json.array()?;
        while json.element()? {
            let fields = Fields::read(&mut json)?;
            match fields.kind {
                b"t" => self.trade(&fields, now_ns, out)?,
                b"q" => self.quote(&fields, now_ns, out)?,
                b"x" | b"c" => self.amend(&fields, now_ns, out)?,
                b"s" => self.trading(&fields, now_ns, out),
                b"success" | b"subscription" | b"error" => control.push(fields),
                b"" => return Err(Bad::Missing("T")),
                _ => {} // bars, bands and what may come yet
            }
        }
        json.end()?;
        for fields in control {
            match fields.kind {
                b"success" => self.success(&fields.text, out),
                b"subscription" => self.subscribed(fields, now_ns, out)?,
                _ => self.refused(fields.code.unwrap_or(0), &fields.text, now_ns, out),
            }
        }
        Ok(())
    }

    fn trade(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let at = price(number(fields.price, "p")?)?;
        let amount = size(number(fields.size, "s")?)?;
        let Some(index) = self.tape.find(&fields.symbol, out) else {
            return Ok(());
        };
        let side = match fields.taker {
            b"B" => Side::Buy,
            b"S" => Side::Sell,
            _ => Side::None,
        };
        let instrument = self.tape.markets[index].instrument;
        let mut record = Record::trade(instrument, side, at, amount, 0);
        record.flags &= !flag::HAS_ID;
        let text = if self.crypto {
            // history knows them by number
            record.id = whole(fields.id).ok_or(Bad::Field("i"))?;
            record.flags |= flag::HAS_ID;
            0..0
        } else {
            let codes = fields.conditions.joined();
            if amount.is_zero() || fields.conditions.irregular(fields.tape) {
                record.flags |= flag::IRREGULAR;
            }
            self.tape.text(&[fields.exchange, &codes, fields.id, fields.tape])
        };
        let record = timed(record, fields.time, now_ns);
        let name: [&[u8]; 2] = [fields.exchange, fields.id];
        self.tape.trade(
            index,
            record,
            text,
            if fields.id.is_empty() { &[] } else { &name },
        );
        Ok(())
    }

    fn quote(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let Some(index) = self.tape.find(&fields.symbol, out) else {
            return Ok(());
        };
        let instrument = self.tape.markets[index].instrument;
        let side =
            |side, (at, amount): (Option<&[u8]>, Option<&[u8]>), names: (&'static str, &'static str)| {
                let (at, amount) = (number(at, names.0)?, number(amount, names.1)?);
                // a side without orders has no price; what is then said of its size means nothing
                let amount = if at.is_zero() { Decimal::ZERO } else { amount };
                Ok::<_, Bad>(timed(quote(instrument, side, at, amount)?, fields.time, now_ns))
            };
        let bid = side(Side::Buy, fields.bid, ("bp", "bs"))?;
        let ask = side(Side::Sell, fields.ask, ("ap", "as"))?;
        self.tape.read.push(Read::Quote { index, bid, ask });
        Ok(())
    }

    /// A trade that was told is cancelled (`x`), or replaced (`c`).
    fn amend(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let cancel = fields.kind == b"x";
        let (at, amount) = if cancel {
            (price(number(fields.price, "p")?)?, Decimal::ZERO)
        } else {
            (
                price(number(fields.new_price, "cp")?)?,
                size(number(fields.new_size, "cs")?)?,
            )
        };
        let Some(index) = self.tape.find(&fields.symbol, out) else {
            return Ok(());
        };
        let mut record = Record::quote(self.tape.markets[index].instrument, Side::None, at, amount);
        record.kind = kind::AMEND;
        let old = fields.old_conditions.joined();
        let new = fields.new_conditions.joined();
        let (at, amount) = (at.to_string(), amount.to_string());
        let id = if cancel { fields.id } else { fields.old_id };
        let text = self.tape.text(&[
            fields.exchange,
            &old,
            id,
            fields.tape,
            fields.new_id,
            &new,
            at.as_bytes(),
            amount.as_bytes(),
        ]);
        let record = timed(record, fields.time, now_ns);
        self.tape.read.push(Read::Amend { record, text });
        Ok(())
    }

    fn success(&mut self, what: &[u8], out: &mut Output) {
        match what {
            b"connected" => {
                let login = serde_json::json!({
                    "action": "auth", "key": self.tape.secret(0), "secret": self.tape.secret(1),
                });
                self.say(&login, out);
            }
            b"authenticated" => {
                let live = self.tape.live();
                for batch in live.chunks(BATCH) {
                    self.ask(batch.to_vec(), out);
                }
                if !self.crypto && !live.is_empty() {
                    self.ask_for_halts(&live, out);
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, batch: Vec<usize>, out: &mut Output) {
        let symbols: Vec<&str> = batch
            .iter()
            .map(|&index| self.tape.markets[index].symbol.as_str())
            .collect();
        let mut message = serde_json::json!({"action": "subscribe"});
        for (on, name) in [
            (self.tape.channels.trades, "trades"),
            (self.tape.channels.quotes, "quotes"),
        ] {
            if on {
                message[name] = serde_json::json!(symbols);
            }
        }
        self.say(&message, out);
        self.asked.push(batch);
    }

    /// Asked for last and alone: a plan that does not have them has everything else.
    fn ask_for_halts(&mut self, live: &[usize], out: &mut Output) {
        let symbols: Vec<&str> = live
            .iter()
            .map(|&index| self.tape.markets[index].symbol.as_str())
            .collect();
        self.say(
            &serde_json::json!({"action": "subscribe", "statuses": symbols}),
            out,
        );
        self.asked.push(Vec::new());
    }

    /// A halt begins or ends. What else a status says (imbalances, short sales, quotes that resume before
    /// trading does) leaves trading as it is.
    fn trading(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) {
        // tapes A and B spell it in numbers, the others in letters
        let on = match (fields.tape, fields.state) {
            (b"A" | b"B", b"2") => false,
            (b"A" | b"B", b"3") => true,
            (b"A" | b"B", _) => return,
            (_, b"H" | b"P") => false,
            (_, b"T") => true,
            _ => return,
        };
        let Some(index) = self.tape.find(&fields.symbol, out) else {
            return;
        };
        let word = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let reasons = [&fields.state_text, &fields.reason, &fields.reason_text];
        let said: Vec<String> = reasons
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| word(text))
            .collect();
        self.tape.read.push(Read::Trading {
            index,
            on,
            ts_event: fields.time.unwrap_or(now_ns),
            ts_recv: now_ns,
            why: said.join(", "),
        });
    }

    /// The whole state of what is subscribed, in answer to the oldest question.
    fn subscribed(&mut self, fields: Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let lists = [
            (self.tape.channels.trades, fields.trades),
            (self.tape.channels.quotes, fields.quotes),
        ];
        let mut has: Vec<Vec<Cow<[u8]>>> = Vec::new();
        for (_, list) in lists.into_iter().filter(|(on, _)| *on) {
            let mut symbols = Vec::new();
            if let Some(mut json) = list {
                json.array()?;
                while json.element()? {
                    symbols.push(json.string()?);
                }
            }
            has.push(symbols);
        }
        if self.asked.is_empty() {
            return Ok(());
        }
        for index in self.asked.remove(0) {
            let symbol = self.tape.markets[index].symbol.clone();
            if !has
                .iter()
                .all(|list| list.iter().any(|one| **one == *symbol.as_bytes()))
            {
                let text = format!("the venue did not subscribe '{symbol}'");
                self.tape.close(index, text, now_ns, out);
            }
        }
        self.tape.ready = true;
        Ok(())
    }

    fn refused(&mut self, code: u64, message: &[u8], now_ns: i64, out: &mut Output) {
        let said = format!("{} ({code})", String::from_utf8_lossy(message));
        if self.asked.first().is_some_and(Vec::is_empty) && matches!(code, 400 | 405 | 409 | 410 | 412 | 413)
        {
            self.asked.remove(0);
            self.tape
                .note(format!("halts of trading are not told: {said}"), out);
            return;
        }
        match code {
            402 => {
                let reason = format!("Alpaca refuses the key: {said}; ALPACA_API_KEY and ALPACA_API_SECRET");
                self.tape.refused(reason, REFUSED_NS, true, out);
            }
            408 | 409 => {
                let reason = format!("the plan of this key does not have {}: {said}", self.path);
                self.tape.refused(reason, REFUSED_NS, true, out);
            }
            406 => {
                let reason = format!("another connection of this account is open: {said}");
                self.tape.refused(reason, TAKEN_NS, false, out);
            }
            407 => self.tape.reconnect(cause::OVERLOAD, said, out),
            401 | 403 | 404 => self.tape.reconnect(cause::LIMIT, said, out),
            _ if !self.asked.is_empty() && matches!(code, 400 | 405 | 410 | 412 | 413) => {
                let mut batch = self.asked.remove(0);
                if code == 400 && batch.len() > 1 {
                    // one of them is spelled as none may be
                    let rest = batch.split_off(batch.len() / 2);
                    self.ask(batch, out);
                    self.ask(rest, out);
                    return;
                }
                for index in batch {
                    let symbol = &self.tape.markets[index].symbol;
                    let text = format!("the venue refused to subscribe '{symbol}': {said}");
                    self.tape.close(index, text, now_ns, out);
                }
                // the login holds, and what else was asked for may come
                self.tape.ready = true;
            }
            _ => self.tape.note(format!("the venue answered: {said}"), out),
        }
    }
}
