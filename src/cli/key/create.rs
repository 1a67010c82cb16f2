//! `otpgate key create`: a new connection, and its account's default application where there is none.

use std::io::Write;

use clap::Args;

use super::{quota_words, with_credentials};
use crate::access::connection::{Connection, Credentials, NewConnection, QuotaSetting};
use crate::access::scope::Scopes;
use crate::cli::desk::WRITES;
use crate::cli::once::show_once;
use crate::cli::{CliError, Desk};
use crate::config::Quota;
use crate::otp::application::Application;
use crate::otp::id::AccountId;
use crate::otp::store::WriteError;

/// The flags of `key create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What you call the connection: 1 to 64 characters
    #[arg(long, value_parser = parse_name)]
    pub name: String,
    /// Whose applications and one-time passwords it sees; made if it is new
    #[arg(long, default_value = "default")]
    pub account: AccountId,
    /// Calls in any period, 1 to 10000 [default: the setting quota.calls, 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub calls: Option<u32>,
    /// The period in seconds, 1 to 3600 [default: the setting quota.period, 60]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub period: Option<u32>,
    /// Lift the quota of this connection
    #[arg(long)]
    pub unlimited: bool,
    /// What it may do, with commas: send, status, verify, delete, webhooks, admin (writes applications)
    #[arg(long, default_value_t)]
    pub scopes: Scopes,
    /// Let its access key id alone open Unimatrix' path, unsigned
    #[arg(long)]
    pub allow_simple: bool,
    /// Let its client id, which is public by nature, open OneAccess' paths
    #[arg(long)]
    pub allow_client_id: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

fn parse_name(text: &str) -> Result<String, String> {
    let legal =
        (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) && !text.trim().is_empty();
    if legal { Ok(text.to_owned()) } else { Err("1 to 64 characters, no control characters".to_owned()) }
}

/// Creates a connection and prints its credentials, once.
///
/// # Errors
/// [`CliError::StoreFailed`]; [`CliError::Unshown`] where they could not be printed.
pub async fn run(args: CreateArgs, quota: &Quota, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    let application = desk.default_application(&args.account).await?;
    let wish = NewConnection {
        account: args.account,
        name: args.name,
        quota: QuotaSetting {
            calls: args.calls.unwrap_or(quota.calls),
            period: args.period.unwrap_or_else(|| u32::try_from(quota.period.as_secs()).unwrap_or(u32::MAX)),
            unlimited: args.unlimited,
        },
        scopes: args.scopes,
        allow_simple: args.allow_simple,
        allow_client_id: args.allow_client_id,
    };
    let (connection, credentials) = create(&wish, desk).await?;
    let text = if args.json {
        let mut object = with_credentials(&connection, &credentials, desk.now());
        object.insert("applicationId".to_owned(), application.id.to_string().into());
        format!("{:#}\n", serde_json::Value::Object(object))
    } else {
        words(&connection, &credentials, &application)
    };
    let id = connection.id;
    let remedy =
        format!("{id} is made, with a key that nobody saw; revoke it (otpgate key revoke {id}) and make another one");
    show_once(&text, &remedy, out)
}

/// Writes a new connection; where its id or key is taken, another one.
///
/// # Errors
/// [`CliError::StoreFailed`].
pub async fn create(wish: &NewConnection, desk: &Desk<'_>) -> Result<(Connection, Credentials), CliError> {
    for _ in 0..WRITES {
        let (connection, credentials) = Connection::create(wish.clone(), desk.keyring, desk.entropy, desk.now());
        match desk.connections.put_connection(None, connection.clone()).await {
            Ok(()) => return Ok((connection, credentials)),
            Err(WriteError::Conflict) => {}
            Err(error) => return Err(desk.not_written(error)),
        }
    }
    Err(desk.not_written(WriteError::Conflict))
}

fn words(connection: &Connection, credentials: &Credentials, application: &Application) -> String {
    let mut text =
        format!("The connection \"{}\" is made. Key and secret are shown this once; keep them.\n\n", connection.name);
    for (name, value) in [
        ("key", credentials.key.expose()),
        ("id", &connection.id.to_string()),
        ("account", connection.account.as_str()),
        ("application", &format!("{} (the account's default)", application.id)),
        ("quota", &quota_words(connection)),
        ("scopes", &connection.scopes.to_string()),
        ("access key id", &connection.access_key_id),
        ("access key secret", credentials.access_key_secret.expose()),
        ("client id", &connection.client_id),
    ] {
        text += &format!("  {name:<18} {value}\n");
    }
    text += &format!(
        "\nIt works at once: send it in the header \"apikey\". To replace it later: otpgate key rotate {}\n",
        connection.id
    );
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::tests::key;
    use crate::access::key::ApiKey;
    use crate::cli::fake::Fake;

    #[tokio::test]
    async fn the_json_has_everything_and_the_key_opens() {
        let fake = Fake::new();
        fake.conflicts.store(3, Ordering::SeqCst);
        let text = key(
            &fake,
            &["create", "--name", "flow", "--account", "team", "--calls", "5", "--scopes", "send,admin", "--json"],
        )
        .await
        .unwrap();
        let made: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (made["account"].as_str(), made["calls"].as_u64(), made["period"].as_u64()),
            (Some("team"), Some(5), Some(60))
        );
        assert_eq!(made["scopes"], serde_json::json!(["send", "admin"]));
        let connections = fake.connections.lock();
        let connection = &connections[0];
        let hash = made["key"].as_str().unwrap().parse::<ApiKey>().unwrap().hash(&fake.keyring);
        assert!(connection.opens_with(&hash, fake.desk().now()));
        assert_eq!(connection.open_secret(&fake.keyring).unwrap().expose(), made["accessKeySecret"]);
        assert_eq!(
            (made["accessKeyId"].as_str(), made["clientId"].as_str()),
            (Some(&*connection.access_key_id), Some(&*connection.client_id))
        );
        let applications = fake.applications.lock();
        assert_eq!(applications.len(), 1);
        assert!(applications[0].is_default() && applications[0].account.as_str() == "team");
        assert_eq!(made["applicationId"], applications[0].id.to_string());
    }

    #[tokio::test]
    async fn a_second_connection_shares_the_default_application_and_words_say_what_to_do() {
        let fake = Fake::new();
        key(&fake, &["create", "--name", "a"]).await.unwrap();
        let text = key(&fake, &["create", "--name", "b", "--unlimited", "--allow-simple"]).await.unwrap();
        assert_eq!(fake.applications.lock().len(), 1);
        assert!(text.contains("otpg_") && text.contains("unlimited") && text.contains("key rotate con_"), "{text}");
        assert!(fake.connections.lock()[1].allow_simple);
        fake.conflicts.store(99, Ordering::SeqCst);
        assert_eq!(key(&fake, &["create", "--name", "c"]).await.unwrap_err().exit_code(), 74);
    }
}
