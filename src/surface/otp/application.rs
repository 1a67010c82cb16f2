//! The native operations on applications. Reading needs the scope status, writing admin.

use axum::extract::{Path, State};
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::layer::{Request, Response};
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::catalogue::CatalogueError;
use crate::otp::wording;
use crate::surface::answer::json;
use crate::surface::extract::Call;
use crate::surface::fault::{Fault, Place};
use crate::surface::otp::Api;
use crate::surface::otp::edit::{ApplicationBody, Edit};
use crate::surface::otp::handlers::{answer, invalid, read_body, unavailable};
use crate::surface::otp::message::AutofillEntity;
use crate::surface::otp::page::PageEntity;
use crate::surface::problem::{Problem, ProblemCode};
use crate::surface::refused::Keyed;

/// An application.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationEntity {
    /// Its id (UUID).
    #[schema(format = "uuid")]
    application_id: String,
    /// Its small number within the account: what a field typed integer can name.
    application_number: u32,
    /// Its account.
    account_id: String,
    /// Its name.
    name: String,
    /// Length of generated codes.
    pin_length: u8,
    /// Whether generated codes hold letters.
    alphanumeric: bool,
    /// Checks that a code allows.
    attempts: u32,
    /// Lifetime of a code in seconds.
    expire: u32,
    /// Who text messages come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sender: Option<String>,
    /// Which number calls show.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    caller: Option<String>,
    /// Its own texts: `en` for a text message, `en-voice` for a call.
    template: BTreeMap<String, String>,
    /// How many messages a carrier sends for each of its own texts for text messages, by language: with a code of its
    /// length, its longest lifetime and the lines that its messages end with.
    segments: BTreeMap<String, usize>,
    /// What those are written in: `GSM-7` (160 characters in one message, 153 in each of several) or `UCS-2` (70, 67).
    alphabet: BTreeMap<String, &'static str>,
    /// What `{{BRAND}}` stands for; left out where that is its name (of the default application: its sender).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    brand: Option<String>,
    /// What its text messages end with, so that a phone fills in the code by itself.
    autofill: AutofillEntity,
    /// How its verification page looks, and where it may lead.
    verification: PageEntity,
    /// When it was made, in milliseconds since 1970.
    #[schema(format = "int64")]
    created: u64,
}

impl From<&Application> for ApplicationEntity {
    fn from(application: &Application) -> Self {
        let extents: Vec<_> = wording::extents(application).collect();
        Self {
            application_id: application.id.to_string(),
            application_number: application.alias,
            account_id: application.account.to_string(),
            name: application.name.as_str().to_owned(),
            pin_length: application.pin_length.get(),
            alphanumeric: application.alphanumeric,
            attempts: application.attempts.get(),
            expire: application.expire.get(),
            sender: application.sender.as_ref().map(|sender| sender.as_str().to_owned()),
            caller: application.caller.as_ref().map(|caller| caller.as_str().to_owned()),
            template: application.templates.named().map(|(name, text)| (name, text.as_str().to_owned())).collect(),
            segments: extents.iter().map(|(name, extent)| (name.clone(), extent.segments)).collect(),
            alphabet: extents.into_iter().map(|(name, extent)| (name, extent.alphabet.as_str())).collect(),
            brand: application.brand.as_ref().map(|brand| brand.as_str().to_owned()),
            autofill: AutofillEntity::from(&application.autofill),
            verification: PageEntity::from(&application.page),
            created: application.created.0,
        }
    }
}

/// List the account's applications
#[utoipa::path(
    get, path = "/v1/applications", operation_id = "ListApplications", tag = "applications",
    responses(
        (status = 200, description = "The applications, oldest first", body = [ApplicationEntity]),
        Keyed,
    ),
    security(("apikey" = []))
)]
pub(super) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Status)?;
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| unavailable(&call, error))?;
    let entities: Vec<_> =
        applications.list().iter().map(|application| ApplicationEntity::from(&**application)).collect();
    Ok(json(StatusCode::OK, &entities))
}

