//! The OpenAPI 3.1 document, collected from the routers: a route and its description are registered in one gesture.
//!
//! What holds for a whole class of operations is added here, once: the header fields of the quota, the id of the request,
//! the form of every other refusal. It must not describe a single operation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use http::Uri;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;

use crate::openapi::walk::{ConversionError, Converted, Node};
use crate::surface;

/// The security schemes of keyed operations: name, where it is sent, as what, and what it is.
const SCHEMES: [(&str, &str, &str, &str); 3] = [
    ("apikey", "header", "apikey", "The key of a connection, as `otpgate key create` prints it once."),
    (
        "accessKeyId",
        "query",
        "accessKeyId",
        "The access key id of a connection, as `otpgate key create --json` prints it. The call is signed with its secret, \
         unless the key was made with `--allow-simple`.",
    ),
    (
        "clientId",
        "header",
        "X-client-id",
        "The client id of a connection that was made with `--allow-client-id`. It is public.",
    ),
];
/// The members of a path item that are operations.
pub(super) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// Every tag that an operation may bear, in the order of the reference. Only those in use are written.
const TAGS: [(&str, &str); 9] = [
    ("otp", "Send, resend, check and delete one-time passwords."),
    ("verifications", "Have a person prove a number on a page of the gateway's, and learn how that ended."),
    ("applications", "The settings that one-time passwords are sent with. Writing needs the scope admin."),
    ("connection", "Who the caller is, and what is left of its quota."),
    ("webhooks", "Subscriptions to what becomes of one-time passwords."),
    ("tyntec", "The same under the paths, parameters and answers of the tyntec 2FA API, version 1."),
    ("unimatrix", "The same under the path, actions and answers of Unimatrix' otp.send and otp.verify."),
    ("oneaccess", "Verification codes under the paths, parameters and answers of the OneAccess SDK API, version 2."),
    ("health", "Whether the gateway lives and can do its work. No API key is needed."),
];
const DESCRIPTION: &str = "Send one-time passwords by text message or call, and check them. Every call is \
    authenticated by an API key and counts against the exact quota of its connection.";

/// The routes of a surface, and what its handlers say of themselves.
pub struct Surface {
    /// The routes as the router knows them, for the test that holds the two together.
    pub routes: Box<dyn Debug>,
    /// Their description.
    pub document: utoipa::openapi::OpenApi,
}

impl Surface {
    fn of<S: Clone + Send + Sync + 'static>(router: OpenApiRouter<S>) -> Self {
        let (routes, document) = router.split_for_parts();
        Self { routes: Box::new(routes), document }
    }
}

/// Every surface that is documented; a new one is one line. Operation ids are unique over all of them.
#[must_use]
pub fn surfaces() -> Vec<Surface> {
    vec![
        Surface::of(surface::otp::routes()),
        Surface::of(surface::tyntec::routes()),
        Surface::of(surface::unimatrix::routes()),
        Surface::of(surface::oneaccess::routes()),
        Surface::of(surface::webhooks::keyed()),
        Surface::of(surface::webhooks::capabilities()),
        Surface::of(surface::verifications::keyed()),
        Surface::of(surface::verifications::capabilities()),
        Surface::of(surface::open::health()),
    ]
}

/// One document of all surfaces.
///
/// # Errors
/// When two surfaces contradict each other, an operation lacks what every operation has, or `public_url` is no absolute
/// http or https address.
pub fn collect(surfaces: Vec<Surface>, public_url: Option<&str>) -> Converted {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut schemas = Map::new();
    for surface in surfaces {
        let document = serde_json::to_value(&surface.document)
            .map_err(|error| ConversionError { pointer: String::new(), what: error.to_string() })?;
        let mut root = Node::root(&document).object()?;
        for (path, item) in root.need("paths")?.entries()? {
            let known: &mut Map<_, _> = paths.entry(path.to_owned()).or_default();
            for (method, operation) in item.entries()? {
                let made = if METHODS.contains(&method) { complete(&operation)? } else { operation.value.clone() };
                join(known, method, made, &operation)?;
            }
        }
        let named = root.take("components").map(|components| components.object()).transpose()?;
        if let Some(named) = named.and_then(|mut components| components.take("schemas")) {
            for (name, schema) in named.entries()? {
                join(&mut schemas, name, schema.value.clone(), &schema)?;
            }
        }
    }
    let tags = check(&Node::root(&json!({ "paths": paths })))?;
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": schemes(),
        },
    });
    if let (Some(url), Some(root)) = (public_url, document.as_object_mut()) {
        root.insert("servers".to_owned(), json!([{ "url": server(url)? }]));
    }
    Ok(document)
}

/// Adds a member; one that is there already must be the same.
fn join(members: &mut Map<String, Value>, name: &str, value: Value, at: &Node<'_>) -> Converted<()> {
    match members.insert(name.to_owned(), value) {
        Some(known) if members.get(name) != Some(&known) => {
            Err(at.fault("another surface gives this name to something else"))
        }
        _ => Ok(()),
    }
}

