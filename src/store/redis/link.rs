//! The link to the store: one connection that carries everybody's calls, watched over by one task. When it breaks, calls are
//! refused at once and the task connects again; only a store that bears the marker is ever talked to.
//!
//! A call that was not answered in time may have been done, and whoever relies on it is told so. It is never repeated here;
//! what is proven not to have run is. Must not know what a script does.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::ConnectionLike as _;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::{Notify, watch};

use crate::deadline::{Late, is_call, within};
use crate::otp::store::StoreError;
use crate::quota::charge;
use crate::store::redis::batch::Batched;
use crate::store::redis::beat::Look;
use crate::store::redis::connect::{ConnectError, Connector};
use crate::store::redis::fault::Fault;
use crate::store::redis::place::Place;
use crate::store::redis::script::Call;

/// How often the link is tried, and how long the pause between two tries to connect is.
const PROBE: Duration = Duration::from_millis(100);
/// How often a call that is proven not to have run is sent again: a script that was not there, a slot that had moved.
const AGAIN: usize = 4;
/// How long a turn may take, at least, where no caller waits for it.
const ALONE: Duration = Duration::from_secs(1);

/// A connection, to one server or to a cluster.
#[derive(Clone)]
pub(super) enum Connection {
    One(Batched),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends one command and waits for its answer.
    pub(super) async fn send(&mut self, command: Cmd) -> RedisResult<Value> {
        let answer = match self {
            // What nobody waits for comes in hundreds, to look at every shard: no call's batch queues behind it.
            Self::One(connection) if !is_call() => connection.alone().req_packed_command(&command).await,
            Self::One(connection) => connection.ask(command, None).await.map(|(answer, _)| answer),
            Self::Cluster(connection) => connection.req_packed_command(&command).await,
        };
        answer?.extract_error()
    }

    /// Sends one command, and in the same turn one that belongs behind it, to the server of `place`.
    pub(super) async fn send_both(
        &mut self,
        place: Place,
        first: Cmd,
        second: Cmd,
    ) -> RedisResult<(Value, RedisResult<Value>)> {
        let (first, second) = match self {
            Self::One(connection) => connection.ask(first, Some(second)).await?,
            Self::Cluster(connection) => {
                let mut both = Pipeline::with_capacity(2);
                both.add_command(first).add_command(second);
                let route = SingleNodeRoutingInfo::SpecificNode(Route::new(place.slot(), SlotAddr::Master));
                // In a box, as the rest of the cluster's: what waits for one server is not made larger by it.
                let answers = Box::pin(connection.route_pipeline(both, 0, 2, route)).await;
                let mut answers = answers?.into_iter();
                (answers.next().unwrap_or_default(), answers.next())
            }
        };
        Ok((first.extract_error()?, second.unwrap_or_default().extract_error()))
    }

