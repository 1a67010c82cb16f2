//! The adapters that keep what the domain wants kept. No rule of the domain is written here.
//!
//! - `memory`: all of it in one process' memory: for tests, and the model that the others are held against
//! - `sqlite`: the embedded store, one directory, one server
//! - `redis`: the shared store of many replicas, on Redis or Valkey
//! - `packed`, `checksum`: how a record becomes bytes, and how damaged ones are noticed
//! - `recent`: the entries that were used last; `id_hash`: how ids are hashed in a map
//! - `claims`: who looks at which verification
//! - `notices`: the events that wait for their subscribers, and who has claimed which
//! - `pending`: the messages that are not settled yet, in the order in which they are due
//! - `transfer`: everything of one store into another
//! - `rules`: what makes the write of a setting a conflict, the same for every adapter
//!
//! Knows the ports of `otp`, `events`, `verification`, `access` and `abuse`; must not know HTTP, delivery or the command line.

mod checksum;
mod claims;
mod id_hash;
pub mod memory;
mod notices;
mod packed;
mod pending;
mod recent;
pub mod redis;
mod rules;
pub mod sqlite;
pub mod transfer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::abuse::NumberRecord;
use crate::access::nonce::NonceStore;
use crate::access::store::ConnectionStore;
use crate::clock::UnixMillis;
use crate::events::store::{EventQueue, SubscriptionStore};
use crate::identity::store::IdentityStore;
use crate::otp::store::{ApplicationStore, Eraser, Later, OtpStore, Outbox};
use crate::secret::Keyring;
use crate::verification::store::VerificationStore;

/// What a gateway runs on: every port at once, and how the store itself is doing.
pub trait Store:
    OtpStore
    + Outbox
    + Eraser
    + ApplicationStore
    + ConnectionStore
    + SubscriptionStore
    + EventQueue
    + NonceStore
    + IdentityStore
    + VerificationStore
{
    /// The keys that everything in it is hashed and sealed with.
    fn keyring(&self) -> Arc<Keyring>;

    /// Ends when nothing that this process does can be kept any more: it has to end.
    fn failed(&self) -> Later<'static, ()>;

    /// Whether calls are answered, now and from now on.
    fn reachable(&self) -> watch::Receiver<bool>;

    /// This process ends: what it has claimed and not begun is free for others at once.
    fn leave(&self) -> Later<'_, ()>;
}

/// The longest span that a send limit looks back (`abuse::Rate` allows up to 7 d).
const LONGEST_RATE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Daily counts are kept for today and, because clocks differ, for yesterday.
const DAYS_KEPT: u64 = 1;
/// Number records that one step of pruning looks at.
const PRUNE_STEP: usize = 1_000;

/// The record without what no rule asks for again at `now`; none when that changes nothing.
fn pruned(record: &NumberRecord, now: UnixMillis) -> Option<NumberRecord> {
    let mut kept = record.clone();
    kept.prune(now, LONGEST_RATE);
    (kept != *record).then_some(kept)
}

/// The first day (since 1970-01-01) whose counts are kept at `now`.
const fn first_day_kept(now: UnixMillis) -> u64 {
    (now.0 / (24 * 60 * 60 * 1_000)).saturating_sub(DAYS_KEPT)
}
