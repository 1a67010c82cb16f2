//! Kills while messages are queued: none whose code lives is lost, none leaves after its code's life, and none is submitted
//! more often than the rule allows.
//!
//! `OTPGATE_QUEUED_MESSAGES` says how many (10,000), `OTPGATE_QUEUED_SEED` repeats a run's choices.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::fault::crash::{check_file, start};
use crate::fault::load::wall_clock;
use crate::fault::random::Random;
use crate::support::carrier::number;
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::{Client, Options, Server, command};

const SENDERS: usize = 8;
/// The short lives, in seconds, from the shortest that a code can have: some end before the carrier works and some while it
/// is taking messages.
const SHORT: [u64; 8] = [30, 31, 32, 33, 34, 35, 36, 37];
/// Long enough for everything here, and short enough that a message which is stuck ends as one that was lost.
const LONG: u64 = 600;
/// What a message may be on its way from the gateway's last look at its code to the carrier's clock, on a busy machine, in
/// milliseconds.
const ON_ITS_WAY: u64 = 3_000;
/// The same as a rule for a message that says of itself that hardly anything was left of its code's life. It says so
/// too where nothing was: this tells one that was sent without that look from one that was on its way.
const AT_THE_END: u64 = 100;
/// So many are later than that rule at most, where the machine was busy. Without the look they are those whose code's
/// life was over before the carrier worked, a quarter of all.
const EXCEPTIONS: usize = 3;

/// A message that was acknowledged.
struct Promised {
    otp: String,
    /// Its number, digits only.
    number: String,
    /// Of its code, in milliseconds since 1970.
    expire: u64,
    lives_long: bool,
}

/// One submission, as the carrier saw it.
#[derive(Clone, Copy, Debug)]
struct Submission {
    /// In milliseconds since 1970.
    at: u64,
    /// What was left of its code's life when it was written, as it says, in milliseconds: at least 1.
    life: u64,
    /// Whether the carrier said that it took it.
    answered: bool,
}

/// What the carrier saw for each number.
type Book = Arc<Mutex<HashMap<String, Vec<Submission>>>>;

/// A port that refuses until it listens, so that nobody else can take it meanwhile.
struct Port(tokio::net::TcpSocket);

impl Port {
    fn closed() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    fn listen(self) -> TcpListener {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(async { self.0.listen(1_024).unwrap().into_std().unwrap() });
        listener.set_nonblocking(false).unwrap();
        listener
    }
}

/// Begins to take messages: some milliseconds each, and one in forty is read and never answered.
fn slow_carrier(port: Port, book: &Book, random: &mut Random) -> Receiver {
    let (book, random) = (Arc::clone(book), Mutex::new(random.fork()));
    Receiver::on(
        port.listen(),
        move |request| {
            let (number, submission) = read(request);
            let (pause, hangs) = {
                let mut random = random.lock().unwrap();
                (random.below(20), random.below(40) == 0)
            };
            write_down(&book, number, Submission { answered: !hangs, ..submission });
            std::thread::sleep(Duration::from_millis(pause));
            if hangs { Reply::Nothing } else { Reply::Status(200) }
        },
        None,
    )
}

/// Whose it is, and a submission that is answered.
fn read(request: &Received) -> (String, Submission) {
    let at = wall_clock() / 1_000;
    let life = request.json()["life"].as_u64().unwrap();
    (number(request).unwrap(), Submission { at, life, answered: true })
}

fn write_down(book: &Book, number: String, submission: Submission) {
    book.lock().unwrap().entry(number).or_default().push(submission);
}

fn config(url: &str) -> String {
    format!(
        "public_url = \"https://otp.example.com\"\n[log]\nlevel = \"error\"\n[limits]\nsends_per_number = []\n\
         [delivery]\ncountries = \"all\"\nmessages_per_day = \"none\"\nreceipt_within = \"2s\"\n\
         [[delivery.providers]]\nname = \"carrier\"\ntype = \"http\"\nurl = \"{url}\"\nchannels = [\"SMS\"]\n\
         [delivery.providers.http]\ntimeout = \"1s\"\n[delivery.providers.http.sms]\n\
         json = '{{\"to\": \"{{{{number}}}}\", \"life\": \"{{{{life_milliseconds|number}}}}\", \"text\": \"{{{{text}}}}\"}}'\n"
    )
}

