//! The dispatcher over days, in a clock that runs as fast as nothing happens: when it tries again, and when it gives up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otpgate::access::connection::{Connection, NewConnection, QuotaSetting};
use otpgate::access::scope::Scopes;
use otpgate::access::store::ConnectionStore as _;
use otpgate::clock::{Clock, UnixMillis};
use otpgate::events::backoff::Backoff;
use otpgate::events::dispatch::{
    CallbackFault, DEAD_LETTER_LIFE, DispatchObserver, Dispatcher, Letter, Outcome, Post, Posted, Wording,
};
use otpgate::events::inside::Inside;
use otpgate::events::queue::{Notice, Queued};
use otpgate::events::store::{EventQueue as _, SubscriptionStore as _};
use otpgate::events::subscription::{Format, Subscription, SubscriptionId};
use otpgate::otp::id::AccountId;
use otpgate::otp::news::EventNames;
use otpgate::otp::store::{Later, StoreError};
use otpgate::secret::{Keyring, SystemEntropy};
use otpgate::store::memory::MemoryStore;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::store::world::{START, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Those of the configuration, in seconds.
const WAITS: [u64; 9] = [5, 30, 120, 600, 3_600, 21_600, 43_200, 86_400, 86_400];

/// The runtime's time, which leaps to the next timer where nothing else is to be done.
struct Leaping(Instant);

impl Clock for Leaping {
    fn now(&self) -> UnixMillis {
        START + self.0.elapsed()
    }
}

/// A receiver that answers by its script, and notes when it was called.
struct Script {
    clock: Arc<dyn Clock>,
    answer: Box<dyn Fn(usize) -> Posted + Send + Sync>,
    calls: Mutex<Vec<(UnixMillis, String, String)>>,
}

impl Script {
    fn times(&self) -> Vec<Duration> {
        self.calls.lock().unwrap().iter().map(|(at, ..)| at.since(START)).collect()
    }
}

impl Post for Script {
    fn judge<'a>(&'a self, _: &'a str) -> Later<'a, Result<(), CallbackFault>> {
        Box::pin(async { Ok(()) })
    }

    fn post(&self, letter: Letter) -> Later<'_, Posted> {
        let mut calls = self.calls.lock().unwrap();
        let answer = (self.answer)(calls.len());
        calls.push((self.clock.now(), letter.id, letter.url.expose().to_owned()));
        Box::pin(async move { answer })
    }

    fn ask(&self, _: Letter) -> Later<'_, Result<Vec<u8>, &'static str>> {
        Box::pin(std::future::ready(Err("nobody is asked here")))
    }
}

struct Plain;

impl Wording for Plain {
    fn word(&self, event: &Queued) -> Vec<u8> {
        event.notice.name.as_str().into()
    }
}

struct Deaf;

impl Inside for Deaf {
    fn hear<'a>(&'a self, notice: &'a Notice) -> Later<'a, Result<(), StoreError>> {
        panic!("nothing here is told inside: {notice:?}");
    }
}

#[derive(Default)]
struct Outcomes(Mutex<Vec<Outcome>>);

impl DispatchObserver for Outcomes {
    fn dispatched(&self, outcome: Outcome) {
        self.0.lock().unwrap().push(outcome);
    }
}

struct Run {
    world: World,
    store: Arc<MemoryStore>,
    script: Arc<Script>,
    outcomes: Arc<Outcomes>,
    subscription: Subscription,
    stop: watch::Sender<bool>,
}

/// A dispatcher at work, and one subscription.
async fn run(retention: Duration, answer: impl Fn(usize) -> Posted + Send + Sync + 'static) -> Run {
    let world = World::new();
    let clock: Arc<dyn Clock> = Arc::new(Leaping(Instant::now()));
    let store = Arc::new(MemoryStore::new(retention, Arc::clone(&clock)));
    let script = Arc::new(Script { clock: Arc::clone(&clock), answer: Box::new(answer), calls: Mutex::default() });
    let outcomes = Arc::new(Outcomes::default());
    let wish = NewConnection {
        account: world.account.clone(),
        name: "flow".to_owned(),
        quota: QuotaSetting::default(),
        scopes: Scopes::default(),
        allow_simple: false,
        allow_client_id: false,
    };
    let (connection, _) = Connection::create(wish, &world.keyring, &SystemEntropy, START);
    store.put_connection(None, connection.clone()).await.unwrap();
    let subscription = subscription(&world.keyring, &world.account, &connection);
    store.put_subscription(None, subscription.clone()).await.unwrap();
    let dispatcher = Arc::new(Dispatcher {
        queue: Arc::clone(&store) as _,
        subscriptions: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        keyring: Arc::clone(&world.keyring),
        clock,
        entropy: Arc::new(SystemEntropy),
        backoff: Backoff::new(WAITS.map(Duration::from_secs).to_vec()),
        wording: Arc::new(Plain),
        post: Arc::clone(&script) as _,
        inside: Arc::new(Deaf),
        observer: Arc::clone(&outcomes) as _,
    });
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(dispatcher.run(stopped));
    Run { world, store, script, outcomes, subscription, stop }
}

