//! The service under tickets, without HTTP: racers commit once, and what is damaged stops its call.

use std::sync::Arc;

use otpgate::abuse::{CeilingPolicy, SpendKey};
use otpgate::idempotency::{
    Answer, Answers as _, CallKey, Found, IdempotencyKey, Keep, Name, Operation, Request, Settled, Ticket,
};
use otpgate::otp::answer::KeptAnswers;
use otpgate::otp::application::{Application, ApplicationRef};
use otpgate::otp::catalogue::Catalogue;
use otpgate::otp::channel::Via;
use otpgate::otp::code::{Code, EnteredCode};
use otpgate::otp::command::{
    DeleteError, Resend, ResendError, Send, SendError, SendRefusal, Terms, Verified, VerifyError,
};
use otpgate::otp::id::{ApplicationId, OtpId};
use otpgate::otp::phone::{Country, Phone};
use otpgate::otp::policy::SendPolicy;
use otpgate::otp::record::Otp;
use otpgate::otp::service::{OtpObserver, OtpService};
use otpgate::otp::store::{Changes, Outbox as _, Records, Subject, Touch, change};
use otpgate::secret::SystemEntropy;

use super::world::{CODE, Store, World, e164};

struct Nobody;

impl OtpObserver for Nobody {
    fn sent(&self, _: &Result<Arc<Otp>, SendError>) {}
    fn resent(&self, _: &Result<Arc<Otp>, ResendError>) {}
    fn checked(&self, _: &Result<Verified, VerifyError>) {}
    fn near_ceiling(&self, _: &otpgate::otp::id::AccountId, _: Option<Country>) {}
}

/// A gateway without HTTP: the service, and what the layer asks.
pub(super) struct Gateway {
    pub(super) service: OtpService,
    answers: KeptAnswers,
    pub(super) world: World,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done(Answer),
    Replayed(Answer),
    Reused,
    /// Refused, and nothing kept of it: it may run again.
    Open,
}

fn words(otp: &Otp) -> Answer {
    let text = format!("{} {} {} {}", otp.id, otp.status.as_str(), otp.attempts, otp.messages);
    Answer { status: 200, media_type: "text/plain".into(), body: text.into() }
}

fn refusal(status: u16) -> Answer {
    Answer { status, media_type: "text/plain".into(), body: "no".into() }
}

