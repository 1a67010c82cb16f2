//! A store that was emptied under its gateways: nothing is answered from it until the operator says so, and then no quota
//! forgets what it had admitted.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::fleet::{Fleet, PATIENT, config};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::{Client, Options, Server, command};

/// Every call is refused for now, in every replica.
fn refused_everywhere(fleet: &Fleet) {
    for replica in 0..fleet.replicas.len() {
        let mut client = fleet.client(replica);
        for answer in [
            client.get("/v1/connection"),
            client.post_json("/v1/otp", &json!({"number": "+4915112345678"})),
            client.get("/2fa/v1/application"),
        ] {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
    }
}

/// After `otpgate store init`: the old keys are gone, and a new connection has its quota only when a period has gone by.
fn is_made_anew(fleet: &Fleet) {
    const PERIOD: Duration = Duration::from_secs(8);
    let before = Instant::now();
    let (code, said, log) = fleet.command(&["store", "init"]);
    assert_eq!(code, 0, "{log}");
    assert!(said.contains("the store is made; it was empty"), "{said}");
    fleet.until_ready_is(200);
    for replica in 0..fleet.replicas.len() {
        fleet.client(replica).get("/v1/connection").expect(401);
    }
    let made = fleet.create_key(&["--calls", "5", "--period", &PERIOD.as_secs().to_string()]);
    let key = made["key"].as_str().unwrap();
    let mut clients: Vec<_> = fleet.replicas.iter().map(|replica| replica.client(key)).collect();
    let mut refusals = 0;
    loop {
        let answer = clients[refusals % fleet.replicas.len()].get("/v1/connection");
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 429, "{answer:?}");
        refusals += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    // The store was made after `before`, and counts whole milliseconds.
    let waited = before.elapsed();
    assert!(waited + Duration::from_millis(1) >= PERIOD, "admitted after {waited:?}");
    let count = clients.len();
    let admitted = (0..20).filter(|call| clients[call % count].get("/v1/connection").status == 200).count();
    assert_eq!(admitted, 4, "from then on it has what it is given; {refusals} refusals before");
    let key = fleet.unlimited();
    let mut client = fleet.replicas[0].client(&key);
    let body = json!({"number": "+4915112345678", "otpCode": "4711"});
    let otp = client.post_json("/v1/otp", &body).expect(200).json();
    let path = format!("/v1/otp/{}/verify", otp["otpId"].as_str().unwrap());
    let verdict = fleet.replicas[1].client(&key).post_json(&path, &json!({"otpCode": "4711"})).expect(200).json();
    assert_eq!(verdict["verified"], true);
}

#[test]
fn after_flushall_nothing_is_answered_until_the_store_is_made_anew() {
    let redis = Redis::start();
    let fleet = Fleet::start(4, &redis.address());
    fleet.client(0).get("/v1/connection").expect(200);
    assert_eq!(redis.cli(&["flushall"]), "OK");
    // Not only when somebody has looked: the first call that needs the store already.
    for replica in 0..4 {
        let body = json!({"number": "+4915112345678"});
        let answer = fleet.client(replica).post_json("/v1/otp", &body).expect(503);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    fleet.until_ready_is(503);
    refused_everywhere(&fleet);
    for address in fleet.addresses() {
        Client::new(address, None).get("/health/live").expect(200);
    }
    assert!(fleet.logs().contains("otpgate store init"), "{}", fleet.logs());
    is_made_anew(&fleet);
}

#[test]
fn a_restart_that_lost_everything_is_an_emptied_store() {
    let mut redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    redis.kill();
    fleet.until_ready_is(503);
    redis.again();
    assert_eq!(redis.cli(&["dbsize"]), "0");
    // Reached, and still not ours: long enough for many a look at it.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.ready(), [503, 503]);
    refused_everywhere(&fleet);
    is_made_anew(&fleet);
}

#[test]
fn a_part_that_was_emptied_stops_everything_and_charges_every_quota() {
    let redis = Redis::start();
    let fleet = Fleet::start(2, &redis.address());
    let made = fleet.create_key(&["--calls", "5", "--period", "3600"]);
    let mut client = fleet.replicas[0].client(made["key"].as_str().unwrap());
    client.get("/v1/connection").expect(200);
    // As a cluster's node that came back empty: the quotas and their marker are gone, the connections are not.
    redis.cli(&["EVAL", "for _,key in ipairs(redis.call('KEYS','og{??}*')) do redis.call('DEL',key) end", "0"]);
    assert_eq!(client.get("/v1/connection").status, 503);
    fleet.until_ready_is(503);
    let (code, said, log) = fleet.command(&["store", "init"]);
    assert_eq!((code, said.contains("ours again")), (0, true), "{log}{said}");
    fleet.until_ready_is(200);
    client.get("/v1/connection").expect(429);
    fleet.client(0).get("/v1/connection").expect(200);
    let (code, said, log) = fleet.command(&["store", "init"]);
    assert_eq!((code, said.contains("nothing was done")), (0, true), "{log}{said}");
}

/// The number's place is whole, so the commit would be done: what counts the call is missing.
#[test]
fn where_the_place_of_a_quota_was_emptied_nothing_is_done_in_another() {
    let redis = Redis::start();
    let fleet = Fleet::start(1, &redis.address());
    let made = fleet.create_key(&["--calls", "50", "--period", "3600"]);
    let mut client = fleet.replicas[0].client(made["key"].as_str().unwrap());
    let mut send = |number: usize| {
        let body = serde_json::json!({"number": format!("+4915112345{number:03}"), "otpCode": "4711"});
        client.post_json("/v1/otp", &body).status
    };
    assert_eq!(send(0), 200);
    let emptied = "for _,ring in ipairs(redis.call('KEYS','og{??}q*')) do local place=string.sub(ring,1,6)..'*' \
        for _,key in ipairs(redis.call('KEYS',place)) do redis.call('DEL',key) end end";
    redis.cli(&["EVAL", emptied, "0"]);
    assert_eq!((1..9).map(send).collect::<Vec<_>>(), [503; 8]);
}

/// How a gateway that must not come up ended: its exit code, and what it said.
fn refused_at_the_start(fleet: &Fleet, index: usize) -> (Option<i32>, String) {
    match fleet.try_launch(index) {
        Ok(_) => panic!("it serves"),
        Err((status, log)) => (status.code(), log),
    }
}

#[test]
fn a_gateway_that_knew_the_store_does_not_make_an_empty_one_in_its_place() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(2, &redis.address());
    for replica in &mut fleet.replicas {
        replica.kill();
    }
    assert_eq!(redis.cli(&["flushall"]), "OK");
    for replica in 0..2 {
        let (code, said) = refused_at_the_start(&fleet, replica);
        assert_eq!((code, said.lines().count()), (Some(66), 1), "{said}");
        assert!(said.contains("otpgate store init"), "{said}");
    }
    assert_eq!(redis.cli(&["dbsize"]), "0", "nothing was made");
    assert_eq!(fleet.command(&["store", "init"]).0, 0);
    let mut again = fleet.try_launch(0).unwrap();
    // It is another store now, and known as that.
    again.kill();
    drop(fleet.try_launch(0).unwrap());
    assert_eq!(redis.cli(&["flushall"]), "OK");
    assert_eq!(refused_at_the_start(&fleet, 0).0, Some(66));
    // A store at another address is another one: there it is the first start.
    let other = Redis::start();
    drop(Fleet::start(1, &other.address()));
}

#[test]
fn a_store_that_another_first_start_made_is_not_taken_for_the_one_that_was_lost() {
    let redis = Redis::start();
    let mut fleet = Fleet::start(2, &redis.address());
    assert_eq!(redis.cli(&["flushall"]), "OK");
    fleet.until_ready_is(503);
    // It has never heard of a store there, and makes one.
    let fresh = Fleet::start(1, &redis.address());
    fresh.until_ready_is(200);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.ready(), [503, 503]);
    refused_everywhere(&fleet);
    fleet.replicas[1].kill();
    let (code, said) = refused_at_the_start(&fleet, 1);
    assert_eq!((code, said.contains("otpgate store init")), (Some(66), true), "{said}");
    // What was made meanwhile stays.
    let (code, said, log) = fleet.command(&["store", "init"]);
    assert_eq!((code, said.contains("every quota begins fully charged")), (0, true), "{log}{said}");
    fleet.replicas[1] = fleet.try_launch(1).unwrap();
    fleet.until_ready_is(200);
    fresh.client(0).get("/v1/connection").expect(200);
    let made = fleet.create_key(&["--calls", "5", "--period", "3600"]);
    for replica in fleet.replicas.iter().chain(&fresh.replicas) {
        replica.client(made["key"].as_str().unwrap()).get("/v1/connection").expect(429);
    }
    let (code, said, log) = fleet.command(&["store", "init"]);
    assert_eq!((code, said.contains("nothing was done")), (0, true), "{log}{said}");
}

