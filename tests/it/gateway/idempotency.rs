//! A call that comes again: by its own key and by the platform's run, in every dialect, on each of the four operations.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway};

const NUMBER: &str = "+4915112345678";
const KEY: &str = "Idempotency-Key";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The four operations in one dialect, with a code of the caller's own.
#[derive(Clone, Copy, Debug)]
enum Dialect {
    Native,
    Tyntec,
}

#[derive(Clone, Copy, Debug)]
enum Op<'a> {
    Send(&'a str),
    Resend(&'a str),
    Verify(&'a str, &'a str),
    Delete(&'a str),
}

const DIALECTS: [Dialect; 2] = [Dialect::Native, Dialect::Tyntec];

impl Dialect {
    fn call(self, client: &mut Client, op: Op<'_>, headers: &[(&str, &str)]) -> Answer {
        let (method, path, body) = match (self, op) {
            (Self::Native, Op::Send(number)) => {
                ("POST", "/v1/otp".to_owned(), json!({"number": number, "otpCode": "0471"}).to_string())
            }
            (Self::Native, Op::Resend(id)) => ("POST", format!("/v1/otp/{id}/resend"), String::new()),
            (Self::Native, Op::Verify(id, code)) => {
                ("POST", format!("/v1/otp/{id}/verify"), json!({"otpCode": code}).to_string())
            }
            (Self::Native, Op::Delete(id)) => ("DELETE", format!("/v1/otp/{id}"), String::new()),
            (Self::Tyntec, Op::Send(number)) => {
                ("POST", format!("/2fa/v1/otp?number={}&otpCode=0471", &number[1..]), String::new())
            }
            (Self::Tyntec, Op::Resend(id)) => ("POST", format!("/2fa/v1/otp/{id}"), String::new()),
            (Self::Tyntec, Op::Verify(id, code)) => {
                ("POST", format!("/2fa/v1/otp/{id}/check?otpCode={code}"), String::new())
            }
            (Self::Tyntec, Op::Delete(id)) => ("DELETE", format!("/2fa/v1/otp/{id}"), String::new()),
        };
        let mut all = headers.to_vec();
        all.push(JSON);
        client.call(method, &path, &all, &body)
    }

    /// The status of a wrong code with attempts left.
    const fn wrong(self) -> u16 {
        match self {
            Self::Native => 200,
            Self::Tyntec => 401,
        }
    }
}

fn run<'a>(run: &'a str, action: &'a str) -> [(&'a str, &'a str); 2] {
    [("x-ms-workflow-run-id", run), ("X-MS-Workflow-Operation-Name", action)]
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// Both answers are the same to the byte; the second one says that it is a repetition, and counts in the quota.
fn same(first: &Answer, again: &Answer) {
    assert_eq!((first.status, &first.body), (again.status, &again.body), "{first:?} {again:?}");
    for name in ["content-type", "cache-control"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert!(first.header("idempotency-replayed").is_none() && replayed(again), "{first:?} {again:?}");
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
}

fn id(answer: &Answer) -> String {
    answer.json()["otpId"].as_str().unwrap().to_owned()
}

/// The messages that reached `number`, once none is on its way any more.
fn messages(gateway: &Gateway, number: &str) -> Vec<Value> {
    let mut client = gateway.server.admin_client();
    while !client.get("/metrics").expect(200).body.contains("otpgate_outbox_backlog 0") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let path = format!("/sandbox/messages?number={}", number.replace('+', "%2B"));
    client.get(&path).expect(200).json().as_array().unwrap().clone()
}

fn attempts(client: &mut Client, id: &str) -> u64 {
    client.get(&format!("/v1/otp/{id}")).expect(200).json()["attemptCount"].as_u64().unwrap()
}

#[test]
fn a_key_repeats_each_answer_to_the_byte() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (dialect, number) in DIALECTS.into_iter().zip(["+4915112345671", "+4915112345672"]) {
        let keys: Vec<String> = (0..5).map(|index| format!("{dialect:?}-{index}")).collect();
        let mut twice = |op: Op<'_>, key: &str| {
            let first = dialect.call(&mut client, op, &[(KEY, key)]);
            let again = dialect.call(&mut client, op, &[(KEY, key)]);
            same(&first, &again);
            first
        };
        let id = id(&twice(Op::Send(number), &keys[0]).expect(200));
        twice(Op::Resend(&id), &keys[1]).expect(200);
        let wrong = twice(Op::Verify(&id, "9999"), &keys[2]).expect(dialect.wrong());
        assert_eq!(wrong.json()["attemptCount"], 1);
        let right = twice(Op::Verify(&id, "0471"), &keys[3]).expect(200);
        assert_eq!(
            (right.json()["attemptCount"].as_u64(), right.json()["otpStatus"].as_str()),
            (Some(2), Some("VERIFIED"))
        );
        assert_eq!(twice(Op::Delete(&id), &keys[4]).expect(200).json()["otpStatus"], "VERIFIED");
        assert_eq!(messages(&gateway, number).len(), 2, "one send, one resend");
        // All of it once more, after the OTP is gone: a key outlives what it made.
        assert!(replayed(&dialect.call(&mut client, Op::Send(number), &[(KEY, &keys[0])]).expect(200)));
        assert!(replayed(&dialect.call(&mut client, Op::Verify(&id, "0471"), &[(KEY, &keys[3])]).expect(200)));
        assert_eq!(messages(&gateway, number).len(), 2);
    }
    let metrics = gateway.server.admin_client().get("/metrics").body;
    assert!(metrics.contains("otpgate_repeated_calls_total{outcome=\"replayed\"} 14"), "{metrics}");
}

#[test]
fn a_key_of_another_request_is_refused_in_the_callers_dialect() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for dialect in DIALECTS {
        let key = format!("{dialect:?}");
        let sent = dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, &key)]).expect(200);
        let refused = dialect.call(&mut client, Op::Send("+4915112345670"), &[(KEY, &key)]).expect(422);
        assert!(refused.header("idempotency-replayed").is_none());
        match dialect {
            Dialect::Native => {
                assert_eq!(refused.header("content-type"), Some("application/problem+json"));
                assert_eq!(refused.json()["code"], "idempotency_key_reused");
                assert!(refused.json()["requestId"].is_string());
            }
            Dialect::Tyntec => {
                assert_eq!(refused.json()["code"], "1404");
                assert!(refused.json()["message"].as_str().unwrap().contains(KEY));
            }
        }
        // The first request goes on being answered; another operation has keys of its own.
        let again = dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, &key)]);
        same(&sent, &again);
        let id = id(&sent);
        dialect.call(&mut client, Op::Verify(&id, "0471"), &[(KEY, &key)]).expect(200);
        dialect.call(&mut client, Op::Verify(&id, "0472"), &[(KEY, &key)]).expect(422);
        dialect.call(&mut client, Op::Resend(&id), &[(KEY, &format!("{key}-2"))]).expect(match dialect {
            Dialect::Native => 409,
            Dialect::Tyntec => 401,
        });
    }
    // The dialects are one interface: a key means the same call in both.
    Dialect::Tyntec.call(&mut client, Op::Send(NUMBER), &[(KEY, "Native")]).expect(422);
    assert!(messages(&gateway, "+4915112345670").is_empty());
    assert_eq!(messages(&gateway, NUMBER).len(), 2);
}

