//! Applications as the requests see them: one account's at a time, read once and kept until somebody writes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::clock::Clock;
use crate::otp::application::{
    APPLICATIONS_PER_ACCOUNT, Application, ApplicationName, ApplicationRef, Applications, TEMPLATES_PER_APPLICATION,
};
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::store::{ApplicationStore, StoreError, WriteError};
use crate::secret::Entropy;

/// Why an application was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogueError {
    /// The account has no such application.
    Unknown,
    /// The account has as many as it may have.
    TooMany,
    /// The default application stays, with its name.
    Default,
    /// The application would have more templates than it may have.
    TooManyTemplates,
    /// The store did not keep it.
    Store(StoreError),
}

impl From<StoreError> for CatalogueError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads and writes applications, and remembers what it read.
pub struct Catalogue {
    store: Arc<dyn ApplicationStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    kept: RwLock<Kept>,
}

/// What was read at one generation of the store.
#[derive(Default)]
struct Kept {
    generation: u64,
    /// Writes of this process so far: a read that began before one of them is not kept.
    writes: u64,
    accounts: HashMap<AccountId, Arc<Applications>>,
}

impl Catalogue {
    /// Over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ApplicationStore>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, clock, entropy, kept: RwLock::default() }
    }

    /// The account's applications.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of(&self, account: &AccountId) -> Result<Arc<Applications>, StoreError> {
        let generation = self.store.generation();
        let writes = {
            let kept = self.kept.read();
            if kept.generation == generation
                && let Some(applications) = kept.accounts.get(account)
            {
                return Ok(Arc::clone(applications));
            }
            kept.writes
        };
        let read = Arc::new(Applications::new(self.store.applications(account).await?));
        let mut kept = self.kept.write();
        if kept.generation != generation {
            *kept = Kept { generation, writes: kept.writes, accounts: HashMap::new() };
        }
        if kept.writes == writes && self.store.generation() == generation {
            kept.accounts.insert(account.clone(), Arc::clone(&read));
        }
        Ok(read)
    }

    /// Makes an application; `edit` sets what differs from the defaults.
    ///
    /// # Errors
    /// [`CatalogueError`]; `TooMany` and `TooManyTemplates`.
    pub async fn create(
        &self,
        account: &AccountId,
        name: Option<ApplicationName>,
        edit: impl Fn(&mut Application) + Send,
    ) -> Result<Application, CatalogueError> {
        loop {
            let list = self.store.applications(account).await?;
            if list.len() >= APPLICATIONS_PER_ACCOUNT {
                return Err(CatalogueError::TooMany);
            }
            let now = self.clock.now();
            let name = match &name {
                Some(name) => name.clone(),
                None => ApplicationName::parse(&format!("App-{}", now.0)).map_err(|_| CatalogueError::Unknown)?,
            };
            let alias = list.iter().map(|application| application.alias).max().unwrap_or(0) + 1;
            let id = ApplicationId::generate(&*self.entropy);
            let mut application = Application::new(id, alias, account.clone(), name, now);
            edit(&mut application);
            if application.templates.len() > TEMPLATES_PER_APPLICATION {
                return Err(CatalogueError::TooManyTemplates);
            }
            match self.put(None, application.clone()).await {
                Ok(()) => return Ok(application),
                Err(WriteError::Conflict) => {}
                Err(WriteError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Edits an application.
    ///
    /// # Errors
    /// [`CatalogueError`]; `Default` when the edit renames the default application; `TooManyTemplates`.
    pub async fn edit(
        &self,
        account: &AccountId,
        reference: ApplicationRef,
        edit: impl Fn(&mut Application) + Send,
    ) -> Result<Application, CatalogueError> {
        loop {
            let applications = Applications::new(self.store.applications(account).await?);
            let before = applications.find(reference).ok_or(CatalogueError::Unknown)?;
            let mut after = Application::clone(before);
            edit(&mut after);
            if before.is_default() != after.is_default() {
                return Err(CatalogueError::Default);
            }
            if after.templates.len() > TEMPLATES_PER_APPLICATION {
                return Err(CatalogueError::TooManyTemplates);
            }
            match self.put(Some(Application::clone(before)), after.clone()).await {
                Ok(()) => return Ok(after),
                Err(WriteError::Conflict) => {}
                Err(WriteError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Deletes an application: its last state.
    ///
    /// # Errors
    /// [`CatalogueError`]; `Default` for the default application.
    pub async fn delete(&self, account: &AccountId, reference: ApplicationRef) -> Result<Application, CatalogueError> {
        let applications = Applications::new(self.store.applications(account).await?);
        let application = applications.find(reference).ok_or(CatalogueError::Unknown)?;
        if application.is_default() {
            return Err(CatalogueError::Default);
        }
        let was_there = self.store.delete_application(account, application.id).await?;
        self.forget(account);
        if was_there { Ok(Application::clone(application)) } else { Err(CatalogueError::Unknown) }
    }

    async fn put(&self, before: Option<Application>, after: Application) -> Result<(), WriteError> {
        let account = after.account.clone();
        let written = self.store.put_application(before, after).await;
        self.forget(&account);
        written
    }

    fn forget(&self, account: &AccountId) {
        let mut kept = self.kept.write();
        kept.writes += 1;
        kept.accounts.remove(account);
    }
}
