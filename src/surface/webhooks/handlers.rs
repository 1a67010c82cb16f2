//! Subscribe and unsubscribe.

use axum::extract::{Path, State};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::events::subscriptions::{SubscribeError, Wish};
use crate::layer::dialect::refuse;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::application::ApplicationRef;
use crate::otp::news::{EventName, EventNames};
use crate::secret::Secret;
use crate::surface::answer::{empty, json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::otp::{answer, invalid, read_body, unavailable};
use crate::surface::problem::{Problem, ProblemCode};
use crate::surface::refusal::store_refusal;
use crate::surface::refused::{Capability, Keyed};
use crate::surface::vocabulary;
use crate::surface::webhooks::Hooks;
use crate::surface::webhooks::entity::SubscriptionEntity;

/// What to tell, and where.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; the handler reads it, to name every fault at once")]
pub(super) struct NewSubscription {
    /// Where events are posted: an absolute https address, which is kept byte for byte.
    #[schema(format = "uri", max_length = 4096, example = "https://example.com/hooks?sig=abc%3D")]
    notification_url: String,
    /// The events to tell; every one of one-time passwords when left out or empty.
    #[schema(schema_with = vocabulary::events)]
    events: Option<Vec<String>>,
    /// The application that is told of: its id, its number, or default; all of them when left out.
    #[schema(nullable = false)]
    application_id: Option<String>,
}

/// Subscribe to what becomes of one-time passwords and verifications
///
/// Events are posted to the callback address as they happen, at least once, signed as Standard Webhooks says: each an `OtpChange`, or,
/// of how a verification ended, a `VerificationChange`. The same callback again is the same subscription, with what it is told
/// changed. Its address, in `Location`, ends it.
#[utoipa::path(
    post, path = "/v1/webhooks", operation_id = "WhenOTPChanges", tag = "webhooks", request_body = NewSubscription,
    responses(
        (status = 201, description = "The subscription", body = SubscriptionEntity,
            headers(("Location" = String, description = "The address that ends the subscription: a secret, with which no key is needed"))),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        Keyed,
        (status = 403, description = "The scope webhooks is missing", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The account has enough subscriptions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn subscribe(State(hooks): State<Hooks>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Webhooks)?;
    let mut input = read_body(&mut call).await?;
    let url = input.required("notificationUrl", |text| Ok::<_, std::convert::Infallible>(Secret::new(text.to_owned())));
    if let Some(url) = &url
        && let Err(fault) = hooks.post.judge(url.expose()).await
    {
        input.fault("notificationUrl", format!("must be {fault}"));
    }
    let events = read_events(&mut input);
    let application = input.optional("applicationId", ApplicationRef::parse);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let Some(url) = url else { return Err(call.refuse(&Refusal::Internal)) };
    let (account, connection) = (call.caller.account.clone(), call.caller.connection);
    let application = match application {
        Some(reference) => {
            let applications = hooks.catalogue.of(&account).await.map_err(|error| unavailable(&call, error))?;
            Some(applications.find(reference).ok_or_else(|| unknown_application(&call))?.id)
        }
        None => None,
    };
    let wish = Wish { account, connection, url, events, application };
    let subscribed = hooks.subscriptions.subscribe(&wish).await.map_err(|error| match error {
        SubscribeError::TooMany => {
            let words = "An account has at most 100 subscriptions; end one.";
            answer(&call, Problem::new(StatusCode::CONFLICT, ProblemCode::TooManySubscriptions, words))
        }
        SubscribeError::Store(error) => unavailable(&call, error),
    })?;
    let secret = subscribed.secret.map(|secret| secret.expose().to_owned());
    let mut response = json(StatusCode::CREATED, &SubscriptionEntity::of(&subscribed.subscription, secret));
    let location = Secret::new(format!("{}{}{}", hooks.base_url, super::CAPABILITIES, subscribed.token.expose()));
    let mut location = HeaderValue::from_str(location.expose()).map_err(|_| call.refuse(&Refusal::Internal))?;
    location.set_sensitive(true);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

fn read_events(input: &mut Input) -> EventNames {
    // How verifications end is told to who names it.
    let usual = EventNames::of_otps();
    match input.optional_value("events") {
        None => usual,
        Some(Value::Array(names)) if names.is_empty() => usual,
        Some(Value::Array(names)) => {
            let mut events = EventNames::default();
            for (index, name) in names.iter().enumerate() {
                match name.as_str().map(EventName::parse) {
                    Some(Ok(name)) => events.add(name),
                    Some(Err(error)) => input.fault_at("events", index, format!("must be {error}")),
                    None => input.fault_at("events", index, "must be a string"),
                }
            }
            events
        }
        Some(_) => {
            input.fault("events", "must be an array of names of events, such as [\"VERIFIED\", \"EXPIRED\"]");
            usual
        }
    }
}

fn unknown_application(call: &Call) -> Response {
    let words = "applicationId names no application of this account.";
    answer(call, Problem::new(StatusCode::NOT_FOUND, ProblemCode::ApplicationNotFound, words))
}

/// End a subscription
///
/// The address is the one in `Location` when it was made; it needs no key, and a key that comes along is ignored. Ending
/// it again is no error. Events that wait are dropped.
#[utoipa::path(
    delete, path = "/v1/webhooks/{token}", operation_id = "UnsubscribeOTPChanges", tag = "webhooks",
    params(("token" = String, Path, description = "The last part of the subscription's address")),
    responses(
        (status = 204, description = "The subscription is over"),
        (status = 404, description = "This was never the address of a subscription", body = Problem, content_type = "application/problem+json"),
        Capability,
    ),
)]
pub(super) async fn unsubscribe(State(hooks): State<Hooks>, Path(token): Path<String>, request: Request) -> Response {
    let token = Secret::new(token);
    match hooks.subscriptions.unsubscribe(token.expose()).await {
        Ok(true) => empty(StatusCode::NO_CONTENT),
        // Guessing is charged like a wrong key.
        Ok(false) => hooks.guard.refuse_with(request, Refusal::NotFound).await,
        Err(error) => refuse(request.extensions(), &store_refusal(error, 1)),
    }
}
