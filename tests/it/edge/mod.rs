//! The edge (`src/server`) over real sockets, in front of a trivial service.
//!
//! Deadlines are configured short and only their lower bounds are asserted tightly: the machine may be slow.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "helpers of tests, which clippy.toml exempts only inside test functions"
)]

mod deadlines;
mod draining;
mod http2;
mod keepalive;
mod limits;
mod mutations;
mod peers;
mod process;
mod raw;
mod strictness;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use otpgate::server::{BodyTimeout, Drain, Listener, Peer, Server, ServerStats, Settings};
use tokio::net::TcpStream;

use raw::Raw;

/// Longer than anything may take that is not broken.
const LONG: Duration = Duration::from_secs(20);

/// A running server.
struct Edge {
    address: SocketAddr,
    stats: Arc<ServerStats>,
    drain: Drain,
    service: Service,
}

impl Edge {
    async fn start(configure: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        configure(&mut settings);
        let drain = Drain::new();
        let server = Server::new(settings, &drain);
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (address, stats) = (listener.address(), server.stats());
        let service = Service::default();
        tokio::spawn(server.serve(listener, service.clone()));
        Self { address, stats, drain, service }
    }

    async fn raw(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// How many requests reached the service.
    fn served(&self) -> usize {
        self.service.served.load(Ordering::SeqCst)
    }
}

/// Answers by path: `/slow/MS` after a pause, `/big/BYTES` at length, `/echo` with the body, `/peer` with the
/// addresses, anything else at once with the length of its target, leaving the body unread.
#[derive(Clone, Default)]
struct Service {
    served: Arc<AtomicUsize>,
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.served.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(answer(request).await) })
    }
}

async fn answer(request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let number = |prefix| path.strip_prefix(prefix).map(|number: &str| number.parse::<usize>().unwrap());
    if let Some(millis) = number("/slow/") {
        tokio::time::sleep(Duration::from_millis(millis as u64)).await;
        return Response::new(Body::from("slow"));
    }
    if let Some(bytes) = number("/big/") {
        return Response::new(Body::from(vec![b'.'; bytes]));
    }
    match path.as_str() {
        "/echo" => match request.into_body().collect().await {
            Ok(body) => Response::new(Body::from(body.to_bytes())),
            Err(error) => {
                let late = BodyTimeout::caused(&error);
                let status = if late { StatusCode::REQUEST_TIMEOUT } else { StatusCode::BAD_REQUEST };
                Response::builder().status(status).body(Body::empty()).unwrap()
            }
        },
        "/peer" => {
            let peer = request.extensions().get::<Peer>().unwrap();
            Response::new(Body::from(format!("{} {} {}", peer.address, peer.guard_key(), peer.socket.ip())))
        }
        _ => {
            let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
            Response::new(Body::from(target.to_string()))
        }
    }
}

/// Waits until `fact` holds.
async fn until(what: &str, fact: impl Fn() -> bool) {
    let start = tokio::time::Instant::now();
    while !fact() {
        assert!(start.elapsed() < LONG, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
