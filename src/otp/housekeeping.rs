//! Housekeeping: notes expiries, replaces numbers by their hash after the retention, drops records that no rule needs and
//! answers that hold no more.
//!
//! Nothing depends on it being on time: a code past its life is expired whether or not this has noticed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::clock::{Clock, UnixMillis};
use crate::otp::id::OtpId;
use crate::otp::store::{Changes, OtpChange, OtpStore, StoreError, Subject, Touch, change};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// OTPs that are looked at in one step: they share a commit.
const STEP: usize = 256;
/// Steps between two prunings.
const PRUNE_EVERY: u32 = 60;

/// Works until `stop` turns true. `retention` is counted from an OTP's final state.
pub async fn run(
    store: Arc<dyn OtpStore>,
    clock: Arc<dyn Clock>,
    retention: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut steps = 0_u32;
    while !*stop.borrow() {
        let looked_at = sweep(&*store, clock.now(), retention).await;
        let dropped = store.drop_answers(clock.now(), STEP).await;
        let more = looked_at == Ok(STEP) || dropped == Ok(STEP);
        steps = steps.wrapping_add(1);
        if steps.is_multiple_of(PRUNE_EVERY) {
            // Refused today, tried again in a minute: what it drops is dead weight, not a fault.
            let _ = store.prune(clock.now()).await;
        }
        if !more {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// One step: how many OTPs were looked at.
///
/// # Errors
/// [`StoreError`]; the next step tries again.
pub async fn sweep(store: &dyn OtpStore, now: UnixMillis, retention: Duration) -> Result<usize, StoreError> {
    let due = store.due(now, STEP).await?;
    let looked_at = due.len();
    for result in join_all(due.into_iter().map(|id| look(store, id, now, retention))).await {
        result?;
    }
    Ok(looked_at)
}

async fn look(store: &dyn OtpStore, id: OtpId, now: UnixMillis, retention: Duration) -> Result<(), StoreError> {
    let touch = Touch { subject: Subject::OtpAlone(id), spend: None, answer: None };
    change(store, touch, move |records| {
        let Some(mut otp) = records.otp.as_deref().cloned() else { return (Changes::default(), ()) };
        let expired = otp.expire_now(now);
        let over = otp.due(retention).is_some_and(|due| now >= due);
        let changed = expired || over && otp.erase_number();
        let otp = if changed { OtpChange::Put(Arc::new(otp)) } else { OtpChange::Keep };
        (Changes { otp, ..Changes::default() }, ())
    })
    .await
}
