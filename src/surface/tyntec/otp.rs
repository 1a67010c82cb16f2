//! The contract's operations on OTPs.

use axum::extract::{Path, State};
use http::StatusCode;

use crate::access::scope::Scope;
use crate::idempotency::Answer;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::code::EnteredCode;
use crate::otp::command::{DeleteError, ResendError, SendError, Verified, VerifyError};
use crate::otp::id::OtpId;
use crate::otp::machine::Verdict;
use crate::otp::phone::{Country, Phone};
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::surface::answer::{empty, given, json, kept_json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::otp::{Api, read_resend, read_send};
use crate::surface::refusal::store_refusal;
use crate::surface::tyntec::entity::{TyntecEvent, TyntecOtp};
use crate::surface::tyntec::error::{
    Cause, TyntecError, error, invalid, needs_context, send_refused, unknown_application, unknown_otp,
};
use crate::surface::written::without_decimals;

/// Send a one-time password
#[utoipa::path(
    post, path = "/2fa/v1/otp", operation_id = "Tyntec_SendOTP", tag = "tyntec",
    params(
        ("number" = String, Query, description = "Whom to send to: E.164 with +, with 00 or bare; or a national number together with country"),
        ("text" = Option<String>, Query, description = "Replaces the template; holds {{OTP}} unless otpCode is given"),
        ("pinLength" = Option<u8>, Query, description = "4 to 10"),
        ("via" = Option<String>, Query, description = "AUTO (default), SMS or VOICE"),
        ("applicationId" = Option<String>, Query, description = "The application's id, its number, or default"),
        ("language" = Option<String>, Query, description = "ISO 639-1"),
        ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2"),
        ("otpCode" = Option<String>, Query, description = "The caller's own code, 4 to 11 letters or digits"),
        ("sender" = Option<String>, Query, description = "Who the text message comes from"),
        ("caller" = Option<String>, Query, description = "The number that a call shows"),
        ("referenceId" = Option<String>, Query, description = "The caller's own reference"),
        OnceHeader,
    ),
    responses(
        (status = 200, description = "The one-time password", body = TyntecOtp),
        (status = 400, description = "A parameter is wrong, or the message may not leave", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 422, description = "The idempotency key came with another request before", body = TyntecError),
        (status = 429, description = "Over quota, or the number had enough messages for less than a minute", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn send(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Send)?;
    let mut input = Input::query(call.query());
    let send = read_send(&mut input, &call.caller.account);
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let Some(send) = send else { return Err(call.refuse(&Refusal::Internal)) };
    let render = |otp: &Otp| kept_json(StatusCode::OK, &TyntecOtp::of(otp, otp.created));
    match api.otps.send(send, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(SendError::Answered) => Err(call.answered()),
        Err(SendError::Refused(refusal)) => Err(send_refused(&call, &refusal, api.otps.now())),
        Err(SendError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// List the one-time passwords of a number
#[utoipa::path(
    get, path = "/2fa/v1/otp", operation_id = "Tyntec_ListOTP", tag = "tyntec",
    params(
        ("number" = String, Query, description = "Whose they are"),
        ("country" = Option<String>, Query, description = "ISO 3166-1 alpha-2"),
    ),
    responses(
        (status = 200, description = "The one-time passwords, newest first", body = [TyntecOtp]),
        (status = 204, description = "There are none"),
        (status = 400, description = "The number is wrong", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let mut input = Input::query(call.query());
    let country = input.optional("country", str::parse::<Country>);
    let phone = input.required("number", |text| Phone::parse(text, country));
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let Some(phone) = phone else { return Err(call.refuse(&Refusal::Internal)) };
    let otps = api.otps.list(&call.caller.account, &phone).await.map_err(|error| unavailable(&call, error))?;
    let now = api.otps.now();
    let entities: Vec<_> = otps.iter().map(|otp| TyntecOtp::of(otp, now)).collect();
    Ok(if entities.is_empty() { empty(StatusCode::NO_CONTENT) } else { json(StatusCode::OK, &entities) })
}

/// Get the status of a one-time password
#[utoipa::path(
    get, path = "/2fa/v1/otp/{otpID}", operation_id = "Tyntec_StatusOTP", tag = "tyntec",
    params(("otpID" = String, Path, description = "Id of the one-time password")),
    responses(
        (status = 200, description = "The one-time password", body = TyntecOtp),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 404, description = "No such one-time password", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn status(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let id = otp_id(&call, &id)?;
    let found = api.otps.find(&call.caller.account, id).await.map_err(|error| unavailable(&call, error))?;
    let otp = found.ok_or_else(|| unknown_otp(&call))?;
    Ok(json(StatusCode::OK, &TyntecOtp::of(&otp, api.otps.now())))
}

/// Send the same code again
#[utoipa::path(
    post, path = "/2fa/v1/otp/{otpID}", operation_id = "Tyntec_ResendOTP", tag = "tyntec",
    params(
        ("otpID" = String, Path, description = "Id of the one-time password"),
        ("via" = Option<String>, Query, description = "AUTO (default), SMS or VOICE"),
        ("sender" = Option<String>, Query, description = "Who the text message comes from"),
        ("caller" = Option<String>, Query, description = "The number that a call shows"),
        OnceHeader,
    ),
    responses(
        (status = 200, description = "The one-time password", body = TyntecOtp),
        (status = 400, description = "A parameter is wrong, or the message may not leave", body = TyntecError),
        (status = 401, description = "No valid API key, or the one-time password is no longer active", body = TyntecError),
        (status = 404, description = "No such one-time password", body = TyntecError),
        (status = 422, description = "The idempotency key came with another request before", body = TyntecError),
        (status = 429, description = "Over quota, or the number had enough messages for less than a minute", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn resend(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Send)?;
    let id = otp_id(&call, &id)?;
    let mut input = Input::query(call.query());
    let resend = read_resend(&mut input);
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let now = api.otps.now();
    let render = move |otp: &Otp| kept_json(StatusCode::OK, &TyntecOtp::of(otp, now));
    match api.otps.resend(&call.caller.account, id, resend, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(ResendError::Answered) => Err(call.answered()),
        Err(ResendError::Unknown) => Err(unknown_otp(&call)),
        Err(ResendError::NotActive(otp)) => {
            let message = format!("The one-time password is {}; send a new one.", otp.status_at(now).as_str());
            Err(error(&call, StatusCode::UNAUTHORIZED, Cause::NotActive, &message))
        }
        Err(ResendError::ApplicationGone) => Err(unknown_application(&call)),
        Err(ResendError::Refused(refusal)) => Err(send_refused(&call, &refusal, now)),
        Err(ResendError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// Delete a one-time password
#[utoipa::path(
    delete, path = "/2fa/v1/otp/{otpID}", operation_id = "Tyntec_DeleteOTP", tag = "tyntec",
    params(("otpID" = String, Path, description = "Id of the one-time password"), OnceHeader),
    responses(
        (status = 200, description = "The one-time password as it was", body = TyntecOtp),
        (status = 400, description = "The idempotency key is not one", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 404, description = "No such one-time password", body = TyntecError),
        (status = 422, description = "The idempotency key came with another request before", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Delete)?;
    let id = otp_id(&call, &id)?;
    let now = api.otps.now();
    let render = move |otp: &Otp| kept_json(StatusCode::OK, &TyntecOtp::of(otp, now));
    match api.otps.delete(&call.caller.account, id, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(DeleteError::Answered) => Err(call.answered()),
        Err(DeleteError::Unknown) => Err(unknown_otp(&call)),
        Err(DeleteError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// Verify a one-time password
///
/// 401 with the entity for a wrong code, 403 when it was the last attempt or the code has just expired, 410 afterwards.
#[utoipa::path(
    post, path = "/2fa/v1/otp/{otpID}/check", operation_id = "Tyntec_VerifyOTP", tag = "tyntec",
    params(
        ("otpID" = String, Path, description = "Id of the one-time password"),
        ("otpCode" = Option<String>, Query, description = "The code that the person typed; digits may have lost their leading zeros. It may be left out where it is not looked at: once the one-time password is no longer ACTIVE"),
        OnceHeader,
    ),
    responses(
        (status = 200, description = "The code is right", body = TyntecOtp),
        (status = 400, description = "otpCode is missing, and the one-time password is ACTIVE", body = TyntecError),
        (status = 401, description = "The code is wrong, attempts are left (or no valid API key: then the error body)", body = TyntecOtp),
        (status = 403, description = "The code is wrong and no attempt is left, or it has expired", body = TyntecOtp),
        (status = 404, description = "No such one-time password", body = TyntecError),
        (status = 410, description = "It was final already", body = TyntecOtp),
        (status = 422, description = "The idempotency key came with another request before", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn check(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Verify)?;
    let id = otp_id(&call, &id)?;
    let mut input = Input::query(call.query());
    // The connector's integer field may come as `12345.0`; no code has a dot.
    let code = |text: &str| Ok::<_, std::convert::Infallible>(EnteredCode::new(without_decimals(text.trim())));
    let entered = input.required("otpCode", code).unwrap_or_else(EnteredCode::missing);
    // What is wrong with it matters only while the OTP is active: else it is not looked at.
    let faults = input.finish().err().unwrap_or_default();
    match api.otps.verify(&call.caller.account, id, entered, None, call.keep(verdict)).await {
        Ok(verified) => Ok(given(verdict(&verified))),
        Err(VerifyError::Answered) => Err(call.answered()),
        Err(VerifyError::Unknown) => Err(unknown_otp(&call)),
        Err(VerifyError::ApplicationGone) => Err(unknown_application(&call)),
        Err(VerifyError::Context { .. }) => Err(needs_context(&call)),
        Err(VerifyError::NoCode) => Err(invalid(&call, &faults)),
        Err(VerifyError::Store(error)) => Err(unavailable(&call, error)),
    }
}

fn verdict(verified: &Verified) -> Answer {
    let status = match verified.verdict {
        Verdict::Verified => StatusCode::OK,
        Verdict::Wrong => StatusCode::UNAUTHORIZED,
        Verdict::Exhausted | Verdict::Expired | Verdict::TooOld | Verdict::Locked => StatusCode::FORBIDDEN,
        Verdict::Final(_) => StatusCode::GONE,
    };
    kept_json(status, &TyntecOtp::of(&verified.otp, verified.at))
}

/// List the events of a one-time password
#[utoipa::path(
    get, path = "/2fa/v1/otp/{otpID}/events", operation_id = "Tyntec_ListEvents", tag = "tyntec",
    params(("otpID" = String, Path, description = "Id of the one-time password")),
    responses(
        (status = 200, description = "The events, oldest first", body = [TyntecEvent]),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 404, description = "No such one-time password", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let id = otp_id(&call, &id)?;
    let found = api.otps.find(&call.caller.account, id).await.map_err(|error| unavailable(&call, error))?;
    let otp = found.ok_or_else(|| unknown_otp(&call))?;
    let entities: Vec<_> = otp.events.iter().map(TyntecEvent::from).collect();
    Ok(json(StatusCode::OK, &entities))
}

fn unavailable(call: &Call, error: StoreError) -> Response {
    call.refuse(&store_refusal(error, 1))
}

/// An id that is no UUID names no OTP either.
fn otp_id(call: &Call, text: &str) -> Result<OtpId, Response> {
    text.parse().map_err(|_| unknown_otp(call))
}
