//! Schemas of a connector: flat, without null, every field with its title. What an answer composes of parts becomes one
//! object, because a designer shows nothing of `allOf`. It must not know operations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::words::{Field, Role, Schema, Wording};
use crate::openapi::walk::{ConversionError, Converted, Node, Object};

/// Keywords of values that are carried as they are.
const SAME: [&str; 12] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
/// Formats that the platform knows and that help a maker.
const FORMATS: [&str; 7] = ["int32", "int64", "float", "double", "date", "date-time", "uri"];
/// A reference that leads to itself is found at this depth.
const DEPTH: usize = 16;

/// The schemas of the document, and those that are used.
pub(super) struct Schemas<'v> {
    pub(super) wording: &'static Wording,
    known: BTreeMap<&'v str, Node<'v>>,
    used: BTreeSet<&'v str>,
    /// Those that are one with others, which are named behind them.
    united: BTreeMap<&'v str, &'static [&'static str]>,
}

/// An object's fields, gathered from all its parts.
#[derive(Default)]
struct Gathered<'v> {
    fields: Vec<(&'v str, Node<'v>)>,
    required: BTreeSet<&'v str>,
    rest: Option<Node<'v>>,
}

impl<'v> Schemas<'v> {
    /// Over the document's `definitions`.
    pub(super) fn new(definitions: &Node<'v>, wording: &'static Wording) -> Converted<Self> {
        Ok(Self {
            wording,
            known: definitions.entries()?.into_iter().collect(),
            used: BTreeSet::new(),
            united: BTreeMap::new(),
        })
    }

    /// The schema of a body or an answer: a reference, or an array of them.
    pub(super) fn whole(&mut self, node: &Node<'v>) -> Converted {
        let mut object = node.object()?;
        if let Some(reference) = object.take("$ref") {
            object.closed()?;
            let name = self.name(&reference)?;
            self.used.insert(name);
            return Ok(json!({ "$ref": format!("#/definitions/{name}") }));
        }
        match object.need("type")? {
            kind if kind.text()? == "array" => object.put("type", "array"),
            kind => return Err(kind.fault("a body or an answer must be a named schema, or an array of one")),
        }
        let items = object.need("items")?;
        object.put("items", self.whole(&items)?);
        object.closed()
    }

