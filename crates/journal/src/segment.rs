//! Segment files: frames back to back in reserved space, with a footer once no more will come.
//!
//! The name is `<first sequence, 20 digits>-<base, 16 hex digits>.seg`. The base is the log position of
//! the first byte; the next segment's base is this one's plus its length, so bases are unique, in
//! order and never used again, which first sequences alone are not (a segment may hold control frames
//! only). The first frame is always a control frame. A packed segment has `.zst` for `.seg`: see `pack`.
//!
//! Sequences and epochs never go down inside a segment. That is how frames are told from what an older
//! use of the same space has left behind.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::fence;

use wire::frame::{self, HEADER_BYTES};
use wire::{Frame, Header, crc32c};

use crate::mmap::{Map, reserve};
use crate::pack::{self, Packed};
use crate::{Error, Position, index};

pub(crate) const FOOTER_BYTES: usize = 64;
const FOOTER_MAGIC: u64 = u64::from_le_bytes(*b"TDMLSEAL");

/// Stands in place of a segment's identity from the moment it is taken out of the log to be written again.
const TAKEN: [u64; 2] = [u64::from_le_bytes(*b"TDMLGONE"), u64::MAX];

/// What a segment's file name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub first_sequence: u64,
    pub base: u64,
}

impl Name {
    pub fn stem(&self) -> String {
        format!("{:020}-{:016x}", self.first_sequence, self.base)
    }

    pub fn raw(&self, dir: &Path) -> PathBuf {
        dir.join(self.stem() + ".seg")
    }

    pub fn packed(&self, dir: &Path) -> PathBuf {
        dir.join(self.stem() + ".zst")
    }

    pub fn index(&self, dir: &Path) -> PathBuf {
        dir.join(self.stem() + ".idx")
    }

    /// The least position a frame of this segment can have.
    pub fn floor(&self) -> Position {
        Position {
            epoch: 0,
            sequence: self.first_sequence,
        }
    }

    fn parse(stem: &str) -> Option<Self> {
        let (sequence, base) = stem.split_once('-')?;
        let digits = |text: &str, length: usize| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        };
        if !digits(sequence, 20) || !digits(base, 16) {
            return None;
        }
        Some(Self {
            first_sequence: sequence.parse().ok()?,
            base: u64::from_str_radix(base, 16).ok()?,
        })
    }
}

/// All segments in the folder, in log order.
pub(crate) fn list(dir: &Path) -> Result<Vec<Name>, Error> {
    let mut names = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io("listing", dir, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("listing", dir, e))?;
        let file_name = entry.file_name();
        let Some(name) = file_name
            .to_str()
            .and_then(|text| text.strip_suffix(".seg").or_else(|| text.strip_suffix(".zst")))
            .and_then(Name::parse)
        else {
            continue;
        };
        names.push(name);
    }
    names.sort_unstable_by_key(|name| name.base);
    names.dedup_by_key(|name| name.base);
    Ok(names)
}

/// The last 64 bytes of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Offset behind the last frame.
    pub data_bytes: u64,
    pub first_sequence: u64,
    pub next_sequence: u64,
    /// `ts_recv` of the first and last record, ns; 0 when there is none.
    pub first_ts: i64,
    pub last_ts: i64,
    pub first_epoch: u32,
    pub last_epoch: u32,
    pub frames: u32,
}

