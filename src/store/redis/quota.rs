//! The quota that replicas share: counted in the store, by its clock, exactly as the one of a single process. A refusal is said
//! again here for as long as it is certainly true; everything else is one script. Must not know what a call does.
//!
//! A check is never repeated: one that was not answered may have been counted. Where so many replicas of the store are to be
//! waited for, a call is admitted when they have counted it; else a failover to one that lags may free as many calls as it
//! lags behind.

use std::fmt;
use std::sync::Arc;

use redis::Value;

use crate::clock::{Clock, UnixMillis};
use crate::otp::store::StoreError;
use crate::quota::charge::Charge;
use crate::quota::{Answer, ConnectionKey, Decision, Policy, Quota, Standing, Unavailable};
use crate::store::redis::RedisStore;
use crate::store::redis::commit::unreadable;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::quota_script::{CHECK, CHECK_TOLD, PEEK, PEEK_TOLD, SCALE, policy_bytes};
use crate::store::redis::refusals::Refusals;
use crate::store::redis::script::{Call, Lazy};

/// The quota, counted in the store.
pub struct RedisQuota {
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    refusals: Arc<Refusals>,
    /// For tests: the clock is also the store's.
    told: bool,
}

impl fmt::Debug for RedisQuota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisQuota").finish_non_exhaustive()
    }
}

/// What a script says.
pub(super) enum Said {
    /// So many calls are left, and there are more of them in so many milliseconds.
    Left { remaining: u16, resets_in_ms: u32 },
    /// None is, for so many milliseconds.
    Refused { wait_ms: u32 },
}

impl RedisQuota {
    /// The quota of all replicas on `store`. The store's clock counts; this process's own clock, which must never go back,
    /// only says how long ago a refusal was.
    #[must_use]
    pub fn new(store: &RedisStore) -> Self {
        let (link, clock) = (Arc::clone(&store.link), Arc::clone(&store.clock));
        Self { link, clock, refusals: Arc::clone(&store.refusals), told: false }
    }

    /// For tests only: a quota that counts by `time` in place of the store's clock. It runs another script than
    /// [`RedisQuota::new`], whose script takes no time from anybody.
    #[must_use]
    pub fn with_time(store: &RedisStore, time: Arc<dyn Clock>) -> Self {
        // What was refused by another clock is not known to it.
        Self { clock: time, told: true, refusals: Arc::new(Refusals::new()), ..Self::new(store) }
    }

    /// Runs the script that fits the clock.
    async fn ask(
        &self,
        (own, told): (&'static Lazy, &'static Lazy),
        charge: Charge,
        now: UnixMillis,
    ) -> Result<Said, StoreError> {
        if !self.told {
            return ask(&self.link, own, charge, None).await;
        }
        ask(&self.link, told, charge, Some(now)).await
    }
}

/// Runs a script of the quota; `told` is the time for one that is told it.
pub(super) async fn ask(
    link: &Link,
    script: &'static Lazy,
    charge: Charge,
    told: Option<UnixMillis>,
) -> Result<Said, StoreError> {
    // Since when quotas are charged has to come from the same description of the store as the marker.
    let live = link.live()?;
    let id = charge.connection.0.to_be_bytes();
    let mut call = Call::new(script, Place::of_bytes(&id)).key(Kind::Quota, &id);
    call = call.arg(policy_bytes(&charge.policy));
    if live.charged_at > 0 || told.is_some() {
        call = call.number(live.charged_at);
    }
    if let Some(now) = told {
        call = call.number(now.0);
    }
    Said::read(&link.run_durably_on(&live, call).await?)
}

impl Said {
    /// What a script says.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it says what it never does.
    pub(super) fn read(value: &Value) -> Result<Self, StoreError> {
        said(value).ok_or_else(unreadable)
    }

    /// Of a call that was to be counted.
    pub(super) const fn decision(&self) -> Decision {
        match *self {
            Self::Left { remaining, resets_in_ms } => Decision::Admitted { remaining, resets_in_ms },
            Self::Refused { wait_ms } => Decision::Refused { wait_ms },
        }
    }
}

fn said(value: &Value) -> Option<Said> {
    let Value::Int(figure) = *value else { return None };
    if figure < 0 {
        return u32::try_from(figure.checked_neg()?).ok().map(|wait_ms| Said::Refused { wait_ms });
    }
    let (remaining, resets_in_ms) = (u16::try_from(figure / SCALE).ok()?, u32::try_from(figure % SCALE).ok()?);
    Some(Said::Left { remaining, resets_in_ms })
}

impl Quota for RedisQuota {
    fn check_at_once(&self, connection: ConnectionKey, policy: &Policy) -> Option<Decision> {
        self.refusals.wait(connection, policy, self.clock.now()).map(|wait_ms| Decision::Refused { wait_ms })
    }

    fn check<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Decision> {
        if let Some(decision) = self.check_at_once(connection, policy) {
            return Answer::Now(decision);
        }
        let charge = Charge { connection, policy: *policy };
        Answer::Later(Box::pin(async move {
            let sent = self.clock.now();
            self.refusals.ask(charge, sent);
            let said = self.ask((&CHECK, &CHECK_TOLD), charge, sent).await.map_err(Unavailable::new)?;
            self.refusals.learn(charge, sent, said.decision());
            Ok(said.decision())
        }))
    }

    fn peek<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Standing> {
        let now = self.clock.now();
        if let Some(resets_in_ms) = self.refusals.wait(connection, policy, now) {
            return Answer::Now(Standing { remaining: 0, resets_in_ms });
        }
        let charge = Charge { connection, policy: *policy };
        Answer::Later(Box::pin(async move {
            let said = self.ask((&PEEK, &PEEK_TOLD), charge, now).await.map_err(Unavailable::new)?;
            Ok(match said {
                Said::Left { remaining, resets_in_ms } => Standing { remaining, resets_in_ms },
                Said::Refused { wait_ms } => Standing { remaining: 0, resets_in_ms: wait_ms },
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_to_its_edges_and_nothing_else_is() {
        let left = |figure| match said(&Value::Int(figure)) {
            Some(Said::Left { remaining, resets_in_ms }) => Some((remaining, resets_in_ms)),
            _ => None,
        };
        assert_eq!(left(0), Some((0, 0)));
        assert_eq!(left(9_999 * SCALE + 3_600_000), Some((9_999, 3_600_000)));
        assert_eq!(left(i64::MAX), None);
        assert!(matches!(said(&Value::Int(-3_600_000)), Some(Said::Refused { wait_ms: 3_600_000 })));
        assert!(said(&Value::Int(i64::MIN)).is_none() && said(&Value::Nil).is_none());
    }
}
