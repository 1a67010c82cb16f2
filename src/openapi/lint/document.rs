//! The document's own members: version, host, schemes, media types, tags, and what may stand where. It must not know
//! operations in detail.

use serde_json::Value;

use super::spot::{METHODS, Spot, type_of};
use super::{Report, Rule};

/// Members of the objects whose members are fixed (Swagger 2.0, and Microsoft's schema for extensions).
pub(super) const ROOT: &[&str] = &[
    "swagger",
    "info",
    "host",
    "basePath",
    "schemes",
    "consumes",
    "produces",
    "paths",
    "definitions",
    "parameters",
    "responses",
    "securityDefinitions",
    "security",
    "tags",
    "externalDocs",
    "x-ms-capabilities",
    "x-ms-connector-metadata",
    "x-ms-docs",
];
const INFO: &[&str] = &[
    "title",
    "description",
    "version",
    "termsOfService",
    "contact",
    "license",
    "x-ms-deployment-version",
    "x-ms-api-annotation",
];
const CONTACT: &[&str] = &["name", "url", "email"];
const LICENSE: &[&str] = &["name", "url"];
const TAG: &[&str] = &["name", "description", "externalDocs"];
/// Media types that the platform sends and reads (validator rules, MimeTypeNotValid).
const SUPPORTED: [&str; 4] =
    ["application/json", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];
/// Keywords of later JSON Schema or OpenAPI that Swagger 2.0 lacks.
const LATER: [&str; 31] = [
    "oneOf",
    "anyOf",
    "not",
    "nullable",
    "const",
    "examples",
    "patternProperties",
    "if",
    "then",
    "else",
    "prefixItems",
    "contains",
    "propertyNames",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedProperties",
    "unevaluatedItems",
    "$defs",
    "$schema",
    "$id",
    "writeOnly",
    "deprecated",
    "openapi",
    "servers",
    "components",
    "requestBody",
    "callbacks",
    "links",
    "content",
    "webhooks",
    "additionalItems",
];

/// Checks the document's own members.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    members(root, ROOT, report);
    report.when(
        root.text("swagger") != Some("2.0"),
        Rule::SpecificationVersionIncorrect,
        &root.at("swagger"),
        "must be the string \"2.0\"",
    );
    for (name, kind) in [
        ("info", "object"),
        ("paths", "object"),
        ("host", "string"),
        ("basePath", "string"),
        ("schemes", "array"),
        ("consumes", "array"),
        ("produces", "array"),
        ("definitions", "object"),
        ("parameters", "object"),
        ("responses", "object"),
        ("securityDefinitions", "object"),
        ("security", "array"),
        ("tags", "array"),
    ] {
        typed(root, name, kind, report);
    }
    required(root, &["info", "paths"], report);
    let info = root.at("info");
    if info.value.is_object() {
        members(&info, INFO, report);
        required(&info, &["title", "version"], report);
        for (name, known) in [("contact", CONTACT), ("license", LICENSE)] {
            if let Some(part) = info.get(name) {
                members(&part, known, report);
                url(&part, report);
            }
        }
        let contact = info.at("contact");
        let missing: Vec<_> =
            CONTACT.iter().copied().filter(|name| contact.text(name).is_none_or(str::is_empty)).collect();
        report.when(
            !missing.is_empty(),
            Rule::ContactMissing,
            &contact,
            format!("{} is missing: a reviewer asks whom to write to", missing.join(", ")),
        );
        if let Some(email) = info.at("contact").get("email") {
            let fits = email.value.as_str().is_some_and(is_mailbox);
            report.when(
                !fits,
                Rule::ContactEmailNotValid,
                &email,
                "must be a mail address such as support@example.com",
            );
        }
    }
    report.when(
        !root.has("host"),
        Rule::HostMissing,
        &root.at("host"),
        "host is missing: an import then asks where the API is",
    );
    host(root, report);
    schemes(root, report);
    media_types(root, report);
    let mut seen = Vec::new();
    for tag in root.at("tags").items() {
        members(&tag, TAG, report);
        required(&tag, &["name"], report);
        let name = tag.text("name").unwrap_or_default();
        report.when(seen.contains(&name), Rule::TagRedefined, &tag, format!("the tag {name:?} is there already"));
        seen.push(name);
    }
    for docs in root.at("x-ms-docs").items() {
        url(&docs, report);
    }
    if let Some(docs) = root.get("externalDocs") {
        url(&docs, report);
    }
}

/// Names every member that does not belong here.
pub(super) fn members(spot: &Spot<'_>, known: &[&str], report: &mut Report) {
    for (name, at) in spot.members() {
        if known.contains(&name) || (name.starts_with("x-") && !name.starts_with("x-ms-")) {
            continue;
        }
        if name.starts_with("x-ms-") {
            report.add(
                Rule::AdditionalPropertyNotAllowed,
                &at,
                format!("{name} is not allowed here and must be removed"),
            );
        } else if LATER.contains(&name) {
            report.add(Rule::SwaggerKeywordNotSupported, &at, format!("the keyword {name} is not supported"));
        } else {
            report.add(
                Rule::ExtensionNameNotValid,
                &at,
                format!("{name} is not known; an extension's name begins with x-"),
            );
        }
    }
}

