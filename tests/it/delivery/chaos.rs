//! Messages through two carriers over HTTP that refuse, hang, throttle, answer 500 and garbage, drip a byte a second, and break
//! off after they read a submission: every message ends, and none leaves twice but where nobody knows of the first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otpgate::carrier::compile::{Given, compile};
use otpgate::carrier::{Description, ReceiptReader};
use otpgate::clock::Clock;
use otpgate::delivery::provider::Provider;
use otpgate::delivery::receipt::{About, Fate, Ticket};
use otpgate::otp::channel::Via;
use otpgate::otp::event::EventKind;
use otpgate::otp::outbox::MessageId;
use otpgate::otp::record::{Delivery, Fates, OtpStatus};
use otpgate::otp::store::Outbox as _;
use otpgate::outbound::HttpProvider;
use otpgate::secret::{Keyring, Secret, SystemEntropy};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::office::{Office, Plan};

/// A carrier's answer is waited for so long: longer than a busy machine holds up one that was given at once.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a carrier does with a submission that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Conduct {
    /// Takes it, and says so.
    Take,
    /// Will not take it.
    Refuse,
    /// Not now.
    Throttle,
    /// Takes it or not, and answers 500.
    Fail,
    /// Takes it, and answers something that is no HTTP.
    Garbage,
    /// Takes it, and answers a byte a second.
    Drip,
    /// Takes it, and breaks off.
    Reset,
    /// Takes it, and says nothing.
    Hang,
}

impl Conduct {
    /// Whether the message may be on its way after this.
    const fn may_have_taken(self) -> bool {
        !matches!(self, Self::Refuse | Self::Throttle)
    }

    /// Whether nobody at our end can know.
    const fn leaves_doubt(self) -> bool {
        matches!(self, Self::Fail | Self::Garbage | Self::Drip | Self::Reset | Self::Hang)
    }
}

/// What arrived, in its order: by whose ticket, and what was done with it.
type Ledger = Arc<Mutex<Vec<(String, Conduct)>>>;

/// A carrier that behaves in `bad` of 100 cases. Says where it listens.
async fn carrier(bad: u32, seed: u64, ledger: Ledger) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let random = Arc::new(Mutex::new(rand::rngs::StdRng::seed_from_u64(seed)));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, bad, Arc::clone(&random), Arc::clone(&ledger)));
        }
    });
    url
}

/// One connection, until one of the two ends it.
async fn serve(socket: TcpStream, bad: u32, random: Arc<Mutex<rand::rngs::StdRng>>, ledger: Ledger) -> Option<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let (mut line, mut ticket, mut length) = (String::new(), String::new(), 0);
        while socket.read_line(&mut line).await.ok()? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => value.trim().clone_into(&mut ticket),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => {}
            }
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.ok()?;
        let conduct = {
            let mut random = random.lock();
            match random.random_range(0..100) {
                case if case >= bad => Conduct::Take,
                _ => match random.random_range(0..100) {
                    0..20 => Conduct::Refuse,
                    20..40 => Conduct::Throttle,
                    40..55 => Conduct::Fail,
                    55..70 => Conduct::Garbage,
                    70..75 => Conduct::Drip,
                    75..95 => Conduct::Reset,
                    _ => Conduct::Hang,
                },
            }
        };
        ledger.lock().push((ticket, conduct));
        let answer = match conduct {
            Conduct::Take => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Conduct::Refuse => "HTTP/1.1 400 No\r\nContent-Length: 13\r\n\r\n{\"code\":\"21\"}",
            Conduct::Throttle => "HTTP/1.1 429 Later\r\nContent-Length: 0\r\n\r\n",
            Conduct::Fail => "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            Conduct::Garbage => "\u{1}\u{2}garbage\r\n\r\n",
            Conduct::Drip => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Conduct::Reset => return None,
            Conduct::Hang => std::future::pending().await,
        };
        if conduct == Conduct::Drip {
            for byte in answer.bytes() {
                socket.write_all(&[byte]).await.ok()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        } else {
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
        if conduct == Conduct::Garbage {
            return None;
        }
    }
}

fn provider(name: &str, url: &str, keyring: &Arc<Keyring>, clock: &Arc<dyn Clock>) -> Arc<dyn Provider> {
    let secret = Secret::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned());
    let credentials = std::iter::once(("secret".to_owned(), secret)).collect();
    let given =
        Given { preset: Some("webhook"), url: Some(url), credentials, own: Description::default(), channels: None };
    let carrier = Arc::new(compile(given).unwrap());
    let carriers = std::iter::once((name.to_owned(), Arc::clone(&carrier))).collect();
    let base = "https://otp.example.com".to_owned();
    let reader = Arc::new(ReceiptReader::new(Arc::clone(keyring), Arc::clone(clock), base, carriers));
    Arc::new(HttpProvider::new(name.to_owned(), carrier, reader, TIMEOUT, Arc::clone(clock), Arc::new(SystemEntropy)))
}

