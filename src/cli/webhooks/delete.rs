//! `otpgate webhooks delete`: ends a subscription from the operator's side, as its own address would.

use std::io::Write;

use clap::Args;

use super::unknown;
use crate::cli::{CliError, Desk};
use crate::events::subscription::SubscriptionId;

/// The arguments of `webhooks delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The subscription's id, such as `sub_0123456789abcdef`
    #[arg(value_name = "SUBSCRIPTION")]
    pub subscription: SubscriptionId,
}

/// Ends a subscription, with everything that waits for it.
///
/// # Errors
/// [`CliError::Data`] when there is no such subscription; [`CliError::StoreFailed`].
pub async fn run(args: DeleteArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let DeleteArgs { subscription } = args;
    let deleted = desk.subscriptions.delete_subscription(subscription).await.map_err(|error| desk.failed(error))?;
    if !deleted {
        return Err(unknown(subscription));
    }
    Ok(writeln!(out, "The subscription {subscription} is over, and what waited for it is dropped.")?)
}
