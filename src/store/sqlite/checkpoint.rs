//! Copies the write-ahead log into the database file, beside the writer.
//!
//! SQLite would do it inside an unlucky commit, and its default hook swallows the outcome: an fsync that failed there
//! would go unnoticed. So the automatic checkpoint is off. A thread of its own copies the bulk while commits go on; the
//! writer copies the rest between two groups, because only a log that is copied to its last page starts over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::otp::store::StoreError;
use crate::store::sqlite::shared::Shared;

pub(super) use rusqlite::wal::CheckpointMode;

/// Pages in the log from which on the checkpointer works: 4 MiB.
pub(super) const THRESHOLD: u32 = 1_000;

/// The thread. Dropping it ends the thread, after the copy that it is at.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(connection: Connection, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let body = move || run(&connection, &woken, &shared);
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(body)?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// Asks for a checkpoint, if none is asked for.
    pub(super) fn wake(&self) {
        let _awake_already = self.wake.as_ref().map(|wake| wake.try_send(()));
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

fn run(connection: &Connection, woken: &Receiver<()>, shared: &Shared) {
    while woken.recv().is_ok() {
        if !shared.latch.is_set() && copy(connection, shared, CheckpointMode::PASSIVE).is_ok() {
            shared.log.copied.store(true, Ordering::Release);
        }
    }
}

/// Copies what can be copied. Whether the log is copied to its last page.
///
/// # Errors
/// [`StoreError::Failed`] when a write or fsync failed: the latch is set. [`StoreError::Full`] or
/// [`StoreError::Unavailable`] when it has to be tried again later; the log keeps everything.
pub(super) fn copy(connection: &Connection, shared: &Shared, mode: CheckpointMode) -> Result<bool, StoreError> {
    match connection.wal_checkpoint_v2(Some(c"main"), mode) {
        Ok((pages, copied)) => Ok(copied >= pages),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Err(StoreError::Unavailable)
        }
        Err(error) => Err(shared.latch.judge(&error)),
    }
}
