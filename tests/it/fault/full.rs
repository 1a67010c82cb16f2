//! A disk that is really full: a small file system of memory. Mounting needs root; without it the test says so and passes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fault::crash::{check_file, start, unlimited_key};
use crate::fault::history::{Op, State, Status, Told};
use crate::fault::inject::wait_for_room;
use crate::fault::load::{Halt, World};
use crate::fault::model::Rules;
use crate::fault::random::Random;
use crate::support::{Client, Options, Server};

const CLIENTS: usize = 8;
/// For whatever has to happen in the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mounted file system.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one of `size` on `path`; none where that is not permitted.
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={size}");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(path)),
            refused => {
                eprintln!("SKIPPED: a file system cannot be mounted here: {refused:?}");
                None
            }
        }
    }

    /// Takes all the room there is, until the guard is dropped.
    fn fill(&self) -> Filler {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        Filler(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A start while there is no room: it serves what is there, or says why not in one line.
fn start_without_room(data: &Path) {
    match Server::try_start(data, &Options::default()) {
        Ok(mut server) => server.kill(),
        Err((status, log)) => {
            let code = status.code();
            assert!(code == Some(73) || code == Some(74), "{status}: {log}");
            assert!(log.contains("otpgate: ") && !log.contains("panicked"), "{log}");
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_and_is_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path().join("disk"), "8m") else { return };
    let seed = Random::seed("OTPGATE_FAULT_SEED");
    eprintln!("OTPGATE_FAULT_SEED={seed}");
    let mut random = Random::new(seed);
    let data = disk.0.join("data");
    let world = World::new(&unlimited_key(&data));
    let mut server = start(&data, &Options::default());
    let mut client = server.client(&world.key);
    // Others leave these alone.
    let alone = Rules { shared_number: true };
    let mut send = || world.send(&mut client, world.fresh_number(), &mut random, alone).unwrap().unwrap();
    let mut waiting: Vec<_> = (0..200).map(|_| send()).collect();
    let filler = disk.fill();
    let verified = State { status: Status::Verified, attempts: 1, voice: false };
    let stop = AtomicBool::new(false);
    let mut took = 0;
    std::thread::scope(|scope| {
        let _halt = Halt(&stop);
        for _ in 0..CLIENTS {
            let (mut client, mut random) = (server.client(&world.key), random.fork());
            let (world, stop) = (&world, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    world.step(&mut client, &mut random).unwrap();
                }
            });
        }
        let began = Instant::now();
        while world.refused.load(Ordering::SeqCst) < 200 {
            assert!(began.elapsed() < PATIENCE, "nothing is refused");
            std::thread::sleep(Duration::from_millis(5));
        }
        // What is left of the log may still take a small write. Then even a right code gets no verdict.
        let refused = loop {
            let otp = waiting.pop().expect("the disk is full, and every check is taken");
            match world.call(&mut client, &otp, Op::Right).unwrap() {
                Told::Refused => break otp,
                told => assert_eq!(told, Told::Verdict(true, verified)),
            }
            took += 1;
        };
        assert_eq!(world.call(&mut client, &refused, Op::Read).unwrap(), Told::State(State::SENT));
        Client::new(server.public, None).get("/health/live").expect(200);
        drop(filler);
        let began = Instant::now();
        wait_for_room(&world, &mut client, &mut random);
        eprintln!(
            "{took} checks were taken on a full disk; with room again it took writes after {:?}",
            began.elapsed()
        );
        let told = world.call(&mut client, &refused, Op::Right).unwrap();
        assert_eq!(told, Told::Verdict(true, verified), "the refused check counted");
    });
    world.look(&server, &world.otps()).unwrap_or_else(|lies| panic!("seed {seed}: {lies}"));
    // The end comes while the disk is full.
    let filler = disk.fill();
    server.kill();
    world.server_gone(false);
    start_without_room(&data);
    drop(filler);
    let mut server = start(&data, &Options::default());
    world.look(&server, &world.otps()).unwrap_or_else(|lies| panic!("seed {seed}, restarted: {lies}"));
    server.kill();
    check_file(&data);
}
