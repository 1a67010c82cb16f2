//! Several replicas on one Redis: what one writes the others act on, and what one leaves behind another takes over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use otpgate::access::store::ConnectionStore as _;
use otpgate::events::queue::{Address, Settlement};
use otpgate::events::store::{EventQueue as _, QUEUED_PER_SUBSCRIPTION, SubscriptionStore as _};
use otpgate::otp::news::EventName;
use otpgate::otp::outbox::Message;
use otpgate::otp::store::{Outbox as _, WriteError};
use otpgate::store::Store;
use otpgate::store::redis::RedisStore;

use super::events::{claim, drain, settle, subscribe};
use super::settings::connection;
use super::world::World;
use crate::support::redis::Redis;

/// How long a claim of an event holds, at most.
const LEASE: Duration = Duration::from_secs(61);
const PAUSE: Duration = Duration::from_millis(20);

/// Puts what waits in the only queue back to where a commit leaves it, as if nobody had relayed it. How many rows.
const UNRELAY: &str = "\
local queue=redis.call('KEYS','og{??}Q*')[1]
local id=string.sub(queue,8)
local rows,count=redis.call('HGETALL',queue),0
for at=1,#rows,2 do if #rows[at]==16 then
  redis.call('HSET',string.format('og{%02x}e',string.byte(rows[at+1],2)),id..rows[at],rows[at+1])
  count=count+1
end end
for _,kind in ipairs({'Q','D','B','S'}) do redis.call('DEL',string.sub(queue,1,6)..kind..id) end
redis.call('ZREM','og{s}E',id)
return count";

/// Fills the only queue up.
const FILL: &str = "\
local queue=redis.call('KEYS','og{??}Q*')[1]
local due=string.sub(queue,1,6)..'D'..string.sub(queue,8)
for number=redis.call('ZCARD',due)+1,tonumber(ARGV[1]) do
  redis.call('ZADD',due,9e15,string.format('%032d',number))
end
return redis.call('ZCARD',due)";

async fn pair() -> (World, Redis, Arc<RedisStore>, Arc<RedisStore>) {
    let (world, redis) = (World::new(), Redis::start());
    let (one, other) = (Arc::new(world.redis(&redis).await), Arc::new(world.redis(&redis).await));
    let world = world.with_keyring(one.keyring());
    (world, redis, one, other)
}

