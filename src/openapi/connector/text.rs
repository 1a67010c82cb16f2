//! A connector's JSON as Microsoft's coding standard wants it: four spaces, members in its order; and fields in the order of
//! the wording, which is the order in which a designer shows them. It must not know what a member says.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

use super::words::Wording;

/// The order at the top: the coding standard's.
const TOP: [&str; 14] = [
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
];
/// The order of all other members, as in its examples. What is not named comes last, by the alphabet.
const ORDER: [&str; 57] = [
    // A path, an operation.
    "x-ms-notification-content",
    "get",
    "post",
    "delete",
    "title",
    "name",
    "in",
    "summary",
    "x-ms-summary",
    "description",
    "version",
    "contact",
    "license",
    "operationId",
    "x-ms-visibility",
    "x-ms-trigger",
    "x-ms-trigger-hint",
    "tags",
    "security",
    "parameters",
    "responses",
    "schema",
    "headers",
    // A field.
    "required",
    "type",
    "format",
    "enum",
    "x-ms-enum-values",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
    "items",
    "properties",
    "additionalProperties",
    "x-ms-notification-url",
    "x-ms-url-encoding",
    "x-ms-dynamic-values",
    "x-ms-dynamic-list",
    "example",
    // Extensions and the properties of a connector.
    "value",
    "displayName",
    "tooltip",
    "constraints",
    "propertyName",
    "propertyValue",
    "connectionParameters",
    "iconBrandColor",
    "capabilities",
    "policyTemplateInstances",
    "publisher",
    "stackOwner",
    "uiDefinition",
];

/// The text of a definition or of properties, a newline at its end. The same value is always the same text.
pub(super) fn write(value: &Value, wording: &Wording) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    // Writing a Value to a Vec cannot fail, and serde_json writes UTF-8.
    let written = Ordered { value, wording, place: Place::Top, schema: None }.serialize(&mut serializer);
    drop(written);
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The whole.
    Top,
    /// Members have a meaning.
    Anywhere,
    /// Members are schemas' names.
    Definitions,
    /// Members are paths, statuses or header fields: by the alphabet.
    Names,
    /// Members are fields' names.
    Fields,
}

struct Ordered<'v> {
    value: &'v Value,
    wording: &'v Wording,
    place: Place,
    /// The schema that the value belongs to.
    schema: Option<&'v str>,
}

impl<'v> Ordered<'v> {
    fn rank(&self, name: &str) -> usize {
        let schema = self.schema.and_then(|schema| self.wording.schemas.iter().find(|known| known.name == schema));
        let position = match self.place {
            Place::Top => TOP.iter().position(|known| *known == name),
            Place::Anywhere => ORDER.iter().position(|known| *known == name),
            Place::Fields => schema.and_then(|schema| schema.fields.iter().position(|field| field.name == name)),
            Place::Definitions => self.wording.schemas.iter().position(|schema| schema.name == name),
            Place::Names => None,
        };
        position.unwrap_or(usize::MAX)
    }

    fn below(&self, name: &'v str, value: &'v Value) -> Self {
        let place = match (self.place, name) {
            (Place::Top, "definitions") => Place::Definitions,
            (Place::Top, "paths") | (Place::Anywhere, "headers" | "connectionParameters") => Place::Names,
            (Place::Anywhere, "responses") if value.is_object() => Place::Names,
            // A schema's members, and not the one object of that name at the top of apiProperties.json.
            (Place::Anywhere, "properties") if self.schema.is_some() => Place::Fields,
            _ => Place::Anywhere,
        };
        let schema = if self.place == Place::Definitions { Some(name) } else { self.schema };
        Self { value, wording: self.wording, place, schema }
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|one, other| (self.rank(one.0), one.0).cmp(&(self.rank(other.0), other.0)));
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (name, value) in sorted {
                    map.serialize_entry(name, &self.below(name, value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for value in items {
                    sequence.serialize_element(&Self { value, ..*self })?;
                }
                sequence.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
