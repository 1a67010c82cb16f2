//! What becomes of a message: the rules, pure. Each takes the records at the moment of a change and says what it writes.
//!
//! A message is submitted at most twice, and twice only where nobody knows of the first: a submission is written down
//! before it happens. Whoever ends a message ends it once; what comes later changes nothing.
//! Must not know providers, routes or how anything is sent.

use std::sync::Arc;
use std::time::Duration;

use crate::abuse::CeilingPolicy;
use crate::clock::UnixMillis;
use crate::delivery::receipt::Fate;
use crate::otp::channel::Channel;
use crate::otp::event::EventKind;
use crate::otp::news::EventName;
use crate::otp::outbox::{Message, MessageId, SUBMISSIONS, Stage};
use crate::otp::record::{Delivery, Fates, Otp, OtpStatus};
use crate::otp::service::MESSAGES_PER_OTP;
use crate::otp::store::{Changes, OtpChange, OutboxChange, Records};

/// What to do where a carrier did not say whether it took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Wait for a receipt; without one, try the second channel or repeat once.
    Wait,
    /// Repeat at once, once: a person may get the message twice.
    Repeat,
}

/// The operator's choices.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What to do where a carrier did not say.
    pub on_unknown: OnUnknown,
    /// How long a receipt is waited for.
    pub receipt_within: Duration,
    /// The day's ceiling, which a message on the second channel counts against too.
    pub ceiling: CeilingPolicy,
}

/// How a try to deliver a message ended. Providers are named for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The phone has it.
    Delivered(String),
    /// The provider has it.
    Taken(String),
    /// The provider may have it.
    Unknown(String),
    /// Nobody took it; it is tried again then.
    PutOff(UnixMillis),
    /// Nobody will take it: why.
    Undeliverable(String),
    /// The time for a receipt is over, or a submission was cut off by the end of its process.
    Overdue,
    /// Its OTP had ended.
    Over,
}

impl Ending {
    /// Whether the message may go on afterwards: then it has to be known how it stands.
    #[must_use]
    pub const fn may_go_on(&self) -> bool {
        matches!(self, Self::PutOff(_) | Self::Overdue | Self::Taken(_) | Self::Unknown(_))
    }
}

/// Whether a submission may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may: the message stands like this now.
    Marked(Message),
    /// Its code has ended, or it was submitted often enough.
    Over,
    /// Somebody else has taken the message over, and deals with it.
    Lost,
}

impl Rules {
    /// Writes down that `provider` is about to be given `message`, which stands as `standing`; or, where this was `asked` for
    /// before and not answered, as this has left it.
    #[must_use]
    pub fn begin(
        &self,
        records: &Records,
        (standing, asked): (&Message, bool),
        message: &Message,
        provider: &str,
        now: UnixMillis,
    ) -> (Changes, Begun) {
        let over = || (Changes { outbox: OutboxChange::Settle(message.id), ..Changes::default() }, Begun::Over);
        let mut marked = message.clone();
        marked.due = now + self.receipt_within;
        marked.body.stage = Stage::Submitting(provider.to_owned());
        marked.body.submissions += 1;
        if !records.message.as_ref().is_some_and(|found| *found == *standing || asked && *found == marked) {
            return (Changes::default(), Begun::Lost);
        }
        let Some(otp) = records.otp.as_deref() else { return over() };
        let number = message.id.number;
        let open = otp.status_at(now) == OtpStatus::Active && !otp.fates.over(number);
        if !open || message.body.submissions >= SUBMISSIONS {
            return over();
        }
        let mut changes = Changes { outbox: OutboxChange::Put(marked.clone()), ..Changes::default() };
        if marked.body.submissions > 1 && otp.fates.repeated & Fates::bit(number) == 0 {
            let mut otp = otp.clone();
            otp.fates.repeated |= Fates::bit(number);
            let words = format!("{}, repeated", message.body.channel.as_str());
            otp.record(EventKind::DeliverOtpReq, now, Some(words));
            changes.otp = OtpChange::Put(Arc::new(otp));
        }
        (changes, Begun::Marked(marked))
    }

