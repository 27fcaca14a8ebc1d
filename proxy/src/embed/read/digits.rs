//! Some bytes of a number in, the value of all their digits at once out.
//!
//! # Why no byte after byte
//! A vector's numbers differ in sign and length, so a loop over digits ends where no processor guesses, and each wrong guess costs as much
//! as reading the number. Words of eight bytes are read without any such question.

/// Powers of ten by the number of places above eight.
const PLACES: [f64; 5] = [1e8, 1e9, 1e10, 1e11, 1e12];
/// As many bytes, the highest of four.
const BEFORE: [u64; 5] = [0, 0xff00_0000, 0xffff_0000, 0xffff_ff00, 0xffff_ffff];
/// The bits of 2^52, a double whose lowest bits count whole numbers.
const WHOLE: u64 = 0x4330_0000_0000_0000;
const ZEROS: u64 = 0x3030_3030_3030_3030;
const COMMAS: u64 = 0x2c2c_2c2c_2c2c_2c2c;
/// `0.`
const POINT: u64 = 0x2e30;
/// So many bytes before a number are looked at together with it.
pub const BACK: usize = 8;

/// The number that begins [`BACK`] bytes into the window, and its length with its comma, if it is what nearly all are: below one, of eight
/// to twelve places, without an exponent.
pub fn fraction(window: &[u8; 24]) -> Option<(f32, usize)> {
    // A comma before that one is no digit, and found below.
    let (begin, comma) = (word(window, BACK), zeros(word(window, BACK + 8) ^ COMMAS));
    if comma == 0 {
        return None;
    }
    let end = 16 + ((comma.trailing_zeros() as usize / 8) & 7);
    // A minus is odd, and a zero is even.
    let negative = begin & 1;
    let places = end - 10 - negative as usize;
    let more = places.wrapping_sub(8);
    if begin & 0xff != 0x30 - 3 * negative || begin >> (8 * negative) & 0xffff != POINT || more >= PLACES.len() {
        return None;
    }
    // The last eight places, and those before them.
    let last = word(window, end - 8) ^ ZEROS;
    let before = (word(window, end - 16) ^ ZEROS) >> 32 & BEFORE[more];
    if (others(last) | others(before)) != 0 {
        return None;
    }
    let mantissa = four_digits(before) * 100_000_000 + eight_digits(last);
    #[allow(clippy::cast_possible_truncation)]
    let value = ((f64::from_bits(WHOLE | mantissa) - f64::from_bits(WHOLE)) / PLACES[more]) as f32;
    Some((f32::from_bits(value.to_bits() | (negative as u32) << 31), end - 7))
}

fn word(bytes: &[u8; 24], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

/// The highest bit of the first byte that is zero; bytes above it may be marked wrongly.
const fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(0x0101_0101_0101_0101) & !bytes & 0x8080_8080_8080_8080
}

/// None if every byte is below ten.
const fn others(bytes: u64) -> u64 {
    (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080
}

/// The number that eight characters make, if all are digits.
pub fn eight(text: &[u8; 8]) -> Option<u64> {
    let digits = u64::from_le_bytes(*text) ^ ZEROS;
    (others(digits) == 0).then(|| eight_digits(digits))
}

/// The number that eight digits make, the first in the lowest byte: pairs, then fours, then all.
const fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(1 + (100 << 16)) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(1 + (10_000 << 32)) >> 32
}

/// The same of the lower four bytes.
const fn four_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(1 + (10 << 8)) >> 8 & 0x00ff_00ff;
    pairs.wrapping_mul(1 + (100 << 16)) >> 16 & 0xffff
}