impl Footer {
    pub fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[0..8].copy_from_slice(&FOOTER_MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.data_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_ts.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_ts.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.first_epoch.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.last_epoch.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.frames.to_le_bytes());
        let crc = crc32c(0, &bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The footer at the end of a segment of `capacity` bytes; `None` when it is not sealed, or the
    /// footer is damaged, or it is not this segment's (left over from an older use of the space).
    pub fn decode(bytes: &[u8], capacity: u64, name: &Name) -> Option<Self> {
        let bytes: &[u8; FOOTER_BYTES] = bytes.try_into().ok()?;
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if u64_at(0)? != FOOTER_MAGIC || u32_at(60)? != crc32c(0, &bytes[..60]) {
            return None;
        }
        let footer = Self {
            data_bytes: u64_at(8)?,
            first_sequence: u64_at(16)?,
            next_sequence: u64_at(24)?,
            first_ts: u64_at(32)? as i64,
            last_ts: u64_at(40)? as i64,
            first_epoch: u32_at(48)?,
            last_epoch: u32_at(52)?,
            frames: u32_at(56)?,
        };
        let fits = footer.first_sequence == name.first_sequence
            && footer.data_bytes <= capacity.saturating_sub(FOOTER_BYTES as u64);
        fits.then_some(footer)
    }
}

/// Position of a frame: of its first record, or of the record that would come next.
pub(crate) fn position(header: &Header) -> Position {
    Position {
        epoch: header.epoch,
        sequence: header.sequence,
    }
}

/// The first good frame at or after `at` that does not go back behind `floor`, with its offset. A frame
/// that does is a remnant of what the space held before and is stepped over like damage.
#[inline]
pub(crate) fn good_frame(bytes: &[u8], at: usize, floor: Position) -> Option<(usize, Frame<'_>)> {
    match frame::decode(bytes.get(at..)?) {
        Ok(found) if found.header.sequence >= floor.sequence && found.header.epoch >= floor.epoch => {
            Some((at, found))
        }
        _ => search(bytes, at, floor),
    }
}

#[cold]
fn search(bytes: &[u8], from: usize, floor: Position) -> Option<(usize, Frame<'_>)> {
    let magic = frame::MAGIC.to_le_bytes();
    let mut at = from.next_multiple_of(8);
    while at + HEADER_BYTES <= bytes.len() {
        if bytes[at..at + 4] == magic
            && let Ok(found) = frame::decode(&bytes[at..])
        {
            if found.header.sequence >= floor.sequence && found.header.epoch >= floor.epoch {
                return Some((at, found));
            }
            at += found.header.frame_bytes();
        } else {
            at += 8;
        }
    }
    None
}

/// A segment as its readers see it.
pub(crate) struct Segment {
    pub name: Name,
    /// Length of the reserved file, in log positions.
    pub capacity: u64,
    content: Content,
}

enum Content {
    Mapped {
        map: Map,
        /// Sixteen bytes of the first frame's header (epoch, checksum, sequence) as they were when it was
        /// opened: they change before anything else does when the writer uses the space again.
        identity: [u64; 2],
    },
    Packed(Packed),
}

impl Segment {
    /// Opens for reading; `None` when it is gone, or was used again between listing and opening.
    pub fn open(dir: &Path, name: Name) -> Result<Option<Self>, Error> {
        let path = name.raw(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::open_packed(dir, name);
            }
            Err(error) => return Err(Error::io("opening", &path, error)),
        };
        let map = Map::read_only(&file).map_err(|e| Error::io("mapping", &path, e))?;
        if map.len() < HEADER_BYTES + FOOTER_BYTES {
            return Err(Error::Corrupt {
                path,
                found: format!("{} bytes are too few for a segment", map.len()),
            });
        }
        let identity = identity(&map);
        if identity == TAKEN {
            return Ok(None);
        }
        // The header alone: the frame may be larger than what is committed yet.
        if let Ok(first) = frame::decode_header(map.bytes(0, HEADER_BYTES))
            && first.sequence != name.first_sequence
            && !path.exists()
        {
            return Ok(None);
        }
        Ok(Some(Self {
            name,
            capacity: map.len() as u64,
            content: Content::Mapped { map, identity },
        }))
    }

