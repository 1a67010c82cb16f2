//! Opening the store: the directory, the schema, the keyring, and what the first start makes. One error per cause.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::clock::{Clock, SystemClock};
use crate::otp::id::AccountId;
use crate::secret::{Entropy, Keyring, SystemEntropy};
use crate::store::sqlite::records::int;
use crate::store::sqlite::{files, schema, settings};

/// How long a connection waits for a lock: the command line writes beside the server.
const BUSY: Duration = Duration::from_secs(5);
/// What `meta` calls the wrapped keyring.
pub(super) const KEYRING: &str = "keyring";
/// What `meta` calls how far a copy into this store has come; there is none once it is finished.
pub(super) const UNFINISHED: &str = "copying";

/// As what a process opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the one server of the directory: it hands out the messages.
    Server,
    /// Beside it, or without one: the command line.
    Beside,
}

/// How to open the store.
pub struct Options {
    /// The data directory; made when it is not there.
    pub dir: PathBuf,
    /// As what.
    pub mode: Mode,
    /// The operator's master key file, which must exist. None: `master.key` in the data directory, made on first start.
    pub master_key_file: Option<PathBuf>,
    /// How long after its final state an OTP keeps its number.
    pub retention: Duration,
    /// Committed OTPs kept in memory, about 1 KB each.
    pub cached_otps: u64,
    /// Connections that read, at least 1.
    pub readers: usize,
    /// The largest size of the database file in bytes; beyond it writes are refused as on a full disk. None: the disk's.
    pub max_bytes: Option<u64>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, for keys and ids.
    pub entropy: Arc<dyn Entropy>,
}

impl Options {
    /// The defaults: 30 days of retention, 50,000 OTPs in memory, 4 readers, no bound on the size.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, mode: Mode) -> Self {
        Self {
            dir: dir.into(),
            mode,
            master_key_file: None,
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            cached_otps: 50_000,
            readers: 4,
            max_bytes: None,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// Why the store was not opened. Nothing is running then, and no lock is held.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be made or written.
    #[error("the data directory {path} cannot be used: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server holds the data directory.
    #[error("another server uses the data directory {path}", path = path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A newer release has changed the schema.
    #[error("{path} has schema {found}, written by a newer release; this one knows up to {known}", path = path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// There is data, or a file was named, but no master key.
    #[error("there is no master key file {path}", path = path.display())]
    NoMasterKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file holds no master key.
    #[error("{path} holds no master key: 64 hexadecimal digits (make one with: openssl rand -hex 32)", path = path.display())]
    MalformedMasterKey {
        /// The file.
        path: PathBuf,
    },
    /// The data was made with another master key.
    #[error("the master key in {path} is not the one that this data was made with", path = path.display())]
    WrongMasterKey {
        /// The file of the key.
        path: PathBuf,
    },
    /// The file is no SQLite database, or one of another program.
    #[error("{path} is not a database of otpgate", path = path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A copy into it was not finished.
    #[error("a copy into the store {path} was not finished: run it again", path = path.display())]
    Unfinished {
        /// The database.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database {path} is damaged: restore it from a backup", path = path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
    },
    /// No room on the disk.
    #[error("there is no room on the disk for {path}", path = path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The system failed otherwise.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// SQLite failed otherwise.
    #[error("{path}: {source}", path = path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What an error of SQLite on the database `path` is here.
    pub(super) fn of(error: rusqlite::Error, path: &Path) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Directory { source: io::Error::other(error), path }
            }
            _ => Self::Sqlite { path, source: error },
        }
    }
}

/// What was opened.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) writer: Connection,
    pub(super) keyring: Keyring,
    pub(super) first_start: bool,
    /// Held for as long as the server lives.
    pub(super) server_lock: Option<std::fs::File>,
}

