//! Log lines: one JSON object each, on standard error; `ts` is UTC nanoseconds, as in every part of the platform.

use serde_json::{Map, Value};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch by the machine's clock.
pub fn wall_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64)
}

fn line(level: &str, message: &str, fields: &[(&str, Value)]) {
    let mut object = Map::new();
    object.insert("ts".to_owned(), wall_ns().into());
    object.insert("level".to_owned(), level.into());
    object.insert("part".to_owned(), "sim".into());
    object.insert("message".to_owned(), message.into());
    for (name, value) in fields {
        object.insert((*name).to_owned(), value.clone());
    }
    // A log that nobody takes any more is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{}", Value::Object(object));
}

pub fn info(message: &str, fields: &[(&str, Value)]) {
    line("info", message, fields);
}

pub fn warn(message: &str, fields: &[(&str, Value)]) {
    line("warning", message, fields);
}

pub fn error(message: &str, fields: &[(&str, Value)]) {
    line("error", message, fields);
}
