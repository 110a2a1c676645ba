//! What is kept besides records: raw messages byte for byte (`--keep-raw`), and messages that could not be
//! understood. Written by a thread of its own over a bounded queue: a slow disk costs raw messages, which
//! are counted and reported, and never the journal.
//!
//! `DIR/raw/<venue>/<start ns>.jsonl.zst` has a line `{"ts":ns,"connection":n,"data":"text"}` per message;
//! `DIR/raw/<venue>/quarantine.jsonl` has the misunderstood ones with their reason.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Bytes;

use crate::log::Log;
use crate::part::private_folder;

const QUEUE_MESSAGES: usize = 65_536;
const QUEUE_BYTES: usize = 64 << 20;
/// A raw file is closed at this size, compressed, or at a quarter of the bound of them all, but not below the
/// second.
const FILE_BYTES: u64 = 64 << 20;
const FILE_MIN_BYTES: u64 = 64 << 10;
/// What was written can be read after so long, whatever happens to the process.
const FLUSH: Duration = Duration::from_secs(1);
/// The quarantine file is turned at this size; one older file is kept.
const QUARANTINE_BYTES: u64 = 16 << 20;
/// Of one misunderstood message so much is kept.
const QUARANTINE_MESSAGE_BYTES: usize = 64 << 10;

enum Item {
    Raw {
        ts: i64,
        connection: u64,
        /// Of an answer of the REST interface: what was asked.
        asked: Option<String>,
        data: Bytes,
    },
    Quarantine {
        ts: i64,
        connection: u64,
        reason: String,
        instrument: Option<u32>,
        data: Bytes,
    },
}

/// Hands messages to the thread. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub struct Keeper {
    queue: Option<SyncSender<Item>>,
    queued_bytes: Arc<AtomicUsize>,
    raw: bool,
    /// Raw messages and quarantined ones that were not written.
    pub dropped: u64,
    /// Messages of which the file system took nothing.
    failed: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// `raw_max_bytes` bounds all raw files of this venue; `None` keeps no raw messages.
    pub fn start(home: &Path, venue: &str, raw_max_bytes: Option<u64>, log: Log) -> io::Result<Self> {
        let folder = home.join("raw").join(venue);
        private_folder(&folder)?;
        let (queue, receiver) = sync_channel(QUEUE_MESSAGES);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let failed = Arc::new(AtomicU64::new(0));
        let mut files = Files {
            raw: None,
            max_bytes: raw_max_bytes.unwrap_or(0),
            file_bytes: (raw_max_bytes.unwrap_or(0) / 4).clamp(FILE_MIN_BYTES, FILE_BYTES),
            quarantine: None,
            folder,
            log,
            failed: failed.clone(),
        };
        let taken = queued_bytes.clone();
        let thread = std::thread::Builder::new()
            .name("keep".into())
            .spawn(move || files.drain(&receiver, &taken))?;
        Ok(Self {
            queue: Some(queue),
            queued_bytes,
            raw: raw_max_bytes.is_some(),
            dropped: 0,
            failed,
            thread: Some(thread),
        })
    }

    /// Keeps a message as it came, if raw messages are kept at all.
    #[inline]
    pub fn raw(&mut self, ts: i64, connection: u64, data: &Bytes) {
        if self.raw {
            self.put(
                Item::Raw {
                    ts,
                    connection,
                    asked: None,
                    data: data.clone(),
                },
                data.len(),
            );
        }
    }

    /// Keeps an answer of the REST interface, without which kept messages cannot be played again: instrument
    /// tables and snapshots of books.
    pub fn answer(&mut self, ts: i64, asked: &str, data: &Bytes) {
        if self.raw {
            self.put(
                Item::Raw {
                    ts,
                    connection: 0,
                    asked: Some(asked.to_owned()),
                    data: data.clone(),
                },
                data.len(),
            );
        }
    }

    /// Keeps a message that could not be understood.
    pub fn quarantine(
        &mut self,
        ts: i64,
        connection: u64,
        reason: String,
        instrument: Option<u32>,
        data: &Bytes,
    ) {
        self.put(
            Item::Quarantine {
                ts,
                connection,
                reason,
                instrument,
                data: data.clone(),
            },
            data.len(),
        );
    }

    fn put(&mut self, item: Item, bytes: usize) {
        let Some(queue) = &self.queue else { return };
        if self.queued_bytes.fetch_add(bytes, Ordering::AcqRel) + bytes > QUEUE_BYTES.max(bytes) {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.dropped += 1;
        } else if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(item) {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.dropped += 1;
        }
    }

    /// Messages not kept: the queue was full, or the file system refused.
    pub fn lost(&self) -> u64 {
        self.dropped + self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a thread that panicked has nothing left to write
        }
    }
}

