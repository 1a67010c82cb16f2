//! The events that wait for their subscribers: when each is due, and which are on their way. What they say stays with the
//! store; here an event takes some hundred bytes.
//!
//! Claims go round the subscriptions, so that a busy one keeps nobody waiting. A subscriber that has not answered well
//! yet gets one event at a time: what hangs takes one place, not many. Of one line (an OTP, or a verification) one event is on its way at a time.
//! Must not know how events are kept; whoever commits one tells it here afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::{Clock, UnixMillis};
use crate::events::inside::INSIDE;
use crate::events::queue::{Address, EventId, Settled, Settlement};
use crate::events::store::QUEUED_PER_SUBSCRIPTION;
use crate::events::subscription::SubscriptionId;
use crate::otp::id::OtpId;

/// Events on their way at once to a subscriber that took the last one, and to one that did not.
pub(super) const PROVEN: usize = 4;
pub(super) const UNPROVEN: usize = 1;

/// An event as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) address: Address,
    pub(super) due: UnixMillis,
    /// Events of the same line are on their way to a subscriber one after the other.
    pub(super) line: OtpId,
}

#[derive(Debug)]
struct Entry {
    due: UnixMillis,
    line: OtpId,
    claimed: bool,
}

/// The events of one subscription.
#[derive(Debug, Default)]
struct Line {
    events: BTreeMap<EventId, Entry>,
    /// The unclaimed ones, earliest first, and among equals the oldest.
    free: BTreeSet<(UnixMillis, EventId)>,
    /// The lines of the claimed ones.
    busy: Vec<OtpId>,
    proven: bool,
}

impl Line {
    fn put(&mut self, waiting: Waiting, claimed: bool) {
        let Waiting { address, due, line } = waiting;
        self.remove(address.event);
        if claimed {
            self.busy.push(line);
        } else {
            self.free.insert((due, address.event));
        }
        self.events.insert(address.event, Entry { due, line, claimed });
    }

    fn remove(&mut self, event: EventId) -> Option<Entry> {
        let entry = self.events.remove(&event)?;
        if entry.claimed {
            self.busy.retain(|line| *line != entry.line);
        } else {
            self.free.remove(&(entry.due, event));
        }
        Some(entry)
    }

    /// The earliest event that could be claimed.
    fn next(&self) -> Option<(UnixMillis, EventId)> {
        let room = if self.proven { PROVEN } else { UNPROVEN };
        if self.busy.len() >= room {
            return None;
        }
        let idle = |event: &EventId| self.events.get(event).is_some_and(|entry| !self.busy.contains(&entry.line));
        self.free.iter().find(|(_, event)| idle(event)).copied()
    }

    fn claim(&mut self, now: UnixMillis) -> Option<EventId> {
        let (due, event) = self.next().filter(|(due, _)| *due <= now)?;
        self.free.remove(&(due, event));
        let entry = self.events.get_mut(&event)?;
        entry.claimed = true;
        self.busy.push(entry.line);
        Some(event)
    }
}

#[derive(Debug, Default)]
struct State {
    lines: BTreeMap<SubscriptionId, Line>,
    /// Whose turn was last.
    last: Option<SubscriptionId>,
}

/// The events that wait, in memory.
#[derive(Debug, Default)]
pub(super) struct Notices {
    state: Mutex<State>,
    moved: Notify,
}

