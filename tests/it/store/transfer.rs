//! `otpgate store copy`, by the built binary: everything of one store in another, interrupted and gone on with, and nothing of a
//! store that is not whole.

#![allow(clippy::disallowed_methods, reason = "a real process on a real clock")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use otpgate::access::nonce::{NonceKey, Spent};
use otpgate::events::queue::Settlement;
use otpgate::events::subscription::SubscriptionId;
use otpgate::idempotency::ReplayKey;
use otpgate::identity::store::{Attempt, SessionKey};
use otpgate::otp::id::OtpId;
use otpgate::otp::machine::Verdict;
use otpgate::otp::store::Subject;
use otpgate::quota::RingStore as _;
use otpgate::store::sqlite::Mode;
use rusqlite::types::Value;

use super::world::{CODE, MASTER, Store, World, delete};
use super::{answers, events, identity, settings, verifications};
use crate::support::redis::Redis;
use crate::support::{BINARY, Options, Server};

/// What a store was filled with, to be looked for in its copy.
struct Filled {
    fresh: OtpId,
    tried: OtpId,
    nonce: NonceKey,
    session: SessionKey,
    connection: otpgate::access::connection::Connection,
    answer: ReplayKey,
    puzzle: [u8; 16],
    told_later: SubscriptionId,
    verification: otpgate::verification::record::Verification,
}

/// Codes beside the special ones: `OTPGATE_COPY_OTPS`, else so many.
fn codes(usual: u32) -> u32 {
    std::env::var("OTPGATE_COPY_OTPS").map_or(usual, |count| count.parse().unwrap())
}

async fn fill<S: Store>(world: &World, store: &Arc<S>, count: u32) -> Filled {
    let connection = settings::connection(world, "caller");
    store.put_connection(None, connection.clone()).await.unwrap();
    store.put_pair(connection.id, world.keyring.seal(b"pair", b"key")).await.unwrap();
    for chunk in (10..10 + count).collect::<Vec<_>>().chunks(500) {
        join_all(chunk.iter().map(|number| world.send(&**store, *number, 3))).await;
    }
    let told_later = events::subscribe(world, &**store, "https://a/later").await.id;
    let (fresh, tried) = (world.send(&**store, 1, 3).await, world.send(&**store, 2, 3).await);
    assert!(!matches!(world.check(&**store, tried, "999999").await, Some(Verdict::Verified)));
    let (used, gone) = (world.send(&**store, 3, 3).await, world.send(&**store, 4, 3).await);
    assert!(matches!(world.check(&**store, used, CODE).await, Some(Verdict::Verified)));
    delete(&**store, gone).await;
    let first = events::claim(world, &**store).await;
    let ends = world.now() + Duration::from_secs(86_400);
    if let Some(first) = first.get(..1) {
        events::settle(&**store, first, &Settlement::Dead { ends, answer: "refused: näh".to_owned() }).await;
    }
    let nonce = NonceKey::of(&world.keyring, "test", b"a", b"nonce");
    assert_eq!(store.spend(nonce, world.now() + Duration::from_secs(600)).await, Ok(Spent::Fresh));
    let puzzle = identity::random();
    let expires = world.now() + Duration::from_secs(300);
    assert!(store.try_captcha(Attempt { id: puzzle, solved_for: Some([7; 32]), expires }).await.unwrap());
    assert!(store.try_captcha(Attempt { id: identity::random(), solved_for: None, expires }).await.unwrap());
    let session = identity::session(world, 5, Duration::from_secs(300));
    let key = session.key;
    assert!(store.open_session(session, None, world.now()).await.unwrap());
    let answer = answers::kept(world, "k", "one", None);
    answers::keep(store, Subject::Nobody, &answer).await;
    let of_code = answers::kept(world, "l", "two", Some(&world.otp(6, 3)));
    answers::keep(store, Subject::Number(world.key(6)), &of_code).await;
    let verification = verifications::verification(world, 7);
    store.put_verification(None, Some(verification.clone())).await.unwrap();
    Filled { fresh, tried, nonce, session: key, connection, answer: answer.key, puzzle, told_later, verification }
}

