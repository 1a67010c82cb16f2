//! `otpgate key rotate`: a new key for a connection that stays itself, with its quota and its account's OTPs. What was promised
//! to an older key holds; where that leaves no room for another one, the rotation is refused and says when there will be.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::find;
use crate::access::connection::{Connection, TooManyKeys};
use crate::access::key::{ApiKey, KeyName};
use crate::cli::desk::WRITES;
use crate::cli::once::show_once;
use crate::cli::{CliError, Desk};
use crate::clock::UnixMillis;
use crate::config::duration;
use crate::otp::store::WriteError;

/// The longest overlap.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);

/// The arguments of `key rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The connection: its id, the name of one of its keys, or its own name
    #[arg(value_name = "CONNECTION")]
    pub connection: String,
    /// How long the key in use goes on working: 0s to 90d. Older ones work until what an earlier rotation said; 0s stops them all
    #[arg(long, default_value = "24h", value_parser = parse_overlap)]
    pub overlap: Duration,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

fn parse_overlap(text: &str) -> Result<Duration, String> {
    duration::parse(text)
        .filter(|overlap| *overlap <= LONGEST)
        .ok_or_else(|| "a duration from 0s to 90d, such as 24h".to_owned())
}

/// Gives a connection a new key and prints it, once.
///
/// # Errors
/// [`CliError::Data`] when there is no such connection, it is revoked, or as many of its keys work as may;
/// [`CliError::StoreFailed`]; [`CliError::Unshown`] where the key could not be printed.
pub async fn run(args: RotateArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    for _ in 0..WRITES {
        let before = find(&args.connection, desk).await?;
        if before.revoked.is_some() {
            return Err(CliError::Data(format!(
                "{} is revoked; make a new connection: otpgate key create --name NAME",
                before.id
            )));
        }
        let mut after = before.clone();
        let now = desk.now();
        let rotated = after.rotate(args.overlap, desk.keyring, desk.entropy, now);
        let key = rotated.map_err(|error| refused(&before, &error))?;
        match desk.connections.put_connection(Some(before), after.clone()).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => continue,
            Err(error) => return Err(desk.not_written(error)),
        }
        let text = if args.json { json(&after, &key, now) } else { words(&after, &key, args.overlap, now) };
        let remedy = format!("{} has a new key that nobody saw; rotate it once more", after.id);
        return show_once(&text, &remedy, out);
    }
    Err(desk.not_written(WriteError::Conflict))
}

fn refused(connection: &Connection, error: &TooManyKeys) -> CliError {
    let id = connection.id;
    CliError::Data(format!(
        "{id}: {error}; rotate it then, or stop every old key now: otpgate key rotate {id} --overlap 0s"
    ))
}

/// The keys that were in use, newest first, each with the instant from which it is refused.
fn old_keys(connection: &Connection, now: UnixMillis) -> impl Iterator<Item = (&KeyName, UnixMillis)> {
    let old = connection.keys.iter().rev().skip(1);
    old.filter_map(move |key| Some((&key.name, key.expires?.max(now))))
}

