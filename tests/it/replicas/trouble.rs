//! Trouble of the store under load: it is restarted, cut off, broken off, made read-only, filled up. What it cannot say is
//! refused at once; nothing verifies twice, and no quota is overrun.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::quota::{Call, Said, most_in_a_period};
use crate::support::fleet::Fleet;
use crate::support::proxy::{Proxy, Wire};
use crate::support::redis::Redis;
use crate::support::{Client, Ends};

const CALLS: usize = 100;
const PERIOD: Duration = Duration::from_secs(2);
/// How long a trouble lasts, at least.
const LASTS: Duration = Duration::from_secs(1);
/// Rounds until calls are refused in time in one of them, at most. The callers share their processors with the
/// gateways, so that any round may be unlucky; gateways that wait too long do so in each.
const TRIES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Killed, and started again on what it wrote to disk before it answered.
    Restart,
    /// What is sent arrives nowhere, in both directions.
    Dead,
    /// Every connection is broken.
    Broken,
    /// It takes no writes: it was made a replica of nobody who is there.
    Demoted,
    /// It takes no writes: it has too few replicas.
    Alone,
    /// It has no memory left.
    Full,
}

impl Trouble {
    fn begin(self, redis: &mut Redis, proxy: &Proxy) {
        match self {
            Self::Restart => redis.kill(),
            Self::Dead => proxy.set(Wire::Dead),
            Self::Broken => proxy.set(Wire::Broken),
            Self::Demoted => assert_eq!(redis.cli(&["replicaof", "127.0.0.1", "1"]), "OK"),
            Self::Alone => assert_eq!(redis.cli(&["config", "set", "min-replicas-to-write", "1"]), "OK"),
            Self::Full => assert_eq!(redis.cli(&["config", "set", "maxmemory", "1"]), "OK"),
        }
    }

    fn end(self, redis: &mut Redis, proxy: &Proxy) {
        match self {
            Self::Restart => redis.again(),
            Self::Dead | Self::Broken => proxy.set(Wire::Whole),
            Self::Demoted => assert_eq!(redis.cli(&["replicaof", "no", "one"]), "OK"),
            Self::Alone => assert_eq!(redis.cli(&["config", "set", "min-replicas-to-write", "0"]), "OK"),
            Self::Full => assert_eq!(redis.cli(&["config", "set", "maxmemory", "0"]), "OK"),
        }
    }
}

/// What the load has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) calls: Mutex<Vec<Call>>,
    /// OTPs that were verified, as far as somebody was told.
    pub(super) verified: Mutex<Vec<String>>,
    pub(super) verdicts: AtomicUsize,
    refusals: Mutex<Vec<Duration>>,
}

impl Seen {
    /// A call; none where it was refused because of the store.
    fn ask(&self, client: &mut Client, path: &str, body: &serde_json::Value) -> Option<serde_json::Value> {
        let began = Instant::now();
        let answer = client.post_json(path, body);
        if answer.status == 503 {
            self.refusals.lock().unwrap().push(began.elapsed());
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            return None;
        }
        Some(answer.expect(200).json())
    }

