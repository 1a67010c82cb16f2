//! The signal that a provider is to end. Knows nothing of what ends.

use tokio::sync::watch;

/// Returns when `stop` is true, or nobody can set it any more.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if stop.changed().await.is_err() {
            return;
        }
    }
}
