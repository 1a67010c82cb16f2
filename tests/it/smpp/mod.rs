//! The SMPP carrier over real sockets, against a message centre that does what each test says.
//!
//! - `submits`: what goes over the wire, and what each answer means
//! - `window`: how many submits are open, in order, at what pace
//! - `links`: bind, unbind, enquire_link, cuts, rebinds
//! - `receipts`: what comes in
//! - `hostile`: what no centre should send
//! - `gateway`: the built binary with such a carrier

mod gateway;
mod hostile;
mod links;
mod receipts;
mod submits;
mod window;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otpgate::delivery::provider::{Failure, Outgoing, Provider as _, Receipt};
use otpgate::delivery::receipt::{About, Fate, Receipts, Report, Ticket};
use otpgate::delivery::smpp::{
    Dial, Mode, ReceiptIds, Received, ReferenceWidth, Settings, Smpp, SmppObserver, Submitted,
};
use otpgate::otp::application::Sender;
use otpgate::otp::channel::Channel;
use otpgate::otp::code::Code;
use otpgate::otp::id::OtpId;
use otpgate::otp::language::Language;
use otpgate::otp::outbox::MessageId;
use otpgate::otp::phone::E164;
use otpgate::otp::store::{Later, StoreError};
use otpgate::outbound::CentreDialer;
use otpgate::secret::{Keyring, Secret, SystemEntropy};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::support::centre::Centre;

const CODE: &str = "836194";
const NUMBER: &str = "+4915112345678";

/// What was reported, and whether it is kept.
#[derive(Default)]
struct Kept {
    reports: Mutex<Vec<(String, Report)>>,
    /// Reports that are refused before the next one is kept.
    refusals: Mutex<usize>,
    /// How long a report takes.
    slow: Mutex<Duration>,
    /// Reports in work now, and the most there were.
    in_work: Mutex<(usize, usize)>,
}

impl Kept {
    fn all(&self) -> Vec<Report> {
        self.reports.lock().unwrap().iter().map(|(_, report)| report.clone()).collect()
    }
}

impl Receipts for Kept {
    fn report<'a>(&'a self, provider: &'a str, report: Report) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            {
                let mut in_work = self.in_work.lock().unwrap();
                in_work.0 += 1;
                in_work.1 = in_work.1.max(in_work.0);
            }
            let slow = *self.slow.lock().unwrap();
            tokio::time::sleep(slow).await;
            self.in_work.lock().unwrap().0 -= 1;
            let mut refusals = self.refusals.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                return Err(StoreError::Full);
            }
            self.reports.lock().unwrap().push((provider.to_owned(), report));
            Ok(())
        })
    }
}

/// What was counted.
#[derive(Default)]
struct Counted {
    submitted: Mutex<Vec<Submitted>>,
    received: Mutex<Vec<Received>>,
    rebinds: Mutex<usize>,
}

impl SmppObserver for Counted {
    fn submitted(&self, outcome: Submitted) {
        self.submitted.lock().unwrap().push(outcome);
    }

    fn received(&self, what: Received) {
        self.received.lock().unwrap().push(what);
    }

    fn rebound(&self) {
        *self.rebinds.lock().unwrap() += 1;
    }
}

/// The settings of the tests: short waits.
fn settings() -> Settings {
    Settings {
        name: "carrier".to_owned(),
        system_id: "otpgate".to_owned(),
        password: Secret::new("secret08".to_owned()),
        system_type: String::new(),
        mode: Mode::Transceiver,
        connections: 1,
        window: 10,
        per_second: None,
        bind: Duration::from_secs(5),
        submit: Duration::from_secs(5),
        enquire_link: Duration::from_secs(30),
        enquire_link_answer: Duration::from_secs(5),
        service_type: String::new(),
        source_ton: None,
        source_npi: None,
        data_coding: 0,
        reference: ReferenceWidth::Eight,
        validity_period: true,
        receipt_ids: ReceiptIds::Same,
    }
}

/// A provider whose links are kept up.
struct Carrier {
    smpp: Arc<Smpp>,
    kept: Arc<Kept>,
    counted: Arc<Counted>,
    keyring: Keyring,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Carrier {
    /// One for this centre, as soon as it is bound.
    async fn to(centre: &Centre, change: impl FnOnce(&mut Settings)) -> Self {
        let carrier = Self::unbound(centre, change);
        let carrier_links = |links| carrier.smpp.bound() == links;
        eventually("every link is bound", || carrier_links(carrier.wanted())).await;
        carrier
    }

    /// One for this centre.
    fn unbound(centre: &Centre, change: impl FnOnce(&mut Settings)) -> Self {
        Self::dialing(CentreDialer::plain(centre.address().ip().to_string(), centre.address().port()), change)
    }

    fn dialing(dialer: impl Dial, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        let (kept, counted) = (Arc::new(Kept::default()), Arc::new(Counted::default()));
        let smpp = Arc::new(Smpp::new(
            settings,
            Arc::new(dialer),
            Arc::clone(&kept) as _,
            Arc::clone(&counted) as _,
            Arc::new(SystemEntropy),
        ));
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(Arc::clone(&smpp).run(stopped));
        Self { smpp, kept, counted, keyring: Keyring::generate(&SystemEntropy), stop, running }
    }

    fn wanted(&self) -> u64 {
        // A pair is two sessions.
        self.smpp.sessions()
    }

    fn outgoing(&self, number: u32, text: &str) -> Outgoing {
        let id = MessageId { otp: OtpId::from_bytes([7; 16]), number };
        Outgoing {
            id,
            ticket: Ticket::new(&self.keyring, id, 1),
            number: E164::try_from(NUMBER.to_owned()).unwrap(),
            channel: Channel::Sms,
            sender: Some(Sender::parse("ACME").unwrap()),
            caller: None,
            language: "en".parse::<Language>().unwrap(),
            text: Zeroizing::new(text.to_owned()),
            code: Code::parse_own(CODE).unwrap(),
            life: Duration::from_secs(300),
        }
    }

    /// Submits a text.
    async fn send(&self, text: &str) -> Result<Receipt, Failure> {
        self.smpp.deliver(self.outgoing(1, text)).await
    }

    /// Submits that many texts at once.
    async fn send_many(&self, count: u32) -> Vec<Result<Receipt, Failure>> {
        let sending = (0..count).map(|number| self.smpp.deliver(self.outgoing(number, &format!("Your code {number}"))));
        futures_util::future::join_all(sending).await
    }

    /// Ends it; it must end in time.
    async fn end(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }
}

/// Waits for what has to come true. Where it does not, the run's own limit ends the test, and its name says what was
/// waited for.
async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come true in 30 s that {what}");
}

/// The id that a report is about, and what it says.
fn said(report: &Report) -> (String, Fate) {
    let about = match &report.about {
        About::Carrier(id) => id.as_str().to_owned(),
        About::Ticket(ticket) => format!("{ticket:?}"),
    };
    (about, report.fate.clone())
}
