//! Bytes of JSON in, the few things a list of vectors consists of out, one after another; nothing is read twice.

use super::Wrong;
use super::digits::{BACK, eight, fraction};
use serde::de::IgnoredAny;

/// Digits whose value surely fits a `u64`.
const MOST_DIGITS: usize = 19;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A place in the bytes.
#[derive(Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next thing begins.
    pub fn at(&mut self) -> usize {
        self.space();
        self.at
    }

    pub const fn wrong(&self, what: &'static str) -> Wrong {
        Wrong::Form { what, at: self.at }
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    pub fn peek(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    /// Whether these bytes come next, spaces between them aside; nothing is taken.
    pub fn ahead(&self, wanted: &[u8]) -> bool {
        let mut look = Self { ..*self };
        wanted.iter().all(|byte| look.take(*byte).is_ok())
    }

    pub fn take(&mut self, wanted: u8) -> Result<(), Wrong> {
        if self.peek() != Some(wanted) {
            return Err(self.wrong(match wanted {
                b'[' => "no list",
                b'{' => "no object",
                _ => "a mark is missing",
            }));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether a list has another item, after so many; its end is taken.
    pub fn more(&mut self, items: usize) -> Result<bool, Wrong> {
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(false);
        }
        if items > 0 {
            self.take(b',')?;
        }
        Ok(true)
    }

    /// The next key of an object, its colon taken; none at its end, which is taken too.
    pub fn key(&mut self) -> Result<Option<&'a [u8]>, Wrong> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') => self.at += 1,
            _ => {}
        }
        let begin = self.at() + 1;
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.wrong("no key"));
        }
        self.skip()?;
        let key = self.bytes.get(begin..self.at - 1).unwrap_or_default();
        self.take(b':')?;
        Ok(Some(key))
    }

    /// Passes over one value.
    pub fn skip(&mut self) -> Result<(), Wrong> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            _ => Err(self.wrong("a value that is no JSON")),
        }
    }

    /// A whole number.
    pub fn whole(&mut self) -> Result<u64, Wrong> {
        let begin = self.at();
        self.skip()?;
        let text = self.bytes.get(begin..self.at).and_then(|digits| std::str::from_utf8(digits).ok());
        text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| self.wrong("no whole number"))
    }

    /// A whole number of an object, if it has it; the object is taken.
    pub fn number_in(&mut self, wanted: &[u8]) -> Result<Option<u64>, Wrong> {
        if self.peek() != Some(b'{') {
            self.skip()?;
            return Ok(None);
        }
        self.at += 1;
        let mut found = None;
        while let Some(key) = self.key()? {
            if key == wanted { found = Some(self.whole()?) } else { self.skip()? }
        }
        Ok(found)
    }

    /// Nothing follows.
    pub fn end(&mut self) -> Result<(), Wrong> {
        if self.peek().is_some() { Err(self.wrong("something after its end")) } else { Ok(()) }
    }

    /// The numbers of a list whose opening bracket is behind.
    pub fn numbers(&mut self, numbers: &mut Vec<f32>) -> Result<(), Wrong> {
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.fractions(numbers);
            self.space();
            numbers.push(self.number()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("a mark is missing")),
            }
        }
    }

    /// The numbers that look as nearly all do, each with its comma, up to the first that does not.
    fn fractions(&mut self, numbers: &mut Vec<f32>) {
        let Some(mut from) = self.at.checked_sub(BACK) else { return };
        while let Some((number, length)) = self.bytes.get(from..).and_then(<[u8]>::first_chunk).and_then(fraction) {
            numbers.push(number);
            from += length;
            if self.bytes.get(from + BACK) == Some(&b' ') {
                from += 1;
            }
        }
        self.at = from + BACK;
    }

    fn number(&mut self) -> Result<f32, Wrong> {
        let begin = self.at;
        let negative = self.bytes.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let whole = self.at;
        let mut mantissa = 0_u64;
        self.digits(&mut mantissa);
        let mut digits = self.at - whole;
        if digits == 0 || (digits > 1 && self.bytes.get(whole) == Some(&b'0')) {
            return Err(self.wrong("no number"));
        }
        let mut exponent = 0_i64;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            let fraction = self.at;
            self.digits(&mut mantissa);
            let places = self.at - fraction;
            if places == 0 {
                return Err(self.wrong("no number"));
            }
            digits += places;
            exponent = -i64::try_from(places).unwrap_or(i64::MAX);
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.bytes.get(self.at) == Some(&b'-');
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'-' | b'+')));
            let (start, mut power) = (self.at, 0_u64);
            self.digits(&mut power);
            match self.at - start {
                1..=8 => {
                    let power = i64::try_from(power).unwrap_or(0);
                    exponent = exponent.saturating_add(if minus { -power } else { power });
                }
                _ => return Err(self.wrong("no number")),
            }
        }
        let power = usize::try_from(exponent.unsigned_abs()).ok().and_then(|at| POWERS.get(at));
        let value = match power {
            Some(power) if digits <= MOST_DIGITS => {
                #[allow(clippy::cast_precision_loss)]
                let whole = mantissa as f64;
                let value = if exponent < 0 { whole / power } else { whole * power };
                if negative { -value } else { value }
            }
            _ => {
                let text = self.bytes.get(begin..self.at).and_then(|text| std::str::from_utf8(text).ok());
                text.and_then(|text| text.parse().ok()).ok_or_else(|| self.wrong("no number"))?
            }
        };
        #[allow(clippy::cast_possible_truncation)]
        let value = value as f32;
        if value.is_finite() { Ok(value) } else { Err(self.wrong("a number too large for a vector")) }
    }

    /// Takes digits into a value, eight at a time where there are as many; past what fits, the value means nothing.
    fn digits(&mut self, value: &mut u64) {
        while let Some(text) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let Some(number) = eight(text) else { break };
            *value = value.wrapping_mul(100_000_000).wrapping_add(number);
            self.at += 8;
        }
        while let Some(digit) = self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            *value = value.wrapping_mul(10).wrapping_add(digit.into());
            self.at += 1;
        }
    }
}
