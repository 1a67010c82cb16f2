//! The ports of webhooks: what they need to have kept. A store implements them beside the port of OTPs, because an event
//! joins the queue in the commit of the change that it tells of.

use crate::clock::UnixMillis;
use crate::events::queue::{Address, DeadLetter, Queued, Settled};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::AccountId;
use crate::otp::store::{Later, StoreError, WriteError};

/// Events that wait for one subscriber; further ones are lost, and counted. A subscriber that is away for three days
/// reaches it at more than eleven events a minute.
pub const QUEUED_PER_SUBSCRIPTION: usize = 50_000;

/// Dead letters that are kept of one subscriber: the newest.
pub const DEAD_PER_SUBSCRIPTION: usize = 10_000;

/// Keeps subscriptions. Few rows, written also beside a running server.
pub trait SubscriptionStore: Send + Sync + 'static {
    /// The subscriptions of an account, or of all; oldest first.
    fn subscriptions(&self, account: Option<&AccountId>) -> Later<'_, Result<Vec<Subscription>, StoreError>>;

    /// One subscription.
    fn subscription(&self, id: SubscriptionId) -> Later<'_, Result<Option<Subscription>, StoreError>>;

    /// Writes a subscription: a new one when `before` is none, else the one that equals `before`. Its callback is unique
    /// within the account, which has a bounded number of them. From here on changes are told to it.
    fn put_subscription(&self, before: Option<Subscription>, after: Subscription) -> Later<'_, Result<(), WriteError>>;

    /// Ends a subscription: it goes with every event that waits for it, dead letters too. Whether it was there.
    fn delete_subscription(&self, id: SubscriptionId) -> Later<'_, Result<bool, StoreError>>;
}

/// The queue of events.
pub trait EventQueue: Send + Sync + 'static {
    /// Up to `limit` events that are due at `now`, each to one claimant: turn by turn over the subscriptions, few at a
    /// time for each, and one at a time for an OTP. A claim ends when it is settled, or with the claimant's process.
    fn claim_events(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Queued>, StoreError>>;

    /// Waits until there may be something to claim.
    fn wait_for_events(&self) -> Later<'_, ()>;

    /// Settles claimed events, in one commit.
    fn settle_events(&self, settled: Vec<Settled>) -> Later<'_, Result<(), StoreError>>;

    /// Events that wait.
    fn queued_events(&self) -> usize;

    /// Events that were lost since the start because a subscriber's queue was full.
    fn lost_events(&self) -> u64;

    /// Dead letters of a subscription, or of all; oldest first, at most `limit`.
    fn dead_events(
        &self,
        subscription: Option<SubscriptionId>,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// Puts dead letters back into the queue, due at `now`, with all their tries: those of `addresses`. How many.
    fn replay_events(&self, addresses: Vec<Address>, now: UnixMillis) -> Later<'_, Result<usize, StoreError>>;

    /// Drops the dead letters that are over at `now`, and those beyond [`DEAD_PER_SUBSCRIPTION`].
    fn prune_events(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>>;
}
