//! One code, many answers at once over all replicas: one success, and never more attempts than there are.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::redis::Redis;

/// What many clients of all the replicas are told of the same OTPs, one OTP after the other, all of them at once.
fn race(fleet: &Fleet, otps: &[Vec<&str>], number: &str, judge: impl Fn(usize, &str, &[Value])) {
    let clients = otps.first().map_or(0, Vec::len);
    let (barrier, path) = (Barrier::new(clients + 1), Mutex::new(String::new()));
    let (verdicts, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (barrier, path, verdicts, next) = (&barrier, &path, &verdicts, &next);
            let mut caller = fleet.client(client);
            scope.spawn(move || {
                loop {
                    barrier.wait();
                    let Some(codes) = otps.get(next.load(Ordering::SeqCst)) else { return };
                    let path = path.lock().clone();
                    let verdict = caller.post_json(&path, &json!({"otpCode": codes[client]}));
                    verdicts.lock().push(json!({"status": verdict.status, "body": verdict.json()}));
                    barrier.wait();
                }
            });
        }
        let mut sender = fleet.client(0);
        for index in 0..otps.len() {
            next.store(index, Ordering::SeqCst);
            let body = json!({"number": format!("{number}{index:05}"), "otpCode": "4711"});
            let otp = sender.post_json("/v1/otp", &body).expect(200).json();
            let id = otp["otpId"].as_str().unwrap().to_owned();
            *path.lock() = format!("/v1/otp/{id}/verify");
            barrier.wait();
            barrier.wait();
            judge(index, &id, &std::mem::take(&mut *verdicts.lock()));
        }
        next.store(otps.len(), Ordering::SeqCst);
        barrier.wait();
    });
}

/// `OTPGATE_CODES` in place of 500.
#[test]
fn two_hundred_right_answers_over_four_replicas_give_one_success() {
    let codes = std::env::var("OTPGATE_CODES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let redis = Redis::start();
    let fleet = Fleet::start(4, &redis.address());
    race(&fleet, &vec![vec!["4711"; 200]; codes], "+4915112", |index, _, verdicts| {
        assert_eq!(verdicts.len(), 200);
        let right = |verdict: &&Value| verdict["body"]["verified"] == true;
        assert_eq!(verdicts.iter().filter(right).count(), 1, "of code {index}");
        let odd =
            verdicts.iter().find(|verdict| verdict["status"] != 200 || verdict["body"]["otpStatus"] != "VERIFIED");
        assert!(odd.is_none(), "{odd:?} of code {index}");
    });
}

#[test]
fn a_hundred_wrong_answers_over_four_replicas_never_exceed_the_attempts() {
    let redis = Redis::start();
    let fleet = Fleet::start(4, &redis.address());
    let mut codes = vec!["9999"; 100];
    codes.push("4711");
    race(&fleet, &vec![codes; 25], "+4915113", |index, id, verdicts| {
        let attempts = |verdict: &Value| verdict["body"]["attemptCount"].as_u64().unwrap();
        assert!(verdicts.iter().all(|verdict| attempts(verdict) <= 3), "{verdicts:?}");
        let successes = verdicts.iter().filter(|verdict| verdict["body"]["verified"] == true).count();
        let expected = if successes == 1 { "VERIFIED" } else { "TOO_MANY_ATTEMPTS" };
        for replica in 0..4 {
            let status = fleet.client(replica).get(&format!("/v1/otp/{id}")).expect(200).json();
            let found = (successes <= 1, status["otpStatus"].as_str(), attempts(&json!({"body": status})) <= 3);
            assert_eq!(found, (true, Some(expected), true), "of code {index}");
        }
    });
}
