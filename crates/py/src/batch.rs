//! Frames, one after another, into batches for Python.

use std::mem;

use journal::Position;
use wire::{Header, Record};

/// Records of one epoch with dense sequences.
pub struct Batch {
    pub epoch: u32,
    pub sequence: u64,
    pub records: Vec<Record>,
}

impl Batch {
    fn next(&self) -> Position {
        Position::new(self.epoch, self.sequence + self.records.len() as u64)
    }
}

/// A batch in the making, and what follows it.
#[derive(Default)]
pub struct Batches {
    /// First record wanted: frames come whole, so the one that holds it may begin before it.
    from: Position,
    open: Option<Batch>,
    /// Records that did not fit the batch before, or belong to another run.
    rest: Option<Batch>,
}

impl Batches {
    /// Forgets everything, and begins with the record at `from`.
    pub fn begin(&mut self, from: Position) {
        *self = Self {
            from,
            ..Self::default()
        };
    }

    /// Whether the batch in the making holds fewer records than this.
    pub fn has_room(&self, max: usize) -> bool {
        self.open.as_ref().is_none_or(|open| open.records.len() < max)
    }

    /// Whether nothing is there to be handed out.
    pub fn is_empty(&self) -> bool {
        self.open.is_none()
    }

    /// Adds the records of a frame, while there is room; false when they begin another batch.
    pub fn push(&mut self, header: &Header, records: &[Record]) -> bool {
        // A later epoch may give sequences again that a power cut took: those are other records.
        let early = if header.epoch == self.from.epoch {
            self.from.sequence.saturating_sub(header.sequence)
        } else {
            0
        };
        let Some(wanted) = records.get(early as usize..).filter(|left| !left.is_empty()) else {
            return true;
        };
        let at = Position::new(header.epoch, header.sequence + early);
        match &mut self.open {
            Some(open) if open.next() == at => open.records.extend_from_slice(wanted),
            open => {
                let begun = Batch {
                    epoch: at.epoch,
                    sequence: at.sequence,
                    records: wanted.to_vec(),
                };
                if open.is_some() {
                    self.rest = Some(begun);
                    return false;
                }
                *open = Some(begun);
            }
        }
        true
    }

    /// Hands the batch out, at most `max` records of it; what follows it is the next one's beginning.
    pub fn take(&mut self, max: usize) -> Option<Batch> {
        let mut batch = mem::replace(&mut self.open, self.rest.take())?;
        if batch.records.len() > max {
            // Nothing but its own end follows it: nobody pushes behind a batch that is full.
            let records = batch.records.split_off(max);
            let at = batch.next();
            self.open = Some(Batch {
                epoch: at.epoch,
                sequence: at.sequence,
                records,
            });
        }
        Some(batch)
    }
}
