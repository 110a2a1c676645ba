//! What a recording says about its instruments: which there are, and how many decimals they use.

use crate::spec::{Protocol, Spec, spellings};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wire::Decimal;

/// Decimals seen of one instrument's prices and sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scales {
    pub price: u8,
    pub size: u8,
}

impl Scales {
    fn price(&mut self, text: &str) {
        self.price = self.price.max(scale(text));
    }

    fn size(&mut self, text: &str) {
        self.size = self.size.max(scale(text));
    }
}

/// Decimals of a number without trailing zeros; 0 for what is no number.
fn scale(text: &str) -> u8 {
    Decimal::parse(text.trim_matches('"').as_bytes()).map_or(0, |d| d.normal().scale)
}

/// What a message is about, where that can be told: for filtering, and for the instruments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    pub channel: String,
    pub symbol: String,
}

/// Instruments seen so far, by the venue's spelling.
pub type Seen = BTreeMap<String, Scales>;

#[derive(Deserialize)]
struct KrakenMessage<'a> {
    channel: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct KrakenEntry<'a> {
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    #[serde(borrow, default)]
    bids: Vec<KrakenLevel<'a>>,
    #[serde(borrow, default)]
    asks: Vec<KrakenLevel<'a>>,
}

#[derive(Deserialize)]
struct KrakenLevel<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
}

/// Channel and symbol of a Kraken v2 message; `None` for what was an answer to a request, or is of no channel.
pub fn kraken(text: &str, seen: Option<&mut Seen>) -> Option<About> {
    let message: KrakenMessage<'_> = serde_json::from_str(text).ok()?;
    if message.method.is_some() {
        return None;
    }
    let channel = message.channel?.into_owned();
    let entries: Vec<KrakenEntry<'_>> = message
        .data
        .filter(|data| data.get().starts_with('['))
        .and_then(|data| serde_json::from_str(data.get()).ok())
        .unwrap_or_default();
    let symbol = entries
        .first()
        .and_then(|e| e.symbol.clone())
        .unwrap_or_default()
        .into_owned();
    if let Some(seen) = seen {
        for entry in &entries {
            let Some(symbol) = &entry.symbol else { continue };
            let scales = seen.entry(symbol.clone().into_owned()).or_default();
            for (price, qty) in entry
                .price
                .iter()
                .zip(&entry.qty)
                .map(|(p, q)| (*p, *q))
                .chain(levels(&entry.bids))
                .chain(levels(&entry.asks))
            {
                scales.price(price.get());
                scales.size(qty.get());
            }
        }
    }
    Some(About { channel, symbol })
}

fn levels<'a>(levels: &'a [KrakenLevel<'a>]) -> impl Iterator<Item = (&'a RawValue, &'a RawValue)> {
    levels.iter().map(|l| (l.price, l.qty))
}

#[derive(Deserialize)]
struct Combined<'a> {
    stream: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
pub struct BinanceEvent<'a> {
    #[serde(rename = "e")]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "s")]
    symbol: Option<Cow<'a, str>>,
    #[serde(rename = "p")]
    price: Option<Cow<'a, str>>,
    #[serde(rename = "q")]
    size: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "b")]
    bid: Option<&'a RawValue>,
    #[serde(borrow, rename = "a")]
    ask: Option<&'a RawValue>,
    #[serde(borrow, rename = "B")]
    bid_size: Option<&'a RawValue>,
    #[serde(rename = "u")]
    pub last_update: Option<u64>,
}

/// A Binance message taken apart.
pub struct BinanceMessage<'a> {
    /// Name of the stream, if the message was wrapped.
    pub stream: Option<String>,
    /// The payload alone.
    pub payload: &'a str,
    pub about: About,
    pub event: BinanceEvent<'a>,
}

/// `None` for answers to requests and for what has no symbol.
pub fn binance(text: &str) -> Option<BinanceMessage<'_>> {
    let (stream, payload) = match serde_json::from_str::<Combined<'_>>(text) {
        Ok(combined) => (Some(combined.stream.into_owned()), combined.data.get()),
        Err(_) => (None, text),
    };
    let event: BinanceEvent<'_> = serde_json::from_str(payload).ok()?;
    let symbol = match (&event.symbol, &stream) {
        (Some(symbol), _) => symbol.clone().into_owned(),
        (None, Some(stream)) => stream.split('@').next()?.to_ascii_uppercase(),
        (None, None) => return None,
    };
    let channel = match (event.kind.as_deref(), &stream) {
        (Some("depthUpdate"), _) => "depth".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        // Partial books and best quotes have no type inside.
        (None, Some(stream)) => stream.split('@').nth(1).unwrap_or_default().to_owned(),
        (None, None) => "bookTicker".to_owned(),
    };
    Some(BinanceMessage {
        stream,
        payload,
        about: About { channel, symbol },
        event,
    })
}

