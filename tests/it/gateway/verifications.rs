//! Verifications over HTTP: opened, seen, ended, waited for; and the page's settings.

use serde_json::{Value, json};

use super::webhooks::{NUMBER, PRIVATE, location, verify};
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Answer, Client, Gateway};

const PATH: &str = "/v1/verifications";
const WAIT: &str = "/v1/verifications/wait";

fn open(client: &mut Client, body: &Value) -> Value {
    client.post_json(PATH, body).expect(201).json()
}

fn wait_for(client: &mut Client, receiver: &Receiver, verification: &Value) -> Answer {
    let body = json!({"callback": receiver.url("/step?sig=secret%2F"), "verification": verification});
    client.post_json(WAIT, &body).expect(201)
}

fn seen(client: &mut Client, id: &str) -> Value {
    client.get(&format!("{PATH}/{id}")).expect(200).json()
}

/// The id of the code that a verification was sent.
fn otp(client: &mut Client, id: &str) -> String {
    seen(client, id)["otp"]["otpId"].as_str().unwrap().to_owned()
}

fn id(verification: &Value) -> String {
    verification["verificationId"].as_str().unwrap().to_owned()
}

/// Waits until it is what it is to become.
fn becomes(client: &mut Client, id: &str, state: &str) -> Value {
    for _ in 0..3_000 {
        let now = seen(client, id);
        if now["state"] == state {
            return now;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it never became {state}: {}", seen(client, id));
}

#[test]
fn a_verification_is_opened_seen_and_verified() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let made = client.post_json(PATH, &json!({"number": NUMBER, "referenceId": "case 7"})).expect(201);
    let verification = made.json();
    let id = id(&verification);
    let base = format!("http://{}", gateway.server.public);
    assert_eq!(made.header("location").unwrap(), format!("{base}{PATH}/{id}"));
    let page = verification["pageUrl"].as_str().unwrap();
    let token = page.strip_prefix(&format!("{base}/verify/")).unwrap();
    assert_eq!(token.len(), 43);
    assert!(!page.contains(&id) && !page.contains("15112345678"), "{page}");
    assert_eq!((&verification["state"], &verification["verified"]), (&json!("OPEN"), &json!(false)));
    assert_eq!((&verification["sendsLeft"], &verification["number"]), (&json!(2), &json!(NUMBER)));
    assert!(verification.get("signingSecret").is_none() && verification.get("otp").is_none());
    let code = gateway.server.code(NUMBER);
    let otp = otp(&mut client, &id);
    verify(&mut client, &otp, &code);
    let ended = becomes(&mut client, &id, "VERIFIED");
    assert_eq!((&ended["verified"], &ended["otp"]["otpStatus"]), (&json!(true), &json!("VERIFIED")));
    assert_eq!(ended["referenceId"], "case 7");
    assert!(ended.get("pageUrl").is_none(), "the page is gone");
    let metrics = gateway.server.admin_client().get("/metrics").body;
    assert!(metrics.contains("otpgate_verifications_total{event=\"opened\"} 1"), "{metrics}");
    assert!(metrics.contains("otpgate_verifications_total{event=\"verified\"} 1"), "{metrics}");
    let log = gateway.server.stop();
    assert!(!log.contains(token) && !log.contains(NUMBER), "{log}");
}

#[test]
fn a_verification_belongs_to_its_account_and_needs_its_scopes() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let id = id(&open(&mut client, &json!({"number": NUMBER})));
    let path = format!("{PATH}/{id}");
    let key = |flags: &[&str]| gateway.create_key(flags)["key"].as_str().unwrap().to_owned();
    let mut other = gateway.server.client(&key(&["--account", "other"]));
    other.get(&path).expect(404);
    other.delete(&path).expect(404);
    let mut reader = gateway.server.client(&key(&["--scopes", "status"]));
    reader.get(&path).expect(200);
    reader.delete(&path).expect(403);
    reader.post_json(PATH, &json!({"number": NUMBER})).expect(403);
    reader.post_json(WAIT, &json!({})).expect(403);
    Client::new(gateway.server.public, None).get(&path).expect(401);
    for missing in ["x", "0193517a-5c00-7000-8000-0123456789ab"] {
        let problem = client.get(&format!("{PATH}/{missing}")).expect(404).json();
        assert_eq!(problem["code"], "verification_not_found");
    }
    client.delete(&path).expect(204);
    client.delete(&path).expect(204);
    assert_eq!(seen(&mut client, &id)["state"], "CANCELLED_BY_FLOW");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let places = |answer: Answer| -> Vec<String> {
        let problem = answer.expect(400).json();
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let bad = json!({"number": "1", "expiry": 59, "sends": 6, "send": "later", "returnUrl": "http://example.com/", "text": "x"});
    let wrong = ["/number", "/returnUrl", "/expiry", "/sends", "/send", "/text"];
    assert_eq!(places(client.post_json(PATH, &bad)), wrong);
    let nested: Vec<_> = wrong.iter().map(|place| format!("/verification{place}")).collect();
    let callback = "https://127.0.0.1:1/";
    assert_eq!(places(client.post_json(WAIT, &json!({"callback": callback, "verification": bad}))), nested);
    assert_eq!(places(client.post_json(WAIT, &json!({}))), ["/callback", "/verification"]);
    let flat = json!({"callback": callback, "verification": "x", "number": NUMBER});
    assert_eq!(places(client.post_json(WAIT, &flat)), ["/verification", "/number"]);
    let elsewhere = json!({"number": NUMBER, "returnUrl": "https://evil.example/"});
    assert_eq!(places(client.post_json(PATH, &elsewhere)), ["/returnUrl"]);
    let body = json!({"callback": callback, "verification": elsewhere});
    assert_eq!(places(client.post_json(WAIT, &body)), ["/verification/returnUrl"]);
    let unknown = json!({"number": NUMBER, "applicationId": "7"});
    assert_eq!(client.post_json(PATH, &unknown).expect(404).json()["code"], "application_not_found");
    // Plain http and private addresses are for the operator to allow.
    let strict = Gateway::start();
    for callback in ["http://example.com/", "https://127.0.0.1/", "https://[::1]/", "ftp://example.com/"] {
        let body = json!({"callback": callback, "verification": {"number": NUMBER}});
        assert_eq!(places(strict.client().post_json(WAIT, &body)), ["/callback"], "{callback}");
    }
}

#[test]
fn whoever_waits_is_told_once_and_signed() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let made = wait_for(&mut client, &receiver, &json!({"number": NUMBER, "referenceId": "case 8"}));
    let verification = made.json();
    let (id, secret) = (id(&verification), verification["signingSecret"].as_str().unwrap());
    let address = made.header("location").unwrap();
    let token = address.strip_prefix(&format!("http://{}{WAIT}/", gateway.server.public)).unwrap();
    assert!(token.len() == 43 && !made.body.contains(token), "{}", made.body);
    assert_ne!(verification["pageUrl"].as_str().unwrap().rsplit('/').next().unwrap(), token, "another token");
    let otp = otp(&mut client, &id);
    for _ in 0..2 {
        client.post_json(&format!("/v1/otp/{otp}/verify"), &json!({"otpCode": "wrong"})).expect(200);
    }
    assert_eq!(receiver.seen().len(), 0, "nothing is told before the end");
    client.post_json(&format!("/v1/otp/{otp}/verify"), &json!({"otpCode": "wrong"})).expect(200);
    let told = receiver.wait(|seen| !seen.is_empty()).remove(0);
    assert_eq!(told.line, "POST /step?sig=secret%2F HTTP/1.1", "byte for byte");
    assert_eq!((told.id(), told.signed_by(secret)), (id.clone(), 1));
    let outcome = told.json();
    assert_eq!((&outcome["state"], &outcome["verified"]), (&json!("TOO_MANY_ATTEMPTS"), &json!(false)));
    assert_eq!((&outcome["verificationId"], &outcome["referenceId"]), (&json!(id), &json!("case 8")));
    assert_eq!((&outcome["otp"]["otpId"], &outcome["otp"]["attemptCount"]), (&json!(otp), &json!(3)));
    assert!(outcome.get("pageUrl").is_none() && outcome.get("signingSecret").is_none());
    // Ending the wait afterwards changes nothing.
    let mut nobody = Client::new(gateway.server.public, None);
    nobody.delete(&location(&made)).expect(204);
    nobody.delete(&location(&made)).expect(204);
    assert_eq!(seen(&mut client, &id)["state"], "TOO_MANY_ATTEMPTS");
    // Whoever waits now is told later than a second call of the first would have been.
    let other = Receiver::start();
    let made = wait_for(&mut client, &other, &json!({"number": NUMBER}));
    client.delete(&format!("{PATH}/{}", super::verifications::id(&made.json()))).expect(204);
    other.wait(|seen| !seen.is_empty());
    assert_eq!(receiver.seen().len(), 1);
    let log = gateway.server.stop();
    assert!(!log.contains(token) && !log.contains("sig="), "{log}");
}

