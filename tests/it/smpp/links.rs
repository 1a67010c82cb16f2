//! How links come up, how it is seen that they are dead, and how they come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otpgate::delivery::provider::{Failure, Provider as _};
use otpgate::delivery::smpp::{Dial, Mode, NoWire, Wire};
use otpgate::otp::store::Later;
use otpgate::outbound::CentreDialer;
use rcgen::{CertificateParams, KeyPair};
use rusmpp::Pdu;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::{Carrier, eventually};
use crate::support::centre::{Act, Centre, head, receipt};
use crate::support::free_port;

#[tokio::test]
async fn a_transceiver_binds_with_its_user_and_unbinds_when_it_ends() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| settings.system_type = "otp".to_owned()).await;
    let text = |text: &str| text.to_owned();
    assert_eq!(centre.seen().binds, [(text("otpgate"), text("secret08"), text("otp"), 9)]);
    carrier.end().await;
    assert_eq!(centre.seen().unbinds, 1);
    eventually("the connection is closed", || centre.links() == 0).await;
}

#[tokio::test]
async fn a_pair_submits_on_one_connection_and_receives_on_the_other() {
    let centre = Centre::with(|submit| {
        vec![Act::Answer(0, submit.id.clone()), Act::Receipt(submit.id.clone(), "DELIVRD", "000")]
    });
    let carrier = Carrier::to(&centre, |settings| settings.mode = Mode::Pair).await;
    let mut commands: Vec<_> = centre.seen().binds.into_iter().map(|(.., command)| command).collect();
    commands.sort_unstable();
    assert_eq!(commands, [1, 2], "a receiver and a transmitter");
    for _ in 0..10 {
        assert!(carrier.send("x").await.is_ok());
    }
    eventually("the receipts are reported", || carrier.kept.all().len() == 10).await;
    carrier.end().await;
    assert_eq!(centre.seen().unbinds, 2);
}

#[tokio::test]
async fn without_a_link_a_message_goes_elsewhere_at_once() {
    let centre = Centre::start();
    centre.behave(|manners| manners.bind = None);
    let carrier = Carrier::unbound(&centre, |settings| settings.bind = Duration::from_millis(300));
    let began = Instant::now();
    assert_eq!(carrier.send("x").await, Err(Failure::Retryable(Duration::ZERO)));
    assert!(began.elapsed() < Duration::from_millis(200));
    // A bind that is not answered is given up, and tried anew.
    eventually("it binds again", || centre.seen().binds.len() >= 2).await;
    centre.behave(|manners| manners.bind = Some(0));
    eventually("it is bound", || carrier.smpp.bound() == 1).await;
    assert!(carrier.send("x").await.is_ok());
    carrier.end().await;
}

#[tokio::test]
async fn a_refused_bind_is_not_hurried() {
    let centre = Centre::start();
    centre.behave(|manners| manners.bind = Some(0x0D));
    let carrier = Carrier::unbound(&centre, |_| {});
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let tries = centre.seen().binds.len();
    assert!((1..=3).contains(&tries), "{tries} tries in 2.5 s");
    assert_eq!(carrier.send("x").await, Err(Failure::Retryable(Duration::ZERO)));
    carrier.end().await;
}

#[tokio::test]
async fn an_idle_link_is_asked_whether_it_lives_and_closed_when_it_does_not_say() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| settings.enquire_link = Duration::from_millis(100)).await;
    eventually("the centre is asked", || centre.seen().enquiries >= 3).await;
    assert_eq!(centre.seen().binds.len(), 1, "a link that lives stays");
    centre.send(0, 77, &Pdu::EnquireLink);
    eventually("the centre's own question is answered", || centre.seen().enquiry_answers == 1).await;
    carrier.end().await;

    // Another with a short limit, by which a machine that stalls loses also what lives.
    let carrier = Carrier::to(&centre, |settings| {
        settings.enquire_link = Duration::from_millis(100);
        settings.enquire_link_answer = Duration::from_millis(200);
    })
    .await;
    centre.behave(|manners| manners.answers_enquire = false);
    let binds = centre.seen().binds.len();
    eventually("the link is given up and made anew", || centre.seen().binds.len() > binds).await;
    centre.behave(|manners| manners.answers_enquire = true);
    let taken = async {
        while carrier.send("x").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), taken).await.is_ok(), "it takes nothing any more");
    carrier.end().await;
}

#[tokio::test]
async fn a_link_that_was_idle_for_long_takes_the_next_message() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| settings.submit = Duration::from_millis(300)).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(carrier.send("x").await.is_ok());
    }
    assert_eq!(centre.seen().binds.len(), 1);
    carrier.end().await;
}

