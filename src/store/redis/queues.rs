//! The port of the queue over the queues of all subscriptions, for many claimants: what one has claimed comes back when its
//! lease is over, and how much is on its way to a subscriber is counted with the queue.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;

use crate::clock::UnixMillis;
use crate::events::inside::INSIDE;
use crate::events::queue::{Address, DeadLetter, EventId, Queued, Settled, Settlement};
use crate::events::store::{DEAD_PER_SUBSCRIPTION, EventQueue};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::store::{Later, StoreError};
use crate::store::redis::reply::read;
use crate::store::redis::settings::Table;
use crate::store::redis::{RedisStore, index, queue, row};

/// How long a claim holds, and how long a queue is left to whoever looks at it.
const LEASE: Duration = Duration::from_secs(60);
/// Claims of one instant differ by up to so many milliseconds in their leases, so that none is taken for another.
const SPREAD: u64 = 1_000;
/// Queues that one claim looks at.
const QUEUES: usize = 64;
/// How long a claimant sleeps when nothing happens in its own process: what another replica left is found by then.
const LOOK: Duration = Duration::from_millis(500);
/// Rows that one call reads, or drops.
const STEP: usize = 200;

/// What a claim of one queue answered.
type Claimed = (Vec<u8>, usize, Vec<(Vec<u8>, Vec<u8>)>);

fn by_queue<T>(all: impl IntoIterator<Item = (SubscriptionId, T)>) -> BTreeMap<SubscriptionId, Vec<T>> {
    let mut found: BTreeMap<_, Vec<T>> = BTreeMap::new();
    for (id, one) in all {
        found.entry(id).or_default().push(one);
    }
    found
}

impl RedisStore {
    /// Every queue that something may lie in.
    pub(super) async fn all_queues(&self) -> Result<Vec<SubscriptionId>, StoreError> {
        let (_, kept) = self.table::<Subscription>(Table::Subscriptions).await?;
        let mut all = self.events.queues().await?;
        all.extend(kept.iter().map(|kept| kept.id).chain([INSIDE]));
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Claims from one queue: when to look at it again, and what was claimed.
    async fn claim_of(
        &self,
        id: SubscriptionId,
        now: UnixMillis,
        lease: u64,
        most: usize,
    ) -> Result<(Vec<u8>, Vec<Queued>), StoreError> {
        let mut turn = self.events.lines.begin(id, 0);
        let (again, waiting, rows): Claimed = read(self.link.run(queue::claim(id, now, lease, most)).await?)?;
        turn.waits(waiting);
        let (mut claimed, mut unreadable) = (Vec::new(), Vec::new());
        for (event, row) in rows {
            let Some(event) = row::event_of(&event) else { continue };
            let address = Address { subscription: id, event };
            match row::queued(&self.keyring, address, &row) {
                Some(event) => claimed.push(event),
                None => unreadable.push(event),
            }
        }
        if !unreadable.is_empty() {
            tracing::error!(subscription = %id, events = unreadable.len(), "events cannot be read: they are dropped");
            let gone = unreadable.iter().map(|event| (*event, Some(lease), &Settlement::Dropped));
            let (_, waiting): (Vec<u8>, usize) = read(self.link.run(queue::settle(id, now, gone)).await?)?;
            turn.waits(waiting);
        }
        let mut claims = self.events.claims.lock();
        claims.extend(claimed.iter().map(|event| (event.address, lease)));
        Ok((again, claimed))
    }

    /// Settles events of one queue: when to look at it again.
    async fn settle_of(
        &self,
        id: SubscriptionId,
        settled: &[Settled],
    ) -> Result<Option<(SubscriptionId, UnixMillis)>, StoreError> {
        let claims: Vec<_> = {
            let claims = self.events.claims.lock();
            settled.iter().map(|one| (one.address.event, claims.get(&one.address).copied(), &one.settlement)).collect()
        };
        let mut turn = self.events.lines.begin(id, 0);
        let call = queue::settle(id, self.clock.now(), claims.into_iter());
        let (again, waiting): (String, usize) = read(self.link.run(call).await?)?;
        turn.waits(waiting);
        Ok(again.parse().ok().map(|again| (id, UnixMillis(again))))
    }

    /// The dead letters of a queue, each with its end.
    async fn dead_of(&self, id: SubscriptionId) -> Result<Vec<(EventId, u64)>, StoreError> {
        let found: Vec<(Vec<u8>, u64)> = read(self.link.run(queue::dead(id)).await?)?;
        Ok(found.into_iter().filter_map(|(event, ends)| Some((row::event_of(&event)?, ends))).collect())
    }

    async fn dead_rows(&self, id: SubscriptionId, events: &[EventId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut rows = Vec::new();
        for step in events.chunks(STEP) {
            let found: Vec<Option<Vec<u8>>> = read(self.link.run(queue::rows(id, step)).await?)?;
            rows.extend(found);
        }
        Ok(rows)
    }

    async fn prune_queue(&self, id: SubscriptionId, now: UnixMillis) -> Result<(), StoreError> {
        let (over, mut kept): (Vec<_>, Vec<_>) =
            self.dead_of(id).await?.into_iter().partition(|(_, ends)| *ends <= now.0);
        kept.sort_unstable();
        let excess = kept.len().saturating_sub(DEAD_PER_SUBSCRIPTION);
        let drop: Vec<_> = over.iter().chain(kept.iter().take(excess)).map(|(event, _)| *event).collect();
        for step in drop.chunks(STEP) {
            self.link.run(queue::bury(id, step)).await?;
        }
        Ok(())
    }
}

impl EventQueue for RedisStore {
    fn claim_events(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Queued>, StoreError>> {
        Box::pin(async move {
            if limit == 0 {
                return Ok(Vec::new());
            }
            self.events.relayed().await;
            let mut noise = [0; 8];
            self.entropy.fill(&mut noise);
            let lease = (now + LEASE).0 + u64::from_le_bytes(noise) % SPREAD;
            self.events.claims.lock().retain(|_, lease| now.0 < *lease);
            let taken: Vec<Vec<u8>> = read(self.link.run(index::take(now, lease, limit.min(QUEUES))).await?)?;
            let taken: Vec<_> = taken.iter().filter_map(|id| index::subscription(id)).collect();
            if taken.is_empty() {
                return Ok(Vec::new());
            }
            let most = (limit / taken.len()).max(1);
            let claims = join_all(taken.iter().map(|id| self.claim_of(*id, now, lease, most))).await;
            let (mut looked, mut claimed, mut refused) = (Vec::new(), Vec::new(), None);
            for (id, claim) in taken.into_iter().zip(claims) {
                match claim {
                    Ok((again, events)) => {
                        looked.push((id, again));
                        claimed.extend(events);
                    }
                    Err(error) => refused = Some(error),
                }
            }
            // Where this is refused, the queues are looked at again when the lease is over, or when something joins them.
            let _left = self.link.run(index::back(lease, &looked)).await;
            match refused {
                Some(error) if claimed.is_empty() => Err(error),
                _ => Ok(claimed),
            }
        })
    }

    fn wait_for_events(&self) -> Later<'_, ()> {
        Box::pin(async move {
            tokio::select! {
                () = self.events.moved.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        })
    }

    fn settle_events(&self, settled: Vec<Settled>) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let queues = by_queue(settled.into_iter().map(|one| (one.address.subscription, one)));
            let settles = join_all(queues.iter().map(|(id, settled)| self.settle_of(*id, settled))).await;
            let marks = settles.into_iter().collect::<Result<Vec<_>, _>>()?;
            let marks: Vec<_> = marks.into_iter().flatten().collect();
            if !marks.is_empty() {
                self.link.run(index::mark(&marks)).await?;
            }
            let mut claims = self.events.claims.lock();
            for one in queues.values().flatten() {
                claims.remove(&one.address);
            }
            drop(claims);
            self.events.moved.notify_one();
            Ok(())
        })
    }

