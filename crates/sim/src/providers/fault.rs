//! What a provider of history does wrong on command. What goes wrong on its stream is the venues' own catalogue.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Throttle,
    Overlap,
    Short,
    Expired,
    Free,
    Slow,
    Cut,
    Error,
    ForeignNext,
}

/// A line of the catalogue: name, what it does, how often by default, and the parameter that only it has with
/// its lowest, default and highest value.
struct Entry {
    kind: Kind,
    name: &'static str,
    does: &'static str,
    count: u64,
    amount: Option<(&'static str, f64, f64, f64)>,
}

const ALWAYS: u64 = 1_000_000;

const CATALOGUE: [Entry; 9] = [
    Entry {
        kind: Kind::Throttle,
        name: "throttle",
        does: "answers REST requests with status 429 and Retry-After",
        count: 1,
        amount: Some(("retry_after_s", 0.0, 1.0, 86_400.0)),
    },
    Entry {
        kind: Kind::Overlap,
        name: "overlap",
        does: "begins each page but the first with the last row of the page before",
        count: ALWAYS,
        amount: None,
    },
    Entry {
        kind: Kind::Short,
        name: "short",
        does: "ends pages in their middle, with a token for what is left",
        count: ALWAYS,
        amount: None,
    },
    Entry {
        kind: Kind::Expired,
        name: "expired",
        does: "answers every request with status 401, as for a key that is not valid any more",
        count: ALWAYS,
        amount: None,
    },
    Entry {
        kind: Kind::Free,
        name: "free",
        does: "takes every key for one of the free plan: its requests a minute, its past, no recent SIP",
        count: ALWAYS,
        amount: None,
    },
    Entry {
        kind: Kind::Slow,
        name: "slow",
        does: "waits before it answers REST requests",
        count: ALWAYS,
        amount: Some(("delay_ms", 1.0, 2_000.0, 600_000.0)),
    },
    Entry {
        kind: Kind::Cut,
        name: "cut",
        does: "cuts every connection now, and the next answers of REST in the middle of their body",
        count: 1,
        amount: None,
    },
    Entry {
        kind: Kind::Error,
        name: "error",
        does: "answers REST requests with a server's error",
        count: 1,
        amount: Some(("status", 500.0, 500.0, 599.0)),
    },
    Entry {
        kind: Kind::ForeignNext,
        name: "foreign-next",
        does: "names another host in next_url (Polygon)",
        count: 1,
        amount: None,
    },
];

#[derive(Debug)]
struct Active {
    kind: Kind,
    left: u64,
    hits: u64,
    until: Instant,
    amount: f64,
}

/// The faults of one provider that go on.
#[derive(Debug, Default)]
pub struct Faults(Vec<Active>);

/// Whether this catalogue has a fault of that name.
pub fn is_known(name: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.name == name)
}

pub fn names() -> String {
    CATALOGUE
        .iter()
        .map(|entry| entry.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The catalogue as JSON, in the shape of the venues'.
pub fn catalogue() -> Value {
    let entries = CATALOGUE.iter().map(|entry| {
        let mut parameters = json!({
            "count": {"meaning": "how many answers it hits", "default": entry.count, "from": 1, "to": ALWAYS},
            "seconds": {"meaning": "how long it lasts", "default": 3600.0, "from": 0.01, "to": 3600.0},
        });
        if let Some((name, low, default, high)) = entry.amount {
            parameters[name] = json!({"meaning": name, "default": default, "from": low, "to": high});
        }
        json!({"fault": entry.name, "does": entry.does, "parameters": parameters})
    });
    Value::Array(entries.collect())
}

impl Faults {
    /// Starts one; the error says what was asked and what there is.
    pub fn start(&mut self, name: &str, body: &Value, now: Instant) -> Result<Kind, String> {
        let Some(entry) = CATALOGUE.iter().find(|entry| entry.name == name) else {
            return Err(format!("no fault named '{name}'; have: {}", names()));
        };
        if self.0.len() >= crate::faults::ACTIVE_MAX {
            return Err("too many faults go on already; end them all with DELETE /faults".to_owned());
        }
        let amount_name = entry.amount.map_or("", |(name, ..)| name);
        for key in body.as_object().into_iter().flat_map(|map| map.keys()) {
            if !["venue", "fault", "count", "seconds", amount_name].contains(&key.as_str()) {
                return Err(format!(
                    "fault '{name}' has no parameter '{key}'; it takes: count, seconds {amount_name}"
                ));
            }
        }
        let number = |key: &str, low: f64, default: f64, high: f64| match &body[key] {
            Value::Null => Ok(default),
            given => given
                .as_f64()
                .filter(|n| (low..=high).contains(n))
                .ok_or_else(|| format!("{key} must be a number from {low} to {high}, found {given}")),
        };
        let amount = match entry.amount {
            Some((key, low, default, high)) => number(key, low, default, high)?,
            None => 0.0,
        };
        let seconds = number("seconds", 0.01, 3600.0, 3600.0)?;
        self.0.push(Active {
            kind: entry.kind,
            left: number("count", 1.0, entry.count as f64, ALWAYS as f64)? as u64,
            hits: 0,
            until: now + Duration::from_secs_f64(seconds),
            amount,
        });
        Ok(entry.kind)
    }

    /// Takes one hit of a fault of that kind: its amount, or `None` where none goes on.
    pub fn hit(&mut self, kind: Kind) -> Option<f64> {
        let now = Instant::now();
        self.0.retain(|fault| fault.left > 0 && now < fault.until);
        let fault = self.0.iter_mut().find(|fault| fault.kind == kind)?;
        fault.left -= 1;
        fault.hits += 1;
        Some(fault.amount)
    }

    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }

    pub fn list(&self) -> Value {
        let now = Instant::now();
        let name = |kind| {
            CATALOGUE
                .iter()
                .find(|entry| entry.kind == kind)
                .map_or("", |entry| entry.name)
        };
        let going = self
            .0
            .iter()
            .filter(|fault| fault.left > 0 && now < fault.until)
            .map(|fault| {
                json!({
                    "fault": name(fault.kind),
                    "left": fault.left,
                    "hits": fault.hits,
                    "seconds_left": (fault.until - now).as_secs_f64(),
                })
            });
        Value::Array(going.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_hit_as_often_as_asked_and_name_what_is_wrong() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        let body = json!({"venue": "sim-polygon", "fault": "throttle", "count": 2, "retry_after_s": 3});
        assert_eq!(faults.start("throttle", &body, now), Ok(Kind::Throttle));
        let hits: Vec<_> = (0..3).map(|_| faults.hit(Kind::Throttle)).collect();
        assert_eq!(hits, [Some(3.0), Some(3.0), None]);
        assert_eq!(faults.hit(Kind::Cut), None);
        for (name, body) in [
            ("nonsense", json!({})),
            ("cut", json!({"delay_ms": 5})),
            ("slow", json!({"delay_ms": 0})),
        ] {
            assert!(faults.start(name, &body, now).is_err(), "{name} {body}");
        }
    }
}
