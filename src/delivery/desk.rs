//! The desk where carriers' receipts arrive: finds the message that one is about, and records what it says.
//!
//! The same receipt again costs no write. Must not know how receipts travel.

use std::sync::Arc;

use crate::clock::Clock;
use crate::delivery::receipt::{About, Fate, Receipts, Report};
use crate::delivery::rules::{Rules, is_news};
use crate::delivery::slip::{self, Slip};
use crate::delivery::words;
use crate::idempotency::ReplayKey;
use crate::otp::outbox::MessageId;
use crate::otp::store::{Changes, Later, OtpStore, StoreError, Subject, Touch, change};
use crate::secret::Keyring;

/// What came of a report, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// The phone has it.
    Delivered,
    /// It will not arrive.
    Failed,
    /// It is on its way.
    OnItsWay,
    /// It was known already, or comes too late to matter.
    Old,
    /// Nobody knows the message yet: it is kept for a while.
    Early,
}

/// Is told what came of each report.
pub trait DeskObserver: Send + Sync + 'static {
    /// A report was filed.
    fn filed(&self, provider: &str, filed: Filed);
}

/// The desk.
pub struct Desk {
    /// Where OTPs and slips are.
    pub store: Arc<dyn OtpStore>,
    /// For slips, and for the codes that no words may tell.
    pub keyring: Arc<Keyring>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// What becomes of a message.
    pub rules: Rules,
    /// Who is told.
    pub observer: Arc<dyn DeskObserver>,
}

impl Desk {
    async fn file(&self, provider: &str, report: Report) -> Result<Filed, StoreError> {
        let key = match report.about {
            About::Ticket(ticket) => return self.apply(ticket.message, ticket.submission, report.fate).await,
            About::Carrier(carrier) => slip::key(&self.keyring, provider, &carrier),
        };
        let kept = self.store.answer(key).await?;
        let known = match kept.as_deref().and_then(|kept| Slip::open(kept, &self.keyring)) {
            Some(Slip::Known { message, submission }) => Some((message, submission)),
            Some(Slip::Early(_)) | None => self.lay_by(key, report.fate.clone()).await?,
        };
        match known {
            Some((message, submission)) => self.apply(message, submission, report.fate).await,
            None => Ok(Filed::Early),
        }
    }

    /// Keeps an early report, unless its message is known by now.
    async fn lay_by(&self, key: ReplayKey, fate: Fate) -> Result<Option<(MessageId, u8)>, StoreError> {
        let touch = Touch { subject: Subject::Nobody, spend: None, answer: Some(key) };
        let (keyring, now) = (Arc::clone(&self.keyring), self.clock.now());
        change(&*self.store, touch, move |records| {
            let before = records.kept.as_ref().and_then(|kept| Slip::open(&kept.answer, &keyring));
            match before {
                Some(Slip::Known { message, submission }) => (Changes::default(), Some((message, submission))),
                // What is final is not overwritten, and the same again is not written.
                Some(Slip::Early(Fate::Delivered | Fate::Failed(_))) => (Changes::default(), None),
                Some(Slip::Early(Fate::OnItsWay)) if fate == Fate::OnItsWay => (Changes::default(), None),
                Some(Slip::Early(Fate::OnItsWay)) | None => {
                    let kept = Slip::Early(fate.clone()).keep(key, None, &keyring, now);
                    (Changes { answer: Some(Box::new(kept)), ..Changes::default() }, None)
                }
            }
        })
        .await
    }

    async fn apply(&self, id: MessageId, submission: u8, fate: Fate) -> Result<Filed, StoreError> {
        let found = match self.store.recall(id.otp) {
            Some(otp) => Some(otp),
            None => self.store.otp(id.otp).await?,
        };
        let Some(otp) = found.filter(|otp| is_news(otp, id.number, submission, &fate)) else { return Ok(Filed::Old) };
        let fate = words::shown(fate, &otp, &self.keyring);
        let (rules, now) = (self.rules, self.clock.now());
        let spend = rules.ceiling.key(&otp.account, otp.country, now);
        let touch = Touch { subject: Subject::OtpAlone(id.otp), spend, answer: None };
        let filed = match fate {
            Fate::Delivered => Filed::Delivered,
            Fate::Failed(_) => Filed::Failed,
            Fate::OnItsWay => Filed::OnItsWay,
        };
        change(&*self.store, touch, move |records| (rules.report(records, id, submission, &fate, now), ())).await?;
        Ok(filed)
    }
}

impl Receipts for Desk {
    fn report<'a>(&'a self, provider: &'a str, report: Report) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let filed = self.file(provider, report).await?;
            self.observer.filed(provider, filed);
            Ok(())
        })
    }
}
