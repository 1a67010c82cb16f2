//! The documents are output: OpenAPI 3.1 from the handlers, 3.0 and Swagger 2.0 from it, and the reference page.
//!
//! ```text
//! surface (utoipa on the handlers) -> collect (3.1) -> v3 (3.0.3, held by openapiv3) -> swagger2 (2.0)
//!                                                  \-> page (/docs)     \-> connector -> lint
//! ```
//!
//! Each step is a pure function over a closed subset: what it cannot carry is an error with a JSON pointer, never a loss.
//! Nothing here knows a handler, or what a one-time password is.

mod collect;
pub mod connector;
pub mod lint;
mod page;
mod swagger2;
mod v3;
mod walk;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

pub use collect::{Surface, collect, surfaces};
pub use page::page;
pub use swagger2::to_swagger2;
pub use v3::to_v3;
pub use walk::{ConversionError, Converted};

/// The order of a document's own members, in every format; what is not named follows by the alphabet.
const ORDER: [&str; 16] = [
    "openapi",
    "swagger",
    "info",
    "host",
    "basePath",
    "schemes",
    "servers",
    "consumes",
    "produces",
    "tags",
    "paths",
    "components",
    "definitions",
    "parameters",
    "securityDefinitions",
    "security",
];

/// A format of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAPI 3.1: the source of the others.
    V31,
    /// OpenAPI 3.0.3.
    V30,
    /// Swagger 2.0: what Power Platform imports.
    V20,
}

/// The document in a format. `public_url` is where the gateway is reached; without it the document names no server.
///
/// # Errors
/// When the handlers say something that the format cannot carry, or contradict each other; or when `public_url` is no
/// absolute http or https address. A test holds that only the last can happen.
pub fn document(format: Format, public_url: Option<&str>) -> Converted {
    let collected = collect(surfaces(), public_url)?;
    match format {
        Format::V31 => Ok(collected),
        Format::V30 => to_v3(&collected),
        Format::V20 => to_swagger2(&to_v3(&collected)?),
    }
}

/// A document as text: indented, its own members in the usual order, a newline at its end. The same document is always
/// the same text.
#[must_use]
pub fn text(document: &Value) -> String {
    // Writing a Value to a String cannot fail: its keys are strings, and a String takes any length.
    serde_json::to_string_pretty(&Ordered(document)).unwrap_or_default() + "\n"
}

struct Ordered<'v>(&'v Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(members) = self.0.as_object() else { return self.0.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for name in ORDER {
            if let Some(value) = members.get(name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in members.iter().filter(|(name, _)| !ORDER.contains(&name.as_str())) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
