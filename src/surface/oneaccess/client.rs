//! What a client asks before it begins: the time, its public key, the countries; and what is not offered here.

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::layer::{Request, Response};
use crate::surface::answer::{JSON, bytes_of, json};
use crate::surface::extract::Call;
use crate::surface::oneaccess::countries::CountryCodes;
use crate::surface::oneaccess::error::{Cause, OneAccessError, error, no_pair};
use crate::surface::oneaccess::{Api, ClientHeaders};

/// The gateway's time.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessServerDate)]
pub(super) struct ServerDate {
    /// Milliseconds since 1970, as text.
    #[schema(example = "1628496895102")]
    timestamp: String,
}

/// A public key.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessPublicKey)]
pub(super) struct PublicKey {
    /// RSA, 2,048 bits, PEM.
    public_key: String,
}

/// Get the gateway's time
#[utoipa::path(
    get, path = "/api/v2/sdk/server-date", operation_id = "OneAccess_ServerDate", tag = "oneaccess",
    params(ClientHeaders),
    responses(
        (status = 200, description = "The time", body = ServerDate),
        (status = 400, description = "The client id opens nothing", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn server_date(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let _call = Call::open(request, Scope::Status)?;
    Ok(json(StatusCode::OK, &ServerDate { timestamp: api.clock.now().0.to_string() }))
}

/// Get the public key that signatures are made with
///
/// It is the connection's own, made when it is first asked for, and never another.
#[utoipa::path(
    get, path = "/api/v2/sdk/public-key", operation_id = "OneAccess_PublicKey", tag = "oneaccess",
    params(ClientHeaders),
    responses(
        (status = 200, description = "The key", body = PublicKey),
        (status = 400, description = "The client id opens nothing", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn public_key(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let pair = api.pairs.get(call.caller.connection).await.map_err(|error| no_pair(&call, error))?;
    Ok(json(StatusCode::OK, &PublicKey { public_key: pair.public.clone() }))
}

/// List the countries
#[utoipa::path(
    get, path = "/api/v2/sdk/country-codes", operation_id = "OneAccess_CountryCodes", tag = "oneaccess",
    params(ClientHeaders),
    responses(
        (status = 200, description = "The countries", body = CountryCodes),
        (status = 400, description = "The client id opens nothing", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn country_codes(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let _call = Call::open(request, Scope::Status)?;
    Ok(bytes_of(StatusCode::OK, JSON, api.countries.bytes()))
}

/// What belongs to the identity product: passwords, social accounts, organisations, registration forms.
pub(super) async fn not_offered(request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    Err(error(&call, Cause::NotOffered))
}
