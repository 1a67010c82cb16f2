//! The courier and carriers of every kind, over SQLite: who is given a message, how often, and what the OTP says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use otpgate::delivery::breaker::FAILURES;
use otpgate::delivery::provider::{Failure, Receipt};
use otpgate::delivery::receipt::{About, Fate};
use otpgate::delivery::rules::OnUnknown;
use otpgate::otp::channel::{Channel, Via};
use otpgate::otp::command::{SendError, SendRefusal};
use otpgate::otp::record::{Delivery, OtpStatus};
use otpgate::otp::store::Outbox as _;

use super::office::{Answer, Carrier, Office, Plan, WITHIN, taken};

const MOBILE: &str = "+4915112345678";
const SMS: &[Channel] = &[Channel::Sms];
const VOICE: &[Channel] = &[Channel::Voice];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_goes_to_the_next_provider_and_is_undeliverable_after_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let first = Carrier::new("first", SMS, |_, _| Answer::Now(Err(Failure::Refused("error 21211".to_owned()))));
    let second = Carrier::new("second", SMS, |seen, _| {
        if seen.number == MOBILE {
            Answer::Now(taken(seen))
        } else {
            Answer::Now(Err(Failure::Refused("no".to_owned())))
        }
    });
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&first), Arc::clone(&second)]).await;
    let (good, bad) = (office.send(MOBILE, Via::Auto).await, office.send("+4915112345679", Via::Auto).await);
    office.settled().await;
    assert_eq!(office.otp(good).await.delivery, Delivery::Sent);
    assert_eq!(office.events(good).await, ["DELIVER_OTP_REQ SMS", "DELIVER_OTP_RES_SUCCESS second"]);
    assert_eq!(office.otp(bad).await.delivery, Delivery::Undeliverable);
    assert_eq!(office.events(bad).await, ["DELIVER_OTP_REQ SMS", "DELIVER_OTP_RES_FAIL second: no"]);
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_now_is_tried_again_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let works = Arc::new(AtomicBool::new(false));
    let carrier = |works: &Arc<AtomicBool>| {
        let works = Arc::clone(works);
        Carrier::new("only", SMS, move |seen, _| {
            let answer =
                if works.load(Ordering::Relaxed) { taken(seen) } else { Err(Failure::Retryable(Duration::ZERO)) };
            Answer::Now(answer)
        })
    };
    let before = carrier(&works);
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&before)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.until(async |_| !before.seen().is_empty()).await;
    office.close().await;
    works.store(true, Ordering::Relaxed);
    let after = carrier(&works);
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&after)]).await;
    office.settled().await;
    assert_eq!(office.otp(id).await.delivery, Delivery::Sent);
    // What certainly was not taken is no submission.
    assert!(after.seen().iter().all(|seen| seen.ticket.submission == 1));
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_primary_costs_the_next_message_less_than_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let dead = Carrier::new("dead", SMS, |_, _| Answer::Now(Err(Failure::Retryable(Duration::ZERO))));
    let spare = Carrier::new("spare", SMS, |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&dead), Arc::clone(&spare)]).await;
    for _ in 0..FAILURES {
        office.send(MOBILE, Via::Auto).await;
    }
    office.settled().await;
    assert_eq!(*office.noted.circuits.lock(), [("dead".to_owned(), true)]);
    let (asked, began) = (dead.seen().len(), Instant::now());
    office.send(MOBILE, Via::Auto).await;
    office.until(async |_| spare.seen().len() > usize::try_from(FAILURES).unwrap()).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(dead.seen().len(), asked, "it is left alone");
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_hangs_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let hanging = Carrier::new("hanging", VOICE, |_, _| Answer::Never);
    let quick = Carrier::new("quick", SMS, |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&hanging), Arc::clone(&quick)]).await;
    for _ in 0..700 {
        office.send(MOBILE, Via::Voice).await;
    }
    for _ in 0..100 {
        office.send(MOBILE, Via::Sms).await;
    }
    office.until(async |_| quick.seen().len() == 100).await;
    assert_eq!(hanging.seen().len(), 64, "no more than it has places");
    office.crash().await;
}

