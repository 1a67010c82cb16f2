//! Schemas in Swagger 2.0: those of bodies, and the flat ones of parameters and header fields. It must not know where
//! they are used.

use serde_json::{Value, json};

use crate::openapi::walk::{Converted, Node, Object};

/// Keywords that say the same in both, in bodies, parameters and header fields.
const SAME: [&str; 15] = [
    "type",
    "format",
    "enum",
    "default",
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
    "uniqueItems",
];
/// More of them, in bodies.
const SAME_IN_BODIES: [&str; 7] =
    ["title", "description", "example", "required", "readOnly", "minProperties", "maxProperties"];

/// A schema in a body.
pub(super) fn schema(node: &Node<'_>) -> Converted {
    let mut schema = node.object()?;
    if let Some(reference) = schema.take("$ref") {
        schema.finish()?;
        let name = reference.text()?.strip_prefix("#/components/schemas/");
        let name = name.ok_or_else(|| reference.fault("only a reference into #/components/schemas can be carried"))?;
        return Ok(json!({ "$ref": format!("#/definitions/{name}") }));
    }
    schema.keep(&SAME);
    schema.keep(&SAME_IN_BODIES);
    nullable(&mut schema)?;
    for name in ["deprecated", "writeOnly"] {
        schema.drop_if(name, &Value::Bool(false))?;
    }
    schema.convert("properties", |properties| properties.each_member(self::schema))?;
    schema.convert("additionalProperties", |rest| match rest.value {
        Value::Bool(allowed) => Ok(Value::Bool(*allowed)),
        _ => self::schema(rest),
    })?;
    schema.convert("items", self::schema)?;
    schema.convert("allOf", |parts| parts.each_item(self::schema))?;
    schema.finish()
}

/// A schema that a parameter or header field takes into itself: a text, a number, a truth, or an array of them.
pub(super) fn flat(node: &Node<'_>) -> Converted {
    let mut schema = node.object()?;
    if let Some(kind) = schema.take("type") {
        if kind.text()? == "object" {
            return Err(kind.fault("an object outside of a body cannot be carried"));
        }
        schema.put("type", kind.value.clone());
    } else {
        return Err(schema.fault("a parameter or header field without a type cannot be carried"));
    }
    schema.keep(&SAME);
    schema.keep(&["description"]);
    if let Some(example) = schema.take("example") {
        schema.put("x-example", example.value.clone());
    }
    nullable(&mut schema)?;
    schema.convert("items", |items| match items.value.get("description") {
        Some(_) => Err(items.fault("a description of the items of a parameter or header field cannot be carried")),
        None => flat(items),
    })?;
    schema.finish()
}

/// 2.0 has no null; the extension that tools read is `x-nullable`.
fn nullable(schema: &mut Object<'_>) -> Converted<()> {
    if let Some(node) = schema.take("nullable")
        && node.truth()?
    {
        schema.put("x-nullable", true);
    }
    Ok(())
}
