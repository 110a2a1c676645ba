//! What a subscriber and the relay say to each other: hello, subscription, and what comes behind it. Records are
//! not its affair.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use journal::Instrument;
use serde_json::Value;
use wire::frame::{Decoder, kind};

use super::offer::{Offer, Subscription};
use super::peer::{End, Peer, Received};
use super::protocol::{self, Subscribe, VERSION, VenueEntry};
use super::pump::threads_full;
use super::server::Server;
use crate::failure::{Category, Failure};
use crate::ticket::same_secret;

/// A peer must have subscribed within this.
const SUBSCRIBES_WITHIN: Duration = Duration::from_secs(10);
/// New venues are looked for this often.
const LOOK: Duration = Duration::from_millis(500);
/// Instruments in one control frame; more follow in further frames, which have a bound of 1 MiB.
pub(super) const TABLE_ROWS: usize = 1000;
/// Bytes a peer may have sent before its subscription is complete.
const SUBSCRIPTION_BYTES_MAX: usize = 256 * 1024;

impl Server {
    /// Hello, subscription, then serving until the peer goes. An error is told to the peer.
    pub(super) fn talk(self: &Arc<Self>, peer: &Arc<Peer>) -> Result<(), Failure> {
        let needs_token = peer.is_remote();
        // A stranger is not told what there is, and makes us ask nobody for it.
        let mut offers = if needs_token { Vec::new() } else { self.offers() };
        if self.greet(peer, needs_token, &offers).is_err() {
            return Ok(());
        }
        let mut decoder = Decoder::new();
        let Some(subscribe) = self.await_subscription(peer, &mut decoder)? else {
            return Ok(());
        };
        if needs_token {
            let given = subscribe.token.as_deref().unwrap_or_default();
            if !self
                .token
                .as_deref()
                .is_some_and(|token| same_secret(token, given))
            {
                std::thread::sleep(Duration::from_millis(200)); // guessing is slow
                return Err(Failure::new(
                    Category::Auth,
                    "token_refused",
                    "the subscription holds no valid token",
                    "send the token of this relay's --token-file as \"token\"",
                ));
            }
            offers = self.offers();
            if self.greet(peer, false, &offers).is_err() {
                return Ok(());
            }
        }
        let subscription = Subscription::new(&subscribe, &offers)?;
        let mut served = HashSet::new();
        for offer in offers {
            self.serve_venue(peer, &subscription, offer, &mut served, false)?;
        }
        self.attend(peer, &subscription, decoder, served)
    }

    fn greet(&self, peer: &Peer, needs_token: bool, offers: &[Offer]) -> Result<(), End> {
        let mut out = Vec::new();
        let heads: Vec<VenueEntry> = offers
            .iter()
            .map(|offer| VenueEntry {
                instruments: offer.entry.instruments.iter().take(TABLE_ROWS).cloned().collect(),
                ..offer.entry.clone()
            })
            .collect();
        protocol::control(&mut out, 0, (0, 0), &protocol::hello(needs_token, &heads));
        for offer in offers {
            let rest: Vec<&Instrument> = offer.entry.instruments.iter().skip(TABLE_ROWS).collect();
            for rows in rest.chunks(TABLE_ROWS) {
                let message = protocol::instruments(offer.entry.venue, rows);
                protocol::control(&mut out, offer.entry.venue, (0, 0), &message);
            }
        }
        peer.write(&out)
    }

