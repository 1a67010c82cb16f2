//! The steps of a verification, over the store in memory and a clock that is told to move: what each finds, what a crash
//! between two writes leaves, and that one code is sent however often it is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy.toml exempts only inside test functions"
)]

mod pages;
mod repeats;

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::ConnectionId;
use otpgate::clock::Clock;
use otpgate::events::inside::Inside as _;
use otpgate::events::queue::{Settled, Settlement};
use otpgate::events::store::EventQueue as _;
use otpgate::idempotency::{CallKey, IdempotencyKey, Name, Operation, Request, Settled as Known, Ticket};
use otpgate::otp::application::{Application, ApplicationName, ApplicationRef};
use otpgate::otp::catalogue::Catalogue;
use otpgate::otp::channel::{Channel, Via};
use otpgate::otp::code::EnteredCode;
use otpgate::otp::command::{ResendError, SendError, SendRefusal, Verified, VerifyError};
use otpgate::otp::id::{AccountId, ApplicationId};
use otpgate::otp::page::ReturnUrl;
use otpgate::otp::phone::{Country, Phone};
use otpgate::otp::policy::{Countries, SendPolicy};
use otpgate::otp::record::{Delivery, Otp, SealedContent};
use otpgate::otp::service::{OtpObserver, OtpService};
use otpgate::otp::store::{ApplicationStore as _, OtpStore as _, Outbox as _};
use otpgate::secret::SystemEntropy;
use otpgate::store::memory::MemoryStore;
use otpgate::verification::VerificationId;
use otpgate::verification::outcome::Outcome;
use otpgate::verification::page::{AFTERMATH, NotDone, PageError, RESEND_GAP};
use otpgate::verification::record::{Expiry, FirstSend, Sends};
use otpgate::verification::service::{OpenError, Opened, Parts, VerificationObserver, Verifications, Wish};
use otpgate::verification::settler::Settler;
use otpgate::verification::store::VerificationStore;
use otpgate::verification::token::{PageAddresses, PageToken, WaitToken};
use otpgate::verification::view::{Code, State, View};

use crate::store::world::{World, edit};

const NUMBER: &str = "+4915112345678";

struct Nobody;

impl OtpObserver for Nobody {
    fn sent(&self, _: &Result<Arc<Otp>, SendError>) {}
    fn resent(&self, _: &Result<Arc<Otp>, ResendError>) {}
    fn near_ceiling(&self, _: &AccountId, _: Option<Country>) {}
    fn checked(&self, _: &Result<Verified, VerifyError>) {}
}

impl VerificationObserver for Nobody {
    fn opened(&self) {}
    fn ended(&self, _: Outcome) {}
    fn told(&self, _: otpgate::events::dispatch::Outcome) {}
}

