//! What events say, how they are signed, and to whom they may go.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::webhooks::{NUMBER, PRIVATE, send, subscribe, verify};
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::{Gateway, Options, Server};

/// The sandbox' number that no message reaches.
const UNREACHABLE: &str = "+12025550101";

#[test]
fn every_kind_of_event_is_told_flat_and_signed() {
    let only_text = "[[delivery.providers]]\nname = \"texts\"\ntype = \"sandbox\"\nchannels = [\"SMS\"]\n";
    let gateway = Gateway::with(&format!("{PRIVATE}{only_text}"));
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let secret = subscribe(&mut client, &json!({"notificationUrl": receiver.url("/")})).json()["signingSecret"].clone();
    let short = client.post_json("/v1/applications", &json!({"name": "Short", "expire": 30})).expect(200).json();
    let expiring = send(&mut client, &json!({"number": NUMBER, "applicationId": short["applicationId"]}));

    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "0042", "referenceId": "order 7"}));
    receiver.wait(|seen| seen.iter().filter(|one| one.event() == "DELIVERED").count() == 2);
    verify(&mut client, &otp, "9999");
    verify(&mut client, &otp, "0042");
    client.delete(&format!("/v1/otp/{otp}")).expect(200);
    let locked = send(&mut client, &json!({"number": NUMBER, "otpCode": "0042"}));
    receiver.wait(|seen| seen.iter().filter(|one| one.event() == "DELIVERED").count() == 3);
    for _ in 0..3 {
        verify(&mut client, &locked, "1");
    }
    let lost = send(&mut client, &json!({"number": UNREACHABLE}));
    let refused = client.post_json("/v1/otp", &json!({"number": NUMBER, "via": "VOICE"})).expect(403).json();
    assert_eq!(refused["code"], "channel_not_offered", "said at once, and to nobody else");
    let of = |seen: &[Received], otp: &str| -> Vec<String> {
        seen.iter().filter(|one| one.json()["otpId"] == otp).map(Received::event).collect()
    };
    let seen = receiver.wait(|seen| {
        of(seen, &expiring).len() == 3
            && of(seen, &otp).len() == 5
            && of(seen, &locked).len() == 6
            && of(seen, &lost).len() == 2
    });
    assert_eq!(of(&seen, &otp), ["SENT", "DELIVERED", "WRONG_CODE", "VERIFIED", "DELETED"], "in their order");
    assert_eq!(of(&seen, &expiring), ["SENT", "DELIVERED", "EXPIRED"]);
    assert_eq!(of(&seen, &lost), ["SENT", "UNDELIVERABLE"]);
    let mut kinds = of(&seen, &locked);
    assert_eq!(kinds.pop().as_deref(), Some("TOO_MANY_ATTEMPTS"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "WRONG_CODE").count(), 3);

    let ids: BTreeSet<_> = seen.iter().map(Received::id).collect();
    assert_eq!(ids.len(), seen.len(), "each event has an id of its own");
    for one in &seen {
        let event = one.json();
        assert_eq!(one.line, "POST / HTTP/1.1");
        assert_eq!(one.header("content-type"), "application/json");
        assert_eq!(one.signed_by(secret.as_str().unwrap()), 1, "{one:?}");
        assert_eq!(event["eventId"], one.header("webhook-id"));
        assert!(event["occurredAt"].as_str().unwrap().ends_with('Z'));
        assert!(event.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_null()), "{event}");
        assert_eq!(event["number"], if event["otpId"] == lost { UNREACHABLE } else { NUMBER });
    }
    let told = |name: &str, otp: &str| {
        seen.iter().find(|one| one.event() == name && one.json()["otpId"] == otp).unwrap().json()
    };
    let wrong = told("WRONG_CODE", &otp);
    assert_eq!((&wrong["otpStatus"], &wrong["attemptsLeft"]), (&json!("ACTIVE"), &json!(2)));
    assert!(wrong.get("detail").is_none(), "{wrong}");
    let verified = told("VERIFIED", &otp);
    assert_eq!((&verified["otpStatus"], &verified["referenceId"]), (&json!("VERIFIED"), &json!("order 7")));
    assert_eq!(told("DELETED", &otp)["otpStatus"], "VERIFIED", "its last state");
    assert_eq!(told("DELIVERED", &otp)["detail"], "texts");
    for (name, otp) in [("SENT", &otp), ("DELIVERED", &otp), ("SENT", &lost), ("UNDELIVERABLE", &lost)] {
        assert_eq!(told(name, otp)["deliveryStatus"], name, "as it stood then, also where one commit brought both");
    }
    assert_eq!(told("UNDELIVERABLE", &lost)["detail"], "the sandbox' number that cannot be reached");
    let expired = told("EXPIRED", &expiring);
    assert_eq!(expired["occurredAt"], expired["timestampExpire"]);
    // The receiver has an event before the gateway has its answer, and counts it.
    let line = format!("otpgate_webhook_tries_total{{outcome=\"delivered\"}} {}", seen.len());
    let mut admin = gateway.server.admin_client();
    let mut metrics = admin.get("/metrics").expect(200).body;
    for _ in 0..3_000 {
        if metrics.contains(&line) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        metrics = admin.get("/metrics").expect(200).body;
    }
    assert!(metrics.contains(&line), "{metrics}");
}

