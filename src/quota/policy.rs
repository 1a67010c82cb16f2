//! What a connection may do: so many calls in any window of so many seconds, or no bound at all.
//!
//! A policy knows nothing of the calls that were made. Its ranges are those of `otpgate key create`.

use std::fmt;

/// So many calls in any window of so many seconds. The default is 100 in 60 s.
///
/// The window slides and is half open: a call counts from its own millisecond up to, and not including, the one a
/// whole period later. Source: Azure API Management's `rate-limit-by-key`, whose `renewal-period` is the length of
/// the sliding window in which the allowed calls must not exceed `calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    calls: u16,
    period_seconds: u16,
}

impl Policy {
    /// The most calls that a policy may allow.
    pub const MAX_CALLS: u16 = 10_000;

    /// The longest period, in seconds.
    pub const MAX_PERIOD_SECONDS: u16 = 3_600;

    /// 100 calls in 60 seconds, as the certified connector states it.
    pub const DEFAULT: Self = Self { calls: 100, period_seconds: 60 };

    /// A policy of `calls` (1 to 10,000) in any `period_seconds` (1 to 3,600).
    ///
    /// # Errors
    /// [`PolicyError`] names the figure that is out of its range, and the range.
    pub const fn new(calls: u32, period_seconds: u32) -> Result<Self, PolicyError> {
        match (within(calls, Self::MAX_CALLS), within(period_seconds, Self::MAX_PERIOD_SECONDS)) {
            (None, _) => Err(PolicyError::Calls(calls)),
            (_, None) => Err(PolicyError::Period(period_seconds)),
            (Some(calls), Some(period_seconds)) => Ok(Self { calls, period_seconds }),
        }
    }

    /// How many calls any window may hold: 1 to 10,000.
    #[must_use]
    pub const fn calls(&self) -> u16 {
        self.calls
    }

    /// The length of the window in whole seconds: 1 to 3,600.
    #[must_use]
    pub const fn period_seconds(&self) -> u16 {
        self.period_seconds
    }

    /// The length of the window in milliseconds: 1,000 to 3,600,000.
    #[must_use]
    pub const fn period_ms(&self) -> u64 {
        self.period_seconds as u64 * 1_000
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} calls in {} s", self.calls, self.period_seconds)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the figure is at most a u16's on that branch")]
const fn within(figure: u32, most: u16) -> Option<u16> {
    if figure >= 1 && figure <= most as u32 { Some(figure as u16) } else { None }
}

/// A figure that no policy may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The number of calls that was asked for.
    #[error("calls must be 1 to 10,000, not {0}")]
    Calls(u32),
    /// The period that was asked for, in seconds.
    #[error("period must be 1 to 3,600 seconds, not {0}")]
    Period(u32),
}

/// What a connection is allowed: a policy, or any number of calls (`otpgate key create --unlimited`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// So many calls in any window.
    Limited(Policy),
    /// No bound. Nothing is counted and nothing is stored.
    Unlimited,
}

impl Allowance {
    /// The policy to count by; `None` where nothing is counted.
    #[must_use]
    pub const fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Limited(policy) => Some(policy),
            Self::Unlimited => None,
        }
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self::Limited(Policy::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_ranges_to_the_edge_and_names_them_beyond() {
        assert_eq!(Policy::new(100, 60), Ok(Policy::DEFAULT));
        assert!(Policy::new(1, 1).is_ok());
        assert!(Policy::new(10_000, 3_600).is_ok());
        for (calls, period, says) in [
            (0, 60, "calls must be 1 to 10,000, not 0"),
            (10_001, 60, "calls must be 1 to 10,000, not 10001"),
            (65_636, 60, "calls must be 1 to 10,000, not 65636"),
            (100, 0, "period must be 1 to 3,600 seconds, not 0"),
            (100, 3_601, "period must be 1 to 3,600 seconds, not 3601"),
            (u32::MAX, u32::MAX, "calls must be 1 to 10,000, not 4294967295"),
        ] {
            assert_eq!(Policy::new(calls, period).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn an_unlimited_connection_has_nothing_to_count_by() {
        assert_eq!(Allowance::default().policy(), Some(&Policy::DEFAULT));
        assert_eq!(Allowance::Unlimited.policy(), None);
        assert_eq!(Policy::DEFAULT.to_string(), "100 calls in 60 s");
    }
}
