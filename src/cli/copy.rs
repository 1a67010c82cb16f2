//! `otpgate store copy`: everything that one store keeps into another, with the same keys. Knows which stores there are, not how
//! a row is moved.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::cli::CliError;
use crate::cli::progress::Progress;
use crate::cli::store::{address, master_key, named, refused};
use crate::config::{Config, SecretUrl};
use crate::secret::Keyring;
use crate::store::redis::{Address, RedisTransfer};
use crate::store::sqlite::{OpenError, SqliteTransfer};
use crate::store::transfer::copy::{self, CopyError, Step};
use crate::store::transfer::{Standing, Transfer};

/// The name of the master key's file in a data directory.
const MASTER_KEY: &str = "master.key";

/// What to copy where.
#[derive(Debug, Args)]
#[command(after_help = "\
Stop every gateway first: nobody may write to the source, and nobody can serve from the target until the copy is done. A server
on an embedded source or target is noticed; on a shared source it is noticed at the end, where both are compared and differ.

Keys, applications, connections, subscriptions, codes, failures, daily counts, messages, kept answers, events, dead letters,
nonces, key pairs, puzzles and sessions are copied. Quotas are not: behind a copy each begins fully charged, so callers are
refused for one period at most. Both sides have the same master key.")]
pub struct CopyArgs {
    /// The store to copy: sqlite:DIR, or redis://host:port
    #[arg(long, value_name = "STORE", value_parser = end)]
    pub from: End,
    /// The store to copy into, which is empty or holds a copy that was interrupted
    #[arg(long, value_name = "STORE", value_parser = end)]
    pub to: End,
    /// The master key of both [default: the configuration's, else master.key in the embedded store's directory]
    #[arg(long, value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The embedded store in a directory.
    Sqlite(PathBuf),
    /// A shared store.
    Redis(SecretUrl),
}

fn end(text: &str) -> Result<End, String> {
    let wrong = || "it must be sqlite:DIR or redis://host:port".to_owned();
    match text.strip_prefix("sqlite:") {
        Some("") => Err(wrong()),
        Some(dir) => Ok(End::Sqlite(PathBuf::from(dir))),
        None => {
            let url = SecretUrl::parse(text).map_err(|_| wrong())?;
            Address::parse(url.expose()).map_err(|_| wrong())?;
            Ok(End::Redis(url))
        }
    }
}

impl End {
    const fn directory(&self) -> Option<&PathBuf> {
        if let Self::Sqlite(dir) = self { Some(dir) } else { None }
    }

    async fn open(&self, config: &Config, target: bool) -> Result<Box<dyn Transfer>, CliError> {
        match self {
            Self::Sqlite(dir) => {
                let config = Config { data_dir: dir.clone(), ..config.clone() };
                let store = SqliteTransfer::open(dir, target).map_err(|error| match error {
                    OpenError::InUse { .. } => CliError::InUse { directory: dir.clone() },
                    error => named(error, &config),
                })?;
                Ok(Box::new(store))
            }
            Self::Redis(url) => {
                let store = RedisTransfer::open(address(config, url)?, Arc::new(master_key(config)?)).await;
                Ok(Box::new(store.map_err(|error| refused(&error, config, url))?))
            }
        }
    }
}

/// Copies.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub async fn copy(args: CopyArgs, mut config: Config, out: &mut dyn Write) -> Result<(), CliError> {
    let CopyArgs { from, to, master_key_file } = args;
    if from == to {
        return Err(CliError::Usage("--from and --to are the same store".to_owned()));
    }
    let lying = |end: &End| end.directory().map(|dir| dir.join(MASTER_KEY)).filter(|file| file.exists());
    let file = master_key_file.or(config.master_key_file).or_else(|| lying(&from)).or_else(|| lying(&to));
    let file =
        file.ok_or_else(|| CliError::MasterKey("name the master key's file with --master-key-file".to_owned()))?;
    config.master_key_file = Some(file.clone());
    let (source, target) = (from.open(&config, false).await?, to.open(&config, true).await?);
    let standing = source.standing().await.map_err(|error| CliError::Copy(format!("{}: {error}", source.name())))?;
    if let Standing::Made { keyring } = standing {
        let opened = Keyring::unwrap(&master_key(&config)?, &keyring);
        opened.map_err(|_| CliError::WrongMasterKey { file: file.clone(), directory: PathBuf::from(source.name()) })?;
    }
    let mut progress = Progress::new();
    let mut watch = |step| match step {
        Step::Copied(kind, done, of) => progress.show(&format!("copy {}", kind.name()), done, of),
        Step::Compared(kind, done, of) => progress.show(&format!("compare {}", kind.name()), done, of),
    };
    let copied = copy::copy(&*source, &*target, &mut watch).await.map_err(named_copy)?;
    progress.end();
    for one in copied {
        writeln!(out, "{:<14} {:>9}  {}", one.kind.name(), one.rows, one.sum)?;
    }
    let key = key_hint(&to, &file);
    Ok(writeln!(out, "{} holds what {} holds; every quota begins fully charged{key}", target.name(), source.name())?)
}

/// A data directory without its own key needs to be told of one.
fn key_hint(to: &End, file: &Path) -> String {
    let own = to.directory().is_some_and(|dir| dir.join(MASTER_KEY).exists());
    if own { String::new() } else { format!("; serve it with master_key_file = \"{}\"", file.display()) }
}

fn named_copy(error: CopyError) -> CliError {
    match error {
        CopyError::SourceUnfinished(store) => CliError::StoreUnfinished {
            store,
            problem: "a copy into this store was not finished: finish it first".to_owned(),
        },
        CopyError::NoSource(_) | CopyError::TargetInUse(_) | CopyError::OtherCopy { .. } => {
            CliError::Data(error.to_string())
        }
        CopyError::Differs { .. } | CopyError::Store { .. } => CliError::Copy(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_directory_or_an_address() {
        assert_eq!(end("sqlite:/var/lib/otpgate"), Ok(End::Sqlite(PathBuf::from("/var/lib/otpgate"))));
        assert!(matches!(end("rediss://u:p@a,b/3"), Ok(End::Redis(_))));
        for wrong in ["", "sqlite", "sqlite:", "/var/lib", "http://a", "redis://"] {
            assert!(end(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", end("redis://u:hunter2@a")).contains("hunter2"));
    }
}
