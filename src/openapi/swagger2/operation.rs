//! Operations in Swagger 2.0: the body is a parameter, parameters and header fields carry their type themselves, and
//! media types stand beside them. It must not know what a schema says.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Shared;
use super::schema::{flat, schema};
use crate::openapi::collect::METHODS;
use crate::openapi::walk::{Converted, Node, Object};

pub(super) fn path_item(node: &Node<'_>, shared: &Shared<'_>) -> Converted {
    let mut item = node.object()?;
    item.convert("parameters", |parameters| parameters.each_item(parameter))?;
    for method in METHODS {
        item.convert(method, |node| operation(node, shared))?;
    }
    item.finish()
}

fn operation(node: &Node<'_>, shared: &Shared<'_>) -> Converted {
    let mut operation = node.object()?;
    operation.keep(&["operationId", "summary", "description", "tags", "deprecated", "security"]);
    let mut parameters = match operation.take("parameters") {
        Some(parameters) => parameters.items()?.iter().map(parameter).collect::<Converted<Vec<_>>>()?,
        None => Vec::new(),
    };
    if let Some(body) = operation.take("requestBody") {
        let (parameter, consumes) = body_parameter(&body)?;
        parameters.push(parameter);
        operation.put("consumes", consumes);
    }
    if !parameters.is_empty() {
        operation.put("parameters", parameters);
    }
    let mut produces = BTreeSet::new();
    let mut responses = Map::new();
    for (status, node) in operation.need("responses")?.entries()? {
        if status.ends_with("XX") {
            return Err(node.fault("a range of statuses cannot be carried"));
        }
        responses.insert(status.to_owned(), response(&node, shared, &mut produces)?);
    }
    operation.put("responses", responses);
    if !produces.is_empty() {
        operation.put("produces", produces.into_iter().collect::<Vec<_>>());
    }
    operation.finish()
}

/// The body as a parameter, and its media types.
fn body_parameter(node: &Node<'_>) -> Converted<(Value, Value)> {
    let mut body = node.object()?;
    body.put("name", "body");
    body.put("in", "body");
    body.keep(&["description", "required"]);
    let content = body.need("content")?;
    let mut types = Vec::new();
    for (name, media) in content.entries()? {
        if matches!(name, "application/x-www-form-urlencoded" | "multipart/form-data") {
            return Err(media.fault("a form cannot be carried"));
        }
        let mut media = media.object()?;
        one_schema(&mut body, &mut media)?;
        media.finish()?;
        types.push(name);
    }
    if body.made("schema").is_none() {
        return Err(content.fault("a body without a schema cannot be carried"));
    }
    Ok((body.finish()?, json!(types)))
}

/// 2.0 has one schema for all media types of a body.
fn one_schema(body: &mut Object<'_>, media: &mut Object<'_>) -> Converted<()> {
    let node = media.need("schema")?;
    let converted = schema(&node)?;
    match body.made("schema") {
        Some(known) if *known != converted => {
            Err(node.fault("another schema for another media type cannot be carried"))
        }
        _ => {
            body.put("schema", converted);
            Ok(())
        }
    }
}

fn response(node: &Node<'_>, shared: &Shared<'_>, produces: &mut BTreeSet<String>) -> Converted {
    let mut response = node.object()?;
    response.keep(&["description"]);
    let mut examples = Map::new();
    if let Some(content) = response.take("content") {
        for (name, media) in content.entries()? {
            let mut media = media.object()?;
            one_schema(&mut response, &mut media)?;
            if let Some(example) = media.take("example") {
                examples.insert(name.to_owned(), example.value.clone());
            }
            media.finish()?;
            produces.insert(name.to_owned());
        }
    }
    if !examples.is_empty() {
        response.put("examples", examples);
    }
    response.convert("headers", |headers| headers.each_member(|node| header(node, shared)))?;
    response.finish()
}

fn header(node: &Node<'_>, shared: &Shared<'_>) -> Converted {
    let mut header = node.object()?;
    if let Some(reference) = header.take("$ref") {
        header.finish()?;
        let name = reference.text()?.strip_prefix("#/components/headers/");
        let known = shared.headers.as_ref().map(Node::entries).transpose()?.unwrap_or_default();
        let target = known.into_iter().find(|(known, _)| Some(*known) == name);
        let (_, target) =
            target.ok_or_else(|| reference.fault("no header field of #/components/headers has this name"))?;
        header = target.object()?;
    }
    header.keep(&["description"]);
    header.drop_if("required", &Value::Bool(false))?;
    typed(&mut header, None)?;
    header.finish()
}

fn parameter(node: &Node<'_>) -> Converted {
    let mut parameter = node.object()?;
    parameter.keep(&["name", "description", "required"]);
    let place = parameter.need("in")?;
    let name = place.text()?;
    if !matches!(name, "query" | "header" | "path") {
        return Err(place.fault(format!("a parameter in a {name} cannot be carried")));
    }
    parameter.put("in", name);
    let usual = if name == "query" { "form" } else { "simple" };
    parameter.drop_if("style", &usual.into())?;
    // What 3.0 does with arrays unless told otherwise: a query repeats the name, the others write commas.
    let repeated = match parameter.take("explode") {
        Some(explode) => explode.truth()? && name == "query",
        None => name == "query",
    };
    typed(&mut parameter, Some(if repeated { "multi" } else { "csv" }))?;
    parameter.finish()
}

/// Moves the schema's members into the parameter or header field that has it.
fn typed(owner: &mut Object<'_>, array: Option<&str>) -> Converted<()> {
    let node = owner.need("schema")?;
    let Value::Object(members) = flat(&node)? else { return Err(node.fault("must be an object")) };
    for (name, value) in members {
        if owner.made(&name).is_some_and(|own| *own != value) {
            return Err(node.fault(format!("{name} here and beside the schema cannot both be carried")));
        }
        owner.put(&name, value);
    }
    if let Some(example) = owner.take("example") {
        owner.put("x-example", example.value.clone());
    }
    if let (Some(format), Some("array")) = (array, owner.made("type").and_then(Value::as_str)) {
        owner.put("collectionFormat", format);
    }
    Ok(())
}
