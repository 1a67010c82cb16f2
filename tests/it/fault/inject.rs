//! The n-th write or fsync fails. A failed fsync, and a write that fails for any reason but a full disk, ends the process:
//! the kernel may have dropped the pages, and a later fsync would succeed all the same. A full disk ends nothing: writes
//! are refused, Verify among them, until there is room.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::fault::crash::{check_file, start, unlimited_key};
use crate::fault::history::{Op, State, Status, Told};
use crate::fault::load::{Halt, World, wall_clock};
use crate::fault::model::Rules;
use crate::fault::random::Random;
use crate::fault::tracer::{Fault, Tracer};
use crate::support::{Client, Options, Server};

const CLIENTS: usize = 8;
/// For whatever has to happen in the end. The codes live longer than two of them.
const PATIENCE: Duration = Duration::from_secs(120);
/// Calls at which the system fails: the first ones, and some further on.
const NUMBERS: [usize; 10] = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89];

const FSYNC: &str = "fsync,fdatasync";
const WRITE: &str = "write,pwrite64,pwritev";
/// Writes that a full disk refuses: clients rest after twenty refusals until the test has looked around, while the
/// server tries again what it has to write itself.
const FULL_FOR: usize = 1_000;

/// The database and its log.
const STORE: &[&str] = &["otpgate.db", "otpgate.db-wal"];
/// Only checkpoints write to the database file.
const DATABASE: &[&str] = &["otpgate.db"];

/// Errors that end the process.
fn fatal_faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    for (calls, error) in [(FSYNC, "EIO"), (WRITE, "EIO"), (FSYNC, "ENOSPC")] {
        faults.extend(NUMBERS.map(|first| Fault { calls, error, first, last: first, files: STORE }));
    }
    for (calls, first) in [(FSYNC, 1), (WRITE, 1), (WRITE, 4)] {
        faults.push(Fault { calls, error: "EIO", first, last: first, files: DATABASE });
    }
    faults
}

/// How one process met its fault.
struct Ending {
    code: Option<i32>,
    /// When the call failed, and when a client first found nobody there, in microseconds since 1970.
    failed: Option<u64>,
    gone: u64,
    /// The last time that readiness was asked for and said yes.
    ready: u64,
}

/// Puts load on `server` until it ends.
fn load_until_it_ends(world: &World, server: &mut Server, tracer: Tracer, random: &mut Random) -> Ending {
    let (gone, ready) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let mut status = None;
    std::thread::scope(|scope| {
        let _halt = Halt(&stop);
        for _ in 0..CLIENTS {
            let (mut client, mut random, stop) = (server.client(&world.key), random.fork(), &stop);
            scope.spawn(move || while !stop.load(Ordering::Relaxed) && world.step(&mut client, &mut random).is_ok() {});
        }
        let (mut probe, gone, ready, stop) = (Client::new(server.public, None), &gone, &ready, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let asked = wall_clock();
                match probe.try_once("GET", "/health/ready", &[], "") {
                    Ok(answer) if answer.status == 200 => ready.store(asked, Ordering::SeqCst),
                    Ok(_) => {}
                    Err(_) => break,
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            gone.store(wall_clock(), Ordering::SeqCst);
        });
        status = server.wait_within(PATIENCE);
    });
    if status.is_none() {
        server.kill();
    }
    Ending {
        code: status.and_then(|status| status.code()),
        failed: tracer.wait(),
        gone: gone.into_inner(),
        ready: ready.into_inner(),
    }
}

