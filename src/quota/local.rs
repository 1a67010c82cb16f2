//! The quota of a single process: the table and a clock. It answers at once and never fails.

use std::fmt;
use std::sync::Arc;

use super::decision::{Decision, Standing};
use super::policy::Policy;
use super::port::{Answer, Quota, RingStore, Unavailable};
use super::saved::ConnectionKey;
use super::table::{Loaded, Table};
use crate::clock::Clock;

/// The quota, counted in this process. Sweep it about once a second.
pub struct LocalQuota {
    table: Table,
    clock: Arc<dyn Clock>,
}

impl LocalQuota {
    /// A quota in which nothing has been called yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { table: Table::new(), clock }
    }

    /// Removes idle rings from a few shards: see [`Table::sweep`]. Returns how many it removed.
    pub fn sweep(&self) -> usize {
        self.table.sweep(self.clock.now())
    }

    /// How many connections have a ring: a metric. It waits for every shard in turn.
    #[must_use]
    pub fn active(&self) -> usize {
        self.table.len()
    }

    /// Takes back what the last drain saved: before the first call is served.
    ///
    /// # Errors
    /// [`Unavailable`] when the store cannot be read. Every window then begins empty.
    pub async fn load(&self, store: &dyn RingStore) -> Result<Loaded, Unavailable> {
        Ok(self.table.load(store.take().await?, self.clock.now()))
    }

    /// Saves every ring: after the last call was served.
    ///
    /// # Errors
    /// [`Unavailable`] when the store cannot be written. The next start then begins with empty windows.
    pub async fn save(&self, store: &dyn RingStore) -> Result<(), Unavailable> {
        store.put(self.table.save()).await
    }
}

impl fmt::Debug for LocalQuota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LocalQuota").finish_non_exhaustive()
    }
}

impl Quota for LocalQuota {
    fn check<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Decision> {
        Answer::Now(self.table.check(connection, policy, self.clock.now()))
    }

    fn check_at_once(&self, connection: ConnectionKey, policy: &Policy) -> Option<Decision> {
        Some(self.table.check(connection, policy, self.clock.now()))
    }

    fn peek<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Standing> {
        Answer::Now(self.table.peek(connection, policy, self.clock.now()))
    }
}
