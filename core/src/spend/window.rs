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
