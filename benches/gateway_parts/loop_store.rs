//! The limit for durable writes: the same transactions on the same tables in a bare rusqlite loop, one writer, the same
//! group commit, 256 waiting clients; no HTTP, no keys, no JSON.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::load::Figures;

/// Jobs that share a commit at most, as in the store.
const GROUP: usize = 1_024;

/// The tables of a send and a verify, as the store makes them.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768;
    PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE otp (
        id BLOB PRIMARY KEY, bucket INTEGER NOT NULL, number INTEGER NOT NULL, due INTEGER, body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX otp_number ON otp (bucket, number);
    CREATE INDEX otp_due ON otp (due) WHERE due IS NOT NULL;
    CREATE TABLE number (key BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        otp BLOB NOT NULL, number INTEGER NOT NULL, due INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (otp, number)
    ) STRICT, WITHOUT ROWID;";

pub(crate) struct Measured {
    pub(crate) send: Figures,
    pub(crate) verify: Figures,
}

#[derive(Clone, Copy)]
enum Work {
    Send(u64),
    Verify(u64),
}

/// An id that grows with time, as an OTP's does.
fn id(index: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&index.to_be_bytes());
    id[8..].copy_from_slice(&scatter(index).to_be_bytes());
    id
}

/// The hash of a number: anywhere.
fn scatter(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

pub(crate) fn measure(waiters: usize, calls: usize) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bare.db");
    Connection::open(&file).unwrap().execute_batch(SCHEMA).unwrap();
    let (jobs, queue) = sync_channel::<(Work, oneshot::Sender<()>)>(8_192);
    let writer = std::thread::spawn(move || {
        let connection = Connection::open(&file).unwrap();
        connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768")
            .unwrap();
        let body = "x".repeat(520);
        while let Ok(first) = queue.recv() {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut answers = Vec::new();
            for (work, answer) in std::iter::once(first).chain(queue.try_iter()).take(GROUP) {
                transact(&connection, work, &body);
                answers.push(answer);
            }
            connection.execute_batch("COMMIT").unwrap();
            for answer in answers {
                let _ = answer.send(());
            }
        }
    });
    let phase = |make: fn(u64) -> Work| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let (next, each) = (
            std::rc::Rc::new(std::cell::Cell::new(0)),
            std::rc::Rc::new(std::cell::RefCell::new(Vec::<Duration>::new())),
        );
        let began = Instant::now();
        local.block_on(&runtime, async {
            let mut tasks = Vec::new();
            for _ in 0..waiters {
                let (jobs, next, each) = (jobs.clone(), std::rc::Rc::clone(&next), std::rc::Rc::clone(&each));
                tasks.push(tokio::task::spawn_local(async move {
                    loop {
                        let index = next.replace(next.get() + 1);
                        if index >= calls {
                            return;
                        }
                        let asked = Instant::now();
                        let (answer, done) = oneshot::channel();
                        jobs.try_send((make(index as u64), answer)).unwrap();
                        done.await.unwrap();
                        each.borrow_mut().push(asked.elapsed());
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        Figures::of(each.take(), began.elapsed())
    };
    let measured = Measured { send: phase(Work::Send), verify: phase(Work::Verify) };
    drop(jobs);
    writer.join().unwrap();
    measured
}

/// The statements that one operation runs in the store: the number's record is read, and there is none.
fn transact(connection: &Connection, work: Work, body: &str) {
    let (Work::Send(index) | Work::Verify(index)) = work;
    let number = scatter(index);
    let mut read = connection.prepare_cached("SELECT body FROM number WHERE key = ?1").unwrap();
    assert!(!read.exists([number.to_be_bytes().repeat(2)]).unwrap());
    let put = "INSERT INTO otp (id, bucket, number, due, body) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (id) DO UPDATE SET due = excluded.due, body = excluded.body";
    let due = if matches!(work, Work::Send(_)) { index } else { index + 1_000_000_000 };
    let row = params![id(index), 0, number.cast_signed(), due.cast_signed(), body];
    connection.prepare_cached(put).unwrap().execute(row).unwrap();
    if matches!(work, Work::Send(_)) {
        let queue = "INSERT INTO outbox (otp, number, due, body) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (otp, number) DO UPDATE SET due = excluded.due, body = excluded.body";
        let row = params![id(index), 1, index.cast_signed(), "{\"channel\":\"SMS\",\"tries\":0}"];
        connection.prepare_cached(queue).unwrap().execute(row).unwrap();
    }
}