pub(super) fn send(world: &World, number: u32) -> Send {
    Send {
        account: world.account.clone(),
        phone: Phone::parse(e164(number).as_str(), None).unwrap(),
        application: ApplicationRef::default(),
        via: Via::default(),
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

impl Gateway {
    pub(super) async fn over<S: Store>(world: &World, store: Arc<S>) -> Self {
        Self::with(world, store, SendPolicy::open()).await
    }

    async fn with<S: Store>(world: &World, store: Arc<S>, policy: SendPolicy) -> Self {
        if store.applications(&world.account).await.unwrap().is_empty() {
            let id = ApplicationId::generate(&SystemEntropy);
            let default = Application::new(id, 1, world.account.clone(), Application::default_name(), world.now());
            store.put_application(None, default).await.unwrap();
        }
        let catalogue = Catalogue::new(Arc::clone(&store) as _, Arc::clone(&world.clock) as _, Arc::new(SystemEntropy));
        let service = OtpService::new(
            Arc::clone(&store) as _,
            Arc::new(catalogue),
            Arc::clone(&world.keyring),
            Arc::clone(&world.clock) as _,
            Arc::new(SystemEntropy),
            policy,
            Arc::new(Nobody),
        );
        let answers = KeptAnswers::new(store as _, Arc::clone(&world.keyring), Arc::clone(&world.clock) as _);
        Self { service, answers, world: world.clone() }
    }

    /// A call as the layer makes it: asked for before, unless its change is left to find what is kept; run with a ticket, a
    /// refusal kept afterwards.
    pub(super) async fn call(&self, wish: &Wish, id: OtpId) -> Outcome {
        let call = wish.call(&self.world, id);
        if wish.at_once {
            return self.run(wish, id, call).await;
        }
        match self.answers.find(&call).await.unwrap() {
            Found::Answer(answer) => Outcome::Replayed(answer),
            Found::Reused => Outcome::Reused,
            Found::Nothing => self.run(wish, id, call).await,
        }
    }

    /// The same without asking before: what is found is found inside the change.
    async fn run(&self, wish: &Wish, id: OtpId, call: CallKey) -> Outcome {
        let ticket = Arc::new(Ticket::new(call));
        let (account, service) = (&self.world.account, &self.service);
        let keep = || Some(Keep { ticket: Arc::clone(&ticket), render: Arc::new(words) });
        let answer = match wish.operation {
            Operation::Send => {
                let send = send(&self.world, wish.number);
                service.send(send, keep()).await.map_or(None, |otp| Some(words(&otp)))
            }
            Operation::Open => unreachable!("no verification is opened here"),
            Operation::Resend => match service.resend(account, id, Resend::default(), keep()).await {
                Ok(otp) => Some(words(&otp)),
                Err(ResendError::Unknown) => Some(refusal(404)),
                Err(ResendError::NotActive(_)) => Some(refusal(409)),
                Err(_) => None,
            },
            Operation::Verify => {
                let render = |verified: &Verified| words(&verified.otp);
                let keep = Some(Keep { ticket: Arc::clone(&ticket), render: Arc::new(render) });
                let entered = EnteredCode::new(if wish.right { CODE } else { "999999" });
                match service.verify(account, id, entered, None, keep).await {
                    Ok(verified) => Some(words(&verified.otp)),
                    Err(VerifyError::Unknown) => Some(refusal(404)),
                    Err(_) => None,
                }
            }
            Operation::Delete => match service.delete(account, id, keep()).await {
                Ok(otp) => Some(words(&otp)),
                Err(DeleteError::Unknown) => Some(refusal(404)),
                Err(_) => None,
            },
        };
        if ticket.settled().is_none() {
            assert!(answer.as_ref().is_none_or(|answer| answer.status != 200), "an outcome is kept with its change");
            self.answers.end(&ticket, answer.clone()).await.unwrap();
        }
        match (ticket.settled(), answer) {
            (Some(Settled::Kept), Some(answer)) => Outcome::Done(answer),
            (Some(Settled::Replayed(answer)), _) => Outcome::Replayed(answer.clone()),
            (Some(Settled::Reused), _) => Outcome::Reused,
            (None, Some(answer)) if answer.status != 200 => Outcome::Open,
            other => panic!("{other:?}"),
        }
    }
}

/// A call of a client.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) operation: Operation,
    /// By a key of its own, or by the run of a platform.
    pub(super) by_key: bool,
    /// Which key, or which run.
    pub(super) name: u8,
    pub(super) number: u32,
    /// Which of the OTPs so far.
    pub(super) otp: usize,
    pub(super) right: bool,
    /// Whether nobody asks before what is kept.
    pub(super) at_once: bool,
}

impl Wish {
    pub(super) fn request(&self, id: OtpId) -> String {
        match self.operation {
            Operation::Send | Operation::Open => format!("to {}", self.number),
            Operation::Verify => format!("{id} {}", self.right),
            Operation::Resend | Operation::Delete => id.to_string(),
        }
    }

    fn call(&self, world: &World, id: OtpId) -> CallKey {
        let (name, body) = (self.name.to_string(), self.request(id));
        let name = if self.by_key {
            Name::Key(IdempotencyKey::parse(name.as_bytes()).unwrap())
        } else {
            Name::Run { run: name.as_bytes(), action: b"action" }
        };
        let request =
            Request { method: b"POST", path: b"/", query: b"", media_type: b"", fields: b"", body: body.as_bytes() };
        CallKey::of(&world.keyring, 7, self.operation, name, &request)
    }
}

/// Racers that nobody made wait for each other: other processes, or callers that went away.
pub(crate) async fn racers_commit_once<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Arc::new(Gateway::over(world, Arc::clone(store)).await);
    let all = async |wish: Wish, id: OtpId| {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let (gateway, wish) = (Arc::clone(&gateway), wish.clone());
                tokio::spawn(async move { gateway.run(&wish, id, wish.call(&gateway.world, id)).await })
            })
            .collect();
        let (mut done, mut replayed) = (Vec::new(), Vec::new());
        for call in calls {
            match call.await.unwrap() {
                Outcome::Done(answer) => done.push(answer),
                Outcome::Replayed(answer) => replayed.push(answer),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((done.len(), replayed.len()), (1, 99), "{wish:?}");
        assert!(replayed.iter().all(|answer| *answer == done[0]));
        String::from_utf8(done[0].body.to_vec()).unwrap()
    };
    for (name, by_key) in [(1, true), (2, false)] {
        let wish = |operation| Wish { operation, by_key, name, number: 1, otp: 0, right: false, at_once: true };
        let before = store.backlog();
        let sent = all(wish(Operation::Send), OtpId::from_bytes([0; 16])).await;
        let id: OtpId = sent.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(store.backlog(), before + 1, "one message");
        // A send to another number under the same key is stopped inside its change too.
        if by_key {
            let other = Wish { number: 2, ..wish(Operation::Send) };
            assert_eq!(gateway.run(&other, id, other.call(world, id)).await, Outcome::Reused);
        }
        all(wish(Operation::Resend), id).await;
        assert_eq!(store.backlog(), before + 2);
        all(wish(Operation::Verify), id).await;
        assert_eq!(store.otp(id).await.unwrap().unwrap().attempts, 1);
        all(wish(Operation::Delete), id).await;
        assert_eq!(store.backlog(), before);
    }
    assert!(store.of_number(world.key(2), 10).await.unwrap().is_empty());
}

