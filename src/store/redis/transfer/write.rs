//! Rows in the form of a copy as commands: what a commit of this store would have left for them. None where the bytes are no such
//! row.

use redis::Cmd;

use crate::abuse::NumberRecord;
use crate::access::connection::{Connection as Caller, ConnectionId};
use crate::clock::UnixMillis;
use crate::events::subscription::SubscriptionId;
use crate::idempotency::ReplayKey;
use crate::otp::id::{NumberKey, OtpId, VerificationId};
use crate::otp::record::Otp;
use crate::store::packed::unpack;
use crate::store::redis::answers::{GRACE as PLACE_GRACE, pointer};
use crate::store::redis::identity::POINTER_SLACK;
use crate::store::redis::place::{Kind as Letter, Place};
use crate::store::redis::records;
use crate::store::redis::row::FORM;
use crate::store::redis::spend::{LIFE, Spend};
use crate::store::redis::transfer::{Sent, command};
use crate::store::redis::write::{GRACE, millis};
use crate::store::transfer::form::{EventForm, OtpForm, SessionForm, answer, number_text, spend_parts, split_timed};
use crate::store::transfer::{Kind, Row};
use crate::store::{LONGEST_RATE, rules};

/// Adds the commands that write `row` to `sent`.
pub(super) fn row(sent: &mut Vec<Sent>, kind: Kind, Row { key, value }: &Row, now: UnixMillis) -> Option<()> {
    let mut put = |place: Place, command: Cmd| sent.push((place, command));
    match kind {
        Kind::Application => put(Place::Settings, field(Letter::Applications, key, value)),
        Kind::Subscription => put(Place::Settings, field(Letter::Subscriptions, key, value)),
        Kind::Connection => {
            let caller: Caller = serde_json::from_slice(value).ok()?;
            put(Place::Settings, field(Letter::Connections, key, value));
            for name in rules::names(&caller) {
                put(Place::Settings, field(Letter::Names, name.as_bytes(), key));
            }
        }
        Kind::Otp => {
            let form = OtpForm::parse(value)?;
            // What cannot be read here could not be read later.
            unpack::<Otp>(form.body).ok()?;
            let place = Place::of_otp(OtpId::from_bytes(key.as_slice().try_into().ok()?));
            put(place, set(place, Letter::Otp, key, &[&form.number[..], form.body].concat(), None));
            put(place, rank(place, Letter::OtpsOfNumber, &form.number, 0, key));
            if let Some(due) = form.due {
                put(place, rank(place, Letter::Due, b"", due, key));
            }
        }
        Kind::Number => {
            let place = Place::of_number(NumberKey::from_bytes(key.as_slice().try_into().ok()?));
            let record: NumberRecord = unpack(value).ok()?;
            put(place, set(place, Letter::Number, key, &records::number_with(&record, value), None));
            put(place, rank(place, Letter::Written, b"", (now + LONGEST_RATE).0, key));
        }
        Kind::Spend => {
            let (_, _, day) = spend_parts(key)?;
            let place = Spend::place(key);
            put(place, set(place, Letter::Spent, key, value, Some(LIFE)));
            put(place, rank(place, Letter::SpentDays, b"", day, key));
        }
        Kind::Message => {
            let id = records::message_id(key)?;
            let place = Place::of_otp(id.otp);
            let (due, _) = split_timed(value)?;
            let (hash, number) = (place.key(Letter::Messages, &id.otp.bytes()), records::message_field(id));
            put(place, command(&[b"HSET", &hash, &number, value]));
            put(place, rank(place, Letter::Outbox, b"", due, key));
        }
        Kind::Answer => {
            let (kept, due) = answer(key.as_slice().try_into().ok()?, value)?;
            let home = Place::of_answer(ReplayKey::from_bytes(key.as_slice().try_into().ok()?));
            let place = kept.number.map_or(home, Place::of_number);
            let left = UnixMillis(due).since(now);
            let bytes = records::answer_bytes(&kept).ok()?;
            put(place, set(place, Letter::Answer, key, &bytes, Some(millis(left + GRACE))));
            put(place, rank(place, Letter::AnswerDue, b"", due, key));
            put(home, set(home, Letter::AnswerPlace, key, pointer(place).as_bytes(), Some(millis(left + PLACE_GRACE))));
        }
        Kind::Event => {
            let (subscription, event) = key.split_first_chunk::<8>()?;
            let form = EventForm::parse(value)?;
            let place = Place::of_bytes(&SubscriptionId::from_bytes(*subscription).bytes());
            let queue = place.key(Letter::Queue, subscription);
            put(place, command(&[b"HSET", &queue, event, &[&[FORM][..], &form.row()].concat()]));
            match form.ends {
                Some(ends) => put(place, rank(place, Letter::QueueDead, subscription, ends, event)),
                None => {
                    let member = [event, &form.otp].concat();
                    put(place, rank(place, Letter::QueueDue, subscription, form.due, &member));
                    let (index, due) = (Place::Settings.key(Letter::QueuesDue, b""), form.due.to_string());
                    put(Place::Settings, command(&[b"ZADD", &index, b"LT", due.as_bytes(), subscription]));
                }
            }
        }
        Kind::Verification => {
            let (due, sealed) = split_timed(value)?;
            let place = Place::Shard(VerificationId::from_bytes(key.as_slice().try_into().ok()?).shard());
            put(place, set(place, Letter::Verification, key, sealed, None));
            put(place, rank(place, Letter::VerificationDue, b"", due, key));
        }
        Kind::Nonce => {
            let place = Place::of_bytes(key);
            let (until, _) = split_timed(value)?;
            put(place, rank(place, Letter::Nonces, b"", until, key));
        }
        Kind::Pair => {
            let id: ConnectionId = number_text(key)?;
            let place = Place::of_connection(id);
            put(place, set(place, Letter::Pair, &id.get().to_be_bytes(), value, None));
        }
        Kind::Puzzle => {
            let (expires, solved_for) = split_timed(value)?;
            put(Place::Settings, field(Letter::Puzzles, key, solved_for));
            put(Place::Settings, rank(Place::Settings, Letter::PuzzleEnds, b"", expires, key));
        }
        Kind::Session => {
            let form = SessionForm::parse(value)?;
            let (own, home) = (Place::of_number(NumberKey::from_bytes(form.number)), Place::of_bytes(key));
            let left = millis(UnixMillis(form.expires).since(now) + POINTER_SLACK);
            put(home, set(home, Letter::SessionPlace, key, &form.number, Some(left)));
            let (hash, row) = (own.key(Letter::Sessions, &form.number), value.get(form.number.len()..)?);
            put(own, command(&[b"HSET", &hash, key, row]));
            put(own, rank(own, Letter::SessionEnds, b"", form.expires, &[&form.number[..], key].concat()));
        }
    }
    Some(())
}

/// A row of the settings.
fn field(letter: Letter, field: &[u8], value: &[u8]) -> Cmd {
    command(&[b"HSET", &Place::Settings.key(letter, b""), field, value])
}

fn set(place: Place, letter: Letter, id: &[u8], value: &[u8], life: Option<u64>) -> Cmd {
    let mut command = command(&[b"SET", &place.key(letter, id), value]);
    if let Some(life) = life {
        command.arg("PX").arg(life.max(1));
    }
    command
}

fn rank(place: Place, letter: Letter, id: &[u8], score: u64, member: &[u8]) -> Cmd {
    command(&[b"ZADD", &place.key(letter, id), score.to_string().as_bytes(), member])
}
