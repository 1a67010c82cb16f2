//! More than one request on a connection: pipelined, after pauses, behind bodies that nobody read.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::Edge;
use super::raw::{get, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let edge = Edge::start(|_| {}).await;
    let requests: String = (0..200)
        .map(|index| match index % 3 {
            0 => get(&format!("/{}", "x".repeat(index))),
            1 => post("/echo", &index.to_string()),
            _ => "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
        })
        .collect();
    for step in [usize::MAX, 1000, 13] {
        let mut raw = edge.raw().await;
        raw.send_pieces(requests.as_bytes(), step).await;
        for index in 0..200 {
            let expected = match index % 3 {
                0 => (index + 1).to_string(),
                1 => index.to_string(),
                _ => "abc".to_owned(),
            };
            assert_eq!(raw.answer().await.body, expected, "request {index} by {step}");
        }
    }
}

#[tokio::test]
async fn requests_after_pauses_of_any_length() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    // From parked to busy and back: the second pause is longer than a busy connection is kept ready.
    for pause in [0, 1, 20, 2500, 0, 0, 2100, 10] {
        sleep(Duration::from_millis(pause)).await;
        let answer = raw.ask(post("/echo", "body")).await;
        assert_eq!((answer.status, answer.body.as_str(), answer.closes()), (200, "body", false));
    }
    assert_eq!(edge.stats.accepted.get(), 1);
}

#[tokio::test]
async fn a_request_in_single_bytes_after_a_pause() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    for _ in 0..3 {
        raw.send_pieces(post("/echo", "body").as_bytes(), 1).await;
        assert_eq!(raw.answer().await.body, "body");
        sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test]
async fn an_unread_body_does_not_cost_the_connection() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    let head = "POST /refused HTTP/1.1\r\nHost: a\r\n";
    let chunks = "5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n";
    for (first, then) in [
        (format!("{head}Content-Length: 5\r\n\r\n12345"), String::new()),
        (format!("{head}Content-Length: 5\r\n\r\n"), "12345".to_owned()),
        (format!("{head}Content-Length: 20000\r\n\r\n123"), "1".repeat(19_997)),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"), String::new()),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n"), chunks.to_owned()),
    ] {
        raw.send(first).await;
        sleep(Duration::from_millis(50)).await;
        raw.send(then).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.closes()), (200, false));
    }
    assert_eq!(edge.stats.accepted.get(), 1);
}

#[tokio::test]
async fn an_unread_body_that_is_long_ends_the_connection_after_its_answer() {
    let edge = Edge::start(|_| {}).await;
    for length in [100_000, 900_000] {
        let mut raw = edge.raw().await;
        raw.send(format!("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
        // The client goes on sending, as clients do, and has ended long before the server stops reading. A reset could
        // cost it the answer.
        let piece = vec![b'x'; length / 10];
        for _ in 0..10 {
            raw.io.write_all(&piece).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.closes()), (200, true), "{length}");
        assert_eq!(raw.io.read(&mut [0]).await.unwrap(), 0, "{length}");
    }
}

#[tokio::test]
async fn a_body_that_is_held_back_is_asked_for_only_when_it_is_read() {
    let edge = Edge::start(|_| {}).await;
    let request =
        |path| format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut raw = edge.raw().await;
    assert_eq!(raw.ask(request("/echo")).await.status, 100);
    assert_eq!(raw.ask("body").await.body, "body");
    let answer = raw.ask(request("/refused")).await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn http_1_0_closes_unless_it_asks_to_stay() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    for _ in 0..2 {
        let answer = raw.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(answer.status, 200);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(raw.ask("GET / HTTP/1.0\r\n\r\n").await.status, 200);
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn a_head_request_has_no_body() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    raw.send(["HEAD /big/100 HTTP/1.1\r\nHost: a\r\n\r\n", &get("/")].concat()).await;
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n1") {
        text.push(char::from(raw.io.read_u8().await.unwrap()));
    }
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.contains("content-length: 100"));
}
