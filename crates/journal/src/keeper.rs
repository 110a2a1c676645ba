//! The thread that keeps the files: space for the next segment, retention, indexes, packing. It takes
//! all this off the writer's path.
//!
//! One reserved segment is always ready. When there can be none, because of `max_bytes` or a full disk, the
//! writer goes on in the oldest of its last three segments. What was in it is lost for those who have not
//! read it, older segments stay, and as soon as there is room again new segments are made.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::head::{Head, pressure};
use crate::index::{self, Index};
use crate::recovery::Sealed;
use crate::retention::{self, RING_SEALED};
use crate::segment::{Segment, Space};
use crate::{Error, Position, StoreOffset, pack};

/// How often the keeper looks at the store's offset, the clock and the disk.
const LOOK: Duration = Duration::from_secs(1);
/// The newest sealed segments stay as they are: readers are likely to be in them, and they are what the
/// writer uses again when there is no space.
const RAW_SEALED: usize = 4;
/// Pages of a reserved segment made ready before it is used.
const READY_BYTES: usize = 256 << 10;

/// What the keeper is told by the writer's options.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub segment_bytes: u64,
    pub max_bytes: u64,
    pub keep_ns: i64,
    pub pack: bool,
}

/// Handle of the thread; dropping it ends it.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    home: PathBuf,
    dir: PathBuf,
    venue: String,
    bounds: Bounds,
    head: Arc<Head>,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while space is made, so that writer and keeper do not both delete for it.
    making: Mutex<()>,
    spares: AtomicU64,
}

struct State {
    /// In log order.
    sealed: Vec<Sealed>,
    spares: Vec<Space>,
    /// Reserved for the segment being written (and, during a rotation, the next one).
    active_bytes: u64,
    trouble: Option<String>,
    nudged: bool,
    stop: bool,
}

impl State {
    fn total_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|segment| segment.file_bytes).sum();
        let spares: u64 = self.spares.iter().map(Space::capacity).sum();
        sealed + spares + self.active_bytes
    }

    /// Segments the writer could go on in if no space could be had any more.
    fn ring(&self) -> usize {
        let raw = self
            .sealed
            .iter()
            .rev()
            .take(RING_SEALED)
            .take_while(|segment| !segment.packed);
        raw.count() + self.spares.len()
    }
}

/// Why no space could be made.
enum Shortage {
    Bound,
    Disk(Error),
}