/// An operation with what it has in common with all others of its class.
fn complete(operation: &Node<'_>) -> Converted {
    let mut read = operation.object()?;
    let keyed = match read.take("security") {
        Some(security) => {
            let known = |requirement: &Value| SCHEMES.iter().any(|(name, ..)| requirement.get(name).is_some());
            security.items()?.iter().any(|requirement| known(requirement.value))
        }
        None => false,
    };
    let responses = read.need("responses")?;
    let mut made = Map::new();
    for (status, response) in responses.entries()? {
        let mut headers = common_headers(keyed, status);
        let mut response = response.object()?;
        if let Some(own) = response.take("headers") {
            headers.extend(own.entries()?.into_iter().map(|(name, header)| (name.to_owned(), header.value.clone())));
        }
        response.keep(&["description", "content", "links"]);
        response.put("headers", headers);
        made.insert(status.to_owned(), response.finish()?);
    }
    if keyed && !made.contains_key("default") {
        // Any other refusal comes from the layers, which speak as they do when the quota is used up.
        let refusal = made.get("429").and_then(|response| response.get("content")).cloned();
        let content = refusal.ok_or_else(|| responses.fault("a keyed operation must describe 429 and its content"))?;
        let headers = common_headers(keyed, "default");
        let other =
            json!({ "description": "Any other problem, in the same form", "content": content, "headers": headers });
        made.insert("default".to_owned(), other);
    }
    let mut whole = operation.value.clone();
    if let Some(members) = whole.as_object_mut() {
        members.insert("responses".to_owned(), made.into());
        members.get_mut("requestBody").map(body_without_null);
    }
    Ok(whole)
}

/// utoipa words a body that may be left out as one that may be null, which no handler takes.
fn body_without_null(body: &mut Value) {
    let contents = body.get_mut("content").and_then(Value::as_object_mut);
    for schema in contents.into_iter().flat_map(Map::values_mut).filter_map(|media| media.get_mut("schema")) {
        let mut choices = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [choice] = choices.as_slice() {
            *schema = choice.clone();
        }
    }
}

/// The header fields of an answer, by its class and status.
fn common_headers(keyed: bool, status: &str) -> Map<String, Value> {
    // A refused key has no connection, and no connection has no quota to tell of.
    let counted = keyed && status != "401";
    let names = [
        ("x-request-id", true),
        ("RateLimit", counted),
        ("RateLimit-Policy", counted),
        ("WWW-Authenticate", keyed && status == "401"),
        ("Retry-After", status == "429" || keyed && status == "503"),
    ];
    let there = names.into_iter().filter(|(_, there)| *there);
    there.map(|(name, _)| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))).collect()
}

fn schemes() -> Map<String, Value> {
    let scheme = |(name, place, sent_as, description): &(&str, &str, &str, &str)| {
        let scheme = json!({ "type": "apiKey", "in": place, "name": sent_as, "description": description });
        ((*name).to_owned(), scheme)
    };
    SCHEMES.iter().map(scheme).collect()
}

fn headers() -> Value {
    json!({
        "RateLimit": {
            "description": "What is left of the quota: `r` calls, and `t` seconds until there is more.",
            "schema": { "type": "string", "example": "\"connection\";r=99;t=60" },
        },
        "RateLimit-Policy": {
            "description": "The quota of the connection: `q` calls in any `w` seconds. Left out when it is lifted.",
            "schema": { "type": "string", "example": "\"connection\";q=100;w=60" },
        },
        "Retry-After": {
            "description": "After how many whole seconds another try is worth its while; exact, rounded up.",
            "schema": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 3600, "example": 12 },
        },
        "WWW-Authenticate": {
            "description": "How to authenticate.",
            "schema": { "type": "string", "example": "ApiKey realm=\"otpgate\", header=\"apikey\"" },
        },
        "x-request-id": {
            "description": "The id of the request, which the gateway's log has too.",
            "schema": { "type": "string" },
        },
    })
}

/// What holds over all operations: each has an id of its own, a summary and a known tag. Answers the tags in use.
fn check(root: &Node<'_>) -> Converted {
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (_, item) in root.object()?.need("paths")?.entries()? {
        for (_, operation) in item.entries()?.into_iter().filter(|(method, _)| METHODS.contains(method)) {
            let mut members = operation.object()?;
            let id = members.need("operationId")?;
            if !ids.insert(id.text()?) {
                return Err(id.fault("another operation has this id"));
            }
            members.need("summary")?;
            for tag in members.need("tags")?.items()? {
                let name = tag.text()?;
                if !TAGS.iter().any(|(known, _)| *known == name) {
                    return Err(tag.fault(format!("the tag {name} has no description")));
                }
                used.insert(name);
            }
        }
    }
    let tags = TAGS.iter().filter(|(name, _)| used.contains(name));
    Ok(tags.map(|(name, description)| json!({ "name": name, "description": description })).collect())
}

/// The address of the gateway without a slash at its end.
fn server(url: &str) -> Converted<&str> {
    let fault = |what: &str| ConversionError { pointer: "/servers/0/url".to_owned(), what: what.to_owned() };
    let parsed: Uri = url.parse().map_err(|_| fault("must be an address"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none_or(str::is_empty) {
        return Err(fault("must be an absolute http or https address"));
    }
    if parsed.query().is_some() || url.contains('#') || url.contains('@') {
        return Err(fault("must have neither user, query nor fragment"));
    }
    Ok(url.trim_end_matches('/'))
}
