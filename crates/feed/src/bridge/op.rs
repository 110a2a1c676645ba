//! What a client may say: authorise, subscribe, unsubscribe, ping. One JSON object a message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::{CHANNELS, Place, channel_bit};
use super::client::Conversation;
use super::hub::Hub;
use super::interest::{Instruments, Interest};
use super::outbox::{Part, Subscription};
use super::venue::Venue;
use super::websocket::close;
use crate::clock::wall_ns;
use crate::failure::{Category, Failure, nearest};
use crate::ticket::Purpose;

/// Levels of each side a book shows when nothing is asked, and at most.
const DEPTH_DEFAULT: u16 = 20;
const DEPTH_MAX: u16 = 500;
/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Instruments named in one subscription; a whole venue is named by itself.
const NAMES_MAX: usize = 2000;
/// Integers that every JSON reader keeps exactly end here.
const ID_MAX: u64 = 1 << 53;

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Op {
    Auth {
        ticket: String,
    },
    Subscribe(Wish),
    Unsubscribe {
        id: u64,
    },
    Ping {
        #[serde(default)]
        id: Option<u64>,
    },
}

/// A subscription as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    id: u64,
    #[serde(default)]
    instruments: Vec<String>,
    #[serde(default)]
    venues: Vec<String>,
    channels: Vec<String>,
    #[serde(default)]
    depth: Option<u16>,
    /// Last position the client has, by venue.
    #[serde(default)]
    from: BTreeMap<String, Place>,
}

/// The text of an error message; `id` names the subscription or ping it answers.
pub fn error(failure: &Failure, id: Option<u64>) -> String {
    let mut value = failure.to_json();
    value["type"] = "error".into();
    if let Some(id) = id {
        value["id"] = id.into();
    }
    value.to_string()
}

pub fn unauthorized(found: &str) -> String {
    error(
        &Failure::new(
            Category::Auth,
            "unauthorized",
            format!("this stream is for signed-in users: {found}"),
            "get a ticket (POST /api/v1/stream/ticket) and send {\"op\":\"auth\",\"ticket\":…} first",
        ),
        None,
    )
}

pub fn flood(ops_per_s: f64) -> String {
    error(
        &Failure::new(
            Category::RateLimit,
            "operations_flood",
            format!("over {ops_per_s} operations a second came"),
            "put more instruments into one subscription",
        ),
        None,
    )
}

fn refused(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Category::Usage, code, message, hint)
}

/// Does what the text asks; errors are answered.
pub fn perform(conversation: &mut Conversation, text: &str) {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let id = value
        .as_ref()
        .and_then(|value| value.get("id"))
        .and_then(Value::as_u64);
    let result = match value {
        Some(value) if value.is_object() => match serde_json::from_value::<Op>(value) {
            Ok(op) => act(conversation, op),
            Err(found) => Err(refused(
                "operation_malformed",
                format!("the operation does not read: {found}"),
                "have: auth, subscribe, unsubscribe, ping; docs/stream.md shows each",
            )),
        },
        _ => Err(refused(
            "operation_not_json",
            "a message is one JSON object; this one is not",
            r#"for example {"op":"ping","id":1}"#,
        )),
    };
    if let Err(failure) = result {
        conversation.client.bridge().stats.refused.fetch_add(1, Relaxed);
        let is_end = failure.category == Category::Auth;
        conversation.client.with(|outbox| {
            outbox.say(&error(&failure, id));
            if is_end {
                outbox.close(close::UNAUTHORIZED, failure.code);
            }
        });
    }
}

fn act(conversation: &mut Conversation, op: Op) -> Result<(), Failure> {
    match op {
        Op::Auth { ticket } => {
            let bridge = conversation.client.bridge();
            let now_s = wall_ns().unsigned_abs() / 1_000_000_000;
            let refused = |found: &str| {
                Failure::new(
                    Category::Auth,
                    "ticket_refused",
                    format!("the ticket is refused: {found}"),
                    "get a new one (POST /api/v1/stream/ticket); it lives 30 s",
                )
            };
            let pass = bridge
                .keeper
                .key
                .verify(&ticket, Purpose::Ticket, now_s)
                .map_err(|refusal| refused(&refusal.to_string()))?;
            if bridge.is_revoked(&pass.subject) {
                return Err(refused("its session has ended"));
            }
            conversation.authorize(pass);
            Ok(())
        }
        Op::Ping { id } => {
            let text = match id {
                Some(id) => format!("{{\"type\":\"pong\",\"id\":{id}}}"),
                None => "{\"type\":\"pong\"}".into(),
            };
            conversation.client.with(|outbox| outbox.say(&text));
            Ok(())
        }
        _ if !conversation.is_authorized => Err(Failure::new(
            Category::Auth,
            "unauthorized",
            "subscriptions are for signed-in users",
            "send {\"op\":\"auth\",\"ticket\":…} first",
        )),
        Op::Subscribe(wish) => subscribe(conversation, &wish),
        Op::Unsubscribe { id } => {
            let client = conversation.client.clone();
            let Some(subscription) = client.with(|outbox| outbox.unsubscribe(id)) else {
                return Err(Failure::new(
                    Category::NotFound,
                    "subscription_unknown",
                    format!("this connection has no subscription {id}"),
                    "",
                ));
            };
            conversation
                .histories
                .retain(|history| history.subscription != id);
            client.bridge().left(&subscription);
            client.with(|outbox| outbox.say(&format!("{{\"type\":\"unsubscribed\",\"id\":{id}}}")));
            Ok(())
        }
    }
}

