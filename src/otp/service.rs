//! The way into the domain: send, resend, status, verify, delete, list. Dialects parse into these commands and word the
//! answers; no policy lives in them. One commit each.
//!
//! A command that comes with a [`Keep`] is done once: its answer is kept in its commit, and where one is kept already the
//! command is not run (`…Error::Answered`).

use std::sync::Arc;
use std::time::Duration;

use crate::abuse::{CeilingPolicy, NumberRecord, SendLimits, SpendKey};
use crate::clock::{Clock, UnixMillis};
use crate::idempotency::Keep;
use crate::otp::application::{Application, ApplicationRef, Caller, Sender};
use crate::otp::by_purpose::{hold, subject};
use crate::otp::catalogue::Catalogue;
use crate::otp::channel::{Channel, Via};
use crate::otp::code::{Code, EnteredCode};
use crate::otp::command::{
    DeleteError, Resend, ResendError, Send, SendError, SendRefusal, Terms, Verified, VerifyError,
};
use crate::otp::id::{AccountId, NumberKey, OtpId};
use crate::otp::life::Life;
use crate::otp::machine::Verdict;
use crate::otp::news::Tally;
use crate::otp::once::once;
use crate::otp::outbox::{Message, MessageBody, MessageId};
use crate::otp::phone::{Country, Phone};
use crate::otp::record::{Delivery, EventKind, Otp, OtpStatus, Recipient, SealedContent};
use crate::otp::store::{Changes, OtpChange, OtpStore, OutboxChange, Records, StoreError, Subject, Touch};
use crate::secret::{Entropy, Keyring};

/// Messages that one OTP may queue: the first and its resends.
pub const MESSAGES_PER_OTP: u32 = 50;
/// OTPs that a list shows at most.
pub const LIST_LIMIT: usize = 100;

/// Which countries may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Countries {
    /// Every one.
    All,
    /// These.
    Only(Vec<Country>),
}

/// What limits the sending.
#[derive(Clone, Debug)]
pub struct SendPolicy {
    /// Per number.
    pub limits: SendLimits,
    /// Per account, country and day.
    pub ceiling: CeilingPolicy,
    /// Countries served.
    pub countries: Countries,
}

