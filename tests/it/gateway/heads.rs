//! What is refused before a route is found: heads that the server lets no further, and paths that are no text. All of it is
//! worded in the dialect of the path, with an id, and nothing behind a refused head is read as a request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::support::client::read_answer;
use crate::support::{Answer, Client, Gateway};

/// A path of each dialect that answers in JSON: it may be made longer at its end.
const PATHS: [&str; 4] = ["/v1/otp/", "/2fa/v1/otp/", "/?action=", "/api/v2/sdk/"];

/// Behind every request here; it must never be answered.
const BEHIND: &str = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

fn code(body: &Value) -> &str {
    let code = body.get("code").or_else(|| body.get("error_code"));
    code.and_then(Value::as_str).unwrap_or_else(|| panic!("{body}"))
}

/// The answer to a request that is refused for its head, which is the last of its connection.
fn refused(gateway: &Gateway, request: &str) -> Answer {
    let mut socket = BufReader::new(TcpStream::connect(gateway.server.public).unwrap());
    socket.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.get_mut().write_all(format!("{request}{BEHIND}").as_bytes()).unwrap();
    assert!(socket.fill_buf().unwrap().starts_with(b"HTTP/1.1 "), "{request:.60}");
    let answer = read_answer(&mut socket, "GET").unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).unwrap();
    assert_eq!((answer.header("connection"), rest.as_slice()), (Some("close"), &b""[..]), "{request:.60}: {answer:?}");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(24), "{request:.60}: {answer:?}");
    answer
}