    /// Notes schemas that nothing in the document refers to: what is posted to a callback. Of several one is made, which has the
    /// fields of all, under the name of the first.
    pub(super) fn posted(&mut self, names: &'static [&'static str], at: &Node<'v>) -> Converted {
        let unknown = names.iter().find(|name| !self.known.contains_key(**name));
        let (None, Some((name, others))) = (unknown, names.split_first()) else {
            return Err(at.fault(format!("{} is no schema of the document", unknown.unwrap_or(&"nothing"))));
        };
        self.used.insert(name);
        self.united.insert(name, others);
        Ok(json!({ "$ref": format!("#/definitions/{name}") }))
    }

    /// The definitions of everything that was used.
    pub(super) fn definitions(mut self) -> Converted<Map<String, Value>> {
        let mut made = Map::new();
        while let Some(name) = self.used.iter().find(|name| !made.contains_key(**name)).copied() {
            let node = self.target(name, None)?;
            let words = self.words(name, &node)?;
            let mut one = self.object(&node, words)?;
            for other in self.united.get(name).copied().unwrap_or_default() {
                let node = self.target(other, None)?;
                let words = self.words(other, &node)?;
                unite(&mut one, &self.object(&node, words)?, &node)?;
            }
            made.insert(name.to_owned(), one);
        }
        Ok(made)
    }

    fn name(&self, reference: &Node<'v>) -> Converted<&'v str> {
        let name = reference.text()?.strip_prefix("#/definitions/");
        name.ok_or_else(|| reference.fault("only a reference into #/definitions can be carried"))
    }

    fn target(&self, name: &str, from: Option<&Node<'v>>) -> Converted<Node<'v>> {
        let lost = || {
            let what = format!("{name} is no schema of the document");
            from.map_or_else(
                || ConversionError { pointer: "/definitions".to_owned(), what: what.clone() },
                |at| at.fault(what.clone()),
            )
        };
        self.known.get(name).cloned().ok_or_else(lost)
    }

    fn words(&self, name: &str, at: &Node<'v>) -> Converted<&'static Schema> {
        let words = self.wording.schemas.iter().find(|words| words.name == name);
        words.ok_or_else(|| at.fault(format!("the schema {name} has no wording")))
    }

    /// An object with all its parts in it.
    fn object(&mut self, node: &Node<'v>, words: &'static Schema) -> Converted {
        let mut gathered = Gathered::default();
        self.gather(node, &mut gathered, 0)?;
        let mut properties = Map::new();
        for (name, property) in &gathered.fields {
            let field = words.fields.iter().find(|field| field.source == *name);
            let field = field.ok_or_else(|| property.fault(format!("{}/{name} has no wording", words.name)))?;
            properties.insert(field.name.to_owned(), self.property(property, field, gathered.required.contains(name))?);
        }
        let mut made = json!({ "type": "object", "title": words.title, "properties": properties });
        let required: Vec<_> = words
            .fields
            .iter()
            .filter(|field| gathered.required.contains(field.source))
            .map(|field| field.name)
            .collect();
        if let (Some(members), false) = (made.as_object_mut(), required.is_empty()) {
            members.insert("required".to_owned(), json!(required));
        }
        if let (Some(members), Some(rest)) = (made.as_object_mut(), &gathered.rest) {
            members.insert("additionalProperties".to_owned(), rest.truth()?.into());
        }
        Ok(made)
    }

    fn gather(&self, node: &Node<'v>, into: &mut Gathered<'v>, depth: usize) -> Converted<()> {
        if depth > DEPTH {
            return Err(node.fault("is nested too deeply to become one object"));
        }
        let mut object = node.object()?;
        if let Some(reference) = object.take("$ref") {
            object.closed()?;
            let target = self.target(self.name(&reference)?, Some(&reference))?;
            return self.gather(&target, into, depth + 1);
        }
        // The wording has better words for both.
        drop((object.take("description"), object.take("title")));
        if let Some(parts) = object.take("allOf") {
            for part in parts.items()? {
                self.gather(&part, into, depth + 1)?;
            }
        }
        if let Some(kind) = object.take("type").filter(|kind| kind.value != "object") {
            return Err(kind.fault("only an object can be a schema of its own"));
        }
        if let Some(properties) = object.take("properties") {
            for (name, property) in properties.entries()? {
                if into.fields.iter().any(|(known, _)| *known == name) {
                    return Err(property.fault("two parts of one object have this field"));
                }
                into.fields.push((name, property));
            }
        }
        if let Some(required) = object.take("required") {
            for name in required.items()? {
                into.required.insert(name.text()?);
            }
        }
        if let Some(rest) = object.take("additionalProperties") {
            rest.truth()?;
            into.rest = Some(rest);
        }
        object.closed().map(drop)
    }

    /// A field of an object.
    fn property(&mut self, node: &Node<'v>, field: &'static Field, required: bool) -> Converted {
        let mut property = node.object()?;
        drop(property.take("description"));
        if let Some(parts) = property.take("allOf") {
            property.closed()?;
            let items = parts.items()?;
            let [part] = items.as_slice() else { return Err(parts.fault("only one schema can be put in here")) };
            return self.nested(part, field);
        }
        if property.has("$ref") {
            return self.nested(node, field);
        }
        if let Some(null) = property.take("x-nullable")
            && null.truth()?
        {
            if self.wording.answers_null {
                property.put("x-nullable", true);
            } else if required {
                return Err(null.fault("a field that is always there cannot be null"));
            }
        }
        property.keep(&["example"]);
        let kind = value(&mut property)?;
        match kind {
            "object" => {
                let rest = property.need("additionalProperties")?;
                let mut inner = rest.object()?;
                let inner_kind = value(&mut inner)?;
                if !matches!(inner_kind, "string" | "integer" | "number" | "boolean") {
                    return Err(rest.fault("only plain values can be carried here"));
                }
                property.put("additionalProperties", inner.closed()?);
            }
            "array" => {
                let items = property.need("items")?;
                let made = if items.value.get("$ref").is_some() {
                    self.whole(&items)?
                } else {
                    let mut inner = items.object()?;
                    drop(inner.take("description"));
                    let inner_kind = value(&mut inner)?;
                    if matches!(inner_kind, "object" | "array") {
                        return Err(items.fault("only plain values and named schemas can be carried here"));
                    }
                    if let Role::Choice { .. } = field.role {
                        role(&mut inner, field, self.wording, &items)?;
                    }
                    inner.closed()?
                };
                property.put("items", made);
            }
            _ => role(&mut property, field, self.wording, node)?,
        }
        titles(&mut property, field);
        property.closed()
    }

    fn nested(&mut self, node: &Node<'v>, field: &'static Field) -> Converted {
        let reference = node.object()?.need("$ref")?;
        let name = self.name(&reference)?;
        let words = self.words(name, node)?;
        let mut made = self.object(&self.target(name, Some(&reference))?, words)?;
        if let Some(members) = made.as_object_mut() {
            members.remove("title");
            members.insert("x-ms-summary".to_owned(), field.title.into());
            members.insert("description".to_owned(), field.description.into());
            if let Some(word) = field.visibility.word() {
                members.insert("x-ms-visibility".to_owned(), word.into());
            }
        }
        Ok(made)
    }
}

/// Puts the fields of `other` into `one`. Of a field in both the first one's words hold, and its values are those of both;
/// only what is always there in both is required.
fn unite(one: &mut Value, other: &Value, at: &Node<'_>) -> Converted<()> {
    let needed = other.get("required").and_then(Value::as_array);
    if let Some(required) = one.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| needed.is_some_and(|needed| needed.contains(name)));
    }
    let known = one.get_mut("properties").and_then(Value::as_object_mut);
    let Some((known, more)) = known.zip(other.get("properties").and_then(Value::as_object)) else {
        return Err(at.fault("only objects can be one"));
    };
    for (name, field) in more {
        let Some(kept) = known.get_mut(name) else {
            known.insert(name.clone(), field.clone());
            continue;
        };
        if ["type", "format"].iter().any(|what| kept.get(what) != field.get(what)) {
            return Err(at.fault(format!("{name} is of another kind in what it is one with")));
        }
        for values in ["enum", "x-ms-enum-values"] {
            let kept = kept.get_mut(values).and_then(Value::as_array_mut);
            if let (Some(kept), Some(more)) = (kept, field.get(values).and_then(Value::as_array)) {
                kept.extend(more.iter().cloned());
            }
        }
    }
    Ok(())
}

