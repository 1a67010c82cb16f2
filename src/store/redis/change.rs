//! The store port: what is remembered is tried first, and the commit says whether it was right. So a change that nobody got in
//! the way of is one step, and one that somebody did is one more, with what lies there now.
//!
//! What is remembered is never shown to anybody unchecked: a transition that writes nothing is run again on what was read.

use std::sync::Arc;

use futures_util::future::{join4, try_join};
use redis::{FromRedisValue as _, Value};

use crate::idempotency::ReplayKey;
use crate::otp::answer::{Kept, KeptAnswer};
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::MessageId;
use crate::otp::record::Otp;
use crate::otp::store::{Records, StoreError, Subject, Touch, Transition};
use crate::store::pending::Step;
use crate::store::redis::RedisStore;
use crate::store::redis::answers::Reservation;
use crate::store::redis::commit::{Outcome, unreadable};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::prepare::{After, Prepared};
use crate::store::redis::records;
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::store::redis::seen::{Mark, Seen, SeenMessage, SeenNumber, SeenOtp};
use crate::store::redis::spend::Spend;

/// Tries of one change. Each loses to one that succeeded; a number that is fought for this hard is refused.
const TRIES: usize = 256;

/// An OTP, and its number's record.
static LOAD: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local v=redis.call('GET',KEYS[2]) if not v then return {false,false} end \
         return {v,redis.call('GET',ARGV[2]..string.sub(v,1,16))}",
    )
});

/// An OTP, and a message of it.
static WITH_MESSAGE: Lazy =
    Lazy::new(|| Lua::guarded("return {redis.call('GET',KEYS[2]),redis.call('HGET',KEYS[3],ARGV[2])}"));

/// A number's record, and the OTPs that hold for a purpose of it.
static HELD: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local v=redis.call('GET',KEYS[2]) if not v then return {false} end local found={v} \
         for i=0,string.byte(v,1)-1 do local id=string.sub(v,2+i*16,17+i*16) \
         local otp=redis.call('GET',ARGV[2]..id) if otp then found[#found+1]=id found[#found+1]=otp end end return found",
    )
});

/// What a change begins with.
pub(super) struct Snapshot {
    /// The OTP that was looked for.
    pub(super) id: Option<OtpId>,
    pub(super) otp: SeenOtp,
    /// The number whose record was read.
    pub(super) key: Option<NumberKey>,
    pub(super) number: SeenNumber,
    /// The message that was looked for, and how it stands.
    pub(super) message: Option<(MessageId, SeenMessage)>,
    /// It was read, not remembered.
    fresh: bool,
    /// Nothing was kept when it was read under the key whose answer is written with it, where nobody had reserved that.
    answerless: bool,
}

impl RedisStore {
    pub(super) async fn change_now(&self, touch: Touch, mut transition: Transition) -> Result<(), StoreError> {
        let place = match (&touch.subject, touch.answer) {
            (Subject::Number(key) | Subject::Purpose(key, _), _) => Place::of_number(*key),
            (Subject::Otp(id) | Subject::OtpAlone(id), _) => Place::of_otp(*id),
            (Subject::Message(message), _) => Place::of_otp(message.id.otp),
            (Subject::Nobody, Some(key)) => Place::of_answer(key),
            (Subject::Nobody, None) => Place::Shard(0),
        };
        let (mut reservations, mut spend) = (Vec::new(), None);
        let done = self.begin_change(&touch, place, &mut transition, &mut reservations, &mut spend).await;
        if let Some(spend) = spend {
            Box::pin(spend.end(self)).await;
        }
        // A commit that may still be on its way holds what it reserved, until that runs out.
        if done != Err(StoreError::Unanswered) {
            reservations.into_iter().for_each(|reservation| self.release(reservation));
        }
        done
    }

    /// What was reserved and counted for it is there afterwards, whatever became of it: it has to be ended.
    async fn begin_change(
        &self,
        touch: &Touch,
        place: Place,
        transition: &mut Transition,
        reservations: &mut Vec<Reservation>,
        spend: &mut Option<Spend>,
    ) -> Result<(), StoreError> {
        let apart = self.counts_apart();
        let far = match touch.answer {
            Some(key) if !self.reaches(place, key)? => Some(key),
            _ => None,
        };
        let snapshot = if apart || far.is_some() || touch.spend.is_some() {
            Box::pin(self.gather(touch, place, far, reservations, spend)).await?
        } else {
            None
        };
        self.try_change(touch, place, snapshot, transition, reservations, spend.as_mut()).await
    }

