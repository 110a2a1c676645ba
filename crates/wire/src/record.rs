//! The record: always 48 bytes, no padding, no pointers.

use crate::Decimal;

/// Size of a record in memory, on disk and on every socket.
pub const RECORD_BYTES: usize = 48;

/// Text in one [`kind::DETAIL`] record: bytes 24–47, the last piece filled up with zeros.
pub const DETAIL_TEXT_BYTES: usize = 24;

/// What a record says. Readers skip kinds they do not know.
pub mod kind {
    /// An execution.
    pub const TRADE: u8 = 1;
    /// Best level of one side; always two records, bid then ask.
    pub const QUOTE: u8 = 2;
    /// One book level, its size absolute; size 0 removes it.
    pub const LEVEL: u8 = 3;
    /// The book of this instrument is empty from here.
    pub const CLEAR: u8 = 4;
    /// State of a venue, channel or book.
    pub const STATUS: u8 = 5;
    /// A hole in the venue's own stream.
    pub const GAP: u8 = 6;
    /// Extra facts of the record before it, in bytes 16–47.
    pub const DETAIL: u8 = 7;
    /// A trade that was told is replaced by what this says, or at size 0 cancelled; the detail after it names it.
    pub const AMEND: u8 = 8;
}

/// Bits of [`Record::flags`].
pub mod flag {
    /// Mask of the side bits: 0 none, [`BUY`], [`SELL`].
    pub const SIDE: u8 = 0b11;
    /// Buy aggressor, or bid side. In a gap record: the opening.
    pub const BUY: u8 = 1;
    /// Sell aggressor, or ask side. In a gap record: the end.
    pub const SELL: u8 = 2;
    /// Part of a snapshot.
    pub const SNAPSHOT: u8 = 1 << 2;
    /// Came by backfill or import. Never set in a live journal.
    pub const BACKFILLED: u8 = 1 << 3;
    /// The venue gave no time: `ts_event` is `ts_recv`.
    pub const NO_VENUE_TIME: u8 = 1 << 4;
    /// `id` is set (0 is a valid id).
    pub const HAS_ID: u8 = 1 << 5;
    /// A trade that bars leave out: the conditions of its venue say that it sets neither price nor volume.
    pub const IRREGULAR: u8 = 1 << 6;
    /// Last record of the venue's message.
    pub const LAST: u8 = 1 << 7;
}

/// `price_scale` of status and gap records: which channel they speak of.
pub mod channel {
    pub const ALL: u8 = 0;
    pub const TRADES: u8 = 1;
    pub const QUOTES: u8 = 2;
    pub const BOOK: u8 = 3;
}

/// `id` of status records.
pub mod status {
    pub const CONNECTING: u64 = 1;
    pub const LIVE: u64 = 2;
    pub const STALE: u64 = 3;
    pub const RECONNECTING: u64 = 4;
    pub const CLOSED: u64 = 5;
    pub const BOOK_INVALID: u64 = 6;
    pub const BOOK_VALID: u64 = 7;
    pub const CLOCK_STEP: u64 = 8;
    pub const HALTED: u64 = 9;
    pub const RESUMED: u64 = 10;
}

/// `size_scale` of gap records: why the venue's stream has a hole.
pub mod cause {
    pub const DISCONNECT: u8 = 1;
    pub const STALL: u8 = 2;
    pub const SEQUENCE_HOLE: u8 = 3;
    pub const CHECKSUM: u8 = 4;
    pub const OVERLOAD: u8 = 5;
    pub const LIMIT: u8 = 6;
    pub const MALFORMED: u8 = 7;
}

/// Which side: of a trade the aggressor, of a level or quote the side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    None = 0,
    /// Buy aggressor; bid side.
    Buy = 1,
    /// Sell aggressor; ask side.
    Sell = 2,
}

/// One fact, 48 bytes. Prices and sizes are mantissas: value = mantissa × 10^−scale, digit for digit
/// what the venue printed.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Decimal places of `price`; a channel in status and gap records.
    pub price_scale: u8,
    /// Decimal places of `size`; a cause in gap records.
    pub size_scale: u8,
    /// Number from this home's registry: venue << 20 | n; 0 is the whole venue.
    pub instrument: u32,
    /// Nanoseconds since the epoch, UTC, the venue's clock.
    pub ts_event: i64,
    /// Nanoseconds since the epoch, UTC, when our socket had it.
    pub ts_recv: i64,
    /// Mantissa of the price; the connection number in status records; the venue's id in gap records.
    pub price: i64,
    /// Mantissa of the size; 0 in a level removes it; records missing (−1 unknown) in gap records.
    pub size: i64,
    /// Trade id, update id, status code, or the sequence of the opening record of a gap.
    pub id: u64,
}

const _: () = assert!(size_of::<Record>() == RECORD_BYTES && align_of::<Record>() == 8);

impl Record {
    /// All fields zero but the kind.
    pub const fn new(kind: u8) -> Self {
        Self {
            kind,
            flags: 0,
            price_scale: 0,
            size_scale: 0,
            instrument: 0,
            ts_event: 0,
            ts_recv: 0,
            price: 0,
            size: 0,
            id: 0,
        }
    }

