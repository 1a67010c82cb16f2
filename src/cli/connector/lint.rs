//! `otpgate connector lint`: reads a connector's files and prints what is wrong with them. Knows no rule.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::openapi::lint::{FILE_BYTES, File, Finding, ReadError, Severity, lint, read_definition, read_json};

/// The arguments of `connector lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// The definition, apiDefinition.swagger.json
    #[arg(value_name = "DEFINITION")]
    pub definition: PathBuf,
    /// The properties, apiProperties.json
    #[arg(value_name = "PROPERTIES")]
    pub properties: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Prints every finding: to `out` a line each, or one JSON object.
///
/// # Errors
/// [`CliError::Findings`] when a rule is broken whose breach is an error; [`CliError::Data`] for a file that cannot be
/// linted.
pub(super) fn run(args: &LintArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let definition = read(&args.definition, read_definition)?;
    let properties = args.properties.as_deref().map(|path| read(path, read_json)).transpose()?;
    let findings = lint(&definition, properties.as_ref());
    let count = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    CliError::unless_gone(if args.json {
        writeln!(out, "{}", json!({ "errors": errors, "warnings": warnings, "findings": findings }))
    } else {
        let lines = findings.iter().try_for_each(|finding| line(args, finding, out));
        lines.and_then(|()| writeln!(out, "{}, {}", words(errors, "error"), words(warnings, "warning")))
    })?;
    if errors == 0 {
        return Ok(());
    }
    Err(CliError::Findings(format!("{}: {}", args.definition.display(), words(errors, "error"))))
}

fn line(args: &LintArgs, finding: &Finding, out: &mut dyn Write) -> std::io::Result<()> {
    let file = match finding.file {
        File::Definition => args.definition.as_path(),
        File::Properties => args.properties.as_deref().unwrap_or(Path::new("")),
    };
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    writeln!(out, "{severity} {} {}#{}: {}", finding.rule, file.display(), finding.pointer, finding.message)
}

fn words(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Reads a file, at most as much of it as is allowed and a byte.
fn read(path: &Path, parse: impl FnOnce(&[u8]) -> Result<Value, ReadError>) -> Result<Value, CliError> {
    let fault = |problem: String| CliError::Data(format!("{}: {problem}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    let length = file.metadata().map_or(0, |found| found.len());
    if length >= FILE_BYTES as u64 {
        return Err(fault(ReadError::TooLarge(length).to_string()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
    parse(&bytes).map_err(|error| fault(error.to_string()))
}
