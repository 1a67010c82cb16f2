//! Nonces that were spent, in memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::access::nonce::{NonceKey, NonceStore, Spent};
use crate::clock::UnixMillis;
use crate::otp::store::{Later, StoreError};
use crate::store::memory::{MemoryStore, ready};

/// Each with the instant until which it is remembered.
#[derive(Default)]
pub(super) struct Nonces(Mutex<BTreeMap<NonceKey, UnixMillis>>);

impl NonceStore for MemoryStore {
    fn spend(&self, key: NonceKey, until: UnixMillis) -> Later<'_, Result<Spent, StoreError>> {
        let mut nonces = self.nonces.0.lock();
        let seen = nonces.contains_key(&key);
        nonces.entry(key).or_insert(until);
        ready(Ok(if seen { Spent::Seen } else { Spent::Fresh }))
    }

    fn drop_nonces(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        let mut nonces = self.nonces.0.lock();
        let mut over: Vec<_> =
            nonces.iter().filter(|(_, until)| **until <= now).map(|(key, until)| (*until, *key)).collect();
        over.sort_unstable();
        over.truncate(limit);
        for (_, key) in &over {
            nonces.remove(key);
        }
        ready(Ok(over.len()))
    }
}
