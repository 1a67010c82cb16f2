//! The places that a template may stand in, and how its values are escaped there: a component of an address, a header, a
//! form, a JSON string, an XML text, a plain text.
//!
//! What is fixed in a template is written as it stands (it was checked for its place); a value never ends the place it
//! stands in, whatever it holds.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::carrier::template::{Field, Hole, Name, Piece, Template};
use crate::carrier::values::Values;

/// Everything but what RFC 3986 section 2.3 calls unreserved.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a path or a query.
    Address,
    /// In a header field.
    Header,
    /// As a value of a form.
    Form,
    /// As a JSON string.
    Json,
    /// In an XML document.
    Xml,
    /// In a plain text, or somewhere that no document surrounds.
    Text,
}

/// A message that a carrier cannot be told, in words for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable(pub &'static str);

impl Place {
    /// Writes a template with its values. None where it is a lone placeholder without a value.
    ///
    /// # Errors
    /// [`Unwritable`] where the carrier does not know the message's language.
    pub fn write(self, template: &Template, values: &Values<'_>) -> Result<Option<Zeroizing<String>>, Unwritable> {
        if let Some(hole) = template.lone()
            && values.of(hole).is_none()
        {
            return if speaks(hole) { Err(NO_VOICE) } else { Ok(None) };
        }
        // One piece that never grows leaves no copy behind: a byte becomes six at most, as `&quot;`, three in an address.
        let mut room = 0;
        for piece in template.pieces() {
            room += match piece {
                Piece::Fixed(text) => text.len() * 3,
                Piece::Hole(hole) => values.of(hole).map_or(0, |value| value.len() * 18),
            };
        }
        let mut written = Zeroizing::new(String::with_capacity(room));
        for piece in template.pieces() {
            match piece {
                Piece::Fixed(text) => self.write_fixed(&mut written, text),
                Piece::Hole(hole) => match values.of(hole) {
                    Some(value) => self.write_value(&mut written, hole, value),
                    None if speaks(hole) => return Err(NO_VOICE),
                    None => {}
                },
            }
        }
        Ok(Some(written))
    }

    /// What is fixed is a document's own words everywhere but in a form, which is escaped as a whole.
    fn write_fixed(self, written: &mut String, text: &str) {
        match self {
            Self::Form => push_form(written, text),
            _ => written.push_str(text),
        }
    }

    fn write_value(self, written: &mut String, hole: &Hole, value: Zeroizing<String>) {
        let value = if hole.xml && self != Self::Xml { escape_xml(&value) } else { value };
        match self {
            Self::Address => written.extend(utf8_percent_encode(&value, COMPONENT)),
            Self::Form => push_form(written, &value),
            Self::Xml => written.push_str(&escape_xml(&value)),
            // JSON is escaped by who writes the string; a header takes only values that fit (see `fits_header`).
            Self::Header | Self::Json | Self::Text => written.push_str(&value),
        }
    }
}

const NO_VOICE: Unwritable = Unwritable("this carrier does not speak the message's language");

fn speaks(hole: &Hole) -> bool {
    hole.names.contains(&Name::Field(Field::Locale))
}

/// Whether a placeholder may stand in a header: its values are visible ASCII by their types.
#[must_use]
pub fn fits_header(hole: &Hole) -> bool {
    hole.names.iter().all(|name| !matches!(name, Name::Field(Field::Text)))
}

/// `application/x-www-form-urlencoded`: a space as `+`, and everything but the unreserved by its bytes.
pub fn push_form(written: &mut String, value: &str) {
    for (index, word) in value.split(' ').enumerate() {
        if index > 0 {
            written.push('+');
        }
        written.extend(utf8_percent_encode(word, COMPONENT));
    }
}

/// For the text and the attributes of an XML document. What XML 1.0 cannot hold at all is left out.
fn escape_xml(value: &str) -> Zeroizing<String> {
    let mut escaped = Zeroizing::new(String::with_capacity(value.len() * 6));
    for character in value.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'.. => escaped.push(character),
            _ => {}
        }
    }
    escaped
}
