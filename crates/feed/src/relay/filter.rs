//! Which frames a subscriber gets, and what stands in for the others.
//!
//! A frame passes whole if any of its records is wanted; else its records are counted into a skip. Either
//! way the subscriber can check that no sequence is missing.

use std::collections::HashMap;

use journal::Position;
use wire::frame::kind;
use wire::{Frame, Record};

/// What one subscriber wants of one venue.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By instrument number: the first record wanted of it. `None`: every instrument.
    pub instruments: Option<HashMap<u32, Position>>,
    /// Bits of the kinds wanted. `None`: every kind.
    pub kinds: Option<[u64; 4]>,
    /// Records of the whole venue (instrument 0) and, without a list, of any instrument that `late` does
    /// not name are wanted from here.
    pub from: Position,
    /// Instruments that begin later than `from`, when all are wanted.
    pub late: HashMap<u32, Position>,
}

impl Filter {
    pub fn kinds(kinds: &[u8]) -> Option<[u64; 4]> {
        (!kinds.is_empty()).then(|| {
            let mut bits = [0u64; 4];
            for kind in kinds {
                bits[usize::from(kind / 64)] |= 1 << (kind % 64);
            }
            bits
        })
    }

    /// Everything passes: frames need not be looked into.
    pub fn is_open(&self) -> bool {
        self.instruments.is_none() && self.kinds.is_none() && self.late.is_empty()
    }

    #[inline]
    pub fn wants(&self, at: Position, record: &Record) -> bool {
        if let Some(bits) = self.kinds
            && bits[usize::from(record.kind / 64)] >> (record.kind % 64) & 1 == 0
        {
            return false;
        }
        let from = match &self.instruments {
            Some(chosen) if record.instrument != 0 => match chosen.get(&record.instrument) {
                Some(from) => *from,
                None => return false,
            },
            _ => self
                .late
                .get(&record.instrument)
                .map_or(self.from, |late| self.from.max(*late)),
        };
        at >= from
    }

    /// Whether the frame passes.
    #[inline]
    pub fn passes(&self, frame: &Frame<'_>) -> bool {
        if frame.header.kind != kind::RECORDS || self.is_open() {
            return true;
        }
        (frame.header.sequence..)
            .zip(frame.records())
            .any(|(sequence, record)| self.wants(Position::new(frame.header.epoch, sequence), record))
    }
}

