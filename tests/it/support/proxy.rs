//! A proxy between a caller and a server, over which a test has power: it passes everything on, swallows everything in both
//! directions as a broken network does, breaks every connection, or is far away. Knows nothing of what passes through.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// What it does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wire {
    /// Passes it on.
    Whole,
    /// Reads it and says nothing, in both directions: nobody is told that it never arrives.
    Dead,
    /// Breaks every connection, and takes no new one.
    Broken,
    /// What is asked arrives, and what is answered does not.
    Mute,
}

/// A running proxy.
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<AtomicU8>,
    target: Arc<AtomicU16>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// A proxy before what listens on this port of the machine.
    pub(crate) fn before(port: u16) -> Self {
        Self::far_before(port, Duration::ZERO)
    }

    /// The same, where whatever is sent to the server arrives so much later, however much of it there is.
    pub(crate) fn far_before(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, open) = (Arc::new(AtomicU8::new(Wire::Whole as u8)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let target = Arc::new(AtomicU16::new(port));
        let (state, kept, behind) = (Arc::clone(&wire), Arc::clone(&open), Arc::clone(&target));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { break };
                if state.load(Ordering::SeqCst) == Wire::Broken as u8 {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", behind.load(Ordering::SeqCst))) else { continue };
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let ways = [(near.try_clone(), far.try_clone(), false), (Ok(far), Ok(near), true)];
                for (from, to, back) in ways {
                    let (from, to, state) = (from.unwrap(), to.unwrap(), Arc::clone(&state));
                    std::thread::spawn(move || {
                        if back || delay.is_zero() { pass(from, to, &state, back) } else { lag(from, to, delay) }
                    });
                }
            }
        });
        Self { address, wire, target, open }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address, as `--store` takes it.
    pub(crate) fn store(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on new connections lead to this port, as an address does that moves to another machine.
    pub(crate) fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }

    /// From now on it does this.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.store(wire as u8, Ordering::SeqCst);
        if wire == Wire::Broken {
            for socket in self.open.lock().unwrap().drain(..) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

/// What came over a dead wire is gone for good, and so is what comes after it: a connection with a hole in it never heals.
fn pass(mut from: TcpStream, mut to: TcpStream, wire: &AtomicU8, back: bool) {
    let swallows = || {
        let wire = wire.load(Ordering::SeqCst);
        wire == Wire::Dead as u8 || back && wire == Wire::Mute as u8
    };
    let mut bytes = [0; 65_536];
    let mut hole = false;
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        hole |= swallows();
        if hole {
            continue;
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // Who sits behind a dead wire is not told of the end either.
    while swallows() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Everything arrives, each piece so much after it was sent.
fn lag(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (pieces, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    let mut end = to.try_clone().unwrap();
    std::thread::spawn(move || {
        for (at, piece) in arriving {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let mut bytes = [0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if pieces.send((Instant::now() + delay, bytes[..length].to_vec())).is_err() {
            break;
        }
    }
    let _ = end.flush();
    let _ = end.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_wire_is_whole_then_dead_then_broken() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::before(server.local_addr().unwrap().port());
    let mut near = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let (mut far, _) = server.accept().unwrap();
    near.write_all(b"a").unwrap();
    let mut byte = [0];
    far.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"a");
    proxy.set(Wire::Dead);
    near.write_all(b"b").unwrap();
    far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(far.read(&mut byte).is_err(), "it never arrives");
    proxy.set(Wire::Broken);
    assert!(matches!(near.read(&mut byte), Ok(0) | Err(_)));
}
