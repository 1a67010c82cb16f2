//! API keys: what is refused looks the same, rotation overlaps, revocation and scopes hold, the guard stands at the door.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Gateway};

/// A 401's body without its request id.
fn bare(answer: &crate::support::Answer) -> String {
    let id = answer.header("x-request-id").unwrap();
    assert!(answer.body.contains(id), "{answer:?}");
    answer.body.replace(id, "ID")
}

/// Asks until `status` comes: what the command line wrote is seen within a second. Ten times that is allowed here,
/// because the machine may be busy with other tests.
fn within_a_second(client: &mut Client, status: u16) {
    let began = Instant::now();
    loop {
        let answer = client.get("/v1/connection");
        if answer.status == status {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "still {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn unknown_malformed_revoked_and_wrong_keys_look_the_same() {
    let gateway = Gateway::start();
    let made = gateway.create_key(&[]);
    let good = made["key"].as_str().unwrap();
    assert!(good.starts_with("otpg_") && good.len() >= 40);
    within_a_second(&mut gateway.server.client(good), 200);
    let other_folder = Gateway::start();
    let foreign = other_folder.create_key(&[]);
    let revoked = gateway.create_key(&[]);
    let (code, _, stderr) = gateway.command(&["key", "revoke", revoked["id"].as_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    within_a_second(&mut gateway.server.client(revoked["key"].as_str().unwrap()), 401);
    let mut typo = good.to_owned();
    typo.replace_range(20..21, if &good[20..21] == "x" { "y" } else { "x" });
    let presented = [
        Some(foreign["key"].as_str().unwrap()),
        Some("nonsense"),
        Some(typo.as_str()),
        revoked["key"].as_str(),
        Some(""),
        None,
    ];
    for path in ["/v1/connection", "/2fa/v1/application", "/v1/nowhere"] {
        let answers: Vec<_> =
            presented.iter().map(|key| Client::new(gateway.server.public, *key).get(path).expect(401)).collect();
        let strip_time = |body: String| {
            let mut value: serde_json::Value = serde_json::from_str(&body).unwrap();
            value.as_object_mut().unwrap().remove("timestamp");
            if path.starts_with("/2fa") { value.to_string() } else { body }
        };
        for answer in &answers {
            assert_eq!(strip_time(bare(answer)), strip_time(bare(&answers[0])), "{path}");
            assert_eq!(answer.headers.len(), answers[0].headers.len());
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    Client::new(gateway.server.public, Some(good)).get("/v1/connection").expect(200);
}

#[test]
fn a_rotation_overlaps_and_keeps_the_connection_and_its_quota() {
    let gateway = Gateway::start();
    let made = gateway.create_key(&["--calls", "10", "--period", "60"]);
    let mut old = gateway.server.client(made["key"].as_str().unwrap());
    within_a_second(&mut old, 200);
    let otp = old.post_json("/v1/otp", &json!({"number": "+4915112345678", "otpCode": "1234"})).expect(200).json();
    let id = made["id"].as_str().unwrap();
    let (code, stdout, stderr) = gateway.command(&["key", "rotate", id, "--overlap", "10s", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let rotated: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(rotated["id"], made["id"]);
    let mut new = gateway.server.client(rotated["key"].as_str().unwrap());
    let status = new.get(&format!("/v1/otp/{}", otp["otpId"].as_str().unwrap())).expect(200);
    assert!(status.header("ratelimit").unwrap().contains("r=7"), "the ring goes on: {status:?}");
    old.get("/v1/connection").expect(200);
    std::thread::sleep(Duration::from_millis(10_100));
    old.get("/v1/connection").expect(401);
    new.get("/v1/connection").expect(200);
}

#[test]
fn a_second_rotation_keeps_what_the_first_one_promised() {
    let gateway = Gateway::start();
    let made = gateway.create_key(&[]);
    let id = made["id"].as_str().unwrap();
    let rotate = |overlap: &str| gateway.command(&["key", "rotate", id, "--overlap", overlap, "--json"]);
    let mut keys = vec![made["key"].as_str().unwrap().to_owned()];
    for _ in 0..3 {
        let (code, stdout, stderr) = rotate("1h");
        assert_eq!(code, 0, "{stderr}");
        let rotated: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        keys.push(rotated["key"].as_str().unwrap().to_owned());
    }
    for key in &keys {
        within_a_second(&mut gateway.server.client(key), 200);
    }
    // A running server has long seen the last rotation: the oldest key still opens.
    std::thread::sleep(Duration::from_millis(1_500));
    for key in &keys {
        gateway.server.client(key).get("/v1/connection").expect(200);
    }
    let (_, list, _) = gateway.command(&["key", "list"]);
    let line = list.lines().find(|line| line.contains(id)).unwrap();
    assert_eq!(line.matches(" until ").count(), 3, "{line}");
    let (code, _, stderr) = rotate("1h");
    assert!(code == 65 && stderr.contains("runs out at") && stderr.contains("--overlap 0s"), "{code} {stderr}");
    assert_eq!(rotate("0s").0, 0);
    for key in &keys {
        within_a_second(&mut gateway.server.client(key), 401);
    }
}

#[test]
fn scopes_hold_on_every_route() {
    let gateway = Gateway::start();
    let otp = gateway.client().post_json("/v1/otp", &json!({"number": "+4915112345678"})).expect(200).json();
    let id = otp["otpId"].as_str().unwrap();
    let routes: [(&str, &str, String); 10] = [
        ("send", "POST", "/v1/otp".to_owned()),
        ("status", "GET", format!("/v1/otp/{id}")),
        ("send", "POST", format!("/v1/otp/{id}/resend")),
        ("verify", "POST", format!("/v1/otp/{id}/verify")),
        ("status", "GET", "/v1/applications".to_owned()),
        ("admin", "POST", "/v1/applications".to_owned()),
        ("send", "POST", "/2fa/v1/otp".to_owned()),
        ("verify", "POST", format!("/2fa/v1/otp/{id}/check")),
        ("admin", "POST", "/2fa/v1/application/default".to_owned()),
        ("delete", "DELETE", format!("/v1/otp/{id}")),
    ];
    for scope in ["send", "status", "verify", "delete", "webhooks", "admin"] {
        let key = gateway.create_key(&["--scopes", scope]);
        let mut client = gateway.server.client(key["key"].as_str().unwrap());
        client.get("/v1/connection").expect(200);
        for (needed, method, path) in &routes {
            let allowed = *needed == scope;
            if allowed && *needed == "delete" {
                continue;
            }
            let status = client.call(method, path, &[], "").status;
            assert_eq!(status != 403, allowed, "{scope} on {method} {path}: {status}");
        }
    }
}

#[test]
fn the_guard_is_charged_by_failures_only() {
    let gateway = Gateway::with("[guard]\nfailures = 5\nrefill = \"60s\"\n");
    let mut stranger = Client::new(gateway.server.public, Some("wrong"));
    for _ in 0..5 {
        stranger.get("/v1/connection").expect(401);
    }
    let refused = stranger.get("/v1/connection").expect(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait));
    assert_eq!(refused.json()["code"], "too_many_failures");
    let tyntec = stranger.get("/2fa/v1/application").expect(429);
    assert_eq!(tyntec.json()["code"], "1102");
    let mut client = gateway.client();
    for _ in 0..50 {
        client.get("/v1/connection").expect(200);
    }
}

#[test]
fn a_flood_of_unknown_keys_costs_no_more_than_the_miss_cache() {
    let gateway = Gateway::with("[guard]\nfailures = 1000000\n");
    let resident = |id: u32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Well-formed keys of another gateway's making: each costs a look-up, none may be remembered without bound.
    let flood = |rounds: u32| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut client = Client::new(gateway.server.public, None);
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let key = otpgate::access::key::ApiKey::generate(&otpgate::secret::SystemEntropy);
                        client.call("GET", "/v1/connection", &[("apikey", key.expose())], "").expect(401);
                    }
                });
            }
        });
    };
    flood(4_000);
    let before = resident(gateway.server.id());
    flood(8_000);
    let after = resident(gateway.server.id());
    assert!(after < before + 4_096, "{before} kB before, {after} kB after 32,000 further unknown keys");
    let metrics = gateway.server.admin_client().get("/metrics").expect(200).body;
    let misses = metrics.lines().find_map(|line| line.strip_prefix("otpgate_remembered_misses ")).unwrap();
    assert!(misses.trim().parse::<f64>().unwrap() <= 10_000.0, "{misses}");
    gateway.client().get("/v1/connection").expect(200);
}
