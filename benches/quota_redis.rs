//! What the shared quota costs a Redis: server time a call, as the server counts it (`INFO commandstats`), beside the usual
//! log in a sorted set that gives the same answers, in alternating slices of the same run; and bytes a connection. It fails
//! above 0.55 of the sorted set's time and above 300 bytes. Only the server's time is read, so that the profile of this
//! program does not matter: `cargo bench --bench quota_redis`, or without a long build
//! `cargo bench --profile dev --bench quota_redis`. It needs `redis-server`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints, computes with rounded figures, and ends by panicking"
)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use otpgate::quota::{ConnectionKey, Policy, Quota as _};
use otpgate::secret::{MasterKey, SystemEntropy};
use otpgate::store::redis::{Address, Options, RedisQuota, RedisStore};
use redis::aio::MultiplexedConnection;

const MOST_TIME: f64 = 0.55;
const MOST_BYTES: u64 = 300;
/// Alternating slices of each sort.
const ROUNDS: u64 = 400;
/// Connections in a slice that fills them.
const FEW: u64 = 2;
/// Connections in a slice that calls each once.
const MANY: u64 = 100;

/// The log that is usually written: a member for each call, by its time.
const SORTED_SET: &str = "
local t=redis.call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local calls,period=tonumber(ARGV[1]),tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE',KEYS[1],0,now-period)
local count=redis.call('ZCARD',KEYS[1])
if count<calls then
 redis.call('ZADD',KEYS[1],now,t[1]..t[2]..'-'..count)
 redis.call('PEXPIRE',KEYS[1],period)
 local oldest=redis.call('ZRANGE',KEYS[1],0,0,'WITHSCORES')
 return {1,calls-count-1,oldest[2]+period-now}
end
local oldest=redis.call('ZRANGE',KEYS[1],0,0,'WITHSCORES')
return {0,0,oldest[2]+period-now}";

/// A server that writes nothing to disk, gone with the bench.
struct Server(Child, u16);

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = command.stdout(Stdio::null()).spawn().unwrap_or_else(|error| panic!("redis-server: {error}"));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both logs on one server.
struct Rivals {
    store: RedisStore,
    connection: MultiplexedConnection,
    sorted_set: String,
}

impl Rivals {
    async fn new(port: u16) -> Self {
        let address = format!("redis://127.0.0.1:{port}");
        let mut options = Options::new(Address::parse(&address).unwrap(), MasterKey::generate(&SystemEntropy));
        options.timeout = Duration::from_secs(10);
        let store = RedisStore::open(options).await.unwrap();
        let client = redis::Client::open(address).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let sorted_set = redis::cmd("SCRIPT").arg("LOAD").arg(SORTED_SET).query_async(&mut connection).await.unwrap();
        Self { store, connection, sorted_set }
    }

    /// Calls each of `keys` once, all at the same time; how many were admitted. The quota is a new replica's, so that each
    /// call asks the server.
    async fn ours(&self, keys: &[u64], policy: &Policy) -> usize {
        let quota = RedisQuota::new(&self.store);
        let check = async |key: u64| quota.check(ConnectionKey(key), policy).get().await.unwrap().is_admitted();
        join_all(keys.iter().map(|&key| check(key))).await.into_iter().filter(|admitted| *admitted).count()
    }

    /// The same by the sorted set.
    async fn theirs(&self, keys: &[u64], policy: &Policy) -> usize {
        let check = async |key: u64| {
            let mut command = redis::cmd("EVALSHA");
            command.arg(&self.sorted_set).arg(1).arg(sorted_set_key(key)).arg(policy.calls()).arg(policy.period_ms());
            let [admitted, ..]: [u64; 3] = command.query_async(&mut self.connection.clone()).await.unwrap();
            admitted == 1
        };
        join_all(keys.iter().map(|&key| check(key))).await.into_iter().filter(|admitted| *admitted).count()
    }

    async fn ask<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.connection.clone()).await.unwrap()
    }

    /// Microseconds of the server a script, since the last time.
    async fn micros(&self) -> f64 {
        let text: String = self.ask(&[b"INFO", b"commandstats"]).await;
        let line = text.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        let figure =
            |name: &str| -> f64 { line.split(name).nth(1).unwrap().split(',').next().unwrap().parse().unwrap() };
        let spent = figure("usec=") / figure("calls=");
        self.reset().await;
        spent
    }

    /// Begins to count anew.
    async fn reset(&self) {
        let () = self.ask(&[b"CONFIG", b"RESETSTAT"]).await;
    }
}

fn sorted_set_key(key: u64) -> Vec<u8> {
    [b"z{00}q", key.to_be_bytes().as_slice()].concat()
}

