//! A strict look at the Swagger 2.0 document by the rules of its specification, written without the converter's lists.

use std::collections::BTreeSet;

use otpgate::openapi::{Format, document};
use serde_json::Value;

/// Members of a schema object (section "Schema Object"), without those that we have no use for.
const SCHEMA: &str = "$ref title description type format enum default example required properties additionalProperties items \
    allOf minimum maximum minLength maxLength pattern minItems maxItems uniqueItems readOnly x-nullable";
/// Members of what is typed outside of a body: parameters, their items, header fields.
const FLAT: &str =
    "type format enum default items collectionFormat minimum maximum minLength maxLength pattern x-example x-nullable";

fn only(value: &Value, allowed: &str, at: &str) {
    let members = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
    let allowed: BTreeSet<_> = allowed.split_whitespace().collect();
    for name in members.keys() {
        assert!(allowed.contains(name.as_str()), "{at}/{name}");
    }
}

fn entries<'v>(value: &'v Value, at: &str) -> Vec<(String, &'v Value, String)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), value, format!("{at}/{name}"))).collect()
}

fn string(value: &Value, name: &str, at: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{at}/{name} is no string")).to_owned()
}

fn schema(root: &Value, value: &Value, at: &str) {
    only(value, SCHEMA, at);
    if let Some(target) = value["$ref"].as_str() {
        assert_eq!(value.as_object().unwrap().len(), 1, "{at}: a $ref stands alone");
        assert!(root.pointer(target.strip_prefix('#').unwrap()).is_some(), "{at}: {target} leads nowhere");
        return;
    }
    if let Some(kind) = value.get("type") {
        let kinds = ["string", "integer", "number", "boolean", "array", "object"];
        assert!(kind.as_str().is_some_and(|kind| kinds.contains(&kind)), "{at}/type: {kind}");
        assert_eq!(kind == "array", value.get("items").is_some(), "{at}/items");
    } else {
        assert!(value.get("allOf").is_some(), "{at} has no type");
    }
    for (_, property, at) in entries(&value["properties"], &format!("{at}/properties")) {
        schema(root, property, &at);
    }
    for name in value["required"].as_array().into_iter().flatten() {
        assert!(value["properties"].get(name.as_str().unwrap()).is_some(), "{at}/required: {name}");
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = value.get(name).filter(|inner| !inner.is_boolean()) {
            schema(root, inner, &format!("{at}/{name}"));
        }
    }
    for part in value["allOf"].as_array().into_iter().flatten() {
        assert!(
            part["type"].is_null() || part["properties"].is_object(),
            "{at}/allOf: {part} adds nothing but contradiction"
        );
        schema(root, part, &format!("{at}/allOf"));
    }
}

fn flat(value: &Value, more: &str, at: &str) {
    only(value, &format!("{FLAT} {more}"), at);
    let kind = string(value, "type", at);
    assert!(["string", "integer", "number", "boolean", "array"].contains(&kind.as_str()), "{at}/type: {kind}");
    assert_eq!(kind == "array", value.get("items").is_some(), "{at}/items");
}

fn operation(root: &Value, path: &str, value: &Value, at: &str) {
    only(value, "operationId summary description tags deprecated security parameters consumes produces responses", at);
    let mut named = BTreeSet::new();
    let mut in_path = BTreeSet::new();
    for (index, parameter) in value["parameters"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}/parameters/{index}");
        let (name, place) = (string(parameter, "name", &at), string(parameter, "in", &at));
        assert!(named.insert((name.clone(), place.clone())), "{at} comes twice");
        match place.as_str() {
            "body" => {
                only(parameter, "name in description required schema", &at);
                schema(root, &parameter["schema"], &format!("{at}/schema"));
                assert!(value["consumes"].is_array(), "{at}");
            }
            "path" => {
                assert_eq!(parameter["required"], Value::Bool(true), "{at}/required");
                in_path.insert(name);
                flat(parameter, "name in description required", &at);
            }
            "query" | "header" => flat(parameter, "name in description required", &at),
            other => panic!("{at}/in: {other}"),
        }
    }
    assert!(named.iter().filter(|(_, place)| place == "body").count() <= 1, "{at}: two bodies");
    let in_template: BTreeSet<_> =
        path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect();
    assert_eq!(in_path, in_template, "{at}");
    for (status, answer, at) in entries(&value["responses"], &format!("{at}/responses")) {
        assert!(status == "default" || status.parse::<u16>().is_ok_and(|code| (100..600).contains(&code)), "{at}");
        only(answer, "description schema headers examples", &at);
        string(answer, "description", &at);
        if let Some(body) = answer.get("schema") {
            schema(root, body, &format!("{at}/schema"));
            assert!(value["produces"].is_array(), "{at}");
        }
        for (_, header, at) in entries(&answer["headers"], &format!("{at}/headers")) {
            flat(header, "description", &at);
        }
    }
    for (name, _, at) in value["security"].as_array().into_iter().flatten().flat_map(|each| entries(each, at)) {
        assert!(root["securityDefinitions"].get(&name).is_some(), "{at}");
    }
}

#[test]
fn the_swagger_2_document_keeps_the_rules_of_its_specification() {
    let root = document(Format::V20, Some("https://otp.example.com/gate")).unwrap();
    only(&root, "swagger info host basePath schemes tags paths definitions securityDefinitions", "");
    assert_eq!(root["swagger"], "2.0");
    only(&root["info"], "title version description license", "/info");
    only(&root["info"]["license"], "name url", "/info/license");
    let mut ids = BTreeSet::new();
    for (path, item, at) in entries(&root["paths"], "/paths") {
        assert!(path.starts_with('/') && !path.contains('?'), "{at}");
        only(item, "get put post delete options head patch", &at);
        for (_, value, at) in entries(item, &at) {
            assert!(ids.insert(string(value, "operationId", &at)), "{at}");
            operation(&root, &path, value, &at);
        }
    }
    for (_, value, at) in entries(&root["definitions"], "/definitions") {
        schema(&root, value, &at);
    }
    let text = root.to_string();
    assert!(!text.contains("#/components/"), "a reference of OpenAPI 3 is left");
    assert!(text.len() < 1_000_000, "Power Platform takes less than 1 MB");
}