fn json(connection: &Connection, key: &ApiKey, now: UnixMillis) -> String {
    let mut old = old_keys(connection, now);
    let replaced = old.next();
    let older = old.map(|(name, ends)| serde_json::json!({ "name": name, "worksUntil": ends.to_rfc3339() }));
    let object = serde_json::json!({
        "id": connection.id,
        "name": connection.name,
        "account": connection.account,
        "key": key.expose(),
        "keyName": key.name(),
        "oldKeyName": replaced.map(|(name, _)| name),
        "oldKeyWorksUntil": replaced.map(|(_, ends)| ends.to_rfc3339()),
        "olderKeys": older.collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

fn words(connection: &Connection, key: &ApiKey, overlap: Duration, now: UnixMillis) -> String {
    let mut text = format!(
        "The connection \"{}\" ({}) has a new key. It is shown this once and works at once:\n\n  {}\n\n",
        connection.name,
        connection.id,
        key.expose()
    );
    if overlap.is_zero() {
        text += "Every old key stopped working at once: give the new one to its callers now.\n";
        return text;
    }
    let mut old = old_keys(connection, now);
    if let Some((name, ends)) = old.next() {
        let ends = ends.to_rfc3339();
        text += &format!("The old key ({name}) works until {ends}. Give the new one to its callers before then.\n");
    }
    for (name, ends) in old {
        text += &format!("An older one ({name}) works until {}, as it was said.\n", ends.to_rfc3339());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::tests::key;
    use crate::access::key::ApiKey;
    use crate::cli::fake::Fake;
    use crate::clock::UnixMillis;

    #[tokio::test]
    async fn both_keys_open_during_the_overlap() {
        let fake = Fake::new();
        let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let made = json(key(&fake, &["create", "--name", "flow", "--json"]).await.unwrap());
        fake.conflicts.store(2, Ordering::SeqCst);
        let rotated =
            json(key(&fake, &["rotate", made["id"].as_str().unwrap(), "--overlap", "1h", "--json"]).await.unwrap());
        let now = fake.desk().now();
        let opens = |object: &serde_json::Value, at: u64| {
            let hash = object["key"].as_str().unwrap().parse::<ApiKey>().unwrap().hash(&fake.keyring);
            fake.connections.lock()[0].opens_with(&hash, UnixMillis(now.0 + at))
        };
        assert!(opens(&made, 0) && opens(&rotated, 0) && !opens(&made, 3_600_000) && opens(&rotated, 3_600_000));
        assert_eq!((&rotated["id"], &rotated["oldKeyName"]), (&made["id"], &made["keyName"]));
        assert_eq!(fake.connections.lock().len(), 1);
        let text = key(&fake, &["rotate", "flow"]).await.unwrap();
        assert!(text.contains("otpg_") && text.contains("works until 2025-11-22T"), "{text}");
        assert!(text.contains(&format!("An older one ({}) works until", made["keyName"].as_str().unwrap())), "{text}");
        key(&fake, &["revoke", "flow"]).await.unwrap();
        assert_eq!(key(&fake, &["rotate", made["id"].as_str().unwrap()]).await.unwrap_err().exit_code(), 65);
    }

    #[tokio::test]
    async fn a_rotation_without_room_says_when_there_is_some() {
        let fake = Fake::new();
        let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let made = json(key(&fake, &["create", "--name", "flow", "--json"]).await.unwrap());
        for older in 0..3 {
            let rotated = json(key(&fake, &["rotate", "flow", "--overlap", "1h", "--json"]).await.unwrap());
            assert_eq!(rotated["olderKeys"].as_array().unwrap().len(), older, "{rotated}");
            fake.clock.advance(std::time::Duration::from_millis(500));
        }
        let error = key(&fake, &["rotate", "flow", "--overlap", "1h"]).await.unwrap_err();
        let said = error.to_string();
        assert_eq!(error.exit_code(), 65, "{said}");
        let (first, id) = (made["keyName"].as_str().unwrap(), made["id"].as_str().unwrap());
        assert!(
            said.starts_with(&format!("{id}: 4 keys of it work already, and the next of them ({first})")),
            "{said}"
        );
        assert!(said.contains("runs out at 2025-11-21T23:33:57.120Z") && said.contains("--overlap 0s"), "{said}");
        assert_eq!(fake.connections.lock()[0].keys.len(), 4, "nothing was changed");
        let rotated = json(key(&fake, &["rotate", "flow", "--overlap", "0s", "--json"]).await.unwrap());
        assert_eq!(rotated["olderKeys"], serde_json::json!([]));
        assert_eq!(fake.connections.lock()[0].keys.iter().filter(|key| key.is_live(fake.desk().now())).count(), 1);
        let said = key(&fake, &["rotate", "flow", "--overlap", "0s"]).await.unwrap();
        assert!(said.contains("Every old key stopped working at once") && !said.contains("works until"), "{said}");
    }
}