/// Whoever refused a message is not asked again while it waits for a place with the next: the refusal is written down first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refused_is_asked_once_while_the_next_has_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let strict = Carrier::new("strict", SMS, |_, _| Answer::Now(Err(Failure::Refused("no".to_owned()))));
    // All its places are taken for many times as long as a message waits before it looks for one again.
    let busy = Carrier::new("busy", SMS, |seen, _| Answer::After(Duration::from_secs(3), taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&strict), Arc::clone(&busy)]).await;
    let messages = 68;
    for _ in 0..messages {
        office.send(MOBILE, Via::Auto).await;
    }
    office.settled().await;
    assert_eq!(busy.seen().len(), messages, "each went there in the end");
    assert_eq!(strict.seen().len(), messages, "and was refused once");
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_waited_for_and_repeated_once() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Carrier::new("silent", SMS, |_, _| Answer::Now(Err(Failure::Unknown)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&silent)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    let seen = silent.seen();
    assert_eq!(seen.iter().map(|seen| seen.ticket.submission).collect::<Vec<_>>(), [1, 2]);
    assert!(seen[1].at.since(seen[0].at) >= WITHIN, "a receipt was waited for");
    assert_eq!(
        office.events(id).await,
        [
            "DELIVER_OTP_REQ SMS",
            "DELIVER_OTP_RES_UNKNOWN silent",
            "DELIVER_OTP_REQ SMS, repeated",
            "DELIVER_OTP_RES_UNKNOWN silent"
        ]
    );
    assert_eq!(office.otp(id).await.delivery, Delivery::Queued, "nobody knows");
    // A receipt that comes later still counts.
    office.report("silent", About::Ticket(seen[0].ticket), Fate::Delivered).await;
    assert_eq!(office.otp(id).await.delivery, Delivery::Delivered);
    office.close().await;
}

/// Nobody loses a code at the beginning of an outage while another carrier works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repeat_goes_to_another_provider_where_there_is_one() {
    for on_unknown in [OnUnknown::Wait, OnUnknown::Repeat] {
        let dir = tempfile::tempdir().unwrap();
        let silent = Carrier::new("silent", SMS, |_, _| Answer::Now(Err(Failure::Unknown)));
        let spare = Carrier::new("spare", SMS, |seen, _| Answer::Now(taken(seen)));
        let plan = Plan { on_unknown, ..Plan::default() };
        let office = Office::open(dir.path(), &plan, &[Arc::clone(&silent), Arc::clone(&spare)]).await;
        for _ in 0..3 {
            let id = office.send(MOBILE, Via::Auto).await;
            office.settled().await;
            assert_eq!(office.otp(id).await.delivery, Delivery::Sent);
        }
        let submissions =
            |carrier: &Carrier| carrier.seen().iter().map(|seen| seen.ticket.submission).collect::<Vec<_>>();
        assert_eq!((submissions(&silent), submissions(&spare)), (vec![1, 1, 1], vec![2, 2, 2]));
        office.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_in_doubt_is_asked_again_where_the_other_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let unsure = Carrier::new("unsure", SMS, |seen, before| {
        Answer::Now(if before == 0 { Err(Failure::Unknown) } else { taken(seen) })
    });
    let strict = Carrier::new("strict", SMS, |_, _| Answer::Now(Err(Failure::Refused("no".to_owned()))));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&unsure), Arc::clone(&strict)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    assert_eq!((unsure.seen().len(), strict.seen().len()), (2, 1));
    assert_eq!(office.otp(id).await.delivery, Delivery::Sent);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_cut_off_goes_to_another_provider_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let hanging = Carrier::new("first", SMS, |_, _| Answer::Never);
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&hanging)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.until(async |_| !hanging.seen().is_empty()).await;
    office.crash().await;
    let first = Carrier::new("first", SMS, |seen, _| Answer::Now(taken(seen)));
    let second = Carrier::new("second", SMS, |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&first), Arc::clone(&second)]).await;
    office.settled().await;
    assert_eq!((first.seen().len(), second.seen().len()), (0, 1));
    assert_eq!(office.otp(id).await.delivery, Delivery::Sent);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_spares_the_repeat() {
    // What has arrived is settled at once; what is on its way when its time is over, long after the report.
    for (fate, within) in [(Fate::Delivered, 3_000), (Fate::OnItsWay, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let silent = Carrier::new("silent", SMS, |_, _| Answer::Now(Err(Failure::Unknown)));
        let plan = Plan { within: Duration::from_secs(within), ..Plan::default() };
        let office = Office::open(dir.path(), &plan, &[Arc::clone(&silent)]).await;
        office.send(MOBILE, Via::Auto).await;
        office.until(async |_| !silent.seen().is_empty()).await;
        office.report("silent", About::Ticket(silent.seen()[0].ticket), fate).await;
        office.settled().await;
        assert_eq!(silent.seen().len(), 1);
        office.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_prefers_twice_to_never_gets_the_repeat_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Carrier::new("silent", SMS, |_, _| Answer::Now(Err(Failure::Unknown)));
    let plan = Plan { on_unknown: OnUnknown::Repeat, within: Duration::from_secs(3_000), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&silent)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    assert_eq!(silent.seen().len(), 2);
    // The failure of the first says nothing of the second.
    let seen = silent.seen();
    office.report("silent", About::Ticket(seen[0].ticket), Fate::Failed("1".to_owned())).await;
    assert_eq!(office.otp(id).await.delivery, Delivery::Queued);
    office.report("silent", About::Ticket(seen[1].ticket), Fate::Failed("2".to_owned())).await;
    assert_eq!(office.otp(id).await.delivery, Delivery::Undeliverable);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_receipt_the_second_channel_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |seen, _| Answer::Now(taken(seen)));
    let calls = Carrier::new("calls", VOICE, |seen, _| Answer::Now(taken(seen)));
    let plan = Plan { second: Some(Channel::Voice), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&texts), Arc::clone(&calls)]).await;
    let silent = office.send(MOBILE, Via::Auto).await;
    let chosen = office.send(MOBILE, Via::Sms).await;
    office.settled().await;
    assert_eq!((texts.seen().len(), calls.seen().len()), (2, 1));
    assert_eq!(calls.seen()[0].ticket.message.otp, silent, "who chose SMS gets no call");
    assert_eq!(
        office.events(silent).await,
        [
            "DELIVER_OTP_REQ SMS",
            "DELIVER_OTP_RES_SUCCESS texts",
            "DELIVER_OTP_REQ VOICE",
            "DELIVER_OTP_RES_SUCCESS calls"
        ]
    );
    assert_eq!(office.otp(chosen).await.channel, Channel::Sms);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_decides_over_the_second_channel_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |seen, _| Answer::Now(taken(seen)));
    let calls = Carrier::new("calls", VOICE, |_, _| Answer::Now(Ok(Receipt::delivered())));
    let plan = Plan { second: Some(Channel::Voice), within: Duration::from_secs(3_000), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&texts), Arc::clone(&calls)]).await;
    let (arrives, fails) = (office.send(MOBILE, Via::Auto).await, office.send("+4915112345679", Via::Auto).await);
    office.until(async |_| texts.seen().len() == 2).await;
    for seen in texts.seen() {
        let fate = if seen.ticket.message.otp == arrives { Fate::Delivered } else { Fate::Failed("off".to_owned()) };
        office.report("texts", About::Ticket(seen.ticket), fate).await;
    }
    office.settled().await;
    assert_eq!(office.events(arrives).await.last().unwrap(), "DELIVER_OTP_RES_SUCCESS");
    let events = office.events(fails).await;
    let tail: Vec<_> = events.iter().rev().take(3).rev().map(String::as_str).collect();
    assert_eq!(tail, ["DELIVER_OTP_RES_FAIL off", "DELIVER_OTP_REQ VOICE", "DELIVER_OTP_RES_SUCCESS calls"]);
    assert_eq!(calls.seen().len(), 1);
    office.close().await;
}

