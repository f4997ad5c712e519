//! Durations and moments as people write them, and how long ago a moment was.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::{NEVER, SecretLifetime},
    domain::{Clock, Malformed, SystemClock, Timestamp, TokenLifetime},
};

/// A hundred years. A longer duration is a mistake, and a moment that far away cannot be stored.
const LONGEST: u64 = 36_500 * 86_400;

/// Parses a duration: `90d`, `1h`, `15m`, `30s`, or a plain number of seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Malformed> {
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = number.parse::<u64>().ok().filter(|_| is_number);
    let number = parsed.ok_or(Malformed(
        "a duration is a number with s, m, h or d for seconds, minutes, hours or days, such as \
         15m, 1h or 90d; without a letter it is seconds",
    ))?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds <= LONGEST);
    seconds.map(Duration::from_secs).ok_or(Malformed("a duration is at most 36500d"))
}

/// Parses the lifetime of tokens, as a duration.
pub(super) fn parse_token_lifetime(text: &str) -> Result<TokenLifetime, Malformed> {
    let seconds = parse_duration(text)?.as_secs();
    let lifetime = u32::try_from(seconds).ok().map(TokenLifetime::from_seconds);
    lifetime
        .and_then(Result::ok)
        .ok_or(Malformed("a token lives for a second to a day, such as 15m, 1h or 900 (seconds)"))
}

/// Parses the lifetime of a secret: a duration, or `never`.
pub(super) fn parse_secret_lifetime(text: &str) -> Result<SecretLifetime, Malformed> {
    if text == NEVER {
        return Ok(SecretLifetime::Never);
    }
    let lifetime = parse_duration(text).ok().filter(|lifetime| !lifetime.is_zero());
    lifetime.map(SecretLifetime::Limited).ok_or(Malformed(
        "a secret lives for 1s to 36500d, such as 90d, 12h or 3600 (seconds), or never",
    ))
}

/// Parses a moment in the past: RFC 3339, or how long ago it was.
pub(super) fn parse_moment(text: &str) -> Result<Timestamp, Malformed> {
    if let Ok(age) = parse_duration(text) {
        return Ok(SystemClock.now().minus(age));
    }
    // A date alone is its beginning in UTC.
    let is_date = text.len() == 10;
    let full = if is_date { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let nanos =
        OffsetDateTime::parse(&full, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos);
    let micros = nanos.and_then(|nanos| i64::try_from(nanos.div_euclid(1_000)).ok());
    micros.map(Timestamp::from_unix_micros).ok_or(Malformed(
        "a moment is a date such as 2027-01-09, a time such as 2027-01-09T08:12:44Z, or how long \
         ago it was, such as 7d",
    ))
}

/// How long before `now` a moment was, for people.
pub(super) fn ago(moment: Timestamp, now: Timestamp) -> String {
    format!("{} ago", in_words(now.since(moment)))
}

/// A duration in its largest unit of which there are at least two.
pub(super) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_seconds() {
        for (text, seconds) in [
            ("90d", 7_776_000),
            ("1h", 3_600),
            ("15m", 900),
            ("30s", 30),
            ("3600", 3_600),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "1w",
            "-1",
            "+1",
            "1.5h",
            " 1",
            "1 h",
            "1H",
            "99999999999999999999",
            "36501d",
            "300000000000000d",
            "١",
        ] {
            parse_duration(text).unwrap_err();
        }
    }

    #[test]
    fn a_secret_lives_for_a_duration_or_for_ever() {
        let limited = |seconds| Ok(SecretLifetime::Limited(Duration::from_secs(seconds)));
        assert_eq!(parse_secret_lifetime("90d"), limited(7_776_000));
        assert_eq!(parse_secret_lifetime("3600"), limited(3_600));
        assert_eq!(parse_secret_lifetime("never"), Ok(SecretLifetime::Never));
        for text in ["0", "0d", "36501d", "Never", "", "-1", "1y"] {
            parse_secret_lifetime(text).unwrap_err();
        }
    }

    #[test]
    fn a_moment_is_a_date_a_time_or_an_age() {
        let moment = |text| parse_moment(text).unwrap();
        assert_eq!(moment("2027-01-09").to_string(), "2027-01-09T00:00:00Z");
        assert_eq!(moment("2027-01-09T09:12:44+01:00").to_string(), "2027-01-09T08:12:44Z");
        let week_ago = moment("7d");
        let age = SystemClock.now().since(week_ago).as_secs();
        assert!((604_800..604_900).contains(&age), "{age}");
        for text in ["yesterday", "2027-13-01", "2027-01-09 08:12", ""] {
            parse_moment(text).unwrap_err();
        }
    }

    #[test]
    fn a_moment_is_told_in_its_largest_unit() {
        let now = Timestamp::from_unix_micros(1_000_000_000_000_000);
        let ago = |seconds| ago(now.minus(Duration::from_secs(seconds)), now);
        assert_eq!([ago(0), ago(119), ago(120)], ["0 s ago", "119 s ago", "2 min ago"]);
        assert_eq!([ago(7_199), ago(7_200)], ["119 min ago", "2 h ago"]);
        assert_eq!([ago(172_799), ago(172_800)], ["47 h ago", "2 days ago"]);
    }
}
