//! The quota's rings lie in the store itself, where every replica decides by them: nothing is left to be saved at a drain.

use std::future::ready;

use crate::quota::{Pending, RingStore, SavedRing};
use crate::store::redis::RedisStore;

impl RingStore for RedisStore {
    fn take(&self) -> Pending<'_, Vec<SavedRing>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn put(&self, _: Vec<SavedRing>) -> Pending<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}
