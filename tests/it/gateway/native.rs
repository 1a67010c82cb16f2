//! The native interface: send, status, resend, verify, delete, applications, the connection.

use serde_json::{Value, json};

use crate::support::{Client, Gateway};

const NUMBER: &str = "+4915112345678";

fn send(client: &mut Client, body: &Value) -> Value {
    client.post_json("/v1/otp", body).expect(200).json()
}

fn id(otp: &Value) -> &str {
    otp["otpId"].as_str().unwrap()
}

fn verify(client: &mut Client, otp: &Value, code: &str) -> Value {
    client.post_json(&format!("/v1/otp/{}/verify", id(otp)), &json!({"otpCode": code})).expect(200).json()
}

#[test]
fn a_code_is_sent_read_and_verified_once() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let answer =
        client.post_json("/v1/otp", &json!({"number": "0151 12345678", "country": "DE", "referenceId": "order 7"}));
    let otp = answer.clone().expect(200).json();
    assert!(!answer.body.contains(": ") && !answer.body.contains("null"), "compact, without null: {}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        (otp["number"].as_str(), otp["otpStatus"].as_str(), otp["attemptCount"].as_u64(), otp["referenceId"].as_str()),
        (Some(NUMBER), Some("ACTIVE"), Some(0), Some("order 7"))
    );
    assert_eq!(otp["expire"].as_u64().unwrap() - otp["created"].as_u64().unwrap(), 300_000);
    assert!(otp["timestampExpire"].as_str().unwrap().ends_with('Z'));
    let members: Vec<_> = otp.as_object().unwrap().keys().cloned().collect();
    for member in ["accountId", "applicationId", "attemptsLeft", "channel", "deliveryStatus", "timestampCreated"] {
        assert!(members.iter().any(|known| known == member), "{member} in {members:?}");
    }

    let code = gateway.server.code(NUMBER);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let verdict = verify(&mut client, &otp, wrong);
    assert_eq!((verdict["verified"].as_bool(), verdict["otpStatus"].as_str()), (Some(false), Some("ACTIVE")));
    assert_eq!((verdict["attemptsLeft"].as_u64(), verdict["attemptCount"].as_u64()), (Some(2), Some(1)));
    let verdict = verify(&mut client, &otp, &code);
    assert_eq!((verdict["verified"].as_bool(), verdict["otpStatus"].as_str()), (Some(true), Some("VERIFIED")));
    let verdict = verify(&mut client, &otp, &code);
    assert_eq!((verdict["verified"].as_bool(), verdict["otpStatus"].as_str()), (Some(false), Some("VERIFIED")));
    assert_eq!(verdict["attemptCount"].as_u64(), Some(2));

    let status = client.get(&format!("/v1/otp/{}", id(&otp))).expect(200).json();
    assert_eq!(
        (status["otpStatus"].as_str(), status["deliveryStatus"].as_str()),
        (Some("VERIFIED"), Some("DELIVERED"))
    );
    client.post_json(&format!("/v1/otp/{}/resend", id(&otp)), &json!({})).expect(409);
    let last = client.delete(&format!("/v1/otp/{}", id(&otp))).expect(200).json();
    assert_eq!(last["otpStatus"], "VERIFIED");
    for answer in [client.get(&format!("/v1/otp/{}", id(&otp))), client.delete(&format!("/v1/otp/{}", id(&otp)))] {
        assert_eq!(answer.expect(404).json()["code"], "otp_not_found");
    }
    gateway.server.stop();
}

#[test]
fn attempts_end_with_the_last_one() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "0a1b"}));
    for left in [2, 1, 0] {
        let verdict = verify(&mut client, &otp, "9999");
        assert_eq!(verdict["attemptsLeft"].as_u64(), Some(left));
    }
    let verdict = verify(&mut client, &otp, "0a1b");
    assert_eq!(
        (verdict["verified"].as_bool(), verdict["otpStatus"].as_str()),
        (Some(false), Some("TOO_MANY_ATTEMPTS"))
    );
    assert_eq!(verdict["attemptCount"].as_u64(), Some(3), "a final OTP counts no further attempt");
    let other = send(&mut client, &json!({"number": NUMBER, "otpCode": "0012"}));
    assert_eq!(verify(&mut client, &other, "12")["verified"].as_bool(), Some(true), "leading zeros may be lost");
}

#[test]
fn a_resend_carries_the_same_code_and_moves_nothing() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let otp = send(&mut client, &json!({"number": NUMBER}));
    let first = gateway.server.message(NUMBER, |_| true);
    let body = json!({"via": "voice", "caller": "+493012345"});
    let again = client.post_json(&format!("/v1/otp/{}/resend", id(&otp)), &body).expect(200).json();
    assert_eq!((&again["expire"], again["channel"].as_str()), (&otp["expire"], Some("VOICE")));
    let second = gateway.server.message(NUMBER, |message| message["channel"] == "VOICE");
    assert_eq!(first["code"], second["code"]);
    assert_eq!(second["caller"], "+493012345");
    let spoken: Vec<_> = first["code"].as_str().unwrap().chars().map(String::from).collect();
    assert!(second["text"].as_str().unwrap().contains(&spoken.join(", ")), "{second}");
}

