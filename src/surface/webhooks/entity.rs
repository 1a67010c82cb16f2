//! What a subscriber is told: one flat object, what happened, and the fields of what it happened to: the native one-time password,
//! or the outcome of a verification as whoever waits for it is told it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::dispatch::Wording;
use crate::events::queue::{About, Queued};
use crate::events::subscription::Subscription;
use crate::otp::news::EventName;
use crate::surface::otp::OtpEntity;
use crate::surface::verifications::VerificationOutcome;
use crate::surface::vocabulary;
use crate::verification::news::told;

/// An event: what happened to a one-time password, and the one-time password as it stood then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtpChange {
    /// What happened.
    #[schema(schema_with = vocabulary::event)]
    event: &'static str,
    /// The id of the event (UUID), the same at every try: who has seen it has seen the event. Also in `webhook-id`.
    #[schema(format = "uuid")]
    event_id: String,
    /// When it happened (RFC 3339).
    #[schema(format = "date-time")]
    occurred_at: String,
    /// In words, where there is more to say: who took a message, or why it will not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The one-time password.
    #[serde(flatten)]
    otp: OtpEntity,
}

/// How a verification ended, as a subscriber is told it who asked for that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationChange {
    /// How it ended.
    #[schema(schema_with = vocabulary::verification_event)]
    event: &'static str,
    /// The id of the event (UUID), the same at every try: who has seen it has seen the event. Also in `webhook-id`.
    #[schema(format = "uuid")]
    event_id: String,
    /// When it ended (RFC 3339).
    #[schema(format = "date-time")]
    occurred_at: String,
    /// The outcome.
    #[serde(flatten)]
    outcome: VerificationOutcome,
}

/// An event in words. The same event is always worded the same.
#[derive(Serialize)]
#[serde(untagged)]
enum Change {
    Otp(OtpChange),
    Verification(VerificationChange),
}

impl Change {
    /// None where its record is not one that this release reads.
    fn of(event: &Queued) -> Option<Self> {
        let notice = &*event.notice;
        let (event, event_id) = (notice.name.as_str(), event.address.event.to_string());
        let occurred_at = notice.at.to_rfc3339();
        match &notice.about {
            About::Otp(otp) => {
                let (detail, otp) = (notice.detail.clone(), OtpEntity::of(otp, notice.at));
                Some(Self::Otp(OtpChange { event, event_id, occurred_at, detail, otp }))
            }
            About::Other(other) => {
                let outcome = VerificationOutcome::of(&told(other)?);
                Some(Self::Verification(VerificationChange { event, event_id, occurred_at, outcome }))
            }
        }
    }
}

/// Words events as the native interface does.
#[derive(Clone, Copy, Debug)]
pub struct Worder;

impl Wording for Worder {
    fn word(&self, event: &Queued) -> Vec<u8> {
        // Texts and numbers only: this cannot fail.
        serde_json::to_vec(&Change::of(event)).unwrap_or_default()
    }
}

/// A subscription.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subscription)]
pub(super) struct SubscriptionEntity {
    /// Its id. It opens nothing; the address in `Location` does.
    #[schema(example = "sub_0123456789abcdef")]
    subscription_id: String,
    /// The events that are told.
    #[schema(schema_with = vocabulary::events)]
    events: Vec<&'static str>,
    /// The application whose one-time passwords and verifications are told of (UUID); left out when it is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    application_id: Option<String>,
    /// When it was made, in milliseconds since 1970.
    #[schema(format = "int64", example = 1_763_764_437_120_i64)]
    created: u64,
    /// The secret that events are signed with (Standard Webhooks): only when the subscription is new, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    signing_secret: Option<String>,
}

impl SubscriptionEntity {
    pub(super) fn of(subscription: &Subscription, signing_secret: Option<String>) -> Self {
        Self {
            subscription_id: subscription.id.to_string(),
            events: subscription.events.iter().map(EventName::as_str).collect(),
            application_id: subscription.application.map(|id| id.to_string()),
            created: subscription.created.0,
            signing_secret,
        }
    }
}
