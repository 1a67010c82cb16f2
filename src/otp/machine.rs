//! The state machine of an OTP: every legal transition, pure. It decides; the service words, the store keeps. What becomes of
//! its messages is next door, in `deliveries`.
//!
//! Verify follows kratos' order: count the attempt, cap, compare in constant time, consume where not yet used. All of it
//! is one transition, so no verdict can leave before the commit that counts it.

use std::time::Duration;

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;
use crate::otp::code::EnteredCode;
use crate::otp::event::EventKind;
use crate::otp::record::{Otp, OtpStatus, Recipient, SealedContent};
use crate::secret::Keyring;

/// What a check found. Exactly one check of an OTP ever finds [`Verdict::Verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The right code, for the first and only time.
    Verified,
    /// A wrong code; attempts are left.
    Wrong,
    /// A wrong code, and it was the last attempt (of the code, or of the number's failure budget).
    Exhausted,
    /// The first check after the expiry. The code was not looked at.
    Expired,
    /// The code is older than this check allows, but not expired. The code was not looked at.
    TooOld,
    /// Final before this check. The code was not looked at.
    Final(OtpStatus),
    /// The number is locked after too many failures. The code was not looked at.
    Locked,
}

impl Otp {
    /// Checks `entered`.
    pub fn check(
        &mut self,
        number: &mut NumberRecord,
        keyring: &Keyring,
        entered: &EnteredCode,
        max_age: Option<Duration>,
        now: UnixMillis,
    ) -> Verdict {
        match self.status_at(now) {
            OtpStatus::Active => {}
            OtpStatus::Expired if !self.expiry_told => {
                self.expire_now(now);
                self.expiry_told = true;
                return Verdict::Expired;
            }
            status => return Verdict::Final(status),
        }
        if number.locked_at(now).is_some() {
            self.finish(OtpStatus::TooManyAttempts, EventKind::CheckOtpTooManyAttempts, now);
            return Verdict::Locked;
        }
        if max_age.is_some_and(|age| now.since(self.created) > age) {
            return Verdict::TooOld;
        }
        // Counted before it is compared: whatever happens from here on, this attempt is spent.
        self.attempts += 1;
        let opened = self.sealed.as_ref().map(|sealed| SealedContent::open(keyring, self.id, sealed));
        // A seal that does not open matches nothing: fail closed.
        let right = matches!(opened, Some(Ok(content)) if content.matches(entered));
        if right {
            number.succeed();
            self.finish(OtpStatus::Verified, EventKind::CheckOtpSuccess, now);
            return Verdict::Verified;
        }
        let locked = number.fail(now);
        if locked || self.attempts >= self.attempts_allowed {
            self.record(EventKind::CheckOtpFail, now, None);
            self.finish(OtpStatus::TooManyAttempts, EventKind::CheckOtpTooManyAttempts, now);
            return Verdict::Exhausted;
        }
        self.record(EventKind::CheckOtpFail, now, None);
        Verdict::Wrong
    }

    /// Notes that its time ran out, if it did and nobody has noted it. Whether this changed anything.
    pub fn expire_now(&mut self, now: UnixMillis) -> bool {
        let ran_out = self.status == OtpStatus::Active && now >= self.expire;
        if ran_out {
            self.finish(OtpStatus::Expired, EventKind::CheckOtpExpired, self.expire.max(self.created));
        }
        ran_out
    }

    /// A newer code takes its place, where a dialect wants that. Whether this changed anything.
    pub fn replace(&mut self, now: UnixMillis) -> bool {
        let active = self.status_at(now) == OtpStatus::Active;
        if active {
            self.expiry_told = true;
            self.finish(OtpStatus::Expired, EventKind::CheckOtpReplaced, now);
        }
        active
    }

    /// Replaces the number by its keyed hash, once the OTP is final. Whether this changed anything.
    pub fn erase_number(&mut self) -> bool {
        let erasable = self.status != OtpStatus::Active && self.recipient != Recipient::Erased;
        if erasable {
            self.recipient = Recipient::Erased;
            self.reference = None;
            self.purpose = None;
            self.sealed = None;
        }
        erasable
    }

    fn finish(&mut self, status: OtpStatus, kind: EventKind, now: UnixMillis) {
        self.status = status;
        self.finished = Some(now);
        // The code is gone with the final state: nothing can open it, resend it or leak it.
        self.sealed = None;
        self.record(kind, now, None);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::abuse::FAILURE_BUDGET;
    use crate::otp::channel::Channel;
    use crate::otp::code::Code;
    use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId};
    use crate::otp::news::Tally;
    use crate::otp::phone::Phone;
    use crate::otp::record::{Delivery, Fates};
    use crate::secret::SystemEntropy;
    use proptest::prelude::*;

    pub(crate) const START: UnixMillis = UnixMillis(1_000_000);

