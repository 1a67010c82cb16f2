//! The quota in Redis against the same contract: random lives, replicas that come and go, a cluster, and a store that was
//! emptied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use otpgate::clock::{Clock, UnixMillis};
use otpgate::quota::{Answer, ConnectionKey, Decision, Policy, Quota, Standing};
use otpgate::secret::{MasterKey, SystemEntropy};
use otpgate::store::redis::{Address, Initialised, Options, RedisQuota, RedisStore, initialise};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use super::model::{Checker, Limiter};
use super::{policy, steps};
use crate::support::redis::Redis;

const START: u64 = 1_763_764_437_120;

/// A clock that stands wherever it was put.
struct Told(AtomicU64);

impl Told {
    fn at(now: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now)))
    }

    fn put(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for Told {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// A server, or a cluster, and the key that its store is made with.
struct Ground {
    redis: Redis,
    master: MasterKey,
}

impl Ground {
    fn new(redis: Redis) -> Self {
        Self { redis, master: MasterKey::generate(&SystemEntropy) }
    }

    fn options(&self) -> Options {
        let address = Address::parse(&self.redis.address()).unwrap();
        let mut options = Options::new(address, MasterKey::parse(&self.master.to_hex()).unwrap());
        // What is tested here is what is answered, not how late.
        options.timeout = Duration::from_secs(10);
        options
    }

    /// One replica's link.
    async fn store(&self) -> RedisStore {
        RedisStore::open(self.options()).await.unwrap()
    }

    async fn initialise(&self) -> Initialised {
        initialise(&self.options()).await.unwrap()
    }

    /// The server's clock, in milliseconds.
    fn time(&self) -> u64 {
        let text = self.redis.cli(&["time"]);
        let (seconds, micros) = text.split_once('\n').unwrap();
        seconds.parse::<u64>().unwrap() * 1_000 + micros.parse::<u64>().unwrap() / 1_000
    }

    /// How often scripts were run.
    fn runs(&self) -> usize {
        let text = self.redis.cli(&["info", "commandstats"]);
        let line = text.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or("calls=0,");
        line.split("calls=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
    }
}

/// A runtime on this thread: its answers need no other one to wake up.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The shared quota, driven as a limiter by one client after another.
struct Shared<'a> {
    runtime: &'a Runtime,
    store: &'a RedisStore,
    time: Arc<Told>,
    quota: RedisQuota,
    /// Each life has connections of its own.
    life: u64,
    /// Whether a replica keeps what it knows of refusals, or a new one answers each time.
    remembers: bool,
}

static LIVES: AtomicU64 = AtomicU64::new(0);

impl<'a> Shared<'a> {
    fn new(runtime: &'a Runtime, store: &'a RedisStore, remembers: bool) -> Self {
        let time = Told::at(0);
        let quota = RedisQuota::with_time(store, Arc::clone(&time) as Arc<dyn Clock>);
        let life = LIVES.fetch_add(1, Ordering::Relaxed) << 8;
        Self { runtime, store, time, quota, life, remembers }
    }

    fn another(&self, time: Arc<Told>) -> RedisQuota {
        RedisQuota::with_time(self.store, time)
    }

    /// The replica that answers a call at `now`. One that reads the clock late is another one: no clock goes back.
    fn at<T>(&mut self, now: u64, ask: impl AsyncFnOnce(&RedisQuota) -> T) -> T {
        if self.remembers && now >= self.time.now().0 {
            self.time.put(now);
            self.runtime.block_on(ask(&self.quota))
        } else {
            let other = self.another(Told::at(now));
            self.runtime.block_on(ask(&other))
        }
    }
}

impl Limiter for Shared<'_> {
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision {
        let key = ConnectionKey(key ^ self.life);
        self.at(now, async |quota| quota.check(key, policy).get().await.unwrap())
    }

    fn peek(&mut self, key: u64, policy: &Policy, now: u64) -> Option<Standing> {
        let key = ConnectionKey(key ^ self.life);
        Some(self.at(now, async |quota| quota.peek(key, policy).get().await.unwrap()))
    }

    fn restart(&mut self, now: u64) {
        self.time = Told::at(now);
        self.quota = self.another(Arc::clone(&self.time));
    }
}

/// So many calls in tests/run, all in all; tests/long/quota-redis asks for more.
fn calls() -> u64 {
    std::env::vars()
        .find(|(name, _)| name == "OTPGATE_QUOTA_CALLS")
        .map_or(150_000, |(_, calls)| calls.parse().unwrap())
}

fn is_exact(policies: &[(u32, u32)], remembers: bool, share: u64) {
    let policies: Vec<_> = policies.iter().map(|&(calls, seconds)| policy(calls, seconds)).collect();
    let (ground, runtime) = (Ground::new(Redis::start()), runtime());
    let store = runtime.block_on(ground.store());
    let of = calls() / share;
    match steps::run(|| Shared::new(&runtime, &store, remembers), &policies, of) {
        Ok(made) => {
            println!("{made:?}, {} scripts", ground.runs());
            assert!(made.calls >= of && made.refused >= of / 20, "{made:?}");
        }
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn in_redis_100_calls_in_60_s_are_exact() {
    is_exact(&[(100, 60)], true, 8);
}

#[test]
fn in_redis_100_calls_in_60_s_are_exact_without_a_memory_of_refusals() {
    is_exact(&[(100, 60)], false, 8);
}

#[test]
fn in_redis_1_call_in_1_s_is_exact() {
    is_exact(&[(1, 1)], true, 8);
}

#[test]
fn in_redis_3_calls_in_65_s_are_exact() {
    is_exact(&[(3, 65)], true, 8);
}

#[test]
fn in_redis_7_calls_in_66_s_are_exact() {
    is_exact(&[(7, 66)], true, 8);
}

#[test]
fn in_redis_500_calls_in_an_hour_are_exact() {
    is_exact(&[(500, 3_600)], true, 8);
}

#[test]
fn in_redis_1_000_calls_in_1_s_are_exact() {
    is_exact(&[(1_000, 1)], true, 8);
}

const CHANGING: [(u32, u32); 8] = [(100, 60), (10, 60), (12, 1), (13, 65), (7, 66), (101, 60), (300, 3_600), (1, 5)];

#[test]
fn in_redis_changing_policies_are_exact() {
    is_exact(&CHANGING, true, 8);
}

#[test]
fn in_redis_changing_policies_are_exact_without_a_memory_of_refusals() {
    is_exact(&CHANGING, false, 8);
}

#[test]
fn gaps_at_which_a_stamp_wraps_are_gaps() {
    let (ground, runtime) = (Ground::new(Redis::start()), runtime());
    let store = runtime.block_on(ground.store());
    for (calls, seconds) in [(5, 60), (5, 65), (5, 66), (5, 3_600)] {
        let policy = policy(calls, seconds);
        for gap in
            [0, 1, 59_999, 60_000, 64_999, 65_000, 65_535, 65_536, 131_072, 3_599_999, 3_600_000, 1 << 32, 1 << 40]
        {
            let mut shared = Shared::new(&runtime, &store, false);
            let mut checker = Checker::new(&mut shared);
            // From just before a wrap, so that some of the calls lie on either side.
            let mut now = (START | 0xffff) - 3;
            for pause in [0, 2, 2, gap, 0, 1, 30_000, gap, 0] {
                now += pause;
                checker.peek(7, &policy, now).unwrap();
                for _ in 0..2 {
                    checker.call(7, &policy, now).unwrap();
                }
            }
        }
    }
}

/// Replicas that can be taken away and come back.
async fn hammer(
    ground: &Arc<Ground>,
    keys: &Arc<Vec<ConnectionKey>>,
    policy: Policy,
    time: Option<&Arc<Told>>,
) -> Vec<usize> {
    const REPLICAS: usize = 4;
    const TASKS: usize = 64;
    let admitted: Arc<Vec<_>> = Arc::new(keys.iter().map(|_| AtomicUsize::new(0)).collect());
    let start = Arc::new(Barrier::new(REPLICAS));
    let replica = |number: usize| {
        let (ground, keys, start) = (Arc::clone(ground), Arc::clone(keys), Arc::clone(&start));
        let (admitted, time) = (Arc::clone(&admitted), time.cloned());
        tokio::spawn(async move {
            // The first of them goes away in the middle, with what it knew, and another one takes its place.
            for life in 0..if number == 0 { 3 } else { 1 } {
                let store = ground.store().await;
                let quota = match &time {
                    Some(time) => RedisQuota::with_time(&store, Arc::clone(time) as Arc<dyn Clock>),
                    None => RedisQuota::new(&store),
                };
                if life == 0 {
                    start.wait().await;
                }
                let client = async |client: usize| {
                    for call in 0..2 * usize::from(policy.calls()) * keys.len() / TASKS + 16 {
                        let place = (call + client) % keys.len();
                        if quota.check(keys[place], &policy).get().await.unwrap().is_admitted() {
                            admitted[place].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                };
                futures_util::future::join_all((0..TASKS / REPLICAS).map(client)).await;
            }
        })
    };
    for replica in (0..REPLICAS).map(replica).collect::<Vec<_>>() {
        replica.await.unwrap();
    }
    admitted.iter().map(|count| count.load(Ordering::SeqCst)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_replicas_admit_exactly_the_quota_between_them() {
    let ground = Arc::new(Ground::new(Redis::start()));
    let keys = Arc::new(vec![ConnectionKey(1)]);
    assert_eq!(hammer(&ground, &keys, Policy::DEFAULT, None).await, [100]);
    for (calls, seconds) in [(1, 1), (100, 60), (500, 3_600), (10_000, 1)] {
        let (policy, time) = (policy(calls, seconds), Told::at(START));
        let keys = Arc::new(vec![ConnectionKey(u64::from(calls) + 1_000)]);
        let (quota, none) = (vec![usize::from(policy.calls())], vec![0]);
        assert_eq!(hammer(&ground, &keys, policy, Some(&time)).await, quota, "{policy}");
        time.put(START + policy.period_ms() - 1);
        assert_eq!(hammer(&ground, &keys, policy, Some(&time)).await, none, "{policy}, a millisecond early");
        time.put(START + policy.period_ms());
        assert_eq!(hammer(&ground, &keys, policy, Some(&time)).await, quota, "{policy}, a period later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_replicas_on_a_cluster_admit_exactly_the_quota_between_them() {
    let ground = Arc::new(Ground::new(Redis::cluster(3)));
    // Connections of many places: every master has some.
    let keys = Arc::new((0..24).map(|index| ConnectionKey(0x5eed_0000 + index * 11)).collect::<Vec<_>>());
    assert_eq!(hammer(&ground, &keys, Policy::DEFAULT, None).await, [100; 24]);
    let rings = ground.redis.everywhere(&["keys", "*q*"]);
    assert!(rings.iter().all(|rings| !rings.is_empty()), "{rings:?}");
    assert_eq!(rings.iter().map(|rings| rings.lines().count()).sum::<usize>(), 24);
    let time = Told::at(START);
    let keys = Arc::new(keys.iter().map(|key| ConnectionKey(key.0 << 8 | key.0 & 0xff)).collect::<Vec<_>>());
    assert_eq!(hammer(&ground, &keys, policy(20, 60), Some(&time)).await, [20; 24]);
    time.put(START + 60_000);
    assert_eq!(hammer(&ground, &keys, policy(20, 60), Some(&time)).await, [20; 24]);
}

#[tokio::test]
async fn a_refusal_is_exact_by_the_servers_clock_and_writes_nothing() {
    let ground = Ground::new(Redis::start());
    let store = ground.store().await;
    let (key, twice) = (ConnectionKey(0x0102_0304_0506_0741), policy(2, 2));
    // Each of them is a replica that was just started.
    let check = async || RedisQuota::new(&store).check(key, &twice).get().await.unwrap();
    let before = ground.time();
    assert!(check().await.is_admitted());
    let after = ground.time();
    assert!(check().await.is_admitted());
    let ring = |words: &[&str]| ground.redis.cli(&[words, &["og{41}q\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}A"]].concat());
    let (dump, left) = (ring(&["dump"]), ring(&["pttl"]).parse::<u64>().unwrap());
    assert!((60_000..=65_000).contains(&left), "it lives for 65 s: {left}");
    let asked = ground.time();
    let Decision::Refused { wait_ms } = check().await else { panic!("the third is refused") };
    let (told, wait) = (ground.time(), u64::from(wait_ms));
    assert!((before + 2_000..=after + 2_000 + told - asked).contains(&(told + wait)), "{wait}");
    assert!(asked + wait <= after + 2_000 && told + wait >= before + 2_000, "{wait}");
    assert_eq!(ring(&["dump"]), dump, "a refusal leaves the ring as it was");
    assert!(ring(&["pttl"]).parse::<u64>().unwrap() <= left, "and its life as short");
    let (pause, mut again) = (Duration::from_millis(2), false);
    while !again && ground.time() < before + 2_000 {
        again = check().await.is_admitted();
        assert!(!again || ground.time() >= before + 2_000, "before its time");
        tokio::time::sleep(pause).await;
    }
    while ground.time() < after + 2_000 {
        tokio::time::sleep(pause).await;
    }
    // The last of those may have had the place that became free, and there is no other one before the second call's.
    assert!(again || check().await.is_admitted(), "its time has come");
}

#[tokio::test]
async fn a_refusal_is_said_again_without_the_store() {
    let ground = Ground::new(Redis::start());
    let store = ground.store().await;
    let time = Told::at(START);
    let (key, once, twice) = (ConnectionKey(7), policy(1, 60), policy(2, 60));
    let quota = RedisQuota::with_time(&store, Arc::clone(&time) as Arc<dyn Clock>);
    let at = |now: u64| time.put(START + now);
    assert!(quota.check(key, &once).get().await.unwrap().is_admitted());
    at(10_000);
    let refused = |wait_ms| Decision::Refused { wait_ms };
    assert_eq!(quota.check(key, &once).get().await.unwrap(), refused(50_000));
    let runs = ground.runs();
    at(25_000);
    assert!(matches!(quota.check(key, &once), Answer::Now(said) if said == refused(35_000)));
    let standing = Standing { remaining: 0, resets_in_ms: 35_000 };
    assert!(matches!(quota.peek(key, &once), Answer::Now(said) if said == standing));
    at(59_998);
    assert!(matches!(quota.check(key, &once), Answer::Now(said) if said == refused(2)));
    assert_eq!(ground.runs(), runs, "nobody was asked");
    at(59_999);
    assert!(matches!(quota.check(key, &once), Answer::Later(_)), "the last millisecond is the store's");
    // Another policy asks, and what was known under the first one is known no more.
    assert!(quota.check(key, &twice).get().await.unwrap().is_admitted());
    assert!(matches!(quota.check(key, &once), Answer::Later(_)));
    assert_eq!(quota.check(key, &once).get().await.unwrap(), refused(60_000));
}

#[tokio::test]
async fn a_ring_takes_little_and_goes_by_itself() {
    let ground = Ground::new(Redis::start());
    let store = ground.store().await;
    let quota = RedisQuota::new(&store);
    let bytes = async |key: u64, policy: Policy| {
        for _ in 0..policy.calls() {
            assert!(quota.check(ConnectionKey(key), &policy).get().await.unwrap().is_admitted());
        }
        let name = format!("og{{{key:02x}}}q\0\0\0\0\0\0\0{}", char::from(u8::try_from(key).unwrap()));
        let command = format!("return redis.call('MEMORY','USAGE','{}')", name.replace('\0', "\\0"));
        ground.redis.cli(&["eval", &command, "0"]).parse::<u32>().unwrap()
    };
    let (full, hour) = (bytes(0x41, Policy::DEFAULT).await, bytes(0x42, policy(100, 3_600)).await);
    assert!(full <= 300 && hour <= 520, "{full} and {hour} bytes");
    let ttl = ground.redis.cli(&["eval", "return redis.call('PTTL','og{42}q\\0\\0\\0\\0\\0\\0\\0B')", "0"]);
    assert!((3_500_000..=3_600_000).contains(&ttl.parse::<u32>().unwrap()), "{ttl}");
}

#[tokio::test]
async fn an_emptied_store_admits_nobody_until_its_quotas_are_charged_off() {
    let ground = Ground::new(Redis::start());
    let store = ground.store().await;
    let (called, never, short) = (ConnectionKey(1), ConnectionKey(2), policy(5, 3));
    let quota = RedisQuota::new(&store);
    assert!(quota.check(called, &short).get().await.unwrap().is_admitted());
    ground.redis.cli(&["flushall"]);
    assert!(quota.check(called, &short).get().await.is_err());
    assert!(quota.peek(never, &short).get().await.is_err());
    assert_eq!(ground.initialise().await, Initialised::Made);
    // The link finds it again by itself.
    let mut health = store.health();
    health.wait_for(|health| *health == otpgate::store::redis::Health::Ready).await.unwrap();
    let charged: u64 = ground.redis.cli(&["hget", "og{s}0", "charged_at"]).parse().unwrap();

    let time = Told::at(charged);
    let told = RedisQuota::with_time(&store, Arc::clone(&time) as Arc<dyn Clock>);
    for (key, policy) in (10..).map(ConnectionKey).zip([short, policy(1, 1), Policy::DEFAULT, policy(9, 3_600)]) {
        let period = u32::try_from(policy.period_ms()).unwrap();
        for (after, wait_ms) in [(0, period), (1, period - 1), (period - 1, 1)] {
            time.put(charged + u64::from(after));
            assert_eq!(told.peek(key, &policy).get().await.unwrap(), Standing { remaining: 0, resets_in_ms: wait_ms });
            assert_eq!(told.check(key, &policy).get().await.unwrap(), Decision::Refused { wait_ms });
        }
        time.put(charged + u64::from(period));
        for _ in 0..policy.calls() {
            assert!(told.check(key, &policy).get().await.unwrap().is_admitted(), "{policy}");
        }
        assert_eq!(told.check(key, &policy).get().await.unwrap(), Decision::Refused { wait_ms: period });
        time.put(charged);
    }

    // The same by the server's own clock.
    for key in [called, never] {
        let before = ground.time();
        if let Decision::Refused { wait_ms } = quota.check(key, &short).get().await.unwrap() {
            let (after, end) = (ground.time(), charged + 3_000);
            assert!(before + u64::from(wait_ms) <= end && after + u64::from(wait_ms) >= end, "{wait_ms}");
        } else {
            assert!(ground.time() >= charged + 3_000, "admitted before it was charged off");
        }
    }
    while ground.time() < charged + 3_000 {}
    for key in [called, never] {
        assert!(quota.check(key, &short).get().await.unwrap().is_admitted());
    }
}

#[tokio::test]
async fn a_ring_from_before_quotas_were_charged_is_none() {
    let ground = Ground::new(Redis::start());
    let store = ground.store().await;
    let time = Told::at(START);
    let quota = || RedisQuota::with_time(&store, Arc::clone(&time) as Arc<dyn Clock>);
    let (before, across, five) = (ConnectionKey(1), ConnectionKey(2), policy(5, 60));
    for key in [before, across] {
        assert!(quota().check(key, &five).get().await.unwrap().is_admitted());
    }
    time.put(START + 1_500);
    assert!(quota().check(across, &five).get().await.unwrap().is_admitted());
    // As whoever finds that the store was put back in time has it; the link finds it by itself.
    ground.redis.cli(&["hset", "og{s}0", "charged_at", &(START + 1_000).to_string()]);
    time.put(START + 2_000);
    while quota().peek(before, &five).get().await.unwrap().remaining > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let standing = Standing { remaining: 0, resets_in_ms: 59_000 };
    assert_eq!(quota().peek(before, &five).get().await.unwrap(), standing);
    assert_eq!(quota().check(before, &five).get().await.unwrap(), Decision::Refused { wait_ms: 59_000 });
    assert_eq!(quota().peek(across, &five).get().await.unwrap().remaining, 3, "what was admitted since counts");
    time.put(START + 60_999);
    assert_eq!(quota().check(before, &five).get().await.unwrap(), Decision::Refused { wait_ms: 1 });
    time.put(START + 61_000);
    for _ in 0..5 {
        assert!(quota().check(before, &five).get().await.unwrap().is_admitted());
    }
    assert_eq!(quota().check(before, &five).get().await.unwrap(), Decision::Refused { wait_ms: 60_000 });
}
