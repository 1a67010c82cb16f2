//! The layer that finishes what was begun, over a service that does as it is told.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt as _;
use http::Method;
use otpgate::layer::finish::{FinishLayer, Room};
use otpgate::layer::{Request, Response};
use tokio::sync::Notify;
use tower::{Layer as _, Service};

/// Begins, waits until it is let go, and ends.
#[derive(Default)]
struct Behind {
    begun: AtomicUsize,
    ended: AtomicUsize,
    go: Notify,
}

fn service(
    behind: &Arc<Behind>,
    room: &Room,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Future<Output = Result<Response, Infallible>>>
{
    let behind = Arc::clone(behind);
    FinishLayer(room.clone()).layer(tower::service_fn(move |request: Request| {
        let behind = Arc::clone(&behind);
        async move {
            let go = behind.go.notified();
            behind.begun.fetch_add(1, Ordering::SeqCst);
            assert!(request.uri().path() != "/panics", "as it was told");
            go.await;
            behind.ended.fetch_add(1, Ordering::SeqCst);
            Ok(Response::default())
        }
    }))
}

fn request(method: Method, path: &str) -> Request {
    http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

/// Lets all that waits go, and gives it time to end.
async fn settle(behind: &Behind) -> (usize, usize) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    behind.go.notify_waiters();
    tokio::time::sleep(Duration::from_millis(1)).await;
    (behind.begun.load(Ordering::SeqCst), behind.ended.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_finished_without_its_caller() {
    let behind = Arc::<Behind>::default();
    let room = Room::new();
    let mut service = service(&behind, &room);
    let mut call = Box::pin(service.call(request(Method::POST, "/")));
    assert!(call.as_mut().now_or_never().is_none());
    drop(call);
    assert_eq!(settle(&behind).await, (1, 1));
    // Whoever stays gets his answer, once.
    let mut call = Box::pin(service.call(request(Method::DELETE, "/")));
    assert!(call.as_mut().now_or_never().is_none());
    behind.go.notify_waiters();
    assert!(call.await.unwrap().status().is_success());
    assert_eq!(settle(&behind).await, (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_ends_with_its_caller() {
    let behind = Arc::<Behind>::default();
    let room = Room::new();
    let mut service = service(&behind, &room);
    let mut call = Box::pin(service.call(request(Method::GET, "/")));
    assert!(call.as_mut().now_or_never().is_none());
    drop(call);
    assert_eq!(settle(&behind).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn so_many_go_on_at_a_time_and_no_more() {
    let behind = Arc::<Behind>::default();
    let room = Room::new();
    let mut service = service(&behind, &room);
    for round in 1..=2 {
        for _ in 0..600 {
            let mut call = Box::pin(service.call(request(Method::POST, "/")));
            assert!(call.as_mut().now_or_never().is_none());
            drop(call);
        }
        assert_eq!(settle(&behind).await, (600 * round, 512 * round), "there is room again for the next");
    }
}

#[tokio::test(start_paused = true)]
async fn what_panicked_does_not_go_on() {
    let behind = Arc::<Behind>::default();
    let room = Room::new();
    let mut service = service(&behind, &room);
    let call = std::panic::AssertUnwindSafe(service.call(request(Method::POST, "/panics")));
    assert!(call.catch_unwind().await.is_err());
    assert_eq!(settle(&behind).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_room_is_empty_when_the_last_without_a_caller_has_ended() {
    let (behind, room) = (Arc::<Behind>::default(), Room::new());
    let mut service = service(&behind, &room);
    assert!(room.emptied().now_or_never().is_some());
    for _ in 0..2 {
        let mut call = Box::pin(service.call(request(Method::POST, "/")));
        assert!(call.as_mut().now_or_never().is_none());
        drop(call);
    }
    let mut emptied = Box::pin(room.emptied());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(emptied.as_mut().now_or_never().is_none(), "two are under way");
    behind.go.notify_one();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(emptied.as_mut().now_or_never().is_none(), "one is under way");
    behind.go.notify_one();
    emptied.await;
    assert_eq!(behind.ended.load(Ordering::SeqCst), 2);
    // And it takes the next.
    let mut call = Box::pin(service.call(request(Method::POST, "/")));
    assert!(call.as_mut().now_or_never().is_none());
    drop(call);
    assert_eq!(settle(&behind).await, (3, 3));
}
