//! A pull scanner over one JSON text: strict (RFC 8259), borrowed, without allocation.
//!
//! Venues print the same few keys millions of times and numbers must stay the digits they printed, so the
//! scanner hands out keys and number texts as slices of the message. Values that nobody asks for are still
//! checked: a message is either JSON from its first to its last byte or it is quarantined.

use std::borrow::Cow;
use std::fmt;

use wire::{Decimal, DecimalError};

/// Deepest nesting that is followed. Venues stay below 8.
const DEPTH_MAX: u32 = 48;

/// Why a message is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Not JSON, at this byte.
    Syntax(usize),
    /// Not UTF-8.
    Utf8,
    /// Nested deeper than any venue's message.
    Depth,
    /// A number field that is not a number, or does not fit.
    Number(DecimalError),
    /// A time that is not one.
    Time,
    /// A field has the wrong type or a value outside its meaning.
    Field(&'static str),
    /// A field that must be there is not.
    Missing(&'static str),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "not JSON at byte {at}"),
            Self::Utf8 => f.write_str("not UTF-8"),
            Self::Depth => write!(f, "nested deeper than {DEPTH_MAX}"),
            Self::Number(error) => write!(f, "{error}"),
            Self::Time => f.write_str("not a time"),
            Self::Field(name) => write!(f, "unusable `{name}`"),
            Self::Missing(name) => write!(f, "no `{name}`"),
        }
    }
}

/// Position in a JSON text.
#[derive(Clone)]
pub(crate) struct Json<'a> {
    text: &'a [u8],
    at: usize,
    /// Just inside an opened object or array: no comma before the next member.
    fresh: bool,
}

