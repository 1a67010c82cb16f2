//! The way into the domain: send, resend, status, verify, delete, list. Dialects parse into these commands and word the
//! answers; no policy lives in them. One commit each.
//!
//! A command that comes with a [`Keep`] is done once: its answer is kept in its commit, and where one is kept already the
//! command is not run (`…Error::Answered`).

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, UnixMillis};
use crate::idempotency::Keep;
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::by_purpose::{hold, subject};
use crate::otp::catalogue::Catalogue;
use crate::otp::channel::{Channel, Via};
use crate::otp::code::{Code, EnteredCode};
use crate::otp::command::{DeleteError, ResendError, Send, SendError, SendRefusal, Terms, Verified, VerifyError};
use crate::otp::id::{AccountId, NumberKey, OtpId};
use crate::otp::life::Life;
use crate::otp::machine::Verdict;
use crate::otp::news::Tally;
use crate::otp::once::once;
use crate::otp::outbox::Message;
use crate::otp::phone::{Country, Phone};
use crate::otp::policy::{Near, SendPolicy};
use crate::otp::record::{Delivery, Fates, Otp, OtpStatus, Recipient, SealedContent};
use crate::otp::store::{Changes, OtpChange, OtpStore, OutboxChange, Records, StoreError, Subject, Touch};
use crate::otp::template::Template;
use crate::secret::{Entropy, Keyring};

/// Messages that one OTP may queue: the first and its resends.
pub const MESSAGES_PER_OTP: u32 = 50;
/// OTPs that a list shows at most.
pub const LIST_LIMIT: usize = 100;

/// Is told how each operation ended: for metrics.
pub trait OtpObserver: std::marker::Send + Sync + 'static {
    /// A send ended.
    fn sent(&self, result: &Result<Arc<Otp>, SendError>);
    /// A resend ended.
    fn resent(&self, result: &Result<Arc<Otp>, ResendError>);
    /// Four fifths of an account's messages of a day to a country are used up.
    fn near_ceiling(&self, account: &AccountId, country: Option<Country>);
    /// A check ended.
    fn checked(&self, result: &Result<Verified, VerifyError>);
}

/// The domain's service.
pub struct OtpService {
    pub(super) store: Arc<dyn OtpStore>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    pub(super) policy: Arc<SendPolicy>,
    pub(super) observer: Arc<dyn OtpObserver>,
}

impl OtpService {
    /// Puts the service together.
    #[must_use]
    pub fn new(
        store: Arc<dyn OtpStore>,
        catalogue: Arc<Catalogue>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: SendPolicy,
        observer: Arc<dyn OtpObserver>,
    ) -> Self {
        Self { store, catalogue, keyring, clock, entropy, policy: Arc::new(policy), observer }
    }

    /// The instant that answers are worded for.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Whether a message may go to `phone` at all, as far as that does not depend on what was sent before.
    ///
    /// # Errors
    /// [`SendRefusal`].
    pub fn may_send(&self, phone: &Phone, via: Via) -> Result<(), SendRefusal> {
        self.policy.check(phone, via.channel(phone.line))
    }

    /// Whether a message may go to `phone` on `channel`, and whether somebody may take it there.
    #[must_use]
    pub fn offers(&self, phone: &Phone, channel: Channel) -> bool {
        self.policy.takes(phone, channel) && self.policy.check(phone, channel).is_ok()
    }

