//! Kraken spot, WebSocket API v2. <https://docs.kraken.com/api/docs/websocket-v2/>
//!
//! Book: a CRC-32 over the best ten levels of each side closes every message; a mismatch costs that
//! symbol's book only. Trades: ids rise by one per symbol. Quotes: channel `ticker` at each change of the
//! best bid or offer. Numbers are bare JSON numbers and must stay text: `0.00100000` is eight places.

use std::collections::VecDeque;

use kernels::book::Book;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use wire::{Decimal, Record, Side, cause, channel, status};

use crate::api::{
    Action, Channels, Endpoints, Limits, Listing, Output, Pace, Protocol, Session, Subscription, VenueError,
};
use crate::desk::{Desk, Evidence, Lost, Need, Parsed, Phase, needing};
use crate::field::{price, quote, salvage, size, timed, traded};
use crate::json::{Bad, Json, rfc3339_ns, whole};
use crate::print::Print;

const NAME: &str = "kraken";
const S: i64 = 1_000_000_000;
/// Depths the venue offers.
const DEPTHS: [u16; 5] = [10, 25, 100, 500, 1000];
const DEPTH: u16 = 100;
/// Levels of each side under the checksum.
const CHECKED: usize = 10;
/// What the venue says of a pair it does not have. Any other refusal may pass.
const UNKNOWN: [&str; 4] = [
    "not supported",
    "not in iso 4217",
    "unknown asset pair",
    "invalid asset pair",
];
/// Symbols in one subscribe message.
const BATCH: usize = 100;
/// The venue's limit is dynamic and unpublished.
const MESSAGES: Pace = Pace { burst: 2, per_s: 10 };
/// About one request a second is safe.
const REQUESTS: Pace = Pace { burst: 2, per_s: 1 };
/// With a subscription there is a heartbeat every second.
const SILENCE_NS: i64 = 5 * S;
/// Subscriptions whose answers may still come.
const ASKED: usize = 512;

/// Kraken spot.
pub struct Kraken;

impl Protocol for Kraken {
    fn name(&self) -> &'static str {
        NAME
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://ws.kraken.com/v2",
            rest: "https://api.kraken.com",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: 16 << 20,
            symbols_per_connection: 250,
            messages: MESSAGES,
            requests: REQUESTS,
            connects_per_window: (120, 600),
            silence_ns: SILENCE_NS,
            life_ns: 0,
        }
    }

    fn listing_request(&self) -> String {
        "/0/public/AssetPairs".into()
    }

    fn listings(&self, body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        listings(body)
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        let wanted = if channels.depth == 0 {
            DEPTH
        } else {
            channels.depth
        };
        let depth = DEPTHS
            .into_iter()
            .find(|depth| *depth >= wanted)
            .unwrap_or(DEPTHS[4]);
        Box::new(Connection {
            desk: Desk::new(instruments, channels, SILENCE_NS),
            depth,
            serial: 0,
            asked: VecDeque::new(),
            online: None,
            trades: Vec::new(),
            levels: Vec::new(),
            changes: Vec::new(),
        })
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    error: Vec<String>,
    #[serde(borrow)]
    result: Option<BTreeMap<String, &'a RawValue>>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    wsname: String,
    altname: String,
    pair_decimals: u8,
    lot_decimals: u8,
    #[serde(borrow)]
    tick_size: Option<&'a RawValue>,
    status: Option<String>,
}

fn listings(body: &[u8]) -> Result<Vec<Listing>, VenueError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| VenueError::malformed(NAME, &error))?;
    let Some(pairs) = answer.result.filter(|_| answer.error.is_empty()) else {
        return Err(VenueError::refused(NAME, answer.error.join(", ")));
    };
    let row = |raw: &RawValue| -> Option<Listing> {
        let pair: Pair = serde_json::from_str(raw.get()).ok()?;
        let (base, quote) = pair.wsname.split_once('/')?;
        let (base, quote) = (plain(base), plain(quote));
        if pair.pair_decimals > Decimal::MAX_SCALE || pair.lot_decimals > Decimal::MAX_SCALE {
            return None;
        }
        let tick = pair
            .tick_size
            .and_then(|raw| Decimal::parse(raw.get().trim_matches('"').as_bytes()).ok())
            .unwrap_or(Decimal::new(1, pair.pair_decimals));
        Some(Listing {
            symbol: format!("{base}/{quote}"),
            rest_symbol: pair.altname,
            base: base.into(),
            quote: quote.into(),
            tick,
            lot: Decimal::new(1, pair.lot_decimals),
            price_scale: pair.pair_decimals,
            size_scale: pair.lot_decimals,
            status: pair.status.unwrap_or_else(|| "online".into()),
        })
    };
    // pairs without a `wsname` are not on the WebSocket
    Ok(pairs.into_values().filter_map(row).collect())
}

