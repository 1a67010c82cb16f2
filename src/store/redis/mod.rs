//! The shared store: Redis or Valkey, for many replicas of the gateway. One server, sentinels, or a cluster.
//!
//! - `address`, `connect`, `open`: from an address to a store that bears our marker
//! - `link`: the one connection, and what becomes of calls when it breaks; `fault`: what an error means
//! - `place`: where things lie; `script`: how a step is run there; `commit`: the one step that changes records
//! - `change`: the store port over it; `records`: what lies under a key
//! - `quota`: the quota, by one script (`quota_script`) and what is still true of its refusals (`refusals`)
//!
//! What is acknowledged is in the store's memory, and on as many of its replicas as the operator asked for; whether it
//! outlasts the store's own crash is the store's setting (`appendonly`). No rule of the domain is written in a script.

mod address;
mod connect;
mod fault;
mod link;
mod open;
mod place;
mod quota;
mod quota_script;
mod refusals;
mod script;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::secret::{Entropy, Keyring};
use crate::store::redis::link::Link;

pub use address::{Address, MalformedAddress};
pub use connect::ConnectError;
pub use link::Health;
pub use open::{Initialised, Options, initialise};
pub use quota::RedisQuota;

/// The shared store. What it does for one replica ends when it is dropped; claims of it end with their leases.
pub struct RedisStore {
    link: Arc<Link>,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    first_start: bool,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("first_start", &self.first_start).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Opens the store; the first time it makes it, with a keyring, the account `default` and its application.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(options: Options) -> Result<Self, ConnectError> {
        let master = Arc::new(crate::secret::MasterKey::parse(&options.master.to_hex()).map_err(|_| ConnectError::WrongMasterKey)?);
        let opened = open::open(&options, master).await?;
        let link = Arc::new(Link::new(opened.live, options.timeout, options.wait_replicas));
        tokio::spawn(Link::watch(Arc::downgrade(&link), opened.connector));
        Ok(Self {
            link,
            keyring: opened.keyring,
            entropy: options.entropy,
            clock: options.clock,
            retention: options.retention,
            first_start: opened.first_start,
        })
    }

    /// Whether this process made the store.
    #[must_use]
    pub const fn first_start(&self) -> bool {
        self.first_start
    }

    /// The keys that everything in the store is hashed and sealed with.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    /// How the link to it stands.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.link.health()
    }
}
