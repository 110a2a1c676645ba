//! Decimals: exact as printed, refused when they cannot be kept.

use std::cmp::Ordering;

use proptest::prelude::*;
use wire::{Decimal, DecimalError};

fn parse(text: &str) -> Result<Decimal, DecimalError> {
    Decimal::parse(text.as_bytes())
}

#[test]
fn keeps_digits_as_printed() {
    for (text, mantissa, scale) in [
        ("0", 0, 0),
        ("0.00000000", 0, 8),
        ("64231.5", 642_315, 1),
        ("0.00100000", 100_000, 8),
        ("1.10", 110, 2),
        ("-37.63", -3763, 2),
        ("0.00000001", 1, 8),
        ("0.0000000001", 1, 10),
        ("1e-10", 1, 10),
        ("1E+3", 1000, 0),
        ("1.5e1", 15, 0),
        ("1.50e1", 150, 1),
        ("9223372036854775807", i64::MAX, 0),
        // trailing zeros go first, and only as many as it takes
        ("1000000000000.00000000", 1_000_000_000_000_000_000, 6),
    ] {
        assert_eq!(parse(text), Ok(Decimal::new(mantissa, scale)), "{text}");
    }
}

#[test]
fn refuses_what_is_not_a_json_number() {
    for text in [
        "",
        " ",
        "-",
        "+1",
        ".5",
        "5.",
        "00",
        "01",
        "1.2.3",
        "1,2",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "null",
        "true",
        "0x10",
        "1_000",
        "1e",
        "1e+",
        "1e1.5",
        "e5",
        "--1",
        "-0",
        "-0.0",
        "-0e5",
        "1 ",
        " 1",
        "\u{feff}1",
        "1\0",
        "٣",
        "1f",
        "1d",
        "0b1",
        "\"1\"",
        "[1]",
        "1/2",
        "∞",
        "1e--5",
        "1-2",
        "-.5",
        "-01",
        "0e",
        "0x",
        "1..2",
        "½",
    ] {
        assert_eq!(parse(text), Err(DecimalError::Syntax), "{text:?}");
    }
}

#[test]
fn refuses_what_does_not_fit() {
    for text in [
        "9223372036854775808",
        "92233720368547758.081",
        "1e400",
        "1e-400",
        "1e19",
        "0.0000000000000000001",
        "123456789012345678901",
        "1e100000000000000000000",
    ] {
        assert_eq!(parse(text), Err(DecimalError::Range), "{text:?}");
    }
}

#[test]
fn equal_values_compare_equal_across_scales() {
    let value = |text: &str| parse(text).unwrap();
    assert_eq!(value("1.10").value_cmp(value("1.1")), Ordering::Equal);
    assert_eq!(value("0.000").normal(), Decimal::ZERO);
    assert_eq!(value("1.10").normal(), value("1.1"));
    assert_eq!(value("-2").value_cmp(value("1e-18")), Ordering::Less);
    assert_eq!(
        value("9223372036854775807").value_cmp(value("0.000000000000000001")),
        Ordering::Greater
    );
    assert_eq!(value("1.25").rescale(1), None);
    assert_eq!(value("1.20").rescale(1), Some(value("1.2")));
    assert_eq!(
        value("1").rescale(18),
        Some(Decimal::new(1_000_000_000_000_000_000, 18))
    );
    assert_eq!(value("10").rescale(18), None);
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(mantissa in any::<i64>(), scale in 0u8..=18) {
        prop_assume!(mantissa != i64::MIN);
        let value = Decimal::new(mantissa, scale);
        prop_assert_eq!(parse(&value.to_string()), Ok(value));
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE]{0,40}") {
        if let Ok(value) = parse(&text) {
            // exact: a second trip through text changes nothing
            prop_assert_eq!(parse(&value.to_string()), Ok(value));
        }
    }

    #[test]
    fn order_is_the_order_of_exact_fractions(a in any::<i64>(), x in 0u8..=18, b in any::<i64>(), y in 0u8..=18) {
        let (left, right) = (i128::from(a) * 10i128.pow(18 - u32::from(x)), i128::from(b) * 10i128.pow(18 - u32::from(y)));
        prop_assert_eq!(Decimal::new(a, x).value_cmp(Decimal::new(b, y)), left.cmp(&right));
    }
}
