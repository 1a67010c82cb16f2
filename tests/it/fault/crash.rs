//! Kills under load: whatever was acknowledged is there after the restart, and what was in flight happened or did not.
//!
//! `OTPGATE_CRASH_ROUNDS` says how often (50), `OTPGATE_CRASH_SEED` repeats a run's choices.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::fault::history::{Op, Status};
use crate::fault::load::{Tracked, World};
use crate::fault::model::Rules;
use crate::fault::random::Random;
use crate::support::{Client, Options, Server, command};

/// Clients that mix everything.
const CLIENTS: usize = 16;
/// Wrong codes in a row that a number may have, over all its OTPs.
const BUDGET: u64 = 20;
/// OTPs of earlier rounds that each round looks at again.
const SAMPLE: usize = 64;
/// For whatever has to happen in the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key without a quota for the store in `data`; makes the store.
pub(crate) fn unlimited_key(data: &Path) -> String {
    let (code, stdout, stderr) = command(data, &["key", "create", "--name", "faults", "--json", "--unlimited"]);
    assert_eq!(code, 0, "{stderr}");
    let made: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Starts a server on `data`. The harness picks a free port, which somebody else may take first: then it picks another.
pub(crate) fn start(data: &Path, options: &Options) -> Server {
    for _ in 0..10 {
        match Server::try_start(data, options) {
            Ok(server) => return server,
            Err((status, _)) if status.code() == Some(69) => {}
            Err((status, log)) => panic!("the server ended with {status}: {log}"),
        }
    }
    panic!("no port is free");
}

/// Kills `server` after a random while of load. Gives back how many operations were answered.
fn load_and_kill(world: &World, mut server: Server, random: &mut Random, guessed: &AtomicU64) -> u64 {
    let answered = AtomicU64::new(0);
    let until_kill = Duration::from_micros(100_000 + random.below(300_000));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (mut client, mut random, answered) = (server.client(&world.key), random.fork(), &answered);
            scope.spawn(move || {
                while world.step(&mut client, &mut random).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let (mut client, mut random) = (server.client(&world.key), random.fork());
        scope.spawn(move || while guess(world, &mut client, guessed, &mut random).is_ok() {});
        std::thread::sleep(until_kill);
        server.kill();
    });
    world.server_gone(false);
    answered.into_inner()
}

/// Guesses at one code of the number `guessed`; goes to the next number when that one is locked.
fn guess(world: &World, client: &mut Client, guessed: &AtomicU64, random: &mut Random) -> std::io::Result<()> {
    let rules = Rules { shared_number: true };
    let number = guessed.load(Ordering::SeqCst);
    let Some(otp) = world.send(client, number, random, rules)? else {
        guessed.store(world.fresh_number(), Ordering::SeqCst);
        return Ok(());
    };
    for _ in 0..3 {
        world.call(client, &otp, Op::Wrong)?;
    }
    Ok(())
}

/// The guesses at each number are within its budget, and it is locked exactly when they are used up.
fn check_budgets(world: &World, server: &Server, random: &mut Random) {
    let mut guesses = BTreeMap::<u64, u64>::new();
    for otp in world.otps().iter().filter(|otp| otp.shared_number()) {
        *guesses.entry(otp.number).or_default() += otp.place().unwrap().attempts;
    }
    let mut client = server.client(&world.key);
    for (number, count) in guesses {
        assert!(count <= BUDGET, "{count} guesses at number {number}");
        let sent = world.send(&mut client, number, random, Rules { shared_number: true }).unwrap();
        assert_eq!(sent.is_none(), count == BUDGET, "number {number} had {count} guesses");
    }
}

/// Every message of an active OTP is delivered in the end: none was lost between its OTP and its place in the outbox.
fn check_deliveries(world: &World, server: &Server, otps: &[Arc<Tracked>]) {
    let mut client = server.client(&world.key);
    let began = Instant::now();
    for otp in otps.iter().filter(|otp| otp.place().is_some_and(|state| state.status == Status::Active)) {
        loop {
            let seen = client.get(&format!("/v1/otp/{}", otp.id)).expect(200).json();
            if seen["deliveryStatus"] == "DELIVERED" || seen["otpStatus"] != "ACTIVE" {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "never delivered: {seen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What SQLite says of its file, and whether its rows belong together.
pub(crate) fn check_file(data: &Path) {
    let database = rusqlite::Connection::open(data.join("otpgate.db")).unwrap();
    let said: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    let astray = "SELECT count(*) FROM outbox WHERE otp NOT IN (SELECT id FROM otp)";
    let astray: i64 = database.query_row(astray, [], |row| row.get(0)).unwrap();
    assert_eq!(astray, 0, "messages without an OTP");
}

#[test]
fn what_was_acknowledged_survives_kills_under_load() {
    let seed = Random::seed("OTPGATE_CRASH_SEED");
    let rounds: usize =
        std::env::var_os("OTPGATE_CRASH_ROUNDS").map_or(50, |text| text.to_str().unwrap().parse().unwrap());
    eprintln!("OTPGATE_CRASH_SEED={seed} OTPGATE_CRASH_ROUNDS={rounds}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::new(&unlimited_key(&data));
    let guessed = AtomicU64::new(world.fresh_number());
    let options = Options { config: "[log]\nlevel = \"error\"\n".to_owned(), ..Options::default() };
    let mut server = start(&data, &options);
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for round in 1..=rounds {
        answered += load_and_kill(&world, server, &mut random, &guessed);
        let began = Instant::now();
        server = start(&data, &options);
        slowest = slowest.max(began.elapsed());
        let all = world.otps();
        let mut otps: BTreeMap<_, _> = world.touched().into_iter().map(|otp| (otp.id.clone(), otp)).collect();
        for _ in 0..SAMPLE.min(all.len()) {
            let otp = Arc::clone(&all[random.index(all.len())]);
            otps.insert(otp.id.clone(), otp);
        }
        if let Err(lies) = world.look(&server, &otps.into_values().collect::<Vec<_>>()) {
            panic!("seed {seed}, round {round}: {lies}");
        }
        if round % 50 == 0 {
            let otps = all.len();
            eprintln!("round {round}: {otps} OTPs, {answered} answers, nothing lost; slowest restart {slowest:?}");
        }
    }
    let all = world.otps();
    if let Err(lies) = world.look(&server, &all) {
        panic!("seed {seed}, at the end: {lies}");
    }
    check_budgets(&world, &server, &mut random);
    check_deliveries(&world, &server, &all);
    server.kill();
    check_file(&data);
    assert!(answered > u64::try_from(rounds).unwrap(), "hardly any load: {answered} answers");
}
