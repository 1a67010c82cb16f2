//! Sessions: opened by a right code, refreshed by their token, ended by a signature.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::nonce::{NonceKey, Spent};
use crate::access::scope::Scope;
use crate::identity::session::{SESSION_LIFE, Session};
use crate::identity::signature::{SignatureError, Signed, WINDOW};
use crate::layer::dialect::refuse;
use crate::layer::{Request, Response};
use crate::otp::store::StoreError;
use crate::secret::Secret;
use crate::surface::answer::{empty, given, json, kept_json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::once::OnceHeader;
use crate::surface::oneaccess::error::{Cause, OneAccessError, busy, error, invalid, no_pair, unavailable};
use crate::surface::oneaccess::sms::{Typed, check};
use crate::surface::oneaccess::text::Type;
use crate::surface::oneaccess::{Api, ClientHeaders, Parts, SignatureHeader, StateHeader};

/// Bytes of a token that is looked at.
const TOKEN_BYTES: usize = 256;

/// A code that was typed.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the schema of the body; `Input` reads it, to name every fault at once")]
#[schema(as = OneAccessCodeRequest)]
pub(super) struct CodeBody {
    /// Whom it was sent to.
    #[schema(example = "13800000000")]
    mobile: String,
    /// What was typed.
    #[schema(example = "123456")]
    verify_code: String,
}

/// A session that goes on.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the schema of the body; `Input` reads it, to name every fault at once")]
#[schema(as = OneAccessRefreshRequest)]
pub(super) struct RefreshBody {
    /// Its token, which is good for nothing afterwards.
    session_token: String,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessSession)]
pub(super) struct SessionEntity {
    /// SUCCESS.
    #[schema(example = "SUCCESS")]
    status: &'static str,
    /// What opens the session; shown once.
    session_token: String,
    /// Seconds until it ends.
    #[schema(example = 604_800)]
    expire: u64,
}

impl SessionEntity {
    fn of(token: &Secret) -> Self {
        Self { status: "SUCCESS", session_token: token.expose().to_owned(), expire: SESSION_LIFE.as_secs() }
    }
}

/// A number.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessMobile)]
pub(super) struct MobileEntity {
    /// In E.164.
    #[schema(example = "+8613800000000")]
    mobile: String,
}