impl<'a> Json<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            fresh: true,
        }
    }

    /// The same; a text that is not UTF-8 is none.
    #[inline]
    pub fn checked(text: &'a [u8]) -> Result<Self, Bad> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self::new(text)),
            Err(_) => Err(Bad::Utf8),
        }
    }

    #[inline]
    fn bad<T>(&self) -> Result<T, Bad> {
        Err(Bad::Syntax(self.at))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        self.space();
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.bad()
        }
    }

    /// First byte of the next value, without taking it.
    #[inline]
    pub fn next_byte(&mut self) -> Option<u8> {
        self.space();
        self.peek()
    }

    /// Enters an object.
    #[inline]
    pub fn object(&mut self) -> Result<(), Bad> {
        self.expect(b'{')?;
        self.fresh = true;
        Ok(())
    }

    /// Next key of the object, raw, as long as there is one; its value must be read next.
    #[inline]
    pub fn key(&mut self) -> Result<Option<&'a [u8]>, Bad> {
        self.space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                self.fresh = false;
                return Ok(None);
            }
            Some(b',') if !self.fresh => {
                self.at += 1;
                self.space();
            }
            Some(b'"') if self.fresh => {}
            _ => return self.bad(),
        }
        let key = self.raw_string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Enters an array.
    #[inline]
    pub fn array(&mut self) -> Result<(), Bad> {
        self.expect(b'[')?;
        self.fresh = true;
        Ok(())
    }

    /// Is there another element? It must be read next.
    #[inline]
    pub fn element(&mut self) -> Result<bool, Bad> {
        self.space();
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                self.fresh = false;
                Ok(false)
            }
            Some(b',') if !self.fresh => {
                self.at += 1;
                self.space();
                // a comma promises an element
                if self.peek() == Some(b']') {
                    self.bad()
                } else {
                    Ok(true)
                }
            }
            Some(_) if self.fresh => Ok(true),
            _ => self.bad(),
        }
    }

    /// A string as printed between its quotes, escapes checked and not resolved.
    #[inline]
    pub fn raw_string(&mut self) -> Result<&'a [u8], Bad> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            // eight bytes at a time while none of them is a quote, a backslash or a control character
            while let Some(chunk) = self.text.get(self.at..self.at + 8) {
                let mut word = [0u8; 8];
                word.copy_from_slice(chunk);
                let stops = string_stops(u64::from_le_bytes(word));
                if stops == 0 {
                    self.at += 8;
                } else {
                    self.at += (stops.trailing_zeros() / 8) as usize;
                    break;
                }
            }
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    self.fresh = false;
                    return Ok(text);
                }
                Some(b'\\') => self.escape()?,
                Some(byte) if byte >= 0x20 => self.at += 1,
                _ => return self.bad(),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Bad> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    match self.peek() {
                        Some(byte) if byte.is_ascii_hexdigit() => self.at += 1,
                        _ => return self.bad(),
                    }
                }
                Ok(())
            }
            _ => self.bad(),
        }
    }

    /// A string with its escapes resolved; borrowed when there are none.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Bad> {
        let raw = self.raw_string()?;
        if raw.contains(&b'\\') {
            unescape(raw).map(Cow::Owned).ok_or(Bad::Syntax(self.at))
        } else {
            Ok(Cow::Borrowed(raw))
        }
    }

    /// The text of a number, whether printed bare or as a string. Anything else a number cannot be is
    /// refused here or by the one who reads it.
    #[inline]
    pub fn scalar(&mut self) -> Result<&'a [u8], Bad> {
        match self.next_byte() {
            Some(b'"') => self.raw_string(),
            Some(b'{' | b'[') | None => self.bad(),
            _ => {
                let start = self.at;
                while let Some(byte) = self.peek() {
                    if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                        break;
                    }
                    self.at += 1;
                }
                self.fresh = false;
                Ok(&self.text[start..self.at])
            }
        }
    }

    /// A number, bare or as a string, digit for digit as printed.
    #[inline]
    pub fn decimal(&mut self) -> Result<Decimal, Bad> {
        decimal(self.scalar()?).map_err(Bad::Number)
    }

    /// An unsigned whole number, bare or as a string.
    #[inline]
    pub fn u64(&mut self, name: &'static str) -> Result<u64, Bad> {
        whole(self.scalar()?).ok_or(Bad::Field(name))
    }

    pub fn bool(&mut self) -> Result<bool, Bad> {
        match self.scalar()? {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => self.bad(),
        }
    }

    /// Passes over one value of any type, checking it.
    pub fn skip(&mut self) -> Result<(), Bad> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: u32) -> Result<(), Bad> {
        if depth > DEPTH_MAX {
            return Err(Bad::Depth);
        }
        match self.next_byte() {
            Some(b'"') => self.raw_string().map(drop),
            Some(b'{') => {
                self.object()?;
                while self.key()?.is_some() {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.array()?;
                while self.element()? {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            Some(_) => {
                let start = self.at;
                let text = self.scalar()?;
                if matches!(text, b"true" | b"false" | b"null") || is_number(text) {
                    Ok(())
                } else {
                    Err(Bad::Syntax(start))
                }
            }
            None => self.bad(),
        }
    }

    /// Passes over one value, checking it, and hands out a scanner that stands before it.
    pub fn passed(&mut self) -> Result<Json<'a>, Bad> {
        let before = self.clone();
        self.skip()?;
        Ok(before)
    }

    /// The text of a string, number or word, or an empty text for an object or array: for fields whose
    /// meaning only a later field tells.
    #[inline]
    pub fn checked_scalar(&mut self) -> Result<&'a [u8], Bad> {
        match self.next_byte() {
            Some(b'"') => self.raw_string(),
            Some(b'{' | b'[') => self.skip().map(|()| &self.text[..0]),
            _ => {
                let start = self.at;
                let text = self.scalar()?;
                if matches!(text, b"true" | b"false" | b"null") || is_number(text) {
                    Ok(text)
                } else {
                    Err(Bad::Syntax(start))
                }
            }
        }
    }

    /// First element of an entered array, which must be a string.
    #[inline]
    pub fn first_string(&mut self, name: &'static str) -> Result<&'a [u8], Bad> {
        if self.element()? && self.next_byte() == Some(b'"') {
            self.raw_string()
        } else {
            Err(Bad::Field(name))
        }
    }

    /// The next two elements of an entered array, price and size, and its end; further elements are ignored.
    #[inline]
    pub fn pair_rest(&mut self) -> Result<(Decimal, Decimal), Bad> {
        if !self.element()? {
            return Err(Bad::Missing("price"));
        }
        let price = self.decimal()?;
        if !self.element()? {
            return Err(Bad::Missing("size"));
        }
        let size = self.decimal()?;
        while self.element()? {
            self.skip()?;
        }
        Ok((price, size))
    }

    /// Nothing but space is left.
    #[inline]
    pub fn end(&mut self) -> Result<(), Bad> {
        self.space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.bad()
        }
    }
}

/// A bit 0x80 in the first byte of eight (and perhaps in later ones) that ends a run of plain characters.
#[inline(always)]
pub(crate) fn string_stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    (quote.wrapping_sub(ONES) & !quote
        | slash.wrapping_sub(ONES) & !slash
        | word.wrapping_sub(ONES * 0x20) & !word)
        & HIGHS
}

fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    // rare (a slash printed as `\/`), so the general reader may do it
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted)
        .ok()
        .map(String::into_bytes)
}

