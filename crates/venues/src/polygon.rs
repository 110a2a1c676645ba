//! Polygon, which calls itself Massive since October 2025: US stocks and crypto.
//! <https://massive.com/docs/websocket>
//!
//! Every message is an array. A login comes first; a newer connection of the same key ends the older. Trades of
//! stocks have numbers (`q`) that rise within a day but not by one: they tell a repeated trade, not a missing
//! one, so gaps are the times without a connection. Corrections are not told on this stream.

use std::borrow::Cow;

use wire::{Decimal, Record, Side, cause, flag};

use crate::api::{
    Action, Channels, Endpoints, Habits, Limits, Listing, Output, Protocol, Session, Subscription, VenueError,
};
use crate::condition::irregular_number;
use crate::field::{number, price, quote, size, timed};
use crate::json::{Bad, Json, whole};
use crate::seller::{HABITS, LIMITS, coin, is_coin, is_stock, stock};
use crate::tape::{REFUSED_NS, Read, Tape};

const MS: i64 = 1_000_000;
/// Topics in one message.
const BATCH: usize = 200;

/// Polygon (Massive).
pub struct Polygon;

impl Protocol for Polygon {
    fn name(&self) -> &'static str {
        "polygon"
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://socket.massive.com",
            rest: "https://api.massive.com",
        }
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn habits(&self) -> Habits {
        HABITS
    }

    fn credentials(&self) -> &'static [&'static [&'static str]] {
        &[&["POLYGON_API_KEY", "MASSIVE_API_KEY"]]
    }

    fn listing_request(&self) -> String {
        String::new()
    }

    fn listings(&self, _body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        Ok(Vec::new())
    }

    fn listed(&self, symbol: &str) -> Option<Listing> {
        match symbol.split_once('-') {
            Some((base, quote)) if is_coin(base) && is_coin(quote) => {
                Some(coin(symbol.to_owned(), base, quote))
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
            crypto,
        })
    }
}

fn is_crypto(listing: &Listing) -> bool {
    listing.symbol.contains('-')
}

/// One connection.
struct Connection {
    tape: Tape,
    crypto: bool,
}

impl Session for Connection {
    fn path(&self) -> String {
        if self.crypto { "/crypto" } else { "/stocks" }.into()
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
        let name = if self.crypto { "pair" } else { "sym" };
        match self.read(text, ts_recv, out) {
            Ok(()) => self.tape.take(out),
            Err(bad) => self.tape.quarantine(bad, text, name, ts_recv, out),
        }
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        self.tape.tick(now_ns, out);
    }
}

/// The fields of one message, whatever it is: what they mean depends on its `ev`, which need not come first.
#[derive(Default)]
struct Fields<'a> {
    kind: &'a [u8],
    symbol: Cow<'a, [u8]>,
    status: Cow<'a, [u8]>,
    text: Cow<'a, [u8]>,
    time: Option<i64>,
    exchange: &'a [u8],
    id: Cow<'a, [u8]>,
    sequence: &'a [u8],
    tape: &'a [u8],
    price: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    conditions: Vec<&'a [u8]>,
    bid: (Option<&'a [u8]>, Option<&'a [u8]>),
    ask: (Option<&'a [u8]>, Option<&'a [u8]>),
}

impl<'a> Fields<'a> {
    fn read(json: &mut Json<'a>) -> Result<Self, Bad> {
        let mut found = Self::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"ev" => found.kind = json.raw_string()?,
                b"sym" | b"pair" => found.symbol = json.string()?,
                b"status" if json.next_byte() == Some(b'"') => found.status = json.string()?,
                b"message" if json.next_byte() == Some(b'"') => found.text = json.string()?,
                b"t" => found.time = Some(time(json.checked_scalar()?)?),
                b"x" => found.exchange = json.checked_scalar()?,
                // of a quote a list of indicators
                b"i" if json.next_byte() == Some(b'"') => found.id = json.string()?,
                b"i" => found.id = Cow::Borrowed(json.checked_scalar()?),
                b"q" => found.sequence = json.checked_scalar()?,
                b"z" => found.tape = json.checked_scalar()?,
                b"p" => found.price = Some(json.checked_scalar()?),
                b"s" => found.size = Some(json.checked_scalar()?),
                b"c" if json.next_byte() == Some(b'[') => {
                    json.array()?;
                    while json.element()? {
                        found.conditions.push(json.checked_scalar()?);
                    }
                }
                b"bp" => found.bid.0 = Some(json.checked_scalar()?),
                b"bs" => found.bid.1 = Some(json.checked_scalar()?),
                b"ap" => found.ask.0 = Some(json.checked_scalar()?),
                b"as" => found.ask.1 = Some(json.checked_scalar()?),
                _ => json.skip()?,
            }
        }
        Ok(found)
    }
}

/// Milliseconds since the epoch, as nanoseconds.
fn time(text: &[u8]) -> Result<i64, Bad> {
    whole(text)
        .and_then(|ms| i64::try_from(ms).ok())
        .and_then(|ms| ms.checked_mul(MS))
        .ok_or(Bad::Time)
}

