//! The contract's operations on applications and their templates. Reading needs the scope status, writing admin.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::application::ApplicationRef;
use crate::otp::catalogue::CatalogueError;
use crate::otp::channel::Channel;
use crate::otp::language::{Language, MalformedLanguage};
use crate::otp::template::Template;
use crate::surface::answer::{empty, json};
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::otp::{Api, Edit};
use crate::surface::tyntec::entity::TyntecApplication;
use crate::surface::tyntec::error::{Cause, TyntecError, catalogue_refused, error, invalid, unknown_application};

/// What an application is to be; absent members keep their default. Names may be in any case, and others are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema of the body; `Edit::read` reads it, to name every fault at once")]
pub(super) struct TyntecApplicationBody {
    /// Its name, without control characters; `default` is reserved.
    #[schema(nullable = false, max_length = 64)]
    name: Option<String>,
    /// Length of generated codes.
    #[schema(nullable = false, minimum = 4, maximum = 10)]
    pin_length: Option<u8>,
    /// Whether generated codes hold letters.
    #[schema(nullable = false)]
    alpha_numeric: Option<bool>,
    /// Checks that a code allows.
    #[schema(nullable = false, minimum = 1, maximum = 20)]
    attempts: Option<u32>,
    /// Lifetime of a code in seconds.
    #[schema(nullable = false, minimum = 30, maximum = 7200)]
    expire: Option<u32>,
    /// Who text messages come from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15 digits.
    #[schema(nullable = false, max_length = 16)]
    sender: Option<String>,
    /// Which number calls show: 3 to 15 digits, with or without `+`.
    #[schema(nullable = false, max_length = 16)]
    caller: Option<String>,
    /// Its own texts: `en` for a text message, `en-voice` for a call. Each holds `{{OTP}}`, and may hold `{{SEC}}`, the lifetime
    /// in seconds.
    #[schema(nullable = false)]
    template: Option<BTreeMap<String, String>>,
}

/// List the account's applications
#[utoipa::path(
    get, path = "/2fa/v1/application", operation_id = "Tyntec_ListApplications", tag = "tyntec",
    responses(
        (status = 200, description = "The applications", body = [TyntecApplication]),
        (status = 204, description = "There are none"),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| store(&call, error))?;
    let entities: Vec<_> =
        applications.list().iter().map(|application| TyntecApplication::from(&**application)).collect();
    Ok(if entities.is_empty() { empty(StatusCode::NO_CONTENT) } else { json(StatusCode::OK, &entities) })
}

/// Make an application
///
/// The body is JSON, or empty for all defaults.
#[utoipa::path(
    post, path = "/2fa/v1/application", operation_id = "Tyntec_CreateApplication", tag = "tyntec",
    request_body = Option<TyntecApplicationBody>,
    responses(
        (status = 200, description = "The application", body = TyntecApplication),
        (status = 400, description = "A member is wrong", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 403, description = "The scope admin is missing", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn create(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Admin)?;
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(&call, &[fault]))?;
    let edit = Edit::read(&mut input, "alphaNumeric");
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let made =
        api.catalogue.create(&call.caller.account, edit.name.clone(), |application| edit.apply(application)).await;
    let application = made.map_err(|error| catalogue_refused(&call, error))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&application)))
}

/// Get an application
#[utoipa::path(
    get, path = "/2fa/v1/application/{id}", operation_id = "Tyntec_GetApplication", tag = "tyntec",
    params(("id" = String, Path, description = "Its id, its number, or default")),
    responses(
        (status = 200, description = "The application", body = TyntecApplication),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 404, description = "No such application", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn read(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let reference = reference(&call, &id)?;
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| store(&call, error))?;
    let application = applications.find(reference).ok_or_else(|| unknown_application(&call))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&**application)))
}

/// Edit an application
#[utoipa::path(
    post, path = "/2fa/v1/application/{id}", operation_id = "Tyntec_EditApplication", tag = "tyntec",
    params(
        ("id" = String, Path, description = "Its id, its number, or default"),
        ("name" = Option<String>, Query, description = "1 to 64 characters; default is reserved"),
        ("pinLength" = Option<u8>, Query, description = "4 to 10"),
        ("alphaNumeric" = Option<bool>, Query, description = "Whether generated codes hold letters"),
        ("attempts" = Option<u32>, Query, description = "1 to 20"),
        ("expire" = Option<u32>, Query, description = "30 to 7200 seconds"),
        ("sender" = Option<String>, Query, description = "Who text messages come from"),
        ("caller" = Option<String>, Query, description = "Which number calls show"),
        ("deleteCaller" = Option<bool>, Query, description = "Whether calls are to show no number any more"),
    ),
    responses(
        (status = 200, description = "The application", body = TyntecApplication),
        (status = 400, description = "A parameter is wrong", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 403, description = "The scope admin is missing", body = TyntecError),
        (status = 404, description = "No such application", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn edit(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Admin)?;
    let reference = reference(&call, &id)?;
    let mut input = Input::query(call.query());
    let edit = Edit::read(&mut input, "alphaNumeric");
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let edited = api.catalogue.edit(&call.caller.account, reference, |application| edit.apply(application)).await;
    let application = edited.map_err(|error| catalogue_refused(&call, error))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&application)))
}

