//! What every store does with OTPs, numbers, counts and messages.

use std::sync::Arc;
use std::time::Duration;

use otpgate::abuse::NumberRecord;
use otpgate::clock::UnixMillis;
use otpgate::otp::id::OtpId;
use otpgate::otp::machine::Verdict;
use otpgate::otp::outbox::MessageId;
use otpgate::otp::record::OtpStatus;
use otpgate::otp::store::{Changes, Erased, LEASE, OutboxChange, Records, Subject, Touch, change};

use super::world::{CODE, LIFETIME, Otps, RETENTION, World, delete, e164, edit, message, outbox};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SOON: Duration = Duration::from_secs(5);
/// A message that is put off: for well longer than nobody may be woken, and less than [`SOON`].
const PUT_OFF: Duration = Duration::from_secs(2);

async fn all<T: Send + 'static>(tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

pub(crate) async fn a_send_is_kept_whole<S: Otps>(world: &World, store: &Arc<S>) {
    let otp = world.otp(1, 3);
    let id = world.try_send(&**store, otp.clone()).await.unwrap();
    assert_eq!(store.otp(id).await.unwrap().as_deref(), Some(&otp));
    // A store that others write to has nothing at hand.
    assert!(store.recall(id).is_none_or(|at_hand| *at_hand == otp));
    let records = world.records(&**store, Subject::Otp(id)).await;
    assert_eq!(records.otp.as_deref(), Some(&otp));
    assert_eq!((records.number.sends, records.spent), (vec![world.now()], 1));
    assert_eq!(store.backlog(), 1);
}

pub(crate) async fn a_change_reads_what_the_one_before_wrote<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    assert_eq!(world.check(&**store, id, "1").await, Some(Verdict::Wrong));
    assert_eq!(world.check(&**store, id, "2").await, Some(Verdict::Wrong));
    assert_eq!(world.records(&**store, Subject::Number(world.key(1))).await.number.failures, 2);
    assert_eq!(world.check(&**store, id, CODE).await, Some(Verdict::Verified));
    assert_eq!(world.check(&**store, id, CODE).await, Some(Verdict::Final(OtpStatus::Verified)));
    let otp = store.otp(id).await.unwrap().unwrap();
    assert_eq!((otp.attempts, otp.status, otp.events.len()), (3, OtpStatus::Verified, 3));
    assert_eq!(world.records(&**store, Subject::Number(world.key(1))).await.number.failures, 0);
}

pub(crate) async fn exactly_one_of_many_right_checks_succeeds<S: Otps>(world: &World, store: &Arc<S>) {
    for _ in 0..5 {
        let id = world.send(&**store, 1, 3).await;
        let checks = (0..200).map(|_| {
            let (world, store) = (world.clone(), Arc::clone(store));
            async move { world.check(&*store, id, CODE).await.unwrap() }
        });
        let verdicts = all(checks).await;
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Verified).count(), 1);
        assert_eq!(store.otp(id).await.unwrap().unwrap().attempts, 1);
    }
}

pub(crate) async fn wrong_checks_never_exceed_the_attempts<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 7).await;
    let checks = (0..100).map(|_| {
        let (world, store) = (world.clone(), Arc::clone(store));
        async move { world.check(&*store, id, "999999").await.unwrap() }
    });
    let verdicts = all(checks).await;
    let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    assert_eq!((count(Verdict::Wrong), count(Verdict::Exhausted)), (6, 1));
    let otp = store.otp(id).await.unwrap().unwrap();
    assert_eq!((otp.attempts, otp.status), (7, OtpStatus::TooManyAttempts));
    assert_eq!(world.records(&**store, Subject::Otp(id)).await.number.failures, 7);
}

pub(crate) async fn concurrent_changes_lose_nothing<S: Otps>(world: &World, store: &Arc<S>) {
    let sends = (0..200_u32).map(|send| {
        let (world, store) = (world.clone(), Arc::clone(store));
        async move { world.send(&*store, send % 4, 3).await }
    });
    let ids = all(sends).await;
    for number in 0..4 {
        let records = world.records(&**store, Subject::Number(world.key(number))).await;
        assert_eq!((records.number.sends.len(), records.spent), (50, 200));
        assert_eq!(store.of_number(world.key(number), 1_000).await.unwrap().len(), 50);
    }
    for id in ids {
        assert!(store.otp(id).await.unwrap().is_some());
    }
    assert_eq!(store.backlog(), 200);
}

