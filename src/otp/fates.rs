//! How the messages of one OTP ended, a bit for each, and which of them are one delivery. Knows no carrier and no event.
//!
//! Stores keep the fields by their place: a new one goes to the end of its struct, with `#[serde(default)]`.

use serde::{Deserialize, Serialize};

use crate::otp::channel::Channel;

/// How messages of one OTP ended, a bit for each: the first one's is the lowest. What is set stays set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// The phone has them.
    pub delivered: u64,
    /// They will not arrive.
    pub failed: u64,
    /// A carrier was given them twice.
    pub repeated: u64,
    /// They were followed by one on the second channel. Left out where there is none, so that the release before this one
    /// reads most of what this one writes: whoever adds a field behind it has to write it always.
    #[serde(default, skip_serializing_if = "Followed::is_empty")]
    pub followed: Followed,
}

/// The messages that were followed by one on the second channel, because they failed or nobody said that they arrived. A
/// message and the one that followed it are one delivery: what counts is whether one of the two arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// All of them.
    pub all: u64,
    /// A carrier had taken them.
    pub sent: u64,
    /// They were calls; the others text messages.
    pub calls: u64,
}

impl Followed {
    fn is_empty(&self) -> bool {
        self.all == 0
    }
}

impl Fates {
    /// The bit of message `number`, from 1. An OTP has [`crate::otp::service::MESSAGES_PER_OTP`] of them at most.
    #[must_use]
    pub const fn bit(number: u32) -> u64 {
        1_u64.rotate_left(number.wrapping_sub(1))
    }

    /// Whether message `number` has ended.
    #[must_use]
    pub const fn ended(&self, number: u32) -> bool {
        (self.delivered | self.failed) & Self::bit(number) != 0
    }

    /// Notes that message `number`, which went by `channel`, is followed by the next one.
    pub const fn follow(&mut self, number: u32, channel: Channel, sent: bool) {
        self.followed.all |= Self::bit(number);
        if sent {
            self.followed.sent |= Self::bit(number);
        }
        if matches!(channel, Channel::Voice) {
            self.followed.calls |= Self::bit(number);
        }
    }

    /// Whether message `number` was followed by the next one.
    #[must_use]
    pub const fn is_followed(&self, number: u32) -> bool {
        self.followed.all & Self::bit(number) != 0
    }

    /// A carrier has taken message `number`, or says that it is on its way: where it was followed, it may be hoped for.
    pub const fn sent(&mut self, number: u32) {
        if self.is_followed(number) {
            self.followed.sent |= Self::bit(number);
        }
    }

    /// The channel of message `number`, which was followed, and whether a carrier had taken it.
    #[must_use]
    pub const fn before(&self, number: u32) -> (Channel, bool) {
        let channel = if self.followed.calls & Self::bit(number) != 0 { Channel::Voice } else { Channel::Sms };
        (channel, self.followed.sent & Self::bit(number) != 0)
    }

    /// The message that is one delivery with message `number`: the one that followed it, or that it followed.
    #[must_use]
    pub const fn other(&self, number: u32) -> Option<u32> {
        if self.is_followed(number) {
            Some(number + 1)
        } else if number > 1 && self.is_followed(number - 1) {
            Some(number - 1)
        } else {
            None
        }
    }

    /// Whether the phone has the other message of the same delivery.
    #[must_use]
    pub fn arrived_otherwise(&self, number: u32) -> bool {
        self.other(number).is_some_and(|other| self.delivered & Self::bit(other) != 0)
    }

    /// Whether the other message of the same delivery may still arrive.
    #[must_use]
    pub fn may_arrive_otherwise(&self, number: u32) -> bool {
        self.other(number).is_some_and(|other| !self.ended(other))
    }

    /// Whether nothing is left to be done for message `number`.
    #[must_use]
    pub fn over(&self, number: u32) -> bool {
        self.ended(number) || self.arrived_otherwise(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_and_the_one_that_followed_it_know_each_other() {
        let mut fates = Fates::default();
        assert_eq!((1..=4).map(|number| fates.other(number)).collect::<Vec<_>>(), [None; 4]);
        fates.follow(2, Channel::Voice, true);
        assert_eq!((1..=4).map(|number| fates.other(number)).collect::<Vec<_>>(), [None, Some(3), Some(2), None]);
        assert_eq!((fates.before(2), fates.before(1)), ((Channel::Voice, true), (Channel::Sms, false)));
        assert!(fates.may_arrive_otherwise(2) && !fates.may_arrive_otherwise(1) && !fates.over(3));
        fates.delivered |= Fates::bit(2);
        assert!(fates.over(3) && fates.over(2) && !fates.over(4) && !fates.may_arrive_otherwise(3));
        assert!(fates.may_arrive_otherwise(2), "the other one has not ended");
    }

    /// As the release before this one keeps it.
    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Former {
        delivered: u64,
        failed: u64,
        repeated: u64,
    }

    #[test]
    fn the_former_release_reads_what_no_second_channel_touched() {
        let mut fates = Fates { delivered: 1, failed: 2, repeated: 4, ..Fates::default() };
        let former = Former { delivered: 1, failed: 2, repeated: 4 };
        let bytes = rmp_serde::to_vec(&fates).unwrap();
        assert_eq!(bytes, rmp_serde::to_vec(&former).unwrap());
        assert_eq!(rmp_serde::from_slice::<Former>(&bytes).unwrap(), former);
        assert_eq!(rmp_serde::from_slice::<Fates>(&bytes).unwrap(), fates);
        fates.follow(1, Channel::Sms, false);
        let bytes = rmp_serde::to_vec(&fates).unwrap();
        assert_eq!(rmp_serde::from_slice::<Fates>(&bytes).unwrap(), fates);
    }
}
