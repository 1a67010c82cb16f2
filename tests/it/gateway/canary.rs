//! Codes, keys, numbers, query strings and capability addresses appear in no log at trace level, no error and no metric.

use serde_json::json;

use super::webhooks::location;
use crate::support::receiver::{Receiver, Reply};
use crate::support::signer::{Habit, Signer};
use crate::support::{Client, Gateway, Options};

const NUMBER: &str = "+4915198765432";
const CODE: &str = "83917465";
const QUERY: &str = "zebrafinch";
const IDEMPOTENCY_KEY: &str = "quagga-20881";

#[test]
fn nothing_that_must_not_be_seen_is_seen() {
    for format in ["fmt", "json"] {
        let options = Options {
            config: format!(
                "[log]\nlevel = \"trace\"\nformat = \"{format}\"\n[server]\nidle = \"1s\"\n\
                 [events]\nallow_private_callbacks = true\nretries = [\"50ms\"]\n"
            ),
            ..Options::default()
        };
        let gateway = Gateway::with_options(&options);
        let mut client = gateway.client();
        // One callback takes events, one refuses them, and one is not there.
        let receiver = Receiver::with(|request| Reply::Status(if request.line.contains("no") { 500 } else { 200 }));
        let callbacks = [receiver.url(&format!("/{QUERY}?sig={QUERY}")), receiver.url(&format!("/no?sig={QUERY}"))];
        let mut addresses = Vec::new();
        for callback in callbacks.into_iter().chain([format!("http://127.0.0.1:9/{QUERY}?sig={QUERY}")]) {
            let made = client.post_json("/v1/webhooks", &json!({"notificationUrl": callback})).expect(201);
            assert!(!made.body.contains(QUERY), "{}", made.body);
            addresses.push(location(&made));
            let secret = made.json()["signingSecret"].as_str().unwrap().to_owned();
            addresses.push(secret.trim_start_matches("whsec_").to_owned());
        }
        let body =
            json!({"number": NUMBER, "otpCode": CODE, "text": format!("{QUERY} {{{{OTP}}}}"), "referenceId": QUERY});
        let otp = client.post_json("/v1/otp", &body).expect(200).json();
        let id = otp["otpId"].as_str().unwrap();
        gateway.server.code(NUMBER);
        let mut seen = Vec::new();
        let path = format!("/v1/otp/{id}/verify");
        // The owner's answer repeats his own number and reference; nothing else may.
        let own = |body: String| body.replace(NUMBER, "").replace(QUERY, "");
        seen.push(own(client.post_json(&path, &json!({"otpCode": "4444"})).body));
        seen.push(client.post_json(&path, &json!({"otpCode": CODE, "maxAge": "x"})).body);
        seen.push(
            client.post_json("/v1/otp", &json!({"number": format!("{NUMBER}x"), "otpCode": format!("{CODE}-")})).body,
        );
        seen.push(
            client
                .call("POST", "/v1/otp", &[("Content-Type", "application/json")], &format!("{{\"otpCode\":\"{CODE}\""))
                .body,
        );
        seen.push(client.call("POST", "/v1/otp", &[("Content-Type", "application/json")], &format!("\"{CODE}\"")).body);
        seen.push(own(client.post(&format!("/2fa/v1/otp/{id}/check?otpCode=4445&x={QUERY}")).body));
        seen.push(client.post(&format!("/2fa/v1/otp?number={}&otpCode={CODE}--&x={QUERY}", &NUMBER[1..])).body);
        seen.push(client.get(&format!("/v1/nowhere/{QUERY}?{QUERY}")).body);
        let access = gateway.create_key(&["--allow-simple"]);
        let mut simple = Signer::simple(gateway.server.public, &access);
        let own_words = json!({"to": NUMBER, "code": CODE, "intent": QUERY});
        seen.push(own(simple.call("otp.send", &own_words).expect(200).body));
        seen.push(own(simple
            .call("otp.verify", &json!({"to": NUMBER, "code": "4446", "intent": QUERY}))
            .expect(200)
            .body));
        seen.push(simple.call("otp.send", &json!({"to": NUMBER, "code": format!("{CODE}-"), "channel": QUERY})).body);
        let mut signer = Signer::signed(gateway.server.public, &access, Habit::Python);
        let signed = signer.path_with(&[("action", QUERY)]);
        seen.push(signer.client.post_json(&signed, &own_words).body);
        seen.push(signer.client.post_json(&signed, &own_words).body);
        for name in ["accessKeyId", "accessKeySecret"] {
            addresses.push(access[name].as_str().unwrap().to_owned());
        }
        addresses.extend(["nonce=", "signature="].map(|name| {
            let value = signed.split_once(name).unwrap().1;
            value.split('&').next().unwrap().to_owned()
        }));
        seen.push(Client::new(gateway.server.public, Some(&format!("{}x", gateway.key))).get("/v1/connection").body);
        client.post_json(&path, &json!({"otpCode": CODE})).expect(200);
        receiver.wait_for("VERIFIED");
        receiver
            .wait(|seen| seen.iter().filter(|one| one.line.contains("no") && one.event() == "VERIFIED").count() == 2);
        let bad = json!({"notificationUrl": format!("ftp://{QUERY}/"), "events": [QUERY], "applicationId": QUERY});
        seen.push(client.post_json("/v1/webhooks", &bad).expect(400).body);
        seen.push(client.delete(&format!("/v1/webhooks/{QUERY}")).expect(404).body);
        seen.push(client.delete(&addresses[0]).expect(204).body);
        seen.push(client.get(&addresses[2]).expect(405).body);
        for words in [["webhooks", "list"], ["webhooks", "dead"]] {
            let (code, stdout, stderr) = gateway.command(&words);
            assert_eq!(code, 0);
            seen.push(stdout + &stderr);
        }
        for (body, status) in [("{\"via\":\"SMS\"}", 409), ("{\"via\":\"SMS\"}", 409), ("{}", 422)] {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", IDEMPOTENCY_KEY)];
            seen.push(client.call("POST", &format!("/v1/otp/{id}/resend"), &headers, body).expect(status).body);
        }
        seen.push(gateway.server.admin_client().get("/metrics").expect(200).body);
        let (code, stdout, stderr) = gateway.command(&["key", "list"]);
        assert_eq!(code, 0);
        seen.push(stdout + &stderr);
        let key = gateway.key.clone();
        let log = gateway.server.stop();
        assert!(log.len() > 1_000, "the log was at trace level: {log}");
        let secret = &key[key.len() - 30..];
        let tokens = addresses.iter().map(|address| address.trim_start_matches("/v1/webhooks/"));
        let secrets = [NUMBER.trim_start_matches('+'), CODE, secret, QUERY, IDEMPOTENCY_KEY];
        for canary in secrets.into_iter().chain(tokens) {
            for (index, text) in seen.iter().enumerate() {
                assert!(!text.contains(canary), "{canary} in answer {index}: {text}");
            }
            let line = log.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{canary} in the log ({format})");
        }
    }
}
