//! Rows of the tables in the form of a copy, in the order of their keys. One function a table.

use rusqlite::types::Type;
use rusqlite::{Connection, Params, params};

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::events::subscription::SubscriptionId;
use crate::idempotency::{Fingerprint, ReplayKey};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::record::Otp;
use crate::secret::Sealed;
use crate::store::checksum;
use crate::store::packed::unpack;
use crate::store::sqlite::records::uint;
use crate::store::transfer::form::{EventForm, OtpForm, SessionForm, answer_bytes, spend_parts, timed};
use crate::store::transfer::{Kind, Row};

type Sql<'a> = rusqlite::Row<'a>;

/// The table of a kind.
pub(super) const fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Application => "application",
        Kind::Connection => "connection",
        Kind::Subscription => "subscription",
        Kind::Otp => "otp",
        Kind::Number => "number",
        Kind::Spend => "spend",
        Kind::Message => "outbox",
        Kind::Answer => "answer",
        Kind::Event => "event",
        Kind::Nonce => "nonce",
        Kind::Pair => "key_pair",
        Kind::Puzzle => "captcha",
        Kind::Session => "session",
        Kind::Verification => "verification",
    }
}

/// Rows behind the key `after`, at most `limit`; from the beginning where it is empty.
pub(super) fn rows(sql: &Connection, kind: Kind, after: &[u8], limit: usize) -> rusqlite::Result<Vec<Row>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let text = String::from_utf8_lossy(after);
    // Connections' ids have 63 bits, so the first is never behind -1.
    let id = text.parse::<ConnectionId>().map_or(-1, |id| id.get().cast_signed());
    let of = |columns: &str, by: &str| {
        format!("SELECT {columns} FROM {} WHERE {by} > ?1 ORDER BY {by} LIMIT ?2", table(kind))
    };
    match kind {
        Kind::Application => page(sql, &of("id, body", "id"), params![text, limit], |row| {
            Ok(Row { key: row.get::<_, String>(0)?.into_bytes(), value: setting(row, 1)? })
        }),
        Kind::Connection => page(sql, &of("id, body", "id"), params![id, limit], |row| {
            Ok(Row { key: connection(row)?, value: setting(row, 1)? })
        }),
        Kind::Subscription => {
            let after = text.parse::<SubscriptionId>().map(|id| id.bytes().to_vec()).unwrap_or_default();
            page(sql, &of("id, body", "id"), params![after, limit], |row| {
                let id = SubscriptionId::from_bytes(row.get(0)?);
                Ok(Row { key: id.to_string().into_bytes(), value: setting(row, 1)? })
            })
        }
        Kind::Otp => page(sql, &of("id, due, body", "id"), params![after, limit], |row| {
            let body: Vec<u8> = row.get(2)?;
            let otp: Otp = unpack(&body).map_err(|error| damaged(2, error))?;
            let due = row.get::<_, Option<i64>>(1)?.map(uint);
            let form = OtpForm { due, number: otp.number_key.bytes(), body: &body };
            Ok(Row { key: row.get(0)?, value: form.bytes() })
        }),
        Kind::Number => page(sql, &of("key, body", "key"), params![after, limit], |row| {
            Ok(Row { key: row.get(0)?, value: row.get(1)? })
        }),
        Kind::Spend => {
            let (account, country, day) = spend_parts(after).unwrap_or(("", "", 0));
            let day = i64::try_from(day).unwrap_or(i64::MAX);
            let sql_text = "SELECT account, country, day, count FROM spend WHERE (day, account, country) > (?1, ?2, ?3) \
                            ORDER BY day, account, country LIMIT ?4";
            page(sql, sql_text, params![day, account, country, limit], |row| {
                let (account, country, day): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let count: u32 = row.get(3)?;
                Ok(Row {
                    key: format!("{account} {country} {day}").into_bytes(),
                    value: count.to_string().into_bytes(),
                })
            })
        }
        Kind::Message => {
            let (otp, number) = after.split_at_checked(16).unwrap_or_default();
            let number = number.try_into().map_or(-1, |number| i64::from(u32::from_be_bytes(number)));
            let sql_text = "SELECT otp, number, due, body FROM outbox WHERE (otp, number) > (?1, ?2) \
                            ORDER BY otp, number LIMIT ?3";
            page(sql, sql_text, params![otp, number, limit], |row| {
                let mut key: Vec<u8> = row.get(0)?;
                key.extend(row.get::<_, u32>(1)?.to_be_bytes());
                let body: Vec<u8> = row.get(3)?;
                Ok(Row { key, value: timed(uint(row.get(2)?), &body) })
            })
        }
        Kind::Answer => {
            let columns = "key, fingerprint, expires, otp, number, due, sealed";
            page(sql, &of(columns, "key"), params![after, limit], answer)
        }
        Kind::Event => {
            let (subscription, event) = after.split_at_checked(8).unwrap_or_default();
            let sql_text = "SELECT subscription, id, due, ends, until, tries, answer, otp, number, body FROM event \
                            WHERE (subscription, id) > (?1, ?2) ORDER BY subscription, id LIMIT ?3";
            page(sql, sql_text, params![subscription, event, limit], event_row)
        }
        Kind::Verification => page(sql, &of("id, due, number, body", "id"), params![after, limit], |row| {
            let (number, body): ([u8; 16], Vec<u8>) = (row.get(2)?, row.get(3)?);
            Ok(Row { key: row.get(0)?, value: timed(uint(row.get(1)?), &[&number[..], &body].concat()) })
        }),
        Kind::Nonce => page(sql, &of("key, until", "key"), params![after, limit], |row| {
            Ok(Row { key: row.get(0)?, value: timed(uint(row.get(1)?), b"") })
        }),
        Kind::Pair => page(sql, &of("connection, sealed", "connection"), params![id, limit], |row| {
            Ok(Row { key: connection(row)?, value: row.get(1)? })
        }),
        Kind::Puzzle => page(sql, &of("id, expires, solved_for", "id"), params![after, limit], |row| {
            let solved_for = row.get::<_, Option<Vec<u8>>>(2)?.unwrap_or_default();
            Ok(Row { key: row.get(0)?, value: timed(uint(row.get(1)?), &solved_for) })
        }),
        Kind::Session => page(sql, &of("key, number, expires, body", "key"), params![after, limit], |row| {
            let body: Vec<u8> = row.get(3)?;
            let form = SessionForm { number: row.get(1)?, expires: uint(row.get(2)?), body: &body };
            Ok(Row { key: row.get(0)?, value: form.bytes() })
        }),
    }
}

