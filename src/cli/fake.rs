//! Stores in memory, for the commands' tests. A write can be made to lose to another writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::access::store::ConnectionStore;
use crate::cli::{Desk, StoreAt};
use crate::clock::{ManualClock, UnixMillis};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId, NumberKey};
use crate::otp::phone::E164;
use crate::otp::store::{ApplicationStore, Erased, Eraser, Later, StoreError, WriteError};
use crate::secret::{Keyring, SystemEntropy};
use crate::store::memory::MemoryStore;

const NOW: UnixMillis = UnixMillis(1_763_764_437_120);
const RETENTION: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

pub(crate) struct Fake {
    pub(crate) connections: Mutex<Vec<Connection>>,
    pub(crate) applications: Mutex<Vec<Application>>,
    /// Subscriptions and their events.
    pub(crate) memory: MemoryStore,
    pub(crate) erased: Mutex<Vec<NumberKey>>,
    /// So many writes lose to another writer.
    pub(crate) conflicts: AtomicUsize,
    pub(crate) keyring: Keyring,
    pub(crate) clock: ManualClock,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            connections: Mutex::default(),
            applications: Mutex::default(),
            memory: MemoryStore::new(RETENTION, Arc::new(ManualClock::at(NOW))),
            erased: Mutex::default(),
            conflicts: AtomicUsize::new(0),
            keyring: Keyring::generate(&SystemEntropy),
            clock: ManualClock::at(NOW),
        }
    }

    pub(crate) fn desk(&self) -> Desk<'_> {
        Desk {
            connections: self,
            applications: self,
            subscriptions: &self.memory,
            events: &self.memory,
            eraser: self,
            keyring: &self.keyring,
            entropy: &SystemEntropy,
            clock: &self.clock,
            at: StoreAt::Directory(Path::new("/data")),
        }
    }

    fn loses(&self) -> bool {
        self.conflicts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

fn put<T: PartialEq>(
    rows: &mut Vec<T>,
    before: Option<&T>,
    after: T,
    same: impl Fn(&T) -> bool,
) -> Result<(), WriteError> {
    let place = rows.iter().position(same);
    match (before, place.and_then(|place| rows.get_mut(place))) {
        (None, None) => rows.push(after),
        (Some(before), Some(row)) if row == before => *row = after,
        _ => return Err(WriteError::Conflict),
    }
    Ok(())
}

impl ConnectionStore for Fake {
    fn by_key(&self, _: &KeyName) -> Later<'_, Result<Option<Arc<Connection>>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn connection(&self, id: ConnectionId) -> Later<'_, Result<Option<Connection>, StoreError>> {
        Box::pin(async move { Ok(self.connections.lock().iter().find(|row| row.id == id).cloned()) })
    }

    fn connections(&self) -> Later<'_, Result<Vec<Connection>, StoreError>> {
        Box::pin(async { Ok(self.connections.lock().clone()) })
    }

    fn put_connection(&self, before: Option<Connection>, after: Connection) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            let id = after.id;
            if self.loses() {
                Err(WriteError::Conflict)
            } else {
                put(&mut self.connections.lock(), before.as_ref(), after, |row| row.id == id)
            }
        })
    }

    fn generation(&self) -> u64 {
        0
    }
}

impl ApplicationStore for Fake {
    fn applications(&self, account: &AccountId) -> Later<'_, Result<Vec<Application>, StoreError>> {
        let account = account.clone();
        Box::pin(
            async move { Ok(self.applications.lock().iter().filter(|row| row.account == account).cloned().collect()) },
        )
    }

    fn put_application(&self, before: Option<Application>, after: Application) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            let id = after.id;
            if self.loses() {
                Err(WriteError::Conflict)
            } else {
                put(&mut self.applications.lock(), before.as_ref(), after, |row| row.id == id)
            }
        })
    }

    fn delete_application(&self, _: &AccountId, id: ApplicationId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut rows = self.applications.lock();
            let before = rows.len();
            rows.retain(|row| row.id != id);
            Ok(rows.len() < before)
        })
    }

    fn generation(&self) -> u64 {
        0
    }
}

impl Eraser for Fake {
    fn erase(&self, key: NumberKey) -> Later<'_, Result<Erased, StoreError>> {
        self.erased.lock().push(key);
        Box::pin(async { Ok(Erased { deleted: 1, anonymised: 2 }) })
    }

    fn purge<'a>(&'a self, _: &'a E164) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(true) })
    }
}
