//! One link: dials, binds, has a session work, and begins anew when it ends. Knows no submit.
//!
//! A link that was cut is tried again at once, and then ever more seldom; one that was refused, or that ends as soon as it
//! is bound, is not hurried.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::delivery::smpp::answer::words;
use crate::delivery::smpp::connection::{BindError, Connection, Role};
use crate::delivery::smpp::dial::Dial;
use crate::delivery::smpp::session::{Ended, Job, Session};
use crate::delivery::smpp::shared::Shared;
use crate::delivery::smpp::stop::stopped;
use crate::secret::{Entropy, EntropyRng};

/// The first wait after a link was cut.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The first wait after a bind was refused: it will be again, until somebody changes something.
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// The longest wait; half a minute with its jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// A wait is lengthened by up to this many percent, so that links which were cut together do not come back together.
const JITTER_PERCENT: u32 = 50;
/// A session that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(1);

/// The way into a session: submits, and places in its window.
#[derive(Clone)]
pub(super) struct Entrance {
    /// Takes submits; as many as the window has places.
    pub(super) jobs: mpsc::Sender<Job>,
    /// The places of the window; closed when the session ended.
    pub(super) places: Arc<Semaphore>,
}

/// One link.
pub(super) struct Link {
    role: Role,
    entrance: Mutex<Option<Entrance>>,
}

impl Link {
    pub(super) const fn new(role: Role) -> Self {
        Self { role, entrance: Mutex::new(None) }
    }

    /// The way in; none where submits do not go on this link, or it is not bound.
    pub(super) fn entrance(&self) -> Option<Entrance> {
        self.entrance.lock().clone()
    }

    /// Keeps the link up until `stop` turns true.
    pub(super) async fn run(&self, shared: &Shared, dial: &dyn Dial, mut stop: watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        let mut told = None;
        let mut bound_before = false;
        loop {
            let opened = tokio::select! {
                opened = self.open(shared, dial) => opened,
                () = stopped(&mut stop) => return,
            };
            let wait = match opened {
                Ok(connection) => {
                    told = None;
                    if bound_before {
                        shared.observer.rebound();
                    }
                    bound_before = true;
                    let since = Instant::now();
                    match self.work(shared, connection, &mut stop).await {
                        Ended::Stopped => return,
                        Ended::Lost(why) => {
                            tracing::warn!(provider = shared.settings.name, why, "an SMPP link was lost");
                        }
                    }
                    if since.elapsed() >= STEADY {
                        backoff = Backoff::default();
                    }
                    backoff.wait(FIRST_WAIT, &*shared.entropy)
                }
                Err(failure) => {
                    // One line for what lasts, not one for every try.
                    if told.as_ref() != Some(&failure) {
                        failure.tell(&shared.settings.name);
                    }
                    let first = if matches!(failure, NotOpen::Refused(_)) { REFUSED_WAIT } else { FIRST_WAIT };
                    told = Some(failure);
                    backoff.wait(first, &*shared.entropy)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    async fn open(&self, shared: &Shared, dial: &dyn Dial) -> Result<Connection, NotOpen> {
        let opening = async {
            let wire = dial.dial().await.map_err(|error| NotOpen::NoWire(error.0))?;
            let mut connection = Connection::new(wire);
            connection.bind(&shared.settings, self.role).await.map_err(|error| match error {
                BindError::Refused(status) => NotOpen::Refused(status),
                BindError::Lost => NotOpen::NoWire("it closed the connection before it answered the bind"),
                BindError::Malformed => NotOpen::NoWire("the user or the password fits no field of a bind"),
            })?;
            Ok(connection)
        };
        let in_time = tokio::time::timeout(shared.settings.bind, opening).await;
        in_time.unwrap_or(Err(NotOpen::NoWire("it did not answer the bind in time")))
    }

    async fn work(&self, shared: &Shared, connection: Connection, stop: &mut watch::Receiver<bool>) -> Ended {
        let places = Arc::new(Semaphore::new(shared.settings.window));
        let (sender, jobs) = mpsc::channel(shared.settings.window);
        tracing::info!(provider = shared.settings.name, role = ?self.role, "an SMPP link is bound");
        shared.bound.fetch_add(1, Ordering::Relaxed);
        if self.role.sends() {
            *self.entrance.lock() = Some(Entrance { jobs: sender, places: Arc::clone(&places) });
        }
        let ended = Session::new(shared, connection).run(jobs, stop).await;
        *self.entrance.lock() = None;
        shared.bound.fetch_sub(1, Ordering::Relaxed);
        // Whoever waits for a place need not wait out their patience.
        places.close();
        ended
    }
}

/// Why a link is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotOpen {
    NoWire(&'static str),
    Refused(u32),
}

impl NotOpen {
    fn tell(self, provider: &str) {
        match self {
            Self::NoWire(why) => tracing::warn!(provider, why, "an SMPP link cannot be opened; it is tried again"),
            Self::Refused(status) => {
                let status = words(status);
                tracing::error!(provider, status, "the message centre refused the bind; check user and password");
            }
        }
    }
}

/// The waits between tries.
#[derive(Default)]
struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The next wait: `first`, then twice the last one, up to [`LONGEST_WAIT`], each with its jitter.
    fn wait(&mut self, first: Duration, entropy: &dyn Entropy) -> Duration {
        let wait = self.last.map_or(first, |last| (last * 2).max(first)).min(LONGEST_WAIT);
        self.last = Some(wait);
        let percent = EntropyRng(entropy).random_range(0..=JITTER_PERCENT);
        wait + wait * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn waits_begin_short_and_grow_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let mut expected = FIRST_WAIT;
        for _ in 0..12 {
            let wait = backoff.wait(FIRST_WAIT, &SystemEntropy);
            assert!(wait >= expected && wait <= expected * 3 / 2, "{wait:?} for {expected:?}");
            expected = (expected * 2).min(LONGEST_WAIT);
        }
        assert_eq!(expected, LONGEST_WAIT);
        assert!(Backoff::default().wait(REFUSED_WAIT, &SystemEntropy) >= REFUSED_WAIT);
    }
}
