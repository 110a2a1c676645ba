//! The messages of a venue: how each reads in JSON, whom it concerns, and how it behaves when a client is
//! behind. `label` is `"venue":…,"instrument":…,` as it stands in every message. docs/stream.md has the fields.

use kernels::bar::Bar;
use wire::{Record, Side, cause, channel, flag, status};

use super::bars;
use super::batch::{BOOK_BEGINS, Batch, BookKind, Change, Class, Message, Place, channel_bit};
use super::instrument::Quote;
use super::json;

/// Causes of gaps that only the bridge knows of, beside those of the wire.
pub(super) const LAPPED: u8 = 250;
pub(super) const LOST: u8 = 251;

/// A run of trades of one instrument, the first of them at `first`.
pub(super) fn add_trades(batch: &mut Batch, number: u32, label: &[u8], first: Place, trades: &[Record]) {
    let Some(newest) = trades.last() else { return };
    let at = (first.0, first.1 + trades.len() as u64 - 1);
    let mut message = Message::new(at, number, channel_bit::TRADES, Class::Exact);
    (message.ts_event, message.ts_recv) = (newest.ts_event, newest.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"trades\",");
        out.extend_from_slice(label);
        place(out, at);
        out.extend_from_slice(b",\"rows\":[");
        for (i, trade) in trades.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"sequence\":");
            json::integer(out, first.1 + i as u64);
            out.extend_from_slice(b",\"ts_event\":");
            json::quoted(out, trade.ts_event);
            out.extend_from_slice(b",\"ts_recv\":");
            json::quoted(out, trade.ts_recv);
            out.extend_from_slice(b",\"price\":");
            json::decimal(out, trade.price());
            out.extend_from_slice(b",\"size\":");
            json::decimal(out, trade.size());
            out.extend_from_slice(match trade.side() {
                Side::Buy => b",\"aggressor\":\"buy\",\"id\":".as_slice(),
                Side::Sell => b",\"aggressor\":\"sell\",\"id\":",
                Side::None => b",\"aggressor\":\"none\",\"id\":",
            });
            if trade.has(flag::HAS_ID) {
                out.push(b'"');
                json::integer(out, trade.id);
                out.push(b'"');
            } else {
                out.extend_from_slice(b"null");
            }
            if trade.has(flag::IRREGULAR) {
                out.extend_from_slice(b",\"irregular\":true");
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    });
}

/// A best bid and ask.
pub(super) fn add_quote(batch: &mut Batch, number: u32, label: &[u8], quote: &Quote, conflated: u32) {
    let mut message = Message::new(quote.place, number, channel_bit::QUOTES, Class::Quote);
    message.conflated = conflated;
    (message.ts_event, message.ts_recv) = (quote.ts_event, quote.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"quotes\",");
        out.extend_from_slice(label);
        place(out, quote.place);
        for (name, side) in [(&b",\"bid\":"[..], quote.bid), (b",\"ask\":", quote.ask)] {
            out.extend_from_slice(name);
            match side {
                Some((price, size)) => json::level(out, price, size),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b",\"ts_event\":");
        json::quoted(out, quote.ts_event);
        out.extend_from_slice(b",\"ts_recv\":");
        json::quoted(out, quote.ts_recv);
        out.push(b'}');
    });
}

/// A bar that is open, or closed with this revision.
pub(super) fn add_bar(
    batch: &mut Batch,
    number: u32,
    label: &[u8],
    at: Place,
    bar: &Bar,
    revision: Option<u32>,
) {
    let class = Class::Bar {
        start_ns: bar.start_ns,
    };
    let message = Message::new(at, number, channel_bit::BARS, class);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"bars\",");
        out.extend_from_slice(label);
        place(out, at);
        out.push(b',');
        bars::write(out, bar, revision);
        out.push(b'}');
    });
}

/// Levels of a book, best first within each side; `ts` is of the venue's message and of its arrival.
pub(super) fn add_book(
    batch: &mut Batch,
    number: u32,
    label: &[u8],
    (depth, kind): (u16, BookKind),
    (at, ts): (Place, (i64, i64)),
    changes: Vec<Change>,
    conflated: u32,
) {
    let mut message = Message::new(at, number, channel_bit::BOOK, Class::Book { depth, kind });
    (message.ts_event, message.ts_recv) = ts;
    message.conflated = conflated;
    batch.add_book(message, label, changes, |out, changes| {
        book_text(out, label, at, kind, changes.iter(), ts);
    });
}

