//! Brings one venue's frames to one subscriber, on a thread of its own: from the journal, or from another relay.
//! It waits for the subscriber's socket and for nobody else.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use journal::{From, Instrument, Position, Reader, Registry, Seek};
use serde_json::json;
use wire::frame::{self, kind};

use super::client::{Address, Client, Event};
use super::filter::{Filter, Forward};
use super::offer::{Offer, Subscription, UPSTREAM_ANSWERS};
use super::peer::{End, Peer, Pumping, lock};
use super::protocol::{self, Start, Subscribe, VenueEntry};
use super::server::Server;
use super::talk::TABLE_ROWS;
use crate::failure::{Category, Failure};

/// Frames are collected up to about this many bytes for one write.
const WRITE_BYTES: usize = 256 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(1);

impl Server {
    /// Starts a thread that serves this venue, if it is wanted and not served yet.
    pub(super) fn serve_venue(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        subscription: &Subscription,
        offer: Offer,
        served: &mut HashSet<String>,
        is_new: bool,
    ) -> Result<(), Failure> {
        if served.contains(&offer.entry.name) || !subscription.wants(&offer.entry.name) {
            return Ok(());
        }
        served.insert(offer.entry.name.clone());
        if is_new {
            let mut out = Vec::new();
            protocol::control(
                &mut out,
                offer.entry.venue,
                (0, 0),
                &protocol::venue(&offer.entry),
            );
            if peer.write(&out).is_err() {
                return Ok(());
            }
        }
        let name = offer.entry.name.clone();
        let start = match &subscription.from {
            // It began after the subscription: nothing of it is to be missed. One of another relay may only have been out of reach.
            _ if is_new && offer.upstream.is_none() => Start::Oldest,
            // Of the places only its own: another relay does not know the others.
            Start::At(places) => places.get(&name).map_or(Start::Live, |place| {
                Start::At([(name.clone(), *place)].into_iter().collect())
            }),
            start => start.clone(),
        };
        let filter = subscription.filter(&offer.entry);
        let server = self.clone();
        let pumping = Pumping::of(peer);
        self.spawn("relay-venue", move || {
            let result = match &offer.upstream {
                None => server.pump(&pumping, &offer.entry, filter, &start),
                Some(address) => server.pass_on(&pumping, address, &offer.entry, filter, &start),
            };
            match result {
                Ok(End::Drained) => return,
                Ok(End::Gone) => {}
                Ok(End::Stalled) => {
                    server.cut.fetch_add(1, Relaxed);
                    server.log.warn(
                        "cut a subscriber that took nothing",
                        json!({
                            "peer": pumping.id,
                            "stall_s": server.stall.as_secs(),
                            "positions": *lock(&pumping.positions),
                        }),
                    );
                }
                Err(failure) => {
                    server.log.error(
                        "a venue cannot be served",
                        json!({ "peer": pumping.id, "venue": name, "error": failure.to_json() }),
                    );
                    pumping.refuse(&failure);
                }
            }
            pumping.close();
        })
        .map_err(|error| threads_full(&error))
    }

    /// Passes one venue's frames to one subscriber, from the files, for as long as it stays.
    fn pump(
        &self,
        peer: &Peer,
        entry: &VenueEntry,
        mut filter: Filter,
        start: &Start,
    ) -> Result<End, Failure> {
        let mut reader = Reader::open(&self.home, &entry.name).map_err(|error| unreadable(&error))?;
        let mut known: HashSet<u32> = entry.instruments.iter().map(|one| one.number).collect();
        let mut out = Vec::with_capacity(WRITE_BYTES + 64 * 1024);
        let mut forward = Forward::default();
        if let Seek::Lapped { wanted, oldest } =
            begin(&mut reader, entry, &mut filter, start).map_err(|error| unreadable(&error))?
        {
            let place = (oldest.epoch, oldest.sequence);
            protocol::control(
                &mut out,
                entry.venue,
                place,
                &protocol::lapped(&entry.name, wanted, oldest),
            );
        }
        let mut heartbeat = Instant::now(); // the first one at once: it tells where the subscriber is
        loop {
            if peer.is_closed() {
                return Ok(End::Gone);
            }
            // Looked at before the journal: what was written by then is passed on.
            let is_ending = self.closing.load(Relaxed);
            let (mut frames, mut skipped) = (0, 0);
            let is_caught_up = loop {
                if out.len() >= WRITE_BYTES {
                    break false;
                }
                match reader.next() {
                    Ok(Some(found)) => {
                        if found
                            .records()
                            .iter()
                            .any(|record| record.instrument != 0 && !known.contains(&record.instrument))
                        {
                            forward.flush(&mut out); // control frames name the place they stand at
                            self.introduce(&mut out, entry, &mut known, &found);
                        }
                        if forward.push(&mut out, &filter, &found) {
                            frames += 1;
                        } else {
                            skipped += 1;
                            if skipped >= 65_536 {
                                break false; // look up now and then while much is left out
                            }
                        }
                    }
                    Ok(None) => break true,
                    Err(journal::Error::Lapped { wanted, oldest }) => {
                        forward.flush(&mut out);
                        let place = (oldest.epoch, oldest.sequence);
                        let message = protocol::lapped(&entry.name, wanted, oldest);
                        protocol::control(&mut out, entry.venue, place, &message);
                    }
                    Err(error) => return Err(unreadable(&error)),
                }
            };
            peer.frames.fetch_add(frames, Relaxed);
            peer.skipped.fetch_add(skipped, Relaxed);
            let now = Instant::now();
            if now >= heartbeat || (is_ending && is_caught_up) {
                heartbeat = now + HEARTBEAT;
                forward.flush(&mut out);
                let newest = reader.newest();
                frame::encode(
                    &mut out,
                    kind::HEARTBEAT,
                    entry.venue,
                    newest.epoch,
                    newest.sequence,
                    0,
                    &[],
                );
            }
            if !out.is_empty() {
                if let Err(end) = peer.write(&out) {
                    return Ok(end);
                }
                out.clear();
                if let Some(position) = forward.position {
                    peer.note(&entry.name, position);
                }
            }
            if is_caught_up {
                if is_ending {
                    return Ok(End::Drained);
                }
                let left = heartbeat.saturating_duration_since(Instant::now());
                reader.wait(left.min(Duration::from_millis(250)));
            }
        }
    }

