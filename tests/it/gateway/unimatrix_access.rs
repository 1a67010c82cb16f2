//! Who may call Unimatrix' path: signed and simple, every way to be refused, nonces, quota, guard and idempotency.

use serde_json::{Value, json};

use crate::support::signer::{Habit, Signer, error, nonce, now};
use crate::support::{Client, Gateway, Options, Server};

const NUMBER: &str = "+14155552671";
const HABITS: [Habit; 2] = [Habit::Node, Habit::Python];

fn body() -> Value {
    json!({"to": NUMBER})
}

fn text<'k>(key: &'k Value, name: &str) -> &'k str {
    key[name].as_str().unwrap()
}

/// The pairs of a signed call that is as it should be, but for `change`.
fn signed(key: &Value, habit: Habit, change: (&str, Option<&str>)) -> String {
    let (timestamp, nonce) = (habit.timestamp(now()), nonce());
    let mut pairs = vec![
        ("action", "otp.send"),
        ("accessKeyId", text(key, "accessKeyId")),
        ("algorithm", "hmac-sha256"),
        ("timestamp", &timestamp),
        ("nonce", &nonce),
    ];
    pairs.retain(|(name, _)| *name != change.0);
    pairs.extend(change.1.map(|value| (change.0, value)));
    format!("/?{}", habit.sign(text(key, "accessKeySecret"), &pairs))
}