/// The REST interface still says XBT and XDG where WebSocket v2 says BTC and DOGE.
fn plain(asset: &str) -> &str {
    match asset {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

/// Our channels as the venue calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Trade,
    Book,
    Ticker,
}

impl Topic {
    fn channel(self) -> u8 {
        match self {
            Self::Trade => channel::TRADES,
            Self::Book => channel::BOOK,
            Self::Ticker => channel::QUOTES,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Book => "book",
            Self::Ticker => "ticker",
        }
    }
}

/// A subscribe or unsubscribe whose answers are expected.
struct Asked {
    id: u64,
    topic: Topic,
    indices: Vec<usize>,
}

/// What a book entry says, besides its levels.
struct Change {
    index: usize,
    levels: std::ops::Range<usize>,
    checksum: u64,
    ts_event: Option<i64>,
}

/// One connection.
struct Connection {
    desk: Desk,
    depth: u16,
    serial: u64,
    asked: VecDeque<Asked>,
    /// Whether the venue trades, once it has said so.
    online: Option<bool>,
    trades: Vec<Parsed>,
    levels: Vec<Record>,
    changes: Vec<Change>,
}

/// What a message turned out to be.
enum Message {
    Trades,
    Book {
        snapshot: bool,
    },
    Quotes(Vec<(usize, Record, Record)>),
    Acknowledged {
        id: Option<u64>,
        symbol: Option<usize>,
        error: Option<String>,
        subscribe: bool,
    },
    Status {
        online: bool,
        system: String,
    },
    Other,
}

impl Session for Connection {
    fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.desk.open(now_ns, out);
        let live: Vec<usize> = self.desk.live().collect();
        for batch in live.chunks(BATCH) {
            if self.desk.channels.trades {
                self.ask(true, Topic::Trade, batch.to_vec());
            }
            if self.desk.channels.quotes {
                self.ask(true, Topic::Ticker, batch.to_vec());
            }
            if self.desk.channels.book {
                self.ask(true, Topic::Book, batch.to_vec());
            }
        }
        self.desk.asked(&live, now_ns);
        self.desk.flush(now_ns, out);
    }

    fn message(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) {
        self.desk.heard_ns = ts_recv;
        if self.quick(text, ts_recv, out).is_some() {
            return;
        }
        match self.read(text, ts_recv, out) {
            Ok(message) => self.take(message, ts_recv, out),
            Err(bad) => self.quarantine(bad, text, ts_recv, out),
        }
    }

    fn response(&mut self, request: u64, status: u16, body: &[u8], now_ns: i64, _out: &mut Output) {
        self.desk.checked(request, status, body, now_ns, newest_trade);
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if self.desk.transport_dead(now_ns, out) {
            return;
        }
        if self.desk.ping_due(2 * S, now_ns) {
            self.serial += 1;
            self.desk
                .sends
                .push(format!("{{\"method\":\"ping\",\"req_id\":{}}}", self.serial));
        }
        let needs = self.desk.needs(Evidence::Book, now_ns, out);
        let books = needing(&needs, Need::Book);
        self.again(Topic::Book, &books);
        self.desk.asked(&books, now_ns);
        self.again(Topic::Trade, &needing(&needs, Need::Trades));
        self.again(Topic::Ticker, &needing(&needs, Need::Quotes));
        for index in needing(&needs, Need::LastTrade) {
            let market = &self.desk.markets[index];
            let mut path = format!("/0/public/Trades?pair={}", market.listing.rest_symbol);
            if market.trades.last.is_some() {
                path += &format!("&since={}", market.trades.last_ts);
            }
            self.desk.check(index, 1, path);
        }
        self.desk.done(needs);
        self.desk.flush(now_ns, out);
    }
}

