//! `otpgate check-config`: checks a file together with the environment, as `serve` would, and prints what is in effect.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{CliError, Environment};
use crate::config::{Config, Flags, Sources};

/// The arguments of `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// The configuration, a TOML file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Prints the effective configuration, secrets redacted.
///
/// # Errors
/// [`CliError::Config`] with everything that is wrong.
pub fn run(args: CheckConfigArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let config = Config::load(Sources { file: Some(args.file), environment, flags: Flags::default() })?;
    Ok(out.write_all(config.effective_redacted().as_bytes())?)
}
