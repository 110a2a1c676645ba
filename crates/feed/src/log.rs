//! Logs: one JSON line per event on stderr, `{"ts","level","part","message", fields…}`, `ts` in UTC nanoseconds.
//!
//! A part must not stop because whoever reads its stderr does: lines go to a thread over a bounded
//! queue, and what does not fit is counted and reported by the next line that does.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// Lines waiting for stderr; beyond it they are dropped and counted.
const QUEUE_LINES: usize = 4096;

enum Entry {
    Line(String),
    Flush(SyncSender<()>),
}

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The voice of one part. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    part: std::sync::Arc<str>,
}

impl Log {
    /// `part` is the process's name, such as `collector-kraken`.
    pub fn new(part: &str) -> Self {
        Self { part: part.into() }
    }

    pub fn part(&self) -> &str {
        &self.part
    }

    /// Something a developer wants when looking for a fault; written only with `TIDEMILL_LOG=debug`.
    pub fn debug(&self, message: &str, fields: Value) {
        static DEBUG: OnceLock<bool> = OnceLock::new();
        if *DEBUG.get_or_init(|| std::env::var("TIDEMILL_LOG").is_ok_and(|level| level == "debug")) {
            self.write("debug", message, fields);
        }
    }

    /// Something that happened as it should.
    pub fn info(&self, message: &str, fields: Value) {
        self.write("info", message, fields);
    }

    /// Something is wrong and is being dealt with.
    pub fn warn(&self, message: &str, fields: Value) {
        self.write("warning", message, fields);
    }

    /// Something is wrong and needs a person.
    pub fn error(&self, message: &str, fields: Value) {
        self.write("error", message, fields);
    }

    fn write(&self, level: &str, message: &str, fields: Value) {
        let queue = QUEUE.get_or_init(|| {
            let (sender, receiver) = sync_channel(QUEUE_LINES);
            // A process that cannot start this thread writes no logs; it still does its work.
            let _ = std::thread::Builder::new()
                .name("log".into())
                .spawn(move || drain(&receiver));
            sender
        });
        if queue
            .try_send(Entry::Line(line(&self.part, level, message, fields)))
            .is_err()
        {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits until everything written so far is on stderr, at most `limit`: for the end of a process.
pub fn flush(limit: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let (done, wait) = sync_channel(1);
    if queue.try_send(Entry::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(limit);
    }
}

fn drain(receiver: &Receiver<Entry>) {
    while let Ok(entry) = receiver.recv() {
        match entry {
            Entry::Line(text) => put(&text),
            Entry::Flush(done) => drop(done.send(())),
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            put(&line(
                "log",
                "warning",
                "log lines dropped",
                serde_json::json!({ "lines": dropped }),
            ));
        }
    }
}

fn put(text: &str) {
    // Nothing can be said about a stderr that cannot be written to.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn line(part: &str, level: &str, message: &str, fields: Value) -> String {
    let ts = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64);
    let mut object = Map::new();
    object.insert("ts".into(), ts.into());
    object.insert("level".into(), level.into());
    object.insert("part".into(), part.into());
    object.insert("message".into(), message.into());
    if let Value::Object(fields) = fields {
        for (name, value) in fields {
            object.entry(name).or_insert(value);
        }
    }
    let mut text = Value::Object(object).to_string(); // JSON escapes line breaks: one event is one line
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_of_json_whatever_it_holds() {
        let text = line(
            "relay",
            "info",
            "a\nb\r\"",
            serde_json::json!({"url": "x\ny", "level": "forged"}),
        );
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["message"], "a\nb\r\"");
        assert_eq!(value["url"], "x\ny");
        assert_eq!(value["level"], "info");
        assert!(value["ts"].as_i64().unwrap() > 1_600_000_000_000_000_000);
    }

    #[test]
    fn a_flood_neither_blocks_nor_grows() {
        let log = Log::new("test");
        for _ in 0..QUEUE_LINES * 2 {
            log.debug("not written", Value::Null);
        }
        flush(Duration::from_secs(5));
    }
}
