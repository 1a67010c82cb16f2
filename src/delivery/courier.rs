//! The courier: claims messages from the outbox and has each one delivered, many at once.
//!
//! Nothing is sent inside a request. What was not settled when the process ended is claimed again after the next start.
//! Must not know how one message is delivered: `submission` does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::delivery::routes::Routes;
use crate::delivery::rules::Rules;
use crate::otp::catalogue::Catalogue;
use crate::otp::outbox::{Message, MessageId};
use crate::otp::page::Pages;
use crate::otp::store::{OtpStore, Outbox};
use crate::secret::Keyring;

/// Messages that are claimed at once.
const CLAIM: usize = 256;
/// Messages that are looked at at once beside those that a carrier is being given.
const SLACK: usize = 256;
/// How long a message rests that is still being worked on.
const A_MOMENT: Duration = Duration::from_millis(20);
/// How long the courier rests when the store does not answer.
pub(super) const STORE_REST: Duration = Duration::from_millis(500);

/// How one message ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A provider took it.
    Sent,
    /// A provider did not say whether it took it.
    Unknown,
    /// No provider will take it.
    Refused,
    /// It was put off.
    PutOff,
    /// Its OTP had ended before it could be sent.
    Dropped,
}

/// How one submission ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The provider took it.
    Taken,
    /// It did not, and may later.
    Retryable,
    /// It will not.
    Refused,
    /// It did not say.
    Unknown,
}

/// Is told how each try ended.
pub trait CourierObserver: Send + Sync + 'static {
    /// A try ended.
    fn delivered(&self, outcome: Outcome);
    /// A provider answered a submission, or did not.
    fn submitted(&self, provider: &str, answered: Answered);
    /// A provider's circuit opened or closed.
    fn circuit(&self, provider: &str, open: bool);
}

/// What the courier works with.
pub struct Courier {
    /// Where messages wait.
    pub outbox: Arc<dyn Outbox>,
    /// Where their OTPs are.
    pub store: Arc<dyn OtpStore>,
    /// For the texts of their applications.
    pub catalogue: Arc<Catalogue>,
    /// Opens their codes.
    pub keyring: Arc<Keyring>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Who delivers.
    pub routes: Arc<Routes>,
    /// What becomes of a message.
    pub rules: Rules,
    /// Knows the addresses of verifications' pages.
    pub pages: Arc<dyn Pages>,
    /// Who is told.
    pub observer: Arc<dyn CourierObserver>,
}

/// The messages that this process works on: a lease that ends meanwhile starts nothing twice.
#[derive(Default)]
struct AtWork(Mutex<HashSet<MessageId>>);

struct Working {
    at_work: Arc<AtWork>,
    id: MessageId,
}

impl AtWork {
    fn begin(self: &Arc<Self>, id: MessageId) -> Option<Working> {
        self.0.lock().insert(id).then(|| Working { at_work: Arc::clone(self), id })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.at_work.0.lock().remove(&self.id);
    }
}

impl Courier {
    /// Works until `stop` turns true; then finishes what is on its way.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(self.routes.places().saturating_add(SLACK).min(Semaphore::MAX_PERMITS)));
        let at_work = Arc::new(AtWork::default());
        let mut working = JoinSet::new();
        while !*stop.borrow() {
            while working.try_join_next().is_some() {}
            let room = permits.available_permits().min(CLAIM);
            if room == 0 {
                tokio::select! {
                    _ = working.join_next() => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            match self.outbox.claim(self.clock.now(), room).await {
                Ok(messages) if messages.is_empty() => {
                    tokio::select! {
                        () = self.outbox.wait() => {}
                        _ = stop.changed() => {}
                    }
                }
                Ok(messages) => {
                    for message in messages {
                        let Some(mark) = at_work.begin(message.id) else {
                            // Put off a moment ago, by a task that is about to end; or still at work after its lease.
                            let _ = self.outbox.put_back(message.id, self.clock.now() + A_MOMENT).await;
                            continue;
                        };
                        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                        working.spawn(Arc::clone(&self).work(message, (permit, mark)));
                    }
                }
                Err(_) => {
                    tokio::select! {
                        () = tokio::time::sleep(STORE_REST) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
        }
        while working.join_next().await.is_some() {}
    }

    async fn work<T: Send>(self: Arc<Self>, message: Message, held: T) {
        self.deliver(message).await;
        drop(held);
    }
}