/// The grammar of JSON numbers.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let [b'.', fraction @ ..] = rest {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            _ => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Same verdict and value as [`Decimal::parse`], faster for what venues print: up to 18 digits with at most
/// one point.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Result<Decimal, DecimalError> {
    if text.len() <= 19 && !text.is_empty() {
        let mut mantissa: u64 = 0;
        let mut point = usize::MAX;
        for (at, &byte) in text.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            } else if byte == b'.' && point == usize::MAX {
                point = at;
            } else {
                return Decimal::parse(text);
            }
        }
        let (whole, scale) = if point == usize::MAX {
            (text.len(), 0)
        } else {
            (point, text.len() - 1 - point)
        };
        // 19 bytes with a point are 18 digits: they fit. What is odd in form the exact reader judges.
        let plain = whole > 0 && (whole == 1 || text[0] != b'0') && (scale > 0 || point == usize::MAX);
        if plain && (text.len() < 19 || point != usize::MAX) {
            return Ok(Decimal {
                mantissa: mantissa as i64,
                scale: scale as u8,
            });
        }
    }
    Decimal::parse(text)
}

/// A whole number that fits.
#[inline]
pub(crate) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || (text.len() > 1 && text[0] == b'0') {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Nanoseconds since the epoch of an RFC 3339 time in UTC with 0–9 decimals (`2023-10-06T17:35:55.440295Z`).
/// `None` when it is no such time or lies outside what 64 bits of nanoseconds reach.
#[inline]
pub(crate) fn rfc3339_ns(text: &[u8]) -> Option<i64> {
    // what every venue prints has microseconds; all else takes the long way
    match micros_ns(text) {
        Some(ns) => Some(ns),
        None => rfc3339_any_ns(text),
    }
}

/// Exactly `YYYY-MM-DDTHH:MM:SS.ffffffZ` in the years 1970–2099 and days 1–28 of any month, without a
/// branch for each digit.
#[inline]
fn micros_ns(text: &[u8]) -> Option<i64> {
    let text: &[u8; 27] = text.try_into().ok()?;
    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let mut digits = [0u8; 27];
    let mut wrong = 0u8;
    let mut at = 0;
    while at < 27 {
        digits[at] = text[at] ^ FORM[at];
        // where the form has a digit up to nine may stand, elsewhere nothing but the form
        wrong |= if FORM[at] == b'0' {
            u8::from(digits[at] > 9)
        } else {
            digits[at]
        };
        at += 1;
    }
    if wrong != 0 {
        return None;
    }
    let two = |at: usize| i64::from(digits[at]) * 10 + i64::from(digits[at + 1]);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let plain = (1970..2100).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !plain {
        return None;
    }
    let micros = two(20) * 10_000 + two(22) * 100 + two(24);
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + micros * 1_000)
}

