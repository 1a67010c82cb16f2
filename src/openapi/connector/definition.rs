//! The definition as a whole: who it is from, where it is reached, the operations that are allowed into it, and what a
//! designer reads beside them. It must not know what an operation says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::operation::{JSON, SECURITY, operation};
use super::place::{Place, Publisher};
use super::schema::Schemas;
use super::words::Wording;
use crate::openapi::collect::METHODS;
use crate::openapi::walk::{Converted, Node};

/// Of the platform's categories, the two that fit.
const CATEGORIES: &str = "Security;Communication";

/// Makes the definition from the Swagger 2.0 document of all operations.
pub(super) fn make(document: &Value, wording: &'static Wording, place: &Place, publisher: &Publisher) -> Converted {
    let root = Node::root(document);
    let mut members = root.object()?;
    let definitions = members.need("definitions")?;
    let mut schemas = Schemas::new(&definitions, wording)?;
    let known = operations(&members.need("paths")?)?;
    let mut paths: Map<String, Value> = Map::new();
    let mut tags = BTreeSet::new();
    for words in wording.operations {
        let found = known.get(words.source);
        let (path, method, node) =
            found.ok_or_else(|| root.fault(format!("no operation has the id {}", words.source)))?;
        let made = operation(node, words, &mut schemas, &mut tags)?;
        let posted = words.trigger.map(|trigger| (trigger.content, trigger.description));
        let posted = posted.or(words.awaited.map(|awaited| (awaited.content, awaited.description)));
        let content = match posted {
            Some((content, description)) => {
                Some(json!({ "description": description, "schema": schemas.posted(content, node)? }))
            }
            None => None,
        };
        let item = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert((*method).to_owned(), made);
            item.extend(content.map(|content| ("x-ms-notification-content".to_owned(), content)));
        }
    }
    Ok(json!({
        "swagger": "2.0",
        "info": {
            "title": wording.title,
            "description": wording.description,
            "version": env!("CARGO_PKG_VERSION"),
            "contact": { "name": publisher.name(), "url": format!("{place}/docs"), "email": publisher.email() },
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "host": place.host(),
        "basePath": place.base_path(),
        "schemes": [place.scheme()],
        "consumes": [JSON],
        "produces": [JSON],
        "paths": paths,
        "definitions": schemas.definitions()?,
        "securityDefinitions": { SECURITY: { "type": "apiKey", "in": "header", "name": "apikey" } },
        "security": [{ SECURITY: [] }],
        "tags": kept_tags(&members.need("tags")?, &tags)?,
        "x-ms-capabilities": { "testConnection": { "operationId": wording.test_connection, "parameters": {} } },
        "x-ms-connector-metadata": [
            { "propertyName": "Website", "propertyValue": format!("{place}/docs") },
            { "propertyName": "Privacy policy", "propertyValue": publisher.privacy_policy() },
            { "propertyName": "Categories", "propertyValue": CATEGORIES },
        ],
    }))
}

type Operations<'v> = BTreeMap<&'v str, (&'v str, &'v str, Node<'v>)>;

/// The operations by their ids. What a path item says for all of them would be lost, so it must say nothing.
fn operations<'v>(paths: &Node<'v>) -> Converted<Operations<'v>> {
    let mut found = BTreeMap::new();
    for (path, item) in paths.entries()? {
        for (method, node) in item.entries()? {
            if !METHODS.contains(&method) {
                return Err(node.fault("what holds for all operations of a path cannot be carried"));
            }
            let id = node.object()?.need("operationId")?;
            found.insert(id.text()?, (path, method, node));
        }
    }
    Ok(found)
}

