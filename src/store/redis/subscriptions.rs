//! Subscriptions: rows of the settings, and the queue that goes with one. Who writes one waits until every replica tells it:
//! from then on no change slips through.

use crate::events::store::SubscriptionStore;
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::AccountId;
use crate::otp::store::{Later, StoreError, WriteError};
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Edit, Table};
use crate::store::redis::view::SEEN_BY_ALL;
use crate::store::rules;

/// How often a write begins anew because another one was first.
const WRITES: usize = 200;

/// Whether somebody who knows `before` tells `after` of the same.
fn tells_the_same(before: &Subscription, after: &Subscription) -> bool {
    (&before.account, before.events, before.application) == (&after.account, after.events, after.application)
}

impl RedisStore {
    async fn write_subscription(&self, before: Option<&Subscription>, after: &Subscription) -> Result<(), WriteError> {
        let _change = self.view.writes.begin();
        for _ in 0..WRITES {
            let (seen, mut all) = self.table::<Subscription>(Table::Subscriptions).await?;
            let foreign = all.iter().any(|kept| kept.id == after.id && kept.account != after.account);
            all.retain(|kept| kept.account == after.account);
            if foreign || !rules::subscription(&all, before, after) {
                return Err(WriteError::Conflict);
            }
            let edit = Edit::default().put(Table::Subscriptions, &after.id, after)?;
            if self.commit_setting(seen, edit).await? {
                self.view.tell(|fanout| fanout.put(after));
                return Ok(());
            }
        }
        Err(StoreError::Unavailable.into())
    }

    async fn remove_subscription(&self, id: SubscriptionId) -> Result<bool, StoreError> {
        let _change = self.view.writes.begin();
        for _ in 0..WRITES {
            let (seen, all) = self.table::<Subscription>(Table::Subscriptions).await?;
            let there = all.iter().any(|kept| kept.id == id);
            if !there || self.commit_setting(seen, Edit::default().remove(Table::Subscriptions, &id)).await? {
                self.view.tell(|fanout| fanout.remove(id));
                return Ok(there);
            }
        }
        Err(StoreError::Unavailable)
    }
}

impl SubscriptionStore for RedisStore {
    fn subscriptions(&self, account: Option<&AccountId>) -> Later<'_, Result<Vec<Subscription>, StoreError>> {
        let account = account.cloned();
        Box::pin(async move {
            let (_, mut all) = self.table::<Subscription>(Table::Subscriptions).await?;
            all.retain(|kept| account.as_ref().is_none_or(|account| kept.account == *account));
            all.sort_by_key(|subscription| (subscription.created, subscription.id));
            Ok(all)
        })
    }

    fn subscription(&self, id: SubscriptionId) -> Later<'_, Result<Option<Subscription>, StoreError>> {
        Box::pin(async move { self.row(Table::Subscriptions, &id).await })
    }

    fn put_subscription(&self, before: Option<Subscription>, after: Subscription) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            self.write_subscription(before.as_ref(), &after).await?;
            if !before.is_some_and(|before| tells_the_same(&before, &after)) {
                tokio::time::sleep(SEEN_BY_ALL).await;
            }
            Ok(())
        })
    }

    fn delete_subscription(&self, id: SubscriptionId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let there = self.remove_subscription(id).await?;
            // What is still told to it by another replica is claimed once more, and dropped because it is gone.
            self.events.end_queue(id).await?;
            Ok(there)
        })
    }
}
