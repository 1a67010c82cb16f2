//! An address that may hold a password, as a carrier's `smpp://user:password@host:port`. It shows itself without.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::secret::Secret;

/// An address with a scheme and a host. `Debug`, `Display` and serde write it redacted.
#[derive(Clone, PartialEq)]
pub struct SecretUrl(Secret);

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address such as scheme://user:password@host:port")]
pub struct MalformedUrl;

impl SecretUrl {
    /// Reads `scheme://[user[:password]@]host[:port][/path][?query]`.
    ///
    /// # Errors
    /// [`MalformedUrl`] for anything else.
    pub fn parse(text: &str) -> Result<Self, MalformedUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(MalformedUrl)?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let host = split_authority(rest).1;
        if scheme.is_empty() || !scheme.bytes().all(legal) || !plain || host.is_empty() || host.starts_with(':') {
            return Err(MalformedUrl);
        }
        Ok(Self(Secret::new(text.to_owned())))
    }

    /// What stands before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.expose().split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The whole address. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The address with `***` for user and password, and for the query, which may hold a key.
    #[must_use]
    pub fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.0.expose().split_once("://") else { return "***".to_owned() };
        let (user, host, path) = split_authority(rest);
        let user = if user.is_some() { "***:***@" } else { "" };
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let (path, query) = path.split_at(end);
        let query = if query.is_empty() { "" } else { "?***" };
        format!("{scheme}://{user}{host}{path}{query}")
    }
}

/// User and password, host and port, the rest. The last `@` counts: a password may hold one, or a slash, and must not show.
fn split_authority(rest: &str) -> (Option<&str>, &str, &str) {
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (user, host, path)
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_itself_without_password_and_query() {
        for (text, shown) in [
            ("smpp://user:password@host:2775", "smpp://***:***@host:2775"),
            ("https://host/sms", "https://host/sms"),
            ("https://host/sms?key=hunter2", "https://host/sms?***"),
            ("https://u:p@ss@host/a", "https://***:***@host/a"),
            ("smpp://u:p/w?d@host:1/a?b", "smpp://***:***@host:1/a?***"),
        ] {
            assert_eq!(format!("{:?}", SecretUrl::parse(text).unwrap()), shown);
        }
        for bad in ["", "host", "://host", "smpp://", "smpp://user@", "a b://c", "smpp://:80", "smpp://h ost"] {
            assert!(SecretUrl::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(SecretUrl::parse("smpps://h").unwrap().scheme(), "smpps");
    }
}
