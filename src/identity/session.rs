//! Sessions: what a right code opens. The token is told once and kept as a keyed hash; a session belongs to the connection
//! that opened it, and goes with its number.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::access::connection::ConnectionId;
use crate::access::key::random_text;
use crate::clock::Clock;
use crate::identity::store::{IdentityStore, KeptSession, SessionKey};
use crate::otp::id::{AccountId, NumberKey};
use crate::otp::phone::E164;
use crate::otp::store::StoreError;
use crate::secret::{Entropy, Keyring, Purpose, Secret};

/// How long a session lives: the `expire` of the contract, 604,800 seconds.
pub const SESSION_LIFE: Duration = Duration::from_secs(604_800);
/// Letters and digits of a token: 238 bits.
const TOKEN_LENGTH: usize = 40;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The connection that opened it.
    pub connection: ConnectionId,
    /// Its account.
    pub account: AccountId,
    /// The number that was proven.
    pub number: E164,
}

/// Opens, finds and ends sessions.
pub struct Sessions {
    store: Arc<dyn IdentityStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    /// Kept in `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn IdentityStore>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, keyring, clock, entropy }
    }

    /// A token for a session that is still to be opened.
    #[must_use]
    pub fn token(&self) -> Secret {
        Secret::new(random_text(TOKEN_LENGTH, &*self.entropy).to_string())
    }

    /// Opens a session by this token.
    ///
    /// # Errors
    /// [`StoreError`]; it is not open then.
    pub async fn open(&self, token: &Secret, session: &Session) -> Result<(), StoreError> {
        let kept = self.kept(token, session)?;
        self.store.open_session(kept, None, self.clock.now()).await.map(drop)
    }

    /// The session of a token, where it is live and of this connection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, connection: ConnectionId, token: &str) -> Result<Option<Session>, StoreError> {
        let Some(key) = self.key(token) else { return Ok(None) };
        let Some(kept) = self.store.session(key, self.clock.now()).await? else { return Ok(None) };
        let session = self.keyring.open(&key, &kept.body).ok();
        let session: Option<Session> = session.and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(session.filter(|session| session.connection == connection))
    }

    /// A fresh token for the session of this one, which ends. None where it is not live, or of another connection.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub async fn refresh(&self, connection: ConnectionId, token: &str) -> Result<Option<Secret>, StoreError> {
        let Some(session) = self.find(connection, token).await? else { return Ok(None) };
        let fresh = self.token();
        let kept = self.kept(&fresh, &session)?;
        let replaced = self.store.open_session(kept, self.key(token), self.clock.now()).await?;
        Ok(replaced.then_some(fresh))
    }

    /// Ends the session of a token. Whether it was live and of this connection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(&self, connection: ConnectionId, token: &str) -> Result<bool, StoreError> {
        let (Some(_), Some(key)) = (self.find(connection, token).await?, self.key(token)) else { return Ok(false) };
        self.store.end_session(key, self.clock.now()).await
    }

    fn kept(&self, token: &Secret, session: &Session) -> Result<KeptSession, StoreError> {
        // Texts and a number: writing them cannot fail.
        let plain = Zeroizing::new(serde_json::to_vec(session).unwrap_or_default());
        let key = self.key(token.expose()).ok_or(StoreError::Failed)?;
        let number = NumberKey::of(&self.keyring, &session.account, &session.number);
        Ok(KeptSession { key, number, expires: self.clock.now() + SESSION_LIFE, body: self.keyring.seal(&key, &plain) })
    }

    /// None for what cannot be a token: nothing is looked up for it.
    fn key(&self, token: &str) -> Option<SessionKey> {
        (token.len() == TOKEN_LENGTH).then(|| self.keyring.hash(Purpose::Identity, &[b"session", token.as_bytes()]))
    }
}
