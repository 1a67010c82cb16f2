//! The exact quota over real sockets: 100 calls in any period, in whatever dialect, and what a refusal says.

use std::time::Duration;

use serde_json::json;

use crate::support::signer::{Habit, Signer};
use crate::support::{Gateway, Options, Server};

fn key(gateway: &Gateway, flags: &[&str]) -> String {
    gateway.create_key(flags)["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_hundred_calls_in_any_sixty_seconds_in_all_dialects_together() {
    let gateway = Gateway::start();
    let limited = key(&gateway, &[]);
    let mut client = gateway.server.client(&limited);
    let began = std::time::Instant::now();
    let mut counted = began;
    for call in 0..100_u32 {
        // Whatever becomes of a call, it counts: unknown paths, unknown ids, bad input, missing scopes.
        let answer = match call % 5 {
            0 => client.get("/v1/connection").expect(200),
            1 => client.get("/2fa/v1/otp/x").expect(404),
            2 => client.post_json("/v1/otp", &json!({"number": "x"})).expect(400),
            3 => client.get("/v1/nowhere").expect(404),
            _ => client.post("/2fa/v1/application").expect(403),
        };
        if call == 0 {
            counted = std::time::Instant::now();
        }
        assert_eq!(answer.header("ratelimit-policy"), Some("\"connection\";q=100;w=60"));
        let left = answer.header("ratelimit").unwrap();
        assert!(left.starts_with(&format!("\"connection\";r={};t=", 99 - call)), "{left}");
    }
    let native = client.get("/v1/connection").expect(429);
    let wait: u64 = native.header("retry-after").unwrap().parse().unwrap();
    let elapsed = began.elapsed().as_secs();
    assert!((60 - elapsed - 1..=60).contains(&wait), "wait {wait} after {elapsed} s");
    let problem = native.json();
    let sentence = format!("Rate limit is exceeded. Try again in {wait} seconds.");
    assert_eq!((problem["statusCode"].as_u64(), problem["message"].as_str()), (Some(429), Some(sentence.as_str())));
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(native.header("content-type"), Some("application/problem+json"));
    assert_eq!(native.header("ratelimit-policy"), Some("\"connection\";q=100;w=60"));
    let tyntec = client.get("/2fa/v1/application").expect(429);
    assert!(tyntec.header("retry-after").is_some());
    assert!(tyntec.json()["message"].as_str().unwrap().starts_with("Rate limit is exceeded. Try again in "));
    // Another connection is not touched, nor is the same account's.
    gateway.client().get("/v1/connection").expect(200);
    // Refused calls do not count: at the end of the wait exactly the first call is admitted.
    std::thread::sleep(Duration::from_secs(60).saturating_sub(counted.elapsed()) + Duration::from_millis(5));
    client.get("/v1/connection").expect(200);
}

#[test]
fn sixty_four_threads_share_exactly_n() {
    let gateway = Gateway::start();
    let limited = key(&gateway, &["--calls", "50", "--period", "30"]);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                let mut client = gateway.server.client(&limited);
                scope.spawn(move || (0..5).filter(|_| client.get("/v1/connection").status == 200).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 50);
}

#[test]
fn retry_after_is_the_exact_wait_rounded_up() {
    let gateway = Gateway::start();
    let limited = key(&gateway, &["--calls", "2", "--period", "10"]);
    let mut client = gateway.server.client(&limited);
    let before = std::time::Instant::now();
    client.get("/v1/connection").expect(200);
    std::thread::sleep(Duration::from_secs(4));
    client.get("/v1/connection").expect(200);
    let refused = client.get("/v1/connection").expect(429);
    let elapsed = before.elapsed();
    let wait = Duration::from_secs(refused.header("retry-after").unwrap().parse().unwrap());
    // The first call was counted after `before`: what is left cannot be less than this, nor is it more than a second more.
    assert!(wait >= Duration::from_secs(10).saturating_sub(elapsed) && wait <= Duration::from_secs(6), "{wait:?}");
    // Whoever asks again and again is admitted when the first call leaves the window, and not before.
    let asked = std::time::Instant::now();
    loop {
        // When it was sent, and not when its answer was read, decides whether it may still be refused.
        let sent = asked.elapsed();
        if client.get("/v1/connection").status != 429 {
            break;
        }
        assert!(sent <= wait + Duration::from_secs(1), "still refused after {wait:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(before.elapsed() >= Duration::from_secs(10), "admitted after {:?}", before.elapsed());
    client.get("/v1/connection").expect(429);
}

#[test]
fn rings_survive_a_drain() {
    let mut gateway = Gateway::start();
    let limited = key(&gateway, &["--calls", "3", "--period", "60"]);
    let mut client = gateway.server.client(&limited);
    for _ in 0..3 {
        client.get("/v1/connection").expect(200);
    }
    client.get("/v1/connection").expect(429);
    gateway.server.signal("TERM");
    assert_eq!(gateway.server.wait().code(), Some(0));
    gateway.server = Server::start(&gateway.data(), &Options::default());
    let mut client = gateway.server.client(&limited);
    client.get("/v1/connection").expect(429);
}

#[test]
fn an_unlimited_connection_has_no_quota_and_says_so() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for _ in 0..150 {
        let answer = client.get("/v1/connection").expect(200);
        assert_eq!(answer.header("ratelimit"), None);
        assert!(answer.json().get("quota").is_none());
    }
}

#[test]
fn one_connection_has_exactly_n_calls_in_all_dialects_mixed() {
    let gateway = Gateway::start();
    let made = gateway.create_key(&["--allow-simple", "--allow-client-id", "--calls", "50", "--period", "20"]);
    let client_id = made["clientId"].as_str().unwrap();
    let key = made["key"].as_str().unwrap();
    let address = gateway.server.public;
    // Exactly that many in every window, counted from outside: each call's start and end, and whether it was admitted.
    let began = std::time::Instant::now();
    let calls: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_usize)
            .map(|thread| {
                let made = &made;
                scope.spawn(move || {
                    let mut client = crate::support::Client::new(address, Some(key));
                    let mut node = Signer::signed(address, made, Habit::Node);
                    let mut python = Signer::signed(address, made, Habit::Python);
                    let mut simple = Signer::simple(address, made);
                    let mut app = crate::support::Client::new(address, None);
                    let named = [("X-client-id", client_id)];
                    let check = json!({"to": "+14155552671", "code": "4711"});
                    let mut calls = Vec::new();
                    for call in 0.. {
                        let started = began.elapsed();
                        if started > Duration::from_secs(30) {
                            break;
                        }
                        let answer = match (call + thread) % 8 {
                            0 => client.get("/v1/connection"),
                            1 => client.get("/2fa/v1/otp/x"),
                            2 => node.call("otp.verify", &check),
                            3 => python.call("otp.nothing", &check),
                            4 => simple.call("otp.verify", &check),
                            5 => app.call("GET", "/api/v2/sdk/server-date", &named, ""),
                            6 => app.call("POST", "/api/v2/sdk/sms/send", &named, "{}"),
                            _ => client.post_json("/v1/otp", &json!({"number": "x"})),
                        };
                        let refused = answer.status == 429;
                        assert!(answer.header("ratelimit-policy") == Some("\"connection\";q=50;w=20"), "{answer:?}");
                        assert_eq!(answer.header("retry-after").is_some(), refused);
                        calls.push((started, began.elapsed(), !refused));
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    calls
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let period = Duration::from_secs(20);
    let admitted: Vec<_> = calls.iter().filter(|(_, _, admitted)| *admitted).collect();
    // Certainly after one of them, and certainly within a period of it, however long its answer was on its way.
    for (sent, answered, _) in &admitted {
        let inside = admitted.iter().filter(|(start, end, _)| start >= answered && *end < *sent + period).count();
        assert!(inside < 50, "{inside} more within a period of one");
    }
    let at_once = admitted.iter().filter(|(_, end, _)| *end < period).count();
    assert_eq!(at_once, 50, "all of the first window, and no more");
    assert!((51..=100).contains(&admitted.len()), "and again after it: {}", admitted.len());
}
