//! Carriers' receipts, `/v1/receipts/{provider}/{token}`: capabilities, each for one message or for one provider. Reads what a
//! carrier posts and hands it on; the carrier is told that it was taken once it is kept. It is in no document: a carrier is
//! given the address, with nothing to choose.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::get;
use http::StatusCode;

use crate::carrier::reader::{RECEIPTS, ReceiptReader};
use crate::carrier::report::{Incoming, REPORTS, Unreadable};
use crate::delivery::receipt::Receipts;
use crate::layer::body::read_up_to;
use crate::layer::dialect::refuse;
use crate::layer::guard::Guard;
use crate::layer::refusal::Refusal;
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::surface::answer::empty;
use crate::surface::problem::{Problem, ProblemCode};

/// Below this every path is a capability.
pub const CAPABILITIES: &str = RECEIPTS;
/// The largest body in bytes: a batch of a carrier's receipts.
pub const BODY_BYTES: usize = 64 * 1024;
/// Seconds after which a carrier may repeat what could not be kept.
const REPEAT_SECONDS: u64 = 5;

/// What the handler calls, shared.
pub struct Parts {
    /// Knows the addresses, and the carriers behind them.
    pub reader: Arc<ReceiptReader>,
    /// Keeps what they report.
    pub receipts: Arc<dyn Receipts>,
    /// Is charged for addresses that were never handed out, and for signatures that do not fit.
    pub guard: Guard,
}

/// The route, which needs no key.
pub fn capabilities(parts: Arc<Parts>) -> Router {
    Router::new().route("/v1/receipts/{provider}/{token}", get(receive).post(receive)).with_state(parts)
}

async fn receive(
    State(parts): State<Arc<Parts>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    // Before the body is read: whoever guesses costs nothing.
    let known = path.ok().filter(|Path((provider, token))| parts.reader.knows(provider, token));
    let Some(Path((provider, token))) = known else {
        return parts.guard.refuse_with(Request::from_parts(head, Body::empty()), Refusal::NotFound).await;
    };
    let body = match read_up_to(body, BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refuse(&head.extensions, &refusal),
    };
    let incoming = Incoming {
        address: head.uri.path_and_query().map_or("", |target| target.as_str()),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &body,
    };
    let reports = match parts.reader.read(&provider, &token, &incoming) {
        Ok(reports) => reports,
        Err(unreadable) => {
            tracing::debug!(provider, ?unreadable, "a receipt was not read");
            let problem = match unreadable {
                Unreadable::Unknown | Unreadable::Forged => {
                    let bare = Request::from_parts(head.clone(), Body::empty());
                    let charged = parts.guard.refuse_with(bare, Refusal::NotFound).await;
                    if unreadable == Unreadable::Unknown || charged.status() == StatusCode::TOO_MANY_REQUESTS {
                        return charged;
                    }
                    let words = "The carrier's signature does not fit; see the provider's credentials.";
                    Problem::new(StatusCode::FORBIDDEN, ProblemCode::SignatureInvalid, words)
                }
                Unreadable::Malformed => {
                    let words = "This names no message and its state in the carrier's words.";
                    Problem::new(StatusCode::BAD_REQUEST, ProblemCode::InvalidRequest, words)
                }
                Unreadable::TooMany => {
                    let words = format!("A request brings at most {REPORTS} receipts.");
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, words)
                }
            };
            return problem.answer(Stamp::of(&head.extensions));
        }
    };
    for report in reports {
        // What was kept before is repeated with the rest, and changes nothing then.
        if parts.receipts.report(&provider, report).await.is_err() {
            return refuse(&head.extensions, &Refusal::Unavailable { retry_after: REPEAT_SECONDS });
        }
    }
    // Not 204: some carriers repeat whatever is not answered 200 (Unimatrix, docs/extension/sms-dlr).
    empty(StatusCode::OK)
}