fn rfc3339_any_ns(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text[text.len() - 1] != b'Z' {
        return None;
    }
    let digits = |from: usize, count: usize| -> Option<i64> {
        let mut value = 0i64;
        for &byte in &text[from..from + count] {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        Some(value)
    };
    if text[4] != b'-' || text[7] != b'-' || text[10] != b'T' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    // a leap second is folded into the last second of its minute
    if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if !(1678..=2261).contains(&year) || day > days_in_month(year, month) {
        return None;
    }
    let fraction = &text[19..text.len() - 1];
    let mut ns = 0i64;
    if let [b'.', places @ ..] = fraction {
        if places.is_empty() || places.len() > 9 {
            return None;
        }
        ns = digits(20, places.len())?;
        for _ in places.len()..9 {
            ns *= 10;
        }
    } else if !fraction.is_empty() {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
    Some(seconds * 1_000_000_000 + ns)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day is last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Nanoseconds from a venue's whole-number time, whose unit (s, ms, µs or ns) its size tells.
pub(crate) fn epoch_ns(value: u64) -> Option<i64> {
    let factor: u64 = match value {
        0..=99_999_999_999 => return i64::try_from(value).ok()?.checked_mul(1_000_000),
        100_000_000_000..=99_999_999_999_999 => 1_000_000,
        100_000_000_000_000..=99_999_999_999_999_999 => 1_000,
        _ => 1,
    };
    i64::try_from(value.checked_mul(factor)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &[u8]) -> bool {
        let mut json = Json::new(text);
        std::str::from_utf8(text).is_ok() && json.skip().and_then(|()| json.end()).is_ok()
    }

    fn serde_accepts(text: &[u8]) -> bool {
        serde_json::from_slice::<Box<serde_json::value::RawValue>>(text).is_ok()
    }

    #[test]
    fn agrees_with_the_general_reader_on_odd_texts() {
        for text in [
            "{}",
            "[]",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{,\"a\":1}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{1:2}",
            "[1 2]",
            "nul",
            "null",
            "true",
            "falsey",
            "NaN",
            "-",
            "-0",
            "01",
            "1.",
            ".1",
            "1e",
            "1e+",
            "1e5",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u1234\"",
            "\"a\nb\"",
            "\"\u{7f}\"",
            "[[[]]",
            "]",
            "{\"a\":[1,{\"b\":2}]} ",
            " 1 ",
            "1 1",
            "",
            "\u{feff}{}",
            "{\"a\":1}{",
            "\"12345678\\\"12345678\"",
            "[\"\",\"\"]",
            "[1,[],{}]",
        ] {
            assert_eq!(
                accepts(text.as_bytes()),
                serde_accepts(text.as_bytes()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let text = "[".repeat(2_000_000);
        assert_eq!(Json::new(text.as_bytes()).skip(), Err(Bad::Depth));
        let text = "{\"a\":".repeat(100_000);
        assert_eq!(Json::new(text.as_bytes()).skip(), Err(Bad::Depth));
    }

    #[test]
    fn times() {
        let cases: [(&str, Option<i64>); 14] = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-10-06T17:35:55.440295Z", Some(1_696_613_755_440_295_000)),
            ("2026-08-09T21:05:48.348050942Z", Some(1_786_309_548_348_050_942)),
            ("2014-11-07T08:19:28.4Z", Some(1_415_348_368_400_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000)),
            ("1999-12-31T23:59:60Z", Some(946_684_799_000_000_000)),
            ("1969-12-31T23:59:59.000000001Z", Some(-999_999_999)),
            ("2023-02-29T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("2023-10-06T17:35:55.Z", None),
            ("2023-10-06T17:35:55.1234567890Z", None),
            ("2023-10-06T17:35:55", None),
            ("2023-10-06T24:00:00Z", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(rfc3339_ns(text.as_bytes()), expect, "{text}");
        }
        assert_eq!(epoch_ns(1_672_515_782_136), Some(1_672_515_782_136_000_000));
        assert_eq!(epoch_ns(1_672_515_782_136_123), Some(1_672_515_782_136_123_000));
        assert_eq!(
            epoch_ns(1_672_515_782_136_123_456),
            Some(1_672_515_782_136_123_456)
        );
        assert_eq!(epoch_ns(u64::MAX), None);
    }

    #[test]
    fn numbers_in_both_spellings() {
        let mut json = Json::new(b"[1.50,\"0.00100000\",\"\",null]");
        json.array().unwrap();
        assert!(json.element().unwrap());
        assert_eq!(json.decimal(), Ok(Decimal::new(150, 2)));
        assert!(json.element().unwrap());
        assert_eq!(json.decimal(), Ok(Decimal::new(100_000, 8)));
        assert!(json.element().unwrap());
        assert!(json.decimal().is_err());
        assert!(json.element().unwrap());
        assert!(json.decimal().is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_the_general_reader(text in "[\\[\\]{}\",:0-9eE.+\\- a\\\\\u{0}\u{e9}nulltrue]{0,24}") {
            prop_assert_eq!(accepts(text.as_bytes()), serde_accepts(text.as_bytes()));
        }

        #[test]
        fn agrees_on_strings(inner in "[a-z\"\\\\/u0-9\u{1}\u{7f}\u{80}\u{ff} ]{0,40}") {
            let text = format!("[\"{inner}\"]");
            prop_assert_eq!(accepts(text.as_bytes()), serde_accepts(text.as_bytes()));
        }

        #[test]
        fn decimals_are_those_of_wire(text in "-?[0-9]{0,12}[.eE]?[0-9]{0,12}[.e-]?[0-9]{0,3}") {
            prop_assert_eq!(decimal(text.as_bytes()), Decimal::parse(text.as_bytes()));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = accepts(&bytes);
            let _ = decimal(&bytes);
            let _ = whole(&bytes);
            let _ = rfc3339_ns(&bytes);
        }

        #[test]
        fn both_ways_to_read_a_time_agree(
            year in 1960i64..2110, month in 0i64..14, day in 0i64..33, hour in 0i64..26, minute in 0i64..62,
            second in 0i64..62, micros in 0i64..1_000_000, noise in "[ 0-9T:.Z-]?", at in 0usize..27,
        ) {
            let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
            if !noise.is_empty() && micros % 3 == 0 {
                text.replace_range(at..at + 1, &noise);
            }
            prop_assert_eq!(rfc3339_ns(text.as_bytes()), rfc3339_any_ns(text.as_bytes()));
        }

        #[test]
        fn whole_numbers(value: u64) {
            prop_assert_eq!(whole(value.to_string().as_bytes()), Some(value));
        }
    }
}
