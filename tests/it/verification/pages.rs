//! What an address costs that opens no page, and what a page shows whose application or whose code is gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otpgate::clock::UnixMillis;
use otpgate::otp::application::ApplicationRef;
use otpgate::otp::channel::Channel;
use otpgate::otp::code::EnteredCode;
use otpgate::otp::command::SendRefusal;
use otpgate::otp::policy::SendPolicy;
use otpgate::otp::record::OtpStatus;
use otpgate::otp::store::{ApplicationStore as _, Later, StoreError, WriteError};
use otpgate::store::memory::MemoryStore;
use otpgate::verification::VerificationId;
use otpgate::verification::outcome::Outcome;
use otpgate::verification::page::{AFTERMATH, NotDone, PageError, RESEND_GAP};
use otpgate::verification::record::{Expiry, Verification};
use otpgate::verification::service::Wish;
use otpgate::verification::store::VerificationStore;
use otpgate::verification::token::{PageToken, WaitToken};
use otpgate::verification::view::{Code, State, View};

use super::{Bench, otps, why};

/// A store that remembers what it read until that is written, as the embedded one does, and notes what it is asked for.
struct Noting {
    inner: Arc<MemoryStore>,
    remembered: Mutex<BTreeMap<VerificationId, Verification>>,
    reads: AtomicUsize,
    named: Mutex<Vec<VerificationId>>,
}

impl Noting {
    fn over(inner: Arc<MemoryStore>) -> Arc<Self> {
        let (remembered, reads, named) = (Mutex::default(), AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { inner, remembered, reads, named })
    }

    /// Reads since this was asked last, and the ids that were named.
    fn asked(&self) -> (usize, Vec<VerificationId>) {
        (self.reads.swap(0, Ordering::SeqCst), std::mem::take(&mut *self.named.lock().unwrap()))
    }
}

impl VerificationStore for Noting {
    fn recall_verification(&self, id: VerificationId) -> Option<Verification> {
        self.named.lock().unwrap().push(id);
        self.remembered.lock().unwrap().get(&id).cloned()
    }

    fn read_verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>> {
        self.named.lock().unwrap().push(id);
        self.reads.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let found = self.inner.read_verification(id).await?;
            if let Some(found) = &found {
                self.remembered.lock().unwrap().insert(id, found.clone());
            }
            Ok(found)
        })
    }

    fn put_verification(
        &self,
        before: Option<Verification>,
        after: Option<Verification>,
    ) -> Later<'_, Result<(), WriteError>> {
        if let Some(one) = after.as_ref().or(before.as_ref()) {
            self.remembered.lock().unwrap().remove(&one.id);
        }
        self.inner.put_verification(before, after)
    }

    fn claim_verifications(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Verification>, StoreError>> {
        self.inner.claim_verifications(now, limit)
    }
}

/// The same address with another proof.
fn forged(bench: &Bench, id: VerificationId) -> PageToken {
    let text = PageToken::of(id, &bench.world.keyring).expose().to_owned();
    let (before, after) = text.split_at(30);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    PageToken::read(&format!("{before}{other}{}", &after[1..]))
}

