//! Bad input: every fault is named, in the dialect's shape, and none of it is a fault of ours.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::client::read_answer;
use crate::support::{Answer, Gateway};

fn raw(gateway: &Gateway, request: &[u8]) -> Answer {
    let mut socket = BufReader::new(TcpStream::connect(gateway.server.public).unwrap());
    socket.get_mut().write_all(request).unwrap();
    read_answer(&mut socket, "GET").unwrap()
}

#[test]
fn every_fault_of_a_native_body_has_a_pointer() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let body = json!({"number": "+4915", "pinLength": 3, "via": "FAX", "applicationId": "shop", "language": "english",
                      "country": "ZZ", "otpCode": "12", "sender": "much too long a name", "caller": "nobody",
                      "referenceId": 7, "text": "without a code", "extra": true});
    let problem = client.post_json("/v1/otp", &body).expect(400);
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let problem = problem.json();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("invalid_request"), Some(400)));
    assert!(problem["type"].as_str().unwrap().starts_with("urn:otpgate:problem:"));
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    let expected = [
        "/applicationId",
        "/caller",
        "/country",
        "/extra",
        "/language",
        "/number",
        "/otpCode",
        "/pinLength",
        "/referenceId",
        "/sender",
        "/text",
        "/via",
    ];
    assert_eq!(pointers, expected);
    for fault in problem["errors"].as_array().unwrap() {
        assert!(fault["detail"].as_str().unwrap().len() > 5, "{fault}");
    }
    for (body, pointer) in [
        (json!({}), "/number"),
        (json!({"number": ""}), "/number"),
        (json!({"number": null}), "/number"),
        (json!({"number": 4_915_112_345_678_u64}), "/number"),
        (json!({"number": "+4915112345678", "country": "FR"}), "/number"),
        (json!({"number": "+4915112345678", "pinLength": "6"}), "/pinLength"),
        (json!({"number": "+4915112345678", "pinLength": 6.5}), "/pinLength"),
    ] {
        let problem = client.post_json("/v1/otp", &body).expect(400).json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let absent = json!({"number": "+4915112345678", "country": "", "text": null, "via": ""});
    client.post_json("/v1/otp", &absent).expect(200);
}

#[test]
fn bodies_that_are_no_json_objects_are_named() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let typed = [("Content-Type", "application/json")];
    for body in ["[]", "7", "\"x\"", "{", "{\"number\":}", "nonsense", "{\"number\":\"1\",\"number\":\"2\"}"] {
        let problem = client.call("POST", "/v1/otp", &typed, body).expect(400).json();
        assert!(problem["errors"][0]["pointer"].is_string(), "{body}: {problem}");
    }
    let head =
        format!("POST /v1/otp HTTP/1.1\r\nHost: x\r\napikey: {}\r\nContent-Type: application/json\r\n", gateway.key);
    let bad_utf8 = [head.as_bytes(), b"Content-Length: 15\r\n\r\n{\"number\":\"\xff\xfe\"}"].concat();
    assert_eq!(raw(&gateway, &bad_utf8).expect(400).json()["code"], "invalid_request");
    client.call("POST", "/v1/otp", &[("Content-Type", "application/x-www-form-urlencoded")], "number=1").expect(415);
    let deep = format!("{{\"number\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    client.call("POST", "/v1/otp", &typed, &deep).expect(400);
    // Too large, announced and unannounced.
    let large = format!("{{\"number\":\"{}\"}}", "1".repeat(17_000));
    assert_eq!(gateway.client().call("POST", "/v1/otp", &typed, &large).expect(413).json()["code"], "body_too_large");
    let chunk = format!("4400\r\n{}\r\n0\r\n\r\n", "1".repeat(0x4400));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}");
    raw(&gateway, chunked.as_bytes()).expect(413);
}

