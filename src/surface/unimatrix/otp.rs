//! The two actions: send a code for an intent, and check the newest code of a number and intent.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::idempotency::Answer;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::application::{ApplicationRef, Sender};
use crate::otp::channel::Via;
use crate::otp::code::{Code, EnteredCode, PinLength};
use crate::otp::command::{Check, Send, SendError, Terms, Verified, VerifyError};
use crate::otp::id::AccountId;
use crate::otp::life::Life;
use crate::otp::machine::Verdict;
use crate::otp::phone::{E164, Phone};
use crate::otp::purpose::{Purpose, Realm};
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::surface::answer::{given, kept_json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::otp::Api;
use crate::surface::refusal::store_refusal;
use crate::surface::unimatrix::Action;
use crate::surface::unimatrix::error::{Cause, UnimatrixError, bad_request, invalid, send_refused};
use crate::surface::unimatrix::signature::Pairs;

/// Digits of a generated code, unless a send says otherwise.
const DIGITS: u64 = 6;

/// What to send, or what to check. Members that are not named here are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema of the body; it is read field by field, to name every fault at once")]
pub(super) struct UnimatrixBody {
    /// Whose phone: a number in E.164, with its `+`.
    #[schema(min_length = 8, max_length = 16, pattern = "^\\+[0-9]{7,15}$", example = "+14155550123")]
    to: String,
    /// What the code is for: one that was sent for an intent verifies no other.
    #[schema(nullable = false, max_length = 36)]
    intent: Option<String>,
    /// `otp.send`: the caller's own code instead of a generated one. `otp.verify`, where it is required: what was typed.
    #[schema(nullable = false, min_length = 4, max_length = 8, pattern = "^[0-9]{4,8}$")]
    code: Option<String>,
    /// `otp.send`: seconds for which a code of the caller's own holds. `otp.verify`: how old a generated code may be.
    #[schema(nullable = false, minimum = 1, maximum = 1800, default = 300)]
    ttl: Option<u16>,
    /// `otp.send`: the length of a generated code.
    #[schema(nullable = false, minimum = 4, maximum = 8, default = 6)]
    digits: Option<u8>,
    /// `otp.send`: `auto`, `sms`, `call` or `voice`. `whatsapp` is not offered.
    #[schema(nullable = false, example = "auto")]
    channel: Option<String>,
    /// `otp.send`: who the text message comes from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15
    /// digits.
    #[schema(nullable = false, max_length = 16)]
    signature: Option<String>,
    /// `otp.send`: the id of an application (a UUID), whose texts are sent. A template of Unimatrix' means the default one.
    #[schema(nullable = false, max_length = 64)]
    template_id: Option<String>,
}

/// An answer of the dialect.
#[derive(Serialize, ToSchema)]
pub(super) struct UnimatrixAnswer {
    /// Always "0".
    #[schema(example = "0")]
    code: &'static str,
    /// Always "Success".
    #[schema(example = "Success")]
    message: &'static str,
    /// What became of it.
    data: UnimatrixData,
}

/// What became of a send, or of a check.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct UnimatrixData {
    /// `otp.send`: the id of the code, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// The number.
    #[schema(example = "+14155550123")]
    to: String,
    /// `otp.send`: the number's country (ISO 3166-1 alpha-2).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "US")]
    iso: Option<String>,
    /// `otp.send`: its calling code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1")]
    cc: Option<String>,
    /// `otp.send`: messages that were queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<u32>,
    /// `otp.send`: what it costs. The gateway knows no prices: always "0".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "0")]
    price: Option<&'static str>,
    /// `otp.verify`: whether the code is right, for the first and only time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    valid: Option<bool>,
}

