//! Carriers that misbehave: what is certain and what is not, each within the deadline.

use std::sync::Arc;
use std::time::Duration;

use otpgate::carrier::compile::{Given, compile};
use otpgate::carrier::{Description, ReceiptReader};
use otpgate::clock::SystemClock;
use otpgate::delivery::provider::{Failure, Outgoing, Provider as _, Receipt};
use otpgate::delivery::receipt::{CarrierId, Ticket};
use otpgate::otp::channel::Channel;
use otpgate::otp::code::Code;
use otpgate::otp::id::OtpId;
use otpgate::otp::outbox::MessageId;
use otpgate::outbound::HttpProvider;
use otpgate::secret::{Keyring, Secret, SystemEntropy};
use serde_json::json;
use zeroize::Zeroizing;

use crate::support::carrier::{Carrier, Conduct};

/// A message to this number.
fn message(keyring: &Keyring, number: &str) -> Outgoing {
    let id = MessageId { otp: OtpId::from_bytes([7; 16]), number: 1 };
    Outgoing {
        id,
        ticket: Ticket::new(keyring, id, 1),
        number: number.to_owned().try_into().unwrap(),
        channel: Channel::Sms,
        sender: None,
        caller: None,
        language: "en".parse().unwrap(),
        text: Zeroizing::new("Code 904217".to_owned()),
        code: Code::parse_own("904217").unwrap(),
        life: Duration::from_secs(300),
    }
}

/// A provider by `preset` at `url`.
fn provider(preset: &str, url: &str, credentials: &[(&str, &str)], timeout: Duration) -> (HttpProvider, Arc<Keyring>) {
    let credentials =
        credentials.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect();
    // Vonage's calls need a key that its messages do without.
    let channels = (preset == "vonage").then_some(&[Channel::Sms][..]);
    let given = Given { preset: Some(preset), url: Some(url), credentials, own: Description::default(), channels };
    let carrier = Arc::new(compile(given).unwrap());
    let (keyring, clock) = (Arc::new(Keyring::generate(&SystemEntropy)), Arc::new(SystemClock::new()));
    let carriers = std::iter::once(("carrier".to_owned(), Arc::clone(&carrier))).collect();
    let base = "https://otp.example.com".to_owned();
    let reader = Arc::new(ReceiptReader::new(Arc::clone(&keyring), Arc::clone(&clock) as _, base, carriers));
    let provider = HttpProvider::new("carrier".to_owned(), carrier, reader, timeout, clock, Arc::new(SystemEntropy));
    (provider, keyring)
}

fn twilio(url: &str, timeout: Duration) -> (HttpProvider, Arc<Keyring>) {
    provider("twilio", url, &[("account", "AC1"), ("token", "t")], timeout)
}

fn taking() -> Carrier {
    Carrier::start(|_, count| (201, json!({"sid": format!("SM{count}"), "status": "queued"}).to_string()))
}

