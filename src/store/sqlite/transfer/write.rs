//! Rows in the form of a copy into the tables, inside the caller's transaction; none where the bytes are no such row.

use rusqlite::{Connection, params};

use crate::access::connection::{Connection as Caller, ConnectionId};
use crate::clock::UnixMillis;
use crate::events::subscription::Subscription;
use crate::otp::application::Application;
use crate::otp::id::{AccountId, NumberKey, OtpId};
use crate::otp::record::Otp;
use crate::store::packed::unpack;
use crate::store::sqlite::records::{bucket, int, number_column};
use crate::store::sqlite::{answers, nonces};
use crate::store::transfer::form::{EventForm, OtpForm, SessionForm, answer, number_text, spend_parts, split_timed};
use crate::store::transfer::{Kind, Row};
use crate::store::{checksum, rules};

type Written = rusqlite::Result<Option<()>>;

macro_rules! or_none {
    ($found:expr) => {
        match $found {
            Some(found) => found,
            None => return Ok(None),
        }
    };
}

/// Writes one row.
pub(super) fn row(sql: &Connection, kind: Kind, Row { key, value }: &Row) -> Written {
    match kind {
        Kind::Application => application(sql, value),
        Kind::Connection => connection(sql, value),
        Kind::Subscription => subscription(sql, value),
        Kind::Otp => otp(sql, key, value),
        Kind::Number => run(sql, "INSERT OR REPLACE INTO number (key, body) VALUES (?1, ?2)", params![key, value]),
        Kind::Spend => {
            let (account, country, day) = or_none!(spend_parts(key));
            let count: u32 = or_none!(number_text(value));
            let text = "INSERT OR REPLACE INTO spend (day, account, country, count) VALUES (?1, ?2, ?3, ?4)";
            run(sql, text, params![int(day), account, country, count])
        }
        Kind::Message => {
            let (otp, number) = or_none!(key.split_at_checked(16));
            let number = u32::from_be_bytes(or_none!(number.try_into().ok()));
            let (due, body) = or_none!(split_timed(value));
            let text = "INSERT OR REPLACE INTO outbox (otp, number, due, body) VALUES (?1, ?2, ?3, ?4)";
            run(sql, text, params![otp, number, int(due), body])
        }
        Kind::Answer => {
            let (kept, due) = or_none!(answer(or_none!(key.as_slice().try_into().ok()), value));
            answers::put_answer(sql, &kept, UnixMillis(due)).map(Some)
        }
        Kind::Event => event(sql, key, value),
        Kind::Verification => {
            let (due, rest) = or_none!(split_timed(value));
            let (number, body) = or_none!(rest.split_at_checked(16));
            let text = "INSERT OR REPLACE INTO verification (id, due, number, body) VALUES (?1, ?2, ?3, ?4)";
            run(sql, text, params![key, int(due), number, body])
        }
        Kind::Nonce => {
            let key = crate::access::nonce::NonceKey::from_bytes(or_none!(key.as_slice().try_into().ok()));
            let (until, _) = or_none!(split_timed(value));
            sql.prepare_cached("DELETE FROM nonce WHERE key = ?1")?.execute([key.bytes()])?;
            nonces::put_nonce(sql, key, UnixMillis(until)).map(Some)
        }
        Kind::Pair => {
            let id: ConnectionId = or_none!(number_text(key));
            let text = "INSERT OR REPLACE INTO key_pair (connection, sealed) VALUES (?1, ?2)";
            run(sql, text, params![id.get().cast_signed(), value])
        }
        Kind::Puzzle => {
            let (expires, solved_for) = or_none!(split_timed(value));
            let solved_for = (!solved_for.is_empty()).then_some(solved_for);
            let text = "INSERT INTO captcha (id, expires, solved_for) VALUES (?1, ?2, ?3) \
                        ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, solved_for = excluded.solved_for";
            run(sql, text, params![key, int(expires), solved_for])
        }
        Kind::Session => {
            let form = or_none!(SessionForm::parse(value));
            let text = "INSERT OR REPLACE INTO session (key, number, expires, body) VALUES (?1, ?2, ?3, ?4)";
            run(sql, text, params![key, form.number, int(form.expires), form.body])
        }
    }
}

fn run(sql: &Connection, text: &str, values: impl rusqlite::Params) -> Written {
    sql.prepare_cached(text)?.execute(values).map(|_| Some(()))
}

/// The JSON as the table keeps it, and its record.
fn setting<T: serde::de::DeserializeOwned>(value: &[u8]) -> Option<(String, T)> {
    let text = std::str::from_utf8(value).ok()?;
    let record = serde_json::from_str(text).ok()?;
    Some((checksum::sealed(text.to_owned()), record))
}

/// An account is as old as the first of its settings that comes.
fn account(sql: &Connection, id: &AccountId, created: UnixMillis) -> Written {
    run(sql, "INSERT OR IGNORE INTO account (id, created) VALUES (?1, ?2)", params![id.as_str(), int(created.0)])
}

fn application(sql: &Connection, value: &[u8]) -> Written {
    let (body, kept) = or_none!(setting::<Application>(value));
    account(sql, &kept.account, kept.created)?;
    let text = "INSERT OR REPLACE INTO application (id, account, alias, body) VALUES (?1, ?2, ?3, ?4)";
    run(sql, text, params![kept.id.to_string(), kept.account.as_str(), kept.alias, body])
}

fn connection(sql: &Connection, value: &[u8]) -> Written {
    let (body, kept) = or_none!(setting::<Caller>(value));
    account(sql, &kept.account, kept.created)?;
    let id = kept.id.get().cast_signed();
    let text = "INSERT INTO connection (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
    run(sql, text, params![id, body])?;
    for name in rules::names(&kept) {
        run(sql, "INSERT OR REPLACE INTO connection_name (name, connection) VALUES (?1, ?2)", params![name, id])?;
    }
    Ok(Some(()))
}

fn subscription(sql: &Connection, value: &[u8]) -> Written {
    let (body, kept) = or_none!(setting::<Subscription>(value));
    let text = "INSERT OR REPLACE INTO subscription (id, account, body) VALUES (?1, ?2, ?3)";
    run(sql, text, params![kept.id.bytes(), kept.account.as_str(), body])
}

fn otp(sql: &Connection, key: &[u8], value: &[u8]) -> Written {
    let form = or_none!(OtpForm::parse(value));
    // What cannot be read here could not be read later.
    or_none!(unpack::<Otp>(form.body).ok());
    let id = OtpId::from_bytes(or_none!(key.try_into().ok()));
    let number = number_column(NumberKey::from_bytes(form.number));
    let text = "INSERT INTO otp (id, bucket, number, due, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                ON CONFLICT (id) DO UPDATE SET due = excluded.due, body = excluded.body";
    run(sql, text, params![key, bucket(id.created()), number, form.due.map(int), form.body])
}

fn event(sql: &Connection, key: &[u8], value: &[u8]) -> Written {
    let (subscription, id) = or_none!(key.split_at_checked(8));
    let form = or_none!(EventForm::parse(value));
    let answer = or_none!(std::str::from_utf8(form.answer).ok());
    let answer = (!answer.is_empty()).then_some(answer);
    let text = "INSERT OR REPLACE INTO event (subscription, id, due, ends, until, tries, answer, otp, number, body) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let (due, ends, until) = (int(form.due), form.ends.map(int), int(form.until));
    let values = params![subscription, id, due, ends, until, form.tries, answer, form.otp, form.number, form.sealed];
    run(sql, text, values)
}
