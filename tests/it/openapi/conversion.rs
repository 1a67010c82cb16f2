//! 3.1 to 3.0 to 2.0: everything is carried, or named by its place.

use std::sync::LazyLock;

use otpgate::openapi::{Converted, Format, document, to_swagger2, to_v3};
use proptest::prelude::*;
use serde_json::{Value, json};

fn down(document: &Value) -> Converted {
    to_swagger2(&to_v3(document)?)
}

/// A document with one schema.
fn with_schema(version: &str, schema: &Value) -> Value {
    json!({
        "openapi": version, "info": {"title": "t", "version": "1"}, "paths": {},
        "components": {"schemas": {"A": schema}},
    })
}

#[test]
fn the_document_fits_openapiv3() {
    let made = document(Format::V30, Some("https://otp.example.com")).unwrap();
    let parsed: openapiv3::OpenAPI = serde_json::from_value(made).unwrap();
    assert_eq!(parsed.openapi, "3.0.3");
    let send = parsed.paths.paths["/v1/otp"].as_item().unwrap().post.as_ref().unwrap();
    assert_eq!(send.operation_id.as_deref(), Some("SendOTP"));
    assert!(send.responses.default.is_some());
}

#[test]
fn swagger_2_says_the_same_in_its_own_words() {
    let made = document(Format::V20, None).unwrap();
    let send = &made["paths"]["/v1/otp"]["post"];
    assert_eq!(send["consumes"], json!(["application/json"]));
    assert_eq!(send["produces"], json!(["application/json", "application/problem+json"]));
    assert_eq!(
        send["parameters"][1],
        json!({"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/SendBody"}})
    );
    let key = &send["parameters"][0];
    assert_eq!(
        (&key["name"], &key["in"], &key["type"]),
        (&json!("Idempotency-Key"), &json!("header"), &json!("string"))
    );
    assert_eq!(send["responses"]["200"]["schema"], json!({"$ref": "#/definitions/OtpEntity"}));
    assert_eq!(send["responses"]["429"]["headers"]["Retry-After"]["type"], json!("integer"));
    assert_eq!(send["security"], json!([{"apikey": []}]));
    assert_eq!(made["securityDefinitions"]["apikey"]["in"], json!("header"));
    let status = &made["paths"]["/v1/otp/{otpID}"]["get"]["parameters"][0];
    assert_eq!((&status["name"], &status["in"], &status["type"]), (&json!("otpID"), &json!("path"), &json!("string")));
    // Words beside a reference stand beside an allOf of it, in which they count.
    let otp = &made["definitions"]["VerdictEntity"]["allOf"][0];
    assert_eq!(otp["allOf"], json!([{"$ref": "#/definitions/OtpEntity"}]));
    // A parameter may be left out; no address has a word for null.
    let optional = &made["paths"]["/2fa/v1/otp"]["post"]["parameters"][1];
    assert_eq!(optional["type"], json!("string"));
    assert!(optional.get("required").is_none() && optional.get("x-nullable").is_none());
    let template = &made["definitions"]["ApplicationBody"]["properties"]["template"];
    assert_eq!(template["additionalProperties"], json!({"type": "string", "x-nullable": true}));
}

#[test]
fn what_a_format_has_no_word_for_is_named_by_its_place() {
    for (schema, pointer) in [
        (json!({"oneOf": [{"type": "string"}]}), "/oneOf"),
        (json!({"anyOf": [{"type": "string"}]}), "/anyOf"),
        (json!({"not": {"type": "string"}}), "/not"),
        (json!({"properties": {"a": {"oneOf": [{"type": "string"}]}}}), "/properties/a/oneOf"),
        (json!({"type": ["string", "integer"]}), "/type"),
        (json!({"items": {"surprise": 1}}), "/items/surprise"),
        (json!({"type": "object", "patternProperties": {}}), "/patternProperties"),
        (json!({"writeOnly": true}), "/writeOnly"),
        (json!({"$ref": "#/components/responses/B"}), "/$ref"),
        (json!({"type": "string", "minimum": "1"}), ""),
    ] {
        let error = down(&with_schema("3.1.0", &schema)).unwrap_err();
        let whole = format!("/components/schemas/A{pointer}");
        assert!(
            error.pointer == whole || (pointer.is_empty() && error.pointer.starts_with("/components")),
            "{schema}: {error}"
        );
    }
    let plain = json!({"type": "string"});
    assert_eq!(to_v3(&with_schema("3.0.3", &plain)).unwrap_err().pointer, "/openapi");
    assert_eq!(to_swagger2(&with_schema("3.1.0", &plain)).unwrap_err().pointer, "/openapi");
}

