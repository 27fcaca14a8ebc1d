//! Time spans as text in, milliseconds within a field's limits out.

use super::Errors;
use tollway_crds::Duration;

/// One second.
pub const SECOND: u64 = 1000;
/// One minute.
pub const MINUTE: u64 = 60 * SECOND;
/// One hour.
pub const HOUR: u64 = 60 * MINUTE;

/// Milliseconds of `500ms`, `300s`, `5m` or `1h`; `None`: something else.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let each = match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(each)
}

impl Errors {
    /// The milliseconds of a field, or its default when it is left out or wrong.
    pub fn duration(
        &mut self,
        field: &Option<Duration>,
        path: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(duration) = field else { return default };
        match milliseconds(duration.as_str()) {
            Some(ms) if range.contains(&ms) => ms,
            Some(_) => {
                self.wrong(
                    path,
                    format!("{duration} is out of range: give {} to {}", shown(*range.start()), shown(*range.end())),
                );
                default
            }
            None => {
                self.wrong(
                    path,
                    format!("{:?} is no time span: write a number and ms, s, m or h, such as 300s", duration.as_str()),
                );
                default
            }
        }
    }
}

fn shown(ms: u64) -> String {
    match ms {
        _ if ms >= HOUR && ms.is_multiple_of(HOUR) => format!("{}h", ms / HOUR),
        _ if ms >= MINUTE && ms.is_multiple_of(MINUTE) => format!("{}m", ms / MINUTE),
        _ if ms.is_multiple_of(SECOND) => format!("{}s", ms / SECOND),
        _ => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::{milliseconds, shown};

    #[test]
    fn spans_are_read_and_shown() {
        for (text, ms) in [("500ms", 500), ("0s", 0), ("300s", 300_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        for text in ["", "5", "s", "1.5s", "-1s", "5 m", "5d", "99999999999999999999h"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
        assert_eq!([0, 1, 1000, 60_000, 90_000, 86_400_000].map(shown), ["0s", "1ms", "1s", "1m", "90s", "24h"]);
    }
}