pub(crate) async fn a_deleted_otp_is_gone_with_its_messages<S: Otps>(world: &World, store: &Arc<S>) {
    let (id, other) = (world.send(&**store, 1, 3).await, world.send(&**store, 1, 3).await);
    let again = message(id, 2, world.now() + DAY);
    outbox(&**store, id, move || OutboxChange::Put(again.clone())).await;
    assert_eq!(store.backlog(), 3);
    delete(&**store, id).await;
    delete(&**store, id).await;
    assert_eq!((store.recall(id), store.otp(id).await.unwrap()), (None, None));
    assert_eq!(world.check(&**store, id, CODE).await, None);
    let left: Vec<_> = store.of_number(world.key(1), 10).await.unwrap().iter().map(|otp| otp.id).collect();
    assert_eq!((left, store.backlog()), (vec![other], 1));
    let claimed = store.claim(world.now() + DAY, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|message| message.id.otp).collect::<Vec<_>>(), [other]);
    assert_eq!(store.due(world.now() + LIFETIME, 10).await.unwrap(), [other]);
}

pub(crate) async fn a_change_that_keeps_everything_changes_nothing<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    let before = world.records(&**store, Subject::Otp(id)).await;
    let after = world.records(&**store, Subject::Otp(id)).await;
    assert_eq!((before.otp, before.number, before.spent), (after.otp, after.number, after.spent));
}

pub(crate) async fn an_unknown_otp_has_no_records<S: Otps>(world: &World, store: &Arc<S>) {
    world.send(&**store, 1, 3).await;
    let unknown = world.otp(1, 3).id;
    let records = world.records(&**store, Subject::Otp(unknown)).await;
    assert_eq!((records.otp, records.number), (None, NumberRecord::default()));
    // A record of a number that nobody named goes nowhere.
    let transition = |_: &Records| {
        let number = NumberRecord { failures: 9, ..NumberRecord::default() };
        (Changes { number: Some(number), ..Changes::default() }, ())
    };
    change(&**store, Touch { subject: Subject::Otp(unknown), spend: None, answer: None }, transition).await.unwrap();
    assert_eq!(world.records(&**store, Subject::Number(world.key(1))).await.number.failures, 0);
    assert_eq!(store.otp(unknown).await.unwrap(), None);
    assert!(store.of_number(world.key(2), 10).await.unwrap().is_empty());
}

pub(crate) async fn messages_go_to_one_claimant_in_order<S: Otps>(world: &World, store: &Arc<S>) {
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(world.send(&**store, number, 3).await);
        world.clock.advance(Duration::from_millis(10));
    }
    let otps =
        |claimed: &[otpgate::otp::outbox::Message]| claimed.iter().map(|message| message.id.otp).collect::<Vec<_>>();
    let before_all = UnixMillis(world.now().0 - 31);
    assert!(store.claim(before_all, 10).await.unwrap().is_empty());
    assert_eq!(otps(&store.claim(world.now(), 2).await.unwrap()), ids[..2]);
    assert_eq!(otps(&store.claim(world.now(), 2).await.unwrap()), ids[2..]);
    assert!(store.claim(world.now(), 2).await.unwrap().is_empty());
    assert_eq!(store.backlog(), 3, "claimed is not settled");
    let settled = MessageId { otp: ids[0], number: 1 };
    outbox(&**store, ids[0], move || OutboxChange::Settle(settled)).await;
    let mut put_off = message(ids[1], 1, world.now() + SOON);
    put_off.body.tries = 1;
    let expected = put_off.clone();
    outbox(&**store, ids[1], move || OutboxChange::Put(put_off.clone())).await;
    assert!(store.claim(world.now(), 10).await.unwrap().is_empty());
    assert_eq!(store.claim(world.now() + SOON, 10).await.unwrap(), [expected]);
    assert_eq!(store.backlog(), 2);
}

pub(crate) async fn a_claim_is_given_back_or_runs_out<S: Otps>(world: &World, store: &Arc<S>) {
    let (first, second) = (world.send(&**store, 1, 3).await, world.send(&**store, 2, 3).await);
    let name = |otp| MessageId { otp, number: 1 };
    assert_eq!(store.claim(world.now(), 10).await.unwrap().len(), 2);
    store.put_back(name(first), world.now() + SOON).await.unwrap();
    assert!(store.claim(world.now(), 10).await.unwrap().is_empty());
    let claimed = store.claim(world.now() + SOON, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|message| message.id).collect::<Vec<_>>(), [name(first)]);
    let claimed = store.claim(world.now() + LEASE, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|message| message.id).collect::<Vec<_>>(), [name(second)], "its lease is over");
    assert_eq!(store.backlog(), 2);
}

pub(crate) async fn a_message_takes_the_place_of_another<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    let (old, new) = (MessageId { otp: id, number: 1 }, message(id, 2, world.now()));
    let expected = new.clone();
    outbox(&**store, id, move || OutboxChange::Replace(old, new.clone())).await;
    assert_eq!(store.backlog(), 1);
    assert_eq!(store.claim(world.now(), 10).await.unwrap(), [expected]);
}

