//! The pair of keys of a connection: made when its public key is first asked for, kept sealed, the same ever after.

use std::sync::Arc;

use moka::sync::Cache;

use crate::access::connection::ConnectionId;
use crate::identity::rsa::{self, BadKey, PrivateKey};
use crate::identity::store::IdentityStore;
use crate::otp::store::StoreError;
use crate::secret::Keyring;

/// Pairs that are held in memory, each some 3 KB.
const REMEMBERED: u64 = 1_000;

/// A pair, ready for use.
pub struct Pair {
    /// Opens what the public key sealed.
    pub private: PrivateKey,
    /// The public key, PEM.
    pub public: String,
}

/// Why there is no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is kept cannot be opened, or no pair could be made.
    #[error("no pair of keys")]
    Broken,
}

impl From<BadKey> for PairError {
    fn from(_: BadKey) -> Self {
        Self::Broken
    }
}

/// Gives each connection its pair.
pub struct Pairs {
    store: Arc<dyn IdentityStore>,
    keyring: Arc<Keyring>,
    remembered: Cache<ConnectionId, Arc<Pair>>,
    /// To make one costs some hundred milliseconds of a core: one at a time.
    making: tokio::sync::Mutex<()>,
}

impl Pairs {
    /// Kept in `store`, sealed by `keyring`.
    #[must_use]
    pub fn new(store: Arc<dyn IdentityStore>, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring, remembered: Cache::new(REMEMBERED), making: tokio::sync::Mutex::new(()) }
    }

    /// The connection's pair, if it was made.
    ///
    /// # Errors
    /// [`PairError`].
    pub async fn find(&self, connection: ConnectionId) -> Result<Option<Arc<Pair>>, PairError> {
        if let Some(pair) = self.remembered.get(&connection) {
            return Ok(Some(pair));
        }
        let Some(sealed) = self.store.pair(connection).await? else { return Ok(None) };
        let private = self.keyring.open(&context(connection), &sealed).map_err(|_| PairError::Broken)?;
        let pair = Arc::new(Pair { private: PrivateKey::from_pkcs8(&private)?, public: rsa::public_pem(&private)? });
        self.remembered.insert(connection, Arc::clone(&pair));
        Ok(Some(pair))
    }

    /// The connection's pair, made where it has none yet. Whoever kept one first, here or elsewhere, has made it.
    ///
    /// # Errors
    /// [`PairError`].
    pub async fn get(&self, connection: ConnectionId) -> Result<Arc<Pair>, PairError> {
        if let Some(pair) = self.find(connection).await? {
            return Ok(pair);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(pair) = self.find(connection).await? {
            return Ok(pair);
        }
        let made = tokio::task::spawn_blocking(rsa::generate).await.map_err(|_| PairError::Broken)?;
        let (private, _) = made?;
        let sealed = self.keyring.seal(&context(connection), &private);
        self.store.put_pair(connection, sealed).await?;
        self.find(connection).await?.ok_or(PairError::Broken)
    }
}

fn context(connection: ConnectionId) -> [u8; 12] {
    let mut context = *b"pair........";
    if let Some(place) = context.get_mut(4..) {
        place.copy_from_slice(&connection.get().to_be_bytes());
    }
    context
}
