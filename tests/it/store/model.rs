//! SQLite does what the model does: random sequences of changes, every answer compared.

use std::time::Duration;

use otpgate::otp::id::OtpId;
use otpgate::otp::outbox::{Message, MessageId};
use otpgate::otp::store::{OtpStore as _, Outbox as _, OutboxChange, Subject};
use proptest::prelude::*;

use super::world::{CODE, World, delete, message, outbox};

#[derive(Clone, Debug)]
enum Step {
    Send { number: u32 },
    Check { otp: usize, right: bool },
    Delete { otp: usize },
    Again { otp: usize, number: u32, delay: u64 },
    Settle { otp: usize, number: u32 },
    Claim { limit: usize },
    Pass { millis: u64 },
    Prune,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let otp = 0_usize..12;
    prop_oneof![
        4 => (0_u32..3).prop_map(|number| Step::Send { number }),
        4 => (otp.clone(), any::<bool>()).prop_map(|(otp, right)| Step::Check { otp, right }),
        1 => otp.clone().prop_map(|otp| Step::Delete { otp }),
        2 => (otp.clone(), 1_u32..4, 0_u64..100_000).prop_map(|(otp, number, delay)| Step::Again { otp, number, delay }),
        2 => (otp, 1_u32..4).prop_map(|(otp, number)| Step::Settle { otp, number }),
        2 => (0_usize..4).prop_map(|limit| Step::Claim { limit }),
        2 => (0_u64..2_000_000).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let mut sqlite = world.sqlite(dir.path());
    let world = world.with_keyring(sqlite.keyring());
    let model = world.memory();
    let mut otps: Vec<OtpId> = Vec::new();
    let mut claimed: Vec<Message> = Vec::new();
    for step in steps {
        let pick = |index: usize| otps.get(index % otps.len().max(1)).copied();
        match step {
            Step::Send { number } => {
                world.clock.advance(Duration::from_millis(1));
                let otp = world.otp(number, 2);
                world.try_send(&model, otp.clone()).await.unwrap();
                otps.push(world.try_send(&sqlite, otp).await.unwrap());
            }
            Step::Check { otp, right } => {
                let Some(id) = pick(otp) else { continue };
                let code = if right { CODE } else { "999999" };
                prop_assert_eq!(world.check(&model, id, code).await, world.check(&sqlite, id, code).await);
            }
            Step::Delete { otp } => {
                let Some(id) = pick(otp) else { continue };
                delete(&model, id).await;
                delete(&sqlite, id).await;
            }
            Step::Again { otp, number, delay } => {
                let Some(id) = pick(otp) else { continue };
                let message = message(id, number, world.now() + Duration::from_millis(delay));
                claimed.retain(|claimed| claimed.id != message.id);
                let copy = message.clone();
                outbox(&model, id, move || OutboxChange::Put(message.clone())).await;
                outbox(&sqlite, id, move || OutboxChange::Put(copy.clone())).await;
            }
            Step::Settle { otp, number } => {
                let Some(otp) = pick(otp) else { continue };
                let id = MessageId { otp, number };
                outbox(&model, otp, move || OutboxChange::Settle(id)).await;
                outbox(&sqlite, otp, move || OutboxChange::Settle(id)).await;
            }
            Step::Claim { limit } => {
                let (of_model, of_sqlite) =
                    (model.claim(world.now(), limit).await, sqlite.claim(world.now(), limit).await);
                prop_assert_eq!(&of_model, &of_sqlite);
                claimed.extend(of_model.unwrap());
            }
            Step::Pass { millis } => world.clock.advance(Duration::from_millis(millis)),
            Step::Prune => {
                model.prune(world.now()).await.unwrap();
                sqlite.prune(world.now()).await.unwrap();
            }
            Step::Reopen => {
                drop(sqlite);
                sqlite = world.sqlite(dir.path());
                // A claim ends with its process: in the model, the same messages join again.
                for message in std::mem::take(&mut claimed) {
                    let (before, id) = (model.backlog(), message.id);
                    outbox(&model, id.otp, move || OutboxChange::Settle(id)).await;
                    if model.backlog() < before {
                        outbox(&model, id.otp, move || OutboxChange::Put(message.clone())).await;
                    }
                }
            }
        }
        prop_assert_eq!(model.backlog(), sqlite.backlog());
        for id in &otps {
            prop_assert_eq!(model.otp(*id).await.unwrap(), sqlite.otp(*id).await.unwrap());
        }
        for number in 0..3 {
            let (key, subject) = (world.key(number), Subject::Number(world.key(number)));
            prop_assert_eq!(model.of_number(key, 5).await.unwrap(), sqlite.of_number(key, 5).await.unwrap());
            let (of_model, of_sqlite) =
                (world.records(&model, subject.clone()).await, world.records(&sqlite, subject).await);
            prop_assert_eq!((of_model.number, of_model.spent), (of_sqlite.number, of_sqlite.spent));
        }
        prop_assert_eq!(model.due(world.now(), 5).await.unwrap(), sqlite.due(world.now(), 5).await.unwrap());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}
