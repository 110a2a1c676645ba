//! Which sealed segments may go. Pure: the keeper does what this says.

use crate::recovery::Sealed;
use crate::{Position, StoreOffset};

/// The newest sealed segments never go: together with the one being written they are what a writer
/// without disk space goes on in.
pub(crate) const RING_SEALED: usize = 2;

/// How many of the oldest segments may be deleted. `offset` is how far the store has come; `None` when
/// no recorder has ever run, and nobody waits for anything.
pub(crate) fn removable(sealed: &[Sealed], offset: Option<StoreOffset>) -> usize {
    let most = sealed.len().saturating_sub(RING_SEALED);
    sealed[..most]
        .iter()
        .take_while(|segment| offset.is_none_or(|offset| covers(offset, segment)))
        .count()
}

/// How many of those are past `keep_ns` at `now_ns`; 0 keeps them for as long as there is room.
pub(crate) fn expired(removable: &[Sealed], keep_ns: i64, now_ns: i64) -> usize {
    if keep_ns <= 0 {
        return 0;
    }
    let before = now_ns.saturating_sub(keep_ns);
    removable
        .iter()
        .take_while(|segment| segment.footer.last_ts < before)
        .count()
}

/// Everything in the segment is in the store.
fn covers(offset: StoreOffset, segment: &Sealed) -> bool {
    let last = Position {
        epoch: segment.footer.last_epoch,
        sequence: segment.footer.next_sequence.saturating_sub(1),
    };
    match offset.epoch {
        // Sequences may be given again after a power cut, so the epoch counts where it is known.
        Some(epoch) => {
            last <= Position {
                epoch,
                sequence: offset.sequence,
            }
        }
        None => last.sequence <= offset.sequence,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::{Footer, Name};

    fn sealed(first: u64, next: u64, epoch: u32, last_ts: i64) -> Sealed {
        let name = Name {
            first_sequence: first,
            base: first * 1000,
        };
        Sealed {
            name,
            capacity: 1000,
            file_bytes: 1000,
            packed: false,
            indexed: true,
            footer: Footer {
                last_ts,
                last_epoch: epoch,
                next_sequence: next,
                ..crate::recovery::empty_footer(&name)
            },
        }
    }

    proptest! {
        #[test]
        fn nothing_above_the_offset_ever_goes(
            lengths in prop::collection::vec((0u64..50, 0u32..2), 0..20),
            offset in prop::option::of((prop::option::of(1u32..6), 0u64..600)),
            keep_ns in 0i64..2000,
        ) {
            let mut segments = Vec::new();
            let (mut next, mut epoch) = (1, 1);
            for (length, bump) in lengths {
                epoch += bump;
                segments.push(sealed(next, next + length, epoch, (next + length) as i64));
                next += length;
            }
            let offset = offset.map(|(epoch, sequence)| StoreOffset { epoch, sequence });
            let most = removable(&segments, offset);
            prop_assert!(most <= segments.len().saturating_sub(RING_SEALED));
            for segment in &segments[..most] {
                if let Some(offset) = offset {
                    prop_assert!(segment.footer.next_sequence - 1 <= offset.sequence || offset.epoch > Some(segment.footer.last_epoch));
                }
            }
            // And everything that may go is named: the next one is needed or is part of the ring.
            if let Some(segment) = segments[..segments.len().saturating_sub(RING_SEALED)].get(most) {
                prop_assert!(offset.is_some_and(|offset| !covers(offset, segment)));
            }
            let gone = expired(&segments[..most], keep_ns, 1000);
            prop_assert!(gone <= most);
            prop_assert!(segments[..gone].iter().all(|s| keep_ns > 0 && s.footer.last_ts < 1000 - keep_ns));
        }
    }
}
