//! What a platform is answered that calls again, whatever became of the verification, its application and its key meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::webhooks::{PRIVATE, location};
use crate::support::receiver::Receiver;
use crate::support::{Answer, Client, Gateway};

const PATH: &str = "/v1/verifications";
const WAIT: &str = "/v1/verifications/wait";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Longer than a message that is queued, or an outcome that is due, takes on its way.
const SETTLED: Duration = Duration::from_secs(1);

/// A step of a flow, as the platform calls it, again and again.
struct Step {
    run: String,
    body: String,
}

impl Step {
    fn of(callback: &str, verification: &Value) -> Self {
        let body = json!({"callback": callback, "verification": verification}).to_string();
        Self { run: format!("run of {}", verification["number"]), body }
    }

    fn call(&self, gateway: &Gateway) -> Answer {
        let run = ("x-ms-workflow-run-id", self.run.as_str());
        let headers = [JSON, run, ("x-ms-workflow-operation-name", "Send_and_wait")];
        gateway.client().call("POST", WAIT, &headers, &self.body).expect(201)
    }

    /// Fails unless it is answered as it was, and nothing happens.
    fn again(&self, gateway: &Gateway, first: &Answer) {
        let again = self.call(gateway);
        assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
}

fn messages(gateway: &Gateway, number: &str) -> usize {
    let path = format!("/sandbox/messages?number={}", number.replace('+', "%2B"));
    gateway.server.admin_client().get(&path).expect(200).json().as_array().unwrap().len()
}

/// A press of somebody on the page that an answer names.
fn press(gateway: &Gateway, opened: &Answer, form: &str) {
    let page = opened.json()["pageUrl"].as_str().unwrap().to_owned();
    let page = format!("/{}", page.splitn(4, '/').nth(3).unwrap());
    Client::new(gateway.server.public, None).call("POST", &page, &[FORM], form).expect(303);
}

fn state(gateway: &Gateway, opened: &Answer) -> Value {
    let path = format!("{PATH}/{}", opened.json()["verificationId"].as_str().unwrap());
    gateway.client().get(&path).expect(200).json()["state"].clone()
}

#[test]
fn a_step_that_is_retried_after_its_end_sends_and_tells_nothing_anew() {
    let gateway = Gateway::with(PRIVATE);
    let receiver = Receiver::start();
    let (verified, cancelled) = ("+4915112345601", "+4915112345602");
    let step = Step::of(&receiver.url("/verified"), &json!({"number": verified}));
    let first = step.call(&gateway);
    press(&gateway, &first, &format!("action=enter&code={}", gateway.server.code(verified)));
    receiver.wait(|seen| !seen.is_empty());
    step.again(&gateway, &first);
    assert_eq!(state(&gateway, &first), "VERIFIED");

    let step = Step::of(&receiver.url("/cancelled"), &json!({"number": cancelled}));
    let first = step.call(&gateway);
    gateway.server.code(cancelled);
    Client::new(gateway.server.public, None).delete(&location(&first)).expect(204);
    step.again(&gateway, &first);
    assert_eq!(state(&gateway, &first), "CANCELLED_BY_FLOW");

    // The next round of a loop has a callback of its own.
    let round = Step { run: step.run, ..Step::of(&receiver.url("/round"), &json!({"number": cancelled})) };
    let next = round.call(&gateway);
    assert_ne!(next.json()["verificationId"], first.json()["verificationId"]);
    std::thread::sleep(SETTLED);
    assert_eq!((messages(&gateway, verified), messages(&gateway, cancelled)), (1, 2));
    assert_eq!(receiver.seen().len(), 1);
}

#[test]
fn a_step_that_is_retried_over_a_change_of_its_application_goes_on() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let mut begun = Vec::new();
    for (index, number) in ["+4915112345603", "+4915112345604"].into_iter().enumerate() {
        let made = json!({"name": format!("app {index}"), "template": {"en": "Code {{OTP}}"}});
        let application = client.post_json("/v1/applications", &made).expect(200).json()["applicationId"].clone();
        let verification = json!({"number": number, "applicationId": application, "language": "en"});
        let step = Step::of(&receiver.url(&format!("/{index}")), &verification);
        let (first, code) = (step.call(&gateway), gateway.server.code(number));
        begun.push((application.as_str().unwrap().to_owned(), number, step, first, code));
    }
    let [changed, deleted] = begun.as_slice() else { panic!("two of them") };
    let path = |application: &str| format!("/v1/applications/{application}");
    let text = json!({"template": {"en": "{{AMOUNT}} {{OTP}}"}}).to_string();
    client.call("PATCH", &path(&changed.0), &[JSON], &text).expect(200);
    client.delete(&path(&deleted.0)).expect(200);
    for (_, _, step, first, _) in &begun {
        step.again(&gateway, first);
        assert_eq!(state(&gateway, first), "OPEN");
    }
    press(&gateway, &changed.3, &format!("action=enter&code={}", changed.4));
    press(&gateway, &deleted.3, "action=not_me");
    let told = receiver.wait(|seen| seen.len() == 2);
    let told: std::collections::BTreeMap<_, _> = told.iter().map(|one| (one.id(), one.json())).collect();
    for (one, outcome, code) in [(changed, "VERIFIED", "VERIFIED"), (deleted, "CANCELLED_BY_PERSON", "EXPIRED")] {
        let told = &told[one.3.json()["verificationId"].as_str().unwrap()];
        assert_eq!((&told["state"], &told["otp"]["otpStatus"]), (&json!(outcome), &json!(code)), "{told}");
        assert_eq!((&told["otp"]["attemptsLeft"], messages(&gateway, one.1)), (&json!(0), 1));
    }
}