    /// Makes an OTP and queues its message. Returns when both are durable; the message leaves afterwards.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, wish: Send, keep: Option<Keep<Otp>>) -> Result<Arc<Otp>, SendError> {
        let result = self.try_send(wish, keep).await;
        self.observer.sent(&result);
        result
    }

    async fn try_send(&self, wish: Send, keep: Option<Keep<Otp>>) -> Result<Arc<Otp>, SendError> {
        let applications = self.catalogue.of(&wish.account).await.map_err(SendError::Store)?;
        let application =
            applications.find(wish.application).cloned().ok_or(SendError::Refused(SendRefusal::UnknownApplication))?;
        let channel = wish.via.channel(wish.phone.line);
        self.policy.check(&wish.phone, channel).map_err(SendError::Refused)?;
        let text = |text: &Template| text.shows_context();
        let shows = match &wish.text {
            Some(own) => text(own),
            None => text(&application.templates.choose(wish.language, wish.phone.country, channel).1),
        };
        if shows && wish.terms.context.is_none() {
            return Err(SendError::Refused(SendRefusal::ContextNeeded));
        }
        let now = self.clock.now();
        let (otp, message) = self.draft(wish, &application, now);
        let spend = self.policy.spend_key(&otp.account, otp.country, now);
        let touch = Touch { subject: subject(otp.number_key, otp.purpose.as_ref()), spend, answer: None };
        let policy = Arc::clone(&self.policy);
        let otp = Arc::new(otp);
        let (near, seen) = Near::watch(&policy);
        let verdict =
            once(&*self.store, &self.keyring, touch, keep, now, move |records| match policy.admit(records, now) {
                Ok(counted) => {
                    near.note(&policy, &counted);
                    let mut changes = Changes {
                        otp: OtpChange::Put(Arc::clone(&otp)),
                        outbox: OutboxChange::Put(message.clone()),
                        ..counted
                    };
                    hold(&mut changes, records, &otp, now);
                    (changes, Ok(Arc::clone(&otp)))
                }
                Err(refusal) => (Changes::default(), Err(SendError::Refused(refusal))),
            });
        let verdict: Result<Arc<Otp>, SendError> = verdict.await?;
        self.tell(&seen, &verdict);
        verdict
    }

    /// Tells the operator, once a day, that an account's messages to a country come to an end.
    pub(super) fn tell<E>(&self, seen: &Near, verdict: &Result<Arc<Otp>, E>) {
        if let Ok(otp) = verdict
            && seen.is_noted()
        {
            self.observer.near_ceiling(&otp.account, otp.country);
        }
    }

    fn draft(&self, wish: Send, application: &Application, now: UnixMillis) -> (Otp, Message) {
        let number_key = NumberKey::of(&self.keyring, &wish.account, &wish.phone.number);
        let Terms { purpose, life, usual_age, digits_only, context, behalf } = wish.terms;
        let id = behalf
            .map_or_else(|| OtpId::generate(now, number_key, wish.phone.country, &*self.entropy), |behalf| behalf.otp);
        let mut looks = application.code_policy(wish.pin_length);
        looks.alphanumeric &= !digits_only;
        let code = wish.code.unwrap_or_else(|| Code::generate(looks, &*self.entropy));
        let life = life.map_or_else(|| Duration::from_secs(application.expire.get().into()), Life::span);
        let channel = wish.via.channel(wish.phone.line);
        let second = self.policy.second(wish.via, channel, &wish.phone);
        let bound = context.is_some();
        let sealed = SealedContent { code, text: wish.text, context }.seal(&self.keyring, id);
        let mut otp = Otp {
            id,
            account: wish.account,
            application: application.id,
            recipient: Recipient::Number(wish.phone.number),
            number_key,
            country: wish.phone.country,
            status: OtpStatus::Active,
            attempts: 0,
            attempts_allowed: application.attempts.get(),
            created: now,
            expire: behalf.map_or(now + life, |behalf| behalf.until.min(now + life)),
            finished: None,
            expiry_told: false,
            reference: wish.reference,
            sealed: Some(sealed),
            language: wish.language,
            channel,
            sender: wish.sender.clone(),
            caller: wish.caller.clone(),
            messages: 0,
            delivery: Delivery::Queued,
            events: Vec::new(),
            purpose,
            usual_age,
            news: Tally::default(),
            second,
            fates: Fates::default(),
            bound,
            verification: behalf.map(|behalf| behalf.verification),
        };
        let message = otp.queue(channel, wish.sender, wish.caller, now);
        (otp, message)
    }

    /// The OTP, as committed. None when there is no such OTP, or it is another account's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, account: &AccountId, id: OtpId) -> Result<Option<Arc<Otp>>, StoreError> {
        let otp = match self.store.recall(id) {
            Some(otp) => Some(otp),
            None => self.store.otp(id).await?,
        };
        Ok(otp.filter(|otp| otp.account == *account))
    }

    /// The account's OTPs of a number, newest first, at most [`LIST_LIMIT`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, account: &AccountId, phone: &Phone) -> Result<Vec<Arc<Otp>>, StoreError> {
        let key = NumberKey::of(&self.keyring, account, &phone.number);
        let mut otps = self.store.of_number(key, LIST_LIMIT).await?;
        otps.retain(|otp| otp.account == *account && otp.number().is_some());
        Ok(otps)
    }

    /// Checks what a person typed against the code of an OTP that has no purpose. The verdict is committed when this
    /// returns.
    ///
    /// # Errors
    /// [`VerifyError`]; no attempt was counted then.
    pub async fn verify(
        &self,
        account: &AccountId,
        id: OtpId,
        entered: EnteredCode,
        max_age: Option<Duration>,
        keep: Option<Keep<Verified>>,
    ) -> Result<Verified, VerifyError> {
        let result = self.try_verify(account, id, entered, max_age, keep).await;
        self.observer.checked(&result);
        result
    }

    async fn try_verify(
        &self,
        account: &AccountId,
        id: OtpId,
        entered: EnteredCode,
        max_age: Option<Duration>,
        keep: Option<Keep<Verified>>,
    ) -> Result<Verified, VerifyError> {
        let applications = self.catalogue.of(account).await.map_err(VerifyError::Store)?;
        let now = self.clock.now();
        let (keyring, account) = (Arc::clone(&self.keyring), account.clone());
        let ring = Arc::clone(&self.keyring);
        let touch = Touch { subject: Subject::Otp(id), spend: None, answer: None };
        let verdict = once(&*self.store, &ring, touch, keep, now, move |records| {
            let Some(mut otp) = owned(records, &account) else {
                return (Changes::default(), Err(VerifyError::Unknown));
            };
            if applications.find(ApplicationRef::Id(otp.application)).is_none() {
                return (Changes::default(), Err(VerifyError::ApplicationGone));
            }
            // One that was sent for a purpose is checked by its purpose: by its id there is nothing to check.
            if otp.purpose.is_some() {
                return (Changes::default(), Err(VerifyError::Unknown));
            }
            // What is final or over looks at neither.
            if otp.status_at(now) == OtpStatus::Active {
                if otp.bound != entered.context.is_some() {
                    return (Changes::default(), Err(VerifyError::Context { bound: otp.bound }));
                }
                if entered.is_missing {
                    return (Changes::default(), Err(VerifyError::NoCode));
                }
            }
            let mut number = records.number.clone();
            let verdict = otp.check(&mut number, &keyring, &entered, max_age, now);
            let untouched = matches!(verdict, Verdict::Final(_) | Verdict::TooOld);
            let otp = Arc::new(otp);
            let changes = Changes {
                otp: put_if(!untouched, &otp),
                number: (number != records.number).then_some(number),
                ..Changes::default()
            };
            (changes, Ok(Verified { verdict, otp, at: now }))
        });
        verdict.await?
    }

    /// Deletes an OTP: its last state.
    ///
    /// # Errors
    /// [`DeleteError`].
    pub async fn delete(
        &self,
        account: &AccountId,
        id: OtpId,
        keep: Option<Keep<Otp>>,
    ) -> Result<Arc<Otp>, DeleteError> {
        let account = account.clone();
        let touch = Touch { subject: Subject::Otp(id), spend: None, answer: None };
        let now = self.clock.now();
        let verdict = once(&*self.store, &self.keyring, touch, keep, now, move |records| {
            match records.otp.clone().filter(|otp| otp.account == account) {
                Some(otp) => (Changes { otp: OtpChange::Delete, ..Changes::default() }, Ok(otp)),
                None => (Changes::default(), Err(DeleteError::Unknown)),
            }
        });
        verdict.await?
    }
}

pub(super) fn owned(records: &Records, account: &AccountId) -> Option<Otp> {
    records.otp.as_deref().filter(|otp| otp.account == *account).cloned()
}

pub(super) fn put_if(changed: bool, otp: &Arc<Otp>) -> OtpChange {
    if changed { OtpChange::Put(Arc::clone(otp)) } else { OtpChange::Keep }
}