    fn open_packed(dir: &Path, name: Name) -> Result<Option<Self>, Error> {
        let path = name.packed(dir);
        match Packed::open(&path, &name) {
            Ok(packed) => Ok(Some(Self {
                name,
                capacity: packed.header().capacity,
                content: Content::Packed(packed),
            })),
            Err(_) if !path.exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first good frame at or after `at` and before `limit` that does not go back behind `floor`.
    #[inline]
    pub fn frame(&mut self, at: usize, limit: usize, floor: Position) -> Option<(usize, Frame<'_>)> {
        match &mut self.content {
            Content::Mapped { map, .. } => good_frame(map.bytes(0, limit), at, floor),
            Content::Packed(packed) => packed.frame(at, limit, floor),
        }
    }

    /// Calls `f` with every good frame from an offset on, and its own.
    pub fn each_frame(&mut self, from: usize, limit: usize, mut f: impl FnMut(usize, &Frame<'_>)) {
        let mut floor = self.name.floor();
        let mut at = from;
        while let Some((offset, found)) = self.frame(at, limit, floor) {
            f(offset, &found);
            at = offset + found.header.frame_bytes();
            floor = index::frame_end(&found);
        }
    }

    /// Bytes of the log. Of a packed segment only those are there that the last frame was found among.
    #[inline]
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        match &self.content {
            Content::Mapped { map, .. } => map.bytes(from, to),
            Content::Packed(packed) => packed.bytes(from, to),
        }
    }

    /// Copies bytes of a segment that may be used again while they are copied.
    pub fn copy_out(&self, from: usize, out: &mut [u8]) {
        match &self.content {
            Content::Mapped { map, .. } => map.copy_out(from, out),
            Content::Packed(packed) => out.copy_from_slice(packed.bytes(from, from + out.len())),
        }
    }

    /// Lets go of the memory that these bytes of the log take up in this process.
    pub fn release(&self, from: usize, to: usize) {
        match &self.content {
            Content::Mapped { map, .. } => map.release(from, to),
            Content::Packed(_) => {}
        }
    }

    /// Whether the space still holds this segment. Asked after the bytes were read.
    #[inline]
    pub fn intact(&self) -> bool {
        match &self.content {
            Content::Mapped {
                map,
                identity: opened,
            } => {
                fence(Acquire);
                identity(map) == *opened
            }
            Content::Packed(_) => true,
        }
    }

    /// The footer, once sealed.
    pub fn footer(&self) -> Option<Footer> {
        match &self.content {
            Content::Mapped { map, .. } => {
                let end = map.len();
                Footer::decode(map.bytes(end - FOOTER_BYTES, end), self.capacity, &self.name)
            }
            Content::Packed(packed) => Some(packed.header().footer),
        }
    }

    /// How far the segment may be read when `committed` is the end of the log.
    pub fn limit(&self, committed: u64) -> usize {
        let inside = committed.saturating_sub(self.name.base);
        if inside >= self.capacity {
            self.data_limit()
        } else {
            inside as usize
        }
    }

    pub fn is_packed(&self) -> bool {
        matches!(self.content, Content::Packed(_))
    }

    /// Where the search for frames ends when nothing else is known.
    pub fn data_limit(&self) -> usize {
        self.footer()
            .map_or(self.capacity as usize - FOOTER_BYTES, |footer| {
                footer.data_bytes as usize
            })
    }
}

/// Position of a segment's first frame without opening all of it; `None` when it is gone or only
/// reading it through can tell.
pub(crate) fn start(dir: &Path, name: &Name) -> Option<Position> {
    match File::open(name.raw(dir)) {
        Ok(file) => {
            let mut bytes = vec![0; HEADER_BYTES];
            file.read_exact_at(&mut bytes, 0).ok()?;
            bytes.resize(frame::decode_header(&bytes).ok()?.frame_bytes(), 0);
            file.read_exact_at(&mut bytes, 0).ok()?;
            let first = frame::decode(&bytes).ok()?;
            (first.header.sequence == name.first_sequence).then(|| position(&first.header))
        }
        Err(_) => {
            let (header, _) = pack::read_header(&name.packed(dir), name).ok()?;
            Some(Position {
                epoch: header.footer.first_epoch,
                sequence: header.footer.first_sequence,
            })
        }
    }
}

/// A writer ended while it took this segment out of the log.
pub(crate) fn is_taken(dir: &Path, name: &Name) -> bool {
    let mut bytes = [0; 16];
    let read = File::open(name.raw(dir)).and_then(|file| file.read_exact_at(&mut bytes, 16));
    read.is_ok() && bytes[..8] == TAKEN[0].to_le_bytes() && bytes[8..] == TAKEN[1].to_le_bytes()
}

#[inline]
fn identity(map: &Map) -> [u64; 2] {
    [map.atomic_u64(16).load(Relaxed), map.atomic_u64(24).load(Relaxed)]
}

/// A reserved file mapped for writing: a segment, or one to be.
pub(crate) struct Space {
    pub path: PathBuf,
    pub file: File,
    pub map: Map,
}

impl Space {
    /// Reserves `bytes` on disk under a temporary name. Nothing of it can fault for want of space.
    pub fn reserve(path: PathBuf, bytes: u64) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io("creating", &path, e))?;
        let made = reserve(&file, bytes).and_then(|()| file.sync_all());
        if let Err(source) = made {
            let _ = std::fs::remove_file(&path);
            return Err(match source.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Error::NoSpace {
                    path,
                    needed_bytes: bytes,
                    source,
                },
                _ => Error::io("reserving space for", &path, source),
            });
        }
        Self::map(path, file)
    }

    /// An existing segment, to go on writing it.
    pub fn open(path: PathBuf) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("opening", &path, e))?;
        Self::map(path, file)
    }

    fn map(path: PathBuf, file: File) -> Result<Self, Error> {
        let map = Map::read_write(&file).map_err(|e| Error::io("mapping", &path, e))?;
        Ok(Self { path, file, map })
    }

    pub fn capacity(&self) -> u64 {
        self.map.len() as u64
    }

    /// Takes a segment out of the log. First the words by which its readers know it, then everything else.
    pub fn take_over(&self) {
        self.map.atomic_u64(16).store(TAKEN[0], Relaxed);
        self.map.atomic_u64(24).store(TAKEN[1], Relaxed);
        fence(SeqCst);
        self.map.write(self.map.len() - FOOTER_BYTES, &[0; FOOTER_BYTES]);
    }

    /// Writes everything stored so far to disk. A failure must never be retried: the kernel may have
    /// dropped the pages it could not write.
    pub fn sync(&self, sync: &crate::options::Sync) -> std::io::Result<()> {
        self.map.flush()?;
        sync(&self.file)
    }
}

