//! CRC-32C (Castagnoli), the checksum of frames: hardware instruction where there is one.

const POLYNOMIAL: u32 = 0x82F6_3B78;

const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let previous = tables[t - 1][i];
            tables[t][i] = (previous >> 8) ^ tables[0][(previous & 0xFF) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
};

/// CRC-32C of `bytes`, continuing from `seed` (0 to begin): `crc32c(crc32c(0, a), b)` is the checksum
/// of `a` followed by `b`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the feature was just detected.
        return unsafe { hardware(seed, bytes) };
    }
    software(seed, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn hardware(seed: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};
    let mut crc = u64::from(!seed);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
    }
    let mut crc = crc as u32;
    for &byte in tail {
        crc = _mm_crc32_u8(crc, byte);
    }
    !crc
}

fn software(seed: u32, bytes: &[u8]) -> u32 {
    let mut crc = !seed;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = u64::from_le_bytes(*word) ^ u64::from(crc);
        crc = 0;
        for (i, table) in TABLES.iter().rev().enumerate() {
            crc ^= table[((mixed >> (8 * i)) & 0xFF) as usize];
        }
    }
    for &byte in tail {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_and_rfc_3720_vectors() {
        for crc in [crc32c, software] {
            assert_eq!(crc(0, b"123456789"), 0xE306_9283);
            assert_eq!(crc(0, &[0; 32]), 0x8A91_36AA);
            assert_eq!(crc(0, &[0xFF; 32]), 0x62A8_AB43);
            let ascending: Vec<u8> = (0..32).collect();
            assert_eq!(crc(0, &ascending), 0x46DD_794E);
        }
    }

    #[test]
    fn continues_and_agrees_with_the_table_at_every_length() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 37 % 251) as u8).collect();
        for cut in 0..bytes.len() {
            assert_eq!(
                crc32c(crc32c(0, &bytes[..cut]), &bytes[cut..]),
                software(0, &bytes)
            );
        }
    }
}
