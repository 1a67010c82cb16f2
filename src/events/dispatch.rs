//! The dispatcher: claims events, words and signs them, posts them, and settles how it went.
//!
//! At least once: what was not settled when the process ended is claimed again after the next start, under the same id.
//! Each event is posted on its own, with bounded concurrency; the queue sees to it that no subscriber keeps the others
//! waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::store::ConnectionStore;
use crate::clock::{Clock, UnixMillis};
use crate::events::backoff::Backoff;
use crate::events::callback;
use crate::events::inside::{INSIDE, Inside};
use crate::events::queue::{Queued, Settled, Settlement};
use crate::events::settler;
use crate::events::signing::{SigningSecret, signatures};
use crate::events::store::{EventQueue, SubscriptionStore};
use crate::events::subscription::{Format, Gone, Subscription};
use crate::otp::store::{Later, StoreError, WriteError};
use crate::secret::{Entropy, Keyring, Secret};

/// Events that are on their way at once.
const IN_FLIGHT: usize = 256;
/// How long the dispatcher rests when the store does not answer.
const STORE_REST: Duration = Duration::from_millis(500);
/// How often dead letters are looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long a dead letter is kept, where its number may be kept as long.
pub const DEAD_LETTER_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Answers of 404 or 410 in a row after which a 410 ends a subscription, once they have lasted until the first was asked again:
/// one may be a slip, and events of one moment are told the same slip.
const GONE_TIMES: u32 = 2;
/// Answers of 404 or 410 in a row after which a 404 ends a subscription,
const MISSING_TIMES: u32 = 5;
/// once they have lasted for this long: what is being set up again is missing for a while.
const MISSING_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// An event, ready to be posted.
pub struct Letter {
    /// Where to, byte for byte as it was given.
    pub url: Secret,
    /// `webhook-id`, where it is sent.
    pub id: String,
    /// What shows who posts it.
    pub proof: Proof,
    /// The JSON.
    pub body: Vec<u8>,
}

/// What shows who posts an event, beside what may be in its body.
pub enum Proof {
    /// Standard Webhooks.
    Signature {
        /// `webhook-timestamp`: whole seconds since 1970.
        timestamp: u64,
        /// `webhook-signature`.
        signature: String,
    },
    /// A token, in `Authorization`.
    Bearer(Secret),
}

/// What came of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The receiver answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It did not, or was not asked: why, in words without an address.
    NoAnswer(&'static str),
}

/// What is wrong with a callback address. The words follow "must be".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    /// Longer than [`crate::events::subscription::CALLBACK_BYTES`].
    #[error("at most 4096 bytes long")]
    TooLong,
    /// No absolute address, or one that could not be sent as it is.
    #[error("an absolute https address in ASCII, percent-encoded, without a fragment")]
    Malformed,
    /// Plain HTTP, or another scheme.
    #[error("an https address")]
    Scheme,
    /// It carries a user name or a password.
    #[error("an address without a user name")]
    User,
    /// It leads into a private network.
    #[error("a public address; the operator's events.allow_private_callbacks allows others")]
    Private,
}

/// Posts events, to places where they may go.
pub trait Post: Send + Sync + 'static {
    /// Whether events may be posted to `url`, as far as can be said now. It is looked at again at every post.
    fn judge<'a>(&'a self, url: &'a str) -> Later<'a, Result<(), CallbackFault>>;

    /// Posts one event. Ends within a bounded time.
    fn post(&self, letter: Letter) -> Later<'_, Posted>;

    /// Posts a question. The body of what was answered with 200; or why there is none, in words without an address.
    fn ask(&self, letter: Letter) -> Later<'_, Result<Vec<u8>, &'static str>>;
}

/// Words an event as JSON. The same event is always worded the same.
pub trait Wording: Send + Sync + 'static {
    /// The body.
    fn word(&self, event: &Queued) -> Vec<u8>;
}

/// How a try ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It is not.
    Dead,
    /// Its subscription is over, or whoever waited is gone.
    Dropped,
}

/// Is told how each try ended.
pub trait DispatchObserver: Send + Sync + 'static {
    /// A try ended.
    fn dispatched(&self, outcome: Outcome);
}

