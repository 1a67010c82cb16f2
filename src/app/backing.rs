//! What a gateway runs on: the embedded store or a shared one, and the quota that fits it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::layer::guard::Guard;
use crate::quota::{LocalQuota, Quota};
use crate::store::Store;
use crate::store::redis::{RedisQuota, RedisStore};
use crate::store::sqlite::SqliteStore;
use crate::surface::open::Readiness;

/// How often idle rings and old failures are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// The store that a gateway runs on, opened.
#[derive(Clone, Debug)]
pub enum Backing {
    /// The embedded one: quotas are counted in this process.
    Sqlite(Arc<SqliteStore>),
    /// One that replicas share: quotas are counted there.
    Redis(Arc<RedisStore>),
}

impl Backing {
    /// Its ports.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Redis(store) => Arc::clone(store) as _,
        }
    }
}

/// The quota of a gateway that has a store of its own: its rings are kept from a drain to the next start.
pub(super) struct Rings {
    pub(super) quota: Arc<LocalQuota>,
    pub(super) store: Arc<SqliteStore>,
}

/// The quota that fits the store.
pub(super) async fn quota(backing: &Backing, clock: &Arc<dyn Clock>) -> (Arc<dyn Quota>, Option<Rings>) {
    match backing {
        Backing::Redis(store) => (Arc::new(RedisQuota::new(store)), None),
        Backing::Sqlite(store) => {
            let quota = Arc::new(LocalQuota::new(Arc::clone(clock)));
            if let Err(error) = quota.load(&**store).await {
                tracing::warn!(%error, "saved quota rings could not be read; every window begins empty");
            }
            (Arc::clone(&quota) as _, Some(Rings { quota, store: Arc::clone(store) }))
        }
    }
}

/// The gateway is ready for as long as its store is reached.
pub(super) async fn follow(mut reachable: watch::Receiver<bool>, readiness: Readiness) {
    loop {
        readiness.set(*reachable.borrow_and_update());
        if reachable.changed().await.is_err() {
            return;
        }
    }
}

/// Looks for idle rings and old failures, for as long as the process lives.
pub(super) async fn sweep(quota: Option<Arc<LocalQuota>>, guard: Guard) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        if let Some(quota) = &quota {
            quota.sweep();
        }
        guard.sweep();
    }
}
