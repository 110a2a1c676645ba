//! The control messages of wire sockets, as JSON in frames of type 2.

use std::collections::BTreeMap;

use journal::{Instrument, Position};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Category, Failure};

/// The only major version there is. A peer that names another is refused.
pub const VERSION: u32 = 1;

/// (epoch, sequence).
pub type Place = (u32, u64);

/// First message of a server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Hello {
    pub version: u32,
    /// A token is wanted: the venues follow in a second hello, once the subscription brought it.
    #[serde(default)]
    pub token: bool,
    #[serde(default)]
    pub venues: Vec<VenueEntry>,
}

/// What a server has of one venue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VenueEntry {
    /// Its number, as in frame headers.
    pub venue: u16,
    pub name: String,
    /// First record there is.
    pub oldest: Place,
    /// Next record to be written.
    pub newest: Place,
    #[serde(default)]
    pub instruments: Vec<Instrument>,
}

/// First message of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    #[serde(rename = "type", default = "subscribe")]
    /// "subscribe".
    #[doc(hidden)]
    pub kind: String,
    /// Highest version the client speaks.
    #[serde(default = "version")]
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Venues wanted; none named, and no instruments either: all, those to come included.
    #[serde(default)]
    pub venues: Vec<String>,
    /// Instruments wanted. They narrow their own venue; a venue without one here is wanted whole.
    #[serde(default)]
    pub instruments: Vec<String>,
    /// Kinds of records wanted; none named: all.
    #[serde(default)]
    pub kinds: Vec<u8>,
    #[serde(default)]
    pub from: Start,
}

fn subscribe() -> String {
    "subscribe".into()
}

const fn version() -> u32 {
    VERSION
}

impl Default for Subscribe {
    fn default() -> Self {
        Self {
            kind: subscribe(),
            version: VERSION,
            token: None,
            venues: Vec::new(),
            instruments: Vec::new(),
            kinds: Vec::new(),
            from: Start::Live,
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// With the next record.
    #[default]
    Live,
    /// Each instrument at its newest book snapshot; without one, with the next record.
    Snapshot,
    /// The first record there is.
    Oldest,
    /// The first record wanted, by venue; others begin live.
    At(BTreeMap<String, Place>),
}

impl Serialize for Start {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Live => out.serialize_str("live"),
            Self::Snapshot => out.serialize_str("snapshot"),
            Self::Oldest => out.serialize_str("oldest"),
            Self::At(places) => places.serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let wanted = Value::deserialize(input)?;
        match &wanted {
            Value::String(word) if word == "live" => return Ok(Self::Live),
            Value::String(word) if word == "snapshot" => return Ok(Self::Snapshot),
            Value::String(word) if word == "oldest" => return Ok(Self::Oldest),
            Value::Object(places) => {
                let mut found = BTreeMap::new();
                for (venue, place) in places {
                    let place = Place::deserialize(place).map_err(|_| {
                        serde::de::Error::custom(format!(
                            "the position of {venue} is [epoch, sequence], two whole numbers from 0, not {place}"
                        ))
                    })?;
                    found.insert(venue.clone(), place);
                }
                return Ok(Self::At(found));
            }
            _ => {}
        }
        Err(serde::de::Error::custom(format!(
            "from is \"live\", \"snapshot\", \"oldest\" or positions by venue, not {wanted}"
        )))
    }
}

/// The position is older than the oldest record: what lies between is lost here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lapped {
    pub venue: String,
    pub wanted: Place,
    pub oldest: Place,
}

pub fn hello(needs_token: bool, venues: &[VenueEntry]) -> Value {
    json!({"type": "hello", "version": VERSION, "token": needs_token, "venues": venues})
}

/// A venue that appeared after the hello.
pub fn venue(entry: &VenueEntry) -> Value {
    let mut value = json!(entry);
    value["type"] = "venue".into();
    value
}

/// Instruments that the hello did not hold.
pub fn instruments(venue: u16, instruments: &[&Instrument]) -> Value {
    json!({"type": "instruments", "venue": venue, "instruments": instruments})
}

pub fn lapped(venue: &str, wanted: Position, oldest: Position) -> Value {
    json!({
        "type": "lapped",
        "venue": venue,
        "wanted": [wanted.epoch, wanted.sequence],
        "oldest": [oldest.epoch, oldest.sequence],
    })
}

/// The last message before a server closes.
pub fn error(failure: &Failure) -> Value {
    let mut value = failure.to_json();
    value["type"] = "error".into();
    value
}

/// What a server's error message says, as a failure here.
pub fn failure(error: &Value) -> Failure {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let category = match text("category") {
        "usage" => Category::Usage,
        "auth" => Category::Auth,
        "not_found" => Category::NotFound,
        "conflict" => Category::Conflict,
        "rate_limit" => Category::RateLimit,
        "timeout" => Category::Timeout,
        "resource" => Category::Resource,
        _ => Category::Upstream,
    };
    Failure::new(
        category,
        "relay_refused",
        format!("the relay refused ({}): {}", text("code"), text("message")),
        text("hint"),
    )
}

/// Appends a control frame. It belongs to no place in a log unless `place` names one.
pub fn control(out: &mut Vec<u8>, venue: u16, place: Place, message: &Value) {
    wire::frame::encode(
        out,
        wire::frame::kind::CONTROL,
        venue,
        place.0,
        place.1,
        0,
        message.to_string().as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_read_as_documented() {
        let read = |text: &str| serde_json::from_str::<Subscribe>(text);
        let one = read(
            r#"{"type":"subscribe","venues":["sim-kraken"],"instruments":[],"kinds":[1],
                "from":{"sim-kraken":[3,812]}}"#,
        )
        .unwrap();
        assert_eq!(one.kinds, [1]);
        assert_eq!(one.from, Start::At([("sim-kraken".into(), (3, 812))].into()));
        assert_eq!(read("{}").unwrap(), Subscribe::default());
        assert_eq!(read(r#"{"from":"snapshot"}"#).unwrap().from, Start::Snapshot);
        for bad in [
            r#"{"from":"yesterday"}"#,
            r#"{"kinds":[300]}"#,
            r#"{"filter":[]}"#,
            r#"{"from":{"a":[1]}}"#,
            r#"{"from":{"a":[1,-1]}}"#,
            "nothing",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let told = read(r#"{"from":{"a":[1,-1]}}"#).unwrap_err().to_string();
        assert!(told.contains("the position of a is [epoch, sequence]"), "{told}");
        assert!(told.contains("not [1,-1]"), "{told}");
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(read(&text).unwrap(), one);
    }
}
