//! Opens the store that the configuration names. The only file of the command line that may name an adapter.

use std::path::Path;
use std::sync::Arc;

use crate::cli::{CliError, Desk};
use crate::clock::Clock;
use crate::config::Config;
use crate::secret::SystemEntropy;
use crate::store::sqlite::{Mode, OpenError, Options, SqliteStore};

/// An open store.
pub struct OpenedStore {
    store: Arc<SqliteStore>,
    keyring: Arc<crate::secret::Keyring>,
}

impl OpenedStore {
    /// The tools for a command.
    pub fn desk<'a>(&'a self, clock: &'a dyn Clock, directory: &'a Path) -> Desk<'a> {
        Desk {
            connections: &*self.store,
            applications: &*self.store,
            subscriptions: &*self.store,
            events: &*self.store,
            eraser: &*self.store,
            keyring: &self.keyring,
            entropy: &SystemEntropy,
            clock,
            directory,
        }
    }
}

/// Opens the store beside a server that may be running, with its keyring; makes both where there is nothing yet.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub fn open_store(config: &Config) -> Result<OpenedStore, CliError> {
    let store = open(config, Mode::Beside)?;
    let keyring = store.keyring();
    Ok(OpenedStore { store, keyring })
}

/// Opens the store as `mode` says.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub fn open(config: &Config, mode: Mode) -> Result<Arc<SqliteStore>, CliError> {
    let options = Options {
        master_key_file: config.master_key_file.clone(),
        retention: config.store.retention(),
        cached_otps: config.store.cached_otps.into(),
        // A command reads one thing at a time.
        readers: if mode == Mode::Server { 2 } else { 1 },
        ..Options::new(&config.data_dir, mode)
    };
    SqliteStore::open(options).map(Arc::new).map_err(|error| named(error, config))
}

fn named(error: OpenError, config: &Config) -> CliError {
    let directory = config.data_dir.clone();
    match error {
        OpenError::Directory { source, .. } => CliError::DataDirectory { directory, problem: source.to_string() },
        OpenError::InUse { .. } => CliError::InUse { directory },
        OpenError::TooNew { found, known, .. } => {
            let version = |number| u32::try_from(number).unwrap_or(u32::MAX);
            CliError::NewerSchema { directory, found: version(found), known: version(known) }
        }
        OpenError::WrongMasterKey { path } => CliError::WrongMasterKey { file: path, directory },
        OpenError::NoMasterKey { .. } | OpenError::MalformedMasterKey { .. } => CliError::MasterKey(error.to_string()),
        OpenError::NotADatabase { .. } | OpenError::Corrupt { .. } | OpenError::Full { .. } => {
            CliError::StoreFailed { directory, problem: error.to_string() }
        }
        OpenError::Io { .. } | OpenError::Sqlite { .. } => {
            CliError::DataDirectory { directory, problem: error.to_string() }
        }
    }
}
