//! An application's own texts, by language and channel, and which text a message gets. Knows nothing of what is in one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::otp::channel::Channel;
use crate::otp::language::Language;
use crate::otp::phone::Country;
use crate::otp::template::Template;

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
                return (language, Template::from_store(text));
            }
        }
        (Language::ENGLISH, Template::from_store("{{OTP}}"))
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