/// Frames on their way to one subscriber: passed on byte for byte, or counted into the skip that is sent
/// before the next one.
#[derive(Debug, Default)]
pub struct Forward {
    /// Records left out and not told yet.
    skip: Option<Skip>,
    /// The record that comes next.
    pub position: Option<(u32, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Skip {
    venue: u16,
    epoch: u32,
    sequence: u64,
    count: u32,
}

impl Forward {
    /// Appends the frame, or counts it; true if it was appended.
    #[inline]
    pub fn push(&mut self, out: &mut Vec<u8>, filter: &Filter, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        self.position = Some((header.epoch, header.next_sequence()));
        if filter.passes(frame) {
            self.flush(out);
            out.extend_from_slice(frame.bytes);
            return true;
        }
        match &mut self.skip {
            // Only what is adjacent may be joined: a jump between two frames is a loss and must show.
            Some(skip)
                if skip.epoch == header.epoch
                    && skip.sequence + u64::from(skip.count) == header.sequence
                    && skip.count.checked_add(header.count).is_some() =>
            {
                skip.count += header.count;
            }
            _ => {
                self.flush(out);
                self.skip = Some(Skip {
                    venue: header.venue,
                    epoch: header.epoch,
                    sequence: header.sequence,
                    count: header.count,
                });
            }
        }
        false
    }

    /// Appends the skip that is due, if any.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(skip) = self.skip.take() {
            wire::frame::encode(
                out,
                kind::SKIP,
                skip.venue,
                skip.epoch,
                skip.sequence,
                skip.count,
                &[],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::frame::{Decoder, encode_records};

    fn record(kind: u8, instrument: u32) -> Record {
        Record {
            instrument,
            ..Record::new(kind)
        }
    }

    fn place() -> impl Strategy<Value = Position> {
        (1u32..4, 0u64..60).prop_map(|(epoch, sequence)| Position::new(epoch, sequence))
    }

    fn arbitrary_filter() -> impl Strategy<Value = Filter> {
        (
            proptest::option::of(proptest::collection::hash_map(1u32..5, place(), 0..4)),
            proptest::collection::vec(1u8..8, 0..3),
            place(),
            proptest::collection::hash_map(0u32..5, place(), 0..3),
        )
            .prop_map(|(instruments, kinds, from, late)| Filter {
                instruments,
                kinds: Filter::kinds(&kinds),
                from,
                late,
            })
    }

    proptest! {
        #[test]
        fn any_filter_gives_a_dense_stream_with_every_wanted_record(
            frames in proptest::collection::vec(
                (proptest::collection::vec((1u8..8, 0u32..5), 1..6), proptest::bool::weighted(0.1)), 0..30),
            filter in arbitrary_filter(),
        ) {
            let mut forward = Forward::default();
            let (mut out, mut source) = (Vec::new(), Vec::new());
            let mut sequence = 1;
            let mut epoch = 1;
            for (records, new_epoch) in &frames {
                epoch += u32::from(*new_epoch);
                let records: Vec<Record> =
                    records.iter().map(|(kind, instrument)| record(*kind, *instrument)).collect();
                let start = source.len();
                encode_records(&mut source, 7, epoch, sequence, &records);
                sequence += records.len() as u64;
                let frame = wire::frame::decode(&source[start..]).unwrap();
                forward.push(&mut out, &filter, &frame);
            }
            forward.flush(&mut out);

            let mut decoder = Decoder::new();
            decoder.push(&out);
            let (mut next, mut last_was_skip) = (1, None);
            while let Some(frame) = decoder.next_frame().unwrap() {
                prop_assert_eq!(frame.header.sequence, next, "dense");
                next = frame.header.next_sequence();
                let is_skip = frame.header.kind == kind::SKIP;
                if is_skip {
                    prop_assert_ne!(last_was_skip, Some(frame.header.epoch), "adjacent skips are one");
                } else {
                    let at = source
                        .windows(frame.bytes.len())
                        .position(|window| window == frame.bytes);
                    prop_assert!(at.is_some(), "bytes of a frame never change");
                }
                for i in 0..u64::from(frame.header.count) {
                    let at = frame.header.sequence + i;
                    let all: Vec<Record> = frames
                        .iter()
                        .flat_map(|(records, _)| records)
                        .map(|(kind, instrument)| record(*kind, *instrument))
                        .collect();
                    if is_skip {
                        let place = Position::new(frame.header.epoch, at);
                        prop_assert!(!filter.wants(place, &all[at as usize - 1]), "a wanted record was left out");
                    } else {
                        prop_assert_eq!(frame.record(i as usize), Some(all[at as usize - 1]));
                    }
                }
                last_was_skip = is_skip.then_some(frame.header.epoch);
            }
            prop_assert_eq!(next, sequence, "everything is accounted for");
        }
    }

    #[test]
    fn a_hole_between_two_skipped_frames_stays_a_hole() {
        let filter = Filter {
            kinds: Filter::kinds(&[2]),
            ..Filter::default()
        };
        let mut forward = Forward::default();
        let mut out = Vec::new();
        for sequence in [1, 5] {
            let mut bytes = Vec::new();
            encode_records(&mut bytes, 1, 1, sequence, &[record(1, 1); 2]);
            forward.push(&mut out, &filter, &wire::frame::decode(&bytes).unwrap());
        }
        forward.flush(&mut out);
        let mut decoder = Decoder::new();
        decoder.push(&out);
        let mut found = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            found.push((frame.header.kind, frame.header.sequence, frame.header.count));
        }
        assert_eq!(found, [(kind::SKIP, 1, 2), (kind::SKIP, 5, 2)]);
    }
}
