//! Carriers' receipts over real sockets, into a sink that remembers: each carrier's own words, and everything that is not
//! a carrier.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use otpgate::carrier::compile::{Given, compile};
use otpgate::carrier::{Description, ReceiptReader};
use otpgate::clock::{Clock as _, SystemClock};
use otpgate::delivery::receipt::{About, CarrierId, Fate, Receipts, Report, Ticket};
use otpgate::layer::dialect::DialectLayer;
use otpgate::layer::guard::{Guard, GuardSettings};
use otpgate::layer::limits::LimitsLayer;
use otpgate::otp::channel::Channel;
use otpgate::otp::id::OtpId;
use otpgate::otp::outbox::MessageId;
use otpgate::otp::store::{Later, StoreError};
use otpgate::secret::{Keyring, Secret, SystemEntropy, to_hex};
use otpgate::server::{Drain, Listener, Server, Settings};
use otpgate::stack::finish;
use otpgate::surface::receipts::{BODY_BYTES, Parts, capabilities};
use otpgate::surface::{DIALECTS, body_bytes};
use serde_json::json;
use tower::ServiceBuilder;

use crate::support::{Answer, Client};

const BASE: &str = "https://otp.example.com/gate";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Remembers what was reported, unless it fails.
#[derive(Default)]
struct Sink {
    reports: Mutex<Vec<(String, Report)>>,
    fails: AtomicBool,
}

impl Receipts for Sink {
    fn report<'a>(&'a self, provider: &'a str, report: Report) -> Later<'a, Result<(), StoreError>> {
        if self.fails.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::Full)));
        }
        self.reports.lock().unwrap().push((provider.to_owned(), report));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Where receipts arrive: one provider for each preset, named like it.
struct Office {
    address: SocketAddr,
    sink: Arc<Sink>,
    keyring: Arc<Keyring>,
    reader: Arc<ReceiptReader>,
    _runtime: tokio::runtime::Runtime,
}

impl Office {
    fn open(failures: u32) -> Self {
        let mut carriers = BTreeMap::new();
        for (preset, credentials) in [
            ("twilio", &[("account", "AC1"), ("token", "12345")][..]),
            ("vonage", &[("api_key", "k"), ("api_secret", "s")]),
            ("vonage-signed", &[("api_key", "k"), ("api_secret", "s"), ("signature_secret", "hush")]),
            ("infobip", &[("apikey", "k")]),
            ("tyntec", &[("apikey", "k")]),
            ("unimatrix", &[("access_key_id", "k")]),
            ("webhook", &[("secret", WHSEC)]),
        ] {
            let credentials = credentials
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
                .collect();
            let given = Given {
                preset: Some(preset.trim_end_matches("-signed")),
                url: Some("https://carrier.example.com"),
                credentials,
                own: Description::default(),
                channels: Some(&[Channel::Sms]),
            };
            carriers.insert(preset.to_owned(), Arc::new(compile(given).unwrap()));
        }
        let keyring = Arc::new(Keyring::generate(&SystemEntropy));
        let clock = Arc::new(SystemClock::new());
        let reader = Arc::new(ReceiptReader::new(Arc::clone(&keyring), clock, BASE.to_owned(), carriers));
        let sink = Arc::new(Sink::default());
        let guard = Guard::new(GuardSettings { failures, ..GuardSettings::default() });
        let parts = Parts { reader: Arc::clone(&reader), receipts: Arc::clone(&sink) as _, guard };
        let service = ServiceBuilder::new()
            .layer(DialectLayer(DIALECTS))
            .layer(LimitsLayer { body_bytes })
            .service(finish(capabilities(Arc::new(parts))));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async { Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap() });
        let address = listener.address();
        runtime.spawn(Server::new(Settings::default(), &Drain::new()).serve(listener, service));
        Self { address, sink, keyring, reader, _runtime: runtime }
    }

    fn client(&self) -> Client {
        Client::new(self.address, None)
    }

    fn ticket(&self, number: u32) -> Ticket {
        Ticket::new(&self.keyring, MessageId { otp: OtpId::from_bytes([9; 16]), number }, 1)
    }

    /// The paths of a provider's two addresses: a message's and its own.
    fn paths(&self, provider: &str) -> (String, String) {
        let addresses = self.reader.addresses(provider, self.ticket(1));
        let path = |address: &str| address.strip_prefix(BASE).unwrap().to_owned();
        (path(&addresses.own), path(&addresses.shared))
    }

    /// What was reported since the last time it was asked.
    fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut *self.sink.reports.lock().unwrap()).into_iter().map(|(_, report)| report).collect()
    }

    fn fates(&self) -> Vec<Fate> {
        self.reports().into_iter().map(|report| report.fate).collect()
    }

    /// Posts what Twilio would sign.
    fn twilio(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let signature = twilio_signature(path, pairs);
        self.client().call("POST", path, &[FORM, ("X-Twilio-Signature", &signature)], &encoded(pairs))
    }
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let escape =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// By Twilio's documentation: HMAC-SHA-1 over the address and the sorted parameters.
fn twilio_signature(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let content = sorted.iter().fold(format!("{BASE}{path}"), |all, (name, value)| all + name + value);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
    STANDARD.encode(hmac::sign(&key, content.as_bytes()))
}

