//! The shared store: Redis or Valkey, for many replicas of the gateway. One server, sentinels, or a cluster.
//!
//! - `address`, `contact`, `connect`, `sentinels`, `open`: from an address to a store that bears our marker; `trouble`: why there is none; `probe`: whether it still is one; `known`: which ones this machine has known
//! - `past`, `beat`: whether it was put back in time, and what then becomes of quotas
//! - `batch`: one connection that many calls share
//! - `link`: the one connection, and what becomes of calls when it breaks; `fault`: what an error means
//! - `place`: where things lie; `script`: how a step is run there; `commit`: the one step that changes records
//! - `change`: the store port over it; `prepare`, `write`: what a change writes; `answers`, `outbox`, `spend`, `erase`; `records`: what lies under a key
//! - `seen`: what this process remembers of what it committed or read
//! - `counting`: the quota of the call that a change is made for
//! - `quota`: the quota, by one script (`quota_script`) and what is still true of its refusals (`refusals`)
//! - `settings`: applications and connections; `view`: what this process has seen of the settings; `reply`: what a script answered
//! - `verifications`: one value each
//! - `nonces`, `identity`: what was spent, pairs of keys, sessions
//! - `subscriptions`; `events`: from a commit to the queues; `queue`, `row`: one queue and what lies in it; `index`: which
//!   queues are to be looked at; `queues`: the port over all of them; `lines`: how long they are
//! - `transfer`: the store at one end of a copy; `inspect`: what it says of itself
//!
//! What is acknowledged is in the store's memory, and on as many of its replicas as the operator asked for; whether it
//! outlasts the store's own crash is the store's setting (`appendonly`). No rule of the domain is written in a script.

mod address;
mod answers;
mod batch;
mod beat;
mod change;
mod commit;
mod connect;
mod contact;
mod counting;
mod erase;
mod events;
mod fault;
mod horizon;
mod identity;
mod index;
mod inspect;
mod known;
mod lines;
mod link;
mod nonces;
mod open;
mod outbox;
mod past;
mod place;
mod prepare;
mod probe;
mod queue;
mod queues;
mod quota;
mod quota_script;
mod records;
mod refusals;
mod reply;
mod rings;
mod row;
mod script;
mod seen;
mod sentinels;
mod settings;
mod spend;
mod standing;
mod subscriptions;
mod transfer;
mod trouble;
mod verifications;
mod view;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use redis::{Cmd, FromRedisValue as _};
use tokio::sync::watch;

use crate::clock::{Clock, UnixMillis};
use crate::events::fanout::Fanout;
use crate::idempotency::ReplayKey;
use crate::otp::answer::{AnswerStore, KeptAnswer};
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::phone::E164;
use crate::otp::record::Otp;
use crate::otp::store::{
    Changes, Erased, Eraser, Later, OtpStore, Outbox, Records, StoreError, Subject, Touch, Transition, change,
};
use crate::secret::{Entropy, Keyring};
use crate::store::pending::Pending;
use crate::store::redis::commit::{Commit, unreadable};
use crate::store::redis::events::Events;
use crate::store::redis::horizon::Horizon;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::refusals::Refusals;
use crate::store::redis::seen::{Memory, SeenOtp};
use crate::store::redis::view::View;
use crate::store::{PRUNE_STEP, first_day_kept, pruned};

pub use address::{Address, MalformedAddress};
pub use inspect::{Inspected, Inspection, Ownership, Replica, inspect};
pub use known::Known;
pub use link::Health;
pub use open::{Initialised, Options, initialise};
pub use quota::RedisQuota;
pub use transfer::RedisTransfer;
pub use trouble::ConnectError;

/// How long what other replicas wrote for the sweeps may stay unseen.
const LOOK: Duration = Duration::from_secs(5);
/// How soon a number's record that is still worth keeping is looked at again.
const PRUNE_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Daily counts remembered.
const COUNTS: u64 = 10_000;

