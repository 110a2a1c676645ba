//! The thread that writes the log to disk and moves the durable watermark.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Error;
use crate::head::Head;
use crate::options::Hooks;
use crate::segment::Space;

/// Between two syncs while records come. With the sync itself this keeps the watermark within 25 ms; a
/// shorter one would wear out disks, because each sync writes whole pages and the file system's own journal.
const INTERVAL: Duration = Duration::from_millis(10);
/// The thread looks at least this often whether it is to end.
const IDLE: Duration = Duration::from_millis(250);
/// Bytes made ready ahead of the writer for a burst, and at most.
const READY_BYTES: u64 = 64 << 10;
const AHEAD_BYTES_MAX: u64 = 8 << 20;

/// Handle of the thread; dropping it syncs once more and ends it.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    venue: String,
    head: Arc<Head>,
    dir: File,
    hooks: Hooks,
    /// Segments with bytes that may not be on disk, with their bases, oldest first. The last one is the one
    /// being written.
    watched: Mutex<Vec<(Arc<Space>, u64)>>,
    /// A segment was named since the folder was last synced.
    renamed: AtomicBool,
    stop: AtomicBool,
    failed: AtomicBool,
    /// One sync at a time: a second one would return before the first has failed.
    turn: Mutex<()>,
}

impl Syncer {
    pub fn start(venue: &str, dir: &Path, head: &Arc<Head>, hooks: &Hooks) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            venue: venue.to_string(),
            head: head.clone(),
            dir: File::open(dir).map_err(|e| Error::io("opening", dir, e))?,
            hooks: hooks.clone(),
            watched: Mutex::new(Vec::new()),
            renamed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            turn: Mutex::new(()),
        });
        let thread = std::thread::Builder::new()
            .name("journal-sync".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run()
            })
            .map_err(|e| Error::io("starting the sync thread for", dir, e))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// From now on this segment is the one being written. Called before anything of it is visible.
    pub fn watch(&self, space: &Arc<Space>, base: u64) {
        lock(&self.shared.watched).push((space.clone(), base));
        self.shared.renamed.store(true, Release);
    }

    /// A sync has failed: nothing more may be written.
    #[inline]
    pub fn failed(&self) -> bool {
        self.shared.failed.load(Relaxed)
    }

    pub fn sync_now(&self) -> Result<(), Error> {
        if self.shared.sync() {
            return Ok(());
        }
        Err(Error::Stopped {
            reason: "a sync to disk has failed".into(),
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Release);
        self.shared.head.wake();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread has been printed; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut synced = 0;
        let mut before = self.head.committed().load(Acquire);
        let mut ready = 0;
        while !self.stop.load(Acquire) {
            let committed = self.head.committed().load(Acquire);
            ready = self.populate(committed, committed.saturating_sub(before), ready);
            before = committed;
            if committed == synced {
                // Asleep like any reader, so that an idle venue costs nothing.
                self.head.sleep(committed, IDLE);
                continue;
            }
            if !self.sync() {
                return;
            }
            synced = committed;
            std::thread::park_timeout(INTERVAL);
        }
        self.sync();
    }

    /// Syncs every watched segment and then moves the watermark; false when it failed, now or before.
    fn sync(&self) -> bool {
        let _turn = lock(&self.turn);
        if self.failed.load(Acquire) {
            return false;
        }
        // Read before the list: a segment is listed before its first record counts.
        let durable = self.head.next_sequence().load(Acquire).saturating_sub(1);
        let watched = lock(&self.watched).clone();
        let renamed = self.renamed.swap(false, Acquire);
        let spaces = watched
            .iter()
            .try_for_each(|(space, _)| space.sync(&*self.hooks.sync));
        let result = spaces.and_then(|()| {
            if renamed {
                (self.hooks.sync)(&self.dir)
            } else {
                Ok(())
            }
        });
        if let Err(error) = result {
            self.failed.store(true, Release);
            (self.hooks.failed)(&format!(
                "journal of '{}': {error} while syncing to disk. Records after sequence {} may be lost by a power cut. \
                 The process ends, because a failed sync must never be tried again; start it again: it recovers.",
                self.venue,
                self.head.durable().load(Acquire)
            ));
            return false;
        }
        let mut now = lock(&self.watched);
        // What was sealed before this sync is on disk for good; the newest goes on being written.
        now.drain(..watched.len().saturating_sub(1));
        drop(now);
        self.head.durable().fetch_max(durable, Release);
        true
    }

    /// Makes the pages ready that the writer will reach before the next look; returns up to where they are.
    ///
    /// A page that is made ready counts as changed and goes to disk with the next sync. So the pages for a
    /// burst are made ready once, and after each sync only those that will be written anyway.
    fn populate(&self, committed: u64, written: u64, ready: u64) -> u64 {
        let newest = lock(&self.watched).last().cloned();
        let Some((space, base)) = newest else {
            return ready;
        };
        let from = committed.max(base);
        let soon = from + (written * 2).min(AHEAD_BYTES_MAX);
        let populate = |from: u64, to: u64| space.map.populate((from - base) as usize, (to - base) as usize);
        populate(from, soon + 1);
        let ready = ready.max(soon);
        if ready >= from + READY_BYTES / 2 {
            return ready;
        }
        populate(ready, from + READY_BYTES);
        from + READY_BYTES
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section here is one call that leaves the value whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
