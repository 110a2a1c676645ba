//! Mapped files: every access to shared memory goes through here.
//!
//! Other processes map the same files. Three rules make that sound in practice: no file is ever
//! shortened while it may be mapped (a touch beyond its end would be a SIGBUS), its space is reserved
//! before it is mapped (a store into a hole of a full disk would be one too), and bytes below the
//! committed position do not change. The one exception, a segment that the writer uses again because
//! there is no room for a new one, is handled by its readers: they copy first and then look whether
//! the segment is still the one they opened (`Segment::intact`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};

/// A whole file in memory, shared with every process that maps it.
pub(crate) struct Map {
    raw: MmapRaw,
}

impl Map {
    pub fn read_write(file: &File) -> io::Result<Self> {
        Ok(Self {
            raw: MmapOptions::new().map_raw(file)?,
        })
    }

    pub fn read_only(file: &File) -> io::Result<Self> {
        Ok(Self {
            raw: MmapOptions::new().map_raw_read_only(file)?,
        })
    }

    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// The bytes from `from` to `to`, which must lie below the committed position (or belong to a
    /// file nobody writes any more). Bounds are clamped to the file.
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        let to = to.min(self.len());
        let from = from.min(to);
        // SAFETY: the range lies inside the mapping, which lives as long as `self`. Committed bytes are
        // not written again, but for segments used again: see the module's comment.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(from), to - from) }
    }

    /// Copies bytes that another process may be changing meanwhile; the caller finds out afterwards
    /// whether it did.
    pub fn copy_out(&self, from: usize, out: &mut [u8]) {
        assert!(from + out.len() <= self.len(), "copy beyond the mapping");
        // SAFETY: inside the mapping (asserted), `out` is exclusive and elsewhere. The bytes may change
        // while they are copied: any byte value is valid, and the caller checks before it uses them.
        unsafe { std::ptr::copy_nonoverlapping(self.raw.as_ptr().add(from), out.as_mut_ptr(), out.len()) }
    }

    /// Writes bytes that no reader looks at yet: beyond the committed position. Only the writer, which
    /// holds the lock of the journal, calls this.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len(), "write beyond the mapping");
        // SAFETY: inside the mapping (asserted), which is writable for the one writer; no slice given
        // out covers bytes beyond the committed position.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.raw.as_mut_ptr().add(at), bytes.len()) }
    }

    pub fn atomic_u64(&self, at: usize) -> &AtomicU64 {
        assert!(
            at.is_multiple_of(8) && at + 8 <= self.len(),
            "unaligned or outside the mapping"
        );
        // SAFETY: aligned and inside (asserted; mappings begin on a page), and shared words are only
        // ever accessed as atomics. Loads from a read-only mapping are plain loads on our targets.
        unsafe { AtomicU64::from_ptr(self.raw.as_mut_ptr().add(at).cast()) }
    }

    pub fn atomic_u32(&self, at: usize) -> &AtomicU32 {
        assert!(
            at.is_multiple_of(4) && at + 4 <= self.len(),
            "unaligned or outside the mapping"
        );
        // SAFETY: as for `atomic_u64`.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().add(at).cast()) }
    }

    /// Makes the pages of this range present and writable, so that the writer's stores do not fault.
    /// A hint: failure is of no consequence.
    pub fn populate(&self, from: usize, to: usize) {
        let to = to.min(self.len());
        let from = from.min(to) & !4095;
        #[cfg(target_os = "linux")]
        if to > from {
            // Older kernels do not know the advice; the stores then fault one page at a time.
            let _ = self
                .raw
                .advise_range(memmap2::Advice::PopulateWrite, from, to - from);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (from, to);
    }

    /// Takes this range's whole pages out of the process's memory: they stay in the file's cache, and the next
    /// touch brings them back. A hint: failure is of no consequence.
    pub fn release(&self, from: usize, to: usize) {
        let to = to.min(self.len()) & !4095;
        let from = from.next_multiple_of(4096);
        #[cfg(target_os = "linux")]
        if to > from {
            // SAFETY: inside the mapping, which is shared with its file: a page that is touched again is read
            // from there, with all that was stored to it. Slices given out stay what they are.
            let _ = unsafe {
                self.raw
                    .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from)
            };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (from, to);
    }

    /// On systems whose file sync does not cover mapped stores, hands them to the file first.
    pub fn flush(&self) -> io::Result<()> {
        #[cfg(not(target_os = "linux"))]
        self.raw.flush()?;
        Ok(())
    }
}

