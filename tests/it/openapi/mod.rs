//! The documents: what is served and checked in is what the handlers say, and no format loses any of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy.toml exempts only inside test functions"
)]

mod conversion;
mod page;
mod shape;

use std::collections::BTreeSet;
use std::path::Path;

use otpgate::openapi::{Format, collect, document, surfaces, text};
use serde_json::{Value, json};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Compares with a file of the repository; with UPDATE_GOLDEN=1 it writes it instead.
fn golden(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|set| set == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let line = made.lines().zip(known.lines()).position(|(made, known)| made != known);
    assert!(
        made == known,
        "openapi/{name} is not what the handlers say (first in line {}); UPDATE_GOLDEN=1 cargo test --test it openapi writes it",
        line.map_or(made.lines().count().min(known.lines().count()) + 1, |line| line + 1),
    );
}

/// The operations of a document, as (method, path).
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method, path)));
    all.filter(|(method, _)| METHODS.contains(&method.as_str()))
        .map(|(method, path)| (method.clone(), path.clone()))
        .collect()
}

#[test]
fn the_files_are_what_the_handlers_say() {
    golden("openapi.json", &text(&document(Format::V31, None).unwrap()));
    // A second collection is the same to the byte.
    let twice = [document(Format::V20, None).unwrap(), document(Format::V20, None).unwrap()].map(|made| text(&made));
    assert_eq!(twice[0], twice[1]);
    assert!(twice[0].starts_with("{\n  \"swagger\": \"2.0\",\n  \"info\"") && twice[0].ends_with("}\n"));
}

#[test]
fn every_route_is_an_operation_and_every_operation_a_route() {
    for surface in surfaces() {
        let document = serde_json::to_value(&surface.document).unwrap();
        assert_eq!(routes(&format!("{:?}", surface.routes)), operations(&document));
    }
    let all: BTreeSet<_> = surfaces()
        .into_iter()
        .flat_map(|surface| operations(&serde_json::to_value(&surface.document).unwrap()))
        .collect();
    for format in [Format::V31, Format::V30, Format::V20] {
        assert_eq!(operations(&document(format, None).unwrap()), all, "{format:?}");
    }
}

/// What axum's router says of itself: `RouteId(1): "/path"`, and `RouteId(1): MethodRouter(… allow_header: Bytes(b"GET,HEAD"))`.
fn routes(debug: &str) -> BTreeSet<(String, String)> {
    let own = debug.split("fallback_router").next().unwrap();
    let (handlers, paths) = own.split_once("node: Node").unwrap();
    let quoted = |text: &str| text.split('"').nth(1).unwrap().to_owned();
    let mut found = BTreeSet::new();
    for path in paths.split("RouteId(").skip(1) {
        let id = path.split(')').next().unwrap();
        let handler = handlers.split(&format!("RouteId({id}): MethodRouter(")).nth(1).unwrap();
        let allowed = quoted(handler.split("allow_header: ").nth(1).unwrap());
        // axum serves HEAD with what serves GET.
        for method in allowed.split(',').filter(|method| *method != "HEAD") {
            found.insert((method.to_lowercase(), quoted(path)));
        }
    }
    assert!(!found.is_empty(), "{debug}");
    found
}

