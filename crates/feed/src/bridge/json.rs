//! Appending JSON text without building values: the bridge writes each message once for all clients.

use wire::Decimal;

/// Appends a number in digits.
#[inline]
pub fn integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed number in digits.
#[inline]
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    integer(out, value.unsigned_abs());
}

/// Appends `"<number>"`: 64-bit values travel as text, JSON readers keep only 53 bits.
#[inline]
pub fn quoted(out: &mut Vec<u8>, value: i64) {
    out.push(b'"');
    signed(out, value);
    out.push(b'"');
}

/// Appends `"<decimal>"`, digit for digit.
#[inline]
pub fn decimal(out: &mut Vec<u8>, value: Decimal) {
    out.push(b'"');
    value.write(out);
    out.push(b'"');
}

/// Appends `["<price>","<size>"]`.
#[inline]
pub fn level(out: &mut Vec<u8>, price: Decimal, size: Decimal) {
    out.push(b'[');
    decimal(out, price);
    out.push(b',');
    decimal(out, size);
    out.push(b']');
}

/// Appends text as a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// Appends a sum that may need 128 bits, with `scale` decimal places, as `"<decimal>"`.
pub fn wide_decimal(out: &mut Vec<u8>, value: i128, scale: u8) {
    let digits = value.unsigned_abs().to_string();
    let scale = usize::from(scale);
    out.push(b'"');
    if value < 0 {
        out.push(b'-');
    }
    if scale == 0 {
        out.extend_from_slice(digits.as_bytes());
    } else {
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        out.extend_from_slice(whole.as_bytes());
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sums_keep_their_places() {
        assert_eq!(written(|out| wide_decimal(out, 0, 8)), "\"0.00000000\"");
        assert_eq!(written(|out| wide_decimal(out, 5, 3)), "\"0.005\"");
        assert_eq!(written(|out| wide_decimal(out, -12_345, 2)), "\"-123.45\"");
        assert_eq!(written(|out| wide_decimal(out, 7, 0)), "\"7\"");
        assert_eq!(
            written(|out| wide_decimal(out, i128::from(i64::MAX) * 1000, 1)),
            "\"922337203685477580700.0\""
        );
    }

    proptest! {
        #[test]
        fn numbers_read_back(value in any::<i64>(), unsigned in any::<u64>()) {
            prop_assert_eq!(written(|out| signed(out, value)), value.to_string());
            prop_assert_eq!(written(|out| integer(out, unsigned)), unsigned.to_string());
        }

        #[test]
        fn strings_read_back(text in any::<String>()) {
            let read: String = serde_json::from_str(&written(|out| string(out, &text))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
