//! Subscriptions, and the events that wait for them: rows to records and back, and what a group commit adds to the queue.
//!
//! What an event says holds a number, so it is sealed. A row is small (a row of more than a kilobyte would take a page of
//! its own) and lies in one tree: no index but the one of dead letters, which few rows are in.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::events::fanout::{Announcement, Fanout};
use crate::events::queue::{Address, DeadLetter, EventId, Notice, Queued, Settled, Settlement};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::{AccountId, NumberKey, OtpId};
use crate::otp::record::Otp;
use crate::secret::{Keyring, Sealed};
use crate::store::notices::{Notices, Waiting};
use crate::store::packed::unpack;
use crate::store::sqlite::records::{int, json, packed, to_json, uint};

/// What the store holds in memory for subscribers.
pub(super) struct Events {
    pub(super) keyring: Arc<Keyring>,
    pub(super) fanout: Fanout,
    pub(super) notices: Notices,
}

impl Events {
    /// Reads who is interested and what waits: at the start, and when somebody else wrote.
    pub(super) fn load(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.fanout.replace(&subscriptions(connection, None)?);
        let mut statement =
            connection.prepare_cached("SELECT subscription, id, due, otp FROM event WHERE ends IS NULL")?;
        let rows = statement.query_map([], |row| {
            let line = OtpId::from_bytes(row.get(3)?);
            Ok(Waiting { address: address(row)?, due: instant(row, 2)?, line })
        })?;
        self.notices.replace(rows.collect::<Result<_, _>>()?);
        Ok(())
    }
}

/// The events of one group commit.
pub(super) struct News<'a> {
    events: &'a Events,
    now: UnixMillis,
    rows: Vec<Queued>,
}

impl<'a> News<'a> {
    /// None yet.
    pub(super) const fn new(events: &'a Events, now: UnixMillis) -> Self {
        Self { events, now, rows: Vec::new() }
    }

    /// An OTP is about to be kept in the place of `before`.
    pub(super) fn changed(&mut self, before: Option<&Otp>, otp: &Otp) {
        let Events { fanout, notices, .. } = self.events;
        self.rows.extend(fanout.changed(before, otp, self.now, |id| notices.has_room(id)));
    }

    /// An OTP is about to be deleted.
    pub(super) fn deleted(&mut self, otp: &Otp) {
        let Events { fanout, notices, .. } = self.events;
        self.rows.extend(fanout.deleted(otp, self.now, |id| notices.has_room(id)));
    }

    /// Something else than an OTP is about to be kept.
    pub(super) fn announced(&mut self, news: Announcement) {
        let Events { fanout, notices, .. } = self.events;
        self.rows.extend(fanout.announced(news, self.now, |id| notices.has_room(id)));
    }

    /// Writes the rows, into the open transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.rows.iter().try_for_each(|row| put_event(connection, &self.events.keyring, row))
    }

    /// Lets them be claimed, after the commit.
    pub(super) fn publish(self) {
        if !self.rows.is_empty() {
            let waiting = |row: &Queued| Waiting { address: row.address, due: row.due, line: row.notice.line() };
            self.events.notices.joined(self.rows.iter().map(waiting));
        }
    }
}

fn address(row: &Row<'_>) -> rusqlite::Result<Address> {
    let subscription = SubscriptionId::from_bytes(row.get(0)?);
    Ok(Address { subscription, event: EventId::from_bytes(row.get(1)?) })
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMillis> {
    row.get(column).map(|millis| UnixMillis(uint(millis)))
}

/// A seal opens in its own row only.
fn context(address: Address) -> Vec<u8> {
    [b"event ", &address.subscription.bytes()[..], &address.event.bytes()[..]].concat()
}

fn put_event(connection: &Connection, keyring: &Keyring, row: &Queued) -> rusqlite::Result<()> {
    let plain = packed(&*row.notice).map(Zeroizing::new)?;
    let sealed = keyring.seal(&context(row.address), &plain);
    let mut statement = connection.prepare_cached(
        "INSERT INTO event (subscription, id, due, until, tries, otp, number, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let Address { subscription, event } = row.address;
    let (due, until) = (int(row.due.0), int(row.until.0));
    let row = params![
        subscription.bytes(),
        event.bytes(),
        due,
        until,
        row.tries,
        row.notice.line().bytes(),
        row.notice.number_key().bytes(),
        sealed.bytes()
    ];
    statement.execute(row).map(drop)
}

fn notice(row: &Row<'_>, column: usize, address: Address, keyring: &Keyring) -> rusqlite::Result<Arc<Notice>> {
    let damaged = |error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error);
    let sealed = Sealed::from_bytes(row.get(column)?);
    let plain = keyring.open(&context(address), &sealed).map_err(|error| damaged(Box::new(error)))?;
    unpack(&plain).map(Arc::new).map_err(|error| damaged(Box::new(error)))
}

/// One event that waits.
pub(super) fn event(connection: &Connection, keyring: &Keyring, wanted: Address) -> rusqlite::Result<Option<Queued>> {
    let mut statement = connection.prepare_cached(
        "SELECT subscription, id, due, until, tries, body FROM event WHERE subscription = ?1 AND id = ?2 AND ends IS NULL",
    )?;
    let read = |row: &Row<'_>| {
        let address = address(row)?;
        let (due, until, tries) = (instant(row, 2)?, instant(row, 3)?, row.get(4)?);
        Ok(Queued { address, due, until, tries, notice: notice(row, 5, address, keyring)? })
    };
    statement.query_row(params![wanted.subscription.bytes(), wanted.event.bytes()], read).optional()
}

