//! How many events wait for each subscription, as far as this process knows: what its own calls were answered, corrected by
//! what it asks for once a second. A metric, and whether a change makes a row at all; the bound itself is the queue's.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::events::inside::INSIDE;
use crate::events::store::QUEUED_PER_SUBSCRIPTION;
use crate::events::subscription::SubscriptionId;

/// Events that may wait for a subscription. What the gateway tells itself is bounded by what there is to tell of.
pub(super) fn bound(subscription: SubscriptionId) -> usize {
    if subscription == INSIDE { usize::MAX >> 12 } else { QUEUED_PER_SUBSCRIPTION }
}

#[derive(Debug, Default)]
struct Line {
    /// Events in its queue.
    waiting: usize,
    /// Events on their way into it.
    joining: usize,
    /// Calls that are about to change it.
    calls: usize,
    /// Counts such calls, when they begin and when they end.
    moves: u64,
}

/// What is known of the queues.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<SubscriptionId, Line>>);

/// A call that changes a queue.
pub(super) struct Turn {
    lines: Arc<Lines>,
    subscription: SubscriptionId,
    joining: usize,
    waits: Option<usize>,
}

impl Turn {
    /// So many wait after it.
    pub(super) const fn waits(&mut self, waiting: usize) {
        self.waits = Some(waiting);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock();
        let line = lines.entry(self.subscription).or_default();
        line.joining = line.joining.saturating_sub(self.joining);
        line.calls = line.calls.saturating_sub(1);
        line.moves += 1;
        line.waiting = self.waits.unwrap_or(line.waiting);
    }
}

/// How the lines stood before the queues were asked: which of them nobody was about to change.
pub(super) struct Before(HashMap<SubscriptionId, u64>);

impl Lines {
    /// A call begins that changes a queue, and brings it so many more.
    pub(super) fn begin(self: &Arc<Self>, subscription: SubscriptionId, joining: usize) -> Turn {
        let mut state = self.0.lock();
        let line = state.entry(subscription).or_default();
        line.joining += joining;
        line.calls += 1;
        line.moves += 1;
        drop(state);
        let lines = Arc::clone(self);
        Turn { lines, subscription, joining, waits: None }
    }

    /// Whether the queue takes one more.
    pub(super) fn has_room(&self, subscription: SubscriptionId) -> bool {
        let lines = self.0.lock();
        lines.get(&subscription).is_none_or(|line| line.waiting + line.joining < bound(subscription))
    }

    /// Events that wait, for anybody.
    pub(super) fn len(&self) -> usize {
        self.0.lock().values().map(|line| line.waiting + line.joining).sum()
    }

    /// How they stand, before the queues are asked.
    pub(super) fn before(&self) -> Before {
        Before(self.0.lock().iter().filter(|(_, line)| line.calls == 0).map(|(id, line)| (*id, line.moves)).collect())
    }

    /// What the queues said; those that are not named are empty. Where a call has changed one meanwhile, its own answer holds.
    pub(super) fn correct(&self, before: &Before, found: &HashMap<SubscriptionId, usize>) {
        let mut lines = self.0.lock();
        for (id, waiting) in found {
            lines.entry(*id).or_insert_with(|| Line { waiting: *waiting, ..Line::default() });
        }
        lines.retain(|id, line| {
            if before.0.get(id) == Some(&line.moves) {
                line.waiting = found.get(id).copied().unwrap_or_default();
            }
            line.waiting > 0 || line.calls > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_beside_a_call_does_not_take_the_place_of_its_answer() {
        let lines = Arc::new(Lines::default());
        let (one, two) = (SubscriptionId::from_bytes([1; 8]), SubscriptionId::from_bytes([2; 8]));
        let mut turn = lines.begin(one, 3);
        assert_eq!(lines.len(), 3, "on their way");
        let before = lines.before();
        turn.waits(5);
        drop(turn);
        lines.correct(&before, &HashMap::from([(one, 2), (two, 7)]));
        assert_eq!(lines.len(), 12);
        let before = lines.before();
        lines.correct(&before, &HashMap::from([(one, 4)]));
        assert_eq!(lines.len(), 4, "who is not named has none");
        drop(lines.begin(one, 1));
        assert_eq!(lines.len(), 4, "a call that failed brings nothing");
    }

    #[test]
    fn a_queue_is_bounded() {
        let (lines, id) = (Arc::new(Lines::default()), SubscriptionId::from_bytes([1; 8]));
        assert!(lines.has_room(id));
        let turn = lines.begin(id, QUEUED_PER_SUBSCRIPTION);
        assert!(!lines.has_room(id) && lines.has_room(SubscriptionId::from_bytes([2; 8])));
        drop(turn);
        assert!(lines.has_room(id));
    }
}