#[test]
fn a_store_far_away_is_made_and_made_anew_within_seconds() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let far = Proxy::far_before(redis.port(), Duration::from_millis(100));
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, config(folder.path(), &far.store(), PATIENT, "")).unwrap();
    let words = ["store", "init", "--config", file.to_str().unwrap()];
    for said in ["the store is made; it was empty", "nothing was done", "ours again"] {
        if said == "ours again" {
            redis.cli(&["del", "og{a7}M"]);
        }
        let began = Instant::now();
        let (code, found, log) = command(&folder.path().join("data"), &words);
        assert_eq!((code, found.contains(said)), (0, true), "{found}{log}");
        // It has 257 markers: one after the other they take twenty-five.
        assert!(began.elapsed() < Duration::from_secs(15), "{said}: {:?}", began.elapsed());
    }
}

#[test]
fn what_may_only_be_made_on_purpose_is_not_made_by_a_start_nor_by_a_command() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, config(folder.path(), &redis.address(), "create = false", "")).unwrap();
    let run = |words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["--config", file.to_str().unwrap()]);
        command(&folder.path().join("data"), &all)
    };
    for words in [&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"][..], &["key", "list"]] {
        let (code, _, said) = run(words);
        assert_eq!((code, said.contains("otpgate store init")), (66, true), "{said}");
    }
    assert_eq!(redis.cli(&["dbsize"]), "0");
    let (code, said, log) = run(&["store", "init"]);
    assert_eq!((code, said.contains("is made")), (0, true), "{said}{log}");
    assert_eq!(run(&["key", "list"]).0, 0);
    let options = Options { config: std::fs::read_to_string(&file).unwrap(), ..Options::default() };
    drop(Server::start(&folder.path().join("replica"), &options));
    // The same by the environment.
    assert_eq!(redis.cli(&["flushall"]), "OK");
    let text = config(folder.path(), &redis.address(), "", "");
    let environment = vec![("OTPGATE_STORE_CREATE".to_owned(), "false".to_owned())];
    let options = Options { config: text, environment, ..Options::default() };
    let Err((status, log)) = Server::try_start(&folder.path().join("another"), &options) else { panic!("it serves") };
    assert_eq!(status.code(), Some(66), "{log}");
}

#[test]
fn a_gateway_without_a_directory_to_write_to_serves_and_remembers_nothing() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    std::fs::write(&data, "no directory").unwrap();
    let options = Options { config: config(folder.path(), &redis.address(), PATIENT, ""), ..Options::default() };
    for _ in 0..2 {
        let mut server = Server::start(&data, &options);
        Client::new(server.public, None).get("/health/ready").expect(200);
        server.kill();
        assert_eq!(redis.cli(&["flushall"]), "OK");
    }
}
