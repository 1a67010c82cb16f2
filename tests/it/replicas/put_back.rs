//! A store that was put back in time, under its gateways or while they were stopped: what was admitted since is not admitted once
//! more. A crash that cost the last second charges nobody.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fleet::{Fleet, PATIENT, config};
use crate::support::redis::Redis;
use crate::support::{Client, Options, Server, command};

const CALLS: usize = 20;
const PERIOD: Duration = Duration::from_secs(8);
/// Until then two beats were seen, long enough apart, by whoever looks.
const SETTLED: Duration = Duration::from_secs(6);

fn limited(fleet: &Fleet, period: Duration) -> String {
    let made = fleet.create_key(&["--calls", &CALLS.to_string(), "--period", &period.as_secs().to_string()]);
    made["key"].as_str().unwrap().to_owned()
}

fn clients<'a>(replicas: impl IntoIterator<Item = &'a Server>, key: &str) -> Vec<Client> {
    replicas.into_iter().map(|replica| replica.client(key)).collect()
}

/// How many of so many calls are admitted, by each replica in turn.
fn admitted(clients: &mut [Client], calls: usize) -> usize {
    let count = clients.len();
    (0..calls).filter(|call| clients[call % count].get("/v1/connection").status == 200).count()
}

/// Nobody is admitted until a period has gone by since then, and from then on what the quota gives.
fn is_charged(clients: &mut [Client], since: Instant) {
    let count = clients.len();
    for call in 0.. {
        let answer = clients[call % count].get("/v1/connection");
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 429, "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let waited = since.elapsed();
    assert!(waited + Duration::from_millis(1) >= PERIOD, "admitted after {waited:?}");
    assert_eq!(admitted(clients, 3 * CALLS), CALLS - 1);
}

/// The server is killed, and begins again with what lies on its disk.
fn put_back(redis: &mut Redis, fleet: &Fleet) {
    redis.kill();
    fleet.until_ready_is(503);
    redis.again();
    fleet.until_ready_is(200);
}

#[test]
fn a_store_that_was_emptied_and_restored_has_every_quota_charged() {
    let mut redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    let key = limited(&fleet, PERIOD);
    assert_eq!(redis.cli(&["save"]), "OK");
    assert_eq!(admitted(&mut clients(&fleet.replicas, &key), CALLS), CALLS);
    let since = Instant::now();
    assert_eq!(redis.cli(&["flushall"]), "OK");
    fleet.until_ready_is(503);
    put_back(&mut redis, &fleet);
    is_charged(&mut clients(&fleet.replicas, &key), since);
    // Once: what is admitted now is counted as ever.
    std::thread::sleep(PERIOD);
    assert_eq!(admitted(&mut clients(&fleet.replicas, &key), 2 * CALLS), CALLS);
}

#[test]
fn a_store_that_was_put_back_without_a_word_has_every_quota_charged_for_everybody() {
    let mut redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    let key = limited(&fleet, PERIOD);
    assert_eq!(redis.cli(&["save"]), "OK");
    std::thread::sleep(SETTLED);
    assert_eq!(admitted(&mut clients(&fleet.replicas, &key), CALLS), CALLS);
    let since = Instant::now();
    put_back(&mut redis, &fleet);
    assert!(fleet.logs().contains("put back in time"), "{}", fleet.logs());
    // One that never saw the store before has nothing to compare it with.
    let fresh = Fleet::start(1, &redis.address());
    is_charged(&mut clients(fleet.replicas.iter().chain(&fresh.replicas), &key), since);
}

#[test]
fn a_crash_that_cost_the_last_moment_charges_nobody() {
    let mut redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    let key = limited(&fleet, Duration::from_secs(3_600));
    std::thread::sleep(SETTLED);
    assert_eq!(admitted(&mut clients(&fleet.replicas, &key), 12), 12);
    assert_eq!(redis.cli(&["save"]), "OK");
    put_back(&mut redis, &fleet);
    assert_eq!(admitted(&mut clients(&fleet.replicas, &key), 2 * CALLS), CALLS - 12);
}

#[test]
fn a_gateway_that_was_stopped_meanwhile_remembers_how_far_the_store_had_come() {
    let (mut redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let (data, file) = (folder.path().join("replica"), folder.path().join("command.toml"));
    let text = config(folder.path(), &redis.address(), PATIENT, "");
    std::fs::write(&file, &text).unwrap();
    let options = Options { config: text, ..Options::default() };
    let mut server = Server::start(&data, &options);
    let (calls, period) = (CALLS.to_string(), PERIOD.as_secs().to_string());
    let words = ["key", "create", "--name", "test", "--json", "--calls", &calls, "--period", &period, "--config"];
    let words = [&words[..], &[file.to_str().unwrap()]].concat();
    let (code, made, log) = command(&folder.path().join("command"), &words);
    assert_eq!(code, 0, "{log}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let key = made["key"].as_str().unwrap();
    assert_eq!(redis.cli(&["save"]), "OK");
    std::thread::sleep(SETTLED);
    let known = data.join("known-stores");
    let noted = || {
        let text = std::fs::read_to_string(&known).unwrap();
        let (marker, rest) = text.trim().split_once(':').unwrap();
        let (beat, address) = rest.split_once(' ').unwrap();
        (marker.to_owned(), beat.parse::<u64>().unwrap(), address.to_owned())
    };
    let began = Instant::now();
    while noted().1 == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is noted: {:?}", noted());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(admitted(&mut [server.client(key)], CALLS), CALLS);
    let since = Instant::now();
    server.kill();
    // It notes a beat twice a minute: this is the next one, which the snapshot does not have.
    let (marker, _, address) = noted();
    let beat = redis.cli(&["hget", "og{00}h", "at"]);
    std::fs::write(&known, format!("{marker}:{beat} {address}\n")).unwrap();
    redis.kill();
    redis.again();
    let again = Server::start(&data, &options);
    is_charged(&mut [again.client(key)], since);
}
