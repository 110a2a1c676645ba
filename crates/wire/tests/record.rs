//! The layout is a promise: every offset is pinned, and nothing is padding.

use std::mem::offset_of;

use wire::{Decimal, RECORD_BYTES, Record, Side, cause, channel, flag, kind, status};

#[test]
fn layout_is_48_bytes_without_padding() {
    assert_eq!(size_of::<Record>(), RECORD_BYTES);
    assert_eq!(align_of::<Record>(), 8);
    let fields = [
        (offset_of!(Record, kind), 1),
        (offset_of!(Record, flags), 1),
        (offset_of!(Record, price_scale), 1),
        (offset_of!(Record, size_scale), 1),
        (offset_of!(Record, instrument), 4),
        (offset_of!(Record, ts_event), 8),
        (offset_of!(Record, ts_recv), 8),
        (offset_of!(Record, price), 8),
        (offset_of!(Record, size), 8),
        (offset_of!(Record, id), 8),
    ];
    let mut end = 0;
    for (offset, bytes) in fields {
        assert_eq!(offset, end, "a hole or an overlap at byte {end}");
        end = offset + bytes;
    }
    assert_eq!(end, RECORD_BYTES);
}

#[test]
fn constructors_say_what_they_mean() {
    let price: Decimal = "64231.5".parse().unwrap();
    let size: Decimal = "0.01140000".parse().unwrap();
    let trade = Record::trade(1 << 20 | 1, Side::Sell, price, size, 0)
        .at(10, 20)
        .with(flag::LAST);
    assert_eq!((trade.kind, trade.side(), trade.id), (kind::TRADE, Side::Sell, 0));
    assert!(trade.has(flag::HAS_ID | flag::LAST) && !trade.has(flag::SNAPSHOT));
    assert_eq!((trade.price(), trade.size(), trade.venue()), (price, size, 1));
    assert_eq!((trade.ts_event, trade.ts_recv), (10, 20));

    let open = Record::gap_open(7, channel::TRADES, cause::DISCONNECT, -1);
    assert_eq!(
        (open.side(), open.price_scale, open.size_scale),
        (Side::Buy, 1, 1)
    );
    assert_eq!((open.price, open.size, open.id), (-1, -1, 0));
    let end = Record::gap_end(7, channel::TRADES, cause::DISCONNECT, 3, 99);
    assert_eq!((end.side(), end.size, end.id), (Side::Sell, 3, 99));

    let invalid = Record::status(7, channel::BOOK, status::BOOK_INVALID);
    assert_eq!(
        (invalid.kind, invalid.price_scale, invalid.id),
        (kind::STATUS, channel::BOOK, 6)
    );
}

#[test]
fn bytes_are_records_only_when_aligned_and_whole() {
    let records = [Record::clear(1), Record::clear(2)];
    let bytes = Record::as_bytes(&records);
    assert_eq!(bytes.len(), 96);
    assert_eq!(Record::from_bytes(bytes), Some(&records[..]));
    assert_eq!(Record::from_bytes(&bytes[..47]), None);
    assert_eq!(Record::from_bytes(&bytes[1..49]), None);
    assert_eq!(Record::read(&bytes[48..]), Some(records[1]));
    assert_eq!(Record::read(&bytes[49..]), None);
}