#[test]
fn a_cancelled_run_is_told_nothing_and_others_are_tried_again() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let cancelled = Receiver::start();
    let made = wait_for(&mut client, &cancelled, &json!({"number": NUMBER}));
    let otp = otp(&mut client, &id(&made.json()));
    Client::new(gateway.server.public, Some("otpg_wrong")).delete(&location(&made)).expect(204);
    assert_eq!(seen(&mut client, &id(&made.json()))["state"], "CANCELLED_BY_FLOW");
    client.get(&format!("/v1/otp/{otp}")).expect(404);
    // It fails twice before it takes it: the same each time.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let failing = Receiver::with(move |_| {
        let before = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if before < 2 { Reply::Status(500) } else { Reply::Status(202) }
    });
    let made = wait_for(&mut client, &failing, &json!({"number": "+12025550103"}));
    becomes(&mut client, &id(&made.json()), "UNDELIVERABLE");
    let calls = failing.wait(|seen| seen.len() == 3);
    let secret = made.json()["signingSecret"].as_str().unwrap().to_owned();
    for call in &calls {
        assert_eq!(
            (call.id(), call.body.as_str(), call.signed_by(&secret)),
            (calls[0].id(), calls[0].body.as_str(), 1)
        );
    }
    assert_eq!(calls[0].json()["otp"]["deliveryStatus"], "UNDELIVERABLE");
    assert_eq!(cancelled.seen().len(), 0);
    for guess in ["x".to_owned(), "A".repeat(43)] {
        Client::new(gateway.server.public, None).delete(&format!("{WAIT}/{guess}")).expect(404);
    }
}