pub(crate) async fn a_message_is_shown_as_it_stands<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    let held = store.claim(world.now(), 10).await.unwrap().remove(0);
    let known = || Subject::Message(Box::new(held.clone()));
    let seen = world.records(&**store, known()).await;
    assert_eq!((seen.otp.map(|otp| otp.id), seen.message.as_ref()), (Some(id), Some(&held)));
    let mut later = held.clone();
    later.body.tries = 7;
    let (put, standing) = (later.clone(), held.clone());
    outbox(&**store, id, move || OutboxChange::Put(put.clone())).await;
    // Whoever still has it as it was is told how it stands before anything is written.
    let settle = move |records: &Records| {
        let mine = records.message.as_ref() == Some(&standing);
        let outbox = if mine { OutboxChange::Settle(standing.id) } else { OutboxChange::Keep };
        (Changes { outbox, ..Changes::default() }, mine)
    };
    let touch = Touch { subject: known(), spend: None, answer: None };
    assert!(!change(&**store, touch, settle).await.unwrap());
    assert_eq!((store.backlog(), world.records(&**store, known()).await.message), (1, Some(later)));
    outbox(&**store, id, {
        let id = held.id;
        move || OutboxChange::Settle(id)
    })
    .await;
    assert_eq!((store.backlog(), world.records(&**store, known()).await.message), (0, None));
}

pub(crate) async fn concurrent_claimants_share_without_overlap<S: Otps>(world: &World, store: &Arc<S>) {
    let sends = (0..100_u32).map(|number| {
        let (world, store) = (world.clone(), Arc::clone(store));
        async move { world.send(&*store, number, 3).await }
    });
    let mut sent = all(sends).await;
    let claims = (0..20).map(|_| {
        let (now, store) = (world.now(), Arc::clone(store));
        async move { store.claim(now, 7).await.unwrap() }
    });
    let mut claimed: Vec<OtpId> = all(claims).await.into_iter().flatten().map(|message| message.id.otp).collect();
    sent.sort();
    claimed.sort();
    assert_eq!(claimed, sent);
}

/// There is nothing to claim, and nobody is woken. A store that others write to wakes a waiter now and then to look
/// what they did, and a thread that was held up finds its wait and its bound over at once: neither happens each time.
async fn nobody_is_woken<S: Otps>(world: &World, store: &Arc<S>, why: &str) {
    for _ in 0..20 {
        assert_eq!(store.claim(world.now(), 10).await.unwrap(), [], "{why}");
        if tokio::time::timeout(Duration::from_millis(50), store.wait()).await.is_err() {
            return;
        }
    }
    panic!("woken again and again: {why}");
}

pub(crate) async fn a_waiter_wakes_when_a_message_joins<S: Otps>(world: &World, store: &Arc<S>) {
    nobody_is_woken(world, store, "there is nothing to claim").await;
    let waiting = tokio::spawn({
        let store = Arc::clone(store);
        async move { store.wait().await }
    });
    // It waits by then.
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.send(&**store, 1, 3).await;
    tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    tokio::time::timeout(SOON, store.wait()).await.unwrap();
    store.claim(world.now(), 10).await.unwrap();
    nobody_is_woken(world, store, "what is claimed wakes nobody").await;
}

pub(crate) async fn a_waiter_wakes_when_a_message_is_due<S: Otps>(world: &World, store: &Arc<S>) {
    let id = world.send(&**store, 1, 3).await;
    store.claim(world.now(), 10).await.unwrap();
    let put_off = message(id, 1, world.now() + PUT_OFF);
    outbox(&**store, id, move || OutboxChange::Put(put_off.clone())).await;
    nobody_is_woken(world, store, "it is not due yet").await;
    tokio::time::timeout(SOON, store.wait()).await.unwrap();
    world.clock.advance(PUT_OFF);
    assert_eq!(store.claim(world.now(), 10).await.unwrap().len(), 1);
}

pub(crate) async fn due_follows_expiry_and_retention<S: Otps>(world: &World, store: &Arc<S>) {
    let first = world.send(&**store, 1, 3).await;
    world.clock.advance(Duration::from_secs(1));
    let second = world.send(&**store, 2, 3).await;
    let expiry = world.now() + LIFETIME;
    assert!(store.due(expiry.minus(Duration::from_millis(1_001)), 10).await.unwrap().is_empty());
    assert_eq!(store.due(expiry.minus(Duration::from_secs(1)), 10).await.unwrap(), [first]);
    assert_eq!(store.due(expiry, 10).await.unwrap(), [first, second]);
    assert_eq!(store.due(expiry, 1).await.unwrap(), [first]);
    assert_eq!(world.check(&**store, first, CODE).await, Some(Verdict::Verified));
    assert_eq!(store.due(expiry, 10).await.unwrap(), [second]);
    let erasable = world.now() + RETENTION;
    assert_eq!(store.due(erasable.minus(Duration::from_millis(1)), 10).await.unwrap(), [second]);
    assert_eq!(store.due(erasable, 10).await.unwrap(), [second, first]);
    edit(&**store, first, |otp| assert!(otp.erase_number())).await;
    assert_eq!(store.due(erasable, 10).await.unwrap(), [second]);
}

