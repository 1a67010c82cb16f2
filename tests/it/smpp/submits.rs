//! What goes over the wire, byte for byte, and what each answer means.

use std::time::Duration;

use otpgate::delivery::provider::{Failure, Provider as _, Reached};
use otpgate::delivery::receipt::{About, CarrierId, Fate};
use otpgate::delivery::smpp::{ReceiptIds, ReferenceWidth, Submitted};
use otpgate::otp::application::Sender;

use super::{CODE, Carrier, eventually};
use crate::support::centre::{Act, Centre, head, receipt};

#[tokio::test]
async fn a_short_text_is_one_submit_with_every_field_as_the_standard_has_it() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| settings.service_type = "OTP".to_owned()).await;
    let taken = carrier.send("Your code: 836194 [€]").await.unwrap();
    assert_eq!(taken.reach, Reached::Taken);
    assert_eq!(taken.carrier, CarrierId::parse("1"), "the id of the answer, without the zeros before it");
    let submits = centre.submits();
    assert_eq!(submits.len(), 1);
    let submit = &submits[0];
    assert_eq!(submit.source, (5, 0, "ACME".to_owned()));
    assert_eq!(submit.destination, (1, 1, "4915112345678".to_owned()));
    assert_eq!((submit.esm_class, submit.data_coding, submit.registered), (0, 0, 1));
    assert_eq!((submit.service_type.as_str(), submit.validity.as_str()), ("OTP", "000000000500000R"));
    // Unpacked septets by 3GPP TS 23.038: ASCII but for the brackets and the euro, which stand behind an escape.
    assert_eq!(submit.bytes, b"Your code: 836194 \x1B\x3C\x1B\x65\x1B\x3E");
    assert_eq!(carrier.counted.submitted.lock().unwrap().as_slice(), [Submitted::Taken]);
    carrier.end().await;
}

#[tokio::test]
async fn what_gsm_has_no_letters_for_goes_in_ucs2() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| {
        settings.data_coding = 1;
        settings.validity_period = false;
    })
    .await;
    carrier.send("код 836194 😀").await.unwrap();
    carrier.send("plain").await.unwrap();
    let submits = centre.submits();
    assert_eq!((submits[0].esm_class, submits[0].data_coding, submits[0].validity.as_str()), (0, 8, ""));
    let expected = [
        0x04, 0x3A, 0x04, 0x3E, 0x04, 0x34, 0x00, 0x20, 0x00, 0x38, 0x00, 0x33, 0x00, 0x36, 0x00, 0x31, 0x00, 0x39,
        0x00, 0x34, 0x00, 0x20, 0xD8, 0x3D, 0xDE, 0x00,
    ];
    assert_eq!(submits[0].bytes, expected);
    assert_eq!(submits[1].data_coding, 1);
    carrier.end().await;
}

#[tokio::test]
async fn a_long_text_goes_in_parts_in_order_and_the_last_one_stands_for_it() {
    let centre = Centre::start();
    for (width, header) in [(ReferenceWidth::Eight, 6), (ReferenceWidth::Sixteen, 7)] {
        let carrier = Carrier::to(&centre, |settings| settings.reference = width).await;
        let before = centre.count();
        let text = format!("{}{CODE} is your code", "a".repeat(300));
        let taken = carrier.send(&text).await.unwrap();
        let parts = centre.submits().split_off(before);
        assert_eq!(parts.len(), 3);
        let mut read = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(part.esm_class, 0x40);
            let (head, body) = part.bytes.split_at(header);
            assert_eq!(head[header - 2..], [3, u8::try_from(index + 1).unwrap()]);
            let kind: &[u8] = if header == 6 { &[5, 0, 3] } else { &[6, 8, 4] };
            assert_eq!(&head[..3], kind);
            assert_eq!(head[3..header - 2], parts[0].bytes[3..header - 2], "all parts name one whole");
            assert_eq!(part.registered, u8::from(index == 2));
            read.extend_from_slice(body);
        }
        assert_eq!(read, text.as_bytes());
        assert!(parts[1].bytes.ends_with(CODE.as_bytes()) || parts[2].bytes[header..].starts_with(CODE.as_bytes()));
        let last = parts[2].id.trim_start_matches('0').to_ascii_lowercase();
        assert_eq!(taken.carrier, CarrierId::parse(&last));
        carrier.end().await;
    }
}

#[tokio::test]
async fn senders_go_by_what_they_are_or_by_what_the_settings_say() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    for sender in [Some("12345"), Some("+4930123456"), Some("Bank 1"), None] {
        let mut message = carrier.outgoing(1, "x");
        message.sender = sender.map(|sender| Sender::parse(sender).unwrap());
        carrier.smpp.deliver(message).await.unwrap();
    }
    let sources: Vec<_> = centre.submits().into_iter().map(|submit| submit.source).collect();
    let expected = [(3, 0, "12345"), (1, 1, "4930123456"), (5, 0, "Bank 1"), (0, 0, "")];
    assert_eq!(sources, expected.map(|(ton, npi, text)| (ton, npi, text.to_owned())));
    carrier.end().await;
    let carrier =
        Carrier::to(&centre, |settings| (settings.source_ton, settings.source_npi) = (Some(6), Some(8))).await;
    carrier.send("x").await.unwrap();
    assert_eq!(centre.submits()[4].source, (6, 8, "ACME".to_owned()));
    carrier.end().await;
}

