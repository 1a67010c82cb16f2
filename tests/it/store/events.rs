//! What every store does with subscriptions and the events that wait for them.

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::ConnectionId;
use otpgate::clock::UnixMillis;
use otpgate::events::fanout::Fanout;
use otpgate::events::queue::{About, Notice, Other, Queued, Settled, Settlement};
use otpgate::events::store::EventQueue;
use otpgate::events::subscription::{Format, SUBSCRIPTIONS_PER_ACCOUNT, Subscription, SubscriptionId};
use otpgate::otp::event::EventKind;
use otpgate::otp::housekeeping;
use otpgate::otp::id::AccountId;
use otpgate::otp::news::{EventName, EventNames};
use otpgate::otp::record::{Delivery, Otp};
use otpgate::otp::store::{OtpStore as _, WriteError};
use otpgate::secret::SystemEntropy;

use super::world::{CODE, LIFETIME, RETENTION, Store, World, delete, edit};

const SOON: Duration = Duration::from_secs(5);

pub(super) fn subscription(world: &World, url: &str, events: EventNames) -> Subscription {
    let (id, connection) = (SubscriptionId::generate(&SystemEntropy), ConnectionId::generate(&SystemEntropy));
    let mut made = Subscription {
        id,
        account: world.account.clone(),
        connection,
        events,
        application: None,
        created: world.now(),
        callback: Subscription::callback_of(&world.keyring, &world.account, connection, url),
        url: Subscription::seal_url(id, &world.keyring, url),
        secrets: Vec::new(),
        gone: None,
        format: Format::Standard,
    };
    made.rotate(Duration::ZERO, &world.keyring, &SystemEntropy, world.now());
    made
}

pub(crate) async fn subscribe<S: Store>(world: &World, store: &S, url: &str) -> Subscription {
    let made = subscription(world, url, EventNames::of_otps());
    store.put_subscription(None, made.clone()).await.unwrap();
    made
}

pub(crate) async fn claim<S: Store>(world: &World, store: &S) -> Vec<Queued> {
    store.claim_events(world.now(), 100).await.unwrap()
}

/// Claims and settles, until there is nothing left: what was told, in the order of the claims.
pub(crate) async fn drain<S: Store>(world: &World, store: &S) -> Vec<EventName> {
    let mut told = Vec::new();
    loop {
        let claimed = claim(world, store).await;
        if claimed.is_empty() {
            return told;
        }
        told.extend(claimed.iter().map(|event| event.notice.name));
        settle(store, &claimed, &Settlement::Told).await;
    }
}

pub(crate) async fn settle<S: Store>(store: &S, events: &[Queued], settlement: &Settlement) {
    let settled = |event: &Queued| Settled { address: event.address, settlement: settlement.clone() };
    store.settle_events(events.iter().map(settled).collect()).await.unwrap();
}

pub(crate) async fn a_subscription_is_written_over_what_it_names<S: Store>(world: &World, store: &Arc<S>) {
    let first = subscribe(world, &**store, "https://a/1").await;
    assert_eq!(store.put_subscription(None, first.clone()).await, Err(WriteError::Conflict));
    let mut twin = subscription(world, "https://a/1", EventNames::of_otps());
    twin.callback.clone_from(&first.callback);
    assert_eq!(store.put_subscription(None, twin).await, Err(WriteError::Conflict), "the same callback");
    let fewer = Subscription { events: EventNames::from_iter([EventName::Sent]), ..first.clone() };
    store.put_subscription(Some(first.clone()), fewer.clone()).await.unwrap();
    assert_eq!(store.put_subscription(Some(first.clone()), first.clone()).await, Err(WriteError::Conflict));
    assert_eq!(store.subscription(first.id).await.unwrap(), Some(fewer.clone()));
    let mut second = subscription(world, "https://a/2", EventNames::of_otps());
    second.account = "team".parse::<AccountId>().unwrap();
    second.created = world.now() + SOON;
    store.put_subscription(None, second.clone()).await.unwrap();
    assert_eq!(store.subscriptions(Some(&world.account)).await.unwrap(), std::slice::from_ref(&fewer));
    assert_eq!(store.subscriptions(None).await.unwrap(), [fewer, second]);
    for number in 1..SUBSCRIPTIONS_PER_ACCOUNT {
        subscribe(world, &**store, &format!("https://b/{number}")).await;
    }
    let more = subscription(world, "https://c", EventNames::of_otps());
    assert_eq!(store.put_subscription(None, more.clone()).await, Err(WriteError::Conflict), "enough");
    assert!(store.delete_subscription(first.id).await.unwrap());
    assert!(!store.delete_subscription(first.id).await.unwrap());
    assert_eq!(store.subscription(first.id).await.unwrap(), None);
    store.put_subscription(None, more).await.unwrap();
}

