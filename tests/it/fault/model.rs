//! The model of one OTP, and the judge: is there an order of the operations that explains every answer?
//!
//! An operation takes effect at one instant between its beginning and its end; one without an answer takes effect before
//! the server was gone, or never. The well-known lies are looked for first, because they can be named.

use std::collections::HashSet;

use crate::fault::history::{Event, Op, State, Status, Told};

/// Attempts that a code has.
const ATTEMPTS: u64 = 3;

/// What the model allows beside the plain rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The number has other OTPs whose failures count too: it may be locked at any time.
    pub(crate) shared_number: bool,
}

/// An OTP, or none once it is deleted.
pub(crate) type Place = Option<State>;

/// What `op` does at `place`, and what it answers.
pub(crate) fn apply(place: Place, op: Op) -> (Place, Told) {
    let Some(mut state) = place else { return (None, Told::Missing) };
    let active = state.status == Status::Active;
    match op {
        Op::Read => (place, Told::State(state)),
        Op::Delete => (None, Told::State(state)),
        Op::Resend if active => {
            state.voice = true;
            (Some(state), Told::State(state))
        }
        Op::Resend => (place, Told::Conflict),
        Op::Wrong | Op::Right if !active => (place, Told::Verdict(false, state)),
        Op::Wrong => {
            state.attempts += 1;
            if state.attempts >= ATTEMPTS {
                state.status = Status::TooManyAttempts;
            }
            (Some(state), Told::Verdict(false, state))
        }
        Op::Right => {
            state.attempts += 1;
            state.status = Status::Verified;
            (Some(state), Told::Verdict(true, state))
        }
    }
}

/// Where `event` may lead from `place`.
fn steps(place: Place, event: &Event, rules: Rules) -> Vec<Place> {
    let mut possible = vec![apply(place, event.op)];
    if let Some(state) = place.filter(|state| state.status == Status::Active) {
        if event.late {
            possible.push(apply(Some(State { status: Status::Expired, ..state }), event.op));
        }
        if rules.shared_number && event.op == Op::Wrong {
            for attempts in [state.attempts, state.attempts + 1] {
                let locked = State { status: Status::TooManyAttempts, attempts, ..state };
                possible.push((Some(locked), Told::Verdict(false, locked)));
            }
        }
    }
    let fits = |told: &Told| event.told == Told::Nothing || event.told == *told;
    possible.into_iter().filter(|(_, told)| fits(told)).map(|(place, _)| place).collect()
}

/// Judges the history of one OTP that was at `before`.
///
/// # Errors
/// What is untrue.
pub(crate) fn judge(before: Place, events: &[Event], rules: Rules) -> Result<(), String> {
    // What was refused was not done.
    let mut events: Vec<_> = events.iter().copied().filter(|event| event.told != Told::Refused).collect();
    events.sort_by_key(|event| event.began);
    let lie = named_lie(before, &events).or_else(|| {
        let explained = search(before, &events, rules);
        (!explained).then_some("no order of the operations explains the answers")
    });
    match lie {
        None => Ok(()),
        Some(lie) => {
            let lines: Vec<_> = events.iter().map(|event| format!("\n    {event:?}")).collect();
            Err(format!("{lie}; it was {before:?}, then{}", lines.concat()))
        }
    }
}

fn told_state(event: &Event) -> Option<State> {
    match event.told {
        Told::State(state) | Told::Verdict(_, state) => Some(state),
        _ => None,
    }
}

fn named_lie(before: Place, events: &[Event]) -> Option<&'static str> {
    let verified = events.iter().filter(|event| matches!(event.told, Told::Verdict(true, _))).count();
    let spent = before.is_some_and(|state| state.status == Status::Verified);
    if verified + usize::from(spent) > 1 {
        return Some("a code was verified twice");
    }
    for event in events {
        let after = |earlier: &&Event| earlier.ended < event.began;
        let deletes = |earlier: &&Event| earlier.op == Op::Delete && earlier.told != Told::Missing;
        let asked_for = events.iter().filter(deletes).any(|delete| delete.began < event.ended);
        if event.told == Told::Missing && before.is_some() && !asked_for {
            return Some("an acknowledged OTP is lost");
        }
        let Some(now) = told_state(event) else { continue };
        let deleted =
            events.iter().filter(after).any(|earlier| earlier.op == Op::Delete && earlier.told.acknowledges());
        if deleted || before.is_none() {
            return Some("a deleted OTP is there again");
        }
        for known in before.into_iter().chain(events.iter().filter(after).filter_map(told_state)) {
            if now.attempts < known.attempts {
                return Some("the count of attempts went back");
            }
            if known.status != Status::Active && now.status != known.status {
                return Some("a final OTP changed");
            }
        }
    }
    None
}

/// Whether some order explains everything: depth first over the sets of operations done.
fn search(before: Place, events: &[Event], rules: Rules) -> bool {
    assert!(events.len() <= 64, "the history is too long to be judged");
    let must: u64 = bits(events, |event| event.told != Told::Nothing);
    let mut seen = HashSet::new();
    let mut open = vec![(0_u64, before)];
    while let Some((done, place)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, place)) {
            continue;
        }
        for (index, event) in events.iter().enumerate() {
            let overtaken = bits(events, |other| other.ended < event.began) & must & !done != 0;
            let too_late = event.told == Told::Nothing && bits(events, |other| other.began > event.ended) & done != 0;
            if done & (1 << index) == 0 && !overtaken && !too_late {
                let after = steps(place, event, rules);
                open.extend(after.into_iter().map(|place| (done | (1 << index), place)));
            }
        }
    }
    false
}