#[test]
fn the_callback_is_kept_byte_for_byte() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let targets = [
        "/workflows/0a/triggers/manual/paths/invoke?api-version=2016-10-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c%3D",
        "/a%2fb/%7Euser/../x/./y;z=1?q=a+b%20c&&=&sig=xyz%3D%3D&u=%C3%A4",
        "//twice//?",
        "/?a=/b?c",
        "/'(*)!$,:@|\"{}^",
        "?no=path",
    ];
    for target in targets {
        subscribe(&mut client, &json!({"notificationUrl": receiver.url(target), "events": ["SENT"]}));
    }
    send(&mut client, &json!({"number": NUMBER}));
    let seen = receiver.wait(|seen| seen.len() == targets.len());
    let lines: BTreeSet<_> = seen.iter().map(|one| one.line.clone()).collect();
    for target in targets {
        let slash = if target.starts_with('/') { "" } else { "/" };
        let line = format!("POST {slash}{target} HTTP/1.1");
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    assert!(seen.iter().all(|one| one.header("host") == receiver.address.to_string()));
}

#[test]
fn two_secrets_sign_during_a_rotation() {
    let gateway = Gateway::with(PRIVATE);
    let (receiver, mut client) = (Receiver::start(), gateway.client());
    let made = subscribe(&mut client, &json!({"notificationUrl": receiver.url("/"), "events": ["SENT"]})).json();
    let (subscription, old) = (made["subscriptionId"].as_str().unwrap(), made["signingSecret"].as_str().unwrap());
    let rotate = |overlap: &str| {
        let (code, text, stderr) =
            gateway.command(&["webhooks", "rotate", subscription, "--overlap", overlap, "--json"]);
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<Value>(&text).unwrap()["signingSecret"].as_str().unwrap().to_owned()
    };
    let new = rotate("1h");
    let mut told = |count: usize| {
        send(&mut client, &json!({"number": NUMBER}));
        receiver.wait(|seen| seen.len() == count).pop().unwrap()
    };
    let one = told(1);
    assert_eq!((one.signed_by(old), one.signed_by(&new)), (1, 1));
    assert_eq!(one.header("webhook-signature").split(' ').count(), 2);
    let newest = rotate("0s");
    let two = told(2);
    assert_eq!((two.signed_by(old), two.signed_by(&new), two.signed_by(&newest)), (0, 0, 1));
    assert_eq!(gateway.command(&["webhooks", "delete", subscription]).0, 0);
    assert_eq!(gateway.command(&["webhooks", "delete", subscription]).0, 65);
    assert_eq!(gateway.command(&["webhooks", "rotate", subscription]).0, 65);
}

