//! The store port: what the domain needs to have kept, and the one way to change any of it.
//!
//! A change reads the records of one number, runs a pure transition on them and commits what it returns, if nothing moved
//! in between; else it reads again. No rule of the domain is written in a store, no storage is known to the domain.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::abuse::{NumberRecord, SpendKey};
use crate::clock::UnixMillis;
use crate::idempotency::ReplayKey;
use crate::otp::answer::{AnswerStore, Kept, KeptAnswer};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::phone::E164;
use crate::otp::purpose::Purpose;
use crate::otp::record::Otp;

/// A future that a port returns; boxed, so that ports stay objects.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a store has no outcome to tell of. Only after `Unanswered` and `Failed` may it have done what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk: refused, and accepted again once there is room.
    #[error("the store is full")]
    Full,
    /// It does not answer: nothing was changed.
    #[error("the store does not answer")]
    Unavailable,
    /// The call was over its quota, which its change was to count: nothing was changed. Its caller is told by whoever let it run.
    #[error("the call was not admitted")]
    NotAdmitted,
    /// It was asked to change something and did not answer: whether it did is not known.
    #[error("the store did not answer; what it was asked to do may have been done")]
    Unanswered,
    /// A write or fsync failed: nothing that follows can be trusted, the process must end. The next start may find it done.
    #[error("the store failed")]
    Failed,
}

/// Why a setting was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another writer was there first: read again.
    #[error("changed by somebody else in between")]
    Conflict,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose records a change reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A number that gets a new OTP.
    Number(NumberKey),
    /// A number and the OTP that holds for a purpose; where none does and the number has no room for one more, the OTP that
    /// has to give way ([`NumberRecord::holding`]).
    Purpose(NumberKey, Purpose),
    /// An OTP that exists, and its number.
    Otp(OtpId),
    /// An OTP that exists, for a change that has nothing to do with its number.
    OtpAlone(OtpId),
    /// The same, and a message of it: as whoever has claimed it knows it, which spares a store that is far away a read.
    Message(Box<Message>),
    /// Nobody's: the change keeps an answer and nothing else.
    Nobody,
}

impl Subject {
    /// The OTP that it names.
    #[must_use]
    pub fn otp(&self) -> Option<OtpId> {
        match self {
            Self::Otp(id) | Self::OtpAlone(id) => Some(*id),
            Self::Message(message) => Some(message.id.otp),
            Self::Number(_) | Self::Purpose(..) | Self::Nobody => None,
        }
    }
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Whose records it reads.
    pub subject: Subject,
    /// The daily count it reads.
    pub spend: Option<SpendKey>,
    /// The kept answer it reads.
    pub answer: Option<ReplayKey>,
}

/// What the store holds at the moment of a change.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The OTP, when the subject names one that exists.
    pub otp: Option<Arc<Otp>>,
    /// The message, when the subject names one that is not settled: as it stands, whatever its claimant knows.
    pub message: Option<Message>,
    /// The number's record; empty when there is none, when the OTP does not exist, or when it was not asked for.
    pub number: NumberRecord,
    /// The daily count.
    pub spent: u32,
    /// The kept answer, when the touch names one that is there.
    pub kept: Option<Kept>,
}

/// What a change writes. Nothing by default.
#[derive(Debug, Default)]
pub struct Changes {
    /// The OTP.
    pub otp: OtpChange,
    /// The subject's OTP, where a new one takes its place.
    pub replaced: Option<Arc<Otp>>,
    /// The number's record; an empty one is deleted.
    pub number: Option<NumberRecord>,
    /// The daily count.
    pub spent: Option<u32>,
    /// The outbox.
    pub outbox: OutboxChange,
    /// The answer to the call that asked for the change, in the place of one that is there. It goes when its time is over
    /// or its number is erased, not with its OTP: who repeats a deletion is told what was deleted.
    pub answer: Option<Box<KeptAnswer>>,
}

/// What becomes of the OTP.
#[derive(Debug, Default)]
pub enum OtpChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is written: a new one, or the new state of the subject.
    Put(Arc<Otp>),
    /// It goes, with its messages.
    Delete,
}

/// What becomes of the outbox.
#[derive(Debug, Default)]
pub enum OutboxChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// A message joins, or is put off: the same id replaces.
    Put(Message),
    /// A message is settled.
    Settle(MessageId),
    /// The first is settled, and the second joins in its place.
    Replace(MessageId, Message),
}