#[test]
fn a_repeated_call_opens_nothing_new() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let body = json!({"callback": receiver.url("/"), "verification": {"number": NUMBER}}).to_string();
    let key = [("Content-Type", "application/json"), ("Idempotency-Key", "order-7")];
    let run = [
        ("Content-Type", "application/json"),
        ("x-ms-workflow-run-id", "run"),
        ("x-ms-workflow-operation-name", "Wait"),
    ];
    for headers in [&key[..], &run[..]] {
        let first = client.call("POST", WAIT, headers, &body).expect(201);
        assert!(first.header("idempotency-replayed").is_none());
        let again = client.call("POST", WAIT, headers, &body).expect(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    }
    let other = json!({"callback": receiver.url("/"), "verification": {"number": "+4915112345679"}}).to_string();
    client.call("POST", WAIT, &key, &other).expect(422);
    // The same key for another operation is another call.
    let send = client.call("POST", "/v1/otp", &key, &json!({"number": NUMBER}).to_string()).expect(200);
    let list = client.get(&format!("/2fa/v1/otp?number={}", NUMBER.replace('+', "%2B"))).expect(200).json();
    assert_eq!(list.as_array().unwrap().len(), 3, "one of each verification, and the one that was sent: {list}");
    assert!(send.header("idempotency-replayed").is_none());
}

