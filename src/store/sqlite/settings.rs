//! Accounts, applications and connections. Few rows, read and written whole; a write names what it replaces.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection as Sql, OptionalExtension as _, params};

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::access::store::ConnectionStore;
use crate::clock::UnixMillis;
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::store::{ApplicationStore, Later, StoreError, WriteError};
use crate::secret::Entropy;
use crate::store::rules;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::records::{int, json, to_json};
use crate::store::sqlite::writer::Reach;

/// Makes an account and its default application, inside the caller's transaction. Whether it was not there.
pub(super) fn found_account(
    sql: &Sql,
    account: &AccountId,
    entropy: &dyn Entropy,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    let insert = "INSERT INTO account (id, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if sql.execute(insert, params![account.as_str(), int(now.0)])? == 0 {
        return Ok(false);
    }
    let id = ApplicationId::generate(entropy);
    put_application(sql, &Application::new(id, 1, account.clone(), Application::default_name(), now))?;
    Ok(true)
}

fn put_application(sql: &Sql, application: &Application) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached(
        "INSERT INTO application (id, account, alias, body) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, body = excluded.body",
    )?;
    let Application { id, account, alias, .. } = application;
    statement.execute(params![id.to_string(), account.as_str(), alias, to_json(application)?]).map(drop)
}

fn applications(sql: &Sql, account: &AccountId) -> rusqlite::Result<Vec<Application>> {
    let mut statement = sql.prepare_cached("SELECT body FROM application WHERE account = ?1 ORDER BY alias")?;
    let rows = statement.query_map([account.as_str()], |row| json(row, 0))?;
    rows.collect()
}

fn connection(sql: &Sql, id: ConnectionId) -> rusqlite::Result<Option<Connection>> {
    let mut statement = sql.prepare_cached("SELECT body FROM connection WHERE id = ?1")?;
    statement.query_row([id.get().cast_signed()], |row| json(row, 0)).optional()
}

/// Writes the connection and its names; `false` when one of the names is another's.
fn put_connection(sql: &Sql, connection: &Connection) -> rusqlite::Result<bool> {
    let id = connection.id.get().cast_signed();
    let row = "INSERT INTO connection (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
    sql.execute(row, params![id, to_json(connection)?])?;
    sql.execute("DELETE FROM connection_name WHERE connection = ?1", [id])?;
    let mut insert =
        sql.prepare("INSERT INTO connection_name (name, connection) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for name in rules::names(connection) {
        if insert.execute(params![name, id])? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

impl SqliteStore {
    /// Makes an account with its default application, unless it is there. Whether it was made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ensure_account(&self, account: AccountId) -> Result<bool, StoreError> {
        let (entropy, now) = (Arc::clone(&self.entropy), self.shared.clock.now());
        self.alone(Reach::Settings, move |sql| Ok(found_account(sql, &account, &*entropy, now)?.then_some(())))
            .await
            .map(|made| made.is_some())
    }

    /// Writes the first connection of all, and its account with the default application where they are not there. Nothing where
    /// any connection is there already, also one that is revoked. Whether it was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_first_connection(&self, first: Connection) -> Result<bool, StoreError> {
        let (entropy, now) = (Arc::clone(&self.entropy), self.shared.clock.now());
        let written = self.alone(Reach::Settings, move |sql| {
            let any: bool = sql.query_row("SELECT EXISTS (SELECT 1 FROM connection)", [], |row| row.get(0))?;
            if any {
                return Ok(None);
            }
            found_account(sql, &first.account, &*entropy, now)?;
            Ok(put_connection(sql, &first)?.then_some(()))
        });
        written.await.map(|written| written.is_some())
    }

    /// The accounts, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        self.readers
            .read(|sql| {
                let mut statement = sql.prepare("SELECT id FROM account ORDER BY id")?;
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                let names: Vec<_> = rows.collect::<Result<_, _>>()?;
                Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
            })
            .await
    }

    async fn write_setting(
        &self,
        work: impl FnOnce(&Sql) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<(), WriteError> {
        let written = self.alone(Reach::Settings, move |sql| Ok(work(sql)?.then_some(()))).await?;
        written.ok_or(WriteError::Conflict)
    }
}

impl ApplicationStore for SqliteStore {
    fn applications(&self, account: &AccountId) -> Later<'_, Result<Vec<Application>, StoreError>> {
        let account = account.clone();
        Box::pin(self.readers.read(move |sql| applications(sql, &account)))
    }

    fn put_application(&self, before: Option<Application>, after: Application) -> Later<'_, Result<(), WriteError>> {
        Box::pin(self.write_setting(move |sql| {
            let mut owner = sql.prepare_cached("SELECT account FROM application WHERE id = ?1")?;
            let owner: Option<String> = owner.query_row([after.id.to_string()], |row| row.get(0)).optional()?;
            let foreign = owner.is_some_and(|owner| owner != after.account.as_str());
            let admitted = !foreign && rules::application(&applications(sql, &after.account)?, before.as_ref(), &after);
            if admitted {
                put_application(sql, &after)?;
            }
            Ok(admitted)
        }))
    }

    fn delete_application(&self, account: &AccountId, id: ApplicationId) -> Later<'_, Result<bool, StoreError>> {
        let account = account.clone();
        Box::pin(async move {
            let deleted = self.alone(Reach::Settings, move |sql| {
                let delete = "DELETE FROM application WHERE id = ?1 AND account = ?2";
                Ok((sql.execute(delete, params![id.to_string(), account.as_str()])? > 0).then_some(()))
            });
            deleted.await.map(|deleted| deleted.is_some())
        })
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }
}

impl ConnectionStore for SqliteStore {
    fn by_key(&self, name: &KeyName) -> Later<'_, Result<Option<Arc<Connection>>, StoreError>> {
        let name = name.clone();
        Box::pin(self.readers.read(move |sql| {
            let mut statement = sql.prepare_cached(
                "SELECT body FROM connection WHERE id = (SELECT connection FROM connection_name WHERE name = ?1)",
            )?;
            statement.query_row([name.as_str()], |row| json(row, 0)).optional().map(|found| found.map(Arc::new))
        }))
    }

    fn connection(&self, id: ConnectionId) -> Later<'_, Result<Option<Connection>, StoreError>> {
        Box::pin(self.readers.read(move |sql| connection(sql, id)))
    }

    fn connections(&self) -> Later<'_, Result<Vec<Connection>, StoreError>> {
        Box::pin(self.readers.read(|sql| {
            let mut statement = sql.prepare_cached("SELECT body FROM connection")?;
            let rows = statement.query_map([], |row| json(row, 0))?;
            let mut all: Vec<Connection> = rows.collect::<Result<_, _>>()?;
            all.sort_by_key(|connection| (connection.created, connection.id));
            Ok(all)
        }))
    }

    fn put_connection(&self, before: Option<Connection>, after: Connection) -> Later<'_, Result<(), WriteError>> {
        Box::pin(self.write_setting(move |sql| {
            let kept = connection(sql, after.id)?;
            Ok(rules::connection(kept.as_ref(), before.as_ref(), &after) && put_connection(sql, &after)?)
        }))
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }
}
