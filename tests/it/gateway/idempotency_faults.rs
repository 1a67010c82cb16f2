//! A call that comes again after something went wrong: a restart, a kill at any moment, a caller that went away, an erasure.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, Options, Server};

const NUMBER: &str = "+4915112345678";
const KEY: &str = "Idempotency-Key";
const WRONG: &str = r#"{"otpCode":"no"}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn send(client: &mut Client, number: &str, key: &str) -> Answer {
    let body = json!({"number": number, "otpCode": "0471"}).to_string();
    client.call("POST", "/v1/otp", &[JSON, (KEY, key)], &body)
}

fn verify(client: &mut Client, id: &str, code: &str, key: &str) -> Answer {
    let body = json!({"otpCode": code}).to_string();
    client.call("POST", &format!("/v1/otp/{id}/verify"), &[JSON, (KEY, key)], &body)
}

fn id(answer: &Answer) -> String {
    answer.json()["otpId"].as_str().unwrap().to_owned()
}

/// The OTPs of a number.
fn otps(client: &mut Client, number: &str) -> Vec<Value> {
    let answer = client.get(&format!("/2fa/v1/otp?number={}", &number[1..]));
    if answer.status == 204 { Vec::new() } else { answer.expect(200).json().as_array().unwrap().clone() }
}

/// Messages that were ever queued for an OTP.
fn queued(client: &mut Client, id: &str) -> usize {
    let events = client.get(&format!("/2fa/v1/otp/{id}/events")).expect(200).json();
    events.as_array().unwrap().iter().filter(|event| event["type"] == "DELIVER_OTP_REQ").count()
}

fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{again:?}");
}

/// A server on the same data. Somebody else may take the port that was picked for it: then it picks another.
fn restart(gateway: &mut Gateway) {
    for _ in 0..10 {
        match Server::try_start(&gateway.data(), &Options::default()) {
            Ok(server) => {
                gateway.server = server;
                return;
            }
            Err((status, _)) if status.code() == Some(69) => {}
            Err((status, log)) => panic!("the server ended with {status}: {log}"),
        }
    }
    panic!("no port is free");
}

#[test]
fn answers_outlive_a_restart_and_a_kill() {
    for killed in [false, true] {
        let mut gateway = Gateway::start();
        let mut client = gateway.client();
        let sent = send(&mut client, NUMBER, "send").expect(200);
        let id = id(&sent);
        let wrong = verify(&mut client, &id, "1111", "wrong").expect(200);
        let right = verify(&mut client, &id, "0471", "right").expect(200);
        let missing = client.call("DELETE", "/v1/otp/nothing", &[(KEY, "missing")], "").expect(404);
        let gone = client.call("DELETE", &format!("/v1/otp/{id}"), &[(KEY, "gone")], "").expect(200);
        if killed {
            gateway.server.kill();
        } else {
            gateway.server.signal("TERM");
            assert_eq!(gateway.server.wait().code(), Some(0));
        }
        restart(&mut gateway);
        let mut client = gateway.client();
        // From the table, then from memory where it is.
        for _ in 0..2 {
            same(&sent, &send(&mut client, NUMBER, "send"));
            same(&wrong, &verify(&mut client, &id, "1111", "wrong"));
            same(&right, &verify(&mut client, &id, "0471", "right"));
            same(&missing, &client.call("DELETE", "/v1/otp/nothing", &[(KEY, "missing")], ""));
            same(&gone, &client.call("DELETE", &format!("/v1/otp/{id}"), &[(KEY, "gone")], ""));
        }
        send(&mut client, "+4915112345679", "send").expect(422);
        assert!(otps(&mut client, NUMBER).is_empty(), "nothing was sent again");
    }
}