/// The transition of a change. May run more than once; the last run is the one that was committed.
pub type Transition = Box<dyn FnMut(&Records) -> Changes + Send>;

/// Keeps OTPs, numbers' records, daily counts, the outbox and answers.
pub trait OtpStore: AnswerStore {
    /// The committed OTP, when it is at hand without waiting. `None` says nothing: ask [`OtpStore::otp`].
    fn recall(&self, id: OtpId) -> Option<Arc<Otp>>;

    /// The committed OTP.
    fn otp(&self, id: OtpId) -> Later<'_, Result<Option<Arc<Otp>>, StoreError>>;

    /// The OTPs of a number, newest first, at most `limit`.
    fn of_number(&self, key: NumberKey, limit: usize) -> Later<'_, Result<Vec<Arc<Otp>>, StoreError>>;

    /// Runs one change. Returns when what it wrote is durable.
    fn change(&self, touch: Touch, transition: Transition) -> Later<'_, Result<(), StoreError>>;

    /// OTPs that housekeeping has to look at by `now`, by [`Otp::due`]; at most `limit`.
    fn due(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<OtpId>, StoreError>>;

    /// Drops number records and daily counts that no rule will ask for again: one bounded step.
    fn prune(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>>;
}

/// How long a claim of a message lasts: longer than any try to deliver one. Who still works on it by then has failed.
pub const LEASE: Duration = Duration::from_secs(120);

/// Hands messages to couriers.
pub trait Outbox: Send + Sync + 'static {
    /// Up to `limit` messages that are due at `now`, each to one claimant. A claim ends with a change that settles the
    /// message or puts it off, with [`Outbox::put_back`], after [`LEASE`], or with the claimant's process.
    fn claim(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Message>, StoreError>>;

    /// Gives a claim back without a change: the message may be claimed again at `due`. Nothing happens where it is not
    /// claimed.
    fn put_back(&self, id: MessageId, due: UnixMillis) -> Later<'_, Result<(), StoreError>>;

    /// Waits until there may be something to claim: a message joined, or the earliest one put off is due.
    fn wait(&self) -> Later<'_, ()>;

    /// Messages that are not settled yet.
    fn backlog(&self) -> usize;
}

/// Keeps applications. Few rows, read through a cache, written also beside a running server.
pub trait ApplicationStore: Send + Sync + 'static {
    /// An account's applications.
    fn applications(&self, account: &AccountId) -> Later<'_, Result<Vec<Application>, StoreError>>;

    /// Writes an application: a new one when `before` is none, else the one that equals `before`. Its id is unique; its
    /// alias and, for the default one, its name are unique within the account.
    fn put_application(&self, before: Option<Application>, after: Application) -> Later<'_, Result<(), WriteError>>;

    /// Deletes an application. Whether it was there.
    fn delete_application(&self, account: &AccountId, id: ApplicationId) -> Later<'_, Result<bool, StoreError>>;

    /// Counts up whenever somebody else (the command line, another replica) wrote: caches drop what they hold.
    fn generation(&self) -> u64;
}

/// What an erasure of a number did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// OTPs that could still be checked: deleted, with their messages.
    pub deleted: usize,
    /// OTPs in a final state: kept for the statistics, without the number, the reference and the code.
    pub anonymised: usize,
}

/// Erases a number: what retention does after its days, now.
pub trait Eraser: Send + Sync + 'static {
    /// Erases the number behind `key` (one account's view of a number).
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>>;

    /// Gets the bytes of a number out of what the store keeps on a disk, after every account's view of it was erased.
    /// Whether they are gone; if not, something live still holds them, or a reader was in the way.
    fn purge<'a>(&'a self, number: &'a E164) -> Later<'a, Result<bool, StoreError>>;
}

/// Runs one change and hands out what the committed run of the transition returned.
///
/// # Errors
/// [`StoreError`]; nothing was changed then.
pub async fn change<T, F>(store: &dyn OtpStore, touch: Touch, mut transition: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnMut(&Records) -> (Changes, T) + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let committed = Arc::clone(&slot);
    let run = move |records: &Records| {
        let (changes, verdict) = transition(records);
        *slot.lock() = Some(verdict);
        changes
    };
    store.change(touch, Box::new(run)).await?;
    let verdict = committed.lock().take();
    verdict.ok_or(StoreError::Failed)
}