struct Bench {
    world: World,
    store: Arc<MemoryStore>,
    service: Arc<Verifications>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(SendPolicy::open()).await
    }

    async fn with(policy: SendPolicy) -> Self {
        Self::over(policy, |store| store as _).await
    }

    /// `lying` gives the service the verifications that lie in the store.
    async fn over(policy: SendPolicy, lying: impl FnOnce(Arc<MemoryStore>) -> Arc<dyn VerificationStore>) -> Self {
        let world = World::new();
        let store = Arc::new(world.memory());
        let clock: Arc<dyn Clock> = Arc::clone(&world.clock) as _;
        let id = ApplicationId::generate(&SystemEntropy);
        let mut application = Application::new(id, 1, world.account.clone(), Application::default_name(), world.now());
        application.page.return_urls.push("https://www.example.com".to_owned().try_into().unwrap());
        store.put_application(None, application).await.unwrap();
        let entropy = Arc::new(SystemEntropy);
        let catalogue =
            Arc::new(Catalogue::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::clone(&entropy) as _));
        let otps = Arc::new(OtpService::new(
            Arc::clone(&store) as _,
            Arc::clone(&catalogue),
            Arc::clone(&world.keyring),
            Arc::clone(&clock),
            Arc::clone(&entropy) as _,
            policy,
            Arc::new(Nobody),
        ));
        let service = Arc::new(Verifications::new(Parts {
            store: lying(Arc::clone(&store)),
            otp_store: Arc::clone(&store) as _,
            otps,
            catalogue,
            keyring: Arc::clone(&world.keyring),
            clock,
            entropy,
            pages: Arc::new(PageAddresses::new("https://otp.example.com".to_owned(), Arc::clone(&world.keyring))),
            observer: Arc::new(Nobody),
        }));
        Self { world, store, service }
    }

    fn wish(&self) -> Wish {
        Wish {
            account: self.world.account.clone(),
            connection: ConnectionId::generate(&SystemEntropy),
            phone: Phone::parse(NUMBER, None).unwrap(),
            application: ApplicationRef::Default,
            via: Via::Auto,
            language: None,
            sender: None,
            reference: None,
            context: None,
            return_url: None,
            expiry: None,
            sends: Sends::default(),
            first: FirstSend::Now,
            callback: None,
        }
    }

    async fn open(&self) -> Opened {
        self.service.open(self.wish(), None).await.unwrap()
    }

    /// An application beside the default one.
    async fn another(&self) -> ApplicationId {
        let (id, name) = (ApplicationId::generate(&SystemEntropy), ApplicationName::parse("other").unwrap());
        let application = Application::new(id, 2, self.world.account.clone(), name, self.world.now());
        self.store.put_application(None, application).await.unwrap();
        id
    }

    fn token(&self, opened: &Opened) -> PageToken {
        PageToken::read(PageToken::of(opened.verification.id, &self.world.keyring).expose())
    }

    /// What the person reads in the newest message.
    async fn code(&self, id: VerificationId) -> String {
        let known = self.store.verification(id).await.unwrap().unwrap();
        let otp = self.store.otp(known.current_otp().unwrap()).await.unwrap().unwrap();
        let opened = SealedContent::open(&self.world.keyring, otp.id, otp.sealed.as_ref().unwrap()).unwrap();
        opened.code.expose().to_owned()
    }

    async fn enter(&self, opened: &Opened, code: &str) -> Result<View, PageError> {
        self.service.enter(&self.token(opened), EnteredCode::new(code)).await
    }

    async fn outcome(&self, id: VerificationId) -> Option<Outcome> {
        self.store.verification(id).await.unwrap().unwrap().ended.map(|ended| ended.outcome)
    }

    /// Tells the settler what waits in the queue, as the dispatcher does.
    async fn hear(&self) {
        let settler = Settler(Arc::clone(&self.service));
        loop {
            let events = self.store.claim_events(self.world.now(), 100).await.unwrap();
            if events.is_empty() {
                break;
            }
            for event in events {
                settler.hear(&event.notice).await.unwrap();
                let settled = Settled { address: event.address, settlement: Settlement::Told };
                self.store.settle_events(vec![settled]).await.unwrap();
            }
        }
    }

    fn ticket(&self, name: &[u8], body: &[u8]) -> Ticket {
        let request =
            Request { method: b"POST", path: b"/v1/verifications", query: b"", media_type: b"", fields: b"", body };
        let name = Name::Key(IdempotencyKey::parse(name).unwrap());
        Ticket::new(CallKey::of(&self.world.keyring, 7, Operation::Open, name, &request))
    }

    fn run(&self, body: &[u8]) -> Ticket {
        let request =
            Request { method: b"POST", path: b"/v1/verifications", query: b"", media_type: b"", fields: b"", body };
        let name = Name::Run { run: b"run", action: b"action" };
        Ticket::new(CallKey::of(&self.world.keyring, 7, Operation::Open, name, &request))
    }
}

fn why(error: &PageError) -> NotDone {
    let PageError::NotDone(_, why) = error else { panic!("{error:?}") };
    *why
}

