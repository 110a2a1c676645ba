//! Reading a journal in place, from any process of the same user.

mod seek;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use wire::frame::HEADER_BYTES;
use wire::{Frame, Header, frame};

use crate::head::{Head, pressure};
use crate::mmap::{words_as_bytes, words_as_bytes_mut};
use crate::segment::{self, Name, Segment};
use crate::{Error, Position, Pressure, registry};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first record there is.
    Oldest,
    /// The record that is written next.
    Newest,
    /// The first record wanted. A frame that holds it is given whole, with what stands before it.
    At(Position),
    /// The newest start of this instrument's book (a clear record), whatever follows it included.
    Snapshot(u32),
    /// The first frame with a record whose `ts_recv` is at or after this, nanoseconds.
    Time(i64),
}

/// Where [`Reader::seek`] has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The reader stands there: this is the first record wanted, or the next one to be written.
    At(Position),
    /// The wanted records are gone. The reader stands at the oldest there is.
    Lapped { wanted: Position, oldest: Position },
    /// No book of this instrument begins in the files. The reader stands at the newest position.
    NoSnapshot { newest: Position },
}

/// Why records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Their frame is damaged, or never reached the disk.
    Corrupt,
    /// Their segment was deleted or used again before they were read.
    Overrun,
}

/// Records that this reader asked for and the files do not hold: `from` is the first, `to` the first
/// one after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub epoch: u32,
    pub from: u64,
    pub to: u64,
    pub loss: Loss,
}

/// Most holes remembered between two calls of [`Reader::take_lost`]; further ones are joined to the last.
const LOST_MAX: usize = 4096;
/// A reader looks at least this often whether the head file is still the one it has mapped.
const HEAD_CHECK: Duration = Duration::from_millis(250);

/// So much of a mapped segment stays in a reader's memory behind it: few calls, and little memory.
const HELD_BYTES: usize = 1 << 20;
const PAGE: usize = 4096;

/// The segment a reader is in.
struct Current {
    segment: Segment,
    /// Of the next frame.
    offset: usize,
    /// Frames before this may be read.
    limit: usize,
    /// No frame from here on may go back behind this.
    floor: Position,
    /// There is no good frame between offset and limit. The offset stays before what is damaged: a new
    /// writer may go on right there.
    searched: bool,
    /// What lies before this was read, and is in this process's memory no more.
    released: usize,
}

impl Current {
    /// Goes behind the frame at `at`. Now and then lets go of what was read before it: a reader that catches
    /// up would else hold its whole segment.
    #[inline]
    fn step(&mut self, at: usize, to: usize) {
        self.offset = to;
        if at > self.released + HELD_BYTES {
            self.segment.release(self.released, at);
            self.released = at & !(PAGE - 1);
        }
    }

    /// Nothing more is to be found before the limit.
    fn is_read(&self) -> bool {
        self.offset >= self.limit || self.searched
    }

    fn reach(&mut self, limit: usize) {
        if self.limit != limit {
            self.limit = limit;
            self.searched = false;
        }
    }
}

