//! How long a code lives, or how old a check lets it be, where a caller says so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// 1 to 1,800 seconds (Unimatrix' bound of a `ttl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Life(u16);

/// The time is not 1 to 1,800 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 1800")]
pub struct LifeOutOfRange;

impl Life {
    /// The longest.
    pub const LONGEST: Self = Self(1_800);
    /// Five minutes.
    pub const USUAL: Self = Self(300);

    /// # Errors
    /// [`LifeOutOfRange`] for anything but 1 to 1,800 seconds.
    pub fn new(seconds: u64) -> Result<Self, LifeOutOfRange> {
        match u16::try_from(seconds) {
            Ok(seconds @ 1..=1_800) => Ok(Self(seconds)),
            _ => Err(LifeOutOfRange),
        }
    }

    /// As a span of time.
    #[must_use]
    pub fn span(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl TryFrom<u64> for Life {
    type Error = LifeOutOfRange;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        Self::new(seconds)
    }
}

impl From<Life> for u64 {
    fn from(life: Life) -> Self {
        life.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_bounded_and_reads_as_it_is_written() {
        for good in [1, 300, 1_800] {
            let life = Life::new(good).unwrap();
            assert_eq!((life.span().as_secs(), serde_json::to_string(&life).unwrap()), (good, good.to_string()));
            assert_eq!(serde_json::from_str::<Life>(&good.to_string()).unwrap(), life);
        }
        for bad in [0, 1_801, u64::MAX] {
            assert_eq!(Life::new(bad), Err(LifeOutOfRange));
            assert!(serde_json::from_str::<Life>(&bad.to_string()).is_err());
        }
    }
}
