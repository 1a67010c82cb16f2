//! The tables, and the steps that lead an older file to them. Each step runs in one transaction and counts
//! `user_version` up; a version that is not known here was written by a newer release and is left alone.
//!
//! A commit costs what it touches: a send that touches six rows runs at a quarter of the speed of one that touches two.
//! So an OTP is one row with two slim indexes, and rows that most numbers never need (a record of failures) exist only
//! where there is something to remember.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::store::sqlite::open::OpenError;

/// `otpg`, in the header of the file: a file of somebody else is not written to.
const APPLICATION_ID: i64 = 0x6f74_7067;

/// The steps, oldest first. A step that was released is never edited.
///
/// `otp.bucket` is the creation time in units of 2^19 ms (8.7 minutes), `otp.number` the first 8 bytes of the number's key.
/// An index on the number alone would put every insert on a random page, which costs three times as much per commit
/// (13,000 against 41,000 a second); led by the bucket, the inserts of some minutes share their pages. A look-up by
/// number probes the buckets, newest first. `otp.due` serves the expiry sweep and the retention sweep at once.
///
/// `answer_due` and `verification_due` hold the number too, so that an erasure reads the index and not the rows.
const STEPS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE account (id TEXT PRIMARY KEY, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE application (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, alias INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (account, alias)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE connection (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
    CREATE TABLE connection_name (
        name TEXT PRIMARY KEY, connection INTEGER NOT NULL REFERENCES connection
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE otp (
        id BLOB PRIMARY KEY, bucket INTEGER NOT NULL, number INTEGER NOT NULL, due INTEGER, body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX otp_number ON otp (bucket, number);
    CREATE INDEX otp_due ON otp (due) WHERE due IS NOT NULL;
    CREATE TABLE number (key BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE spend (
        day INTEGER NOT NULL, account TEXT NOT NULL, country TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (day, account, country)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        otp BLOB NOT NULL, number INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (otp, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE quota_ring (connection INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
",
    "
    CREATE TABLE answer (
        key BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, expires INTEGER NOT NULL, otp BLOB, number BLOB,
        due INTEGER NOT NULL, sealed BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX answer_due ON answer (due, number);
",
    "
    CREATE TABLE subscription (id BLOB PRIMARY KEY, account TEXT NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX subscription_account ON subscription (account);
    CREATE TABLE event (
        subscription BLOB NOT NULL, id BLOB NOT NULL, due INTEGER NOT NULL, ends INTEGER, until INTEGER NOT NULL,
        tries INTEGER NOT NULL, answer TEXT, otp BLOB NOT NULL, number BLOB NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (subscription, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX event_dead ON event (ends) WHERE ends IS NOT NULL;
",
    "
    CREATE TABLE nonce (key BLOB PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX nonce_until ON nonce (until);
",
    "
    CREATE TABLE key_pair (connection INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
    CREATE TABLE captcha (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, solved_for BLOB
    ) STRICT;
    CREATE INDEX captcha_expires ON captcha (expires);
    CREATE TABLE session (
        key BLOB PRIMARY KEY, number BLOB NOT NULL, expires INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_number ON session (number, expires);
    CREATE INDEX session_expires ON session (expires);
",
    "
    CREATE TABLE verification (
        id BLOB PRIMARY KEY, due INTEGER NOT NULL, number BLOB NOT NULL, body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX verification_due ON verification (due, number);
",
];

/// The version that a file has after every step.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The version of the file behind `connection`; 0 when it is empty.
///
/// # Errors
/// [`OpenError::NotADatabase`] when it is a database of somebody else, [`OpenError::TooNew`], or what reading it gave.
pub(super) fn version(connection: &Connection, path: &std::path::Path) -> Result<i64, OpenError> {
    let failed = |error| OpenError::of(error, path);
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version").map_err(failed)?, pragma("application_id").map_err(failed)?);
    let first: Option<String> = connection
        .query_row("SELECT name FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    if first.is_some() && application != APPLICATION_ID {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    if version > newest() {
        return Err(OpenError::TooNew { path: path.to_owned(), found: version, known: newest() });
    }
    Ok(version)
}

/// Takes the steps that are missing.
///
/// # Errors
/// Those of SQLite; the steps that were taken stay.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_by(connection, STEPS)
}

fn migrate_by(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    for (number, step) in (1_i64..).zip(steps) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version < number {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(connection: &Connection) -> i64 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_step_is_taken_once_and_wholly_or_not_at_all() {
        let mut connection = Connection::open_in_memory().unwrap();
        let first = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
        migrate_by(&mut connection, &[first]).unwrap();
        migrate_by(&mut connection, &[first]).unwrap();
        assert_eq!(version_of(&connection), 1);
        assert!(
            migrate_by(&mut connection, &[first, "INSERT INTO a VALUES (2); INSERT INTO nowhere VALUES (3);"]).is_err()
        );
        assert_eq!(version_of(&connection), 1);
        migrate_by(&mut connection, &[first, "INSERT INTO a VALUES (4);"]).unwrap();
        let sum: i64 = connection.query_row("SELECT sum(x) FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!((version_of(&connection), sum), (2, 5));
    }

    #[test]
    fn look_ups_use_their_indexes() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let plans = [
            (crate::store::sqlite::records::SEEK_BUCKET, "COVERING INDEX otp_number"),
            (crate::store::sqlite::records::IN_BUCKET, "INDEX otp_number (bucket=? AND number=?)"),
            (crate::store::sqlite::records::DUE, "INDEX otp_due (due<?)"),
            (crate::store::sqlite::answers::DUE, "COVERING INDEX answer_due (due<?)"),
            (crate::store::sqlite::answers::OF_NUMBER, "COVERING INDEX answer_due"),
            (crate::store::sqlite::nonces::OVER, "COVERING INDEX nonce_until (until<?)"),
        ];
        for (sql, expected) in plans {
            let plan = format!("EXPLAIN QUERY PLAN {sql}");
            let mut statement = connection.prepare(&plan).unwrap();
            let mut rows = statement.raw_query();
            let mut details = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                details.push(row.get::<_, String>(3).unwrap());
            }
            let details = details.join("; ");
            assert!(details.contains(expected) && !details.contains("TEMP B-TREE"), "{sql}: {details}");
        }
    }
}
