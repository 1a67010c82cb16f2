//! The sandbox: a provider that keeps messages in memory and shows them, so that a flow can be tried without a carrier.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::{Clock, UnixMillis};
use crate::delivery::provider::{Failure, Outgoing, Provider, Receipt};
use crate::otp::channel::Channel;
use crate::otp::store::Later;

/// Messages that are kept; the oldest go first.
const KEPT: usize = 10_000;

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
    clock: Arc<dyn Clock>,
    channels: Vec<Channel>,
    messages: Mutex<VecDeque<Shown>>,
}

impl Sandbox {
    /// An empty one that offers every channel.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::offering(clock, vec![Channel::Sms, Channel::Voice])
    }

    /// An empty one that offers these channels.
    #[must_use]
    pub const fn offering(clock: Arc<dyn Clock>, channels: Vec<Channel>) -> Self {
        Self { clock, channels, messages: Mutex::new(VecDeque::new()) }
    }

    /// The messages to `number` (to all when none is named), newest first, at most `limit`.
    #[must_use]
    pub fn messages(&self, number: Option<&str>, limit: usize) -> Vec<Shown> {
        let messages = self.messages.lock();
        let fits = |shown: &&Shown| number.is_none_or(|number| shown.message.number.as_str() == number);
        messages.iter().rev().filter(fits).take(limit).cloned().collect()
    }
}

impl Provider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
        let shown = Shown { message: Arc::new(message), created: self.clock.now() };
        let mut messages = self.messages.lock();
        if messages.len() >= KEPT {
            messages.pop_front();
        }
        messages.push_back(shown);
        Box::pin(std::future::ready(Ok(Receipt::delivered())))
    }
}
