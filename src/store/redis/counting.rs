//! Counts the call that a change is made for, where that is still open: in its commit, or, in a cluster, where a quota lies on
//! another server than a number, beside the first step that changes nothing of the call's. Must not know what a call does.
//!
//! Nothing that a call is to do stays done where it was not admitted.

use futures_util::future::join;

use crate::otp::store::StoreError;
use crate::quota::Decision;
use crate::quota::charge;
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{Commit, Outcome, counted, outcome};
use crate::store::redis::quota::{Said, ask};
use crate::store::redis::quota_script::CHECK;

impl RedisStore {
    /// Does a commit, for a call that is admitted.
    ///
    /// # Errors
    /// [`StoreError`]; `NotAdmitted` where the call is over its quota.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let live = self.link.live()?;
        if charge::is_open() && live.connection.is_cluster() {
            Box::pin(self.count()).await?;
        }
        let charge = charge::take();
        let sent = self.clock.now();
        if let Some(charge) = charge {
            self.refusals.ask(charge, sent);
        }
        // One way for both sorts: what a change waits in is moved and allocated for each.
        let answer =
            self.link.run_durably_on(&live, commit.call(charge.map(|charge| (charge, live.charged_at)))).await?;
        let Some(charge) = charge else { return outcome(answer) };
        let (said, step) = counted(answer)?;
        let decision = Said::read(&said)?.decision();
        self.refusals.learn(charge, sent, decision);
        charge::decided(decision);
        step.map_or(Err(StoreError::NotAdmitted), outcome)
    }

    /// Counts the call beside a write of which nobody knows yet, and which its caller takes back where the call is not admitted:
    /// what the write came to, and the count.
    pub(super) async fn beside<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
    ) -> (Result<T, StoreError>, Result<(), StoreError>) {
        // In this order: the charge is taken before the write begins.
        let (counted, written) = join(self.count(), write).await;
        (written, counted)
    }

    /// Whether the call is still to be counted, by another step than its commit.
    pub(super) fn counts_apart(&self) -> bool {
        charge::is_open() && self.link.live().is_ok_and(|live| live.connection.is_cluster())
    }

    /// Counts the call, if nobody has.
    pub(super) async fn count(&self) -> Result<(), StoreError> {
        let Some(charge) = charge::take() else { return Ok(()) };
        let sent = self.clock.now();
        self.refusals.ask(charge, sent);
        let decision = ask(&self.link, &CHECK, charge, None).await?.decision();
        self.refusals.learn(charge, sent, decision);
        charge::decided(decision);
        match decision {
            Decision::Admitted { .. } => Ok(()),
            Decision::Refused { .. } => Err(StoreError::NotAdmitted),
        }
    }
}
