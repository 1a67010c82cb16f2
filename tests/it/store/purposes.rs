//! What every store does with codes that hold for a purpose: the service's sends and checks by number, without HTTP.

use std::sync::Arc;
use std::time::Duration;

use otpgate::abuse::PURPOSES;
use otpgate::otp::code::{Code, EnteredCode};
use otpgate::otp::command::{Check, Send, Terms, VerifyError};
use otpgate::otp::event::EventKind;
use otpgate::otp::id::OtpId;
use otpgate::otp::life::Life;
use otpgate::otp::machine::Verdict;
use otpgate::otp::phone::Phone;
use otpgate::otp::purpose::{Purpose, Realm};
use otpgate::otp::record::{Otp, OtpStatus};
use otpgate::otp::store::Subject;

use super::once::{Gateway, send};
use super::world::{CODE, Store, World, e164};

fn purpose(name: &str) -> Purpose {
    Purpose::new(Realm::Unimatrix, name).unwrap()
}

fn sending(world: &World, number: u32, code: &str, purpose: Purpose, life: Life) -> Send {
    let terms = Terms {
        purpose: Some(purpose),
        life: Some(life),
        usual_age: None,
        digits_only: true,
        context: None,
        behalf: None,
    };
    Send { code: Some(Code::parse_own(code).unwrap()), terms, ..send(world, number) }
}

async fn sent(gateway: &Gateway, number: u32, code: &str, name: &str) -> OtpId {
    let wish = sending(&gateway.world, number, code, purpose(name), Life::USUAL);
    gateway.service.send(wish, None).await.unwrap().id
}

async fn check(gateway: &Gateway, number: u32, purpose: Purpose, code: &str) -> Result<Verdict, VerifyError> {
    check_aged(gateway, number, purpose, code, None).await
}

async fn check_aged(
    gateway: &Gateway,
    number: u32,
    purpose: Purpose,
    code: &str,
    max_age: Option<Life>,
) -> Result<Verdict, VerifyError> {
    let wish = Check {
        account: gateway.world.account.clone(),
        phone: Phone::parse(e164(number).as_str(), None).unwrap(),
        purpose,
        entered: EnteredCode::new(code),
        max_age,
    };
    gateway.service.check(wish, None).await.map(|verified| verified.verdict)
}

async fn read<S: Store>(store: &Arc<S>, id: OtpId) -> Otp {
    Otp::clone(&*store.otp(id).await.unwrap().unwrap())
}

pub(crate) async fn the_newest_code_of_a_purpose_holds<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Gateway::over(world, Arc::clone(store)).await;
    let old = sent(&gateway, 1, "1111", "login").await;
    let other = sent(&gateway, 1, "2222", "pay").await;
    let new = sent(&gateway, 1, "3333", "login").await;
    let replaced = read(store, old).await;
    assert_eq!((replaced.status, &replaced.sealed), (OtpStatus::Expired, &None));
    assert_eq!(replaced.events.last().map(|event| event.kind), Some(EventKind::CheckOtpReplaced));
    assert_eq!(read(store, other).await.status, OtpStatus::Active);
    assert_eq!(check(&gateway, 1, purpose("login"), "1111").await, Ok(Verdict::Wrong));
    assert_eq!(check(&gateway, 1, purpose("login"), "3333").await, Ok(Verdict::Verified));
    assert_eq!(
        check(&gateway, 1, purpose("login"), "3333").await,
        Err(VerifyError::Unknown),
        "no older one comes back"
    );
    assert_eq!(read(store, new).await.attempts, 2);
    assert_eq!(check(&gateway, 1, purpose("pay"), "2222").await, Ok(Verdict::Verified));
    let number = world.records(&**store, Subject::Number(world.key(1))).await.number;
    assert_eq!(number.holdings, [], "what is final holds no more");
}

pub(crate) async fn no_purpose_verifies_another<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Gateway::over(world, Arc::clone(store)).await;
    let native = gateway.service.send(send(world, 1), None).await.unwrap().id;
    for purpose in [purpose(""), purpose("login"), Purpose::new(Realm::OneAccess, "").unwrap()] {
        assert_eq!(check(&gateway, 1, purpose, CODE).await, Err(VerifyError::Unknown));
    }
    let id = sent(&gateway, 1, "4711", "login").await;
    for purpose in [purpose(""), purpose("Login"), Purpose::new(Realm::OneAccess, "login").unwrap()] {
        assert_eq!(check(&gateway, 1, purpose, "4711").await, Err(VerifyError::Unknown));
    }
    assert_eq!(check(&gateway, 2, purpose("login"), "4711").await, Err(VerifyError::Unknown), "another number");
    let by_id = |id, code| gateway.service.verify(&world.account, id, EnteredCode::new(code), None, None);
    assert_eq!(by_id(id, "4711").await.map(|_| ()), Err(VerifyError::Unknown), "it has a purpose");
    assert_eq!(read(store, id).await.attempts, 0);
    assert_eq!(by_id(native, CODE).await.unwrap().verdict, Verdict::Verified);
    assert_eq!(check(&gateway, 1, purpose("login"), "4711").await, Ok(Verdict::Verified));
}

