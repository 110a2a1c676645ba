//! As much of MessagePack as Alpaca's streams use, from JSON and back: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use super::text::parse_moment;
use serde_json::{Map, Number, Value};

/// Fields that are floating-point numbers even where they have no fraction, and those that are moments.
const FLOATS: [&str; 14] = [
    "p", "bp", "ap", "o", "h", "l", "c", "vw", "op", "cp", "u", "d", "s", "v",
];
const MOMENTS: [&str; 3] = ["t", "created_at", "updated_at"];

/// The message of a JSON text; text that is no JSON stays as it is, as something a client must survive.
pub fn from_json(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    match serde_json::from_str::<Value>(text) {
        Ok(value) => write(&mut out, "", &value, false),
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
    out
}

fn write(out: &mut Vec<u8>, key: &str, value: &Value, whole_sizes: bool) {
    match value {
        Value::Null => out.push(0xC0),
        Value::Bool(value) => out.push(0xC2 + u8::from(*value)),
        Value::Number(number) => write_number(out, key, number, whole_sizes),
        Value::String(text) => match parse_moment(text).filter(|_| MOMENTS.contains(&key)) {
            Some(ns) => write_moment(out, ns),
            None => write_text(out, text),
        },
        Value::Array(list) => {
            write_length(out, list.len(), 0x90, 0xDC);
            list.iter().for_each(|value| write(out, key, value, whole_sizes));
        }
        Value::Object(map) => {
            // Shares are whole, coins are not: stocks are those without a slash.
            let whole = map
                .get("S")
                .and_then(Value::as_str)
                .is_none_or(|symbol| !symbol.contains('/'));
            write_length(out, map.len(), 0x80, 0xDE);
            for (key, value) in map {
                write_text(out, key);
                write(out, key, value, whole);
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, key: &str, number: &Number, whole_sizes: bool) {
    let is_float = FLOATS.contains(&key) && !(whole_sizes && matches!(key, "s" | "v"));
    match number.as_i64().filter(|_| !is_float) {
        Some(whole @ 0..=127) => out.push(whole as u8),
        Some(whole) if (0..1 << 32).contains(&whole) => {
            out.push(0xCE);
            out.extend_from_slice(&(whole as u32).to_be_bytes());
        }
        Some(whole) => {
            out.push(0xD3);
            out.extend_from_slice(&whole.to_be_bytes());
        }
        None => {
            out.push(0xCB);
            out.extend_from_slice(&number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
        }
    }
}

/// A timestamp: extension −1 of 96 bits, or 64 where it fits.
fn write_moment(out: &mut Vec<u8>, ns: i64) {
    let (seconds, rest) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000) as u64);
    match u64::try_from(seconds).ok().filter(|seconds| *seconds < 1 << 34) {
        Some(seconds) => {
            out.extend_from_slice(&[0xD7, 0xFF]);
            out.extend_from_slice(&(rest << 34 | seconds).to_be_bytes());
        }
        None => {
            out.extend_from_slice(&[0xC7, 12, 0xFF]);
            out.extend_from_slice(&(rest as u32).to_be_bytes());
            out.extend_from_slice(&seconds.to_be_bytes());
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..=31 => out.push(0xA0 | length as u8),
        length @ 32..=255 => out.extend_from_slice(&[0xD9, length as u8]),
        length => {
            out.push(0xDA);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn write_length(out: &mut Vec<u8>, length: usize, short: u8, long: u8) {
    if length < 16 {
        out.push(short | length as u8);
    } else {
        out.push(long);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
}

/// What a client sent; `None` for what is no message.
pub fn to_json(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { bytes, depth: 0 };
    let value = reader.value()?;
    reader.bytes.is_empty().then_some(value)
}

struct Reader<'a> {
    bytes: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (head, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(head)
    }

    fn uint(&mut self, width: usize) -> Option<u64> {
        Some(
            self.take(width)?
                .iter()
                .fold(0, |n, byte| n << 8 | u64::from(*byte)),
        )
    }

    fn text(&mut self, length: u64) -> Option<Value> {
        let bytes = self.take(usize::try_from(length).ok()?)?;
        Some(Value::from(std::str::from_utf8(bytes).ok()?))
    }

    fn value(&mut self) -> Option<Value> {
        if self.depth > 16 {
            return None;
        }
        let first = self.uint(1)?;
        Some(match first {
            0x00..=0x7F => Value::from(first),
            0x80..=0x8F => self.map(first & 15)?,
            0x90..=0x9F => self.list(first & 15)?,
            0xA0..=0xBF => self.text(first & 31)?,
            0xC0 => Value::Null,
            0xC2 | 0xC3 => Value::from(first == 0xC3),
            0xC4..=0xC6 | 0xD9..=0xDB => {
                let width = if first < 0xD9 { first - 0xC4 } else { first - 0xD9 };
                let length = self.uint(1 << width)?;
                self.text(length)?
            }
            0xCB => Value::from(f64::from_bits(self.uint(8)?)),
            0xCC..=0xCF => Value::from(self.uint(1 << (first - 0xCC))?),
            0xD0 => Value::from(self.uint(1)? as i8),
            0xD1 => Value::from(self.uint(2)? as i16),
            0xD2 => Value::from(self.uint(4)? as i32),
            0xD3 => Value::from(self.uint(8)? as i64),
            0xDC | 0xDD => {
                let length = self.uint(2 << (first - 0xDC))?;
                self.list(length)?
            }
            0xDE | 0xDF => {
                let length = self.uint(2 << (first - 0xDE))?;
                self.map(length)?
            }
            0xE0..=0xFF => Value::from(first as u8 as i8),
            _ => return None,
        })
    }

    fn list(&mut self, length: u64) -> Option<Value> {
        self.depth += 1;
        let list = (0..length).map(|_| self.value()).collect::<Option<Vec<_>>>();
        self.depth -= 1;
        list.map(Value::Array)
    }

    fn map(&mut self, length: u64) -> Option<Value> {
        self.depth += 1;
        let mut map = Map::new();
        for _ in 0..length {
            let key = self.value()?.as_str()?.to_owned();
            map.insert(key, self.value()?);
        }
        self.depth -= 1;
        Some(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_those_of_the_specification() {
        assert_eq!(from_json(r#"[{"T":"success"}]"#), b"\x91\x81\xA1T\xA7success");
        // 2021-02-22T15:51:44.208Z: 208 000 000 ns << 34 | 1 614 009 104 s
        let moment = from_json(r#"{"t":"2021-02-22T15:51:44.208Z"}"#);
        let expect = (208_000_000u64 << 34 | 1_614_009_104).to_be_bytes();
        assert_eq!(moment, [b"\x81\xA1t\xD7\xFF".as_slice(), &expect].concat());
        let trade = from_json(r#"{"S":"AAPL","p":120,"s":100}"#);
        let price = [b"\xA1p\xCB".as_slice(), &120f64.to_be_bytes()].concat();
        assert!(trade.windows(price.len()).any(|w| w == price) && trade.ends_with(b"\xA1s\x64"));
        assert_eq!(from_json("nonsense"), b"nonsense");
    }

    #[test]
    fn what_clients_send_is_read_whatever_the_width() {
        let long = "x".repeat(300);
        let message =
            json!({"action": "subscribe", "trades": ["AAPL", long], "n": [1, 200, 70_000, -5], "ok": true});
        let text = message.to_string();
        assert_eq!(to_json(&from_json(&text)), Some(message));
        let many = json!({"bars": (0..40).map(|n| n.to_string()).collect::<Vec<_>>()});
        assert_eq!(to_json(&from_json(&many.to_string())), Some(many));
        for bad in [
            b"".as_slice(),
            b"\xC1",
            b"\x92\x01",
            b"\xDB\xFF\xFF\xFF\xFF",
            b"\x01\x01",
            &[0x91; 40],
        ] {
            assert_eq!(to_json(bad), None);
        }
    }
}