#[tokio::test]
async fn a_wrong_code_then_the_right_one() {
    let bench = Bench::new().await;
    let opened = bench.open().await;
    let view = bench.service.look(&bench.token(&opened)).await.unwrap();
    assert_eq!((view.state, view.last_two.as_str(), view.sends_left), (State::Open(Code::Queued), "78", 2));
    assert_eq!((view.attempts_left, view.wrong, view.voice_offered), (3, false, true));
    assert_eq!(view.resend_at, Some(bench.world.now() + RESEND_GAP));
    assert_eq!((view.language.as_str(), view.channel), ("de", Channel::Sms));
    let view = bench.enter(&opened, "wrong").await.unwrap();
    assert_eq!((view.state, view.wrong, view.attempts_left), (State::Open(Code::Queued), true, 2));
    let code = bench.code(opened.verification.id).await;
    let view = bench.enter(&opened, &code).await.unwrap();
    assert_eq!((view.state, view.wrong), (State::Ended(Outcome::Verified), false));
    // Whoever presses twice sees the same; and then the page is gone.
    let again = bench.enter(&opened, &code).await.unwrap();
    assert_eq!(again.state, State::Ended(Outcome::Verified));
    assert!(again.resend_at.is_none());
    bench.world.clock.advance(AFTERMATH);
    for error in [
        bench.service.look(&bench.token(&opened)).await.unwrap_err(),
        bench.enter(&opened, &code).await.unwrap_err(),
        bench.service.look(&PageToken::read("guessed")).await.unwrap_err(),
    ] {
        assert!(matches!(error, PageError::Gone), "{error:?}");
    }
    let kept = bench.store.verification(opened.verification.id).await.unwrap().unwrap().ended.unwrap();
    assert_eq!(kept.otp.unwrap().attempts, 2);
}

#[tokio::test]
async fn wrong_codes_and_time_end_it() {
    let bench = Bench::new().await;
    let opened = bench.open().await;
    for _ in 0..2 {
        bench.enter(&opened, "wrong").await.unwrap();
    }
    let view = bench.enter(&opened, "wrong").await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::TooManyAttempts));

    let opened = bench.open().await;
    bench.world.clock.advance(Duration::from_secs(600));
    let view = bench.enter(&opened, "wrong").await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::Expired), "its page was open when its time ran out");
    assert_eq!(bench.outcome(opened.verification.id).await, Some(Outcome::Expired));
}

#[tokio::test]
async fn a_lapsed_code_is_replaced_by_a_new_one() {
    let bench = Bench::new().await;
    let opened = bench.open().await;
    let (id, token) = (opened.verification.id, bench.token(&opened));
    let old = bench.code(id).await;
    bench.world.clock.advance(Duration::from_secs(300));
    bench.hear().await;
    let view = bench.service.look(&token).await.unwrap();
    assert_eq!((view.state, view.attempts_left), (State::Open(Code::Lapsed), 0));
    assert_eq!(why(&bench.enter(&opened, &old).await.unwrap_err()), NotDone::NoCode);
    let view = bench.service.again(&token, Channel::Sms).await.unwrap();
    assert_eq!((view.state, view.attempts_left, view.sends_left), (State::Open(Code::Queued), 3, 1));
    assert_eq!(view.expires, opened.verification.expires, "no code outlives its verification");
    assert_eq!(why(&bench.service.again(&token, Channel::Sms).await.unwrap_err()), {
        NotDone::TooSoon(bench.world.now() + RESEND_GAP)
    });
    bench.world.clock.advance(RESEND_GAP);
    let view = bench.service.again(&token, Channel::Voice).await.unwrap();
    assert_eq!((view.channel, view.sends_left, view.resend_at), (Channel::Voice, 0, None));
    bench.world.clock.advance(RESEND_GAP);
    assert_eq!(why(&bench.service.again(&token, Channel::Sms).await.unwrap_err()), NotDone::NoSendsLeft);
    let otps = bench.store.verification(id).await.unwrap().unwrap().otps;
    assert_eq!(otps.len(), 2, "the second message was the same code");
    let view = bench.enter(&opened, &bench.code(id).await).await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::Verified));
}

