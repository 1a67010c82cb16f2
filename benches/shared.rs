//! A gateway on a shared store beside the bare hyper server, in one interleaved run: processor time a request, of the gateway's
//! process alone, for Verify and Status at 64 connections, each call authenticated and counted by the exact quota in the store.
//! `redis-server` must be there. It fails above 4.5 times the bare server's time.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints, reads the real clock, computes with rounded figures, and ends by panicking"
)]

#[allow(dead_code, reason = "the parts are shared, and hold more than this bench needs")]
mod gateway_parts {
    pub(crate) mod bare;
    pub(crate) mod disk;
    pub(crate) mod load;
    pub(crate) mod process;
}

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gateway_parts::bare;
use gateway_parts::load::{Call, Figures, run};
use gateway_parts::process::Gateway;

const ROUNDS: usize = 3;
const CALLS: usize = 20_000;
const CONNECTIONS: usize = 64;
/// Connections whose quotas share the load, so that none is used up: 20,000 calls of a round are 313 each.
const KEYS: usize = 64;
const MOST: f64 = 4.5;

/// A server that writes nothing to disk, gone with the bench.
struct Redis(Child, u16);

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = command.stdout(Stdio::null()).spawn().expect("redis-server");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child, port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time of a process so far, all its threads together, in nanoseconds: the first figure of `schedstat`.
fn time_of(id: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let figures = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0)
    });
    figures.sum()
}

/// Waits until a process has nothing left to do, such as delivering what was sent.
fn settle(id: u32) {
    let mut before = time_of(id);
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = time_of(id);
        if now - before < 25_000_000 {
            return;
        }
        before = now;
    }
}

/// Microseconds of the processor a call took process `id`, and what the run showed.
fn cost(id: u32, work: impl FnOnce() -> Figures) -> (f64, Figures) {
    let before = time_of(id);
    let figures = work();
    ((time_of(id) - before) as f64 / 1_000.0 / CALLS as f64, figures)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    if bare::is_asked_for() {
        return bare::serve();
    }
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let master = folder.path().join("master.key");
    std::fs::write(&master, "0f".repeat(32)).unwrap();
    let bare = bare::spawn();
    let gateway = Gateway::configured(&format!(
        "master_key_file = \"{}\"\n[store]\nurl = \"redis://127.0.0.1:{}\"\ntimeout = \"5s\"\n",
        master.display(),
        redis.1
    ));
    let keys: Vec<_> = (0..KEYS).map(|_| gateway.key(&["--calls", "1000", "--period", "60"])).collect();
    let unlimited = gateway.key(&["--unlimited"]);
    let (mut verify, mut status, mut rates) = (Vec::new(), Vec::new(), None);
    for round in 0..ROUNDS {
        let send = |index: usize| Call::send(&unlimited, &format!("+49170{round}{index:06}"), "123456");
        let sent = run(gateway.address, CONNECTIONS, CALLS, &send);
        let ids = &sent.captured;
        settle(gateway.id());
        // The same requests to both.
        let asks = |index: usize| Call::get(&format!("/v1/otp/{}", ids[index]), &unlimited);
        let checks = |index: usize| Call::verify(&keys[index % KEYS], &ids[index], "123456");
        let (reads, read_run) = cost(bare.id(), || run(bare.address, CONNECTIONS, CALLS, &asks));
        let (asked, status_run) = cost(gateway.id(), || run(gateway.address, CONNECTIONS, CALLS, &asks));
        let (limit, bare_run) = cost(bare.id(), || run(bare.address, CONNECTIONS, CALLS, &checks));
        let (checked, verify_run) = cost(gateway.id(), || run(gateway.address, CONNECTIONS, CALLS, &checks));
        let failed = [&sent, &read_run, &bare_run, &status_run, &verify_run].map(|run| run.failed);
        assert_eq!(failed, [0; 5]);
        verify.push(checked / limit);
        status.push(asked / reads);
        rates = Some((sent.per_second, bare_run.per_second, status_run.per_second, verify_run.per_second));
        println!(
            "round {round}: bare {reads:.1} and {limit:.1} us, status {asked:.1} us, verify {checked:.1} us a request"
        );
    }
    let (sent, limit, asked, checked) = rates.unwrap();
    let (verify, status) = (median(verify), median(status));
    println!("Verify on a shared store, processor time        {verify:>6.2} of bare hyper, at most {MOST}");
    println!("Status on a shared store, unlimited key         {status:>6.2} of bare hyper");
    println!("rates: bare {limit:.0}/s, send {sent:.0}/s, status {asked:.0}/s, verify {checked:.0}/s");
    assert!(verify <= MOST, "Verify costs {verify:.2} of the bare server's time");
}
