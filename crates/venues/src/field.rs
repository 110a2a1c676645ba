//! What a field of a message may hold, and what a message that cannot be read still tells. A field outside its
//! meaning costs the whole message: none of its records are emitted.

use wire::{Decimal, Record, Side, flag};

use crate::json::{Bad, Json, decimal, whole};

/// The number of a field that must be there.
#[inline]
pub(crate) fn number(text: Option<&[u8]>, name: &'static str) -> Result<Decimal, Bad> {
    decimal(text.ok_or(Bad::Missing(name))?).map_err(Bad::Number)
}

/// The whole number of a field that must be there.
#[inline]
pub(crate) fn id(text: Option<&[u8]>, name: &'static str) -> Result<u64, Bad> {
    whole(text.ok_or(Bad::Missing(name))?).ok_or(Bad::Field(name))
}

/// Spot prices are above zero.
#[inline]
pub(crate) fn price(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa > 0 {
        Ok(value)
    } else {
        Err(Bad::Field("price"))
    }
}

/// Size of a level: zero removes it.
#[inline]
pub(crate) fn size(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa >= 0 {
        Ok(value)
    } else {
        Err(Bad::Field("size"))
    }
}

/// Size of a trade.
#[inline]
pub(crate) fn traded(value: Decimal) -> Result<Decimal, Bad> {
    if value.mantissa > 0 {
        Ok(value)
    } else {
        Err(Bad::Field("size"))
    }
}

/// One side of a quote; a side without orders is printed as price 0 and size 0.
#[inline]
pub(crate) fn quote(instrument: u32, side: Side, at: Decimal, amount: Decimal) -> Result<Record, Bad> {
    let amount = size(amount)?;
    let at = if amount.is_zero() && at.is_zero() {
        at
    } else {
        price(at)?
    };
    Ok(Record::quote(instrument, side, at, amount))
}

/// Sets both times; without a venue time the record says so.
#[inline]
pub(crate) fn timed(record: Record, ts_event: Option<i64>, ts_recv: i64) -> Record {
    match ts_event {
        Some(ts_event) => record.at(ts_event, ts_recv),
        None => record.at(ts_recv, ts_recv).with(flag::NO_VENUE_TIME),
    }
}

/// Appends the levels of one side, printed as `[[price, size], …]`.
pub(crate) fn read_side(
    mut json: Json,
    side: Side,
    instrument: u32,
    levels: &mut Vec<Record>,
) -> Result<(), Bad> {
    json.array()?;
    while json.element()? {
        json.array()?;
        let (at, amount) = json.pair_rest()?;
        levels.push(Record::level(instrument, side, price(at)?, size(amount)?));
    }
    Ok(())
}

/// The values of `"key":"…"` in a text that may be anything: what a broken message still tells.
pub(crate) fn salvage<'a>(text: &'a [u8], key: &str) -> impl Iterator<Item = &'a [u8]> {
    let pattern: Vec<u8> = format!("\"{key}\"").into_bytes();
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.windows(pattern.len()).position(|window| window == pattern)?;
            rest = &rest[at + pattern.len()..];
            let start = rest
                .iter()
                .position(|byte| !matches!(byte, b' ' | b':' | b'\n' | b'\t' | b'\r'))?;
            if let Some(value) = rest[start..].strip_prefix(b"\"")
                && let Some(end) = value.iter().position(|byte| *byte == b'"')
            {
                return Some(&value[..end]);
            }
        }
    })
}

/// The value of `"key":123` in a text that may be anything.
pub(crate) fn salvage_number(text: &[u8], key: &str) -> Option<u64> {
    let pattern = format!("\"{key}\":");
    let at = text
        .windows(pattern.len())
        .position(|window| window == pattern.as_bytes())?;
    let rest = &text[at + pattern.len()..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    whole(&rest[..end])
}
