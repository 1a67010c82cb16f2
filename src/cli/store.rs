//! Opens the store that the configuration names. The only file of the command line that may name an adapter.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::app::Backing;
use crate::cli::{CliError, Desk, StoreAt};
use crate::clock::Clock;
use crate::config::{Config, SecretUrl, StoreUrl};
use crate::otp::store::StoreError;
use crate::secret::{MasterKey, Secret, SystemEntropy};
use crate::store::Store;
use crate::store::redis::{self, Address, ConnectError, Known, RedisStore};
use crate::store::sqlite::{Mode, OpenError, Options, SqliteStore};

/// The name of the embedded store's database in a data directory.
const DATABASE: &str = "otpgate.db";

/// What a command does where there is no embedded store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It makes one.
    Make,
    /// It makes one, and says so beside its answer: who meant another directory sees it.
    MakeAndSay,
    /// It says so, and makes nothing.
    Refuse,
}

/// An open store.
pub struct OpenedStore {
    store: Arc<dyn Store>,
    keyring: Arc<crate::secret::Keyring>,
}

impl OpenedStore {
    /// The tools for a command.
    pub fn desk<'a>(&'a self, clock: &'a dyn Clock, at: StoreAt<'a>) -> Desk<'a> {
        desk(&*self.store, &self.keyring, clock, at)
    }
}

/// The tools of a command, over any store.
pub fn desk<'a>(
    store: &'a dyn Store,
    keyring: &'a crate::secret::Keyring,
    clock: &'a dyn Clock,
    at: StoreAt<'a>,
) -> Desk<'a> {
    Desk {
        connections: store,
        applications: store,
        subscriptions: store,
        events: store,
        eraser: store,
        keyring,
        entropy: &SystemEntropy,
        clock,
        at,
    }
}

/// Opens the store beside a server that may be running, with its keyring. Where there is no embedded one yet, `absent` says
/// whether both are made; a shared one has its own setting for that.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub async fn open_store(config: &Config, absent: Absent) -> Result<OpenedStore, CliError> {
    let missing = match config.store.url {
        StoreUrl::Sqlite => there(&config.data_dir).err(),
        StoreUrl::Redis(_) => None,
    };
    if absent == Absent::Refuse
        && let Some(missing) = missing
    {
        return Err(missing);
    }
    let store = open(config, Mode::Beside).await?.store();
    if absent == Absent::MakeAndSay && matches!(missing, Some(CliError::NoStore(_))) {
        // Who reads none of it has the answer all the same.
        let _unread =
            writeln!(std::io::stderr(), "{} held no store; a new one is made there", config.data_dir.display());
    }
    let keyring = store.keyring();
    Ok(OpenedStore { store, keyring })
}

/// Whether a directory holds an embedded store. Changes nothing.
///
/// # Errors
/// [`CliError::NoStore`]; [`CliError::DataDirectory`] where this user may not look.
fn there(directory: &Path) -> Result<(), CliError> {
    match directory.join(DATABASE).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::NoStore(directory.to_owned())),
        Err(error) => Err(CliError::DataDirectory { directory: directory.to_owned(), problem: error.to_string() }),
    }
}

/// Opens the store as `mode` says.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub async fn open(config: &Config, mode: Mode) -> Result<Backing, CliError> {
    if let StoreUrl::Redis(url) = &config.store.url {
        let options = redis_options(config, url, mode)?;
        let store = RedisStore::open(options).await.map_err(|error| refused(&error, config, url))?;
        return Ok(Backing::Redis(Arc::new(store)));
    }
    let options = Options {
        master_key_file: config.master_key_file.clone(),
        retention: config.store.retention(),
        cached_otps: config.store.cached_otps.into(),
        // A command reads one thing at a time.
        readers: if mode == Mode::Server { 2 } else { 1 },
        ..Options::new(&config.data_dir, mode)
    };
    let store = SqliteStore::open(options).map_err(|error| named(error, config))?;
    Ok(Backing::Sqlite(Arc::new(store)))
}

