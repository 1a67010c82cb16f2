//! The layer alone, over a service and a store that do as they are told: who waits for whom, and what fails closed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which clippy.toml exempts only inside test functions"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use otpgate::access::authenticator::Caller;
use otpgate::access::connection::ConnectionId;
use otpgate::access::scope::Scopes;
use otpgate::idempotency::{Answer, Answers, CallKey, Found, Later, Operation, Settled, Ticket, Unavailable};
use otpgate::layer::dialect::{Dialects, Spoken};
use otpgate::layer::idempotency::{Asked, IdempotencyLayer, IdempotencyObserver, Operations};
use otpgate::layer::{Request, Response};
use otpgate::otp::id::AccountId;
use otpgate::quota::Allowance;
use otpgate::secret::{Keyring, SystemEntropy};
use otpgate::surface::{DIALECTS, asked};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::{Layer as _, Service, ServiceExt as _};

/// Keeps one answer; may be out of reach.
#[derive(Default)]
struct OneAnswer {
    kept: Mutex<Option<(CallKey, Answer)>>,
    gone: AtomicBool,
    asked: AtomicUsize,
}

impl OneAnswer {
    /// What a change does of itself as well.
    fn settle(&self, ticket: &Ticket, answer: Option<Answer>) {
        let mut kept = self.kept.lock();
        match &*kept {
            Some((known, before)) if *known == ticket.call => ticket.settle(Settled::Replayed(before.clone())),
            Some((known, _)) if known.key == ticket.call.key => ticket.settle(Settled::Reused),
            _ => {
                if let Some(answer) = answer {
                    *kept = Some((ticket.call, answer));
                    ticket.settle(Settled::Kept);
                }
            }
        }
    }
}

impl Answers for OneAnswer {
    fn find<'a>(&'a self, call: &'a CallKey) -> Later<'a, Result<Found, Unavailable>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = match &*self.kept.lock() {
            _ if self.gone.load(Ordering::SeqCst) => Err(Unavailable),
            Some((known, answer)) if known == call => Ok(Found::Answer(answer.clone())),
            Some((known, _)) if known.key == call.key => Ok(Found::Reused),
            _ => Ok(Found::Nothing),
        };
        Box::pin(std::future::ready(found))
    }

    fn end<'a>(&'a self, ticket: &'a Ticket, answer: Option<Answer>) -> Later<'a, Result<(), Unavailable>> {
        if self.gone.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(Unavailable)));
        }
        self.settle(ticket, answer);
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Nobody;

impl IdempotencyObserver for Nobody {
    fn replayed(&self) {}
    fn reused(&self) {}
}

/// What stands behind the layer: counts its calls, waits until it is let go, answers with a status.
#[derive(Default)]
struct Behind {
    calls: AtomicUsize,
    tickets: AtomicUsize,
    go: Notify,
    waits: AtomicBool,
    status: Mutex<StatusCode>,
}

struct Bench {
    answers: Arc<OneAnswer>,
    behind: Arc<Behind>,
    layer: IdempotencyLayer,
    caller: Arc<Caller>,
}

impl Bench {
    /// Of calls whose answers are asked for first.
    fn new() -> Self {
        Self::with(|request| asked(request).map(|asked| Asked { at_once: false, ..asked }))
    }

    fn with(asked: Operations) -> Self {
        let (answers, keyring) = (Arc::new(OneAnswer::default()), Arc::new(Keyring::generate(&SystemEntropy)));
        let layer = IdempotencyLayer::new(asked, Arc::clone(&answers) as _, keyring, Arc::new(Nobody));
        let caller = Caller {
            connection: ConnectionId::generate(&SystemEntropy),
            name: String::new(),
            account: AccountId::default_account(),
            scopes: Scopes::default(),
            allowance: Allowance::Unlimited,
        };
        Self { answers, behind: Arc::default(), layer, caller: Arc::new(caller) }
    }

    fn service(
        &self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + 'static {
        let behind = Arc::clone(&self.behind);
        self.layer.layer(tower::service_fn(move |request: Request| {
            let behind = Arc::clone(&behind);
            async move {
                behind.calls.fetch_add(1, Ordering::SeqCst);
                let ticket = request.extensions().get::<Arc<Ticket>>().is_some();
                behind.tickets.fetch_add(usize::from(ticket), Ordering::SeqCst);
                if behind.waits.load(Ordering::SeqCst) {
                    behind.go.notified().await;
                }
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = *behind.status.lock();
                Ok(response)
            }
        }))
    }

