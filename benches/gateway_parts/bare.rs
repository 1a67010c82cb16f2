//! The limit: hyper's HTTP/1.1 server that answers 303 bytes of JSON and does nothing else, in its own process. The body of a
//! POST it reads first.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

const ASK: &str = "--bare-server";

pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bare {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

pub(crate) fn is_asked_for() -> bool {
    std::env::args().any(|word| word == ASK)
}

pub(crate) fn spawn() -> Bare {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.arg(ASK).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Bare { child, address: line.trim().parse().unwrap() }
}

pub(crate) fn serve() {
    let body = Bytes::from(format!("{{\"filler\":\"{}\"}}", "x".repeat(290)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request: http::Request<Incoming>| {
                    let body = body.clone();
                    async move {
                        if request.method() == http::Method::POST {
                            std::hint::black_box(request.into_body().collect().await.unwrap().to_bytes());
                        }
                        let response = http::Response::builder().header("content-type", "application/json");
                        Ok::<_, Infallible>(response.body(Full::new(body)).unwrap())
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            });
        }
    });
}
