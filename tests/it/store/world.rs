//! What the store tests share: stores, numbers, OTPs, and the service's transitions in their shortest form.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use otpgate::abuse::SpendKey;
use otpgate::access::nonce::NonceStore;
use otpgate::access::store::ConnectionStore;
use otpgate::clock::{Clock, ManualClock, UnixMillis};
use otpgate::events::store::{EventQueue, SubscriptionStore};
use otpgate::identity::store::IdentityStore;
use otpgate::otp::channel::Channel;
use otpgate::otp::code::{Code, EnteredCode};
use otpgate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
use otpgate::otp::machine::Verdict;
use otpgate::otp::news::Tally;
use otpgate::otp::outbox::{Message, MessageBody, MessageId};
use otpgate::otp::phone::{E164, Phone};
use otpgate::otp::record::{Delivery, Fates, Otp, OtpStatus, Recipient, SealedContent};
use otpgate::otp::store::{
    ApplicationStore, Changes, Eraser, OtpChange, OtpStore, Outbox, OutboxChange, Records, StoreError, Subject, Touch,
    change,
};
use otpgate::secret::{Keyring, MasterKey, SystemEntropy};
use otpgate::store::memory::MemoryStore;
use otpgate::store::redis::{self, Address, RedisStore};
use otpgate::store::sqlite::{Mode, Options, SqliteStore};
use otpgate::verification::store::VerificationStore;

use crate::support::redis::Redis;

pub(crate) const START: UnixMillis = UnixMillis(1_763_764_437_120);
pub(crate) const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);
pub(crate) const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(crate) const CODE: &str = "012345";

/// The ports about codes.
pub(crate) trait Otps: OtpStore + Outbox + Eraser {}
impl<T: OtpStore + Outbox + Eraser> Otps for T {}