/// Sign in with a verification code
///
/// Takes codes of the type LOGIN_SMS.
#[utoipa::path(
    post, path = "/api/v2/sdk/login/mobile-verify-code", operation_id = "OneAccess_Login", tag = "oneaccess",
    params(ClientHeaders, OnceHeader),
    request_body(content = CodeBody, description = "What was typed"),
    responses(
        (status = 200, description = "The code is right; the session is open", body = SessionEntity),
        (status = 400, description = "It is wrong or has expired, or a parameter is wrong", body = OneAccessError),
        (status = 422, description = "The idempotency key came with another request before", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn login(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let typed = read_code(&api, &mut call).await?;
    open(&api, &mut call, typed, Type::Login).await
}

/// Confirm a sign-in with a second verification code
///
/// Takes codes of the type OTP_REST_SMS, for the number of the session that the header names.
#[utoipa::path(
    post, path = "/api/v2/sdk/mfa/sms", operation_id = "OneAccess_MfaSms", tag = "oneaccess",
    params(ClientHeaders, StateHeader, OnceHeader),
    request_body(content = CodeBody, description = "What was typed"),
    responses(
        (status = 200, description = "The code is right; a fresh session is open", body = SessionEntity),
        (status = 400, description = "It is wrong or has expired, the token opens nothing, or a parameter is wrong", body = OneAccessError),
        (status = 422, description = "The idempotency key came with another request before", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn confirm(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let typed = read_code(&api, &mut call).await?;
    let session = by_state_token(&api, &mut call).await?;
    if session.number != typed.phone.number {
        // No attempt is counted for a number that the session has nothing to do with; what is wrong is told to nobody.
        return Err(error(&call, Cause::WrongCode));
    }
    open(&api, &mut call, typed, Type::OtpRest).await
}

async fn read_code(api: &Parts, call: &mut Call) -> Result<Typed, Response> {
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(call, &[fault]))?;
    let typed = Typed::read(&mut input, api);
    input.finish().map_err(|faults| invalid(call, &faults))?;
    typed.ok_or_else(|| error(call, Cause::Internal))
}

/// Checks the code and opens the session. The code is used up first: what opens without it would not need it.
async fn open(api: &Parts, call: &mut Call, typed: Typed, kind: Type) -> Result<Response, Response> {
    let (token, number) = (api.sessions.token(), typed.phone.number.clone());
    let right = {
        let token = token.clone();
        move || kept_json(StatusCode::OK, &SessionEntity::of(&token))
    };
    let (answer, verified) = check(api, call, typed, kind, right).await?;
    if verified {
        let session = Session { connection: call.caller.connection, account: call.caller.account.clone(), number };
        // The code is used up: whatever the store says of the session, something was done.
        api.sessions.open(&token, &session).await.map_err(|_| unavailable(call, StoreError::Unanswered))?;
    }
    Ok(given(answer))
}

async fn by_state_token(api: &Parts, call: &mut Call) -> Result<Session, Response> {
    let token = call.head.headers.get("x-state-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let found = api.sessions.find(call.caller.connection, token).await.map_err(|error| unavailable(call, error))?;
    found.ok_or_else(|| error(call, Cause::UnknownSession))
}

/// Get the number of a session
#[utoipa::path(
    get, path = "/api/v2/sdk/mobile-by-token", operation_id = "OneAccess_MobileByToken", tag = "oneaccess",
    params(ClientHeaders, StateHeader),
    responses(
        (status = 200, description = "The number", body = MobileEntity),
        (status = 400, description = "The token opens nothing", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn mobile(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Status)?;
    let session = by_state_token(&api, &mut call).await?;
    Ok(json(StatusCode::OK, &MobileEntity { mobile: session.number.as_str().to_owned() }))
}

/// Get a fresh session token
///
/// The old one ends.
#[utoipa::path(
    post, path = "/api/v2/tenant/sso/session-token/refresh", operation_id = "OneAccess_RefreshSession", tag = "oneaccess",
    params(ClientHeaders),
    request_body(content = RefreshBody, description = "The session"),
    responses(
        (status = 200, description = "The session goes on under another token", body = SessionEntity),
        (status = 400, description = "The token opens nothing, or a parameter is wrong", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn refresh(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(&call, &[fault]))?;
    let token = input.required("session_token", |text| {
        if text.len() <= TOKEN_BYTES { Ok(Secret::new(text.to_owned())) } else { Err("at most 256 bytes") }
    });
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let Some(token) = token else { return Err(error(&call, Cause::Internal)) };
    let fresh = api
        .sessions
        .refresh(call.caller.connection, token.expose())
        .await
        .map_err(|error| unavailable(&call, error))?;
    let fresh = fresh.ok_or_else(|| error(&call, Cause::UnknownSession))?;
    Ok(json(StatusCode::OK, &SessionEntity::of(&fresh)))
}

/// Sign out
///
/// `X-signature` is session_token=…&timestamp=…&nonce=…, encrypted with the public key by RSA-OAEP with SHA-256 (MGF1 with
/// SHA-256 or SHA-1), in Base64. The timestamp may be off by five minutes, the nonce serves once.
#[utoipa::path(
    get, path = "/api/v2/sdk/logout", operation_id = "OneAccess_Logout", tag = "oneaccess",
    params(ClientHeaders, SignatureHeader),
    responses(
        (status = 200, description = "The session has ended"),
        (status = 400, description = "The signature or its session is wrong", body = OneAccessError),
        (status = 429, description = "Over quota, or too many wrong signatures from this address", body = OneAccessError),
        (status = 503, description = "Too many signatures are being read", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn logout(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Verify)?;
    let signed = signature(&api, &mut call).await?;
    let ended = api.sessions.end(call.caller.connection, signed.token.expose()).await;
    if ended.map_err(|error| unavailable(&call, error))? {
        Ok(empty(StatusCode::OK))
    } else {
        Err(wrong(&api, &mut call, Cause::UnknownSession).await)
    }
}

/// The signature of a call, read and fresh. An address that sent too many wrong ones is turned away before the work.
async fn signature(api: &Parts, call: &mut Call) -> Result<Signed, Response> {
    if let Some(refusal) = api.guard.turns_away(&call.head.extensions) {
        return Err(refuse(&call.head.extensions, &refusal));
    }
    let text = call.head.headers.get("x-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = match api.signatures.read(call.caller.connection, text).await {
        Ok(signed) => signed,
        Err(SignatureError::Unreadable) => return Err(wrong(api, call, Cause::BadSignature).await),
        Err(SignatureError::Stale) => return Err(wrong(api, call, Cause::StaleSignature).await),
        Err(SignatureError::Busy) => return Err(busy(call)),
        Err(SignatureError::Pair(error)) => return Err(no_pair(call, error)),
    };
    let scope = call.caller.connection.get().to_be_bytes();
    let nonce = NonceKey::of(&api.keyring, "session signature", &scope, signed.nonce.as_bytes());
    // From the latest time that it may name to the last at which it is in the window, and a minute.
    let until = api.otps.now() + WINDOW + WINDOW + std::time::Duration::from_secs(60);
    match api.nonces.spend(nonce, until).await {
        Ok(Spent::Fresh) => Ok(signed),
        Ok(Spent::Seen) => Err(wrong(api, call, Cause::ReplayedSignature).await),
        Err(error) => Err(unavailable(call, error)),
    }
}

/// The answer to a signature that proves nothing, charged to its address.
async fn wrong(api: &Parts, call: &mut Call, cause: Cause) -> Response {
    match api.guard.charge(&call.head.extensions).await {
        Some(refusal) => refuse(&call.head.extensions, &refusal),
        None => error(call, cause),
    }
}
