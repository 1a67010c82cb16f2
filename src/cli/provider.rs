//! `otpgate provider list`: who delivers, and where each carrier that is set up in a console sends its receipts. Knows no
//! carrier.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::carrier::reader::shared_address;
use crate::cli::{CliError, DataArgs, Desk};
use crate::config::{Config, Provider, ProviderKind};
use crate::otp::channel::Channel;

/// The arguments of `provider`.
#[derive(Debug, Args)]
pub struct ProviderArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ProviderCommand,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What can be done with providers.
#[derive(Debug, Subcommand)]
pub enum ProviderCommand {
    /// List the providers of the configuration, with the secret addresses that take their receipts
    List(ListArgs),
}

/// The flags of `provider list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// Those of writing.
pub fn run(command: &ProviderCommand, config: &Config, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let ProviderCommand::List(args) = command;
    let providers = &config.delivery.providers;
    if args.json {
        let list = providers.iter().map(|provider| {
            serde_json::json!({
                "name": provider.name,
                "type": provider.kind,
                "preset": provider.preset,
                "channels": provider.channels,
                "receiptUrl": receipts(provider, config, desk),
            })
        });
        return Ok(writeln!(out, "{:#}", serde_json::Value::Array(list.collect()))?);
    }
    writeln!(out, "{:<32}  {:<18}  {:<10}  RECEIPTS GO TO", "NAME", "TYPE", "CHANNELS")?;
    for provider in providers {
        let preset = provider.preset.as_deref().map(|preset| format!(" ({preset})")).unwrap_or_default();
        let channels: Vec<_> = provider.channels.iter().map(|channel| Channel::as_str(*channel)).collect();
        writeln!(
            out,
            "{:<32}  {:<18}  {:<10}  {}",
            provider.name,
            format!("{}{preset}", provider.kind.as_str()),
            channels.join(","),
            receipts(provider, config, desk).as_deref().unwrap_or("-"),
        )?;
    }
    Ok(())
}

/// Where a carrier's console is to send receipts. None: it sends none over HTTP, or there is no public address.
fn receipts(provider: &Provider, config: &Config, desk: &Desk<'_>) -> Option<String> {
    let base_url = config.public_url.as_deref()?;
    (provider.kind == ProviderKind::Http).then(|| shared_address(desk.keyring, base_url, &provider.name))
}
