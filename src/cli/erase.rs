//! `otpgate erase`: what retention does after its days, now: a number becomes its keyed hash wherever it is kept.
//!
//! An OTP that is still active is deleted with its queued messages: nothing more goes to that number. What limits and
//! locks a number lies under the hash alone and stays, so that erasing opens no lock. Knows no storage.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use clap::Args;

use crate::cli::{CliError, DataArgs, Desk};
use crate::otp::id::{AccountId, NumberKey};
use crate::otp::phone::Phone;
use crate::otp::record::{Otp, OtpStatus, Recipient};
use crate::otp::store::{Changes, OtpChange, Subject, Touch, change};

/// OTPs of one number and account that one run looks at.
const OTPS: usize = 100_000;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Erased {
    Nothing,
    Number,
    Active,
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
        None => {
            desk.all_connections().await?.into_iter().map(|connection| connection.account).chain([AccountId::default_account()]).collect()
        }
    };
    let (mut erased, mut deleted) = (0_u64, 0_u64);
    for account in &accounts {
        let key = NumberKey::of(desk.keyring, account, &phone.number);
        for otp in desk.otps.of_number(key, OTPS).await.map_err(|error| desk.failed(error))? {
            match erase_one(desk, &otp).await? {
                Erased::Nothing => {}
                Erased::Number => erased += 1,
                Erased::Active => deleted += 1,
            }
        }
    }
    let number = phone.number.masked();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "number": number, "accounts": accounts.len(), "erased": erased, "deleted": deleted }))?;
    } else {
        writeln!(
            out,
            "{number}: erased from {erased} finished one-time passwords, {deleted} active ones deleted, in {} accounts.",
            accounts.len()
        )?;
        writeln!(out, "Copies in backups and at carriers are yours to erase.")?;
    }
    Ok(())
}

async fn erase_one(desk: &Desk<'_>, otp: &Arc<Otp>) -> Result<Erased, CliError> {
    if otp.recipient == Recipient::Erased {
        return Ok(Erased::Nothing);
    }
    let (id, now) = (otp.id, desk.now());
    let erase = change(desk.otps, Touch { subject: Subject::Otp(id), spend: None }, move |records| {
        let Some(otp) = &records.otp else { return (Changes::default(), Erased::Nothing) };
        if otp.status_at(now) == OtpStatus::Active {
            return (Changes { otp: OtpChange::Delete, ..Changes::default() }, Erased::Active);
        }
        let mut otp = Otp::clone(otp);
        otp.expire_now(now);
        if !otp.erase_number() {
            return (Changes::default(), Erased::Nothing);
        }
        (Changes { otp: OtpChange::Put(Box::new(otp)), ..Changes::default() }, Erased::Number)
    });
    erase.await.map_err(|error| desk.failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::Fake;
    use crate::clock::UnixMillis;
    use crate::otp::application::Reference;
    use crate::otp::channel::Channel;
    use crate::otp::id::{ApplicationId, OtpId};
    use crate::otp::record::Delivery;

    const NUMBER: &str = "+4915112345678";

    fn otp(fake: &Fake, status: OtpStatus, expire: UnixMillis) -> Otp {
        let (account, desk) = (AccountId::default_account(), fake.desk());
        let number = Phone::parse(NUMBER, None).unwrap().number;
        let number_key = NumberKey::of(&fake.keyring, &account, &number);
        Otp {
            id: OtpId::generate(desk.now(), number_key, desk.entropy),
            account,
            application: ApplicationId::generate(desk.entropy),
            recipient: Recipient::Number(number),
            number_key,
            country: None,
            status,
            attempts: 0,
            attempts_allowed: 3,
            created: desk.now(),
            expire,
            finished: None,
            expiry_told: false,
            reference: Reference::parse("order 5").ok(),
            sealed: None,
            language: None,
            channel: Channel::Sms,
            sender: None,
            caller: None,
            messages: 1,
            delivery: Delivery::Sent,
            events: Vec::new(),
        }
    }

    async fn erase(fake: &Fake, number: &str) -> Result<String, CliError> {
        let args = EraseArgs { number: number.to_owned(), account: None, json: true, data: DataArgs::default() };
        let mut out = Vec::new();
        run(args, &fake.desk(), &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_number_is_gone_from_everything_and_the_active_ones_with_it() {
        let fake = Fake::new();
        let now = fake.desk().now();
        let later = UnixMillis(now.0 + 1_000);
        for (status, expire) in [(OtpStatus::Verified, later), (OtpStatus::Active, now), (OtpStatus::Active, later)] {
            fake.otps.lock().push(otp(&fake, status, expire));
        }
        let said = erase(&fake, "004915112345678").await.unwrap();
        assert_eq!(said, "{\"accounts\":1,\"deleted\":1,\"erased\":2,\"number\":\"+491…78\"}\n");
        let kept = fake.otps.lock().clone();
        assert_eq!(kept.iter().map(|otp| otp.status).collect::<Vec<_>>(), [OtpStatus::Verified, OtpStatus::Expired]);
        assert!(kept.iter().all(|otp| otp.recipient == Recipient::Erased && otp.reference.is_none()));
        assert!(erase(&fake, NUMBER).await.unwrap().contains("\"erased\":0"));
        let error = erase(&fake, "call me").await.unwrap_err();
        assert!(error.exit_code() == 65 && error.to_string().contains("+491512345678"), "{error}");
    }
}
