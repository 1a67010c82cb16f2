//! What an error of Redis means: whether the connection is any good afterwards, and what the caller is told.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::otp::store::StoreError;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Out of memory: nothing was written, and will be again once there is room.
    Full,
    /// The marker is missing, or another one: this is not the store that was opened.
    NotOurs,
    /// The script was not there: it did not run.
    NoScript,
    /// The key lies elsewhere by now: the script did not run.
    Moved,
    /// The connection is gone, or leads to a server that takes no writes. What was sent may have been done.
    Lost,
    /// It did not answer in time. What was sent may have been done.
    Late,
    /// This call only.
    Refused,
}

impl Fault {
    /// What `error` means.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Late;
        }
        match error.kind() {
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::NoScript => Self::NoScript,
                ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain => Self::Moved,
                ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::NoPerm => Self::Lost,
                _ => Self::of_code(error),
            },
            ErrorKind::Extension => Self::of_code(error),
            ErrorKind::UnexpectedReturnType | ErrorKind::Client => Self::Refused,
            _ => Self::Lost,
        }
    }

    /// By the first word of the answer; one that a script passes on may stand in the text behind it.
    fn of_code(error: &RedisError) -> Self {
        let text = error.to_string();
        let says = |word: &str| error.code() == Some(word) || text.contains(word);
        if says("NOMARK") {
            Self::NotOurs
        } else if says("OOM") {
            Self::Full
        } else if ["READONLY", "NOREPLICAS", "NOAUTH", "MASTERDOWN", "LOADING", "MISCONF", "CLUSTERDOWN"]
            .into_iter()
            .any(says)
        {
            Self::Lost
        } else {
            Self::Refused
        }
    }

    /// What the domain is told.
    pub(super) const fn told(self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            _ => StoreError::Unavailable,
        }
    }
}
