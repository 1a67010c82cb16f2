//! Translates what the layers, the domain and the courier report into the words of the metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::labels::{
    AuthRefusal, Courier, QuotaVerdict, Receipt, Repetition, SendOutcome, SmppReceived, SmppSubmit, Submission,
    Verification, VerifyOutcome, Webhook,
};
use super::metrics::{Metrics, ProviderMetrics, RouteMetrics};
use crate::access::authenticator::Cause;
use crate::delivery::courier::{Answered, CourierObserver, Outcome};
use crate::delivery::desk::{DeskObserver, Filed};
use crate::delivery::smpp::{Received, SmppObserver, Submitted};
use crate::events::dispatch::{self, DispatchObserver};
use crate::layer::auth::AuthObserver;
use crate::layer::idempotency::IdempotencyObserver;
use crate::layer::quota::QuotaObserver;
use crate::layer::trace::Observer;
use crate::otp::command::{ResendError, SendError, SendRefusal, Verified, VerifyError};
use crate::otp::id::AccountId;
use crate::otp::machine::Verdict;
use crate::otp::phone::Country;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::service::OtpObserver;
use crate::otp::store::StoreError;
use crate::verification::outcome::Outcome as Ended;
use crate::verification::service::VerificationObserver;

/// The route of requests that were refused before they reached one.
const NO_ROUTE: &str = "none";

/// Counts what it is told.
pub struct Observers {
    metrics: Arc<Metrics>,
    /// By dialect and template: as many as there are routes, since both are words of the program.
    routes: RwLock<HashMap<&'static str, HashMap<String, RouteMetrics>>>,
    /// By name: those of the configuration.
    providers: RwLock<HashMap<String, ProviderMetrics>>,
}

impl Observers {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, routes: RwLock::default(), providers: RwLock::default() }
    }

    fn of_provider(&self, name: &str, count: impl FnOnce(&ProviderMetrics)) {
        if let Some(known) = self.providers.read().get(name) {
            return count(known);
        }
        let mut providers = self.providers.write();
        count(providers.entry(name.to_owned()).or_insert_with(|| self.metrics.provider(name)));
    }
}

impl Observer for Observers {
    fn answered(&self, dialect: &'static str, route: Option<&str>, status: u16, elapsed: Duration) {
        let route = route.unwrap_or(NO_ROUTE);
        if let Some(known) = self.routes.read().get(dialect).and_then(|routes| routes.get(route)) {
            return known.add(status, elapsed.as_secs_f64());
        }
        let mut routes = self.routes.write();
        let of_dialect = routes.entry(dialect).or_default();
        let metrics = of_dialect.entry(route.to_owned()).or_insert_with(|| self.metrics.route(dialect, route));
        metrics.add(status, elapsed.as_secs_f64());
    }
}

impl AuthObserver for Observers {
    fn refused(&self, cause: Cause) {
        self.metrics.auth_refusals.add(match cause {
            Cause::Missing => AuthRefusal::Missing,
            Cause::Malformed => AuthRefusal::Malformed,
            Cause::Unknown => AuthRefusal::Unknown,
            Cause::Expired => AuthRefusal::Expired,
            Cause::Unproven => AuthRefusal::Unproven,
            Cause::Stale => AuthRefusal::Stale,
            Cause::Replayed => AuthRefusal::Replayed,
        });
    }
}

impl QuotaObserver for Observers {
    fn decided(&self, admitted: bool) {
        self.metrics.quota.add(if admitted { QuotaVerdict::Admitted } else { QuotaVerdict::Refused });
    }
}

impl IdempotencyObserver for Observers {
    fn replayed(&self) {
        self.metrics.repetitions.add(Repetition::Replayed);
    }

    fn reused(&self) {
        self.metrics.repetitions.add(Repetition::Reused);
    }
}

impl CourierObserver for Observers {
    fn delivered(&self, outcome: Outcome) {
        self.metrics.deliveries.add(match outcome {
            Outcome::Sent => Courier::Sent,
            Outcome::Unknown => Courier::Unknown,
            Outcome::PutOff => Courier::Retried,
            Outcome::Refused => Courier::Undeliverable,
            Outcome::Dropped => Courier::Dropped,
        });
    }

    fn submitted(&self, provider: &str, answered: Answered) {
        let answered = match answered {
            Answered::Taken => Submission::Taken,
            Answered::Retryable => Submission::Retryable,
            Answered::Refused => Submission::Refused,
            Answered::Unknown => Submission::Unknown,
        };
        self.of_provider(provider, |metrics| metrics.submissions.add(answered));
    }

    fn circuit(&self, provider: &str, open: bool) {
        self.of_provider(provider, |metrics| {
            metrics.circuit_open.set(open.into());
        });
    }
}

impl DeskObserver for Observers {
    fn filed(&self, provider: &str, filed: Filed) {
        let filed = match filed {
            Filed::Delivered => Receipt::Delivered,
            Filed::Failed => Receipt::Failed,
            Filed::OnItsWay => Receipt::OnItsWay,
            Filed::Old => Receipt::Old,
            Filed::Early => Receipt::Early,
        };
        self.of_provider(provider, |metrics| metrics.receipts.add(filed));
    }
}