/// Price and size text of book levels.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn pairs(value: Option<&RawValue>) -> Pairs<'_> {
    value
        .filter(|v| v.get().starts_with('['))
        .and_then(|v| serde_json::from_str(v.get()).ok())
        .unwrap_or_default()
}

impl BinanceEvent<'_> {
    /// Changed levels of a diff: bids, asks.
    pub fn levels(&self) -> [Pairs<'_>; 2] {
        [pairs(self.bid), pairs(self.ask)]
    }
}

fn binance_scales(message: &BinanceMessage<'_>, seen: &mut Seen) {
    let scales = seen.entry(message.about.symbol.clone()).or_default();
    let event = &message.event;
    for (price, size) in event.levels().iter().flatten() {
        scales.price(price);
        scales.size(size);
    }
    if let (Some(price), Some(size)) = (&event.price, &event.size)
        && matches!(event.kind.as_deref(), Some("trade" | "aggTrade"))
    {
        scales.price(price);
        scales.size(size);
    }
    if let (Some(bid), Some(size), None | Some("bookTicker")) =
        (event.bid, event.bid_size, event.kind.as_deref())
        && bid.get().starts_with('"')
    {
        scales.price(bid.get());
        scales.size(size.get());
    }
}

/// Scales out of a depth snapshot.
pub fn depth_scales(body: &str, symbol: &str, seen: &mut Seen) {
    #[derive(Deserialize)]
    struct Depth<'a> {
        #[serde(borrow)]
        bids: Pairs<'a>,
        #[serde(borrow)]
        asks: Pairs<'a>,
    }
    let Ok(depth) = serde_json::from_str::<Depth<'_>>(body) else {
        return;
    };
    let scales = seen.entry(symbol.to_owned()).or_default();
    for (price, size) in depth.bids.iter().chain(&depth.asks) {
        scales.price(price);
        scales.size(size);
    }
}

#[derive(Deserialize)]
struct CoinbaseMessage<'a> {
    product_id: Option<Cow<'a, str>>,
    price: Option<Cow<'a, str>>,
    size: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    changes: Vec<(Cow<'a, str>, Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow, default)]
    bids: Pairs<'a>,
    #[serde(borrow, default)]
    asks: Pairs<'a>,
}

fn coinbase(text: &str, seen: &mut Seen) -> Option<()> {
    let message: CoinbaseMessage<'_> = serde_json::from_str(text).ok()?;
    let scales = seen.entry(message.product_id?.into_owned()).or_default();
    if let (Some(price), Some(size)) = (&message.price, &message.size) {
        scales.price(price);
        scales.size(size);
    }
    let changes = message.changes.iter().map(|(_, price, size)| (price, size));
    let levels = message
        .bids
        .iter()
        .chain(&message.asks)
        .map(|(price, size)| (price, size));
    for (price, size) in changes.chain(levels) {
        scales.price(price);
        scales.size(size);
    }
    Some(())
}

#[derive(Deserialize)]
struct AdvancedMessage<'a> {
    #[serde(borrow)]
    events: Vec<AdvancedEvent<'a>>,
}

#[derive(Deserialize)]
struct AdvancedEvent<'a> {
    product_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    updates: Vec<AdvancedUpdate<'a>>,
    #[serde(borrow, default)]
    trades: Vec<AdvancedTrade<'a>>,
}

#[derive(Deserialize)]
struct AdvancedUpdate<'a> {
    price_level: Cow<'a, str>,
    new_quantity: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AdvancedTrade<'a> {
    product_id: Cow<'a, str>,
    price: Cow<'a, str>,
    size: Cow<'a, str>,
}

fn advanced(text: &str, seen: &mut Seen) -> Option<()> {
    let message: AdvancedMessage<'_> = serde_json::from_str(text).ok()?;
    for event in &message.events {
        if let Some(product) = &event.product_id {
            let scales = seen.entry(product.clone().into_owned()).or_default();
            for update in &event.updates {
                scales.price(&update.price_level);
                scales.size(&update.new_quantity);
            }
        }
        for trade in &event.trades {
            let scales = seen.entry(trade.product_id.clone().into_owned()).or_default();
            scales.price(&trade.price);
            scales.size(&trade.size);
        }
    }
    Some(())
}

/// Takes note of the instruments in a message; one that says nothing about them is passed over.
pub fn note(protocol: Protocol, text: &str, seen: &mut Seen) {
    match protocol {
        Protocol::Kraken => {
            kraken(text, Some(seen));
        }
        Protocol::Binance => {
            if let Some(message) = binance(text) {
                binance_scales(&message, seen);
            }
        }
        Protocol::Coinbase => {
            coinbase(text, seen);
        }
        Protocol::CoinbaseAdvanced => {
            advanced(text, seen);
        }
    }
}

