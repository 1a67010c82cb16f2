//! Receipts: duplicates, early, late, in any order, by either name, from strangers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use otpgate::delivery::receipt::{About, CarrierId, Fate, Ticket};
use otpgate::otp::channel::{Channel, Via};
use otpgate::otp::id::OtpId;
use otpgate::otp::record::{Delivery, SealedContent};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::office::{Answer, Carrier, Office, Plan, taken};

const MOBILE: &str = "+4915112345678";

fn carrier_id(ticket: Ticket) -> About {
    About::Carrier(CarrierId::parse(&format!("id-{ticket}")).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_final_state_never_goes_back_and_the_same_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let carrier = Carrier::new("only", &[Channel::Sms], |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&carrier)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    let ticket = carrier.seen()[0].ticket;
    for _ in 0..3 {
        office.report("only", carrier_id(ticket), Fate::Delivered).await;
        office.report("only", About::Ticket(ticket), Fate::Failed("late".to_owned())).await;
        office.report("only", carrier_id(ticket), Fate::OnItsWay).await;
    }
    assert_eq!(office.otp(id).await.delivery, Delivery::Delivered);
    let expected = ["DELIVER_OTP_REQ SMS", "DELIVER_OTP_RES_SUCCESS only", "DELIVER_OTP_RES_SUCCESS"];
    assert_eq!(office.events(id).await, expected);
    let filed = office.noted.filed.lock().clone();
    assert_eq!((filed["Delivered"], filed["Old"]), (1, 8));
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_overtakes_the_answer_is_heeded_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let slow = Carrier::new("only", &[Channel::Sms], |seen, _| Answer::After(Duration::from_millis(500), taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&slow)]).await;
    let (arrives, fails) = (office.send(MOBILE, Via::Auto).await, office.send(MOBILE, Via::Auto).await);
    office.until(async |_| slow.seen().len() == 2).await;
    for seen in slow.seen() {
        let fate = if seen.ticket.message.otp == arrives { Fate::Delivered } else { Fate::Failed("off".to_owned()) };
        office.report("only", carrier_id(seen.ticket), fate.clone()).await;
        office.report("only", carrier_id(seen.ticket), fate).await;
    }
    assert_eq!(office.otp(arrives).await.delivery, Delivery::Queued, "nobody knows yet whose it is");
    office.settled().await;
    assert_eq!(office.otp(arrives).await.delivery, Delivery::Delivered);
    assert_eq!(office.otp(fails).await.delivery, Delivery::Undeliverable);
    let seen = slow.seen();
    office.close().await;
    let office = Office::open(dir.path(), &Plan::default(), &[]).await;
    for seen in seen {
        office.report("only", carrier_id(seen.ticket), Fate::Delivered).await;
    }
    assert_eq!(office.noted.filed.lock()["Old"], 2, "the names are known after a restart");
    assert_eq!(office.otp(fails).await.delivery, Delivery::Undeliverable);
    office.close().await;
}

/// Whatever a carrier calls its error, the code and the number are in no history: by ticket, and where the receipt came early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_s_words_tell_neither_the_code_nor_the_number() {
    let dir = tempfile::tempdir().unwrap();
    let slow = Carrier::new("only", &[Channel::Sms], |seen, _| Answer::After(Duration::from_millis(500), taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&slow)]).await;
    for early in [false, true] {
        for (what, told) in [("30003", true), ("CODE", false), ("x-CODE.49151", false), ("151.12345", false)] {
            let id = office.send(MOBILE, Via::Auto).await;
            office.until(async |_| slow.seen().iter().any(|seen| seen.ticket.message.otp == id)).await;
            if !early {
                office.settled().await;
            }
            let otp = office.otp(id).await;
            let content = SealedContent::open(&office.store.keyring(), id, otp.sealed.as_ref().unwrap()).unwrap();
            let words = format!("the carrier says: failed, {}", what.replace("CODE", content.code.expose()));
            let ticket = slow.seen().iter().find(|seen| seen.ticket.message.otp == id).unwrap().ticket;
            let about = if early { carrier_id(ticket) } else { About::Ticket(ticket) };
            office.report("only", about, Fate::Failed(words.clone())).await;
            office.settled().await;
            let last = office.events(id).await.pop().unwrap();
            let expected = if told { words } else { "the carrier says that it failed".to_owned() };
            assert_eq!(last, format!("DELIVER_OTP_RES_FAIL {expected}"), "{what}");
        }
    }
    office.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_belongs_to_the_provider_that_gave_it() {
    let dir = tempfile::tempdir().unwrap();
    let carrier = Carrier::new("only", &[Channel::Sms], |seen, _| Answer::Now(taken(seen)));
    let office = Office::open(dir.path(), &Plan::default(), &[Arc::clone(&carrier)]).await;
    let id = office.send(MOBILE, Via::Auto).await;
    office.settled().await;
    office.report("other", carrier_id(carrier.seen()[0].ticket), Fate::Delivered).await;
    assert_eq!(office.otp(id).await.delivery, Delivery::Sent);
    office.close().await;
}

