//! The way down, as clients see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use otpgate::server::Stage;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::http2::{client, request, text};
use super::raw::{Raw, get};
use super::{Edge, until};

const TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let edge = Edge::start(|_| {}).await;
    let mut parked = edge.raw().await;
    assert_eq!(parked.ask(get("/")).await.status, 200);
    let mut busy = edge.raw().await;
    for _ in 0..3 {
        assert_eq!(busy.ask(get("/")).await.status, 200);
        sleep(Duration::from_millis(10)).await;
    }
    let mut http2 = client(edge.raw().await.io).await;
    assert_eq!(http2.send_request(request("/")).await.unwrap().status().as_u16(), 200);
    let start = Instant::now();
    assert_eq!(edge.drain.run(Duration::ZERO, TIMEOUT).await, 0);
    assert!(start.elapsed() < TIMEOUT / 3, "{:?}", start.elapsed());
    assert!(parked.is_closed().await && busy.is_closed().await);
    assert_eq!((edge.stats.open.get(), edge.stats.cut.get()), (0, 0));
    assert!(TcpStream::connect(edge.address).await.is_err());
}

#[tokio::test]
async fn a_busy_connection_is_closed_between_requests() {
    // It stays with hyper for two seconds after an answer, and must not stay that long here. A machine that stalls
    // gets further attempts.
    for attempt in 0.. {
        let edge = Edge::start(|_| {}).await;
        let mut busy = edge.raw().await;
        for _ in 0..3 {
            assert_eq!(busy.ask(get("/")).await.status, 200);
            sleep(Duration::from_millis(10)).await;
        }
        let start = Instant::now();
        assert_eq!(edge.drain.run(Duration::ZERO, TIMEOUT).await, 0);
        assert!(busy.is_closed().await);
        if start.elapsed() < Duration::from_millis(1500) {
            break;
        }
        assert!(attempt < 5, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn callers_in_the_queue_are_served() {
    let edge = Edge::start(|_| {}).await;
    tokio::task::yield_now().await;
    // One thread, and it does not yield: the kernel completes these, and nobody accepts them before the drain.
    let callers: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(edge.address).unwrap()).collect();
    let drain = edge.drain.clone();
    let run = tokio::spawn(async move { drain.run(Duration::ZERO, TIMEOUT).await });
    for caller in callers {
        caller.set_nonblocking(true).unwrap();
        let mut raw = Raw::new(TcpStream::from_std(caller).unwrap());
        let answer = raw.ask(get("/")).await;
        assert_eq!((answer.status, answer.closes()), (200, true));
    }
    assert_eq!(run.await.unwrap(), 0);
}

#[tokio::test]
async fn requests_under_way_are_finished() {
    let edge = Edge::start(|_| {}).await;
    let mut first = edge.raw().await;
    first.send(get("/slow/600")).await;
    // The second request of a connection, and a body that is still coming.
    let mut second = edge.raw().await;
    assert_eq!(second.ask(get("/")).await.status, 200);
    second.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
    // Half a head.
    let mut third = edge.raw().await;
    third.send("GET / HTTP/1.1\r\n").await;
    let mut fourth = client(edge.raw().await.io).await;
    let answer = tokio::spawn(fourth.send_request(request("/slow/600")));
    until("all have begun", || edge.served() == 4 && edge.stats.accepted.get() == 4).await;
    sleep(Duration::from_millis(50)).await;

    let drain = edge.drain.clone();
    let run = tokio::spawn(async move { drain.run(Duration::ZERO, TIMEOUT).await });
    until("closing", || *edge.drain.subscribe().borrow() == Stage::Closing).await;
    assert!(edge.drain.is_draining());
    second.send("dy").await;
    third.send("Host: a\r\n\r\n").await;
    for (raw, body) in [(&mut first, "slow"), (&mut second, "body"), (&mut third, "1")] {
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.body.as_str(), answer.closes()), (200, body, true));
        assert!(raw.is_closed().await);
    }
    assert_eq!(text(answer.await.unwrap().unwrap()).await, "slow");
    assert_eq!(run.await.unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let edge = Edge::start(|_| {}).await;
    let mut slow = edge.raw().await;
    slow.send(get("/slow/600000")).await;
    let mut slow2 = client(edge.raw().await.io).await;
    let answer = tokio::spawn(slow2.send_request(request("/slow/600000")));
    until("both have begun", || edge.served() == 2).await;
    let start = Instant::now();
    let timeout = Duration::from_millis(400);
    assert_eq!(edge.drain.run(Duration::ZERO, timeout).await, 2);
    assert!(start.elapsed() >= timeout);
    assert!(slow.is_closed().await);
    assert!(answer.await.unwrap().is_err());
    assert_eq!(edge.stats.cut.get(), 2);
}

#[tokio::test]
async fn a_connection_that_has_not_spoken_gets_a_moment() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    until("accepted", || edge.stats.accepted.get() == 1).await;
    let drain = edge.drain.clone();
    let run = tokio::spawn(async move { drain.run(Duration::ZERO, TIMEOUT).await });
    until("closing", || *edge.drain.subscribe().borrow() == Stage::Closing).await;
    let answer = raw.ask(get("/")).await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert_eq!(run.await.unwrap(), 0);
}