/// Reads one venue's journal. Any number of readers, each with its own place; none of them slows the
/// writer. A new reader stands at the oldest record.
pub struct Reader {
    dir: PathBuf,
    head: Head,
    head_checked: Instant,
    current: Option<Current>,
    /// Without a segment: the log position from which on one is to be found.
    resume: u64,
    /// The record that must come next, unless something is lost.
    expected: Option<Position>,
    /// The frame before the one that comes next, to find out whether it is still in the log.
    last: Option<Last>,
    /// Why a jump at the next frame would be one.
    loss: Loss,
    lost: Vec<Lost>,
    /// The committed position at which there was nothing to be read although we do not stand there.
    nothing_at: u64,
    /// A copy of the frame given out last, when its place in the file might be written again.
    copy: Vec<u64>,
    spin: Spin,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("dir", &self.dir)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// Where a frame was, and the part of its header that no other frame has there: epoch and checksum.
#[derive(Clone, Copy)]
struct Last {
    base: u64,
    offset: usize,
    mark: [u8; 8],
}

/// What [`Reader::advance`] found: where the frame is.
enum Place {
    Mapped(usize, Header),
    Copied(Header),
}

/// What [`Reader::extend`] found behind the frames that were known.
enum Extended {
    More,
    Nothing,
    /// The next segment, with others missing before it.
    Jumped,
    /// The segment we were in is no more.
    Gone,
    /// Our place is not in the log any more.
    CutBack,
}

impl Reader {
    /// Opens a venue's journal for reading; waits for nothing. [`Error::NoJournal`] when nothing was ever
    /// written.
    pub fn open(home: &Path, venue: &str) -> Result<Self, Error> {
        registry::check_venue_name(venue)?;
        let dir = crate::journal_dir(home, venue);
        let head = match Head::open(&dir)? {
            Some(head) => head,
            None => {
                return Err(Error::NoJournal {
                    venue: venue.to_string(),
                    home: home.to_path_buf(),
                    have: crate::journals(home),
                });
            }
        };
        crate::check_home(&dir)?;
        Ok(Self {
            dir,
            head,
            head_checked: Instant::now(),
            current: None,
            resume: 0,
            expected: None,
            last: None,
            loss: Loss::Corrupt,
            lost: Vec::new(),
            nothing_at: 0,
            copy: Vec::new(),
            spin: Spin::default(),
        })
    }

    /// The first record in the files.
    pub fn oldest(&self) -> Position {
        let committed = self.committed();
        let names = self.names(committed).unwrap_or_default();
        names
            .into_iter()
            .find_map(|name| self.start_of(name, committed).ok().flatten().flatten())
            .unwrap_or(self.newest())
    }

    /// The next record to be written.
    pub fn newest(&self) -> Position {
        Position {
            epoch: self.head.epoch().load(Acquire),
            sequence: self.head.next_sequence().load(Acquire),
        }
    }

    /// The last sequence that a power cut cannot take; 0 when there is none.
    pub fn durable(&self) -> u64 {
        self.head.durable().load(Acquire)
    }

    /// The record that comes next from this reader, if nothing is lost; `None` before its first frame or
    /// seek.
    pub fn position(&self) -> Option<Position> {
        self.expected
    }

    /// Why the writer makes no new segments; `None` when all is well.
    pub fn pressure(&self) -> Option<Pressure> {
        Pressure::from_word(self.head.pressure().load(Acquire))
    }

    /// Process id of the writer, which may have ended.
    pub fn writer_pid(&self) -> u32 {
        self.head.pid().load(Relaxed)
    }

