//! Kept answers: their rows, their sweep, and those in memory that were committed lately.
//!
//! The key is a hash, so each row lies on a page of its own; that is paid by the calls that bring a key, and by no other.
//! The seal of an answer is its checksum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::clock::UnixMillis;
use crate::idempotency::{Fingerprint, ReplayKey};
use crate::otp::answer::{AnswerStore, KeptAnswer};
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::store::{Later, StoreError};
use crate::secret::Sealed;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::records::int;
use crate::store::sqlite::writer::Reach;

/// Answers whose time is over, earliest first.
pub(super) const DUE: &str = "SELECT key FROM answer WHERE due <= ?1 ORDER BY due LIMIT ?2";
/// The answers that tell of a number: the whole index is read, but none of the rows.
pub(super) const OF_NUMBER: &str = "SELECT key FROM answer INDEXED BY answer_due WHERE number = ?1";
/// Bytes of answers in memory, at most: some 10,000 of them.
const CACHED: u64 = 8 * 1_024 * 1_024;
/// What an answer takes in memory beside its sealed bytes.
const OVERHEAD: usize = 160;

/// The answer under `key`.
pub(super) fn answer(connection: &Connection, key: ReplayKey) -> rusqlite::Result<Option<KeptAnswer>> {
    let sql = "SELECT fingerprint, expires, otp, number, sealed FROM answer WHERE key = ?1";
    let read = |row: &Row<'_>| {
        Ok(KeptAnswer {
            key,
            fingerprint: Fingerprint::from_bytes(row.get(0)?),
            expires: UnixMillis(u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()),
            otp: row.get::<_, Option<[u8; 16]>>(2)?.map(OtpId::from_bytes),
            number: row.get::<_, Option<[u8; 16]>>(3)?.map(NumberKey::from_bytes),
            sealed: Sealed::from_bytes(row.get(4)?),
        })
    };
    connection.prepare_cached(sql)?.query_row([key.bytes()], read).optional()
}

/// Writes an answer, in the place of one that is there; `due` is when it is to be dropped.
pub(super) fn put_answer(connection: &Connection, answer: &KeptAnswer, due: UnixMillis) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO answer (key, fingerprint, expires, otp, number, due, sealed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let KeptAnswer { key, fingerprint, expires, otp, number, sealed } = answer;
    let (otp, number) = (otp.map(OtpId::bytes), number.map(NumberKey::bytes));
    let values = params![key.bytes(), fingerprint.bytes(), int(expires.0), otp, number, int(due.0), sealed.bytes()];
    statement.execute(values).map(drop)
}

/// Deletes the answers that tell of a number.
pub(super) fn forget_answers(connection: &Connection, number: NumberKey) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM answer WHERE key IN ({OF_NUMBER})");
    connection.execute(&sql, [number.bytes()]).map(drop)
}

fn drop_due(connection: &Connection, now: UnixMillis, limit: i64) -> rusqlite::Result<Vec<ReplayKey>> {
    let sql = format!("DELETE FROM answer WHERE key IN ({DUE}) RETURNING key");
    let mut statement = connection.prepare_cached(&sql)?;
    let keys = statement.query_map(params![int(now.0), limit], |row| row.get(0).map(ReplayKey::from_bytes))?;
    keys.collect()
}

#[derive(Clone)]
struct Entry {
    epoch: u64,
    answer: Arc<KeptAnswer>,
}

/// Answers that this process committed, sealed as they are in the table. Only the writer fills it, after the commit, so
/// nothing here is older than the table.
pub(super) struct AnswerCache {
    entries: Cache<ReplayKey, Entry>,
    /// Counts how often everything was dropped: what was dropped cannot come back.
    epoch: AtomicU64,
}

impl AnswerCache {
    pub(super) fn new() -> Self {
        let weight = |_: &ReplayKey, entry: &Entry| {
            u32::try_from(entry.answer.sealed.bytes().len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        Self { entries: Cache::builder().max_capacity(CACHED).weigher(weight).build(), epoch: AtomicU64::new(0) }
    }

    /// The committed answer, if it is here.
    pub(super) fn recall(&self, key: ReplayKey) -> Option<Arc<KeptAnswer>> {
        let entry = self.entries.get(&key)?;
        (entry.epoch == self.epoch.load(Ordering::Acquire)).then_some(entry.answer)
    }

    /// The writer committed `answer`.
    pub(super) fn committed(&self, answer: Arc<KeptAnswer>) {
        self.entries.insert(answer.key, Entry { epoch: self.epoch.load(Ordering::Acquire), answer });
    }

    /// These are not in the table any more.
    fn dropped(&self, keys: &[ReplayKey]) {
        for key in keys {
            self.entries.invalidate(key);
        }
    }

    /// Somebody else wrote: nothing here can be relied on.
    pub(super) fn drop_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.entries.invalidate_all();
    }
}

impl AnswerStore for SqliteStore {
    fn answer(&self, key: ReplayKey) -> Later<'_, Result<Option<Arc<KeptAnswer>>, StoreError>> {
        Box::pin(async move {
            if let Some(answer) = self.shared.answers.recall(key) {
                return Ok(Some(answer));
            }
            Ok(self.readers.read(move |sql| answer(sql, key)).await?.map(Arc::new))
        })
    }

    fn drop_answers(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            // Mostly there is nothing to do: that costs a look and no turn of the writer.
            let look = move |sql: &Connection| {
                sql.prepare_cached(DUE)?.query_row(params![int(now.0), 1], |_| Ok(())).optional()
            };
            if self.readers.read(look).await?.is_none() {
                return Ok(0);
            }
            let dropped = self.alone(Reach::Nothing, move |sql| drop_due(sql, now, limit).map(Some)).await?;
            let dropped = dropped.unwrap_or_default();
            self.shared.answers.dropped(&dropped);
            Ok(dropped.len())
        })
    }
}