    fn queued_events(&self) -> usize {
        self.events.lines.len()
    }

    fn lost_events(&self) -> u64 {
        self.view.fanout.lost() + self.events.lost.load(Ordering::Relaxed)
    }

    fn dead_events(
        &self,
        subscription: Option<SubscriptionId>,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(async move {
            let queues = match subscription {
                Some(id) => vec![id],
                None => self.all_queues().await?,
            };
            let mut all = Vec::new();
            for id in queues {
                all.extend(self.dead_of(id).await?.into_iter().map(|(event, ends)| (event, id, ends)));
            }
            all.sort_unstable();
            all.truncate(limit);
            let mut letters = Vec::new();
            for (id, dead) in by_queue(all.into_iter().map(|(event, id, ends)| (id, (event, ends)))) {
                let events: Vec<_> = dead.iter().map(|(event, _)| *event).collect();
                let rows = self.dead_rows(id, &events).await?;
                for ((event, ends), row) in dead.into_iter().zip(rows) {
                    let address = Address { subscription: id, event };
                    let letter = row.map(|row| row::dead(&self.keyring, address, UnixMillis(ends), &row));
                    letters.extend(letter.flatten());
                }
            }
            letters.sort_by_key(|letter| (letter.address.event, letter.address.subscription));
            Ok(letters)
        })
    }

    fn replay_events(&self, addresses: Vec<Address>, now: UnixMillis) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let mut replayed = 0;
            for (id, events) in by_queue(addresses.into_iter().map(|one| (one.subscription, one.event))) {
                let mut turn = self.events.lines.begin(id, 0);
                for step in events.chunks(STEP) {
                    let answer: Value = self.link.run(queue::replay(id, now, step)).await?;
                    let (_, waiting, count): (Vec<u8>, usize, usize) = read(answer)?;
                    turn.waits(waiting);
                    replayed += count;
                }
                self.link.run(index::mark(&[(id, now)])).await?;
            }
            self.events.moved.notify_one();
            Ok(replayed)
        })
    }

    fn prune_events(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            for id in self.all_queues().await? {
                self.prune_queue(id, now).await?;
            }
            Ok(())
        })
    }
}
