//! How many submits are open at once, which answer belongs to which, and at what pace they leave.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use otpgate::delivery::provider::Failure;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{Carrier, eventually};
use crate::support::centre::{Act, Centre};

#[tokio::test]
async fn the_window_is_filled_and_never_exceeded() {
    let centre = Centre::with(|submit| vec![Act::Wait(Duration::from_millis(20)), Act::Answer(0, submit.id.clone())]);
    for window in [1, 3, 10] {
        let carrier = Carrier::to(&centre, |settings| settings.window = window).await;
        assert!(carrier.send_many(40).await.iter().all(Result::is_ok));
        assert_eq!(centre.seen().most_open, window);
        carrier.end().await;
    }
}

#[tokio::test]
async fn answers_find_their_submits_in_any_order() {
    // The first is answered last; an id is the text's number.
    let centre = Centre::with(|submit| {
        let text = String::from_utf8(submit.bytes.clone()).unwrap();
        let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
        vec![Act::Wait(Duration::from_millis(500 - number * 20)), Act::Answer(0, format!("n{number}"))]
    });
    let carrier = Carrier::to(&centre, |settings| settings.window = 20).await;
    for (number, taken) in carrier.send_many(20).await.into_iter().enumerate() {
        assert_eq!(taken.unwrap().carrier.unwrap().as_str(), format!("n{number}"));
    }
    carrier.end().await;
}

#[tokio::test]
async fn an_answer_to_nothing_and_a_second_answer_are_ignored() {
    let centre = Centre::with(|submit| {
        let other = |number| Act::AnswerAs(number, 0x0B, String::new());
        vec![
            other(submit.sequence.wrapping_add(1_000)),
            other(0),
            other(u32::MAX),
            other(submit.sequence - 1),
            Act::Answer(0, submit.id.clone()),
            other(submit.sequence),
        ]
    });
    let carrier = Carrier::to(&centre, |_| {}).await;
    for _ in 0..20 {
        assert!(carrier.send("x").await.is_ok());
    }
    let numbers: HashSet<_> = centre.submits().iter().map(|submit| submit.sequence).collect();
    assert_eq!((numbers.len(), centre.count()), (20, 20));
    assert_eq!(carrier.smpp.open_submits(), 0);
    carrier.end().await;
}

#[tokio::test]
async fn several_links_share_the_load() {
    let centre = Centre::with(|submit| vec![Act::Wait(Duration::from_millis(20)), Act::Answer(0, submit.id.clone())]);
    let carrier = Carrier::to(&centre, |settings| (settings.connections, settings.window) = (3, 2)).await;
    assert!(carrier.send_many(60).await.iter().all(Result::is_ok));
    let mut by_link = [0; 3];
    for submit in centre.submits() {
        by_link[submit.link] += 1;
    }
    assert!(by_link.iter().all(|count| *count >= 10), "{by_link:?}");
    assert_eq!(centre.seen().most_open, 2);
    carrier.end().await;
}

#[tokio::test]
async fn submits_leave_at_the_pace_of_the_contract() {
    let centre = Centre::start();
    let carrier = Carrier::to(&centre, |settings| {
        settings.per_second = Some(2);
        settings.submit = Duration::from_millis(1_250);
        settings.window = 100;
    })
    .await;
    let began = Instant::now();
    let results = carrier.send_many(10).await;
    assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
    // Three moments lie within the deadline, which ends midway between two: a machine may stall for a quarter of a
    // second before an answer is late, or one more fits. The rest is the courier's to keep, who is told how long.
    let taken = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(taken, centre.count());
    assert!((3..=4).contains(&taken), "{taken}");
    for result in results.into_iter().filter_map(Result::err) {
        let Failure::Retryable(wait) = result else { panic!("{result:?}") };
        assert!(wait > Duration::from_millis(900), "{wait:?}");
    }
    carrier.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    /// Whatever the centre does with each submit: never more are open than the window has, every message ends, what was
    /// taken was answered so, and nothing is submitted twice.
    #[test]
    fn the_window_holds_under_random_answers_and_cuts(
        window in 1_usize..8,
        links in 1_usize..3,
        fates in proptest::collection::vec((0_u8..20, 0_u64..30), 60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let drawn = fates.clone();
            let texts = std::sync::Arc::new(Mutex::new(Vec::new()));
            let seen = std::sync::Arc::clone(&texts);
            let centre = Centre::with(move |submit| {
                let text = String::from_utf8(submit.bytes.clone()).unwrap();
                let number: usize = text.rsplit(' ').next().unwrap().parse().unwrap();
                seen.lock().unwrap().push(number);
                let (fate, wait) = drawn[number];
                let wait = Act::Wait(Duration::from_millis(wait));
                match fate {
                    0 => vec![Act::Cut],
                    1 => vec![wait, Act::Cut],
                    2 => Vec::new(),
                    3 => vec![wait, Act::Answer(0x58, String::new())],
                    4 => vec![wait, Act::Answer(0x0B, String::new())],
                    5 => vec![wait, Act::AnswerAs(submit.sequence + 7_777, 0, "x".to_owned()), Act::Answer(0, submit.id.clone())],
                    _ => vec![wait, Act::Answer(0, submit.id.clone())],
                }
            });
            let carrier = Carrier::to(&centre, |settings| {
                (settings.window, settings.connections) = (window, links);
                settings.submit = Duration::from_millis(400);
            }).await;
            let results = carrier.send_many(60).await;
            let mut texts = texts.lock().unwrap().clone();
            texts.sort_unstable();
            let submitted = texts.clone();
            texts.dedup();
            assert_eq!(texts, submitted, "nothing is submitted twice");
            for (number, result) in results.iter().enumerate() {
                let came = submitted.binary_search(&number).is_ok();
                match (result, fates[number].0) {
                    (Ok(_), 5..) | (Err(Failure::Refused(_)), 4) => assert!(came),
                    (Err(Failure::Retryable(wait)), fate) => assert!(!came || (fate == 3 && !wait.is_zero()), "{number}: {fate}"),
                    (Err(Failure::Unknown), _) => {}
                    (result, fate) => panic!("{number}: {fate} gave {result:?}"),
                }
            }
            assert!(centre.seen().most_open <= window, "{} open of {window}", centre.seen().most_open);
            eventually("everything is bound again", || carrier.smpp.bound() == carrier.wanted()).await;
            carrier.end().await;
        });
    }
}