/// An id may have been made up, or be older than what ids carry: the day's count is that of the OTP's own country.
pub(crate) async fn a_resend_counts_with_its_country_whatever_its_id_says<S: Store>(world: &World, store: &Arc<S>) {
    let policy = SendPolicy { ceiling: CeilingPolicy(Some(3)), ..SendPolicy::open() };
    let gateway = Gateway::with(world, Arc::clone(store), policy).await;
    let applications = store.applications(&world.account).await.unwrap();
    let germany: Country = "DE".parse().unwrap();
    let mut otp = world.otp(1, 3);
    (otp.country, otp.application) = (Some(germany), applications[0].id);
    assert_eq!(otp.id.country(), None);
    let id = world.try_send(&**store, otp.clone()).await.unwrap();
    let resend = async |id| gateway.service.resend(&world.account, id, Resend::default(), None).await;
    assert_eq!(resend(id).await.unwrap().messages, 2);
    // By a key as well: done once.
    let wish =
        Wish { operation: Operation::Resend, by_key: true, name: 1, number: 1, otp: 0, right: false, at_once: true };
    assert!(matches!(gateway.call(&wish, id).await, Outcome::Done(_)));
    assert!(matches!(gateway.call(&wish, id).await, Outcome::Replayed(_)));
    assert!(matches!(resend(id).await, Err(ResendError::Refused(SendRefusal::CeilingReached(_)))));
    assert_eq!(store.otp(id).await.unwrap().unwrap().messages, 3);
    // One that names nothing counts nowhere.
    let unknown = OtpId::generate(world.now(), otp.number_key, "FR".parse().ok(), &SystemEntropy);
    assert!(matches!(resend(unknown).await, Err(ResendError::Unknown)));
    for (country, count) in [(Some(germany), 3), ("FR".parse().ok(), 0), (None, 0)] {
        let key = SpendKey::of(world.account.as_str(), country.as_ref().map(Country::as_str), world.now());
        let touch = Touch { subject: Subject::Number(otp.number_key), spend: Some(key), answer: None };
        let spent = change(&**store, touch, |records: &Records| (Changes::default(), records.spent)).await.unwrap();
        assert_eq!(spent, count, "{country:?}");
    }
}

/// Whether its call was done is not known any more: it is not done again, and not answered from what is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_answer_stops_its_call_and_no_other() {
    for damage in ["expires = expires + 1", "sealed = zeroblob(40)", "fingerprint = zeroblob(16), otp = NULL"] {
        let (dir, world) = (tempfile::tempdir().unwrap(), World::new());
        let open = async || {
            let store = Arc::new(world.sqlite(dir.path()));
            let world = world.clone().with_keyring(store.keyring());
            (Gateway::over(&world, Arc::clone(&store)).await, store)
        };
        let wish = |name| {
            let (operation, right) = (Operation::Send, false);
            Wish { operation, by_key: true, name, number: 1, otp: 0, right, at_once: false }
        };
        let nobody = OtpId::from_bytes([0; 16]);
        let (gateway, store) = open().await;
        let call = wish(1).call(&gateway.world, nobody);
        assert!(matches!(gateway.call(&wish(1), nobody).await, Outcome::Done(_)));
        drop((gateway, store));
        let sql = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
        assert_eq!(sql.execute(&format!("UPDATE answer SET {damage}"), []).unwrap(), 1);
        let (gateway, store) = open().await;
        let found = gateway.answers.find(&call).await;
        let stopped = found.is_err() || found == Ok(Found::Reused);
        assert!(stopped, "{damage}: {found:?}");
        let ticket = Arc::new(Ticket::new(call));
        let keep = Keep { ticket: Arc::clone(&ticket), render: Arc::new(words) };
        assert!(gateway.service.send(send(&gateway.world, 1), Some(keep)).await.is_err());
        assert_eq!(store.backlog(), 1, "{damage}: nothing was sent again");
        assert!(matches!(gateway.call(&wish(2), nobody).await, Outcome::Done(_)));
        assert!(!store.has_failed());
    }
}
