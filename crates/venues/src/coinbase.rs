//! Coinbase Exchange. <https://docs.cdp.coinbase.com/exchange/websocket-feed/overview>
//!
//! Trades: ids rise by one per product, and a heartbeat every second names the newest one. Book:
//! `level2_batch`, which has neither sequence nor checksum; what proves it wrong is a crossed book. Quotes:
//! `ticker`, at each trade. Trades name the maker's side; ours is the aggressor's.

use std::borrow::Cow;

use serde::Deserialize;
use wire::{Decimal, Record, Side, flag};

use crate::api::{
    Action, Channels, Endpoints, Limits, Listing, Output, Pace, Protocol, Session, Subscription, VenueError,
};
use crate::desk::{Desk, Evidence, Lost, Need, needing};
use crate::field::{id, number, price, quote, read_side, salvage, size, timed, traded};
use crate::json::{Bad, Json, rfc3339_ns, whole};
use crate::print::Print;

const NAME: &str = "coinbase";
const S: i64 = 1_000_000_000;
/// Products in one subscribe message.
const BATCH: usize = 100;
/// The venue takes 100 messages a second from an address.
const MESSAGES: Pace = Pace { burst: 2, per_s: 20 };
/// Half of what the venue takes from an address.
const REQUESTS: Pace = Pace { burst: 5, per_s: 5 };
/// Each product has a heartbeat a second.
const SILENCE_NS: i64 = 5 * S;
/// Without a heartbeat for so long, a quiet product is subscribed again.
const HEARTBEAT_NS: i64 = 10 * S;

/// Coinbase Exchange.
pub struct Coinbase;

impl Protocol for Coinbase {
    fn name(&self) -> &'static str {
        NAME
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://ws-feed.exchange.coinbase.com",
            rest: "https://api.exchange.coinbase.com",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: 64 << 20,
            symbols_per_connection: 100,
            messages: MESSAGES,
            requests: REQUESTS,
            connects_per_window: (8, 1),
            silence_ns: SILENCE_NS,
            life_ns: 0,
        }
    }

    fn listing_request(&self) -> String {
        "/products".into()
    }

    fn listings(&self, body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        listings(body)
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        Box::new(Connection {
            desk: Desk::new(instruments, channels, SILENCE_NS),
            facts: vec![Facts::default(); instruments.len()],
            levels: Vec::new(),
        })
    }
}

