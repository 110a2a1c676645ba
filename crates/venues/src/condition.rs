//! Which trades of US stocks count in bars, by the rules of the two tapes for each sale condition.
//!
//! The reasons and sources stand in `src/tidemill/providers/condition.py`, which judges history by the same
//! rules: `vectors/condition.json` holds both to it.

/// Letters of conditions that keep a trade out of bars: it may set neither a high nor a low, or adds no volume.
const IRREGULAR: &[u8] = b"CHIMNQUVW79";
/// On tapes A and B this one too: an average price there.
const IRREGULAR_CTA: u8 = b'B';

/// Polygon's number of a condition: its letter on tape C. Numbers without one change nothing.
const LETTERS: [(u64, u8); 32] = [
    (0, b'@'),
    (1, b'A'),
    (2, b'W'),
    (3, b'E'),
    (4, b'B'),
    (5, b'G'),
    (7, b'C'),
    (8, b'6'),
    (9, b'X'),
    (10, b'4'),
    (11, b'D'),
    (12, b'T'),
    (13, b'U'),
    (14, b'F'),
    (15, b'M'),
    (16, b'Q'),
    (20, b'N'),
    (21, b'H'),
    (22, b'P'),
    (23, b'K'),
    (25, b'O'),
    (27, b'1'),
    (28, b'5'),
    (29, b'R'),
    (30, b'L'),
    (33, b'Z'),
    (34, b'S'),
    (36, b'Y'),
    (37, b'I'),
    (38, b'9'),
    (52, b'V'),
    (53, b'7'),
];

/// Does a condition with this letter keep a trade out of bars? `tape` is A, B or C.
pub(crate) fn irregular(letter: &[u8], tape: &[u8]) -> bool {
    match letter {
        [IRREGULAR_CTA] => tape != b"C",
        [letter] => IRREGULAR.contains(letter),
        _ => false,
    }
}

/// The same by Polygon's number.
pub(crate) fn irregular_number(number: u64) -> bool {
    LETTERS
        .iter()
        .any(|(known, letter)| *known == number && irregular(&[*letter], b"C"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_history_says() {
        let text = include_str!("../../../vectors/condition.json");
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        let kept_out = |name: &str| -> Vec<String> {
            vector[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), Into::into))
                .collect()
        };
        for tape in ["A", "B", "C"] {
            let found: Vec<String> = (0..=255u8)
                .filter(|letter| irregular(&[*letter], tape.as_bytes()))
                .map(|letter| char::from(letter).to_string())
                .collect();
            assert_eq!(found, kept_out(tape), "tape {tape}");
        }
        let found: Vec<String> = (0..1_000)
            .filter(|n| irregular_number(*n))
            .map(|n| n.to_string())
            .collect();
        assert_eq!(found, kept_out("polygon"));
        assert!(!irregular(b"", b"C") && !irregular(b"II", b"C"));
    }
}