/// A key without a quota, and applications: one for each short life, and one whose codes live long.
fn prepare(data: &Path, server: &Server) -> (String, Vec<String>, String) {
    let words = ["key", "create", "--name", "queued", "--json", "--unlimited", "--scopes", "send,status,admin"];
    let (code, stdout, stderr) = command(data, &words);
    assert_eq!(code, 0, "{stderr}");
    let made: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    let mut client = server.client(&key);
    let mut application = |expire: u64| {
        let body = json!({"name": format!("For {expire} s"), "expire": expire});
        let made = client.post_json("/v1/applications", &body).expect(200).json();
        made["applicationId"].as_str().unwrap().to_owned()
    };
    let (short, long) = (SHORT.map(&mut application).to_vec(), application(LONG));
    (key, short, long)
}

/// What the senders share.
struct Queue {
    key: String,
    short: Vec<String>,
    long: String,
    numbers: AtomicU64,
    promised: Mutex<Vec<Promised>>,
}

impl Queue {
    fn length(&self) -> usize {
        self.promised.lock().unwrap().len()
    }

    /// Sends from several connections until `enough` are acknowledged; `then` is done while sends are on their way.
    fn fill(&self, server: &mut Server, enough: usize, random: &mut Random, then: impl FnOnce(&mut Server)) {
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                let (mut client, mut random) = (server.client(&self.key), random.fork());
                scope.spawn(move || while self.length() < enough && self.send(&mut client, &mut random).is_ok() {});
            }
            while self.length() < enough {
                std::thread::sleep(Duration::from_millis(1));
            }
            then(server);
        });
    }

    fn send(&self, client: &mut Client, random: &mut Random) -> std::io::Result<()> {
        let number = format!("49151{:08}", self.numbers.fetch_add(1, Ordering::SeqCst));
        let lives_long = random.below(2) == 0;
        let application = if lives_long { &self.long } else { &self.short[random.index(SHORT.len())] };
        let body = json!({"number": format!("+{number}"), "via": "SMS", "applicationId": application}).to_string();
        let answer = client.try_once("POST", "/v1/otp", &[("Content-Type", "application/json")], &body)?;
        let otp = answer.expect(200).json();
        let (id, expire) = (otp["otpId"].as_str().unwrap().to_owned(), otp["expire"].as_u64().unwrap());
        self.promised.lock().unwrap().push(Promised { otp: id, number, expire, lives_long });
        Ok(())
    }

    /// When half of the short lives are over, in milliseconds since 1970.
    fn half_expired(&self) -> u64 {
        let promised = self.promised.lock().unwrap();
        let mut ends: Vec<_> = promised.iter().filter(|one| !one.lives_long).map(|one| one.expire).collect();
        ends.sort_unstable();
        ends[ends.len() / 2]
    }
}

fn backlog(server: &Server) -> usize {
    let text = server.admin_client().get("/metrics").expect(200).body;
    let line = text.lines().find_map(|line| line.strip_prefix("otpgate_outbox_backlog ")).unwrap();
    line.parse().unwrap()
}