    /// Goes to another place. Holes not taken yet stay to be taken.
    pub fn seek(&mut self, from: From) -> Result<Seek, Error> {
        self.check_head(true)?;
        // Files may go while we look for a place in them; then we look again.
        for _ in 0..64 {
            let sought = match from {
                From::Oldest => self.seek_oldest(),
                From::Newest => self.seek_newest(),
                From::At(position) => self.seek_position(position),
                From::Snapshot(instrument) => self.seek_snapshot(instrument),
                From::Time(ts) => self.seek_time(ts),
            };
            match sought {
                Ok(Some(found)) => return Ok(found),
                Ok(None) | Err(Error::Lapped { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Corrupt {
            path: self.dir.clone(),
            found: "its segments go faster than a place can be found in them".into(),
        })
    }

    /// The next frame, in place; `None` when nothing more is committed yet. Damage costs the frames it
    /// hit: the next good one comes, and [`Reader::take_lost`] tells the hole. [`Error::Lapped`] says once
    /// that segments went before they were read (the hole is told by `take_lost` too); calling again goes
    /// on at the oldest.
    #[allow(clippy::should_implement_trait)] // the frame borrows the reader, which Iterator cannot say
    #[inline]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        match self.advance()? {
            None => Ok(None),
            Some(Place::Mapped(at, header)) => match &self.current {
                Some(current) => Ok(Some(Frame {
                    header,
                    bytes: current.segment.bytes(at, at + header.frame_bytes()),
                })),
                None => Ok(None),
            },
            Some(Place::Copied(header)) => Ok(Some(Frame {
                header,
                bytes: &words_as_bytes(&self.copy)[..header.frame_bytes()],
            })),
        }
    }

    /// Waits until something is there to be read, at most `timeout`; true when there is. Sleeps at once
    /// unless [`Reader::set_spin`] asked otherwise.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        if self.available() {
            return true;
        }
        let deadline = Instant::now() + timeout;
        if self.spin.budget > Duration::ZERO && self.spin(deadline) {
            return true;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.available();
            }
            self.head.sleep(self.idle_at(), left.min(HEAD_CHECK));
            // A head that cannot be mapped now may be in a moment; until then the old one is waited on.
            let _ = self.check_head(false);
            if self.available() {
                return true;
            }
        }
    }

    /// Lets [`Reader::wait`] spin for up to `longest` before it sleeps. It spins less while that does not
    /// pay. Zero, the default, never spins: with fewer than four cores more than readers, spinning makes everyone slower.
    pub fn set_spin(&mut self, longest: Duration) {
        self.spin = Spin {
            longest,
            budget: longest,
        };
    }

    /// Holes met since the last call, each told once.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// Whether the frame given out last is still what it was. Only a frame kept while the writer has
    /// gone through at least a whole segment under disk pressure can fail this.
    pub fn intact(&self) -> bool {
        self.current
            .as_ref()
            .is_none_or(|current| current.segment.intact())
    }

    fn committed(&self) -> u64 {
        self.head.committed().load(Acquire)
    }

    /// The log position this reader has come to.
    fn stand(&self) -> u64 {
        self.current
            .as_ref()
            .map_or(0, |current| current.segment.name.base + current.offset as u64)
    }

    /// Something is to be read, or the log was cut back and must be looked at again.
    #[inline]
    fn available(&self) -> bool {
        let committed = self.committed();
        committed != self.stand() && committed != self.nothing_at
    }

    /// The committed position at which there is nothing for this reader: where it stands, or, where the
    /// files it would go on in are gone, where it found that out.
    fn idle_at(&self) -> u64 {
        if self.committed() == self.nothing_at {
            self.nothing_at
        } else {
            self.stand()
        }
    }

    fn spin(&mut self, deadline: Instant) -> bool {
        let until = (Instant::now() + self.spin.budget).min(deadline);
        loop {
            for _ in 0..64 {
                if self.available() {
                    self.spin.budget = (self.spin.budget * 2).min(self.spin.longest);
                    return true;
                }
                std::hint::spin_loop();
            }
            if Instant::now() >= until {
                self.spin.budget = (self.spin.budget / 2).max(self.spin.longest / 16);
                return false;
            }
        }
    }

    /// Maps the head anew when the file was replaced.
    fn check_head(&mut self, now: bool) -> Result<(), Error> {
        if !now && self.head_checked.elapsed() < HEAD_CHECK {
            return Ok(());
        }
        self.head_checked = Instant::now();
        if !self.head.is_current(&self.dir)
            && let Some(head) = Head::open(&self.dir)?
        {
            self.head = head;
        }
        Ok(())
    }

    /// Segments that have begun to be visible, in log order.
    fn names(&self, committed: u64) -> Result<Vec<Name>, Error> {
        let mut names = segment::list(&self.dir)?;
        names.retain(|name| name.base < committed);
        Ok(names)
    }

    /// Finds the next good frame and steps behind it.
    #[inline]
    fn advance(&mut self) -> Result<Option<Place>, Error> {
        loop {
            let Some(current) = &mut self.current else {
                if self.enter_first(self.resume)?.is_none() {
                    self.nothing_at = self.committed();
                    self.check_head(false)?;
                    return Ok(None);
                }
                continue;
            };
            if current.is_read() {
                match self.extend()? {
                    Extended::More => {}
                    Extended::Nothing => return Ok(None),
                    Extended::Jumped => return Err(self.jumped()),
                    Extended::Gone => self.lapped()?,
                    Extended::CutBack => self.find_place()?,
                }
                continue;
            }
            let found = current
                .segment
                .frame(current.offset, current.limit, current.floor);
            let Some((at, found)) = found else {
                if current.segment.intact() {
                    current.searched = true;
                    self.loss = Loss::Corrupt;
                } else {
                    self.lapped()?;
                }
                continue;
            };
            let mut header = found.header;
            let mut mark = mark(found.bytes);
            let copied = self.head.pressure().load(Relaxed) != pressure::NONE;
            if copied {
                // This segment may be written again before the caller is done with the frame.
                let length = header.frame_bytes();
                self.copy.resize(length.div_ceil(8).max(self.copy.len()), 0);
                let copy = &mut words_as_bytes_mut(&mut self.copy)[..length];
                current.segment.copy_out(at, copy);
                match frame::decode(copy) {
                    Ok(found) => header = found.header,
                    Err(_) if current.segment.intact() => continue,
                    Err(_) => {
                        self.lapped()?;
                        continue;
                    }
                }
                mark.copy_from_slice(&copy[16..24]);
            }
            if !current.segment.intact() {
                self.lapped()?;
                continue;
            }
            if self
                .expected
                .is_some_and(|expected| expected.epoch != header.epoch)
                && self.is_cut_back()
            {
                self.find_place()?;
                continue;
            }
            let Some(current) = &mut self.current else {
                continue;
            };
            if at != current.offset {
                self.loss = Loss::Corrupt;
            }
            self.last = Some(Last {
                base: current.segment.name.base,
                offset: at,
                mark,
            });
            current.step(at, at + header.frame_bytes());
            current.floor = after(&header);
            self.account(&header);
            return Ok(Some(if copied {
                Place::Copied(header)
            } else {
                Place::Mapped(at, header)
            }));
        }
    }

    /// Whether a new writer has cut the log back behind us, after damage at its end, and gone on from there:
    /// then the frame we read last is not there any more.
    #[cold]
    fn is_cut_back(&self) -> bool {
        let (Some(current), Some(last)) = (&self.current, self.last) else {
            return false;
        };
        current.segment.name.base == last.base
            && !current.segment.is_packed()
            && mark(current.segment.bytes(last.offset, last.offset + HEADER_BYTES)) != last.mark
    }

    /// Goes to the record that should come next, wherever it is now.
    fn find_place(&mut self) -> Result<(), Error> {
        let to = self.expected.map_or(From::Newest, From::At);
        self.seek(to)?;
        Ok(())
    }

    /// Compares a frame with what was expected, and notes the hole if there is one.
    #[inline]
    fn account(&mut self, header: &Header) {
        if let Some(expected) = self.expected
            && header.sequence > expected.sequence
        {
            self.note(Lost {
                epoch: expected.epoch,
                from: expected.sequence,
                to: header.sequence,
                loss: self.loss,
            });
        }
        self.loss = Loss::Corrupt;
        self.expected = Some(after(header));
    }

    #[cold]
    fn note(&mut self, lost: Lost) {
        let full = self.lost.len() >= LOST_MAX;
        match self.lost.last_mut() {
            Some(last) if full => last.to = lost.to,
            _ => self.lost.push(lost),
        }
    }

    /// Looks how far the segment may be read now, and goes on to the next one at its end.
    #[cold]
    fn extend(&mut self) -> Result<Extended, Error> {
        let committed = self.committed();
        let epoch = self.head.epoch().load(Relaxed);
        let Some(current) = &self.current else {
            return Ok(Extended::Nothing);
        };
        let base = current.segment.name.base;
        let end = base + current.segment.capacity;
        let newer = self.expected.is_some_and(|expected| expected.epoch != epoch);
        if committed < base + current.offset as u64 || (newer && self.is_cut_back()) {
            return Ok(Extended::CutBack);
        }
        let Some(current) = &mut self.current else {
            return Ok(Extended::Nothing);
        };
        if committed < end {
            current.reach((committed - base) as usize);
            if !current.is_read() {
                return Ok(Extended::More);
            }
            if current.searched {
                self.nothing_at = committed;
            }
            self.check_head(false)?;
            return Ok(Extended::Nothing);
        }
        // Sealed. Its last frames may have come since we last looked.
        let limit = current.segment.data_limit();
        if !current.segment.intact() {
            return Ok(Extended::Gone);
        }
        if current.limit < limit {
            current.reach(limit);
            if !current.is_read() {
                return Ok(Extended::More);
            }
        }
        match self.enter_first(end)? {
            Some(name) if name.base > end => Ok(Extended::Jumped),
            Some(_) => Ok(Extended::More),
            None => {
                self.nothing_at = committed;
                self.check_head(false)?;
                Ok(Extended::Nothing)
            }
        }
    }

    /// The segment we were in is no more: goes on in the oldest one after it, and says so.
    #[cold]
    fn lapped(&mut self) -> Result<(), Error> {
        let Some(name) = self.current.as_ref().map(|current| current.segment.name) else {
            return Ok(());
        };
        if Segment::open(&self.dir, name)?.is_some() {
            // It still has its name: its first frame was torn, and a new writer began it anew.
            return self.find_place();
        }
        if self.enter_first(name.base + 1)?.is_none() {
            // Nothing is left: the files were deleted under us. What comes is newer than this.
            self.current = None;
            self.resume = name.base + 1;
        }
        Err(self.jumped())
    }

    /// Says that segments are missing before the one just entered.
    fn jumped(&mut self) -> Error {
        self.loss = Loss::Overrun;
        let oldest = match &mut self.current {
            Some(current) => start_position(&mut current.segment, current.limit),
            None => None,
        };
        let oldest = oldest.unwrap_or(self.newest());
        Error::Lapped {
            wanted: self.expected.unwrap_or(oldest),
            oldest,
        }
    }

    /// Stands at the start of a segment; false when it is gone.
    fn enter(&mut self, name: Name, committed: u64) -> Result<bool, Error> {
        let Some(segment) = Segment::open(&self.dir, name)? else {
            return Ok(false);
        };
        self.current = Some(Current {
            offset: 0,
            limit: segment.limit(committed),
            floor: name.floor(),
            searched: false,
            // The first page says which segment this is, and is looked at all the time.
            released: PAGE,
            segment,
        });
        Ok(true)
    }

    /// Stands at the start of the first segment from this base on. One that cannot be read at all is
    /// passed over like one that is gone.
    fn enter_first(&mut self, base: u64) -> Result<Option<Name>, Error> {
        // Those that were listed may all be gone when we come to open them; then there are newer ones.
        for _ in 0..64 {
            let committed = self.committed();
            let mut raced = false;
            for name in self.names(committed)? {
                if name.base < base {
                    continue;
                }
                match self.enter(name, committed) {
                    Ok(true) => return Ok(Some(name)),
                    Ok(false) => raced = true,
                    Err(Error::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if !raced {
                break;
            }
        }
        Ok(None)
    }
}

/// Whether to burn a core for latency.
#[derive(Default)]
struct Spin {
    longest: Duration,
    budget: Duration,
}

/// Epoch and checksum of a frame; zeros where there is none.
#[inline]
fn mark(frame: &[u8]) -> [u8; 8] {
    frame
        .get(16..24)
        .and_then(|mark| mark.try_into().ok())
        .unwrap_or_default()
}

/// The position behind a frame.
fn after(header: &Header) -> Position {
    Position {
        epoch: header.epoch,
        sequence: header.next_sequence(),
    }
}

/// Position of the first good frame.
fn start_position(segment: &mut Segment, limit: usize) -> Option<Position> {
    segment
        .frame(0, limit, segment.name.floor())
        .map(|(_, found)| segment::position(&found.header))
}
