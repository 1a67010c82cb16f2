//! Whatever a text, a code or a sender holds, it stays in its place: read back by parsers of others' making, it is what it was.

use std::collections::BTreeMap;
use std::time::Duration;

use otpgate::carrier::authentication::Moment;
use otpgate::carrier::compile::{Carrier, Given, compile};
use otpgate::carrier::request::{ReceiptAddresses, Request};
use otpgate::clock::UnixMillis;
use otpgate::delivery::provider::Outgoing;
use otpgate::delivery::receipt::Ticket;
use otpgate::otp::application::Sender;
use otpgate::otp::channel::Channel;
use otpgate::otp::code::Code;
use otpgate::otp::id::OtpId;
use otpgate::otp::outbox::MessageId;
use otpgate::secret::{Keyring, Secret, SystemEntropy};
use proptest::prelude::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::carrier::form;

/// A carrier described by these lines.
fn carrier(lines: &str) -> Carrier {
    let own = toml::from_str(&format!("[sms]\n{lines}")).unwrap();
    let credentials = BTreeMap::from([("key".to_owned(), Secret::new("k&\"<{{text}}".to_owned()))]);
    compile(Given { preset: None, url: Some("https://h/p?q={{text}}&to={{number}}"), own, credentials, channels: None })
        .unwrap()
}

fn write(carrier: &Carrier, text: &str, sender: Option<&str>) -> Request {
    write_to(carrier, text, sender, "https://o/r?a=b&c=\"")
}

fn write_to(carrier: &Carrier, text: &str, sender: Option<&str>, receipts: &str) -> Request {
    let id = MessageId { otp: OtpId::from_bytes([7; 16]), number: 1 };
    let message = Outgoing {
        id,
        ticket: Ticket::new(&Keyring::generate(&SystemEntropy), id, 1),
        number: "+4915112345678".to_owned().try_into().unwrap(),
        channel: Channel::Sms,
        sender: sender.map(|sender| Sender::parse(sender).unwrap()),
        caller: None,
        language: "en".parse().unwrap(),
        text: Zeroizing::new(text.to_owned()),
        code: Code::parse_own("904217").unwrap(),
        life: Duration::from_secs(300),
    };
    let addresses = ReceiptAddresses { own: receipts.to_owned(), shared: String::new() };
    carrier.request(&message, addresses, &Moment { now: UnixMillis(0), entropy: &SystemEntropy }).unwrap()
}

fn body(request: &Request) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

/// What an XML reader would make of it: the text of one element, its references resolved.
fn read_xml(text: &str) -> String {
    let inside = text.strip_prefix("<a b=\"").unwrap();
    let (attribute, rest) = inside.split_once("\">").unwrap();
    let content = rest.strip_suffix("</a>").unwrap();
    let resolve = |text: &str| {
        assert!(!text.contains(['<', '>', '"', '\'']), "{text}");
        let whole = text
            .split('&')
            .skip(1)
            .all(|reference| ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|known| reference.starts_with(known)));
        assert!(whole, "{text}");
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
        text.replace("&amp;", "&")
    };
    assert_eq!(resolve(attribute), resolve(content));
    resolve(content)
}

