//! The answer that is kept for a call that is to be done once: what of it holds, and the port to where it lies. What a
//! carrier calls a message is kept in the same way, under a hash and for a time ([`KeptAnswer::of_bytes`]).
//!
//! It is sealed, because it shows a full number; it knows its OTP and its number, so that it goes when they go. What it
//! says is the surface's business.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, UnixMillis};
use crate::idempotency::{self, Answer, Answers, CallKey, Fingerprint, Found, ReplayKey, Settled, Ticket, Unavailable};
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::store::{Changes, Later, OtpStore, Records, StoreError, Subject, Touch, change};
use crate::secret::{Keyring, Sealed, Unsealable};
use zeroize::Zeroizing;

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What it is kept under.
    pub key: ReplayKey,
    /// The request that it answers.
    pub fingerprint: Fingerprint,
    /// It holds until then.
    pub expires: UnixMillis,
    /// The OTP that it tells of.
    pub otp: Option<OtpId>,
    /// The number of that OTP.
    pub number: Option<NumberKey>,
    /// The answer itself.
    pub sealed: Sealed,
}

impl KeptAnswer {
    /// The answer to `call`, given at `now`, that tells of `otp`.
    #[must_use]
    pub fn new(call: &CallKey, answer: &Answer, otp: Option<&Otp>, keyring: &Keyring, now: UnixMillis) -> Self {
        Self::of_bytes(call.key, call.fingerprint, now + call.lasts(), otp, &answer.to_bytes(), keyring)
    }

    /// What is kept under `key` until `expires`, in bytes that only their writer understands.
    #[must_use]
    pub fn of_bytes(
        key: ReplayKey,
        fingerprint: Fingerprint,
        expires: UnixMillis,
        otp: Option<&Otp>,
        plain: &[u8],
        keyring: &Keyring,
    ) -> Self {
        let (otp, number) = (otp.map(|otp| otp.id), otp.map(|otp| otp.number_key));
        let mut kept = Self { key, fingerprint, expires, otp, number, sealed: Sealed::from_bytes(Vec::new()) };
        kept.sealed = keyring.seal(&kept.context(), plain);
        kept
    }

    /// The answer itself.
    ///
    /// # Errors
    /// [`Unsealable`] when any part of it is not what was kept.
    pub fn open(&self, keyring: &Keyring) -> Result<Answer, Unsealable> {
        Answer::from_bytes(&self.open_bytes(keyring)?).map_err(|_| Unsealable)
    }

    /// The bytes that [`KeptAnswer::of_bytes`] was given.
    ///
    /// # Errors
    /// [`Unsealable`] when any part of it is not what was kept.
    pub fn open_bytes(&self, keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        keyring.open(&self.context(), &self.sealed)
    }

    /// The seal holds everything together: an answer that opens is wholly the one that was kept.
    fn context(&self) -> Vec<u8> {
        let mut context = Vec::with_capacity(80);
        context.extend(b"answer");
        context.extend(self.key.bytes());
        context.extend(self.fingerprint.bytes());
        context.extend(self.expires.0.to_be_bytes());
        context.extend(self.otp.map(OtpId::bytes).unwrap_or_default());
        context.extend(self.number.map(NumberKey::bytes).unwrap_or_default());
        context
    }

    /// When it is to be dropped: when it holds no more, and not later than the number of its OTP goes.
    #[must_use]
    pub fn due(&self, otp: Option<&Otp>, retention: Duration) -> UnixMillis {
        let erased = otp.filter(|otp| otp.status != OtpStatus::Active).and_then(|otp| otp.due(retention));
        erased.map_or(self.expires, |erased| erased.min(self.expires))
    }
}

/// An answer, with the OTP that it tells of as far as that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The answer.
    pub answer: Arc<KeptAnswer>,
    /// Its OTP, as it is now.
    pub otp: Option<Arc<Otp>>,
}

/// What is to be done about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is run.
    Fresh,
    /// It was answered.
    Answered(Arc<KeptAnswer>),
    /// Its key belongs to another request.
    Reused,
}

/// What is to be done at `now` about `call`, where `kept` lies under its key. Pure: asked before a call runs, and again
/// inside its change.
#[must_use]
pub fn standing(call: &CallKey, kept: Option<&Kept>, now: UnixMillis) -> Standing {
    let Some(Kept { answer, otp }) = kept else { return Standing::Fresh };
    let active = || otp.as_ref().is_some_and(|otp| otp.status_at(now) == OtpStatus::Active);
    if now >= answer.expires {
        Standing::Fresh
    } else if answer.fingerprint != call.fingerprint {
        Standing::Reused
    } else if call.while_active() && !active() {
        Standing::Fresh
    } else {
        Standing::Answered(Arc::clone(answer))
    }
}

