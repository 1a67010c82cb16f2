//! One message, from its claim to its end: rendered, handed to the carriers of its route one after the other, and recorded.
//!
//! A message whose OTP is final, expired or gone is never sent. Must not know how messages are claimed.

use std::time::Duration;

use crate::delivery::courier::{Answered, Courier, Outcome, STORE_REST};
use crate::delivery::provider::{Failure, Outgoing, PAUSE_AT_MOST, Reached, Receipt};
use crate::delivery::receipt::{CarrierId, Ticket};
use crate::delivery::routes::{Known, Lane, Next};
use crate::delivery::rules::{Begun, Ending};
use crate::delivery::slip::{self, Slip};
use crate::delivery::words;
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::outbox::{Message, SUBMISSIONS, Stage};
use crate::otp::record::{Otp, OtpStatus, SealedContent};
use crate::otp::store::{StoreError, Subject, Touch, change};
use crate::otp::wording;
use crate::secret::Secret;

/// Waits between tries of a message that no provider would take: the last one repeats.
const BACKOFF_SECONDS: [u64; 5] = [1, 2, 5, 10, 30];
/// By then every provider has answered or given up by a deadline of its own; who has not is taken to be silent.
const PATIENCE: Duration = Duration::from_secs(90);

/// The claim ended without an end of the message: it was given back, or the store failed.
struct LetGo;

impl From<StoreError> for LetGo {
    fn from(_: StoreError) -> Self {
        Self
    }
}

/// A submission that costs nothing is not written down before it happens.
const fn count_only(message: &mut Message) -> bool {
    let begun = message.body.submissions < SUBMISSIONS;
    message.body.submissions += begun as u8;
    begun
}

/// What is known of a message before a provider sees it.
struct Prepared {
    otp: std::sync::Arc<Otp>,
    application: std::sync::Arc<Application>,
    content: SealedContent,
}

impl Courier {
    /// Delivers a claimed message, or puts it off.
    pub(super) async fn deliver(&self, mut message: Message) {
        let mut standing = message.clone();
        let ended = match message.body.stage {
            Stage::Queued => self.submit(&mut message, &mut standing).await,
            Stage::Submitting(_) | Stage::Taken(_) | Stage::Unknown(_) => Ok((Ending::Overdue, None)),
        };
        let Ok((ending, carrier)) = ended else { return };
        self.observer.delivered(match &ending {
            Ending::Delivered(_) | Ending::Taken(_) => Outcome::Sent,
            Ending::Unknown(_) => Outcome::Unknown,
            Ending::PutOff(_) | Ending::Overdue => Outcome::PutOff,
            Ending::Undeliverable(_) => Outcome::Refused,
            Ending::Over => Outcome::Dropped,
        });
        while let Err(error) = self.settle(&standing, &message, &ending, carrier.as_ref()).await {
            if error == StoreError::Failed {
                return;
            }
            tokio::time::sleep(STORE_REST).await;
        }
    }

    /// Hands the message to one provider after the other, until one takes it or nobody is left. The store has it as `standing`.
    async fn submit(
        &self,
        message: &mut Message,
        standing: &mut Message,
    ) -> Result<(Ending, Option<CarrierId>), LetGo> {
        let prepared = loop {
            match self.prepare(message).await {
                Ok(prepared) => break prepared,
                Err(StoreError::Failed) => return Err(LetGo),
                Err(StoreError::Full | StoreError::Unavailable | StoreError::NotAdmitted | StoreError::Unanswered) => {
                    tokio::time::sleep(STORE_REST).await;
                }
            }
        };
        let Prepared { otp, application, content } = match prepared {
            Ok(prepared) => prepared,
            Err(ending) => return Ok((ending, None)),
        };
        let Some(number) = otp.number() else { return Ok((Ending::Over, None)) };
        let (mut tried, mut words) = (Vec::new(), "no provider offers this channel".to_owned());
        loop {
            let to = (message.body.channel, otp.country, number);
            let known = Known { refused: &message.body.refused, doubted: &message.body.doubted };
            match self.routes.next(to, known, &tried, self.clock.now()) {
                Next::Nobody => return Ok((Ending::Undeliverable(words), None)),
                // Only what stands in the store as it is here may be given back: a refusal has to be written.
                Next::Wait(until) if tried.is_empty() && *standing == *message => {
                    self.outbox.put_back(message.id, until.min(otp.expire)).await?;
                    return Err(LetGo);
                }
                Next::Wait(until) => return Ok((Ending::PutOff(until.max(self.backoff(message))), None)),
                Next::Lane(place) => {
                    let lane = place.lane;
                    let begun =
                        if lane.counts { self.begin(message, standing, lane).await? } else { count_only(message) };
                    if !begun {
                        lane.breaker.forgo();
                        return Ok((Ending::Over, None));
                    }
                    let Some(outgoing) = self.render(message, &otp, &application, &content) else {
                        lane.breaker.forgo();
                        return Ok((Ending::Over, None));
                    };
                    let name = lane.provider.name().to_owned();
                    match self.hand_over(lane, outgoing).await {
                        Ok(Receipt { reach: Reached::Delivered, .. }) => return Ok((Ending::Delivered(name), None)),
                        Ok(Receipt { reach: Reached::Taken, carrier }) => return Ok((Ending::Taken(name), carrier)),
                        Err(Failure::Unknown) => return Ok((Ending::Unknown(name), None)),
                        Err(Failure::Retryable(_)) => tried.push(name),
                        Err(Failure::Refused(said)) => {
                            words = format!("{name}: {said}");
                            message.body.refused.push(name);
                        }
                    }
                    // It certainly did not take it.
                    message.body.submissions = message.body.submissions.saturating_sub(1);
                    message.body.stage = Stage::Queued;
                }
            }
        }
    }

