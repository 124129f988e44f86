//! Ages as `kubectl` prints them: the largest unit, and the next one while it says something.

use jiff::Timestamp;
use serde_json::Value;

/// The age of what has no time.
pub(super) const UNKNOWN: &str = "<unknown>";
/// The age of what is no time, or lies ahead.
const INVALID: &str = "<invalid>";

/// The time from the RFC 3339 text in `since` to `now`.
pub(super) fn age(since: &Value, now: Timestamp) -> Value {
    match since {
        Value::Null => UNKNOWN.into(),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(since) => duration(now.as_second() - since.as_second()).into(),
            Err(_) => INVALID.into(),
        },
        _ => INVALID.into(),
    }
}

/// As `kubernetes/apimachinery: pkg/util/duration/duration.go` (`HumanDuration`) does it.
fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        // Clocks differ a little.
        ..-1 => INVALID.to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 3 * 60 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, 'd', hours % 24, 'h'),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_duration_has_at_most_two_units() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (2 * MINUTE + 5, "2m5s"),
            (10 * MINUTE + 5, "10m"),
            (179 * MINUTE, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 7 * MINUTE, "3h7m"),
            (9 * HOUR + 7 * MINUTE, "9h"),
            (47 * HOUR, "47h"),
            (51 * HOUR, "2d3h"),
            (9 * DAY + HOUR, "9d"),
            (729 * DAY, "729d"),
            (731 * DAY, "2y1d"),
            (9 * 365 * DAY, "9y"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