/// Writes how a try ended.
pub(super) fn settle(connection: &Connection, Settled { address, settlement }: &Settled) -> rusqlite::Result<()> {
    let (subscription, event) = (address.subscription.bytes(), address.event.bytes());
    match settlement {
        Settlement::Told | Settlement::Dropped => connection
            .prepare_cached("DELETE FROM event WHERE subscription = ?1 AND id = ?2")?
            .execute(params![subscription, event]),
        Settlement::PutOff { due, answer } => connection
            .prepare_cached(
                "UPDATE event SET due = ?3, tries = tries + 1, answer = ?4 WHERE subscription = ?1 AND id = ?2",
            )?
            .execute(params![subscription, event, int(due.0), answer]),
        Settlement::Dead { ends, answer } => connection
            .prepare_cached(
                "UPDATE event SET ends = ?3, tries = tries + 1, answer = ?4 WHERE subscription = ?1 AND id = ?2",
            )?
            .execute(params![subscription, event, int(ends.0), answer]),
    }
    .map(drop)
}

/// Dead letters, oldest first.
pub(super) fn dead(
    connection: &Connection,
    keyring: &Keyring,
    subscription: Option<SubscriptionId>,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = connection.prepare_cached(
        "SELECT subscription, id, ends, tries, answer, body FROM event INDEXED BY event_dead \
         WHERE ends IS NOT NULL AND (?1 IS NULL OR subscription = ?1) ORDER BY id, subscription LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![subscription.map(SubscriptionId::bytes), limit], |row| {
        let address = address(row)?;
        let (ends, tries) = (instant(row, 2)?, row.get(3)?);
        let answer = row.get::<_, Option<String>>(4)?.unwrap_or_default();
        Ok(DeadLetter { address, ends, tries, answer, notice: notice(row, 5, address, keyring)? })
    })?;
    rows.collect()
}

/// Puts a dead letter back into the queue; none when it is no dead letter.
pub(super) fn replay(connection: &Connection, wanted: Address, now: UnixMillis) -> rusqlite::Result<Option<Waiting>> {
    let mut statement = connection.prepare_cached(
        "UPDATE event SET due = ?3, until = ends, ends = NULL, tries = 0 \
         WHERE subscription = ?1 AND id = ?2 AND ends IS NOT NULL RETURNING otp",
    )?;
    let row = params![wanted.subscription.bytes(), wanted.event.bytes(), int(now.0)];
    let line = statement.query_row(row, |row| row.get(0).map(OtpId::from_bytes)).optional()?;
    Ok(line.map(|line| Waiting { address: wanted, due: now, line }))
}

/// Drops dead letters that are over, and the oldest ones where a subscriber has more than `most`.
pub(super) fn prune(connection: &Connection, now: UnixMillis, most: usize) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM event WHERE ends <= ?1")?.execute([int(now.0)])?;
    let mut statement = connection.prepare_cached(
        "DELETE FROM event WHERE (subscription, id) IN (SELECT subscription, id FROM (SELECT subscription, id, \
         row_number() OVER (PARTITION BY subscription ORDER BY id DESC) AS place FROM event INDEXED BY event_dead \
         WHERE ends IS NOT NULL) WHERE place > ?1)",
    )?;
    statement.execute([i64::try_from(most).unwrap_or(i64::MAX)]).map(drop)
}

/// Drops whatever is queued about a number. Reads the whole queue: an erasure is rare.
pub(super) fn erase(connection: &Connection, number: NumberKey) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM event WHERE number = ?1", [number.bytes()]).map(drop)
}

/// The subscriptions of an account, or all of them; oldest first.
pub(super) fn subscriptions(
    connection: &Connection,
    account: Option<&AccountId>,
) -> rusqlite::Result<Vec<Subscription>> {
    let mut found: Vec<Subscription> = match account {
        Some(account) => connection
            .prepare_cached("SELECT body FROM subscription WHERE account = ?1")?
            .query_map([account.as_str()], |row| json(row, 0))?
            .collect::<Result<_, _>>()?,
        None => connection
            .prepare_cached("SELECT body FROM subscription")?
            .query_map([], |row| json(row, 0))?
            .collect::<Result<_, _>>()?,
    };
    found.sort_by_key(|subscription| (subscription.created, subscription.id));
    Ok(found)
}

/// One subscription.
pub(super) fn subscription(connection: &Connection, id: SubscriptionId) -> rusqlite::Result<Option<Subscription>> {
    let mut statement = connection.prepare_cached("SELECT body FROM subscription WHERE id = ?1")?;
    statement.query_row([id.bytes()], |row| json(row, 0)).optional()
}

/// Writes a subscription.
pub(super) fn put_subscription(connection: &Connection, subscription: &Subscription) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO subscription (id, account, body) VALUES (?1, ?2, ?3) \
         ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    )?;
    let Subscription { id, account, .. } = subscription;
    statement.execute(params![id.bytes(), account.as_str(), to_json(subscription)?]).map(drop)
}

/// Deletes a subscription with everything that is queued for it. Whether it was there.
pub(super) fn delete_subscription(connection: &Connection, id: SubscriptionId) -> rusqlite::Result<bool> {
    connection.prepare_cached("DELETE FROM event WHERE subscription = ?1")?.execute([id.bytes()])?;
    Ok(connection.prepare_cached("DELETE FROM subscription WHERE id = ?1")?.execute([id.bytes()])? > 0)
}