    /// One that was sent just now, by a text message that waits.
    pub(crate) fn otp(keyring: &Keyring, attempts_allowed: u32) -> Otp {
        let number = Phone::parse("+4915112345678", None).unwrap().number;
        let account = AccountId::default_account();
        let number_key = NumberKey::of(keyring, &account, &number);
        let id = OtpId::generate(START, number_key, None, &SystemEntropy);
        let content = SealedContent { code: Code::parse_own("012345").unwrap(), text: None, context: None };
        Otp {
            id,
            account,
            application: ApplicationId::generate(&SystemEntropy),
            recipient: Recipient::Number(number),
            number_key,
            country: None,
            status: OtpStatus::Active,
            attempts: 0,
            attempts_allowed,
            created: START,
            expire: START + Duration::from_secs(300),
            finished: None,
            expiry_told: false,
            reference: None,
            sealed: Some(content.seal(keyring, id)),
            language: None,
            channel: Channel::Sms,
            sender: None,
            caller: None,
            messages: 1,
            delivery: Delivery::Queued,
            events: Vec::new(),
            purpose: None,
            usual_age: None,
            news: Tally::default(),
            second: None,
            fates: Fates::default(),
            bound: false,
            verification: None,
        }
    }

    fn check(otp: &mut Otp, number: &mut NumberRecord, keyring: &Keyring, code: &str, now: UnixMillis) -> Verdict {
        otp.check(number, keyring, &EnteredCode::new(code), None, now)
    }

    #[test]
    fn the_last_allowed_attempt_counts_if_it_is_right() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (mut otp, mut number) = (otp(&keyring, 3), NumberRecord::default());
        assert_eq!(check(&mut otp, &mut number, &keyring, "1", START), Verdict::Wrong);
        assert_eq!(check(&mut otp, &mut number, &keyring, "2", START), Verdict::Wrong);
        assert_eq!(check(&mut otp, &mut number, &keyring, "12345", START), Verdict::Verified);
        assert_eq!((otp.attempts, otp.status, number.failures), (3, OtpStatus::Verified, 0));
        assert_eq!(check(&mut otp, &mut number, &keyring, "012345", START), Verdict::Final(OtpStatus::Verified));
        assert_eq!(otp.attempts, 3);
        assert!(otp.sealed.is_none());
    }

    #[test]
    fn expiry_is_told_once_whoever_noticed_it() {
        let keyring = Keyring::generate(&SystemEntropy);
        for swept in [false, true] {
            let (mut otp, mut number) = (otp(&keyring, 3), NumberRecord::default());
            let late = otp.expire;
            assert!(!otp.expire_now(UnixMillis(late.0 - 1)));
            if swept {
                assert!(otp.expire_now(late));
                assert!(!otp.expire_now(late));
            }
            assert_eq!(check(&mut otp, &mut number, &keyring, "012345", late), Verdict::Expired);
            assert_eq!(check(&mut otp, &mut number, &keyring, "012345", late), Verdict::Final(OtpStatus::Expired));
            assert_eq!((otp.attempts, number.failures), (0, 0));
            assert_eq!(otp.events.len(), 1);
        }
    }

    #[test]
    fn a_smaller_age_refuses_without_counting() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (mut otp, mut number) = (otp(&keyring, 3), NumberRecord::default());
        let entered = EnteredCode::new("012345");
        let age = Some(Duration::from_secs(60));
        let at = |seconds| START + Duration::from_secs(seconds);
        assert_eq!(otp.check(&mut number, &keyring, &entered, age, at(61)), Verdict::TooOld);
        assert_eq!((otp.attempts, otp.status), (0, OtpStatus::Active));
        assert_eq!(otp.check(&mut number, &keyring, &entered, age, at(60)), Verdict::Verified);
    }

    #[test]
    fn failures_over_many_codes_lock_the_number() {
        let keyring = Keyring::generate(&SystemEntropy);
        let mut number = NumberRecord::default();
        let mut compares = 0;
        let mut locked = false;
        while !locked {
            let mut otp = otp(&keyring, 3);
            while otp.status == OtpStatus::Active {
                locked = check(&mut otp, &mut number, &keyring, "9", START) == Verdict::Locked;
            }
            compares += otp.attempts;
        }
        assert_eq!(compares, FAILURE_BUDGET);
        let mut fresh = otp(&keyring, 3);
        assert_eq!(check(&mut fresh, &mut number, &keyring, "012345", START), Verdict::Locked);
    }

    proptest! {
        #[test]
        fn whatever_is_entered_the_rules_hold(
            steps in proptest::collection::vec((0_u64..60_000, prop_oneof![Just("012345"), Just("999999"), Just("")]), 1..40),
            allowed in 1_u32..=20,
        ) {
            let keyring = Keyring::generate(&SystemEntropy);
            let (mut otp, mut number) = (otp(&keyring, allowed), NumberRecord::default());
            let (mut now, mut successes) = (START, 0);
            for (pause, code) in steps {
                now = now + Duration::from_millis(pause);
                let before = otp.clone();
                let verdict = check(&mut otp, &mut number, &keyring, code, now);
                successes += u32::from(verdict == Verdict::Verified);
                prop_assert!(otp.attempts <= allowed && otp.attempts >= before.attempts);
                prop_assert!(before.status == OtpStatus::Active || before.status == otp.status, "a final state changed");
                prop_assert!((otp.status == OtpStatus::Active) == otp.sealed.is_some(), "a code outlives its use");
                if verdict == Verdict::Verified {
                    prop_assert!(now < otp.expire && code == "012345");
                }
            }
            prop_assert!(successes <= 1);
        }
    }
}
