//! Requests at the edge of RFC 9112, as raw bytes: which are answered, which refused, and that nothing behind a
//! refused one is read as a request.

use super::Edge;
use super::raw::get;

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Served, and the connection serves the next request.
    Kept,
    /// Served, and the connection is closed.
    Closed,
    /// Not served: this status, then the end of the connection.
    Refused(u16),
}

use Outcome::{Closed, Kept, Refused};

/// `~` stands for CRLF. A body that is a request shows whether a boundary was taken wrongly.
pub(super) const VECTORS: &[(&str, &str, Outcome)] = &[
    // Host, RFC 9112 section 3.2.
    ("a plain request", "GET / HTTP/1.1~Host: a~~", Kept),
    ("no Host", "GET / HTTP/1.1~~", Refused(400)),
    ("two Host fields", "GET / HTTP/1.1~Host: a~Host: a~~", Refused(400)),
    ("two Host fields that differ", "GET / HTTP/1.1~Host: a~HOST: b~~", Refused(400)),
    ("empty Host", "GET / HTTP/1.1~Host:~~", Refused(400)),
    ("Host with a space", "GET / HTTP/1.1~Host: a b~~", Refused(400)),
    ("Host with a list", "GET / HTTP/1.1~Host: a, b~~", Refused(400)),
    ("Host with user information", "GET / HTTP/1.1~Host: user@a~~", Refused(400)),
    ("Host with a path", "GET / HTTP/1.1~Host: a/b~~", Refused(400)),
    ("Host with a wrong port", "GET / HTTP/1.1~Host: a:b~~", Refused(400)),
    ("Host with a port", "GET / HTTP/1.1~Host: a:80~~", Kept),
    ("Host with an IPv6 address", "GET / HTTP/1.1~Host: [::1]:80~~", Kept),
    ("HTTP/1.0 without Host", "GET / HTTP/1.0~~", Closed),
    ("HTTP/1.0 with two Host fields", "GET / HTTP/1.0~Host: a~Host: a~~", Refused(400)),
    ("absolute form", "GET http://b/ HTTP/1.1~Host: a~~", Kept),
    ("absolute form without Host", "GET http://b/ HTTP/1.1~~", Refused(400)),
    ("absolute form with user information", "GET http://u@b/ HTTP/1.1~Host: b~~", Refused(400)),
    // Request line.
    ("authority form", "GET a:80 HTTP/1.1~Host: a~~", Refused(400)),
    ("CONNECT", "CONNECT a:80 HTTP/1.1~Host: a~~", Refused(400)),
    ("asterisk form", "OPTIONS * HTTP/1.1~Host: a~~", Kept),
    ("asterisk form with GET", "GET * HTTP/1.1~Host: a~~", Refused(400)),
    ("blank lines before the request", "~~GET / HTTP/1.1~Host: a~~", Kept),
    ("no version", "GET /~Host: a~~", Refused(400)),
    ("HTTP/1.2", "GET / HTTP/1.2~Host: a~~", Refused(400)),
    ("HTTP/3.0", "GET / HTTP/3.0~Host: a~~", Refused(400)),
    ("space before the method", " GET / HTTP/1.1~Host: a~~", Refused(400)),
    ("two spaces", "GET  / HTTP/1.1~Host: a~~", Refused(400)),
    ("control character in the target", "GET /\x01 HTTP/1.1~Host: a~~", Refused(400)),
    ("NUL in the target", "GET /\0 HTTP/1.1~Host: a~~", Refused(400)),
    ("method with a forbidden character", "G(T / HTTP/1.1~Host: a~~", Refused(400)),
    // Line ends and fields, RFC 9112 sections 2.2 and 5.
    ("bare LF after the request line", "GET / HTTP/1.1\nHost: a~~", Refused(400)),
    ("bare LF after a field", "GET / HTTP/1.1~Host: a\n~", Refused(400)),
    ("bare LF at the end of the head", "GET / HTTP/1.1~Host: a~\n", Refused(400)),
    ("bare LF throughout", "GET / HTTP/1.1\nHost: a\n\n", Refused(400)),
    ("bare LF inside a value", "GET / HTTP/1.1~Host: a~X: b\nY: c~~", Refused(400)),
    ("bare CR in a value", "GET / HTTP/1.1~Host: a~X: b\rc~~", Refused(400)),
    ("NUL in a value", "GET / HTTP/1.1~Host: a~X: \0~~", Refused(400)),
    ("space before the colon", "GET / HTTP/1.1~Host: a~X : b~~", Refused(400)),
    ("space before the colon of Host", "GET / HTTP/1.1~Host : a~~", Refused(400)),
    ("folded field", "GET / HTTP/1.1~Host: a~X: b~ c~~", Refused(400)),
    ("field without a name", "GET / HTTP/1.1~Host: a~: b~~", Refused(400)),
    ("line without a colon", "GET / HTTP/1.1~Host: a~X~~", Refused(400)),
    // Content-Length, RFC 9112 section 6.3.
    ("a body", "POST / HTTP/1.1~Host: a~Content-Length: 5~~12345", Kept),
    (
        "a body that looks like a request",
        "POST /echo HTTP/1.1~Host: a~Content-Length: 18~~GET / HTTP/1.1\r\n\r\n",
        Kept,
    ),
    ("two equal lengths", "POST / HTTP/1.1~Host: a~Content-Length: 5~Content-Length: 5~~12345", Refused(400)),
    ("two different lengths", "POST / HTTP/1.1~Host: a~Content-Length: 5~Content-Length: 0~~12345", Refused(400)),
    (
        "two lengths, one hidden by case",
        "POST / HTTP/1.1~cOnTeNt-LeNgTh: 5~Host: a~Content-Length: 5~~12345",
        Refused(400),
    ),
    ("length as a list", "POST / HTTP/1.1~Host: a~Content-Length: 5, 5~~12345", Refused(400)),
    ("length with a sign", "POST / HTTP/1.1~Host: a~Content-Length: +5~~12345", Refused(400)),
    ("negative length", "POST / HTTP/1.1~Host: a~Content-Length: -5~~12345", Refused(400)),
    ("hexadecimal length", "POST / HTTP/1.1~Host: a~Content-Length: 0x5~~12345", Refused(400)),
    ("empty length", "POST / HTTP/1.1~Host: a~Content-Length:~~12345", Refused(400)),
    ("length of 2^64", "POST / HTTP/1.1~Host: a~Content-Length: 18446744073709551616~~12345", Refused(400)),
    ("length with leading zeros", "POST / HTTP/1.1~Host: a~Content-Length: 0000000000000000000005~~12345", Kept),
    // Transfer-Encoding, RFC 9112 section 6.1.
    ("chunked", "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~5~12345~0~~", Kept),
    ("chunked, spelled otherwise", "POST /echo HTTP/1.1~Host: a~transfer-encoding:\tChunked ~~5~12345~0~~", Kept),
    (
        "hexadecimal chunk sizes",
        "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~1a~abcdefghijklmnopqrstuvwxyz~00B~0123~56789~0~~",
        Kept,
    ),
    (
        "chunk extension and trailer",
        "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~5;a=b~12345~0~X: y~~",
        Kept,
    ),
    (
        "length, then coding",
        "POST / HTTP/1.1~Host: a~Content-Length: 6~Transfer-Encoding: chunked~~0~~GET / HTTP/1.1~Host: a~~",
        Refused(400),
    ),
    (
        "coding, then length",
        "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~Content-Length: 6~~0~~GET / HTTP/1.1~Host: a~~",
        Refused(400),
    ),
    (
        "length of zero and coding",
        "POST / HTTP/1.1~Host: a~Content-Length: 0~Transfer-Encoding: chunked~~0~~",
        Refused(400),
    ),
    (
        "coding twice",
        "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked~Transfer-Encoding: chunked~~0~~",
        Refused(400),
    ),
    ("identity, then chunked", "POST / HTTP/1.1~Host: a~Transfer-Encoding: identity, chunked~~0~~", Refused(400)),
    ("chunked, then identity", "POST / HTTP/1.1~Host: a~Transfer-Encoding: chunked, identity~~0~~", Refused(400)),
    ("gzip, then chunked", "POST / HTTP/1.1~Host: a~Transfer-Encoding: gzip, chunked~~0~~", Refused(400)),
    ("identity", "POST / HTTP/1.1~Host: a~Transfer-Encoding: identity~~", Refused(400)),
    ("xchunked", "POST / HTTP/1.1~Host: a~Transfer-Encoding: xchunked~~0~~", Refused(400)),
    ("chunked in quotes", "POST / HTTP/1.1~Host: a~Transfer-Encoding: \"chunked\"~~0~~", Refused(400)),
    ("chunked after a vertical tab", "POST / HTTP/1.1~Host: a~Transfer-Encoding: \x0bchunked~~0~~", Refused(400)),
    ("empty coding", "POST / HTTP/1.1~Host: a~Transfer-Encoding:~~0~~", Refused(400)),
    ("coding with a space before the colon", "POST / HTTP/1.1~Host: a~Transfer-Encoding : chunked~~0~~", Refused(400)),
    ("HTTP/1.0 with a coding", "POST / HTTP/1.0~Host: a~Transfer-Encoding: chunked~~0~~", Refused(400)),
    // Chunks: the echo reads them, fails, and says 400.
    ("chunk size in no number", "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~x~12345~0~~", Refused(400)),
    ("chunk size with a sign", "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~+5~12345~0~~", Refused(400)),
    ("chunk size with 0x", "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~0x5~12345~0~~", Refused(400)),
    (
        "chunk size over 64 bits",
        "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~10000000000000005~12345~0~~",
        Refused(400),
    ),
    (
        "bare LF after a chunk size",
        "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~5\n12345~0~~",
        Refused(400),
    ),
    ("bare LF after a chunk", "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~5~12345\n0~~", Refused(400)),
    (
        "chunk longer than its size",
        "POST /echo HTTP/1.1~Host: a~Transfer-Encoding: chunked~~5~123456~0~~",
        Refused(400),
    ),
    // Connection.
    ("close", "GET / HTTP/1.1~Host: a~Connection: close~~", Closed),
    ("close among others", "GET / HTTP/1.1~Host: a~Connection: x, close~~", Closed),
    ("an upgrade that is not wanted", "GET / HTTP/1.1~Host: a~Connection: upgrade~Upgrade: h2c~~", Kept),
];

