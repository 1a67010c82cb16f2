//! Sentinels: whom of them the gateways believe, how long they stay with a primary that was replaced, and by which password the
//! sentinels are asked.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failover::{Sentinel, acquainted, figure, level, replica_of, send, verify};
use crate::support::command;
use crate::support::fleet::{Fleet, PATIENT, config};
use crate::support::redis::Redis;

/// Whom nobody can demote takes itself for the primary for ever, as one that was cut off does for a while.
const STUBBORN: [&str; 6] = ["--rename-command", "SLAVEOF", "", "--rename-command", "REPLICAOF", ""];

fn names(sentinel: &Sentinel, primary: &Redis) -> bool {
    sentinel.ask(&["sentinel", "get-master-addr-by-name", "main"]).ends_with(&primary.port().to_string())
}

#[test]
fn a_primary_that_the_sentinels_replaced_is_left_also_where_it_lives_and_does_not_know() {
    let primary = Redis::with(&STUBBORN);
    let replica = replica_of(primary.port());
    let sentinels: Vec<_> = (0..3).map(|_| Sentinel::of(primary.port())).collect();
    acquainted(&sentinels, &replica);
    // One is named; it names the others.
    let store = format!("redis://127.0.0.1:{}?master=main", sentinels[0].port);
    let first = Fleet::start(1, &store);
    let used = send(&first, 1);
    assert_eq!(verify(&first, 0, &used).unwrap()["verified"], true);
    let open = send(&first, 2);
    level(&primary, &replica);
    while sentinels[1].ask(&["sentinel", "failover", "main"]) != "OK" {
        std::thread::sleep(Duration::from_millis(50));
    }
    while !sentinels.iter().all(|sentinel| names(sentinel, &replica)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let second = Fleet::start(1, &store);
    // What is sent by the first is there for the second: both are on the new primary.
    let began = Instant::now();
    for number in 3.. {
        let body = json!({"number": format!("+4915112345{number:03}"), "otpCode": "4711"});
        let sent = first.client(0).post_json("/v1/otp", &body);
        if sent.status == 200 {
            let path = format!("/v1/otp/{}", sent.json()["otpId"].as_str().unwrap());
            if second.client(0).get(&path).status == 200 {
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it is never left: {}", first.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((figure(&primary, "role"), figure(&replica, "role")), ("master".to_owned(), "master".to_owned()));
    for fleet in [&first, &second] {
        assert_eq!(verify(fleet, 0, &used).unwrap()["verified"], false);
    }
    let right = [&first, &second].map(|fleet| verify(fleet, 0, &open).unwrap()["verified"] == true);
    assert_eq!(right, [true, false]);
}

#[test]
fn a_sentinel_that_has_not_heard_of_the_failover_is_not_believed() {
    // What sentinels tell each other on it is not heard: they meet on the replica.
    let primary = Redis::with(&[&STUBBORN[..], &["--rename-command", "SUBSCRIBE", ""]].concat());
    let replica = replica_of(primary.port());
    let sentinels: Vec<_> = (0..2).map(|_| Sentinel::of(primary.port())).collect();
    acquainted(&sentinels, &replica);
    while sentinels[0].ask(&["sentinel", "failover", "main"]) != "OK" {
        std::thread::sleep(Duration::from_millis(50));
    }
    while !sentinels.iter().all(|sentinel| names(sentinel, &replica)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    // It begins now, knows nobody, and is named first.
    let stale = Sentinel::of(primary.port());
    while !names(&stale, &primary) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ports = [stale.port, sentinels[0].port, sentinels[1].port];
    let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let fleet = Fleet::start(1, &format!("redis://{hosts}?master=main"));
    fleet.client(0).get("/v1/connection").expect(200);
    assert_ne!(replica.cli(&["dbsize"]), "0");
    assert_eq!(primary.cli(&["dbsize"]), "0", "the first sentinel's word is not taken");
}

/// What `store init` says of an address: its exit code and its line.
fn initialised(folder: &Path, store: &str) -> (i32, String) {
    let file = folder.join("sentinels.toml");
    std::fs::write(&file, config(folder, store, PATIENT, "")).unwrap();
    let (code, said, line) = command(&folder.join("data"), &["store", "init", "--config", file.to_str().unwrap()]);
    assert!(!line.contains("swordfish") && !line.contains("halibut"), "{line}");
    assert_eq!(said.lines().count() + line.lines().count(), 1, "{said}{line}");
    (code, line)
}

#[test]
fn sentinels_have_a_password_of_their_own_or_none() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let own = ["--requirepass", "halibut@1"].map(str::to_owned);
    let (open, closed) = (Sentinel::of(redis.port()), Sentinel::with(redis.port(), &own));
    while !names(&open, &redis) || !closed.ask(&["ping"]).contains("NOAUTH") {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(open.ask(&["sentinel", "set", "main", "auth-pass", "swordfish"]), "OK");
    assert_eq!(redis.cli(&["config", "set", "requirepass", "swordfish"]), "OK");
    let at = |sentinel: &Sentinel, more: &str| format!("redis://:swordfish@127.0.0.1:{}{more}", sentinel.port);
    // Only the data have one; the second database of the data is none of the sentinel's.
    let (code, line) = initialised(folder, &at(&open, "/2?master=main"));
    assert_eq!(code, 0, "{line}");
    let (code, line) = initialised(folder, &at(&open, "?master=nope"));
    assert_eq!((code, line.contains("no primary called nope")), (68, true), "{line}");
    // Where both have one, each has to be given.
    let (code, line) = initialised(folder, &at(&closed, "?master=main"));
    assert_eq!((code, line.contains("password")), (67, true), "{line}");
    let (code, line) = initialised(folder, &at(&closed, "/2?master=main&sentinel_password=wrong"));
    assert_eq!((code, line.contains("sentinel_password")), (67, true), "{line}");
    let (code, line) = initialised(folder, &at(&closed, "/2?master=main&sentinel_password=halibut%401"));
    assert_eq!(code, 0, "{line}");
    // That of the data is wanted at the primary.
    let without = format!("redis://127.0.0.1:{}/2?master=main", open.port);
    let (code, line) = initialised(folder, &without);
    assert_eq!((code, line.contains("NOAUTH")), (67, true), "{line}");
}
