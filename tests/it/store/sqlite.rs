//! What only the embedded store can show: durability, grouping, the command line beside it, full and failing disks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use otpgate::access::store::ConnectionStore;
use otpgate::otp::machine::Verdict;
use otpgate::otp::record::{OtpStatus, Recipient};
use otpgate::otp::store::{
    ApplicationStore, Changes, Eraser as _, OtpStore as _, Outbox as _, Records, StoreError, Subject, Touch, change,
};
use otpgate::store::sqlite::{Mode, SqliteStore};
use otpgate::verification::record::Verification;
use otpgate::verification::store::VerificationStore as _;

use super::settings::connection;
use super::verifications::verification;
use super::world::{CODE, World, delete, e164};

fn open(dir: &Path) -> (World, Arc<SqliteStore>) {
    let world = World::new();
    let store = Arc::new(world.sqlite(dir));
    (world.with_keyring(store.keyring()), store)
}

/// How long is waited for what has to happen by itself: what counts is that nobody else does it, not how soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what has to become true by itself.
async fn by_itself(what: &str, mut holds: impl FnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not by itself: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_is_remembered_until_it_is_written_and_read_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let made = verification(&world, 1);
    store.put_verification(None, Some(made.clone())).await.unwrap();
    assert_eq!(store.recall_verification(made.id), None, "nobody has read it");
    assert_eq!(store.verification(made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.recall_verification(made.id).as_ref(), Some(&made));
    let after = Verification { sends: 2, ..made.clone() };
    store.put_verification(Some(made), Some(after.clone())).await.unwrap();
    assert_eq!(store.recall_verification(after.id), None, "what was read is old");
    assert_eq!(store.read_verification(after.id).await.unwrap().as_ref(), Some(&after));
    // Whatever is remembered, a read reads.
    let beside = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
    beside.busy_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(beside.execute("DELETE FROM verification", []).unwrap(), 1);
    assert_eq!(store.read_verification(after.id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn reopening_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let (first, second) = (world.send(&*store, 1, 3).await, world.send(&*store, 1, 3).await);
    assert_eq!(world.check(&*store, first, CODE).await, Some(Verdict::Verified));
    assert_eq!(world.check(&*store, second, "1").await, Some(Verdict::Wrong));
    let flow = connection(&world, "flow");
    store.put_connection(None, flow.clone()).await.unwrap();
    store.save_rings(vec![(flow.id.get(), vec![1, 2, 3]), (7, vec![])]).await.unwrap();
    assert_eq!(store.claim(world.now(), 10).await.unwrap().len(), 2);
    let before = (store.otp(first).await.unwrap(), store.otp(second).await.unwrap());
    let records = world.records(&*store, Subject::Number(world.key(1))).await;
    drop(store);

    let store = world.sqlite(dir.path());
    assert_eq!(store.recall(first), None, "not in memory yet");
    assert_eq!((store.otp(first).await.unwrap(), store.otp(second).await.unwrap()), before);
    assert_eq!(store.recall(first), before.0, "a read remembers");
    let again = world.records(&store, Subject::Number(world.key(1))).await;
    assert_eq!((again.number, again.spent), (records.number, records.spent));
    assert_eq!(store.connections().await.unwrap(), std::slice::from_ref(&flow));
    assert_eq!(store.claim(world.now(), 10).await.unwrap().len(), 2, "a claim ends with its process");
    let mut rings = store.take_rings().await.unwrap();
    rings.sort();
    let mut saved = vec![(7, vec![]), (flow.id.get(), vec![1, 2, 3])];
    saved.sort();
    assert_eq!(rings, saved);
    assert_eq!(store.take_rings().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let before = store.stats();
    let sends: Vec<_> = (0..500)
        .map(|number| {
            let (world, store) = (world.clone(), Arc::clone(&store));
            tokio::spawn(async move { world.send(&*store, number, 3).await })
        })
        .collect();
    for send in sends {
        send.await.unwrap();
    }
    let after = store.stats();
    assert_eq!((after.jobs - before.jobs, after.queued), (500, 0));
    assert!(after.commits - before.commits < 250, "{after:?}");
    assert!(after.last_commit > Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transition_that_panics_harms_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let id = world.send(&*store, 1, 3).await;
    let touch = Touch { subject: Subject::Otp(id), spend: None, answer: None };
    let bad = |_: &Records| -> (Changes, ()) { panic!("a bug in a rule") };
    assert_eq!(change(&*store, touch, bad).await, Err(StoreError::Unavailable));
    assert_eq!(world.check(&*store, id, CODE).await, Some(Verdict::Verified));
    assert!(!store.has_failed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_writes_beside_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (world, server) = open(dir.path());
    let (kept, erased) = (world.send(&*server, 1, 3).await, world.send(&*server, 2, 3).await);
    let generation = ConnectionStore::generation(&*server);

    let beside = SqliteStore::open(world.options(dir.path(), Mode::Beside)).unwrap();
    let flow = connection(&world, "flow");
    beside.put_connection(None, flow.clone()).await.unwrap();
    assert_eq!(
        server.by_key(&flow.keys[0].name).await.unwrap().as_ref().map(|found| found.id),
        Some(flow.id),
        "works at once"
    );
    by_itself("the generation", || ConnectionStore::generation(&*server) > generation).await;
    assert_eq!(ApplicationStore::generation(&*server), ConnectionStore::generation(&*server));

    assert!(server.otp(kept).await.unwrap().is_some() && server.otp(erased).await.unwrap().is_some());
    assert_eq!(
        (beside.backlog(), beside.claim(world.now(), 10).await.unwrap()),
        (0, vec![]),
        "messages are the server's"
    );
    let done = beside.erase(world.key(2)).await.unwrap();
    assert_eq!((done.deleted, done.anonymised), (1, 0));
    assert!(beside.purge(&e164(2)).await.unwrap());
    assert!(!beside.purge(&e164(1)).await.unwrap(), "a live record has it");
    by_itself("the cached OTP", || server.recall(erased).is_none()).await;
    by_itself("the message", || server.backlog() == 1).await;
    assert_eq!((server.otp(erased).await.unwrap(), server.recall(erased)), (None, None));
    assert_eq!(world.check(&*server, erased, CODE).await, None);
    assert_eq!(world.check(&*server, kept, CODE).await, Some(Verdict::Verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_sees_what_the_command_line_wrote_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (world, server) = open(dir.path());
    let beside = SqliteStore::open(world.options(dir.path(), Mode::Beside)).unwrap();
    for _ in 0..20 {
        let id = world.send(&*server, 1, 3).await;
        assert!(server.recall(id).is_some());
        delete(&beside, id).await;
        // No poll in between: the transaction itself looks.
        assert_eq!(world.check(&*server, id, CODE).await, None);
        assert_eq!(server.otp(id).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let mut options = world.options(dir.path(), Mode::Server);
    options.max_bytes = Some(400 * 1_024);
    let store = SqliteStore::open(options).unwrap();
    let world = world.with_keyring(store.keyring());
    let mut sent = Vec::new();
    let refused = loop {
        match world.try_send(&store, world.otp(1, 3)).await {
            Ok(id) => sent.push(id),
            Err(refusal) => break refusal,
        }
        assert!(sent.len() < 10_000, "the bound holds");
    };
    assert_eq!(refused, StoreError::Full);
    assert!(!store.has_failed() && store.stats().refused_full > 0);
    // What was acknowledged is there, what was refused left no trace, and a verify that finds no room is no verdict.
    let records = world.records(&store, Subject::Number(world.key(1))).await;
    assert_eq!((records.number.sends.len(), store.backlog()), (sent.len(), sent.len()));
    assert_eq!(store.of_number(world.key(1), 10_000).await.unwrap().len(), sent.len());
    match world.try_check(&store, sent[0], CODE).await {
        Ok(verdict) => assert_eq!(verdict, Some(Verdict::Verified)),
        Err(refusal) => {
            assert_eq!(refusal, StoreError::Full);
            assert_eq!(store.otp(sent[0]).await.unwrap().unwrap().status, OtpStatus::Active);
        }
    }
    for id in sent.drain(..60) {
        delete(&store, id).await;
    }
    for _ in 0..20 {
        world.send(&store, 2, 3).await;
    }
    assert!(!store.has_failed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let id = world.send(&*store, 1, 3).await;
    let failed = tokio::spawn(store.failed());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!failed.is_finished() && !store.has_failed());
    // The table goes: a write that fails for a reason that is neither a full disk nor a lock.
    let sql = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
    sql.execute_batch("DROP TABLE number").unwrap();
    assert_eq!(world.try_send(&*store, world.otp(1, 3)).await, Err(StoreError::Failed));
    tokio::time::timeout(PATIENCE, failed).await.unwrap().unwrap();
    // Even if it would work again: nothing is accepted any more, and nothing is handed out.
    sql.execute_batch("CREATE TABLE number (key BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID").unwrap();
    assert_eq!(world.try_send(&*store, world.otp(2, 3)).await, Err(StoreError::Failed));
    assert_eq!(world.try_check(&*store, id, CODE).await, Err(StoreError::Failed));
    assert_eq!(store.claim(world.now(), 10).await, Err(StoreError::Failed));
    assert_eq!(store.prune(world.now()).await, Err(StoreError::Failed));
    assert!(store.otp(id).await.unwrap().is_some(), "reading goes on");
    drop(store);
    let store = world.sqlite(dir.path());
    assert_eq!(world.check(&store, id, CODE).await, Some(Verdict::Verified), "the next start recovers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_too_long_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let sql = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
    sql.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sends: Vec<_> = (0..10)
        .map(|number| {
            let (world, store) = (world.clone(), Arc::clone(&store));
            tokio::spawn(async move { world.try_send(&*store, world.otp(number, 3)).await })
        })
        .collect();
    let mut refused = 0;
    for send in sends {
        let outcome = tokio::time::timeout(Duration::from_secs(30), send).await.unwrap().unwrap();
        refused += usize::from(outcome == Err(StoreError::Unavailable));
    }
    assert_eq!(refused, 10);
    sql.execute_batch("ROLLBACK").unwrap();
    world.send(&*store, 1, 3).await;
    assert!(!store.has_failed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_cannot_be_read_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let (bad, good) = (world.send(&*store, 1, 3).await, world.send(&*store, 2, 3).await);
    let sql = rusqlite::Connection::open(dir.path().join("otpgate.db")).unwrap();
    sql.execute("UPDATE otp SET body = X'7b' WHERE id = ?1", [bad.bytes()]).unwrap();
    assert_eq!(world.try_check(&*store, bad, CODE).await, Err(StoreError::Unavailable));
    assert_eq!(store.otp(bad).await, Err(StoreError::Unavailable));
    assert_eq!(world.check(&*store, good, CODE).await, Some(Verdict::Verified));
    assert!(!store.has_failed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_copied_and_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let log = dir.path().join("otpgate.db-wal");
    for _ in 0..40 {
        let sends: Vec<_> = (0..250)
            .map(|number| {
                let (world, store) = (world.clone(), Arc::clone(&store));
                tokio::spawn(async move { world.send(&*store, number, 3).await })
            })
            .collect();
        for send in sends {
            send.await.unwrap();
        }
        world.clock.advance(Duration::from_secs(1));
    }
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes < 40 * 1_024 * 1_024, "the log grew to {bytes} bytes");
    by_itself("an idle writer copies the rest", || store.stats().log_pages == 0).await;
    drop(store);
    assert_eq!(std::fs::metadata(&log).map_or(0, |log| log.len()), 0, "a clean end leaves nothing in it");
}

fn holds(dir: &Path, needle: &str) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let hit = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    files.filter(hit).map(|path| path.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_number_is_nowhere_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let mut victims = Vec::new();
    // Rows that grow and shrink around the number's own, so that pages are split and rebuilt.
    for round in 0..30 {
        let victim = world.send(&*store, 777, 20).await;
        victims.push(victim);
        let others: Vec<_> = (0..40)
            .map(|number| {
                let (world, store) = (world.clone(), Arc::clone(&store));
                tokio::spawn(async move {
                    let id = world.send(&*store, number, 20).await;
                    for _ in 0..number % 7 {
                        world.check(&*store, id, "1").await;
                    }
                    if number % 3 == 0 {
                        delete(&*store, id).await;
                    }
                })
            })
            .collect();
        for other in others {
            other.await.unwrap();
        }
        for _ in 0..round % 5 {
            world.check(&*store, victim, "1").await;
        }
        if round % 2 == 0 {
            world.check(&*store, victim, CODE).await;
        }
        world.clock.advance(Duration::from_secs(1));
    }
    let number = e164(777);
    assert!(!holds(dir.path(), number.as_str()).is_empty());
    let final_ones = victims.len() - {
        let mut active = 0;
        for id in &victims {
            active += usize::from(store.otp(*id).await.unwrap().unwrap().status == OtpStatus::Active);
        }
        active
    };
    let done = store.erase(world.key(777)).await.unwrap();
    assert_eq!((done.deleted, done.anonymised), (victims.len() - final_ones, final_ones));
    assert!(store.purge(&number).await.unwrap());
    assert_eq!(holds(dir.path(), number.as_str()), Vec::<String>::new());
    let left = store.of_number(world.key(777), 100).await.unwrap();
    assert_eq!(left.len(), final_ones);
    assert!(left.iter().all(|otp| otp.recipient == Recipient::Erased && otp.sealed.is_none()));
    assert_eq!(store.erase(world.key(777)).await.unwrap().anonymised, 0, "again changes nothing");
    drop(store);
    assert_eq!(holds(dir.path(), number.as_str()), Vec::<String>::new());
}

/// Writes `bytes` into the unused middle of a page, as SQLite leaves a row behind when it splits a page.
fn plant(dir: &Path, bytes: &[u8]) {
    let path = dir.join("otpgate.db");
    let mut file = std::fs::read(&path).unwrap();
    let page = file[4_096..].chunks_exact_mut(4_096).find_map(|page| {
        let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
        let (leaf, gap) = (page[0] == 10, 8 + 2 * number(3)..number(5));
        (leaf && gap.len() > bytes.len()).then_some((gap.start, page))
    });
    let (start, page) = page.unwrap();
    page[start..start + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lingers_in_unused_space_is_purged() {
    let dir = tempfile::tempdir().unwrap();
    let (world, store) = open(dir.path());
    let kept = world.send(&*store, 1, 3).await;
    drop(store);
    let number = e164(777);
    plant(dir.path(), number.as_str().as_bytes());
    let store = world.sqlite(dir.path());
    assert!(!holds(dir.path(), number.as_str()).is_empty());
    assert!(store.purge(&number).await.unwrap());
    assert_eq!(holds(dir.path(), number.as_str()), Vec::<String>::new());
    assert_eq!(world.check(&store, kept, CODE).await, Some(Verdict::Verified));
}