    /// Asks in one turn for all that a change needs of several places before its commit: that its call is counted, the right to
    /// write a `far` answer, a daily count, and its records where they are not remembered.
    async fn gather(
        &self,
        touch: &Touch,
        place: Place,
        far: Option<ReplayKey>,
        reservations: &mut Vec<Reservation>,
        spend: &mut Option<Spend>,
    ) -> Result<Option<Snapshot>, StoreError> {
        let apart = self.counts_apart();
        let counted = async { if apart { self.count().await } else { Ok(()) } };
        let reserved = async { Some(self.reserve(far?, place).await) };
        let begun = async { Some(Spend::begin(self, place, touch.spend.as_ref()?).await) };
        // Where the quota has to be asked for anyhow, what is remembered is made sure of meanwhile.
        let read = async {
            let remembered = !apart && self.remembered(&touch.subject).is_some();
            let near = touch.answer.filter(|_| far.is_none());
            if remembered { Ok(None) } else { self.look(touch, place, near).await.map(Some) }
        };
        // In this order: the charge is taken before anything else begins.
        let (counted, reserved, begun, read) = join4(counted, reserved, begun, read).await;
        // What was begun is noted first: it has to be ended, whatever the others say.
        let reserved = reserved.transpose().map(|reserved| reservations.extend(reserved));
        let begun = begun.transpose().map(|begun| *spend = begun);
        let read = read.map(|read| {
            read.map(|(snapshot, found)| {
                reservations.extend(found);
                snapshot
            })
        });
        counted.and(reserved).and(begun).and(read)
    }

    /// Reads a subject, and whether anything is kept under `near`: if so, that is reserved.
    async fn look(
        &self,
        touch: &Touch,
        place: Place,
        near: Option<ReplayKey>,
    ) -> Result<(Snapshot, Option<Reservation>), StoreError> {
        let found = async { if let Some(key) = near { self.find_answer(key).await } else { Ok(None) } };
        let (mut snapshot, found) = try_join(self.load(&touch.subject), found).await?;
        snapshot.answerless = true;
        let reservation = match near {
            Some(key) if found.is_some() => Some(self.reserve(key, place).await?),
            _ => None,
        };
        Ok((snapshot, reservation))
    }

    async fn try_change(
        &self,
        touch: &Touch,
        place: Place,
        mut snapshot: Option<Snapshot>,
        transition: &mut Transition,
        reservations: &mut Vec<Reservation>,
        mut spend: Option<&mut Spend>,
    ) -> Result<(), StoreError> {
        if snapshot.is_none() {
            snapshot = self.remembered(&touch.subject);
        }
        for _ in 0..TRIES {
            let seen = match snapshot.take() {
                Some(seen) => seen,
                None => {
                    let near = touch.answer.filter(|key| !is_reserved(reservations, *key));
                    let (seen, reservation) = Box::pin(self.look(touch, place, near)).await?;
                    reservations.extend(reservation);
                    seen
                }
            };
            let reserved = reservations.iter().find(|reservation| touch.answer == Some(reservation.key));
            let kept = match reserved.and_then(|reservation| reservation.kept.clone()) {
                Some(answer) => Some(Box::pin(self.with_otp(answer, &seen)).await?),
                None => None,
            };
            let spent = spend.as_ref().map_or(0, |spend| spend.count());
            let message = seen.message.as_ref().and_then(|(_, seen)| seen.value.clone());
            let records =
                Records { otp: seen.otp.value.clone(), message, number: seen.number.value.clone(), spent, kept };
            let changes = transition(&records);
            let prepared = self.prepare(touch, place, &seen, changes, reservations, spend.as_deref_mut()).await?;
            let Some(Prepared { commit, after }) = prepared else {
                let known = spend.as_ref().is_none_or(|spend| spend.is_known());
                let looked = |key| seen.answerless || is_reserved(reservations, key);
                if seen.fresh && known && touch.answer.is_none_or(looked) {
                    return Ok(());
                }
                if let Some(spend) = &mut spend {
                    Box::pin(spend.read(self)).await?;
                }
                continue;
            };
            match self.commit(commit).await? {
                Outcome::Done(grown) => {
                    for reservation in reservations.iter_mut() {
                        let wrote = after.answered.filter(|(key, _)| *key == reservation.key);
                        reservation.wrote = wrote.map(|(_, due)| due);
                    }
                    if let Some(spend) = spend {
                        spend.committed();
                    }
                    self.follow(place, after, grown, seen.key.map(|_| seen.number.mark == Mark::default()));
                    return Ok(());
                }
                Outcome::Moved(values) => {
                    // The last two of what was checked: something is kept, or about to be.
                    if let Some(key) = after.unanswered
                        && values.iter().rev().take(2).any(Option::is_some)
                    {
                        reservations.push(Box::pin(self.reserve(key, place)).await?);
                    }
                    snapshot = Box::pin(self.moved(touch, &seen, &after, values, spend.as_deref_mut())).await?;
                }
            }
        }
        Err(StoreError::Unavailable)
    }