struct Files {
    folder: PathBuf,
    max_bytes: u64,
    /// A raw file is closed at this size.
    file_bytes: u64,
    raw: Option<RawFile>,
    quarantine: Option<(BufWriter<File>, u64)>,
    log: Log,
    failed: Arc<AtomicU64>,
}

struct RawFile {
    encoder: zstd::Encoder<'static, Counted>,
    dirty: bool,
}

/// A file that knows how much was written to it.
struct Counted {
    file: File,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Files {
    fn drain(&mut self, receiver: &Receiver<Item>, taken: &AtomicUsize) {
        let mut flushed = Instant::now();
        loop {
            let item = match receiver.recv_timeout(FLUSH) {
                Ok(item) => Some(item),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut outcome = Ok(());
            if let Some(item) = item {
                let bytes = match &item {
                    Item::Raw { data, .. } | Item::Quarantine { data, .. } => data.len(),
                };
                outcome = self.write(item);
                taken.fetch_sub(bytes, Ordering::AcqRel);
            }
            if flushed.elapsed() >= FLUSH {
                flushed = Instant::now();
                outcome = outcome.and_then(|()| self.flush());
            }
            if let Err(error) = outcome {
                self.raw = None; // a new file is begun with the next message
                self.quarantine = None;
                if self.failed.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
                    self.log.error(
                        "raw messages cannot be written",
                        json!({"folder": self.folder.display().to_string(), "error": error.to_string()}),
                    );
                }
            }
        }
        if let Some(raw) = self.raw.take()
            && let Err(error) = raw.encoder.finish()
        {
            self.log
                .error("the raw file was not closed", json!({"error": error.to_string()}));
        }
    }

    fn write(&mut self, item: Item) -> io::Result<()> {
        match item {
            Item::Raw {
                ts,
                connection,
                asked,
                data,
            } => {
                if self.raw.is_none() {
                    self.make_room()?;
                    let path = self.folder.join(format!("{ts}.jsonl.zst"));
                    let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
                    let encoder = zstd::Encoder::new(Counted { file, bytes: 0 }, 3)?;
                    self.raw = Some(RawFile {
                        encoder,
                        dirty: false,
                    });
                }
                let Some(raw) = &mut self.raw else { return Ok(()) };
                let mut line = match std::str::from_utf8(&data) {
                    Ok(text) => json!({"ts": ts, "connection": connection, "data": text}),
                    Err(_) => json!({"ts": ts, "connection": connection, "data_base64": base64(&data)}),
                };
                if let Some(asked) = asked {
                    let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
                    line["path"] = path.into();
                    if let Some(symbol) = query.split('&').find_map(|part| part.strip_prefix("symbol=")) {
                        line["symbol"] = symbol.into();
                    }
                }
                writeln!(raw.encoder, "{line}")?;
                raw.dirty = true;
                if raw.encoder.get_ref().bytes >= self.file_bytes
                    && let Some(raw) = self.raw.take()
                {
                    raw.encoder.finish()?;
                }
                Ok(())
            }
            Item::Quarantine {
                ts,
                connection,
                reason,
                instrument,
                data,
            } => {
                let kept = &data[..data.len().min(QUARANTINE_MESSAGE_BYTES)];
                let mut line = json!({
                    "ts": ts, "connection": connection, "reason": reason, "instrument": instrument,
                    "bytes": data.len(),
                });
                match std::str::from_utf8(kept) {
                    Ok(text) => line["data"] = text.into(),
                    Err(_) => line["data_base64"] = base64(kept).into(),
                }
                let path = self.folder.join("quarantine.jsonl");
                if self
                    .quarantine
                    .as_ref()
                    .is_some_and(|(_, bytes)| *bytes >= QUARANTINE_BYTES)
                {
                    self.quarantine = None;
                    std::fs::rename(&path, self.folder.join("quarantine.1.jsonl"))?;
                }
                if self.quarantine.is_none() {
                    let file = std::fs::OpenOptions::new()
                        .append(true)
                        .create(true)
                        .open(&path)?;
                    let bytes = file.metadata()?.len();
                    self.quarantine = Some((BufWriter::new(file), bytes));
                }
                let Some((file, bytes)) = &mut self.quarantine else {
                    return Ok(());
                };
                let text = line.to_string();
                *bytes += text.len() as u64 + 1;
                writeln!(file, "{text}")?;
                file.flush()
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(raw) = &mut self.raw
            && std::mem::take(&mut raw.dirty)
        {
            raw.encoder.flush()?;
        }
        Ok(())
    }

    /// Deletes the oldest raw files until one more fits the bound.
    fn make_room(&self) -> io::Result<()> {
        let mut files: Vec<(String, u64)> = std::fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| {
                Some((
                    entry.file_name().into_string().ok()?,
                    entry.metadata().ok()?.len(),
                ))
            })
            .filter(|(name, _)| name.ends_with(".jsonl.zst"))
            .collect();
        files.sort_by_key(|(name, _)| name.split('.').next().and_then(|start| start.parse::<i64>().ok()));
        let mut bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (name, size) in files {
            if bytes + self.file_bytes <= self.max_bytes {
                break;
            }
            std::fs::remove_file(self.folder.join(&name))?;
            self.log
                .info("oldest raw file deleted", json!({"file": name, "bytes": size}));
            bytes -= size;
        }
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let bytes = std::fs::read(path).unwrap();
        let text = if path.extension().is_some_and(|e| e == "zst") {
            zstd::decode_all(&bytes[..]).unwrap()
        } else {
            bytes
        };
        text.split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    #[test]
    fn messages_come_back_byte_for_byte() {
        let home = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::start(home.path(), "kraken", Some(1 << 30), Log::new("test")).unwrap();
        let texts = ["{\"a\":1.10}", "line\nbreak \" \u{1F600}", ""];
        for (n, text) in texts.iter().enumerate() {
            keeper.raw(100 + n as i64, 7, &Bytes::from(text.as_bytes()));
        }
        keeper.raw(200, 8, &Bytes::from_static(b"\xff\x00"));
        keeper.quarantine(300, 8, "not JSON".into(), Some(5), &Bytes::from_static(b"{{\xfe"));
        drop(keeper);
        let folder = home.path().join("raw/kraken");
        let raw = lines(&folder.join("100.jsonl.zst"));
        assert_eq!(raw.len(), 4);
        for (line, text) in raw.iter().zip(texts) {
            assert_eq!(
                (line["data"].as_str(), line["connection"].as_u64()),
                (Some(text), Some(7))
            );
        }
        assert_eq!(raw[3]["data_base64"], "/wA=");
        let bad = lines(&folder.join("quarantine.jsonl"));
        assert_eq!(
            (bad[0]["reason"].as_str(), bad[0]["bytes"].as_u64()),
            (Some("not JSON"), Some(3))
        );
    }

    #[test]
    fn answers_of_the_rest_interface_say_what_was_asked() {
        let home = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::start(home.path(), "binance", Some(1 << 30), Log::new("test")).unwrap();
        let body = Bytes::from_static(br#"{"lastUpdateId":1}"#);
        keeper.answer(100, "/api/v3/depth?limit=5000&symbol=BTCUSDT", &body);
        keeper.answer(200, "/api/v3/exchangeInfo", &body);
        drop(keeper);
        let raw = lines(&home.path().join("raw/binance/100.jsonl.zst"));
        assert_eq!(raw[0]["path"], "/api/v3/depth");
        assert_eq!(raw[0]["symbol"], "BTCUSDT");
        assert_eq!(raw[0]["data"], r#"{"lastUpdateId":1}"#);
        assert_eq!(raw[1]["path"], "/api/v3/exchangeInfo");
        assert!(raw[1].get("symbol").is_none());
    }

    #[test]
    fn nothing_is_kept_that_was_not_asked_for_and_the_oldest_files_go() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("raw/kraken");
        let mut keeper = Keeper::start(home.path(), "kraken", None, Log::new("test")).unwrap();
        keeper.raw(1, 1, &Bytes::from_static(b"{}"));
        drop(keeper);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        for start in [9, 10, 11] {
            std::fs::write(folder.join(format!("{start}.jsonl.zst")), vec![0; 1 << 20]).unwrap();
        }
        let mut keeper = Keeper::start(
            home.path(),
            "kraken",
            Some(2 << 20), // half a MiB of it for the file that is begun
            Log::new("test"),
        )
        .unwrap();
        keeper.raw(12, 1, &Bytes::from_static(b"{}"));
        drop(keeper);
        let mut left: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["11.jsonl.zst", "12.jsonl.zst"]);
    }

    #[test]
    fn a_small_bound_is_kept_too() {
        let home = tempfile::tempdir().unwrap();
        let bound = 1 << 20;
        let mut keeper = Keeper::start(home.path(), "kraken", Some(bound), Log::new("test")).unwrap();
        let mut noise = 1u64;
        for ts in 0..300 {
            // what does not compress, 16 KiB a message
            let text: Vec<u8> = (0..16 << 10)
                .map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b' ' + (noise >> 58) as u8
                })
                .collect();
            keeper.raw(ts, 1, &Bytes::from(text));
        }
        drop(keeper);
        let kept = std::fs::read_dir(home.path().join("raw/kraken")).unwrap();
        let bytes: u64 = kept.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!((bound / 2..=bound + bound / 8).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_full_queue_is_counted_and_does_not_block() {
        let home = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::start(home.path(), "kraken", Some(1 << 30), Log::new("test")).unwrap();
        let large = Bytes::from(vec![b'x'; QUEUE_BYTES / 2 + 1]);
        for n in 0..50 {
            keeper.raw(n, 1, &large);
        }
        assert!(keeper.lost() > 0);
    }
}