#[test]
fn operations_name_what_swagger_2_lacks() {
    let with = |operation: Value| {
        to_swagger2(&json!({
            "openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": operation}},
            "components": {"headers": {"H": {"schema": {"type": "string"}}}},
        }))
    };
    let answers = json!({"200": {"description": "d"}});
    let parameter = |parameter: Value| with(json!({"parameters": [parameter], "responses": answers}));
    let body = |content: Value| with(json!({"requestBody": {"content": content}, "responses": answers}));
    let answer = |answer: Value| with(json!({"responses": {"200": answer}}));
    let string = json!({"schema": {"type": "string"}});
    for (result, pointer) in [
        (parameter(json!({"name": "p", "in": "cookie", "schema": {"type": "string"}})), "parameters/0/in"),
        (
            parameter(json!({"name": "p", "in": "query", "style": "pipeDelimited", "schema": {"type": "string"}})),
            "parameters/0/style",
        ),
        (parameter(json!({"name": "p", "in": "query", "schema": {"type": "object"}})), "parameters/0/schema/type"),
        (
            parameter(json!({"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/A"}})),
            "parameters/0/schema",
        ),
        (parameter(json!({"name": "p", "in": "query", "content": {}})), "parameters/0"),
        (body(json!({"multipart/form-data": string})), "requestBody/content/multipart~1form-data"),
        (body(json!({"a/b": string, "a/c": {"schema": {"type": "integer"}}})), "requestBody/content/a~1c/schema"),
        (body(json!({"a/b": {"schema": {"type": "string"}, "example": "x"}})), "requestBody/content/a~1b/example"),
        (answer(json!({"description": "d", "links": {}})), "responses/200/links"),
        (
            answer(json!({"description": "d", "headers": {"H": {"$ref": "#/components/headers/G"}}})),
            "responses/200/headers/H/$ref",
        ),
        (with(json!({"responses": {"4XX": {"description": "d"}}})), "responses/4XX"),
        (with(json!({"responses": answers, "callbacks": {}})), "callbacks"),
    ] {
        assert_eq!(result.unwrap_err().pointer, format!("/paths/~1a/get/{pointer}"));
    }
    let made = parameter(json!({
        "name": "p", "in": "query", "example": ["a"], "schema": {"type": "array", "items": {"type": "string", "enum": ["a"]}},
    }));
    assert_eq!(
        made.unwrap()["paths"]["/a"]["get"]["parameters"][0],
        json!({
            "name": "p", "in": "query", "type": "array", "items": {"type": "string", "enum": ["a"]},
            "collectionFormat": "multi", "x-example": ["a"],
        })
    );
}

/// The places of all values below `value`.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                places(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                places(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The whole document, the places of all its values, and what becomes of it: made once for all cases.
static WHOLE: LazyLock<(Value, Vec<String>, Value)> = LazyLock::new(|| {
    let whole = document(Format::V31, Some("https://otp.example.com/gate")).unwrap();
    let mut found = Vec::new();
    places(&whole, "", &mut found);
    let made = down(&whole).unwrap();
    (whole, found, made)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever something unknown is put, that very place is named.
    #[test]
    fn a_surprise_is_named_wherever_it_is(pick in any::<prop::sample::Index>()) {
        let (before, places, _) = &*WHOLE;
        let mut document = before.clone();
        let objects: Vec<_> = places.iter().filter(|place| document.pointer(place).is_some_and(Value::is_object)).collect();
        let place = objects[pick.index(objects.len())].clone();
        document.pointer_mut(&place).unwrap()["surprise"] = json!(1);
        let error = down(&document).unwrap_err();
        // Requirements are handed on as they are, and the typed model names no place within an operation.
        // So is what a map's names must be: it is dropped where it says what holds anyway, and refused as a whole else.
        if !place.contains("/security/") && !place.ends_with("/propertyNames") {
            prop_assert_eq!(error.pointer, format!("{place}/surprise"));
        }
    }

    /// Whatever is said otherwise comes out otherwise, or not at all: nothing is lost on the way.
    #[test]
    fn no_word_is_lost(pick in any::<prop::sample::Index>()) {
        let (before, places, carried) = &*WHOLE;
        let leaves: Vec<_> = places
            .iter()
            .filter(|place| *place != "/openapi" && before.pointer(place).is_some_and(|value| !value.is_object() && !value.is_array()))
            .collect();
        let place = leaves[pick.index(leaves.len())];
        let mut after = before.clone();
        let value = after.pointer_mut(place).unwrap();
        *value = match value {
            Value::String(text) => json!(format!("{text}-otherwise")),
            Value::Number(number) => json!(number.as_i64().unwrap() + 1),
            Value::Bool(truth) => json!(!*truth),
            _ => json!("something"),
        };
        if let Ok(made) = down(&after) {
            prop_assert_ne!(&made, carried, "{}", place);
        }
    }
}
