//! The embedded store at one end of a copy: it is held like a server holds it, so nobody serves from it meanwhile. Rows of a
//! batch and how far the copy has come are one transaction.
//!
//! Nothing here is in a hurry for anybody else: every step blocks its caller, which is a command.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};

use crate::access::connection::Connection as Caller;
use crate::clock::{Clock, SystemClock};
use crate::otp::store::Later;
use crate::quota::{ConnectionKey, SavedRing};
use crate::store::sqlite::open::{KEYRING, OpenError, Role, UNFINISHED, connect};
use crate::store::sqlite::records::json;
use crate::store::sqlite::{files, schema};
use crate::store::transfer::{Cursor, Kind, Page, Progress, Row, Standing, Transfer, TransferError};

/// Pages of the log after which it is copied: nobody waits for a commit here.
const LOG_PAGES: u32 = 4_000;

/// An embedded store at one end of a copy.
pub struct SqliteTransfer {
    dir: PathBuf,
    /// None where there is no database.
    sql: Option<Mutex<Connection>>,
    clock: Arc<dyn Clock>,
    _server_lock: Option<std::fs::File>,
}

impl SqliteTransfer {
    /// Holds the store in `dir`, which is made for a target.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`] while a server runs.
    pub fn open(dir: &Path, target: bool) -> Result<Self, OpenError> {
        let clock = Arc::new(SystemClock::new());
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        if !target && !dir.join(files::DATABASE).exists() {
            return Ok(Self { dir, sql: None, clock, _server_lock: None });
        }
        files::make_directory(&dir)?;
        let server_lock = files::lock_server(&dir)?;
        let _opening = files::lock_opening(&dir)?;
        let path = files::make_database(&dir)?;
        let failed = |error| OpenError::of(error, &path);
        let mut sql = connect(&path, Role::Writer).map_err(failed)?;
        schema::version(&sql, &path)?;
        schema::migrate(&mut sql).map_err(failed)?;
        sql.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(failed)?;
        sql.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(())).map_err(failed)?;
        Ok(Self { dir, sql: Some(Mutex::new(sql)), clock, _server_lock: Some(server_lock) })
    }

    fn with<T>(
        &self,
        kind: Kind,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, TransferError> {
        let Some(sql) = &self.sql else { return Err(TransferError::Store("there is no database".to_owned())) };
        work(&mut sql.lock()).map_err(|error| match error {
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                TransferError::Damaged(kind)
            }
            error if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => TransferError::Full,
            error => TransferError::Store(error.to_string()),
        })
    }
}

fn meta(sql: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    sql.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn note(sql: &Connection, progress: &Progress) -> rusqlite::Result<()> {
    let sql = sql.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)");
    sql?.execute([UNFINISHED, &progress.text()]).map(drop)
}

/// Every quota is full when the first server takes the rings over.
fn charge(sql: &Connection, now: u64) -> rusqlite::Result<()> {
    sql.execute("DELETE FROM quota_ring", [])?;
    let mut callers = sql.prepare("SELECT body FROM connection")?;
    let mut insert = sql.prepare("INSERT INTO quota_ring (connection, body) VALUES (?1, ?2)")?;
    let callers = callers.query_map([], |row| json::<Caller>(row, 0))?;
    for caller in callers {
        let caller = caller?;
        if let Ok(allowance) = caller.quota.allowance()
            && let Some(policy) = allowance.policy()
        {
            let ring = SavedRing::full(ConnectionKey(caller.id.get()), policy, now);
            insert.execute(rusqlite::params![caller.id.get().cast_signed(), ring.bytes])?;
        }
    }
    Ok(())
}

impl Transfer for SqliteTransfer {
    fn name(&self) -> String {
        format!("sqlite:{}", self.dir.display())
    }

    fn standing(&self) -> Later<'_, Result<Standing, TransferError>> {
        Box::pin(async move {
            if self.sql.is_none() {
                return Ok(Standing::Empty);
            }
            let (keyring, copying) =
                self.with(Kind::Application, |sql| Ok((meta(sql, KEYRING)?, meta(sql, UNFINISHED)?)))?;
            Ok(match (keyring, copying) {
                (None, _) => Standing::Empty,
                (Some(keyring), None) => Standing::Made { keyring },
                (Some(keyring), Some(text)) => {
                    let unreadable = || TransferError::Store("how far the copy came cannot be read".to_owned());
                    Standing::Unfinished { keyring, progress: Progress::parse(&text).ok_or_else(unreadable)? }
                }
            })
        })
    }

    fn begin<'a>(&'a self, keyring: &'a str, progress: &'a Progress) -> Later<'a, Result<(), TransferError>> {
        Box::pin(async move {
            self.with(Kind::Application, |sql| {
                let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute_batch("DELETE FROM application; DELETE FROM account; DELETE FROM meta;")?;
                transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [KEYRING, keyring])?;
                note(&transaction, progress)?;
                transaction.commit()
            })
        })
    }

    fn read(&self, kind: Kind, after: Option<Cursor>, limit: usize) -> Later<'_, Result<Page, TransferError>> {
        Box::pin(async move {
            let after = after.map(|cursor| cursor.0).unwrap_or_default();
            let rows = self.with(kind, |sql| read::rows(sql, kind, &after, limit))?;
            let next = if rows.len() < limit { None } else { rows.last().map(|row| Cursor(row.key.clone())) };
            Ok(Page { rows, next })
        })
    }

    fn count(&self, kind: Kind) -> Later<'_, Result<u64, TransferError>> {
        Box::pin(async move {
            let count = format!("SELECT count(*) FROM {}", read::table(kind));
            self.with(kind, |sql| sql.query_row(&count, [], |row| row.get::<_, i64>(0))).map(i64::cast_unsigned)
        })
    }

    fn write<'a>(&'a self, kind: Kind, rows: Vec<Row>, progress: &'a Progress) -> Later<'a, Result<(), TransferError>> {
        Box::pin(async move {
            let malformed = self.with(kind, |sql| {
                let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
                for row in &rows {
                    if write::row(&transaction, kind, row)?.is_none() {
                        return Ok(true);
                    }
                }
                note(&transaction, progress)?;
                transaction.commit().map(|()| false)
            })?;
            if malformed { Err(TransferError::Damaged(kind)) } else { Ok(()) }
        })
    }

    fn finish(&self) -> Later<'_, Result<(), TransferError>> {
        let now = self.clock.now().0;
        Box::pin(async move {
            self.with(Kind::Connection, |sql| {
                let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
                charge(&transaction, now)?;
                transaction.execute("DELETE FROM meta WHERE key = ?1", [UNFINISHED])?;
                transaction.commit()?;
                sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            })
        })
    }
}
