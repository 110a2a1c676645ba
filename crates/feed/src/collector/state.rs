//! What a restart must know, as control frames in the journal: `{"type":"state",…}`.
//!
//! Written at each segment start and every minute, so that the newest two segments are enough to recover.
//! Times are nanoseconds; a missing channel never delivered.

use serde::{Deserialize, Serialize};

/// Instruments per frame: about 300 bytes each, and a frame holds 1 MiB.
const PART: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    #[serde(rename = "type")]
    kind: String,
    /// The highest connection number ever given.
    pub connection: u64,
    /// Trading at the venue has stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halted: bool,
    pub instruments: Vec<Instrument>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    pub instrument: u32,
    pub book_valid: bool,
    /// Trading in it has stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trades: Option<Stream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotes: Option<Stream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub book: Option<Stream>,
}

/// One channel: its last good record and its open gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    pub ts_event: i64,
    /// `ts_event` is our own time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_time: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Of the opening record.
    pub sequence: u64,
    pub cause: u8,
}

impl State {
    /// As many frames as are needed; at least one.
    pub fn parts(connection: u64, halted: bool, instruments: &[Instrument]) -> Vec<State> {
        let part = |instruments: &[Instrument]| State {
            kind: "state".into(),
            connection,
            halted,
            instruments: instruments.to_vec(),
        };
        if instruments.is_empty() {
            return vec![part(&[])];
        }
        instruments.chunks(PART).map(part).collect()
    }

    /// The state of a control frame; `None` for other control frames.
    pub fn parse(text: &str) -> Option<State> {
        serde_json::from_str(text)
            .ok()
            .filter(|state: &State| state.kind == "state")
    }

    pub fn to_json(&self) -> String {
        // Plain structs with string keys always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_journal_and_splits_large_tables() {
        let instrument = |n| Instrument {
            instrument: n,
            book_valid: n % 2 == 0,
            halted: n % 3 == 0,
            trades: Some(Stream {
                ts_event: 1_763_600_000_000_000_001,
                own_time: false,
                id: Some(u64::MAX),
                gap: Some(Gap {
                    sequence: 9,
                    cause: 1,
                }),
            }),
            quotes: None,
            book: Some(Stream {
                ts_event: -1,
                own_time: true,
                id: None,
                gap: None,
            }),
        };
        let all: Vec<Instrument> = (0..5_000).map(instrument).collect();
        let parts = State::parts(7, true, &all);
        assert_eq!(parts.len(), 3);
        let read: Vec<Instrument> = parts
            .iter()
            .flat_map(|part| {
                let text = part.to_json();
                assert!(text.len() < wire::frame::MAX_PAYLOAD_BYTES);
                State::parse(&text).unwrap().instruments
            })
            .collect();
        assert_eq!(read, all);
        assert_eq!(State::parse(r#"{"type":"instruments"}"#), None);
        assert_eq!(State::parts(0, false, &[]).len(), 1);
    }
}
