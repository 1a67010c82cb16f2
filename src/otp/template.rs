//! Message texts: templates with placeholders, and which one a message gets. Knows no language's words and no carrier.
//!
//! `{{OTP}}` stands for the code and `{{SEC}}` for its lifetime in seconds (both from the contract), `{{MIN}}` for that in
//! whole minutes, at least one, `{{BRAND}}` for who sends it, `{{AMOUNT}}` and `{{PAYEE}}` for what it is for, `{{LINK}}` for the
//! page of the verification that it was sent for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::context::Context;
use crate::otp::language::Language;
use crate::otp::phone::Country;

/// The longest template, in characters: ten segments of a text message.
pub const TEMPLATE_CHARACTERS: usize = 1_000;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Code,
    Seconds,
    Minutes,
    Brand,
    Amount,
    Payee,
    Link,
}

impl Placeholder {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "OTP" => Self::Code,
            "SEC" => Self::Seconds,
            "MIN" => Self::Minutes,
            "BRAND" => Self::Brand,
            "AMOUNT" => Self::Amount,
            "PAYEE" => Self::Payee,
            "LINK" => Self::Link,
            _ => return None,
        })
    }
}

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

/// Why a text is no template. Places count characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it, or too much.
    #[error("1 to 1000 characters")]
    Length,
    /// The place of the code is missing.
    #[error("a text that holds {{{{OTP}}}}")]
    NoCode,
    /// A placeholder that does not exist.
    #[error(
        "a text whose placeholders are {{{{OTP}}}}, {{{{SEC}}}}, {{{{MIN}}}}, {{{{BRAND}}}}, {{{{AMOUNT}}}}, {{{{PAYEE}}}} and {{{{LINK}}}}; the one at character {0} is another"
    )]
    UnknownPlaceholder(usize),
    /// A placeholder that does not end.
    #[error("a text that closes its placeholders; the {{{{ at character {0} has no }}}}")]
    Unclosed(usize),
    /// A placeholder that does not begin.
    #[error("a text that opens its placeholders; the }}}} at character {0} has no {{{{")]
    Unopened(usize),
    /// A control character.
    #[error("a text without control characters other than line ends")]
    ControlCharacter,
}

/// A piece of a template.
enum Piece<'a> {
    Text(&'a str),
    Place(Placeholder),
}

/// Takes a text apart, up to its end or to what is wrong with it; then the rest, as it is written, is the last piece.
fn walk<'a>(text: &'a str, mut piece: impl FnMut(Piece<'a>)) -> Result<(), TemplateError> {
    let mut rest = text;
    // Of the part of the text from `tail` on: which character it begins with.
    let place = |tail: &str| text.chars().count() - tail.chars().count() + 1;
    let error = loop {
        let (before, after) = rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        if let Some(index) = before.find("}}") {
            break TemplateError::Unopened(place(rest.get(index..).unwrap_or_default()));
        }
        let Some(after) = after else {
            piece(Piece::Text(rest));
            return Ok(());
        };
        let opened = place(after) - 2;
        let Some((name, behind)) = after.split_once("}}").filter(|(name, _)| !name.contains("{{")) else {
            break TemplateError::Unclosed(opened);
        };
        let Some(placeholder) = Placeholder::named(name) else { break TemplateError::UnknownPlaceholder(opened) };
        piece(Piece::Text(before));
        piece(Piece::Place(placeholder));
        rest = behind;
    };
    piece(Piece::Text(rest));
    Err(error)
}

/// What stands where the address of a page belongs.
const LINK: &str = "{{LINK}}";

/// A text without the places of an address that there is not. Of the white space on both sides of one, one side stays, that with
/// the line end; at an end of the text none does.
fn without_link(text: &str) -> String {
    let mut parts = text.split(LINK);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (end, after) = (whole.trim_end().len(), part.trim_start());
        let left = whole.get(end..).unwrap_or_default();
        let right = part.get(..part.len() - after.len()).unwrap_or_default();
        let between = match (end, after.is_empty()) {
            (0, _) | (_, true) => "",
            _ if left.contains('\n') || right.is_empty() => left,
            _ => right,
        }
        .to_owned();
        whole.truncate(end);
        whole.push_str(&between);
        whole.push_str(after);
    }
    whole
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

/// An application's own templates, by language and channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates(BTreeMap<(Language, Channel), Template>);

impl Templates {
    /// Sets the template of a language and channel.
    pub fn set(&mut self, language: Language, channel: Channel, template: Template) {
        self.0.insert((language, channel), template);
    }

    /// Drops the template of a language and channel; whether there was one.
    pub fn drop_one(&mut self, language: Language, channel: Channel) -> bool {
        self.0.remove(&(language, channel)).is_some()
    }

