//! What lies in a data directory, for whoever wants to know whether it can be served from. Judges nothing; beside a server that
//! runs it reads only.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::secret::Keyring;
use crate::store::sqlite::open::{KEYRING, OpenError, Role, UNFINISHED, connect};
use crate::store::sqlite::{files, schema};

/// A store in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The version of its schema.
    pub schema: u32,
    /// The newest that is known here: the next start brings it there.
    pub newest: u32,
    /// Whether a server runs on it.
    pub served: bool,
}

/// Looks into `dir`; none where there is no store yet.
///
/// # Errors
/// [`OpenError`], as a start would give it.
pub fn inspect(dir: &Path, master_key_file: Option<&Path>) -> Result<Option<Inspection>, OpenError> {
    if !dir.join(files::DATABASE).exists() {
        return Ok(None);
    }
    let path = dir.join(files::DATABASE);
    let failed = |error| OpenError::of(error, &path);
    let sql = connect(&path, Role::Reader).map_err(failed)?;
    let found = schema::version(&sql, &path)?;
    check(&sql, &path, &files::master_key_path(dir, master_key_file))?;
    let served = matches!(files::lock_server(dir), Err(OpenError::InUse { .. }));
    let version = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Some(Inspection { schema: version(found), newest: version(schema::newest()), served }))
}

/// Whether the database is a whole store that the master key in `key_path` opens.
pub(super) fn check(sql: &Connection, path: &Path, key_path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::of(error, path);
    let meta = |key: &str| {
        let found = sql.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0));
        found.optional().map_err(failed)
    };
    if meta(UNFINISHED)?.is_some() {
        return Err(OpenError::Unfinished { path: path.to_owned() });
    }
    let Some(wrapped) = meta(KEYRING)? else { return Err(OpenError::NotADatabase { path: path.to_owned() }) };
    let key = files::read_master_key(key_path)?.ok_or_else(|| OpenError::NoMasterKey { path: key_path.to_owned() })?;
    let opened = Keyring::unwrap(&key, &wrapped);
    opened.map(drop).map_err(|_| OpenError::WrongMasterKey { path: key_path.to_owned() })
}
