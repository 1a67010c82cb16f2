//! The messages of an OTP: how one joins, and what its end says of the OTP. Pure, as the rest of the state machine.
//!
//! A message and the one that followed it on the second channel are one delivery. What a caller wished to have sent once more is
//! another one. Must not know carriers.

use crate::clock::UnixMillis;
use crate::otp::application::{Caller, Sender};
use crate::otp::channel::Channel;
use crate::otp::event::EventKind;
use crate::otp::news::EventName;
use crate::otp::outbox::{Message, MessageBody, MessageId};
use crate::otp::record::{Delivery, Fates, Otp};

impl Otp {
    /// Queues one more message of it, which becomes the one that speaks for its delivery. `sender` and `caller` where they
    /// differ from those that it was sent with.
    pub fn queue(
        &mut self,
        channel: Channel,
        sender: Option<Sender>,
        caller: Option<Caller>,
        now: UnixMillis,
    ) -> Message {
        self.messages += 1;
        self.channel = channel;
        self.delivery = Delivery::Queued;
        self.record(EventKind::DeliverOtpReq, now, Some(channel.as_str().to_owned()));
        let sender = sender.or_else(|| self.sender.clone());
        let caller = caller.or_else(|| self.caller.clone());
        let id = MessageId { otp: self.id, number: self.messages };
        Message { id, due: now, body: MessageBody::new(channel, sender, caller) }
    }

    /// Queues a message on the second channel, which follows the newest one: that one failed, or nobody said that it arrived.
    pub fn queue_second(&mut self, channel: Channel, now: UnixMillis) -> Message {
        self.fates.follow(self.messages, self.channel, self.delivery == Delivery::Sent);
        self.queue(channel, None, None, now)
    }

    /// Notes how message `number` went. How a message ended never changes again. Of one delivery the first message that
    /// arrives is told of, and a failure only when no other can arrive any more; what else becomes of them is in the history
    /// alone. Only the newest delivery speaks for the OTP. Whether this changed anything.
    pub fn note_delivery(&mut self, number: u32, delivery: Delivery, text: Option<String>, now: UnixMillis) -> bool {
        if self.fates.ended(number) {
            return false;
        }
        let (kind, name) = match delivery {
            Delivery::Queued => return false,
            Delivery::Sent => {
                self.fates.sent(number);
                (EventKind::DeliverOtpResSuccess, EventName::Sent)
            }
            Delivery::Delivered => {
                self.fates.delivered |= Fates::bit(number);
                (EventKind::DeliverOtpResSuccess, EventName::Delivered)
            }
            Delivery::Undeliverable => {
                self.fates.failed |= Fates::bit(number);
                (EventKind::DeliverOtpResFail, EventName::Undeliverable)
            }
        };
        self.record_quietly(kind, now, text);
        if self.fates.arrived_otherwise(number) {
            return true;
        }
        if delivery == Delivery::Undeliverable && self.fates.may_arrive_otherwise(number) {
            if let Some(before) = self.fates.other(number).filter(|_| number == self.messages) {
                // There is only the message before to hope for, and it stands as it stood.
                let (channel, sent) = self.fates.before(before);
                self.channel = channel;
                self.delivery = if sent { Delivery::Sent } else { Delivery::Queued };
            }
            return true;
        }
        self.news.add(name);
        if number == self.messages {
            self.delivery = delivery;
        } else if self.fates.other(number) == Some(self.messages)
            && (delivery != Delivery::Sent || self.fates.failed & Fates::bit(self.messages) != 0)
        {
            self.channel = self.fates.before(number).0;
            self.delivery = delivery;
        }
        true
    }

