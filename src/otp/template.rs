//! Message texts: templates with placeholders, the languages built in, and which one a message gets.
//!
//! `{{OTP}}` stands for the code, `{{SEC}}` for its lifetime in seconds (both from the contract), `{{MIN}}` for whole minutes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::phone::Country;

/// The longest template, in characters: ten segments of a text message.
pub const TEMPLATE_CHARACTERS: usize = 1_000;

/// A text that carries a code: 1 to 1,000 characters, no control characters but line ends, with `{{OTP}}` in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
    /// A placeholder that does not exist.
    #[error("a text whose placeholders are {{{{OTP}}}}, {{{{SEC}}}} and {{{{MIN}}}}")]
    UnknownPlaceholder,
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
        let template = Self::parse_without_code(text)?;
        if template.0.contains("{{OTP}}") { Ok(template) } else { Err(TemplateError::NoCode) }
    }

    /// A text for a caller who chose the code and may have written it into the text.
    ///
    /// # Errors
    /// [`TemplateError`], one variant a cause.
    pub fn parse_without_code(text: &str) -> Result<Self, TemplateError> {
        let length = text.chars().count();
        if length == 0 || length > TEMPLATE_CHARACTERS {
            return Err(TemplateError::Length);
        }
        if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r')) {
            return Err(TemplateError::ControlCharacter);
        }
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            if !matches!(name, "OTP" | "SEC" | "MIN") {
                return Err(TemplateError::UnknownPlaceholder);
            }
            rest = after;
        }
        Ok(Self(Box::from(text)))
    }

    /// The text with its placeholders.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The message. A call speaks the code one character at a time, so there it is set apart by commas.
    #[must_use]
    pub fn render(&self, code: &Code, lifetime_seconds: u64, channel: Channel) -> Zeroizing<String> {
        let shown = match channel {
            Channel::Sms => Zeroizing::new(code.expose().to_owned()),
            Channel::Voice => {
                let mut spoken = Zeroizing::new(String::with_capacity(code.expose().len() * 3));
                for character in code.expose().chars() {
                    if !spoken.is_empty() {
                        spoken.push_str(", ");
                    }
                    spoken.push(character);
                }
                spoken
            }
        };
        let minutes = lifetime_seconds.div_ceil(60).to_string();
        let seconds = lifetime_seconds.to_string();
        let mut message = Zeroizing::new(String::with_capacity(self.0.len() + 32));
        let mut rest: &str = &self.0;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            message.push_str(before);
            message.push_str(match name {
                "OTP" => &shown,
                "SEC" => &seconds,
                _ => &minutes,
            });
            rest = after;
        }
        message.push_str(rest);
        message
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse_without_code(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0.into_string()
    }
}

/// A language: ISO 639-1, two lower-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language([u8; 2]);

/// The text is no language code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ISO 639-1 code such as en")]
pub struct MalformedLanguage;

impl Language {
    /// English: what everything falls back to.
    pub const ENGLISH: Self = Self(*b"en");

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("en")
    }

    /// The language that most people of a country read, where a text in it is built in.
    #[must_use]
    pub fn of_country(country: Country) -> Option<Self> {
        let language = match country.as_str() {
            "DE" | "AT" | "LI" | "CH" => b"de",
            "FR" | "MC" | "LU" | "SN" | "CI" => b"fr",
            "ES" | "MX" | "AR" | "CO" | "CL" | "PE" | "EC" | "GT" | "CR" | "PA" | "UY" | "PY" | "BO" | "VE" | "DO"
            | "HN" | "NI" | "SV" | "CU" => b"es",
            "IT" | "SM" | "VA" => b"it",
            "PT" | "BR" | "AO" | "MZ" => b"pt",
            "NL" | "BE" | "SR" => b"nl",
            "PL" => b"pl",
            _ => return None,
        };
        Some(Self(*language))
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = MalformedLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match *text.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([first.to_ascii_lowercase(), second.to_ascii_lowercase()]))
            }
            _ => Err(MalformedLanguage),
        }
    }
}

impl TryFrom<String> for Language {
    type Error = MalformedLanguage;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.as_str().to_owned()
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