#[test]
fn many_calls_at_once_under_one_key_open_one() {
    let gateway = Gateway::start();
    let (address, key) = (gateway.server.public, gateway.key.clone());
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut client = Client::new(address, Some(&key));
            std::thread::spawn(move || {
                let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "order-9")];
                client.call("POST", PATH, &headers, &json!({"number": NUMBER}).to_string()).expect(201).body
            })
        })
        .collect();
    let bodies: std::collections::BTreeSet<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    assert_eq!(bodies.len(), 1);
    let list = gateway.client().get(&format!("/2fa/v1/otp?number={}", NUMBER.replace('+', "%2B"))).expect(200).json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn an_application_says_how_its_page_looks_and_where_it_leads() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let edit = |client: &mut Client, verification: Value| {
        let body = json!({"verification": verification}).to_string();
        client.call("PATCH", "/v1/applications/default", &[("Content-Type", "application/json")], &body)
    };
    let before = client.get("/v1/applications/default").expect(200).json();
    let nothing = json!({"hasLogo": false, "returnUrls": [], "embedOrigins": [], "linkInMessage": false});
    assert_eq!(before["verification"], nothing);
    let wanted = json!({
        "name": "Example Shop", "colour": "#0a66c2", "returnUrls": ["https://www.example.com/app/"],
        "embedOrigins": ["https://www.example.com"], "linkInMessage": true,
    });
    let after = edit(&mut client, wanted.clone()).expect(200).json()["verification"].clone();
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(after[name], *value);
    }
    let url = "https://www.example.com/app/done?order=7";
    let made = open(&mut client, &json!({"number": NUMBER, "returnUrl": url}));
    let page = made["pageUrl"].as_str().unwrap();
    let message = gateway.server.message(NUMBER, |_| true);
    assert!(message["text"].as_str().unwrap().ends_with(&format!("\n{page}")), "{message} {page}");
    // A code that was sent for itself has no page.
    client.post_json("/v1/otp", &json!({"number": "+4915112345679"})).expect(200);
    let plain = gateway.server.message("+4915112345679", |_| true);
    assert!(!plain["text"].as_str().unwrap().contains("http"), "{plain}");

    let faults = |answer: Answer| -> Vec<String> {
        let problem = answer.expect(400).json();
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let bad =
        json!({"colour": "red", "logo": "<svg/>", "returnUrls": ["https://a.example", "http://a.example"], "x": 1});
    let mut found = faults(edit(&mut client, bad));
    found.sort();
    let places = ["/verification/colour", "/verification/logo", "/verification/returnUrls/1", "/verification/x"];
    assert_eq!(found, places);
    let cleared = edit(
        &mut client,
        json!({"name": null, "colour": null, "returnUrls": [], "embedOrigins": null, "linkInMessage": false}),
    );
    assert_eq!(cleared.expect(200).json()["verification"], nothing);

    let logo = gateway.data().with_extension("png");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0; 16]).unwrap();
    std::fs::write(&logo, &bytes).unwrap();
    let words = |more: &[&str]| {
        let words: Vec<_> =
            ["application", "edit", "default", "--json"].into_iter().chain(more.iter().copied()).collect();
        gateway.command(&words)
    };
    let (code, out, err) = words(&[
        "--page-name",
        "Shop",
        "--page-logo",
        logo.to_str().unwrap(),
        "--return-url",
        "https://a.example",
        "--return-url",
        "https://b.example/",
        "--embed-origin",
        "https://a.example",
        "--link-in-message",
    ]);
    assert_eq!(code, 0, "{err}");
    let shown = serde_json::from_str::<Value>(&out).unwrap()["verification"].clone();
    assert_eq!((&shown["name"], &shown["linkInMessage"]), (&json!("Shop"), &json!(true)));
    assert_eq!(shown["returnUrls"], json!(["https://a.example", "https://b.example/"]));
    assert!(shown["logo"].as_str().unwrap().starts_with("iVBOR"));
    assert_eq!(words(&["--return-url", "http://a.example"]).0, 64);
    std::fs::write(&logo, "GIF89a").unwrap();
    assert_eq!(words(&["--page-logo", logo.to_str().unwrap()]).0, 65);
    assert_eq!(words(&["--no-page-logo", "--no-return-urls"]).0, 0);
    let mut seen = Value::Null;
    for _ in 0..300 {
        seen = client.get("/v1/applications/default").expect(200).json()["verification"].clone();
        if seen["hasLogo"] == false && seen["name"] == "Shop" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let [logo, urls, origins] = ["hasLogo", "returnUrls", "embedOrigins"].map(|name| seen[name].clone());
    assert_eq!((logo, urls, origins), (json!(false), json!([]), json!(["https://a.example"])));
}