/// Quote currencies by which a Binance symbol is split, longest first. A recording of the listing itself needs no
/// such guess: it is served as it is.
const QUOTES: [&str; 16] = [
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "EUR", "TRY", "BRL", "JPY", "GBP", "DAI", "BTC", "ETH", "BNB",
    "USD", "UAH",
];

fn split(protocol: Protocol, symbol: &str) -> (String, String) {
    let halves = match protocol {
        Protocol::Kraken => symbol.split_once('/'),
        Protocol::Coinbase | Protocol::CoinbaseAdvanced => symbol.split_once('-'),
        Protocol::Binance => {
            let quote = QUOTES
                .iter()
                .find(|q| symbol.len() > q.len() && symbol.ends_with(**q));
            quote.map(|q| symbol.split_at(symbol.len() - q.len()))
        }
    };
    let (base, quote) = halves.unwrap_or((symbol, "USD"));
    (base.to_owned(), quote.to_owned())
}

/// The listing that a recording implies: ticks and lots of the finest decimals seen.
pub fn specs(protocol: Protocol, seen: &Seen) -> Vec<Spec> {
    seen.iter()
        .map(|(symbol, scales)| {
            let (base, quote) = split(protocol, symbol);
            let is_binance = protocol == Protocol::Binance;
            Spec {
                name: format!("{base}-{quote}"),
                id: format!("{base}-{quote}.{}", protocol.venue()),
                symbol: symbol.clone(),
                rest_symbol: spellings(protocol, &base, &quote).1,
                base,
                quote,
                tick: Decimal::new(1, scales.price),
                lot: Decimal::new(1, scales.size),
                price_places: if is_binance {
                    scales.price.max(8)
                } else {
                    scales.price
                },
                size_places: if is_binance {
                    scales.size.max(8)
                } else {
                    scales.size
                },
                start_ticks: 1,
                base_lots: 1,
                max_lots: i64::MAX / 1_000_000,
                step_lots: 1,
                weight: 1.0,
                volatility: 0.0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(protocol: Protocol, texts: &[&str]) -> Seen {
        let mut seen = Seen::new();
        texts.iter().for_each(|text| note(protocol, text, &mut seen));
        seen
    }

    #[test]
    fn decimals_come_from_every_kind_of_message() {
        let found = seen(
            Protocol::Kraken,
            &[
                r#"{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":29430.2,"qty":1e-05}],"asks":[]}]}"#,
                r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","price":29430.25,"qty":0.00100000}]}"#,
                r#"{"method":"subscribe","success":true}"#,
            ],
        );
        assert_eq!(found["BTC/USD"], Scales { price: 2, size: 5 });
        let found = seen(
            Protocol::Binance,
            &[
                r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[["61737.63000000","0.00002000"]],"a":[]}}"#,
                r#"{"stream":"ethbtc@bookTicker","data":{"u":1,"s":"ETHBTC","b":"0.04200000","B":"1.00000000","a":"0.05","A":"2"}}"#,
                r#"{"result":null,"id":1}"#,
            ],
        );
        assert_eq!(found["BTCUSDT"], Scales { price: 2, size: 5 });
        assert_eq!(found["ETHBTC"], Scales { price: 3, size: 0 });
        let specs = specs(Protocol::Binance, &found);
        assert_eq!((specs[0].base.as_str(), specs[0].quote.as_str()), ("BTC", "USDT"));
        assert_eq!((specs[1].base.as_str(), specs[1].quote.as_str()), ("ETH", "BTC"));
        let found = seen(
            Protocol::CoinbaseAdvanced,
            &[
                r#"{"channel":"l2_data","events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","price_level":"65062.5","new_quantity":"0.00583"}]}]}"#,
            ],
        );
        assert_eq!(found["BTC-USD"], Scales { price: 1, size: 5 });
    }

    #[test]
    fn messages_know_their_stream() {
        let about = |text| binance(text).unwrap().about;
        let depth = about(r#"{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}"#);
        assert_eq!(
            (depth.channel.as_str(), depth.symbol.as_str()),
            ("depth", "BTCUSDT")
        );
        let partial =
            about(r#"{"stream":"btcusdt@depth5@100ms","data":{"lastUpdateId":1,"bids":[],"asks":[]}}"#);
        assert_eq!(
            (partial.channel.as_str(), partial.symbol.as_str()),
            ("depth5", "BTCUSDT")
        );
        assert!(binance(r#"{"result":null,"id":1}"#).is_none());
        assert!(kraken(r#"{"method":"pong"}"#, None).is_none());
    }
}