    /// The text for a message: what was asked for, else the language of the country, else English; the application's own
    /// before the built-in one at each step.
    #[must_use]
    pub fn choose(&self, asked: Option<Language>, country: Option<Country>, channel: Channel) -> (Language, Template) {
        let candidates = [asked, country.and_then(Language::of_country), Some(Language::ENGLISH)];
        for language in candidates.into_iter().flatten() {
            if let Some(template) = self.get(language, channel) {
                return (language, template.clone());
            }
            if let Some(text) = built_in(language, channel) {
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
            let (language, channel) = parse_template_name(&name).ok_or_else(|| {
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
    match name.strip_suffix("-voice") {
        Some(language) => Some((language.parse().ok()?, Channel::Voice)),
        None => Some((name.parse().ok()?, Channel::Sms)),
    }
}

fn built_in(language: Language, channel: Channel) -> Option<&'static str> {
    let (sms, voice) = match &language.0 {
        b"en" => (
            "Your verification code is {{OTP}}. It is valid for {{MIN}} min. Do not share it.",
            "Your verification code is: {{OTP}}. I repeat: {{OTP}}.",
        ),
        b"de" => (
            "Ihr Bestätigungscode lautet {{OTP}}. Er gilt {{MIN}} min. Geben Sie ihn nicht weiter.",
            "Ihr Bestätigungscode lautet: {{OTP}}. Ich wiederhole: {{OTP}}.",
        ),
        b"fr" => (
            "Votre code de vérification est {{OTP}}. Il est valable {{MIN}} min. Ne le communiquez pas.",
            "Votre code de vérification est : {{OTP}}. Je répète : {{OTP}}.",
        ),
        b"es" => (
            "Su código de verificación es {{OTP}}. Es válido durante {{MIN}} min. No lo comparta.",
            "Su código de verificación es: {{OTP}}. Repito: {{OTP}}.",
        ),
        b"it" => (
            "Il codice di verifica è {{OTP}}. È valido per {{MIN}} min. Non condividerlo.",
            "Il codice di verifica è: {{OTP}}. Ripeto: {{OTP}}.",
        ),
        b"pt" => (
            "O seu código de verificação é {{OTP}}. É válido por {{MIN}} min. Não o partilhe.",
            "O seu código de verificação é: {{OTP}}. Repito: {{OTP}}.",
        ),
        b"nl" => (
            "Uw verificatiecode is {{OTP}}. Deze is {{MIN}} min geldig. Deel hem met niemand.",
            "Uw verificatiecode is: {{OTP}}. Ik herhaal: {{OTP}}.",
        ),
        b"pl" => (
            "Twój kod weryfikacyjny to {{OTP}}. Jest ważny {{MIN}} min. Nie udostępniaj go nikomu.",
            "Twój kod weryfikacyjny to: {{OTP}}. Powtarzam: {{OTP}}.",
        ),
        _ => return None,
    };
    Some(match channel {
        Channel::Sms => sms,
        Channel::Voice => voice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, channel: Channel) -> String {
        Template::parse_without_code(text).unwrap().render(&Code::parse_own("0123").unwrap(), 90, channel).to_string()
    }

    #[test]
    fn placeholders_are_filled_once_and_never_twice() {
        assert_eq!(render("{{OTP}} for {{SEC}} s, {{MIN}} min {{OTP}}", Channel::Sms), "0123 for 90 s, 2 min 0123");
        assert_eq!(render("say {{OTP}}", Channel::Voice), "say 0, 1, 2, 3");
        assert_eq!(render("open {{ end", Channel::Sms), "open {{ end");
    }

    #[test]
    fn a_template_is_checked_when_it_is_made() {
        assert_eq!(Template::parse("no code"), Err(TemplateError::NoCode));
        assert_eq!(Template::parse(""), Err(TemplateError::Length));
        assert_eq!(Template::parse(&"é".repeat(1_001)), Err(TemplateError::Length));
        assert_eq!(Template::parse("{{OTP}} {{NAME}}"), Err(TemplateError::UnknownPlaceholder));
        assert_eq!(Template::parse("{{OTP}}\u{7}"), Err(TemplateError::ControlCharacter));
        assert_eq!(TemplateError::NoCode.to_string(), "a text that holds {{OTP}}");
    }

    #[test]
    fn the_language_falls_back_from_asked_to_country_to_english() {
        let mut own = Templates::default();
        own.set("sv".parse().unwrap(), Channel::Sms, Template::parse("Kod {{OTP}}").unwrap());
        let chosen = |asked: Option<&str>, country: &str, channel| {
            own.choose(asked.map(|text| text.parse().unwrap()), country.parse().ok(), channel).0.to_string()
        };
        assert_eq!(chosen(Some("sv"), "DE", Channel::Sms), "sv");
        assert_eq!(chosen(Some("sv"), "DE", Channel::Voice), "de");
        assert_eq!(chosen(None, "FR", Channel::Sms), "fr");
        assert_eq!(chosen(None, "JP", Channel::Sms), "en");
    }

    #[test]
    fn templates_keep_the_contracts_keys() {
        let text = r#"{"en":"a {{OTP}}","en-voice":"b {{OTP}}"}"#;
        let templates: Templates = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&templates).unwrap(), text);
        assert!(serde_json::from_str::<Templates>(r#"{"english":"{{OTP}}"}"#).is_err());
    }
}
