//! Operations of a connector: parameters with titles, one answer with a schema, every known refusal in words. It must not
//! know what a schema says.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{Schemas, role, titles, value};
use super::words::{Field, Operation};
use crate::openapi::walk::{Converted, Node, Object};

/// The name of the connector's security definition, which its connection parameter shares.
pub(super) const SECURITY: &str = "api_key";
/// The only media type that the platform sends and reads.
pub(super) const JSON: &str = "application/json";
/// What problems come as: they have no schema here.
const PROBLEM: &str = "application/problem+json";
/// What every answer is that has no words of its own.
const OTHER: &str = "Any other problem.";
/// Header fields that no maker uses: they would stand among a step's results.
const UNUSED_HEADERS: [&str; 4] = ["RateLimit", "RateLimit-Policy", "WWW-Authenticate", "x-request-id"];

/// An operation, with the tags that it bears.
pub(super) fn operation<'v>(
    node: &Node<'v>,
    words: &'static Operation,
    schemas: &mut Schemas<'v>,
    tags: &mut BTreeSet<&'v str>,
) -> Converted {
    let mut operation = node.object()?;
    drop((operation.take("summary"), operation.take("description"), operation.need("operationId")?));
    operation.put("summary", words.summary);
    operation.put("description", words.description);
    operation.put("operationId", words.id);
    if let Some(word) = words.visibility.word() {
        operation.put("x-ms-visibility", word);
    }
    if let Some(trigger) = words.trigger {
        operation.put("x-ms-trigger", "single");
        operation.put("x-ms-trigger-hint", trigger.hint);
    }
    let borne = operation.need("tags")?;
    for tag in borne.items()? {
        tags.insert(tag.text()?);
    }
    operation.put("tags", borne.value.clone());
    security(&mut operation, node)?;
    media_types(&mut operation, "consumes", &[JSON])?;
    media_types(&mut operation, "produces", &[JSON, PROBLEM])?;
    // A designer stumbles over an operation without the array.
    let made = match operation.take("parameters") {
        Some(nodes) => parameters(&nodes, words, schemas)?,
        None => Vec::new(),
    };
    operation.put("parameters", made);
    let responses = operation.need("responses")?;
    let mut made = Map::new();
    for (status, response) in responses.entries()? {
        made.insert(status.to_owned(), answer(status, &response, schemas)?);
    }
    // Where nothing else is asked of a caller, a document may know no other answer; a designer shows one.
    made.entry("default").or_insert_with(|| json!({ "description": OTHER }));
    operation.put("responses", made);
    operation.closed()
}

/// The key is asked for at the top; an operation that needs none says so itself.
fn security(operation: &mut Object<'_>, node: &Node<'_>) -> Converted<()> {
    match operation.take("security") {
        None => operation.put("security", json!([])),
        Some(security) if *security.value == json!([{ "apikey": [] }]) => {}
        Some(security) => return Err(node.fault(format!("the security {} cannot be carried", security.value))),
    }
    Ok(())
}

/// They are named at the top.
fn media_types(operation: &mut Object<'_>, name: &str, known: &[&str]) -> Converted<()> {
    let Some(node) = operation.take(name) else { return Ok(()) };
    for media in node.items()? {
        let name = media.text()?;
        if !known.contains(&name) {
            return Err(media.fault(format!("the media type {name} cannot be carried")));
        }
    }
    Ok(())
}

/// Parameters in the order of the wording, the body last.
fn parameters<'v>(nodes: &Node<'v>, words: &'static Operation, schemas: &mut Schemas<'v>) -> Converted<Vec<Value>> {
    let mut made = Vec::new();
    for node in nodes.items()? {
        let mut parameter = node.object()?;
        let place = parameter.need("in")?;
        let name = parameter.need("name")?;
        parameter.put("in", place.value.clone());
        if place.text()? == "body" {
            let description =
                words.body.ok_or_else(|| node.fault(format!("the body of {} has no wording", words.id)))?;
            drop(parameter.take("description"));
            parameter.put("name", "body");
            parameter.put("x-ms-summary", "Body");
            parameter.put("description", description);
            let required = parameter.take("required").map(|required| required.truth()).transpose()?.unwrap_or(false);
            parameter.put("required", required);
            let schema = parameter.need("schema")?;
            parameter.put("schema", schemas.whole(&schema)?);
            made.push((usize::MAX, parameter.closed()?));
            continue;
        }
        let position = words.parameters.iter().position(|field| Some(field.source) == name.value.as_str());
        let words = position.and_then(|position| Some((position, words.parameters.get(position)?)));
        let (position, field) =
            words.ok_or_else(|| node.fault(format!("the parameter {} has no wording", name.value)))?;
        made.push((position, typed(parameter, field, place.text()?, schemas, &node)?));
    }
    made.sort_by_key(|(position, _)| *position);
    Ok(made.into_iter().map(|(_, parameter)| parameter).collect())
}

/// A parameter outside of the body.
fn typed<'v>(
    mut parameter: Object<'v>,
    field: &'static Field,
    place: &str,
    schemas: &Schemas<'v>,
    node: &Node<'v>,
) -> Converted {
    parameter.put("name", field.name);
    drop(parameter.take("description"));
    let required = parameter.take("required").map(|required| required.truth()).transpose()?.unwrap_or(false);
    parameter.put("required", required);
    let kind = value(&mut parameter)?;
    if matches!(kind, "array" | "object") {
        return Err(node.fault("only a plain value can be a parameter"));
    }
    role(&mut parameter, field, schemas.wording, node)?;
    titles(&mut parameter, field);
    if place == "path" {
        parameter.put("x-ms-url-encoding", "single");
    }
    parameter.closed()
}

/// An answer. Only the one that a designer shows has a schema; a refusal is words.
fn answer<'v>(status: &str, node: &Node<'v>, schemas: &mut Schemas<'v>) -> Converted {
    let mut response = node.object()?;
    let words = response.need("description")?.text()?;
    // The document's words for the rest speak of its form, which is not shown here.
    let words = if status == "default" { OTHER } else { words };
    response.put("description", format!("{}.", words.trim_end_matches('.')));
    drop(response.take("examples"));
    if let Some(schema) = response.take("schema")
        && matches!(status, "200" | "201")
    {
        let made = schemas.whole(&schema)?;
        response.put("schema", made);
    }
    let Some(headers) = response.take("headers") else { return response.closed() };
    let mut made = Map::new();
    for (name, node) in headers.entries()?.into_iter().filter(|(name, _)| !UNUSED_HEADERS.contains(name)) {
        let title = schemas.wording.headers.iter().find(|(known, _)| *known == name);
        let (_, title) = title.ok_or_else(|| node.fault(format!("the header field {name} has no wording")))?;
        let mut header = node.object()?;
        let words = header.need("description")?.text()?;
        header.put("description", format!("{}.", words.trim_end_matches('.')));
        value(&mut header)?;
        header.put("x-ms-summary", *title);
        made.insert(name.to_owned(), header.closed()?);
    }
    if !made.is_empty() {
        response.put("headers", made);
    }
    response.closed()
}