fn failed(words: &str) -> Fate {
    Fate::Failed(format!("the carrier says: {words}"))
}

/// `MessageStatus` and `CallStatus` by twilio-oai, posted as forms, signed.
#[test]
fn every_state_of_twilio_is_read() {
    let office = Office::open(30);
    let (own, shared) = office.paths("twilio");
    for (name, states, fate) in [
        ("MessageStatus", &["accepted", "scheduled", "queued", "sending", "sent", "something-new"][..], Fate::OnItsWay),
        ("MessageStatus", &["delivered", "read"], Fate::Delivered),
        ("CallStatus", &["queued", "initiated", "ringing", "in-progress"], Fate::OnItsWay),
        ("CallStatus", &["completed"], Fate::Delivered),
    ] {
        for state in states {
            office.twilio(&own, &[(name, state), ("MessageSid", "SM1"), ("To", "+49 1511")]).expect(200);
            assert_eq!(
                office.reports(),
                [Report { about: About::Ticket(office.ticket(1)), fate: fate.clone() }],
                "{state}"
            );
        }
    }
    for state in ["failed", "undelivered", "canceled"] {
        office.twilio(&own, &[("MessageStatus", state), ("MessageSid", "SM1"), ("ErrorCode", "30003")]).expect(200);
        assert_eq!(office.fates(), [failed(&format!("{state}, 30003"))]);
    }
    for state in ["busy", "no-answer", "failed", "canceled"] {
        office.twilio(&own, &[("CallSid", "CA1"), ("CallStatus", state)]).expect(200);
        assert_eq!(office.fates(), [failed(state)]);
    }
    // The provider's own address, as a console may have it: then the carrier's id says which message.
    office.twilio(&shared, &[("MessageSid", "SM1"), ("MessageStatus", "delivered")]).expect(200);
    let about = About::Carrier(CarrierId::parse("SM1").unwrap());
    assert_eq!(office.reports(), [Report { about, fate: Fate::Delivered }]);
    // GET, where it was asked for: the query is part of the address, and signed with it.
    let target = format!("{own}?MessageStatus=sent&MessageSid=SM1");
    let signature = twilio_signature(&target, &[]);
    office.client().call("GET", &target, &[("X-Twilio-Signature", &signature)], "").expect(200);
    assert_eq!(office.fates(), [Fate::OnItsWay]);
}

/// Vonage's delivery receipts (JSON, form or query) and call events; the ticket comes back as `client-ref`.
#[test]
fn every_state_of_vonage_is_read() {
    let office = Office::open(30);
    let (own, shared) = office.paths("vonage");
    let mut client = office.client();
    for (state, fate) in [
        ("submitted", Fate::OnItsWay),
        ("accepted", Fate::OnItsWay),
        ("buffered", Fate::OnItsWay),
        ("unknown", Fate::OnItsWay),
        ("delivered", Fate::Delivered),
        ("expired", failed("expired, 6")),
        ("failed", failed("failed, 6")),
        ("rejected", failed("rejected, 6")),
    ] {
        let body = json!({"msisdn": "4915112345678", "messageId": "A1", "status": state, "err-code": "6"});
        client.call("POST", &own, &[JSON], &body.to_string()).expect(200);
        client.call("POST", &own, &[FORM], &format!("messageId=A1&status={state}&err-code=6")).expect(200);
        client.get(&format!("{own}?messageId=A1&status={state}&err-code=6")).expect(200);
        assert_eq!(office.fates(), [fate.clone(), fate.clone(), fate], "{state}");
    }
    for (state, fate) in [
        ("started", Fate::OnItsWay),
        ("ringing", Fate::OnItsWay),
        ("answered", Fate::OnItsWay),
        ("completed", Fate::Delivered),
        ("busy", failed("busy")),
        ("timeout", failed("timeout")),
        ("unanswered", failed("unanswered")),
        ("rejected", failed("rejected")),
        ("cancelled", failed("cancelled")),
        ("failed", failed("failed")),
    ] {
        client.call("POST", &own, &[JSON], &json!({"uuid": "u-1", "status": state}).to_string()).expect(200);
        assert_eq!(office.fates(), [fate], "{state}");
    }
    let about = |reference: &str| {
        let body = json!({"messageId": "A1", "status": "delivered", "client-ref": reference, "err-code": "0"});
        office.client().call("POST", &shared, &[JSON], &body.to_string()).expect(200);
        office.reports().remove(0).about
    };
    assert_eq!(about(&office.ticket(7).to_string()), About::Ticket(office.ticket(7)));
    let other = Ticket::new(&Keyring::generate(&SystemEntropy), office.ticket(7).message, 1);
    assert_eq!(about(&other.to_string()), About::Carrier(CarrierId::parse("A1").unwrap()));
}

