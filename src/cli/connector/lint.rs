//! `otpgate connector lint`: reads a connector's files and prints what is wrong with them. Knows no rule.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::CliError;

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

pub(super) fn run(_args: &LintArgs, _out: &mut dyn Write) -> Result<(), CliError> {
    Err(CliError::Internal("not yet".to_owned()))
}