    fn backoff(&self, message: &Message) -> crate::clock::UnixMillis {
        let tries = usize::try_from(message.body.tries).unwrap_or(usize::MAX);
        let seconds = BACKOFF_SECONDS.get(tries).or(BACKOFF_SECONDS.last()).copied().unwrap_or(30);
        self.clock.now() + Duration::from_secs(seconds)
    }

    /// Gives one message to one provider, and tells its circuit breaker how that went.
    async fn hand_over(&self, lane: &Lane, outgoing: Outgoing) -> Result<Receipt, Failure> {
        let (name, id) = (lane.provider.name(), outgoing.id);
        let (code, number) = (outgoing.code.clone(), outgoing.number.clone());
        let delivering = tokio::time::timeout(PATIENCE, lane.provider.deliver(outgoing));
        let result = match delivering.await.unwrap_or(Err(Failure::Unknown)) {
            Err(Failure::Refused(said)) if words::tell(&said, &code, &number) => {
                Err(Failure::Refused("it was refused".to_owned()))
            }
            result => result,
        };
        let now = self.clock.now();
        let (answered, failed) = match &result {
            Ok(_) => (Answered::Taken, false),
            Err(Failure::Refused(_)) => (Answered::Refused, false),
            Err(Failure::Retryable(pause)) if !pause.is_zero() => {
                lane.breaker.pause(now + (*pause).min(PAUSE_AT_MOST));
                (Answered::Retryable, false)
            }
            Err(Failure::Retryable(_)) => (Answered::Retryable, true),
            Err(Failure::Unknown) => (Answered::Unknown, true),
        };
        self.observer.submitted(name, answered);
        if failed && lane.breaker.failed(now) {
            tracing::warn!(provider = name, "a provider fails again and again; it is left alone for a while");
            self.observer.circuit(name, true);
        }
        if !failed && lane.breaker.succeeded() {
            tracing::info!(provider = name, "a provider works again");
            self.observer.circuit(name, false);
        }
        match &result {
            Ok(_) => tracing::debug!(message = %id, provider = name, "a message was taken"),
            Err(Failure::Refused(words)) => {
                tracing::warn!(message = %id, provider = name, words, "a message was refused");
            }
            Err(Failure::Retryable(_)) => {
                tracing::debug!(message = %id, provider = name, "a message was not taken now");
            }
            Err(Failure::Unknown) => {
                tracing::warn!(message = %id, provider = name, "a provider did not say whether it took a message");
            }
        }
        result
    }

    async fn prepare(&self, message: &Message) -> Result<Result<Prepared, Ending>, StoreError> {
        let found = match self.store.recall(message.id.otp) {
            Some(otp) => Some(otp),
            None => self.store.otp(message.id.otp).await?,
        };
        let now = self.clock.now();
        let is_open =
            |otp: &std::sync::Arc<Otp>| otp.status_at(now) == OtpStatus::Active && !otp.fates.over(message.id.number);
        let Some(otp) = found.filter(is_open) else { return Ok(Err(Ending::Over)) };
        let applications = self.catalogue.of(&otp.account).await?;
        let Some(application) = applications.find(ApplicationRef::Id(otp.application)).cloned() else {
            return Ok(Err(Ending::Undeliverable("its application was deleted".to_owned())));
        };
        let opened = otp.sealed.as_ref().map(|sealed| SealedContent::open(&self.keyring, otp.id, sealed));
        let Some(Ok(content)) = opened else {
            return Ok(Err(Ending::Undeliverable("its code cannot be read".to_owned())));
        };
        Ok(Ok(Prepared { otp, application, content }))
    }

