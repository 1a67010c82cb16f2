//! The tower stack, from the outside in. Each line says why it stands at its height.
//!
//! ```text
//! trace      gives the id that every answer below carries, and sees every answer
//! dialect    everything below refuses in the caller's dialect
//! rescue     a panic below is answered in that dialect, and still traced
//! limits     too large is refused before anything is looked up or read, and what the server refused is worded
//! path       below it, what is no text in a path is a name that nothing has: it is missed as everything else is
//! classes    open | keyed | capability: method and path alone decide who may pass
//!            all that one asks a shared store for has one time
//!   keyed:   auth    before the quota: nobody drains a connection's quota with wrong keys
//!            finish  below it, where the caller is known: what he began is finished without him; above all that is done for him
//!            quota   before the handler: every authenticated call counts, whatever becomes of it
//!            idempotency   below the quota: a replayed call counts; above the handler, which it may spare
//! routes     axum's router, with the OpenAPI document collected from its handlers
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use futures_util::future::Either;
use http::Method;
use tokio::task::futures::TaskLocalFuture;
use tower::{Layer as _, Service, ServiceBuilder};

use crate::access::authenticator::Authenticator;
use crate::clock::Clock;
use crate::deadline;
use crate::idempotency::Answers;
use crate::layer::auth::{AuthLayer, AuthObserver, AuthService};
use crate::layer::dialect::{DialectLayer, DialectService, Dialects};
use crate::layer::finish::{FinishLayer, FinishService, Room};
use crate::layer::guard::Guard;
use crate::layer::idempotency::{IdempotencyLayer, IdempotencyObserver, IdempotencyService, Operations};
use crate::layer::limits::{LimitsLayer, LimitsService};
use crate::layer::path::{PathLayer, PathService};
use crate::layer::quota::{Carried, QuotaLayer, QuotaObserver, QuotaService};
use crate::layer::rescue::{RescueLayer, RescueService};
use crate::layer::route::RouteLayer;
use crate::layer::trace::{Observer, TraceLayer, TraceService};
use crate::layer::{Request, Response};
use crate::quota::Quota;
use crate::secret::Keyring;

/// What the stack is made of.
pub struct Parts {
    /// Which dialect speaks where.
    pub dialects: Dialects,
    /// Which requests need a key.
    pub keyed: fn(&Method, &str) -> bool,
    /// The largest body of a path, in bytes.
    pub body_bytes: fn(&str) -> usize,
    /// Looks keys up.
    pub authenticator: Arc<Authenticator>,
    /// Answers refused authentications.
    pub guard: Guard,
    /// Where calls go on whose callers went away: those with a key, and those without.
    pub rooms: [Room; 2],
    /// Counts calls.
    pub quota: Arc<dyn Quota>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Is told of requests.
    pub observer: Arc<dyn Observer>,
    /// Is told of refused authentications.
    pub auth_observer: Arc<dyn AuthObserver>,
    /// Is told of quota decisions.
    pub quota_observer: Arc<dyn QuotaObserver>,
    /// Which calls a shared store counts in the step that does them.
    pub carried: Carried,
    /// Which requests are done once, however often they arrive.
    pub operations: Operations,
    /// Their answers.
    pub answers: Arc<dyn Answers>,
    /// Makes the keys of answers.
    pub keyring: Arc<Keyring>,
    /// Is told of replayed calls.
    pub idempotency_observer: Arc<dyn IdempotencyObserver>,
    /// The routes that need a key.
    pub keyed_routes: Router,
    /// The routes that need none.
    pub open_routes: Router,
}

/// The whole stack.
pub type Gateway = TraceService<DialectService<RescueService<LimitsService<PathService<Classes>>>>>;

/// Builds the stack.
#[must_use]
pub fn stack(parts: Parts) -> Gateway {
    let [keyed_room, open_room] = parts.rooms;
    let keyed = ServiceBuilder::new()
        // First the key: a wrong one costs its holder, not the connection it claims.
        .layer(AuthLayer::new(parts.authenticator, parts.guard, parts.auth_observer))
        // Then nothing is left half done, should he go away: not what is counted, and not what is written.
        .layer(FinishLayer(keyed_room))
        // Then the quota, whatever the handler will say. Where a shared store would be asked twice, the change of a call counts
        // it, or nothing is changed.
        .layer(QuotaLayer::new(parts.quota, parts.quota_observer, parts.carried))
        // Below both: only its own connection is told an answer again, and that call counts as well.
        .layer(IdempotencyLayer::new(parts.operations, parts.answers, parts.keyring, parts.idempotency_observer))
        .service(parts.keyed_routes);
    // The steps of a person on a page as well, in a room of their own.
    let open = FinishLayer(open_room).layer(parts.open_routes);
    let classes = Classes { keyed, open, needs_key: parts.keyed };
    ServiceBuilder::new()
        // Outermost: an answer without an id cannot be asked about.
        .layer(TraceLayer::new(parts.dialects, parts.clock, parts.observer))
        // Above everything that refuses.
        .layer(DialectLayer(parts.dialects))
        // Below the dialect, which words its answer; above everything that may panic.
        .layer(RescueLayer)
        // Above the look-up of a key, which a large request should not cost.
        .layer(LimitsLayer { body_bytes: parts.body_bytes })
        // Above the classes, so that a key is asked for and a miss is charged as for any other path.
        .layer(PathLayer)
        .service(classes)
}

/// Sends a request to the routes of its class, by its method and path.
#[derive(Clone)]
pub struct Classes {
    keyed: AuthService<FinishService<QuotaService<IdempotencyService<Router>>>>,
    open: FinishService<Router>,
    needs_key: fn(&Method, &str) -> bool,
}

type Keyed = <AuthService<FinishService<QuotaService<IdempotencyService<Router>>>> as Service<Request>>::Future;
type Open = <FinishService<Router> as Service<Request>>::Future;

impl Service<Request> for Classes {
    type Response = Response;
    type Error = Infallible;
    type Future = TaskLocalFuture<deadline::Waited, Either<Keyed, Open>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Routers and the layers above them are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answer = if (self.needs_key)(request.method(), request.uri().path()) {
            Either::Left(self.keyed.call(request))
        } else {
            Either::Right(self.open.call(request))
        };
        // Whatever it asks the store for, it waits for all of it only so long.
        deadline::call(answer)
    }
}

/// Finishes a router: its 404 and 405 speak the caller's dialect, its spans name their route.
pub fn finish(router: Router) -> Router {
    use crate::layer::dialect::refuse;
    use crate::layer::refusal::Refusal;
    router
        .route_layer(RouteLayer)
        .fallback(|request: Request| std::future::ready(refuse(request.extensions(), &Refusal::NotFound)))
        .method_not_allowed_fallback(|request: Request| {
            std::future::ready(refuse(request.extensions(), &Refusal::MethodNotAllowed))
        })
}