fn unknown<'a>(what: &'static str, name: &str, names: impl IntoIterator<Item = &'a str>) -> Failure {
    let shown: String = name.chars().take(80).collect();
    let close = nearest(&shown, names);
    Failure::new(
        Category::NotFound,
        if what == "venue" {
            "venue_unknown"
        } else {
            "instrument_unknown"
        },
        format!("no {what} named '{shown}'"),
        if close.is_empty() {
            format!("there is no {what} yet")
        } else {
            format!("nearest: {}", close.join(", "))
        },
    )
}

fn channels(names: &[String]) -> Result<u8, Failure> {
    let mut bits = 0;
    for name in names {
        match CHANNELS.iter().find(|(known, _)| known == name) {
            Some((_, bit)) => bits |= bit,
            None if name.starts_with("bars:") => {
                return Err(refused(
                    "interval_unknown",
                    format!(
                        "no channel '{}': the stream has bars of one second",
                        name.chars().take(40).collect::<String>()
                    ),
                    "subscribe to bars:1s and roll them up, from the bars of /api/v1/data on",
                ));
            }
            None => {
                let have: Vec<&str> = CHANNELS.iter().map(|(known, _)| *known).collect();
                return Err(refused(
                    "channel_unknown",
                    format!("no channel '{}'", name.chars().take(40).collect::<String>()),
                    format!("have: {}", have.join(", ")),
                ));
            }
        }
    }
    if bits == 0 {
        return Err(refused(
            "channels_missing",
            "the subscription names no channel",
            "for example \"channels\":[\"trades\"]",
        ));
    }
    Ok(bits)
}

/// The venues of a wish, with the instruments it wants of each.
fn choose(hubs: &[Arc<Hub>], wish: &Wish) -> Result<Vec<(Arc<Hub>, Instruments)>, Failure> {
    let find = |name: &str| hubs.iter().find(|hub| &*hub.name == name);
    let mut named: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for name in &wish.instruments {
        let owner = name.rsplit_once('.').and_then(|(_, venue)| find(venue));
        let number = owner.and_then(|hub| Some((hub.index, hub.find(name)?)));
        let Some((index, number)) = number else {
            let names: Vec<String> = hubs
                .iter()
                .flat_map(|hub| {
                    hub.lock()
                        .instrument_names()
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                })
                .collect();
            return Err(unknown("instrument", name, names.iter().map(String::as_str)));
        };
        named.entry(index).or_default().push(number);
    }
    let mut whole = Vec::new();
    for name in &wish.venues {
        let hub = find(name).ok_or_else(|| unknown("venue", name, hubs.iter().map(|hub| &*hub.name)))?;
        // Instruments narrow their own venue.
        if !named.contains_key(&hub.index) && !whole.contains(&hub.index) {
            whole.push(hub.index);
        }
    }
    let mut chosen: Vec<(usize, Instruments)> = named
        .into_iter()
        .map(|(index, numbers)| (index, Instruments::some(numbers)))
        .chain(whole.into_iter().map(|index| (index, Instruments::All)))
        .collect();
    chosen.sort_by_key(|(index, _)| *index);
    Ok(chosen
        .into_iter()
        .map(|(index, instruments)| (hubs[index].clone(), instruments))
        .collect())
}

fn names_of(venue: &Venue, instruments: &Instruments) -> Vec<String> {
    venue
        .instrument_names()
        .filter(|name| venue.find(name).is_some_and(|number| instruments.has(number)))
        .map(str::to_owned)
        .collect()
}

