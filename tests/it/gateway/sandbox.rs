//! The sandbox: numbers with a fixed outcome, and the page that shows messages as a phone would.

use std::time::Duration;

use serde_json::{Value, json};

use super::webhooks::send;
use crate::support::{Client, Gateway};

/// Where delivery of the newest message stands, and what happened, oldest first.
fn journey(client: &mut Client, otp: &str) -> (String, Vec<String>) {
    let status = client.get(&format!("/v1/otp/{otp}")).expect(200).json()["deliveryStatus"].clone();
    let events = client.get(&format!("/2fa/v1/otp/{otp}/events")).expect(200).json();
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    (status.as_str().unwrap().to_owned(), events.as_array().unwrap().iter().map(kind).collect())
}

/// As [`journey`], once it is as long as `expected` and stands there.
fn arrives(gateway: &Gateway, otp: &str, status: &str, expected: &[&str]) {
    let mut client = gateway.client();
    let mut seen = journey(&mut client, otp);
    for _ in 0..1_500 {
        if seen.0 == status && seen.1.len() >= expected.len() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        seen = journey(&mut client, otp);
    }
    assert_eq!((seen.0.as_str(), seen.1.iter().map(String::as_str).collect::<Vec<_>>()), (status, expected.to_vec()));
}

const ASKED: &str = "DELIVER_OTP_REQ";
const SUCCESS: &str = "DELIVER_OTP_RES_SUCCESS";

#[test]
fn every_test_number_does_what_is_written_of_it() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let mut sent = |number: &str| send(&mut client, &json!({"number": number}));
    let (other, lost, slow) = (sent("+12025550100"), sent("+12025550101"), sent("+12025550102"));
    let (refused, unknown, silent) = (sent("+12025550103"), sent("+12025550104"), sent("+12025550105"));

    arrives(&gateway, &other, "DELIVERED", &[ASKED, SUCCESS]);
    arrives(&gateway, &slow, "SENT", &[ASKED, SUCCESS]);
    arrives(&gateway, &refused, "UNDELIVERABLE", &[ASKED, "DELIVER_OTP_RES_FAIL"]);
    arrives(&gateway, &unknown, "QUEUED", &[ASKED, "DELIVER_OTP_RES_UNKNOWN"]);
    arrives(&gateway, &silent, "SENT", &[ASKED, SUCCESS]);
    // It is SENT for a second only, which its history keeps.
    arrives(&gateway, &lost, "UNDELIVERABLE", &[ASKED, SUCCESS, "DELIVER_OTP_RES_FAIL"]);
    // When the slow one has arrived, whatever was still to come of the others had its time.
    arrives(&gateway, &slow, "DELIVERED", &[ASKED, SUCCESS, SUCCESS]);
    arrives(&gateway, &unknown, "QUEUED", &[ASKED, "DELIVER_OTP_RES_UNKNOWN"]);
    arrives(&gateway, &silent, "SENT", &[ASKED, SUCCESS]);

    let shown = gateway.server.admin_client().get("/sandbox/messages").expect(200).json();
    let mut numbers: Vec<_> = shown.as_array().unwrap().iter().map(|one| one["number"].as_str().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        ["+12025550100", "+12025550101", "+12025550102", "+12025550104", "+12025550105"],
        "what was refused reached nobody"
    );
    let page = gateway.server.admin_client().get("/").expect(200).body;
    for (meaning, times) in [
        ("sent, then reported undeliverable", 2),
        ("sent, and delivered ten seconds later", 2),
        ("refused: undeliverable", 1),
        ("stays queued", 2),
        ("sent, and never heard of again", 2),
    ] {
        // Once in the list of numbers, once with the message.
        assert_eq!(page.matches(meaning).count(), times, "{meaning}: {page}");
    }
    for (number, otp) in [("+12025550102", &slow), ("+12025550104", &unknown), ("+12025550105", &silent)] {
        let code = gateway.server.code(number);
        let verdict = client.post_json(&format!("/v1/otp/{otp}/verify"), &json!({"otpCode": code})).expect(200).json();
        assert_eq!(verdict["verified"], true, "{number}: {verdict}");
    }
}

#[test]
fn a_message_is_shown_as_a_phone_would_show_it() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let text = "Ваш код {{OTP}}";
    let body = json!({"number": "+4915112345678", "text": text, "otpCode": "012345", "sender": "Shop & Co"});
    let sms = send(&mut client, &body);
    let call =
        json!({"number": "+493012345678", "via": "VOICE", "otpCode": "9087", "caller": "+493000000", "language": "de"});
    send(&mut client, &call);
    let message = gateway.server.message("+4915112345678", |_| true);
    assert_eq!(message.as_object().unwrap().len(), 10, "{message}");
    for (name, value) in [
        ("otpId", json!(sms)),
        ("number", json!("+4915112345678")),
        ("channel", json!("SMS")),
        ("sender", json!("Shop & Co")),
        ("text", json!("Ваш код 012345")),
        ("code", json!("012345")),
        ("alphabet", json!("UCS-2")),
        ("units", json!(14)),
        ("segments", json!(1)),
    ] {
        assert_eq!(message[name], value, "{message}");
    }
    let spoken = gateway.server.message("+493012345678", |_| true);
    assert_eq!((&spoken["caller"], &spoken["channel"]), (&json!("+493000000"), &json!("VOICE")));
    assert!(spoken.get("segments").is_none(), "a call has none: {spoken}");

    let page = gateway.server.admin_client().get("/").expect(200).body;
    for part in [
        "SMS from <b><bdi>Shop &#38; Co</bdi></b>",
        ">Ваш код 012345</div>",
        "1 segment, 14 units of UCS-2",
        "Call from <b><bdi>+493000000</bdi></b>",
        "<p class=\"spoken\" lang=\"de\"",
        ">012345</code>",
        ">9087</code>",
        message["createdAt"].as_str().unwrap(),
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains(spoken["text"].as_str().unwrap()), "{page}");
}

