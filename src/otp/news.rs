//! What subscribers are told of: the names of events, sets of them, and a tally in each OTP from which a store sees what
//! a change brought. How a verification ends has names here too, so that one set says all that a subscription is about.
//!
//! Must not know who is told, or how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that happened to an OTP, or how a verification ended, as subscribers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u16)]
pub enum EventName {
    /// A carrier took a message.
    Sent = 1,
    /// The phone has it.
    Delivered = 2,
    /// A message will not arrive.
    Undeliverable = 4,
    /// The right code was given.
    Verified = 8,
    /// A wrong code was given.
    WrongCode = 16,
    /// The time ran out.
    Expired = 32,
    /// Wrong codes used the attempts up, or the number is locked.
    TooManyAttempts = 64,
    /// A newer code took its place.
    Replaced = 128,
    /// It was deleted.
    Deleted = 256,
    /// A verification ended: the person gave the right code.
    VerificationVerified = 512,
    /// A verification ended: its time ran out.
    VerificationExpired = 1_024,
    /// A verification ended: wrong codes used the attempts up, or the number is locked.
    VerificationTooManyAttempts = 2_048,
    /// A verification ended: no message will arrive.
    VerificationUndeliverable = 4_096,
    /// A verification ended: the person or the flow cancelled it.
    VerificationCancelled = 8_192,
}

/// The text names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one of SENT, DELIVERED, UNDELIVERABLE, VERIFIED, WRONG_CODE, EXPIRED, TOO_MANY_ATTEMPTS, REPLACED, DELETED, \
     VERIFICATION_VERIFIED, VERIFICATION_EXPIRED, VERIFICATION_TOO_MANY_ATTEMPTS, VERIFICATION_UNDELIVERABLE, \
     VERIFICATION_CANCELLED"
)]
pub struct UnknownEvent;

/// Events of OTPs: the first ones of [`EventName::ALL`].
const OF_OTPS: usize = 9;

impl EventName {
    /// All of them, in the order in which they can happen: those of OTPs, then those of verifications.
    pub const ALL: [Self; 14] = [
        Self::Sent,
        Self::Delivered,
        Self::Undeliverable,
        Self::Verified,
        Self::WrongCode,
        Self::Expired,
        Self::TooManyAttempts,
        Self::Replaced,
        Self::Deleted,
        Self::VerificationVerified,
        Self::VerificationExpired,
        Self::VerificationTooManyAttempts,
        Self::VerificationUndeliverable,
        Self::VerificationCancelled,
    ];

    /// Its name in subscriptions and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Undeliverable => "UNDELIVERABLE",
            Self::Verified => "VERIFIED",
            Self::WrongCode => "WRONG_CODE",
            Self::Expired => "EXPIRED",
            Self::TooManyAttempts => "TOO_MANY_ATTEMPTS",
            Self::Replaced => "REPLACED",
            Self::Deleted => "DELETED",
            Self::VerificationVerified => "VERIFICATION_VERIFIED",
            Self::VerificationExpired => "VERIFICATION_EXPIRED",
            Self::VerificationTooManyAttempts => "VERIFICATION_TOO_MANY_ATTEMPTS",
            Self::VerificationUndeliverable => "VERIFICATION_UNDELIVERABLE",
            Self::VerificationCancelled => "VERIFICATION_CANCELLED",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// [`UnknownEvent`].
    pub fn parse(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or(UnknownEvent)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of events. Two bytes: an OTP carries one while it is changed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<EventName>", into = "Vec<EventName>")]
pub struct EventNames(u16);

impl EventNames {
    /// Every event of OTPs: what a subscription is about that names none. How verifications end is told to who names it,
    /// so that nobody is posted what his receiver does not know, and nobody the same thing twice who listens to codes.
    #[must_use]
    pub fn of_otps() -> Self {
        EventName::ALL.into_iter().take(OF_OTPS).collect()
    }

    /// How verifications end.
    #[must_use]
    pub fn of_verifications() -> Self {
        EventName::ALL.into_iter().skip(OF_OTPS).collect()
    }

    /// Adds one.
    pub const fn add(&mut self, name: EventName) {
        self.0 |= name as u16;
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, name: EventName) -> bool {
        self.0 & name as u16 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its events, in the order in which they can happen.
    pub fn iter(self) -> impl Iterator<Item = EventName> {
        EventName::ALL.into_iter().filter(move |name| self.contains(*name))
    }
}

impl FromIterator<EventName> for EventNames {
    fn from_iter<I: IntoIterator<Item = EventName>>(names: I) -> Self {
        let mut set = Self::default();
        names.into_iter().for_each(|name| set.add(name));
        set
    }
}

impl From<Vec<EventName>> for EventNames {
    fn from(names: Vec<EventName>) -> Self {
        names.into_iter().collect()
    }
}

impl From<EventNames> for Vec<EventName> {
    fn from(set: EventNames) -> Self {
        set.iter().collect()
    }
}

impl fmt::Debug for EventNames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

/// What happened to an OTP in this process: a count for each event. A change leaves counts behind that are higher than in
/// the record it began with; the difference is what it brought. Two records are the same whatever their tallies are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally([u8; OF_OTPS]);

impl Tally {
    /// It happened (once more).
    pub fn add(&mut self, name: EventName) {
        if let Some(count) = self.count(name) {
            *count = count.wrapping_add(1);
        }
    }

    /// What happened since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> EventNames {
        let counts = self.0.iter().zip(before.0);
        EventName::ALL.into_iter().zip(counts).filter(|(_, (now, then))| *now != then).map(|(name, _)| name).collect()
    }

    fn count(&mut self, name: EventName) -> Option<&mut u8> {
        self.0.get_mut(usize::try_from((name as u16).trailing_zeros()).unwrap_or_default())
    }
}

impl PartialEq for Tally {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tally {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_its_names() {
        let (codes, people) = (EventNames::of_otps(), EventNames::of_verifications());
        assert_eq!(codes.iter().chain(people.iter()).collect::<Vec<_>>(), EventName::ALL);
        assert!(people.iter().all(|name| name.as_str().starts_with("VERIFICATION_")), "{people:?}");
        assert!(codes.iter().all(|name| !name.as_str().starts_with("VERIFICATION_")), "{codes:?}");
        for name in EventName::ALL {
            assert_eq!(EventName::parse(name.as_str()), Ok(name));
            assert!(UnknownEvent.to_string().split([' ', ',']).any(|word| word == name.as_str()), "{name}");
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        assert_eq!((EventName::parse("SEND"), EventName::parse("sent")), (Err(UnknownEvent), Err(UnknownEvent)));
        let some: EventNames = serde_json::from_str(r#"["VERIFIED","SENT","SENT"]"#).unwrap();
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"["SENT","VERIFIED"]"#);
        assert!(some.contains(EventName::Sent) && !some.contains(EventName::Expired));
    }

    #[test]
    fn a_tally_tells_what_a_change_brought_and_nothing_older() {
        for name in EventNames::of_otps().iter() {
            let mut tally = Tally::default();
            for _ in 0..300 {
                let before = tally;
                assert!(tally.since(&before).is_empty());
                tally.add(name);
                tally.add(EventName::Sent);
                let expected = EventNames::from_iter([name, EventName::Sent]);
                if name != EventName::Sent {
                    assert_eq!(tally.since(&before), expected);
                }
            }
        }
    }
}
