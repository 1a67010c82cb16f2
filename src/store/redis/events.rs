//! Events on their way from the commit that wrote them to the queues of their subscribers. A commit reaches one shard only, so
//! it leaves its rows there; right after it the same process relays them, and what a process did not come to relay, any other
//! one does two seconds later. A row may be relayed twice and joins its queue once.
//!
//! ```text
//! commit -> hash of the number's shard -> queue of the subscription -> the index of queues that have something due
//! ```
//!
//! The index is marked after the queue took the rows and before they leave the shard: a crash anywhere in between is a row
//! that is relayed again.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, UnixMillis};
use crate::events::inside::INSIDE;
use crate::events::queue::{Address, EventId};
use crate::events::subscription::SubscriptionId;
use crate::otp::id::NumberKey;
use crate::otp::store::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::index;
use crate::store::redis::lines::{Lines, Turn};
use crate::store::redis::link::Link;
use crate::store::redis::place::Place;
use crate::store::redis::queue;
use crate::store::redis::reply::read;
use crate::store::redis::row::{address_of, line_and_due};

pub(super) use crate::store::redis::row::{address_bytes, row_bytes};

/// How often each replica looks for what was not relayed, and how long the queues are.
const SWEEP: Duration = Duration::from_secs(1);
/// After how many of these it looks for queues that the index does not name: a failover may have lost a mark.
const MEND: u32 = 10;
/// Younger rows are left to the process that committed them.
const OWNERS: Duration = Duration::from_secs(2);
/// What is being relayed when a number is erased has arrived by then.
const ARRIVED: Duration = Duration::from_millis(250);

/// What this process does for subscribers.
pub(super) struct Events {
    pub(super) link: Arc<Link>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lines: Arc<Lines>,
    /// Something may be claimed.
    pub(super) moved: Notify,
    /// What this process has claimed, and until when.
    pub(super) claims: Mutex<HashMap<Address, u64>>,
    /// Rows that found their queue full.
    pub(super) lost: AtomicU64,
    begun: AtomicU64,
    ended: watch::Sender<u64>,
}

/// Rows of one subscription on their way.
struct Batch {
    rows: Vec<(EventId, UnixMillis, Vec<u8>)>,
    turn: Turn,
}

/// A relay that goes on for as long as this lives.
struct Relay(Arc<Events>);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

impl Events {
    pub(super) fn new(link: Arc<Link>, clock: Arc<dyn Clock>) -> Self {
        Self {
            link,
            clock,
            lines: Arc::default(),
            moved: Notify::new(),
            claims: Mutex::default(),
            lost: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(0),
        }
    }

    /// Relays rows that a commit left in `place`. They count as queued from this call on; the rest is done by the future, which
    /// may be waited for or spawned. What it cannot do is left for the sweep.
    pub(super) fn relay(
        self: &Arc<Self>,
        place: Place,
        rows: Vec<(Address, Vec<u8>)>,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let relay = Relay(Arc::clone(self));
        let (mut by_queue, mut unreadable) = (BTreeMap::<SubscriptionId, Vec<_>>::new(), Vec::new());
        for (address, row) in rows {
            match line_and_due(&row) {
                Some((_, due)) => by_queue.entry(address.subscription).or_default().push((address.event, due, row)),
                None => unreadable.push(address),
            }
        }
        let batch = |(id, rows): (SubscriptionId, Vec<_>)| (id, Batch { turn: self.lines.begin(id, rows.len()), rows });
        let batches: Vec<_> = by_queue.into_iter().map(batch).collect();
        async move {
            if !unreadable.is_empty() {
                tracing::error!(rows = unreadable.len(), "events cannot be read: they are dropped");
            }
            relay.0.join(place, batches, unreadable).await;
        }
    }

    async fn join(&self, place: Place, batches: Vec<(SubscriptionId, Batch)>, mut done: Vec<Address>) {
        let joins = batches.into_iter().map(|(id, batch)| self.join_queue(id, batch));
        let mut marks = Vec::new();
        for (id, due, events) in join_all(joins).await.into_iter().flatten() {
            marks.push((id, due));
            done.extend(events.into_iter().map(|event| Address { subscription: id, event }));
        }
        if !marks.is_empty() {
            if self.link.run_durably(index::mark(&marks)).await.is_err() {
                return;
            }
            self.moved.notify_one();
        }
        if !done.is_empty() {
            // Relayed once more by the sweep, and joined no second time.
            let _left = self.link.run(queue::relayed(place, &done)).await;
        }
    }

    /// The rows of one subscription join its queue: the earliest instant at which one is due, and which they were.
    async fn join_queue(
        &self,
        id: SubscriptionId,
        Batch { rows, mut turn }: Batch,
    ) -> Option<(SubscriptionId, UnixMillis, Vec<EventId>)> {
        let events = rows.iter().map(|(event, ..)| *event).collect();
        let due = rows.iter().map(|(_, due, _)| *due).min()?;
        let answer = self.link.run_durably(queue::join(id, self.clock.now(), rows)).await.ok()?;
        let (waiting, lost): (usize, u64) = read(answer).ok()?;
        turn.waits(waiting);
        self.lost.fetch_add(lost, Ordering::Relaxed);
        Some((id, due, events))
    }

