//! The text of a message: a template, checked when it comes in, and the words that take its placeholders' places. Knows no
//! language's words and no carrier. What the placeholders mean is written in `placeholder`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::context::Context;
use crate::otp::placeholder::{Misplaced, Piece, Placeholder, walk, without_link};

/// The longest template, in characters: ten segments of a text message.
pub const TEMPLATE_CHARACTERS: usize = 1_000;

/// What the placeholders of one message stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The code.
    pub code: &'a Code,
    /// Its lifetime in seconds.
    pub lifetime_seconds: u64,
    /// Who sends it.
    pub brand: &'a str,
    /// What it is for.
    pub context: Option<&'a Context>,
    /// The address of the verification's page, where the message is to hold it.
    pub link: Option<&'a str>,
}

/// A text that carries a code: 1 to 1,000 characters, no control characters but line ends, with `{{OTP}}` in it.
///
/// What lies in a store is taken as it is, so that a stricter rule of a later release leaves no record unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Template(Box<str>);

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it, or too much.
    #[error("1 to 1000 characters")]
    Length,
    /// The place of the code is missing.
    #[error("a text that holds {{{{OTP}}}}")]
    NoCode,
    /// Its placeholders.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// A control character.
    #[error("a text without control characters other than line ends")]
    ControlCharacter,
}

