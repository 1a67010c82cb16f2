//! Steps of flows that wait, on a simulated platform, while gateways are killed: what the platform saw, what was killed when, and
//! what the store had written then. [`judge`] says whether a call back was repeated without need. Knows neither which store
//! there is nor how many gateways.
//!
//! What is watched, and what is not: the receiver notes when a call had come and when its answer had been written, by its own clock; a
//! kill is noted before the signal is sent; and once the process is gone, the store itself is asked which outcomes are
//! recorded as told. So a repetition is not inferred: its answer was written, then there was a kill, and the store had no record of
//! it. Where the kill came first and the answer afterwards, nobody was left to hear it: that is no repetition. When exactly, between
//! the answer and the end of the process, the gateway read it, nobody outside can see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::receiver::{Received, Receiver, Reply};
use super::{Answer, Client};
use crate::fault::random::Random;

/// Tries of a call back follow each other fast, and outlast the test.
pub(crate) const CONFIG: &str = "[events]\nallow_private_callbacks = true\nretries = [\"50ms\", \"100ms\", \"200ms\", \"500ms\", \"1s\", \
     \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n";

/// Where the gateways are now.
pub(crate) type Addresses = Arc<RwLock<Vec<SocketAddr>>>;

/// How long somebody looks at a code before he types it, at most: in milliseconds.
const THINKS: u64 = 40;

/// Looks at the receiver until every step is told, at most: some minutes, several times what a claim of a dead process lasts.
const LOOKS: usize = 30_000;

/// How much happens.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Flows that run at once, each with one step after the other until the last kill.
    pub flows: usize,
    /// Kills.
    pub kills: usize,
    /// The longest time between two kills.
    pub pause: Duration,
}

/// The end of a process.
pub(crate) struct Kill {
    /// Taken before the signal.
    pub at: Instant,
    /// Taken when the process was gone and what it had sent had been read ([`Receiver::drained`]), before another took its place.
    pub gone: Instant,
    /// The verifications of which the store says afterwards that whoever waited was told.
    pub recorded: BTreeSet<String>,
}

/// A step that was taken.
pub(crate) struct Step {
    pub id: String,
    pub cancelled: bool,
}

/// Everything that happened.
pub(crate) struct Run {
    pub steps: BTreeMap<u32, Step>,
    pub kills: Vec<Kill>,
    pub receiver: Receiver,
}

/// The number that a step verifies.
fn number(step: u32) -> String {
    format!("49151{:08}", 20_000_000 + step)
}

/// A flow that runs on a platform: it does not know that gateways die, it tries again, at whichever is there.
struct Flow {
    addresses: Addresses,
    turn: AtomicUsize,
    key: String,
}

impl Flow {
    fn once(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
        let address = {
            let all = self.addresses.read().unwrap();
            all[self.turn.fetch_add(1, Ordering::Relaxed) % all.len()]
        };
        let mut client = Client::new(address, Some(&self.key));
        let answer = client.try_once(method, path, headers, body).ok();
        // That the same call goes on elsewhere is said until whoever was at it is known to be gone.
        answer.filter(|answer| ![409, 503].contains(&answer.status))
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

    /// One step: opened as the platform does; then the person types wrong codes, or (one of four) the run is cancelled.
    fn step(&self, step: u32, callback: &str, random: &mut Random) -> Step {
        let run = format!("run-{step}");
        let headers = [
            ("Content-Type", "application/json"),
            ("x-ms-workflow-run-id", run.as_str()),
            ("x-ms-workflow-operation-name", "Send_and_wait"),
        ];
        let verification = json!({"number": format!("+{}", number(step)), "expiry": 3600});
        let body = json!({"callback": callback, "verification": verification});
        let made = self.call("POST", "/v1/verifications/wait", &headers, &body.to_string()).expect(201);
        let id = made.json()["verificationId"].as_str().unwrap().to_owned();
        let location = made.header("location").unwrap();
        let location = format!("/{}", location.splitn(4, '/').nth(3).unwrap());
        let path = format!("/v1/verifications/{id}");
        if step % 4 == 3 {
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
                std::thread::sleep(Duration::from_millis(random.below(THINKS)));
                let path = format!("/v1/otp/{otp}/verify");
                let json = [("Content-Type", "application/json")];
                let verdict = self.call("POST", &path, &json, "{\"otpCode\":\"wrong-code\"}").expect(200).json();
                assert_eq!(verdict["verified"], false);
            }
        }
    }
}

