//! What can only be seen from outside the server's process: its descriptors run out, its memory.
//!
//! The server is this test binary again, started by a shell that sets the limit on descriptors.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::raw::{Raw, get};
use super::{Edge, LONG};

/// Set in the other process.
const OTHER: &str = "EDGE_OTHER_PROCESS";

/// The other process: serves until it is killed. In the first one there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve() {
    if std::env::var_os(OTHER).is_none() {
        return;
    }
    let edge = Edge::start(|settings| {
        settings.deadlines.first_byte = Duration::from_secs(1);
        settings.deadlines.idle = Duration::from_secs(1000);
    })
    .await;
    println!("\nlistening {}", edge.address);
    sleep(LONG * 3).await;
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    async fn start(descriptors: u32) -> Self {
        let script = format!("ulimit -n {descriptors} && exec \"$0\" --exact edge::process::serve --nocapture");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(OTHER, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening ") {
                return Self { child, address: address.parse().unwrap() };
            }
        }
    }

    async fn raw(&self) -> Raw<TcpStream> {
        Raw::new(timeout(LONG, TcpStream::connect(self.address)).await.unwrap().unwrap())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id().unwrap())).unwrap()
    }

    /// The time on the processor that it has used.
    fn processor_time(&self) -> Duration {
        let stat = self.file("stat");
        // User and system time, in ticks of 10 ms, are the 12th and 13th field after the name, which ends with ')'.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
    }

    /// Resident memory in bytes.
    fn memory(&self) -> u64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

#[tokio::test]
async fn running_out_of_descriptors_neither_spins_nor_lasts() {
    let server = Server::start(40).await;
    // Far more callers than descriptors; some are idle after a request, most never speak.
    let mut callers = Vec::new();
    for index in 0..150 {
        let mut raw = server.raw().await;
        if index < 10 {
            assert_eq!(raw.ask(get("/")).await.status, 200);
        }
        callers.push(raw);
    }
    let (before, start) = (server.processor_time(), Instant::now());
    sleep(Duration::from_secs(1)).await;
    let used = server.processor_time() - before;
    assert!(used < start.elapsed() / 5, "{used:?} in {:?}", start.elapsed());
    // A caller who came last is served once the silent have run into their deadline, while they are still there.
    assert_eq!(server.raw().await.ask(get("/")).await.status, 200);
    drop(callers);
    assert_eq!(server.raw().await.ask(get("/")).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_takes_little_memory() {
    const CONNECTIONS: u64 = 800;
    let server = Server::start(1000).await;
    // What is needed once.
    for _ in 0..20 {
        assert_eq!(server.raw().await.ask(get("/")).await.status, 200);
    }
    let before = server.memory();
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = server.raw().await;
        assert_eq!(raw.ask(get("/")).await.status, 200);
        callers.push(raw);
    }
    let each = (server.memory() - before) / CONNECTIONS;
    println!("{each} bytes a connection");
    assert!(each <= 8 * 1024, "{each} bytes a connection");
}
