//! How the shared store is doing, for whoever runs on it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::otp::store::Later;
use crate::secret::Keyring;
use crate::store::Store;
use crate::store::redis::{Health, RedisStore};

impl Store for RedisStore {
    fn keyring(&self) -> Arc<Keyring> {
        Self::keyring(self)
    }

    /// A store that is away comes back; only one that was made anew with another keyring never fits this process again.
    fn failed(&self) -> Later<'static, ()> {
        let mut health = self.health();
        Box::pin(async move {
            if health.wait_for(|health| *health == Health::Foreign).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    fn leave(&self) -> Later<'_, ()> {
        Box::pin(async move {
            let now = self.clock.now();
            let freed = self.pending.all().into_iter().map(|id| self.free_message(id, now));
            // What could not be freed is free when its claim runs out.
            let _freed = futures_util::future::join_all(freed).await;
        })
    }
}

/// Follows the link's health for as long as somebody asks.
pub(super) async fn follow(mut health: watch::Receiver<Health>, reachable: Arc<watch::Sender<bool>>) {
    loop {
        let ready = *health.borrow_and_update() == Health::Ready;
        reachable.send_if_modified(|reachable| std::mem::replace(reachable, ready) != ready);
        if health.changed().await.is_err() {
            return;
        }
    }
}
