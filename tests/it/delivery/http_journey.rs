//! A message's whole way through the built binary: submitted over HTTP, reported over HTTP, told to whoever asks.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::http::{gateway, send, wait_for};
use crate::support::carrier::{Carrier, form};
use crate::support::{Answer, Client, Gateway};

const PUBLIC: &str = "https://otp.example.com";

/// Posts to the path of a receipt address, as Twilio signs it with this token.
fn report(gateway: &Gateway, address: &str, body: &str, token: &str) -> Answer {
    let mut pairs = form(body);
    pairs.sort();
    let content = pairs.iter().fold(address.to_owned(), |all, (name, value)| all + name + value);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes()), content.as_bytes());
    let path = address.strip_prefix(PUBLIC).unwrap();
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("X-Twilio-Signature", &*STANDARD.encode(tag))];
    Client::new(gateway.server.public, None).call("POST", path, &headers, body)
}

#[test]
fn a_receipt_by_ticket_ends_a_message_s_way() {
    let carrier =
        Carrier::start(|_, count| (201, json!({"sid": format!("SM{count}"), "status": "queued"}).to_string()));
    let lines = format!(
        "preset = \"twilio\"\nurl = \"{}\"\nhttp = {{ credentials = {{ account = \"AC1\", token = \"tok\" }} }}\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[]);
    let submit = |count: usize| {
        let otp = send(&gateway, &json!({"via": "SMS", "sender": "Shop"}));
        let request = carrier.wait(|seen| seen.len() == count)[count - 1].clone();
        wait_for(&gateway, &otp, "SENT");
        let callback = form(&request.body).into_iter().find(|(name, _)| name == "StatusCallback").unwrap().1;
        (otp, callback)
    };
    let (delivered, address) = submit(1);
    report(&gateway, &address, "MessageSid=SM1&MessageStatus=sent", "tok").expect(200);
    report(&gateway, &address, "MessageSid=SM1&MessageStatus=delivered", "kot").expect(403);
    wait_for(&gateway, &delivered, "SENT");
    report(&gateway, &address, "MessageSid=SM1&MessageStatus=delivered", "tok").expect(200);
    wait_for(&gateway, &delivered, "DELIVERED");
    // Again, and contradicted: what is final stays.
    report(&gateway, &address, "MessageSid=SM1&MessageStatus=delivered", "tok").expect(200);
    report(&gateway, &address, "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003", "tok").expect(200);
    wait_for(&gateway, &delivered, "DELIVERED");

    let (failed, other) = submit(2);
    assert_ne!(address, other);
    report(&gateway, &other, "MessageSid=SM2&MessageStatus=undelivered&ErrorCode=30003", "tok").expect(200);
    wait_for(&gateway, &failed, "UNDELIVERABLE");
    let events = gateway.client().get(&format!("/2fa/v1/otp/{failed}/events")).expect(200).body;
    assert!(events.contains("undelivered, 30003"), "{events}");
    // A byte of the ticket, and nobody's it is.
    let forged = format!("{}{}", &other[..other.len() - 1], if other.ends_with('A') { 'B' } else { 'A' });
    report(&gateway, &forged, "MessageSid=SM2&MessageStatus=delivered", "tok").expect(404);
    let metrics = gateway.server.admin_client().get("/metrics").expect(200).body;
    assert!(metrics.contains("/v1/receipts/{provider}/{token}"), "the template, not the address: {metrics}");
    gateway.server.stop();
}

#[test]
fn a_receipt_by_the_carrier_s_own_id_does_too() {
    let carrier = Carrier::start(|_, count| {
        (200, json!({"code": "0", "data": {"messages": [{"id": format!("id{count}")}]}}).to_string())
    });
    let lines = format!(
        "preset = \"unimatrix\"\nurl = \"{}\"\nhttp = {{ credentials = {{ access_key_id = \"a\" }} }}\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[]);
    let config = gateway.data().with_extension("toml");
    let (_, listed, _) = gateway.command(&["provider", "list", "--config", config.to_str().unwrap()]);
    let address = listed.split_whitespace().last().unwrap().strip_prefix(PUBLIC).unwrap();
    let mut nobody = Client::new(gateway.server.public, None);
    // The second message's receipt comes before the carrier has seen it.
    nobody.post_json(address, &json!({"id": "id2", "status": "delivered"})).expect(200);
    let first = send(&gateway, &json!({"via": "SMS"}));
    wait_for(&gateway, &first, "SENT");
    let second = send(&gateway, &json!({"via": "SMS"}));
    wait_for(&gateway, &second, "DELIVERED");
    nobody.post_json(address, &json!({"id": "id1", "status": "undelivered", "errorCode": "107"})).expect(200);
    wait_for(&gateway, &first, "UNDELIVERABLE");
    nobody.post_json(&format!("{address}x"), &json!({"id": "id1", "status": "delivered"})).expect(404);
    gateway.server.stop();
}
