//! `otpgate webhooks list`: who is told of what. Of an address only the host is shown: the rest is a secret.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::cli::{CliError, Desk};
use crate::events::subscription::Subscription;
use crate::otp::id::AccountId;
use crate::otp::news::EventNames;

/// The flags of `webhooks list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this account
    #[arg(long)]
    pub account: Option<AccountId>,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Prints the subscriptions, oldest first.
///
/// # Errors
/// [`CliError::StoreFailed`].
pub async fn run(args: ListArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let subscriptions = desk.subscriptions.subscriptions(args.account.as_ref()).await;
    let subscriptions = subscriptions.map_err(|error| desk.failed(error))?;
    if args.json {
        let list = subscriptions.iter().map(|subscription| as_json(subscription, desk)).collect();
        return Ok(writeln!(out, "{:#}", serde_json::Value::Array(list))?);
    }
    if subscriptions.is_empty() {
        return Ok(writeln!(out, "There is no subscription. A flow makes one, or: POST /v1/webhooks")?);
    }
    writeln!(out, "{:<20}  {:<24}  {:<12}  {:<40}  STATE, EVENTS", "ID", "CREATED", "ACCOUNT", "HOST")?;
    for subscription in &subscriptions {
        let events = if subscription.events == EventNames::of_otps() {
            "all of codes".to_owned()
        } else {
            names(subscription).join(",")
        };
        writeln!(
            out,
            "{:<20}  {:<24}  {:<12}  {:<40}  {}, {events}",
            subscription.id.to_string(),
            subscription.created.to_rfc3339(),
            subscription.account.as_str(),
            host(subscription, desk),
            state(subscription),
        )?;
    }
    Ok(())
}

fn as_json(subscription: &Subscription, desk: &Desk<'_>) -> serde_json::Value {
    json!({
        "id": subscription.id,
        "account": subscription.account,
        "connection": subscription.connection,
        "events": names(subscription),
        "applicationId": subscription.application,
        "host": host(subscription, desk),
        "created": subscription.created.to_rfc3339(),
        "secrets": subscription.live_secrets(desk.keyring, desk.now()).len(),
        "format": subscription.format,
        "state": state(subscription),
    })
}

fn names(subscription: &Subscription) -> Vec<&'static str> {
    subscription.events.iter().map(crate::otp::news::EventName::as_str).collect()
}

fn host(subscription: &Subscription, desk: &Desk<'_>) -> String {
    let uri = subscription.open_url(desk.keyring).and_then(|url| url.expose().parse::<http::Uri>().ok());
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_else(|| "unreadable".to_owned())
}

const fn state(subscription: &Subscription) -> &'static str {
    if subscription.gone.is_some() { "says it is gone" } else { "live" }
}
