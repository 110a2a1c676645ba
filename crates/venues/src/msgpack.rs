//! MessagePack as a venue may speak it in place of JSON, read into the JSON text that says the same, so that one
//! reader serves both: <https://github.com/msgpack/msgpack/blob/master/spec.md>.
//!
//! Floats become the fewest digits that read as the same float, which are those the venue prints in JSON;
//! timestamps (extension −1) become RFC 3339. Both depth and length are bounded: a text has at most a few times
//! the bytes of its message, whatever lengths the message claims.

use std::io::Write;

use serde_json::Value;

use crate::json::Bad;

/// Deepest nesting that is followed. Venues stay below 4.
const DEPTH_MAX: u32 = 16;
const DAY_S: i64 = 86_400;
/// Seconds of the years 0 to 9999, which four digits can say.
const MOMENTS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

/// Does a message begin as an array of MessagePack? One of JSON never does.
pub(crate) fn is_array(message: &[u8]) -> bool {
    matches!(message.first(), Some(0x90..=0x9F | 0xDC | 0xDD))
}

/// Appends the JSON text of a message. What was read before it turned out to be malformed stays in `out`.
pub(crate) fn to_json(message: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
    let mut reader = Reader { rest: message };
    reader.value(out, 0)?;
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(WRONG)
    }
}