#[test]
fn a_failed_write_or_fsync_ends_the_acknowledgements_and_the_process() {
    let seed = Random::seed("OTPGATE_FAULT_SEED");
    eprintln!("OTPGATE_FAULT_SEED={seed}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::new(&unlimited_key(&data));
    let (mut slowest, mut last_ready) = (0, 0);
    let faults = fatal_faults();
    for fault in &faults {
        let mut server = start(&data, &Options::default());
        // What the last process acknowledged.
        world.look(&server, &world.touched()).unwrap_or_else(|lies| panic!("before {fault:?}: {lies}"));
        world.acknowledged.lock().unwrap().clear();
        let tracer = Tracer::attach(server.id(), &data, *fault);
        let ending = load_until_it_ends(&world, &mut server, tracer, &mut random);
        let failed = ending.failed.unwrap_or_else(|| panic!("{fault:?} was never met"));
        assert_eq!(ending.code, Some(74), "{fault:?}: {}", server.log());
        assert!(server.log().contains("the store failed"), "{fault:?}: {}", server.log());
        // A checkpoint runs beside the commits: one of them may have been made durable while it failed.
        if fault.files == STORE {
            let late: Vec<_> = std::mem::take(&mut *world.acknowledged.lock().unwrap());
            let late: Vec<_> = late.into_iter().filter(|(began, _)| *began > failed).collect();
            assert!(late.is_empty(), "{fault:?}, failed at {failed}; begun later and acknowledged: {late:?}");
        }
        slowest = slowest.max(ending.gone.saturating_sub(failed));
        last_ready = last_ready.max(ending.ready.saturating_sub(failed));
        world.server_gone(true);
    }
    let mut server = start(&data, &Options::default());
    world.look(&server, &world.otps()).unwrap();
    server.kill();
    check_file(&data);
    let (faults, otps) = (faults.len(), world.otps().len());
    eprintln!(
        "{faults} faults, {otps} OTPs: nothing lost; gone after {slowest} us, last called ready after {last_ready} us"
    );
}

/// Asks until the store takes writes again.
pub(crate) fn wait_for_room(world: &World, client: &mut Client, random: &mut Random) {
    let began = Instant::now();
    while world.send(client, world.fresh_number(), random, Rules::default()).unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "it does not recover");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_disk_that_fills_up_refuses_writes_and_recovers() {
    let seed = Random::seed("OTPGATE_FAULT_SEED");
    eprintln!("OTPGATE_FAULT_SEED={seed}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let world = World::new(&unlimited_key(&data));
    for first in NUMBERS {
        let mut server = start(&data, &Options::default());
        world.look(&server, &world.touched()).unwrap_or_else(|lies| panic!("before {first}: {lies}"));
        let mut client = server.client(&world.key);
        let otp =
            world.send(&mut client, world.fresh_number(), &mut random, Rules { shared_number: true }).unwrap().unwrap();
        let fault = Fault { calls: WRITE, error: "ENOSPC", first, last: first + FULL_FOR, files: STORE };
        let tracer = Tracer::attach(server.id(), &data, fault);
        let enough = world.refused.load(Ordering::SeqCst) + 20;
        let (seen, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _halt = Halt(&stop);
            for _ in 0..CLIENTS {
                let (mut client, mut random) = (server.client(&world.key), random.fork());
                let (world, seen, stop) = (&world, &seen, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        if seen.load(Ordering::SeqCst) || world.refused.load(Ordering::SeqCst) < enough {
                            world.step(&mut client, &mut random).unwrap();
                        } else {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
            let began = Instant::now();
            while world.refused.load(Ordering::SeqCst) < enough {
                assert!(began.elapsed() < PATIENCE, "nothing is refused");
                std::thread::sleep(Duration::from_millis(1));
            }
            // The right code gets no verdict; what is committed can still be read.
            for op in [Op::Wrong, Op::Right, Op::Resend, Op::Delete] {
                assert_eq!(world.call(&mut client, &otp, op).unwrap(), Told::Refused, "{op:?}");
            }
            assert_eq!(world.call(&mut client, &otp, Op::Read).unwrap(), Told::State(State::SENT));
            assert!(tracer.failed_at().is_some());
            seen.store(true, Ordering::SeqCst);
            wait_for_room(&world, &mut client, &mut random);
        });
        let verified = State { status: Status::Verified, attempts: 1, voice: false };
        assert_eq!(
            world.call(&mut client, &otp, Op::Right).unwrap(),
            Told::Verdict(true, verified),
            "the refused ones counted"
        );
        world.look(&server, &world.touched()).unwrap_or_else(|lies| panic!("after {first}: {lies}"));
        server.kill();
        tracer.wait();
        world.server_gone(false);
    }
    let mut server = start(&data, &Options::default());
    world.look(&server, &world.otps()).unwrap();
    server.kill();
    check_file(&data);
}
