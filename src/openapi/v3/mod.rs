//! OpenAPI 3.1 to 3.0.3, for generators and importers that stop there.
//!
//! The result must fit `openapiv3`'s typed model, and nothing may get lost in it. It must not know Swagger 2.0.

mod schema;

use http::StatusCode;
use serde_json::Value;

use crate::openapi::collect::METHODS;
use crate::openapi::walk::{ConversionError, Converted, Node};
use schema::schema;

/// The version that comes out.
const VERSION: &str = "3.0.3";

/// The same document in OpenAPI 3.0.3.
///
/// # Errors
/// The place in the 3.1 document of what cannot be carried.
pub fn to_v3(document: &Value) -> Converted {
    let mut root = Node::root(document).object()?;
    let version = root.need("openapi")?;
    if !version.text()?.starts_with("3.1.") {
        return Err(version.fault("must be 3.1"));
    }
    root.put("openapi", VERSION);
    root.convert("info", info)?;
    root.convert("servers", |servers| servers.each_item(|server| closed(server, &["url", "description"])))?;
    root.convert("tags", |tags| tags.each_item(|tag| closed(tag, &["name", "description"])))?;
    root.convert("paths", |paths| paths.each_member(path_item))?;
    root.convert("components", components)?;
    root.keep(&["security"]);
    let made = root.finish()?;
    gate(&made)?;
    Ok(made)
}

/// An object of members that are the same in both.
fn closed(node: &Node<'_>, names: &[&str]) -> Converted {
    let mut object = node.object()?;
    object.keep(names);
    object.finish()
}

fn info(node: &Node<'_>) -> Converted {
    let mut info = node.object()?;
    info.keep(&["title", "version", "description", "termsOfService"]);
    info.convert("contact", |contact| closed(contact, &["name", "url", "email"]))?;
    // `identifier` is 3.1's alone; a licence with an address is understood by all.
    info.convert("license", |license| closed(license, &["name", "url"]))?;
    info.finish()
}

fn components(node: &Node<'_>) -> Converted {
    let mut components = node.object()?;
    components.convert("schemas", |schemas| schemas.each_member(schema))?;
    components.convert("headers", |headers| headers.each_member(header))?;
    components.convert("securitySchemes", |schemes| {
        schemes.each_member(|scheme| closed(scheme, &["type", "name", "in", "description", "scheme", "bearerFormat"]))
    })?;
    components.finish()
}

fn path_item(node: &Node<'_>) -> Converted {
    let mut item = node.object()?;
    item.keep(&["summary", "description"]);
    item.convert("parameters", |parameters| parameters.each_item(parameter))?;
    for method in METHODS {
        item.convert(method, operation)?;
    }
    item.finish()
}

fn operation(node: &Node<'_>) -> Converted {
    let mut operation = node.object()?;
    operation.keep(&["operationId", "summary", "description", "tags", "deprecated", "security"]);
    operation.convert("parameters", |parameters| parameters.each_item(parameter))?;
    operation.convert("requestBody", |body| {
        let mut body = body.object()?;
        body.keep(&["description", "required"]);
        body.convert("content", content)?;
        body.finish()
    })?;
    operation.convert("responses", |responses| {
        let mut converted = Vec::new();
        for (status, node) in responses.entries()? {
            converted.push((status.to_owned(), response(status, &node)?));
        }
        Ok(converted.into_iter().collect())
    })?;
    operation.finish()
}

fn parameter(node: &Node<'_>) -> Converted {
    let mut parameter = node.object()?;
    parameter.keep(&["name", "in", "description", "deprecated", "style", "explode", "example"]);
    // The typed model leaves out what holds anyway: a parameter that is not required.
    if let Some(required) = parameter.take("required")
        && required.truth()?
    {
        parameter.put("required", true);
    }
    parameter.convert("schema", schema)?;
    parameter.finish()
}

fn header(node: &Node<'_>) -> Converted {
    let mut header = node.object()?;
    header.keep(&["$ref", "description", "required", "deprecated", "example"]);
    header.convert("schema", schema)?;
    header.finish()
}

fn content(node: &Node<'_>) -> Converted {
    node.each_member(|media| {
        let mut media = media.object()?;
        media.keep(&["example"]);
        media.convert("schema", schema)?;
        media.finish()
    })
}

fn response(status: &str, node: &Node<'_>) -> Converted {
    let mut response = node.object()?;
    response.keep(&["description"]);
    if response.made("description").is_none() {
        // 3.1 lets it out as an answer's words may be plain from its status; 3.0 wants it written.
        let code = status.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
        response.put("description", code.and_then(|code| code.canonical_reason()).unwrap_or("An answer"));
    }
    response.convert("headers", |headers| headers.each_member(header))?;
    response.convert("content", content)?;
    response.finish()
}

/// The document must parse as `openapiv3`'s model of 3.0, and say the same when that model is written again.
fn gate(document: &Value) -> Converted<()> {
    let parsed: openapiv3::OpenAPI = serde_path_to_error::deserialize(document).map_err(|error| {
        let pointer =
            error.path().iter().map(|segment| format!("/{}", segment.to_string().replace('/', "~1"))).collect();
        ConversionError { pointer, what: error.inner().to_string() }
    })?;
    // openapiv3 takes any version.
    if parsed.openapi != VERSION {
        return Err(ConversionError { pointer: "/openapi".to_owned(), what: format!("must be {VERSION}") });
    }
    let again = serde_json::to_value(&parsed)
        .map_err(|error| ConversionError { pointer: String::new(), what: error.to_string() })?;
    survives(&Node::root(document), &again)
}

/// Whether everything here is there too; what the model added are defaults.
fn survives(here: &Node<'_>, there: &Value) -> Converted<()> {
    let lost = || here.fault("does not fit the model of OpenAPI 3.0");
    match (here.value, there) {
        (Value::Object(_), Value::Object(members)) => {
            for (name, node) in here.entries()? {
                match members.get(name) {
                    Some(value) => survives(&node, value)?,
                    None => return Err(node.fault("does not fit the model of OpenAPI 3.0")),
                }
            }
            Ok(())
        }
        (Value::Array(_), Value::Array(values)) => {
            let items = here.items()?;
            if items.len() != values.len() {
                return Err(lost());
            }
            items.iter().zip(values).try_for_each(|(node, value)| survives(node, value))
        }
        (Value::Number(here), Value::Number(there)) if here.as_f64() == there.as_f64() => Ok(()),
        (here, there) if here == there => Ok(()),
        _ => Err(lost()),
    }
}
