//! A call whose quota is still open while it runs: whoever changes something for it counts it in the same step, so that a
//! shared store is asked once where it would be asked twice. Nothing is changed for a call that was not admitted. Must not know
//! who counts, or what a call does.
//!
//! The charge belongs to the call's own task. It is taken once: a step that was not answered may have counted it, and nobody
//! counts it again.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;

use super::decision::Decision;
use super::policy::Policy;
use super::saved::ConnectionKey;

tokio::task_local! {
    static OPEN: Open;
}

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose quota it is.
    pub connection: ConnectionKey,
    /// How much that is.
    pub policy: Policy,
}

/// How a charge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Nobody has counted it.
    Not,
    /// Somebody set out to and has no answer.
    Unknown,
    /// It was decided on, and counted if it was admitted.
    Decided(Decision),
}

struct Open {
    charge: Charge,
    counted: Cell<Counted>,
}

/// Runs a call with its charge open, and says how the charge stands after it.
pub async fn with<F: Future>(charge: Charge, call: F) -> (F::Output, Counted) {
    let mut call = pin!(OPEN.scope(Open { charge, counted: Cell::new(Counted::Not) }, call));
    let output = call.as_mut().await;
    // The scope has ended just now, so that it is there; else nothing is known, which admits nobody.
    let counted = call.take_value().map_or(Counted::Unknown, |open| open.counted.get());
    (output, counted)
}

/// Whether this runs for a call that nobody has counted yet.
#[must_use]
pub fn is_open() -> bool {
    OPEN.try_with(|open| open.counted.get() == Counted::Not).unwrap_or(false)
}

/// The charge of the call that this runs for, if it is open. Whoever takes it counts it, and tells by [`decided`] what came of
/// it.
#[must_use]
pub fn take() -> Option<Charge> {
    let taken = OPEN.try_with(|open| {
        let is_open = open.counted.get() == Counted::Not;
        is_open.then(|| {
            open.counted.set(Counted::Unknown);
            open.charge
        })
    });
    taken.ok().flatten()
}

/// The charge that was taken was decided on.
pub fn decided(decision: Decision) {
    // Outside a call there is none that could have been taken.
    let _told = OPEN.try_with(|open| open.counted.set(Counted::Decided(decision)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARGE: Charge = Charge { connection: ConnectionKey(7), policy: Policy::DEFAULT };
    const ADMITTED: Decision = Decision::Admitted { remaining: 3, resets_in_ms: 9 };

    #[tokio::test]
    async fn a_charge_is_taken_once_and_stands_as_it_was_left() {
        assert!(!is_open() && take().is_none(), "nobody calls");
        assert_eq!(with(CHARGE, async { is_open() }).await, (true, Counted::Not));
        let taken = with(CHARGE, async { (take(), is_open(), take()) }).await;
        assert_eq!(taken, ((Some(CHARGE), false, None), Counted::Unknown));
        let counted = with(CHARGE, async {
            let taken = take();
            tokio::task::yield_now().await;
            decided(ADMITTED);
            (taken, is_open(), take())
        });
        assert_eq!(counted.await, ((Some(CHARGE), false, None), Counted::Decided(ADMITTED)));
    }

    #[tokio::test]
    async fn what_runs_in_another_task_counts_for_nobody() {
        let (elsewhere, counted) = with(CHARGE, async { tokio::spawn(async { is_open() }).await }).await;
        assert!(!elsewhere.unwrap());
        assert_eq!(counted, Counted::Not);
    }
}
