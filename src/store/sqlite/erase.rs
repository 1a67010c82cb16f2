//! Erasure of a number, now: from the tables and from the files.
//!
//! Deleted content is overwritten where it lay (`secure_delete`), and the write-ahead log, which still holds the old
//! pages, is copied and emptied.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::record::OtpStatus;
use crate::otp::store::{Erased, Eraser, Later, StoreError};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::records;
use crate::store::sqlite::writer::Reach;

/// How often the log is tried to be emptied while somebody reads from it; each try waits up to five seconds.
const TRIES: usize = 3;

impl Eraser for SqliteStore {
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>> {
        Box::pin(self.erase_now(key))
    }
}

impl SqliteStore {
    /// Erases the number behind `key` (one account's view of a number).
    ///
    /// # Errors
    /// [`StoreError`]; nothing was erased then, or, when emptying the log failed, the tables were.
    async fn erase_now(&self, key: NumberKey) -> Result<Erased, StoreError> {
        let now = self.shared.clock.now();
        // The long way through the whole index does not hold the writer up; what joins meanwhile is found inside.
        let known = self.readers.read(move |sql| records::ids_of_number(sql, key, 0)).await?;
        let retention = self.shared.retention;
        let erased = self.alone(Reach::Records, move |sql| {
            let mut ids: BTreeSet<OtpId> = known.into_iter().collect();
            ids.extend(records::ids_of_number(sql, key, records::bucket(now).saturating_sub(1))?);
            let mut erased = Erased::default();
            for id in ids {
                erase_otp(sql, id, key, now, retention, &mut erased)?;
            }
            records::put_number(sql, key, &NumberRecord::default())?;
            Ok(Some(erased))
        });
        let mut erased = erased.await?.unwrap_or_default();
        for _ in 0..TRIES {
            erased.purged = self.on_writer(|writer| writer.empty_log()).await?;
            if erased.purged {
                break;
            }
        }
        Ok(erased)
    }
}

fn erase_otp(
    sql: &Connection,
    id: OtpId,
    key: NumberKey,
    now: UnixMillis,
    retention: std::time::Duration,
    erased: &mut Erased,
) -> rusqlite::Result<()> {
    // Two numbers may share what the index holds of their keys.
    let Some(mut otp) = records::otp(sql, id)?.filter(|otp| otp.number_key == key) else { return Ok(()) };
    records::forget_messages(sql, id)?;
    otp.expire_now(now);
    if otp.status == OtpStatus::Active {
        erased.deleted += 1;
        return records::delete_otp(sql, id);
    }
    if otp.erase_number() {
        erased.anonymised += 1;
        records::put_otp(sql, &otp, otp.due(retention))?;
    }
    Ok(())
}
