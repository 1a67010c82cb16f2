//! Verifications on replicas: opened at one, answered at another, told once; two presses of one button at two of them are one step;
//! and what a killed replica had in its hands another one tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fleet::{Fleet, PATIENT};
use crate::support::receiver::{Received, Receiver};
use crate::support::redis::Redis;
use crate::support::steps::{CONFIG, Extent, Kill, each_step_is_one, judge, run};
use crate::support::{Answer, Client};

const WAIT: &str = "/v1/verifications/wait";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
/// Longer than a look of any replica at what is due, and than an event takes from its commit to its queue.
const SETTLED: Duration = Duration::from_secs(3);
/// The shortest time between two messages of a verification.
const RESEND_GAP: Duration = Duration::from_secs(30);

/// The path of an address of a gateway behind its public name.
fn path(address: &str) -> String {
    format!("/{}", address.splitn(4, '/').nth(3).unwrap())
}

fn page(verification: &Value) -> String {
    path(verification["pageUrl"].as_str().unwrap())
}

fn id(verification: &Value) -> String {
    verification["verificationId"].as_str().unwrap().to_owned()
}

/// Somebody at one of the replicas, without a key.
fn person(fleet: &Fleet, replica: usize) -> Client {
    Client::new(fleet.replicas[replica].public, None)
}

fn press(fleet: &Fleet, replica: usize, page: &str, form: &str) -> Answer {
    person(fleet, replica).call("POST", page, &[FORM], form).expect(303)
}

/// The same form at two replicas at the same moment: what each answers.
fn press_at_both(fleet: &Fleet, page: &str, form: &str) -> Vec<Answer> {
    let start = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let presses: Vec<_> = (0..2)
            .map(|replica| {
                let start = &start;
                scope.spawn(move || {
                    let mut person = person(fleet, replica);
                    // Its connection is there before it begins.
                    person.get(page).expect(200);
                    start.wait();
                    person.call("POST", page, &[FORM], form)
                })
            })
            .collect();
        presses.into_iter().map(|press| press.join().unwrap()).collect()
    })
}

