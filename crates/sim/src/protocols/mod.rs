//! One file per protocol: what a client may send, and what it gets.

pub mod binance;
pub mod coinbase;
pub mod coinbase_advanced;
pub mod kraken;

use crate::http::{Request, Response};
use crate::hub::Hub;
use crate::market::{Market, Step};
use crate::spec::Protocol;
use crate::truth::Truth;

/// What a protocol works on while it is called.
pub struct Context<'a> {
    pub market: &'a mut Market,
    pub hub: &'a mut Hub,
    pub truth: &'a mut Truth,
}

/// One venue's side of its protocol. Times are the venue's own; nothing in here looks at a clock.
pub trait Feed: Send {
    /// A client's socket is open; `path` and `query` are those of its request.
    fn open(&mut self, context: &mut Context<'_>, id: u64, request: &Request);
    /// The socket is gone.
    fn close(&mut self, id: u64);
    /// The client sent text.
    fn message(&mut self, context: &mut Context<'_>, id: u64, text: &str);
    /// The client sent a ping or pong frame.
    fn control(&mut self, _context: &mut Context<'_>, _id: u64) {}
    /// Something happened to an instrument.
    fn step(&mut self, context: &mut Context<'_>, index: usize, step: Step);
    /// Called on every [`TIMER_NS`] of venue time.
    fn timer(&mut self, context: &mut Context<'_>);
    /// A REST request.
    fn get(&mut self, context: &mut Context<'_>, request: &Request) -> Response;
    /// Says that all connections are about to end, where the venue announces that.
    fn announce_end(&mut self, _context: &mut Context<'_>) {}
}

pub const SECOND_NS: i64 = 1_000_000_000;
pub const TIMER_NS: i64 = 10_000_000;

pub fn feed(protocol: Protocol, instruments: usize) -> Box<dyn Feed> {
    match protocol {
        Protocol::Kraken => Box::new(kraken::Kraken::new(instruments)),
        Protocol::Coinbase => Box::new(coinbase::Coinbase::new(instruments)),
        Protocol::Binance => Box::new(binance::Binance::new(instruments)),
        Protocol::CoinbaseAdvanced => Box::new(coinbase_advanced::CoinbaseAdvanced::new(instruments)),
    }
}

/// Adds to a list that holds each entry once.
pub(crate) fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) -> bool {
    let is_new = !list.contains(&entry);
    if is_new {
        list.push(entry);
    }
    is_new
}

/// Takes out of a list; whether it was there.
pub(crate) fn remove<T: PartialEq>(list: &mut Vec<T>, entry: &T) -> bool {
    let before = list.len();
    list.retain(|e| e != entry);
    list.len() < before
}

/// A JSON string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
