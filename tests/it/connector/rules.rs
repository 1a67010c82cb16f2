//! Every rule of the lint, with an example that breaks it.

use std::collections::BTreeSet;

use otpgate::openapi::lint::Rule::{
    BrandColorNotAllowed, ConnectionParameterNotSecure, JsonTypeIncorrect, OperationIdNotFound, RequiredPropertyMissing,
};
use otpgate::openapi::lint::{Finding, ReadError, Rule, Severity, lint, read_definition, read_json};
use serde_json::{Value, json};

use super::breaches::{cases, good, good_properties, put};

fn has(findings: &[Finding], rule: Rule, pointer: &str) -> bool {
    findings.iter().any(|finding| finding.rule == rule && finding.pointer == pointer)
}

#[test]
fn connector_rules_finds_nothing_in_a_good_connector() {
    assert_eq!(lint(&good(), Some(&good_properties())), []);
}

#[test]
fn connector_rules_finds_what_breaks_each_rule() {
    let mut seen = BTreeSet::new();
    for (rule, changes, pointer) in cases() {
        let mut document = good();
        for (place, value) in changes {
            put(&mut document, &place, value);
        }
        let findings = lint(&document, None);
        assert!(has(&findings, rule, &pointer), "{rule} at {pointer}: {findings:#?}");
        seen.insert(rule);
    }
    let properties = [BrandColorNotAllowed, ConnectionParameterNotSecure];
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !seen.contains(rule) && !properties.contains(rule)).collect();
    assert!(missing.is_empty(), "no example breaks {missing:?}");
}

#[test]
fn connector_rules_reads_properties_beside_the_definition() {
    for (rule, place, value) in [
        (BrandColorNotAllowed, "/properties/iconBrandColor", json!("#FFFFFF")),
        (BrandColorNotAllowed, "/properties/iconBrandColor", json!("green")),
        (ConnectionParameterNotSecure, "/properties/connectionParameters/api_key", json!({"type": "string"})),
        (RequiredPropertyMissing, "/properties/publisher", Value::Null),
        (JsonTypeIncorrect, "/properties/connectionParameters/api_key/uiDefinition/constraints/required", json!(true)),
        (
            OperationIdNotFound,
            "/properties/policyTemplateInstances/-",
            json!({"templateId": "setheader", "parameters": {"x-ms-apimTemplate-operationName": ["Lost"]}}),
        ),
    ] {
        let mut properties = good_properties();
        put(&mut properties, place, value);
        let findings = lint(&good(), Some(&properties));
        assert!(findings.iter().any(|finding| finding.rule == rule), "{rule}: {findings:?}");
    }
}

#[test]
fn connector_rules_refuses_what_is_no_definition() {
    assert_eq!(read_definition(br#"{"swagger":"2.0"}"#), Ok(json!({"swagger": "2.0"})));
    for (bytes, says) in [
        (&b"{"[..], "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (br#"{"swagger":"1.2"}"#, "it is not Swagger 2.0: its \"swagger\" is \"1.2\""),
        (br#"{"openapi":"3.0.3"}"#, "it is not Swagger 2.0: it is OpenAPI \"3.0.3\""),
        (b"{}", "it is not Swagger 2.0: it has no member"),
        (b"[]", "it is not Swagger 2.0: it is no JSON object"),
    ] {
        let error = read_definition(bytes).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    assert_eq!(read_json(&vec![b' '; 1_000_000]), Err(ReadError::TooLarge(1_000_000)));
}

#[test]
fn connector_rules_survives_anything_that_is_json() {
    for document in [json!(null), json!([]), json!({"paths": [], "info": 7, "definitions": {"A": 1}})] {
        assert!(lint(&document, Some(&document)).iter().any(|finding| finding.severity == Severity::Error));
    }
    // Every value of a good connector replaced by something else: nothing panics, and nothing runs for ever.
    let document = good();
    let mut places = Vec::new();
    walk(&document, String::new(), &mut places);
    for place in places.iter().filter(|place| !place.is_empty()) {
        for value in [json!(7), json!([]), json!({}), json!({"$ref": "#/definitions/Trip"})] {
            let mut document = document.clone();
            *document.pointer_mut(place).unwrap() = value;
            let _ = lint(&document, Some(&document));
        }
    }
}

fn walk(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                walk(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, format!("{at}/{index}"), places);
            }
        }
        _ => {}
    }
    places.push(at);
}
