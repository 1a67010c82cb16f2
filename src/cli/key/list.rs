//! `otpgate key list`: the connections, without anything secret.

use std::io::Write;

use clap::Args;

use super::{public_json, quota_words};
use crate::access::connection::{Connection, KeySecret};
use crate::cli::{CliError, Desk};
use crate::clock::UnixMillis;
use crate::otp::id::AccountId;

/// The flags of `key list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this account
    #[arg(long)]
    pub account: Option<AccountId>,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Prints the connections, oldest first.
///
/// # Errors
/// [`CliError::StoreFailed`].
pub async fn run(args: ListArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let mut connections = desk.all_connections().await?;
    connections.retain(|connection| args.account.as_ref().is_none_or(|account| connection.account == *account));
    let now = desk.now();
    if args.json {
        let list = connections.iter().map(|connection| public_json(connection, now).into()).collect();
        return Ok(writeln!(out, "{:#}", serde_json::Value::Array(list))?);
    }
    if connections.is_empty() {
        return Ok(writeln!(out, "There is no connection yet. Make one: otpgate key create --name NAME")?);
    }
    writeln!(out, "{:<20}  {:<12}  {:<13}  {:<36}  STATE, SCOPES, NAME", "ID", "NEWEST KEY", "QUOTA", "ACCOUNT")?;
    for connection in &connections {
        let newest = connection.keys.last().map_or("", |key| key.name.as_str());
        let (quota, state) = (quota_words(connection), state_words(connection, now));
        writeln!(
            out,
            "{:<20}  {newest:<12}  {quota:<13}  {:<36}  {state}, {}, {}",
            connection.id.to_string(),
            connection.account.as_str(),
            connection.scopes,
            connection.name
        )?;
    }
    Ok(())
}

fn state_words(connection: &Connection, now: UnixMillis) -> String {
    if let Some(revoked) = connection.revoked {
        return format!("revoked {}", revoked.to_rfc3339());
    }
    let ends = |key: &KeySecret| Some(format!("{} until {}", key.name, key.expires?.to_rfc3339()));
    let old: Vec<_> = connection.keys.iter().filter(|key| key.is_live(now)).filter_map(ends).collect();
    if old.is_empty() { "live".to_owned() } else { format!("live ({})", old.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::key;
    use crate::cli::fake::Fake;

    #[tokio::test]
    async fn a_list_shows_state_and_no_secret() {
        let fake = Fake::new();
        assert!(key(&fake, &["list"]).await.unwrap().contains("key create"));
        let made: serde_json::Value =
            serde_json::from_str(&key(&fake, &["create", "--name", "flow", "--json"]).await.unwrap()).unwrap();
        key(&fake, &["create", "--name", "other", "--account", "team"]).await.unwrap();
        for _ in 0..2 {
            key(&fake, &["rotate", "flow"]).await.unwrap();
        }
        key(&fake, &["revoke", "other"]).await.unwrap();
        let text = key(&fake, &["list"]).await.unwrap();
        assert!(text.contains("live (") && text.contains("revoked 2025-"), "{text}");
        assert_eq!(text.matches(" until 2025-11-22T").count(), 2, "{text}");
        let json = key(&fake, &["list", "--json", "--account", "default"]).await.unwrap();
        let list: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((list.as_array().unwrap().len(), list[0]["keys"].as_array().unwrap().len()), (1, 3));
        for secret in [&made["key"], &made["accessKeySecret"]] {
            assert!(!text.contains(secret.as_str().unwrap()) && !json.contains(secret.as_str().unwrap()));
        }
    }
}
