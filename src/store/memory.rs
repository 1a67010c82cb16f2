//! The store in memory: every port, one lock, nothing on a disk. The model that the other adapters are held against.
//!
//! Must not know how anything is encoded: what goes in comes out.

mod events;
mod identity;
mod nonces;
mod verifications;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::abuse::{NumberRecord, SpendKey};
use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::access::store::ConnectionStore;
use crate::clock::{Clock, UnixMillis};
use crate::idempotency::ReplayKey;
use crate::otp::answer::{AnswerStore, Kept, KeptAnswer};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::phone::E164;
use crate::otp::record::Otp;
use crate::otp::store::{
    ApplicationStore, Changes, Erased, Eraser, Later, OtpChange, OtpStore, Outbox, OutboxChange, Records, StoreError,
    Subject, Touch, Transition, WriteError,
};
use crate::store::pending::{Pending, Step};
use crate::store::{PRUNE_STEP, first_day_kept, pruned, rules};

#[derive(Default)]
struct State {
    otps: BTreeMap<OtpId, Arc<Otp>>,
    by_number: BTreeSet<(NumberKey, OtpId)>,
    due: BTreeSet<(UnixMillis, OtpId)>,
    numbers: BTreeMap<NumberKey, NumberRecord>,
    spent: HashMap<SpendKey, u32>,
    /// Each with the instant at which it is to be dropped.
    answers: HashMap<ReplayKey, (Arc<KeptAnswer>, UnixMillis)>,
    applications: BTreeMap<ApplicationId, Application>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Where the next step of pruning begins.
    unpruned: Option<NumberKey>,
}

/// Everything in memory.
pub struct MemoryStore {
    state: Mutex<State>,
    pending: Pending,
    events: events::Events,
    identity: identity::Identity,
    nonces: nonces::Nonces,
    verifications: verifications::Kept,
    generation: AtomicU64,
    retention: Duration,
    clock: Arc<dyn Clock>,
}

fn ready<'a, T: Send + 'a>(value: T) -> Later<'a, T> {
    Box::pin(std::future::ready(value))
}

