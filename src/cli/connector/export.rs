//! `otpgate connector export`: the connector's files in a directory, all of them or none. Knows files, and no definition.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::cli::CliError;
use crate::openapi::connector::{Edition, Package, Place, Publisher, package};

/// The file without which there is no connector.
const DEFINITION: &str = "apiDefinition.swagger.json";

/// The flags of `connector export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Where the gateway is reached: a bare host, such as otp.example.com, with its port where it has one
    #[arg(long, value_name = "HOST")]
    pub host: String,
    /// The directory to write: a new or an empty one, or one that this command wrote
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// https, or http for a test
    #[arg(long, default_value = "https")]
    pub scheme: String,
    /// The connector on /2fa/v1, for flows that were made for tyntec 2FA
    #[arg(long)]
    pub compatible: bool,
    /// Who answers for the connector [default: otpgate]
    #[arg(long, value_name = "NAME")]
    pub publisher: Option<String>,
    /// Where questions go [default: support@HOST]
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// The address of the privacy policy [default: the gateway's pages]
    #[arg(long, value_name = "URL")]
    pub privacy_policy: Option<String>,
}

/// Writes the files.
///
/// # Errors
/// [`CliError::Usage`] for a flag that is wrong, [`CliError::Output`] when the directory cannot be written, or holds other
/// files than this command's. Nothing is written then, or what was written before is left.
pub(super) fn run(args: &ExportArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let place =
        Place::new(&args.scheme, &args.host).map_err(|error| CliError::Usage(format!("--host, --scheme: {error}")))?;
    let (email, policy) = (args.email.as_deref(), args.privacy_policy.as_deref());
    let publisher = Publisher::new(&place, args.publisher.as_deref(), email, policy)
        .map_err(|error| CliError::Usage(format!("--publisher, --email, --privacy-policy: {error}")))?;
    let edition = if args.compatible { Edition::Compatible } else { Edition::Native };
    let package = package(edition, &place, &publisher).map_err(|error| CliError::Internal(error.to_string()))?;
    let fault = |problem: String| CliError::Output { directory: args.out.clone(), problem };
    write(&args.out, &package).map_err(fault)?;
    for (name, _) in &package.files {
        writeln!(out, "{}", args.out.join(name).display())?;
    }
    Ok(())
}

/// Writes everything beside the directory, then puts it in its place by one rename.
fn write(directory: &Path, package: &Package) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let there = match fs::symlink_metadata(directory) {
        Ok(found) if found.is_dir() => {
            refuse_others(directory, package)?;
            true
        }
        Ok(_) => return Err("it is there and is no directory".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(words(error)),
    };
    // "." is a directory with a name, only not here.
    let directory = &if there { fs::canonicalize(directory).map_err(words)? } else { directory.to_owned() };
    let name = directory.file_name().ok_or("it has no name of its own; name a directory to make")?;
    let parent = match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(words)?;
    let beside = |ending: &str| {
        let mut own = std::ffi::OsString::from(".");
        own.push(name);
        own.push(format!(".{}.{ending}", std::process::id()));
        parent.join(own)
    };
    let (new, old) = (beside("new"), beside("old"));
    let made = fs::create_dir(&new).and_then(|()| {
        for (name, bytes) in &package.files {
            let mut file = fs::File::create_new(new.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        if there {
            fs::rename(directory, &old)?;
            // Where the second rename fails, the first is taken back.
            return fs::rename(&new, directory).inspect_err(|_| drop(fs::rename(&old, directory)));
        }
        fs::rename(&new, directory)
    });
    if made.is_err() {
        drop(fs::remove_dir_all(&new));
    } else if there {
        drop(fs::remove_dir_all(&old));
    }
    made.map_err(words)
}

/// Whatever is no file of a connector is somebody's work.
fn refuse_others(directory: &Path, package: &Package) -> Result<(), String> {
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let name = entry.file_name();
        let ours = package.files.iter().any(|(known, _)| name == *known);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let name = name.to_string_lossy();
            return Err(format!("it holds {name:?}, which is no file of a connector; choose another directory"));
        }
    }
    // A README or an icon alone may be anybody's: a connector has its definition.
    let definition = directory.join(DEFINITION);
    let empty = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    if empty {
        return Ok(());
    }
    if !definition.is_file() {
        return Err("it holds other files than a connector's; choose another directory".to_owned());
    }
    let written = fs::read(&definition).map_err(|error| error.to_string())?;
    if is_of_otpgate(&written) {
        Ok(())
    } else {
        Err(format!("its {DEFINITION} is another connector's; choose another directory"))
    }
}

/// Whether a definition has an operation of ours, of this release or a former one.
fn is_of_otpgate(definition: &[u8]) -> bool {
    let Ok(definition) = serde_json::from_slice::<Value>(definition) else { return false };
    let ours: Vec<_> =
        [Edition::Native, Edition::Compatible].iter().flat_map(|edition| edition.wording().operations).collect();
    let paths = definition.get("paths").and_then(Value::as_object);
    paths.into_iter().flat_map(|paths| paths.values()).filter_map(Value::as_object).any(|path| {
        let ids = path.values().filter_map(|operation| operation.get("operationId")?.as_str());
        ids.into_iter().any(|id| ours.iter().any(|operation| operation.id == id))
    })
}