/// What clients came to: connections, and answers.
#[derive(Default)]
struct Tally {
    connected: AtomicU64,
    answered: AtomicU64,
}

/// One client that keeps its connection alive, and goes to a new one when it is told that this one closes. How many of
/// its connections ended without a word when the socket had closed.
async fn honour(address: std::net::SocketAddr, tally: Arc<Tally>) -> Result<u64, String> {
    'connections: loop {
        // Refused: the socket is closed. That client has not sent anything.
        let Ok(io) = TcpStream::connect(address).await else { return Ok(0) };
        tally.connected.fetch_add(1, Ordering::SeqCst);
        let mut raw = Raw::new(io);
        for request in 0.. {
            let answer = raw.ask(get("/slow/1")).await;
            // Who comes between the last accept and the close of the socket is reset by the kernel.
            if request == 0 && answer.status == 0 && TcpStream::connect(address).await.is_err() {
                return Ok(1);
            }
            if answer.status != 200 {
                return Err(format!("request {request} on a connection: {answer:?}"));
            }
            tally.answered.fetch_add(1, Ordering::SeqCst);
            if answer.closes() {
                continue 'connections;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_honours_the_announcement_sees_no_failure() {
    for _ in 0..3 {
        let edge = Edge::start(|_| {}).await;
        let tally = Arc::new(Tally::default());
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..20 {
            clients.spawn(honour(edge.address, Arc::clone(&tally)));
        }
        until("under load", || tally.answered.load(Ordering::SeqCst) > 200).await;
        let delay = Duration::from_secs(2);
        let drain = edge.drain.clone();
        let run = tokio::spawn(async move { drain.run(delay, TIMEOUT).await });
        until("announcing", || edge.drain.is_draining()).await;
        // New connections are served, and told to close.
        let answer = edge.raw().await.ask(get("/")).await;
        assert_eq!((answer.status, answer.closes()), (200, true));
        assert_eq!(run.await.unwrap(), 0);
        let unheard: u64 = clients.join_all().await.into_iter().map(Result::unwrap).sum();
        // Only who was never accepted may end so; the one above is the only other that connected.
        let (connected, accepted) = (tally.connected.load(Ordering::SeqCst) + 1, edge.stats.accepted.get());
        assert!(accepted + unheard <= connected, "{unheard} unheard, {accepted} of {connected} accepted");
    }
}

#[tokio::test]
async fn the_announcement_spares_idle_connections_on_http1_and_ends_http2() {
    let edge = Edge::start(|_| {}).await;
    let mut idle = edge.raw().await;
    assert_eq!(idle.ask(get("/")).await.status, 200);
    let mut http2 = client(edge.raw().await.io).await;
    assert_eq!(http2.send_request(request("/")).await.unwrap().status().as_u16(), 200);
    let slow = http2.send_request(request("/slow/300"));
    let drain = edge.drain.clone();
    let run = tokio::spawn(async move { drain.run(Duration::from_secs(3), TIMEOUT).await });
    until("announcing", || edge.drain.is_draining()).await;
    assert_eq!(text(slow.await.unwrap()).await, "slow");
    until("the HTTP/2 connection is over", || http2.is_closed()).await;
    let answer = idle.ask(get("/")).await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert_eq!(run.await.unwrap(), 0);
}
