//! Reading JSON documents without losing anything: an object gives its members up one by one, and what nobody asked for
//! is an error with its place. It must not know what any member means.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Why a document cannot be made or carried over: the place, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", if pointer.is_empty() { "the document" } else { pointer })]
pub struct ConversionError {
    /// JSON pointer (RFC 6901) into the document that was read; empty for the whole of it.
    pub pointer: String,
    /// What cannot be carried, or what is missing.
    pub what: String,
}

/// What every step answers.
pub type Converted<T = Value> = Result<T, ConversionError>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    pub(super) value: &'v Value,
    pub(super) pointer: String,
}

impl<'v> Node<'v> {
    /// The whole document.
    pub(super) const fn root(value: &'v Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// The value below `name`.
    fn below(&self, name: impl fmt::Display, value: &'v Value) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self { value, pointer: format!("{}/{name}", self.pointer) }
    }

    /// A fault at this place.
    pub(super) fn fault(&self, what: impl Into<String>) -> ConversionError {
        ConversionError { pointer: self.pointer.clone(), what: what.into() }
    }

    /// The text that stands here.
    pub(super) fn text(&self) -> Converted<&'v str> {
        self.value.as_str().ok_or_else(|| self.fault("must be a string"))
    }

    /// The truth that stands here.
    pub(super) fn truth(&self) -> Converted<bool> {
        self.value.as_bool().ok_or_else(|| self.fault("must be true or false"))
    }

    /// The members of the object that stands here, each with its name.
    pub(super) fn entries(&self) -> Converted<Vec<(&'v str, Self)>> {
        let members = self.value.as_object().ok_or_else(|| self.fault("must be an object"))?;
        Ok(members.iter().map(|(name, value)| (name.as_str(), self.below(name, value))).collect())
    }

    /// The items of the array that stands here.
    pub(super) fn items(&self) -> Converted<Vec<Self>> {
        let items = self.value.as_array().ok_or_else(|| self.fault("must be an array"))?;
        Ok(items.iter().enumerate().map(|(index, value)| self.below(index, value)).collect())
    }

    /// The object that stands here, each of its members converted.
    pub(super) fn each_member(&self, mut convert: impl FnMut(&Self) -> Converted) -> Converted {
        let mut made = Map::new();
        for (name, node) in self.entries()? {
            made.insert(name.to_owned(), convert(&node)?);
        }
        Ok(Value::Object(made))
    }

    /// The array that stands here, each of its items converted.
    pub(super) fn each_item(&self, mut convert: impl FnMut(&Self) -> Converted) -> Converted {
        self.items()?.iter().map(&mut convert).collect::<Converted<Vec<_>>>().map(Value::Array)
    }

    /// Reads the object that stands here, member by member.
    pub(super) fn object(&self) -> Converted<Object<'v>> {
        let rest = self.entries()?.into_iter().collect();
        Ok(Object { at: self.clone(), rest, made: Map::new() })
    }
}

/// An object that is being read, and the one that is being made of it.
#[derive(Debug)]
pub(super) struct Object<'v> {
    at: Node<'v>,
    rest: BTreeMap<&'v str, Node<'v>>,
    made: Map<String, Value>,
}

impl<'v> Object<'v> {
    /// Takes a member.
    pub(super) fn take(&mut self, name: &str) -> Option<Node<'v>> {
        self.rest.remove(name)
    }

    /// Takes a member that must be there.
    pub(super) fn need(&mut self, name: &str) -> Converted<Node<'v>> {
        self.take(name).ok_or_else(|| self.at.fault(format!("{name} is missing")))
    }

    /// Whether a member is left that nobody took.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Carries members over as they are.
    pub(super) fn keep(&mut self, names: &[&str]) {
        for name in names {
            if let Some(node) = self.take(name) {
                self.put(name, node.value.clone());
            }
        }
    }

    /// Carries a member over, converted.
    pub(super) fn convert(&mut self, name: &str, convert: impl FnOnce(&Node<'v>) -> Converted) -> Converted<()> {
        if let Some(node) = self.take(name) {
            self.put(name, convert(&node)?);
        }
        Ok(())
    }

    /// Drops a member that says what holds anyway.
    pub(super) fn drop_if(&mut self, name: &str, holds_anyway: &Value) -> Converted<()> {
        match self.take(name) {
            Some(node) if node.value != holds_anyway => {
                Err(node.fault(format!("only {name}: {holds_anyway} can be carried")))
            }
            _ => Ok(()),
        }
    }

    /// Writes a member of the new object.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.made.insert(name.to_owned(), value.into());
    }

    /// What has been made so far.
    pub(super) fn made(&self, name: &str) -> Option<&Value> {
        self.made.get(name)
    }

    /// A fault of this object.
    pub(super) fn fault(&self, what: impl Into<String>) -> ConversionError {
        self.at.fault(what)
    }

    /// The new object, where extensions too are an error unless they were asked for.
    pub(super) fn closed(self) -> Converted {
        match self.rest.first_key_value() {
            Some((name, node)) => Err(node.fault(format!("{name} cannot be carried"))),
            None => Ok(Value::Object(self.made)),
        }
    }

    /// The new object. Extensions (`x-…`) come along; any other member that is left over is an error.
    pub(super) fn finish(mut self) -> Converted {
        let rest = std::mem::take(&mut self.rest);
        for (name, node) in rest {
            if !name.starts_with("x-") {
                return Err(node.fault(format!("{name} cannot be carried")));
            }
            self.put(name, node.value.clone());
        }
        Ok(Value::Object(self.made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn openapi_names_what_is_left_over_by_an_escaped_pointer() {
        let value = json!({"paths": {"/a/{b~c}": {"odd": 1, "kept": 2, "x-mine": 3}}});
        let read = |node: &Node<'_>| {
            let mut object = node.object()?;
            object.keep(&["kept"]);
            object.finish()
        };
        let (_, paths) = Node::root(&value).entries().unwrap().remove(0);
        let error = paths.each_member(read).unwrap_err();
        assert_eq!(error.pointer, "/paths/~1a~1{b~0c}/odd");
        assert_eq!(error.to_string(), "/paths/~1a~1{b~0c}/odd: odd cannot be carried");
        assert_eq!(value.pointer(&error.pointer), Some(&json!(1)));

        let value = json!({"kept": 2, "x-mine": 3});
        assert_eq!(read(&Node::root(&value)), Ok(value.clone()));
    }
}
