//! Coinbase Advanced Trade. <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview>
//!
//! Every message of a connection, of whatever channel, carries `sequence_num`, which rises by one: a jump
//! says that something was lost, though not what, so all books of the connection are fetched again. Trades
//! have ids that rise by one per product, so their loss is exact. Asks are called `offer`. Trades name the
//! maker's side; ours is the aggressor's.

use std::borrow::Cow;

use serde::Deserialize;
use wire::{Decimal, Record, Side, cause, flag};

use crate::api::{
    Action, Channels, Endpoints, Limits, Listing, Output, Pace, Protocol, Session, Subscription, VenueError,
};
use crate::coinbase::aggressor;
use crate::desk::{Desk, Evidence, Lost, Need, Parsed, needing};
use crate::field::{price, quote, salvage, salvage_number, size, timed, traded};
use crate::json::{Bad, Json, rfc3339_ns, whole};

const NAME: &str = "coinbase-advanced";
const S: i64 = 1_000_000_000;
/// Products in one subscribe message.
const BATCH: usize = 100;
/// The venue takes 8 messages a second from an address.
const MESSAGES: Pace = Pace { burst: 2, per_s: 4 };
/// Half of what the venue takes from an address.
const REQUESTS: Pace = Pace { burst: 5, per_s: 5 };
/// A heartbeat comes every second.
const SILENCE_NS: i64 = 5 * S;
/// Messages in a row with old numbers before the connection is given up.
const BEHIND_MAX: u32 = 100;

/// Coinbase Advanced Trade.
pub struct CoinbaseAdvanced;

impl Protocol for CoinbaseAdvanced {
    fn name(&self) -> &'static str {
        NAME
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://advanced-trade-ws.coinbase.com",
            rest: "https://api.coinbase.com/api/v3/brokerage",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: 64 << 20,
            symbols_per_connection: 30,
            messages: MESSAGES,
            requests: REQUESTS,
            connects_per_window: (8, 1),
            silence_ns: SILENCE_NS,
            life_ns: 0,
        }
    }

    fn listing_request(&self) -> String {
        "/market/products?product_type=SPOT".into()
    }

    fn listings(&self, body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        listings(body)
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        Box::new(Connection {
            desk: Desk::new(instruments, channels, SILENCE_NS),
            next: None,
            behind: 0,
            malformed: false,
            trades: Vec::new(),
            levels: Vec::new(),
            changes: Vec::new(),
            quotes: Vec::new(),
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    products: Option<Vec<serde_json::Value>>,
    error: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Product {
    product_id: String,
    base_currency_id: String,
    quote_currency_id: String,
    base_increment: String,
    quote_increment: String,
    price_increment: Option<String>,
    product_type: Option<String>,
    status: String,
    alias: Option<String>,
}

fn listings(body: &[u8]) -> Result<Vec<Listing>, VenueError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| VenueError::malformed(NAME, &error))?;
    let Some(products) = answer.products else {
        let why = answer.message.or(answer.error);
        return Err(VenueError::refused(
            NAME,
            why.as_deref().unwrap_or("no `products`"),
        ));
    };
    let row = |value: serde_json::Value| -> Option<Listing> {
        let product: Product = serde_json::from_value(value).ok()?;
        if product.product_type.is_some_and(|kind| kind != "SPOT") {
            return None;
        }
        let tick = product.price_increment.unwrap_or(product.quote_increment);
        let tick = Decimal::parse(tick.as_bytes()).ok()?.normal();
        let lot = Decimal::parse(product.base_increment.as_bytes()).ok()?.normal();
        Some(Listing {
            // BTC-USDC is BTC-USD's book under another name, and messages print the latter
            symbol: product
                .alias
                .filter(|alias| !alias.is_empty())
                .unwrap_or_else(|| product.product_id.clone()),
            rest_symbol: product.product_id,
            base: product.base_currency_id,
            quote: product.quote_currency_id,
            tick,
            lot,
            price_scale: tick.scale,
            size_scale: lot.scale,
            status: product.status,
        })
    };
    Ok(products.into_iter().filter_map(row).collect())
}

/// What one book event says, besides its levels.
struct Change {
    index: usize,
    snapshot: bool,
    levels: std::ops::Range<usize>,
}

/// One connection.
struct Connection {
    desk: Desk,
    /// Number that the next message must have.
    next: Option<u64>,
    behind: u32,
    /// A message could not be read: the next hole may be it.
    malformed: bool,
    trades: Vec<Parsed>,
    levels: Vec<Record>,
    changes: Vec<Change>,
    quotes: Vec<(usize, Record, Record)>,
}

impl Session for Connection {
    fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.desk.open(now_ns, out);
        self.subscribe_all();
        let live: Vec<usize> = self.desk.live().collect();
        self.desk.asked(&live, now_ns);
        self.desk.flush(now_ns, out);
    }

    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.desk.heard_ns = ts_recv;
        if let Err(bad) = self.read(text, ts_recv, out) {
            self.quarantine(bad, text, ts_recv, out);
        }
    }

    fn response(&mut self, request: u64, status: u16, body: &[u8], now_ns: i64, _out: &mut Output) {
        self.desk.checked(request, status, body, now_ns, newest_trade);
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if self.desk.transport_dead(now_ns, out) {
            return;
        }
        let needs = self.desk.needs(Evidence::Trades, now_ns, out);
        let books = needing(&needs, Need::Book);
        self.again("level2", &books);
        self.desk.asked(&books, now_ns);
        self.again("market_trades", &needing(&needs, Need::Trades));
        self.again("ticker", &needing(&needs, Need::Quotes));
        for index in needing(&needs, Need::LastTrade) {
            let product = &self.desk.markets[index].listing.rest_symbol;
            let path = format!("/market/products/{product}/ticker?limit=1");
            self.desk.check(index, 1, path);
        }
        self.desk.done(needs);
        self.desk.flush(now_ns, out);
    }
}

