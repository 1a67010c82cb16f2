//! Why there is no connection to a shared store: one variant a cause, told apart by what the server or the network said. Must not
//! know how a connection comes about, or what a command makes of it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::redis::connect::LAYOUT;
use crate::store::redis::contact::OLDEST;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error("nothing answers: {0}")]
    Unreachable(String),
    /// Something answers that speaks another protocol.
    #[error("something else than a Redis answers there")]
    NotAStore,
    /// There is no such database.
    #[error("it has no database {database}: {said}")]
    NoDatabase {
        /// The one in the address.
        database: u32,
        /// What it says.
        said: String,
    },
    /// It has no certificate that this process trusts for the name in the address.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// User or password are wrong.
    #[error("the store refuses the user or the password: {0}")]
    Refused(String),
    /// It wants a password, and none was given.
    #[error("the store wants a password, and was given none (NOAUTH)")]
    NoPassword,
    /// The user may not do what has to be done.
    #[error("the store's user lacks a right: {0}")]
    Forbidden(String),
    /// It is too old.
    #[error("the store is version {found}; at least {}.{} is needed", OLDEST.0, OLDEST.1)]
    TooOld {
        /// What it says.
        found: String,
    },
    /// It is a cluster, and parts of it are missing.
    #[error("the cluster is down: {0}")]
    ClusterDown(String),
    /// It takes no writes.
    #[error("the server is a replica: give the address of the primary, of the sentinels or of the cluster")]
    Replica,
    /// The sentinels know no such primary.
    #[error("the sentinels know no primary called {name}; name it in the address: ?master=NAME")]
    UnknownMaster {
        /// What was asked for.
        name: String,
    },
    /// There is no marker: nobody initialised it, or it was emptied.
    #[error(
        "the store has no marker: it was emptied, another one took its place, or nobody has made it yet; restore it, or make it anew with: otpgate store init"
    )]
    Uninitialised,
    /// A copy into it was not finished.
    #[error("a copy into this store was not finished: run it again")]
    Unfinished,
    /// The master key does not open its keyring.
    #[error("the master key is not the one that the store was made with")]
    WrongMasterKey,
    /// It was made anew since this process opened it.
    #[error("the store was made anew with another keyring")]
    OtherKeyring,
    /// A newer release has written it.
    #[error("its layout is version {found}, this otpgate knows {LAYOUT}; run a newer otpgate")]
    TooNew {
        /// What it says.
        found: u32,
    },
    /// It has no memory left for a write.
    #[error("the store is out of memory")]
    Full,
    /// It answered something else than it should.
    #[error("the store answered something unexpected: {0}")]
    Unexpected(String),
}

impl ConnectError {
    /// What this error of a connection means.
    pub(super) fn of(error: &RedisError) -> Self {
        // A cluster passes on as text what its nodes said, and a script what its commands did.
        let text = flat(&error.to_string());
        let says = |words: &[&str]| words.iter().any(|word| error.code() == Some(*word) || text.contains(*word));
        let said = || error.detail().map_or_else(|| text.clone(), flat);
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused("authentication failed".to_owned()),
            ErrorKind::Parse => Self::NotAStore,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Forbidden(said()),
            ErrorKind::Server(ServerErrorKind::ClusterDown) => Self::ClusterDown(said()),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Replica,
            // It begins, or its own primary is away: both pass.
            ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => Self::Unreachable(said()),
            _ if says(&["NOAUTH"]) => Self::NoPassword,
            _ if says(&["WRONGPASS", "AuthenticationFailed"]) => Self::Refused(said()),
            _ if says(&["NOPERM", "NoPerm"]) => Self::Forbidden(said()),
            _ if error.code() == Some("OOM") || text.contains("OOM command not allowed") => Self::Full,
            _ if says(&["CLUSTERDOWN"]) => Self::ClusterDown(said()),
            _ => Self::of_network(error, text),
        }
    }

    fn of_network(error: &RedisError, text: String) -> Self {
        if let Some((_, why)) = text.split_once("invalid peer certificate: ") {
            Self::Untrusted(why.to_owned())
        } else if error.kind() == ErrorKind::ClusterConnectionNotFound {
            // A seed has answered by then.
            Self::Unreachable("the nodes that the cluster names are not reached from here".to_owned())
        } else if error.is_io_error() || error.is_timeout() || error.is_cluster_error() {
            Self::Unreachable(text)
        } else {
            Self::Unexpected(text)
        }
    }

    /// An answer that cannot be read.
    pub(super) fn unexpected(error: impl std::fmt::Display) -> Self {
        Self::Unexpected(flat(&error.to_string()))
    }

    /// Whether the server wants to know who comes, or does not take who came.
    pub(super) const fn is_of_credentials(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoPassword)
    }
}

/// A text of others as one line.
fn flat(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
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
    fn what_a_server_says_has_one_cause() {
        for (line, found) in [
            ("-NOAUTH Authentication required.", "the store wants a password, and was given none (NOAUTH)"),
            (
                "-WRONGPASS invalid username-password pair or user is disabled.",
                "the store refuses the user or the password: invalid username-password pair or user is disabled.",
            ),
            (
                "-NOPERM this user has no permissions to run the 'getex' command",
                "the store's user lacks a right: this user has no permissions to run the 'getex' command",
            ),
            ("-CLUSTERDOWN Hash slot not served", "the cluster is down: Hash slot not served"),
            (
                "-LOADING Redis is loading the dataset in memory",
                "nothing answers: Redis is loading the dataset in memory",
            ),
            ("-OOM command not allowed when used memory > 'maxmemory'.", "the store is out of memory"),
        ] {
            assert_eq!(ConnectError::of(&said(line)).to_string(), found, "{line}");
        }
        assert!(matches!(
            ConnectError::of(&said("-READONLY You can't write against a read only replica.")),
            ConnectError::Replica
        ));
        assert!(matches!(ConnectError::of(&said("HTTP/1.1 400 Bad Request")), ConnectError::NotAStore));
    }

    #[test]
    fn what_others_say_is_one_line() {
        assert_eq!(
            flat("Parse error at 1\nUnexpected `84`\r\n\u{1b}[31mExpected"),
            "Parse error at 1 Unexpected `84` [31mExpected"
        );
        assert_eq!(flat(""), "");
    }
}