#[test]
fn texts_languages_senders_and_line_types() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let mut text = |body: Value| {
        let number = body["number"].as_str().unwrap().to_owned();
        send(&mut client, &body);
        gateway.server.message(&number, |_| true)
    };
    let german = text(json!({"number": "+4915112345601"}));
    assert!(german["text"].as_str().unwrap().starts_with("Ihr"), "{german}");
    assert_eq!((german["channel"].as_str(), german["sender"].as_str()), (Some("SMS"), Some("VERIFY")));
    let asked = text(json!({"number": "+4915112345602", "language": "fr", "sender": "My Shop", "pinLength": 8}));
    assert!(asked["text"].as_str().unwrap().starts_with("Votre"), "{asked}");
    assert_eq!((asked["sender"].as_str(), asked["code"].as_str().map(str::len)), (Some("My Shop"), Some(8)));
    let own = text(json!({"number": "+4915112345603", "text": "Code {{OTP}}, {{SEC}} s", "otpCode": "00421"}));
    assert_eq!(own["text"], "Code 00421, 300 s");
    let landline = text(json!({"number": "+493012345678"}));
    assert_eq!(landline["channel"], "VOICE");
    let sms = text(json!({"number": "+493012345679", "via": "SMS"}));
    assert_eq!(sms["channel"], "SMS");
    let american = text(json!({"number": "+12025550123"}));
    assert!(american["channel"] == "SMS" && american["text"].as_str().unwrap().starts_with("Your"), "{american}");
}

#[test]
fn a_smaller_age_refuses_an_older_code_without_counting() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "4711"}));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let path = format!("/v1/otp/{}/verify", id(&otp));
    let verdict = client.post_json(&path, &json!({"otpCode": "4711", "maxAge": 1})).expect(200).json();
    assert_eq!((verdict["verified"].as_bool(), verdict["otpStatus"].as_str()), (Some(false), Some("EXPIRED")));
    assert_eq!(verdict["attemptCount"].as_u64(), Some(0));
    let verdict = client.post_json(&path, &json!({"otpCode": "4711", "maxAge": 60})).expect(200).json();
    assert_eq!(verdict["verified"].as_bool(), Some(true));
}

#[test]
fn applications_are_written_natively_and_by_command() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let body = json!({"name": "Shop", "pinLength": 4, "alphanumeric": true, "attempts": 1, "expire": 60,
                      "template": {"en": "Shop {{OTP}}", "en-voice": "Shop says {{OTP}}"}});
    let shop = client.post_json("/v1/applications", &body).expect(200).json();
    assert_eq!((shop["applicationNumber"].as_u64(), shop["template"]["en"].as_str()), (Some(2), Some("Shop {{OTP}}")));
    let shop_id = shop["applicationId"].as_str().unwrap();
    for reference in [shop_id, "2"] {
        let otp = send(&mut client, &json!({"number": "+12025550124", "applicationId": reference}));
        assert_eq!(otp["applicationId"], shop["applicationId"]);
        assert_eq!(otp["attemptsLeft"].as_u64(), Some(1));
        let message = gateway.server.message("+12025550124", |message| message["otpId"] == otp["otpId"]);
        assert_eq!(message["text"].as_str().unwrap(), format!("Shop {}", message["code"].as_str().unwrap()));
        assert_eq!(message["code"].as_str().unwrap().len(), 4);
    }
    let edit = json!({"expire": 90, "template": {"en": null}});
    let edited = client.call("PATCH", "/v1/applications/2", &[("Content-Type", "application/json")], &edit.to_string());
    let edited = edited.expect(200).json();
    assert_eq!(
        (edited["expire"].as_u64(), edited["template"].as_object().map(serde_json::Map::len)),
        (Some(90), Some(1))
    );
    assert_eq!(client.get("/v1/applications").expect(200).json().as_array().map(Vec::len), Some(2));

    // By command, while the server runs: seen within a second.
    let (code, _, stderr) = gateway.command(&["application", "edit", "default", "--expire", "45"]);
    assert_eq!(code, 0, "{stderr}");
    let mut expire = Value::Null;
    for _ in 0..100 {
        expire = client.get("/v1/applications/default").expect(200).json()["expire"].clone();
        if expire == 45 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(expire, 45);

    let otp = send(&mut client, &json!({"number": NUMBER, "applicationId": "2", "otpCode": "1234"}));
    client.delete("/v1/applications/2").expect(200);
    client.get(&format!("/v1/otp/{}", id(&otp))).expect(200);
    client.post_json(&format!("/v1/otp/{}/verify", id(&otp)), &json!({"otpCode": "1234"})).expect(404);
    client.post_json(&format!("/v1/otp/{}/resend", id(&otp)), &json!({})).expect(404);
    client.delete("/v1/applications/default").expect(409);
    client.call("PATCH", "/v1/applications/default", &[], r#"{"name":"Other"}"#).expect(409);
}

#[test]
fn twenty_failures_lock_a_number_over_many_codes_until_a_success() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let fail = |client: &mut Client, times: u32| {
        let mut failed = 0;
        while failed < times {
            let otp = send(client, &json!({"number": NUMBER, "otpCode": "1234"}));
            while failed < times && verify(client, &otp, "9")["attemptsLeft"].as_u64() != Some(0) {
                failed += 1;
            }
            failed += u32::from(failed < times);
        }
    };
    fail(&mut client, 19);
    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
    assert_eq!(verify(&mut client, &otp, "1234")["verified"].as_bool(), Some(true), "a success resets the budget");
    let before = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
    fail(&mut client, 20);
    let verdict = verify(&mut client, &before, "1234");
    assert_eq!(
        (verdict["verified"].as_bool(), verdict["otpStatus"].as_str()),
        (Some(false), Some("TOO_MANY_ATTEMPTS"))
    );
    let problem = client.post_json("/v1/otp", &json!({"number": NUMBER})).expect(409).json();
    assert_eq!(problem["code"], "number_locked");
    assert!(problem["nextSendAt"].is_string());
    client.post_json("/2fa/v1/otp?number=%2B4915112345678", &json!({})).expect(400);
    send(&mut client, &json!({"number": "+4915112345679"}));
}