#[tokio::test]
async fn a_message_leaves_on_no_other_channel_than_was_asked_for() {
    let bench = Bench::new().await;
    for (via, other) in [(Via::Sms, Channel::Voice), (Via::Voice, Channel::Sms)] {
        let opened = bench.service.open(Wish { via, ..bench.wish() }, None).await.unwrap();
        let token = bench.token(&opened);
        bench.world.clock.advance(RESEND_GAP);
        assert_eq!(why(&bench.service.again(&token, other).await.unwrap_err()), NotDone::NotOffered);
        let view = bench.service.look(&token).await.unwrap();
        assert_eq!(
            (view.sends_left, view.message_offered, view.voice_offered),
            (2, via == Via::Sms, via == Via::Voice)
        );
    }
}

#[tokio::test]
async fn a_code_that_lapses_when_no_message_is_left_ends_it() {
    let bench = Bench::new().await;
    let wish = Wish { sends: Sends::new(1).unwrap(), expiry: Expiry::new(3_600).ok(), ..bench.wish() };
    let opened = bench.service.open(wish, None).await.unwrap();
    bench.world.clock.advance(Duration::from_secs(300));
    let settled = bench.service.settle(opened.verification.id, None).await.unwrap().unwrap();
    assert_eq!(settled.ended.unwrap().outcome, Outcome::Expired);
}

#[tokio::test]
async fn the_first_code_leaves_once_when_the_person_asks_for_it() {
    let bench = Bench::new().await;
    let wish = Wish { first: FirstSend::OnOpen, ..bench.wish() };
    let opened = bench.service.open(wish, None).await.unwrap();
    let token = bench.token(&opened);
    for _ in 0..100 {
        let view = bench.service.look(&token).await.unwrap();
        assert_eq!((view.state, view.sends_left), (State::Open(Code::None), 3));
    }
    assert_eq!(bench.store.backlog(), 0, "whoever only looks sends nothing");
    assert_eq!(why(&bench.enter(&opened, "1").await.unwrap_err()), NotDone::NoCode);
    let presses = (0..16).map(|_| {
        let service = Arc::clone(&bench.service);
        tokio::spawn(async move { service.begin(&token).await })
    });
    for press in presses.collect::<Vec<_>>() {
        assert_eq!(press.await.unwrap().unwrap().state, State::Open(Code::Queued));
    }
    assert_eq!(bench.store.backlog(), 1, "one message");
    assert_eq!(bench.service.look(&token).await.unwrap().sends_left, 2);
}

#[tokio::test]
async fn the_person_and_the_flow_may_end_it() {
    let bench = Bench::new().await;
    let opened = bench.open().await;
    let id = opened.verification.id;
    let code = bench.code(id).await;
    let view = bench.service.not_me(&bench.token(&opened)).await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::CancelledByPerson));
    assert_eq!(bench.store.backlog(), 0, "its message does not leave");
    let view = bench.enter(&opened, &code).await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::CancelledByPerson), "the code is worth nothing");

    let opened = bench.open().await;
    let id = opened.verification.id;
    let other: AccountId = "other".parse().unwrap();
    assert!(!bench.service.cancel(&other, id).await.unwrap());
    assert!(bench.service.cancel(&bench.world.account, id).await.unwrap());
    assert!(bench.service.cancel(&bench.world.account, id).await.unwrap());
    assert_eq!(bench.outcome(id).await, Some(Outcome::CancelledByFlow));

    let opened = bench.open().await;
    let id = opened.verification.id;
    let page = PageToken::of(id, &bench.world.keyring);
    assert!(!bench.service.unsubscribe(&WaitToken::read(page.expose())).await.unwrap(), "another token");
    let token = WaitToken::read(WaitToken::of(id, &bench.world.keyring).expose());
    for _ in 0..2 {
        assert!(bench.service.unsubscribe(&token).await.unwrap());
    }
    assert_eq!(bench.outcome(id).await, Some(Outcome::CancelledByFlow));
    bench.hear().await;
    assert_eq!(bench.outcome(id).await, Some(Outcome::CancelledByFlow), "what its code became comes too late");
}