/// Opens the files, brings the schema up to date and opens the keyring; the first time it makes them all.
pub(super) fn open(options: &Options) -> Result<Opened, OpenError> {
    let dir = &options.dir;
    files::make_directory(dir)?;
    let server_lock = match options.mode {
        Mode::Server => Some(files::lock_server(dir)?),
        Mode::Beside => None,
    };
    let _opening = files::lock_opening(dir)?;
    let path = files::make_database(dir)?;
    let failed = |error| OpenError::of(error, &path);
    let mut writer = connect(&path, Role::Writer).map_err(failed)?;
    let version = schema::version(&writer, &path)?;
    if version < schema::newest() {
        // Not under a server's feet. A file that is still empty belongs to nobody yet.
        let _server = (options.mode == Mode::Beside && version > 0).then(|| files::lock_server(dir)).transpose()?;
        schema::migrate(&mut writer).map_err(failed)?;
    }
    let wal: String = writer.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if wal != "wal" {
        return Err(OpenError::Io { path, source: io::Error::other("the file system allows no write-ahead log") });
    }
    let unfinished = "SELECT 1 FROM meta WHERE key = ?1";
    if writer.query_row(unfinished, [UNFINISHED], |_| Ok(())).optional().map_err(failed)?.is_some() {
        return Err(OpenError::Unfinished { path });
    }
    let (keyring, first_start) = open_keyring(&mut writer, &path, options)?;
    if let Some(bytes) = options.max_bytes {
        let size: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(failed)?;
        let pages = (int(bytes) / size.max(1)).clamp(1, 0xffff_fffe);
        writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(failed)?;
    }
    Ok(Opened { path, writer, keyring, first_start, server_lock })
}

fn open_keyring(writer: &mut Connection, path: &Path, options: &Options) -> Result<(Keyring, bool), OpenError> {
    let failed = |error| OpenError::of(error, path);
    let key_path = files::master_key_path(&options.dir, options.master_key_file.as_deref());
    let key = files::read_master_key(&key_path)?;
    let read = "SELECT value FROM meta WHERE key = ?1";
    let wrapped: Option<String> = writer.query_row(read, [KEYRING], |row| row.get(0)).optional().map_err(failed)?;
    if let Some(wrapped) = wrapped {
        // Never make a key here: data without its key is not a first start.
        let key = key.ok_or_else(|| OpenError::NoMasterKey { path: key_path.clone() })?;
        let keyring = Keyring::unwrap(&key, &wrapped).map_err(|_| OpenError::WrongMasterKey { path: key_path })?;
        return Ok((keyring, false));
    }
    let key = match key {
        Some(key) => key,
        None if options.master_key_file.is_some() => return Err(OpenError::NoMasterKey { path: key_path }),
        None => files::make_master_key(&key_path, &*options.entropy)?,
    };
    let keyring = Keyring::generate(&*options.entropy);
    make_first_records(writer, &keyring.wrap(&key), options).map_err(failed)?;
    Ok((keyring, true))
}

/// The keyring, the account `default` and its application: all of them or none.
fn make_first_records(writer: &mut Connection, wrapped: &str, options: &Options) -> rusqlite::Result<()> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [KEYRING, wrapped])?;
    let (account, now) = (AccountId::default_account(), options.clock.now());
    settings::found_account(&transaction, &account, &*options.entropy, now)?;
    transaction.commit()
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Checkpointer,
    Reader,
}

/// Opens one connection to the file, which exists.
pub(super) fn connect(path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The checkpoint of a close swallows its errors, like the automatic one: ours are made where errors are judged.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // No memory map: an I/O error in one is a signal, not an error.
    connection.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;",
    )?;
    match role {
        // A group's pages stay in memory until its commit.
        Role::Writer => connection.execute_batch("PRAGMA cache_size = -32768")?,
        Role::Checkpointer => {}
        Role::Reader => connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA query_only = ON")?,
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_durable_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&Options::new(dir.path(), Mode::Server)).unwrap());
        for role in [Role::Writer, Role::Checkpointer, Role::Reader] {
            let connection = connect(&dir.path().join(files::DATABASE), role).unwrap();
            let pragma =
                |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
            let set =
                (pragma("synchronous"), pragma("secure_delete"), pragma("wal_autocheckpoint"), pragma("mmap_size"));
            assert_eq!(set, (2, 1, 0, 0), "{role:?}");
            assert_eq!(pragma("query_only"), i64::from(role == Role::Reader));
            assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap());
        }
    }
}
