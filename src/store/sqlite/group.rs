//! The changes of one group commit: each transition sees what those before it wrote, each record is written once.
//!
//! Nothing here is visible to anybody until the group is committed: [`Group::write`] runs inside the transaction,
//! [`Group::publish`] after the commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use crate::abuse::{NumberRecord, SpendKey};
use crate::access::nonce::{NonceKey, Spent};
use crate::clock::UnixMillis;
use crate::idempotency::ReplayKey;
use crate::otp::answer::{Kept, KeptAnswer};
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::record::Otp;
use crate::otp::store::{Changes, OtpChange, OutboxChange, Records, Subject, Touch, Transition};
use crate::store::pending::{Pending, Step};
use crate::store::sqlite::events::News;
use crate::store::sqlite::shared::Shared;
use crate::store::sqlite::writer::Work;
use crate::store::sqlite::{answers, nonces, records};

/// A record as this group sees it, and whether the group changed it.
struct Seen<T> {
    value: T,
    changed: bool,
}

impl<T> Seen<T> {
    const fn read(value: T) -> Self {
        Self { value, changed: false }
    }

    const fn written(value: T) -> Self {
        Self { value, changed: true }
    }
}

/// The changes so far. The maps are ordered where rows are written in their order: neighbours share a page.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    otps: BTreeMap<OtpId, Seen<Option<Arc<Otp>>>>,
    numbers: BTreeMap<NumberKey, Seen<NumberRecord>>,
    spent: HashMap<SpendKey, Seen<u32>>,
    /// Answers of this group, and when each is to be dropped.
    answers: BTreeMap<ReplayKey, (Arc<KeptAnswer>, UnixMillis)>,
    nonces: BTreeMap<NonceKey, UnixMillis>,
    forgotten: Vec<OtpId>,
    messages: BTreeMap<MessageId, Option<Message>>,
    steps: Vec<Step>,
    news: News<'a>,
}

impl<'a> Group<'a> {
    /// An empty group in the open transaction of `connection`. What the caches hold must be what is committed.
    pub(super) fn new(connection: &'a Connection, shared: &'a Shared) -> Self {
        Self {
            connection,
            shared,
            otps: BTreeMap::new(),
            numbers: BTreeMap::new(),
            spent: HashMap::new(),
            answers: BTreeMap::new(),
            nonces: BTreeMap::new(),
            forgotten: Vec::new(),
            messages: BTreeMap::new(),
            steps: Vec::new(),
            news: News::new(&shared.events, shared.clock.now()),
        }
    }

    /// Does one piece of work.
    ///
    /// # Errors
    /// Those of reading; the group is as before then.
    pub(super) fn run(&mut self, work: &mut Work) -> rusqlite::Result<()> {
        match work {
            Work::Change { touch, transition } => self.change(touch, transition),
            Work::Nonce { key, until, found } => {
                if let Some(spent) = self.spend(*key, *until)? {
                    let _first = found.set(spent);
                }
                Ok(())
            }
        }
    }

    /// None when there is no room for it.
    fn spend(&mut self, key: NonceKey, until: UnixMillis) -> rusqlite::Result<Option<Spent>> {
        if self.nonces.contains_key(&key) || nonces::is_spent(self.connection, key)? {
            return Ok(Some(Spent::Seen));
        }
        if !self.shared.nonces.has_room(self.connection, self.nonces.len())? {
            return Ok(None);
        }
        self.nonces.insert(key, until);
        Ok(Some(Spent::Fresh))
    }

    fn change(&mut self, touch: &Touch, transition: &mut Transition) -> rusqlite::Result<()> {
        let (otp, key) = match &touch.subject {
            Subject::Number(key) => (None, Some(*key)),
            Subject::Purpose(key, purpose) => {
                let holding = self.number(*key)?.holding(purpose.as_str());
                let otp = holding.map(|id| self.otp(OtpId::from_bytes(id))).transpose()?.flatten();
                (otp, Some(*key))
            }
            Subject::Otp(id) => {
                let otp = self.otp(*id)?;
                let key = otp.as_ref().map(|otp| otp.number_key);
                (otp, key)
            }
            Subject::OtpAlone(id) => (self.otp(*id)?, None),
            Subject::Message(message) => (self.otp(message.id.otp)?, None),
            Subject::Nobody => (None, None),
        };
        let number = key.map(|key| self.number(key)).transpose()?.unwrap_or_default();
        let spent = touch.spend.as_ref().map(|key| self.spent(key)).transpose()?.unwrap_or_default();
        let kept = touch.answer.map(|key| self.kept(key)).transpose()?.flatten();
        let message = if let Subject::Message(message) = &touch.subject { self.message(message.id)? } else { None };
        let records = Records { otp, message, number, spent, kept };
        let mut changes = transition(&records);
        if let Some(answer) = changes.answer.take() {
            self.keep(*answer, &changes.otp, records.otp.as_deref());
        }
        self.take(touch, key, changes);
        Ok(())
    }

    fn otp(&mut self, id: OtpId) -> rusqlite::Result<Option<Arc<Otp>>> {
        if let Some(seen) = self.otps.get(&id) {
            return Ok(seen.value.clone());
        }
        let otp = match self.shared.cache.recall(id) {
            Some(otp) => Some(otp),
            None => records::otp(self.connection, id)?.map(Arc::new),
        };
        self.otps.insert(id, Seen::read(otp.clone()));
        Ok(otp)
    }

    fn message(&self, id: MessageId) -> rusqlite::Result<Option<Message>> {
        match self.messages.get(&id) {
            Some(message) => Ok(message.clone()),
            None if self.forgotten.contains(&id.otp) => Ok(None),
            None => records::message(self.connection, id),
        }
    }