/// The times of one sort of call, ours and theirs.
#[derive(Default)]
struct Times(Vec<f64>, Vec<f64>);

impl Times {
    /// Prints them and returns the ratio of the least: what disturbs a slice only ever adds to it.
    fn tell(mut self, name: &str) -> f64 {
        let mut row = Vec::new();
        for times in [&mut self.0, &mut self.1] {
            times.sort_by(f64::total_cmp);
            row.push([times[0], times[times.len() / 4], times[times.len() / 2]]);
        }
        let ([least, quarter, median], [their_least, their_quarter, their_median]) = (row[0], row[1]);
        println!(
            "{name:<34} {least:>6.2} {quarter:>6.2} {median:>6.2}   {their_least:>6.2} {their_quarter:>6.2} \
             {their_median:>6.2}   {:>5.2} {:>5.2} {:>5.2}",
            least / their_least,
            quarter / their_quarter,
            median / their_median
        );
        // Not the least: a clock that is set by a hair makes it too small.
        quarter / their_quarter
    }
}

/// Fills connections, and then calls them in vain.
async fn fill_and_refuse(rivals: &Rivals) -> [Times; 3] {
    let mut times = [Times::default(), Times::default(), Times::default()];
    let policy = Policy::DEFAULT;
    for round in 0..ROUNDS {
        let keys: Vec<u64> = (0..FEW).map(|key| round << 16 | key << 8).collect();
        // Fifty calls each, from empty to half full, from there to full, and beyond.
        let slice: Vec<u64> = (0..50).flat_map(|_| keys.iter().copied()).collect();
        for (part, times) in times.iter_mut().enumerate() {
            let admitted = if part == 2 { 0 } else { slice.len() };
            rivals.reset().await;
            assert_eq!(rivals.ours(&slice, &policy).await, admitted);
            times.0.push(rivals.micros().await);
            assert_eq!(rivals.theirs(&slice, &policy).await, admitted);
            times.1.push(rivals.micros().await);
        }
    }
    times
}

/// Connections that are called as fast as they may be, for ever: with each call an old one leaves.
async fn stream(rivals: &Rivals) -> Times {
    let mut times = Times::default();
    let policy = Policy::new(100, 1).unwrap();
    let keys: Vec<u64> = (0..MANY).map(|key| 1 << 40 | key << 8).collect();
    let mut tick = tokio::time::interval(Duration::from_millis(11));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0..ROUNDS + 100 {
        tick.tick().await;
        let mut spent = [0.0; 2];
        // Whoever comes first after the pause finds cold caches: by turns, long ones, so that the pauses between calls stay alike.
        let first = round / 50 % 2;
        for turn in [first, 1 - first] {
            rivals.reset().await;
            let admitted =
                if turn == 0 { rivals.ours(&keys, &policy).await } else { rivals.theirs(&keys, &policy).await };
            assert_eq!(admitted, keys.len(), "a slice is admitted as a whole");
            spent[usize::try_from(turn).unwrap()] = rivals.micros().await;
        }
        // The window is full after a second.
        if round >= 100 {
            times.0.push(spent[0]);
            times.1.push(spent[1]);
        }
    }
    times
}

async fn bytes(rivals: &Rivals) -> (u64, u64) {
    let key = (1 << 48 | 7_u64) << 8;
    for _ in 0..100 {
        rivals.ours(&[key], &Policy::DEFAULT).await;
        rivals.theirs(&[key], &Policy::DEFAULT).await;
    }
    let name = [b"og{00}q", key.to_be_bytes().as_slice()].concat();
    (rivals.ask(&[b"MEMORY", b"USAGE", &name]).await, rivals.ask(&[b"MEMORY", b"USAGE", &sorted_set_key(key)]).await)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    runtime.block_on(async {
        let rivals = Rivals::new(server.1).await;
        // Both scripts are known before anything is counted.
        let (ours, theirs) = bytes(&rivals).await;
        println!("us of the server a call: least, lower quartile and median of {ROUNDS} slices");
        println!("{:<34} {:<20}   {:<20}   {:<17}", "", "this quota", "sorted set", "ratio");
        let [first, second, refused] = fill_and_refuse(&rivals).await;
        let mut ratios = vec![first.tell("admitted, 0 to 50 held"), second.tell("admitted, 50 to 100 held")];
        ratios.push(refused.tell("refused"));
        ratios.push(stream(&rivals).await.tell("admitted, an old one leaves"));
        println!("bytes of a full connection: {ours}, sorted set {theirs}");
        assert!(ratios.iter().all(|ratio| *ratio <= MOST_TIME), "{ratios:?}, at most {MOST_TIME}");
        assert!(ours <= MOST_BYTES, "{ours} bytes, at most {MOST_BYTES}");
    });
    drop(server);
}
