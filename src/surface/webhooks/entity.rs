//! What a subscriber is told: one flat object, the fields of the native one-time password and what happened to it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::dispatch::Wording;
use crate::events::queue::Queued;
use crate::events::subscription::Subscription;
use crate::otp::news::EventName;
use crate::surface::otp::OtpEntity;
use crate::surface::vocabulary;

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

impl OtpChange {
    /// The event in words. The same event is always worded the same.
    #[must_use]
    pub fn of(event: &Queued) -> Self {
        let notice = &*event.notice;
        Self {
            event: notice.name.as_str(),
            event_id: event.address.event.to_string(),
            occurred_at: notice.at.to_rfc3339(),
            detail: notice.detail.clone(),
            otp: OtpEntity::of(&notice.otp, notice.at),
        }
    }
}

/// Words events as the native interface does.
#[derive(Clone, Copy, Debug)]
pub struct Worder;

impl Wording for Worder {
    fn word(&self, event: &Queued) -> Vec<u8> {
        // Texts and numbers only: this cannot fail.
        serde_json::to_vec(&OtpChange::of(event)).unwrap_or_default()
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
    /// The application whose one-time passwords are told of (UUID); left out when it is all of them.
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