#[test]
fn a_key_that_is_none_is_a_fault_that_names_the_header() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let long = "k".repeat(256);
    for dialect in DIALECTS {
        for bad in ["", "two words", "tab\there", "größe", &long] {
            let refused = dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, bad)]).expect(400);
            let said = refused.json();
            match dialect {
                Dialect::Native => {
                    assert_eq!(said["errors"][0]["parameter"], KEY, "{said}");
                    assert_eq!(said["code"], "invalid_request");
                }
                Dialect::Tyntec => assert!(said["message"].as_str().unwrap().starts_with(KEY), "{said}"),
            }
        }
        dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, "one"), (KEY, "two")]).expect(400);
        dialect.call(&mut client, Op::Delete("no-id"), &[(KEY, "")]).expect(400);
    }
    assert!(messages(&gateway, NUMBER).is_empty(), "nothing was sent");
    let sent = Dialect::Native.call(&mut client, Op::Send(NUMBER), &[(KEY, &long[1..])]).expect(200);
    // Where nothing is done once, the header means nothing.
    client.call("GET", &format!("/v1/otp/{}", id(&sent)), &[(KEY, "")], "").expect(200);
    client.call("GET", "/v1/applications", &[(KEY, "")], "").expect(200);
    client.call("DELETE", "/v1/otp", &[(KEY, "")], "").expect(405);
}