pub(crate) async fn a_change_brings_its_events_and_no_others<S: Store>(world: &World, store: &Arc<S>) {
    let before = world.send(&**store, 1, 3).await;
    world.check(&**store, before, "1").await;
    let subscription = subscribe(world, &**store, "https://a").await;
    assert!(claim(world, &**store).await.is_empty(), "what went before is told to nobody");
    let id = world.send(&**store, 1, 2).await;
    assert_eq!(store.queued_events(), 0, "a send alone is no event");
    edit(&**store, id, |otp| assert!(otp.note_delivery(1, Delivery::Sent, Some("a carrier".to_owned()), otp.created)))
        .await;
    edit(&**store, id, |otp| otp.attempts_allowed = 2).await;
    world.check(&**store, id, "1").await;
    world.check(&**store, id, "2").await;
    world.check(&**store, id, CODE).await;
    delete(&**store, id).await;
    delete(&**store, id).await;
    let first = claim(world, &**store).await;
    let [sent] = first.as_slice() else { panic!("one at a time: {first:?}") };
    assert_eq!(
        (sent.notice.name, sent.notice.detail.as_deref(), sent.address.subscription, sent.tries),
        (EventName::Sent, Some("a carrier"), subscription.id, 0)
    );
    let otp = sent.notice.otp().unwrap();
    assert_eq!((otp.id, otp.attempts, sent.notice.at), (id, 0, world.now()));
    assert!(otp.sealed.is_none() && otp.events.is_empty(), "no code, no history");
    assert_eq!(sent.until, world.now() + RETENTION);
    settle(&**store, &first, &Settlement::Told).await;
    use EventName::{Deleted, Delivered, Expired, Replaced, TooManyAttempts, WrongCode};
    assert_eq!(drain(world, &**store).await, [WrongCode, WrongCode, TooManyAttempts, Deleted]);

    let id = world.send(&**store, 1, 3).await;
    edit(&**store, id, |otp| assert!(otp.note_delivery(1, Delivery::Delivered, None, otp.created))).await;
    edit(&**store, id, |otp| assert!(otp.replace(otp.created))).await;
    assert_eq!(drain(world, &**store).await, [Delivered, Replaced]);
    let id = world.send(&**store, 1, 3).await;
    world.clock.advance(LIFETIME);
    housekeeping::sweep(&**store, world.now(), RETENTION).await.unwrap();
    housekeeping::sweep(&**store, world.now(), RETENTION).await.unwrap();
    assert_eq!(drain(world, &**store).await, [Expired, Expired], "the first one of all ran out as well");
    edit(&**store, id, |otp| otp.record(EventKind::CheckOtpExpired, otp.expire, None)).await;
    assert_eq!(drain(world, &**store).await, [Expired]);
}

pub(crate) async fn only_who_is_interested_is_told<S: Store>(world: &World, store: &Arc<S>) {
    let otp = world.otp(1, 3);
    let (all, application) = (subscribe(world, &**store, "https://all").await, otp.application);
    let mut matching = subscription(world, "https://matching", EventNames::from_iter([EventName::WrongCode]));
    matching.application = Some(application);
    let mut other = subscription(world, "https://other", EventNames::of_otps());
    other.application = Some(world.otp(1, 3).application);
    let mut foreign = subscription(world, "https://foreign", EventNames::of_otps());
    foreign.account = "team".parse::<AccountId>().unwrap();
    let deaf = subscription(world, "https://deaf", EventNames::from_iter([EventName::Sent]));
    for one in [&matching, &other, &foreign, &deaf] {
        store.put_subscription(None, one.clone()).await.unwrap();
    }
    let id = world.try_send(&**store, otp).await.unwrap();
    world.check(&**store, id, "1").await;
    let mut told = claim(world, &**store).await;
    told.sort_by_key(|event| event.address);
    let mut expected = [all.id, matching.id];
    expected.sort();
    assert_eq!(told.iter().map(|event| event.address.subscription).collect::<Vec<_>>(), expected);
    assert_eq!(told[0].address.event, told[1].address.event, "one event, one id");
    settle(&**store, &told, &Settlement::Told).await;
    // From the commit on that changed it, it is told of something else; from its end on of nothing.
    let hears = Subscription { events: EventNames::of_otps(), ..deaf.clone() };
    store.put_subscription(Some(deaf), hears.clone()).await.unwrap();
    store.delete_subscription(all.id).await.unwrap();
    world.check(&**store, id, CODE).await;
    let told = claim(world, &**store).await;
    assert_eq!(told.iter().map(|event| event.address.subscription).collect::<Vec<_>>(), [hears.id]);
    assert_eq!(told[0].notice.name, EventName::Verified);
}

