//! Erasure of a number, now: its OTPs, its record, its sessions, what waits to be told of it, and the answers that show it.
//!
//! What the store's own files still hold goes when they are written anew; it is asked to do that.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::{Cmd, FromRedisValue as _, Value};

use crate::otp::id::{AccountId, NumberKey, OtpId};
use crate::otp::phone::E164;
use crate::otp::record::Otp;
use crate::otp::store::{Erased, OtpChange, StoreError};
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{Commit, Outcome, unreadable};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::prepare::After;
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::store::redis::seen::SeenOtp;
use crate::store::rules;

/// Tries to erase one OTP that others are changing.
const TRIES: usize = 64;
/// OTPs of a number that one step reads.
const PAGE: usize = 200;

/// OTPs of a number, newest first, beginning behind so many.
static OF_NUMBER: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local out={} for _,id in ipairs(redis.call('ZREVRANGE',KEYS[2],ARGV[2],ARGV[3])) do \
         out[#out+1]=redis.call('GET',ARGV[4]..id) end return out",
    )
});

impl RedisStore {
    pub(super) async fn otps_of_number(&self, key: NumberKey, limit: usize) -> Result<Vec<Arc<Otp>>, StoreError> {
        let place = Place::of_number(key);
        let mut found: Vec<Arc<Otp>> = Vec::new();
        let mut from = 0;
        while found.len() < limit {
            let page = PAGE.min(limit - found.len());
            let call = Call::new(&OF_NUMBER, place).key(Kind::OtpsOfNumber, &key.bytes());
            let call = call.number(from as u64).number((from + page - 1) as u64).arg(place.key(Kind::Otp, b""));
            let Value::Array(rows) = self.link.run(call).await? else { return Err(unreadable()) };
            let read = rows.len();
            for row in rows {
                let bytes = Vec::<u8>::from_redis_value(row).map_err(|_| unreadable())?;
                found.extend(SeenOtp::read(Some(&bytes))?.value);
            }
            if read < page {
                break;
            }
            from += page;
        }
        Ok(found)
    }

    pub(super) async fn erase_now(&self, key: NumberKey) -> Result<Erased, StoreError> {
        let mut erased = Erased::default();
        for otp in self.otps_of_number(key, usize::MAX).await? {
            self.erase_otp(otp.id, &mut erased).await?;
        }
        let mut commit = Commit::new(Place::of_number(key));
        commit.delete(Kind::Number, &key.bytes());
        commit.unrank(Kind::Written, b"", &key.bytes());
        commit.run(&self.link).await?;
        self.memory.forget_number(key);
        self.forget_answers(key).await?;
        self.erase_verifications(key).await?;
        self.erase_sessions(key).await?;
        self.erase_events(key).await?;
        Ok(erased)
    }

    async fn erase_otp(&self, id: OtpId, erased: &mut Erased) -> Result<(), StoreError> {
        let place = Place::of_otp(id);
        for _ in 0..TRIES {
            let bytes = self.get(place, Kind::Otp, &id.bytes()).await?;
            let seen = SeenOtp::read(bytes.as_deref())?;
            let Some(otp) = seen.value else { return Ok(()) };
            let (mut commit, mut after) = (Commit::new(place), After::default());
            commit.check(Kind::Otp, &id.bytes(), seen.mark.bytes());
            let outcome = rules::erased(Otp::clone(&otp), self.clock.now());
            match &outcome {
                OtpChange::Keep => self.forget_messages(&mut commit, &mut after, id),
                // An erasure is nobody's news: it is written without any.
                OtpChange::Delete => self.remove_otp(&mut commit, &mut after, &otp),
                OtpChange::Put(after_it) => {
                    self.write_otp(&mut commit, &mut after, Some(&otp), after_it)?;
                    self.forget_messages(&mut commit, &mut after, id);
                }
            }
            if let Outcome::Done(grown) = commit.run(&self.link).await? {
                self.follow(place, after, grown, None);
                match outcome {
                    OtpChange::Keep => {}
                    OtpChange::Delete => erased.deleted += 1,
                    OtpChange::Put(_) => erased.anonymised += 1,
                }
                return Ok(());
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Whether no record holds the number any more; the store is asked to write its files anew.
    pub(super) async fn purge_now(&self, number: &E164) -> Result<bool, StoreError> {
        let mut accounts: BTreeSet<AccountId> = self.accounts().await?;
        accounts.insert(AccountId::default_account());
        for account in accounts {
            let key = NumberKey::of(&self.keyring, &account, number);
            let otps = self.otps_of_number(key, usize::MAX).await?;
            if otps.iter().any(|otp| otp.number() == Some(number)) {
                return Ok(false);
            }
        }
        let mut rewrite = Cmd::new();
        rewrite.arg("BGREWRITEAOF");
        // A store without a log, or one that forbids it, has nothing of ours to rewrite or does it by itself.
        let _asked = self.link.live()?.connection.clone().send(rewrite).await;
        Ok(true)
    }
}
