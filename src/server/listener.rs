//! The listening socket and the accept loop: who is let in, and when. Knows nothing of what is spoken.
//!
//! A connection is accepted when it has a permit, and keeps it to its end; while there is none, callers wait in the
//! kernel's queue, which is long enough for a burst. When permits or descriptors run out, idle connections are told
//! to leave sooner, so that silence cannot keep callers out.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tower::Service;

use super::connection;
use super::drain::{Drain, Stage, Ticket};
use super::link::Common;
use super::settings::Settings;
use super::stats::ServerStats;

/// Connections that the kernel completes and keeps until they are accepted; Linux caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How long the loop rests when the system has no descriptor or memory for a further connection.
const BREATHER: Duration = Duration::from_millis(100);

/// How long idle connections are pressed to leave after room was last short.
const PRESSURE: Duration = Duration::from_secs(5);

/// At the close, how long the queue must have been empty, and how long it may take to empty it.
const QUEUE_EMPTY: Duration = Duration::from_millis(10);
const QUEUE_EMPTIED: Duration = Duration::from_millis(200);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there already.
    #[error("{0} is in use")]
    AddressInUse(SocketAddr),
    /// The system refuses it, as ports below 1024 without privilege.
    #[error("no permission to listen on {0}")]
    PermissionDenied(SocketAddr),
    /// The address belongs to no interface of this machine.
    #[error("{0} is not an address of this machine")]
    AddressNotAvailable(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// A socket that listens; callers queue from now on, and are accepted once it is given to a [`Server`].
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`, with a queue of 4,096 and `SO_REUSEADDR`. Port 0 picks a free one. Needs a runtime.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listen = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        listen().map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::AddressInUse(address),
            io::ErrorKind::PermissionDenied => BindError::PermissionDenied(address),
            io::ErrorKind::AddrNotAvailable => BindError::AddressNotAvailable(address),
            _ => BindError::Other { address, source },
        })
    }

    /// The address with the port that was picked.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// One listener's server.
pub struct Server {
    common: Arc<Common>,
    drain: Drain,
    permits: Arc<Semaphore>,
    /// When room was last short.
    pressed: Mutex<Option<Instant>>,
}

impl Server {
    /// A server that ends with `drain`, which others may share.
    #[must_use]
    pub fn new(settings: Settings, drain: &Drain) -> Self {
        let common = Arc::new(Common::new(settings, drain.gate()));
        let permits = Arc::new(Semaphore::new(common.connections()));
        Self { common, drain: drain.clone(), permits, pressed: Mutex::new(None) }
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Arc<ServerStats> {
        Arc::clone(&self.common.stats)
    }

    /// Accepts connections and serves each in a task of its own, until the drain closes; then takes in what already
    /// waits in the kernel's queue, closes the listening socket and returns. The connections go on;
    /// [`Drain::run`] waits for them.
    ///
    /// The service is cloned for each request. Cancellation: a request whose connection breaks is dropped (HTTP/1)
    /// with its future, so whatever must not be left half done belongs into a task of its own.
    pub async fn serve<S>(self, listener: Listener, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Listener { socket, .. } = listener;
        // The drain waits for this loop, too: there may be connections in the queue.
        let _ticket = self.drain.ticket();
        let gate = Arc::clone(&self.common.gate);
        let closing = gate.reached(Stage::Closing);
        tokio::pin!(closing);
        loop {
            let taken = tokio::select! {
                biased;
                () = &mut closing => break,
                taken = self.take(&socket) => taken,
            };
            self.spawn(taken, &service);
        }
        self.take_in_rest(&socket, &service).await;
    }

    /// The next connection, with its permit.
    async fn take(&self, socket: &TcpListener) -> Taken {
        let permit = self.permit().await;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    self.relax();
                    return Taken { stream, peer, permit };
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory. Accepting again at once would fail again at once.
                    self.common.stats.accept_errors.add_one();
                    self.press(&error.to_string());
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return permit;
        }
        self.common.stats.permit_waits.add_one();
        self.press("every connection permit is taken");
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    fn press(&self, reason: &str) {
        *self.pressed.lock() = Some(Instant::now());
        if !self.common.gate.now().pressed {
            tracing::warn!(reason, "no room for further connections; idle ones have to leave");
            self.common.gate.press(true);
        }
    }

    /// Ends the pressure, but not at once: each change wakes every connection.
    fn relax(&self) {
        if !self.common.gate.now().pressed || self.permits.available_permits() < self.common.connections() / 8 {
            return;
        }
        let mut pressed = self.pressed.lock();
        if pressed.is_none_or(|since| since.elapsed() >= PRESSURE) {
            *pressed = None;
            self.common.gate.press(false);
        }
    }

    fn spawn<S>(&self, taken: Taken, service: &S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Taken { stream, peer, permit } = taken;
        self.common.stats.accepted.add_one();
        // Answers are written whole; waiting for more only delays them. A failure is the connection's to find.
        let _ = stream.set_nodelay(true);
        let seat = Seat { ticket: self.drain.ticket(), _permit: permit };
        tokio::spawn(connection::run(stream, peer, Arc::clone(&self.common), service.clone(), seat));
    }

    /// Takes in the connections that the kernel has completed, which closing the socket would reset.
    async fn take_in_rest<S>(&self, socket: &TcpListener, service: &S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let take = async {
            while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                match timeout(QUEUE_EMPTY, socket.accept()).await {
                    Ok(Ok((stream, peer))) => self.spawn(Taken { stream, peer, permit }, service),
                    Ok(Err(error)) if is_peers_fault(&error) => {}
                    _ => return,
                }
            }
        };
        // A late caller more or less: the socket has to close some time.
        let _ = timeout_at(Instant::now() + QUEUE_EMPTIED, take).await;
    }
}

/// What a connection holds to its end.
pub(super) struct Seat {
    pub(super) ticket: Ticket,
    _permit: OwnedSemaphorePermit,
}

struct Taken {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Whether a failed accept says something of one caller only, and the next may be accepted at once.
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
