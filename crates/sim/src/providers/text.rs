//! Times and numbers as providers of history write and read them.

use super::calendar::{HOUR_NS, MINUTE_NS, SECOND_NS};
use super::world::Asset;
use crate::number::{parse_time, push_time_bare, push_trimmed};

/// RFC 3339 in UTC, whose fraction has up to nine digits and no trailing zeros.
pub fn time(ns: i64) -> String {
    let mut out = String::with_capacity(30);
    if ns.rem_euclid(SECOND_NS) == 0 {
        push_time_bare(&mut out, ns, 0, 'T');
    } else {
        push_time_bare(&mut out, ns, 9, 'T');
        while out.ends_with('0') {
            out.pop();
        }
    }
    out.push('Z');
    out
}

/// RFC 3339 with New York's offset, without a fraction.
pub fn local_time(ns: i64) -> String {
    let offset = super::calendar::offset_ns(ns);
    let mut out = String::with_capacity(25);
    push_time_bare(&mut out, ns + offset, 0, 'T');
    out.push_str(if offset == -4 * HOUR_NS {
        "-04:00"
    } else {
        "-05:00"
    });
    out
}

/// `2024-07-02`.
pub fn date(day: i64) -> String {
    let mut out = String::with_capacity(19);
    push_time_bare(&mut out, day * 24 * HOUR_NS, 0, 'T');
    out.truncate(10);
    out
}

/// Days since 1970-01-01 of `2024-07-02`.
pub fn parse_date(text: &str) -> Option<i64> {
    let is_date = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let ns = if is_date { parse_time(text)? } else { return None };
    Some(ns / (24 * HOUR_NS))
}

/// A moment as RFC 3339 with any offset.
pub fn parse_moment(text: &str) -> Option<i64> {
    if text.len() < 19 {
        return None;
    }
    if let Some((clock, zone)) = text.split_at_checked(text.len() - 6)
        && let Some(sign) = zone.chars().next().filter(|c| matches!(c, '+' | '-'))
        && zone.as_bytes()[3] == b':'
    {
        let hours: i64 = zone.get(1..3)?.parse().ok()?;
        let minutes: i64 = zone.get(4..6)?.parse().ok()?;
        let offset = hours * HOUR_NS + minutes * MINUTE_NS;
        return Some(parse_time(clock)? - if sign == '-' { -offset } else { offset });
    }
    parse_time(text)
}

/// A mantissa as a JSON number without trailing zeros.
pub fn number(mantissa: impl Into<i128>, scale: u8) -> String {
    let mut out = String::with_capacity(20);
    push_trimmed(&mut out, mantissa.into(), scale);
    out
}

impl Asset {
    /// A price as a JSON number.
    pub fn price(&self, mantissa: i64) -> String {
        number(mantissa, self.price_scale)
    }

    /// A size as a JSON number.
    pub fn size(&self, mantissa: i64) -> String {
        number(mantissa, self.size_scale)
    }
}

/// Text as the value of a query's parameter.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Text that only its writer reads: page tokens.
pub fn to_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(hex: &str) -> Option<String> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |n, d| n << 4 | d))
        .collect();
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        let ns = 1_645_544_735_335_689_320;
        assert_eq!(time(ns), "2022-02-22T15:45:35.33568932Z");
        assert_eq!(local_time(ns), "2022-02-22T10:45:35-05:00");
        assert_eq!(parse_moment("2022-02-22T10:45:35.33568932-05:00"), Some(ns));
        assert_eq!(parse_moment(&time(ns)), Some(ns));
        assert_eq!(parse_date("2022-02-22").map(date).as_deref(), Some("2022-02-22"));
        assert_eq!(
            (parse_moment("2022-02-22"), parse_date("20220222xx")),
            (None, None)
        );
        assert_eq!(from_hex(&to_hex("AAPL|7")).as_deref(), Some("AAPL|7"));
        assert_eq!((from_hex("xyz"), from_hex("é")), (None, None));
    }
}