/// The type and bounds of a value.
pub(super) fn value<'v>(object: &mut Object<'v>) -> Converted<&'v str> {
    let kind = object.need("type")?;
    let name = kind.text()?;
    if !matches!(name, "string" | "integer" | "number" | "boolean" | "array" | "object") {
        return Err(kind.fault(format!("the type {name} cannot be carried")));
    }
    object.put("type", name);
    if let Some(format) = object.take("format") {
        match format.text()? {
            known if FORMATS.contains(&known) => object.put("format", known),
            // An id is a text: tools differ on what a UUID may look like.
            "uuid" => {}
            other => return Err(format.fault(format!("the format {other} cannot be carried"))),
        }
    }
    object.keep(&SAME);
    object.keep(&["enum", "default"]);
    // The wording gives examples where they help.
    drop(object.take("x-example"));
    Ok(name)
}

/// Title, words and visibility of a field or parameter.
pub(super) fn titles(object: &mut Object<'_>, field: &Field) {
    object.put("x-ms-summary", field.title);
    object.put("description", field.description);
    if let Some(word) = field.visibility.word() {
        object.put("x-ms-visibility", word);
    }
}

/// What a field or parameter is beside its type.
pub(super) fn role(object: &mut Object<'_>, field: &Field, wording: &Wording, at: &Node<'_>) -> Converted<()> {
    match field.role {
        Role::Plain => {
            if object.made("enum").is_some() {
                return Err(at.fault(format!("the words of {} have no labels", field.name)));
            }
        }
        Role::Choice { labels, default } => {
            let values: Vec<_> = labels.iter().map(|(value, _)| *value).collect();
            if object.made("enum").is_some_and(|known| *known != json!(values)) {
                return Err(at.fault(format!("the words of {} are not those that have labels", field.name)));
            }
            let labels: Vec<_> =
                labels.iter().map(|(value, label)| json!({ "value": value, "displayName": label })).collect();
            object.put("enum", json!(values));
            object.put("x-ms-enum-values", labels);
            if let Some(default) = default {
                object.put("default", default);
            }
        }
        Role::Application => {
            let (operation, id, name) =
                wording.applications.ok_or_else(|| at.fault("no operation lists applications"))?;
            object
                .put("x-ms-dynamic-values", json!({ "operationId": operation, "value-path": id, "value-title": name }));
            object.put(
                "x-ms-dynamic-list",
                json!({ "operationId": operation, "itemValuePath": id, "itemTitlePath": name }),
            );
        }
        Role::Callback => object.put("x-ms-notification-url", true),
    }
    Ok(())
}
