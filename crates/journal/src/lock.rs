//! The lock file: one writer at a time, and who it is.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::{Error, mmap};

/// Takes the lock for as long as the file is open. [`Error::Held`] names the process that has it.
pub(crate) fn take(dir: &Path, venue: &str) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::io("opening", &path, e))?;
    if mmap::lock(&file, false).map_err(|e| Error::io("locking", &path, e))? {
        return Ok(file);
    }
    Err(Error::Held {
        venue: venue.to_string(),
        pid: number(&file, "pid") as u32,
    })
}

/// The lock file says who holds it, and repeats the epoch for the case that the head is lost.
pub(crate) fn write(dir: &Path, lock: &File, epoch: u32) -> Result<(), Error> {
    let text = format!(
        "{:<63}\n",
        format!("{{\"pid\":{},\"epoch\":{epoch}}}", std::process::id())
    );
    lock.write_all_at(text.as_bytes(), 0)
        .and_then(|()| lock.sync_data())
        .map_err(|e| Error::io("writing", &dir.join("lock"), e))
}

fn number(lock: &File, key: &str) -> u64 {
    let mut bytes = [0; 64];
    let read = lock.read_at(&mut bytes, 0).unwrap_or(0);
    serde_json::from_slice::<serde_json::Value>(&bytes[..read])
        .ok()
        .and_then(|value| value.get(key)?.as_u64())
        .unwrap_or(0)
}

/// The last epoch that the lock file has heard of.
pub(crate) fn epoch(lock: &File) -> u32 {
    u32::try_from(number(lock, "epoch")).unwrap_or(0)
}
