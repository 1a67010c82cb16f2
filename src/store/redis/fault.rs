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
    /// The connection is gone. What was sent may have been done.
    Lost,
    /// The server takes no writes, or no calls at all for now, and said so: it did not run.
    Unwilling,
    /// It did not answer in time. What was sent may have been done.
    Late,
    /// The call had no time left: nothing was sent.
    NoTime,
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
                | ServerErrorKind::NoPerm => Self::Unwilling,
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
            Self::Unwilling
        } else {
            Self::Refused
        }
    }

    /// What the domain is told of a step on which nothing rests.
    pub(super) const fn told(self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            _ => StoreError::Unavailable,
        }
    }

    /// What it is told of a write.
    pub(super) const fn told_of_a_write(self) -> StoreError {
        match self {
            Self::Full => StoreError::Full,
            Self::Lost | Self::Late => StoreError::Unanswered,
            Self::NotOurs | Self::NoScript | Self::Moved | Self::Unwilling | Self::NoTime | Self::Refused => {
                StoreError::Unavailable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    /// The error that a server's answer is read as.
    fn said(line: &str) -> RedisError {
        let mut bytes = line.as_bytes().to_vec();
        bytes.extend(b"\r\n");
        redis::parse_redis_value(&bytes).and_then(Value::extract_error).unwrap_err()
    }

    #[test]
    fn what_a_server_refused_did_not_run_and_what_nobody_answered_may_have() {
        for (line, fault, told) in [
            ("-READONLY You can't write against a read only replica.", Fault::Unwilling, StoreError::Unavailable),
            ("-NOREPLICAS Not enough good replicas to write.", Fault::Unwilling, StoreError::Unavailable),
            ("-MISCONF Redis is configured to save RDB snapshots", Fault::Unwilling, StoreError::Unavailable),
            ("-CLUSTERDOWN The cluster is down", Fault::Unwilling, StoreError::Unavailable),
            ("-LOADING Redis is loading the dataset in memory", Fault::Unwilling, StoreError::Unavailable),
            ("-OOM command not allowed when used memory > 'maxmemory'.", Fault::Full, StoreError::Full),
            ("-NOSCRIPT No matching script.", Fault::NoScript, StoreError::Unavailable),
            ("-MOVED 3999 127.0.0.1:6381", Fault::Moved, StoreError::Unavailable),
            ("-NOMARK the store is not the one that was opened", Fault::NotOurs, StoreError::Unavailable),
            ("-LATE the reservation is over", Fault::Refused, StoreError::Unavailable),
        ] {
            let found = Fault::of(&said(line));
            assert_eq!((found, found.told_of_a_write()), (fault, told), "{line}");
        }
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let late = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        for (error, fault) in [(broken, Fault::Lost), (late, Fault::Late)] {
            let found = Fault::of(&error);
            assert_eq!((found, found.told_of_a_write()), (fault, StoreError::Unanswered), "{error}");
            assert_eq!(found.told(), StoreError::Unavailable);
        }
    }
}
