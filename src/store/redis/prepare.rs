//! From what a change wants written to one commit, and what this process has to note once that is done. Knows what is checked,
//! not how often it is tried.

use crate::clock::UnixMillis;
use crate::events::queue::Address;
use crate::idempotency::ReplayKey;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::store::{Changes, OtpChange, OutboxChange, StoreError, Touch};
use crate::store::pending::Step;
use crate::store::redis::RedisStore;
use crate::store::redis::answers::{GRACE, Reservation};
use crate::store::redis::change::{Snapshot, is_reserved};
use crate::store::redis::commit::Commit;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::records;
use crate::store::redis::seen::{SeenNumber, SeenOtp};
use crate::store::redis::spend::Spend;

/// A commit, and what is to be noted here once it is done.
pub(super) struct Prepared {
    pub(super) commit: Commit,
    pub(super) after: After,
}

/// What this process remembers after a commit.
#[derive(Default)]
pub(super) struct After {
    pub(super) otps: Vec<(OtpId, SeenOtp)>,
    pub(super) number: Option<(NumberKey, SeenNumber)>,
    pub(super) wrote_number: Option<UnixMillis>,
    pub(super) steps: Vec<Step>,
    /// When OTPs, answers and messages have to be looked at.
    pub(super) dues: Vec<UnixMillis>,
    pub(super) answers: Vec<UnixMillis>,
    pub(super) frees: Vec<UnixMillis>,
    pub(super) events: Vec<(Address, Vec<u8>)>,
    /// A daily count that was written.
    pub(super) spent: Option<(Vec<u8>, u32)>,
    pub(super) answered: Option<(ReplayKey, UnixMillis)>,
    /// The key under which the commit expects nothing.
    pub(super) unanswered: Option<ReplayKey>,
    pub(super) spend_checked: bool,
}

impl RedisStore {
    /// The commit of `changes`; none where there is nothing to write.
    pub(super) async fn prepare(
        &self,
        touch: &Touch,
        place: Place,
        seen: &Snapshot,
        changes: Changes,
        reservations: &mut Vec<Reservation>,
        spend: Option<&mut Spend>,
    ) -> Result<Option<Prepared>, StoreError> {
        let (mut commit, mut after) = (Commit::new(place), After::default());
        if let Some(id) = seen.id {
            commit.check(Kind::Otp, &id.bytes(), seen.otp.mark.bytes());
        }
        if let Some(key) = seen.key {
            commit.check(Kind::Number, &key.bytes(), seen.number.mark.bytes());
        }
        if let (Some(spend), Some(_)) = (spend.as_deref(), changes.spent) {
            after.spend_checked = spend.check(&mut commit);
        }
        if let Some((id, message)) = &seen.message {
            commit.check_field(Kind::Messages, &id.otp.bytes(), &records::message_field(*id), message.mark.bytes());
        }
        if let Some(key) = touch.answer.filter(|key| !is_reserved(reservations, *key)) {
            commit.check_no_answer(key);
            after.unanswered = Some(key);
        }
        if let Some(answer) = changes.answer {
            let otp = if let OtpChange::Put(otp) = &changes.otp { Some(&**otp) } else { seen.otp.value.as_deref() };
            let due = answer.due(otp, self.retention);
            if after.unanswered == Some(answer.key) {
                commit.point_to(place, answer.key, due.since(self.clock.now()) + GRACE);
            } else if !is_reserved(reservations, answer.key) {
                reservations.push(Box::pin(self.reserve(answer.key, place)).await?);
            }
            if let Some(reservation) = reservations.iter_mut().find(|reservation| reservation.key == answer.key) {
                Box::pin(self.point(reservation, place)).await?;
                commit.before(reservation.deadline);
            }
            self.put_answer(&mut commit, &mut after, &answer, due)?;
            after.answered = Some((answer.key, due));
        }
        let before = |id: OtpId| seen.otp.value.as_deref().filter(|otp| otp.id == id);
        if let Some(otp) = changes.replaced {
            self.put_otp(&mut commit, &mut after, before(otp.id), &otp)?;
        }
        match changes.otp {
            OtpChange::Keep => {}
            OtpChange::Put(otp) => self.put_otp(&mut commit, &mut after, before(otp.id), &otp)?,
            OtpChange::Delete => {
                if let (Some(_), Some(otp)) = (touch.subject.otp(), &seen.otp.value) {
                    self.delete_otp(&mut commit, &mut after, otp)?;
                }
            }
        }
        if let (Some(key), Some(record)) = (seen.key, changes.number)
            && record != seen.number.value
        {
            self.put_number(&mut commit, &mut after, key, record)?;
        }
        if let (Some(spend), Some(count)) = (spend, changes.spent) {
            spend.write(&mut commit, &mut after, count);
        }
        match changes.outbox {
            OutboxChange::Keep => {}
            OutboxChange::Put(message) => self.put_message(&mut commit, &mut after, message)?,
            OutboxChange::Settle(id) => self.settle_message(&mut commit, &mut after, id),
            OutboxChange::Replace(id, message) => {
                self.settle_message(&mut commit, &mut after, id);
                self.put_message(&mut commit, &mut after, message)?;
            }
        }
        // A change that only spends beforehand what it then does not write has nothing to commit.
        Ok((!commit.is_empty()).then_some(Prepared { commit, after }))
    }
}