    /// Records how a try to deliver `message` ended, which stands as `standing`. Who has lost it to somebody else still says
    /// what became of his try, and leaves the message alone.
    #[must_use]
    pub fn settle(
        &self,
        records: &Records,
        standing: &Message,
        message: &Message,
        ending: &Ending,
        now: UnixMillis,
    ) -> Changes {
        let lost = ending.may_go_on() && records.message.as_ref() != Some(standing);
        if lost && matches!(ending, Ending::PutOff(_) | Ending::Overdue) {
            return Changes::default();
        }
        let settled = Changes { outbox: OutboxChange::Settle(message.id), ..Changes::default() };
        let Some(mut otp) = records.otp.as_deref().cloned() else { return settled };
        let number = message.id.number;
        let alive = otp.status_at(now) == OtpStatus::Active && !otp.fates.over(number);
        let arrived_otherwise = otp.fates.arrived_otherwise(number);
        let outbox = match ending {
            Ending::Over => return settled,
            Ending::PutOff(_) | Ending::Overdue if !alive => return settled,
            Ending::PutOff(due) => {
                // At the code's end it is looked at once more, and goes.
                let mut later = at(message, Stage::Queued, (*due).min(otp.expire));
                later.body.tries += 1;
                return Changes { outbox: OutboxChange::Put(later), ..Changes::default() };
            }
            Ending::Delivered(provider) => {
                // Also where the carrier says at once that the phone has it: who waits for SENT is not left waiting.
                if !arrived_otherwise {
                    otp.news.add(EventName::Sent);
                }
                otp.note_delivery(number, Delivery::Delivered, Some(provider.clone()), now);
                OutboxChange::Settle(message.id)
            }
            Ending::Taken(provider) => {
                if !arrived_otherwise {
                    otp.news.add(EventName::Sent);
                }
                otp.note_delivery(number, Delivery::Sent, Some(provider.clone()), now);
                if alive && otp.awaits(number) && otp.second.is_some() {
                    OutboxChange::Put(at(message, Stage::Taken(provider.clone()), now + self.receipt_within))
                } else {
                    OutboxChange::Settle(message.id)
                }
            }
            Ending::Undeliverable(words) => return self.fail(records, otp, message.id, words, now),
            Ending::Unknown(provider) => {
                otp.record(EventKind::DeliverOtpResUnknown, now, Some(provider.clone()));
                self.in_doubt(&otp, message, provider, alive, now)
            }
            Ending::Overdue => return self.overdue(records, otp, message, now),
        };
        let outbox = if lost { OutboxChange::Keep } else { outbox };
        Changes { otp: OtpChange::Put(Arc::new(otp)), outbox, ..Changes::default() }
    }

    /// Nobody knows whether `provider` took it.
    fn in_doubt(&self, otp: &Otp, message: &Message, provider: &str, alive: bool, now: UnixMillis) -> OutboxChange {
        let again = message.body.submissions < SUBMISSIONS;
        let due = now + self.receipt_within;
        match self.on_unknown {
            _ if !alive => OutboxChange::Settle(message.id),
            OnUnknown::Repeat if again => {
                OutboxChange::Put(once_more(at(message, Stage::Unknown(provider.to_owned()), now)))
            }
            _ if again || otp.second.is_some() => {
                OutboxChange::Put(at(message, Stage::Unknown(provider.to_owned()), due))
            }
            _ => OutboxChange::Settle(message.id),
        }
    }

    /// No receipt came in time.
    fn overdue(&self, records: &Records, mut otp: Otp, message: &Message, now: UnixMillis) -> Changes {
        let number = message.id.number;
        let cut_off = if let Stage::Submitting(provider) = &message.body.stage { Some(provider.clone()) } else { None };
        let changed = cut_off.is_some();
        if let Some(provider) = cut_off {
            otp.record(EventKind::DeliverOtpResUnknown, now, Some(provider));
        }
        if let Some((second, spent)) = self.second(records, &mut otp, number, now) {
            let outbox = OutboxChange::Replace(message.id, second);
            return Changes { otp: OtpChange::Put(Arc::new(otp)), spent, outbox, ..Changes::default() };
        }
        // A carrier that said it is on its way has it, whatever became of the answer to the submission.
        let taken =
            matches!(message.body.stage, Stage::Taken(_)) || number == otp.messages && otp.delivery == Delivery::Sent;
        let outbox = if !taken && message.body.submissions < SUBMISSIONS && number == otp.messages {
            OutboxChange::Put(once_more(Message { due: now, ..message.clone() }))
        } else {
            OutboxChange::Settle(message.id)
        };
        let otp = if changed { OtpChange::Put(Arc::new(otp)) } else { OtpChange::Keep };
        Changes { otp, outbox, ..Changes::default() }
    }

