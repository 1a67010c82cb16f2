//! A rolling restart behind a front proxy that others wrote: no call fails, and no message leaves twice.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::messages::{by_carrier, carrier};
use crate::support::fleet::{Fleet, PATIENT};
use crate::support::redis::Redis;
use crate::support::{Client, Ends, free_port};

/// haproxy before the gateways, set up as deploy/compose has it.
struct Front {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Front {
    fn before(gateways: &[u16]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut text = format!(
            "global\n    maxconn 2000\ndefaults\n    mode http\n    option redispatch\n    retries 3\n    retry-on conn-failure\n\
             \x20   timeout connect 2s\n    timeout client 65s\n    timeout server 60s\n    timeout check 5s\n\
             frontend api\n    bind 127.0.0.1:{port}\n    default_backend gateways\nbackend gateways\n    balance leastconn\n\
             \x20   option httpchk\n    http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host otpgate\n\
             \x20   http-check expect status 200\n    default-server check inter 200ms fall 1 rise 1\n"
        );
        for gateway in gateways {
            writeln!(text, "    server gateway-{gateway} 127.0.0.1:{gateway}").unwrap();
        }
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("env");
        command.env("PATH", path).args(["haproxy", "-db", "-f"]).arg(&file).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().expect("haproxy, of the package haproxy");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while TcpStream::connect(address).is_err() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}",
                std::fs::read_to_string(folder.path().join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, address, folder }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_rolling_restart_of_four_replicas_is_noticed_by_nobody() {
    let redis = Redis::start();
    let ports: Vec<_> = (0..4).map(|_| free_port()).collect();
    let carrier = carrier();
    let tables = format!("[server]\ndrain_delay = \"2s\"\n{}", by_carrier(&carrier));
    let mut fleet = Fleet::at(ports.clone(), &redis.address(), PATIENT, &tables);
    let front = Front::before(&ports);
    while Client::new(front.address, None).get("/health/ready").status != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let key = fleet.key.clone();
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        for worker in 0..12 {
            let (stop, served, front, key) = (&stop, &served, &front, &key);
            scope.spawn(move || {
                let mut client = Client::new(front.address, Some(key));
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = json!({"number": format!("+49151{worker:02}{number:06}"), "otpCode": "4711"});
                    // Sent once each: no second try hides a call that failed.
                    let headers = [("Content-Type", "application/json")];
                    let mut post = |path: &str, body: &Value| {
                        let answer = client.try_once("POST", path, &headers, &body.to_string());
                        answer.unwrap_or_else(|error| panic!("{path}: {error}: {}", front.log())).expect(200).json()
                    };
                    let otp = post("/v1/otp", &body);
                    let path = format!("/v1/otp/{}/verify", otp["otpId"].as_str().unwrap());
                    // A code that was used needs no message any more: every other one is left to be sent.
                    if number % 2 == 0 {
                        assert_eq!(post(&path, &json!({"otpCode": "4711"}))["verified"], true);
                    } else {
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(15));
                }
            });
        }
        for index in 0..4 {
            std::thread::sleep(Duration::from_millis(500));
            fleet.replicas[index].signal("TERM");
            fleet.renew_drained(index);
            let mut probe = Client::new(fleet.replicas[index].public, None);
            while probe.get("/health/ready").status != 200 {}
            // Long enough for the front to see that it is back.
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let served = served.into_inner();
    let sent = |counts: &HashMap<String, usize>| {
        let left = |number: &&String| number.bytes().last().is_some_and(|digit| digit % 2 == 1);
        counts.keys().filter(left).count()
    };
    carrier.wait(|_| sent(&carrier.submissions()) == served);
    let twice: Vec<_> = carrier.submissions().into_iter().filter(|(_, count)| *count != 1).collect();
    println!("{served} messages of {} OTPs or so", 2 * served);
    assert!(twice.is_empty(), "left twice: {twice:?}");
    assert!(served > 100, "{served}");
}
