//! Another server takes the store's place: one that lags behind, and one that a sentinel chooses.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fleet::Fleet;
use crate::support::proxy::{Proxy, Wire};
use crate::support::redis::Redis;
use crate::support::{Client, free_port};

/// A replica of what listens on `port`, once it is one.
pub(super) fn replica_of(port: u16) -> Redis {
    let replica = Redis::start();
    assert_eq!(replica.cli(&["replicaof", "127.0.0.1", &port.to_string()]), "OK");
    while figure(&replica, "master_link_status") != "up" {
        std::thread::sleep(Duration::from_millis(10));
    }
    replica
}

/// A line of `info replication`.
pub(super) fn figure(redis: &Redis, name: &str) -> String {
    let text = redis.cli(&["info", "replication"]);
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

/// Waits until the replica has what the primary has by now.
pub(super) fn level(primary: &Redis, replica: &Redis) {
    let wanted: u64 = figure(primary, "master_repl_offset").parse().unwrap();
    while figure(replica, "slave_repl_offset").parse::<u64>().unwrap() < wanted {
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(super) fn send(fleet: &Fleet, number: usize) -> String {
    let body = json!({"number": format!("+4915112345{number:03}"), "otpCode": "4711"});
    fleet.client(number).post_json("/v1/otp", &body).expect(200).json()["otpId"].as_str().unwrap().to_owned()
}

/// What a replica says of the right code; none where it cannot say.
pub(super) fn verify(fleet: &Fleet, replica: usize, otp: &str) -> Option<Value> {
    let answer = fleet.client(replica).post_json(&format!("/v1/otp/{otp}/verify"), &json!({"otpCode": "4711"}));
    (answer.status != 503).then(|| answer.expect(200).json())
}

/// The calls that a connection has in the test of failovers.
const CALLS: usize = 5;

/// Half of it is for replicas to say what they have: one that lives does so in time on a busy machine as well.
const TIMEOUT: &str = "timeout = \"5s\"";

/// Nobody is ready, however often it is looked at, for longer than replicas are waited for in vain.
fn stays_away(fleet: &Fleet) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(fleet.ready(), [503; 2]);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Calls until one is refused for want of quota, or so many: how many were admitted.
fn admitted(client: &mut Client, most: usize) -> usize {
    let mut count = 0;
    for _ in 0..most {
        match client.get("/v1/connection").status {
            200 => count += 1,
            429 => break,
            other => assert_eq!(other, 503),
        }
    }
    count
}

/// Codes that are used, and a quota that is, before and after the replication stops, then a failover: how often each code was
/// called right, and how many calls were admitted in all.
fn lag(wait_replicas: u32) -> (Vec<usize>, Vec<usize>, usize) {
    let primary = Redis::start();
    let wire = Proxy::before(primary.port());
    let replica = replica_of(wire.port());
    let address = Proxy::before(primary.port());
    let lines = format!("{TIMEOUT}\nwait_replicas = {wait_replicas}");
    let fleet = Fleet::with(2, &address.store(), &lines, "");
    let made = fleet.create_key(&["--calls", &CALLS.to_string(), "--period", "3600"]);
    let mut limited = fleet.replicas[0].client(made["key"].as_str().unwrap());
    let mut calls = admitted(&mut limited, 3);
    assert_eq!(calls, 3);
    let early: Vec<_> = (0..20).map(|number| send(&fleet, number)).collect();
    let late: Vec<_> = (20..25).map(|number| send(&fleet, number)).collect();
    let right =
        |otp: &String, at: usize| usize::from(verify(&fleet, at, otp).is_some_and(|said| said["verified"] == true));
    let mut of_early: Vec<_> = early.iter().map(|otp| right(otp, 0)).collect();
    if wait_replicas == 0 {
        level(&primary, &replica);
    }
    wire.set(Wire::Dead);
    let mut of_late: Vec<_> = late.iter().map(|otp| right(otp, 0)).collect();
    calls += admitted(&mut limited, 2);
    address.set(Wire::Broken);
    fleet.until_ready_is(503);
    assert_eq!(replica.cli(&["replicaof", "no", "one"]), "OK");
    address.lead_to(replica.port());
    address.set(Wire::Whole);
    // The new primary has no replica of its own yet: where verdicts wait for one, nothing is said until it has.
    if wait_replicas > 0 {
        stays_away(&fleet);
    }
    let _next = (wait_replicas > 0).then(|| replica_of(replica.port()));
    fleet.until_ready_is(200);
    for (otps, counts) in [(&early, &mut of_early), (&late, &mut of_late)] {
        for (otp, count) in otps.iter().zip(counts) {
            *count += right(otp, 0) + right(otp, 1);
        }
    }
    calls += admitted(&mut limited, 2 * CALLS);
    wire.set(Wire::Broken);
    (of_early, of_late, calls)
}

#[test]
fn without_the_replica_that_it_waits_for_a_gateway_is_not_ready() {
    let primary = Redis::start();
    let wire = Proxy::before(primary.port());
    let replica = replica_of(wire.port());
    let mut fleet = Fleet::with(2, &primary.address(), &format!("{TIMEOUT}\nwait_replicas = 1"), "");
    fleet.until_ready_is(200);
    let otp = send(&fleet, 1);
    // It hangs: it is connected, and has nothing of what is written. Nobody calls.
    wire.set(Wire::Dead);
    fleet.until_ready_is(503);
    stays_away(&fleet);
    assert_eq!(verify(&fleet, 0, &otp), None);
    // One that starts now starts, and is not ready either once it has looked.
    fleet.replace(1);
    fleet.until_ready_is(503);
    stays_away(&fleet);
    wire.set(Wire::Broken);
    assert_eq!(replica.cli(&["replicaof", "127.0.0.1", &primary.port().to_string()]), "OK");
    fleet.until_ready_is(200);
    assert_eq!(verify(&fleet, 0, &otp).unwrap()["verified"], true);
}

#[test]
fn with_a_replica_to_wait_for_no_used_code_is_revived_and_no_quota() {
    let (early, late, calls) = lag(1);
    assert_eq!(calls, CALLS);
    assert_eq!(early, [1; 20]);
    assert!(late.iter().all(|count| *count <= 1), "{late:?}");
}

/// The other way round: what the test above would see.
#[test]
fn without_one_the_loss_is_what_the_replication_lagged_behind() {
    let (early, late, calls) = lag(0);
    assert!(calls > CALLS, "calls that the replica had not heard of are free again: {calls}");
    assert_eq!(early, [1; 20], "what had arrived there is kept");
    assert!(late.contains(&2), "what had not is lost: {late:?}");
}

/// A sentinel, gone with the test. Two of three agree on who is away, and elect who acts.
pub(super) struct Sentinel {
    child: Child,
    pub(super) port: u16,
    _folder: TempDir,
}

impl Sentinel {
    /// One for a primary that lives: it replaces it where it is told to, and not because the machine stood still.
    pub(super) fn of(primary: u16) -> Self {
        Self::with(primary, &[])
    }

    /// The same, with more options, as the command line of a server has them.
    pub(super) fn with(primary: u16, options: &[String]) -> Self {
        Self::after(primary, Duration::from_secs(30), options)
    }

    /// One that takes a primary for dead that was silent for so long.
    fn after(primary: u16, down_after: Duration, options: &[String]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let lines = options.join(" ").replace(" --", "\n").replacen("--", "", 1);
        let text = format!(
            "{lines}\nport {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds main {}\nsentinel failover-timeout main 5000\n",
            folder.path().display(),
            down_after.as_millis()
        );
        std::fs::write(&file, text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), port, _folder: folder }
    }

    pub(super) fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_gateways_follow_whom_the_sentinels_choose() {
    let mut primary = Redis::start();
    let replica = replica_of(primary.port());
    let sentinel = |_| Sentinel::after(primary.port(), Duration::from_secs(3), &[]);
    let mut sentinels: Vec<_> = (0..3).map(sentinel).collect();
    acquainted(&sentinels, &replica);
    let hosts: Vec<_> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let fleet = Fleet::start(2, &format!("redis://{}?master=main", hosts.join(",")));
    let used = send(&fleet, 1);
    assert_eq!(verify(&fleet, 0, &used).unwrap()["verified"], true);
    let open = send(&fleet, 2);
    level(&primary, &replica);
    // Under load: somebody asks all the while, and is told yes or no or not now.
    let (mut told, mut refused, mut returned) = (0, 0, None);
    primary.kill();
    // And with it the sentinel that is asked first.
    drop(sentinels.remove(0));
    let began = Instant::now();
    for number in 0.. {
        // Not those of the two codes above, however long it takes.
        let body = json!({"number": format!("+4915112345{:03}", 3 + number % 997), "otpCode": "4711"});
        match fleet.client(number).post_json("/v1/otp", &body).status {
            200 => {
                told += 1;
                returned.get_or_insert_with(|| began.elapsed());
            }
            503 => refused += 1,
            other => panic!("{other}: {}", fleet.logs()),
        }
        if told == 20 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{} {}",
            sentinels[0].ask(&["info", "sentinel"]),
            fleet.logs()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{refused} refused until {returned:?} after the primary's death");
    assert!(refused > 0);
    assert_eq!(figure(&replica, "role"), "master");
    assert_eq!(verify(&fleet, 1, &used).unwrap()["verified"], false);
    assert_eq!(verify(&fleet, 1, &open).unwrap()["verified"], true);
}

/// Waits until each of these sentinels knows the replica and the others.
pub(super) fn acquainted(sentinels: &[Sentinel], replica: &Redis) {
    let others = format!("num-other-sentinels\n{}", sentinels.len() - 1);
    for sentinel in sentinels {
        while !sentinel.ask(&["sentinel", "replicas", "main"]).contains(&replica.port().to_string())
            || !sentinel.ask(&["sentinel", "master", "main"]).contains(&others)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_failover_to_an_empty_store_answers_nothing() {
    let (full, empty) = (Redis::start(), Redis::start());
    let address = Proxy::before(full.port());
    let fleet = Fleet::start(2, &address.store());
    let otp = send(&fleet, 1);
    address.lead_to(empty.port());
    address.set(Wire::Broken);
    fleet.until_ready_is(503);
    address.set(Wire::Whole);
    // Long enough for many looks at it.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(fleet.ready(), [503, 503]);
    assert!((0..2).all(|replica| verify(&fleet, replica, &otp).is_none()));
    assert_eq!(empty.cli(&["dbsize"]), "0", "nothing was written there");
    // And back: nothing was lost.
    address.lead_to(full.port());
    address.set(Wire::Broken);
    address.set(Wire::Whole);
    fleet.until_ready_is(200);
    assert_eq!(verify(&fleet, 1, &otp).unwrap()["verified"], true);
}