impl MemoryStore {
    /// An empty store. `retention` is how long after its final state an OTP keeps its number; `clock` tells when a
    /// message is due.
    #[must_use]
    pub fn new(retention: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            pending: Pending::default(),
            events: events::events(retention),
            identity: identity::Identity::default(),
            nonces: nonces::Nonces::default(),
            verifications: verifications::Kept::default(),
            generation: AtomicU64::new(0),
            retention,
            clock,
        }
    }

    fn wrote_a_setting(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl State {
    fn read(&self, touch: &Touch) -> (Option<NumberKey>, Records) {
        let (otp, key) = match &touch.subject {
            Subject::Number(key) => (None, Some(*key)),
            Subject::Purpose(key, purpose) => {
                let holding = self.numbers.get(key).and_then(|number| number.holding(purpose.as_str()));
                let otp = holding.and_then(|id| self.otps.get(&OtpId::from_bytes(id)).cloned());
                (otp, Some(*key))
            }
            Subject::Otp(id) => {
                let otp = self.otps.get(id).cloned();
                let key = otp.as_ref().map(|otp| otp.number_key);
                (otp, key)
            }
            Subject::OtpAlone(id) => (self.otps.get(id).cloned(), None),
            Subject::Message(message) => (self.otps.get(&message.id.otp).cloned(), None),
            Subject::Nobody => (None, None),
        };
        let number = key.and_then(|key| self.numbers.get(&key)).cloned().unwrap_or_default();
        let spent = touch.spend.as_ref().and_then(|key| self.spent.get(key)).copied().unwrap_or_default();
        let kept = touch.answer.and_then(|key| self.answers.get(&key)).map(|(answer, _)| Kept {
            answer: Arc::clone(answer),
            otp: answer.otp.and_then(|id| self.otps.get(&id).cloned()),
        });
        (key, Records { otp, message: None, number, spent, kept })
    }

    fn write(
        &mut self,
        touch: Touch,
        key: Option<NumberKey>,
        before: Option<&Otp>,
        changes: Changes,
        retention: Duration,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(answer) = changes.answer {
            let after = if let OtpChange::Put(otp) = &changes.otp { Some(&**otp) } else { before };
            let due = answer.due(after, retention);
            self.answers.insert(answer.key, (Arc::from(answer), due));
        }
        if let Some(otp) = changes.replaced {
            self.put(otp, retention);
        }
        match changes.otp {
            OtpChange::Keep => {}
            OtpChange::Put(otp) => self.put(otp, retention),
            OtpChange::Delete => {
                if let Some(id) = touch.subject.otp() {
                    self.remove(id, retention);
                    steps.push(Step::Forget(id));
                }
            }
        }
        if let (Some(key), Some(record)) = (key, changes.number) {
            if record.is_empty() {
                self.numbers.remove(&key);
            } else {
                self.numbers.insert(key, record);
            }
        }
        if let (Some(key), Some(spent)) = (touch.spend, changes.spent) {
            self.spent.insert(key, spent);
        }
        match changes.outbox {
            OutboxChange::Keep => {}
            OutboxChange::Put(message) => steps.push(Step::Put(message)),
            OutboxChange::Settle(id) => steps.push(Step::Settle(id)),
            OutboxChange::Replace(id, message) => steps.extend([Step::Settle(id), Step::Put(message)]),
        }
        steps
    }

    fn newest_of(&self, key: NumberKey, limit: usize) -> Vec<Arc<Otp>> {
        let all = (key, OtpId::from_bytes([0; 16]))..=(key, OtpId::from_bytes([u8::MAX; 16]));
        let newest = self.by_number.range(all).rev().take(limit);
        newest.filter_map(|(_, id)| self.otps.get(id).cloned()).collect()
    }

    fn put(&mut self, otp: Arc<Otp>, retention: Duration) {
        let id = otp.id;
        self.remove(id, retention);
        self.by_number.insert((otp.number_key, id));
        if let Some(due) = otp.due(retention) {
            self.due.insert((due, id));
        }
        self.otps.insert(id, otp);
    }

    fn remove(&mut self, id: OtpId, retention: Duration) {
        if let Some(otp) = self.otps.remove(&id) {
            self.by_number.remove(&(otp.number_key, id));
            if let Some(due) = otp.due(retention) {
                self.due.remove(&(due, id));
            }
        }
    }
}

impl OtpStore for MemoryStore {
    fn recall(&self, id: OtpId) -> Option<Arc<Otp>> {
        self.state.lock().otps.get(&id).cloned()
    }

    fn otp(&self, id: OtpId) -> Later<'_, Result<Option<Arc<Otp>>, StoreError>> {
        ready(Ok(self.recall(id)))
    }

    fn of_number(&self, key: NumberKey, limit: usize) -> Later<'_, Result<Vec<Arc<Otp>>, StoreError>> {
        ready(Ok(self.state.lock().newest_of(key, limit)))
    }

    fn change(&self, touch: Touch, mut transition: Transition) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let (key, mut records) = state.read(&touch);
            if let Subject::Message(message) = &touch.subject {
                records.message = self.pending.held(message.id);
            }
            let changes = transition(&records);
            let before = |otp: &Otp| records.otp.as_deref().filter(|before| before.id == otp.id);
            if let Some(otp) = &changes.replaced {
                self.events.changed(before(otp), otp, self.clock.now());
            }
            match (&changes.otp, &records.otp) {
                (OtpChange::Put(otp), _) => self.events.changed(before(otp), otp, self.clock.now()),
                (OtpChange::Delete, Some(otp)) => self.events.deleted(otp, self.clock.now()),
                (OtpChange::Delete, None) | (OtpChange::Keep, _) => {}
            }
            let steps = state.write(touch, key, records.otp.as_deref(), changes, self.retention);
            // Under the same lock, so that messages follow the order of the changes.
            self.pending.apply(steps);
            Ok(())
        })
    }

    fn due(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<OtpId>, StoreError>> {
        let state = self.state.lock();
        let due = state.due.iter().take_while(|(due, _)| *due <= now).take(limit);
        ready(Ok(due.map(|(_, id)| *id).collect()))
    }

    fn prune(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        let mut state = self.state.lock();
        state.spent.retain(|key, _| key.day >= first_day_kept(now));
        let from = state.unpruned.map_or(Bound::Unbounded, Bound::Excluded);
        let step: Vec<_> =
            state.numbers.range((from, Bound::Unbounded)).take(PRUNE_STEP).map(|(key, _)| *key).collect();
        state.unpruned = if step.len() < PRUNE_STEP { None } else { step.last().copied() };
        for key in step {
            let kept = state.numbers.get(&key).and_then(|record| pruned(record, now));
            match kept {
                Some(record) if record.is_empty() => {
                    state.numbers.remove(&key);
                }
                Some(record) => {
                    state.numbers.insert(key, record);
                }
                None => {}
            }
        }
        ready(Ok(()))
    }
}