/// Receipts of `count / 2` messages: a third comes twice, all of them shuffled, a tenth early, some of strangers.
pub(crate) async fn storm(count: usize, seed: u64) {
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let carrier = Carrier::new("only", &[Channel::Sms], |seen, before| {
        // A tenth of the answers is so late that the receipts overtake it.
        if before % 10 == 0 { Answer::After(Duration::from_millis(200), taken(seen)) } else { Answer::Now(taken(seen)) }
    });
    let office = Arc::new(Office::open(dir.path(), &Plan::default(), &[Arc::clone(&carrier)]).await);
    let mut expected: HashMap<OtpId, Delivery> = HashMap::new();
    let (mut reported, mut told) = (0, 0);
    while reported < count {
        for wave in 0..8_u32 {
            let sends = (0..64_u32).map(|send| {
                let office = Arc::clone(&office);
                tokio::spawn(async move { office.send(&format!("+491511{:07}", wave * 64 + send), Via::Auto).await })
            });
            for send in sends.collect::<Vec<_>>() {
                send.await.unwrap();
            }
        }
        let begun = told + 512;
        office.until(async |_| carrier.seen().len() == begun).await;
        let mut reports = Vec::new();
        for seen in carrier.seen().drain(told..) {
            let otp = seen.ticket.message.otp;
            let fate = if random.random_ratio(1, 4) { Fate::Failed("7".to_owned()) } else { Fate::Delivered };
            let delivery = if fate == Fate::Delivered { Delivery::Delivered } else { Delivery::Undeliverable };
            expected.insert(otp, delivery);
            let by_name = random.random_ratio(1, 2);
            let about = || if by_name { carrier_id(seen.ticket) } else { About::Ticket(seen.ticket) };
            reports.push((about(), Fate::OnItsWay));
            reports.push((about(), fate.clone()));
            if random.random_ratio(1, 2) {
                reports.push((about(), fate));
            }
            if random.random_ratio(1, 16) {
                let stranger = CarrierId::parse(&format!("stranger-{}", random.random::<u64>())).unwrap();
                reports.push((About::Carrier(stranger), Fate::Failed("forged".to_owned())));
            }
        }
        told = begun;
        reports.shuffle(&mut random);
        reported += reports.len();
        for chunk in reports.chunks(128) {
            let filing = chunk.iter().cloned().map(|(about, fate)| {
                let office = Arc::clone(&office);
                tokio::spawn(async move { office.report("only", about, fate).await })
            });
            for one in filing.collect::<Vec<_>>() {
                one.await.unwrap();
            }
        }
    }
    office.settled().await;
    for (id, delivery) in &expected {
        assert_eq!(office.otp(*id).await.delivery, *delivery, "{id}");
    }
    let filed = office.noted.filed.lock().clone();
    println!("{reported} receipts of {} messages: {filed:?}", expected.len());
    assert!(filed["Early"] > reported / 100 && filed["Old"] > reported / 10, "{filed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_receipts_leaves_every_final_state_right() {
    let count = std::env::var("OTPGATE_RECEIPTS").ok().and_then(|count| count.parse().ok()).unwrap_or(50_000);
    storm(count, rand::rng().random()).await;
}
