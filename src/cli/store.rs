//! Opens the store that the configuration names, for a command. The only file of the command line that may name an adapter.

use std::path::Path;
use std::sync::Arc;

use crate::access::store::ConnectionStore;
use crate::cli::{CliError, Desk};
use crate::clock::Clock;
use crate::config::Config;
use crate::otp::store::{ApplicationStore, OtpStore};
use crate::secret::{Keyring, SystemEntropy};

/// An open store, by its ports.
pub struct OpenedStore {
    /// Connections.
    pub connections: Arc<dyn ConnectionStore>,
    /// Applications.
    pub applications: Arc<dyn ApplicationStore>,
    /// OTPs.
    pub otps: Arc<dyn OtpStore>,
    /// The keyring that lies in it.
    pub keyring: Arc<Keyring>,
}

impl OpenedStore {
    /// The tools for a command.
    pub fn desk<'a>(&'a self, clock: &'a dyn Clock, directory: &'a Path) -> Desk<'a> {
        Desk {
            connections: &*self.connections,
            applications: &*self.applications,
            otps: &*self.otps,
            keyring: &self.keyring,
            entropy: &SystemEntropy,
            clock,
            directory,
        }
    }
}

/// Opens the store beside a server that may be running, with its keyring; makes both where there is nothing yet.
///
/// # Errors
/// One [`CliError`] a cause, each with its exit code.
pub async fn open_store(config: &Config) -> Result<OpenedStore, CliError> {
    // TO BE FILLED IN with the embedded store: open, unwrap the keyring, map its errors.
    Err(CliError::DataDirectory { directory: config.data_dir.clone(), problem: "this build has no store".to_owned() })
}