#[test]
fn send_limits_answer_429_when_a_retry_helps_and_409_when_not() {
    let gateway = Gateway::with("[limits]\nsends_per_number = [\"1/2s\", \"3/10m\"]\n");
    let mut client = gateway.client();
    let body = json!({"number": NUMBER});
    let otp = send(&mut client, &body);
    let refused = client.post_json("/v1/otp", &body).expect(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait));
    assert!(refused.json()["nextSendAt"].is_string());
    std::thread::sleep(std::time::Duration::from_secs(wait));
    // Resends count.
    client.post_json(&format!("/v1/otp/{}/resend", id(&otp)), &json!({})).expect(200);
    std::thread::sleep(std::time::Duration::from_secs(2));
    send(&mut client, &body);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let refused = client.post_json("/v1/otp", &body).expect(409);
    assert_eq!((refused.json()["code"].as_str(), refused.header("retry-after")), (Some("send_limit"), None));
    client.post("/2fa/v1/otp?number=4915112345678").expect(400);
    send(&mut client, &json!({"number": "+4915112345679"}));
}

#[test]
fn a_daily_ceiling_is_hard() {
    let gateway = Gateway::with("[delivery]\nmessages_per_day = 5\n");
    let mut clients: Vec<_> = (0..16).map(|_| gateway.client()).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(index, client)| {
                scope.spawn(move || {
                    client.post_json("/v1/otp", &json!({"number": format!("+49151123456{index:02}")})).status
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 11, "{statuses:?}");
    let mut client = gateway.client();
    send(&mut client, &json!({"number": "+33612345678"}));
    let refused = client.post_json("/v1/otp", &json!({"number": NUMBER})).expect(403).json();
    assert_eq!(refused["code"], "daily_ceiling");
}

#[test]
fn countries_that_are_not_served_are_refused() {
    let gateway = Gateway::with("[delivery]\ncountries = [\"DE\"]\n");
    let mut client = gateway.client();
    send(&mut client, &json!({"number": NUMBER}));
    let refused = client.post_json("/v1/otp", &json!({"number": "+33612345678"})).expect(403).json();
    assert_eq!(refused["code"], "country_not_served");
    client.post("/2fa/v1/otp?number=33612345678").expect(400);
}

#[test]
fn everything_survives_a_restart() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "0815"}));
    verify(&mut client, &otp, "1");
    let (data, key) = (gateway.data(), gateway.key.clone());
    let Gateway { server, .. } = &gateway;
    server.signal("TERM");
    let mut gateway = gateway;
    assert_eq!(gateway.server.wait().code(), Some(0));
    gateway.server = crate::support::Server::start(&data, &crate::support::Options::default());
    let mut client = gateway.server.client(&key);
    let status = client.get(&format!("/v1/otp/{}", id(&otp))).expect(200).json();
    assert_eq!(status["attemptCount"].as_u64(), Some(1));
    assert_eq!(verify(&mut client, &otp, "815")["verified"].as_bool(), Some(true));
}

#[test]
fn erase_forgets_a_number_everywhere_now() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let done = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
    verify(&mut client, &done, "1234");
    let open = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
    let (code, stdout, stderr) = gateway.command(&["erase", "--number", NUMBER]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let mut status = 200;
    for _ in 0..100 {
        status = client.get(&format!("/v1/otp/{}", id(&open))).status;
        if status == 404 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(status, 404);
    let kept = client.get(&format!("/v1/otp/{}", id(&done))).expect(200).json();
    assert!(kept.get("number").is_none(), "{kept}");
    let data = gateway.data();
    gateway.server.stop();
    for entry in std::fs::read_dir(data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"15112345678"), "the number is still on the disk");
    }
}
