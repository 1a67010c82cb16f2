//! The connector of Power Platform and Logic Apps: its definition, properties, icon and README.
//!
//! ```text
//! swagger2 (all operations) + wording (one typed table) -> definition (Swagger 2.0 with x-ms-*) -> package (the files)
//! ```
//!
//! The definition is a pure function over a closed subset, as the steps before it: what it cannot carry is an error with a
//! JSON pointer. The rules that it follows are Microsoft's coding standards and validator rules for connectors
//! (learn.microsoft.com/connectors/custom-connectors); `openapi::lint` holds it to them. Nothing here knows a handler.

mod definition;
mod icon;
mod operation;
mod place;
mod properties;
mod readme;
mod schema;
mod text;
mod wording;
mod words;

use serde_json::Value;

use crate::openapi::walk::{ConversionError, Converted};
use crate::openapi::{Format, document};

pub use icon::{BRAND_COLOR, icon};
pub use place::{Place, PlaceError, Publisher, PublisherError};
pub use words::{Awaited, Field, Operation, Role, Schema, Trigger, Visibility, Wording};

/// Which connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// The connector itself, on `/v1`.
    Native,
    /// The one on `/2fa/v1` that flows made for tyntec 2FA move to.
    Compatible,
}

impl Edition {
    /// Its words.
    #[must_use]
    pub const fn wording(self) -> &'static Wording {
        match self {
            Self::Native => &wording::NATIVE,
            Self::Compatible => &wording::COMPATIBLE,
        }
    }
}

/// A connector's four files, by their names.
#[derive(Clone, Debug)]
pub struct Package {
    /// The files.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// The definition of an edition that is reached at `place`.
///
/// # Errors
/// When a handler says what a connector cannot carry, or something that is exported has no words. A test holds that
/// neither happens.
pub fn definition(edition: Edition, place: &Place, publisher: &Publisher) -> Converted {
    definition::make(&document(Format::V20, None)?, edition.wording(), place, publisher)
}

/// The definition as text: four spaces, in the order of Microsoft's coding standard, fields in the order of the wording.
#[must_use]
pub fn definition_text(edition: Edition, definition: &Value) -> String {
    text::write(definition, edition.wording())
}

/// All files of the connector.
///
/// # Errors
/// As [`definition`]; or when the icon cannot be written.
pub fn package(edition: Edition, place: &Place, publisher: &Publisher) -> Converted<Package> {
    let definition = definition(edition, place, publisher)?;
    let icon = icon().map_err(|what| ConversionError { pointer: String::new(), what })?;
    let properties = properties::make(publisher, edition);
    Ok(Package {
        files: vec![
            ("apiDefinition.swagger.json", definition_text(edition, &definition).into_bytes()),
            ("apiProperties.json", text::write(&properties, edition.wording()).into_bytes()),
            ("icon.png", icon),
            ("README.md", readme::write(edition, &definition, place, publisher).into_bytes()),
        ],
    })
}