/// Every promise is held, and nothing else was done.
fn check(queue: &Queue, book: &Book, server: &Server) -> String {
    let (promised, book) = (queue.promised.lock().unwrap(), book.lock().unwrap());
    let mut client = server.client(&queue.key);
    let (mut short, mut twice, mut dropped, mut exceptions) = (0, 0, 0, Vec::new());
    for Promised { otp, number, expire, lives_long } in promised.iter() {
        let seen = book.get(number).map_or(&[][..], Vec::as_slice);
        let late = seen.iter().filter(|one| one.at > expire + ON_ITS_WAY).count();
        assert_eq!(late, 0, "{otp} was sent after its code's life, which ended at {expire}: {seen:?}");
        let at_the_end = seen.iter().filter(|one| one.life <= 1 && one.at > expire + AT_THE_END);
        exceptions.extend(at_the_end.map(|one| one.at - expire));
        assert!(seen.len() <= 2, "{otp} was submitted too often: {seen:?}");
        let certain = seen.iter().any(|submission| submission.answered) || seen.len() == 2;
        assert!(certain || !lives_long, "{otp} is lost: {seen:?}");
        if seen.len() == 2 {
            let events = client.get(&format!("/2fa/v1/otp/{otp}/events")).expect(200).body;
            assert!(events.contains("SMS, repeated"), "{otp} was repeated and nobody is told: {events}");
        }
        short += usize::from(!seen.is_empty() && !lives_long);
        twice += usize::from(seen.len() == 2);
        dropped += usize::from(seen.is_empty());
    }
    // A send that was cut off may have been queued all the same; the rules hold for it too.
    assert!(book.values().all(|seen| seen.len() <= 2), "a message that nobody was promised was submitted too often");
    let count = exceptions.len();
    assert!(count <= EXCEPTIONS, "{count} were sent so many milliseconds after their codes' lives: {exceptions:?}");
    // Otherwise none of the rules was put to the test.
    assert!(dropped > 0, "the carrier came back before a code's life was over");
    assert!(twice > 0, "no kill and no silence met a submission");
    let arrived = promised.len() - dropped;
    format!(
        "{arrived} arrived ({short} of a short life), {twice} of them twice and marked; {dropped} codes ended first"
    )
}

#[test]
fn what_is_queued_arrives_in_time_or_not_at_all_whatever_is_killed() {
    let seed = Random::seed("OTPGATE_QUEUED_SEED");
    let count: usize =
        std::env::var_os("OTPGATE_QUEUED_MESSAGES").map_or(10_000, |text| text.to_str().unwrap().parse().unwrap());
    eprintln!("OTPGATE_QUEUED_SEED={seed} OTPGATE_QUEUED_MESSAGES={count}");
    let mut random = Random::new(seed);
    let part = |random: &mut Random, of: usize| of / 10 + random.index(of / 2);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = Port::closed();
    let options = Options { config: config(&port.url()), ..Options::default() };
    let mut server = start(&data, &options);
    let (key, short, long) = prepare(&data, &server);
    let queue = Queue { key, short, long, numbers: AtomicU64::new(0), promised: Mutex::default() };

    // Nobody takes anything. The first kill meets senders.
    let first = part(&mut random, count);
    queue.fill(&mut server, first, &mut random, Server::kill);
    server = start(&data, &options);
    queue.fill(&mut server, count, &mut random, |_| {});
    let long = queue.promised.lock().unwrap().iter().filter(|one| one.lives_long).count();
    let waiting = backlog(&server);
    assert!(waiting >= long, "{waiting} are queued, and {long} live");
    let until = queue.half_expired().saturating_sub(wall_clock() / 1_000);
    std::thread::sleep(Duration::from_millis(until));

    // The second meets a full outbox, the third a carrier that is taking messages.
    server.kill();
    let book = Book::default();
    let carrier = slow_carrier(port, &book, &mut random);
    server = start(&data, &options);
    let some = part(&mut random, long);
    while book.lock().unwrap().len() < some {
        std::thread::sleep(Duration::from_millis(1));
    }
    server.kill();

    // Now it works. Each message ends: at the latest when its code does.
    let kept = Arc::clone(&book);
    carrier.change(move |request| {
        let (number, submission) = read(request);
        write_down(&kept, number, submission);
        Reply::Status(200)
    });
    server = start(&data, &options);
    while backlog(&server) > 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!(
        "{waiting} were queued, killed at {first} sends and at {some} submissions: {}",
        check(&queue, &book, &server)
    );
    server.kill();
    check_file(&data);
}