#[test]
fn both_habits_sign_and_a_key_serves_unsigned_only_where_it_was_allowed() {
    // More failures than the guard takes by default.
    let gateway = Gateway::with("[guard]\nfailures = 1000\n");
    let address = gateway.server.public;
    let (plain, simple) = (gateway.create_key(&[]), gateway.create_key(&["--allow-simple"]));
    for habit in HABITS {
        for key in [&plain, &simple] {
            let mut client = Signer::signed(address, key, habit);
            client.send(&body());
            // What needs to be encoded, in each of its ways; and a signature whose plus became a space.
            let path = client.path_with(&[("action", "otp.send"), ("more", "a b+c/d=ü~*'()!&?"), ("empty", "")]);
            client.client.post_json(&path, &body()).expect(200);
            let spaced = client.path("otp.send").replace("%2B", "+");
            client.client.post_json(&spaced, &body()).expect(200);
        }
    }
    Signer::simple(address, &simple).send(&body());
    let refused = Signer::simple(address, &plain).call("otp.send", &body());
    assert_eq!(error(&refused), (401, "104102".to_owned()));
    assert!(refused.header("www-authenticate").is_some());
    // Who brings a part of a signature is not let through without it.
    let half = format!("{}&nonce=12345678", Signer::simple(address, &simple).path("otp.send"));
    assert_eq!(error(&Client::new(address, None).post_json(&half, &body())), (401, "104102".to_owned()));
    // An API key opens nothing here, and an access key nothing elsewhere.
    let with_key = gateway.client().post_json("/?action=otp.send", &body());
    assert_eq!(error(&with_key), (401, "104101".to_owned()));
    gateway.server.client(text(&simple, "accessKeyId")).get("/v1/connection").expect(401);
    // A key that is revoked stops, signed and simple.
    let (code, _, stderr) = gateway.command(&["key", "revoke", text(&simple, "id")]);
    assert_eq!(code, 0, "{stderr}");
    let mut status = 200;
    for _ in 0..100 {
        status = Signer::simple(address, &simple).call("otp.send", &body()).status;
        if status == 401 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(status, 401);
    assert_eq!(Signer::signed(address, &simple, Habit::Node).call("otp.send", &body()).status, 401);
}

#[test]
fn every_wrong_signature_is_refused_alike() {
    let gateway = Gateway::with("[guard]\nfailures = 1000\n");
    let address = gateway.server.public;
    let mut client = Client::new(address, None);
    let key = gateway.create_key(&[]);
    let mut refusals = Vec::new();
    let mut refuse = |client: &mut Client, what: &str, path: String| {
        let answer = client.post_json(&path, &body());
        assert_eq!(error(&answer), (401, "104102".to_owned()), "{what}");
        refusals.push(answer.body);
    };
    for habit in HABITS {
        let (short, long) = ("1234567", "x".repeat(65));
        let changes = [
            ("algorithm", Some("hmac-sha1")),
            ("algorithm", None),
            ("algorithm", Some("")),
            ("timestamp", None),
            ("timestamp", Some("1")),
            ("timestamp", Some("17637644371")),
            ("timestamp", Some("-763764437")),
            ("timestamp", Some("now")),
            ("nonce", None),
            ("nonce", Some(short)),
            ("nonce", Some(long.as_str())),
            ("accessKeyId", Some("x")),
            ("accessKeyId", Some("AAAAAAAAAAAAAAAAAAAAAAAA")),
            ("accessKeyId", Some("a b")),
            ("accessKeyId", Some(text(&key, "clientId"))),
        ];
        for change in changes {
            refuse(&mut client, &format!("{habit:?} {change:?}"), signed(&key, habit, change));
        }
        let right = || signed(&key, habit, ("", None));
        let mut other = key.clone();
        other["accessKeySecret"] = json!("x".repeat(32));
        refuse(&mut client, "another secret", signed(&other, habit, ("", None)));
        for (what, path) in [
            ("a pair more", format!("{}&more=1", right())),
            ("a pair changed", right().replace("otp.send", "otp.verify")),
            ("a pair less", right().replace("action=otp.send&", "")),
            ("a name twice", format!("{}&action=otp.send", right())),
            ("two signatures", format!("{}&signature=x", right())),
            ("no UTF-8", format!("{}&more=%ff", right())),
            ("too many pairs", format!("{}{}", right(), "&".repeat(32))),
        ] {
            refuse(&mut client, what, path);
        }
        let (head, signature) = right().split_once("&signature=").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        for cut in ["", "x", &signature[1..], &format!("{signature}00")] {
            refuse(&mut client, cut, format!("{head}&signature={cut}"));
        }
        refuse(&mut client, "no signature", head);
    }
    refuse(&mut client, "simple, unknown", "/?action=otp.send&accessKeyId=AAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
    refuse(&mut client, "simple, not allowed", Signer::simple(address, &key).path("otp.send"));
    refuse(&mut client, "a name twice", format!("{}&accessKeyId=x", Signer::simple(address, &key).path("otp.send")));
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "which of them it was shows in nothing: {refusals:?}");
    for path in ["/", "/?action=otp.send", "/?accessKeyId=", "/?action=otp.send&signature=x&nonce=12345678"] {
        assert_eq!(error(&client.post_json(path, &body())), (401, "104101".to_owned()), "{path}");
    }
    // Nothing of all this was counted, sent or kept.
    let left = Signer::signed(address, &key, Habit::Node).call("otp.send", &body()).expect(200);
    assert!(left.header("ratelimit").unwrap().starts_with("\"connection\";r=99;"), "{left:?}");
    let metrics = gateway.server.admin_client().get("/metrics").body;
    for cause in ["missing", "malformed", "unknown", "unproven"] {
        let line = metrics.lines().find(|line| line.contains("auth") && line.contains(&format!("cause=\"{cause}\"")));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{cause}: {line:?}");
    }
}

#[test]
fn a_timestamp_is_within_ten_minutes_either_way() {
    let gateway = Gateway::with("[guard]\nfailures = 1000\n");
    let key = gateway.create_key(&["--unlimited"]);
    let mut client = Client::new(gateway.server.public, None);
    let mut unknown = key.clone();
    unknown["accessKeyId"] = json!("AAAAAAAAAAAAAAAAAAAAAAAA");
    for habit in HABITS {
        for (seconds, taken) in [(0, true), (-595, true), (595, true), (-606, false), (606, false), (-86_400, false)] {
            let at = habit.timestamp(now().saturating_add_signed(seconds * 1_000));
            let answer = client.post_json(&signed(&key, habit, ("timestamp", Some(&at))), &body());
            if taken {
                answer.expect(200);
            } else {
                assert_eq!(error(&answer), (401, "104103".to_owned()), "{habit:?} {seconds}");
                let stranger = client.post_json(&signed(&unknown, habit, ("timestamp", Some(&at))), &body());
                assert_eq!(stranger.body, answer.body, "whether the key exists shows in nothing");
            }
        }
    }
    for at in ["0000000000", "9999999999", "0000000000000", "9999999999999"] {
        let answer = client.post_json(&signed(&key, Habit::Node, ("timestamp", Some(at))), &body());
        assert_eq!(error(&answer), (401, "104103".to_owned()));
    }
}

#[test]
fn a_nonce_serves_once_whatever_becomes_of_the_process() {
    let gateway = Gateway::start();
    let (key, other) = (gateway.create_key(&["--calls", "20"]), gateway.create_key(&[]));
    let mut client = Client::new(gateway.server.public, None);
    let nonce = ("nonce", Some("n 1+ü/8?"));
    let path = signed(&key, Habit::Node, nonce);
    // Nobody without the secret spends it.
    let (head, _) = path.split_once("&signature=").unwrap();
    assert_eq!(error(&client.post_json(&format!("{head}&signature={}", "0".repeat(64)), &body())).1, "104102");
    client.post_json(&path, &body()).expect(200);
    let replayed = client.post_json(&path, &body());
    assert_eq!(error(&replayed), (401, "104104".to_owned()));
    assert!(replayed.header("ratelimit").is_none(), "a call that is refused is not counted");
    // Signed anew with the same nonce, it is still spent; for another connection it is not.
    assert_eq!(error(&client.post_json(&signed(&key, Habit::Python, nonce), &body())).1, "104104");
    client.post_json(&signed(&other, Habit::Python, nonce), &body()).expect(200);
    // Whatever a call ends with, its nonce is spent: with a fault, and over quota.
    let faulty = signed(&key, Habit::Node, ("", None));
    client.post_json(&faulty, &json!({})).expect(400);
    assert_eq!(error(&client.post_json(&faulty, &body())).1, "104104");
    let mut refused = String::new();
    for _ in 0..20 {
        refused = signed(&key, Habit::Node, ("", None));
        if client.post_json(&refused, &body()).status == 429 {
            break;
        }
    }
    assert_eq!(error(&client.post_json(&refused, &body())), (401, "104104".to_owned()));
    // Of many at once one is let through.
    let path = signed(&other, Habit::Node, ("", None));
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let (mut client, path) = (Client::new(gateway.server.public, None), &path);
                scope.spawn(move || client.post_json(path, &body()).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let path = signed(&other, Habit::Node, ("", None));
    client.post_json(&path, &body()).expect(200);
    gateway.kill_then(|data, config| {
        let restart = || Server::start(data, &Options { config: config.to_owned(), ..Options::default() });
        let server = restart();
        assert_eq!(error(&Client::new(server.public, None).post_json(&path, &body())), (401, "104104".to_owned()));
        server.stop();
        let server = restart();
        assert_eq!(error(&Client::new(server.public, None).post_json(&path, &body())), (401, "104104".to_owned()));
        Client::new(server.public, None).post_json(&signed(&other, Habit::Node, ("", None)), &body()).expect(200);
        server.stop();
    });
}

#[test]
fn refused_calls_are_charged_to_their_address() {
    let gateway = Gateway::start();
    let key = gateway.create_key(&[]);
    let mut client = Client::new(gateway.server.public, None);
    let replay = signed(&key, Habit::Node, ("", None));
    client.post_json(&replay, &body()).expect(200);
    let stale = signed(&key, Habit::Node, ("timestamp", Some("1000000000")));
    let wrong = "/?action=otp.send&accessKeyId=x".to_owned();
    let mut guarded = None;
    for path in [&replay, &stale, &wrong].into_iter().cycle().take(60) {
        let answer = client.post_json(path, &body());
        if answer.status == 429 {
            guarded = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let guarded = guarded.unwrap();
    assert_eq!(error(&guarded), (429, "104302".to_owned()));
    assert!(guarded.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Whoever has the secret is let in all the same.
    client.post_json(&signed(&key, Habit::Node, ("", None)), &body()).expect(200);
}

#[test]
fn scopes_and_the_quota_are_worded_by_the_dialect() {
    let gateway = Gateway::start();
    let sender = gateway.create_key(&["--scopes", "send"]);
    let mut sender = Signer::signed(gateway.server.public, &sender, Habit::Node);
    sender.send(&body());
    assert_eq!(sender.error("otp.verify", &json!({"to": NUMBER, "code": "4711"})), (403, "104105".to_owned()));
    let few = gateway.create_key(&["--calls", "3", "--period", "30"]);
    let mut few = Signer::signed(gateway.server.public, &few, Habit::Python);
    few.send(&body());
    few.error("otp.nothing", &body());
    few.error("otp.verify", &json!({}));
    let over = few.call("otp.send", &body());
    assert_eq!(error(&over), (429, "104301".to_owned()));
    let wait: u64 = over.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait));
    assert_eq!(over.json()["message"], format!("Rate limit is exceeded. Try again in {wait} seconds."));
    assert_eq!(over.header("ratelimit-policy"), Some("\"connection\";q=3;w=30"));
    assert!(over.header("ratelimit").unwrap().starts_with("\"connection\";r=0;t="));
}

#[test]
fn a_call_that_comes_again_signed_anew_is_done_once() {
    let gateway = Gateway::start();
    let key = gateway.create_key(&["--unlimited", "--allow-simple"]);
    let json_type = ("Content-Type", "application/json");
    let call = |signer: &mut Signer, action: &str, headers: &[(&str, &str)], body: &Value| {
        let path = signer.path(action);
        signer.client.call("POST", &path, headers, &body.to_string())
    };
    let named = [json_type, ("Idempotency-Key", "order-4711")];
    let mut clients = [
        Signer::signed(gateway.server.public, &key, Habit::Node),
        Signer::signed(gateway.server.public, &key, Habit::Python),
        Signer::simple(gateway.server.public, &key),
    ];
    let first = call(&mut clients[0], "otp.send", &named, &json!({"to": NUMBER, "code": "4711"})).expect(200);
    for client in &mut clients {
        let again = call(client, "otp.send", &named, &json!({"to": NUMBER, "code": "4711"})).expect(200);
        assert_eq!((again.body.as_str(), again.header("idempotency-replayed")), (first.body.as_str(), Some("true")));
        assert!(again.header("x-uni-request-id").is_some());
        let reused = call(client, "otp.send", &named, &json!({"to": NUMBER, "code": "4712"}));
        assert_eq!(error(&reused), (422, "104012".to_owned()));
    }
    // The very same signed call is refused before anybody asks what was answered.
    let path = clients[0].path("otp.send");
    let again = [json_type, ("Idempotency-Key", "order-4712")];
    let sent = clients[0].client.call("POST", &path, &again, &body().to_string()).expect(200);
    assert_eq!(error(&clients[0].client.call("POST", &path, &again, &body().to_string())), (401, "104104".to_owned()));
    let replayed = call(&mut clients[0], "otp.send", &again, &body()).expect(200);
    assert_eq!(replayed.body, sent.body);
    // A check by the platform's run: the second is told the same, and counts no attempt.
    clients[0].send(&json!({"to": NUMBER, "code": "4713", "intent": "run"}));
    let run = [json_type, ("x-ms-workflow-run-id", "r1"), ("x-ms-workflow-operation-name", "Check")];
    let check = json!({"to": NUMBER, "code": "4713", "intent": "run"});
    for client in &mut clients {
        assert_eq!(call(client, "otp.verify", &run, &check).expect(200).json()["data"]["valid"], true);
    }
    assert!(!clients[1].verify(&check));
    let bad = call(&mut clients[1], "otp.send", &[json_type, ("Idempotency-Key", "a b")], &body());
    assert_eq!(error(&bad), (400, "104011".to_owned()));
}
