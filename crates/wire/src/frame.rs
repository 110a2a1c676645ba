//! Frames: a 32-byte header and a payload, checked by CRC-32C.
//!
//! `magic u32 · version u8 · type u8 · venue u16 · length u32 · count u32 · epoch u32 · crc32c u32 ·
//! sequence u64`. The sequence of the i-th record is `sequence + i`.

use std::fmt;

use crate::{RECORD_BYTES, Record, crc32c};

/// First four bytes of every frame: `TDML`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"TDML");
pub const VERSION: u8 = 1;
pub const HEADER_BYTES: usize = 32;
/// A larger venue message goes into several frames.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;
/// Records that fit one frame.
pub const MAX_RECORDS: usize = MAX_PAYLOAD_BYTES / RECORD_BYTES;

/// What the payload is. Readers skip types they do not know.
pub mod kind {
    pub const RECORDS: u8 = 1;
    /// JSON text padded with zeros; count 0, names the next sequence.
    pub const CONTROL: u8 = 2;
    /// Empty; count 0, names the next sequence.
    pub const HEARTBEAT: u8 = 3;
    /// `count` records from `sequence` that a filter left out: not a loss.
    pub const SKIP: u8 = 4;
}

/// The header without magic, version and checksum, which encoding adds and decoding checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// See [`kind`].
    pub kind: u8,
    pub venue: u16,
    /// Payload bytes, a multiple of 8, at most [`MAX_PAYLOAD_BYTES`].
    pub length: u32,
    /// Records in the payload (or left out, in a skip).
    pub count: u32,
    pub epoch: u32,
    pub sequence: u64,
}

impl Header {
    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.length as usize
    }

    /// The sequence after this frame.
    pub fn next_sequence(&self) -> u64 {
        // Only a hostile peer can come near the end of 64 bits; it must not end a process.
        self.sequence.saturating_add(u64::from(self.count))
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// More bytes are needed: at least this many in all.
    Short {
        needed: usize,
    },
    Magic {
        found: u32,
    },
    /// A major version this reader does not speak.
    Version {
        found: u8,
    },
    /// Length over the bound, not a multiple of 8, or not what `count` says.
    Length {
        found: u32,
    },
    Checksum {
        expected: u32,
        found: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed } => write!(f, "frame is cut: needs {needed} bytes"),
            Self::Magic { found } => write!(f, "not a frame: begins with {found:#010x}, not {MAGIC:#010x}"),
            Self::Version { found } => write!(f, "frame version {found}; this program reads {VERSION}"),
            Self::Length { found } => write!(f, "frame length {found} does not fit its type and count"),
            Self::Checksum { expected, found } => {
                write!(f, "frame checksum {found:#010x}, its bytes give {expected:#010x}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// One checked frame, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub header: Header,
    /// Header and payload, exactly as they stand.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The records in place; empty for other types. Needs `bytes` to be 8-byte aligned, as they are
    /// in the journal and in any buffer from an allocator; use [`Frame::record`] otherwise.
    pub fn records(&self) -> &'a [Record] {
        if self.header.kind != kind::RECORDS {
            return &[];
        }
        Record::from_bytes(&self.payload()[..self.header.count as usize * RECORD_BYTES]).unwrap_or(&[])
    }

    /// A copy of the i-th record, whatever the alignment.
    pub fn record(&self, i: usize) -> Option<Record> {
        if self.header.kind != kind::RECORDS || i >= self.header.count as usize {
            return None;
        }
        Record::read(&self.payload()[i * RECORD_BYTES..])
    }

    /// The JSON text of a control frame without its padding; `None` for other types or invalid UTF-8.
    pub fn control(&self) -> Option<&'a str> {
        if self.header.kind != kind::CONTROL {
            return None;
        }
        let payload = self.payload();
        let end = payload
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        std::str::from_utf8(&payload[..end]).ok()
    }
}

/// Appends one frame to `out`. The payload is padded with zeros to a multiple of 8.
///
/// # Panics
/// If the padded payload is over [`MAX_PAYLOAD_BYTES`]: callers split first.
pub fn encode(
    out: &mut Vec<u8>,
    kind: u8,
    venue: u16,
    epoch: u32,
    sequence: u64,
    count: u32,
    payload: &[u8],
) {
    let length = payload.len().next_multiple_of(8);
    assert!(
        length <= MAX_PAYLOAD_BYTES,
        "frame payload of {length} bytes is over {MAX_PAYLOAD_BYTES}"
    );
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&venue.to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + HEADER_BYTES + length, 0);
    let crc = crc32c(0, &out[start..]);
    out[start + 20..start + 24].copy_from_slice(&crc.to_le_bytes());
}