/// What the dispatcher works with.
pub struct Dispatcher {
    /// Where events wait.
    pub queue: Arc<dyn EventQueue>,
    /// Who they wait for.
    pub subscriptions: Arc<dyn SubscriptionStore>,
    /// On whose behalf they wait: a revoked connection is told nothing more.
    pub connections: Arc<dyn ConnectionStore>,
    /// Opens addresses and secrets.
    pub keyring: Arc<Keyring>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub entropy: Arc<dyn Entropy>,
    /// When to try again.
    pub backoff: Backoff,
    /// Words events.
    pub wording: Arc<dyn Wording>,
    /// Posts them.
    pub post: Arc<dyn Post>,
    /// Hears of what is told inside the gateway.
    pub inside: Arc<dyn Inside>,
    /// Who is told.
    pub observer: Arc<dyn DispatchObserver>,
}

impl Dispatcher {
    /// Works until `stop` turns true; then finishes what is on its way.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (tries, settled) = unbounded_channel();
        let settling = tokio::spawn(settler::run(Arc::clone(&self.queue), settled));
        let pruning = tokio::spawn(prune(Arc::clone(&self.queue), Arc::clone(&self.clock)));
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut working = JoinSet::new();
        while !*stop.borrow() {
            while working.try_join_next().is_some() {}
            let room = permits.available_permits();
            let claimed =
                if room == 0 { Ok(Vec::new()) } else { self.queue.claim_events(self.clock.now(), room).await };
            match claimed {
                Ok(events) if room == 0 || events.is_empty() => {
                    tokio::select! {
                        () = self.queue.wait_for_events(), if room > 0 => {}
                        Some(_) = working.join_next(), if room == 0 => {}
                        _ = stop.changed() => {}
                    }
                }
                Ok(events) => {
                    for event in events {
                        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                        let (dispatcher, tries) = (Arc::clone(&self), tries.clone());
                        working.spawn(async move {
                            dispatcher.dispatch(event, &tries).await;
                            drop(permit);
                        });
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
        pruning.abort();
        drop(tries);
        let _ = settling.await;
    }

    async fn dispatch(&self, event: Queued, tries: &UnboundedSender<Settled>) {
        if event.address.subscription == INSIDE {
            return self.tell_inside(event, tries).await;
        }
        let settlement = loop {
            match self.try_once(&event).await {
                Ok(settlement) => break settlement,
                Err(StoreError::Failed) => return,
                Err(StoreError::Full | StoreError::Unavailable | StoreError::NotAdmitted | StoreError::Unanswered) => {
                    tokio::time::sleep(STORE_REST).await;
                }
            }
        };
        self.observer.dispatched(match &settlement {
            Settlement::Told => Outcome::Delivered,
            Settlement::PutOff { .. } => Outcome::Retried,
            Settlement::Dead { .. } => Outcome::Dead,
            Settlement::Dropped => Outcome::Dropped,
        });
        // The settler is there for as long as anybody can send.
        let _ = tries.send(Settled { address: event.address, settlement });
    }

    /// Tells the gateway itself: until it has heard.
    async fn tell_inside(&self, event: Queued, tries: &UnboundedSender<Settled>) {
        while let Err(error) = self.inside.hear(&event.notice).await {
            if error == StoreError::Failed {
                return;
            }
            tokio::time::sleep(STORE_REST).await;
        }
        let _ = tries.send(Settled { address: event.address, settlement: Settlement::Told });
    }

    /// One try of one event. Errors come before the post, never after it.
    async fn try_once(&self, event: &Queued) -> Result<Settlement, StoreError> {
        let Some(subscription) = self.subscriptions.subscription(event.address.subscription).await? else {
            return Ok(Settlement::Dropped);
        };
        let connection = self.connections.connection(subscription.connection).await?;
        if connection.is_none_or(|connection| connection.revoked.is_some()) {
            self.subscriptions.delete_subscription(subscription.id).await?;
            tracing::info!(subscription = %subscription.id, "a subscription ended: its connection is revoked");
            return Ok(Settlement::Dropped);
        }
        let now = self.clock.now();
        let secrets = subscription.live_secrets(&self.keyring, now);
        let Some(url) = subscription.open_url(&self.keyring).filter(|_| !secrets.is_empty()) else {
            return Ok(self.dead(event, "its address or its secret cannot be opened", now));
        };
        let letter = self.letter(event, &subscription, url, &secrets, now);
        let posted = self.post.post(letter).await;
        Ok(self.settlement(event, &subscription, posted).await)
    }

    fn letter(
        &self,
        event: &Queued,
        subscription: &Subscription,
        url: Secret,
        secrets: &[SigningSecret],
        now: UnixMillis,
    ) -> Letter {
        let (id, body) = (event.address.event.to_string(), self.wording.word(event));
        match (subscription.format, secrets) {
            (Format::OneAccess, [newest, ..]) => {
                let data = String::from_utf8_lossy(&body);
                let what = (id, event.notice.name.as_str(), &*data);
                callback::letter((subscription, url, newest), what, &self.keyring, &*self.entropy, now)
            }
            _ => {
                let timestamp = now.0 / 1_000;
                let signature = signatures(secrets, &id, timestamp, &body);
                Letter { url, id, proof: Proof::Signature { timestamp, signature }, body }
            }
        }
    }

    async fn settlement(&self, event: &Queued, subscription: &Subscription, posted: Posted) -> Settlement {
        let (answer, asked) = match posted {
            Posted::Answered { status: 200..=299, .. } => {
                self.note_gone(subscription, false).await;
                return Settlement::Told;
            }
            Posted::Answered { status: status @ (404 | 410), .. } => {
                let gone = self.note_gone(subscription, true).await;
                if is_over(status, gone, self.backoff.first(), self.clock.now()) && self.end(subscription).await {
                    return Settlement::Dropped;
                }
                (format!("answered {status}"), None)
            }
            Posted::Answered { status, retry_after } => {
                self.note_gone(subscription, false).await;
                (format!("answered {status}"), retry_after)
            }
            Posted::NoAnswer(why) => (why.to_owned(), None),
        };
        let (now, tries) = (self.clock.now(), event.tries + 1);
        let due = self.backoff.wait(tries, asked, &*self.entropy).map(|wait| now + wait);
        match due.filter(|due| *due < event.until) {
            Some(due) => Settlement::PutOff { due, answer },
            None => self.dead(event, &answer, now),
        }
    }

    fn dead(&self, event: &Queued, answer: &str, now: UnixMillis) -> Settlement {
        let address = event.address;
        tracing::warn!(subscription = %address.subscription, event = %address.event, answer, "an event is a dead letter");
        Settlement::Dead { ends: (now + DEAD_LETTER_LIFE).min(event.until), answer: answer.to_owned() }
    }

    /// Remembers that the receiver says that it is gone, or that it is there. What is remembered now.
    async fn note_gone(&self, subscription: &Subscription, is_gone: bool) -> Gone {
        let mut known = Some(subscription.clone());
        let now = self.clock.now();
        while let Some(before) = known {
            let gone = is_gone.then(|| {
                let gone = before.gone.unwrap_or(Gone { since: now, times: 0 });
                Gone { times: gone.times.saturating_add(1), ..gone }
            });
            if before.gone == gone {
                break;
            }
            let after = Subscription { gone, ..before.clone() };
            match self.subscriptions.put_subscription(Some(before), after).await {
                Ok(()) => return gone.unwrap_or(Gone { since: now, times: 0 }),
                Err(WriteError::Conflict) => {
                    known = self.subscriptions.subscription(subscription.id).await.ok().flatten();
                }
                // It is remembered the next time.
                Err(WriteError::Store(_)) => break,
            }
        }
        Gone { since: now, times: 0 }
    }

    async fn end(&self, subscription: &Subscription) -> bool {
        let ended = self.subscriptions.delete_subscription(subscription.id).await.is_ok();
        if ended {
            tracing::warn!(subscription = %subscription.id, "a subscription ended: its receiver says that it is gone");
        }
        ended
    }
}

fn is_over(status: u16, gone: Gone, again_after: Duration, now: UnixMillis) -> bool {
    match status {
        410 => gone.times >= GONE_TIMES && now.since(gone.since) >= again_after,
        _ => gone.times >= MISSING_TIMES && now.since(gone.since) >= MISSING_FOR,
    }
}

async fn prune(queue: Arc<dyn EventQueue>, clock: Arc<dyn Clock>) {
    loop {
        // Refused today, tried again in an hour: what it drops is dead weight.
        let _ = queue.prune_events(clock.now()).await;
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}
