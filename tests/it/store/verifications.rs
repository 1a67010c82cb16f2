//! What every store does with verifications.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::ConnectionId;
use otpgate::events::inside::INSIDE;
use otpgate::events::queue::{About, Queued, Settled, Settlement};
use otpgate::events::subscription::Subscription;
use otpgate::otp::application::Reference;
use otpgate::otp::channel::Via;
use otpgate::otp::id::{ApplicationId, OtpId, VerificationId};
use otpgate::otp::news::{EventName, EventNames};
use otpgate::otp::record::Recipient;
use otpgate::otp::store::WriteError;
use otpgate::secret::SystemEntropy;
use otpgate::verification::news::told;
use otpgate::verification::outcome::Outcome;
use otpgate::verification::record::{Callback, FirstSend, Verification};
use otpgate::verification::store::LEASE;

use super::events::{claim, drain, settle, subscription};
use super::world::{LIFETIME, RETENTION, Store, World, e164};

const OPEN: Duration = Duration::from_secs(600);

pub(super) fn verification(world: &World, number: u32) -> Verification {
    let (now, number_key) = (world.now(), world.key(number));
    let id = VerificationId::generate(now, number_key, &SystemEntropy);
    Verification {
        id,
        account: world.account.clone(),
        connection: ConnectionId::generate(&SystemEntropy),
        application: ApplicationId::generate(&SystemEntropy),
        recipient: Recipient::Number(e164(number)),
        number_key,
        country: None,
        via: Via::Auto,
        language: None,
        sender: None,
        reference: Reference::parse("case 7").ok(),
        context: None,
        return_url: None,
        created: now,
        expires: now + OPEN,
        first: FirstSend::Now,
        sends_allowed: 3,
        sends: 1,
        last_send: Some(now),
        otps: vec![OtpId::generate(now, number_key, None, &SystemEntropy)],
        ended: None,
        callback: None,
    }
}

fn waited_for(world: &World, number: u32) -> Verification {
    let sealed = |what: &[u8]| world.keyring.seal(what, b"https://example.com/");
    let callback = Callback { url: sealed(b"url"), secret: sealed(b"secret"), tries: 0, due: world.now(), over: false };
    Verification { callback: Some(callback), ..verification(world, number) }
}

async fn put<S: Store>(store: &Arc<S>, made: &Verification) {
    store.put_verification(None, Some(made.clone())).await.unwrap();
}

pub(crate) async fn a_verification_is_written_over_what_it_names<S: Store>(world: &World, store: &Arc<S>) {
    let made = waited_for(world, 1);
    assert_eq!(store.verification(made.id).await.unwrap(), None);
    let missing = store.put_verification(Some(made.clone()), Some(made.clone())).await;
    assert_eq!(missing, Err(WriteError::Conflict), "there is none to change");
    put(store, &made).await;
    assert_eq!(store.verification(made.id).await.unwrap().as_ref(), Some(&made), "kept whole");
    assert_eq!(store.put_verification(None, Some(made.clone())).await, Err(WriteError::Conflict), "it is there");
    let mut ended = made.clone();
    ended.end(Outcome::Verified, Some(&world.otp(1, 3)), world.now());
    store.put_verification(Some(made.clone()), Some(ended.clone())).await.unwrap();
    assert_eq!(store.put_verification(Some(made.clone()), Some(made.clone())).await, Err(WriteError::Conflict));
    assert_eq!(store.put_verification(Some(made), None).await, Err(WriteError::Conflict), "not as it was");
    assert_eq!(store.verification(ended.id).await.unwrap().as_ref(), Some(&ended));
    store.put_verification(Some(ended.clone()), None).await.unwrap();
    assert_eq!(store.verification(ended.id).await.unwrap(), None);
}

pub(crate) async fn of_many_writers_of_a_verification_one_wins<S: Store>(world: &World, store: &Arc<S>) {
    let made = verification(world, 1);
    put(store, &made).await;
    let writers = (0..16_u32).map(|sends| {
        let (store, before) = (Arc::clone(store), made.clone());
        let after = Verification { sends: 10 + sends, ..made.clone() };
        tokio::spawn(async move { store.put_verification(Some(before), Some(after)).await })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(()) => written += 1,
            Err(error) => assert_eq!(error, WriteError::Conflict),
        }
    }
    assert_eq!(written, 1);
}

pub(crate) async fn what_is_due_goes_to_one_claimant<S: Store>(world: &World, store: &Arc<S>) {
    let made: Vec<_> = (0..40).map(|number| verification(world, number)).collect();
    for one in &made {
        put(store, one).await;
    }
    assert_eq!(store.claim_verifications(world.now(), 100).await.unwrap(), [], "nothing is due");
    world.clock.advance(OPEN);
    let claims = (0..8).map(|_| {
        let (store, now) = (Arc::clone(store), world.now());
        tokio::spawn(async move { store.claim_verifications(now, 7).await.unwrap() })
    });
    let mut claimed = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        let some = claim.await.unwrap();
        assert!(some.len() <= 7);
        claimed.extend(some);
    }
    // Of those that asked at the same moment some were told of nothing, and ask again.
    loop {
        let some = store.claim_verifications(world.now(), 7).await.unwrap();
        if some.is_empty() {
            break;
        }
        claimed.extend(some);
    }
    let ids = |of: &[Verification]| of.iter().map(|one| one.id).collect::<BTreeSet<_>>();
    assert_eq!((claimed.len(), ids(&claimed)), (40, ids(&made)), "each once, none left out");
    assert_eq!(store.claim_verifications(world.now(), 100).await.unwrap(), []);
    world.clock.advance(LEASE);
    let again = store.claim_verifications(world.now(), 100).await.unwrap();
    assert_eq!(ids(&again), ids(&made), "whoever had them let them lie");
}