#[test]
fn a_run_of_a_flow_sends_one_message() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (dialect, number) in DIALECTS.into_iter().zip(["+4915112345671", "+4915112345672"]) {
        let sent = dialect.call(&mut client, Op::Send(number), &run("08584", "Send")).expect(200);
        for _ in 0..3 {
            same(&sent, &dialect.call(&mut client, Op::Send(number), &run("08584", "Send")));
        }
        assert_eq!(messages(&gateway, number).len(), 1);
        // Anything else is another call: the action, the run, the request; and half a name is none.
        for headers in [&run("08584", "Send_2")[..], &run("08585", "Send"), &run("08584", "Send")[..1], &[]] {
            assert!(!replayed(&dialect.call(&mut client, Op::Send(number), headers).expect(200)));
        }
        dialect.call(&mut client, Op::Send("+4915112345670"), &run("08584", "Send")).expect(200);
        assert_eq!(messages(&gateway, number).len(), 5);
        // A key of its own goes before the run.
        let mut both = run("08584", "Send").to_vec();
        let key = format!("{dialect:?}");
        both.push((KEY, &key));
        assert!(!replayed(&dialect.call(&mut client, Op::Send(number), &both).expect(200)));
        // A resend of the same run, and a deletion.
        let id = id(&sent);
        let again = dialect.call(&mut client, Op::Resend(&id), &run("08584", "Again")).expect(200);
        same(&again, &dialect.call(&mut client, Op::Resend(&id), &run("08584", "Again")));
        let gone = dialect.call(&mut client, Op::Delete(&id), &run("08584", "Drop")).expect(200);
        same(&gone, &dialect.call(&mut client, Op::Delete(&id), &run("08584", "Drop")));
        assert_eq!(messages(&gateway, number).len(), 7);
    }
}

#[test]
fn a_loop_that_sends_again_after_the_code_was_used_gets_a_new_one() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (dialect, number) in DIALECTS.into_iter().zip(["+4915112345671", "+4915112345672"]) {
        let mut known = Vec::new();
        for round in 1..=3 {
            let sent = dialect.call(&mut client, Op::Send(number), &run("r", "Send")).expect(200);
            let id = id(&sent);
            assert!(!known.contains(&id), "round {round} has a code of its own");
            same(&sent, &dialect.call(&mut client, Op::Send(number), &run("r", "Send")));
            dialect.call(&mut client, Op::Verify(&id, "0471"), &run("r", "Verify")).expect(200);
            known.push(id);
            assert_eq!(messages(&gateway, number).len(), round);
        }
    }
}

#[test]
fn a_verify_whose_answer_was_lost_says_verified_and_counts_nothing() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for dialect in DIALECTS {
        let keys = [format!("{dialect:?}-1"), format!("{dialect:?}-2")];
        let run = run("r", "Check");
        // A key names one request; a run names as many as it makes.
        for [of_wrong, of_right] in [[&run[..], &run], [&[(KEY, keys[0].as_str())], &[(KEY, keys[1].as_str())]]] {
            let id = id(&dialect.call(&mut client, Op::Send(NUMBER), &[]).expect(200));
            let wrong = dialect.call(&mut client, Op::Verify(&id, "1111"), of_wrong).expect(dialect.wrong());
            for _ in 0..5 {
                same(&wrong, &dialect.call(&mut client, Op::Verify(&id, "1111"), of_wrong));
            }
            assert_eq!(attempts(&mut client, &id), 1);
            let right = dialect.call(&mut client, Op::Verify(&id, "0471"), of_right).expect(200);
            same(&right, &dialect.call(&mut client, Op::Verify(&id, "0471"), of_right));
            assert_eq!((right.json()["otpStatus"].as_str(), attempts(&mut client, &id)), (Some("VERIFIED"), 2));
            // Without a name it is a check of its own.
            let plain = dialect.call(&mut client, Op::Verify(&id, "0471"), &[]);
            assert!(plain.status == 410 || plain.json()["verified"] == false, "{plain:?}");
        }
    }
}

#[test]
fn connections_do_not_share_their_keys() {
    let gateway = Gateway::start();
    let other = gateway.create_key(&["--unlimited"]);
    let mut clients = [gateway.client(), gateway.server.client(other["key"].as_str().unwrap())];
    let mut known = Vec::new();
    for client in &mut clients {
        for headers in [&[(KEY, "same")][..], &run("same", "Send")] {
            let sent = Dialect::Native.call(client, Op::Send(NUMBER), headers).expect(200);
            same(&sent, &Dialect::Native.call(client, Op::Send(NUMBER), headers));
            known.push(id(&sent));
        }
    }
    known.sort();
    known.dedup();
    assert_eq!((known.len(), messages(&gateway, NUMBER).len()), (4, 4));
}

