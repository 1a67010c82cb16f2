//! What comes in: receipts in every form, early, twice and late; messages of phones; floods.

use std::time::Duration;

use otpgate::delivery::receipt::Fate;
use otpgate::delivery::smpp::Received;
use rusmpp::tlvs::MessageDeliveryRequestTlvValue;
use rusmpp::values::MessageState;

use super::{Carrier, eventually, said};
use crate::support::centre::{Act, Centre, message, receipt, with_parameter};

#[tokio::test]
async fn receipts_are_reported_and_acknowledged_when_they_are_kept() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    let by_parameters = with_parameter(
        with_parameter(message(4, b""), MessageDeliveryRequestTlvValue::ReceiptedMessageId("00B2".parse().unwrap())),
        MessageDeliveryRequestTlvValue::MessageState(MessageState::Undeliverable),
    );
    centre.deliver(receipt("000000A1", "DELIVRD", "000"));
    centre.deliver(by_parameters);
    centre.deliver(receipt("C3", "ENROUTE", "000"));
    centre.deliver(receipt("D4", "REJECTD", "0A7"));
    eventually("all are acknowledged", || centre.unacknowledged() == 0).await;
    let mut reports: Vec<_> = carrier.kept.all().iter().map(said).collect();
    reports.sort_by(|one, other| one.0.cmp(&other.0));
    let failed = |words: &str| Fate::Failed(words.to_owned());
    let expected = [
        ("a1", Fate::Delivered),
        ("b2", failed("SMPP UNDELIV")),
        ("c3", Fate::OnItsWay),
        ("d4", failed("SMPP REJECTD, error 0A7")),
    ];
    assert_eq!(reports, expected.map(|(id, fate)| (id.to_owned(), fate)));
    assert!(carrier.kept.reports.lock().unwrap().iter().all(|(provider, _)| provider == "carrier"));
    assert!(centre.seen().acks.iter().all(|(_, status)| *status == 0));
    carrier.end().await;
}

#[tokio::test]
async fn a_receipt_that_was_not_kept_is_sent_again() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    *carrier.kept.refusals.lock().unwrap() = 2;
    let number = centre.deliver(receipt("A1", "DELIVRD", "000"));
    eventually("it is acknowledged", || centre.unacknowledged() == 0).await;
    assert_eq!(centre.seen().acks, [(number, 0x64), (number, 0x64), (number, 0)], "ESME_RX_T_APPN until it was kept");
    assert_eq!(carrier.kept.all().len(), 1);
    use Received::{Delivered, NotKept};
    let counted = carrier.counted.received.lock().unwrap().clone();
    assert_eq!(counted, [Delivered, NotKept, Delivered, NotKept, Delivered]);
    carrier.end().await;
}

#[tokio::test]
async fn early_and_doubled_receipts_are_reported_as_they_come() {
    let centre = Centre::with(|submit| {
        let receipt = || Act::Receipt(submit.id.clone(), "DELIVRD", "000");
        let phone = Act::Deliver(Box::new(message(0, b"STOP")));
        vec![receipt(), phone, Act::Wait(Duration::from_millis(100)), Act::Answer(0, submit.id.clone()), receipt()]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    let taken = carrier.send("x").await.unwrap();
    eventually("both are reported", || carrier.kept.all().len() == 2).await;
    let id = taken.carrier.unwrap().as_str().to_owned();
    assert!(carrier.kept.all().iter().map(said).all(|report| report == (id.clone(), Fate::Delivered)));
    carrier.end().await;
}

#[tokio::test]
async fn what_a_phone_sends_is_acknowledged_and_dropped() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    centre.deliver(message(0, b"STOP"));
    // Nobody can write himself a receipt.
    centre.deliver(message(0, b"id:1 sub:001 dlvrd:001 stat:DELIVRD err:000 text:"));
    eventually("both are acknowledged", || centre.unacknowledged() == 0).await;
    assert!(centre.seen().acks.iter().all(|(_, status)| *status == 0));
    assert_eq!(carrier.kept.all(), []);
    assert_eq!(carrier.counted.received.lock().unwrap().as_slice(), [Received::Message, Received::Message]);
    carrier.end().await;
}

#[tokio::test]
async fn a_receipt_that_cannot_be_read_is_refused_for_good() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    centre.deliver(message(4, b"delivered, believe me"));
    eventually("it is answered", || centre.unacknowledged() == 0).await;
    assert_eq!(centre.seen().acks[0].1, 0x66, "ESME_RX_R_APPN: sent again it would be no better");
    assert_eq!(carrier.counted.received.lock().unwrap().as_slice(), [Received::Unreadable]);
    carrier.end().await;
}

#[tokio::test]
async fn a_flood_of_receipts_is_held_up_and_none_is_lost() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| {
        // The answer to the question lies behind the flood, which is no reason to end the link: 20 rounds of what is in
        // work at once take four times as long as an answer may.
        settings.enquire_link = Duration::from_millis(100);
        settings.enquire_link_answer = Duration::from_secs(1);
    })
    .await;
    *carrier.kept.slow.lock().unwrap() = Duration::from_millis(200);
    for number in 0..5_000 {
        centre.deliver(receipt(&format!("{number:x}"), "DELIVRD", "000"));
    }
    eventually("all are acknowledged", || centre.unacknowledged() == 0).await;
    assert_eq!(carrier.kept.all().len(), 5_000);
    let most = carrier.kept.in_work.lock().unwrap().1;
    assert!(most <= 256, "{most} in work at once");
    assert_eq!(centre.seen().binds.len(), 1, "the link stayed");
    carrier.end().await;
}

#[tokio::test]
async fn a_receipt_whose_link_is_cut_before_it_was_kept_comes_again() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    *carrier.kept.slow.lock().unwrap() = Duration::from_millis(200);
    centre.deliver(receipt("A1", "DELIVRD", "000"));
    eventually("it is in work", || carrier.kept.in_work.lock().unwrap().1 == 1).await;
    centre.cut();
    eventually("it is acknowledged", || centre.unacknowledged() == 0).await;
    assert!(carrier.kept.all().iter().map(said).all(|report| report == ("a1".to_owned(), Fate::Delivered)));
    assert!(!carrier.kept.all().is_empty());
    carrier.end().await;
}