pub(crate) async fn a_write_ends_a_claim_and_says_when_it_is_due_next<S: Store>(world: &World, store: &Arc<S>) {
    let made = waited_for(world, 1);
    put(store, &made).await;
    world.clock.advance(OPEN);
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap().len(), 1);
    let mut ended = made.clone();
    ended.end(Outcome::Expired, None, world.now());
    store.put_verification(Some(made), Some(ended.clone())).await.unwrap();
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap(), [ended.clone()], "to be told at once");
    let mut later = ended.clone();
    let callback = later.callback.as_mut().unwrap();
    (callback.tries, callback.due) = (1, world.now() + Duration::from_secs(5));
    store.put_verification(Some(ended), Some(later.clone())).await.unwrap();
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap(), [], "put off");
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap(), [later.clone()]);
    let mut told = later.clone();
    told.callback.as_mut().unwrap().over = true;
    store.put_verification(Some(later), Some(told.clone())).await.unwrap();
    world.clock.advance(RETENTION.checked_sub(Duration::from_secs(6)).unwrap());
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap(), []);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(store.claim_verifications(world.now(), 1).await.unwrap(), [told], "its retention is over");
}

pub(crate) async fn an_erased_number_leaves_whom_to_tell<S: Store>(world: &World, store: &Arc<S>) {
    let (gone, waits, other) = (verification(world, 1), waited_for(world, 1), verification(world, 2));
    let mut ended = waited_for(world, 1);
    ended.end(Outcome::Verified, Some(&world.otp(1, 3)), world.now());
    for one in [&gone, &waits, &other, &ended] {
        put(store, one).await;
    }
    store.erase(world.key(1)).await.unwrap();
    assert_eq!(store.verification(gone.id).await.unwrap(), None);
    assert_eq!(store.verification(other.id).await.unwrap().as_ref(), Some(&other));
    for (id, outcome) in [(waits.id, Outcome::CancelledByFlow), (ended.id, Outcome::Verified)] {
        let left = store.verification(id).await.unwrap().unwrap();
        assert_eq!((left.recipient.clone(), left.reference.clone()), (Recipient::Erased, None));
        let how = left.ended.as_ref().unwrap();
        assert_eq!(how.outcome, outcome);
        assert!(how.otp.as_ref().is_none_or(|otp| otp.number().is_none() && otp.reference.is_none()));
    }
    let due: BTreeSet<_> =
        store.claim_verifications(world.now(), 10).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(due, BTreeSet::from([waits.id, ended.id]), "they are told now");
}

pub(crate) async fn what_ends_a_code_is_told_inside<S: Store>(world: &World, store: &Arc<S>) {
    let plain = world.send(&**store, 1, 3).await;
    let mut otp = world.otp(2, 3);
    let asked = VerificationId::generate(world.now(), otp.number_key, &SystemEntropy);
    otp.verification = Some(asked);
    let id = world.try_send(&**store, otp).await.unwrap();
    world.check(&**store, plain, super::world::CODE).await;
    world.check(&**store, id, "wrong").await;
    assert_eq!(store.claim_events(world.now(), 10).await.unwrap(), [], "a wrong code ends nothing");
    world.check(&**store, id, super::world::CODE).await;
    let told = store.claim_events(world.now(), 10).await.unwrap();
    let [event] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((event.address.subscription, event.notice.name), (INSIDE, EventName::Verified));
    assert_eq!(event.notice.otp().unwrap().verification, Some(asked));
    assert_eq!((store.queued_events(), store.lost_events()), (0, 0), "it is nobody's queue");
    assert_eq!(store.subscriptions(None).await.unwrap(), []);
    let settled = Settled { address: event.address, settlement: Settlement::Told };
    store.settle_events(vec![settled]).await.unwrap();
    world.clock.advance(LIFETIME);
    assert_eq!(store.claim_events(world.now(), 10).await.unwrap(), []);
}

async fn subscribe<S: Store>(store: &Arc<S>, wanted: Subscription) -> Subscription {
    store.put_subscription(None, wanted.clone()).await.unwrap();
    wanted
}

/// The verification that an event tells of.
fn of(event: &Queued) -> Verification {
    let About::Other(other) = &event.notice.about else { panic!("{event:?}") };
    told(other).unwrap()
}