#[test]
fn what_is_not_allowed_any_more_is_not_posted() {
    let gateway = Gateway::with(PRIVATE);
    let receiver = Receiver::with(|_| Reply::Status(500));
    let mut client = gateway.client();
    for host in [receiver.address.to_string(), format!("localhost:{}", receiver.address.port())] {
        subscribe(&mut client, &json!({"notificationUrl": format!("http://{host}/"), "events": ["SENT"]}));
        subscribe(&mut client, &json!({"notificationUrl": format!("https://{host}/"), "events": ["SENT"]}));
    }
    gateway.kill_then(|data, config| {
        let config = config.replace("allow_private_callbacks = true", "allow_private_callbacks = false");
        let again = Server::start(data, &Options { config, ..Options::default() });
        let key = crate::support::command(data, &["key", "create", "--name", "n", "--json"]).1;
        let key: Value = serde_json::from_str(&key).unwrap();
        send(&mut again.client(key["key"].as_str().unwrap()), &json!({"number": NUMBER}));
        for _ in 0..3_000 {
            let (_, text, _) = crate::support::command(data, &["webhooks", "dead", "--json"]);
            let dead: Value = serde_json::from_str(&text).unwrap();
            if dead.as_array().unwrap().len() == 4 {
                let mut answers: Vec<_> =
                    dead.as_array().unwrap().iter().map(|one| one["answer"].as_str().unwrap()).collect();
                answers.sort_unstable();
                let refused = "its address is not allowed any more";
                assert_eq!(answers, [refused, refused, refused, "its name leads to addresses that are not public"]);
                assert!(receiver.seen().is_empty());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the events are still tried");
    });
}

#[test]
fn over_tls_only_a_trusted_receiver_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    let mut names = rcgen::CertificateParams::new(Vec::new()).unwrap();
    names.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = names.self_signed(&authority.signing_key).unwrap();
    let issuer = rcgen::Issuer::new(names, authority.signing_key);
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let config = |issuer: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Some(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    };
    let trusted = Receiver::over(|_| Reply::Status(200), config(Some(&issuer)));
    let stranger = Receiver::over(|_| Reply::Status(200), config(None));
    let gateway = Gateway::with_options(&Options {
        config: PRIVATE.to_owned(),
        environment: vec![("SSL_CERT_FILE".to_owned(), roots.to_str().unwrap().to_owned())],
        ..Options::default()
    });
    let mut client = gateway.client();
    for receiver in [&trusted, &stranger] {
        let url = format!("https://localhost:{}/a?b=%2F", receiver.address.port());
        subscribe(&mut client, &json!({"notificationUrl": url, "events": ["SENT"]}));
    }
    send(&mut client, &json!({"number": NUMBER}));
    assert_eq!(trusted.wait(|seen| seen.len() == 1)[0].line, "POST /a?b=%2F HTTP/1.1");
    for _ in 0..3_000 {
        let (_, text, _) = gateway.command(&["webhooks", "dead", "--json"]);
        if let Some(dead) = serde_json::from_str::<Value>(&text).unwrap().get(0) {
            assert_eq!(dead["answer"], "the TLS handshake with it failed");
            assert!(stranger.seen().is_empty());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the stranger is still tried");
}

#[test]
fn an_erased_number_is_told_to_nobody_any_more() {
    let gateway = Gateway::with("[events]\nallow_private_callbacks = true\nretries = []\n");
    let receiver = Receiver::with(|_| Reply::Status(500));
    let mut client = gateway.client();
    subscribe(&mut client, &json!({"notificationUrl": receiver.url("/"), "events": ["SENT"]}));
    let (erased, kept) = ("+4915112000777", "+4915112000778");
    let (_, kept_otp) = (send(&mut client, &json!({"number": erased})), send(&mut client, &json!({"number": kept})));
    let dead = || serde_json::from_str::<Value>(&gateway.command(&["webhooks", "dead", "--json"]).1).unwrap();
    for _ in 0..3_000 {
        if dead().as_array().unwrap().len() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(dead().as_array().unwrap().len(), 2);
    let (code, text, stderr) = gateway.command(&["erase", "--number", erased, "--json"]);
    assert!(code == 0 && text.contains("\"purged\":true"), "{text}{stderr}");
    let left = dead();
    assert_eq!((left.as_array().unwrap().len(), left[0]["otpId"].as_str()), (1, Some(kept_otp.as_str())), "{left}");
    receiver.change(|_| Reply::Status(200));
    let (_, text, _) = gateway.command(&["webhooks", "replay", "--all", "--json"]);
    assert_eq!(text.trim(), "{\"replayed\":1}");
    let told = receiver.wait(|seen| seen.len() == 3);
    assert_eq!(told[2].json()["number"], kept);
}