    /// Sends codes, and gives each right answer to two replicas at once until somebody says what became of it.
    pub(super) fn verify(&self, key: &str, addresses: &[SocketAddr], number: &str, stop: &AtomicBool) {
        let mut clients: Vec<_> = addresses.iter().map(|address| Client::new(*address, Some(key))).collect();
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
            count += 1;
            let at = count % clients.len();
            let body = json!({"number": format!("{number}{count:05}"), "otpCode": "4711"});
            let Some(otp) = self.ask(&mut clients[at], "/v1/otp", &body) else { continue };
            let id = otp["otpId"].as_str().unwrap().to_owned();
            let path = format!("/v1/otp/{id}/verify");
            let answer = |client: &mut Client| self.ask(client, &path, &json!({"otpCode": "4711"}));
            loop {
                let (one, other) = clients.split_at_mut(2);
                let told = std::thread::scope(|scope| {
                    let first = scope.spawn(|| answer(&mut one[at % 2]));
                    let second = answer(&mut other[at % 2]);
                    [first.join().unwrap(), second]
                });
                let successes = told.iter().flatten().filter(|verdict| verdict["verified"] == true).count();
                assert!(successes <= 1, "{id} is verified twice: {told:?}");
                if successes == 1 {
                    self.verified.lock().unwrap().push(id.clone());
                }
                if told.iter().any(Option::is_some) {
                    self.verdicts.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Uses the quota up, again and again.
    pub(super) fn spend(&self, key: &str, address: SocketAddr, clock: Instant, stop: &AtomicBool) {
        let mut client = Client::new(address, Some(key));
        while !stop.load(Ordering::Relaxed) {
            let began = clock.elapsed();
            let answer = client.get("/v1/connection");
            let said = match answer.status {
                200 => Said::Admitted,
                429 => Said::Refused,
                503 => Said::Nothing,
                _ => panic!("{answer:?}"),
            };
            let ended = clock.elapsed();
            self.calls.lock().unwrap().push(Call { began, ended, said });
            if said == Said::Nothing {
                self.refusals.lock().unwrap().push(ended - began);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

impl Seen {
    /// No code was verified twice, and none may be now; no quota was overrun. How many codes were verified.
    pub(super) fn nothing_was_done_twice(&self, fleet: &Fleet, calls: usize, period: Duration) -> usize {
        let most = most_in_a_period(&self.calls.lock().unwrap(), period);
        assert!(most <= calls, "{most} admitted within a period");
        let verified = self.verified.lock().unwrap();
        let unique: std::collections::BTreeSet<_> = verified.iter().collect();
        assert_eq!(unique.len(), verified.len(), "a code was verified twice");
        // What was used is used, whatever happened since.
        for (index, id) in verified.iter().enumerate() {
            let path = format!("/v1/otp/{id}/verify");
            let verdict = loop {
                let answer = fleet.client(index).post_json(&path, &json!({"otpCode": "4711"}));
                if answer.status != 503 {
                    break answer.expect(200).json();
                }
            };
            assert_eq!((&verdict["verified"], &verdict["otpStatus"]), (&json!(false), &json!("VERIFIED")), "{id}");
        }
        verified.len()
    }
}

const HANDLED: &str = "otpgate_http_request_seconds_bucket{";

/// Requests that the gateways answered, by how long each of them took there: at most 50 ms, at most 100 ms, and all.
fn handled(fleet: &Fleet) -> [u64; 3] {
    let texts: Vec<_> = fleet.replicas.iter().map(|replica| replica.admin_client().get("/metrics").body).collect();
    [r#"le="0.05""#, r#"le="0.1""#, r#"le="+Inf""#].map(|bound| {
        let lines = texts.iter().flat_map(|text| text.lines());
        let buckets =
            lines.filter(|line| line.starts_with(HANDLED) && line.contains(bound) && !line.contains("/health/"));
        buckets.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    })
}

fn median(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    (at(50).unwrap_or_default(), at(99).unwrap_or_default())
}

/// Runs `body` while so many callers verify, and as many spend a quota; it is given what waits until so many more verdicts were
/// given. Nothing may have been done twice then: how many were verified.
pub(super) fn under_load(
    fleet: &Fleet,
    callers: usize,
    (calls, period): (usize, Duration),
    body: impl FnOnce(&Seen, &dyn Fn(usize)),
) -> usize {
    let limited = fleet.create_key(&["--calls", &calls.to_string(), "--period", &period.as_secs().to_string()]);
    let limited = limited["key"].as_str().unwrap();
    let (seen, stop, clock, addresses) = (Seen::default(), AtomicBool::new(false), Instant::now(), fleet.addresses());
    std::thread::scope(|scope| {
        let (seen, stop, addresses) = (&seen, &stop, &addresses);
        let _ends = Ends(stop);
        for caller in 0..callers {
            scope.spawn(move || seen.verify(&fleet.key, addresses, &format!("+49151{caller}"), stop));
            scope.spawn(move || seen.spend(limited, addresses[caller], clock, stop));
        }
        body(seen, &|by| {
            let before = seen.verdicts.load(Ordering::SeqCst);
            let began = Instant::now();
            while seen.verdicts.load(Ordering::SeqCst) < before + by {
                assert!(began.elapsed() < Duration::from_secs(120), "nothing is verified: {}", fleet.logs());
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    });
    seen.nothing_was_done_twice(fleet, calls, period)
}

/// `OTPGATE_ROUNDS` in place of 2.
fn suffer(trouble: Trouble) {
    let rounds: usize = std::env::var("OTPGATE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let mut figures = Vec::new();
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let proxy = Proxy::before(redis.port());
    let fleet = Fleet::with(4, &proxy.store(), "", "");
    let verified = under_load(&fleet, 4, (CALLS, PERIOD), |seen, until_verdicts_rise| {
        let mut was_quick = false;
        while figures.len() < rounds || !was_quick {
            let round = figures.len();
            assert!(round < rounds.max(TRIES), "calls waited too long in every round: {figures:#?}");
            until_verdicts_rise(8);
            seen.refusals.lock().unwrap().clear();
            let before = handled(&fleet);
            let began = Instant::now();
            trouble.begin(&mut redis, &proxy);
            let mut off = None;
            if trouble != Trouble::Full {
                fleet.until_ready_is(503);
                off = Some(began.elapsed());
                // It is not on again before the trouble is over.
                let mut probe = Client::new(fleet.addresses()[0], None);
                while began.elapsed() < LASTS {
                    probe.get("/health/ready").expect(503);
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            std::thread::sleep(LASTS.saturating_sub(began.elapsed()));
            let mut refusals = std::mem::take(&mut *seen.refusals.lock().unwrap());
            let (middle, late) = median(&mut refusals);
            let after = handled(&fleet);
            let [fast, timely, all] = std::array::from_fn(|index| after[index] - before[index]);
            let began = Instant::now();
            trouble.end(&mut redis, &proxy);
            fleet.until_ready_is(200);
            let on = began.elapsed();
            until_verdicts_rise(8);
            println!(
                "{trouble:?} {round}: ready off after {off:?}, on after {on:?}; {} refusals, half within {middle:?}, 99 % within {late:?}",
                refusals.len()
            );
            // By the gateways' own measure, because the callers share their processors with them: what a call waits for is
            // over well before 100 ms. Nine in ten of all are refused without a wait, so those that waited are looked at too.
            let (waited, late) = (all - fast, all - timely);
            let quick = late * 20 <= all && (trouble != Trouble::Dead || waited >= 4 && late * 3 <= waited);
            // Each of eight callers is told at once, and asks again 20 ms later: callers that wait would be told seldom.
            was_quick |= quick && refusals.len() >= 20;
            let told = format!("of {all} calls {waited} took more than 50 ms, {late} more than 100 ms");
            println!("{told}");
            figures.push(format!("{told}; {} refusals", refusals.len()));
        }
    });
    assert!(verified >= 8 * figures.len(), "{verified}: {figures:#?}");
}

#[test]
fn a_restart_under_load_loses_nothing() {
    suffer(Trouble::Restart);
}

#[test]
fn a_network_that_swallows_everything_is_noticed() {
    suffer(Trouble::Dead);
}

#[test]
fn connections_that_break_are_made_again() {
    suffer(Trouble::Broken);
}

#[test]
fn a_primary_that_was_demoted_is_no_store() {
    suffer(Trouble::Demoted);
}

#[test]
fn a_primary_without_its_replicas_is_no_store() {
    suffer(Trouble::Alone);
}

#[test]
fn a_store_without_memory_refuses_and_recovers() {
    suffer(Trouble::Full);
}

#[test]
fn a_refusal_says_whether_it_may_have_been_done() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port());
    let fleet = Fleet::with(1, &proxy.store(), "", "");
    let limited = fleet.create_key(&["--calls", "1000", "--period", "3600"]);
    let limited = limited["key"].as_str().unwrap();
    let mut numbers = (0..).map(|number| format!("+4915112345{number:03}"));
    let mut body = || json!({"number": numbers.next().unwrap(), "otpCode": "4711"});
    // What is sent to the store first is the commit, which counts the call as well where it has a quota.
    for (key, wire, told) in [
        (fleet.key.as_str(), Wire::Dead, "unanswered"),
        (fleet.key.as_str(), Wire::Mute, "unanswered"),
        (limited, Wire::Dead, "unanswered"),
        (limited, Wire::Mute, "unanswered"),
    ] {
        let mut client = fleet.replicas[0].client(key);
        let sent = body();
        // On a machine that is busy the link may be known to be away before the call is there: then nothing is sent.
        let mut tries = 0;
        let said = loop {
            // What a call reads before its commit is known by then.
            while client.post_json("/v1/otp", &body()).status == 503 {}
            proxy.set(wire);
            let said = client.post_json("/v1/otp", &sent).expect(503);
            tries += 1;
            if said.json()["code"] == told || tries == 20 {
                break said;
            }
            fleet.until_ready_is(503);
            proxy.set(Wire::Broken);
            proxy.set(Wire::Whole);
            fleet.until_ready_is(200);
        };
        assert!(said.header("retry-after").is_some(), "{said:?}");
        assert_eq!(said.json()["code"], told, "{wire:?}: {said:?}");
        // By now it is known to be away: nothing is sent any more.
        fleet.until_ready_is(503);
        let said = client.post_json("/v1/otp", &sent).expect(503);
        assert_eq!(said.json()["code"], "unavailable", "{wire:?}: {said:?}");
        proxy.set(Wire::Broken);
        proxy.set(Wire::Whole);
        fleet.until_ready_is(200);
        // Where only the answer was lost, it was done, and once.
        let messages = || {
            let all = fleet.messages().into_iter().flatten();
            all.filter(|message| message["number"] == sent["number"]).count()
        };
        while wire == Wire::Mute && messages() == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(messages(), usize::from(wire == Wire::Mute), "{wire:?}");
    }
    // What is counted before it is done was not done.
    proxy.set(Wire::Dead);
    let said = fleet.replicas[0].client(limited).post_json("/v1/applications", &json!({"name": "Other"})).expect(503);
    assert_eq!(said.json()["code"], "unavailable", "{said:?}");
}
