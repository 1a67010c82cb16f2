//! Unimatrix' dialect: both actions, their parameter tables, and an error code for each cause. Who may call is tested in
//! `unimatrix_access`.

use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::signer::{Habit, Signer, error};
use crate::support::{Client, Gateway};

const NUMBER: &str = "+14155552671";

fn signer(gateway: &Gateway) -> Signer {
    let key = gateway.create_key(&["--unlimited"]);
    Signer::signed(gateway.server.public, &key, Habit::Node)
}

/// A code that is not `code`.
fn other(code: &str) -> String {
    code.bytes().map(|byte| if byte == b'0' { '1' } else { '0' }).collect()
}

#[test]
fn a_code_is_sent_and_checked_by_its_number() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    let sent = client.send(&json!({"to": NUMBER}));
    let id = sent["id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let expected = json!({"id": id, "to": NUMBER, "iso": "US", "cc": "1", "count": 1, "price": "0"});
    assert_eq!(sent, expected);
    let message = gateway.server.message(NUMBER, |_| true);
    let code = message["code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
    assert!(!client.verify(&json!({"to": NUMBER, "code": other(code)})));
    assert!(client.verify(&json!({"to": NUMBER, "code": code})));
    assert!(!client.verify(&json!({"to": NUMBER, "code": code})), "a code serves once");
    assert!(!client.verify(&json!({"to": "+14155552672", "code": code})), "nor for a number that was never sent to");
    // The same record, by its id: what became of it is told natively, and it is not checked there.
    let status = gateway.client().get(&format!("/v1/otp/{id}")).expect(200).json();
    assert_eq!((status["otpStatus"].as_str(), status["attemptCount"].as_u64()), (Some("VERIFIED"), Some(2)));
    let numbers = [("+4915112345678", "DE", "49"), ("+8613800138000", "CN", "86"), ("+442071838750", "GB", "44")];
    for (number, iso, cc) in numbers {
        let sent = client.send(&json!({"to": number}));
        assert_eq!((sent["iso"].as_str(), sent["cc"].as_str()), (Some(iso), Some(cc)));
    }
    assert_eq!(gateway.server.message("+442071838750", |_| true)["channel"], "VOICE", "auto calls a fixed line");
}

#[test]
fn a_send_takes_its_whole_table() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    for digits in 4..=8_usize {
        let number = format!("+1415555268{digits}");
        client.send(&json!({"to": number, "digits": digits, "unknown": {"is": "ignored"}, "intent": null, "code": ""}));
        assert_eq!(gateway.server.code(&number).len(), digits);
    }
    for (channel, expected) in [("auto", "SMS"), ("sms", "SMS"), ("call", "VOICE"), ("voice", "VOICE"), ("SMS", "SMS")]
    {
        let number = format!("+1415555{}", 2700 + channel.len() * 10 + usize::from(channel == "SMS"));
        client.send(&json!({"to": number, "channel": channel}));
        assert_eq!(gateway.server.message(&number, |_| true)["channel"], expected, "{channel}");
    }
    client.send(&json!({"to": NUMBER, "code": "00471147", "ttl": 1800, "intent": "ü".repeat(36), "signature": "Acme",
                        "templateId": "pub_otp_en_basic2"}));
    let message = gateway.server.message(NUMBER, |_| true);
    assert_eq!((message["code"].as_str(), message["sender"].as_str()), (Some("00471147"), Some("Acme")));
    assert!(message["text"].as_str().unwrap().contains("00471147"));
    assert!(client.verify(&json!({"to": NUMBER, "code": "00471147", "intent": "ü".repeat(36)})));
    // Digits even where the application's codes have letters; its texts by its id.
    let made = json!({"name": "Letters", "alphanumeric": true, "pinLength": 10});
    let application = gateway.client().post_json("/v1/applications", &made).expect(200).json();
    let id = application["applicationId"].as_str().unwrap();
    let text = "%7B%7BOTP%7D%7D%20for%20%7B%7BMIN%7D%7D";
    gateway.client().post(&format!("/2fa/v1/application/{id}/language?language=en&text={text}")).expect(200);
    client.send(&json!({"to": NUMBER, "templateId": id}));
    let message = gateway.server.message(NUMBER, |message| message["code"] != "00471147");
    let code = message["code"].as_str().unwrap();
    assert_eq!(message["text"], format!("{code} for 5"), "what a check takes that says nothing else");
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    gateway.client().delete(&format!("/v1/applications/{id}")).expect(200);
    assert!(!client.verify(&json!({"to": NUMBER, "code": code})), "its application is gone");
}

