//! The one writer: a thread that owns the writing connection and commits in groups.
//!
//! It takes the first job that waits, begins, runs every further job that is already there (up to [`GROUP`]), commits
//! once and only then answers each. While it commits, the next group gathers. Nobody is answered before the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::access::nonce::{NonceKey, Spent};
use crate::clock::UnixMillis;
use crate::otp::id::VerificationId;
use crate::otp::store::{StoreError, Touch, Transition};
use crate::store::sqlite::checkpoint::{self, CheckpointMode, Checkpointer};
use crate::store::sqlite::group::Group;
use crate::store::sqlite::records;
use crate::store::sqlite::shared::Shared;

/// Changes in one commit, at most.
const GROUP: usize = 1_024;
/// How often an idle writer looks whether somebody else wrote.
const POLL: Duration = Duration::from_millis(250);

/// What is done in a group.
pub(super) enum Work {
    /// A change.
    Change { touch: Touch, transition: Transition },
    /// A nonce is spent; what that found holds once the group is committed.
    Nonce { key: NonceKey, until: UnixMillis, found: Arc<OnceLock<Spent>> },
}

/// Work that is done in a group, and who waits for it.
pub(super) struct Grouped {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer is asked to do.
pub(super) enum Job {
    /// Grouped with others in one commit.
    Grouped(Grouped),
    /// Anything else, alone: it gets the writer itself.
    Alone(Box<dyn FnOnce(&Writer) + Send>),
}

/// What a transaction that runs alone has written: what has to be read again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing that anybody holds in memory.
    Nothing,
    /// Settings: their caches are told by the generation.
    Settings,
    /// OTPs and messages.
    Records,
    /// One verification.
    Verification(VerificationId),
}

/// The writer's thread.
pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    checkpointer: Checkpointer,
    /// `PRAGMA data_version` as last seen: moves when another connection commits.
    version: std::cell::Cell<i64>,
}