/// Infobip's batches: `results`, each with a status group; `callbackData` is the ticket.
#[test]
fn every_state_of_infobip_is_read_in_batches() {
    let office = Office::open(30);
    let (_, shared) = office.paths("infobip");
    let result = |number: u32, group: &str| {
        json!({
            "messageId": format!("id-{number}"), "callbackData": office.ticket(number).to_string(),
            "status": {"groupId": 3, "groupName": group, "name": format!("{group}_X")},
            "error": {"name": "EC_ABSENT_SUBSCRIBER", "permanent": true},
        })
    };
    let groups = ["PENDING", "ACCEPTED", "DELIVERED", "UNDELIVERABLE", "EXPIRED", "REJECTED", "NEW"];
    let results: Vec<_> = groups.iter().zip(1..).map(|(group, number)| result(number, group)).collect();
    let body = json!({"results": results}).to_string();
    office.client().call("POST", &shared, &[JSON], &body).expect(200);
    let fail = |state: &str| failed(&format!("{state}, EC_ABSENT_SUBSCRIBER"));
    let expected = [
        Fate::OnItsWay,
        Fate::OnItsWay,
        Fate::Delivered,
        fail("UNDELIVERABLE"),
        fail("EXPIRED"),
        fail("REJECTED"),
        Fate::OnItsWay,
    ];
    let reports = office.reports();
    assert_eq!(reports.iter().map(|report| report.fate.clone()).collect::<Vec<_>>(), expected);
    for (report, number) in reports.iter().zip(1..) {
        assert_eq!(report.about, About::Ticket(office.ticket(number)));
    }
    // Of a batch what can be read counts.
    let mixed = json!({"results": [5, {"status": {}}, result(1, "DELIVERED"), {"messageId": "a b", "status": {"groupName": "DELIVERED"}}]});
    office.client().call("POST", &shared, &[JSON], &mixed.to_string()).expect(200);
    assert_eq!(office.fates(), [Fate::Delivered]);
}

/// tyntec's delivery states, and the events of its calls.
#[test]
fn every_state_of_tyntec_is_read() {
    let office = Office::open(30);
    let (own, _) = office.paths("tyntec");
    for (body, fate) in [
        (json!({"requestId": "r", "status": "ACCEPTED"}), Fate::OnItsWay),
        (json!({"requestId": "r", "status": "BUFFERED"}), Fate::OnItsWay),
        (json!({"requestId": "r", "status": "DELIVERED", "errorCode": "0"}), Fate::Delivered),
        (json!({"requestId": "r", "status": "EXPIRED"}), failed("EXPIRED")),
        (json!({"requestId": "r", "status": "REJECTED", "errorCode": "11"}), failed("REJECTED, 11")),
        (json!({"requestId": "r", "status": "UNDELIVERABLE", "errorCode": 1}), failed("UNDELIVERABLE, 1")),
        (json!({"callId": "c", "status": "ringing"}), Fate::OnItsWay),
        (json!({"callId": "c", "status": "hangup"}), Fate::OnItsWay),
        (json!({"callId": "c", "status": "completed", "answerTime": "2026-11-22T00:00:00+0000"}), Fate::Delivered),
        (json!({"callId": "c", "status": "completed"}), failed("completed")),
    ] {
        office.client().call("POST", &own, &[JSON], &body.to_string()).expect(200);
        assert_eq!(office.fates(), [fate], "{body}");
    }
}

