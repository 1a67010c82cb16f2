//! What an error of SQLite means for the process, and the latch that a fatal one sets.
//!
//! After a failed fsync the kernel may have dropped the pages, and a later fsync succeeds all the same: SQLite goes on
//! acknowledging (measured). So the first failed write or fsync ends this store: it is never retried, everything
//! afterwards is refused, the process exits and the next start recovers from the log. Only a full disk is no such end.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use tokio::sync::watch;

use crate::otp::store::StoreError;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No room: rolled back, and accepted again once there is room.
    Full,
    /// Another process holds the lock for longer than we wait.
    Busy,
    /// One record cannot be read or written; the others can.
    Record,
    /// Nothing that follows can be trusted.
    Fatal,
}

/// Set once, never reset: the store has failed.
#[derive(Debug)]
pub(super) struct Latch {
    failed: watch::Sender<bool>,
    dir: PathBuf,
}

impl Latch {
    /// For the store in `dir`.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { failed: watch::Sender::new(false), dir }
    }

    /// Whether it is set.
    pub(super) fn is_set(&self) -> bool {
        *self.failed.borrow()
    }

    /// Sets it.
    pub(super) fn set(&self) {
        self.failed.send_replace(true);
    }

    /// Ends when it is set.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut failed = self.failed.subscribe();
        async move {
            // An error would say that the sender is gone: the store was closed in good order and will never fail.
            if failed.wait_for(|failed| *failed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Judges an error of the writer or of a checkpoint: sets the latch when it is fatal.
    pub(super) fn judge(&self, error: &rusqlite::Error) -> StoreError {
        match classify(error, &self.dir) {
            Fault::Full => {
                tracing::warn!(%error, "the store is full: refused, until there is room");
                StoreError::Full
            }
            Fault::Busy => {
                tracing::warn!(%error, "another process holds the store");
                StoreError::Unavailable
            }
            Fault::Record => {
                tracing::error!(%error, "a record of the store cannot be read");
                StoreError::Unavailable
            }
            Fault::Fatal => {
                tracing::error!(%error, "the store failed: nothing is written any more, the process must end");
                self.set();
                StoreError::Failed
            }
        }
    }

    /// Judges an error of a reader: only a damaged file is fatal, nothing was to be made durable.
    pub(super) fn judge_read(&self, error: &rusqlite::Error) -> StoreError {
        if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            return self.judge(error);
        }
        tracing::warn!(%error, "the store could not be read");
        StoreError::Unavailable
    }
}

/// What `error` means; `dir` is where the files are.
pub(super) fn classify(error: &rusqlite::Error, dir: &Path) -> Fault {
    let Some(failure) = error.sqlite_error() else { return Fault::Record };
    match failure.code {
        // SQLite maps ENOSPC of a write to this code; ENOSPC of an fsync comes as SQLITE_IOERR_FSYNC, and is fatal.
        ErrorCode::DiskFull => Fault::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Fault::Busy,
        ErrorCode::SystemIoFailure if is_write(failure.extended_code) && no_room(dir) => Fault::Full,
        _ => Fault::Fatal,
    }
}

/// SQLite tells EDQUOT, and ENOSPC while it grows the log's index, as plain failed writes.
const fn is_write(extended_code: i32) -> bool {
    matches!(extended_code, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE)
}

/// Whether a write in `dir` is refused for want of room right now. SQLite keeps the errno to itself (reading it would
/// take unsafe code), so we ask the file system again; if that has room, the failure was another one.
fn no_room(dir: &Path) -> bool {
    let path = dir.join("room.probe");
    let written = File::create(&path).and_then(|file| file.write_all_at(&[0; 64 * 1024], 0));
    // A probe that stays behind is 64 KiB, and overwritten by the next one.
    drop(std::fs::remove_file(&path));
    written.is_err_and(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended_code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None)
    }

    #[test]
    fn only_a_full_disk_and_a_lock_are_survived() {
        let dir = std::env::temp_dir();
        assert_eq!(classify(&failure(ffi::SQLITE_FULL), &dir), Fault::Full);
        assert_eq!(classify(&failure(ffi::SQLITE_BUSY), &dir), Fault::Busy);
        assert_eq!(classify(&failure(ffi::SQLITE_BUSY_SNAPSHOT), &dir), Fault::Busy);
        let fatal = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_TRUNCATE,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_ERROR,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_CONSTRAINT,
        ];
        for code in fatal {
            assert_eq!(classify(&failure(code), &dir), Fault::Fatal, "{code}");
        }
        assert_eq!(classify(&rusqlite::Error::QueryReturnedNoRows, &dir), Fault::Record);
    }

    #[test]
    fn a_failed_write_is_a_full_disk_only_where_the_disk_is_full() {
        // Every write to it answers ENOSPC; a directory in it cannot be made, so the probe fails for another reason.
        assert!(!no_room(Path::new("/dev/full")));
        assert!(!no_room(&std::env::temp_dir()));
    }

    #[tokio::test]
    async fn the_latch_stays_set() {
        let latch = Latch::new(std::env::temp_dir());
        let failed = latch.wait();
        assert_eq!(latch.judge(&failure(ffi::SQLITE_FULL)), StoreError::Full);
        assert_eq!(latch.judge_read(&failure(ffi::SQLITE_IOERR_READ)), StoreError::Unavailable);
        assert!(!latch.is_set());
        assert_eq!(latch.judge(&failure(ffi::SQLITE_IOERR_FSYNC)), StoreError::Failed);
        assert!(latch.is_set());
        failed.await;
        latch.wait().await;
    }
}
