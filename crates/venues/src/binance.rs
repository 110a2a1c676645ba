//! Binance spot. <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>
//!
//! Trades: ids rise by one per symbol. Book: `depth@100ms` events name the first and last update they hold,
//! and are applied to a REST snapshot by the venue's own rule; each event must follow the one before. Quotes:
//! `bookTicker`, which has no time. There is no heartbeat: a quiet connection is asked for its subscriptions.

use std::borrow::Cow;

use kernels::book::Book;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::{Decimal, Record, Side, cause, flag};

use crate::api::{
    Action, Channels, Endpoints, Limits, Listing, Output, Pace, Protocol, Session, Subscription, VenueError,
};
use crate::desk::{Desk, Evidence, Lost, Need, Phase, crossed};
use crate::field::{id, number, price, quote, read_side, salvage, timed, traded};
use crate::json::{Bad, Json, epoch_ns, whole};
use crate::print::Print;

const NAME: &str = "binance";
const S: i64 = 1_000_000_000;
/// The venue's ping comes every 20 s, and after [`IDLE_NS`] it is asked.
const SILENCE_NS: i64 = 40 * S;
/// Asked after so long without a message.
const IDLE_NS: i64 = 20 * S;
/// The venue ends a connection after 24 h.
const LIFE_NS: i64 = 23 * 3600 * S;
/// The venue takes 5 messages a second on a connection, pongs counted.
const MESSAGES: Pace = Pace { burst: 2, per_s: 3 };
/// The venue bears a weight of 6000 a minute from an address; in no minute are more than 80 % used.
const REQUESTS: Pace = Pace {
    burst: 1200,
    per_s: 60,
};
/// Streams that fit the address; the others are subscribed by message.
const PATH_BYTES: usize = 1900;
/// Streams in one subscribe message.
const BATCH: usize = 100;
/// A symbol without any depth event is worth a snapshot after so long.
const QUIET_NS: i64 = 1_500_000_000;
/// An update the REST interface knows and the stream does not deliver is lost after so long.
const LATE_NS: i64 = 3 * S;
/// Depth events held back for a snapshot: beyond so many levels a fresh start is cheaper.
const HELD_MAX: usize = 200_000;
/// How often a refused subscribe message is sent again.
const REPEATS: u32 = 3;

/// Binance spot.
pub struct Binance;

impl Protocol for Binance {
    fn name(&self) -> &'static str {
        NAME
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            ws: "wss://data-stream.binance.vision",
            rest: "https://data-api.binance.vision",
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: 16 << 20,
            // 1024 streams, three for each symbol
            symbols_per_connection: 300,
            messages: MESSAGES,
            requests: REQUESTS,
            connects_per_window: (300, 300),
            silence_ns: SILENCE_NS,
            life_ns: LIFE_NS,
        }
    }

    fn listing_request(&self) -> String {
        "/api/v3/exchangeInfo".into()
    }

    fn listings(&self, body: &[u8]) -> Result<Vec<Listing>, VenueError> {
        listings(body)
    }

    fn session(&self, instruments: &[Subscription], channels: Channels) -> Box<dyn Session> {
        let (limit, weight) = match channels.depth {
            // what may be asked for at once
            0 if instruments.len() <= 4 => (5000, 250),
            0 => (1000, 50),
            1..=100 => (100, 5),
            101..=500 => (500, 25),
            501..=1000 => (1000, 50),
            _ => (5000, 250),
        };
        let mut connection = Connection {
            desk: Desk::new(instruments, channels, SILENCE_NS),
            streams: Vec::new(),
            in_path: 0,
            limit,
            weight,
            serial: 0,
            repeats: 0,
            requests: Vec::new(),
            holds: instruments.iter().map(|_| Hold::default()).collect(),
            levels: Vec::new(),
        };
        connection.streams = connection.wanted();
        let mut bytes = 0;
        connection.in_path = connection
            .streams
            .iter()
            .take_while(|stream| {
                bytes += stream.len() + 1;
                bytes <= PATH_BYTES
            })
            .count();
        Box::new(connection)
    }
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    symbols: Option<Vec<&'a RawValue>>,
    msg: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    symbol: String,
    status: String,
    base_asset: String,
    quote_asset: String,
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    tick_size: Option<String>,
    step_size: Option<String>,
}