#[test]
fn every_keyed_operation_tells_of_the_quota() {
    let document = document(Format::V31, None).unwrap();
    let mut keyed = 0;
    for (method, path) in operations(&document) {
        let operation = &document["paths"][&path][&method];
        // A capability needs no key either: its path is one.
        let open = ["/health/", "/v1/webhooks/", "/v1/verifications/wait/"].iter().any(|open| path.starts_with(open));
        assert_eq!(operation["security"].is_null(), open, "{method} {path}");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let headers = &answer["headers"];
            assert!(headers["x-request-id"].is_object(), "{method} {path} {status}");
            assert_eq!(headers["RateLimit"].is_object(), !open && status != "401", "{method} {path} {status}");
            assert_eq!(headers["RateLimit-Policy"].is_object(), !open && status != "401", "{method} {path} {status}");
        }
        if !open {
            keyed += 1;
            assert!(operation["responses"]["429"]["headers"]["Retry-After"].is_object(), "{method} {path}");
            // OneAccess knows no 401.
            let refused = if path.starts_with("/api/v2/") { "400" } else { "401" };
            let challenge = &operation["responses"][refused]["headers"]["WWW-Authenticate"];
            assert_eq!(challenge.is_object(), refused == "401", "{method} {path}");
            assert!(operation["responses"]["default"]["content"].is_object(), "{method} {path}");
        }
    }
    assert!(keyed >= 11);
}

#[test]
fn a_member_without_a_value_is_left_out_so_null_is_in_no_answer() {
    let document = document(Format::V31, None).unwrap();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        // A null drops a template or a line; and the entities of tyntec's contract have nulls, as theirs.
        let edits = ["ApplicationBody", "AutofillBody", "PageBody"].contains(&name.as_str());
        if edits || (name.starts_with("Tyntec") && name != "TyntecError") {
            continue;
        }
        assert!(!schema.to_string().contains("\"null\""), "{name}: {schema}");
    }
}

#[test]
fn contradictions_are_errors_with_their_place() {
    let collected = |document: Value| {
        let mut surfaces = surfaces();
        surfaces[1].document = serde_json::from_value(document).unwrap();
        collect(surfaces, None)
    };
    let with = |path: &str, operation: Value, schemas: Value| {
        collected(json!({
            "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
            "paths": {path: {"get": operation}}, "components": {"schemas": schemas},
        }))
    };
    let operation =
        json!({"operationId": "Mine", "summary": "s", "tags": ["otp"], "responses": {"200": {"description": "d"}}});
    assert!(with("/mine", operation.clone(), json!({})).is_ok());
    let changed = |name: &str, value: Value| {
        let mut operation = operation.clone();
        operation[name] = value;
        operation
    };
    for (result, pointer) in [
        (with("/v1/otp/{otpID}", operation.clone(), json!({})), "/paths/~1v1~1otp~1{otpID}/get"),
        (with("/mine", operation.clone(), json!({"Problem": {"type": "string"}})), "/components/schemas/Problem"),
        (with("/v2", changed("operationId", json!("SendOTP")), json!({})), "/paths/~1v2/get/operationId"),
        (with("/mine", changed("tags", json!(["odd"])), json!({})), "/paths/~1mine/get/tags/0"),
        (with("/mine", changed("security", json!([{"apikey": []}])), json!({})), "/paths/~1mine/get/responses"),
    ] {
        assert_eq!(result.unwrap_err().pointer, pointer);
    }
}

#[test]
fn the_server_comes_from_the_public_address_alone() {
    for (url, written) in
        [("https://otp.example.com/", "https://otp.example.com"), ("http://[::1]:80/a/b", "http://[::1]:80/a/b")]
    {
        assert_eq!(document(Format::V31, Some(url)).unwrap()["servers"], json!([{ "url": written }]));
    }
    for url in ["otp.example.com", "/v1", "ftp://a", "https://a?b=c", "https://u:p@a", "https://a#b", "", "https://"] {
        assert_eq!(document(Format::V31, Some(url)).unwrap_err().pointer, "/servers/0/url", "{url}");
    }
    let swagger = document(Format::V20, Some("https://otp.example.com:8443/gate/")).unwrap();
    assert_eq!(swagger["schemes"], json!(["https"]));
    assert_eq!(swagger["host"], json!("otp.example.com:8443"));
    assert_eq!(swagger["basePath"], json!("/gate"));
    let swagger = document(Format::V20, None).unwrap();
    assert!(swagger.get("host").is_none() && swagger.get("schemes").is_none() && swagger.get("basePath").is_none());
}
