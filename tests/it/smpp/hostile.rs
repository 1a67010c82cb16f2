//! What no centre should send: garbage, lengths that lie, PDUs cut short, commands out of place. The link may go; the
//! gateway stays, and so does its memory.

use std::time::Duration;

use otpgate::delivery::provider::Failure;
use proptest::prelude::*;

use super::{Carrier, eventually};
use crate::support::centre::{Act, Centre, head};

/// A PDU with this body, whose length is right.
fn pdu(command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(command, 0, sequence);
    bytes.extend_from_slice(body);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[tokio::test]
async fn a_length_that_no_pdu_has_ends_the_link_and_a_new_one_is_made() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    for (round, length) in [0_u32, 15, 65_537 + 4, 0x7FFF_FFFF, u32::MAX].into_iter().enumerate() {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0x2A; 4_096]);
        centre.write(&bytes);
        eventually("the link is made anew", || centre.seen().binds.len() == round + 2).await;
        eventually("it is bound", || carrier.smpp.bound() == 1 && centre.links() == 1).await;
    }
    assert!(centre.seen().nacks.contains(&0x02), "the centre was told why");
    assert!(carrier.send("x").await.is_ok());
    carrier.end().await;
}

#[tokio::test]
async fn commands_out_of_place_are_answered_and_the_link_stays() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |_| {}).await;
    // A bind, a submit, a command that is not there, an answer to nothing, an alert; bodies of any kind.
    for (command, body) in [
        (0x0000_0009, &b"a\0b\0"[..]),
        (0x0000_0004, b"\xFF\xFF"),
        (0x0000_0777, b"x"),
        (0x8000_0777, b"x"),
        (0x8000_0009, b""),
        (0x0000_0102, b"\0\0\0"),
        (0x0000_000B, b"a\0b\0"),
        (0x8000_0006, b""),
    ] {
        centre.write(&pdu(command, 9, body));
    }
    // A deliver_sm that ends in the middle, and one with nothing in it.
    centre.write(&pdu(5, 10, b"\0\x01\x014915"));
    centre.write(&pdu(5, 11, b""));
    eventually("they are answered", || centre.seen().acks.len() == 2 && centre.seen().nacks.len() == 4).await;
    assert_eq!(centre.seen().acks, [(10, 0x66), (11, 0x66)]);
    assert_eq!(centre.seen().nacks, [3; 4]);
    assert!(carrier.send("x").await.is_ok());
    assert_eq!(centre.seen().binds.len(), 1);
    carrier.end().await;
}

#[tokio::test]
async fn an_answer_with_an_unreadable_id_is_still_an_answer() {
    let centre = Centre::with(|submit| {
        let body: &[u8] = match submit.bytes.as_slice() {
            b"long" => &[b'7'; 300],
            b"bytes" => &[0xFF, 0xFE, 0],
            b"open" => b"unterminated",
            _ => b"",
        };
        vec![Act::Raw(pdu(0x8000_0004, submit.sequence, body))]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    for (text, id) in [("long", None), ("bytes", None), ("empty", None), ("open", Some("unterminated"))] {
        let taken = carrier.send(text).await.unwrap();
        assert_eq!(taken.carrier.as_ref().map(|id| id.as_str()), id, "{text}");
    }
    carrier.end().await;
}

#[tokio::test]
async fn an_answer_that_drips_is_an_answer() {
    let centre = Centre::with(|submit| {
        let bytes = pdu(0x8000_0004, submit.sequence, b"abc\0");
        bytes.iter().flat_map(|byte| [Act::Raw(vec![*byte]), Act::Wait(Duration::from_millis(3))]).collect()
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    assert_eq!(carrier.send("x").await.unwrap().carrier.unwrap().as_str(), "abc");
    carrier.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Whatever comes in: no panic, and a link that works afterwards.
    #[test]
    fn any_bytes_leave_a_provider_that_works(
        pieces in proptest::collection::vec(
            prop_oneof![
                // Whole PDUs of any kind with any body, and bytes of no kind.
                (prop_oneof![Just(5_u32), Just(0x8000_0004), Just(0x15), Just(6), Just(0x8000_0000), any::<u32>()], any::<u32>(),
                    proptest::collection::vec(any::<u8>(), 0..80)).prop_map(|(command, sequence, body)| pdu(command, sequence, &body)),
                proptest::collection::vec(any::<u8>(), 0..40),
            ],
            1..12,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let centre = Centre::start();
            let carrier = Carrier::to(&centre, |settings| {
                settings.enquire_link = Duration::from_millis(50);
                settings.enquire_link_answer = Duration::from_millis(100);
            }).await;
            for piece in &pieces {
                centre.write(piece);
            }
            let mut tries = 0;
            // A length that was begun swallows what follows, until the silence is noticed.
            while let Err(failure) = carrier.send("x").await {
                assert!(!matches!(failure, Failure::Refused(_)), "{failure:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                tries += 1;
                assert!(tries < 500, "no link works again");
            }
            assert!(!carrier.running.is_finished());
            carrier.end().await;
        });
    }
}
