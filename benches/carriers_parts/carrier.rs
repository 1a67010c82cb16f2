//! A carrier over HTTP that answers at once, and seven that do not work, each in its own way. It shares no code with the
//! gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const BROKEN: &[u8] = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n";
const GARBAGE: &[u8] = b"\x00\xff no answer at all \r\n\r\n{\"sta";

/// What a carrier does with a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Takes it at once.
    Take,
    /// Refuses the connection.
    Refuse,
    /// Reads it and says nothing more.
    Hang,
    /// Answers 500.
    Fail,
    /// Answers 429.
    Throttle,
    /// Answers what is no HTTP.
    Garbage,
    /// Answers a byte a second.
    Drip,
    /// Reads it and resets the connection.
    Reset,
}

/// Every way not to work.
pub(crate) const BAD: [Conduct; 7] =
    [Conduct::Refuse, Conduct::Hang, Conduct::Fail, Conduct::Throttle, Conduct::Garbage, Conduct::Drip, Conduct::Reset];

/// A running carrier.
pub(crate) struct Carrier {
    pub(crate) address: SocketAddr,
    submissions: Arc<AtomicUsize>,
    /// Holds the port that refuses.
    _refusing: Option<TcpSocket>,
}

impl Carrier {
    /// One that does this with everything, on a thread of its own until the process ends.
    pub(crate) fn start(conduct: Conduct) -> Self {
        let submissions = Arc::new(AtomicUsize::new(0));
        if conduct == Conduct::Refuse {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let address = socket.local_addr().unwrap();
            return Self { address, submissions, _refusing: Some(socket) };
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, counted) = (listener.local_addr().unwrap(), Arc::clone(&submissions));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let counted = Arc::clone(&counted);
                    // A connection that breaks is the gateway's to notice.
                    tokio::spawn(async move { serve(socket, conduct, &counted).await });
                }
            });
        });
        Self { address, submissions, _refusing: None }
    }

    /// Submissions that were read.
    pub(crate) fn submissions(&self) -> usize {
        self.submissions.load(Ordering::Relaxed)
    }
}

async fn serve(mut socket: TcpStream, conduct: Conduct, counted: &AtomicUsize) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4_096);
    while read(&mut socket, &mut bytes).await? {
        counted.fetch_add(1, Ordering::Relaxed);
        match conduct {
            Conduct::Take => socket.write_all(TAKEN).await?,
            Conduct::Fail => socket.write_all(BROKEN).await?,
            Conduct::Throttle => socket.write_all(TOO_MANY).await?,
            Conduct::Garbage => return socket.write_all(GARBAGE).await,
            Conduct::Drip => {
                for byte in TAKEN {
                    socket.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Conduct::Reset => return socket.set_zero_linger(),
            // Until the gateway goes.
            Conduct::Hang | Conduct::Refuse => {
                while socket.read_buf(&mut bytes).await? > 0 {}
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads one request with a length. False at the end of the connection.
async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    bytes.clear();
    loop {
        if socket.read_buf(bytes).await? == 0 {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |digits| digits.parse().unwrap());
        if body.len() >= length {
            return Ok(true);
        }
    }
}
