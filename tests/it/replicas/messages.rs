//! Messages and events of many replicas: each leaves once, whoever wrote it, and a dead replica's are taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::carrier::{Carrier, Conduct};
use crate::support::fleet::{Fleet, PATIENT};
use crate::support::proxy::{Proxy, Wire};
use crate::support::receiver::Receiver;
use crate::support::redis::Redis;

/// A fleet whose only provider is this carrier.
fn with_carrier(redis: &Redis, replicas: usize, carrier: &Carrier) -> Fleet {
    Fleet::with(replicas, &redis.address(), PATIENT, &by_carrier(carrier))
}

/// The tables of a configuration whose only provider is this carrier. What was begun and not ended is looked at after 5 s, so
/// that a takeover is a matter of the lease.
pub(super) fn by_carrier(carrier: &Carrier) -> String {
    format!(
        "[delivery]\ncountries = \"all\"\nmessages_per_day = \"none\"\nreceipt_within = \"5s\"\n[[delivery.providers]]\nname = \"carrier\"\ntype = \"http\"\n\
         preset = \"unimatrix\"\nurl = \"{}\"\nhttp = {{ credentials = {{ access_key_id = \"a\" }} }}\n",
        carrier.url("")
    )
}

pub(super) fn carrier() -> Carrier {
    Carrier::start(|_, count| {
        (200, json!({"code": "0", "data": {"messages": [{"id": format!("id{count}")}]}}).to_string())
    })
}

fn number(index: usize) -> String {
    format!("4915112{index:06}")
}

fn body(index: usize) -> Value {
    json!({"number": format!("+{}", number(index)), "otpCode": "4711"})
}