/// Each key has a number of its own. Callers send it, some of them twice at once, until the server is killed; whoever got
/// no answer asks again after the restart. However it went: one OTP, one message, one attempt of a code that was entered once,
/// and whoever was answered was told of it.
#[test]
fn a_kill_at_any_moment_leaves_one_message_a_key() {
    let mut gateway = Gateway::with("[log]\nlevel = \"error\"\n");
    let numbers = AtomicU64::new(0);
    let text = |number: u64| format!("+49151{:08}", 10_000_000 + number);
    let (mut answered, mut lost) = (0, 0);
    for round in 0..12_u64 {
        let told: Vec<(u64, Option<Answer>)> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let mut clients = [gateway.client(), gateway.client()];
                    let (numbers, text) = (&numbers, &text);
                    scope.spawn(move || {
                        let mut told = Vec::new();
                        loop {
                            let number = numbers.fetch_add(1, Ordering::SeqCst);
                            let once = |client: &mut Client| {
                                let body = json!({"number": text(number)}).to_string();
                                let key = format!("key-{number}");
                                client.try_once("POST", "/v1/otp", &[JSON, (KEY, &key)], &body).ok()
                            };
                            let [first, second] = &mut clients;
                            let (one, other) = if number.is_multiple_of(2) {
                                std::thread::scope(|pair| {
                                    let other = pair.spawn(|| once(second));
                                    (once(first), other.join().unwrap())
                                })
                            } else {
                                (once(first), None)
                            };
                            // A wrong code, whose answer may be lost as well.
                            let checked = one.as_ref().and_then(|sent| {
                                let path = format!("/v1/otp/{}/verify", id(sent));
                                let headers = [JSON, (KEY, &*format!("check-{number}"))];
                                first.try_once("POST", &path, &headers, WRONG).ok()
                            });
                            let gone = checked.is_none();
                            told.push((number, one));
                            told.extend(other.map(|other| (number, Some(other))));
                            if gone {
                                return told;
                            }
                        }
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(40 + round * 17));
            gateway.server.kill();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        restart(&mut gateway);
        let mut client = gateway.client();
        for (number, before) in told {
            let body = json!({"number": text(number)}).to_string();
            let key = format!("key-{number}");
            let again = client.call("POST", "/v1/otp", &[JSON, (KEY, &key)], &body).expect(200);
            match before {
                Some(before) => {
                    answered += 1;
                    assert_eq!((before.status, &before.body), (200, &again.body), "round {round}");
                }
                None => lost += 1,
            }
            let found = otps(&mut client, &text(number));
            assert_eq!(found.len(), 1, "round {round}, {}", text(number));
            assert_eq!(found[0]["otpId"], again.json()["otpId"]);
            let id = id(&again);
            assert_eq!(queued(&mut client, &id), 1);
            let headers = [JSON, (KEY, &*format!("check-{number}"))];
            client.call("POST", &format!("/v1/otp/{id}/verify"), &headers, WRONG).expect(200);
            assert_eq!(client.get(&format!("/v1/otp/{id}")).expect(200).json()["attemptCount"], 1, "round {round}");
        }
    }
    assert!(answered > 20 && lost > 5, "{answered} answered, {lost} lost");
}

/// A caller that goes away takes nothing back: the call it made is done or not, and the next one under its key finds out.
#[test]
fn a_caller_that_goes_away_and_comes_again_sends_once() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let mut overtaken = 0;
    for round in 0..120_u64 {
        let number = format!("+49151{:08}", 20_000_000 + round);
        let key = format!("gone-{round}");
        let body = json!({"number": number, "otpCode": "0471"}).to_string();
        let mut socket = TcpStream::connect(gateway.server.public).unwrap();
        let request = format!(
            "POST /v1/otp HTTP/1.1\r\nHost: x\r\napikey: {}\r\n{KEY}: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            gateway.key,
            body.len()
        );
        socket.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(round * 40));
        drop(socket);
        let sent = send(&mut client, &number, &key).expect(200);
        overtaken += u32::from(sent.header("idempotency-replayed").is_none());
        let found = otps(&mut client, &number);
        assert_eq!((found.len(), &found[0]["otpId"]), (1, &sent.json()["otpId"]), "round {round}");
        assert_eq!(queued(&mut client, &id(&sent)), 1);
    }
    assert!(overtaken < 120, "some of those that went away were done");
}

#[test]
fn an_erasure_takes_the_answers_along() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let other = send(&mut client, "+4915112345679", "other").expect(200);
    let first = send(&mut client, NUMBER, "key").expect(200);
    verify(&mut client, &id(&first), "0471", "verify").expect(200);
    let database = rusqlite::Connection::open(gateway.data().join("otpgate.db")).unwrap();
    let count = || database.query_row("SELECT count(*) FROM answer", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 3);
    let (code, stdout, stderr) = gateway.command(&["erase", "--number", NUMBER]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(count(), 1);
    same(&other, &send(&mut client, "+4915112345679", "other"));
    // Beside a running server, which had them in memory: seen within a second.
    let mut again = send(&mut client, NUMBER, "key").expect(200);
    for _ in 0..100 {
        if again.body != first.body {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        again = send(&mut client, NUMBER, "key").expect(200);
    }
    assert_ne!(again.body, first.body, "the server has forgotten it too");
}

#[test]
fn nothing_of_an_answer_lies_in_the_clear() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let key = "canary-key-4711";
    let sent = send(&mut client, NUMBER, key).expect(200);
    verify(&mut client, &id(&sent), "83917465", key).expect(200);
    let database = rusqlite::Connection::open(gateway.data().join("otpgate.db")).unwrap();
    let mut rows = 0;
    let mut statement = database.prepare("SELECT key, fingerprint, otp, number, sealed FROM answer").unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        rows += 1;
        for column in 0..5 {
            let bytes: Vec<u8> = row.get(column).unwrap();
            for canary in ["15112345678", "83917465", key, "ACTIVE", "json"] {
                let hit = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!hit, "{canary} in column {column}");
            }
        }
    }
    assert_eq!(rows, 2);
}
