//! Subscribing and unsubscribing: the connector's trigger, as a platform calls it.

use serde_json::{Value, json};

use crate::support::receiver::{Received, Receiver};
use crate::support::{Answer, Client, Gateway};

pub(crate) const NUMBER: &str = "+4915112345678";
pub(crate) const PRIVATE: &str =
    "[events]\nallow_private_callbacks = true\nretries = [\"200ms\", \"200ms\", \"200ms\"]\n";

pub(crate) fn subscribe(client: &mut Client, body: &Value) -> Answer {
    client.post_json("/v1/webhooks", body).expect(201)
}

/// Sends, and gives the OTP's id.
pub(crate) fn send(client: &mut Client, body: &Value) -> String {
    client.post_json("/v1/otp", body).expect(200).json()["otpId"].as_str().unwrap().to_owned()
}

pub(crate) fn verify(client: &mut Client, otp: &str, code: &str) {
    client.post_json(&format!("/v1/otp/{otp}/verify"), &json!({"otpCode": code})).expect(200);
}

/// The path of the address that ends a subscription.
pub(crate) fn location(answer: &Answer) -> String {
    let location = answer.header("location").unwrap();
    format!("/{}", location.splitn(4, '/').nth(3).unwrap())
}

#[test]
fn a_subscription_is_told_until_its_address_is_deleted_without_a_key() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let body = json!({"notificationUrl": receiver.url("/hook?sig=secret"), "events": ["VERIFIED"]});
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "host=evil.example"),
    ];
    let made = client.call("POST", "/v1/webhooks", &headers, &body.to_string()).expect(201);
    let address = made.header("location").unwrap().to_owned();
    let token = address.strip_prefix(&format!("http://{}/v1/webhooks/", gateway.server.public)).unwrap().to_owned();
    assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let subscription = made.json();
    assert!(subscription["subscriptionId"].as_str().unwrap().starts_with("sub_"));
    assert!(!token.is_empty() && !made.body.contains(&token) && !made.body.contains("hook"), "{}", made.body);
    assert_eq!(subscription["events"], json!(["VERIFIED"]));
    assert!(subscription["created"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(subscription.get("applicationId").is_none());
    let secret = subscription["signingSecret"].as_str().unwrap();

    let verified = |client: &mut Client| {
        let otp = send(client, &json!({"number": NUMBER, "otpCode": "0042"}));
        verify(client, &otp, "0042");
        otp
    };
    let otp = verified(&mut client);
    let told = receiver.wait_for("VERIFIED");
    assert_eq!(told.signed_by(secret), 1);
    assert_eq!(told.json()["otpId"], otp);

    let path = format!("/v1/webhooks/{token}");
    let mut nobody = Client::new(gateway.server.public, None);
    assert_eq!(nobody.delete(&path).expect(204).body, "");
    nobody.delete(&path).expect(204);
    gateway.client().delete(&path).expect(204);
    Client::new(gateway.server.public, Some("otpg_wrong")).delete(&path).expect(204);
    verified(&mut client);
    // Whoever subscribes now is told of what comes now: what went before would have been told by then.
    let other = Receiver::start();
    subscribe(&mut client, &json!({"notificationUrl": other.url("/"), "events": ["VERIFIED"]}));
    verified(&mut client);
    other.wait_for("VERIFIED");
    assert_eq!(receiver.seen().len(), 1);
    gateway.server.stop();
}

#[test]
fn the_same_callback_of_the_same_connection_is_one_subscription() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let url = receiver.url("/hook?sp=%2Ftriggers&sig=a%3D");
    let first = subscribe(&mut client, &json!({"notificationUrl": url, "events": ["SENT", "EXPIRED"]}));
    let again = subscribe(&mut client, &json!({"notificationUrl": url, "events": []}));
    assert_eq!(first.header("location"), again.header("location"));
    let (first, again) = (first.json(), again.json());
    assert_eq!(first["subscriptionId"], again["subscriptionId"]);
    assert_eq!((&first["events"], again["events"].as_array().unwrap().len()), (&json!(["SENT", "EXPIRED"]), 9));
    assert!(first["signingSecret"].is_string() && again.get("signingSecret").is_none(), "{again}");
    // A byte of the address, or another connection, makes another one.
    let other = subscribe(&mut client, &json!({"notificationUrl": url.replace("%2F", "%2f")})).json();
    assert_ne!(other["subscriptionId"], first["subscriptionId"]);
    let key = gateway.create_key(&[]);
    let mut another = gateway.server.client(key["key"].as_str().unwrap());
    let other = subscribe(&mut another, &json!({"notificationUrl": url})).json();
    assert_ne!(other["subscriptionId"], first["subscriptionId"]);
    client.post_json("/v1/otp", &json!({"number": NUMBER})).expect(200);
    let seen = receiver.wait(|seen| seen.len() >= 6);
    let mut ids: Vec<_> = seen.iter().map(|one| one.header("webhook-id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "SENT and DELIVERED, each told three times");
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, all, mut client) = (Receiver::start(), Receiver::start(), gateway.client());
    let shop = client.post_json("/v1/applications", &json!({"name": "Shop"})).expect(200).json();
    let wish = json!({
        "notificationUrl": receiver.url("/"), "events": ["DELIVERED", "WRONG_CODE", "WRONG_CODE"],
        "applicationId": shop["applicationNumber"].to_string(),
    });
    let made = subscribe(&mut client, &wish).json();
    assert_eq!(made["applicationId"], shop["applicationId"]);
    subscribe(&mut client, &json!({"notificationUrl": all.url("/"), "events": null, "applicationId": ""}));
    for application in ["default", shop["applicationId"].as_str().unwrap()] {
        let body = json!({"number": NUMBER, "otpCode": "1234", "applicationId": application});
        let otp = client.post_json("/v1/otp", &body).expect(200).json();
        let path = format!("/v1/otp/{}", otp["otpId"].as_str().unwrap());
        client.post_json(&format!("{path}/verify"), &json!({"otpCode": "9999"})).expect(200);
        client.post_json(&format!("{path}/verify"), &json!({"otpCode": "1234"})).expect(200);
        all.wait(|seen| {
            seen.iter().filter(|one| one.event() == "DELIVERED").count() > usize::from(application != "default")
        });
        client.delete(&path).expect(200);
    }
    all.wait(|seen| seen.len() == 10);
    let told = receiver.wait(|seen| seen.len() == 2);
    let mut events: Vec<_> = told.iter().map(Received::event).collect();
    events.sort();
    assert_eq!(events, ["DELIVERED", "WRONG_CODE"]);
    assert!(told.iter().all(|one| one.json()["applicationId"] == shop["applicationId"]));
}

#[test]
fn a_bad_subscription_says_what_is_wrong_and_repeats_no_address() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (body, pointer) in [
        (json!({}), "/notificationUrl"),
        (json!({"notificationUrl": ""}), "/notificationUrl"),
        (json!({"notificationUrl": 5}), "/notificationUrl"),
        (json!({"notificationUrl": "/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "http://example.com/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://canary:canary@example.com/"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://127.0.0.1/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://[::ffff:10.1.2.3]/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://[64:ff9b::a9fe:a9fe]/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://100.64.0.1/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://169.254.169.254/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://localhost/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": "https://2130706433/canary"}), "/notificationUrl"),
        (json!({"notificationUrl": format!("https://example.com/{}", "canary".repeat(700))}), "/notificationUrl"),
        (json!({"notificationUrl": "https://1.1.1.1/", "events": "SENT"}), "/events"),
        (json!({"notificationUrl": "https://1.1.1.1/", "events": ["SENT", "SEEN"]}), "/events/1"),
        (json!({"notificationUrl": "https://1.1.1.1/", "events": [1]}), "/events/0"),
        (json!({"notificationUrl": "https://1.1.1.1/", "applicationId": "x"}), "/applicationId"),
        (json!({"notificationUrl": "https://1.1.1.1/", "callback": "x"}), "/callback"),
    ] {
        let answer = client.post_json("/v1/webhooks", &body).expect(400);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}: {}", answer.body);
        assert!(!answer.body.contains("canary") && !answer.body.contains("127.0.0.1"), "{}", answer.body);
    }
    let unknown = json!({"notificationUrl": "https://1.1.1.1/", "applicationId": "77"});
    assert_eq!(client.post_json("/v1/webhooks", &unknown).expect(404).json()["code"], "application_not_found");
    let key = gateway.create_key(&["--scopes", "send,status,verify,delete"]);
    let mut narrow = gateway.server.client(key["key"].as_str().unwrap());
    let fine = json!({"notificationUrl": "https://1.1.1.1/"});
    assert_eq!(narrow.post_json("/v1/webhooks", &fine).expect(403).json()["code"], "forbidden");
    Client::new(gateway.server.public, None).post_json("/v1/webhooks", &fine).expect(401);
    client.get("/v1/webhooks").expect(405);
    let (_, listed, _) = gateway.command(&["webhooks", "list", "--json"]);
    assert_eq!(listed.trim(), "[]", "nothing was kept");
}

#[test]
fn an_account_has_a_bounded_number_of_subscriptions() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for number in 0..100 {
        subscribe(&mut client, &json!({"notificationUrl": format!("https://1.1.1.1/{number}")}));
    }
    let more = json!({"notificationUrl": "https://1.1.1.1/100"});
    assert_eq!(client.post_json("/v1/webhooks", &more).expect(409).json()["code"], "too_many_subscriptions");
    let known = subscribe(&mut client, &json!({"notificationUrl": "https://1.1.1.1/7", "events": ["SENT"]}));
    client.delete(&location(&known)).expect(204);
    subscribe(&mut client, &more);
}

#[test]
fn guessing_at_addresses_is_charged_like_wrong_keys() {
    let gateway = Gateway::with(&format!("{PRIVATE}[guard]\nfailures = 5\nrefill = \"1h\"\n"));
    let known = subscribe(&mut gateway.client(), &json!({"notificationUrl": "http://127.0.0.1:9/"}));
    let mut nobody = Client::new(gateway.server.public, None);
    for guess in 0..5 {
        let answer = nobody.delete(&format!("/v1/webhooks/{guess:048}")).expect(404);
        assert_eq!(answer.json()["code"], "not_found");
    }
    let refused = nobody.delete(&format!("/v1/webhooks/{:048}", 9)).expect(429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    nobody.delete(&location(&known)).expect(204);
}

#[test]
fn the_address_begins_with_the_public_one() {
    let gateway = Gateway::with(&format!("public_url = \"https://otp.example.com/gate/\"\n{PRIVATE}"));
    let made = subscribe(&mut gateway.client(), &json!({"notificationUrl": "http://127.0.0.1:9/"}));
    assert!(made.header("location").unwrap().starts_with("https://otp.example.com/gate/v1/webhooks/"));
}

#[test]
fn a_revoked_connection_is_told_nothing_more() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, other) = (Receiver::start(), Receiver::start());
    let key = gateway.create_key(&[]);
    subscribe(&mut gateway.server.client(key["key"].as_str().unwrap()), &json!({"notificationUrl": receiver.url("/")}));
    subscribe(&mut gateway.client(), &json!({"notificationUrl": other.url("/")}));
    let (code, _, stderr) = gateway.command(&["key", "revoke", key["id"].as_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    gateway.client().post_json("/v1/otp", &json!({"number": NUMBER})).expect(200);
    other.wait_for("DELIVERED");
    for _ in 0..600 {
        let (_, listed, _) = gateway.command(&["webhooks", "list", "--json"]);
        if serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len() == 1 {
            assert!(receiver.seen().is_empty());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("its subscription is still there");
}
