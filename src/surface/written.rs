//! What a caller wrote, before any field of it is read: a JSON object's members in their order, a query's words decoded, numbers
//! as clients write them. Knows no field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The members of a JSON object in their order, doubles included; no bytes at all are an empty one.
///
/// # Errors
/// What is wrong with the whole of it, without a word of what was sent.
pub(super) fn members(bytes: &[u8]) -> Result<Vec<(String, Value)>, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(format!("must be UTF-8; the byte at {} is not", error.valid_up_to()));
    }
    let members: Members = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => format!("must be a JSON object: {}", plain(&error)),
        _ => format!("must be JSON: {} at line {} column {}", plain(&error), error.line(), error.column()),
    })?;
    Ok(members.0)
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// serde_json's own words without its place, which is said otherwise. They quote no value of a string.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    let text = text.get(..end).unwrap_or_default();
    // "invalid type: string \"…\"" would repeat what was sent.
    text.split_once(", expected").map_or(text, |_| "it is another value").to_owned()
}

/// `3.0` is 3: some clients write every number as a decimal.
pub(super) fn whole(number: Option<f64>) -> Option<u64> {
    let number = number.filter(|number| number.fract() == 0.0 && (0.0..=9e15).contains(number))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range, by the line above"
    )]
    Some(number as u64)
}

/// The same for text: `12345.0` is 12345. Whatever is no such number comes back as it is.
pub(super) fn without_decimals(text: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, decimals)) if digits(whole) && digits(decimals) && decimals.trim_matches('0').is_empty() => whole,
        _ => text,
    }
}

/// A name or value of a query, decoded; `+` stands for a space. None when it is no UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_that_say_nothing_are_dropped() {
        for (text, whole) in [("12345.0", "12345"), ("012345.00", "012345"), ("0.0", "0")] {
            assert_eq!(without_decimals(text), whole);
        }
        for text in ["", ".", ".0", "1.", "1.5", "1.0.0", "a.0", "1.0a", "-1.0", "12345"] {
            assert_eq!(without_decimals(text), text);
        }
    }
}
