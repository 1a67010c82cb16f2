//! Schemas of bodies, answers and definitions. It must not know operations.

use std::collections::BTreeSet;

use super::document::members;
use super::spot::{Spot, type_of};
use super::{Report, Rule, references, values, words};

/// Members of a schema (Swagger 2.0 and Microsoft's schema).
const SCHEMA: [&str; 45] = [
    "$ref",
    "format",
    "title",
    "description",
    "default",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "enum",
    "additionalProperties",
    "type",
    "items",
    "allOf",
    "properties",
    "discriminator",
    "readOnly",
    "xml",
    "externalDocs",
    "example",
    "x-ms-dynamic-list",
    "x-ms-dynamic-values",
    "x-ms-dynamic-schema",
    "x-ms-dynamic-properties",
    "x-ms-dynamic-tree",
    "x-ms-enum",
    "x-ms-enum-values",
    "x-ms-localizeDefaultValue",
    "x-ms-notification-url",
    "x-ms-summary",
    "x-ms-test-value",
    "x-ms-visibility",
    "x-ms-editor",
    "x-ms-capabilities",
    "x-ms-media-kind",
];

/// Where a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The top of a body.
    Body,
    /// The top of an answer.
    Answer,
    /// A definition, which may be used anywhere.
    Definition,
    /// Within another one.
    Inner,
}

/// Checks a schema and everything that is written in it.
pub(super) fn check(root: &Spot<'_>, schema: &Spot<'_>, position: Position, report: &mut Report) {
    if !schema.value.is_object() {
        let found = type_of(schema.value);
        report.add(Rule::JsonTypeIncorrect, schema, format!("must be of the type object, and is of the type {found}"));
        return;
    }
    if references::check(root, schema, &references::SCHEMAS, report) {
        return;
    }
    members(schema, &SCHEMA, report);
    values::check(schema, report);
    kinds(schema, position, report);
    object(root, schema, report);
    for (name, property) in schema.at("properties").members() {
        check(root, &property, Position::Inner, report);
        if property.value.is_object() && !property.has("$ref") {
            words::field(&property, report);
            let required = schema.at("required").items().iter().any(|known| known.value == name);
            let unsent = property.text("x-ms-visibility") == Some("internal") && property.has("default") && !required;
            report.when(
                unsent,
                Rule::InternalPropertyWithDefaultOptional,
                &property,
                "is internal and has a default, but only required properties are sent; add it to required",
            );
        }
    }
    for name in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(name).filter(|part| part.value.is_object()) {
            check(root, &part, Position::Inner, report);
        }
    }
    for part in schema.at("allOf").items() {
        check(root, &part, Position::Inner, report);
    }
}

fn kinds(schema: &Spot<'_>, position: Position, report: &mut Report) {
    let kind = schema.text("type");
    let binary = kind == Some("string") && schema.text("format") == Some("binary");
    report.when(
        binary && position == Position::Inner,
        Rule::InvalidStringBinaryProperty,
        schema,
        "string/binary can only be the top of a body or of formData",
    );
    let misplaced = kind == Some("file") && !matches!(position, Position::Answer | Position::Definition);
    report.when(
        misplaced,
        Rule::SchemaTypeFileNotValid,
        schema,
        "only formData and the top of an answer can be of the type file",
    );
    if schema.text("x-ms-editor") == Some("dictionary") {
        let open = schema.get("additionalProperties").is_some_and(|rest| rest.value != false);
        let what = "dictionary is for an object that allows additional properties";
        report.when(
            kind != Some("object") || !open,
            Rule::InvalidCustomEditorExtensionDictionaryValue,
            &schema.at("x-ms-editor"),
            what,
        );
    }
}

/// What an object must have.
fn object(root: &Spot<'_>, schema: &Spot<'_>, report: &mut Report) {
    let required = schema.at("required");
    if schema.has("required") {
        let names = required.items();
        report.when(
            required.value.is_array() && names.is_empty(),
            Rule::RequiredPropertyArrayEmpty,
            &required,
            "must hold a name, or be left out",
        );
        let kind = schema.text("type");
        let plain = kind.is_some_and(|kind| kind != "object");
        report.when(plain, Rule::RequiredPropertyNotOnObject, &required, "is for objects only");
        // Parts of an allOf may require what another part defines.
        let composed = schema.has("allOf");
        for name in names.iter().filter(|_| !plain && !composed) {
            let known = name.value.as_str().is_some_and(|name| schema.at("properties").has(name));
            report.when(!known, Rule::RequiredPropertyDefinitionMissing, name, "is not in properties");
        }
        values::unique(&required, report);
    }
    if let Some(discriminator) = schema.get("discriminator") {
        let name = discriminator.value.as_str().unwrap_or_default();
        let needed = required.items().iter().any(|known| known.value == name);
        let text = schema.at("properties").at(name).text("type") == Some("string");
        report.when(
            !needed || !text,
            Rule::DiscriminatorMustBeARequiredStringProperty,
            &discriminator,
            "must name a required property of the type string",
        );
    }
    if schema.pointer.starts_with("/definitions/") && schema.pointer.matches('/').count() == 2 {
        let mut open = BTreeSet::new();
        let endless = requires_itself(root, schema, &schema.pointer, &mut open);
        report.when(endless, Rule::RequiredLoopInSchemaNotAllowed, schema, "requires itself, so no value can end");
    }
}

/// Whether required properties lead back to where they began.
fn requires_itself(root: &Spot<'_>, schema: &Spot<'_>, start: &str, open: &mut BTreeSet<String>) -> bool {
    let required = schema.at("required").items();
    let needed = required.iter().filter_map(|name| schema.at("properties").get(name.value.as_str()?));
    for part in needed.chain(schema.at("allOf").items()) {
        let Some(target) = part.resolved(root) else { continue };
        if target.pointer == start {
            return true;
        }
        if open.insert(target.pointer.clone()) && requires_itself(root, &target, start, open) {
            return true;
        }
    }
    false
}