fn listings(body: &[u8]) -> Result<Vec<Listing>, VenueError> {
    let info: Info = serde_json::from_slice(body).map_err(|error| VenueError::malformed(NAME, &error))?;
    let Some(symbols) = info.symbols else {
        let why = info.msg.as_deref().unwrap_or("no `symbols`");
        return Err(VenueError::refused(NAME, why));
    };
    let listing = |raw: &RawValue| -> Option<Listing> {
        let row: Row = serde_json::from_str(raw.get()).ok()?;
        // a filter that is missing or 0 is off: eight places are what the venue prints
        let step = |kind: &str, pick: fn(&Filter) -> Option<&String>| {
            let filter = row.filters.iter().find(|filter| filter.filter_type == kind);
            let step = filter
                .and_then(pick)
                .map_or(Some(Decimal::ZERO), |text| Decimal::parse(text.as_bytes()).ok())?;
            Some(if step.is_zero() {
                Decimal::new(1, 8)
            } else {
                step.normal()
            })
        };
        let tick = step("PRICE_FILTER", |filter| filter.tick_size.as_ref())?;
        let lot = step("LOT_SIZE", |filter| filter.step_size.as_ref())?;
        Some(Listing {
            symbol: row.symbol.clone(),
            rest_symbol: row.symbol,
            base: row.base_asset,
            quote: row.quote_asset,
            tick,
            lot,
            price_scale: tick.scale,
            size_scale: lot.scale,
            status: row.status,
        })
    };
    Ok(symbols.into_iter().filter_map(listing).collect())
}

/// One depth event that waits for the snapshot.
struct Event {
    /// First and last update in it (`U`, `u`).
    first: u64,
    last: u64,
    ts_event: Option<i64>,
    levels: std::ops::Range<usize>,
}

/// The way of one book to its snapshot, and the last update in it afterwards.
#[derive(Default)]
struct Hold {
    events: Vec<Event>,
    levels: Vec<Record>,
    /// `u` of the newest event in the book.
    id: u64,
    /// `u` of the newest quote.
    quote: u64,
    /// The REST interface showed another book at this update, at this time, while ours was mute.
    suspect: Option<(u64, i64)>,
    /// How far down each side the snapshot told all levels; `None`: to its end.
    reach: [Option<Reach>; 2],
}

/// A snapshot holds at most so many levels of a side as were asked for. Those below are not known until they
/// change, so the book is right only while its best level is above the last of them.
#[derive(Clone, Copy)]
struct Reach {
    /// The last level of the snapshot.
    edge: Decimal,
    /// When the best level comes to this one, a fifth above the last, it is time for a new snapshot.
    near: Decimal,
}

impl Reach {
    /// Of one side, best level first.
    fn of(limit: usize, levels: impl Iterator<Item = (Decimal, Decimal, i64)>) -> Option<Self> {
        let prices: Vec<Decimal> = levels.map(|level| level.0).collect();
        let edge = *prices.get(limit - 1)?;
        let near = prices[limit - 1 - limit / 5];
        Some(Self { edge, near })
    }

    /// Is a best bid or ask (`None`: there is none) worse than this price?
    fn passed(side: Side, best: Option<(Decimal, Decimal, i64)>, price: Decimal) -> bool {
        best.is_none_or(|(best, _, _)| match side {
            Side::Buy => best.value_cmp(price).is_lt(),
            _ => best.value_cmp(price).is_gt(),
        })
    }
}

impl Hold {
    /// Has the best level of a side gone past what `mark` picks of its reach?
    fn beyond(&self, book: &Book, mark: fn(&Reach) -> Decimal) -> bool {
        let sides = [(Side::Buy, book.best_bid()), (Side::Sell, book.best_ask())];
        sides.into_iter().zip(&self.reach).any(|((side, best), reach)| {
            reach
                .as_ref()
                .is_some_and(|reach| Reach::passed(side, best, mark(reach)))
        })
    }

    fn clear(&mut self) {
        self.events.clear();
        self.levels.clear();
    }

    /// Keeps an event. Only an unbroken run is of use, so a hole starts it anew.
    fn keep(&mut self, first: u64, last: u64, ts_event: Option<i64>, levels: &[Record]) {
        if self
            .events
            .last()
            .is_some_and(|before| first != before.last.saturating_add(1))
            || self.levels.len() + levels.len() > HELD_MAX
        {
            self.clear();
        }
        let start = self.levels.len();
        self.levels.extend_from_slice(levels);
        self.events.push(Event {
            first,
            last,
            ts_event,
            levels: start..self.levels.len(),
        });
    }
}

