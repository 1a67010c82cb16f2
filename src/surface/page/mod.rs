//! The hosted verification page: what a person sees who has its address. A capability: no key, no quota; an address that opens
//! nothing is charged to the guard.
//!
//! Looking changes nothing, so that link scanners spend nothing. A form is posted to the page's own address and answered by a
//! redirect to it: reloading, going back and pressing twice do no harm. The address is the secret that a form has to know;
//! where a browser says that a form came from elsewhere, it is refused all the same. No cookie, no request to anywhere else.

mod colour;
mod dialect;
mod document;
mod form;
mod language;
mod result;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::get;
use http::header::{CONTENT_TYPE, LOCATION, ORIGIN};
use http::request::Parts as Head;
use http::{HeaderName, HeaderValue, StatusCode};
use moka::sync::Cache;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::layer::body::read_up_to;
use crate::layer::dialect::refuse;
use crate::layer::guard::Guard;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::otp::channel::Channel;
use crate::otp::code::EnteredCode;
use crate::secret::{Entropy, Keyring, Purpose};
use crate::surface::answer::{JSON, bytes_of, empty};
use crate::surface::page::document::{Frames, Tell, private};
use crate::surface::page::form::{Action, FORM_BYTES, Form};
use crate::surface::page::view::{ONWARD, Said, document};
use crate::surface::refusal::store_refusal;
use crate::verification::outcome::Outcome;
use crate::verification::page::{NotDone, PageError};
use crate::verification::service::Verifications;
use crate::verification::token::{PAGES as PREFIX, PageToken};
use crate::verification::view::{State as Standing, View};

pub use dialect::{PAGES, Pages};
pub use result::{KeyError, Signer};

/// Below this every path is a capability.
pub const CAPABILITIES: &str = PREFIX;
/// The largest body in bytes.
pub const BODY_BYTES: usize = FORM_BYTES;
/// Where the public keys of result tokens are (RFC 8615, RFC 7517).
pub const KEYS: &str = "/.well-known/jwks.json";
/// How long a key may be kept, in seconds: an hour, in which a site asks once.
const KEYS_AGE: &str = "public, max-age=3600";

/// What an open page's script asks for, in the head of any look: `open` or `ended`.
const STATE: HeaderName = HeaderName::from_static("verification-state");

/// Seconds after which a step may be tried again that the store did not make.
const AGAIN_SECONDS: u64 = 1;
/// How long a form that is sent twice is known to be the same.
const SAME_WITHIN: Duration = Duration::from_secs(60);
/// Forms that are remembered at most.
const FORMS: u64 = 10_000;
/// Forms of different pages that are looked at at once, roughly.
const LANES: usize = 64;

/// What the handlers call, shared.
pub struct Parts {
    verifications: Arc<Verifications>,
    signer: Arc<Signer>,
    guard: Guard,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keyring: Arc<Keyring>,
    own_origin: String,
    /// Wrong codes of late, each with the tries that were left: what a second press of the button sends counts once.
    wrong: Cache<[u8; 32], ()>,
    /// The second press waits for the first.
    lanes: Vec<Mutex<()>>,
}

impl Parts {
    /// The parts, for a gateway at `base_url`.
    #[must_use]
    pub fn new(
        verifications: Arc<Verifications>,
        signer: Arc<Signer>,
        guard: Guard,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        keyring: Arc<Keyring>,
        base_url: &str,
    ) -> Self {
        let own_origin = result::origin(base_url).to_owned();
        let wrong = Cache::builder().max_capacity(FORMS).time_to_live(SAME_WITHIN).build();
        let lanes = (0..LANES).map(|_| Mutex::new(())).collect();
        Self { verifications, signer, guard, clock, entropy, keyring, own_origin, wrong, lanes }
    }

    /// What a form is known by: the page, what was typed, and the tries that were left when its page was made.
    fn same(&self, token: &str, form: &Form) -> [u8; 32] {
        self.keyring.hash(Purpose::Cache, &[b"form", token.as_bytes(), form.turn.as_bytes(), form.code.as_bytes()])
    }
}

/// The routes, which need no key.
pub fn capabilities(parts: Arc<Parts>) -> Router {
    let path = format!("{CAPABILITIES}{{token}}");
    Router::new().route(&path, get(show).post(step)).with_state(parts)
}