/// Everything that `fill` left is there, and works as it did.
async fn holds<S: Store>(world: &World, store: &Arc<S>, filled: &Filled) {
    assert!(matches!(world.check(&**store, filled.fresh, CODE).await, Some(Verdict::Verified)));
    let tried = store.otp(filled.tried).await.unwrap().unwrap();
    assert_eq!(tried.attempts, 1);
    assert_eq!(store.of_number(tried.number_key, 10).await.unwrap().len(), 1);
    let until = world.now() + Duration::from_secs(600);
    assert_eq!(store.spend(filled.nonce, until).await, Ok(Spent::Seen));
    assert!(store.session(filled.session, world.now()).await.unwrap().is_some());
    assert!(store.end_session(filled.session, world.now()).await.unwrap());
    let expires = world.now() + Duration::from_secs(300);
    assert!(!store.try_captcha(Attempt { id: filled.puzzle, solved_for: None, expires }).await.unwrap());
    assert!(store.spend_captcha(filled.puzzle, [7; 32]).await.unwrap());
    assert!(store.answer(filled.answer).await.unwrap().is_some());
    assert_eq!(store.connection(filled.connection.id).await.unwrap().as_ref(), Some(&filled.connection));
    let by_key = store.by_key(&filled.connection.keys[0].name).await.unwrap();
    assert_eq!(by_key.as_deref(), Some(&filled.connection));
    assert!(store.pair(filled.connection.id).await.unwrap().is_some());
    assert!(store.subscription(filled.told_later).await.unwrap().is_some());
    let dead = store.dead_events(Some(filled.told_later), 10).await.unwrap();
    assert_eq!(dead.iter().map(|dead| dead.answer.as_str()).collect::<Vec<_>>(), ["refused: näh"]);
    assert!(store.records_spent(world).await > 0);
    let verification = store.verification(filled.verification.id).await.unwrap();
    assert_eq!(verification.as_ref(), Some(&filled.verification));
}

trait Spending {
    async fn records_spent(&self, world: &World) -> u32;
}

impl<S: Store> Spending for Arc<S> {
    async fn records_spent(&self, world: &World) -> u32 {
        world.records(&**self, Subject::Number(world.key(1))).await.spent
    }
}

fn command(from: &str, to: &str, key: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["store", "copy", "--from", from, "--to", to, "--master-key-file"]).arg(key).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(from: &str, to: &str, key: &Path) -> Output {
    command(from, to, key).output().unwrap()
}