/// Is told how each operation ended: for metrics.
pub trait OtpObserver: std::marker::Send + Sync + 'static {
    /// A send ended.
    fn sent(&self, result: &Result<Arc<Otp>, SendError>);
    /// A resend ended.
    fn resent(&self, result: &Result<Arc<Otp>, ResendError>);
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
    policy: Arc<SendPolicy>,
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
        self.check_country(wish.phone.country).map_err(SendError::Refused)?;
        let now = self.clock.now();
        let (otp, message) = self.draft(wish, &application, now);
        let spend = self.spend_key(&otp, now);
        let touch = Touch { subject: subject(otp.number_key, otp.purpose.as_ref()), spend, answer: None };
        let policy = Arc::clone(&self.policy);
        let otp = Arc::new(otp);
        let verdict =
            once(&*self.store, &self.keyring, touch, keep, now, move |records| match admit(&policy, records, now) {
                Ok(counted) => {
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
        verdict.await?
    }

    fn draft(&self, wish: Send, application: &Application, now: UnixMillis) -> (Otp, Message) {
        let number_key = NumberKey::of(&self.keyring, &wish.account, &wish.phone.number);
        let id = OtpId::generate(now, number_key, &*self.entropy);
        let Terms { purpose, life, usual_age, digits_only } = wish.terms;
        let mut looks = application.code_policy(wish.pin_length);
        looks.alphanumeric &= !digits_only;
        let code = wish.code.unwrap_or_else(|| Code::generate(looks, &*self.entropy));
        let life = life.map_or_else(|| Duration::from_secs(application.expire.get().into()), Life::span);
        let channel = wish.via.channel(wish.phone.line);
        let sealed = SealedContent { code, text: wish.text }.seal(&self.keyring, id);
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
            expire: now + life,
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
        };
        let message = queue_message(&mut otp, channel, wish.sender, wish.caller, now);
        (otp, message)
    }

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
        let result = self.try_resend(account, id, wish, keep).await;
        self.observer.resent(&result);
        result
    }

    async fn try_resend(
        &self,
        account: &AccountId,
        id: OtpId,
        wish: Resend,
        keep: Option<Keep<Otp>>,
    ) -> Result<Arc<Otp>, ResendError> {
        let otp = self.find(account, id).await.map_err(ResendError::Store)?.ok_or(ResendError::Unknown)?;
        if !self.application_lives(&otp).await.map_err(ResendError::Store)? {
            return Err(ResendError::ApplicationGone);
        }
        let now = self.clock.now();
        let line = otp.number().and_then(|number| Phone::of(number).ok()).map(|phone| phone.line);
        let channel = match (wish.via, line) {
            (Via::Auto, None) => otp.channel,
            (via, line) => via.channel(line.unwrap_or(crate::otp::phone::LineType::Unallocated)),
        };
        let touch = Touch { subject: Subject::Otp(id), spend: self.spend_key(&otp, now), answer: None };
        let (policy, account) = (Arc::clone(&self.policy), account.clone());
        let verdict = once(&*self.store, &self.keyring, touch, keep, now, move |records| {
            let Some(mut otp) = owned(records, &account) else {
                return (Changes::default(), Err(ResendError::Unknown));
            };
            if otp.status_at(now) != OtpStatus::Active {
                // Whoever asks is told EXPIRED; the record says so as well from now on.
                let changed = otp.expire_now(now);
                let otp = Arc::new(otp);
                let changes = Changes { otp: put_if(changed, &otp), ..Changes::default() };
                return (changes, Err(ResendError::NotActive(otp)));
            }
            if otp.messages >= MESSAGES_PER_OTP {
                return (Changes::default(), Err(ResendError::Refused(SendRefusal::TooManyResends)));
            }
            match admit(&policy, records, now) {
                Ok(counted) => {
                    let message = queue_message(&mut otp, channel, wish.sender.clone(), wish.caller.clone(), now);
                    let otp = Arc::new(otp);
                    let changes = Changes {
                        otp: OtpChange::Put(Arc::clone(&otp)),
                        outbox: OutboxChange::Put(message),
                        ..counted
                    };
                    (changes, Ok(otp))
                }
                Err(refusal) => (Changes::default(), Err(ResendError::Refused(refusal))),
            }
        });
        verdict.await?
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
        let otp = self.find(account, id).await.map_err(VerifyError::Store)?.ok_or(VerifyError::Unknown)?;
        if !self.application_lives(&otp).await.map_err(VerifyError::Store)? {
            return Err(VerifyError::ApplicationGone);
        }
        drop(otp);
        let now = self.clock.now();
        let (keyring, account) = (Arc::clone(&self.keyring), account.clone());
        let ring = Arc::clone(&self.keyring);
        let touch = Touch { subject: Subject::Otp(id), spend: None, answer: None };
        let verdict = once(&*self.store, &ring, touch, keep, now, move |records| {
            // One that was sent for a purpose is checked by its purpose: by its id there is nothing to check.
            let Some(mut otp) = owned(records, &account).filter(|otp| otp.purpose.is_none()) else {
                return (Changes::default(), Err(VerifyError::Unknown));
            };
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

    async fn application_lives(&self, otp: &Otp) -> Result<bool, StoreError> {
        let applications = self.catalogue.of(&otp.account).await?;
        Ok(applications.find(ApplicationRef::Id(otp.application)).is_some())
    }

    fn check_country(&self, country: Option<Country>) -> Result<(), SendRefusal> {
        let served = match &self.policy.countries {
            Countries::All => true,
            Countries::Only(list) => country.is_some_and(|country| list.contains(&country)),
        };
        if served { Ok(()) } else { Err(SendRefusal::CountryNotServed) }
    }

    fn spend_key(&self, otp: &Otp, now: UnixMillis) -> Option<SpendKey> {
        let country = otp.country.as_ref().map(Country::as_str);
        self.policy.ceiling.0.is_some().then(|| SpendKey::of(otp.account.as_str(), country, now))
    }
}

/// Counts one message against the number's limits and the day's ceiling.
fn admit(policy: &SendPolicy, records: &Records, now: UnixMillis) -> Result<Changes, SendRefusal> {
    if let Some(until) = records.number.locked_at(now) {
        return Err(SendRefusal::Locked(until));
    }
    let spent = policy.ceiling.spend(records.spent, now).map_err(SendRefusal::CeilingReached)?;
    let mut number: NumberRecord = records.number.clone();
    policy.limits.admit(&mut number, now).map_err(SendRefusal::TooManySends)?;
    Ok(Changes {
        number: (number != records.number).then_some(number),
        spent: policy.ceiling.0.is_some().then_some(spent),
        ..Changes::default()
    })
}

fn queue_message(
    otp: &mut Otp,
    channel: Channel,
    sender: Option<Sender>,
    caller: Option<Caller>,
    now: UnixMillis,
) -> Message {
    otp.messages += 1;
    otp.channel = channel;
    otp.delivery = Delivery::Queued;
    otp.record(EventKind::DeliverOtpReq, now, Some(channel.as_str().to_owned()));
    let sender = sender.or_else(|| otp.sender.clone());
    let caller = caller.or_else(|| otp.caller.clone());
    Message {
        id: MessageId { otp: otp.id, number: otp.messages },
        due: now,
        body: MessageBody { channel, sender, caller, tries: 0 },
    }
}

fn owned(records: &Records, account: &AccountId) -> Option<Otp> {
    records.otp.as_deref().filter(|otp| otp.account == *account).cloned()
}

fn put_if(changed: bool, otp: &Arc<Otp>) -> OtpChange {
    if changed { OtpChange::Put(Arc::clone(otp)) } else { OtpChange::Keep }
}
