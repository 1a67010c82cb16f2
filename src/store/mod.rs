//! The adapters that keep what the domain wants kept. No rule of the domain is written here.
//!
//! - `memory`: all of it in one process' memory: for tests, and the model that the others are held against
//! - `sqlite`: the embedded store, one directory, one server
//! - `packed`, `checksum`: how a record becomes bytes, and how damaged ones are noticed
//! - `claims`: who looks at which verification
//! - `notices`: the events that wait for their subscribers, and who has claimed which
//! - `pending`: the messages that are not settled yet, in the order in which they are due
//! - `rules`: what makes the write of a setting a conflict, the same for every adapter
//!
//! Knows the ports of `otp`, `events`, `verification`, `access` and `abuse`; must not know HTTP, delivery or the command line.

mod checksum;
mod claims;
pub mod memory;
mod notices;
mod packed;
mod pending;
mod rules;
pub mod sqlite;

use std::time::Duration;

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;

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