/// All the ports of a store.
pub(crate) trait Store:
    Otps
    + ApplicationStore
    + ConnectionStore
    + SubscriptionStore
    + EventQueue
    + NonceStore
    + IdentityStore
    + VerificationStore
{
}
impl<T> Store for T where
    T: Otps
        + ApplicationStore
        + ConnectionStore
        + SubscriptionStore
        + EventQueue
        + NonceStore
        + IdentityStore
        + VerificationStore
{
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) account: AccountId,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let keyring = Arc::new(Keyring::generate(&SystemEntropy));
        Self { keyring, account: AccountId::default_account(), clock: Arc::new(ManualClock::at(START)) }
    }

    pub(crate) fn with_keyring(self, keyring: Arc<Keyring>) -> Self {
        Self { keyring, ..self }
    }

    pub(crate) fn memory(&self) -> MemoryStore {
        MemoryStore::new(RETENTION, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    pub(crate) fn options(&self, dir: &Path, mode: Mode) -> Options {
        let mut options = Options::new(dir, mode);
        options.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        options.retention = RETENTION;
        options
    }

    pub(crate) fn sqlite(&self, dir: &Path) -> SqliteStore {
        SqliteStore::open(self.options(dir, Mode::Server)).unwrap()
    }

    /// A replica on a Redis, with this world's clock; the calls of a test share two cores with others.
    pub(crate) async fn redis(&self, redis: &Redis) -> RedisStore {
        RedisStore::open(self.redis_options(&redis.address())).await.unwrap()
    }

    pub(crate) fn redis_options(&self, address: &str) -> redis::Options {
        let mut options = redis::Options::new(Address::parse(address).unwrap(), MasterKey::parse(MASTER).unwrap());
        options.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        options.retention = RETENTION;
        options.timeout = Duration::from_secs(5);
        options
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn key(&self, number: u32) -> NumberKey {
        NumberKey::of(&self.keyring, &self.account, &e164(number))
    }

    /// An OTP that was just sent to a number.
    pub(crate) fn otp(&self, number: u32, attempts_allowed: u32) -> Otp {
        let (now, number_key) = (self.now(), self.key(number));
        let id = OtpId::generate(now, number_key, None, &SystemEntropy);
        let content = SealedContent { code: Code::parse_own(CODE).unwrap(), text: None, context: None };
        Otp {
            id,
            account: self.account.clone(),
            application: ApplicationId::generate(&SystemEntropy),
            recipient: Recipient::Number(e164(number)),
            number_key,
            country: None,
            status: OtpStatus::Active,
            attempts: 0,
            attempts_allowed,
            created: now,
            expire: now + LIFETIME,
            finished: None,
            expiry_told: false,
            reference: None,
            sealed: Some(content.seal(&self.keyring, id)),
            language: None,
            channel: Channel::Sms,
            sender: None,
            caller: None,
            messages: 1,
            delivery: Delivery::Queued,
            events: Vec::new(),
            purpose: None,
            usual_age: None,
            news: Tally::default(),
            second: None,
            fates: Fates::default(),
            bound: false,
            verification: None,
        }
    }

    pub(crate) fn spend(&self) -> SpendKey {
        SpendKey::of(self.account.as_str(), Some("DE"), self.now())
    }

    /// Sends: the OTP, its message, the number's record and the daily count in one change.
    pub(crate) async fn try_send(&self, store: &dyn OtpStore, otp: Otp) -> Result<OtpId, StoreError> {
        let (id, now) = (otp.id, self.now());
        let touch = Touch { subject: Subject::Number(otp.number_key), spend: Some(self.spend()), answer: None };
        let transition = move |records: &Records| {
            let mut number = records.number.clone();
            number.sends.push(now);
            let changes = Changes {
                otp: OtpChange::Put(Arc::new(otp.clone())),
                number: Some(number),
                spent: Some(records.spent + 1),
                outbox: OutboxChange::Put(message(id, 1, now)),
                ..Changes::default()
            };
            (changes, id)
        };
        change(store, touch, transition).await
    }

    pub(crate) async fn send(&self, store: &dyn OtpStore, number: u32, attempts_allowed: u32) -> OtpId {
        self.try_send(store, self.otp(number, attempts_allowed)).await.unwrap()
    }

    /// Checks a code, as the service does.
    pub(crate) async fn check(&self, store: &dyn OtpStore, id: OtpId, code: &str) -> Option<Verdict> {
        self.try_check(store, id, code).await.unwrap()
    }

    pub(crate) async fn try_check(
        &self,
        store: &dyn OtpStore,
        id: OtpId,
        code: &str,
    ) -> Result<Option<Verdict>, StoreError> {
        let (keyring, now, entered) = (Arc::clone(&self.keyring), self.now(), EnteredCode::new(code));
        let transition = move |records: &Records| {
            let Some(mut otp) = records.otp.as_deref().cloned() else { return (Changes::default(), None) };
            let mut number = records.number.clone();
            let verdict = otp.check(&mut number, &keyring, &entered, None, now);
            let changes = Changes { otp: OtpChange::Put(Arc::new(otp)), number: Some(number), ..Changes::default() };
            (changes, Some(verdict))
        };
        change(store, Touch { subject: Subject::Otp(id), spend: None, answer: None }, transition).await
    }

    /// What the store has to say about an OTP, its number and today's count.
    pub(crate) async fn records(&self, store: &dyn OtpStore, subject: Subject) -> Records {
        let touch = Touch { subject, spend: Some(self.spend()), answer: None };
        change(store, touch, |records: &Records| (Changes::default(), records.clone())).await.unwrap()
    }
}

/// Changes an OTP by `edit`.
pub(crate) async fn edit(store: &dyn OtpStore, id: OtpId, edit: impl Fn(&mut Otp) + Send + 'static) {
    let transition = move |records: &Records| {
        let mut otp = records.otp.as_deref().cloned().unwrap();
        edit(&mut otp);
        (Changes { otp: OtpChange::Put(Arc::new(otp)), ..Changes::default() }, ())
    };
    change(store, Touch { subject: Subject::Otp(id), spend: None, answer: None }, transition).await.unwrap();
}

pub(crate) async fn delete(store: &dyn OtpStore, id: OtpId) {
    let changes = || Changes { otp: OtpChange::Delete, ..Changes::default() };
    change(store, Touch { subject: Subject::Otp(id), spend: None, answer: None }, move |_: &Records| (changes(), ()))
        .await
        .unwrap();
}

/// A change of the outbox alone.
pub(crate) async fn outbox(store: &dyn OtpStore, otp: OtpId, change_of_it: impl Fn() -> OutboxChange + Send + 'static) {
    let transition = move |_: &Records| (Changes { outbox: change_of_it(), ..Changes::default() }, ());
    change(store, Touch { subject: Subject::Otp(otp), spend: None, answer: None }, transition).await.unwrap();
}

pub(crate) fn e164(number: u32) -> E164 {
    Phone::parse(&format!("+4915112{number:06}"), None).unwrap().number
}

pub(crate) fn message(otp: OtpId, number: u32, due: UnixMillis) -> Message {
    let body = MessageBody::new(Channel::Sms, None, None);
    Message { id: MessageId { otp, number }, due, body }
}