/// Make an application
#[utoipa::path(
    post, path = "/v1/applications", operation_id = "CreateApplication", tag = "applications", request_body = Option<ApplicationBody>,
    responses(
        (status = 200, description = "The application", body = ApplicationEntity),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        Keyed,
        (status = 403, description = "The scope admin is missing", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The account has enough applications", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn create(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Admin)?;
    let mut input = read_body(&mut call).await?;
    let edit = Edit::read_all(&mut input);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let made =
        api.catalogue.create(&call.caller.account, edit.name.clone(), |application| edit.apply(application)).await;
    let application = made.map_err(|error| refused(&call, error))?;
    Ok(json(StatusCode::OK, &ApplicationEntity::from(&application)))
}

/// Get an application
#[utoipa::path(
    get, path = "/v1/applications/{id}", operation_id = "GetApplication", tag = "applications",
    params(("id" = String, Path, description = "Its id, its number, or default")),
    responses(
        (status = 200, description = "The application", body = ApplicationEntity),
        Keyed,
        (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
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
    let applications = api.catalogue.of(&call.caller.account).await.map_err(|error| unavailable(&call, error))?;
    let application = applications.find(reference).ok_or_else(|| refused(&call, CatalogueError::Unknown))?;
    Ok(json(StatusCode::OK, &ApplicationEntity::from(&**application)))
}

/// Edit an application
#[utoipa::path(
    patch, path = "/v1/applications/{id}", operation_id = "EditApplication", tag = "applications", request_body = Option<ApplicationBody>,
    params(("id" = String, Path, description = "Its id, its number, or default")),
    responses(
        (status = 200, description = "The application", body = ApplicationEntity),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        Keyed,
        (status = 403, description = "The scope admin is missing", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The default application keeps its name", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apikey" = []))
)]
pub(super) async fn edit(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Admin)?;
    let reference = reference(&call, &id)?;
    let mut input = read_body(&mut call).await?;
    let edit = Edit::read_all(&mut input);
    input.finish().map_err(|faults| invalid(&call, faults))?;
    let edited = api.catalogue.edit(&call.caller.account, reference, |application| edit.apply(application)).await;
    let application = edited.map_err(|error| refused(&call, error))?;
    Ok(json(StatusCode::OK, &ApplicationEntity::from(&application)))
}

/// Delete an application
///
/// Its one-time passwords stay readable; resend and verify of them stop working.
#[utoipa::path(
    delete, path = "/v1/applications/{id}", operation_id = "DeleteApplication", tag = "applications",
    params(("id" = String, Path, description = "Its id or its number")),
    responses(
        (status = 200, description = "The application as it was", body = ApplicationEntity),
        Keyed,
        (status = 403, description = "The scope admin is missing", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such application", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The default application stays", body = Problem, content_type = "application/problem+json"),
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
    let application = deleted.map_err(|error| refused(&call, error))?;
    Ok(json(StatusCode::OK, &ApplicationEntity::from(&application)))
}

fn reference(call: &Call, text: &str) -> Result<ApplicationRef, Response> {
    ApplicationRef::parse(text).map_err(|_| refused(call, CatalogueError::Unknown))
}

fn refused(call: &Call, error: CatalogueError) -> Response {
    let problem = match error {
        CatalogueError::Unknown => {
            let words = "No application of this account has this id.";
            Problem::new(StatusCode::NOT_FOUND, ProblemCode::ApplicationNotFound, words)
        }
        CatalogueError::TooMany => {
            let words = "An account has at most 1000 applications; delete one.";
            Problem::new(StatusCode::CONFLICT, ProblemCode::TooManyApplications, words)
        }
        CatalogueError::Default => {
            let words = "It cannot be deleted or renamed.";
            Problem::new(StatusCode::CONFLICT, ProblemCode::DefaultApplication, words)
        }
        CatalogueError::TooManyTemplates => {
            let detail = "must leave the application with at most 400 texts; drop some with null".to_owned();
            return invalid(call, vec![Fault { at: Place::Pointer("/template".to_owned()), detail }]);
        }
        CatalogueError::Store(error) => return unavailable(call, error),
    };
    answer(call, problem)
}
