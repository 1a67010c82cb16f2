//! Texts with placeholders: `{{number}}`, `{{from or sender}}`, `{{text|xml}}`. Knows their grammar, and neither the values
//! nor the places.
//!
//! A placeholder names what stands there: a field of the message, or a credential of the carrier. Of several joined by `or`
//! the first that has a value counts. Filters change the value: `digits` drops a `+`, `xml` escapes for an XML text, `number`
//! writes a JSON number, `least:N` raises a number, `unless:NAME` leaves the value out where the credential NAME is given.

use std::fmt;

/// Bytes of a template.
pub const TEMPLATE_BYTES: usize = 8 * 1024;

/// What a message has that a carrier may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The number, in E.164 with `+`.
    Number,
    /// The whole text.
    Text,
    /// The code.
    Code,
    /// The code with a comma after each character, for a voice.
    SpokenCode,
    /// Who a text message comes from. May be missing.
    Sender,
    /// The number that a call shows. May be missing.
    Caller,
    /// `text` where the text fits the alphabet of GSM, else `unicode`.
    Encoding,
    /// `SMS` or `VOICE`.
    Channel,
    /// The language, ISO 639-1.
    Language,
    /// What the carrier calls the language, by its table. May be missing: then it cannot speak it.
    Locale,
    /// How long the code lives, in whole seconds, rounded down, at least 1.
    LifeSeconds,
    /// In whole minutes.
    LifeMinutes,
    /// In milliseconds.
    LifeMilliseconds,
    /// Names this submission: 50 characters of the URL-safe Base64 alphabet.
    Ticket,
    /// Where this message's receipts go. May be missing, where it would be longer than the carrier takes.
    Receipt,
    /// Where all receipts of this carrier go.
    SharedReceipt,
}

/// Their names.
pub const FIELDS: [(&str, Field); 16] = [
    ("number", Field::Number),
    ("text", Field::Text),
    ("code", Field::Code),
    ("spoken_code", Field::SpokenCode),
    ("sender", Field::Sender),
    ("caller", Field::Caller),
    ("encoding", Field::Encoding),
    ("channel", Field::Channel),
    ("language", Field::Language),
    ("locale", Field::Locale),
    ("life_seconds", Field::LifeSeconds),
    ("life_minutes", Field::LifeMinutes),
    ("life_milliseconds", Field::LifeMilliseconds),
    ("ticket", Field::Ticket),
    ("receipt", Field::Receipt),
    ("shared_receipt", Field::SharedReceipt),
];

/// What a placeholder names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A field of the message.
    Field(Field),
    /// A credential of the carrier.
    Credential(Box<str>),
}

/// A placeholder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// What may stand here; the first that has a value does.
    pub names: Vec<Name>,
    /// Without a `+` at its beginning.
    pub digits: bool,
    /// Escaped for an XML text, beneath the escaping of its place.
    pub xml: bool,
    /// A JSON number rather than a string.
    pub number: bool,
    /// At least this number.
    pub least: Option<u64>,
    /// Left out where this credential is given.
    pub unless: Option<Box<str>>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Fixed(Box<str>),
    /// A value.
    Hole(Hole),
}

/// A text with placeholders. Its text may hold a secret that an operator wrote into it, so `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is longer than [`TEMPLATE_BYTES`].
    #[error("longer than {TEMPLATE_BYTES} bytes")]
    TooLong,
    /// `{{` without `}}`.
    #[error("a {{{{ without }}}}")]
    Unclosed,
    /// A placeholder that names nothing.
    #[error("{{{{{0}}}}} is no placeholder; write one of {1}")]
    Unknown(String, String),
    /// A filter that does not exist.
    #[error("|{0} is no filter; write one of digits, xml, number, least:N, unless:NAME")]
    UnknownFilter(String),
}

impl Template {
    /// Reads one. `credentials` are the names that placeholders may use besides [`FIELDS`].
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str, credentials: &[&str]) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES {
            return Err(TemplateError::TooLong);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((fixed, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            if !fixed.is_empty() {
                pieces.push(Piece::Fixed(fixed.into()));
            }
            pieces.push(Piece::Hole(hole(inside, credentials)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Fixed(rest.into()));
        }
        Ok(Self { pieces })
    }

    /// Its pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Its placeholders.
    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Fixed(_) => None,
        })
    }

    /// The placeholder that is all there is: where it has no value, the member that it stands for is left out.
    #[must_use]
    pub fn lone(&self) -> Option<&Hole> {
        match self.pieces.as_slice() {
            [Piece::Hole(hole)] => Some(hole),
            _ => None,
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Template(***)")
    }
}

fn hole(inside: &str, credentials: &[&str]) -> Result<Hole, TemplateError> {
    let mut parts = inside.split('|').map(str::trim);
    let mut hole = Hole::default();
    for name in parts.next().unwrap_or_default().split(" or ").map(str::trim) {
        hole.names.push(named(name, credentials)?);
    }
    for filter in parts {
        match filter.split_once(':').map_or((filter, ""), |(name, value)| (name, value)) {
            ("digits", "") => hole.digits = true,
            ("xml", "") => hole.xml = true,
            ("number", "") => hole.number = true,
            ("least", least) if least.parse::<u64>().is_ok() => hole.least = least.parse().ok(),
            ("unless", name) if credentials.contains(&name) => hole.unless = Some(name.into()),
            _ => return Err(TemplateError::UnknownFilter(filter.chars().take(40).collect())),
        }
    }
    Ok(hole)
}

fn named(name: &str, credentials: &[&str]) -> Result<Name, TemplateError> {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Ok(Name::Field(*field));
    }
    if credentials.contains(&name) {
        return Ok(Name::Credential(name.into()));
    }
    let known: Vec<_> = FIELDS.iter().map(|(known, _)| *known).chain(credentials.iter().copied()).collect();
    Err(TemplateError::Unknown(name.chars().take(40).collect(), known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_says_what_stands_where() {
        let template =
            Template::parse("a {{from or sender|digits|unless:pool}}{{ text }}b", &["from", "pool"]).unwrap();
        let [Piece::Fixed(a), Piece::Hole(first), Piece::Hole(second), Piece::Fixed(b)] = template.pieces() else {
            panic!("{:?}", template.pieces())
        };
        assert_eq!((&**a, &**b), ("a ", "b"));
        assert_eq!(first.names, [Name::Credential("from".into()), Name::Field(Field::Sender)]);
        assert!(first.digits && first.unless.as_deref() == Some("pool") && first.least.is_none());
        assert_eq!(second.names, [Name::Field(Field::Text)]);
        assert!(template.lone().is_none() && Template::parse("{{code}}", &[]).unwrap().lone().is_some());
        assert_eq!(format!("{template:?}"), "Template(***)");
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, expected) in [
            ("{{text", "a {{ without }}"),
            ("{{txet}}", "{{txet}} is no placeholder; write one of number, text, "),
            ("{{}}", "{{}} is no placeholder"),
            ("{{token}}", "{{token}} is no placeholder"),
            ("{{text|upper}}", "|upper is no filter"),
            ("{{text|least:x}}", "|least:x is no filter"),
            ("{{text|unless:nothing}}", "|unless:nothing is no filter"),
            (&"x".repeat(TEMPLATE_BYTES + 1), "longer than 8192 bytes"),
        ] {
            let error = Template::parse(text, &["key"]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