pub(crate) async fn one_of_many_checks_by_purpose_succeeds<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Arc::new(Gateway::over(world, Arc::clone(store)).await);
    for _ in 0..5 {
        sent(&gateway, 1, "4711", "login").await;
        let checks: Vec<_> = (0..200)
            .map(|_| {
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move { check(&gateway, 1, purpose("login"), "4711").await })
            })
            .collect();
        let mut successes = 0;
        for check in checks {
            successes += u32::from(check.await.unwrap() == Ok(Verdict::Verified));
        }
        assert_eq!(successes, 1);
    }
}

pub(crate) async fn of_many_sends_for_a_purpose_one_code_is_left<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Arc::new(Gateway::over(world, Arc::clone(store)).await);
    let sends: Vec<_> = (0..100_u32)
        .map(|send| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { sent(&gateway, 1, "4711", &(send % 2).to_string()).await })
        })
        .collect();
    let mut active = 0;
    for send in sends {
        active += u32::from(read(store, send.await.unwrap()).await.status == OtpStatus::Active);
    }
    let ids = store.of_number(world.key(1), 1_000).await.unwrap();
    let left = ids.iter().filter(|otp| otp.status == OtpStatus::Active).count();
    assert_eq!((ids.len(), left), (100, 2), "{active} were still active when they were read");
    for name in ["0", "1"] {
        assert_eq!(check(&gateway, 1, purpose(name), "4711").await, Ok(Verdict::Verified));
        assert_eq!(check(&gateway, 1, purpose(name), "4711").await, Err(VerifyError::Unknown));
    }
}

pub(crate) async fn a_check_says_how_old_a_code_may_be_where_its_send_lets_it<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Gateway::over(world, Arc::clone(store)).await;
    let long = sending(world, 1, "4711", purpose("own"), Life::LONGEST);
    gateway.service.send(long, None).await.unwrap();
    let mut aged = sending(world, 2, "4711", purpose("aged"), Life::LONGEST);
    aged.terms.usual_age = Some(Life::USUAL);
    let aged = gateway.service.send(aged, None).await.unwrap();
    assert_eq!(aged.lifetime_seconds(), 300, "what its reader is told");
    world.clock.advance(Duration::from_secs(301));
    let minute = Life::new(60).ok();
    for (max_age, verdict) in
        [(None, Verdict::TooOld), (minute, Verdict::TooOld), (Life::new(301).ok(), Verdict::Verified)]
    {
        let found = check_aged(&gateway, 2, purpose("aged"), "4711", max_age).await;
        assert_eq!(
            (found, read(store, aged.id).await.attempts),
            (Ok(verdict), u32::from(verdict == Verdict::Verified))
        );
    }
    assert_eq!(check_aged(&gateway, 1, purpose("own"), "4711", minute).await, Ok(Verdict::Verified));
    let short = sending(world, 1, "4711", purpose("own"), Life::new(10).unwrap());
    gateway.service.send(short, None).await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(check(&gateway, 1, purpose("own"), "4711").await, Ok(Verdict::Expired));
    assert_eq!(check(&gateway, 1, purpose("own"), "4711").await, Err(VerifyError::Unknown));
}

pub(crate) async fn a_number_has_a_bounded_count_of_purposes<S: Store>(world: &World, store: &Arc<S>) {
    let gateway = Gateway::over(world, Arc::clone(store)).await;
    let mut ids = Vec::new();
    for index in 0..=PURPOSES {
        ids.push(sent(&gateway, 1, "4711", &index.to_string()).await);
    }
    let oldest = read(store, ids[0]).await;
    assert_eq!(oldest.events.last().map(|event| event.kind), Some(EventKind::CheckOtpReplaced));
    for gone_or_never_there in ["0", "none"] {
        assert_eq!(check(&gateway, 1, purpose(gone_or_never_there), "4711").await, Err(VerifyError::Unknown));
    }
    assert_eq!(check(&gateway, 1, purpose("1"), "4711").await, Ok(Verdict::Verified));
    // What is over takes no room.
    world.clock.advance(Duration::from_secs(299));
    let last = sent(&gateway, 1, "4711", "last").await;
    world.clock.advance(Duration::from_secs(1));
    let next = sent(&gateway, 1, "4711", "next").await;
    for id in [last, next] {
        assert_eq!(read(store, id).await.status, OtpStatus::Active);
    }
    assert_eq!(world.records(&**store, Subject::Number(world.key(1))).await.number.holdings.len(), 2);
    // Nor does an erasure leave any of it.
    store.erase(world.key(1)).await.unwrap();
    assert_eq!(check(&gateway, 1, purpose("next"), "4711").await, Err(VerifyError::Unknown));
}
