//! Which verification a call opened that is to be done once: kept under the call's key before anything else is done, so that
//! a repetition finds it, wherever the first try of the call ended.
//!
//! Kept like an answer, under a key of its own: the answer itself would promise a message that may not have been queued.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::idempotency::{CallKey, Fingerprint, ReplayKey};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::{OtpId, VerificationId};
use crate::otp::store::{Changes, OtpStore, StoreError, Subject, Touch, change};
use crate::secret::{Keyring, Purpose};

/// Whose verification a call's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The one that was offered: the call has none yet.
    New,
    /// This one: the call was made before.
    Before(VerificationId),
    /// Its key belongs to another request.
    Reused,
}

fn key(keyring: &Keyring, parts: &[&[u8]]) -> ReplayKey {
    let mut key = [0; 16];
    key.copy_from_slice(keyring.hash(Purpose::Idempotency, parts).split_at(16).0);
    ReplayKey::from_bytes(key)
}

/// Says which verification is that of `call`: `offered`, unless there is another one that is not `ended`.
///
/// # Errors
/// [`StoreError`]; nothing is claimed then.
pub async fn claim(
    store: &dyn OtpStore,
    keyring: &Arc<Keyring>,
    call: CallKey,
    offered: VerificationId,
    ended: Option<VerificationId>,
    now: UnixMillis,
) -> Result<Claimed, StoreError> {
    let key = key(keyring, &[b"verification", &call.key.bytes()]);
    let touch = Touch { subject: Subject::Nobody, spend: None, answer: Some(key) };
    let keyring = Arc::clone(keyring);
    let found = change(store, touch, move |records| {
        let kept = records.kept.as_ref().map(|kept| &kept.answer).filter(|answer| now < answer.expires);
        if let Some(answer) = kept {
            if answer.fingerprint != call.fingerprint {
                return (Changes::default(), Ok(Claimed::Reused));
            }
            let plain = answer.open_bytes(&keyring).ok();
            let Some(known) = plain.and_then(|plain| <[u8; 16]>::try_from(plain.as_slice()).ok()) else {
                // What was claimed cannot be read: whether the call was done is not known, so it is not done again.
                return (Changes::default(), Err(StoreError::Unavailable));
            };
            let known = VerificationId::from_bytes(known);
            if Some(known) != ended {
                return (Changes::default(), Ok(Claimed::Before(known)));
            }
        }
        let expires = now + call.lasts();
        let kept = KeptAnswer::of_bytes(key, call.fingerprint, expires, None, &offered.bytes(), &keyring);
        (Changes { answer: Some(Box::new(kept)), ..Changes::default() }, Ok(Claimed::New))
    });
    found.await?
}

/// By what the sending of one OTP is known: however often it is tried, and by whom, it happens once.
#[must_use]
pub fn sending(keyring: &Keyring, otp: OtpId) -> CallKey {
    let mut key = key(keyring, &[b"code", &otp.bytes()]).bytes();
    // In the shard of the OTP, where its commit reaches it.
    key[0] = otp.shard();
    CallKey::inside(ReplayKey::from_bytes(key), Fingerprint::from_bytes([0; 16]))
}
