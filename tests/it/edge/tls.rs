//! TLS: what is spoken, what is refused, and a certificate that changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use otpgate::server::{Tls, TlsError};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2::{client, request, text};
use super::raw::{Raw, get};
use super::{Edge, until};

const SHORT: Duration = Duration::from_millis(300);

/// A directory with `chain.pem` and `key.pem`.
struct Files(TempDir);

impl Files {
    fn new() -> (Self, CertificateDer<'static>) {
        let files = Self(tempfile::tempdir().unwrap());
        let certificate = files.renew();
        (files, certificate)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.path("chain.pem"), cert.pem()).unwrap();
        std::fs::write(self.path("key.pem"), signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.path("chain.pem"), &self.path("key.pem"))
    }
}

async fn connect(
    edge: &Edge,
    trusted: &[&CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, edge.raw().await.io).await
}

async fn start(tls: &Tls) -> Edge {
    let tls = tls.clone();
    Edge::start(|settings| settings.tls = Some(tls)).await
}

#[tokio::test]
async fn speaks_both_versions_and_both_protocols() {
    let (files, certificate) = Files::new();
    let edge = start(&files.load().unwrap()).await;
    for version in [&TLS12, &TLS13] {
        for protocols in [&["http/1.1"][..], &[]] {
            let stream = connect(&edge, &[&certificate], &[version], protocols).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            let mut raw = Raw::new(stream);
            for _ in 0..3 {
                assert_eq!(raw.ask(get("/")).await.status, 200);
                sleep(Duration::from_millis(10)).await;
            }
            raw.send(["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat()).await;
            assert_eq!(raw.answer().await.status, 200);
            assert!(raw.is_closed().await);
        }
        let stream = connect(&edge, &[&certificate], &[version], &["http/1.1", "h2"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = client(stream).await;
        assert_eq!(text(client.send_request(request("/big/100000")).await.unwrap()).await.len(), 100_000);
    }
    assert_eq!(ProtocolVersion::TLSv1_2, TLS12.version);
}

#[tokio::test]
async fn older_versions_are_refused() {
    let (files, _) = Files::new();
    let edge = start(&files.load().unwrap()).await;
    // A ClientHello of TLS 1.1: version, random, no session, one cipher suite, no compression, and the signature
    // algorithms, without which it would be refused for another reason.
    let hello = [&[3, 2], [7; 32].as_slice(), &[0, 0, 2, 0xc0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]].concat();
    let length = hello.len() as u8;
    let mut raw = edge.raw().await;
    raw.send([&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length], hello.as_slice()].concat()).await;
    // A fatal alert, protocol_version (RFC 8446 section 6).
    assert_eq!(raw.rest().await, [0x15, 3, 3, 0, 2, 2, 70]);
    until("counted", || edge.stats.handshake_failures.get() == 1).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_closed() {
    let (files, certificate) = Files::new();
    let tls = files.load().unwrap();
    let edge = Edge::start(|settings| {
        settings.tls = Some(tls);
        settings.deadlines.first_byte = SHORT;
        settings.deadlines.handshake = SHORT * 2;
        settings.deadlines.headers = SHORT;
    })
    .await;
    let start = Instant::now();
    let mut silent = edge.raw().await;
    let mut begun = edge.raw().await;
    begun.send([0x16]).await;
    assert!(silent.is_closed().await && start.elapsed() >= SHORT);
    assert!(begun.is_closed().await && start.elapsed() >= SHORT * 2);
    // Complete, and then nothing.
    let stream = connect(&edge, &[&certificate], &[&TLS13], &[]).await.unwrap();
    assert!(Raw::new(stream).is_closed().await);
    until("counted", || edge.stats.open.get() == 0).await;
    let stats = &edge.stats;
    assert_eq!((stats.late_first_byte.get(), stats.handshake_failures.get(), stats.late_headers.get()), (1, 1, 1));
}

#[tokio::test]
async fn plain_http_is_no_handshake() {
    let (files, _) = Files::new();
    let edge = start(&files.load().unwrap()).await;
    let mut raw = edge.raw().await;
    raw.send(get("/")).await;
    raw.rest().await;
    until("counted", || edge.stats.handshake_failures.get() == 1).await;
    assert_eq!(edge.served(), 0);
}

#[tokio::test]
async fn a_new_certificate_comes_into_force_without_a_dropped_connection() {
    let (files, old) = Files::new();
    let tls = files.load().unwrap();
    let watched = tls.clone();
    tokio::spawn(async move { watched.watch(Duration::from_millis(20)).await });
    let edge = start(&tls).await;
    let mut standing = Raw::new(connect(&edge, &[&old], &[&TLS13], &[]).await.unwrap());
    assert_eq!(standing.ask(get("/")).await.status, 200);

    // A broken pair: the old one stays.
    std::fs::write(files.path("chain.pem"), "no certificate").unwrap();
    sleep(Duration::from_millis(200)).await;
    assert!(connect(&edge, &[&old], &[&TLS13], &[]).await.is_ok());
    // A pair that does not belong together, as between the two writes of a renewal.
    let stranger = KeyPair::generate().unwrap();
    let new = files.renew();
    std::fs::write(files.path("key.pem"), stranger.serialize_pem()).unwrap();
    sleep(Duration::from_millis(200)).await;
    let taken = connect(&edge, &[&old, &new], &[&TLS13], &[]).await.unwrap();
    let between = taken.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert!(between == old || between == new);

    let new = files.renew();
    let start = Instant::now();
    loop {
        let stream = connect(&edge, &[&old, &between, &new], &[&TLS13], &[]).await.unwrap();
        if stream.get_ref().1.peer_certificates().unwrap()[0] == new {
            break;
        }
        assert!(start.elapsed() < super::LONG);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(standing.ask(get("/")).await.status, 200);
    assert!(connect(&edge, &[&old], &[&TLS13], &[]).await.is_err());
}

#[tokio::test]
async fn faults_name_the_file() {
    let (files, _) = Files::new();
    let (chain, key) = (files.path("chain.pem"), files.path("key.pem"));
    let certificate = std::fs::read(&chain).unwrap();
    let expect = |part: &str, file: &PathBuf| {
        let error = files.load().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(file.to_str().unwrap()), "{error}");
    };
    std::fs::write(&chain, "").unwrap();
    expect("holds no certificate", &chain);
    std::fs::write(&chain, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
    expect("is not valid PEM", &chain);
    std::fs::remove_file(&chain).unwrap();
    expect("cannot be read", &chain);
    std::fs::write(&chain, &certificate).unwrap();
    std::fs::write(&key, &certificate).unwrap();
    expect("holds no private key", &key);
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    expect("does not serve for the certificate", &key);
}
