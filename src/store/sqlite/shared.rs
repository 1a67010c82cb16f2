//! What the threads of one store share: caches, the outbox in memory, the latch, the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::store::claims::Claims;
use crate::store::pending::Pending;
use crate::store::sqlite::answers::AnswerCache;
use crate::store::sqlite::cache::OtpCache;
use crate::store::sqlite::events::Events;
use crate::store::sqlite::fault::Latch;
use crate::store::sqlite::looks::Looks;
use crate::store::sqlite::nonces::Count;

/// Shared by the writer, the checkpointer, the readers and the callers.
pub(super) struct Shared {
    pub(super) cache: OtpCache,
    pub(super) answers: AnswerCache,
    pub(super) nonces: Count,
    pub(super) pending: Pending,
    pub(super) events: Events,
    /// Who looks at which verification.
    pub(super) claims: Claims,
    pub(super) looks: Looks,
    pub(super) latch: Latch,
    /// Counts up when a setting was written, here or elsewhere.
    pub(super) generation: AtomicU64,
    pub(super) log: Log,
    pub(super) figures: Figures,
    pub(super) retention: Duration,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether this process is the server: only it hands out messages.
    pub(super) server: bool,
}

impl Shared {
    /// Somebody else wrote records: nothing of them in memory can be relied on.
    pub(super) fn drop_caches(&self) {
        self.cache.drop_all();
        self.answers.drop_all();
        self.looks.drop_all();
    }

    pub(super) fn wrote_a_setting(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// Where the write-ahead log stands.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Pages in it that the database file may lack.
    pub(super) pages: AtomicU32,
    /// The checkpointer has copied most of it: the writer can finish cheaply, between two groups.
    pub(super) copied: AtomicBool,
}

/// Counters, all since the start.
#[derive(Debug, Default)]
pub(super) struct Figures {
    commits: AtomicU64,
    jobs: AtomicU64,
    last_commit_micros: AtomicU64,
    refused_full: AtomicU64,
    queued: AtomicU64,
}

/// How the store is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Commits since the start. Each is one fsync.
    pub commits: u64,
    /// Changes that these commits carried; `jobs / commits` is how well they are grouped.
    pub jobs: u64,
    /// How long the last commit took.
    pub last_commit: Duration,
    /// Changes that were refused because the disk was full.
    pub refused_full: u64,
    /// Changes that wait for the writer right now.
    pub queued: u64,
    /// Pages (4 KiB) in the write-ahead log that a checkpoint has still to copy.
    pub log_pages: u32,
}

impl Figures {
    pub(super) fn committed(&self, jobs: usize, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.jobs.fetch_add(u64::try_from(jobs).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.last_commit_micros.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn refused_full(&self, jobs: usize) {
        self.refused_full.fetch_add(u64::try_from(jobs).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, log: &Log) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Ordering::Relaxed),
            jobs: self.jobs.load(Ordering::Relaxed),
            last_commit: Duration::from_micros(self.last_commit_micros.load(Ordering::Relaxed)),
            refused_full: self.refused_full.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            log_pages: log.pages.load(Ordering::Relaxed),
        }
    }
}
