//! Records, frames and their codec, version 1: no I/O, no clock, no dependencies.
//!
//! One format everywhere: in the journal, on the sockets, in replay files, in Python arrays.
//! Little-endian, 8-byte aligned, readable in place. `docs/wire.md` describes it for people who write
//! a client from the page alone; `vectors/wire` holds the golden bytes all languages agree on.

#[cfg(not(target_endian = "little"))]
compile_error!("wire records are little-endian in memory; a big-endian target would need conversion");

mod crc;
mod decimal;
pub mod frame;
mod record;

pub use crc::crc32c;
pub use decimal::{Decimal, DecimalError};
pub use frame::{Frame, FrameError, Header};
pub use record::{DETAIL_TEXT_BYTES, RECORD_BYTES, Record, Side, cause, channel, flag, kind, status};
