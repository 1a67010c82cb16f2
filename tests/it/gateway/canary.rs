//! Codes, keys, numbers, query strings and capability addresses appear in no log at trace level, no error and no metric.

use serde_json::json;

use crate::support::{Client, Gateway, Options};

const NUMBER: &str = "+4915198765432";
const CODE: &str = "83917465";
const QUERY: &str = "zebrafinch";
const IDEMPOTENCY_KEY: &str = "quagga-20881";

#[test]
fn nothing_that_must_not_be_seen_is_seen() {
    for format in ["fmt", "json"] {
        let options = Options {
            config: format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"\n[server]\nidle = \"1s\"\n"),
            ..Options::default()
        };
        let gateway = Gateway::with_options(&options);
        let mut client = gateway.client();
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
        seen.push(Client::new(gateway.server.public, Some(&format!("{}x", gateway.key))).get("/v1/connection").body);
        client.post_json(&path, &json!({"otpCode": CODE})).expect(200);
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
        for canary in [NUMBER.trim_start_matches('+'), CODE, secret, QUERY, IDEMPOTENCY_KEY] {
            for (index, text) in seen.iter().enumerate() {
                assert!(!text.contains(canary), "{canary} in answer {index}: {text}");
            }
            let line = log.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{canary} in the log ({format})");
        }
    }
}
