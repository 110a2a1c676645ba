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

use wire::{Frame, crc32c};

use crate::mmap::{words_as_bytes, words_as_bytes_mut};
use crate::segment::{self, FOOTER_BYTES, Footer, Name};
use crate::{Error, Position, index};

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

#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    /// In the packed file.
    at: u64,
    /// In the segment.
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
        if Packed::open(&temporary, name)?.holds(data) {
            Ok(())
        } else {
            Err(Error::Corrupt {
                path: temporary.clone(),
                found: "it does not unpack to what was packed".into(),
            })
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
    let (_, header, length) = open(path, name)?;
    Ok((header, length))
}

fn open(path: &Path, name: &Name) -> Result<(File, Header, u64), Error> {
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let (mut first, mut second) = ([0; HEADER_BYTES], [0; HEADER_BYTES]);
        if length >= 2 * HEADER_BYTES as u64 {
            file.read_exact_at(&mut first, 0)?;
            file.read_exact_at(&mut second, length - HEADER_BYTES as u64)?;
        }
        Ok((file, [first, second], length))
    };
    let (file, copies, length) = read().map_err(|e| Error::io("reading", path, e))?;
    let header = copies.iter().find_map(|bytes| decode_header(bytes, name));
    let header = header.ok_or_else(|| Error::Corrupt {
        path: path.to_path_buf(),
        found: "neither copy of its header holds".into(),
    })?;
    Ok((file, header, length))
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

/// A packed segment as its readers see it. One block is in memory at a time: readers go through them in
/// order, and many of them may stand in packed segments at once.
pub(crate) struct Packed {
    file: File,
    header: Header,
    /// Ascending by offset. Blocks that neither copy of the table tells of are left out, like frames that are damaged.
    blocks: Vec<Block>,
    /// Offset of the block in memory.
    start: usize,
    /// Its bytes; none when it is damaged.
    length: usize,
    /// Aligned for records.
    words: Vec<u64>,
}

impl Packed {
    pub fn open(path: &Path, name: &Name) -> Result<Self, Error> {
        let (file, header, length) = open(path, name)?;
        let table_bytes = header.blocks * ENTRY_BYTES;
        let first = table(&file, Some(HEADER_BYTES as u64), table_bytes);
        let second = table(
            &file,
            length.checked_sub((table_bytes + HEADER_BYTES) as u64),
            table_bytes,
        );
        let mut blocks: Vec<Block> = Vec::with_capacity(header.blocks);
        for i in 0..header.blocks {
            let copies = [first.get(i), second.get(i)];
            let agreed = copies[0] == copies[1];
            let follows = |block: &&Block| {
                blocks.last().is_none_or(|last| last.offset < block.offset)
                    && block.offset < header.footer.data_bytes
                    && block.at.saturating_add(u64::from(block.packed_bytes)) <= length
            };
            // Where the copies differ, the block itself tells which is right.
            let good = (copies.into_iter().flatten().filter(follows))
                .find(|block| agreed || read_block(&file, block).is_ok());
            blocks.extend(good.copied());
        }
        Ok(Self {
            file,
            header,
            blocks,
            start: 0,
            length: 0,
            words: Vec::new(),
        })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// As [`segment::good_frame`], from block to block.
    pub fn frame(&mut self, at: usize, limit: usize, floor: Position) -> Option<(usize, Frame<'_>)> {
        let (at, header) = self.find(at, limit, floor)?;
        let bytes = self.bytes(at, at + header.frame_bytes());
        Some((at, Frame { header, bytes }))
    }

    fn find(&mut self, at: usize, limit: usize, floor: Position) -> Option<(usize, wire::Header)> {
        let behind = self.blocks.partition_point(|block| block.offset as usize <= at);
        for i in behind.saturating_sub(1)..self.blocks.len() {
            if self.blocks[i].offset as usize >= limit {
                break;
            }
            self.unpack(i);
            let found = segment::good_frame(
                self.bytes(self.start, limit),
                at.saturating_sub(self.start),
                floor,
            );
            if let Some((inside, found)) = found {
                return Some((self.start + inside, found.header));
            }
        }
        None
    }

    /// The bytes between these offsets that are in memory: of the block that the last frame was found in.
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        let inside = |offset: usize| offset.saturating_sub(self.start).min(self.length);
        &words_as_bytes(&self.words)[inside(from)..inside(to).max(inside(from))]
    }

    /// Brings a block into memory. One that is damaged is empty: readers pass over it.
    fn unpack(&mut self, i: usize) {
        let block = self.blocks[i];
        let start = block.offset as usize;
        if self.length > 0 && self.start == start {
            return;
        }
        let end = (self.blocks.get(i + 1)).map_or(self.header.footer.data_bytes, |next| next.offset);
        self.words.clear();
        self.words.resize((end as usize - start).div_ceil(8), 0);
        let out = words_as_bytes_mut(&mut self.words);
        self.start = start;
        self.length = read_block(&self.file, &block)
            .and_then(|packed| zstd::bulk::decompress_to_buffer(&packed, out))
            .unwrap_or(0);
    }

    /// Whether these are the frames it was made of.
    fn holds(&mut self, data: &[u8]) -> bool {
        let mut at = 0;
        for i in 0..self.blocks.len() {
            self.unpack(i);
            let block = self.bytes(self.start, self.start + self.length);
            if self.start != at || data.get(at..at + block.len()) != Some(block) {
                return false;
            }
            at += block.len();
        }
        at == data.len()
    }
}

/// One copy of the table; empty when it cannot be read.
fn table(file: &File, at: Option<u64>, table_bytes: usize) -> Vec<Block> {
    let mut bytes = vec![0; table_bytes];
    match at.map(|at| file.read_exact_at(&mut bytes, at)) {
        Some(Ok(())) => bytes.as_chunks().0.iter().map(Block::decode).collect(),
        _ => Vec::new(),
    }
}

/// The packed bytes of a block.
fn read_block(file: &File, block: &Block) -> io::Result<Vec<u8>> {
    let mut packed = vec![0; block.packed_bytes as usize];
    file.read_exact_at(&mut packed, block.at)?;
    if crc32c(0, &packed) == block.crc {
        Ok(packed)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
