//! The link to the store: one connection that carries everybody's calls, watched over by one task. When it breaks, calls are
//! refused at once and the task connects again; only a store that bears the marker is ever talked to.
//!
//! A call that was not answered in time may have been done. It is never repeated here; what is proven not to have run is.
//! Must not know what a script does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::ConnectionLike as _;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisResult, Value};
use tokio::sync::{Notify, watch};

use crate::otp::store::StoreError;
use crate::store::redis::batch::Batched;
use crate::store::redis::connect::{ConnectError, Connector};
use crate::store::redis::fault::Fault;
use crate::store::redis::place::Place;
use crate::store::redis::script::Call;

/// How often the link is tried, and how long the pause between two tries to connect is.
const PROBE: Duration = Duration::from_millis(100);
/// How often a call that is proven not to have run is sent again: a script that was not there, a slot that had moved.
const AGAIN: usize = 4;

/// A connection, to one server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    One(Batched),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends one command and waits for its answer.
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::One(connection) => connection.ask(command.clone(), None).await.map(|(answer, _)| answer),
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        };
        answer?.extract_error()
    }

    /// Whether it leads to a cluster.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// A connection to the store that was opened.
pub(super) struct Live {
    pub(super) connection: Connection,
    /// What stands under every marker.
    pub(super) marker: Arc<[u8]>,
    /// From when on the quotas count as fully charged, by the store's clock in milliseconds; 0 for never.
    pub(super) charged_at: u64,
}

/// How the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Calls are answered.
    Ready,
    /// There is no connection, or it does not answer.
    Away,
    /// There is one, to a store without the marker: `otpgate store init`, or a restore, has to make it ours again.
    Uninitialised,
    /// The store was made anew, with another keyring: nothing that this process knows fits it. The process has to end.
    Foreign,
}

/// The link.
pub(super) struct Link {
    live: ArcSwapOption<Live>,
    health: watch::Sender<Health>,
    trouble: Notify,
    /// Verdicts wait for so many replicas of the store.
    replicas: u32,
    timeout: Duration,
    /// Calls that failed.
    failed: AtomicU64,
    /// Calls that were sent.
    sent: AtomicU64,
}

