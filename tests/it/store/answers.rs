//! What every store does with the answers that it keeps.

use std::sync::Arc;
use std::time::Duration;

use otpgate::clock::{Clock, UnixMillis};
use otpgate::idempotency::{Answer, CallKey, IdempotencyKey, Name, Operation, ReplayKey, Request};
use otpgate::otp::answer::KeptAnswer;
use otpgate::otp::housekeeping;
use otpgate::otp::id::OtpId;
use otpgate::otp::record::Otp;
use otpgate::otp::store::{Changes, OtpChange, Records, Subject, Touch, change};

use super::world::{CODE, Otps, RETENTION, World, delete, e164};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLI: Duration = Duration::from_millis(1);

/// A call that is known by `key` and asks for `body`.
pub(crate) fn call(world: &World, operation: Operation, key: &str, body: &str) -> CallKey {
    let name = Name::Key(IdempotencyKey::parse(key.as_bytes()).unwrap());
    let request = Request {
        method: b"POST",
        path: b"/",
        query: b"",
        media_type: b"application/json",
        fields: b"",
        body: body.as_bytes(),
    };
    CallKey::of(&world.keyring, 1, operation, name, &request)
}

fn answer(body: &str) -> Answer {
    Answer { status: 200, media_type: "application/json".into(), body: body.to_owned().into() }
}

fn kept(world: &World, key: &str, body: &str, otp: Option<&Otp>) -> KeptAnswer {
    let call = call(world, Operation::Send, key, "{}");
    KeptAnswer::new(&call, &answer(body), otp, &world.keyring, world.now())
}

/// Keeps an answer in a change of its own.
async fn keep<S: Otps>(store: &Arc<S>, subject: Subject, kept: &KeptAnswer) {
    let kept = kept.clone();
    let put = move |_: &Records| (Changes { answer: Some(Box::new(kept.clone())), ..Changes::default() }, ());
    change(&**store, Touch { subject, spend: None, answer: None }, put).await.unwrap();
}

/// What a change under `key` reads.
async fn seen<S: Otps>(store: &Arc<S>, key: ReplayKey) -> Option<(KeptAnswer, Option<OtpId>)> {
    let touch = Touch { subject: Subject::Nobody, spend: None, answer: Some(key) };
    let records = change(&**store, touch, |records: &Records| (Changes::default(), records.clone())).await.unwrap();
    assert_eq!((&records.otp, records.number.is_empty(), records.spent), (&None, true, 0), "nobody's records");
    records.kept.map(|kept| (KeptAnswer::clone(&kept.answer), kept.otp.map(|otp| otp.id)))
}

pub(crate) async fn an_answer_is_kept_with_its_change<S: Otps>(world: &World, store: &Arc<S>) {
    let otp = world.otp(1, 3);
    let (kept, id) = (kept(world, "k", "one", Some(&otp)), otp.id);
    assert_eq!((store.answer(kept.key).await.unwrap(), seen(store, kept.key).await), (None, None));
    let touch = Touch { subject: Subject::Number(otp.number_key), spend: None, answer: Some(kept.key) };
    let copy = kept.clone();
    let send = move |records: &Records| {
        assert_eq!(records.kept, None);
        let otp = OtpChange::Put(Arc::new(otp.clone()));
        (Changes { otp, answer: Some(Box::new(copy.clone())), ..Changes::default() }, ())
    };
    change(&**store, touch, send).await.unwrap();
    assert_eq!(store.answer(kept.key).await.unwrap().as_deref(), Some(&kept));
    assert_eq!(seen(store, kept.key).await, Some((kept.clone(), Some(id))));
    assert_eq!(kept.open(&world.keyring).unwrap(), answer("one"));
    // It outlives its OTP: who repeats a call is told what was done.
    delete(&**store, id).await;
    assert_eq!(seen(store, kept.key).await, Some((kept, None)));
}

pub(crate) async fn an_answer_takes_the_place_of_another<S: Otps>(world: &World, store: &Arc<S>) {
    let first = kept(world, "k", "one", None);
    keep(store, Subject::Nobody, &first).await;
    world.clock.advance(MILLI);
    let second = kept(world, "k", "two", None);
    keep(store, Subject::Nobody, &second).await;
    assert_eq!(store.answer(first.key).await.unwrap().as_deref(), Some(&second));
    // Its time counts, not that of the one before.
    assert_eq!(store.drop_answers(first.expires, 10).await, Ok(0));
    assert_eq!(store.drop_answers(second.expires, 10).await, Ok(1));
}