#[test]
fn every_parameter_beyond_its_table_is_refused_with_its_code() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    let absent = || (400, "104001".to_owned());
    let invalid = || (400, "104002".to_owned());
    let numbers = [
        json!("4155552671"),
        json!("14155552671"),
        json!("0014155552671"),
        json!("+"),
        json!("+1415"),
        json!("+1 415 555 2671"),
        json!("+99912345678"),
        json!("+1415555267112345"),
        json!("x"),
        json!(14155552671_u64),
        json!(["+14155552671"]),
    ];
    for action in ["otp.send", "otp.verify"] {
        for to in &numbers {
            assert_eq!(client.error(action, &json!({"to": to, "code": "4711"})), invalid(), "{action} {to}");
        }
        for body in [json!({"code": "4711"}), json!({"to": null, "code": "4711"}), json!({"to": "", "code": "4711"})] {
            assert_eq!(client.error(action, &body), absent(), "{action} {body}");
        }
        let members = [
            ("intent", json!("x".repeat(37))),
            ("intent", json!("a\nb")),
            ("intent", json!(7)),
            ("ttl", json!(0)),
            ("ttl", json!(1801)),
            ("ttl", json!(-1)),
            ("ttl", json!(1.5)),
            ("ttl", json!("300")),
            ("code", json!("471")),
            ("code", json!("471147114")),
            ("code", json!("47a1")),
            ("code", json!("٤٧١١")),
            ("code", json!(4711)),
        ];
        for (name, value) in members {
            let mut body = json!({"to": NUMBER, "code": "4711"});
            body[name] = value;
            assert_eq!(client.error(action, &body), invalid(), "{action} {body}");
        }
    }
    let members = [
        ("digits", json!(3)),
        ("digits", json!(9)),
        ("digits", json!("6")),
        ("digits", json!(6.5)),
        ("channel", json!("fax")),
        ("channel", json!(1)),
        ("signature", json!("longer than that")),
        ("signature", json!("合一矩阵")),
        ("templateId", json!("x".repeat(65))),
        ("templateId", json!("018f2f3e-0000-7000-8000-000000000000")),
    ];
    for (name, value) in members {
        assert_eq!(client.error("otp.send", &json!({"to": NUMBER, name: value})), invalid(), "{name}");
    }
    assert_eq!(client.error("otp.verify", &json!({"to": NUMBER})), absent());
    assert_eq!(client.error("otp.send", &json!({"to": NUMBER, "channel": "whatsapp"})), (400, "104006".to_owned()));
    // Every fault at once, and of a member that is named twice.
    let path = client.path("otp.send");
    let headers = [("Content-Type", "application/json;charset=utf-8")];
    let answer =
        client.client.call("POST", &path, &headers, "{\"to\":\"x\",\"digits\":3,\"ttl\":0,\"ttl\":1}").expect(400);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    for name in ["to must be", "digits must be", "ttl must be given once"] {
        assert!(detail.contains(name), "{detail}");
    }
    assert!(
        gateway.server.admin_client().get("/sandbox/messages").json().as_array().unwrap().is_empty(),
        "nothing left"
    );
}

#[test]
fn what_is_no_call_has_its_own_code() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    let body = json!({"to": NUMBER});
    let bad = |code: &str| (400, code.to_owned());
    for text in ["", " "] {
        let path = client.path("otp.send");
        assert_eq!(
            error(&client.client.call("POST", &path, &[], text)),
            bad("104001"),
            "an empty body lacks everything"
        );
    }
    for text in ["x", "{", "[]", "\"to\"", "{\"to\":\"\u{0}\"}", "null"] {
        let path = client.path("otp.send");
        let answer = client.client.call("POST", &path, &[("Content-Type", "application/json")], text);
        assert_eq!(error(&answer), bad("104003"), "{text}");
        assert!(!answer.body.contains(NUMBER));
    }
    for (pairs, code) in [
        (vec![], "104004"),
        (vec![("action", "")], "104004"),
        (vec![("action", "sms.message.send")], "104005"),
        (vec![("action", "otp.Send")], "104005"),
        (vec![("action", "otp.send ")], "104005"),
    ] {
        let path = client.path_with(&pairs);
        assert_eq!(error(&client.client.post_json(&path, &body)), bad(code), "{pairs:?}");
    }
    let path = client.path("otp.send");
    let answer = client.client.call("POST", &path, &[("Content-Type", "text/plain")], &body.to_string());
    assert_eq!(error(&answer), (415, "104206".to_owned()));
    let path = client.path("otp.send");
    let answer = client.client.call("POST", &path, &[("Content-Type", "application/json")], &"x".repeat(20_000));
    assert_eq!(error(&answer), (413, "104204".to_owned()));
    let mut fresh = signer(&gateway);
    let long = "x".repeat(9_000);
    let path = fresh.path_with(&[("action", "otp.send"), ("more", &long)]);
    assert_eq!(error(&fresh.client.post_json(&path, &body)), (414, "104203".to_owned()));
    // Other methods need no key, and are no failed authentication: a browser may look at the root.
    for _ in 0..40 {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = Client::new(gateway.server.public, None).call(method, "/", &[], "");
            assert_eq!((error(&answer), answer.header("allow")), ((405, "104202".to_owned()), Some("POST")));
        }
    }
    // The dialect is spoken there and nowhere below.
    let answer = client.client.get("/nowhere").expect(404);
    assert_eq!(
        (answer.header("content-type"), answer.header("x-uni-request-id")),
        (Some("application/problem+json"), None)
    );
    let sent = client.call("otp.send", &body).expect(200);
    assert_eq!(sent.header("x-uni-request-id"), sent.header("x-request-id"));
    assert!(sent.header("x-uni-request-id").is_some());
}