#[test]
fn what_could_never_be_sent_is_refused_whenever_it_would_be() {
    let gateway = Gateway::with(PRIVATE);
    let mut client = gateway.client();
    let text = json!({"template": {"de": "{{AMOUNT}} {{OTP}}"}}).to_string();
    client.call("PATCH", "/v1/applications/default", &[JSON], &text).expect(200);
    for send in ["now", "on_open"] {
        let wish = json!({"number": "+4915112345605", "send": send});
        let waits = json!({"callback": "http://127.0.0.1:9/", "verification": wish});
        for (path, body, place) in [(PATH, &wish, "/context"), (WAIT, &waits, "/verification/context")] {
            let problem = client.post_json(path, body).expect(400).json();
            assert_eq!(problem["errors"][0]["pointer"], place, "{send}: {problem}");
        }
    }
    let context = json!({"amount": "12.50", "currency": "EUR", "payee": "Example Shop"});
    let wish = json!({"number": "+4915112345605", "send": "on_open", "context": context});
    client.post_json(PATH, &wish).expect(201);
}

#[test]
fn whoever_waits_is_told_though_the_key_was_revoked_meanwhile() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, key) = (Receiver::start(), gateway.create_key(&[]));
    let mut client = gateway.server.client(key["key"].as_str().unwrap());
    let body = json!({"callback": receiver.url("/"), "verification": {"number": "+4915112345606"}});
    let opened = client.post_json(WAIT, &body).expect(201);
    let (code, _, stderr) = gateway.command(&["key", "revoke", key["id"].as_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    for _ in 0..600 {
        if client.get("/v1/connection").status == 401 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    client.post_json(PATH, &json!({"number": "+4915112345607"})).expect(401);
    press(&gateway, &opened, "action=not_me");
    let told = receiver.wait(|seen| !seen.is_empty()).remove(0);
    assert_eq!(told.signed_by(opened.json()["signingSecret"].as_str().unwrap()), 1);
    assert_eq!(told.json()["state"], "CANCELLED_BY_PERSON");
}
