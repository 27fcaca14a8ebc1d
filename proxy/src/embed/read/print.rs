//! Numbers of a vector in; a JSON array out, quickly where the vector's length is 1.

use bytes::Bytes;

/// Added to a double that is not negative and below 2^32, it leaves the nearest whole number in the lowest 32 bits.
const WHOLE: f64 = 4_503_599_627_370_496.0;
/// Bytes of the longest number with its comma; what one is written with, before the next one covers what is too much.
const LONGEST: usize = 13;
const SPILL: usize = 16;

/// Numbers as a JSON array, each in the shortest form that reads back as the same.
pub fn shortest(numbers: &[f32]) -> Bytes {
    Bytes::from(serde_json::to_vec(numbers).unwrap_or_default())
}

/// Numbers times `scale`, of which none is then above 1 or below -1, as a JSON array, each with nine decimals: as many as single precision
/// can tell apart from a sixty-fourth on, and more than twice as fast as the shortest form.
pub fn unit(numbers: &[f32], scale: f64) -> Bytes {
    let mut text = vec![0_u8; LONGEST * numbers.len() + SPILL + 1];
    let mut at = 1;
    for number in numbers {
        let scaled = f64::from(*number) * scale;
        let negative = scaled.is_sign_negative();
        let word = billionths((scaled.abs() * 1e9 + WHOLE).to_bits());
        let word = if negative { (word << 8) | u128::from(b'-') } else { word };
        if let Some(free) = text.get_mut(at..at + SPILL) {
            free.copy_from_slice(&word.to_le_bytes());
        }
        at += LONGEST - usize::from(!negative);
    }
    // The first bracket, and the last in the place of a comma.
    let end = at.max(2);
    text.truncate(end);
    for (place, bracket) in [(0, b'['), (end - 1, b']')] {
        if let Some(byte) = text.get_mut(place) {
            *byte = bracket;
        }
    }
    Bytes::from(text)
}

/// `d.ddddddddd,` of a number of billionths in the lowest 32 bits, the first character in the lowest byte: eight digits at once.
const fn billionths(bits: u64) -> u128 {
    let all = bits & 0xffff_ffff;
    let (whole, fraction) = (all / 1_000_000_000, all % 1_000_000_000);
    let (first, rest) = (fraction / 100_000_000, fraction % 100_000_000);
    // Four and four, then pairs, then single digits, each in a field of its own.
    let fours = (rest / 10_000) | ((rest % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = (tens | ((pairs - tens * 10) << 8)) + 0x3030_3030_3030_3030;
    let head = (b'0' as u64 + whole) | ((b'.' as u64) << 8) | ((b'0' as u64 + first) << 16);
    head as u128 | ((digits as u128) << 24) | ((b',' as u128) << 88)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_look_as_json_wants_them() {
        let text = |numbers: &[f32], scale| String::from_utf8(unit(numbers, scale).to_vec()).unwrap();
        assert_eq!(text(&[3.0, -4.0], 0.2), "[0.600000000,-0.800000000]");
        assert_eq!(text(&[-5.0, 0.0, -0.0], 0.2), "[-1.000000000,0.000000000,-0.000000000]");
        assert_eq!(text(&[], 1.0), "[]");
        assert_eq!(text(&[1e-12, 0.123_456_79], 1.0), "[0.000000000,0.123456791]");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_to_half_a_billionth(numbers in prop::collection::vec(-1.0_f32..=1.0, 0..40)) {
            let text = unit(&numbers, 1.0);
            let back: Vec<f64> = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(back.len(), numbers.len());
            for (back, number) in back.iter().zip(&numbers) {
                prop_assert!((back - f64::from(*number)).abs() <= 5.1e-10, "{} {}", back, number);
            }
        }
    }
}