#[tokio::test]
async fn what_becomes_of_a_code_elsewhere_reaches_its_verification() {
    let bench = Bench::new().await;
    let account = bench.world.account.clone();
    // A check by the code's id, and then the code deleted before anybody settled.
    let opened = bench.open().await;
    let id = opened.verification.id;
    let (code, otp) = (bench.code(id).await, opened.verification.current_otp().unwrap());
    bench.world.check(&*bench.store, otp, &code).await;
    assert_eq!(bench.outcome(id).await, None);
    let otps = otps(&bench);
    otps.delete(&account, otp, None).await.unwrap();
    bench.hear().await;
    assert_eq!(bench.outcome(id).await, Some(Outcome::Verified), "it was verified before it was deleted");

    let opened = bench.open().await;
    otps.delete(&account, opened.verification.current_otp().unwrap(), None).await.unwrap();
    bench.hear().await;
    assert_eq!(bench.outcome(opened.verification.id).await, Some(Outcome::CancelledByFlow));

    let opened = bench.open().await;
    let now = bench.world.now();
    edit(&*bench.store, opened.verification.current_otp().unwrap(), move |otp| {
        otp.note_delivery(1, Delivery::Undeliverable, None, now);
    })
    .await;
    bench.hear().await;
    assert_eq!(bench.outcome(opened.verification.id).await, Some(Outcome::Undeliverable));
}

/// The domain of codes, over the same store.
fn otps(bench: &Bench) -> OtpService {
    let clock: Arc<dyn Clock> = Arc::clone(&bench.world.clock) as _;
    let entropy = Arc::new(SystemEntropy);
    let store = Arc::clone(&bench.store);
    let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::clone(&entropy) as _));
    let keyring = Arc::clone(&bench.world.keyring);
    OtpService::new(store, catalogue, keyring, clock, entropy, SendPolicy::open(), Arc::new(Nobody))
}

#[tokio::test]
async fn a_refused_message_leaves_nothing_behind() {
    let served = Countries::Only(vec!["FR".parse().unwrap()]);
    let bench = Bench::with(SendPolicy { countries: served, ..SendPolicy::open() }).await;
    for first in [FirstSend::Now, FirstSend::OnOpen] {
        let refused = bench.service.open(Wish { first, ..bench.wish() }, None).await.unwrap_err();
        assert_eq!(refused, OpenError::Refused(SendRefusal::CountryNotServed));
    }
    let one = otpgate::abuse::SendLimits::new(vec!["1/10m".parse().unwrap()]);
    let bench = Bench::with(SendPolicy { limits: one, ..SendPolicy::open() }).await;
    let opened = bench.open().await;
    let ticket = bench.ticket(b"second", b"1");
    let refused = bench.service.open(bench.wish(), Some(&ticket)).await.unwrap_err();
    assert!(matches!(refused, OpenError::Refused(SendRefusal::TooManySends(_))), "{refused:?}");
    bench.world.clock.advance(Duration::from_secs(599));
    assert_eq!(
        bench.store.claim_verifications(bench.world.now() + Duration::from_secs(86_400), 10).await.unwrap().len(),
        1
    );
    bench.world.clock.advance(Duration::from_secs(1));
    let again = bench.service.open(bench.wish(), Some(&ticket)).await.unwrap();
    assert!(!again.repeated && again.verification.id != opened.verification.id);
    // On the page a message that may not leave is not counted.
    bench.world.clock.advance(RESEND_GAP);
    let token = bench.token(&again);
    let refused = why(&bench.service.again(&token, Channel::Sms).await.unwrap_err());
    assert!(matches!(refused, NotDone::Send(SendRefusal::TooManySends(_))), "{refused:?}");
    assert_eq!(bench.service.look(&token).await.unwrap().sends_left, 2);
}

#[tokio::test]
async fn a_return_address_has_to_be_allowed() {
    let bench = Bench::new().await;
    let to = |url: &str| Wish { return_url: Some(ReturnUrl::parse(url).unwrap()), ..bench.wish() };
    let refused = bench.service.open(to("https://www.example.com.evil.example/"), None).await.unwrap_err();
    assert_eq!(refused, OpenError::ReturnUrlNotAllowed);
    let opened = bench.service.open(to("https://www.example.com/done?x=1"), None).await.unwrap();
    let view = bench.service.look(&bench.token(&opened)).await.unwrap();
    assert_eq!(view.return_url.unwrap().as_str(), "https://www.example.com/done?x=1");
}

