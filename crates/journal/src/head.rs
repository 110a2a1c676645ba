//! The `head` file: 4 KiB of shared words through which writer and readers of one journal meet.
//!
//! | offset | type | word |
//! |---|---|---|
//! | 0 | u64 | magic `TDMLHEAD` |
//! | 8 | u32 | version, 1 |
//! | 12 | u32 | epoch: grows by one, and is synced, before a writer writes anything |
//! | 16 | u32 | process id of the writer |
//! | 64 | u64 | committed: log position behind the last whole frame. Stored (release) after its bytes |
//! | 72 | u64 | next sequence |
//! | 128 | u32 | wake: grows whenever the writer wakes sleepers |
//! | 132 | u32 | sleepers: readers that went to sleep since the last wake |
//! | 192 | u64 | durable: last sequence that a power cut cannot take |
//! | 256 | u32 | pressure: 0 none; 1 a segment may be used again soon; see [`pressure`] |
//!
//! A log position counts the reserved bytes of all segments since the first: segment base + offset.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::Duration;

use crate::mmap::Map;
use crate::{Error, futex};

pub(crate) const HEAD_BYTES: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"TDMLHEAD");
const VERSION: u32 = 1;

/// Values of the pressure word.
pub(crate) mod pressure {
    pub const NONE: u32 = 0;
    /// No reserved segment is left, or one is just being made: the next rotation may use an old one again.
    pub const TIGHT: u32 = 1;
    /// As tight, because of `max_bytes`.
    pub const BOUND: u32 = 2;
    /// As tight, because the disk is full.
    pub const DISK_FULL: u32 = 3;
}

pub(crate) struct Head {
    map: Map,
    file: File,
    /// Device and inode: a head file made anew has another.
    identity: (u64, u64),
    writable: bool,
}

impl Head {
    pub fn path(dir: &Path) -> std::path::PathBuf {
        dir.join("head")
    }

    /// Maps the head of a journal; `None` when there is none, or none that can be used.
    pub fn open(dir: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(dir);
        let (file, writable) = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            // A reader that may not write cannot ask to be woken; it naps instead.
            Err(_) => match File::open(&path) {
                Ok(file) => (file, false),
                Err(error) => return Err(Error::io("opening", &path, error)),
            },
        };
        let metadata = file.metadata().map_err(|e| Error::io("reading", &path, e))?;
        if metadata.len() != HEAD_BYTES as u64 {
            return Ok(None);
        }
        let map = if writable {
            Map::read_write(&file)
        } else {
            Map::read_only(&file)
        };
        let map = map.map_err(|e| Error::io("mapping", &path, e))?;
        if map.atomic_u64(0).load(Acquire) != MAGIC {
            return Ok(None);
        }
        let version = map.atomic_u32(8).load(Relaxed);
        if version != VERSION {
            return Err(Error::Corrupt {
                path,
                found: format!(
                    "its version is {version}, this program knows {VERSION}; a newer program wrote it"
                ),
            });
        }
        Ok(Some(Self {
            map,
            file,
            identity: (metadata.dev(), metadata.ino()),
            writable,
        }))
    }

    /// Makes a new head file in place of whatever is there, whole from its first moment.
    pub fn create(dir: &Path, epoch: u32, committed: u64, next_sequence: u64) -> Result<Self, Error> {
        let path = Self::path(dir);
        let temporary = dir.join("head.tmp");
        let mut bytes = vec![0u8; HEAD_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&epoch.to_le_bytes());
        bytes[64..72].copy_from_slice(&committed.to_le_bytes());
        bytes[72..80].copy_from_slice(&next_sequence.to_le_bytes());
        bytes[192..200].copy_from_slice(&next_sequence.saturating_sub(1).to_le_bytes());
        let write = || {
            // Written rather than reserved: the file must have its blocks before it is mapped.
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|e| Error::io("creating", &path, e))?;
        Self::open(dir)?.ok_or_else(|| Error::Corrupt {
            path,
            found: "it is not a head file although it was just written".into(),
        })
    }

    /// Whether the path still names this file.
    pub fn is_current(&self, dir: &Path) -> bool {
        std::fs::metadata(Self::path(dir)).is_ok_and(|m| (m.dev(), m.ino()) == self.identity)
    }

    pub fn epoch(&self) -> &AtomicU32 {
        self.map.atomic_u32(12)
    }

    pub fn pid(&self) -> &AtomicU32 {
        self.map.atomic_u32(16)
    }

    pub fn committed(&self) -> &AtomicU64 {
        self.map.atomic_u64(64)
    }

    pub fn next_sequence(&self) -> &AtomicU64 {
        self.map.atomic_u64(72)
    }

    fn wake_word(&self) -> &AtomicU32 {
        self.map.atomic_u32(128)
    }

    fn sleepers(&self) -> &AtomicU32 {
        self.map.atomic_u32(132)
    }

    pub fn durable(&self) -> &AtomicU64 {
        self.map.atomic_u64(192)
    }

    pub fn pressure(&self) -> &AtomicU32 {
        self.map.atomic_u32(256)
    }

    /// Writes the head to disk: the epoch must be there before anything is written under it.
    pub fn sync(&self) -> std::io::Result<()> {
        self.map.flush()?;
        self.file.sync_data()
    }

    /// Makes everything before `committed` visible and wakes who sleeps. No system call when nobody does.
    #[inline]
    pub fn commit(&self, committed: u64, next_sequence: u64) {
        self.committed().store(committed, Release);
        self.next_sequence().store(next_sequence, Release);
        // A reader counts itself as a sleeper and then looks at `committed`; we store `committed` and then
        // look at the sleepers. With a full fence on both sides one of the two sees the other.
        fence(SeqCst);
        if self.sleepers().load(Relaxed) != 0 {
            self.wake();
        }
    }

    /// The count is taken back to zero by whoever wakes rather than down by whoever wakes up: a reader
    /// that was killed in its sleep then costs one needless wake, not one for every append from then on.
    #[cold]
    pub fn wake(&self) {
        self.sleepers().store(0, SeqCst);
        self.wake_word().fetch_add(1, SeqCst);
        futex::wake(self.wake_word());
    }

    /// Sleeps until the writer has gone beyond `committed`, or `timeout` has passed. May return early.
    pub fn sleep(&self, committed: u64, timeout: Duration) {
        if !self.writable {
            std::thread::sleep(timeout.min(Duration::from_micros(500)));
            return;
        }
        let word = self.wake_word().load(Acquire);
        self.sleepers().fetch_add(1, SeqCst);
        fence(SeqCst);
        if self.committed().load(Acquire) == committed {
            futex::wait(self.wake_word(), word, timeout);
        }
    }
}
