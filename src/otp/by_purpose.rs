//! Codes that are checked by number and purpose: which one holds, what a newer one does to it, and its check.
//!
//! Which code holds stands in the record of the number, which every change of the number reads: so a check finds the newest
//! code in the same step in which it counts the attempt, and of two sends one finds the other's code to replace.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::idempotency::Keep;
use crate::otp::application::ApplicationRef;
use crate::otp::command::{Check, Verified, VerifyError};
use crate::otp::id::NumberKey;
use crate::otp::machine::Verdict;
use crate::otp::once::once;
use crate::otp::purpose::Purpose;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::service::OtpService;
use crate::otp::store::{Changes, OtpChange, Records, Subject, Touch};

/// Whose records a send reads.
pub(super) fn subject(number: NumberKey, purpose: Option<&Purpose>) -> Subject {
    purpose.map_or(Subject::Number(number), |purpose| Subject::Purpose(number, purpose.clone()))
}

/// Lets `otp`, which `changes` are about to keep, hold for its purpose, and replaces the code that held before.
pub(super) fn hold(changes: &mut Changes, records: &Records, otp: &Otp, now: UnixMillis) {
    let Some(purpose) = otp.purpose.as_ref().map(Purpose::as_str) else { return };
    let mut number = changes.number.take().unwrap_or_else(|| records.number.clone());
    // What is over takes no room.
    number.holdings.retain(|holding| now < holding.until);
    let gives_way = number.holding(purpose);
    changes.replaced =
        records.otp.as_deref().filter(|before| Some(before.id.bytes()) == gives_way).and_then(|before| {
            let mut before = before.clone();
            before.replace(now).then(|| Arc::new(before))
        });
    number.hold(purpose, otp.id.bytes(), otp.expire);
    changes.number = Some(number);
}

impl OtpService {
    /// Checks what a person typed against the newest code of a number and purpose. The verdict is committed when this
    /// returns. Where no code holds, nothing is counted: there is nothing to guess.
    ///
    /// # Errors
    /// [`VerifyError`]; no attempt was counted then.
    pub async fn check(&self, wish: Check, keep: Option<Keep<Verified>>) -> Result<Verified, VerifyError> {
        let result = self.try_check(wish, keep).await;
        self.observer.checked(&result);
        result
    }

    async fn try_check(&self, wish: Check, keep: Option<Keep<Verified>>) -> Result<Verified, VerifyError> {
        let Check { account, phone, purpose, entered, max_age } = wish;
        let applications = self.catalogue.of(&account).await.map_err(VerifyError::Store)?;
        let key = NumberKey::of(&self.keyring, &account, &phone.number);
        let touch = Touch { subject: subject(key, Some(&purpose)), spend: None, answer: None };
        let (now, keyring) = (self.clock.now(), Arc::clone(&self.keyring));
        let verdict = once(&*self.store, &self.keyring, touch, keep, now, move |records| {
            let held = records.otp.as_deref().filter(|otp| otp.account == account);
            let Some(mut otp) = held.filter(|otp| otp.purpose.as_ref() == Some(&purpose)).cloned() else {
                return (Changes::default(), Err(VerifyError::Unknown));
            };
            if applications.find(ApplicationRef::Id(otp.application)).is_none() {
                return (Changes::default(), Err(VerifyError::ApplicationGone));
            }
            let max_age = otp.usual_age.map(|usual| max_age.unwrap_or(usual).span());
            let mut number = records.number.clone();
            let verdict = otp.check(&mut number, &keyring, &entered, max_age, now);
            if otp.status != OtpStatus::Active {
                number.let_go(otp.id.bytes());
            }
            let untouched = matches!(verdict, Verdict::Final(_) | Verdict::TooOld);
            let otp = Arc::new(otp);
            let changes = Changes {
                otp: if untouched { OtpChange::Keep } else { OtpChange::Put(Arc::clone(&otp)) },
                number: (number != records.number).then_some(number),
                ..Changes::default()
            };
            (changes, Ok(Verified { verdict, otp, at: now }))
        });
        verdict.await?
    }
}
