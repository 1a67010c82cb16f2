//! The gateway beside its limits, in one interleaved run: a bare hyper server for reads, a bare rusqlite loop with the same
//! transactions and the same group commit for durable writes; then its memory and its start.
//!
//! Every figure is a ratio of the same run, since machines differ and are shared. `benches/run` builds and prints the table.

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

#[allow(dead_code, reason = "the bench of carriers shares the parts, and needs some that this one does not")]
mod gateway_parts {
    pub(crate) mod bare;
    pub(crate) mod disk;
    pub(crate) mod load;
    pub(crate) mod loop_store;
    pub(crate) mod page;
    pub(crate) mod process;
    pub(crate) mod service;
}

use std::time::Duration;

use gateway_parts::disk::Disk;
use gateway_parts::load::{Call, Figures, run};
use gateway_parts::process::{Gateway, resident_kb};
use gateway_parts::{bare, loop_store, page, process, service};

/// As in the gateway: the service runs in a process of this bench too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 5;
const STATUS_CALLS: usize = 60_000;
const WRITES: usize = 20_000;
const CONNECTIONS: usize = 64;
const WAITERS: usize = 256;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn row(what: &str, ours: &str, limit: &str, ratio: f64, bound: &str) {
    println!("{what:<44}{ours:>18}{limit:>18}{ratio:>9.2}  {bound}");
}

fn rate(figures: &Figures) -> String {
    format!("{:.0}/s", figures.per_second)
}

fn main() {
    if bare::is_asked_for() {
        return bare::serve();
    }
    if let Some((waiters, calls)) = loop_store::is_asked_for(loop_store::ASKED) {
        return loop_store::print(&loop_store::run(waiters, calls));
    }
    if let Some((waiters, calls)) = loop_store::is_asked_for(service::ASKED) {
        return service::serve(waiters, calls);
    }
    println!("{:<44}{:>18}{:>18}{:>9}  bound", "", "otpgate", "limit", "ratio");
    reads();
    pages();
    let folder = tempfile::tempdir().unwrap();
    writes("", &|| Disk::Own);
    writes(", syncs of 3 ms", &|| Disk::slow(folder.path()));
    memory();
    start();
}

/// Status against the bare server: 64 keep-alive connections, authentication and quota on.
fn reads() {
    let (bare, gateway) = (bare::spawn(), Gateway::start());
    // The largest quota that there is, so that it counts and never refuses.
    let key = gateway.key(&["--calls", "10000", "--period", "1"]);
    let unlimited = gateway.key(&["--unlimited"]);
    let id = gateway.send(&unlimited, "+491701234567", "123456");
    let status = Call::get(&format!("/v1/otp/{id}"), &key);
    let free = Call::get(&format!("/v1/otp/{id}"), &unlimited);
    let plain = Call::get("/", "");
    let (mut ratios, mut last) = (Vec::new(), None);
    for _ in 0..ROUNDS {
        let limit = run(bare.address, CONNECTIONS, STATUS_CALLS, &|_| plain.clone());
        // Calls beyond the quota are refused: those that count are kept below it by an unlimited key.
        let ours = run(gateway.address, CONNECTIONS, STATUS_CALLS, &|_| free.clone());
        assert_eq!((ours.failed, limit.failed), (0, 0));
        ratios.push(ours.per_second / limit.per_second);
        last = Some((ours, limit));
    }
    let (ours, limit) = last.unwrap();
    row("Status, unlimited key", &rate(&ours), &rate(&limit), median(ratios), ">= 0.65");
    // With a counted key: as many calls as its quota lets through, in as many periods.
    let (mut ratios, mut last) = (Vec::new(), None);
    for _ in 0..ROUNDS {
        let limit = run(bare.address, CONNECTIONS, STATUS_CALLS, &|_| plain.clone());
        let ours = run(gateway.address, CONNECTIONS, STATUS_CALLS, &|_| status.clone());
        ratios.push(ours.per_second / limit.per_second);
        last = Some((ours, limit));
    }
    let (ours, limit) = last.unwrap();
    row("Status, counted key, over quota", &rate(&ours), &rate(&limit), median(ratios), "(most are 429)");
}