/// The public keys, for whoever checks a result.
pub fn keys(signer: &Signer) -> Router {
    let keys = bytes::Bytes::copy_from_slice(signer.keys());
    let answer = move || {
        let mut response = bytes_of(StatusCode::OK, JSON, keys.clone());
        let headers = response.headers_mut();
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static(KEYS_AGE));
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        std::future::ready(response)
    };
    Router::new().route(KEYS, get(answer))
}

type Address = Result<Path<String>, PathRejection>;

/// The token of an address; what is no text at all opens nothing, like any other text that does not.
fn token(path: Address) -> String {
    path.map(|Path(token)| token).unwrap_or_default()
}

/// Shows where a verification stands. Changes nothing.
async fn show(State(parts): State<Arc<Parts>>, path: Address, request: Request) -> Response {
    let token = token(path);
    let view = match parts.verifications.look(&PageToken::read(&token)).await {
        Ok(view) => view,
        Err(error) => return refused(&parts, error, request).await,
    };
    if let (Standing::Ended(outcome), Some(ONWARD)) = (view.state, request.uri().query())
        && let Some(onward) = onward(&parts, &view, outcome)
    {
        return onward;
    }
    let mut document = document(&view, &token, request.uri().query().and_then(Said::of_query));
    let origins: Vec<_> = view.embed_origins.iter().map(|origin| origin.as_str()).collect();
    let mut state = HeaderValue::from_static("open");
    if let Standing::Ended(outcome) = view.state {
        state = HeaderValue::from_static("ended");
        // Neither on its own nor asked by a script has a page a parent to tell.
        let framed = said(&request, "sec-fetch-dest").is_none_or(|place| !matches!(place, "document" | "empty"));
        if framed && !origins.is_empty() {
            // One for all of them: who the parent is, only the browser knows, and one each would be too heavy.
            let result = sign(&parts, &view, outcome, &origins);
            document.tell = result.map(|result| Tell { origins: origins.join(" "), result });
        }
    }
    let mut answer = document.answer(StatusCode::OK, Frames::Of(&origins));
    answer.headers_mut().insert(STATE, state);
    answer
}

/// Makes one step of the person, and leads back to the page.
async fn step(State(parts): State<Arc<Parts>>, path: Address, request: Request) -> Response {
    let token = token(path);
    let framed = said(&request, "sec-fetch-dest").is_some_and(|place| place != "document");
    let (head, body) = request.into_parts();
    if is_foreign(&head, &parts.own_origin) {
        return dialect::written(language::of_head(&head), StatusCode::FORBIDDEN);
    }
    if !is_form(&head) {
        return refuse(&head.extensions, &Refusal::UnsupportedMediaType);
    }
    let body = match read_up_to(body, BODY_BYTES).await {
        Ok(body) => zeroize::Zeroizing::new(body.to_vec()),
        Err(refusal) => return refuse(&head.extensions, &refusal),
    };
    let Some(form) = Form::parse(&body) else { return refuse(&head.extensions, &Refusal::BodyUnreadable) };
    match make(&parts, &token, &form).await {
        Ok((view, said)) => {
            let verified = view.state == Standing::Ended(Outcome::Verified) && form.action == Action::Enter;
            // In a frame the parent is told, and not led away from its own page. Elsewhere the page goes on by itself, and not
            // from here: a policy on forms binds all redirects after one, those of the site too.
            let goes = verified && !framed && view.return_url.is_some();
            back(&token, if goes { Some(Said::Done) } else { said })
        }
        Err(error) => refused(&parts, error, Request::from_parts(head, axum::body::Body::empty())).await,
    }
}

/// The step itself: the view after it, and what the page says about it.
async fn make(parts: &Parts, text: &str, form: &Form) -> Result<(View, Option<Said>), PageError> {
    let (verifications, token) = (&parts.verifications, PageToken::read(text));
    let made = match form.action {
        Action::Enter => return enter(parts, text, form).await,
        Action::Begin => verifications.begin(&token).await,
        Action::Again => verifications.again(&token, Channel::Sms).await,
        Action::Voice => verifications.again(&token, Channel::Voice).await,
        Action::NotMe => verifications.not_me(&token).await,
    };
    not_done(made)
}