    /// What is remembered of the subject; none where it has to be read.
    fn remembered(&self, subject: &Subject) -> Option<Snapshot> {
        let nothing = Snapshot {
            id: None,
            otp: Seen::default(),
            key: None,
            number: Seen::default(),
            message: None,
            fresh: false,
            answerless: false,
        };
        match subject {
            // Mostly nobody has sent to it for long: the commit says if somebody has.
            Subject::Number(key) => {
                Some(Snapshot { key: Some(*key), number: self.memory.number(*key).unwrap_or_default(), ..nothing })
            }
            Subject::Otp(id) => {
                let (otp, key, number) = self.memory.both(*id)?;
                Some(Snapshot { id: Some(*id), otp, key: Some(key), number, ..nothing })
            }
            Subject::OtpAlone(id) => Some(Snapshot { id: Some(*id), otp: self.memory.otp(*id)?, ..nothing }),
            // As its claimant knows it: the commit says if somebody else has got hold of it.
            Subject::Message(message) => {
                let id = message.id;
                let seen = SeenMessage::known(message)?;
                Some(Snapshot { id: Some(id.otp), otp: self.memory.otp(id.otp)?, message: Some((id, seen)), ..nothing })
            }
            Subject::Purpose(key, purpose) => {
                let number = self.memory.number(*key)?;
                let holding = number.value.holding(purpose.as_str()).map(OtpId::from_bytes);
                let otp = match holding {
                    Some(id) => self.memory.otp(id)?,
                    None => Seen::default(),
                };
                Some(Snapshot { id: holding, otp, key: Some(*key), number, ..nothing })
            }
            Subject::Nobody => Some(Snapshot { fresh: true, ..nothing }),
        }
    }

