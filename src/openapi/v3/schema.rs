//! A schema of JSON Schema 2020-12, as OpenAPI 3.1 writes it, in the words of OpenAPI 3.0. It must not know operations.

use serde_json::{Value, json};

use crate::openapi::walk::{Converted, Node, Object};

/// Keywords that say the same in both.
const SAME: [&str; 21] = [
    "title",
    "description",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
    "readOnly",
    "writeOnly",
    "deprecated",
    "example",
];

/// A schema.
pub(super) fn schema(node: &Node<'_>) -> Converted {
    let mut schema = node.object()?;
    if node.entries()?.len() == 1
        && let Some(reference) = schema.take("$ref")
    {
        return Ok(json!({ "$ref": local(&reference)? }));
    }
    schema.keep(&SAME);
    type_of(&mut schema)?;
    examples(&mut schema)?;
    constant(&mut schema)?;
    exclusive(&mut schema, "exclusiveMinimum", "minimum")?;
    exclusive(&mut schema, "exclusiveMaximum", "maximum")?;
    // Names of members are strings anyway.
    schema.drop_if("propertyNames", &json!({ "type": "string" }))?;
    schema.convert("properties", |properties| properties.each_member(self::schema))?;
    schema.convert("additionalProperties", |rest| match rest.value {
        Value::Bool(allowed) => Ok(Value::Bool(*allowed)),
        _ => self::schema(rest),
    })?;
    schema.convert("items", self::schema)?;
    for combination in ["allOf", "oneOf", "anyOf"] {
        schema.convert(combination, |parts| parts.each_item(self::schema))?;
    }
    schema.convert("not", self::schema)?;
    beside_reference(&mut schema)?;
    schema.finish()
}

/// A reference within the document.
fn local<'v>(reference: &Node<'v>) -> Converted<&'v str> {
    let target = reference.text()?;
    if target.starts_with("#/components/") {
        Ok(target)
    } else {
        Err(reference.fault("only references into #/components can be carried"))
    }
}

/// What stands beside a `$ref` counts in 3.1 and is ignored in 3.0: there the reference moves into an `allOf`.
fn beside_reference(schema: &mut Object<'_>) -> Converted<()> {
    let Some(reference) = schema.take("$ref") else { return Ok(()) };
    if schema.made("allOf").is_some() {
        return Err(reference.fault("a $ref beside allOf cannot be carried"));
    }
    schema.put("allOf", json!([{ "$ref": local(&reference)? }]));
    Ok(())
}

/// One type, and perhaps null.
fn type_of(schema: &mut Object<'_>) -> Converted<()> {
    let Some(node) = schema.take("type") else { return Ok(()) };
    let names = match node.value {
        Value::Array(_) => node.items()?.iter().map(Node::text).collect::<Converted<Vec<_>>>()?,
        _ => vec![node.text()?],
    };
    let (null, real): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| *name == "null");
    let [name] = real.as_slice() else {
        return Err(node.fault("only one type, with or without null, can be carried"));
    };
    schema.put("type", *name);
    if !null.is_empty() {
        schema.put("nullable", true);
    }
    Ok(())
}

/// 3.0 has room for one example.
fn examples(schema: &mut Object<'_>) -> Converted<()> {
    let Some(node) = schema.take("examples") else { return Ok(()) };
    match node.items()?.as_slice() {
        [example] if schema.made("example").is_none() => {
            schema.put("example", example.value.clone());
            Ok(())
        }
        _ => Err(node.fault("only one example can be carried")),
    }
}

fn constant(schema: &mut Object<'_>) -> Converted<()> {
    let Some(node) = schema.take("const") else { return Ok(()) };
    if schema.made("enum").is_some() {
        return Err(node.fault("const beside enum cannot be carried"));
    }
    schema.put("enum", json!([node.value]));
    Ok(())
}

/// In 3.1 an exclusive bound is a number of its own, in 3.0 it is a property of the bound.
fn exclusive(schema: &mut Object<'_>, name: &str, bound: &str) -> Converted<()> {
    let Some(node) = schema.take(name) else { return Ok(()) };
    if !node.value.is_number() || schema.made(bound).is_some() {
        return Err(node.fault(format!("only a number, without {bound} beside it, can be carried")));
    }
    schema.put(bound, node.value.clone());
    schema.put(name, true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(value: &Value) -> Converted {
        schema(&Node::root(value))
    }

    #[test]
    fn openapi_v3_words_what_3_0_says_otherwise() {
        for (from, to) in [
            (json!({"type": ["string", "null"]}), json!({"type": "string", "nullable": true})),
            (json!({"type": ["integer"]}), json!({"type": "integer"})),
            (json!({"const": 7}), json!({"enum": [7]})),
            (json!({"type": "string", "examples": ["a"]}), json!({"type": "string", "example": "a"})),
            (json!({"exclusiveMinimum": 3}), json!({"minimum": 3, "exclusiveMinimum": true})),
            (
                json!({"$ref": "#/components/schemas/A", "description": "It."}),
                json!({"allOf": [{"$ref": "#/components/schemas/A"}], "description": "It."}),
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}, "propertyNames": {"type": "string"}}),
                json!({"type": "object", "additionalProperties": {"type": "string", "nullable": true}}),
            ),
        ] {
            assert_eq!(carried(&from), Ok(to), "{from}");
        }
    }

    #[test]
    fn openapi_v3_names_what_it_cannot_carry() {
        for (from, pointer) in [
            (json!({"type": ["string", "integer"]}), "/type"),
            (json!({"type": "null"}), "/type"),
            (json!({"oneOf": [{"type": "null"}, {"type": "string"}]}), "/oneOf/0/type"),
            (json!({"examples": ["a", "b"]}), "/examples"),
            (json!({"const": 1, "enum": [1]}), "/const"),
            (json!({"minimum": 1, "exclusiveMinimum": 1}), "/exclusiveMinimum"),
            (json!({"exclusiveMinimum": true}), "/exclusiveMinimum"),
            (json!({"properties": {"a/b": {"contentEncoding": "base64"}}}), "/properties/a~1b/contentEncoding"),
            (json!({"items": {"prefixItems": []}}), "/items/prefixItems"),
            (json!({"propertyNames": {"pattern": "^a"}}), "/propertyNames"),
            (json!({"$ref": "other.json#/A"}), "/$ref"),
            (json!({"$ref": "#/components/schemas/A", "allOf": []}), "/$ref"),
            (json!({"items": true}), "/items"),
        ] {
            assert_eq!(carried(&from).unwrap_err().pointer, pointer, "{from}");
        }
    }
}
