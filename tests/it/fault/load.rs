//! Clients that send, check, resend, delete and read, many at once on the same OTPs, and write down what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::fault::history::{Event, Op, State, Told};
use crate::fault::model::{Place, Rules, judge};
use crate::fault::random::Random;
use crate::support::{Client, Server};

/// An OTP lives 300 s. It gets no more load after this age, so that few histories contain an expiry.
const YOUNG: Duration = Duration::from_secs(150);
/// From this age on it may have expired.
const LATE: Duration = Duration::from_secs(295);
/// Operations on one OTP between two looks at it: the judge tries their orders.
const BUSY: usize = 16;

/// An OTP whose send was acknowledged.
pub(crate) struct Tracked {
    pub(crate) id: String,
    pub(crate) number: u64,
    code: String,
    born: Instant,
    rules: Rules,
    history: Mutex<History>,
}

struct History {
    /// Where it was when everything before had been judged.
    before: Place,
    events: Vec<Event>,
}

impl Tracked {
    fn path(&self) -> String {
        format!("/v1/otp/{}", self.id)
    }

    /// Where it was when it was last looked at.
    pub(crate) fn place(&self) -> Place {
        self.history.lock().unwrap().before
    }

    /// Whether its number has other OTPs.
    pub(crate) const fn shared_number(&self) -> bool {
        self.rules.shared_number
    }

    fn young(&self) -> bool {
        self.born.elapsed() < YOUNG
    }
}

/// An acknowledged write: when it began by the wall clock, in microseconds, and what it was.
pub(crate) type Acknowledged = (u64, Op);

/// Everything that the clients of one test share.
pub(crate) struct World {
    pub(crate) key: String,
    otps: Mutex<Vec<Arc<Tracked>>>,
    ticks: AtomicU64,
    numbers: AtomicU64,
    /// Those of the load that is running.
    pub(crate) acknowledged: Mutex<Vec<Acknowledged>>,
    pub(crate) refused: AtomicU64,
}

impl World {
    /// For the server's key `key`.
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            otps: Mutex::default(),
            ticks: AtomicU64::new(1),
            numbers: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// A number that nobody was sent anything to.
    pub(crate) fn fresh_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    /// Every OTP whose send was acknowledged, oldest first.
    pub(crate) fn otps(&self) -> Vec<Arc<Tracked>> {
        self.otps.lock().unwrap().clone()
    }

    /// Sends a code. None when the send was refused.
    ///
    /// # Errors
    /// No answer came.
    pub(crate) fn send(
        &self,
        client: &mut Client,
        number: u64,
        random: &mut Random,
        rules: Rules,
    ) -> std::io::Result<Option<Arc<Tracked>>> {
        let code = format!("{:06}", random.below(1_000_000));
        let body = json!({"number": format!("+49151{number:08}"), "otpCode": code, "via": "SMS"}).to_string();
        let (began, born) = (wall_clock(), Instant::now());
        let answer = client.try_once("POST", "/v1/otp", JSON, &body)?;
        match answer.status {
            200 => {}
            // A number that is locked.
            409 if rules.shared_number => return Ok(None),
            _ => {
                assert_eq!(Told::of(Op::Read, &answer), Told::Refused, "{answer:?}");
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Ok(None);
            }
        }
        let otp = answer.json();
        assert_eq!(State::of(&otp), State::SENT, "{otp}");
        let history = Mutex::new(History { before: Some(State::SENT), events: Vec::new() });
        let id = otp["otpId"].as_str().unwrap().to_owned();
        let tracked = Arc::new(Tracked { id, number, code, born, rules, history });
        self.acknowledged.lock().unwrap().push((began, Op::Resend));
        self.otps.lock().unwrap().push(Arc::clone(&tracked));
        Ok(Some(tracked))
    }

