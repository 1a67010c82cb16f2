//! The life of a gateway that serves: until it is told to end, or its store fails; then its way down, in order. Must not
//! know how its parts are made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::backing::Rings;
use crate::app::smpp::Links;
use crate::layer::finish::Room;
use crate::server::Drain;
use crate::store::Store;
use crate::surface::open::Readiness;

/// How long calls without callers, and after them the courier and the dispatcher, may finish what is on its way when the process ends.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// How a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Drained; this many connections had to be cut.
    Drained(usize),
    /// The store failed: what was acknowledged is there after the next start.
    StoreFailed,
}

/// A gateway that serves.
pub struct Gateway {
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) store: Arc<dyn Store>,
    pub(super) rings: Option<Rings>,
    pub(super) readiness: Readiness,
    pub(super) follower: tokio::task::JoinHandle<()>,
    pub(super) drain: Drain,
    pub(super) drain_delay: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) rooms: [Room; 2],
    pub(super) stop: watch::Sender<bool>,
    pub(super) courier: tokio::task::JoinHandle<()>,
    pub(super) dispatcher: tokio::task::JoinHandle<()>,
    pub(super) teller: tokio::task::JoinHandle<()>,
    pub(super) links: Links,
    pub(super) tasks: JoinSet<()>,
}

impl Gateway {
    /// Where the public listener was bound.
    #[must_use]
    pub const fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the admin listener was bound.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Serves until `signal` or until the store fails; then drains, or ends at once.
    pub async fn run(mut self, signal: impl Future<Output = ()>) -> Ended {
        let failed = self.store.failed();
        tokio::pin!(failed);
        tokio::select! {
            () = &mut failed => return self.fail(),
            () = signal => {}
        }
        self.follower.abort();
        self.readiness.set(false);
        let cut = tokio::select! {
            cut = self.drain.run(self.drain_delay, self.drain_timeout) => cut,
            () = &mut failed => return self.fail(),
        };
        let last = Instant::now() + LAST_PATIENCE;
        // No connection holds the drain up for them; what they commit is the courier's, so they come first.
        let [keyed, open] = &self.rooms;
        if tokio::time::timeout_at(last, futures_util::future::join(keyed.emptied(), open.emptied())).await.is_err() {
            tracing::warn!("calls whose callers had gone were still under way; each is done whole or not at all");
        }
        self.stop.send_replace(true);
        let all = futures_util::future::join3(&mut self.courier, &mut self.dispatcher, &mut self.teller);
        if tokio::time::timeout_at(last, all).await.is_err() {
            tracing::warn!("messages or events were still on their way; they are claimed again after the next start");
            self.courier.abort();
            self.dispatcher.abort();
            self.teller.abort();
        }
        // After the courier: what it had on its way may still be answered.
        self.links.end().await;
        self.tasks.shutdown().await;
        if let Some(Rings { quota, store }) = &self.rings
            && let Err(error) = quota.save(&**store).await
        {
            tracing::warn!(%error, "the quota's rings could not be saved; the next start begins with empty windows");
        }
        self.store.leave().await;
        // The last owner waits for the writer: on a thread that may block.
        let (store, rings) = (self.store, self.rings);
        let _ = tokio::task::spawn_blocking(move || drop((store, rings))).await;
        Ended::Drained(cut)
    }

    /// Nothing is acknowledged any more; the process has to end, and its next start recovers from the log.
    fn fail(self) -> Ended {
        self.follower.abort();
        self.readiness.set(false);
        tracing::error!("the store failed; nothing is acknowledged any more, and the process ends");
        Ended::StoreFailed
    }
}
