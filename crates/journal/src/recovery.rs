//! What a writer finds when it opens a journal, and puts right before it writes.
//!
//! Only the last segment can be unfinished. Its frames are read from the start; the log goes on behind
//! the last good one, over whatever a crash has left there. Damage before that costs the frames it
//! hit: good frames behind it stay. Earlier segments whose footer never reached the disk get it now.

use std::path::Path;

use wire::Frame;
use wire::frame;

use crate::index::{self, Index};
use crate::keeper;
use crate::mmap;
use crate::segment::{self, FOOTER_BYTES, Footer, Name, Space, Summary};
use crate::{Error, Position};

/// A sealed segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub name: Name,
    pub capacity: u64,
    pub footer: Footer,
    /// Disk it takes.
    pub file_bytes: u64,
    pub packed: bool,
    /// Its index is known to be complete.
    pub indexed: bool,
}

/// The last segment, to be written on.
pub(crate) struct Tail {
    pub name: Name,
    pub space: Space,
    /// The footer as it would be now.
    pub stats: Footer,
    pub index: Index,
}

pub(crate) struct Recovered {
    pub sealed: Vec<Sealed>,
    pub tail: Option<Tail>,
    /// Epoch of the newest frame, and the sequence that comes next.
    pub next: Position,
}

pub(crate) fn recover(dir: &Path) -> Result<Recovered, Error> {
    let mut names = segment::list(dir)?;
    names.retain(|name| {
        let taken = segment::is_taken(dir, name);
        if taken {
            let _ = std::fs::remove_file(name.raw(dir));
        }
        !taken
    });
    remove_leftovers(dir, &names);
    let mut sealed = Vec::with_capacity(names.len());
    let mut tail = None;
    for (i, name) in names.iter().enumerate() {
        let last = i + 1 == names.len();
        let summary = match (segment::summary(dir, name), names.get(i + 1)) {
            // A packed segment that cannot be read: its place is known from its neighbours.
            (Err(Error::Corrupt { .. }), Some(next)) => unreadable(name, next),
            (summary, _) => summary?,
        };
        match summary.footer {
            Some(footer) => sealed.push(Sealed {
                name: *name,
                capacity: summary.capacity,
                footer,
                file_bytes: summary.file_bytes,
                packed: summary.packed,
                indexed: false,
            }),
            None if last => tail = Some(open_tail(dir, *name)?),
            None => sealed.push(seal(dir, *name)?),
        }
    }
    let newest = tail.as_ref().map(|t| t.stats).or(sealed.last().map(|s| s.footer));
    Ok(Recovered {
        sealed,
        tail,
        next: newest.map_or(
            Position {
                epoch: 0,
                sequence: 1,
            },
            |footer| Position {
                epoch: footer.last_epoch,
                sequence: footer.next_sequence,
            },
        ),
    })
}

fn unreadable(name: &Name, next: &Name) -> Summary {
    Summary {
        footer: Some(Footer {
            next_sequence: next.first_sequence,
            ..empty_footer(name)
        }),
        capacity: next.base - name.base,
        file_bytes: next.base - name.base,
        packed: true,
    }
}

/// Removes what a crash has left half made: it belongs to no segment. Failing at that harms nothing.
fn remove_leftovers(dir: &Path, names: &[Name]) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let extension = path.extension().and_then(|e| e.to_str());
        let orphan = match extension {
            Some("idx") => !names.iter().any(|name| name.index(dir) == path),
            // Packed, but the original was not deleted any more.
            Some("zst") => path.with_extension("seg").exists(),
            Some("tmp") => !keeper::is_spare(&path),
            _ => false,
        };
        if orphan {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Writes the footer that a crash has kept from an earlier segment.
fn seal(dir: &Path, name: Name) -> Result<Sealed, Error> {
    let tail = open_tail(dir, name)?;
    let path = name.raw(dir);
    let capacity = tail.space.capacity();
    tail.space
        .map
        .write(capacity as usize - FOOTER_BYTES, &tail.stats.encode());
    tail.space
        .map
        .flush()
        .and_then(|()| tail.space.file.sync_data())
        .map_err(|e| Error::io("sealing", &path, e))?;
    let end = index::end_entry(
        tail.stats.data_bytes,
        Position {
            epoch: tail.stats.last_epoch,
            sequence: tail.stats.next_sequence,
        },
    );
    tail.index.store(dir, &name, Some(&end))?;
    Ok(Sealed {
        name,
        capacity,
        footer: tail.stats,
        file_bytes: capacity,
        packed: false,
        indexed: true,
    })
}

fn open_tail(dir: &Path, name: Name) -> Result<Tail, Error> {
    let path = name.raw(dir);
    let mut space = Space::open(path.clone())?;
    let needed = reserved_bytes(space.map.bytes(0, space.map.len()))
        .unwrap_or(0)
        .max(4096);
    if space.capacity() < needed || !space.capacity().is_multiple_of(8) {
        // Somebody has shortened the file. Its space is needed before it is written on.
        let bytes = needed.max(space.capacity().next_multiple_of(4096));
        mmap::reserve(&space.file, bytes).map_err(|e| Error::io("reserving space for", &path, e))?;
        space = Space::open(path)?;
    }
    let limit = space.map.len() - FOOTER_BYTES;
    let (stats, index) = scan(space.map.bytes(0, limit), &name);
    Ok(Tail {
        name,
        space,
        stats,
        index,
    })
}

/// The length the writer gave the segment, which its first frame tells.
fn reserved_bytes(bytes: &[u8]) -> Option<u64> {
    let found = frame::decode(bytes).ok()?;
    let text: serde_json::Value = serde_json::from_str(found.control()?).ok()?;
    text.get("segment")?.get("bytes")?.as_u64()
}

/// Reads all good frames: what the footer will say, and the index.
pub(crate) fn scan(bytes: &[u8], name: &Name) -> (Footer, Index) {
    let mut stats = empty_footer(name);
    let mut index = Index::default();
    let mut floor = name.floor();
    let mut at = 0;
    while let Some((offset, found)) = segment::good_frame(bytes, at, floor) {
        at = offset + found.header.frame_bytes();
        count(&mut stats, &found, at);
        index.add(offset, &found);
        floor = index::frame_end(&found);
    }
    (stats, index)
}

pub(crate) fn empty_footer(name: &Name) -> Footer {
    Footer {
        data_bytes: 0,
        first_sequence: name.first_sequence,
        next_sequence: name.first_sequence,
        first_ts: 0,
        last_ts: 0,
        first_epoch: 0,
        last_epoch: 0,
        frames: 0,
    }
}

/// Adds one frame, which ends at `end`, to the footer that is to be.
#[inline]
pub(crate) fn count(stats: &mut Footer, found: &Frame<'_>, end: usize) {
    stats.data_bytes = end as u64;
    stats.next_sequence = found.header.next_sequence();
    stats.last_epoch = found.header.epoch;
    if stats.frames == 0 {
        stats.first_epoch = found.header.epoch;
    }
    stats.frames += 1;
    if let (Some(first), Some(last)) = (found.records().first(), found.records().last()) {
        if stats.first_ts == 0 {
            stats.first_ts = first.ts_recv;
        }
        stats.last_ts = last.ts_recv;
    }
}