#[test]
fn header_fields_that_are_too_large_are_worded_in_every_dialect() {
    let gateway = Gateway::start();
    let bulk = format!("X-Bulk: {}\r\n", "b".repeat(20_000));
    let many: String = (0..101).map(|index| format!("X-{index}: y\r\n")).collect();
    for fields in [bulk, many] {
        for (path, expected) in PATHS.into_iter().zip(["headers_too_large", "1403", "104207", "HTTP.0003"]) {
            let answer = refused(&gateway, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect(431);
            assert_eq!(code(&answer.json()), expected, "{answer:?}");
            assert!(answer.body.contains("at most 100 and have at most 16384 bytes"), "{answer:?}");
        }
        let head = format!("GET /verify/x HTTP/1.1\r\nHost: a\r\nAccept-Language: fr\r\n{fields}\r\n");
        let page = refused(&gateway, &head).expect(431);
        assert!(page.body.contains("lang=\"fr\""), "{page:?}");
    }
    // They are counted like every answer.
    let metrics = gateway.server.admin_client().get("/metrics").expect(200).body;
    let counted = |line: &str| line.contains("dialect=\"tyntec\"") && line.contains("status=\"4xx\"");
    assert!(metrics.lines().any(counted), "{metrics}");
}

#[test]
fn addresses_that_are_far_too_long_are_worded_in_every_dialect() {
    let gateway = Gateway::start();
    for length in [9_000, 16_390, 20_000, 100_000] {
        for (path, expected) in PATHS.into_iter().zip(["uri_too_long", "1403", "104203", "HTTP.0003"]) {
            let request = format!("GET {path}{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "a".repeat(length));
            let answer = refused(&gateway, &request).expect(414);
            assert_eq!(code(&answer.json()), expected, "{answer:?}");
            assert!(answer.body.contains("at most 8192 bytes"), "{answer:?}");
        }
    }
}

#[test]
fn heads_that_are_not_what_they_must_be_are_worded_in_every_dialect() {
    let gateway = Gateway::start();
    for (fields, words) in [
        ("", "Host is required"),
        ("Host: a\r\nHost: b\r\n", "Host must be sent once"),
        ("Host: a b\r\n", "Host must be a name or an address"),
        ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n", "one Content-Length in decimal digits"),
        ("Host: a\r\nContent-Length: 1x\r\n", "one Content-Length in decimal digits"),
        ("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", "one Content-Length in decimal digits"),
        ("Host: a\nX: y\r\n", "end each line with CRLF"),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding must be chunked"),
    ] {
        for (path, expected) in PATHS.into_iter().zip(["invalid_request", "1403", "104208", "HTTP.0003"]) {
            let answer = refused(&gateway, &format!("POST {path} HTTP/1.1\r\n{fields}\r\n")).expect(400);
            assert_eq!(code(&answer.json()), expected, "{fields:?}: {answer:?}");
            assert!(answer.body.contains(words), "{fields:?}: {answer:?}");
        }
    }
    let native = refused(&gateway, "GET /v1/connection HTTP/1.1\r\n\r\n").expect(400);
    assert_eq!(native.header("content-type"), Some("application/problem+json"));
    assert_eq!(native.json()["errors"][0]["parameter"], "Host");
}

#[tokio::test]
async fn heads_are_refused_in_the_same_words_on_http2() {
    let gateway = Gateway::start();
    let socket = tokio::net::TcpStream::connect(gateway.server.public).await.unwrap();
    let (mut client, connection) = handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let long = "a".repeat(20_000);
    for (bulk, tail, status, codes) in [
        (17_000, "", 431, ["headers_too_large", "1403", "104207", "HTTP.0003"]),
        (40_000, "", 431, ["headers_too_large", "1403", "104207", "HTTP.0003"]),
        (1, long.as_str(), 414, ["uri_too_long", "1403", "104203", "HTTP.0003"]),
    ] {
        for (path, expected) in PATHS.into_iter().zip(codes) {
            let request = http::Request::builder()
                .uri(format!("http://a.example{path}{tail}"))
                .header("x-bulk", "b".repeat(bulk))
                .body(Body::empty())
                .unwrap();
            client.ready().await.unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path} with {bulk}");
            assert!(answer.headers().contains_key("x-request-id"), "{path} with {bulk}");
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(code(&serde_json::from_slice(&bytes).unwrap()), expected, "{path} with {bulk}");
        }
    }
}

#[test]
fn what_is_no_text_in_a_path_is_missed_like_any_other_name() {
    let gateway = Gateway::start();
    let (mut client, mut nobody) = (gateway.client(), Client::new(gateway.server.public, None));
    for (method, path, expected) in [
        ("GET", "/v1/otp/%ff", "otp_not_found"),
        ("POST", "/v1/otp/%ff/verify", "otp_not_found"),
        ("POST", "/v1/otp/a%c3/resend", "otp_not_found"),
        ("GET", "/v1/applications/%ff", "application_not_found"),
        ("GET", "/v1/verifications/%ff", "verification_not_found"),
        ("GET", "/v1/nowhere/%ff", "not_found"),
        ("GET", "/2fa/v1/otp/%ff", "1201"),
        ("POST", "/2fa/v1/otp/%ff/check", "1201"),
        ("GET", "/2fa/v1/application/%ff", "1202"),
        ("GET", "/2fa/v1/%ff", "1401"),
        ("GET", "/api/v2/%ff", "HTTP.0001"),
    ] {
        let answer = client.call(method, path, &[], "").expect(404);
        assert_eq!(code(&answer.json()), expected, "{method} {path}: {answer:?}");
        if !path.starts_with("/api/") {
            nobody.call(method, path, &[], "").expect(401);
        }
    }
    assert_eq!(code(&nobody.get("/%ff").expect(404).json()), "not_found");
}

#[test]
fn what_is_no_text_below_a_capability_is_charged_to_the_guard() {
    let gateway = Gateway::with("[guard]\nfailures = 5\nrefill = \"1h\"\n");
    let mut nobody = Client::new(gateway.server.public, None);
    for (method, path) in [
        ("DELETE", "/v1/webhooks/%ff"),
        ("DELETE", "/v1/webhooks/%c3%28"),
        ("DELETE", "/v1/verifications/wait/%ff"),
        ("POST", "/v1/receipts/%ff/%ff"),
        ("GET", "/verify/%ff"),
    ] {
        nobody.call(method, path, &[], "").expect(404);
    }
    let refused = nobody.delete("/v1/webhooks/%ff").expect(429);
    assert_eq!(code(&refused.json()), "too_many_failures");
}