/// Makes an event for whoever is interested: a wrong code for an OTP of `number`.
async fn happen(world: &World, store: &RedisStore, number: u32) {
    let id = world.send(store, number, 3).await;
    world.check(store, id, "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_made_on_one_is_told_of_a_change_through_the_other() {
    let (world, _redis, one, other) = pair().await;
    let subscription = subscribe(&world, &*one, "https://a").await;
    // From here on, which is when the call has returned.
    happen(&world, &other, 1).await;
    assert_eq!(drain(&world, &*other).await, [EventName::WrongCode]);
    happen(&world, &other, 2).await;
    // The other one's relay may be on its way still, or what it said to the index.
    let told = loop {
        let told = drain(&world, &*one).await;
        if !told.is_empty() {
            break told;
        }
        tokio::time::sleep(PAUSE).await;
    };
    assert_eq!(told, [EventName::WrongCode], "whoever claims it posts it");
    one.delete_subscription(subscription.id).await.unwrap();
    while other.subscription(subscription.id).await.unwrap().is_some() {}
    assert_eq!(other.put_subscription(Some(subscription.clone()), subscription).await, Err(WriteError::Conflict));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_replica_claimed_is_claimed_again_after_its_lease() {
    let (world, _redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    happen(&world, &one, 1).await;
    let claimed = claim(&world, &*one).await;
    assert_eq!(claimed.len(), 1);
    assert!(claim(&world, &*other).await.is_empty(), "it has its claimant");
    drop(one);
    assert!(claim(&world, &*other).await.is_empty(), "who may be alive as far as anybody knows");
    world.clock.advance(LEASE);
    let again = claim(&world, &*other).await;
    assert_eq!(again.iter().map(|event| event.address).collect::<Vec<_>>(), [claimed[0].address]);
    assert_eq!((&again[0].notice, again[0].tries), (&claimed[0].notice, 0));
    settle(&*other, &again, &Settlement::Told).await;
    world.clock.advance(LEASE);
    assert!(claim(&world, &*other).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_replica_that_leaves_are_free_at_once_and_a_dead_one_s_after_their_lease() {
    // How often a replica looks for what others have left, by its own time.
    const LOOK: Duration = Duration::from_millis(1_100);
    let (world, redis, one, other) = pair().await;
    for number in 0..6 {
        world.send(&*one, number, 3).await;
    }
    let ids = |messages: &[Message]| messages.iter().map(|message| message.id).collect::<BTreeSet<_>>();
    let held = one.claim(world.now(), 10).await.unwrap();
    assert_eq!(held.len(), 6);
    tokio::time::sleep(LOOK).await;
    assert_eq!(other.claim(world.now(), 10).await.unwrap(), [], "each message has its claimant");
    Store::leave(&*one).await;
    let mut taken = Vec::new();
    while taken.len() < 6 {
        tokio::time::sleep(PAUSE).await;
        taken.extend(other.claim(world.now(), 10).await.unwrap());
    }
    assert_eq!(ids(&taken), ids(&held));
    drop((one, other));
    let third = world.redis(&redis).await;
    tokio::time::sleep(LOOK).await;
    assert_eq!(third.claim(world.now(), 10).await.unwrap(), [], "it may be alive as far as anybody knows");
    world.clock.advance(Duration::from_secs(15));
    let mut again = Vec::new();
    while again.len() < 6 {
        tokio::time::sleep(PAUSE).await;
        again.extend(third.claim(world.now(), 10).await.unwrap());
    }
    assert_eq!(ids(&again), ids(&held));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_after_its_lease_cannot_put_off_what_is_another_ones() {
    let (world, _redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    happen(&world, &one, 1).await;
    let late = claim(&world, &*one).await;
    world.clock.advance(LEASE);
    let held = claim(&world, &*other).await;
    assert_eq!(held.len(), 1);
    let due = world.now();
    settle(&*one, &late, &Settlement::PutOff { due, answer: String::new() }).await;
    assert!(claim(&world, &*one).await.is_empty(), "the other one is at it");
    // But what was told was told.
    settle(&*one, &late, &Settlement::Told).await;
    settle(&*other, &held, &Settlement::PutOff { due, answer: String::new() }).await;
    world.clock.advance(LEASE);
    for store in [&one, &other] {
        assert!(claim(&world, &**store).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_a_queue_and_how_much_is_on_its_way() {
    let (world, _redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    for number in 0..20 {
        happen(&world, if number % 2 == 0 { &one } else { &other }, number).await;
    }
    let mut seen = BTreeSet::<Address>::new();
    let mut round = 0;
    while seen.len() < 20 {
        let (mine, theirs) = tokio::join!(claim(&world, &*one), claim(&world, &*other));
        let claimed: BTreeSet<_> = mine.iter().chain(&theirs).map(|event| event.address).collect();
        assert_eq!(claimed.len(), mine.len() + theirs.len(), "each has one claimant");
        assert!(claimed.len() <= if round == 0 { 1 } else { 4 }, "over both: {}", claimed.len());
        assert!(seen.is_disjoint(&claimed));
        round += usize::from(!claimed.is_empty());
        seen.extend(claimed);
        settle(&*one, &mine, &Settlement::Told).await;
        settle(&*other, &theirs, &Settlement::Told).await;
    }
    assert_eq!(seen.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_process_did_not_relay_the_others_relay_once() {
    let (world, redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    for number in 0..5 {
        happen(&world, &one, number).await;
    }
    // It returns when all of them were relayed.
    let first = claim(&world, &*one).await;
    assert_eq!(first.len(), 1);
    drop(one);
    assert_eq!(redis.cli(&["EVAL", UNRELAY, "0"]), "5");
    let third = world.redis(&redis).await;
    assert!(claim(&world, &third).await.is_empty(), "they are young: left to their owner");
    world.clock.advance(Duration::from_secs(2));
    let mut told = BTreeSet::new();
    while told.len() < 5 {
        for store in [&*other, &third] {
            let claimed = claim(&world, store).await;
            assert!(claimed.iter().all(|event| told.insert(event.address)), "it was told already");
            settle(store, &claimed, &Settlement::Told).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert!(told.contains(&first[0].address));
    while !redis.cli(&["KEYS", "og{??}e*"]).is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
    assert!(claim(&world, &third).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_the_index_has_lost_is_found_again() {
    let (world, redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    happen(&world, &one, 1).await;
    happen(&world, &one, 2).await;
    assert_eq!(claim(&world, &*one).await.len(), 1);
    assert_eq!(redis.cli(&["DEL", "og{s}E"]), "1");
    world.clock.advance(LEASE);
    while claim(&world, &*other).await.is_empty() {
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_takes_no_more_and_counts_what_it_loses() {
    let (world, redis, one, other) = pair().await;
    subscribe(&world, &*one, "https://a").await;
    happen(&world, &one, 1).await;
    assert_eq!(claim(&world, &*one).await.len(), 1);
    let most = QUEUED_PER_SUBSCRIPTION.to_string();
    assert_eq!(redis.cli(&["EVAL", FILL, "0", &most]), most);
    // Whether it knows already that the queue is full or is told so by it.
    happen(&world, &other, 2).await;
    assert!(claim(&world, &*other).await.is_empty());
    assert_eq!((one.lost_events(), other.lost_events()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_seen_by_the_other_replica() {
    let (world, _redis, one, other) = pair().await;
    let made = connection(&world, "flow");
    one.put_connection(None, made.clone()).await.unwrap();
    while other.connection(made.id).await.unwrap().is_none() {}
    let name = made.keys[0].name.clone();
    let mut revoked = made.clone();
    revoked.revoked = Some(world.now());
    // Whatever the first write made it see, it has seen by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = otpgate::access::store::ConnectionStore::generation(&*other);
    one.put_connection(Some(made), revoked.clone()).await.unwrap();
    while otpgate::access::store::ConnectionStore::generation(&*other) == before {
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(other.by_key(&name).await.unwrap().as_deref(), Some(&revoked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_it_as_one_server_does() {
    let (world, redis) = (World::new(), Redis::cluster(3));
    let (one, other) = (Arc::new(world.redis(&redis).await), Arc::new(world.redis(&redis).await));
    let world = world.with_keyring(one.keyring());
    super::identity::a_session_is_replaced_by_one(&world, &one).await;
    super::nonces::nonces_are_dropped_when_they_are_over_step_by_step(&world, &one).await;
    subscribe(&world, &*one, "https://a").await;
    subscribe(&world, &*one, "https://b").await;
    for number in 0..4 {
        happen(&world, &other, number).await;
    }
    assert_eq!(drain(&world, &*other).await, [EventName::WrongCode; 8]);
    assert_eq!(other.queued_events(), 0);
}