/// Sends the vector, then a request, in pieces of `step` bytes; says what became of the vector.
async fn send(edge: &Edge, vector: &str, step: usize, after: usize) -> Result<Outcome, String> {
    let served = edge.served();
    let mut raw = edge.raw().await;
    let before = get("/before").repeat(after);
    let behind = get("/behind");
    let bytes = [before.as_bytes(), vector.as_bytes(), behind.as_bytes()].concat();
    raw.send_pieces(&bytes, step).await;
    for _ in 0..after {
        let answer = raw.answer().await;
        if answer.status != 200 || answer.body != "7" {
            return Err(format!("the request before it was answered {answer:?}"));
        }
    }
    let answer = raw.answer().await;
    let next = raw.answer().await;
    let served = edge.served() - served - after;
    // What the echo refuses has reached the service.
    match (answer.status, next.status, served) {
        (200, 200, 2) if next.body == "7" && !answer.closes() => Ok(Kept),
        (200, 0, 1) if raw.is_closed().await => Ok(Closed),
        (status, 0, 0 | 1) if answer.closes() && raw.is_closed().await => Ok(Refused(status)),
        _ => Err(format!("answered {answer:?}, then {next:?}, {served} served")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_has_its_outcome_however_it_is_cut() {
    let mut vectors = tokio::task::JoinSet::new();
    for (name, vector, expected) in VECTORS {
        let vector = vector.replace('~', "\r\n");
        vectors.spawn(async move {
            let edge = Edge::start(|_| {}).await;
            let mut wrong = Vec::new();
            for (step, after) in [(usize::MAX, 0), (usize::MAX, 2), (7, 1), (1, 0)] {
                let outcome = send(&edge, &vector, step, after).await;
                if outcome != Ok(*expected) {
                    wrong.push(format!("{name} by {step} after {after}: {outcome:?}"));
                }
            }
            wrong
        });
    }
    let wrong = vectors.join_all().await.concat();
    assert!(VECTORS.len() >= 33);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_does_not_reach_the_service() {
    let edge = Edge::start(|_| {}).await;
    let refused = VECTORS.iter().filter(|(_, vector, outcome)| *outcome == Refused(400) && !vector.contains("/echo"));
    for (name, vector, _) in refused {
        let mut raw = edge.raw().await;
        assert_eq!(raw.ask(vector.replace('~', "\r\n")).await.status, 400, "{name}");
    }
    assert_eq!(edge.served(), 0);
    assert!(edge.stats.refused_framing.get() >= 10 && edge.stats.refused_strict.get() >= 10);
}
