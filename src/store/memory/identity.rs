//! Pairs of keys, tried puzzles and sessions in memory.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::identity::store::{
    Attempt, CaptchaId, IdentityStore, KeptSession, SESSIONS_PER_NUMBER, SessionKey, TRIED_CAPTCHAS,
};
use crate::otp::id::NumberKey;
use crate::otp::store::{Later, StoreError};
use crate::secret::Sealed;
use crate::store::memory::{MemoryStore, ready};

#[derive(Default)]
struct State {
    pairs: HashMap<ConnectionId, Sealed>,
    tried: HashMap<CaptchaId, Attempt>,
    sessions: BTreeMap<SessionKey, KeptSession>,
}

/// What the store in memory keeps of identities.
#[derive(Default)]
pub(super) struct Identity(Mutex<State>);

impl Identity {
    /// Ends a number's sessions.
    pub(super) fn erase(&self, key: NumberKey) {
        self.0.lock().sessions.retain(|_, session| session.number != key);
    }
}

impl State {
    fn live(&self, key: SessionKey, now: UnixMillis) -> Option<&KeptSession> {
        self.sessions.get(&key).filter(|session| now < session.expires)
    }
}

impl IdentityStore for MemoryStore {
    fn pair(&self, connection: ConnectionId) -> Later<'_, Result<Option<Sealed>, StoreError>> {
        ready(Ok(self.identity.0.lock().pairs.get(&connection).cloned()))
    }

    fn put_pair(&self, connection: ConnectionId, sealed: Sealed) -> Later<'_, Result<Sealed, StoreError>> {
        ready(Ok(self.identity.0.lock().pairs.entry(connection).or_insert(sealed).clone()))
    }

    fn try_captcha(&self, attempt: Attempt) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.identity.0.lock();
        if state.tried.len() >= TRIED_CAPTCHAS {
            return ready(Err(StoreError::Unavailable));
        }
        if state.tried.contains_key(&attempt.id) {
            return ready(Ok(false));
        }
        state.tried.insert(attempt.id, attempt);
        ready(Ok(true))
    }

    fn spend_captcha(&self, id: CaptchaId, sender: [u8; 32]) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.identity.0.lock();
        let solved = state.tried.get_mut(&id).filter(|attempt| attempt.solved_for == Some(sender));
        ready(Ok(solved.is_some_and(|attempt| attempt.solved_for.take().is_some())))
    }

    fn session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<Option<KeptSession>, StoreError>> {
        ready(Ok(self.identity.0.lock().live(key, now).cloned()))
    }

    fn open_session(
        &self,
        session: KeptSession,
        replaces: Option<SessionKey>,
        now: UnixMillis,
    ) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.identity.0.lock();
        if let Some(replaces) = replaces {
            if state.live(replaces, now).is_none() {
                return ready(Ok(false));
            }
            state.sessions.remove(&replaces);
        }
        let of_number = state.sessions.values().filter(|kept| kept.number == session.number);
        let mut of_number: Vec<_> = of_number.map(|kept| (kept.expires, kept.key)).collect();
        of_number.sort_unstable();
        let excess = (of_number.len() + 1).saturating_sub(SESSIONS_PER_NUMBER);
        for (_, key) in of_number.into_iter().take(excess) {
            state.sessions.remove(&key);
        }
        state.sessions.insert(session.key, session);
        ready(Ok(true))
    }

    fn end_session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.identity.0.lock();
        let live = state.live(key, now).is_some();
        state.sessions.remove(&key);
        ready(Ok(live))
    }

    fn prune_identity(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        let mut state = self.identity.0.lock();
        state.tried.retain(|_, attempt| now < attempt.expires);
        state.sessions.retain(|_, session| now < session.expires);
        ready(Ok(()))
    }
}