pub(crate) async fn an_event_waits_dies_and_is_replayed<S: Store>(world: &World, store: &Arc<S>) {
    let subscription = subscribe(world, &**store, "https://a").await;
    let id = world.send(&**store, 1, 3).await;
    world.check(&**store, id, "1").await;
    let claimed = claim(world, &**store).await;
    assert_eq!(claimed.len(), 1);
    assert!(claim(world, &**store).await.is_empty(), "each has one claimant");
    let due = world.now() + SOON;
    settle(&**store, &claimed, &Settlement::PutOff { due, answer: "answered 500".to_owned() }).await;
    assert!(claim(world, &**store).await.is_empty());
    world.clock.advance(SOON);
    let again = claim(world, &**store).await;
    assert_eq!((again[0].address, again[0].tries, again[0].due), (claimed[0].address, 1, due));
    assert_eq!(again[0].notice, claimed[0].notice);
    let ends = world.now() + SOON;
    settle(&**store, &again, &Settlement::Dead { ends, answer: "answered 503".to_owned() }).await;
    assert_eq!((claim(world, &**store).await, store.queued_events()), (vec![], 0));
    let dead = store.dead_events(None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].address, dead[0].tries, dead[0].ends), (1, claimed[0].address, 2, ends));
    assert_eq!((dead[0].answer.as_str(), &dead[0].notice), ("answered 503", &claimed[0].notice));
    assert!(store.dead_events(Some(SubscriptionId::generate(&SystemEntropy)), 10).await.unwrap().is_empty());
    store.prune_events(world.now()).await.unwrap();
    let addresses = vec![dead[0].address];
    assert_eq!(store.replay_events(addresses.clone(), world.now()).await, Ok(1));
    assert_eq!(store.replay_events(addresses, world.now()).await, Ok(0));
    let replayed = claim(world, &**store).await;
    assert_eq!((replayed[0].address, replayed[0].tries, replayed[0].until), (claimed[0].address, 0, ends));
    settle(&**store, &replayed, &Settlement::Dead { ends, answer: String::new() }).await;
    world.clock.advance(SOON);
    store.prune_events(world.now()).await.unwrap();
    assert!(store.dead_events(Some(subscription.id), 10).await.unwrap().is_empty());
}

pub(crate) async fn an_ended_subscription_leaves_nothing<S: Store>(world: &World, store: &Arc<S>) {
    let (ended, kept) = (subscribe(world, &**store, "https://a").await, subscribe(world, &**store, "https://b").await);
    let id = world.send(&**store, 1, 3).await;
    for code in ["1", "2"] {
        world.check(&**store, id, code).await;
    }
    let claimed = claim(world, &**store).await;
    let ends = world.now() + RETENTION;
    settle(&**store, &claimed, &Settlement::Dead { ends, answer: String::new() }).await;
    assert_eq!(store.dead_events(None, 10).await.unwrap().len(), 2);
    let on_its_way = claim(world, &**store).await;
    assert_eq!(on_its_way.len(), 2);
    store.delete_subscription(ended.id).await.unwrap();
    assert!(store.dead_events(None, 10).await.unwrap().iter().all(|letter| letter.address.subscription == kept.id));
    // How the try of one that is over ended is of no interest.
    let due = world.now();
    settle(&**store, &on_its_way, &Settlement::PutOff { due, answer: String::new() }).await;
    let left = claim(world, &**store).await;
    assert_eq!(left.iter().map(|event| event.address.subscription).collect::<Vec<_>>(), [kept.id]);
    assert_eq!(store.queued_events(), 1);
}

pub(crate) async fn an_erased_number_is_in_no_event<S: Store>(world: &World, store: &Arc<S>) {
    let subscription = subscribe(world, &**store, "https://a").await;
    for number in [1, 2] {
        let id = world.send(&**store, number, 1).await;
        world.check(&**store, id, "1").await;
        delete(&**store, id).await;
    }
    // One of number 1 is dead, others of it wait.
    let first = claim(world, &**store).await;
    settle(&**store, &first, &Settlement::Dead { ends: world.now() + RETENTION, answer: String::new() }).await;
    assert_eq!((first[0].notice.number_key(), store.queued_events()), (world.key(1), 5));
    store.erase(world.key(1)).await.unwrap();
    assert!(store.dead_events(Some(subscription.id), 10).await.unwrap().is_empty());
    let mut told = 0;
    loop {
        let claimed = claim(world, &**store).await;
        if claimed.is_empty() {
            break;
        }
        assert!(claimed.iter().all(|event| event.notice.number_key() == world.key(2)));
        told += claimed.len();
        settle(&**store, &claimed, &Settlement::Told).await;
    }
    assert_eq!(told, 3);
}

