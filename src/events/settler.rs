//! Settles events in bulk: what was posted meanwhile shares a commit with what is settled next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::events::queue::Settled;
use crate::events::store::EventQueue;
use crate::otp::store::StoreError;

/// Events that are settled in one commit, at most.
const BATCH: usize = 256;
/// How long it rests when the store does not answer.
const STORE_REST: Duration = Duration::from_millis(500);

/// Settles what comes in until nobody can send any more. What cannot be settled because the store failed is claimed again
/// after the next start. The channel holds at most what is on its way at once.
pub async fn run(queue: Arc<dyn EventQueue>, mut tries: UnboundedReceiver<Settled>) {
    let mut batch = Vec::new();
    while tries.recv_many(&mut batch, BATCH).await > 0 {
        loop {
            match queue.settle_events(batch.clone()).await {
                Ok(()) => break,
                Err(StoreError::Failed) => return,
                Err(StoreError::Full | StoreError::Unavailable | StoreError::NotAdmitted | StoreError::Unanswered) => {
                    tokio::time::sleep(STORE_REST).await;
                }
            }
        }
        batch.clear();
    }
}