/// One connection.
struct Connection {
    desk: Desk,
    streams: Vec<String>,
    /// The first so many streams are in the address.
    in_path: usize,
    /// `limit` of the depth request, and its weight.
    limit: u32,
    weight: u32,
    serial: u64,
    repeats: u32,
    /// REST requests for a snapshot: (request, instrument).
    requests: Vec<(u64, usize)>,
    holds: Vec<Hold>,
    levels: Vec<Record>,
}

/// The fields of an event as printed; which of them matter its type says.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a [u8]>,
    symbol: Option<Cow<'a, [u8]>>,
    event_time: Option<&'a [u8]>,
    trade_time: Option<&'a [u8]>,
    trade_id: Option<&'a [u8]>,
    price: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    maker: Option<&'a [u8]>,
    first: Option<&'a [u8]>,
    last: Option<&'a [u8]>,
    bid: Option<&'a [u8]>,
    bid_size: Option<&'a [u8]>,
    ask: Option<&'a [u8]>,
    ask_size: Option<&'a [u8]>,
    bids: Option<Json<'a>>,
    asks: Option<Json<'a>>,
    /// Of answers to our own messages.
    code: Option<&'a [u8]>,
    text: Option<Cow<'a, [u8]>>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Bad> {
        let mut json = Json::checked(text)?;
        let mut fields = Fields::default();
        fields.object(&mut json, true)?;
        json.end()?;
        Ok(fields)
    }

    /// Takes in the fields of an object, and of the `data` or `error` object inside the outer one.
    #[inline]
    fn object(&mut self, json: &mut Json<'a>, outer: bool) -> Result<(), Bad> {
        json.object()?;
        while let Some(key) = json.key()? {
            match key {
                b"e" => self.kind = Some(json.checked_scalar()?),
                b"s" => self.symbol = Some(json.string()?),
                b"E" => self.event_time = Some(json.checked_scalar()?),
                b"T" => self.trade_time = Some(json.checked_scalar()?),
                b"t" => self.trade_id = Some(json.checked_scalar()?),
                b"p" => self.price = Some(json.checked_scalar()?),
                b"q" => self.size = Some(json.checked_scalar()?),
                b"m" => self.maker = Some(json.checked_scalar()?),
                b"U" => self.first = Some(json.checked_scalar()?),
                b"u" => self.last = Some(json.checked_scalar()?),
                b"b" if json.next_byte() == Some(b'[') => self.bids = Some(json.passed()?),
                b"a" if json.next_byte() == Some(b'[') => self.asks = Some(json.passed()?),
                b"b" => self.bid = Some(json.checked_scalar()?),
                b"B" => self.bid_size = Some(json.checked_scalar()?),
                b"a" => self.ask = Some(json.checked_scalar()?),
                b"A" => self.ask_size = Some(json.checked_scalar()?),
                b"data" | b"error" if outer && json.next_byte() == Some(b'{') => self.object(json, false)?,
                b"code" => self.code = Some(json.checked_scalar()?),
                b"msg" if json.next_byte() == Some(b'"') => self.text = Some(json.string()?),
                _ => json.skip()?,
            }
        }
        Ok(())
    }

    fn time(text: Option<&[u8]>) -> Result<Option<i64>, Bad> {
        text.map(|text| whole(text).and_then(epoch_ns).ok_or(Bad::Time))
            .transpose()
    }
}

impl Session for Connection {
    fn path(&self) -> String {
        format!(
            "/stream?streams={}&timeUnit=MICROSECOND",
            self.streams[..self.in_path].join("/")
        )
    }