#[tokio::test]
async fn each_status_is_retryable_refused_or_taken() {
    // The text of each message is the status.
    let centre = Centre::with(|submit| {
        let status = std::str::from_utf8(&submit.bytes).unwrap().parse().unwrap();
        vec![Act::Answer(status, submit.id.clone())]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    for (status, expected) in [
        (0x58, Failure::Retryable(Duration::from_secs(1))),
        (0x14, Failure::Retryable(Duration::from_secs(1))),
        (0x08, Failure::Retryable(Duration::ZERO)),
        (0x0B, Failure::Refused("SMPP 0x0000000B".to_owned())),
        (0x0A, Failure::Refused("SMPP 0x0000000A".to_owned())),
        (0x400, Failure::Refused("SMPP 0x00000400".to_owned())),
    ] {
        assert_eq!(carrier.send(&status.to_string()).await, Err(expected), "{status:#x}");
    }
    assert!(carrier.send("0").await.is_ok());
    assert_eq!(centre.count(), 7, "nothing was submitted twice");
    let counted = carrier.counted.submitted.lock().unwrap().clone();
    use Submitted::{Failed, Refused, Taken, Throttled};
    assert_eq!(counted, [Throttled, Throttled, Failed, Refused, Refused, Refused, Taken]);
    carrier.end().await;
}

#[tokio::test]
async fn a_generic_nack_answers_its_submit() {
    let centre = Centre::with(|submit| {
        let status = u32::from(submit.bytes == b"unknown command") * 3;
        vec![Act::Raw(head(0x8000_0000, status, submit.sequence))]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    assert_eq!(carrier.send("unknown command").await, Err(Failure::Refused("SMPP 0x00000003".to_owned())));
    assert_eq!(carrier.send("no reason").await, Err(Failure::Retryable(Duration::ZERO)));
    carrier.end().await;
}

#[tokio::test]
async fn a_part_that_fails_after_another_was_taken_leaves_the_message_unknown() {
    let centre = Centre::with(|submit| {
        let part = if submit.esm_class == 0x40 { submit.bytes[5] } else { 1 };
        let refuses = submit.bytes.contains(&b'z');
        vec![Act::Answer(if part == 2 || (refuses && part == 1) { 0x58 } else { 0 }, submit.id.clone())]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    assert_eq!(carrier.send(&"a".repeat(400)).await, Err(Failure::Unknown));
    assert_eq!(centre.count(), 2, "what follows the part that failed is not sent");
    // Where already the first one fails, nothing is under way.
    assert_eq!(carrier.send(&"z".repeat(400)).await, Err(Failure::Retryable(Duration::from_secs(1))));
    carrier.end().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_leaves_the_message_unknown_and_its_place_taken() {
    let centre = Centre::with(|submit| {
        if submit.bytes == b"late" {
            vec![Act::Wait(Duration::from_millis(900)), Act::Answer(0, "F00D".to_owned())]
        } else {
            vec![Act::Answer(0, submit.id.clone())]
        }
    });
    let carrier = Carrier::to(&centre, |settings| {
        settings.window = 1;
        settings.submit = Duration::from_millis(300);
    })
    .await;
    assert_eq!(carrier.send("late").await, Err(Failure::Unknown));
    assert_eq!(carrier.smpp.open_submits(), 1);
    // The window is full: nothing of this one leaves, so it can go elsewhere.
    assert_eq!(carrier.send("next").await, Err(Failure::Retryable(Duration::ZERO)));
    assert_eq!(centre.count(), 1);
    // The answer says after all that it was taken, and what its receipts will name.
    eventually("the late answer is reported", || !carrier.kept.all().is_empty()).await;
    let ticket = carrier.outgoing(1, "").ticket;
    let first = carrier.kept.all()[0].clone();
    assert_eq!((first.about, first.fate), (About::Ticket(ticket), Fate::OnItsWay));
    centre.deliver(receipt("0000F00D", "DELIVRD", "000"));
    eventually("its receipt is reported", || carrier.kept.all().len() == 2).await;
    let second = carrier.kept.all()[1].clone();
    assert_eq!((second.about, second.fate), (About::Ticket(ticket), Fate::Delivered));
    assert!(carrier.send("after").await.is_ok(), "the place is free again");
    carrier.end().await;
}

#[tokio::test]
async fn a_late_refusal_is_reported_and_a_late_throttle_is_not() {
    let centre = Centre::with(|submit| {
        let status = if submit.bytes == b"refused" { 0x0B } else { 0x58 };
        vec![Act::Wait(Duration::from_millis(400)), Act::Answer(status, String::new())]
    });
    let carrier = Carrier::to(&centre, |settings| settings.submit = Duration::from_millis(200)).await;
    assert_eq!(carrier.send("throttled").await, Err(Failure::Unknown));
    assert_eq!(carrier.send("refused").await, Err(Failure::Unknown));
    eventually("both answers came", || carrier.smpp.open_submits() == 0).await;
    eventually("the refusal is reported", || !carrier.kept.all().is_empty()).await;
    let reports = carrier.kept.all();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].fate, Fate::Failed("SMPP 0x0000000B".to_owned()));
    carrier.end().await;
}

#[tokio::test]
async fn ids_are_named_alike_where_answers_and_receipts_write_them_differently() {
    for (ids, answer, written) in [
        (ReceiptIds::Decimal, "1A2B", "0000006699"),
        (ReceiptIds::Hexadecimal, "6699", "1a2b"),
        (ReceiptIds::Same, "00Af", "AF"),
    ] {
        let centre = Centre::with(move |_| {
            vec![Act::Answer(0, answer.to_owned()), Act::Receipt(written.to_owned(), "DELIVRD", "000")]
        });
        let carrier = Carrier::to(&centre, |settings| settings.receipt_ids = ids).await;
        let taken = carrier.send("x").await.unwrap();
        eventually("the receipt is reported", || !carrier.kept.all().is_empty()).await;
        assert_eq!(About::Carrier(taken.carrier.unwrap()), carrier.kept.all()[0].about, "{ids:?}");
        carrier.end().await;
    }
}
