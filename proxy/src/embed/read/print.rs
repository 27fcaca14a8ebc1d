//! Numbers of a vector in; a JSON array out, quickly where the vector's length is 1.

use bytes::{Bytes, BytesMut};

/// Added to a double that is not negative and below 2^32, it leaves the nearest whole number in the lowest 32 bits.
const WHOLE: f64 = 4_503_599_627_370_496.0;
/// Bytes of a number with its comma and without its sign.
const LENGTH: usize = 12;
/// Bits of a fixed-point number below its point; the ten above hold three digits.
const POINT: u32 = 54;
const FRACTION: u64 = (1 << POINT) - 1;
/// A millionth, too large by so little that no digit of a number below 2^30 shows it.
const MILLIONTH: u64 = (1 << POINT) / 1_000_000 + 1;
/// `ddd,` of each number below a thousand.
static THREE: [u32; 1024] = {
    let mut all = [0; 1024];
    let mut at = 0;
    while at < 1024_u32 {
        all[at as usize] = 0x2c30_3030 | (at / 100 % 10) | (at / 10 % 10) << 8 | (at % 10) << 16;
        at += 1;
    }
    all
};

/// Numbers as a JSON array, each in the shortest form that reads back as the same.
pub fn shortest(numbers: &[f32]) -> Bytes {
    Bytes::from(serde_json::to_vec(numbers).unwrap_or_default())
}

/// Numbers times `scale`, of which none is then above 1 or below -1, as a JSON array, each with nine decimals: as many as single precision
/// can tell apart from a sixty-fourth on, and more than twice as fast as the shortest form.
/// It is made in `room`, which is given the space of so many more when it has none.
pub fn unit(numbers: &[f32], scale: f64, room: &mut BytesMut, more: usize) -> Bytes {
    let most = (1 + LENGTH) * numbers.len() + 2;
    if room.capacity() < most {
        *room = BytesMut::with_capacity(most * (more + 1));
    }
    room.resize(most, 0);
    let text = room.as_mut();
    let mut at = 1;
    for number in numbers {
        let scaled = f64::from(*number) * scale;
        let word = billionths((scaled.abs() * 1e9 + WHOLE).to_bits() & 0xffff_ffff).to_le_bytes();
        // A sign that is none is covered by what follows: whether there is one, no processor could guess.
        if let Some(sign) = text.get_mut(at) {
            *sign = b'-';
        }
        at += usize::from(scaled.is_sign_negative());
        if let (Some(free), Some(word)) = (text.get_mut(at..at + LENGTH), word.get(..LENGTH)) {
            free.copy_from_slice(word);
        }
        at += LENGTH;
    }
    // The first bracket, and the last in the place of a comma.
    let end = at.max(2);
    for (place, bracket) in [(0, b'['), (end - 1, b']')] {
        if let Some(byte) = text.get_mut(place) {
            *byte = bracket;
        }
    }
    room.truncate(end);
    room.split().freeze()
}

/// `d.ddddddddd,` of a billion billionths at most, the first character in the lowest byte.
fn billionths(number: u64) -> u128 {
    // Three digits stand above the point; what is below it, times a thousand, has the next three there.
    let first = number.wrapping_mul(MILLIONTH);
    let second = (first & FRACTION) * 1000;
    let third = (second & FRACTION) * 1000;
    let whole = u64::from(first >= 1000 << POINT);
    let head = (0x2e30 + whole) | (three(first) & 0xff_ffff) << 16 | three(second) << 40;
    u128::from(head) | u128::from(three(third)) << 64
}

fn three(fixed: u64) -> u64 {
    THREE[(fixed >> POINT) as usize].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_look_as_json_wants_them() {
        let text =
            |numbers: &[f32], scale| String::from_utf8(unit(numbers, scale, &mut BytesMut::new(), 0).to_vec()).unwrap();
        assert_eq!(text(&[3.0, -4.0], 0.2), "[0.600000000,-0.800000000]");
        assert_eq!(text(&[-5.0, 0.0, -0.0], 0.2), "[-1.000000000,0.000000000,-0.000000000]");
        assert_eq!(text(&[], 1.0), "[]");
        assert_eq!(text(&[1e-12, 0.123_456_79], 1.0), "[0.000000000,0.123456791]");
    }

    #[test]
    fn every_digit_of_a_number_of_billionths_is_its_own() {
        let print = |number: u64| String::from_utf8(billionths(number).to_le_bytes()[..LENGTH].to_vec()).unwrap();
        let around = (0..=1000)
            .flat_map(|thousand| [0, 1, 999, 1000, 1001, 499_999, 999_999].map(|rest| thousand * 1_000_000 + rest));
        let spread = (0..1_000_000).map(|at| at * 999_983 % 1_000_000_000);
        for number in around.chain(spread).chain([1_000_000_000]).filter(|number| *number <= 1_000_000_000) {
            let (whole, rest) = (number / 1_000_000_000, number % 1_000_000_000);
            assert_eq!(print(number), format!("{whole}.{rest:09},"));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_to_half_a_billionth(numbers in prop::collection::vec(-1.0_f32..=1.0, 0..40)) {
            let text = unit(&numbers, 1.0, &mut BytesMut::new(), 0);
            let back: Vec<f64> = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(back.len(), numbers.len());
            for (back, number) in back.iter().zip(&numbers) {
                prop_assert!((back - f64::from(*number)).abs() <= 5.1e-10, "{} {}", back, number);
            }
        }
    }
}
