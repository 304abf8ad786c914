//! For how long does an answer ask to be left alone?
//!
//! 1. `Retry-After` is a number of seconds or a date (RFC 9110 §10.2.3). A date is taken from the answer's own `Date`, so
//!    that no clock of ours is part of it.
//! 2. Held to 1 to 30 s. One that cannot be read asks for 1 s.

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// `None` without the field.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let asked = text(RETRY_AFTER)?;
    let seconds = if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
        asked.parse().unwrap_or(u64::MAX)
    } else {
        let until = date(asked).zip(text(DATE).and_then(date));
        until.map_or(0, |(until, from)| until.saturating_sub(from))
    };
    Some(held(Duration::from_secs(seconds)))
}

/// What is asked for where nothing is said.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

fn held(asked: Duration) -> Duration {
    asked.clamp(SHORTEST, Duration::from_secs(30))
}

/// Seconds of a date in its preferred form, `Sun, 06 Nov 1994 08:49:37 GMT`, from some day on that is the same for all.
fn date(text: &str) -> Option<u64> {
    let mut words = text.split_once(", ")?.1.strip_suffix(" GMT")?.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|&name| name == month)?;
    let number =
        |digits: &str, most: u64| digits.parse().ok().filter(|&number: &u64| number <= most);
    let (year, day) = (number(year, 9_999)?, number(day, 31)?);
    let mut time = time.split(':');
    let mut part = |most| time.next().and_then(|digits| number(digits, most));
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    // years begin in March, so that the day that is not always there is the last one
    let (year, month) =
        if month < 2 { (year.checked_sub(1)?, month + 10) } else { (year, month - 2) };
    let month = u64::try_from(month).ok()?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    words.next().is_none().then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn pauses() {
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (name, asked, date, want) in [
            ("FD4", Some("7"), None, Some(7)),
            ("FJ6", Some("90"), None, Some(30)),
            ("F185 too short", Some("0"), None, Some(1)),
            ("F185 absurd", Some("99999999999999999999"), None, Some(30)),
            ("absent", None, now, None),
            ("a date", Some("Sun, 06 Nov 1994 08:49:49 GMT"), now, Some(12)),
            ("a date over a day", Some("Mon, 07 Nov 1994 00:00:00 GMT"), now, Some(30)),
            ("a date that has passed", Some("Sun, 06 Nov 1994 08:49:30 GMT"), now, Some(1)),
            ("a date alone", now, None, Some(1)),
            ("no date", Some("soon"), now, Some(1)),
            ("negative", Some("-3"), now, Some(1)),
            ("empty", Some(""), now, Some(1)),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(RETRY_AFTER, asked), (DATE, date)] {
                value.map(|value| headers.insert(name, HeaderValue::from_static(value)));
            }
            assert_eq!(retry_after(&headers), want.map(Duration::from_secs), "{name}");
        }
    }

    #[test]
    fn dates() {
        let day = |text: &str| date(&format!("Day, {text} 00:00:00 GMT"));
        for (earlier, later, days) in [
            ("28 Feb 1900", "01 Mar 1900", 1),
            ("28 Feb 2000", "01 Mar 2000", 2),
            ("31 Dec 2025", "01 Jan 2026", 1),
            ("01 Jan 1970", "01 Jan 2026", 20_454),
        ] {
            let between = day(later).zip(day(earlier)).map(|(later, earlier)| later - earlier);
            assert_eq!(between, Some(days * 86_400), "{earlier} to {later}");
        }
        for text in ["", ", GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 24:00:00 GMT"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
