//! The lint of connectors: Microsoft's validator rules by their names, and what its coding standards and the designer ask for
//! beside them, for anybody's definition and properties.
//!
//! The rules are those of "Fix Swagger Validator errors in Power Platform connectors" (learn.microsoft.com); their limits are
//! that page's where it names one, else those of the connector FAQ. Microsoft publishes no severities: here an *error* is what
//! stops an import, a call or a review, a *warning* is what a reviewer asks to change. Nothing here knows our own connector.

mod annotations;
mod document;
mod dynamic;
mod limits;
mod operations;
mod parameters;
mod paths;
mod properties;
mod references;
mod responses;
mod rule;
mod schemas;
mod security;
mod spot;
mod values;
mod webhooks;
mod words;

use serde::Serialize;
use serde_json::Value;

pub use rule::{Rule, Severity, Source};
use spot::{Spot, definitions_of};

/// The largest definition that Power Platform takes (connector FAQ): 1 MB.
pub const FILE_BYTES: usize = 1_000_000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// Where: a JSON pointer (RFC 6901) into the definition; into the properties where `file` says so.
    pub pointer: String,
    /// Which file.
    pub file: File,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A file of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum File {
    /// apiDefinition.swagger.json
    Definition,
    /// apiProperties.json
    Properties,
}

/// Why a file cannot be linted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is larger than the platform takes.
    #[error("it has {0} bytes; Power Platform takes less than 1 MB (1,000,000 bytes)")]
    TooLarge(u64),
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// Its values lie in one another too deeply.
    #[error("its values are nested more than 128 deep; no connector needs that")]
    TooDeep,
    /// It is JSON of another kind.
    #[error("it is not Swagger 2.0: {0}; Power Platform takes \"swagger\": \"2.0\" only")]
    NotSwagger2(String),
}

/// Reads a definition.
///
/// # Errors
/// [`ReadError`]
pub fn read_definition(bytes: &[u8]) -> Result<Value, ReadError> {
    let value = read_json(bytes)?;
    match (value.get("swagger"), value.get("openapi")) {
        (Some(version), _) if version == "2.0" => Ok(value),
        (Some(version), _) => Err(ReadError::NotSwagger2(format!("its \"swagger\" is {}", short(version)))),
        (None, Some(version)) => Err(ReadError::NotSwagger2(format!("it is OpenAPI {}", short(version)))),
        (None, None) if value.is_object() => Err(ReadError::NotSwagger2("it has no member \"swagger\"".to_owned())),
        (None, None) => Err(ReadError::NotSwagger2("it is no JSON object".to_owned())),
    }
}

/// Reads any file of a connector.
///
/// # Errors
/// [`ReadError::TooLarge`], [`ReadError::NotJson`]
pub fn read_json(bytes: &[u8]) -> Result<Value, ReadError> {
    if bytes.len() >= FILE_BYTES {
        return Err(ReadError::TooLarge(bytes.len().try_into().unwrap_or(u64::MAX)));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let words = error.to_string();
        if words.starts_with("recursion limit") { ReadError::TooDeep } else { ReadError::NotJson(words) }
    })
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}

/// What is wrong with a connector, in the order of the places.
#[must_use]
pub fn lint(definition: &Value, properties: Option<&Value>) -> Vec<Finding> {
    let mut report = Report { file: File::Definition, findings: Vec::new() };
    let root = Spot::root(definition);
    document::check(&root, &mut report);
    security::check(&root, &mut report);
    words::check(&root, &mut report);
    limits::check(&root, &mut report);
    paths::check(&root, &mut report);
    operations::check(&root, &mut report);
    annotations::check(&root, &mut report);
    webhooks::check(&root, &mut report);
    dynamic::check(&root, &mut report);
    for (_, schema) in definitions_of(&root) {
        schemas::check(&root, &schema, schemas::Position::Definition, &mut report);
    }
    if let Some(properties) = properties {
        report.file = File::Properties;
        properties::check(&Spot::root(properties), definition, &mut report);
    }
    let mut findings = report.findings;
    findings.sort_by(|one, other| {
        (one.file as u8, &one.pointer, one.rule).cmp(&(other.file as u8, &other.pointer, other.rule))
    });
    findings.dedup();
    findings
}

/// What was found so far.
struct Report {
    file: File,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, rule: Rule, at: &Spot<'_>, message: impl Into<String>) {
        let pointer = at.pointer.clone();
        self.findings.push(Finding {
            rule,
            severity: rule.severity(),
            pointer,
            file: self.file,
            message: message.into(),
        });
    }

    /// As [`Report::add`], when `broken` holds.
    fn when(&mut self, broken: bool, rule: Rule, at: &Spot<'_>, message: impl Into<String>) {
        if broken {
            self.add(rule, at, message);
        }
    }
}
