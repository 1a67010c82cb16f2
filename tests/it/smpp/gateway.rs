//! The built binary with an SMPP carrier.

use std::time::Duration;

use serde_json::json;

use crate::support::Gateway;
use crate::support::centre::{Act, Centre};

const NUMBER: &str = "+4915198765432";

fn config(centre: &Centre) -> String {
    format!(
        "public_url = \"https://otp.example.com\"\n[log]\nlevel = \"trace\"\n[delivery]\ncountries = [\"DE\"]\n\
         [[delivery.providers]]\nname = \"carrier\"\ntype = \"smpp\"\nurl = \"{}\"\n\
         [delivery.providers.smpp]\nwindow = 5\nenquire_link = \"100ms\"\n",
        centre.url()
    )
}

fn wait(what: &str, is_true: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_true() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come true in 30 s that {what}");
}

#[test]
fn a_code_goes_to_the_carrier_and_the_log_shows_nothing_of_it() {
    let centre = Centre::with(|submit| {
        let receipt = Act::Receipt(submit.id.clone(), "DELIVRD", "000");
        vec![Act::Answer(0, submit.id.clone()), receipt]
    });
    let gateway = Gateway::with(&config(&centre));
    let mut client = gateway.client();
    wait("the carrier is bound", || centre.links() == 1);
    let body = json!({"number": NUMBER, "otpCode": "83917465", "text": "zebrafinch {{OTP}}", "sender": "ACME"});
    let otp = client.post_json("/v1/otp", &body).expect(200).json();
    wait("the code was submitted", || centre.count() == 1);
    let submit = centre.submits()[0].clone();
    assert_eq!(submit.destination.2, &NUMBER[1..]);
    assert_eq!(submit.bytes, b"zebrafinch 83917465");
    assert_eq!(submit.source, (5, 0, "ACME".to_owned()));
    wait("its receipt was acknowledged", || centre.unacknowledged() == 0);
    let path = format!("/v1/otp/{}", otp["otpId"].as_str().unwrap());
    let mut status = || client.get(&path).expect(200).json()["deliveryStatus"].clone();
    for _ in 0..3_000 {
        if status() == "DELIVERED" {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(status(), "DELIVERED", "its receipt is its status");
    // Not before: a receipt that was not acknowledged would come again, and be counted twice.
    centre.cut();
    wait("the link came back after it was cut", || centre.seen().binds.len() == 2 && centre.links() == 1);
    wait("the link was asked whether it lives", || centre.seen().enquiries > 0);
    centre.write(&[0xFF; 64]);
    wait("and again after garbage", || centre.seen().binds.len() == 3 && centre.links() == 1);
    let lines = [
        "otpgate_smpp_links 1",
        "otpgate_smpp_open_submits 0",
        "otpgate_smpp_submits_total{outcome=\"taken\"} 1",
        "otpgate_smpp_received_total{what=\"delivered\"} 1",
        "otpgate_smpp_rebinds_total 2",
    ];
    // The centre has sent the answer to a bind before the gateway has read it, and counts it.
    let mut admin = gateway.server.admin_client();
    let mut metrics = admin.get("/metrics").expect(200).body;
    for _ in 0..3_000 {
        if lines.iter().all(|line| metrics.contains(*line)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        metrics = admin.get("/metrics").expect(200).body;
    }
    for line in lines {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let log = gateway.server.stop();
    assert_eq!(centre.seen().unbinds, 1, "it unbound at its end");
    assert!(log.contains("an SMPP link is bound"), "{log}");
    for canary in [&NUMBER[1..], "83917465", "zebrafinch", "secret08", "4915112345678"] {
        let line = log.lines().find(|line| line.contains(canary));
        assert_eq!(line, None, "{canary} in the log");
        assert!(!metrics.contains(canary), "{canary} in the metrics");
    }
}

#[test]
fn a_refused_bind_is_one_clear_line_without_the_password() {
    let centre = Centre::start();
    centre.behave(|manners| manners.bind = Some(0x0D));
    let gateway = Gateway::with(&config(&centre));
    wait("it tried twice", || centre.seen().binds.len() >= 2);
    let log = gateway.server.stop();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("refused the bind")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("SMPP 0x0000000D") && lines[0].contains("carrier"), "{}", lines[0]);
    assert!(!log.contains("secret08"));
}