async fn through_bad_carriers(count: usize, seed: u64) {
    println!("{count} messages, seed {seed}");
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let bad = carrier(50, seed, Arc::clone(&ledger)).await;
    let fair = carrier(10, seed + 1, Arc::clone(&ledger)).await;
    let plan = Plan { within: Duration::from_secs(2), lifetime: 60, ..Plan::default() };
    let opening = Office::open_with(dir.path(), &plan, |keyring, clock| {
        vec![provider("bad", &bad, keyring, clock), provider("fair", &fair, keyring, clock)]
    });
    let office = Arc::new(opening.await);

    // What a carrier has, it reports on: mostly that it arrived, sometimes that it did not, sometimes nothing.
    let (reporter, told, heeded) = (Arc::clone(&office), Arc::clone(&ledger), Arc::new(AtomicUsize::new(0)));
    let count_heeded = Arc::clone(&heeded);
    let reporting = tokio::spawn(async move {
        let (mut random, mut next) = (rand::rngs::StdRng::seed_from_u64(seed + 2), 0);
        loop {
            let arrived: Vec<_> = told.lock().iter().skip(next).cloned().collect();
            next += arrived.len();
            for (ticket, conduct) in arrived {
                let chance = random.random_range(0..100);
                if conduct == Conduct::Take && chance < 95 {
                    let ticket = Ticket::read(&reporter.store.keyring(), &ticket).unwrap();
                    let fate = if chance < 90 { Fate::Delivered } else { Fate::Failed("off".to_owned()) };
                    reporter.report("bad", About::Ticket(ticket), fate).await;
                }
            }
            count_heeded.store(next, Ordering::Release);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut sent = Vec::new();
    while sent.len() < count {
        let wave = (0..128.min(count - sent.len())).map(|index| {
            let (office, number) = (Arc::clone(&office), format!("+491511{:07}", sent.len() + index));
            tokio::spawn(async move { office.send(&number, Via::Auto).await })
        });
        for one in wave.collect::<Vec<_>>() {
            sent.push(one.await.unwrap());
        }
        // Codes live for a minute: what waits is kept to what can leave in that time.
        office.until(async |office| office.store.backlog() < 1_000).await;
        if sent.len() % 12_800 == 0 {
            println!("{} sent", sent.len());
        }
    }
    office.settled().await;
    office.until(async |_| heeded.load(Ordering::Acquire) == ledger.lock().len()).await;
    reporting.abort();

    let mut of_message: HashMap<MessageId, Vec<Conduct>> = HashMap::new();
    let mut conducts: BTreeMap<Conduct, usize> = BTreeMap::new();
    for (ticket, conduct) in ledger.lock().iter() {
        let ticket = Ticket::read(&office.store.keyring(), ticket).expect("only our tickets arrive");
        of_message.entry(ticket.message).or_default().push(*conduct);
        *conducts.entry(*conduct).or_default() += 1;
    }
    let (mut ends, mut repeated, mut late): (BTreeMap<&str, usize>, _, _) = (BTreeMap::new(), 0, 0);
    for id in &sent {
        let otp = office.otp(*id).await;
        let message = MessageId { otp: *id, number: 1 };
        let submissions = of_message.remove(&message).unwrap_or_default();
        let perhaps: Vec<_> = submissions.into_iter().filter(|conduct| conduct.may_have_taken()).collect();
        assert!(perhaps.len() <= 2, "{id} may have left {} times: {perhaps:?}", perhaps.len());
        if let [first, _] = perhaps[..] {
            repeated += 1;
            assert!(otp.fates.repeated & Fates::bit(1) != 0, "{id} was repeated and does not say so");
            // An answer that comes after our patience leaves us in doubt too.
            late += usize::from(!first.leaves_doubt());
            let doubt = otp.events.iter().position(|event| event.kind == EventKind::DeliverOtpResUnknown);
            let again = otp.events.iter().position(|event| event.text.as_deref() == Some("SMS, repeated"));
            assert!(
                doubt.is_some() && doubt < again,
                "{id} was repeated without a doubt: {perhaps:?} {:?}",
                otp.events
            );
        }
        let over = otp.status_at(otp.expire) == OtpStatus::Expired;
        *ends.entry(otp.delivery.as_str()).or_default() += 1;
        match otp.delivery {
            Delivery::Delivered | Delivery::Undeliverable => {}
            // Taken without a receipt, or nobody knows: the code's end is the message's.
            Delivery::Sent | Delivery::Queued => assert!(over, "{id}"),
        }
    }
    assert!(of_message.is_empty(), "messages that nobody sent: {}", of_message.len());
    println!(
        "{conducts:?}; {repeated} repeated, {late} of them after an answer that came too late; {ends:?}; circuits {:?}",
        office.noted.circuits.lock().len()
    );
    assert!(late * 10 <= repeated, "of {repeated} repeats {late} were taken at first");
    assert!(repeated > count / 200 && conducts.len() == 8, "the carriers were too good");
    assert!(ends["DELIVERED"] > count * 3 / 5, "{ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_through_bad_carriers_ends_and_none_leaves_twice_unmarked() {
    let count = std::env::var("OTPGATE_MESSAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000);
    let seed = std::env::var("OTPGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    through_bad_carriers(count, seed.unwrap_or_else(|| rand::rng().random_range(0..u64::MAX / 2))).await;
}
