//! The messages that are not settled yet, in the order in which they are due, with who has claimed which.
//!
//! One server holds a data directory, so a claim is a mark in memory: it costs no write, and it ends with the process. It
//! also ends after its lease, so that a claimant that died inside the process holds nothing for ever.
//! Must not know how messages are kept; whoever commits one tells it here afterwards.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::{Clock, UnixMillis};
use crate::otp::id::OtpId;
use crate::otp::outbox::{Message, MessageId};
use crate::otp::store::LEASE;

/// What a commit did to the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A message joined, or was put off: whoever had claimed it has let go.
    Put(Message),
    /// A message is settled.
    Settle(MessageId),
    /// An OTP went, with all its messages.
    Forget(OtpId),
}

#[derive(Debug)]
struct Entry {
    message: Message,
    /// From when on it may be claimed: when it is due, or when the claim of it ends.
    free: UnixMillis,
    claimed: bool,
}

#[derive(Debug, Default)]
struct State {
    messages: BTreeMap<MessageId, Entry>,
    /// From when on each may be claimed: earliest first, and among equals the oldest OTP.
    free: BTreeSet<(UnixMillis, MessageId)>,
}

/// The outbox in memory.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<State>,
    joined: Notify,
}

impl Pending {
    /// Follows a commit, in the order of its changes.
    pub(super) fn apply(&self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let mut joined = false;
        for step in steps {
            match step {
                Step::Put(message) => {
                    joined = true;
                    let due = message.due;
                    state.put(message, due, false);
                }
                Step::Settle(id) => state.remove(id),
                Step::Forget(otp) => {
                    for id in state.of(otp) {
                        state.remove(id);
                    }
                }
            }
        }
        drop(state);
        if joined {
            self.joined.notify_waiters();
        }
    }

    /// Holds exactly `messages` from now on. A claim survives on a message that is as it was.
    pub(super) fn replace(&self, messages: Vec<Message>) {
        let mut state = self.state.lock();
        let before = std::mem::take(&mut *state);
        for message in messages {
            let same = before.messages.get(&message.id).filter(|entry| entry.message == message);
            let (free, claimed) = same.map_or((message.due, false), |entry| (entry.free, entry.claimed));
            state.put(message, free, claimed);
        }
        drop(state);
        self.joined.notify_waiters();
    }

    /// Claims up to `limit` messages that are due at `now`, the earliest first.
    pub(super) fn claim(&self, now: UnixMillis, limit: usize) -> Vec<Message> {
        let mut state = self.state.lock();
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let Some(&(free, id)) = state.free.first() else { break };
            if free > now {
                break;
            }
            let Some(entry) = state.hold(id, now + LEASE, true) else { break };
            claimed.push(entry.message.clone());
        }
        claimed
    }

    /// Gives a claim back: the message may be claimed from `due` on.
    pub(super) fn put_back(&self, id: MessageId, due: UnixMillis) {
        let mut state = self.state.lock();
        if state.messages.get(&id).is_some_and(|entry| entry.claimed) {
            state.hold(id, due, false);
        }
        drop(state);
        self.joined.notify_waiters();
    }

    /// Waits until a message joins or the earliest unclaimed one is due by `clock`.
    pub(super) async fn wait(&self, clock: &dyn Clock) {
        let joined = self.joined.notified();
        tokio::pin!(joined);
        // From here on no message can join unnoticed; only then look.
        joined.as_mut().enable();
        let earliest = self.state.lock().free.first().map(|(free, _)| *free);
        let Some(due) = earliest else { return joined.await };
        let delay = due.since(clock.now());
        if delay.is_zero() {
            return;
        }
        tokio::select! {
            () = joined => {}
            () = tokio::time::sleep(delay) => {}
        }
    }

    /// The message as it is known here, claimed or not.
    pub(super) fn held(&self, id: MessageId) -> Option<Message> {
        self.state.lock().messages.get(&id).map(|entry| entry.message.clone())
    }

    /// Every message that is known here.
    pub(super) fn all(&self) -> Vec<MessageId> {
        self.state.lock().messages.keys().copied().collect()
    }

    /// Wakes whoever waits: there may be something to claim elsewhere.
    pub(super) fn wake(&self) {
        self.joined.notify_waiters();
    }

    /// Messages that are not settled, claimed ones too.
    pub(super) fn len(&self) -> usize {
        self.state.lock().messages.len()
    }
}

