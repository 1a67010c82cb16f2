//! The words that may stand in a member, for the documents: a client's tools then know them too. They are the domain's
//! own words. It must not know which answer says them.

use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, Type};

use crate::access::scope::Scope;
use crate::otp::channel::Channel;
use crate::otp::news::{EventName, EventNames};
use crate::otp::record::{Delivery, OtpStatus};
use crate::verification::outcome::{OPEN, Outcome};
use crate::verification::record::FirstSend;

/// Where a one-time password stands.
pub(crate) fn status() -> Object {
    let words = [OtpStatus::Active, OtpStatus::Verified, OtpStatus::Expired, OtpStatus::TooManyAttempts];
    described("Where the one-time password stands.", words.map(OtpStatus::as_str))
}

/// The channel of a message.
pub(crate) fn channel() -> Object {
    described("The channel of its newest message.", [Channel::Sms, Channel::Voice].map(Channel::as_str))
}

/// The channel that is asked for.
pub(crate) fn via() -> Object {
    let words = "The channel, in any case of letters; AUTO when left out: a fixed line is called, everything else gets a text message.";
    described(words, ["AUTO", "SMS", "VOICE"])
}

/// How delivery of a message stands.
pub(crate) fn delivery() -> Object {
    let words = [Delivery::Queued, Delivery::Sent, Delivery::Delivered, Delivery::Undeliverable];
    described("How delivery of its newest message stands.", words.map(Delivery::as_str))
}

/// What happened to a one-time password.
pub(crate) fn event() -> Object {
    named("What happened.", EventNames::of_otps())
}

/// How a verification ended.
pub(crate) fn verification_event() -> Object {
    named("How it ended.", EventNames::of_verifications())
}

/// Where a verification stands.
pub(crate) fn verification_state() -> Object {
    let words = [
        OPEN,
        Outcome::Verified.as_str(),
        Outcome::Expired.as_str(),
        Outcome::TooManyAttempts.as_str(),
        Outcome::Undeliverable.as_str(),
        Outcome::CancelledByPerson.as_str(),
        Outcome::CancelledByFlow.as_str(),
    ];
    described("Where it stands: open, or how it ended.", words)
}

/// When the first message of a verification leaves.
pub(crate) fn first_send() -> Object {
    let words = [FirstSend::Now, FirstSend::OnOpen].map(FirstSend::as_str);
    described(
        "When the first message leaves, in any case of letters: at once (now, which holds when left out), or when the person asks for it on the page.",
        words,
    )
}

/// The events that a subscription is about.
pub(crate) fn events() -> Array {
    let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(EventName::ALL.map(EventName::as_str)));
    ArrayBuilder::new()
        .items(words)
        .description(Some(
            "The events to tell; every one of one-time passwords when left out or empty. How verifications end (VERIFICATION_…) \
             is told to who names it.",
        ))
        .build()
}

/// What a key may do.
pub(crate) fn scopes() -> Array {
    let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Scope::ALL.map(Scope::name)));
    ArrayBuilder::new().items(words).description(Some("What it may do.")).build()
}

fn named(description: &str, names: EventNames) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names.iter().map(EventName::as_str)));
    object.description(Some(description)).build()
}

fn described<const N: usize>(description: &str, words: [&'static str; N]) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    object.description(Some(description)).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::channel::Via;

    #[test]
    fn openapi_words_are_read_by_the_domain() {
        let schema = serde_json::to_value(via()).unwrap();
        for word in schema["enum"].as_array().unwrap() {
            let via = Via::parse(word.as_str().unwrap()).unwrap();
            assert_eq!(serde_json::to_value(via).unwrap(), *word);
        }
    }
}
