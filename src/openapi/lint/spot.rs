//! A value of a definition and its place, read without expecting anything. It must not know a rule.

use serde_json::Value;

/// What is read where nothing stands.
static NOTHING: Value = Value::Null;
/// References that lead on to references are followed this far.
const HOPS: usize = 16;
/// The members of a path item that are operations in Swagger 2.0.
pub(super) const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Spot<'v> {
    pub(super) value: &'v Value,
    pub(super) pointer: String,
}

impl<'v> Spot<'v> {
    pub(super) const fn root(value: &'v Value) -> Self {
        Self { value, pointer: String::new() }
    }

    fn below(&self, name: &str, value: &'v Value) -> Self {
        Self { value, pointer: format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1")) }
    }

    /// A member, where there is one.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        self.value.get(name).map(|value| self.below(name, value))
    }

    /// A member, or nothing at its place.
    pub(super) fn at(&self, name: &str) -> Self {
        self.below(name, self.value.get(name).unwrap_or(&NOTHING))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value.get(name).is_some()
    }

    /// The text of a member.
    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        self.value.get(name)?.as_str()
    }

    /// Whether a member is true.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.value.get(name) == Some(&Value::Bool(true))
    }

    /// The members of an object, none of anything else.
    pub(super) fn members(&self) -> Vec<(&'v str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), self.below(name, value))).collect()
    }

    /// The items of an array, none of anything else.
    pub(super) fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(index, value)| self.below(&index.to_string(), value)).collect()
    }

    /// What a reference leads to; the place itself where it is none, nothing where it leads nowhere.
    pub(super) fn resolved(&self, root: &Self) -> Option<Self> {
        let mut here = self.clone();
        for _ in 0..HOPS {
            let Some(target) = here.text("$ref") else { return Some(here) };
            let pointer = target.strip_prefix('#')?;
            here = Self { value: root.value.pointer(pointer)?, pointer: pointer.to_owned() };
        }
        None
    }
}

/// An operation and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Found<'v> {
    pub(super) path: &'v str,
    pub(super) method: &'v str,
    pub(super) item: Spot<'v>,
    pub(super) spot: Spot<'v>,
}

impl<'v> Found<'v> {
    pub(super) fn id(&self) -> Option<&'v str> {
        self.spot.text("operationId")
    }

    /// Its id, or its method and path.
    pub(super) fn name(&self) -> String {
        self.id().map_or_else(|| format!("{} {}", self.method, self.path), str::to_owned)
    }

    /// Its own parameters and those of its path, references followed.
    pub(super) fn parameters(&self, root: &Spot<'v>) -> Vec<Spot<'v>> {
        let own = self.spot.at("parameters").items();
        let shared = self.item.at("parameters").items();
        own.into_iter().chain(shared).filter_map(|parameter| parameter.resolved(root)).collect()
    }

    /// The schema that a designer shows: that of 200, else of 201, else of another success.
    pub(super) fn output(&self, root: &Spot<'v>) -> Option<Spot<'v>> {
        let responses = self.spot.at("responses");
        let mut statuses: Vec<_> =
            responses.members().into_iter().filter(|(status, _)| status.starts_with('2')).collect();
        statuses.sort_by_key(|(status, _)| *status);
        statuses.into_iter().find_map(|(_, response)| response.resolved(root)?.get("schema"))
    }

    pub(super) fn is_trigger(&self) -> bool {
        self.spot.has("x-ms-trigger")
    }
}

/// All operations, by path and method.
pub(super) fn operations_of<'v>(root: &Spot<'v>) -> Vec<Found<'v>> {
    let mut found = Vec::new();
    for (path, item) in root.at("paths").members() {
        for (method, spot) in item.members() {
            if METHODS.contains(&method) && spot.value.is_object() {
                found.push(Found { path, method, item: item.clone(), spot });
            }
        }
    }
    found
}

/// The named schemas.
pub(super) fn definitions_of<'v>(root: &Spot<'v>) -> Vec<(&'v str, Spot<'v>)> {
    root.at("definitions").members()
}

/// A field of a schema by its path, such as `body/items/name`, through references, arrays and `allOf`.
pub(super) fn field<'v>(root: &Spot<'v>, schema: &Spot<'v>, path: &str) -> Option<Spot<'v>> {
    let mut here = schema.resolved(root)?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if let Some(items) = here.get("items") {
            here = items.resolved(root)?;
        }
        here = member(root, &here, name, 0)?.resolved(root)?;
    }
    Some(here)
}

fn member<'v>(root: &Spot<'v>, schema: &Spot<'v>, name: &str, hops: usize) -> Option<Spot<'v>> {
    if let Some(found) = schema.at("properties").get(name) {
        return Some(found);
    }
    if hops >= HOPS {
        return None;
    }
    schema.at("allOf").items().iter().find_map(|part| member(root, &part.resolved(root)?, name, hops + 1))
}

/// The JSON type of a value, in the words of a schema.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a value is of a schema's type; any is of none.
pub(super) fn fits(value: &Value, kind: Option<&str>) -> bool {
    match kind {
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("file") | None => true,
        Some(kind) => type_of(value) == kind,
    }
}