fn subscription(keyring: &Keyring, account: &AccountId, connection: &Connection) -> Subscription {
    let (id, url) = (SubscriptionId::generate(&SystemEntropy), "https://example.com/?sig=1");
    let mut made = Subscription {
        id,
        account: account.clone(),
        connection: connection.id,
        events: EventNames::of_otps(),
        application: None,
        created: START,
        callback: Subscription::callback_of(keyring, account, connection.id, url),
        url: Subscription::seal_url(id, keyring, url),
        secrets: Vec::new(),
        gone: None,
        format: Format::Standard,
    };
    made.rotate(Duration::ZERO, keyring, &SystemEntropy, START);
    made
}

impl Run {
    /// One event of an OTP of its own.
    async fn happens(&self) {
        let id = self.world.send(&*self.store, 1, 3).await;
        self.world.check(&*self.store, id, "wrong").await;
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

const fn answered(status: u16) -> Posted {
    Posted::Answered { status, retry_after: None }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_is_tried_for_days_and_then_no_more() {
    let run = run(30 * DAY, |_| answered(500)).await;
    run.happens().await;
    run.pass(10 * DAY).await;
    let times = run.script.times();
    assert_eq!(times.len(), WAITS.len() + 1);
    for (two, wait) in times.windows(2).zip(WAITS.map(Duration::from_secs)) {
        let gap = two[1].saturating_sub(two[0]);
        assert!(gap >= wait && gap <= wait * 6 / 5 + Duration::from_millis(10), "{gap:?} for {wait:?}");
    }
    let ids: std::collections::BTreeSet<_> =
        run.script.calls.lock().unwrap().iter().map(|call| call.1.clone()).collect();
    assert_eq!(ids.len(), 1, "one event, one id");
    assert_eq!(run.outcomes.0.lock().unwrap().last(), Some(&Outcome::Dead));
    let dead = run.store.dead_events(None, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].tries, dead[0].answer.as_str()), (1, 10, "answered 500"));
    assert!(dead[0].ends.since(START) <= DEAD_LETTER_LIFE && dead[0].ends.since(START) > 29 * DAY);
    run.pass(21 * DAY).await;
    assert!(run.store.dead_events(None, 10).await.unwrap().is_empty(), "its number may be kept no longer");
    run.stop.send_replace(true);
}

#[tokio::test(start_paused = true)]
async fn no_event_outlives_the_retention_of_its_number() {
    let run = run(2 * DAY, |_| Posted::NoAnswer("it takes no connections")).await;
    run.happens().await;
    run.pass(DAY).await;
    // Either a next try is due before the end, or it is given up already.
    assert_eq!(run.store.queued_events() + run.store.dead_events(None, 9).await.unwrap().len(), 1);
    run.pass(DAY + Duration::from_secs(2 * 60 * 60)).await;
    assert_eq!(run.store.queued_events(), 0);
    assert!(run.store.dead_events(None, 10).await.unwrap().is_empty());
    assert!(run.script.times().iter().all(|at| *at < 2 * DAY));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_missing_for_a_day_is_over() {
    let run = run(30 * DAY, |_| answered(404)).await;
    run.happens().await;
    run.pass(DAY).await;
    assert!(run.script.times().len() >= 7, "{:?}", run.script.times());
    assert!(run.store.subscription(run.subscription.id).await.unwrap().is_some(), "not within a day");
    run.pass(2 * DAY).await;
    assert!(run.store.subscription(run.subscription.id).await.unwrap().is_none());
    assert_eq!((run.store.queued_events(), run.store.dead_events(None, 9).await.unwrap().len()), (0, 0));
    assert_eq!(run.outcomes.0.lock().unwrap().last(), Some(&Outcome::Dropped));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_answers_in_between_is_not_over() {
    // Missing for a while, broken once, then missing again; in the end it takes everything.
    let run = run(30 * DAY, |call| {
        answered(if call == 6 {
            500
        } else if call >= 8 {
            200
        } else {
            404
        })
    })
    .await;
    run.happens().await;
    run.pass(10 * DAY).await;
    assert_eq!(run.script.times().len(), 9);
    let kept = run.store.subscription(run.subscription.id).await.unwrap().unwrap();
    assert_eq!((kept.gone, run.store.queued_events()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn gone_twice_in_a_row_is_over_and_once_is_not() {
    let run = run(30 * DAY, |call| answered([410, 200, 410, 410][call.min(3)])).await;
    run.happens().await;
    run.pass(DAY).await;
    assert_eq!(run.script.times().len(), 2);
    run.happens().await;
    run.pass(DAY).await;
    assert_eq!(run.script.times().len(), 4);
    assert!(run.store.subscription(run.subscription.id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_time_gets_it() {
    let asked = Duration::from_secs(900);
    let run = run(30 * DAY, move |call| match call {
        0 => Posted::Answered { status: 429, retry_after: Some(asked) },
        _ => answered(202),
    })
    .await;
    run.happens().await;
    run.pass(DAY).await;
    let times = run.script.times();
    let [first, second] = times.as_slice() else { panic!("{times:?}") };
    assert!(*second - *first >= asked && *second - *first < asked + Duration::from_secs(1), "{times:?}");
    assert_eq!(run.store.queued_events(), 0);
}
