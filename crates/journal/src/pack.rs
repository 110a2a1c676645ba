//! Compressed segments: `<segment>.zst`, made from a sealed one and read like it.
//!
//! `magic u64 · version u32 · blocks u32 · capacity u64 · 0 u64 · footer (64) · crc32c u32 · 0 u32`, then a table of
//! 24-byte entries `at u64 · offset u64 · packed_bytes u32 · crc32c u32`, then the blocks, then the table again,
//! then the header again. A block is a zstd frame of whole journal frames, about 256 KiB of them, at `at` in
//! this file and at `offset` in the segment; its checksum is of the packed bytes. Damage costs the
//! block it hit; table and header are there twice for that reason.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::crc32c;

use crate::mmap::{words_as_bytes, words_as_bytes_mut};
use crate::segment::{self, FOOTER_BYTES, Footer, Name};
use crate::{Error, index};

const MAGIC: u64 = u64::from_le_bytes(*b"TDMLPACK");
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32 + FOOTER_BYTES + 8;
const ENTRY_BYTES: usize = 24;
const BLOCK_BYTES: usize = 256 << 10;
/// Fast, and within a few percent of what higher levels reach on records.
const LEVEL: i32 = 3;

/// The header of a packed segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub capacity: u64,
    pub footer: Footer,
    blocks: usize,
}

#[derive(Clone, Copy)]
struct Block {
    at: u64,
    offset: u64,
    packed_bytes: u32,
    crc: u32,
}

impl Block {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.packed_bytes.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or(0);
        Self {
            at: u64_at(0),
            offset: u64_at(8),
            packed_bytes: u32_at(16),
            crc: u32_at(20),
        }
    }
}

/// Packs `data`, the frames of a sealed segment, into a file that is whole and on disk when this returns,
/// under a temporary name. Gives that and its length.
pub(crate) fn pack(
    dir: &Path,
    name: &Name,
    data: &[u8],
    capacity: u64,
    footer: &Footer,
) -> Result<(PathBuf, u64), Error> {
    let path = name.packed(dir);
    let failed = |e| Error::io("packing", &path, e);
    let mut blocks = Vec::new();
    let mut packed = Vec::new();
    for (from, to) in cuts(data, name) {
        let bytes = zstd::bulk::compress(&data[from..to], LEVEL).map_err(failed)?;
        blocks.push(Block {
            at: packed.len() as u64,
            offset: from as u64,
            packed_bytes: bytes.len() as u32,
            crc: crc32c(0, &bytes),
        });
        packed.extend_from_slice(&bytes);
    }
    let start = (HEADER_BYTES + blocks.len() * ENTRY_BYTES) as u64;
    let mut table = Vec::with_capacity(blocks.len() * ENTRY_BYTES);
    for block in &mut blocks {
        block.at += start;
        table.extend_from_slice(&block.encode());
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 2 * table.len() + packed.len());
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&capacity.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&footer.encode());
    let crc = crc32c(0, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let header = bytes.clone();
    bytes.extend_from_slice(&table);
    bytes.extend_from_slice(&packed);
    bytes.extend_from_slice(&table);
    bytes.extend_from_slice(&header);

    let temporary = dir.join(name.stem() + ".zst.tmp");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    let written = write().map_err(failed).and_then(|()| {
        // What cannot be read back whole is no reason to delete the original.
        match unpack(&temporary, name)? {
            (_, words) if words_as_bytes(&words).get(..data.len()) == Some(data) => Ok(()),
            _ => Err(Error::Corrupt {
                path: temporary.clone(),
                found: "it does not unpack to what was packed".into(),
            }),
        }
    });
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok((temporary, bytes.len() as u64))
}

/// Where blocks begin and end: on frames, and every byte is in one.
fn cuts(data: &[u8], name: &Name) -> Vec<(usize, usize)> {
    let mut cuts = Vec::new();
    let mut from = 0;
    let mut floor = name.floor();
    let mut at = 0;
    while let Some((offset, frame)) = segment::good_frame(data, at, floor) {
        at = offset + frame.header.frame_bytes();
        floor = index::frame_end(&frame);
        if at - from >= BLOCK_BYTES {
            cuts.push((from, at));
            from = at;
        }
    }
    if from < data.len() {
        cuts.push((from, data.len()));
    }
    cuts
}

/// Header of a packed segment without reading the rest, and the file's length.
pub(crate) fn read_header(path: &Path, name: &Name) -> Result<(Header, u64), Error> {
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let (mut first, mut second) = ([0; HEADER_BYTES], [0; HEADER_BYTES]);
        if length >= 2 * HEADER_BYTES as u64 {
            file.read_exact_at(&mut first, 0)?;
            file.read_exact_at(&mut second, length - HEADER_BYTES as u64)?;
        }
        Ok(([first, second], length))
    };
    let (copies, length) = read().map_err(|e| Error::io("reading", path, e))?;
    let header = copies.iter().find_map(|bytes| decode_header(bytes, name));
    let header = header.ok_or_else(|| Error::Corrupt {
        path: path.to_path_buf(),
        found: "neither copy of its header holds".into(),
    })?;
    Ok((header, length))
}

fn decode_header(bytes: &[u8; HEADER_BYTES], name: &Name) -> Option<Header> {
    let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let good = u64_at(0)? == MAGIC
        && u32_at(8)? == VERSION
        && u32_at(32 + FOOTER_BYTES)? == crc32c(0, &bytes[..32 + FOOTER_BYTES]);
    if !good {
        return None;
    }
    let capacity = u64_at(16)?;
    Some(Header {
        capacity,
        footer: Footer::decode(&bytes[32..32 + FOOTER_BYTES], capacity, name)?,
        blocks: u32_at(12)? as usize,
    })
}

/// The frames of a packed segment as they were, in memory aligned for records. A damaged block is
/// zeros, which readers pass over.
pub(crate) fn unpack(path: &Path, name: &Name) -> Result<(Header, Vec<u64>), Error> {
    let (header, _) = read_header(path, name)?;
    let file = std::fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    let data_bytes = header.footer.data_bytes as usize;
    let mut words = vec![0u64; data_bytes.div_ceil(8)];
    let out = &mut words_as_bytes_mut(&mut words)[..data_bytes];
    let table_bytes = header.blocks.saturating_mul(ENTRY_BYTES);
    let tables = [
        file.get(HEADER_BYTES..).and_then(|rest| rest.get(..table_bytes)),
        file.len()
            .checked_sub(table_bytes + HEADER_BYTES)
            .and_then(|at| file.get(at..at + table_bytes)),
    ];
    let entries: Vec<&[[u8; ENTRY_BYTES]]> =
        tables.iter().flatten().map(|table| table.as_chunks().0).collect();
    for i in 0..header.blocks {
        for table in &entries {
            let Some(entry) = table.get(i) else { continue };
            if unpack_block(&file, &Block::decode(entry), out).is_ok() {
                break;
            }
        }
    }
    Ok((header, words))
}

fn unpack_block(file: &[u8], block: &Block, out: &mut [u8]) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let packed = usize::try_from(block.at)
        .ok()
        .and_then(|at| file.get(at..)?.get(..block.packed_bytes as usize))
        .filter(|packed| crc32c(0, packed) == block.crc)
        .ok_or_else(invalid)?;
    let out = usize::try_from(block.offset)
        .ok()
        .and_then(|offset| out.get_mut(offset..))
        .ok_or_else(invalid)?;
    zstd::bulk::decompress_to_buffer(packed, out)?;
    Ok(())
}
