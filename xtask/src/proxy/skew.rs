//! A server's clock that is not that of its clients: dates as requests and answers have them.

use super::head::Head;
use crate::time::wall_seconds;

/// So far apart the date of a request may be from the server's ("Error responses", `RequestTimeTooSkewed`, Amazon S3 API
/// reference).
const TAKEN_SECS: i64 = 900;

const DAY: i64 = 86_400;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What a clock shows that goes so many seconds ahead, as answers have it.
pub(super) fn date_ahead(secs: i64) -> String {
    http_date(seconds() + secs)
}

/// Whether a server whose clock goes so many seconds ahead refuses a request for its date; one without a date is not refused.
pub(super) fn is_refused(request: &Head, secs: i64) -> bool {
    let signed = request.header("x-amz-date").and_then(stamp);
    signed.is_some_and(|signed| (seconds() + secs - signed).abs() > TAKEN_SECS)
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds of this age")]
fn seconds() -> i64 {
    wall_seconds() as i64
}

/// Reads `20130524T000000Z`.
fn stamp(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let day = days(part(0, 4)?, part(4, 6)?, part(6, 8)?);
    Some(day * DAY + part(9, 11)? * 3600 + part(11, 13)? * 60 + part(13, 15)?)
}

/// Days from 1970 to a date of the Gregorian calendar: "days_from_civil" of Howard Hinnant's "chrono-Compatible Low-Level Date
/// Algorithms".
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// As `Fri, 24 May 2013 00:00:00 GMT`.
fn http_date(at: i64) -> String {
    let (day, second) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    // The month that has it: there are few, and no table is needed.
    let mut year = 1970 + day / 366;
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|&month| days(year, month, 1) <= day);
    let month = month.unwrap_or(1);
    let named = |names: &[&'static str], at: i64| {
        names[usize::try_from(at).unwrap_or_default() % names.len()]
    };
    format!(
        "{}, {:02} {} {year} {:02}:{:02}:{:02} GMT",
        named(&DAYS, day.rem_euclid(7)),
        day - days(year, month, 1) + 1,
        named(&MONTHS, month - 1),
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        for (stamped, at, written) in [
            ("19700101T000000Z", 0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (
                "20130524T000000Z",
                1_369_353_600,
                "Fri, 24 May 2013 00:00:00 GMT",
            ),
            (
                "20240229T235959Z",
                1_709_251_199,
                "Thu, 29 Feb 2024 23:59:59 GMT",
            ),
            (
                "20991231T123456Z",
                4_102_403_696,
                "Thu, 31 Dec 2099 12:34:56 GMT",
            ),
        ] {
            assert_eq!(stamp(stamped), Some(at), "{stamped}");
            assert_eq!(http_date(at), written);
        }
        assert_eq!(stamp("yesterday"), None);
    }

    #[test]
    fn a_request_is_refused_when_the_clocks_are_a_quarter_of_an_hour_apart() {
        let at = |stamped: &str| {
            let head = format!("GET / HTTP/1.1\r\nx-amz-date: {stamped}\r\n\r\n");
            Head::parse(head.into_bytes()).unwrap()
        };
        let now = stamp("20130524T000000Z").unwrap();
        let ahead = now - seconds();
        assert!(!is_refused(&at("20130524T001000Z"), ahead));
        assert!(is_refused(&at("20130524T002000Z"), ahead));
        assert!(is_refused(&at("20130523T234000Z"), ahead));
        let undated = Head::parse(b"GET / HTTP/1.1\r\n\r\n".to_vec()).unwrap();
        assert!(!is_refused(&undated, ahead));
    }
}
