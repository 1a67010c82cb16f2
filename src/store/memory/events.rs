//! Subscriptions and their queue in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::UnixMillis;
use crate::events::fanout::{Announcement, Fanout};
use crate::events::queue::{Address, DeadLetter, Queued, Settled, Settlement};
use crate::events::store::{DEAD_PER_SUBSCRIPTION, EventQueue, SubscriptionStore};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::{AccountId, NumberKey};
use crate::otp::record::Otp;
use crate::otp::store::{Later, StoreError, WriteError};
use crate::store::memory::{MemoryStore, ready};
use crate::store::notices::{Notices, Waiting};
use crate::store::rules;

#[derive(Default)]
struct State {
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    queue: BTreeMap<Address, Queued>,
    dead: BTreeMap<Address, DeadLetter>,
}

/// What the store in memory keeps for subscribers.
pub(super) struct Events {
    state: Mutex<State>,
    notices: Notices,
    fanout: Fanout,
}

impl Events {
    pub(super) fn new(fanout: Fanout) -> Self {
        Self { state: Mutex::default(), notices: Notices::default(), fanout }
    }

    /// Queues what a change brought that made `otp` of `before`.
    pub(super) fn changed(&self, before: Option<&Otp>, otp: &Otp, now: UnixMillis) {
        self.join(self.fanout.changed(before, otp, now, |id| self.notices.has_room(id)));
    }

    /// Queues the news that an OTP was deleted.
    pub(super) fn deleted(&self, otp: &Otp, now: UnixMillis) {
        self.join(self.fanout.deleted(otp, now, |id| self.notices.has_room(id)));
    }

    /// Queues the news of something else than an OTP.
    pub(super) fn announced(&self, news: Announcement, now: UnixMillis) {
        self.join(self.fanout.announced(news, now, |id| self.notices.has_room(id)));
    }

    /// Forgets what is queued about a number.
    pub(super) fn erase(&self, number: NumberKey) {
        let mut state = self.state.lock();
        let gone: Vec<_> = state.queue.values().filter(|row| row.notice.number_key() == number).collect();
        self.notices.vanished(&gone.iter().map(|row| row.address).collect::<Vec<_>>());
        state.queue.retain(|_, row| row.notice.number_key() != number);
        state.dead.retain(|_, letter| letter.notice.number_key() != number);
    }

    fn join(&self, rows: Vec<Queued>) {
        if rows.is_empty() {
            return;
        }
        let waiting: Vec<_> =
            rows.iter().map(|row| Waiting { address: row.address, due: row.due, line: row.notice.line() }).collect();
        self.state.lock().queue.extend(rows.into_iter().map(|row| (row.address, row)));
        self.notices.joined(waiting);
    }
}

impl State {
    fn settle(&mut self, Settled { address, settlement }: &Settled) {
        let Some(mut row) = self.queue.remove(address) else { return };
        row.tries += 1;
        match settlement {
            Settlement::Told | Settlement::Dropped => {}
            Settlement::PutOff { due, .. } => {
                row.due = *due;
                self.queue.insert(*address, row);
            }
            Settlement::Dead { ends, answer } => {
                let Queued { address, tries, notice, .. } = row;
                let letter = DeadLetter { address, ends: *ends, tries, answer: answer.clone(), notice };
                self.dead.insert(address, letter);
            }
        }
    }
}

impl SubscriptionStore for MemoryStore {
    fn subscriptions(&self, account: Option<&AccountId>) -> Later<'_, Result<Vec<Subscription>, StoreError>> {
        let state = self.events.state.lock();
        let wanted = |kept: &&Subscription| account.is_none_or(|account| kept.account == *account);
        let mut found: Vec<_> = state.subscriptions.values().filter(wanted).cloned().collect();
        found.sort_by_key(|subscription| (subscription.created, subscription.id));
        ready(Ok(found))
    }

    fn subscription(&self, id: SubscriptionId) -> Later<'_, Result<Option<Subscription>, StoreError>> {
        ready(Ok(self.events.state.lock().subscriptions.get(&id).cloned()))
    }

    fn put_subscription(&self, before: Option<Subscription>, after: Subscription) -> Later<'_, Result<(), WriteError>> {
        let mut state = self.events.state.lock();
        let kept: Vec<_> = state.subscriptions.values().filter(|kept| kept.account == after.account).cloned().collect();
        if !rules::subscription(&kept, before.as_ref(), &after) {
            return ready(Err(WriteError::Conflict));
        }
        self.events.fanout.put(&after);
        state.subscriptions.insert(after.id, after);
        ready(Ok(()))
    }

    fn delete_subscription(&self, id: SubscriptionId) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.events.state.lock();
        self.events.fanout.remove(id);
        self.events.notices.ended(id);
        state.queue.retain(|address, _| address.subscription != id);
        state.dead.retain(|address, _| address.subscription != id);
        ready(Ok(state.subscriptions.remove(&id).is_some()))
    }
}

impl EventQueue for MemoryStore {
    fn claim_events(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Queued>, StoreError>> {
        let claimed = self.events.notices.claim(now, limit);
        let state = self.events.state.lock();
        ready(Ok(claimed.iter().filter_map(|address| state.queue.get(address).cloned()).collect()))
    }

    fn wait_for_events(&self) -> Later<'_, ()> {
        Box::pin(self.events.notices.wait(&*self.clock))
    }

    fn settle_events(&self, settled: Vec<Settled>) -> Later<'_, Result<(), StoreError>> {
        let mut state = self.events.state.lock();
        settled.iter().for_each(|settled| state.settle(settled));
        self.events.notices.settled(&settled);
        ready(Ok(()))
    }

    fn queued_events(&self) -> usize {
        self.events.notices.len()
    }

    fn lost_events(&self) -> u64 {
        self.events.fanout.lost()
    }

    fn dead_events(
        &self,
        subscription: Option<SubscriptionId>,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, StoreError>> {
        let state = self.events.state.lock();
        let wanted = |letter: &&DeadLetter| subscription.is_none_or(|id| letter.address.subscription == id);
        let mut found: Vec<_> = state.dead.values().filter(wanted).cloned().collect();
        found.sort_by_key(|letter| (letter.address.event, letter.address.subscription));
        found.truncate(limit);
        ready(Ok(found))
    }

    fn replay_events(&self, addresses: Vec<Address>, now: UnixMillis) -> Later<'_, Result<usize, StoreError>> {
        let mut state = self.events.state.lock();
        let mut replayed = Vec::new();
        for address in addresses {
            let Some(letter) = state.dead.remove(&address) else { continue };
            let (notice, until) = (letter.notice, letter.ends);
            replayed.push(Waiting { address, due: now, line: notice.line() });
            state.queue.insert(address, Queued { address, due: now, tries: 0, until, notice });
        }
        let count = replayed.len();
        self.events.notices.joined(replayed);
        ready(Ok(count))
    }

    fn prune_events(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        let mut kept: BTreeMap<SubscriptionId, usize> = BTreeMap::new();
        let mut state = self.events.state.lock();
        state.dead.retain(|_, letter| now < letter.ends);
        let newest_first: Vec<_> = state.dead.keys().rev().copied().collect();
        for address in newest_first {
            let count = kept.entry(address.subscription).or_default();
            *count += 1;
            if *count > DEAD_PER_SUBSCRIPTION {
                state.dead.remove(&address);
            }
        }
        ready(Ok(()))
    }
}

/// Shared with nobody, but asked for by the constructor.
pub(super) fn events(retention: std::time::Duration) -> Events {
    Events::new(Fanout::new(Arc::new(crate::secret::SystemEntropy), retention))
}
