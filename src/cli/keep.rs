//! `otpgate store …`: what is done to a store as a whole.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::copy::{CopyArgs, copy};
use crate::cli::store::{redis_options, refused};
use crate::cli::{CliError, DataArgs, Environment};
use crate::config::{Config, StoreUrl};
use crate::store::redis::{Initialised, initialise};
use crate::store::sqlite::Mode;

/// The words after `store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What may be done.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make a shared store, or make it ours again after it was emptied: every quota begins fully charged
    Init,
    /// Copy everything into another store; interrupted, the same command goes on from there
    Copy(CopyArgs),
}

/// Runs one of them.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub fn run(args: StoreArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let config = args.data.load(environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        match args.command {
            StoreCommand::Init => init(&config, out).await,
            StoreCommand::Copy(args) => copy(args, config, out).await,
        }
    })
}

async fn init(config: &Config, out: &mut dyn Write) -> Result<(), CliError> {
    let StoreUrl::Redis(url) = &config.store.url else {
        return Err(CliError::Usage(
            "store init is for a shared store: name it with --store redis://host; the embedded one is made by its first start"
                .to_owned(),
        ));
    };
    let options = redis_options(config, url, Mode::Beside)?;
    let done = initialise(&options).await.map_err(|error| refused(&error, config, url))?;
    let said = match done {
        Initialised::Made => {
            "the store is made; it was empty: if there was one before, its keys, applications and codes are gone"
        }
        Initialised::Again => "the store is ours again; every quota begins fully charged",
        Initialised::Charged => "the store is whole, and ours from now on; every quota begins fully charged",
        Initialised::Already => "the store is whole; nothing was done",
    };
    Ok(writeln!(out, "{said}")?)
}
