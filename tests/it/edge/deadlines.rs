//! Every way to keep a connection without using it, and its end.

use std::time::Duration;

use otpgate::server::Settings;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep};

use super::raw::{Raw, get, post};
use super::{Edge, until};

const SHORT: Duration = Duration::from_millis(300);
/// For connections that must stay while they are used: far longer than the pauses between their requests, and still
/// shorter than a busy connection is kept ready.
const IDLE: Duration = Duration::from_millis(1500);
/// Far longer than a test may take: a deadline that must not be the one that fires.
const NEVER: Duration = Duration::from_secs(1000);

/// All deadlines so long that only the one that `configure` shortens can fire.
async fn edge(configure: impl FnOnce(&mut Settings)) -> Edge {
    Edge::start(|settings| {
        let deadlines = &mut settings.deadlines;
        for deadline in [
            &mut deadlines.first_byte,
            &mut deadlines.headers,
            &mut deadlines.idle,
            &mut deadlines.body,
            &mut deadlines.write,
            &mut deadlines.handshake,
        ] {
            *deadline = NEVER;
        }
        configure(settings);
    })
    .await
}

/// Asserts that the connection ends without an answer, no sooner than after `least`.
async fn closes_after(raw: &mut Raw<tokio::net::TcpStream>, start: Instant, least: Duration) {
    let rest = raw.rest().await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
    assert!(start.elapsed() >= least, "after {:?}", start.elapsed());
}

#[tokio::test]
async fn silence_is_closed() {
    let edge = edge(|settings| settings.deadlines.first_byte = SHORT).await;
    let start = Instant::now();
    let mut raw = edge.raw().await;
    closes_after(&mut raw, start, SHORT).await;
    until("counted", || edge.stats.late_first_byte.get() == 1).await;
    assert_eq!((edge.stats.accepted.get(), edge.stats.open.get()), (1, 0));
}

