//! How often a call goes to the store and back. Whatever is sent to it arrives a while later, so that the time that a call takes
//! says how many turns it took; the shortest of several says it on a busy machine as well, because nothing makes a call shorter.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::fleet::{Fleet, PATIENT};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::{Answer, Client};

/// How far away the store is.
const TURN: Duration = Duration::from_millis(200);
/// Calls of each kind.
const CALLS: usize = 5;

/// What is counted: two replicas far from the store, and one near it.
struct Far {
    /// It made the store, which takes many turns, and the keys.
    near: Fleet,
    far: Fleet,
    key: String,
    kinds: usize,
}

/// What is done with the client, given the id and the number of an OTP, and how many there were before.
type Call<'a> = &'a dyn Fn(&mut Client, &str, &str, usize) -> Answer;

impl Far {
    /// `tables` go to the configuration of those that are far away.
    fn from(store: &str, proxies: &str, tables: &str) -> Self {
        let near = Fleet::start(1, store);
        let far = Fleet::with(2, proxies, PATIENT, tables);
        let made = near.create_key(&["--calls", "10000", "--period", "3600"]);
        let key = made["key"].as_str().unwrap().to_owned();
        // Each looks the key up once.
        far.replicas.iter().for_each(|replica| drop(replica.client(&key).get("/v1/connection").expect(200)));
        Self { near, far, key, kinds: 0 }
    }

    /// The fewest turns that a call of this kind took at the second replica, where `sender` had sent the OTPs before.
    fn turns(&mut self, sender: usize, call: Call<'_>) -> u32 {
        self.kinds += 1;
        let mut from = self.far.replicas[sender].client(&self.key);
        let mut asked = self.far.replicas[1].client(&self.key);
        let otps: Vec<_> = (0..CALLS)
            .map(|index| {
                // Every kind has its own numbers, so that nobody has sent to them.
                let number = format!("+49151{:02}{index:06}", self.kinds);
                let sent = from.post_json("/v1/otp", &json!({"number": number, "otpCode": "4711"})).expect(200).json();
                (sent["otpId"].as_str().unwrap().to_owned(), number)
            })
            .collect();
        // Long enough for the messages to have left: nobody else writes to the OTPs any more.
        std::thread::sleep(TURN * 8);
        let shortest = otps.iter().enumerate().map(|(index, (id, number))| {
            let began = Instant::now();
            call(&mut asked, id, number, index).expect(200);
            began.elapsed()
        });
        u32::try_from(shortest.min().unwrap().as_millis() / TURN.as_millis()).unwrap()
    }
}

/// Every message is counted by its country's ceiling.
const CEILING: &str = "[delivery]\nmessages_per_day = 100000\n";

fn send(client: &mut Client, _: &str, _: &str, index: usize) -> Answer {
    client.post_json("/v1/otp", &json!({"number": format!("+4915199{index:06}"), "otpCode": "4711"}))
}

fn named(client: &mut Client, id: &str, _: &str, _: usize) -> Answer {
    let fields = [("Content-Type", "application/json"), ("Idempotency-Key", id)];
    client.call("POST", &format!("/v1/otp/{id}/verify"), &fields, r#"{"otpCode": "4711"}"#)
}

/// A send, and a check of what the replica that is asked has sent itself; then all that is done to what the other one has.
fn found(far: &mut Far) -> Vec<(&'static str, u32)> {
    let code = json!({"otpCode": "4711"});
    let verify =
        |client: &mut Client, id: &str, _: &str, _: usize| client.post_json(&format!("/v1/otp/{id}/verify"), &code);
    let resend = |client: &mut Client, id: &str, _: &str, _: usize| {
        client.post_json(&format!("/v1/otp/{id}/resend"), &json!({}))
    };
    let status = |client: &mut Client, id: &str, _: &str, _: usize| client.get(&format!("/v1/otp/{id}"));
    let delete = |client: &mut Client, id: &str, _: &str, _: usize| client.delete(&format!("/v1/otp/{id}"));
    let again = |client: &mut Client, _: &str, number: &str, _: usize| {
        client.post_json("/v1/otp", &json!({"number": number, "otpCode": "4712"}))
    };
    let kinds: [(&str, usize, Call<'_>); 8] = [
        ("send", 0, &send),
        ("verify its own", 1, &verify),
        ("status", 0, &status),
        ("verify", 0, &verify),
        ("resend", 0, &resend),
        ("delete", 0, &delete),
        ("send again", 0, &again),
        ("verify once", 0, &named),
    ];
    kinds.map(|(kind, sender, call)| (kind, far.turns(sender, call))).into()
}

#[test]
fn a_call_takes_one_turn_or_two() {
    let redis = Redis::start();
    let proxy = Proxy::far_before(redis.port(), TURN);
    assert_eq!(Far::from(&redis.address(), &proxy.store(), CEILING).turns(0, &send), 1, "under a ceiling");
    let mut far = Far::from(&redis.address(), &proxy.store(), "");
    let found = found(&mut far);
    let expected = [
        ("send", 1),
        ("verify its own", 1),
        ("status", 2),
        ("verify", 2),
        ("resend", 2),
        ("delete", 2),
        ("send again", 1),
        // Its key is looked for and reserved beforehand.
        ("verify once", 3),
    ];
    assert_eq!(found, expected);
    // A refusal that is certainly still true is said again without the store.
    let one = far.near.create_key(&["--calls", "1", "--period", "3600"]);
    let mut spent = far.far.replicas[1].client(one["key"].as_str().unwrap());
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

/// A quota lies on another server than a number: it is asked for beside what changes nothing.
#[test]
fn a_call_takes_two_turns_on_a_cluster() {
    let redis = Redis::cluster(3);
    let near = redis.address();
    let masters = redis.masters();
    let proxies: Vec<_> = masters.iter().map(|port| Proxy::far_before(*port, TURN)).collect();
    // The store is made before its servers are said to be far away.
    drop(Fleet::start(1, &near));
    for (master, proxy) in masters.iter().zip(&proxies) {
        assert_eq!(redis.cli_of(*master, &["config", "set", "cluster-announce-port", &proxy.port().to_string()]), "OK");
    }
    // Nor does the count of a ceiling lie there.
    assert_eq!(Far::from(&near, &proxies[0].store(), CEILING).turns(0, &send), 2, "under a ceiling");
    let found = found(&mut Far::from(&near, &proxies[0].store(), ""));
    let expected = [
        ("send", 2),
        ("verify its own", 2),
        ("status", 2),
        ("verify", 2),
        ("resend", 2),
        ("delete", 2),
        ("send again", 2),
        ("verify once", 3),
    ];
    assert_eq!(found, expected);
}