#[derive(Deserialize)]
struct Product {
    id: String,
    base_currency: String,
    quote_currency: String,
    quote_increment: String,
    base_increment: String,
    status: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

fn listings(body: &[u8]) -> Result<Vec<Listing>, VenueError> {
    let rows: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => VenueError::refused(NAME, refusal.message),
            Err(_) => VenueError::malformed(NAME, &error),
        })?;
    let row = |value: serde_json::Value| -> Option<Listing> {
        let product: Product = serde_json::from_value(value).ok()?;
        let tick = Decimal::parse(product.quote_increment.as_bytes()).ok()?.normal();
        let lot = Decimal::parse(product.base_increment.as_bytes()).ok()?.normal();
        Some(Listing {
            symbol: product.id.clone(),
            rest_symbol: product.id,
            base: product.base_currency,
            quote: product.quote_currency,
            tick,
            lot,
            price_scale: tick.scale,
            size_scale: lot.scale,
            status: product.status,
        })
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// The side that crossed, from the side that was resting.
pub(crate) fn aggressor(maker: &[u8]) -> Result<Side, Bad> {
    match maker {
        b"buy" | b"BUY" => Ok(Side::Sell),
        b"sell" | b"SELL" => Ok(Side::Buy),
        _ => Err(Bad::Field("side")),
    }
}

/// What only this venue tells of a product.
#[derive(Clone, Default)]
struct Facts {
    /// The product's sequence at its newest ticker: an older one comes late and is dropped.
    ticker: u64,
    heartbeat_ns: i64,
}

/// One connection.
struct Connection {
    desk: Desk,
    facts: Vec<Facts>,
    levels: Vec<Record>,
}

/// The fields of a message as printed; which of them matter its type says.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a [u8]>,
    product: Option<Cow<'a, [u8]>>,
    trade_id: Option<&'a [u8]>,
    last_trade_id: Option<&'a [u8]>,
    sequence: Option<&'a [u8]>,
    side: Option<&'a [u8]>,
    price: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    best: [Option<&'a [u8]>; 4],
    message: Option<Cow<'a, [u8]>>,
    reason: Option<Cow<'a, [u8]>>,
    /// Where levels stand, until the type is known: bids, asks, changes.
    levels: [Option<Json<'a>>; 3],
}

impl<'a> Fields<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Bad> {
        let mut json = Json::checked(text)?;
        let mut fields = Fields::default();
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"type" => fields.kind = Some(json.raw_string()?),
                b"product_id" => fields.product = Some(json.string()?),
                b"trade_id" => fields.trade_id = Some(json.checked_scalar()?),
                b"last_trade_id" => fields.last_trade_id = Some(json.checked_scalar()?),
                b"sequence" => fields.sequence = Some(json.checked_scalar()?),
                b"side" => fields.side = Some(json.checked_scalar()?),
                b"price" => fields.price = Some(json.checked_scalar()?),
                b"size" => fields.size = Some(json.checked_scalar()?),
                b"time" => fields.time = Some(json.checked_scalar()?),
                b"best_bid" => fields.best[0] = Some(json.checked_scalar()?),
                b"best_bid_size" => fields.best[1] = Some(json.checked_scalar()?),
                b"best_ask" => fields.best[2] = Some(json.checked_scalar()?),
                b"best_ask_size" => fields.best[3] = Some(json.checked_scalar()?),
                b"message" if json.next_byte() == Some(b'"') => fields.message = Some(json.string()?),
                b"reason" if json.next_byte() == Some(b'"') => fields.reason = Some(json.string()?),
                b"bids" => fields.levels[0] = Some(json.passed()?),
                b"asks" => fields.levels[1] = Some(json.passed()?),
                b"changes" => fields.levels[2] = Some(json.passed()?),
                _ => json.skip()?,
            }
        }
        json.end()?;
        Ok(fields)
    }

    fn time(&self) -> Result<Option<i64>, Bad> {
        self.time
            .map(|text| rfc3339_ns(text).ok_or(Bad::Time))
            .transpose()
    }
}

impl Session for Connection {
    fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.desk.open(now_ns, out);
        self.subscribe_all();
        let live: Vec<usize> = self.desk.live().collect();
        self.desk.asked(&live, now_ns);
        for facts in &mut self.facts {
            facts.heartbeat_ns = now_ns;
        }
        self.desk.flush(now_ns, out);
    }

    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.desk.heard_ns = ts_recv;
        if self.quick(text, ts_recv, out).is_some() {
            return;
        }
        if let Err(bad) = self.read(text, ts_recv, out) {
            self.quarantine(bad, text, ts_recv, out);
        }
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if self.desk.transport_dead(now_ns, out) {
            return;
        }
        let needs = self.desk.needs(Evidence::Trades, now_ns, out);
        let books = needing(&needs, Need::Book);
        self.again("level2_batch", &books);
        self.desk.asked(&books, now_ns);
        self.again("matches", &needing(&needs, Need::Trades));
        self.again("ticker", &needing(&needs, Need::Quotes));
        for index in needing(&needs, Need::LastTrade) {
            // the heartbeats name the newest trade; if they are mute too, both are asked for again
            self.desk.markets[index].trades.checking = false;
            if now_ns - self.facts[index].heartbeat_ns > HEARTBEAT_NS {
                self.again("heartbeat", &[index]);
                self.again("matches", &[index]);
            }
        }
        self.desk.done(needs);
        self.desk.flush(now_ns, out);
    }
}

