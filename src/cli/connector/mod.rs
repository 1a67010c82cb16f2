//! `otpgate connector`: writes the connector's files, and lints anybody's. Knows the words of the command line only.

mod export;
mod lint;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::CliError;

/// The commands of `connector`.
#[derive(Debug, Args)]
pub struct ConnectorArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConnectorCommand,
}

/// What may be done with a connector.
#[derive(Debug, Subcommand)]
pub enum ConnectorCommand {
    /// Write the files that Power Automate, Power Apps, Copilot Studio and Logic Apps import
    Export(export::ExportArgs),
    /// Check a connector's files against Microsoft's rules; exits 1 when one is broken
    Lint(lint::LintArgs),
}

/// Runs a command.
///
/// # Errors
/// Those of the commands.
pub fn run(args: ConnectorArgs, out: &mut dyn Write) -> Result<(), CliError> {
    match args.command {
        ConnectorCommand::Export(args) => export::run(&args, out),
        ConnectorCommand::Lint(args) => lint::run(&args, out),
    }
}