/// Reserves `bytes` of disk for the file and makes it that long. Existing content stays.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let Ok(length) = libc::off_t::try_from(bytes) else {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    };
    #[cfg(not(target_os = "macos"))]
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
            0 => return Ok(()),
            libc::EINTR => {}
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
    #[cfg(target_os = "macos")]
    {
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE,
            fst_offset: 0,
            fst_length: length,
            fst_bytesalloc: 0,
        };
        let have = file.metadata()?.len();
        if have >= bytes {
            return Ok(());
        }
        store.fst_length = length - have as libc::off_t;
        // SAFETY: the descriptor is open and `store` lives through the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &mut store) } == -1 {
            return Err(io::Error::last_os_error());
        }
        file.set_len(bytes)
    }
}

/// Takes the exclusive lock of the file, without waiting; false when another process has it.
pub(crate) fn lock(file: &File, wait: bool) -> io::Result<bool> {
    let operation = if wait {
        libc::LOCK_EX
    } else {
        libc::LOCK_EX | libc::LOCK_NB
    };
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed.
        if unsafe { libc::flock(file.as_raw_fd(), operation) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(false),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

/// Type and size of the file system a path is on.
pub(crate) struct FileSystem {
    /// What makes it unfit for mapped files shared between processes.
    pub unfit: Option<String>,
    pub total_bytes: u64,
}

/// Linux `statfs` magic numbers of file systems whose mapped pages are not coherent between machines
/// or between the kernel and a user-space server (statfs(2), linux/magic.h).
#[cfg(target_os = "linux")]
const UNFIT: [(i64, &str); 12] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x786F_4256, "a VirtualBox shared folder"),
    (0x4750_4653, "GPFS"),
];

pub(crate) fn file_system(path: &std::path::Path) -> io::Result<FileSystem> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: statfs is plain integers, for which all zeros is valid.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` ends in a zero byte and both live through the call.
    if unsafe { libc::statfs(name.as_ptr(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    let unfit = {
        // The type is 32 bits wide; some C libraries sign-extend it.
        let magic = stat.f_type as i64 & 0xFFFF_FFFF;
        UNFIT
            .iter()
            .find(|(number, _)| *number == magic)
            .map(|(_, name)| (*name).to_string())
    };
    #[cfg(target_os = "macos")]
    let unfit = {
        let name: Vec<u8> = stat
            .f_fstypename
            .iter()
            .take_while(|c| **c != 0)
            .map(|c| *c as u8)
            .collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        let bad =
            ["nfs", "smbfs", "afpfs", "webdav", "cifs"].contains(&name.as_str()) || name.contains("fuse");
        bad.then_some(name)
    };
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let unfit = None;
    Ok(FileSystem {
        unfit,
        total_bytes: (stat.f_blocks as u64).saturating_mul(stat.f_bsize as u64),
    })
}

/// Ends the process at once, without running anything else in it.
pub(crate) fn end_process(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// A buffer aligned for records, as bytes.
pub(crate) fn words_as_bytes(words: &[u64]) -> &[u8] {
    // SAFETY: u64 has no padding, u8 needs no alignment, the length is the slice's own.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

pub(crate) fn words_as_bytes_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as above, the borrow is exclusive, and any bytes are a valid u64.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}
