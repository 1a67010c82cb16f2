//! The domain and its store alone, in a process of its own: what a call costs below HTTP, beside a loop that has none.
//! The same service, store, courier and sandbox that the gateway runs; 256 tasks wait instead of 256 connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use otpgate::clock::{Clock, SystemClock};
use otpgate::delivery::courier::{Answered, Courier, CourierObserver, Outcome};
use otpgate::delivery::desk::{Desk, DeskObserver, Filed};
use otpgate::delivery::routes::{Lane, Routes};
use otpgate::delivery::rules::{OnUnknown, Rules};
use otpgate::delivery::sandbox::Sandbox;
use otpgate::otp::application::ApplicationRef;
use otpgate::otp::catalogue::Catalogue;
use otpgate::otp::channel::{Channel, Via};
use otpgate::otp::code::{Code, EnteredCode};
use otpgate::otp::command::{ResendError, Send, SendError, Terms, Verified, VerifyError};
use otpgate::otp::id::{AccountId, OtpId};
use otpgate::otp::machine::Verdict;
use otpgate::otp::phone::Phone;
use otpgate::otp::policy::SendPolicy;
use otpgate::otp::record::Otp;
use otpgate::otp::service::{OtpObserver, OtpService};
use otpgate::secret::SystemEntropy;
use otpgate::store::sqlite::{Mode, Options, SqliteStore};
use otpgate::verification::token::PageAddresses;

use super::load::Figures;
use super::loop_store::{Measured, print};

/// Names the process that is only the service.
pub(crate) const ASKED: &str = "OTPGATE_BENCH_SERVICE";
const CODE: &str = "012345";

struct Nobody;

impl OtpObserver for Nobody {
    fn sent(&self, _: &Result<Arc<Otp>, SendError>) {}
    fn resent(&self, _: &Result<Arc<Otp>, ResendError>) {}
    fn checked(&self, _: &Result<Verified, VerifyError>) {}
    fn near_ceiling(&self, _: &AccountId, _: Option<otpgate::otp::phone::Country>) {}
}

impl CourierObserver for Nobody {
    fn delivered(&self, _: Outcome) {}
    fn submitted(&self, _: &str, _: Answered) {}
    fn circuit(&self, _: &str, _: bool) {}
}

impl DeskObserver for Nobody {
    fn filed(&self, _: &str, _: Filed) {}
}

/// Is the service, and prints what it did.
pub(crate) fn serve(waiters: usize, calls: usize) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    print(&runtime.block_on(measure(folder.path(), waiters, calls)));
}

async fn measure(folder: &std::path::Path, waiters: usize, calls: usize) -> Measured {
    let store = Arc::new(SqliteStore::open(Options::new(folder, Mode::Server)).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::new(SystemEntropy)));
    let otps = Arc::new(OtpService::new(
        Arc::clone(&store) as _,
        Arc::clone(&catalogue),
        store.keyring(),
        Arc::clone(&clock),
        Arc::new(SystemEntropy),
        SendPolicy::open(),
        Arc::new(Nobody),
    ));
    let rules = Rules {
        on_unknown: OnUnknown::Wait,
        receipt_within: Duration::from_secs(45),
        ceiling: otpgate::abuse::CeilingPolicy(None),
    };
    let desk = Arc::new(Desk {
        store: Arc::clone(&store) as _,
        keyring: store.keyring(),
        clock: Arc::clone(&clock),
        rules,
        observer: Arc::new(Nobody),
    });
    let sandbox = Sandbox::new("sandbox".to_owned(), vec![Channel::Sms, Channel::Voice], Arc::clone(&clock), desk);
    let courier = Arc::new(Courier {
        outbox: Arc::clone(&store) as _,
        store: Arc::clone(&store) as _,
        catalogue,
        keyring: store.keyring(),
        clock,
        routes: Arc::new(Routes::new(vec![Lane::new(Arc::new(sandbox), false, 256)], Vec::new())),
        rules,
        pages: Arc::new(PageAddresses::new("http://127.0.0.1".to_owned(), store.keyring())),
        observer: Arc::new(Nobody),
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let courier = tokio::spawn(courier.run(stopped));

    let ids: Arc<Vec<std::sync::OnceLock<OtpId>>> = Arc::new((0..calls).map(|_| std::sync::OnceLock::new()).collect());
    let (service, made) = (Arc::clone(&otps), Arc::clone(&ids));
    let send = phase(waiters, calls, move |index| {
        let (service, made) = (Arc::clone(&service), Arc::clone(&made));
        async move {
            let sent = service.send(wish(index), None).await.unwrap();
            made[index].set(sent.id).unwrap();
        }
    });
    let send = send.await;
    let verify = phase(waiters, calls, move |index| {
        let (service, id) = (Arc::clone(&otps), *ids[index].get().unwrap());
        async move {
            let account = AccountId::default_account();
            let checked = service.verify(&account, id, EnteredCode::new(CODE), None, None).await.unwrap();
            assert_eq!(checked.verdict, Verdict::Verified);
        }
    });
    let verify = verify.await;
    stop.send_replace(true);
    courier.await.unwrap();
    Measured { send, verify }
}

fn wish(index: usize) -> Send {
    Send {
        account: AccountId::default_account(),
        phone: Phone::parse(&format!("+49170{index:07}"), None).unwrap(),
        application: ApplicationRef::Default,
        via: Via::Auto,
        language: None,
        text: None,
        code: Some(Code::parse_own(CODE).unwrap()),
        pin_length: None,
        sender: None,
        caller: None,
        reference: None,
        terms: Terms::default(),
    }
}

async fn phase<F>(
    waiters: usize,
    calls: usize,
    call: impl Fn(usize) -> F + Clone + std::marker::Send + 'static,
) -> Figures
where
    F: Future<Output = ()> + std::marker::Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..waiters)
        .map(|_| {
            let (next, call) = (Arc::clone(&next), call.clone());
            tokio::spawn(async move {
                let mut each = Vec::<Duration>::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= calls {
                        return each;
                    }
                    let asked = Instant::now();
                    call(index).await;
                    each.push(asked.elapsed());
                }
            })
        })
        .collect();
    let mut each = Vec::new();
    for task in tasks {
        each.extend(task.await.unwrap());
    }
    Figures::of(each, began.elapsed())
}