#[tokio::test]
async fn what_has_no_room_is_lost_and_counted() {
    let world = World::new();
    let fanout = Fanout::new(Arc::new(SystemEntropy), RETENTION);
    let (one, two) =
        (subscription(&world, "a", EventNames::of_otps()), subscription(&world, "b", EventNames::of_otps()));
    fanout.replace(&[one.clone(), two]);
    let mut otp = world.otp(1, 3);
    assert!(fanout.changed(None, &otp, world.now(), |_| true).is_empty());
    otp.note_delivery(1, Delivery::Sent, None, world.now());
    let rows = fanout.changed(None, &otp, world.now(), |id| id == one.id);
    assert_eq!((rows.len(), rows[0].address.subscription, fanout.lost()), (1, one.id, 1));
    assert!(fanout.changed(Some(&otp.clone()), &otp, world.now(), |_| true).is_empty(), "told already");
}

/// What only SQLite can show: events outlive the process, and no file holds the number that they tell of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_outlive_the_process_without_a_number_in_clear() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let store = Arc::new(world.sqlite(dir.path()));
    let world = world.with_keyring(store.keyring());
    let subscription = subscribe(&world, &*store, "https://example.com/zebrafinch").await;
    let id = world.send(&*store, 777, 3).await;
    world.check(&*store, id, "1").await;
    world.check(&*store, id, "2").await;
    delete(&*store, id).await;
    let claimed = claim(&world, &*store).await;
    assert_eq!((claimed.len(), store.queued_events()), (1, 3));
    drop(store);
    let store = Arc::new(world.sqlite(dir.path()));
    assert_eq!(store.queued_events(), 3);
    let again = claim(&world, &*store).await;
    assert_eq!((&again[0].address, &again[0].notice), (&claimed[0].address, &claimed[0].notice));
    settle(&*store, &again, &Settlement::Told).await;
    assert_eq!(drain(&world, &*store).await, [EventName::WrongCode, EventName::Deleted]);
    world.check(&*store, world.send(&*store, 777, 3).await, "1").await;
    assert_eq!(claim(&world, &*store).await[0].address.subscription, subscription.id, "still interested");
    delete(&*store, claimed[0].notice.line()).await;
    drop(store);
    // The OTPs' own rows hold numbers until their retention: look at a store whose OTPs are all deleted.
    let store = Arc::new(world.sqlite(dir.path()));
    let left = store.of_number(world.key(777), 10).await.unwrap();
    for otp in left {
        delete(&*store, otp.id).await;
    }
    assert!(store.queued_events() > 0);
    drop(store);
    let sql = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
    sql.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(sql);
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for needle in [&b"15112000777"[..], b"zebrafinch"] {
            assert!(
                !bytes.windows(needle.len()).any(|window| window == needle),
                "{:?}",
                String::from_utf8_lossy(needle)
            );
        }
        files += 1;
    }
    assert!(files > 1);
}

/// A notice as a release had it that knew of OTPs alone.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Older {
    name: EventName,
    at: UnixMillis,
    detail: Option<String>,
    otp: Otp,
}

#[test]
fn a_notice_of_an_otp_lies_as_an_older_release_wrote_it() {
    let world = World::new();
    let (name, at, detail) = (EventName::Undeliverable, world.now(), Some("why".to_owned()));
    let older = Older { name, at, detail: detail.clone(), otp: world.otp(1, 3) };
    let newer = Notice { name, at, detail, about: About::Otp(Box::new(older.otp.clone())) };
    let bytes = rmp_serde::to_vec(&older).unwrap();
    assert_eq!(rmp_serde::to_vec(&newer).unwrap(), bytes, "a replica of that release reads it");
    assert_eq!(rmp_serde::from_slice::<Notice>(&bytes).unwrap(), newer);
    let other = Other { line: older.otp.id, number_key: older.otp.number_key, record: vec![1, 2, 255] };
    let told = Notice { about: About::Other(other), ..newer };
    assert_eq!(rmp_serde::from_slice::<Notice>(&rmp_serde::to_vec(&told).unwrap()).unwrap(), told);
    let nothing = rmp_serde::to_vec(&(name, at, Option::<String>::None, Option::<Otp>::None)).unwrap();
    assert!(rmp_serde::from_slice::<Notice>(&nothing).is_err(), "it happened to nothing");
}
