//! The sparse index beside a segment: where times and sequences are, and where books can be joined.
//!
//! A file `<segment>.idx` of 32-byte entries after a 32-byte header, in the order of their offsets:
//!
//! `sequence u64 · ts_recv i64 · offset u32 · instrument u32 · epoch u32 · crc32c u32 (of the first 28 bytes, then the base)`
//!
//! Instrument 0 marks a frame by time and sequence, about every 64 KiB. Another instrument says that
//! the frame at `offset` begins this instrument's book anew (a clear record, whose own sequence is
//! given). Instrument 2³²−1 closes the index of a sealed segment. Entries of the open segment are
//! written a little later than its frames: what lies behind the last mark is not indexed yet and has
//! to be read. An index is only a hint, never trusted over the frames, and made again when it is missing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use wire::{Frame, crc32c, kind};

use crate::segment::Name;
use crate::{Error, Position};

pub(crate) const ENTRY_BYTES: usize = 32;
const HEADER_BYTES: usize = 32;
const MAGIC: u64 = u64::from_le_bytes(*b"TDMLINDX");
const MARK_EVERY_BYTES: usize = 64 << 10;
const MARK: u32 = 0;
const END: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of the frame (marks) or of the clear record (snapshots).
    pub sequence: u64,
    pub ts_recv: i64,
    /// Of the frame.
    pub offset: u32,
    pub instrument: u32,
    pub epoch: u32,
}

impl Entry {
    fn encode(&self, base: u64) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ts_recv.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.offset.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.instrument.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32c(crc32c(0, &bytes[..28]), &base.to_le_bytes());
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES], base: u64) -> Option<Self> {
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if u32_at(28)? != crc32c(crc32c(0, &bytes[..28]), &base.to_le_bytes()) {
            return None;
        }
        Some(Self {
            sequence: u64_at(0)?,
            ts_recv: u64_at(8)? as i64,
            offset: u32_at(16)?,
            instrument: u32_at(20)?,
            epoch: u32_at(24)?,
        })
    }

    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }
}

/// What is known of one segment.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    /// Everything before this offset is indexed.
    pub covered: usize,
    /// The segment is sealed and the index covers all of it.
    pub complete: bool,
    builder: Builder,
}

impl Index {
    /// Reads the file as far as it is good; an empty index when there is none.
    pub fn load(dir: &Path, name: &Name) -> Self {
        let mut index = Self::default();
        let Ok(bytes) = std::fs::read(name.index(dir)) else {
            return index;
        };
        if bytes.len() < HEADER_BYTES || bytes[..HEADER_BYTES] != header(name) {
            return index;
        }
        for entry in bytes[HEADER_BYTES..].as_chunks::<ENTRY_BYTES>().0 {
            let Some(entry) = Entry::decode(entry, name.base) else {
                break;
            };
            if (entry.offset as usize) < index.covered || index.complete {
                break;
            }
            match entry.instrument {
                END => {
                    index.covered = entry.offset as usize;
                    index.complete = true;
                }
                MARK => {
                    index.covered = entry.offset as usize;
                    index.entries.push(entry);
                }
                _ => index.entries.push(entry),
            }
        }
        // Snapshots behind the last mark are found again by whoever reads on from there.
        let covered = index.covered;
        index
            .entries
            .retain(|entry| (entry.offset as usize) < covered || entry.instrument == MARK);
        index
    }

    /// Takes in the next frame of the segment, which is at this offset.
    pub fn add(&mut self, offset: usize, frame: &Frame<'_>) {
        let Self { builder, entries, .. } = self;
        builder.frame(frame, offset, &mut |entry| entries.push(entry));
        self.covered = offset + frame.header.frame_bytes();
    }

    /// Marks, in log order.
    pub fn marks(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.instrument == MARK)
    }

    /// The newest indexed start of a book.
    pub fn snapshot(&self, instrument: u32) -> Option<&Entry> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.instrument == instrument)
    }

    /// Writes the whole file anew. `end` closes it.
    pub fn store(&self, dir: &Path, name: &Name, end: Option<&Entry>) -> Result<(), Error> {
        let path = name.index(dir);
        let temporary = path.with_extension("idx.tmp");
        let mut bytes = header(name).to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.encode(name.base));
        }
        if let Some(end) = end {
            bytes.extend_from_slice(&end.encode(name.base));
        }
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            std::io::Write::write_all(&mut file, &bytes)?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("writing", &path, e)
        })
    }
}

fn header(name: &Name) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
    bytes[16..24].copy_from_slice(&name.base.to_le_bytes());
    bytes[24..32].copy_from_slice(&name.first_sequence.to_le_bytes());
    bytes
}