    /// The application's own template, if it has one.
    #[must_use]
    pub fn get(&self, language: Language, channel: Channel) -> Option<&Template> {
        self.0.get(&(language, channel))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The contract's keys, `en` for a text message and `en-voice` for a call, with their texts.
    pub fn named(&self) -> impl Iterator<Item = (String, &Template)> {
        self.0.iter().map(|((language, channel), template)| (template_name(*language, *channel), template))
    }

    /// Those of one channel.
    pub fn of_channel(&self, channel: Channel) -> impl Iterator<Item = (Language, &Template)> {
        let own = self.0.iter().filter(move |((_, known), _)| *known == channel);
        own.map(|((language, _), template)| (*language, template))
    }

    /// The text for a message: what was asked for, else the language of the country, else English; the application's own
    /// before the built-in one at each step.
    #[must_use]
    pub fn choose(&self, asked: Option<Language>, country: Option<Country>, channel: Channel) -> (Language, Template) {
        let candidates = [asked, country.and_then(Language::of_country), Some(Language::ENGLISH)];
        for language in candidates.into_iter().flatten() {
            if let Some(template) = self.get(language, channel) {
                return (language, template.clone());
            }
            if let Some(text) = language.built_in(country, channel) {
                return (language, Template(Box::from(text)));
            }
        }
        (Language::ENGLISH, Template(Box::from("{{OTP}}")))
    }
}

impl Serialize for Templates {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named())
    }
}

impl<'de> Deserialize<'de> for Templates {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, Template>::deserialize(deserializer)?;
        let mut templates = Self::default();
        for (name, template) in named {
            let (language, channel) = kept_template_name(&name).ok_or_else(|| {
                serde::de::Error::custom(format!("template key \"{name}\": use en for SMS or en-voice for VOICE"))
            })?;
            templates.set(language, channel, template);
        }
        Ok(templates)
    }
}

fn template_name(language: Language, channel: Channel) -> String {
    match channel {
        Channel::Sms => language.to_string(),
        Channel::Voice => format!("{language}-voice"),
    }
}

/// Reads `en` or `en-voice`.
#[must_use]
pub fn parse_template_name(name: &str) -> Option<(Language, Channel)> {
    named(name, |code| code.parse().ok())
}

/// As [`parse_template_name`], for a template that lies in a store, where it is read or dropped: earlier releases took any two
/// letters for a language.
#[must_use]
pub fn kept_template_name(name: &str) -> Option<(Language, Channel)> {
    named(name, Language::of_store)
}

fn named(name: &str, language: impl Fn(&str) -> Option<Language>) -> Option<(Language, Channel)> {
    match name.strip_suffix("-voice") {
        Some(code) => Some((language(code)?, Channel::Voice)),
        None => Some((language(name)?, Channel::Sms)),
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
        for (text, error) in [
            ("{{OTP}} é {{NAME}}", TemplateError::UnknownPlaceholder(11)),
            ("{{otp}}", TemplateError::UnknownPlaceholder(1)),
            ("{{ OTP }}", TemplateError::UnknownPlaceholder(1)),
            ("{{TOTAL}} {{OTP}}", TemplateError::UnknownPlaceholder(1)),
            ("{{}}{{OTP}}", TemplateError::UnknownPlaceholder(1)),
            ("{{OTP}} é {{SEC", TemplateError::Unclosed(11)),
            ("{{OTP and {{SEC}}", TemplateError::Unclosed(1)),
            ("é {{OTP} {{OTP}}", TemplateError::Unclosed(3)),
            ("{{OTP}} {SEC}}", TemplateError::Unopened(13)),
            ("é }} {{OTP}}", TemplateError::Unopened(3)),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
            assert_eq!(Template::parse_without_code(text), Err(error), "{text}");
        }
        assert_eq!(
            TemplateError::Unclosed(3).to_string(),
            "a text that closes its placeholders; the {{ at character 3 has no }}"
        );
    }

    #[test]
    fn a_stored_text_is_sent_even_if_it_would_be_refused_today() {
        for (stored, sent) in [("{{OTP}} {{ end", "0123 {{ end"), ("{{OTP}} {{NEW}} {{OTP}}", "0123 {{NEW}} {{OTP}}")] {
            assert_eq!(render(&Template::from_store(stored), Channel::Sms), sent);
        }
    }

    #[test]
    fn the_language_falls_back_from_asked_to_country_to_english() {
        let mut own = Templates::default();
        own.set("yo".parse().unwrap(), Channel::Sms, Template::parse("Koodu {{OTP}}").unwrap());
        let chosen = |asked: Option<&str>, country: &str, channel| {
            own.choose(asked.map(|text| text.parse().unwrap()), country.parse().ok(), channel).0.to_string()
        };
        assert_eq!(chosen(Some("yo"), "DE", Channel::Sms), "yo");
        assert_eq!(chosen(Some("yo"), "DE", Channel::Voice), "de");
        assert_eq!(chosen(None, "FR", Channel::Sms), "fr");
        assert_eq!(chosen(None, "JP", Channel::Sms), "ja");
        assert_eq!(chosen(Some("eo"), "JP", Channel::Sms), "ja");
        assert_eq!(chosen(Some("eo"), "US", Channel::Voice), "en");
    }

    #[test]
    fn templates_keep_the_contracts_keys() {
        let text = r#"{"en":"a {{OTP}}","en-voice":"b {{OTP}}"}"#;
        let templates: Templates = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&templates).unwrap(), text);
        assert!(serde_json::from_str::<Templates>(r#"{"english":"{{OTP}}"}"#).is_err());
        // An earlier release took any two letters.
        let odd = r#"{"xx":"a {{OTP}}","xx-voice":"b {{OTP}}"}"#;
        let mut templates: Templates = serde_json::from_str(odd).unwrap();
        assert_eq!(serde_json::to_string(&templates).unwrap(), odd);
        assert_eq!(parse_template_name("xx-voice"), None);
        let (language, channel) = kept_template_name("xx-voice").unwrap();
        assert!(templates.drop_one(language, channel) && templates.len() == 1);
    }
}