impl AnswerStore for MemoryStore {
    fn answer(&self, key: ReplayKey) -> Later<'_, Result<Option<Arc<KeptAnswer>>, StoreError>> {
        ready(Ok(self.state.lock().answers.get(&key).map(|(answer, _)| Arc::clone(answer))))
    }

    fn drop_answers(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        let mut state = self.state.lock();
        let due = state.answers.iter().filter(|(_, (_, due))| *due <= now).map(|(key, (_, due))| (*due, *key));
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        due.truncate(limit);
        for (_, key) in &due {
            state.answers.remove(key);
        }
        ready(Ok(due.len()))
    }
}

impl Outbox for MemoryStore {
    fn claim(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Message>, StoreError>> {
        Box::pin(async move { Ok(self.pending.claim(now, limit)) })
    }

    fn put_back(&self, id: MessageId, due: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        self.pending.put_back(id, due);
        ready(Ok(()))
    }

    fn wait(&self) -> Later<'_, ()> {
        Box::pin(self.pending.wait(&*self.clock))
    }

    fn backlog(&self) -> usize {
        self.pending.len()
    }
}

impl Eraser for MemoryStore {
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let mut state = self.state.lock();
            let (mut erased, mut steps) = (Erased::default(), Vec::new());
            for otp in state.newest_of(key, usize::MAX) {
                steps.push(Step::Forget(otp.id));
                match rules::erased(Otp::clone(&otp), now) {
                    OtpChange::Keep => {}
                    OtpChange::Delete => {
                        erased.deleted += 1;
                        state.remove(otp.id, self.retention);
                    }
                    OtpChange::Put(otp) => {
                        erased.anonymised += 1;
                        state.put(otp, self.retention);
                    }
                }
            }
            state.numbers.remove(&key);
            self.events.erase(key);
            self.identity.erase(key);
            self.verifications.erase(key, now);
            state.answers.retain(|_, (answer, _)| answer.number != Some(key));
            self.pending.apply(steps);
            Ok(erased)
        })
    }

    fn purge<'a>(&'a self, number: &'a E164) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(!self.state.lock().otps.values().any(|otp| otp.number() == Some(number))) })
    }
}

impl ApplicationStore for MemoryStore {
    fn applications(&self, account: &AccountId) -> Later<'_, Result<Vec<Application>, StoreError>> {
        let state = self.state.lock();
        ready(Ok(state.applications.values().filter(|kept| kept.account == *account).cloned().collect()))
    }

    fn put_application(&self, before: Option<Application>, after: Application) -> Later<'_, Result<(), WriteError>> {
        let mut state = self.state.lock();
        let foreign = state.applications.get(&after.id).is_some_and(|kept| kept.account != after.account);
        let kept: Vec<_> = state.applications.values().filter(|kept| kept.account == after.account).cloned().collect();
        if foreign || !rules::application(&kept, before.as_ref(), &after) {
            return ready(Err(WriteError::Conflict));
        }
        state.applications.insert(after.id, after);
        self.wrote_a_setting();
        ready(Ok(()))
    }

    fn delete_application(&self, account: &AccountId, id: ApplicationId) -> Later<'_, Result<bool, StoreError>> {
        let mut state = self.state.lock();
        let there = state.applications.get(&id).is_some_and(|kept| kept.account == *account);
        if there {
            state.applications.remove(&id);
            self.wrote_a_setting();
        }
        ready(Ok(there))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl ConnectionStore for MemoryStore {
    fn by_key(&self, name: &KeyName) -> Later<'_, Result<Option<Arc<Connection>>, StoreError>> {
        let state = self.state.lock();
        let found = state.connections.values().find(|kept| rules::names(kept).any(|kept| kept == name.as_str()));
        ready(Ok(found.cloned().map(Arc::new)))
    }

    fn connection(&self, id: ConnectionId) -> Later<'_, Result<Option<Connection>, StoreError>> {
        ready(Ok(self.state.lock().connections.get(&id).cloned()))
    }

    fn connections(&self) -> Later<'_, Result<Vec<Connection>, StoreError>> {
        let mut all: Vec<_> = self.state.lock().connections.values().cloned().collect();
        all.sort_by_key(|connection| (connection.created, connection.id));
        ready(Ok(all))
    }

    fn put_connection(&self, before: Option<Connection>, after: Connection) -> Later<'_, Result<(), WriteError>> {
        let mut state = self.state.lock();
        let others = state.connections.values().filter(|kept| kept.id != after.id);
        let taken = others.flat_map(rules::names).any(|name| rules::names(&after).any(|own| own == name));
        if taken || !rules::connection(state.connections.get(&after.id), before.as_ref(), &after) {
            return ready(Err(WriteError::Conflict));
        }
        state.connections.insert(after.id, after);
        self.wrote_a_setting();
        ready(Ok(()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