/// Keeps answers. They are written by [`OtpStore::change`].
pub trait AnswerStore: Send + Sync + 'static {
    /// The committed answer under `key`, whether or not it still holds.
    fn answer(&self, key: ReplayKey) -> Later<'_, Result<Option<Arc<KeptAnswer>>, StoreError>>;

    /// Drops answers that are due at `now`, at most `limit` of them: how many.
    fn drop_answers(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>>;
}

/// The answers that a store keeps, for the layer that asks before a call runs.
pub struct KeptAnswers {
    store: Arc<dyn OtpStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl KeptAnswers {
    /// Those in `store`, sealed by `keyring`.
    #[must_use]
    pub fn new(store: Arc<dyn OtpStore>, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keyring, clock }
    }

    async fn look_up(&self, call: &CallKey) -> Result<Found, StoreError> {
        let Some(answer) = self.store.answer(call.key).await? else { return Ok(Found::Nothing) };
        let otp = match answer.otp.filter(|_| call.while_active()) {
            None => None,
            Some(id) => match self.store.recall(id) {
                Some(otp) => Some(otp),
                None => self.store.otp(id).await?,
            },
        };
        Ok(match standing(call, Some(&Kept { answer, otp }), self.clock.now()) {
            Standing::Fresh => Found::Nothing,
            Standing::Reused => Found::Reused,
            Standing::Answered(kept) => Found::Answer(kept.open(&self.keyring).map_err(unreadable)?),
        })
    }

    async fn end_bare(&self, ticket: &Ticket, answer: Option<Answer>) -> Result<(), StoreError> {
        let fits = |answer: &Answer| !ticket.call.while_active() && answer.body.len() <= Answer::KEPT_BYTES;
        if let Some(answer) = answer.filter(fits)
            && self.keep_bare(ticket, &answer).await.is_ok()
        {
            return Ok(());
        }
        match self.look_up(&ticket.call).await? {
            Found::Nothing => {}
            Found::Answer(answer) => ticket.settle(Settled::Replayed(answer)),
            Found::Reused => ticket.settle(Settled::Reused),
        }
        Ok(())
    }

    async fn keep_bare(&self, ticket: &Ticket, answer: &Answer) -> Result<(), StoreError> {
        let (call, now) = (ticket.call, self.clock.now());
        let kept = KeptAnswer::new(&call, answer, None, &self.keyring, now);
        let touch = Touch { subject: Subject::Nobody, spend: None, answer: Some(call.key) };
        let found = change(&*self.store, touch, move |records: &Records| {
            let standing = standing(&call, records.kept.as_ref(), now);
            let answer = (standing == Standing::Fresh).then(|| Box::new(kept.clone()));
            (Changes { answer, ..Changes::default() }, standing)
        });
        settle(ticket, found.await?, &self.keyring)
    }
}

/// Notes on the ticket what was found.
pub(super) fn settle(ticket: &Ticket, found: Standing, keyring: &Keyring) -> Result<(), StoreError> {
    ticket.settle(match found {
        Standing::Fresh => Settled::Kept,
        Standing::Reused => Settled::Reused,
        Standing::Answered(kept) => Settled::Replayed(kept.open(keyring).map_err(unreadable)?),
    });
    Ok(())
}

/// An answer that does not open is neither replayed nor replaced: its call may have been done.
fn unreadable(_: Unsealable) -> StoreError {
    tracing::error!("a kept answer is damaged: its call is refused until it is dropped");
    StoreError::Unavailable
}

impl Answers for KeptAnswers {
    fn find<'a>(&'a self, call: &'a CallKey) -> idempotency::Later<'a, Result<Found, Unavailable>> {
        Box::pin(async move { self.look_up(call).await.map_err(|_| Unavailable) })
    }

    fn end<'a>(
        &'a self,
        ticket: &'a Ticket,
        answer: Option<Answer>,
    ) -> idempotency::Later<'a, Result<(), Unavailable>> {
        Box::pin(async move { self.end_bare(ticket, answer).await.map_err(|_| Unavailable) })
    }
}