#[test]
fn each_message_leaves_by_one_of_four_couriers() {
    const MESSAGES: usize = 400;
    let redis = Redis::start();
    let fleet = Fleet::start(4, &redis.address());
    std::thread::scope(|scope| {
        for replica in 0..4 {
            let mut client = fleet.client(replica);
            scope.spawn(move || {
                for index in (replica..MESSAGES).step_by(4) {
                    client.post_json("/v1/otp", &body(index)).expect(200);
                }
            });
        }
    });
    let began = Instant::now();
    loop {
        let mut counts = BTreeMap::<String, usize>::new();
        for message in fleet.messages().iter().flatten() {
            *counts.entry(message["otpId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 1), "none twice");
        if counts.len() == MESSAGES {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{} of {MESSAGES}", counts.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Longer than a claim holds without being renewed.
    std::thread::sleep(Duration::from_secs(17));
    assert_eq!(fleet.messages().iter().map(Vec::len).sum::<usize>(), MESSAGES);
}

#[test]
fn what_a_killed_replica_was_at_is_taken_over_and_nothing_else_leaves_twice() {
    const DONE: usize = 20;
    const BEGUN: usize = 5;
    let (redis, carrier) = (Redis::start(), carrier());
    let mut fleet = with_carrier(&redis, 2, &carrier);
    let send = |index| fleet.client(0).post_json("/v1/otp", &body(index)).expect(200).json();
    let sent: Vec<_> = (0..DONE).map(send).collect();
    carrier.wait(|seen| seen.len() == DONE);
    // What the carrier has, its sender may not have written down yet: the other one reads in the store whether it has.
    let (began, mut other) = (Instant::now(), fleet.client(1));
    for otp in &sent {
        let path = format!("/v1/otp/{}", otp["otpId"].as_str().unwrap());
        while other.get(&path).expect(200).json()["deliveryStatus"] == "QUEUED" {
            assert!(began.elapsed() < Duration::from_secs(60), "never written down: {otp}: {}", fleet.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    carrier.treat_all(Conduct::Hang);
    for index in DONE..DONE + BEGUN {
        fleet.client(0).post_json("/v1/otp", &body(index)).expect(200);
    }
    carrier.wait(|seen| seen.len() == DONE + BEGUN);
    carrier.treat_all(Conduct::Take);
    fleet.replicas[0].kill();
    let began = Instant::now();
    let mut client = fleet.replicas[1].client(&fleet.key);
    client.post_json("/v1/otp", &body(DONE + BEGUN)).expect(200);
    carrier.wait(|_| (DONE..DONE + BEGUN).all(|index| carrier.submissions().get(&number(index)) == Some(&2)));
    println!("taken over {:?} after its death", began.elapsed());
    let counts = carrier.submissions();
    assert_eq!(counts.len(), DONE + BEGUN + 1);
    for index in (0..DONE).chain([DONE + BEGUN]) {
        assert_eq!(counts[&number(index)], 1, "{index}");
    }
}

/// A replica that loses the store before it has written down that it submits keeps the message in its memory.
#[test]
fn what_was_taken_over_from_a_replica_that_was_cut_off_is_not_sent_by_it_as_well() {
    const MESSAGES: usize = 3;
    let (redis, carrier) = (Redis::start(), carrier());
    drop(Fleet::start(1, &redis.address()));
    // Far enough away to be cut off between the commit of a send and that of its submission.
    let proxy = Proxy::far_before(redis.port(), Duration::from_millis(100));
    // It waits longer for a receipt than for its store.
    let tables = by_carrier(&carrier).replace("receipt_within = \"5s\"\n", "");
    let cut_off = Fleet::with(1, &proxy.store(), PATIENT, &tables);
    let other = Fleet::with(1, &redis.address(), PATIENT, &tables);
    let send = |index: usize| {
        let mut client = cut_off.client(0);
        let body = body(index);
        move || client.post_json("/v1/otp", &body).expect(200)
    };
    let all_left = |numbers: &Range<usize>| {
        carrier.wait(|_| numbers.clone().all(|index| carrier.submissions().contains_key(&number(index))));
    };
    // On a busy machine a message may have left before the last send was answered: then others are sent.
    let held = (0..10).map(|attempt| attempt * MESSAGES..(attempt + 1) * MESSAGES).find(|numbers| {
        std::thread::scope(|scope| {
            let sends: Vec<_> = numbers.clone().map(|index| scope.spawn(send(index))).collect();
            sends.into_iter().for_each(|send| drop(send.join().unwrap()));
        });
        proxy.set(Wire::Broken);
        cut_off.until_ready_is(503);
        // What it had begun to submit is at the carrier by then; what it had not is the other one's much later.
        std::thread::sleep(Duration::from_millis(500));
        let counts = carrier.submissions();
        let in_time = numbers.clone().all(|index| !counts.contains_key(&number(index)));
        if !in_time {
            proxy.set(Wire::Whole);
            cut_off.until_ready_is(200);
            all_left(numbers);
        }
        in_time
    });
    let held = held.expect("it is never cut off before it submits");
    all_left(&held);
    proxy.set(Wire::Whole);
    cut_off.until_ready_is(200);
    // It tries again every half second.
    std::thread::sleep(Duration::from_secs(3));
    let counts = carrier.submissions();
    assert!(held.clone().all(|index| counts[&number(index)] == 1), "{held:?}: {counts:?}");
    drop(other);
}

#[test]
fn what_a_drained_replica_had_claimed_and_not_begun_leaves_at_once_by_another_one() {
    const QUEUED: usize = 12;
    /// How long a claim holds: what is only taken over after it was not given back.
    const CLAIM: Duration = Duration::from_secs(15);
    let (redis, carrier) = (Redis::start(), carrier());
    let tables = format!("{}concurrency = 1\n", by_carrier(&carrier));
    let mut fleet = Fleet::with(1, &redis.address(), PATIENT, &tables);
    // What waits for a place is free for anybody every other moment: the other one is there, and cut off until the
    // signal, so that the time of its start does not count.
    let proxy = Proxy::before(redis.port());
    let other = Fleet::with(1, &proxy.store(), PATIENT, &tables);
    proxy.set(Wire::Broken);
    other.until_ready_is(503);
    // The only place that there is at the carrier is taken, and stays so.
    carrier.treat(&number(0), Conduct::Hang);
    for index in 0..=QUEUED {
        fleet.client(0).post_json("/v1/otp", &body(index)).expect(200);
        carrier.wait(|seen| seen.len() == 1);
    }
    // Long enough for each to have been claimed, and put off.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(carrier.submissions().len(), 1);
    fleet.replicas[0].signal("TERM");
    let began = Instant::now();
    proxy.set(Wire::Whole);
    // Nor has the other one more than one place: the message that hangs must not take it.
    carrier.treat(&number(0), Conduct::Take);
    carrier.wait(|_| (1..=QUEUED).all(|index| carrier.submissions().contains_key(&number(index))));
    let waited = began.elapsed();
    println!("gone {waited:?} after the signal");
    assert!(waited < CLAIM, "{waited:?}: they were not given back");
    assert_eq!(fleet.replicas[0].wait().code(), Some(0));
    std::thread::sleep(Duration::from_secs(1));
    let counts = carrier.submissions();
    assert!((1..=QUEUED).all(|index| counts[&number(index)] == 1), "{counts:?}");
}

#[test]
fn the_same_key_at_four_replicas_at_once_is_one_otp_and_one_message() {
    const KEYS: usize = 25;
    let (redis, carrier) = (Redis::start(), carrier());
    let fleet = with_carrier(&redis, 4, &carrier);
    for round in 0..KEYS {
        let name = format!("order-{round}");
        let call = |caller: usize| {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", name.as_str())];
            fleet.client(caller).call("POST", "/v1/otp", &headers, &body(round).to_string())
        };
        let call = &call;
        let said: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..12).map(|caller| scope.spawn(move || call(caller))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let ids: BTreeSet<_> =
            said.iter().map(|answer| answer.clone().expect(200).json()["otpId"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{said:?}");
    }
    carrier.wait(|seen| seen.len() >= KEYS);
    std::thread::sleep(Duration::from_millis(500));
    assert!(carrier.submissions().values().all(|count| *count == 1), "{:?}", carrier.submissions());
}

#[test]
fn a_call_whose_replica_died_is_repeated_and_done_once() {
    const CALLS: usize = 60;
    let (redis, carrier) = (Redis::start(), carrier());
    let mut fleet = with_carrier(&redis, 2, &carrier);
    let mut told = BTreeMap::new();
    for round in 0..3 {
        let mine: Vec<_> = (0..CALLS).filter(|call| call % 3 == round).collect();
        let (address, key) = (fleet.replicas[0].public, fleet.key.clone());
        // Twenty at once; the replica dies when it has answered some of them.
        let (answered, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let workers: Vec<_> = mine
            .iter()
            .map(|&call| {
                let (key, answered, over) = (key.clone(), Arc::clone(&answered), Arc::clone(&over));
                std::thread::spawn(move || {
                    let name = format!("order-{call}");
                    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", name.as_str())];
                    let mut client = crate::support::Client::new(address, Some(&key));
                    let answer = client.try_once("POST", "/v1/otp", &headers, &body(call).to_string());
                    let told = answer.ok().filter(|answer| answer.status == 200);
                    answered.fetch_add(usize::from(told.is_some()), Ordering::SeqCst);
                    over.fetch_add(1, Ordering::SeqCst);
                    Some((call, told?.json()["otpId"].to_string()))
                })
            })
            .collect();
        while answered.load(Ordering::SeqCst) < 4 * round && over.load(Ordering::SeqCst) < mine.len() {
            std::thread::yield_now();
        }
        fleet.replace(0);
        told.extend(workers.into_iter().filter_map(|worker| worker.join().unwrap()));
    }
    println!("{} of {CALLS} were answered before the replica died", told.len());
    for call in 0..CALLS {
        let name = format!("order-{call}");
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", name.as_str())];
        let began = Instant::now();
        let ids: Vec<_> = (0..2)
            .map(|replica| {
                loop {
                    let answer = fleet.client(replica).call("POST", "/v1/otp", &headers, &body(call).to_string());
                    if answer.status == 200 {
                        break answer.json()["otpId"].to_string();
                    }
                    // Somebody may be at it as far as anybody knows, until the reservation runs out.
                    assert!([409, 503].contains(&answer.status), "{answer:?}");
                    assert!(began.elapsed() < Duration::from_secs(120), "{answer:?}");
                    std::thread::sleep(Duration::from_millis(100));
                }
            })
            .collect();
        assert_eq!(ids[0], ids[1], "{name}");
        assert!(told.get(&call).is_none_or(|id| *id == ids[0]), "{name}: it was another one before");
    }
    // One OTP each. A message whose submission was under way when the replica died may leave once more.
    carrier.wait(|_| carrier.submissions().len() == CALLS);
    let twice = carrier.submissions().values().filter(|count| **count > 1).count();
    println!("{twice} messages left once more");
    assert!(carrier.submissions().values().all(|count| *count <= 2));
}

#[test]
fn each_event_is_told_by_one_of_four_replicas() {
    const OTPS: usize = 60;
    let (redis, receiver) = (Redis::start(), Receiver::start());
    let tables = "[events]\nallow_private_callbacks = true\nretries = [\"200ms\", \"200ms\", \"200ms\"]\n";
    let fleet = Fleet::with(4, &redis.address(), PATIENT, tables);
    let wish = json!({"notificationUrl": receiver.url("/"), "events": ["VERIFIED", "WRONG_CODE"]});
    fleet.client(3).post_json("/v1/webhooks", &wish).expect(201);
    // The others see it within their next look.
    std::thread::sleep(Duration::from_secs(1));
    std::thread::scope(|scope| {
        for replica in 0..4 {
            let fleet = &fleet;
            scope.spawn(move || {
                for index in (replica..OTPS).step_by(4) {
                    let otp = fleet.client(replica).post_json("/v1/otp", &body(index)).expect(200).json();
                    let path = format!("/v1/otp/{}/verify", otp["otpId"].as_str().unwrap());
                    for (at, code) in ["0000", "4711"].into_iter().enumerate() {
                        fleet.client(replica + 1 + at).post_json(&path, &json!({"otpCode": code})).expect(200);
                    }
                }
            });
        }
    });
    receiver.wait(|seen| seen.len() >= 2 * OTPS);
    std::thread::sleep(Duration::from_secs(2));
    let seen = receiver.seen();
    let events: BTreeSet<_> = seen.iter().map(|one| (one.json()["otpId"].to_string(), one.event())).collect();
    assert_eq!((events.len(), seen.len()), (2 * OTPS, 2 * OTPS), "each once");
}

#[test]
fn a_gateway_that_has_nothing_to_do_has_nothing_to_say() {
    let redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    // Long enough for several looks at everything.
    std::thread::sleep(Duration::from_secs(3));
    let logs = fleet.logs();
    assert!(!logs.contains("ERROR") && !logs.contains("WARN"), "{logs}");
}
