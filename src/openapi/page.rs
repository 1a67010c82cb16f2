//! The reference page `/docs`: the whole document as one page of HTML, made on the server, without script and without a
//! request to anywhere. It must not know an operation or a schema by name.

use askama::Template;
use serde_json::Value;

use crate::openapi::collect::METHODS;
use crate::openapi::walk::{ConversionError, Converted};

/// The address in the examples when the document names no server.
const LOCAL: &str = "http://localhost:8080";

/// The reference of an OpenAPI 3.1 document.
///
/// # Errors
/// When the page cannot be written.
pub fn page(document: &Value) -> Converted<String> {
    let fault = |error: askama::Error| ConversionError { pointer: String::new(), what: error.to_string() };
    Page::of(document).render().map_err(fault)
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    title: String,
    version: String,
    description: Text,
    base: String,
    groups: Vec<Group>,
    headers: Vec<Member>,
    schemas: Vec<Schema>,
}

/// The operations of a tag.
struct Group {
    name: String,
    words: Text,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    words: Text,
    keyed: bool,
    parameters: Vec<Member>,
    body: Option<Schema>,
    answers: Vec<Answer>,
}

/// A parameter, a member of an object, or a header field.
struct Member {
    name: String,
    place: String,
    required: bool,
    kind: Kind,
    words: Text,
    /// Bounds, allowed values and the default, in words.
    rules: Text,
    example: Option<String>,
}

struct Answer {
    status: String,
    words: Text,
    kind: Kind,
}

struct Schema {
    name: String,
    words: Text,
    /// Schemas whose members it has too.
    includes: Vec<String>,
    members: Vec<Member>,
    /// What it is, when it is no object with members.
    kind: Kind,
    rules: Text,
}

/// Text in pieces: those between backticks are code.
type Text = Vec<Piece>;

struct Piece {
    code: bool,
    text: String,
}

/// A type in pieces: those that name a schema lead to it.
type Kind = Vec<Word>;

struct Word {
    text: String,
    schema: bool,
}

impl Page {
    fn of(document: &Value) -> Self {
        let at = |pointer: &str| document.pointer(pointer).unwrap_or(&Value::Null);
        let operations: Vec<_> = members(at("/paths"))
            .flat_map(|(path, item)| {
                METHODS.into_iter().filter_map(move |method| Some((path, method, item.get(method)?)))
            })
            .collect();
        let schemas = at("/components/schemas").to_string();
        let bodies: Vec<_> = operations
            .iter()
            .filter_map(|(_, _, operation)| reference(body_schema(operation)?))
            .filter(|name| !schemas.contains(&format!("\"#/components/schemas/{name}\"")))
            .collect();
        let groups = items(at("/tags")).map(|tag| Group {
            name: string(tag, "name"),
            words: text(tag, "description"),
            operations: operations
                .iter()
                .filter(|(_, _, operation)| items(get(operation, "tags")).next() == tag.get("name"))
                .map(|(path, method, operation)| Operation::of(document, path, method, operation))
                .collect(),
        });
        Self {
            title: string(at("/info"), "title"),
            version: string(at("/info"), "version"),
            description: text(at("/info"), "description"),
            base: at("/servers/0/url").as_str().unwrap_or(LOCAL).to_owned(),
            groups: groups.collect(),
            headers: members(at("/components/headers"))
                .map(|(name, header)| Member::of(name, "", false, header))
                .collect(),
            // A body stands beside its operation, unless it is a part of another one too.
            schemas: members(at("/components/schemas"))
                .filter(|(name, _)| !bodies.contains(name))
                .map(|(name, schema)| Schema::of(name, schema))
                .collect(),
        }
    }
}

impl Operation {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let parameters = items(get(operation, "parameters")).map(|parameter| {
            let required = get(parameter, "required").as_bool().unwrap_or(false);
            Member::of(&string(parameter, "name"), &string(parameter, "in"), required, parameter)
        });
        let body = body_schema(operation).map(|schema| {
            let name = reference(schema).unwrap_or_default();
            let named = get(get(get(document, "components"), "schemas"), name);
            Schema::of(name, if named.is_null() { schema } else { named })
        });
        let answers = members(get(operation, "responses")).map(|(status, answer)| {
            let content = members(get(answer, "content")).next();
            Answer {
                status: if status == "default" { "other".to_owned() } else { status.to_owned() },
                words: text(answer, "description"),
                kind: content.map(|(_, content)| kind(get(content, "schema"))).unwrap_or_default(),
            }
        });
        Self {
            id: string(operation, "operationId"),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: string(operation, "summary"),
            words: text(operation, "description"),
            keyed: items(get(operation, "security")).next().is_some(),
            parameters: parameters.collect(),
            body,
            answers: answers.collect(),
        }
    }
}

