//! `otpgate webhooks dead`: the events that nobody took, without what they say of a number.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::cli::{CliError, Desk};
use crate::events::queue::{About, DeadLetter};
use crate::events::subscription::SubscriptionId;
use crate::otp::id::VerificationId;
use crate::verification::news::told;

/// The flags of `webhooks dead`.
#[derive(Debug, Args)]
pub struct DeadArgs {
    /// Only those of this subscription
    #[arg(value_name = "SUBSCRIPTION")]
    pub subscription: Option<SubscriptionId>,
    /// How many are shown at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Prints the dead letters, oldest first.
///
/// # Errors
/// [`CliError::StoreFailed`].
pub async fn run(args: DeadArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let dead = desk.events.dead_events(args.subscription, limit).await.map_err(|error| desk.failed(error))?;
    if args.json {
        let list = dead.iter().map(as_json).collect();
        return Ok(writeln!(out, "{:#}", serde_json::Value::Array(list))?);
    }
    if dead.is_empty() {
        return Ok(writeln!(out, "Every event was taken, or is still tried.")?);
    }
    writeln!(
        out,
        "{:<36}  {:<20}  {:<24}  {:<24}  TRIES, LAST ANSWER, EVENT",
        "ID", "SUBSCRIPTION", "OCCURRED", "KEPT UNTIL"
    )?;
    for letter in &dead {
        writeln!(
            out,
            "{:<36}  {:<20}  {:<24}  {:<24}  {}, {}, {}",
            letter.address.event.to_string(),
            letter.address.subscription.to_string(),
            letter.notice.at.to_rfc3339(),
            letter.ends.to_rfc3339(),
            letter.tries,
            letter.answer,
            letter.notice.name,
        )?;
    }
    Ok(())
}

/// The verification that it is about.
fn verification(letter: &DeadLetter) -> Option<VerificationId> {
    match &letter.notice.about {
        About::Otp(otp) => otp.verification,
        About::Other(other) => told(other).map(|verification| verification.id),
    }
}

fn as_json(letter: &DeadLetter) -> serde_json::Value {
    json!({
        "eventId": letter.address.event,
        "subscriptionId": letter.address.subscription,
        "event": letter.notice.name,
        "otpId": letter.notice.otp().map(|otp| otp.id),
        "verificationId": verification(letter),
        "occurredAt": letter.notice.at.to_rfc3339(),
        "keptUntil": letter.ends.to_rfc3339(),
        "tries": letter.tries,
        "answer": letter.answer,
    })
}