impl Connection {
    fn ask(&mut self, kind: &str, channels: &[&str], indices: &[usize]) {
        for batch in indices.chunks(BATCH) {
            let products = self.desk.symbols(batch);
            let message = serde_json::json!({"type": kind, "product_ids": products, "channels": channels});
            self.desk.sends.push(message.to_string());
        }
    }

    fn subscribe_all(&mut self) {
        let mut channels = vec!["heartbeat"];
        let wanted = self.desk.channels;
        for (on, name) in [
            (wanted.trades, "matches"),
            (wanted.quotes, "ticker"),
            (wanted.book, "level2_batch"),
        ] {
            if on {
                channels.push(name);
            }
        }
        let live: Vec<usize> = self.desk.live().collect();
        self.ask("subscribe", &channels, &live);
    }

    /// Leaves and joins a channel for those that need it.
    fn again(&mut self, name: &str, indices: &[usize]) {
        self.ask("unsubscribe", &[name], indices);
        self.ask("subscribe", &[name], indices);
    }

    /// A trade as the venue prints it. `None`: not one.
    #[inline]
    fn quick(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Option<()> {
        let mut print = Print::new(text);
        print.literal(b"{\"type\":\"match\",\"trade_id\":")?;
        let id = print.whole()?;
        print.literal(b",\"maker_order_id\":\"")?;
        print.word()?;
        print.literal(b",\"taker_order_id\":\"")?;
        print.word()?;
        print.literal(b",\"side\":\"")?;
        let side = aggressor(print.word()?).ok()?;
        print.literal(b",\"size\":\"")?;
        let amount = print.positive()?;
        print.literal(b"\",\"price\":\"")?;
        let at = print.positive()?;
        print.literal(b"\",\"product_id\":\"")?;
        let index = self.desk.find(print.word()?)?;
        print.literal(b",\"sequence\":")?;
        print.whole()?;
        print.literal(b",\"time\":\"")?;
        let time = print.time()?;
        print.literal(b"}")?;
        print.end()?;
        let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
        self.desk.trade(index, record.at(time, now_ns), out);
        Some(())
    }

    fn read(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let mut fields = Fields::read(text)?;
        let kind = fields.kind.ok_or(Bad::Missing("type"))?;
        if !matches!(
            kind,
            b"match" | b"last_match" | b"ticker" | b"heartbeat" | b"l2update" | b"snapshot"
        ) {
            if kind == b"error" {
                self.refused(&fields, now_ns, out);
            }
            return Ok(());
        }
        let product = fields.product.take().ok_or(Bad::Missing("product_id"))?;
        let Some(index) = self.desk.find(&product) else {
            self.desk.stranger(&product, out);
            return Ok(());
        };
        match kind {
            b"match" | b"last_match" => {
                let side = aggressor(fields.side.ok_or(Bad::Missing("side"))?)?;
                let at = price(number(fields.price, "price")?)?;
                let amount = traded(number(fields.size, "size")?)?;
                let id = id(fields.trade_id, "trade_id")?;
                let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
                let record = if kind == b"match" {
                    record
                } else {
                    record.with(flag::SNAPSHOT)
                };
                self.desk.trade(index, timed(record, fields.time()?, now_ns), out);
            }
            b"ticker" => self.ticker(index, &fields, now_ns, out)?,
            b"heartbeat" => {
                let id = id(fields.last_trade_id, "last_trade_id")?;
                self.facts[index].heartbeat_ns = now_ns;
                self.desk.markets[index].trades.named(id, now_ns);
            }
            b"l2update" => {
                let time = fields.time()?;
                let changes = fields.levels[2].take().ok_or(Bad::Missing("changes"))?;
                self.levels.clear();
                self.changes(changes, index, time, now_ns)?;
                self.desk.uncrossed(index, false, &self.levels, time, now_ns, out);
            }
            _ => {
                let time = fields.time()?;
                let bids = fields.levels[0].take().ok_or(Bad::Missing("bids"))?;
                let asks = fields.levels[1].take().ok_or(Bad::Missing("asks"))?;
                let instrument = self.desk.markets[index].instrument;
                self.levels.clear();
                read_side(bids, Side::Buy, instrument, &mut self.levels)?;
                read_side(asks, Side::Sell, instrument, &mut self.levels)?;
                for level in &mut self.levels {
                    *level = timed(*level, time, now_ns);
                }
                self.desk.uncrossed(index, true, &self.levels, time, now_ns, out);
            }
        }
        Ok(())
    }

    fn ticker(&mut self, index: usize, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let time = fields.time()?;
        let [bid, bid_size, ask, ask_size] = fields.best;
        let instrument = self.desk.markets[index].instrument;
        let (bid, bid_size) = (number(bid, "best_bid")?, number(bid_size, "best_bid_size")?);
        let (ask, ask_size) = (number(ask, "best_ask")?, number(ask_size, "best_ask_size")?);
        let bid = timed(quote(instrument, Side::Buy, bid, bid_size)?, time, now_ns);
        let ask = timed(quote(instrument, Side::Sell, ask, ask_size)?, time, now_ns);
        let sequence = fields.sequence.and_then(whole).unwrap_or(0);
        if sequence == 0 || sequence > self.facts[index].ticker {
            self.facts[index].ticker = sequence;
            self.desk.quote(index, bid, ask, out);
        }
        Ok(())
    }

    /// `[["buy", price, size], …]`
    fn changes(&mut self, mut json: Json, index: usize, time: Option<i64>, now_ns: i64) -> Result<(), Bad> {
        let instrument = self.desk.markets[index].instrument;
        json.array()?;
        while json.element()? {
            json.array()?;
            let side = match json.first_string("side")? {
                b"buy" => Side::Buy,
                b"sell" => Side::Sell,
                _ => return Err(Bad::Field("side")),
            };
            let (at, amount) = json.pair_rest()?;
            let record = Record::level(instrument, side, price(at)?, size(amount)?);
            self.levels.push(timed(record, time, now_ns));
        }
        Ok(())
    }

    /// An error message. One bad product costs its whole subscribe message, so the others ask again.
    fn refused(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) {
        let text = |part: &Option<Cow<[u8]>>| {
            part.as_ref()
                .map_or(String::new(), |text| String::from_utf8_lossy(text).into())
        };
        let (message, reason) = (text(&fields.message), text(&fields.reason));
        let all = format!("{message}: {reason}");
        let named = reason
            .split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | ',' | '.'))
            .chain(message.split_whitespace())
            .find_map(|word| self.desk.find(word.as_bytes()));
        if let Some(index) = named {
            let symbol = &self.desk.markets[index].listing.symbol;
            let note = format!("the venue refused to subscribe '{symbol}': {all}");
            if !self.desk.markets[index].closed {
                self.desk.close(index, note, now_ns, out);
                self.subscribe_all();
            }
            return;
        }
        if all.to_ascii_lowercase().contains("rate limit") && self.desk.too_many(now_ns) {
            self.subscribe_all();
        }
        out.actions.push(Action::Note {
            instrument: 0,
            text: format!("the venue answered: {all}"),
        });
    }

    /// What may be lost with a message that cannot be read. A lost trade shows in the next trade's id or
    /// heartbeat, exactly; a lost level would never show, so the book is fetched again.
    #[cold]
    fn quarantine(&mut self, bad: Bad, text: &[u8], now_ns: i64, out: &mut Output) {
        let named = salvage(text, "product_id").find_map(|product| self.desk.find(product));
        self.desk.quarantine(bad, named, out);
        let kind = salvage(text, "type").next();
        let may_be = |names: &[&[u8]]| kind.is_none_or(|kind| names.contains(&kind));
        let lost = Lost {
            trades: may_be(&[b"match", b"last_match"]),
            quotes: may_be(&[b"ticker"]),
            book: may_be(&[b"l2update", b"snapshot"]),
        };
        let indices: Vec<usize> = named.map_or_else(|| self.desk.live().collect(), |index| vec![index]);
        self.desk.lose(&indices, lost, now_ns, out);
    }
}