#[tokio::test]
async fn whatever_opens_no_page_costs_one_read() {
    let mut noting = None;
    let lying = |store| {
        let made = Noting::over(store);
        noting = Some(Arc::clone(&made));
        made as Arc<dyn VerificationStore>
    };
    let bench = Bench::over(SendPolicy::open(), lying).await;
    let noting = noting.unwrap();
    let (ended, forgotten, removed) = (bench.open().await, bench.open().await, bench.open().await);
    let brief = Wish { expiry: Expiry::new(60).ok(), ..bench.wish() };
    let lapsed = bench.service.open(brief, None).await.unwrap();
    for one in [&ended, &forgotten, &removed, &lapsed] {
        bench.service.look(&bench.token(one)).await.unwrap();
    }
    bench.service.not_me(&bench.token(&ended)).await.unwrap();
    bench.service.not_me(&bench.token(&forgotten)).await.unwrap();
    bench.service.look(&bench.token(&ended)).await.unwrap();
    let kept = noting.verification(removed.verification.id).await.unwrap();
    noting.put_verification(kept, None).await.unwrap();
    bench.world.clock.advance(AFTERMATH + Duration::from_secs(60));
    let live = bench.open().await;

    // The page of one that is open is remembered.
    noting.asked();
    for reads in [1, 0, 0] {
        bench.service.look(&bench.token(&live)).await.unwrap();
        assert_eq!(noting.asked().0, reads);
    }
    let ids = [&ended, &forgotten, &removed, &lapsed, &live].map(|one| one.verification.id);
    let wait = WaitToken::of(live.verification.id, &bench.world.keyring);
    let proved = [&ended, &forgotten, &removed, &lapsed].map(|one| bench.token(one));
    let unproved = ids.map(|id| forged(&bench, id)).into_iter();
    let unproved = unproved.chain(["x", &"A".repeat(43), wait.expose()].map(PageToken::read));
    let tokens = proved.into_iter().map(|token| (token, true)).chain(unproved.map(|token| (token, false)));
    for (index, (token, is_proved)) in tokens.enumerate() {
        let gone = |made: Result<View, PageError>| {
            assert!(matches!(made, Err(PageError::Gone)), "{index}: {made:?}");
            let (reads, named) = noting.asked();
            assert_eq!(reads, 1, "{index}");
            assert!(is_proved || named.iter().all(|id| !ids.contains(id)), "{index}: an id was looked at");
        };
        for _ in 0..2 {
            gone(bench.service.look(&token).await);
        }
        gone(bench.service.begin(&token).await);
        gone(bench.service.enter(&token, EnteredCode::new("1")).await);
        gone(bench.service.again(&token, Channel::Sms).await);
        gone(bench.service.not_me(&token).await);
    }
}

#[tokio::test]
async fn a_page_outlives_its_application() {
    let bench = Bench::new().await;
    let other = bench.another().await;
    let wish = Wish { application: ApplicationRef::Id(other), ..bench.wish() };
    let opened = bench.service.open(wish, None).await.unwrap();
    let (token, code) = (bench.token(&opened), bench.code(opened.verification.id).await);
    assert_eq!(bench.service.look(&token).await.unwrap().look.name, "other");
    assert!(bench.store.delete_application(&bench.world.account, other).await.unwrap());
    let view = bench.service.look(&token).await.unwrap();
    assert_eq!((view.state, view.look.name.as_str()), (State::Open(Code::Queued), "VERIFY"));
    assert!(view.embed_origins.is_empty());
    // Nothing is checked or sent any more, and the page says so instead of being none.
    let gone = NotDone::Send(SendRefusal::UnknownApplication);
    assert_eq!(why(&bench.enter(&opened, &code).await.unwrap_err()), gone);
    bench.world.clock.advance(RESEND_GAP);
    assert_eq!(why(&bench.service.again(&token, Channel::Sms).await.unwrap_err()), gone);
    assert_eq!(bench.service.look(&token).await.unwrap().sends_left, 2);
    // Who ends it sees that it has ended.
    for view in [bench.service.not_me(&token).await.unwrap(), bench.service.look(&token).await.unwrap()] {
        assert_eq!(view.state, State::Ended(Outcome::CancelledByPerson));
    }
}

#[tokio::test]
async fn the_code_of_a_cancelled_verification_is_not_told_as_one_that_counts() {
    let bench = Bench::new().await;
    for by in ["person", "flow", "code"] {
        let opened = bench.open().await;
        let id = opened.verification.id;
        bench.enter(&opened, "wrong").await.unwrap();
        match by {
            "person" => drop(bench.service.not_me(&bench.token(&opened)).await.unwrap()),
            "flow" => assert!(bench.service.cancel(&bench.world.account, id).await.unwrap()),
            _ => {
                let otp = opened.verification.current_otp().unwrap();
                otps(&bench).delete(&bench.world.account, otp, None).await.unwrap();
            }
        }
        bench.hear().await;
        let known = bench.store.verification(id).await.unwrap().unwrap();
        let otp = bench.service.otp_of(&known).await.unwrap().unwrap();
        let told = (otp.status, otp.attempts, otp.attempts_left(bench.world.now()), otp.finished);
        assert_eq!(told, (OtpStatus::Expired, 1, 0, Some(bench.world.now())), "{by}");
    }
    // One that was verified before stays so.
    let opened = bench.open().await;
    bench.enter(&opened, &bench.code(opened.verification.id).await).await.unwrap();
    bench.service.cancel(&bench.world.account, opened.verification.id).await.unwrap();
    let known = bench.store.verification(opened.verification.id).await.unwrap().unwrap();
    assert_eq!(known.ended.unwrap().otp.unwrap().status, OtpStatus::Verified);
}
