//! Whatever comes again, in whatever order, at whatever time, over whatever restarts: a model says what is done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use otpgate::clock::UnixMillis;
use otpgate::idempotency::{Answer, Operation};
use otpgate::otp::answer::AnswerStore as _;
use otpgate::otp::id::OtpId;
use otpgate::otp::record::OtpStatus;
use proptest::prelude::*;

use super::once::{Gateway, Outcome, Wish};
use super::world::{LIFETIME, World};

#[derive(Clone, Debug)]
enum Step {
    Call(Wish),
    Pass(u64),
    Reopen,
}

fn wish() -> impl Strategy<Value = Wish> {
    let operation = prop_oneof![
        4 => Just(Operation::Send),
        2 => Just(Operation::Resend),
        4 => Just(Operation::Verify),
        1 => Just(Operation::Delete),
    ];
    (operation, any::<bool>(), 0_u8..2, 0_u32..2, 0_usize..3, any::<bool>(), any::<bool>()).prop_map(
        |(operation, by_key, name, number, otp, right, at_once)| Wish {
            operation,
            by_key,
            name,
            number,
            otp,
            right,
            at_once,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    // The ends of the horizons are where it is decided: 30 s, 20 min, 24 h, and the life of a code.
    let spans = [1, 29_999, 30_000, 299_999, 300_000, 1_199_999, 1_200_000, 86_399_999, 86_400_000];
    prop_oneof![
        12 => wish().prop_map(Step::Call),
        4 => proptest::sample::select(spans.to_vec()).prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

/// What the model knows of an OTP.
#[derive(Clone, Copy)]
struct Known {
    id: OtpId,
    expire: UnixMillis,
    ended: bool,
    attempts: u32,
    messages: usize,
    deleted: bool,
}

/// What a call is known by: operation, whether by a key, name, and the request where it is part of the name.
type Place = (u8, bool, u8, String);

/// A call that was done.
struct Past {
    request: String,
    at: UnixMillis,
    answer: Answer,
    /// The OTP that a send made.
    made: Option<usize>,
}

/// The contract, in the words of the issue.
#[derive(Default)]
struct Model {
    otps: Vec<Known>,
    answered: HashMap<Place, Past>,
}

impl Model {
    fn place(wish: &Wish, request: &str) -> Place {
        // A run's request is part of its name.
        let request = if wish.by_key { String::new() } else { request.to_owned() };
        (wish.operation as u8, wish.by_key, wish.name, request)
    }

    fn active(&self, otp: usize, now: UnixMillis) -> bool {
        let otp = &self.otps[otp];
        !otp.ended && !otp.deleted && now < otp.expire
    }

    /// What is to come without anything being done; none when it is done.
    fn before(&self, wish: &Wish, request: &str, now: UnixMillis) -> Option<Outcome> {
        let Past { request: asked, at, answer, made } = self.answered.get(&Self::place(wish, request))?;
        let seconds = match (wish.by_key, wish.operation) {
            (true, _) => 24 * 60 * 60,
            (false, Operation::Resend) => 30,
            (false, _) => 20 * 60,
        };
        if now >= *at + Duration::from_secs(seconds) {
            return None;
        }
        if asked != request {
            return Some(Outcome::Reused);
        }
        let waits = !wish.by_key && matches!(wish.operation, Operation::Send);
        if waits && !made.is_some_and(|made| self.active(made, now)) {
            return None;
        }
        Some(Outcome::Replayed(answer.clone()))
    }

    /// Does it, and says what `answer` must be.
    fn done(&mut self, wish: &Wish, at: usize, now: UnixMillis) -> (u16, &'static str) {
        let active = self.active(at, now);
        let otp = &mut self.otps[at];
        match wish.operation {
            _ if otp.deleted => (404, ""),
            Operation::Send | Operation::Open => unreachable!("these make one"),
            Operation::Resend if !active => {
                otp.ended = true;
                (409, "")
            }
            Operation::Resend => {
                otp.messages += 1;
                (200, "ACTIVE")
            }
            Operation::Verify => {
                otp.attempts += u32::from(active);
                otp.ended |= !active || wish.right || otp.attempts == 3;
                (200, if active && wish.right { "VERIFIED" } else { "" })
            }
            Operation::Delete => {
                otp.deleted = true;
                (200, "")
            }
        }
    }
}

async fn model(
    world: World,
    mut open: impl AsyncFnMut(&World) -> Gateway,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let mut gateway = open(&world).await;
    let world = gateway.world.clone();
    let mut model = Model::default();
    for step in steps {
        let wish = match step {
            Step::Call(wish) => wish,
            Step::Pass(millis) => {
                world.clock.advance(Duration::from_millis(millis));
                continue;
            }
            Step::Reopen => {
                drop(gateway);
                gateway = open(&world).await;
                continue;
            }
        };
        let now = world.now();
        let sends = matches!(wish.operation, Operation::Send);
        if !sends && model.otps.is_empty() {
            continue;
        }
        let at = if sends { 0 } else { model.otps.len() - 1 - wish.otp % model.otps.len() };
        let id = if sends { OtpId::from_bytes([0; 16]) } else { model.otps[at].id };
        let request = wish.request(id);
        let expected = model.before(&wish, &request, now);
        let found = gateway.call(&wish, id).await;
        if let Some(expected) = expected {
            prop_assert_eq!(found, expected, "{:?}", wish);
        } else {
            let Outcome::Done(answer) = &found else { return Err(TestCaseError::fail(format!("{wish:?}: {found:?}"))) };
            let body = String::from_utf8(answer.body.to_vec()).unwrap();
            let made = if sends {
                let id = body.split(' ').next().unwrap().parse().unwrap();
                prop_assert!(model.otps.iter().all(|known| known.id != id), "it is a new one");
                let expire = now + LIFETIME;
                model.otps.push(Known { id, expire, ended: false, attempts: 0, messages: 1, deleted: false });
                Some(model.otps.len() - 1)
            } else {
                let (status, says) = model.done(&wish, at, now);
                prop_assert!(answer.status == status && body.contains(says), "{wish:?}: {status} {says} {body}");
                None
            };
            let past = Past { answer: answer.clone(), at: now, made, request: request.clone() };
            model.answered.insert(Model::place(&wish, &request), past);
        }
        for known in &model.otps {
            let otp = gateway.service.find(&world.account, known.id).await.unwrap();
            let state = otp
                .as_deref()
                .map(|otp| (otp.attempts, otp.messages as usize, otp.status_at(now) == OtpStatus::Active));
            let active = !known.ended && now < known.expire;
            prop_assert_eq!(state, (!known.deleted).then_some((known.attempts, known.messages, active)), "{:?}", wish);
        }
    }
    Ok(())
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(task)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn a_call_is_done_once_in_memory(steps in proptest::collection::vec(step(), 1..60)) {
        let world = World::new();
        let store = Arc::new(world.memory());
        block_on(model(world, async |world: &World| {
            store.drop_answers(world.now(), 100).await.unwrap();
            Gateway::over(world, Arc::clone(&store)).await
        }, steps))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_call_is_done_once_in_sqlite(steps in proptest::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        block_on(model(World::new(), async |world: &World| {
            let store = Arc::new(world.sqlite(dir.path()));
            store.drop_answers(world.now(), 100).await.unwrap();
            let world = world.clone().with_keyring(store.keyring());
            Gateway::over(&world, store).await
        }, steps))?;
    }
}