/// The least position that may follow this frame.
pub(crate) fn frame_end(frame: &Frame<'_>) -> Position {
    Position {
        epoch: frame.header.epoch,
        sequence: frame.header.next_sequence(),
    }
}

/// The entry that closes the index of a sealed segment.
pub(crate) fn end_entry(data_bytes: u64, next: Position) -> Entry {
    Entry {
        sequence: next.sequence,
        ts_recv: 0,
        offset: data_bytes as u32,
        instrument: END,
        epoch: next.epoch,
    }
}

/// Decides which frames of a segment get an entry.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Builder {
    next_mark: usize,
}

impl Builder {
    /// Looks at one frame of records; calls `entry` for each entry it deserves. True when one was a mark.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>, offset: usize, entry: &mut dyn FnMut(Entry)) -> bool {
        self.records(
            frame.records(),
            frame.header.epoch,
            frame.header.sequence,
            offset,
            entry,
        )
    }

    #[inline]
    pub fn records(
        &mut self,
        records: &[wire::Record],
        epoch: u32,
        sequence: u64,
        offset: usize,
        entry: &mut dyn FnMut(Entry),
    ) -> bool {
        let Some(first) = records.first() else {
            return false;
        };
        let mark = offset >= self.next_mark;
        if mark {
            self.next_mark = offset + MARK_EVERY_BYTES;
            entry(Entry {
                sequence,
                ts_recv: first.ts_recv,
                offset: offset as u32,
                instrument: MARK,
                epoch,
            });
        }
        for (i, record) in records.iter().enumerate() {
            if record.kind == kind::CLEAR && record.instrument != MARK && record.instrument != END {
                entry(Entry {
                    sequence: sequence + i as u64,
                    ts_recv: record.ts_recv,
                    offset: offset as u32,
                    instrument: record.instrument,
                    epoch,
                });
            }
        }
        mark
    }
}

/// The index of the open segment, written as the segment grows.
pub(crate) struct Live {
    builder: Builder,
    file: Option<File>,
    base: u64,
    written: u64,
    pending: Vec<u8>,
}

impl Live {
    /// Starts the index of a segment with what is known of it.
    pub fn start(dir: &Path, name: &Name, known: &Index) -> Self {
        let mut live = Self {
            builder: Builder {
                next_mark: known
                    .marks()
                    .next_back()
                    .map_or(0, |mark| mark.offset as usize + MARK_EVERY_BYTES),
            },
            file: None,
            base: name.base,
            written: 0,
            pending: Vec::with_capacity(4096),
        };
        // Without a file (a full disk, say) the segment is not indexed; readers read it through, and it
        // gets its index when there is room.
        if known.store(dir, name, None).is_ok() {
            live.file = OpenOptions::new().write(true).open(name.index(dir)).ok();
            live.written = (HEADER_BYTES + known.entries.len() * ENTRY_BYTES) as u64;
        }
        live
    }

    /// Notes a frame that is about to be committed. One small write about every 64 KiB.
    #[inline]
    pub fn records(&mut self, records: &[wire::Record], epoch: u32, sequence: u64, offset: usize) {
        let Self {
            builder,
            pending,
            base,
            ..
        } = self;
        let mark = builder.records(records, epoch, sequence, offset, &mut |entry| {
            pending.extend_from_slice(&entry.encode(*base));
        });
        if mark {
            self.write();
        }
    }

    /// Closes the index of a sealed segment.
    pub fn close(&mut self, end: &Entry) {
        self.pending.extend_from_slice(&end.encode(self.base));
        self.write();
    }

    #[cold]
    fn write(&mut self) {
        if let Some(file) = &self.file {
            if file.write_all_at(&self.pending, self.written).is_ok() {
                self.written += self.pending.len() as u64;
            } else {
                self.file = None;
            }
        }
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_documented() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/journal/files.json")).unwrap();
        let expect = &vectors["index_entry"];
        let number = |key: &str| expect[key].as_u64().unwrap();
        let entry = Entry {
            sequence: number("sequence"),
            ts_recv: expect["ts_recv"].as_str().unwrap().parse().unwrap(),
            offset: number("offset") as u32,
            instrument: number("instrument") as u32,
            epoch: number("epoch") as u32,
        };
        let bytes = entry.encode(number("base"));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expect["bytes"].as_str().unwrap());
        assert_eq!(Entry::decode(&bytes, number("base")), Some(entry));
        assert_eq!(
            Entry::decode(&bytes, number("base") + 1),
            None,
            "another segment's entry"
        );
    }
}