#[test]
fn an_erased_number_is_in_no_verification() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let plain = id(&open(&mut client, &json!({"number": NUMBER, "referenceId": "case 9"})));
    let waited = id(&wait_for(&mut client, &receiver, &json!({"number": NUMBER, "referenceId": "case 10"})).json());
    let (code, _, err) = gateway.command(&["erase", "--number", NUMBER]);
    assert_eq!(code, 0, "{err}");
    client.get(&format!("{PATH}/{plain}")).expect(404);
    let told = receiver.wait(|seen| !seen.is_empty()).remove(0);
    assert_eq!((told.id(), &told.json()["state"]), (waited, &json!("CANCELLED_BY_FLOW")));
    assert!(!told.body.contains("15112345678") && !told.body.contains("case 10"), "{}", told.body);
}

/// How often a line of `otpgate_verification_tries_total` says that a try ended so.
fn tries(gateway: &Gateway, outcome: &str) -> u64 {
    let metrics = gateway.server.admin_client().get("/metrics").expect(200).body;
    let name = format!("otpgate_verification_tries_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{metrics}"));
    line.parse().unwrap()
}

#[test]
fn a_run_that_is_gone_is_told_once_and_one_that_fails_until_the_tries_are_used_up() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let gone: Vec<_> = [404, 410]
        .into_iter()
        .map(|status| {
            let receiver = Receiver::with(move |_| Reply::Status(status));
            let made = wait_for(&mut client, &receiver, &json!({"number": NUMBER})).json();
            client.delete(&format!("{PATH}/{}", id(&made))).expect(204);
            receiver.wait(|seen| !seen.is_empty());
            (receiver, id(&made))
        })
        .collect();
    let failing = Receiver::with(|_| Reply::Status(500));
    let made = wait_for(&mut client, &failing, &json!({"number": NUMBER})).json();
    client.delete(&format!("{PATH}/{}", id(&made))).expect(204);
    failing.wait(|seen| seen.len() == 4);
    while tries(&gateway, "dead") == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // By then the others would have been tried again as often.
    assert!(gone.iter().all(|(receiver, _)| receiver.seen().len() == 1));
    assert_eq!(failing.seen().len(), 4);
    let counts = ["delivered", "retried", "dead", "dropped"].map(|outcome| tries(&gateway, outcome));
    assert_eq!(counts, [0, 3, 1, 2]);
    let log = gateway.server.stop();
    let lines = |words: &str, id: &str| log.lines().filter(|line| line.contains(words) && line.contains(id)).count();
    for (_, id) in &gone {
        assert_eq!(lines("nobody is told: whoever waited is gone", id), 1, "{log}");
    }
    let warned = log.lines().filter(|line| line.contains("whoever waited was not told"));
    let warned: Vec<_> = warned.collect();
    assert!(warned.len() == 1 && warned[0].contains(&id(&made)) && warned[0].contains("answered 500"), "{log}");
    assert!(warned[0].to_ascii_lowercase().contains("warn") && !log.contains("sig="), "{log}");
}

#[test]
fn words_are_read_in_any_case() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (send, via, left) in [("NOW", "sms", 2), ("On_Open", "Voice", 3)] {
        let opened = open(&mut client, &json!({"number": NUMBER, "send": send, "via": via}));
        assert_eq!(opened["sendsLeft"], left, "{opened}");
    }
}