    #[inline]
    fn priced(kind: u8, instrument: u32, side: Side, price: Decimal, size: Decimal) -> Self {
        Self {
            flags: side as u8,
            price_scale: price.scale,
            size_scale: size.scale,
            instrument,
            price: price.mantissa,
            size: size.mantissa,
            ..Self::new(kind)
        }
    }

    /// An execution; `side` is the aggressor. Times are the caller's to set.
    #[inline]
    pub fn trade(instrument: u32, aggressor: Side, price: Decimal, size: Decimal, id: u64) -> Self {
        let mut record = Self::priced(kind::TRADE, instrument, aggressor, price, size);
        record.flags |= flag::HAS_ID;
        record.id = id;
        record
    }

    /// Best level of one side.
    #[inline]
    pub fn quote(instrument: u32, side: Side, price: Decimal, size: Decimal) -> Self {
        Self::priced(kind::QUOTE, instrument, side, price, size)
    }

    /// One level of the book, its size absolute.
    #[inline]
    pub fn level(instrument: u32, side: Side, price: Decimal, size: Decimal) -> Self {
        Self::priced(kind::LEVEL, instrument, side, price, size)
    }

    /// The book of `instrument` is empty from here.
    #[inline]
    pub fn clear(instrument: u32) -> Self {
        Self {
            instrument,
            ..Self::new(kind::CLEAR)
        }
    }

    /// `code` as in [`status`], for one channel as in [`channel`]; instrument 0 is the whole venue.
    #[inline]
    pub fn status(instrument: u32, channel: u8, code: u64) -> Self {
        Self {
            instrument,
            price_scale: channel,
            id: code,
            ..Self::new(kind::STATUS)
        }
    }

    /// The opening of a gap: the venue's stream has a hole from here. `missing` −1 is unknown.
    #[inline]
    pub fn gap_open(instrument: u32, channel: u8, cause: u8, missing: i64) -> Self {
        Self {
            flags: flag::BUY,
            instrument,
            price_scale: channel,
            size_scale: cause,
            price: -1,
            size: missing,
            ..Self::new(kind::GAP)
        }
    }

    /// The end of the gap whose opening record has the sequence `opened`.
    pub fn gap_end(instrument: u32, channel: u8, cause: u8, missing: i64, opened: u64) -> Self {
        Self {
            flags: flag::SELL,
            id: opened,
            ..Self::gap_open(instrument, channel, cause, missing)
        }
    }

    /// A piece of the text that says more of the record before. It keeps both times of that record, so that
    /// whoever looks for a time finds one; text that is longer goes on in the next detail.
    pub fn detail(instrument: u32, text: [u8; DETAIL_TEXT_BYTES]) -> Self {
        let word = |at: usize| {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(&text[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Self {
            instrument,
            price: word(0) as i64,
            size: word(8) as i64,
            id: word(16),
            ..Self::new(kind::DETAIL)
        }
    }

    /// The same record at these times, nanoseconds.
    #[inline]
    pub fn at(mut self, ts_event: i64, ts_recv: i64) -> Self {
        self.ts_event = ts_event;
        self.ts_recv = ts_recv;
        self
    }

    /// The same record with these flags added.
    #[inline]
    pub fn with(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    #[inline]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Side bits; the invalid pattern 3 reads as none.
    #[inline]
    pub fn side(&self) -> Side {
        match self.flags & flag::SIDE {
            flag::BUY => Side::Buy,
            flag::SELL => Side::Sell,
            _ => Side::None,
        }
    }

    /// Price as the venue printed it. Only for trades, quotes and levels.
    #[inline]
    pub fn price(&self) -> Decimal {
        Decimal {
            mantissa: self.price,
            scale: self.price_scale,
        }
    }

    /// Size as the venue printed it. Only for trades, quotes and levels.
    #[inline]
    pub fn size(&self) -> Decimal {
        Decimal {
            mantissa: self.size,
            scale: self.size_scale,
        }
    }

    /// The venue's number inside `instrument`.
    pub fn venue(&self) -> u16 {
        (self.instrument >> 20) as u16
    }

    /// These records as bytes, without a copy.
    pub fn as_bytes(records: &[Record]) -> &[u8] {
        // SAFETY: Record is repr(C), 48 bytes of integers without padding (asserted above), so every
        // byte is initialised and the slice covers exactly the records.
        unsafe { std::slice::from_raw_parts(records.as_ptr().cast::<u8>(), size_of_val(records)) }
    }

    /// These bytes as records, without a copy; `None` when the start is not 8-byte aligned or the
    /// length is not a whole number of records.
    pub fn from_bytes(bytes: &[u8]) -> Option<&[Record]> {
        if !bytes.len().is_multiple_of(RECORD_BYTES) || !(bytes.as_ptr() as usize).is_multiple_of(8) {
            return None;
        }
        // SAFETY: alignment and length were checked; any bit pattern is a valid Record of integers.
        Some(unsafe {
            std::slice::from_raw_parts(bytes.as_ptr().cast::<Record>(), bytes.len() / RECORD_BYTES)
        })
    }

    /// The record in the first 48 bytes, whatever their alignment.
    pub fn read(bytes: &[u8]) -> Option<Record> {
        if bytes.len() < RECORD_BYTES {
            return None;
        }
        // SAFETY: 48 bytes are there, read_unaligned needs no alignment, any bit pattern is valid.
        Some(unsafe { bytes.as_ptr().cast::<Record>().read_unaligned() })
    }
}
