//! Verifications: one row each, sealed, because it holds a number and where its outcome is posted. The seal is its checksum.
//!
//! What is due is found by one index, which holds the number too: an erasure reads that and not the rows.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};
use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::otp::id::{NumberKey, VerificationId};
use crate::otp::store::{Later, StoreError, WriteError};
use crate::secret::{Keyring, Sealed};
use crate::store::packed::unpack;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::events::News;
use crate::store::sqlite::records::{int, packed};
use crate::store::sqlite::writer::Reach;
use crate::verification::news::news;
use crate::verification::record::Verification;
use crate::verification::store::{VerificationStore, erased};

/// Verifications that are due, earliest first.
pub(super) const DUE: &str = "SELECT id FROM verification WHERE due <= ?1 ORDER BY due LIMIT ?2";
/// Those of a number: the whole index is read, but none of the rows.
pub(super) const OF_NUMBER: &str = "SELECT id FROM verification INDEXED BY verification_due WHERE number = ?1";

/// A seal opens in its own row only.
fn context(id: VerificationId) -> Vec<u8> {
    [b"verification row ", &id.bytes()[..]].concat()
}

fn verification(sql: &Connection, keyring: &Keyring, id: VerificationId) -> rusqlite::Result<Option<Verification>> {
    let mut statement = sql.prepare_cached("SELECT body FROM verification WHERE id = ?1")?;
    let sealed = statement.query_row([id.bytes()], |row| row.get(0).map(Sealed::from_bytes)).optional()?;
    let Some(sealed) = sealed else { return Ok(None) };
    let damaged = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, error);
    let plain = keyring.open(&context(id), &sealed).map_err(|error| damaged(Box::new(error)))?;
    unpack(&plain).map(Some).map_err(|error| damaged(Box::new(error)))
}

fn put(sql: &Connection, keyring: &Keyring, record: &Verification, retention: Duration) -> rusqlite::Result<()> {
    let plain = packed(record).map(Zeroizing::new)?;
    let sealed = keyring.seal(&context(record.id), &plain);
    let mut statement =
        sql.prepare_cached("INSERT OR REPLACE INTO verification (id, due, number, body) VALUES (?1, ?2, ?3, ?4)")?;
    let due = int(record.due(retention).0);
    statement.execute(params![record.id.bytes(), due, record.number_key.bytes(), sealed.bytes()]).map(drop)
}

fn delete(sql: &Connection, id: VerificationId) -> rusqlite::Result<()> {
    sql.prepare_cached("DELETE FROM verification WHERE id = ?1")?.execute([id.bytes()]).map(drop)
}

/// Erases a number's verifications, inside the caller's transaction.
pub(super) fn erase(
    sql: &Connection,
    keyring: &Keyring,
    number: NumberKey,
    now: UnixMillis,
    retention: Duration,
) -> rusqlite::Result<()> {
    let mut statement = sql.prepare_cached(OF_NUMBER)?;
    let ids = statement.query_map([number.bytes()], |row| row.get(0).map(VerificationId::from_bytes))?;
    for id in ids.collect::<Result<Vec<_>, _>>()? {
        match verification(sql, keyring, id)?.and_then(|kept| erased(kept, now)) {
            Some(left) => put(sql, keyring, &left, retention)?,
            None => delete(sql, id)?,
        }
    }
    Ok(())
}

impl VerificationStore for SqliteStore {
    fn recall_verification(&self, id: VerificationId) -> Option<Verification> {
        self.shared.looks.recall(id)
    }

    fn read_verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>> {
        Box::pin(async move {
            let looks = &self.shared.looks;
            let (keyring, ticket) = (self.keyring(), looks.ticket());
            let found = self.readers.read(move |sql| verification(sql, &keyring, id)).await?;
            if let Some(found) = &found {
                looks.keep(ticket, found);
            }
            Ok(found)
        })
    }

    fn put_verification(
        &self,
        before: Option<Verification>,
        after: Option<Verification>,
    ) -> Later<'_, Result<(), WriteError>> {
        let (keyring, shared) = (self.keyring(), Arc::clone(&self.shared));
        Box::pin(async move {
            let Some(id) = after.as_ref().or(before.as_ref()).map(|one| one.id) else { return Ok(()) };
            let claim = self.shared.claims.of(id);
            let written = self.on_writer(move |writer| {
                let mut told = News::new(&shared.events, shared.clock.now());
                let written = writer.alone(Reach::Verification(id), |sql| {
                    if verification(sql, &keyring, id)? != before {
                        return Ok(None);
                    }
                    if let Some(news) = news(before.as_ref(), after.as_ref()) {
                        told.announced(news);
                        told.write(sql)?;
                    }
                    match &after {
                        Some(after) => put(sql, &keyring, after, shared.retention).map(Some),
                        None => delete(sql, id).map(Some),
                    }
                })?;
                if written.is_some() {
                    told.publish();
                }
                Ok(written)
            });
            written.await?.ok_or(WriteError::Conflict)?;
            self.shared.claims.written(id, claim);
            Ok(())
        })
    }

    fn claim_verifications(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Verification>, StoreError>> {
        Box::pin(async move {
            // What a failed store hands out could not be settled: whoever waits would be told again and again.
            if self.shared.latch.is_set() {
                return Err(StoreError::Failed);
            }
            let (keyring, shared) = (self.keyring(), Arc::clone(&self.shared));
            let more = i64::try_from(limit.saturating_add(shared.claims.len())).unwrap_or(i64::MAX);
            let claimed = self.readers.read(move |sql| {
                let mut statement = sql.prepare_cached(DUE)?;
                let due = statement.query_map(params![int(now.0), more], |row| row.get(0))?;
                let due = due.map(|id| id.map(VerificationId::from_bytes)).collect::<Result<Vec<_>, _>>()?;
                let claimed = shared.claims.claim(due, now, limit);
                let mut found = Vec::with_capacity(claimed.len());
                for id in claimed {
                    match verification(sql, &keyring, id) {
                        Ok(Some(record)) if record.due(shared.retention) <= now => found.push(record),
                        // Whoever had it moved it between the two looks: it is not due any more.
                        Ok(_) => shared.claims.written(id, shared.claims.of(id)),
                        // One that cannot be read keeps nobody else waiting.
                        Err(error) => tracing::error!(%error, "a verification cannot be read"),
                    }
                }
                Ok(found)
            });
            claimed.await
        })
    }
}
