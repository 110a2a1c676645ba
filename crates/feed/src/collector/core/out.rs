//! What the core puts out: records in order, the sequence each will get, and counts of what was done.

use wire::Record;

/// What happened to the input, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records written.
    pub records: u64,
    /// Trades that were in the journal already.
    pub duplicates: u64,
    /// Gaps opened.
    pub gaps: u64,
    /// Records known to be missing, over all ended gaps.
    pub missing: u64,
    /// Snapshots written for readers, not sent by the venue.
    pub snapshots: u64,
}

/// Records to append, and the sequence the next one will get.
#[derive(Debug)]
pub(super) struct Out {
    pub records: Vec<Record>,
    pub next: u64,
    pub counts: Counts,
}

impl Out {
    /// Adds a record and returns its sequence.
    pub fn push(&mut self, record: Record) -> u64 {
        self.records.push(record);
        self.counts.records += 1;
        self.next += 1;
        self.next - 1
    }
}