/// The tags in use.
fn kept_tags(tags: &Node<'_>, used: &BTreeSet<&str>) -> Converted {
    let mut kept = Vec::new();
    for tag in tags.items()? {
        let mut object = tag.object()?;
        object.keep(&["name", "description"]);
        if object.made("name").and_then(Value::as_str).is_some_and(|name| used.contains(name)) {
            kept.push(object.closed()?);
        }
    }
    Ok(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::connector::Edition;
    use crate::openapi::{Format, document};

    fn made(document: &Value, edition: Edition) -> Converted {
        let place = Place::new("https", "otp.example.com").unwrap();
        make(document, edition.wording(), &place, &Publisher::new(&place, None, None, None).unwrap())
    }

    fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(members) => {
                found.push(at.to_owned());
                members.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
            }
            Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
            _ => return,
        };
        for (name, value) in below {
            objects(value, &format!("{at}/{name}"), found);
        }
    }

    /// Wherever something unknown is put into what is exported, that very place is named; elsewhere it changes nothing.
    #[test]
    fn connector_definition_names_a_surprise_wherever_it_is() {
        let document = document(Format::V20, None).unwrap();
        for edition in [Edition::Native, Edition::Compatible] {
            let before = made(&document, edition).unwrap();
            let mut places = Vec::new();
            objects(&document, "", &mut places);
            let (mut named, mut ignored) = (0, 0);
            for place in &places {
                let mut document = document.clone();
                document.pointer_mut(place).unwrap()["surprise"] = json!({"type": "string"});
                match made(&document, edition) {
                    Err(error) => {
                        // A requirement is compared as a whole, and an object of names takes another name: it has no words.
                        let whole = error.pointer == *place || place.contains("/security/");
                        assert!(whole || error.pointer.starts_with(&format!("{place}/surprise")), "{place}: {error}");
                        named += 1;
                    }
                    Ok(after) => {
                        assert_eq!(after, before, "{place}");
                        ignored += 1;
                    }
                }
            }
            assert!(named > 150 && ignored > 100, "{named} named, {ignored} ignored");
        }
    }

    #[test]
    fn connector_definition_names_what_it_cannot_carry() {
        let document = document(Format::V20, None).unwrap();
        let send = "/paths/~1v1~1otp/post";
        for (place, value, says) in [
            ("/definitions/SendBody/properties/number/type", json!("null"), "the type null cannot be carried"),
            ("/definitions/SendBody/properties/number/format", json!("ipv6"), "the format ipv6 cannot be carried"),
            ("/definitions/SendBody/properties/number/x-nullable", json!(true), "cannot be null"),
            ("/definitions/SendBody/properties/more", json!({"type": "string"}), "SendBody/more has no wording"),
            ("/definitions/SendBody/properties/via/enum", json!(["AUTO"]), "not those that have labels"),
            ("/definitions/OtpEntity/properties/number/enum", json!(["a"]), "have no labels"),
            ("/definitions/ConnectionEntity/properties/scopes/items", json!({"type": "object"}), "only plain values"),
            (
                "/definitions/VerdictEntity/allOf/1/properties/otpId",
                json!({"type": "string"}),
                "two parts of one object",
            ),
            ("/definitions/VerdictEntity/allOf/0", json!({"$ref": "#/definitions/VerdictEntity"}), "nested too deeply"),
            ("/definitions/OtpEntity/type", json!("array"), "only an object"),
            (&format!("{send}/parameters/1/schema"), json!({"$ref": "#/definitions/Lost"}), "Lost is no schema"),
            (&format!("{send}/parameters/1/schema"), json!({"type": "string"}), "a named schema"),
            (&format!("{send}/parameters/0/name"), json!("Other"), "has no wording"),
            (&format!("{send}/parameters/0/type"), json!("array"), "only a plain value"),
            (&format!("{send}/consumes"), json!(["text/xml"]), "the media type text/xml"),
            (&format!("{send}/security"), json!([{"other": []}]), "cannot be carried"),
            (
                &format!("{send}/responses/200/headers/Odd"),
                json!({"type": "string", "description": "d"}),
                "Odd has no wording",
            ),
            (&format!("{send}/operationId"), json!("Sent"), "no operation has the id SendOTP"),
            ("/paths/~1v1~1otp/parameters", json!([]), "for all operations of a path"),
        ] {
            let mut document = document.clone();
            let (parent, name) = place.rsplit_once('/').unwrap();
            match document.pointer_mut(parent).unwrap_or_else(|| panic!("{place}")) {
                Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
                members => members[name] = value,
            }
            let error = made(&document, Edition::Native).unwrap_err().to_string();
            assert!(error.contains(says), "{place}: {error}");
        }
    }
}
