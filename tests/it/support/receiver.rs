//! A receiver of events: a small HTTP server that keeps what it was sent, byte for byte, and answers what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The whole request line.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// When the whole of it was here.
    pub came: Instant,
    /// The status that it was answered with, and when the answer had been written, by this side's clock.
    pub answered: Arc<OnceLock<(u16, Instant)>>,
}

impl Received {
    /// A header field, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The event's id.
    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    /// What happened.
    pub(crate) fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }

    /// How many of its signatures `secret` made.
    pub(crate) fn signed_by(&self, secret: &str) -> usize {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let content = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(tag));
        self.header("webhook-signature").split(' ').filter(|signature| *signature == expected).count()
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers this status, and nothing else.
    Status(u16),
    /// Answers these bytes.
    Raw(String),
    /// Answers 200 and never stops sending its body.
    Endless,
    /// Answers nothing, and keeps the connection.
    Nothing,
    /// Answers nothing, and closes the connection.
    Close,
    /// Answers these bytes, one a second.
    Drip(String),
}

type Behaviour = dyn Fn(&Received) -> Reply + Send + Sync;

/// A running receiver.
pub(crate) struct Receiver {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
    behaviour: Arc<Mutex<Arc<Behaviour>>>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::with(|_| Reply::Status(202))
    }

    pub(crate) fn with(behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::over(behaviour, None)
    }

    /// Over TLS where there is a configuration for it.
    pub(crate) fn over(
        behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), behaviour, tls)
    }

    /// On a listener that is there already.
    pub(crate) fn on(
        listener: TcpListener,
        behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviour: Arc<Mutex<Arc<Behaviour>>> = Arc::new(Mutex::new(Arc::new(behaviour)));
        let (kept, told) = (Arc::clone(&seen), Arc::clone(&behaviour));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { break };
                let (kept, told, tls) = (Arc::clone(&kept), Arc::clone(&told), tls.clone());
                // A connection that breaks ends its thread, and is the test's to notice.
                std::thread::spawn(move || match tls {
                    None => serve(socket, &kept, &told),
                    Some(config) => {
                        let session = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(session, socket), &kept, &told);
                    }
                });
            }
        });
        Self { address, seen, behaviour }
    }

    /// From now on it does this.
    pub(crate) fn change(&self, behaviour: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// An address on it.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Everything that came so far.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until everything that a process sent before it died is here: until the kernel lists no connection to this port whose
    /// other side is closed and that is not read to its end (`CLOSE_WAIT`, also where nobody accepted it yet).
    pub(crate) fn drained(&self) {
        let port = format!(":{:04X}", self.address.port());
        let waits = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("08")
        };
        while std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(waits) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `enough` is there.
    pub(crate) fn wait(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        for _ in 0..6_000 {
            let seen = self.seen();
            if enough(&seen) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not come: {:?}", self.seen());
    }

    /// Waits for the first request about this event.
    pub(crate) fn wait_for(&self, event: &str) -> Received {
        let found = |seen: &[Received]| seen.iter().position(|one| one.event() == event);
        let seen = self.wait(|seen| found(seen).is_some());
        seen[found(&seen).unwrap()].clone()
    }
}

fn serve(socket: impl Read + Write, seen: &Mutex<Vec<Received>>, behaviour: &Mutex<Arc<Behaviour>>) {
    let mut socket = BufReader::new(socket);
    while let Some(received) = read(&mut socket) {
        let behaviour = Arc::clone(&behaviour.lock().unwrap());
        let reply = behaviour(&received);
        let answered = Arc::clone(&received.answered);
        seen.lock().unwrap().push(received);
        let mut said = None;
        let text = match reply {
            Reply::Status(status) => {
                said = Some(status);
                format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n")
            }
            Reply::Raw(text) => text,
            Reply::Nothing => loop {
                std::thread::park();
            },
            Reply::Close => return,
            Reply::Drip(text) => {
                for byte in text.bytes() {
                    let sent = socket.get_mut().write_all(&[byte]).and_then(|()| socket.get_mut().flush());
                    if sent.is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                continue;
            }
            Reply::Endless => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut next = socket.get_mut().write_all(head.as_bytes());
                while next.is_ok() {
                    next = socket.get_mut().write_all(b"1000\r\n").and_then(|()| {
                        socket.get_mut().write_all(&[b'x'; 0x1000])?;
                        socket.get_mut().write_all(b"\r\n")
                    });
                }
                return;
            }
        };
        if socket.get_mut().write_all(text.as_bytes()).and_then(|()| socket.get_mut().flush()).is_err() {
            return;
        }
        if let Some(status) = said {
            let _first = answered.set((status, Instant::now()));
        }
    }
}

fn read(socket: &mut impl BufRead) -> Option<Received> {
    let mut line = String::new();
    if socket.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        socket.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    socket.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    let (came, answered) = (Instant::now(), Arc::default());
    Some(Received { line: line.trim_end().to_owned(), headers, body, came, answered })
}