    /// Whether message `number` is the newest one and has not ended: then its delivery is still open.
    #[must_use]
    pub const fn awaits(&self, number: u32) -> bool {
        number == self.messages && !self.fates.ended(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::machine::tests::{START, otp};
    use crate::secret::{Keyring, SystemEntropy};
    use proptest::prelude::*;

    #[test]
    fn a_final_delivery_never_goes_back() {
        let keyring = Keyring::generate(&SystemEntropy);
        let mut otp = otp(&keyring, 3);
        otp.note_delivery(1, Delivery::Delivered, None, START);
        otp.note_delivery(1, Delivery::Sent, None, START);
        assert_eq!(otp.delivery, Delivery::Delivered);
        otp.messages = 2;
        otp.delivery = Delivery::Queued;
        otp.note_delivery(1, Delivery::Undeliverable, None, START);
        assert_eq!(otp.delivery, Delivery::Queued, "an older message does not speak for the newest");
    }

    /// What was told of an OTP, but for that it was sent.
    fn ends(before: &Otp, after: &Otp) -> Vec<EventName> {
        after.news.since(&before.news).iter().filter(|name| *name != EventName::Sent).collect()
    }

    #[test]
    fn a_message_that_is_sent_once_more_by_wish_is_told_of_by_itself() {
        let keyring = Keyring::generate(&SystemEntropy);
        let first = otp(&keyring, 3);
        let mut otp = first.clone();
        otp.queue(Channel::Sms, None, None, START);
        otp.note_delivery(1, Delivery::Delivered, None, START);
        assert_eq!((ends(&first, &otp), otp.delivery), (vec![EventName::Delivered], Delivery::Queued));
        let before = otp.clone();
        otp.note_delivery(2, Delivery::Undeliverable, None, START);
        assert_eq!((ends(&before, &otp), otp.delivery), (vec![EventName::Undeliverable], Delivery::Undeliverable));
    }

    #[test]
    fn where_the_second_channel_fails_the_message_before_speaks_again() {
        let keyring = Keyring::generate(&SystemEntropy);
        for sent in [true, false] {
            let mut otp = otp(&keyring, 3);
            if sent {
                otp.note_delivery(1, Delivery::Sent, None, START);
            }
            otp.queue_second(Channel::Voice, START);
            assert_eq!((otp.channel, otp.delivery), (Channel::Voice, Delivery::Queued));
            let before = otp.clone();
            otp.note_delivery(2, Delivery::Undeliverable, None, START);
            let stands = if sent { Delivery::Sent } else { Delivery::Queued };
            assert_eq!((otp.channel, otp.delivery, ends(&before, &otp)), (Channel::Sms, stands, Vec::new()));
            otp.note_delivery(1, Delivery::Undeliverable, None, START);
            assert_eq!((otp.delivery, ends(&before, &otp)), (Delivery::Undeliverable, vec![EventName::Undeliverable]));
        }
    }

    #[test]
    fn after_a_call_that_failed_the_text_speaks_again() {
        let keyring = Keyring::generate(&SystemEntropy);
        let first = otp(&keyring, 3);
        let mut otp = first.clone();
        otp.queue_second(Channel::Voice, START);
        otp.note_delivery(2, Delivery::Undeliverable, None, START);
        assert_eq!((otp.delivery, otp.channel), (Delivery::Queued, Channel::Sms));
        otp.note_delivery(1, Delivery::Sent, None, START);
        assert_eq!((otp.delivery, otp.channel), (Delivery::Sent, Channel::Sms));
        // And where it was said before the call failed.
        let mut other = first;
        other.queue_second(Channel::Voice, START);
        other.note_delivery(1, Delivery::Sent, None, START);
        other.note_delivery(2, Delivery::Undeliverable, None, START);
        assert_eq!((other.delivery, other.channel), (Delivery::Sent, Channel::Sms));
    }

    proptest! {
        #[test]
        fn of_a_message_and_the_one_on_the_second_channel_one_end_is_told(
            steps in proptest::collection::vec(
                (1_u32..=2, prop_oneof![Just(Delivery::Sent), Just(Delivery::Delivered), Just(Delivery::Undeliverable)]),
                0..12,
            ),
            sent: bool,
            failed: bool,
        ) {
            let keyring = Keyring::generate(&SystemEntropy);
            let mut otp = otp(&keyring, 3);
            if sent {
                otp.note_delivery(1, Delivery::Sent, None, START);
            }
            otp.queue_second(Channel::Voice, START);
            if failed {
                otp.fates.failed |= Fates::bit(1);
            }
            let mut told = Vec::new();
            for (number, delivery) in steps {
                let before = otp.clone();
                otp.note_delivery(number, delivery, None, START);
                told.extend(ends(&before, &otp));
                if matches!(before.delivery, Delivery::Delivered | Delivery::Undeliverable) {
                    let stands = (otp.delivery, otp.channel);
                    prop_assert_eq!(stands, (before.delivery, before.channel), "what is final stays");
                }
            }
            let expected = match (otp.fates.delivered, otp.fates.failed) {
                (0, 0b11) => vec![EventName::Undeliverable],
                (0, _) => vec![],
                _ => vec![EventName::Delivered],
            };
            prop_assert_eq!(told, expected);
            prop_assert_eq!(otp.delivery == Delivery::Delivered, otp.fates.delivered != 0);
            prop_assert_eq!(otp.delivery == Delivery::Undeliverable, otp.fates.failed == 0b11);
            match otp.fates.delivered {
                0b01 => prop_assert_eq!(otp.channel, Channel::Sms, "the channel that arrived"),
                0b10 => prop_assert_eq!(otp.channel, Channel::Voice, "the channel that arrived"),
                _ => {}
            }
        }
    }
}
