//! The native operations on OTPs, and the connection itself.

use std::time::Duration;

use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::clock::UnixMillis;
use crate::layer::refusal::Refusal;
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::otp::code::EnteredCode;
use crate::otp::command::{DeleteError, ResendError, SendError, SendRefusal, Verified, VerifyError};
use crate::otp::id::OtpId;
use crate::otp::machine::Verdict;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::store::StoreError;
use crate::quota::ConnectionKey;
use crate::surface::answer::{given, json, kept_json};
use crate::surface::extract::Call;
use crate::surface::fault::{Fault, Place, REQUIRED};
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::otp::Api;
use crate::surface::otp::context::{ContextBody, read_context};
use crate::surface::otp::entity::{ConnectionEntity, OtpEntity, QuotaEntity, VerdictEntity};
use crate::surface::otp::send::{ResendBody, SendBody, read_resend, read_send};
use crate::surface::problem::{Problem, ProblemCode};
use crate::surface::refusal::store_refusal;
use crate::surface::refused::{Keyed, Sends};

/// Over-limit sends that clear within this time are 429: a platform's retry is worth its while then.
const WORTH_A_RETRY: Duration = Duration::from_secs(60);

/// Send a one-time password
///
/// Makes a code, queues its message and answers. The message leaves afterwards; the status tells how it went.
#[utoipa::path(
    post, path = "/v1/otp", operation_id = "SendOTP", tag = "otp", request_body = SendBody,
    params(OnceHeader),
    responses(
        (status = 200, description = "The one-time password", body = OtpEntity),
        Sends,
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn send_otp(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let mut input = read_body(&mut call).await?;
    let send = read_send(&mut input, &call.caller.account);
    let context = read_context(&mut input);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let Some(mut send) = send else { return Err(call.refuse(&Refusal::Internal)) };
    send.terms.context = context;
    let render = |otp: &Otp| kept_json(StatusCode::OK, &OtpEntity::of(otp, otp.created));
    match api.otps.send(send, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(SendError::Answered) => Err(call.answered()),
        Err(SendError::Refused(refusal)) => Err(refused(&call, &refusal, api.otps.now())),
        Err(SendError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// Get the status of a one-time password
#[utoipa::path(
    get, path = "/v1/otp/{otpID}", operation_id = "StatusOTP", tag = "otp",
    params(("otpID" = String, Path, description = "Id of the one-time password")),
    responses(
        (status = 200, description = "The one-time password", body = OtpEntity),
        Keyed,
        (status = 404, description = "No such one-time password", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn status_otp(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let id = otp_id(&call, &id)?;
    let found = api.otps.find(&call.caller.account, id).await.map_err(|error| unavailable(&call, error))?;
    let otp = found.ok_or_else(|| unknown(&call))?;
    Ok(json(StatusCode::OK, &OtpEntity::of(&otp, api.otps.now())))
}

/// Send the same code again
///
/// The code and its expiry stay as they are.
#[utoipa::path(
    post, path = "/v1/otp/{otpID}/resend", operation_id = "ResendOTP", tag = "otp", request_body = Option<ResendBody>,
    params(("otpID" = String, Path, description = "Id of the one-time password"), OnceHeader),
    responses(
        (status = 200, description = "The one-time password", body = OtpEntity),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such one-time password", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No longer active, locked, or sent often enough", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another request before", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Over quota, or the number had enough messages for less than a minute", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn resend_otp(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let id = otp_id(&call, &id)?;
    let mut input = read_body(&mut call).await?;
    let resend = read_resend(&mut input);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let now = api.otps.now();
    let render = move |otp: &Otp| kept_json(StatusCode::OK, &OtpEntity::of(otp, now));
    api.otps.resend(&call.caller.account, id, resend, call.keep(render)).await.map_or_else(
        |error| {
            Err(match error {
                ResendError::Answered => call.answered(),
                ResendError::Unknown => unknown(&call),
                ResendError::NotActive(otp) => {
                    let status = otp.status_at(now).as_str();
                    let words = format!("It is {status}; send a new one.");
                    let problem = Problem::new(StatusCode::CONFLICT, ProblemCode::OtpNotActive, words);
                    answer(&call, problem.otp_status(status))
                }
                ResendError::ApplicationGone => application_gone(&call),
                ResendError::Refused(refusal) => refused(&call, &refusal, now),
                ResendError::Store(error) => unavailable(&call, error),
            })
        },
        |otp| Ok(given(render(&otp))),
    )
}

/// What was entered.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; the handler reads it, to name every fault at once")]
pub(super) struct VerifyBody {
    /// The code that the person typed.
    #[schema(min_length = 1, example = "012345")]
    otp_code: String,
    /// The greatest age of the code in seconds, where less than its lifetime is wanted.
    #[schema(nullable = false, minimum = 1, maximum = 7200)]
    max_age: Option<u32>,
    /// What the code was sent for, where it was sent for something: another amount, currency or payee is a wrong code.
    #[schema(nullable = false)]
    context: Option<ContextBody>,
}

/// Verify a one-time password
///
/// A wrong code is an answer, not an error: 200 with `verified: false`, where the code stands and how many attempts are left.
#[utoipa::path(
    post, path = "/v1/otp/{otpID}/verify", operation_id = "VerifyOTP", tag = "otp", request_body = VerifyBody,
    params(("otpID" = String, Path, description = "Id of the one-time password"), OnceHeader),
    responses(
        (status = 200, description = "The verdict", body = VerdictEntity),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        Keyed,
        (status = 404, description = "No such one-time password", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another request before", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable; no attempt was counted", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn verify_otp(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let id = otp_id(&call, &id)?;
    let mut input = read_body(&mut call).await?;
    let entered = input.required("otpCode", |text| Ok::<_, std::convert::Infallible>(EnteredCode::new(text)));
    let max_age = input.optional_number("maxAge", |seconds| match seconds {
        1..=7_200 => Ok(Duration::from_secs(seconds)),
        _ => Err("1 to 7200 seconds"),
    });
    let context = read_context(&mut input);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let Some(entered) = entered else { return Err(call.refuse(&Refusal::Internal)) };
    let entered = entered.given_for(context);
    let render = |verified: &Verified| kept_json(StatusCode::OK, &verdict(verified));
    match api.otps.verify(&call.caller.account, id, entered, max_age, call.keep(render)).await {
        Ok(verified) => Ok(given(render(&verified))),
        Err(VerifyError::Answered) => Err(call.answered()),
        Err(VerifyError::Unknown) => Err(unknown(&call)),
        Err(VerifyError::ApplicationGone) => Err(application_gone(&call)),
        Err(VerifyError::Context { bound }) => {
            let detail = if bound {
                "is required: the code was sent for an amount and a payee"
            } else {
                "must be left out: the code was sent without one"
            };
            Err(invalid(&call, vec![Fault { at: Place::Pointer("/context".to_owned()), detail: detail.to_owned() }]))
        }
        Err(VerifyError::NoCode) => {
            Err(invalid(&call, vec![Fault { at: Place::Pointer("/otpCode".to_owned()), detail: REQUIRED.to_owned() }]))
        }
        Err(VerifyError::Store(error)) => Err(unavailable(&call, error)),
    }
}

fn verdict(verified: &Verified) -> VerdictEntity {
    let otp = OtpEntity::of(&verified.otp, verified.at);
    let otp = match verified.verdict {
        Verdict::TooOld => otp.found(OtpStatus::Expired.as_str(), verified.otp.attempts_left(verified.at)),
        Verdict::Locked => otp.found(OtpStatus::TooManyAttempts.as_str(), 0),
        _ => otp,
    };
    VerdictEntity { verified: verified.verdict == Verdict::Verified, otp }
}

/// Delete a one-time password
///
/// Answers its last state; from then on it is unknown.
#[utoipa::path(
    delete, path = "/v1/otp/{otpID}", operation_id = "DeleteOTP", tag = "otp",
    params(("otpID" = String, Path, description = "Id of the one-time password"), OnceHeader),
    responses(
        (status = 200, description = "The one-time password as it was", body = OtpEntity),
        (status = 400, description = "The idempotency key is not one", body = Problem, content_type = "application/problem+json"),
        Keyed,
        (status = 404, description = "No such one-time password", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another request before", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn delete_otp(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Delete)?;
    let id = otp_id(&call, &id)?;
    let now = api.otps.now();
    let render = move |otp: &Otp| kept_json(StatusCode::OK, &OtpEntity::of(otp, now));
    match api.otps.delete(&call.caller.account, id, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(DeleteError::Answered) => Err(call.answered()),
        Err(DeleteError::Unknown) => Err(unknown(&call)),
        Err(DeleteError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// Who am I, and what is left of my quota
///
/// This call counts like any other.
#[utoipa::path(
    get, path = "/v1/connection", operation_id = "GetConnection", tag = "connection",
    responses(
        (status = 200, description = "The connection", body = ConnectionEntity),
        Keyed,
    ),
    security(("apikey" = []))
)]
pub(super) async fn connection(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    // Whoever holds a key may ask what it is: no scope is needed, so any scope that it has will do.
    let held = |request: &Request| {
        let caller = request.extensions().get::<std::sync::Arc<crate::access::authenticator::Caller>>();
        caller.and_then(|caller| Scope::ALL.into_iter().find(|scope| caller.scopes.allow(*scope)))
    };
    let scope = held(&request).unwrap_or(Scope::Status);
    let call = Call::open(request, scope)?;
    let caller = &call.caller;
    let quota = match caller.allowance.policy() {
        None => None,
        Some(policy) => {
            let standing = api.quota.peek(ConnectionKey(caller.connection.get()), policy).get().await;
            let standing = standing.map_err(|_| call.refuse(&Refusal::Unavailable { retry_after: 1 }))?;
            Some(QuotaEntity {
                calls: policy.calls(),
                period: policy.period_seconds(),
                remaining: standing.remaining,
                resets_in: standing.resets_in_seconds(),
            })
        }
    };
    let scopes = Scope::ALL.into_iter().filter(|scope| caller.scopes.allow(*scope)).map(Scope::name).collect();
    let entity = ConnectionEntity {
        connection_id: caller.connection.to_string(),
        name: caller.name.clone(),
        account_id: caller.account.to_string(),
        scopes,
        quota,
    };
    Ok(json(StatusCode::OK, &entity))
}

pub(crate) async fn read_body(call: &mut Call) -> Result<Input, Response> {
    let bytes = call.json_body().await?;
    Input::json(&bytes).map_err(|fault| invalid(call, vec![fault]))
}

pub(crate) fn answer(call: &Call, problem: Problem) -> Response {
    problem.answer(Stamp::of(&call.head.extensions))
}

pub(crate) fn invalid(call: &Call, faults: Vec<Fault>) -> Response {
    answer(call, Problem::invalid(faults))
}

pub(crate) fn unavailable(call: &Call, error: StoreError) -> Response {
    call.refuse(&store_refusal(error, 1))
}

/// An id that is no UUID names no OTP either.
fn otp_id(call: &Call, text: &str) -> Result<OtpId, Response> {
    text.parse().map_err(|_| unknown(call))
}

fn unknown(call: &Call) -> Response {
    let words = "No one-time password of this account has this id.";
    answer(call, Problem::new(StatusCode::NOT_FOUND, ProblemCode::OtpNotFound, words))
}

fn application_gone(call: &Call) -> Response {
    let words = "The application that it was sent for was deleted.";
    answer(call, Problem::new(StatusCode::NOT_FOUND, ProblemCode::ApplicationNotFound, words))
}

pub(crate) fn refused(call: &Call, refusal: &SendRefusal, now: UnixMillis) -> Response {
    let problem = match *refusal {
        SendRefusal::ContextNeeded => {
            let detail = "is required: the text names {{AMOUNT}} or {{PAYEE}}".to_owned();
            return invalid(call, vec![Fault { at: Place::Pointer("/context".to_owned()), detail }]);
        }
        SendRefusal::UnknownApplication => {
            let words = "applicationId names no application of this account.";
            Problem::new(StatusCode::NOT_FOUND, ProblemCode::ApplicationNotFound, words)
        }
        SendRefusal::CountryNotServed => {
            let words = "Messages to the number's country are not offered; the operator's delivery.countries lists those that are.";
            Problem::new(StatusCode::FORBIDDEN, ProblemCode::CountryNotServed, words)
        }
        SendRefusal::LineNotServed(line) => {
            let words = format!("number is {}; such numbers are not sent to.", line.words());
            Problem::new(StatusCode::FORBIDDEN, ProblemCode::LineNotServed, words)
        }
        SendRefusal::ChannelNotOffered(channel) => {
            let words = format!("No carrier here takes {} messages to this number; try another via.", channel.as_str());
            Problem::new(StatusCode::FORBIDDEN, ProblemCode::ChannelNotOffered, words)
        }
        SendRefusal::TooManySends(next) => {
            let wait = next.since(now);
            let words = format!("The next message to this number may be sent at {}.", next.to_rfc3339());
            let problem = if wait <= WORTH_A_RETRY {
                let seconds = u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(60).max(1);
                Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemCode::SendLimit, words).retry_after(seconds)
            } else {
                Problem::new(StatusCode::CONFLICT, ProblemCode::SendLimit, words)
            };
            problem.next_send_at(next)
        }
        SendRefusal::Locked(until) => {
            let words = format!("Too many wrong codes in a row; the number is locked until {}.", until.to_rfc3339());
            Problem::new(StatusCode::CONFLICT, ProblemCode::NumberLocked, words).next_send_at(until)
        }
        SendRefusal::CeilingReached(next) => {
            let words = format!("The account's messages to this country are used up until {}.", next.to_rfc3339());
            Problem::new(StatusCode::FORBIDDEN, ProblemCode::DailyCeiling, words).next_send_at(next)
        }
        SendRefusal::TooManyResends => {
            let words = "Send a new one instead.";
            Problem::new(StatusCode::CONFLICT, ProblemCode::ResendLimit, words)
        }
    };
    answer(call, problem)
}
