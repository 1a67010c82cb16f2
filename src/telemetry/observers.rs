//! Translates what the layers, the domain and the courier report into the words of the metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::labels::{AuthRefusal, Courier, QuotaVerdict, Repetition, SendOutcome, VerifyOutcome, Webhook};
use super::metrics::{Metrics, RouteMetrics};
use crate::access::authenticator::Cause;
use crate::delivery::courier::{CourierObserver, Outcome};
use crate::events::dispatch::{self, DispatchObserver};
use crate::layer::auth::AuthObserver;
use crate::layer::idempotency::IdempotencyObserver;
use crate::layer::quota::QuotaObserver;
use crate::layer::trace::Observer;
use crate::otp::command::{ResendError, SendError, SendRefusal, Verified, VerifyError};
use crate::otp::machine::Verdict;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::service::OtpObserver;

/// The route of requests that were refused before they reached one.
const NO_ROUTE: &str = "none";

/// Counts what it is told.
pub struct Observers {
    metrics: Arc<Metrics>,
    /// By dialect and template: as many as there are routes, since both are words of the program.
    routes: RwLock<HashMap<&'static str, HashMap<String, RouteMetrics>>>,
}

impl Observers {
    /// Counts in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, routes: RwLock::default() }
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
            Outcome::PutOff => Courier::Retried,
            Outcome::Refused => Courier::Undeliverable,
            Outcome::Dropped => Courier::Dropped,
        });
    }
}

impl DispatchObserver for Observers {
    fn dispatched(&self, outcome: dispatch::Outcome) {
        self.metrics.webhooks.add(match outcome {
            dispatch::Outcome::Delivered => Webhook::Delivered,
            dispatch::Outcome::Retried => Webhook::Retried,
            dispatch::Outcome::Dead => Webhook::Dead,
            dispatch::Outcome::Dropped => Webhook::Dropped,
        });
    }
}

const fn refused(refusal: &SendRefusal) -> SendOutcome {
    match refusal {
        SendRefusal::UnknownApplication => SendOutcome::Invalid,
        SendRefusal::CountryNotServed => SendOutcome::Country,
        SendRefusal::TooManySends(_) | SendRefusal::TooManyResends => SendOutcome::Limited,
        SendRefusal::Locked(_) => SendOutcome::Locked,
        SendRefusal::CeilingReached(_) => SendOutcome::Ceiling,
    }
}

impl OtpObserver for Observers {
    fn sent(&self, result: &Result<Arc<Otp>, SendError>) {
        self.metrics.sends.add(match result {
            Ok(_) => SendOutcome::Queued,
            Err(SendError::Refused(refusal)) => refused(refusal),
            Err(SendError::Answered) => return,
            Err(SendError::Store(_)) => SendOutcome::Failed,
        });
    }

    fn resent(&self, result: &Result<Arc<Otp>, ResendError>) {
        self.metrics.sends.add(match result {
            Ok(_) => SendOutcome::Queued,
            Err(ResendError::Refused(refusal)) => refused(refusal),
            Err(ResendError::Unknown | ResendError::NotActive(_) | ResendError::ApplicationGone) => SendOutcome::Over,
            Err(ResendError::Answered) => return,
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
            Err(VerifyError::Unknown | VerifyError::ApplicationGone) => VerifyOutcome::Unknown,
            Err(VerifyError::Answered) => return,
            Err(VerifyError::Store(_)) => VerifyOutcome::Failed,
        });
    }
}