/// Send a one-time password, or check one
///
/// The parameter `action` says which. Calls are signed with the access key secret: `algorithm`, `timestamp`, `nonce` and
/// `signature` join the query. Where the key was made with `--allow-simple`, the access key id alone serves.
#[utoipa::path(
    post, path = "/", operation_id = "Unimatrix_Call", tag = "unimatrix", request_body = UnimatrixBody,
    params(
        ("action" = String, Query, description = "otp.send or otp.verify", example = "otp.send"),
        ("algorithm" = Option<String>, Query, description = "hmac-sha256"),
        ("timestamp" = Option<String>, Query, description = "When the call was signed, within 10 minutes: 10 digits are seconds since 1970, 13 milliseconds"),
        ("nonce" = Option<String>, Query, description = "8 to 64 characters that serve once"),
        ("signature" = Option<String>, Query, description = "HMAC-SHA-256 of every other pair of the query, sorted and URL-encoded, in Base64 or 64 hexadecimal digits"),
        OnceHeader,
    ),
    responses(
        (status = 200, description = "It was sent; or it was checked, and valid tells what was found", body = UnimatrixAnswer),
        (status = 400, description = "A parameter is wrong, or the message may not leave", body = UnimatrixError),
        (status = 401, description = "No access key id, no valid signature, a stale timestamp, or a nonce that served before", body = UnimatrixError),
        (status = 403, description = "The key lacks a scope", body = UnimatrixError),
        (status = 422, description = "The idempotency key came with another request before", body = UnimatrixError),
        (status = 429, description = "Over quota, or the number had enough messages for less than a minute", body = UnimatrixError),
        (status = 503, description = "Temporarily unavailable; the code says whether it may have been done", body = UnimatrixError),
    ),
    security(("accessKeyId" = []))
)]
pub(super) async fn call(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    match action(request.uri().query().unwrap_or_default())? {
        Action::Send => send(&api, Call::open(request, Scope::Send)?).await,
        Action::Verify => verify(&api, Call::open(request, Scope::Verify)?).await,
    }
}

fn action(query: &str) -> Result<Action, Response> {
    let given = Pairs::of(query).ok();
    match given.as_ref().map(|pairs| pairs.one("action")) {
        Some(Ok(Some(text))) => Action::parse(text)
            .ok_or_else(|| bad_request(Cause::InvalidAction, "The actions are otp.send and otp.verify.")),
        Some(Ok(None)) => {
            Err(bad_request(Cause::MissingAction, "Say in the query what to do: action=otp.send or otp.verify."))
        }
        Some(Err(())) => Err(bad_request(Cause::InvalidParams, "action must be given once")),
        None => Err(bad_request(
            Cause::InvalidParams,
            "the query must be UTF-8, percent-encoded, and have at most 32 pairs",
        )),
    }
}

async fn send(api: &Api, mut call: Call) -> Result<Response, Response> {
    let mut input = read_body(&mut call).await?;
    let channel = input.optional("channel", Wanted::parse).unwrap_or(Wanted::By(Via::Auto));
    let send = read_send(&mut input, &call.caller.account);
    input.finish().map_err(|faults| invalid(&faults))?;
    let Some(mut send) = send else { return Err(call.refuse(&Refusal::Internal)) };
    match channel {
        Wanted::By(via) => send.via = via,
        Wanted::WhatsApp => {
            return Err(bad_request(Cause::ChannelUnavailable, "whatsapp is not offered; use auto, sms or voice."));
        }
    }
    let calling_code = send.phone.calling_code().map(|code| code.to_string());
    let render = move |otp: &Otp| {
        success(UnimatrixData {
            id: Some(otp.id.to_simple()),
            to: otp.number().map(|number| number.as_str().to_owned()).unwrap_or_default(),
            iso: otp.country.map(|country| country.to_string()),
            cc: calling_code.clone(),
            count: Some(1),
            price: Some("0"),
            valid: None,
        })
    };
    match api.otps.send(send, call.keep(render.clone())).await {
        Ok(otp) => Ok(given(render(&otp))),
        Err(SendError::Answered) => Err(call.answered()),
        Err(SendError::Refused(refusal)) => Err(send_refused(&refusal, api.otps.now())),
        Err(SendError::Store(error)) => Err(unavailable(&call, error)),
    }
}

async fn verify(api: &Api, mut call: Call) -> Result<Response, Response> {
    let mut input = read_body(&mut call).await?;
    let phone = input.required("to", phone);
    let entered = input.required("code", |text| digits(text).map(|()| EnteredCode::new(text)));
    let purpose = read_purpose(&mut input);
    let ttl = input.optional_number("ttl", Life::new);
    input.finish().map_err(|faults| invalid(&faults))?;
    let (Some(phone), Some(entered), Some(purpose)) = (phone, entered, purpose) else {
        return Err(call.refuse(&Refusal::Internal));
    };
    let to = phone.number.clone();
    let check = Check { account: call.caller.account.clone(), phone, purpose, entered, max_age: ttl };
    let kept_to = to.clone();
    let render = move |verified: &Verified| found(&kept_to, verified.verdict == Verdict::Verified);
    match api.otps.check(check, call.keep(render)).await {
        Ok(verified) => Ok(given(found(&to, verified.verdict == Verdict::Verified))),
        Err(VerifyError::Answered) => Err(call.answered()),
        // No code, one that was used, one of an application that is gone: a wrong code says no less.
        Err(
            VerifyError::Unknown | VerifyError::ApplicationGone | VerifyError::Context { .. } | VerifyError::NoCode,
        ) => Ok(given(found(&to, false))),
        Err(VerifyError::Store(error)) => Err(unavailable(&call, error)),
    }
}