    async fn load(&self, subject: &Subject) -> Result<Snapshot, StoreError> {
        let nothing = Snapshot {
            id: None,
            otp: Seen::default(),
            key: None,
            number: Seen::default(),
            message: None,
            fresh: true,
            answerless: false,
        };
        Ok(match subject {
            Subject::Nobody => nothing,
            Subject::Number(key) => {
                let bytes = self.get(Place::of_number(*key), Kind::Number, &key.bytes()).await?;
                Snapshot { key: Some(*key), number: SeenNumber::read(bytes.as_deref())?, ..nothing }
            }
            Subject::OtpAlone(id) => {
                let bytes = self.get(Place::of_otp(*id), Kind::Otp, &id.bytes()).await?;
                Snapshot { id: Some(*id), otp: SeenOtp::read(bytes.as_deref())?, ..nothing }
            }
            Subject::Message(held) => {
                let (id, place) = (held.id, Place::of_otp(held.id.otp));
                let call = Call::new(&WITH_MESSAGE, place).key(Kind::Otp, &id.otp.bytes());
                let call = call.key(Kind::Messages, &id.otp.bytes()).arg(records::message_field(id));
                let [otp, message] = two(self.link.run(call).await?)?;
                let seen = SeenMessage::read(id, message.as_deref());
                if SeenMessage::known(held).is_none_or(|known| known.mark != seen.mark) {
                    // As in `moved`: it is not held here as it was.
                    self.pending.apply(vec![Step::Settle(id)]);
                }
                let otp = SeenOtp::read(otp.as_deref())?;
                Snapshot { id: Some(id.otp), otp, message: Some((id, seen)), ..nothing }
            }
            Subject::Otp(id) => {
                let place = Place::of_otp(*id);
                let call = Call::new(&LOAD, place).key(Kind::Otp, &id.bytes()).arg(place.key(Kind::Number, b""));
                let [otp, number] = two(self.link.run(call).await?)?;
                let otp = SeenOtp::read(otp.as_deref())?;
                let key = otp.value.as_ref().map(|otp| otp.number_key);
                let number = SeenNumber::read(number.as_deref())?;
                Snapshot { id: Some(*id), otp, key, number, ..nothing }
            }
            Subject::Purpose(key, purpose) => {
                let place = Place::of_number(*key);
                let call = Call::new(&HELD, place).key(Kind::Number, &key.bytes()).arg(place.key(Kind::Otp, b""));
                let answer = self.link.run(call).await?;
                let mut parts = Vec::<Option<Vec<u8>>>::from_redis_value(answer).map_err(|_| unreadable())?.into_iter();
                let number = SeenNumber::read(parts.next().flatten().as_deref())?;
                let holding = number.value.holding(purpose.as_str()).map(OtpId::from_bytes);
                let mut otp = Seen::default();
                while let (Some(Some(id)), Some(bytes)) = (parts.next(), parts.next()) {
                    if holding.is_some_and(|holding| holding.bytes()[..] == id[..]) {
                        otp = SeenOtp::read(bytes.as_deref())?;
                    }
                }
                Snapshot { id: holding, otp, key: Some(*key), number, ..nothing }
            }
        })
    }

    /// What to begin with after somebody else was first.
    async fn moved(
        &self,
        touch: &Touch,
        before: &Snapshot,
        after: &After,
        values: Vec<Option<Vec<u8>>>,
        spend: Option<&mut Spend>,
    ) -> Result<Option<Snapshot>, StoreError> {
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let otp = if before.id.is_some() { SeenOtp::read(next().as_deref())? } else { Seen::default() };
        let number = if before.key.is_some() { SeenNumber::read(next().as_deref())? } else { Seen::default() };
        if after.spend_checked
            && let Some(spend) = spend
        {
            spend.moved(self, next()).await?;
        }
        let message = before.message.as_ref().map(|(id, known)| {
            let seen = SeenMessage::read(*id, next().as_deref());
            if seen.mark != known.mark {
                // Another replica has it, or a commit of this one whose answer was lost: it is not held here as it was.
                self.pending.apply(vec![Step::Settle(*id)]);
            }
            (*id, seen)
        });
        // Another code may hold for the purpose by now.
        if matches!(touch.subject, Subject::Purpose(..)) {
            return Ok(None);
        }
        let key = match touch.subject {
            Subject::Otp(_) => otp.value.as_ref().map(|otp: &Arc<Otp>| otp.number_key),
            _ => before.key,
        };
        Ok(Some(Snapshot { id: before.id, otp, key, number, message, fresh: true, answerless: false }))
    }

    async fn with_otp(&self, answer: Arc<KeptAnswer>, seen: &Snapshot) -> Result<Kept, StoreError> {
        let otp = match answer.otp {
            Some(id) if seen.fresh && seen.id == Some(id) => seen.otp.value.clone(),
            Some(id) => self.fetch(id).await?,
            None => None,
        };
        Ok(Kept { answer, otp })
    }
}

pub(super) fn is_reserved(reservations: &[Reservation], key: ReplayKey) -> bool {
    reservations.iter().any(|reservation| reservation.key == key)
}

fn two(value: Value) -> Result<[Option<Vec<u8>>; 2], StoreError> {
    let values = Vec::<Option<Vec<u8>>>::from_redis_value(value).map_err(|_| unreadable())?;
    values.try_into().map_err(|_| unreadable())
}
