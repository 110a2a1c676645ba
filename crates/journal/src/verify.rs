//! Reads a whole journal and says what is in it and what is not.

use std::path::Path;
use std::sync::atomic::Ordering::Acquire;

use wire::frame;

use crate::head::Head;
use crate::segment::{self, Segment};
use crate::{Error, Loss, Lost, Position, index, registry};

/// What [`verify`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub segments: usize,
    /// Of these, compressed.
    pub packed: usize,
    /// Good frames.
    pub frames: u64,
    pub records: u64,
    /// Places where good frames stop and go on again later.
    pub bad_frames: u64,
    /// Bytes in such places.
    pub bad_bytes: u64,
    /// Sequences that are missing between the first and the last record.
    pub holes: Vec<Lost>,
    /// Of the first frame.
    pub oldest: Option<Position>,
    /// After the last frame.
    pub newest: Option<Position>,
}

impl Report {
    /// Nothing is damaged or missing.
    pub fn is_whole(&self) -> bool {
        self.bad_frames == 0 && self.holes.is_empty()
    }
}

/// Reads every frame of a venue's journal that is committed now and checks it. Segments that retention
/// deletes meanwhile are left out.
pub fn verify(home: &Path, venue: &str) -> Result<Report, Error> {
    registry::check_venue_name(venue)?;
    let dir = crate::journal_dir(home, venue);
    let Some(head) = Head::open(&dir)? else {
        return Err(Error::NoJournal {
            venue: venue.to_string(),
            home: home.to_path_buf(),
            have: crate::journals(home),
        });
    };
    let committed = head.committed().load(Acquire);
    let mut report = Report::default();
    let mut end = None;
    for name in segment::list(&dir)? {
        if name.base >= committed {
            break;
        }
        let mut open = match Segment::open(&dir, name) {
            Ok(Some(open)) => open,
            Ok(None) => continue,
            Err(Error::Corrupt { .. }) => {
                report.bad_frames += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let counted = report.clone();
        let jumped = end.is_some_and(|end| end != name.base);
        let limit = open.limit(committed);
        report.segment(&mut open, limit, jumped);
        if !open.intact() {
            report = counted;
            continue;
        }
        report.segments += 1;
        report.packed += usize::from(open.is_packed());
        end = Some(name.base + open.capacity);
    }
    Ok(report)
}

impl Report {
    fn segment(&mut self, open: &mut Segment, limit: usize, jumped: bool) {
        let mut floor = open.name.floor();
        let mut at = 0;
        let mut loss = if jumped { Loss::Overrun } else { Loss::Corrupt };
        while let Some((offset, found)) = open.frame(at, limit, floor) {
            self.bad(offset - at);
            let start = segment::position(&found.header);
            if let Some(expected) = self.newest
                && start.sequence > expected.sequence
            {
                self.holes.push(Lost {
                    epoch: expected.epoch,
                    from: expected.sequence,
                    to: start.sequence,
                    loss,
                });
            }
            loss = Loss::Corrupt;
            self.oldest.get_or_insert(start);
            self.frames += 1;
            if found.header.kind == frame::kind::RECORDS {
                self.records += u64::from(found.header.count);
            }
            floor = index::frame_end(&found);
            self.newest = Some(floor);
            at = offset + found.header.frame_bytes();
        }
        // Without a footer the rest of a sealed segment is just unused.
        let unused = open.footer().is_none() && open.bytes(at, limit).iter().all(|byte| *byte == 0);
        if !unused {
            self.bad(limit - at);
        }
    }

    fn bad(&mut self, bytes: usize) {
        self.bad_frames += u64::from(bytes > 0);
        self.bad_bytes += bytes as u64;
    }
}
