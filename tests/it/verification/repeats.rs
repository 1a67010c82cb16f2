//! A call that comes again, after everything that may have happened to its verification and its application since: it is told
//! what it was told, and takes nothing back.

use std::time::Duration;

use otpgate::idempotency::Ticket;
use otpgate::otp::application::{Application, ApplicationRef};
use otpgate::otp::channel::Channel;
use otpgate::otp::command::SendRefusal;
use otpgate::otp::id::OtpId;
use otpgate::otp::store::{ApplicationStore as _, Outbox as _};
use otpgate::otp::template::Template;
use otpgate::secret::{Secret, SystemEntropy};
use otpgate::verification::outcome::Outcome;
use otpgate::verification::record::FirstSend;
use otpgate::verification::service::{OpenError, Opened, Wish};
use otpgate::verification::store::VerificationStore as _;
use otpgate::verification::token::WaitToken;
use otpgate::verification::view::State;

use super::Bench;

/// How long a call of a run is known.
const RUN: Duration = Duration::from_secs(20 * 60);

/// A text that shows what a code is for.
const PAYMENT: &str = "{{AMOUNT}} {{OTP}}";

impl Bench {
    fn waited_for(&self) -> Wish {
        Wish { callback: Some(Secret::new("https://example.com/step?sig=x".to_owned())), ..self.wish() }
    }

    /// Gives the default application another text, in the language of the number.
    async fn say(&self, text: &str) {
        let all = self.store.applications(&self.world.account).await.unwrap();
        let before = all.into_iter().find(Application::is_default).unwrap();
        let mut after = before.clone();
        after.templates.set("de".parse().unwrap(), Channel::Sms, Template::parse(text).unwrap());
        self.store.put_application(Some(before), after).await.unwrap();
    }

    /// What a crash leaves between writing a verification down and sending its code.
    async fn cut_off(&self, wish: Wish, ticket: &Ticket) -> Opened {
        let opened = self.service.open(wish, Some(ticket)).await.unwrap();
        let before = self.store.verification(opened.verification.id).await.unwrap().unwrap();
        let mut cut_off = before.clone();
        cut_off.otps = vec![OtpId::generate(self.world.now(), before.number_key, before.country, &SystemEntropy)];
        self.store.put_verification(Some(before), Some(cut_off)).await.unwrap();
        opened
    }
}

fn text_of(secret: Option<&Secret>) -> &str {
    secret.unwrap().expose()
}

#[tokio::test]
async fn a_step_that_waits_is_answered_the_same_after_its_end() {
    for ends in ["verified", "cancelled", "unsubscribed", "expired"] {
        let bench = Bench::new().await;
        let first = bench.service.open(bench.waited_for(), Some(&bench.run(b"1"))).await.unwrap();
        let id = first.verification.id;
        match ends {
            "verified" => {
                let view = bench.enter(&first, &bench.code(id).await).await.unwrap();
                assert_eq!(view.state, State::Ended(Outcome::Verified));
            }
            "cancelled" => assert!(bench.service.cancel(&bench.world.account, id).await.unwrap()),
            "unsubscribed" => {
                let token = WaitToken::read(WaitToken::of(id, &bench.world.keyring).expose());
                assert!(bench.service.unsubscribe(&token).await.unwrap());
            }
            _ => bench.world.clock.advance(Duration::from_secs(600)),
        }
        let left = bench.store.backlog();
        let again = bench.service.open(bench.waited_for(), Some(&bench.run(b"1"))).await.unwrap();
        assert!(again.repeated && again.verification.id == id, "{ends}");
        assert_eq!(text_of(again.secret.as_ref()), text_of(first.secret.as_ref()), "{ends}");
        assert_eq!(bench.store.backlog(), left, "{ends}: no second message");
        // The next round of a loop has another callback, and so is another call; and a run is not known for ever.
        let round = bench.service.open(bench.waited_for(), Some(&bench.run(b"2"))).await.unwrap();
        assert!(!round.repeated && round.verification.id != id);
        bench.world.clock.advance(RUN);
        let later = bench.service.open(bench.waited_for(), Some(&bench.run(b"1"))).await.unwrap();
        assert!(!later.repeated && later.verification.id != id);
    }
}

