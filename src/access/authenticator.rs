//! From what was presented to its caller: parse, hash, look up, remember. Unknown, malformed, revoked and wrong keys are one
//! answer. Hits and misses are cached by keyed hashes, so that no cache holds a key.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::credential::{Credential, Proof, PublicName, Signature, TOLERANCE};
use crate::access::key::{ApiKey, KeyHash, KeyName, MalformedApiKey, Presented};
use crate::access::nonce::{NonceKey, NonceStore, Spent};
use crate::access::scope::Scopes;
use crate::access::store::ConnectionStore;
use crate::clock::{Clock, UnixMillis};
use crate::otp::id::AccountId;
use crate::otp::store::StoreError;
use crate::quota::Allowance;
use crate::secret::{Keyring, Purpose};

/// Hits that are remembered.
const HITS: u64 = 100_000;
/// Connections that are remembered by a public name, with what their proofs are checked by.
const HOLDERS: u64 = 10_000;
/// How long a nonce is remembered at least: from the latest instant that a proof may name to the last at which it is timely,
/// and a minute for a clock that is set back while the process does not run.
const NONCE_LASTS: Duration = Duration::from_secs(2 * TOLERANCE.as_secs() + 60);
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
    /// The proof beside a name that is known does not prove it, or there is none where one is needed.
    Unproven,
    /// The proof names a time too far from the present. Found before anything is looked up.
    Stale,
    /// The proof is right and served before.
    Replayed,
}

/// A remembered hit: good for one generation of the store and until the key expires.
struct Hit {
    caller: Arc<Caller>,
    generation: u64,
    expires: Option<UnixMillis>,
}

/// A connection that is remembered by a public name: good for one generation of the store.
struct Holder {
    connection: Arc<Connection>,
    caller: Arc<Caller>,
    generation: u64,
}

/// Looks keys up.
pub struct Authenticator {
    store: Arc<dyn ConnectionStore>,
    nonces: Arc<dyn NonceStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    hits: Cache<[u8; 32], Arc<Hit>>,
    holders: Cache<[u8; 32], Arc<Holder>>,
    misses: Cache<[u8; 32], u64>,
    lanes: Vec<tokio::sync::Mutex<()>>,
}

impl Authenticator {
    /// Over `store`; proofs are spent in `nonces`.
    #[must_use]
    pub fn new(
        store: Arc<dyn ConnectionStore>,
        nonces: Arc<dyn NonceStore>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let lanes = (0..LANES).map(|_| tokio::sync::Mutex::new(())).collect();
        let (hits, holders, misses) = (Cache::new(HITS), Cache::new(HOLDERS), Cache::new(MISSES));
        Self { store, nonces, keyring, clock, hits, holders, misses, lanes }
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
        let _one_at_a_time = self.lane(hash.bytes()).await;
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

    /// Look-ups of what hashes alike go on one after the other.
    async fn lane(&self, hash: &[u8; 32]) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.lanes.get(usize::from(hash[0]) % LANES) {
            Some(lane) => Some(lane.lock().await),
            None => None,
        }
    }

    /// The caller that a credential stands for. Whoever has not proved who he is has nothing written for him.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub async fn prove(&self, credential: &Credential) -> Result<Arc<Caller>, AuthenticationError> {
        let refused = |cause| Err(AuthenticationError::Refused(cause));
        if let Proof::Signature(signature) = &credential.proof
            && !signature.is_timely(self.clock.now())
        {
            return refused(Cause::Stale);
        }
        let holder = self.holder(&credential.name).await?;
        if holder.connection.revoked.is_some_and(|revoked| self.clock.now() >= revoked) {
            return refused(Cause::Expired);
        }
        match &credential.proof {
            Proof::NameAlone if credential.name.opens_alone(&holder.connection) => {}
            Proof::Signature(signature) if signature.is_of(&holder.connection, &self.keyring) => {
                self.spend(&holder.connection, signature).await?;
            }
            Proof::NameAlone | Proof::Signature(_) => return refused(Cause::Unproven),
        }
        Ok(Arc::clone(&holder.caller))
    }

    async fn spend(&self, connection: &Connection, signature: &Signature) -> Result<(), AuthenticationError> {
        let scope = connection.id.get().to_be_bytes();
        let key = NonceKey::of(&self.keyring, "signature", &scope, signature.nonce.as_bytes());
        match self.nonces.spend(key, self.clock.now() + NONCE_LASTS).await {
            Ok(Spent::Fresh) => Ok(()),
            Ok(Spent::Seen) => Err(AuthenticationError::Refused(Cause::Replayed)),
            Err(error) => Err(AuthenticationError::Store(error)),
        }
    }

    /// The connection of a public name. Nothing is proved by it.
    async fn holder(&self, name: &PublicName) -> Result<Arc<Holder>, AuthenticationError> {
        let text = name.look_up().ok_or(AuthenticationError::Refused(Cause::Malformed))?;
        let hash = self.keyring.hash(Purpose::Cache, &[name.kind().as_bytes(), text.as_bytes()]);
        if let Some(known) = self.recall_holder(&hash, self.store.generation()) {
            return known;
        }
        let _one_at_a_time = self.lane(&hash).await;
        let generation = self.store.generation();
        if let Some(known) = self.recall_holder(&hash, generation) {
            return known;
        }
        let found = self.store.by_key(&KeyName::from_stored(text)).await.map_err(AuthenticationError::Store)?;
        let Some(connection) = found.filter(|connection| name.names(connection)) else {
            self.misses.insert(hash, generation);
            return Err(AuthenticationError::Refused(Cause::Unknown));
        };
        let caller = Arc::new(caller(&connection));
        let holder = Arc::new(Holder { connection, caller, generation });
        self.holders.insert(hash, Arc::clone(&holder));
        Ok(holder)
    }

    fn recall_holder(&self, hash: &[u8; 32], generation: u64) -> Option<Result<Arc<Holder>, AuthenticationError>> {
        if let Some(holder) = self.holders.get(hash).filter(|holder| holder.generation == generation) {
            return Some(Ok(holder));
        }
        let missed = self.misses.get(hash) == Some(generation);
        missed.then_some(Err(AuthenticationError::Refused(Cause::Unknown)))
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
        Some(Hit { caller: Arc::new(caller(connection)), generation, expires })
    }

    /// Remembered hits and misses, for a metric.
    #[must_use]
    pub fn remembered(&self) -> (u64, u64) {
        (self.hits.entry_count() + self.holders.entry_count(), self.misses.entry_count())
    }
}

fn caller(connection: &Connection) -> Caller {
    Caller {
        connection: connection.id,
        name: connection.name.clone(),
        account: connection.account.clone(),
        scopes: connection.scopes,
        // A figure out of range in the store (edited by hand) falls back to the default quota: fail closed.
        allowance: connection.quota.allowance().unwrap_or_default(),
    }
}
