//! How often a call goes to the store and back. Whatever is sent to it arrives a while later, so that the time that a call takes
//! says how many turns it took; the shortest of several says it on a busy machine as well, because nothing makes a call shorter.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::{Answer, Client};

/// How far away the store is.
const TURN: Duration = Duration::from_millis(200);
/// Calls of each kind.
const CALLS: usize = 5;

/// The fewest turns that a call of this kind took; each is given an OTP that another replica sent.
fn turns(
    sender: &mut Client,
    asked: &mut Client,
    kind: usize,
    call: impl Fn(&mut Client, &str, usize) -> Answer,
) -> u32 {
    let otps: Vec<_> = (0..CALLS)
        .map(|index| {
            // Every kind has its own numbers, so that nobody has sent to them.
            let body = json!({"number": format!("+49151{kind:02}{index:06}"), "otpCode": "4711"});
            sender.post_json("/v1/otp", &body).expect(200).json()["otpId"].as_str().unwrap().to_owned()
        })
        .collect();
    // Long enough for the messages to have left: nobody else writes to the OTPs any more.
    std::thread::sleep(TURN * 8);
    let shortest = otps.iter().enumerate().map(|(index, id)| {
        let began = Instant::now();
        call(asked, id, index).expect(200);
        began.elapsed()
    });
    u32::try_from(shortest.min().unwrap().as_millis() / TURN.as_millis()).unwrap()
}

#[test]
fn the_quota_and_the_action_of_a_call_take_two_turns() {
    let redis = Redis::start();
    // To make the store takes many turns: somebody near by does.
    let near = Fleet::start(1, &redis.address());
    let [many, one] = ["10000", "1"].map(|calls| near.create_key(&["--calls", calls, "--period", "3600"]));
    let proxy = Proxy::far_before(redis.port(), TURN);
    let fleet = Fleet::start(2, &proxy.store());
    let key = many["key"].as_str().unwrap();
    let (mut sender, mut asked) = (fleet.replicas[0].client(key), fleet.replicas[1].client(key));
    // The key itself is looked up once.
    asked.get("/v1/connection").expect(200);
    let code = json!({"otpCode": "4711"});
    let mut found = Vec::new();
    let mut count = |kind: &'static str, call: &dyn Fn(&mut Client, &str, usize) -> Answer| {
        found.push((kind, turns(&mut sender, &mut asked, found.len(), call)));
    };
    count("send", &|client, _, index| {
        client.post_json("/v1/otp", &json!({"number": format!("+4915199{index:06}"), "otpCode": "4711"}))
    });
    count("status", &|client, id, _| client.get(&format!("/v1/otp/{id}")));
    count("verify", &|client, id, _| client.post_json(&format!("/v1/otp/{id}/verify"), &code));
    count("resend", &|client, id, _| {
        client.post_json(&format!("/v1/otp/{id}/resend"), &Value::Object(Default::default()))
    });
    count("delete", &|client, id, _| client.delete(&format!("/v1/otp/{id}")));
    assert!(false, "{found:?}");
    // A refusal that is certainly still true is said again without the store.
    let mut spent = fleet.replicas[1].client(one["key"].as_str().unwrap());
    spent.get("/v1/connection").expect(200);
    spent.get("/v1/connection").expect(429);
    let refusals = (0..CALLS).map(|_| {
        let began = Instant::now();
        spent.get("/v1/connection").expect(429);
        began.elapsed()
    });
    let shortest = refusals.min().unwrap();
    assert!(shortest < TURN, "{shortest:?}");
}