#[tokio::test]
async fn a_cut_leaves_what_was_open_unknown_and_the_link_is_back_within_two_seconds() {
    let centre = Centre::with(|submit| match submit.bytes.as_slice() {
        b"cut" => vec![Act::Cut],
        _ => vec![Act::Answer(0, submit.id.clone())],
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for round in 1..=3 {
        assert_eq!(carrier.send("cut").await, Err(Failure::Unknown));
        let cut = Instant::now();
        eventually("it is bound again", || carrier.smpp.bound() == 1 && centre.links() == 1).await;
        assert!(cut.elapsed() < Duration::from_secs(2), "{:?}", cut.elapsed());
        assert_eq!(*carrier.counted.rebinds.lock().unwrap(), round);
        assert!(carrier.send("x").await.is_ok());
    }
    assert_eq!(centre.count(), 6, "what was unknown was not submitted again");
    carrier.end().await;
}

#[tokio::test]
async fn links_that_are_cut_again_and_again_under_load_come_back_and_lose_nothing() {
    let centre = Centre::with(|submit| vec![Act::Wait(Duration::from_millis(5)), Act::Answer(0, submit.id.clone())]);
    let carrier = Carrier::to(&centre, |settings| settings.connections = 2).await;
    let until = Instant::now() + Duration::from_secs(7);
    let worker = async |number: u32| {
        let (mut taken, mut unknown) = (0, 0);
        while Instant::now() < until {
            match carrier.send(&format!("Your code {number}")).await {
                Ok(_) => taken += 1,
                Err(Failure::Unknown) => unknown += 1,
                Err(Failure::Retryable(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(refused) => panic!("{refused:?}"),
            }
        }
        (taken, unknown)
    };
    let cutter = async {
        let mut worst = Duration::ZERO;
        while Instant::now() + Duration::from_secs(2) < until {
            tokio::time::sleep(Duration::from_millis(1_300)).await;
            let before = centre.seen().binds.len();
            centre.cut();
            let cut = Instant::now();
            eventually("both links are back", || centre.seen().binds.len() >= before + 2 && carrier.smpp.bound() == 2)
                .await;
            worst = worst.max(cut.elapsed());
        }
        worst
    };
    let (results, worst) =
        futures_util::future::join(futures_util::future::join_all((0..20).map(worker)), cutter).await;
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    let (taken, unknown): (usize, usize) =
        results.into_iter().fold((0, 0), |sum, (taken, unknown)| (sum.0 + taken, sum.1 + unknown));
    // What the centre saw is what was taken, and some of what is unknown: never more.
    assert!(
        taken > 200 && centre.count() >= taken && centre.count() <= taken + unknown,
        "{taken}, {unknown}, {}",
        centre.count()
    );
    assert!(centre.seen().most_open <= 10);
    carrier.end().await;
}

#[tokio::test]
async fn the_centre_s_own_unbind_is_answered_and_the_link_made_anew() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    centre.send(0, 5, &Pdu::Unbind);
    eventually("it binds again", || centre.seen().binds.len() == 2).await;
    eventually("it is bound", || carrier.smpp.bound() == 1).await;
    assert!(carrier.send("x").await.is_ok());
    carrier.end().await;
}

#[tokio::test]
async fn what_is_open_at_the_end_is_waited_for_and_nothing_more_is_taken() {
    let centre = Centre::with(|submit| vec![Act::Wait(Duration::from_millis(300)), Act::Answer(0, submit.id.clone())]);
    let carrier = Carrier::to(&centre, |_| {}).await;
    let smpp = Arc::clone(&carrier.smpp);
    let message = carrier.outgoing(1, "x");
    let open = tokio::spawn(async move { smpp.deliver(message).await });
    eventually("it was submitted", || centre.count() == 1).await;
    carrier.stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(carrier.send("y").await, Err(Failure::Retryable(Duration::ZERO)));
    assert!(open.await.unwrap().is_ok());
    carrier.end().await;
    assert_eq!((centre.seen().unbinds, centre.count()), (1, 1));
}

#[tokio::test]
async fn a_centre_that_answers_no_submit_is_left_and_bound_anew() {
    let centre = Centre::with(|_| Vec::new());
    let carrier = Carrier::to(&centre, |settings| settings.submit = Duration::from_millis(50)).await;
    assert_eq!(carrier.send("x").await, Err(Failure::Unknown));
    assert_eq!(carrier.smpp.open_submits(), 1);
    eventually("the link is made anew", || centre.seen().binds.len() == 2).await;
    eventually("its window is empty", || carrier.smpp.bound() == 1 && carrier.smpp.open_submits() == 0).await;
    assert_eq!(centre.count(), 1);
    carrier.end().await;
}

#[tokio::test]
async fn a_centre_that_does_not_read_holds_nobody_up_for_long() {
    let centre = Centre::start();
    centre.behave(|manners| manners.reads = false);
    let carrier = Carrier::to(&centre, |settings| {
        settings.submit = Duration::from_millis(300);
        settings.window = 1_000;
    })
    .await;
    let began = Instant::now();
    let results = carrier.send_many(1_000).await;
    assert!(results.iter().all(|result| matches!(result, Err(Failure::Unknown | Failure::Retryable(_)))));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    centre.behave(|manners| manners.reads = true);
    eventually("a link that is read is bound", || centre.seen().binds.len() >= 2).await;
    carrier.end().await;
}

/// Hands out one pipe of a few bytes, and then none.
struct Pipe(Mutex<Option<DuplexStream>>);

impl Dial for Pipe {
    fn dial(&self) -> Later<'_, Result<Box<dyn Wire>, NoWire>> {
        let wire = self.0.lock().unwrap().take();
        Box::pin(async { wire.map(|wire| Box::new(wire) as Box<dyn Wire>).ok_or(NoWire("it is gone")) })
    }
}

#[tokio::test]
async fn what_had_not_left_when_the_link_ended_never_leaves() {
    let (near, mut far) = tokio::io::duplex(1_000);
    let carrier = Carrier::dialing(Pipe(Mutex::new(Some(near))), |settings| {
        settings.submit = Duration::from_secs(4);
        settings.window = 1_000;
    });
    let mut bind = [0; 64];
    let length = far.read(&mut bind).await.unwrap();
    assert_eq!(bind[..8], [0, 0, 0, u8::try_from(length).unwrap(), 0, 0, 0, 9]);
    far.write_all(&head(0x8000_0009, 0, 1)).await.unwrap();
    eventually("it is bound", || carrier.smpp.bound() == 1).await;
    // More than the pipe and the session hold; nobody reads, so that the session gives up.
    let text = |number: u32| format!("<{number}>{}", "x".repeat(140));
    let sending = (0..800).map(|number| carrier.smpp.deliver(carrier.outgoing(number, &text(number))));
    let sending = futures_util::future::join_all(sending);
    let reading = async {
        // From the moment on at which the first is told, while the session still closes.
        eventually("the link is given up", || !carrier.counted.submitted.lock().unwrap().is_empty()).await;
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let (results, bytes) = futures_util::future::join(sending, reading).await;
    let wire = String::from_utf8_lossy(&bytes);
    let mut unknown = 0;
    for (number, result) in results.iter().enumerate() {
        let left = wire.contains(&format!("<{number}>"));
        match result {
            Err(Failure::Unknown) => unknown += 1,
            Err(Failure::Retryable(wait)) if wait.is_zero() => assert!(!left, "{number} left, and is tried again"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert!((1..100).contains(&unknown), "{unknown} are unknown");
    carrier.end().await;
}

#[tokio::test]
async fn a_centre_with_tls_is_trusted_by_the_authority_that_was_named() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let centre = Centre::on(address, Some(TlsAcceptor::from(Arc::new(config))), |submit| {
        vec![Act::Answer(0, submit.id.clone()), Act::Receipt(submit.id.clone(), "DELIVRD", "000")]
    });
    let port = centre.address().port();
    let carrier = Carrier::dialing(CentreDialer::secure("localhost".to_owned(), port, Some(file)), |_| {});
    eventually("it is bound", || carrier.smpp.bound() == 1).await;
    assert!(carrier.send("x").await.is_ok());
    eventually("the receipt is reported", || carrier.kept.all().len() == 1).await;
    centre.deliver(receipt("7", "UNDELIV", "001"));
    eventually("and the other", || carrier.kept.all().len() == 2).await;
    carrier.end().await;
    // By the system's authorities it is not.
    let binds = centre.seen().binds.len();
    let stranger = Carrier::dialing(CentreDialer::secure("localhost".to_owned(), port, None), |_| {});
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!((stranger.smpp.bound(), centre.seen().binds.len()), (0, binds));
    stranger.end().await;
}

#[tokio::test]
async fn a_centre_that_comes_up_later_is_found() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let carrier = Carrier::dialing(CentreDialer::plain(address.ip().to_string(), address.port()), |_| {});
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _centre = Centre::on(address, None, |submit| vec![Act::Answer(0, submit.id.clone())]);
    eventually("it is bound", || carrier.smpp.bound() == 1).await;
    assert!(carrier.send("x").await.is_ok());
    carrier.end().await;
}