impl Notices {
    /// These join, after the commit that wrote them.
    pub(super) fn joined(&self, waiting: impl IntoIterator<Item = Waiting>) {
        let mut state = self.state.lock();
        for one in waiting {
            state.lines.entry(one.address.subscription).or_default().put(one, false);
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Follows a commit that settled events.
    pub(super) fn settled(&self, settled: &[Settled]) {
        let mut state = self.state.lock();
        for Settled { address, settlement } in settled {
            let Some(line) = state.lines.get_mut(&address.subscription) else { continue };
            line.proven = matches!(settlement, Settlement::Told);
            let entry = line.remove(address.event);
            if let (Some(entry), Settlement::PutOff { due, .. }) = (entry, settlement) {
                line.put(Waiting { address: *address, due: *due, line: entry.line }, false);
            }
        }
        state.lines.retain(|_, line| !line.events.is_empty());
        drop(state);
        self.moved.notify_waiters();
    }

    /// These are not there any more.
    pub(super) fn vanished(&self, addresses: &[Address]) {
        let mut state = self.state.lock();
        for address in addresses {
            if let Some(line) = state.lines.get_mut(&address.subscription) {
                line.remove(address.event);
            }
        }
        state.lines.retain(|_, line| !line.events.is_empty());
        drop(state);
        self.moved.notify_waiters();
    }

    /// Gives claimed events back, unsettled.
    pub(super) fn released(&self, addresses: &[Address]) {
        let mut state = self.state.lock();
        for address in addresses {
            let Some(line) = state.lines.get_mut(&address.subscription) else { continue };
            if let Some(entry) = line.remove(address.event) {
                line.put(Waiting { address: *address, due: entry.due, line: entry.line }, false);
            }
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// A subscription is over.
    pub(super) fn ended(&self, subscription: SubscriptionId) {
        self.state.lock().lines.remove(&subscription);
        self.moved.notify_waiters();
    }

    /// Holds exactly these from now on. A claim survives on an event that is as it was.
    pub(super) fn replace(&self, waiting: Vec<Waiting>) {
        let mut state = self.state.lock();
        let before = std::mem::take(&mut state.lines);
        for one in waiting {
            let known = before.get(&one.address.subscription);
            let entry = known.and_then(|line| line.events.get(&one.address.event));
            let claimed = entry.is_some_and(|entry| entry.claimed && entry.due == one.due);
            let line = state.lines.entry(one.address.subscription).or_default();
            line.proven = known.is_some_and(|line| line.proven);
            line.put(one, claimed);
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Claims up to `limit` events that are due at `now`, one a turn.
    pub(super) fn claim(&self, now: UnixMillis, limit: usize) -> Vec<Address> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut claimed = Vec::new();
        let mut idle = 0;
        while claimed.len() < limit && idle <= state.lines.len() {
            let from = state.last.map_or(Bound::Unbounded, Bound::Excluded);
            let Some((subscription, line)) = state.lines.range_mut((from, Bound::Unbounded)).next() else {
                if state.last.take().is_none() {
                    break;
                }
                continue;
            };
            state.last = Some(*subscription);
            match line.claim(now) {
                Some(event) => {
                    claimed.push(Address { subscription: *subscription, event });
                    idle = 0;
                }
                None => idle += 1,
            }
        }
        claimed
    }

    /// Waits until something moves or the earliest event that could be claimed is due by `clock`.
    pub(super) async fn wait(&self, clock: &dyn Clock) {
        let moved = self.moved.notified();
        tokio::pin!(moved);
        // From here on nothing can move unnoticed; only then look.
        moved.as_mut().enable();
        let earliest = self.state.lock().lines.values().filter_map(Line::next).min();
        let Some((due, _)) = earliest else { return moved.await };
        let delay = due.since(clock.now());
        if delay.is_zero() {
            return;
        }
        tokio::select! {
            () = moved => {}
            () = tokio::time::sleep(delay) => {}
        }
    }

    /// Whether a subscriber's queue takes one more.
    pub(super) fn has_room(&self, subscription: SubscriptionId) -> bool {
        let state = self.state.lock();
        state.lines.get(&subscription).is_none_or(|line| line.events.len() < QUEUED_PER_SUBSCRIPTION)
    }

    /// Events that wait for subscribers, claimed ones too.
    pub(super) fn len(&self) -> usize {
        let state = self.state.lock();
        state.lines.iter().filter(|(id, _)| **id != INSIDE).map(|(_, line)| line.events.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(subscription: u8, event: u8, otp: u8, due: u64) -> Waiting {
        let address = Address {
            subscription: SubscriptionId::from_bytes([subscription; 8]),
            event: EventId::from_bytes([event; 16]),
        };
        Waiting { address, due: UnixMillis(due), line: OtpId::from_bytes([otp; 16]) }
    }

    fn claim(notices: &Notices, now: u64) -> Vec<(u8, u8)> {
        let claimed = notices.claim(UnixMillis(now), 100);
        claimed.iter().map(|address| (address.subscription.bytes()[0], address.event.bytes()[0])).collect()
    }

    fn settle(notices: &Notices, subscription: u8, event: u8, settlement: Settlement) {
        notices.settled(&[Settled { address: waiting(subscription, event, 0, 0).address, settlement }]);
    }

    #[test]
    fn turns_go_round_and_an_unproven_subscriber_gets_one_at_a_time() {
        let notices = Notices::default();
        notices.joined((1..=6).map(|event| waiting(1, event, event, 10)));
        notices.joined([waiting(2, 7, 7, 10), waiting(3, 8, 8, 50)]);
        assert_eq!(claim(&notices, 10), [(1, 1), (2, 7)]);
        assert_eq!(claim(&notices, 10), []);
        settle(&notices, 1, 1, Settlement::Told);
        assert_eq!(claim(&notices, 10), [(1, 2), (1, 3), (1, 4), (1, 5)], "it has taken one");
        settle(&notices, 1, 2, Settlement::PutOff { due: UnixMillis(99), answer: String::new() });
        assert_eq!(claim(&notices, 60), [(3, 8)], "it has refused one");
        assert_eq!(notices.len(), 7);
        notices.ended(waiting(1, 0, 0, 0).address.subscription);
        settle(&notices, 1, 3, Settlement::Told);
        assert_eq!((claim(&notices, 99), notices.len()), (vec![], 2));
    }

    #[test]
    fn the_events_of_one_otp_go_one_after_the_other() {
        let notices = Notices::default();
        notices.joined([waiting(1, 1, 1, 10), waiting(1, 2, 1, 10), waiting(1, 3, 2, 10)]);
        assert_eq!(claim(&notices, 10), [(1, 1)]);
        settle(&notices, 1, 1, Settlement::Told);
        notices.joined([waiting(1, 4, 1, 10)]);
        assert_eq!(claim(&notices, 10), [(1, 2), (1, 3)]);
        settle(&notices, 1, 2, Settlement::PutOff { due: UnixMillis(20), answer: String::new() });
        settle(&notices, 1, 3, Settlement::Told);
        assert_eq!(claim(&notices, 10), [(1, 4)], "one that was put off holds nobody up");
        notices.released(&[waiting(1, 4, 0, 0).address]);
        assert_eq!(claim(&notices, 20), [(1, 4)]);
        notices.vanished(&[waiting(1, 4, 0, 0).address]);
        assert_eq!(claim(&notices, 20), [(1, 2)]);
    }

    #[test]
    fn a_queue_is_bounded() {
        let notices = Notices::default();
        let subscription = waiting(1, 0, 0, 0).address.subscription;
        for number in 0..QUEUED_PER_SUBSCRIPTION {
            assert!(notices.has_room(subscription));
            let event = EventId::from_bytes((number as u128).to_be_bytes());
            notices.joined([Waiting { address: Address { subscription, event }, ..waiting(1, 0, 0, 0) }]);
        }
        assert!(!notices.has_room(subscription) && notices.has_room(waiting(2, 0, 0, 0).address.subscription));
    }

    #[test]
    fn a_reload_keeps_the_claims_of_what_did_not_change() {
        let notices = Notices::default();
        notices.joined([waiting(1, 1, 1, 10), waiting(2, 2, 2, 10)]);
        assert_eq!(claim(&notices, 10), [(1, 1), (2, 2)]);
        notices.replace(vec![waiting(1, 1, 1, 10), waiting(2, 2, 2, 11), waiting(3, 3, 3, 12)]);
        assert_eq!(claim(&notices, 20), [(2, 2), (3, 3)]);
    }

    #[tokio::test]
    async fn a_waiter_sleeps_while_nothing_can_be_claimed() {
        let notices = std::sync::Arc::new(Notices::default());
        let clock = crate::clock::ManualClock::at(UnixMillis(10));
        notices.joined([waiting(1, 1, 1, 10), waiting(1, 2, 2, 10)]);
        notices.wait(&clock).await;
        assert_eq!(claim(&notices, 10), [(1, 1)]);
        let waiter = Box::pin(notices.wait(&clock));
        let settled = async {
            tokio::task::yield_now().await;
            settle(&notices, 1, 1, Settlement::Told);
        };
        tokio::join!(waiter, settled);
        assert_eq!(claim(&notices, 10), [(1, 2)]);
    }
}
