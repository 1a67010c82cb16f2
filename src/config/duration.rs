//! Spans of time as the configuration writes them: `500ms`, `5s`, `10m`, `24h`, `30d`, or whole seconds as an integer.
//! Knows no setting.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `500ms`, `5s`, `10m`, `24h` or `30d`; bare digits are seconds. `None` for anything else.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(millis).map(Duration::from_millis)
}

/// Writes what [`parse`] reads, in the largest unit that is exact.
#[must_use]
pub fn write(span: Duration) -> String {
    let millis = span.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.into_iter().rev().find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)));
    let (name, unit) = exact.unwrap_or(("ms", 1));
    format!("{}{name}", millis / u128::from(unit))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(*span))
}

/// For `#[serde(with)]`.
///
/// # Errors
/// When the value is neither seconds nor a text that [`parse`] reads.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => Ok(Duration::from_secs(seconds)),
        Written::Text(text) => {
            parse(&text).ok_or_else(|| D::Error::custom("a duration such as \"5s\", or whole seconds"))
        }
    }
}

/// A list of them, for `#[serde(with)]`.
pub(super) mod list {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(in crate::config) fn serialize<S: Serializer>(spans: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        spans.iter().map(|span| super::write(*span)).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Duration>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| super::parse(text).ok_or_else(|| D::Error::custom("durations such as \"5s\""));
        texts.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for text in ["0s", "500ms", "5s", "90s", "10m", "5h", "30d", "1001ms"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
        assert_eq!(parse("24h"), parse("1d"));
        assert_eq!(parse("60"), Some(Duration::from_secs(60)));
        for bad in
            ["", "s", "5 s", "-5s", "5w", "1h30m", "1.5s", "99999999999999999999s", "18446744073709551615d", "5é"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