/// Messages to each number, over all replicas.
fn messages(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in fleet.messages().into_iter().flatten() {
        *counts.entry(message["number"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// The code that some replica's sandbox delivered to a number; waits for it to arrive.
fn code(fleet: &Fleet, number: &str) -> String {
    loop {
        let all = fleet.messages();
        let found = all.iter().flatten().find(|message| message["number"] == number);
        if let Some(message) = found {
            return message["code"].as_str().unwrap().to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for(fleet: &Fleet, replica: usize, receiver: &Receiver, number: &str) -> Answer {
    let body = json!({"callback": receiver.url(&format!("/{number}")), "verification": {"number": number}});
    fleet.client(replica).post_json(WAIT, &body).expect(201)
}

fn of<'s>(seen: &'s [Received], verification: &'s str) -> impl Iterator<Item = &'s Received> {
    seen.iter().filter(move |one| one.json()["verificationId"] == verification)
}

#[test]
fn a_verification_is_opened_at_one_answered_at_another_and_told_once() {
    const ROUNDS: usize = 10;
    let redis = Redis::start();
    let fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let (flow, subscriber) = (Receiver::start(), Receiver::start());
    let wish = json!({
        "notificationUrl": subscriber.url("/"),
        "events": ["VERIFICATION_VERIFIED", "VERIFICATION_TOO_MANY_ATTEMPTS", "VERIFICATION_CANCELLED"],
    });
    fleet.client(0).post_json("/v1/webhooks", &wish).expect(201);
    let mut expected = BTreeMap::new();
    for round in 0..ROUNDS {
        let (here, there, number) = (round % 2, (round + 1) % 2, format!("+4915112000{round:03}"));
        let opened = wait_for(&fleet, here, &flow, &number);
        let verification = opened.json();
        let (page, code) = (page(&verification), code(&fleet, &number));
        let enter = |turn: u32, code: &str| format!("action=enter&turn={turn}.2&code={code}");
        let wrong = press(&fleet, there, &page, &enter(3, "wrong"));
        assert!(wrong.header("location").unwrap().ends_with("?said=wrong"), "{wrong:?}");
        let state = match round % 3 {
            0 => {
                press(&fleet, there, &page, &enter(2, &code));
                "VERIFIED"
            }
            1 => {
                press(&fleet, here, &page, &enter(2, "wrong"));
                press(&fleet, there, &page, &enter(1, "wrong"));
                "TOO_MANY_ATTEMPTS"
            }
            _ => {
                // The run is cancelled at the replica that did not open it: nobody is called back.
                person(&fleet, there).delete(&path(opened.header("location").unwrap())).expect(204);
                "CANCELLED_BY_FLOW"
            }
        };
        for replica in 0..2 {
            let seen =
                fleet.client(replica).get(&format!("/v1/verifications/{}", id(&verification))).expect(200).json();
            assert_eq!(seen["state"], state);
            person(&fleet, replica).get(&page).expect(200);
        }
        expected.insert(id(&verification), state);
    }
    let waits = expected.values().filter(|state| **state != "CANCELLED_BY_FLOW").count();
    flow.wait(|seen| seen.len() >= waits);
    subscriber.wait(|seen| seen.len() >= ROUNDS);
    std::thread::sleep(SETTLED);
    let (called, told) = (flow.seen(), subscriber.seen());
    for (id, state) in &expected {
        let calls: Vec<_> = of(&called, id).collect();
        assert_eq!(calls.len(), usize::from(*state != "CANCELLED_BY_FLOW"), "{state}");
        assert!(calls.iter().all(|call| call.json()["state"] == *state && call.id() == *id), "{calls:?}");
        let events: Vec<_> = of(&told, id).map(|one| one.json()["state"].clone()).collect();
        assert_eq!(events, [*state]);
    }
    assert_eq!((called.len(), told.len()), (waits, ROUNDS), "and nothing else");
}

#[test]
fn a_replica_that_dies_takes_no_verification_along() {
    let redis = Redis::start();
    let mut fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let flow = Receiver::start();
    let number = "+4915112345678";
    let opened = wait_for(&fleet, 0, &flow, number).json();
    let code = code(&fleet, number);
    fleet.replicas[0].kill();
    let right = press(&fleet, 1, &page(&opened), &format!("action=enter&turn=3.2&code={code}"));
    assert!(!right.header("location").unwrap().contains('?'), "{right:?}");
    let called = flow.wait(|seen| !seen.is_empty());
    assert_eq!((called[0].id(), &called[0].json()["state"]), (id(&opened), &json!("VERIFIED")));
    std::thread::sleep(SETTLED);
    assert_eq!(flow.seen().len(), 1);
}

#[test]
fn the_same_key_at_both_at_once_is_one_verification_and_one_message() {
    const KEYS: usize = 15;
    let redis = Redis::start();
    let fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let flow = Receiver::start();
    for round in 0..KEYS {
        let (name, number) = (format!("order-{round}"), format!("+4915112001{round:03}"));
        let body = json!({"callback": flow.url("/"), "verification": {"number": number}}).to_string();
        let call = |replica: usize| {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", name.as_str())];
            loop {
                let answer = fleet.client(replica).call("POST", WAIT, &headers, &body);
                // The other one is at it.
                if ![409, 503].contains(&answer.status) {
                    return answer.expect(201);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let call = &call;
        let said: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..6).map(|caller| scope.spawn(move || call(caller % 2))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert!(said.iter().all(|one| one.body == said[0].body), "{said:?}");
        assert!(said.iter().all(|one| one.header("location") == said[0].header("location")), "{said:?}");
        code(&fleet, &number);
    }
    std::thread::sleep(SETTLED);
    let messages = messages(&fleet);
    assert_eq!(messages.len(), KEYS);
    assert!(messages.values().all(|count| *count == 1), "{messages:?}");
}

/// A retry of the platform that comes late, at whichever replica, and after the verification ended.
#[test]
fn a_retry_after_the_end_is_one_verification_and_one_message() {
    let redis = Redis::start();
    let fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let flow = Receiver::start();
    let [verified, cancelled] = ["+4915112003001", "+4915112003002"];
    for number in [verified, cancelled] {
        let body = json!({"callback": flow.url(&format!("/{number}")), "verification": {"number": number}}).to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("x-ms-workflow-run-id", number),
            ("x-ms-workflow-operation-name", "Send_and_wait"),
        ];
        let call = |replica: usize| fleet.client(replica).call("POST", WAIT, &headers, &body).expect(201);
        let first = call(0);
        let code = code(&fleet, number);
        if number == verified {
            press(&fleet, 1, &page(&first.json()), &format!("action=enter&turn=3.2&code={code}"));
            flow.wait(|seen| !seen.is_empty());
        } else {
            person(&fleet, 1).delete(&path(first.header("location").unwrap())).expect(204);
        }
        for again in [call(0), call(1)] {
            assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
        }
    }
    std::thread::sleep(SETTLED);
    assert_eq!(messages(&fleet), BTreeMap::from([verified, cancelled].map(|number| (number.to_owned(), 1))));
    assert_eq!(flow.seen().len(), 1);
}

#[test]
fn two_presses_at_two_replicas_are_one_step() {
    const PAGES: usize = 12;
    let redis = Redis::start();
    let fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let opened: Vec<_> = (0..PAGES)
        .map(|index| {
            let body = json!({"number": format!("+4915112002{index:03}"), "send": "on_open"});
            fleet.client(index).post_json("/v1/verifications", &body).expect(201).json()
        })
        .collect();
    let number = |opened: &Value| opened["number"].as_str().unwrap().to_owned();
    let at_both = |form: &dyn Fn(&Value) -> String| -> Vec<Vec<Answer>> {
        opened.iter().map(|one| press_at_both(&fleet, &page(one), &form(one))).collect()
    };
    let plain = |answers: &[Vec<Answer>]| {
        for answer in answers.iter().flatten() {
            let location = answer.clone().expect(303).header("location").unwrap().to_owned();
            assert!(!location.contains('?'), "it says something: {location}");
        }
    };
    // The first message.
    plain(&at_both(&|_| "action=begin".to_owned()));
    for one in &opened {
        code(&fleet, &number(one));
    }
    let began = Instant::now();
    std::thread::sleep(SETTLED);
    let found = messages(&fleet);
    assert!(found.len() == PAGES && found.values().all(|count| *count == 1), "{found:?}");
    // A further one, as soon as it may be asked for.
    std::thread::sleep(RESEND_GAP.saturating_sub(began.elapsed()) + Duration::from_secs(1));
    plain(&at_both(&|_| "action=again".to_owned()));
    while messages(&fleet).values().any(|count| *count < 2) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(SETTLED);
    let found = messages(&fleet);
    assert!(found.len() == PAGES && found.values().all(|count| *count == 2), "{found:?}");
    for one in &opened {
        let seen = fleet.client(0).get(&format!("/v1/verifications/{}", id(one))).expect(200).json();
        assert_eq!(seen["sendsLeft"], 1);
    }
    // The right code: one of the two checks is the success, and both show it.
    plain(&at_both(&|one| format!("action=enter&turn=3.1&code={}", code(&fleet, &number(one)))));
    for (index, one) in opened.iter().enumerate() {
        let seen = fleet.client(index).get(&format!("/v1/verifications/{}", id(one))).expect(200).json();
        assert_eq!((&seen["state"], &seen["otp"]["attemptCount"]), (&json!("VERIFIED"), &json!(1)), "{seen}");
        let shown: BTreeSet<_> =
            (0..2).map(|replica| person(&fleet, replica).get(&page(one)).expect(200).body).collect();
        assert_eq!(shown.len(), 1, "both show the same");
        assert!(!shown.first().unwrap().contains("name=\"code\""), "nothing is left to enter");
    }
}

/// The verifications that nobody has to be told of any more: those that are due weeks from now, not at a next try nor when a claim
/// is over.
fn recorded(redis: &Redis) -> BTreeSet<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let far = (now + Duration::from_secs(24 * 60 * 60)).as_millis();
    let script = "local all={} for _,key in ipairs(redis.call('KEYS','og{*}V')) do \
                  for _,id in ipairs(redis.call('ZRANGEBYSCORE',key,ARGV[1],'+inf')) do \
                  all[#all+1]=string.gsub(id,'.',function(byte) return string.format('%02x',string.byte(byte)) end) end end \
                  return all";
    let found = redis.cli(&["eval", script, "0", &far.to_string()]);
    found.lines().filter_map(|line| uuid::Uuid::try_parse(line.trim()).ok()).map(|id| id.to_string()).collect()
}

/// A claim of a replica that died is over after a minute, and the news of a code that it had claimed as well.
#[test]
fn steps_that_wait_come_back_over_kills_of_replicas() {
    let extent = Extent { flows: 6, kills: 10, pause: Duration::from_millis(600) };
    let redis = Redis::start();
    let mut fleet = Fleet::with(2, &redis.address(), PATIENT, CONFIG);
    let key = fleet.key.clone();
    let addresses = Arc::new(RwLock::new(fleet.addresses()));
    let run = run(extent, &key, &addresses, |random, receiver| {
        let replica = random.index(2);
        let at = Instant::now();
        fleet.replicas[replica].kill();
        let recorded = recorded(&redis);
        receiver.drained();
        let gone = Instant::now();
        fleet.replace(replica);
        *addresses.write().unwrap() = fleet.addresses();
        Kill { at, gone, recorded }
    });
    each_step_is_one(&run, |step| fleet.client(step));
    // What was answered is recorded, once the last of it is.
    while recorded(&redis).len() < run.steps.len() {
        std::thread::sleep(Duration::from_millis(50));
    }
    judge(&run);
    assert_eq!(recorded(&redis), run.steps.values().map(|step| step.id.clone()).collect(), "one verification a step");
}