impl Template {
    /// A template that must hold `{{OTP}}`.
    ///
    /// # Errors
    /// [`TemplateError`], one variant a cause.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::check(text, true)
    }

    /// A text for a caller who chose the code and may have written it into the text.
    ///
    /// # Errors
    /// [`TemplateError`], one variant a cause.
    pub fn parse_without_code(text: &str) -> Result<Self, TemplateError> {
        Self::check(text, false)
    }

    /// A text that was checked when it came in.
    #[must_use]
    pub fn from_store(text: &str) -> Self {
        Self(Box::from(text))
    }

    fn check(text: &str, wants_code: bool) -> Result<Self, TemplateError> {
        let length = text.chars().count();
        if length == 0 || length > TEMPLATE_CHARACTERS {
            return Err(TemplateError::Length);
        }
        if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r')) {
            return Err(TemplateError::ControlCharacter);
        }
        let mut has_code = false;
        walk(text, |piece| has_code |= matches!(piece, Piece::Place(Placeholder::Code)))?;
        if has_code || !wants_code { Ok(Self(Box::from(text))) } else { Err(TemplateError::NoCode) }
    }

    /// Whether it says what the code is for: both the amount and the payee are in it, or one of them.
    #[must_use]
    pub fn shows_context(&self) -> bool {
        self.places([Placeholder::Amount, Placeholder::Payee]).contains(&true)
    }

    /// Whether it says where the page of its verification is.
    #[must_use]
    pub fn shows_link(&self) -> bool {
        self.places([Placeholder::Link]) == [true]
    }

    /// Whether each of these is in it.
    fn places<const N: usize>(&self, wanted: [Placeholder; N]) -> [bool; N] {
        let mut found = [false; N];
        // What is wrong with a text that lay in a store is text.
        let _ = walk(&self.0, |piece| {
            for (found, wanted) in found.iter_mut().zip(wanted) {
                *found |= matches!(piece, Piece::Place(place) if place == wanted);
            }
        });
        found
    }

    /// What is missing of `context` in the message, as a line of its own: whoever pays must see how much, and to whom.
    fn rest(&self, context: &Context, channel: Channel) -> String {
        let [amount, payee] = self.places([Placeholder::Amount, Placeholder::Payee]);
        let money = (!amount).then(|| context.money());
        let missing: Vec<_> = money.as_deref().into_iter().chain((!payee).then_some(context.payee.as_str())).collect();
        match (missing.is_empty(), channel) {
            (true, _) => String::new(),
            (false, Channel::Sms) => format!("\n{}", missing.join(", ")),
            (false, Channel::Voice) => format!(" {}.", missing.join(", ")),
        }
    }

    /// The text with its placeholders.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The message, with room for `more` bytes behind it. A call speaks the code one character at a time, so there it is
    /// set apart by commas. Where there is no link, nothing shows that there was a place for it.
    #[must_use]
    pub fn render(&self, values: &Values<'_>, channel: Channel, more: usize) -> Zeroizing<String> {
        let code = values.code.expose();
        let mut shown = Zeroizing::new(String::with_capacity(code.len() * 3));
        for character in code.chars() {
            if channel == Channel::Voice && !shown.is_empty() {
                shown.push_str(", ");
            }
            shown.push(character);
        }
        // Nobody is promised a minute that there is not, but for a life of less than one: "0 minutes" would be no code.
        let minutes = (values.lifetime_seconds / 60).max(1).to_string();
        let seconds = values.lifetime_seconds.to_string();
        let money = values.context.map(Context::money).unwrap_or_default();
        let rest = values.context.map(|context| self.rest(context, channel)).unwrap_or_default();
        // Nobody can follow what is read out.
        let link = values.link.filter(|_| channel == Channel::Sms).unwrap_or_default();
        let behind = if link.is_empty() || self.shows_link() { "" } else { link };
        let text: Cow<'_, str> = if link.is_empty() && self.shows_link() {
            Cow::Owned(without_link(&self.0))
        } else {
            Cow::Borrowed(&self.0)
        };
        let word = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Place(Placeholder::Code) => shown.as_str(),
            Piece::Place(Placeholder::Seconds) => &seconds,
            Piece::Place(Placeholder::Minutes) => &minutes,
            Piece::Place(Placeholder::Brand) => values.brand,
            Piece::Place(Placeholder::Amount) => &money,
            Piece::Place(Placeholder::Payee) => values.context.map_or("", |context| context.payee.as_str()),
            Piece::Place(Placeholder::Link) => link,
        };
        // Its whole length first: a text that grows would leave copies of the code in memory that nobody wipes.
        let mut length = more + rest.len() + behind.len() + usize::from(!behind.is_empty());
        let _ = walk(&text, |piece| length += word(piece).len());
        let mut message = Zeroizing::new(String::with_capacity(length));
        // What is wrong with a text that lay in a store is sent as it is written.
        let _ = walk(&text, |piece| message.push_str(word(piece)));
        message.push_str(&rest);
        if !behind.is_empty() {
            message.push('\n');
            message.push_str(behind);
        }
        message
    }
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        Self(text.into_boxed_str())
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &Template, channel: Channel) -> String {
        let code = Code::parse_own("0123").unwrap();
        let values = Values { code: &code, lifetime_seconds: 90, brand: "A {{SEC}} B", context: None, link: None };
        let message = template.render(&values, channel, 7);
        assert_eq!(message.capacity(), message.len() + 7, "it never had to grow");
        message.to_string()
    }

    #[test]
    fn placeholders_are_filled_once_and_never_twice() {
        let text = Template::parse("{{OTP}} for {{SEC}} s, {{MIN}} min {{OTP}} by {{BRAND}}").unwrap();
        assert_eq!(render(&text, Channel::Sms), "0123 for 90 s, 1 min 0123 by A {{SEC}} B");
        assert_eq!(render(&Template::parse("say {{OTP}}").unwrap(), Channel::Voice), "say 0, 1, 2, 3");
    }

    #[test]
    fn a_link_that_is_not_there_leaves_nothing_behind() {
        for (text, sent) in [
            ("{{OTP}} {{LINK}}", "0123"),
            ("{{LINK}} {{OTP}}", "0123"),
            ("{{OTP}} {{LINK}} {{LINK}}\n", "0123"),
            ("Code {{OTP}} {{LINK}} for you", "Code 0123 for you"),
            ("Code {{OTP}}\n{{LINK}}\nThanks", "Code 0123\nThanks"),
            ("Code {{OTP}} {{LINK}}\nThanks", "Code 0123\nThanks"),
            ("Code {{OTP}}\n{{LINK}} Thanks", "Code 0123\nThanks"),
            ("Code {{OTP}}{{LINK}}, thanks ", "Code 0123, thanks "),
            // What was written without a place for a link stays as it was written.
            ("Code  {{OTP}} ", "Code  0123 "),
        ] {
            assert_eq!(render(&Template::parse(text).unwrap(), Channel::Sms), sent, "{text:?}");
        }
        assert_eq!(render(&Template::parse("say {{OTP}}. {{LINK}}").unwrap(), Channel::Voice), "say 0, 1, 2, 3.");
        let code = Code::parse_own("0123").unwrap();
        let link = Some("https://otp.example.com/verify/x");
        let values = Values { code: &code, lifetime_seconds: 90, brand: "", context: None, link };
        let linked = Template::parse("{{OTP}} {{LINK}} ").unwrap().render(&values, Channel::Sms, 0);
        assert_eq!(*linked, "0123 https://otp.example.com/verify/x ");
    }

    #[test]
    fn minutes_are_whole_and_never_promise_another_one() {
        let code = Code::parse_own("0123").unwrap();
        let text = Template::parse("{{OTP}} {{MIN}}").unwrap();
        for (lifetime_seconds, said) in [(30, "1"), (60, "1"), (119, "1"), (120, "2"), (299, "4"), (7_200, "120")] {
            let values = Values { code: &code, lifetime_seconds, brand: "", context: None, link: None };
            assert_eq!(*text.render(&values, Channel::Sms, 0), format!("0123 {said}"), "{lifetime_seconds}");
        }
    }

    #[test]
    fn a_template_is_checked_when_it_is_made() {
        assert_eq!(Template::parse("no code"), Err(TemplateError::NoCode));
        assert!(Template::parse_without_code("no code").is_ok());
        assert_eq!(Template::parse(""), Err(TemplateError::Length));
        assert_eq!(Template::parse(&"é".repeat(1_001)), Err(TemplateError::Length));
        assert_eq!(Template::parse("{{OTP}}\u{7}"), Err(TemplateError::ControlCharacter));
        assert_eq!(TemplateError::NoCode.to_string(), "a text that holds {{OTP}}");
        // Lone braces are text.
        assert!(Template::parse("{ {{OTP}} } {").is_ok());
    }

    #[test]
    fn a_template_says_where_its_placeholders_are_wrong() {
        for (text, misplaced) in [
            ("{{OTP}} é {{NAME}}", Misplaced::Unknown(11)),
            ("{{otp}}", Misplaced::Unknown(1)),
            ("{{ OTP }}", Misplaced::Unknown(1)),
            ("{{TOTAL}} {{OTP}}", Misplaced::Unknown(1)),
            ("{{}}{{OTP}}", Misplaced::Unknown(1)),
            ("{{OTP}} é {{SEC", Misplaced::Unclosed(11)),
            ("{{OTP and {{SEC}}", Misplaced::Unclosed(1)),
            ("é {{OTP} {{OTP}}", Misplaced::Unclosed(3)),
            ("{{OTP}} {SEC}}", Misplaced::Unopened(13)),
            ("é }} {{OTP}}", Misplaced::Unopened(3)),
        ] {
            let error = TemplateError::from(misplaced);
            assert_eq!(Template::parse(text), Err(error), "{text}");
            assert_eq!(Template::parse_without_code(text), Err(error), "{text}");
        }
        assert_eq!(
            TemplateError::from(Misplaced::Unclosed(3)).to_string(),
            "a text that closes its placeholders; the {{ at character 3 has no }}"
        );
    }

    #[test]
    fn a_stored_text_is_sent_even_if_it_would_be_refused_today() {
        for (stored, sent) in [("{{OTP}} {{ end", "0123 {{ end"), ("{{OTP}} {{NEW}} {{OTP}}", "0123 {{NEW}} {{OTP}}")] {
            assert_eq!(render(&Template::from_store(stored), Channel::Sms), sent);
        }
    }
}