#[tokio::test]
async fn what_became_of_the_application_takes_back_nothing_that_was_sent() {
    let bench = Bench::new().await;
    bench.say("Code {{OTP}}").await;
    let other = bench.another().await;
    let gone = ApplicationRef::Id(other);
    let with = |application| Wish { application, ..bench.waited_for() };
    let first = bench.service.open(with(ApplicationRef::Default), Some(&bench.run(b"1"))).await.unwrap();
    let second = bench.service.open(with(gone), Some(&bench.run(b"2"))).await.unwrap();
    assert_eq!(bench.store.backlog(), 2);

    bench.say(PAYMENT).await;
    assert!(bench.store.delete_application(&bench.world.account, other).await.unwrap());
    let again = bench.service.open(with(ApplicationRef::Default), Some(&bench.run(b"1"))).await.unwrap();
    assert!(again.repeated && again.verification.id == first.verification.id);
    let again = bench.service.open(with(gone), Some(&bench.run(b"2"))).await.unwrap();
    assert!(again.repeated && again.verification.id == second.verification.id);
    assert_eq!(bench.store.backlog(), 2);
    let view = bench.enter(&first, &bench.code(first.verification.id).await).await.unwrap();
    assert_eq!(view.state, State::Ended(Outcome::Verified));
    assert!(bench.store.verification(second.verification.id).await.unwrap().unwrap().ended.is_none());

    // Who asks for the first time is refused.
    let refused = bench.service.open(with(gone), Some(&bench.run(b"3"))).await.unwrap_err();
    assert_eq!(refused, OpenError::Refused(SendRefusal::UnknownApplication));
}

#[tokio::test]
async fn a_code_that_a_crash_cut_off_waits_where_it_may_not_leave() {
    let bench = Bench::new().await;
    let ticket = bench.ticket(b"order-10", b"1");
    let opened = bench.cut_off(bench.waited_for(), &ticket).await;
    let left = bench.store.backlog();
    bench.say(PAYMENT).await;
    let refused = bench.service.open(bench.waited_for(), Some(&ticket)).await.unwrap_err();
    assert_eq!(refused, OpenError::Waits(SendRefusal::ContextNeeded), "and the answer is not kept");
    assert_eq!(bench.outcome(opened.verification.id).await, None, "it is there, for who comes next");
    bench.say("Code {{OTP}}").await;
    for _ in 0..2 {
        let again = bench.service.open(bench.waited_for(), Some(&ticket)).await.unwrap();
        assert!(again.repeated && again.verification.id == opened.verification.id);
        assert_eq!(bench.store.backlog(), left + 1, "once");
    }
}

#[tokio::test]
async fn what_could_never_be_sent_is_refused_at_once() {
    let bench = Bench::new().await;
    bench.say(PAYMENT).await;
    let due = bench.world.now() + Duration::from_secs(86_400);
    for first in [FirstSend::Now, FirstSend::OnOpen] {
        let refused = bench.service.open(Wish { first, ..bench.wish() }, None).await.unwrap_err();
        assert_eq!(refused, OpenError::Refused(SendRefusal::ContextNeeded), "{first:?}");
    }
    assert_eq!(bench.store.claim_verifications(due, 10).await.unwrap(), []);
    let context = otpgate::otp::context::Context {
        amount: "12.50".parse().unwrap(),
        currency: "EUR".parse().unwrap(),
        payee: otpgate::otp::context::Payee::parse("Example Shop").unwrap(),
    };
    let wish = Wish { first: FirstSend::OnOpen, context: Some(context), ..bench.wish() };
    bench.service.open(wish, None).await.unwrap();
}
