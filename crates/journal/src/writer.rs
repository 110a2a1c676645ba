//! The one writer of a journal.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use wire::frame::{self, HEADER_BYTES};
use wire::{Frame, RECORD_BYTES, Record, crc32c};

use crate::head::Head;
use crate::index::{self, Index, Live};
use crate::keeper::Keeper;
use crate::opening::Start;
use crate::options::{self, Hooks, Options, Pressure};
use crate::recovery::{self, Recovered, Sealed};
use crate::segment::{self, FOOTER_BYTES, Footer, Name, Space};
use crate::sync::Syncer;
use crate::{Error, Position, Registry, lock, opening, registry};

/// What [`Writer::append`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Of the first record.
    pub sequence: u64,
    /// A new segment was begun: the time to write fresh snapshots of small books.
    pub rotated: bool,
}

/// The segment being written.
struct Active {
    name: Name,
    space: Arc<Space>,
    /// The footer as it would be now; `data_bytes` is where the next frame goes.
    stats: Footer,
    index: Live,
}

/// Writes one venue's journal. Dropping it syncs what was written and lets the next writer in.
pub struct Writer {
    dir: PathBuf,
    venue: u16,
    epoch: u32,
    previous: Position,
    next_sequence: u64,
    payload_bytes_max: usize,
    head: Arc<Head>,
    active: Active,
    keeper: Keeper,
    registry: Registry,
    syncer: Option<Syncer>,
    hooks: Hooks,
    /// A rotation failed half way: the files are good, this writer is not.
    broken: bool,
    /// Held for as long as the writer lives: closing it lets the next writer in.
    _lock: File,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("dir", &self.dir)
            .field("epoch", &self.epoch)
            .field("next_sequence", &self.next_sequence)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Takes the journal of `venue` for writing: locks it, puts right what a crash has left, and begins
    /// a new epoch, which is on disk when this returns. [`Error::Held`] names the process that has it.
    /// A venue without a number gets one, with its own name as protocol: see [`Registry::register`].
    pub fn open(home: &Path, venue: &str, options: &Options) -> Result<Self, Error> {
        registry::check_venue_name(venue)?;
        let dir = crate::journal_dir(home, venue);
        crate::create_dir(&dir)?;
        crate::check_home(&dir)?;
        let lock = lock::take(&dir, venue)?;
        let number = registry::register(home, venue, venue)?;
        let registry = Registry::writable(home, &number)?;
        let bounds = options::bounds(&dir, options)?;

        let Recovered { sealed, tail, next } = recovery::recover(&dir)?;
        let found = Head::open(&dir)?;
        let seen = found.as_ref().map_or(0, |head| head.epoch().load(Acquire));
        let epoch = next.epoch.max(seen).max(lock::epoch(&lock)) + 1;
        let end = match (&tail, sealed.last()) {
            (Some(tail), _) => tail.name.base + tail.stats.data_bytes,
            (None, Some(last)) => last.name.base + last.capacity,
            // The files were deleted: readers must not see log positions go back.
            (None, None) => found
                .as_ref()
                .map_or(0, |head| head.committed().load(Acquire))
                .next_multiple_of(4096),
        };
        let head = match found {
            Some(head) => {
                head.epoch().store(epoch, Release);
                head
            }
            None => Head::create(&dir, epoch, end, next.sequence)?,
        };
        head.pid().store(std::process::id(), Relaxed);
        head.sync()
            .map_err(|e| Error::io("syncing", &Head::path(&dir), e))?;
        lock::write(&dir, &lock, epoch)?;
        let head = Arc::new(head);
        sync_sealed(&dir, &sealed, head.durable().load(Acquire), &options.hooks)?;

        let active_bytes = tail.as_ref().map_or(0, |tail| tail.space.capacity());
        let keeper = Keeper::start(home, &dir, venue, &bounds, &head, sealed, active_bytes)?;
        let (active, fresh) = match tail {
            Some(tail) => {
                let active = Active {
                    name: tail.name,
                    space: Arc::new(tail.space),
                    stats: tail.stats,
                    index: Live::start(&dir, &tail.name, &tail.index),
                };
                (active, false)
            }
            None => (Active::create(&dir, next.sequence, end, keeper.take()?), true),
        };
        let mut writer = Self {
            venue: number.number,
            epoch,
            previous: Position {
                epoch: next.epoch,
                sequence: next.sequence - 1,
            },
            next_sequence: next.sequence,
            payload_bytes_max: payload_bytes_max(active.space.capacity()),
            head,
            active,
            keeper,
            registry,
            syncer: None,
            hooks: options.hooks.clone(),
            broken: false,
            _lock: lock,
            dir,
        };
        // What a killed writer had not synced yet is still in memory only.
        writer.sync_now()?;
        let opening = writer.opening("epoch");
        let needed: usize = opening.iter().map(|text| frame_bytes(text.len())).sum();
        if !fresh && writer.room() < needed {
            // The new segment's own control frame begins the epoch.
            writer.rotate("epoch")?;
        } else {
            if fresh {
                writer.name_active()?;
            }
            for text in opening {
                writer.put(frame::kind::CONTROL, &[], text.as_bytes());
            }
        }
        // The epoch and all that recovery kept are on disk before anything new is said under it.
        writer.sync_now()?;
        writer.commit();
        writer.head.durable().store(writer.next_sequence - 1, Release);
        if options.durable {
            writer.syncer = Some(Syncer::start(venue, &writer.dir, &writer.head, &options.hooks)?);
            writer.watch_active();
        }
        // Whoever waits must look again: the log may have been cut back.
        writer.head.wake();
        Ok(writer)
    }