    /// None where the code lives no longer.
    fn render(
        &self,
        message: &Message,
        otp: &Otp,
        application: &Application,
        content: &SealedContent,
    ) -> Option<Outgoing> {
        let life = otp.expire.since(self.clock.now());
        if life.is_zero() {
            return None;
        }
        let channel = message.body.channel;
        let (language, chosen) = application.templates.choose(otp.language, otp.country, channel);
        let template = content.text.as_ref().unwrap_or(&chosen);
        let (code, context) = (&content.code, content.context.as_ref());
        let link = otp.verification.map(|id| self.pages.address(id));
        let link = link.as_ref().map(Secret::expose);
        let text = wording::message(application, template, code, otp.lifetime_seconds(), channel, context, link);
        Some(Outgoing {
            id: message.id,
            ticket: Ticket::new(&self.keyring, message.id, message.body.submissions.max(1)),
            number: otp.number()?.clone(),
            channel,
            sender: message.body.sender.clone().or_else(|| application.sender.clone()),
            caller: message.body.caller.clone().or_else(|| application.caller.clone()),
            language,
            text,
            code: content.code.clone(),
            life,
        })
    }

    /// Writes down that a provider is about to be given the message. False where it must not be any more.
    async fn begin(&self, message: &mut Message, standing: &mut Message, lane: &Lane) -> Result<bool, LetGo> {
        let (mut now, mut asked) = (self.clock.now(), false);
        loop {
            let subject = Subject::Message(Box::new(standing.clone()));
            let touch = Touch { subject, spend: None, answer: None };
            let (rules, name) = (self.rules, lane.provider.name().to_owned());
            let (held, before) = (standing.clone(), message.clone());
            let began =
                change(&*self.store, touch, move |records| rules.begin(records, (&held, asked), &before, &name, now));
            match began.await {
                Ok(Begun::Marked(marked)) => {
                    standing.clone_from(&marked);
                    *message = marked;
                    return Ok(true);
                }
                Ok(Begun::Over) => return Ok(false),
                Ok(Begun::Lost) => {
                    tracing::debug!(message = %message.id, "a message was taken over in the meantime");
                    lane.breaker.forgo();
                    return Err(LetGo);
                }
                Err(StoreError::Failed) => return Err(LetGo),
                Err(StoreError::Unanswered) => asked = true,
                // A full disk: what cannot be written down is not sent.
                Err(StoreError::Full | StoreError::Unavailable | StoreError::NotAdmitted) => {}
            }
            tokio::time::sleep(STORE_REST).await;
            // Once an answer was lost, the same is asked for again: only so is our own mark known from somebody else's.
            now = if asked { now } else { self.clock.now() };
            if self.clock.now().since(now) >= self.rules.receipt_within {
                // If it was written, it is overdue by now, and whoever claims it next deals with it; if it was not, nobody else
                // may have it before this process lets go of it.
                lane.breaker.forgo();
                let _away = self.outbox.put_back(message.id, self.clock.now()).await;
                return Err(LetGo);
            }
        }
    }

    /// One commit: the message leaves the outbox (or is put off), the OTP says how it went, and what the carrier calls the
    /// message is kept, for its receipts. Where one has come before, it is heeded now.
    async fn settle(
        &self,
        standing: &Message,
        message: &Message,
        ending: &Ending,
        carrier: Option<&CarrierId>,
    ) -> Result<(), StoreError> {
        let (now, rules) = (self.clock.now(), self.rules);
        let provider = if let Ending::Taken(provider) = ending { provider.as_str() } else { "" };
        let key = carrier.map(|carrier| slip::key(&self.keyring, provider, carrier));
        let spend = match self.rules.ceiling.0 {
            Some(_) => {
                let otp = self.store.otp(message.id.otp).await?;
                otp.and_then(|otp| rules.ceiling.key(&otp.account, otp.country, now))
            }
            None => None,
        };
        let subject = match ending.may_go_on() {
            true => Subject::Message(Box::new(standing.clone())),
            false => Subject::OtpAlone(message.id.otp),
        };
        let touch = Touch { subject, spend, answer: key };
        let (standing, message) = (standing.clone(), message.clone());
        let (ending, keyring) = (ending.clone(), std::sync::Arc::clone(&self.keyring));
        change(&*self.store, touch, move |records| {
            let mut changes = rules.settle(records, &standing, &message, &ending, now);
            if let (Some(key), Some(otp)) = (key, &records.otp) {
                let submission = message.body.submissions.max(1);
                let early = records.kept.as_ref().and_then(|kept| Slip::open(&kept.answer, &keyring));
                if let Some(Slip::Early(fate)) = early {
                    let fate = words::shown(fate, otp, &keyring);
                    rules.report_on_top(&mut changes, records, message.id, submission, &fate, now);
                }
                let known = Slip::Known { message: message.id, submission };
                changes.answer = Some(Box::new(known.keep(key, Some(otp), &keyring, now)));
            }
            (changes, ())
        })
        .await
    }
}
