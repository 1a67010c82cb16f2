//! The data directory: who may use it, its locks, and the file of the master key. Knows nothing of SQLite.
//!
//! The directory is made for its owner alone, and so is every file in it. A directory that exists keeps its permissions:
//! it may be shared on purpose, and its files are private anyway.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::secret::{Entropy, MasterKey};
use crate::store::sqlite::open::OpenError;

/// The database.
pub(super) const DATABASE: &str = "otpgate.db";
/// Locked for as long as a server holds the directory.
const SERVER_LOCK: &str = "server.lock";
/// Locked while a process opens the store, so that two first starts make one store.
const OPEN_LOCK: &str = "open.lock";
/// The master key, when the operator names no other file.
const MASTER_KEY: &str = "master.key";

/// Makes the directory, for its owner alone, unless it is there.
pub(super) fn make_directory(dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Directory { path: dir.to_owned(), source };
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    // Its name is an entry of its parent: durable only once that is.
    dir.canonicalize().and_then(|dir| dir.parent().map_or(Ok(()), sync_directory)).map_err(failed)
}

/// The lock that makes this process the directory's server, until it is dropped.
pub(super) fn lock_server(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(SERVER_LOCK);
    let file = private(&path).map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

/// Waits until no other process is opening the store; nobody else is until this is dropped.
pub(super) fn lock_opening(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(OPEN_LOCK);
    let file = private(&path).map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
    file.lock().map_err(|source| OpenError::Io { path, source })?;
    Ok(file)
}

/// Makes an empty database file, for its owner alone, unless it is there. SQLite gives its other files the same mode.
pub(super) fn make_database(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = dir.join(DATABASE);
    let there = path.exists();
    private(&path).map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
    if !there {
        sync_directory(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    }
    Ok(path)
}

/// Where the master key is: in the file that the operator named, else in the data directory.
pub(super) fn master_key_path(dir: &Path, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| dir.join(MASTER_KEY), Path::to_owned)
}

/// Reads the master key; none when there is no such file.
pub(super) fn read_master_key(path: &Path) -> Result<Option<MasterKey>, OpenError> {
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            MasterKey::parse(&text).map(Some).map_err(|_| OpenError::MalformedMasterKey { path: path.to_owned() })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(OpenError::MalformedMasterKey { path: path.to_owned() })
        }
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}

/// Makes a master key and its file: whole and durable, or not there. To be called under [`lock_opening`].
pub(super) fn make_master_key(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, OpenError> {
    let key = MasterKey::generate(entropy);
    write_whole(path, key.to_hex().as_bytes()).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    Ok(key)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("key.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Opens a file, made for its owner alone if it is not there.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
