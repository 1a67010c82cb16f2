//! A client that sends what it is told to, byte for byte, and reads HTTP/1 answers.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::LONG;

/// One answer. A connection that ended without one has status 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

pub(super) struct Raw<T> {
    pub(super) io: T,
    buffer: Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, buffer: Vec::new() }
    }

    /// Sends; a connection that is closed meanwhile is no error here.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(LONG, self.io.write_all(bytes.as_ref())).await.expect("the server does not read");
        let _ = self.io.flush().await;
    }

    /// Sends in pieces of `step` bytes, each in a packet of its own.
    pub(super) async fn send_pieces(&mut self, bytes: &[u8], step: usize) {
        for piece in bytes.chunks(step) {
            self.send(piece).await;
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// The next answer; 100 (Continue) is one, too. Status 0 if the connection ended before its head was complete.
    pub(super) async fn answer(&mut self) -> Answer {
        timeout(LONG, self.read_answer()).await.expect("no answer in time")
    }

    async fn read_answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                return Answer::default();
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length && self.more().await {}
        let body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    async fn more(&mut self) -> bool {
        let read = self.io.read_buf(&mut self.buffer).await;
        read.is_ok_and(|read| read > 0)
    }

    pub(super) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Reads to the end of the connection; what came before it.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        timeout(LONG, async { while self.more().await {} }).await.expect("the connection is still open");
        std::mem::take(&mut self.buffer)
    }

    /// Whether the connection ends without a further byte.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}

pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub(super) fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