    /// Adds records, in order, in one frame or several; readers see them when this returns.
    pub fn append(&mut self, records: &[Record]) -> Result<Appended, Error> {
        self.check()?;
        let sequence = self.next_sequence;
        let mut rotated = false;
        let mut rest = records;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(self.payload_bytes_max / RECORD_BYTES));
            if self.room() < HEADER_BYTES + size_of_val(chunk) {
                let rotation = self.rotate("segment");
                // A message of which a part is written cannot be taken back, nor given again.
                self.broken |= rotation.is_err() && self.next_sequence != sequence;
                rotation?;
                rotated = true;
                // The new segment may be smaller, and its frames with it.
                continue;
            }
            self.put(frame::kind::RECORDS, chunk, Record::as_bytes(chunk));
            rest = after;
        }
        if !records.is_empty() {
            self.commit();
        }
        Ok(Appended { sequence, rotated })
    }

    /// Adds a control message: JSON text for those who read the log, without a sequence of its own.
    pub fn control(&mut self, json: &str) -> Result<(), Error> {
        self.check()?;
        loop {
            if json.len() > self.payload_bytes_max {
                return Err(Error::TooLarge {
                    bytes: json.len(),
                    bytes_max: self.payload_bytes_max,
                });
            }
            if self.room() >= frame_bytes(json.len()) {
                break;
            }
            self.rotate("segment")?;
        }
        self.put(frame::kind::CONTROL, &[], json.as_bytes());
        self.commit();
        Ok(())
    }

    /// Grows by one each time the journal is opened for writing.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The last sequence that a power cut cannot take; 0 when there is none.
    pub fn durable(&self) -> u64 {
        self.head.durable().load(Acquire)
    }

    /// The venue's number.
    pub fn venue(&self) -> u16 {
        self.venue
    }

    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Why no new segments can be made now; `None` when all is well.
    pub fn pressure(&self) -> Option<Pressure> {
        Pressure::from_word(self.head.pressure().load(Acquire))
    }

    /// The same for people: what was tried, what was found.
    pub fn trouble(&self) -> Option<String> {
        self.keeper.trouble()
    }

    /// The journal's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes everything to disk now and moves the durable watermark.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.check()?;
        self.sync_now()?;
        self.head.durable().fetch_max(self.next_sequence - 1, Release);
        Ok(())
    }

    /// Calls `f` with every frame of the two newest segments, in order: for rebuilding what the writer's
    /// owner must know at its start (last trade ids, open gaps).
    pub fn replay_tail(&self, mut f: impl FnMut(&Frame<'_>)) -> Result<(), Error> {
        let before = self.keeper.newest_sealed().map(|sealed| sealed.name);
        if let Some(name) = before
            && let Some(mut segment) = segment::Segment::open(&self.dir, name)?
        {
            segment.each_frame(0, segment.data_limit(), |_, frame| f(frame));
        }
        let end = self.active.stats.data_bytes as usize;
        each_frame(self.active.space.map.bytes(0, end), &self.active.name, &mut f);
        Ok(())
    }

    /// Fails when this writer must not go on.
    #[inline]
    fn check(&self) -> Result<(), Error> {
        if self.broken || self.syncer.as_ref().is_some_and(Syncer::failed) {
            return Err(self.stopped());
        }
        let found = self.head.epoch().load(Relaxed);
        if found != self.epoch {
            return Err(Error::Fenced {
                venue: self.registry.venue().name.clone(),
                ours: self.epoch,
                found,
            });
        }
        Ok(())
    }

    #[cold]
    fn stopped(&self) -> Error {
        let reason = if self.broken {
            "a new segment could not be made"
        } else {
            "a sync to disk has failed"
        };
        Error::Stopped {
            reason: reason.into(),
        }
    }

    fn room(&self) -> usize {
        (self.active.space.capacity() as usize)
            .saturating_sub(FOOTER_BYTES)
            .saturating_sub(self.active.stats.data_bytes as usize)
    }

    /// Writes one frame behind the last, not visible yet. There must be room.
    #[inline]
    fn put(&mut self, kind: u8, records: &[Record], payload: &[u8]) {
        let length = payload.len().next_multiple_of(8);
        let at = self.active.stats.data_bytes as usize;
        let header = header(
            kind,
            self.venue,
            length as u32,
            records.len() as u32,
            self.epoch,
            self.next_sequence,
            payload,
        );
        let map = &self.active.space.map;
        map.write(at, &header);
        map.write(at + HEADER_BYTES, payload);
        if length > payload.len() {
            map.write(
                at + HEADER_BYTES + payload.len(),
                &[0; 8][..length - payload.len()],
            );
        }
        let stats = &mut self.active.stats;
        if stats.frames == 0 {
            stats.first_epoch = self.epoch;
        }
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            if stats.first_ts == 0 {
                stats.first_ts = first.ts_recv;
            }
            stats.last_ts = last.ts_recv;
            self.active
                .index
                .records(records, self.epoch, self.next_sequence, at);
        }
        self.next_sequence += records.len() as u64;
        stats.frames += 1;
        stats.last_epoch = self.epoch;
        stats.next_sequence = self.next_sequence;
        stats.data_bytes = (at + HEADER_BYTES + length) as u64;
    }

    #[inline]
    fn commit(&self) {
        self.head.commit(
            self.active.name.base + self.active.stats.data_bytes,
            self.next_sequence,
        );
    }

    /// Seals the segment and begins the next one with a control frame of type `kind`. The step that
    /// makes the new segment part of the log is its name; the one that makes it visible is the commit.
    #[cold]
    fn rotate(&mut self, kind: &str) -> Result<(), Error> {
        let base = self.active.name.base + self.active.space.capacity();
        let next = Active::create(&self.dir, self.next_sequence, base, self.keeper.take()?);
        self.broken = true;
        self.seal_active();
        self.active = next;
        self.payload_bytes_max = payload_bytes_max(self.active.space.capacity());
        for text in self.opening(kind) {
            self.put(frame::kind::CONTROL, &[], text.as_bytes());
        }
        self.name_active()?;
        self.watch_active();
        self.broken = false;
        Ok(())
    }

    fn seal_active(&mut self) {
        let active = &mut self.active;
        let capacity = active.space.capacity();
        active
            .space
            .map
            .write(capacity as usize - FOOTER_BYTES, &active.stats.encode());
        active.index.close(&index::end_entry(
            active.stats.data_bytes,
            Position {
                epoch: active.stats.last_epoch,
                sequence: active.stats.next_sequence,
            },
        ));
        self.keeper.sealed(Sealed {
            name: active.name,
            capacity,
            footer: active.stats,
            file_bytes: capacity,
            packed: false,
            indexed: false,
        });
    }

    /// Gives the new segment its name.
    fn name_active(&mut self) -> Result<(), Error> {
        let path = self.active.name.raw(&self.dir);
        std::fs::rename(&self.active.space.path, &path).map_err(|e| Error::io("naming", &path, e))
    }

    fn watch_active(&self) {
        if let Some(syncer) = &self.syncer {
            syncer.watch(&self.active.space, self.active.name.base);
        }
    }

    /// The control frames at the start of an epoch or a segment.
    fn opening(&self, kind: &str) -> Vec<String> {
        let start = Start {
            kind,
            epoch: self.epoch,
            sequence: self.next_sequence,
            previous: self.previous,
            base: self.active.name.base,
            capacity: self.active.space.capacity(),
            payload_bytes_max: self.payload_bytes_max,
        };
        opening::texts(&start, &self.registry)
    }

    fn sync_now(&self) -> Result<(), Error> {
        let path = &self.active.space.path;
        if let Some(syncer) = &self.syncer {
            return syncer.sync_now();
        }
        self.active
            .space
            .sync(&*self.hooks.sync)
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(|e| Error::io("syncing", path, e))
    }
}