    fn request(&self, headers: &[(&str, &str)], body: &'static str) -> Request {
        let mut request = http::Request::builder().method("POST").uri("/v1/otp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        let Dialects { native, .. } = DIALECTS;
        request.extensions_mut().insert(Spoken(native));
        request.extensions_mut().insert(Arc::clone(&self.caller));
        request
    }

    async fn call(&self, headers: &[(&str, &str)], body: &'static str) -> (StatusCode, String, bool) {
        let request = self.request(headers, body);
        let response = self.service().oneshot(request).await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), replayed)
    }

    fn calls(&self) -> usize {
        self.behind.calls.load(Ordering::SeqCst)
    }
}

const KEY: &[(&str, &str)] = &[("idempotency-key", "k")];

#[tokio::test]
async fn a_call_without_a_name_goes_straight_through() {
    let bench = Bench::new();
    for headers in [&[][..], &[("x-ms-workflow-run-id", "r")], &[("x-ms-workflow-operation-name", "a")]] {
        assert_eq!(bench.call(headers, "body").await, (StatusCode::OK, "body".to_owned(), false));
    }
    assert_eq!((bench.calls(), bench.behind.tickets.load(Ordering::SeqCst)), (3, 0));
    assert_eq!(bench.answers.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_for_the_first_and_no_longer_than_it_may() {
    let bench = Arc::new(Bench::new());
    bench.behind.waits.store(true, Ordering::SeqCst);
    let call = |body| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.call(KEY, body).await })
    };
    let first = call("one");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let second = call("one");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let late = call("one");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!second.is_finished() && bench.calls() == 1, "it waits");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(second.await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE, "and does nothing when it has waited enough");
    bench.behind.go.notify_one();
    assert_eq!(first.await.unwrap(), (StatusCode::OK, "one".to_owned(), false));
    assert_eq!(late.await.unwrap(), (StatusCode::OK, "one".to_owned(), true));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_comes_to_nothing_one_of_those_who_wait_goes() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::FOUND] {
        let bench = Arc::new(Bench::new());
        bench.behind.waits.store(true, Ordering::SeqCst);
        *bench.behind.status.lock() = status;
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move { bench.call(KEY, "one").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(bench.calls(), 1);
        bench.behind.go.notify_one();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(bench.calls(), 2, "{status} is not kept, and one more goes");
        *bench.behind.status.lock() = StatusCode::NOT_FOUND;
        bench.behind.go.notify_one();
        let mut outcomes = Vec::new();
        for call in calls {
            outcomes.push(call.await.unwrap());
        }
        let count = |outcome: (StatusCode, bool)| outcomes.iter().filter(|found| (found.0, found.2) == outcome).count();
        assert_eq!((count((status, false)), count((StatusCode::NOT_FOUND, false))), (1, 1));
        assert_eq!((count((StatusCode::NOT_FOUND, true)), bench.calls()), (3, 2));
    }
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_done() {
    let bench = Bench::new();
    bench.answers.gone.store(true, Ordering::SeqCst);
    let (status, body, _) = bench.call(KEY, "one").await;
    assert_eq!((status, bench.calls()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{body}");
    bench.answers.gone.store(false, Ordering::SeqCst);
    assert_eq!(bench.call(KEY, "one").await.0, StatusCode::OK);
    assert_eq!(bench.call(KEY, "two").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bench.calls(), 1);
}

#[tokio::test]
async fn a_body_is_bounded_before_anything_is_done() {
    let bench = Bench::new();
    let large: &'static str = Box::leak("x".repeat(16 * 1_024 + 1).into_boxed_str());
    assert_eq!(bench.call(KEY, large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.call(KEY, &large[1..]).await.0, StatusCode::OK);
    assert_eq!(bench.calls(), 1);
}

/// A dialect whose callers sign the query and name their code in a header field.
fn signed(request: &Request) -> Option<Asked> {
    let signature = request.headers().get("x-signature")?.to_str().ok()?;
    let query = request.uri().query().unwrap_or_default().replace(signature, "");
    let token = request.headers().get("x-token")?.as_bytes().to_vec();
    Some(Asked { operation: Operation::Verify, query, fields: token, at_once: false })
}

#[tokio::test]
async fn a_dialect_says_what_belongs_to_the_request() {
    let bench = Bench::with(signed);
    let call = async |query: &str, signature, token| {
        let headers = [KEY[0], ("x-signature", signature), ("x-token", token)];
        let mut request = bench.request(&headers, "body");
        *request.uri_mut() = format!("/?{query}").parse().unwrap();
        let response = bench.service().oneshot(request).await.unwrap();
        (response.status(), response.headers().contains_key("idempotency-replayed"))
    };
    assert_eq!(call("a=1&s=first", "first", "t").await, (StatusCode::OK, false));
    assert_eq!(call("a=1&s=second", "second", "t").await, (StatusCode::OK, true), "signed anew");
    assert_eq!(call("a=2&s=third", "third", "t").await, (StatusCode::UNPROCESSABLE_ENTITY, false));
    assert_eq!(call("a=1&s=first", "first", "u").await, (StatusCode::UNPROCESSABLE_ENTITY, false));
    assert_eq!(bench.calls(), 1);
}

/// Which operation a request without headers and body asks for.
fn operation(method: &Method, uri: &Uri) -> Option<Operation> {
    let request = http::Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    asked(&request).map(|asked| asked.operation)
}

#[test]
fn every_operation_of_every_dialect_has_its_place() {
    let expected = |name: &str| match name.trim_start_matches("Tyntec_") {
        "SendOTP" => Some(Operation::Send),
        "OpenVerification" | "SendOTPAndWait" => Some(Operation::Open),
        "ResendOTP" => Some(Operation::Resend),
        "VerifyOTP" => Some(Operation::Verify),
        "DeleteOTP" => Some(Operation::Delete),
        // One path, whose query says what is asked for.
        "Unimatrix_Call" | "OneAccess_SendSms" => Some(Operation::Send),
        "OneAccess_VerifySms" | "OneAccess_Login" | "OneAccess_MfaSms" => Some(Operation::Verify),
        _ => None,
    };
    let document = otpgate::openapi::document(otpgate::openapi::Format::V31, None).unwrap();
    let mut found = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = if path == "/" { "/?action=otp.send" } else { path };
        let uri: Uri =
            path.replace("{otpID}", "0193517a-5c00-7000-8000-0123456789ab").replace(['{', '}'], "").parse().unwrap();
        for (method, described) in item.as_object().unwrap() {
            let Some(name) = described["operationId"].as_str() else { continue };
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let place = operation(&method, &uri);
            assert_eq!(place, expected(name), "{method} {path}");
            found += usize::from(place.is_some());
            let parameters = described["parameters"].as_array().into_iter().flatten();
            let told = parameters.filter(|parameter| parameter["name"] == "Idempotency-Key").count();
            assert_eq!(
                (told, described["responses"].get("422").is_some()),
                (usize::from(place.is_some()), place.is_some())
            );
        }
    }
    assert_eq!(found, 15);
    let verify = Uri::from_static("/?timestamp=1763764437&action=otp.verify");
    assert_eq!(operation(&Method::POST, &verify), Some(Operation::Verify));
    assert_eq!(operation(&Method::GET, &verify), None);
    for path in [
        "/",
        "/?action=otp",
        "/?action=otp.send&action=otp.send",
        "/x?action=otp.send",
        "/v1/otpx",
        "/v1/otp/a/b/verify",
        "/v1/otp/a/verify/",
        "/2fa/v1/otp/a/b/check",
        "/v1/applications",
    ] {
        assert_eq!(operation(&Method::POST, &Uri::from_static(path)), None, "{path}");
    }
}

/// What a change finds of itself is not asked for before; a call that no change told of is ended by what is kept.
#[tokio::test]
async fn a_change_finds_by_itself_what_is_kept() {
    let bench = Bench::with(asked);
    let looked = || bench.answers.asked.load(Ordering::SeqCst);
    assert_eq!(bench.call(KEY, "one").await, (StatusCode::OK, "one".to_owned(), false));
    assert_eq!((bench.calls(), looked()), (1, 0));
    // It is run again, as a change would be, and found out behind it: by who keeps the answer, and where none is to be kept.
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS, StatusCode::FOUND] {
        *bench.behind.status.lock() = status;
        assert_eq!(bench.call(KEY, "one").await, (StatusCode::OK, "one".to_owned(), true), "{status}");
        assert_eq!(bench.call(KEY, "two").await.0, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    }
    // A failure says nothing: it is given as it is.
    *bench.behind.status.lock() = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(bench.call(KEY, "one").await, (StatusCode::SERVICE_UNAVAILABLE, "one".to_owned(), false));
    // Whether a refused one was done before is not known where that cannot be asked: nobody is told that it was refused.
    *bench.behind.status.lock() = StatusCode::NOT_FOUND;
    bench.answers.gone.store(true, Ordering::SeqCst);
    assert_eq!(bench.call(KEY, "one").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((bench.calls(), looked()), (11, 0));
}
