//! How a journal is kept, and what keeps it from being kept so.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::head::pressure;
use crate::keeper::Bounds;
use crate::{Error, mmap};

const SEGMENT_BYTES_MIN: u64 = 16 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
const MAX_BYTES_DEFAULT: u64 = 10 << 30;

/// How a journal is kept. `Options::default()` is right for a live venue.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a segment, 16 KiB to 1 GiB; 64 MiB by default.
    pub segment_bytes: u64,
    /// Bound of all files of this journal; 0, the default, is the smaller of 10 GiB and 10 % of the disk.
    pub max_bytes: u64,
    /// Sync in the background and move the durable watermark.
    pub durable: bool,
    /// Sealed segments whose newest record is older than this go, once stored; 0, the default, keeps
    /// them until `max_bytes` is reached.
    pub keep_ns: i64,
    /// Compress sealed segments that nobody is likely to read any more.
    pub pack: bool,
    /// Failure handling, replaced by tests.
    pub hooks: Hooks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            max_bytes: 0,
            durable: true,
            keep_ns: 0,
            pack: true,
            hooks: Hooks::default(),
        }
    }
}

/// Writes a file's data to disk.
pub type Sync = dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync;

/// What a test may observe or replace.
#[derive(Clone)]
pub struct Hooks {
    /// `fdatasync`.
    pub sync: Arc<Sync>,
    /// Called once, when a sync has failed, with the message for the operator. By default it is printed
    /// and the process ends: the kernel may have dropped the pages, so trying again would lie.
    pub failed: Arc<dyn Fn(&str) + Send + std::marker::Sync>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            sync: Arc::new(File::sync_data),
            failed: Arc::new(|message| {
                eprintln!("{message}");
                mmap::end_process(1)
            }),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Why a writer goes on in its last segments instead of making new ones. Delivery is not touched, but what is
/// not read in time is lost, and readiness should say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// `max_bytes` is reached and the store has not covered the oldest segment.
    Bound,
    /// The disk is full.
    DiskFull,
}

impl Pressure {
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        match word {
            pressure::BOUND => Some(Self::Bound),
            pressure::DISK_FULL => Some(Self::DiskFull),
            _ => None,
        }
    }
}

/// The options within what is possible: at least four segments, so that a full disk leaves a ring to go on in.
pub(crate) fn bounds(dir: &Path, options: &Options) -> Result<Bounds, Error> {
    let max_bytes = match options.max_bytes {
        0 => {
            let disk = mmap::file_system(dir)
                .map_err(|e| Error::io("asking for the size of the disk of", dir, e))?;
            MAX_BYTES_DEFAULT.min(disk.total_bytes / 10)
        }
        bytes => bytes,
    };
    let max_bytes = max_bytes.max(4 * SEGMENT_BYTES_MIN);
    Ok(Bounds {
        segment_bytes: options
            .segment_bytes
            .min(max_bytes / 4 / 4096 * 4096)
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
            .next_multiple_of(4096),
        max_bytes,
        keep_ns: options.keep_ns,
        pack: options.pack,
    })
}
