//! The newest ticks and the book of one instrument, straight from its venue's journal, for whoever asks now
//! and then. Nothing runs in between: a question reads on from where the last one ended.

use std::path::{Path, PathBuf};

use journal::{Error, From, Position, Reader, Seek};
use kernels::book::Book;
use kernels::recent::{Recent, Row};
use wire::{Record, Side, flag, kind};

/// Trades, and as many quotes, that are kept.
pub const KEPT: usize = 4_096;
/// Records of the venue that are read again at most, to begin with and after a long pause.
const BEHIND_MAX: u64 = 1 << 18;

/// Takes in what a reader finds: the records of one instrument and those of its whole venue.
trait Taker {
    fn take(&mut self, at: Position, record: &Record);
    /// Records were lost before what comes next. `now` is the arrival of the last one.
    fn lost(&mut self, now: i64);
}

/// A place in a journal, and what of it concerns one instrument.
#[derive(Debug)]
struct Cursor {
    reader: Reader,
    number: u32,
    /// The first record read, and the last.
    first: Option<Position>,
    last: Option<Position>,
    /// Arrival of the last record that has one, ns.
    newest_recv: i64,
}

impl Cursor {
    fn open(home: &Path, venue: &str, number: u32) -> Result<Self, Error> {
        Ok(Self {
            reader: Reader::open(home, venue)?,
            number,
            first: None,
            last: None,
            newest_recv: 0,
        })
    }

    fn is_far_behind(&self) -> bool {
        let next = self.last.map_or(0, |last| last.sequence + 1);
        self.reader.newest().sequence.saturating_sub(next) > BEHIND_MAX
    }

    /// Reads all that has been written.
    fn read_on(&mut self, taker: &mut impl Taker) -> Result<(), Error> {
        let mut mine: Vec<(Position, Record)> = Vec::new();
        loop {
            mine.clear();
            let found = match self.reader.next() {
                Ok(Some(frame)) => {
                    let (epoch, sequence) = (frame.header.epoch, frame.header.sequence);
                    let records = frame.records();
                    for (i, record) in records.iter().enumerate() {
                        if record.instrument == self.number || record.instrument == 0 {
                            mine.push((Position::new(epoch, sequence + i as u64), *record));
                        }
                    }
                    let timed = records.iter().rev().find(|one| one.kind != kind::DETAIL);
                    (!records.is_empty()).then(|| {
                        let last = Position::new(epoch, sequence + records.len() as u64 - 1);
                        (Position::new(epoch, sequence), last, timed.map(|one| one.ts_recv))
                    })
                }
                Ok(None) => return Ok(()),
                Err(Error::Lapped { .. }) => None, // `take_lost` tells
                Err(error) => return Err(error),
            };
            if !self.reader.take_lost().is_empty() {
                taker.lost(self.newest_recv);
                self.first = None;
            }
            if let Some((first, last, arrived)) = found {
                self.first.get_or_insert(first);
                self.last = Some(last);
                self.newest_recv = arrived.unwrap_or(self.newest_recv);
            }
            for (at, record) in &mine {
                taker.take(*at, record);
            }
        }
    }
}

/// Trades and quotes.
#[derive(Debug)]
struct Ticks {
    trades: Recent,
    quotes: Recent,
}

impl Taker for Ticks {
    fn take(&mut self, at: Position, record: &Record) {
        let kept = match record.kind {
            kind::TRADE => &mut self.trades,
            kind::QUOTE => &mut self.quotes,
            _ => return,
        };
        kept.push(Row {
            epoch: at.epoch,
            sequence: at.sequence,
            record: *record,
        });
    }

    /// What was lost here may be stored: an answer must not leave it out.
    fn lost(&mut self, _now: i64) {
        self.trades.clear();
        self.quotes.clear();
    }
}

/// A book, and the times of the last record that it holds.
#[derive(Debug, Default)]
pub struct Held {
    pub book: Book,
    pub ts_event: i64,
    pub ts_recv: i64,
}

impl Held {
    fn apply(&mut self, record: &Record) {
        self.book.apply(record);
        (self.ts_event, self.ts_recv) = (record.ts_event, record.ts_recv);
    }
}

