//! A budget's period, its time zone and an instant in; the calendar window it belongs to and the name of that window's ledger out.

use super::super::table::Period;
use jiff::{Span, Timestamp, ToSpan, Zoned, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One window of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// `2026-11-20`, `2026-W47`, `2026-11` or `once`; the same for the whole window.
    pub id: String,
    /// First instant, Unix milliseconds.
    pub start_ms: i64,
    /// First instant after it; absent: it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
}

/// Why a window could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not in the IANA database.
    #[error("{0:?} is not a time zone: use a name of the IANA database, like \"Europe/Berlin\" or \"UTC\"")]
    TimeZone(String),
    /// Beyond what a calendar holds.
    #[error("{0} ms is outside the calendar: set the clock")]
    Instant(i64),
}

impl Window {
    /// The window of `period` in the time zone that `now_ms` lies in. Days begin at the first instant of their date, weeks on Monday.
    pub fn at(period: Period, time_zone: &str, now_ms: i64) -> Result<Self, WindowError> {
        let zone = time_zone_named(time_zone)?;
        let bad = |_| WindowError::Instant(now_ms);
        let today = Timestamp::from_millisecond(now_ms).map_err(bad)?.to_zoned(zone.clone()).date();
        let (first, length, id): (Date, Span, String) = match period {
            Period::Once => return Ok(Self { id: "once".into(), start_ms: 0, end_ms: None }),
            Period::Daily => (today, 1.day(), today.to_string()),
            Period::Weekly => {
                let week = today.iso_week_date();
                let back = i64::from(today.weekday().to_monday_zero_offset());
                let monday = today.checked_sub(back.days()).map_err(bad)?;
                (monday, 7.days(), format!("{:04}-W{:02}", week.year(), week.week()))
            }
            Period::Monthly => (today.first_of_month(), 1.month(), format!("{:04}-{:02}", today.year(), today.month())),
        };
        let midnight = |date: Date| -> Result<i64, jiff::Error> {
            let begins: Zoned = date.to_zoned(zone.clone())?.start_of_day()?;
            Ok(begins.timestamp().as_millisecond())
        };
        let end = first.checked_add(length).map_err(bad)?;
        Ok(Self { id, start_ms: midnight(first).map_err(bad)?, end_ms: Some(midnight(end).map_err(bad)?) })
    }

    /// Whether it is over.
    #[must_use]
    pub fn ended(&self, now_ms: i64) -> bool {
        now_ms >= self.ends_ms()
    }

    /// First instant after it, as the control channel carries it: the largest number for never.
    #[must_use]
    pub fn ends_ms(&self) -> i64 {
        self.end_ms.unwrap_or(i64::MAX)
    }

