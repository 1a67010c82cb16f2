//! A cluster of three masters with a replica each, under load: a master dies and its replica takes over; a master takes no
//! writes. Verdicts and admissions wait for a replica, so nothing is lost with a master.

use std::time::{Duration, Instant};

use serde_json::json;

use super::trouble::under_load;
use crate::support::fleet::Fleet;
use crate::support::redis::Redis;

const CALLS: usize = 40;
const PERIOD: Duration = Duration::from_secs(4);

#[test]
fn a_master_that_dies_takes_nothing_with_it() {
    let mut redis = Redis::cluster_with(3, 1, Vec::new);
    let fleet = Fleet::with(4, &redis.address(), "timeout = \"2s\"\nwait_replicas = 1", "");
    let verified = under_load(&fleet, 3, (CALLS, PERIOD), |_, until_verdicts_rise| {
        for round in 0..2 {
            until_verdicts_rise(12);
            let before = redis.masters();
            let dead = before[round % before.len()];
            redis.kill_node(dead);
            let began = Instant::now();
            loop {
                let masters = redis.masters();
                if masters.len() == 3 && !masters.contains(&dead) {
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(60), "no replica takes over");
                std::thread::sleep(Duration::from_millis(50));
            }
            let promoted = began.elapsed();
            // The new master has nobody to wait for until the old one is its replica.
            redis.again_node(dead);
            redis.until_replicated();
            fleet.until_ready_is(200);
            until_verdicts_rise(12);
            println!("{round}: promoted after {promoted:?}, verdicts again after {:?}", began.elapsed());
        }
    });
    assert!(verified >= 24, "{verified}");
}

#[test]
fn a_master_that_takes_no_writes_is_seen_before_a_caller_sees_it() {
    let redis = Redis::cluster(3);
    let fleet = Fleet::start(2, &redis.address());
    let answers = || {
        let numbers = (0..30).map(|number| json!({"number": format!("+4915112345{number:03}"), "otpCode": "4711"}));
        numbers.map(|body| fleet.client(0).post_json("/v1/otp", &body).status).collect::<Vec<_>>()
    };
    for (index, master) in redis.masters().into_iter().enumerate() {
        assert_eq!(answers(), [200; 30]);
        assert_eq!(redis.cli_of(master, &["config", "set", "min-replicas-to-write", "1"]), "OK");
        fleet.until_ready_is(503);
        // And stays so, however often it is looked at.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            assert_eq!(fleet.ready(), [503; 2], "master {index}");
        }
        assert_eq!(answers(), [503; 30]);
        assert_eq!(redis.cli_of(master, &["config", "set", "min-replicas-to-write", "0"]), "OK");
        fleet.until_ready_is(200);
    }
}