#[test]
fn an_intent_verifies_no_other_and_nothing_that_was_sent_natively() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    let mut native = gateway.client();
    let otp = native.post_json("/v1/otp", &json!({"number": NUMBER, "otpCode": "4711"})).expect(200).json();
    for intent in [Value::Null, json!("login")] {
        assert!(!client.verify(&json!({"to": NUMBER, "code": "4711", "intent": intent})));
    }
    let sent = client.send(&json!({"to": NUMBER, "code": "4712", "intent": "login"}));
    for intent in [Value::Null, json!("Login"), json!("login "), json!("pay")] {
        assert!(!client.verify(&json!({"to": NUMBER, "code": "4712", "intent": intent})));
    }
    let path = |id: &Value| format!("/v1/otp/{}/verify", id.as_str().unwrap());
    native.post_json(&path(&sent["id"]), &json!({"otpCode": "4712"})).expect(404);
    native.post(&format!("/2fa/v1/otp/{}/check?otpCode=4712", sent["id"].as_str().unwrap())).expect(404);
    assert_eq!(
        native.post_json(&path(&otp["otpId"]), &json!({"otpCode": "4711"})).expect(200).json()["verified"],
        true
    );
    assert!(client.verify(&json!({"to": NUMBER, "code": "4712", "intent": "login"})));
    // Each account has its own.
    client.send(&json!({"to": NUMBER, "code": "4713"}));
    let elsewhere = gateway.create_key(&["--account", "other"]);
    let mut elsewhere = Signer::signed(gateway.server.public, &elsewhere, Habit::Python);
    assert!(!elsewhere.verify(&json!({"to": NUMBER, "code": "4713"})));
    // A newer code takes the place of the older one, which says so.
    let old = client.send(&json!({"to": NUMBER, "code": "4714"}));
    client.send(&json!({"to": NUMBER, "code": "4715"}));
    assert!(!client.verify(&json!({"to": NUMBER, "code": "4714"})));
    let id = old["id"].as_str().unwrap();
    assert_eq!(native.get(&format!("/v1/otp/{id}")).json()["otpStatus"], "EXPIRED");
    let events = native.get(&format!("/2fa/v1/otp/{id}/events")).expect(200).json();
    assert!(events.as_array().unwrap().iter().any(|event| event["type"] == "CHECK_OTP_REPLACED"), "{events}");
    assert!(client.verify(&json!({"to": NUMBER, "code": "4715"})));
}

#[test]
fn a_life_is_the_sends_for_a_code_of_ones_own_and_the_checks_for_a_generated_one() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    client.send(&json!({"to": NUMBER, "code": "4711", "ttl": 1, "intent": "short"}));
    client.send(&json!({"to": NUMBER, "code": "4712", "ttl": 1800, "intent": "long"}));
    client.send(&json!({"to": NUMBER, "ttl": 1, "intent": "made"}));
    let made = gateway.server.message(NUMBER, |message| message["code"].as_str().unwrap().len() == 6)["code"].clone();
    std::thread::sleep(std::time::Duration::from_millis(1_050));
    assert!(!client.verify(&json!({"to": NUMBER, "code": "4711", "ttl": 1800, "intent": "short"})));
    assert!(client.verify(&json!({"to": NUMBER, "code": "4712", "ttl": 1, "intent": "long"})));
    assert!(!client.verify(&json!({"to": NUMBER, "code": made, "ttl": 1, "intent": "made"})));
    assert!(client.verify(&json!({"to": NUMBER, "code": made, "intent": "made"})), "too old counts no attempt");
}

