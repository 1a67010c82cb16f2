//! What the links of one provider share: its settings, where receipts go, who counts, and the names of messages whose
//! answer came late. Knows no connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::delivery::receipt::{CarrierId, Receipts, Report, Ticket};
use crate::delivery::smpp::answer::Submitted;
use crate::delivery::smpp::settings::Settings;
use crate::secret::Entropy;

/// Late answers that are remembered: as many messages as can be unknown at once, and then some.
const LATE_ANSWERS: usize = 4_096;

/// What a centre sent, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A receipt: the phone has it.
    Delivered,
    /// A receipt: it will not arrive.
    Failed,
    /// A receipt: it is on its way.
    OnItsWay,
    /// A message that a phone sent: acknowledged and dropped.
    Message,
    /// Neither.
    Unreadable,
    /// A receipt that was not kept; the centre was asked to send it again.
    NotKept,
}

/// Is told what happens on the links.
pub trait SmppObserver: Send + Sync + 'static {
    /// A submit ended.
    fn submitted(&self, outcome: Submitted);
    /// Something came in.
    fn received(&self, what: Received);
    /// A link that had been bound is bound again.
    fn rebound(&self);
}

/// What the links of a provider share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) receipts: Arc<dyn Receipts>,
    pub(super) observer: Arc<dyn SmppObserver>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Sessions that are bound.
    pub(super) bound: AtomicU64,
    pub(super) late: Mutex<Late>,
}

impl Shared {
    /// Has a report kept; whether it was.
    pub(super) fn keep(&self, report: Report) -> impl Future<Output = bool> + Send + use<> {
        let receipts = Arc::clone(&self.receipts);
        let provider = self.settings.name.clone();
        async move { receipts.report(&provider, report).await.is_ok() }
    }
}

/// The messages whose answers came when nobody waited any more, by what the centre calls them: their receipts name
/// nothing else, and nobody else was told. A restart forgets them; what it forgets stays unknown.
#[derive(Default)]
pub(super) struct Late {
    tickets: HashMap<CarrierId, Ticket>,
    order: VecDeque<CarrierId>,
}

impl Late {
    /// Remembers one, in the place of the oldest where there are too many.
    pub(super) fn remember(&mut self, id: CarrierId, ticket: Ticket) {
        if self.tickets.insert(id.clone(), ticket).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > LATE_ANSWERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.tickets.remove(&oldest);
        }
    }

    /// The message that the centre calls this.
    pub(super) fn ticket(&self, id: &CarrierId) -> Option<Ticket> {
        self.tickets.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::id::OtpId;
    use crate::otp::outbox::MessageId;
    use crate::secret::{Keyring, SystemEntropy};

    #[test]
    fn late_answers_are_remembered_up_to_a_bound() {
        let keyring = Keyring::generate(&SystemEntropy);
        let ticket = |number| Ticket::new(&keyring, MessageId { otp: OtpId::from_bytes([1; 16]), number }, 1);
        let id = |number: usize| CarrierId::parse(&number.to_string()).unwrap();
        let mut late = Late::default();
        for number in 0..LATE_ANSWERS + 2 {
            late.remember(id(number), ticket(1));
        }
        late.remember(id(5), ticket(2));
        assert_eq!((late.ticket(&id(1)), late.ticket(&id(5))), (None, Some(ticket(2))));
        assert_eq!((late.tickets.len(), late.order.len()), (LATE_ANSWERS, LATE_ANSWERS));
    }
}