pub(crate) async fn answers_are_dropped_step_by_step<S: Otps>(world: &World, store: &Arc<S>) {
    let mut all = Vec::new();
    for number in 0..10 {
        all.push(kept(world, &format!("k{number}"), "x", None));
        keep(store, Subject::Nobody, &all[number]).await;
        world.clock.advance(MILLI);
    }
    let before = UnixMillis(all[0].expires.0 - 1);
    assert_eq!(store.drop_answers(before, 10).await, Ok(0));
    assert_eq!(store.drop_answers(all[6].expires, 4).await, Ok(4), "no more than was asked for");
    for (number, kept) in all.iter().enumerate() {
        assert_eq!(store.answer(kept.key).await.unwrap().is_some(), number >= 4, "the earliest go first");
        assert_eq!(seen(store, kept.key).await.is_some(), number >= 4);
    }
    assert_eq!(store.drop_answers(all[6].expires, 4).await, Ok(3));
    assert_eq!(store.drop_answers(all[9].expires, 4).await, Ok(3));
    assert_eq!(store.drop_answers(all[9].expires, 4).await, Ok(0));
}

pub(crate) async fn an_answer_does_not_outlast_the_number_it_shows<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    world.check(&**store, id, CODE).await;
    let over = world.now() + RETENTION;
    // An hour before the number goes, somebody asks: a day later would be too late.
    world.clock.advance(RETENTION - Duration::from_secs(3_600));
    let otp = store.otp(id).await.unwrap().unwrap();
    let late = kept(world, "late", "x", Some(&otp));
    assert!(late.expires > over);
    keep(store, Subject::Otp(id), &late).await;
    assert_eq!(store.drop_answers(over.minus(MILLI), 10).await, Ok(0));
    assert_eq!(store.drop_answers(over, 10).await, Ok(1));
    // One about an OTP that can still be checked holds its whole time.
    let id = world.send(&**store, 1, 3).await;
    let otp = store.otp(id).await.unwrap().unwrap();
    keep(store, Subject::Otp(id), &kept(world, "k", "x", Some(&otp))).await;
    assert_eq!(store.drop_answers((world.now() + DAY).minus(MILLI), 10).await, Ok(0));
    assert_eq!(store.drop_answers(world.now() + DAY, 10).await, Ok(1));
}

pub(crate) async fn answers_go_with_their_number<S: Otps>(world: &World, store: &Arc<S>) {
    let mut all = Vec::new();
    for number in [1, 1, 2] {
        let id = world.send(&**store, number, 3).await;
        let otp = store.otp(id).await.unwrap().unwrap();
        all.push(kept(world, &format!("k{}", all.len()), "x", Some(&otp)));
        keep(store, Subject::Otp(id), &all[all.len() - 1]).await;
    }
    all.push(kept(world, "refused", "x", None));
    keep(store, Subject::Nobody, &all[3]).await;
    store.erase(world.key(1)).await.unwrap();
    assert!(store.purge(&e164(1)).await.unwrap());
    let mut left = Vec::new();
    for kept in &all {
        assert_eq!(seen(store, kept.key).await.is_some(), store.answer(kept.key).await.unwrap().is_some());
        left.push(seen(store, kept.key).await.is_some());
    }
    assert_eq!(left, [false, false, true, true]);
}

pub(crate) async fn housekeeping_drops_what_holds_no_more<S: Otps>(world: &World, store: &Arc<S>) {
    let (first, second) = (kept(world, "first", "x", None), kept(world, "second", "x", None));
    keep(store, Subject::Nobody, &first).await;
    world.clock.advance(DAY);
    let second = KeptAnswer { expires: second.expires + DAY, ..second };
    keep(store, Subject::Nobody, &second).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let running = tokio::spawn(housekeeping::run(Arc::clone(store) as _, clock, RETENTION, stopped));
    while store.answer(first.key).await.unwrap().is_some() {
        tokio::time::sleep(MILLI).await;
    }
    assert!(store.answer(second.key).await.unwrap().is_some());
    stop.send_replace(true);
    running.await.unwrap();
}

#[test]
fn an_answer_opens_wholly_or_not_at_all() {
    let world = World::new();
    let otp = world.otp(1, 3);
    let whole = kept(&world, "k", "one", Some(&otp));
    assert!(whole.open(&world.keyring).is_ok());
    let other = kept(&world, "l", "one", None);
    let broken = [
        KeptAnswer { key: other.key, ..whole.clone() },
        KeptAnswer { fingerprint: call(&world, Operation::Send, "k", "{ }").fingerprint, ..whole.clone() },
        KeptAnswer { expires: whole.expires + MILLI, ..whole.clone() },
        KeptAnswer { otp: None, ..whole.clone() },
        KeptAnswer { number: None, ..whole.clone() },
        KeptAnswer { sealed: other.sealed, ..whole },
    ];
    for broken in &broken {
        assert!(broken.open(&world.keyring).is_err(), "{broken:?}");
    }
}
