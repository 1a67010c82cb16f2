//! Open a verification, see where it stands, end it.

use axum::extract::{Path, State};
use http::header::LOCATION;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::access::scope::Scope;
use crate::layer::idempotency::{NotKept, REPLAYED};
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::id::VerificationId;
use crate::secret::Secret;
use crate::surface::answer::{empty, json};
use crate::surface::extract::Call;
use crate::surface::once::OnceHeader;
use crate::surface::otp::{answer, invalid, read_body, unavailable};
use crate::surface::problem::{Problem, ProblemCode};
use crate::surface::refused::{Keyed, Sends};
use crate::surface::verifications::entity::VerificationEntity;
use crate::surface::verifications::read::{NewVerification, not_opened, read_wish};
use crate::surface::verifications::{Api, VERIFICATIONS};
use crate::verification::service::Opened;

/// Open a verification
///
/// Sends a code and answers with the address of a page on which the person enters it. Pass that on, or have it in the message
/// itself (an application's `verification.linkInMessage`).
#[utoipa::path(
    post, path = "/v1/verifications", operation_id = "OpenVerification", tag = "verifications",
    request_body = NewVerification, params(OnceHeader),
    responses(
        (status = 201, description = "The verification", body = VerificationEntity,
            headers(("Location" = String, description = "The address of the verification, which needs a key"))),
        Sends,
        (status = 503, description = "Temporarily unavailable; trying again with the same idempotency key does no more than once", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn open(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let mut input = read_body(&mut call).await?;
    let wish = read_wish(&mut input, &call.caller);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let Some(wish) = wish else { return Err(call.refuse(&Refusal::Internal)) };
    let opened = api.verifications.open(wish, call.ticket()).await;
    let opened = opened.map_err(|error| not_opened(&call, error, "", api.verifications.now()))?;
    let location = Secret::new(format!("{}{VERIFICATIONS}/{}", api.base_url, opened.verification.id));
    created(&api, &call, &opened, &location)
}

/// The answer to a call that opened `opened`, now or before. It is not kept: it is worded again from what is.
pub(super) fn created(api: &Api, call: &Call, opened: &Opened, location: &Secret) -> Result<Response, Response> {
    let page = api.verifications.page_address(opened.verification.id);
    let secret = opened.secret.as_ref().map(|secret| secret.expose().to_owned());
    let entity = VerificationEntity::opened(&opened.verification, page.expose(), secret);
    let mut response = json(StatusCode::CREATED, &entity);
    let mut location = HeaderValue::from_str(location.expose()).map_err(|_| call.refuse(&Refusal::Internal))?;
    location.set_sensitive(true);
    put(&mut response, LOCATION, location);
    if opened.repeated {
        put(&mut response, REPLAYED, HeaderValue::from_static("true"));
    }
    response.extensions_mut().insert(NotKept);
    Ok(response)
}

fn put(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

/// See where a verification stands
#[utoipa::path(
    get, path = "/v1/verifications/{verificationID}", operation_id = "GetVerification", tag = "verifications",
    params(("verificationID" = String, Path, description = "Id of the verification")),
    responses(
        (status = 200, description = "The verification", body = VerificationEntity),
        Keyed,
        (status = 404, description = "No such verification", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let id = verification_id(&call, &id)?;
    let found = api.verifications.find(&call.caller.account, id).await.map_err(|error| unavailable(&call, error))?;
    let found = found.ok_or_else(|| unknown(&call))?;
    let otp = api.verifications.otp_of(&found).await.map_err(|error| unavailable(&call, error))?;
    let page = api.verifications.page_address(id);
    let entity = VerificationEntity::now(&found, otp.as_ref(), page.expose(), api.verifications.now());
    Ok(json(StatusCode::OK, &entity))
}

/// End a verification
///
/// One that is open ends as CANCELLED_BY_FLOW, and its code is deleted; whoever waits for it is told. One that ended before
/// stays as it is.
#[utoipa::path(
    delete, path = "/v1/verifications/{verificationID}", operation_id = "CancelVerification", tag = "verifications",
    params(("verificationID" = String, Path, description = "Id of the verification")),
    responses(
        (status = 204, description = "The verification is over"),
        Keyed,
        (status = 404, description = "No such verification", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Delete)?;
    let id = verification_id(&call, &id)?;
    match api.verifications.cancel(&call.caller.account, id).await {
        Ok(true) => Ok(empty(StatusCode::NO_CONTENT)),
        Ok(false) => Err(unknown(&call)),
        Err(error) => Err(unavailable(&call, error)),
    }
}

/// An id that is no UUID names no verification either.
fn verification_id(call: &Call, text: &str) -> Result<VerificationId, Response> {
    text.parse().map_err(|_| unknown(call))
}

fn unknown(call: &Call) -> Response {
    let words = "No verification of this account has this id.";
    answer(call, Problem::new(StatusCode::NOT_FOUND, ProblemCode::VerificationNotFound, words))
}