    /// The subscription; `None` when the peer went without one.
    fn await_subscription(&self, peer: &Peer, decoder: &mut Decoder) -> Result<Option<Subscribe>, Failure> {
        let deadline = Instant::now() + SUBSCRIBES_WITHIN;
        let mut received = 0;
        loop {
            while let Some(found) = decoder.next_frame().map_err(|error| garbage(&error))? {
                let Some(text) = found.control() else {
                    if found.header.kind == kind::CONTROL {
                        return Err(bad_subscription("its text is not UTF-8"));
                    }
                    continue; // a type of a later version
                };
                let value: Value =
                    serde_json::from_str(text).map_err(|error| bad_subscription(&error.to_string()))?;
                if value.get("type").and_then(Value::as_str) != Some("subscribe") {
                    continue; // unknown control types are ignored
                }
                let subscribe: Subscribe =
                    serde_json::from_value(value).map_err(|error| bad_subscription(&error.to_string()))?;
                if subscribe.version != VERSION {
                    return Err(Failure::new(
                        Category::Usage,
                        "version_refused",
                        format!(
                            "version {} was asked for; this relay speaks {VERSION}",
                            subscribe.version
                        ),
                        "use a client of this version",
                    ));
                }
                return Ok(Some(subscribe));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closing.load(Relaxed) {
                return Ok(None);
            }
            if left.is_zero() {
                return Err(Failure::new(
                    Category::Timeout,
                    "subscription_missing",
                    format!("no subscription came within {} s", SUBSCRIBES_WITHIN.as_secs()),
                    "send a control frame {\"type\":\"subscribe\", …} after the hello",
                ));
            }
            match peer.receive(decoder, left.min(LOOK)) {
                Received::Bytes(bytes) => received += bytes,
                Received::Nothing => {}
                Received::End => return Ok(None),
            }
            if received > SUBSCRIPTION_BYTES_MAX {
                return Err(Failure::new(
                    Category::Resource,
                    "subscription_long",
                    format!("over {SUBSCRIPTION_BYTES_MAX} bytes came without a subscription"),
                    "",
                ));
            }
        }
    }

    /// While others write: reads what the peer sends, and looks for venues that appear. Whoever ends the
    /// peer ends this.
    fn attend(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        subscription: &Subscription,
        mut decoder: Decoder,
        mut served: HashSet<String>,
    ) -> Result<(), Failure> {
        let later = match subscription.wants_everything() && !self.upstreams.is_empty() {
            true => Some(self.look_up(peer).map_err(|error| threads_full(&error))?),
            false => None,
        };
        let mut looked = Instant::now();
        while !peer.is_closed() {
            // What came behind the subscription is looked at first.
            while let Some(found) = decoder.next_frame().map_err(|error| garbage(&error))? {
                let is_second = found.control().is_some_and(|text| {
                    serde_json::from_str::<Value>(text)
                        .is_ok_and(|value| value.get("type").is_some_and(|kind| kind == "subscribe"))
                });
                if is_second {
                    return Err(Failure::new(
                        Category::Conflict,
                        "subscribed_already",
                        "a connection has one subscription",
                        "open another connection",
                    ));
                }
            }
            if let Received::End = peer.receive(&mut decoder, LOOK) {
                return Ok(());
            }
            if looked.elapsed() >= LOOK && !self.closing.load(Relaxed) {
                looked = Instant::now();
                let fresh = self
                    .local_venues()
                    .filter(|venue| !served.contains(&venue.name) && subscription.wants(&venue.name));
                for offer in fresh
                    .filter_map(|venue| self.local_offer(venue))
                    .collect::<Vec<_>>()
                {
                    self.serve_venue(peer, subscription, offer, &mut served, true)?;
                }
                for offer in later.iter().flat_map(Receiver::try_iter) {
                    self.serve_venue(peer, subscription, offer, &mut served, true)?;
                }
            }
        }
        Ok(())
    }
}

fn garbage(error: &wire::FrameError) -> Failure {
    Failure::new(
        Category::Usage,
        "frame_malformed",
        format!("what came is not a frame: {error}"),
        "docs/wire.md describes the bytes",
    )
}

fn bad_subscription(found: &str) -> Failure {
    Failure::new(
        Category::Usage,
        "subscription_malformed",
        format!("the subscription does not read: {found}"),
        "docs/wire.md has an example",
    )
}