impl Member {
    /// Of a parameter or header field, which has a schema; or of a schema itself.
    fn of(name: &str, place: &str, required: bool, owner: &Value) -> Self {
        let schema = owner.get("schema").unwrap_or(owner);
        let example =
            owner.get("example").or_else(|| schema.get("example")).or_else(|| items(get(schema, "examples")).next());
        Self {
            name: name.to_owned(),
            place: place.to_owned(),
            required,
            kind: kind(schema),
            words: text(owner, "description"),
            rules: rules(schema),
            example: example.map(plain),
        }
    }
}

impl Schema {
    fn of(name: &str, schema: &Value) -> Self {
        let mut made = Self {
            name: name.to_owned(),
            words: text(schema, "description"),
            includes: Vec::new(),
            members: Vec::new(),
            kind: Vec::new(),
            rules: rules(schema),
        };
        made.take(schema);
        for part in items(get(schema, "allOf")) {
            match reference(part) {
                Some(name) => made.includes.push(name.to_owned()),
                None => made.take(part),
            }
        }
        if made.members.is_empty() && made.includes.is_empty() {
            made.kind = kind(schema);
        }
        // What must be given comes first.
        made.members.sort_by_key(|member| !member.required);
        made
    }

    fn take(&mut self, schema: &Value) {
        for (name, property) in members(get(schema, "properties")) {
            let required = items(get(schema, "required")).any(|known| known == name);
            self.members.push(Member::of(name, "", required, property));
        }
    }
}

fn get<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value, name: &str) -> String {
    get(value, name).as_str().unwrap_or_default().to_owned()
}

fn text(value: &Value, name: &str) -> Text {
    pieces(get(value, name).as_str().unwrap_or_default())
}

fn pieces(text: &str) -> Text {
    let split = text.split('`').enumerate().filter(|(_, text)| !text.is_empty());
    split.map(|(index, text)| Piece { code: index % 2 == 1, text: text.to_owned() }).collect()
}

/// The name of the schema that is referred to.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/components/schemas/")
}

fn body_schema(operation: &Value) -> Option<&Value> {
    members(get(get(operation, "requestBody"), "content")).next()?.1.get("schema")
}

/// A value as a reader would type it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn kind(schema: &Value) -> Kind {
    let word = |text: &str| Word { text: text.to_owned(), schema: false };
    if let Some(name) = reference(schema) {
        return vec![Word { text: name.to_owned(), schema: true }];
    }
    let types: Vec<_> = match get(schema, "type") {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    };
    let mut made = Vec::new();
    for (index, name) in types.iter().enumerate() {
        if index > 0 {
            made.push(word(" or "));
        }
        made.push(word(name));
        let of = if *name == "array" { schema.get("items") } else { None };
        if let Some(inner) =
            of.or_else(|| schema.get("additionalProperties").filter(|inner| *name == "object" && inner.is_object()))
        {
            made.push(word(" of "));
            made.extend(kind(inner));
        }
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        made.push(word(&format!(" ({format})")));
    }
    made
}

/// Bounds, allowed values and the default, in words.
fn rules(schema: &Value) -> Text {
    let mut rules = Vec::new();
    let values: Vec<_> = items(get(schema, "enum")).map(|value| format!("`{}`", plain(value))).collect();
    if !values.is_empty() {
        rules.push(format!("One of {}.", values.join(", ")));
    }
    for (least, most, unit) in
        [("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")]
    {
        match (schema.get(least), schema.get(most)) {
            (Some(least), Some(most)) if least == most => rules.push(format!("Exactly {least}{unit}.")),
            (Some(least), Some(most)) => rules.push(format!("{least} to {most}{unit}.")),
            (None, Some(most)) => rules.push(format!("At most {most}{unit}.")),
            // That a count is not negative goes without saying.
            (Some(least), None) if least.as_i64() != Some(0) => rules.push(format!("At least {least}{unit}.")),
            _ => {}
        }
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        rules.push(format!("Matches `{pattern}`."));
    }
    if let Some(default) = schema.get("default") {
        rules.push(format!("`{}` when left out.", plain(default)));
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        rules.push("Other members are refused.".to_owned());
    }
    pieces(&rules.join(" "))
}
