//! What handlers take out of a request: a bounded body, the query, an OTP id from the path, the caller with a scope.

use std::sync::Arc;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::access::authenticator::Caller;
use crate::access::scope::Scope;
use crate::idempotency::{Answer, Keep, Ticket};
use crate::layer::body;
use crate::layer::dialect::refuse;
use crate::layer::idempotency::NotKept;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};

/// A request taken apart, with the caller that the authentication put into it.
pub struct Call {
    /// Everything but the body.
    pub head: Parts,
    /// Who is calling.
    pub caller: Arc<Caller>,
    body: Body,
}

impl Call {
    /// Takes a request apart and checks that its caller has `scope`.
    ///
    /// # Errors
    /// The answer in the caller's dialect, when the scope is missing.
    pub fn open(request: Request, scope: Scope) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        let Some(caller) = head.extensions.get::<Arc<Caller>>().cloned() else {
            return Err(refuse(&head.extensions, &Refusal::Internal));
        };
        if !caller.scopes.allow(scope) {
            return Err(not_kept(&head, &Refusal::Forbidden(scope)));
        }
        Ok(Self { head, caller, body })
    }

    /// The answer to a refusal, in the caller's dialect.
    #[must_use]
    pub fn refuse(&self, refusal: &Refusal) -> Response {
        not_kept(&self.head, refusal)
    }

    /// The query string, without `?`.
    #[must_use]
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The body of a JSON request, at most [`BODY_BYTES`]. An empty body needs no media type.
    ///
    /// # Errors
    /// The answer in the caller's dialect.
    pub async fn json_body(&mut self) -> Result<bytes::Bytes, Response> {
        let bytes = self.body().await?;
        if !bytes.is_empty() && !is_json(&self.head) {
            return Err(self.refuse(&Refusal::UnsupportedMediaType));
        }
        Ok(bytes)
    }

    async fn body(&mut self) -> Result<bytes::Bytes, Response> {
        let body = std::mem::take(&mut self.body);
        body::read(body).await.map_err(|refusal| self.refuse(&refusal))
    }

    /// What the domain needs to do the call once, where it came with a ticket: `render` words the answer that is kept,
    /// which must be the one that is given.
    #[must_use]
    pub fn keep<T>(&self, render: impl Fn(&T) -> Answer + Send + Sync + 'static) -> Option<Keep<T>> {
        let ticket = Arc::clone(self.head.extensions.get::<Arc<Ticket>>()?);
        Some(Keep { ticket, render: Arc::new(render) })
    }

    /// What the call is known by, where it is to be done once.
    #[must_use]
    pub fn ticket(&self) -> Option<&Ticket> {
        self.head.extensions.get::<Arc<Ticket>>().map(|ticket| &**ticket)
    }

    /// For a call that the domain found answered: the layer that gave the ticket puts the answer in its place.
    #[must_use]
    pub fn answered(&self) -> Response {
        self.refuse(&Refusal::Internal)
    }
}

/// A refusal says nothing of what the call asks for: it is worded anew for the next one.
fn not_kept(head: &Parts, refusal: &Refusal) -> Response {
    let mut response = refuse(&head.extensions, refusal);
    response.extensions_mut().insert(NotKept);
    response
}

fn is_json(head: &Parts) -> bool {
    let Some(value) = head.headers.get(CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}
