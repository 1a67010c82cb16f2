//! The layer that counts calls, above a store that is asked: what is told of a call that counts itself, and of one that nobody
//! could count.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::{Method, StatusCode};
use otpgate::access::authenticator::Caller;
use otpgate::access::connection::ConnectionId;
use otpgate::access::scope::Scopes;
use otpgate::layer::dialect::Spoken;
use otpgate::layer::quota::{QuotaLayer, QuotaObserver};
use otpgate::layer::{Request, Response};
use otpgate::otp::id::AccountId;
use otpgate::quota::{Allowance, Answer, ConnectionKey, Decision, Policy, Quota, Standing, Unavailable, charge};
use otpgate::secret::SystemEntropy;
use otpgate::surface::problem::Native;
use tower::{Layer as _, ServiceExt as _};

const ADMITTED: Decision = Decision::Admitted { remaining: 3, resets_in_ms: 9_000 };
const REFUSED: Decision = Decision::Refused { wait_ms: 9_000 };

/// A store that has to be asked; none where it does not answer.
struct Store(Option<Decision>);

impl Quota for Store {
    fn check<'a>(&'a self, _: ConnectionKey, _: &'a Policy) -> Answer<'a, Decision> {
        let said = self.0.ok_or_else(|| Unavailable::new("away"));
        Answer::Later(Box::pin(async move { said }))
    }

    fn check_at_once(&self, _: ConnectionKey, _: &Policy) -> Option<Decision> {
        None
    }

    fn peek<'a>(&'a self, _: ConnectionKey, _: &'a Policy) -> Answer<'a, Standing> {
        Answer::Now(Standing { remaining: 0, resets_in_ms: 1 })
    }
}

struct Nobody;

impl QuotaObserver for Nobody {
    fn decided(&self, _: bool) {}
}

/// What a call is told that counts itself by `count` and is answered with `status`, where the store would say `said`: the
/// status, and whether the quota is told of.
async fn told(count: impl Fn() + Copy + Send + Sync + 'static, status: u16, said: Option<Decision>) -> (u16, bool) {
    let carried = |method: &Method, _: &str| *method == Method::POST;
    let layer = QuotaLayer::new(Arc::new(Store(said)), Arc::new(Nobody), carried);
    let inner = tower::service_fn(move |_: Request| async move {
        count();
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok::<_, Infallible>(response)
    });
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    request.extensions_mut().insert(Spoken(&Native));
    request.extensions_mut().insert(Arc::new(Caller {
        connection: ConnectionId::generate(&SystemEntropy),
        name: String::new(),
        account: AccountId::default_account(),
        scopes: Scopes::default(),
        allowance: Allowance::Limited(Policy::DEFAULT),
    }));
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().contains_key("ratelimit"))
}

#[tokio::test]
async fn nobody_is_told_of_anything_but_a_failure_before_he_was_counted() {
    let not = || {};
    let begun = || assert!(charge::take().is_some());
    let counts = |decision| {
        assert!(charge::take().is_some());
        charge::decided(decision);
    };
    let admitted = move || counts(ADMITTED);
    let refused = move || counts(REFUSED);
    // It counted itself: the store is not asked again.
    assert_eq!(told(admitted, 200, None).await, (200, true));
    assert_eq!(told(refused, 503, Some(ADMITTED)).await, (429, true));
    assert_eq!(told(refused, 200, Some(ADMITTED)).await, (429, true));
    // It changed nothing, and is counted afterwards.
    assert_eq!(told(not, 404, Some(ADMITTED)).await, (404, true));
    assert_eq!(told(not, 200, Some(REFUSED)).await, (429, true));
    assert_eq!(told(not, 200, None).await, (503, false));
    // Whether it was counted is not known: a failure says so, and nothing else is said.
    assert_eq!(told(begun, 200, Some(ADMITTED)).await, (503, false));
    assert_eq!(told(begun, 500, Some(ADMITTED)).await, (500, false));
}
