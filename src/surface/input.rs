//! Input from a caller: a JSON object or a query string, read field by field, every fault noted with its place.
//!
//! A reader takes each field once, with the parser of its type; at the end all faults come out together. `null` and `""`
//! in an optional field mean that it is absent.

use std::fmt;

use serde_json::Value;

use crate::surface::fault::{Fault, Place, REPEATED, REQUIRED};
use crate::surface::written::{self, decode, whole, without_decimals};

/// How the fields came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A JSON object: names are exact, types are told apart, unknown members are faults.
    Json,
    /// A JSON object of a dialect: names in any case, types are told apart, unknown members are ignored.
    LenientJson,
    /// A query string: names in any case, everything is text, unknown parameters are ignored.
    Query,
}

/// A member's value.
#[derive(Clone, Debug)]
enum Field {
    Text(String),
    Json(Value),
}

/// The fields of one request and the faults found so far.
#[derive(Debug)]
pub struct Input {
    source: Source,
    /// By name; none is a query's value that is no UTF-8, which is a fault where somebody asks for it.
    fields: Vec<(String, Option<Field>)>,
    faults: Vec<Fault>,
}

impl Input {
    /// Reads a JSON object; no bytes at all are an empty one.
    ///
    /// # Errors
    /// The fault, when it is no JSON object or names a member twice.
    pub fn json(bytes: &[u8]) -> Result<Self, Fault> {
        let members = written::members(bytes).map_err(|detail| Fault { at: Place::Pointer(String::new()), detail })?;
        let mut faults = Vec::new();
        let mut fields: Vec<(String, Option<Field>)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            if fields.iter().any(|(known, _)| *known == name) {
                faults.push(Fault { at: pointer(&name), detail: REPEATED.to_owned() });
            } else {
                let field = match value {
                    Value::String(text) => Field::Text(text),
                    other => Field::Json(other),
                };
                fields.push((name, Some(field)));
            }
        }
        Ok(Self { source: Source::Json, fields, faults })
    }

    /// As [`Input::json`], for dialects: names in any case, unknown members are ignored.
    ///
    /// # Errors
    /// As [`Input::json`].
    pub fn lenient_json(bytes: &[u8]) -> Result<Self, Fault> {
        Self::json(bytes).map(|input| Self { source: Source::LenientJson, ..input })
    }

    /// Reads a query string. `+` stands for a space. Of a parameter that comes twice the first counts. What nobody asks for is
    /// no fault, whatever its bytes are; nobody can ask for a name that is no UTF-8.
    #[must_use]
    pub fn query(query: &str) -> Self {
        let mut fields = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(name) = decode(name) {
                fields.push((name, decode(value).map(Field::Text)));
            }
        }
        Self { source: Source::Query, fields, faults: Vec::new() }
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        let at = match self.source {
            Source::Json | Source::LenientJson => pointer(name),
            Source::Query => Place::Parameter(name.to_owned()),
        };
        self.faults.push(Fault { at, detail: detail.into() });
    }

    /// Notes a fault of a member of a field's object.
    pub fn fault_below(&mut self, name: &str, member: &str, detail: impl Into<String>) {
        let at = match (pointer(name), pointer(member)) {
            (Place::Pointer(above), Place::Pointer(below)) => Place::Pointer(above + &below),
            (above, _) => above,
        };
        self.faults.push(Fault { at, detail: detail.into() });
    }

    /// Notes a fault of one element of a list in a field's object.
    pub fn fault_below_at(&mut self, name: &str, member: &str, index: usize, detail: impl Into<String>) {
        self.fault_below(name, member, detail);
        if let Some(Fault { at: Place::Pointer(pointer), .. }) = self.faults.last_mut() {
            *pointer = format!("{pointer}/{index}");
        }
    }

    /// Notes a fault of one element of a member that is a list.
    pub fn fault_at(&mut self, name: &str, index: usize, detail: impl Into<String>) {
        self.fault(name, detail);
        if let Some(Fault { at: Place::Pointer(pointer), .. }) = self.faults.last_mut() {
            *pointer = format!("{pointer}/{index}");
        }
    }

    fn take(&mut self, name: &str) -> Option<Field> {
        let fits = |known: &str| match self.source {
            Source::Json => known == name,
            Source::Query | Source::LenientJson => known.eq_ignore_ascii_case(name),
        };
        let index = self.fields.iter().position(|(known, _)| fits(known))?;
        let Some(field) = self.fields.remove(index).1 else {
            self.fault(name, "must be UTF-8, percent-encoded");
            return None;
        };
        match &field {
            Field::Text(text) if text.is_empty() => None,
            Field::Json(Value::Null) => None,
            _ => Some(field),
        }
    }

    /// A text that is absent, or parsed by `parse`.
    pub fn optional<T, E: fmt::Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match self.take(name)? {
            Field::Text(text) => match parse(&text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.fault(name, format!("must be {error}"));
                    None
                }
            },
            Field::Json(other) => {
                self.fault(name, format!("must be a string, not {}", kind(&other)));
                None
            }
        }
    }

    /// As [`Input::optional`], but its absence is a fault.
    pub fn required<T, E: fmt::Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let faults = self.faults.len();
        let value = self.optional(name, parse);
        if value.is_none() && self.faults.len() == faults {
            self.fault(name, REQUIRED);
        }
        value
    }

    /// A text as it came, absent or not.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.optional(name, |text| Ok::<_, std::convert::Infallible>(text.to_owned()))
    }

    /// A whole number that is absent, or parsed by `parse`. A query's digits count as one.
    pub fn optional_number<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        let number = match self.take(name)? {
            Field::Json(Value::Number(number)) => number.as_u64().or_else(|| whole(number.as_f64())),
            Field::Text(text) if self.source == Source::Query => without_decimals(&text).parse::<u64>().ok(),
            Field::Text(_) => {
                self.fault(name, "must be a number, not a string");
                return None;
            }
            Field::Json(other) => {
                self.fault(name, format!("must be a number, not {}", kind(&other)));
                return None;
            }
        };
        let Some(number) = number else {
            // What is no such number is out of every range: so the range can be told.
            let detail = match parse(u64::MAX) {
                Err(error) => format!("must be a whole number, {error}"),
                Ok(_) => "must be a whole number, not negative".to_owned(),
            };
            self.fault(name, detail);
            return None;
        };
        match parse(number) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(name, format!("must be {error}"));
                None
            }
        }
    }

    /// A truth value that is absent or given; a query's `true` and `false` count as one.
    pub fn optional_bool(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Field::Json(Value::Bool(value)) => Some(value),
            Field::Text(text) if self.source == Source::Query && text.eq_ignore_ascii_case("true") => Some(true),
            Field::Text(text) if self.source == Source::Query && text.eq_ignore_ascii_case("false") => Some(false),
            _ => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// Any JSON value that is absent or given. A query holds none: there the name is as unknown as any other.
    pub fn optional_value(&mut self, name: &str) -> Option<Value> {
        if self.source == Source::Query {
            return None;
        }
        Some(match self.take(name)? {
            Field::Text(text) => Value::String(text),
            Field::Json(value) => value,
        })
    }

    /// The members of a member that is an object. None when there is a fault; its absence is one.
    pub fn below(&mut self, name: &str) -> Option<Self> {
        match self.optional_value(name) {
            Some(Value::Object(members)) => {
                let field = |value| match value {
                    Value::String(text) => Field::Text(text),
                    other => Field::Json(other),
                };
                let fields = members.into_iter().map(|(name, value)| (name, Some(field(value)))).collect();
                Some(Self { source: self.source, fields, faults: Vec::new() })
            }
            Some(other) => {
                self.fault(name, format!("must be an object, not {}", kind(&other)));
                None
            }
            None => {
                self.fault(name, REQUIRED);
                None
            }
        }
    }

    /// Takes over the faults of what [`Input::below`] gave, once it was read.
    pub fn absorb(&mut self, name: &str, inner: Self) {
        let Err(faults) = inner.finish() else { return };
        for Fault { at, detail } in faults {
            let at = match (pointer(name), at) {
                (Place::Pointer(above), Place::Pointer(below)) => Place::Pointer(above + &below),
                (_, at) => at,
            };
            self.faults.push(Fault { at, detail });
        }
    }

    /// The faults, when there are any: of the fields that were read, and of members nobody asked for.
    ///
    /// # Errors
    /// All of them.
    pub fn finish(mut self) -> Result<(), Vec<Fault>> {
        if self.source == Source::Json {
            for (name, _) in std::mem::take(&mut self.fields) {
                self.fault(&name, "is not known here");
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

fn pointer(name: &str) -> Place {
    let mut shown: String = name.chars().take(64).collect();
    if shown.contains(['~', '/']) {
        shown = shown.replace('~', "~0").replace('/', "~1");
    }
    Place::Pointer(format!("/{shown}"))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(result: Result<(), Vec<Fault>>) -> Vec<String> {
        result.err().unwrap_or_default().into_iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect()
    }

    #[test]
    fn every_fault_of_a_body_is_named() {
        let mut input = Input::json(br#"{"a":1,"b":"x","c":-1,"d":2.5,"e":"","f":null,"a":2,"g~/":0}"#).unwrap();
        assert_eq!(input.text("a"), None);
        assert_eq!(input.optional("b", |_| Err::<(), _>("y")), None);
        assert_eq!(input.optional_number("c", Ok::<_, String>), None);
        assert_eq!(input.optional_number("d", Ok::<_, String>), None);
        assert_eq!(input.required("e", |text| Ok::<_, String>(text.to_owned())), None);
        assert_eq!(input.text("f"), None);
        assert_eq!(
            faults(input.finish()),
            [
                "a must be given once",
                "a must be a string, not a number",
                "b must be y",
                "c must be a whole number, not negative",
                "d must be a whole number, not negative",
                "e is required",
                "g~0~1 is not known here",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_object_says_so_without_repeating_it() {
        for (body, says) in [
            (&b"[1]"[..], "must be a JSON object: it is another value"),
            (b"\"0123456\"", "must be a JSON object: it is another value"),
            (b"{\"a\":", "must be JSON: EOF while parsing a value at line 1 column 5"),
            (b"\xff", "must be UTF-8; the byte at 0 is not"),
        ] {
            assert_eq!(Input::json(body).unwrap_err().detail, says);
        }
        assert_eq!(faults(Input::json(b" ").unwrap().finish()), Vec::<String>::new());
    }

    #[test]
    fn a_query_is_read_in_any_case_and_ignores_what_it_does_not_know() {
        let query = "Sender=A%20B&pinLength=6.0&other=1&number=+49151&x=%ff&deleteCaller=TRUE&%ff=1&template=y";
        let mut input = Input::query(query);
        assert_eq!(input.text("sender").as_deref(), Some("A B"));
        assert_eq!(input.optional_number("pinLength", Ok::<_, String>), Some(6));
        assert_eq!(input.text("number").as_deref(), Some(" 49151"));
        assert_eq!(input.optional_bool("deleteCaller"), Some(true));
        assert_eq!(input.optional_value("template"), None, "a query holds no JSON");
        assert_eq!(faults(input.finish()), Vec::<String>::new());
    }

    #[test]
    fn what_is_asked_for_and_no_utf_8_is_told_once() {
        let mut input = Input::query("number=%ff&pinLength=%ff&deleteCaller=%ff");
        assert_eq!(input.required("number", |text| Ok::<_, String>(text.to_owned())), None);
        assert_eq!(input.optional_number("pinLength", Ok::<_, String>), None);
        assert_eq!(input.optional_bool("deleteCaller"), None);
        let said = ["number", "pinLength", "deleteCaller"].map(|name| format!("{name} must be UTF-8, percent-encoded"));
        assert_eq!(faults(input.finish()), said);
    }

    #[test]
    fn what_is_no_whole_number_is_told_the_range() {
        let range = |number| if number < 9 { Ok(number) } else { Err("1 to 8") };
        for text in ["abc", "-1", "5.5", "5.01", "5.", ".0", "1e3", "99999999999999999999"] {
            let mut input = Input::query(&format!("a={text}"));
            assert_eq!(input.optional_number("a", range), None);
            assert_eq!(faults(input.finish()), ["a must be a whole number, 1 to 8"], "{text}");
        }
        let mut input = Input::json(br#"{"a":5.5,"b":-1,"c":9}"#).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(input.optional_number(name, range), None);
        }
        let said = ["a must be a whole number, 1 to 8", "b must be a whole number, 1 to 8", "c must be 1 to 8"];
        assert_eq!(faults(input.finish()), said);
    }

    #[test]
    fn whole_decimals_are_numbers() {
        let mut input = Input::json(br#"{"a":6.0}"#).unwrap();
        assert_eq!(input.optional_number("a", Ok::<_, String>), Some(6));
    }
}
