//! `otpgate backup` and `otpgate restore`: the embedded store as one file, and back. Knows neither pages nor locks.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::progress::Progress;
use crate::cli::store::named;
use crate::cli::{CliError, DataArgs, Environment};
use crate::config::{Config, StoreUrl};
use crate::store::sqlite::{BackupError, back_up, restore};

/// The arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs beside a server. The file needs the master key to be of any use: keep that one apart from it.")]
pub struct BackupArgs {
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
    /// The file to write, which is not there yet
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// The arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The server must be stopped, and the master key in its place: the file that the configuration names, or master.key in the data
directory. What root restores is given to the directory's owner. A code that was used after the backup could be used again while
it lives: wait for one code's life, then serve.")]
pub struct RestoreArgs {
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
    /// The backup
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Replace the store that is there, which is kept as otpgate.db.replaced, or .replaced.2, .replaced.3, …
    #[arg(long)]
    pub force: bool,
}

/// Backs up.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub fn run(args: BackupArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let config = embedded(args.data.load(environment)?)?;
    let mut progress = Progress::new();
    let done = back_up(&config.data_dir, &args.to, &mut |done, of| progress.show("backup, pages", done, of));
    drop(progress);
    done.map_err(|error| failed(error, &config))?;
    Ok(writeln!(out, "{} is a whole backup; keep the master key apart from it", args.to.display())?)
}

/// Restores.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub fn run_restore(args: RestoreArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let config = embedded(args.data.load(environment)?)?;
    let mut progress = Progress::new();
    let mut watch = |done, of| progress.show("restore, pages", done, of);
    let done = restore(&config.data_dir, &args.from, config.master_key_file.as_deref(), args.force, &mut watch);
    drop(progress);
    let kept = done.map_err(|error| failed(error, &config))?;
    let kept = kept.map(|kept| format!("; the store before it is kept as {}", kept.display())).unwrap_or_default();
    Ok(writeln!(out, "{} holds the backup{kept}", config.data_dir.display())?)
}

fn embedded(config: Config) -> Result<Config, CliError> {
    if config.store.url == StoreUrl::Sqlite {
        return Ok(config);
    }
    let said = "this is for the embedded store; a shared one is backed up by its own tools, or by otpgate store copy";
    Err(CliError::Usage(said.to_owned()))
}

fn failed(error: BackupError, config: &Config) -> CliError {
    match error {
        BackupError::Open(error) => named(error, config),
        BackupError::Nothing(directory) => CliError::NoStore(directory),
        BackupError::NoBackup(_) | BackupError::Exists(_) | BackupError::InPlace(_) => {
            CliError::Data(error.to_string())
        }
        BackupError::Damaged { .. } => CliError::Copy(error.to_string()),
        BackupError::Io { path, source } => CliError::Output { directory: path, problem: source.to_string() },
    }
}