/// Copies; it must succeed. What it printed.
fn copy(from: &str, to: &str, key: &Path) -> String {
    let output = run(from, to, key);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Copies until `progress` says that some codes are there, and kills it then.
fn interrupted(from: &str, to: &str, key: &Path, progress: impl Fn() -> String) {
    let mut child: Child = command(from, to, key).spawn().unwrap();
    loop {
        let text = progress();
        if text.starts_with("codes ") && !text.starts_with("codes  ") {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted: {text}");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "killed");
}

fn refused(from: &str, to: &str, key: &Path) -> (i32, String) {
    let output = run(from, to, key);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn meta(dir: &Path) -> Option<String> {
    let sql = rusqlite::Connection::open(dir.join("otpgate.db")).ok()?;
    sql.query_row("SELECT value FROM meta WHERE key = 'copying'", [], |row| row.get(0)).ok()
}

/// Every row of every table, but for what a copy makes anew: quotas, when an account was made, the order of the puzzles.
fn dump(dir: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let sql = rusqlite::Connection::open(dir.join("otpgate.db")).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('quota_ring', 'account')";
    let names: Vec<String> =
        sql.prepare(tables).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows = |name: &str| {
        let columns = if name == "captcha" { "id, expires, solved_for" } else { "*" };
        let mut statement = sql.prepare(&format!("SELECT {columns} FROM {name} ORDER BY 1, 2")).unwrap();
        let width = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| (0..width).map(|column| row.get(column)).collect();
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    };
    names.into_iter().map(|name| (name.clone(), rows(&name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_interrupted_each_time_everything_is_as_it_was() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let count = codes(50_000);
    let store = Arc::new(world.sqlite(&one));
    let world = world.with_keyring(store.keyring());
    let filled = fill(&world, &store, count).await;
    drop(store);
    let (redis, key) = (Redis::start(), one.join("master.key"));
    let (first, second) = (format!("sqlite:{}", one.display()), format!("sqlite:{}", two.display()));
    interrupted(&first, &redis.address(), &key, || redis.cli(&["hget", "og{s}0", "copying"]));
    let unfinished = RedisOptions::of(&world, &redis, &key);
    assert_eq!(unfinished.refusal().await, "a copy into this store was not finished: run it again");
    let said = copy(&first, &redis.address(), &key);
    let counted = (count + 3).to_string();
    assert!(said.lines().any(|line| line.split_whitespace().take(2).eq(["codes", counted.as_str()])), "{said}");

    interrupted(&redis.address(), &second, &key, || meta(&two).unwrap_or_default());
    let code = Command::new(BINARY).args(["key", "list", "--data-dir"]).arg(&two).env_clear().output().unwrap();
    assert_eq!(code.status.code(), Some(79), "{}", String::from_utf8_lossy(&code.stderr));
    let back = copy(&redis.address(), &second, &key);
    let sums = |said: &str| said.lines().take(13).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(sums(&back), sums(&said));
    let (before, after) = (dump(&one), dump(&two));
    for (table, rows) in &before {
        assert!(*rows == after[table], "{table}: {} rows against {}", rows.len(), after[table].len());
    }

    let store = Arc::new(otpgate::store::redis::RedisStore::open(unfinished.options()).await.unwrap());
    holds(&world, &store, &filled).await;
    std::fs::copy(&key, two.join("master.key")).unwrap();
    let store = Arc::new(world.sqlite(&two));
    let rings = store.take().await.unwrap();
    assert_eq!(rings.len(), 1, "its quota begins fully charged");
    holds(&world, &store, &filled).await;
}

/// How the copy in a Redis is opened.
struct RedisOptions {
    world: World,
    address: String,
    master: String,
}

impl RedisOptions {
    fn of(world: &World, redis: &Redis, key: &Path) -> Self {
        let master = std::fs::read_to_string(key).unwrap().trim().to_owned();
        Self { world: world.clone(), address: redis.address(), master }
    }

    fn options(&self) -> otpgate::store::redis::Options {
        let mut options = self.world.redis_options(&self.address);
        options.master = Arc::new(otpgate::secret::MasterKey::parse(&self.master).unwrap());
        options
    }

    async fn refusal(&self) -> String {
        otpgate::store::redis::RedisStore::open(self.options()).await.unwrap_err().to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cluster_keeps_comes_into_the_embedded_store_and_back() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cluster = Redis::cluster(3);
    let key = folder.path().join("key");
    std::fs::write(&key, MASTER).unwrap();
    let store = Arc::new(world.redis(&cluster).await);
    let world = world.with_keyring(store.keyring());
    let filled = fill(&world, &store, 2_000).await;
    // What is relayed to the queues arrives within moments.
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(store);
    let dir = folder.path().join("data");
    let there = copy(&cluster.address(), &format!("sqlite:{}", dir.display()), &key);
    let other = Redis::cluster(3);
    let back = copy(&format!("sqlite:{}", dir.display()), &other.address(), &key);
    assert_eq!(there.lines().take(13).collect::<Vec<_>>(), back.lines().take(13).collect::<Vec<_>>());
    let store = Arc::new(world.redis(&other).await);
    holds(&world, &store, &filled).await;
    let mut options = world.options(&dir, Mode::Server);
    options.master_key_file = Some(key);
    let store = Arc::new(otpgate::store::sqlite::SqliteStore::open(options).unwrap());
    holds(&world, &store, &filled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_would_lose_something_is_refused() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let (first, second) = (format!("sqlite:{}", one.display()), format!("sqlite:{}", two.display()));
    let nowhere = folder.path().join("nokey");
    std::fs::write(&nowhere, MASTER).unwrap();
    let (code, said) = refused(&first, &second, &nowhere);
    assert!(code == 65 && said.contains("there is no store here"), "{code} {said}");

    let store = Arc::new(world.sqlite(&one));
    let world = world.with_keyring(store.keyring());
    fill(&world, &store, 20).await;
    let key = one.join("master.key");
    let redis = Redis::start();
    let (code, said) = refused(&first, &redis.address(), &key);
    assert!(code == 75 && said.contains("another otpgate serves from it"), "{code} {said}");
    drop(store);
    let (code, said) = refused(&first, &redis.address(), &nowhere);
    assert!(code == 77 && said.lines().count() == 1, "{code} {said}");
    assert_eq!(redis.cli(&["dbsize"]), "0", "nothing was written");

    // One that only its first start has written to is nobody's.
    drop(World::new().sqlite(&two));
    copy(&first, &second, &key);
    let (code, said) = refused(&first, &second, &key);
    assert!(code == 65 && said.contains("it holds data already"), "{code} {said}");

    // Somebody wrote to the source behind the part that was copied.
    copy(&first, &redis.address(), &key);
    let third = folder.path().join("three");
    let to = format!("sqlite:{}", third.display());
    let begun = format!("numbers  {}", redis.address());
    copy(&redis.address(), &to, &key);
    let sql = rusqlite::Connection::open(third.join("otpgate.db")).unwrap();
    sql.execute("INSERT INTO meta (key, value) VALUES ('copying', ?1)", [begun]).unwrap();
    sql.execute("DELETE FROM otp WHERE id = (SELECT max(id) FROM otp)", []).unwrap();
    drop(sql);
    let (code, said) = refused(&redis.address(), &to, &key);
    assert!(code == 74 && said.contains("its codes are not those of the source (22 against 23)"), "{code} {said}");
    std::fs::copy(&key, third.join("master.key")).unwrap();
    let (status, log) = Server::try_start(&third, &Options::default()).err().unwrap();
    assert!(status.code() == Some(79) && log.contains("was not finished"), "{status} {log}");
    let (code, said) = refused(&first, &to, &key);
    assert!(code == 65 && said.contains("a copy from redis://"), "{code} {said}");
    let (code, said) = refused(&to, &first, &key);
    assert!(code == 79 && said.contains("was not finished"), "{code} {said}");
}
