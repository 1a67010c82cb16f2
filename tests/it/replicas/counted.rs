//! A call that is counted by the step that does it: what is not admitted does nothing, on one server and on a cluster, and is
//! told so as ever.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::captcha::solve;
use crate::support::Answer;
use crate::support::fleet::Fleet;
use crate::support::redis::Redis;

const REPLICAS: usize = 4;
const CLIENTS: usize = 32;
const CALLS: usize = 20;

/// A key of so many calls in an hour.
fn key(fleet: &Fleet, calls: usize) -> String {
    let made = fleet.create_key(&["--calls", &calls.to_string(), "--period", "3600"]);
    made["key"].as_str().unwrap().to_owned()
}

fn send(number: usize) -> Value {
    json!({"number": format!("+4915112{number:06}"), "otpCode": "4711"})
}

/// Messages that the phones of the sandbox got.
fn messages(fleet: &Fleet) -> usize {
    fleet.messages().iter().map(Vec::len).sum()
}

/// Waits until so many messages are out; for at most a minute.
fn until_out(fleet: &Fleet, count: usize) {
    let began = Instant::now();
    while messages(fleet) < count {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {count}", messages(fleet));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn at_one_instant(redis: &Redis) {
    let fleet = Fleet::start(REPLICAS, &redis.address());
    let (key, start) = (key(&fleet, CALLS), Barrier::new(CLIENTS));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let client = |index: usize| {
            let (fleet, key, start) = (&fleet, &key, &start);
            move || {
                let mut client = fleet.replicas[index % REPLICAS].client(key);
                start.wait();
                (0..3).map(|turn| client.post_json("/v1/otp", &send(index * 3 + turn))).collect::<Vec<_>>()
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|index| scope.spawn(client(index))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let of = |status| answers.iter().filter(move |answer| answer.status == status);
    assert_eq!((of(200).count(), of(429).count()), (CALLS, CLIENTS * 3 - CALLS));
    // Each admitted one has a place of its own in the line, and each refused one knows its wait.
    let left = |answer: &Answer| {
        let field = answer.header("ratelimit").unwrap().to_owned();
        field.split("r=").nth(1).unwrap().split(';').next().unwrap().parse::<usize>().unwrap()
    };
    let mut places: Vec<_> = of(200).map(left).collect();
    places.sort_unstable();
    assert_eq!(places, (0..CALLS).collect::<Vec<_>>());
    for refused in of(429) {
        assert_eq!(refused.json()["code"], "quota_exceeded", "{refused:?}");
        assert!((3_500..=3_600).contains(&refused.header("retry-after").unwrap().parse::<u32>().unwrap()));
        assert_eq!(left(refused), 0);
    }
    until_out(&fleet, CALLS);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(messages(&fleet), CALLS, "nothing leaves for a call that was not admitted");
}

#[test]
fn of_many_sends_at_one_instant_those_that_are_admitted_send() {
    at_one_instant(&Redis::start());
}

#[test]
fn of_many_sends_at_one_instant_on_a_cluster_those_that_are_admitted_send() {
    at_one_instant(&Redis::cluster(3));
}

/// Each replica is asked for the first time, so that none of them knows of a refusal yet.
fn does_nothing(redis: &Redis, on_a_cluster: bool) {
    let fleet = Fleet::start(REPLICAS + 1, &redis.address());
    let sent = fleet.client(0).post_json("/v1/otp", &send(1)).expect(200).json();
    let path = format!("/v1/otp/{}", sent["otpId"].as_str().unwrap());
    let verify = format!("{path}/verify");
    let key = key(&fleet, 3);
    let with = |index: usize| fleet.replicas[index].client(&key);
    let wrong = json!({"otpCode": "0000"});
    // A wrong code, one that is no call at all, and one that names nothing: each counts.
    assert_eq!(with(0).post_json(&verify, &wrong).expect(200).json()["attemptsLeft"], 2);
    with(0).post_json("/v1/otp", &json!({"number": "no"})).expect(400);
    with(0).post_json("/v1/otp/01890a5d-ac96-774b-bcce-b302099a8057/verify", &wrong).expect(404);
    // Over the quota, with every sort of call, known here or not.
    with(0).post_json(&verify, &wrong).expect(429);
    with(1).post_json(&verify, &json!({"otpCode": "4711"})).expect(429);
    with(2).delete(&path).expect(429);
    with(3).post_json("/v1/otp", &json!({"number": "no"})).expect(429);
    with(4).post_json("/v1/verifications", &json!({"number": "+4915112000002"})).expect(429);
    let state = fleet.client(0).get(&path).expect(200).json();
    assert_eq!((state["otpStatus"].as_str(), state["attemptsLeft"].as_u64()), (Some("ACTIVE"), Some(2)), "{state}");
    fleet.client(3).post_json(&verify, &json!({"otpCode": "4711"})).expect(200);
    until_out(&fleet, 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(messages(&fleet), 1, "no verification was opened");
    let servers = if on_a_cluster { redis.masters() } else { vec![redis.port()] };
    let kept: Vec<_> = servers.iter().map(|port| redis.cli_of(*port, &["--scan", "--pattern", "og{??}v*"])).collect();
    assert!(kept.iter().all(String::is_empty), "nor is one left: {kept:?}");
}

#[test]
fn a_call_over_its_quota_changes_nothing() {
    does_nothing(&Redis::start(), false);
}

#[test]
fn a_call_over_its_quota_changes_nothing_on_a_cluster() {
    does_nothing(&Redis::cluster(3), true);
}

/// Waits until a message to this number is out; for at most a minute.
fn until_reached(fleet: &Fleet, number: &Value) {
    let began = Instant::now();
    while !fleet.messages().iter().flatten().any(|message| message["number"] == *number) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing reaches {number}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tries anew where a try was not over within its period, as on a busy machine: then the quota has nothing to refuse.
fn in_time(try_once: impl FnMut(usize) -> bool) {
    assert!((0..10).any(try_once), "every time the period is over before the calls are made");
}

/// Whether all since then was within one period. The store's clock counts whole milliseconds.
fn within(began: Instant, period: Duration) -> bool {
    began.elapsed() + Duration::from_millis(1) < period
}

/// A key of two calls in two seconds: what was refused under an idempotency key is done when it comes again.
fn comes_again(redis: &Redis) {
    let fleet = Fleet::start(2, &redis.address());
    in_time(|turn| comes_again_in_time(&fleet, turn));
}

fn comes_again_in_time(fleet: &Fleet, turn: usize) -> bool {
    const PERIOD: Duration = Duration::from_secs(2);
    let made = fleet.create_key(&["--calls", "2", "--period", &PERIOD.as_secs().to_string()]);
    let key = made["key"].as_str().unwrap();
    let numbers = [2 * turn + 1, 2 * turn + 2];
    let once = |index: usize, name: &str, number| {
        let body = send(number).to_string();
        let fields = [("content-type", "application/json"), ("idempotency-key", name)];
        fleet.replicas[index].client(key).call("POST", "/v1/otp", &fields, &body)
    };
    let began = Instant::now();
    let first = once(0, "one", numbers[0]).expect(200).json();
    let again = once(1, "one", numbers[0]).expect(200);
    assert_eq!(
        (again.json()["otpId"].clone(), again.header("idempotency-replayed")),
        (first["otpId"].clone(), Some("true"))
    );
    // The replayed one counted as well.
    let refused = [once(1, "two", numbers[1]), once(0, "one", numbers[0])];
    if !within(began, PERIOD) {
        return false;
    }
    for answer in refused {
        answer.expect(429);
    }
    std::thread::sleep(PERIOD + Duration::from_millis(100));
    let later = once(0, "two", numbers[1]).expect(200);
    assert_eq!(later.header("idempotency-replayed"), None, "{later:?}");
    for number in numbers {
        until_reached(fleet, &send(number)["number"]);
    }
    true
}

#[test]
fn a_refused_call_leaves_its_idempotency_key_free() {
    comes_again(&Redis::start());
}

#[test]
fn a_refused_call_leaves_its_idempotency_key_free_on_a_cluster() {
    comes_again(&Redis::cluster(3));
}

/// A key of three calls in six seconds: two for a puzzle, one for nothing. The send that was refused comes again with its puzzle.
fn keeps_its_puzzle(redis: &Redis) {
    let fleet = Fleet::start(2, &redis.address());
    in_time(|turn| keeps_its_puzzle_in_time(&fleet, turn));
}

fn keeps_its_puzzle_in_time(fleet: &Fleet, turn: usize) -> bool {
    const PERIOD: Duration = Duration::from_secs(6);
    let made = fleet.create_key(&["--calls", "3", "--period", &PERIOD.as_secs().to_string()]);
    let key = made["key"].as_str().unwrap();
    let at = |index: usize| fleet.replicas[index].client(key);
    let mobile = json!(format!("+861380013800{turn}"));
    let began = Instant::now();
    let puzzle = at(0).get("/api/v2/sdk/captcha").expect(200).json();
    let image = |name: &str| STANDARD.decode(puzzle[name].as_str().unwrap()).unwrap();
    let x = solve(&image("originalImageBase64"), &image("jigsawImageBase64"));
    let point = format!("{{\"x\":{x}.0,\"y\":5.0}}");
    let answer = json!({"point_json": point, "token": puzzle["token"], "sender": mobile});
    let solved = at(0).post_json("/api/v2/sdk/captcha/verify", &answer).expect(200).json();
    at(0).get("/v1/connection").expect(200);
    let body = json!({"mobile": mobile, "type": "LOGIN_SMS", "captcha_token": solved["captcha_token"]});
    let send = |index: usize| at(index).post_json("/api/v2/sdk/sms/send", &body);
    let refused = [send(0), send(1)];
    if !within(began, PERIOD) {
        return false;
    }
    for answer in refused {
        answer.expect(429);
    }
    std::thread::sleep(PERIOD + Duration::from_millis(100));
    send(1).expect(200);
    send(0).expect(400);
    until_reached(fleet, &mobile);
    true
}

#[test]
fn a_refused_send_keeps_its_puzzle() {
    keeps_its_puzzle(&Redis::start());
}

#[test]
fn a_refused_send_keeps_its_puzzle_on_a_cluster() {
    keeps_its_puzzle(&Redis::cluster(3));
}
