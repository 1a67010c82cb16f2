//! The guard at the door: `tower_governor` over the service that answers refused authentications, by peer address.
//!
//! It is charged by failures only, because Power Automate calls from address pools that many tenants share: counting every
//! call would refuse paying connections. IPv6 counts by /64. The table of addresses is capped and swept.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use moka::sync::Cache;
use tokio::time::Instant;
use tower::{Layer as _, Service};
use tower_governor::governor::{Governor, GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::layer::dialect::refuse;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::server::Peer;

/// Addresses that share a bucket once the table is full.
const SHARED_BUCKETS: u64 = 1_024;

/// Addresses that are remembered to have no failure left.
const SPENT: u64 = 10_000;

/// How many failures an address has.
#[derive(Clone, Copy, Debug)]
pub struct GuardSettings {
    /// Failures at once.
    pub failures: u32,
    /// One more after each of these.
    pub refill: Duration,
    /// Addresses that are told apart.
    pub addresses: usize,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self { failures: 30, refill: Duration::from_secs(2), addresses: 100_000 }
    }
}

/// By whom a failure is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardKey {
    /// An address (IPv6: its /64).
    Address(IpAddr),
    /// The table is full: a bucket that several addresses share.
    Shared(u64),
}

/// Takes the key from the peer that the server found.
#[derive(Clone)]
pub struct PeerKey {
    known: Arc<AtomicUsize>,
    limit: usize,
    hasher: RandomState,
}

impl KeyExtractor for PeerKey {
    type Key = GuardKey;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<Self::Key, GovernorError> {
        let address = address(request.extensions());
        // Counts failures since the last sweep as if each came from a new address: never too low.
        if self.known.fetch_add(1, Ordering::Relaxed) < self.limit {
            Ok(GuardKey::Address(address))
        } else {
            Ok(GuardKey::Shared(self.hasher.hash_one(address) % SHARED_BUCKETS))
        }
    }
}

/// Whom a failure is charged to.
fn address(extensions: &http::Extensions) -> IpAddr {
    extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Peer::guard_key)
}

/// The guard: answers refused requests with 401 until an address has failed too often, then with 429.
#[derive(Clone)]
pub struct Guard {
    refused: Governor<PeerKey, NoOpMiddleware<QuantaInstant>, Refuse, Body>,
    config: Arc<GovernorConfig<PeerKey, NoOpMiddleware<QuantaInstant>>>,
    known: Arc<AtomicUsize>,
    /// Until when an address has no failure left, where a failure costs more than an answer.
    spent: Cache<IpAddr, Instant>,
}

/// Put into the governor's request: what it lets through is answered so.
#[derive(Clone)]
struct Words(Refusal);

/// Put into the governor's answer, so that it can be worded in the caller's dialect.
#[derive(Clone, Copy)]
struct Wait(u64);

impl Guard {
    /// A guard with these settings; figures of zero count as one.
    #[must_use]
    pub fn new(settings: GuardSettings) -> Self {
        let known = Arc::new(AtomicUsize::new(0));
        let extractor = PeerKey { known: Arc::clone(&known), limit: settings.addresses, hasher: RandomState::new() };
        let config = GovernorConfigBuilder::default()
            .period(settings.refill.max(Duration::from_millis(1)))
            .burst_size(settings.failures.max(1))
            .key_extractor(extractor)
            .finish();
        #[expect(clippy::expect_used, reason = "the builder refuses only a period or a burst of zero")]
        let config = Arc::new(config.expect("period and burst are above zero"));
        let layer = GovernorLayer::new(Arc::clone(&config)).error_handler(|error| {
            // The governor rounds down; the wait in whole seconds is at least one more.
            let wait = match error {
                GovernorError::TooManyRequests { wait_time, .. } => wait_time + 1,
                _ => 1,
            };
            let mut response = Response::default();
            response.extensions_mut().insert(Wait(wait));
            response
        });
        let spent = Cache::builder().max_capacity(SPENT).time_to_live(Duration::from_secs(3_600)).build();
        Self { refused: layer.layer(Refuse), config, known, spent }
    }

    /// The refusal of an address that has no failure left. To be asked before work that a failure would have wasted, and
    /// that [`Guard::charge`] is told of.
    #[must_use]
    pub fn turns_away(&self, extensions: &http::Extensions) -> Option<Refusal> {
        let until = self.spent.get(&address(extensions))?;
        let left = until.saturating_duration_since(Instant::now());
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        (seconds > 0).then_some(Refusal::Guarded { retry_after: seconds })
    }

    /// Charges an address for a failure. The refusal, where it had none left.
    pub async fn charge(&self, extensions: &http::Extensions) -> Option<Refusal> {
        let mut bare = Request::default();
        *bare.extensions_mut() = extensions.clone();
        let answered = match self.refused.clone().call(bare).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let Wait(retry_after) = *answered.extensions().get::<Wait>()?;
        self.spent.insert(address(extensions), Instant::now() + Duration::from_secs(retry_after));
        Some(Refusal::Guarded { retry_after })
    }

    /// Answers a request whose credential opened nothing, and charges its address. `refusal` is for an address that has not
    /// failed too often.
    pub async fn refuse_with(&self, request: Request, refusal: Refusal) -> Response {
        let (parts, _) = request.into_parts();
        let mut bare = Request::default();
        *bare.extensions_mut() = parts.extensions.clone();
        bare.extensions_mut().insert(Words(refusal));
        let answered = match self.refused.clone().call(bare).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        match answered.extensions().get::<Wait>() {
            Some(Wait(retry_after)) => refuse(&parts.extensions, &Refusal::Guarded { retry_after: *retry_after }),
            None => answered,
        }
    }

    /// Forgets addresses whose failures are over. Call it every few seconds.
    pub fn sweep(&self) {
        let limiter = self.config.limiter();
        limiter.retain_recent();
        limiter.shrink_to_fit();
        self.known.store(limiter.len(), Ordering::Relaxed);
    }

    /// Addresses that are remembered, for a metric.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.config.limiter().len()
    }
}

/// What the governor lets through: what was asked for, in the words of the dialect.
#[derive(Clone, Copy)]
struct Refuse;

impl Service<Request> for Refuse {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let words = request.extensions().get::<Words>().map_or(&Refusal::Internal, |words| &words.0);
        ready(Ok(refuse(request.extensions(), words)))
    }
}
