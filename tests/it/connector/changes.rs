//! Changes of a definition that would break a maker's flow: Microsoft's process for them is a new operation of the same family,
//! never a change of the old one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{made, operations};
use otpgate::openapi::connector::Edition;

/// References within references are followed this far.
const DEPTH: usize = 8;

/// What a flow gives to an operation, or takes from it: the place, its type, and whether it must be there.
type Fields = BTreeMap<String, (String, bool)>;

/// What breaks flows between two definitions, one line each.
pub(super) fn breaking(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let after = operations(new);
    for (path, method, before) in operations(old) {
        let id = before["operationId"].as_str().unwrap_or_default();
        let Some((new_path, new_method, now)) = after.iter().find(|(_, _, operation)| operation["operationId"] == id)
        else {
            // Only what was said to go may go, and only where there is something to move to.
            if before["deprecated"] != true || !declared(before, new) {
                found.push(format!("{id} is gone"));
            }
            continue;
        };
        if (&path, &method) != (new_path, new_method) {
            found.push(format!("{id} moved from {method} {path} to {new_method} {new_path}"));
        }
        if before["x-ms-trigger"] != now["x-ms-trigger"] {
            found.push(format!("{id} is of another kind"));
        }
        let (given, wanted) = (inputs(old, before), inputs(new, now));
        compare(id, "input", &given, &wanted, &mut found);
        for (name, (_, required)) in &wanted {
            let was = given.get(name).is_some_and(|(_, required)| *required);
            let parent_is_new = name
                .rsplit_once('/')
                .is_some_and(|(parent, _)| wanted.contains_key(parent) && !given.contains_key(parent));
            if *required && !was && !parent_is_new {
                found.push(format!("{id}: input {name} is newly required"));
            }
        }
        compare(id, "output", &outputs(old, &path, before), &outputs(new, new_path, now), &mut found);
    }
    found
}

/// Whether a newer revision of an operation is there.
fn declared(before: &Value, new: &Value) -> bool {
    let annotation = &before["x-ms-api-annotation"];
    let family = annotation["family"].as_str().or_else(|| before["operationId"].as_str());
    let revision = annotation["revision"].as_u64().unwrap_or(1);
    operations(new).iter().any(|(_, _, operation)| {
        let annotation = &operation["x-ms-api-annotation"];
        annotation["family"].as_str() == family
            && annotation["revision"].as_u64().is_some_and(|number| number > revision)
    })
}

fn compare(id: &str, what: &str, before: &Fields, after: &Fields, found: &mut Vec<String>) {
    for (name, (kind, _)) in before {
        match after.get(name) {
            None => found.push(format!("{id}: {what} {name} is gone")),
            Some((now, _)) if now != kind => found.push(format!("{id}: {what} {name} was {kind} and is {now}")),
            Some(_) => {}
        }
    }
}

fn inputs(root: &Value, operation: &Value) -> Fields {
    let mut fields = Fields::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let required = parameter["required"] == true;
        if parameter["in"] == "body" {
            gather(root, &parameter["schema"], "body", required, 0, &mut fields);
        } else {
            let name = format!(
                "{} {}",
                parameter["in"].as_str().unwrap_or_default(),
                parameter["name"].as_str().unwrap_or_default()
            );
            fields.insert(name, (kind(parameter), required));
        }
    }
    fields
}

fn outputs(root: &Value, path: &str, operation: &Value) -> Fields {
    let mut fields = Fields::new();
    let content = &root["paths"][path]["x-ms-notification-content"];
    let answer =
        ["200", "201"].iter().map(|status| &operation["responses"][status]).find(|answer| !answer["schema"].is_null());
    // A flow that is called back, by a trigger or by a step that waits, sees that and not the answer.
    let schema =
        if content["schema"].is_null() { answer.map(|answer| &answer["schema"]) } else { Some(&content["schema"]) };
    if let Some(schema) = schema {
        gather(root, schema, "answer", false, 0, &mut fields);
    }
    fields
}

fn gather(root: &Value, schema: &Value, at: &str, required: bool, depth: usize, fields: &mut Fields) {
    let target = schema["$ref"].as_str().and_then(|target| root.pointer(target.strip_prefix('#')?));
    let schema = target.unwrap_or(schema);
    fields.insert(at.to_owned(), (kind(schema), required));
    if depth > DEPTH {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        gather(root, property, &format!("{at}/{name}"), required, depth + 1, fields);
    }
    if schema["items"].is_object() {
        gather(root, &schema["items"], &format!("{at}/items"), false, depth + 1, fields);
    }
}

fn kind(schema: &Value) -> String {
    let part = |name: &str| schema[name].as_str().unwrap_or("-").to_owned();
    format!("{}/{}", part("type"), part("format"))
}

