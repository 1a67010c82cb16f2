//! From a presented key to its caller: parse, hash, look up, remember. Unknown, malformed, revoked and wrong keys are one
//! answer. Hits and misses are cached by the key's keyed hash, so that no cache holds a key.

use std::sync::Arc;

use moka::sync::Cache;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::{ApiKey, KeyHash, MalformedApiKey, Presented};
use crate::access::scope::Scopes;
use crate::access::store::ConnectionStore;
use crate::clock::{Clock, UnixMillis};
use crate::otp::id::AccountId;
use crate::otp::store::StoreError;
use crate::quota::Allowance;
use crate::secret::Keyring;

/// Hits that are remembered.
const HITS: u64 = 100_000;
/// Misses that are remembered: a flood of unknown keys costs this much memory and no more.
const MISSES: u64 = 10_000;
/// Look-ups of unknown keys that go on at once; equal keys share one.
const LANES: usize = 64;

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The connection.
    pub connection: ConnectionId,
    /// What the operator calls it.
    pub name: String,
    /// The account it acts for.
    pub account: AccountId,
    /// What it may do.
    pub scopes: Scopes,
    /// How often it may call.
    pub allowance: Allowance,
}

/// Why there is no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationError {
    /// No key that opens anything. The caller is not told why; a metric is.
    Refused(Cause),
    /// The store could not be asked.
    Store(StoreError),
}

/// Why a key opens nothing: for metrics only, every one of them gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is none.
    Missing,
    /// It is no key of this gateway's making.
    Malformed,
    /// No connection has it, or has it any more.
    Unknown,
    /// Its overlap is over.
    Expired,
}

/// A remembered hit: good for one generation of the store and until the key expires.
struct Hit {
    caller: Arc<Caller>,
    generation: u64,
    expires: Option<UnixMillis>,
}

/// Looks keys up.
pub struct Authenticator {
    store: Arc<dyn ConnectionStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    hits: Cache<[u8; 32], Arc<Hit>>,
    misses: Cache<[u8; 32], u64>,
    lanes: Vec<tokio::sync::Mutex<()>>,
}

impl Authenticator {
    /// Over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ConnectionStore>, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        let lanes = (0..LANES).map(|_| tokio::sync::Mutex::new(())).collect();
        Self { store, keyring, clock, hits: Cache::new(HITS), misses: Cache::new(MISSES), lanes }
    }

    /// The caller, when the key was looked up before: without waiting. `Ok(None)` says nothing yet.
    ///
    /// # Errors
    /// [`AuthenticationError::Refused`] when the key is known to open nothing.
    pub fn recall(&self, presented: &str) -> Result<Option<Arc<Caller>>, AuthenticationError> {
        // A key that was taken before has the right checksum: it is looked at when a key is looked up.
        let key =
            Presented::new(presented).map_err(|MalformedApiKey| AuthenticationError::Refused(Cause::Malformed))?;
        self.recall_hash(&key.hash(&self.keyring), self.store.generation())
    }

    fn recall_hash(&self, hash: &KeyHash, generation: u64) -> Result<Option<Arc<Caller>>, AuthenticationError> {
        if let Some(hit) = self.hits.get(hash.bytes())
            && hit.generation == generation
        {
            let live = hit.expires.is_none_or(|expires| self.clock.now() < expires);
            return if live {
                Ok(Some(Arc::clone(&hit.caller)))
            } else {
                Err(AuthenticationError::Refused(Cause::Expired))
            };
        }
        match self.misses.get(hash.bytes()) {
            Some(missed) if missed == generation => Err(AuthenticationError::Refused(Cause::Unknown)),
            _ => Ok(None),
        }
    }

    /// The caller that a presented key opens a connection for.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub async fn authenticate(&self, presented: &str) -> Result<Arc<Caller>, AuthenticationError> {
        let key: ApiKey = presented.parse().map_err(|_| AuthenticationError::Refused(Cause::Malformed))?;
        let hash = key.hash(&self.keyring);
        let lane = self.lanes.get(usize::from(hash.bytes()[0]) % LANES);
        let _one_at_a_time = match lane {
            Some(lane) => Some(lane.lock().await),
            None => None,
        };
        let generation = self.store.generation();
        if let Some(caller) = self.recall_hash(&hash, generation)? {
            return Ok(caller);
        }
        let found = self.store.by_key(&key.name()).await.map_err(AuthenticationError::Store)?;
        let opened = found.as_deref().and_then(|connection| self.open(connection, &hash, generation));
        let Some(hit) = opened else {
            self.misses.insert(*hash.bytes(), generation);
            return Err(AuthenticationError::Refused(Cause::Unknown));
        };
        let caller = Arc::clone(&hit.caller);
        self.hits.insert(*hash.bytes(), Arc::new(hit));
        Ok(caller)
    }

    fn open(&self, connection: &Connection, hash: &KeyHash, generation: u64) -> Option<Hit> {
        if !connection.opens_with(hash, self.clock.now()) {
            return None;
        }
        let expires = connection.keys.iter().find(|key| key.hash == *hash).and_then(|key| key.expires);
        let expires = match (expires, connection.revoked) {
            (Some(expires), Some(revoked)) => Some(expires.min(revoked)),
            (expires, revoked) => expires.or(revoked),
        };
        let caller = Caller {
            connection: connection.id,
            name: connection.name.clone(),
            account: connection.account.clone(),
            scopes: connection.scopes,
            // A figure out of range in the store (edited by hand) falls back to the default quota: fail closed.
            allowance: connection.quota.allowance().unwrap_or_default(),
        };
        Some(Hit { caller: Arc::new(caller), generation, expires })
    }

    /// Remembered hits and misses, for a metric.
    #[must_use]
    pub fn remembered(&self) -> (u64, u64) {
        (self.hits.entry_count(), self.misses.entry_count())
    }
}
