//! Events on their way: they arrive, whatever the receiver and the process do in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::webhooks::{NUMBER, PRIVATE, send, subscribe, verify};
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::{Gateway, Options, Server};

#[test]
fn a_refused_event_is_tried_again_under_its_id_and_over_a_restart() {
    let gateway =
        Gateway::with(&PRIVATE.replace("\"200ms\", \"200ms\", \"200ms\"", "\"200ms\", \"300ms\", \"2s\", \"2s\""));
    let receiver = Receiver::with(|_| Reply::Status(500));
    let mut client = gateway.client();
    let wish = json!({"notificationUrl": receiver.url("/"), "events": ["VERIFIED"]});
    let secret = subscribe(&mut client, &wish).json()["signingSecret"].as_str().unwrap().to_owned();
    let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
    verify(&mut client, &otp, "1234");
    receiver.wait(|seen| seen.len() >= 2);
    gateway.stop_then(|data, config| {
        receiver.change(|_| Reply::Status(204));
        let again = Server::start(data, &Options { config: config.to_owned(), ..Options::default() });
        let seen = receiver.wait(|seen| seen.len() >= 3);
        assert!(seen.windows(2).all(|two| two[0].id() == two[1].id() && two[0].body == two[1].body), "{seen:?}");
        assert!(seen.iter().all(|one| one.signed_by(&secret) == 1));
        for _ in 0..600 {
            if again.admin_client().get("/metrics").body.contains("otpgate_webhook_backlog 0") {
                again.stop();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it is still queued");
    });
    assert_eq!(receiver.seen().len(), receiver.seen().iter().filter(|one| one.event() == "VERIFIED").count());
}

#[test]
fn a_killed_process_loses_no_event() {
    let gateway = Gateway::with(PRIVATE);
    // Some are taken, some are on their way, some wait when it is killed.
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receiver =
        Receiver::with(
            move |_| {
                if counted.fetch_add(1, Ordering::SeqCst) < 10 { Reply::Status(200) } else { Reply::Nothing }
            },
        );
    let mut client = gateway.client();
    subscribe(&mut client, &json!({"notificationUrl": receiver.url("/"), "events": ["SENT"]}));
    let otps: BTreeSet<_> = (0..40).map(|_| send(&mut client, &json!({"number": NUMBER}))).collect();
    receiver.wait(|seen| seen.len() > 10);
    gateway.kill_then(|data, config| {
        receiver.change(|_| Reply::Status(200));
        let again = Server::start(data, &Options { config: config.to_owned(), ..Options::default() });
        let told = |seen: &[Received]| -> BTreeSet<String> {
            seen.iter().map(|one| one.json()["otpId"].as_str().unwrap().to_owned()).collect()
        };
        let seen = receiver.wait(|seen| told(seen) == otps);
        let events: BTreeSet<_> =
            seen.iter().map(|one| (one.json()["otpId"].as_str().unwrap().to_owned(), one.id())).collect();
        assert_eq!(events.len(), otps.len(), "told again under the same id");
        again.stop();
    });
}

#[test]
fn a_receiver_that_is_gone_is_dropped_and_one_that_is_missing_is_not() {
    let gateway = Gateway::with(PRIVATE);
    let (gone, missing) = (Receiver::with(|_| Reply::Status(410)), Receiver::with(|_| Reply::Status(404)));
    let mut client = gateway.client();
    subscribe(&mut client, &json!({"notificationUrl": gone.url("/"), "events": ["SENT"]}));
    let stays = subscribe(&mut client, &json!({"notificationUrl": missing.url("/"), "events": ["SENT"]})).json();
    send(&mut client, &json!({"number": NUMBER}));
    missing.wait(|seen| seen.len() == 4);
    gone.wait(|seen| seen.len() == 2);
    let list = || serde_json::from_str::<Value>(&gateway.command(&["webhooks", "list", "--json"]).1).unwrap();
    let mut left = list();
    for _ in 0..600 {
        if left.as_array().unwrap().len() == 1 && left[0]["state"] == "says it is gone" {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        left = list();
    }
    assert_eq!((left.as_array().unwrap().len(), &left[0]["id"]), (1, &stays["subscriptionId"]), "{left}");
    send(&mut client, &json!({"number": NUMBER}));
    missing.wait(|seen| seen.len() >= 5);
    assert_eq!(gone.seen().len(), 2);
}

#[test]
fn what_a_receiver_says_to_events_of_one_moment_it_says_once() {
    let gateway = Gateway::with(&PRIVATE.replacen("200ms", "2s", 1));
    let said = AtomicUsize::new(0);
    let slips = Receiver::with(move |_| Reply::Status(if said.fetch_add(1, Ordering::SeqCst) < 3 { 410 } else { 200 }));
    let mut client = gateway.client();
    subscribe(&mut client, &json!({"notificationUrl": slips.url("/"), "events": ["SENT"]}));
    for _ in 0..3 {
        send(&mut client, &json!({"number": NUMBER}));
    }
    slips.wait(|seen| seen.len() >= 6);
    let told: BTreeSet<_> = slips.seen().iter().map(Received::id).collect();
    assert_eq!(told.len(), 3, "each was told again");
    let left: Value = serde_json::from_str(&gateway.command(&["webhooks", "list", "--json"]).1).unwrap();
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
}

#[test]
fn a_redirect_is_not_followed() {
    let gateway = Gateway::with(PRIVATE);
    let elsewhere = Receiver::start();
    let target = elsewhere.url("/stolen");
    let receiver = Receiver::with(move |_| {
        Reply::Raw(format!("HTTP/1.1 307 Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"))
    });
    let mut client = gateway.client();
    subscribe(&mut client, &json!({"notificationUrl": receiver.url("/"), "events": ["SENT"]}));
    send(&mut client, &json!({"number": NUMBER}));
    receiver.wait(|seen| seen.len() == 4);
    assert!(elsewhere.seen().is_empty());
}

#[test]
fn a_receiver_that_hangs_keeps_nobody_waiting() {
    let gateway = Gateway::with(PRIVATE);
    let (silent, endless, quick) =
        (Receiver::with(|_| Reply::Nothing), Receiver::with(|_| Reply::Endless), Receiver::start());
    let mut client = gateway.client();
    for number in 0..20 {
        subscribe(&mut client, &json!({"notificationUrl": silent.url(&format!("/{number}")), "events": ["SENT"]}));
    }
    subscribe(&mut client, &json!({"notificationUrl": endless.url("/"), "events": ["SENT"]}));
    subscribe(&mut client, &json!({"notificationUrl": quick.url("/"), "events": ["SENT"]}));
    for _ in 0..30 {
        send(&mut client, &json!({"number": NUMBER}));
    }
    quick.wait(|seen| seen.len() == 30);
    assert!(silent.seen().len() <= 20, "one at a time for each: {}", silent.seen().len());
    // What a body says is of no interest: 200 is 200.
    endless.wait(|seen| seen.len() >= 3);
    let ids: BTreeSet<_> = endless.seen().iter().map(Received::id).collect();
    assert_eq!(ids.len(), endless.seen().len(), "none was told twice");
}

#[test]
fn dead_letters_are_kept_listed_and_replayed() {
    let gateway = Gateway::with(PRIVATE);
    let receiver = Receiver::with(|_| Reply::Status(503));
    let mut client = gateway.client();
    let made =
        subscribe(&mut client, &json!({"notificationUrl": receiver.url("/a?sig=zebrafinch"), "events": ["VERIFIED"]}))
            .json();
    let subscription = made["subscriptionId"].as_str().unwrap();
    for _ in 0..2 {
        let otp = send(&mut client, &json!({"number": NUMBER, "otpCode": "1234"}));
        verify(&mut client, &otp, "1234");
    }
    let dead = || {
        let (code, text, stderr) = gateway.command(&["webhooks", "dead", subscription, "--json"]);
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone()
    };
    let wait = |count: usize| {
        for _ in 0..3_000 {
            if dead().len() == count {
                return dead();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{:?}", dead());
    };
    let letters = wait(2);
    assert_eq!((&letters[0]["tries"], &letters[0]["answer"]), (&json!(4), &json!("answered 503")));
    let (_, text, _) = gateway.command(&["webhooks", "dead"]);
    assert!(text.contains("answered 503") && !text.contains("zebrafinch") && !text.contains(&NUMBER[1..]), "{text}");
    let (_, text, _) = gateway.command(&["webhooks", "list"]);
    assert!(text.contains("127.0.0.1") && !text.contains("zebrafinch"), "{text}");

    receiver.change(|_| Reply::Status(200));
    let before = receiver.seen().len();
    let first = letters[0]["eventId"].as_str().unwrap();
    let (code, text, stderr) = gateway.command(&["webhooks", "replay", subscription, "--event", first, "--json"]);
    assert_eq!((code, text.trim()), (0, "{\"replayed\":1}"), "{stderr}");
    let seen = receiver.wait(|seen| seen.len() > before);
    assert_eq!(seen.last().unwrap().id(), first);
    assert_eq!(wait(1)[0]["eventId"], letters[1]["eventId"]);
    assert_eq!(gateway.command(&["webhooks", "replay", subscription, "--event", first]).0, 65);
    assert_eq!(gateway.command(&["webhooks", "replay", "sub_0123456789abcdef"]).0, 65);
    let (code, text, _) = gateway.command(&["webhooks", "replay", "--all"]);
    assert!(code == 0 && text.starts_with("1 events"), "{text}");
    receiver.wait(|seen| seen.len() == before + 2);
    wait(0);
}
