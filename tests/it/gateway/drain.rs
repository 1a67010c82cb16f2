//! A drain under load: no request of a client that honours `Connection: close` fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Ends, Gateway};

#[test]
fn no_honest_client_notices_a_drain() {
    let mut gateway = Gateway::with("[server]\ndrain_delay = \"6s\"\n");
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        let mut workers = Vec::new();
        for worker in 0..16 {
            let (mut client, stop, served) = (gateway.client(), &stop, &served);
            workers.push(scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let body = json!({"number": format!("+49151{worker:02}{number:06}"), "otpCode": "1234"});
                    let otp = client.post_json("/v1/otp", &body).expect(200).json();
                    client.get(&format!("/v1/otp/{}", otp["otpId"].as_str().unwrap())).expect(200);
                    served.fetch_add(2, Ordering::Relaxed);
                }
            }));
        }
        let began = Instant::now();
        while served.load(Ordering::Relaxed) <= 100 {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody is served");
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.server.signal("TERM");
        // Readiness is off at once, while calls are still served.
        let began = Instant::now();
        let mut probe = Client::new(gateway.server.public, None);
        loop {
            if probe.get("/health/ready").status == 503 {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "still ready");
        }
        let answer = gateway.client().get("/v1/connection").expect(200);
        assert_eq!(answer.header("connection"), Some("close"));
        // As a balancer does, once it has seen that.
        std::thread::sleep(Duration::from_millis(600));
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(gateway.server.wait().code(), Some(0), "{}", gateway.server.log());
}

#[test]
fn an_interrupt_drains_as_well() {
    let mut gateway = Gateway::start();
    gateway.client().get("/v1/connection").expect(200);
    gateway.server.signal("INT");
    assert_eq!(gateway.server.wait().code(), Some(0));
}
