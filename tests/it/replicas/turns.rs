//! How often a call goes to the store and back. Whatever is sent to it arrives a while later, so that the time that a call takes
//! says how many turns it took; the shortest of several says it on a busy machine as well, because nothing makes a call shorter.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fleet::{Fleet, PATIENT};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::{Answer, Client};

/// How far away the store is.
const TURN: Duration = Duration::from_millis(200);
/// Calls of each kind.
const CALLS: usize = 4;

/// What is counted: a replica far from the store, and one near it.
struct Far {
    /// It made the store, which takes many turns, and the keys.
    near: Fleet,
    far: Fleet,
    key: String,
    /// How the same connection names itself in Unimatrix' dialect.
    access_key: String,
    kinds: usize,
}

/// Who has sent the OTPs that something is done to.
#[derive(Clone, Copy)]
enum Sender {
    Itself,
    Another,
}
use Sender::{Another, Itself};

/// What is done with the client, given the id and the number of an OTP, and how many there were before.
type Call<'a> = &'a dyn Fn(&mut Client, &str, &str, usize) -> Answer;

impl Far {
    /// `tables` go to the configuration of the one that is far away.
    fn from(store: &str, proxies: &str, tables: &str) -> Self {
        let near = Fleet::start(1, store);
        let far = Fleet::with(1, proxies, PATIENT, tables);
        let made = near.create_key(&["--allow-simple", "--calls", "10000", "--period", "3600"]);
        let key = made["key"].as_str().unwrap().to_owned();
        // It looks the key up once.
        far.replicas[0].client(&key).get("/v1/connection").expect(200);
        let access_key = made["accessKeyId"].as_str().unwrap().to_owned();
        Self { near, far, key, access_key, kinds: 0 }
    }

    /// Calls an action of Unimatrix' at a gateway.
    fn act(&self, fleet: &Fleet) -> impl Fn(&str, &Value) -> Answer + use<> {
        let (to, access_key) = (fleet.replicas[0].public, self.access_key.clone());
        move |action, body| {
            let path = format!("/?action={action}&accessKeyId={access_key}");
            Client::new(to, None).call("POST", &path, &[("Content-Type", "application/json")], &body.to_string())
        }
    }