const WRONG: Bad = Bad::Field("MessagePack");

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Bad> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(WRONG)?;
        self.rest = rest;
        Ok(head)
    }

    fn uint(&mut self, bytes: usize) -> Result<u64, Bad> {
        let big_endian = self.take(bytes)?;
        Ok(big_endian.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Bad> {
        usize::try_from(self.uint(bytes)?).map_err(|_| WRONG)
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: u32) -> Result<(), Bad> {
        if depth > DEPTH_MAX {
            return Err(Bad::Depth);
        }
        let first = self.take(1)?[0];
        match first {
            0x00..=0x7F => whole(out, i128::from(first)),
            0x80..=0x8F => self.map(out, usize::from(first & 15), depth)?,
            0x90..=0x9F => self.list(out, usize::from(first & 15), depth)?,
            0xA0..=0xBF => self.text(out, usize::from(first & 31))?,
            0xC0 => out.extend_from_slice(b"null"),
            0xC2 => out.extend_from_slice(b"false"),
            0xC3 => out.extend_from_slice(b"true"),
            0xCA => {
                let value = f32::from_bits(self.uint(4)? as u32);
                float(out, f64::from(value), value)?;
            }
            0xCB => {
                let value = f64::from_bits(self.uint(8)?);
                float(out, value, value)?;
            }
            0xCC..=0xCF => whole(out, i128::from(self.uint(1 << (first - 0xCC))?)),
            0xD0..=0xD3 => {
                let bytes = 1 << (first - 0xD0);
                let unused = 64 - 8 * bytes as u32;
                whole(out, i128::from((self.uint(bytes)? << unused) as i64 >> unused));
            }
            0xD6 | 0xD7 => {
                let bytes = 4 << (first - 0xD6);
                self.moment(out, bytes)?;
            }
            0xC7 if self.take(1)? == [12] => self.moment(out, 12)?,
            0xD9..=0xDB => {
                let length = self.length(1 << (first - 0xD9))?;
                self.text(out, length)?;
            }
            0xDC | 0xDD => {
                let length = self.length(2 << (first - 0xDC))?;
                self.list(out, length, depth)?;
            }
            0xDE | 0xDF => {
                let length = self.length(2 << (first - 0xDE))?;
                self.map(out, length, depth)?;
            }
            0xE0..=0xFF => whole(out, i128::from(first as i8)),
            _ => return Err(WRONG), // bytes and other extensions: no venue sends them
        }
        Ok(())
    }

    fn list(&mut self, out: &mut Vec<u8>, length: usize, depth: u32) -> Result<(), Bad> {
        out.push(b'[');
        for at in 0..length {
            if at > 0 {
                out.push(b',');
            }
            self.value(out, depth + 1)?;
        }
        out.push(b']');
        Ok(())
    }

    fn map(&mut self, out: &mut Vec<u8>, length: usize, depth: u32) -> Result<(), Bad> {
        out.push(b'{');
        for at in 0..length {
            if at > 0 {
                out.push(b',');
            }
            let length = match self.take(1)?[0] {
                first @ 0xA0..=0xBF => usize::from(first & 31),
                first @ 0xD9..=0xDB => self.length(1 << (first - 0xD9))?,
                _ => return Err(WRONG),
            };
            self.text(out, length)?;
            out.push(b':');
            self.value(out, depth + 1)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn text(&mut self, out: &mut Vec<u8>, length: usize) -> Result<(), Bad> {
        let text = self.take(length)?;
        std::str::from_utf8(text).map_err(|_| Bad::Utf8)?;
        out.push(b'"');
        for &byte in text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0x00..=0x1F => {
                    let _ = write!(out, "\\u{byte:04x}"); // a Vec takes everything
                }
                _ => out.push(byte),
            }
        }
        out.push(b'"');
        Ok(())
    }

    /// A timestamp of 4, 8 or 12 bytes, behind its type.
    fn moment(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<(), Bad> {
        if self.take(1)? != [0xFF] {
            return Err(WRONG);
        }
        let (seconds, ns) = match bytes {
            4 => (self.uint(4)? as i64, 0),
            8 => {
                let both = self.uint(8)?;
                ((both & ((1 << 34) - 1)) as i64, both >> 34)
            }
            _ => {
                let ns = self.uint(4)?;
                (self.uint(8)? as i64, ns)
            }
        };
        if ns > 999_999_999 || !MOMENTS.contains(&seconds) {
            return Err(Bad::Time);
        }
        let (year, month, day) = date(seconds.div_euclid(DAY_S));
        let second = seconds.rem_euclid(DAY_S);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let _ = write!(
            out,
            "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z\""
        );
        Ok(())
    }
}

/// Year, month and day of a day counted from 1970: Hinnant's days_from_civil turned round.
fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468; // from 1 March of the year 0
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn whole(out: &mut Vec<u8>, value: i128) {
    let _ = write!(out, "{value}");
}

/// `digits` is the value as it came: a float of 32 bits has fewer digits than the same of 64.
fn float(
    out: &mut Vec<u8>,
    value: f64,
    digits: impl std::fmt::Display + std::fmt::LowerExp,
) -> Result<(), Bad> {
    if !value.is_finite() {
        return Err(Bad::Field("number"));
    }
    let plain = value == 0.0 || (1e-12..1e18).contains(&value.abs());
    // hundreds of zeros say nothing
    let _ = if plain {
        write!(out, "{digits}")
    } else {
        write!(out, "{digits:e}")
    };
    Ok(())
}

/// What we say to a venue: nothing in it is longer than 65,535.
pub(crate) fn from_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => write_text(out, text),
        Value::Array(list) => {
            out.push(0xDC);
            out.extend_from_slice(&(list.len() as u16).to_be_bytes());
            list.iter().for_each(|one| write_value(out, one));
        }
        Value::Object(map) => {
            out.push(0x80 | map.len() as u8 & 15);
            for (key, one) in map {
                write_text(out, key);
                write_value(out, one);
            }
        }
        _ => out.push(0xC0), // we say no numbers
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ 0..=31) => out.push(0xA0 | length),
        Ok(length) => out.extend_from_slice(&[0xD9, length]),
        Err(_) => {
            out.push(0xDA);
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::json::rfc3339_ns;

    fn read(message: &[u8]) -> Result<String, Bad> {
        let mut out = Vec::new();
        to_json(message, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_read_as_the_specification_says() {
        let cases: [(&[u8], &str); 18] = [
            (b"\x91\x81\xA1T\xA7success", r#"[{"T":"success"}]"#),
            (b"\xC0", "null"),
            (b"\xC2", "false"),
            (b"\xC3", "true"),
            (b"\x7F", "127"),
            (b"\xFF", "-1"),
            (b"\xCC\xC8", "200"),
            (b"\xCD\x01\x00", "256"),
            (b"\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "18446744073709551615"),
            (b"\xD0\x80", "-128"),
            (b"\xD1\xFF\x00", "-256"),
            (b"\xD3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
            (b"\xCA\x3D\xCC\xCC\xCD", "0.1"),
            (b"\xCB\x40\x5F\xA3\x33\x33\x33\x33\x33", "126.55"),
            (b"\xCB\x7F\xEF\xFF\xFF\xFF\xFF\xFF\xFF", "1.7976931348623157e308"),
            (b"\xD9\x03a\"\n", r#""a\"\u000a""#),
            (b"\xD6\xFF\x00\x00\x00\x01", r#""1970-01-01T00:00:01.000000000Z""#),
            (
                b"\xC7\x0C\xFF\x00\x00\x00\x07\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                r#""1969-12-31T23:59:59.000000007Z""#,
            ),
        ];
        for (message, text) in cases {
            assert_eq!(read(message).as_deref(), Ok(text), "{message:02X?}");
        }
    }

    #[test]
    fn what_is_hostile_is_refused_at_once() {
        for message in [
            b"".as_slice(),
            b"\xC1",
            b"\x92\x01",
            b"\x01\x01",
            b"\xDD\xFF\xFF\xFF\xFF",
            b"\xDF\xFF\xFF\xFF\xFF",
            b"\xDB\xFF\xFF\xFF\xFF",
            b"\xA2\xFF\xFE",
            b"\x81\x01\x01",
            b"\xC4\x01\x00",
            b"\xD4\x01\x00",
            b"\xD7\xFE\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xD7\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            b"\xCB\x7F\xF8\x00\x00\x00\x00\x00\x00",
            &[0x91; 4096],
        ] {
            assert!(read(message).is_err(), "{message:02X?}");
        }
    }

    #[test]
    fn what_we_say_is_read_back() {
        let long = "k".repeat(300);
        let said = json!({"action": "subscribe", "trades": ["AAPL", "BRK.B", long], "quotes": []});
        let text = read(&from_json(&said)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), said);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_bounded_text(message in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut out = Vec::new();
            let _ = to_json(&message, &mut out);
            prop_assert!(out.len() <= 8 * message.len() + 2, "{} of {}", out.len(), message.len());
        }

        #[test]
        fn floats_and_moments_read_as_they_were(value in any::<f64>(), ns in 0..4_000_000_000_000_000_000i64) {
            prop_assume!(value.is_finite());
            let text = read(&[&[0xCB][..], &value.to_be_bytes()].concat()).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
            let both = ((rest as u64) << 34 | seconds as u64).to_be_bytes();
            let text = read(&[&[0xD7, 0xFF][..], &both].concat()).unwrap();
            prop_assert_eq!(rfc3339_ns(text.trim_matches('"').as_bytes()), Some(ns));
        }
    }
}
