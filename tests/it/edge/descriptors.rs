//! A server that runs out of file descriptors: it must not spin, and must recover by itself.
//!
//! The limit is a process's, so the server runs in a process of its own: this test binary again, under `ulimit -n`.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::raw::{Raw, get};
use super::{Edge, LONG};

/// Serves until it is killed; says where, and then what it counted, a line every 20 ms.
#[tokio::test]
#[ignore = "the other process of the test below"]
async fn serve() {
    let edge = Edge::start(|settings| {
        settings.deadlines.first_byte = Duration::from_secs(3);
        settings.deadlines.idle = Duration::from_secs(1000);
    })
    .await;
    println!("\nlistening {}", edge.address);
    sleep(LONG * 3).await;
}

/// The time on the processor that a process has used, in clock ticks (of 10 ms).
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // User and system time are the 12th and 13th field after the name, which ends with ')'.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn running_out_of_descriptors_neither_spins_nor_lasts() {
    let binary = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact edge::descriptors::serve --ignored --nocapture"])
        .arg(binary)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address: SocketAddr = loop {
        let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
        if let Some(address) = line.strip_prefix("listening ") {
            break address.parse().unwrap();
        }
    };
    // Far more callers than descriptors; some are idle after a request, most never speak.
    let mut callers = Vec::new();
    for index in 0..150 {
        let mut raw = Raw::new(timeout(LONG, TcpStream::connect(address)).await.unwrap().unwrap());
        if index < 10 {
            assert_eq!(raw.ask(get("/")).await.status, 200);
        }
        callers.push(raw);
    }
    sleep(Duration::from_millis(200)).await;
    let process = child.id().unwrap();
    let (before, start) = (ticks(process), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let used = Duration::from_millis(10 * (ticks(process) - before));
    assert!(used < start.elapsed() / 5, "{used:?} in {:?}", start.elapsed());
    // A caller who came last is served once the silent have run into their deadline, while they are still there.
    let mut last = Raw::new(TcpStream::connect(address).await.unwrap());
    assert_eq!(last.ask(get("/")).await.status, 200);
    drop(callers);
    let mut later = Raw::new(TcpStream::connect(address).await.unwrap());
    assert_eq!(later.ask(get("/")).await.status, 200);
    child.kill().await.unwrap();
}
