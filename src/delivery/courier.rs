//! The courier: claims messages from the outbox, renders them, hands them to a provider, and records how it went.
//!
//! Nothing is sent inside a request. A message whose OTP is final, expired or gone is never sent. What was not settled when
//! the process ended is claimed again after the next start: at least once, and visible as such in the OTP's events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::{Clock, UnixMillis};
use crate::delivery::provider::{Failure, Outgoing, Provider, Reached};
use crate::delivery::receipt::Ticket;
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::catalogue::Catalogue;
use crate::otp::news::EventName;
use crate::otp::outbox::Message;
use crate::otp::record::{Delivery, Otp, OtpStatus, SealedContent};
use crate::otp::store::{Changes, OtpChange, OtpStore, Outbox, OutboxChange, StoreError, Subject, Touch, change};
use crate::otp::wording;
use crate::secret::Keyring;

/// Messages that are claimed at once.
const CLAIM: usize = 256;
/// Messages that are on their way at once.
const IN_FLIGHT: usize = 256;
/// Waits between tries of a message that a provider would not take: the last one repeats.
const BACKOFF_SECONDS: [u64; 5] = [1, 2, 5, 10, 30];
/// How long the courier rests when the store does not answer.
const STORE_REST: Duration = Duration::from_millis(500);

/// How one message ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A provider took it.
    Sent,
    /// A provider will not take it.
    Refused,
    /// It was put off.
    PutOff,
    /// Its OTP had ended before it could be sent.
    Dropped,
}

/// Is told how each try ended.
pub trait CourierObserver: Send + Sync + 'static {
    /// A try ended.
    fn delivered(&self, outcome: Outcome);
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
    /// Who delivers, in order of preference.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Who is told.
    pub observer: Arc<dyn CourierObserver>,
}