/// A text message and the call that followed it are one delivery, in whichever order their receipts come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_by_one_channel_does_not_fail_by_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |seen, _| Answer::Now(taken(seen)));
    let calls = Carrier::new("calls", VOICE, |seen, _| Answer::Now(taken(seen)));
    let plan = Plan { second: Some(Channel::Voice), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&texts), Arc::clone(&calls)]).await;
    let (arrived, failed) = (|| Fate::Delivered, || Fate::Failed("no-answer".to_owned()));
    let (text, call) = ((&texts, Channel::Sms), (&calls, Channel::Voice));
    for (steps, expected) in [
        ([(text, arrived()), (call, failed())], (Delivery::Delivered, Channel::Sms)),
        ([(call, failed()), (text, arrived())], (Delivery::Delivered, Channel::Sms)),
        ([(text, failed()), (call, arrived())], (Delivery::Delivered, Channel::Voice)),
        ([(call, arrived()), (text, failed())], (Delivery::Delivered, Channel::Voice)),
        ([(text, failed()), (call, failed())], (Delivery::Undeliverable, Channel::Voice)),
        ([(call, failed()), (text, failed())], (Delivery::Undeliverable, Channel::Sms)),
    ] {
        let id = office.send(MOBILE, Via::Auto).await;
        office.settled().await;
        let [first, second] = steps;
        for ((carrier, channel), fate) in [first.clone(), second] {
            let otp = office.otp(id).await;
            assert!(otp.delivery != Delivery::Undeliverable, "{otp:?} by {channel:?}: one may still arrive");
            let ticket = carrier.seen().iter().rev().find(|seen| seen.ticket.message.otp == id).unwrap().ticket;
            office.report("any", About::Ticket(ticket), fate).await;
        }
        let otp = office.otp(id).await;
        assert_eq!((otp.delivery, otp.channel), expected, "first {:?} by {:?}", first.1, first.0.1);
        assert_eq!(otp.events.len(), 6, "both ends are in the history: {:?}", otp.events);
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_is_not_made_once_the_text_has_arrived() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |seen, _| Answer::Now(taken(seen)));
    let calls = Carrier::new("calls", VOICE, |_, _| Answer::Now(Err(Failure::Retryable(Duration::ZERO))));
    let plan = Plan { second: Some(Channel::Voice), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&texts), Arc::clone(&calls)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.until(async |_| !calls.seen().is_empty()).await;
    office.report("texts", About::Ticket(texts.seen()[0].ticket), Fate::Delivered).await;
    let asked = calls.seen().len();
    office.settled().await;
    // One may have been under way.
    assert!(calls.seen().len() <= asked + 1, "{} after {asked}", calls.seen().len());
    assert_eq!(office.otp(id).await.delivery, Delivery::Delivered);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_channel_spends_of_the_days_ceiling() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |_, _| Answer::Now(Err(Failure::Refused("no".to_owned()))));
    let calls = Carrier::new("calls", VOICE, |seen, _| Answer::Now(taken(seen)));
    let plan = Plan { second: Some(Channel::Voice), ceiling: Some(3), ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[texts, Arc::clone(&calls)]).await;
    let first = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    let second = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    assert_eq!(calls.seen().len(), 1);
    assert_eq!(office.otp(first).await.delivery, Delivery::Sent);
    assert_eq!(office.otp(second).await.delivery, Delivery::Undeliverable, "there is no more money for a call");
    let third = office.try_send(MOBILE, Via::Auto).await.unwrap_err();
    assert!(matches!(third, SendError::Refused(SendRefusal::CeilingReached(_))), "{third:?}");
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_as_many_messages_leave_as_the_ceiling_allows() {
    let dir = tempfile::tempdir().unwrap();
    let carrier = Carrier::new("only", SMS, |seen, _| Answer::Now(taken(seen)));
    let plan = Plan { ceiling: Some(50), ..Plan::default() };
    let office = Arc::new(Office::open(dir.path(), &plan, &[Arc::clone(&carrier)]).await);
    let senders = (0..64_u32).map(|sender| {
        let office = Arc::clone(&office);
        tokio::spawn(async move {
            for round in 0..5 {
                let _ = office.try_send(&format!("+491511{:07}", sender * 10 + round), Via::Auto).await;
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    office.settled().await;
    assert_eq!(carrier.seen().len(), 50);
    assert_eq!(*office.noted.near.lock(), 1, "the operator is told once, at 40");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_past_its_life_is_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let works = Arc::new(AtomicBool::new(false));
    let (carrier, sees) = {
        let works = Arc::clone(&works);
        let carrier = Carrier::new("only", SMS, move |seen, _| {
            assert!(!seen.life.is_zero(), "the carrier is told how long the code lives");
            Answer::Now(if works.load(Ordering::Relaxed) {
                taken(seen)
            } else {
                Err(Failure::Retryable(Duration::from_secs(60)))
            })
        });
        (Arc::clone(&carrier), carrier)
    };
    let plan = Plan { lifetime: 30, ..Plan::default() };
    let office = Office::open(dir.path(), &plan, &[carrier]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.until(async |_| !sees.seen().is_empty()).await;
    let asked = sees.seen().len();
    works.store(true, Ordering::Relaxed);
    office.settled().await;
    assert_eq!(sees.seen().len(), asked);
    assert_ne!(office.otp(id).await.status_at(office.service.now()), OtpStatus::Active);
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_of_a_submission_leaves_one_more_and_marks_it() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { within: Duration::from_secs(2), ..Plan::default() };
    let hanging = Carrier::new("only", SMS, |_, _| Answer::Never);
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&hanging)]).await;
    let began = office.service.now();
    let id = office.send(MOBILE, Via::Auto).await;
    office.until(async |_| !hanging.seen().is_empty()).await;
    office.crash().await;

    let hanging_again = Carrier::new("only", SMS, |_, _| Answer::Never);
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&hanging_again)]).await;
    office.until(async |_| !hanging_again.seen().is_empty()).await;
    let (first, again) = (hanging.seen()[0].clone(), hanging_again.seen()[0].clone());
    assert_eq!((first.ticket.submission, again.ticket.submission), (1, 2));
    // From the commit that says it is about to be submitted, which comes before the carrier sees it.
    assert!(again.at.since(began) >= plan.within, "a receipt was waited for");
    assert_eq!(
        office.events(id).await,
        ["DELIVER_OTP_REQ SMS", "DELIVER_OTP_RES_UNKNOWN only", "DELIVER_OTP_REQ SMS, repeated"]
    );
    office.crash().await;

    let third = Carrier::new("only", SMS, |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &plan, &[Arc::clone(&third)]).await;
    office.settled().await;
    assert!(third.seen().is_empty(), "twice is enough");
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_a_way_is_refused_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let texts = Carrier::new("texts", SMS, |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[texts]).await;
    let refused = office.try_send(MOBILE, Via::Voice).await.unwrap_err();
    assert_eq!(refused, SendError::Refused(SendRefusal::ChannelNotOffered(Channel::Voice)));
    assert_eq!(office.store.backlog(), 0);
    office.close().await;
}
