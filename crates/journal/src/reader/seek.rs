//! Finding a place: by position, time, or the newest start of a book.

use wire::{Frame, Header, kind};

use super::{Extended, Last, Loss, Reader, Seek, after, mark, start_position};
use crate::index::{Entry, Index};
use crate::segment::{self, Name, Segment};
use crate::{Error, Position};

impl Reader {
    /// Steps to the first frame that `wanted` accepts, without telling holes; `None` at the end.
    fn scan(&mut self, mut wanted: impl FnMut(&Frame<'_>) -> bool) -> Result<Option<Header>, Error> {
        loop {
            let Some(current) = &mut self.current else {
                return Ok(None);
            };
            if current.is_read() {
                match self.extend()? {
                    Extended::More => {}
                    Extended::Nothing => return Ok(None),
                    Extended::Jumped => self.loss = Loss::Overrun,
                    Extended::Gone | Extended::CutBack => return Err(self.moved()),
                }
                continue;
            }
            let found = current
                .segment
                .frame(current.offset, current.limit, current.floor);
            let Some((at, found)) = found else {
                if !current.segment.intact() {
                    return Err(self.moved());
                }
                current.searched = true;
                continue;
            };
            let header = found.header;
            let mark = mark(found.bytes);
            let stop = wanted(&found);
            if !current.segment.intact() {
                return Err(self.moved());
            }
            if stop {
                current.offset = at;
                return Ok(Some(header));
            }
            self.last = Some(Last {
                base: current.segment.name.base,
                offset: at,
                mark,
            });
            current.step(at, at + header.frame_bytes());
            current.floor = after(&header);
        }
    }

    /// What a seek meets when files go under it: it begins again.
    fn moved(&self) -> Error {
        let wanted = self.expected.unwrap_or_default();
        Error::Lapped {
            wanted,
            oldest: wanted,
        }
    }

    pub(super) fn seek_oldest(&mut self) -> Result<Option<Seek>, Error> {
        self.reset();
        if self.enter_first(0)?.is_none() {
            return Ok(Some(Seek::At(self.newest())));
        }
        let start = self.scan(|_| true)?.map(|header| segment::position(&header));
        Ok(Some(self.stand_at(start.unwrap_or(self.newest()))))
    }

    pub(super) fn seek_newest(&mut self) -> Result<Option<Seek>, Error> {
        self.reset();
        let committed = self.committed();
        let Some(name) = self.names(committed)?.last().copied() else {
            return Ok(Some(Seek::At(self.newest())));
        };
        if !self.enter_from(name, committed)? {
            return Ok(None);
        }
        self.skip_indexed(|entry, best| entry.offset >= best);
        // Everything committed until we get there is passed over: the end is where nothing follows.
        let mut next = None;
        self.scan(|found| {
            next = Some(after(&found.header));
            false
        })?;
        Ok(Some(self.stand_at(next.unwrap_or(self.newest()))))
    }

    pub(super) fn seek_position(&mut self, position: Position) -> Result<Option<Seek>, Error> {
        self.reset();
        let committed = self.committed();
        let names = self.names(committed)?;
        let Some(oldest) = names.first() else {
            self.expected = Some(position);
            return Ok(Some(Seek::At(self.newest())));
        };
        // The last segment that begins at or before the position.
        let (mut low, mut high) = (0, names.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(start) = self.start_of(names[middle], committed)? else {
                return Ok(None);
            };
            // Of a segment that cannot be read only the name tells where it begins.
            let start = start.unwrap_or(Position {
                epoch: position.epoch,
                sequence: names[middle].first_sequence,
            });
            if start > position {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let Some(name) = low.checked_sub(1).map(|i| names[i]) else {
            return self.before_oldest(*oldest, committed, position);
        };
        if !self.enter_from(name, committed)? {
            return Ok(None);
        }
        self.skip_indexed(|entry, best| entry.position() <= position && entry.offset >= best);
        let found = self.scan(|found| {
            let end = after(&found.header);
            end > position || (found.header.count == 0 && end >= position)
        })?;
        let Some(header) = found else {
            // Beyond the newest record: what comes next will be compared with what was wanted.
            self.expected = Some(position);
            return Ok(Some(Seek::At(position.min(self.newest()))));
        };
        let start = segment::position(&header);
        // A frame that begins before the record wanted is given whole: that is no hole.
        self.expected = Some(if start < position { start } else { position });
        Ok(Some(Seek::At(start.max(position))))
    }

    /// Where a segment begins; `None` when it is gone. The inner one is `None` when it has no good frame.
    pub(super) fn start_of(&self, name: Name, committed: u64) -> Result<Option<Option<Position>>, Error> {
        if let Some(start) = segment::start(&self.dir, &name) {
            return Ok(Some(Some(start)));
        }
        let mut segment = match Segment::open(&self.dir, name) {
            Ok(Some(segment)) => segment,
            Ok(None) => return Ok(None),
            Err(Error::Corrupt { .. }) => return Ok(Some(None)),
            Err(error) => return Err(error),
        };
        let limit = segment.limit(committed);
        let start = start_position(&mut segment, limit);
        Ok(segment.intact().then_some(start))
    }

    /// Stands at the start of a segment, or of the next one when it cannot be read: its records are a hole like
    /// any other. False when it is gone.
    fn enter_from(&mut self, name: Name, committed: u64) -> Result<bool, Error> {
        match self.enter(name, committed) {
            Err(Error::Corrupt { .. }) => Ok(self.enter_first(name.base + 1)?.is_some()),
            entered => entered,
        }
    }

    /// The position lies before the oldest segment. Nothing is lost if it is where the previous epoch ended.
    fn before_oldest(
        &mut self,
        oldest: Name,
        committed: u64,
        position: Position,
    ) -> Result<Option<Seek>, Error> {
        if !self.enter_from(oldest, committed)? {
            return Ok(None);
        }
        let mut previous = None;
        let found = self.scan(|found| {
            previous = found.control().and_then(previous_end);
            true
        })?;
        let Some(header) = found else {
            return Ok(None);
        };
        let start = segment::position(&header);
        self.expected = Some(start);
        if previous.is_some_and(|end| end.epoch == position.epoch && position.sequence > end.sequence) {
            return Ok(Some(Seek::At(start)));
        }
        Ok(Some(Seek::Lapped {
            wanted: position,
            oldest: start,
        }))
    }

    pub(super) fn seek_snapshot(&mut self, instrument: u32) -> Result<Option<Seek>, Error> {
        self.reset();
        let committed = self.committed();
        for name in self.names(committed)?.into_iter().rev() {
            let Some(found) = self.find_snapshot(&name, committed, instrument)? else {
                continue;
            };
            match self.enter(name, committed) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(Error::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            }
            let (offset, position) = found;
            self.skip_to(offset);
            let there = self.scan(|frame| after(&frame.header) > position)?;
            return Ok(there.map(|header| {
                self.stand_at(segment::position(&header));
                Seek::At(position)
            }));
        }
        match self.seek_newest()? {
            Some(Seek::At(newest)) => Ok(Some(Seek::NoSnapshot { newest })),
            other => Ok(other),
        }
    }

    /// Offset of the frame and position of the clear record that begins the newest book of this
    /// instrument in this segment.
    fn find_snapshot(
        &self,
        name: &Name,
        committed: u64,
        instrument: u32,
    ) -> Result<Option<(usize, Position)>, Error> {
        let index = Index::load(&self.dir, name);
        let mut newest = index
            .snapshot(instrument)
            .map(|entry| (entry.offset as usize, entry.position()));
        if index.complete {
            return Ok(newest);
        }
        let mut segment = match Segment::open(&self.dir, *name) {
            Ok(Some(segment)) => segment,
            Ok(None) | Err(Error::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let limit = segment.limit(committed);
        segment.each_frame(index.covered.min(limit), limit, |offset, found| {
            if let Some(i) = found.records().iter().rposition(|r| begins_book(r, instrument)) {
                let position = Position {
                    epoch: found.header.epoch,
                    sequence: found.header.sequence + i as u64,
                };
                newest = Some((offset, position));
            }
        });
        Ok(newest)
    }

    pub(super) fn seek_time(&mut self, ts: i64) -> Result<Option<Seek>, Error> {
        self.reset();
        let committed = self.committed();
        let names = self.names(committed)?;
        // The last segment that has a record before the time; its first record tells.
        let mut begin = names.first().copied();
        for name in names.iter().rev() {
            let first = match Index::load(&self.dir, name).marks().next() {
                Some(mark) => Some(mark.ts_recv),
                None => match Segment::open(&self.dir, *name) {
                    Ok(Some(mut segment)) => {
                        let limit = segment.limit(committed);
                        first_time(&mut segment, limit)
                    }
                    Ok(None) => return Ok(None),
                    Err(Error::Corrupt { .. }) => None,
                    Err(error) => return Err(error),
                },
            };
            if first.is_some_and(|first| first < ts) {
                begin = Some(*name);
                break;
            }
        }
        let Some(name) = begin else {
            return Ok(Some(Seek::At(self.newest())));
        };
        if !self.enter_from(name, committed)? {
            return Ok(None);
        }
        self.skip_indexed(|entry, best| entry.ts_recv < ts && entry.offset >= best);
        let mut next = None;
        let found = self.scan(|found| {
            next = Some(after(&found.header));
            found.records().last().is_some_and(|record| record.ts_recv >= ts)
        })?;
        let position = found
            .map(|header| segment::position(&header))
            .or(next)
            .unwrap_or(self.newest());
        Ok(Some(self.stand_at(position)))
    }

    fn reset(&mut self) {
        self.current = None;
        self.resume = 0;
        self.nothing_at = 0;
        self.expected = None;
        self.last = None;
        self.loss = Loss::Corrupt;
    }

    fn stand_at(&mut self, position: Position) -> Seek {
        self.expected = Some(position);
        Seek::At(position)
    }

    /// Jumps ahead in the segment to the last mark that `fits` (given the best offset so far).
    fn skip_indexed(&mut self, fits: impl Fn(&Entry, u32) -> bool) {
        let Some(current) = &self.current else { return };
        let index = Index::load(&self.dir, &current.segment.name);
        let mut best = 0;
        for mark in index.marks() {
            if fits(mark, best) {
                best = mark.offset;
            }
        }
        self.skip_to(best as usize);
    }

    /// Goes to this offset if a frame is there; the index is only a hint.
    fn skip_to(&mut self, offset: usize) {
        if let Some(current) = &mut self.current
            && offset < current.limit
            && let Some((at, found)) = current.segment.frame(offset, current.limit, current.floor)
            && at == offset
        {
            current.floor = segment::position(&found.header);
            current.offset = offset;
        }
    }
}

fn begins_book(record: &wire::Record, instrument: u32) -> bool {
    record.kind == kind::CLEAR && record.instrument == instrument
}

fn first_time(segment: &mut Segment, limit: usize) -> Option<i64> {
    let mut floor = segment.name.floor();
    let mut at = 0;
    while let Some((offset, found)) = segment.frame(at, limit, floor) {
        if let Some(first) = found.records().first() {
            return Some(first.ts_recv);
        }
        at = offset + found.header.frame_bytes();
        floor = after(&found.header);
    }
    None
}

/// Epoch and last sequence before the one that this control frame opens.
fn previous_end(text: &str) -> Option<Position> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(Position {
        epoch: u32::try_from(value.get("previous_epoch")?.as_u64()?).ok()?,
        sequence: value.get("last_sequence")?.as_u64()?,
    })
}
