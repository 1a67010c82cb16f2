//! The port that keeps what has to outlast a restart: pairs of keys, which puzzles were tried, and sessions.
//!
//! Each operation is one commit of its own. What was spent stays spent until it would be refused for its age anyway.

use std::sync::Arc;
use std::time::Duration;

use crate::access::connection::ConnectionId;
use crate::clock::{Clock, UnixMillis};
use crate::otp::id::NumberKey;
use crate::otp::store::{Later, StoreError};
use crate::secret::Sealed;

/// Puzzles that were tried and are not over, at most: beyond it a further one is refused, because to forget one would let
/// it be tried again.
pub const TRIED_CAPTCHAS: usize = 100_000;
/// Sessions of one number in one account: a further one ends the one that would have ended first.
pub const SESSIONS_PER_NUMBER: usize = 16;

/// A puzzle's id: 128 random bits.
pub type CaptchaId = [u8; 16];
/// The keyed hash of a session's token.
pub type SessionKey = [u8; 32];

/// The only try at a puzzle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The puzzle.
    pub id: CaptchaId,
    /// The keyed hash of whom it was solved for; none where it was not solved.
    pub solved_for: Option<[u8; 32]>,
    /// When the puzzle is over.
    pub expires: UnixMillis,
}

/// A session as it is kept. Without its token nothing of it can be found, without the keyring nothing of it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// What it is found by.
    pub key: SessionKey,
    /// Whose it is: it goes with its number.
    pub number: NumberKey,
    /// When it is over.
    pub expires: UnixMillis,
    /// Everything else, sealed for `key`.
    pub body: Sealed,
}

/// Keeps them.
pub trait IdentityStore: Send + Sync + 'static {
    /// A connection's private key.
    fn pair(&self, connection: ConnectionId) -> Later<'_, Result<Option<Sealed>, StoreError>>;

    /// Keeps a connection's private key, unless it has one. The one that it has afterwards.
    fn put_pair(&self, connection: ConnectionId, sealed: Sealed) -> Later<'_, Result<Sealed, StoreError>>;

    /// Keeps the only try at a puzzle. Whether it was the first; an error also where [`TRIED_CAPTCHAS`] are kept already.
    fn try_captcha(&self, attempt: Attempt) -> Later<'_, Result<bool, StoreError>>;

    /// Spends a puzzle that was solved for this sender. Whether it was, and was not spent before.
    fn spend_captcha(&self, id: CaptchaId, sender: [u8; 32]) -> Later<'_, Result<bool, StoreError>>;

    /// The session that is live at `now`.
    fn session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<Option<KeptSession>, StoreError>>;

    /// Keeps a session; where it is to take another's place, that one must be live at `now`, and ends. Whether it was done.
    fn open_session(
        &self,
        session: KeptSession,
        replaces: Option<SessionKey>,
        now: UnixMillis,
    ) -> Later<'_, Result<bool, StoreError>>;

    /// Ends a session. Whether it was live at `now`.
    fn end_session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<bool, StoreError>>;

    /// Drops what is over at `now`: one bounded step.
    fn prune_identity(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>>;
}

/// How often the sweep looks.
const EVERY: Duration = Duration::from_secs(10);

/// Drops what is over, step by step, for as long as the process lives.
pub async fn sweep(store: Arc<dyn IdentityStore>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(EVERY).await;
        // Refused now, tried again soon: what it drops is dead weight.
        let _refused = store.prune_identity(clock.now()).await;
    }
}
