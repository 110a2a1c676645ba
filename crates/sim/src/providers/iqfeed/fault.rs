//! What goes wrong with a simulated IQConnect, on request.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Name, what it does, its parameter with the default.
const CATALOGUE: [(&str, &str, &str, u64); 14] = [
    ("split", "sends every byte on its own", "seconds", 5),
    ("slow", "waits 20 ms before each piece it sends", "seconds", 5),
    (
        "hang",
        "neither reads nor sends, and keeps its ports open",
        "seconds",
        5,
    ),
    (
        "dead",
        "closes every connection and its ports; they open again afterwards",
        "seconds",
        5,
    ),
    ("cut", "closes every connection", "count", 1),
    (
        "disconnected",
        "loses DTN: SERVER DISCONNECTED, Not Connected; SERVER CONNECTED afterwards",
        "seconds",
        5,
    ),
    ("expired", "DTN takes the login no more", "seconds", 5),
    ("logout", "is not connected to DTN until S,CONNECT", "count", 1),
    (
        "late",
        "replies begin with lines of a request that nobody made",
        "count",
        1,
    ),
    (
        "truncate",
        "replies break off in the middle of a line, and the connection with them",
        "count",
        1,
    ),
    ("busy", "requests are refused: too many at once", "count", 1),
    ("syntax", "requests are refused: !SYNTAX_ERROR!", "count", 1),
    (
        "old",
        "speaks protocol 6.1 to connections made from now on",
        "seconds",
        5,
    ),
    (
        "leave",
        "its ports close for good when the last client has gone",
        "count",
        1,
    ),
];

/// The catalogue as JSON, in the shape of the others'.
pub fn catalogue() -> Vec<Value> {
    let entries = CATALOGUE.iter().map(|(name, does, parameter, default)| {
        let (meaning, to) = if *parameter == "seconds" {
            ("how long it lasts", SECONDS_MAX)
        } else {
            ("how many times it strikes", COUNT_MAX as f64)
        };
        json!({
            "fault": name,
            "does": does,
            "parameters": {*parameter: {"meaning": meaning, "default": default, "to": to}},
        })
    });
    entries.collect()
}

/// Longest time that a fault goes on, and most often that it strikes.
const SECONDS_MAX: f64 = 3_600.0;
const COUNT_MAX: u64 = 1_000_000;

/// What goes on.
#[derive(Debug, Default)]
pub struct Faults {
    active: Vec<(&'static str, Instant)>,
    counted: Vec<(&'static str, u64)>,
}

impl Faults {
    /// Whether a fault that lasts goes on.
    pub fn is(&self, name: &str) -> bool {
        let now = Instant::now();
        self.active
            .iter()
            .any(|(active, until)| *active == name && now < *until)
    }

    /// Whether a fault that is counted strikes now; it has once less to go then.
    pub fn strikes(&mut self, name: &str) -> bool {
        match self
            .counted
            .iter_mut()
            .find(|(counted, left)| *counted == name && *left > 0)
        {
            Some((_, left)) => {
                *left -= 1;
                true
            }
            None => false,
        }
    }

    /// Whether a counted fault waits for its occasion.
    pub fn waits(&self, name: &str) -> bool {
        self.counted
            .iter()
            .any(|(counted, left)| *counted == name && *left > 0)
    }

    /// Ends everything; returns how many that were.
    pub fn clear(&mut self) -> usize {
        let count = self.list().len();
        *self = Self::default();
        count
    }

    /// Begins what the body of a `POST /faults` says; returns its name, or why not.
    pub fn begin(&mut self, body: &Value) -> Result<&'static str, String> {
        let asked = body["fault"].as_str().unwrap_or_default();
        let Some((name, _, parameter, default)) = CATALOGUE.iter().find(|(name, ..)| *name == asked) else {
            let have: Vec<&str> = CATALOGUE.iter().map(|(name, ..)| *name).collect();
            return Err(format!("no fault named '{asked}'; have: {}", have.join(", ")));
        };
        let given = &body[*parameter];
        let value = if given.is_null() {
            *default as f64
        } else {
            given.as_f64().unwrap_or(-1.0)
        };
        if *parameter == "seconds" {
            if !(value > 0.0 && value <= SECONDS_MAX) {
                return Err(format!("seconds is from above 0 to {SECONDS_MAX}"));
            }
            self.active.retain(|(active, _)| active != name);
            self.active
                .push((name, Instant::now() + Duration::from_secs_f64(value)));
        } else {
            let count = value as u64;
            if value.fract() != 0.0 || !(1..=COUNT_MAX).contains(&count) {
                return Err(format!("count is a whole number from 1 to {COUNT_MAX}"));
            }
            self.counted.retain(|(counted, _)| counted != name);
            self.counted.push((name, count));
        }
        Ok(name)
    }

    /// What goes on, as JSON.
    pub fn list(&self) -> Vec<Value> {
        let now = Instant::now();
        let lasting = self.active.iter().filter(|(_, until)| now < *until).map(|(name, until)| {
            json!({"fault": name, "seconds_left": until.saturating_duration_since(now).as_secs_f64()})
        });
        let counted = self.counted.iter().filter(|(_, left)| *left > 0);
        lasting
            .chain(counted.map(|(name, left)| json!({"fault": name, "left": left})))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn faults_last_or_are_counted() {
        let mut faults = Faults::default();
        assert_eq!(faults.begin(&json!({"fault": "late", "count": 2})), Ok("late"));
        assert_eq!(faults.begin(&json!({"fault": "hang", "seconds": 60})), Ok("hang"));
        assert!(faults.is("hang") && !faults.is("dead") && faults.waits("late"));
        assert_eq!(faults.list().len(), 2);
        assert!(faults.strikes("late") && faults.strikes("late") && !faults.strikes("late"));
        for bad in [
            json!({}),
            json!({"fault": "hang", "seconds": 0}),
            json!({"fault": "late", "count": 1.5}),
        ] {
            assert!(faults.begin(&bad).is_err(), "{bad}");
        }
        assert_eq!(faults.clear(), 1);
        assert!(!faults.is("hang"));
    }
}