/// Every conduct, each to a number of its own; in turn on one provider, so that what one does to a connection shows.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_certain_is_unknown_and_what_is_certain_is_said() {
    let carrier = taking();
    let elsewhere = taking();
    let refused = json!({"code": 21_211, "message": "+4915100000002 is no number", "status": 400}).to_string();
    let zero = Duration::ZERO;
    let wait = |seconds| Err(Failure::Retryable(Duration::from_secs(seconds)));
    let refusal = |words: &str| Err(Failure::Refused(words.to_owned()));
    let cases = [
        (Conduct::Answer(400, refused), refusal("the carrier refused it: 21211")),
        (Conduct::Answer(404, "{}".to_owned()), refusal("the carrier refused it with status 404")),
        (Conduct::Answer(400, "{\"code\": \"904217\"}".to_owned()), refusal("the carrier refused it with status 400")),
        (Conduct::Answer(401, "{\"code\": 20003}".to_owned()), Err(Failure::Retryable(zero))),
        (Conduct::Throttle(None), Err(Failure::Retryable(zero))),
        (Conduct::Throttle(Some(7)), wait(7)),
        (Conduct::Throttle(Some(0)), wait(1)),
        (Conduct::Throttle(Some(u64::MAX)), wait(60)),
        (Conduct::Answer(500, "{\"code\": 20500}".to_owned()), Err(Failure::Unknown)),
        (Conduct::Answer(503, String::new()), Err(Failure::Unknown)),
        (Conduct::Garbage, Err(Failure::Unknown)),
        (Conduct::Page, Err(Failure::Unknown)),
        (Conduct::Answer(201, "{\"sid\": \"a b\"}".to_owned()), Err(Failure::Unknown)),
        (
            Conduct::Answer(201, "{\"sid\": \"SM1\", \"status\": \"failed\"}".to_owned()),
            refusal("the carrier refused it with status 201"),
        ),
        (Conduct::Endless, Err(Failure::Unknown)),
        (Conduct::Drip, Err(Failure::Unknown)),
        (Conduct::Hang, Err(Failure::Unknown)),
        (Conduct::Reset, Err(Failure::Unknown)),
        (Conduct::Redirect(elsewhere.url("/x")), Err(Failure::Unknown)),
    ];
    let (provider, keyring) = twilio(&carrier.url(""), Duration::from_secs(2));
    for (index, (conduct, expected)) in cases.into_iter().enumerate() {
        let number = format!("+49151000000{index:02}");
        carrier.treat(&number[1..], conduct.clone());
        assert_eq!(provider.deliver(message(&keyring, &number)).await, expected, "{conduct:?}");
    }
    // A dripped answer would be whole in minutes, a hung one never: both were left in time.
    carrier.treat_all(Conduct::Take);
    let taken = provider.deliver(message(&keyring, "+4915112345678")).await;
    let Ok(Receipt { carrier: Some(id), .. }) = &taken else { panic!("{taken:?}") };
    assert!(id.as_str().starts_with("SM"), "{id:?}");
    assert!(elsewhere.seen().is_empty(), "a redirect is not followed");
    assert!(carrier.submissions().values().all(|count| *count == 1), "{:?}", carrier.submissions());
}

/// Where nothing left, the next one may have it: no port, no name, plain HTTP to a public address, TLS that is none.
#[tokio::test]
async fn who_cannot_be_reached_was_certainly_not_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let carrier = taking();
    for url in
        [format!("http://{closed}"), "http://name.invalid".to_owned(), carrier.url("").replace("http://", "https://")]
    {
        let (provider, keyring) = twilio(&url, Duration::from_secs(5));
        let said = provider.deliver(message(&keyring, "+4915112345678")).await;
        assert_eq!(said, Err(Failure::Retryable(Duration::ZERO)), "{url}");
    }
    assert!(carrier.seen().is_empty());
}

/// A handshake that never ends is no connection: nothing was sent, however long it took.
#[tokio::test]
async fn a_deadline_before_the_connection_is_no_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (provider, keyring) = twilio(&url, Duration::from_secs(1));
    let said = provider.deliver(message(&keyring, "+4915112345678")).await;
    assert_eq!(said, Err(Failure::Retryable(Duration::ZERO)));
}