#[test]
fn connector_changes_that_break_flows_are_seen() {
    let old = made(Edition::Native);
    assert_eq!(breaking(&old, &old), Vec::<String>::new());
    let verify = "/paths/~1v1~1otp~1{otpID}~1verify/post";
    let cases: [(&str, Value, &str); 11] = [
        (verify, Value::Null, "VerifyOTP is gone"),
        ("/paths/~1v1~1otp~1{otpID}~1verify/post/operationId", json!("CheckOTP"), "VerifyOTP is gone"),
        ("/paths/~1v1~1otp/post/parameters/0", Value::Null, "SendOTP: input header Idempotency-Key is gone"),
        (
            "/paths/~1v1~1otp/post/parameters/0/type",
            json!("integer"),
            "SendOTP: input header Idempotency-Key was string/- and is integer/-",
        ),
        (
            "/paths/~1v1~1otp/post/parameters/0/required",
            json!(true),
            "SendOTP: input header Idempotency-Key is newly required",
        ),
        ("/definitions/SendBody/properties/sender", Value::Null, "SendOTP: input body/sender is gone"),
        (
            "/definitions/SendBody/properties/pinLength/type",
            json!("string"),
            "SendOTP: input body/pinLength was integer/int32 and is string/int32",
        ),
        (
            "/definitions/SendBody/required",
            json!(["number", "country"]),
            "SendOTP: input body/country is newly required",
        ),
        (
            "/definitions/VerdictEntity/properties/attemptsLeft",
            Value::Null,
            "VerifyOTP: output answer/attemptsLeft is gone",
        ),
        (
            "/definitions/VerdictEntity/properties/verified/type",
            json!("string"),
            "VerifyOTP: output answer/verified was boolean/- and is string/-",
        ),
        (
            "/definitions/ConnectionEntity/properties/quota/properties/calls",
            Value::Null,
            "GetConnection: output answer/quota/calls is gone",
        ),
    ];
    for (pointer, value, says) in cases {
        let mut new = old.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = new.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match (parent, value) {
            (Value::Array(items), Value::Null) => drop(items.remove(name.parse().unwrap())),
            (Value::Object(members), Value::Null) => drop(members.remove(name).unwrap_or_else(|| panic!("{pointer}"))),
            (Value::Object(members), value) => drop(members.insert(name.to_owned(), value)),
            (other, _) => panic!("{pointer}: {other}"),
        }
        let found = breaking(&old, &new);
        assert!(found.iter().any(|line| line == says), "{pointer}: {found:?}");
    }
    let mut moved = old.clone();
    let item = moved["paths"].as_object_mut().unwrap().remove("/v1/connection").unwrap();
    moved["paths"]["/v1/me"] = item;
    assert_eq!(breaking(&old, &moved), ["GetConnection moved from get /v1/connection to get /v1/me"]);
}

#[test]
fn connector_changes_are_let_through_with_a_revision_and_additions_always() {
    let old = made(Edition::Native);
    let mut new = old.clone();
    new["definitions"]["SendBody"]["properties"]["urgent"] = json!({"type": "boolean"});
    new["definitions"]["OtpEntity"]["properties"]["price"] = json!({"type": "string"});
    new["paths"]["/v1/more"]["get"] = json!({"operationId": "More", "parameters": [], "responses": {}});
    assert_eq!(breaking(&old, &new), Vec::<String>::new());

    let changed = "/v1/otp/{otpID}/verify";
    let mut next = old["paths"][changed]["post"].clone();
    next["operationId"] = json!("VerifyOTP_V2");
    next["x-ms-api-annotation"] = json!({"family": "VerifyOTP", "revision": 2});
    new["paths"]["/v2/otp/{otpID}/verify"]["post"] = next;
    assert_eq!(breaking(&old, &new), Vec::<String>::new());
    // The old one stays as it is: flows keep it.
    let mut mutated = new.clone();
    mutated["paths"][changed]["post"]["parameters"] = json!([]);
    assert!(!breaking(&old, &mutated).is_empty());
    let mut gone = new.clone();
    gone["paths"].as_object_mut().unwrap().remove(changed);
    assert_eq!(breaking(&old, &gone), ["VerifyOTP is gone"]);
    let mut deprecated = new.clone();
    deprecated["paths"][changed]["post"]["deprecated"] = json!(true);
    assert_eq!(breaking(&old, &deprecated), Vec::<String>::new());
    assert_eq!(breaking(&deprecated, &gone), Vec::<String>::new());
    gone["paths"].as_object_mut().unwrap().remove("/v2/otp/{otpID}/verify");
    assert_eq!(breaking(&deprecated, &gone)[0], "VerifyOTP is gone");
}