/// The shared store. What it does for one replica ends when it is dropped; claims of it end with their leases.
pub struct RedisStore {
    link: Arc<Link>,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    first_start: bool,
    /// Whether this process hands out messages and events.
    server: bool,
    reachable: Arc<watch::Sender<bool>>,
    /// What was committed or read lately, to be checked by the commit that relies on it.
    memory: Memory,
    spent: Cache<Vec<u8>, u32>,
    refusals: Arc<Refusals>,
    /// The messages that this process has claimed.
    pending: Arc<Pending>,
    outbox: outbox::Outbox,
    dues: Horizon,
    answer_dues: Horizon,
    verification_dues: Horizon,
    written: Horizon,
    spent_days: Horizon,
    /// What was seen of the settings, and who is told of what.
    view: Arc<View>,
    events: Arc<Events>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RedisStore").field("first_start", &self.first_start).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Opens the store; the first time it makes it, with a keyring, the account `default` and its application.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(mut options: Options) -> Result<Self, ConnectError> {
        if !options.server {
            // Nobody waits for a command as a caller waits for an answer: a busy moment is no reason to give up.
            options.timeout = options.timeout.max(open::PATIENCE);
        }
        let opened = open::open(&options).await?;
        let link = Arc::new(Link::new(opened.live, options.timeout, options.wait_replicas));
        let pending = Arc::<Pending>::default();
        let (held, to) = (Arc::downgrade(&pending), Arc::downgrade(&link));
        tokio::spawn(outbox::renew(held, to, Arc::clone(&options.clock)));
        let reachable = Arc::new(watch::Sender::new(true));
        tokio::spawn(standing::follow(link.health(), Arc::clone(&reachable)));
        let fanout = Fanout::new(Arc::clone(&options.entropy), options.retention);
        let view = Arc::new(View::new(fanout));
        let events = Arc::new(Events::new(Arc::clone(&link), Arc::clone(&options.clock)));
        let unread = |error: StoreError| ConnectError::Unexpected(error.to_string());
        view.look(&link).await.map_err(unread)?;
        if options.server {
            events.count().await.map_err(unread)?;
            tokio::spawn(View::watch(Arc::downgrade(&view), Arc::clone(&link)));
            tokio::spawn(Events::watch(Arc::downgrade(&events)));
        }
        let store = Self {
            reachable,
            link,
            keyring: opened.keyring,
            entropy: options.entropy,
            clock: options.clock,
            retention: options.retention,
            first_start: opened.first_start,
            server: options.server,
            memory: Memory::new(options.cached_otps),
            spent: Cache::new(COUNTS),
            refusals: Arc::new(Refusals::new()),
            pending,
            outbox: outbox::Outbox::default(),
            dues: Horizon::new(LOOK),
            answer_dues: Horizon::new(LOOK),
            verification_dues: Horizon::new(Duration::from_secs(1)),
            written: Horizon::new(LOOK),
            spent_days: Horizon::new(LOOK),
            view,
            events,
        };
        if store.server {
            let looked = store.look_around().await;
            looked.map_err(|_| ConnectError::Unreachable("it does not answer".to_owned()))?;
        }
        // A start needs the store's answers, not its replicas: whether they are there is looked at from now on.
        tokio::spawn(Link::watch(Arc::downgrade(&store.link), opened.connector));
        Ok(store)
    }

    /// Whether this process made the store.
    #[must_use]
    pub const fn first_start(&self) -> bool {
        self.first_start
    }

    /// The keys that everything in the store is hashed and sealed with.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    /// How the link to it stands.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.link.health()
    }

    /// Calls sent to the store, and those of them that failed.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        self.link.figures()
    }

    /// What lies under a key.
    async fn get(&self, place: Place, kind: Kind, id: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut get = Cmd::new();
        get.arg("GET").arg(place.key(kind, id));
        Option::<Vec<u8>>::from_redis_value(self.link.send(get).await?).map_err(|_| unreadable())
    }

    async fn fetch(&self, id: OtpId) -> Result<Option<Arc<Otp>>, StoreError> {
        let bytes = self.get(Place::of_otp(id), Kind::Otp, &id.bytes()).await?;
        let seen = SeenOtp::read(bytes.as_deref())?;
        let otp = seen.value.clone();
        self.memory.keep_otp(id, seen, None);
        Ok(otp)
    }

    async fn prune_now(&self, now: UnixMillis) -> Result<(), StoreError> {
        let before = UnixMillis(first_day_kept(now).saturating_sub(1));
        for due in self.spent_days.due(&self.link, Kind::SpentDays, before, PRUNE_STEP).await? {
            let mut commit = Commit::new(due.place);
            commit.delete(Kind::Spent, &due.member);
            commit.unrank(Kind::SpentDays, b"", &due.member);
            commit.run(&self.link).await?;
            self.spent.invalidate(&due.member);
        }
        for due in self.written.due(&self.link, Kind::Written, now, PRUNE_STEP).await? {
            let Ok(key) = due.member.as_slice().try_into().map(NumberKey::from_bytes) else { continue };
            let touch = Touch { subject: Subject::Number(key), spend: None, answer: None };
            let empty = change(self, touch, move |records: &Records| {
                let number = pruned(&records.number, now);
                let empty = number.as_ref().unwrap_or(&records.number).is_empty();
                (Changes { number, ..Changes::default() }, empty)
            })
            .await?;
            let mut commit = Commit::new(due.place);
            if empty {
                commit.unrank(Kind::Written, b"", &due.member);
            } else {
                commit.rank(Kind::Written, b"", (now + PRUNE_AGAIN).0, &due.member);
            }
            commit.run(&self.link).await?;
        }
        Ok(())
    }
}

impl OtpStore for RedisStore {
    /// Another replica may have changed any OTP: nothing is at hand without asking.
    fn recall(&self, _: OtpId) -> Option<Arc<Otp>> {
        None
    }

    fn otp(&self, id: OtpId) -> Later<'_, Result<Option<Arc<Otp>>, StoreError>> {
        Box::pin(self.fetch(id))
    }

    fn of_number(&self, key: NumberKey, limit: usize) -> Later<'_, Result<Vec<Arc<Otp>>, StoreError>> {
        Box::pin(self.otps_of_number(key, limit))
    }

    fn change(&self, touch: Touch, transition: Transition) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.change_now(touch, transition))
    }

    fn due(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<OtpId>, StoreError>> {
        Box::pin(async move {
            let due = self.dues.due(&self.link, Kind::Due, now, limit).await?;
            Ok(due.into_iter().filter_map(|due| due.member.as_slice().try_into().ok().map(OtpId::from_bytes)).collect())
        })
    }

    fn prune(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.prune_now(now))
    }
}

impl AnswerStore for RedisStore {
    fn answer(&self, key: ReplayKey) -> Later<'_, Result<Option<Arc<KeptAnswer>>, StoreError>> {
        Box::pin(self.find_answer(key))
    }

    fn drop_answers(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(self.drop_due_answers(now, limit))
    }
}

impl Outbox for RedisStore {
    fn claim(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Message>, StoreError>> {
        Box::pin(self.claim_messages(now, limit))
    }

    fn put_back(&self, id: MessageId, due: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(self.free_message(id, due))
    }

    fn wait(&self) -> Later<'_, ()> {
        Box::pin(self.wait_for_messages())
    }

    fn backlog(&self) -> usize {
        self.outbox.len()
    }
}

impl Eraser for RedisStore {
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>> {
        Box::pin(self.erase_now(key))
    }

    fn purge<'a>(&'a self, number: &'a E164) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(self.purge_now(number))
    }
}
