//! Eight pairs in a register: AVX-512.

use std::arch::x86_64::*;

use super::average::{Row, Sums};
use super::course::{Block, Prices};
use super::lane::{LANES, Lanes};
use super::{Found, Rule};

/// Whether the processor has what this is compiled for.
pub fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("popcnt")
}

#[target_feature(enable = "avx512f,avx512dq,popcnt")]
pub fn swept(prices: &Prices, sums: &Sums, pairs: &[(u32, u32)], rule: Rule) -> Vec<Found> {
    super::sweep(
        prices,
        sums,
        pairs,
        rule,
        |one, other, bits| above(one, other, bits),
        |lanes, words, block| advance(lanes, words, block),
    )
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn above(one: &Row, other: &Row, bits: &mut [u8; 8]) {
    for (at, bits) in bits.iter_mut().enumerate() {
        let (one, other) = (eight(&one.0[8 * at..][..8]), eight(&other.0[8 * at..][..8]));
        *bits = _mm512_cmp_pd_mask::<_CMP_GT_OQ>(one, other);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn eight(values: &[f64]) -> __m512d {
    assert!(values.len() >= 8);
    // SAFETY: there are eight.
    unsafe { _mm512_loadu_pd(values.as_ptr()) }
}

/// The number of each course in `table`.
#[inline]
#[target_feature(enable = "avx512f")]
fn pick(table: &[f64; 16], courses: __m512i) -> __m512d {
    _mm512_permutex2var_pd(eight(&table[..8]), courses, eight(&table[8..]))
}

/// As `lane::advance`, in the same order, so with the same results.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn advance(lanes: &mut Lanes, words: &[u64; LANES], block: &Block) {
    let mut grown = eight(&lanes.grown);
    let mut peak = eight(&lanes.peak);
    let mut inverse = eight(&lanes.inverse);
    let mut fall = eight(&lanes.fall);
    let mut sum = eight(&lanes.sum);
    let mut square = eight(&lanes.square);
    let mut shallowest = _mm512_reduce_max_pd(fall);
    // SAFETY: eight words. Only the four lowest bits of a course are looked at.
    let mut courses = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
    for (step, deepest) in block.steps.iter().zip(&block.deepest) {
        let lowest = _mm512_mul_pd(grown, pick(&step.low, courses));
        fall = _mm512_min_pd(_mm512_mul_pd(lowest, inverse), fall);
        if *deepest < shallowest {
            fall = _mm512_min_pd(pick(&step.fall, courses), fall);
            shallowest = _mm512_reduce_max_pd(fall);
        }
        let highest = _mm512_mul_pd(grown, pick(&step.high, courses));
        if _mm512_cmp_pd_mask::<_CMP_GT_OQ>(highest, peak) != 0 {
            peak = _mm512_max_pd(highest, peak);
            inverse = _mm512_div_pd(_mm512_set1_pd(1.0), peak);
        }
        grown = _mm512_mul_pd(grown, pick(&step.growth, courses));
        sum = _mm512_add_pd(sum, pick(&step.sum, courses));
        square = _mm512_add_pd(square, pick(&step.square, courses));
        courses = _mm512_srli_epi64::<3>(courses);
    }
    for (place, values) in [
        (&mut lanes.grown, grown),
        (&mut lanes.peak, peak),
        (&mut lanes.inverse, inverse),
        (&mut lanes.fall, fall),
        (&mut lanes.sum, sum),
        (&mut lanes.square, square),
    ] {
        // SAFETY: the place is of eight.
        unsafe { _mm512_storeu_pd(place.as_mut_ptr(), values) };
    }
}
