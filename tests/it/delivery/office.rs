//! What the delivery tests share: a service, a courier and a desk over a real store, and carriers that do what they are
//! told. Time is real; receipts are waited for briefly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use otpgate::abuse::CeilingPolicy;
use otpgate::clock::{Clock, SystemClock, UnixMillis};
use otpgate::delivery::courier::{Answered, Courier, CourierObserver, Outcome};
use otpgate::delivery::desk::{Desk, DeskObserver, Filed};
use otpgate::delivery::provider::{Failure, Outgoing, Provider, Receipt};
use otpgate::delivery::receipt::{About, CarrierId, Fate, Receipts, Report, Ticket};
use otpgate::delivery::routes::{Lane, Routes};
use otpgate::delivery::rules::{OnUnknown, Rules};
use otpgate::otp::application::{Application, ApplicationRef};
use otpgate::otp::catalogue::Catalogue;
use otpgate::otp::channel::{Channel, Via};
use otpgate::otp::command::{ResendError, Send, SendError, Verified, VerifyError};
use otpgate::otp::event::OtpEvent;
use otpgate::otp::id::{AccountId, OtpId};
use otpgate::otp::phone::Phone;
use otpgate::otp::policy::SendPolicy;
use otpgate::otp::record::Otp;
use otpgate::otp::service::{OtpObserver, OtpService};
use otpgate::otp::store::{ApplicationStore, Later, OtpStore, Outbox};
use otpgate::secret::{Keyring, SystemEntropy};
use otpgate::store::sqlite::{Mode, Options, SqliteStore};
use otpgate::verification::token::PageAddresses;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How long receipts are waited for.
pub(crate) const WITHIN: Duration = Duration::from_millis(300);

/// One submission, as a carrier saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: String,
    pub(crate) ticket: Ticket,
    pub(crate) life: Duration,
    pub(crate) at: UnixMillis,
}

/// What a carrier does with a submission, given how many it has seen before.
pub(crate) type Does = Box<dyn Fn(&Seen, usize) -> Answer + std::marker::Send + Sync>;

/// What a carrier does.
pub(crate) enum Answer {
    Now(Result<Receipt, Failure>),
    /// After a pause.
    After(Duration, Result<Receipt, Failure>),
    Never,
}

pub(crate) struct Carrier {
    name: &'static str,
    channels: Vec<Channel>,
    does: Does,
    seen: Mutex<Vec<Seen>>,
}

impl Carrier {
    pub(crate) fn new(
        name: &'static str,
        channels: &[Channel],
        does: impl Fn(&Seen, usize) -> Answer + std::marker::Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { name, channels: channels.to_vec(), does: Box::new(does), seen: Mutex::default() })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

/// Taken, under a name that tells the message.
pub(crate) fn taken(seen: &Seen) -> Result<Receipt, Failure> {
    Ok(Receipt::taken(CarrierId::parse(&format!("id-{}", seen.ticket))))
}

impl Provider for Carrier {
    fn name(&self) -> &str {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
        let Outgoing { number, ticket, life, .. } = message;
        let at = SystemClock::new().now();
        let seen = Seen { number: number.as_str().to_owned(), ticket, life, at };
        let before = {
            let mut all = self.seen.lock();
            all.push(seen.clone());
            all.len() - 1
        };
        let answer = (self.does)(&seen, before);
        Box::pin(async move {
            match answer {
                Answer::Now(result) => result,
                Answer::After(pause, result) => {
                    tokio::time::sleep(pause).await;
                    result
                }
                Answer::Never => std::future::pending().await,
            }
        })
    }
}

/// Counts what the courier and the desk say.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) circuits: Mutex<Vec<(String, bool)>>,
    pub(crate) filed: Mutex<BTreeMap<String, usize>>,
    /// How often a ceiling came near.
    pub(crate) near: Mutex<usize>,
}

impl OtpObserver for Noted {
    fn sent(&self, _: &Result<Arc<Otp>, SendError>) {}
    fn resent(&self, _: &Result<Arc<Otp>, ResendError>) {}
    fn checked(&self, _: &Result<Verified, VerifyError>) {}
    fn near_ceiling(&self, _: &AccountId, _: Option<otpgate::otp::phone::Country>) {
        *self.near.lock() += 1;
    }
}

impl CourierObserver for Noted {
    fn delivered(&self, _: Outcome) {}
    fn submitted(&self, _: &str, _: Answered) {}
    fn circuit(&self, provider: &str, open: bool) {
        self.circuits.lock().push((provider.to_owned(), open));
    }
}

impl DeskObserver for Noted {
    fn filed(&self, _: &str, filed: Filed) {
        *self.filed.lock().entry(format!("{filed:?}")).or_default() += 1;
    }
}

/// What an office is opened with.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) on_unknown: OnUnknown,
    pub(crate) second: Option<Channel>,
    pub(crate) ceiling: Option<u32>,
    pub(crate) within: Duration,
    pub(crate) lifetime: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { on_unknown: OnUnknown::Wait, second: None, ceiling: None, within: WITHIN, lifetime: 300 }
    }
}

