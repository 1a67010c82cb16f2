//! Pairs of keys, tried puzzles and sessions: few columns, each written by a transaction of its own.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::identity::store::{
    Attempt, CaptchaId, IdentityStore, KeptSession, SESSIONS_PER_NUMBER, SessionKey, TRIED_CAPTCHAS,
};
use crate::otp::id::NumberKey;
use crate::otp::store::{Later, StoreError};
use crate::secret::Sealed;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::records::int;
use crate::store::sqlite::writer::Reach;

/// Rows that one step of pruning drops of each table.
const STEP: i64 = 1_000;

fn pair(sql: &Connection, connection: ConnectionId) -> rusqlite::Result<Option<Sealed>> {
    let mut statement = sql.prepare_cached("SELECT sealed FROM key_pair WHERE connection = ?1")?;
    statement.query_row([connection.get().cast_signed()], |row| row.get(0).map(Sealed::from_bytes)).optional()
}

/// None where as many are kept as may be. Rows join at the end and go from anywhere: the span of their numbers is never
/// less than their count, and costs two look-ups.
fn try_captcha(sql: &Connection, attempt: &Attempt) -> rusqlite::Result<Option<bool>> {
    let span: i64 = sql
        .prepare_cached("SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM captcha")?
        .query_row([], |row| row.get(0))?;
    if span >= i64::try_from(TRIED_CAPTCHAS).unwrap_or(i64::MAX) {
        return Ok(None);
    }
    let mut statement = sql.prepare_cached(
        "INSERT INTO captcha (id, expires, solved_for) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
    )?;
    let solved_for = attempt.solved_for.as_ref().map(|hash| hash.as_slice());
    statement.execute(params![attempt.id, int(attempt.expires.0), solved_for]).map(|rows| Some(rows == 1))
}

fn spend_captcha(sql: &Connection, id: CaptchaId, sender: [u8; 32]) -> rusqlite::Result<bool> {
    let mut statement = sql.prepare_cached("UPDATE captcha SET solved_for = NULL WHERE id = ?1 AND solved_for = ?2")?;
    statement.execute(params![id, sender]).map(|rows| rows == 1)
}

fn session(sql: &Connection, key: SessionKey, now: UnixMillis) -> rusqlite::Result<Option<KeptSession>> {
    let mut statement =
        sql.prepare_cached("SELECT number, expires, body FROM session WHERE key = ?1 AND expires > ?2")?;
    let read = |row: &rusqlite::Row<'_>| {
        let expires: i64 = row.get(1)?;
        Ok(KeptSession {
            key,
            number: NumberKey::from_bytes(row.get(0)?),
            expires: UnixMillis(expires.cast_unsigned()),
            body: Sealed::from_bytes(row.get(2)?),
        })
    };
    statement.query_row(params![key, int(now.0)], read).optional()
}

fn end_session(sql: &Connection, key: SessionKey, now: UnixMillis) -> rusqlite::Result<bool> {
    let mut statement = sql.prepare_cached("DELETE FROM session WHERE key = ?1 AND expires > ?2")?;
    statement.execute(params![key, int(now.0)]).map(|rows| rows == 1)
}

fn open_session(
    sql: &Connection,
    kept: &KeptSession,
    replaces: Option<SessionKey>,
    now: UnixMillis,
) -> rusqlite::Result<bool> {
    if let Some(replaces) = replaces
        && !end_session(sql, replaces, now)?
    {
        return Ok(false);
    }
    let room = i64::try_from(SESSIONS_PER_NUMBER - 1).unwrap_or(0);
    // Those that would have ended first, beyond what leaves room for one.
    sql.prepare_cached(
        "DELETE FROM session WHERE key IN \
         (SELECT key FROM session WHERE number = ?1 ORDER BY expires DESC, key DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![kept.number.bytes(), room])?;
    sql.prepare_cached("INSERT INTO session (key, number, expires, body) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![kept.key, kept.number.bytes(), int(kept.expires.0), kept.body.bytes()])?;
    Ok(true)
}

/// Ends a number's sessions, inside the caller's transaction.
pub(super) fn erase(sql: &Connection, key: NumberKey) -> rusqlite::Result<()> {
    sql.prepare_cached("DELETE FROM session WHERE number = ?1")?.execute([key.bytes()]).map(drop)
}

fn prune(sql: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
    for table in ["captcha WHERE seq IN (SELECT seq FROM captcha", "session WHERE key IN (SELECT key FROM session"] {
        sql.prepare_cached(&format!("DELETE FROM {table} WHERE expires <= ?1 ORDER BY expires LIMIT ?2)"))?
            .execute(params![int(now.0), STEP])?;
    }
    Ok(())
}

impl SqliteStore {
    async fn identity<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.alone(Reach::Nothing, move |sql| work(sql).map(Some)).await?;
        done.ok_or(StoreError::Failed)
    }
}

impl IdentityStore for SqliteStore {
    fn pair(&self, connection: ConnectionId) -> Later<'_, Result<Option<Sealed>, StoreError>> {
        Box::pin(self.readers.read(move |sql| pair(sql, connection)))
    }

    fn put_pair(&self, connection: ConnectionId, sealed: Sealed) -> Later<'_, Result<Sealed, StoreError>> {
        Box::pin(self.identity(move |sql| {
            sql.prepare_cached("INSERT INTO key_pair (connection, sealed) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![connection.get().cast_signed(), sealed.bytes()])?;
            Ok(pair(sql, connection)?.unwrap_or(sealed))
        }))
    }

    fn try_captcha(&self, attempt: Attempt) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let first = self.identity(move |sql| try_captcha(sql, &attempt)).await?;
            first.ok_or(StoreError::Unavailable)
        })
    }

    fn spend_captcha(&self, id: CaptchaId, sender: [u8; 32]) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.identity(move |sql| spend_captcha(sql, id, sender)))
    }

    fn session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<Option<KeptSession>, StoreError>> {
        Box::pin(self.readers.read(move |sql| session(sql, key, now)))
    }

    fn open_session(
        &self,
        kept: KeptSession,
        replaces: Option<SessionKey>,
        now: UnixMillis,
    ) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.identity(move |sql| open_session(sql, &kept, replaces, now)))
    }

    fn end_session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.identity(move |sql| end_session(sql, key, now)))
    }

    fn prune_identity(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.identity(move |sql| prune(sql, now)))
    }
}