impl Connection {
    /// Queues one subscribe or unsubscribe.
    fn ask(&mut self, subscribe: bool, topic: Topic, indices: Vec<usize>) {
        self.serial += 1;
        let symbols = self.desk.symbols(&indices);
        let mut params = serde_json::json!({"channel": topic.name(), "symbol": symbols});
        match topic {
            Topic::Book => params["depth"] = self.depth.into(),
            Topic::Ticker => params["event_trigger"] = "bbo".into(),
            Topic::Trade => {}
        }
        if subscribe {
            params["snapshot"] = true.into();
        }
        let method = if subscribe { "subscribe" } else { "unsubscribe" };
        let message = serde_json::json!({"method": method, "params": params, "req_id": self.serial});
        self.desk.sends.push(message.to_string());
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked {
            id: self.serial,
            topic,
            indices,
        });
    }

    /// Leaves and joins a channel for those that need it: the venue answers with snapshots.
    fn again(&mut self, topic: Topic, indices: &[usize]) {
        for batch in indices.chunks(BATCH) {
            self.ask(false, topic, batch.to_vec());
            self.ask(true, topic, batch.to_vec());
        }
    }

    /// A single trade or quote as the venue prints it. `None`: neither.
    #[inline]
    fn quick(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Option<()> {
        let mut print = Print::new(text);
        print.literal(b"{\"channel\":\"t")?;
        if print
            .literal(b"icker\",\"type\":\"update\",\"data\":[{\"symbol\":\"")
            .is_some()
        {
            let index = self.desk.find(print.word()?)?;
            print.literal(b",\"bid\":")?;
            let bid = print.positive()?;
            print.literal(b",\"bid_qty\":")?;
            let bid_size = print.positive()?;
            print.literal(b",\"ask\":")?;
            let ask = print.positive()?;
            print.literal(b",\"ask_qty\":")?;
            let ask_size = print.positive()?;
            // the 24-hour figures are numbers too; what they are does not matter here
            for name in [
                &b",\"last\":"[..],
                b",\"volume\":",
                b",\"vwap\":",
                b",\"low\":",
                b",\"high\":",
            ] {
                print.literal(name)?;
                print.positive()?;
            }
            for name in [&b",\"change\":"[..], b",\"change_pct\":"] {
                print.literal(name)?;
                let _ = print.literal(b"-");
                print.number()?;
            }
            print.literal(b",\"timestamp\":\"")?;
            let time = print.time()?;
            print.literal(b"}]}")?;
            print.end()?;
            let instrument = self.desk.markets[index].instrument;
            let side = |side, at, amount| Record::quote(instrument, side, at, amount).at(time, now_ns);
            let (bid, ask) = (side(Side::Buy, bid, bid_size), side(Side::Sell, ask, ask_size));
            self.desk.quote(index, bid, ask, out);
            return Some(());
        }
        print.literal(b"rade\",\"type\":\"update\",\"data\":[{\"symbol\":\"")?;
        let index = self.desk.find(print.word()?)?;
        print.literal(b",\"side\":\"")?;
        let side = taker(print.word()?).ok()?;
        print.literal(b",\"price\":")?;
        let at = print.positive()?;
        print.literal(b",\"qty\":")?;
        let amount = print.positive()?;
        print.literal(b",\"ord_type\":\"")?;
        print.word()?;
        print.literal(b",\"trade_id\":")?;
        let id = print.whole()?;
        print.literal(b",\"timestamp\":\"")?;
        let time = print.time()?;
        print.literal(b"}]}")?;
        print.end()?;
        let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
        self.desk.trade(index, record.at(time, now_ns), out);
        Some(())
    }

    fn read(&mut self, text: &[u8], ts_recv: i64, out: &mut Output) -> Result<Message, Bad> {
        self.trades.clear();
        self.levels.clear();
        self.changes.clear();
        let mut json = Json::checked(text)?;
        let (mut name, mut kind, mut data): (Option<&[u8]>, Option<&[u8]>, _) = (None, None, None);
        let (mut method, mut id, mut error, mut symbol, mut success) = (None, None, None, None, None);
        json.object()?;
        let mut message = None;
        while let Some(key) = json.key()? {
            match key {
                b"channel" => name = Some(json.raw_string()?),
                b"type" => kind = Some(json.raw_string()?),
                b"data" => {
                    if let (Some(name), Some(kind)) = (name, kind) {
                        message = Some(self.data(name, kind, &mut json, ts_recv, out)?);
                    } else {
                        data = Some(json.clone());
                        json.skip()?;
                    }
                }
                b"method" => method = Some(json.raw_string()?),
                b"req_id" => id = whole(json.scalar()?),
                b"error" | b"Error" | b"errorMessage" => error = Some(json.string()?),
                b"symbol" => symbol = Some(json.string()?),
                b"success" => success = Some(json.bool()?),
                b"result" if symbol.is_none() => symbol = result_symbol(&mut json)?,
                _ => json.skip()?,
            }
        }
        json.end()?;
        if let Some(message) = message {
            return Ok(message);
        }
        if let (Some(name), Some(kind), Some(mut data)) = (name, kind, data) {
            return self.data(name, kind, &mut data, ts_recv, out);
        }
        let known = matches!(name, Some(b"trade" | b"book" | b"ticker"));
        if known {
            return Err(Bad::Missing(if kind.is_none() { "type" } else { "data" }));
        }
        if error.is_some() || success.is_some() {
            let failed = success != Some(true);
            return Ok(Message::Acknowledged {
                id,
                symbol: symbol.and_then(|symbol| self.desk.find(&symbol)),
                error: failed.then(|| {
                    error.map_or_else(String::new, |text| String::from_utf8_lossy(&text).into_owned())
                }),
                subscribe: method == Some(b"subscribe"),
            });
        }
        Ok(Message::Other)
    }

    fn data(
        &mut self,
        name: &[u8],
        kind: &[u8],
        json: &mut Json,
        ts_recv: i64,
        out: &mut Output,
    ) -> Result<Message, Bad> {
        let snapshot = match kind {
            b"snapshot" => true,
            b"update" => false,
            _ => {
                json.skip()?;
                return Ok(Message::Other);
            }
        };
        match name {
            b"trade" => {
                self.read_trades(json, snapshot, ts_recv, out)?;
                Ok(Message::Trades)
            }
            b"book" => {
                self.read_book(json, ts_recv, out)?;
                Ok(Message::Book { snapshot })
            }
            b"ticker" => Ok(Message::Quotes(self.read_quotes(json, ts_recv, out)?)),
            b"status" => read_status(json),
            _ => {
                json.skip()?;
                Ok(Message::Other)
            }
        }
    }

    fn read_trades(
        &mut self,
        json: &mut Json,
        snapshot: bool,
        ts_recv: i64,
        out: &mut Output,
    ) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let (mut symbol, mut side, mut at, mut amount, mut id, mut time) =
                (None, None, None, None, None, None);
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"symbol" => symbol = Some(json.string()?),
                    b"side" => side = Some(taker(json.raw_string()?)?),
                    b"price" => at = Some(price(json.decimal()?)?),
                    b"qty" => amount = Some(traded(json.decimal()?)?),
                    b"trade_id" => id = Some(json.u64("trade_id")?),
                    b"timestamp" => time = Some(rfc3339_ns(json.raw_string()?).ok_or(Bad::Time)?),
                    _ => json.skip()?,
                }
            }
            let symbol = symbol.ok_or(Bad::Missing("symbol"))?;
            let side = side.ok_or(Bad::Missing("side"))?;
            let at = at.ok_or(Bad::Missing("price"))?;
            let amount = amount.ok_or(Bad::Missing("qty"))?;
            let id = id.ok_or(Bad::Missing("trade_id"))?;
            let Some(index) = self.desk.find(&symbol) else {
                self.desk.stranger(&symbol, out);
                continue;
            };
            let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
            let record = if snapshot {
                record.with(wire::flag::SNAPSHOT)
            } else {
                record
            };
            self.trades.push((index, timed(record, time, ts_recv)));
        }
        Ok(())
    }

    fn read_book(&mut self, json: &mut Json, ts_recv: i64, out: &mut Output) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let (mut symbol, mut checksum, mut ts_event) = (None, None, None);
            let start = self.levels.len();
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"symbol" => symbol = Some(json.string()?),
                    b"bids" => self.read_levels(json, Side::Buy)?,
                    b"asks" => self.read_levels(json, Side::Sell)?,
                    b"checksum" => checksum = Some(json.u64("checksum")?),
                    b"timestamp" => ts_event = Some(rfc3339_ns(json.raw_string()?).ok_or(Bad::Time)?),
                    _ => json.skip()?,
                }
            }
            let symbol = symbol.ok_or(Bad::Missing("symbol"))?;
            let checksum = checksum.ok_or(Bad::Missing("checksum"))?;
            let Some(index) = self.desk.find(&symbol) else {
                self.levels.truncate(start);
                self.desk.stranger(&symbol, out);
                continue;
            };
            let instrument = self.desk.markets[index].instrument;
            for level in &mut self.levels[start..] {
                level.instrument = instrument;
                *level = timed(*level, ts_event, ts_recv);
            }
            self.changes.push(Change {
                index,
                levels: start..self.levels.len(),
                checksum,
                ts_event,
            });
        }
        Ok(())
    }

    fn read_levels(&mut self, json: &mut Json, side: Side) -> Result<(), Bad> {
        json.array()?;
        while json.element()? {
            let (mut at, mut amount) = (None, None);
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"price" => at = Some(price(json.decimal()?)?),
                    b"qty" => amount = Some(size(json.decimal()?)?),
                    _ => json.skip()?,
                }
            }
            let at = at.ok_or(Bad::Missing("price"))?;
            let amount = amount.ok_or(Bad::Missing("qty"))?;
            self.levels.push(Record::level(0, side, at, amount));
        }
        Ok(())
    }

    fn read_quotes(
        &mut self,
        json: &mut Json,
        ts_recv: i64,
        out: &mut Output,
    ) -> Result<Vec<(usize, Record, Record)>, Bad> {
        let mut quotes = Vec::with_capacity(1);
        json.array()?;
        while json.element()? {
            let (mut symbol, mut time) = (None, None);
            let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
            json.object()?;
            while let Some(key) = json.key()? {
                match key {
                    b"symbol" => symbol = Some(json.string()?),
                    b"bid" => bid = Some(json.decimal()?),
                    b"bid_qty" => bid_size = Some(json.decimal()?),
                    b"ask" => ask = Some(json.decimal()?),
                    b"ask_qty" => ask_size = Some(json.decimal()?),
                    b"timestamp" => time = Some(rfc3339_ns(json.raw_string()?).ok_or(Bad::Time)?),
                    _ => json.skip()?,
                }
            }
            let symbol = symbol.ok_or(Bad::Missing("symbol"))?;
            let Some(index) = self.desk.find(&symbol) else {
                self.desk.stranger(&symbol, out);
                continue;
            };
            let instrument = self.desk.markets[index].instrument;
            let bid = bid.ok_or(Bad::Missing("bid"))?;
            let bid_size = bid_size.ok_or(Bad::Missing("bid_qty"))?;
            let ask = ask.ok_or(Bad::Missing("ask"))?;
            let ask_size = ask_size.ok_or(Bad::Missing("ask_qty"))?;
            quotes.push((
                index,
                timed(quote(instrument, Side::Buy, bid, bid_size)?, time, ts_recv),
                timed(quote(instrument, Side::Sell, ask, ask_size)?, time, ts_recv),
            ));
        }
        Ok(quotes)
    }

    fn take(&mut self, message: Message, now_ns: i64, out: &mut Output) {
        match message {
            Message::Trades => self.desk.trades(&mut self.trades, now_ns, out),
            Message::Book { snapshot } => {
                let changes = std::mem::take(&mut self.changes);
                for change in &changes {
                    self.take_book(snapshot, change, now_ns, out);
                }
                self.changes = changes; // its room is used again
            }
            Message::Quotes(quotes) => {
                for (index, bid, ask) in quotes {
                    self.desk.quote(index, bid, ask, out);
                }
            }
            Message::Acknowledged {
                id,
                symbol,
                error,
                subscribe,
            } => self.take_ack(id, symbol, error, subscribe, now_ns, out),
            Message::Status { online, system } => {
                if self.online != Some(online) {
                    self.online = Some(online);
                    let code = if online { status::RESUMED } else { status::HALTED };
                    out.records
                        .push(Record::status(0, channel::ALL, code).at(now_ns, now_ns));
                    out.actions.push(Action::Note {
                        instrument: 0,
                        text: format!("the venue's system is {system}"),
                    });
                }
            }
            Message::Other => {}
        }
    }

    fn take_book(&mut self, snapshot: bool, change: &Change, now_ns: i64, out: &mut Output) {
        let levels = &self.levels[change.levels.clone()];
        if !snapshot {
            let wrong = |book: &Book, listing: &Listing| {
                let scales = (listing.price_scale, listing.size_scale);
                (checksum(book, scales) != change.checksum).then_some(cause::CHECKSUM)
            };
            self.desk
                .levels(change.index, levels, usize::from(self.depth), now_ns, out, wrong);
            return;
        }
        let market = &mut self.desk.markets[change.index];
        if market.ladder.phase == Phase::Off {
            return;
        }
        let mut book = Book::new();
        for level in levels {
            book.set(level.side(), level.price(), level.size(), level.ts_event);
        }
        let listing = &mut market.listing;
        let scales = (listing.price_scale, listing.size_scale);
        // the table may be older than a change of the venue's precision: what is printed shows the new one
        let printed = (
            levels.iter().map(|level| level.price_scale).max().unwrap_or(0),
            levels.iter().map(|level| level.size_scale).max().unwrap_or(0),
        );
        if checksum(&book, scales) != change.checksum && checksum(&book, printed) == change.checksum {
            (listing.price_scale, listing.size_scale) = printed;
            out.actions.push(Action::Note {
                instrument: market.instrument,
                text: format!(
                    "'{}' has {} and {} decimal places of price and size now, not {} and {}",
                    listing.symbol, printed.0, printed.1, scales.0, scales.1
                ),
            });
        }
        if checksum(&book, (listing.price_scale, listing.size_scale)) == change.checksum {
            market
                .ladder
                .snapshot(market.instrument, levels, change.ts_event, now_ns, out);
        } else {
            market
                .ladder
                .reject(market.instrument, cause::CHECKSUM, now_ns, out);
        }
    }

    fn take_ack(
        &mut self,
        id: Option<u64>,
        symbol: Option<usize>,
        error: Option<String>,
        subscribe: bool,
        now_ns: i64,
        out: &mut Output,
    ) {
        let Some(error) = error else { return };
        let asked = id.and_then(|id| self.asked.iter().find(|asked| asked.id == id));
        let topic = asked.map(|asked| asked.topic);
        let indices = match (symbol, asked) {
            (Some(index), _) => vec![index],
            (None, Some(asked)) => asked.indices.clone(),
            (None, None) => Vec::new(),
        };
        let lower = error.to_ascii_lowercase();
        if lower.contains("rate") {
            self.desk.too_many(now_ns);
        }
        if subscribe && UNKNOWN.iter().any(|word| lower.contains(word)) {
            for index in indices {
                let symbol = &self.desk.markets[index].listing.symbol;
                let text = format!("the venue refused to subscribe '{symbol}': {error}");
                self.desk.close(index, text, now_ns, out);
            }
            return;
        }
        if let (Some(topic), true) = (topic, subscribe) {
            let joined = lower.contains("already subscribed");
            for index in indices {
                match topic {
                    Topic::Trade | Topic::Ticker if joined => {}
                    Topic::Book if joined && self.desk.markets[index].ladder.valid() => {}
                    Topic::Book if joined => self.desk.markets[index].ladder.refused(now_ns),
                    _ => self.desk.refused(index, topic.channel(), now_ns, out),
                }
            }
        }
        out.actions.push(Action::Note {
            instrument: 0,
            text: format!("the venue answered: {error}"),
        });
    }

    /// What may be lost with a message that cannot be read. A lost trade shows in the next trade's id,
    /// exactly; a lost level may stay below the ten that the checksum covers, so the book is fetched again.
    #[cold]
    fn quarantine(&mut self, bad: Bad, text: &[u8], now_ns: i64, out: &mut Output) {
        let named: Vec<usize> = salvage(text, "symbol")
            .filter_map(|symbol| self.desk.find(symbol))
            .collect();
        self.desk.quarantine(bad, named.first().copied(), out);
        let topic = salvage(text, "channel").next();
        let may_be = |topic_name: &[u8]| topic.is_none_or(|topic| topic == topic_name);
        let lost = Lost {
            trades: may_be(b"trade"),
            quotes: may_be(b"ticker"),
            book: may_be(b"book"),
        };
        let indices = if named.is_empty() {
            self.desk.live().collect()
        } else {
            named
        };
        self.desk.lose(&indices, lost, now_ns, out);
    }
}