#[tokio::test]
async fn a_call_that_comes_again_opens_nothing_new() {
    let bench = Bench::new().await;
    let first = bench.service.open(bench.wish(), Some(&bench.ticket(b"order-7", b"1"))).await.unwrap();
    let again = bench.service.open(bench.wish(), Some(&bench.ticket(b"order-7", b"1"))).await.unwrap();
    assert!(!first.repeated && again.repeated);
    assert_eq!((again.verification.id, bench.store.backlog()), (first.verification.id, 1));
    let ticket = bench.ticket(b"order-7", b"2");
    assert_eq!(bench.service.open(bench.wish(), Some(&ticket)).await.unwrap_err(), OpenError::Answered);
    assert_eq!(ticket.settled(), Some(&Known::Reused));
    // One that names the call keeps it for a day, whatever became of it; a loop of the platform wants a new one then.
    let run = bench.service.open(bench.wish(), Some(&bench.run(b"1"))).await.unwrap();
    assert_eq!(bench.service.open(bench.wish(), Some(&bench.run(b"1"))).await.unwrap().verification.id, {
        run.verification.id
    });
    for opened in [&first, &run] {
        bench.service.cancel(&bench.world.account, opened.verification.id).await.unwrap();
    }
    let named = bench.service.open(bench.wish(), Some(&bench.ticket(b"order-7", b"1"))).await.unwrap();
    assert_eq!(named.verification.id, first.verification.id);
    let looped = bench.service.open(bench.wish(), Some(&bench.run(b"1"))).await.unwrap();
    assert_ne!(looped.verification.id, run.verification.id);
    assert_eq!(bench.store.backlog(), 1, "of the loop's second round");
}

#[tokio::test]
async fn many_of_the_same_call_at_once_open_one() {
    let bench = Arc::new(Bench::new().await);
    let calls = (0..16).map(|_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let ticket = bench.ticket(b"order-8", b"1");
            bench.service.open(bench.wish(), Some(&ticket)).await.unwrap().verification.id
        })
    });
    let mut ids = std::collections::BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        ids.insert(call.await.unwrap().to_string());
    }
    assert_eq!((ids.len(), bench.store.backlog()), (1, 1));
}

#[tokio::test]
async fn a_crash_before_the_code_was_sent_is_made_good_once() {
    let bench = Bench::new().await;
    // What a crash leaves between the two writes: the verification and its call, without the code.
    let ticket = bench.ticket(b"order-9", b"1");
    let opened = bench.service.open(bench.wish(), Some(&ticket)).await.unwrap();
    let before = bench.store.verification(opened.verification.id).await.unwrap().unwrap();
    let mut cut_off = before.clone();
    let now = bench.world.now();
    cut_off.otps = vec![otpgate::otp::id::OtpId::generate(now, before.number_key, before.country, &SystemEntropy)];
    bench.store.put_verification(Some(before), Some(cut_off)).await.unwrap();
    assert_eq!(bench.store.backlog(), 1);
    let view = bench.service.look(&bench.token(&opened)).await.unwrap();
    assert_eq!((view.state, view.sends_left), (State::Open(Code::None), 2));
    assert_eq!(bench.store.backlog(), 1, "looking makes nothing good");
    let again = bench.service.open(bench.wish(), Some(&ticket)).await.unwrap();
    assert!(again.repeated);
    for _ in 0..3 {
        assert_eq!(bench.service.begin(&bench.token(&opened)).await.unwrap().state, State::Open(Code::Queued));
    }
    assert_eq!(bench.store.backlog(), 2, "the code that was missing, once");
    assert_eq!(bench.service.look(&bench.token(&opened)).await.unwrap().sends_left, 2, "it was counted before");
}
