//! What a connection may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Send and resend.
    Send = 1,
    /// Read OTPs, events, applications and the connection itself.
    Status = 2,
    /// Verify.
    Verify = 4,
    /// Delete OTPs.
    Delete = 8,
    /// Subscribe to events.
    Webhooks = 16,
    /// Write applications.
    Admin = 32,
}

impl Scope {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 6] = [Self::Send, Self::Status, Self::Verify, Self::Delete, Self::Webhooks, Self::Admin];

    /// Its name on the command line and in errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Status => "status",
            Self::Verify => "verify",
            Self::Delete => "delete",
            Self::Webhooks => "webhooks",
            Self::Admin => "admin",
        }
    }
}

/// A set of scopes, written as names with commas. All but admin by default.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(u8);

/// The text is no list of scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no scope; the scopes are send, status, verify, delete, webhooks, admin")]
pub struct UnknownScope(String);

impl Scopes {
    /// The set of these.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | *scope as u8))
    }

    /// Whether `scope` is in it.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::of(&[Scope::Send, Scope::Status, Scope::Verify, Scope::Delete, Scope::Webhooks])
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bits = 0;
        for name in text.split(',').map(str::trim) {
            let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
            bits |= scope.ok_or_else(|| UnknownScope(name.to_owned()))? as u8;
        }
        Ok(Self(bits))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Scope::ALL.into_iter().filter(|scope| self.allow(*scope)).map(Scope::name).collect();
        formatter.write_str(&names.join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl TryFrom<String> for Scopes {
    type Error = UnknownScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_as_they_are_written() {
        assert_eq!(Scopes::default().to_string(), "send,status,verify,delete,webhooks");
        assert_eq!("admin, send".parse::<Scopes>().unwrap().to_string(), "send,admin");
        assert!(!Scopes::default().allow(Scope::Admin));
        assert!("send,fly".parse::<Scopes>().is_err() && "".parse::<Scopes>().is_err());
    }
}