    /// Whether it leads to a cluster.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// The command that waits until what this connection wrote is on so many replicas. Another connection, to a server that
/// took over meanwhile, has written nothing, and would have nothing to wait for.
pub(super) fn wait_for(replicas: u32, timeout: Duration) -> Cmd {
    // Half the time that a call has: the wait itself must not be late.
    let patience = u64::try_from(timeout.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    let mut wait = Cmd::new();
    wait.arg("WAIT").arg(replicas).arg(patience);
    wait
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

/// A turn without an outcome: what it means, and what the server or the connection said.
struct Missed {
    fault: Fault,
    error: Option<RedisError>,
}

/// The link.
pub(super) struct Link {
    live: ArcSwapOption<Live>,
    health: watch::Sender<Health>,
    trouble: Notify,
    /// Verdicts wait for so many replicas of the store.
    replicas: u32,
    /// How long a call may wait, all its turns together.
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
    /// [`StoreError`]. After `Unavailable` it may have run, which only matters to whoever relies on it: see
    /// [`Link::run_durably`].
    pub(super) async fn run(&self, call: Call) -> Result<Value, StoreError> {
        let live = self.live()?;
        self.run_on(&live, call).await
    }

    /// As [`Link::run`], on a connection that the caller has looked at.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub(super) async fn run_on(&self, live: &Arc<Live>, call: Call) -> Result<Value, StoreError> {
        self.attempt(live, call, 0).await.map_err(|fault| fault.told())
    }

    /// Runs a script whose outcome somebody is about to rely on, and never for a call whose charge is open: where so many replicas of the store were asked for, it is on
    /// them when this returns. They are waited for in the same turn.
    ///
    /// # Errors
    /// [`StoreError`]: `Unanswered` where it may have run, also where too few replicas have it, so that a failover may lose
    /// it; after the others it did not run.
    pub(super) async fn run_durably(&self, call: Call) -> Result<Value, StoreError> {
        if charge::is_open() {
            tracing::error!("something was to be changed for a call before it was counted: it was not");
            return Err(StoreError::Unavailable);
        }
        let live = self.live()?;
        self.run_durably_on(&live, call).await
    }

    /// As [`Link::run_durably`], on a connection that the caller has looked at.
    ///
    /// # Errors
    /// As [`Link::run_durably`].
    pub(super) async fn run_durably_on(&self, live: &Arc<Live>, call: Call) -> Result<Value, StoreError> {
        self.attempt(live, call, self.replicas).await.map_err(|fault| fault.told_of_a_write())
    }

    /// Runs a script, and waits until it is on so many replicas of the store.
    async fn attempt(&self, live: &Arc<Live>, call: Call, replicas: u32) -> Result<Value, Fault> {
        let (mut connection, mut by_text) = (live.connection.clone(), false);
        for _ in 0..AGAIN {
            let command = call.command(&live.marker, by_text);
            self.sent.fetch_add(1, Ordering::Relaxed);
            let outcome = if replicas == 0 {
                // By reference: each function that is handed a future has room for it twice.
                self.turn(pin!(connection.send(command))).await
            } else {
                let both = connection.send_both(call.place, command, wait_for(replicas, self.timeout));
                match self.turn(Box::pin(both)).await {
                    Ok((value, waited)) => return self.replicated(value, waited, replicas, live),
                    Err(missed) => Err(missed),
                }
            };
            let missed = match outcome {
                Ok(value) => return Ok(value),
                Err(missed) => missed,
            };
            match missed.fault {
                Fault::NoScript => by_text = true,
                Fault::Moved => tokio::time::sleep(PROBE / 20).await,
                _ => return Err(self.failed(&missed, live)),
            }
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        Err(Fault::Moved)
    }

    /// One turn, for as long as its call has time.
    async fn turn<T>(&self, turn: impl Future<Output = RedisResult<T>>) -> Result<T, Missed> {
        match within(self.timeout, self.timeout.max(ALONE), turn).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Missed { fault: Fault::of(&error), error: Some(error) }),
            Err(Late::Under) => Err(Missed { fault: Fault::Late, error: None }),
            Err(Late::Before) => Err(Missed { fault: Fault::NoTime, error: None }),
        }
    }

    /// What a script answered, where so many replicas have what it did.
    fn replicated(
        &self,
        value: Value,
        waited: RedisResult<Value>,
        replicas: u32,
        live: &Arc<Live>,
    ) -> Result<Value, Fault> {
        match waited {
            Ok(Value::Int(count)) if count >= i64::from(replicas) => Ok(value),
            Ok(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(wanted = replicas, "too few replicas of the store have the last write");
                Err(Fault::Late)
            }
            Err(error) => {
                self.failed(&Missed { fault: Fault::of(&error), error: Some(error) }, live);
                Err(Fault::Late)
            }
        }
    }

    /// Sends a command that is no script.
    ///
    /// # Errors
    /// [`StoreError`], as [`Link::run`].
    pub(super) async fn send(&self, command: Cmd) -> Result<Value, StoreError> {
        let live = self.live()?;
        let mut connection = live.connection.clone();
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.turn(pin!(connection.send(command))).await.map_err(|missed| self.failed(&missed, &live).told())
    }

    /// Notes a failure; a link that is no good is taken away, so that the next call is refused at once.
    fn failed(&self, missed: &Missed, live: &Arc<Live>) -> Fault {
        self.failed.fetch_add(1, Ordering::Relaxed);
        match missed.fault {
            Fault::Lost | Fault::Unwilling => self.withdraw(live, Health::Away),
            Fault::NotOurs => self.withdraw(live, Health::Uninitialised),
            Fault::Refused => {
                let said = missed.error.as_ref().map(|error| (error.code(), error.category()));
                tracing::error!(?said, "the store refused a call");
            }
            Fault::Late | Fault::NoTime | Fault::Full | Fault::NoScript | Fault::Moved => {}
        }
        if matches!(missed.fault, Fault::Lost | Fault::Unwilling | Fault::NotOurs | Fault::Late) {
            self.trouble.notify_one();
        }
        missed.fault
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

    /// Connects again; what was without its marker has forgotten calls, also where it has its marker again.
    async fn connect(&self, connector: &Connector) -> Result<Live, ConnectError> {
        if *self.health.borrow() == Health::Uninitialised {
            connector.past.lost();
        }
        connector.connect().await
    }

    /// From this instant on every quota counts as fully charged, on the same connection.
    fn recharge(&self, live: &Arc<Live>, charged_at: u64) {
        let again = Live { connection: live.connection.clone(), marker: Arc::clone(&live.marker), charged_at };
        let _before = self.live.compare_and_swap(&Some(Arc::clone(live)), Some(Arc::new(again)));
    }

    /// Watches over the link for as long as somebody holds it.
    pub(super) async fn watch(link: Weak<Self>, connector: Connector) {
        tokio::select! {
            () = Self::tend(&link, &connector) => {}
            () = Self::follow(&link, &connector) => {}
        }
    }

    /// Leaves a primary that the sentinels have replaced. It may not know that it was, and what it takes will be lost.
    async fn follow(link: &Weak<Self>, connector: &Connector) {
        loop {
            connector.replaced().await;
            let Some(this) = link.upgrade() else { return };
            if let Some(live) = this.live.load_full() {
                this.withdraw(&live, Health::Away);
                this.trouble.notify_one();
            }
        }
    }

    async fn tend(link: &Weak<Self>, connector: &Connector) {
        loop {
            let Some(this) = link.upgrade() else { return };
            if *this.health.borrow() == Health::Foreign {
                return;
            }
            match this.live.load_full() {
                Some(live) => match tokio::time::timeout(this.timeout.max(PROBE), connector.look(&live)).await {
                    Ok(Ok(Look::Same)) => connector.note(),
                    Ok(Ok(Look::Charged(charged_at))) => this.recharge(&live, charged_at),
                    // It is connected anew, by whoever has every quota charged first.
                    Ok(Ok(Look::WentBack)) => this.withdraw(&live, Health::Away),
                    Ok(Err(ConnectError::Uninitialised)) => this.withdraw(&live, Health::Uninitialised),
                    Ok(Err(_)) | Err(_) => this.withdraw(&live, Health::Away),
                },
                None => match this.connect(connector).await {
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
