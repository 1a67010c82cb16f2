//! Sizes and counts, from just inside to far outside.

use std::net::SocketAddr;
use std::time::Duration;

use otpgate::server::{BindError, Listener};
use tokio::time::{sleep, timeout};

use super::raw::{get, post};
use super::{Edge, until};

fn with_field(length: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length))
}

fn with_fields(count: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_are_exact_enough() {
    let edge = Edge::start(|_| {}).await;
    for (what, request, expected) in [
        ("15 KB field", with_field(15_000), 200),
        ("16 KB header section", with_field(16_384 - 16), 200),
        ("16 KB and one byte", with_field(16_384 - 8), 431),
        ("17 KB field", with_field(17_000), 431),
        ("40 KB field", with_field(40_000), 431),
        ("400 KB field", with_field(400_000), 431),
        ("100 fields", with_fields(100), 200),
        ("101 fields", with_fields(101), 431),
        ("1,000 fields", with_fields(1000), 431),
        ("8,000 byte target", get(&format!("/{}", "x".repeat(7_999))), 200),
        ("8,193 byte target", get(&format!("/{}", "x".repeat(8_192))), 200),
        ("16 KiB target", get(&format!("/{}", "x".repeat(16_383))), 200),
        ("target of one byte more", get(&format!("/{}", "x".repeat(16_384))), 414),
        ("20 KB target", get(&format!("/{}", "x".repeat(20_000))), 414),
        ("400 KB target", get(&format!("/{}", "x".repeat(400_000))), 414),
        (
            "target and header section at their limits",
            {
                let fields = with_field(16_000);
                get(&format!("/{}", "x".repeat(16_000)))
                    .replace("Host: a\r\n\r\n", fields.split_once("\r\n").unwrap().1)
            },
            200,
        ),
        ("blank lines without end", "\r\n".repeat(20_000), 400),
        ("a method without end", "X".repeat(40_000), 400),
    ] {
        for step in [usize::MAX, 1460] {
            let served = edge.served();
            let mut raw = edge.raw().await;
            raw.send_pieces(request.as_bytes(), step).await;
            let answer = raw.answer().await;
            assert_eq!(answer.status, expected, "{what} by {step}");
            if expected == 200 {
                assert_eq!(edge.served(), served + 1, "{what}");
                assert_eq!(raw.ask(get("/")).await.status, 200, "{what} by {step}");
            } else {
                assert_eq!(edge.served(), served, "{what}");
                assert!(answer.closes() && raw.is_closed().await, "{what} by {step}");
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_words_wherever_it_is_cut() {
    let edge = Edge::start(|settings| settings.limits.header_bytes = 64).await;
    let words = "the header fields may be at most 100 and have at most 64 bytes\n";
    for field in ["Some-Name: some value", "Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
        for split in 0..=field.len() {
            let (begin, rest) = field.split_at(split);
            let mut raw = edge.raw().await;
            raw.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{begin}")).await;
            sleep(Duration::from_millis(5)).await;
            raw.send(format!("{rest}{}\r\n\r\n{}", " ".repeat(100), get("/behind"))).await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.body.as_str()), (431, words), "{field} at {split}");
            assert!(answer.closes() && raw.is_closed().await, "{field} at {split}");
        }
    }
    assert_eq!(edge.served(), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_behind_others_has_its_turn() {
    let edge = Edge::start(|_| {}).await;
    for before in [get("/"), get("/slow/3"), post("/echo", "body"), get("/big/100000")] {
        for large in [with_field(17_000), with_fields(101)] {
            for step in [usize::MAX, 1460] {
                let served = edge.served();
                let mut raw = edge.raw().await;
                let behind = post("/behind", "body");
                raw.send_pieces([before.repeat(3), large.clone(), behind].concat().as_bytes(), step).await;
                for _ in 0..3 {
                    assert_eq!(raw.answer().await.status, 200);
                }
                let answer = raw.answer().await;
                assert!(answer.status == 431 && !answer.body.is_empty(), "{answer:?}");
                assert!(raw.is_closed().await);
                assert_eq!(edge.served(), served + 3);
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_was_cut_is_never_served() {
    let edge = Edge::start(|_| {}).await;
    // What is passed on of these is a whole request once its line is closed: the limit falls behind a blank line,
    // a short target, a whole field.
    for length in 16_350..16_480 {
        for request in [
            format!("{}DELETE /cut/short/target HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(length / 2)),
            format!("{} /cut/short/target HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(length)),
        ] {
            let served = edge.served();
            let mut raw = edge.raw().await;
            let answer = raw.ask(&request).await;
            if answer.status == 200 {
                assert_eq!(answer.body, "17", "{length}");
            } else {
                assert_eq!(edge.served(), served, "{length}");
            }
        }
        let mut raw = edge.raw().await;
        let answer = raw.ask(with_field(length - 15).replace("X: ", "A: b\r\nX: ")).await;
        assert!(matches!(answer.status, 200 | 431), "{length}: {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_cut_behind_others_is_not_served_either() {
    let edge = Edge::start(|_| {}).await;
    // The limit falls into the target, so that what is left is a whole request once the line is closed.
    let method = "X".repeat(16_430);
    for before in [get("/"), get("/slow/3"), post("/echo", "body"), get("/big/100000")] {
        for step in [usize::MAX, 4000] {
            let mut raw = edge.raw().await;
            let served = edge.served();
            let cut = format!("{method} /target/of/this/length HTTP/1.1\r\nHost: a\r\n\r\n");
            raw.send_pieces([before.repeat(3), cut].concat().as_bytes(), step).await;
            for _ in 0..3 {
                assert_eq!(raw.answer().await.status, 200);
            }
            let answer = raw.answer().await;
            assert!(answer.status == 414 && answer.head.starts_with("HTTP/1.1 "), "{answer:?}");
            assert!(raw.is_closed().await);
            assert_eq!(edge.served(), served + 3);
        }
    }
}

#[tokio::test]
async fn callers_without_a_permit_wait() {
    let edge = Edge::start(|settings| settings.limits.connections = 2).await;
    let mut first = edge.raw().await;
    let mut second = edge.raw().await;
    assert_eq!(first.ask(get("/")).await.status, 200);
    second.send(get("/slow/1500")).await;
    first.send(get("/slow/1500")).await;
    until("the server is full", || edge.served() == 3).await;
    let mut third = edge.raw().await;
    third.send(get("/")).await;
    assert!(timeout(Duration::from_millis(300), third.answer()).await.is_err());
    assert_eq!((edge.stats.accepted.get(), edge.stats.open.get()), (2, 2));
    drop(second);
    assert_eq!(third.answer().await.status, 200);
    assert_eq!(first.answer().await.body, "slow");
}

#[tokio::test]
async fn permits_come_back_however_a_connection_ends() {
    let edge = Edge::start(|settings| settings.limits.connections = 1).await;
    for round in 0..20 {
        let mut raw = edge.raw().await;
        match round % 4 {
            0 => raw.send("GET / HT").await,
            1 => assert_eq!(raw.ask(get("/")).await.status, 200),
            2 => raw.send(get("/slow/5000")).await,
            _ => assert_eq!(raw.ask("\0\r\n\r\n").await.status, 400),
        }
        sleep(Duration::from_millis(5)).await;
    }
    until("all are gone", || edge.stats.open.get() == 0).await;
}

#[tokio::test]
async fn bind_errors_tell_what_is_wrong() {
    let taken = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let error = Listener::bind(taken.address()).unwrap_err();
    assert!(matches!(error, BindError::AddressInUse(_)), "{error:?}");
    assert_eq!(error.to_string(), format!("{} is in use", taken.address()));
    let error = Listener::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::AddressNotAvailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_burst_of_callers_waits_in_the_queue() {
    // Nobody accepts yet; the default queue of 128 would leave most of these without an answer.
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address();
    let mut callers = Vec::new();
    for _ in 0..400 {
        let caller = tokio::net::TcpStream::connect(address);
        callers.push(timeout(Duration::from_secs(2), caller).await.unwrap().unwrap());
    }
}