/// What a segment's file says without being mapped.
pub(crate) struct Summary {
    /// `None` when it is not sealed, or the footer is damaged.
    pub footer: Option<Footer>,
    pub capacity: u64,
    pub file_bytes: u64,
    pub packed: bool,
}

pub(crate) fn summary(dir: &Path, name: &Name) -> Result<Summary, Error> {
    let path = name.raw(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (header, file_bytes) = pack::read_header(&name.packed(dir), name)?;
            return Ok(Summary {
                footer: Some(header.footer),
                capacity: header.capacity,
                file_bytes,
                packed: true,
            });
        }
        Err(error) => return Err(Error::io("opening", &path, error)),
    };
    let read = || {
        let length = file.metadata()?.len();
        let mut bytes = [0; FOOTER_BYTES];
        if length >= FOOTER_BYTES as u64 {
            file.read_exact_at(&mut bytes, length - FOOTER_BYTES as u64)?;
        }
        Ok((Footer::decode(&bytes, length, name), length))
    };
    let (footer, length) = read().map_err(|e| Error::io("reading", &path, e))?;
    Ok(Summary {
        footer,
        capacity: length,
        file_bytes: length,
        packed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_is_as_documented() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/journal/files.json")).unwrap();
        let expect = &vectors["footer"];
        let number = |key: &str| expect[key].as_u64().unwrap();
        let time = |key: &str| expect[key].as_str().unwrap().parse().unwrap();
        let footer = Footer {
            data_bytes: number("data_bytes"),
            first_sequence: number("first_sequence"),
            next_sequence: number("next_sequence"),
            first_ts: time("first_ts"),
            last_ts: time("last_ts"),
            first_epoch: number("first_epoch") as u32,
            last_epoch: number("last_epoch") as u32,
            frames: number("frames") as u32,
        };
        let bytes = footer.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expect["bytes"].as_str().unwrap());
        let name = Name {
            first_sequence: 1,
            base: 0,
        };
        assert_eq!(Footer::decode(&bytes, 16 << 10, &name), Some(footer));
        // Of another segment, beyond this one, or with any bit wrong: no footer.
        assert_eq!(Footer::decode(&bytes, 4096, &name), None);
        let other = Name {
            first_sequence: 2,
            base: 0,
        };
        assert_eq!(Footer::decode(&bytes, 16 << 10, &other), None);
        for bit in 0..FOOTER_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&bytes, 16 << 10, &name), None, "bit {bit}");
        }
    }

    #[test]
    fn names_say_what_they_said() {
        let name = Name {
            first_sequence: 812,
            base: 0x4000,
        };
        assert_eq!(name.stem(), "00000000000000000812-0000000000004000");
        assert_eq!(Name::parse(&name.stem()), Some(name));
        for bad in [
            "",
            "812-4000",
            "00000000000000000812-000000000000400G",
            "0000000000000000081a-0000000000004000",
        ] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