fn subscribe(conversation: &mut Conversation, wish: &Wish) -> Result<(), Failure> {
    let client = conversation.client.clone();
    let bridge = client.bridge().clone();
    if wish.id > ID_MAX {
        return Err(refused(
            "id_large",
            format!("id {} is over 2^53", wish.id),
            "count from 1",
        ));
    }
    if wish.instruments.is_empty() && wish.venues.is_empty() {
        return Err(refused(
            "subscription_empty",
            "the subscription names neither instruments nor venues",
            "name a venue in \"venues\" for all of its instruments",
        ));
    }
    if wish.instruments.len() + wish.venues.len() > NAMES_MAX {
        return Err(Failure::new(
            Category::Resource,
            "subscription_large",
            format!("a subscription names at most {NAMES_MAX} instruments"),
            "name the venue in \"venues\" for all of its instruments",
        ));
    }
    let bits = channels(&wish.channels)?;
    let depth = wish.depth.unwrap_or(DEPTH_DEFAULT);
    if depth == 0 || depth > DEPTH_MAX {
        return Err(refused(
            "depth_out_of_range",
            format!("depth {depth} was asked for"),
            format!("1 to {DEPTH_MAX}"),
        ));
    }
    let (count, is_taken) = client.with(|outbox| {
        (
            outbox.subscriptions.len(),
            outbox.subscriptions.iter().any(|one| one.id == wish.id),
        )
    });
    if is_taken {
        return Err(Failure::new(
            Category::Conflict,
            "subscription_taken",
            format!("this connection has a subscription {} already", wish.id),
            "unsubscribe it, or use another id",
        ));
    }
    if count >= SUBSCRIPTIONS_MAX {
        return Err(Failure::new(
            Category::Resource,
            "subscriptions_full",
            format!("a connection has at most {SUBSCRIPTIONS_MAX} subscriptions"),
            "put more instruments into one subscription",
        ));
    }
    let hubs = bridge.hubs();
    let chosen = choose(&hubs, wish)?;
    for name in wish.from.keys() {
        if !chosen.iter().any(|(hub, _)| &*hub.name == name.as_str()) {
            return Err(refused(
                "position_stray",
                format!(
                    "\"from\" names the venue '{}', which is not subscribed",
                    name.chars().take(80).collect::<String>()
                ),
                "name positions of subscribed venues only",
            ));
        }
    }

    let mut shares = Vec::new();
    let mut histories = Vec::new();
    for (hub, instruments) in chosen {
        let interest = Interest {
            instruments,
            channels: bits,
            depth,
        };
        let mut from = wish.from.get(&*hub.name).copied();
        if let Some(asked) = from {
            let history = hub.history(wish.id, &interest, asked)?;
            from = Some(history.from());
            histories.push(history);
        }
        shares.push(Share { hub, interest, from });
    }
    begin(conversation, wish, bits, &shares);
    conversation.histories.append(&mut histories);
    Ok(())
}

/// What a subscription wants of one venue.
struct Share {
    hub: Arc<Hub>,
    interest: Interest,
    from: Option<Place>,
}

/// Answers, and lets the live shares begin at the positions that the answer names: all venues are held
/// meanwhile, so that nothing comes in between.
fn begin(conversation: &Conversation, wish: &Wish, bits: u8, shares: &[Share]) {
    let mut venues: Vec<_> = shares.iter().map(|share| share.hub.lock()).collect(); // in order of index
    let mut instruments = Vec::new();
    let mut positions = BTreeMap::new();
    let mut parts = Vec::new();
    let mut currents = Vec::new();
    for (share, venue) in shares.iter().zip(&mut venues) {
        instruments.extend(names_of(venue, &share.interest.instruments));
        let from = share.from.unwrap_or(venue.position());
        positions.insert(&*share.hub.name, from);
        let hub = &share.hub;
        let mut part = Part::new(hub.index, hub.name.clone(), share.interest.clone(), from);
        part.catching = share.from.is_some();
        parts.push(part);
        if share.from.is_none() {
            venue.join(&share.interest);
            currents.push(venue.current(&share.interest, false, Instant::now()).finish());
        }
    }
    let names: Vec<&str> = CHANNELS
        .iter()
        .filter(|(_, bit)| bits & bit != 0)
        .map(|(name, _)| *name)
        .collect();
    let mut answer = json!({
        "type": "subscribed",
        "id": wish.id,
        "instruments": instruments,
        "channels": names,
        "from": positions,
    });
    if bits & channel_bit::BOOK != 0 {
        answer["depth"] = wish.depth.unwrap_or(DEPTH_DEFAULT).into();
    }
    conversation.client.with(|outbox| {
        outbox.say(&answer.to_string());
        outbox.subscribe(Subscription { id: wish.id, parts });
        for current in &currents {
            outbox.show_current(wish.id, current);
        }
    });
}