/// Appends the text of a book message; `changes` are best first within each side.
pub fn book_text<'a>(
    out: &mut Vec<u8>,
    label: &[u8],
    at: Place,
    kind: BookKind,
    changes: impl Iterator<Item = &'a Change> + Clone,
    (ts_event, ts_recv): (i64, i64),
) {
    out.extend_from_slice(BOOK_BEGINS);
    out.extend_from_slice(label);
    place(out, at);
    out.extend_from_slice(match kind {
        BookKind::Delta => b",\"kind\":\"delta\",\"bids\":[".as_slice(),
        BookKind::Snapshot { valid: true } => b",\"kind\":\"snapshot\",\"valid\":true,\"bids\":[",
        BookKind::Snapshot { valid: false } => b",\"kind\":\"snapshot\",\"valid\":false,\"bids\":[",
    });
    let side_levels = |out: &mut Vec<u8>, side: Side| {
        let mut is_first = true;
        for change in changes.clone().filter(|change| change.side == side) {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            if change.size.is_zero() {
                out.push(b'[');
                json::decimal(out, change.price);
                out.extend_from_slice(b",\"0\"]");
            } else {
                json::level(out, change.price, change.size);
            }
        }
    };
    side_levels(out, Side::Buy);
    out.extend_from_slice(b"],\"asks\":[");
    side_levels(out, Side::Sell);
    out.extend_from_slice(b"],\"ts_event\":");
    json::quoted(out, ts_event);
    out.extend_from_slice(b",\"ts_recv\":");
    json::quoted(out, ts_recv);
    out.push(b'}');
}

/// What the venue, or one channel of it, is doing.
pub(super) fn add_status(batch: &mut Batch, number: u32, label: &[u8], record: &Record, at: Place) {
    let channels = channel_bit::STATUS
        | match record.id {
            status::BOOK_INVALID | status::BOOK_VALID => channel_bit::BOOK,
            _ => 0,
        };
    let mut message = Message::new(at, number, channels, Class::Exact);
    (message.ts_event, message.ts_recv) = (record.ts_event, record.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"status\",");
        out.extend_from_slice(label);
        place(out, at);
        out.extend_from_slice(b",\"channel\":\"");
        out.extend_from_slice(channel_name(record.price_scale).as_bytes());
        out.extend_from_slice(b"\",\"code\":\"");
        out.extend_from_slice(status_name(record.id).as_bytes());
        out.push(b'"');
        if record.id == status::CLOCK_STEP {
            out.extend_from_slice(b",\"step_ns\":");
            json::quoted(out, record.size);
        }
        out.extend_from_slice(b",\"ts_recv\":");
        json::quoted(out, record.ts_recv);
        out.push(b'}');
    });
}

/// One edge of a gap.
pub(super) fn add_gap(batch: &mut Batch, number: u32, label: &[u8], record: &Record, at: Place) {
    let channels = channel_bit::STATUS
        | match record.price_scale {
            channel::TRADES => channel_bit::TRADES | channel_bit::BARS,
            channel::QUOTES => channel_bit::QUOTES,
            channel::BOOK => channel_bit::BOOK,
            _ => channel_bit::ALL,
        };
    let is_end = record.side() == Side::Sell;
    let opening = if is_end || record.id > 0 { record.id } else { at.1 };
    let mut message = Message::new(at, number, channels, Class::Exact);
    (message.ts_event, message.ts_recv) = (record.ts_event, record.ts_recv);
    batch.add(message, |out| {
        out.extend_from_slice(b"\"type\":\"gap\",");
        out.extend_from_slice(label);
        place(out, at);
        out.extend_from_slice(b",\"channel\":\"");
        out.extend_from_slice(channel_name(record.price_scale).as_bytes());
        out.extend_from_slice(if is_end {
            b"\",\"edge\":\"end\",\"cause\":\""
        } else {
            b"\",\"edge\":\"open\",\"cause\":\""
        });
        out.extend_from_slice(cause_name(record.size_scale).as_bytes());
        out.extend_from_slice(b"\",\"ts_event\":");
        json::quoted(out, record.ts_event);
        out.extend_from_slice(b",\"missing\":");
        json::signed(out, record.size);
        out.extend_from_slice(b",\"gap\":[");
        json::integer(out, u64::from(at.0));
        out.push(b',');
        json::integer(out, opening);
        out.extend_from_slice(b"]}");
    });
}

/// Appends `"epoch":…,"sequence":…`.
fn place(out: &mut Vec<u8>, at: Place) {
    out.extend_from_slice(b"\"epoch\":");
    json::integer(out, u64::from(at.0));
    out.extend_from_slice(b",\"sequence\":");
    json::integer(out, at.1);
}

fn channel_name(channel: u8) -> &'static str {
    match channel {
        channel::TRADES => "trades",
        channel::QUOTES => "quotes",
        channel::BOOK => "book",
        _ => "all",
    }
}

fn status_name(code: u64) -> &'static str {
    match code {
        status::CONNECTING => "connecting",
        status::LIVE => "live",
        status::STALE => "stale",
        status::RECONNECTING => "reconnecting",
        status::CLOSED => "closed",
        status::BOOK_INVALID => "invalid",
        status::BOOK_VALID => "valid",
        status::CLOCK_STEP => "clock_step",
        status::HALTED => "halted",
        status::RESUMED => "resumed",
        _ => "unknown",
    }
}

fn cause_name(cause: u8) -> &'static str {
    match cause {
        cause::DISCONNECT => "disconnect",
        cause::STALL => "stall",
        cause::SEQUENCE_HOLE => "hole",
        cause::CHECKSUM => "checksum",
        cause::OVERLOAD => "overload",
        cause::LIMIT => "limit",
        cause::MALFORMED => "malformed",
        LAPPED => "lapped",
        LOST => "overrun",
        _ => "unknown",
    }
}
