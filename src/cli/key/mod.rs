//! `otpgate key`: connections and their keys. Knows no storage; a running server sees a change within a second.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::access::connection::{Connection, ConnectionId, Credentials, KeySecret};
use crate::access::key::ApiKey;
use crate::cli::{CliError, DataArgs, Desk};
use crate::clock::UnixMillis;
use crate::config::Quota;

pub mod create;
pub mod list;
pub mod revoke;
pub mod rotate;

type Object = serde_json::Map<String, Value>;

/// The arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a connection and print its key, once
    Create(create::CreateArgs),
    /// List connections, without their keys
    List(list::ListArgs),
    /// Give a connection a new key; the old ones go on working for a while
    Rotate(rotate::RotateArgs),
    /// Refuse a connection and its keys from now on
    Revoke(revoke::RevokeArgs),
}

/// Runs one of them. `quota` is what a new connection gets that is not told otherwise.
///
/// # Errors
/// [`CliError::Data`] for what names no connection, [`CliError::StoreFailed`] for a failure of the store.
pub async fn run(command: KeyCommand, quota: &Quota, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(args) => create::run(args, quota, desk, out).await,
        KeyCommand::List(args) => list::run(args, desk, out).await,
        KeyCommand::Rotate(args) => rotate::run(args, desk, out).await,
        KeyCommand::Revoke(args) => revoke::run(args, desk, out).await,
    }
}

/// The connection that an operator means: by its id, by the name of one of its keys, by a whole key, or by its own name.
async fn find(text: &str, desk: &Desk<'_>) -> Result<Connection, CliError> {
    let all = desk.all_connections().await?;
    let key_name = text
        .parse::<ApiKey>()
        .map_or_else(|_| text.trim_start_matches("otpg_").to_owned(), |key| key.name().as_str().to_owned());
    let id: Option<ConnectionId> = text.parse().ok();
    let exact = |connection: &&Connection| {
        Some(connection.id) == id || connection.keys.iter().any(|key| key.name.as_str() == key_name)
    };
    if let Some(connection) = all.iter().find(exact) {
        return Ok(connection.clone());
    }
    let named: Vec<_> =
        all.iter().filter(|connection| connection.name == text && connection.revoked.is_none()).collect();
    match named.as_slice() {
        [connection] => Ok(Connection::clone(connection)),
        // A whole key is never written back.
        [] => Err(CliError::Data(format!(
            "no connection is \"{}\"; give an id such as con_0123456789abcdef, or a key's name, from: otpgate key list",
            shortened(text)
        ))),
        several => {
            let ids: Vec<_> = several.iter().map(|connection| connection.id.to_string()).collect();
            Err(CliError::Data(format!(
                "{} connections are called \"{text}\"; give one of the ids: {}",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(24).filter(|character| !character.is_control()).collect();
    if text.chars().count() > 24 {
        short.push('…');
    }
    short
}

/// A connection as `--json` writes it. It holds nothing that is secret.
fn public_json(connection: &Connection, now: UnixMillis) -> Object {
    let live = connection.keys.iter().filter(|key| key.is_live(now));
    let key = |key: &KeySecret| json!({ "name": key.name, "created": key.created.to_rfc3339(), "expires": key.expires.map(UnixMillis::to_rfc3339) });
    let scopes = connection.scopes.to_string();
    let object = json!({
        "id": connection.id,
        "name": connection.name,
        "account": connection.account,
        "calls": connection.quota.calls,
        "period": connection.quota.period,
        "unlimited": connection.quota.unlimited,
        "scopes": scopes.split(',').collect::<Vec<_>>(),
        "allowSimple": connection.allow_simple,
        "allowClientId": connection.allow_client_id,
        "accessKeyId": connection.access_key_id,
        "clientId": connection.client_id,
        "keys": live.map(key).collect::<Vec<_>>(),
        "created": connection.created.to_rfc3339(),
        "revoked": connection.revoked.map(UnixMillis::to_rfc3339),
    });
    match object {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// The connection with what is shown once.
fn with_credentials(connection: &Connection, credentials: &Credentials, now: UnixMillis) -> Object {
    let mut object = public_json(connection, now);
    object.insert("key".to_owned(), credentials.key.expose().into());
    object.insert("keyName".to_owned(), credentials.key.name().as_str().into());
    object.insert("accessKeySecret".to_owned(), credentials.access_key_secret.expose().into());
    object
}

/// The quota in words.
fn quota_words(connection: &Connection) -> String {
    if connection.quota.unlimited {
        "unlimited".to_owned()
    } else {
        format!("{} in {} s", connection.quota.calls, connection.quota.period)
    }
}

/// What `otpgate::cli::key` does to a connection, for its tests.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::fake::Fake;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    /// Runs one command line on a fake store: what it printed.
    pub(crate) async fn key(fake: &Fake, line: &[&str]) -> Result<String, CliError> {
        let words = ["otpgate", "key"].iter().chain(line);
        let Command::Key(args) = Cli::try_parse_from(words).unwrap().command else { panic!("{line:?}") };
        let mut out = Vec::new();
        run(args.command, &Quota::default(), &fake.desk(), &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_connection_is_found_by_id_key_and_name() {
        let fake = Fake::new();
        let made: Value =
            serde_json::from_str(&key(&fake, &["create", "--name", "flow", "--json"]).await.unwrap()).unwrap();
        for field in ["id", "key", "keyName", "name"] {
            let found = find(made[field].as_str().unwrap(), &fake.desk()).await.unwrap();
            assert_eq!(found.id.to_string(), made["id"], "{field}");
        }
        key(&fake, &["create", "--name", "flow"]).await.unwrap();
        assert!(find("flow", &fake.desk()).await.unwrap_err().to_string().contains("2 connections are called"));
        let error = find("otpg_0123456789abcdefghijklmnopqrstuvwxyz", &fake.desk()).await.unwrap_err();
        assert!(!error.to_string().contains("uvwxyz") && error.exit_code() == 65, "{error}");
    }
}
