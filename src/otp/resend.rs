//! The same code once more.
//!
//! One commit, like every command; what it needs of the OTP it learns inside its change, so that nothing is read before.

use std::sync::Arc;

use crate::idempotency::Keep;
use crate::otp::application::{ApplicationRef, Applications};
use crate::otp::command::{Resend, ResendError, SendRefusal};
use crate::otp::id::{AccountId, OtpId};
use crate::otp::once::once;
use crate::otp::phone::{Country, Phone};
use crate::otp::policy::Near;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::service::{MESSAGES_PER_OTP, OtpService, owned, put_if};
use crate::otp::store::{Changes, OtpChange, OutboxChange, StoreError, Subject, Touch};

/// Why a change did nothing.
enum Undone {
    /// It may not be sent again.
    Refused(ResendError),
    /// Its messages are counted with those of this country: the id did not say so.
    CountedWith(Option<Country>),
}

impl OtpService {
    /// Queues the same code once more.
    ///
    /// # Errors
    /// [`ResendError`].
    pub async fn resend(
        &self,
        account: &AccountId,
        id: OtpId,
        wish: Resend,
        keep: Option<Keep<Otp>>,
    ) -> Result<Arc<Otp>, ResendError> {
        let result = self.try_resend(account, id, &wish, keep).await;
        self.observer.resent(&result);
        result
    }

    async fn try_resend(
        &self,
        account: &AccountId,
        id: OtpId,
        wish: &Resend,
        keep: Option<Keep<Otp>>,
    ) -> Result<Arc<Otp>, ResendError> {
        let applications = self.catalogue.of(account).await.map_err(ResendError::Store)?;
        let counted = |country| self.resend_counted_with(country, account, id, wish, &applications, keep.clone());
        match counted(id.country()).await? {
            Err(Undone::CountedWith(other)) => match counted(other).await? {
                Ok(otp) => Ok(otp),
                Err(Undone::Refused(error)) => Err(error),
                // The country of an OTP never changes.
                Err(Undone::CountedWith(_)) => Err(ResendError::Store(StoreError::Unavailable)),
            },
            Err(Undone::Refused(error)) => Err(error),
            Ok(otp) => Ok(otp),
        }
    }

    /// The same, where its messages are counted with those of `country`.
    async fn resend_counted_with(
        &self,
        country: Option<Country>,
        account: &AccountId,
        id: OtpId,
        wish: &Resend,
        applications: &Arc<Applications>,
        keep: Option<Keep<Otp>>,
    ) -> Result<Result<Arc<Otp>, Undone>, ResendError> {
        let now = self.clock.now();
        let spend = self.policy.spend_key(account, country, now);
        let touch = Touch { subject: Subject::Otp(id), spend: spend.clone(), answer: None };
        // The number, where it is at hand: to read one takes longer than a change should.
        let mut phone = self.store.recall(id).as_deref().and_then(phone_of);
        let (policy, account, applications) = (Arc::clone(&self.policy), account.clone(), Arc::clone(applications));
        let Resend { via, sender, caller } = wish.clone();
        let (near, seen) = Near::watch(&policy);
        let verdict = once(&*self.store, &self.keyring, touch, keep, now, move |records| {
            let refused = |error| (Changes::default(), Err(Undone::Refused(error)));
            let Some(mut otp) = owned(records, &account) else { return refused(ResendError::Unknown) };
            if applications.find(ApplicationRef::Id(otp.application)).is_none() {
                return refused(ResendError::ApplicationGone);
            }
            if policy.spend_key(&account, otp.country, now) != spend {
                return (Changes::default(), Err(Undone::CountedWith(otp.country)));
            }
            if phone.is_none() {
                phone = phone_of(&otp);
            }
            let (channel, second) = match &phone {
                Some(phone) => {
                    let channel = via.channel(phone.line);
                    if let Err(refusal) = policy.check(phone, channel) {
                        return refused(ResendError::Refused(refusal));
                    }
                    (channel, policy.second(via, channel, phone))
                }
                None => (otp.channel, None),
            };
            if otp.status_at(now) != OtpStatus::Active {
                // Whoever asks is told EXPIRED; the record says so as well from now on.
                let changed = otp.expire_now(now);
                let otp = Arc::new(otp);
                let changes = Changes { otp: put_if(changed, &otp), ..Changes::default() };
                return (changes, Err(Undone::Refused(ResendError::NotActive(otp))));
            }
            if otp.messages >= MESSAGES_PER_OTP {
                return refused(ResendError::Refused(SendRefusal::TooManyResends));
            }
            match policy.admit(records, now) {
                Ok(counted) => {
                    near.note(&policy, &counted);
                    otp.second = second;
                    let message = otp.queue(channel, sender.clone(), caller.clone(), now);
                    let otp = Arc::new(otp);
                    let changes = Changes {
                        otp: OtpChange::Put(Arc::clone(&otp)),
                        outbox: OutboxChange::Put(message),
                        ..counted
                    };
                    (changes, Ok(otp))
                }
                Err(refusal) => refused(ResendError::Refused(refusal)),
            }
        });
        let verdict: Result<Arc<Otp>, Undone> = verdict.await?;
        self.tell(&seen, &verdict);
        Ok(verdict)
    }
}

fn phone_of(otp: &Otp) -> Option<Phone> {
    otp.number().and_then(|number| Phone::of(number).ok())
}
