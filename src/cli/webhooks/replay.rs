//! `otpgate webhooks replay`: dead letters go back into the queue, under the ids that they had.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{ArgGroup, Args};

use super::find;
use crate::cli::{CliError, Desk};
use crate::events::queue::{Address, EventId};
use crate::events::subscription::SubscriptionId;

/// Dead letters that are put back in one commit.
const STEP: usize = 500;

/// The arguments of `webhooks replay`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").args(["subscription", "all"]).required(true)))]
pub struct ReplayArgs {
    /// The subscription's id, such as `sub_0123456789abcdef`
    #[arg(value_name = "SUBSCRIPTION")]
    pub subscription: Option<SubscriptionId>,
    /// Only this event
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub event: Option<EventId>,
    /// The dead letters of every subscription
    #[arg(long)]
    pub all: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Puts dead letters back into the queue.
///
/// # Errors
/// [`CliError::Data`] when there is no such subscription or event; [`CliError::StoreFailed`].
pub async fn run(args: ReplayArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    if let Some(id) = args.subscription {
        find(id, desk).await?;
    }
    let mut replayed = 0;
    // What dies again meanwhile is not put back again.
    let mut seen = BTreeSet::new();
    loop {
        let limit = if args.event.is_some() { usize::MAX } else { STEP };
        let dead = desk.events.dead_events(args.subscription, limit).await.map_err(|error| desk.failed(error))?;
        let addresses = dead.iter().map(|letter| letter.address);
        let wanted = |address: &Address| args.event.is_none_or(|id| address.event == id) && seen.insert(*address);
        let addresses: Vec<_> = addresses.filter(wanted).collect();
        if addresses.is_empty() {
            break;
        }
        replayed += desk.events.replay_events(addresses, desk.now()).await.map_err(|error| desk.failed(error))?;
    }
    if let Some(event) = args.event.filter(|_| replayed == 0) {
        return Err(CliError::Data(format!("no dead letter of it is {event}; see: otpgate webhooks dead")));
    }
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::json!({ "replayed": replayed }))?);
    }
    Ok(writeln!(out, "{replayed} events are tried again, with all their tries.")?)
}
