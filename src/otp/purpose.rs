//! What a code is for: a code that was sent for one purpose verifies no other. Of one number and purpose the newest code
//! alone holds, and it is checked by the number, not by an id.
//!
//! A code that was sent natively has no purpose and is checked by its id alone, so that neither can stand in for the other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a purpose, in characters (Unimatrix' bound of an intent).
pub const LONGEST: usize = 36;

/// Whose purposes: a purpose of one realm never equals one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// Unimatrix' intents; a send without one has the empty name.
    Unimatrix,
    /// OneAccess' types.
    OneAccess,
}

impl Realm {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Unimatrix => "u:",
            Self::OneAccess => "o:",
        }
    }
}

/// A purpose: its realm and a name of 0 to 36 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Purpose(Box<str>);

/// The text names no purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most 36 characters, no control characters")]
pub struct MalformedPurpose;

impl Purpose {
    /// The purpose `name` of a realm; names are told apart by their case.
    ///
    /// # Errors
    /// [`MalformedPurpose`] when it is longer than [`LONGEST`] or holds a control character.
    pub fn new(realm: Realm, name: &str) -> Result<Self, MalformedPurpose> {
        if name.chars().nth(LONGEST).is_some() || name.chars().any(char::is_control) {
            return Err(MalformedPurpose);
        }
        Ok(Self(format!("{}{name}", realm.prefix()).into()))
    }

    /// The realm's letter and the name, for a store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_bounded_and_apart() {
        for good in ["", "login", "Anmeldung ü", &"ü".repeat(36)] {
            assert!(Purpose::new(Realm::Unimatrix, good).is_ok(), "{good}");
            assert_ne!(Purpose::new(Realm::Unimatrix, good), Purpose::new(Realm::OneAccess, good));
        }
        assert_ne!(Purpose::new(Realm::Unimatrix, "a"), Purpose::new(Realm::Unimatrix, "A"));
        for bad in ["a\n", "\u{0}", &"a".repeat(37)] {
            assert_eq!(Purpose::new(Realm::Unimatrix, bad), Err(MalformedPurpose), "{bad}");
        }
    }
}
