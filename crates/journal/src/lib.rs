//! The log: one writer, many readers, one directory per venue.
//!
//! `DIR/journal/<venue>/` holds segments of frames, a sparse index beside each, and a mapped `head` through which
//! the writer tells readers in other processes how far they may read. Nothing is copied on the way: a
//! reader sees the writer's own pages. `docs/journal.md` says what may be relied upon.

#![deny(missing_debug_implementations)]

mod error;
mod futex;
mod head;
mod index;
mod keeper;
mod lock;
mod mmap;
mod opening;
mod options;
mod pack;
mod reader;
mod recovery;
pub mod registry;
mod retention;
mod segment;
mod sync;
mod verify;
mod writer;

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use error::Error;
pub use options::{Hooks, Options, Pressure};
pub use reader::{From, Loss, Lost, Reader, Seek};
pub use registry::{Instrument, Registry, Venue};
pub use verify::{Report, verify};
pub use wire::{Frame, Header};
pub use writer::{Appended, Writer};

/// Both may move to the thread that uses them.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Writer>();
    is_send::<Reader>();
};

/// A place in the log of one venue: the record with this sequence, written in this epoch or later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub epoch: u32,
    pub sequence: u64,
}

impl Position {
    pub const fn new(epoch: u32, sequence: u64) -> Self {
        Self { epoch, sequence }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.sequence)
    }
}

/// How far the store has come in a venue's journal: everything up to and including `sequence` is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOffset {
    /// The epoch of that record, where the recorder has written it.
    pub epoch: Option<u32>,
    pub sequence: u64,
}

/// Reads `DIR/run/offsets/<venue>.json`; `None` when no recorder has ever run. A file that cannot be
/// understood counts as offset 0: better to keep too much than to lose what was not stored.
pub fn store_offset(home: &Path, venue: &str) -> Result<Option<StoreOffset>, Error> {
    registry::check_venue_name(venue)?;
    let path = home.join("run").join("offsets").join(format!("{venue}.json"));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("reading", &path, error)),
    };
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    Ok(Some(StoreOffset {
        epoch: value
            .get("epoch")
            .and_then(serde_json::Value::as_u64)
            .and_then(|epoch| u32::try_from(epoch).ok()),
        sequence: value
            .get("sequence")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0),
    }))
}

/// Refuses a home on a file system where mapped files of several processes are not coherent.
pub fn check_home(home: &Path) -> Result<(), Error> {
    let found = mmap::file_system(home).map_err(|e| Error::io("asking for the file system of", home, e))?;
    match found.unfit {
        None => Ok(()),
        Some(file_system) => Err(Error::Home {
            path: home.to_path_buf(),
            file_system,
        }),
    }
}

/// Venues that have a journal in this home.
pub fn journals(home: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(home.join("journal")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("head").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

fn journal_dir(home: &Path, venue: &str) -> PathBuf {
    home.join("journal").join(venue)
}

/// Makes a folder, and those above it, for this user only.
fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io("creating", path, e))
}
