//! The sandbox: a provider that keeps messages in memory and shows them, so that a flow can be tried without a carrier.
//! Some numbers have an outcome of their own, so that a flow can be tried for what goes wrong as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, UnixMillis};
use crate::delivery::provider::{Failure, Outgoing, Provider, Receipt};
use crate::delivery::receipt::{About, Fate, Receipts, Report, Ticket};
use crate::otp::channel::Channel;
use crate::otp::phone::E164;
use crate::otp::store::Later;

/// Messages that are kept; the oldest go first.
const KEPT: usize = 10_000;
/// How long a slow phone takes.
pub const SLOW: Duration = Duration::from_secs(10);
/// Receipts that are on their way at once, at most; beyond it messages are delivered at once.
const RECEIPTS: usize = 1_000;

/// What becomes of a message. The test numbers are of the range that North America keeps for fiction (555-0100 to
/// 555-0199): they belong to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The phone has it at once: every other number.
    Delivered,
    /// The carrier takes it, and reports that it cannot be delivered.
    Undeliverable,
    /// The carrier takes it; the phone has it after [`SLOW`].
    Slow,
    /// The carrier does not take it.
    Refused,
    /// The carrier does not say whether it took it. The phone has it.
    Unknown,
    /// The carrier takes it, and no receipt ever comes.
    Silent,
}

/// The test numbers.
pub const TEST_NUMBERS: [(&str, Outcome); 5] = [
    ("+12025550101", Outcome::Undeliverable),
    ("+12025550102", Outcome::Slow),
    ("+12025550103", Outcome::Refused),
    ("+12025550104", Outcome::Unknown),
    ("+12025550105", Outcome::Silent),
];

impl Outcome {
    /// What becomes of messages to `number`.
    #[must_use]
    pub fn of(number: &E164) -> Self {
        let found = TEST_NUMBERS.iter().find(|(text, _)| *text == number.as_str());
        found.map_or(Self::Delivered, |(_, outcome)| *outcome)
    }
}

/// A message as the sandbox shows it.
#[derive(Clone)]
pub struct Shown {
    /// The message.
    pub message: Arc<Outgoing>,
    /// When it arrived.
    pub created: UnixMillis,
}

/// The sandbox provider.
pub struct Sandbox {
    name: String,
    clock: Arc<dyn Clock>,
    receipts: Arc<dyn Receipts>,
    on_their_way: Arc<AtomicUsize>,
    channels: Vec<Channel>,
    messages: Mutex<VecDeque<Shown>>,
}

impl Sandbox {
    /// An empty one of this name that offers these channels, and reports to `receipts`.
    #[must_use]
    pub fn new(name: String, channels: Vec<Channel>, clock: Arc<dyn Clock>, receipts: Arc<dyn Receipts>) -> Self {
        Self { name, clock, receipts, on_their_way: Arc::default(), channels, messages: Mutex::new(VecDeque::new()) }
    }

    /// The messages to `number` (to all when none is named), newest first, at most `limit`.
    #[must_use]
    pub fn messages(&self, number: Option<&str>, limit: usize) -> Vec<Shown> {
        let messages = self.messages.lock();
        let fits = |shown: &&Shown| number.is_none_or(|number| shown.message.number.as_str() == number);
        messages.iter().rev().filter(fits).take(limit).cloned().collect()
    }

    fn show(&self, message: Outgoing) {
        let shown = Shown { message: Arc::new(message), created: self.clock.now() };
        let mut messages = self.messages.lock();
        if messages.len() >= KEPT {
            messages.pop_front();
        }
        messages.push_back(shown);
    }

    /// Reports `fate` after `pause`. What is on its way is lost with the process, as the messages are.
    fn report_later(&self, ticket: Ticket, fate: Fate, pause: Duration) -> Receipt {
        if self.on_their_way.fetch_add(1, Ordering::Relaxed) >= RECEIPTS {
            self.on_their_way.fetch_sub(1, Ordering::Relaxed);
            return Receipt::delivered();
        }
        let (receipts, on_their_way) = (Arc::clone(&self.receipts), Arc::clone(&self.on_their_way));
        let name = self.name.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // A receipt that the store does not take is one that never came.
            let _ = receipts.report(&name, Report { about: About::Ticket(ticket), fate }).await;
            on_their_way.fetch_sub(1, Ordering::Relaxed);
        });
        Receipt::taken(None)
    }
}

impl Provider for Sandbox {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
        let (outcome, ticket) = (Outcome::of(&message.number), message.ticket);
        if outcome != Outcome::Refused {
            self.show(message);
        }
        Box::pin(std::future::ready(match outcome {
            Outcome::Delivered => Ok(Receipt::delivered()),
            Outcome::Undeliverable => {
                let fate = Fate::Failed("the sandbox' number that cannot be reached".to_owned());
                Ok(self.report_later(ticket, fate, Duration::from_secs(1)))
            }
            Outcome::Slow => Ok(self.report_later(ticket, Fate::Delivered, SLOW)),
            Outcome::Refused => Err(Failure::Refused("the sandbox' number that is refused".to_owned())),
            Outcome::Unknown => Err(Failure::Unknown),
            Outcome::Silent => Ok(Receipt::taken(None)),
        }))
    }
}