fn success(data: UnimatrixData) -> Answer {
    kept_json(StatusCode::OK, &UnimatrixAnswer { code: "0", message: "Success", data })
}

fn found(to: &E164, valid: bool) -> Answer {
    success(UnimatrixData { to: to.as_str().to_owned(), valid: Some(valid), ..UnimatrixData::default() })
}

async fn read_body(call: &mut Call) -> Result<Input, Response> {
    let bytes = call.json_body().await?;
    Input::lenient_json(&bytes).map_err(|fault| invalid(&[fault]))
}

/// The channel asked for.
enum Wanted {
    By(Via),
    WhatsApp,
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::By(Via::Auto)),
            "sms" => Ok(Self::By(Via::Sms)),
            "call" | "voice" => Ok(Self::By(Via::Voice)),
            "whatsapp" => Ok(Self::WhatsApp),
            _ => Err("auto, sms, call, voice or whatsapp"),
        }
    }
}

fn read_send(input: &mut Input, account: &AccountId) -> Option<Send> {
    let phone = input.required("to", phone);
    let purpose = read_purpose(input);
    let code = input.optional("code", |text| {
        digits(text)?;
        Code::parse_own(text).map_err(|_| FOUR_TO_EIGHT)
    });
    let length = |digits| PinLength::new(digits).ok().filter(|_| digits <= 8).ok_or("4 to 8");
    let pin_length = input.optional_number("digits", length).or_else(|| PinLength::new(DIGITS).ok());
    let ttl = input.optional_number("ttl", Life::new).unwrap_or(Life::USUAL);
    let sender = input.optional("signature", Sender::parse);
    let application = input.optional("templateId", template).unwrap_or_default();
    // A generated code is kept for as long as any check may allow; how old it may be is said when it is checked.
    let (life, usual_age) = if code.is_some() { (ttl, None) } else { (Life::LONGEST, Some(Life::USUAL)) };
    Some(Send {
        account: account.clone(),
        phone: phone?,
        application,
        via: Via::Auto,
        language: None,
        text: None,
        code,
        pin_length,
        sender,
        caller: None,
        reference: None,
        terms: Terms {
            purpose: Some(purpose?),
            life: Some(life),
            usual_age,
            digits_only: true,
            context: None,
            behalf: None,
        },
    })
}

/// A send without an intent is one for the intent without a name.
fn read_purpose(input: &mut Input) -> Option<Purpose> {
    let intent = input.optional("intent", |text| Purpose::new(Realm::Unimatrix, text));
    intent.or_else(|| Purpose::new(Realm::Unimatrix, "").ok())
}

/// Nothing but E.164: a national number that passed for one would reach another country.
fn phone(text: &str) -> Result<Phone, &'static str> {
    const WANTED: &str = "a phone number in E.164, such as +14155550123";
    let number = E164::try_from(text.to_owned()).map_err(|_| WANTED)?;
    Phone::of(&number).map_err(|_| WANTED)
}

const FOUR_TO_EIGHT: &str = "a string of 4 to 8 digits";

fn digits(text: &str) -> Result<(), &'static str> {
    let fits = (4..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(()) } else { Err(FOUR_TO_EIGHT) }
}

/// Texts are an application's here. What is no id of ours is a template of Unimatrix', which nobody here has.
fn template(text: &str) -> Result<ApplicationRef, &'static str> {
    if text.len() > 64 {
        return Err("at most 64 characters");
    }
    Ok(text.parse().map_or(ApplicationRef::Default, ApplicationRef::Id))
}

fn unavailable(call: &Call, error: StoreError) -> Response {
    call.refuse(&store_refusal(error, 1))
}
