//! A code that confirms a payment: shown in the message, bound to the code, demanded again.

use serde_json::{Value, json};

use super::webhooks::NUMBER;
use crate::support::Gateway;

fn payment(amount: &str, currency: &str, payee: &str) -> Value {
    json!({"amount": amount, "currency": currency, "payee": payee})
}

#[test]
fn a_code_for_a_payment_verifies_that_payment_alone() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let context = payment("12.50", "EUR", "Example Shop");
    let body = json!({"number": NUMBER, "otpCode": "012345", "context": context});
    let sent = client.post_json("/v1/otp", &body).expect(200).json();
    let text = gateway.server.message(NUMBER, |_| true)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("012345") && text.ends_with("\n12.50 EUR, Example Shop"), "{text}");
    assert!(!sent.to_string().contains("Example"), "who pays whom is in no answer");

    let path = format!("/v1/otp/{}/verify", sent["otpId"].as_str().unwrap());
    let missing = client.post_json(&path, &json!({"otpCode": "012345"})).expect(400).json();
    assert_eq!(missing["errors"][0]["pointer"], "/context", "{missing}");
    for other in [payment("12.51", "EUR", "Example Shop"), payment("12.50", "EUR", "Another Shop")] {
        let wrong = client.post_json(&path, &json!({"otpCode": "012345", "context": other})).expect(200).json();
        assert_eq!((&wrong["verified"], &wrong["otpStatus"]), (&json!(false), &json!("ACTIVE")), "{wrong}");
    }
    let right = json!({"otpCode": "012345", "context": payment("12.5", "eur", "Example Shop")});
    let right = client.post_json(&path, &right).expect(200).json();
    assert_eq!((&right["verified"], &right["attemptCount"]), (&json!(true), &json!(3)), "{right}");
}

#[test]
fn a_resend_and_a_call_name_the_payment_too() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let template = "{{PAYEE}}: {{AMOUNT}}? {{OTP}}";
    let own = json!({"number": NUMBER, "text": template, "context": payment("7", "CHF", "Bäckerei")});
    let sent = client.post_json("/v1/otp", &own).expect(200).json();
    let text = gateway.server.message(NUMBER, |_| true)["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Bäckerei: 7 CHF? ") && !text.contains('\n'), "what it says is not said twice: {text}");
    let path = format!("/v1/otp/{}/resend", sent["otpId"].as_str().unwrap());
    client.post_json(&path, &json!({"via": "VOICE"})).expect(200);
    let call = gateway.server.message(NUMBER, |message| message["channel"] == "VOICE");
    assert!(call["text"].as_str().unwrap().starts_with("Bäckerei: 7 CHF? "), "{call}");
}

#[test]
fn what_is_wrong_with_a_payment_is_named_and_dialects_without_one_say_so() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (context, pointer) in [
        (json!("12.50 EUR"), "/context"),
        (json!({"currency": "EUR", "payee": "a"}), "/context/amount"),
        (payment("12,50", "EUR", "a"), "/context/amount"),
        (payment("1", "EURO", "a"), "/context/currency"),
        (payment("1", "EUR", "a\nb"), "/context/payee"),
        (json!({"amount": 1, "currency": "EUR", "payee": "a"}), "/context/amount"),
        (json!({"amount": "1", "currency": "EUR", "payee": "a", "x": 1}), "/context/x"),
    ] {
        let body = json!({"number": NUMBER, "context": context});
        let refused = client.post_json("/v1/otp", &body).expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    let needs = json!({"number": NUMBER, "text": "{{AMOUNT}} {{OTP}}"});
    let refused = client.post_json("/v1/otp", &needs).expect(400).json();
    assert_eq!(refused["errors"][0]["pointer"], "/context", "{refused}");

    let bound = json!({"number": NUMBER, "otpCode": "012345", "context": payment("1", "EUR", "a")});
    let bound = client.post_json("/v1/otp", &bound).expect(200).json()["otpId"].as_str().unwrap().to_owned();
    let foreign = client.post(&format!("/2fa/v1/otp/{bound}/check?otpCode=012345")).expect(400).json();
    assert_eq!(foreign["code"], "1308", "{foreign}");
    let free = json!({"number": NUMBER, "otpCode": "012345"});
    let free = client.post_json("/v1/otp", &free).expect(200).json()["otpId"].as_str().unwrap().to_owned();
    let named = json!({"otpCode": "012345", "context": payment("1", "EUR", "a")});
    let refused = client.post_json(&format!("/v1/otp/{free}/verify"), &named).expect(400).json();
    assert_eq!(refused["errors"][0]["pointer"], "/context", "{refused}");
}