fn bits(events: &[Event], fits: impl Fn(&Event) -> bool) -> u64 {
    events.iter().enumerate().filter(|(_, event)| fits(event)).map(|(index, _)| 1 << index).sum()
}

mod tests {
    use super::*;

    const fn state(status: Status, attempts: u64) -> State {
        State { status, attempts, voice: false }
    }

    const ACTIVE_1: State = state(Status::Active, 1);
    const VERIFIED: State = state(Status::Verified, 1);

    fn event(began: u64, ended: u64, op: Op, told: Told) -> Event {
        Event { began, ended, op, told, late: false }
    }

    fn judged(events: &[Event]) -> Result<(), String> {
        judge(Some(State::SENT), events, Rules::default())
    }

    fn reported(events: &[Event], words: &str) {
        let report = judged(events).expect_err("it went unnoticed");
        assert!(report.starts_with(words), "{report}");
    }

    #[test]
    fn forged_histories_are_reported() {
        let read = |began, told| event(began, began + 1, Op::Read, told);
        let verified = event(1, 2, Op::Right, Told::Verdict(true, VERIFIED));
        let wrong = event(1, 2, Op::Wrong, Told::Verdict(false, ACTIVE_1));
        let deleted = event(1, 2, Op::Delete, Told::State(State::SENT));
        let resent = event(1, 2, Op::Resend, Told::State(State { voice: true, ..State::SENT }));
        reported(&[read(1, Told::Missing)], "an acknowledged OTP is lost");
        reported(&[deleted, read(3, Told::State(State::SENT))], "a deleted OTP is there again");
        reported(&[verified, event(3, 4, Op::Right, Told::Verdict(true, VERIFIED))], "a code was verified twice");
        reported(&[verified, read(3, Told::State(state(Status::Active, 1)))], "a final OTP changed");
        reported(&[wrong, read(3, Told::State(State::SENT))], "the count of attempts went back");
        let before = judge(Some(VERIFIED), &[read(1, Told::State(state(Status::Active, 1)))], Rules::default());
        assert!(before.is_err_and(|report| report.starts_with("a final OTP changed")));
        // Lies without a name of their own.
        let unexplained = "no order of the operations";
        reported(&[resent, read(3, Told::State(State::SENT))], unexplained);
        reported(&[wrong, event(1, 3, Op::Wrong, Told::Verdict(false, ACTIVE_1))], unexplained);
        reported(&[event(1, 2, Op::Wrong, Told::Verdict(false, state(Status::Active, 2)))], unexplained);
        reported(&[event(1, 2, Op::Right, Told::Verdict(false, ACTIVE_1))], unexplained);
        reported(&[read(1, Told::State(state(Status::Expired, 0)))], unexplained);
    }

    #[test]
    fn what_was_refused_was_not_done() {
        let refused = event(1, 2, Op::Wrong, Told::Refused);
        judged(&[refused, event(3, 4, Op::Read, Told::State(State::SENT))]).unwrap();
        reported(&[refused, event(3, 4, Op::Read, Told::State(ACTIVE_1))], "no order of the operations");
    }

    #[test]
    fn what_was_in_flight_may_have_happened_or_not() {
        let lost = event(1, 10, Op::Delete, Told::Nothing);
        let read = |told| event(11, 12, Op::Read, told);
        judged(&[lost, read(Told::Missing)]).unwrap();
        judged(&[lost, read(Told::State(State::SENT))]).unwrap();
        // It cannot happen after the server was gone.
        let later = event(13, 14, Op::Read, Told::Missing);
        assert!(judged(&[lost, read(Told::State(State::SENT)), later]).is_err());
        let right = event(1, 10, Op::Right, Told::Nothing);
        judged(&[right, read(Told::State(VERIFIED))]).unwrap();
        reported(&[right, read(Told::State(ACTIVE_1))], "no order of the operations");
    }

    #[test]
    fn what_runs_at_once_may_happen_in_any_order() {
        let wrong = event(1, 10, Op::Wrong, Told::Verdict(false, ACTIVE_1));
        let right = event(2, 9, Op::Right, Told::Verdict(true, state(Status::Verified, 2)));
        judged(&[wrong, right, event(3, 8, Op::Delete, Told::State(ACTIVE_1))]).unwrap_err();
        judged(&[wrong, right, event(3, 8, Op::Delete, Told::State(state(Status::Verified, 2)))]).unwrap();
        judged(&[wrong, right, event(11, 12, Op::Read, Told::State(state(Status::Verified, 2)))]).unwrap();
    }

    #[test]
    fn a_shared_number_may_be_locked_and_time_may_run_out() {
        let locked = event(1, 2, Op::Wrong, Told::Verdict(false, state(Status::TooManyAttempts, 0)));
        reported(&[locked], "no order of the operations");
        judge(Some(State::SENT), &[locked], Rules { shared_number: true }).unwrap();
        let expired = Event { late: true, ..event(1, 2, Op::Read, Told::State(state(Status::Expired, 0))) };
        judged(&[expired]).unwrap();
    }
}
