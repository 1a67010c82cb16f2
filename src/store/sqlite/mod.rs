//! The embedded store: SQLite in one directory, one server at a time, the command line beside it.
//!
//! - `open`, `files`, `schema`: the directory, its locks, the master key, the tables
//! - `writer`, `group`: the one thread that writes, in group commits
//! - `checkpoint`: the write-ahead log into the database file
//! - `reader`, `cache`: reads, from memory where they can be
//! - `records`: rows to records and back
//! - `answers`: the answers that are kept for calls that are to be done once
//! - `nonces`: what proved a call, and must not prove another
//! - `settings`, `rings`, `erase`: what is not an OTP
//! - `events`, `subscribers`: who is told of what becomes of one, and what waits to be told
//! - `identity`: pairs of keys, tried puzzles and sessions
//! - `verifications`: verifications, each sealed in one row
//! - `backup`: the database as one file, and back
//! - `transfer`: the store at one end of a copy; `inspect`: what lies in a directory
//! - `fault`: what an error means, and the latch of a fatal one
//!
//! What is acknowledged is durable: write-ahead log, `synchronous = FULL`, and no answer before the commit returned.

mod answers;
mod backup;
mod cache;
mod checkpoint;
mod erase;
mod events;
mod fault;
mod files;
mod group;
mod identity;
mod inspect;
mod looks;
mod nonces;
mod open;
mod reader;
mod records;
mod rings;
mod schema;
mod settings;
mod shared;
mod subscribers;
mod transfer;
mod verifications;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::clock::UnixMillis;
use crate::events::fanout::Fanout;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::record::Otp;
use crate::otp::store::{Later, OtpStore, Outbox, StoreError, Touch, Transition};
use crate::secret::{Entropy, Keyring};
use crate::store::claims::Claims;
use crate::store::notices::Notices;
use crate::store::pending::Pending;
use crate::store::sqlite::answers::AnswerCache;
use crate::store::sqlite::cache::OtpCache;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::events::Events;
use crate::store::sqlite::fault::Latch;
use crate::store::sqlite::nonces::Count;
use crate::store::sqlite::open::{Role, connect};
use crate::store::sqlite::reader::Readers;
use crate::store::sqlite::shared::{Figures, Log, Shared};
use crate::store::sqlite::writer::{Grouped, Job, Reach, Work, Writer};
use crate::store::{PRUNE_STEP, first_day_kept, pruned};

pub use backup::{BackupError, back_up, restore};
pub use inspect::{Inspection, inspect};
pub use open::{Mode, OpenError, Options};
pub use shared::StoreStats;
pub use transfer::SqliteTransfer;

/// Jobs that wait for the writer, at most: more than a few seconds of work. Beyond it the store is not available.
const QUEUE: usize = 8_192;
/// The longest that an OTP lives before its retention begins, with a margin for clocks.
const LONGEST_LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// The embedded store. Dropping it lets the writer finish what waits, and frees the directory.
pub struct SqliteStore {
    shared: Arc<Shared>,
    readers: Readers,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    first_start: bool,
    /// Where the next step of pruning begins.
    unpruned: Mutex<Option<NumberKey>>,
    jobs: Option<SyncSender<Box<Job>>>,
    writing: Option<JoinHandle<()>>,
    /// The database file, to be searched. Open for as long as any connection is: to close a file ends every POSIX lock that
    /// the process holds on it, SQLite's too. So it comes after the readers, and after the writer by `drop`.
    database: Arc<std::fs::File>,
    /// Freed last.
    _server_lock: Option<std::fs::File>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqliteStore").field("first_start", &self.first_start).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store; the first time it makes it, with a keyring, the account `default` and its application.
    ///
    /// Blocks: on files, and while another process is opening the same store.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let opened = open::open(&options)?;
        let failed = |error| OpenError::of(error, &opened.path);
        let threads_failed = |source| OpenError::Io { path: opened.path.clone(), source };
        let keyring = Arc::new(opened.keyring);
        let shared = Arc::new(Shared {
            cache: OtpCache::new(options.cached_otps),
            answers: AnswerCache::new(),
            nonces: Count::default(),
            pending: Pending::default(),
            events: Events {
                keyring: Arc::clone(&keyring),
                fanout: Fanout::new(Arc::clone(&options.entropy), options.retention),
                notices: Notices::default(),
            },
            claims: Claims::default(),
            looks: looks::Looks::default(),
            latch: Latch::new(options.dir),
            generation: AtomicU64::new(0),
            log: Log::default(),
            figures: Figures::default(),
            retention: options.retention,
            clock: options.clock,
            server: options.mode == Mode::Server,
        });
        let database = std::fs::File::open(&opened.path).map_err(threads_failed)?;
        let readers = (0..options.readers.max(1)).map(|_| connect(&opened.path, Role::Reader));
        let readers = Readers::new(readers.collect::<Result<_, _>>().map_err(failed)?, Arc::clone(&shared));
        let connection = connect(&opened.path, Role::Checkpointer).map_err(failed)?;
        let checkpointer = Checkpointer::start(connection, Arc::clone(&shared)).map_err(threads_failed)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = Writer::new(opened.writer, Arc::clone(&shared), checkpointer).map_err(failed)?;
        let writing = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run(&queue));
        Ok(Self {
            shared,
            readers,
            keyring,
            entropy: options.entropy,
            first_start: opened.first_start,
            unpruned: Mutex::new(None),
            jobs: Some(jobs),
            writing: Some(writing.map_err(threads_failed)?),
            database: Arc::new(database),
            _server_lock: opened.server_lock,
        })
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

    /// Ends when a write or fsync failed: nothing is written any more, the process must end. Until then it waits.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.shared.latch.wait()
    }

    /// Whether a write or fsync failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.latch.is_set()
    }

    /// How the store is doing.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.shared.figures.read(&self.shared.log)
    }

    fn submit(&self, job: Job) -> Result<(), StoreError> {
        if self.shared.latch.is_set() {
            return Err(StoreError::Failed);
        }
        let jobs = self.jobs.as_ref().ok_or(StoreError::Failed)?;
        self.shared.figures.queued();
        jobs.try_send(Box::new(job)).map_err(|refused| {
            self.shared.figures.taken();
            match refused {
                TrySendError::Full(_) => StoreError::Unavailable,
                TrySendError::Disconnected(_) => StoreError::Failed,
            }
        })
    }

    /// Runs `work` on the writer's thread, between two groups.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.submit(Job::Alone(Box::new(move |writer| drop(answer.send(work(writer))))))?;
        outcome.await.unwrap_or(Err(StoreError::Failed))
    }

    /// Runs `work` in a transaction of its own; `None` rolls it back.
    async fn alone<T: Send + 'static>(
        &self,
        reach: Reach,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        self.on_writer(move |writer| writer.alone(reach, work)).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs = None;
        let _panicked = self.writing.take().map(JoinHandle::join);
    }
}