fn taker(text: &[u8]) -> Result<Side, Bad> {
    match text {
        b"buy" => Ok(Side::Buy),
        b"sell" => Ok(Side::Sell),
        _ => Err(Bad::Field("side")),
    }
}

fn read_status(json: &mut Json) -> Result<Message, Bad> {
    let mut system = None;
    json.array()?;
    while json.element()? {
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"system" => system = Some(String::from_utf8_lossy(json.raw_string()?).into_owned()),
                _ => json.skip()?,
            }
        }
    }
    Ok(system.map_or(Message::Other, |system| Message::Status {
        online: system == "online",
        system,
    }))
}

fn result_symbol<'a>(json: &mut Json<'a>) -> Result<Option<std::borrow::Cow<'a, [u8]>>, Bad> {
    let mut symbol = None;
    if json.next_byte() != Some(b'{') {
        json.skip()?;
        return Ok(None);
    }
    json.object()?;
    while let Some(key) = json.key()? {
        match key {
            b"symbol" if json.next_byte() == Some(b'"') => symbol = Some(json.string()?),
            _ => json.skip()?,
        }
    }
    Ok(symbol)
}

/// Newest trade id in the answer of `/0/public/Trades`: the seventh field of each row.
fn newest_trade(body: &[u8]) -> Option<u64> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let mut newest = None;
    for (name, raw) in answer.result? {
        if name == "last" {
            continue;
        }
        let rows: Vec<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok()?;
        for row in rows {
            newest = newest.max(row.get(6).and_then(|id| whole(id.get().as_bytes())));
        }
    }
    newest
}

