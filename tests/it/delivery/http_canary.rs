//! Carriers and their receipts leave nothing in a log at trace level, an answer or a metric that must not be seen there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::http::{gateway, send, wait_for};
use crate::support::carrier::{Carrier, Conduct, number as submitted};

const SECRET: &str = "quokka-5518";
const CODE: &str = "83917465";
const TEXT: &str = "zebrafinch";
const NUMBERS: [&str; 6] =
    ["+4915198765431", "+4915198765432", "+4915198765433", "+4915198765434", "+4915198765435", "+4915198765436"];

#[test]
fn a_carrier_s_secrets_and_what_it_echoes_are_seen_nowhere() {
    for format in ["fmt", "json"] {
        // It repeats the whole request in its answers, as some do.
        let carrier = Arc::new(Carrier::start(|request, count| {
            let echo = format!("{} {} {:?}", request.line, request.body, request.headers);
            (201, json!({"sid": format!("SM{count}"), "status": "queued", "echo": echo}).to_string())
        }));
        let echo = json!({"code": NUMBERS[1].trim_start_matches('+'), "message": format!("{CODE} {SECRET} {TEXT}")});
        carrier.treat(&NUMBERS[1][1..], Conduct::Answer(400, echo.to_string()));
        carrier.treat(&NUMBERS[2][1..], Conduct::Answer(400, json!({"code": CODE}).to_string()));
        carrier.treat(&NUMBERS[3][1..], Conduct::Answer(500, format!("{CODE} {TEXT}")));
        carrier.treat(&NUMBERS[4][1..], Conduct::Redirect(format!("http://127.0.0.1:9/{TEXT}")));
        carrier.treat(&NUMBERS[5][1..], Conduct::Reset);
        let lines = format!(
            "preset = \"twilio\"\nurl = \"{}\"\n[delivery.providers.http.credentials]\naccount = \"{SECRET}\"\n\
             token = \"${{env:TWILIO_TOKEN}}\"\n[log]\nlevel = \"trace\"\nformat = \"{format}\"\n",
            carrier.url("")
        );
        let gateway = gateway(&lines, &[("TWILIO_TOKEN", &format!("t-{SECRET}"))]);
        let mut seen = Vec::new();
        for number in NUMBERS {
            let otp = send(
                &gateway,
                &json!({"number": number, "otpCode": CODE, "text": format!("{TEXT} {{{{OTP}}}}"), "via": "SMS"}),
            );
            // What becomes of an unknown outcome is not this test's.
            carrier.wait(|seen| seen.iter().filter_map(submitted).any(|to| to == number[1..]));
            match NUMBERS.iter().position(|known| *known == number) {
                Some(0) => wait_for(&gateway, &otp, "SENT"),
                Some(1 | 2) => wait_for(&gateway, &otp, "UNDELIVERABLE"),
                _ => {}
            }
            let mut client = gateway.client();
            let own = |body: String| body.replace(number, "").replace(number.trim_start_matches('+'), "");
            seen.push(own(client.get(&format!("/v1/otp/{otp}")).expect(200).body));
            seen.push(own(client.get(&format!("/2fa/v1/otp/{otp}/events")).expect(200).body));
        }
        let sent = carrier.seen();
        let tickets: Vec<_> = sent.iter().map(|request| ticket(&request.body)).collect();
        // Their addresses are called, rightly and wrongly: neither the ticket nor what was guessed is seen.
        let mut nobody = crate::support::Client::new(gateway.server.public, None);
        for token in [&tickets[0], &format!("{}A", tickets[0]), &TEXT.to_owned()] {
            let path = format!("/v1/receipts/carrier/{token}?x={TEXT}");
            let body = format!("MessageSid=SM1&MessageStatus=delivered&To={}", &NUMBERS[0][1..]);
            seen.push(nobody.call("POST", &path, &[], &body).body);
        }
        seen.push(gateway.server.admin_client().get("/metrics").expect(200).body);
        let log = gateway.server.stop();
        assert!(log.len() > 1_000 && log.contains("carrier"), "the log was at trace level: {log}");
        let basic = STANDARD.encode(format!("{SECRET}:t-{SECRET}"));
        let numbers = NUMBERS.map(|number| number.trim_start_matches('+').to_owned());
        let canaries = [SECRET.to_owned(), CODE.to_owned(), TEXT.to_owned(), basic];
        for canary in canaries.into_iter().chain(numbers).chain(tickets) {
            for (index, text) in seen.iter().enumerate() {
                assert!(!text.contains(&canary), "{canary} in answer {index}: {text}");
            }
            let line = log.lines().find(|line| line.contains(&canary));
            assert_eq!(line, None, "{canary} in the log ({format})");
        }
    }
}

/// The ticket of a submission, out of the address that it gives for receipts.
fn ticket(body: &str) -> String {
    let (_, after) = body.split_once("receipts%2Fcarrier%2F").unwrap();
    after[..50].to_owned()
}
