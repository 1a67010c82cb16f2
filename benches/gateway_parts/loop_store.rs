//! The limit for durable writes: the same transactions on the same tables in a bare rusqlite loop, one writer, the same
//! group commit, 256 waiting clients; no HTTP, no keys, no records to read or write, no domain.
//!
//! The same transactions: a send writes the OTP and its message, and the delivery that follows it, which nobody waits
//! for, reads the OTP, writes what became of it and deletes the message; a verify reads the OTP and the number's record
//! and writes the OTP. The log is copied into the database as SQLite does it by itself, at the same length.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::load::Figures;

/// Jobs that share a commit at most, as in the store.
const GROUP: usize = 1_024;

/// The tables of a send and a verify, as the store makes them.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768;
    PRAGMA wal_autocheckpoint = 1000;
    CREATE TABLE otp (
        id BLOB PRIMARY KEY, bucket INTEGER NOT NULL, number INTEGER NOT NULL, due INTEGER, body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX otp_number ON otp (bucket, number);
    CREATE INDEX otp_due ON otp (due) WHERE due IS NOT NULL;
    CREATE TABLE number (key BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        otp BLOB NOT NULL, number INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (otp, number)
    ) STRICT, WITHOUT ROWID;";

pub(crate) struct Measured {
    pub(crate) send: Figures,
    pub(crate) verify: Figures,
}

#[derive(Clone, Copy)]
enum Work {
    Send(u64),
    Deliver(u64),
    Verify(u64),
}

/// Bytes of a record: as many as an OTP's after a send, after its delivery and after its verification.
const SENT: usize = 204;
const DELIVERED: usize = 228;
const VERIFIED: usize = 207;

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

/// Names the process that is only the loop.
pub(crate) const ASKED: &str = "OTPGATE_BENCH_LOOP";

/// How many wait and how many calls there are, where this process is to be the one that `asked` names.
pub(crate) fn is_asked_for(asked: &str) -> Option<(usize, usize)> {
    let words = std::env::var(asked).ok()?;
    let (waiters, calls) = words.split_once(' ').unwrap();
    Some((waiters.parse().unwrap(), calls.parse().unwrap()))
}

/// Prints for [`measure`].
pub(crate) fn print(measured: &Measured) {
    for figures in [&measured.send, &measured.verify] {
        println!("{} {}", figures.per_second, figures.p99.as_nanos());
    }
}

/// Runs the one that `asked` names in a process of its own.
pub(crate) fn measure(asked: &str, waiters: usize, calls: usize, disk: &Disk) -> Measured {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    disk.under(command.env(asked, format!("{waiters} {calls}")));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut figures = text.lines().map(|line| {
        let (rate, p99) = line.split_once(' ').unwrap();
        let p99 = Duration::from_nanos(p99.parse().unwrap());
        Figures { per_second: rate.parse().unwrap(), p99, ..Figures::default() }
    });
    Measured { send: figures.next().unwrap(), verify: figures.next().unwrap() }
}

/// Is the loop.
pub(crate) fn run(waiters: usize, calls: usize) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bare.db");
    Connection::open(&file).unwrap().execute_batch(SCHEMA).unwrap();
    let (jobs, queue) = sync_channel::<(Work, oneshot::Sender<()>)>(65_536);
    let writer = std::thread::spawn(move || {
        let connection = Connection::open(&file).unwrap();
        connection
            .execute_batch(
                "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -32768; \
                 PRAGMA wal_autocheckpoint = 1000",
            )
            .unwrap();
        while let Ok(first) = queue.recv() {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut answers = Vec::new();
            for (work, answer) in std::iter::once(first).chain(queue.try_iter()).take(GROUP) {
                transact(&connection, work);
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
                        if let Work::Send(index) = make(index as u64) {
                            jobs.try_send((Work::Deliver(index), oneshot::channel().0)).unwrap();
                        }
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

/// The statements that one operation runs in the store. The number's record is read, and there is none.
fn transact(connection: &Connection, work: Work) {
    let (Work::Send(index) | Work::Deliver(index) | Work::Verify(index)) = work;
    let (id, number) = (id(index), scatter(index));
    let read_number = || {
        let mut read = connection.prepare_cached("SELECT body FROM number WHERE key = ?1").unwrap();
        assert!(!read.exists([number.to_be_bytes().repeat(2)]).unwrap());
    };
    let read = || {
        let mut read = connection.prepare_cached("SELECT body FROM otp WHERE id = ?1").unwrap();
        read.query_row([id], |row| row.get::<_, Vec<u8>>(0)).unwrap()
    };
    let write = |due: u64, size: usize| {
        let put = "INSERT INTO otp (id, bucket, number, due, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (id) DO UPDATE SET due = excluded.due, body = excluded.body";
        let row = params![id, 0, number.cast_signed(), due.cast_signed(), vec![b'x'; size]];
        connection.prepare_cached(put).unwrap().execute(row).unwrap();
    };
    match work {
        Work::Send(_) => {
            read_number();
            write(index, SENT);
            let queue = "INSERT INTO outbox (otp, number, due, body) VALUES (?1, ?2, ?3, ?4) \
                         ON CONFLICT (otp, number) DO UPDATE SET due = excluded.due, body = excluded.body";
            let row = params![id, 1, index.cast_signed(), b"a message's few"];
            connection.prepare_cached(queue).unwrap().execute(row).unwrap();
        }
        Work::Deliver(_) => {
            assert_eq!(read().len(), SENT);
            write(index, DELIVERED);
            let settle = "DELETE FROM outbox WHERE otp = ?1 AND number = ?2";
            assert_eq!(connection.prepare_cached(settle).unwrap().execute(params![id, 1]).unwrap(), 1);
        }
        Work::Verify(_) => {
            assert_eq!(read().len(), DELIVERED);
            read_number();
            write(index + 1_000_000_000, VERIFIED);
        }
    }
}
