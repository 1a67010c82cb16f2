//! The first key. An embedded store without any connection is of no use yet: a start without a configuration makes one and prints
//! its key, once. One that is revoked is a connection too: who revoked them all wants no new key. Knows no socket.

use std::io::Write;

use crate::access::connection::{Connection, NewConnection, QuotaSetting};
use crate::access::scope::Scopes;
use crate::access::store::ConnectionStore as _;
use crate::cli::banner::{FirstStart, first_start};
use crate::cli::once::show_once;
use crate::cli::{CliError, StoreAt};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::otp::id::AccountId;
use crate::secret::SystemEntropy;
use crate::store::sqlite::SqliteStore;

/// Makes the first connection where there is none, with the configured quota, and says how the gateway is reached with its key.
///
/// # Errors
/// [`CliError::StoreFailed`]; [`CliError::Unshown`] where the key could not be printed. There is no connection then, and the
/// next start makes one.
pub async fn first_key(
    config: &Config,
    store: &SqliteStore,
    base_url: &str,
    admin_url: &str,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let failed = |error| CliError::store(StoreAt::Directory(&config.data_dir), error);
    if !store.connections().await.map_err(failed)?.is_empty() {
        return Ok(());
    }
    let wish = NewConnection {
        account: AccountId::default_account(),
        name: "first".to_owned(),
        quota: QuotaSetting {
            calls: config.quota.calls,
            period: u32::try_from(config.quota.period.as_secs()).unwrap_or(u32::MAX),
            unlimited: false,
        },
        scopes: Scopes::default(),
        allow_simple: false,
        allow_client_id: false,
    };
    let (connection, credentials) =
        Connection::create(wish, &store.keyring(), &SystemEntropy, SystemClock::new().now());
    let made = FirstStart { base_url, admin_url, key: credentials.key.expose() };
    // Shown before it is kept: whatever happens between the two, a later start finds no connection and shows another key. One
    // that was kept and not shown would be lost.
    let remedy = "it shows the key of the first connection, which was not made; start it where somebody reads that";
    show_once(&first_start(&made), remedy, out)?;
    if !store.put_first_connection(connection).await.map_err(failed)? {
        let said = "Somebody made a connection meanwhile, so this one was not: use that one's key.\n\n";
        show_once(said, "the key that it showed opens nothing; start it again", out)?;
    }
    Ok(())
}