    /// Waits until what this process has begun to relay by now has arrived.
    pub(super) async fn relayed(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.subscribe();
        // The sender is ours: it cannot be gone.
        let _arrived = ended.wait_for(|ended| *ended >= begun).await;
    }

    /// Relays what was left in a shard.
    async fn sweep_shard(self: &Arc<Self>, place: Place) -> Result<(), StoreError> {
        let found: Vec<(Vec<u8>, Vec<u8>)> = read(self.link.run(queue::unrelayed(place)).await?)?;
        let now = self.clock.now();
        let left = |row: &[u8]| line_and_due(row).is_none_or(|(_, due)| now.since(due) >= OWNERS);
        let rows = found.into_iter().filter(|(_, row)| left(row));
        let rows: Vec<_> = rows.filter_map(|(field, row)| Some((address_of(&field)?, row))).collect();
        if !rows.is_empty() {
            self.relay(place, rows).await;
        }
        Ok(())
    }

    /// Relays what was left anywhere.
    pub(super) async fn sweep(self: &Arc<Self>) -> Result<(), StoreError> {
        let shards = join_all(Place::shards().map(|place| self.sweep_shard(place))).await;
        shards.into_iter().collect()
    }

    /// Asks the queues how long they are.
    pub(super) async fn count(&self) -> Result<(), StoreError> {
        let before = self.lines.before();
        let asked = self.queues().await?;
        let lengths = join_all(asked.iter().map(|id| self.link.run(queue::length(*id)))).await;
        let mut found = HashMap::new();
        for (id, length) in asked.into_iter().zip(lengths) {
            found.insert(id, read(length?)?);
        }
        self.lines.correct(&before, &found);
        Ok(())
    }

    /// The queues in which something waits.
    pub(super) async fn queues(&self) -> Result<Vec<SubscriptionId>, StoreError> {
        let found: Vec<Vec<u8>> = read(self.link.run(index::all()).await?)?;
        Ok(found.iter().filter_map(|id| index::subscription(id)).collect())
    }

    /// Marks the queues in which something waits though the index does not name them.
    async fn mend(&self) -> Result<(), StoreError> {
        let known: Vec<String> = read(self.link.run(index::subscriptions()).await?)?;
        let named = self.queues().await?;
        let known = known.iter().filter_map(|id| id.parse().ok()).chain([INSIDE]);
        let unnamed: Vec<SubscriptionId> = known.filter(|id| !named.contains(id)).collect();
        let lengths = join_all(unnamed.iter().map(|id| self.link.run(queue::length(*id)))).await;
        let mut marks = Vec::new();
        for (id, length) in unnamed.into_iter().zip(lengths) {
            if read::<usize>(length?)? > 0 {
                marks.push((id, self.clock.now()));
            }
        }
        if !marks.is_empty() {
            self.link.run(index::mark(&marks)).await?;
        }
        Ok(())
    }

    /// Sweeps and counts, for as long as somebody holds the store.
    pub(super) async fn watch(events: Weak<Self>) {
        let mut rounds = 0_u32;
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(events) = events.upgrade() else { return };
            // Refused now, done a second later: nothing is lost meanwhile.
            let _swept = events.sweep().await;
            let _counted = events.count().await;
            rounds = rounds.wrapping_add(1);
            if rounds.is_multiple_of(MEND) {
                let _mended = events.mend().await;
            }
        }
    }

    /// Ends a queue with everything in it.
    pub(super) async fn end_queue(&self, id: SubscriptionId) -> Result<(), StoreError> {
        let mut turn = self.lines.begin(id, 0);
        self.link.run(queue::end(id)).await?;
        turn.waits(0);
        Ok(())
    }

    /// Drops what tells of a number: in its shard, and in every queue of `subscriptions`. An erasure is rare, and reads them all.
    pub(super) async fn erase(&self, number: NumberKey, subscriptions: Vec<SubscriptionId>) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            (cursor, _) = read::<(String, u64)>(self.link.run(queue::erase_unrelayed(number, &cursor)).await?)?;
            if cursor == "0" {
                break;
            }
        }
        // What somebody read there before is in its queue by now.
        self.relayed().await;
        tokio::time::sleep(ARRIVED).await;
        for id in subscriptions {
            let mut turn = self.lines.begin(id, 0);
            loop {
                let (next, waiting) = read::<(String, usize)>(self.link.run(queue::erase(id, number, &cursor)).await?)?;
                turn.waits(waiting);
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        self.moved.notify_one();
        Ok(())
    }
}

impl RedisStore {
    /// Whether a subscriber's queue takes one more, as far as is known here.
    pub(super) fn has_room(&self, subscription: SubscriptionId) -> bool {
        self.events.lines.has_room(subscription)
    }

    /// Relays rows that a commit has just left in `place`, beside whoever made it. They count as queued when this returns.
    pub(super) fn relay_soon(&self, place: Place, rows: Vec<(Address, Vec<u8>)>) {
        tokio::spawn(self.events.relay(place, rows));
    }

    /// Drops whatever is queued about a number.
    ///
    /// # Errors
    /// [`StoreError`]: some of it may be there still.
    pub(super) async fn erase_events(&self, number: NumberKey) -> Result<(), StoreError> {
        let all = self.all_queues().await?;
        self.events.erase(number, all).await
    }
}