    fn open(&mut self, now_ns: i64, out: &mut Output) {
        self.desk.open(now_ns, out);
        let rest = self.streams[self.in_path..].to_vec();
        for batch in rest.chunks(BATCH) {
            self.ask("SUBSCRIBE", batch);
        }
        for market in &mut self.desk.markets {
            market.ladder.ask_at(now_ns + QUIET_NS);
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

    fn response(&mut self, request: u64, status: u16, body: &[u8], now_ns: i64, out: &mut Output) {
        if self.desk.checked(request, status, body, now_ns, newest_trade) {
            return;
        }
        let Some(at) = self.requests.iter().position(|entry| entry.0 == request) else {
            return;
        };
        let (_, index) = self.requests.swap_remove(at);
        if status == 200 {
            self.snapshot(index, body, now_ns, out);
        } else {
            self.no_snapshot(index, status, body, now_ns, out);
        }
    }

    fn tick(&mut self, now_ns: i64, out: &mut Output) {
        if self.desk.transport_dead(now_ns, out) {
            return;
        }
        if self.desk.ping_due(IDLE_NS, now_ns) {
            self.serial += 1;
            let ping = format!("{{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":{}}}", self.serial);
            self.desk.sends.push(ping);
        }
        self.confirm(now_ns, out);
        let needs = self.desk.needs(Evidence::Book, now_ns, out);
        for &(index, need) in &needs {
            let symbol = &self.desk.markets[index].listing.rest_symbol;
            match need {
                // a request may wait long for its turn; it is not asked twice
                Need::Book if self.requests.iter().any(|entry| entry.1 == index) => {}
                Need::Book => {
                    let path = format!("/api/v3/depth?symbol={symbol}&limit={}", self.limit);
                    let urgent = !self.desk.markets[index].ladder.probing();
                    let request = self.desk.get(self.weight, urgent, path);
                    self.requests.push((request, index));
                }
                Need::LastTrade => {
                    let path = format!("/api/v3/trades?symbol={symbol}&limit=1");
                    self.desk.check(index, 25, path);
                }
                Need::Trades => self.again(index, "trade"),
                Need::Quotes => self.again(index, "bookTicker"),
            }
        }
        self.desk.done(needs);
        self.desk.flush(now_ns, out);
    }
}

impl Connection {
    /// Streams of this connection.
    fn wanted(&self) -> Vec<String> {
        let channels = self.desk.channels;
        let suffixes = [
            (channels.trades, "trade"),
            (channels.quotes, "bookTicker"),
            (channels.book, "depth@100ms"),
        ];
        self.desk
            .live()
            .flat_map(|index| {
                let symbol = self.desk.markets[index].listing.symbol.to_lowercase();
                suffixes
                    .into_iter()
                    .filter(|suffix| suffix.0)
                    .map(move |suffix| format!("{symbol}@{}", suffix.1))
            })
            .collect()
    }

    fn ask(&mut self, method: &str, streams: &[String]) {
        self.serial += 1;
        let message = serde_json::json!({"method": method, "params": streams, "id": self.serial});
        self.desk.sends.push(message.to_string());
    }

    /// Leaves and joins one stream of one instrument.
    fn again(&mut self, index: usize, suffix: &str) {
        let stream = format!(
            "{}@{suffix}",
            self.desk.markets[index].listing.symbol.to_lowercase()
        );
        self.ask("UNSUBSCRIBE", std::slice::from_ref(&stream));
        self.ask("SUBSCRIBE", &[stream]);
    }