impl Connection {
    fn read(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let mut json = Json::checked(text)?;
        let mut said = Vec::new();
        json.array()?;
        while json.element()? {
            let fields = Fields::read(&mut json)?;
            match fields.kind {
                b"T" if !self.crypto => self.trade(&fields, now_ns, out)?,
                b"XT" if self.crypto => self.trade(&fields, now_ns, out)?,
                b"Q" if !self.crypto => self.quote(&fields, now_ns, out)?,
                b"XQ" if self.crypto => self.quote(&fields, now_ns, out)?,
                b"status" => said.push((fields.status, fields.text)),
                b"" => return Err(Bad::Missing("ev")),
                _ => {} // bars, bands and what may come yet
            }
        }
        json.end()?;
        for (status, text) in said {
            self.said(&status, &text, now_ns, out);
        }
        Ok(())
    }

    fn trade(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let at = price(number(fields.price, "p")?)?;
        let amount = size(number(fields.size, "s")?)?;
        let codes: Vec<u64> = fields
            .conditions
            .iter()
            .map(|code| whole(code).ok_or(Bad::Field("c")))
            .collect::<Result<_, _>>()?;
        let Some(index) = self.tape.find(&fields.symbol, out) else {
            return Ok(());
        };
        // of crypto a condition is the side; of stocks it says whether bars leave the trade out
        let side = match codes.first() {
            Some(1) if self.crypto => Side::Sell,
            Some(2) if self.crypto => Side::Buy,
            _ => Side::None,
        };
        let instrument = self.tape.markets[index].instrument;
        let mut record = Record::trade(instrument, side, at, amount, 0);
        record.flags &= !flag::HAS_ID;
        if amount.is_zero() || !self.crypto && codes.iter().any(|code| irregular_number(*code)) {
            record.flags |= flag::IRREGULAR;
        }
        let joined = fields.conditions.join(&b' ');
        let text = self
            .tape
            .text(&[fields.exchange, &joined, &fields.id, fields.tape]);
        let record = timed(record, fields.time, now_ns);
        let name: [&[u8]; 3] = [fields.exchange, &fields.id, fields.sequence];
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
        let side = |side, (at, amount): (Option<&[u8]>, Option<&[u8]>)| {
            // a side that has no orders may be left out
            let read =
                |text: Option<&[u8]>, name| text.map_or(Ok(Decimal::ZERO), |text| number(Some(text), name));
            let at = read(at, "price")?;
            let amount = if at.is_zero() {
                Decimal::ZERO
            } else {
                read(amount, "size")?
            };
            Ok::<_, Bad>(timed(quote(instrument, side, at, amount)?, fields.time, now_ns))
        };
        let (bid, ask) = (side(Side::Buy, fields.bid)?, side(Side::Sell, fields.ask)?);
        self.tape.read.push(Read::Quote { index, bid, ask });
        Ok(())
    }

    fn said(&mut self, status: &[u8], text: &[u8], now_ns: i64, out: &mut Output) {
        let words = String::from_utf8_lossy(text).into_owned();
        match status {
            b"connected" => {
                let login = serde_json::json!({"action": "auth", "params": self.tape.secret(0)});
                out.actions.push(Action::Send(login.to_string()));
            }
            b"auth_success" => self.subscribe(out),
            b"success" => self.tape.ready = true, // one for each topic
            b"auth_failed" => {
                let reason = format!("Polygon refuses the key: {words}; POLYGON_API_KEY");
                self.tape.refused(reason, REFUSED_NS, true, out);
            }
            b"not_authorized" => {
                let reason = format!("the plan of this key does not have that: {words}");
                self.tape.refused(reason, REFUSED_NS, true, out);
            }
            b"max_connections" => {
                // whoever came last stays: to come back at once would be to end each other for ever
                let reason = format!("another connection with this key took the place of this one: {words}");
                self.tape.refused(reason, REFUSED_NS, false, out);
            }
            b"auth_timeout" => self.tape.reconnect(cause::LIMIT, words, out),
            b"error" => {
                let topic = words.split(' ').next_back().unwrap_or("");
                let named = topic.split_once('.').map_or("", |(_, symbol)| symbol).to_owned();
                match self.tape.known(named.as_bytes()) {
                    Some(index) => {
                        let note = format!("the venue refused to subscribe '{named}': {words}");
                        self.tape.close(index, note, now_ns, out);
                        self.tape.ready = true;
                    }
                    None => self.tape.note(format!("the venue answered: {words}"), out),
                }
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, out: &mut Output) {
        let names: [(bool, &str); 2] = if self.crypto {
            [
                (self.tape.channels.trades, "XT"),
                (self.tape.channels.quotes, "XQ"),
            ]
        } else {
            [(self.tape.channels.trades, "T"), (self.tape.channels.quotes, "Q")]
        };
        let live = self.tape.live();
        let topics: Vec<String> = live
            .iter()
            .flat_map(|&index| {
                let symbol = &self.tape.markets[index].symbol;
                let on = names.iter().filter(|(on, _)| *on);
                on.map(move |(_, name)| format!("{name}.{symbol}"))
            })
            .collect();
        for batch in topics.chunks(BATCH) {
            let message = serde_json::json!({"action": "subscribe", "params": batch.join(",")});
            out.actions.push(Action::Send(message.to_string()));
        }
    }
}
