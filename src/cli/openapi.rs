//! `otpgate openapi`: prints the document. Knows its versions' names only.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::cli::CliError;

/// The flags of `openapi`.
#[derive(Debug, Args)]
pub struct OpenapiArgs {
    /// The version of the specification that the document follows
    #[arg(long, value_enum, default_value_t = Format::V31)]
    pub format: Format,
}

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenAPI 3.1, the source of the others
    #[value(name = "3.1")]
    V31,
    /// OpenAPI 3.0
    #[value(name = "3.0")]
    V30,
    /// Swagger 2.0
    #[value(name = "2.0")]
    V20,
}

/// Prints the document.
///
/// # Errors
/// [`CliError::Internal`] when the document cannot be made.
#[expect(clippy::needless_pass_by_value, reason = "commands take their arguments over")]
pub fn run(args: OpenapiArgs, out: &mut dyn Write) -> Result<(), CliError> {
    Ok(writeln!(out, "{}", document(args.format)?)?)
}

fn document(format: Format) -> Result<String, CliError> {
    let format = match format {
        Format::V31 => crate::openapi::Format::V31,
        Format::V30 => crate::openapi::Format::V30,
        Format::V20 => crate::openapi::Format::V20,
    };
    let document = crate::openapi::document(format, None).map_err(|error| CliError::Internal(error.to_string()))?;
    Ok(crate::openapi::text(&document).trim_end().to_owned())
}
