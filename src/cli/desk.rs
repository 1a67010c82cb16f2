//! What an operator's command works with: the ports of the store, the keyring, the time. Knows no adapter.

use crate::access::connection::Connection;
use crate::access::store::ConnectionStore;
use crate::cli::{CliError, StoreAt};
use crate::clock::{Clock, UnixMillis};
use crate::events::store::{EventQueue, SubscriptionStore};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::store::{ApplicationStore, Eraser, StoreError, WriteError};
use crate::secret::{Entropy, Keyring};

/// Writes that lose to another writer are tried this often.
pub const WRITES: usize = 8;

/// The tools of a command.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Connections and their keys.
    pub connections: &'a dyn ConnectionStore,
    /// Applications.
    pub applications: &'a dyn ApplicationStore,
    /// Subscriptions.
    pub subscriptions: &'a dyn SubscriptionStore,
    /// Their events.
    pub events: &'a dyn EventQueue,
    /// What erases a number.
    pub eraser: &'a dyn Eraser,
    /// The keys that hash and seal.
    pub keyring: &'a Keyring,
    /// Where random bytes come from.
    pub entropy: &'a dyn Entropy,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Where the store is, for messages.
    pub at: StoreAt<'a>,
}

impl Desk<'_> {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A failure of the store.
    #[must_use]
    pub fn failed(&self, error: StoreError) -> CliError {
        CliError::store(self.at, error)
    }

    /// A write that was not done.
    #[must_use]
    pub fn not_written(&self, error: WriteError) -> CliError {
        CliError::write(self.at, error)
    }

    /// All connections, oldest first.
    ///
    /// # Errors
    /// [`CliError::StoreFailed`].
    pub async fn all_connections(&self) -> Result<Vec<Connection>, CliError> {
        self.connections.connections().await.map_err(|error| self.failed(error))
    }

    /// An account's applications, oldest first.
    ///
    /// # Errors
    /// [`CliError::StoreFailed`].
    pub async fn applications_of(&self, account: &AccountId) -> Result<Vec<Application>, CliError> {
        let mut applications = self.applications.applications(account).await.map_err(|error| self.failed(error))?;
        applications.sort_by_key(|application| (application.created, application.alias));
        Ok(applications)
    }

    /// Makes the account's default application, where it has none. The one it has afterwards.
    ///
    /// # Errors
    /// [`CliError::StoreFailed`].
    pub async fn default_application(&self, account: &AccountId) -> Result<Application, CliError> {
        for _ in 0..WRITES {
            let applications = self.applications_of(account).await?;
            if let Some(default) = applications.iter().find(|application| application.is_default()) {
                return Ok(default.clone());
            }
            let id = ApplicationId::generate(self.entropy);
            let default = Application::new(
                id,
                next_alias(&applications),
                account.clone(),
                Application::default_name(),
                self.now(),
            );
            match self.applications.put_application(None, default.clone()).await {
                Ok(()) => return Ok(default),
                Err(WriteError::Conflict) => {}
                Err(error) => return Err(self.not_written(error)),
            }
        }
        Err(self.not_written(WriteError::Conflict))
    }
}

/// The number that the account's next application gets: one more than any it has.
#[must_use]
pub fn next_alias(applications: &[Application]) -> u32 {
    applications.iter().map(|application| application.alias).max().unwrap_or_default().saturating_add(1)
}
