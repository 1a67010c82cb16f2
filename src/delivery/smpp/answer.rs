//! What a message centre's status says of a submit: taken, to be tried again, or refused. Knows no session.

use std::time::Duration;

use crate::delivery::provider::Failure;

/// How long a centre that throttles is left alone. SMPP 3.4 names no time; a second is the unit of carriers' limits.
pub(super) const THROTTLED: Duration = Duration::from_secs(1);

/// The statuses that are told apart (SMPP 3.4, section 5.1.3).
pub(super) mod status {
    /// No error.
    pub(crate) const OK: u32 = 0x0000_0000;
    /// The PDU's length is wrong.
    pub(crate) const INVALID_LENGTH: u32 = 0x0000_0002;
    /// No such command.
    pub(crate) const INVALID_COMMAND: u32 = 0x0000_0003;
    /// Not in this state of the session.
    pub(crate) const INVALID_BIND_STATE: u32 = 0x0000_0004;
    /// The session is bound already.
    pub(crate) const ALREADY_BOUND: u32 = 0x0000_0005;
    /// The centre is out of order.
    pub(crate) const SYSTEM_ERROR: u32 = 0x0000_0008;
    /// The centre's queue is full.
    pub(crate) const QUEUE_FULL: u32 = 0x0000_0014;
    /// Too many messages for the contract.
    pub(crate) const THROTTLED: u32 = 0x0000_0058;
    /// The receiver cannot take it now.
    pub(crate) const TEMPORARY: u32 = 0x0000_0064;
    /// The receiver will not take this one.
    pub(crate) const REJECTED: u32 = 0x0000_0066;
    /// An error without a name.
    pub(crate) const UNKNOWN: u32 = 0x0000_00FF;
}

/// What became of a submit, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The centre took it.
    Taken,
    /// It is too fast for the centre, or the centre's queue is full.
    Throttled,
    /// The centre, or the link to it, is out of order.
    Failed,
    /// The centre will never take it.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// What a status says.
pub(super) fn judge(status: u32) -> Submitted {
    match status {
        status::OK => Submitted::Taken,
        status::THROTTLED | status::QUEUE_FULL => Submitted::Throttled,
        // The session is not what we believe it is, or the centre has a bad moment: another carrier, or later.
        status::SYSTEM_ERROR
        | status::INVALID_BIND_STATE
        | status::ALREADY_BOUND
        | status::TEMPORARY
        | status::UNKNOWN => Submitted::Failed,
        _ => Submitted::Refused,
    }
}

/// The failure that a status is; none where it is a success.
pub(super) fn failure(status: u32) -> Option<Failure> {
    match judge(status) {
        Submitted::Taken => None,
        Submitted::Throttled => Some(Failure::Retryable(THROTTLED)),
        Submitted::Failed => Some(Failure::Retryable(Duration::ZERO)),
        Submitted::Refused => Some(Failure::Refused(words(status))),
        Submitted::Unknown => Some(Failure::Unknown),
    }
}

/// A status as events and logs show it.
pub(super) fn words(status: u32) -> String {
    format!("SMPP 0x{status:08X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_what_the_standard_means_by_it() {
        assert_eq!(failure(0), None);
        for status in [0x14, 0x58] {
            assert_eq!(failure(status), Some(Failure::Retryable(THROTTLED)));
        }
        for status in [0x04, 0x05, 0x08, 0x64, 0xFF] {
            assert_eq!(failure(status), Some(Failure::Retryable(Duration::ZERO)));
        }
        for status in [0x01, 0x0A, 0x0B, 0x45, 0x61, 0xFE, 0x400, u32::MAX] {
            assert_eq!(failure(status), Some(Failure::Refused(format!("SMPP 0x{status:08X}"))));
        }
        assert_eq!(words(0x0B), "SMPP 0x0000000B");
    }
}