#[tokio::test]
async fn a_first_byte_in_time_is_enough() {
    let edge = edge(|settings| settings.deadlines.first_byte = SHORT).await;
    let mut raw = edge.raw().await;
    raw.send("G").await;
    sleep(SHORT * 3).await;
    assert_eq!(raw.ask(&get("/")[1..]).await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_closed() {
    let edge = edge(|settings| settings.deadlines.headers = SHORT).await;
    for bytes in ["P", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"] {
        let start = Instant::now();
        let mut raw = edge.raw().await;
        raw.send(bytes).await;
        closes_after(&mut raw, start, SHORT).await;
    }
    until("counted", || edge.stats.late_headers.get() == 6).await;
    assert_eq!(edge.served(), 0);
}

#[tokio::test]
async fn a_head_that_drips_is_closed() {
    let edge = edge(|settings| settings.deadlines.headers = SHORT).await;
    let start = Instant::now();
    let mut raw = edge.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    for _ in 0..12 {
        raw.send("x: y\r\n").await;
        sleep(SHORT / 6).await;
    }
    closes_after(&mut raw, start, SHORT).await;
    assert_eq!(edge.stats.late_headers.get(), 1);
}

#[tokio::test]
async fn a_later_head_has_its_own_deadline() {
    let edge = edge(|settings| settings.deadlines.headers = SHORT).await;
    let mut raw = edge.raw().await;
    assert_eq!(raw.ask(get("/")).await.status, 200);
    // Between requests it is the idle deadline that holds.
    sleep(SHORT * 2).await;
    let start = Instant::now();
    raw.send("GET /").await;
    closes_after(&mut raw, start, SHORT).await;
}

#[tokio::test]
async fn a_head_waits_for_the_service_without_harm() {
    let edge = edge(|settings| settings.deadlines.headers = SHORT).await;
    let mut raw = edge.raw().await;
    // The beginning of the second request lies there while the first is served for longer than a head may take.
    let second = get("/second");
    raw.send([get("/slow/900"), second[..9].to_owned()].concat()).await;
    assert_eq!(raw.answer().await.body, "slow");
    assert_eq!(raw.ask(&second[9..]).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let edge = edge(|settings| settings.deadlines.idle = IDLE).await;
    let mut raw = edge.raw().await;
    let mut start = Instant::now();
    for pause in [0, 1, 1] {
        sleep(SHORT / 3 * pause).await;
        // Not when the answer is read: it may have been written long before.
        start = Instant::now();
        assert_eq!(raw.ask(get("/")).await.status, 200);
    }
    closes_after(&mut raw, start, IDLE).await;
    until("counted", || edge.stats.late_idle.get() == 1).await;
}

#[tokio::test]
async fn requests_move_the_idle_deadline() {
    let edge = edge(|settings| settings.deadlines.idle = IDLE).await;
    let mut raw = edge.raw().await;
    let start = Instant::now();
    while start.elapsed() < IDLE * 2 {
        assert_eq!(raw.ask(get("/")).await.status, 200);
        sleep(SHORT / 4).await;
    }
    assert_eq!(edge.stats.late_idle.get(), 0);
}

#[tokio::test]
async fn a_service_may_take_longer_than_any_deadline() {
    let edge = edge(|settings| {
        let deadlines = &mut settings.deadlines;
        (deadlines.first_byte, deadlines.headers, deadlines.idle) = (SHORT, SHORT, SHORT);
        (deadlines.body, deadlines.write) = (SHORT, SHORT);
    })
    .await;
    let mut raw = edge.raw().await;
    for _ in 0..2 {
        assert_eq!(raw.ask(get("/slow/1200")).await.body, "slow");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_the_services_to_answer() {
    let edge = edge(|settings| settings.deadlines.body = SHORT).await;
    for request in [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1234",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let start = Instant::now();
        let mut raw = edge.raw().await;
        let answer = raw.ask(request).await;
        assert_eq!(answer.status, 408);
        assert!(answer.closes() && start.elapsed() >= SHORT);
        assert!(raw.is_closed().await);
    }
    assert_eq!(edge.stats.late_body.get(), 2);
}

#[tokio::test]
async fn a_body_that_drips_has_one_deadline_in_all() {
    let edge = edge(|settings| settings.deadlines.body = SHORT).await;
    let start = Instant::now();
    let mut raw = edge.raw().await;
    raw.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n").await;
    for _ in 0..12 {
        raw.send("x").await;
        sleep(SHORT / 6).await;
    }
    assert_eq!(raw.answer().await.status, 408);
    assert!(start.elapsed() >= SHORT);
    // In time is in time, also in many pieces.
    let mut raw = edge.raw().await;
    raw.send_pieces(post("/echo", "123456").as_bytes(), 1).await;
    assert_eq!(raw.answer().await.body, "123456");
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded() {
    let edge = edge(|settings| settings.deadlines.write = SHORT).await;
    // One large answer; and small ones without end.
    let mut large = edge.raw().await;
    large.send(get("/big/30000000")).await;
    let many = edge.raw().await;
    let flood = async {
        let requests = get("/big/30000").repeat(100);
        while edge.stats.late_write.get() < 2 {
            if tokio::time::timeout(SHORT, many.io.writable()).await.is_ok() {
                let _ = many.io.try_write(requests.as_bytes());
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::LONG, flood).await.unwrap();
    until("both are closed", || edge.stats.open.get() == 0).await;
}

#[tokio::test]
async fn a_slow_but_steady_reader_gets_its_answer() {
    let edge = edge(|settings| settings.deadlines.write = SHORT * 30).await;
    let mut raw = edge.raw().await;
    raw.send(get("/big/20000000")).await;
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    while read < 20_000_000 {
        sleep(Duration::from_millis(10)).await;
        let more = raw.io.read(&mut buffer).await.unwrap();
        assert!(more > 0, "cut after {read}");
        read += more;
    }
}

#[tokio::test]
async fn idle_connections_leave_sooner_when_room_is_short() {
    let edge = edge(|settings| {
        settings.limits.connections = 3;
        settings.deadlines.idle_when_full = SHORT;
    })
    .await;
    let mut first = edge.raw().await;
    let mut second = edge.raw().await;
    assert_eq!(first.ask(get("/")).await.status, 200);
    assert_eq!(second.ask(get("/")).await.status, 200);
    sleep(SHORT * 3).await;
    assert_eq!(edge.stats.late_idle.get(), 0);
    // The last permit goes. Both leave, long before their own time, and a fourth caller finds room.
    let mut third = edge.raw().await;
    third.send(get("/slow/2000")).await;
    until("both have left", || edge.stats.late_idle.get() == 2).await;
    assert!(first.is_closed().await && second.is_closed().await);
    let mut fourth = edge.raw().await;
    assert_eq!(fourth.ask(get("/")).await.status, 200);
    assert_eq!(third.answer().await.body, "slow");
    assert!(edge.stats.permit_waits.get() >= 1);
}