/// Any text, and often what means something to one of the places.
fn texts() -> impl Strategy<Value = String> {
    let telling = prop::sample::select(vec![
        "\"",
        "'",
        "&",
        "<",
        ">",
        "]]>",
        "\\",
        "\n",
        "\r\n",
        "\0",
        "{{text}}",
        "{{",
        "}}",
        "${env:HOME}",
        "%41",
        "%",
        "+",
        "=",
        "#",
        "?",
        "/",
        "\",\"x\":\"",
        "&to=",
        "</Say>",
        "é",
        "🙂",
        "\u{2028}",
        " ",
        ";",
        "<!--",
    ]);
    prop::collection::vec(prop_oneof![telling.prop_map(str::to_owned), any::<String>()], 0..8)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_stays_in_its_place(text in texts()) {
        let described = carrier("json = '{\"a\": \"x{{text}}y\", \"b\": [\"{{text}}\"], \"c\": \"{{key}}\", \"d\": \"{{receipt}}\"}'");
        let request = write(&described, &text, None);
        let expected = json!({"a": format!("x{text}y"), "b": [text], "c": "k&\"<{{text}}", "d": "https://o/r?a=b&c=\""});
        prop_assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), expected);
        let target = request.uri.path_and_query().unwrap().as_str();
        let read = form(&target.strip_prefix("/p?").unwrap().replace('+', "%2B"));
        prop_assert_eq!(read, vec![("q".to_owned(), text.clone()), ("to".to_owned(), "+4915112345678".to_owned())]);
        prop_assert_eq!(request.uri.host(), Some("h"));

        let request = write(&carrier("form = { a = \"x{{text}}y\", b = \"{{key}}\", \"c&d\" = \"{{text|xml}}\" }"), &text, None);
        let read = form(body(&request));
        prop_assert_eq!(&read[0], &("a".to_owned(), format!("x{text}y")));
        prop_assert_eq!(&read[1], &("b".to_owned(), "k&\"<{{text}}".to_owned()));
        prop_assert_eq!(read.len(), 3);
        prop_assert_eq!(&read[2].0, "c&d");

        let request = write(&carrier("xml = '<a b=\"{{text}}\">{{text}}</a>'"), &text, None);
        // XML 1.0 has no form for some characters: they are left out.
        let legal = |letter: &char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        prop_assert_eq!(read_xml(body(&request)), text.chars().filter(legal).collect::<String>());
        let request = write(&carrier("text = \"{{text}}\""), &text, None);
        prop_assert_eq!(body(&request), text);
    }
}

#[test]
fn a_sender_stays_in_its_place() {
    for sender in ["A & B", "a+b", "-._&+ x", "+4915112345678"] {
        let described = carrier(
            "headers = { X-From = \"{{sender}}\" }\nform = { from = \"{{sender|digits}}\", none = \"{{caller}}\" }",
        );
        let request = write(&described, "t", Some(sender));
        let digits = sender.strip_prefix("+").unwrap_or(sender);
        assert_eq!(form(body(&request)), [("from".to_owned(), digits.to_owned())]);
        let header = request.headers.iter().find(|(name, _)| name == "x-from").unwrap();
        assert_eq!(header.1, sender);
        assert!(header.1.is_sensitive());
    }
}

/// Vonage's SMS API takes addresses of 100 characters: a longer one is left out, and the ticket travels as the reference.
#[test]
fn an_address_that_a_carrier_cannot_take_is_left_out() {
    let credentials = ["api_key", "api_secret"].map(|name| (name.to_owned(), Secret::new("x".to_owned())));
    let given = Given {
        preset: Some("vonage"),
        credentials: credentials.into_iter().collect(),
        channels: Some(&[Channel::Sms]),
        ..Given::default()
    };
    let carrier = compile(given).unwrap();
    for (length, sent) in [(100, true), (101, false)] {
        let request = write_to(&carrier, "t", None, &"u".repeat(length));
        let pairs = form(body(&request));
        assert_eq!(pairs.iter().any(|(name, _)| name == "callback"), sent);
        assert!(pairs.iter().any(|(name, value)| name == "client-ref" && value.len() == 50));
    }
}

/// A placeholder within an array that has no value leaves no comma behind, wherever it stands.
#[test]
fn what_has_no_value_is_left_out_cleanly() {
    let none = "\"{{caller}}\"";
    for (written, sent) in [
        (format!("[{none}]"), "[]"),
        (format!("[{none}, 1]"), "[1]"),
        (format!("[1, {none}]"), "[1]"),
        (format!("[1, {none}, 2]"), "[1,2]"),
        (format!("[[{none}], {none}, {{\"a\": {none}}}]"), "[[],{}]"),
        (format!("{{\"a\": {none}, \"b\": 1}}"), "{\"b\":1}"),
        (format!("{{\"a\": 1, \"b\": {none}}}"), "{\"a\":1}"),
        ("\"x{{caller}}y\"".to_owned(), "\"xy\""),
        (none.to_owned(), ""),
    ] {
        assert_eq!(body(&write(&carrier(&format!("json = '{written}'")), "t", None)), sent, "{written}");
    }
}
