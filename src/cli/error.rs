//! How a command fails: one variant a cause, each with its exit code and one line that says what, where, and what would
//! be right. The table of codes is in the module above.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, SecretUrl, StoreUrl};
use crate::otp::store::{StoreError, WriteError};

/// Where the store is, for messages.
#[derive(Clone, Copy, Debug)]
pub enum StoreAt<'a> {
    /// The embedded one, in this directory.
    Directory(&'a Path),
    /// A shared one.
    Shared(&'a SecretUrl),
}

impl<'a> StoreAt<'a> {
    /// The store that the configuration names.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        match &config.store.url {
            StoreUrl::Sqlite => Self::Directory(&config.data_dir),
            StoreUrl::Redis(url) => Self::Shared(url),
        }
    }
}

/// Why a command failed. The codes are those of BSD's `sysexits.h`, where it has one that fits.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Who read standard output has gone, as `head` does: no failure, 0, and nobody is told.
    #[error("nobody reads standard output any more")]
    ReaderGone,
    /// A linted connector breaks rules: 1.
    #[error("{0}")]
    Findings(String),
    /// The command line is wrong: 64.
    #[error("{0}")]
    Usage(String),
    /// What the command was given names nothing, or is no value: 65.
    #[error("{0}")]
    Data(String),
    /// The data directory holds no embedded store: 66.
    #[error("{} holds no store; name the one of the server with --data-dir, or its configuration with --config", .0.display())]
    NoStore(PathBuf),
    /// The shared store has lost its marker: 66.
    #[error("store.url: {store}: {problem}")]
    StoreEmptied {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store takes neither user nor password: 67.
    #[error("store.url: {store}: {problem}; write them into the address: redis://user:password@host")]
    StorePassword {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store's user lacks a right: 67.
    #[error("store.url: {store}: {problem}; give it to the user (ACL SETUSER), or name another one in the address")]
    StoreRight {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store's certificate is not trusted: 80.
    #[error("store.url: {store}: {problem}; name its authority in store.ca_file, and the host as the certificate does")]
    StoreUntrusted {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The file of the authorities that the shared store is trusted by cannot be read: 78.
    #[error("store.ca_file: {}: {problem}", file.display())]
    StoreAuthorities {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The shared store is not reached: 68.
    #[error("store.url: {store}: {problem}; see whether it runs, and whether the address is right")]
    StoreAway {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store is a cluster that is down: 71.
    #[error("store.url: {store}: {problem}; bring what is missing back (redis-cli --cluster check)")]
    ClusterDown {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store is too old: 72.
    #[error("store.url: {store}: {problem}")]
    StoreTooOld {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// A copy into the store was not finished: 79.
    #[error("store: {store}: {problem}")]
    StoreUnfinished {
        /// Which.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// A store failed in the middle of a copy, or both ends differ: 74.
    #[error("{0}")]
    Copy(String),
    /// A newer otpgate wrote the shared store: 76.
    #[error("store.url: {store}: {problem}")]
    StoreTooNew {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The shared store's address cannot be read: 78.
    #[error("store.url: it must be {0}")]
    StoreAddress(String),
    /// A listener's address cannot be had: 69.
    #[error("{key}: {problem}; choose another address with {flag}")]
    Listener {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        problem: String,
        /// Its flag.
        flag: &'static str,
    },
    /// A listener's address is in use: 69.
    #[error("{key}: {address} is in use; stop what listens there (ss -ltnp), or choose another address with {flag}")]
    PortInUse {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: String,
        /// Its flag.
        flag: &'static str,
    },
    /// The server that was asked is not ready, or is not there: 69.
    #[error("{0}")]
    NotReady(String),
    /// Something that should not happen: 70.
    #[error("{0}")]
    Internal(String),
    /// What is shown once could not be shown: 70.
    #[error("standard output cannot be written: {problem}; {remedy}")]
    Unshown {
        /// What is wrong.
        problem: String,
        /// Where things stand, and what to do.
        remedy: String,
    },
    /// The data directory cannot be made, read or written: 73.
    #[error("data_dir: {}: {problem}; choose another one with --data-dir, or make it writable for this user", directory.display())]
    DataDirectory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Files that were asked for cannot be written: 73.
    #[error("{}: {problem}", directory.display())]
    Output {
        /// Where.
        directory: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The store failed, at a command or while serving: 74.
    #[error("the store in {}: {problem}", directory.display())]
    StoreFailed {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The shared store failed, at a command or while serving: 74.
    #[error("store.url: {store}: {problem}")]
    SharedStoreFailed {
        /// Its address, without a password.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// Another server holds the data directory: 75.
    #[error("data_dir: {}: another otpgate serves from it; stop that one, or choose another directory with --data-dir", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A newer otpgate wrote the data: 76.
    #[error("data_dir: {}: its schema is version {found}, this otpgate knows {known}; run a newer otpgate", directory.display())]
    NewerSchema {
        /// The directory.
        directory: PathBuf,
        /// What lies there.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// The master key is not the data's: 77.
    #[error("master_key_file: {}: the master key is not the one that the data in {} was made with; give the file that was in use then", file.display(), directory.display())]
    WrongMasterKey {
        /// The key's file.
        file: PathBuf,
        /// The data directory.
        directory: PathBuf,
    },
    /// There is no usable master key: 77.
    #[error("master_key_file: {0}")]
    MasterKey(String),
    /// The certificate or its key is wrong: 78.
    #[error("tls: {0}")]
    Tls(String),
    /// The configuration is wrong: 78.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl CliError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Findings(_) => 1,
            Self::Usage(_) => 64,
            Self::Data(_) => 65,
            Self::NoStore(_) | Self::StoreEmptied { .. } => 66,
            Self::StorePassword { .. } | Self::StoreRight { .. } => 67,
            Self::StoreAway { .. } => 68,
            Self::ClusterDown { .. } => 71,
            Self::StoreTooOld { .. } => 72,
            Self::PortInUse { .. } | Self::Listener { .. } | Self::NotReady(_) => 69,
            Self::Internal(_) | Self::Unshown { .. } => 70,
            Self::DataDirectory { .. } | Self::Output { .. } => 73,
            Self::StoreFailed { .. } | Self::SharedStoreFailed { .. } | Self::Copy(_) => 74,
            Self::InUse { .. } => 75,
            Self::NewerSchema { .. } | Self::StoreTooNew { .. } => 76,
            Self::WrongMasterKey { .. } | Self::MasterKey(_) => 77,
            Self::StoreUnfinished { .. } => 79,
            Self::StoreUntrusted { .. } => 80,
            Self::Config(_) | Self::Tls(_) | Self::StoreAddress(_) | Self::StoreAuthorities { .. } => 78,
        }
    }

    /// For a command with a verdict, which holds whoever reads it: that the reader has gone is nothing.
    ///
    /// # Errors
    /// [`CliError::Internal`] where standard output cannot be written otherwise.
    pub fn unless_gone(written: std::io::Result<()>) -> Result<(), Self> {
        match written.map_err(Self::from) {
            Err(Self::ReaderGone) => Ok(()),
            written => written,
        }
    }

    /// A failure of the store.
    #[must_use]
    pub fn store(at: StoreAt<'_>, error: StoreError) -> Self {
        let shared = matches!(at, StoreAt::Shared(_));
        let problem = match error {
            StoreError::Full if shared => "the store is out of memory; raise its maxmemory, then try again",
            StoreError::Full => "no room is left on its disk; make room, then try again",
            // No quota counts what the command line does.
            StoreError::Unavailable | StoreError::NotAdmitted => {
                "it did not answer in time; try again, and see whether the server is overloaded"
            }
            StoreError::Unanswered => "it did not answer in time, and may have done it: look before you try again",
            StoreError::Failed if shared => {
                "a read or write failed, or it was made anew with another keyring; see the log"
            }
            StoreError::Failed => "a read or write failed; see the log and the disk's health (dmesg)",
        };
        Self::failed(at, problem)
    }

    /// A write that was not done.
    #[must_use]
    pub fn write(at: StoreAt<'_>, error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::store(at, error),
            WriteError::Conflict => Self::failed(at, "somebody else kept changing the same thing; try again"),
        }
    }

    fn failed(at: StoreAt<'_>, problem: &str) -> Self {
        let problem = problem.to_owned();
        match at {
            StoreAt::Directory(directory) => Self::StoreFailed { directory: directory.to_owned(), problem },
            StoreAt::Shared(url) => Self::SharedStoreFailed { store: url.redacted(), problem },
        }
    }
}

/// Standard output could not be written. Commands do what they have to do before they say so; what is lost when nobody reads it goes
/// through [`crate::cli::once`].
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Internal(format!("standard output cannot be written: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_code_of_its_own() {
        let directory = PathBuf::from("/d");
        let errors = [
            CliError::Findings(String::new()),
            CliError::Usage(String::new()),
            CliError::Data(String::new()),
            CliError::NoStore(directory.clone()),
            CliError::PortInUse { key: "listen", address: String::new(), flag: "--listen" },
            CliError::Internal(String::new()),
            CliError::DataDirectory { directory: directory.clone(), problem: String::new() },
            CliError::store(StoreAt::Directory(&directory), StoreError::Failed),
            CliError::InUse { directory: directory.clone() },
            CliError::NewerSchema { directory: directory.clone(), found: 2, known: 1 },
            CliError::WrongMasterKey { file: directory.clone(), directory },
            CliError::Config(ConfigError { faults: Vec::new() }),
        ];
        let mut codes: Vec<_> = errors.iter().map(CliError::exit_code).collect();
        codes.dedup();
        assert_eq!(codes, [1, 64, 65, 66, 69, 70, 73, 74, 75, 76, 77, 78]);
    }
}