impl Active {
    /// A new segment, without its name yet.
    fn create(dir: &Path, first_sequence: u64, base: u64, space: Space) -> Self {
        let name = Name { first_sequence, base };
        Self {
            name,
            space: Arc::new(space),
            stats: recovery::empty_footer(&name),
            index: Live::start(dir, &name, &Index::default()),
        }
    }
}

fn each_frame(bytes: &[u8], name: &Name, f: &mut impl FnMut(&Frame<'_>)) {
    let mut floor = name.floor();
    let mut at = 0;
    while let Some((offset, found)) = segment::good_frame(bytes, at, floor) {
        f(&found);
        at = offset + found.header.frame_bytes();
        floor = index::frame_end(&found);
    }
}

/// The header of a frame, its checksum over header and padded payload.
#[inline]
fn header(
    kind: u8,
    venue: u16,
    length: u32,
    count: u32,
    epoch: u32,
    sequence: u64,
    payload: &[u8],
) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0..4].copy_from_slice(&frame::MAGIC.to_le_bytes());
    bytes[4] = frame::VERSION;
    bytes[5] = kind;
    bytes[6..8].copy_from_slice(&venue.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..16].copy_from_slice(&count.to_le_bytes());
    bytes[16..20].copy_from_slice(&epoch.to_le_bytes());
    bytes[24..32].copy_from_slice(&sequence.to_le_bytes());
    let mut crc = crc32c(crc32c(0, &bytes), payload);
    let padding = length as usize - payload.len();
    if padding > 0 {
        crc = crc32c(crc, &[0; 8][..padding]);
    }
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn frame_bytes(payload: usize) -> usize {
    HEADER_BYTES + payload.next_multiple_of(8)
}

/// A frame takes at most a quarter of a segment, so that one always fits behind the control frames.
fn payload_bytes_max(segment_bytes: u64) -> usize {
    frame::MAX_PAYLOAD_BYTES.min((segment_bytes / 4) as usize & !7)
}

/// Writes sealed segments to disk that the last writer may have left in memory.
fn sync_sealed(dir: &Path, sealed: &[Sealed], durable: u64, hooks: &Hooks) -> Result<(), Error> {
    // Packing has synced what it packed.
    for segment in sealed
        .iter()
        .filter(|s| !s.packed && s.footer.next_sequence > durable)
    {
        let path = segment.name.raw(dir);
        File::open(&path)
            .and_then(|file| (hooks.sync)(&file))
            .map_err(|e| Error::io("syncing", &path, e))?;
    }
    Ok(())
}