pub(crate) struct Office {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) service: OtpService,
    pub(crate) desk: Desk,
    pub(crate) noted: Arc<Noted>,
    stop: watch::Sender<bool>,
    courier: tokio::task::JoinHandle<()>,
}

impl Office {
    /// Opens over the store in `dir`; carriers are tried in this order.
    pub(crate) async fn open(dir: &Path, plan: &Plan, carriers: &[Arc<Carrier>]) -> Self {
        let carriers: Vec<_> = carriers.iter().map(|carrier| Arc::clone(carrier) as Arc<dyn Provider>).collect();
        Self::open_with(dir, plan, |_, _| carriers).await
    }

    /// The same with providers that need the store's keys and the clock.
    pub(crate) async fn open_with(
        dir: &Path,
        plan: &Plan,
        providers: impl FnOnce(&Arc<Keyring>, &Arc<dyn Clock>) -> Vec<Arc<dyn Provider>>,
    ) -> Self {
        let store = Arc::new(SqliteStore::open(Options::new(dir, Mode::Server)).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let account = AccountId::default_account();
        let before = store.applications(&account).await.unwrap().into_iter().next().unwrap();
        let expire = otpgate::otp::application::Lifetime::new(plan.lifetime).unwrap();
        store.put_application(Some(before.clone()), Application { expire, ..before }).await.unwrap();
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::new(SystemEntropy)));
        let ceiling = CeilingPolicy(plan.ceiling);
        let rules = Rules { on_unknown: plan.on_unknown, receipt_within: plan.within, ceiling };
        let lanes = providers(&store.keyring(), &clock).into_iter().map(|one| Lane::new(one, true, 64)).collect();
        let routes = Arc::new(Routes::new(lanes, Vec::new()));
        let noted = Arc::new(Noted::default());
        let policy =
            SendPolicy { ceiling, second: plan.second, ways: Some(Arc::clone(&routes) as _), ..SendPolicy::open() };
        let service = OtpService::new(
            Arc::clone(&store) as _,
            Arc::clone(&catalogue),
            store.keyring(),
            Arc::clone(&clock),
            Arc::new(SystemEntropy),
            policy,
            Arc::clone(&noted) as _,
        );
        let desk = Desk {
            store: Arc::clone(&store) as _,
            keyring: store.keyring(),
            clock: Arc::clone(&clock),
            rules,
            observer: Arc::clone(&noted) as _,
        };
        let courier = Arc::new(Courier {
            outbox: Arc::clone(&store) as _,
            store: Arc::clone(&store) as _,
            catalogue,
            keyring: store.keyring(),
            clock,
            routes,
            rules,
            pages: Arc::new(PageAddresses::new("http://127.0.0.1".to_owned(), store.keyring())),
            observer: Arc::clone(&noted) as _,
        });
        let (stop, stopped) = watch::channel(false);
        let courier = tokio::spawn(courier.run(stopped));
        Self { store, service, desk, noted, stop, courier }
    }

    pub(crate) async fn send(&self, number: &str, via: Via) -> OtpId {
        self.try_send(number, via).await.unwrap().id
    }

    pub(crate) async fn try_send(&self, number: &str, via: Via) -> Result<Arc<Otp>, SendError> {
        let send = Send {
            account: AccountId::default_account(),
            phone: Phone::parse(number, None).unwrap(),
            application: ApplicationRef::Default,
            via,
            language: None,
            text: None,
            code: None,
            pin_length: None,
            sender: None,
            caller: None,
            reference: None,
            terms: otpgate::otp::command::Terms::default(),
        };
        self.service.send(send, None).await
    }

    pub(crate) async fn otp(&self, id: OtpId) -> Arc<Otp> {
        self.store.otp(id).await.unwrap().unwrap()
    }

    /// The events of an OTP: type and words.
    pub(crate) async fn events(&self, id: OtpId) -> Vec<String> {
        let word = |event: &OtpEvent| format!("{} {}", event.kind.as_str(), event.text.as_deref().unwrap_or(""));
        self.otp(id).await.events.iter().map(|event| word(event).trim().to_owned()).collect()
    }

    pub(crate) async fn report(&self, provider: &str, about: About, fate: Fate) {
        self.desk.report(provider, Report { about, fate }).await.unwrap();
    }

    /// Waits until `holds`, as long as it takes.
    pub(crate) async fn until(&self, holds: impl AsyncFn(&Self) -> bool) {
        while !holds(self).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every message is settled.
    pub(crate) async fn settled(&self) {
        self.until(async |office| office.store.backlog() == 0).await;
    }

    /// Ends in order.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        self.courier.await.unwrap();
    }

    /// Ends as a crash does: in the middle of whatever is going on.
    pub(crate) async fn crash(self) {
        let Self { store, service, desk, courier, .. } = self;
        courier.abort();
        let _ = courier.await;
        drop((service, desk));
        // The tasks of the courier end a moment after it.
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
