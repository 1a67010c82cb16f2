//! `otpgate key revoke`: a connection is refused from now on, whatever the key. It stays in the list.

use std::io::Write;

use clap::Args;

use super::{find, public_json};
use crate::cli::desk::WRITES;
use crate::cli::{CliError, Desk};
use crate::otp::store::WriteError;

/// The arguments of `key revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The connection: its id, the name of one of its keys, or its own name
    #[arg(value_name = "CONNECTION")]
    pub connection: String,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

/// Revokes a connection. One that is revoked already stays as it is, and that is no error.
///
/// # Errors
/// [`CliError::Data`] when there is no such connection; [`CliError::StoreFailed`].
pub async fn run(args: RevokeArgs, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    for _ in 0..WRITES {
        let before = find(&args.connection, desk).await?;
        let mut after = before.clone();
        let now = desk.now();
        let since = *after.revoked.get_or_insert(now);
        if after != before {
            match desk.connections.put_connection(Some(before), after.clone()).await {
                Ok(()) => {}
                Err(WriteError::Conflict) => continue,
                Err(error) => return Err(desk.not_written(error)),
            }
        }
        if args.json {
            writeln!(out, "{:#}", serde_json::Value::Object(public_json(&after, now)))?;
        } else {
            writeln!(out, "The connection \"{}\" ({}) is revoked since {}.", after.name, after.id, since.to_rfc3339())?;
            writeln!(out, "A running server refuses it within a second.")?;
        }
        return Ok(());
    }
    Err(desk.not_written(WriteError::Conflict))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::super::tests::key;
    use crate::cli::fake::Fake;

    #[tokio::test]
    async fn a_revocation_holds_and_keeps_its_first_instant() {
        let fake = Fake::new();
        key(&fake, &["create", "--name", "flow"]).await.unwrap();
        let id = fake.connections.lock()[0].id.to_string();
        fake.conflicts.store(1, Ordering::SeqCst);
        let text = key(&fake, &["revoke", "flow"]).await.unwrap();
        assert!(text.contains("within a second"), "{text}");
        let first = fake.connections.lock()[0].revoked;
        assert_eq!(first, Some(fake.desk().now()));
        fake.clock.advance(Duration::from_secs(9));
        key(&fake, &["revoke", &id, "--json"]).await.unwrap();
        assert_eq!(fake.connections.lock()[0].revoked, first);
        assert_eq!(key(&fake, &["revoke", "con_0000000000000000"]).await.unwrap_err().exit_code(), 65);
    }
}