/// The verification page against the bare server, and its weight with the largest logo.
fn pages() {
    let (bare, gateway) = (bare::spawn(), Gateway::start());
    let key = gateway.key(&["--unlimited", "--scopes", "send,admin"]);
    let path = page::open(gateway.address, &key);
    let (look, plain) = (Call::get(&path, ""), Call::get("/", ""));
    let (mut ratios, mut last) = (Vec::new(), None);
    for _ in 0..ROUNDS {
        let limit = run(bare.address, CONNECTIONS, STATUS_CALLS, &|_| plain.clone());
        let ours = run(gateway.address, CONNECTIONS, STATUS_CALLS, &|_| look.clone());
        assert_eq!((ours.failed, limit.failed), (0, 0));
        ratios.push(ours.per_second / limit.per_second);
        last = Some((ours, limit));
    }
    let (ours, limit) = last.unwrap();
    row("Verification page", &rate(&ours), &rate(&limit), median(ratios), ">= 0.40");
    page::with_logo(gateway.address, &key);
    let bytes = page::weight(gateway.address, &path);
    row("Verification page, with the largest logo", &format!("{bytes} B"), "20000 B", bytes as f64 / 2e4, "<= 1");
}

/// Send and Verify against the same transactions in a bare loop, 256 waiting clients: the domain and its store alone, and
/// the whole gateway over HTTP, whose load shares its cores.
fn writes(which: &str, disk: &dyn Fn() -> Disk) {
    let gateway = Gateway::on(disk());
    let key = gateway.key(&["--unlimited"]);
    let mut rounds = Vec::new();
    for round in 0..3 {
        let bare = loop_store::measure(loop_store::ASKED, WAITERS, WRITES, &disk());
        let alone = loop_store::measure(service::ASKED, WAITERS, WRITES, &disk());
        let send = |index: usize| Call::send(&key, &format!("+49170{round}{index:06}"), "123456");
        let sent = run(gateway.address, WAITERS, WRITES, &send);
        let ids = sent.captured.clone();
        let verify = |index: usize| Call::verify(&key, &ids[index % ids.len()], "123456");
        let verified = run(gateway.address, WAITERS, ids.len(), &verify);
        assert_eq!((sent.failed, verified.failed), (0, 0));
        rounds.push((bare, alone, sent, verified));
    }
    let compare = |what: &str, pick: &dyn Fn(usize) -> (f64, f64, f64, f64)| {
        let picked: Vec<_> = (0..rounds.len()).map(pick).collect();
        let (ours, limit, our_tail, tail) = *picked.last().unwrap();
        let name = format!("{what}{which}");
        let rates = picked.iter().map(|(ours, limit, ..)| ours / limit).collect();
        row(&name, &format!("{ours:.0}/s"), &format!("{limit:.0}/s"), median(rates), ">= 0.40");
        let tails = picked.iter().map(|(.., ours, limit)| ours / limit).collect();
        let name = format!("{what}{which}, p99");
        row(&name, &format!("{our_tail:.1} ms"), &format!("{tail:.1} ms"), median(tails), "<= 3");
    };
    let pair = |ours: &Figures, limit: &Figures| {
        let millis = |figures: &Figures| figures.p99.as_secs_f64() * 1e3;
        (ours.per_second, limit.per_second, millis(ours), millis(limit))
    };
    compare("Send, below HTTP", &|round| pair(&rounds[round].1.send, &rounds[round].0.send));
    compare("Send, over HTTP", &|round| pair(&rounds[round].2, &rounds[round].0.send));
    compare("Verify, below HTTP", &|round| pair(&rounds[round].1.verify, &rounds[round].0.verify));
    compare("Verify, over HTTP", &|round| pair(&rounds[round].3, &rounds[round].0.verify));
}

fn memory() {
    let gateway = Gateway::start();
    std::thread::sleep(Duration::from_secs(4));
    let idle = resident_kb(gateway.id());
    row("Resident, idle and warm", &format!("{:.1} MB", idle as f64 / 1024.0), "16 MB", idle as f64 / 16_384.0, "<= 1");
    let key = gateway.key(&["--unlimited"]);
    for number in process::THIRTY_COUNTRIES {
        gateway.send(&key, number, "123456");
    }
    std::thread::sleep(Duration::from_secs(4));
    let after = resident_kb(gateway.id());
    row(
        "Resident, after 30 countries",
        &format!("{:.1} MB", after as f64 / 1024.0),
        "40 MB",
        after as f64 / 40_960.0,
        "<= 1",
    );
}

fn start() {
    let mut gateway = Gateway::start();
    let key = gateway.key(&["--unlimited"]);
    run(gateway.address, CONNECTIONS, WRITES, &|index| Call::send(&key, &format!("+491709{index:06}"), "123456"));
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        waits.push(gateway.restart().as_secs_f64() * 1e3);
    }
    let wait = median(waits);
    row("Ready, existing data directory", &format!("{wait:.0} ms"), "100 ms", wait / 100.0, "<= 1");
}
