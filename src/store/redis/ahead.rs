//! Reading ahead: a call that names an OTP in its path asks for it in the same turn of the wire as for its quota, so that the
//! commit that follows is its second turn, wherever the code was sent from. What is read is only remembered; the commit says
//! whether it still holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::deadline;
use crate::otp::id::OtpId;
use crate::otp::store::Subject;
use crate::store::redis::RedisStore;

/// OTPs that are being read, at most: beyond it each change reads its own.
const AT_ONCE: usize = 16_384;

/// What is being read. Each goes when its read is over.
#[derive(Default)]
pub(super) struct Coming {
    reads: Mutex<HashMap<OtpId, watch::Receiver<()>>>,
    /// How many there are: mostly none.
    count: AtomicUsize,
}

impl Coming {
    /// Waits until an OTP that is being read has been.
    pub(super) async fn arrived(&self, id: OtpId) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let coming = self.reads.lock().get(&id).cloned();
        if let Some(mut coming) = coming {
            // The sender goes with the read.
            let _gone = coming.changed().await;
        }
    }
}

impl RedisStore {
    /// Reads the OTP that a path names, unless it is remembered. Returns at once.
    pub fn read_ahead(self: &Arc<Self>, path: &str) {
        let Some(id) = path.split('/').find_map(|part| part.parse::<OtpId>().ok()) else { return };
        if self.memory.has_both(id) {
            return;
        }
        let (over, coming) = watch::channel(());
        {
            let mut all = self.coming.reads.lock();
            if all.len() >= AT_ONCE || all.contains_key(&id) {
                return;
            }
            all.insert(id, coming);
            self.coming.count.store(all.len(), Ordering::Release);
        }
        let store = Arc::clone(self);
        tokio::spawn(deadline::call(async move {
            // What cannot be read now is read by the change, which says so.
            let _read = store.remember(&Subject::Otp(id)).await;
            let mut all = store.coming.reads.lock();
            all.remove(&id);
            store.coming.count.store(all.len(), Ordering::Release);
            drop(all);
            drop(over);
        }));
    }
}
