//! What one message puts in for the placeholders of its carrier. Knows no place: nothing here is escaped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::carrier::template::{Field, Hole, Name};
use crate::delivery::provider::Outgoing;
use crate::otp::segment::{Alphabet, Extent};
use crate::secret::Secret;

/// The credentials of a carrier, by name.
pub type Credentials = BTreeMap<String, Secret>;

/// The values of one message.
pub struct Values<'m> {
    /// The message.
    pub message: &'m Outgoing,
    /// The carrier's credentials.
    pub credentials: &'m Credentials,
    /// What the carrier calls the message's language.
    pub locale: Option<&'m str>,
    /// Where the message's receipts go.
    pub receipt: Option<String>,
    /// Where all receipts of the carrier go.
    pub shared_receipt: String,
}

impl Values<'_> {
    /// The value of a placeholder, filtered; none where nothing it names has one.
    #[must_use]
    pub fn of(&self, hole: &Hole) -> Option<Zeroizing<String>> {
        if hole.unless.as_deref().is_some_and(|name| self.credentials.contains_key(name)) {
            return None;
        }
        let found = hole.names.iter().find_map(|name| match name {
            Name::Field(field) => self.field(*field),
            Name::Credential(name) => Some(Cow::Borrowed(self.credentials.get(&**name)?.expose())),
        })?;
        let mut value = Zeroizing::new(found.into_owned());
        if let Some(least) = hole.least
            && value.parse::<u64>().is_ok_and(|number| number < least)
        {
            value = Zeroizing::new(least.to_string());
        }
        if hole.digits
            && let Some(digits) = value.strip_prefix('+')
        {
            value = Zeroizing::new(digits.to_owned());
        }
        Some(value)
    }

    fn field(&self, field: Field) -> Option<Cow<'_, str>> {
        let message = self.message;
        let life = message.life;
        Some(match field {
            Field::Number => Cow::Borrowed(message.number.as_str()),
            Field::Text => Cow::Borrowed(&**message.text),
            Field::Code => Cow::Borrowed(message.code.expose()),
            Field::SpokenCode => Cow::Owned(spoken(message.code.expose())),
            Field::Sender => Cow::Borrowed(message.sender.as_ref()?.as_str()),
            Field::Caller => Cow::Borrowed(message.caller.as_ref()?.as_str()),
            Field::Encoding => Cow::Borrowed(match Extent::of(&message.text).alphabet {
                Alphabet::Gsm7 => "text",
                Alphabet::Ucs2 => "unicode",
            }),
            Field::Channel => Cow::Borrowed(message.channel.as_str()),
            Field::Language => Cow::Borrowed(message.language.as_str()),
            Field::Locale => Cow::Borrowed(self.locale?),
            // Rounded down: a carrier that is told more would deliver a code that is dead.
            Field::LifeSeconds => Cow::Owned(life.as_secs().max(1).to_string()),
            Field::LifeMinutes => Cow::Owned((life.as_secs() / 60).max(1).to_string()),
            Field::LifeMilliseconds => Cow::Owned(life.as_millis().max(1).to_string()),
            Field::Ticket => Cow::Owned(message.ticket.to_string()),
            Field::Receipt => Cow::Borrowed(self.receipt.as_deref()?),
            Field::SharedReceipt => Cow::Borrowed(&self.shared_receipt),
        })
    }
}

/// The code, one character at a time, as the texts of calls have it.
fn spoken(code: &str) -> String {
    // Reserved in one piece, so that no copy is left behind.
    let mut spoken = String::with_capacity(code.len() * 3);
    for (index, character) in code.chars().enumerate() {
        if index > 0 {
            spoken.push_str(", ");
        }
        spoken.push(character);
    }
    spoken
}
