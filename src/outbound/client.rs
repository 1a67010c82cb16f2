//! The client: one request, one answer, in bounded time and memory. It follows no redirect, keeps connections for a while,
//! and sends path and query as they are, byte for byte.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::outbound::connect::{ConnectError, Connector, Reach};

/// From the request to the head of its answer, the connection included.
const ANSWER: Duration = Duration::from_secs(20);
/// For the answer's body.
const BODY: Duration = Duration::from_secs(5);
/// Bytes of an answer's body; what is more is not read.
pub const BODY_BYTES: usize = 64 * 1_024;
/// How long a connection waits for its next request.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one host that wait.
const IDLE_CONNECTIONS: usize = 4;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body, or what came of it: at most [`BODY_BYTES`].
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

/// Why there is no answer. The words name no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection; nothing was sent.
    #[error("{0}")]
    NotConnected(&'static str),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    TooSlow,
    /// The connection broke, or what came back is not HTTP.
    #[error("the connection broke before it answered")]
    Broken,
}

/// The client. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    /// From the request to the head of its answer, the connection included.
    answer: Duration,
    /// For the answer's body.
    body: Duration,
}

impl Client {
    /// A client whose connections go where `reach` says.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self { body: BODY, ..Self::with(reach, ANSWER, IDLE_CONNECTIONS) }
    }

    /// A client with one deadline for everything, body included, and so many connections to one host that wait.
    #[must_use]
    pub fn with(reach: Reach, deadline: Duration, idle_connections: usize) -> Self {
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle_connections)
            .build(Connector::new(reach));
        Self { inner, answer: deadline, body: deadline }
    }

    /// Sends a request to its absolute address.
    ///
    /// # Errors
    /// [`SendError`]; but for the first kind the request may have arrived.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, SendError> {
        let began = Instant::now();
        let connected = capture_connection(&mut request);
        let answered = tokio::time::timeout(self.answer, self.inner.request(request)).await;
        // Without a connection nothing was sent, however long it was waited for.
        let late = |_| match &*connected.connection_metadata() {
            Some(_) => SendError::TooSlow,
            None => SendError::NotConnected(ConnectError::TooSlow.words()),
        };
        let (head, body) = answered.map_err(late)?.map_err(|error| why(&error))?.into_parts();
        let left = if self.body == self.answer { self.body.saturating_sub(began.elapsed()) } else { self.body };
        let (body, whole) = read(body, left).await;
        Ok(Answer { status: head.status, headers: head.headers, body, whole })
    }
}

/// What arrives of a body within its bounds, and whether that is all. What is left unread ends the connection.
async fn read(mut body: Incoming, time: Duration) -> (Bytes, bool) {
    let mut bytes = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            if let Ok(data) = frame.into_data() {
                let room = BODY_BYTES - bytes.len();
                bytes.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
                if data.len() > room {
                    return false;
                }
            }
        }
        true
    };
    let whole = tokio::time::timeout(time, reading).await.unwrap_or(false);
    (bytes.freeze(), whole)
}

fn why(error: &legacy::Error) -> SendError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<ConnectError>() {
            return SendError::NotConnected(cause.words());
        }
        source = cause.source();
    }
    SendError::Broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn request(listener: &TcpListener) -> Request<Full<Bytes>> {
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        Request::post(uri).body(Full::new(Bytes::from_static(b"{}"))).unwrap()
    }

    /// In a clock that leaps: nothing is waited for but the deadlines.
    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_left_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let began = Instant::now();
        let sent = Client::new(Reach::Anywhere).send(request(&listener)).await;
        assert!(matches!(sent, Err(SendError::TooSlow | SendError::NotConnected(_))), "{sent:?}");
        assert!(began.elapsed() <= ANSWER + Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn no_more_of_a_body_is_read_than_its_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = request(&listener);
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1_000]).await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
            while socket.write_all(&[b'x'; 10_000]).await.is_ok() {}
        });
        let answer = Client::new(Reach::Anywhere).send(request).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, BODY_BYTES));
    }

    #[tokio::test]
    async fn who_is_not_there_is_told_apart_from_who_breaks_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, first) = (Client::new(Reach::Anywhere), request(&listener));
        let second = request(&listener);
        let breaking = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        assert_eq!(client.send(first).await.unwrap_err(), SendError::Broken);
        breaking.await.unwrap();
        assert_eq!(client.send(second).await.unwrap_err(), SendError::NotConnected("it takes no connections"));
    }
}
