//! `otpgate erase`: what retention does after its days, now: a number becomes its keyed hash wherever it is kept.
//!
//! An OTP that is still active is deleted with its queued messages: nothing more goes to that number. Knows no storage.

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;

use crate::cli::{CliError, DataArgs, Desk};
use crate::otp::id::{AccountId, NumberKey};
use crate::otp::phone::Phone;
use crate::otp::store::Erased;

/// The flags of `erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// The phone number, as +491512345678
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub number: String,
    /// Only in this account; in all accounts without it
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// Erases the number.
///
/// # Errors
/// [`CliError::Data`] for what is no number, [`CliError::StoreFailed`] otherwise. What was erased before stays erased.
pub async fn run(args: EraseArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let phone = Phone::parse(&args.number, None)
        .map_err(|error| CliError::Data(format!("--number: \"{}\" is no phone number; write {error}", args.number)))?;
    let accounts = match args.account {
        Some(account) => BTreeSet::from([account]),
        None => desk
            .all_connections()
            .await?
            .into_iter()
            .map(|connection| connection.account)
            .chain([AccountId::default_account()])
            .collect(),
    };
    let mut total = Erased::default();
    for account in &accounts {
        let key = NumberKey::of(desk.keyring, account, &phone.number);
        let erased = desk.eraser.erase(key).await.map_err(|error| desk.failed(error))?;
        total.deleted += erased.deleted;
        total.anonymised += erased.anonymised;
    }
    let purged = desk.eraser.purge(&phone.number).await.map_err(|error| desk.failed(error))?;
    let Erased { deleted, anonymised } = total;
    let number = phone.number.masked();
    if args.json {
        let object = serde_json::json!({ "number": number, "accounts": accounts.len(), "erased": anonymised, "deleted": deleted, "purged": purged });
        return Ok(writeln!(out, "{object}")?);
    }
    writeln!(
        out,
        "{number}: erased from {anonymised} finished one-time passwords, {deleted} active ones deleted, in {} accounts.",
        accounts.len()
    )?;
    if !purged {
        writeln!(
            out,
            "The bytes are still in the files: a text or a reader holds them. Run this once more when it is idle."
        )?;
    }
    writeln!(out, "Copies in backups and at carriers are yours to erase.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::Fake;

    async fn erase(fake: &Fake, number: &str) -> Result<String, CliError> {
        let args = EraseArgs { number: number.to_owned(), account: None, json: true, data: DataArgs::default() };
        let mut out = Vec::new();
        run(args, &fake.desk(), &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn every_written_form_erases_the_same_key_and_no_number_is_shown() {
        let fake = Fake::new();
        let said = erase(&fake, "004915112345678").await.unwrap();
        assert_eq!(said, "{\"accounts\":1,\"deleted\":1,\"erased\":2,\"number\":\"+491…78\",\"purged\":true}\n");
        erase(&fake, "+49 151 12345678").await.unwrap();
        let erased = fake.erased.lock().clone();
        assert!(erased.len() == 2 && erased[0] == erased[1]);
        let error = erase(&fake, "call me").await.unwrap_err();
        assert!(error.exit_code() == 65 && error.to_string().contains("+491512345678"), "{error}");
    }
}