impl Connection {
    fn ask(&mut self, kind: &str, channel: &str, indices: &[usize]) {
        for batch in indices.chunks(BATCH) {
            let products = self.desk.symbols(batch);
            let message = serde_json::json!({"type": kind, "product_ids": products, "channel": channel});
            self.desk.sends.push(message.to_string());
        }
    }

    fn subscribe_all(&mut self) {
        let live: Vec<usize> = self.desk.live().collect();
        // first, because channels without updates are closed after a minute or so where it is missing
        self.ask("subscribe", "heartbeats", &live);
        let wanted = self.desk.channels;
        for (on, name) in [
            (wanted.trades, "market_trades"),
            (wanted.quotes, "ticker"),
            (wanted.book, "level2"),
        ] {
            if on {
                self.ask("subscribe", name, &live);
            }
        }
    }

    /// Leaves and joins a channel for those that need it.
    fn again(&mut self, name: &str, indices: &[usize]) {
        self.ask("unsubscribe", name, indices);
        self.ask("subscribe", name, indices);
    }

    fn read(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        self.trades.clear();
        self.levels.clear();
        self.changes.clear();
        self.quotes.clear();
        let mut json = Json::checked(text)?;
        let (mut name, mut time, mut number, mut events) = (None, None, None, None);
        let (mut kind, mut error): (Option<&[u8]>, Option<Cow<[u8]>>) = (None, None);
        json.object()?;
        let mut seen = false;
        while let Some(key) = json.key()? {
            match key {
                b"channel" => name = Some(json.raw_string()?),
                b"timestamp" => time = rfc3339_ns(json.raw_string()?),
                b"sequence_num" => number = Some(json.u64("sequence_num")?),
                b"events" => match (name, number) {
                    (Some(name), Some(_)) => {
                        self.events(name, time, &mut json, now_ns, out)?;
                        seen = true;
                    }
                    _ => events = Some(json.passed()?),
                },
                b"type" => kind = Some(json.raw_string()?),
                b"message" if json.next_byte() == Some(b'"') => error = Some(json.string()?),
                _ => json.skip()?,
            }
        }
        json.end()?;
        if kind == Some(b"error") {
            self.refused(&error.unwrap_or_default(), now_ns, out);
            return Ok(());
        }
        let Some(name) = name else { return Ok(()) };
        if let Some(mut events) = events {
            self.events(name, time, &mut events, now_ns, out)?;
            seen = true;
        }
        if !seen && matches!(name, b"l2_data" | b"market_trades" | b"ticker") {
            return Err(Bad::Missing("events"));
        }
        let number = number.ok_or(Bad::Missing("sequence_num"))?;
        if self.in_order(number, now_ns, out) {
            self.take(time, now_ns, out);
        }
        Ok(())
    }

    /// Is this the message that must come next? A jump spoils what it may have carried; an old number is a
    /// repetition.
    fn in_order(&mut self, number: u64, now_ns: i64, out: &mut Output) -> bool {
        let expected = self.next.unwrap_or(number);
        if number < expected {
            self.behind += 1;
            if self.behind == BEHIND_MAX {
                out.actions.push(Action::Reconnect {
                    cause: cause::SEQUENCE_HOLE,
                    reason: format!("sequence_num went back from {expected} to {number} and stays there"),
                });
            }
            return false;
        }
        self.behind = 0;
        self.next = number.checked_add(1);
        if number > expected {
            let why = if self.malformed {
                cause::MALFORMED
            } else {
                cause::SEQUENCE_HOLE
            };
            for market in &mut self.desk.markets {
                market.quotes.lose(market.instrument, why, now_ns, out);
                market
                    .ladder
                    .unreadable_because(market.instrument, why, now_ns, out);
            }
            out.actions.push(Action::Note {
                instrument: 0,
                text: format!("sequence_num jumped from {expected} to {number}: all books are fetched again"),
            });
        }
        self.malformed = false;
        true
    }

