//! Sees to it that what becomes of a code becomes of its verification. The queue of events brings every change of such a code
//! here, over crashes and at least once; whoever makes a step of the person settles at once, so that the page shows it.

use std::sync::Arc;

use crate::events::inside::Inside;
use crate::events::queue::Notice;
use crate::otp::id::{OtpId, VerificationId};
use crate::otp::news::EventName;
use crate::otp::store::{Later, StoreError, WriteError};
use crate::verification::outcome::{Found, outcome};
use crate::verification::record::Verification;
use crate::verification::service::{Verifications, WRITES};

impl Verifications {
    /// Ends a verification if its code or its time says so. What `heard` tells of its code counts where the code itself is
    /// not there any more. The verification as it is afterwards; doing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, id: VerificationId, heard: Option<&Notice>) -> Result<Option<Verification>, StoreError> {
        for _ in 0..WRITES {
            let Some(known) = self.store.verification(id).await? else { return Ok(None) };
            if known.ended.is_some() {
                return Ok(Some(known));
            }
            let (now, heard) = (self.clock.now(), heard.filter(|heard| is_of(heard, known.current_otp())));
            let kept = self.otp_of(&known).await?;
            let otp = kept.as_ref().or(heard.and_then(Notice::otp));
            let told = outcome(&known, otp.map_or(Found::Missing, Found::There), now);
            let deleted = kept.is_none() && heard.is_some_and(|heard| heard.name == EventName::Deleted);
            let told = told.or_else(|| if deleted { outcome(&known, Found::Deleted, now) } else { None });
            let Some(outcome) = told else { return Ok(Some(known)) };
            let mut after = known.clone();
            after.end(outcome, otp, now);
            match self.write(known, after).await {
                Ok(after) => return Ok(Some(after)),
                Err(WriteError::Conflict) => {}
                Err(WriteError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }
}

fn is_of(heard: &Notice, current: Option<OtpId>) -> bool {
    heard.otp().is_some_and(|otp| Some(otp.id) == current)
}

/// Hears of codes from the queue of events.
pub struct Settler(pub Arc<Verifications>);

impl Inside for Settler {
    fn hear<'a>(&'a self, notice: &'a Notice) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Some(id) = notice.otp().and_then(|otp| otp.verification) else { return Ok(()) };
            self.0.settle(id, Some(notice)).await.map(drop)
        })
    }
}
