//! The venue's instrument table: fetched at start, kept beside the registry so that an outage of the REST
//! interface does not stop a restart; and what instrument names mean in it.

use std::path::{Path, PathBuf};

use venues::{Listing, Protocol, VenueError};

use crate::failure::{Category, Failure, nearest};
use crate::part::write_whole;

/// Instruments a venue collects when nobody says which: the first of these it has, two at most.
const DEFAULTS: [&str; 4] = ["BTC-USD", "ETH-USD", "BTC-USDT", "ETH-USDT"];

/// A venue's instruments by name.
pub struct Catalogue {
    protocol: &'static dyn Protocol,
    listings: Vec<Listing>,
}

impl Catalogue {
    pub fn new(protocol: &'static dyn Protocol, body: &[u8]) -> Result<Self, VenueError> {
        Ok(Self {
            protocol,
            listings: protocol.listings(body)?,
        })
    }

    /// Of a venue that has no table: it is asked of each name whether it may be one.
    pub fn tableless(protocol: &'static dyn Protocol) -> Option<Self> {
        protocol.listing_request().is_empty().then_some(Self {
            protocol,
            listings: Vec::new(),
        })
    }

    fn file(home: &Path, venue: &str) -> PathBuf {
        home.join("registry").join(format!("{venue}.listings"))
    }

    /// The table as it was fetched last; `None` when it never was, or cannot be read any more.
    pub fn kept(home: &Path, venue: &str, protocol: &'static dyn Protocol) -> Option<Self> {
        Self::new(protocol, &std::fs::read(Self::file(home, venue)).ok()?).ok()
    }

    /// Keeps the venue's answer for the next start. Only the holder of the journal may.
    pub fn keep(home: &Path, venue: &str, body: &[u8]) -> std::io::Result<()> {
        write_whole(&Self::file(home, venue), body)
    }

    /// Takes over the listings of these names from the table before, where this one lacks them: a venue in
    /// maintenance may leave out what it goes on trading. Returns their names.
    pub fn keep_listed(&mut self, before: &Self, names: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        for name in names {
            if self.find(name).is_none()
                && let Some(listing) = before.find(name)
            {
                self.listings.push(listing.clone());
                kept.push(name.clone());
            }
        }
        kept
    }

    pub fn len(&self) -> usize {
        self.listings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.listings.is_empty()
    }

    /// `BTC-USD` of `BTC-USD`, `BTC/USD` or `BTC-USD.kraken`.
    pub fn plain(name: &str, venue: &str) -> String {
        let name = name.trim();
        let name = name
            .strip_suffix(venue)
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(name);
        name.replace('/', "-")
    }

    /// The listing of each name, in order and once, and what is wrong with the others.
    pub fn resolve(&self, names: &[String], venue: &str) -> (Vec<(String, Listing)>, Vec<Failure>) {
        let (mut found, mut unknown): (Vec<(String, Listing)>, Vec<Failure>) = (Vec::new(), Vec::new());
        for name in names {
            let name = Self::plain(name, venue);
            if name.is_empty() || found.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let listing = self.find(&name).cloned();
            match listing.or_else(|| self.protocol.listed(&name)) {
                Some(listing) => found.push((name, listing)),
                None => unknown.push(self.unknown(&name, venue)),
            }
        }
        (found, unknown)
    }

    fn find(&self, name: &str) -> Option<&Listing> {
        let exact = |listing: &&Listing| {
            name.strip_prefix(listing.base.as_str())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|quote| quote == listing.quote)
        };
        self.listings.iter().find(exact)
    }

    /// What to collect when nobody says.
    pub fn defaults(&self) -> Vec<String> {
        DEFAULTS
            .into_iter()
            .filter(|name| self.find(name).is_some())
            .take(2)
            .map(Into::into)
            .collect()
    }

    fn unknown(&self, name: &str, venue: &str) -> Failure {
        if self.listings.is_empty() {
            return Failure::new(
                Category::NotFound,
                "instrument_unknown",
                format!("'{name}' is no instrument of {venue}"),
                "names are as in AAPL, BRK.B or BTC-USD",
            );
        }
        let names: Vec<String> = self
            .listings
            .iter()
            .map(|l| format!("{}-{}", l.base, l.quote))
            .collect();
        let close = nearest(name, names.iter().map(String::as_str));
        Failure::new(
            Category::NotFound,
            "instrument_unknown",
            format!(
                "no instrument named '{name}' at {venue}; nearest: {}",
                close.join(", ")
            ),
            "names are BASE-QUOTE as in BTC-USD",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let listing = |base: &str, quote: &str| Listing {
            symbol: format!("{base}/{quote}"),
            rest_symbol: format!("{base}{quote}"),
            base: base.into(),
            quote: quote.into(),
            tick: "0.1".parse().unwrap(),
            lot: "0.001".parse().unwrap(),
            price_scale: 1,
            size_scale: 3,
            status: "online".into(),
        };
        Catalogue {
            protocol: &venues::kraken::Kraken,
            listings: [("BTC", "USD"), ("BTC", "EUR"), ("ETH", "USD"), ("SOL", "USD")]
                .map(|(base, quote)| listing(base, quote))
                .to_vec(),
        }
    }

    #[test]
    fn names_in_three_spellings_and_each_once() {
        let names = ["BTC/USD", "BTC-USD.sim-kraken", " ETH-USD ", "BTC-USD", ""].map(String::from);
        let (found, unknown) = catalogue().resolve(&names, "sim-kraken");
        assert_eq!(
            found.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(),
            ["BTC-USD", "ETH-USD"]
        );
        assert!(unknown.is_empty());
        assert_eq!(catalogue().defaults(), ["BTC-USD", "ETH-USD"]);
    }

    #[test]
    fn what_a_shorter_table_leaves_out_is_kept_while_it_is_collected() {
        let before = catalogue();
        let mut after = catalogue();
        after.listings.truncate(1);
        assert_eq!(
            after.keep_listed(&before, &["BTC-USD".into(), "ETH-USD".into()]),
            ["ETH-USD"]
        );
        assert!(after.find("ETH-USD").is_some() && after.find("SOL-USD").is_none());
    }

    #[test]
    fn an_unknown_name_gets_the_three_nearest_and_stops_no_other() {
        let names = ["BTC-USB", "SOL-USD"].map(String::from);
        let (found, unknown) = catalogue().resolve(&names, "kraken");
        assert_eq!(found.len(), 1);
        assert_eq!(
            unknown[0].message,
            "no instrument named 'BTC-USB' at kraken; nearest: BTC-USD, BTC-EUR, ETH-USD"
        );
        assert_eq!(unknown[0].category.exit_code(), 5);
    }
}
