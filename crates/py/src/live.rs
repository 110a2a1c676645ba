//! What a live journal may hold.

use journal::Venue;
use wire::{Decimal, Record, flag, kind};

/// Says which record may not be in the journal of this venue, and why.
pub fn check(records: &[Record], venue: &Venue) -> Result<(), String> {
    for (i, record) in records.iter().enumerate() {
        check_one(record, venue).map_err(|why| format!("record {i} {why}"))?;
    }
    Ok(())
}

fn check_one(record: &Record, venue: &Venue) -> Result<(), String> {
    if record.has(flag::BACKFILLED) {
        return Err(
            "has FLAG_BACKFILLED set; a journal takes what arrives live: what is fetched later goes into the lake"
                .into(),
        );
    }
    // Status and gap records may speak of the whole venue.
    let whole = record.instrument == 0 && matches!(record.kind, kind::STATUS | kind::GAP | kind::DETAIL);
    if !whole && record.instrument >> 20 != u32::from(venue.number) {
        return Err(format!(
            "is of instrument {}, which is not one of {}; use a number that instrument() gave",
            record.instrument, venue.name
        ));
    }
    let finest = record.price_scale.max(record.size_scale);
    if matches!(record.kind, kind::TRADE | kind::QUOTE | kind::LEVEL) && finest > Decimal::MAX_SCALE {
        return Err(format!(
            "has {finest} decimal places; at most {} can be stored",
            Decimal::MAX_SCALE
        ));
    }
    Ok(())
}
