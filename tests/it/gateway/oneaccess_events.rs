//! Event callbacks in OneAccess' form: the receiver is asked first, and every callback is signed and bears the token.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::webhooks::{NUMBER, PRIVATE, send, verify};
use crate::support::Gateway;
use crate::support::receiver::{Received, Receiver, Reply};

/// What a receiver of OneAccess does: gives the data of a question back, and takes the rest.
fn echo(received: &Received) -> Reply {
    let envelope = received.json();
    if envelope["eventType"] != "CHECK_URL" {
        return Reply::Status(200);
    }
    let body = json!({"code": "200", "message": "success", "data": envelope["data"]}).to_string();
    Reply::Raw(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn create(gateway: &Gateway, receiver: &Receiver, connection: &str) -> (i32, String, String) {
    create_with(gateway, receiver, connection, &[])
}

fn create_with(gateway: &Gateway, receiver: &Receiver, connection: &str, flags: &[&str]) -> (i32, String, String) {
    let (config, url) = (gateway.data().with_extension("toml"), receiver.url("/callback?a=b"));
    let words = ["webhooks", "create", "--format", "oneaccess", "--callback", &url, "--connection", connection];
    gateway.command(&[&words[..], &["--json", "--config", config.to_str().unwrap()], flags].concat())
}

/// Checks the envelope, and gives its type and its data.
fn checked(received: &Received, key: &str, token: &str) -> (String, String) {
    let envelope = received.json();
    let text = |name: &str| envelope[name].as_str().unwrap_or_else(|| panic!("{envelope}")).to_owned();
    let timestamp = envelope["timestamp"].as_u64().unwrap();
    let signed = format!("{}&{timestamp}&{}&{}", text("nonce"), text("eventType"), text("data"));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), signed.as_bytes());
    assert_eq!(text("signature"), STANDARD.encode(tag));
    assert_eq!(received.header("authorization"), format!("Bearer {token}"));
    assert!(received.line.starts_with("POST /callback?a=b "), "{}", received.line);
    assert_eq!(envelope.as_object().unwrap().len(), 5);
    (text("eventType"), text("data"))
}

#[test]
fn a_receiver_is_asked_and_then_told() {
    let gateway = Gateway::with(PRIVATE);
    let receiver = Receiver::with(echo);
    let connection = gateway.create_key(&[])["id"].as_str().unwrap().to_owned();
    let (code, stdout, stderr) = create(&gateway, &receiver, &connection);
    assert_eq!(code, 0, "{stderr}");
    let made: Value = serde_json::from_str(&stdout).unwrap();
    let (key, token) = (made["signatureKey"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!(checked(&receiver.seen()[0], key, token).0, "CHECK_URL");
    // The server that runs beside sees it within a second, and tells from then on.
    let mut client = gateway.client();
    let told = (0..300).find_map(|_| {
        let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "0042"}));
        verify(&mut client, &otp, "0042");
        std::thread::sleep(std::time::Duration::from_millis(30));
        let seen = receiver.seen();
        seen.iter().find(|one| one.json()["eventType"] == "VERIFIED").cloned()
    });
    let told = told.expect("it was told");
    let (event, data) = checked(&told, key, token);
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (event.as_str(), data["event"].as_str(), data["number"].as_str()),
        ("VERIFIED", Some("VERIFIED"), Some(NUMBER))
    );
    assert!(!told.body.contains("0042"), "no code in an event");
    // The same again is there already; what was shown once is not shown again.
    assert_eq!(create(&gateway, &receiver, &connection).0, 65);
    let (_, list, _) = gateway.command(&["webhooks", "list", "--json"]);
    assert!(list.contains("\"format\": \"oneaccess\"") && !list.contains(key) && !list.contains(token), "{list}");
    // One signature fits into an envelope: the old key signs nothing any more, and nothing else is said.
    let (code, rotated, _) = gateway.command(&["webhooks", "rotate", made["id"].as_str().unwrap(), "--json"]);
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    assert_eq!((code, rotated.as_object().unwrap().len()), (0, 2), "{rotated}");
    assert!(rotated["signatureKey"].as_str().is_some_and(|new| new != key), "{rotated}");
}

#[test]
fn a_receiver_that_checks_who_asks_is_given_the_token_first() {
    let gateway = Gateway::with(PRIVATE);
    let connection = gateway.create_key(&[])["id"].as_str().unwrap().to_owned();
    let receiver = Receiver::with(|_| Reply::Status(401));
    let (code, _, stderr) = create(&gateway, &receiver, &connection);
    assert!(code == 65 && stderr.contains("--unasked"), "{stderr}");
    let (code, stdout, stderr) = create_with(&gateway, &receiver, &connection, &["--unasked"]);
    assert_eq!(code, 0, "{stderr}");
    let made: Value = serde_json::from_str(&stdout).unwrap();
    let (key, token) = (made["signatureKey"].as_str().unwrap(), made["token"].as_str().unwrap().to_owned());
    let bearer = format!("Bearer {token}");
    receiver.change(move |asked| Reply::Status(if asked.header("authorization") == bearer { 200 } else { 401 }));
    let mut client = gateway.client();
    let told = (0..300).find_map(|_| {
        send(&mut client, &json!({"number": NUMBER}));
        std::thread::sleep(std::time::Duration::from_millis(30));
        receiver.seen().into_iter().find(|one| one.json()["eventType"] == "SENT")
    });
    assert_eq!(checked(&told.expect("it was told"), key, &token).0, "SENT");
}

#[test]
fn a_receiver_that_does_not_give_the_data_back_is_not_told() {
    let gateway = Gateway::with(PRIVATE);
    let connection = gateway.create_key(&[])["id"].as_str().unwrap().to_owned();
    let receiver = Receiver::with(|_| Reply::Status(200));
    let other = |_: &Received| {
        let body = r#"{"code":"200","message":"success","data":"another"}"#;
        Reply::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    for round in 0..3 {
        match round {
            0 => {}
            1 => receiver.change(|_| Reply::Status(500)),
            _ => receiver.change(other),
        }
        let (code, stdout, stderr) = create(&gateway, &receiver, &connection);
        assert_eq!((code, stdout.as_str()), (65, ""), "{stderr}");
        assert!(!stderr.contains("callback?a=b"), "{stderr}");
        // Also one that answers 200 may have refused the signature.
        assert!(stderr.contains("--unasked"), "{stderr}");
    }
    assert_eq!(create(&gateway, &receiver, "con_0000000000000000").0, 65);
    let (_, list, _) = gateway.command(&["webhooks", "list", "--json"]);
    assert_eq!(list.trim(), "[]");
}