impl Keeper {
    /// Starts with what recovery has found; `active_bytes` is the capacity of an unfinished segment. Reserves
    /// what the writer must have to survive a full disk, as far as that is possible now.
    pub fn start(
        home: &Path,
        dir: &Path,
        venue: &str,
        bounds: &Bounds,
        head: &Arc<Head>,
        sealed: Vec<Sealed>,
        active_bytes: u64,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            home: home.to_path_buf(),
            dir: dir.to_path_buf(),
            venue: venue.to_string(),
            bounds: bounds.clone(),
            head: head.clone(),
            state: Mutex::new(State {
                sealed,
                spares: Vec::new(),
                active_bytes,
                trouble: None,
                nudged: true,
                stop: false,
            }),
            changed: Condvar::new(),
            making: Mutex::new(()),
            spares: AtomicU64::new(0),
        });
        shared.adopt_spares();
        let wanted = RING_SEALED + usize::from(active_bytes == 0);
        while shared.state().ring() < wanted || shared.state().spares.is_empty() {
            if !shared.make_spare() {
                break;
            }
        }
        if !shared.state().spares.is_empty() {
            // Whatever the last writer has left there.
            head.pressure().store(pressure::NONE, Release);
        }
        let thread = std::thread::Builder::new()
            .name("journal-keep".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run()
            })
            .map_err(|e| Error::io("starting the keeper thread for", dir, e))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Space for the next segment. Never waits for the disk when there is a spare; without one makes
    /// it, and if that cannot be, takes the oldest segment of the ring.
    pub fn take(&self) -> Result<Space, Error> {
        if let Some(space) = self.shared.take_spare() {
            return Ok(space);
        }
        let _making = lock(&self.shared.making);
        if let Some(space) = self.shared.take_spare() {
            return Ok(space);
        }
        let space = match self.shared.make_space() {
            Ok(space) => space,
            Err(shortage) => {
                let error = self.shared.short(shortage);
                self.shared.recycle(error)?
            }
        };
        // Counted before anyone else may make space.
        self.shared.state().active_bytes += space.capacity();
        Ok(space)
    }

    /// A segment was sealed and is the keeper's from now on.
    pub fn sealed(&self, sealed: Sealed) {
        let mut state = self.shared.state();
        state.active_bytes = state.active_bytes.saturating_sub(sealed.capacity);
        state.sealed.push(sealed);
        state.nudged = true;
        drop(state);
        self.shared.changed.notify_one();
    }

    pub fn newest_sealed(&self) -> Option<Sealed> {
        self.shared.state().sealed.last().copied()
    }

    /// What keeps the journal from growing, in words.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn run(&self) {
        loop {
            let mut state = self.state();
            if !state.stop && !state.nudged {
                state = self
                    .changed
                    .wait_timeout(state, LOOK)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            if state.stop {
                return;
            }
            state.nudged = false;
            let short = state.spares.is_empty();
            drop(state);
            {
                let _making = lock(&self.making);
                self.expire();
                if short && self.state().spares.is_empty() {
                    self.make_spare();
                }
            }
            self.index();
            if self.bounds.pack {
                self.pack();
            }
        }
    }

    /// Takes over what an earlier writer had reserved and not used.
    fn adopt_spares(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !is_spare(&path) {
                continue;
            }
            let fits = path
                .metadata()
                .is_ok_and(|m| m.len() == self.bounds.segment_bytes);
            let few = self.state().spares.len() < RING_SEALED;
            if fits && few {
                let fresh = self.spare_path();
                // Reserved already; reserving again makes sure of it.
                if std::fs::rename(&path, &fresh).is_ok()
                    && let Ok(space) = Space::reserve(fresh, self.bounds.segment_bytes)
                {
                    self.state().spares.push(space);
                }
            } else {
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    fn spare_path(&self) -> PathBuf {
        loop {
            let n = self.spares.fetch_add(1, Relaxed);
            let path = self.dir.join(format!("spare-{n}.tmp"));
            if !path.exists() {
                return path;
            }
        }
    }

    fn take_spare(&self) -> Option<Space> {
        let mut state = self.state();
        let space = state.spares.pop()?;
        state.active_bytes += space.capacity();
        if state.spares.is_empty() {
            // From here on a segment may be used again at the next rotation, a whole segment from now.
            self.tighten(pressure::TIGHT);
        }
        state.nudged = true;
        drop(state);
        self.changed.notify_one();
        Some(space)
    }

    fn tighten(&self, to: u32) {
        let _ = self.head.pressure().fetch_max(to, SeqCst);
    }

    /// Reserves one more segment and keeps it ready.
    fn make_spare(&self) -> bool {
        match self.make_space() {
            Ok(space) => {
                space.map.populate(0, READY_BYTES);
                let mut state = self.state();
                state.spares.push(space);
                state.trouble = None;
                // Said under the lock, so that a rotation cannot take the spare in between.
                self.head.pressure().store(pressure::NONE, Release);
                true
            }
            Err(shortage) => {
                self.short(shortage);
                false
            }
        }
    }

    /// Says why there is no space.
    fn short(&self, shortage: Shortage) -> Error {
        let (to, error) = match shortage {
            Shortage::Disk(error) => (pressure::DISK_FULL, error),
            Shortage::Bound => (
                pressure::BOUND,
                Error::NoSpace {
                    path: self.dir.clone(),
                    needed_bytes: self.bounds.segment_bytes,
                    source: io::Error::other(format!(
                        "the bound of the journal ({} MiB) is reached and the store has not taken the oldest segment yet",
                        self.bounds.max_bytes.div_ceil(1 << 20)
                    )),
                },
            ),
        };
        self.state().trouble = Some(error.to_string());
        self.head.pressure().store(to, SeqCst);
        error
    }

    /// Makes space for a segment, by deleting old ones if need be.
    fn make_space(&self) -> Result<Space, Shortage> {
        let offset = self.offset();
        loop {
            if self.state().total_bytes() + self.bounds.segment_bytes > self.bounds.max_bytes {
                if self.drop_oldest(offset) {
                    continue;
                }
                return Err(Shortage::Bound);
            }
            match Space::reserve(self.spare_path(), self.bounds.segment_bytes) {
                Ok(space) => return Ok(space),
                Err(Error::NoSpace { .. }) if self.drop_oldest(offset) => {}
                Err(error) => return Err(Shortage::Disk(error)),
            }
        }
    }

    /// How far the store has come. When that cannot be read, nothing may go.
    fn offset(&self) -> Option<StoreOffset> {
        crate::store_offset(&self.home, &self.venue).unwrap_or(Some(StoreOffset {
            epoch: None,
            sequence: 0,
        }))
    }

    /// Deletes the oldest segment if it may go.
    fn drop_oldest(&self, offset: Option<StoreOffset>) -> bool {
        let mut state = self.state();
        if retention::removable(&state.sealed, offset) == 0 {
            return false;
        }
        let oldest = state.sealed.remove(0);
        drop(state);
        self.delete(&oldest);
        true
    }

    /// Deletes what is older than it is to be kept.
    fn expire(&self) {
        if self.bounds.keep_ns <= 0 {
            return;
        }
        let offset = self.offset();
        let now_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        let mut state = self.state();
        let most = retention::removable(&state.sealed, offset);
        let gone = retention::expired(&state.sealed[..most], self.bounds.keep_ns, now_ns);
        let gone: Vec<Sealed> = state.sealed.drain(..gone).collect();
        drop(state);
        for segment in &gone {
            self.delete(segment);
        }
    }

    /// Unlinks a segment. Readers that have it mapped read on; its index goes after it.
    fn delete(&self, segment: &Sealed) {
        // A file that is gone already is what was wanted; one that cannot be deleted is found again, and
        // counted, by the next writer.
        let _ = std::fs::remove_file(segment.name.raw(&self.dir));
        let _ = std::fs::remove_file(segment.name.packed(&self.dir));
        let _ = std::fs::remove_file(segment.name.index(&self.dir));
    }

    /// Takes the oldest of the last segments out of the log, to be written again.
    fn recycle(&self, why_not: Error) -> Result<Space, Error> {
        let mut state = self.state();
        let at = state.sealed.len().saturating_sub(RING_SEALED);
        let Some(victim) = state.sealed.get(at).filter(|segment| !segment.packed).copied() else {
            return Err(why_not);
        };
        state.sealed.remove(at);
        drop(state);
        let path = victim.name.raw(&self.dir);
        let space = Space::open(path.clone())?;
        space.take_over();
        let fresh = self.spare_path();
        std::fs::rename(&path, &fresh).map_err(|e| Error::io("using again", &path, e))?;
        let _ = std::fs::remove_file(victim.name.index(&self.dir));
        Ok(Space { path: fresh, ..space })
    }

    /// Makes the indexes that are missing or incomplete.
    fn index(&self) {
        let sealed = self.state().sealed.clone();
        for segment in sealed.iter().rev() {
            if self.state().stop {
                return;
            }
            if segment.indexed || !(Index::load(&self.dir, &segment.name).complete || self.index_one(segment))
            {
                continue;
            }
            if let Some(entry) = self.state().sealed.iter_mut().find(|s| s.name == segment.name) {
                entry.indexed = true;
            }
        }
    }

    /// False when it could not be done now: until it can, readers read the segment through.
    fn index_one(&self, segment: &Sealed) -> bool {
        let Ok(Some(mut open)) = Segment::open(&self.dir, segment.name) else {
            return false;
        };
        let mut index = Index::default();
        open.each_frame(0, segment.footer.data_bytes as usize, |offset, frame| {
            index.add(offset, frame);
        });
        open.intact()
            && index
                .store(&self.dir, &segment.name, Some(&end_entry(segment)))
                .is_ok()
    }

    /// Packs sealed segments that nobody is likely to be in any more.
    fn pack(&self) {
        loop {
            let state = self.state();
            let most = state.sealed.len().saturating_sub(RAW_SEALED);
            let found = state.sealed[..most]
                .iter()
                .find(|segment| !segment.packed)
                .copied();
            if state.stop {
                return;
            }
            drop(state);
            let Some(segment) = found else { return };
            // On a full disk there may be no room for the packed file either; then it is tried again later.
            let Ok((packed, file_bytes)) = self.pack_one(&segment) else {
                return;
            };
            let mut state = self.state();
            // Named only while the segment is in the log, so that one that retention has taken meanwhile does
            // not come back.
            let Some(entry) = state.sealed.iter_mut().find(|s| s.name == segment.name) else {
                drop(state);
                let _ = std::fs::remove_file(&packed);
                continue;
            };
            if std::fs::rename(&packed, segment.name.packed(&self.dir)).is_err() {
                return;
            }
            entry.packed = true;
            entry.file_bytes = file_bytes;
            drop(state);
            // The original goes when the new name is on disk.
            if File::open(&self.dir).and_then(|dir| dir.sync_all()).is_err() {
                return;
            }
            let _ = std::fs::remove_file(segment.name.raw(&self.dir));
        }
    }

    fn pack_one(&self, segment: &Sealed) -> Result<(PathBuf, u64), Error> {
        let path = segment.name.raw(&self.dir);
        let gone = || Error::io("packing", &path, io::ErrorKind::NotFound.into());
        let open = Segment::open(&self.dir, segment.name)?.ok_or_else(gone)?;
        let data = open.bytes(0, segment.footer.data_bytes as usize);
        pack::pack(&self.dir, &segment.name, data, segment.capacity, &segment.footer)
    }
}

fn end_entry(segment: &Sealed) -> index::Entry {
    index::end_entry(
        segment.footer.data_bytes,
        Position {
            epoch: segment.footer.last_epoch,
            sequence: segment.footer.next_sequence,
        },
    )
}

/// Whether the path is a reserved segment without a name yet.
pub(crate) fn is_spare(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("spare-") && name.ends_with(".tmp"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change of the state is made whole before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
