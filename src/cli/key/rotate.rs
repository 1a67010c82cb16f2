//! `otpgate key rotate`: a new key for a connection that stays itself, with its quota and its account's OTPs.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::find;
use crate::cli::desk::WRITES;
use crate::cli::{CliError, Desk};
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
    /// How long the key in use goes on working: 0s to 90d
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
/// [`CliError::Data`] when there is no such connection, or it is revoked; [`CliError::StoreFailed`].
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
        let key = after.rotate(args.overlap, desk.keyring, desk.entropy, now);
        match desk.connections.put_connection(Some(before), after.clone()).await {
            Ok(()) => {}
            Err(WriteError::Conflict) => continue,
            Err(error) => return Err(desk.not_written(error)),
        }
        let old = after.keys.first().filter(|_| after.keys.len() > 1);
        let ends = old.and_then(|old| old.expires).map(|ends| ends.max(now).to_rfc3339());
        if args.json {
            let object = serde_json::json!({
                "id": after.id,
                "name": after.name,
                "account": after.account,
                "key": key.expose(),
                "keyName": key.name(),
                "oldKeyName": old.map(|old| &old.name),
                "oldKeyWorksUntil": ends,
            });
            return Ok(writeln!(out, "{object:#}")?);
        }
        writeln!(
            out,
            "The connection \"{}\" ({}) has a new key. It is shown this once and works at once:\n\n  {}\n",
            after.name,
            after.id,
            key.expose()
        )?;
        if let (Some(old), Some(ends)) = (old, ends) {
            writeln!(
                out,
                "The old key ({}) works until {ends}. Give the new one to its callers before then.",
                old.name
            )?;
        }
        return Ok(());
    }
    Err(desk.not_written(WriteError::Conflict))
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
        key(&fake, &["revoke", "flow"]).await.unwrap();
        assert_eq!(key(&fake, &["rotate", made["id"].as_str().unwrap()]).await.unwrap_err().exit_code(), 65);
    }
}