async fn enter(parts: &Parts, text: &str, form: &Form) -> Result<(View, Option<Said>), PageError> {
    let (verifications, token, same) = (&parts.verifications, PageToken::read(text), parts.same(text, form));
    let lane = same.iter().take(8).fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let _turn = match parts.lanes.get(lane % LANES) {
        Some(lane) => Some(lane.lock().await),
        None => None,
    };
    if form.code.is_empty() || parts.wrong.contains_key(&same) {
        let view = verifications.look(&token).await?;
        return Ok((view, (!form.code.is_empty()).then_some(Said::Wrong)));
    }
    let made = verifications.enter(&token, EnteredCode::new(&form.code)).await;
    if made.as_ref().is_ok_and(|view| view.wrong) {
        parts.wrong.insert(same, ());
    }
    not_done(made)
}

/// A step that was not made shows on the page, which says why where it cannot be seen.
fn not_done(made: Result<View, PageError>) -> Result<(View, Option<Said>), PageError> {
    match made {
        Ok(view) => {
            let said = view.wrong.then_some(Said::Wrong);
            Ok((view, said))
        }
        // The wait and the end of a code are on the page anyway.
        Err(PageError::NotDone(view, NotDone::TooSoon(_) | NotDone::NoCode)) => Ok((*view, None)),
        Err(PageError::NotDone(view, NotDone::NoSendsLeft | NotDone::NotOffered | NotDone::Send(_))) => {
            Ok((*view, Some(Said::Trouble)))
        }
        Err(error) => Err(error),
    }
}

/// To the page, by a look.
fn back(token: &str, said: Option<Said>) -> Response {
    // Relative: a gateway below a path of somebody else's server need not know it.
    let address = match said {
        Some(said) => format!("{token}?said={}", said.as_str()),
        None => token.to_owned(),
    };
    see_other(&address)
}

/// To the site that asked, with the result.
fn onward(parts: &Parts, view: &View, outcome: Outcome) -> Option<Response> {
    let address = view.return_url.as_ref()?.as_str();
    let token = sign(parts, view, outcome, &[result::origin(address)])?;
    Some(see_other(&result::with_token(address, &token)))
}

fn sign(parts: &Parts, view: &View, outcome: Outcome, audiences: &[&str]) -> Option<String> {
    let now = parts.clock.now();
    let token = parts.signer.sign(&view.verification, outcome, audiences, now, &*parts.entropy);
    if token.is_none() {
        tracing::error!("a result token could not be signed");
    }
    token
}

fn see_other(address: &str) -> Response {
    let mut response = empty(StatusCode::SEE_OTHER);
    let Ok(mut location) = HeaderValue::from_str(address) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    location.set_sensitive(true);
    response.headers_mut().insert(LOCATION, location);
    private(response.headers_mut());
    response
}

async fn refused(parts: &Parts, error: PageError, request: Request) -> Response {
    match error {
        // Guessing is charged like a wrong key; what is over looks the same.
        PageError::Gone => parts.guard.refuse_with(request, Refusal::NotFound).await,
        PageError::NotDone(..) => refuse(request.extensions(), &Refusal::Internal),
        PageError::Store(error) => refuse(request.extensions(), &store_refusal(error, AGAIN_SECONDS)),
    }
}

/// What a browser says of a request (Fetch Metadata).
fn said<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// Whether a browser says that a form came from another site. One that has no Fetch Metadata says it by `Origin`, which is
/// `null` from our own pages too, because they tell nobody where they are.
fn is_foreign(head: &Head, own_origin: &str) -> bool {
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin != "null" && origin != own_origin,
        (None, None) => false,
    }
}

fn is_form(head: &Head) -> bool {
    let value = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_from_elsewhere_is_known() {
        let foreign = |fields: &[(&str, &str)]| {
            let builder =
                fields.iter().fold(http::Request::builder(), |builder, (name, value)| builder.header(*name, *value));
            let (head, ()) = builder.body(()).unwrap().into_parts();
            is_foreign(&head, "https://otp.example.com")
        };
        assert!(!foreign(&[]));
        assert!(!foreign(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(!foreign(&[("sec-fetch-site", "none")]));
        assert!(!foreign(&[("origin", "https://otp.example.com")]) && !foreign(&[("origin", "null")]));
        assert!(foreign(&[("sec-fetch-site", "cross-site"), ("origin", "https://otp.example.com")]));
        assert!(foreign(&[("sec-fetch-site", "same-site")]));
        assert!(foreign(&[("origin", "https://evil.example")]));
    }
}