/// Runs flows while `kill` kills one of the gateways, says what the store had recorded, starts it again and notes its new address.
/// Ends when every step that was not cancelled has come back.
pub(crate) fn run(
    extent: Extent,
    key: &str,
    addresses: &Addresses,
    mut kill: impl FnMut(&mut Random, &Receiver) -> Kill,
) -> Run {
    let seed = Random::seed("OTPGATE_TEST_SEED");
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let dice = Mutex::new(random.fork());
    let receiver = Receiver::with(move |_| {
        let drawn = dice.lock().unwrap().below(10);
        std::thread::sleep(Duration::from_millis(drawn * 4));
        // Some answers are no: what follows on them is no repetition.
        Reply::Status(if drawn > 0 { 202 } else { 500 })
    });
    let (steps, enough) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
    let flows: Vec<_> = (0..extent.flows)
        .map(|first| {
            let flow = Flow { addresses: Arc::clone(addresses), turn: AtomicUsize::new(0), key: key.to_owned() };
            let (steps, enough, mut random) = (Arc::clone(&steps), Arc::clone(&enough), random.fork());
            let target = receiver.url("");
            std::thread::spawn(move || {
                let mine = (u32::try_from(first).unwrap()..).step_by(extent.flows);
                for step in mine.take_while(|_| !enough.load(Ordering::SeqCst)) {
                    let taken = flow.step(step, &format!("{target}/{step}?sig=x"), &mut random);
                    steps.lock().unwrap().insert(step, taken);
                }
            })
        })
        .collect();
    let (mut kills, pause) = (Vec::new(), u64::try_from(extent.pause.as_millis()).unwrap());
    while kills.len() < extent.kills {
        std::thread::sleep(Duration::from_millis(random.below(pause)));
        kills.push(kill(&mut random, &receiver));
    }
    enough.store(true, Ordering::SeqCst);
    flows.into_iter().for_each(|flow| flow.join().unwrap());
    let steps = std::mem::take(&mut *steps.lock().unwrap());
    let waiting: BTreeSet<_> = steps.values().filter(|step| !step.cancelled).map(|step| step.id.clone()).collect();
    assert!(!waiting.is_empty() && waiting.len() < steps.len(), "{} of {}", waiting.len(), steps.len());
    // Every step that was not cancelled comes back; a gateway that died with it in its hands is waited for.
    let mut looks = 0;
    loop {
        let told: BTreeSet<_> = receiver.seen().iter().filter(|call| is_taken(call)).map(Received::id).collect();
        if waiting.is_subset(&told) {
            break;
        }
        looks += 1;
        assert!(looks < LOOKS, "never told: {:?}", waiting.difference(&told));
        std::thread::sleep(Duration::from_millis(20));
    }
    Run { steps, kills, receiver }
}

/// Fails unless each step opened one verification and sent one code, however often the platform tried it. `client` is one of the
/// gateways', for a number.
pub(crate) fn each_step_is_one(run: &Run, client: impl Fn(usize) -> Client) {
    for (step, taken) in &run.steps {
        let mut client = client(usize::try_from(*step).unwrap());
        let one = client.get(&format!("/v1/verifications/{}", taken.id)).expect(200).json();
        assert_eq!(one["sendsLeft"], 2, "one message a step: {one}");
        // A cancelled one took its code along.
        if !taken.cancelled {
            let otps = client.get(&format!("/2fa/v1/otp?number=%2B{}", number(*step))).expect(200).json();
            assert_eq!(otps.as_array().unwrap().len(), 1, "one code a step: {one} {otps}");
        }
    }
}

/// Whether it was answered with 202.
fn is_taken(call: &Received) -> bool {
    call.answered.get().is_some_and(|(status, _)| *status == 202)
}

/// How calls back were repeated.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// The answer was written, then somebody was killed, and the store had no record of it.
    pub watched: usize,
    /// Somebody was killed before the answer was written.
    pub unheard: usize,
}

/// Fails unless each call back was needed: for a run that waits, the same every time, and after one that was taken only over a
/// kill of its own that came before its record.
pub(crate) fn judge(run: &Run) -> Repeats {
    let calls = run.receiver.seen();
    let by_id: BTreeMap<_, _> = run.steps.iter().map(|(step, taken)| (&taken.id, (step, taken))).collect();
    let mut of_step: BTreeMap<String, Vec<&Received>> = BTreeMap::new();
    for call in &calls {
        let id = call.id();
        let (step, taken) = by_id.get(&id).unwrap_or_else(|| panic!("whose is this: {}", call.line));
        assert!(!taken.cancelled, "a cancelled run was told: {}", call.body);
        assert!(call.line.starts_with(&format!("POST /{step}?sig=x ")), "{}", call.line);
        of_step.entry(id).or_default().push(call);
    }
    let mut repeats = Repeats::default();
    for (id, calls) in &mut of_step {
        calls.sort_by_key(|call| call.came);
        let outcome: Value = calls[0].json();
        assert_eq!((&outcome["state"], &outcome["verificationId"]), (&json!("TOO_MANY_ATTEMPTS"), &json!(id)));
        let mut spent = BTreeSet::new();
        for (before, after) in calls.iter().zip(&calls[1..]) {
            assert_eq!(before.body, after.body, "byte for byte the same");
            let (status, answered) = before.answered.get().copied().unwrap_or((0, after.came));
            if status != 202 && before.answered.get().is_some() {
                continue;
            }
            // Each repetition has a kill of its own: the first that explains it, so that a later one is left for those after it.
            let is_unrecorded = |kill: &Kill| kill.at >= answered && !kill.recorded.contains(id);
            let explains = |kill: &Kill| {
                before.came <= kill.gone && kill.at <= after.came && (is_unrecorded(kill) || kill.at < answered)
            };
            let mut kills = run.kills.iter().enumerate().filter(|(index, _)| !spent.contains(index));
            let (index, kill) = kills.find(|(_, kill)| explains(kill)).unwrap_or_else(|| {
                let ms = |at: Instant| at.duration_since(run.kills[0].at).as_micros();
                let at: Vec<_> = calls.iter().map(|call| (ms(call.came), call.answered.get().map(|(said, at)| (*said, ms(*at))))).collect();
                let kills: Vec<_> = run.kills.iter().map(|kill| (ms(kill.at), ms(kill.gone), kill.recorded.contains(id))).collect();
                panic!("{id} was told again though nothing happened: came and answered {at:?}; kills, gone, recorded {kills:?}")
            });
            let unrecorded = is_unrecorded(kill);
            spent.insert(index);
            if unrecorded { repeats.watched += 1 } else { repeats.unheard += 1 }
        }
        // What the store had recorded is never told again.
        for kill in run.kills.iter().filter(|kill| kill.recorded.contains(id)) {
            assert!(calls.iter().all(|call| call.came <= kill.gone), "{id} was told again after it was recorded");
        }
    }
    println!("{} kills, {} steps, {} calls, {repeats:?}", run.kills.len(), run.steps.len(), calls.len());
    repeats
}