/// How to open the shared store.
///
/// # Errors
/// [`CliError`] for an address or a master key that cannot be used.
pub fn redis_options(config: &Config, url: &SecretUrl, mode: Mode) -> Result<redis::Options, CliError> {
    let address = address(config, url)?;
    Ok(redis::Options {
        timeout: config.store.timeout,
        wait_replicas: config.store.wait_replicas,
        retention: config.store.retention(),
        cached_otps: config.store.cached_otps.into(),
        create: config.store.create,
        known: Some(Known::new(config.data_dir.clone())),
        server: mode == Mode::Server,
        ..redis::Options::new(address, master_key(config)?)
    })
}

/// The shared store's address, and whose certificates are trusted there.
///
/// # Errors
/// [`CliError`] for an address or a file that cannot be used.
pub fn address(config: &Config, url: &SecretUrl) -> Result<Address, CliError> {
    let address = Address::parse(url.expose()).map_err(|error| CliError::StoreAddress(error.to_string()))?;
    let Some(file) = &config.store.ca_file else { return Ok(address) };
    let authorities = std::fs::read(file)
        .map_err(|error| CliError::StoreAuthorities { file: file.clone(), problem: error.to_string() })?;
    Ok(address.trusting(authorities))
}

/// The master key of a shared store.
///
/// # Errors
/// [`CliError::MasterKey`].
pub fn master_key(config: &Config) -> Result<MasterKey, CliError> {
    // The configuration was checked: whoever shares a store names the key.
    let Some(file) = &config.master_key_file else {
        return Err(CliError::MasterKey("missing; a shared store needs a key that every gateway has".to_owned()));
    };
    let text = std::fs::read_to_string(file).map(Secret::new);
    let text = text.map_err(|error| CliError::MasterKey(format!("{}: {error}", file.display())))?;
    MasterKey::parse(text.expose()).map_err(|error| CliError::MasterKey(format!("{}: {error}", file.display())))
}

/// What keeps a shared store from being opened, with its exit code.
pub fn refused(error: &ConnectError, config: &Config, url: &SecretUrl) -> CliError {
    let store = url.redacted();
    let problem = error.to_string();
    match error {
        ConnectError::Unreachable(_)
        | ConnectError::NotAStore
        | ConnectError::NoDatabase { .. }
        | ConnectError::Replica
        | ConnectError::UnknownMaster { .. } => CliError::StoreAway { store, problem },
        ConnectError::Untrusted(_) => CliError::StoreUntrusted { store, problem },
        ConnectError::Refused(_) | ConnectError::NoPassword => CliError::StorePassword { store, problem },
        ConnectError::Forbidden(_) => CliError::StoreRight { store, problem },
        ConnectError::TooOld { .. } => CliError::StoreTooOld { store, problem },
        ConnectError::ClusterDown(_) => CliError::ClusterDown { store, problem },
        ConnectError::Uninitialised => CliError::StoreEmptied { store, problem },
        ConnectError::WrongMasterKey | ConnectError::OtherKeyring => {
            let file = config.master_key_file.clone().unwrap_or_default();
            CliError::MasterKey(format!(
                "{}: the master key is not the one that the data in {store} was made with; give the file that was in use then",
                file.display()
            ))
        }
        ConnectError::Unfinished => CliError::StoreUnfinished { store, problem },
        ConnectError::TooNew { .. } => CliError::StoreTooNew { store, problem },
        ConnectError::Full => CliError::store(StoreAt::Shared(url), StoreError::Full),
        ConnectError::Unexpected(_) => CliError::SharedStoreFailed { store, problem },
    }
}

/// What keeps an embedded store from being opened, with its exit code.
pub fn named(error: OpenError, config: &Config) -> CliError {
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
        OpenError::Unfinished { path } => CliError::StoreUnfinished {
            store: path.display().to_string(),
            problem: "a copy into this store was not finished: run it again".to_owned(),
        },
        OpenError::NotADatabase { .. } | OpenError::Corrupt { .. } | OpenError::Full { .. } => {
            CliError::StoreFailed { directory, problem: error.to_string() }
        }
        OpenError::Io { .. } | OpenError::Sqlite { .. } => {
            CliError::DataDirectory { directory, problem: error.to_string() }
        }
    }
}