    /// It will not arrive: the second channel is tried, or the OTP says so, unless another message may still arrive.
    fn fail(&self, records: &Records, mut otp: Otp, id: MessageId, words: &str, now: UnixMillis) -> Changes {
        let Some((second, spent)) = self.second(records, &mut otp, id.number, now) else {
            otp.note_delivery(id.number, Delivery::Undeliverable, Some(words.to_owned()), now);
            let otp = OtpChange::Put(Arc::new(otp));
            return Changes { otp, outbox: OutboxChange::Settle(id), ..Changes::default() };
        };
        otp.fates.failed |= Fates::bit(id.number);
        // Before the request that follows it; nobody is told that it is undeliverable while there is another way.
        let request = otp.events.pop();
        otp.record_quietly(EventKind::DeliverOtpResFail, now, Some(words.to_owned()));
        otp.events.extend(request);
        let outbox = OutboxChange::Replace(id, second);
        Changes { otp: OtpChange::Put(Arc::new(otp)), spent, outbox, ..Changes::default() }
    }

    /// The message on the second channel, where there is one, the code lives and the day's ceiling allows it.
    fn second(&self, records: &Records, otp: &mut Otp, number: u32, now: UnixMillis) -> Option<(Message, Option<u32>)> {
        let open = otp.status_at(now) == OtpStatus::Active && otp.awaits(number) && otp.messages < MESSAGES_PER_OTP;
        let channel: Channel = otp.second.filter(|_| open)?;
        let spent = self.ceiling.spend(records.spent, now).ok()?;
        otp.second = None;
        Some((otp.queue_second(channel, now), self.ceiling.0.is_some().then_some(spent)))
    }

    /// Records what a carrier reported about the `submission`-th submission of message `id`.
    #[must_use]
    pub fn report(&self, records: &Records, id: MessageId, submission: u8, fate: &Fate, now: UnixMillis) -> Changes {
        let Some(otp) = records.otp.as_deref() else { return Changes::default() };
        if !is_news(otp, id.number, submission, fate) {
            return Changes::default();
        }
        let mut otp = otp.clone();
        let outbox = match fate {
            Fate::Failed(words) => return self.fail(records, otp, id, words, now),
            Fate::Delivered => {
                otp.note_delivery(id.number, Delivery::Delivered, None, now);
                OutboxChange::Settle(id)
            }
            Fate::OnItsWay => {
                otp.note_delivery(id.number, Delivery::Sent, None, now);
                OutboxChange::Keep
            }
        };
        Changes { otp: OtpChange::Put(Arc::new(otp)), outbox, ..Changes::default() }
    }
}

/// Whether a report says anything that is not known of message `number` already.
#[must_use]
pub fn is_news(otp: &Otp, number: u32, submission: u8, fate: &Fate) -> bool {
    // The first of two submissions may fail while the second arrives.
    let superseded = submission <= 1 && otp.fates.repeated & Fates::bit(number) != 0;
    let known = number <= otp.messages && number > 0;
    known
        && !otp.fates.ended(number)
        && match fate {
            Fate::Delivered => true,
            Fate::Failed(_) => !superseded,
            Fate::OnItsWay => {
                let followed = otp.fates.is_followed(number) && otp.fates.other(number) == Some(otp.messages);
                number == otp.messages && otp.delivery == Delivery::Queued
                    || followed && !otp.fates.before(number).1 && !otp.fates.arrived_otherwise(number)
            }
        }
}

impl Rules {
    /// [`Rules::report`] about a message that `changes` settles in the same commit.
    pub fn report_on_top(
        &self,
        changes: &mut Changes,
        records: &Records,
        id: MessageId,
        submission: u8,
        fate: &Fate,
        now: UnixMillis,
    ) {
        let OtpChange::Put(otp) = &changes.otp else { return };
        let spent = changes.spent.unwrap_or(records.spent);
        let records = Records { otp: Some(Arc::clone(otp)), spent, ..Records::default() };
        let later = self.report(&records, id, submission, fate, now);
        if let OtpChange::Put(otp) = later.otp {
            changes.otp = OtpChange::Put(otp);
            changes.spent = later.spent.or(changes.spent);
            if !matches!(later.outbox, OutboxChange::Keep) {
                changes.outbox = later.outbox;
            }
        }
    }
}

fn at(message: &Message, stage: Stage, due: UnixMillis) -> Message {
    let mut message = message.clone();
    message.due = due;
    message.body.stage = stage;
    message
}

/// The message, to be given to a carrier once more: to another one than before, where there is one.
fn once_more(mut message: Message) -> Message {
    message.body.doubt();
    message
}
