//! A closed-loop load of keep-alive connections on one thread. It shares no code with the server.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One request, as it is written.
#[derive(Clone)]
pub(crate) struct Call(Vec<u8>);

impl Call {
    fn of(method: &str, path: &str, key: &str, body: &str) -> Self {
        let key = if key.is_empty() { String::new() } else { format!("apikey: {key}\r\n") };
        let length = if method == "POST" {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        } else {
            String::new()
        };
        Self(format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{key}{length}\r\n{body}").into_bytes())
    }

    pub(crate) fn get(path: &str, key: &str) -> Self {
        Self::of("GET", path, key, "")
    }

    pub(crate) fn send(key: &str, number: &str, code: &str) -> Self {
        Self::of("POST", "/v1/otp", key, &format!("{{\"number\":\"{number}\",\"otpCode\":\"{code}\"}}"))
    }

    pub(crate) fn verify(key: &str, id: &str, code: &str) -> Self {
        Self::of("POST", &format!("/v1/otp/{id}/verify"), key, &format!("{{\"otpCode\":\"{code}\"}}"))
    }
}

/// What a run showed.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
    /// Answers that were neither 200 nor 429.
    pub(crate) failed: usize,
    /// The ids of OTPs in the answers.
    pub(crate) captured: Vec<String>,
}

impl Figures {
    /// From how long each of some calls took, and all of them together.
    pub(crate) fn of(mut each: Vec<Duration>, all: Duration) -> Self {
        each.sort_unstable();
        let p99 = each[(each.len() - 1) * 99 / 100];
        Self { per_second: each.len() as f64 / all.as_secs_f64(), p99, ..Self::default() }
    }
}

/// Sends `calls` requests over `connections` connections; `make` gives the request of an index.
pub(crate) fn run(address: SocketAddr, connections: usize, calls: usize, make: &dyn Fn(usize) -> Call) -> Figures {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let requests: Rc<Vec<Call>> = Rc::new((0..calls).map(make).collect());
    let (next, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (each, captured) = (Rc::new(RefCell::new(Vec::with_capacity(calls))), Rc::new(RefCell::new(Vec::new())));
    let local = tokio::task::LocalSet::new();
    let began = Instant::now();
    local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (requests, next, failed) = (Rc::clone(&requests), Rc::clone(&next), Rc::clone(&failed));
            let (each, captured) = (Rc::clone(&each), Rc::clone(&captured));
            tasks.push(tokio::task::spawn_local(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut answer = Vec::with_capacity(4096);
                loop {
                    let index = next.replace(next.get() + 1);
                    let Some(Call(request)) = requests.get(index) else { return };
                    let asked = Instant::now();
                    socket.write_all(request).await.unwrap();
                    let status = read(&mut socket, &mut answer).await;
                    each.borrow_mut().push(asked.elapsed());
                    if status != 200 && status != 429 {
                        failed.set(failed.get() + 1);
                    }
                    if request.starts_with(b"POST /v1/otp ")
                        && let Some(at) = find(&answer, b"\"otpId\":\"")
                    {
                        captured.borrow_mut().push(String::from_utf8_lossy(&answer[at + 9..at + 45]).into_owned());
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let figures = Figures::of(each.take(), began.elapsed());
    Figures { failed: failed.get(), captured: captured.take(), ..figures }
}

/// Sends a request every `pace` on one connection until it is `over`; how many were not answered with 200. What came too late
/// because an answer took longer is made up for.
pub(crate) fn paced(address: SocketAddr, pace: Duration, over: &AtomicBool, make: &dyn Fn(usize) -> Call) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (mut answer, mut failed) = (Vec::with_capacity(4096), 0);
        let mut ticks = tokio::time::interval(pace);
        for index in 0.. {
            ticks.tick().await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let Call(request) = make(index);
            socket.write_all(&request).await.unwrap();
            failed += usize::from(read(&mut socket, &mut answer).await != 200);
        }
        failed
    })
}

/// Reads one answer with a length; its status.
async fn read(socket: &mut TcpStream, answer: &mut Vec<u8>) -> u16 {
    answer.clear();
    loop {
        let length = socket.read_buf(answer).await.unwrap();
        assert!(length > 0, "the server closed the connection");
        let Some(end) = find(answer, b"\r\n\r\n") else { continue };
        let head = &answer[..end];
        let body = find(head, b"content-length: ").map_or(0, |at| {
            let digits = head[at + 16..].iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
        });
        if answer.len() >= end + 4 + body {
            return answer[9..12].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
