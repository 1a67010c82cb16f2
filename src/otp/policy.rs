//! What may be sent: countries, kinds of line, routes, limits, the day's ceiling, and the channel that is tried second.
//!
//! Knows no carrier: whether a way to a number exists is asked through [`Ways`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::abuse::{CeilingPolicy, NumberRecord, SendLimits, SpendKey};
use crate::clock::UnixMillis;
use crate::otp::channel::{Channel, Via};
use crate::otp::command::SendRefusal;
use crate::otp::id::AccountId;
use crate::otp::phone::{Country, E164, LineType, Phone};
use crate::otp::store::{Changes, Records};

/// Which countries may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Countries {
    /// Every one.
    All,
    /// These.
    Only(Vec<Country>),
}

/// Knows where messages can go.
pub trait Ways: Send + Sync + 'static {
    /// Whether some carrier takes messages on `channel` to `number`, which is of `country`.
    fn lead_to(&self, channel: Channel, country: Option<Country>, number: &E164) -> bool;
}

/// What limits the sending.
#[derive(Clone)]
pub struct SendPolicy {
    /// Per number.
    pub limits: SendLimits,
    /// Per account, country and day.
    pub ceiling: CeilingPolicy,
    /// Countries served.
    pub countries: Countries,
    /// Whether each message costs money: then lines that cost their caller more, that no person reads, or that do not exist
    /// are refused.
    pub costs: bool,
    /// The channel that is tried where a message on the other one does not arrive, if any.
    pub second: Option<Channel>,
    /// Where messages can go; everywhere when there is none.
    pub ways: Option<Arc<dyn Ways>>,
}

impl fmt::Debug for SendPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SendPolicy").field("countries", &self.countries).finish_non_exhaustive()
    }
}

impl SendPolicy {
    /// Everything may be sent.
    #[must_use]
    pub fn open() -> Self {
        Self {
            limits: SendLimits::new(Vec::new()),
            ceiling: CeilingPolicy(None),
            countries: Countries::All,
            costs: false,
            second: None,
            ways: None,
        }
    }

    /// Whether a message may go to `phone` on `channel` at all.
    ///
    /// # Errors
    /// [`SendRefusal::CountryNotServed`], [`SendRefusal::LineNotServed`], [`SendRefusal::ChannelNotOffered`].
    pub fn check(&self, phone: &Phone, channel: Channel) -> Result<(), SendRefusal> {
        let served = match &self.countries {
            Countries::All => true,
            Countries::Only(list) => phone.country.is_some_and(|country| list.contains(&country)),
        };
        if !served {
            return Err(SendRefusal::CountryNotServed);
        }
        if self.costs && !phone.line.is_worth_its_price() {
            return Err(SendRefusal::LineNotServed(phone.line));
        }
        if self.leads_to(channel, phone) { Ok(()) } else { Err(SendRefusal::ChannelNotOffered(channel)) }
    }

    fn leads_to(&self, channel: Channel, phone: &Phone) -> bool {
        self.ways.as_ref().is_none_or(|ways| ways.lead_to(channel, phone.country, &phone.number))
    }

    /// The channel to try when a message on `first` does not arrive: none where the caller chose the channel, where the
    /// line cannot take it, or where no carrier does.
    #[must_use]
    pub fn second(&self, via: Via, first: Channel, phone: &Phone) -> Option<Channel> {
        let second = self.second.filter(|second| via == Via::Auto && *second != first);
        second.filter(|second| self.takes(phone, *second)).filter(|second| self.leads_to(*second, phone))
    }

    /// Whether a line of this kind can take a message on `channel`.
    #[must_use]
    pub const fn takes(&self, phone: &Phone, channel: Channel) -> bool {
        match channel {
            Channel::Sms => !matches!(phone.line, LineType::Fixed),
            Channel::Voice => !matches!(phone.line, LineType::Pager | LineType::Voicemail),
        }
    }

    /// Where the day's messages of an account to a country are counted, if they are.
    #[must_use]
    pub fn spend_key(&self, account: &AccountId, country: Option<Country>, now: UnixMillis) -> Option<SpendKey> {
        self.ceiling.key(account, country, now)
    }