#[test]
fn refusals_are_repeated_but_not_those_that_pass() {
    let gateway = Gateway::with("[limits]\nsends_per_number = [\"1/1s\"]\n");
    let mut client = gateway.client();
    for dialect in DIALECTS {
        let name = format!("{dialect:?}");
        // 404 and 400 say what they said, request id and all.
        let unknown = "0193517a-5c00-7000-8000-0123456789ab";
        let missing = dialect.call(&mut client, Op::Verify(unknown, "1"), &[(KEY, &name)]).expect(404);
        same(&missing, &dialect.call(&mut client, Op::Verify(unknown, "1"), &[(KEY, &name)]));
        let bad = dialect.call(&mut client, Op::Send("+49"), &[(KEY, &format!("{name}-bad"))]).expect(400);
        same(&bad, &dialect.call(&mut client, Op::Send("+49"), &[(KEY, &format!("{name}-bad"))]));
        dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, &format!("{name}-bad"))]).expect(422);
        // The platform's name repeats what was done; nothing was.
        dialect.call(&mut client, Op::Send("+49"), &run("r", "Send")).expect(400);
        assert!(!replayed(&dialect.call(&mut client, Op::Send("+49"), &run("r", "Send")).expect(400)));
        // A 429 ends, and then the same call is done.
        let mut keys = (0..).map(|index| format!("{name}-late-{index}"));
        let key = keys.find(|key| {
            dialect.call(&mut client, Op::Send(NUMBER), &[]);
            dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, key)]).status == 429
        });
        let key = key.unwrap();
        let done = loop {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let answer = dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, &key)]);
            assert!(!replayed(&answer), "{answer:?}");
            if answer.status != 429 {
                break answer.expect(200);
            }
        };
        same(&done, &dialect.call(&mut client, Op::Send(NUMBER), &[(KEY, &key)]));
    }
    // A scope that is missing is no answer of the operation.
    let blind = gateway.create_key(&["--unlimited", "--scopes", "status"]);
    let mut blind = gateway.server.client(blind["key"].as_str().unwrap());
    for _ in 0..2 {
        assert!(!replayed(&Dialect::Native.call(&mut blind, Op::Send(NUMBER), &[(KEY, "k")]).expect(403)));
    }
}

#[test]
fn a_repeated_call_counts_in_the_quota() {
    let gateway = Gateway::start();
    let key = gateway.create_key(&["--calls", "5", "--period", "60"]);
    let mut client = gateway.server.client(key["key"].as_str().unwrap());
    let sent = Dialect::Native.call(&mut client, Op::Send(NUMBER), &[(KEY, "k")]).expect(200);
    for left in ["3", "2", "1", "0"] {
        let again = Dialect::Native.call(&mut client, Op::Send(NUMBER), &[(KEY, "k")]);
        same(&sent, &again);
        assert!(again.header("ratelimit").unwrap().contains(&format!("r={left};")), "{again:?}");
    }
    let over = Dialect::Native.call(&mut client, Op::Send(NUMBER), &[(KEY, "k")]).expect(429);
    assert!(!replayed(&over) && over.header("retry-after").is_some());
    assert_eq!(messages(&gateway, NUMBER).len(), 1);
}

#[test]
fn a_hundred_at_once_are_one() {
    let gateway = Gateway::start();
    for (round, headers) in [&[(KEY, "k")][..], &run("r", "Send")].into_iter().enumerate() {
        for dialect in DIALECTS {
            let number = format!("+49151123456{round}{}", dialect as u8);
            let barrier = std::sync::Barrier::new(100);
            let key = format!("k{number}");
            let own = [(KEY, key.as_str())];
            let headers = if round == 0 { &own[..] } else { headers };
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let calls: Vec<_> = (0..100)
                    .map(|_| {
                        let (mut client, number, barrier) = (gateway.client(), &number, &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            dialect.call(&mut client, Op::Send(number), headers).expect(200)
                        })
                    })
                    .collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            assert!(answers.iter().all(|answer| answer.body == answers[0].body));
            assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
            assert_eq!(messages(&gateway, &number).len(), 1);
            // And a hundred checks of one wrong code count one attempt.
            let id = id(&answers[0]);
            std::thread::scope(|scope| {
                for _ in 0..100 {
                    let (mut client, id) = (gateway.client(), &id);
                    scope.spawn(move || {
                        dialect.call(&mut client, Op::Verify(id, "1111"), headers).expect(dialect.wrong())
                    });
                }
            });
            assert_eq!(attempts(&mut gateway.client(), &id), 1);
        }
    }
}
