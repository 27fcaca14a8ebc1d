//! `Nano`: an amount of US dollars as an unsigned integer of nano-dollars; decimal text in, decimal text out, never a float.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Nano-dollars in one dollar.
pub const NANOS_PER_DOLLAR: u64 = 1_000_000_000;

/// An amount of money in nano-dollars (1 USD = 1 000 000 000). Additions saturate: an amount too large to hold is never small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Nano(pub u64);

/// Kubernetes keeps an integer above `i64::MAX` as a float, which would make a ledger unreadable: an amount above nine billion
/// dollars is written as the largest that is kept.
impl Serialize for Nano {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.min(i64::MAX.unsigned_abs()))
    }
}

/// Why a decimal amount could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not of the form `123` or `123.456`.
    #[error("{0:?} is not a decimal amount: write digits and at most one point, like \"12.50\"")]
    NotDecimal(String),
    /// More digits after the point than nano-dollars can hold.
    #[error("{0:?} has more than 9 digits after the point: a nano-dollar is the smallest amount")]
    TooPrecise(String),
    /// Larger than 18 billion dollars.
    #[error("{0:?} is larger than an amount can be (18446744073.709551615)")]
    TooLarge(String),
}

impl Nano {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(u64::MAX);

    /// Sum, held at the largest amount rather than wrapped.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// Difference, held at zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Nano {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::plus)
    }
}

impl std::str::FromStr for Nano {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (fraction.is_empty() && text.contains('.')) {
            return Err(AmountError::NotDecimal(text.to_owned()));
        }
        let significant = fraction.trim_end_matches('0');
        if significant.len() > 9 {
            return Err(AmountError::TooPrecise(text.to_owned()));
        }
        let too_large = || AmountError::TooLarge(text.to_owned());
        let dollars: u64 = whole.parse().map_err(|_| too_large())?;
        let nanos: u64 = format!("{significant:0<9}").parse().map_err(|_| too_large())?;
        dollars.checked_mul(NANOS_PER_DOLLAR).and_then(|d| d.checked_add(nanos)).map(Self).ok_or_else(too_large)
    }
}

/// Plain decimal dollars with at least two digits after the point: `0.00`, `1.50`, `0.000000035`.
impl fmt::Display for Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % NANOS_PER_DOLLAR);
        let shown = fraction.trim_end_matches('0');
        write!(f, "{}.{shown:0<2}", self.0 / NANOS_PER_DOLLAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_round_trips() {
        for (text, nanos, shown) in [
            ("0", 0, "0.00"),
            ("1.5", 1_500_000_000, "1.50"),
            ("0.000000035", 35, "0.000000035"),
            ("100.00", 100_000_000_000, "100.00"),
            ("18446744073.709551615", u64::MAX, "18446744073.709551615"),
        ] {
            let amount: Nano = text.parse().unwrap();
            assert_eq!((amount, amount.to_string().as_str()), (Nano(nanos), shown));
        }
    }

    #[test]
    fn what_is_stored_is_an_integer_that_kubernetes_keeps() {
        assert_eq!(serde_json::to_string(&Nano(35)).unwrap(), "35");
        assert_eq!(serde_json::to_string(&Nano::MAX).unwrap(), i64::MAX.to_string());
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000001", "18446744073.709551616", " 1"] {
            assert!(text.parse::<Nano>().is_err(), "{text:?} was read as an amount");
        }
    }
}
