//! What a change writes, kind by kind, into a commit; and what this process remembers once it is done.

use std::sync::Arc;
use std::time::Duration;

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;
use crate::events::queue::{Address, Queued};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::store::pending::Step;
use crate::store::redis::RedisStore;
use crate::store::redis::commit::Commit;
use crate::store::redis::outbox::{CLAIM, SOON};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::prepare::After;
use crate::store::redis::seen::{Mark, Seen, SeenNumber};
use crate::store::redis::{events, records};

/// A kept answer goes by itself so long after a sweep should have dropped it.
pub(super) const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RedisStore {
    pub(super) fn put_otp(
        &self,
        commit: &mut Commit,
        after: &mut After,
        before: Option<&Otp>,
        otp: &Arc<Otp>,
    ) -> Result<(), StoreError> {
        let rows = self.view.fanout.changed(before, otp, self.clock.now(), |subscription| self.has_room(subscription));
        self.add_events(commit, after, rows)?;
        self.write_otp(commit, after, before, otp)
    }

    /// Writes an OTP, and tells nobody.
    pub(super) fn write_otp(
        &self,
        commit: &mut Commit,
        after: &mut After,
        before: Option<&Otp>,
        otp: &Arc<Otp>,
    ) -> Result<(), StoreError> {
        let (id, bytes) = (otp.id, records::otp_bytes(otp)?);
        let seen = Seen { value: Some(Arc::clone(otp)), mark: Mark::of(&bytes) };
        commit.set(Kind::Otp, &id.bytes(), &bytes, 0);
        if before.is_none() {
            commit.rank(Kind::OtpsOfNumber, &otp.number_key.bytes(), 0, &id.bytes());
        }
        let due = otp.due(self.retention);
        if before.is_none_or(|before| before.due(self.retention) != due) {
            match due {
                Some(due) => {
                    commit.rank(Kind::Due, b"", due.0, &id.bytes());
                    after.dues.push(due);
                }
                None => commit.unrank(Kind::Due, b"", &id.bytes()),
            }
        }
        after.otps.push((id, seen));
        Ok(())
    }

    pub(super) fn delete_otp(&self, commit: &mut Commit, after: &mut After, otp: &Otp) -> Result<(), StoreError> {
        let rows = self.view.fanout.deleted(otp, self.clock.now(), |subscription| self.has_room(subscription));
        self.add_events(commit, after, rows)?;
        self.remove_otp(commit, after, otp);
        Ok(())
    }

    /// Deletes an OTP, and tells nobody.
    pub(super) fn remove_otp(&self, commit: &mut Commit, after: &mut After, otp: &Otp) {
        let id = otp.id;
        commit.delete(Kind::Otp, &id.bytes());
        commit.unrank(Kind::OtpsOfNumber, &otp.number_key.bytes(), &id.bytes());
        commit.unrank(Kind::Due, b"", &id.bytes());
        self.forget_messages(commit, after, id);
        after.otps.push((id, Seen::default()));
    }

    pub(super) fn forget_messages(&self, commit: &mut Commit, after: &mut After, id: OtpId) {
        commit.forget((Kind::Messages, &id.bytes()), Kind::Outbox, &id.bytes());
        after.steps.push(Step::Forget(id));
    }

    fn add_events(&self, commit: &mut Commit, after: &mut After, rows: Vec<Queued>) -> Result<(), StoreError> {
        after.events.extend(self.add_rows(commit, rows)?);
        Ok(())
    }

    /// Writes events into a commit; they are relayed once it is done.
    pub(super) fn add_rows(
        &self,
        commit: &mut Commit,
        rows: Vec<Queued>,
    ) -> Result<Vec<(Address, Vec<u8>)>, StoreError> {
        let mut written = Vec::with_capacity(rows.len());
        for row in rows {
            let (address, bytes) = (row.address, events::row_bytes(&self.keyring, &row)?);
            commit.put_field(Kind::Events, b"", &events::address_bytes(address), &bytes);
            written.push((address, bytes));
        }
        Ok(written)
    }

    pub(super) fn put_number(
        &self,
        commit: &mut Commit,
        after: &mut After,
        key: NumberKey,
        record: NumberRecord,
    ) -> Result<(), StoreError> {
        let mut seen = SeenNumber::default();
        if record.is_empty() {
            commit.delete(Kind::Number, &key.bytes());
            commit.unrank(Kind::Written, b"", &key.bytes());
        } else {
            let bytes = records::number_bytes(&record)?;
            seen = Seen { value: record, mark: Mark::of(&bytes) };
            commit.set(Kind::Number, &key.bytes(), &bytes, 0);
            // The next pruning looks at it once, and then from time to time.
            commit.rank(Kind::Written, b"", self.clock.now().0, &key.bytes());
        }
        after.wrote_number = Some(self.clock.now());
        after.number = Some((key, seen));
        Ok(())
    }

    /// A message that is due at once is claimed by the commit that writes it: this process will deliver it.
    pub(super) fn put_message(
        &self,
        commit: &mut Commit,
        after: &mut After,
        message: Message,
    ) -> Result<(), StoreError> {
        let (now, id) = (self.clock.now(), message.id);
        let own = self.server && message.due <= now + SOON;
        let free = if own { now + CLAIM } else { message.due };
        commit.put_field(
            Kind::Messages,
            &id.otp.bytes(),
            &records::message_field(id),
            &records::message_bytes(&message)?,
        );
        commit.join(Kind::Outbox, free.0, &records::message_member(id));
        after.frees.push(free);
        after.steps.push(if own { Step::Put(message) } else { Step::Settle(id) });
        Ok(())
    }

    pub(super) fn settle_message(&self, commit: &mut Commit, after: &mut After, id: MessageId) {
        commit.delete_field(Kind::Messages, &id.otp.bytes(), &records::message_field(id));
        commit.leave(Kind::Outbox, &records::message_member(id));
        after.steps.push(Step::Settle(id));
    }

    pub(super) fn put_answer(
        &self,
        commit: &mut Commit,
        after: &mut After,
        answer: &KeptAnswer,
        due: UnixMillis,
    ) -> Result<(), StoreError> {
        let key = answer.key.bytes();
        let life = due.since(self.clock.now()) + GRACE;
        commit.set(Kind::Answer, &key, &records::answer_bytes(answer)?, millis(life));
        commit.rank(Kind::AnswerDue, b"", due.0, &key);
        after.answers.push(due);
        Ok(())
    }

    /// Notes what was committed in `place`.
    /// `grown`: by how many messages the outbox grew. `numberless`: whether the number that was checked with it had no record; none where that was not looked at.
    pub(super) fn follow(&self, place: Place, after: After, grown: i64, numberless: Option<bool>) {
        let numberless = after.number.as_ref().map_or(numberless, |(_, seen)| Some(seen.mark == Mark::default()));
        for (id, seen) in after.otps {
            self.memory.keep_otp(id, seen, numberless);
        }
        if let Some((key, seen)) = after.number {
            self.memory.keep_number(key, seen);
        }
        self.outbox.grew(place, grown);
        if let Some((id, count)) = after.spent {
            self.spent.insert(id, count);
        }
        if let Some(now) = after.wrote_number {
            self.written.joins(place, now);
        }
        for due in after.dues {
            self.dues.joins(place, due);
        }
        for due in after.answers {
            self.answer_dues.joins(place, due);
        }
        for free in after.frees {
            self.outbox.horizon.joins(place, free);
        }
        self.pending.apply(after.steps);
        if !after.events.is_empty() {
            self.relay_soon(place, after.events);
        }
    }
}