/// One connection serves one message after the other.
#[tokio::test]
async fn connections_are_kept() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut bytes = [0; 8_192];
                while socket.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let body = "{\"sid\":\"SM1\"}";
                    let answer = format!("HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let (provider, keyring) = twilio(&url, Duration::from_secs(10));
    for _ in 0..20 {
        let taken = provider.deliver(message(&keyring, "+4915112345678")).await;
        assert_eq!(taken, Ok(Receipt::taken(CarrierId::parse("SM1"))));
        // A connection is back in the pool a moment after its answer: on one thread, once everybody else had a turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Each preset's own way to say no.
#[tokio::test(flavor = "multi_thread")]
async fn each_carrier_says_no_in_its_own_way() {
    let refused = |words: &str| Err(Failure::Refused(words.to_owned()));
    let (later, unknown) = (Err(Failure::Retryable(Duration::ZERO)), Err(Failure::Unknown));
    let vonage = |status: &str| json!({"message-count": "1", "messages": [{"status": status, "message-id": "A1"}]});
    let infobip = |group: &str, name: &str| json!({"messages": [{"messageId": "a", "status": {"groupName": group, "name": name}}]});
    for (preset, credentials, status, body, expected) in [
        ("vonage", VONAGE, 200, vonage("0"), Ok(Receipt::taken(CarrierId::parse("A1")))),
        ("vonage", VONAGE, 200, vonage("1"), later.clone()),
        ("vonage", VONAGE, 200, vonage("9"), later.clone()),
        ("vonage", VONAGE, 200, vonage("5"), unknown.clone()),
        ("vonage", VONAGE, 200, vonage("6"), refused("the carrier refused it: 6")),
        ("vonage", VONAGE, 200, json!({}), unknown.clone()),
        ("infobip", KEY, 200, infobip("PENDING", "PENDING_ENROUTE"), Ok(Receipt::taken(CarrierId::parse("a")))),
        ("infobip", KEY, 200, infobip("REJECTED", "REJECTED_NOT_ENOUGH_CREDITS"), later.clone()),
        (
            "infobip",
            KEY,
            200,
            infobip("REJECTED", "REJECTED_PREFIX_MISSING"),
            refused("the carrier refused it: REJECTED_PREFIX_MISSING"),
        ),
        ("infobip", KEY, 200, infobip("NEW", "NEW"), unknown.clone()),
        ("infobip", KEY, 400, json!({"errorCode": "E400"}), refused("the carrier refused it: E400")),
        (
            "tyntec",
            KEY,
            200,
            json!({"requestId": "r-1", "status": "ACCEPTED"}),
            Ok(Receipt::taken(CarrierId::parse("r-1"))),
        ),
        (
            "tyntec",
            KEY,
            200,
            json!({"requestId": "r-1", "status": "REJECTED", "errorCode": "12"}),
            refused("the carrier refused it: 12"),
        ),
        (
            "tyntec",
            KEY,
            400,
            json!({"type": "https://docs.tyntec.com/problems/DataNotParseable"}),
            refused("the carrier refused it: DataNotParseable"),
        ),
        ("tyntec", KEY, 201, json!({}), unknown.clone()),
        (
            "unimatrix",
            UNIMATRIX,
            200,
            json!({"code": "0", "data": {"messages": [{"id": "c9"}]}}),
            Ok(Receipt::taken(CarrierId::parse("c9"))),
        ),
        ("unimatrix", UNIMATRIX, 400, json!({"code": "105400", "message": "InsufficientFunds"}), later.clone()),
        (
            "unimatrix",
            UNIMATRIX,
            400,
            json!({"code": "104001", "message": "MissingParams"}),
            refused("the carrier refused it: 104001"),
        ),
        ("unimatrix", UNIMATRIX, 200, json!({"ok": true}), unknown.clone()),
        ("webhook", WEBHOOK, 200, json!({"anything": 1}), Ok(Receipt::taken(None))),
        ("webhook", WEBHOOK, 422, json!({"code": "barred"}), refused("the carrier refused it: barred")),
    ] {
        let carrier = Carrier::start(move |_, _| (status, body.to_string()));
        let (provider, keyring) = provider(preset, &carrier.url(""), credentials, Duration::from_secs(10));
        let said = provider.deliver(message(&keyring, "+4915112345678")).await;
        assert_eq!(said, expected, "{preset} {status}: {:?}", carrier.seen());
    }
}

const VONAGE: &[(&str, &str)] = &[("api_key", "k"), ("api_secret", "s")];
const KEY: &[(&str, &str)] = &[("apikey", "k")];
const UNIMATRIX: &[(&str, &str)] = &[("access_key_id", "k")];
const WEBHOOK: &[(&str, &str)] = &[("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];

/// The language of the text is one that the carrier cannot speak: a call that nobody understands is not made.
#[tokio::test]
async fn a_call_in_a_language_that_the_carrier_does_not_speak_is_refused() {
    let carrier = taking();
    let (provider, keyring) = twilio(&carrier.url(""), Duration::from_secs(10));
    let mut call = message(&keyring, "+4915112345678");
    (call.channel, call.language) = (Channel::Voice, "am".parse().unwrap());
    let words = "this carrier does not speak the message's language";
    assert_eq!(provider.deliver(call).await, Err(Failure::Refused(words.to_owned())));
    assert!(carrier.seen().is_empty());
}
