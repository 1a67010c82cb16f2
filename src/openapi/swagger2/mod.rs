//! OpenAPI 3.0 to Swagger 2.0, which is what Power Platform and older tools import.
//!
//! A pure function over a closed subset. Two things that 2.0 has no word for travel as the customary extensions
//! `x-nullable` and `x-example`; everything else that 2.0 lacks is an error. It must not know where the document came from.

mod operation;
mod schema;

use serde_json::{Map, Value, json};

use crate::openapi::walk::{Converted, Node};
use operation::path_item;
use schema::schema;

/// The same document in Swagger 2.0.
///
/// # Errors
/// The place in the 3.0 document of what cannot be carried.
pub fn to_swagger2(document: &Value) -> Converted {
    let mut root = Node::root(document).object()?;
    let version = root.need("openapi")?;
    if !version.text()?.starts_with("3.0.") {
        return Err(version.fault("must be 3.0"));
    }
    root.put("swagger", "2.0");
    root.convert("info", info)?;
    root.convert("tags", |tags| tags.each_item(|tag| closed(tag, &["name", "description"])))?;
    if let Some(servers) = root.take("servers") {
        for (name, value) in place(&servers)? {
            root.put(&name, value);
        }
    }
    let mut shared = Shared::default();
    if let Some(components) = root.take("components") {
        let mut components = components.object()?;
        if let Some(schemas) = components.take("schemas") {
            root.put("definitions", schemas.each_member(schema)?);
        }
        if let Some(schemes) = components.take("securitySchemes") {
            root.put("securityDefinitions", schemes.each_member(security_scheme)?);
        }
        // 2.0 has no place for header fields that answers share: each gets its own.
        shared.headers = components.take("headers");
        components.finish()?;
    }
    root.convert("paths", |paths| {
        for (path, node) in paths.entries()? {
            if path.contains(['?', '#']) {
                return Err(node.fault("a path with a query cannot be carried"));
            }
        }
        paths.each_member(|item| path_item(item, &shared))
    })?;
    root.keep(&["security"]);
    root.finish()
}

/// What operations refer to.
#[derive(Default)]
struct Shared<'v> {
    headers: Option<Node<'v>>,
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
    info.convert("license", |license| closed(license, &["name", "url"]))?;
    info.finish()
}

/// Scheme, host and path of the one server; none when it is relative to the document's own address.
fn place(servers: &Node<'_>) -> Converted<Map<String, Value>> {
    let items = servers.items()?;
    let [server] = items.as_slice() else { return Err(servers.fault("only one server can be carried")) };
    let mut server = server.object()?;
    let node = server.need("url")?;
    server.finish()?;
    let url: http::Uri = node.text()?.parse().map_err(|_| node.fault("must be an address"))?;
    let mut place = Map::new();
    if let (Some(scheme), Some(host)) = (url.scheme_str(), url.authority()) {
        place.insert("schemes".to_owned(), json!([scheme]));
        place.insert("host".to_owned(), host.as_str().into());
    }
    match url.path().trim_end_matches('/') {
        "" => {}
        path if path.contains(['{', '}']) => return Err(node.fault("a server with variables cannot be carried")),
        path => drop(place.insert("basePath".to_owned(), path.into())),
    }
    Ok(place)
}

fn security_scheme(node: &Node<'_>) -> Converted {
    let mut scheme = node.object()?;
    scheme.keep(&["description"]);
    let kind = scheme.need("type")?;
    match kind.text()? {
        "apiKey" => {
            scheme.put("type", "apiKey");
            scheme.keep(&["name"]);
            let place = scheme.need("in")?;
            match place.text()? {
                name @ ("header" | "query") => scheme.put("in", name),
                other => return Err(place.fault(format!("a key in a {other} cannot be carried"))),
            }
        }
        "http" => {
            let method = scheme.need("scheme")?;
            if !method.text()?.eq_ignore_ascii_case("basic") {
                return Err(method.fault("only the scheme basic can be carried"));
            }
            scheme.put("type", "basic");
        }
        other => return Err(kind.fault(format!("a security scheme of type {other} cannot be carried"))),
    }
    scheme.finish()
}
