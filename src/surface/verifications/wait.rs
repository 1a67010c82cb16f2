//! The step of a flow that waits: it opens a verification, pauses, and is called back with how that ended.

use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::layer::dialect::refuse;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::secret::Secret;
use crate::surface::answer::empty;
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::otp::{invalid, read_body};
use crate::surface::problem::Problem;
use crate::surface::refusal::store_refusal;
use crate::surface::refused::{Capability, Sends};
use crate::surface::verifications::entity::VerificationEntity;
use crate::surface::verifications::handlers::created;
use crate::surface::verifications::read::{NewVerification, not_opened, read_wish};
use crate::surface::verifications::{Api, CAPABILITIES};
use crate::verification::token::WaitToken;

/// What to verify, and who waits for it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; the handler reads it, to name every fault at once")]
pub(super) struct AwaitedVerification {
    /// Where the outcome is posted: an absolute https address, which is kept byte for byte.
    #[schema(format = "uri", max_length = 4096, example = "https://example.com/hooks?sig=abc%3D")]
    callback: String,
    /// What to verify, and how.
    verification: NewVerification,
}

/// Open a verification and wait for it
///
/// As opening one; and once it ended, how is posted to the callback: once, unless nobody answered, signed as Standard Webhooks
/// says, with the verification's id as `webhook-id`. The address in `Location` ends the wait.
#[utoipa::path(
    post, path = "/v1/verifications/wait", operation_id = "SendOTPAndWait", tag = "verifications",
    request_body = AwaitedVerification, params(OnceHeader),
    responses(
        (status = 201, description = "The verification that is waited for", body = VerificationEntity,
            headers(("Location" = String, description = "The address that ends the wait: a secret, with which no key is needed"))),
        Sends,
        (status = 503, description = "Temporarily unavailable; trying again with the same idempotency key does no more than once", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn open_and_wait(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let mut input = read_body(&mut call).await?;
    let callback = input.required("callback", |text| Ok::<_, std::convert::Infallible>(Secret::new(text.to_owned())));
    if let Some(callback) = &callback
        && let Err(fault) = api.post.judge(callback.expose()).await
    {
        input.fault("callback", format!("must be {fault}"));
    }
    let wish = input.below("verification").and_then(|mut inner: Input| {
        let wish = read_wish(&mut inner, &call.caller);
        input.absorb("verification", inner);
        wish
    });
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let Some(mut wish) = wish else { return Err(call.refuse(&Refusal::Internal)) };
    wish.callback = callback;
    let opened = api.verifications.open(wish, call.ticket()).await;
    let opened = opened.map_err(|error| not_opened(&call, error, "/verification", api.verifications.now()))?;
    let token = api.verifications.wait_token(opened.verification.id);
    let location = Secret::new(format!("{}{CAPABILITIES}{}", api.base_url, token.expose()));
    created(&api, &call, &opened, &location)
}

/// Stop waiting for a verification
///
/// The address is the one in `Location` when the verification was opened; it needs no key, and a key that comes along is
/// ignored. Nobody is called back any more, and a verification that is open ends. Ending the wait again is no error.
#[utoipa::path(
    delete, path = "/v1/verifications/wait/{token}", operation_id = "StopWaiting", tag = "verifications",
    params(("token" = String, Path, description = "The last part of the address that ends the wait")),
    responses(
        (status = 204, description = "Nobody waits any more"),
        (status = 404, description = "This was never the address of a wait", body = Problem, content_type = "application/problem+json"),
        Capability,
    ),
)]
pub(super) async fn unsubscribe(State(api): State<Api>, Path(token): Path<String>, request: Request) -> Response {
    let token = Secret::new(token);
    match api.verifications.unsubscribe(&WaitToken::read(token.expose())).await {
        Ok(true) => empty(StatusCode::NO_CONTENT),
        // Guessing is charged like a wrong key.
        Ok(false) => api.guard.refuse_with(request, Refusal::NotFound).await,
        Err(error) => refuse(request.extensions(), &store_refusal(error, 1)),
    }
}