pub(crate) async fn a_number_has_its_otps_newest_first<S: Otps>(world: &World, store: &Arc<S>) {
    let mut ids = Vec::new();
    // Close together, apart by minutes, by days; always another number in between and beside.
    for pause in [0, 1, 5_000, 600_000, 1, 3_600_000, 86_400_000, 1_000_000_000] {
        world.clock.advance(Duration::from_millis(pause));
        world.send(&**store, 8, 3).await;
        ids.push(world.send(&**store, 7, 3).await);
        world.clock.advance(Duration::from_millis(1));
        world.send(&**store, 9, 3).await;
    }
    ids.reverse();
    for limit in [0, 1, 3, 8, 100] {
        let found: Vec<_> = store.of_number(world.key(7), limit).await.unwrap().iter().map(|otp| otp.id).collect();
        assert_eq!(found, ids[..limit.min(8)]);
    }
}

pub(crate) async fn pruning_keeps_what_a_rule_may_ask_for<S: Otps>(world: &World, store: &Arc<S>) {
    let now = world.now();
    let old = now.minus(DAY * 8);
    let record = |failures, locked_until, sends| NumberRecord { failures, locked_until, sends, holdings: Vec::new() };
    let cases = [
        (record(0, None, vec![old]), record(0, None, vec![])),
        (record(0, None, vec![old, now]), record(0, None, vec![now])),
        (record(0, Some(now), vec![]), record(0, None, vec![])),
        (record(0, Some(now + DAY), vec![]), record(0, Some(now + DAY), vec![])),
        (record(3, None, vec![]), record(3, None, vec![])),
    ];
    for (number, (before, _)) in (0..).zip(&cases) {
        let (touch, before) = (
            Touch { subject: Subject::Number(world.key(number)), spend: Some(world.spend()), answer: None },
            before.clone(),
        );
        let put =
            move |_: &Records| (Changes { number: Some(before.clone()), spent: Some(5), ..Changes::default() }, ());
        change(&**store, touch, put).await.unwrap();
    }
    store.prune(now).await.unwrap();
    for (number, (_, after)) in (0..).zip(&cases) {
        let records = world.records(&**store, Subject::Number(world.key(number))).await;
        assert_eq!((&records.number, records.spent), (after, 5), "case {number}");
    }
    let spend = world.spend();
    store.prune(now + DAY * 3).await.unwrap();
    let touch = Touch { subject: Subject::Number(world.key(0)), spend: Some(spend), answer: None };
    let spent = change(&**store, touch, |records: &Records| (Changes::default(), records.spent)).await.unwrap();
    assert_eq!(spent, 0, "nobody asks for a day that is over");
}

pub(crate) async fn an_erased_number_leaves_only_its_statistics<S: Otps>(world: &World, store: &Arc<S>) {
    let over = world.send(&**store, 1, 3).await;
    world.clock.advance(LIFETIME);
    let (active, verified) = (world.send(&**store, 1, 3).await, world.send(&**store, 1, 3).await);
    let other = world.send(&**store, 2, 3).await;
    assert_eq!(world.check(&**store, verified, CODE).await, Some(Verdict::Verified));
    assert!(!store.purge(&e164(1)).await.unwrap(), "live records have it");
    let done = store.erase(world.key(1)).await.unwrap();
    assert_eq!((done.deleted, done.anonymised), (1, 2));
    assert_eq!(store.erase(world.key(1)).await.unwrap(), Erased::default(), "again changes nothing");
    assert!(store.purge(&e164(1)).await.unwrap());
    assert_eq!((store.otp(active).await.unwrap(), store.backlog()), (None, 1));
    for (id, status) in [(over, OtpStatus::Expired), (verified, OtpStatus::Verified)] {
        let otp = store.otp(id).await.unwrap().unwrap();
        assert_eq!((otp.status, otp.number(), &otp.sealed), (status, None, &None));
    }
    assert_eq!(world.records(&**store, Subject::Number(world.key(1))).await.number, NumberRecord::default());
    assert!(store.otp(other).await.unwrap().unwrap().number().is_some());
}
