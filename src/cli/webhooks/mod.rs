//! `otpgate webhooks`: subscriptions and the events that nobody took. Knows no storage; a running server sees a change
//! within a second.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::{CliError, DataArgs, Desk};
use crate::events::dispatch::Post;
use crate::events::subscription::{Subscription, SubscriptionId};

pub mod create;
pub mod dead;
pub mod delete;
pub mod list;
pub mod replay;
pub mod rotate;

/// The arguments of `webhooks`.
#[derive(Debug, Args)]
pub struct WebhooksArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: WebhooksCommand,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What can be done with subscriptions and their events.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Tell a receiver in another system's form, after it was asked
    Create(create::CreateArgs),
    /// List subscriptions, without their addresses and secrets
    List(list::ListArgs),
    /// Give a subscription a new signing secret; the old one signs along for a while
    Rotate(rotate::RotateArgs),
    /// End a subscription
    Delete(delete::DeleteArgs),
    /// List the events that nobody took
    Dead(dead::DeadArgs),
    /// Post events that nobody took once more
    Replay(replay::ReplayArgs),
}

/// Runs one of them.
///
/// # Errors
/// [`CliError::Data`] for what names no subscription, [`CliError::StoreFailed`] for a failure of the store.
pub async fn run(
    command: WebhooksCommand,
    post: &dyn Post,
    desk: &Desk<'_>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        WebhooksCommand::Create(args) => create::run(args, post, desk, out).await,
        WebhooksCommand::List(args) => list::run(args, desk, out).await,
        WebhooksCommand::Rotate(args) => rotate::run(args, desk, out).await,
        WebhooksCommand::Delete(args) => delete::run(args, desk, out).await,
        WebhooksCommand::Dead(args) => dead::run(args, desk, out).await,
        WebhooksCommand::Replay(args) => replay::run(args, desk, out).await,
    }
}

async fn find(id: SubscriptionId, desk: &Desk<'_>) -> Result<Subscription, CliError> {
    let found = desk.subscriptions.subscription(id).await.map_err(|error| desk.failed(error))?;
    found.ok_or_else(|| unknown(id))
}

fn unknown(id: SubscriptionId) -> CliError {
    CliError::Data(format!("no subscription is {id}; see: otpgate webhooks list"))
}