    /// Tells of instruments that a frame names and the hello did not.
    fn introduce(
        &self,
        out: &mut Vec<u8>,
        entry: &VenueEntry,
        known: &mut HashSet<u32>,
        found: &wire::Frame<'_>,
    ) {
        if let Ok(registry) = Registry::open(&self.home, &entry.name) {
            let fresh: Vec<&Instrument> = registry
                .instruments()
                .filter(|one| !known.contains(&one.number))
                .collect();
            for rows in fresh.chunks(TABLE_ROWS) {
                protocol::control(
                    out,
                    entry.venue,
                    (found.header.epoch, found.header.sequence),
                    &protocol::instruments(entry.venue, rows),
                );
            }
            known.extend(fresh.iter().map(|one| one.number));
        }
        // A number that no registry has is asked for once: the records are passed on all the same.
        known.extend(found.records().iter().map(|record| record.instrument));
    }

    /// Passes on one venue of an upstream relay. Filtering and places are the upstream's work; the bytes
    /// are the same.
    fn pass_on(
        &self,
        peer: &Peer,
        address: &Address,
        entry: &VenueEntry,
        filter: Filter,
        start: &Start,
    ) -> Result<End, Failure> {
        let mut client = Client::connect(address, self.token.as_deref(), UPSTREAM_ANSWERS)?;
        let chosen = filter.instruments.as_ref().map(|chosen| {
            entry
                .instruments
                .iter()
                .filter(|one| chosen.contains_key(&one.number))
                .map(|one| one.name.clone())
                .collect()
        });
        let kinds = filter.kinds.map_or(Vec::new(), |bits| {
            (0..=255u8)
                .filter(|kind| bits[usize::from(kind / 64)] >> (kind % 64) & 1 == 1)
                .collect()
        });
        client.subscribe(&Subscribe {
            venues: vec![entry.name.clone()],
            instruments: chosen.unwrap_or_default(),
            kinds,
            from: start.clone(),
            ..Subscribe::default()
        })?;
        let mut out = Vec::new();
        loop {
            if peer.is_closed() {
                return Ok(End::Gone);
            }
            let is_ending = self.closing.load(Relaxed);
            loop {
                match client.next(None)? {
                    Some(Event::Frame(found)) => {
                        out.extend_from_slice(found.bytes);
                        let counter = match found.header.kind {
                            kind::RECORDS => &peer.frames,
                            kind::SKIP => &peer.skipped,
                            _ => continue, // what is not of the log may name no place in it
                        };
                        counter.fetch_add(1, Relaxed);
                        peer.note(&entry.name, (found.header.epoch, found.header.next_sequence()));
                    }
                    Some(Event::Lapped(lapped)) => {
                        let at = |place: (u32, u64)| Position::new(place.0, place.1);
                        let message = protocol::lapped(&lapped.venue, at(lapped.wanted), at(lapped.oldest));
                        protocol::control(&mut out, entry.venue, lapped.oldest, &message);
                    }
                    None => break,
                }
                if out.len() >= WRITE_BYTES {
                    break;
                }
            }
            if out.is_empty() {
                if is_ending {
                    return Ok(End::Drained);
                }
                client.wait(Duration::from_millis(250));
                continue;
            }
            if let Err(end) = peer.write(&out) {
                return Ok(end);
            }
            out.clear();
        }
    }
}

/// Puts the reader, and for "snapshot" each instrument's own beginning, where the subscription starts.
fn begin(
    reader: &mut Reader,
    entry: &VenueEntry,
    filter: &mut Filter,
    start: &Start,
) -> Result<Seek, journal::Error> {
    match start {
        Start::Live => reader.seek(From::Newest),
        Start::Oldest => reader.seek(From::Oldest),
        Start::At(places) => match places.get(&entry.name) {
            Some((epoch, sequence)) => reader.seek(From::At(Position::new(*epoch, *sequence))),
            None => reader.seek(From::Newest),
        },
        Start::Snapshot => {
            let newest = reader.newest();
            let mut first = newest;
            let mut begins = HashMap::new();
            for instrument in &entry.instruments {
                if filter
                    .instruments
                    .as_ref()
                    .is_some_and(|chosen| !chosen.contains_key(&instrument.number))
                {
                    continue;
                }
                let position = match reader.seek(From::Snapshot(instrument.number))? {
                    Seek::At(position) => position,
                    _ => newest,
                };
                first = first.min(position);
                begins.insert(instrument.number, position);
            }
            filter.from = first;
            match &mut filter.instruments {
                Some(chosen) => *chosen = begins,
                None => filter.late = begins.into_iter().filter(|(_, from)| *from > first).collect(),
            }
            reader.seek(From::At(first))
        }
    }
}

pub(super) fn threads_full(error: &io::Error) -> Failure {
    Failure::new(
        Category::Resource,
        "threads_full",
        format!("no thread for a venue: {error}"),
        "",
    )
}

fn unreadable(error: &journal::Error) -> Failure {
    Failure::new(Category::Internal, "journal_unreadable", error.to_string(), "")
}
