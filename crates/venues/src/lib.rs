//! One file per venue, sans-I/O: bytes in, records out.
//!
//! A new venue is its file, its `pub mod` line and its place in [`VENUES`]; `docs/venues.md` says what
//! each gives and how its data is proven whole.

pub mod alpaca;
mod api;
pub mod binance;
pub mod coinbase;
pub mod coinbase_advanced;
mod condition;
mod desk;
mod eastern;
mod field;
pub mod iqfeed;
mod json;
pub mod kraken;
mod msgpack;
pub mod polygon;
mod print;
mod seller;
mod silence;
mod tape;

pub use api::{
    Action, Channels, Endpoints, Habits, Limits, Listing, Output, Pace, Protocol, Quarantine, Session,
    Subscription, VenueError,
};

/// Every protocol there is.
pub static VENUES: &[&dyn Protocol] = &[
    &kraken::Kraken,
    &coinbase::Coinbase,
    &coinbase_advanced::CoinbaseAdvanced,
    &binance::Binance,
    &alpaca::IEX,
    &alpaca::SIP,
    &polygon::Polygon,
    &iqfeed::IqFeed,
];

/// The protocol of this name.
pub fn by_name(name: &str) -> Option<&'static dyn Protocol> {
    VENUES.iter().copied().find(|venue| venue.name() == name)
}