impl SmppObserver for Observers {
    fn submitted(&self, outcome: Submitted) {
        self.metrics.smpp_submits.add(match outcome {
            Submitted::Taken => SmppSubmit::Taken,
            Submitted::Throttled => SmppSubmit::Throttled,
            Submitted::Failed => SmppSubmit::Failed,
            Submitted::Refused => SmppSubmit::Refused,
            Submitted::Unknown => SmppSubmit::Unknown,
        });
    }

    fn received(&self, what: Received) {
        self.metrics.smpp_received.add(match what {
            Received::Delivered => SmppReceived::Delivered,
            Received::Failed => SmppReceived::Failed,
            Received::OnItsWay => SmppReceived::OnItsWay,
            Received::Message => SmppReceived::Message,
            Received::Unreadable => SmppReceived::Unreadable,
            Received::NotKept => SmppReceived::NotKept,
        });
    }

    fn rebound(&self) {
        self.metrics.smpp_rebinds.inc();
    }
}

const fn told(outcome: dispatch::Outcome) -> Webhook {
    match outcome {
        dispatch::Outcome::Delivered => Webhook::Delivered,
        dispatch::Outcome::Retried => Webhook::Retried,
        dispatch::Outcome::Dead => Webhook::Dead,
        dispatch::Outcome::Dropped => Webhook::Dropped,
    }
}

impl DispatchObserver for Observers {
    fn dispatched(&self, outcome: dispatch::Outcome) {
        self.metrics.webhooks.add(told(outcome));
    }
}

impl VerificationObserver for Observers {
    fn opened(&self) {
        self.metrics.verifications.add(Verification::Opened);
    }

    fn ended(&self, outcome: Ended) {
        self.metrics.verifications.add(match outcome {
            Ended::Verified => Verification::Verified,
            Ended::Expired => Verification::Expired,
            Ended::TooManyAttempts => Verification::TooManyAttempts,
            Ended::Undeliverable => Verification::Undeliverable,
            Ended::CancelledByPerson => Verification::CancelledByPerson,
            Ended::CancelledByFlow => Verification::CancelledByFlow,
        });
    }

    fn told(&self, outcome: dispatch::Outcome) {
        self.metrics.verification_tries.add(told(outcome));
    }
}

const fn refused(refusal: &SendRefusal) -> SendOutcome {
    match refusal {
        SendRefusal::UnknownApplication | SendRefusal::ContextNeeded => SendOutcome::Invalid,
        SendRefusal::CountryNotServed => SendOutcome::Country,
        SendRefusal::LineNotServed(_) => SendOutcome::Line,
        SendRefusal::ChannelNotOffered(_) => SendOutcome::Channel,
        SendRefusal::TooManySends(_) | SendRefusal::TooManyResends => SendOutcome::Limited,
        SendRefusal::Locked(_) => SendOutcome::Locked,
        SendRefusal::CeilingReached(_) => SendOutcome::Ceiling,
    }
}

impl OtpObserver for Observers {
    fn near_ceiling(&self, account: &AccountId, country: Option<Country>) {
        let country = country.as_ref().map_or("ZZ", Country::as_str);
        tracing::warn!(%account, country, "four fifths of the day's messages of an account to a country are used up");
        self.metrics.ceilings_near.inc();
    }

    fn sent(&self, result: &Result<Arc<Otp>, SendError>) {
        self.metrics.sends.add(match result {
            Ok(_) => SendOutcome::Queued,
            Err(SendError::Refused(refusal)) => refused(refusal),
            Err(SendError::Answered | SendError::Store(StoreError::NotAdmitted)) => return,
            Err(SendError::Store(_)) => SendOutcome::Failed,
        });
    }

    fn resent(&self, result: &Result<Arc<Otp>, ResendError>) {
        self.metrics.sends.add(match result {
            Ok(_) => SendOutcome::Queued,
            Err(ResendError::Refused(refusal)) => refused(refusal),
            Err(ResendError::Unknown | ResendError::NotActive(_) | ResendError::ApplicationGone) => SendOutcome::Over,
            Err(ResendError::Answered | ResendError::Store(StoreError::NotAdmitted)) => return,
            Err(ResendError::Store(_)) => SendOutcome::Failed,
        });
    }

    fn checked(&self, result: &Result<Verified, VerifyError>) {
        self.metrics.verifies.add(match result {
            Ok(verified) => match verified.verdict {
                Verdict::Verified => VerifyOutcome::Verified,
                Verdict::Wrong => VerifyOutcome::Wrong,
                Verdict::Exhausted | Verdict::Final(OtpStatus::TooManyAttempts) => VerifyOutcome::TooManyAttempts,
                Verdict::Expired | Verdict::TooOld | Verdict::Final(OtpStatus::Expired) => VerifyOutcome::Expired,
                Verdict::Final(OtpStatus::Verified | OtpStatus::Active) => VerifyOutcome::Used,
                Verdict::Locked => VerifyOutcome::Locked,
            },
            Err(
                VerifyError::Unknown | VerifyError::ApplicationGone | VerifyError::Context { .. } | VerifyError::NoCode,
            ) => VerifyOutcome::Unknown,
            Err(VerifyError::Answered | VerifyError::Store(StoreError::NotAdmitted)) => return,
            Err(VerifyError::Store(_)) => VerifyOutcome::Failed,
        });
    }
}