/// Unimatrix names its message; it was given no address with it.
#[test]
fn unimatrix_reports_to_the_address_of_its_console() {
    let office = Office::open(30);
    let (_, shared) = office.paths("unimatrix");
    for (state, fate) in
        [("sent", Fate::OnItsWay), ("delivered", Fate::Delivered), ("undelivered", failed("undelivered"))]
    {
        let body = json!({"id": "c9159d19f394833327e43c8e7285a6b3", "to": "+1206", "status": state});
        office.client().call("POST", &shared, &[JSON], &body.to_string()).expect(200);
        let about = About::Carrier(CarrierId::parse("c9159d19f394833327e43c8e7285a6b3").unwrap());
        assert_eq!(office.reports(), [Report { about, fate }]);
    }
}

/// The operator's own service signs as Standard Webhooks has it.
#[test]
fn a_webhook_s_receipt_must_be_signed_lately() {
    let office = Office::open(30);
    let (own, shared) = office.paths("webhook");
    let now = SystemClock::new().now().0 / 1_000;
    let ticket = office.ticket(4).to_string();
    let post = |path: &str, at: u64, signed: &str, body: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(WHSEC.trim_start_matches("whsec_")).unwrap());
        let tag = STANDARD.encode(hmac::sign(&key, format!("id-1.{at}.{signed}").as_bytes()));
        let (at, signature) = (at.to_string(), format!("v1,{tag}"));
        let headers = [
            JSON,
            ("webhook-id", "id-1"),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature.as_str()),
        ];
        office.client().call("POST", path, &headers, body).status
    };
    let body = json!({"id": ticket, "status": "failed", "code": "absent"}).to_string();
    assert_eq!(post(&own, now, &body, &body), 200);
    assert_eq!(post(&shared, now, &body, &body), 200);
    let reports = office.reports();
    assert_eq!(reports[0], Report { about: About::Ticket(office.ticket(1)), fate: failed("failed, absent") });
    assert_eq!(reports[1].about, About::Ticket(office.ticket(4)));
    for (at, signed) in [(now - 301, body.as_str()), (now + 302, &body), (now, "{}")] {
        assert_eq!(post(&own, at, signed, &body), 403);
    }
    assert!(office.reports().is_empty());
}

/// Where the key is configured an unsigned receipt is nobody's: it is refused and charged.
#[test]
fn a_signature_that_does_not_fit_is_refused_and_charged() {
    let office = Office::open(6);
    let (own, _) = office.paths("twilio");
    let pairs = [("MessageSid", "SM1"), ("MessageStatus", "delivered")];
    let good = twilio_signature(&own, &pairs);
    let mut client = office.client();
    let refused = client.call("POST", &own, &[FORM], &encoded(&pairs)).expect(403);
    assert_eq!(refused.json()["code"], "signature_invalid");
    client.call("POST", &own, &[FORM, ("X-Twilio-Signature", "x")], &encoded(&pairs)).expect(403);
    let other = [("MessageSid", "SM1"), ("MessageStatus", "failed")];
    client.call("POST", &own, &[FORM, ("X-Twilio-Signature", &good)], &encoded(&other)).expect(403);
    client.call("POST", &format!("{own}?a=b"), &[FORM, ("X-Twilio-Signature", &good)], &encoded(&pairs)).expect(403);
    let (own, _) = office.paths("vonage-signed");
    let body = json!({"uuid": "u", "status": "completed"}).to_string();
    client.call("POST", &own, &[JSON], &body).expect(403);
    client.call("POST", &own, &[JSON, ("Authorization", "Bearer a.b.c")], &body).expect(403);
    client.call("POST", &own, &[JSON], &body).expect(429);
    assert!(office.reports().is_empty());
    // What is signed passes, whatever others did from that address.
    let now = SystemClock::new().now().0 / 1_000;
    let hash = to_hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()).as_ref());
    let claims = json!({"iat": now, "payload_hash": hash}).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\"}"), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hush"), signed.as_bytes());
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    client.call("POST", &own, &[JSON, ("Authorization", &token)], &body).expect(200);
    assert_eq!(office.fates(), [Fate::Delivered]);
}

