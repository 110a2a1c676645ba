//! What a relay has, from its own journals and from other relays, and what a subscription wants of it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use journal::{Position, Reader, Registry, Venue};
use serde_json::{Value, json};

use super::client::{Address, Client};
use super::filter::Filter;
use super::peer::Peer;
use super::protocol::{Start, Subscribe, VenueEntry};
use super::server::Server;
use crate::failure::{Category, Failure, nearest};

/// An upstream relay that does not answer within this is left out.
pub(super) const UPSTREAM_ANSWERS: Duration = Duration::from_secs(3);

/// Upstream relays are looked at this often for venues that appear.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A venue that can be had here.
#[derive(Debug)]
pub(super) struct Offer {
    pub entry: VenueEntry,
    /// The relay it comes from; `None`: this home's journal.
    pub upstream: Option<Address>,
}

impl Server {
    pub(super) fn local_venues(&self) -> impl Iterator<Item = Venue> {
        // A registry that cannot be read now can be at the next look; what is served goes on.
        Registry::venues(&self.home)
            .unwrap_or_default()
            .into_iter()
            .filter(|venue| self.only.as_ref().is_none_or(|only| *only == venue.name))
    }

    /// `None` for a venue that nothing was written of yet.
    pub(super) fn local_offer(&self, venue: Venue) -> Option<Offer> {
        let reader = Reader::open(&self.home, &venue.name).ok()?;
        let registry = Registry::open(&self.home, &venue.name).ok()?;
        let place = |position: Position| (position.epoch, position.sequence);
        Some(Offer {
            entry: VenueEntry {
                venue: venue.number,
                name: venue.name,
                oldest: place(reader.oldest()),
                newest: place(reader.newest()),
                instruments: registry.instruments().cloned().collect(),
            },
            upstream: None,
        })
    }

    /// Venues of this home, then those of the upstream relays whose name and number are free here.
    pub(super) fn offers(&self) -> Vec<Offer> {
        self.gather(|what, fields| self.log.warn(what, fields))
    }

    /// What the upstream relays have, looked for again and again while the subscriber stays, on a thread of its own: one that
    /// does not answer takes seconds.
    pub(super) fn look_up(self: &Arc<Self>, peer: &Arc<Peer>) -> io::Result<Receiver<Offer>> {
        let (found, finding) = channel();
        let (server, peer) = (self.clone(), peer.clone());
        self.spawn("relay-look", move || {
            let mut looked = Instant::now();
            while !peer.is_closed() && !server.closing.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                if looked.elapsed() < LOOK_UP {
                    continue;
                }
                looked = Instant::now();
                // What is left out was said when the subscriber came.
                let offers = server.gather(|_, _| ()).into_iter();
                for offer in offers.filter(|offer| offer.upstream.is_some()) {
                    if found.send(offer).is_err() {
                        return; // nobody serves the subscriber any more
                    }
                }
            }
        })?;
        Ok(finding)
    }

    fn gather(&self, mut leave_out: impl FnMut(&str, Value)) -> Vec<Offer> {
        let mut offers: Vec<Offer> = self
            .local_venues()
            .filter_map(|venue| self.local_offer(venue))
            .collect();
        for address in &self.upstreams {
            let found = Client::connect(address, self.token.as_deref(), UPSTREAM_ANSWERS)
                .and_then(|mut client| client.look().map(|hello| hello.venues.clone()));
            let entries = match found {
                Ok(entries) => entries,
                Err(failure) => {
                    leave_out(
                        "an upstream relay is left out",
                        json!({ "address": address.to_string(), "error": failure.to_json() }),
                    );
                    continue;
                }
            };
            for entry in entries {
                let taken = offers
                    .iter()
                    .any(|offer| offer.entry.venue == entry.venue || offer.entry.name == entry.name);
                if taken {
                    leave_out(
                        "a venue of an upstream relay is left out: its name or number is taken here",
                        json!({ "address": address.to_string(), "venue": entry.name, "number": entry.venue }),
                    );
                } else {
                    offers.push(Offer {
                        entry,
                        upstream: Some(address.clone()),
                    });
                }
            }
        }
        offers
    }
}

/// What a subscriber asked for, checked against what there is.
#[derive(Debug)]
pub(super) struct Subscription {
    venues: HashSet<String>,
    /// By name. They narrow the venue they belong to.
    instruments: HashSet<String>,
    /// Venues that a named instrument belongs to.
    narrowed: HashSet<String>,
    kinds: Option<[u64; 4]>,
    pub from: Start,
}

impl Subscription {
    pub fn new(subscribe: &Subscribe, offers: &[Offer]) -> Result<Self, Failure> {
        let venue_names = || offers.iter().map(|offer| offer.entry.name.as_str());
        let positions = match &subscribe.from {
            Start::At(places) => places.keys().collect(),
            _ => Vec::new(),
        };
        for name in subscribe.venues.iter().chain(positions) {
            if !venue_names().any(|known| known == name) {
                return Err(unknown("venue", name, venue_names()));
            }
        }
        let mut narrowed = HashSet::new();
        for name in &subscribe.instruments {
            let owner = offers
                .iter()
                .find(|offer| offer.entry.instruments.iter().any(|one| one.name == *name));
            match owner {
                Some(offer) => {
                    narrowed.insert(offer.entry.name.clone());
                }
                None => {
                    let names = offers
                        .iter()
                        .flat_map(|offer| &offer.entry.instruments)
                        .map(|one| one.name.as_str());
                    return Err(unknown("instrument", name, names));
                }
            }
        }
        Ok(Self {
            venues: subscribe.venues.iter().cloned().collect(),
            instruments: subscribe.instruments.iter().cloned().collect(),
            narrowed,
            kinds: Filter::kinds(&subscribe.kinds),
            from: subscribe.from.clone(),
        })
    }

    /// Venues that appear later included.
    pub fn wants_everything(&self) -> bool {
        self.venues.is_empty() && self.instruments.is_empty()
    }

    pub fn wants(&self, venue: &str) -> bool {
        self.wants_everything() || self.venues.contains(venue) || self.narrowed.contains(venue)
    }

    pub fn filter(&self, entry: &VenueEntry) -> Filter {
        let chosen = self.narrowed.contains(&entry.name).then(|| {
            entry
                .instruments
                .iter()
                .filter(|one| self.instruments.contains(&one.name))
                .map(|one| (one.number, Position::default()))
                .collect()
        });
        Filter {
            instruments: chosen,
            kinds: self.kinds,
            ..Filter::default()
        }
    }
}

fn unknown<'a>(what: &'static str, name: &str, names: impl IntoIterator<Item = &'a str>) -> Failure {
    let close = nearest(name, names);
    Failure::new(
        Category::NotFound,
        if what == "venue" {
            "venue_unknown"
        } else {
            "instrument_unknown"
        },
        format!("no {what} named '{}'", name.chars().take(80).collect::<String>()),
        if close.is_empty() {
            format!("there is no {what} yet")
        } else {
            format!("nearest: {}", close.join(", "))
        },
    )
}
