//! Rows to records and back: OTPs, numbers' records, daily counts, messages. One function a statement.
//!
//! Must not know when any of it is read or written, nor in which transaction.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::abuse::{NumberRecord, SpendKey};
use crate::clock::UnixMillis;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::record::Otp;
use crate::store::checksum;
use crate::store::packed::{pack, unpack};

/// The newest place at or before (bucket, number): whether the wanted number is in that bucket, else where to go on.
pub(super) const SEEK_BUCKET: &str = "SELECT bucket, number FROM otp WHERE (bucket, number) <= (?1, ?2) AND bucket >= ?3 \
     ORDER BY bucket DESC, number DESC LIMIT 1";
/// The OTPs of a number in one bucket, newest first.
pub(super) const IN_BUCKET: &str = "SELECT body FROM otp WHERE bucket = ?1 AND number = ?2 ORDER BY id DESC";
/// What housekeeping has to look at, earliest first.
pub(super) const DUE: &str = "SELECT id FROM otp WHERE due <= ?1 ORDER BY due LIMIT ?2";

/// A whole number as SQLite keeps it. Times and counts stay far below the bound.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A whole number as it was kept.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The bucket of an instant.
pub(super) const fn bucket(at: UnixMillis) -> i64 {
    // 63 bits less 19: the cast cannot lose anything.
    (at.0 >> 19).cast_signed()
}

/// What the index keeps of a number's key.
pub(super) fn number_column(key: NumberKey) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = key.bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The value of a column that holds JSON and its checksum: a setting, which people may want to read.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let damaged = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error);
    let text = row.get_ref(column)?.as_str()?;
    let text = checksum::opened(text).ok_or_else(|| damaged("its checksum is another".into()))?;
    serde_json::from_str(text).map_err(|error| damaged(Box::new(error)))
}

/// JSON and its checksum, for a column.
pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    let text = serde_json::to_string(value);
    text.map(checksum::sealed).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The record in a column.