    fn number(&mut self, key: NumberKey) -> rusqlite::Result<NumberRecord> {
        if let Some(seen) = self.numbers.get(&key) {
            return Ok(seen.value.clone());
        }
        let record = records::number(self.connection, key)?;
        self.numbers.insert(key, Seen::read(record.clone()));
        Ok(record)
    }

    fn spent(&mut self, key: &SpendKey) -> rusqlite::Result<u32> {
        if let Some(seen) = self.spent.get(key) {
            return Ok(seen.value);
        }
        let count = records::spent(self.connection, key)?;
        self.spent.insert(key.clone(), Seen::read(count));
        Ok(count)
    }

    fn kept(&mut self, key: ReplayKey) -> rusqlite::Result<Option<Kept>> {
        let seen = self.answers.get(&key).map(|(answer, _)| Arc::clone(answer));
        let answer = match seen.or_else(|| self.shared.answers.recall(key)) {
            Some(answer) => answer,
            None => match answers::answer(self.connection, key)? {
                Some(answer) => Arc::new(answer),
                None => return Ok(None),
            },
        };
        let otp = answer.otp.map(|id| self.otp(id)).transpose()?.flatten();
        Ok(Some(Kept { answer, otp }))
    }

    fn keep(&mut self, answer: KeptAnswer, change: &OtpChange, before: Option<&Otp>) {
        let after = if let OtpChange::Put(otp) = change { Some(&**otp) } else { before };
        let due = answer.due(after, self.shared.retention);
        self.answers.insert(answer.key, (Arc::new(answer), due));
    }

    fn put(&mut self, otp: Arc<Otp>) {
        let before = self.otps.get(&otp.id).and_then(|seen| seen.value.as_deref());
        self.news.changed(before, &otp);
        self.otps.insert(otp.id, Seen::written(Some(otp)));
    }

    fn take(&mut self, touch: &Touch, key: Option<NumberKey>, changes: Changes) {
        if let Some(otp) = changes.replaced {
            self.put(otp);
        }
        match changes.otp {
            OtpChange::Keep => {}
            OtpChange::Put(otp) => self.put(otp),
            OtpChange::Delete => {
                if let Some(id) = touch.subject.otp() {
                    if let Some(otp) = self.otps.get(&id).and_then(|seen| seen.value.as_deref()) {
                        self.news.deleted(otp);
                    }
                    self.otps.insert(id, Seen::written(None));
                    self.messages.retain(|message, _| message.otp != id);
                    self.forgotten.push(id);
                    self.steps.push(Step::Forget(id));
                }
            }
        }
        if let (Some(key), Some(record)) = (key, changes.number) {
            // An empty record where there was none stays no row and no write.
            let same = self.numbers.get(&key).is_some_and(|seen| !seen.changed && seen.value == record);
            if !same {
                self.numbers.insert(key, Seen::written(record));
            }
        }
        if let (Some(key), Some(count)) = (&touch.spend, changes.spent) {
            self.spent.insert(key.clone(), Seen::written(count));
        }
        match changes.outbox {
            OutboxChange::Keep => {}
            OutboxChange::Put(message) => self.put_message(message),
            OutboxChange::Settle(id) => self.settle_message(id),
            OutboxChange::Replace(id, message) => {
                self.settle_message(id);
                self.put_message(message);
            }
        }
    }

    fn put_message(&mut self, message: Message) {
        self.messages.insert(message.id, Some(message.clone()));
        self.steps.push(Step::Put(message));
    }

    fn settle_message(&mut self, id: MessageId) {
        self.messages.insert(id, None);
        self.steps.push(Step::Settle(id));
    }

    /// Writes what changed, into the open transaction.
    ///
    /// # Errors
    /// Those of writing: the transaction is to be rolled back.
    pub(super) fn write(&self) -> rusqlite::Result<()> {
        let connection = self.connection;
        for (id, seen) in self.otps.iter().filter(|(_, seen)| seen.changed) {
            match &seen.value {
                Some(otp) => records::put_otp(connection, otp, otp.due(self.shared.retention))?,
                None => records::delete_otp(connection, *id)?,
            }
        }
        for (key, seen) in self.numbers.iter().filter(|(_, seen)| seen.changed) {
            records::put_number(connection, *key, &seen.value)?;
        }
        for (key, seen) in self.spent.iter().filter(|(_, seen)| seen.changed) {
            records::put_spent(connection, key, seen.value)?;
        }
        for (answer, due) in self.answers.values() {
            answers::put_answer(connection, answer, *due)?;
        }
        for (key, until) in &self.nonces {
            nonces::put_nonce(connection, *key, *until)?;
        }
        for otp in &self.forgotten {
            records::forget_messages(connection, *otp)?;
        }
        for (id, message) in &self.messages {
            match message {
                Some(message) => records::put_message(connection, message)?,
                None => records::settle_message(connection, *id)?,
            }
        }
        self.news.write(connection)
    }

    /// Lets everybody see it; `pending` where this process hands out messages. To be called after the commit, and before
    /// anybody is answered.
    pub(super) fn publish(self, pending: Option<&Pending>) {
        for (id, seen) in self.otps {
            if seen.changed {
                self.shared.cache.committed(id, seen.value);
            }
        }
        self.shared.nonces.grew(self.nonces.len());
        for (answer, _) in self.answers.into_values() {
            self.shared.answers.committed(answer);
        }
        if let Some(pending) = pending {
            pending.apply(self.steps);
            self.news.publish();
        }
    }
}