#[test]
fn two_hundred_right_answers_give_one_success() {
    let gateway = Gateway::start();
    let key = gateway.create_key(&["--unlimited"]);
    let signer = |habit| Signer::signed(gateway.server.public, &key, habit);
    signer(Habit::Node).send(&json!({"to": NUMBER, "code": "4711", "intent": "login"}));
    let valid: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200)
            .map(|index| {
                let mut client = signer(if index % 2 == 0 { Habit::Node } else { Habit::Python });
                scope.spawn(move || {
                    usize::from(client.verify(&json!({"to": NUMBER, "code": "4711", "intent": "login"})))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(valid, 1);
}

#[test]
fn attempts_are_limited_and_a_locked_number_is_never_valid() {
    let gateway = Gateway::start();
    let mut client = signer(&gateway);
    client.send(&json!({"to": NUMBER, "code": "4711"}));
    for _ in 0..3 {
        assert!(!client.verify(&json!({"to": NUMBER, "code": "4700"})));
    }
    assert!(!client.verify(&json!({"to": NUMBER, "code": "4711"})), "its attempts are used up");
    let mut failures = 3;
    while failures < 20 {
        client.send(&json!({"to": NUMBER, "code": "4711", "intent": failures.to_string()}));
        for _ in 0..3 {
            client.verify(&json!({"to": NUMBER, "code": "4700", "intent": failures.to_string()}));
        }
        failures += 3;
    }
    assert!(!client.verify(&json!({"to": NUMBER, "code": "4711", "intent": "18"})), "locked");
    let refused = client.call("otp.send", &json!({"to": NUMBER}));
    assert_eq!(error(&refused), (400, "104009".to_owned()));
    assert!(refused.json()["nextSendAt"].is_string());
}

#[test]
fn what_limits_a_send_has_a_code_each() {
    let config =
        "[limits]\nsends_per_number = [\"1/30s\", \"2/1h\"]\n[delivery]\ncountries = [\"US\"]\nmessages_per_day = 3\n";
    let gateway = Gateway::with(config);
    let mut client = signer(&gateway);
    assert_eq!(client.error("otp.send", &json!({"to": "+4915112345678"})), (400, "104007".to_owned()));
    client.send(&json!({"to": NUMBER}));
    let soon = client.call("otp.send", &json!({"to": NUMBER}));
    assert_eq!(error(&soon), (429, "104008".to_owned()));
    let wait: u64 = soon.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait) && soon.json()["nextSendAt"].is_string());
    assert_eq!(soon.json()["message"], "SendLimitReached");
    client.send(&json!({"to": "+14155552672"}));
    client.send(&json!({"to": "+14155552673"}));
    let tomorrow = client.call("otp.send", &json!({"to": "+14155552674"}));
    assert_eq!((error(&tomorrow), tomorrow.header("retry-after")), ((400, "104010".to_owned()), None));
    let strict = Gateway::with("[limits]\nsends_per_number = [\"1/1h\"]\n");
    let mut client = signer(&strict);
    client.send(&json!({"to": NUMBER}));
    let later = client.call("otp.send", &json!({"to": NUMBER}));
    assert_eq!((error(&later), later.header("retry-after")), ((400, "104008".to_owned()), None));
}

#[test]
fn who_subscribed_is_told_of_a_replaced_code() {
    let gateway = Gateway::with("[events]\nallow_private_callbacks = true\n");
    let receiver = Receiver::start();
    let wish = json!({"notificationUrl": receiver.url("/hook"), "events": ["REPLACED", "VERIFIED"]});
    gateway.client().post_json("/v1/webhooks", &wish).expect(201);
    let mut client = signer(&gateway);
    let old = client.send(&json!({"to": NUMBER, "code": "4711"}));
    let new = client.send(&json!({"to": NUMBER, "code": "4712"}));
    assert!(client.verify(&json!({"to": NUMBER, "code": "4712"})));
    let plain = |sent: &Value| sent["id"].as_str().unwrap().to_owned();
    let told = |event: &str| receiver.wait_for(event).json()["otpId"].as_str().unwrap().replace('-', "");
    assert_eq!((told("REPLACED"), told("VERIFIED")), (plain(&old), plain(&new)));
    assert_eq!(receiver.seen().len(), 2, "each once, and of nothing else");
}