impl crate::store::Store for SqliteStore {
    fn keyring(&self) -> Arc<Keyring> {
        Self::keyring(self)
    }

    fn failed(&self) -> Later<'static, ()> {
        Box::pin(Self::failed(self))
    }

    /// It lies on a disk of this machine: until it fails it is there.
    fn reachable(&self) -> tokio::sync::watch::Receiver<bool> {
        tokio::sync::watch::Sender::new(true).subscribe()
    }

    /// There are no others.
    fn leave(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl OtpStore for SqliteStore {
    fn recall(&self, id: OtpId) -> Option<Arc<Otp>> {
        self.shared.cache.recall(id)
    }

    fn otp(&self, id: OtpId) -> Later<'_, Result<Option<Arc<Otp>>, StoreError>> {
        Box::pin(async move {
            if let Some(otp) = self.recall(id) {
                return Ok(Some(otp));
            }
            let ticket = self.shared.cache.ticket(id);
            let otp = self.readers.read(move |sql| records::otp(sql, id)).await?.map(Arc::new);
            if let Some(otp) = &otp {
                self.shared.cache.fill(&ticket, otp);
            }
            Ok(otp)
        })
    }

    fn of_number(&self, key: NumberKey, limit: usize) -> Later<'_, Result<Vec<Arc<Otp>>, StoreError>> {
        let newest = self.shared.clock.now() + LONGEST_LIFE;
        let oldest = newest.minus(self.shared.retention + LONGEST_LIFE * 2);
        Box::pin(async move {
            let found = self.readers.read(move |sql| records::of_number(sql, key, (oldest, newest), limit)).await?;
            Ok(found.into_iter().map(Arc::new).collect())
        })
    }

    fn change(&self, touch: Touch, transition: Transition) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let (answer, outcome) = oneshot::channel();
            self.submit(Job::Grouped(Grouped { work: Work::Change { touch, transition }, answer }))?;
            outcome.await.unwrap_or(Err(StoreError::Failed))
        })
    }

    fn due(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<OtpId>, StoreError>> {
        Box::pin(self.readers.read(move |sql| records::due(sql, now, limit)))
    }

    fn prune(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let from = *self.unpruned.lock();
            let step = self.alone(Reach::Nothing, move |sql| {
                records::forget_spent(sql, first_day_kept(now))?;
                let step = records::numbers_after(sql, from, PRUNE_STEP)?;
                for (key, record) in &step {
                    if let Some(kept) = pruned(record, now) {
                        records::put_number(sql, *key, &kept)?;
                    }
                }
                let last = step.last().filter(|_| step.len() == PRUNE_STEP);
                Ok(Some(last.map(|(key, _)| *key)))
            });
            let last = step.await?.flatten();
            *self.unpruned.lock() = last;
            Ok(())
        })
    }
}

impl Outbox for SqliteStore {
    fn claim(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Message>, StoreError>> {
        Box::pin(async move {
            // What a failed store hands out could not be settled: it would be delivered again and again.
            if self.shared.latch.is_set() { Err(StoreError::Failed) } else { Ok(self.shared.pending.claim(now, limit)) }
        })
    }

    fn put_back(&self, id: MessageId, due: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        self.shared.pending.put_back(id, due);
        Box::pin(std::future::ready(Ok(())))
    }

    fn wait(&self) -> Later<'_, ()> {
        Box::pin(self.shared.pending.wait(&*self.shared.clock))
    }

    fn backlog(&self) -> usize {
        self.shared.pending.len()
    }
}

/// OTPs for the unit tests of the stores' files.
#[cfg(test)]
pub(super) mod fixture {
    use std::time::Duration;

    use crate::clock::UnixMillis;
    use crate::otp::channel::Channel;
    use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
    use crate::otp::news::Tally;
    use crate::otp::phone::Phone;
    use crate::otp::record::{Delivery, Fates, Otp, OtpStatus, Recipient};
    use crate::secret::SystemEntropy;

    pub(in crate::store) fn otp(id: u8) -> Otp {
        let created = UnixMillis(1_763_764_437_120);
        Otp {
            id: OtpId::from_bytes([id; 16]),
            account: AccountId::default_account(),
            application: ApplicationId::generate(&SystemEntropy),
            recipient: Recipient::Number(Phone::parse("+4915112345678", None).unwrap().number),
            number_key: NumberKey::from_bytes([id; 16]),
            country: None,
            status: OtpStatus::Active,
            attempts: 0,
            attempts_allowed: 3,
            created,
            expire: created + Duration::from_secs(300),
            finished: None,
            expiry_told: false,
            reference: None,
            sealed: None,
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
}
