//! One change, done once: unless its call was answered before, the answer is kept in the commit of the change.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::idempotency::Keep;
use crate::otp::answer::{KeptAnswer, Standing, settle, standing};
use crate::otp::command::Verified;
use crate::otp::record::Otp;
use crate::otp::store::{Changes, OtpStore, Records, StoreError, Touch, change};
use crate::secret::Keyring;

/// Why a change gave no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Its call was answered before, or its key belongs to another request: the ticket knows. Nothing was changed.
    Answered,
    /// The store did not do it.
    Store(StoreError),
}

/// What an answer can be given of: it tells of an OTP.
pub(super) trait Told: Send + 'static {
    /// What is worded.
    type Shown: 'static;

    /// What is worded.
    fn shown(&self) -> &Self::Shown;

    /// The OTP.
    fn otp(&self) -> &Otp;
}

impl Told for Arc<Otp> {
    type Shown = Otp;

    fn shown(&self) -> &Otp {
        self
    }

    fn otp(&self) -> &Otp {
        self
    }
}

impl Told for Verified {
    type Shown = Self;

    fn shown(&self) -> &Self {
        self
    }

    fn otp(&self) -> &Otp {
        &self.otp
    }
}

/// As [`change`], once for the call of `keep`. An outcome is kept in the same commit, as it is worded; a refusal (`E`)
/// is not: whoever words it keeps it, or runs the call again.
pub(super) async fn once<T, E, F>(
    store: &dyn OtpStore,
    keyring: &Arc<Keyring>,
    mut touch: Touch,
    keep: Option<Keep<T::Shown>>,
    now: UnixMillis,
    mut transition: F,
) -> Result<Result<T, E>, Stopped>
where
    T: Told,
    E: Send + 'static,
    F: FnMut(&Records) -> (Changes, Result<T, E>) + Send + 'static,
{
    let Some(Keep { ticket, render }) = keep else {
        return change(store, touch, transition).await.map_err(Stopped::Store);
    };
    let (call, ring) = (ticket.call, Arc::clone(keyring));
    touch.answer = Some(call.key);
    let verdict = change(store, touch, move |records| match standing(&call, records.kept.as_ref(), now) {
        Standing::Fresh => {
            let (mut changes, verdict) = transition(records);
            if let Ok(told) = &verdict {
                let kept = KeptAnswer::new(&call, &render(told.shown()), Some(told.otp()), &ring, now);
                changes.answer = Some(Box::new(kept));
            }
            (changes, Ok(verdict))
        }
        before => (Changes::default(), Err(before)),
    });
    match verdict.await.map_err(Stopped::Store)? {
        Ok(verdict) => {
            if verdict.is_ok() {
                settle(&ticket, Standing::Fresh, keyring).map_err(Stopped::Store)?;
            }
            Ok(verdict)
        }
        Err(before) => {
            settle(&ticket, before, keyring).map_err(Stopped::Store)?;
            Err(Stopped::Answered)
        }
    }
}
