//! The way down: serving, announcing, closing, closed. Knows nothing of HTTP; connections look at the stage and act.
//!
//! A load balancer needs time to see that readiness went away, and a client that keeps connections alive needs to be
//! told before its connection goes. So the first stage only announces: new connections are still taken, answers
//! carry `Connection: close` (HTTP/2: GOAWAY). The second closes what is idle and finishes what runs. The third
//! cuts what is left.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long the cut connections may take to notice; they only have to be polled once.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

/// How far a drain has come. The order is the order in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No drain.
    Serving,
    /// Connections are taken and answered, and told to go elsewhere.
    Announcing,
    /// No connection is taken, idle ones are closed, requests are finished.
    Closing,
    /// Nothing is left, or is being cut.
    Closed,
}

/// The drain of one or more listeners: the app starts it, everybody may look at it. Clones are the same drain.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stage: watch::Sender<Stage>,
    gates: Mutex<Vec<Arc<Gate>>>,
    /// Accept loops and connections that are not over.
    open: AtomicUsize,
    emptied: Notify,
    cut: AtomicUsize,
}

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            stage: watch::Sender::new(Stage::Serving),
            gates: Mutex::new(Vec::new()),
            open: AtomicUsize::new(0),
            emptied: Notify::new(),
            cut: AtomicUsize::new(0),
        }))
    }

    /// Whether a drain has begun, in any stage: readiness is over.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.stage.borrow() > Stage::Serving
    }

    /// The stage now and, through the receiver, every later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Stage> {
        self.0.stage.subscribe()
    }

    /// Drains: announces for `delay`, then closes, then cuts what is left at `timeout` after the call (which
    /// therefore also bounds `delay`). Returns how many connections had to be cut. To be called once.
    pub async fn run(&self, delay: Duration, timeout: Duration) -> usize {
        let end = Instant::now() + timeout;
        if !delay.is_zero() {
            self.enter(Stage::Announcing);
            tokio::time::sleep(delay.min(timeout)).await;
        }
        self.enter(Stage::Closing);
        let in_time = tokio::time::timeout_at(end, self.emptied()).await.is_ok();
        self.enter(Stage::Closed);
        if !in_time && tokio::time::timeout(CUT_PATIENCE, self.emptied()).await.is_err() {
            tracing::warn!(connections = self.0.open.load(Ordering::SeqCst), "connections did not notice their end");
        }
        self.0.cut.load(Ordering::SeqCst)
    }

    fn enter(&self, stage: Stage) {
        // The gates first: whoever learns of the stage by waiting must find the connections in it.
        let gates = self.0.gates.lock();
        for gate in gates.iter() {
            gate.signal(|signal| signal.stage = stage);
        }
        self.0.stage.send_replace(stage);
        drop(gates);
        tracing::info!(?stage, open = self.0.open.load(Ordering::SeqCst), "drain");
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if self.0.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The gate of one more listener.
    pub(super) fn gate(&self) -> Arc<Gate> {
        let mut gates = self.0.gates.lock();
        let signal = Signal { stage: *self.0.stage.borrow(), pressed: false };
        let gate = Arc::new(Gate { bits: AtomicU8::new(signal.bits()), sender: watch::Sender::new(signal) });
        gates.push(Arc::clone(&gate));
        gate
    }

    /// Counts somebody in whom the drain must wait for, until the ticket is dropped.
    pub(super) fn ticket(&self) -> Ticket {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Ticket(Arc::clone(&self.0))
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// Somebody whom the drain waits for.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Shared>);

impl Ticket {
    /// Notes that the holder was cut.
    pub(super) fn cut(&self) {
        self.0.cut.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

/// What all connections of a listener have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) stage: Stage,
    /// Room is short: idle connections are to leave.
    pub(super) pressed: bool,
}

impl Signal {
    const fn bits(self) -> u8 {
        self.stage as u8 | (self.pressed as u8) << 7
    }
}

/// A listener's signal, twice: as a word that every poll can read, and as a channel that wakes who sleeps.
#[derive(Debug)]
pub(super) struct Gate {
    bits: AtomicU8,
    sender: watch::Sender<Signal>,
}

impl Gate {
    pub(super) fn now(&self) -> Signal {
        let bits = self.bits.load(Ordering::Acquire);
        let stage = match bits & 0x7f {
            0 => Stage::Serving,
            1 => Stage::Announcing,
            2 => Stage::Closing,
            _ => Stage::Closed,
        };
        Signal { stage, pressed: bits & 0x80 != 0 }
    }

    /// Polls `poll` with the signal in force, also when nothing happens but that the signal changes.
    ///
    /// A poll without a change costs one load: a waiter that is registered stays so, since a task's waker does not
    /// change.
    pub(super) async fn attend<T>(&self, mut poll: impl FnMut(&mut Context<'_>, Signal) -> Poll<T>) -> T {
        let mut seen = self.now();
        let mut change = pin!(self.changed(seen));
        let mut registered = false;
        poll_fn(|cx| {
            loop {
                let now = self.now();
                if now != seen {
                    seen = now;
                    change.set(self.changed(seen));
                    registered = false;
                }
                if registered {
                    return poll(cx, seen);
                }
                registered = change.as_mut().poll(cx).is_pending();
                if !registered {
                    change.set(self.changed(seen));
                }
            }
        })
        .await
    }

    /// Returns when the signal is no longer `seen`.
    async fn changed(&self, seen: Signal) {
        // An error would mean that the sender is gone, but it lives in this gate.
        let _ = self.sender.subscribe().wait_for(|signal| *signal != seen).await;
    }

    pub(super) async fn reached(&self, stage: Stage) {
        let _ = self.sender.subscribe().wait_for(|signal| signal.stage >= stage).await;
    }

    pub(super) fn press(&self, pressed: bool) {
        self.signal(|signal| signal.pressed = pressed);
    }

    fn signal(&self, change: impl FnOnce(&mut Signal)) {
        self.sender.send_if_modified(|signal| {
            let before = *signal;
            change(signal);
            self.bits.store(signal.bits(), Ordering::Release);
            *signal != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn passes_the_stages_in_time() {
        let drain = Drain::new();
        let gate = drain.gate();
        let ticket = drain.ticket();
        let mut stages = drain.subscribe();
        let start = Instant::now();
        let run = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run(Duration::from_secs(5), Duration::from_secs(30)).await }
        });
        assert!(!drain.is_draining());
        stages.wait_for(|stage| *stage == Stage::Announcing).await.unwrap();
        assert!(drain.is_draining());
        gate.reached(Stage::Closing).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        gate.changed(Signal { stage: Stage::Closing, pressed: false }).await;
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        assert_eq!(gate.now().stage, Stage::Closed);
        ticket.cut();
        drop(ticket);
        assert_eq!(run.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_the_last_ticket_goes() {
        let drain = Drain::new();
        let ticket = drain.ticket();
        let start = Instant::now();
        let leave = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(ticket);
        };
        let (cut, ()) = tokio::join!(drain.run(Duration::ZERO, Duration::from_secs(30)), leave);
        assert_eq!((cut, start.elapsed()), (0, Duration::from_secs(3)));
    }

    #[test]
    fn a_gate_made_late_knows_the_stage() {
        let drain = Drain::new();
        drain.enter(Stage::Announcing);
        let gate = drain.gate();
        assert_eq!(gate.now(), Signal { stage: Stage::Announcing, pressed: false });
        gate.press(true);
        assert_eq!(gate.now(), Signal { stage: Stage::Announcing, pressed: true });
    }
}