    /// Does `op` and writes down what was told.
    ///
    /// # Errors
    /// No answer came.
    pub(crate) fn call(&self, client: &mut Client, otp: &Tracked, op: Op) -> std::io::Result<Told> {
        let path = otp.path();
        let wrong = if otp.code == "000000" { "111111" } else { "000000" };
        let (method, path, body) = match op {
            Op::Wrong => ("POST", path + "/verify", json!({"otpCode": wrong}).to_string()),
            Op::Right => ("POST", path + "/verify", json!({"otpCode": otp.code}).to_string()),
            Op::Resend => ("POST", path + "/resend", json!({"via": "VOICE"}).to_string()),
            Op::Delete => ("DELETE", path, String::new()),
            Op::Read => ("GET", path, String::new()),
        };
        let (began, at) = (self.tick(), wall_clock());
        let answer = client.try_once(method, &path, if body.is_empty() { &[] } else { JSON }, &body);
        let told = answer.as_ref().map_or(Told::Nothing, |answer| Told::of(op, answer));
        // Without an answer it ends with the server.
        let ended = if told == Told::Nothing { u64::MAX } else { self.tick() };
        let event = Event { began, ended, op, told, late: otp.born.elapsed() >= LATE };
        otp.history.lock().unwrap().events.push(event);
        if told == Told::Refused {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        if op != Op::Read && told.acknowledges() {
            self.acknowledged.lock().unwrap().push((at, op));
        }
        answer.map(|_| told)
    }

    /// One step of a client that mixes everything.
    ///
    /// # Errors
    /// No answer came.
    pub(crate) fn step(&self, client: &mut Client, random: &mut Random) -> std::io::Result<()> {
        let dice = random.below(100);
        let otp = if dice < 30 { None } else { self.pick(random) };
        let Some(otp) = otp else { return self.send(client, self.fresh_number(), random, Rules::default()).map(drop) };
        let op = match dice {
            30..55 => Op::Wrong,
            55..75 => Op::Right,
            75..85 => Op::Resend,
            85..95 => Op::Delete,
            _ => Op::Read,
        };
        self.call(client, &otp, op).map(drop)
    }

    /// An OTP to work on: mostly one of the newest, so that clients meet.
    fn pick(&self, random: &mut Random) -> Option<Arc<Tracked>> {
        let otps = self.otps.lock().unwrap();
        let span = if random.below(4) == 0 { otps.len() } else { otps.len().min(24) };
        if span == 0 {
            return None;
        }
        let otp = Arc::clone(&otps[otps.len() - 1 - random.index(span)]);
        drop(otps);
        let quiet = otp.history.lock().unwrap().events.len() < BUSY;
        (quiet && otp.young() && !otp.rules.shared_number).then_some(otp)
    }

    /// The server is gone: what has no answer ended by now. `refusals` says whether what was refused may have been done
    /// all the same, as in a store that failed.
    pub(crate) fn server_gone(&self, refusals_unknown: bool) {
        let now = self.tick();
        for otp in self.otps() {
            for event in &mut otp.history.lock().unwrap().events {
                if event.told == Told::Nothing && event.ended == u64::MAX {
                    event.ended = now;
                }
                if event.told == Told::Refused && refusals_unknown {
                    (event.told, event.ended) = (Told::Nothing, now);
                }
            }
        }
    }

    /// Those that something was done to since they were last looked at.
    pub(crate) fn touched(&self) -> Vec<Arc<Tracked>> {
        let mut otps = self.otps();
        otps.retain(|otp| !otp.history.lock().unwrap().events.is_empty());
        otps
    }

    /// Reads `otps` and judges their histories. Nothing else may be running. From here on they are where they were read.
    pub(crate) fn look(&self, server: &Server, otps: &[Arc<Tracked>]) -> Result<(), String> {
        let mut lies = Vec::new();
        std::thread::scope(|scope| {
            let parts = otps.chunks(otps.len().div_ceil(8).max(1));
            let threads: Vec<_> =
                parts.map(|part| scope.spawn(|| self.look_at(&mut server.client(&self.key), part))).collect();
            for thread in threads {
                lies.extend(thread.join().unwrap());
            }
        });
        if lies.is_empty() { Ok(()) } else { Err(lies.join("\n")) }
    }

    fn look_at(&self, client: &mut Client, otps: &[Arc<Tracked>]) -> Vec<String> {
        let mut lies = Vec::new();
        for otp in otps {
            let told = self.call(client, otp, Op::Read).unwrap();
            let mut history = otp.history.lock().unwrap();
            if let Err(lie) = judge(history.before, &history.events, otp.rules) {
                lies.push(format!("OTP {}: {lie}", otp.id));
            }
            history.events.clear();
            history.before = match told {
                Told::State(state) => Some(state),
                _ => None,
            };
        }
        lies
    }
}

/// Tells the clients to stop when the test is done with them, or has failed.
pub(crate) struct Halt<'a>(pub(crate) &'a AtomicBool);

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// Microseconds since 1970: to be compared with the times that a tracer writes.
pub(crate) fn wall_clock() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_micros()).unwrap()
}
