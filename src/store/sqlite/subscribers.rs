//! The ports of webhooks over the tables. Whatever changes who is told, or what waits, runs on the writer's thread, which
//! changes the picture in memory right after the commit: no event slips through in between.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::events::queue::{Address, DeadLetter, Queued, Settled};
use crate::events::store::{DEAD_PER_SUBSCRIPTION, EventQueue, SubscriptionStore};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::AccountId;
use crate::otp::store::{Later, StoreError, WriteError};
use crate::store::rules;
use crate::store::sqlite::writer::Reach;
use crate::store::sqlite::{SqliteStore, events};

impl SubscriptionStore for SqliteStore {
    fn subscriptions(&self, account: Option<&AccountId>) -> Later<'_, Result<Vec<Subscription>, StoreError>> {
        let account = account.cloned();
        Box::pin(self.readers.read(move |sql| events::subscriptions(sql, account.as_ref())))
    }

    fn subscription(&self, id: SubscriptionId) -> Later<'_, Result<Option<Subscription>, StoreError>> {
        Box::pin(self.readers.read(move |sql| events::subscription(sql, id)))
    }

    fn put_subscription(&self, before: Option<Subscription>, after: Subscription) -> Later<'_, Result<(), WriteError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let written = self.on_writer(move |writer| {
                let written = writer.alone(Reach::Nothing, |sql| {
                    let kept = events::subscriptions(sql, Some(&after.account))?;
                    if !rules::subscription(&kept, before.as_ref(), &after) {
                        return Ok(None);
                    }
                    events::put_subscription(sql, &after).map(Some)
                })?;
                if written.is_some() {
                    shared.events.fanout.put(&after);
                }
                Ok(written)
            });
            written.await?.ok_or(WriteError::Conflict)
        })
    }

    fn delete_subscription(&self, id: SubscriptionId) -> Later<'_, Result<bool, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.on_writer(move |writer| {
            let there = writer.alone(Reach::Nothing, |sql| events::delete_subscription(sql, id).map(Some))?;
            shared.events.fanout.remove(id);
            shared.events.notices.ended(id);
            Ok(there.unwrap_or(false))
        }))
    }
}

impl EventQueue for SqliteStore {
    fn claim_events(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Queued>, StoreError>> {
        Box::pin(async move {
            // What a failed store hands out could not be settled: it would be posted again and again.
            if self.shared.latch.is_set() {
                return Err(StoreError::Failed);
            }
            let addresses = self.shared.events.notices.claim(now, limit);
            if addresses.is_empty() {
                return Ok(Vec::new());
            }
            let (shared, wanted) = (Arc::clone(&self.shared), addresses.clone());
            let read = self.readers.read(move |sql| {
                let read = |address: &Address| events::event(sql, &shared.events.keyring, *address);
                wanted.iter().map(read).collect::<Result<Vec<_>, _>>()
            });
            match read.await {
                Ok(rows) => {
                    let gone: Vec<_> = addresses.iter().zip(&rows).filter(|(_, row)| row.is_none()).collect();
                    if !gone.is_empty() {
                        let gone: Vec<_> = gone.into_iter().map(|(address, _)| *address).collect();
                        self.shared.events.notices.vanished(&gone);
                    }
                    Ok(rows.into_iter().flatten().collect())
                }
                Err(error) => {
                    self.shared.events.notices.released(&addresses);
                    Err(error)
                }
            }
        })
    }

    fn wait_for_events(&self) -> Later<'_, ()> {
        Box::pin(self.shared.events.notices.wait(&*self.shared.clock))
    }

    fn settle_events(&self, settled: Vec<Settled>) -> Later<'_, Result<(), StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.on_writer(move |writer| {
            writer.alone(Reach::Nothing, |sql| {
                settled.iter().try_for_each(|settled| events::settle(sql, settled)).map(Some)
            })?;
            shared.events.notices.settled(&settled);
            Ok(())
        }))
    }

    fn queued_events(&self) -> usize {
        self.shared.events.notices.len()
    }

    fn lost_events(&self) -> u64 {
        self.shared.events.fanout.lost()
    }

    fn dead_events(
        &self,
        subscription: Option<SubscriptionId>,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.readers.read(move |sql| events::dead(sql, &shared.events.keyring, subscription, limit)))
    }

    fn replay_events(&self, addresses: Vec<Address>, now: UnixMillis) -> Later<'_, Result<usize, StoreError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(self.on_writer(move |writer| {
            let replayed = writer.alone(Reach::Nothing, |sql| {
                let replayed: rusqlite::Result<Vec<_>> =
                    addresses.iter().map(|address| events::replay(sql, *address, now)).collect();
                replayed.map(Some)
            })?;
            let replayed: Vec<_> = replayed.unwrap_or_default().into_iter().flatten().collect();
            let count = replayed.len();
            if shared.server {
                shared.events.notices.joined(replayed);
            }
            Ok(count)
        }))
    }

    fn prune_events(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let pruned =
                self.alone(Reach::Nothing, move |sql| events::prune(sql, now, DEAD_PER_SUBSCRIPTION).map(Some));
            pruned.await.map(drop)
        })
    }
}
