//! What the quota answers: a decision on one call, or how a connection stands. Figures only: the words and the
//! fields of the wire are the layer's.

/// What the quota says to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call goes ahead and has been counted.
    Admitted {
        /// How many more calls would be admitted at this instant: 0 to calls - 1.
        remaining: u16,
        /// Milliseconds until there is more than `remaining`, should nothing else be called: 1 to the period. It is
        /// the time until the oldest counted call leaves the window, not until all of them have.
        resets_in_ms: u32,
    },
    /// The call is refused and has not been counted.
    Refused {
        /// Milliseconds until a call is admitted, should nobody else take the place: 1 to the period, exact. At one
        /// millisecond less it is refused.
        wait_ms: u32,
    },
}

impl Decision {
    /// Whether the call goes ahead.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted { .. })
    }

    /// How many more calls would be admitted at this instant; 0 when refused. (`r` of the field `RateLimit`.)
    #[must_use]
    pub const fn remaining(&self) -> u16 {
        match self {
            Self::Admitted { remaining, .. } => *remaining,
            Self::Refused { .. } => 0,
        }
    }

    /// Seconds until there is additional quota, rounded up: 1 to the period. (`t` of the field `RateLimit`.)
    #[must_use]
    pub const fn resets_in_seconds(&self) -> u16 {
        match self {
            Self::Admitted { resets_in_ms: ms, .. } | Self::Refused { wait_ms: ms } => seconds(*ms),
        }
    }

    /// The value of `Retry-After`: the wait in whole seconds, rounded up, 1 to the period. `None` when admitted.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u16> {
        match self {
            Self::Admitted { .. } => None,
            Self::Refused { wait_ms } => Some(seconds(*wait_ms)),
        }
    }
}

/// What is left of a quota, read without charging it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many calls would be admitted at this instant: 0 to calls.
    pub remaining: u16,
    /// Milliseconds until there is more than `remaining`: 1 to the period; 0 when nothing is used.
    pub resets_in_ms: u32,
}

impl Standing {
    /// Seconds until there is additional quota, rounded up; 0 when nothing is used.
    #[must_use]
    pub const fn resets_in_seconds(&self) -> u16 {
        seconds(self.resets_in_ms)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "no period is longer than 3,600 s")]
const fn seconds(ms: u32) -> u16 {
    ms.div_ceil(1_000) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_every_wait_up_to_a_second() {
        for (wait_ms, seconds) in [(1, 1), (1_000, 1), (1_001, 2), (59_001, 60), (3_600_000, 3_600)] {
            assert_eq!(Decision::Refused { wait_ms }.retry_after_seconds(), Some(seconds));
        }
    }
}