    /// The two hottest messages, as the venue prints them. `None`: not one of them.
    #[inline]
    fn quick(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Option<()> {
        let mut print = Print::new(text);
        print.literal(b"{\"stream\":\"")?;
        print.word()?;
        print.literal(b",\"data\":{\"")?;
        if print.literal(b"u\":").is_some() {
            let id = print.whole()?;
            print.literal(b",\"s\":\"")?;
            let index = self.desk.find(print.word()?)?;
            print.literal(b",\"b\":\"")?;
            let bid = print.positive()?;
            print.literal(b"\",\"B\":\"")?;
            let bid_size = print.positive()?;
            print.literal(b"\",\"a\":\"")?;
            let ask = print.positive()?;
            print.literal(b"\",\"A\":\"")?;
            let ask_size = print.positive()?;
            print.literal(b"\"}}")?;
            print.end()?;
            let instrument = self.desk.markets[index].instrument;
            let side = |side, at, amount| {
                let mut record = Record::quote(instrument, side, at, amount).with(flag::HAS_ID);
                record.id = id;
                timed(record, None, now_ns)
            };
            self.take_ticker(
                index,
                side(Side::Buy, bid, bid_size),
                side(Side::Sell, ask, ask_size),
                out,
            );
            return Some(());
        }
        print.literal(b"e\":\"trade\",\"E\":")?;
        print.whole()?;
        print.literal(b",\"s\":\"")?;
        let index = self.desk.find(print.word()?)?;
        print.literal(b",\"t\":")?;
        let id = print.whole()?;
        print.literal(b",\"p\":\"")?;
        let at = print.positive()?;
        print.literal(b"\",\"q\":\"")?;
        let amount = print.positive()?;
        print.literal(b"\",\"T\":")?;
        let time = epoch_ns(print.whole()?)?;
        let side = if print.literal(b",\"m\":true").is_some() {
            Side::Sell
        } else {
            print.literal(b",\"m\":false")?;
            Side::Buy
        };
        if print.literal(b",\"M\":true}}").is_none() {
            print.literal(b",\"M\":false}}")?;
        }
        print.end()?;
        let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
        self.desk.trade(index, record.at(time, now_ns), out);
        Some(())
    }

    fn read(&mut self, text: &[u8], now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let mut fields = Fields::read(text)?;
        let kind = match fields.kind {
            Some(kind) => kind,
            None if fields.bid.is_some() && fields.ask.is_some() && fields.last.is_some() => b"bookTicker",
            None => {
                if fields.code.is_some() || fields.text.is_some() {
                    self.refused(&fields, now_ns, out);
                }
                return Ok(());
            }
        };
        match kind {
            b"trade" | b"depthUpdate" | b"bookTicker" => {}
            b"serverShutdown" => {
                out.actions.push(Action::Reconnect {
                    cause: cause::DISCONNECT,
                    reason: "the venue announced that it shuts this connection down".into(),
                });
                return Ok(());
            }
            _ => return Ok(()),
        }
        let symbol = fields.symbol.take().ok_or(Bad::Missing("s"))?;
        let Some(index) = self.desk.find(&symbol) else {
            self.desk.stranger(&symbol, out);
            return Ok(());
        };
        match kind {
            b"trade" => self.trade(index, &fields, now_ns, out),
            b"bookTicker" => self.ticker(index, &fields, now_ns, out),
            _ => self.depth(index, &mut fields, now_ns, out),
        }
    }

    fn trade(&mut self, index: usize, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let side = match fields.maker.ok_or(Bad::Missing("m"))? {
            b"true" => Side::Sell,
            b"false" => Side::Buy,
            _ => return Err(Bad::Field("m")),
        };
        let at = price(number(fields.price, "p")?)?;
        let amount = traded(number(fields.size, "q")?)?;
        let id = id(fields.trade_id, "t")?;
        let time = Fields::time(fields.trade_time)?;
        let record = Record::trade(self.desk.markets[index].instrument, side, at, amount, id);
        self.desk.trade(index, timed(record, time, now_ns), out);
        Ok(())
    }

    fn ticker(&mut self, index: usize, fields: &Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let instrument = self.desk.markets[index].instrument;
        let id = id(fields.last, "u")?;
        let time = Fields::time(fields.event_time)?;
        let side = |side, at, amount| -> Result<Record, Bad> {
            let mut record = quote(instrument, side, number(at, "price")?, number(amount, "size")?)?;
            record.id = id;
            Ok(timed(record.with(flag::HAS_ID), time, now_ns))
        };
        let bid = side(Side::Buy, fields.bid, fields.bid_size)?;
        let ask = side(Side::Sell, fields.ask, fields.ask_size)?;
        self.take_ticker(index, bid, ask, out);
        Ok(())
    }

    /// Emits a quote unless it is older than the last.
    #[inline]
    fn take_ticker(&mut self, index: usize, bid: Record, ask: Record, out: &mut Output) {
        if bid.id > self.holds[index].quote {
            self.holds[index].quote = bid.id;
            self.desk.quote(index, bid, ask, out);
        }
    }

    fn depth(&mut self, index: usize, fields: &mut Fields, now_ns: i64, out: &mut Output) -> Result<(), Bad> {
        let first = id(fields.first, "U")?;
        let last = id(fields.last, "u")?;
        if first > last {
            return Err(Bad::Field("u"));
        }
        let time = Fields::time(fields.event_time)?;
        let bids = fields.bids.take().ok_or(Bad::Missing("b"))?;
        let asks = fields.asks.take().ok_or(Bad::Missing("a"))?;
        self.levels.clear();
        let instrument = self.desk.markets[index].instrument;
        read_side(bids, Side::Buy, instrument, &mut self.levels)?;
        read_side(asks, Side::Sell, instrument, &mut self.levels)?;
        for level in &mut self.levels {
            level.id = last;
            *level = timed(level.with(flag::HAS_ID), time, now_ns);
        }
        let hold = &mut self.holds[index];
        let market = &mut self.desk.markets[index];
        match market.ladder.phase {
            Phase::Off => {}
            Phase::Valid if last <= hold.id => {}
            Phase::Valid if first <= hold.id.saturating_add(1) => {
                hold.id = last;
                if self.requests.iter().any(|entry| entry.1 == index) {
                    hold.keep(first, last, time, &self.levels); // the snapshot under way may be older
                } else {
                    hold.clear();
                }
                let wrong = |book: &Book, _: &Listing| {
                    crossed(book).or_else(|| hold.beyond(book, |reach| reach.edge).then_some(cause::LIMIT))
                };
                self.desk
                    .levels(index, &self.levels, usize::MAX, now_ns, out, wrong);
                let ladder = &mut self.desk.markets[index].ladder;
                ladder.short = ladder.valid() && hold.beyond(&ladder.book, |reach| reach.near);
            }
            Phase::Valid => {
                market
                    .ladder
                    .invalidate(instrument, cause::SEQUENCE_HOLE, -1, now_ns, out);
                hold.clear();
                hold.keep(first, last, time, &self.levels);
            }
            Phase::Waiting | Phase::Invalid => {
                if hold.events.is_empty() && market.ladder.phase == Phase::Waiting {
                    market.ladder.ask_at(now_ns);
                }
                hold.keep(first, last, time, &self.levels);
            }
        }
        Ok(())
    }

    /// The venue's rule for joining its snapshot and its events.
    fn snapshot(&mut self, index: usize, body: &[u8], now_ns: i64, out: &mut Output) {
        let instrument = self.desk.markets[index].instrument;
        self.levels.clear();
        let id = match read_snapshot(body, instrument, &mut self.levels) {
            Ok(id) => id,
            Err(bad) => {
                out.actions.push(Action::Note {
                    instrument,
                    text: format!("the venue's depth snapshot cannot be read: {bad}"),
                });
                self.desk.markets[index].ladder.refused(now_ns);
                return;
            }
        };
        let mut book = Book::new();
        for level in &self.levels {
            book.set(level.side(), level.price(), level.size(), 0);
        }
        let hold = &mut self.holds[index];
        let ladder = &mut self.desk.markets[index].ladder;
        let older = match ladder.phase {
            Phase::Off => return,
            Phase::Valid if !ladder.short => {
                // asked only because the stream was mute
                if ladder.probing() && id > hold.id && !same_top(&book, &ladder.book) {
                    hold.suspect = Some((id, now_ns));
                }
                ladder.quiet(now_ns);
                return;
            }
            // what came since it was asked for is held; without that it must not be behind the book
            Phase::Valid if hold.events.is_empty() => id < hold.id,
            // older than the first event held
            _ => hold.events.first().is_some_and(|event| id < event.first),
        };
        if older {
            ladder.refused(now_ns); // a newer one is needed
            return;
        }
        let limit = self.limit as usize;
        hold.reach = [Reach::of(limit, book.bids()), Reach::of(limit, book.asks())];
        let mut time = None;
        hold.id = id;
        for event in &hold.events {
            if event.last <= id {
                continue;
            }
            for level in &hold.levels[event.levels.clone()] {
                book.set(level.side(), level.price(), level.size(), level.ts_event);
            }
            hold.id = event.last;
            time = event.ts_event;
        }
        hold.clear();
        let last = hold.id;
        let level = |side: Side| {
            move |(at, amount, ts): (Decimal, Decimal, i64)| {
                let mut record = Record::level(instrument, side, at, amount).with(flag::HAS_ID);
                record.id = last;
                timed(record, (ts != 0).then_some(ts), now_ns)
            }
        };
        self.levels.clear();
        self.levels.extend(book.bids().map(level(Side::Buy)));
        self.levels.extend(book.asks().map(level(Side::Sell)));
        if hold.beyond(&book, |reach| reach.edge) {
            ladder.reject(instrument, cause::LIMIT, now_ns, out); // the events went past it already
        } else {
            ladder.snapshot_unless_crossed(instrument, &self.levels, time, now_ns, out);
        }
    }

    fn no_snapshot(&mut self, index: usize, status: u16, body: &[u8], now_ns: i64, out: &mut Output) {
        let symbol = &self.desk.markets[index].listing.symbol;
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        if status == 400 && text.contains("-1121") {
            let note = format!("the venue knows no '{symbol}': {text}");
            self.desk.close(index, note, now_ns, out);
            return;
        }
        let ladder = &mut self.desk.markets[index].ladder;
        if ladder.probing() {
            ladder.quiet(now_ns); // nothing was learned; ask again after the next silence
        } else {
            ladder.refused(now_ns);
        }
        out.actions.push(Action::Note {
            instrument: self.desk.markets[index].instrument,
            text: format!("no depth snapshot: HTTP status {status} {text}"),
        });
    }

    /// Books whose stream did not deliver what the REST interface showed.
    fn confirm(&mut self, now_ns: i64, out: &mut Output) {
        for index in 0..self.holds.len() {
            let Some((id, since_ns)) = self.holds[index].suspect else {
                continue;
            };
            if self.holds[index].id >= id {
                self.holds[index].suspect = None;
            } else if now_ns - since_ns >= LATE_NS {
                self.holds[index].suspect = None;
                let market = &mut self.desk.markets[index];
                market
                    .ladder
                    .invalidate(market.instrument, cause::STALL, -1, now_ns, out);
                self.holds[index].clear();
                self.again(index, "depth@100ms");
            }
        }
    }

    fn refused(&mut self, fields: &Fields, now_ns: i64, out: &mut Output) {
        let text = fields
            .text
            .as_ref()
            .map_or(String::new(), |text| String::from_utf8_lossy(text).into());
        out.actions.push(Action::Note {
            instrument: 0,
            text: format!("the venue refused a request: {text}"),
        });
        if self.in_path < self.streams.len() && self.repeats < REPEATS {
            // which one its id would tell; subscribing twice does no harm
            self.repeats += 1;
            self.desk.too_many(now_ns);
            let rest = self.streams[self.in_path..].to_vec();
            for batch in rest.chunks(BATCH) {
                self.ask("SUBSCRIBE", batch);
            }
        }
    }

    /// What may be lost with a message that cannot be read. Trades and depth events show their loss by the
    /// next id, exactly; a lost quote would not show.
    #[cold]
    fn quarantine(&mut self, bad: Bad, text: &[u8], now_ns: i64, out: &mut Output) {
        let named = salvage(text, "s").find_map(|symbol| self.desk.find(symbol));
        self.desk.quarantine(bad, named, out);
        let stream = salvage(text, "stream").next();
        let may_be = |suffix: &[u8]| {
            stream.is_none_or(|stream| stream.windows(suffix.len()).any(|window| window == suffix))
        };
        let lost = Lost {
            trades: may_be(b"@trade"),
            quotes: may_be(b"@bookTicker"),
            // without a name the next event's number tells
            book: may_be(b"@depth") && named.is_some() && stream.is_some(),
        };
        let indices: Vec<usize> = named.map_or_else(|| self.desk.live().collect(), |index| vec![index]);
        self.desk.lose(&indices, lost, now_ns, out);
    }
}

/// Levels of a REST snapshot; its update id is returned.
fn read_snapshot(body: &[u8], instrument: u32, levels: &mut Vec<Record>) -> Result<u64, Bad> {
    let mut json = Json::new(body);
    let (mut id, mut bids, mut asks) = (None, false, false);
    json.object()?;
    while let Some(key) = json.key()? {
        match key {
            b"lastUpdateId" => id = Some(json.u64("lastUpdateId")?),
            b"bids" => {
                read_side(json.passed()?, Side::Buy, instrument, levels)?;
                bids = true;
            }
            b"asks" => {
                read_side(json.passed()?, Side::Sell, instrument, levels)?;
                asks = true;
            }
            _ => json.skip()?,
        }
    }
    json.end()?;
    if !bids || !asks {
        return Err(Bad::Missing(if bids { "asks" } else { "bids" }));
    }
    id.ok_or(Bad::Missing("lastUpdateId"))
}

/// The same best twenty levels of each side.
fn same_top(one: &Book, other: &Book) -> bool {
    let top = |book: &Book| -> Vec<(Decimal, Decimal)> {
        let plain = |(at, amount, _): (Decimal, Decimal, i64)| (at.normal(), amount.normal());
        book.bids()
            .take(20)
            .chain(book.asks().take(20))
            .map(plain)
            .collect()
    };
    top(one) == top(other)
}

/// Newest trade id in the answer of `/api/v3/trades`.
fn newest_trade(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Trade {
        id: u64,
    }
    let trades: Vec<Trade> = serde_json::from_slice(body).ok()?;
    trades.iter().map(|trade| trade.id).max()
}
