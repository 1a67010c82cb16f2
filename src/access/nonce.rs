//! Nonces that were spent: a proof serves once, across restarts. The port that keeps them, and their sweep.
//!
//! A nonce is spent in a commit of its own, before the call goes on. It cannot share the commit of the change: most of what a
//! call may end with (over quota, a wrong parameter, nothing to verify) changes nothing, and each of them would leave the
//! nonce unspent; and a replayed call must not be counted by the quota. Whoever can have one spent holds the secret.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, UnixMillis};
use crate::otp::store::{Later, StoreError};
use crate::secret::{Keyring, Purpose};

/// Nonces that one step of the sweep drops.
const STEP: usize = 1_000;
/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Which nonce of whom: a keyed hash, so that the store learns neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NonceKey([u8; 16]);

impl NonceKey {
    /// The key of `nonce`, which is one only within `scope` (a connection, a session) of the `kind`.
    #[must_use]
    pub fn of(keyring: &Keyring, kind: &str, scope: &[u8], nonce: &[u8]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(keyring.hash(Purpose::Nonce, &[kind.as_bytes(), scope, nonce]).split_at(16).0);
        Self(key)
    }

    /// The bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// What spending a nonce found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Nobody had spent it.
    Fresh,
    /// It was spent before.
    Seen,
}

/// Keeps nonces that were spent.
pub trait NonceStore: Send + Sync + 'static {
    /// Spends a nonce, to be remembered at least until `until`. Of any number of callers one finds it fresh, and what it
    /// found is durable when this returns. An error says nothing: the caller has to refuse.
    fn spend(&self, key: NonceKey, until: UnixMillis) -> Later<'_, Result<Spent, StoreError>>;

    /// Drops nonces whose time is over at `now`, at most `limit` of them: how many.
    fn drop_nonces(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>>;
}

/// Drops what is over, step by step, until `stop` turns true.
pub async fn sweep(store: Arc<dyn NonceStore>, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        // Refused now, tried again in a second: what it drops is dead weight.
        if store.drop_nonces(clock.now(), STEP).await != Ok(STEP) {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.changed() => {}
            }
        }
    }
}