pub(super) fn record<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let bytes = row.get_ref(column)?.as_blob()?;
    unpack(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

/// A record, for a column.
pub(super) fn packed<T: Serialize>(record: &T) -> rusqlite::Result<Vec<u8>> {
    pack(record).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// An OTP.
pub(super) fn otp(connection: &Connection, id: OtpId) -> rusqlite::Result<Option<Otp>> {
    let mut statement = connection.prepare_cached("SELECT body FROM otp WHERE id = ?1")?;
    statement.query_row([id.bytes()], |row| record(row, 0)).optional()
}

/// Writes an OTP; `due` is when housekeeping has to look at it.
pub(super) fn put_otp(connection: &Connection, otp: &Otp, due: Option<UnixMillis>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO otp (id, bucket, number, due, body) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (id) DO UPDATE SET due = excluded.due, body = excluded.body",
    )?;
    let (bucket, number) = (bucket(otp.id.created()), number_column(otp.number_key));
    statement.execute(params![otp.id.bytes(), bucket, number, due.map(|due| int(due.0)), packed(otp)?]).map(drop)
}

/// Deletes an OTP. Its messages are deleted by [`forget_messages`].
pub(super) fn delete_otp(connection: &Connection, id: OtpId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM otp WHERE id = ?1")?.execute([id.bytes()]).map(drop)
}

/// The OTPs of a number that were made from `oldest` to `newest`, newest first, at most `limit`.
pub(super) fn of_number(
    connection: &Connection,
    key: NumberKey,
    (oldest, newest): (UnixMillis, UnixMillis),
    limit: usize,
) -> rusqlite::Result<Vec<Otp>> {
    let (number, end) = (number_column(key), bucket(oldest));
    let mut seek = connection.prepare_cached(SEEK_BUCKET)?;
    let mut fetch = connection.prepare_cached(IN_BUCKET)?;
    let (mut at, mut found) = (bucket(newest), Vec::new());
    while at >= end && found.len() < limit {
        let place =
            seek.query_row([at, number, end], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
        at = match place {
            None => break,
            Some((bucket, here)) if (bucket, here) == (at, number) => {
                let mut rows = fetch.query([at, number])?;
                while let Some(row) = rows.next()? {
                    let otp: Otp = record(row, 0)?;
                    // Two numbers may share the 8 bytes in the index.
                    if otp.number_key == key && found.len() < limit {
                        found.push(otp);
                    }
                }
                at - 1
            }
            // This bucket lacks the number; buckets that are empty are leapt over.
            Some((bucket, _)) => bucket.min(at - 1),
        };
    }
    Ok(found)
}

/// The ids of all OTPs of a number's index value, from a bucket on. Reads the index from there to its end.
pub(super) fn ids_of_number(connection: &Connection, key: NumberKey, from_bucket: i64) -> rusqlite::Result<Vec<OtpId>> {
    let mut statement =
        connection.prepare("SELECT id FROM otp INDEXED BY otp_number WHERE bucket >= ?1 AND number = ?2")?;
    let ids = statement.query_map([from_bucket, number_column(key)], |row| otp_id(row, 0))?;
    ids.collect()
}

/// The OTPs that are due at `now`, earliest first, at most `limit`.
pub(super) fn due(connection: &Connection, now: UnixMillis, limit: usize) -> rusqlite::Result<Vec<OtpId>> {
    let mut statement = connection.prepare_cached(DUE)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let ids = statement.query_map([int(now.0), limit], |row| otp_id(row, 0))?;
    ids.collect()
}

fn otp_id(row: &Row<'_>, column: usize) -> rusqlite::Result<OtpId> {
    row.get(column).map(OtpId::from_bytes)
}

/// The record of a number.
pub(super) fn number(connection: &Connection, key: NumberKey) -> rusqlite::Result<NumberRecord> {
    let mut statement = connection.prepare_cached("SELECT body FROM number WHERE key = ?1")?;
    statement.query_row([key.bytes()], |row| record(row, 0)).optional().map(Option::unwrap_or_default)
}

/// Writes the record of a number; an empty one is deleted. Whether a row was touched.
pub(super) fn put_number(connection: &Connection, key: NumberKey, record: &NumberRecord) -> rusqlite::Result<bool> {
    let rows = if record.is_empty() {
        connection.prepare_cached("DELETE FROM number WHERE key = ?1")?.execute([key.bytes()])?
    } else {
        let sql = "INSERT INTO number (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body";
        connection.prepare_cached(sql)?.execute(params![key.bytes(), packed(record)?])?
    };
    Ok(rows > 0)
}

/// Records of numbers behind `after` in the order of their keys, at most `limit`.
pub(super) fn numbers_after(
    connection: &Connection,
    after: Option<NumberKey>,
    limit: usize,
) -> rusqlite::Result<Vec<(NumberKey, NumberRecord)>> {
    let mut statement =
        connection.prepare_cached("SELECT key, body FROM number WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let after = after.map_or_else(Vec::new, |key| key.bytes().to_vec());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![after, limit], |row| Ok((NumberKey::from_bytes(row.get(0)?), record(row, 1)?)))?;
    rows.collect()
}

/// A daily count.
pub(super) fn spent(connection: &Connection, key: &SpendKey) -> rusqlite::Result<u32> {
    let sql = "SELECT count FROM spend WHERE day = ?1 AND account = ?2 AND country = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let count = statement.query_row(params![int(key.day), key.account, key.country], |row| row.get(0)).optional();
    count.map(Option::unwrap_or_default)
}

/// Writes a daily count.
pub(super) fn put_spent(connection: &Connection, key: &SpendKey, count: u32) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO spend (day, account, country, count) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (day, account, country) DO UPDATE SET count = excluded.count",
    )?;
    statement.execute(params![int(key.day), key.account, key.country, count]).map(drop)
}

/// Drops the daily counts before `day`.
pub(super) fn forget_spent(connection: &Connection, day: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM spend WHERE day < ?1")?.execute([int(day)]).map(drop)
}

/// Every message that is not settled.
pub(super) fn messages(connection: &Connection) -> rusqlite::Result<Vec<Message>> {
    let mut statement = connection.prepare_cached("SELECT otp, number, due, body FROM outbox")?;
    let rows = statement.query_map([], |row| {
        let id = MessageId { otp: otp_id(row, 0)?, number: row.get(1)? };
        Ok(Message { id, due: UnixMillis(uint(row.get(2)?)), body: record(row, 3)? })
    })?;
    rows.collect()
}

/// A message that is not settled.
pub(super) fn message(connection: &Connection, id: MessageId) -> rusqlite::Result<Option<Message>> {
    let mut statement = connection.prepare_cached("SELECT due, body FROM outbox WHERE otp = ?1 AND number = ?2")?;
    let read = |row: &Row<'_>| Ok(Message { id, due: UnixMillis(uint(row.get(0)?)), body: record(row, 1)? });
    statement.query_row(params![id.otp.bytes(), id.number], read).optional()
}

/// Writes a message.
pub(super) fn put_message(connection: &Connection, message: &Message) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO outbox (otp, number, due, body) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (otp, number) DO UPDATE SET due = excluded.due, body = excluded.body",
    )?;
    let Message { id, due, body } = message;
    statement.execute(params![id.otp.bytes(), id.number, int(due.0), packed(body)?]).map(drop)
}

/// Deletes a message.
pub(super) fn settle_message(connection: &Connection, id: MessageId) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE otp = ?1 AND number = ?2")?;
    statement.execute(params![id.otp.bytes(), id.number]).map(drop)
}

/// Deletes all messages of an OTP.
pub(super) fn forget_messages(connection: &Connection, otp: OtpId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM outbox WHERE otp = ?1")?.execute([otp.bytes()]).map(drop)
}
