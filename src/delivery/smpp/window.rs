//! The window of one session: which submits are open, under which numbers, since when. Knows no socket.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::delivery::receipt::{CarrierId, Ticket};

/// The last sequence number; then 1 again (SMPP 3.4, section 3.2).
const LAST_SEQUENCE: u32 = 0x7FFF_FFFF;

/// What became of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The centre answered: this status, and what it calls the message.
    Given(u32, Option<CarrierId>),
    /// Not a byte of it left.
    NotSent,
    /// The link ended before the answer.
    Lost,
}

/// Who decides about a submit that has not left: the session, which writes it, or whoever loses patience, who takes it
/// back. The first to claim it does.
#[derive(Default)]
pub(super) struct Claim(AtomicBool);

impl Claim {
    /// Whether it is the first claim.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// A submit that waits for its answer. Its place in the window is free when this is dropped.
pub(super) struct Open {
    /// Where its PDU begins in what the session writes.
    pub(super) begins: u64,
    /// When it was handed to the session.
    pub(super) since: Instant,
    /// The message's name, where receipts were asked for.
    pub(super) ticket: Option<Ticket>,
    /// Who waits for the answer; nobody, once they lost patience.
    pub(super) reply: oneshot::Sender<Answer>,
    /// Its place in the window.
    pub(super) _place: OwnedSemaphorePermit,
}

/// The open submits of a session.
pub(super) struct Window {
    open: HashMap<u32, Open>,
    /// In the order in which they were opened; what was answered is still in here until it comes to the front.
    order: VecDeque<(u32, Instant)>,
    last: u32,
}

impl Window {
    /// An empty one, whose numbers go on after `last`.
    pub(super) fn after(last: u32) -> Self {
        Self { open: HashMap::new(), order: VecDeque::new(), last }
    }

    /// A number that nothing open has.
    pub(super) fn number(&mut self) -> u32 {
        loop {
            self.last = if self.last >= LAST_SEQUENCE { 1 } else { self.last + 1 };
            if !self.open.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Opens a submit under a number from [`Window::number`].
    pub(super) fn open(&mut self, number: u32, submit: Open) {
        self.order.push_back((number, submit.since));
        self.open.insert(number, submit);
    }

    /// Closes the submit of this number; none where there is none: an answer that came twice, or to nothing.
    pub(super) fn close(&mut self, number: u32) -> Option<Open> {
        self.open.remove(&number)
    }

    /// Since when the oldest open submit waits.
    pub(super) fn oldest(&mut self) -> Option<Instant> {
        while let Some((number, since)) = self.order.front() {
            if self.open.get(number).is_some_and(|submit| submit.since == *since) {
                return Some(*since);
            }
            self.order.pop_front();
        }
        None
    }

    /// Whether nothing is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Ends everything: what begins at or behind `written` has not left, and must not from now on. Where the first of it
    /// begins; none where there is nothing of the kind.
    pub(super) fn end(&mut self, written: u64) -> Option<u64> {
        let unsent = self.open.values().map(|submit| submit.begins).filter(|begins| *begins >= written).min();
        for (_, submit) in self.open.drain() {
            let answer = if submit.begins >= written { Answer::NotSent } else { Answer::Lost };
            // Whoever lost patience has taken it for lost already.
            let _ = submit.reply.send(answer);
        }
        self.order.clear();
        unsent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn submit(places: &Arc<Semaphore>, begins: u64) -> (Open, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let place = Arc::clone(places).try_acquire_owned().unwrap();
        (Open { begins, since: Instant::now(), ticket: None, reply, _place: place }, answer)
    }

    #[test]
    fn numbers_wrap_and_spare_what_is_open() {
        let places = Arc::new(Semaphore::new(2));
        let mut window = Window::after(LAST_SEQUENCE - 2);
        let (open, _answer) = submit(&places, 0);
        assert_eq!(window.number(), LAST_SEQUENCE - 1);
        assert_eq!(window.number(), LAST_SEQUENCE);
        let one = window.number();
        window.open(one, open);
        assert_eq!((one, window.number()), (1, 2));
        window.last = LAST_SEQUENCE;
        assert_eq!(window.number(), 2);
        assert!(window.close(1).is_some() && window.close(1).is_none() && window.close(9).is_none());
        assert!(window.is_empty() && window.oldest().is_none());
        assert_eq!(places.available_permits(), 2);
    }

    #[test]
    fn what_has_not_left_is_told_apart_from_what_is_lost() {
        let places = Arc::new(Semaphore::new(2));
        let mut window = Window::after(0);
        let (first, mut first_answer) = submit(&places, 99);
        let (second, mut second_answer) = submit(&places, 100);
        for open in [first, second] {
            let number = window.number();
            window.open(number, open);
        }
        assert_eq!(places.available_permits(), 0);
        assert_eq!(window.end(100), Some(100));
        assert_eq!(window.end(100), None);
        assert_eq!(first_answer.try_recv(), Ok(Answer::Lost));
        assert_eq!(second_answer.try_recv(), Ok(Answer::NotSent));
        assert_eq!(places.available_permits(), 2);
    }
}
