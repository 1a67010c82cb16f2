//! Nonces that were spent: their rows, and their sweep. Spent in the groups of the changes, so that calls which are
//! authenticated at the same time share a commit.
//!
//! Must not know what a nonce belongs to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;

use crate::access::nonce::{NonceKey, NonceStore, Spent};
use crate::clock::UnixMillis;
use crate::otp::store::{Later, StoreError};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::records::int;
use crate::store::sqlite::writer::{Grouped, Job, Reach, Work};

/// Nonces that are remembered, at most: 3,000 proved calls a second for as long as a nonce lasts, in some 400 MB. Beyond
/// them none is spent, so no proof is taken: what cannot be remembered must not pass.
const AT_MOST: u64 = 4_000_000;
/// Nobody has counted yet.
const UNCOUNTED: u64 = u64::MAX;

/// Nonces whose time is over, earliest first.
pub(super) const OVER: &str = "SELECT key FROM nonce WHERE until <= ?1 ORDER BY until LIMIT ?2";

/// How many there are. Counted when the first is spent, not at the start.
pub(super) struct Count(AtomicU64);

impl Default for Count {
    fn default() -> Self {
        Self(AtomicU64::new(UNCOUNTED))
    }
}

impl Count {
    /// Whether there is room for one beside `others` that are about to be written.
    pub(super) fn has_room(&self, sql: &Connection, others: usize) -> rusqlite::Result<bool> {
        let mut count = self.0.load(Ordering::Relaxed);
        if count == UNCOUNTED {
            let rows: i64 = sql.query_row("SELECT count(*) FROM nonce", [], |row| row.get(0))?;
            count = rows.cast_unsigned();
            self.0.store(count, Ordering::Relaxed);
        }
        Ok(count.saturating_add(u64::try_from(others).unwrap_or(u64::MAX)) < AT_MOST)
    }

    /// So many were written. Only the writer's thread counts.
    pub(super) fn grew(&self, by: usize) {
        let by = u64::try_from(by).unwrap_or_default();
        let _counted = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count != UNCOUNTED).then(|| count.saturating_add(by))
        });
    }

    fn shrank(&self, by: usize) {
        let by = u64::try_from(by).unwrap_or_default();
        let _counted = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count != UNCOUNTED).then(|| count.saturating_sub(by))
        });
    }
}

/// Whether it was spent.
pub(super) fn is_spent(sql: &Connection, key: NonceKey) -> rusqlite::Result<bool> {
    let mut statement = sql.prepare_cached("SELECT 1 FROM nonce WHERE key = ?1")?;
    statement.query_row([key.bytes()], |_| Ok(())).optional().map(|found| found.is_some())
}

/// Writes one that was not there.
pub(super) fn put_nonce(sql: &Connection, key: NonceKey, until: UnixMillis) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached("INSERT INTO nonce (key, until) VALUES (?1, ?2)")?;
    statement.execute(params![key.bytes(), int(until.0)]).map(drop)
}

impl NonceStore for SqliteStore {
    fn spend(&self, key: NonceKey, until: UnixMillis) -> Later<'_, Result<Spent, StoreError>> {
        Box::pin(async move {
            let found = Arc::<OnceLock<Spent>>::default();
            let (answer, outcome) = oneshot::channel();
            let work = Work::Nonce { key, until, found: Arc::clone(&found) };
            self.submit(Job::Grouped(Grouped { work, answer }))?;
            outcome.await.unwrap_or(Err(StoreError::Failed))?;
            // Nothing was found where there was no room.
            found.get().copied().ok_or(StoreError::Full)
        })
    }

    fn drop_nonces(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            // Mostly there is nothing to do: that costs a look and no turn of the writer.
            let look = move |sql: &Connection| {
                sql.prepare_cached(OVER)?.query_row(params![int(now.0), 1], |_| Ok(())).optional()
            };
            if self.readers.read(look).await?.is_none() {
                return Ok(0);
            }
            let dropped = self.alone(Reach::Nothing, move |sql| {
                let sql = sql.prepare_cached(&format!("DELETE FROM nonce WHERE key IN ({OVER})"));
                sql?.execute(params![int(now.0), limit]).map(Some)
            });
            let dropped = dropped.await?.unwrap_or_default();
            self.shared.nonces.shrank(dropped);
            Ok(dropped)
        })
    }
}