impl Writer {
    /// Takes the writing connection over. What the outbox holds is loaded here.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn new(
        mut connection: Connection,
        shared: Arc<Shared>,
        checkpointer: Checkpointer,
    ) -> rusqlite::Result<Self> {
        let log = Arc::clone(&shared);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            log.log.pages.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        let version = data_version(&connection)?;
        let writer = Self { connection, shared, checkpointer, version: std::cell::Cell::new(version) };
        writer.load_messages()?;
        Ok(writer)
    }

    /// Works until nobody can send a job any more.
    pub(super) fn run(self, jobs: &Receiver<Box<Job>>) {
        let shared = Arc::clone(&self.shared);
        // Whatever this thread dies of, nobody may go on waiting for it in good faith.
        if catch_unwind(AssertUnwindSafe(|| self.work(jobs))).is_err() {
            tracing::error!("the store's writer ended");
            shared.latch.set();
        }
    }

    fn work(self, jobs: &Receiver<Box<Job>>) {
        loop {
            match jobs.recv_timeout(POLL) {
                Ok(job) => {
                    self.shared.figures.taken();
                    let mut next = Some(job);
                    while let Some(job) = next {
                        next = match *job {
                            Job::Grouped(first) => self.group(first, jobs),
                            Job::Alone(work) => {
                                work(&self);
                                None
                            }
                        };
                    }
                    self.tidy_log();
                }
                Err(RecvTimeoutError::Timeout) => self.idle(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let Self { connection, shared, checkpointer, .. } = self;
        // One checkpoint at a time: a second one is refused, not kept waiting.
        drop(checkpointer);
        if !shared.latch.is_set() {
            // Where a reader is still at work the log stays; whoever opens the store next reads it.
            let _copied = checkpoint::copy(&connection, &shared, CheckpointMode::TRUNCATE);
        }
    }

    /// One group commit. Gives back the job that has to run alone, if one ended the group.
    fn group(&self, first: Grouped, jobs: &Receiver<Box<Job>>) -> Option<Box<Job>> {
        let mut next = Some(first);
        let mut alone = None;
        let mut take = || {
            let job = jobs.try_recv().ok()?;
            self.shared.figures.taken();
            match *job {
                Job::Grouped(grouped) => Some(grouped),
                other => {
                    alone = Some(Box::new(other));
                    None
                }
            }
        };
        let mut answers = Vec::new();
        let began = self.begin();
        let mut group = Group::new(&self.connection, &self.shared);
        let mut outcome = began;
        while let Some(mut grouped) = next {
            if outcome.is_ok() {
                match catch_unwind(AssertUnwindSafe(|| group.run(&mut grouped.work))) {
                    Ok(Ok(())) => answers.push(grouped.answer),
                    Ok(Err(error)) => match self.shared.latch.judge(&error) {
                        StoreError::Failed => {
                            outcome = Err(StoreError::Failed);
                            answers.push(grouped.answer);
                        }
                        // One record that cannot be read: the others of the group have nothing to do with it.
                        refusal => answer(grouped.answer, Err(refusal)),
                    },
                    Err(_) => {
                        tracing::error!("a transition panicked: nothing of it was written");
                        answer(grouped.answer, Err(StoreError::Unavailable));
                    }
                }
            } else {
                answers.push(grouped.answer);
            }
            next = if answers.len() < GROUP { take() } else { None };
        }
        let started = Instant::now();
        let outcome = outcome.and_then(|()| self.judged(group.write())).and_then(|()| self.commit());
        match outcome {
            Ok(()) => {
                self.shared.figures.committed(answers.len(), started.elapsed());
                group.publish(self.shared.server.then_some(&self.shared.pending));
            }
            Err(refusal) => {
                self.roll_back();
                if refusal == StoreError::Full {
                    self.shared.figures.refused_full(answers.len());
                }
            }
        }
        for waiting in answers {
            answer(waiting, outcome);
        }
        alone
    }

    /// Runs `work` in a transaction of its own; `None` rolls it back. What it wrote is durable when this returns.
    pub(super) fn alone<T>(
        &self,
        reach: Reach,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>, StoreError> {
        let outcome = self.begin().and_then(|()| self.judged(work(&self.connection)));
        let outcome = match outcome {
            Ok(Some(value)) => self.commit().map(|()| Some(value)),
            other => other,
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.roll_back();
            return outcome;
        }
        match reach {
            Reach::Nothing => {}
            Reach::Settings => self.shared.wrote_a_setting(),
            Reach::Verification(id) => self.shared.looks.written(id),
            Reach::Records => {
                self.shared.drop_caches();
                self.judged(self.load_messages())?;
            }
        }
        outcome
    }

    /// Copies the log and empties it, so that the bytes of what was deleted are gone from it. Whether that was done.
    pub(super) fn empty_log(&self) -> Result<bool, StoreError> {
        match checkpoint::copy(&self.connection, &self.shared, CheckpointMode::TRUNCATE) {
            Err(StoreError::Unavailable) => Ok(false),
            done => done,
        }
    }

    /// Writes the whole database anew, so that no unused space of it holds anything. Whether that was done: it takes as
    /// much memory as the file, and as much room again in the log.
    pub(super) fn rewrite(&self) -> Result<bool, StoreError> {
        if self.shared.latch.is_set() {
            return Err(StoreError::Failed);
        }
        let Err(error) = self.connection.execute_batch("VACUUM") else { return Ok(true) };
        let lost = [ErrorCode::SystemIoFailure, ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
        if error.sqlite_error_code().is_some_and(|code| lost.contains(&code)) {
            return Err(self.shared.latch.judge(&error));
        }
        // It replaces the database in one transaction, or not at all.
        tracing::warn!(%error, "the database could not be written anew");
        Ok(false)
    }

    fn begin(&self) -> Result<(), StoreError> {
        if self.shared.latch.is_set() {
            return Err(StoreError::Failed);
        }
        self.judged(self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])))?;
        // With the lock in hand nobody else can commit: what this sees holds for the whole transaction.
        self.judged(self.look_for_others())
    }

    fn commit(&self) -> Result<(), StoreError> {
        self.judged(self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map(drop))
    }

    fn roll_back(&self) {
        // Some errors have rolled back already. One that cannot be rolled back leaves nothing to go on with.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the store cannot roll back");
            self.shared.latch.set();
        }
    }

    fn judged<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.shared.latch.judge(&error))
    }

    /// When another process committed since the last look: drops what it may have changed.
    fn look_for_others(&self) -> rusqlite::Result<()> {
        let version = data_version(&self.connection)?;
        if version != self.version.get() {
            self.shared.drop_caches();
            self.load_messages()?;
            self.version.set(version);
            self.shared.wrote_a_setting();
        }
        Ok(())
    }

    fn load_messages(&self) -> rusqlite::Result<()> {
        if self.shared.server {
            self.shared.pending.replace(records::messages(&self.connection)?);
            self.shared.events.load(&self.connection)?;
        }
        Ok(())
    }

    fn idle(&self) {
        if self.shared.latch.is_set() {
            return;
        }
        if let Err(error) = self.look_for_others() {
            self.shared.latch.judge_read(&error);
        }
        if self.shared.log.pages.load(Ordering::Relaxed) > 0 {
            self.finish_log();
        }
    }

    fn tidy_log(&self) {
        if self.shared.latch.is_set() {
            return;
        }
        if self.shared.log.copied.swap(false, Ordering::AcqRel) {
            self.finish_log();
        } else if self.shared.log.pages.load(Ordering::Relaxed) >= checkpoint::THRESHOLD {
            self.checkpointer.wake();
        }
    }

    fn finish_log(&self) {
        if checkpoint::copy(&self.connection, &self.shared, CheckpointMode::PASSIVE) == Ok(true) {
            self.shared.log.pages.store(0, Ordering::Relaxed);
        }
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Who has gone away needs no answer.
fn answer<T>(waiting: oneshot::Sender<T>, outcome: T) {
    drop(waiting.send(outcome));
}
