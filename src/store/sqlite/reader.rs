//! Reads off the async threads: a few connections that look at what is committed, each lent to one task at a time.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::otp::store::StoreError;
use crate::store::sqlite::shared::Shared;

/// The readers of a store.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// A connection that goes back when the task is done, even if nobody waits for it any more.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// Released after the connection is back.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle.lock().extend(self.connection.take());
    }
}

impl Readers {
    /// Over `connections`, at least one.
    pub(super) fn new(connections: Vec<Connection>, shared: Arc<Shared>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits, shared }
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file is damaged, else [`StoreError::Unavailable`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Unavailable)?;
        let idle = Arc::clone(&self.idle);
        let task = move || {
            let connection = idle.lock().pop();
            let lent = Lent { connection, idle, _permit: permit };
            lent.connection.as_ref().map(work)
        };
        match tokio::task::spawn_blocking(task).await {
            Ok(Some(outcome)) => outcome.map_err(|error| self.shared.latch.judge_read(&error)),
            Ok(None) | Err(_) => Err(StoreError::Unavailable),
        }
    }
}
