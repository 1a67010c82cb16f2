//! Erasure of a number, now: from the tables, and then from the files.
//!
//! Three places keep what a table has dropped. The write-ahead log holds old pages: it is copied and emptied. The free
//! space of a row that went is overwritten (`secure_delete`). And SQLite leaves a copy behind where it once moved a row
//! to another page (measured: of 500 deleted rows about one stays readable in the unused middle of a page, in spite of
//! `secure_delete`). So the file is searched, and where the number is still in it, the whole file is written anew.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::phone::E164;
use crate::otp::store::{Erased, Eraser, Later, OtpChange, StoreError};
use crate::store::rules;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::writer::Reach;
use crate::store::sqlite::{answers, events, identity, records, verifications};

/// How long the log is tried to be emptied: a reader may hold it, or another checkpoint be at work.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that a search reads at once.
const CHUNK: usize = 1 << 20;

impl Eraser for SqliteStore {
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>> {
        Box::pin(self.erase_now(key))
    }

    fn purge<'a>(&'a self, number: &'a E164) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(self.purge_now(number))
    }
}

impl SqliteStore {
    /// Erases the number behind `key` (one account's view of a number) from the tables. A purge is to follow.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was erased then.
    async fn erase_now(&self, key: NumberKey) -> Result<Erased, StoreError> {
        let now = self.shared.clock.now();
        // The long way through the whole index does not hold the writer up; what joins meanwhile is found inside.
        let known = self.readers.read(move |sql| records::ids_of_number(sql, key, 0)).await?;
        let (retention, keyring) = (self.shared.retention, self.keyring());
        let erased = self.alone(Reach::Records, move |sql| {
            let mut ids: BTreeSet<OtpId> = known.into_iter().collect();
            ids.extend(records::ids_of_number(sql, key, records::bucket(now).saturating_sub(1))?);
            let mut erased = Erased::default();
            for id in ids {
                erase_otp(sql, id, key, now, retention, &mut erased)?;
            }
            records::put_number(sql, key, &NumberRecord::default())?;
            events::erase(sql, key)?;
            identity::erase(sql, key)?;
            verifications::erase(sql, &keyring, key, now, retention)?;
            answers::forget_answers(sql, key)?;
            Ok(Some(erased))
        });
        Ok(erased.await?.unwrap_or_default())
    }

    /// Gets the bytes of a number out of the files, after every account's view of it was erased. Whether they hold it no
    /// more; if not, a live record has it (another account's, or a text), or a reader held the log for too long.
    ///
    /// Where the number lingers in unused space the database is written anew: in memory first, as large as the file, and
    /// nothing else is written meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn purge_now(&self, number: &E164) -> Result<bool, StoreError> {
        if !self.empty_log().await? {
            return Ok(false);
        }
        if self.is_clean_of(number).await? {
            return Ok(true);
        }
        let rewritten = self.on_writer(|writer| writer.rewrite()).await?;
        Ok(rewritten && self.empty_log().await? && self.is_clean_of(number).await?)
    }

    async fn empty_log(&self) -> Result<bool, StoreError> {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !self.on_writer(|writer| writer.empty_log()).await? {
            if tokio::time::Instant::now() >= end {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(true)
    }

    async fn is_clean_of(&self, number: &E164) -> Result<bool, StoreError> {
        let (file, needle) = (Arc::clone(&self.database), number.as_str().to_owned());
        let search = tokio::task::spawn_blocking(move || holds(&file, needle.as_bytes()));
        match search.await {
            Ok(Ok(found)) => Ok(!found),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database cannot be searched");
                Err(StoreError::Unavailable)
            }
            Err(_) => Err(StoreError::Unavailable),
        }
    }
}

fn erase_otp(
    sql: &Connection,
    id: OtpId,
    key: NumberKey,
    now: UnixMillis,
    retention: Duration,
    erased: &mut Erased,
) -> rusqlite::Result<()> {
    // Two numbers may share what the index holds of their keys.
    let Some(otp) = records::otp(sql, id)?.filter(|otp| otp.number_key == key) else { return Ok(()) };
    records::forget_messages(sql, id)?;
    match rules::erased(otp, now) {
        OtpChange::Keep => Ok(()),
        OtpChange::Delete => {
            erased.deleted += 1;
            records::delete_otp(sql, id)
        }
        OtpChange::Put(otp) => {
            erased.anonymised += 1;
            records::put_otp(sql, &otp, otp.due(retention))
        }
    }
}

/// Whether the bytes are anywhere in the file.
fn holds(file: &File, needle: &[u8]) -> std::io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    let (mut offset, mut kept) = (0, 0);
    loop {
        // What was kept is the tail of the chunk before: a match may straddle two.
        let room = buffer.get_mut(kept..).unwrap_or_default();
        let read = file.read_at(room, offset)?;
        if read == 0 {
            return Ok(false);
        }
        let window = buffer.get(..kept + read).unwrap_or_default();
        if window.windows(needle.len()).any(|bytes| bytes == needle) {
            return Ok(true);
        }
        offset += u64::try_from(read).unwrap_or_default();
        let tail = window.len().saturating_sub(needle.len() - 1);
        kept = window.len() - tail;
        buffer.copy_within(tail..tail + kept, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_what_straddles_its_chunks() {
        let file = tempfile::tempfile().unwrap();
        let needle = b"+4915112000777";
        assert!(!holds(&file, needle).unwrap());
        file.write_all_at(&vec![b'+'; 3 * CHUNK], 0).unwrap();
        assert!(!holds(&file, needle).unwrap());
        for at in [0, CHUNK - 13, CHUNK - 1, CHUNK, 2 * CHUNK - 20, 3 * CHUNK - 14] {
            file.write_all_at(needle, at as u64).unwrap();
            assert!(holds(&file, needle).unwrap(), "{at}");
            file.write_all_at(&[b'+'; 14], at as u64).unwrap();
        }
        assert!(!holds(&file, needle).unwrap());
    }
}