impl Taker for Held {
    fn take(&mut self, _at: Position, record: &Record) {
        if matches!(record.kind, kind::LEVEL | kind::CLEAR | kind::GAP | kind::STATUS) {
            self.apply(record);
        }
    }

    /// As the opening of a gap of the whole venue.
    fn lost(&mut self, now: i64) {
        self.apply(&Record {
            flags: Side::Buy as u8,
            ts_event: now,
            ts_recv: now,
            ..Record::new(kind::GAP)
        });
    }
}

/// One instrument as of its newest record. Holds at most twice [`KEPT`] records and its book.
#[derive(Debug)]
pub struct Follower {
    home: PathBuf,
    venue: String,
    number: u32,
    ticks: Option<(Cursor, Ticks)>,
    book: Option<(Cursor, Held)>,
}

impl Follower {
    /// Of an instrument's number in the registry of this home. Nothing is opened yet.
    pub fn new(home: &Path, venue: &str, number: u32) -> Self {
        Self {
            home: home.to_path_buf(),
            venue: venue.to_owned(),
            number,
            ticks: None,
            book: None,
        }
    }

    /// Takes in the ticks that were written since. Returns the first record from which on every tick was seen;
    /// `None` where there are no records yet.
    pub fn read_ticks(&mut self) -> Result<Option<Position>, Error> {
        if self
            .ticks
            .as_ref()
            .is_none_or(|(cursor, _)| cursor.is_far_behind())
        {
            let mut cursor = Cursor::open(&self.home, &self.venue, self.number)?;
            let newest = cursor.reader.newest();
            let sequence = newest.sequence.saturating_sub(BEHIND_MAX / 2);
            // One of an epoch before is reached as the beginning of this one.
            cursor
                .reader
                .seek(From::At(Position::new(newest.epoch, sequence.max(1))))?;
            let (trades, quotes) = (Recent::new(KEPT), Recent::new(KEPT));
            self.ticks = Some((cursor, Ticks { trades, quotes }));
        }
        let Some((cursor, ticks)) = &mut self.ticks else {
            return Ok(None);
        };
        cursor.read_on(ticks)?;
        Ok(cursor.first)
    }

    /// As [`Recent::select`], of what was taken in by then.
    pub fn select(
        &self,
        kind: u8,
        span: (Option<i64>, Option<i64>),
        limit: usize,
        before: Option<i64>,
    ) -> Option<Vec<Row>> {
        let (_, ticks) = self.ticks.as_ref()?;
        let kept = if kind == kind::QUOTE {
            &ticks.quotes
        } else {
            &ticks.trades
        };
        kept.select(span.0, span.1, limit, before)
    }

    /// The book as of the newest record, and that record; `None` where the journal holds no start of it.
    pub fn book(&mut self) -> Result<Option<(&Held, Position)>, Error> {
        if self
            .book
            .as_ref()
            .is_none_or(|(cursor, _)| cursor.is_far_behind())
        {
            self.book = None;
            let mut cursor = Cursor::open(&self.home, &self.venue, self.number)?;
            match cursor.reader.seek(From::Snapshot(self.number))? {
                Seek::At(_) => self.book = Some((cursor, Held::default())),
                _ => return Ok(None),
            }
        }
        let Some((cursor, held)) = &mut self.book else {
            return Ok(None);
        };
        cursor.read_on(held)?;
        Ok(cursor.last.map(|last| (&*held, last)))
    }
}

/// The word for an aggressor.
pub fn aggressor(record: &Record) -> &'static str {
    match record.side() {
        Side::Buy => "buy",
        Side::Sell => "sell",
        Side::None => "none",
    }
}

/// The word for a side of a quote.
pub fn side(record: &Record) -> &'static str {
    match record.side() {
        Side::Buy => "bid",
        Side::Sell => "ask",
        Side::None => "none",
    }
}

/// The venue's id of a trade, as stores keep it; `None` where it has none.
pub fn id(record: &Record) -> Option<i64> {
    record.has(flag::HAS_ID).then_some(record.id as i64)
}
