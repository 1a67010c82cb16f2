//! Codes: sent for one of six purposes, after a puzzle; and checked for the same purpose, where no session is wanted.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::idempotency::Answer;
use crate::identity::captcha::CaptchaError;
use crate::layer::{Request, Response};
use crate::otp::channel::Via;
use crate::otp::code::EnteredCode;
use crate::otp::command::{Check, Send, SendError, Terms, Verified, VerifyError};
use crate::otp::machine::Verdict;
use crate::otp::phone::Phone;
use crate::otp::record::Otp;
use crate::surface::answer::{given, kept_json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::oneaccess::error::{Cause, OneAccessError, Tongue, error, invalid, send_refused, unavailable};
use crate::surface::oneaccess::puzzle::{refused, take_apart};
use crate::surface::oneaccess::text::Type;
use crate::surface::oneaccess::{Api, ClientHeaders, Mobile, Parts};

/// A message that is asked for.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the schema of the body; `Input` reads it, to name every fault at once")]
#[schema(as = OneAccessSmsRequest)]
pub(super) struct SmsBody {
    /// Whom to send to: E.164 with `+`, or a national number of the preferred country.
    #[schema(example = "13800000000")]
    mobile: String,
    /// What the code is for; it verifies nothing else. One of REGISTER_SMS, LOGIN_SMS, FORGET_PWD_SMS, BIND_MOBILE_SMS,
    /// UPDATE_MOBILE_SMS, OTP_REST_SMS.
    #[schema(example = "LOGIN_SMS")]
    r#type: String,
    /// What the puzzle gave; it serves once, for this number.
    captcha_token: String,
}

/// A code that is to be checked for any purpose.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the schema of the body; `Input` reads it, to name every fault at once")]
#[schema(as = OneAccessVerifyRequest)]
pub(super) struct VerifyBody {
    /// Whom it was sent to.
    #[schema(example = "13800000000")]
    mobile: String,
    /// What it was sent for.
    #[schema(example = "REGISTER_SMS")]
    r#type: String,
    /// What was typed.
    #[schema(example = "123456")]
    verify_code: String,
}

/// A right code.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessStatus)]
pub(super) struct StatusEntity {
    /// SUCCESS.
    #[schema(example = "SUCCESS")]
    status: &'static str,
}

/// Send a verification code
///
/// The answer has no body. The newest code of a number and type is the one that holds.
#[utoipa::path(
    post, path = "/api/v2/sdk/sms/send", operation_id = "OneAccess_SendSms", tag = "oneaccess",
    params(ClientHeaders, OnceHeader),
    request_body(content = SmsBody, description = "Whom to send to, and what for"),
    responses(
        (status = 200, description = "It is on its way"),
        (status = 400, description = "A parameter is wrong, the captcha token does not serve, or the message may not leave", body = OneAccessError),
        (status = 422, description = "The idempotency key came with another request before", body = OneAccessError),
        (status = 429, description = "Over quota, or the number had enough messages for less than a minute", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn send(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(&call, &[fault]))?;
    let mobile = input.required("mobile", |text| Mobile::parse(text, api.preferred));
    let kind = input.required("type", str::parse::<Type>);
    let captcha = input.text("captcha_token");
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let (Some(mobile), Some(kind)) = (mobile, kind) else { return Err(error(&call, Cause::Internal)) };
    // Before any message leaves, and before anything is counted for the number: a person has to have looked.
    let captcha = captcha.as_deref().and_then(take_apart).ok_or_else(|| refused(&call, CaptchaError::Invalid))?;
    let spent = api.captchas.spend(call.caller.connection, captcha.0, captcha.1, &mobile.canonical()).await;
    spent.map_err(|refusal| refused(&call, refusal))?;
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| unavailable(&call, error))?;
    let (application, text) = kind.terms(&applications, &mobile.0);
    let purpose = kind.purpose().map_err(|_| error(&call, Cause::Internal))?;
    let send = Send {
        account: call.caller.account.clone(),
        phone: mobile.0,
        application,
        via: Via::Sms,
        language: None,
        text,
        code: None,
        pin_length: None,
        sender: None,
        caller: None,
        reference: None,
        terms: Terms { purpose: Some(purpose), ..Terms::default() },
    };
    let render = |_: &Otp| Answer { status: 200, media_type: "".into(), body: bytes::Bytes::new() };
    match api.otps.send(send, call.keep(render)).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(SendError::Answered) => Err(call.answered()),
        Err(SendError::Refused(refusal)) => Err(send_refused(&call, &refusal, api.otps.now())),
        Err(SendError::Store(error)) => Err(unavailable(&call, error)),
    }
}