#[test]
fn an_address_that_was_never_handed_out_is_charged_and_tells_nothing() {
    let office = Office::open(9);
    let (own, shared) = office.paths("infobip");
    let body = json!({"results": [{"messageId": "a", "status": {"groupName": "DELIVERED"}}]}).to_string();
    let foreign = Ticket::new(&Keyring::generate(&SystemEntropy), office.ticket(1).message, 1);
    let (tyntec, _) = office.paths("tyntec");
    let shared_of_another = office.paths("tyntec").1.replace("tyntec", "infobip");
    let mut answers = Vec::new();
    for path in [
        format!("/v1/receipts/infobip/{foreign}"),
        format!("/v1/receipts/nobody/{}", own.rsplit('/').next().unwrap()),
        shared_of_another,
        format!("{shared}A"),
        tyntec.replace("tyntec", "nothing"),
        "/v1/receipts/infobip/%ff".to_owned(),
        format!("/v1/receipts/infobip/{}", &own[own.len() - 49..]),
        // A message's address belongs to one provider: one that signs is not got round by one that does not.
        office.paths("twilio").0.replace("twilio", "infobip"),
        format!("/v1/receipts/infobip/{}", office.ticket(1)),
    ] {
        answers.push(office.client().call("POST", &path, &[JSON], &body).expect(404).body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let refused = office.client().call("POST", "/v1/receipts/infobip/x", &[JSON], &body).expect(429);
    assert!(refused.header("retry-after").is_some());
    // Whoever was given an address may still use it.
    office.client().call("POST", &shared, &[JSON], &body).expect(200);
    assert_eq!(office.fates(), [Fate::Delivered]);
}

#[test]
fn what_is_no_receipt_is_refused_and_reports_nothing() {
    let office = Office::open(2);
    let (own, shared) = office.paths("infobip");
    let large = format!("{{\"results\":[{{\"messageId\":\"{}\"}}]}}", "x".repeat(BODY_BYTES));
    for (status, path, headers, body) in [
        (400, &own, &[JSON][..], ""),
        (400, &own, &[JSON], "{"),
        (400, &own, &[JSON], "[]"),
        (400, &own, &[JSON], "null"),
        (400, &own, &[JSON], "\"DELIVERED\""),
        (400, &own, &[JSON], "{\"results\": []}"),
        (400, &own, &[JSON], "{\"results\": [{}]}"),
        (400, &own, &[FORM], "%ff=1"),
        (400, &own, &[("Content-Type", "text/html")], "<html>"),
        (400, &shared, &[JSON], "{\"results\": [{\"status\": {\"groupName\": \"DELIVERED\"}}]}"),
        (413, &own, &[JSON], &large),
    ] {
        let answer = office.client().call("POST", path, headers, body).expect(status);
        assert!(!answer.body.contains(path.rsplit('/').next().unwrap()), "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    office.client().delete(&own).expect(405);
    office.client().call("PUT", &own, &[JSON], "{}").expect(405);
    assert!(office.reports().is_empty());
    // A media type is not what decides: carriers write all sorts.
    let body = "{\"results\": [{\"status\": {\"groupName\": \"DELIVERED\"}}]}";
    office.client().call("POST", &own, &[("Content-Type", "text/plain")], body).expect(200);
    Client::new(office.address, Some("otpg_wrong")).call("POST", &own, &[JSON], body).expect(200);
    assert_eq!(office.fates(), [Fate::Delivered, Fate::Delivered]);
}

#[test]
fn a_batch_is_bounded() {
    let office = Office::open(30);
    let (_, shared) = office.paths("infobip");
    let batch = |count: usize| {
        let one = "{\"messageId\":\"a\",\"status\":{\"groupName\":\"PENDING\"}}";
        format!("{{\"results\":[{}]}}", vec![one; count].join(","))
    };
    assert!(batch(1_001).len() < BODY_BYTES);
    office.client().call("POST", &shared, &[JSON], &batch(1_000)).expect(200);
    assert_eq!(office.reports().len(), 1_000);
    office.client().call("POST", &shared, &[JSON], &batch(1_001)).expect(413);
    assert!(office.reports().is_empty());
    let pairs: Vec<_> = (0..201).map(|number| format!("a{number}=1")).collect();
    office.client().call("POST", &shared, &[FORM], &pairs.join("&")).expect(413);
}

#[test]
fn a_receipt_that_is_not_kept_is_to_be_sent_again() {
    let office = Office::open(30);
    let (own, _) = office.paths("tyntec");
    let body = json!({"requestId": "r", "status": "DELIVERED"}).to_string();
    office.sink.fails.store(true, Ordering::SeqCst);
    let answer = office.client().call("POST", &own, &[JSON], &body).expect(503);
    assert!(answer.header("retry-after").is_some());
    office.sink.fails.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        office.client().call("POST", &own, &[JSON], &body).expect(200);
    }
    let reports = office.reports();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0], reports[1], "a duplicate says the same; the sink makes nothing of it");
}