impl State {
    fn put(&mut self, message: Message, free: UnixMillis, claimed: bool) {
        self.remove(message.id);
        self.free.insert((free, message.id));
        self.messages.insert(message.id, Entry { message, free, claimed });
    }

    fn hold(&mut self, id: MessageId, until: UnixMillis, claimed: bool) -> Option<&Entry> {
        let entry = self.messages.get_mut(&id)?;
        self.free.remove(&(entry.free, id));
        self.free.insert((until, id));
        (entry.free, entry.claimed) = (until, claimed);
        Some(entry)
    }

    fn remove(&mut self, id: MessageId) {
        if let Some(entry) = self.messages.remove(&id) {
            self.free.remove(&(entry.free, id));
        }
    }

    fn of(&self, otp: OtpId) -> Vec<MessageId> {
        let all = MessageId { otp, number: 0 }..=MessageId { otp, number: u32::MAX };
        self.messages.range(all).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::channel::Channel;
    use crate::otp::outbox::MessageBody;

    fn message(otp: u8, due: u64) -> Message {
        let id = MessageId { otp: OtpId::from_bytes([otp; 16]), number: 1 };
        Message { id, due: UnixMillis(due), body: MessageBody::new(Channel::Sms, None, None) }
    }

    fn claimed(pending: &Pending, now: u64) -> Vec<u64> {
        pending.claim(UnixMillis(now), 10).into_iter().map(|message| message.due.0).collect()
    }

    #[test]
    fn each_message_has_one_claimant_until_it_is_put_off() {
        let pending = Pending::default();
        pending.apply(vec![Step::Put(message(2, 20)), Step::Put(message(1, 10)), Step::Put(message(3, 30))]);
        assert_eq!(claimed(&pending, 20), [10, 20]);
        assert!(claimed(&pending, 20).is_empty());
        pending.apply(vec![Step::Settle(message(1, 0).id), Step::Put(message(2, 25))]);
        assert_eq!((claimed(&pending, 29), pending.len()), (vec![25], 2));
        pending.apply(vec![Step::Forget(message(3, 0).id.otp)]);
        assert_eq!((claimed(&pending, 99), pending.len()), (vec![], 1));
    }

    #[test]
    fn a_claim_ends_when_it_is_given_back_or_its_lease_is_over() {
        let pending = Pending::default();
        pending.apply(vec![Step::Put(message(1, 10)), Step::Put(message(2, 20))]);
        assert_eq!(claimed(&pending, 20), [10, 20]);
        pending.put_back(message(1, 0).id, UnixMillis(30));
        assert!(claimed(&pending, 29).is_empty());
        assert_eq!(claimed(&pending, 30), [10]);
        let over = 20 + u64::try_from(LEASE.as_millis()).unwrap();
        assert!(claimed(&pending, over - 1).is_empty());
        assert_eq!(claimed(&pending, over), [20]);
        pending.apply(vec![Step::Settle(message(1, 0).id)]);
        pending.put_back(message(1, 0).id, UnixMillis(0));
        assert_eq!((claimed(&pending, over), pending.len()), (vec![], 1));
    }

    #[test]
    fn a_reload_keeps_the_claims_of_what_did_not_change() {
        let pending = Pending::default();
        pending.apply(vec![Step::Put(message(1, 10)), Step::Put(message(2, 20))]);
        assert_eq!(claimed(&pending, 99), [10, 20]);
        pending.replace(vec![message(1, 10), message(2, 21), message(3, 30)]);
        assert_eq!(claimed(&pending, 99), [21, 30]);
        assert_eq!(pending.len(), 3);
    }
}
