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
        let content = match words.trigger {
            Some(trigger) => {
                Some(json!({ "description": trigger.description, "schema": schemas.posted(trigger.content, node)? }))
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
        "tags": kept_tags(&mut members.need("tags")?, &tags)?,
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

fn kept_tags(tags: &mut Node<'_>, used: &BTreeSet<&str>) -> Converted {
    let is_used =
        |tag: &Node<'_>| tag.value.get("name").and_then(Value::as_str).is_some_and(|name| used.contains(name));
    Ok(tags.items()?.iter().filter(|tag| is_used(tag)).map(|tag| tag.value.clone()).collect())
}