/// Names every member that must be there, and is not.
pub(super) fn required(spot: &Spot<'_>, names: &[&str], report: &mut Report) {
    for name in names {
        match spot.value.get(name) {
            None => report.add(Rule::RequiredPropertyMissing, spot, format!("{name} is required")),
            Some(Value::String(text)) if text.trim().is_empty() => {
                report.add(Rule::RequiredValueEmpty, &spot.at(name), format!("{name} must not be empty"));
            }
            Some(_) => {}
        }
    }
}

/// Names a member that is of another type.
pub(super) fn typed(spot: &Spot<'_>, name: &str, kind: &str, report: &mut Report) {
    if let Some(member) = spot.get(name) {
        let found = type_of(member.value);
        report.when(
            found != kind,
            Rule::JsonTypeIncorrect,
            &member,
            format!("must be of the type {kind}, and is of the type {found}"),
        );
    }
}

/// Names a member that is no word of a list.
pub(super) fn one_of(spot: &Spot<'_>, name: &str, words: &[&str], report: &mut Report) {
    if let Some(member) = spot.get(name) {
        let fits = member.value.as_str().is_some_and(|word| words.contains(&word));
        report.when(!fits, Rule::JsonValueNotInEnum, &member, format!("must be one of {}", words.join(", ")));
    }
}

/// The address of a contact, a licence or documents.
fn url(spot: &Spot<'_>, report: &mut Report) {
    if let Some(url) = spot.get("url") {
        let fits = url.value.as_str().is_some_and(is_absolute);
        report.when(!fits, Rule::UrlNotValid, &url, "must be an absolute address such as https://example.com/help");
    }
}

/// Whether a text is an absolute address of the web.
pub(super) fn is_absolute(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

fn is_mailbox(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_graphic() && letter != '@');
    text.split_once('@')
        .is_some_and(|(local, host)| plain(local) && plain(host) && host.contains('.') && !host.ends_with('.'))
}

fn host(root: &Spot<'_>, report: &mut Report) {
    if let Some(host) = root.get("host") {
        let fits = host.value.as_str().is_some_and(|text| {
            !text.contains(['/', '{', '}', ' ', '@', '?', '#', '\\'])
                && text.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.host().is_empty())
        });
        report.when(
            !fits,
            Rule::HostNameNotValid,
            &host,
            "must be a host without a scheme or path, such as api.example.com",
        );
    }
    if let Some(path) = root.get("basePath") {
        let fits = path.value.as_str().is_some_and(|text| text.starts_with('/'));
        report.when(!fits, Rule::BasePathNotValid, &path, "must begin with /");
    }
}

/// The schemes of the document and of operations.
fn schemes(root: &Spot<'_>, report: &mut Report) {
    let items = root.at("paths").members().into_iter().flat_map(|(_, item)| item.members());
    let operations = items.filter(|(method, _)| METHODS.contains(method)).map(|(_, operation)| operation);
    for owner in std::iter::once(root.clone()).chain(operations) {
        let Some(schemes) = owner.get("schemes") else { continue };
        let items = schemes.items();
        report.when(items.is_empty(), Rule::SchemesArrayEmpty, &schemes, "must hold https, or be left out");
        for scheme in items {
            match scheme.value.as_str() {
                Some("https" | "http") => {}
                Some("ws" | "wss") => {
                    report.add(Rule::SchemeNotSupported, &scheme, "WebSockets are not supported; use https");
                }
                _ => report.add(Rule::SchemeNotValid, &scheme, "must be https or http"),
            }
        }
    }
}

/// The media types of the document and of operations.
fn media_types(root: &Spot<'_>, report: &mut Report) {
    let items = root.at("paths").members().into_iter().flat_map(|(_, item)| item.members());
    let operations = items.filter(|(method, _)| METHODS.contains(method)).map(|(_, operation)| operation);
    for owner in std::iter::once(root.clone()).chain(operations) {
        for media in ["consumes", "produces"].iter().flat_map(|name| owner.at(name).items()) {
            let essence = media.value.as_str().map(essence).unwrap_or_default();
            let valid = essence
                .split_once('/')
                .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'));
            if !valid {
                report.add(Rule::MimeTypeNotValid, &media, "is no MIME type such as application/json");
            } else if !SUPPORTED.contains(&essence.as_str()) {
                report.add(
                    Rule::MimeTypeNotSupported,
                    &media,
                    format!("{essence} is not supported; supported are {}", SUPPORTED.join(", ")),
                );
            }
        }
    }
}

/// A media type without its parameters, in lower case.
pub(super) fn essence(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