#[test]
fn unknown_paths_and_methods_speak_the_dialect() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let native = client.get("/v1/nowhere").expect(404);
    assert_eq!(
        (native.json()["code"].as_str(), native.header("content-type")),
        (Some("not_found"), Some("application/problem+json"))
    );
    let tyntec = client.get("/2fa/v1/nowhere").expect(404).json();
    assert_eq!(tyntec["code"], "1401");
    assert_eq!(client.get("/nowhere").expect(404).json()["code"], "not_found");
    for (method, path, allowed) in [
        ("PUT", "/v1/otp", "POST"),
        ("DELETE", "/v1/otp", "POST"),
        ("POST", "/health/live", "GET"),
        ("PATCH", "/2fa/v1/otp", "POST"),
    ] {
        let answer = client.call(method, path, &[], "").expect(405);
        let allow = answer.header("allow").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(allow.contains(allowed), "{method} {path}: {allow}");
        assert!(answer.json()["code"].is_string());
    }
    let long = format!("/v1/otp/{}", "a".repeat(8_300));
    assert_eq!(client.get(&long).expect(414).json()["code"], "uri_too_long");
    client.get(&format!("/v1/otp/{}", "a".repeat(7_900))).expect(404);
    let bulky = "b".repeat(17_000);
    assert_eq!(gateway.client().call("GET", "/v1/connection", &[("x-bulk", &bulky)], "").status, 431);
    for (query, name) in [("number=%ff", "number"), ("number=abc", "number"), ("", "number")] {
        let error = client.post(&format!("/2fa/v1/otp?{query}")).expect(400).json();
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
}

/// A small deterministic generator: the seed is printed with a failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn value(&mut self) -> Value {
        match self.roll(9) {
            0 => Value::Null,
            1 => json!(self.roll(1_000_000)),
            2 => json!(-1.5),
            3 => json!(true),
            4 => json!([1, {"a": null}]),
            5 => json!({"b": "c"}),
            6 => json!("+4915112345678"),
            7 => json!("\u{0}\u{202e}{{OTP}}é\n'\";--"),
            _ => json!("x".repeat(self.roll(3_000))),
        }
    }
}

#[test]
fn no_input_is_answered_with_a_fault_of_ours() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let otp = client.post_json("/v1/otp", &json!({"number": "+4915112345678"})).expect(200).json();
    let id = otp["otpId"].as_str().unwrap().to_owned();
    let names = [
        "number",
        "text",
        "pinLength",
        "via",
        "applicationId",
        "language",
        "country",
        "otpCode",
        "sender",
        "caller",
        "referenceId",
        "maxAge",
        "name",
        "attempts",
        "expire",
        "template",
        "alphanumeric",
        "deleteCaller",
        "brand",
        "autofill",
        "channel",
        "",
    ];
    let paths = [
        "/v1/otp".to_owned(),
        format!("/v1/otp/{id}/resend"),
        format!("/v1/otp/{id}/verify"),
        "/v1/applications".to_owned(),
        "/v1/applications/default".to_owned(),
        "/v1/connection".to_owned(),
        "/2fa/v1/otp".to_owned(),
        format!("/2fa/v1/otp/{id}"),
        format!("/2fa/v1/otp/{id}/check"),
        "/2fa/v1/application".to_owned(),
        "/2fa/v1/application/default".to_owned(),
        "/2fa/v1/application/default/language".to_owned(),
    ];
    let seed = 20_261_121;
    let mut dice = Dice(seed);
    for round in 0..3_000 {
        let method = ["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"][dice.roll(6)];
        let mut path = paths[dice.roll(paths.len())].clone();
        if method == "DELETE" && path.ends_with(&id) {
            continue;
        }
        let mut body = serde_json::Map::new();
        for _ in 0..dice.roll(5) {
            body.insert(names[dice.roll(names.len())].to_owned(), dice.value());
        }
        if dice.roll(2) == 0 {
            let bytes: String = (0..dice.roll(60)).map(|_| format!("%{:02x}", dice.roll(256))).collect();
            path = format!("{path}?{}={bytes}", names[dice.roll(names.len())]);
        }
        let typed = [("Content-Type", "application/json")];
        let body = if method == "HEAD" || method == "GET" { String::new() } else { Value::Object(body).to_string() };
        let answer = client.call(method, &path, &typed, &body);
        assert!(answer.status < 500, "seed {seed}, round {round}: {method} {path} {body}: {answer:?}");
        if answer.status >= 400 && method != "HEAD" {
            assert!(answer.json()["code"].is_string() || answer.json().get("otpId").is_some(), "{answer:?}");
        }
    }
}