/// CRC-32 over the best ten asks, then bids: price and size with these decimal places, without point and
/// leading zeros, which is exactly the mantissa at that scale.
fn checksum(book: &Book, (price_scale, size_scale): (u8, u8)) -> u64 {
    let mut text = Digits::new();
    let mut add = |(at, amount, _): (Decimal, Decimal, i64)| {
        text.push(at.rescale(price_scale).unwrap_or(at).mantissa);
        text.push(amount.rescale(size_scale).unwrap_or(amount).mantissa);
    };
    book.asks().take(CHECKED).for_each(&mut add);
    book.bids().take(CHECKED).for_each(&mut add);
    u64::from(crc32fast::hash(text.as_bytes()))
}

/// "00" to "99".
const PAIRS: [u8; 200] = {
    let mut pairs = [0u8; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// Room for the text under the checksum: 2 sides × 10 levels × 2 numbers × 19 digits.
struct Digits {
    bytes: [u8; 4 * CHECKED * 19],
    used: usize,
}

impl Digits {
    fn new() -> Self {
        Self {
            bytes: [0; 4 * CHECKED * 19],
            used: 0,
        }
    }

    #[inline]
    fn push(&mut self, value: i64) {
        let mut rest = value.unsigned_abs();
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        // two digits a step: this runs forty times a message
        while rest >= 10 {
            let pair = (rest % 100) as usize * 2;
            rest /= 100;
            at -= 2;
            digits[at] = PAIRS[pair];
            digits[at + 1] = PAIRS[pair + 1];
        }
        if rest > 0 {
            at -= 1;
            digits[at] = b'0' + rest as u8;
        }
        let text = &digits[at..];
        self.bytes[self.used..self.used + text.len()].copy_from_slice(text);
        self.used += text.len();
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}
