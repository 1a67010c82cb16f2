//! Steps of flows that wait, on a simulated platform, while the gateway is killed at random moments: every step comes back, a
//! call back is repeated only over a kill, and a step that the platform tries again opens nothing new.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::random::Random;
use crate::support::receiver::{Receiver, Reply};
use crate::support::{Answer, Client, Gateway, Options, Server};

/// Steps that are taken.
const STEPS: u32 = 60;
/// Flows that run at once.
const FLOWS: u32 = 6;
/// Kills, at least.
const KILLS: usize = 12;
const CONFIG: &str = "[events]\nallow_private_callbacks = true\nretries = [\"50ms\", \"100ms\", \"200ms\", \"500ms\", \"1s\", \
                      \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n";

/// A flow that runs on a platform: it does not know that the gateway dies, it tries again.
struct Flow {
    /// Where the gateway is now.
    address: Arc<RwLock<SocketAddr>>,
    key: String,
}

impl Flow {
    fn once(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
        let mut client = Client::new(*self.address.read().unwrap(), Some(&self.key));
        client.try_once(method, path, headers, body).ok().filter(|answer| answer.status != 503)
    }

    /// As often as it takes: whether an answer that was lost was given is not known to a platform.
    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        loop {
            if let Some(answer) = self.once(method, path, headers, body) {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One step: opened as the platform does; then the person types wrong codes, or the run is cancelled.
    fn step(&self, number: u32, receiver: &Receiver, random: &mut Random) -> Step {
        let run = format!("run-{number}");
        let headers = [
            ("Content-Type", "application/json"),
            ("x-ms-workflow-run-id", run.as_str()),
            ("x-ms-workflow-operation-name", "Send_and_wait"),
        ];
        let body = json!({
            "callback": receiver.url(&format!("/{number}?sig=x")),
            "verification": {"number": format!("+49151{:08}", 20_000_000 + number), "expiry": 3600},
        });
        let made = self.call("POST", "/v1/verifications/wait", &headers, &body.to_string()).expect(201);
        let id = made.json()["verificationId"].as_str().unwrap().to_owned();
        let location = made.header("location").unwrap();
        let location = format!("/{}", location.splitn(4, '/').nth(3).unwrap());
        let path = format!("/v1/verifications/{id}");
        if random.below(4) == 0 {
            let ended = self.call("DELETE", &location, &[], "");
            assert_eq!(ended.status, 204, "{ended:?}");
            return Step { id, cancelled: true };
        }
        loop {
            let seen = self.call("GET", &path, &[], "").expect(200).json();
            if seen["state"] != "OPEN" {
                assert_eq!(seen["state"], "TOO_MANY_ATTEMPTS", "{seen}");
                return Step { id, cancelled: false };
            }
            if let Some(otp) = seen["otp"]["otpId"].as_str() {
                let path = format!("/v1/otp/{otp}/verify");
                let json = [("Content-Type", "application/json")];
                let verdict = self.call("POST", &path, &json, "{\"otpCode\":\"wrong-code\"}").expect(200).json();
                assert_eq!(verdict["verified"], false);
            }
        }
    }
}

struct Step {
    id: String,
    cancelled: bool,
}

/// A call of the gateway, as the platform saw it.
struct Call {
    id: String,
    line: String,
    body: String,
    began: Instant,
    /// Whether it was answered with 202.
    taken: bool,
}

#[test]
fn steps_that_wait_come_back_over_kills() {
    let seed = Random::seed("OTPGATE_TEST_SEED");
    eprintln!("seed {seed}");
    let mut random = Random::new(seed);
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (noted, dice) = (Arc::clone(&calls), Mutex::new(random.fork()));
    let receiver = Arc::new(Receiver::with(move |call| {
        let began = Instant::now();
        let drawn = dice.lock().unwrap().below(10);
        std::thread::sleep(Duration::from_millis(drawn * 4));
        // Some answers are no: what follows on them is no repetition.
        let (id, line, body, taken) = (call.id(), call.line.clone(), call.body.clone(), drawn > 0);
        noted.lock().unwrap().push(Call { id, line, body, began, taken });
        Reply::Status(if taken { 202 } else { 500 })
    }));

    let mut gateway = Gateway::with(CONFIG);
    let (data, key) = (gateway.data(), gateway.key.clone());
    let address = Arc::new(RwLock::new(gateway.server.public));
    let (steps, finished) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
    let flows: Vec<_> = (0..FLOWS)
        .map(|first| {
            let flow = Flow { address: Arc::clone(&address), key: key.clone() };
            let (receiver, steps, mut random) = (Arc::clone(&receiver), Arc::clone(&steps), random.fork());
            std::thread::spawn(move || {
                for number in (first..STEPS).step_by(usize::try_from(FLOWS).unwrap()) {
                    let step = flow.step(number, &receiver, &mut random);
                    steps.lock().unwrap().insert(number, step);
                }
            })
        })
        .collect();
    let all = Arc::clone(&finished);
    let watcher = std::thread::spawn(move || {
        let ended: Vec<_> = flows.into_iter().map(std::thread::JoinHandle::join).collect();
        all.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|one| one.unwrap());
    });
    let mut kills = Vec::new();
    while !finished.load(Ordering::SeqCst) || kills.len() < KILLS {
        std::thread::sleep(Duration::from_millis(random.below(250)));
        gateway.server.kill();
        // Whatever the killed process called had begun by now.
        kills.push(Instant::now());
        gateway.server = Server::start(&data, &Options { config: CONFIG.to_owned(), ..Options::default() });
        *address.write().unwrap() = gateway.server.public;
    }
    watcher.join().unwrap();

    let steps = std::mem::take(&mut *steps.lock().unwrap());
    assert_eq!(steps.len(), usize::try_from(STEPS).unwrap());
    let waiting = steps.values().filter(|step| !step.cancelled).count();
    assert!(waiting > 0 && waiting < steps.len(), "{waiting} of {}", steps.len());
    // Every step that was not cancelled comes back.
    let is_told = |step: &Step| calls.lock().unwrap().iter().any(|call| call.taken && call.id == step.id);
    for step in steps.values().filter(|step| !step.cancelled) {
        receiver.wait(|_| is_told(step));
    }
    let mut client = gateway.server.client(&key);
    for (number, step) in &steps {
        let one = client.get(&format!("/v1/verifications/{}", step.id)).expect(200).json();
        let list = format!("/2fa/v1/otp?number=%2B49151{:08}", 20_000_000 + number);
        assert_eq!(one["sendsLeft"], 2, "one message a step: {one}");
        // A cancelled one took its code along.
        if !step.cancelled {
            let otps = client.get(&list).expect(200).json();
            assert_eq!(otps.as_array().unwrap().len(), 1, "one code a step: {one} {otps}");
        }
    }
    gateway.server.stop();
    judge(&calls.lock().unwrap(), &steps, &kills);
    let sql = rusqlite::Connection::open(data.join("otpgate.db")).unwrap();
    let kept: u32 = sql.query_row("SELECT count(*) FROM verification", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, STEPS, "one verification a step");
}

fn judge(calls: &[Call], steps: &BTreeMap<u32, Step>, kills: &[Instant]) {
    let by_id: BTreeMap<_, _> = steps.iter().map(|(number, step)| (&step.id, (number, step))).collect();
    let mut of_step: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        let (number, step) = by_id.get(&call.id).unwrap_or_else(|| panic!("whose is this: {}", call.line));
        assert!(!step.cancelled, "a cancelled run was told: {}", call.body);
        assert!(call.line.starts_with(&format!("POST /{number}?sig=x ")), "{}", call.line);
        of_step.entry(&call.id).or_default().push(call);
    }
    let mut repeated = 0;
    for (id, calls) in &of_step {
        let outcome: Value = serde_json::from_str(&calls[0].body).unwrap();
        assert_eq!((&outcome["state"], &outcome["verificationId"]), (&json!("TOO_MANY_ATTEMPTS"), &json!(id)));
        for (before, after) in calls.iter().zip(&calls[1..]) {
            assert_eq!(before.body, after.body, "byte for byte the same");
            // No kill lies between two pairs, so each repetition has a kill of its own.
            let killed = kills.iter().any(|kill| (before.began..=after.began).contains(kill));
            assert!(!before.taken || killed, "told again although nothing happened: {id}");
            repeated += usize::from(before.taken);
        }
    }
    println!("{} kills, {} steps, {} calls, {repeated} repeated", kills.len(), steps.len(), calls.len());
}