#[test]
fn markup_in_a_message_stays_text_and_the_page_asks_nobody_else() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let hostile = "</div><script>alert(1)</script><img src=x onerror=\"alert(2)\">'{{ x }}'\u{202e}";
    let brand = json!({"brand": "<b onclick=a>&amp;"});
    let headers = [("Content-Type", "application/json")];
    client.call("PATCH", "/v1/applications/default", &headers, &brand.to_string()).expect(200);
    for via in ["SMS", "VOICE"] {
        let body =
            json!({"number": "+4915112345678", "via": via, "text": format!("{hostile} {{{{BRAND}}}} {{{{OTP}}}}")});
        let refused = client.post_json("/v1/otp", &body).expect(400).json();
        assert!(refused["errors"][0]["detail"].is_string(), "an unknown placeholder is no text: {refused}");
        let text = format!("{} {{{{BRAND}}}} {{{{OTP}}}}", hostile.replace("{{ x }}", "{ x }"));
        send(&mut client, &json!({"number": "+4915112345678", "via": via, "text": text}));
        gateway.server.message("+4915112345678", |message| message["channel"] == via);
    }
    let answer = gateway.server.admin_client().get("/").expect(200);
    let page = &answer.body;
    for raw in ["<script", "<img", "onclick=a>", "onerror=\"", "http://", "https://", "//cdn", "url(", "@import"] {
        assert!(!page.contains(raw), "{raw}: {page}");
    }
    assert_eq!(page.matches("&#60;script&#62;alert(1)").count(), 2, "{page}");
    assert_eq!(page.matches("&#60;b onclick=a&#62;&#38;amp;").count(), 2, "{page}");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
}

#[test]
fn without_a_receipt_a_call_follows_where_the_caller_left_the_choice_and_a_doubt_is_repeated_once() {
    let gateway = Gateway::with("[delivery]\nreceipt_within = \"300ms\"\nsecond_channel = \"VOICE\"\n");
    let mut client = gateway.client();
    let silent = send(&mut client, &json!({"number": "+12025550105"}));
    let chosen = send(&mut client, &json!({"number": "+12025550104", "via": "SMS"}));
    arrives(&gateway, &silent, "SENT", &[ASKED, SUCCESS, ASKED, SUCCESS]);
    let call = gateway.server.message("+12025550105", |message| message["channel"] == "VOICE");
    let codes = gateway.server.admin_client().get("/sandbox/messages?number=%2B12025550105").json();
    assert!(codes.as_array().unwrap().iter().all(|one| one["code"] == call["code"]), "one code: {codes}");

    arrives(&gateway, &chosen, "QUEUED", &[ASKED, "DELIVER_OTP_RES_UNKNOWN", "DELIVER_OTP_RES_UNKNOWN"]);
    std::thread::sleep(Duration::from_secs(1));
    let unread = gateway.server.admin_client().get("/sandbox/messages?number=%ff").expect(400).json();
    assert_eq!(unread["message"], "number must be UTF-8, percent-encoded", "not everybody's messages instead");
    let shown = gateway.server.admin_client().get("/sandbox/messages?number=%2B12025550104").json();
    let channels: Vec<_> = shown.as_array().unwrap().iter().map(|one| one["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["SMS", "SMS"], "twice at most, and no call for who chose SMS");
}

/// A page whose name was made to lead to the loopback asks as its own origin (DNS rebinding); others ask across sites.
#[test]
fn without_a_token_no_web_page_sees_the_messages() {
    let gateway = Gateway::start();
    let port = gateway.server.admin.port();
    let asks = |headers: &[(&str, &str)]| {
        ["/", "/metrics", "/sandbox/messages"]
            .map(|path| gateway.server.admin_client().call("GET", path, headers, "").status)
    };
    let (by_name, by_address) = (format!("evil.example:{port}"), format!("127.0.0.1:{port}"));
    for (headers, seen) in [
        (vec![("Host", by_name.as_str()), ("Sec-Fetch-Site", "same-origin")], false),
        (vec![("Host", "evil.example")], false),
        (vec![("Host", "127.0.0.1.evil.example")], false),
        (vec![("Host", by_address.as_str()), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], false),
        (vec![("Host", by_address.as_str()), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")], false),
        (vec![("Host", by_address.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")], true),
        (vec![("Host", "LocalHost:1"), ("Sec-Fetch-Site", "none")], true),
        (vec![("Host", "[::1]:8081")], true),
        (
            vec![
                ("Host", by_address.as_str()),
                ("Sec-Fetch-Site", "cross-site"),
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Dest", "document"),
            ],
            true,
        ),
    ] {
        assert_eq!(asks(&headers), [if seen { 200 } else { 403 }; 3], "{headers:?}");
    }
    let said = gateway.server.admin_client().call("GET", "/", &[("Host", "evil.example")], "").expect(403).body;
    assert!(said.contains("http://127.0.0.1:8081/") && said.contains("admin_token"), "{said}");
}