impl Link {
    /// A link that begins with `live`.
    pub(super) fn new(live: Live, timeout: Duration, replicas: u32) -> Self {
        Self {
            live: ArcSwapOption::from_pointee(live),
            health: watch::Sender::new(Health::Ready),
            trouble: Notify::new(),
            replicas,
            timeout,
            failed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// How it stands, now and from now on.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Calls sent, and those of them that failed.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// The connection, if there is one.
    pub(super) fn live(&self) -> Result<Arc<Live>, StoreError> {
        self.live.load_full().ok_or(StoreError::Unavailable)
    }

    /// Whether every call is refused.
    pub(super) fn is_away(&self) -> bool {
        self.live.load().is_none()
    }

    /// Runs a script.
    ///
    /// # Errors
    /// [`StoreError`]. `Full` changed nothing; after `Unavailable` it may have run.
    pub(super) async fn run(&self, call: Call) -> Result<Value, StoreError> {
        let live = self.live()?;
        self.run_on(&live, call).await
    }

    /// As [`Link::run`], on a connection that the caller has looked at.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub(super) async fn run_on(&self, live: &Arc<Live>, call: Call) -> Result<Value, StoreError> {
        let (mut connection, mut by_text) = (live.connection.clone(), false);
        for _ in 0..AGAIN {
            let command = call.command(&live.marker, by_text);
            self.sent.fetch_add(1, Ordering::Relaxed);
            let error = match connection.send(&command).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let fault = Fault::of(&error);
            match fault {
                Fault::NoScript => by_text = true,
                Fault::Moved => tokio::time::sleep(PROBE / 20).await,
                _ => return Err(self.failed(fault, &error, live)),
            }
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Unavailable)
    }

    /// Runs a script whose outcome somebody is about to rely on: where so many replicas of the store were asked for, it is on
    /// them when this returns.
    ///
    /// # Errors
    /// [`StoreError`], as [`Link::run`]; also where too few replicas have it: it may be lost in a failover, and nobody is
    /// told of it.
    pub(super) async fn run_durably(&self, call: Call) -> Result<Value, StoreError> {
        let place = call.place;
        let live = self.live()?;
        let value = self.run_on(&live, call).await?;
        if self.replicas > 0 {
            self.replicated(&live, place).await?;
        }
        Ok(value)
    }

    /// Waits until what this connection wrote is on the replicas that were asked for. Another connection, to a server that took
    /// over meanwhile, has written nothing, and would have nothing to wait for.
    async fn replicated(&self, live: &Arc<Live>, place: Place) -> Result<(), StoreError> {
        let mut connection = live.connection.clone();
        // Half the time that a call has: the wait itself must not be late.
        let patience = u64::try_from(self.timeout.as_millis() / 2).unwrap_or(u64::MAX).max(1);
        let mut wait = Cmd::new();
        wait.arg("WAIT").arg(self.replicas).arg(patience);
        let answer = match &mut connection {
            Connection::One(one) => one.ask(wait, None).await.map(|(answer, _)| answer),
            Connection::Cluster(cluster) => {
                use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
                let route = Route::new(place.slot(), SlotAddr::Master);
                cluster.route_command(wait, RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route))).await
            }
        };
        match answer.and_then(Value::extract_error) {
            Ok(Value::Int(count)) if count >= i64::from(self.replicas) => Ok(()),
            Ok(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(wanted = self.replicas, "too few replicas of the store have the last write");
                Err(StoreError::Unavailable)
            }
            Err(error) => Err(self.failed(Fault::of(&error), &error, live)),
        }
    }

    /// Sends a command that is no script.
    ///
    /// # Errors
    /// [`StoreError`], as [`Link::run`].
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        let live = self.live()?;
        let mut connection = live.connection.clone();
        self.sent.fetch_add(1, Ordering::Relaxed);
        connection.send(command).await.map_err(|error| self.failed(Fault::of(&error), &error, &live))
    }

    /// Notes a failure; a link that is no good is taken away, so that the next call is refused at once.
    fn failed(&self, fault: Fault, error: &redis::RedisError, live: &Arc<Live>) -> StoreError {
        self.failed.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::Lost | Fault::NotOurs | Fault::Late => {
                if fault != Fault::Late {
                    self.withdraw(live, if fault == Fault::NotOurs { Health::Uninitialised } else { Health::Away });
                }
                self.trouble.notify_one();
            }
            Fault::Refused => {
                tracing::error!(code = error.code(), category = error.category(), "the store refused a call");
            }
            Fault::Full | Fault::NoScript | Fault::Moved => {}
        }
        fault.told()
    }

    /// Takes `live` away, unless another connection has taken its place.
    fn withdraw(&self, live: &Arc<Live>, health: Health) {
        let found = self.live.compare_and_swap(&Some(Arc::clone(live)), None);
        if found.as_ref().is_some_and(|found| Arc::ptr_eq(found, live)) {
            self.stands(health);
        }
    }

    fn stands(&self, health: Health) {
        let changed = self.health.send_if_modified(|stands| {
            let changed = *stands != health;
            *stands = health;
            changed
        });
        if changed {
            match health {
                Health::Ready => tracing::info!("the store is reached again"),
                Health::Away => tracing::error!("the store is not reached: every call is refused until it is"),
                Health::Uninitialised => tracing::error!(
                    "the store has lost its marker: it was emptied, or another one took its place. Restore it, or make it anew with: otpgate store init"
                ),
                Health::Foreign => tracing::error!("the store was made anew with another keyring: this process ends"),
            }
        }
    }

    /// Watches over the link for as long as somebody holds it.
    pub(super) async fn watch(link: std::sync::Weak<Self>, connector: Connector) {
        loop {
            let Some(this) = link.upgrade() else { return };
            if *this.health.borrow() == Health::Foreign {
                return;
            }
            match this.live.load_full() {
                Some(live) => match tokio::time::timeout(this.timeout.max(PROBE), connector.probe(&live)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(ConnectError::Uninitialised)) => this.withdraw(&live, Health::Uninitialised),
                    Ok(Err(_)) | Err(_) => this.withdraw(&live, Health::Away),
                },
                None => match connector.connect().await {
                    Ok(live) => {
                        this.live.store(Some(Arc::new(live)));
                        this.stands(Health::Ready);
                    }
                    Err(ConnectError::Uninitialised) => this.stands(Health::Uninitialised),
                    Err(ConnectError::OtherKeyring) => this.stands(Health::Foreign),
                    Err(_) => this.stands(Health::Away),
                },
            }
            let trouble = this.trouble.notified();
            tokio::select! {
                () = tokio::time::sleep(PROBE) => {}
                () = trouble => {}
            }
        }
    }
}
