//! How verifications end, as subscribers are told it: each outcome once, to who asked for it, and to nobody else.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::webhooks::{NUMBER, PRIVATE, location, subscribe};
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::schema::conforms;
use crate::support::{Client, Gateway};

const PATH: &str = "/v1/verifications";
const ALL: [&str; 5] = [
    "VERIFICATION_VERIFIED",
    "VERIFICATION_EXPIRED",
    "VERIFICATION_TOO_MANY_ATTEMPTS",
    "VERIFICATION_UNDELIVERABLE",
    "VERIFICATION_CANCELLED",
];
/// The sandbox' number that no message reaches.
const UNREACHABLE: &str = "+12025550103";

fn open(client: &mut Client, body: &Value) -> Value {
    client.post_json(PATH, body).expect(201).json()
}

fn id(verification: &Value) -> String {
    verification["verificationId"].as_str().unwrap().to_owned()
}

/// Presses a button of its page.
fn press(gateway: &Gateway, verification: &Value, form: &str) {
    let page = format!("/{}", verification["pageUrl"].as_str().unwrap().splitn(4, '/').nth(3).unwrap());
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    Client::new(gateway.server.public, None).call("POST", &page, &headers, form).expect(303);
}

/// Waits until nothing is left to tell.
fn all_is_told(gateway: &Gateway) {
    for _ in 0..3_000 {
        let metrics = gateway.server.admin_client().get("/metrics").expect(200).body;
        if metrics.contains("otpgate_webhook_backlog 0\n") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("something is still queued");
}

fn by_verification(seen: &[Received]) -> BTreeMap<String, Vec<Received>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in seen {
        found.entry(id(&one.json())).or_default().push(one.clone());
    }
    found
}

#[test]
fn each_outcome_is_told_once_to_who_asked_for_it() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let [hears, codes, few, elsewhere] = [(); 4].map(|()| Receiver::start());
    let wish = json!({"notificationUrl": hears.url("/"), "events": ALL});
    let made = subscribe(&mut client, &wish).json();
    assert_eq!(made["events"], json!(ALL));
    let secret = made["signingSecret"].as_str().unwrap();
    // Who names no event is told of codes, as before there was anything else.
    let usual = subscribe(&mut client, &json!({"notificationUrl": codes.url("/"), "events": []})).json();
    assert!(usual["events"].as_array().unwrap().iter().all(|name| !ALL.contains(&name.as_str().unwrap())), "{usual}");
    subscribe(&mut client, &json!({"notificationUrl": few.url("/"), "events": ["SENT", "VERIFICATION_CANCELLED"]}));
    let short = json!({"name": "Short", "expire": 30});
    let short = client.post_json("/v1/applications", &short).expect(200).json()["applicationId"].clone();
    let wish = json!({"notificationUrl": elsewhere.url("/"), "events": ALL, "applicationId": short});
    subscribe(&mut client, &wish);

    let mut expected = BTreeMap::new();
    let mut expect = |one: &Value, event: &'static str, state: &'static str| {
        expected.insert(id(one), (event, state));
    };
    // Its code lives 30 seconds, and no other may be sent.
    let lapses = open(&mut client, &json!({"number": "+4915112345670", "applicationId": short, "sends": 1}));
    expect(&lapses, "VERIFICATION_EXPIRED", "EXPIRED");
    let verified = open(&mut client, &json!({"number": NUMBER, "referenceId": "case 7"}));
    press(&gateway, &verified, &format!("action=enter&turn=3.2&code={}", gateway.server.code(NUMBER)));
    expect(&verified, "VERIFICATION_VERIFIED", "VERIFIED");
    let guessed = open(&mut client, &json!({"number": "+4915112345671"}));
    for turn in 0..3 {
        press(&gateway, &guessed, &format!("action=enter&turn={turn}.2&code=wrong"));
    }
    expect(&guessed, "VERIFICATION_TOO_MANY_ATTEMPTS", "TOO_MANY_ATTEMPTS");
    let lost = open(&mut client, &json!({"number": UNREACHABLE}));
    expect(&lost, "VERIFICATION_UNDELIVERABLE", "UNDELIVERABLE");
    let stranger = open(&mut client, &json!({"number": "+4915112345672", "send": "on_open"}));
    press(&gateway, &stranger, "action=not_me");
    expect(&stranger, "VERIFICATION_CANCELLED", "CANCELLED_BY_PERSON");
    let stopped = open(&mut client, &json!({"number": "+4915112345673"}));
    for _ in 0..2 {
        client.delete(&format!("{PATH}/{}", id(&stopped))).expect(204);
    }
    expect(&stopped, "VERIFICATION_CANCELLED", "CANCELLED_BY_FLOW");
    // A run that is cancelled is told nothing itself; subscribers are.
    let run = Receiver::start();
    let body = json!({"callback": run.url("/"), "verification": {"number": "+4915112345674"}});
    let waits = client.post_json("/v1/verifications/wait", &body).expect(201);
    client.delete(&location(&waits)).expect(204);
    expect(&waits.json(), "VERIFICATION_CANCELLED", "CANCELLED_BY_FLOW");

    hears.wait(|seen| seen.len() >= expected.len());
    all_is_told(&gateway);
    let document = client.get("/openapi.json").expect(200).json();
    let told = by_verification(&hears.seen());
    assert_eq!(told.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, (event, state)) in &expected {
        let [one] = told[id].as_slice() else { panic!("{event} was told more than once: {:?}", told[id]) };
        let body = one.json();
        conforms(&document, "VerificationChange", &body);
        assert_eq!((&body["event"], &body["state"]), (&json!(event), &json!(state)));
        assert_eq!((one.signed_by(secret), &body["eventId"]), (1, &json!(one.id())));
        assert_eq!((&body["verified"], &body["occurredAt"]), (&json!(*state == "VERIFIED"), &body["timestampEnded"]));
        assert!(["pageUrl", "returnUrl", "signingSecret"].iter().all(|name| body.get(name).is_none()), "{body}");
        // The outcome itself, as the one who asks for it sees it.
        let now = client.get(&format!("{PATH}/{id}")).expect(200).json();
        for name in ["state", "number", "referenceId", "applicationId", "timestampCreated", "timestampEnded", "otp"] {
            assert_eq!(body.get(name), now.get(name), "{name} of {event}");
        }
    }
    assert!(told[&id(&stranger)][0].json().get("otp").is_none(), "it was never sent a code");
    assert_eq!(told[&id(&verified)][0].json()["referenceId"], "case 7");
    assert!(run.seen().is_empty());
    for one in codes.seen() {
        conforms(&document, "OtpChange", &one.json());
    }
    assert!(codes.seen().iter().any(|one| one.event() == "VERIFIED"));
    let few: Vec<_> = few.seen().into_iter().filter(|one| one.event() != "SENT").collect();
    let cancelled = expected.values().filter(|(event, _)| *event == "VERIFICATION_CANCELLED").count();
    assert_eq!(few.iter().filter(|one| one.event() == "VERIFICATION_CANCELLED").count(), cancelled);
    assert_eq!(few.len(), cancelled, "{few:?}");
    let elsewhere = elsewhere.seen();
    assert_eq!(elsewhere.iter().map(|one| id(&one.json())).collect::<Vec<_>>(), [id(&lapses)]);
}