/// Delete an application
#[utoipa::path(
    delete, path = "/2fa/v1/application/{id}", operation_id = "Tyntec_DeleteApplication", tag = "tyntec",
    params(("id" = String, Path, description = "Its id or its number")),
    responses(
        (status = 200, description = "The application as it was", body = TyntecApplication),
        (status = 400, description = "The default application stays", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 403, description = "The scope admin is missing", body = TyntecError),
        (status = 404, description = "No such application", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Admin)?;
    let reference = reference(&call, &id)?;
    let deleted = api.catalogue.delete(&call.caller.account, reference).await;
    let application = deleted.map_err(|error| catalogue_refused(&call, error))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&application)))
}

/// Set a template
#[utoipa::path(
    post, path = "/2fa/v1/application/{id}/language", operation_id = "Tyntec_SetTemplate", tag = "tyntec",
    params(
        ("id" = String, Path, description = "Its id, its number, or default"),
        ("language" = String, Query, description = "ISO 639-1"),
        ("text" = String, Query, description = "The text; it holds {{OTP}}, and may hold {{SEC}}, {{MIN}} and {{BRAND}}"),
        ("channel" = Option<String>, Query, description = "SMS (default) or VOICE"),
    ),
    responses(
        (status = 200, description = "The application", body = TyntecApplication),
        (status = 400, description = "A parameter is wrong", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 403, description = "The scope admin is missing", body = TyntecError),
        (status = 404, description = "No such application", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn set_template(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Admin)?;
    let reference = reference(&call, &id)?;
    let mut input = Input::query(call.query());
    let key = template_key(&mut input, str::parse::<Language>);
    let text = input.required("text", Template::parse);
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let (Some((language, channel)), Some(text)) = (key, text) else { return Err(call.refuse(&Refusal::Internal)) };
    let edited = api.catalogue.edit(&call.caller.account, reference, |application| {
        application.templates.set(language, channel, text.clone());
    });
    let application = edited.await.map_err(|error| catalogue_refused(&call, error))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&application)))
}

/// Drop a template
#[utoipa::path(
    delete, path = "/2fa/v1/application/{id}/language", operation_id = "Tyntec_DropTemplate", tag = "tyntec",
    params(
        ("id" = String, Path, description = "Its id, its number, or default"),
        ("language" = String, Query, description = "ISO 639-1"),
        ("channel" = Option<String>, Query, description = "SMS (default) or VOICE"),
    ),
    responses(
        (status = 200, description = "The application", body = TyntecApplication),
        (status = 400, description = "A parameter is wrong", body = TyntecError),
        (status = 401, description = "No valid API key", body = TyntecError),
        (status = 403, description = "The scope admin is missing", body = TyntecError),
        (status = 404, description = "No such application, or no such template", body = TyntecError),
        (status = 429, description = "Over quota", body = TyntecError),
    ),
    security(("apikey" = []))
)]
pub(super) async fn drop_template(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Admin)?;
    let reference = reference(&call, &id)?;
    let mut input = Input::query(call.query());
    // Earlier releases took any two letters for a language.
    let key = template_key(&mut input, |text| Language::of_store(text).ok_or(MalformedLanguage));
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let Some((language, channel)) = key else { return Err(call.refuse(&Refusal::Internal)) };
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| store(&call, error))?;
    let application = applications.find(reference).ok_or_else(|| unknown_application(&call))?;
    if application.templates.get(language, channel).is_none() {
        let message = "The application has no template of its own for this language and channel.";
        return Err(error(&call, StatusCode::NOT_FOUND, Cause::UnknownTemplate, message));
    }
    let edited = api.catalogue.edit(&call.caller.account, reference, |application| {
        application.templates.drop_one(language, channel);
    });
    let application = edited.await.map_err(|error| catalogue_refused(&call, error))?;
    Ok(json(StatusCode::OK, &TyntecApplication::from(&application)))
}

fn template_key(
    input: &mut Input,
    language: impl FnOnce(&str) -> Result<Language, MalformedLanguage>,
) -> Option<(Language, Channel)> {
    let language = input.required("language", language);
    let channel = input.optional("channel", |text| match text.to_ascii_uppercase().as_str() {
        "SMS" => Ok(Channel::Sms),
        "VOICE" => Ok(Channel::Voice),
        _ => Err("SMS or VOICE"),
    });
    Some((language?, channel.unwrap_or(Channel::Sms)))
}

fn reference(call: &Call, text: &str) -> Result<ApplicationRef, Response> {
    ApplicationRef::parse(text).map_err(|_| unknown_application(call))
}

fn store(call: &Call, error: crate::otp::store::StoreError) -> Response {
    catalogue_refused(call, CatalogueError::Store(error))
}