/// What to do with a message before a provider sees it.
enum Prepared {
    Send(Box<Outgoing>, Arc<dyn Provider>),
    Drop(&'static str),
    Refuse(&'static str),
}

impl Courier {
    /// Works until `stop` turns true; then finishes what is on its way.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
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
                        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                        let courier = Arc::clone(&self);
                        working.spawn(async move {
                            courier.deliver(message).await;
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
    }

    async fn deliver(&self, message: Message) {
        let prepared = loop {
            match self.prepare(&message).await {
                Ok(prepared) => break prepared,
                Err(StoreError::Failed) => return,
                Err(StoreError::Full | StoreError::Unavailable) => tokio::time::sleep(STORE_REST).await,
            }
        };
        let (result, outcome) = match prepared {
            Prepared::Drop(reason) => {
                tracing::debug!(message = %message.id, reason, "a message was dropped");
                (Settled::Drop, Outcome::Dropped)
            }
            Prepared::Refuse(reason) => (Settled::Failed(reason.to_owned()), Outcome::Refused),
            Prepared::Send(outgoing, provider) => self.hand_over(&message, *outgoing, &*provider).await,
        };
        self.observer.delivered(outcome);
        while let Err(error) = self.settle(&message, &result).await {
            if error == StoreError::Failed {
                return;
            }
            tokio::time::sleep(STORE_REST).await;
        }
    }

    async fn hand_over(&self, message: &Message, outgoing: Outgoing, provider: &dyn Provider) -> (Settled, Outcome) {
        match provider.deliver(outgoing).await {
            Ok(receipt) => {
                tracing::debug!(message = %message.id, provider = provider.name(), "a message was taken");
                (Settled::Taken(receipt.reach, provider.name().to_owned()), Outcome::Sent)
            }
            Err(Failure::Retryable(least)) => {
                let tries = usize::try_from(message.body.tries).unwrap_or(usize::MAX);
                let index = tries.min(BACKOFF_SECONDS.len() - 1);
                let pause = Duration::from_secs(BACKOFF_SECONDS.get(index).copied().unwrap_or(30)).max(least);
                (Settled::PutOff(self.clock.now() + pause), Outcome::PutOff)
            }
            Err(Failure::Refused(words)) => {
                tracing::warn!(message = %message.id, provider = provider.name(), "a provider refused a message");
                (Settled::Failed(words), Outcome::Refused)
            }
            Err(Failure::Unknown) => {
                (Settled::Failed("the provider did not say whether it took it".to_owned()), Outcome::Refused)
            }
        }
    }

    async fn prepare(&self, message: &Message) -> Result<Prepared, StoreError> {
        let found = match self.store.recall(message.id.otp) {
            Some(otp) => Some(otp),
            None => self.store.otp(message.id.otp).await?,
        };
        let Some(otp) = found else { return Ok(Prepared::Drop("its OTP was deleted")) };
        if otp.status_at(self.clock.now()) != OtpStatus::Active {
            return Ok(Prepared::Drop("its OTP is final"));
        }
        let applications = self.catalogue.of(&otp.account).await?;
        let Some(application) = applications.find(ApplicationRef::Id(otp.application)) else {
            return Ok(Prepared::Refuse("its application was deleted"));
        };
        let channel = message.body.channel;
        let provider = self.providers.iter().find(|provider| provider.channels().contains(&channel));
        let Some(provider) = provider.map(Arc::clone) else {
            return Ok(Prepared::Refuse("no provider offers this channel"));
        };
        Ok(match self.render(message, &otp, application) {
            Some(outgoing) => Prepared::Send(Box::new(outgoing), provider),
            None => Prepared::Refuse("its code cannot be read"),
        })
    }

    fn render(&self, message: &Message, otp: &Otp, application: &Application) -> Option<Outgoing> {
        let content = SealedContent::open(&self.keyring, otp.id, otp.sealed.as_ref()?).ok()?;
        let channel = message.body.channel;
        let (language, chosen) = application.templates.choose(otp.language, otp.country, channel);
        let template = content.text.unwrap_or(chosen);
        let text = wording::message(application, &template, &content.code, otp.lifetime_seconds(), channel);
        Some(Outgoing {
            id: message.id,
            ticket: Ticket::new(&self.keyring, message.id, 1),
            number: otp.number()?.clone(),
            channel,
            sender: message.body.sender.clone().or_else(|| application.sender.clone()),
            caller: message.body.caller.clone().or_else(|| application.caller.clone()),
            language,
            text,
            code: content.code,
            life: otp.expire.since(self.clock.now()),
        })
    }

    /// One commit: the message leaves the outbox (or is put off) and the OTP says how it went.
    async fn settle(&self, message: &Message, settled: &Settled) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (message, settled) = (message.clone(), settled.clone());
        let touch = Touch { subject: Subject::OtpAlone(message.id.otp), spend: None, answer: None };
        change(&*self.store, touch, move |records| {
            let outbox = match settled {
                Settled::PutOff(due) => {
                    let mut later = message.clone();
                    later.due = due;
                    later.body.tries += 1;
                    OutboxChange::Put(later)
                }
                _ => OutboxChange::Settle(message.id),
            };
            let noted = records.otp.as_deref().cloned().and_then(|otp| note(otp, &message, &settled, now));
            let otp = noted.map_or(OtpChange::Keep, |otp| OtpChange::Put(Arc::new(otp)));
            // Put off for an OTP that is gone: there is nothing to put off any more.
            let outbox = if records.otp.is_none() { OutboxChange::Settle(message.id) } else { outbox };
            (Changes { otp, outbox, ..Changes::default() }, ())
        })
        .await
    }
}

/// How a try ended, as it is recorded.
#[derive(Clone)]
enum Settled {
    Taken(Reached, String),
    Failed(String),
    PutOff(UnixMillis),
    Drop,
}

fn note(mut otp: Otp, message: &Message, settled: &Settled, now: UnixMillis) -> Option<Otp> {
    if matches!(settled, Settled::Taken(..)) {
        // Also where the carrier says at once that the phone has it: who waits for SENT is not left waiting.
        otp.news.add(EventName::Sent);
    }
    let (delivery, text) = match settled {
        Settled::Taken(Reached::Delivered, provider) => (Delivery::Delivered, provider.clone()),
        Settled::Taken(Reached::Taken, provider) => (Delivery::Sent, provider.clone()),
        Settled::Failed(words) => (Delivery::Undeliverable, words.clone()),
        Settled::PutOff(_) | Settled::Drop => return None,
    };
    otp.note_delivery(message.id.number, delivery, Some(text), now);
    Some(otp)
}