fn page(
    sql: &Connection,
    text: &str,
    values: impl Params,
    read: impl FnMut(&Sql<'_>) -> rusqlite::Result<Row>,
) -> rusqlite::Result<Vec<Row>> {
    sql.prepare_cached(text)?.query_map(values, read)?.collect()
}

fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

fn setting(row: &Sql<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    let text = row.get_ref(column)?.as_str()?;
    let other = "its checksum is another".into();
    let text = checksum::opened(text).ok_or(rusqlite::Error::FromSqlConversionFailure(column, Type::Text, other))?;
    Ok(text.as_bytes().to_vec())
}

fn connection(row: &Sql<'_>) -> rusqlite::Result<Vec<u8>> {
    let number: i64 = row.get(0)?;
    Ok(ConnectionId::from_number(number.cast_unsigned()).to_string().into_bytes())
}

fn answer(row: &Sql<'_>) -> rusqlite::Result<Row> {
    let key: [u8; 16] = row.get(0)?;
    let answer = KeptAnswer {
        key: ReplayKey::from_bytes(key),
        fingerprint: Fingerprint::from_bytes(row.get(1)?),
        expires: UnixMillis(uint(row.get(2)?)),
        otp: row.get::<_, Option<[u8; 16]>>(3)?.map(OtpId::from_bytes),
        number: row.get::<_, Option<[u8; 16]>>(4)?.map(NumberKey::from_bytes),
        sealed: Sealed::from_bytes(row.get(6)?),
    };
    Ok(Row { key: key.to_vec(), value: answer_bytes(&answer, uint(row.get(5)?)) })
}

fn event_row(row: &Sql<'_>) -> rusqlite::Result<Row> {
    let mut key: Vec<u8> = row.get(0)?;
    key.extend(row.get::<_, Vec<u8>>(1)?);
    let answer = row.get::<_, Option<String>>(6)?.unwrap_or_default();
    let sealed: Vec<u8> = row.get(9)?;
    let form = EventForm {
        ends: row.get::<_, Option<i64>>(3)?.map(uint),
        number: row.get(8)?,
        otp: row.get(7)?,
        due: uint(row.get(2)?),
        until: uint(row.get(4)?),
        tries: row.get(5)?,
        answer: answer.as_bytes(),
        sealed: &sealed,
    };
    Ok(Row { key, value: form.bytes() })
}