    /// The fewest turns that a call of each kind took at the replica far away.
    fn turns(&mut self, kinds: &[(Sender, Call<'_>)]) -> Vec<u32> {
        let (mut near, mut far) = (self.near.replicas[0].client(&self.key), self.far.replicas[0].client(&self.key));
        let mut send = |sender, index: usize| {
            let from = if let Itself = sender { &mut far } else { &mut near };
            // Every kind has its own numbers, so that nobody has sent to them.
            let number = format!("+49151{:02}{index:06}", self.kinds);
            let sent = from.post_json("/v1/otp", &json!({"number": number, "otpCode": "4711"})).expect(200).json();
            self.kinds += usize::from(index + 1 == CALLS);
            (sent["otpId"].as_str().unwrap().to_owned(), number)
        };
        let sent: Vec<Vec<_>> =
            kinds.iter().map(|(sender, _)| (0..CALLS).map(|index| send(*sender, index)).collect()).collect();
        // Long enough for the messages to have left: nobody else writes to the OTPs any more.
        std::thread::sleep(TURN * 8);
        let turns = |(otps, (_, call)): (&Vec<(String, String)>, &(Sender, Call<'_>))| {
            let shortest = otps.iter().enumerate().map(|(index, (id, number))| {
                let began = Instant::now();
                let answer = call(&mut far, id, number, index);
                let took = began.elapsed();
                assert!(matches!(answer.status, 200 | 201), "{answer:?}");
                took
            });
            u32::try_from(shortest.min().unwrap().as_millis() / TURN.as_millis()).unwrap()
        };
        sent.iter().zip(kinds).map(turns).collect()
    }
}

/// Every message is counted by its country's ceiling.
const CEILING: &str = "[delivery]\nmessages_per_day = 100000\n";

fn send(client: &mut Client, _: &str, _: &str, index: usize) -> Answer {
    client.post_json("/v1/otp", &json!({"number": format!("+4915199{index:06}"), "otpCode": "4711"}))
}

fn resend(client: &mut Client, id: &str, _: &str, _: usize) -> Answer {
    client.post_json(&format!("/v1/otp/{id}/resend"), &json!({}))
}

/// A call that is to be done once.
fn once(client: &mut Client, key: &str, method: &str, path: &str, body: &str) -> Answer {
    client.call(method, path, &[("Content-Type", "application/json"), ("Idempotency-Key", key)], body)
}

fn resend_once(client: &mut Client, id: &str, _: &str, _: usize) -> Answer {
    once(client, id, "POST", &format!("/v1/otp/{id}/resend"), "{}")
}

/// A send, and a check of what the replica that is asked has sent itself; then all that is done to what another one has.
fn found(far: &mut Far) -> Vec<(&'static str, u32)> {
    let code = json!({"otpCode": "4711"});
    let verify =
        |client: &mut Client, id: &str, _: &str, _: usize| client.post_json(&format!("/v1/otp/{id}/verify"), &code);
    let status = |client: &mut Client, id: &str, _: &str, _: usize| client.get(&format!("/v1/otp/{id}"));
    let delete = |client: &mut Client, id: &str, _: &str, _: usize| client.delete(&format!("/v1/otp/{id}"));
    let again = |client: &mut Client, _: &str, number: &str, _: usize| {
        client.post_json("/v1/otp", &json!({"number": number, "otpCode": "4712"}))
    };
    let send_once = |client: &mut Client, id: &str, _: &str, index: usize| {
        let body = json!({"number": format!("+4915198{index:06}"), "otpCode": "4711"});
        once(client, id, "POST", "/v1/otp", &body.to_string())
    };
    let verify_once = |client: &mut Client, id: &str, _: &str, _: usize| {
        once(client, id, "POST", &format!("/v1/otp/{id}/verify"), r#"{"otpCode": "4711"}"#)
    };
    let delete_once =
        |client: &mut Client, id: &str, _: &str, _: usize| once(client, id, "DELETE", &format!("/v1/otp/{id}"), "");
    let open = |client: &mut Client, _: &str, _: &str, index: usize| {
        client.post_json("/v1/verifications", &json!({"number": format!("+4915197{index:06}")}))
    };
    // By number and purpose.
    let (near, from) = (far.act(&far.near), far.act(&far.far));
    let send_for = |_: &mut Client, _: &str, _: &str, index: usize| {
        from("otp.send", &json!({"to": format!("+4915196{index:06}")}))
    };
    for index in 0..CALLS {
        near("otp.send", &json!({"to": format!("+4915195{index:06}")})).expect(200);
    }
    let check = |_: &mut Client, _: &str, _: &str, index: usize| {
        from("otp.verify", &json!({"to": format!("+4915195{index:06}"), "code": "0000"}))
    };
    let kinds: [(&str, Sender, Call<'_>); 15] = [
        ("send", Another, &send),
        ("verify its own", Itself, &verify),
        ("status", Another, &status),
        ("verify", Another, &verify),
        ("resend", Another, &resend),
        ("delete", Another, &delete),
        ("send again", Another, &again),
        ("send once", Another, &send_once),
        ("verify its own once", Itself, &verify_once),
        ("verify once", Another, &verify_once),
        ("resend once", Another, &resend_once),
        ("delete once", Another, &delete_once),
        ("open", Another, &open),
        ("send for a purpose", Another, &send_for),
        ("check by purpose", Another, &check),
    ];
    let turns = far.turns(&kinds.map(|(_, sender, call)| (sender, call)));
    kinds.iter().map(|(kind, ..)| *kind).zip(turns).collect()
}

/// A send, and a resend of what another replica has sent, where messages are counted by their country.
fn found_under_a_ceiling(far: &mut Far) -> Vec<u32> {
    far.turns(&[(Another, &send), (Another, &resend), (Another, &resend_once)])
}

#[test]
fn a_call_takes_one_turn_or_two() {
    let redis = Redis::start();
    let proxy = Proxy::far_before(redis.port(), TURN);
    assert_eq!(found_under_a_ceiling(&mut Far::from(&redis.address(), &proxy.store(), CEILING)), [1, 2, 2]);
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
        ("send once", 1),
        ("verify its own once", 1),
        ("verify once", 2),
        ("resend once", 2),
        ("delete once", 2),
        ("open", 2),
        ("send for a purpose", 2),
        ("check by purpose", 2),
    ];
    assert_eq!(found, expected);
    // A refusal that is certainly still true is said again without the store.
    let one = far.near.create_key(&["--calls", "1", "--period", "3600"]);
    let mut spent = far.far.replicas[0].client(one["key"].as_str().unwrap());
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
    assert_eq!(found_under_a_ceiling(&mut Far::from(&near, &proxies[0].store(), CEILING)), [2, 2, 2]);
    let found = found(&mut Far::from(&near, &proxies[0].store(), ""));
    let expected = [
        ("send", 2),
        ("verify its own", 2),
        ("status", 2),
        ("verify", 2),
        ("resend", 2),
        ("delete", 2),
        ("send again", 2),
        ("send once", 2),
        ("verify its own once", 2),
        ("verify once", 2),
        ("resend once", 2),
        ("delete once", 2),
        ("open", 2),
        ("send for a purpose", 2),
        ("check by purpose", 2),
    ];
    assert_eq!(found, expected);
}
