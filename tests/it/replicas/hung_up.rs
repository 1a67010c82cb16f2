//! Callers who go away in the middle: what they began is finished, on a store that is far enough away for there to be a middle.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Client;
use crate::support::fleet::{Fleet, PATIENT};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// How far away the store is.
const TURN: Duration = Duration::from_millis(200);
/// Less than the 15 s for which what a dead replica was at waits for another one.
const SOON: Duration = Duration::from_secs(10);

/// Posts, waits for so long, and is gone.
fn post_and_leave(to: SocketAddr, path: &str, fields: &str, body: &str, stays: Duration) {
    let mut socket = TcpStream::connect(to).unwrap();
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nHost: a.example\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).unwrap();
    std::thread::sleep(stays);
}

fn far_fleet(redis: &Redis) -> (Fleet, Proxy) {
    // The store is made before it is said to be far away.
    drop(Fleet::start(1, &redis.address()));
    let proxy = Proxy::far_before(redis.port(), TURN);
    (Fleet::with(1, &proxy.store(), PATIENT, ""), proxy)
}

#[test]
fn a_message_leaves_though_its_caller_hung_up() {
    const CALLS: usize = 4;
    let redis = Redis::start();
    let (fleet, _proxy) = far_fleet(&redis);
    let (replica, key) = (&fleet.replicas[0], fleet.key.as_str());
    // The key, and what a send needs to know of its account, are known from here on.
    let send = |number: &str| json!({"number": number, "otpCode": "4711"});
    let mut known = Duration::MAX;
    while known >= TURN * 2 {
        let began = Instant::now();
        replica.client(key).post_json("/v1/otp", &send("+4915114000000")).expect(200);
        known = began.elapsed();
    }
    let arrived = || {
        let all = fleet.messages().into_iter().flatten();
        all.filter(|message| message["number"].as_str().unwrap().starts_with("+4915112")).count()
    };
    for index in 0..CALLS {
        let fields = format!("apikey: {key}\r\nContent-Type: application/json\r\n");
        let body = send(&format!("+4915112{index:06}")).to_string();
        post_and_leave(replica.public, "/v1/otp", &fields, &body, TURN / 2);
    }
    let began = Instant::now();
    while arrived() < CALLS {
        assert!(began.elapsed() < SOON, "{} of {CALLS}", arrived());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(arrived(), CALLS);
}

/// As browsers do it: the second press of a button gives up what the first one asked for.
#[test]
fn a_second_press_that_gives_up_the_first_counts_once() {
    let redis = Redis::start();
    let (fleet, _proxy) = far_fleet(&redis);
    let (replica, mut asks) = (&fleet.replicas[0], fleet.client(0));
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (index, half_turns) in (1..=9).step_by(2).enumerate() {
        let body = json!({"number": format!("+4915113{index:06}")});
        let opened = asks.post_json("/v1/verifications", &body).expect(201).json();
        let page = opened["pageUrl"].as_str().unwrap();
        let page = format!("/{}", page.splitn(4, '/').nth(3).unwrap());
        // Its message has left: nobody else writes to it.
        std::thread::sleep(TURN * 8);
        let wrong = "action=enter&turn=3.2&code=wrong";
        post_and_leave(replica.public, &page, form, wrong, TURN / 2 * half_turns);
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        Client::new(replica.public, None).call("POST", &page, &[form], wrong).expect(303);
        let path = format!("/v1/verifications/{}", opened["verificationId"].as_str().unwrap());
        let seen = asks.get(&path).expect(200).json();
        assert_eq!(seen["otp"]["attemptCount"], 1, "after {half_turns} half turns: {seen}");
    }
}
