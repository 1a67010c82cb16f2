//! Rows in the form of a copy from where they lie.

use crate::access::connection::ConnectionId;
use crate::events::inside::INSIDE;
use crate::events::subscription::SubscriptionId;
use crate::idempotency::ReplayKey;
use crate::otp::id::OtpId;
use crate::store::redis::index;
use crate::store::redis::place::{Kind as Letter, Place};
use crate::store::redis::records;
use crate::store::redis::row::{FORM, address_of};
use crate::store::redis::transfer::scan::{At, whole};
use crate::store::redis::transfer::{RedisTransfer, command, read_as};
use crate::store::transfer::form::{EventForm, OtpForm, SessionForm, answer_bytes, number_text, timed};
use crate::store::transfer::{Cursor, Kind, Page, Row, TransferError};

/// Parts of the events: the queues come first, then what no queue has yet, shard by shard.
const SHARDS: u64 = 256;

fn page(rows: Vec<Row>, next: Option<At>) -> Page {
    Page { rows, next: next.map(At::cursor) }
}

impl RedisTransfer {
    pub(super) async fn read_rows(
        &self,
        kind: Kind,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, TransferError> {
        let at = At::of(after.as_ref());
        match kind {
            Kind::Application => self.settings(Letter::Applications, at, limit).await,
            Kind::Connection => self.settings(Letter::Connections, at, limit).await,
            Kind::Subscription => self.settings(Letter::Subscriptions, at, limit).await,
            Kind::Pair => self.pairs(at, limit).await,
            Kind::Puzzle => self.puzzles(at, limit).await,
            Kind::Otp => self.otps(at, limit).await,
            Kind::Event => self.events(at, limit).await,
            Kind::Number
            | Kind::Spend
            | Kind::Message
            | Kind::Answer
            | Kind::Nonce
            | Kind::Session
            | Kind::Verification => self.ranked_rows(kind, at, limit).await,
        }
    }

    async fn settings(&self, letter: Letter, at: At, limit: usize) -> Result<Page, TransferError> {
        let (within, fields) = self.fields(&Place::Settings.key(letter, b""), at.within, limit).await?;
        let rows = fields.into_iter().map(|(key, value)| Row { key, value }).collect();
        Ok(page(rows, (within > 0).then_some(At { within, ..at })))
    }

    /// The pairs of keys of some connections.
    async fn pairs(&self, at: At, limit: usize) -> Result<Page, TransferError> {
        let (within, fields) = self.fields(&Place::Settings.key(Letter::Connections, b""), at.within, limit).await?;
        let ids: Vec<ConnectionId> = fields.iter().filter_map(|(id, _)| number_text(id)).collect();
        let gets = ids.iter().map(|id| {
            let place = Place::of_connection(*id);
            (place, command(&[b"GET", &place.key(Letter::Pair, &id.get().to_be_bytes())]))
        });
        let mut rows = Vec::new();
        for (id, value) in ids.iter().zip(self.all(gets.collect()).await?) {
            if let Some(value) = read_as::<Option<Vec<u8>>>(value)? {
                rows.push(Row { key: id.to_string().into_bytes(), value });
            }
        }
        Ok(page(rows, (within > 0).then_some(At { within, ..at })))
    }

    async fn puzzles(&self, at: At, limit: usize) -> Result<Page, TransferError> {
        let (within, fields) = self.fields(&Place::Settings.key(Letter::Puzzles, b""), at.within, limit).await?;
        let ends = Place::Settings.key(Letter::PuzzleEnds, b"");
        let scores = fields.iter().map(|(id, _)| (Place::Settings, command(&[b"ZSCORE", &ends, id])));
        let scores = self.all(scores.collect()).await?;
        let mut rows = Vec::new();
        for ((key, solved_for), score) in fields.into_iter().zip(scores) {
            let expires = read_as::<Option<f64>>(score)?.ok_or(TransferError::Damaged(Kind::Puzzle))?;
            rows.push(Row { key, value: timed(whole(expires), &solved_for) });
        }
        Ok(page(rows, (within > 0).then_some(At { within, ..at })))
    }

    async fn otps(&self, at: At, limit: usize) -> Result<Page, TransferError> {
        let (ids, next) = self.ids(Letter::Otp, at, limit).await?;
        let mut commands = Vec::new();
        let mut read = Vec::new();
        for id in ids {
            let Ok(bytes) = id.as_slice().try_into() else { continue };
            let place = Place::of_otp(OtpId::from_bytes(bytes));
            commands.push((place, command(&[b"GET", &place.key(Letter::Otp, &id)])));
            commands.push((place, command(&[b"ZSCORE", &place.key(Letter::Due, b""), &id])));
            read.push(id);
        }
        let mut answers = self.all(commands).await?.into_iter();
        let mut rows = Vec::new();
        for key in read {
            let (Some(value), Some(due)) = (answers.next(), answers.next()) else { break };
            let Some(value) = read_as::<Option<Vec<u8>>>(value)? else { continue };
            let due = read_as::<Option<f64>>(due)?.map(whole);
            let (number, body) = value.split_first_chunk().ok_or(TransferError::Damaged(Kind::Otp))?;
            rows.push(Row { key, value: OtpForm { due, number: *number, body }.bytes() });
        }
        Ok(page(rows, next))
    }

    /// What the sorted sets of the shards name.
    async fn ranked_rows(&self, kind: Kind, at: At, limit: usize) -> Result<Page, TransferError> {
        let letter = ranks_of(kind);
        let (found, next) = self.ranked(letter, at, limit).await?;
        let mut commands = Vec::new();
        for (place, member, _) in &found {
            let (place, lies) = (*place, |letter: Letter, id: &[u8]| place.key(letter, id));
            let get = |key: Vec<u8>| command(&[b"GET", &key]);
            let field = |key: Vec<u8>, field: &[u8]| command(&[b"HGET", &key, field]);
            let (head, tail) = member.split_at_checked(16).unwrap_or((member, b""));
            commands.push((
                place,
                match kind {
                    Kind::Number => get(lies(Letter::Number, member)),
                    Kind::Spend => get(lies(Letter::Spent, member)),
                    Kind::Message => field(lies(Letter::Messages, head), tail),
                    Kind::Session => field(lies(Letter::Sessions, head), tail),
                    Kind::Verification => get(lies(Letter::Verification, member)),
                    Kind::Nonce => command(&[b"ZSCORE", &lies(letter, b""), member]),
                    _ => get(lies(Letter::Answer, member)),
                },
            ));
        }
        let mut rows = Vec::new();
        for ((_, member, score), value) in found.into_iter().zip(self.all(commands).await?) {
            // Its time was over since, or it went and left its rank.
            let Some(value) = read_as::<Option<Vec<u8>>>(value)? else { continue };
            rows.push(ranked_row(kind, member, score, value).ok_or(TransferError::Damaged(kind))?);
        }
        Ok(page(rows, next))
    }

    async fn events(&self, at: At, limit: usize) -> Result<Page, TransferError> {
        let queues = self.queues().await?;
        let count = u64::try_from(queues.len()).unwrap_or(u64::MAX);
        let Some(id) = usize::try_from(at.part).ok().and_then(|part| queues.get(part)) else {
            return self.unrelayed(at, count, limit).await;
        };
        let (bytes, place) = (id.bytes(), Place::of_bytes(&id.bytes()));
        let (within, fields) = self.fields(&place.key(Letter::Queue, &bytes), at.within, limit).await?;
        // Beside the events there lies whether the subscriber took the last one.
        let fields: Vec<_> = fields.into_iter().filter(|(event, _)| event.len() == 16).collect();
        let dead = place.key(Letter::QueueDead, &bytes);
        let ends = fields.iter().map(|(event, _)| (place, command(&[b"ZSCORE", &dead, event])));
        let ends = self.all(ends.collect()).await?;
        let mut rows = Vec::new();
        for ((event, row), ends) in fields.into_iter().zip(ends) {
            let ends = read_as::<Option<f64>>(ends)?.map(whole);
            rows.push(event_row([&bytes[..], &event].concat(), &row, ends)?);
        }
        let next = if within > 0 { At { within, ..at } } else { at.next_part() };
        Ok(page(rows, Some(next)))
    }

    /// Events that were committed and did not reach their queue. One that did is left out: it may have been told since.
    async fn unrelayed(&self, at: At, queues: u64, limit: usize) -> Result<Page, TransferError> {
        let Ok(shard) = u8::try_from(at.part.saturating_sub(queues)) else { return Ok(Page::default()) };
        let place = Place::Shard(shard);
        let (within, fields) = self.fields(&place.key(Letter::Events, b""), at.within, limit).await?;
        let mut commands = Vec::new();
        for (field, _) in &fields {
            let address = address_of(field).ok_or(TransferError::Damaged(Kind::Event))?;
            let bytes = address.subscription.bytes();
            let queue = Place::of_bytes(&bytes);
            commands
                .push((queue, command(&[b"ZSCORE", &queue.key(Letter::QueueSeen, &bytes), &address.event.bytes()])));
        }
        let mut rows = Vec::new();
        for ((field, row), seen) in fields.into_iter().zip(self.all(commands).await?) {
            if read_as::<Option<f64>>(seen)?.is_none() {
                rows.push(event_row(field, &row, None)?);
            }
        }
        let next = if within > 0 { At { within, ..at } } else { at.next_part() };
        Ok(page(rows, (next.part < queues + SHARDS).then_some(next)))
    }

    /// Every queue that something may lie in, in their order.
    async fn queues(&self) -> Result<Vec<SubscriptionId>, TransferError> {
        let due = self.send(&[b"ZRANGE", &Place::Settings.key(Letter::QueuesDue, b""), b"0", b"-1"]).await?;
        let due: Vec<Vec<u8>> = read_as(due)?;
        let known = self.send(&[b"HKEYS", &Place::Settings.key(Letter::Subscriptions, b"")]).await?;
        let known: Vec<String> = read_as(known)?;
        let mut all: Vec<SubscriptionId> = due.iter().filter_map(|id| index::subscription(id)).collect();
        all.extend(known.iter().filter_map(|id| id.parse::<SubscriptionId>().ok()));
        all.push(INSIDE);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    pub(super) async fn count_rows(&self, kind: Kind) -> Result<u64, TransferError> {
        let fields = async |letter| read_as::<u64>(self.send(&[b"HLEN", &Place::Settings.key(letter, b"")]).await?);
        match kind {
            Kind::Application => fields(Letter::Applications).await,
            Kind::Connection => fields(Letter::Connections).await,
            Kind::Subscription => fields(Letter::Subscriptions).await,
            Kind::Puzzle => fields(Letter::Puzzles).await,
            Kind::Otp => {
                let (mut at, mut count) = (Some(At::default()), 0);
                while let Some(from) = at {
                    let (ids, next) = self.ids(Letter::Otp, from, 10_000).await?;
                    count += u64::try_from(ids.len()).unwrap_or(u64::MAX);
                    at = next;
                }
                Ok(count)
            }
            Kind::Pair | Kind::Event => {
                let (mut after, mut count) = (None, 0);
                loop {
                    let page = self.read_rows(kind, after, 10_000).await?;
                    count += u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
                    after = page.next;
                    if after.is_none() {
                        return Ok(count);
                    }
                }
            }
            Kind::Number
            | Kind::Spend
            | Kind::Message
            | Kind::Answer
            | Kind::Nonce
            | Kind::Session
            | Kind::Verification => self.ranks(ranks_of(kind)).await,
        }
    }
}

/// The sorted sets that name every row of a kind.
const fn ranks_of(kind: Kind) -> Letter {
    match kind {
        Kind::Number => Letter::Written,
        Kind::Spend => Letter::SpentDays,
        Kind::Message => Letter::Outbox,
        Kind::Nonce => Letter::Nonces,
        Kind::Session => Letter::SessionEnds,
        Kind::Verification => Letter::VerificationDue,
        _ => Letter::AnswerDue,
    }
}

fn ranked_row(kind: Kind, member: Vec<u8>, score: u64, value: Vec<u8>) -> Option<Row> {
    Some(match kind {
        Kind::Number => Row { key: member, value: records::number_body(&value)?.to_vec() },
        Kind::Nonce => Row { key: member, value: timed(score, b"") },
        Kind::Verification => Row { key: member, value: timed(score, &value) },
        Kind::Session => {
            let (number, key) = member.split_first_chunk()?;
            let (expires, body) = crate::store::transfer::form::split_timed(&value)?;
            Row { key: key.to_vec(), value: SessionForm { number: *number, expires, body }.bytes() }
        }
        Kind::Answer => {
            let key = ReplayKey::from_bytes(member.as_slice().try_into().ok()?);
            let kept = records::answer(key, &value).ok()?;
            Row { key: member, value: answer_bytes(&kept, score) }
        }
        _ => Row { key: member, value },
    })
}

fn event_row(key: Vec<u8>, row: &[u8], ends: Option<u64>) -> Result<Row, TransferError> {
    let form = row.split_first().filter(|(form, _)| **form == FORM);
    let form = form.and_then(|(_, row)| EventForm::parse_row(ends, row));
    Ok(Row { key, value: form.ok_or(TransferError::Damaged(Kind::Event))?.bytes() })
}
