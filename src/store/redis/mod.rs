//! The shared store: Redis or Valkey, for many replicas of the gateway. One server, sentinels, or a cluster.
//!
//! - `address`, `connect`, `open`: from an address to a store that bears our marker
//! - `link`: the one connection, and what becomes of calls when it breaks; `fault`: what an error means
//! - `place`: where things lie; `script`: how a step is run there; `commit`: the one step that changes records
//! - `change`: the store port over it; `records`: what lies under a key
//! - `settings`: applications and connections; `view`: what this process has seen of the settings; `reply`: what a script answered
//! - `nonces`, `identity`: what was spent, pairs of keys, sessions
//! - `subscriptions`; `events`: from a commit to the queues; `queue`, `row`: one queue and what lies in it; `index`: which
//!   queues are to be looked at; `queues`: the port over all of them; `lines`: how long they are
//!
//! What is acknowledged is in the store's memory, and on as many of its replicas as the operator asked for; whether it
//! outlasts the store's own crash is the store's setting (`appendonly`). No rule of the domain is written in a script.

mod address;
mod connect;
mod events;
mod fault;
mod identity;
mod index;
mod lines;
mod link;
mod nonces;
mod open;
mod place;
mod queue;
mod queues;
mod reply;
mod row;
mod script;
mod settings;
mod subscriptions;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::events::fanout::Fanout;
use crate::events::queue::Address as EventAddress;
use crate::otp::store::StoreError;
use crate::secret::{Entropy, Keyring};
use crate::store::redis::events::Events;
use crate::store::redis::link::Link;
use crate::store::redis::place::Place;
use crate::store::redis::view::View;

pub use address::{Address, MalformedAddress};
pub use connect::ConnectError;
pub use link::Health;
pub use open::{Initialised, Options, initialise};

/// The shared store. What it does for one replica ends when it is dropped; claims of it end with their leases.
pub struct RedisStore {
    link: Arc<Link>,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    first_start: bool,
    view: Arc<View>,
    events: Arc<Events>,
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
        let master = Arc::new(
            crate::secret::MasterKey::parse(&options.master.to_hex()).map_err(|_| ConnectError::WrongMasterKey)?,
        );
        let opened = open::open(&options, master).await?;
        let link = Arc::new(Link::new(opened.live, options.timeout, options.wait_replicas));
        tokio::spawn(Link::watch(Arc::downgrade(&link), opened.connector));
        let fanout = Fanout::new(Arc::clone(&options.entropy), options.retention);
        let view = Arc::new(View::new(fanout));
        let events = Arc::new(Events::new(Arc::clone(&link), Arc::clone(&options.clock)));
        let unread = |error: StoreError| ConnectError::Unexpected(error.to_string());
        view.look(&link).await.map_err(unread)?;
        if options.server {
            events.count().await.map_err(unread)?;
            tokio::spawn(View::watch(Arc::downgrade(&view), Arc::clone(&link)));
            tokio::spawn(Events::watch(Arc::downgrade(&events)));
        }
        Ok(Self {
            link,
            keyring: opened.keyring,
            entropy: options.entropy,
            clock: options.clock,
            retention: options.retention,
            first_start: opened.first_start,
            view,
            events,
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

    /// Relays the rows that a commit left in `place` to the queues of their subscriptions ([`Events::relay`]): they count as
    /// queued from this call on, and the future may be waited for or spawned.
    fn relay(&self, place: Place, rows: Vec<(EventAddress, Vec<u8>)>) -> impl Future<Output = ()> + Send + use<> {
        self.events.relay(place, rows)
    }
}