/// Appends a frame of records.
pub fn encode_records(out: &mut Vec<u8>, venue: u16, epoch: u32, sequence: u64, records: &[Record]) {
    encode(
        out,
        kind::RECORDS,
        venue,
        epoch,
        sequence,
        records.len() as u32,
        Record::as_bytes(records),
    );
}

/// The frame at the start of `bytes`. [`FrameError::Short`] asks for more bytes; every other error
/// means that no frame begins here.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let header = decode_header(bytes)?;
    let end = header.frame_bytes();
    if bytes.len() < end {
        return Err(FrameError::Short { needed: end });
    }
    let bytes = &bytes[..end];
    let found = u32_at(bytes, 20);
    let expected = crc32c(crc32c(crc32c(0, &bytes[..20]), &[0; 4]), &bytes[24..]);
    if expected != found {
        return Err(FrameError::Checksum { expected, found });
    }
    Ok(Frame { header, bytes })
}

/// The header alone, before its payload has come; the checksum is not yet known to hold.
pub fn decode_header(bytes: &[u8]) -> Result<Header, FrameError> {
    if bytes.len() < HEADER_BYTES {
        return Err(FrameError::Short { needed: HEADER_BYTES });
    }
    let magic = u32_at(bytes, 0);
    if magic != MAGIC {
        return Err(FrameError::Magic { found: magic });
    }
    if bytes[4] != VERSION {
        return Err(FrameError::Version { found: bytes[4] });
    }
    let header = Header {
        kind: bytes[5],
        venue: u16::from_le_bytes([bytes[6], bytes[7]]),
        length: u32_at(bytes, 8),
        count: u32_at(bytes, 12),
        epoch: u32_at(bytes, 16),
        sequence: u64::from(u32_at(bytes, 24)) | u64::from(u32_at(bytes, 28)) << 32,
    };
    let length = header.length as usize;
    let fits = match header.kind {
        kind::RECORDS => length == header.count as usize * RECORD_BYTES && header.count > 0,
        kind::CONTROL => header.count == 0,
        kind::HEARTBEAT => header.count == 0 && length == 0,
        kind::SKIP => length == 0,
        _ => true,
    };
    if !fits || !length.is_multiple_of(8) || length > MAX_PAYLOAD_BYTES {
        return Err(FrameError::Length { found: header.length });
    }
    Ok(header)
}

/// The offset of the next place at or after `from` where a whole, correct frame begins; magic is
/// looked for on 8-byte boundaries only. `None` when there is none in `bytes`.
pub fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.next_multiple_of(8);
    while at + HEADER_BYTES <= bytes.len() {
        if decode(&bytes[at..]).is_ok() {
            return Some(at);
        }
        at += 8;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Cuts a byte stream into frames, however it is split. Bring your own I/O: push what was read, then
/// take frames until there is none.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u64>, // u64 so that frames, which are multiples of 8 bytes, stay aligned
    start: usize,
    end: usize,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: u64 has no padding and u8 needs no alignment; the length is the buffer's own.
        unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast::<u8>(), self.buffer.len() * 8) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive; any bytes are a valid u64.
        unsafe {
            std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast::<u8>(), self.buffer.len() * 8)
        }
    }

    /// Adds bytes read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.end + bytes.len() > self.buffer.len() * 8 {
            let (start, end) = (self.start, self.end);
            self.bytes_mut().copy_within(start..end, 0);
            self.start = 0;
            self.end = end - start;
            let needed = (self.end + bytes.len()).div_ceil(8);
            if needed > self.buffer.len() {
                self.buffer.resize(needed.next_power_of_two(), 0);
            }
        }
        let end = self.end;
        self.bytes_mut()[end..end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// The next frame; `Ok(None)` when more bytes are needed. After an error the stream cannot be
    /// trusted: the peer is to be cut.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let header = match decode(&self.bytes()[self.start..self.end]) {
            Ok(frame) => frame.header,
            Err(FrameError::Short { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let from = self.start;
        self.start += header.frame_bytes();
        Ok(Some(Frame {
            header,
            bytes: &self.bytes()[from..self.start],
        }))
    }

    /// Bytes pushed and not yet part of a frame.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }
}
