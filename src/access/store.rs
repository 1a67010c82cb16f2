//! The port that keeps connections: what an operator writes and every request reads.

use std::sync::Arc;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::otp::store::{Later, StoreError, WriteError};

/// Keeps connections. Few rows, read through a cache, written also beside a running server.
pub trait ConnectionStore: Send + Sync + 'static {
    /// The connection that a key of this name belongs to.
    fn by_key(&self, name: &KeyName) -> Later<'_, Result<Option<Arc<Connection>>, StoreError>>;

    /// The connection of this id.
    fn connection(&self, id: ConnectionId) -> Later<'_, Result<Option<Connection>, StoreError>>;

    /// All connections, oldest first.
    fn connections(&self) -> Later<'_, Result<Vec<Connection>, StoreError>>;

    /// Writes a connection: a new one when `before` is none, else the one that equals `before`.
    fn put_connection(&self, before: Option<Connection>, after: Connection) -> Later<'_, Result<(), WriteError>>;

    /// Counts up whenever somebody else (the command line, another replica) wrote: caches drop what they hold.
    fn generation(&self) -> u64;
}
