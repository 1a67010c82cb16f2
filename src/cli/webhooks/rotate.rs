//! `otpgate webhooks rotate`: a new signing secret for a subscription. Events carry a signature of each while both live.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::find;
use crate::cli::desk::WRITES;
use crate::cli::once::show_once;
use crate::cli::{CliError, Desk};
use crate::config::duration;
use crate::events::callback::signature_key;
use crate::events::subscription::{Format, SubscriptionId};
use crate::otp::store::WriteError;

/// The longest overlap.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);

/// The arguments of `webhooks rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The subscription's id, such as `sub_0123456789abcdef`
    #[arg(value_name = "SUBSCRIPTION")]
    pub subscription: SubscriptionId,
    /// How long the secret in use signs along: 0s to 90d
    #[arg(long, default_value = "24h", value_parser = parse_overlap)]
    pub overlap: Duration,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

fn parse_overlap(text: &str) -> Result<Duration, String> {
    let overlap = duration::parse(text).filter(|overlap| *overlap <= LONGEST);
    overlap.ok_or_else(|| "a duration from 0s to 90d, such as 24h".to_owned())
}

/// Gives a subscription a new secret and prints it, once.
///
/// # Errors
/// [`CliError::Data`] when there is no such subscription; [`CliError::StoreFailed`]; [`CliError::Unshown`] where the secret could
/// not be printed.
pub async fn run(args: RotateArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    for _ in 0..WRITES {
        let before = find(args.subscription, desk).await?;
        let (mut after, now) = (before.clone(), desk.now());
        let secret = after.rotate(args.overlap, desk.keyring, desk.entropy, now);
        let secret = match after.format {
            Format::Standard => secret.to_text(),
            Format::OneAccess => signature_key(&secret),
        };
        match desk.subscriptions.put_subscription(Some(before), after.clone()).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => continue,
            Err(error) => return Err(desk.not_written(error)),
        }
        let ends = (now + args.overlap).to_rfc3339();
        let text = if args.json {
            let object = match after.format {
                Format::Standard => serde_json::json!({
                    "id": after.id,
                    "signingSecret": secret.expose(),
                    "oldSecretSignsUntil": ends,
                }),
                // The old key signs nothing any more.
                Format::OneAccess => serde_json::json!({"id": after.id, "signatureKey": secret.expose()}),
            };
            format!("{object:#}\n")
        } else {
            let old = match after.format {
                Format::Standard => {
                    format!("The old one signs along until {ends}. Give the new one to the receiver before then.")
                }
                Format::OneAccess => "A callback has one signature: the old key signs nothing any more.".to_owned(),
            };
            format!(
                "The subscription {} has a new secret. It is shown this once and signs at once:\n\n  {}\n\n{old}\n",
                after.id,
                secret.expose()
            )
        };
        let remedy = format!("{} has a new secret that nobody saw; rotate it once more", after.id);
        return show_once(&text, &remedy, out);
    }
    Err(desk.not_written(WriteError::Conflict))
}
