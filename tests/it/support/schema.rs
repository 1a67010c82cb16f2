//! Whether a JSON body is what a schema of the gateway's own OpenAPI document says: every member known, every required one there,
//! of its type and among its words. Knows as much of JSON Schema as that document uses.

use serde_json::{Map, Value};

/// Panics unless `value` is what the schema of this name in `document` says.
pub(crate) fn conforms(document: &Value, name: &str, value: &Value) {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    check(document, schema, value, name);
}

/// The members of an object, with those of its parts, and which of them are required.
fn members<'v>(document: &'v Value, schema: &'v Value, known: &mut Map<String, Value>, required: &mut Vec<&'v str>) {
    let schema = target(document, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        members(document, part, known, required);
    }
    known.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, one)| (name.clone(), one.clone())));
    required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
}

fn target<'v>(document: &'v Value, schema: &'v Value) -> &'v Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = target(document, schema);
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    if schema["allOf"].is_array() || schema["type"] == "object" {
        let (mut known, mut required) = (Map::new(), Vec::new());
        members(document, schema, &mut known, &mut required);
        let found = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
        for name in required {
            assert!(found.contains_key(name), "{at}/{name} is missing: {value}");
        }
        for (name, one) in found {
            let schema = known.get(name).unwrap_or_else(|| panic!("{at}/{name} is unknown: {value}"));
            check(document, schema, one, &format!("{at}/{name}"));
        }
        return;
    }
    let fits = match schema["type"].as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => {
            for one in value.as_array().into_iter().flatten() {
                check(document, &schema["items"], one, at);
            }
            value.is_array()
        }
        other => panic!("{at}: the type {other} is not known here"),
    };
    assert!(fits, "{at}: {value} is no {}", schema["type"]);
}

#[test]
fn what_does_not_conform_is_seen() {
    let document = serde_json::json!({"components": {"schemas": {
        "A": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": ["x"]}}},
        "B": {"allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object", "required": ["b"], "properties": {
            "b": {"type": "integer"}, "c": {"$ref": "#/components/schemas/A"},
        }}]},
    }}});
    conforms(&document, "B", &serde_json::json!({"a": "x", "b": 1, "c": {"a": "x"}}));
    for wrong in [
        serde_json::json!({"b": 1}),
        serde_json::json!({"a": "x"}),
        serde_json::json!({"a": "y", "b": 1}),
        serde_json::json!({"a": "x", "b": "1"}),
        serde_json::json!({"a": "x", "b": 1, "d": 1}),
        serde_json::json!({"a": "x", "b": 1, "c": {}}),
        serde_json::json!([]),
    ] {
        assert!(std::panic::catch_unwind(|| conforms(&document, "B", &wrong)).is_err(), "{wrong}");
    }
}