/// Verify a code without opening a session
///
/// An addition to OneAccess: for the types whose codes its identity product checks inside other operations.
#[utoipa::path(
    post, path = "/api/v2/sdk/sms/verify", operation_id = "OneAccess_VerifySms", tag = "oneaccess",
    params(ClientHeaders, OnceHeader),
    request_body(content = VerifyBody, description = "What was typed"),
    responses(
        (status = 200, description = "The code is right, for the first and only time", body = StatusEntity),
        (status = 400, description = "It is wrong or has expired, or a parameter is wrong", body = OneAccessError),
        (status = 422, description = "The idempotency key came with another request before", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn verify(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(&call, &[fault]))?;
    let kind = input.required("type", str::parse::<Type>);
    let typed = Typed::read(&mut input, &api);
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let (Some(kind), Some(typed)) = (kind, typed) else { return Err(error(&call, Cause::Internal)) };
    let right = || kept_json(StatusCode::OK, &StatusEntity { status: "SUCCESS" });
    check(&api, &mut call, typed, kind, right).await.map(|(answer, _)| given(answer))
}

/// What a person typed, and whom it was sent to.
pub(super) struct Typed {
    pub(super) phone: Phone,
    entered: EnteredCode,
}

impl Typed {
    /// Reads `mobile` and `verify_code`; faults stay with the input.
    pub(super) fn read(input: &mut Input, api: &Parts) -> Option<Self> {
        let mobile = input.required("mobile", |text| Mobile::parse(text, api.preferred));
        let entered = input.required("verify_code", |text| {
            if text.len() <= 64 { Ok(EnteredCode::new(text)) } else { Err("at most 64 bytes") }
        });
        Some(Self { phone: mobile?.0, entered: entered? })
    }
}

/// Checks a code for a purpose. The answer, which is kept with the verdict, and whether it was right: `right` words that
/// answer; every other verdict has the same.
pub(super) async fn check(
    api: &Parts,
    call: &mut Call,
    typed: Typed,
    kind: Type,
    right: impl Fn() -> Answer + Clone + std::marker::Send + Sync + 'static,
) -> Result<(Answer, bool), Response> {
    let purpose = kind.purpose().map_err(|_| error(call, Cause::Internal))?;
    let Typed { phone, entered } = typed;
    let wish = Check { account: call.caller.account.clone(), phone, purpose, entered, max_age: None };
    let tongue = Tongue::of(&call.head.headers);
    let render = move |verified: &Verified| {
        if verified.verdict == Verdict::Verified {
            right()
        } else {
            Cause::WrongCode.answer(StatusCode::BAD_REQUEST, tongue, "")
        }
    };
    match api.otps.check(wish, call.keep(render.clone())).await {
        Ok(verified) => Ok((render(&verified), verified.verdict == Verdict::Verified)),
        Err(VerifyError::Answered) => Err(call.answered()),
        Err(
            VerifyError::Unknown | VerifyError::ApplicationGone | VerifyError::Context { .. } | VerifyError::NoCode,
        ) => Err(error(call, Cause::WrongCode)),
        Err(VerifyError::Store(error)) => Err(unavailable(call, error)),
    }
}
