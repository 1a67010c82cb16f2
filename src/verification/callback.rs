//! Looks at verifications when they are due: ends those whose time ran out, tells whoever waits how one ended, and drops what
//! has been kept long enough.
//!
//! At least once: what was told and not yet noted when the process ended is told again, byte for byte the same and under the
//! same `webhook-id`. Nothing is told of a verification whose outcome is not durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::UnixMillis;
use crate::events::backoff::Backoff;
use crate::events::dispatch::{Letter, Outcome, Post, Posted, Proof};
use crate::events::signing::signatures;
use crate::otp::store::{StoreError, WriteError};
use crate::verification::record::{Callback, Verification};
use crate::verification::service::{Verifications, WRITES};
use crate::verification::store::VerificationStore;

/// Verifications that are looked at at once.
const AT_ONCE: usize = 64;
/// How often it looks whether any is due that nobody rang for.
const EVERY: Duration = Duration::from_secs(1);

/// Words the outcome of a verification as JSON. The same record is always worded the same.
pub trait Wording: Send + Sync + 'static {
    /// The body.
    fn word(&self, verification: &Verification) -> Vec<u8>;
}

/// What came of telling whoever waits.
enum Told {
    /// There is nothing left to do.
    Over,
    /// It is tried again then.
    Later(UnixMillis),
}

/// What it works with.
pub struct Callbacks {
    /// The service.
    pub verifications: Arc<Verifications>,
    /// Where they lie.
    pub store: Arc<dyn VerificationStore>,
    /// When to try again.
    pub backoff: Backoff,
    /// Words the outcome.
    pub wording: Arc<dyn Wording>,
    /// Posts it.
    pub post: Arc<dyn Post>,
    /// How long after its end a verification is kept.
    pub retention: Duration,
}

impl Callbacks {
    /// Works until `stop` turns true; then finishes what is on its way.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut working = JoinSet::new();
        while !*stop.borrow() {
            while working.try_join_next().is_some() {}
            let (room, now) = (permits.available_permits(), self.verifications.now());
            // What cannot be claimed now is claimed by and by.
            let claimed = if room == 0 { Vec::new() } else { self.claim(now, room).await };
            let none = claimed.is_empty();
            for verification in claimed {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let callbacks = Arc::clone(&self);
                working.spawn(async move {
                    callbacks.look_at(verification).await;
                    drop(permit);
                });
            }
            if none {
                tokio::select! {
                    () = self.verifications.moved.notified() => {}
                    Some(_) = working.join_next(), if room == 0 => {}
                    () = tokio::time::sleep(EVERY) => {}
                    _ = stop.changed() => {}
                }
            }
        }
        while working.join_next().await.is_some() {}
    }

    async fn claim(&self, now: UnixMillis, limit: usize) -> Vec<Verification> {
        self.store.claim_verifications(now, limit).await.unwrap_or_default()
    }

    /// What is not done here, because the store does not do it, is done when the claim is over.
    async fn look_at(&self, verification: Verification) {
        // Whoever had it before may have moved it while it was being claimed.
        if verification.due(self.retention) > self.verifications.now() {
            return;
        }
        let done = match &verification.ended {
            None => self.verifications.settle(verification.id, None).await.map(drop),
            Some(_) if verification.is_over_at(self.verifications.now(), self.retention) => {
                self.store.put_verification(Some(verification), None).await.or_else(moved_on)
            }
            Some(_) => self.tell(verification).await,
        };
        if done.is_err() {
            tracing::debug!("a verification is looked at again later");
        }
    }

    async fn tell(&self, verification: Verification) -> Result<(), StoreError> {
        let Some(callback) = verification.callback.as_ref().filter(|callback| !callback.over) else { return Ok(()) };
        let (told, outcome) = self.try_once(&verification, callback).await;
        self.verifications.observer.told(outcome);
        self.note(verification, &told).await
    }

    /// One try. Also where the connection was revoked meanwhile, other than with a subscription: it is the one answer to a call
    /// that was let in, about the number that it named, and a flow that is never told hangs until its platform gives it up.
    async fn try_once(&self, verification: &Verification, callback: &Callback) -> (Told, Outcome) {
        let (id, now) = (verification.id, self.verifications.now());
        let opened = self.verifications.open_url(id, callback).zip(self.verifications.open_secret(id, callback));
        let Some((url, secret)) = opened else {
            tracing::warn!(verification = %id, "nobody is told: the address or the secret cannot be opened");
            return (Told::Over, Outcome::Dead);
        };
        let (id, body, timestamp) = (id.to_string(), self.wording.word(verification), now.0 / 1_000);
        let signature = signatures(&[secret], &id, timestamp, &body);
        let letter = Letter { url, id, proof: Proof::Signature { timestamp, signature }, body };
        let (answer, asked) = match self.post.post(letter).await {
            Posted::Answered { status: 200..=299, .. } => return (Told::Over, Outcome::Delivered),
            // Each wait has an address of its own: where there is none any more, nobody waits, and nobody ever will again.
            Posted::Answered { status: status @ (404 | 410), .. } => {
                tracing::info!(verification = %verification.id, status, "nobody is told: whoever waited is gone");
                return (Told::Over, Outcome::Dropped);
            }
            Posted::Answered { status, retry_after } => (format!("answered {status}"), retry_after),
            Posted::NoAnswer(why) => (why.to_owned(), None),
        };
        let wait = self.backoff.wait(callback.tries + 1, asked, &*self.verifications.entropy);
        wait.map_or_else(
            || {
                tracing::warn!(verification = %verification.id, answer, "whoever waited was not told");
                (Told::Over, Outcome::Dead)
            },
            |wait| (Told::Later(self.verifications.now() + wait), Outcome::Retried),
        )
    }

    /// Notes how a try ended. Whoever has stopped waiting meanwhile stays so.
    async fn note(&self, mut known: Verification, told: &Told) -> Result<(), StoreError> {
        for _ in 0..WRITES {
            let mut after = known.clone();
            let Some(callback) = after.callback.as_mut().filter(|callback| !callback.over) else { return Ok(()) };
            callback.tries += 1;
            match told {
                Told::Over => callback.over = true,
                Told::Later(due) => callback.due = *due,
            }
            let id = known.id;
            match self.store.put_verification(Some(known), Some(after)).await {
                Ok(()) => return Ok(()),
                Err(WriteError::Store(error)) => return Err(error),
                Err(WriteError::Conflict) => match self.store.verification(id).await? {
                    Some(newer) => known = newer,
                    None => return Ok(()),
                },
            }
        }
        Err(StoreError::Unavailable)
    }
}

/// Somebody else changed it: then it is looked at anew when it is due.
const fn moved_on(error: WriteError) -> Result<(), StoreError> {
    match error {
        WriteError::Conflict => Ok(()),
        WriteError::Store(error) => Err(error),
    }
}