pub(crate) async fn how_one_ends_is_told_with_the_write_that_ends_it<S: Store>(world: &World, store: &Arc<S>) {
    let all = EventNames::of_verifications();
    let made = waited_for(world, 1);
    let hears = subscribe(store, subscription(world, "https://hears", all)).await;
    let mut matching =
        subscription(world, "https://matching", EventNames::from_iter([EventName::VerificationCancelled]));
    matching.application = Some(made.application);
    let matching = subscribe(store, matching).await;
    let mut elsewhere = subscription(world, "https://elsewhere", all);
    elsewhere.application = Some(ApplicationId::generate(&SystemEntropy));
    let mut foreign = subscription(world, "https://foreign", all);
    foreign.account = "other".parse().unwrap();
    let others = EventNames::from_iter([EventName::VerificationVerified]);
    for deaf in [
        elsewhere,
        foreign,
        subscription(world, "https://codes", EventNames::of_otps()),
        subscription(world, "https://verified", others),
    ] {
        subscribe(store, deaf).await;
    }
    put(store, &made).await;
    let sent = Verification { sends: 2, ..made.clone() };
    store.put_verification(Some(made.clone()), Some(sent.clone())).await.unwrap();
    assert_eq!(claim(world, &**store).await, [], "it is open");
    let mut ended = sent.clone();
    ended.end(Outcome::CancelledByPerson, Some(&world.otp(1, 3)), world.now());
    assert_eq!(store.put_verification(Some(made), Some(ended.clone())).await, Err(WriteError::Conflict));
    assert_eq!(claim(world, &**store).await, [], "nothing is told of a write that lost");
    store.put_verification(Some(sent), Some(ended.clone())).await.unwrap();
    let news = claim(world, &**store).await;
    let whom: BTreeSet<_> = news.iter().map(|event| event.address.subscription).collect();
    assert_eq!((news.len(), whom), (2, BTreeSet::from([hears.id, matching.id])));
    assert_eq!(news[0].address.event, news[1].address.event, "one event");
    for event in &news {
        assert_eq!((event.notice.name, event.notice.at), (EventName::VerificationCancelled, world.now()));
        assert_eq!((event.until, event.tries), (world.now() + RETENTION, 0));
        assert_eq!((event.notice.number_key(), event.notice.line()), (world.key(1), ended.current_otp().unwrap()));
        assert_eq!(of(event), Verification { callback: None, ..ended.clone() }, "whole, but for who waits");
    }
    // The same event over tries, and none more for what is written later.
    let due = world.now();
    settle(&**store, &news, &Settlement::PutOff { due, answer: String::new() }).await;
    let mut over = ended.clone();
    over.callback.as_mut().unwrap().over = true;
    store.put_verification(Some(ended), Some(over.clone())).await.unwrap();
    let again = claim(world, &**store).await;
    assert_eq!(again.iter().map(|event| event.tries).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(again[0].notice, news[0].notice);
    assert_eq!(again[0].address.event, news[0].address.event);
    settle(&**store, &again, &Settlement::Told).await;
    store.put_verification(Some(over), None).await.unwrap();
    assert_eq!(drain(world, &**store).await, []);
    // Each outcome has its name.
    for (number, (outcome, name)) in [
        (Outcome::Verified, EventName::VerificationVerified),
        (Outcome::Expired, EventName::VerificationExpired),
        (Outcome::TooManyAttempts, EventName::VerificationTooManyAttempts),
        (Outcome::Undeliverable, EventName::VerificationUndeliverable),
        (Outcome::CancelledByFlow, EventName::VerificationCancelled),
    ]
    .into_iter()
    .enumerate()
    {
        let one = Verification { otps: Vec::new(), ..verification(world, 10 + u32::try_from(number).unwrap()) };
        put(store, &one).await;
        let mut ended = one.clone();
        ended.end(outcome, None, world.now());
        store.put_verification(Some(one), Some(ended)).await.unwrap();
        let told = drain(world, &**store).await;
        assert!(!told.is_empty() && told.iter().all(|told| *told == name), "{outcome:?}: {told:?}");
    }
}

pub(crate) async fn an_erased_number_is_in_no_news_of_verifications<S: Store>(world: &World, store: &Arc<S>) {
    subscribe(store, subscription(world, "https://hears", EventNames::of_verifications())).await;
    for number in [1, 2, 3] {
        let made = verification(world, number);
        put(store, &made).await;
        let mut ended = made.clone();
        ended.end(Outcome::Verified, None, world.now());
        store.put_verification(Some(made), Some(ended)).await.unwrap();
    }
    let open = waited_for(world, 1);
    put(store, &open).await;
    let first = claim(world, &**store).await;
    assert_eq!(of(&first[0]).number_key, world.key(1));
    settle(&**store, &first[..1], &Settlement::Dead { ends: world.now() + RETENTION, answer: String::new() }).await;
    assert_eq!(store.dead_events(None, 10).await.unwrap().len(), 1);
    for number in [1, 2] {
        store.erase(world.key(number)).await.unwrap();
    }
    assert_eq!(store.dead_events(None, 10).await.unwrap(), []);
    assert_eq!(drain(world, &**store).await, [EventName::VerificationVerified], "and nobody is told of an erasure");
}
