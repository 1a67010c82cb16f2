//! `otpgate application list` and `show`.

use std::io::Write;

use clap::Args;

use super::{find, json, lines, parse_reference};
use crate::cli::{CliError, Desk};
use crate::otp::application::ApplicationRef;
use crate::otp::id::AccountId;

/// The flags of `application list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `application show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The application: its id, its number, or default
    #[arg(value_name = "APPLICATION", value_parser = parse_reference)]
    pub application: ApplicationRef,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Prints an account's applications, oldest first.
///
/// # Errors
/// [`CliError::StoreFailed`].
pub async fn list(args: ListArgs, account: &AccountId, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let applications = desk.applications_of(account).await?;
    if args.json {
        let list = applications.iter().map(json).collect();
        return Ok(writeln!(out, "{:#}", serde_json::Value::Array(list))?);
    }
    if applications.is_empty() {
        return Ok(writeln!(
            out,
            "The account \"{account}\" has no application yet; its first key makes one: otpgate key create --account {account} --name NAME"
        )?);
    }
    writeln!(out, "{:<36}  {:>6}  {:>3}  {:>8}  {:>6}  NAME", "ID", "NUMBER", "PIN", "ATTEMPTS", "EXPIRE")?;
    for application in &applications {
        let (pin, attempts, expire) =
            (application.pin_length.get(), application.attempts.get(), application.expire.get());
        writeln!(
            out,
            "{:<36}  {:>6}  {pin:>3}  {attempts:>8}  {expire:>6}  {}",
            application.id.to_string(),
            application.alias,
            application.name.as_str()
        )?;
    }
    Ok(())
}

/// Prints one application.
///
/// # Errors
/// [`CliError::Data`] when there is none; [`CliError::StoreFailed`].
pub async fn show(args: ShowArgs, account: &AccountId, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let application = find(args.application, account, desk).await?;
    if args.json {
        return Ok(writeln!(out, "{:#}", json(&application))?);
    }
    Ok(out.write_all(lines(&application).as_bytes())?)
}
