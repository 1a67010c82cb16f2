//! Stores in memory, for the commands' tests. A write can be made to lose to another writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::access::store::ConnectionStore;
use crate::cli::Desk;
use crate::clock::{ManualClock, UnixMillis};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
use crate::otp::record::Otp;
use crate::otp::store::{ApplicationStore, Later, OtpChange, OtpStore, Records, StoreError, Subject, Touch, Transition, WriteError};
use crate::secret::{Keyring, SystemEntropy};

pub(crate) struct Fake {
    pub(crate) connections: Mutex<Vec<Connection>>,
    pub(crate) applications: Mutex<Vec<Application>>,
    pub(crate) otps: Mutex<Vec<Otp>>,
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
            otps: Mutex::default(),
            conflicts: AtomicUsize::new(0),
            keyring: Keyring::generate(&SystemEntropy),
            clock: ManualClock::at(UnixMillis(1_763_764_437_120)),
        }
    }

    pub(crate) fn desk(&self) -> Desk<'_> {
        Desk {
            connections: self,
            applications: self,
            otps: self,
            keyring: &self.keyring,
            entropy: &SystemEntropy,
            clock: &self.clock,
            directory: Path::new("/data"),
        }
    }

    fn loses(&self) -> bool {
        self.conflicts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

fn put<T: PartialEq>(rows: &mut Vec<T>, before: Option<&T>, after: T, same: impl Fn(&T) -> bool) -> Result<(), WriteError> {
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
        Box::pin(async move { Ok(self.applications.lock().iter().filter(|row| row.account == account).cloned().collect()) })
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

impl OtpStore for Fake {
    fn recall(&self, _: OtpId) -> Option<Arc<Otp>> {
        None
    }

    fn otp(&self, id: OtpId) -> Later<'_, Result<Option<Arc<Otp>>, StoreError>> {
        Box::pin(async move { Ok(self.otps.lock().iter().find(|otp| otp.id == id).cloned().map(Arc::new)) })
    }

    fn of_number(&self, key: NumberKey, limit: usize) -> Later<'_, Result<Vec<Arc<Otp>>, StoreError>> {
        Box::pin(
            async move { Ok(self.otps.lock().iter().filter(|otp| otp.number_key == key).take(limit).cloned().map(Arc::new).collect()) },
        )
    }

    fn change(&self, touch: Touch, mut transition: Transition) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut otps = self.otps.lock();
            let Subject::Otp(id) = touch.subject else { return Err(StoreError::Failed) };
            let otp = otps.iter().find(|otp| otp.id == id).cloned().map(Arc::new);
            match transition(&Records { otp, ..Records::default() }).otp {
                OtpChange::Keep => {}
                OtpChange::Delete => otps.retain(|otp| otp.id != id),
                OtpChange::Put(after) => otps.iter_mut().filter(|otp| otp.id == id).for_each(|otp| otp.clone_from(&after)),
            }
            Ok(())
        })
    }

    fn due(&self, _: UnixMillis, _: usize) -> Later<'_, Result<Vec<OtpId>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn prune(&self, _: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}
