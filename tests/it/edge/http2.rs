//! HTTP/2: over a plain socket with prior knowledge, by a real client and by raw frames.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::raw::Raw;
use super::{Edge, until};

const SHORT: Duration = Duration::from_millis(300);

/// A client whose connection runs in a task of its own.
pub(super) async fn client<T>(io: T) -> SendRequest<Body>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub(super) fn request(path: &str) -> Request<Body> {
    Request::builder().uri(format!("http://a.example{path}")).body(Body::empty()).unwrap()
}

pub(super) async fn text(response: http::Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_prior_knowledge_is_served() {
    let edge = Edge::start(|_| {}).await;
    let mut client = client(edge.raw().await.io).await;
    let mut answers = tokio::task::JoinSet::new();
    for index in 0..300_usize {
        let mut request = request("/echo");
        *request.body_mut() = Body::from(index.to_string().repeat(index));
        client.ready().await.unwrap();
        let answer = client.send_request(request);
        answers.spawn(async move { text(answer.await.unwrap()).await == index.to_string().repeat(index) });
    }
    assert_eq!(answers.join_all().await.into_iter().filter(|right| *right).count(), 300);
    assert_eq!((edge.stats.accepted.get(), edge.served()), (1, 300));
}

#[tokio::test]
async fn heads_are_checked_as_on_http1() {
    let edge = Edge::start(|_| {}).await;
    let mut client = client(edge.raw().await.io).await;
    let long = |length| "x".repeat(length);
    for (what, head, expected) in [
        ("plain", request("/"), 200),
        ("same host", with(request("/"), "host", "A.example"), 200),
        ("other host", with(request("/"), "host", "b.example"), 400),
        ("15 KB field", with(request("/"), "x", &long(15_000)), 200),
        ("17 KB field", with(request("/"), "x", &long(17_000)), 431),
        ("40 KB field", with(request("/"), "x", &long(40_000)), 431),
        ("8 KB path", request(&format!("/{}", long(8_191))), 200),
        ("20 KB path", request(&format!("/{}", long(20_000))), 414),
        ("101 fields", (0..101).fold(request("/"), |head, index| with(head, &format!("x{index}"), "y")), 431),
    ] {
        client.ready().await.unwrap();
        let answer = client.send_request(head).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{what}");
        if expected == 431 {
            assert!(text(answer).await.contains("at most 100 and have at most 16384 bytes"), "{what}");
        }
    }
}

fn with(mut request: Request<Body>, name: &str, value: &str) -> Request<Body> {
    request.headers_mut().append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    request
}

/// A body that never comes.
struct Stuck;

impl http_body::Body for Stuck {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_the_services_to_answer() {
    let edge = Edge::start(|settings| settings.deadlines.body = SHORT).await;
    let mut client = client(edge.raw().await.io).await;
    let mut stuck = request("/echo");
    *stuck.body_mut() = Body::new(Stuck);
    assert_eq!(client.send_request(stuck).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    // It is that stream's fault alone.
    assert_eq!(client.send_request(request("/")).await.unwrap().status(), StatusCode::OK);
}

// Raw frames, RFC 9113 section 4.1.

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A GET in HPACK: GET, http, and literals for the path and the authority.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x04, path.len() as u8], path.as_bytes(), &[0x01, 1, b'a']].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

fn preface(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

/// The frames of `bytes`, as kind and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let length = length.min(rest.len());
        frames.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

/// The error codes of the GOAWAY frames that come before the connection ends.
async fn goaways(raw: &mut Raw<TcpStream>) -> Vec<u32> {
    let rest = raw.rest().await;
    let goaways = frames(&rest).into_iter().filter(|(kind, _)| *kind == GOAWAY);
    goaways.map(|(_, payload)| u32::from_be_bytes(payload[4..8].try_into().unwrap())).collect()
}

#[tokio::test]
async fn the_limits_are_announced() {
    let edge = Edge::start(|settings| settings.deadlines.headers = SHORT).await;
    let mut raw = edge.raw().await;
    raw.send(preface(&[])).await;
    let rest = raw.rest().await;
    let (_, settings) = frames(&rest).into_iter().find(|(kind, _)| *kind == SETTINGS).unwrap();
    let setting = |id: u16| {
        let mut settings = settings.chunks(6).filter(|setting| setting[..2] == id.to_be_bytes());
        settings.next().map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!((setting(3), setting(4), setting(6)), (Some(100), Some(65_536), Some(65_536)));
}

#[tokio::test]
async fn a_preface_without_a_request_is_closed() {
    let edge = Edge::start(|settings| settings.deadlines.headers = SHORT).await;
    let start = Instant::now();
    // With and without the client's settings, which belong to the preface.
    let mut complete = edge.raw().await;
    complete.send(preface(&[])).await;
    let mut bare = edge.raw().await;
    bare.send(PREFACE).await;
    assert!(goaways(&mut complete).await.contains(&0));
    bare.rest().await;
    assert!(start.elapsed() >= SHORT);
    until("counted", || edge.stats.late_headers.get() == 2 && edge.stats.open.get() == 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_politely() {
    let edge = Edge::start(|settings| settings.deadlines.idle = SHORT * 5).await;
    let mut client = client(edge.raw().await.io).await;
    // Each takes longer than the connection may be idle; the pauses are far shorter.
    for _ in 0..3 {
        assert_eq!(client.send_request(request("/slow/1600")).await.unwrap().status(), StatusCode::OK);
        sleep(SHORT / 3).await;
    }
    until("closed", || edge.stats.open.get() == 0).await;
    assert_eq!(edge.stats.late_idle.get(), 1);
    assert!(client.is_closed());
}

#[tokio::test]
async fn rapid_reset_is_told_to_calm_down() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    let mut bytes = preface(&[]);
    for index in 0..1600 {
        bytes.extend(get(2 * index + 1, "/slow/50"));
        bytes.extend(frame(RST_STREAM, 0, 2 * index + 1, &8_u32.to_be_bytes()));
    }
    raw.send(bytes).await;
    assert_eq!(goaways(&mut raw).await, [ENHANCE_YOUR_CALM]);
    assert!(edge.served() <= 100, "{} served", edge.served());
    until("closed", || edge.stats.open.get() == 0).await;
}

#[tokio::test]
async fn a_peer_that_makes_us_reset_is_told_to_calm_down() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    raw.send(preface(&[])).await;
    for index in 0..400 {
        // A window that grows beyond 2^31-1 is an error of its stream (RFC 9113 section 6.9.1).
        let update = frame(WINDOW_UPDATE, 0, 2 * index + 1, &0x7fff_ffff_u32.to_be_bytes());
        raw.send([get(2 * index + 1, "/slow/50"), update].concat()).await;
        if index % 20 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(goaways(&mut raw).await, [ENHANCE_YOUR_CALM]);
    assert!(edge.served() <= 100, "{} served", edge.served());
}

#[tokio::test]
async fn frames_that_ask_for_nothing_are_bounded() {
    let edge = Edge::start(|_| {}).await;
    for idle in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]), frame(DATA, 0, 1, &[])] {
        let mut raw = edge.raw().await;
        // The stream stays open: its DATA is no error.
        let post = frame(HEADERS, END_HEADERS, 1, &[0x83, 0x86, 0x84, 0x01, 1, b'a']);
        raw.send([preface(&[]), post, idle.repeat(90)].concat()).await;
        sleep(Duration::from_millis(20)).await;
        assert_eq!(edge.stats.open.get(), 1, "{idle:?}");
        raw.send(idle.repeat(10_000)).await;
        assert_eq!(goaways(&mut raw).await.len(), 1, "{idle:?}");
        until("closed", || edge.stats.open.get() == 0).await;
    }
    assert_eq!(edge.stats.refused_framing.get(), 3);
}

#[tokio::test]
async fn a_head_that_drips_is_closed() {
    let edge = Edge::start(|settings| settings.deadlines.headers = SHORT).await;
    let mut raw = edge.raw().await;
    // A request first, so that it is not the deadline of the first one that ends it.
    raw.send([preface(&[]), get(1, "/")].concat()).await;
    until("served", || edge.served() == 1).await;
    let start = Instant::now();
    raw.send(frame(HEADERS, END_STREAM, 3, &[0x82, 0x86, 0x84])).await;
    // h2 itself allows few of these.
    for _ in 0..4 {
        raw.send(frame(CONTINUATION, 0, 3, &[0x00, 1, b'x', 1, b'y'])).await;
        sleep(SHORT / 3).await;
    }
    raw.rest().await;
    assert!(start.elapsed() >= SHORT);
    until("counted", || edge.stats.late_headers.get() == 1).await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let edge = Edge::start(|_| {}).await;
    let mut raw = edge.raw().await;
    raw.send(preface(&[])).await;
    raw.send(frame(HEADERS, END_STREAM, 1, &[0x82, 0x86, 0x84])).await;
    // A field of 16 KB in each frame.
    let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7d], vec![b'y'; 16_128].as_slice()].concat();
    for _ in 0..100 {
        raw.send(frame(CONTINUATION, 0, 1, &field)).await;
    }
    assert_eq!(goaways(&mut raw).await.len(), 1);
    assert_eq!(edge.served(), 0);
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded() {
    let edge = Edge::start(|settings| settings.deadlines.write = SHORT).await;
    // A window of nothing on each stream (setting 4).
    let mut raw = edge.raw().await;
    raw.send(preface(&[0, 4, 0, 0, 0, 0])).await;
    let start = Instant::now();
    raw.send([get(1, "/big/1000"), get(3, "/slow/1")].concat()).await;
    let rest = raw.rest().await;
    assert!(frames(&rest).iter().all(|(kind, payload)| *kind != DATA || payload.is_empty()));
    assert!(start.elapsed() >= SHORT);
    until("counted", || edge.stats.late_write.get() == 1 && edge.stats.open.get() == 0).await;
}

#[tokio::test]
async fn a_service_may_take_longer_than_any_deadline() {
    let edge = Edge::start(|settings| {
        let deadlines = &mut settings.deadlines;
        (deadlines.first_byte, deadlines.headers, deadlines.idle) = (SHORT, SHORT, SHORT);
        (deadlines.body, deadlines.write) = (SHORT, SHORT);
    })
    .await;
    let mut client = client(edge.raw().await.io).await;
    for _ in 0..2 {
        assert_eq!(text(client.send_request(request("/slow/1200")).await.unwrap()).await, "slow");
    }
}