#[test]
fn an_outcome_that_is_refused_is_told_again_and_then_is_a_dead_letter() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let receiver = Receiver::with(|_| Reply::Status(500));
    let wish = json!({"notificationUrl": receiver.url("/"), "events": ["VERIFICATION_CANCELLED"]});
    let secret = subscribe(&mut client, &wish).json()["signingSecret"].as_str().unwrap().to_owned();
    let opened = open(&mut client, &json!({"number": NUMBER}));
    client.delete(&format!("{PATH}/{}", id(&opened))).expect(204);
    let seen = receiver.wait(|seen| seen.len() == 4);
    all_is_told(&gateway);
    assert!(seen.iter().all(|one| (one.id(), &one.body) == (seen[0].id(), &seen[0].body)), "{seen:?}");
    assert!(seen.iter().all(|one| one.signed_by(&secret) == 1));
    let (code, out, err) = gateway.command(&["webhooks", "dead", "--json"]);
    assert_eq!(code, 0, "{err}");
    let dead: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&dead[0]["event"], &dead[0]["verificationId"]),
        (&json!("VERIFICATION_CANCELLED"), &json!(id(&opened)))
    );
    assert_eq!((&dead[0]["eventId"], &dead[0]["tries"]), (&json!(seen[0].id()), &json!(4)));
    assert!(!out.contains("15112345678"), "{out}");
    receiver.change(|_| Reply::Status(202));
    let (code, _, err) = gateway.command(&["webhooks", "replay", "--all"]);
    assert_eq!(code, 0, "{err}");
    let again = receiver.wait(|seen| seen.len() == 5);
    assert_eq!((again[4].id(), &again[4].body), (seen[0].id(), &seen[0].body));
    // The erasure of the number takes it along, told or not.
    receiver.change(|_| Reply::Status(500));
    let opened = open(&mut client, &json!({"number": NUMBER}));
    client.delete(&format!("{PATH}/{}", id(&opened))).expect(204);
    receiver.wait(|seen| seen.len() == 9);
    all_is_told(&gateway);
    assert_eq!(gateway.command(&["erase", "--number", NUMBER]).0, 0);
    let (_, out, _) = gateway.command(&["webhooks", "dead", "--json"]);
    assert_eq!(out.trim(), "[]");
}