    fn events(
        &mut self,
        name: &[u8],
        time: Option<i64>,
        json: &mut Json,
        now_ns: i64,
        out: &mut Output,
    ) -> Result<(), Bad> {
        match name {
            b"l2_data" => self.read_books(json, now_ns, out),
            b"market_trades" => self.read_trades(json, now_ns, out),
            b"ticker" => self.read_tickers(json, time, now_ns, out),
            _ => json.skip(),
        }
    }

    fn read_books(&mut self, json: &mut Json, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let (mut kind, mut product) = (None, None);
            let start = self.levels.len();
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"type" => kind = Some(json.raw_string()?),
                    b"product_id" => product = Some(json.string()?),
                    b"updates" => self.read_levels(json, now_ns)?,
                    _ => json.skip()?,
                }
            }
            let product = product.ok_or(Bad::Missing("product_id"))?;
            let snapshot = match kind.ok_or(Bad::Missing("type"))? {
                b"snapshot" => Some(true),
                b"update" => Some(false),
                _ => None,
            };
            match (self.desk.find(&product), snapshot) {
                (Some(index), Some(snapshot)) => {
                    let instrument = self.desk.markets[index].instrument;
                    for level in &mut self.levels[start..] {
                        level.instrument = instrument;
                    }
                    self.changes.push(Change {
                        index,
                        snapshot,
                        levels: start..self.levels.len(),
                    });
                }
                (None, _) => {
                    self.levels.truncate(start);
                    self.desk.stranger(&product, out);
                }
                (_, None) => self.levels.truncate(start),
            }
        }
        Ok(())
    }

    fn read_levels(&mut self, json: &mut Json, now_ns: i64) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let (mut side, mut at, mut amount, mut time) = (None, None, None, None);
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"side" => {
                        side = Some(match json.raw_string()? {
                            b"bid" => Side::Buy,
                            b"offer" | b"ask" => Side::Sell,
                            _ => return Err(Bad::Field("side")),
                        });
                    }
                    // a time before 1678 is the venue's way to say that it has none
                    b"event_time" => time = rfc3339_ns(json.raw_string()?),
                    b"price_level" => at = Some(price(json.decimal()?)?),
                    b"new_quantity" => amount = Some(size(json.decimal()?)?),
                    _ => json.skip()?,
                }
            }
            let side = side.ok_or(Bad::Missing("side"))?;
            let at = at.ok_or(Bad::Missing("price_level"))?;
            let amount = amount.ok_or(Bad::Missing("new_quantity"))?;
            self.levels
                .push(timed(Record::level(0, side, at, amount), time, now_ns));
        }
        Ok(())
    }

    fn read_trades(&mut self, json: &mut Json, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let mut snapshot = false;
            let start = self.trades.len();
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"type" => snapshot = json.raw_string()? == b"snapshot",
                    b"trades" => {
                        json.array()?;
                        while json.element()? {
                            self.read_trade(json, now_ns, out)?;
                        }
                    }
                    _ => json.skip()?,
                }
            }
            if snapshot {
                for (_, record) in &mut self.trades[start..] {
                    record.flags |= flag::SNAPSHOT;
                }
            }
        }
        Ok(())
    }

    fn read_trade(&mut self, json: &mut Json, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let (mut product, mut side, mut at, mut amount, mut id, mut time) =
            (None, None, None, None, None, None);
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"product_id" => product = Some(json.string()?),
                b"side" => side = Some(aggressor(json.raw_string()?)?),
                b"price" => at = Some(price(json.decimal()?)?),
                b"size" => amount = Some(traded(json.decimal()?)?),
                b"trade_id" => id = Some(json.u64("trade_id")?),
                b"time" => time = Some(rfc3339_ns(json.raw_string()?).ok_or(Bad::Time)?),
                _ => json.skip()?,
            }
        }
        let product = product.ok_or(Bad::Missing("product_id"))?;
        let side = side.ok_or(Bad::Missing("side"))?;
        let at = at.ok_or(Bad::Missing("price"))?;
        let amount = amount.ok_or(Bad::Missing("size"))?;
        let id = id.ok_or(Bad::Missing("trade_id"))?;
        let Some(index) = self.desk.find(&product) else {
            self.desk.stranger(&product, out);
            return Ok(());
        };
        let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
        self.trades.push((index, timed(record, time, now_ns)));
        Ok(())
    }

    fn read_tickers(
        &mut self,
        json: &mut Json,
        time: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            json.object()?;
            while let Some(key) = json.key()? {
                if key != b"tickers" {
                    json.skip()?;
                    continue;
                }
                json.array()?;
                while json.element()? {
                    self.read_ticker(json, time, now_ns, out)?;
                }
            }
        }
        Ok(())
    }

    fn read_ticker(
        &mut self,
        json: &mut Json,
        time: Option<i64>,
        now_ns: i64,
        out: &mut Output,
    ) -> Result<(), Bad> {
        let (mut product, mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None, None);
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"product_id" => product = Some(json.string()?),
                b"best_bid" => bid = Some(json.decimal()?),
                b"best_bid_quantity" => bid_size = Some(json.decimal()?),
                b"best_ask" => ask = Some(json.decimal()?),
                b"best_ask_quantity" => ask_size = Some(json.decimal()?),
                _ => json.skip()?,
            }
        }
        let product = product.ok_or(Bad::Missing("product_id"))?;
        let Some(index) = self.desk.find(&product) else {
            self.desk.stranger(&product, out);
            return Ok(());
        };
        let instrument = self.desk.markets[index].instrument;
        let bid = bid.ok_or(Bad::Missing("best_bid"))?;
        let bid_size = bid_size.ok_or(Bad::Missing("best_bid_quantity"))?;
        let ask = ask.ok_or(Bad::Missing("best_ask"))?;
        let ask_size = ask_size.ok_or(Bad::Missing("best_ask_quantity"))?;
        self.quotes.push((
            index,
            timed(quote(instrument, Side::Buy, bid, bid_size)?, time, now_ns),
            timed(quote(instrument, Side::Sell, ask, ask_size)?, time, now_ns),
        ));
        Ok(())
    }

    /// Emits what was read.
    fn take(&mut self, time: Option<i64>, now_ns: i64, out: &mut Output) {
        self.desk.trades(&mut self.trades, now_ns, out);
        for &(index, bid, ask) in &self.quotes {
            self.desk.quote(index, bid, ask, out);
        }
        for change in &self.changes {
            let levels = &self.levels[change.levels.clone()];
            self.desk
                .uncrossed(change.index, change.snapshot, levels, time, now_ns, out);
        }
    }

    fn refused(&mut self, message: &[u8], now_ns: i64, out: &mut Output) {
        let text = String::from_utf8_lossy(message).into_owned();
        let named = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .find_map(|word| self.desk.find(word.as_bytes()));
        if let Some(index) = named {
            let symbol = &self.desk.markets[index].listing.symbol;
            let note = format!("the venue refused to subscribe '{symbol}': {text}");
            self.desk.close(index, note, now_ns, out);
            return;
        }
        // the answer does not say which message it refused
        if text.to_ascii_lowercase().contains("rate limit") && self.desk.too_many(now_ns) {
            self.subscribe_all();
        }
        out.actions.push(Action::Note {
            instrument: 0,
            text: format!("the venue answered: {text}"),
        });
    }

    /// What may be lost with a message that cannot be read. Where it still shows the number that was due and
    /// its channel, only that channel; else the jump to the next number tells. Trades tell by their ids.
    #[cold]
    fn quarantine(&mut self, bad: Bad, text: &[u8], now_ns: i64, out: &mut Output) {
        let named = salvage(text, "product_id").find_map(|product| self.desk.find(product));
        self.desk.quarantine(bad, named, out);
        let number = salvage_number(text, "sequence_num");
        let due = number.is_some() && number == self.next;
        let name = salvage(text, "channel").next().filter(|_| due);
        if name.is_some() {
            self.next = number.and_then(|number| number.checked_add(1));
        } else {
            self.malformed = true;
        }
        let lost = Lost {
            trades: name.is_none_or(|name| name == b"market_trades"),
            quotes: name == Some(b"ticker"),
            book: name == Some(b"l2_data"),
        };
        // events of several products may share a message, so one name does not acquit the others
        let all: Vec<usize> = self.desk.live().collect();
        self.desk.lose(&all, lost, now_ns, out);
    }
}

/// Newest trade id in the answer of `/market/products/{id}/ticker`.
fn newest_trade(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Trade {
        trade_id: String,
    }
    #[derive(Deserialize)]
    struct Ticker {
        trades: Vec<Trade>,
    }
    let ticker: Ticker = serde_json::from_slice(body).ok()?;
    ticker
        .trades
        .iter()
        .filter_map(|trade| whole(trade.trade_id.as_bytes()))
        .max()
}