    /// The name of this window's ledger of a budget: a DNS label, another for every namespace, budget and window.
    #[must_use]
    pub fn ledger_name(&self, namespace: &str, budget: &str) -> String {
        let mut hash = Sha256::new();
        for part in [namespace, budget, &self.id] {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        format!("ledger-{}", hex::encode(&hash.finalize()[..16]))
    }
}

/// The time zone of that IANA name, from the database inside the program.
pub fn time_zone_named(name: &str) -> Result<TimeZone, WindowError> {
    TimeZone::get(name).map_err(|_| WindowError::TimeZone(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(instant: &str) -> i64 {
        instant.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn window(period: Period, zone: &str, now: &str) -> (String, String, String) {
        let window = Window::at(period, zone, ms(now)).unwrap();
        let text = |ms: i64| Timestamp::from_millisecond(ms).unwrap().to_string();
        (window.id.clone(), text(window.start_ms), text(window.ends_ms()))
    }

    #[test]
    fn windows_are_those_of_the_calendar_in_the_time_zone() {
        for (period, zone, now, id, start, end) in [
            (
                Period::Daily,
                "UTC",
                "2026-11-20T07:15:00Z",
                "2026-11-20",
                "2026-11-20T00:00:00Z",
                "2026-11-21T00:00:00Z",
            ),
            (
                Period::Daily,
                "Asia/Tokyo",
                "2026-11-20T15:00:00Z",
                "2026-11-21",
                "2026-11-20T15:00:00Z",
                "2026-11-21T15:00:00Z",
            ),
            (Period::Weekly, "UTC", "2026-11-22T23:59:59Z", "2026-W47", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
            (Period::Weekly, "UTC", "2026-11-23T00:00:00Z", "2026-W48", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            (Period::Weekly, "UTC", "2027-01-01T12:00:00Z", "2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
            (
                Period::Monthly,
                "America/New_York",
                "2026-12-01T04:59:59Z",
                "2026-11",
                "2026-11-01T04:00:00Z",
                "2026-12-01T05:00:00Z",
            ),
            (Period::Monthly, "UTC", "2028-02-29T10:00:00Z", "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            assert_eq!(window(period, zone, now), (id.into(), start.into(), end.into()), "{period:?} {zone} {now}");
        }
    }

    #[test]
    fn days_have_23_or_25_hours_when_clocks_change() {
        let hours = |now: &str| {
            let window = Window::at(Period::Daily, "Europe/Berlin", ms(now)).unwrap();
            (window.ends_ms() - window.start_ms) / 3_600_000
        };
        assert_eq!(
            (hours("2026-03-29T10:00:00Z"), hours("2026-10-25T10:00:00Z"), hours("2026-07-01T10:00:00Z")),
            (23, 25, 24)
        );
        // In Beirut the day of the change has no midnight: it begins at one.
        let (_, start, end) = window(Period::Daily, "Asia/Beirut", "2026-03-29T10:00:00Z");
        assert_eq!((start.as_str(), end.as_str()), ("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"));
    }

    #[test]
    fn a_day_without_a_midnight_begins_at_its_first_instant() {
        for (zone, day, start, end) in [
            // Clocks go from 24:00 to 1:00.
            ("America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"),
            ("Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
            // Clocks go back from 24:00 to 23:00: the day before has 25 hours.
            ("America/Santiago", "2026-04-04T12:00:00Z", "2026-04-04T03:00:00Z", "2026-04-05T04:00:00Z"),
            ("Africa/Cairo", "2026-10-29T12:00:00Z", "2026-10-28T21:00:00Z", "2026-10-29T22:00:00Z"),
        ] {
            let (_, from, to) = window(Period::Daily, zone, day);
            assert_eq!((from.as_str(), to.as_str()), (start, end), "{zone} {day}");
        }
    }

    #[test]
    fn weeks_and_months_meet_across_years_and_changes_of_the_clock() {
        let berlin = |period, now| window(period, "Europe/Berlin", now);
        for (period, now, id, start, end) in [
            (Period::Weekly, "2025-12-31T23:30:00Z", "2026-W01", "2025-12-28T23:00:00Z", "2026-01-04T23:00:00Z"),
            (Period::Weekly, "2027-01-03T22:59:59Z", "2026-W53", "2026-12-27T23:00:00Z", "2027-01-03T23:00:00Z"),
            (Period::Weekly, "2026-03-29T10:00:00Z", "2026-W13", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Period::Monthly, "2026-12-31T22:59:59Z", "2026-12", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"),
            (Period::Monthly, "2026-12-31T23:00:00Z", "2027-01", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"),
            (Period::Monthly, "2026-10-25T01:30:00Z", "2026-10", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ] {
            assert_eq!(berlin(period, now), (id.into(), start.into(), end.into()), "{period:?} {now}");
        }
    }

    #[test]
    fn every_instant_lies_in_its_window_and_windows_meet() {
        for period in [Period::Daily, Period::Weekly, Period::Monthly] {
            let mut now = ms("2026-01-01T00:00:00Z");
            for _ in 0..60 {
                let window = Window::at(period, "America/Sao_Paulo", now).unwrap();
                assert!(window.start_ms <= now && now < window.ends_ms() && !window.ended(now));
                assert!(window.ended(window.ends_ms()));
                let next = Window::at(period, "America/Sao_Paulo", window.ends_ms()).unwrap();
                assert_eq!((next.start_ms, next.id != window.id), (window.ends_ms(), true));
                assert_eq!(Window::at(period, "America/Sao_Paulo", window.ends_ms() - 1).unwrap(), window);
                now = window.ends_ms();
            }
        }
    }

    #[test]
    fn once_never_ends() {
        let window = Window::at(Period::Once, "UTC", 5).unwrap();
        assert_eq!((window.id.as_str(), window.ends_ms(), window.ended(i64::MAX - 1)), ("once", i64::MAX, false));
    }

    #[test]
    fn an_unknown_time_zone_is_named() {
        let error = Window::at(Period::Daily, "Mars/Olympus", 0).unwrap_err();
        assert_eq!(error, WindowError::TimeZone("Mars/Olympus".into()));
        assert!(matches!(Window::at(Period::Daily, "UTC", i64::MAX), Err(WindowError::Instant(_))));
    }

    #[test]
    fn ledger_names_are_labels_and_differ() {
        let of = |id: &str| Window { id: id.into(), ..Window::default() };
        let name = of("2026-11").ledger_name("team", "budget");
        assert!(
            name.len() <= 63 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{name}"
        );
        assert_eq!(of("2026-11").ledger_name("team", "budget"), name);
        for other in [of("2026-12").ledger_name("team", "budget"), of("2026-11").ledger_name("teambud", "get")] {
            assert_ne!(other, name);
        }
    }
}