    /// Counts one message against the number's limits and the day's ceiling.
    ///
    /// # Errors
    /// [`SendRefusal`]: nothing is counted then.
    pub fn admit(&self, records: &Records, now: UnixMillis) -> Result<Changes, SendRefusal> {
        if let Some(until) = records.number.locked_at(now) {
            return Err(SendRefusal::Locked(until));
        }
        let spent = self.ceiling.spend(records.spent, now).map_err(SendRefusal::CeilingReached)?;
        let mut number: NumberRecord = records.number.clone();
        self.limits.admit(&mut number, now).map_err(SendRefusal::TooManySends)?;
        Ok(Changes {
            number: (number != records.number).then_some(number),
            spent: self.ceiling.0.is_some().then_some(spent),
            ..Changes::default()
        })
    }
}

/// Whether a change found four fifths of the day's messages used up. Costs nothing where there is no ceiling.
#[derive(Clone)]
pub(super) struct Near(Option<Arc<AtomicBool>>);

impl Near {
    /// For the change and for who reads it afterwards.
    pub(super) fn watch(policy: &SendPolicy) -> (Self, Self) {
        let near = Self(policy.ceiling.0.is_some().then(Arc::default));
        (near.clone(), near)
    }

    /// The last run of a change is the one that counts.
    pub(super) fn note(&self, policy: &SendPolicy, counted: &Changes) {
        if let Some(near) = &self.0 {
            near.store(counted.spent.is_some_and(|spent| policy.ceiling.is_near(spent)), Ordering::Relaxed);
        }
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.as_ref().is_some_and(|near| near.load(Ordering::Relaxed))
    }
}

impl CeilingPolicy {
    /// Where the day's messages of an account to a country are counted, if there is a ceiling.
    #[must_use]
    pub fn key(&self, account: &AccountId, country: Option<Country>, now: UnixMillis) -> Option<SpendKey> {
        self.0.is_some().then(|| SpendKey::of(account.as_str(), country.as_ref().map(Country::as_str), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct SmsOnly;

    impl Ways for SmsOnly {
        fn lead_to(&self, channel: Channel, _: Option<Country>, _: &E164) -> bool {
            channel == Channel::Sms
        }
    }

    fn phone(text: &str) -> Phone {
        Phone::parse(text, None).unwrap()
    }

    #[test]
    fn what_costs_its_caller_more_or_does_not_exist_is_refused_only_where_messages_cost() {
        let (open, paid) = (SendPolicy::open(), SendPolicy { costs: true, ..SendPolicy::open() });
        for (text, refused) in [
            ("+499001234567", Some(LineType::PremiumRate)),
            ("+491801234567", Some(LineType::SharedCost)),
            ("+49164123456", Some(LineType::Pager)),
            ("+49177991234567", Some(LineType::Voicemail)),
            ("+12001234567", Some(LineType::Unallocated)),
            ("+4915112345678", None),
            ("+493012345678", None),
            ("+12025550123", None),
        ] {
            let phone = phone(text);
            assert_eq!(open.check(&phone, Channel::Sms), Ok(()), "{text}");
            let refusal = paid.check(&phone, Channel::Sms).err();
            assert_eq!(refusal, refused.map(SendRefusal::LineNotServed), "{text} {:?}", phone.line);
        }
    }

    #[test]
    fn no_way_is_said_before_anything_is_queued() {
        let policy = SendPolicy { ways: Some(Arc::new(SmsOnly)), ..SendPolicy::open() };
        let phone = phone("+4915112345678");
        assert_eq!(policy.check(&phone, Channel::Sms), Ok(()));
        let refused = Err(SendRefusal::ChannelNotOffered(Channel::Voice));
        assert_eq!(policy.check(&phone, Channel::Voice), refused);
    }

    #[test]
    fn the_second_channel_is_for_those_who_left_the_choice_and_can_take_it() {
        let policy = |second| SendPolicy { second: Some(second), ..SendPolicy::open() };
        let (mobile, fixed) = (phone("+4915112345678"), phone("+493012345678"));
        let voice = policy(Channel::Voice);
        assert_eq!(voice.second(Via::Auto, Channel::Sms, &mobile), Some(Channel::Voice));
        assert_eq!(voice.second(Via::Sms, Channel::Sms, &mobile), None, "the caller chose");
        assert_eq!(voice.second(Via::Auto, Channel::Voice, &fixed), None, "it was the first");
        assert_eq!(policy(Channel::Sms).second(Via::Auto, Channel::Voice, &fixed), None, "a landline reads nothing");
        assert_eq!(SendPolicy::open().second(Via::Auto, Channel::Sms, &mobile), None);
        let blocked = SendPolicy { ways: Some(Arc::new(SmsOnly)), ..voice };
        assert_eq!(blocked.second(Via::Auto, Channel::Sms, &mobile), None, "nobody calls");
    }
}
